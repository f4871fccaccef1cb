"""Malformed requests at every route get the system's own error, never a 500."""

import json
from functools import cache
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from facebook_cyclr_sandbox.cyclr.cyclr_api import CyclrApiSite, api_router
from facebook_cyclr_sandbox.cyclr.cyclr_console import CyclrConsoleSite, console_router
from facebook_cyclr_sandbox.cyclr.service_domain import ServiceDomainSite
from facebook_cyclr_sandbox.facebook_web.dashboard import FacebookSite, dashboard_router
from facebook_cyclr_sandbox.graph.graph_errors import IDS_DEPRECATED
from facebook_cyclr_sandbox.graph.graph_site import GraphSite
from facebook_cyclr_sandbox.http.site import Site
from facebook_cyclr_sandbox.http.web_messages import WebResponse
from tests.support.sandbox_requests import (
    ACCOUNT_CONNECTOR_ID,
    CYCLR_NAMES,
    EDGES,
    GRAPH_NAMES,
    JSON,
    OPERATOR_VALUES,
    PAGE_NAMES,
    STATE,
    TEXTS,
    VALUES,
    send_request,
)

METHODS = st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "BREW"])


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

GRAPH_PATHS = [
    "/v26.0/{x}",
    "/v26.0/{x}/{y}",
    "/{x}",
    "/v25.0/me/adaccounts",
    "/v99.0/{x}",
    "/",
    "//",
    *(f"/v26.0/{{x}}/{edge}" for edge in EDGES),
    "/v26.0/oauth/access_token",
    "/oauth/access_token",
    "/v26.0/debug_token",
    "/v26.0",
    *(f"/v26.0/{OPERATOR_VALUES[name]}/{{x}}" for name in ("app_id", "page_id", "leadgen_form_id")),
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
        value = (
            OPERATOR_VALUES.get(token)
            or f"{OPERATOR_VALUES['app_id']}|{OPERATOR_VALUES['app_secret']}"
        )
        headers = {**headers, "authorization": f"Bearer {value}"}
    response = send_request(
        GraphSite(STATE), method, path, query=query, headers=headers, body=content
    )
    if method in {"HEAD", "OPTIONS"}:
        assert response.body == b""
        return
    # NOTE: Graph refuses root ?ids= like this.
    assert response.status < 500 or IDS_DEPRECATED.message.encode() in response.body
    document = json.loads(response.body)
    assert response.content_type == "application/json; charset=UTF-8"
    if response.status != 200:
        assert list(document) == ["error"]
        keys = list(document["error"])
        assert keys[:2] == ["message", "type"]
        assert keys[-1] == "fbtrace_id"
        assert isinstance(document["error"]["code"], int)


CYCLR_PATHS = sorted(
    {template for _, template in api_router.list_routes()}
    | {"/oauth/token", "/v1.0/{x}", f"/v1.0/account/connectors/{ACCOUNT_CONNECTOR_ID}/{{x}}"}
)


@THOROUGHLY
@given(
    METHODS,
    paths(CYCLR_PATHS),
    queries(CYCLR_NAMES),
    bodies(CYCLR_NAMES),
    st.sampled_from(["", "Bearer token", "Bearer x", "Basic é"]),
    VALUES | st.just(OPERATOR_VALUES["account_api_id"]),
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
    response = send_request(
        CyclrApiSite(STATE), method, path, query=query, headers=headers, body=content
    )
    assert response.status < 500
    if method == "HEAD" or response.status == 200:
        return
    document = json.loads(response.body)
    if "error" not in document or not isinstance(document["error"], dict):
        assert list(document) in (["Message"], ["error"])


PAGE_PATHS = {
    "facebook": [
        *(template for _, template in dashboard_router.list_routes()),
        "/v26.0/dialog/oauth",
        "/dialog/oauth",
        "/login",
        "/logout",
    ],
    "console": [
        *(template for _, template in console_router.list_routes()),
        "/login",
        "/api/connectors",
    ],
    "connect": [
        "/connectorauth/updateaccountconnectoroauth",
        "/connectorauth/start",
        "/connector/callback",
        "/oauth/token",
        "/{x}",
    ],
}
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
    method = data.draw(METHODS)
    path = data.draw(paths(PAGE_PATHS[name]))
    query = data.draw(queries(PAGE_NAMES))
    (headers, content) = data.draw(bodies(PAGE_NAMES))
    cookie = data.draw(st.sampled_from(["", "sandbox_session=session", "=;é\x01", "a=" * 50]))
    headers = {**headers, "cookie": cookie, "accept": "text/html"}
    response = send_request(SITES[name], method, path, query=query, headers=headers, body=content)
    assert response.status < 500
    if response.content_type.startswith("text/html") and method != "HEAD":
        assert b"<title>SANDBOX" in response.body


@THOROUGHLY
@given(METHODS, st.sampled_from(["faults", "time", "review", "state", "x"]), JSON)
def test_the_controls_never_fail(method: str, name: str, document: Any) -> None:
    """An invalid control is refused without a 5xx."""
    body = json.dumps(document).encode()
    response = send_request(GraphSite(STATE), method, f"/_sandbox/{name}", body=body)
    assert response.status < 500
    STATE.faults.active = []
    STATE.offset = 0.0
    STATE.dialog_error = None


@pytest.mark.parametrize("name", [*SITES, "graph", "cyclr"])
def test_a_request_that_is_too_large_is_refused(name: str) -> None:
    """A request that is too large gets 413 from each site."""
    sites: dict[str, Site] = {"graph": GraphSite(STATE), "cyclr": CyclrApiSite(STATE), **SITES}
    path = "/connector/callback" if name == "connect" else "/x"
    response = send_request(sites[name], "POST", path, body=b"x" * (7 * 1024 * 1024))
    assert response.status == 413


def test_a_response_finds_its_headers() -> None:
    """The letter case of a header's name is ignored."""
    response = WebResponse(200, b"", (("Location", "x"),))
    assert (response.header("location"), response.header("etag")) == ("x", "")
