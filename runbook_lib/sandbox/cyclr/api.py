"""
The Cyclr API: token, accounts, connectors, installed connectors (cyclr §3).

Console and sign-in link are elsewhere. Who calls is settled here, once, before
any handler: a valid token, and for account calls an account.
"""

import hmac
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote

from runbook_lib.sandbox.cyclr.shapes import (
    CyclrError,
    account_shape,
    connector_shape,
    json_reply,
    method_shape,
    sign_in_shape,
    token_shape,
)
from runbook_lib.sandbox.http.routing import Router
from runbook_lib.sandbox.http.web import Reply, Request
from runbook_lib.sandbox.origins import inferred, unknown, verbatim
from runbook_lib.sandbox.state.cyclr_world import (
    Account,
    ApiToken,
    LibraryConnector,
    SignInToken,
)
from runbook_lib.sandbox.state.world import World

__all__ = ["ApiCall", "Handler", "accounts_router", "find_connectors", "issue_token", "paged"]

TOKEN_LIFETIME = 14 * 86_400
SIGN_IN_LIFETIME = 300
_MOST_ACCOUNTS = 2_000
_MOST_USERS = 2_000

_Item = TypeVar("_Item")


@dataclass(frozen=True)
class ApiCall:
    """One authorised call; `account` is set for account calls."""

    world: World
    request: Request
    token: ApiToken
    account: Account | None = None

    @property
    def in_account(self) -> Account:
        """The account of an account call."""
        if self.account is None:
            raise CyclrError(401, "Authorization has been denied for this request.")
        return self.account

    def document(self) -> dict[str, Any]:
        """Return the body as a JSON object, or as form fields; an empty one is allowed."""
        if self.request.form:
            document: object = _json_or_form(self.request)
        else:
            document = self._parsed()
        if not isinstance(document, dict):
            raise CyclrError(400, "The request is invalid.")
        return document

    def _parsed(self) -> object:
        if not self.request.body.strip():
            return {}
        try:
            return self.request.json()
        except ValueError:
            raise CyclrError(400, "The request is invalid.") from None


def _json_or_form(request: Request) -> object:
    try:
        return request.json()
    except ValueError:
        return dict(request.form)


Handler = Callable[..., Reply]
accounts_router: Router[Handler] = Router()


# --- token -----------------------------------------------------------------------------------
@verbatim("cyclr §3", "POST /oauth/token, client_credentials, scope=account:{id}", "cyclr/docs")
@unknown("cyclr §3", "a refused token request: 400 with an RFC 6749 error")
def issue_token(world: World, request: Request) -> Reply:
    """Answer `/oauth/token`."""
    form = request.form
    if form.get("grant_type") != "client_credentials":
        return json_reply({"error": "unsupported_grant_type"}, 400)
    secret = world.cyclr.clients.get(form.get("client_id", ""), "")
    given = form.get("client_secret", "")
    if not secret or not hmac.compare_digest(secret.encode(), given.encode()):
        return json_reply({"error": "invalid_client"}, 400)
    account_id = ""
    scope = form.get("scope", "")
    if scope:
        kind, _, account_id = scope.partition(":")
        if kind != "account" or account_id not in world.cyclr.accounts:
            return json_reply({"error": "invalid_scope"}, 400)
    token = ApiToken(
        world.dice.base64url(160),
        form["client_id"],
        account_id,
        world.now() + TOKEN_LIFETIME,
    )
    world.cyclr.tokens.put(token.value, token)
    return json_reply(token_shape(token, world.now()))


# --- paging ----------------------------------------------------------------------------------
@verbatim("cyclr §3", "pageSize, page and the Total-Pages header", "live-tested client")
@unknown("cyclr §3", "default page size and the number of the first page: 50, and 1")
def paged(call: ApiCall, items: Sequence[_Item], shape: Callable[[_Item], dict[str, Any]]) -> Reply:
    """Return one page of `items`."""
    size = _number(call.request.query, "pageSize", 50, most=1_000)
    number = _number(call.request.query, "page", 1, most=1_000_000)
    if call.request.query.get("sortOrderAsc", "true").lower() == "false":
        items = items[::-1]
    rows = [shape(item) for item in items[(number - 1) * size : number * size]]
    pages = max(1, math.ceil(len(items) / size))
    return json_reply(rows, headers=(("Total-Pages", str(pages)),))


def _number(query: Mapping[str, str], name: str, default: int, *, most: int) -> int:
    text = query.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit()) or len(text) > 9 or int(text) < 1:
        raise CyclrError(400, "The request is invalid.")
    return min(int(text), most)


