"""Attestations and other statements for tests, as the walkthrough or a file makes them."""

from __future__ import annotations

from typing import Any

from runbook_lib.core.model import Assignment, Attestation, AttestationKind, Comment

AT = "2026-11-24T09:30:00Z"


def attestation(kind: AttestationKind, step: str, **more: Any) -> Attestation:
    """Return a statement of the operator about `step`."""
    return Attestation(**{"kind": kind, "step": step, "by": "Operator", "at": AT, **more})


def attested(step: str, **more: Any) -> Attestation:
    """Return the attestation that `step` is done."""
    return attestation(AttestationKind.ATTESTED, step, **more)


def submitted(step: str, **more: Any) -> Attestation:
    """Return the statement that `step` was submitted to an outside party."""
    return attestation(AttestationKind.SUBMITTED, step, **more)


def declined(step: str, **more: Any) -> Attestation:
    """Return the statement that an outside party declined `step`."""
    return attestation(AttestationKind.DECLINED, step, **more)


def skipped(step: str, **more: Any) -> Attestation:
    """Return the statement that `step` is skipped."""
    return attestation(AttestationKind.SKIPPED, step, **{"note": "not needed", **more})


def withdrawn(step: str, **more: Any) -> Attestation:
    """Return the withdrawal of the statement about `step`."""
    return attestation(AttestationKind.WITHDRAWN, step, **{"note": "a mistake", **more})


def commented(step: str, **more: Any) -> Comment:
    """Return the operator's comment on `step`."""
    return Comment(**{"step": step, "by": "Operator", "at": AT, "note": "Ask again.", **more})


def assigned(step: str, to: str, **more: Any) -> Assignment:
    """Return that the operator hands `step` to the colleague `to`."""
    return Assignment(**{"step": step, "by": "Operator", "at": AT, "to": to, **more})
