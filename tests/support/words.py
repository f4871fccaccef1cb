"""Attestations and other statements for tests, as the walkthrough or a file makes them."""

from __future__ import annotations

from typing import Any

from runbook_lib.core.model import Assignment, Note, Word, WordKind

AT = "2026-11-24T09:30:00Z"


def word(kind: WordKind, step: str, **more: Any) -> Word:
    """Return a statement of the operator about `step`."""
    return Word(**{"kind": kind, "step": step, "by": "Operator", "at": AT, **more})


def attested(step: str, **more: Any) -> Word:
    """Return the attestation that `step` is done."""
    return word(WordKind.ATTESTED, step, **more)


def submitted(step: str, **more: Any) -> Word:
    """Return the statement that `step` was submitted to an outside party."""
    return word(WordKind.SUBMITTED, step, **more)


def declined(step: str, **more: Any) -> Word:
    """Return the statement that an outside party declined `step`."""
    return word(WordKind.DECLINED, step, **more)


def skipped(step: str, **more: Any) -> Word:
    """Return the statement that `step` is skipped."""
    return word(WordKind.SKIPPED, step, **{"note": "not needed", **more})


def withdrawn(step: str, **more: Any) -> Word:
    """Return the withdrawal of the statement about `step`."""
    return word(WordKind.WITHDRAWN, step, **{"note": "a mistake", **more})


def commented(step: str, **more: Any) -> Note:
    """Return the operator's comment on `step`."""
    return Note(**{"step": step, "by": "Operator", "at": AT, "note": "Ask again.", **more})


def assigned(step: str, to: str, **more: Any) -> Assignment:
    """Return that the operator hands `step` to the colleague `to`."""
    return Assignment(**{"step": step, "by": "Operator", "at": AT, "to": to, **more})
