"""
The attestations of a run with person and time, from journal lines or from its record. Pure.

A person may name a time long before the line was written. Both times are shown.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from msgspec import structs, to_builtins

from runbook_lib.core.model import (
    Attestation,
    AttestationDetails,
    AttestationKind,
    JournalEntry,
    Outcome,
)
from runbook_lib.evidence.record import Record
from runbook_lib.evidence.reports.phrases import parse_time, plain

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
    """An attestation, and when it was recorded, as far as its line is there."""

    written_on: str = ""
    app_id_label: str = "app_id"
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
    entries: Sequence[JournalEntry], run: Record
) -> dict[str, list[LoggedAttestation]]:
    """Return the attestations of each step of `run`, in the order of writing; the last counts."""
    log: dict[str, list[LoggedAttestation]] = {step.id: [] for step in run.steps}
    for entry in _without_repeats(entries):
        if entry.step in log:
            log[entry.step].append(_logged(entry, run.app_id_label))
    for step in run.steps:
        if step.attestation and not log[step.id]:
            details = structs.asdict(step.attestation)
            log[step.id].append(LoggedAttestation(**details, app_id_label=run.app_id_label))
    return log


def in_order_of_time(
    log: Mapping[str, Sequence[LoggedAttestation]],
) -> list[tuple[str, LoggedAttestation]]:
    """Return each step's id with an attestation, by the time that its author named."""
    pairs = [(step, attestation) for step, of_step in log.items() for attestation in of_step]
    return sorted(pairs, key=lambda pair: parse_time(pair[1].at) or _LONG_AGO)


def _without_repeats(entries: Iterable[JournalEntry]) -> list[JournalEntry]:
    """
    Return the lines with an attestation, without those that a person repeated in another file.

    A repeated one has its first text at its last place, since the last one counts.
    """
    once: dict[object, JournalEntry] = {}
    for entry in entries:
        if isinstance(entry.data, AttestationDetails):
            spoken = to_builtins(structs.replace(entry.data, origin=""))
            key = (entry.type, entry.step, json.dumps(spoken))
            once[key] = once.pop(key, entry)
    return list(once.values())


def _logged(entry: JournalEntry, app_id_label: str) -> LoggedAttestation:
    kind = AttestationKind(entry.type.removeprefix("step."))
    details = structs.asdict(entry.data)
    return LoggedAttestation(
        **details, kind=kind, step=entry.step, written_on=entry.at, app_id_label=app_id_label
    )
