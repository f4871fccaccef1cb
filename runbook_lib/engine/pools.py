"""
Pools run the requests of a fleet: here, in workers on this machine; a Dask cluster is another.

A pool takes requests in groups. Those of a group run one after the other. How many groups run
at a time here follows from the machine.
"""

from __future__ import annotations

import math
import queue
import threading
import time
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runbook_lib.engine.process import ProcessRequest
from runbook_lib.engine.slot import Slot
from runbook_lib.engine.worker import Worker, refused

Groups = Sequence[Sequence[ProcessRequest]]

# How long interrupted tenants may take to write their end.
_GRACE_SECONDS = 15
# A run takes 0.6 s of a processor and waits for four round trips: with four for each core
# processors are busy up to a round trip of 450 ms.
_WORKERS_PER_CORE = 4
# Each opens up to six connections to a host and port, and most hosts are the same for all.
_MOST_WORKERS = 16
# What the two processes of a running tenant use for themselves is 67 MiB.
_MEBIBYTES_PER_WORKER = 100


@dataclass(frozen=True, slots=True)
class Done:
    """A request, the last event of its run, and how long that took."""

    request: ProcessRequest
    event: Mapping[str, Any]
    seconds: float


def default_workers(cores: int, mebibytes: float) -> int:
    """Return how many tenants run at a time with so many cores and so much available memory."""
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


class LocalPool:
    """Runs requests in `workers` processes, whose environment lacks the variables `withheld`."""

    def __init__(
        self, workers: int, environ: Mapping[str, str], withheld: Collection[str], seconds: float
    ) -> None:
        self._workers = [Worker(environ, withheld) for _ in range(workers)]
        self._seconds = seconds
        self._groups: deque[Sequence[ProcessRequest]] = deque()
        self._done: queue.SimpleQueue[Done] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._is_stopping = False

    def run(self, groups: Groups) -> Iterator[Done]:
        """Yield the result of each request as it ends."""
        self._groups.extend(groups)
        self._threads = [
            threading.Thread(target=self._work, args=[worker], daemon=True)
            for worker in self._workers[: len(groups)]
        ]
        for thread in self._threads:
            thread.start()
        for _ in range(sum(map(len, groups))):
            yield self._done.get()

    def stop(self) -> Iterator[Done]:
        """End what runs, start nothing more, and yield what was not yielded yet."""
        self._is_stopping = True
        for worker in self._workers:
            worker.stop()
        end = time.monotonic() + _GRACE_SECONDS
        for thread in self._threads:
            thread.join(max(end - time.monotonic(), 0))
        for worker in self._workers:
            worker.kill()
        while not self._done.empty():
            yield self._done.get()

    def _work(self, worker: Worker) -> None:
        """Run one group of requests after the other."""
        while not self._is_stopping:
            try:
                group = self._groups.popleft()
            except IndexError:
                break
            for request in group:
                if not self._is_stopping:
                    self._done.put(perform(worker, request, self._seconds))


def perform(worker: Worker | Slot, request: ProcessRequest, seconds: float) -> Done:
    """Run a request in `worker`; a failure there affects only that request."""
    began = time.monotonic()
    try:
        event = worker.run(request, seconds=seconds)
    except OSError as error:
        reason = f"A process could not be started: {error.strerror or type(error).__name__}."
        event = refused(reason, "Free memory or processes, or give fewer --workers.")
    except Exception as error:  # noqa: BLE001  (one tenant must not stop the others)
        reason = f"The runbook itself broke ({type(error).__name__})."
        event = refused(reason, "Report it as a defect.")
    return Done(request, event, round(time.monotonic() - began, 3))
