"""Whether a person's statement still counts: only for the subject that it was made about."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from runbook_lib.core.attestation_rules import (
    Selection,
    Subject,
    bind,
    last_day,
    mismatch,
    person_key,
    second_person_sentence,
    select_current,
)
from runbook_lib.core.model import Attestation, AttestationKind, Binding, Value
from runbook_lib.core.procedure import (
    AnswerOption,
    Check,
    Input,
    Procedure,
    Section,
    Source,
    Step,
    StepKind,
)
from tests.support.attestations import AT, attested, declined, skipped, submitted, withdrawn
from tests.support.wording import wording

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
    instructions="",
    own_sentence="I did it.",
    subject=("app_id", "permissions", "app_secret"),
    checks=(Check("is-there", check, needs_confirmation="I saw it."),),
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


def said(
    attestation: Attestation, of: Subject = NOW, given: Mapping[str, Value] | None = None
) -> Attestation:
    """Return the statement as the journal has it."""
    return structs.replace(attestation, binding=bind(STEP, of, given))


def test_an_attestation_is_bound_to_all_that_its_step_is_about() -> None:
    """A statement is bound to connector, sentence, checks, text and every value of the subject."""
    assert bind(STEP, NOW) == Binding(
        connector="p",
        sentence_digest=hashlib.sha256(b"I did it. I saw it.").hexdigest(),
        checks=("is-there",),
        text_digest=STEP.text_digest,
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
    assert mismatch(bind(STEP, NOW), STEP, NOW) == ""
    assert mismatch(bind(STEP, NOW), STEP, subject(permissions=("b", "a"))) == ""


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
    assert mismatch(bind(STEP, NOW), STEP, subject(**change)) == why


def test_a_value_that_was_unknown_is_no_misfit() -> None:
    """A value that was unknown at the time is no misfit."""
    bound = bind(STEP, Subject(PROCEDURE, {"permissions": ("a", "b")}))

    assert mismatch(bound, STEP, NOW) == ""


def test_another_sentence_check_or_connector_is_a_misfit() -> None:
    """A changed sentence, check or connector is a misfit."""
    bound = bind(STEP, NOW)
    other = Subject(replace(PROCEDURE, id="q"), VALUES)

    reworded = replace(STEP, own_sentence="I did it all.")
    rechecked = replace(STEP, checks=(replace(STEP.checks[0], id="is-there-still"),))
    asked = replace(STEP, checks=(replace(STEP.checks[0], needs_confirmation="I see it."),))
    for step in (reworded, rechecked, asked):
        assert mismatch(bound, step, NOW) == wording("reasons.void-reworded")
    assert mismatch(bound, STEP, other) == wording("reasons.void-of-connector", connector="p")
    assert mismatch(Binding(), STEP, NOW) == wording("reasons.void-of-another-form")


def test_other_text_is_no_misfit() -> None:
    """A change of prose, title or hints is no misfit."""
    corrected = replace(STEP, prose="Corrected.", title="Do it", instructions="Moved.")

    assert mismatch(bind(STEP, NOW), corrected, NOW) == ""


def test_a_statement_without_a_later_subject_name_is_a_misfit() -> None:
    """A statement from before a name was added to the subject does not fit."""
    bound = structs.replace(bind(STEP, NOW), subject={"app_id": "111"})

    assert mismatch(bound, STEP, NOW) == wording("reasons.void-before-values")


def no_longer_counts(advice: str) -> str:
    """Return the end of a void attestation's sentence, with the advice of this key."""
    return wording("reasons.no-longer-counts", again=wording(f"reasons.{advice}"))


@pytest.mark.parametrize(
    "kind", [kind for kind in AttestationKind if kind is not AttestationKind.WITHDRAWN]
)
def test_every_kind_of_statement_lapses(kind: AttestationKind) -> None:
    """No kind of statement counts for another app."""
    attestation = said(Attestation(kind=kind, step="a", by="Operator", at=AT))

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
    old = said(attested("a", by="First"))
    other = said(skipped("a", by="Second"), subject(app_id="222"))

    assert select_current([old, other], STEP, NOW) == Selection(old)
    assert select_current([old, other], STEP, subject(app_id="222")).current == other


