"""
Measure a run's waits for remote systems at a distance, and its requests.

The sandbox serves from this process and delays every answer by its `slow` fault. Each run is a
whole process, of a new tenant. Each figure is the median of several runs, in turn.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from facebook_cyclr_sandbox.state.fault_injection import FAULT_SITES
from runbook_lib.config.settings import read_env_file
from runbook_lib.config.workspace import journal_path
from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from runbook_lib.core.fingerprints import FingerprintKey
from runbook_lib.engine.practice import practice
from tools.bench.runs import ROOT

TURNS = 5
ROUND_TRIPS = (0.0, 0.05, 0.15, 0.25)
# For each side, the settings of `run --sandbox` that it leaves out: they permit side effects.
_SIDES = {
    "nothing spent": {"RUNBOOK_FACEBOOK_MAKE_TEST_CALLS", "RUNBOOK_CYCLR_USERNAME"},
    "run --sandbox": set[str](),
}

Measured = dict[str, Any]


def report(console: Console) -> Measured:
    """Measure both sides, print their table, and return the figures."""
    runs = [
        (side, round_trip, *_run(left_out, round_trip))
        for _ in range(TURNS)
        for side, left_out in _SIDES.items()
        for round_trip in ROUND_TRIPS
    ]
    table = Table(title=f"A run at a distance: medians of {TURNS}", min_width=96)
    table.add_column("run")
    for round_trip in ROUND_TRIPS:
        table.add_column(f"{round_trip * 1000:.0f} ms", justify="right")
    for column in ("waits in a row", "exchanges", "different"):
        table.add_column(column, justify="right")
    measured: Measured = {}
    for side in _SIDES:
        clocks = {
            wait: statistics.median(run[2] for run in runs if run[:2] == (side, wait))
            for wait in ROUND_TRIPS
        }
        exchanges, different = (
            statistics.median(run[number] for run in runs if run[0] == side) for number in (3, 4)
        )
        waits = waits_in_a_row(clocks)
        seconds = (f"{clock:.2f} s" for clock in clocks.values())
        table.add_row(side, *seconds, f"{waits:.1f}", f"{exchanges:g}", f"{different:g}")
        measured[side] = {
            "clock_s": {f"{wait * 1000:.0f} ms": clock for wait, clock in clocks.items()},
            "waits_in_a_row": waits,
            "exchanges": exchanges,
            "different": different,
        }
    console.print(table)
    return {"distance": measured}


def waits_in_a_row(clocks: Mapping[float, float]) -> float:
    """Return the number of round trips that a run waits for in sequence; all in seconds."""
    longest = max(clocks)
    return (clocks[longest] - clocks[0.0]) / longest


def count_requests(lines: Iterable[bytes]) -> tuple[int, int]:
    """
    Return the number of exchanges of a journal, and the number of different requests.

    A request is its method, URL and body as recorded, where two secrets look the same.
    """
    entries = [json.loads(line) for line in lines]
    requests = [
        json.dumps([entry["data"].get(name) for name in ("method", "url", "request")])
        for entry in entries
        if entry["type"] == "exchange.recorded"
    ]
    return len(requests), len(set(requests))


def _run(left_out: set[str], round_trip: float) -> tuple[float, int, int]:
    """Return the seconds, the exchanges and the different requests of one run."""
    with (
        practice("approved", PROCEDURE, FingerprintKey()) as sandbox,
        tempfile.TemporaryDirectory(prefix="runbook-bench-") as name,
    ):
        settings = Path(sandbox.env_file)
        values = read_env_file(settings)
        lines = settings.read_text(encoding="utf-8").splitlines(keepends=True)
        kept = (line for line in lines if line.partition("=")[0] not in left_out)
        settings.write_text("".join(kept), encoding="utf-8")
        slow = [{"kind": "slow", "seconds": round_trip, "site": site} for site in FAULT_SITES]
        control = f"{values['RUNBOOK_FACEBOOK_GRAPH_URL']}/_sandbox/faults"
        httpx.post(control, json={"faults": slow}).raise_for_status()
        evidence = Path(name, "evidence")
        places = ("--env-file", sandbox.env_file, "--evidence", str(evidence))
        command = [sys.executable, "-m", "runbook_lib", "run", "--tenant", "acme", *places]
        own = {key: text for key, text in os.environ.items() if not key.startswith("RUNBOOK_")}
        began = time.perf_counter()
        done = subprocess.run(
            [*command, "--attestations", sandbox.attestations],
            cwd=ROOT,
            env={**own, "HOME": name, "XDG_DATA_HOME": name},
            capture_output=True,
            text=True,
            check=False,
        )
        seconds = time.perf_counter() - began
        if done.returncode not in (0, 3):
            raise RuntimeError(f"{done.stdout[-2_000:]}{done.stderr[-2_000:]}")
        journal = journal_path(evidence, "acme", PROCEDURE.id)
        return seconds, *count_requests(journal.read_bytes().splitlines())
