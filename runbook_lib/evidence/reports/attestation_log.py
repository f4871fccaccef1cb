"""
The attestations of a run with person and time, from journal lines. Pure.

A person may name a time long before the line was written. Both times are shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain

from msgspec import structs

from runbook_lib.core.model import Attestation, AttestationKind, Outcome
from runbook_lib.evidence.reports.phrases import parse_time, plain
from runbook_lib.run.journal import Line, encode_event
from runbook_lib.run.state import RunState

_LONG_AGO = datetime(1, 1, 1, tzinfo=UTC)
_OUTCOMES: Mapping[AttestationKind, Outcome] = {
    AttestationKind.ATTESTED: Outcome.ATTESTED,
    AttestationKind.SUBMITTED: Outcome.WAITING,
    AttestationKind.DECLINED: Outcome.FAILED,
    AttestationKind.SKIPPED: Outcome.SKIPPED,
    AttestationKind.WITHDRAWN: Outcome.NOT_RUN,
}
# An attestation holds only this part of a secret.
_FINGERPRINT = re.compile("[0-9a-f]{8}:[0-9a-f]{64}")
_ABOUT = ("app_name", "app_id", "service_domain")


class LoggedAttestation(Attestation, kw_only=True):
    """An attestation, its step, and when it was recorded."""

    step: str
    written_on: str
    app_id_label: str
    """The vendor's label for the app's id."""

    @property
    def outcome(self) -> Outcome:
        """The step's outcome by this attestation alone."""
        return Outcome.WAITING if self.due else _OUTCOMES[self.kind]

    @property
    def about(self) -> str:
        """The subject: app, Service Domain, and the rest."""
        named = {
            "App": self.app_name,
            self.app_id_label: self.app_id,
            "Service Domain": self.service_domain,
        }
        rest = {
            name.replace("_", " "): plain(value)
            for name, value in self.binding.subject.items()
            if name not in _ABOUT
        }
        return ", ".join(
            f"{label} {value}"
            for label, value in {**named, **rest}.items()
            if value and not _FINGERPRINT.fullmatch(value)
        )


def attestations_by_step(
    lines: Iterable[Line], run: RunState
) -> dict[str, list[LoggedAttestation]]:
    """Return the attestations of each step of `run`, in the order of writing; the last counts."""
    log: dict[str, list[LoggedAttestation]] = {step.id: [] for step in run.steps}
    for line in _without_repeats(lines):
        if line.head.step in log:
            log[line.head.step].append(_logged(line, run.app_id_label))
    return log


def in_order_of_time(
    log: Mapping[str, Sequence[LoggedAttestation]],
) -> list[LoggedAttestation]:
    """Return the attestations of all steps, by the times that their authors named."""
    return sorted(chain.from_iterable(log.values()), key=_moment_of)


def _moment_of(said: LoggedAttestation) -> datetime:
    return parse_time(said.at) or _LONG_AGO


def _without_repeats(lines: Iterable[Line]) -> list[Line]:
    """
    Return the lines with an attestation, without those that a person repeated in another file.

    A repeated one has its first text at its last place, since the last one counts.
    """
    once: dict[object, Line] = {}
    for line in lines:
        if line.kind is Attestation:
            key = (line.head.step, encode_event(structs.replace(line.event, origin="")))
            once[key] = once.pop(key, line)
    return list(once.values())


def _logged(line: Line, app_id_label: str) -> LoggedAttestation:
    return LoggedAttestation(
        **structs.asdict(line.event),
        step=line.head.step,
        written_on=line.head.at,
        app_id_label=app_id_label,
    )
