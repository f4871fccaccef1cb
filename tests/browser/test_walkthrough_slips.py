"""The walkthrough with wrong input, by keyboard, and with a lost kernel: no input is lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page, expect

from runbook_lib.config.settings import read_env_file
from runbook_lib.config.workspace import journal_path
from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from runbook_lib.core.attachments import LARGEST
from runbook_lib.core.events import EventType
from runbook_lib.core.journal import Journal
from runbook_lib.engine.run import Mode, open_run
from tests.browser.jupyter import OPERATOR, TENANT, Desks, Walk
from tests.support.words import attested

_PNG = b"\x89PNG\r\n\x1a\n"
_APP_STEP = "fb-13-app-id-and-secret"


def _picture(folder: Path, name: str, size: int) -> str:
    """Write a file of this size that begins like an image, and return its path."""
    path = folder / name
    path.write_bytes(_PNG + b"x" * (size - len(_PNG)))
    return str(path)


def _form(panel: Locator, button: str, name: str) -> Locator:
    """Open a form of a panel by its button, and return it."""
    panel.locator(f'button[data-action="{button}"]').click()
    return panel.get_by_role("group", name=name)


def test_input_is_kept_until_it_is_accepted(
    desks: Desks, sandbox: Any, page: Page, tmp_path: Path
) -> None:
    """
    A refused field, file or reason stays with its problem, while valid input is accepted.

    The value typed last is stored, and the form is empty after it is recorded.
    """

    lab = desks(sandbox, _APP_STEP, "fb-01-log-in", "fb-02-developer-account")
    lab.leave_out("RUNBOOK_FACEBOOK_APP_SECRET")
    walk = Walk(page, lab)
    walk.open()
    panel = walk.panel(_APP_STEP)
    app_id, secret = (panel.locator(f'input[data-name="{n}"]') for n in ("app_id", "app_secret"))
    walk.fill(_APP_STEP, app_id="29445", app_secret="0a1b2c3d4e5f6071" * 2)
    with walk.work(_APP_STEP):
        panel.locator('button[data-action="check"]').press("Enter")
    walk.reads(_APP_STEP, "App ID: an App ID is a number of 15 or 16 digits")
    expect(panel.locator('button[data-action="check"]')).to_be_focused()
    expect(app_id).to_have_value("29445")
    expect(app_id).to_have_attribute("aria-invalid", "true")
    expect(secret).to_have_value("")
    walk.reads(_APP_STEP, "Known (this session)")
    walk.fill(_APP_STEP, app_id="", app_secret="f0e1d2c3b4a59687" * 2)
    with walk.work(_APP_STEP):
        panel.get_by_role("button", name=".env: App Secret").click()
    walk.reads(_APP_STEP, "App Secret saved to .env.")
    assert read_env_file(lab.env_file)["RUNBOOK_FACEBOOK_APP_SECRET"] == "f0e1d2c3b4a59687" * 2

    panel = walk.panel("fb-01-log-in")
    form = _form(panel, "attest", "I have done this")
    form.get_by_label("Your name").fill(OPERATOR)
    form.get_by_label("Note").fill("With a large screen.")
    files = form.get_by_label("Screenshot")
    files.set_input_files(_picture(tmp_path, "large.png", LARGEST + 1))
    expect(form.get_by_text("Not attached: large.png (9.0 MiB)")).to_be_visible()
    files.set_input_files(_picture(tmp_path, "page.gif", 64))
    with walk.work("fb-01-log-in"):
        form.get_by_role("button", name="Confirm").click()
    walk.reads("fb-01-log-in", "page.gif is neither a picture nor a PDF")
    expect(form.get_by_label("Note")).to_have_value("With a large screen.")
    form.get_by_role("button", name="Remove").click()
    files.set_input_files(_picture(tmp_path, "most.png", LARGEST))
    files.set_input_files(_picture(tmp_path, "more.png", 64))
    expect(form.get_by_text("Attached: most.png")).to_be_visible()
    expect(form.get_by_text("Not attached: more.png")).to_be_visible()
    with walk.work("fb-01-log-in"):
        form.get_by_label("Note").press("Enter")
    walk.reads("fb-01-log-in", "Recorded.")
    expect(form).to_be_hidden()
    expect(panel).to_be_focused()
    form = _form(panel, "attest", "I have done this")
    expect(form.get_by_label("Note")).to_have_value("")
    expect(form.get_by_text("Attached")).to_have_count(0)
    journal = Journal(journal_path(lab.evidence, TENANT, PROCEDURE.id))
    (said,) = (entry for entry in journal.entries() if entry.type == EventType.STEP_ATTESTED)
    assert [(each["name"], each["size"]) for each in said.data["attachments"]] == [
        ("most.png", LARGEST)
    ]
    form.get_by_label("Note").press("Escape")
    expect(form).to_be_hidden()
    expect(panel.locator('button[data-action="attest"]')).to_be_focused()

    panel = walk.panel("fb-02-developer-account")
    form = _form(panel, "skip", "Skip")
    form.get_by_label("Your name").fill(OPERATOR)
    form.get_by_role("button", name="Confirm").click()
    walk.reads("fb-02-developer-account", "Give a reason:")
    expect(form.get_by_label("Reason")).to_have_attribute("aria-invalid", "true")
    expect(form.get_by_label("Reason")).to_be_focused()
    expect(form).to_be_visible()


def test_an_outside_change_and_a_lost_kernel_are_announced(
    desks: Desks, sandbox: Any, page: Page, tmp_path: Path
) -> None:
    """
    A screen reader announces both, and the focus stays.

    Before cells run, a link and a saved notebook say to press Start first.
    """

    lab = desks(sandbox)
    walk = Walk(page, lab)
    walk.open()
    link = page.locator(".rb-header a[data-next]")
    link.focus()
    run = open_run(
        *(PROCEDURE, {}),
        mode=Mode.INTERACTIVE,
        tenant=TENANT,
        evidence=str(lab.evidence),
        env_file=str(lab.env_file),
    )
    run.say([attested("fb-01-log-in", by="A colleague")])
    live = walk.panel("fb-01-log-in").locator("[role=status]")
    expect(live.locator(".rb-message")).to_have_text("Now attested.", timeout=20_000)
    expect(live).to_contain_text("attested: A colleague on")  # heard, and shown above
    expect(link).to_have_attribute("data-next", "fb-02-developer-account")
    expect(link).to_be_focused()

    end = page.locator("#runbook-finish")
    page.evaluate("document.getElementById('runbook-fb-03-my-apps').remove()")
    end.get_by_role("link", name="Open My Apps").click()
    expect(end.get_by_text("Press Start at the top of the notebook first.")).to_be_visible()
    expect(page.get_by_role("heading", name="Open My Apps")).to_be_in_viewport()

    panel = walk.panel(_APP_STEP)
    walk.fill(_APP_STEP, app_id="123456789012345")
    walk.save()
    walk.menu("Kernel", "Restart Kernel…")
    page.locator(".jp-Dialog .jp-mod-accept").click()
    told = "The kernel was restarted: press Start at the top of the notebook."
    expect(page.locator(".rb-header [aria-live]")).to_contain_text(told)
    expect(panel.get_by_text(told)).to_be_visible()
    panel.locator('button[data-action="check"]').click()
    expect(panel.locator("[role=status]")).to_have_text(told)
    expect(panel).to_have_attribute("aria-busy", "false")
    expect(panel.locator('input[data-name="app_id"]')).to_have_value("123456789012345")

    assert lab.is_as_built(tmp_path), "running and saving changed the notebook's sources"
    saved = json.loads(lab.notebook.read_text("utf-8"))
    texts = [
        output["data"]["text/plain"]
        for cell in saved["cells"]
        for output in cell.get("outputs", ())
    ]
    assert len(texts) == len(PROCEDURE.steps) + 2
    assert all("at the top of the notebook to go on" in "".join(text) for text in texts)

    walk.menu("Run", "Run All Cells")
    expect(page.locator(".rb-header [aria-live]")).to_contain_text("Next:", timeout=20_000)
    expect(page.locator(".rb").get_by_text(told).filter(visible=True)).to_have_count(0)
