"""What people confirm, skip, withdraw and comment in a panel, with their screenshots."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from msgspec import structs

from runbook_lib.connectors.facebook import inputs
from runbook_lib.core.model import Attestation, AttestationKind, Binding, Finding, NoteKind, Outcome
from runbook_lib.core.procedure import AnswerOption, StepKind
from tests.conftest import NOON
from tests.support.wording import wording
from tests.unit.bodies import APP_ID
from tests.unit.walkthrough.conftest import (
    DONE,
    LEFT_OUT,
    PNG,
    CheckCalls,
    MakeHarness,
    WalkthroughHarness,
    saying,
    undecided,
)
from tests.unit.walkthrough.sample_run import app_step, make_step, settled, waiting_step


def say(
    harness: WalkthroughHarness,
    kind: AttestationKind = DONE,
    *files: dict[str, Any],
    finished: int = 1,
    **words: Any,
) -> dict[str, Any]:
    """Say this of the only step, as a person does in its panel; return what that shows then."""
    ((name, screen),) = harness.panels.items()
    harness.walkthrough.say(harness.step(name), kind, {"by": "A", **words}, list(files))
    return settled(screen, finished)


def kept(harness: WalkthroughHarness) -> Attestation:
    """Return the only word that the journal has."""
    (word,) = harness.attestations
    return word


def refused(harness: WalkthroughHarness, view: dict[str, Any], advice: str = "") -> str:
    """Return why a panel refused what was typed; nothing is written, and it says what to do."""
    assert view["is_error"]
    assert view["advice"] == (advice or view["advice"])
    assert harness.types == []
    message: str = view["message"]
    return message


def test_a_persons_statement_is_recorded(make_harness: MakeHarness) -> None:
    """Author, note and what they saw are recorded, with the sentence that they confirmed."""
    harness = make_harness(make_step("a"))
    view = say(
        harness, AttestationKind.SUBMITTED, by=" Operator ", note=" Seen. ", seen=" new screen "
    )

    assert (view["message"], view["outcome"]) == ("Recorded.", "waiting")
    assert structs.replace(kept(harness), binding=Binding()) == Attestation(
        kind=AttestationKind.SUBMITTED,
        by="Operator",
        at="2026-11-24T12:00:00.000Z",
        note="Seen.",
        seen="new screen",
        origin="walkthrough",
        sentence=harness.step("a").sentence,
    )


def test_a_screenshot_is_stored_by_its_digest(make_harness: MakeHarness) -> None:
    """A screenshot is stored beside the journal under its digest, and the journal names it."""
    harness = make_harness(make_step("a"))
    view = say(harness, DONE, {"name": "screen.png", "media_type": "image/png", "content": PNG})

    digest = hashlib.sha256(PNG).hexdigest()
    path = harness.run.journal.path.parent / "attachments" / f"{digest}.png"
    assert path.read_bytes() == PNG
    (attachment,) = kept(harness).attachments
    assert (attachment.name, attachment.sha256) == ("screen.png", digest)
    assert "[screen.png]" in view["history"][0]["event"]


def test_an_invalid_screenshot_is_refused(make_harness: MakeHarness) -> None:
    """A file whose content does not match its type is refused, and nothing is recorded."""
    harness = make_harness(make_step("a"))
    view = say(harness, DONE, {"name": "x.png", "media_type": "image/png", "content": b"<script>"})

    assert wording("setting-invalid.attachment-not-supported", name="x.png") in refused(
        harness, view
    )


@pytest.mark.parametrize("words", [{}, {"by": "  "}, {"note": "x"}])
@pytest.mark.parametrize("said", AttestationKind)
def test_a_name_is_required(make_harness: MakeHarness, words: Any, said: AttestationKind) -> None:
    """Without a name nothing is recorded."""
    harness = make_harness(make_step("a"))
    assert refused(harness, harness.say("a", said, words)).startswith(
        wording("walkthrough.enter-your-name")
    )


def test_skipping_a_step_needs_a_reason(make_harness: MakeHarness) -> None:
    """A step is skipped only with a reason; without one nothing is recorded."""
    harness = make_harness(make_step("a"))
    assert refused(harness, say(harness, LEFT_OUT, note=" ")) == "Give a reason."

    view = say(harness, LEFT_OUT, note="No leads.", finished=2)
    assert (view["outcome"], view["reason"]) == ("skipped", "A: No leads.")
    assert kept(harness).origin == "walkthrough"


def test_an_attestation_is_withdrawn_with_a_reason(make_harness: MakeHarness) -> None:
    """After a withdrawal the attestation no longer counts, and the history shows both."""
    harness = make_harness(make_step("a"))
    say(harness)
    assert say(harness, AttestationKind.WITHDRAWN, note="", finished=2)["outcome"] == "attested"
    view = say(harness, AttestationKind.WITHDRAWN, note="A mistake.", finished=3)

    assert view["outcome"] == "not_run"
    assert "withdraw" not in view["actions"]["menu"]
    history = [line["event"] for line in view["history"]]
    assert history == [
        wording("walkthrough.withdrawn-by", name="A", note="A mistake."),
        wording("walkthrough.confirmed-by", name="A"),
    ]


def test_a_submitted_step_may_be_declined_and_submitted_again(make_harness: MakeHarness) -> None:
    """A decline fails the step; the latest statement counts."""
    harness = make_harness(waiting_step(undecided))
    kinds = (AttestationKind.SUBMITTED, AttestationKind.DECLINED, AttestationKind.SUBMITTED)
    found = [say(harness, kind, note="n", finished=n)["outcome"] for n, kind in enumerate(kinds, 1)]

    assert found == ["waiting", "failed", "waiting"]


def test_a_comment_and_a_colleague_are_recorded(make_harness: MakeHarness) -> None:
    """A comment and who does the step by when are recorded; the outcome stays."""
    harness = make_harness(make_step("a"))
    step = harness.step("a")
    harness.walkthrough.add_note(step, NoteKind.COMMENTED, {"by": "A", "note": "Ask them."})
    settled(harness.panels["a"])
    words = {"by": "A", "to": "A colleague", "due": "2026-12-01"}
    harness.walkthrough.add_note(step, NoteKind.ASSIGNED, words)
    view = settled(harness.panels["a"], 2)

    assert (view["message"], view["outcome"], view["written"]) == ("Recorded.", "not_run", 2)
    assert view["assigned"] == wording(
        "walkthrough.assigned-by", name="A colleague", day="2026-12-01"
    )
    said = [each["event"] for each in view["history"]]
    assert any("A colleague" in each for each in said)
    assert any("Ask them." in each for each in said)


def overdue(harness: WalkthroughHarness, days: int, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the delay that the only panel shows so many days later."""
    monkeypatch.setattr(harness.run.journal, "clock", lambda: NOON + timedelta(days=days))
    harness.walkthrough.panels.draw()
    (screen,) = harness.panels.values()
    late: str = screen.view["overdue"]
    return late


