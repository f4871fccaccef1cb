"""Whether a person's statement still counts: only for the subject that it was made about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook_lib.core.procedure import (
    Binding,
    Check,
    Input,
    Procedure,
    Section,
    Source,
    Step,
    StepKind,
    Value,
    Word,
    WordKind,
)
from runbook_lib.core.words import Subject, bind, misfit, weigh
from tests.support.words import AT, attested, declined, skipped, submitted, withdrawn

APP_ID = Input(name="app_id", label="App ID", help="")
NAMES = Input(name="permissions", label="Permissions", help="")
SECRET = Input(name="app_secret", label="App Secret", help="", secret=True)


def check(context: object) -> None:
    """Do nothing."""


STEP = Step(
    id="a",
    title="Do a",
    kind=StepKind.WAIT,
    source=Source(1),
    prose="",
    confirms="I did it.",
    subject=("app_id", "permissions", "app_secret"),
    checks=(Check("is-there", check),),
)
PROCEDURE = Procedure(
    id="p",
    version="1",
    title="P",
    sections=(Section(id="01", title="", intro="", steps=(STEP,)),),
    inputs=(APP_ID, NAMES, SECRET),
)
VALUES: dict[str, Value] = {
    "app_id": "111",
    "permissions": ("a", "b"),
    "app_secret": "12345678:ab",
}
NOW = Subject(PROCEDURE, VALUES)


def subject(**values: Value) -> Subject:
    return Subject(PROCEDURE, {**VALUES, **values})


def said(word: Word, of: Subject = NOW, given: Mapping[str, Value] | None = None) -> Word:
    """Return the statement as the journal has it."""
    return replace(word, binding=bind(STEP, of, given))


def test_a_word_is_bound_to_all_that_its_step_is_about() -> None:
    """A statement is bound to connector, sentence, checks, text and every value of the subject."""

    assert bind(STEP, NOW) == Binding(
        connector="p",
        confirms=STEP.confirms_digest,
        text=STEP.text_digest,
        subject=VALUES,
    )


def test_an_unknown_value_is_bound_as_none() -> None:
    """A missing or empty value is bound as None."""

    bound = bind(STEP, Subject(PROCEDURE, {"app_id": "", "permissions": ("a",)}))

    assert bound.subject == {"app_id": None, "permissions": ("a",), "app_secret": None}


def test_a_given_subject_takes_precedence() -> None:
    """A subject named in the file takes precedence over the known values."""

    assert bind(STEP, NOW, {"app_id": "222"}).subject == {**VALUES, "app_id": "222"}


def test_a_statement_fits_its_own_subject() -> None:
    """A statement fits the same values, in any order of permissions."""

    assert misfit(bind(STEP, NOW), STEP, NOW) == ""
    assert misfit(bind(STEP, NOW), STEP, subject(permissions=("b", "a"))) == ""


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"app_id": "222"}, "for App ID 111, not 222"),
        ({"app_id": ""}, "for App ID 111, which is not known now"),
        ({"permissions": ("a", "b", "c")}, "for Permissions a, b, not a, b, c"),
        ({"permissions": ("a",)}, "for Permissions a, b, not a"),
        ({"app_secret": "12345678:cd"}, "for another App Secret"),
        (
            {"app_secret": "99999999:ab"},
            "for an earlier App Secret that the new fingerprint.key cannot recognise",
        ),
        ({"app_secret": ""}, "for another App Secret"),
        (
            {"app_id": "222", "app_secret": "12345678:cd"},
            "for App ID 111, not 222 and for another App Secret",
        ),
    ],
)
def test_a_changed_value_is_named(change: dict[str, Value], why: str) -> None:
    """A changed value is named with the old and the new one; of a secret only that it changed."""

    assert misfit(bind(STEP, NOW), STEP, subject(**change)) == why


def test_a_value_that_was_unknown_is_no_misfit() -> None:
    """A value that was unknown at the time is no misfit."""

    bound = bind(STEP, Subject(PROCEDURE, {"permissions": ("a", "b")}))

    assert misfit(bound, STEP, NOW) == ""


def test_another_sentence_check_or_connector_is_a_misfit() -> None:
    """A changed sentence, check or connector is a misfit."""

    bound = bind(STEP, NOW)
    other = Subject(replace(PROCEDURE, id="q"), VALUES)

    reworded = replace(STEP, confirms="I did it all.")
    rechecked = replace(STEP, checks=(Check("is-there-still", check),))
    for step in (reworded, rechecked):
        assert misfit(bound, step, NOW) == "before its sentence or its checks were changed"
    assert misfit(bound, STEP, other) == "for the connector p"
    assert misfit(Binding(), STEP, NOW) == "for the connector of another form"


def test_other_text_is_no_misfit() -> None:
    """A change of prose, title or hints is no misfit."""

    corrected = replace(STEP, prose="Corrected.", title="Do it", today="Moved.")

    assert misfit(bind(STEP, NOW), corrected, NOW) == ""


def test_a_statement_without_a_later_subject_name_is_a_misfit() -> None:
    """A statement from before a name was added to the subject does not fit."""

    bound = replace(bind(STEP, NOW), subject={"app_id": "111"})

    assert misfit(bound, STEP, NOW) == "before all values that it is about were recorded"


@pytest.mark.parametrize("kind", [kind for kind in WordKind if kind is not WordKind.WITHDRAWN])
def test_every_kind_of_statement_lapses(kind: WordKind) -> None:
    """No kind of statement counts for another app."""

    word = said(Word(kind=kind, step="a", by="Operator", at=AT))

    assert weigh([word], STEP, NOW) == (word, (), ())
    counting, others, (lapsed,) = weigh([word], STEP, subject(app_id="222"))
    assert (counting, others) == (None, ())
    assert lapsed.word == word
    assert lapsed.sentence.startswith("Operator ")
    again = "confirm it again." if kind is WordKind.ATTESTED else "say it again."
    assert lapsed.sentence.endswith(f"for App ID 111, not 222, so it no longer counts: {again}")


def test_the_newest_fitting_statement_counts() -> None:
    """The newest statement that fits counts, even if a newer one about another app exists."""

    old = said(attested("a", by="First"))
    other = said(skipped("a", by="Second"), subject(app_id="222"))

    assert weigh([old, other], STEP, NOW) == (old, (), ())
    assert weigh([old, other], STEP, subject(app_id="222"))[0] == other


def test_kinds_replace_each_other() -> None:
    """Of several kinds of statements, the last one counts."""

    words = [said(word("a", note=str(n))) for n, word in enumerate((submitted, declined) * 2)]
    words.append(said(attested("a")))

    for number, word in enumerate(words, start=1):
        assert weigh(words[:number], STEP, NOW) == (word, (), ())


def test_a_second_person_confirms_only_what_fits() -> None:
    """Of other persons, the newest fitting statement of the same kind confirms."""

    first, again = said(attested("a", by="First")), said(attested("a", by="first", note="x"))
    lapsed = said(attested("a", by="Third"), subject(app_id="222"))
    second = said(attested("a", by="Second"))

    assert weigh([first, lapsed, again, second], STEP, NOW) == (second, (again,), ())


def test_a_withdrawal_takes_back_what_was_said_before() -> None:
    """A withdrawal voids the earlier statements of all persons, but no later one."""

    words = [
        said(attested("a", by="First")),
        said(attested("a", by="Second")),
        said(withdrawn("a")),
    ]
    later = said(attested("a", by="Third"))

    assert weigh(words, STEP, NOW) == (None, (), ())
    assert weigh([*words, later], STEP, NOW) == (later, (), ())


def test_a_withdrawal_of_another_subject_takes_nothing_back() -> None:
    """A withdrawal about another app voids nothing of this one."""

    other = subject(app_id="222")
    mine, theirs = said(attested("a")), said(attested("a", by="Second"), other)
    words = [mine, theirs, said(withdrawn("a"), other)]

    assert weigh(words, STEP, NOW) == (mine, (), ())
    assert weigh(words, STEP, other) == (None, (), weigh([mine], STEP, other)[2])


def test_lapsed_statements_are_shown_once_per_person() -> None:
    """The newest lapsed statement of each person is shown, and none if a newer statement counts."""

    old = [said(attested("a", by=by, note=str(n))) for n, by in enumerate(("A", "B", "a"))]
    now = subject(app_id="222")
    lapsed = weigh(old, STEP, now)[2]

    assert [(each.word.by, each.word.note) for each in lapsed] == [("a", "2"), ("B", "1")]
    assert weigh([*old, said(attested("a"), now)], STEP, now)[2] == ()


@given(
    st.lists(st.tuples(st.sampled_from(WordKind), st.sampled_from("AB"), st.sampled_from("12"))),
    st.sampled_from("12"),
)
def test_no_statement_counts_for_another_subject(
    words: list[tuple[WordKind, str, str]], now: str
) -> None:
    """Whatever the order of statements, the one that counts is about the present app."""

    spoken = [
        said(Word(kind=kind, step="a", by=by, at=AT), subject(app_id=app_id))
        for kind, by, app_id in words
    ]
    counting, others, lapsed = weigh(spoken, STEP, subject(app_id=now))

    for word in (*others, *([counting] if counting else [])):
        assert word.binding.subject["app_id"] == now
    for each in lapsed:
        assert each.word.binding.subject["app_id"] != now
    mine = [kind for kind, _, app_id in words if app_id == now]
    assert (counting is None) is (not mine or mine[-1] is WordKind.WITHDRAWN)


def test_another_kind_of_statement_starts_a_new_count() -> None:
    """An attestation after a skip by another person does not confirm the one before the skip."""

    words = [
        said(attested("a", by="First")),
        said(skipped("a", by="Second")),
        said(attested("a", by="Third")),
    ]

    assert weigh(words, STEP, NOW) == (words[2], (), ())
    assert weigh(words[:2], STEP, NOW) == (words[1], (), ())
