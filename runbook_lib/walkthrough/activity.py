"""
Moments: what a panel knows beside the journal. Is it at work, what came of what was asked?

Gone with the kernel; whatever must outlive it is in the journal.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from runbook_lib.errors import JournalError, RunbookError

__all__ = ["Moment", "Moments", "what_went_wrong"]


@dataclass(frozen=True, slots=True)
class Moment:
    """
    One panel's: is it at work, since when (epoch), what to tell.

    `busy` counts what is under way, `finished` what is done, so that two equal
    answers are told apart. `taken` counts how often something typed was taken
    over, with `refused` the name and reason of each that was not; `written` a
    person's words.
    """

    busy: int = 0
    busy_since: float = 0.0
    finished: int = 0
    taken: int = 0
    refused: Sequence[Mapping[str, str]] = field(default_factory=list)
    written: int = 0
    message: str = ""
    advice: str = ""
    is_error: bool = False
    consent_url: str = ""
    consent_paste_url: str = ""


class Moments:
    """The moment of each step; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._moments: dict[str, Moment] = {}

    def of(self, step_id: str) -> Moment:
        """Return what is so now."""
        return self._moments.get(step_id, Moment())

    def update(self, step_id: str, **changes: Any) -> None:
        """Change some of it."""
        with self._lock:
            self._moments[step_id] = replace(self.of(step_id), **changes)

    def count(self, step_id: str, name: str, **changes: Any) -> None:
        """Note that what `name` counts happened once more, with some of the rest."""
        with self._lock:
            before = self.of(step_id)
            changes[name] = getattr(before, name) + 1
            self._moments[step_id] = replace(before, **changes)

    def begin(self, step_id: str) -> None:
        """Note that one thing more is under way."""
        with self._lock:
            before = self.of(step_id)
            self._moments[step_id] = replace(
                before,
                busy=before.busy + 1,
                busy_since=before.busy_since or time.time(),
                message="",
                advice="",
                is_error=False,
            )

    def end(self, step_id: str, message: str, advice: str, *, is_error: bool) -> None:
        """Note that one thing came to its end, and what came of it."""
        with self._lock:
            before = self.of(step_id)
            self._moments[step_id] = replace(
                before,
                busy=before.busy - 1,
                busy_since=before.busy_since if before.busy > 1 else 0.0,
                finished=before.finished + 1,
                message=message,
                advice=advice,
                is_error=is_error,
            )


def what_went_wrong(error: Exception) -> tuple[str, str]:
    """Return what an error means to the person, and what to do next; never what it quotes."""
    if isinstance(error, RunbookError):
        return str(error), error.diagnostics()
    if isinstance(error, OSError):
        reason = error.strerror or type(error).__name__
        return f"Cannot write to disk: {reason}.", JournalError.next_step
    return f"The runbook itself broke ({type(error).__name__}).", "Report it as a defect."
