"""The walkthrough in JupyterLab from start to end, over several days."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from facebook_cyclr_sandbox.server import Sandbox
from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from runbook_lib.core.outcome import IN_PART
from tests.browser.conftest import new_lab, own_windows
from tests.browser.jupyter import (
    COUNTS,
    CUSTOMER_STEP,
    OPERATOR,
    TENANT,
    TOKEN_STEP,
    Lab,
    Walk,
    keep_picture,
    serious_violations,
)
from tests.browser.practising_person import NAME, WEBSITE, Person, png
from tests.runs.conftest import outcomes, records, runbook
from tests.support.wording import wording

# Every URL of the server begins with it, as in JupyterHub.
PREFIX = "/user/somebody"
_LOADED = 60_000
CREATED_STEP = "fb-05-confirm-creation"
BUSINESS_STEP = "fb-05a-business-verification"
ACCESS_STEP = "fb-05b-access-verification"
CALLS_STEP = "fb-09a-test-calls"
PAGES_STEP = "fb-11a-public-pages"
REVIEW_STEP = "fb-12-submit-review"
PUBLISH_STEP = "fb-12a-publish"
APP_STEP = "fb-13-app-id-and-secret"
VERIFIED = {
    "fb-04-create-app",
    "fb-05-confirm-creation",
    "fb-05a-business-verification",
    "fb-08-redirect-uri",
    "fb-10-public-profile",
    "fb-11-permissions",
    "fb-11a-public-pages",
    "fb-12-submit-review",
    "fb-13-app-id-and-secret",
    "cy-01-connector-setup",
    "cy-02-client-id",
    "test-01-install",
    "test-02-authenticate",
    "test-03-permissions",
    "test-04-user-token",
    "test-05-marketing-data",
    "test-06-customer-consent",
}
ATTESTED = {step.id for section in PROCEDURE.sections for step in section.steps} - VERIFIED


@dataclass
class Story:
    """The set-up of one tenant: the notebook, the consoles, and the values found there."""

    given: dict[str, Any]
    """The sandbox's description."""
    lab: Lab
    """The server of the notebook."""
    walk: Walk
    """The notebook in the browser."""
    person: Person
    """The person at the sandbox's pages."""
    folder: Path
    """A folder for attachments."""
    passed: list[str] = field(default_factory=list)
    """Names of the tests that passed so far."""
    found: dict[str, str] = field(default_factory=dict)
    """Values that the person read, by name."""

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
    with Sandbox("fresh") as sandbox, own_windows(browser) as context:
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        context.set_default_timeout(120_000)
        given: dict[str, Any] = sandbox.description
        with new_lab(folder, sandbox, keys_home, base=PREFIX, token="") as lab:
            walk = Walk(context.new_page(), lab)
            person = Person(context.new_page(), given["dashboard_url"], given["cyclr_console_url"])
            yield Story(given, lab, walk, person, folder)


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

    def test_one_button_starts(self, story: Story, axe: str) -> None:
        """*Start* is all it takes: nothing asks for trust, and the page is where one begins."""
        walk = story.walk
        page = story.walk.page
        walk.load()
        page.get_by_role("button", name="Start", exact=True).wait_for(timeout=_LOADED)
        keep_picture(page, "start")
        walk.press_start()
        expect(page.locator(".jp-Dialog")).to_have_count(0)
        expect(page.locator("#runbook-begin")).to_be_focused()
        expect(
            page.get_by_role("heading", name="Connect your Facebook app to Cyclr")
        ).to_be_in_viewport()
        counts = page.evaluate(COUNTS)
        print(counts)  # noqa: T201  (pytest shows it)
        assert counts["first_words"] <= 90
        assert counts["first_controls"] <= 10
        assert counts["controls"] <= 60
        assert set(counts["open"]) == {"fb-01-log-in"}
        page.get_by_role("button", name="Progress").click()
        for folded in (".rb-gates", ".rb-overview"):
            page.locator(f"{folded} > summary").click()
            assert serious_violations(page, axe) == []
            keep_picture(page, f"header{folded}")
            page.locator(f"{folded} > summary").click()
        page.keyboard.press("Escape")
        expect(page.locator(".rb-list")).to_be_hidden()

    def test_the_header_names_the_first_step(self, story: Story) -> None:
        """The header shows SANDBOX, the first step, and nobody's name."""
        expect(story.header).to_contain_text("SANDBOX")
        expect(story.header).to_contain_text("Next: 1 · Log in to Facebook")
        expect(story.header).not_to_contain_text(OPERATOR)

    def test_a_confirmed_step_is_done_and_the_next_one_named(self, story: Story) -> None:
        """
        A step that only a person can see is done once it is confirmed.

        It is folded, and the next one is open. The name is known on this page from then on, and
        what was to be read before the first step is gone.
        """
        story.person.log_in()
        for step in ("fb-01-log-in", "fb-02-developer-account", "fb-03-my-apps"):
            assert story.walk.attest(step) == "attested"
        expect(story.header).to_contain_text(f"3 of {len(PROCEDURE.steps)} done")
        expect(story.header.locator(".rb-list")).to_contain_text(OPERATOR)
        expect(story.header.locator("a[data-next]")).to_contain_text("Create App")
        page = story.walk.page
        expect(
            page.get_by_role("heading", name="Connect your Facebook app to Cyclr")
        ).to_be_hidden()
        for step, is_open in (("fb-03-my-apps", "false"), ("fb-04-create-app", "true")):
            expect(page.locator(f"#runbook-{step}")).to_have_attribute("data-open", is_open)
        expect(page.locator("#runbook-fb-04-create-app")).to_be_focused()

    def test_a_check_names_missing_values_and_a_person_can_confirm_instead(
        self, story: Story
    ) -> None:
        """
        Without App ID and App Secret the check is not run; the step can be confirmed instead.

        A link to the app's dashboard says until then that it needs the App ID.
        """
        walk = story.walk
        walk.fill("fb-04-create-app", app_display_name=NAME)
        assert walk.check("fb-04-create-app") == "not_run"
        walk.reads(
            "fb-04-create-app", wording("walkthrough.not-checked", label="App ID, App Secret")
        )
        walk.reads(
            "fb-04a-use-case", f"Use cases {wording('notebook.link-needs-value', value='App ID')}"
        )
        expect(walk.link("fb-04a-use-case", "Use cases")).to_have_count(0)
        story.person.create_app()
        story.found["app_page"] = story.person.page.url
        walk.attest("fb-04-create-app", files=str(png(story.folder / "screen.png", 64)))
        assert walk.attest("fb-04a-use-case") == "attested"

    def test_a_credential_is_verified_removed_from_the_page_and_saved(self, story: Story) -> None:
        """
        As soon as the app exists, its App Secret is verified, removed from its field and saved.

        From then on the links lead to the app's pages.
        """
        walk = story.walk
        app_id, app_secret = story.person.read_credentials()
        story.found.update(app_id=app_id, app_secret=app_secret)
        walk.fill(CREATED_STEP, app_id=app_id, app_secret=app_secret)
        assert walk.check(CREATED_STEP) == "verified"
        panel = walk.panel(CREATED_STEP)
        expect(panel.locator('input[data-name="app_secret"]')).to_have_value("")
        panel.get_by_role("button", name=".env: App Secret").click()
        walk.reads(
            CREATED_STEP, wording("walkthrough.credential-saved", label="App Secret", place=".env")
        )
        address = f"{story.given['dashboard_url']}/apps/{app_id}/use_cases/"
        expect(walk.link("fb-04a-use-case", "Use cases")).to_have_attribute("href", address)
        assert walk.check("fb-04-create-app") == "verified"

    def test_both_verifications_wait_and_are_done_days_later(self, story: Story) -> None:
        """A verification that was begun is waiting; the other one is confirmed by a person."""
        walk = story.walk
        person = story.person
        person.verify_business()
        assert walk.say(BUSINESS_STEP, "submit", "the documents are uploaded") == "waiting"
        walk.keep_pictures(BUSINESS_STEP, "panel-business-verification")
        person.verify("Access Verification")
        assert walk.say(ACCESS_STEP, "submit") == "waiting"
        assert walk.attest(ACCESS_STEP, note="Verified as a Tech Provider.") == "attested"

    def test_the_redirect_uri_is_copied(self, story: Story) -> None:
        """The redirect URI is copied from the panel to Facebook through the clipboard."""
        walk = story.walk
        person = story.person
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

    def test_the_test_calls_are_made_once_they_are_permitted(self, story: Story) -> None:
        """
        With a token from Graph API Explorer, and only if permitted, the runbook makes the calls.

        Then the dashboard's button can be pressed, and the business is seen to be verified.
        """
        walk = story.walk
        person = story.person
        person.add_permission("pages_manage_metadata")
        person.cannot_request("leads_retrieval")
        walk.fill(CALLS_STEP, user_access_token=person.take_token())
        assert walk.check(CALLS_STEP) == "not_run"
        walk.show_details(CALLS_STEP)
        table = walk.panel(CALLS_STEP).get_by_role("table", name="Test calls made on")
        expect(table).to_have_count(0)
        expect(
            walk.panel(CALLS_STEP).locator('input[data-name="user_access_token"]')
        ).to_have_value("")
        walk.tick(CALLS_STEP, "make_test_calls")
        # Two permissions serve one call, so only the dashboard shows the rest.
        assert walk.check(CALLS_STEP) == "not_run"
        walk.reads(CALLS_STEP, wording("findings.none-shows-use", names="ads_management, ads_read"))
        walk.reads(CALLS_STEP, wording("walkthrough.only-you-can-confirm"))
        expect(walk.panel(CALLS_STEP).locator('[data-action="confirm-attest"]')).to_be_visible()
        expect(table.get_by_role("row").filter(has_text="leads_retrieval")).to_contain_text("made")
        expect(table.get_by_role("row")).to_have_count(10)
        walk.keep_pictures(CALLS_STEP, "panel-test-calls")
        person.page.goto(story.found["app_page"])
        person.request("public_profile", "Increase access")
        person.reads(wording("sandbox.access-granted", permission="public_profile"))
        for permission in ("leads_retrieval", "pages_manage_metadata"):
            person.request(permission)
        assert walk.attest(CALLS_STEP) == "attested"
        assert walk.check(BUSINESS_STEP) == "verified"
        assert walk.attest("fb-10-public-profile") == "attested"

    def test_the_public_pages_are_opened(self, story: Story) -> None:
        """Without the address that no API shows, the pages are not judged; with it they open."""
        walk = story.walk
        walk.check(PAGES_STEP)
        expect(walk.panel(PAGES_STEP)).not_to_have_attribute("data-outcome", "verified")
        address = story.person.complete_settings(png(story.folder / "icon.png"))
        walk.fill(PAGES_STEP, data_deletion_url=address)
        assert walk.check(PAGES_STEP) == "verified"
        walk.show_details(PAGES_STEP)
        table = walk.panel(PAGES_STEP).get_by_role("table", name="Public pages")
        row = table.get_by_role("row").filter(has_text="Privacy Policy URL")
        expect(row).to_contain_text(f"{WEBSITE}/privacy")
        walk.keep_pictures(PAGES_STEP, "panel-public-pages")

    def test_a_submitted_step_waits_for_facebook(self, story: Story) -> None:
        """A step that a person marks as submitted is waiting, and says when it is checked again."""
        story.person.submit_for_review()
        story.found["requests_page"] = story.person.page.url
        walk = story.walk
        assert walk.say(REVIEW_STEP, "submit", "with a screencast") == "waiting"
        assert walk.check(REVIEW_STEP) == "waiting"
        walk.reads(REVIEW_STEP, wording("walkthrough.next-check-at", time=""))
        assert walk.check("fb-08-redirect-uri") == "verified"
        walk.keep_picture(REVIEW_STEP, "walkthrough-waiting")

    @pytest.mark.costly("starts kernel and server again, days later")
    def test_everything_is_kept_until_days_later(self, story: Story) -> None:
        """
        A restart of JupyterLab keeps the notebook and the values, and the tab keeps the name.

        The saved page says what was last known, without an error. *Start* brings the panels back,
        and the page stands at the step that is next now.
        """
        walk = story.walk
        person = story.person
        lab = story.lab
        walk.save()
        lab.stop()
        saved = lab.notebook.read_bytes()
        person.page.goto(story.found["requests_page"])
        person.await_decision()
        lab.start()
        assert lab.notebook.read_bytes() == saved
        assert not (lab.project / "notebooks").exists()
        walk.load()
        page = walk.page
        page.get_by_role("button", name="Start", exact=True).wait_for(timeout=_LOADED)
        said = page.locator(".jp-OutputArea")
        expect(said.filter(has_text=f"attested {OPERATOR} on").first).to_be_visible()
        expect(said.filter(has_text="steps done")).to_have_count(0)
        expect(page.get_by_text("Error displaying widget")).to_have_count(0)
        expect(page.locator(".rb")).to_have_count(0)
        keep_picture(page, "come-back")
        walk.press_start()
        expect(page.locator("#runbook-fb-08-redirect-uri")).to_be_focused()
        expect(walk.panel("fb-01-log-in")).to_have_attribute("data-outcome", "attested")
        expect(story.header.locator(".rb-list")).to_contain_text(OPERATOR)
        named = walk.panel("fb-04-create-app").locator('input[data-name="app_display_name"]')
        expect(named).to_have_value(NAME)
        for step in (
            "fb-04-create-app",
            CREATED_STEP,
            "fb-08-redirect-uri",
            "fb-10-public-profile",
            "fb-11-permissions",
            PAGES_STEP,
            REVIEW_STEP,
            APP_STEP,
        ):
            assert walk.check(step) == "verified", step
        for step in ("fb-08-redirect-uri", REVIEW_STEP):
            walk.reads(step, IN_PART)
            assert walk.attest(step) == "verified"
            expect(walk.panel(step)).to_have_attribute("data-in-part", "false")

    def test_a_renewal_that_facebook_does_not_ask_for_is_an_answer(self, story: Story) -> None:
        """A step with several answers has a form for each; the record keeps which was confirmed."""
        step = "fb-11b-data-access-renewal"
        assert story.walk.say(step, "attest-not-asked") == "attested"
        story.walk.reads(step, "Not asked of this app (")

    def test_publishing_is_attested_with_json_attached(self, story: Story) -> None:
        """The app is published, and that is confirmed with an answer as JSON beside it."""
        story.person.publish()
        answer = story.folder / "answer.json"
        answer.write_text('{"is_live": true}', encoding="utf-8")
        assert story.walk.attest(PUBLISH_STEP, files=str(answer)) == "attested"

    def test_client_id_and_secret_are_copied_to_cyclr(self, story: Story) -> None:
        """App ID and App Secret are copied through the clipboard to Cyclr."""
        walk = story.walk
        person = story.person
        assert walk.check("cy-01-connector-setup") == "verified"
        client_id = walk.panel("cy-02-client-id")
        copied_id = walk.copied(client_id.get_by_role("button", name="Copy Client ID"))
        secret = walk.panel("cy-03-client-secret")
        copied_secret = walk.copied(secret.get_by_role("button", name="Copy the App Secret"))
        assert (copied_id, copied_secret) == (story.found["app_id"], story.found["app_secret"])
        person.set_up_connector(copied_id, copied_secret)
        noted = walk.attest("cy-03-client-secret", note="the padlock is closed")
        assert noted == "attested"
        assert walk.attest("cy-03a-error-webhook") == "attested"

    def test_the_connection_is_verified(self, story: Story) -> None:
        """The connector is installed and authenticated, with the requested permissions."""
        person = story.person
        given = story.given
        assert person.connect(story.found["app_id"]) == given["account_api_id"]
        assert person.read_api_client() == (given["cyclr_client_id"], given["cyclr_client_secret"])
        for step in ("test-01-install", "test-02-authenticate", "test-03-permissions"):
            assert story.walk.check(step) == "verified", story.walk.panel(step).inner_text()
        assert story.walk.attest("test-02-authenticate") == "verified"

    def test_after_a_restart_a_pasted_redirect_gives_the_token(self, story: Story) -> None:
        """After a restart of the kernel, consent works; the form says where the browser ends."""
        walk = story.walk
        walk.restart_kernel()
        form = walk.ask_consent()
        expect(form).to_contain_text(story.given["redirect_uri"])
        walk.use_address(walk.granted_address(walk.sign_in(story.given)))
        token_step = walk.panel(TOKEN_STEP)
        expect(token_step).to_have_attribute("data-outcome", "verified")
        token_step.get_by_role("button", name=".env: User access token").click()
        saved = wording("walkthrough.credential-saved", label="User access token", place=".env")
        walk.reads(TOKEN_STEP, saved)
        assert walk.check("test-05-marketing-data") == "verified"
        assert walk.check("cy-02-client-id") == "verified"
        assert walk.check(BUSINESS_STEP) == "verified"

    def test_the_consent_of_a_customer_is_told_from_the_operators(self, story: Story) -> None:
        """
        The consent of the operator, who has a role, does not count as a customer's.

        With that of a person without a role, every step is done.
        """
        walk = story.walk
        given = story.given
        walk.ask_consent(CUSTOMER_STEP)
        walk.keep_pictures(CUSTOMER_STEP, "panel-customer-before")
        own = walk.granted_address(walk.sign_in(given, step=CUSTOMER_STEP))
        walk.use_address(own, CUSTOMER_STEP)
        panel = walk.panel(CUSTOMER_STEP)
        expect(panel).to_have_attribute("data-outcome", "failed")
        walk.reads(CUSTOMER_STEP, wording("findings.same-person"))

        dialog = walk.sign_in(given, step=CUSTOMER_STEP)
        customer = Person(dialog, given["dashboard_url"], given["cyclr_console_url"])
        customer.become_customer()
        customer.heading(f"{NAME} {wording('sandbox.asks-for-access')}")
        customer.reads(wording("sandbox.logged-in-as", name="Sandbox Customer"))
        walk.use_address(walk.granted_address(dialog), CUSTOMER_STEP)
        expect(panel).to_have_attribute("data-outcome", "verified")
        walk.reads(CUSTOMER_STEP, wording("findings.without-role-granted", permissions=""))
        panel.get_by_role("button", name=".env: Customer's access token").click()
        label = "Customer's access token"
        walk.reads(
            CUSTOMER_STEP, wording("walkthrough.credential-saved", label=label, place=".env")
        )
        walk.keep_pictures(CUSTOMER_STEP, "panel-customer-after")

    def test_the_answer_of_cyclr_is_kept(self, story: Story) -> None:
        """Each question can be copied, and the answer is confirmed: then every step is done."""
        *_, questions = PROCEDURE.sections
        for step in questions.steps:
            panel = story.walk.panel(step.id)
            expect(panel).to_contain_text("the Facebook Marketing API connector")
            assert story.walk.attest(step.id) == "attested"
        story.walk.keep_pictures(questions.steps[0].id, "panel-question")
        total = len(PROCEDURE.steps)
        expect(story.header).to_contain_text(f"{total} of {total} done")

    def test_a_headless_run_is_complete(self, story: Story) -> None:
        """With the same settings and journal, a run is complete, with what was attached."""
        lab = story.lab
        done = runbook(
            "run",
            "--tenant",
            TENANT,
            "--env-file",
            str(lab.env_file),
            "--evidence",
            str(lab.evidence),
        )
        assert done.returncode == 0, done.stdout + done.stderr
        (record,) = records(lab.evidence)
        found = outcomes(record)
        assert {step for step, outcome in found.items() if outcome == "verified"} == VERIFIED
        assert {step for step, outcome in found.items() if outcome == "attested"} == ATTESTED
        assert record["outcome"] == "complete"
        assert record["sandbox"] is True
        said = [step["attestation"] for step in record["steps"] if step["attestation"]]
        attached = [each["name"] for one in said for each in one["attachments"]]
        assert attached == ["screen.png", "answer.json"]

    @pytest.mark.costly("browser and JupyterLab of the whole walk end with it")
    def test_the_sealed_bundle_is_linked_and_its_report_opens(self, story: Story) -> None:
        """
        The bundle has the same outcomes as that run, and its link has the server's prefix.

        A key that is pressed in the panel is no shortcut of JupyterLab.
        """
        walk = story.walk
        lab = story.lab
        (record,) = records(lab.evidence)
        end = walk.page.locator("#runbook-finish")
        end.focus()
        walk.page.keyboard.type("dd")  # deletes the cell if it is a shortcut
        said, link = walk.seal()
        assert wording("walkthrough.sealed", outcome="complete") in said
        sealed = records(lab.evidence)[-1]
        assert link.startswith(f"{PREFIX}/lab/tree/evidence/{TENANT}/{PROCEDURE.id}/")
        assert link.endswith(sealed["run"])
        assert outcomes(sealed) == outcomes(record)
        with walk.page.context.expect_page() as opened:
            end.get_by_role("button", name="Open the report").click()
        report = opened.value.frame_locator("iframe")
        expect(report.get_by_role("heading", level=1)).to_contain_text(TENANT)
        expect(report.get_by_text("SANDBOX").first).to_be_visible()
        opened.value.close()

    @pytest.mark.costly("browser and JupyterLab of the whole walk end with it")
    def test_the_evidence_is_downloaded(self, story: Story, tmp_path: Path) -> None:
        """*Download the evidence* saves the whole bundle as one file, which verifies."""
        end = story.walk.page.locator("#runbook-finish")
        with story.walk.page.expect_download() as downloaded:
            end.get_by_role("button", name="Download the evidence").click()
        bundle = max(path.parent for path in story.lab.evidence.rglob("record.json"))
        assert downloaded.value.suggested_filename == f"{bundle.name}.zip"
        with zipfile.ZipFile(downloaded.value.path()) as packed:
            packed.extractall(tmp_path)
        (record,) = tmp_path.rglob("record.json")
        names = {path.name for path in bundle.iterdir()}
        assert {path.name for path in record.parent.iterdir()} == names
        assert record.read_bytes() == (bundle / "record.json").read_bytes()
