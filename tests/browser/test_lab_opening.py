"""
How `runbook lab` opens in a real window: for this work, and without touching anything else.

The server has a base URL, as on JupyterHub, and a token.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect
from playwright.sync_api import TimeoutError as PatienceError

from facebook_cyclr_sandbox.server import Sandbox
from runbook_lib.config.workspace import WORKING_COPIES
from tests.browser.conftest import new_lab, real_window, real_windows
from tests.browser.jupyter import NOTEBOOK, Lab, Walk, keep_picture

FIRST_STEP = "fb-01-log-in"
_PATIENCE = 120_000
_BASE = "/user/ann"
# What the person has chosen in their own JupyterLab, and how they left it.
_THEIRS = {
    "user-settings/@jupyterlab/apputils-extension/themes.jupyterlab-settings": {
        "theme": "JupyterLab Dark"
    },
    "workspaces/default-37a8.jupyterlab-workspace": {
        "data": {"layout-restorer:data": {}},
        "metadata": {"id": "default"},
    },
}
# In each frame from now on: is the page's end in view? It is the last panel, or the last cell that
# is drawn before there are panels.
_WATCH = """() => {
  window.ends_seen = [];
  const look = () => {
    const cells = [...document.querySelectorAll(".jp-Notebook .jp-Cell")];
    const end = document.getElementById("runbook-finish")
      ?? cells.findLast((cell) => cell.checkVisibility());
    const { top, bottom } = end.getBoundingClientRect();
    const view = document.querySelector(".jp-WindowedPanel-outer").getBoundingClientRect();
    window.ends_seen.push(bottom > view.top && top < view.bottom);
    requestAnimationFrame(look);
  };
  look();
}"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, keys_home: Path) -> Iterator[Lab]:
    """Yield one `runbook lab` of a person who has settings and a layout of their own."""
    folder = tmp_path_factory.mktemp("opening")
    for name, content in _THEIRS.items():
        path = folder / "jupyter" / "lab" / name
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(content), encoding="utf-8")
    with Sandbox("approved") as sandbox, new_lab(folder, sandbox, keys_home, base=_BASE) as lab:
        yield lab


@pytest.fixture(scope="module")
def chromium(browser: Browser) -> Iterator[Browser]:
    """Yield another Chromium, whose windows have a size of their own."""
    with real_windows(browser) as chromium:
        yield chromium


@pytest.fixture
def walk(lab: Lab, chromium: Browser) -> Iterator[Walk]:
    """Yield a person in front of an empty window; no kernel outlives the test."""
    context = real_window(chromium)
    yield Walk(context.new_page(), lab)
    context.close()
    lab.end_kernels("")


def land(walk: Walk) -> Locator:
    """Open the server's own address, as a browser is opened with it, and return *Start*."""
    walk.page.goto(f"{walk.lab.url}/?token={walk.lab.token}")
    return start_of(walk.page)


def open_copy(walk: Walk, name: str, change: Callable[[Any], None]) -> None:
    """Open a changed copy of the notebook, which is not trusted: *Start* would ask."""
    document = json.loads(walk.lab.notebook.read_text(encoding="utf-8"))
    change(document)
    walk.lab.notebook.with_name(name).write_text(json.dumps(document), encoding="utf-8")
    address = f"{walk.lab.url}/doc/tree/{WORKING_COPIES}/{name}?token={walk.lab.token}"
    walk.page.goto(address)
    start_of(walk.page)


def begin_with(line: str) -> Callable[[Any], None]:
    """Return what puts a line before those that open the run."""

    def change(document: Any) -> None:
        (cell,) = (cell for cell in document["cells"] if cell["id"] == "open")
        cell["source"] = [f"{line}\n", *cell["source"]]

    return change


def make_own(document: Any) -> None:
    """Leave nothing of the runbook's: neither its mark nor its panels, which scroll themselves."""
    document["metadata"].pop("runbook")
    for cell in document["cells"]:
        if cell["cell_type"] == "code":
            cell["source"] = ["print('a line\\n' * 30)"]


def start_of(page: Page) -> Locator:
    start = page.get_by_role("button", name="Start", exact=True)
    start.wait_for()
    return start


def is_idle(page: Page) -> None:
    page.get_by_text(re.compile(r"\| Idle$")).wait_for()


def shown(page: Page, selector: str) -> int:
    return page.locator(selector).filter(visible=True).count()


