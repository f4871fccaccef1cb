"""The conclusion of a step, from its findings and from people's statements."""

from __future__ import annotations

import pytest
from msgspec import structs

from runbook_lib.core.conclusion import Conclusion, combine, conclude
from runbook_lib.core.model import Attestation, Finding, Outcome
from tests.support.attestations import AT, attested, declined, skipped, submitted
from tests.support.wording import wording

WORD = attested("fb-01-a")
SUBMITTED = submitted("fb-01-a")
DECLINED = declined("fb-01-a")
NOT_INSTALLED = "It is not installed."
BLOCKED = "Blocked: complete step 13 first."
SKIP = skipped("fb-01-a", note="no lead forms here")
CHECKED = (
    Outcome.FAILED,
    Outcome.NOT_RUN,
    Outcome.WAITING,
    Outcome.INCONCLUSIVE,
    Outcome.VERIFIED,
)


def finding(outcome: Outcome, reason: str = "") -> Finding:
    return Finding(outcome=outcome, code="a-code", reason=reason or f"seen as {outcome}.")


def test_without_findings_there_is_no_conclusion() -> None:
    """Without findings, `combine` returns nothing."""
    assert combine(()) is None


@pytest.mark.parametrize("worse", range(len(CHECKED)))
@pytest.mark.parametrize("better", range(len(CHECKED)))
def test_the_worst_finding_decides(worse: int, better: int) -> None:
    """A step is never better than its worst finding, whatever their order."""
    bad = CHECKED[min(worse, better)]
    good = CHECKED[max(worse, better)]

    for pair in ((finding(bad), finding(good)), (finding(good), finding(bad))):
        combined = combine(pair)
        assert combined is not None
        assert combined.outcome is bad
        assert finding(bad).reason in combined.reason
        assert bad is good or finding(good).reason not in combined.reason


def test_equal_findings_give_all_their_reasons() -> None:
    """Findings with the same outcome all give their reasons."""
    pair = (finding(Outcome.VERIFIED, "One."), finding(Outcome.VERIFIED, "Two."))

    assert combine(pair) == Conclusion(outcome=Outcome.VERIFIED, code="a-code", reason="One. Two.")


@pytest.mark.parametrize("attestation", [None, WORD, SUBMITTED, DECLINED, SKIP])
@pytest.mark.parametrize("obstacle", ["", BLOCKED])
@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.VERIFIED])
def test_failed_and_verified_override_people(
    outcome: Outcome, attestation: Attestation | None, obstacle: str
) -> None:
    """`failed` and `verified` take precedence over every statement of a person."""
    said = conclude((finding(outcome),), attestation=attestation, obstacle=obstacle)

    assert said == Conclusion(outcome=outcome, code="a-code", reason=finding(outcome).reason)
    assert not said.by_person


@pytest.mark.parametrize(
    ("attestation", "others", "needs_person", "needs_another"),
    [
        (None, None, True, False),
        (SUBMITTED, None, True, False),
        (SKIP, None, True, False),
        (DECLINED, None, True, False),
        (WORD, None, False, False),
        (WORD, (), True, True),
        (WORD, ("Second",), False, False),
        (None, (), True, False),
    ],
)
def test_a_verified_step_with_an_unverifiable_part_needs_a_person(
    attestation: Attestation | None,
    others: tuple[str, ...] | None,
    needs_person: bool,
    needs_another: bool,
) -> None:
    """The outcome stays `verified`; only an attestation, by as many as must, completes it."""
    seen = conclude(
        (finding(Outcome.VERIFIED),),
        attestation=attestation,
        others=others,
        unverifiable=("It is so.",),
    )

    assert seen == Conclusion(
        outcome=Outcome.VERIFIED,
        code="a-code",
        reason=finding(Outcome.VERIFIED).reason,
        needs_person=needs_person,
        needs_another=needs_another,
    )


@pytest.mark.parametrize("outcome", [each for each in CHECKED if each is not Outcome.VERIFIED])
def test_only_a_verified_step_has_an_unverifiable_part(outcome: Outcome) -> None:
    """Other findings already say what is left to do."""
    concluded = conclude((finding(outcome),), unverifiable=("It is so.",))
    assert not concluded.needs_person


@pytest.mark.parametrize("attestation", [WORD, SUBMITTED])
def test_an_attestation_that_a_check_contradicts_fails(attestation: Attestation) -> None:
    """An attestation that a check contradicts is `failed`, with author and time in the reason."""
    said = conclude((finding(Outcome.NOT_RUN, NOT_INSTALLED),), attestation=attestation)

    assert said.outcome is Outcome.FAILED
    assert "Operator" in said.reason
    assert AT in said.reason
    assert NOT_INSTALLED in said.reason
    assert not said.by_person


