"""The walkthrough when things go wrong, when others are there too, and for everybody's eyes."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from runbook_lib.sandbox.faults import Fault, FaultKind
from runbook_lib.sandbox.server import Sandbox
from tests.browser.jupyter import (
    TENANT,
    Lab,
    Serve,
    Walk,
    free_port,
    keep_picture,
    serious_violations,
)
from tests.runs.conftest import settings_of

_IS_BELOW_HEADER = """heading => heading.getBoundingClientRect().top
    >= document.querySelector('.rb-header').getBoundingClientRect().bottom"""

# In each scenario: the notebook, the steps to check in turn, and what stands at the last of them.
EXPLAINED = {
    "wrong-secret": ("01_partner_app", ("fb-13-app-id-and-secret",), "Copy it again from"),
    "unknown-app": ("01_partner_app", ("fb-13-app-id-and-secret",), "and to a made-up one"),
    "redirect-missing": ("01_partner_app", ("fb-08-redirect-uri",), "Enter it under Valid OAuth"),
    "review-pending": ("01_partner_app", ("fb-12-submit-review",), "not live yet"),
    "review-declined": ("01_partner_app", ("fb-12-submit-review",), "pending or was declined"),
    "permission-missing": (
        "01_partner_app",
        ("fb-11-permissions",),
        "does not list leads_retrieval",
    ),
    "cyclr-mismatch": (
        "02_cyclr_connector",
        ("cy-02-client-id",),
        "Correct it in Connector Library",
    ),
    "cyclr-ip-blocked": (
        "03_connection_test",
        ("test-01-install", "test-02-authenticate", "test-03-permissions"),
        "cannot be tested from here",
    ),
    "rate-limited": ("01_partner_app", ("fb-05-confirm-creation",), "wait about 60 min"),
    "version-expired": ("01_partner_app", ("fb-13-app-id-and-secret",), "that version has ended"),
    "token-expired": ("03_connection_test", ("test-04-user-token",), "Session has expired"),
}


def _point_at(notebook: Path, target: Path, **parameters: str) -> None:
    """Copy a notebook with other parameters, as a person would type them into its first cell."""
    document = json.loads(notebook.read_text(encoding="utf-8"))
    cell = next(cell for cell in document["cells"] if cell["id"] == "parameters")
    cell["source"] += [f"\n{name} = {value!r}" for name, value in parameters.items()]
    target.write_text(json.dumps(document), encoding="utf-8")


@pytest.mark.timeout(600)
def test_each_failure_is_explained_where_it_shows(lab: Lab, page: Page, tmp_path: Path) -> None:
    """In each failing scenario the right step says what is wrong and what to do next."""

    walk = Walk(page, lab)
    page.set_default_timeout(20_000)
    for scenario, (notebook, steps, words) in EXPLAINED.items():
        with Sandbox(scenario) as failing:
            settings = settings_of(failing, tmp_path / scenario)
            _point_at(
                lab.project / "notebooks" / f"{notebook}.ipynb",
                lab.project / "notebooks" / f"{scenario}.ipynb",
                env_file=str(settings),
                tenant=scenario,
            )
            walk.open(scenario)
            for step in steps:
                walk.check(step)
            walk.reads(steps[-1], words)
            page.evaluate("window.onbeforeunload = null")


@pytest.mark.timeout(120)
def test_a_flaky_network_is_not_taken_for_a_failed_step(serve: Serve, page: Page) -> None:
    """What went wrong on the way is told as that, each attempt is shown, and asking again helps."""

    with Sandbox("flaky", seed=7) as flaky:
        walk = Walk(page, serve(flaky))
        walk.open("01_partner_app")
        # Beside the scenario's own faults: the first three attempts to read fail in any case.
        flaky.world.faults.active.insert(0, Fault(FaultKind.SERVER_ERROR, remaining=3))
        step = "fb-05-confirm-creation"
        assert walk.check(step) == "inconclusive"
        walk.reads(step, "Service temporarily unavailable")
        walk.reads(step, "Look for yourself, then say that it is done; or check again.")
        panel = walk.panel(step)
        panel.get_by_text("What was asked, and answered").click()
        expect(panel.get_by_text("→ 503")).to_have_count(3)
        for step in ("fb-05-confirm-creation", "fb-10-public-profile", "fb-11-permissions"):
            for _ in range(4):
                outcome = walk.check(step)
                if outcome == "verified":
                    break
                assert outcome == "inconclusive", step
            assert outcome == "verified", step


def test_several_people_see_each_other(lab: Lab, page: Page) -> None:
    """What one session writes shows in another's header and panels, without a reload."""

    other = page.context.new_page()
    here, there = Walk(page, lab), Walk(other, lab)
    here.open("01_partner_app")
    there.open("02_cyclr_connector")
    here.attest("fb-01-log-in")
    expect(other.locator(".rb-header")).to_contain_text("1 of 21 done", timeout=20_000)
    there.attest("cy-03-client-secret")
    expect(page.locator(".rb-header")).to_contain_text("2 of 21 done", timeout=20_000)
    here.skip("fb-02-developer-account", "there is one already")
    expect(other.locator(".rb-header")).to_contain_text("3 of 21 done", timeout=20_000)


