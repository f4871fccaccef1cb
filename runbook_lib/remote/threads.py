"""
Runs functions in daemon threads, which do not block the exit of the process.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


def run_in_thread(function: Callable[[], T], name: str) -> Future[T]:
    """Call `function` in a daemon thread called `name`; return the future result."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(function())
        except BaseException as error:  # noqa: BLE001  (raised by `result`)
            future.set_exception(error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return future
