"""
The Cyclr API: token, accounts, library, installed connectors and their methods (cyclr §3).

`CyclrApiSite` checks the caller once, before any handler: a valid token, and for account calls an
account.
"""

import hmac
import json
import math
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from facebook_cyclr_sandbox.cyclr.cyclr_json import (
    CyclrError,
    account_connector_json,
    account_json,
    add_nosniff_header,
    connector_json,
    json_response,
    method_json,
    sign_in_json,
    token_json,
)
from facebook_cyclr_sandbox.graph.dispatch import handle_graph_call
from facebook_cyclr_sandbox.http.router import Router
from facebook_cyclr_sandbox.http.site import Site
from facebook_cyclr_sandbox.http.web_messages import WebRequest, WebResponse
from facebook_cyclr_sandbox.state.cyclr_state import (
    Account,
    AccountConnector,
    ApiToken,
    ConnectorMethod,
    ConnectorProperty,
    LibraryConnector,
    SignInToken,
    find_by_number,
)
from facebook_cyclr_sandbox.state.sandbox_state import SandboxState

TOKEN_LIFETIME_SECONDS = 14 * 86_400
SIGN_IN_LIFETIME_SECONDS = 300
MAX_ACCOUNTS = 2_000
_MAX_USERS = 2_000
_MAX_ACCOUNT_CONNECTORS = 2_000
_DENIED = "Authorization has been denied for this request."

_Item = TypeVar("_Item")


@dataclass(frozen=True)
class CyclrCall:
    """One authorised call; `account` is set for account calls."""

    state: SandboxState
    request: WebRequest
    token: ApiToken
    account: Account | None = None

    def require_account(self) -> Account:
        """Return the account of an account call; raise 401 for any other call."""
        if self.account is None:
            raise CyclrError(401, _DENIED)
        return self.account

    def document(self) -> dict[str, Any]:
        """Return the body as a JSON object, or as form fields; an empty one is allowed."""
        form = self.request.form
        if not form and not self.request.body.strip():
            return {}
        try:
            document = json.loads(self.request.body.decode("utf-8-sig"))
        except (ValueError, RecursionError):
            document = dict(form) if form else None
        if not isinstance(document, dict):
            raise CyclrError(400, "The request is invalid.")
        return document


api_router = Router()


# --- token -----------------------------------------------------------------------------------
def issue_api_token(state: SandboxState, request: WebRequest) -> WebResponse:
    """Respond to `/oauth/token` (cyclr §3)."""
    form = request.form
    if form.get("grant_type") != "client_credentials":
        return json_response({"error": "unsupported_grant_type"}, 400)
    secret = state.cyclr.client_secrets.get(form.get("client_id", ""), "")
    offered = form.get("client_secret", "")
    if not secret or not hmac.compare_digest(secret.encode(), offered.encode()):
        return json_response({"error": "invalid_client"}, 400)
    account_id = ""
    scope = form.get("scope", "")
    if scope:
        kind, _, account_id = scope.partition(":")
        if kind != "account" or account_id not in state.cyclr.accounts:
            return json_response({"error": "invalid_scope"}, 400)
    token = ApiToken(
        state.random_source.base64url(160),
        form["client_id"],
        account_id,
        state.now() + TOKEN_LIFETIME_SECONDS,
    )
    state.cyclr.tokens.put(token.value, token)
    return json_response(token_json(token, state.now()))


# --- paging ----------------------------------------------------------------------------------
def _respond_with_page(
    call: CyclrCall, items: Sequence[_Item], to_json: Callable[[_Item], dict[str, Any]]
) -> WebResponse:
    size = _read_number(call.request.query_params, "pageSize", 50, most=1_000)
    number = _read_number(call.request.query_params, "page", 1, most=1_000_000)
    rows = [to_json(item) for item in items[(number - 1) * size : number * size]]
    pages = max(1, math.ceil(len(items) / size))
    return json_response(rows, headers=(("Total-Pages", str(pages)),))


def _read_number(query: Mapping[str, str], name: str, default: int, *, most: int) -> int:
    text = query.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit()) or len(text) > 9 or int(text) < 1:
        raise CyclrError(400, "The request is invalid.")
    return min(int(text), most)


