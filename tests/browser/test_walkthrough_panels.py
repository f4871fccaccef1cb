"""A person's actions in one panel, and their results: typing, pasting, confirming, consent."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from playwright.sync_api import Browser, expect

from facebook_cyclr_sandbox.server import Sandbox
from facebook_cyclr_sandbox.state.facebook_state import AppMode
from runbook_lib.config.workspace import journal_path
from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from runbook_lib.run.journal import Journal
from tests.browser.conftest import opened
from tests.browser.jupyter import (
    OPERATOR,
    TENANT,
    TOKEN_STEP,
    Desk,
    Lab,
    Walk,
    keep_picture,
    serious_violations,
)
from tests.browser.practising_person import png
from tests.runs.conftest import settings_of
from tests.sandbox.graph_texts import CODE_EXPIRED, CODE_USED
from tests.support.wording import wording

READ_STEP = "test-05-marketing-data"
FIRST_STEP = "fb-01-log-in"
FIELDS = (
    (
        "fb-13-app-id-and-secret",
        "app_id",
        "29445",
        wording("setting-invalid.app-id-digits"),
        "123456789012345",
    ),
    (
        "fb-08-redirect-uri",
        "service_domain",
        "acme",
        wording("ValueError.part-of-a-domain-name"),
        "acme-h.cyclr.com",
    ),
)
STEPS = (FIRST_STEP, *(step for step, *_ in FIELDS), TOKEN_STEP, READ_STEP)
_COPY_PICTURE = """async (bytes) => navigator.clipboard.write([new ClipboardItem(
    {"image/png": new Blob([new Uint8Array(bytes)], {type: "image/png"})})])"""


@pytest.fixture(scope="module")
def walk(
    browser: Browser, jupyterlab: Lab, approved: Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Walk]:
    """Yield one open notebook, with which no token is known yet."""
    settings = settings_of(approved, tmp_path_factory.mktemp("panels") / "settings")
    desk = Desk(jupyterlab, "panels", settings, {})
    desk.leave_out("RUNBOOK_FACEBOOK_USER_ACCESS_TOKEN")
    with opened(browser, desk, *STEPS) as walk:
        walk.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        yield walk


def test_a_field_shows_a_problem_while_it_is_typed(walk: Walk) -> None:
    """While a value is typed, a message with an example is shown until the value is valid."""
    for step, name, typed, said, example in FIELDS:
        panel = walk.panel(step)
        field = panel.locator(f'input[data-name="{name}"]')
        problem = panel.locator(".rb-problem:visible")
        expect(problem).to_have_count(0)
        before = field.input_value()
        field.fill(typed)
        expect(problem).to_contain_text(said, ignore_case=True)
        expect(problem).to_contain_text(example)
        expect(field).to_have_attribute("aria-invalid", "true")
        field.fill(example)
        expect(problem).to_have_count(0)
        expect(field).to_have_attribute("aria-invalid", "false")
        field.fill(before)  # what is right is used once the field is left


def test_a_screenshot_is_pasted_from_the_clipboard(walk: Walk, tmp_path: Path) -> None:
    """
    Ctrl+V in the form attaches the image, which is stored beside the journal and named in it.

    The focus then is in the next step's panel, and a key is no shortcut of JupyterLab.
    """
    page = walk.page
    panel = walk.panel(FIRST_STEP)
    form = walk.form(FIRST_STEP, "attest")
    form.get_by_label("Your name").fill(OPERATOR)
    notes = walk.notes(FIRST_STEP, form)
    page.evaluate(_COPY_PICTURE, list(png(tmp_path / "screen.png", 64).read_bytes()))
    notes.get_by_label("Note").press("Control+V")
    expect(notes.get_by_text("Attached: image.png")).to_be_visible()
    notes.get_by_role("button", name="Remove").click()
    expect(notes.get_by_text("Attached")).to_have_count(0)
    notes.get_by_label("Note").press("Control+V")
    expect(notes.get_by_text("Attached: image.png")).to_be_visible()
    with walk.work(FIRST_STEP):
        form.get_by_role("button", name=f"{OPERATOR} confirms").click()
    expect(panel).to_have_attribute("data-open", "false")
    page.keyboard.type("dd")  # deletes the cell if it is a shortcut
    # It is open by now if the note was behind it.
    walk.panel(FIRST_STEP).locator(".rb-menu").evaluate("menu => { menu.open = true; }")
    panel.get_by_text("History").click()
    expect(panel).to_contain_text(
        f"{wording('walkthrough.confirmed-by', name=OPERATOR)} [image.png]"
    )

    journal = Journal(journal_path(walk.lab.evidence, TENANT, PROCEDURE.id))
    (said,) = (line for line in journal.read_all() if line.head.type == "step.attested")
    (attached,) = said.event.attachments
    (kept,) = (journal.path.parent / "attachments").iterdir()
    assert kept.name == f"{attached.sha256}.png"
    assert (attached.name, attached.media_type) == ("image.png", "image/png")
    assert hashlib.sha256(kept.read_bytes()).hexdigest() == attached.sha256


def test_an_expired_or_used_redirect_is_explained(walk: Walk, approved: Sandbox) -> None:
    """
    For an expired code, a used code and an old redirect, the panel says what is wrong and what to
    do.
    """
    given = approved.description
    late = walk.granted_address(walk.sign_in(given))
    approved.state.offset += 3_600
    walk.use_address(late)
    walk.reads(TOKEN_STEP, CODE_EXPIRED)
    walk.reads(TOKEN_STEP, wording("walkthrough.answer-works-once"))

    used = walk.granted_address(walk.sign_in(given))
    redeemed = httpx.post(
        f"{given['graph_url']}/v26.0/oauth/access_token",
        data={
            "client_id": given["app_id"],
            "client_secret": given["app_secret"],
            "redirect_uri": given["redirect_uri"],
            "code": parse_qs(urlsplit(used).query)["code"][0],
        },
    )
    assert redeemed.status_code == 200
    walk.use_address(used)
    walk.reads(TOKEN_STEP, CODE_USED)
    walk.reads(TOKEN_STEP, wording("walkthrough.answer-works-once"))

    walk.sign_in(given).close()
    walk.use_address(used)
    walk.reads(TOKEN_STEP, wording("state-mismatch.state-differs"))
    walk.reads(TOKEN_STEP, wording("walkthrough.open-consent-again"))
    expect(walk.panel(TOKEN_STEP)).to_have_attribute("data-outcome", "not_run")


@pytest.mark.costly("the browser of this file ends with it")
def test_consent_comes_back_by_itself(walk: Walk, approved: Sandbox, axe: str) -> None:
    """
    The redirect arrives on loopback: a refusal or a missing permission is explained, a grant used.

    The way that pastes the address comes first in the form, and says where the browser ends.
    The data that the token can read is then shown in accessible tables, without another action.
    """
    page = walk.page
    given = approved.description
    approved.state.facebook.apps[given["app_id"]].mode = AppMode.DEVELOPMENT
    step = walk.panel(TOKEN_STEP)

    form = walk.ask_consent()
    step.evaluate("panel => panel.scrollIntoView()")
    keep_picture(page, "walkthrough-consent")
    paste = form.locator("a[data-consent-paste]")
    here = form.locator("a[data-consent]")
    expect(form.get_by_role("link")).to_have_text(
        ["Open the consent page ↗", "Open the consent page this way ↗"]
    )
    expect(form.locator("code").filter(visible=True)).to_have_text(given["redirect_uri"])
    expect(paste).to_have_attribute("href", re.compile("connect.partner.test"))
    expect(here).to_have_attribute("href", re.compile("redirect_uri=http%3A%2F%2Flocalhost"))
    assert serious_violations(page, axe) == []

    dialog = walk.sign_in(given, "consent")
    with walk.work(TOKEN_STEP):
        dialog.get_by_role("button", name="Cancel").click()
    walk.reads(TOKEN_STEP, wording("consent-refused.cancelled"))
    dialog.close()

    dialog = walk.sign_in(given, "consent")
    with walk.work(TOKEN_STEP):
        dialog.get_by_role("checkbox", name="leads_retrieval").uncheck()
        dialog.get_by_role("button", name="Continue").click()
    expect(dialog.get_by_role("heading", name=wording("screens.back-to-runbook"))).to_be_visible()
    expect(step).to_have_attribute("data-outcome", "failed")
    walk.reads(
        TOKEN_STEP, wording("findings.token-lacks-permission-declined", names="leads_retrieval")
    )
    dialog.close()

    dialog = walk.sign_in(given, "consent")
    with walk.work(TOKEN_STEP):
        dialog.get_by_role("button", name="Continue").click()
    expect(step).to_have_attribute("data-outcome", "verified")
    read = walk.panel(READ_STEP)
    expect(read).to_have_attribute("data-outcome", "verified")
    walk.show_details(READ_STEP)
    walk.keep_picture(READ_STEP, "walkthrough-marketing-data")
    for name, headings, key in (
        ("Ad accounts", ["ID", "Name", "Status", "Currency", "Time zone"], "ad_account_id"),
        ("Pages", ["ID", "Name", "Category", "Tasks"], "page_id"),
        ("Lead forms of", ["ID", "Name", "Status", "Language"], "leadgen_form_id"),
    ):
        table = read.get_by_role("table", name=name)
        expect(table.get_by_role("columnheader")).to_have_text(headings, use_inner_text=True)
        expect(table.get_by_role("rowheader")).to_contain_text(given[key])
    for width in (1280, 800):
        page.set_viewport_size({"width": width, "height": 900})
        assert serious_violations(page, axe) == []
        assert read.evaluate("panel => panel.scrollWidth <= panel.clientWidth")