def test_kinds_replace_each_other() -> None:
    """The last one of several kinds of attestations counts."""
    attestations = [
        said(attestation("a", note=str(n)))
        for n, attestation in enumerate((submitted, declined) * 2)
    ]
    attestations.append(said(attested("a")))

    for number, attestation in enumerate(attestations, start=1):
        assert select_current(attestations[:number], STEP, NOW) == Selection(attestation)


def test_a_second_person_confirms_only_what_fits() -> None:
    """The newest matching attestation of another person confirms."""
    first = said(attested("a", by="First"))
    again = said(attested("a", by="first", note="x"))
    void = said(attested("a", by="Third"), subject(app_id="222"))
    second = said(attested("a", by="Second"))

    assert select_current([first, void, again, second], STEP, NOW) == Selection(second, (again,))


def test_a_withdrawal_takes_back_what_was_said_before() -> None:
    """A withdrawal voids the earlier statements of all persons, but no later one."""
    attestations = [
        said(attested("a", by="First")),
        said(attested("a", by="Second")),
        said(withdrawn("a")),
    ]
    later = said(attested("a", by="Third"))

    assert select_current(attestations, STEP, NOW).current is None
    assert select_current(attestations, STEP, NOW).confirmed_by == ()
    assert select_current([*attestations, later], STEP, NOW) == Selection(later)


def test_an_attestation_that_somebody_else_withdrew_is_shown() -> None:
    """Both are shown, with the reason; who withdraws their own has said nothing any more."""
    first = said(attested("a", by="Ann"))
    no = said(withdrawn("a", note="Not that account."))
    void = select_current([first, no], STEP, NOW).void
    note = "Not that account"
    withdrawal = wording("reasons.withdrawn-by", by="Operator", at=AT, note=note)
    confirmed = wording("reasons.confirmed-by", by="Ann", at=AT)

    assert [lapse.attestation for lapse in void] == [first, no]
    assert [lapse.sentence for lapse in void] == [
        f"{confirmed} but {withdrawal}{no_longer_counts('confirm-again')}",
        "",
    ]
    own = said(withdrawn("a", by="ann"))
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
    first = structs.replace(attested("a", by="Ann"), sentence=sentence)

    assert second_person_sentence(first) == told


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
    attestation = said(attested("a", at=said_at))
    withdrawal = said(withdrawn("a", at=withdrawn_at))
    attestations = [attestation, withdrawal] if is_recorded_first else [withdrawal, attestation]

    expected = Selection(attestation) if counts else Selection()
    assert select_current(attestations, STEP, NOW) == expected


def test_a_withdrawal_voids_no_void_attestation_of_a_later_time() -> None:
    """A void attestation that was said after a withdrawal about the same app is still shown."""
    attestation = said(attested("a", at="2026-11-24T09:31:00Z"))
    attestations = [attestation, said(withdrawn("a"))]

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
    attestations = [said(attested("a", by="Ann Lee")), said(attested("a", by=spelling))]

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
    first = said(attested("a", by="First"))
    linked = said(attested("a", by="Second", link="d" * 64))
    again = said(attested("a", by="Third", link="d" * 64))

    assert select_current([first, linked, again], STEP, NOW) == Selection(linked, (first,))
    selection = select_current([linked], STEP, NOW, spent_links=["d" * 64])
    (void,) = selection.void
    assert (selection.current, selection.confirmed_by) == (None, ())
    assert wording("reasons.void-used-link") in void.sentence


def test_a_link_stays_used_after_its_attestation_was_withdrawn() -> None:
    """A withdrawal gives no link back."""
    linked = said(attested("a", by="Second", link="d" * 64))
    later = "2026-11-24T09:40:00Z"
    attestations = [linked, said(withdrawn("a")), structs.replace(linked, at=later, by="Third")]

    assert select_current(attestations, STEP, NOW).current is None