# --- accounts --------------------------------------------------------------------------------
@accounts_router.route("GET", "/v1.0/accounts")
@verbatim("cyclr §3", "GET /accounts: a bare array", "test suite, live-tested client")
def list_accounts(call: ApiCall) -> Reply:
    """List the accounts."""
    return paged(call, tuple(call.world.cyclr.accounts.values()), account_shape)


@accounts_router.route("POST", "/v1.0/accounts")
@verbatim("cyclr §3", "POST /accounts: 200; `ID already in use`; `Name is required`", "test suite")
def create_account(call: ApiCall) -> Reply:
    """Create an account."""
    document = call.document()
    name = document.get("Name")
    if not isinstance(name, str) or not name.strip():
        raise CyclrError(400, "Name is required")
    wanted = document.get("Id")
    account_id = str(wanted) if wanted else call.world.dice.guid()
    if account_id in call.world.cyclr.accounts:
        raise CyclrError(400, "ID already in use")
    return json_reply(account_shape(_add_account(call, account_id, document)))


def _add_account(call: ApiCall, account_id: str, document: Mapping[str, Any]) -> Account:
    accounts = call.world.cyclr.accounts
    if len(accounts) >= _MOST_ACCOUNTS:
        raise CyclrError(400, "The sandbox holds as many accounts as it can.")
    account = Account(
        account_id,
        str(document["Name"]),
        call.world.now(),
        description=_text(document, "Description"),
        timezone=_text(document, "Timezone") or "Europe/London",
    )
    accounts[account_id] = account
    return account


def _text(document: Mapping[str, Any], name: str) -> str | None:
    value = document.get(name)
    return value if isinstance(value, str) else None


def _account(call: ApiCall, account_id: str) -> Account:
    account = call.world.cyclr.accounts.get(account_id)
    if account is None or call.token.account_id not in {"", account_id}:
        raise CyclrError(404, "Account not found.")
    return account


@accounts_router.route("GET", "/v1.0/accounts/{account_id}")
@verbatim("cyclr §3", "an unknown account: 404 (its Message is unknown)", "test suite")
def show_account(call: ApiCall, account_id: str) -> Reply:
    """Show one account."""
    return json_reply(account_shape(_account(call, account_id)))


@accounts_router.route("PUT", "/v1.0/accounts/{account_id}")
def change_account(call: ApiCall, account_id: str) -> Reply:
    """Change an account's name, description and time zone."""
    account = _account(call, account_id)
    document = call.document()
    account.name = _text(document, "Name") or account.name
    account.description = _text(document, "Description") or account.description
    account.timezone = _text(document, "Timezone") or account.timezone
    return json_reply(account_shape(account))


@accounts_router.route("DELETE", "/v1.0/accounts/{account_id}")
@unknown("cyclr §3", "the body of a successful DELETE: empty")
def delete_account(call: ApiCall, account_id: str) -> Reply:
    """Delete an account and what is installed in it."""
    account = _account(call, account_id)
    cyclr = call.world.cyclr
    del cyclr.accounts[account.id]
    for number in [
        n for n, one in cyclr.account_connectors.items() if one.account_id == account.id
    ]:
        del cyclr.account_connectors[number]
    return json_reply(None)


@accounts_router.route("POST", "/v1.0/accounts/{account_id}/signintoken")
@verbatim("cyclr §4", "signintoken: unknown user is created; single use; 5 minutes", "cyclr/docs")
@unknown("cyclr §4", "signintoken without a Username: 400, this Message")
def create_sign_in_token(call: ApiCall, account_id: str) -> Reply:
    """Issue a sign-in token."""
    account = _account(call, account_id)
    username = _text(call.document(), "Username")
    if not username:
        raise CyclrError(400, "Username is required")
    return json_reply(sign_in_shape(issue_sign_in_token(call.world, account, username)))


def issue_sign_in_token(world: World, account: Account, username: str) -> SignInToken:
    """Issue a sign-in token for `username`, who is created when unknown."""
    if len(account.users) < _MOST_USERS:
        account.users.add(username)
    value = world.dice.alphanumeric(43) + "="
    token = SignInToken(value, account.id, username, world.now() + SIGN_IN_LIFETIME)
    world.cyclr.sign_in_tokens.put(value, token)
    return token


