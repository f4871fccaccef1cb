"""
How large an answer may be and how long it may take, from settings; and deadlines.

`wire`, `domain` and `transport` enforce them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """
    The limits of one answer, one exchange and one step.

    `answer_limit_kib` limits a body after decoding, `exchange_seconds` one request
    from resolving the name to the last byte, `step_seconds` all checks of a
    step, with retries and waits.
    """

    answer_limit_kib: int = 4096
    exchange_seconds: int = 30
    step_seconds: int = 120

    @classmethod
    def of(cls, values: Mapping[str, object]) -> Limits:
        """Return the limits from settings, with defaults for the rest."""
        configured = {field.name: values.get(field.name) for field in fields(cls)}
        return cls(**{name: value for name, value in configured.items() if isinstance(value, int)})


class Deadline:
    """The time by which an exchange or a step must end."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds = seconds
        self._clock = clock
        self._end = clock() + seconds

    @property
    def left(self) -> float:
        """Return how many seconds are left, at least 0."""
        return max(0.0, self._end - self._clock())

    def within(self, seconds: float) -> Deadline:
        """Return a deadline after `seconds`, but not later than this one."""
        return Deadline(min(seconds, self.left), self._clock)