# --- accounts --------------------------------------------------------------------------------
@api_router.route("GET", "/v1.0/accounts")
def list_accounts(call: CyclrCall) -> WebResponse:
    """List the accounts (cyclr §3)."""
    return _respond_with_page(call, tuple(call.state.cyclr.accounts.values()), account_json)


@api_router.route("POST", "/v1.0/accounts")
def create_account(call: CyclrCall) -> WebResponse:
    """Create an account (cyclr §3)."""
    document = call.document()
    name = document.get("Name")
    if not isinstance(name, str) or not name.strip():
        raise CyclrError(400, "Name is required")
    wanted = document.get("Id")
    account_id = str(wanted) if wanted else call.state.random_source.guid()
    accounts = call.state.cyclr.accounts
    if account_id in accounts:
        raise CyclrError(400, "ID already in use")
    if len(accounts) >= MAX_ACCOUNTS:
        raise CyclrError(400, "The sandbox cannot hold more accounts.")
    account = Account(
        account_id,
        name,
        call.state.now(),
        description=_read_string(document, "Description"),
        timezone=_read_string(document, "Timezone") or "Europe/London",
    )
    accounts[account_id] = account
    return json_response(account_json(account))


def _read_string(document: Mapping[str, Any], name: str) -> str | None:
    value = document.get(name)
    return value if isinstance(value, str) else None


def _find_account(call: CyclrCall, account_id: str) -> Account:
    account = call.state.cyclr.accounts.get(account_id)
    if account is None or call.token.account_id not in {"", account_id}:
        raise CyclrError(404, "Account not found.")
    return account


@api_router.route("GET", "/v1.0/accounts/{account_id}")
def show_account(call: CyclrCall, account_id: str) -> WebResponse:
    """Show one account (cyclr §3)."""
    return json_response(account_json(_find_account(call, account_id)))


@api_router.route("POST", "/v1.0/accounts/{account_id}/signintoken")
def create_sign_in_token(call: CyclrCall, account_id: str) -> WebResponse:
    """Issue a sign-in token (cyclr §4)."""
    account = _find_account(call, account_id)
    username = _read_string(call.document(), "Username")
    if not username:
        raise CyclrError(400, "Username is required")
    return json_response(sign_in_json(issue_sign_in_token(call.state, account, username)))


def issue_sign_in_token(state: SandboxState, account: Account, username: str) -> SignInToken:
    """Issue a sign-in token for `username`; create the user if unknown."""
    if len(account.users) < _MAX_USERS:
        account.users.add(username)
    value = state.random_source.alphanumeric(43) + "="
    token = SignInToken(value, account.id, username, state.now() + SIGN_IN_LIFETIME_SECONDS)
    state.cyclr.sign_in_tokens.put(value, token)
    return token


@api_router.route("GET", "/v1.0/connectors")
def list_connectors(call: CyclrCall) -> WebResponse:
    """List the connectors of the library (cyclr §3)."""
    call.require_account()
    query = call.request.query_params.get("query", "").lower()
    connectors = [
        connector
        for connector in call.state.cyclr.library.values()
        if query in connector.name.lower()
    ]
    return _respond_with_page(
        call, sorted(connectors, key=lambda connector: connector.name), connector_json
    )


@api_router.route("GET", "/v1.0/connectors/{which}/methods")
def list_methods(call: CyclrCall, which: str) -> WebResponse:
    """List a connector's methods (cyclr §3)."""
    call.require_account()
    return json_response([method_json(method) for method in _find_connector(call, which).methods])


def _find_connector(call: CyclrCall, which: str) -> LibraryConnector:
    connector = find_by_number(call.state.cyclr.library, which)
    if connector is None:
        raise CyclrError(404, "Connector not found.")
    return connector


# --- installing ------------------------------------------------------------------------------
@api_router.route("POST", "/v1.0/connectors/{which}/install")
def install_connector(call: CyclrCall, which: str) -> WebResponse:
    """Install a connector of the library in the account (cyclr §3)."""
    account = call.require_account()
    connector = _find_connector(call, which)
    document = call.document()
    if not call.request.body.strip():
        raise CyclrError(400, "The request is invalid.")
    if connector.status == "Draft":
        raise CyclrError(400, f"Connector {connector.id} is a draft and cannot be installed.")
    properties = _read_properties(call.state, connector, document.get("Properties"))
    name = _read_string(document, "Name") or connector.name
    installed = add_account_connector(call.state, account.id, connector, name)
    installed.properties = properties
    return json_response(_account_connector_json(call.state, installed))


