"""Malformed requests at every route get the system's own error, never a 500."""

import asyncio
import json
from functools import cache
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from facebook_cyclr_sandbox.control_api import ControlApi
from facebook_cyclr_sandbox.cyclr.cyclr_api import ApiToken, CyclrApiSite, api_router
from facebook_cyclr_sandbox.cyclr.cyclr_console import CyclrConsoleSite, console_router
from facebook_cyclr_sandbox.cyclr.service_domain import ServiceDomainSite
from facebook_cyclr_sandbox.facebook_web.dashboard import FacebookSite, dashboard_router
from facebook_cyclr_sandbox.graph.application_node import APPLICATION
from facebook_cyclr_sandbox.graph.graph_errors import IDS_DEPRECATED
from facebook_cyclr_sandbox.graph.graph_site import GraphSite
from facebook_cyclr_sandbox.graph.page_nodes import FORM, PAGE
from facebook_cyclr_sandbox.graph.user_nodes import AD_ACCOUNT, BUSINESS, USER
from facebook_cyclr_sandbox.http.asgi import SiteApplication
from facebook_cyclr_sandbox.http.site import Site
from facebook_cyclr_sandbox.http.web_messages import WebResponse
from facebook_cyclr_sandbox.scenarios import build_state
from facebook_cyclr_sandbox.state.sandbox_state import SandboxState

STATE = build_state("approved", seed=11)
STATE.facebook.sessions.put("session", STATE.facebook.operator.id, keep=True)
STATE.cyclr.tokens.put("token", ApiToken("token", "c", "", STATE.now() + 1e9), keep=True)
ANSWERS = STATE.operator_values
INSTALLED = str(next(iter(STATE.cyclr.account_connectors)))

METHODS = st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "BREW"])
TEXTS = st.text(max_size=30) | st.sampled_from(
    ["", "0", "-1", "9" * 400, "²", "٣", "null", "[", "{", "%00", "\x00", "\ud7ff", "é", "a" * 3000]
)
KNOWN = st.sampled_from(
    [*ANSWERS.values(), INSTALLED, STATE.facebook.operator.id, "me", "act_1", "https://[", "//x"]
)
VALUES = TEXTS | KNOWN
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | VALUES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(VALUES, inner, max_size=3),
    max_leaves=6,
)


class Answer:
    """The answer over ASGI."""

    def __init__(self, messages: list[dict[str, Any]]) -> None:
        start, body = messages
        self.status: int = start["status"]
        self.body: bytes = body["body"]
        headers = {name.lower(): value for name, value in start["headers"]}
        self.kind = headers.get(b"content-type", b"").decode()
        assert all(b"\r" not in value and b"\n" not in value for value in headers.values())


def ask(
    site: Site,
    method: str,
    path: str,
    query: str = "",
    headers: dict[str, str] | None = None,
    body: bytes = b"",
    *,
    state: SandboxState = STATE,
) -> Answer:
    """Send one request through the ASGI application of a site."""
    application = SiteApplication(site, state, ControlApi(state, dict), abort=lambda _client: None)
    sent: list[dict[str, Any]] = []
    known = {"host": "127.0.0.1:1", **(headers or {})}
    raw = [(name.encode(), value.encode("latin-1", "replace")) for name, value in known.items()]
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": query.encode("ascii", "replace"),
        "headers": raw,
        "client": ("127.0.0.1", 1),
        "scheme": "http",
    }

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(application(scope, receive, send))
    return Answer(sent)


# NOTE: Hypothesis examines a strategy before it first draws from it, which takes
# longer than drawing, so each is created once.
@cache
def pairs_of(names: tuple[str, ...], most: int) -> st.SearchStrategy[dict[str, str]]:
    """Return a strategy: known and unknown names with any values."""
    return st.dictionaries(st.sampled_from(names) | TEXTS, VALUES, max_size=most)


@cache
def templates_of(templates: tuple[str, ...]) -> st.SearchStrategy[str]:
    """Return a strategy: the path of a route, or any other."""
    return st.sampled_from(templates) | VALUES.map(lambda text: "/" + text)