def test_an_outside_party_is_late_after_its_usual_days(
    make_harness: MakeHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The days count from the submission; on the last usual day nobody is late."""
    harness = make_harness(replace(waiting_step(), usual_days=22))
    harness.open_cards("wait")
    say(harness, AttestationKind.SUBMITTED)
    usually = wording("walkthrough.usually-at-most", days=22)

    assert overdue(harness, 22, monkeypatch) == ""
    assert overdue(harness, 23, monkeypatch) == (
        f"{wording('walkthrough.days-overdue', days='1 day')}{usually}"
    )


def test_a_colleague_is_late_after_the_due_day(
    make_harness: MakeHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The day by which a step was handed over counts, not the usual time of an outside party."""
    harness = make_harness(replace(waiting_step(), usual_days=1))
    harness.open_cards("wait")
    say(harness, AttestationKind.SUBMITTED)
    words = {"by": "A", "to": "A colleague", "due": "2026-12-01"}
    harness.walkthrough.add_note(harness.step("wait"), NoteKind.ASSIGNED, words)
    settled(harness.panels["wait"], 2)

    assert overdue(harness, 7, monkeypatch) == ""
    assert overdue(harness, 9, monkeypatch) == wording("walkthrough.days-overdue", days="2 days")


@pytest.mark.parametrize(
    ("kind", "words", "said"),
    [
        (NoteKind.COMMENTED, {"by": "A", "note": "  "}, "Write the comment."),
        (NoteKind.COMMENTED, {"by": " ", "note": "n"}, wording("walkthrough.enter-your-name")),
        (NoteKind.ASSIGNED, {"by": "A", "to": "B", "due": "tomorrow"}, "due takes a day"),
        (NoteKind.ASSIGNED, {"by": "A", "to": "B", "due": "2020-01-01"}, "is before the day"),
        (NoteKind.ASSIGNED, {"by": "A", "to": "B\u202e"}, "Person"),
    ],
)
def test_a_note_that_cannot_be_kept_says_why(
    make_harness: MakeHarness, kind: NoteKind, words: dict[str, str], said: str
) -> None:
    """A note without its text, a name or a possible day is refused, with advice on the form."""
    harness = make_harness(make_step("a"))
    harness.walkthrough.add_note(harness.step("a"), kind, words)
    view = settled(harness.panels["a"])

    assert view["advice"]
    assert "setting" not in view["advice"]
    assert said in refused(harness, view)


ANSWERS = (
    AnswerOption(
        name="not-asked", label="Not asked", sentence="It is not asked for.", valid_days=90
    ),
    AnswerOption(name="asked", label="Asked for", sentence="It is asked for.", due_days=60),
)


def test_another_answer_is_recorded_with_its_days(make_harness: MakeHarness) -> None:
    """Each answer has the days that it can have, and is recorded as its sentence."""
    harness = make_harness(make_step("a", kind=StepKind.WAIT, valid_days=365, answers=ANSWERS))
    form = harness.panels["a"].view["forms"][0]
    options = {option["name"]: option for option in form["options"]}
    found = []
    days = ({"answer": "not-asked"}, {"answer": "asked", "due": "2026-12-24"}, {"until": ""})
    for number, named in enumerate(days, start=1):
        view = say(harness, finished=number, **named)
        found.append((view["outcome"], view["reason"]))

    assert list(options) == ["submit", "attest-not-asked", "attest-asked", "attest", "decline"]
    asked = options["attest-asked"]
    assert (asked["action"], asked["answer"], asked["sentence"]) == (
        "attest",
        "asked",
        "It is asked for.",
    )
    fields = {name: [field["name"] for field in part["fields"]] for name, part in options.items()}
    assert fields["attest-asked"] == ["due"]
    assert fields["attest-not-asked"] == ["until"]
    assert fields["attest"] == ["on", "until"]
    at = "24 Nov, 12:00"
    assert found == [
        ("attested", f"Not asked (A on {at}), counts until 2027-02-22"),
        ("waiting", f"Asked for (A on {at}), due 2026-12-24"),
        ("attested", f"A on {at}, counts until 2027-11-24"),
    ]
    assert [word.sentence for word in harness.attestations] == [
        "It is not asked for.",
        "It is asked for.",
        "I did a.",
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"answer": "asked"}, "due is missing"),
        (
            {"answer": "asked", "due": "2027-01-24"},
            "is more than 60 days after this entry, 2026-11-24",
        ),
        ({"answer": "asked", "due": "soon"}, "due takes a day"),
        ({"due": "2026-12-01"}, "due does not apply to this entry"),
        ({"until": "2027-11-25"}, "is more than 365 days after this entry, 2026-11-24"),
        ({"until": "2026-11-23"}, "is before the day on which it was said"),
        ({"answer": "never"}, "known answers: not-asked, asked"),
    ],
)
def test_days_that_cannot_be_are_refused(
    make_harness: MakeHarness, words: dict[str, str], said: str
) -> None:
    """A day that is missing, impossible or not this answer's is refused, with advice on it."""
    harness = make_harness(make_step("a", valid_days=365, answers=ANSWERS))
    advice = "Correct it, then confirm again; nothing was recorded."

    assert said in refused(harness, say(harness, **words), advice)


