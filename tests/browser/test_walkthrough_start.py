"""Beginning the walkthrough, and coming back to it days later."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Page, expect

from tests.browser.jupyter import OPERATOR, Serve, Walk, keep_picture, serious_violations

_LOADED = 60_000


def _open(page: Page, walk: Walk) -> None:
    page.goto(f"{walk.lab.url}/lab/tree/walkthrough/{walk.lab.notebook.name}?reset")
    expect(page.get_by_role("button", name="Start", exact=True)).to_be_visible(timeout=_LOADED)


def test_one_button_starts_and_brings_the_panels_back(
    serve: Serve, sandbox: Any, page: Page, axe: str
) -> None:
    """
    *Start* is all it takes: nothing asks for trust, and the page stands at the next open step.

    After the server was stopped, the saved page says what was last known, without an error;
    *Start* brings the panels back, and the page stands at the step that is next now.
    """

    lab = serve(sandbox)
    walk = Walk(page, lab)
    _open(page, walk)
    keep_picture(page, "start")
    walk.press_start()
    expect(page.locator(".jp-Dialog")).to_have_count(0)
    first = page.locator("#runbook-fb-01-log-in")
    expect(first).to_be_focused()
    expect(page.get_by_role("heading", name="Log in to Facebook")).to_be_in_viewport()

    page.locator(".rb-overview > summary").click()
    assert serious_violations(page, axe) == []
    page.locator(".rb-overview > summary").click()
    assert walk.attest("fb-01-log-in") == "attested"
    walk.save()
    lab.stop()
    lab.start()
    _open(page, walk)
    said = page.locator(".jp-OutputArea")
    expect(said.filter(has_text=f"attested {OPERATOR} on").first).to_be_visible()
    expect(said.filter(has_text="1 of 28 steps done").first).to_be_visible()
    expect(page.get_by_text("Error displaying widget")).to_have_count(0)
    expect(page.locator(".rb")).to_have_count(0)
    keep_picture(page, "come-back")

    walk.press_start()
    expect(page.locator("#runbook-fb-02-developer-account")).to_be_focused()
    expect(first).to_have_attribute("data-outcome", "attested")
