"""Whether a person's statement still counts: only for the subject that it was made about."""

from __future__ import annotations

import unicodedata
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from runbook_lib.core.model import Attestation, AttestationKind, Binding, Value
from runbook_lib.core.people import person_key, retell
from runbook_lib.run.attestations import Selection, Subject, last_day, mismatch, select_current
from runbook_lib.run.events import AnswerOption, CheckDefinition
from tests.support.attestations import AT, attestation
from tests.support.run_events import STEP as PLAIN
from tests.support.wording import wording

STEP = structs.replace(
    PLAIN,
    id="a",
    sentence="I did it.",
    subject=("app_id", "permissions", "app_secret"),
    checks=(CheckDefinition(id="is-there", confirm="", needs_human_only=False),),
)
VALUES: dict[str, Value] = {
    "app_id": "111",
    "permissions": ("a", "b"),
    "app_secret": "12345678:ab",
}
LABELS = {"app_id": "App ID", "permissions": "Permissions", "app_secret": "App Secret"}
NOW = Subject(connector="p", values=VALUES, labels=LABELS, secrets=("app_secret",))


def subject(**values: Value) -> Subject:
    """Return the present subject with other values."""
    return replace(NOW, values={**VALUES, **values})


def bind(of: Subject) -> Binding:
    """Return the binding of a statement about the step."""
    return Binding(
        connector=of.connector,
        checks=tuple(check.id for check in STEP.checks),
        subject={name: of.values.get(name) or None for name in STEP.subject},
    )


def said(kind: AttestationKind, of: Subject = NOW, **more: str) -> Attestation:
    """Return the statement as the journal has it."""
    return attestation(kind, binding=bind(of), sentence=STEP.sentence, **more)


def attested(of: Subject = NOW, **more: str) -> Attestation:
    """Return a confirmation of the step."""
    return said(AttestationKind.ATTESTED, of, **more)


def skipped(of: Subject = NOW, **more: str) -> Attestation:
    """Return a skip of the step."""
    return said(AttestationKind.SKIPPED, of, note="not needed", **more)


def withdrawn(of: Subject = NOW, note: str = "a mistake", **more: str) -> Attestation:
    """Return a withdrawal of what was said about the step."""
    return said(AttestationKind.WITHDRAWN, of, note=note, **more)


def test_a_statement_fits_its_own_subject() -> None:
    """A statement fits the same values, in any order of permissions."""
    assert mismatch(bind(NOW), STEP, NOW) == ""
    assert mismatch(bind(NOW), STEP, subject(permissions=("b", "a"))) == ""


ANOTHER_APP = wording("reasons.void-of-another-app", name="App ID", was=111, now=222)
ANOTHER_SECRET = wording("reasons.void-of-another-secret", name="App Secret")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (
            {"app_id": "222"},
            wording("reasons.void-of-another-app", name="App ID", was=111, now=222),
        ),
        ({"app_id": ""}, wording("reasons.void-value-unknown", name="App ID", was=111)),
        (
            {"permissions": ("a", "b", "c")},
            wording("reasons.void-of-another-app", name="Permissions", was="a, b", now="a, b, c"),
        ),
        (
            {"permissions": ("a",)},
            wording("reasons.void-of-another-app", name="Permissions", was="a, b", now="a"),
        ),
        (
            {"app_secret": "12345678:cd"},
            wording("reasons.void-of-another-secret", name="App Secret"),
        ),
        (
            {"app_secret": "99999999:ab"},
            wording("reasons.void-not-recognised", name="App Secret"),
        ),
        ({"app_secret": ""}, wording("reasons.void-of-another-secret", name="App Secret")),
        (
            {"app_id": "222", "app_secret": "12345678:cd"},
            f"{ANOTHER_APP} and {ANOTHER_SECRET}",
        ),
    ],
)
def test_a_changed_value_is_named(change: dict[str, Value], why: str) -> None:
    """A changed value is named with the old and the new one; of a secret only that it changed."""
    assert mismatch(bind(NOW), STEP, subject(**change)) == why


def test_a_value_that_was_unknown_is_no_misfit() -> None:
    """A value that was unknown at the time is no misfit."""
    bound = bind(replace(NOW, values={"permissions": ("a", "b")}))

    assert mismatch(bound, STEP, NOW) == ""


