"""The walkthrough with missing and wrong input, and by keyboard: no input is lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from facebook_cyclr_sandbox.server import Sandbox
from runbook_lib.config.workspace import journal_path
from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from runbook_lib.core.attachments import LARGEST
from runbook_lib.run.journal import Journal
from tests.browser.conftest import opened
from tests.browser.jupyter import OPERATOR, TENANT, Desk, Lab, Walk
from tests.runs.conftest import settings_of
from tests.support.wording import wording

_PNG = b"\x89PNG\r\n\x1a\n"
_PATIENCE = 120_000
_NAME_STEP = "fb-04-create-app"
_LIST_STEP = "fb-09-permissions-and-features"
_APP_STEP = "fb-13-app-id-and-secret"
STEPS = (
    "fb-01-log-in",
    "fb-02-developer-account",
    _NAME_STEP,
    "fb-05-confirm-creation",
    "fb-08-redirect-uri",
    _LIST_STEP,
    "fb-11-permissions",
    _APP_STEP,
)


def _picture(folder: Path, name: str, size: int) -> str:
    """Write a file of this size that begins like an image, and return its path."""
    path = folder / name
    path.write_bytes(_PNG + b"x" * (size - len(_PNG)))
    return str(path)


@pytest.fixture(scope="module")
def walk(
    browser: Browser, jupyterlab: Lab, approved: Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Walk]:
    """Yield one open notebook, with which no App Secret is known yet."""
    settings = settings_of(approved, tmp_path_factory.mktemp("slips") / "settings")
    desk = Desk(jupyterlab, "slips", settings, {})
    desk.leave_out("RUNBOOK_FACEBOOK_APP_SECRET")
    with opened(browser, desk, *STEPS) as walk:
        yield walk


def test_checking_everything_says_what_changed_and_seals_nothing(
    walk: Walk, approved: Sandbox
) -> None:
    """
    *Check everything now* checks each step that only reads, with progress, and names the others.

    A step that lacked a value shows its field there, and is checked once the value is given.
    """
    page = walk.page
    other = "fb-08-redirect-uri"
    page.get_by_role("button", name="Progress").click()
    page.get_by_role("button", name="Check everything now").click()
    header = page.locator(".rb-header")
    expect(header).to_contain_text("Not checked: 4, 5, 5a, 9a, 10, 11", timeout=_PATIENCE)
    expect(header).to_contain_text(wording("walkthrough.not-given", label="App Secret"))
    expect(header).to_contain_text(wording("findings.one-sign-in-link"))

    assert walk.check(other) == "inconclusive"
    field = walk.panel(other).get_by_label("App Secret", exact=True)
    expect(field).to_be_visible()
    assert walk.check("fb-11-permissions") == "not_run"
    with walk.work(other):
        field.fill(approved.description["app_secret"])
        field.press("Enter")
    for checked in (other, "fb-11-permissions"):
        expect(walk.panel(checked)).to_have_attribute("data-outcome", "verified", timeout=_PATIENCE)
    expect(field).to_have_count(0)
    expect(page.locator("a[data-bundle]")).to_have_count(0)


def test_input_is_kept_until_it_is_accepted(walk: Walk, tmp_path: Path) -> None:
    """
    A refused field, file or reason stays with its problem, while valid input is accepted.

    The form is empty after it is recorded.
    """
    lab = walk.lab
    panel = walk.panel(_APP_STEP)
    app_id, secret = (panel.locator(f'input[data-name="{n}"]') for n in ("app_id", "app_secret"))
    walk.fill(_APP_STEP, app_id="29445", app_secret="0a1b2c3d4e5f6071" * 2)
    with walk.work(_APP_STEP):
        walk.action(_APP_STEP, "check").press("Enter")
    walk.reads(_APP_STEP, f"App ID: {wording('setting-invalid.app-id-digits')}")
    expect(panel.locator('button[data-action="check"]')).to_be_focused()
    expect(app_id).to_have_value("29445")
    expect(app_id).to_have_attribute("aria-invalid", "true")
    expect(secret).to_have_value("")
    walk.reads(_APP_STEP, wording("walkthrough.known-in", place="this session"))
    # Saving is offered for what is known to be right.
    expect(panel.get_by_role("button", name=".env: App Secret")).to_be_hidden()
    walk.fill(_APP_STEP, app_id="")

    panel = walk.panel("fb-01-log-in")
    form = walk.form("fb-01-log-in", "attest")
    form.get_by_label("Your name").fill(OPERATOR)
    notes = walk.notes("fb-01-log-in", form)
    notes.get_by_label("Note").fill("With a large screen.")
    files = notes.get_by_label("Screenshot")
    files.set_input_files(_picture(tmp_path, "large.png", LARGEST + 1))
    expect(
        form.get_by_text(wording("walkthrough.not-attached", names="large.png (9.0 MiB)"))
    ).to_be_visible()
    files.set_input_files(_picture(tmp_path, "page.gif", 64))
    with walk.work("fb-01-log-in"):
        form.get_by_role("button", name=f"{OPERATOR} confirms").click()
    walk.reads("fb-01-log-in", wording("setting-invalid.attachment-not-supported", name="page.gif"))
    expect(notes.get_by_label("Note")).to_have_value("With a large screen.")
    notes.get_by_role("button", name="Remove").click()
    files.set_input_files(_picture(tmp_path, "most.png", LARGEST))
    files.set_input_files(_picture(tmp_path, "more.png", 64))
    expect(notes.get_by_text("Attached: most.png")).to_be_visible()
    expect(form.get_by_text(wording("walkthrough.not-attached", names="more.png"))).to_be_visible()
    with walk.work("fb-01-log-in"):
        notes.get_by_label("Note").press("Enter")
    expect(panel).to_have_attribute("data-open", "false")
    form = walk.form("fb-01-log-in", "attest")
    expect(notes.get_by_label("Note")).to_have_value("")
    expect(notes.get_by_text("Attached")).to_have_count(0)
    journal = Journal(journal_path(lab.evidence, TENANT, PROCEDURE.id))
    (said,) = (line for line in journal.read_all() if line.head.type == "step.attested")
    assert [(each.name, each.size) for each in said.event.attachments] == [("most.png", LARGEST)]
    notes.get_by_label("Note").press("Escape")
    expect(form).to_be_hidden()
    expect(panel.locator('button[data-action="attest"]')).to_be_focused()

    panel = walk.panel("fb-02-developer-account")
    form = walk.form("fb-02-developer-account", "skip")
    form.get_by_role("button", name=f"{OPERATOR} skips this").click()
    walk.reads("fb-02-developer-account", wording("setting-invalid.give-a-reason"))
    expect(form.get_by_label("Reason")).to_have_attribute("aria-invalid", "true")
    expect(form.get_by_label("Reason")).to_be_focused()
    expect(form).to_be_visible()


def test_a_doubtful_value_is_used_only_by_who_is_sure(walk: Walk) -> None:
    """
    A value that was warned of waits for *Use it anyway*, and then its warning stays.

    `public_profile` is locked, and a permission brings those with it that it needs.
    """
    panel = walk.panel(_NAME_STEP)
    walk.fill(_NAME_STEP, app_display_name="Facebook Leads for Acme")
    walk.press(_NAME_STEP, "save")
    expect(panel).to_contain_text(wording("walkthrough.not-saved-yet", label="App Display Name"))
    anyway = panel.get_by_role("button", name=wording("walkthrough.use-it-anyway"))
    with walk.work(_NAME_STEP):
        anyway.click()
    expect(anyway).to_be_hidden()
    expect(panel).to_contain_text(
        f"Warning: App Display Name: {wording('findings.name-contains', word='facebook')}"
    )

    panel = walk.panel(_LIST_STEP)
    panel.locator('[data-fold="choices"]').evaluate("fold => { fold.open = true; }")
    walk.fill(_LIST_STEP, permissions="")
    public, leads, ads = (
        panel.locator(f'[data-choice="{name}"]')
        for name in ("public_profile", "leads_retrieval", "ads_read")
    )
    expect(public).to_be_checked()
    expect(public).to_be_hidden()
    expect(ads).not_to_be_checked()
    leads.check()
    expect(ads).to_be_checked()
    expect(ads).to_be_hidden()
    expect(panel.locator('[data-action="save"]')).to_be_visible()


@pytest.mark.costly("browser and JupyterLab of this file end with it")
def test_a_tab_that_is_closed_asks_before_typed_text_is_lost(walk: Walk) -> None:
    """
    JupyterLab's own *Close Tab* names what was typed. Who stays keeps it.

    Where nothing was typed, it asks nothing.
    """
    page = walk.page
    step = "fb-02-developer-account"
    asked = list[str]()
    reason = walk.form(step, "skip").get_by_label("Reason")
    reason.fill("There is one already.")
    page.on("dialog", lambda dialog: (asked.append(dialog.message), dialog.dismiss()))
    walk.menu("File", "Close Tab")
    expect(reason).to_have_value("There is one already.")
    assert asked == ["Not saved: 2 (Reason); 9 (Permissions).\nClose the tab and lose it?"]
    reason.fill("")
    with walk.work(_LIST_STEP):
        walk.press(_LIST_STEP, "save")
    walk.save()
    walk.menu("File", "Close Tab")
    expect(page.locator(f"#runbook-{step}")).to_have_count(0)
    assert len(asked) == 1
