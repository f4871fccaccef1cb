"""
A look: what was asked of the remote systems, each thing once, and what they answered.

It knows requests and answers, and no checks. Nothing goes from one look into the next.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


class ResponseCache:
    """
    The answers of one look, by what was asked.

    Who asks what is under way waits for that answer.
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
        Return what `ask` returns to the first who asks `question`.

        Whoever waits for it gets it too; afterwards it is asked again unless `is_kept`.
        Raises what `ask` raises, and `TimeoutError` after waiting for `seconds`.
        """
        with self._lock:
            is_first = key not in self._futures
            future = self._futures.setdefault(key, Future())
        if is_first:
            try:
                fetched = fetch()
            except BaseException as error:  # noqa: BLE001  (raised where it is waited for)
                self._drop(key)
                future.set_exception(error)
            else:
                if not is_cacheable(fetched):
                    self._drop(key)
                future.set_result(fetched)
        result: T = future.result(seconds)
        return result

    def clear(self) -> None:
        """Ask everything again from now on, since a remote system was altered."""
        with self._lock:
            self._futures.clear()

    def _drop(self, key: Hashable) -> None:
        with self._lock:
            self._futures.pop(key, None)
