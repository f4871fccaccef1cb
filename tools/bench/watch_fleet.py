"""
A watch over a fleet: its requests, peak memory and processor time in three daily polls.

`python -m tools.bench.watch_fleet FILE EVIDENCE LOOKS` looks in one process, and prints a line of
JSON for each look; whoever started it moves the sandboxes' time meanwhile, and answers each line.
The least possible number of requests is `looks * sum(distinct questions of each tenant)`: each is
asked once, and no answer is kept from one day to the next. Two made-up accounts in Cyclr, which
stand in a header alone, are two questions.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from time import process_time
from typing import Any

import httpcore
import httpx
import pytest
from rich.console import Console
from rich.table import Table

from runbook_lib.config.fleet_file import read_fleet_file
from runbook_lib.connectors.registry import DEFAULT, connector_names, find_procedure
from runbook_lib.core.journal import utc_now
from runbook_lib.core.model import Mode
from runbook_lib.engine.index_builder import build_index
from runbook_lib.engine.tenant_run import Run, open_run
from runbook_lib.engine.watch.cycle import open_cycle
from runbook_lib.remote.client import ConnectionPools
from runbook_lib.remote.http_transport import HTTPTransport
from tools.bench.fleet import Place, _tenants, sandboxes

TENANTS = 1_000
LOOKS = 3
RUNS = 5
_APPS = 8
_DAY = 86_400
_KIBIBYTES = 1024
_ROOT = Path(__file__).parents[2]

Figures = dict[str, Any]


def report(console: Console, tenants: int = TENANTS, looks: int = LOOKS) -> Figures:
    """Measure, print the table, and return its figures."""
    with sandboxes(_APPS) as place:
        figures = list(daily_looks(place, tenants, looks))
        notebook = sum(_notebook_run(place, number) for number in range(RUNS)) / RUNS
    table = Table(title=f"A watch over {tenants:,} tenants, {looks} daily looks", min_width=96)
    for column in (
        "look",
        "requests",
        "least",
        "ratio",
        "connections",
        "CPU s a tenant",
        "peak MiB",
    ):
        table.add_column(column, justify="right")
    for number, look in enumerate(figures, 1):
        ratio = look["requests"] / look["least"]
        cpu = look["cpu"] / tenants
        table.add_row(
            f"{number}",
            f"{look['requests']:,}",
            f"{look['least']:,}",
            f"{ratio:.2f}",
            f"{look['connections']:,}",
            f"{cpu:.3f}",
            f"{look['peak']:.0f}",
        )
    console.print(table)
    requests, least = (sum(look[name] for look in figures) for name in ("requests", "least"))
    cpu = sum(look["cpu"] for look in figures) / tenants / looks
    console.print(
        f"Requests: {requests / least:.2f} times the least possible (aim: 1.1). "
        f"CPU for a tenant and look: {cpu:.3f} s, {cpu / notebook:.2f} of the {notebook:.2f} s of "
        f"a headless run (aim: 0.1)."
    )
    measured = {"ratio": requests / least, "cpu": cpu, "notebook_cpu": notebook, "looks": figures}
    return {"watch_fleet": measured}


def daily_looks(place: Place, tenants: int, looks: int) -> Iterator[Figures]:
    """Yield the figures of each look of a process, with a day between two."""
    file = place.folder / "tenants.toml"
    file.write_text(_tenants(place.given, tenants, place.folder), encoding="utf-8")
    words = [sys.executable, "-m", "tools.bench.watch_fleet", str(file), "evidence", str(looks)]
    with subprocess.Popen(
        words, cwd=place.folder, env=place.environment, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        for _ in range(looks):
            yield json.loads(process.stdout.readline())
            for given in place.given:
                url = f"{given['graph_url']}/_sandbox/time"
                httpx.post(url, json={"advance": _DAY}).raise_for_status()
            process.stdin.write("\n")
            process.stdin.flush()


def _notebook_run(place: Place, number: int) -> float:
    """Return the processor seconds of a headless run of one of the tenants."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    words = ["run", "--env-file", str(place.folder / f"app-{number % _APPS}.env")]
    subprocess.run(
        [sys.executable, "-m", "runbook_lib", *words, "--tenant", f"n{number}", "--json"],
        cwd=place.folder, env=place.environment, check=False, capture_output=True,
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def look_daily(file: Path, evidence: str, looks: int) -> None:
    """Look so often in this process, and print the figures of each look."""
    procedures = {name: find_procedure(name) for name in connector_names()}
    tenants = read_fleet_file(file, procedures, DEFAULT).tenants
    for tenant in tenants:
        given = {**tenant.given, **tenant.references}
        run = open_run(
            tenant.procedure, given, mode=Mode.HEADLESS, tenant=tenant.tenant, evidence=evidence
        )
        run.start()
        for step in tenant.procedure.steps:
            run.perform(step.id)
        run.finish()
        run.save_index()
        run.close()
    # NOTE: threads append at the same time; a counter would lose some.
    seen: list[tuple[str, str, str, str, bytes]] = []
    opened: list[str] = []
    offset = 0.0
    used = Run.used_calls
    share = Run.share
    handle = HTTPTransport.handle_request
    connect = httpcore.SyncBackend.connect_tcp
    patch = pytest.MonkeyPatch()

    def shared(run: Run, pools: ConnectionPools) -> None:
        # Each run of a round, also one that asks customers, begins with this.
        looking[0] = run.tenant
        share(run, pools)

    def handled(transport: HTTPTransport, request: httpx.Request) -> httpx.Response:
        place = f"{request.headers['host']}{request.url}"
        account = request.headers.get("x-cyclr-account", "")
        seen.append((looking[0], place, account, request.method, request.content))
        return handle(transport, request)

    def connected(*given: Any, **more: Any) -> Any:
        opened.append("")
        return connect(*given, **more)

    looking = [""]

    def used_calls(run: Run) -> float:
        # NOTE: so many tenants have few apps here, whose hour would be used up.
        assert isinstance(used, property)
        assert used.fget
        used.fget(run)
        return 0.0

    def clock() -> datetime:
        return utc_now() + timedelta(seconds=offset)

    patch.setattr(Run, "used_calls", property(used_calls))
    patch.setattr(Run, "share", shared)
    patch.setattr(HTTPTransport, "handle_request", handled)
    patch.setattr(httpcore.SyncBackend, "connect_tcp", connected)
    for _ in range(looks):
        seen.clear()
        opened.clear()
        began = process_time()
        with open_cycle(tenants, evidence=evidence, clock=clock) as cycle:
            problems = [*cycle.poll(), *cycle.poll_customers()]
            changes = len([*cycle.shown()])
            problems += [*cycle.send(), *cycle.seal()]
        build_index(evidence, clock())
        figures = {
            "cpu": process_time() - began,
            "requests": len(seen),
            "least": len(set(seen)),
            "connections": len(opened),
            "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _KIBIBYTES,
            "changes": changes,
            "problems": problems[:3],
        }
        sys.stdout.write(json.dumps(figures) + "\n")
        sys.stdout.flush()
        sys.stdin.readline()
        offset += _DAY
    patch.undo()


if __name__ == "__main__":
    look_daily(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
