"""The outcome of a step follows from the findings of its checks and from people's statements."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from runbook_lib.core.model import (
    Attestation,
    AttestationKind,
    Binding,
    Finding,
    ModelStruct,
    Note,
    Outcome,
    RunOutcome,
    WaitsFor,
)
from runbook_lib.errors import ChainError
from runbook_lib.run.events import (
    AnswerOption,
    CheckDefinition,
    RunFinished,
    StepChecked,
    StepDefinition,
)
from runbook_lib.run.fold import combine, fold
from runbook_lib.run.state import RunState, StepState
from tests.support.attestations import AT, attestation
from tests.support.line_writer import LineWriter
from tests.support.run_events import STEP as PLAIN
from tests.support.run_events import exchange, started
from tests.support.wording import wording

FIRST = "aaaaaaaa"
BEFORE = structs.replace(
    PLAIN,
    id="fb-01-before",
    checks=(CheckDefinition(id="before", confirm="", needs_human_only=False),),
)
CHECK = CheckDefinition(id="seen", confirm="", needs_human_only=False)
STEP = structs.replace(
    PLAIN,
    id="fb-02-step",
    number="2",
    sentence="I did it.",
    checks=(CHECK,),
    requires=(BEFORE.id,),
)
NOT_INSTALLED = "It is not installed."
CHECKED = (
    Outcome.FAILED,
    Outcome.NOT_RUN,
    Outcome.WAITING,
    Outcome.INCONCLUSIVE,
    Outcome.VERIFIED,
)
UNDECIDED = (Outcome.NOT_RUN, Outcome.WAITING, Outcome.INCONCLUSIVE)


def finding(outcome: Outcome, reason: str = "", check: str = "seen", **more: Any) -> Finding:
    """Return a finding of the step's check."""
    reason = reason or f"seen as {outcome}."
    return Finding(outcome=outcome, code="a-code", reason=reason, check=check, **more)


def binding(step: StepDefinition) -> Binding:
    """Return what a result or an attestation about `step` is bound to."""
    checks = tuple(sorted(check.id for check in step.checks))
    return Binding(connector="p", checks=checks, subject={})


def said(kind: AttestationKind, *, step: StepDefinition = STEP, **more: Any) -> Attestation:
    """Return the operator's statement about the step."""
    usual = {"sentence": step.sentence, "binding": binding(step)}
    return attestation(kind, **{**usual, **more})


DONE = said(AttestationKind.ATTESTED)
SUBMITTED = said(AttestationKind.SUBMITTED)
DECLINED = said(AttestationKind.DECLINED, note="No screencast.")
SKIP = said(AttestationKind.SKIPPED, note="no lead forms here")


class Story(LineWriter):
    """The lines of a run with two steps, of which the second is told about."""

    def begin(self, *steps: StepDefinition, **more: Any) -> Story:
        """Add the run's beginning."""
        self.write(structs.replace(started(), steps=steps or (BEFORE, STEP), **more), AT, FIRST)
        return self

    def tell(self, *events: ModelStruct, at: str = AT, step: StepDefinition = STEP) -> Story:
        """Add lines about a step."""
        for event in events:
            self.write(event, at, FIRST, step.id)
        return self

    def check(self, *findings: Finding, at: str = AT, step: StepDefinition = STEP) -> Story:
        """Add the end of a step's checks."""
        return self.tell(StepChecked(findings=findings, binding=binding(step)), at=at, step=step)

    def state(self, today: str = "") -> StepState:
        """Return the state of the second step."""
        return self.run(today).step(STEP.id)

    def run(self, today: str = "") -> RunState:
        """Return the state of the run."""
        return fold(self.lines, FIRST, today=today)


def concluded(
    findings: tuple[Finding, ...] = (),
    statement: Attestation | None = None,
    *,
    is_blocked: bool = False,
    **changed: Any,
) -> StepState:
    """Return the state of a step with these findings and this statement."""
    step = structs.replace(STEP, **changed)
    story = Story().begin(BEFORE, step)
    if is_blocked:
        story.check(finding(Outcome.FAILED, check="before"), step=BEFORE)
    if findings:
        story.check(*findings)
    if statement:
        story.tell(statement)
    return story.state()


def test_without_findings_there_is_no_outcome_of_checks() -> None:
    """A step without any is concluded from people's statements."""
    assert combine(()) is None


