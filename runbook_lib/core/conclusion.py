"""
Derive a step's outcome from checks and attestations.

Pure; `attestation_rules` decides whether a person's attestation still counts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeGuard

from runbook_lib.core.model import Attestation, AttestationKind, Finding, Outcome
from runbook_lib.core.outcome import OUTCOMES, SETTLED
from runbook_lib.core.procedure import AnswerOption


@dataclass(frozen=True, slots=True, kw_only=True)
class Conclusion:
    """A step's outcome, from findings and people's attestations."""

    outcome: Outcome
    """The outcome."""

    reason: str
    """The reason for the outcome, in sentences for people."""

    code: str = ""
    """Code of the finding that decided; empty if no check did."""

    by_person: bool = False
    """Whether a person's attestation decided."""

    needs_person: bool = False
    """Verified in part: a person must confirm the facts that no check can see."""

    needs_another: bool = False
    """A second person must confirm the attestation."""

    verified_on: str = ""
    """The day of the earlier check on which it rests; empty if it rests on none."""

    due_on: str = ""
    """The day since when it must be checked again; empty if it need not."""

    @property
    def is_settled(self) -> bool:
        """Whether nothing is left to do."""
        is_done = self.outcome in SETTLED and not self.needs_person
        return is_done or self.is_skipped_by_person

    @property
    def is_skipped_by_person(self) -> bool:
        """Whether a named person skipped the step."""
        return self.outcome is Outcome.SKIPPED and self.by_person


def combine(findings: tuple[Finding, ...]) -> Conclusion | None:
    """Return the conclusion from several findings, or `None` if nothing was checked."""
    if not findings:
        return None
    worst = max(findings, key=lambda finding: OUTCOMES[finding.outcome].decides).outcome
    deciding = [finding for finding in findings if finding.outcome is worst]
    reasons = dict.fromkeys(finding.reason for finding in deciding)
    return Conclusion(outcome=worst, reason=" ".join(reasons), code=deciding[0].code)


def conclude(
    findings: tuple[Finding, ...],
    *,
    attestation: Attestation | None = None,
    obstacle: str = "",
    unchecked: str = "",
    others: tuple[str, ...] | None = None,
    unverifiable: tuple[str, ...] = (),
    answer: AnswerOption | None = None,
    today: str = "",
    until: str = "",
) -> Conclusion:
    """
    Return a step's outcome from its findings and a person's `attestation`.

    A check that contradicts or verifies the step decides; otherwise the attestation counts.
    `obstacle` names an earlier failure that blocks the step. `unchecked` is the reason why the
    step's check did not run. `others` are the other people who attested it, if two must.
    `unverifiable` lists the sentences that a person must confirm of a verified step
    (`Step.unverifiable`). `answer` is the attested answer instead of the step's sentence; it is
    overdue once its due day is before `today`. `until` is the last day on which the attestation
    counts.
    """
    seen = _with_contradiction(findings, attestation)
    if seen is not None and seen.outcome in (Outcome.FAILED, Outcome.VERIFIED):
        is_in_part = bool(unverifiable) and seen.outcome is Outcome.VERIFIED
        return _verified_in_part(seen, attestation, others) if is_in_part else seen
    if attestation is not None and not _says_done(attestation):
        return _left_or_declined(attestation, until)
    if obstacle:
        return Conclusion(outcome=Outcome.SKIPPED, reason=obstacle)
    if seen is not None and (seen.outcome is Outcome.WAITING or attestation is None):
        return seen
    if attestation is not None:
        return _conclude_attested(
            attestation, seen, unchecked, others, answer=answer, today=today, until=until
        )
    reason = unchecked or "Only you can confirm this: no API shows it."
    return Conclusion(outcome=Outcome.NOT_RUN, reason=reason)


def _verified_in_part(
    seen: Conclusion, attestation: Attestation | None, others: tuple[str, ...] | None
) -> Conclusion:
    """Return the conclusion of a partly verified step, marked if people must confirm the rest."""
    is_attested = attestation is not None and attestation.kind is AttestationKind.ATTESTED
    needs_another = is_attested and others == ()
    needs_person = needs_another or not is_attested
    return replace(seen, needs_person=needs_person, needs_another=needs_another)


def _says_done(attestation: Attestation | None) -> TypeGuard[Attestation]:
    return attestation is not None and attestation.kind in (
        AttestationKind.ATTESTED,
        AttestationKind.SUBMITTED,
    )


def _left_or_declined(attestation: Attestation, until: str) -> Conclusion:
    if attestation.kind is AttestationKind.SKIPPED:
        reason = (
            f"{attestation.by}: {attestation.note}{f' (counts until {until})' if until else ''}"
        )
        return Conclusion(outcome=Outcome.SKIPPED, reason=reason, by_person=True)
    note = f": {attestation.note.rstrip('.')}" if attestation.note else ""
    reason = (
        f"{attestation.by} reported on {attestation.at} that the reviewer declined this{note}. "
        "Correct what the reviewer names, submit it again, then confirm that it was submitted."
    )
    return Conclusion(outcome=Outcome.FAILED, reason=reason, by_person=True)


def _with_contradiction(
    findings: tuple[Finding, ...], attestation: Attestation | None
) -> Conclusion | None:
    """
    Return the conclusion from the checks alone, failed if they contradict a person.

    A finding that nothing was done contradicts an attestation, unless the finding has limits: then
    the attestation counts.
    """
    seen = combine(findings)
    if seen is None or seen.outcome is not Outcome.NOT_RUN or not _says_done(attestation):
        return seen
    if all(finding.limits for finding in findings if finding.outcome is Outcome.NOT_RUN):
        return replace(seen, outcome=Outcome.INCONCLUSIVE)
    claim = f"{attestation.by} said on {attestation.at} that this was {attestation.kind}"
    reason = f"{claim}, but: {seen.reason}"
    return replace(seen, outcome=Outcome.FAILED, reason=reason)


def _conclude_attested(
    attestation: Attestation,
    seen: Conclusion | None,
    unchecked: str,
    others: tuple[str, ...] | None,
    *,
    answer: AnswerOption | None,
    today: str,
    until: str,
) -> Conclusion:
    is_submitted = attestation.kind is AttestationKind.SUBMITTED
    label = "Submitted" if is_submitted else answer.label if answer else ""
    person_and_time = f"{attestation.by} on {attestation.at}"
    reason = f"{label} ({person_and_time})" if label else person_and_time
    if attestation.due:
        reason += f", due {attestation.due}{' (overdue)' if today > attestation.due else ''}"
    if until:
        reason += f", counts until {until}"
    if others:
        reason += f", confirming {', '.join(others)}"
    if attestation.note:
        reason += f": {attestation.note}"
    if seen is not None:
        reason += f" (a check ran and could not tell: {seen.reason})"
    elif unchecked:
        reason += f" ({unchecked})"
    needs_another = others == ()
    if needs_another:
        reason += "; another person must confirm it."
    is_open = is_submitted or needs_another or bool(attestation.due)
    return Conclusion(
        outcome=Outcome.WAITING if is_open else Outcome.ATTESTED,
        reason=reason,
        by_person=True,
        needs_another=needs_another,
    )