@st.composite
def bodies(draw: st.DrawFn, names: list[str]) -> tuple[dict[str, str], bytes]:
    """Draw a body and its Content-Type, which may not match."""
    kind = draw(st.sampled_from(["form", "json", "multipart", "raw", "none"]))
    pairs = draw(pairs_of(tuple(names), 4))
    if kind == "form":
        text = urlencode(pairs, errors="replace")
        return {"content-type": "application/x-www-form-urlencoded"}, text.encode()
    if kind == "json":
        document = draw(JSON) if draw(st.booleans()) else pairs
        return {"content-type": "application/json"}, json.dumps(document).encode()
    if kind == "multipart":
        body = draw(st.binary(max_size=60)) or b"--x\r\n\r\n"
        return {"content-type": "multipart/form-data; boundary=x"}, body
    if kind == "raw":
        mime = draw(st.sampled_from(["application/json", "text/plain", "multipart/form-data", "é"]))
        return {"content-type": mime}, draw(st.binary(max_size=60))
    return {}, b""


@st.composite
def queries(draw: st.DrawFn, names: list[str]) -> str:
    """Draw a query string of known and unknown names."""
    pairs = draw(pairs_of(tuple(names), 5))
    return urlencode(pairs, errors="replace") if draw(st.booleans()) else draw(TEXTS)


@st.composite
def paths(draw: st.DrawFn, templates: list[str]) -> str:
    """Draw the path of a route with its parameters filled in, or any other."""
    template = draw(templates_of(tuple(templates)))
    while "{" in template and "}" in template.partition("{")[2]:
        before, _, rest = template.partition("{")
        template = before + draw(VALUES).replace("{", "") + rest.partition("}")[2]
    return template


THOROUGHLY = settings(max_examples=200)

NODE_TYPES = (APPLICATION, FORM, PAGE, AD_ACCOUNT, BUSINESS, USER)
EDGES = sorted({name for kind in NODE_TYPES for name in kind.edges})
GRAPH_PATHS = [
    *("/v26.0/{x}", "/v26.0/{x}/{y}", "/{x}", "/v25.0/me/adaccounts", "/v99.0/{x}", "/", "//"),
    *(f"/v26.0/{{x}}/{edge}" for edge in EDGES),
    *("/v26.0/oauth/access_token", "/oauth/access_token", "/v26.0/debug_token", "/v26.0"),
    *(f"/v26.0/{ANSWERS[name]}/{{x}}" for name in ("app_id", "page_id", "leadgen_form_id")),
]
GRAPH_NAMES = [
    *("access_token", "fields", "limit", "after", "before", "ids", "id", "method", "batch"),
    *("client_id", "client_secret", "grant_type", "redirect_uri", "code", "fb_exchange_token"),
    *("input_token", "appsecret_proof", "status", "permission", "object", "callback_url"),
    *("verify_token", "subscribed_fields", "include_headers"),
]


@THOROUGHLY
@given(
    METHODS,
    paths(GRAPH_PATHS),
    queries(GRAPH_NAMES),
    bodies(GRAPH_NAMES),
    st.sampled_from(["", "user_access_token", "page_access_token", "app"]),
)
@example("GET", "/", "ids=", ({}, b""), "user_access_token")
def test_graph_never_fails(
    method: str, path: str, query: str, body: tuple[dict[str, str], bytes], token: str
) -> None:
    """Every refusal is Graph's error object, with its keys in order."""
    headers, content = body
    if token:
        value = ANSWERS.get(token) or f"{ANSWERS['app_id']}|{ANSWERS['app_secret']}"
        headers = {**headers, "authorization": f"Bearer {value}"}
    answer = ask(GraphSite(STATE), method, path, query, headers, content)
    if method in {"HEAD", "OPTIONS"}:
        assert answer.body == b""
        return
    # NOTE: so Graph refuses root ?ids=.
    assert answer.status < 500 or IDS_DEPRECATED.message.encode() in answer.body
    document = json.loads(answer.body)
    assert answer.kind == "application/json; charset=UTF-8"
    if answer.status != 200:
        assert list(document) == ["error"]
        keys = list(document["error"])
        assert keys[:2] == ["message", "type"]
        assert keys[-1] == "fbtrace_id"
        assert isinstance(document["error"]["code"], int)


CYCLR_PATHS = sorted(
    {template for _, template in api_router.list_routes()}
    | {"/oauth/token", "/v1.0/{x}", f"/v1.0/account/connectors/{INSTALLED}/{{x}}"}
)
CYCLR_NAMES = [
    *("grant_type", "client_id", "client_secret", "scope", "pageSize", "page", "query"),
    *("Name", "Id", "Username", "Value", "Properties", "AuthValue", "Parameters", "Description"),
]


