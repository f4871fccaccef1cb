"""Fleets for tests: tables of tenants, and threads that stand for the tenants' processes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from runbook_lib.engine.elsewhere import RunEnd, RunningProcesses
from runbook_lib.operations.fleet import Fleet, FleetRequest
from tests.unit.operations.sealed_fleets import TenantRequest, sealed

Act = Callable[[TenantRequest], RunEnd]
ENVIRON = {"PATH": "/bin"}


class Processes:
    """Stands for the processes of tenants: what each does, and which ran."""

    def __init__(self) -> None:
        self.acts: dict[str, Act] = {}
        self.withheld: Collection[str] = ()
        self.requests: list[TenantRequest] = []
        self.limits: set[float] = set()
        self.stopped = threading.Event()

    @property
    def tenants(self) -> list[str]:
        """The tenants that ran, in order."""
        return [started.tenant for started in self.requests]

    def __call__(
        self,
        document: Mapping[str, Any],
        variables: Mapping[str, str],
        *,
        withheld: Collection[str],
        seconds: float,
        running: RunningProcesses,
        **_: Any,
    ) -> RunEnd:
        """Do the work of a tenant's process."""
        asked = TenantRequest.of(document, variables)
        running.add(self)  # type: ignore[arg-type]
        self.withheld = withheld
        self.limits.add(seconds)
        self.requests.append(asked)
        return self.acts.get(asked.tenant, sealed)(asked)

    def terminate(self) -> None:
        """Note that the processes were asked to end."""
        self.stopped.set()

    def kill(self) -> None:
        """End no process."""


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
    return Fleet(FleetRequest(**{"file": path, "workers": 1, "environ": ENVIRON, **more}))


ABC = (table("a"), table("b"), table("c"))
