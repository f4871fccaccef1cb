"""The walkthrough with failures and slow systems, its credentials in storage, its accessibility."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from facebook_cyclr_sandbox.server import Sandbox
from facebook_cyclr_sandbox.state.fault_injection import Fault, FaultKind
from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from runbook_lib.core.model import Mode
from runbook_lib.engine.tenant_run import open_run
from tests.browser.conftest import opened
from tests.browser.explained_errors import EXPLAINED
from tests.browser.jupyter import (
    CUSTOMER_STEP,
    IS_BELOW_HEADER,
    TENANT,
    TEXTS_BESIDE_CARDS,
    TOKEN_STEP,
    Desk,
    Desks,
    Lab,
    Serve,
    Walk,
    serious_violations,
)
from tests.runs.conftest import settings_of
from tests.sandbox.graph_texts import UNAVAILABLE
from tests.support.attestations import attested
from tests.support.ports import free_ports
from tests.support.wording import wording

APP_STEP = "fb-13-app-id-and-secret"
# Those of the steps whose button *Check* is not there, or in a menu.
# A card is drawn once it is opened.
_WITHOUT_CHECK = """ids => ids.filter((id) => {
  const panel = document.getElementById(`runbook-${id}`);
  const isDrawn = panel.querySelector(".rb-menu");
  return isDrawn && !panel.querySelector(':scope > :not(.rb-menu) [data-action="check"]');
})"""


def _browser_storage(page: Page) -> str:
    """Return the browser's cookies, IndexedDB, local storage and session storage."""
    kept = page.context.storage_state(indexed_db=True)
    return json.dumps(kept) + str(page.evaluate("JSON.stringify({...sessionStorage})"))


