"""What people confirm, skip, withdraw and comment in a panel, with their screenshots."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import pytest
from msgspec import structs

from runbook_lib.core.model import Binding, EventType, NoteKind, Word, WordKind
from runbook_lib.core.procedure import Confirmation, StepKind
from tests.unit.bodies import APP_ID
from tests.unit.walkthrough.conftest import DONE, LEFT_OUT, PNG, Make, undecided
from tests.unit.walkthrough.stage import app_step, make_step, settled, waiting_step


def test_a_persons_statement_is_recorded(scene: Make) -> None:
    """Author, note and what they saw are recorded, with the sentence that they confirmed."""
    play = scene(make_step("a"))
    words = {"by": " Operator ", "note": " Seen. ", "seen": " new screen "}
    play.walkthrough.say(play.step("a"), WordKind.SUBMITTED, words, [])
    view = settled(play.screens["a"])

    assert (view["message"], view["outcome"]) == ("Recorded.", "waiting")
    ((word, _),) = play.run.history.words("a")
    assert structs.replace(word, binding=Binding()) == Word(
        kind=WordKind.SUBMITTED,
        step="a",
        by="Operator",
        at="2026-11-24T12:00:00.000Z",
        note="Seen.",
        seen="new screen",
        origin="walkthrough",
        sentence=play.step("a").sentence,
    )


def test_a_screenshot_is_stored_by_its_digest(scene: Make) -> None:
    """A screenshot is stored beside the journal under its digest, and the journal names it."""
    play = scene(make_step("a"))
    file = {"name": "screen.png", "media_type": "image/png", "content": PNG}
    play.walkthrough.say(play.step("a"), DONE, {"by": "Operator"}, [file])
    settled(play.screens["a"])

    digest = hashlib.sha256(PNG).hexdigest()
    kept = play.run.journal.path.parent / "attachments" / f"{digest}.png"
    assert kept.read_bytes() == PNG
    ((word, _),) = play.run.history.words("a")
    (attachment,) = word.attachments
    assert (attachment.name, attachment.sha256) == ("screen.png", digest)
    assert "[screen.png]" in play.screens["a"].view["history"][0]["what"]


def test_an_invalid_screenshot_is_refused(scene: Make) -> None:
    """A file whose content does not match its type is refused, and nothing is recorded."""
    play = scene(make_step("a"))
    file = {"name": "x.png", "media_type": "image/png", "content": b"<script>"}
    play.walkthrough.say(play.step("a"), DONE, {"by": "Operator"}, [file])

    assert "x.png is neither a picture" in settled(play.screens["a"])["message"]
    assert play.types == []


@pytest.mark.parametrize("words", [{}, {"by": "  "}, {"note": "x"}])
@pytest.mark.parametrize("said", WordKind)
def test_a_name_is_required(scene: Make, words: Any, said: WordKind) -> None:
    """Without a name nothing is recorded."""
    play = scene(make_step("a"))
    play.walkthrough.say(play.step("a"), said, words, [])
    view = settled(play.screens["a"])

    assert view["message"].startswith("Enter your name")
    assert view["is_error"]
    assert play.types == []


def test_skipping_a_step_needs_a_reason(scene: Make) -> None:
    """A step is skipped only with a reason; without one nothing is recorded."""
    play = scene(make_step("a"))
    play.walkthrough.say(play.step("a"), LEFT_OUT, {"by": "Operator", "note": " "}, [])
    assert settled(play.screens["a"])["message"] == "Give a reason."
    assert play.types == []

    play.walkthrough.say(play.step("a"), LEFT_OUT, {"by": "Operator", "note": "No leads."}, [])
    view = settled(play.screens["a"], 2)
    assert (view["outcome"], view["reason"]) == ("skipped", "Operator: No leads.")
    assert play.run.history.words("a")[0][0].origin == "walkthrough"


def test_an_attestation_is_withdrawn_with_a_reason(scene: Make) -> None:
    """After a withdrawal the attestation no longer counts, and the history shows both."""
    play = scene(make_step("a"))
    step, screen = play.step("a"), play.screens["a"]
    play.walkthrough.say(step, DONE, {"by": "Operator"}, [])
    settled(screen)
    play.walkthrough.say(step, WordKind.WITHDRAWN, {"by": "Operator", "note": ""}, [])
    assert settled(screen, 2)["outcome"] == "attested"
    play.walkthrough.say(step, WordKind.WITHDRAWN, {"by": "Operator", "note": "A mistake."}, [])
    view = settled(screen, 3)

    assert view["outcome"] == "not_run"
    assert "withdraw" not in view["actions"]["menu"]
    assert [each["what"] for each in view["history"]] == [
        "withdrawn by Operator: A mistake.",
        "confirmed by Operator",
    ]


def test_what_was_submitted_may_be_declined_and_submitted_again(scene: Make) -> None:
    """A decline fails the step; the latest statement counts."""
    play = scene(waiting_step(undecided))
    step, screen = play.step("wait"), play.screens["wait"]
    found = []
    for number, kind in enumerate(
        (WordKind.SUBMITTED, WordKind.DECLINED, WordKind.SUBMITTED), start=1
    ):
        play.walkthrough.say(step, kind, {"by": "Operator", "note": "n"}, [])
        found.append(settled(screen, number)["outcome"])

    assert found == ["waiting", "failed", "waiting"]


def test_a_comment_and_a_colleague_are_recorded(scene: Make) -> None:
    """A comment and who does the step by when are recorded; the outcome stays."""
    play = scene(make_step("a"))
    step = play.step("a")
    play.walkthrough.add_note(step, NoteKind.COMMENTED, {"by": "A", "note": "Ask them."})
    settled(play.screens["a"])
    words = {"by": "A", "to": "A colleague", "due": "2026-12-01"}
    play.walkthrough.add_note(step, NoteKind.ASSIGNED, words)
    view = settled(play.screens["a"], 2)

    assert (view["message"], view["outcome"], view["written"]) == ("Recorded.", "not_run", 2)
    assert view["assigned"] == "for A colleague by 2026-12-01"
    said = [each["what"] for each in view["history"]]
    assert any("A colleague" in each for each in said)
    assert any("Ask them." in each for each in said)


@pytest.mark.parametrize(
    ("kind", "words", "said"),
    [
        (NoteKind.COMMENTED, {"by": "A", "note": "  "}, "Write the comment."),
        (NoteKind.COMMENTED, {"by": " ", "note": "n"}, "Enter your name"),
        (NoteKind.ASSIGNED, {"by": "A", "to": "B", "due": "tomorrow"}, "due takes a day"),
        (NoteKind.ASSIGNED, {"by": "A", "to": "B", "due": "2020-01-01"}, "is before the day"),
        (NoteKind.ASSIGNED, {"by": "A", "to": "B\u202e"}, "Who does it"),
    ],
)
def test_a_note_that_cannot_be_kept_says_why(
    scene: Make, kind: NoteKind, words: dict[str, str], said: str
) -> None:
    """
    A note without its text, a name or a possible day is refused; nothing is written.

    What to do then is about the form, not about the settings.
    """
    play = scene(make_step("a"))
    play.walkthrough.add_note(play.step("a"), kind, words)
    view = settled(play.screens["a"])

    assert view["is_error"]
    assert view["advice"]
    assert "setting" not in view["advice"]
    assert said in view["message"]
    assert play.types == []


ANSWERS = (
    Confirmation(
        name="not-asked", label="Not asked", sentence="It is not asked for.", counts_days=90
    ),
    Confirmation(name="asked", label="Asked for", sentence="It is asked for.", due_days=60),
)


def test_another_answer_is_recorded_with_its_days(scene: Make) -> None:
    """Each answer has the days that it can have, and is recorded as its sentence."""
    play = scene(make_step("a", kind=StepKind.WAIT, counts_days=365, answers=ANSWERS))
    form = play.screens["a"].view["forms"][0]
    options = {option["name"]: option for option in form["options"]}
    found = []
    for number, days in enumerate(
        ({"answer": "not-asked"}, {"answer": "asked", "due": "2026-12-24"}, {"until": ""}), start=1
    ):
        play.walkthrough.say(play.step("a"), DONE, {"by": "A", **days}, [])
        view = settled(play.screens["a"], number)
        found.append((view["outcome"], view["reason"]))

    assert list(options) == ["submit", "attest-not-asked", "attest-asked", "attest", "decline"]
    asked = options["attest-asked"]
    assert (asked["action"], asked["answer"], asked["sentence"]) == (
        *("attest", "asked", "It is asked for."),
    )
    fields = {name: [field["name"] for field in part["fields"]] for name, part in options.items()}
    assert fields["attest-asked"] == ["due"]
    assert fields["attest-not-asked"] == ["until"]
    assert fields["attest"] == ["on", "until"]
    at = "24 Nov, 12:00"
    assert found == [
        ("attested", f"Not asked, says A on {at}, counts until 2027-02-22"),
        ("waiting", f"Asked for, says A on {at}, due 2026-12-24"),
        ("attested", f"A on {at}, counts until 2027-11-24"),
    ]
    words = [word for word, _ in play.run.history.words("a")]
    assert [word.sentence for word in words] == [
        *("It is not asked for.", "It is asked for.", "I did a.")
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"answer": "asked"}, "due is missing"),
        ({"answer": "asked", "due": "2027-01-24"}, "is more than 60 days after 2026-11-24"),
        ({"answer": "asked", "due": "soon"}, "due takes a day"),
        ({"due": "2026-12-01"}, "due is not for this"),
        ({"until": "2027-11-25"}, "is more than 365 days after 2026-11-24"),
        ({"until": "2026-11-23"}, "is before the day on which it was said"),
        ({"answer": "never"}, "known are not-asked, asked"),
    ],
)
def test_days_that_cannot_be_are_refused(scene: Make, words: dict[str, str], said: str) -> None:
    """
    A day that is missing, impossible or not this answer's is refused; nothing is written.

    What to do then is about the form, not about the settings.
    """
    play = scene(make_step("a", counts_days=365, answers=ANSWERS))
    play.walkthrough.say(play.step("a"), DONE, {"by": "A", **words}, [])
    view = settled(play.screens["a"])

    assert view["is_error"]
    assert view["advice"] == "Correct it, then confirm again; nothing was recorded."
    assert said in view["message"]
    assert play.types == []


def test_only_what_is_attested_has_days(scene: Make) -> None:
    """That something was submitted has no end, also where an attestation would have one."""
    play = scene(make_step("a", kind=StepKind.WAIT, counts_days=365, answers=ANSWERS))
    play.walkthrough.say(play.step("a"), WordKind.SUBMITTED, {"by": "A", "until": "x"}, [])
    view = settled(play.screens["a"])

    assert (view["outcome"], view["reason"]) == (
        *("waiting", "Submitted, says A on 24 Nov, 12:00"),
    )


ANSWER = b'{"app_id": "999", "is_live": false}'


def test_an_answer_of_the_developer_tools_is_kept_unread(scene: Make) -> None:
    """A step says which answer may be attached; whatever that says, the person's word counts."""
    asked = "devtools_app basic_settings"
    play = scene(replace(make_step("a"), developer_tools=asked), app_id=APP_ID)
    (form,) = [form for form in play.screens["a"].view["forms"] if form["name"] == "attest"]
    file = {"name": "answer.json", "media_type": "application/json", "content": ANSWER}
    play.walkthrough.say(play.step("a"), DONE, {"by": "Operator"}, [file])
    view = settled(play.screens["a"])

    assert asked in form["files_help"]
    assert view["outcome"] == "attested"
    ((word, _),) = play.run.history.words("a")
    (attachment,) = word.attachments
    kept = play.run.journal.path.parent / "attachments" / f"{attachment.sha256}.json"
    assert (attachment.name, kept.read_bytes()) == ("answer.json", ANSWER)


