"""
Pools run the requests of a fleet: here, in processes on this machine; a Dask cluster is another.

A pool takes requests in groups. A group's requests run one after the other. The number of groups
that run at a time follows from the machine.

Each request gets a fresh process, forked from Python's fork server. That server has loaded
everything and never sees a request. The request goes over a pipe to the new process, after that
process has forked its cells' process.
"""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import time
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from runbook_lib.engine.process import (
    GRACE_SECONDS,
    ProcessRequest,
    answer_request,
    inherited_environment,
    last_event,
    refused_event,
    request_document,
)
from runbook_lib.errors import describe_error, reason_of

Groups = Sequence[Sequence[ProcessRequest]]

# Modules that the server loads before it forks. `cli.main` is the program's `__main__`, which each
# new process imports again.
PRELOADED = ["runbook_lib.engine.preloaded", "runbook_lib.cli.main"]
_STARTS = 5
_START_SECONDS = 0.1
# The longest time between two checks of the tenants' time limits, in seconds.
_LOOK_SECONDS = 60
# Seconds for interrupted tenants to write their end.
_STOP_SECONDS = 15
# A run takes 0.6 s of a processor and waits for four round trips: with four for each core
# processors are busy up to a round trip of 450 ms.
_WORKERS_PER_CORE = 4
# Each opens up to six connections to a host and port, and most hosts are the same for all.
_MOST_WORKERS = 16
# The two processes of a running tenant use 67 MiB of their own.
_MEBIBYTES_PER_WORKER = 100


@dataclass(frozen=True, slots=True)
class CompletedRequest:
    """A request, the last event of its run, and how long that took."""

    request: ProcessRequest
    event: Mapping[str, Any]
    seconds: float


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


class TenantProcess:
    """
    A request in its process, and those that follow it in its group.

    Raises `OSError` if no process can be started.
    """

    def __init__(self, group: Sequence[ProcessRequest], pool: LocalPool) -> None:
        self.request, *self.following = group
        self.is_late = False
        self._seconds = pool.seconds
        self._event: Any = None
        document = json.dumps(request_document(self.request, pool.environ)).encode()
        self.connection, theirs = multiprocessing.Pipe()
        with theirs:
            self.process = start_process(theirs, pool.withheld)
        # NOTE: not before: a server that was killed, and is started again, takes seconds.
        self._began = time.monotonic()
        # When the run is interrupted, and then when it is killed.
        self.end = self._began + pool.seconds
        with suppress(OSError):  # it has died, which shows when its result is read
            self.connection.send_bytes(document)

    def enforce_time_limit(self) -> None:
        """Interrupt the run if its time is over, and kill it if it goes on."""
        if time.monotonic() >= self.end:
            (self.process.kill if self.is_late else self.process.terminate)()
            self.is_late = True
            self.end = time.monotonic() + GRACE_SECONDS

    def done(self) -> CompletedRequest:
        """Return the result, now that there is one or the process has ended; cells end with it."""
        try:
            with suppress(EOFError, OSError):
                self._event = self._event or json.loads(self.connection.recv_bytes())
            self.process.join(GRACE_SECONDS if self._event else 0)
            self.process.kill()
            self.process.join()
            late = self._seconds if self.is_late else 0
            event = last_event(self._event, self.process.exitcode or 0, late)
        except Exception as error:  # noqa: BLE001  (one tenant must not stop the others)
            event = refused_event(*describe_error(error))
        return CompletedRequest(self.request, event, round(time.monotonic() - self._began, 3))


class LocalPool:
    """Runs requests in `workers` processes, whose environment lacks the variables `withheld`."""

    def __init__(
        self, workers: int, environ: Mapping[str, str], withheld: Collection[str], seconds: float
    ) -> None:
        # NOTE: a copy, since the environment lacks the withheld variables while a server starts.
        self.environ = dict(environ)
        self.withheld = withheld
        self.seconds = seconds
        self.workers = workers
        self._running: list[TenantProcess] = []

    def run(self, groups: Groups) -> Iterator[CompletedRequest]:
        """Yield the result of each request as it ends."""
        waiting = deque(groups)
        while waiting or self._running:
            while waiting and len(self._running) < self.workers:
                group = waiting.popleft()
                try:
                    self._running.append(TenantProcess(group, self))
                except Exception as error:  # noqa: BLE001  (one tenant must not stop the others)
                    waiting.extendleft([group[1:]] if group[1:] else [])
                    yield CompletedRequest(group[0], not_started(error), 0)
            for tenant in self._ended(_LOOK_SECONDS):
                done = tenant.done()
                self._running.remove(tenant)
                if tenant.following:
                    waiting.appendleft(tenant.following)
                yield done

    def stop(self) -> Iterator[CompletedRequest]:
        """End the runs, start nothing more, and yield the remaining results."""
        for tenant in self._running:
            tenant.process.terminate()
        end = time.monotonic() + _STOP_SECONDS
        while self._running and (left := end - time.monotonic()) > 0:
            for tenant in self._ended(left):
                self._running.remove(tenant)
                yield tenant.done()
        for tenant in self._running:
            tenant.process.kill()

    def _ended(self, seconds: float) -> list[TenantProcess]:
        """
        Return the tenants that have a result, or ended without one; wait `seconds` for one at most.
        """
        if not self._running:
            return []
        seconds = min(seconds, min(tenant.end for tenant in self._running) - time.monotonic())
        ready = wait([tenant.connection for tenant in self._running], max(seconds, 0))
        for tenant in self._running:
            if tenant.connection not in ready:
                tenant.enforce_time_limit()
        return [tenant for tenant in self._running if tenant.connection in ready]


def not_started(error: Exception) -> dict[str, Any]:
    """Return the last event of a run whose process could not be started, or broke."""
    if isinstance(error, OSError):
        reason = f"A process could not be started: {reason_of(error)}."
        return refused_event(reason, "Free memory or processes, or use fewer --workers.")
    return refused_event(*describe_error(error))


def start_process(theirs: Connection, withheld: Collection[str]) -> ForkServerProcess:
    """Start the process that serves this pool; it gets no variable that is withheld."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    with _environment_without(withheld):
        for tries_left in reversed(range(_STARTS)):
            process = context.Process(target=_live, args=[theirs])
            try:
                process.start()
                break
            except (EOFError, OSError):  # the server is being killed; then another is started
                if not tries_left:
                    raise
                time.sleep(_START_SECONDS)
    return process


@contextmanager
def _environment_without(names: Collection[str]) -> Iterator[None]:
    """Keep variables from a server that is started meanwhile."""
    passed_on = inherited_environment(os.environ, names)
    removed = {name: text for name, text in os.environ.items() if name not in passed_on}
    for name in removed:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(removed)


def _live(connection: Connection) -> None:
    """Run one request, in the new process."""
    os.setsid()
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)
    parent: Any = multiprocessing.parent_process()
    event = answer_request(connection.recv_bytes, parent.join)
    connection.send_bytes(json.dumps(event).encode())
