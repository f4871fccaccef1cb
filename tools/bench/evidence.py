"""The cost of evidence: sealing within a run, verifying one bundle and many, a long journal."""

from __future__ import annotations

import gc
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from runbook_lib.config.workspace import journal_path
from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from runbook_lib.core.attestation_rules import Subject
from runbook_lib.core.journal import Journal
from runbook_lib.core.model import EventType, JournalEntry, Mode
from runbook_lib.core.redaction import Redactor
from runbook_lib.core.run_state import HistoryReader, fold
from runbook_lib.engine.tenant_run import open_run
from runbook_lib.evidence.bundle import Seal, draft_bundle, seal_bundle
from runbook_lib.evidence.signing.keys import (
    SigningKey,
    create_key,
    export_public_key,
    open_key,
    read_public_keys,
)
from runbook_lib.evidence.verify.tree import verify_tree
from runbook_lib.evidence.verify.verify import TrustAnchors
from tests.support.journals import replay

RUNS = 5
TENANTS = 10
RUNS_EACH = 10
TREES = 10
LINES = 10_000
_TARGET = 10
_MEBIBYTE = 1024 * 1024

_BY_HAND = """\
set -e
work=$(mktemp -d)
for bundle in "$2"/*/*/*/2*; do
    cd "$bundle"
    sed 's/.*"payload":"\\([^"]*\\)".*/\\1/' statement.dsse.json |
        openssl base64 -d -A > "$work/payload"
    sed 's/.*"sig":"\\([^"]*\\)".*/\\1/' statement.dsse.json |
        openssl base64 -d -A > "$work/signature"
    size=$(wc -c < "$work/payload")
    printf 'DSSEv1 28 application/vnd.in-toto+json %d ' "$size" > "$work/signed"
    cat "$work/payload" >> "$work/signed"
    openssl dgst -sha256 -verify "$1" -signature "$work/signature" "$work/signed" > /dev/null
    sha256sum --check --strict --quiet SHA256SUMS
done
"""


def report(console: Console) -> None:
    """Measure and print the tables."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table, bundle = _measure_runs(folder / "runs")
        console.print(table)
        console.print(_measure_verifying(bundle, folder / "verifying"))
        console.print(f"Aim: {_TARGET} ms a bundle at most.")
        console.print(_measure_journal(bundle, folder / "journal"))


def _measure_runs(evidence: Path) -> tuple[Table, Path]:
    """Return the table of sealing within a practice run, and the last run's bundle."""
    command = [sys.executable, "-m", "runbook_lib", "run", "--sandbox", "approved", "--json"]
    wholes = []
    seals = []
    for _ in range(RUNS):
        began = time.perf_counter()
        subprocess.run([*command, "--evidence", str(evidence)], check=True, capture_output=True)
        wholes.append(time.perf_counter() - began)
        *_, ended, sealed = Journal(next(evidence.glob("*/*/journal.jsonl"))).entries()
        assert (ended.type, sealed.type) == (EventType.RUN_FINISHED, EventType.BUNDLE_SEALED)
        seals.append((_moment(sealed) - _moment(ended)).total_seconds())
    bundle = max(evidence.glob("*/*/2*"))
    whole = statistics.median(wholes)
    sealing = statistics.median(seals)
    table = Table(title=f"A run with its evidence, `run --sandbox approved`, median of {RUNS}")
    for column in ("whole run s", "of it record, report, sealing s", "share", "bundle KiB"):
        table.add_column(column, justify="right")
    table.add_column("report.html KiB", justify="right")
    size = sum(path.stat().st_size for path in bundle.iterdir())
    table.add_row(
        f"{whole:.2f}",
        f"{sealing:.3f}",
        f"{sealing / whole:.1%}",
        f"{size / 1024:.0f}",
        f"{(bundle / 'report.html').stat().st_size / 1024:.0f}",
    )
    return table, bundle


def _moment(entry: JournalEntry) -> datetime:
    return datetime.fromisoformat(entry.at)