def test_only_what_is_attested_has_days(make_harness: MakeHarness) -> None:
    """That something was submitted has no end, also where an attestation would have one."""
    harness = make_harness(make_step("a", kind=StepKind.WAIT, valid_days=365, answers=ANSWERS))
    view = say(harness, AttestationKind.SUBMITTED, until="x")

    assert (view["outcome"], view["reason"]) == (
        "waiting",
        "Submitted (A on 24 Nov, 12:00)",
    )


ANSWER = b'{"app_id": "999", "is_live": false}'


def test_an_answer_of_the_developer_tools_is_kept_unread(make_harness: MakeHarness) -> None:
    """A step says which answer may be attached; whatever that says, the person's word counts."""
    asked = "devtools_app basic_settings"
    harness = make_harness(replace(make_step("a"), developer_tools=asked), app_id=APP_ID)
    (form,) = [form for form in harness.panels["a"].view["forms"] if form["name"] == "attest"]
    file = {"name": "answer.json", "media_type": "application/json", "content": ANSWER}

    assert asked in form["files_help"]
    assert say(harness, DONE, file)["outcome"] == "attested"
    (attachment,) = kept(harness).attachments
    path = harness.run.journal.path.parent / "attachments" / f"{attachment.sha256}.json"
    assert (attachment.name, path.read_bytes()) == ("answer.json", ANSWER)


