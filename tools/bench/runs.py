"""
The cost of a headless run, compared with stock papermill.

Two environments are created first: the runbook's, from requirements.txt, and one
with only papermill and ipykernel, in the same versions; both are compiled to
bytecode. Commands are timed alternately, as whole processes with all that they
start. The 200 runs of one tenant, and the pools, are timed once.
"""

from __future__ import annotations

import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import nbformat
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[2]
TURNS = 7
HISTORY = 200
AT_ONCE = 4
POOL_RUNS = 80
CLI_RUNS = 12
_CELLS = 20
_STOCK = ("papermill", "ipykernel")
_POOL = """\
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
import papermill
source, folder, engine, workers, runs = sys.argv[1:]
def run(number):
    target = f"{folder}/{number}.ipynb"
    if engine == "ours":
        from runbook_lib.engine.execution import execute_notebook
        wait = lambda: None
        execute_notebook(Path(source), Path(target), {}, environment={}, on_tick=wait)
    else:
        papermill.execute_notebook(source, target, progress_bar=False)
if __name__ == "__main__":
    with ProcessPoolExecutor(int(workers)) as pool:
        list(pool.map(run, range(int(runs))))
"""

Measured = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Spent:
    """The wall-clock and processor time of a command, in seconds."""

    wall: float
    cpu: float


