"""
The page for everybody: zoomed to 200 %, 320 pixels wide, in forced colours, by keyboard alone.

The tests go on from each other: the first ones open cards and type, and change nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from facebook_cyclr_sandbox.server import Sandbox
from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from tests.browser.conftest import new_lab, own_windows
from tests.browser.cut_texts import CUT
from tests.browser.jupyter import NOTEBOOK, TOKEN, keep_picture, show_all_steps

_CREATED = "fb-05-confirm-creation"
# Cards with fields and a picture, with a long list to choose from, with texts to copy.
_OPENED = (_CREATED, "fb-08-redirect-uri", "fb-11-permissions", "fb-12-submit-review")
# A window of 1280×900 pixels has so many of CSS at 200 %; 320 is the narrowest phone.
_SIZES = {"zoom-200": (640, 450), "320": (320, 640)}


@pytest.fixture(scope="module")
def page(browser: Browser, tmp_path_factory: pytest.TempPathFactory, keys_home: Path) -> Any:
    """Yield the app's page, begun, in a window of 1280×900."""
    folder = tmp_path_factory.mktemp("everybody")
    with Sandbox("approved") as sandbox, new_lab(folder, sandbox, keys_home, "--app") as app:
        app.leave_out("RUNBOOK_FACEBOOK_APP_SECRET")
        with own_windows(browser) as context:
            page = context.new_page()
            page.goto(f"{app.url}/voila/render/{NOTEBOOK}?token={TOKEN}")
            page.locator("#runbook-finish").wait_for(state="attached")
            page.get_by_role("button", name="Begin", exact=True).click()
            yield page


@pytest.fixture(autouse=True)
def as_before(page: Page) -> Iterator[None]:
    """Give the window its size and its colours back."""
    yield
    page.emulate_media(forced_colors="none", color_scheme="light")
    page.set_viewport_size({"width": 1280, "height": 900})


def _card(page: Page, step: str) -> Locator:
    return page.locator(f"#runbook-{step}")


def _open(page: Page, step: str) -> Locator:
    """Open a step by its line, and return its card once it is drawn."""
    card = _card(page, step)
    if card.get_attribute("data-open") != "true":
        show_all_steps(page)
        card.locator(".rb-fold").click()
    expect(card.locator(".rb-heading")).to_be_visible()
    return card


def _violations(page: Page, axe: str) -> list[str]:
    page.evaluate(axe)
    found: list[str] = page.evaluate(
        "async () => (await axe.run()).violations.map("
        "({ id, nodes }) => `${id} ${nodes.map(({ html }) => html)}`)"
    )
    return found


@pytest.mark.parametrize("name", _SIZES)
@pytest.mark.parametrize("step", _OPENED)
def test_a_zoomed_or_narrow_page_cuts_nothing(name: str, step: str, page: Page) -> None:
    """With any card open nothing scrolls sideways, and both ends of each text are on top."""
    width, height = _SIZES[name]
    page.set_viewport_size({"width": width, "height": height})
    card = _open(page, step)
    card.evaluate("card => card.scrollIntoView()")
    keep_picture(page, f"page-{name}-{step}")
    assert page.evaluate(CUT) == []
    for scroller in ("#rendered_cells", ".rb-header"):
        part = page.locator(scroller)
        assert part.evaluate("part => part.scrollWidth - part.clientWidth") <= 0


@pytest.mark.parametrize("name", _SIZES)
def test_the_progress_fits_a_zoomed_or_narrow_page(name: str, page: Page) -> None:
    """The content behind Progress, with its folds open, stays within the window."""
    width, height = _SIZES[name]
    page.set_viewport_size({"width": width, "height": height})
    page.get_by_role("button", name="Progress").click()
    panel = page.locator(".rb-list")
    panel.locator("details").evaluate_all("folds => folds.forEach(fold => { fold.open = true; })")
    box = panel.bounding_box()
    assert box
    assert (box["x"] >= 0, box["x"] + box["width"] <= width) == (True, True)
    assert (box["y"] >= 0, box["y"] + box["height"] <= height) == (True, True)
    keep_picture(page, f"page-progress-{name}")
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Progress")).to_be_focused()


def test_forced_colours_hide_nothing(page: Page, axe: str) -> None:
    """With the system's colours, button, fields, card, progress and focus keep a visible edge."""
    page.emulate_media(forced_colors="active")
    card = _open(page, _CREATED)
    for selector in (".rb-first", 'input[type="text"]', ""):
        part = card.locator(selector).filter(visible=True).first if selector else card
        width = part.evaluate("part => getComputedStyle(part).borderTopWidth")
        colour = part.evaluate("part => getComputedStyle(part).borderTopColor")
        ground = part.evaluate("part => getComputedStyle(part).backgroundColor")
        assert float(width.removesuffix("px")) >= 1, selector
        assert colour not in (ground, "rgba(0, 0, 0, 0)"), selector
    bar = page.locator(".rb-bar")
    done = bar.locator("span").evaluate("part => getComputedStyle(part).backgroundColor")
    assert done != bar.evaluate("part => getComputedStyle(part).backgroundColor")
    card.locator("input[data-name]").first.focus()
    outline = card.locator("input[data-name]").first.evaluate(
        "part => [getComputedStyle(part).outlineStyle, getComputedStyle(part).outlineWidth]"
    )
    assert outline == ["solid", "3px"]
    keep_picture(page, "page-forced-colours")
    assert _violations(page, axe) == []


def test_the_page_is_walked_by_keyboard(page: Page) -> None:
    """Alt+↓ and Alt+↑ open the step below or above, and the focus is in its first field."""
    ids = [step.id for step in PROCEDURE.steps]
    before = ids[ids.index(_CREATED) - 1]
    after = ids[ids.index(_CREATED) + 1]
    _open(page, before).locator(".rb-fold").focus()
    page.keyboard.press("Alt+ArrowDown")
    card = _card(page, _CREATED)
    expect(card).to_have_attribute("data-open", "true")
    expect(_card(page, before)).to_have_attribute("data-open", "false")
    expect(card.locator('[data-name="app_secret"]')).to_be_focused()
    page.keyboard.press("Alt+ArrowDown")
    expect(_card(page, after)).to_have_attribute("data-open", "true")
    expect(page.locator(":focus-within").last).to_be_visible()
    page.keyboard.press("Alt+ArrowUp")
    expect(card).to_have_attribute("data-open", "true")
    expect(card.locator('[data-name="app_secret"]')).to_be_focused()
    assert page.evaluate(
        """() => {
          const { bottom } = document.querySelector(".rb-header").getBoundingClientRect();
          const { top } = document.activeElement.getBoundingClientRect();
          return top >= bottom;
        }"""
    )
