"""
Measure a fleet's tenants per second when its remote systems are far away.

Each run is a whole `runbook fleet` command over new tenants. Each tenant has the settings that
`distance` calls *nothing spent*. The sandboxes, one for each app, delay every answer by their
`slow` fault.
"""

from __future__ import annotations

import os
import re
import statistics
from collections.abc import Sequence
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from facebook_cyclr_sandbox.state.fault_injection import FAULT_SITES
from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from runbook_lib.connectors.registry import practice_attestations
from runbook_lib.core.journal import utc_now
from runbook_lib.engine.pools import available_memory, default_workers
from tools.bench.fleet import Place, Took, sandboxes

TENANTS = 60
TURNS = 3
ROUND_TRIP = 0.15
# Its check would spend a sign-in link; without one a person leaves the step out.
_LEFT_OUT = """
[[skip]]
step = "cy-02-client-id"
by = "Sandbox operator"
at = 2026-01-12T10:00:00Z
reason = "no sign-in link is spent here"
"""

Measured = dict[str, Any]


def report(console: Console) -> Measured:
    """Measure, print the table, and return its figures."""
    with sandboxes(TENANTS) as place:
        turns = [(_run(place, 0), _run(place, ROUND_TRIP)) for _ in range(TURNS)]
    with sandboxes(1) as place:
        one_app = [_run(place, 0)]
    near = [turn[0] for turn in turns]
    rows = {
        "an App ID each, 0 ms": near,
        f"an App ID each, {ROUND_TRIP * 1000:.0f} ms": [turn[1] for turn in turns],
        "one App ID for all, 0 ms, once": one_app,
    }
    table = Table(title=f"{TENANTS} tenants, all complete: medians of {TURNS}", min_width=96)
    table.add_column("tenants with")
    for column in ("runs a second", "beside the first", "tenants at a time"):
        table.add_column(column, justify="right")
    first = statistics.median(took.rate for took in near)
    measured: Measured = {}
    for name, fleets in rows.items():
        rate = statistics.median(took.rate for took in fleets)
        at_a_time = statistics.median(took.at_a_time for took in fleets)
        table.add_row(name, f"{rate:.2f}", f"{rate / first:.2f}", f"{at_a_time:.1f}")
        measured[name] = {"rate": rate, "ratio": rate / first, "at_a_time": at_a_time}
    console.print(table)
    workers = default_workers(os.cpu_count() or 1, available_memory())
    console.print(f"Workers: {workers}. Aims at {ROUND_TRIP * 1000:.0f} ms: 2 a second, and 0.85.")
    return {"fleet_distance": measured}


def attestations(words: str, apps: Sequence[str]) -> str:
    """Return the attestations file `words` with each entry about these apps."""
    subject = ", ".join(f'{{app_id = "{app}"}}' for app in apps)
    return re.sub(r"(?m)^step = .*$", rf"\g<0>\nsubject = [{subject}]", words)


def _run(place: Place, round_trip: float) -> Took:
    """Run the fleet once, with every answer that much later."""
    slow = [{"kind": "slow", "seconds": round_trip, "site": site} for site in FAULT_SITES]
    for sandbox in place.given:
        control = f"{sandbox['graph_url']}/_sandbox/faults"
        httpx.post(control, json={"faults": slow}).raise_for_status()
    path = place.folder / "attestations.toml"
    words = f"{practice_attestations(PROCEDURE.id, 'approved', utc_now().date())}{_LEFT_OUT}"
    path.write_text(attestations(words, [sandbox["app_id"] for sandbox in place.given]))
    return place.fleet(TENANTS, "--attestations", str(path), outcome="complete")
