"""The walkthrough in JupyterLab from start to end, over several days."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from runbook_lib.sandbox.server import Sandbox
from tests.browser.conftest import own_windows
from tests.browser.jupyter import OPERATOR, TENANT, Lab, Walk
from tests.browser.test_practice import NAME, Person, png
from tests.runs.conftest import outcomes, records, runbook, settings_of

# Every URL of the server begins with it, as in JupyterHub.
PREFIX = "/user/somebody"
APP_STEP = "fb-13-app-id-and-secret"
REVIEW_STEP = "fb-12-submit-review"


@dataclass
class Story:
    """The set-up of one tenant: the notebook, the consoles, and the values found there."""

    given: dict[str, Any]
    lab: Lab
    walk: Walk
    person: Person
    folder: Path
    passed: list[str] = field(default_factory=list)
    found: dict[str, str] = field(default_factory=dict)

    @property
    def header(self) -> Any:
        """Return the notebook's header."""
        return self.walk.page.locator(".rb-header")


@pytest.fixture(scope="class")
def story(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory, keys_home: Path
) -> Iterator[Story]:
    """Yield the start: a sandbox in which nothing is done, a notebook, and two tabs."""
    folder = tmp_path_factory.mktemp("story")
    (folder / "project").mkdir()
    with Sandbox("fresh") as sandbox, own_windows(browser) as context:
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        context.set_default_timeout(20_000)
        given: dict[str, Any] = sandbox.description
        settings = settings_of(sandbox, folder / "settings")
        variables = {"XDG_DATA_HOME": str(keys_home)}
        lab = Lab(folder / "project", settings, variables=variables, base=PREFIX)
        try:
            lab.start()
            walk = Walk(context.new_page(), lab)
            walk.open()
            person = Person(context.new_page(), given["dashboard_url"], given["cyclr_console_url"])
            yield Story(given, lab, walk, person, folder)
        finally:
            lab.stop()


