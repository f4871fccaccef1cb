"""
`python -m tools.bench`: how long a user waits, and for what (docs/performance.md).

It measures the rows that are named, or all; `--quick` takes small sizes, for a try. Commands are
whole processes. Sandboxes and stock papermill share the cores and this Python's packages.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, chdir, contextmanager, suppress
from pathlib import Path

import nbformat
import psutil
from playwright.sync_api import sync_playwright
from rich.console import Console
from rich.table import Table

from facebook_cyclr_sandbox.server import Sandbox
from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from tests.browser.conftest import FLAGS, chromium_program, new_lab
from tests.browser.jupyter import KERNEL_IS_IDLE, Walk
from tests.runs.conftest import environment, settings_of, values_of

ROOT = Path(__file__).parents[1]
APPS = 4
# The times that a run is measured; the median counts.
TURNS = 5
RUNS_EACH = 30
# A command that takes longer is killed.
_LIMIT_SECONDS = 1_800
COLUMNS = ("measured", "beside", "unit", "runbook", "beside it")
_PAPERMILL = "papermill --no-progress-bar --log-level ERROR --kernel python3"
# NOTE: few apps serve all tenants here, and would use up their calls of the hour.
_PATIENT = """\
from runbook_lib.cli.main import main
from runbook_lib.engine.tenant_run import Run
Run.used_calls = property(lambda run: 0.0)
main()
"""
# Seconds from the press of *Start* until the first card's button can be pressed, and until all
# steps, the line on top and the end are there.
_STARTED = """count => new Promise((done, fail) => {
    const began = performance.now();
    const seconds = () => (performance.now() - began) / 1000;
    let first = 0;
    const isUsable = () => {
        const main = document.querySelector('[data-step][data-open="true"] .rb-main');
        return main && main.getBoundingClientRect().height > 0
            && main.getAttribute("aria-disabled") !== "true";
    };
    const isComplete = () => document.querySelectorAll("[data-step]").length >= count
        && document.querySelector("#runbook-finish")
        && document.querySelector(".rb-header a[data-next]");
    const look = () => {
        if (!first && isUsable()) first = seconds();
        if (first && isComplete())
            done({"s to first card": first, "s to all cards": seconds()});
        else if (seconds() > 120) fail(new Error("no cards after two minutes"));
        else setTimeout(look, 5);
    };
    look();
})"""
NOTES = """\
All runs are real; tenants of watch and inbox are copies of four, and bundles are copies of one. \
The watch ignores the apps' hourly limit, because four apps serve all tenants. Nothing is due at \
its idle poll."""

# Figures by their unit.
Cost = dict[str, float]
# The name of a measurement and its cost, then the same of what is beside it; perhaps several times.
Pairs = Iterator[tuple[str, Cost, str, Cost]]


def measure_run(runs: int) -> Pairs:
    """Yield a run after 1, 30 and 200 others, in turn with papermill on one empty cell."""
    empty = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell()])
    nbformat.write(empty, "empty.ipynb")
    for done in range(runs + TURNS):
        cost = _run("runbook_lib run --sandbox")
        for history in (1, 30, 200):
            if history <= done < history + TURNS:
                papermill = _run(f"{_PAPERMILL} empty.ipynb out.ipynb")
                yield f"run, after {history} or more", cost, "papermill, an empty cell", papermill


def measure_fleet(tenants: int) -> Pairs:
    """Yield a sealed fleet, and stock papermill with the same notebook, two at once."""
    shutil.copy(ROOT / "notebooks" / "facebook_marketing.ipynb", "in.ipynb")
    command = _PAPERMILL + " in.ipynb out.ipynb -r env_file app-0/sandbox.env -r tenant stock-{}"
    with _served(tenants):
        fleet = _run("runbook_lib fleet tenants.toml --workers 2")
        began = time.perf_counter()
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(_run, map(command.format, range(tenants))))
        other = {"s": time.perf_counter() - began}
    yield f"fleet, {tenants} tenants, 2 workers", fleet, "papermill, 2 at once", other


def measure_watch(tenants: int) -> Pairs:
    """Yield the first poll of a watch, in which everything is due, and an idle one after it."""
    Path("patient.py").write_text(_PATIENT, encoding="utf-8")
    runs = min(RUNS_EACH, tenants)
    with _served(tenants, runs):
        command = "patient watch tenants.toml --once"
        name = f"watch, {tenants} tenants, {runs} runs each"
        yield name, _run(command), "idle poll", _run(command)


def measure_inbox(tenants: int) -> Pairs:
    """Yield the inbox of many tenants, and of one of them."""
    runs = min(RUNS_EACH, tenants)
    with _served(tenants, runs):
        name = f"inbox, {tenants} tenants, {runs} runs each"
        yield name, _run("runbook_lib inbox"), "one tenant", _run("runbook_lib inbox --tenant t0")


