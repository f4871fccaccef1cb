"""Attestations and other statements for tests, as the walkthrough or a file makes them."""

from __future__ import annotations

from typing import Any

from runbook_lib.core.model import Attestation, AttestationKind, Note, Remark

AT = "2026-11-24T09:30:00Z"


def attestation(kind: AttestationKind, **more: Any) -> Attestation:
    """Return a statement of the operator."""
    return Attestation(**{"kind": kind, "by": "Operator", "at": AT, **more})


def attested(step: str, **more: Any) -> Remark:
    """Return the attestation that `step` is done."""
    return Remark(step, attestation(AttestationKind.ATTESTED, **more))


def submitted(step: str, **more: Any) -> Remark:
    """Return the statement that `step` was submitted to an outside party."""
    return Remark(step, attestation(AttestationKind.SUBMITTED, **more))


def declined(step: str, **more: Any) -> Remark:
    """Return the statement that an outside party declined `step`."""
    return Remark(step, attestation(AttestationKind.DECLINED, **more))


def skipped(step: str, **more: Any) -> Remark:
    """Return the statement that `step` is skipped."""
    said = {"note": "not needed", **more}
    return Remark(step, attestation(AttestationKind.SKIPPED, **said))


def withdrawn(step: str, **more: Any) -> Remark:
    """Return the withdrawal of the statement about `step`."""
    said = {"note": "a mistake", **more}
    return Remark(step, attestation(AttestationKind.WITHDRAWN, **said))


def commented(step: str, **more: Any) -> Remark:
    """Return the operator's comment on `step`."""
    return Remark(step, Note(**{"by": "Operator", "at": AT, "note": "Ask again.", **more}))


def assigned(step: str, to: str, **more: Any) -> Remark:
    """Return that the operator hands `step` to the colleague `to`."""
    return Remark(step, Note(**{"by": "Operator", "at": AT, "to": to, **more}))