@pytest.mark.parametrize(
    ("kind", "words", "note"),
    [
        # The day and the names that a person gave are recorded in front of their note.
        (
            AttestationKind.DECLINED,
            {"on": "2026-11-20", "permissions": ["ads_read", "leads_retrieval"]},
            "(on 20 Nov 2026; permissions: ads_read, leads_retrieval) n",
        ),
        # Without them nothing is; files and inputs are no names.
        (AttestationKind.SUBMITTED, {}, "n"),
        (AttestationKind.SUBMITTED, {"on": ""}, "n"),
        (AttestationKind.SUBMITTED, {"permissions": []}, "n"),
        (AttestationKind.SUBMITTED, {"files": [{"name": "x"}], "inputs": {}}, "n"),
        # What is not a text in a list is recorded as it is written, and ends no action.
        (
            AttestationKind.SUBMITTED,
            {"permissions": [1, None, {"a": ["b"]}]},
            "(permissions: 1, None, {'a': ['b']}) n",
        ),
    ],
)
def test_an_event_elsewhere_is_written_before_the_note(
    make_harness: MakeHarness, kind: AttestationKind, words: Any, note: str
) -> None:
    """A person's remark about an event elsewhere is kept as text, with the note behind it."""
    harness = make_harness(waiting_step())

    assert not say(harness, kind, note="n", **words)["is_error"]
    assert kept(harness).note == note


def test_the_day_of_what_happened_elsewhere_is_a_day(make_harness: MakeHarness) -> None:
    """Another text is refused with an example, and nothing is recorded."""
    harness = make_harness(waiting_step())
    view = say(harness, AttestationKind.DECLINED, on="last week")

    assert wording("setting-invalid.takes-a-day", example="2026-12-01") in refused(harness, view)
    assert harness.written == ""


TODAY = wording("walkthrough.today-is", day="2026-11-24")
DOUBTFUL_DAYS = [
    (
        AttestationKind.SUBMITTED,
        {"on": "2026-11-25"},
        wording("walkthrough.in-the-future", day="2026-11-25"),
    ),
    (
        AttestationKind.DECLINED,
        {"on": "2027-11-23"},
        wording("walkthrough.in-the-future", day="2027-11-23"),
    ),
    (
        DONE,
        {"answer": "asked", "due": "2026-11-23"},
        wording("walkthrough.has-passed", day="2026-11-23"),
    ),
]


