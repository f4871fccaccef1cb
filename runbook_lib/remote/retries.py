"""
Retries of requests, and the circuit breaker for hosts that do not respond.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Hashable
from dataclasses import dataclass

from runbook_lib.errors import RemoteError

TOO_MANY_REQUESTS = 429
SERVER_ERRORS = (500, 502, 503, 504)
# Fail fast for this long after a host did not respond.
_OPEN_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """
    The number of attempts of a repeatable request, with pauses that double.

    Pauses are random within bounds, so that the requests of many tenants spread out.
    """

    attempts: int = 3
    backoff_seconds: float = 0.25

    def pause(self, attempt: int) -> float:
        """Return the seconds to wait after `attempt`, counted from 1."""
        return random.uniform(0.5, 1.0) * self.backoff_seconds * float(2**attempt)  # noqa: S311


@dataclass(frozen=True, slots=True)
class OpenCircuit:
    """A host that did not respond: requests raise `error` until `until` (monotonic)."""

    until: float
    error: RemoteError


class CircuitBreaker:
    """
    Fails requests at once for a while after their host did not respond. Thread-safe.

    A `route` is a host with the options that decide how a client reaches it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[Hashable, OpenCircuit] = {}

    def trip(self, route: Hashable, error: RemoteError, now: float) -> None:
        """Let later requests on `route` raise `error`."""
        with self._lock:
            self._open[route] = OpenCircuit(now + _OPEN_SECONDS, error)

    def error(self, route: Hashable, now: float) -> RemoteError | None:
        """Return the error to raise for a request on `route`, if its circuit is open."""
        circuit = self._open.get(route)
        return circuit.error if circuit is not None and now < circuit.until else None