def test_another_sentence_check_or_connector_is_a_misfit() -> None:
    """A changed sentence, check or connector is a misfit."""
    other = CheckDefinition(id="is-there-still", confirm="", needs_human_only=False)
    reworded = structs.replace(STEP, sentence="I did it all.")
    rechecked = structs.replace(STEP, checks=(other,))
    for step in (reworded, rechecked):
        (void,) = select_current([attested()], step, NOW).void
        assert void.why == wording("reasons.void-reworded")
    elsewhere = replace(NOW, connector="q")
    why = wording("reasons.void-of-connector", connector="p")
    assert mismatch(bind(NOW), STEP, elsewhere) == why
    assert mismatch(Binding(), STEP, NOW) == wording("reasons.void-of-another-form")


def test_other_text_is_no_misfit() -> None:
    """A change of number or title is no misfit."""
    corrected = structs.replace(STEP, number="9", title="Do it")

    assert select_current([attested()], corrected, NOW) == Selection(attested())


def test_a_statement_without_a_later_subject_name_is_a_misfit() -> None:
    """A statement from before a name was added to the subject does not fit."""
    bound = structs.replace(bind(NOW), subject={"app_id": "111"})

    assert mismatch(bound, STEP, NOW) == wording("reasons.void-before-values")


def no_longer_counts(advice: str) -> str:
    """Return the end of a void attestation's sentence, with the advice of this key."""
    return wording("reasons.no-longer-counts", again=wording(f"reasons.{advice}"))


@pytest.mark.parametrize(
    "kind", [kind for kind in AttestationKind if kind is not AttestationKind.WITHDRAWN]
)
def test_every_kind_of_statement_lapses(kind: AttestationKind) -> None:
    """No kind of statement counts for another app."""
    attestation = said(kind)

    assert select_current([attestation], STEP, NOW) == Selection(attestation)
    selection = select_current([attestation], STEP, subject(app_id="222"))
    (void,) = selection.void
    assert (selection.current, selection.confirmed_by) == (None, ())
    assert void.attestation == attestation
    assert void.sentence.startswith("Operator ")
    again = "confirm-again" if kind is AttestationKind.ATTESTED else "say-again"
    reason = wording("reasons.void-of-another-app", name="App ID", was=111, now=222)
    assert void.sentence.endswith(f"{reason}{no_longer_counts(again)}")


def test_the_newest_fitting_statement_counts() -> None:
    """The newest statement that fits counts, even if a newer one about another app exists."""
    old = attested(by="First")
    other = skipped(subject(app_id="222"), by="Second")

    assert select_current([old, other], STEP, NOW) == Selection(old)
    assert select_current([old, other], STEP, subject(app_id="222")).current == other


def test_kinds_replace_each_other() -> None:
    """The last one of several kinds of attestations counts."""
    kinds = (AttestationKind.SUBMITTED, AttestationKind.DECLINED) * 2
    attestations = [said(kind, note=str(number)) for number, kind in enumerate(kinds)]
    attestations.append(attested())

    for number, statement in enumerate(attestations, start=1):
        assert select_current(attestations[:number], STEP, NOW) == Selection(statement)


def test_a_second_person_confirms_only_what_fits() -> None:
    """The newest matching attestation of another person confirms."""
    first = attested(by="First")
    again = attested(by="first", note="x")
    void = attested(subject(app_id="222"), by="Third")
    second = attested(by="Second")

    assert select_current([first, void, again, second], STEP, NOW) == Selection(second, (again,))


def test_a_withdrawal_takes_back_what_was_said_before() -> None:
    """A withdrawal voids the earlier statements of all persons, but no later one."""
    attestations = [
        attested(by="First"),
        attested(by="Second"),
        withdrawn(),
    ]
    later = attested(by="Third")

    assert select_current(attestations, STEP, NOW).current is None
    assert select_current(attestations, STEP, NOW).confirmed_by == ()
    assert select_current([*attestations, later], STEP, NOW) == Selection(later)


def test_an_attestation_that_somebody_else_withdrew_is_shown() -> None:
    """Both are shown, with the reason; who withdraws their own has said nothing any more."""
    first = attested(by="Ann")
    no = withdrawn(note="Not that account.")
    void = select_current([first, no], STEP, NOW).void
    note = "Not that account"
    withdrawal = wording("reasons.withdrawn-by", by="Operator", at=AT, note=note)
    confirmed = wording("reasons.confirmed-by", by="Ann", at=AT)

    assert [lapse.attestation for lapse in void] == [first, no]
    assert [lapse.sentence for lapse in void] == [
        f"{confirmed} but {withdrawal}{no_longer_counts('confirm-again')}",
        "",
    ]
    own = withdrawn(by="ann")
    assert select_current([first, own], STEP, NOW) == Selection()


