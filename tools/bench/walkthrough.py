"""
Waiting times of the walkthrough: the first card, all cards, *Check*, and *Check everything*.

The first card is usable once its blue button can be pressed. In JupyterLab time counts from
*Start*, in a new kernel and after a reload; on the app's page from the request of the page, whose
kernel is always new.

Run All is compared, alternately in one JupyterLab, with a notebook that has the same prose and as
many cells, each an empty `ipywidgets.VBox`. The time is measured in the page, from the confirmed
restart of the kernel to the last panel.
"""

from __future__ import annotations

import compileall
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import sync_playwright
from rich.console import Console
from rich.table import Table

from facebook_cyclr_sandbox.server import Sandbox
from facebook_cyclr_sandbox.state.fault_injection import FAULT_SITES, Fault, FaultKind
from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from tests.browser.conftest import FLAGS, chromium_program
from tests.browser.jupyter import KERNEL_IS_IDLE, NOTEBOOK, TOKEN, Lab, Walk
from tests.runs.conftest import settings_of

ROOT = Path(__file__).parents[2]
TURNS = 5
CHECKS = 30
ROUND_TRIPS = (0.0, 0.15)
_TARGET = 1.5
_USABLE = """([selector, count]) => new Promise((done) => {
    const began = performance.now();
    const look = () => document.querySelectorAll(selector).length >= count
        ? done(performance.now() - began) : setTimeout(look, 5);
    look();
})"""


# Milliseconds until the first card is usable, and until all steps, header and end are there.
_STARTED = """count => new Promise((done) => {
    const began = performance.now();
    let first = 0;
    const isUsable = () => {
        const main = document.querySelector('[data-step][data-open="true"] .rb-main');
        return main && main.getBoundingClientRect().height > 0
            && main.getAttribute("aria-disabled") !== "true";
    };
    const look = () => {
        if (!first && isUsable()) first = performance.now() - began;
        const isThere = document.querySelectorAll("[data-step]").length >= count
            && document.querySelector("#runbook-finish")
            && document.querySelector(".rb-header a[data-next]");
        first && isThere ? done([first, performance.now() - began]) : setTimeout(look, 5);
    };
    look();
})"""
_STEPS = len(PROCEDURE.steps)
_CHECK_EVERYTHING = """() => document.querySelector('[data-action="check-all"]').click()"""
_SETTLED = """() => new Promise((done) => {
    const began = performance.now();
    let hasBegun = false;
    const isBusy = () => document.querySelector('.rb[aria-busy="true"]') !== null
        || !/Checked [0-9]+ steps/.test(document.querySelector(".rb-header").textContent);
    const look = () => {
        hasBegun ||= isBusy();
        hasBegun && !isBusy() ? done(performance.now() - began) : setTimeout(look, 5);
    };
    look();
})"""


def report(console: Console) -> None:
    """Measure and print the tables, with compiled bytecode, as a user has it."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    compileall.compile_dir(ROOT / "runbook_lib", quiet=1)
    table = Table(title=f"First card usable, and all cards there: medians of {TURNS} (seconds)")
    for name in ("from", "first card", "aim", "all", "aim"):
        table.add_column(name, justify="left" if name == "from" else "right")
    with _walk() as (walk, sandbox):
        fresh = []
        again = []
        for _ in range(TURNS):
            fresh.append(_press_start(walk, "facebook_marketing"))
            again.append(_press_start(walk))
        _add_row(table, "Start, new kernel", fresh, "3")
        _add_row(table, "Start, after a reload", again, "5")
    with _walk("--app") as (walk, sandbox):
        _add_row(table, "the app's page", [_load_app(walk) for _ in range(TURNS)], "5")
    console.print(table)
    with _walk() as (walk, sandbox):
        _report_run_all(console, walk)
        _report_check(console, walk)
        _report_everything(console, walk, sandbox)


def _add_row(table: Table, name: str, times: list[tuple[float, float]], aim: str) -> None:
    first, whole = (statistics.median(column) for column in zip(*times, strict=True))
    table.add_row(name, f"{first:.2f}", aim, f"{whole:.2f}", "6")


def _press_start(walk: Walk, ended: str = "") -> tuple[float, float]:
    """Load the notebook, press *Start*, and return the two times; `ended` names kernels to end."""
    if ended:
        walk.page.goto("about:blank")
        walk.lab.end_kernels(ended)
    walk.load()
    walk.page.get_by_text(KERNEL_IS_IDLE).wait_for()
    time.sleep(2)  # JupyterLab itself is at rest
    walk.page.evaluate("document.querySelectorAll('.rb').forEach(node => node.remove())")
    walk.page.get_by_role("button", name="Start", exact=True).click()
    first, whole = walk.page.evaluate(_STARTED, _STEPS)
    return first / 1000, whole / 1000


def _load_app(walk: Walk) -> tuple[float, float]:
    """Load the app's page, and return the two times."""
    walk.page.goto("about:blank")
    time.sleep(2)  # the kernel of the page before has ended
    began = time.perf_counter()
    address = f"{walk.lab.url}/voila/render/{NOTEBOOK}?token={TOKEN}"
    walk.page.goto(address, wait_until="commit")
    loaded = time.perf_counter() - began
    first, whole = walk.page.evaluate(_STARTED, _STEPS)
    return loaded + first / 1000, loaded + whole / 1000


