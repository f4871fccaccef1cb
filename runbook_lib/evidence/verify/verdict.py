"""The verdict on a bundle, or on a tenant's chain of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msgspec import structs, to_builtins

from runbook_lib.core.files import JOURNAL_NAME
from runbook_lib.errors import ContentError, EvidenceError, JournalError, reason_of
from runbook_lib.evidence.verify.verify import VerifiedBundle

# Errors from a document with other fields or types than the runbook writes.
NOT_UNDERSTOOD = (LookupError, TypeError, ValueError, AttributeError, RecursionError)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict on one bundle, or on a tenant's whole chain."""

    path: Path
    """The bundle, or the tenant's folder."""

    verified: VerifiedBundle | None = None
    """The verified bundle; `None` for a chain or a refusal."""

    error: EvidenceError | None = None
    """The reason for a refusal; `None` if it is accepted."""

    length: int = 0
    """The number of bundles in the chain; 0 for a bundle."""

    notes: tuple[str, ...] = ()
    """Limits of the verification."""

    anomalies: tuple[str, ...] = ()
    """Oddities in an accepted chain."""

    @property
    def is_unsealed(self) -> bool:
        """Whether this is about a tenant without any sealed bundle."""
        return self.verified is None and self.error is None and not self.length

    def document(self) -> dict[str, Any]:
        """Return the JSON object that `runbook verify --json` prints."""
        document: dict[str, Any] = {"path": str(self.path), "accepted": self.error is None}
        if self.error is not None:
            kind = type(self.error).__name__.removesuffix("Error").lower()
            return {**document, "refused": kind, "file": self.error.file, "reason": str(self.error)}
        if self.verified is None:
            return {**document, "chain": self.length, "notes": self.notes + self.anomalies}
        verified: dict[str, Any] = to_builtins(self.verified)
        verified["carried"] = [structs.astuple(line) for line in self.verified.carried]
        del verified["excerpt"]  # it is in `run`
        return {**document, **verified}


def verdict_or_refusal(path: Path, verify: Callable[[], Verdict]) -> Verdict:
    """Return the verdict of `verify`, or the refusal of what it raises."""
    try:
        return verify()
    except (EvidenceError, JournalError, OSError) as error:
        return refused_verdict(path, error)
    except NOT_UNDERSTOOD as error:
        # NOTE: a trusted key may sign something that no runbook writes.
        return Verdict(
            path,
            error=ContentError(f"It is signed, but cannot be understood ({type(error).__name__})."),
        )


def refused_verdict(path: Path, error: EvidenceError | JournalError | OSError) -> Verdict:
    """Return the verdict for an error, also for one of reading."""
    if isinstance(error, EvidenceError):
        return Verdict(path, error=error)
    if isinstance(error, JournalError):
        return Verdict(path, error=ContentError(str(error), file=JOURNAL_NAME))
    reason = f"It cannot be read: {reason_of(error)}."
    return Verdict(path, error=ContentError(reason, file=Path(error.filename or "").name))
