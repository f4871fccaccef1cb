"""The walkthrough when things go wrong, when others are there too, and for everybody's eyes."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from playwright.sync_api import Page, expect

from runbook_lib.config.workspace import journal_path
from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from runbook_lib.sandbox.http.faults import Fault, FaultKind
from runbook_lib.sandbox.server import Sandbox
from tests.browser.jupyter import (
    NOTEBOOK,
    TENANT,
    TOKEN,
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


class Explained(NamedTuple):
    """The steps to check in turn; what the last says is wrong, and to do next."""

    steps: tuple[str, ...]
    wrong: str
    following: str


EXPLAINED = {
    "wrong-secret": Explained(
        ("fb-13-app-id-and-secret",),
        "refuses this App Secret",
        "Copy it again from Settings > Basic",
    ),
    "unknown-app": Explained(
        ("fb-13-app-id-and-secret",),
        "and to a made-up one",
        "Compare the App ID with the one in Settings > Basic",
    ),
    "redirect-missing": Explained(
        ("fb-08-redirect-uri",),
        "Facebook does not accept https://",
        "Enter it under Valid OAuth Redirect URIs",
    ),
    "review-pending": Explained(
        ("fb-12-submit-review",),
        "does not list public_profile, leads_retrieval",
        "App Review > Requests shows what became of each",
    ),
    "review-declined": Explained(
        ("fb-12-submit-review",),
        "waits or was declined",
        "App Review > Requests shows what became of each",
    ),
    "permission-missing": Explained(
        ("fb-11-permissions",),
        "does not list leads_retrieval",
        "that Advanced Access is requested for each",
    ),
    "cyclr-mismatch": Explained(
        ("cy-02-client-id",),
        "signs users in with Client ID",
        "Correct it in Connector Library > Setup",
    ),
    "cyclr-ip-blocked": Explained(
        ("test-01-install", "test-02-authenticate", "test-03-permissions"),
        "cannot be tested from here",
        "Ask Cyclr to allow it",
    ),
    "rate-limited": Explained(
        ("fb-05-confirm-creation",),
        "x-app-usage as used up",
        "wait about 60 min",
    ),
    "version-expired": Explained(
        ("fb-13-app-id-and-secret",),
        "that version has ended",
        "Set graph_version to a current one",
    ),
    "token-expired": Explained(
        ("test-04-user-token",),
        "Session has expired",
        "Sign in again for a fresh one",
    ),
}


# One for each section; `test_explanations` looks at what the panels are given in all of them.
IN_BROWSER = ("wrong-secret", "cyclr-mismatch", "token-expired")


def _type_parameters(notebook: Path, **parameters: str) -> None:
    """Give a notebook other parameters, as a person would type them into its first cell."""
    document = json.loads(notebook.read_text(encoding="utf-8"))
    cell = next(cell for cell in document["cells"] if cell["id"] == "parameters")
    cell["source"] += [f"\n{name} = {value!r}" for name, value in parameters.items()]
    notebook.write_text(json.dumps(document), encoding="utf-8")


def _browser_storage(page: Page) -> str:
    """Return all that the browser keeps: cookies, IndexedDB, and both kinds of web storage."""
    kept = page.context.storage_state(indexed_db=True)
    return json.dumps(kept) + str(page.evaluate("JSON.stringify({...sessionStorage})"))


@pytest.mark.timeout(300)
def test_a_failure_is_explained_where_it_shows(shared_lab: Lab, page: Page, tmp_path: Path) -> None:
    """In each section a failed step says what is wrong and what to do next."""

    walk = Walk(page, shared_lab)
    page.set_default_timeout(20_000)
    for scenario in IN_BROWSER:
        explained = EXPLAINED[scenario]
        with Sandbox(scenario) as failing:
            settings = settings_of(failing, tmp_path / scenario)
            notebook = shared_lab.copy_notebook(scenario)
            _type_parameters(notebook, env_file=str(settings), tenant=scenario)
            walk.open(notebook.name)
            for step in explained.steps:
                walk.check(step)
            walk.reads(explained.steps[-1], explained.wrong)
            walk.reads(explained.steps[-1], explained.following)
            page.evaluate("window.onbeforeunload = null")


@pytest.mark.timeout(120)
def test_a_flaky_network_is_not_taken_for_a_failed_step(serve: Serve, page: Page) -> None:
    """What went wrong on the way is told as that, each attempt is shown, and asking again helps."""

    with Sandbox("flaky", seed=7) as flaky:
        walk = Walk(page, serve(flaky))
        walk.open()
        # Beside the scenario's own faults: the first three attempts to read fail in any case.
        flaky.world.faults.active.insert(0, Fault(FaultKind.SERVER_ERROR, remaining=3))
        step = "fb-05-confirm-creation"
        assert walk.check(step) == "inconclusive"
        walk.reads(step, "Service temporarily unavailable")
        walk.reads(step, "Look for yourself, then confirm that it is done; or check again.")
        panel = walk.panel(step)
        panel.get_by_text("Requests and answers").click()
        expect(panel.get_by_text("→ 503")).to_have_count(3)
        for step in ("fb-05-confirm-creation", "fb-10-public-profile", "fb-11-permissions"):
            for _ in range(4):
                outcome = walk.check(step)
                if outcome == "verified":
                    break
                assert outcome == "inconclusive", step
            assert outcome == "verified", step


def test_several_people_see_each_other(shared_lab: Lab, page: Page) -> None:
    """What one kernel writes shows in another's header and panels, without a reload."""

    other = page.context.new_page()
    here, there = Walk(page, shared_lab), Walk(other, shared_lab)
    here.open()
    there.open(shared_lab.copy_notebook("colleague").name)
    here.attest("fb-01-log-in")
    expect(other.locator(".rb-header")).to_contain_text("1 of 21 done", timeout=20_000)
    expect(there.panel("fb-01-log-in")).to_have_attribute("data-outcome", "attested")
    there.attest("cy-03-client-secret")
    expect(page.locator(".rb-header")).to_contain_text("2 of 21 done", timeout=20_000)
    here.skip("fb-02-developer-account", "there is one already")
    expect(other.locator(".rb-header")).to_contain_text("3 of 21 done", timeout=20_000)