@pytest.mark.parametrize("worse", range(len(CHECKED)))
@pytest.mark.parametrize("better", range(len(CHECKED)))
def test_the_worst_finding_decides(worse: int, better: int) -> None:
    """A step is never better than its worst finding, whatever their order."""
    bad = CHECKED[min(worse, better)]
    good = CHECKED[max(worse, better)]

    for pair in ((finding(bad), finding(good)), (finding(good), finding(bad))):
        state = concluded(pair)
        assert state.outcome is bad
        assert finding(bad).reason in state.reason
        assert bad is good or finding(good).reason not in state.reason


def test_equal_findings_give_all_their_reasons() -> None:
    """Findings with the same outcome all give their reasons."""
    state = concluded((finding(Outcome.VERIFIED, "One."), finding(Outcome.VERIFIED, "Two.")))

    assert (state.outcome, state.code, state.reason) == (Outcome.VERIFIED, "a-code", "One. Two.")


@pytest.mark.parametrize("statement", [None, DONE, SUBMITTED, DECLINED, SKIP])
@pytest.mark.parametrize("is_blocked", [False, True])
@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.VERIFIED])
def test_failed_and_verified_override_people(
    outcome: Outcome, statement: Attestation | None, *, is_blocked: bool
) -> None:
    """`failed` and `verified` take precedence over every statement of a person."""
    state = concluded((finding(outcome),), statement, is_blocked=is_blocked)

    assert (state.outcome, state.reason) == (outcome, finding(outcome).reason)
    assert not state.by_person


@pytest.mark.parametrize(
    ("statement", "needs_person"),
    [(None, True), (SUBMITTED, True), (SKIP, True), (DECLINED, True), (DONE, False)],
)
def test_a_verified_step_with_an_unverifiable_part_needs_a_person(
    statement: Attestation | None, *, needs_person: bool
) -> None:
    """The outcome stays `verified`; only an attestation completes it."""
    confirm = structs.replace(CHECK, confirm="It is so.")
    limited = finding(Outcome.VERIFIED, limits=("The rest.",))

    state = concluded((limited,), statement, checks=(confirm,))
    assert (state.outcome, state.needs_person) == (Outcome.VERIFIED, needs_person)
    assert state.is_settled is not needs_person
    assert not concluded((finding(Outcome.VERIFIED),), checks=(confirm,)).needs_person


@pytest.mark.parametrize("outcome", [each for each in CHECKED if each is not Outcome.VERIFIED])
def test_only_a_verified_step_has_an_unverifiable_part(outcome: Outcome) -> None:
    """Other findings already say what is left to do."""
    confirm = structs.replace(CHECK, confirm="It is so.")
    state = concluded((finding(outcome, limits=("The rest.",)),), checks=(confirm,))

    assert not state.needs_person


@pytest.mark.parametrize("statement", [DONE, SUBMITTED])
def test_an_attestation_that_a_check_contradicts_fails(statement: Attestation) -> None:
    """An attestation that a check contradicts is `failed`, with author and time in the reason."""
    state = concluded((finding(Outcome.NOT_RUN, NOT_INSTALLED),), statement)

    assert (state.outcome, state.by_person) == (Outcome.FAILED, False)
    for text in ("Operator", AT, NOT_INSTALLED):
        assert text in state.reason


@pytest.mark.parametrize(
    ("statement", "outcome"), [(DONE, Outcome.ATTESTED), (SUBMITTED, Outcome.WAITING)]
)
def test_not_done_with_limits_contradicts_nobody(statement: Attestation, outcome: Outcome) -> None:
    """A check that names what it does not prove says what to do; an attestation counts."""
    not_done = finding(Outcome.NOT_RUN, NOT_INSTALLED, limits=("The rest.",))
    state = concluded((not_done,), statement)

    assert state.outcome is outcome
    assert wording("reasons.check-could-not-tell", reason=NOT_INSTALLED) in state.reason
    assert concluded((not_done,)).outcome is Outcome.NOT_RUN
    both = (not_done, finding(Outcome.NOT_RUN))
    assert concluded(both, statement).outcome is Outcome.FAILED


@pytest.mark.parametrize("outcome", UNDECIDED)
@pytest.mark.parametrize("is_blocked", [False, True])
def test_a_person_may_skip_what_no_check_decides(outcome: Outcome, *, is_blocked: bool) -> None:
    """A skip by a person has its reason, and takes precedence over an obstacle."""
    for findings in ((), (finding(outcome),)):
        state = concluded(findings, SKIP, is_blocked=is_blocked)
        assert (state.outcome, state.by_person) == (Outcome.SKIPPED, True)
        assert state.reason == f"Operator: {SKIP.note}"
        assert state.is_settled


