"""Every page of the sandbox is accessible (axe-core), marked SANDBOX and readable at two widths."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlencode

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from facebook_cyclr_sandbox.http import page_templates
from facebook_cyclr_sandbox.server import Sandbox
from facebook_cyclr_sandbox.state.facebook_state import VerificationStatus
from tests.browser.axe import violations
from tests.browser.jupyter import NO_CERTIFICATES, keep_picture
from tests.browser.practising_person import USE_CASE

WIDTHS = (1280, 800, 400)
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
TEMPLATES = Path(page_templates.__file__).parent / "templates"


@dataclass
class Visitor:
    """A person who is logged in to one sandbox."""

    page: Page
    sandbox: Sandbox

    @property
    def given(self) -> dict[str, Any]:
        """Return the sandbox's description."""
        return self.sandbox.description

    def dashboard(self, path: str) -> None:
        """Open a page of the dashboard; `APP` is replaced by the scenario's app."""
        self.page.goto(f"{self.given['dashboard_url']}{path}".replace("APP", self.given["app_id"]))

    def console(self, path: str) -> None:
        """Open a page of the console; `ACCOUNT` and `CONNECTOR` are replaced by the scenario's."""
        number = next(
            one.id for one in self.sandbox.state.cyclr.library.values() if "Marketing" in one.name
        )
        path = path.replace("ACCOUNT", self.given["account_api_id"])
        self.page.goto(f"{self.given['cyclr_console_url']}{path.replace('CONNECTOR', str(number))}")

    def dialog(self, **changes: str) -> None:
        """Open the OAuth dialog as the connector does, with `changes`."""
        asked = {
            "client_id": self.given["app_id"],
            "redirect_uri": self.given["redirect_uri"],
            "state": "s",
            "scope": "leads_retrieval,ads_management,ads_read",
            **changes,
        }
        self.page.goto(f"{self.given['dialog_url']}?{urlencode(asked)}")

    def connect(self, path: str) -> None:
        """Open a page of the Service Domain, on loopback."""
        self.page.goto(f"{self.sandbox.state.addresses.service_domain_http}{path}")

    def press(self, name: str) -> None:
        """Press a button or a link."""
        button = self.page.get_by_role("button", name=name, exact=True)
        button.or_(self.page.get_by_role("link", name=name, exact=True)).first.click()
        self.page.wait_for_load_state()

    def log_in(self) -> None:
        """Log in as the sandbox's person."""
        self.page.get_by_label("Email address").fill(self.given["login_email"])
        self.page.get_by_label("Password").fill(self.given["login_password"])
        self.press("Log in")

    def log_out(self) -> None:
        """Log out, by deleting the cookies."""
        self.page.context.clear_cookies()

    # --- pages that need more than one action -------------------------------------------------
    def wrong_login(self) -> None:
        """The log-in after a wrong password."""
        self.log_out()
        self.dashboard("/login")
        self.page.get_by_label("Email address").fill("someone@example.com")
        self.page.get_by_label("Password").fill("not it")
        self.press("Log in")

    def login_in_dialog(self) -> None:
        """The dialog's own log-in."""
        self.log_out()
        self.dialog()

    def all_or_nothing(self) -> None:
        """The consent page of Facebook Login for Business."""
        app = self.sandbox.state.facebook.apps[self.given["app_id"]]
        app.configurations["100200300"] = ("public_profile", "leads_retrieval")
        self.dialog(config_id="100200300")

    def customer_dialog(self) -> None:
        """The dialog as the person who has a role on no app sees it."""
        self.log_out()
        self.dialog()
        self.page.get_by_label("Email address").fill(self.given["customer_email"])
        self.page.get_by_label("Password").fill(self.given["customer_password"])
        self.press("Log in")

    def website(self, path: str) -> None:
        """A page of the partner's website, whose host the browser cannot find."""
        address = f"{self.sandbox.state.addresses.service_domain_http}{path}"
        headers = {"host": self.given["website"]}
        with httpx.Client(trust_env=False, verify=NO_CERTIFICATES) as client:
            self.page.set_content(client.get(address, headers=headers).text)

    def leave(self) -> None:
        """The page between the dialog and the app."""
        self.dialog()
        self.press("Continue")

    def create(self, password: str, *answers: str) -> None:
        """Create App, after these choices and with this password."""
        self.dashboard("/apps/creation/")
        for answer in answers:
            self.page.get_by_role("radio", name=answer, exact=True).check()
        self.page.get_by_label("App Display Name").fill(NAME)
        self.page.get_by_label("Please re-enter your password").fill(password)
        self.page.get_by_role("button", name="Create App").click()
        self.page.wait_for_load_state()

    def new_app(self, *answers: str) -> None:
        """The page of an app that was just created with these choices."""
        self.create(self.given["login_password"], *answers)

    def wrong_redirect(self) -> None:
        """Facebook Login > Settings with a URI that is refused."""
        self.dashboard("/apps/APP/fb-login/settings/")
        self.page.get_by_label("Valid OAuth Redirect URIs").fill("http://insecure.example/")
        self.save()

    def incomplete_request(self) -> None:
        """Edit App Review Request with sections missing."""
        self.dashboard("/apps/APP/app-review/permissions/")
        self.press("Request advanced access to leads_retrieval")
        self.press("Submit for Review")

    def save(self) -> None:
        """The page after Save Changes in its current group."""
        self.page.locator("[data-current]").get_by_role("button", name="Save Changes").click()
        self.page.wait_for_load_state()

    def unverified(self) -> None:
        """Verification of a business that has begun neither."""
        business = self.sandbox.state.facebook.business
        business.verification = business.access_verification = VerificationStatus.NOT_STARTED
        self.dashboard("/apps/APP/verification/")

    def shown_secret(self) -> None:
        """Settings > Basic with the App Secret shown."""
        self.dashboard("/apps/APP/settings/basic/")
        self.page.get_by_label("Please re-enter your password").fill(self.given["login_password"])
        self.press("Show")

    def page_token(self) -> None:
        """Facebook Messenger > Settings with a page's token."""
        self.dashboard("/apps/APP/messenger/settings/")
        self.press("Generate Token for Sandbox Bakery")

    def token(self) -> None:
        """The explorer with a token."""
        self.dashboard("/tools/explorer/")
        self.press("Generate Access Token")

    def test_call(self) -> None:
        """Graph API Explorer with the answer to a call."""
        self.token()
        self.page.get_by_label("GET", exact=True).fill("me/permissions")
        self.press("Submit")

    def setup_link(self) -> None:
        """An account with a setup link."""
        self.console("/accounts/ACCOUNT/connectors/")
        self.press("Generate Setup Token Facebook Marketing API")

    def notice(self) -> None:
        """A page with the notice that changes are saved."""
        self.dashboard("/apps/APP/fb-login/settings/")
        self.save()

    def authenticated(self) -> None:
        """The callback's last page, with a message in place of a redirect."""
        self.setup_link()
        link = self.page.get_by_label("Setup link").input_value()
        query = link.partition("?")[2] + "&callbackMessage=done"
        self.connect(f"/connectorauth/updateaccountconnectoroauth?{query}")
        self.press("Continue")
        self.press("Continue on loopback")


