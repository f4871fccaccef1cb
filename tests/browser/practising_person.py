"""A person who practises the procedure in a browser."""

from __future__ import annotations

import json
import re
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page, expect

NAME = "Practice Leads"


USE_CASE = "Capture & manage ad leads with Marketing API"


WEBSITE = "https://www.partner.test"


# The colour of buttons that can be pressed.
_PRESSABLE = "rgb(23, 76, 63)"


# With these, Facebook logs a use of each permission that leads_retrieval depends on.
TEST_CALLS = ("me/adaccounts", "me/businesses", "me/accounts")


@dataclass
class Person:
    """A person at the browser who knows only what the pages say."""

    page: Page
    dashboard: str
    console: str

    # --- actions -----------------------------------------------------------------------------
    def group(self, name: str) -> Locator:
        """Return the group of this name on the page."""
        return self.page.get_by_role("region", name=name, exact=True)

    def press(self, name: str, group: str = "") -> None:
        """Press the button or the link of this name, of a group if one is named."""
        self.page.bring_to_front()
        where = self.group(group) if group else self.page
        button = where.get_by_role("button", name=name, exact=True)
        link = where.get_by_role("link", name=name, exact=True)
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

    def opens(self, group: str) -> None:
        """Wait for the page that is open at this group."""
        expect(self.page.locator("[data-current] h2")).to_have_text(group)
        expect(self.page).to_have_title(re.compile("^SANDBOX"))

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
        self.opens("Create a Facebook Developer account")
        self.press("Complete Registration")
        self.opens("My Apps")
        self.reads("You have no app yet.")

    def create_app(self) -> None:
        """4 to 5: the use case for leads, name and contact email, and the password again."""
        self.choose(USE_CASE)
        self.fill(App_Display_Name=NAME, App_Contact_Email="operator@partner.test")
        self.confirm_creation()
        expect(self.group("Use cases > Customize")).to_contain_text(USE_CASE)
        self.reads("Publish the app: Publish > Go live.")

    def create_classic_app(self) -> None:
        """4 and 5, as documented: Other, Business, name, purpose, and the password again."""
        self.choose("Other")
        self.choose("Business")
        self.fill(App_Display_Name=NAME)
        self.choose("Clients")
        self.confirm_creation()
        self.reads("Add Products to Your App")

    def confirm_creation(self) -> None:
        """Give the password again, and press Create App."""
        self.page.get_by_label("Please re-enter your password", exact=True).fill(self.password)
        self.press("Create App", "Create App")
        self.opens("Dashboard")
        self.heading(NAME)

    def read_credentials(self) -> tuple[str, str]:
        """Settings > Basic: read App ID and, with the password, App Secret."""
        self.press("Settings > Basic")
        expect(self.page.locator("#app-secret")).to_contain_text("●")
        self.page.get_by_label("Please re-enter your password").fill(self.password)
        self.press("Show")
        expect(self.page.locator("#app-secret")).not_to_contain_text("●")
        return self.value("App ID"), self.value("App Secret")

    def verify_business(self) -> None:
        """5a: Business Verification, which the other verification needs."""
        self.press("Verification")
        self.reads("Complete Business Verification first.")
        self.verify("Business Verification")

    def verify(self, kind: str) -> None:
        """5a and 5b: one of the two verifications, which takes days."""
        shown = self.group("Verification")
        end = " as a Tech Provider." if kind.startswith("Access") else "."
        self.press(f"Start {kind}")
        expect(shown).to_contain_text(f"is pending{end}")
        self.press("Let 5 days pass")
        self.reads("5 days later.")
        expect(shown).to_contain_text(f"is verified{end}")

    def add_permission(self, permission: str) -> None:
        """Use cases > Customize: add one that the use case does not bring by itself."""
        self.press("Use cases")
        row = self.group("Use cases > Customize").get_by_role("row").filter(has_text=permission)
        self.press(f"Add {permission} to {USE_CASE}")
        expect(row).to_contain_text("Added: ready for testing")

    def set_up_classic_login(self, redirect_uri: str) -> None:
        """6 to 8 of a classic app: Facebook Login, its settings, the redirect URI."""
        self.press("Set Up Facebook Login")
        self.set_up_login(redirect_uri, "Facebook Login")

    def set_up_login(self, redirect_uri: str, product: str = "Facebook Login for Business") -> None:
        """7 and 8: the log-in's settings, the redirect URI, and its validator."""
        group = f"{product} > Settings"
        self.press(group)
        self.fill(Valid_OAuth_Redirect_URIs=redirect_uri)
        self.press("Save Changes", group)
        self.opens(group)
        self.reads("Changes saved.")
        self.fill(Redirect_URI_to_check=redirect_uri + "/")
        self.press("Check URI")
        self.reads("This is an invalid redirect URI for this application.")
        self.fill(Redirect_URI_to_check=redirect_uri)
        self.press("Check URI")
        self.reads("This is a valid redirect URI for this application.")

    def cannot_request(self, permission: str) -> None:
        """9a: the button is grey, to the eye too, until the app has made a call with it."""
        self.press("Permissions and Features")
        self.reads("A button is grey until the app has made a successful call")
        button = self.page.get_by_role("button", name=f"Request advanced access to {permission}")
        expect(button).to_be_disabled()
        expect(button).not_to_have_css("background-color", _PRESSABLE)

    def request(self, permission: str, button: str = "Request advanced access") -> None:
        """10 and 11: press the permission's button."""
        shown = self.page.get_by_role("button", name=f"{button} to {permission}", exact=True)
        expect(shown).to_have_css("background-color", _PRESSABLE)
        self.press(f"{button} to {permission}")
        self.opens("App Review > Permissions and Features")

    def submit_for_review(self) -> None:
        """12: an incomplete request is refused; a complete one is pending."""
        self.press("App Review Request")
        self.reads("Complete data access renewal requirements to submit for App Review.")
        expect(self.page.get_by_role("button", name="Submit for Review")).to_be_disabled()
        self.renew_data_access()
        self.press("Submit for Review")
        expect(self.page.get_by_role("alert")).to_contain_text("Still to be filled in")
        self.fill_in_request("Leads are copied to the customer's own system.")
        self.press("Submit for Review")
        self.opens("App Review > Requests")
        self.reads("The review is pending.")

    def renew_data_access(self) -> None:
        """11b: complete the five sections of the Data Access Renewal."""
        group = "Data Access Renewal"
        for section in self.group(group).get_by_role("checkbox").all():
            section.check()
        self.press("Submit", group)
        self.reads("It is complete.")

    def fill_in_request(self, text: str) -> None:
        """Enter the same text in every section of the request for review."""
        for section in self.group("App Review > Edit App Review Request").locator("textarea").all():
            section.fill(text)

    def await_decision(self, decision: str = "Approved") -> None:
        """12: let days pass until the review is decided, in this way."""
        self.choose(decision)
        self.press("Let days pass until the decision")
        self.reads(f"later: the review is {decision.lower()}.")

    def publish(self) -> None:
        """12a: Publish > Go live."""
        self.press("Publish")
        self.reads("only people with a role on it can log in")
        self.press("Go live")
        self.reads("people without a role can use it")

    def complete_settings(self, icon: Path) -> str:
        """11a and 13: fill in the missing sections; return the data deletion address."""
        self.fill(
            App_Domains="connect.partner.test",
            User_Support_Email="support@partner.test",
            Privacy_Policy_URL=f"{WEBSITE}/privacy",
            Terms_of_Service_URL=f"{WEBSITE}/terms",
            User_Data_Deletion=f"{WEBSITE}/data-deletion",
        )
        self.page.get_by_label("Category").select_option("Business")
        self.page.get_by_label("App Icon (1024 x 1024)").set_input_files(icon)
        self.press("Save Changes", "Settings > Basic")
        self.reads("An icon is set.")
        return self.page.get_by_label("User Data Deletion").input_value()

    def take_token(self) -> str:
        """Return a user token of the app, as from Graph API Explorer."""
        self.page.goto(f"{self.dashboard}/tools/explorer/")
        self.press("Generate Access Token")
        return self.page.get_by_label("User access token").input_value().strip()

    def call(self, path: str, token: str) -> dict[str, Any]:
        """Make a call in Graph API Explorer, and return what it shows."""
        self.page.get_by_label("GET", exact=True).fill(path)
        self.page.get_by_label("Access Token", exact=True).fill(token)
        self.press("Submit")
        answer = json.loads(self.page.get_by_label("Answer").input_value())
        assert isinstance(answer, dict)
        return answer

    def make_test_calls(self) -> str:
        """9a: read once with each permission; return the token, of a person with a role."""
        token = self.take_token()
        answers = [self.call(path, token) for path in TEST_CALLS]
        assert all(answer["data"] for answer in answers)
        page = answers[-1]["data"][0]
        assert self.call(page["id"], token)["id"] == page["id"]
        assert self.call(f"{page['id']}/leadgen_forms", page["access_token"])["data"]
        return token

    # --- a customer ---------------------------------------------------------------------------
    def become_customer(self) -> None:
        """Log in as the other person that the log-in names, who has a role on no app."""
        self.press("Log in as someone else")
        self.heading("Log in")
        email, password = self.page.locator(".hint .mono").all_inner_texts()
        self.fill(Email_address=email, Password=password)
        self.press("Log in")

    # --- Cyclr, section 2 --------------------------------------------------------------------
    def read_service_domain(self) -> str:
        """Settings > General Settings > Service Domain."""
        self.page.goto(self.console)
        self.press("Settings > General Settings")
        return self.value("Service Domain")

    def read_api_client(self) -> tuple[str, str]:
        """Settings > OAuth Client Credentials: Cyclr's own client ID and secret."""
        self.page.goto(self.console)
        rows = self.group("Settings > OAuth Client Credentials").locator("tbody tr")
        first, second = rows.first.locator("td").all_inner_texts()
        return first.strip(), second.strip()

    def set_up_connector(self, app_id: str, app_secret: str) -> None:
        """Connector Library, Setup, Save Changes; the connector is then closed."""
        self.page.goto(self.console)
        self.opens("Connectors > Connector Library")
        row = self.page.get_by_role("row").filter(has_text="Facebook Marketing API")
        expect(row).to_contain_text("Open: Setup Required")
        self.press("Setup Facebook Marketing API")
        self.opens("Facebook Marketing API: Setup")
        self.fill(Client_ID=app_id, Client_Secret=app_secret)
        self.press("Save Changes")
        expect(row).to_contain_text("Closed")

    def connect(self, app_id: str) -> str:
        """Install in one account, authenticate by consent; return its Account API ID."""
        self.press("First Customer")
        self.opens("First Customer: Connectors")
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
        self.opens("First Customer: Connectors")
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
