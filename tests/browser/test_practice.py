"""A person practises the whole procedure in the sandbox's pages; then a run checks it."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from runbook_lib.sandbox.server import Sandbox
from tests.runs.conftest import WORDS, outcomes, records, runbook

NAME = "Practice Leads"
VERIFIED = {
    *("fb-04-create-app", "fb-05-confirm-creation", "fb-08-redirect-uri"),
    *("fb-10-public-profile", "fb-11-permissions", "fb-12-submit-review"),
    *("fb-13-app-id-and-secret", "cy-01-connector-setup", "cy-02-client-id"),
    *("test-01-install", "test-02-authenticate", "test-03-permissions"),
    *("test-04-user-token", "test-05-marketing-data"),
}
ATTESTED = {step.id for section in PROCEDURE.sections for step in section.steps} - VERIFIED


@pytest.fixture
def fresh() -> Iterator[Sandbox]:
    """Yield a sandbox in which nothing is done yet."""
    with Sandbox("fresh") as sandbox:
        yield sandbox


@dataclass
class Person:
    """A person at the browser who knows only what the pages say."""

    page: Page
    dashboard: str
    console: str

    # --- actions -----------------------------------------------------------------------------
    def press(self, name: str) -> None:
        """Press the button or the link of this name."""
        self.page.bring_to_front()
        button = self.page.get_by_role("button", name=name, exact=True)
        link = self.page.get_by_role("link", name=name, exact=True)
        button.or_(link).first.click()
        self.page.wait_for_load_state()

    def fill(self, **fields: str) -> None:
        """Fill in fields by their labels, with `_` for a blank."""
        for label, value in fields.items():
            self.page.get_by_label(label.replace("_", " "), exact=True).fill(value)

    def choose(self, name: str) -> None:
        """Choose the radio button of this name."""
        self.page.get_by_role("radio", name=name, exact=True).check()

    def reads(self, text: str) -> None:
        """Wait for a text on the page."""
        expect(self.page.get_by_text(text).first).to_be_visible()

    def heading(self, text: str) -> None:
        """Wait for the page with this heading; its title and body say SANDBOX, as on each page."""
        expect(self.page.get_by_role("heading", level=1, name=text)).to_be_visible()
        expect(self.page).to_have_title(re.compile("^SANDBOX"))
        expect(self.page.locator("body")).to_contain_text("SANDBOX", use_inner_text=True)

    def value(self, term: str) -> str:
        """Return the value of a term in the page's list."""
        where = f"//dt[normalize-space()='{term}']/following-sibling::dd[1]"
        return self.page.locator(where).inner_text().strip()

    # --- Facebook, section 1 -----------------------------------------------------------------
    def log_in(self) -> None:
        """1 to 3: log in as the person that the page names, register, see My Apps."""
        self.page.goto(self.dashboard)
        self.heading("Log in")
        email, self.password = self.page.locator(".note .mono").all_inner_texts()
        self.fill(Email_address=email, Password=self.password)
        self.press("Log in")
        self.heading("Create a Facebook Developer account")
        self.press("Complete Registration")
        self.heading("My Apps")
        self.reads("You have no app yet.")

    def create_app(self) -> None:
        """4 and 5: Other, Business, name, purpose, and the password again."""
        self.press("Create App")
        self.choose("Other")
        self.press("Next")
        self.choose("Business")
        self.press("Next")
        self.fill(App_Display_Name=NAME)
        self.choose("Clients")
        self.press("Create App")
        self.heading("Create App")
        self.page.get_by_label("Password", exact=True).fill(self.password)
        self.press("Submit")
        self.heading("Add Products to Your App")

    def set_up_login(self, redirect_uri: str) -> None:
        """6 to 8: Facebook Login, its settings, the redirect URI, and its validator."""
        self.press("Set Up Facebook Login")
        self.press("Facebook Login Settings")
        self.heading("Facebook Login > Settings")
        self.fill(Valid_OAuth_Redirect_URIs=redirect_uri)
        self.press("Save Changes")
        self.reads("Changes saved.")
        self.fill(Redirect_URI_to_check=redirect_uri + "/")
        self.press("Check URI")
        self.reads("This is an invalid redirect URI for this application.")
        self.fill(Redirect_URI_to_check=redirect_uri)
        self.press("Check URI")
        self.reads("This is a valid redirect URI for this application.")

    def request(self, permission: str) -> None:
        """9 to 11: search for a permission, Get Advanced Access, confirm."""
        self.press("Permissions and Features")
        self.heading("Permissions and Features")
        self.fill(Search_Permissions_and_Features=permission)
        self.press("Search")
        self.press(f"Get Advanced Access to {permission}")
        self.heading(f"Get Advanced Access to {permission}")
        self.page.get_by_role("checkbox").check()
        self.press("Confirm")

    def submit_for_review(self) -> None:
        """12: an incomplete request is refused; a complete one is reviewed in five days."""
        self.press("Edit App Review Request")
        self.press("Submit for Review")
        expect(self.page.get_by_role("alert")).to_contain_text("Still to be filled in")
        self.fill_in_request("Leads are copied to the customer's own system.")
        self.press("Submit for Review")
        self.heading("App Review > Requests")
        self.reads("The review is pending.")
        self.choose("Approved")
        self.press("5 days later")
        self.reads("The review is approved.")

    def fill_in_request(self, text: str) -> None:
        """Enter the same text in every section of the request for review."""
        self.heading("Edit App Review Request")
        for section in self.page.get_by_role("main").locator("textarea").all():
            section.fill(text)

    def complete_settings(self, icon: Path) -> tuple[str, str]:
        """13: fill in the missing sections; read App ID and, with the password, App Secret."""
        self.press("Basic")
        self.heading("Settings > Basic")
        self.fill(
            App_Domains="connect.partner.test",
            User_Support_Email="support@partner.test",
            Privacy_Policy_URL="https://www.partner.test/privacy",
            Terms_of_Service_URL="https://www.partner.test/terms",
            User_Data_Deletion="https://www.partner.test/deletion",
        )
        self.page.get_by_label("Category").select_option("Business")
        self.page.get_by_label("App Icon (1024 x 1024)").set_input_files(icon)
        self.press("Save Changes")
        self.reads("An icon is set.")
        expect(self.page.locator("#app-secret")).to_contain_text("●")
        self.page.get_by_label("Please re-enter your password").fill(self.password)
        self.press("Show")
        expect(self.page.locator("#app-secret")).not_to_contain_text("●")
        return self.value("App ID"), self.value("App Secret")

    def take_token(self) -> str:
        """Return a user token of the app, as from Graph API Explorer."""
        self.page.goto(f"{self.dashboard}/tools/explorer/")
        self.page.get_by_role("button").filter(has_text="Token").click()
        field = self.page.locator("textarea[readonly], [readonly]").first
        return field.input_value().strip()

    # --- Cyclr, section 2 --------------------------------------------------------------------
    def read_service_domain(self) -> str:
        """Settings > General Settings > Service Domain."""
        self.page.goto(self.console)
        self.press("General Settings")
        self.heading("General Settings")
        return self.value("Service Domain")

    def read_api_client(self) -> tuple[str, str]:
        """Settings > OAuth Client Credentials: Cyclr's own client ID and secret."""
        self.page.goto(self.console)
        self.press("OAuth Client Credentials")
        self.heading("OAuth Client Credentials")
        first, second = self.page.locator("tbody tr").first.locator("td").all_inner_texts()
        return first.strip(), second.strip()

    def set_up_connector(self, app_id: str, app_secret: str) -> None:
        """Connector Library, Setup, Save Changes; the connector is then closed."""
        self.page.goto(self.console)
        self.press("Connector Library")
        self.heading("Connector Library")
        self.fill(Search="Facebook Marketing")
        self.press("Search")
        row = self.page.get_by_role("row").filter(has_text="Facebook Marketing API")
        expect(row).to_contain_text("Open: Setup Required")
        self.press("Setup Facebook Marketing API")
        self.heading("Facebook Marketing API: Setup")
        self.fill(Client_ID=app_id, Client_Secret=app_secret)
        self.press("Save Changes")
        expect(row).to_contain_text("Closed")

    def connect(self, app_id: str) -> str:
        """Install in one account, authenticate by consent; return its Account API ID."""
        self.press("Account Management")
        self.press("First Customer")
        account = self.page.locator("#account-id").inner_text().strip()
        self.page.get_by_label("Connector", exact=True).select_option("Facebook Marketing API")
        self.press("Install")
        self.reads("Not authenticated")
        self.press("Authenticate Facebook Marketing API")
        self.heading(f"{NAME} asks for access")
        expect(self.page).to_have_url(re.compile(rf"\bclient_id={app_id}\b"))
        expect(self.page.get_by_role("checkbox", checked=True)).to_have_count(9)
        self.press("Continue")
        self.heading("Your browser would now leave Facebook")
        self.reads("https://connect.partner.test/connector/callback?code=AQ")
        self.press("Continue on loopback")
        self.heading("First Customer: Connectors")
        expect(self.page.get_by_text(re.compile(r"^Authenticated"))).to_be_visible()
        return account