def test_a_refused_value_voids_nothing() -> None:
    """An attestation about the value before the refused one counts; one about that does not."""
    refused = replace(subject(app_id="999"), before={"app_id": "111"})
    mine = said(attested("a"))
    mistaken = said(attested("a"), refused)

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
    taking = replace(STEP, inputs=(APP_ID,))
    refused = replace(subject(app_id="999"), before={"app_id": "111"})
    attestation = structs.replace(attested("a"), binding=bind(taking, subject(**said_of)))

    selection = select_current([attestation], taking, refused)
    (void,) = selection.void

    assert selection.current is None
    assert void.why == why


def test_a_withdrawal_of_another_subject_takes_nothing_back() -> None:
    """A withdrawal about another app voids nothing of this one."""
    other = subject(app_id="222")
    mine = said(attested("a"))
    theirs = said(attested("a", by="Second"), other)
    attestations = [mine, theirs, said(withdrawn("a"), other)]

    assert select_current(attestations, STEP, NOW) == Selection(mine)
    selection = select_current(attestations, STEP, other)
    assert (selection.current, selection.confirmed_by) == (None, ())
    assert select_current([mine], STEP, other).void[0] in selection.void


def test_lapsed_statements_are_shown_once_per_person() -> None:
    """The newest void statement of each person is shown, and none if a newer statement counts."""
    old = [said(attested("a", by=by, note=str(n))) for n, by in enumerate(("A", "B", "a"))]
    now = subject(app_id="222")
    void = select_current(old, STEP, now).void

    assert [(each.attestation.by, each.attestation.note) for each in void] == [
        ("a", "2"),
        ("B", "1"),
    ]
    assert select_current([*old, said(attested("a"), now)], STEP, now).void == ()


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
    spoken = [
        said(Attestation(kind=kind, step="a", by=by, at=AT), subject(app_id=app_id))
        for kind, by, app_id in attestations
    ]
    selection = select_current(spoken, STEP, subject(app_id=now))
    current = selection.current

    for attestation in (*selection.confirmed_by, *([current] if current else [])):
        assert attestation.binding.subject["app_id"] == now
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
        said(attested("a", by="First")),
        said(skipped("a", by="Second")),
        said(attested("a", by="Third")),
    ]

    assert select_current(attestations, STEP, NOW) == Selection(attestations[2])
    assert select_current(attestations[:2], STEP, NOW) == Selection(attestations[1])


# --- attestations that end, and other answers --------------------------------------------------
ASKED = AnswerOption(name="asked", label="Asked for", sentence="It is asked for.", due_days=60)
NOT_ASKED = AnswerOption(name="not", label="Not asked for", sentence="It is not.", valid_days=90)
YEARLY = replace(STEP, checks=(), valid_days=365, answers=(NOT_ASKED, ASKED))
# Days after `AT`, 2026-11-24.
IN_90_DAYS = "2027-02-22"
IN_A_YEAR = "2027-11-24"


def answered(answer: AnswerOption | None = None, **more: str) -> Attestation:
    """Return the attestation of this answer, or of the step's own sentence, with its binding."""
    sentence = answer.sentence if answer else YEARLY.sentence
    return attested("a", sentence=sentence, binding=bind(YEARLY, NOW, None, sentence), **more)


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


def test_the_setting_is_a_known_value() -> None:
    """The days in `attestation_days` count for each attestation that is weighed."""
    shortened = replace(on("2026-12-25"), values={**VALUES, "attestation_days": 30})

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
    elsewhere = replace(on("2026-12-24"), procedure=replace(PROCEDURE, id="q"))
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
    reworded = replace(YEARLY, answers=(replace(NOT_ASKED, sentence="It is not wanted."), ASKED))

    assert mismatch(answered(NOT_ASKED).binding, YEARLY, NOW) == ""
    why = wording("reasons.void-reworded")
    assert mismatch(answered(NOT_ASKED).binding, reworded, NOW) == why
    assert mismatch(answered(ASKED).binding, reworded, NOW) == ""