@pytest.mark.parametrize(
    ("sentence", "told"),
    [
        ("I am logged in as I.", "Ann is logged in as Ann. I have seen it."),
        ("It is done, and I have my key.", "It is done, and Ann has their key. I have seen it."),
        ("My Apps lists what I chose.", "My Apps lists what Ann chose. I have seen it."),
        ("Ivy's Identity is set.", "Ivy's Identity is set. I have seen it."),
    ],
)
def test_a_second_person_has_a_sentence_of_their_own(sentence: str, told: str) -> None:
    """It says what the first person said, as somebody else says it, and that it was seen."""
    assert retell(sentence, "Ann") == told


@pytest.mark.parametrize(
    ("said_at", "withdrawn_at", "counts"),
    [
        ("2026-11-24T09:30:00Z", "2026-11-24T09:29:59Z", True),
        ("2026-11-24T09:30:00.500Z", "2026-11-24T09:30:00Z", True),
        ("2026-11-24T09:30:00Z", "2026-11-24T09:30:00.500Z", False),
        ("2026-11-24T09:30:00+02:00", "2026-11-24T08:00:00Z", False),
        ("2026-11-24T09:30:00", "2026-11-24T09:29:00Z", True),
    ],
)
@pytest.mark.parametrize("is_recorded_first", [True, False])
def test_a_withdrawal_voids_only_what_was_said_before_its_own_time(
    said_at: str, withdrawn_at: str, counts: bool, is_recorded_first: bool
) -> None:
    """Times decide, in whatever order a file and the walkthrough brought both to the journal."""
    attestation = attested(at=said_at)
    withdrawal = withdrawn(at=withdrawn_at)
    attestations = [attestation, withdrawal] if is_recorded_first else [withdrawal, attestation]

    expected = Selection(attestation) if counts else Selection()
    assert select_current(attestations, STEP, NOW) == expected


def test_a_withdrawal_voids_no_void_attestation_of_a_later_time() -> None:
    """A void attestation that was said after a withdrawal about the same app is still shown."""
    attestation = attested(at="2026-11-24T09:31:00Z")
    attestations = [attestation, withdrawn()]

    assert [
        void.attestation for void in select_current(attestations, STEP, subject(app_id="222")).void
    ] == [attestation]


@pytest.mark.parametrize(
    "spelling",
    [
        "Ann  Lee",
        "ann lee",
        " Ann\tLee ",
        "Ann\N{NO-BREAK SPACE}Lee",
        "Ａｎｎ Lee",
        "A\N{ZERO WIDTH JOINER}nn Lee",
    ],
)
def test_two_spellings_of_a_name_are_one_person(spelling: str) -> None:
    """Blanks, case and compatible characters make no second person."""
    attestations = [attested(by="Ann Lee"), attested(by=spelling)]

    assert select_current(attestations, STEP, NOW) == Selection(attestations[1])
    assert person_key(spelling) == person_key("Ann Lee")


@pytest.mark.parametrize("name", ["Zoë Müller", "Ǆorđe", "İbrahim", "ẞ", "ﬁ", "Ὀδυσσεύς", "가"])
def test_the_forms_of_one_name_are_one_person(name: str) -> None:
    """Composed and decomposed letters, and either case, are one person's."""
    forms = [unicodedata.normalize(form, name) for form in ("NFC", "NFD", "NFKC", "NFKD")]
    cases = [case for form in forms for case in (form, form.upper(), form.casefold())]

    assert len({person_key(case) for case in cases}) == 1
    assert person_key(name) != person_key("Ann Lee")


def test_a_link_counts_once() -> None:
    """A second attestation by the same link never counts, whoever gives it, and says why."""
    first = attested(by="First")
    linked = attested(by="Second", link="d" * 64)
    again = attested(by="Third", link="d" * 64)

    assert select_current([first, linked, again], STEP, NOW) == Selection(linked, (first,))
    selection = select_current([linked], STEP, replace(NOW, links={"d" * 64: "another"}))
    (void,) = selection.void
    assert (selection.current, selection.confirmed_by) == (None, ())
    assert wording("reasons.void-used-link") in void.sentence


def test_a_link_stays_used_after_its_attestation_was_withdrawn() -> None:
    """A withdrawal gives no link back."""
    linked = attested(by="Second", link="d" * 64)
    later = "2026-11-24T09:40:00Z"
    attestations = [linked, withdrawn(), structs.replace(linked, at=later, by="Third")]

    assert select_current(attestations, STEP, NOW).current is None


