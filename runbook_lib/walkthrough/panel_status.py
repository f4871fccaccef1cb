"""
The status of panels beside the journal: is an action running, and how did the last one end?

It is lost with the kernel; results are in the journal.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

View = dict[str, Any]
"""A part of what a browser script draws: JSON without a credential."""

# An open step is checked again at most this often, however often its window gets the focus.
_MIN_REFRESH_INTERVAL = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class PanelStatus:
    """The actions of one panel."""

    busy: int = 0
    """The number of running actions."""
    busy_since: float = 0.0
    """The time at which the first of them began, in epoch seconds."""
    finished: int = 0
    """The number of actions that have ended, so that two equal messages differ."""
    taken: int = 0
    """The number of times that typed values were accepted."""
    refused: Sequence[Mapping[str, str]] = field(default_factory=list)
    """The typed values that were refused, each with its problem or doubt."""
    written: int = 0
    """The number of recorded remarks of a person."""
    result: str = ""
    """Set if the last action was a check; the step's own view says what it found."""
    message: str = ""
    """The other effects of the last action, as a sentence."""
    advice: str = ""
    """The next step after `message`."""
    is_error: bool = False
    """Whether the last action failed."""
    consent_url: str = ""
    """The address of the provider's consent page; empty if no redirect is awaited."""
    consent_paste_url: str = ""
    """The beginning of the address that a person pastes after the consent."""

    def view(self) -> View:
        """Return the status as JSON."""
        return asdict(self)


class PanelStatuses:
    """
    The status of each step's panel, of *Check everything now*, and of the sealing.

    `doubts` are what a person is asked before the evidence is sealed. Those of steps are safe to
    change from several threads. `passed` are the ids of steps that a person went past because a
    remote system has a fault, `opened` of those whose page was opened. `next_refresh` is when
    waiting steps are checked again, `held_back` why they were not at the last time.
    """

    def __init__(self, next_refresh: datetime) -> None:
        self.next_refresh = next_refresh
        self.held_back = ""
        self.all_steps = PanelStatus()
        self.sealing = PanelStatus()
        self.doubts: Sequence[str] = ()
        self.passed: frozenset[str] = frozenset()
        self.opened: frozenset[str] = frozenset()
        self._lock = threading.Lock()
        self._statuses: dict[str, PanelStatus] = {}
        self._refreshed_at: dict[str, datetime] = {}

    def may_refresh(self, step_id: str, now: datetime) -> bool:
        """Return whether an open step may be checked again automatically, and note that it was."""
        with self._lock:
            last = self._refreshed_at.get(step_id)
            if last is not None and now - last < _MIN_REFRESH_INTERVAL:
                return False
            self._refreshed_at[step_id] = now
            return True

    def of(self, step_id: str) -> PanelStatus:
        """Return the status of a step's panel."""
        return self._statuses.get(step_id, PanelStatus())

    def update(self, step_id: str, **changes: Any) -> None:
        """Change fields of a step's status."""
        with self._lock:
            self._statuses[step_id] = replace(self.of(step_id), **changes)

    def count(self, step_id: str, name: str, **changes: Any) -> None:
        """Increase the counter `name`, and change other fields."""
        with self._lock:
            current = self.of(step_id)
            changes[name] = getattr(current, name) + 1
            self._statuses[step_id] = replace(current, **changes)

    def go_past(self, step_id: str) -> None:
        """Note that a person goes on without this step, until it is worked on again."""
        with self._lock:
            self.passed |= {step_id}

    def begin(self, step_id: str) -> None:
        """Note that one more action runs."""
        with self._lock:
            self.passed -= {step_id}
            current = self.of(step_id)
            self._statuses[step_id] = replace(
                current,
                busy=current.busy + 1,
                busy_since=current.busy_since or time.time(),
                result="",
                message="",
                advice="",
                is_error=False,
            )

    def end(self, step_id: str, message: str, advice: str, *, is_error: bool) -> None:
        """Note that an action has ended, and how."""
        with self._lock:
            current = self.of(step_id)
            self._statuses[step_id] = replace(
                current,
                busy=current.busy - 1,
                busy_since=current.busy_since if current.busy > 1 else 0.0,
                finished=current.finished + 1,
                message=message,
                advice=advice,
                is_error=is_error,
            )
