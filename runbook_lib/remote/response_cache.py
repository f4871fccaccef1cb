"""
A cache of responses for one snapshot: all checks of it see the same state of a remote system.

The cache knows no checks. Snapshots share nothing with each other.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


class ResponseCache:
    """
    Results by key. Thread-safe.

    Concurrent callers of the same key share one result.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._futures: dict[Hashable, Future[Any]] = {}

    def get_or_fetch(
        self,
        key: Hashable,
        fetch: Callable[[], T],
        *,
        is_cacheable: Callable[[T], bool] = lambda _: True,
        seconds: float | None = None,
    ) -> T:
        """
        Return the cached result for `key`, or else the result of `fetch`.

        A result that is not cacheable goes only to the callers that already wait for it. Raises
        the errors of `fetch`, and `TimeoutError` after waiting for `seconds`.
        """
        with self._lock:
            is_first = key not in self._futures
            future = self._futures.setdefault(key, Future())
        if is_first:
            try:
                fetched = fetch()
            except BaseException as error:  # noqa: BLE001  (raised in the waiting callers)
                self._drop(key)
                future.set_exception(error)
            else:
                if not is_cacheable(fetched):
                    self._drop(key)
                future.set_result(fetched)
        result: T = future.result(seconds)
        return result

    def clear(self) -> None:
        """Remove all results, since a remote system was changed."""
        with self._lock:
            self._futures.clear()

    def _drop(self, key: Hashable) -> None:
        with self._lock:
            self._futures.pop(key, None)
