"""
`python -m tools.bench`: headless runs, the sandbox, what evidence costs, a person's wait, a fleet.

`--only runs` measures one of the parts `runs`, `distance`, `sandbox`, `evidence`, `walkthrough`,
`leak-gate`, `fleet`, `fleet-distance`, `index-page`, `watch-fleet`, `watch-customers` and
`watch-store`; `--json FILE` writes the figures of headless runs, of runs at a distance, of fleets
and of their watch.

The sandbox runs in its own process, pinned to one core; the load comes from another core, if there
is one.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
from rich.console import Console
from rich.table import Table

from tools.bench import (
    distance,
    evidence,
    fleet,
    fleet_distance,
    index_page,
    leak_gate,
    runs,
    walkthrough,
    watch_customers,
    watch_fleet,
    watch_store,
)
from tools.bench.load import Ask, ask, send

READS = 20_000
MIXED = 100_000
SLICES = 10
CONNECTIONS = 8
_MEBIBYTE = 1024 * 1024
_TARGET = 1_000

Given = dict[str, Any]


def _cores() -> list[int]:
    """Return the cores that this process may use; none if they cannot be chosen."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


@contextmanager
def _sandbox(core: int | None) -> Iterator[tuple[psutil.Process, Given]]:
    """Serve the sandbox in its own process, on one core."""
    command = [sys.executable, "-m", "runbook_lib", "sandbox", "--scenario", "approved", "--json"]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=None if core is None else lambda: os.sched_setaffinity(0, {core}),  # noqa: PLW1509
    ) as popen:
        assert popen.stdout is not None
        try:
            yield psutil.Process(popen.pid), json.loads(popen.stdout.readline())
        finally:
            popen.terminate()
            popen.wait()


def _graph_reads(given: Given) -> dict[str, Ask]:
    """Return the reads of a check or a connector, by path."""
    graph = f"{given['graph_url']}/v26.0"
    user = {"access_token": given["user_access_token"]}
    page = {"access_token": given["page_access_token"]}
    app = {"access_token": f"{given['app_id']}|{given['app_secret']}"}
    fields = "name,category,privacy_policy_url,terms_of_service_url,contact_email,logo_url"
    return {
        "/me": ask(f"{graph}/me", **user),
        "/me/adaccounts": ask(f"{graph}/me/adaccounts", fields="name,currency", **user),
        "/{app}": ask(f"{graph}/{given['app_id']}", fields=fields, **app),
        "/{app}/permissions": ask(f"{graph}/{given['app_id']}/permissions", **app),
        "/debug_token": ask(f"{graph}/debug_token", input_token=given["user_access_token"], **app),
        "/{form}/leads": ask(f"{graph}/{given['leadgen_form_id']}/leads", **page),
    }


def _mixed(given: Given) -> list[Ask]:
    """Return requests of every kind; half of them store something in the sandbox."""
    graph = f"{given['graph_url']}/v26.0"
    dialog = given["dialog_url"]
    api = given["cyclr_api_url"]
    account = given["account_api_id"]
    person = {"email": given["login_email"], "password": given["login_password"]}
    secret = {"client_id": given["app_id"], "client_secret": given["app_secret"]}
    client = {
        "grant_type": "client_credentials",
        "client_id": given["cyclr_client_id"],
        "client_secret": given["cyclr_client_secret"],
    }
    consent = {
        "client_id": given["app_id"],
        "redirect_uri": given["redirect_uri"],
        "scope": "ads_read",
        "decision": "continue",
        **person,
    }
    user = {"access_token": given["user_access_token"]}
    page = {"access_token": given["page_access_token"]}
    exchange = {"grant_type": "fb_exchange_token", "fb_exchange_token": user["access_token"]}
    token = f"{graph}/oauth/access_token"
    issued = httpx.post(f"{api}/oauth/token", data=client).json()["access_token"]
    bearer = {"Authorization": f"Bearer {issued}", "X-Cyclr-Account": account}
    user_name = {"Username": given["cyclr_username"]}
    leave_something = [
        ask(token, "POST", form={**secret, **exchange}),
        ask(f"{graph}/{given['leadgen_form_id']}/test_leads", "POST", form=page),
        ask(dialog, "POST", form=consent),
        ask(dialog, "POST", form={**consent, "response_type": "token"}),
        ask(f"{given['dashboard_url']}/login", "POST", form=person),
        ask(f"{api}/oauth/token", "POST", form=client),
        ask(f"{api}/v1.0/accounts/{account}/signintoken", "POST", headers=bearer, form=user_name),
    ]
    leave_nothing = [
        *_graph_reads(given).values(),
        ask(token, grant_type="client_credentials", **secret),
        ask(token, "POST", form={**secret, "redirect_uri": given["redirect_uri"], "code": "DUMMY"}),
        ask(f"{graph}/me/accounts", **user),
        ask(f"{graph}/me", access_token="nonsense"),
        ask(f"{graph}/{given['app_id']}", fields="no_such_field", **user),
        ask(f"{given['dashboard_url']}/nowhere"),
        ask(f"{api}/v1.0/connectors", headers=bearer),
    ]
    return [*leave_something, *leave_nothing, *leave_something]