def test_a_slow_or_vanished_remote_system_stops_nobody(serve: Serve, page: Page) -> None:
    """An answer of five seconds holds up nothing else; a vanished system is named, then found."""

    port = free_port()
    with Sandbox("approved", port=port, seed=7) as first:
        walk = Walk(page, serve(first))
        walk.open("01_partner_app")
        first.world.faults.active.append(Fault(FaultKind.SLOW, seconds=5.0))
        slow = walk.panel("fb-05-confirm-creation")
        with walk.work("fb-05-confirm-creation"):
            slow.locator('button[data-action="check"]').click()
            expect(slow).to_have_attribute("aria-busy", "true")
            assert walk.attest("fb-01-log-in") == "attested"
            # The other panel did not have to wait for the slow answer.
            expect(slow).to_have_attribute("aria-busy", "true")
        expect(slow).to_have_attribute("data-outcome", "verified")
        first.world.faults.active.clear()
    assert walk.check("fb-10-public-profile") == "inconclusive"
    walk.reads("fb-10-public-profile", "could not be reached")
    with Sandbox("approved", port=port, seed=7):
        walk.restart_kernel()
        assert walk.panel("fb-01-log-in").get_attribute("data-outcome") == "attested"
        assert walk.check("fb-10-public-profile") == "verified"