@THOROUGHLY
@given(
    METHODS,
    paths(CYCLR_PATHS),
    queries(CYCLR_NAMES),
    bodies(CYCLR_NAMES),
    st.sampled_from(["", "Bearer token", "Bearer x", "Basic é"]),
    VALUES | st.just(ANSWERS["account_api_id"]),
)
def test_the_cyclr_api_never_fails(
    method: str,
    path: str,
    query: str,
    body: tuple[dict[str, str], bytes],
    authorization: str,
    account: str,
) -> None:
    """Every refusal is a Message, or the token endpoint's error."""
    headers, content = body
    headers = {**headers, "authorization": authorization, "x-cyclr-account": quote(account)}
    answer = ask(CyclrApiSite(STATE), method, path, query, headers, content)
    assert answer.status < 500
    if method == "HEAD" or answer.status == 200:
        return
    document = json.loads(answer.body)
    if "error" not in document or not isinstance(document["error"], dict):
        assert list(document) in (["Message"], ["error"])


PAGE_PATHS = {
    "facebook": [
        *(template for _, template in dashboard_router.list_routes()),
        *("/v26.0/dialog/oauth", "/dialog/oauth", "/login", "/logout"),
    ],
    "console": [
        *(template for _, template in console_router.list_routes()),
        *("/login", "/api/connectors"),
    ],
    "connect": [
        *("/connectorauth/updateaccountconnectoroauth", "/connectorauth/start"),
        *("/connector/callback", "/oauth/token", "/{x}"),
    ],
}
PAGE_NAMES = [
    *("client_id", "redirect_uri", "state", "scope", "response_type", "auth_type", "config_id"),
    *("email", "password", "decision", "choices", "grant", "next", "step", "type", "name"),
    *("contact_email", "purpose", "app_domains", "website_url", "redirect_uris", "q", "notice"),
    *("id", "token", "targetOrigin", "callbackMessage", "code", "error", "connector", "version"),
]
SITES: dict[str, Site] = {
    "facebook": FacebookSite(STATE),
    "console": CyclrConsoleSite(STATE),
    "connect": ServiceDomainSite(STATE),
}


@pytest.mark.parametrize("name", list(SITES))
@THOROUGHLY
@given(data=st.data())
def test_pages_never_fail(name: str, data: st.DataObject) -> None:
    """Every page is one of the sandbox's own, whatever the request."""
    method, path = data.draw(METHODS), data.draw(paths(PAGE_PATHS[name]))
    query, (headers, content) = data.draw(queries(PAGE_NAMES)), data.draw(bodies(PAGE_NAMES))
    cookie = data.draw(st.sampled_from(["", "sandbox_session=session", "=;é\x01", "a=" * 50]))
    headers = {**headers, "cookie": cookie, "accept": "text/html"}
    answer = ask(SITES[name], method, path, query, headers, content)
    assert answer.status < 500
    if answer.kind.startswith("text/html") and method != "HEAD":
        assert b"<title>SANDBOX" in answer.body


@THOROUGHLY
@given(METHODS, st.sampled_from(["faults", "time", "review", "state", "x"]), JSON)
def test_the_controls_never_fail(method: str, name: str, document: Any) -> None:
    """An invalid control is refused without a 5xx."""
    body = json.dumps(document).encode()
    answer = ask(GraphSite(STATE), method, f"/_sandbox/{name}", "", {}, body)
    assert answer.status < 500
    STATE.faults.active, STATE.offset, STATE.dialog_error = [], 0.0, None


@pytest.mark.parametrize("name", [*SITES, "graph", "cyclr"])
def test_a_request_that_is_too_large_is_refused(name: str) -> None:
    """A request that is too large gets 413 from each site."""
    sites: dict[str, Site] = {"graph": GraphSite(STATE), "cyclr": CyclrApiSite(STATE), **SITES}
    path = "/connector/callback" if name == "connect" else "/x"
    answer = ask(sites[name], "POST", path, body=b"x" * (7 * 1024 * 1024))
    assert answer.status == 413


def test_a_reply_finds_its_headers() -> None:
    """The letter case of a header's name is ignored."""
    reply = WebResponse(200, b"", (("Location", "x"),))
    assert (reply.header("location"), reply.header("etag")) == ("x", "")