NAME = "A name"
CLASSIC = ("Other", "Business", "Clients")
Go = Callable[[Visitor], None]
PAGES: dict[str, tuple[str, Go]] = {
    "login": ("approved", lambda v: (v.log_out(), v.dashboard("/login"))[1]),
    "login-wrong": ("approved", Visitor.wrong_login),
    "dialog-login": ("approved", Visitor.login_in_dialog),
    "consent": ("approved", Visitor.dialog),
    "consent-all-or-nothing": ("approved", Visitor.all_or_nothing),
    "consent-customer": ("approved", Visitor.customer_dialog),
    "feature-unavailable": ("not-published", Visitor.customer_dialog),
    "leave": ("approved", Visitor.leave),
    "url-blocked": ("approved", lambda v: v.dialog(redirect_uri="https://elsewhere.example/")),
    "invalid-scopes": ("approved", lambda v: v.dialog(scope="no_such_scope")),
    "unknown-app": ("approved", lambda v: v.dialog(client_id="4711")),
    "registration": ("fresh", lambda v: v.dashboard("/apps/")),
    "apps": ("approved", lambda v: v.dashboard("/apps/")),
    "create-wrong": ("approved", lambda v: v.create("not it", USE_CASE)),
    "app-new": ("approved", lambda v: v.new_app(USE_CASE)),
    "app-classic": ("approved", lambda v: v.new_app(*CLASSIC)),
    "app-approved": ("approved", lambda v: v.dashboard("/apps/APP/dashboard/")),
    "app-declined": ("review-declined", lambda v: v.dashboard("/apps/APP/app-review/requests/")),
    "app-pending": ("review-pending", lambda v: v.dashboard("/apps/APP/app-review/requests/")),
    "app-grey": ("test-calls-missing", lambda v: v.dashboard("/apps/APP/app-review/permissions/")),
    "app-overdue": ("renewal-due", lambda v: v.dashboard("/apps/APP/data-access-renewal/")),
    "app-verifying": ("tech-provider-pending", lambda v: v.dashboard("/apps/APP/verification/")),
    "app-unverified": ("not-published", Visitor.unverified),
    "login-settings-wrong": ("approved", Visitor.wrong_redirect),
    "login-settings-saved": ("approved", Visitor.notice),
    "page-token": ("approved", Visitor.page_token),
    "review-request-incomplete": ("permission-missing", Visitor.incomplete_request),
    "settings-basic-secret": ("approved", Visitor.shown_secret),
    "explorer-token": ("approved", Visitor.token),
    "explorer-call": ("approved", Visitor.test_call),
    "not-found": ("approved", lambda v: v.dashboard("/nowhere/")),
    "console": ("approved", lambda v: v.console("/")),
    "setup": ("approved", lambda v: v.console("/connectors/library/CONNECTOR/setup/")),
    "account-empty": ("review-pending", lambda v: v.console("/accounts/ACCOUNT/connectors/")),
    "account-setup-link": ("approved", Visitor.setup_link),
    "sign-in-forbidden": (
        "approved",
        lambda v: v.connect("/connectorauth/updateaccountconnectoroauth?id=1&token=x"),
    ),
    "callback-error": ("approved", lambda v: v.connect("/connector/callback?error=access_denied")),
    "callback-message": ("approved", Visitor.authenticated),
    "website": ("approved", lambda v: v.website("/privacy")),
}
# The cookies of the log-in to each scenario's sandbox, for all tests.
LOGGED_IN: dict[str, Any] = {}
VISITED: set[str] = set()
SHOWN: set[str] = set()


