"""The walkthrough in real JupyterLab, over days: nobody gets lost, and no secret leaks."""

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

# As in JupyterHub: every address of the server begins with it.
PREFIX = "/user/somebody"
APP_STEP = "fb-13-app-id-and-secret"
REVIEW_STEP = "fb-12-submit-review"


@dataclass
class Story:
    """One tenant's way from nothing: the notebook, the consoles, and what was found there."""

    given: dict[str, Any]
    lab: Lab
    walk: Walk
    person: Person
    folder: Path
    told: list[str] = field(default_factory=list)
    found: dict[str, str] = field(default_factory=dict)

    @property
    def header(self) -> Any:
        """Return the notebook's header."""
        return self.walk.page.locator(".rb-header")


@pytest.fixture(scope="class")
def story(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory, keys_home: Path
) -> Iterator[Story]:
    """Give the beginning: a sandbox in which nothing is done, a notebook, and two tabs."""
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
    """From nothing, through review, set-up, consent and test, until every step is settled."""

    @pytest.fixture(autouse=True)
    def _in_order(self, story: Story, request: pytest.FixtureRequest) -> Iterator[None]:
        """Each test goes on where the one before it ended."""
        order = [name for name in vars(type(self)) if name.startswith("test_")]
        name = request.node.name
        if story.told != order[: order.index(name)]:
            pytest.fail("It goes on where the test before it ended: see that one.", pytrace=False)
        failed = request.session.testsfailed
        yield
        if request.session.testsfailed == failed:
            story.told.append(name)

    def test_the_header_says_where_to_begin(self, story: Story) -> None:
        """Whether it is practice, which step comes first, and that nobody is named yet."""

        expect(story.header).to_contain_text("SANDBOX")
        expect(story.header).to_contain_text("Next: 1 · Log in to Facebook")
        expect(story.header).to_contain_text("no operator named yet")

    def test_a_confirmed_step_counts_and_the_next_one_is_named(self, story: Story) -> None:
        """What only a person sees counts once it is said."""

        story.person.log_in()
        for step in ("fb-01-log-in", "fb-02-developer-account", "fb-03-my-apps"):
            assert story.walk.attest(step) == "attested"
        expect(story.header).to_contain_text("3 of 21 done")
        expect(story.header.locator("a")).to_contain_text("Create App")

    def test_a_check_names_what_it_lacks_and_a_person_may_confirm_instead(
        self, story: Story
    ) -> None:
        """Without App ID and App Secret no check can run; a word with a screenshot can be given."""

        walk = story.walk
        walk.fill("fb-04-create-app", app_display_name=NAME)
        assert walk.check("fb-04-create-app") == "not_run"
        walk.reads("fb-04-create-app", "App ID, App Secret not given")
        story.person.create_app()
        story.found["app_page"] = story.person.page.url
        walk.attest("fb-04-create-app", files=str(png(story.folder / "screen.png", 64)))

    def test_an_address_is_copied_character_by_character(self, story: Story) -> None:
        """The redirect URI goes from the panel to Facebook by way of the clipboard."""

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

    def test_what_was_submitted_waits_for_facebook(self, story: Story) -> None:
        """The person says that it is submitted; nothing claims that it is approved."""

        person = story.person
        person.request("public_profile")
        person.request("leads_retrieval")
        person.press("Edit App Review Request")
        person.fill_in_request("Leads are copied to the customer's own system.")
        person.press("Submit for Review")
        person.reads("The review is pending.")
        story.found["requests_page"] = person.page.url
        assert story.walk.say(REVIEW_STEP, "submit", "with a screencast") == "waiting"

    def test_a_credential_is_verified_leaves_the_page_and_is_saved(self, story: Story) -> None:
        """With it the review can be watched, too."""

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

    def test_days_later_everything_is_as_it_was_left(self, story: Story) -> None:
        """JupyterLab is closed, the review ends, the person comes back: notebook, name, values."""

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

    def test_cyclr_is_given_the_app_by_the_clipboard(self, story: Story) -> None:
        """Client ID and Client Secret are what was typed in Facebook's part, and never shown."""

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
        """Installed, authenticated, with the permissions that were asked for."""

        story.person.connect(story.found["app_id"])
        for step in ("test-01-install", "test-02-authenticate", "test-03-permissions"):
            assert story.walk.check(step) == "verified", step

    def test_after_a_restart_a_pasted_answer_gives_the_last_token(self, story: Story) -> None:
        """A new kernel knows what is needed for consent; with the token every step is done."""

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

    def test_a_run_without_a_browser_finds_it_complete(self, story: Story) -> None:
        """From the same settings and journal; the screenshot is in its record."""

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

    def test_the_sealed_bundle_is_linked_below_the_prefix_and_its_report_opens(
        self, story: Story
    ) -> None:
        """It comes to the same as that run; a key pressed there is no shortcut of JupyterLab's."""

        walk, lab = story.walk, story.lab
        (record,) = records(lab.evidence)
        end = walk.page.locator("#runbook-finish")
        end.focus()
        walk.page.keyboard.type("dd")  # deletes the cell where it is a shortcut
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
