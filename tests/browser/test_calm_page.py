"""
How much the page asks at once, in a real window: words and buttons that a person sees, by state.

`SCREENSHOTS=folder` saves each state at 400, 800, 1280 and 1920 pixels, light and dark.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from facebook_cyclr_sandbox.server import Sandbox
from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from runbook_lib.core.clock import timestamp
from runbook_lib.core.model import Mode
from runbook_lib.engine.tenant_run import Run, open_run
from runbook_lib.evidence.reports.phrases import day
from tests.browser.conftest import new_lab, real_window, real_windows
from tests.browser.jupyter import (
    COUNTS,
    IS_BELOW_HEADER,
    NOTEBOOK,
    TENANT,
    TOKEN,
    Lab,
    keep_picture,
    show_all_steps,
)
from tests.support.attestations import attested, submitted
from tests.support.wording import wording

_PATIENCE_MILLISECONDS = 120_000
# The sandbox's Service Domain is a custom one, of which the page warns.
_END = wording("walkthrough.connect-with-warnings", warnings="one warning")
_CREATED = "fb-05-confirm-creation"
_FIRST = "fb-01-log-in"
_GATE = "fb-05b-access-verification"
_BEGIN = "Connect your Facebook app to Cyclr"
_CARDS_IN_VIEW = """() => [...document.querySelectorAll(".rb-panel")].filter((panel) => {
  const { top, bottom, height } = panel.getBoundingClientRect();
  const isShown = panel.checkVisibility({ visibilityProperty: true });
  return isShown && height > 0 && bottom > 0 && top < innerHeight;
}).map((panel) => panel.getAttribute("aria-label"))"""
# The card below the header, which a picture of another width shows there too.
_FIRST_SHOWN = """() => {
  const { bottom } = document.querySelector(".rb-header").getBoundingClientRect();
  const panels = [...document.querySelectorAll(".rb-panel")];
  const isBelow = (panel) => panel.getBoundingClientRect().bottom > bottom + 40;
  return panels.find(isBelow) ?? panels[0];
}"""


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Any]:
    """Yield a sandbox in which everything is approved."""
    with Sandbox("approved") as running:
        yield running


@pytest.fixture(scope="module")
def app(sandbox: Any, tmp_path_factory: pytest.TempPathFactory, keys_home: Path) -> Iterator[Lab]:
    """Yield one `runbook lab --app`; the tests go on from each other."""
    lab = new_lab(tmp_path_factory.mktemp("calm"), sandbox, keys_home, "--app")
    lab.leave_out("RUNBOOK_FACEBOOK_APP_SECRET")
    with lab:
        yield lab


@pytest.fixture(scope="module")
def window(browser: Browser) -> Iterator[BrowserContext]:
    """Yield a real window of 1280×900 in another Chromium."""
    with real_windows(browser) as chromium:
        yield real_window(chromium)


@pytest.fixture
def page(app: Lab, window: BrowserContext) -> Iterator[Page]:
    """Yield the app's page, newly opened, as for somebody who comes back."""
    opened = window.new_page()
    opened.goto(f"{app.url}/voila/render/{NOTEBOOK}?token={TOKEN}")
    opened.locator("#runbook-finish").wait_for(state="attached")
    yield opened
    opened.close()


def _run(app: Lab) -> Run:
    return open_run(
        PROCEDURE,
        {},
        mode=Mode.INTERACTIVE,
        tenant=TENANT,
        evidence=str(app.evidence),
        env_file=str(app.env_file),
    )


def _counts(page: Page, name: str) -> dict[str, Any]:
    """Return what is seen in the real window; save the state at other sizes if that is asked."""
    page.wait_for_function("!document.querySelector('.rb-panel[aria-busy=\"true\"]')")
    counts: dict[str, Any] = page.evaluate(COUNTS)
    print(name, counts)  # noqa: T201  (pytest shows it)
    if os.environ.get("SCREENSHOTS"):
        size = page.evaluate("[outerWidth, outerHeight]")
        shown = page.evaluate_handle(_FIRST_SHOWN)
        for width in (400, 800, 1280, 1920):
            for scheme in ("light", "dark"):
                page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
                page.set_viewport_size({"width": width, "height": 900})
                shown.evaluate("cell => cell.scrollIntoView()")
                keep_picture(page, f"page-{name}-{scheme}-{width}")
        page.set_viewport_size({"width": size[0], "height": size[1]})
    return counts


def _violations(page: Page, axe: str) -> list[str]:
    """Return what axe-core finds in the whole page, light and dark."""
    page.evaluate(axe)
    violations: list[str] = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        violations += page.evaluate(
            "async () => (await axe.run()).violations.map("
            "({ id, nodes }) => `${id} ${nodes.map(({ html }) => html)}`)"
        )
    return violations


def _show(page: Page, step: str) -> None:
    page.locator(f"#runbook-{step}").evaluate("node => node.scrollIntoView()")


