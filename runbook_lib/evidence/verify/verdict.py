"""The verdict on a bundle, or on a tenant's chain of them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from runbook_lib.core.journal import JOURNAL_NAME
from runbook_lib.errors import ContentError, EvidenceError, JournalError
from runbook_lib.evidence.verify.verify import Verified

__all__ = ["Verdict", "refusal"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """
    The verdict on one bundle (`verified`), or on a tenant's whole chain (its `length`).

    `error` is set if it is rejected. `notes` say what a chain does not show.
    """

    path: Path
    verified: Verified | None = None
    error: EvidenceError | None = None
    length: int = 0
    notes: tuple[str, ...] = ()

    @property
    def is_unsealed(self) -> bool:
        """Return whether this is about a tenant without any sealed bundle."""
        return self.verified is None and self.error is None and not self.length

    def document(self) -> dict[str, Any]:
        """Return the JSON object that `runbook verify --json` prints."""
        document: dict[str, Any] = {"path": str(self.path), "accepted": self.error is None}
        if self.error is not None:
            kind = type(self.error).__name__.removesuffix("Error").lower()
            return {**document, "refused": kind, "file": self.error.file, "reason": str(self.error)}
        if self.verified is None:
            return {**document, "chain": self.length, "notes": self.notes}
        return {**document, **asdict(self.verified)}


def refusal(path: Path, error: EvidenceError | JournalError | OSError) -> Verdict:
    """Return the verdict for an error, also for one of reading."""
    if isinstance(error, EvidenceError):
        return Verdict(path, error=error)
    if isinstance(error, JournalError):
        return Verdict(path, error=ContentError(str(error), file=JOURNAL_NAME))
    reason = f"It cannot be read: {error.strerror or type(error).__name__}."
    return Verdict(path, error=ContentError(reason, file=Path(error.filename or "").name))