def test_no_secret_rests_where_jupyterlab_saves(
    sandbox: Any, serve: Serve, page: Page, tmp_path: Path
) -> None:
    """With widget state saved after every step, no credential is in any file or browser storage."""

    manager = tmp_path / "lab" / "@jupyter-widgets" / "jupyterlab-manager"
    manager.mkdir(parents=True)
    (manager / "plugin.jupyterlab-settings").write_text('{"saveState": true}', encoding="utf-8")
    names = ("app_secret", "user_access_token", "page_access_token")
    secrets = {name: str(sandbox.description[name]) for name in names}
    served = serve(sandbox, JUPYTERLAB_SETTINGS_DIR=str(tmp_path / "lab"))
    served.leave_out("RUNBOOK_APP_SECRET", "RUNBOOK_USER_ACCESS_TOKEN")
    walk = Walk(page, served)
    walk.open("01_partner_app")
    walk.fill("fb-13-app-id-and-secret", app_secret=secrets["app_secret"])
    walk.save()
    assert walk.check("fb-13-app-id-and-secret") == "verified"
    asked = walk.panel("fb-13-app-id-and-secret")
    asked.get_by_role("button", name="in .env: App Secret").click()
    walk.reads("fb-13-app-id-and-secret", "is remembered in the .env")
    walk.save()
    storage = page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}])")
    walk.open("03_connection_test")
    walk.fill("test-04-user-token", user_access_token=secrets["user_access_token"])
    walk.check("test-04-user-token")
    assert walk.check("test-05-marketing-data") == "verified"
    walk.save()
    time.sleep(1)
    storage += page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}])")
    served.stop()
    texts = {
        path: path.read_text(encoding="utf-8", errors="replace")
        for path in served.project.rglob("*")
        if path.is_file()
    }
    saved = texts[served.project / "notebooks" / "03_connection_test.ipynb"]
    assert "Lead forms of" in saved, "the widget state was not saved: this test proves nothing"
    assert any(".ipynb_checkpoints" in path.parts for path in texts)
    for name, secret in secrets.items():
        assert secret not in storage, name
        assert [path for path, text in texts.items() if secret in text] == [], name


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_the_panels_can_be_used_by_everybody(
    theme: str, sandbox: Any, serve: Serve, page: Page, axe: str, tmp_path: Path
) -> None:
    """
    Nothing serious is found by axe in the panels, in either theme, wide or narrow.

    The header's link leads to the step from its heading on, and the focus into its panel.
    """

    chosen = tmp_path / "lab" / "@jupyterlab" / "apputils-extension"
    chosen.mkdir(parents=True)
    (chosen / "themes.jupyterlab-settings").write_text(json.dumps({"theme": theme}), "utf-8")
    walk = Walk(page, serve(sandbox, JUPYTERLAB_SETTINGS_DIR=str(tmp_path / "lab")))
    walk.open("01_partner_app")
    walk.check("fb-08-redirect-uri")
    walk.check("fb-13-app-id-and-secret")
    walk.panel("fb-06-facebook-login").locator('button[data-action="attest"]').click()
    walk.panel("fb-07-login-settings").locator('button[data-action="skip"]').click()
    for width in (1280, 800):
        page.set_viewport_size({"width": width, "height": 900})
        assert serious_violations(page, axe) == []
        if (theme, width) in (("JupyterLab Light", 1280), ("JupyterLab Dark", 800)):
            walk.look_at("fb-08-redirect-uri")
            keep_picture(page, f"walkthrough-{theme.rpartition(' ')[2].lower()}-{width}")
        page.locator(".rb-header a[data-next]").click()
        expect(page.locator("#runbook-fb-01-log-in")).to_be_focused()
        heading = page.get_by_role("heading", name="Log in to Facebook")
        assert heading.evaluate(_IS_BELOW_HEADER), width


def test_the_walkthrough_works_below_a_prefix(sandbox: Any, serve: Serve, page: Page) -> None:
    """As in JupyterHub: another base address, and the sealed bundle's link leads there too."""

    walk = Walk(page, serve(sandbox, base="/user/somebody"))
    walk.open("02_cyclr_connector")
    assert walk.check("cy-01-connector-setup") == "verified"
    end = page.locator("#runbook-finish")
    end.focus()
    page.keyboard.type("dd")  # deletes the cell where it is a shortcut
    said, link = walk.seal()
    assert "The run is incomplete." in said
    assert link.startswith(f"/user/somebody/lab/tree/evidence/{TENANT}/")
    with page.context.expect_page() as opened:
        end.get_by_role("link", name="Read the report").click()
    expect(opened.value.get_by_role("heading", level=1)).to_contain_text(TENANT)
    expect(opened.value.get_by_text("SANDBOX").first).to_be_visible()


def test_people_who_do_not_know_jupyter_see_no_code(sandbox: Any, serve: Serve, page: Page) -> None:
    """`runbook lab --app` shows the same panels without cells, and they work."""

    served = serve(sandbox, "--app")
    page.goto(f"{served.url}/voila/render/01_partner_app.ipynb", timeout=60_000)
    walk = Walk(page, served)
    walk.ready()
    expect(page.get_by_text('run.step("fb-01-log-in")')).to_have_count(0)
    assert walk.attest("fb-01-log-in") == "attested"
    assert walk.check("fb-05-confirm-creation") == "verified"
    journal = (served.evidence / TENANT / "journal.jsonl").read_text(encoding="utf-8")
    assert '"origin":"walkthrough"' in journal
