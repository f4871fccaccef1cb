"""Requests of any content to the sandbox's sites, through ASGI, without a socket."""

import asyncio
from typing import Any

from hypothesis import strategies as st

from facebook_cyclr_sandbox.control_api import ControlApi
from facebook_cyclr_sandbox.cyclr.cyclr_api import ApiToken
from facebook_cyclr_sandbox.graph.application_node import APPLICATION
from facebook_cyclr_sandbox.graph.page_nodes import FORM, PAGE
from facebook_cyclr_sandbox.graph.user_nodes import AD_ACCOUNT, BUSINESS, USER
from facebook_cyclr_sandbox.http.asgi import SiteApplication
from facebook_cyclr_sandbox.http.site import Site
from facebook_cyclr_sandbox.scenarios import build_state
from facebook_cyclr_sandbox.state.sandbox_state import SandboxState

STATE = build_state("approved", seed=11)
STATE.facebook.sessions.put("session", STATE.facebook.operator.id, keep=True)
STATE.cyclr.tokens.put("token", ApiToken("token", "c", "", STATE.now() + 1e9), keep=True)
OPERATOR_VALUES = STATE.operator_values
ACCOUNT_CONNECTOR_ID = str(next(iter(STATE.cyclr.account_connectors)))

# --- values and names ------------------------------------------------------------------------
TEXTS = st.text(max_size=30) | st.sampled_from(
    ["", "0", "-1", "9" * 400, "²", "٣", "null", "[", "{", "%00", "\x00", "\ud7ff", "é", "a" * 3000]
)
KNOWN = st.sampled_from(
    [
        *OPERATOR_VALUES.values(),
        ACCOUNT_CONNECTOR_ID,
        STATE.facebook.operator.id,
        "me",
        "act_1",
        "https://[",
        "//x",
    ]
)
VALUES = TEXTS | KNOWN
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | VALUES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(VALUES, inner, max_size=3),
    max_leaves=6,
)

NODE_TYPES = (APPLICATION, FORM, PAGE, AD_ACCOUNT, BUSINESS, USER)
EDGES = sorted({name for kind in NODE_TYPES for name in kind.edges})
GRAPH_NAMES = [
    "access_token",
    "fields",
    "limit",
    "after",
    "before",
    "ids",
    "id",
    "method",
    "batch",
    "client_id",
    "client_secret",
    "grant_type",
    "redirect_uri",
    "code",
    "fb_exchange_token",
    "input_token",
    "appsecret_proof",
    "status",
    "permission",
    "object",
    "callback_url",
    "verify_token",
    "subscribed_fields",
    "include_headers",
]
CYCLR_NAMES = [
    "grant_type",
    "client_id",
    "client_secret",
    "scope",
    "pageSize",
    "page",
    "query",
    "Name",
    "Id",
    "Username",
    "Value",
    "Properties",
    "AuthValue",
    "Parameters",
    "Description",
]
PAGE_NAMES = [
    "client_id",
    "redirect_uri",
    "state",
    "scope",
    "response_type",
    "auth_type",
    "config_id",
    "email",
    "password",
    "decision",
    "choices",
    "grant",
    "next",
    "step",
    "type",
    "name",
    "contact_email",
    "purpose",
    "app_domains",
    "website_url",
    "redirect_uris",
    "q",
    "notice",
    "id",
    "token",
    "targetOrigin",
    "callbackMessage",
    "code",
    "error",
    "connector",
    "version",
]


# --- sending ---------------------------------------------------------------------------------
class AsgiResponse:
    """The response over ASGI."""

    def __init__(self, messages: list[dict[str, Any]]) -> None:
        start, body = messages
        self.status: int = start["status"]
        self.body: bytes = body["body"]
        headers = {name.lower(): value for name, value in start["headers"]}
        self.content_type = headers.get(b"content-type", b"").decode()
        assert all(b"\r" not in value and b"\n" not in value for value in headers.values())


def send_request(
    site: Site,
    method: str,
    path: str,
    query: str = "",
    headers: dict[str, str] | None = None,
    body: bytes = b"",
    *,
    state: SandboxState = STATE,
) -> AsgiResponse:
    """Send one request through the ASGI application of a site."""
    application = SiteApplication(site, state, ControlApi(state, dict), abort=lambda _client: None)
    messages: list[dict[str, Any]] = []
    all_headers = {"host": "127.0.0.1:1", **(headers or {})}
    raw = [
        (name.encode(), value.encode("latin-1", "replace")) for name, value in all_headers.items()
    ]
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
        messages.append(message)

    asyncio.run(application(scope, receive, send))
    return AsgiResponse(messages)
