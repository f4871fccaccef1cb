"""
How much an answer may weigh and how long it may take; the clock that runs while one is awaited.

The numbers are settings. Who keeps to them is `wire`, `domain` and `transport`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

__all__ = ["Deadline", "Limits"]

_KIB = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """
    What is taken from a remote system before it is given up.

    `answer_kib` bounds a body as it is after decoding, `exchange_seconds` one
    request from the first look at the name to the last byte, `step_seconds`
    all that the checks of a step do, retries and waits included.
    """

    answer_kib: int = 4096
    exchange_seconds: int = 30
    step_seconds: int = 120

    @classmethod
    def of(cls, values: Mapping[str, object]) -> Limits:
        """Return the limits that settings name; the defaults where they name none."""
        names = {
            "answer_kib": "answer_limit_kib",
            "exchange_seconds": "exchange_seconds",
            "step_seconds": "step_seconds",
        }
        given = {field: values.get(name) for field, name in names.items()}
        return cls(**{field: value for field, value in given.items() if isinstance(value, int)})

    @property
    def answer_bytes(self) -> int:
        """Return the size of the largest body, in bytes."""
        return self.answer_kib * _KIB


class Deadline:
    """The moment at which an exchange, or a step, has taken too long."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds = seconds
        self._clock = clock
        self._end = clock() + seconds

    @property
    def left(self) -> float:
        """Return how many seconds are left; 0 where none are."""
        return max(0.0, self._end - self._clock())

    def within(self, seconds: float) -> Deadline:
        """Return a deadline after `seconds`, or this one's moment where that comes first."""
        return Deadline(min(seconds, self.left), self._clock)