def _measure_reads(process: psutil.Process, given: Given) -> tuple[Table, float]:
    """Return the table of reads, and the rate of the mixed ones."""
    table = Table(title=f"Graph reads over {CONNECTIONS} connections kept alive", min_width=96)
    table.add_column("read")
    for column in ("requests", "a second", "a core second", "median ms", "99 % ms", "HTTP"):
        table.add_column(column, justify="right")
    reads = _graph_reads(given)
    send(iter([*reads.values()] * 200), connections=CONNECTIONS)  # warm
    everything = itertools.islice(itertools.cycle(reads.values()), READS)
    share = READS // len(reads) // 4
    kinds = {name: iter([request] * share) for name, request in reads.items()}
    a_core_second = 0.0
    for name, asks in {**kinds, "all, in turn": everything}.items():
        before = _core_seconds(process)
        seen = send(asks, connections=CONNECTIONS)
        a_core_second = len(seen.waits) / (_core_seconds(process) - before)
        statuses = ", ".join(f"{status} x {n:,}" for status, n in sorted(seen.statuses.items()))
        table.add_row(
            name,
            f"{len(seen.waits):,}",
            f"{seen.rate:,.0f}",
            f"{a_core_second:,.0f}",
            f"{seen.percentile(50):.2f}",
            f"{seen.percentile(99):.2f}",
            statuses,
        )
    return table, seen.rate


def _core_seconds(process: psutil.Process) -> float:
    """Return the processor time that the server has used."""
    times = process.cpu_times()
    return float(times.user + times.system)


def _measure_memory(process: psutil.Process, given: Given) -> Table:
    """Return the table of the sandbox's memory, in slices of the mixed requests."""
    table = Table(title=f"The sandbox's memory over {MIXED:,} requests of mixed kinds")
    names = ("requests so far", "resident MiB", "objects stored", "state KiB", "a second", "HTTP")
    for column in names:
        table.add_column(column, justify="right")
    asks = itertools.cycle(_mixed(given))
    table.add_row("0", *_held(process, given), "", "")
    for number in range(1, SLICES + 1):
        seen = send(itertools.islice(asks, MIXED // SLICES), connections=CONNECTIONS)
        statuses = ", ".join(str(status) for status in sorted(seen.statuses))
        table.add_row(
            f"{MIXED // SLICES * number:,}",
            *_held(process, given),
            f"{seen.rate:,.0f}",
            statuses,
        )
    return table


def _held(process: psutil.Process, given: Given) -> tuple[str, str, str]:
    """Return resident memory, the number of values in bounded stores, and the size of the state."""
    resident = process.memory_info().rss / _MEBIBYTE
    state = httpx.get(f"{given['graph_url']}/_sandbox/state")
    return f"{resident:.1f}", f"{_stored(state.json()):,}", f"{len(state.content) / 1024:.0f}"


def _stored(state: Any) -> int:
    """Add up the sizes of all bounded stores in the exported state."""
    if isinstance(state, list):
        return sum(_stored(inner) for inner in state)
    if not isinstance(state, dict):
        return 0
    stored: int = state.get("stored", 0)
    return stored + sum(_stored(inner) for inner in state.values())


def _measure_sandbox(console: Console) -> None:
    """Print the tables of the sandbox."""
    cores = _cores()
    if len(cores) > 1:
        os.sched_setaffinity(0, set(cores[1:]))
        where = f"the sandbox on core {cores[0]} alone, the load on another"
    else:
        where = "the sandbox and the load share all cores"
    console.print(f"{where}.")
    with _sandbox(cores[0] if cores else None) as (process, given):
        table, rate = _measure_reads(process, given)
        console.print(table)
        reached = "reached" if rate >= _TARGET else "MISSED"
        console.print(f"Aim: {_TARGET:,} Graph reads a second on one core: {reached}.")
        console.print(_measure_memory(process, given))
    if cores:
        os.sched_setaffinity(0, set(cores))


PARTS: dict[str, Callable[[Console], Any]] = {
    "runs": runs.report,
    "distance": distance.report,
    "sandbox": _measure_sandbox,
    "evidence": evidence.report,
    "leak-gate": leak_gate.report,
    "walkthrough": walkthrough.report,
    "fleet": fleet.report,
    "fleet-distance": fleet_distance.report,
    "index-page": index_page.report,
    "watch-fleet": watch_fleet.report,
    "watch-customers": watch_customers.report,
    "watch-store": watch_store.report,
}


def main(words: list[str]) -> None:
    """Measure, and print the results."""
    parser = argparse.ArgumentParser(prog="tools.bench")
    parser.add_argument("--only", choices=PARTS)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(words)
    console = Console(width=max(Console().width, 110))
    machine = {"python": platform.python_version(), "cores": os.cpu_count()}
    console.print(f"Python {machine['python']}, {machine['cores']} cores.")
    figures: dict[str, Any] = machine
    for name, measure in PARTS.items():
        if options.only in (None, name):
            figures = {**figures, **(measure(console) or {})}
    if options.json:
        options.json.write_text(f"{json.dumps(figures, indent=2)}\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
