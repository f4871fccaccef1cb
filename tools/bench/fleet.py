"""
The cost of a fleet, compared with stock papermill, with a longer one, and with a Dask cluster.

Sandboxes with an app each serve from one process of their own. They share the cores with the
measured process; their processor time is shown. Each row is measured once: it takes over half a
minute.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import psutil
from rich.console import Console
from rich.table import Table

from runbook_lib.config.runner_settings import inputs_of
from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from runbook_lib.core.model import RunOutcome

TENANTS = 200
BY_PAPERMILL = 20
SHORT = 50
LONG = 1_000
ON_DASK = 60
_APPS = 8
_DASK_WORKERS = 2
_AT_ONCE = 2
_MEBIBYTE = 1024 * 1024
_ROOT = Path(__file__).parents[2]

Measured = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Took:
    """The cost of a run over many tenants."""

    tenants: int
    """The number of tenants."""

    seconds: float
    """Seconds by the clock."""

    sandbox_seconds: float
    """Processor seconds of the sandboxes meanwhile."""

    peak: float = 0
    """The peak memory of the fleet's own process, in MiB."""

    at_a_time: float = 0
    """The number of tenants that ran at a time, on average."""

    @property
    def rate(self) -> float:
        """Runs per second."""
        return self.tenants / self.seconds


@dataclass(frozen=True, slots=True)
class Place:
    """A folder to work in, and the sandboxes that serve it."""

    folder: Path
    sandbox: psutil.Process
    given: Sequence[Mapping[str, Any]]

    @property
    def environment(self) -> dict[str, str]:
        """The environment of commands."""
        own = {k: v for k, v in os.environ.items() if not k.startswith(("RUNBOOK_", "PYTHON"))}
        home = str(self.folder / "home")
        return {**own, "HOME": home, "XDG_DATA_HOME": home, "PYTHONPATH": str(_ROOT)}

    def fleet(self, tenants: int, *words: str, outcome: str = "incomplete") -> Took:
        """Run a fleet whose tenants all end with `outcome`, and return its cost."""
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        path = folder / "tenants.toml"
        path.write_text(_tenants(self.given, tenants, self.folder), encoding="utf-8")
        command = [sys.executable, "-m", "runbook_lib", "fleet", str(path), *words]
        before = _processor(self.sandbox)
        began = time.perf_counter()
        process = psutil.Popen(
            [*command, "--evidence", str(folder / "evidence"), "--junit", str(folder / "out.xml")],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        peaks: list[float] = [0]
        watcher = threading.Thread(target=_watch, args=[process.pid, peaks], daemon=True)
        watcher.start()
        output, _ = process.communicate()
        seconds = time.perf_counter() - began
        expected = RunOutcome(outcome).exit_code
        if process.returncode != expected or f"{tenants} {outcome}" not in output:
            raise RuntimeError(output[-2_000:])
        suites = ET.parse(folder / "out.xml").getroot()
        at_a_time = sum(float(suite.get("time", "0")) for suite in suites) / seconds
        return Took(tenants, seconds, _processor(self.sandbox) - before, max(peaks), at_a_time)

    def papermill(self, tenants: int) -> Took:
        """Run stock papermill over the same notebook, two at once, without sealing."""
        program = Path(sys.executable).with_name("papermill")
        notebook = _ROOT / "notebooks" / "facebook_marketing.ipynb"

        def run(number: int) -> None:
            given = self.given[number % len(self.given)]
            settings = self.folder / f"{number}.env"
            settings.write_text("".join(f"{key}={text}\n" for key, text in _variables(given)))
            words = {"env_file": settings, "evidence": self.folder / "papermill", "tenant": number}
            subprocess.run(
                [
                    program,
                    notebook,
                    self.folder / f"{number}.ipynb",
                    "--no-progress-bar",
                    *(word for entry in words.items() for word in ("-r", entry[0], str(entry[1]))),
                ],
                env=self.environment,
                cwd=self.folder,
                check=True,
                capture_output=True,
            )

        before = _processor(self.sandbox)
        began = time.perf_counter()
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(run, range(tenants)))
        seconds = time.perf_counter() - began
        return Took(tenants, seconds, _processor(self.sandbox) - before)


