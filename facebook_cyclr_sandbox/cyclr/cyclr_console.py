"""
The Cyclr Console, one page of forms: settings, library and setup, accounts, install, authenticate.
"""

from typing import Any

from facebook_cyclr_sandbox.cyclr.cyclr_api import (
    MAX_ACCOUNTS,
    add_account_connector,
    issue_sign_in_token,
)
from facebook_cyclr_sandbox.cyclr.cyclr_json import CyclrError, add_nosniff_header
from facebook_cyclr_sandbox.cyclr.service_domain import build_sign_in_link
from facebook_cyclr_sandbox.http.page_visit import (
    PageNotFoundError,
    PageVisit,
    handle_page_request,
    see_other,
)
from facebook_cyclr_sandbox.http.router import Router
from facebook_cyclr_sandbox.http.site import Site
from facebook_cyclr_sandbox.http.web_messages import WebRequest, WebResponse, redirect_response
from facebook_cyclr_sandbox.state.cyclr_state import (
    Account,
    AccountConnector,
    LibraryConnector,
    find_by_number,
)


def _find_account(visit: PageVisit, account_id: str) -> Account:
    account = visit.state.cyclr.accounts.get(account_id)
    if account is None:
        raise PageNotFoundError("There is no such account.")
    return account


console_router = Router(account_id=_find_account)


class CyclrConsoleSite(Site):
    """my.cyclr.com of the sandbox."""

    name = "cyclr-console"

    def __call__(self, request: WebRequest) -> WebResponse:
        """Respond to one request."""
        response = handle_page_request(self._state, request, console_router, "Cyclr Console")
        return add_nosniff_header(response)


# --- the page --------------------------------------------------------------------------------
_MENU = {
    "library": "Connectors > Connector Library",
    "accounts": "Accounts > Account Management",
    "general-settings": "Settings > General Settings",
    "client-credentials": "Settings > OAuth Client Credentials",
}
_ACTIONS = {
    "authenticate": "Authenticate",
    "setup-token": "Generate Setup Token",
    "deauthenticate": "De-authenticate",
    "remove": "Remove",
}


def _render_console(visit: PageVisit, group: str, problem: str = "", **more: Any) -> WebResponse:
    """Return the console's page, open at `group`."""
    cyclr = visit.state.cyclr
    known = {
        "entries": list(_MENU.items()),
        "current": group,
        "problem": problem,
        "cyclr": cyclr,
        "library": list(cyclr.library.values()),
        "accounts": list(cyclr.accounts.values()),
        "account": None,
        "connector": None,
        "setup_link": "",
        "installed": (),
        "actions": _ACTIONS,
    }
    return visit.render("cyclr.html", 400 if problem else 200, **{**known, **more})


@console_router.route("GET", "/settings/general")
def show_general_settings(visit: PageVisit) -> WebResponse:
    """Show General Settings with the Service Domain (cyclr §2)."""
    return _render_console(visit, "general-settings")


@console_router.route("GET", "/settings/oauth-client-credentials")
def show_api_clients(visit: PageVisit) -> WebResponse:
    """Show the OAuth client credentials of the Cyclr API (cyclr §3)."""
    return _render_console(visit, "client-credentials")


# --- Connectors > Connector Library ----------------------------------------------------------
@console_router.route("GET", "/")
@console_router.route("GET", "/connectors/library")
def show_library(visit: PageVisit) -> WebResponse:
    """Show the Connector Library (cyclr §1)."""
    return _render_console(visit, "library")


@console_router.route("GET POST", "/connectors/library/{number}/setup")
def set_up_connector(visit: PageVisit, number: str) -> WebResponse:
    """Show or save a connector's Setup (cyclr §2)."""
    connector = _find_connector(visit, number)
    if visit.request.method == "POST":
        connector.client_id = visit.get_form_text("client_id")
        secret = visit.get_form_text("client_secret")
        if secret or not connector.client_id:
            connector.client_secret = secret
        if connector.webhook_id:
            connector.scopes = visit.get_form_text("scopes")
            connector.verify_token = visit.get_form_text("verify_token")
        return see_other("/connectors/library/", f"{connector.name}: changes saved.")
    return _render_console(visit, "setup", connector=connector)