@accounts_router.route("POST", "/v1.0/accounts/{account_id}/orbit")
@verbatim("cyclr §3", "orbit: Token, ExpiresAtUtc, OrbitUrl", "test suite")
@inferred("cyclr §1", "the host of OrbitUrl and LaunchUrl is the service domain")
@unknown("cyclr §3", "the path and query of OrbitUrl and LaunchUrl")
def open_orbit(call: ApiCall, account_id: str) -> Reply:
    """Give the address of an account's embedded marketplace."""
    token = issue_sign_in_token(call.world, _account(call, account_id), "orbit")
    url = f"https://{call.world.cyclr.service_domain}/orbit?token={quote(token.value, safe='')}"
    return json_reply({**sign_in_shape(token), "OrbitUrl": url})


@accounts_router.route("POST", "/v1.0/accounts/{account_id}/launch")
@verbatim("cyclr §3", "launch: AccountId, ExpiresAtUtc, LaunchUrl, Token; creates the account")
@verbatim("cyclr §3", "launch must not be called with an account's own token (answer unknown)")
def open_launch(call: ApiCall, account_id: str) -> Reply:
    """Give the address at which an account installs a template; create the account if unknown."""
    if call.token.account_id:
        raise CyclrError(403, "An account restricted token cannot be used here.")
    accounts = call.world.cyclr.accounts
    if account_id not in accounts:
        _add_account(call, account_id, {"Name": account_id})
    token = issue_sign_in_token(call.world, accounts[account_id], "launch")
    url = f"https://{call.world.cyclr.service_domain}/launch?token={quote(token.value, safe='')}"
    return json_reply(
        {
            "AccountId": account_id,
            "ExpiresAtUtc": sign_in_shape(token)["ExpiresAtUtc"],
            "LaunchUrl": url,
            "Token": token.value,
        }
    )


# --- connectors of the library ---------------------------------------------------------------
def find_connectors(world: World, name: str, version: str = "") -> list[LibraryConnector]:
    """Return the connectors called `name` (letter case does not count), in one version or all."""
    return [
        one
        for one in world.cyclr.library.values()
        if one.name.lower() == name.lower() and (not version or one.version == version)
    ]


@accounts_router.route("GET", "/v1.0/connectors")
@verbatim("cyclr §3", "GET /connectors: query, category, paging; account header needed", "client")
@inferred("cyclr §3", "query matches a part of the name, whatever its case")
def list_connectors(call: ApiCall) -> Reply:
    """List the connectors of the library."""
    account = call.in_account
    query = call.request.query.get("query", "").lower()
    category = call.request.query.get("category", "").lower()
    found = [
        one
        for one in call.world.cyclr.library.values()
        if query in one.name.lower() and category in ("", one.category.lower()) and account
    ]
    return paged(call, sorted(found, key=lambda one: one.name), connector_shape)


@accounts_router.route("GET", "/v1.0/connectors/{which}")
@verbatim("cyclr §3", "/connectors/{id} gives an object, /connectors/{name} an array", "test suite")
@unknown("cyclr §3", "an unknown connector name: an empty array; an unknown id: 404")
def show_connector(call: ApiCall, which: str) -> Reply:
    """Show a connector by ID, or all versions of it by name."""
    _ = call.in_account
    if which.isdecimal():
        return json_reply(connector_shape(_connector(call, which)))
    return json_reply([connector_shape(one) for one in find_connectors(call.world, which)])


@accounts_router.route("GET", "/v1.0/connectors/{which}/methods")
def list_methods(call: ApiCall, which: str, version: str = "") -> Reply:
    """List a connector's methods."""
    _ = call.in_account
    query = call.request.query.get("query", "").lower()
    category = call.request.query.get("category", "").lower()
    methods = [
        method_shape(one)
        for one in _connector(call, which, version).methods
        if query in one.name.lower() and category in ("", one.category.lower())
    ]
    return json_reply(methods)


@accounts_router.route("GET", "/v1.0/connectors/{which}/{version}/methods")
def list_methods_of_version(call: ApiCall, which: str, version: str) -> Reply:
    """List the methods of one version of a connector."""
    return list_methods(call, which, version)


@accounts_router.route("GET", "/v1.0/connectors/{which}/{version}")
def show_connector_version(call: ApiCall, which: str, version: str) -> Reply:
    """Show one version of a connector, as an array."""
    _ = call.in_account
    return json_reply([connector_shape(one) for one in find_connectors(call.world, which, version)])


def _connector(call: ApiCall, which: str, version: str = "") -> LibraryConnector:
    if which.isdecimal() and len(which) < 10:
        connector = call.world.cyclr.library.get(int(which))
    else:
        connector = next(iter(find_connectors(call.world, which, version)), None)
    if connector is None:
        raise CyclrError(404, "Connector not found.")
    return connector