def test_a_declined_step_fails_with_a_next_step() -> None:
    """A decline fails the step if no check decides, and the reason says what to do."""
    for findings in ((), (finding(Outcome.INCONCLUSIVE, "Hidden."),)):
        state = concluded(findings, DECLINED)

        assert state.outcome is Outcome.FAILED
        begin = wording("reasons.declined", at=AT, note="No screencast")
        assert state.reason.startswith(begin)
        assert wording("reasons.submit-again") in state.reason


@pytest.mark.parametrize("statement", [None, DONE, SUBMITTED])
def test_an_obstacle_skips_the_step_without_a_person(statement: Attestation | None) -> None:
    """A step that an earlier failure blocks is skipped, but not by a person; it names that one."""
    state = concluded((), statement, is_blocked=True)

    assert (state.outcome, state.by_person, state.is_settled) == (Outcome.SKIPPED, False, False)
    assert BEFORE.title in state.reason


@pytest.mark.parametrize("outcome", [*UNDECIDED, Outcome.VERIFIED])
def test_only_a_failure_is_an_obstacle(outcome: Outcome) -> None:
    """A step that waits, is inconclusive or is not run blocks no other."""
    story = Story().begin().check(finding(outcome, check="before"), step=BEFORE)

    assert story.state().outcome is Outcome.NOT_RUN


def test_a_failure_blocks_all_that_depends_on_it() -> None:
    """Also a step that requires a blocked one."""
    last = structs.replace(STEP, id="fb-03-last", requires=(STEP.id,))
    story = Story().begin(BEFORE, STEP, last)
    story.check(finding(Outcome.FAILED, check="before"), step=BEFORE)

    assert [step.outcome for step in story.run().steps] == [
        Outcome.FAILED,
        Outcome.SKIPPED,
        Outcome.SKIPPED,
    ]


@pytest.mark.parametrize("statement", [None, DONE, SUBMITTED])
def test_a_waiting_step_stays_waiting(statement: Attestation | None) -> None:
    """No statement of a person ends a wait that a check sees."""
    state = concluded((finding(Outcome.WAITING),), statement)

    assert (state.outcome, state.by_person) == (Outcome.WAITING, False)
    assert state.reason == finding(Outcome.WAITING).reason


@pytest.mark.parametrize("outcome", [Outcome.NOT_RUN, Outcome.INCONCLUSIVE])
def test_without_an_attestation_a_check_that_decides_nothing_stays(outcome: Outcome) -> None:
    """It is no failure."""
    state = concluded((finding(outcome, "Hidden."),))

    assert (state.outcome, state.reason) == (outcome, "Hidden.")


@pytest.mark.parametrize(
    ("statement", "outcome"), [(DONE, Outcome.ATTESTED), (SUBMITTED, Outcome.WAITING)]
)
@pytest.mark.parametrize("findings", [(), (finding(Outcome.INCONCLUSIVE, "Hidden."),)])
def test_a_persons_statement_counts_if_no_check_decides(
    findings: tuple[Finding, ...], statement: Attestation, outcome: Outcome
) -> None:
    """If no check decides, an attestation settles the step, and a submission makes it wait."""
    state = concluded(findings, structs.replace(statement, note="As agreed."))

    assert (state.outcome, state.by_person) == (outcome, True)
    for text in ("Operator", AT, "As agreed."):
        assert text in state.reason
    assert ("Hidden." in state.reason) is bool(findings)


def test_an_unchecked_step_says_why_no_check_ran() -> None:
    """If inputs are missing, the reason names them, also beside an attestation."""
    why = "Not checked: App ID not given."
    unchecked = StepChecked(findings=(), binding=binding(STEP), unchecked=why)
    story = Story().begin().tell(unchecked)

    assert (story.state().outcome, story.state().reason) == (Outcome.NOT_RUN, why)
    assert why in story.tell(DONE).state().reason


def test_the_newest_check_of_a_step_counts() -> None:
    """The last one of several checks of a step counts."""
    story = Story().begin().check(finding(Outcome.FAILED)).check(finding(Outcome.VERIFIED))

    assert story.state().outcome is Outcome.VERIFIED


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        (("verified", "verified"), RunOutcome.COMPLETE),
        (("verified", "failed"), RunOutcome.FAILED),
        (("verified", "waiting"), RunOutcome.INCOMPLETE),
        (("verified", "inconclusive"), RunOutcome.INCOMPLETE),
        (("verified", "not_run"), RunOutcome.INCOMPLETE),
    ],
)
def test_the_steps_decide_a_run(outcomes: tuple[str, str], expected: RunOutcome) -> None:
    """It is complete if every step is settled, and failed if one is."""
    before, outcome = map(Outcome, outcomes)
    story = Story().begin().check(finding(before, check="before"), step=BEFORE)
    story.check(finding(outcome))

    assert story.run().outcome is expected