def test_a_refused_value_voids_nothing() -> None:
    """An attestation about the value before the refused one counts; one about that does not."""
    refused = replace(subject(app_id="999"), before={"app_id": "111"})
    mine = attested()
    mistaken = attested(refused)

    assert select_current([mine], STEP, refused) == Selection(mine)
    assert select_current([mistaken], STEP, refused).current is None


@pytest.mark.parametrize(
    ("said_of", "why"),
    [
        (
            {"app_id": "111"},
            wording("reasons.void-of-another-app", name="App ID", was=111, now=999),
        ),
        ({"app_id": "999"}, "but App ID 999 was refused"),
        ({"app_id": ""}, "but App ID 999 was refused"),
    ],
)
def test_no_attestation_settles_a_step_whose_value_was_refused(
    said_of: dict[str, Value], why: str
) -> None:
    """If the refused value is given, no attestation counts, about it or about another one."""
    taking = structs.replace(STEP, inputs=("app_id",))
    refused = replace(subject(app_id="999"), before={"app_id": "111"})
    attestation = attested(subject(**said_of))

    selection = select_current([attestation], taking, refused)
    (void,) = selection.void

    assert selection.current is None
    assert void.why == why


def test_a_withdrawal_of_another_subject_takes_nothing_back() -> None:
    """A withdrawal about another app voids nothing of this one."""
    other = subject(app_id="222")
    mine = attested()
    theirs = attested(other, by="Second")
    attestations = [mine, theirs, withdrawn(other)]

    assert select_current(attestations, STEP, NOW) == Selection(mine)
    selection = select_current(attestations, STEP, other)
    assert (selection.current, selection.confirmed_by) == (None, ())
    assert select_current([mine], STEP, other).void[0] in selection.void


def test_lapsed_statements_are_shown_once_per_person() -> None:
    """The newest void statement of each person is shown, and none if a newer statement counts."""
    old = [attested(by=by, note=str(n)) for n, by in enumerate(("A", "B", "a"))]
    now = subject(app_id="222")
    void = select_current(old, STEP, now).void

    assert [(each.attestation.by, each.attestation.note) for each in void] == [
        ("a", "2"),
        ("B", "1"),
    ]
    assert select_current([*old, attested(now)], STEP, now).void == ()


@given(
    st.lists(
        st.tuples(st.sampled_from(AttestationKind), st.sampled_from("AB"), st.sampled_from("12"))
    ),
    st.sampled_from("12"),
)
def test_no_statement_counts_for_another_subject(
    attestations: list[tuple[AttestationKind, str, str]], now: str
) -> None:
    """In any order, the attestation that counts is about the present app."""
    spoken = [said(kind, subject(app_id=app_id), by=by) for kind, by, app_id in attestations]
    selection = select_current(spoken, STEP, subject(app_id=now))
    current = selection.current

    for counted in (*selection.confirmed_by, *([current] if current else [])):
        assert counted.binding.subject["app_id"] == now
    withdrawn_now = any(
        kind is AttestationKind.WITHDRAWN for kind, _, app_id in attestations if app_id == now
    )
    for each in selection.void:
        assert withdrawn_now or each.attestation.binding.subject["app_id"] != now
    mine = [kind for kind, _, app_id in attestations if app_id == now]
    assert (current is None) is (not mine or mine[-1] is AttestationKind.WITHDRAWN)


def test_another_kind_of_statement_starts_a_new_count() -> None:
    """An attestation after a skip by another person does not confirm the one before the skip."""
    attestations = [
        attested(by="First"),
        skipped(by="Second"),
        attested(by="Third"),
    ]

    assert select_current(attestations, STEP, NOW) == Selection(attestations[2])
    assert select_current(attestations[:2], STEP, NOW) == Selection(attestations[1])


# --- attestations that end, and other answers --------------------------------------------------
ASKED = AnswerOption(label="Asked for", sentence="It is asked for.", valid_days=0)
NOT_ASKED = AnswerOption(label="Not asked for", sentence="It is not.", valid_days=90)
YEARLY = structs.replace(STEP, valid_days=365, answers=(NOT_ASKED, ASKED))
# Days after `AT`, 2026-11-24.
IN_90_DAYS = "2027-02-22"
IN_A_YEAR = "2027-11-24"


def answered(answer: AnswerOption | None = None, **more: Any) -> Attestation:
    """Return the attestation of this answer, or of the step's own sentence, with its binding."""
    sentence = answer.sentence if answer else YEARLY.sentence
    return structs.replace(attested(**more), sentence=sentence)