def _texts(folder: Path) -> dict[Path, str]:
    """Return the text of every file below a folder."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path: path.read_text(encoding="utf-8", errors="replace") for path in files}


def test_trouble_of_a_remote_system_blocks_nothing(desks: Desks, page: Page) -> None:
    """
    After server errors the step is inconclusive, each attempt is shown, and a later check succeeds.

    A slow answer does not block other panels. An unreachable system makes the step inconclusive,
    which succeeds once the system is back. A failed step's panel says what is wrong and what to do
    next; `test_explanations` tests all scenarios without a browser.
    """
    port = free_ports(6)
    explained = EXPLAINED["cyclr-mismatch"]
    slow_step = "fb-05-confirm-creation"
    lost_step = "fb-13-app-id-and-secret"
    steps = (slow_step, "fb-10-public-profile", "fb-11-permissions")
    with Sandbox("flaky", port=port, seed=7) as flaky:
        desk = desks(flaky, "fb-01-log-in", *steps, lost_step, *explained.steps)
        walk = Walk(page, desk)
        walk.open()
        # A step that is opened is looked at by itself: once in 30 seconds.
        expect(walk.panel(slow_step)).not_to_have_attribute("data-finished", "0", timeout=120_000)
        expect(walk.panel(slow_step)).to_have_attribute("aria-busy", "false")
        # In addition to the scenario's own faults, the first three attempts to read fail.
        flaky.state.faults.active.insert(0, Fault(FaultKind.SERVER_ERROR, remaining=3))
        assert walk.check(slow_step) == "inconclusive"
        walk.reads(slow_step, UNAVAILABLE)
        walk.show_details(slow_step)
        walk.reads(slow_step, wording("findings.wait-and-check-again"))
        slow = walk.panel(slow_step)
        slow.get_by_text("More", exact=True).click()
        slow.get_by_text("Requests and responses").click()
        expect(slow.get_by_text("→ 400")).to_have_count(3)
        for step in steps:
            for _ in range(4):
                outcome = walk.check(step)
                if outcome == "verified":
                    break
                assert outcome == "inconclusive", step
            assert outcome == "verified", step

        flaky.state.faults.active[:] = [Fault(FaultKind.SLOW, seconds=5.0)]
        with walk.work(slow_step):
            walk.action(slow_step, "check").click()
            expect(slow).to_have_attribute("aria-busy", "true")
            assert walk.attest("fb-01-log-in") == "attested"
            # The other panel does not wait for the slow answer.
            expect(slow).to_have_attribute("aria-busy", "true")
        expect(slow).to_have_attribute("data-outcome", "verified")
        flaky.state.faults.active.clear()
    assert walk.check(lost_step) == "inconclusive"
    walk.reads(lost_step, wording("findings.host-unreachable"))
    with Sandbox("cyclr-mismatch", port=port, seed=7) as failing:
        settings_of(failing, desk.env_file.parent)
        walk.restart_kernel()
        expect(walk.panel("fb-01-log-in")).to_have_attribute("data-outcome", "attested")
        assert walk.check(lost_step) == "verified"
        for step in explained.steps:
            walk.check(step)
        walk.reads(explained.steps[-1], explained.wrong)
        walk.reads(explained.steps[-1], explained.following)


def test_jupyterlab_saves_no_secret(sandbox: Any, serve: Serve, page: Page, tmp_path: Path) -> None:
    """With widget state saved after every step, no file and no browser storage has a credential."""
    own = tmp_path / "own"
    manager = own / "settings" / "@jupyter-widgets" / "jupyterlab-manager"
    manager.mkdir(parents=True)
    (manager / "plugin.jupyterlab-settings").write_text('{"saveState": true}', encoding="utf-8")
    names = ("app_secret", "user_access_token", "page_access_token")
    secrets = {name: str(sandbox.description[name]) for name in names}
    (own / "temporary").mkdir()
    served = serve(
        sandbox,
        TMPDIR=str(own / "temporary"),  # where the server keeps its layout while it runs
        JUPYTERLAB_SETTINGS_DIR=str(own / "settings"),
        JUPYTER_DATA_DIR=str(own / "data"),
        JUPYTER_RUNTIME_DIR=str(own / "runtime"),
        IPYTHONDIR=str(own / "ipython"),
    )
    served.leave_out("RUNBOOK_FACEBOOK_APP_SECRET", "RUNBOOK_FACEBOOK_USER_ACCESS_TOKEN")
    served.show_only(APP_STEP, TOKEN_STEP, "test-05-marketing-data")
    walk = Walk(page, served)
    walk.open()
    with walk.work(APP_STEP):
        walk.fill(APP_STEP, app_secret=secrets["app_secret"])
        walk.save()  # leaves the field, and then the step is checked by itself
    asked = walk.panel(APP_STEP)
    expect(asked).to_have_attribute("data-outcome", "verified")
    asked.get_by_role("button", name=".env: App Secret").click()
    saved = wording("walkthrough.credential-saved", label="App Secret", place=".env")
    walk.reads(APP_STEP, saved)
    walk.save()
    storage = _browser_storage(page)
    walk.fill(TOKEN_STEP, user_access_token=secrets["user_access_token"])
    walk.check(TOKEN_STEP)
    assert walk.check("test-05-marketing-data") == "verified"
    walk.save()
    # JupyterLab saves its layout up to a second after a change, and does not say when it has.
    time.sleep(1)
    storage += _browser_storage(page)
    layouts = _texts(own / "temporary")
    served.stop()
    texts = {**layouts, **_texts(served.project), **_texts(own)}
    saved = texts[served.notebook]
    assert "Lead forms of" in saved, "the widget state is not saved, so this test proves nothing"
    assert any(".ipynb_checkpoints" in path.parts for path in texts)
    assert any(path.suffix == ".jupyterlab-workspace" for path in layouts)
    assert "jupyterlab" in storage
    for name, secret in secrets.items():
        assert secret not in storage, name
        assert [path for path, text in texts.items() if secret in text] == [], name


@pytest.fixture(scope="module")
def at_work(
    browser: Browser, jupyterlab: Lab, approved: Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Walk]:
    """Yield the whole notebook with checked steps and open forms; only the last test changes it."""
    settings = settings_of(approved, tmp_path_factory.mktemp("at-work") / "settings")
    with opened(browser, Desk(jupyterlab, "at-work", settings, {})) as walk:
        walk.check("fb-08-redirect-uri")
        walk.check(APP_STEP)
        walk.check("fb-11a-public-pages")
        walk.tick("fb-09a-test-calls", "make_test_calls")
        walk.check("fb-09a-test-calls")
        walk.ask_consent(CUSTOMER_STEP)
        walk.notes("fb-06-facebook-login", walk.form("fb-06-facebook-login", "attest"))
        walk.form("fb-07-login-settings", "skip")
        walk.form("fb-05a-business-verification", "decline")
        yield walk
        walk.choose_theme("JupyterLab Light")


def test_a_card_is_read_in_its_order(at_work: Walk) -> None:
    """
    A screen reader hears title, text, the picture's alternative, field and button, in this order.

    The region has number and title. Text and picture are drawn once: the notebook's own give way.
    """
    page = at_work.page
    step = "fb-08-redirect-uri"
    panel = at_work.panel(step)
    expect(panel).to_have_role("region")
    expect(panel).to_have_accessible_name("8 · Set the Valid OAuth Redirect URI")
    picture = panel.get_by_role("img", name="Schematic. App dashboard: open Facebook Login")
    expect(picture).to_be_visible()
    source = panel.locator("figcaption").get_attribute("title") or ""
    assert wording("report.schematic") in source
    title = page.locator(".rb-title", has_text="Set the Valid OAuth Redirect URI")
    expect(title.locator("img")).to_be_hidden()
    expect(page.get_by_role("heading", name="Set the Valid OAuth Redirect URI")).to_have_count(1)
    read = panel.aria_snapshot()
    parts = (
        'region "8 · Set',
        'heading "Set the Valid OAuth Redirect URI',
        "enter this address",
        'img "Schematic.',
        'textbox "Service Domain"',
        'button "Check"',
    )
    places = [read.find(part) for part in parts]
    assert -1 not in places
    assert places == sorted(places)


def test_the_table_of_the_last_cell_is_out_of_sight(at_work: Walk) -> None:
    """It shows the steps as they were when it was run, and the panels as they are now."""
    at_work.page.locator("#runbook-finish").scroll_into_view_if_needed()
    table = at_work.page.locator(".runbook-steps")
    table.wait_for(state="attached")
    expect(table).to_be_hidden()


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_the_panels_are_accessible(theme: str, at_work: Walk, axe: str) -> None:
    """
    The panels have no serious violation (axe-core) in both themes and at both widths.

    Each shows its title and text itself, so the notebook's are not seen. *Check* is in none of the
    menus.

    The header's link scrolls to the step's card and focuses its first field.
    """
    page = at_work.page
    at_work.choose_theme(theme)
    for width in (1280, 800):
        page.set_viewport_size({"width": width, "height": 900})
        assert serious_violations(page, axe) == []
        assert page.evaluate(TEXTS_BESIDE_CARDS) == []
        assert page.evaluate(_WITHOUT_CHECK, [s.id for s in PROCEDURE.steps if s.checks]) == []
        if (theme, width) in (("JupyterLab Light", 1280), ("JupyterLab Dark", 800)):
            name = f"walkthrough-{theme.rpartition(' ')[2].lower()}-{width}"
            at_work.keep_picture("fb-08-redirect-uri", name)
        page.locator(".rb-header a[data-next]").click()
        expect(page.locator("#runbook-fb-01-log-in:focus-within")).to_have_count(1)
        heading = page.get_by_role("heading", name="Log in to Facebook")
        page.wait_for_function(IS_BELOW_HEADER, arg=heading.element_handle())
        page.evaluate("document.activeElement.blur()")


def test_an_outside_change_and_a_lost_kernel_are_announced(at_work: Walk, tmp_path: Path) -> None:
    """
    A screen reader announces both, and the focus stays.

    Before cells run, a link and a saved notebook say to press Start first.
    """
    walk = at_work
    page = at_work.page
    desk = at_work.lab
    assert isinstance(desk, Desk)
    page.set_viewport_size({"width": 1280, "height": 900})
    link = page.locator(".rb-header a[data-next]")
    link.focus()
    run = open_run(
        PROCEDURE,
        {},
        mode=Mode.INTERACTIVE,
        tenant=TENANT,
        evidence=str(desk.evidence),
        env_file=str(desk.env_file),
    )
    run.say([attested("fb-01-log-in", by="A colleague")])
    # Folded by now, so that looking at it would take the focus.
    live = page.locator("#runbook-fb-01-log-in [role=status]")
    expect(live.locator(".rb-message")).to_have_text(
        wording("walkthrough.now-is", outcome="attested"), timeout=120_000
    )
    expect(live).to_contain_text("attested: A colleague on")  # heard, whether it is open or folded
    expect(link).to_have_attribute("data-next", "fb-02-developer-account")
    expect(link).to_be_focused()

    end = page.locator("#runbook-finish")
    page.evaluate("document.getElementById('runbook-fb-03-my-apps').remove()")
    end.get_by_text("Open steps").click()
    end.get_by_role("link", name="Open My Apps").click()
    expect(end.get_by_text(wording("walkthrough.press-start-first"))).to_be_visible()
    expect(page.get_by_role("heading", name="Open My Apps")).to_be_in_viewport()

    panel = walk.panel(APP_STEP)
    walk.fill(APP_STEP, app_id="123456789012345")
    walk.save()
    walk.menu("Kernel", "Restart Kernel…")
    page.locator(".jp-Dialog .jp-mod-accept").click()
    told = wording("walkthrough.kernel-restarted")
    expect(page.locator(".rb-header")).to_contain_text(told)
    expect(panel.get_by_text(told)).to_be_visible()
    walk.action(APP_STEP, "check").click()
    expect(panel.locator("[role=status]")).to_have_text(told)
    expect(panel).to_have_attribute("aria-busy", "false")
    expect(panel.locator('input[data-name="app_id"]')).to_have_value("123456789012345")

    assert desk.is_as_built(tmp_path), "running and saving changed the notebook's sources"
    saved = json.loads(desk.notebook.read_text("utf-8"))
    *texts, table = [
        output["data"]["text/plain"]
        for cell in saved["cells"]
        for output in cell.get("outputs", ())
    ]
    assert re.search(r"the steps at .+ UTC$", table[0].strip())
    assert len(texts) == len(PROCEDURE.steps) + 2
    assert all(wording("notebook.press-start") in "".join(text) for text in texts)

    walk.menu("Run", "Run All Cells")
    expect(page.locator(".rb-header")).to_contain_text("Next:", timeout=120_000)
    expect(page.locator(".rb").get_by_text(told).filter(visible=True)).to_have_count(0)