def test_facts_of_later_steps_win() -> None:
    """Facts of later findings take precedence."""
    story = Story().begin()
    story.check(finding(Outcome.VERIFIED, check="before", facts={"a": "1", "b": "1"}), step=BEFORE)
    story.check(finding(Outcome.VERIFIED, facts={"b": "2"}))

    assert story.run().facts == {"a": "1", "b": "2"}


def test_a_run_counts_the_answers_of_each_host() -> None:
    """Every response counts, also without a check that rests on it; silence does not."""
    silent = structs.replace(exchange(), status=None, error="no connection")
    other = structs.replace(exchange(), url="https://api.cyclr.com/v1.0/account")
    story = Story().begin().tell(exchange(), exchange(), silent, other)

    assert story.run().calls == {"api.cyclr.com": 1, "graph.facebook.com": 2}


def test_two_checks_may_rest_on_one_exchange() -> None:
    """The run has it once."""
    story = Story().begin().tell(exchange())
    story.check(finding(Outcome.VERIFIED, check="before", exchanges=(2,)), step=BEFORE)
    story.check(finding(Outcome.VERIFIED, exchanges=(2,)))

    assert story.run().exchanges == {2: exchange()}
    assert [step.exchange_numbers for step in story.run().steps] == [(2,), (2,)]


def test_a_check_rests_on_exchanges_only() -> None:
    """A check that names a line which is none is not believed."""
    story = Story().begin().check(finding(Outcome.VERIFIED, exchanges=(1,)))

    with pytest.raises(ChainError):
        story.run()


@pytest.mark.parametrize(
    ("seen", "since"),
    [
        ("waiting", "2026-11-01"),
        ("waiting waiting", "2026-11-01"),
        ("waiting inconclusive waiting", "2026-11-01"),
        ("waiting verified waiting", "2026-11-03"),
        ("failed waiting", "2026-11-02"),
    ],
)
def test_a_wait_lasts_since_checks_saw_it_first(seen: str, since: str) -> None:
    """A wait that only checks saw began at the first of them; one that could not tell is no end."""
    story = Story().begin()
    for day, outcome in enumerate(seen.split(), start=1):
        story.check(finding(Outcome(outcome)), at=f"2026-11-{day:02}T09:00:00.000Z")

    assert story.state().waiting_since[:10] == since
    assert story.state().waits_for is WaitsFor.OUTSIDE_PARTY


def test_a_wait_that_an_earlier_run_saw_goes_on() -> None:
    """The beginning of a run says since when its steps wait."""
    since = "2026-10-01T09:00:00.000Z"
    story = Story().begin(waiting={STEP.id: since}).check(finding(Outcome.WAITING))

    assert story.state().waiting_since == since


def test_a_wait_lasts_since_a_person_says_so() -> None:
    """A submitted step waits since then; after the usual days it is late."""
    usual = structs.replace(STEP, usual_days=5)
    story = Story().begin(BEFORE, usual).tell(SUBMITTED)

    assert story.state().waiting_since == AT
    assert [story.state(today).overdue_days for today in ("2026-11-29", "2026-12-01")] == [0, 2]


ASKED = AnswerOption(label="Asked for", sentence="It is asked for.", valid_days=0)
YEARLY: dict[str, Any] = {"valid_days": 365, "answers": (ASKED,), "checks": ()}


def yearly(*statements: Attestation) -> Story:
    """Return the story of a step whose attestations count for a year."""
    step = structs.replace(STEP, **YEARLY)
    bound = [structs.replace(said, binding=binding(step)) for said in statements]
    return Story().begin(BEFORE, step).tell(*bound)


def test_an_answer_is_named_in_the_reason() -> None:
    """The reason says which answer was given, and until when the step's own sentence counts."""
    asked = yearly(structs.replace(DONE, sentence=ASKED.sentence)).state()
    own = yearly(DONE).state()

    assert ASKED.label in asked.reason
    assert "2027-11-24" in own.reason
    assert (asked.ends_on, own.ends_on) == ("", "2027-11-24")


def test_an_attestation_that_has_ended_is_asked_for_again() -> None:
    """The day on which the state is read decides."""
    story = yearly(DONE)

    assert story.state("2027-11-24").outcome is Outcome.ATTESTED
    ended = story.state("2027-11-25")
    assert (ended.outcome, ended.has_expired, ended.ends_on) == (Outcome.NOT_RUN, True, "")
    assert ended.redo_reason