def add_account_connector(
    state: SandboxState, account_id: str, connector: LibraryConnector, name: str
) -> AccountConnector:
    """Put a connector of the library into an account, not yet authenticated."""
    cyclr = state.cyclr
    if any(installed.name == name for installed in cyclr.list_installed(account_id)):
        raise CyclrError(400, f"Account connector name {name} is in use.")
    if len(cyclr.account_connectors) >= _MAX_ACCOUNT_CONNECTORS:
        raise CyclrError(400, "The sandbox cannot hold more connectors.")
    installed = AccountConnector(cyclr.new_id(), account_id, connector.id, name)
    cyclr.account_connectors[installed.id] = installed
    for cycle in cyclr.cycles.values():
        if cycle.account_id == account_id and not cycle.account_connector_ids:
            cycle.account_connector_ids.append(installed.id)
    return installed


def _read_properties(
    state: SandboxState, connector: LibraryConnector, rows: Any
) -> list[ConnectorProperty]:
    """Return the properties of an installation; the connector must declare each."""
    declared = {parameter.target_name: parameter for parameter in connector.parameters}
    properties = []
    for row in rows if isinstance(rows, list) else ():
        name = str(row.get("Name")) if isinstance(row, dict) else str(row)
        if name not in declared:
            raise CyclrError(400, f"There is not a connector property that matches name '{name}'.")
        if not declared[name].is_property:
            message = f"Connector property name '{name}' is not an account connector property."
            raise CyclrError(400, message)
        value = str(row.get("Value", "")) if isinstance(row, dict) else ""
        properties.append(ConnectorProperty(state.cyclr.new_id(), name, value))
    return properties


# --- installed connectors --------------------------------------------------------------------
def _find_account_connector(call: CyclrCall, number: str) -> AccountConnector:
    account = call.require_account()
    installed = find_by_number(call.state.cyclr.account_connectors, number)
    if installed is None or installed.account_id != account.id:
        raise CyclrError(404, "Account connector not found.")
    return installed


def _account_connector_json(state: SandboxState, installed: AccountConnector) -> dict[str, Any]:
    return account_connector_json(installed, state.cyclr.library[installed.connector_id])


@api_router.route("GET", "/v1.0/account/connectors")
def list_installed(call: CyclrCall) -> WebResponse:
    """List the connectors that are installed in the account (cyclr §3)."""
    installed = call.state.cyclr.list_installed(call.require_account().id)
    return _respond_with_page(
        call, installed, lambda connector: _account_connector_json(call.state, connector)
    )


# --- methods: Cyclr calls Facebook with its stored token ------------------------------
@api_router.route("POST", "/v1.0/account/connectors/{number}/methods/{unique_id}")
def call_method(call: CyclrCall, number: str, unique_id: str) -> WebResponse:
    """Run a method of an installed connector (cyclr §3)."""
    if call.state.cyclr.is_ip_blocked:
        raise CyclrError(
            403,
            "Unknown client IP Address: contact support to request access for this IP address",
        )
    installed = _find_account_connector(call, number)
    method = _find_method(call.state.cyclr.library[installed.connector_id], unique_id)
    return _run_method(call.state, installed, method, call.document())


def _find_method(connector: LibraryConnector, unique_id: str) -> ConnectorMethod:
    try:
        wanted = str(uuid.UUID(unique_id))
    except ValueError:
        raise CyclrError(400, "The method unique identifier is not valid.") from None
    for method in connector.methods:
        if method.unique_id == wanted:
            return method
    raise CyclrError(404, "Method not found.")