def report(console: Console) -> Measured:
    """Print the table, and return its figures."""
    with sandboxes(_APPS) as place:
        papermill = place.papermill(BY_PAPERMILL)
        fleet = place.fleet(TENANTS)
        short = place.fleet(SHORT)
        long = place.fleet(LONG)
        local = place.fleet(ON_DASK, "--workers", str(_DASK_WORKERS))
        with _dask(place) as address:
            place.fleet(2 * _DASK_WORKERS, "--scheduler", address)  # workers load their modules
            dask = place.fleet(ON_DASK, "--scheduler", address)
    table = Table(title=f"Fleets on {os.cpu_count()} cores, once each", min_width=96)
    for column in ("measure", "fleet", "compared with", "", "ratio", "aim"):
        table.add_column(
            column, justify="left" if column in ("measure", "compared with") else "right"
        )
    rows = [
        (
            f"{TENANTS} tenants, sealed, runs a second",
            fleet.rate,
            f"papermill, {_AT_ONCE} at once, {BY_PAPERMILL} tenants",
            papermill.rate,
            5,
        ),
        (
            f"seconds a tenant at {LONG:,}",
            1 / long.rate,
            f"at {SHORT}",
            1 / short.rate,
            1.1,
        ),
        (f"peak MiB of the parent at {LONG:,}", long.peak, f"at {SHORT}", short.peak, 1.2),
        (
            f"Dask, {_DASK_WORKERS} workers, {ON_DASK} tenants, runs a second",
            dask.rate,
            f"{_DASK_WORKERS} workers here",
            local.rate,
            0.9,
        ),
    ]
    for name, ours, other, theirs, aim in rows:
        table.add_row(name, f"{ours:.2f}", other, f"{theirs:.2f}", f"{ours / theirs:.2f}", str(aim))
    console.print(table)
    console.print(
        f"The sandboxes, a process beside them on the same cores, took "
        f"{fleet.sandbox_seconds / fleet.tenants * 1000:.0f} ms of a processor for each tenant of "
        f"the fleet, {papermill.sandbox_seconds / papermill.tenants * 1000:.0f} ms for papermill's."
    )
    measured = {
        name: {"ours": ours, "compared_with": other, "theirs": theirs, "aim": aim}
        for name, ours, other, theirs, aim in rows
    }
    return {"fleet": measured}


@contextmanager
def sandboxes(apps: int) -> Iterator[Place]:
    """Give a folder to work in, and that many sandboxes that serve, with an app each."""
    with tempfile.TemporaryDirectory(prefix="runbook-bench-") as name, ExitStack() as stack:
        process = stack.enter_context(
            subprocess.Popen(
                [sys.executable, "-m", "tools.bench.fleet_sandbox", str(apps)],
                cwd=_ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
        assert process.stdout is not None
        given = json.loads(process.stdout.readline())
        yield Place(Path(name), psutil.Process(process.pid), given)


@contextmanager
def _dask(place: Place) -> Iterator[str]:
    """Give the address of a Dask scheduler with workers of one thread, as processes."""
    scheduler_file = place.folder / "scheduler.json"
    dask = [sys.executable, "-m", "dask"]
    options: dict[str, Any] = {"stderr": subprocess.DEVNULL, "env": place.environment}
    host = ["--host", "127.0.0.1", "--dashboard-address", "127.0.0.1:0"]
    scheduler = [*dask, "scheduler", *host, "--port", "0", "--scheduler-file", str(scheduler_file)]
    with ExitStack() as stack:
        started = [stack.enter_context(subprocess.Popen(scheduler, **options))]
        while not scheduler_file.exists():
            time.sleep(0.05)
        address = json.loads(scheduler_file.read_bytes())["address"]
        worker = [*dask, "worker", address, *host, "--nthreads", "1", "--no-nanny"]
        started += [
            stack.enter_context(subprocess.Popen(worker, cwd=place.folder, **options))
            for _ in range(_DASK_WORKERS)
        ]
        try:
            yield str(address)
        finally:
            for process in started:
                process.kill()


def _variables(given: Mapping[str, Any]) -> list[tuple[str, str]]:
    items = [item for item in inputs_of(PROCEDURE) if given.get(item.name)]
    return [
        (entry.variable, given[entry.name]) for entry in items if entry.name != "cyclr_username"
    ]


def _tenants(given: Sequence[Mapping[str, Any]], tenants: int, folder: Path) -> str:
    """Return the file of the tenants, whose apps take turns; their secrets are in files."""
    tables = []
    for number, app in enumerate(given):
        items = [item for item in inputs_of(PROCEDURE) if app.get(item.name)]
        lines = [f"{key}={text}\n" for key, text in _variables(app)]
        path = folder / f"app-{number}.env"
        path.write_text("".join(lines), encoding="utf-8")
        secrets = ", ".join(
            f'{entry.name} = "dotenv:{path}#{entry.variable}"' for entry in items if entry.secret
        )
        values = [
            f"{entry.name} = {json.dumps(app[entry.name])}\n"
            for entry in items
            if not entry.secret and entry.name != "cyclr_username"
        ]
        tables.append(f"{''.join(values)}secrets = {{{secrets}}}\n")
    return "\n".join(
        f'[[tenant]]\ntenant = "t{number}"\n{tables[number % len(tables)]}'
        for number in range(tenants)
    )


def _processor(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _watch(pid: int, peaks: list[float]) -> None:
    """Note the memory of a process, ten times a second, until it ends."""
    process = psutil.Process(pid)
    try:
        while True:
            peaks[0] = max(peaks[0], process.memory_info().rss / _MEBIBYTE)
            time.sleep(0.1)
    except psutil.Error:
        return