@pytest.mark.parametrize("attestation", [WORD, SUBMITTED])
def test_not_done_with_limits_contradicts_nobody(attestation: Attestation) -> None:
    """A check that names what it does not prove says what to do; an attestation counts."""
    not_done = structs.replace(finding(Outcome.NOT_RUN, NOT_INSTALLED), limits=("The rest.",))
    said = conclude((not_done,), attestation=attestation)

    assert said.outcome is (Outcome.ATTESTED if attestation is WORD else Outcome.WAITING)
    assert wording("reasons.check-could-not-tell", reason=NOT_INSTALLED) in said.reason
    assert conclude((not_done,)).outcome is Outcome.NOT_RUN
    assert (
        conclude((not_done, finding(Outcome.NOT_RUN)), attestation=attestation).outcome
        is Outcome.FAILED
    )


def test_not_run_without_an_attestation_is_no_failure() -> None:
    """Without an attestation, a step that is not done is `not_run`."""
    said = conclude((finding(Outcome.NOT_RUN, NOT_INSTALLED),))

    assert said == Conclusion(outcome=Outcome.NOT_RUN, code="a-code", reason=NOT_INSTALLED)


@pytest.mark.parametrize("outcome", [Outcome.NOT_RUN, Outcome.WAITING, Outcome.INCONCLUSIVE])
@pytest.mark.parametrize("obstacle", ["", BLOCKED])
def test_a_person_may_skip_what_no_check_decides(outcome: Outcome, obstacle: str) -> None:
    """A skip by a person has its reason, and takes precedence over an obstacle."""
    said = conclude((finding(outcome),), attestation=SKIP, obstacle=obstacle)

    assert said.outcome is Outcome.SKIPPED
    assert said.by_person
    assert said.reason == f"Operator: {SKIP.note}"


def test_a_skip_needs_no_check() -> None:
    """A step without a check can be skipped."""
    assert conclude((), attestation=SKIP).by_person


def test_a_declined_step_fails_with_a_next_step() -> None:
    """A decline fails the step if no check decides, and the reason says what to do."""
    for findings in ((), (finding(Outcome.INCONCLUSIVE, "Hidden."),)):
        said = conclude(findings, attestation=structs.replace(DECLINED, note="No screencast."))

        assert said.outcome is Outcome.FAILED
        begin = wording("reasons.declined", at=AT, note="No screencast")
        assert said.reason.startswith(begin)
        assert wording("reasons.submit-again") in said.reason


@pytest.mark.parametrize("attestation", [None, WORD, SUBMITTED])
def test_an_obstacle_skips_the_step_without_a_person(attestation: Attestation | None) -> None:
    """A step that an earlier failure blocks is skipped, but not by a person."""
    said = conclude((), attestation=attestation, obstacle=BLOCKED)

    assert said == Conclusion(outcome=Outcome.SKIPPED, reason=BLOCKED)


@pytest.mark.parametrize("attestation", [None, WORD, SUBMITTED])
def test_a_waiting_step_stays_waiting(attestation: Attestation | None) -> None:
    """No statement of a person ends a wait that a check sees."""
    said = conclude((finding(Outcome.WAITING),), attestation=attestation)

    assert said == Conclusion(
        outcome=Outcome.WAITING, code="a-code", reason=finding(Outcome.WAITING).reason
    )


def test_inconclusive_stays_without_an_attestation() -> None:
    """Without an attestation, an inconclusive check leaves the step inconclusive."""
    said = conclude((finding(Outcome.INCONCLUSIVE, "Hidden."),))

    assert said == Conclusion(outcome=Outcome.INCONCLUSIVE, code="a-code", reason="Hidden.")


@pytest.mark.parametrize(
    ("attestation", "outcome"), [(WORD, Outcome.ATTESTED), (SUBMITTED, Outcome.WAITING)]
)
@pytest.mark.parametrize("findings", [(), (finding(Outcome.INCONCLUSIVE, "Hidden."),)])
def test_a_persons_statement_counts_if_no_check_decides(
    findings: tuple[Finding, ...], attestation: Attestation, outcome: Outcome
) -> None:
    """If no check decides, an attestation settles the step, and a submission makes it wait."""
    said = conclude(findings, attestation=structs.replace(attestation, note="As agreed."))

    assert said.outcome is outcome
    assert said.by_person
    assert "Operator" in said.reason
    assert AT in said.reason
    assert "As agreed." in said.reason
    assert ("Hidden." in said.reason) is bool(findings)


def test_an_attestation_never_reads_as_verified() -> None:
    """An attestation has the outcome `attested`, with the person's name."""
    said = conclude((), attestation=WORD)

    assert said.outcome is Outcome.ATTESTED
    assert said.reason == f"Operator on {AT}"


def test_an_unchecked_step_says_why_no_check_ran() -> None:
    """If inputs are missing, the reason names them, also beside an attestation."""
    why = "Not checked: App ID not given."

    assert conclude((), unchecked=why) == Conclusion(outcome=Outcome.NOT_RUN, reason=why)
    assert why in conclude((), attestation=WORD, unchecked=why).reason


def test_a_step_without_anything_is_not_run() -> None:
    """Without findings and statements, a step is `not_run` with a reason."""
    said = conclude(())

    assert said.outcome is Outcome.NOT_RUN
    assert said.reason


def test_findings_are_frozen() -> None:
    """A finding cannot be changed."""
    with pytest.raises(AttributeError):
        finding(Outcome.FAILED).outcome = Outcome.VERIFIED  # type: ignore[misc]
