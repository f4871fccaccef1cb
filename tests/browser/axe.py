"""Run axe on a page."""

from __future__ import annotations

from playwright.sync_api import Page


def violations(page: Page, axe: str) -> list[str]:
    """Return the serious and critical violations that axe-core finds, with their elements."""
    if page.evaluate("typeof axe") == "undefined":
        page.evaluate(axe)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    assert found["passes"]
    return [
        f"{one['id']} ({one['impact']}): {node['html']}"
        for one in found["violations"]
        if one["impact"] in {"serious", "critical"}
        for node in one["nodes"]
    ]