def png(path: Path, side: int = 1024) -> Path:
    """Write a square image, as an app icon must be."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + checksum

    header = struct.pack(">2I5B", side, side, 8, 0, 0, 0, 0)
    rows = zlib.compress((b"\0" + b"\x80" * side) * side)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", rows), chunk(b"IEND", b""))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    return path


def test_a_practised_procedure_is_verified(page: Page, fresh: Sandbox, tmp_path: Path) -> None:
    """After all documented steps in the pages, a run verifies each one that can be checked."""
    given: dict[str, Any] = fresh.description
    person = Person(page, given["dashboard_url"], given["cyclr_console_url"])
    person.log_in()
    person.create_app()
    app_page = page.url
    service_domain = person.read_service_domain()
    page.goto(app_page)
    person.set_up_login(f"https://{service_domain}/connector/callback")
    person.request("public_profile")
    person.reads("Advanced Access to public_profile is granted.")
    person.request("leads_retrieval")
    person.submit_for_review()
    app_id, app_secret = person.complete_settings(png(tmp_path / "icon.png"))
    person.set_up_connector(app_id, app_secret)
    account = person.connect(app_id)
    api_client_id, api_client_secret = person.read_api_client()
    token = person.take_token()

    addresses = ("graph_url", "dialog_url", "dashboard_url", "cyclr_api_url", "cyclr_console_url")
    answers = {
        **{name: given[name] for name in (*addresses, "service_domain_address", "ca_file")},
        "service_domain": service_domain,
        "app_display_name": NAME,
        "app_id": app_id,
        "app_secret": app_secret,
        "cyclr_client_id": api_client_id,
        "cyclr_client_secret": api_client_secret,
        "account_api_id": account,
        "cyclr_username": "operator",
        "user_access_token": token,
    }
    env_file = tmp_path / "practice.env"
    env_file.touch(mode=0o600)
    env_file.write_text("".join(f"RUNBOOK_{n.upper()}={v}\n" for n, v in answers.items()))

    evidence = tmp_path / "evidence"
    done = runbook(
        *("run", "--tenant", "practice", "--env-file", str(env_file)),
        *("--attestations", str(WORDS), "--evidence", str(evidence)),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (record,) = records(evidence)
    found = outcomes(record)
    assert {step for step, outcome in found.items() if outcome == "verified"} == VERIFIED
    assert {step for step, outcome in found.items() if outcome == "attested"} == ATTESTED
    assert record["outcome"] == "complete"
    assert record["sandbox"] is True


def test_a_declined_review_says_why_and_can_be_repeated(page: Page, fresh: Sandbox) -> None:
    """A declined review has its reason; the request can be edited, submitted again and approved."""
    given: dict[str, Any] = fresh.description
    person = Person(page, given["dashboard_url"], given["cyclr_console_url"])
    person.log_in()
    person.create_app()
    person.request("leads_retrieval")
    person.press("Edit App Review Request")
    person.fill_in_request("So.")
    person.press("Submit for Review")
    person.choose("Declined")
    person.fill(**{"Reason,_when_declined": "The screencast shows another app."})
    person.press("5 days later")
    person.reads("The review is declined.")
    person.reads("The screencast shows another app.")
    person.press("Edit App Review Request")
    person.press("Submit for Review")
    person.choose("Approved")
    person.press("5 days later")
    person.reads("The review is approved.")


def test_every_link_of_the_walkthrough_leads_to_its_page(page: Page) -> None:
    """Each link of each step leads to an existing page of the sandbox."""
    with Sandbox("approved") as sandbox:
        given: dict[str, Any] = sandbox.description
        page.goto(f"{given['dashboard_url']}/login")
        page.get_by_label("Email address").fill(given["login_email"])
        page.get_by_label("Password").fill(given["login_password"])
        page.get_by_role("button", name="Log in").click()
        links = {
            link.url(given)
            for section in PROCEDURE.sections
            for step in section.steps
            for link in step.links
        }
        lost = {link: page.goto(link).status for link in links}  # type: ignore[union-attr]
    assert {link: status for link, status in lost.items() if status != 200} == {}