def _is_one_calm_card(counts: dict[str, Any], step: str = "") -> None:
    """One step is open, with at most 90 words; the page has at most 900 words and 60 controls."""
    assert set(counts["open"]) == ({step} if step else set())
    assert max(counts["open"].values(), default=0) <= 90
    assert counts["words"] <= 900
    assert counts["controls"] <= 60


def test_the_first_window_shows_one_card(page: Page, axe: str) -> None:
    """
    At most 90 words and 10 controls at first: time, price and Begin; ticks behind it are kept.

    Once a person has it all, the first step stands there, also after a reload.
    """
    begin = page.get_by_role("heading", name=_BEGIN)
    expect(begin).to_be_in_viewport()
    page.wait_for_function(IS_BELOW_HEADER, arg=begin.element_handle())
    counts = _counts(page, "first")
    assert counts["first_words"] <= 90
    assert counts["first_controls"] <= 10
    assert page.evaluate(_CARDS_IN_VIEW) == [_BEGIN]
    _is_one_calm_card(counts, _FIRST)
    assert _violations(page, axe) == []
    icon = page.get_by_label("an app icon, 512 to 1024 pixels").first
    page.get_by_text("Who does what").click()
    expect(page.get_by_role("button", name="Copy as a message")).to_have_count(7)
    icon.check()
    page.reload()
    page.locator("#runbook-finish").wait_for(state="attached")
    page.get_by_text("Who does what").click()
    expect(icon).to_be_checked()
    page.get_by_role("button", name="Begin", exact=True).click()
    expect(begin).to_be_hidden()
    expect(page.get_by_role("heading", name="Log in to Facebook")).to_be_in_viewport()
    _is_one_calm_card(_counts(page, "step-one"), _FIRST)
    assert _violations(page, axe) == []


def test_whoever_comes_back_stands_at_the_step(page: Page) -> None:
    """The list of things to have ready is shown once more only by its button behind Progress."""
    begin = page.get_by_role("heading", name=_BEGIN)
    expect(page.get_by_role("heading", name="Log in to Facebook")).to_be_in_viewport()
    expect(begin).to_be_hidden()
    page.get_by_role("button", name="Progress").click()
    page.locator('[data-action="begin"]').click()
    expect(begin).to_be_in_viewport()
    page.get_by_role("button", name="Continue").click()
    expect(begin).to_be_hidden()
    expect(page.get_by_role("heading", name="Log in to Facebook")).to_be_in_viewport()


def test_one_card_is_open(page: Page) -> None:
    """Whoever opens another step closes the one before; Continue leads back to what is next."""
    go_on = page.get_by_role("button", name="Continue")
    expect(go_on).to_be_hidden()
    created = page.locator(f"#runbook-{_CREATED}")
    expect(created).to_be_hidden()
    show_all_steps(page)
    created.locator(".rb-fold").click()
    expect(page.locator('.rb-panel[data-step][data-open="true"]')).to_have_count(1)
    expect(created).to_have_attribute("data-open", "true")
    go_on.click()
    expect(page.locator(f"#runbook-{_FIRST}")).to_have_attribute("data-open", "true")
    expect(page.locator(f"#runbook-{_CREATED}")).to_have_attribute("data-open", "false")
    expect(go_on).to_be_hidden()


def test_a_step_in_the_middle_is_as_calm(app: Lab, page: Page, axe: str) -> None:
    """Each finished step is a line, and so is each step ahead."""
    run = _run(app)
    done = [step.id for step in PROCEDURE.steps[:5]]
    run.say([attested(step) for step in done])
    run.close()
    expect(page.locator("#runbook-finish")).to_contain_text(f"{len(done)} of ")
    expect(page.locator('.rb-panel[data-step][data-open="true"]')).to_have_count(1)
    expect(page.locator(f"#runbook-{_CREATED}")).to_have_attribute("data-open", "true")
    _show(page, _CREATED)
    _is_one_calm_card(_counts(page, "middle"), _CREATED)
    assert _violations(page, axe) == []


def test_a_field_says_what_is_wrong_with_its_value(page: Page, axe: str) -> None:
    """While a value is typed that cannot be right, its field says why; the page stays as calm."""
    panel = page.locator(f"#runbook-{_CREATED}")
    field = panel.locator('[data-name="app_id"]')
    before = field.input_value()
    field.fill("29445")
    expect(panel.locator(".rb-problem:visible")).to_contain_text("15 or 16 digits")
    _show(page, _CREATED)
    counts = _counts(page, "field-error")
    assert (set(counts["open"]), counts["controls"] <= 60) == ({_CREATED}, True)
    assert _violations(page, axe) == []
    field.fill(before)
    expect(panel.locator(".rb-problem:visible")).to_have_count(0)


