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


class LookCache:
    """
    The answers of one look, by what was asked.

    Who asks what is under way waits for that answer.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answers: dict[Hashable, Future[Any]] = {}

    def once(
        self,
        question: Hashable,
        ask: Callable[[], T],
        *,
        is_kept: Callable[[T], bool] = lambda _: True,
        seconds: float | None = None,
    ) -> T:
        """
        Return what `ask` returns to the first who asks `question`.

        Whoever waits for it gets it too; afterwards it is asked again unless `is_kept`.
        Raises what `ask` raises, and `TimeoutError` after waiting for `seconds`.
        """
        with self._lock:
            is_first = question not in self._answers
            future = self._answers.setdefault(question, Future())
        if is_first:
            try:
                answer = ask()
            except BaseException as error:  # noqa: BLE001  (raised where it is waited for)
                self._drop(question)
                future.set_exception(error)
            else:
                if not is_kept(answer):
                    self._drop(question)
                future.set_result(answer)
        result: T = future.result(seconds)
        return result

    def forget(self) -> None:
        """Ask everything again from now on, since a remote system was altered."""
        with self._lock:
            self._answers.clear()

    def _drop(self, question: Hashable) -> None:
        with self._lock:
            self._answers.pop(question, None)
