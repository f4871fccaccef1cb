"""
Decide whether a person's attestation, or a check, still counts. Pure.

An attestation counts only for the connector, the sentence, the checks and the values that it is
bound to, and until its last day. A withdrawal, a later attestation of another kind, or a refused
value ends it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import NamedTuple

from runbook_lib.core.clock import days_after, days_between
from runbook_lib.core.model import Attestation, AttestationKind, Binding, Value
from runbook_lib.core.people import person_key
from runbook_lib.run.events import StepDefinition
from runbook_lib.run.state import VoidAttestation
from runbook_lib.text import as_text, pluralize

# Kinds of attestations that settle a step.
_SETTLING = (AttestationKind.ATTESTED, AttestationKind.SKIPPED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The currently known values, to compare with those that a binding has."""

    connector: str
    """The procedure's id."""

    values: Mapping[str, Value]
    """The known values by name; a secret as its fingerprint."""

    before: Mapping[str, Value] = field(default_factory=dict)
    """Name of each known value that the remote system refused → the value before it."""

    labels: Mapping[str, str] = field(default_factory=dict)
    """Name of a value → its label for people."""

    secrets: Collection[str] = ()
    """Names of the values that are secrets."""

    today: str = ""
    """The day in UTC for which attestations are selected; without one none expires."""

    most_days: int = 0
    """The most days for which an expiring attestation counts; 0 without a limit."""

    links: Mapping[str, str] = field(default_factory=dict)
    """Digest of each used link for a second person → the id of its step."""


class Selection(NamedTuple):
    """The attestations of a step, as `select_current` sorts them."""

    current: Attestation | None = None
    """The attestation that counts; `None` without one."""

    confirmed_by: tuple[Attestation, ...] = ()
    """Other people's attestations of the same, the oldest first."""

    void: tuple[VoidAttestation, ...] = ()
    """Attestations that no longer count, with reasons; empty while one counts."""


class _Candidate(NamedTuple):
    """An attestation, its place in time and journal, and a reason if it does not match its step."""

    position: tuple[datetime, int]
    attestation: Attestation
    why: str

    def is_withdrawn_by(self, withdrawal: _Candidate) -> bool:
        """Return whether a withdrawal has the same subject, and is later than this."""
        is_about_same = (
            not (self.why or withdrawal.why)
            or self.attestation.binding.subject == withdrawal.attestation.binding.subject
        )
        return is_about_same and self.position < withdrawal.position


def mismatch(binding: Binding, step: StepDefinition, subject: Subject) -> str:
    """Return the reason why `binding` does not match `step` and `subject`; empty if it does."""
    if binding.connector != subject.connector:
        return f"for the connector {binding.connector or 'of another form'}"
    if binding.checks != tuple(sorted(check.id for check in step.checks)):
        return "before its sentence or its checks were changed"
    if not binding.subject.keys() >= set(step.subject):
        return "before all values that it is about were recorded"
    reasons = [
        _describe_difference(name, binding.subject[name], subject) for name in binding.subject
    ]
    return " and ".join(filter(None, reasons))


def is_same_value(value: Value | None, other: Value | None) -> bool:
    """Return whether two values are equal; the order of a list does not count."""
    if isinstance(value, tuple) and isinstance(other, tuple):
        return set(value) == set(other)
    return value == other


def last_day(attestation: Attestation, step: StepDefinition, most_days: int = 0) -> str:
    """
    Return the last day on which `attestation` counts for `step`; empty if it has no end.

    `most_days`, if not 0, can only shorten the time of an expiring attestation.
    """
    if attestation.kind not in _SETTLING:
        return ""
    days_of_answer = {answer.sentence: answer.valid_days for answer in step.answers}
    days = days_of_answer.get(attestation.sentence, step.valid_days)
    ends = days_after(attestation.at, min(days, most_days or days)) if days else ""
    return min(filter(None, (attestation.until, ends)), default="")


