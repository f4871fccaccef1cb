"""The walkthrough in real JupyterLab, over days: nobody gets lost, and no secret leaks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from runbook_lib.sandbox.server import Sandbox
from tests.browser.jupyter import OPERATOR, TENANT, Serve, Walk, keep_picture
from tests.browser.test_practice import NAME, Person, png
from tests.runs.conftest import outcomes, records, runbook


@pytest.fixture
def tab(browser: Browser) -> Iterator[Callable[[], Page]]:
    """Give a function that opens a tab; all tabs of a test share one person's browser."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, locale="en-GB")
    context.grant_permissions(["clipboard-read", "clipboard-write"])

    def open_tab() -> Page:
        page = context.new_page()
        page.set_default_timeout(20_000)
        return page

    yield open_tab
    context.close()


@pytest.mark.timeout(600)
def test_a_person_is_led_from_nothing_to_a_complete_record(
    serve: Serve, tab: Callable[[], Page], tmp_path: Path
) -> None:
    """From nothing, through review, set-up, consent and test, until every step is settled."""

    with Sandbox("fresh") as sandbox:
        given: dict[str, Any] = sandbox.description
        lab = serve(sandbox)
        walk = Walk(tab(), lab)
        person = Person(tab(), given["dashboard_url"], given["cyclr_console_url"])
        walk.open()
        expect(walk.page.locator(".rb-header")).to_contain_text("SANDBOX")
        expect(walk.page.locator(".rb-header")).to_contain_text("Next: 1 · Log in to Facebook")
        expect(walk.page.locator(".rb-header")).to_contain_text("no operator named yet")

        person.log_in()
        for step in ("fb-01-log-in", "fb-02-developer-account", "fb-03-my-apps"):
            assert walk.attest(step) == "attested"
        expect(walk.page.locator(".rb-header")).to_contain_text("3 of 21 done")
        expect(walk.page.locator(".rb-header a")).to_contain_text("Create App")

        walk.fill("fb-04-create-app", app_display_name=NAME)
        assert walk.check("fb-04-create-app") == "not_run"
        walk.reads("fb-04-create-app", "App ID, App Secret not given")
        person.create_app()
        app_page = person.page.url
        walk.attest("fb-04-create-app", files=str(png(tmp_path / "screen.png", 64)))
        walk.restart_kernel()
        expect(walk.page.locator(".rb-header")).to_contain_text(f"operator {OPERATOR}")
        expect(
            walk.panel("fb-04-create-app").locator('input[data-name="app_display_name"]')
        ).to_have_value(NAME)

        service_domain = person.read_service_domain()
        walk.fill("fb-08-redirect-uri", service_domain=f"https://{service_domain}/")
        walk.check("fb-08-redirect-uri")
        uri = f"https://{service_domain}/connector/callback"
        walk.panel("fb-08-redirect-uri").get_by_role(
            "button", name="Copy Valid OAuth Redirect URIs"
        ).click()
        assert walk.page.evaluate("navigator.clipboard.readText()") == uri
        person.page.goto(app_page)
        person.set_up_login(uri)
        for step in (
            "fb-06-facebook-login",
            "fb-07-login-settings",
            "fb-09-permissions-and-features",
        ):
            assert walk.attest(step) == "attested"
        person.request("public_profile")
        person.request("leads_retrieval")
        person.press("Edit App Review Request")
        for section in person.page.get_by_role("main").locator("textarea").all():
            section.fill("Leads are copied to the customer's own system.")
        person.press("Submit for Review")
        person.reads("The review is pending.")
        requests_page = person.page.url
        assert walk.say("fb-12-submit-review", "submit", "with a screencast") == "waiting"

        app_id, app_secret = person.complete_settings(png(tmp_path / "icon.png"))
        walk.fill("fb-13-app-id-and-secret", app_id=app_id, app_secret=app_secret)
        assert walk.check("fb-13-app-id-and-secret") == "verified"
        field = walk.panel("fb-13-app-id-and-secret").locator('input[data-name="app_secret"]')
        expect(field).to_have_value("")
        walk.panel("fb-13-app-id-and-secret").get_by_role("button", name=".env: App Secret").click()
        walk.reads("fb-13-app-id-and-secret", "App Secret saved to .env.")
        assert walk.check("fb-12-submit-review") == "waiting"
        walk.reads("fb-12-submit-review", "Checked again every minute")
        walk.look_at("fb-12-submit-review")
        keep_picture(walk.page, "walkthrough-waiting")

        # Days pass: JupyterLab is closed, the review ends, the person comes back.
        walk.save()
        lab.stop()
        saved = lab.notebook.read_bytes()
        person.page.goto(requests_page)
        person.choose("Approved")
        person.press("5 days later")
        person.reads("The review is approved.")
        lab.start()
        assert lab.notebook.read_bytes() == saved
        assert not (lab.project / "notebooks").exists()
        walk.open()
        for step in (
            *("fb-04-create-app", "fb-05-confirm-creation", "fb-08-redirect-uri"),
            *("fb-10-public-profile", "fb-11-permissions", "fb-12-submit-review"),
            "fb-13-app-id-and-secret",
        ):
            assert walk.check(step) == "verified", step

        assert walk.check("cy-01-connector-setup") == "verified"
        walk.panel("cy-02-client-id").get_by_role("button", name="Copy Client ID").click()
        copied_id = walk.page.evaluate("navigator.clipboard.readText()")
        walk.panel("cy-03-client-secret").get_by_role("button", name="Copy the App Secret").click()
        expect(
            walk.panel("cy-03-client-secret").get_by_role("button", name="Copied")
        ).to_be_visible()
        copied_secret = walk.page.evaluate("navigator.clipboard.readText()")
        assert (copied_id, copied_secret) == (app_id, app_secret)
        person.set_up_connector(copied_id, copied_secret)
        assert walk.attest("cy-03-client-secret", note="the padlock is closed") == "attested"

        person.connect(app_id)
        for step in ("test-01-install", "test-02-authenticate", "test-03-permissions"):
            assert walk.check(step) == "verified", step
        walk.restart_kernel()
        walk.use_address(walk.granted_address(walk.sign_in(given, "consent-paste")))
        token_step = walk.panel("test-04-user-token")
        expect(token_step).to_have_attribute("data-outcome", "verified")
        walk.panel("test-04-user-token").get_by_role(
            "button", name=".env: User access token"
        ).click()
        walk.reads("test-04-user-token", "saved to .env")
        assert walk.check("test-05-marketing-data") == "verified"

        assert walk.check("cy-02-client-id") == "verified"
        expect(walk.page.locator(".rb-header")).to_contain_text("21 of 21 done")

        done = runbook(
            *("run", "--tenant", TENANT, "--env-file", str(lab.env_file)),
            *("--evidence", str(lab.evidence)),
        )
        assert done.returncode == 0, done.stdout + done.stderr
        (record,) = records(lab.evidence)
        assert set(outcomes(record).values()) == {"verified", "attested"}
        attachments = [each for step in record["steps"] for each in step["attachments"]]
        assert [attachment["name"] for attachment in attachments] == ["screen.png"]

        said, link = walk.seal()
        assert "The run is complete." in said
        sealed = records(lab.evidence)[-1]
        assert link.endswith(sealed["run_id"])
        assert outcomes(sealed) == outcomes(record)
        walk.look_at("cy-03-client-secret")
        keep_picture(walk.page, "walkthrough-sealed")