def _run_method(
    state: SandboxState, installed: AccountConnector, method: ConnectorMethod, document: object
) -> WebResponse:
    if not installed.is_authenticated or not installed.access_token:
        raise CyclrError(400, "Failed to authenticate the connector")
    values = _read_parameters(method, document)
    path = method.path
    for name, value in values.items():
        path = path.replace("{" + name + "}", value)
    token = installed.access_token
    if "{page_id}" in method.path:
        token = _fetch_page_token(state, token, values["page_id"])
    response = handle_graph_call(state, "GET", f"/v26.0/{path}", {"access_token": token})
    if response.status != 200:
        raise CyclrError(400, json.loads(response.body)["error"]["message"])
    return WebResponse(200, response.body, (("Content-Type", "application/json; charset=utf-8"),))


def _fetch_page_token(state: SandboxState, token: str, page_id: str) -> str:
    params = {"access_token": token, "fields": "access_token"}
    response = handle_graph_call(state, "GET", "/v26.0/me/accounts", params)
    rows = json.loads(response.body).get("data", [])
    return next((row["access_token"] for row in rows if row["id"] == page_id), token)


def _read_parameters(method: ConnectorMethod, document: object) -> dict[str, str]:
    values: Mapping[str, Any] = {}
    if isinstance(document, dict) and isinstance(document.get("Parameters"), dict):
        values = document["Parameters"]
    known = {str(number): name for number, name in method.parameters}
    for key in values:
        if key not in known:
            raise CyclrError(400, f"Parameter {key} is not a parameter of this method.")
    values = {known[key]: str(value) for key, value in values.items()}
    for name in known.values():
        value = values.get(name, "")
        if not value.isascii() or not value.isalnum():
            raise CyclrError(400, f"Parameter {name} is required.")
    return values


# --- cycles ----------------------------------------------------------------------------------
@api_router.route("GET", "/v1.0/cycles/{cycle_id}/prerequisites")
def list_prerequisites(call: CyclrCall, cycle_id: str) -> WebResponse:
    """List the obstacles to a cycle's start (cyclr §3)."""
    account = call.require_account()
    cycle = call.state.cyclr.cycles.get(cycle_id)
    if cycle is None or cycle.account_id != account.id:
        raise CyclrError(404, "Cycle not found.")
    installed = call.state.cyclr.account_connectors
    return json_response(
        [
            {
                "ReasonCode": 20,
                "Reason": "Unauthenticated connector",
                "ObjectType": "AccountConnector",
                "ObjectId": number,
            }
            for number in cycle.account_connector_ids
            if not installed[number].is_authenticated
        ]
    )


# --- the site: caller and account ---------------------------------------------------
class CyclrApiSite(Site):
    """api.cyclr.com of the sandbox."""

    name = "cyclr-api"

    def __call__(self, request: WebRequest) -> WebResponse:
        """Respond to one request."""
        try:
            if request.is_oversized:
                raise CyclrError(413, "The request is too large.")
            return add_nosniff_header(self._respond(request))
        except CyclrError as error:
            return add_nosniff_header(error.response())

    def _respond(self, request: WebRequest) -> WebResponse:
        if request.path.rstrip("/").lower() == "/oauth/token" and request.method == "POST":
            return issue_api_token(self._state, request)
        method = "GET" if request.method == "HEAD" else request.method
        match = api_router.match(method, request.path)
        if match is not None:
            handler, placeholders = match
            token = self._authenticate_request(request)
            account = self._find_account(request, token)
            return handler(CyclrCall(self._state, request, token, account), **placeholders)
        status = 405 if api_router.has_path(request.path) else 404
        route = f"{request.method} {request.path[:200]}"
        raise CyclrError(status, f"The sandbox does not answer {route}.")

    def _authenticate_request(self, request: WebRequest) -> ApiToken:
        kind, _, value = request.headers.get("authorization", "").partition(" ")
        token = self._state.cyclr.tokens.get(value.strip())
        if kind.lower() != "bearer" or token is None or token.expires_at <= self._state.now():
            raise CyclrError(401, _DENIED, (("WWW-Authenticate", "Bearer"),))
        return token

    def _find_account(self, request: WebRequest, token: ApiToken) -> Account | None:
        named = request.headers.get("x-cyclr-account")
        account_id = token.account_id if named is None else named.strip()
        if token.account_id not in {"", account_id}:
            return None
        return self._state.cyclr.accounts.get(account_id)
