"""
The window of each step, before a check: at most 130 words and 14 controls at 1280 pixels.

`-s` prints the table; `SCREENSHOTS=folder` saves each window.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from facebook_cyclr_sandbox.server import Sandbox
from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from runbook_lib.core.model import Mode
from runbook_lib.engine.tenant_run import open_run
from tests.browser.conftest import new_lab, real_window, real_windows
from tests.browser.jupyter import COUNTS, NOTEBOOK, TENANT, TOKEN, Lab, keep_picture, show_all_steps
from tests.support.attestations import attested

_MOST_WORDS = 130
_MOST_CONTROLS = 14
_MOST_LOOKS = 40
# From the step's beginning, with the line of the step before, to the card at the top.
_POSITIONS = range(0, 80, 6)
_SCROLL = 'top => { document.querySelector("#rendered_cells").scrollTop = top; }'

# A window that comes to the front checks its step; the windows here are counted before a check.
_STAY_BEHIND = """addEventListener("focus", (event) => {
    if (event.target === window) event.stopImmediatePropagation();
}, { capture: true });"""


@pytest.fixture
def sandbox() -> Iterator[Any]:
    """Yield a sandbox in which everything is approved."""
    with Sandbox("approved") as running:
        yield running


@pytest.fixture
def app(sandbox: Any, tmp_path: Path, keys_home: Path) -> Iterator[Lab]:
    """Yield one `runbook lab --app` that knows no secret: nothing is checked by itself."""
    lab = new_lab(tmp_path, sandbox, keys_home, "--app")
    lab.leave_out(
        "RUNBOOK_FACEBOOK_APP_SECRET",
        "RUNBOOK_FACEBOOK_USER_ACCESS_TOKEN",
        "RUNBOOK_FACEBOOK_CUSTOMER_ACCESS_TOKEN",
        "RUNBOOK_CYCLR_CLIENT_SECRET",
    )
    with lab:
        yield lab


@pytest.fixture
def page(app: Lab, browser: Browser) -> Iterator[Page]:
    """Yield the app's page in a real window of 1280×900, at the first step."""
    with real_windows(browser) as chromium:
        opened = real_window(chromium).new_page()
        opened.add_init_script(_STAY_BEHIND)
        opened.goto(f"{app.url}/voila/render/{NOTEBOOK}?token={TOKEN}")
        opened.locator("#runbook-finish").wait_for(state="attached")
        opened.get_by_role("button", name="Begin", exact=True).click()
        yield opened


def _attest(app: Lab, step: str) -> None:
    """Confirm a step from elsewhere: the page goes on to the next one."""
    place = {"tenant": TENANT, "evidence": str(app.evidence), "env_file": str(app.env_file)}
    run = open_run(PROCEDURE, {}, mode=Mode.INTERACTIVE, **place)
    run.say([attested(step)])
    run.close()


def _count_in_view(page: Page) -> tuple[int, int]:
    """Return the most words and the most controls in view, wherever the page has been scrolled."""
    counts = []
    for top in _POSITIONS:
        page.evaluate(_SCROLL, top)
        counts.append(page.evaluate(COUNTS))
    words, controls = (
        [count[f"first_{name}"] for count in counts] for name in ("words", "controls")
    )
    return max(words), max(controls)


@pytest.mark.timeout(240)
def test_each_step_fits_into_its_window(app: Lab, page: Page) -> None:
    """Whoever comes to a step sees it, what is next, and the end's button; no other step."""
    link = page.locator(".rb-next a")
    too_large = {}
    for _ in PROCEDURE.steps:
        step = link.get_attribute("data-next") or ""
        panel = page.locator(f"#runbook-{step}")
        expect(panel).to_have_attribute("data-open", "true")
        panel.locator(".rb-heading").wait_for()
        page.wait_for_function("!document.querySelector('.rb-panel[aria-busy=\"true\"]')")
        # What a card draws last, such as its picture, moves what stands below it out of view.
        for _ in range(_MOST_LOOKS):
            words, controls = _count_in_view(page)
            is_within = words <= _MOST_WORDS and controls <= _MOST_CONTROLS
            if is_within:
                break
            page.wait_for_timeout(250)
        number, title = (panel.get_attribute(f"data-{name}") for name in ("number", "title"))
        print(f"{number:4} {words:4} {controls:3}  {title}")  # noqa: T201  (pytest shows it)
        keep_picture(page, f"step-{number}-1280")
        if not is_within:
            too_large[number] = (words, controls)
            print(page.locator(".rb-header").inner_text(), panel.inner_text())  # noqa: T201
        _attest(app, step)
        if step != PROCEDURE.steps[-1].id:
            page.wait_for_function(
                "step => document.querySelector('.rb-next a').dataset.next !== step", arg=step
            )
    assert too_large == {}


def test_typed_text_comes_back(page: Page) -> None:
    """After a reload a note is there again; what looks like a secret was not kept."""
    panel = page.locator(f"#runbook-{PROCEDURE.steps[0].id}")
    note = panel.locator('[data-name="note"]:visible')
    seen = panel.locator('[data-name="seen"]:visible')
    panel.get_by_role("button", name="I have done this").click()
    panel.get_by_text("More", exact=True).click()
    note.fill("Ask the web team")
    seen.fill("0a1b2c3d4e5f6071" * 2)
    page.on("dialog", lambda dialog: dialog.accept())
    page.reload()
    page.locator("#runbook-finish").wait_for(state="attached")
    expect(note).to_have_value("Ask the web team")
    expect(seen).to_have_value("")
    assert "0a1b2c3d" not in str(page.evaluate("Object.values(sessionStorage)"))


def test_a_pasted_address_is_compared(page: Page) -> None:
    """A pasted address is compared with the one to enter; nothing of it is evidence."""
    show_all_steps(page)
    panel = page.locator("#runbook-fb-08-redirect-uri")
    panel.locator(".rb-fold").click()
    address = panel.locator("code").filter(has_text="/connector/callback").inner_text()
    field = panel.get_by_role("textbox", name="Paste what Facebook shows, to compare")
    field.fill(address.replace("https:", "http:"))
    expect(panel.locator(".rb-compare")).to_contain_text("character 5 is “:”, and must be “s”")
    field.fill(address)
    expect(panel.locator(".rb-compare")).to_contain_text("The same, every character")
    expect(panel).to_have_attribute("data-outcome", "not_run")