def _measure_verifying(bundle: Path, folder: Path) -> Table:
    """Return the table of `runbook verify`, and of openssl with sha256sum on the same files."""
    create_key(folder / "key.pem")
    key = open_key(str(folder / "key.pem"), is_sandbox=True)
    public = export_public_key(key, folder / "trusted")
    with _without_flushing():
        single_tree = _copies(bundle, folder / "one" / "tree", key, tenants=1, runs=1)
        tree = _copies(bundle, folder / "many" / "0", key, tenants=TENANTS, runs=RUNS_EACH)
        for number in range(1, TREES):
            shutil.copytree(tree, tree.with_name(str(number)))
    table = Table(title="Verifying bundles, each command in its own process")
    table.add_column("command")
    for column in ("bundles", "s in all", "ms a bundle", "MiB resident at most"):
        table.add_column(column, justify="right")
    commands = {
        "runbook verify": [sys.executable, "-m", "runbook_lib", "verify", "--key", str(public)],
        "openssl + sha256sum": ["sh", "-c", _BY_HAND, "sh", str(public)],
    }
    trust = TrustAnchors(read_public_keys([public]))
    seconds = min(_once(lambda: list(verify_tree(single_tree, trust))) for _ in range(RUNS))
    table.add_row(
        "runbook verify, without its start",
        "1",
        f"{seconds:.3f}",
        _milliseconds_each(seconds, 1),
        "",
    )
    for where, count in ((single_tree.parent, 1), (tree.parent, TENANTS * RUNS_EACH * TREES)):
        for name, command in commands.items():
            seconds, peak = _timed([*command, str(where)])
            resident = f"{peak:.0f}" if name.startswith("runbook") else ""
            table.add_row(
                name, f"{count:,}", f"{seconds:.2f}", _milliseconds_each(seconds, count), resident
            )
    return table


def _milliseconds_each(seconds: float, count: int) -> str:
    return f"{seconds * 1000 / count:.1f}"


def _copies(bundle: Path, evidence: Path, key: SigningKey, *, tenants: int, runs: int) -> Path:
    """Seal the run of `bundle` many times, for several tenants; return the folder."""
    entries = Journal(bundle / "journal.jsonl").entries()
    last = entries[-1].run_id
    mine = [entry for entry in entries if entry.run_id == last]
    for tenant in range(tenants):
        journal = Journal(journal_path(evidence, f"t{tenant}", PROCEDURE.id))
        for number in range(runs):
            run_id = f"{tenant * runs + number:08x}"
            replay(mine, journal, run_id=run_id, tenant=f"t{tenant}")
            reader = HistoryReader(journal)
            state = fold(reader.read(), Subject(PROCEDURE, {}), run_id)
            with draft_bundle(journal.path.parent, run_id) as folder:
                for notebook in bundle.glob("*.ipynb"):
                    shutil.copy(notebook, folder)
                seal_bundle(folder, state, reader, Redactor(), Seal(key, ()))
    return evidence


@contextmanager
def _without_flushing() -> Iterator[None]:
    """Skip fsync during the preparation."""
    fsync = os.fsync
    os.fsync = lambda _descriptor: None
    try:
        yield
    finally:
        os.fsync = fsync


def _timed(command: list[str]) -> tuple[float, float]:
    """Return the duration of a command, and its largest resident memory."""
    began = time.perf_counter()
    most = 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as popen:
        process = psutil.Process(popen.pid)
        while popen.poll() is None:
            with suppress(psutil.Error):
                most = max(most, process.memory_info().rss)
            time.sleep(0.01)
    assert popen.returncode == 0, command
    return time.perf_counter() - began, most / _MEBIBYTE


def _measure_journal(bundle: Path, folder: Path) -> Table:
    """Return the table of opening a run with many lines, compared to reading the same file."""
    entries = Journal(bundle / "journal.jsonl").entries()
    journal = Journal(journal_path(folder, "acme", PROCEDURE.id))
    with _without_flushing():
        for _ in range(LINES // len(entries)):
            replay(entries, journal)
    path = journal.path
    size = path.stat().st_size / _MEBIBYTE

    def open_it() -> Any:
        run = open_run(PROCEDURE, {}, mode=Mode.INTERACTIVE, tenant="acme", evidence=str(folder))
        return run.state

    ways: dict[str, Callable[[], Any]] = {
        "read the bytes": path.read_bytes,
        "read each line as JSON": lambda: [json.loads(line) for line in path.open("rb")],
        "open the run: check each link, fold to a state": open_it,
    }
    table = Table(title=f"A journal of {LINES:,} lines, {size:.1f} MiB, best of {RUNS}")
    table.add_column("what")
    table.add_column("ms of processor time", justify="right")
    table.add_column("against reading each line", justify="right")
    seconds = {
        name: min(_once(way, time.process_time) for _ in range(RUNS)) for name, way in ways.items()
    }
    lines = seconds["read each line as JSON"]
    for name, elapsed in seconds.items():
        table.add_row(name, f"{elapsed * 1000:.1f}", f"{elapsed / lines:.2f}")
    return table


def _once(way: Callable[[], Any], clock: Callable[[], float] = time.perf_counter) -> float:
    gc.collect()
    began = clock()
    way()
    return clock() - began
