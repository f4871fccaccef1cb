"""
A walkthrough in a JupyterLab that was started without `runbook lab`: nothing names the tenant.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from facebook_cyclr_sandbox.server import Sandbox
from runbook_lib.config.workspace import WORKING_COPIES
from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from runbook_lib.engine.notebooks import build_notebook
from runbook_lib.walkthrough.widgets import PANEL_MIME
from tests.browser.conftest import own_windows
from tests.browser.jupyter import (
    KERNEL_IS_IDLE,
    TOKEN,
    Lab,
    Walk,
    keep_picture,
    serious_violations,
)
from tests.runs.conftest import settings_of
from tests.support.wording import wording

STEPS = ("fb-01-log-in", "fb-03-my-apps")
_PATIENCE = 120_000


class PlainLab(Lab):
    """JupyterLab as its own command starts it."""

    @property
    def program(self) -> list[str]:
        """Return JupyterLab's own command."""
        return [sys.executable, "-m", "jupyterlab"]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, keys_home: Path) -> Iterator[Lab]:
    """Yield one JupyterLab, whose settings lack the Service Domain."""
    folder = tmp_path_factory.mktemp("plain")
    (folder / "project").mkdir()
    with Sandbox("fresh") as sandbox:
        settings = settings_of(sandbox, folder / "settings")
        variables = {"XDG_DATA_HOME": str(keys_home), "RUNBOOK_ENV_FILE": str(settings)}
        lab = PlainLab(folder / "project", settings, variables=variables, token=TOKEN)
        lab.leave_out("RUNBOOK_CYCLR_SERVICE_DOMAIN")
        build_notebook(PROCEDURE, lab.project / WORKING_COPIES)
        lab.show_only(*STEPS)
        with lab:
            yield lab


@pytest.fixture
def walk(browser: Browser, lab: Lab) -> Iterator[Walk]:
    """Yield a person in front of the open notebook; no kernel outlives the test."""
    with own_windows(browser) as context:
        walk = Walk(context.new_page(), lab)
        walk.load()
        yield walk
    lab.end_kernels("")


def run_all(walk: Walk) -> None:
    """Run all cells, and wait for the question."""
    walk.page.get_by_text(KERNEL_IS_IDLE).wait_for(timeout=_PATIENCE)
    walk.menu("Run", "Run All Cells")
    walk.page.locator("#runbook-tenant").wait_for(timeout=_PATIENCE)


def test_the_question_is_a_form_in_the_header(walk: Walk, lab: Lab, axe: str) -> None:
    """The form asks again about a new tenant; then every cell has its panel, also when saved."""
    page = walk.page
    run_all(walk)
    field = page.get_by_label(wording("lab.name-field"))
    expect(field).to_be_focused()
    expect(field).to_be_in_viewport()
    expect(page.locator(".jp-Stdin-input")).to_have_count(0)
    expect(page.get_by_text(wording("notebook.answer-first"))).to_have_count(len(STEPS) + 1)
    keep_picture(page, "tenant-question")
    assert serious_violations(page, axe) == []

    page.keyboard.type("Acme Corp")
    page.keyboard.press("Enter")
    alert = page.locator("#runbook-tenant").get_by_role("alert").filter(visible=True)
    expect(alert).to_contain_text(wording("setting-invalid.not-a-tenant-name"))
    field.fill("https://acme-h.cyclr.com/")
    page.get_by_role("button", name="Open the walkthrough").click()
    expect(alert).to_contain_text(wording("tenant-unknown.no-record-yet", name="acme-h.cyclr.com"))
    keep_picture(page, "tenant-question-new")
    assert serious_violations(page, axe) == []
    assert not lab.evidence.exists()
    page.get_by_role("button", name="Begin it as a new tenant").click()

    walk.ready()
    keep_picture(page, "tenant-question-answered")
    expect(page.locator(".rb-header")).to_contain_text("tenant acme-h.cyclr.com")
    expect(page.locator(".rb-header")).to_have_count(1)
    expect(page.locator("#runbook-tenant")).to_have_count(0)
    expect(page.get_by_text(wording("notebook.answer-first"))).to_have_count(0)
    for step in STEPS:
        expect(page.locator(f"#runbook-{step}")).to_have_count(1)
    assert walk.attest(STEPS[0]) == "attested"
    walk.save()
    document = json.loads(lab.notebook.read_text(encoding="utf-8"))
    *cells, table = document["cells"]
    assert table["id"] == "steps"
    outputs = [output["data"] for cell in cells for output in cell.get("outputs", ())]
    panels = [data[PANEL_MIME] for data in outputs]
    assert [panel["part"] for panel in panels] == ["header", *STEPS, "finish"]
    assert {panel["tenant"] for panel in panels} == {"acme-h.cyclr.com"}
