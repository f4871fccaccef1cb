"""One Chromium for all tests of this folder, with a page for each; JupyterLab; axe-core."""

from __future__ import annotations

import ipaddress
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.browser.jupyter import TOKEN, Desk, Desks, Lab, Serve, Walk
from tests.runs.conftest import settings_of
from tests.support.npm import installed

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    # Otherwise it starts a process for the next page in advance, each time.
    "--renderer-process-limit=1",
)
_PATIENCE_MILLISECONDS = 120_000

# What is expected comes sooner, but for a browser on a busy machine.
expect.set_options(timeout=60_000)


def chromium_program() -> str:
    """Return the Chromium on the PATH."""
    program = shutil.which("chromium")
    if program is None:
        pytest.fail(
            "chromium is missing from the PATH. Install it (Debian: apt install chromium), or "
            "leave these tests out with --ignore=tests/browser.",
            pytrace=False,
        )
    return program


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """
    Yield the Chromium on the PATH.

    It runs as long as this folder's tests, not as the session: while Playwright
    runs, its event loop is the main thread's, and no other test could start one.
    """
    program = chromium_program()
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        yield chromium
        chromium.close()


@contextmanager
def real_windows(browser: Browser, height: int = 900) -> Iterator[Browser]:
    """Yield another Chromium, whose windows are 1280 wide: their size is real, not emulated."""
    size = f"--window-size=1280,{height}"
    program = chromium_program()
    chromium = browser.browser_type.launch(executable_path=program, args=[*FLAGS, size])
    yield chromium
    chromium.close()


def real_window(chromium: Browser) -> BrowserContext:
    """Return a window of `real_windows`."""
    context = chromium.new_context(no_viewport=True)
    context.set_default_timeout(_PATIENCE_MILLISECONDS)
    return context


def new_lab(
    folder: Path, sandbox: Any, keys_home: Path, *arguments: str, base: str = "", token: str = TOKEN
) -> Lab:
    """Return a lab of a new project in `folder`, with the settings of `sandbox`."""
    (folder / "project").mkdir()
    settings = settings_of(sandbox, folder / "settings")
    variables = {"XDG_DATA_HOME": str(keys_home)}
    return Lab(folder / "project", settings, arguments, variables, base, token)


@contextmanager
def own_windows(browser: Browser) -> Iterator[BrowserContext]:
    """Yield windows with their own cookies; all their requests must go to loopback."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, locale="en-GB")
    context.set_default_timeout(_PATIENCE_MILLISECONDS)
    elsewhere: list[str] = []
    context.on("request", lambda request: _note(request.url, elsewhere))
    try:
        yield context
    finally:
        context.close()
    assert elsewhere == []


@contextmanager
def opened(browser: Browser, desk: Desk, *steps: str) -> Iterator[Walk]:
    """Yield the open notebook that several tests share, with these steps, by default with all."""
    desk.write(steps)
    with own_windows(browser) as context:
        walk = Walk(context.new_page(), desk)
        walk.open()
        yield walk
    desk.leave()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """Yield an empty page with its own cookies; all its requests must go to loopback."""
    with own_windows(browser) as context:
        yield context.new_page()


def _note(url: str, elsewhere: list[str]) -> None:
    host = urlsplit(url).hostname
    if host in (None, "localhost"):  # data: and blob: have no host
        return
    try:
        is_here = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_here = False
    if not is_here:
        elsewhere.append(url)


@pytest.fixture(scope="session")
def axe() -> str:
    """Return the source of axe-core, in the version of the lock file."""
    modules = installed()
    return (modules / "axe-core" / "axe.min.js").read_text(encoding="utf-8")


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Return a function that serves the walkthrough with a sandbox until the test ends."""
    served: list[Lab] = []

    def begin(sandbox: Any, *arguments: str, base: str = "", **variables: str) -> Lab:
        project = tmp_path / "project"
        project.mkdir(exist_ok=True)
        settings = settings_of(sandbox, tmp_path / f"settings-{len(served)}")
        served.append(Lab(project, settings, arguments, variables, base))
        served[-1].start()
        return served[-1]

    yield begin
    for lab in served:
        lab.stop()


@pytest.fixture(scope="package")
def jupyterlab(tmp_path_factory: pytest.TempPathFactory, keys_home: Path) -> Iterator[Lab]:
    """
    Yield one JupyterLab, with a token as users have it, for all tests without special needs.

    It starts with its own sandbox, which no test uses.
    """
    from facebook_cyclr_sandbox.server import Sandbox  # noqa: PLC0415

    with Sandbox("approved") as sandbox:
        lab = new_lab(tmp_path_factory.mktemp("lab"), sandbox, keys_home)
        (lab.project / "screen.png").write_bytes(b"a picture of the project")
        lab.start()
    yield lab
    lab.stop()


@pytest.fixture(scope="module")
def approved() -> Iterator[Any]:
    """Yield one sandbox in which everything is approved, for all tests of a module."""
    from facebook_cyclr_sandbox.server import Sandbox  # noqa: PLC0415

    with Sandbox("approved") as running:
        yield running


@pytest.fixture
def desks(jupyterlab: Lab, tmp_path: Path) -> Iterator[Desks]:
    """
    Return a function that returns a notebook with its own journal and settings.

    It takes the sandbox, the steps to show (by default all) and parameters. The kernels
    end with the test.
    """
    made: list[Desk] = []

    def make(sandbox: Any, *steps: str, **parameters: str) -> Desk:
        settings = settings_of(sandbox, tmp_path / f"settings-{len(made)}")
        made.append(Desk(jupyterlab, f"desk-{uuid4().hex[:8]}", settings, parameters))
        made[-1].write(steps)
        return made[-1]

    yield make
    for desk in made:
        desk.leave()