class TestFromNothingToACompleteRecord:
    """From an empty sandbox, through review, set-up, consent and test, until every step is done."""

    @pytest.fixture(autouse=True)
    def _in_order(self, story: Story, request: pytest.FixtureRequest) -> Iterator[None]:
        """Each test continues where the one before it ended."""
        order = [name for name in vars(type(self)) if name.startswith("test_")]
        name = request.node.name
        if story.passed != order[: order.index(name)]:
            pytest.fail("It needs the test before it, which failed or did not run.", pytrace=False)
        failed = request.session.testsfailed
        yield
        if request.session.testsfailed == failed:
            story.passed.append(name)

    def test_the_header_names_the_first_step(self, story: Story) -> None:
        """The header shows SANDBOX, the first step, and that no operator is named."""

        expect(story.header).to_contain_text("SANDBOX")
        expect(story.header).to_contain_text("Next: 1 · Log in to Facebook")
        expect(story.header).to_contain_text("no operator named yet")

    def test_a_confirmed_step_is_done_and_the_next_one_named(self, story: Story) -> None:
        """A step that only a person can see is done once it is confirmed."""

        story.person.log_in()
        for step in ("fb-01-log-in", "fb-02-developer-account", "fb-03-my-apps"):
            assert story.walk.attest(step) == "attested"
        expect(story.header).to_contain_text("3 of 21 done")
        expect(story.header.locator("a")).to_contain_text("Create App")

    def test_a_check_names_missing_values_and_a_person_can_confirm_instead(
        self, story: Story
    ) -> None:
        """Without App ID and App Secret the check is not run; the step can be confirmed instead."""

        walk = story.walk
        walk.fill("fb-04-create-app", app_display_name=NAME)
        assert walk.check("fb-04-create-app") == "not_run"
        walk.reads("fb-04-create-app", "App ID, App Secret not given")
        story.person.create_app()
        story.found["app_page"] = story.person.page.url
        walk.attest("fb-04-create-app", files=str(png(story.folder / "screen.png", 64)))

    def test_the_redirect_uri_is_copied(self, story: Story) -> None:
        """The redirect URI is copied from the panel to Facebook through the clipboard."""

        walk, person = story.walk, story.person
        service_domain = person.read_service_domain()
        walk.fill("fb-08-redirect-uri", service_domain=f"https://{service_domain}/")
        walk.check("fb-08-redirect-uri")
        panel = walk.panel("fb-08-redirect-uri")
        uri = walk.copied(panel.get_by_role("button", name="Copy Valid OAuth Redirect URIs"))
        assert uri == f"https://{service_domain}/connector/callback"
        person.page.goto(story.found["app_page"])
        person.set_up_login(uri)
        for step in (
            "fb-06-facebook-login",
            "fb-07-login-settings",
            "fb-09-permissions-and-features",
        ):
            assert walk.attest(step) == "attested"

    def test_a_submitted_step_waits_for_facebook(self, story: Story) -> None:
        """A step that a person marks as submitted is waiting."""

        person = story.person
        person.request("public_profile")
        person.request("leads_retrieval")
        person.press("Edit App Review Request")
        person.fill_in_request("Leads are copied to the customer's own system.")
        person.press("Submit for Review")
        person.reads("The review is pending.")
        story.found["requests_page"] = person.page.url
        assert story.walk.say(REVIEW_STEP, "submit", "with a screencast") == "waiting"

    def test_a_credential_is_verified_removed_from_the_page_and_saved(self, story: Story) -> None:
        """The App Secret is verified, removed from its field and saved."""

        walk = story.walk
        app_id, app_secret = story.person.complete_settings(png(story.folder / "icon.png"))
        story.found.update(app_id=app_id, app_secret=app_secret)
        walk.fill(APP_STEP, app_id=app_id, app_secret=app_secret)
        assert walk.check(APP_STEP) == "verified"
        panel = walk.panel(APP_STEP)
        expect(panel.locator('input[data-name="app_secret"]')).to_have_value("")
        panel.get_by_role("button", name=".env: App Secret").click()
        walk.reads(APP_STEP, "App Secret saved to .env.")
        assert walk.check(REVIEW_STEP) == "waiting"
        walk.reads(REVIEW_STEP, "Checked again every minute")
        walk.keep_picture(REVIEW_STEP, "walkthrough-waiting")

    def test_everything_is_kept_until_days_later(self, story: Story) -> None:
        """A restart of JupyterLab keeps the notebook, the name and the values."""

        walk, person, lab = story.walk, story.person, story.lab
        walk.save()
        lab.stop()
        saved = lab.notebook.read_bytes()
        person.page.goto(story.found["requests_page"])
        person.choose("Approved")
        person.press("5 days later")
        person.reads("The review is approved.")
        lab.start()
        assert lab.notebook.read_bytes() == saved
        assert not (lab.project / "notebooks").exists()
        walk.open()
        expect(story.header).to_contain_text(f"operator {OPERATOR}")
        named = walk.panel("fb-04-create-app").locator('input[data-name="app_display_name"]')
        expect(named).to_have_value(NAME)
        for step in (
            *("fb-04-create-app", "fb-05-confirm-creation", "fb-08-redirect-uri"),
            *("fb-10-public-profile", "fb-11-permissions", REVIEW_STEP, APP_STEP),
        ):
            assert walk.check(step) == "verified", step

    def test_client_id_and_secret_are_copied_to_cyclr(self, story: Story) -> None:
        """App ID and App Secret are copied through the clipboard to Cyclr."""

        walk, person = story.walk, story.person
        assert walk.check("cy-01-connector-setup") == "verified"
        client_id, secret = walk.panel("cy-02-client-id"), walk.panel("cy-03-client-secret")
        copied_id = walk.copied(client_id.get_by_role("button", name="Copy Client ID"))
        copied_secret = walk.copied(secret.get_by_role("button", name="Copy the App Secret"))
        assert (copied_id, copied_secret) == (story.found["app_id"], story.found["app_secret"])
        person.set_up_connector(copied_id, copied_secret)
        noted = walk.attest("cy-03-client-secret", note="the padlock is closed")
        assert noted == "attested"

    def test_the_connection_is_verified(self, story: Story) -> None:
        """The connector is installed and authenticated, with the requested permissions."""

        story.person.connect(story.found["app_id"])
        for step in ("test-01-install", "test-02-authenticate", "test-03-permissions"):
            assert story.walk.check(step) == "verified", step

    def test_after_a_restart_a_pasted_redirect_gives_the_token(self, story: Story) -> None:
        """After a restart of the kernel, consent works; with the token, every step is done."""

        walk = story.walk
        walk.restart_kernel()
        expect(story.header).to_contain_text(f"operator {OPERATOR}")
        walk.use_address(walk.granted_address(walk.sign_in(story.given, "consent-paste")))
        token_step = walk.panel("test-04-user-token")
        expect(token_step).to_have_attribute("data-outcome", "verified")
        token_step.get_by_role("button", name=".env: User access token").click()
        walk.reads("test-04-user-token", "saved to .env")
        assert walk.check("test-05-marketing-data") == "verified"
        assert walk.check("cy-02-client-id") == "verified"
        expect(story.header).to_contain_text("21 of 21 done")

    def test_a_headless_run_is_complete(self, story: Story) -> None:
        """With the same settings and journal, a run is complete; its record has the screenshot."""

        lab = story.lab
        done = runbook(
            *("run", "--tenant", TENANT, "--env-file", str(lab.env_file)),
            *("--evidence", str(lab.evidence)),
        )
        assert done.returncode == 0, done.stdout + done.stderr
        (record,) = records(lab.evidence)
        assert set(outcomes(record).values()) == {"verified", "attested"}
        attachments = [each for step in record["steps"] for each in step["attachments"]]
        assert [attachment["name"] for attachment in attachments] == ["screen.png"]

    def test_the_sealed_bundle_is_linked_and_its_report_opens(self, story: Story) -> None:
        """
        The bundle has the same outcomes as that run, and its link has the server's prefix.

        A key that is pressed in the panel is no shortcut of JupyterLab.
        """

        walk, lab = story.walk, story.lab
        (record,) = records(lab.evidence)
        end = walk.page.locator("#runbook-finish")
        end.focus()
        walk.page.keyboard.type("dd")  # deletes the cell if it is a shortcut
        said, link = walk.seal()
        assert "The run is complete." in said
        sealed = records(lab.evidence)[-1]
        assert link.startswith(f"{PREFIX}/lab/tree/evidence/{TENANT}/{PROCEDURE.id}/")
        assert link.endswith(sealed["run_id"])
        assert outcomes(sealed) == outcomes(record)
        with walk.page.context.expect_page() as opened:
            end.get_by_role("link", name="Read the report").click()
        expect(opened.value.get_by_role("heading", level=1)).to_contain_text(TENANT)
        expect(opened.value.get_by_text("SANDBOX").first).to_be_visible()
        walk.keep_picture("cy-03-client-secret", "walkthrough-sealed")
