"""
Limits of responses and steps: their size, their time, and deadlines.

`client`, `http_transport`, `domain` and `check_session` enforce them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, fields

CONNECT_TIMEOUT_SECONDS = 5.0
# Allowed besides the body, for headers and chunk framing.
_FRAMING_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits of one response, one exchange and one step; each is a setting."""

    response_limit_kib: int = 4096
    """The size of a body after decoding."""

    exchange_seconds: int = 30
    """The time of one exchange, from resolving the name to the last byte."""

    step_seconds: int = 120
    """The time of all checks of a step, with retries and waits."""

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
        """The seconds that are left, at least 0."""
        return max(0.0, self._end - self._clock())

    def within(self, seconds: float) -> Deadline:
        """Return a deadline after `seconds`, or this one if it is earlier."""
        return Deadline(min(seconds, self.seconds_left), self._clock)


class DeadlineExceededError(Exception):
    """An exchange reached its deadline."""


class RejectedResponseError(Exception):
    """A response was rejected while it was read; the message says why."""


@dataclass(slots=True)
class _ReadLimits:
    """The deadline of the current read, and the number of bytes that are left."""

    deadline: Deadline
    bytes_left: int


_READ_LIMITS: ContextVar[_ReadLimits | None] = ContextVar("read_limits", default=None)


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
    """Return the deadline of the current exchange, or else that of a new connection."""
    limits = _READ_LIMITS.get()
    return limits.deadline if limits else Deadline(CONNECT_TIMEOUT_SECONDS)


def count_bytes(data: bytes) -> bytes:
    """Return the received `data`; raises `RejectedResponseError` if it exceeds the limit."""
    limits = _READ_LIMITS.get()
    if limits is not None:
        limits.bytes_left -= len(data)
        if limits.bytes_left < 0:
            raise RejectedResponseError("more bytes than a response may have")
    return data


@contextmanager
def read_limits(deadline: Deadline, max_bytes: int) -> Iterator[None]:
    """Limit the reads of this thread: until `deadline`, at most `max_bytes` of a body."""
    token = _READ_LIMITS.set(_ReadLimits(deadline, max_bytes + _FRAMING_BYTES))
    try:
        yield
    finally:
        _READ_LIMITS.reset(token)