@pytest.mark.parametrize(("kind", "words", "doubt"), DOUBTFUL_DAYS)
def test_a_doubtful_day_is_recorded_only_if_a_person_is_sure(
    make_harness: MakeHarness, kind: AttestationKind, words: dict[str, str], doubt: str
) -> None:
    """A day sent tomorrow or due yesterday is questioned first, and nothing is recorded."""
    harness = make_harness(make_step("a", kind=StepKind.WAIT, answers=ANSWERS))
    (name,) = set(words) - {"answer"}
    view = say(harness, kind, {"name": "a.png", "media_type": "image/png", "content": PNG}, **words)
    assert wording("walkthrough.use-it-anyway") in view["advice"]
    assert refused(harness, view).startswith(wording("walkthrough.not-recorded-yet"))
    assert view["refused"] == [
        {"input": name, "doubt": f"{doubt}: {TODAY}"},
    ]
    assert not (harness.run.journal.path.parent / "attachments").exists()

    view = say(harness, kind, **words, sure=[name], finished=2)
    assert (view["refused"], view["message"]) == ([], "Recorded.")
    assert "sure" not in kept(harness).note


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (AttestationKind.SUBMITTED, {"on": "2026-11-24"}),
        (DONE, {"answer": "asked", "due": "2026-11-24"}),
    ],
)
def test_today_is_no_doubtful_day(
    make_harness: MakeHarness, kind: AttestationKind, words: dict[str, str]
) -> None:
    """A day sent today, or due today, is recorded at once."""
    harness = make_harness(make_step("a", kind=StepKind.WAIT, answers=ANSWERS))
    assert say(harness, kind, **words)["message"] == "Recorded."


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
def test_names_that_cannot_be_kept_are_refused(make_harness: MakeHarness, words: Any) -> None:
    """A note has a limit and no invisible character, whatever is put before it."""
    harness = make_harness(waiting_step())
    view = say(harness, AttestationKind.SUBMITTED, **words)

    assert len(refused(harness, view, wording("walkthrough.press-the-button-again"))) < 300


def test_values_typed_beside_a_word_are_accepted_first(make_harness: MakeHarness) -> None:
    """Values typed before a confirmation are recorded, and the attestation is about them."""
    harness = make_harness(replace(app_step(), subject=("app_id",)))
    view = say(harness, inputs={"app_id": APP_ID})

    assert (view["message"], view["taken"], view["written"]) == ("Recorded.", 1, 1)
    assert view["outcome"] == "attested"
    assert kept(harness).binding.subject == {"app_id": APP_ID}


def test_a_refused_value_records_no_word(make_harness: MakeHarness) -> None:
    """If a value typed beside it is refused, nothing is confirmed; the field says why."""
    harness = make_harness(app_step())
    view = say(harness, inputs={"app_id": "29445"})

    assert view["is_error"]
    assert [refused["input"] for refused in view["refused"]] == ["app_id"]
    assert view["written"] == 0
    assert harness.attestations == []


NO = Finding(outcome=Outcome.FAILED, code="a-code", reason="It is not so.")
ABSENT = Finding(outcome=Outcome.NOT_RUN, code="a-code", reason="It is not installed.")
YES = Finding(outcome=Outcome.VERIFIED, code="a-code", reason="It is so.")


@pytest.mark.parametrize("contradicts", [NO, ABSENT])
def test_a_contradicted_step_is_checked_again_before_it_is_confirmed(
    make_harness: MakeHarness, contradicts: Finding
) -> None:
    """It is refused with the check's reason; once it is set right, it counts."""
    findings = [contradicts]
    calls: CheckCalls = []
    harness = make_harness(make_step("a", saying(findings, calls)))
    harness.perform("a")
    asked = len(calls)

    view = harness.say("a", DONE, {"by": "A"}, finished=2)

    assert view["is_error"]
    assert contradicts.reason in view["message"]
    assert len(calls) == asked + 1
    assert harness.attestations == []
    findings.append(YES)
    assert not harness.say("a", DONE, {"by": "A"}, finished=3)["is_error"]
    assert [said.by for said in harness.attestations] == ["A"]


def test_a_person_may_skip_what_a_check_contradicts(make_harness: MakeHarness) -> None:
    """A skip with its reason is recorded without another check."""
    harness = make_harness(make_step("a", saying([NO], [])))
    harness.perform("a")
    harness.say("a", AttestationKind.SKIPPED, {"by": "A", "note": "Later."}, finished=2)

    assert [said.kind for said in harness.attestations] == [AttestationKind.SKIPPED]


def test_a_sentence_about_something_absent_is_not_confirmed(make_harness: MakeHarness) -> None:
    """Neither a step whose value is missing nor one after an absent thing can be confirmed."""
    harness = make_harness(
        make_step("a", saying([ABSENT], [])),
        make_step("b", after=("a",)),
        make_step("c", inputs=(inputs.APP_ID,), subject=("app_id",)),
    )
    harness.perform("a")

    after = harness.say("b", DONE, {"by": "A"})
    about = harness.say("c", DONE, {"by": "A"})

    assert ABSENT.reason in after["message"]
    assert inputs.APP_ID.label in about["message"]
    assert harness.attestations == []