def test_a_slow_or_vanished_remote_system_stops_nobody(serve: Serve, page: Page) -> None:
    """An answer of five seconds holds up nothing else; a vanished system is named, then found."""

    port = free_port()
    with Sandbox("approved", port=port, seed=7) as first:
        walk = Walk(page, serve(first))
        walk.open()
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

    own = tmp_path / "own"
    manager = own / "settings" / "@jupyter-widgets" / "jupyterlab-manager"
    manager.mkdir(parents=True)
    (manager / "plugin.jupyterlab-settings").write_text('{"saveState": true}', encoding="utf-8")
    names = ("app_secret", "user_access_token", "page_access_token")
    secrets = {name: str(sandbox.description[name]) for name in names}
    served = serve(
        sandbox,
        JUPYTERLAB_SETTINGS_DIR=str(own / "settings"),
        JUPYTERLAB_WORKSPACES_DIR=str(own / "workspaces"),
        JUPYTER_DATA_DIR=str(own / "data"),
        JUPYTER_RUNTIME_DIR=str(own / "runtime"),
        IPYTHONDIR=str(own / "ipython"),
    )
    served.leave_out("RUNBOOK_APP_SECRET", "RUNBOOK_USER_ACCESS_TOKEN")
    walk = Walk(page, served)
    walk.open()
    walk.fill("fb-13-app-id-and-secret", app_secret=secrets["app_secret"])
    walk.save()
    assert walk.check("fb-13-app-id-and-secret") == "verified"
    asked = walk.panel("fb-13-app-id-and-secret")
    asked.get_by_role("button", name=".env: App Secret").click()
    walk.reads("fb-13-app-id-and-secret", "saved to .env")
    walk.save()
    storage = _browser_storage(page)
    walk.fill("test-04-user-token", user_access_token=secrets["user_access_token"])
    walk.check("test-04-user-token")
    assert walk.check("test-05-marketing-data") == "verified"
    walk.save()
    time.sleep(1)
    storage += _browser_storage(page)
    served.stop()
    texts = {
        path: path.read_text(encoding="utf-8", errors="replace")
        for folder in (served.project, own)
        for path in folder.rglob("*")
        if path.is_file()
    }
    saved = texts[served.notebook]
    assert "Lead forms of" in saved, "the widget state was not saved: this test proves nothing"
    assert any(".ipynb_checkpoints" in path.parts for path in texts)
    assert any("workspaces" in path.parts for path in texts)
    assert "jupyterlab" in storage
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
    walk.open()
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
    walk.open()
    assert walk.check("cy-01-connector-setup") == "verified"
    end = page.locator("#runbook-finish")
    end.focus()
    page.keyboard.type("dd")  # deletes the cell where it is a shortcut
    said, link = walk.seal()
    assert "The run is incomplete." in said
    assert link.startswith(f"/user/somebody/lab/tree/evidence/{TENANT}/{PROCEDURE.id}/")
    with page.context.expect_page() as opened:
        end.get_by_role("link", name="Read the report").click()
    expect(opened.value.get_by_role("heading", level=1)).to_contain_text(TENANT)
    expect(opened.value.get_by_text("SANDBOX").first).to_be_visible()