def on(day: str) -> Subject:
    """Return the present subject on this day."""
    return replace(NOW, today=day)


@pytest.mark.parametrize(
    ("attestation", "last"),
    [
        (answered(), IN_A_YEAR),
        (answered(until="2027-01-01"), "2027-01-01"),
        (answered(until="2031-01-01"), IN_A_YEAR),
        (answered(NOT_ASKED), IN_90_DAYS),
        (answered(ASKED, due="2026-12-24"), ""),
        (structs.replace(answered(), kind=AttestationKind.SKIPPED), IN_A_YEAR),
        (structs.replace(answered(), kind=AttestationKind.SUBMITTED), ""),
        (structs.replace(answered(), kind=AttestationKind.DECLINED), ""),
        (structs.replace(answered(), at="9999-12-31T00:00:00Z"), "9999-12-31"),
    ],
)
def test_an_attestation_counts_for_as_long_as_its_answer_does(
    attestation: Attestation, last: str
) -> None:
    """Each answer has its days; a person may name an earlier last day, and no later one."""
    assert last_day(attestation, YEARLY) == last


@pytest.mark.parametrize(
    ("attestation", "most_days", "last"),
    [
        (answered(), 30, "2026-12-24"),
        (answered(), 3650, IN_A_YEAR),
        (answered(NOT_ASKED), 200, IN_90_DAYS),
        (answered(until="2026-12-01"), 30, "2026-12-01"),
        (answered(ASKED, due="2026-12-24"), 30, ""),
    ],
)
def test_a_setting_shortens_the_time_of_an_attestation(
    attestation: Attestation, most_days: int, last: str
) -> None:
    """A setting lengthens no time, and gives none to what has no end."""
    assert last_day(attestation, YEARLY, most_days) == last


def test_the_setting_shortens_what_is_selected() -> None:
    """The subject's most days count for each attestation that is weighed."""
    shortened = replace(on("2026-12-25"), most_days=30)

    assert select_current([answered()], YEARLY, on("2026-12-25")).current is not None
    assert select_current([answered()], YEARLY, shortened).current is None


def test_an_attestation_that_has_ended_no_longer_counts() -> None:
    """An attestation counts on its last day, and lapses on the next: it is shown, with that day."""
    attestation = answered(until="2026-12-24")

    assert select_current([attestation], YEARLY, on("2026-12-24")) == Selection(attestation)
    selection = select_current([attestation], YEARLY, on("2026-12-25"))
    (void,) = selection.void
    assert selection.current is None
    confirmed = wording("reasons.confirmed-by", by="Operator", at=AT)
    expired = wording("reasons.expired", days=31, until="2026-12-24")
    assert void.sentence == f"{confirmed}{expired}{no_longer_counts('confirm-again')}"
    assert void.ended == "2026-12-24"
    elsewhere = replace(on("2026-12-24"), connector="q")
    assert select_current([attestation], YEARLY, elsewhere).void[0].ended == ""
    assert select_current([attestation], YEARLY, NOW) == Selection(attestation)


def test_an_expired_attestation_still_supersedes_earlier_ones() -> None:
    """Once an attestation has ended, the answers before it do not count again."""
    attestations = [answered(ASKED, due="2027-01-20"), answered(until="2026-12-24")]
    selection = select_current(attestations, YEARLY, on("2026-12-25"))

    assert (selection.current, selection.confirmed_by) == (None, ())
    assert [void.attestation for void in selection.void] == [attestations[1]]


def test_only_the_same_sentence_confirms_another_attestation() -> None:
    """A second person confirms the first by the same sentence; another sentence replaces it."""
    first = answered(NOT_ASKED, by="First")
    second = answered(NOT_ASKED, by="Second")
    other = answered(by="Second")

    assert select_current([first, second], YEARLY, NOW) == Selection(second, (first,))
    assert select_current([first, other], YEARLY, NOW) == Selection(other)


def test_another_sentence_than_the_steps_answers_is_a_misfit() -> None:
    """An attestation for an answer that the step no longer has, or has in other words, lapses."""
    other = structs.replace(NOT_ASKED, sentence="It is not wanted.")
    reworded = structs.replace(YEARLY, answers=(other, ASKED))

    assert select_current([answered(NOT_ASKED)], YEARLY, NOW).current
    (void,) = select_current([answered(NOT_ASKED)], reworded, NOW).void
    assert void.why == wording("reasons.void-reworded")
    assert select_current([answered(ASKED)], reworded, NOW).current