@contextmanager
def _walk(*arguments: str) -> Iterator[tuple[Walk, Sandbox]]:
    with (
        tempfile.TemporaryDirectory() as folder,
        Sandbox("approved") as sandbox,
        sync_playwright() as playwright,
    ):
        project = Path(folder) / "project"
        project.mkdir()
        settings = settings_of(sandbox, Path(folder) / "settings")
        lab = Lab(project, settings, arguments, token=TOKEN)
        lab.start()
        chromium = playwright.chromium.launch(executable_path=chromium_program(), args=list(FLAGS))
        try:
            page = chromium.new_page(viewport={"width": 1280, "height": 900})
            yield Walk(page, lab), sandbox
        finally:
            chromium.close()
            lab.stop()


def _report_run_all(console: Console, walk: Walk) -> None:
    table = Table(title=f"Run All until every panel can be used: median of {TURNS} (seconds)")
    for name in ("cells", "walkthrough", "empty VBox", f"ratio (aim {_TARGET})"):
        table.add_column(name, justify="right")
    empty = walk.lab.notebook.with_name("empty.ipynb")
    shutil.copy(walk.lab.notebook, empty)
    count = _empty_cells(empty)
    pairs = [
        (
            _run_all(walk, NOTEBOOK, "section.rb[aria-label]:not(.rb-card)", count),
            _run_all(walk, empty.name, ".widget-vbox", count),
        )
        for _ in range(TURNS)
    ]
    mine, others = (statistics.median(times) for times in zip(*pairs, strict=True))
    ratio = statistics.median(own / other for own, other in pairs)
    table.add_row(f"{count}", f"{mine:.2f}", f"{others:.2f}", f"{ratio:.2f}")
    console.print(table)


def _empty_cells(path: Path) -> int:
    """Replace every panel by an empty box, for comparison; return how many there are."""
    document = json.loads(path.read_text(encoding="utf-8"))
    shown = 0
    for cell in document["cells"]:
        if cell["cell_type"] == "code" and cell["id"] != "parameters":
            cell["source"] = "import ipywidgets\nipywidgets.VBox()"
            shown += 1
    path.write_text(json.dumps(document), encoding="utf-8")
    return shown


def _run_all(walk: Walk, notebook: str, selector: str, count: int) -> float:
    """Return the seconds from the confirmed restart of the kernel to the last panel."""
    page = walk.page
    walk.load(notebook)
    page.wait_for_selector(".jp-Notebook .jp-Cell")
    walk.is_idle()
    time.sleep(1)
    walk.menu("Kernel", "Restart Kernel and Run All Cells…")
    page.locator(".jp-Dialog .jp-mod-accept").click()
    return float(page.evaluate(_USABLE, [selector, count])) / 1000


def _report_everything(console: Console, walk: Walk, sandbox: Sandbox) -> None:
    """Measure *Check everything now* from the click until every panel has its result."""
    page = walk.page
    table = Table(title=f"Check everything now, median of {TURNS} (seconds; aim at 150 ms: 3)")
    for round_trip in ROUND_TRIPS:
        table.add_column(f"{round_trip * 1000:.0f} ms", justify="right")
    medians = []
    for round_trip in ROUND_TRIPS:
        slow = [Fault(FaultKind.SLOW, seconds=round_trip, site=site) for site in FAULT_SITES]
        sandbox.state.faults.active[:] = slow if round_trip else []
        times = []
        for _ in range(TURNS):
            page.evaluate(_CHECK_EVERYTHING)
            times.append(float(page.evaluate(_SETTLED)) / 1000)
        medians.append(f"{statistics.median(times):.2f}")
    sandbox.state.faults.active.clear()
    table.add_row(*medians)
    console.print(table)


def _report_check(console: Console, walk: Walk) -> None:
    walk.open()
    times = []
    for _ in range(CHECKS):
        panel = walk.panel("fb-10-public-profile")
        before = panel.get_attribute("data-finished")
        began = time.perf_counter()
        walk.action("fb-10-public-profile", "check").click()
        walk.page.wait_for_function(
            """([id, before]) => {
                const panel = document.getElementById(id);
                const isIdle = panel.getAttribute("aria-busy") === "false";
                return isIdle && panel.dataset.finished !== before;
            }""",
            arg=["runbook-fb-10-public-profile", before],
            polling=5,
        )
        times.append(time.perf_counter() - began)
    table = Table(title=f"Check, from click to shown, {CHECKS} times (milliseconds)")
    table.add_column("median", justify="right")
    table.add_column("worst", justify="right")
    table.add_row(f"{statistics.median(times) * 1000:.0f}", f"{max(times) * 1000:.0f}")
    console.print(table)