def select_current(
    attestations: Sequence[Attestation], step: StepDefinition, subject: Subject
) -> Selection:
    """
    Return the attestation that counts for `step`, those that confirm it, and the void ones.

    `attestations` are all attestations about the step, in the order of the journal. The newest that
    matches counts. A skip, a decline and an attestation each replace the other kinds. A withdrawal
    cancels attestations before its own time. A link counts once. An expired attestation still
    supersedes earlier ones. Each person's newest void attestation is shown unless another
    attestation counts. So is an attestation that somebody else withdrew, with that withdrawal.
    """
    candidates = [
        _Candidate(
            (_moment(attestation), place), attestation, _mismatch(attestation, step, subject)
        )
        for place, attestation in enumerate(attestations)
    ]
    withdrawals = [
        candidate
        for candidate in candidates
        if candidate.attestation.kind is AttestationKind.WITHDRAWN
    ]
    used = {link for link, used_for in subject.links.items() if used_for != step.id}
    counting: list[Attestation] = []
    void: dict[str, VoidAttestation] = {}
    for candidate in candidates:
        attestation = candidate.attestation
        person = person_key(attestation.by)
        is_used = attestation.link in used
        used |= {attestation.link} - {""}
        if attestation.kind is AttestationKind.WITHDRAWN:
            continue
        undone = [other.attestation for other in withdrawals if candidate.is_withdrawn_by(other)]
        if undone:
            void |= {} if candidate.why else _void_by_others(attestation, undone)
            continue
        if candidate.why or is_used:
            why = candidate.why or "by a link that had been used before"
            void[person] = VoidAttestation(attestation=attestation, why=why)
            continue
        same = (other for other in counting if _says_the_same(other, attestation))
        counting = [other for other in same if person_key(other.by) != person]
        ends = last_day(attestation, step, subject.most_days)
        if ends and subject.today > ends:
            age = pluralize(days_between(attestation.at, subject.today), "day")
            why = f"{age} ago, until {ends}"
            void[person] = VoidAttestation(attestation=attestation, why=why, ended=ends)
        else:
            counting.append(attestation)
    if not counting:
        return Selection(void=tuple(void.values()))
    *others, newest = counting
    return Selection(newest, tuple(others))


def _void_by_others(
    attestation: Attestation, withdrawals: Iterable[Attestation]
) -> dict[str, VoidAttestation]:
    """Return an attestation that other people withdrew, and their withdrawals, by person."""
    person = person_key(attestation.by)
    void: dict[str, VoidAttestation] = {}
    for other in withdrawals:
        if person_key(other.by) != person:
            why = f"but {other.by} withdrew it on {other.at} ({other.note.rstrip('.')})"
            void[person] = VoidAttestation(attestation=attestation, why=why)
            # NOTE: beside that person's own void attestation.
            key = f"{other.by}\n"
            why = f"of what {attestation.by} confirmed"
            void[key] = VoidAttestation(attestation=other, why=why)
    return void


def _moment(attestation: Attestation) -> datetime:
    """Return the time of an attestation; one without a zone is in UTC (RFC 3339)."""
    moment = datetime.fromisoformat(attestation.at)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _mismatch(attestation: Attestation, step: StepDefinition, subject: Subject) -> str:
    """
    Return the reason why an attestation does not match its step; empty if it does.

    A refused value voids only attestations of the step that takes it.
    """
    others = {name: subject.before[name] for name in subject.before.keys() - set(step.inputs)}
    matching = replace(subject, values={**subject.values, **others})
    if why := mismatch(attestation.binding, step, matching):
        return why
    sentences = {step.sentence, *(answer.sentence for answer in step.answers)}
    if attestation.sentence not in sentences:
        return "before its sentence or its checks were changed"
    refused = next((name for name in step.inputs if name in subject.before), "")
    if not refused:
        return ""
    return f"but {subject.labels.get(refused, refused)} {subject.values[refused]} was refused"


def _says_the_same(attestation: Attestation, other: Attestation) -> bool:
    return (attestation.kind, attestation.sentence) == (other.kind, other.sentence)


def _describe_difference(name: str, earlier: Value | None, subject: Subject) -> str:
    """Return the difference between a bound value and the current one; empty without one."""
    current = subject.values.get(name)
    if not earlier or is_same_value(earlier, current):
        return ""
    label = subject.labels.get(name, "a value")
    if name in subject.secrets:
        is_other_key = str(earlier).partition(":")[0] != str(current or "").partition(":")[0]
        if current and is_other_key:
            return f"for an earlier {label} that the new fingerprint.key cannot recognise"
        return f"for another {label}"
    if not current:
        return f"for {label} {as_text(earlier)}, which is not known now"
    return f"for {label} {as_text(earlier)}, not {as_text(current)}"