def test_a_failed_check_says_what_to_do(app: Lab, page: Page, axe: str) -> None:
    """
    A wrong App Secret is refused; the step stays next and open, with what to compare.

    What was found and what to do is one paragraph in the region that tells it; it outlives a
    reload, when nobody is told anything.
    """
    panel = page.locator(f"#runbook-{_CREATED}")
    secret = panel.locator('[data-name="app_secret"]')
    secret.fill("0a1b2c3d4e5f6071" * 2)
    secret.press("Enter")  # who leaves the field has it checked, too: a button may be gone by then
    expect(panel).to_have_attribute("data-outcome", "failed")
    told = panel.locator('[role="status"] .rb-says p')
    expect(told).to_contain_text(wording("findings.compare-with-basic"))
    expect(panel.locator(".rb-says")).to_have_count(1)
    assert panel.locator('[role="status"]').count() == 1
    expect(page.locator(".rb-header")).to_contain_text("Next: 5 · ")
    page.reload()
    expect(panel).to_have_attribute("data-open", "true")
    expect(panel.locator(".rb-reason .rb-says p")).to_contain_text(
        wording("findings.compare-with-basic")
    )
    expect(panel.locator('[role="status"]')).to_be_empty()
    _show(page, _CREATED)
    _counts(page, "failed")
    assert _violations(page, axe) == []


def test_gates_wait_in_one_table(app: Lab, sandbox: Any, page: Page, axe: str) -> None:
    """Whoever comes back sees what waits since when; nothing of it asks for anything."""
    panel = page.locator(f"#runbook-{_CREATED}")
    secret = panel.locator('[data-name="app_secret"]')
    secret.fill(sandbox.description["app_secret"])
    secret.press("Enter")
    # The card has the same button for the moment before it folds.
    expect(panel).to_have_attribute("data-open", "false")
    panel.get_by_role("button", name=".env: App Secret").click()
    expect(panel).to_have_attribute("data-open", "false")
    run = _run(app)
    since = timestamp(run.clock() - timedelta(days=1))
    run.say([submitted(step, at=since) for step in (_GATE, "fb-11b-data-access-renewal")])
    run.close()
    gate = page.locator(f"#runbook-{_GATE}")
    expect(gate).to_have_attribute("data-outcome", "waiting")
    expect(page.locator('.rb-panel[data-step][data-open="true"]')).to_have_count(1)
    show_all_steps(page)
    gate.locator(".rb-fold").click()
    expect(gate).to_contain_text(
        wording("walkthrough.waits-for-since", whom="Facebook", day=day(since))
    )
    _show(page, _GATE)
    _is_one_calm_card(_counts(page, "waiting"), _GATE)
    assert _violations(page, axe) == []
    page.get_by_role("button", name="Progress").click()
    page.locator(".rb-gates > summary").click()
    expect(page.locator(".rb-gates")).to_contain_text(day(since))
    _counts(page, "gates")
    assert _violations(page, axe) == []


def test_the_header_stays_one_line(page: Page, axe: str) -> None:
    """
    The header is one line, or two in a narrow window; with a message it has at most a quarter.

    It never scrolls away, and never scrolls itself.
    """
    header = page.locator(".rb-header")
    for width, most in ((1280, 60), (800, 60), (400, 90), (320, 90)):
        page.set_viewport_size({"width": width, "height": 900})
        assert header.evaluate("header => header.offsetHeight") <= most, width
        page.locator("#runbook-finish").scroll_into_view_if_needed()
        assert header.evaluate("header => header.getBoundingClientRect().top") == 0, width
        assert header.evaluate("header => header.scrollWidth - header.clientWidth") <= 0, width
    page.get_by_role("button", name="Progress").click()
    page.locator('[data-action="check-all"]').click()
    link = header.locator(".rb-message a").first
    link.wait_for(timeout=_PATIENCE_MILLISECONDS)
    number = link.inner_text()
    for width in (400, 1280):
        page.set_viewport_size({"width": width, "height": 900})
        assert header.evaluate("header => header.offsetHeight / innerHeight") <= 0.25, width
        keep_picture(page, f"page-header-{width}")
    assert _violations(page, axe) == []
    link.click()
    expect(page.locator(".rb-panel:focus-within")).to_have_attribute("data-number", number)


@pytest.mark.costly("a whole run, and the browser and server of this file end with it")
def test_the_end_says_that_customers_can_connect(app: Lab, page: Page, axe: str) -> None:
    """When all is done and sealed, the page says so, after a reload too, and what to watch."""
    run = _run(app)
    run.say([attested(step.id, at=timestamp(run.clock())) for step in PROCEDURE.steps])
    run.close()
    page.reload()
    page.locator("#runbook-finish").wait_for(state="attached")
    page.get_by_role("button", name="Progress").click()
    page.locator('[data-action="check-all"]').click()
    end = page.locator("#runbook-finish")
    expect(end).to_contain_text(
        wording("walkthrough.all-done", steps=len(PROCEDURE.steps)), timeout=_PATIENCE_MILLISECONDS
    )
    end.locator('[data-action="seal"]').click()
    expect(end).to_contain_text(_END, timeout=_PATIENCE_MILLISECONDS)
    page.reload()
    end.wait_for(state="attached")
    expect(end).to_contain_text(_END)
    expect(end).to_contain_text(wording("walkthrough.watch-from-now"))
    end.scroll_into_view_if_needed()
    expect(page.locator(".runbook-steps").filter(visible=True)).to_have_count(0)
    _is_one_calm_card(_counts(page, "end"))
    assert _violations(page, axe) == []
