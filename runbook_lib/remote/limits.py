"""
How large an answer may be and how long it may take, from settings; and deadlines.

`http_transport`, `domain` and `transport` enforce them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, fields

CONNECT_TIMEOUT_SECONDS = 5.0
# Allowed beside the body, for headers and chunk framing.
_FRAMING_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """
    The limits of one answer, one exchange and one step.

    `response_limit_kib` limits a body after decoding, `exchange_seconds` one request
    from resolving the name to the last byte, `step_seconds` all checks of a
    step, with retries and waits.
    """

    response_limit_kib: int = 4096
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
    def seconds_left(self) -> float:
        """Return how many seconds are left, at least 0."""
        return max(0.0, self._end - self._clock())

    def within(self, seconds: float) -> Deadline:
        """Return a deadline after `seconds`, but not later than this one."""
        return Deadline(min(seconds, self.seconds_left), self._clock)


class DeadlineExceededError(Exception):
    """An exchange reached its deadline."""


class RejectedResponseError(Exception):
    """An answer was rejected while it was read; the message says why."""


@dataclass(slots=True)
class _ReadLimits:
    """The limits of the current read: its deadline and how many bytes are left."""

    deadline: Deadline
    bytes_left: int


_READ_LIMITS: ContextVar[_ReadLimits | None] = ContextVar("awaited", default=None)


def next_timeout(timeout: float | None) -> float | None:
    """Return the time-out of the next call; raises `DeadlineExceededError` if no time is left."""
    limits = _READ_LIMITS.get()
    if limits is None:
        return timeout
    left = limits.deadline.seconds_left
    if left <= 0:
        raise DeadlineExceededError
    return left if timeout is None else min(timeout, left)


def current_deadline() -> Deadline:
    """Return the deadline of the current exchange, or one for a connection."""
    limits = _READ_LIMITS.get()
    return limits.deadline if limits else Deadline(CONNECT_TIMEOUT_SECONDS)


def count_bytes(data: bytes) -> bytes:
    """Return the received `data`; raises `RejectedResponseError` if it is too much."""
    limits = _READ_LIMITS.get()
    if limits is not None:
        limits.bytes_left -= len(data)
        if limits.bytes_left < 0:
            raise RejectedResponseError("more bytes than an answer may have")
    return data


@contextmanager
def read_limits(deadline: Deadline, max_bytes: int) -> Iterator[None]:
    """Limit what this thread reads: until `deadline`, at most `most` bytes of body."""
    token = _READ_LIMITS.set(_ReadLimits(deadline, max_bytes + _FRAMING_BYTES))
    try:
        yield
    finally:
        _READ_LIMITS.reset(token)
