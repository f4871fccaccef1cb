"""
The workers of a fleet are threads of this machine. Each waits for a tenant's own process.

A fork server starts that process. It has loaded everything and never sees a request.
"""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runbook_lib.engine.elsewhere import (
    LOST,
    RunEnd,
    RunningProcesses,
    forked,
    run_elsewhere,
)
from runbook_lib.remote.threads import run_in_thread

if TYPE_CHECKING:
    from runbook_lib.engine.cluster import ClusterWorkers

# A run takes 0.6 s of a processor and waits for four round trips: with four for each core
# processors are busy up to a round trip of 450 ms.
_WORKERS_PER_CORE = 4
# Each opens up to six connections to a host and port, and most hosts are the same for all.
_MOST_WORKERS = 16
# The two processes of a running tenant use 67 MiB of their own.
_MEBIBYTES_PER_WORKER = 100
# Seconds between two questions whether the workers are still there.
_LOOK_SECONDS = 5
# Seconds for interrupted tenants to write their end.
_STOP_SECONDS = 5


def default_workers(cores: int, mebibytes: float) -> int:
    """
    Return the number of tenants that run at a time with these cores and this available memory.
    """
    fitting = mebibytes / _MEBIBYTES_PER_WORKER
    return max(int(min(_WORKERS_PER_CORE * cores, fitting, _MOST_WORKERS)), 1)


def available_memory() -> float:
    """Return the MiB that new processes may take, caches included; infinite where not known."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return math.inf
    named = (int(line.split()[1]) / 1024 for line in lines if line.startswith("MemAvailable:"))
    return next(named, math.inf)


Group = Sequence[tuple[Mapping[str, Any], Sequence[str]]]
"""Requests that run one after the other, each with the variables of its process."""


class LocalWorkers:
    """
    Runs up to `limit` requests at a time on this machine, each at most `seconds`.

    `environ` has the variables that requests name; those in `withheld` reach no other process.
    """

    def __init__(
        self, limit: int, environ: Mapping[str, str], withheld: Collection[str], seconds: float
    ) -> None:
        self.limit = limit
        # NOTE: a copy, since the environment lacks the withheld variables while a fleet runs.
        self._environ = dict(environ)
        self._running = RunningProcesses()
        self._run = partial(
            run_elsewhere, start=forked, withheld=withheld, seconds=seconds, running=self._running
        )
        self._executor = ThreadPoolExecutor(limit)

    def submit(self, document: Mapping[str, Any], variables: Sequence[str]) -> Future[RunEnd]:
        """Have a request run, with these variables of the environment."""
        own = {name: self._environ[name] for name in variables if name in self._environ}
        return self._executor.submit(self._run, document, own)

    def is_lost(self) -> bool:
        """Return whether no end of a run will come any more."""
        return False

    def stop(self) -> None:
        """End the runs, and start nothing more."""
        stopped = run_in_thread(partial(self._executor.shutdown, cancel_futures=True), "stop")
        self._running.end()
        wait([stopped], _STOP_SECONDS)
        self._running.end(by_force=True)
        stopped.result()


def run_all(
    groups: Sequence[Group],
    workers: LocalWorkers | ClusterWorkers,
) -> Iterator[tuple[Mapping[str, Any], RunEnd]]:
    """
    Yield each request with the end of its run; a group's requests run one after the other.
    """
    waiting = deque(groups)
    under_way: dict[Future[RunEnd], Group] = {}

    def fill() -> None:
        while waiting and len(under_way) < workers.limit:
            group = waiting.popleft()
            under_way[workers.submit(*group[0])] = group

    fill()
    while under_way:
        ended = wait(under_way, _LOOK_SECONDS, FIRST_COMPLETED).done
        if not ended and workers.is_lost():
            break
        for future in ended:
            (request, _), *following = under_way.pop(future)
            if following:
                waiting.appendleft(following)
            # NOTE: before the caller reads the bundle of the run that has ended.
            fill()
            yield request, _end_of(future)
    for group in (*under_way.values(), *waiting):
        for request, _ in group:
            yield request, LOST


def _end_of(future: Future[RunEnd]) -> RunEnd:
    """Return the end of a run; one whose worker broke is that tenant's alone."""
    if future.cancelled():
        return LOST
    error = future.exception()
    if error is None:
        return future.result()
    message = f"The Dask cluster could not run it ({type(error).__name__})."
    return RunEnd(message=message, next_step=LOST.next_step)


@contextmanager
def environment_without(names: Collection[str]) -> Iterator[None]:
    """Keep variables from a fork server that is started meanwhile."""
    removed = {name: os.environ.pop(name) for name in names if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(removed)
