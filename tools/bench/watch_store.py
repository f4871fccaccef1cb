"""
The cost of saving a watch's digests: one SQLite file, or one for each receiver.

For each of 1,000 receivers it saves as `Sender` does, in three transactions: the digest before it
is sent, its try, and that it was accepted. `WATCH_FOLDER` names a second folder to measure in, such
as one on a network, with a fourth of the receivers. The one file has 1,000 tenants' state, too.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from runbook_lib.core.journal import timestamp, utc_now
from runbook_lib.core.model import Outcome
from runbook_lib.engine.watch.watch_state import (
    Delivery,
    Digest,
    PolledCheck,
    WatchedStep,
    WatchedTenant,
    WatchReceiver,
    WatchState,
    identify,
    open_state,
)

RECEIVERS = 1_000
TENANTS = 1_000
STEPS = 40
# On a network a fourth of the receivers: each takes as long as the others.
NETWORK_PART = 4
_TEXT = "acme: Facebook knows the App ID and refuses this App Secret (new)\n" * 15

Figures = dict[str, Any]


def report(console: Console, receivers: int = RECEIVERS, tenants: int = TENANTS) -> Figures:
    """Measure, print the table, and return its figures."""
    folders = [("local", tempfile.gettempdir(), receivers)]
    if os.environ.get("WATCH_FOLDER"):
        folders.append(("network", os.environ["WATCH_FOLDER"], receivers // NETWORK_PART))
    table = Table(title="Saving what receivers got, in three transactions each", min_width=96)
    for column in ("folder", "what is saved", "receivers", "seconds", "ms a receiver", "files"):
        table.add_column(column, justify="left" if column == "what is saved" else "right")
    measured: dict[str, float] = {}
    for name, where, number in folders:
        folder = Path(tempfile.mkdtemp(prefix="runbook-store-", dir=where))
        _save_tenants(folder / "one", tenants)
        parts: list[tuple[str, Callable[[], object]]] = [
            ("one file: open and test it", partial(_in_one_file, folder / "one", 0)),
            ("one file", partial(_in_one_file, folder / "one", number)),
            ("a file each, new", partial(_in_own_files, folder / "each", number)),
            ("a file each, later", partial(_in_own_files, folder / "each", number)),
        ]
        for part, save in parts:
            began = time.perf_counter()
            save()
            seconds = time.perf_counter() - began
            measured[f"{name}, {part}"] = seconds
            milliseconds = f"{1_000 * seconds / number:.1f}"
            files = len([*(folder / "each").rglob("*.db")]) if part.startswith("a file") else 1
            table.add_row(name, part, f"{number:,}", f"{seconds:.2f}", milliseconds, f"{files:,}")
        shutil.rmtree(folder)
    console.print(table)
    return {"watch_store": measured}


def _save_tenants(folder: Path, tenants: int) -> None:
    """Save the polled steps of so many tenants, in a transaction each."""
    folder.mkdir()
    on = timestamp(utc_now())
    check = PolledCheck(Outcome.VERIFIED, "It is so.", "a-code", {"app_name": "Partner"})
    with open_state(folder, utc_now()) as state:
        for number in range(tenants):
            key = f"connector/tenant-{number}"
            with state.transaction():
                state.tenants.write([WatchedTenant(key, last_polled_on=on)])
                state.steps.write(
                    WatchedStep(key, f"step-{step}", "check", check, on) for step in range(STEPS)
                )


def _in_one_file(folder: Path, receivers: int) -> None:
    with open_state(folder, utc_now()) as state:
        for number in range(receivers):
            _deliver(state, f"receiver-{number}")


def _in_own_files(folder: Path, receivers: int) -> None:
    for number in range(receivers):
        own = folder / str(number)
        own.mkdir(parents=True, exist_ok=True)
        with open_state(own, utc_now()) as state:
            _deliver(state, f"receiver-{number}")


def _deliver(state: WatchState, name: str) -> None:
    """Save one digest of a receiver as `Sender` does."""
    on = timestamp(utc_now())
    problem = identify(name, on)
    receiver = WatchReceiver(name, "mail", "server", on)
    digest = Digest(
        id=problem, receiver=name, channel="mail", server="server", subject=_TEXT[:80],
        text=_TEXT, created_on=on, tenants=["connector/tenant-1"], reported={problem: problem},
    )  # fmt: skip
    with state.transaction():
        state.receivers.write([receiver])
        state.digests.write([digest])
    digest.tries += 1
    with state.transaction():
        state.digests.write([digest])
    with state.transaction():
        state.deliveries.write([Delivery(problem, name, on, digest.id)])
        state.receivers.write([receiver])
        state.digests.delete([digest])