def test_what_happened_elsewhere_stands_before_the_note(scene: Make) -> None:
    """The day and the names that a person gave of it are recorded in front of their note."""
    play = scene(waiting_step())
    words = {
        "by": "A",
        "note": "Screencast missing.",
        "on": "2026-11-20",
        "permissions": ["ads_read", "leads_retrieval"],
        "files": [],
        "inputs": {},
    }
    play.walkthrough.say(play.step("wait"), WordKind.DECLINED, words, [])
    settled(play.screens["wait"])

    ((word, _),) = play.run.history.words("wait")
    assert word.note == (
        "(on 20 Nov 2026; permissions: ads_read, leads_retrieval) Screencast missing."
    )


def test_the_day_of_what_happened_elsewhere_is_a_day(scene: Make) -> None:
    """Another text is refused with an example, and nothing is recorded."""
    play = scene(waiting_step())
    words = {"by": "A", "on": "last week"}
    play.walkthrough.say(play.step("wait"), WordKind.DECLINED, words, [])

    assert "takes a day such as 2026-12-01" in settled(play.screens["wait"])["message"]
    assert play.written == ""


@pytest.mark.parametrize("words", [{}, {"on": ""}, {"permissions": []}, {"files": [{"name": "x"}]}])
def test_without_an_event_the_note_is_as_it_was_written(scene: Make, words: Any) -> None:
    """Without a day or names nothing is put before the note; files are no names."""
    play = scene(waiting_step())
    play.walkthrough.say(
        play.step("wait"), WordKind.SUBMITTED, {"by": "A", "note": "n", **words}, []
    )
    settled(play.screens["wait"])

    ((word, _),) = play.run.history.words("wait")
    assert word.note == "n"