@pytest.fixture(scope="module")
def sandboxes() -> Iterator[Callable[[str], Sandbox]]:
    """Return a function that gives one sandbox for each scenario, started at its first use."""
    running: dict[str, Sandbox] = {}

    def get(scenario: str) -> Sandbox:
        if scenario not in running:
            running[scenario] = Sandbox(scenario, seed=3).__enter__()
        return running[scenario]

    yield get
    for sandbox in running.values():
        sandbox.__exit__(None, None, None)


@pytest.fixture
def visit(
    page: Page, sandboxes: Callable[[str], Sandbox], monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], Visitor]:
    """Return a function that opens one of the pages and records the templates that it shows."""
    get_template = page_templates._TEMPLATES.get_template

    def note(name: str, *more: Any) -> Any:
        SHOWN.add(name)
        return get_template(name, *more)

    monkeypatch.setattr(page_templates._TEMPLATES, "get_template", note)

    def go(name: str) -> Visitor:
        scenario, lead = PAGES[name]
        visitor = Visitor(page, sandboxes(scenario))
        if scenario in LOGGED_IN:
            page.context.add_cookies(LOGGED_IN[scenario])
        else:
            visitor.dashboard("/login")
            visitor.log_in()
            LOGGED_IN[scenario] = page.context.cookies()
        lead(visitor)
        page.wait_for_load_state()
        VISITED.add(name)
        return visitor

    return go


@pytest.mark.matrix(10)
@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_accessible_and_marked(
    visit: Callable[[str], Visitor], axe: str, name: str
) -> None:
    """
    A page has no serious violation in light and dark, says SANDBOX, and fits all widths.

    It has one `main` landmark and one heading of the first level.
    """
    page = visit(name).page
    expect(page).to_have_title(re.compile("^SANDBOX"))
    expect(page.locator("body")).to_contain_text("SANDBOX", use_inner_text=True)
    expect(page.get_by_role("main")).to_have_count(1)
    expect(page.get_by_role("heading", level=1)).to_have_count(1)
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        keep_picture(page, f"sandbox-{name}-{width}")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme)
        assert violations(page, axe) == []


@pytest.mark.costly("visits each page that no other test has, and the browser ends with it")
@pytest.mark.matrix(0)
def test_every_template_is_tested(visit: Callable[[str], Visitor]) -> None:
    """Each template is shown by one of the pages above."""
    for name in set(PAGES) - VISITED:
        visit(name)
    parts = re.compile(r"_|.*base\.html")
    every = {path.name for path in TEMPLATES.glob("*.html") if not parts.match(path.name)}
    assert every - SHOWN == set()


def test_a_violation_is_found(browser: Browser, axe: str) -> None:
    """An input without a label, and grey on grey, are found."""
    page = browser.new_page()
    page.set_content(
        "<html lang=en><title>x</title><main><h1>x</h1><input>"
        "<p style='color:#aaa;background:#bbb'>unreadable</p></main></html>"
    )
    found = violations(page, axe)
    page.close()
    assert {one.partition(" ")[0] for one in found} == {"label", "color-contrast"}
