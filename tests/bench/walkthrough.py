"""
Waiting times in JupyterLab: Run All until every panel is usable, and *Check*.

Run All is compared, alternately in one JupyterLab, with a notebook that has the same prose and as
many cells, each an empty `ipywidgets.VBox`. The time is measured in the page, from the confirmed
restart of the kernel to the last panel.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import sync_playwright
from rich.console import Console
from rich.table import Table

from runbook_lib.config.workspace import WORKING_COPIES
from runbook_lib.sandbox.server import Sandbox
from tests.browser.conftest import FLAGS, chromium_program
from tests.browser.jupyter import NOTEBOOK, Lab, Walk
from tests.runs.conftest import settings_of

TURNS = 5
CHECKS = 30
_TARGET = 1.5
_USABLE = """([selector, count]) => new Promise((done) => {
    const began = performance.now();
    const look = () => document.querySelectorAll(selector).length >= count
        ? done(performance.now() - began) : setTimeout(look, 5);
    look();
})"""


def report(console: Console) -> None:
    """Measure and print both tables."""
    with _walk() as walk:
        _report_run_all(console, walk)
        _report_check(console, walk)


@contextmanager
def _walk() -> Iterator[Walk]:
    with (
        tempfile.TemporaryDirectory() as folder,
        Sandbox("approved") as sandbox,
        sync_playwright() as playwright,
    ):
        project = Path(folder) / "project"
        project.mkdir()
        lab = Lab(project, settings_of(sandbox, Path(folder) / "settings"))
        lab.start()
        chromium = playwright.chromium.launch(executable_path=chromium_program(), args=list(FLAGS))
        try:
            page = chromium.new_page(viewport={"width": 1280, "height": 900})
            yield Walk(page, lab)
        finally:
            chromium.close()
            lab.stop()


def _report_run_all(console: Console, walk: Walk) -> None:
    table = Table(title=f"Run All until every panel can be used: median of {TURNS} (seconds)")
    for name in ("cells", "walkthrough", "empty VBox", f"ratio (aim {_TARGET})"):
        table.add_column(name, justify="right")
    empty = walk.lab.copy_notebook("empty")
    count = _empty_cells(empty)
    pairs = [
        (
            _run_all(walk, NOTEBOOK, ".rb[aria-label]", count),
            _run_all(walk, empty.name, ".widget-vbox", count),
        )
        for _ in range(TURNS)
    ]
    mine, others = (statistics.median(times) for times in zip(*pairs, strict=True))
    ratio = statistics.median(one / other for one, other in pairs)
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
    page.goto(f"{walk.lab.url}/lab/tree/{WORKING_COPIES}/{notebook}?reset")
    page.wait_for_selector(".jp-Notebook .jp-Cell")
    walk.is_idle()
    time.sleep(1)
    walk.menu("Kernel", "Restart Kernel and Run All Cells…")
    page.locator(".jp-Dialog .jp-mod-accept").click()
    return float(page.evaluate(_USABLE, [selector, count])) / 1000


def _report_check(console: Console, walk: Walk) -> None:
    walk.open()
    times = []
    for _ in range(CHECKS):
        panel = walk.panel("fb-10-public-profile")
        before = panel.get_attribute("data-finished")
        began = time.perf_counter()
        panel.locator('button[data-action="check"]').click()
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