def test_a_run_that_has_ended_is_judged_on_its_own_day() -> None:
    """A run keeps the attestations of its last day."""
    story = yearly(DONE)
    story.write(RunFinished(), AT, FIRST)

    assert story.state("2027-11-25").outcome is Outcome.ATTESTED


def test_a_setting_shortens_how_long_attestations_count() -> None:
    """The run's own limit of days counts."""
    step = structs.replace(STEP, **YEARLY)
    story = Story().begin(BEFORE, step, values={"attestation_days": 30})
    story.tell(structs.replace(DONE, binding=binding(step)))

    assert story.state().ends_on == "2026-12-24"


def test_a_skip_grows_old_too() -> None:
    """A skip settles a step for as long as a confirmation does, and says so."""
    state = yearly(SKIP).state()

    assert (state.is_settled, state.ends_on) == (True, "2027-11-24")
    assert "2027-11-24" in state.reason


def test_a_requested_step_waits_until_its_due_day() -> None:
    """Asked for and not done: the step waits for a person; a late one is no failure."""
    story = yearly(structs.replace(DONE, sentence=ASKED.sentence, due="2026-12-24"))

    for today, days in (("2026-12-24", 0), ("2026-12-26", 2)):
        state = story.state(today)
        assert (state.outcome, state.due, state.overdue_days) == (
            Outcome.WAITING,
            "2026-12-24",
            days,
        )
        assert state.is_asked_for


def test_a_request_needs_no_second_person() -> None:
    """If two people must attest, one is enough for a request; done needs both."""
    step = structs.replace(STEP, **YEARLY)
    bound = binding(step)

    def state(statement: Attestation) -> StepState:
        story = Story().begin(BEFORE, step, values={"four_eyes": ("all",)})
        return story.tell(structs.replace(statement, binding=bound)).state()

    asked = structs.replace(DONE, sentence=ASKED.sentence, due="2026-12-24")
    assert not state(asked).needs_another
    assert state(DONE).needs_another
    assert not state(SKIP).needs_another


def test_four_eyes_is_for_the_named_steps_only() -> None:
    """Other steps need one person."""
    for demanded, needs in ((STEP.id, True), (BEFORE.id, False)):
        story = Story().begin(values={"four_eyes": (demanded,)}).tell(DONE)
        assert story.state().needs_another is needs


def test_the_earlier_due_day_counts() -> None:
    """A colleague's day and the outside party's: the step is due on the earlier one."""
    asked = structs.replace(DONE, sentence=ASKED.sentence, due="2026-12-24")
    note = Note(by="Ann", at=AT, to="Ben", due="2026-12-20")

    assert yearly(asked).tell(note).state().due == "2026-12-20"
    assert yearly(asked).tell(structs.replace(note, due="2026-12-30")).state().due == "2026-12-24"


def test_an_assignment_holds_until_the_step_is_settled() -> None:
    """The newest one counts; to nobody takes it back."""
    story = Story().begin().tell(Note(by="Ann", at=AT, to="Ben"))
    assert (story.state().assigned_to, story.state().waits_for) == ("Ben", WaitsFor.PERSON)

    assert Story(list(story.lines)).tell(Note(by="Ann", at=AT, to="")).state().assigned is None
    assert story.tell(DONE).state().assigned is None


def test_a_link_counts_once_across_steps() -> None:
    """A word by a link that was used for another step does not count."""
    link = "d" * 64
    story = Story().begin()
    story.tell(said(AttestationKind.ATTESTED, step=BEFORE, link=link), step=BEFORE)
    story.tell(structs.replace(DONE, link=link))

    assert [step.outcome for step in story.run().steps] == [Outcome.ATTESTED, Outcome.NOT_RUN]


def test_a_state_has_what_nothing_shows() -> None:
    """It is the procedure's, for the record and the report."""
    assert Story().begin(unverifiable=("When tokens end.",)).run().unverifiable == (
        "When tokens end.",
    )


@pytest.mark.parametrize("is_left", [True, False])
def test_a_check_may_leave_the_rest_to_people(*, is_left: bool) -> None:
    """If it is as good as it can be, a person confirms; else somebody should look again."""
    check = structs.replace(CHECK, needs_human_only=is_left)
    unclear = finding(Outcome.INCONCLUSIVE, limits=("The rest.",))

    assert concluded((unclear,), checks=(check,)).needs_human_only is is_left
    assert not concluded((finding(Outcome.INCONCLUSIVE),), checks=(check,)).needs_human_only
