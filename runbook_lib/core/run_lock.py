"""
The queue of headless runs: one at a time per tenant and connector.

The operating system releases the lock when its process ends, so a lock never
goes stale. A walkthrough never takes it.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from runbook_lib.core.clock import timestamp, utc_now
from runbook_lib.core.files import hold_lock, read_plain, write_whole
from runbook_lib.errors import BusyError, JournalError, reason_of

# Beginning of the sentence about the run that this one waits for.
WAITING = "Waiting for another headless run"

_LOCK_NAME = "run.lock"
# File with the process that has the lock, for waiting processes.
_HOLDER_NAME = "run.holder"
_LARGEST_HOLDER = 1_024
_POLL_SECONDS = 0.1
_UNKNOWN = "another process"
_TIME = re.compile(r"[0-9TZ:.-]{1,32}")


@contextmanager
def run_lock(
    home: Path,
    *,
    seconds: float,
    on_wait: Callable[[str], None],
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[None]:
    """
    Keep other headless runs of the journal in `home` waiting.

    Waits for at most `seconds`; calls `on_wait` with a sentence about the other process whenever
    that changes. Raises `BusyError` after that time, and `JournalError` if the lock cannot be taken
    at all.
    """
    path = home / _LOCK_NAME
    holder = home / _HOLDER_NAME
    with ExitStack() as stack:
        try:
            home.mkdir(parents=True, exist_ok=True)
            end = clock() + seconds
            announced = ""
            while True:
                try:
                    stack.enter_context(hold_lock(path))
                    break
                except TimeoutError:
                    other = _describe_holder(home)
                if clock() >= end:
                    raise BusyError(f"Another headless run of this tenant is running: {other}.")
                if other not in (announced, _UNKNOWN):
                    announced = other
                    on_wait(f"{WAITING} of this tenant: {other}.")
                time.sleep(_POLL_SECONDS)
            process = {"process": os.getpid(), "since": timestamp(utc_now())}
            write_whole(holder, json.dumps(process).encode(), is_durable=False)
        except OSError as error:
            raise JournalError(f"The lock {path} cannot be taken: {reason_of(error)}.") from error
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                holder.unlink()


def _describe_holder(home: Path) -> str:
    """Return the process that has the lock: `process 4711, since 2026-11-25T09:30:00.000Z`."""
    try:
        document = json.loads(read_plain(home / _HOLDER_NAME, _LARGEST_HOLDER))
        process = int(document["process"])
        since = str(document["since"])
        return f"process {process}, since {since}" if _TIME.fullmatch(since) else _UNKNOWN
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return _UNKNOWN
