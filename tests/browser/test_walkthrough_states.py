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
from tests.browser.jupyter import TENANT, Lab, Walk, free_port, keep_picture, serious_violations
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
def test_a_flaky_network_is_not_taken_for_a_failed_step(page: Page, tmp_path: Path) -> None:
    """What went wrong on the way is told as that, each attempt is shown, and asking again helps."""

    project = tmp_path / "project"
    project.mkdir()
    with Sandbox("flaky", seed=7) as flaky:
        served = Lab(project, settings_of(flaky, tmp_path / "settings"))
        served.start()
        walk = Walk(page, served)
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
        served.stop()


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


def test_a_slow_or_vanished_remote_system_stops_nobody(page: Page, tmp_path: Path) -> None:
    """An answer of five seconds holds up nothing else; a vanished system is named, then found."""

    port = free_port()
    project = tmp_path / "project"
    project.mkdir()
    with Sandbox("approved", port=port, seed=7) as first:
        served = Lab(project, settings_of(first, tmp_path / "settings"))
        served.start()
        walk = Walk(page, served)
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
    served.stop()


def test_no_secret_rests_where_jupyterlab_saves(page: Page, tmp_path: Path) -> None:
    """With widget state saved after every step, no credential is in any file or browser storage."""

    project = tmp_path / "project"
    project.mkdir()
    manager = tmp_path / "lab" / "@jupyter-widgets" / "jupyterlab-manager"
    manager.mkdir(parents=True)
    (manager / "plugin.jupyterlab-settings").write_text('{"saveState": true}', encoding="utf-8")
    with Sandbox("approved") as sandbox:
        secrets = {n: str(sandbox.description[n]) for n in ("app_secret", "user_access_token")}
        settings = settings_of(sandbox, tmp_path / "settings")
        lines = settings.read_text(encoding="utf-8").splitlines(keepends=True)
        kept = [line for line in lines if not any(secret in line for secret in secrets.values())]
        settings.write_text("".join(kept), encoding="utf-8")
        served = Lab(
            project, settings, variables={"JUPYTERLAB_SETTINGS_DIR": str(tmp_path / "lab")}
        )
        served.start()
        walk = Walk(page, served)
        walk.open("01_partner_app")
        walk.fill("fb-13-app-id-and-secret", app_secret=secrets["app_secret"])
        walk.save()
        assert walk.check("fb-13-app-id-and-secret") == "verified"
        walk.save()
        storage = page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}])")
        walk.open("03_connection_test")
        walk.fill("test-04-user-token", user_access_token=secrets["user_access_token"])
        walk.check("test-04-user-token")
        walk.save()
        time.sleep(1)
        storage += page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}])")
        served.stop()
    saved = json.loads((project / "notebooks" / "01_partner_app.ipynb").read_text("utf-8"))
    assert saved["metadata"]["widgets"], "the widget state was not saved: this test proves nothing"
    files = [path for path in project.rglob("*") if path.is_file()]
    assert any(".ipynb_checkpoints" in path.parts for path in files)
    for name, secret in secrets.items():
        assert secret not in storage, name
        for path in files:
            assert secret not in path.read_text(encoding="utf-8", errors="replace"), (name, path)


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_the_panels_can_be_used_by_everybody(
    theme: str, sandbox: Any, page: Page, axe: str, tmp_path: Path
) -> None:
    """
    Nothing serious is found by axe in the panels, in either theme, wide or narrow.

    The header's link leads to the step from its heading on, and the focus into its panel.
    """

    project = tmp_path / "project"
    project.mkdir()
    chosen = tmp_path / "lab" / "@jupyterlab" / "apputils-extension"
    chosen.mkdir(parents=True)
    (chosen / "themes.jupyterlab-settings").write_text(json.dumps({"theme": theme}), "utf-8")
    variables = {"JUPYTERLAB_SETTINGS_DIR": str(tmp_path / "lab")}
    served = Lab(project, settings_of(sandbox, tmp_path / "settings"), variables=variables)
    served.start()
    walk = Walk(page, served)
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
    served.stop()


def test_the_walkthrough_works_below_a_prefix(sandbox: Any, page: Page, tmp_path: Path) -> None:
    """As in JupyterHub: another base address, and the sealed bundle's link leads there too."""

    project = tmp_path / "project"
    project.mkdir()
    served = Lab(project, settings_of(sandbox, tmp_path / "settings"), base="/user/somebody")
    served.start()
    walk = Walk(page, served)
    walk.open("02_cyclr_connector")
    assert walk.check("cy-01-connector-setup") == "verified"
    said, link = walk.seal()
    served.stop()
    assert "The run is incomplete." in said
    assert link.startswith(f"/user/somebody/lab/tree/evidence/{TENANT}/")


def test_people_who_do_not_know_jupyter_see_no_code(
    sandbox: Any, page: Page, tmp_path: Path
) -> None:
    """`runbook lab --app` shows the same panels without cells, and they work."""

    project = tmp_path / "project"
    project.mkdir()
    served = Lab(project, settings_of(sandbox, tmp_path / "settings"), ("--app",))
    served.start()
    page.goto(f"{served.url}/voila/render/01_partner_app.ipynb", timeout=60_000)
    walk = Walk(page, served)
    walk.ready()
    expect(page.get_by_text('run.step("fb-01-log-in")')).to_have_count(0)
    assert walk.attest("fb-01-log-in") == "attested"
    assert walk.check("fb-05-confirm-creation") == "verified"
    journal = (served.evidence / TENANT / "journal.jsonl").read_text(encoding="utf-8")
    assert '"origin":"walkthrough"' in journal
    served.stop()
