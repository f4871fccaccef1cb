"""
`python -m tools.bench.first_minutes [REVISION …]`: from a fresh clone to the first verified step.

For each revision (by default the present one): clone, set up, open the practice
walkthrough in Chromium, start it, press *Check* in the step that asks whether
the app exists. Each is measured once, since setting up takes a minute.
"""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from playwright.sync_api import Page, sync_playwright
from rich.console import Console
from rich.table import Table

from tests.browser.conftest import FLAGS, chromium_program
from tests.support.ports import free_ports

_ROOT = Path(__file__).parents[2]
_TOKEN = "first-minutes"
_PATIENCE = 120_000
_STEP = "fb-05-confirm-creation"
_PARTS = ("clone", "set up", "server answers", "page is there", "panels are there", "verified")


def _measured(revision: str) -> list[float]:
    """Return the seconds that each part took, in the order of `_PARTS`."""
    times = [time.monotonic()]

    def mark() -> None:
        times.append(time.monotonic())

    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "clone"
        _run(["git", "clone", "--quiet", str(_ROOT), str(clone)], Path(folder))
        _run(["git", "checkout", "--quiet", revision], clone)
        mark()
        _run(["make", ".venv/.installed"], clone)
        mark()
        with _lab(clone) as address:
            mark()
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(
                    executable_path=chromium_program(), args=list(FLAGS)
                )
                page = browser.new_page(viewport={"width": 1280, "height": 900})
                _walk(page, address, mark)
                browser.close()
    return [after - before for before, after in itertools.pairwise(times)]


def _walk(page: Page, address: str, mark: object) -> None:
    assert callable(mark)
    page.goto(address)
    page.get_by_text("| Idle").wait_for(timeout=_PATIENCE)
    mark()
    start = page.get_by_role("button", name="Start", exact=True)
    if start.count():
        start.click()
    else:
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.locator(".lm-Menu-itemLabel").get_by_text("Run All Cells", exact=True).click()
    page.wait_for_selector("#runbook-finish", state="attached", timeout=_PATIENCE)
    mark()
    page.locator(f"#runbook-{_STEP} .rb-fold").click()  # a step that is opened is checked by itself
    page.wait_for_selector(f'#runbook-{_STEP}[data-outcome="verified"]', timeout=_PATIENCE)
    mark()


@contextmanager
def _lab(clone: Path) -> Iterator[str]:
    port = free_ports(1)
    command = [".venv/bin/runbook", "lab", "--sandbox", "approved", "--no-browser"]
    options = ["--allow-root", f"--ServerApp.port={port}"]
    environ = {**os.environ, "JUPYTER_TOKEN": _TOKEN, "JUPYTER_CONFIG_DIR": str(clone / "jupyter")}
    base = f"http://127.0.0.1:{port}"
    with subprocess.Popen(
        [*command, *options],
        cwd=clone,
        env=environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as server:
        try:
            _await(f"{base}/api")
            yield f"{base}/doc/tree/walkthrough/facebook_marketing.ipynb?reset&token={_TOKEN}"
        finally:
            server.send_signal(signal.SIGINT)


def _await(url: str) -> None:
    end = time.monotonic() + _PATIENCE / 1000
    while time.monotonic() < end:
        try:
            httpx.get(url, trust_env=False, timeout=5)
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return


def _run(command: list[str], folder: Path) -> None:
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    """Measure the revisions in turn, and print the table."""
    table = Table("Revision", *_PARTS, "together")
    for revision in sys.argv[1:] or ["HEAD"]:
        times = _measured(revision)
        table.add_row(revision[:12], *(f"{seconds:.1f} s" for seconds in (*times, sum(times))))
    Console().print(table)


if __name__ == "__main__":
    main()