def measure_walkthrough(turns: int) -> Pairs:
    """Yield *Start* to the first card and to all, in a new kernel and after a reload."""
    flags = list(FLAGS)
    for turn in range(turns):
        folder = Path.cwd() / f"turn-{turn}"
        folder.mkdir()
        with (
            Sandbox("approved") as sandbox,
            new_lab(folder, sandbox, folder) as lab,
            sync_playwright() as playwright,
            playwright.chromium.launch(executable_path=chromium_program(), args=flags) as chromium,
        ):
            walk = Walk(chromium.new_page(), lab)
            walk.page.set_default_timeout(120_000)
            yield "walkthrough, from Start", _start(walk), "after a reload", _start(walk)


def measure_verify(bundles: int) -> Pairs:
    """Yield `verify` of copies of one run's evidence, and of one."""
    _run("runbook_lib run --sandbox")
    for number in range(bundles):
        shutil.copytree("evidence", f"copies/{number}")
    verify = "runbook_lib verify --trusted-keys evidence/keys"
    name = f"verify, {bundles} bundles"
    yield name, _run(f"{verify} copies"), "one bundle", _run(f"{verify} evidence")


# Row → its function, its size, and a small size.
ROWS = {
    "run": (measure_run, 200, 1),
    "fleet": (measure_fleet, 20, 4),
    "watch": (measure_watch, 300, 8),
    "inbox": (measure_inbox, 300, 4),
    "walkthrough": (measure_walkthrough, 5, 1),
    "verify": (measure_verify, 100, 5),
}


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench", description=__doc__)
    parser.add_argument("rows", nargs="*", default="all", choices=[*ROWS, "all"])
    parser.add_argument("--quick", action="store_true", help="small sizes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures, too")
    options = parser.parse_args()
    measured = defaultdict(list)
    for kind in ROWS if "all" in options.rows else options.rows:
        measure, size, small = ROWS[kind]
        with tempfile.TemporaryDirectory() as folder, chdir(folder):
            for name, ours, beside, theirs in measure(small if options.quick else size):
                for unit, other in theirs.items():
                    measured[name, beside, unit].append((ours[unit], other))
    rows = []
    table = Table(*COLUMNS, caption=NOTES)
    for names, pairs in measured.items():
        medians = [round(statistics.median(side), 3) for side in zip(*pairs, strict=True)]
        rows.append((*names, *medians))
        table.add_row(*names, *map(str, medians))
    Console(width=110).print(table)
    if options.json:
        options.json.write_text(json.dumps({"columns": COLUMNS, "rows": rows}), encoding="utf-8")


def _run(command: str) -> Cost:
    """Run a module with its words to its end; return the cost. Something may fail or be open."""
    began = time.perf_counter()
    peak = processor = 0.0
    with tempfile.TemporaryFile("w+") as output:
        process = psutil.Popen(
            [sys.executable, "-m", *command.split()],
            env=environment(XDG_DATA_HOME="home", PYTHONPATH=str(ROOT), PYTHONDONTWRITEBYTECODE=""),
            stdout=output,
            stderr=output,
        )
        while process.poll() is None:
            with suppress(psutil.Error):
                peak = max(peak, process.memory_info().rss)
                # Its own, and of processes that it has started and that have ended.
                processor = sum(process.cpu_times()[:4])
            if time.perf_counter() > began + _LIMIT_SECONDS:
                process.kill()
            time.sleep(0.01)
        if process.returncode not in (0, 1, 3):
            output.seek(0)
            raise RuntimeError(f"{command}: {output.read()}")
    return {
        "s": time.perf_counter() - began,
        "processor s": processor,
        "peak MiB": peak / 2**20,
    }


@contextmanager
def _served(tenants: int, runs: int = 0) -> Iterator[None]:
    """
    Serve the apps, each by a sandbox, and write the FILE of tenants, which take turns.

    Then run the first tenant of each app so often; the others get copies, without bundles.
    """
    tables = []
    with ExitStack() as stack:
        for number in range(APPS):
            sandbox = stack.enter_context(Sandbox("approved"))
            tables.append(values_of(settings_of(sandbox, Path.cwd() / f"app-{number}")))
        texts = (f'[[tenant]]\ntenant = "t{n}"\n{tables[n % APPS]}' for n in range(tenants))
        Path("tenants.toml").write_text("".join(texts), encoding="utf-8")
        for _ in range(runs):
            _run("runbook_lib fleet tenants.toml --only t[0-3]")
        for number in range(APPS, tenants if runs else 0):
            begun = f"evidence/t{number % APPS}"
            shutil.copytree(begun, f"evidence/t{number}", ignore=shutil.ignore_patterns("2*"))
        yield


def _start(walk: Walk) -> Cost:
    """Load the notebook, press *Start*, and return the seconds until the cards are there."""
    walk.load()
    walk.page.get_by_text(KERNEL_IS_IDLE).wait_for()
    time.sleep(2)  # JupyterLab itself is at rest
    walk.page.evaluate("document.querySelectorAll('.rb').forEach(node => node.remove())")
    walk.page.get_by_role("button", name="Start", exact=True).click()
    cost: Cost = walk.page.evaluate(_STARTED, len(PROCEDURE.steps))
    return cost


if __name__ == "__main__":
    main()
