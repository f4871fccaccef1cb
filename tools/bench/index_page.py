"""
Measure the page of all tenants in Chromium: opening, sorting and filtering 5,000, 500 and 50.

Each time is measured in the page, from the action to the second frame after it: then the first
frame is on the screen. Opening begins with the navigation.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright
from rich.console import Console
from rich.table import Table

from tests.browser.conftest import FLAGS, chromium_program
from tests.unit.evidence.reports.sample_statuses import many, page

SIZES = (50, 500, 5_000)
TURNS = 7
_TARGET_MILLISECONDS = 1_000
_DRAWN = """(act) => new Promise((done) => {
    const began = act ? performance.now() : 0;
    if (act) eval(act);
    requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - began)));
})"""
_SEARCH = """(() => {
    const form = document.querySelector("#filters");
    form.elements.text.value = %r;
    form.elements.text.dispatchEvent(new Event("input", { bubbles: true }));
})()"""
_CLICK = "document.querySelector('.tenants th:nth-child(%d) button').click()"
_ACTIONS = {
    "open": "",
    "sort by tenant": _CLICK % 1,
    "sort by last poll": _CLICK % 5,
    "turn the order": _CLICK % 5,
    "filter by text": _SEARCH % "deactivated",
    "filter out all": _SEARCH % "nothing has this",
    "show all": _SEARCH % "",
}

Figures = dict[str, Any]


def report(console: Console) -> Figures:
    """Measure, print the table, and return the medians in milliseconds, by number of tenants."""
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        program = chromium_program()
        chromium = playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        try:
            figures = {f"{size}": _measure(chromium, Path(folder), size) for size in SIZES}
        finally:
            chromium.close()
    console.print(_table(figures))
    console.print(f"Aim: {_TARGET_MILLISECONDS:,} ms at most for each of open, sort and filter.")
    return {"index_page": figures}


def _measure(chromium: Browser, folder: Path, size: int) -> Figures:
    statuses = many(size)
    page(many(1))  # the templates are loaded
    began = time.perf_counter()
    text = page(statuses)
    milliseconds = (time.perf_counter() - began) * 1000
    path = folder / f"{size}.html"
    path.write_text(text, encoding="utf-8")
    turns = [_turn(chromium, path) for _ in range(TURNS)]
    medians = {name: statistics.median(turn[name] for turn in turns) for name in turns[0]}
    rounded = {name: round(number) for name, number in medians.items()}
    return {"make (Python)": round(milliseconds), **rounded, "KiB": len(text.encode()) // 1024}


def _turn(chromium: Browser, path: Path) -> Mapping[str, float]:
    """Return the time of each action in a new page; its policy is set aside for measuring."""
    with chromium.new_context(bypass_csp=True, viewport={"width": 1280, "height": 900}) as context:
        opened = context.new_page()
        opened.goto(path.as_uri())
        return {name: _drawn(opened, act) for name, act in _ACTIONS.items()}


def _drawn(opened: Page, act: str) -> float:
    return float(opened.evaluate(_DRAWN, act))


def _table(figures: Figures) -> Table:
    table = Table(title=f"index.html in Chromium, median of {TURNS} (milliseconds)")
    table.add_column("what")
    for size in SIZES:
        table.add_column(f"{size:,} tenants", justify="right")
    for name in figures[f"{SIZES[0]}"]:
        table.add_row(name, *(f"{figures[f'{size}'][name]:,}" for size in SIZES))
    return table