@dataclass(frozen=True, slots=True)
class Commands:
    """The programs of both environments, and a folder to work in."""

    ours: Path
    stock: Path
    folder: Path

    def run(self, words: Sequence[object]) -> Spent:
        """Run a command, and return its time, with its children's."""
        before = _children_seconds()
        began = time.perf_counter()
        done = subprocess.run(
            [str(word) for word in words],
            cwd=self.folder,
            env=_environment(self.folder),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        wall = time.perf_counter() - began
        if done.returncode not in (0, 3):
            raise RuntimeError(done.stderr[-2_000:])
        return Spent(wall, _children_seconds() - before)


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _environment(folder: Path) -> dict[str, str]:
    own = {
        name: text
        for name, text in os.environ.items()
        if not name.startswith(("RUNBOOK_", "PYTHON"))
    }
    return {**own, "XDG_DATA_HOME": str(folder / "home"), "HOME": str(folder)}


@contextmanager
def _commands() -> Iterator[Commands]:
    """Create both environments, a notebook of one cell and one of twenty."""
    with tempfile.TemporaryDirectory(prefix="runbook-bench-") as name:
        folder = Path(name)
        pins = (ROOT / "requirements.txt").read_text(encoding="utf-8")
        constraints = folder / "constraints.txt"
        constraints.write_text(re.sub(r"^-e .*$", "", pins, flags=re.MULTILINE), encoding="utf-8")
        ours = _installed(folder / "ours", "-r", str(ROOT / "requirements.txt"))
        stock = _installed(folder / "stock", *_STOCK, "-c", str(constraints))
        subprocess.run(
            [ours / "python", "-m", "compileall", "-q", ROOT / "runbook_lib"], check=True
        )
        for cells in (1, _CELLS):
            passes = [nbformat.v4.new_code_cell("pass") for _ in range(cells)]
            book = nbformat.v4.new_notebook(cells=passes)
            book.metadata["kernelspec"] = {
                "name": "python3",
                "display_name": "Python 3",
                "language": "python",
            }
            nbformat.write(book, folder / f"{cells}.ipynb")
        (folder / "pool.py").write_text(_POOL, encoding="utf-8")
        yield Commands(ours, stock, folder)


def _installed(place: Path, *words: str) -> Path:
    """Create an environment with these packages; return the folder of its programs."""
    subprocess.run([sys.executable, "-m", "venv", place], check=True)
    programs = place / "bin"
    install = [
        programs / "python",
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ]
    subprocess.run([*install, *words], cwd=ROOT, check=True)
    return programs


def report(console: Console) -> Measured:
    """Measure, print the tables, and return the figures."""
    with _commands() as commands:
        measured = {
            "run": _measure_run(commands),
            "pools": _measure_pools(commands),
            "history": _measure_history(commands),
            "commands": _measure_small(commands),
        }
    console.print(_table(measured))
    return measured


def _measure_run(commands: Commands) -> Measured:
    """Time a whole sealed run, alternately with stock papermill on one empty cell."""
    numbers = count()
    folder = commands.folder
    stock = ["papermill", "--no-progress-bar", folder / "1.ipynb", folder / "1-out.ipynb"]
    return _in_turn(
        commands,
        {
            "runbook run --sandbox": lambda: _practise(commands, f"first-{next(numbers)}"),
            "papermill, environment of its own": lambda: [commands.stock / stock[0], *stock[1:]],
            "papermill beside JupyterLab": lambda: [commands.ours / stock[0], *stock[1:]],
        },
    )


def _practise(commands: Commands, tenant: str) -> list[object]:
    """Return the command of a sealed run of `tenant`."""
    words = ("run", "--sandbox", "--tenant", tenant, "--evidence", commands.folder / "evidence")
    return [commands.ours / "runbook", *words]


def _in_turn(commands: Commands, sides: Mapping[str, Callable[[], Sequence[object]]]) -> Measured:
    """Return the median of each side over several turns, after a warm-up."""
    taken: dict[str, list[Spent]] = {name: [] for name in sides}
    for turn in range(TURNS + 1):
        for name, words in sides.items():
            spent = commands.run(words())
            if turn:
                taken[name].append(spent)
    return {
        name: {
            "wall_s": statistics.median(measurement.wall for measurement in every),
            "cpu_s": statistics.median(measurement.cpu for measurement in every),
        }
        for name, every in taken.items()
    }


def _measure_pools(commands: Commands) -> Measured:
    """Return the notebooks of twenty cells per second of each method, four at once."""
    folder = commands.folder
    source = commands.folder / f"{_CELLS}.ipynb"

    def pool(programs: Path, engine: str, runs: int) -> float:
        out = folder / f"pool-{engine or 'stock'}"
        out.mkdir()
        words = (folder / "pool.py", source, out, engine, AT_ONCE, runs)
        return runs / commands.run([programs / "python", *words]).wall

    def papermill(number: int) -> None:
        target = folder / f"cli-{number}.ipynb"
        commands.run([commands.stock / "papermill", "--no-progress-bar", source, target])

    ours = pool(commands.ours, "ours", POOL_RUNS)
    in_process = pool(commands.stock, "", POOL_RUNS // 2)
    began = time.perf_counter()
    with ThreadPoolExecutor(AT_ONCE) as threads:
        list(threads.map(papermill, range(CLI_RUNS)))
    return {
        "our engine": ours,
        "papermill in-process": in_process,
        "papermill": CLI_RUNS / (time.perf_counter() - began),
    }


def _measure_history(commands: Commands) -> Measured:
    """Time runs after 199 others of the tenant, alternately with first runs; size their bundles."""
    for _ in range(HISTORY - 1):
        commands.run(_practise(commands, "long"))
    numbers = count()
    evidence = commands.folder / "evidence"
    measured = _in_turn(
        commands,
        {
            "first": lambda: _practise(commands, f"new-{next(numbers)}"),
            "later": lambda: _practise(commands, "long"),
        },
    )
    for name, tenants in {"first": "new-*", "later": "long"}.items():
        newest = [
            max(home.glob("2*"), key=lambda path: path.name)
            for home in evidence.glob(f"{tenants}/*")
        ]
        sizes = [
            sum(path.stat().st_size for path in bundle.rglob("*") if path.is_file())
            for bundle in newest
        ]
        measured[name]["bundle_bytes"] = statistics.median(sizes)
    return measured


def _measure_small(commands: Commands) -> Measured:
    """Time the commands that a person waits for."""
    words = ("status", "--tenant", "long", "--evidence", commands.folder / "evidence")
    return _in_turn(
        commands,
        {
            "python -c pass": lambda: [commands.ours / "python", "-c", "pass"],
            "runbook --help": lambda: [commands.ours / "runbook", "--help"],
            "runbook status": lambda: [commands.ours / "runbook", *words],
        },
    )


def _table(measured: Measured) -> Table:
    """Return the table of all comparisons with their aims."""
    table = Table(title="A headless run, and what it is compared with", min_width=100)
    for name in ("measure", "ours", "compared with", "", "ratio", "aim"):
        table.add_column(name, justify="left" if name in ("measure", "compared with") else "right")
    for row in _rows(measured):
        table.add_row(*row)
    return table


def _rows(measured: Measured) -> Iterator[tuple[str, ...]]:
    run, pools, history, small = (
        measured[name] for name in ("run", "pools", "history", "commands")
    )
    own, stock, beside = run.values()
    for name, other, kind, aim in (
        ("run, clock", "papermill alone", "wall_s", 1.3),
        ("run, processors", "papermill alone", "cpu_s", 1.9),
        ("run, clock", "papermill beside JupyterLab", "wall_s", 1.0),
    ):
        theirs = beside if "beside" in other else stock
        yield _row(name=name, other=other, ours=own[kind], theirs=theirs[kind], aim=aim, unit="s")
    ours = pools["our engine"]
    yield _row(
        name="20 cells, 4 workers",
        other="papermill, 4 at once",
        ours=ours,
        theirs=pools["papermill"],
        aim=8,
        unit="/s",
    )
    theirs = pools["papermill in-process"]
    yield _row(
        name="20 cells, 4 workers",
        other="papermill in 4 processes",
        ours=ours,
        theirs=theirs,
        aim=4,
        unit="/s",
    )
    first = history["first"]
    later = history["later"]
    yield _row(
        name="200th run, clock",
        other="first run",
        ours=later["wall_s"],
        theirs=first["wall_s"],
        aim=1.05,
        unit="s",
    )
    sizes = (measurement["bundle_bytes"] / 1024 for measurement in (later, first))
    yield _row("200th bundle", "first bundle", *sizes, 1.02, "KiB")
    empty = small["python -c pass"]["wall_s"]
    for name, aim in (("runbook --help", 5.0), ("runbook status", 12.0)):
        yield _row(
            name=name,
            other="python -c pass",
            ours=small[name]["wall_s"],
            theirs=empty,
            aim=aim,
            unit="s",
        )


def _row(
    name: str, other: str, ours: float, theirs: float, aim: float, unit: str
) -> tuple[str, ...]:
    """Return a row; `aim` is the smallest ratio of a rate, and the largest of anything else."""
    ratio = ours / theirs
    is_rate = unit == "/s"
    is_reached = ratio >= aim if is_rate else ratio <= aim
    return (
        name,
        f"{ours:.3g} {unit}",
        other,
        f"{theirs:.3g} {unit}",
        f"{ratio:.2f}",
        f"{'≥' if is_rate else '≤'} {aim:g} {'reached' if is_reached else 'MISSED'}",
    )
