"""
The app in a real window: nothing is covered or cut, at any width, after a resize or a zoom.

An emulated viewport hid a page that was cut off, so these windows are Chromium's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, CDPSession, Page

from facebook_cyclr_sandbox.server import Sandbox
from tests.browser.conftest import new_lab, real_window, real_windows
from tests.browser.cut_texts import CUT
from tests.browser.jupyter import NOTEBOOK, TOKEN, Lab, keep_picture

WIDTHS = (1280, 1440, 1920, 2560)
HEIGHT = 900
_PATIENCE_MILLISECONDS = 120_000


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory, keys_home: Path) -> Iterator[Lab]:
    """Yield one `runbook lab --app`."""
    folder = tmp_path_factory.mktemp("window")
    with Sandbox("approved") as sandbox, new_lab(folder, sandbox, keys_home, "--app") as lab:
        yield lab


class Window:
    """A real window with the app in it; its size is the window's, not an emulated one's."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self._protocol: CDPSession = page.context.new_cdp_session(page)

    def resize(self, width: int, height: int = HEIGHT) -> None:
        """Give the window another size, as a person does with its corner."""
        window: Any = self._protocol.send("Browser.getWindowForTarget")
        bounds = {"width": width, "height": height}
        self._protocol.send(
            "Browser.setWindowBounds", {"windowId": window["windowId"], "bounds": bounds}
        )
        self.page.wait_for_function("width => window.outerWidth === width", arg=width)
        # The page's layout follows the resize event.
        self.page.evaluate("() => new Promise(done => setTimeout(done, 300))")

    def cut(self) -> list[str]:
        """Return what is covered, or outside of the window."""
        cut: list[str] = self.page.evaluate(CUT)
        return cut


@pytest.fixture(scope="module")
def window(app: Lab, browser: Browser) -> Iterator[Window]:
    """Yield the app in a real window of another Chromium, with every panel drawn."""
    with real_windows(browser, HEIGHT) as chromium:
        page = real_window(chromium).new_page()
        page.goto(f"{app.url}/voila/render/{NOTEBOOK}?token={TOKEN}")
        for selector in (".rb-panel[data-step] >> nth=0", "#runbook-finish"):
            page.locator(selector).wait_for(state="attached")
        yield Window(page)


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_covered_or_cut(width: int, window: Window) -> None:
    """Both ends of each control and line are on top, in a window that was resized to this."""
    window.resize(width)
    keep_picture(window.page, f"window-{width}")

    assert window.cut() == []


def test_a_zoom_step_cuts_nothing(window: Window) -> None:
    """At 125 % there is room for as many pixels of CSS as in a window that is smaller by that."""
    window.resize(1920)
    window.resize(int(1920 / 1.25))

    assert window.cut() == []