def test_people_who_do_not_know_jupyter_see_no_code(sandbox: Any, serve: Serve, page: Page) -> None:
    """
    `runbook lab --app` shows the same panels without cells, and they work.

    The header stays in reach, and where the system is dark the page is, too.
    """

    page.emulate_media(color_scheme="dark")
    served = serve(sandbox, "--app")
    page.goto(f"{served.url}/?token={TOKEN}", timeout=60_000)
    page.wait_for_url(f"**/voila/render/{NOTEBOOK}?token=*", timeout=60_000)
    walk = Walk(page, served)
    walk.ready()
    expect(page.get_by_text('run.step("fb-01-log-in")')).to_have_count(0)
    assert walk.attest("fb-01-log-in") == "attested"
    assert walk.check("fb-05-confirm-creation") == "verified"
    expect(page.locator(".rb-header")).to_be_in_viewport()
    assert page.locator(".rb-sticky").evaluate("cell => cell.getBoundingClientRect().top") == 0
    heading = page.get_by_role("heading", name="Log in to Facebook")
    expect(heading).not_to_be_in_viewport()
    for shown, colour in (("body", "rgb(17, 17, 17)"), (".rb-panel", "rgb(33, 33, 33)")):
        expect(page.locator(shown).first).to_have_css("background-color", colour)
    keep_picture(page, "app-dark")
    journal = journal_path(served.evidence, TENANT, PROCEDURE.id).read_text(encoding="utf-8")
    assert '"origin":"walkthrough"' in journal
    page.goto(f"{served.url}/voila/render/{NOTEBOOK}", timeout=60_000)
    walk.ready()
    expect(walk.panel("fb-01-log-in")).to_have_attribute("data-outcome", "attested")
    end = page.locator("#runbook-finish")
    end.get_by_role("button", name="Seal the evidence").click()
    expect(end.get_by_text("Sealed in ")).to_be_visible(timeout=60_000)
    (bundle,) = (path.parent for path in served.evidence.rglob("report.html"))
    expect(end.get_by_text(str(bundle))).to_be_visible()
    expect(end.get_by_text("Open report.html there")).to_be_visible()
    expect(page.locator(".rb-header")).to_contain_text(PROCEDURE.title)
