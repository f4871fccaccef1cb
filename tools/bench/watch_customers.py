"""
A watch over one tenant with 2,000 customers: requests, peak memory and processor time of a poll.

`python -m tools.bench.watch_customers SETTINGS POLLS` polls in one process, and prints a line of
JSON for each poll. The sandbox is in the process that started it.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
from datetime import datetime, timedelta
from pathlib import Path
from time import process_time
from typing import Any

import httpx
import psutil
import pytest
from rich.console import Console
from rich.table import Table

from facebook_cyclr_sandbox.customer_accounts import add_customers
from facebook_cyclr_sandbox.server import Sandbox
from runbook_lib.config.fleet_file import FleetTenant
from runbook_lib.config.runner_settings import inputs_of
from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from runbook_lib.core.journal import utc_now
from runbook_lib.core.model import Mode
from runbook_lib.engine.tenant_run import Run, open_run
from runbook_lib.engine.watch.cycle import open_cycle
from runbook_lib.remote.http_transport import HTTPTransport
from tools.bench.fleet import Place

CUSTOMERS = 2_000
POLLS = 3
PER_SECOND = 50
_DAY = timedelta(days=1)
_KIBIBYTES = 1024

Figures = dict[str, Any]


def report(console: Console, customers: int = CUSTOMERS, polls: int = POLLS) -> Figures:
    """Measure, print the table, and return its figures."""
    with Sandbox("approved", seed=2) as sandbox, tempfile.TemporaryDirectory() as name:
        add_customers(sandbox.state, customers - 1)
        settings = {
            item.variable: sandbox.settings(item.provider).get(item.name)
            for item in inputs_of(PROCEDURE)
        }
        settings["RUNBOOK_CYCLR_REQUESTS_A_SECOND"] = str(PER_SECOND)
        lines = [f'{variable}="{value}"' for variable, value in settings.items() if value]
        file = Path(name, "watch.env")
        file.write_text("\n".join([*lines, ""]), encoding="utf-8")
        place = Place(Path(name), psutil.Process(), given=())
        words = [sys.executable, "-m", "tools.bench.watch_customers", str(file), str(polls)]
        done = subprocess.run(
            words, cwd=name, env=place.environment, capture_output=True, text=True, check=True
        )
    figures = [json.loads(line) for line in done.stdout.splitlines()]
    table = Table(title=f"A watch over {customers:,} customers, {polls} daily polls", min_width=96)
    for column in ("poll", "requests", "least", "CPU s", "peak MiB"):
        table.add_column(column, justify="right")
    for number, poll in enumerate(figures, 1):
        table.add_row(
            f"{number}", f"{poll['requests']:,}", f"{poll['least']:,}", f"{poll['cpu']:.1f}",
            f"{poll['peak']:.0f}",
        )  # fmt: skip
    console.print(table)
    return {"watch_customers": figures}


def poll_daily(settings: str, polls: int) -> None:
    """Poll the customers so often in this process, and print the figures of each poll."""
    run = open_run(PROCEDURE, {}, mode=Mode.INTERACTIVE, tenant="acme", env_file=settings)
    run.start()
    run.close()
    seen: list[tuple[str, str, str, bytes]] = []
    handle = HTTPTransport.handle_request
    offset = timedelta()

    def handled(transport: HTTPTransport, request: httpx.Request) -> httpx.Response:
        account = request.headers.get("x-cyclr-account", "")
        seen.append((str(request.url), account, request.method, request.content))
        return handle(transport, request)

    def clock() -> datetime:
        return utc_now() + offset

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "used_calls", 0.0)
        patch.setattr(HTTPTransport, "handle_request", handled)
        for _ in range(polls):
            tenant = FleetTenant("acme", PROCEDURE, {}, {})
            with open_cycle([tenant], env_file=settings, clock=clock) as cycle:
                problems = [*cycle.poll()]
                seen.clear()
                began = process_time()
                problems += [*cycle.poll_customers()]
            figures = {
                "cpu": process_time() - began,
                "requests": len(seen),
                "least": len(set(seen)),
                "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _KIBIBYTES,
                "problems": problems[:3],
            }
            sys.stdout.write(json.dumps(figures) + "\n")
            offset += _DAY + timedelta(minutes=1)


if __name__ == "__main__":
    poll_daily(sys.argv[1], int(sys.argv[2]))