def test_it_opens_for_this_work(walk: Walk) -> None:
    """
    Side bars are closed, there is no debugger and no code.

    The person's theme is used, and their code is a click in the menu away.
    """
    page = walk.page
    land(walk)
    is_idle(page)
    keep_picture(page, "lab-opening")

    assert page.url == f"{walk.lab.url}/doc/tree/{WORKING_COPIES}/{NOTEBOOK}"
    expect(page.locator("body")).to_have_attribute("data-jp-theme-name", "JupyterLab Dark")
    assert shown(page, "#jp-left-stack, #jp-right-stack") == 0
    assert page.locator("[data-id='jp-debugger-sidebar']").count() == 1
    assert shown(page, "[data-id='jp-debugger-sidebar'], [data-jp-item-name='debugger-icon']") == 0
    assert page.locator(".jp-InputPlaceholder").count() > 0
    assert shown(page, ".jp-CodeCell") == 0

    walk.menu("View", "Expand All Code")

    expect(page.get_by_text("# Parameters; papermill replaces them")).to_be_visible()
    assert shown(page, ".jp-CodeCell .jp-InputArea-editor") > 1


def press_start(walk: Walk) -> None:
    start_of(walk.page).click()


def run_all(walk: Walk) -> None:
    walk.menu("Run", "Run All Cells")


def run_all_in_sight(walk: Walk) -> None:
    walk.menu("View", "Expand All Code")
    walk.menu("Run", "Run All Cells")


def restart(walk: Walk) -> None:
    walk.menu("Kernel", "Restart Kernel and Run All Cells…")
    walk.page.locator(".jp-Dialog .jp-mod-accept").click()


def test_the_notebooks_end_is_never_seen(walk: Walk) -> None:
    """
    From *Start* on the page is at its beginning until it is at the next step, in every frame.

    Nor is the end seen when cells are run from the menu with their code, or after a restart.
    """
    page = walk.page
    land(walk)
    is_idle(page)
    page.evaluate(_WATCH)
    for number, begin in enumerate((press_start, run_all_in_sight, restart)):
        page.evaluate(
            "() => { for (const node of document.querySelectorAll('.rb')) node.id += '-before';"
            " window.ends_seen = []; }"
        )

        begin(walk)
        if not number:
            expect(page.locator("h1").first).to_be_in_viewport()
        walk.ready()
        expect(page.locator("#runbook-begin")).to_be_focused(timeout=_PATIENCE)

        seen = page.evaluate("window.ends_seen")
        assert len(seen) > 10, begin.__name__
        assert not any(seen), begin.__name__
    keep_picture(page, "lab-opening-started")


def test_start_may_be_pressed_before_there_is_a_kernel(walk: Walk) -> None:
    """*Start*, pressed before the kernel is there, says that it waits, and starts once."""
    land(walk).click()

    with suppress(PatienceError):  # it is gone where the machine is fast
        walk.page.locator(".rb-starting").wait_for(timeout=1000)
    walk.ready()
    expect(walk.page.locator(".rb-starting")).to_have_count(0, timeout=_PATIENCE)
    expect(walk.page.locator(".rb-header")).to_have_count(1)


def test_an_error_of_the_first_cell_is_seen(walk: Walk) -> None:
    """An error of the first cell is in view at once, and *Start* no longer says that it starts."""
    page = walk.page
    open_copy(walk, "fails.ipynb", begin_with('raise OSError("no such folder")'))
    run_all(walk)

    expect(page.get_by_text("OSError: no such folder").last).to_be_in_viewport(timeout=_PATIENCE)
    expect(page.locator(".rb-starting")).to_have_count(0, timeout=_PATIENCE)


def test_another_notebook_stays_as_it_is(walk: Walk) -> None:
    """A notebook of the person's own has its folded code, its tools, and its end after *Run*."""
    page = walk.page
    open_copy(walk, "own.ipynb", make_own)
    is_idle(page)

    assert page.locator(".rb-notebook").count() == 0
    assert shown(page, ".jp-InputPlaceholder") > 0
    assert shown(page, "[data-id='jp-debugger-sidebar']") == 1
    expect(page.locator("[data-jp-item-name='cut']")).to_be_visible()
    run_all(walk)
    expect(page.locator(".jp-Cell").last).to_be_in_viewport(timeout=_PATIENCE)


@pytest.mark.costly("browser and server of this file end with it")
def test_nothing_of_the_persons_own_jupyterlab_is_touched(walk: Walk) -> None:
    """Whatever is opened here, the person's settings and layout stay as they left them."""
    own = walk.lab.project.parent / "jupyter" / "lab"
    with walk.page.expect_response(
        lambda answer: "/api/workspaces/" in answer.url and answer.request.method == "PUT"
    ) as saved:
        land(walk)

    assert saved.value.ok
    kept = {str(path.relative_to(own)): path for path in own.rglob("*") if path.is_file()}
    contents = {name: json.loads(path.read_text("utf-8")) for name, path in kept.items()}
    assert contents == _THEIRS