def _find_connector(visit: PageVisit, number: str) -> LibraryConnector:
    connector = find_by_number(visit.state.cyclr.library, number)
    if connector is None:
        raise PageNotFoundError("There is no such connector.")
    return connector


# --- Accounts --------------------------------------------------------------------------------
@console_router.route("GET POST", "/accounts")
def manage_accounts(visit: PageVisit) -> WebResponse:
    """Show Account Management, or create an account (cyclr §2)."""
    accounts = visit.state.cyclr.accounts
    problem = ""
    if visit.request.method == "POST":
        name = visit.get_form_text("name")
        if name and len(accounts) < MAX_ACCOUNTS:
            account = Account(visit.state.random_source.guid(), name, visit.state.now())
            accounts[account.id] = account
            return see_other(f"/accounts/{account.id}/connectors/", "The account is created.")
        problem = "Name is required."
    return _render_console(visit, "accounts", problem)


@console_router.route("GET POST", "/accounts/{account_id}/connectors")
def manage_connectors(visit: PageVisit, account: Account) -> WebResponse:
    """Show an account's connectors, or install one (cyclr §2)."""
    problem = ""
    if visit.request.method == "POST":
        connector = _find_connector(visit, visit.get_form_text("connector"))
        try:
            add_account_connector(visit.state, account.id, connector, connector.name)
            here = f"/accounts/{account.id}/connectors/"
            return see_other(here, f"{connector.name} is installed.")
        except CyclrError as error:
            problem = error.message
    return _render_account(visit, account, problem=problem)


def _render_account(
    visit: PageVisit, account: Account, *, problem: str = "", setup_link: str = ""
) -> WebResponse:
    installed = visit.state.cyclr.list_installed(account.id)
    more = {"account": account, "installed": installed, "setup_link": setup_link}
    return _render_console(visit, "account", problem, **more)


@console_router.route("POST", "/accounts/{account_id}/connectors/{number}/{action}")
def change_connector(visit: PageVisit, account: Account, number: str, action: str) -> WebResponse:
    """
    Authenticate, de-authenticate or remove an installed connector, or make a setup link
    (cyclr §4).
    """
    connectors = visit.state.cyclr.list_installed(account.id)
    installed = next((connector for connector in connectors if str(connector.id) == number), None)
    if installed is None:
        raise PageNotFoundError("There is no such connector in this account.")
    here = f"/accounts/{account.id}/connectors/"
    if action in {"authenticate", "setup-token"}:
        return _start_sign_in(visit, account, installed, is_link=action == "setup-token")
    if action == "deauthenticate":
        installed.is_authenticated = False
        installed.access_token = ""
        return see_other(here, f"{installed.name} is de-authenticated.")
    if action == "remove":
        visit.state.cyclr.uninstall(installed)
        return see_other(here, f"{installed.name} is removed.")
    raise PageNotFoundError("There is no such action.")


def _start_sign_in(
    visit: PageVisit, account: Account, installed: AccountConnector, *, is_link: bool
) -> WebResponse:
    """
    Open the sign-in link in the browser, or show it as a setup link.

    A browser cannot resolve the service domain, so it uses the plain-HTTP copy on loopback.
    """
    state = visit.state
    token = issue_sign_in_token(state, account, state.facebook.operator.email)
    back = f"{state.addresses.cyclr_console}/accounts/{account.id}/connectors/"
    base = (
        f"https://{state.cyclr.service_domain}" if is_link else state.addresses.service_domain_http
    )
    link = build_sign_in_link(base, installed.id, token.value, back)
    return (
        _render_account(visit, account, setup_link=link)
        if is_link
        else redirect_response(link, 303)
    )