@pytest.mark.parametrize(
    "words",
    [
        {"permissions": ["ads_read\u202e"]},
        {"permissions": ["ads_read\x00"]},
        {"permis\u202esions": ["ads_read"]},
        {"permissions": ["ads_read"] * 1_000},
        {"permissions": ["x" * 2_001]},
        {str(number): ["ads_read"] for number in range(1_000)},
        {"permissions": ["x" * 1_000], "note": "y" * 1_000},
        {"on": "2026-11-20\u202e"},
    ],
)
def test_names_that_cannot_be_kept_are_refused(scene: Make, words: Any) -> None:
    """A note has a limit and no invisible character, whatever is put before it."""
    play = scene(waiting_step())
    play.walkthrough.say(play.step("wait"), WordKind.SUBMITTED, {"by": "A", **words}, [])
    view = settled(play.screens["wait"])

    assert view["is_error"]
    assert view["advice"] == "Correct it, then press the button again."
    assert len(view["message"]) < 300
    assert play.types == []


def test_a_list_of_something_else_is_kept_as_text(scene: Make) -> None:
    """What is not a text in a list is recorded as it is written, and ends no action."""
    play = scene(waiting_step())
    words = {"by": "A", "permissions": [1, None, {"a": ["b"]}]}
    play.walkthrough.say(play.step("wait"), WordKind.SUBMITTED, words, [])

    assert not settled(play.screens["wait"])["is_error"]
    ((word, _),) = play.run.history.words("wait")
    assert word.note == "(permissions: 1, None, {'a': ['b']})"


def test_values_typed_beside_a_word_are_accepted_first(scene: Make) -> None:
    """What was typed when somebody confirmed is kept, and the word is about it."""
    play = scene(replace(app_step(), subject=("app_id",)))
    words = {"by": "A", "inputs": {"app_id": APP_ID}}
    play.walkthrough.say(play.step("app"), DONE, words, [])
    view = settled(play.screens["app"])

    assert (view["message"], view["taken"], view["written"]) == ("Recorded.", 1, 1)
    assert view["outcome"] == "attested"
    ((word, _),) = play.run.history.words("app")
    assert word.binding.subject == {"app_id": APP_ID}


def test_a_refused_value_records_no_word(scene: Make) -> None:
    """If a value typed beside it is refused, nothing is confirmed; the field says why."""
    play = scene(app_step())
    words = {"by": "A", "inputs": {"app_id": "29445"}}
    play.walkthrough.say(play.step("app"), DONE, words, [])
    view = settled(play.screens["app"])

    assert view["is_error"]
    assert [refused["input"] for refused in view["refused"]] == ["app_id"]
    assert view["written"] == 0
    assert play.run.history.words("app") == []
    assert EventType.STEP_ATTESTED not in play.types
