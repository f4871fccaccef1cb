"""Fleets for tests: tables of tenants, and threads that stand for the tenants' processes."""

from __future__ import annotations

import math
import multiprocessing
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from runbook_lib.engine import pools
from runbook_lib.engine.fleet import Fleet, FleetRequest, prepare_fleet
from runbook_lib.engine.process import ProcessRequest
from runbook_lib.remote.threads import run_in_thread
from tests.unit.engine.sealed_fleets import sealed

Act = Callable[[ProcessRequest], Mapping[str, Any]]
ENVIRON = {"PATH": "/bin"}


class Processes:
    """Stands for the processes of tenants: what each does, and which ran."""

    def __init__(self) -> None:
        self.acts: dict[str, Act] = {}
        # The tenants whose process cannot be started, and why.
        self.refusals: dict[str, Exception] = {}
        self.workers = 0
        self.withheld: Collection[str] = ()
        self.requests: list[ProcessRequest] = []
        self.limits: set[float] = set()
        self.stopped = threading.Event()

    @property
    def tenants(self) -> list[str]:
        """The tenants that ran, in order."""
        return [started.tenant for started in self.requests]

    def __call__(self, group: Sequence[ProcessRequest], pool: pools.LocalPool) -> FakeTenant:
        """Return a thread that stands for a process that has begun."""
        self.withheld = pool.withheld
        self.workers = pool.workers
        self.requests.append(group[0])
        self.limits.add(pool.seconds)
        if refusal := self.refusals.get(group[0].tenant):
            raise refusal
        return FakeTenant(group, self)

    def terminate(self) -> None:
        """Note that the processes were asked to end."""
        self.stopped.set()

    def kill(self) -> None:
        """End no process."""


class FakeTenant:
    """Does the work of the tenant's process in a thread."""

    end = math.inf

    def __init__(self, group: Sequence[ProcessRequest], processes: Processes) -> None:
        self.request, *self.following = group
        self.process = processes
        self.connection, self._theirs = multiprocessing.Pipe()
        self._acted = run_in_thread(self._act, "tenant")

    def enforce_time_limit(self) -> None:
        """Have no limit."""

    def done(self) -> pools.CompletedRequest:
        """Return the result, or raise the error of a defect in the test."""
        return pools.CompletedRequest(self.request, self._acted.result(), 0.1)

    def _act(self) -> Mapping[str, Any]:
        with self._theirs:
            return self.process.acts.get(self.request.tenant, sealed)(self.request)


def table(name: str, *lines: str) -> str:
    """Return the table of a tenant with an App ID of its own, unless a line gives one."""
    given = "".join(f"{line}\n" for line in lines)
    number = sum(name.encode()) + 10_000_000
    own = "" if "app_id" in given else f'app_id = "{number}"\n'
    return f'[[tenant]]\ntenant = "{name}"\nservice_domain = "{name}.cyclr.com"\n{own}{given}\n'


def fleet(*tables: str, **more: Any) -> Fleet:
    """Return the fleet of these tables; without any, the fleet of the file as it is."""
    path = Path("tenants.toml")
    if tables:
        path.write_text("".join(tables))
    return prepare_fleet(FleetRequest(**{"file": path, "workers": 1, "environ": ENVIRON, **more}))


ABC = (table("a"), table("b"), table("c"))
