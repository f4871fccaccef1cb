"""
Every published response of Facebook's goes through the reader of the check that makes this call.

The responses are the sandbox's data; placeholders of their sources are replaced by ids and tokens.
No reader calls one unexpected. One that lacks a field may say which field Facebook left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from facebook_cyclr_sandbox.recorded_responses import RecordedResponse, load_recorded_responses
from runbook_lib.connectors.context import CheckContext
from runbook_lib.connectors.facebook import (
    consent_without_role,
    page_listing,
    permissions,
    tokens,
    user_token,
)
from runbook_lib.connectors.facebook.graph_clients import request_app_token, user_graph
from runbook_lib.connectors.facebook.graph_errors import GraphAPIError, GraphTokenError
from runbook_lib.connectors.facebook.usage import access_tier, usage_pause, usage_share
from runbook_lib.connectors.facebook.verification import business_is_verified
from runbook_lib.core.model import Finding
from runbook_lib.errors import MissingFieldError, RemoteError, UnexpectedResponseError
from tests.conftest import NOON
from tests.unit import bodies
from tests.unit.bodies import APP_ID, APP_TOKEN, USER_TOKEN, rows
from tests.unit.connectors.conftest import MakeContext
from tests.unit.fake_remote import FakeRemote, Responder, responds

RECORDS = load_recorded_responses()
# A source's placeholders for an id, a name or a token.
_PLACEHOLDER = re.compile(r"[<{].*[>}]|appId|userId|string")
# The calls that no check makes: they change something, or Facebook makes them.
NOT_READ = {
    ("POST", "/{page-id}/subscribed_apps"): "it subscribes",
    ("DELETE", "/{page-id}/subscribed_apps"): "it unsubscribes",
}
Read = Callable[[CheckContext], object]


def filled(value: Any, name: str = "") -> Any:
    """Return a part of a body with this app's id, and an id or a token for each placeholder."""
    if isinstance(value, dict):
        return {key: filled(item, key) for key, item in value.items()}
    if isinstance(value, list):
        return [filled(item, name) for item in value]
    if name == "app_id":
        return int(APP_ID) if isinstance(value, int) else APP_ID
    if not isinstance(value, str) or not _PLACEHOLDER.fullmatch(value):
        return value
    return USER_TOKEN if "token" in name else "1000000000000009"


def read_lead_access(context: CheckContext) -> object:
    secret = context.secrets["user_access_token"]
    page = user_token._lead_access(context, "page-1", secret, "873")
    gaps = list(user_token._lead_gaps(page))
    return gaps or user_token._lead_denial(page.object_at("has_lead_access"), "page-1")


def read_edge(path: str, **params: str) -> Read:
    def read(context: CheckContext) -> object:
        graph = user_graph(context)
        secret = context.secrets["user_access_token"]
        return [row.identifier("id") for row in graph.list_all(path, secret, **params).rows]

    return read


def read_node(path: str) -> Read:
    def read(context: CheckContext) -> object:
        graph = user_graph(context)
        secret = context.secrets["user_access_token"]
        return graph.get(path, secret, fields="id").identifier("id")

    return read


# By the path of a record: the path under test, and the reader of the check that makes the call.
READERS: Mapping[str, tuple[str, Read]] = {
    "/debug_token": (
        "debug_token",
        lambda context: tokens.inspect_token(context, context.secrets["user_access_token"]),
    ),
    "/me/permissions": (
        "me/permissions",
        lambda context: permissions.granted_to(
            user_graph(context), context.secrets["user_access_token"]
        ),
    ),
    "/me/accounts": ("me/accounts", page_listing.pages_of),
    "/{business-id}/owned_pages": ("1/owned_pages", read_edge("1/owned_pages")),
    "/{business-id}/client_pages": ("1/client_pages", read_edge("1/client_pages")),
    "/{business-id}": ("me/businesses", business_is_verified),
    "/act_{ad-account-id}": ("act_1", read_node("act_1")),
    "/{app-id}": (APP_ID, consent_without_role.app_node),
    "/{app-id}/roles": (APP_ID, consent_without_role._read_roles),
    "/oauth/access_token": (
        "oauth/access_token",
        lambda context: request_app_token(context, context.secrets["app_secret"]),
    ),
    "/me": ("me", read_node("me")),
    "/{page-id}": ("page-1", read_node("page-1")),
    "/{page-id}/subscribed_apps": ("1/subscribed_apps", read_edge("1/subscribed_apps")),
    "/{page-id}/leadgen_forms": ("1/leadgen_forms", read_edge("1/leadgen_forms")),
    "/{lead-id}": ("1/leads", read_edge("1/leads")),
    "": ("me", read_node("me")),
}


def wrapped(record: RecordedResponse) -> Any:
    """Return the body as the call under test gives it: a row in its list, roles in the node."""
    body = filled(dict(record.body))
    if "error" in body:
        return body
    if record.is_row or record.path in ("/{business-id}", "/{lead-id}"):
        return rows(body)
    if record.path == "/{app-id}/roles":
        return {"id": APP_ID, "roles": body}
    if record.path == "/{app-id}":
        return {**body, "id": APP_ID}
    if record.path == "/oauth/access_token" and "access_token" in body:
        return {**body, "access_token": APP_TOKEN}
    return body


def read_error(read: Read, context: CheckContext) -> None:
    """Read a response that is an error; one that a reader turns into a finding is raised again."""
    found = read(context)
    finding = found[1] if isinstance(found, tuple) else None
    if isinstance(finding, Finding):
        raise GraphAPIError(finding.reason, status=400, error_code=None)


def responds_as_recorded(record: RecordedResponse, body: Any) -> Responder:
    """Answer with the record's status and headers, whose text is UTF-8 as Facebook sends it."""
    headers = [(name.encode(), text.encode()) for name, text in record.headers.items()]
    return lambda _: httpx.Response(record.status or 200, json=body, headers=headers)


def before_the_end(body: Any) -> datetime:
    """Return a time at which a recorded token had not ended."""
    data = body.get("data")
    end = data.get("expires_at") if isinstance(data, dict) else None
    return datetime.fromtimestamp(end, UTC) - timedelta(days=1) if end else NOON


def by_name(records: list[RecordedResponse]) -> list[Any]:
    return [pytest.param(record, id=f"{record.topic}-{record.id}") for record in records]


READ = [
    record
    for record in RECORDS
    if record.body
    and (record.method, record.path) not in NOT_READ
    and not (record.topic == "leads" and not record.path)
]
HEADERS = [record for record in RECORDS if record.topic == "headers"]


@pytest.mark.parametrize("record", by_name(READ))
def test_no_recorded_response_is_unexpected(
    remote: FakeRemote, make_context: MakeContext, record: RecordedResponse
) -> None:
    """The reader understands the response, or names the field that Facebook left out."""
    path, read = READERS[record.path]
    if record.path == "/{page-id}" and "has_lead_access" in record.body:
        read = read_lead_access
    body = wrapped(record)
    if "has_lead_access" in body:
        body["has_lead_access"] |= {"page_id": "page-1", "user_id": "873"}
    remote.on(f"/v26.0/{path}", responds_as_recorded(record, body))
    for usual, answer in {
        "oauth/access_token": bodies.APP_TOKEN_ISSUED,
        "debug_token": {"data": bodies.TOKEN_INSPECTED},
        APP_ID: {"id": APP_ID, "owner_business": {"id": "123456789"}},
        "me/businesses": rows(),
    }.items():
        remote.on(f"/v26.0/{usual}", responds(answer))
    context = make_context(permissions=("public_profile",), now=before_the_end(body))
    with suppress(MissingFieldError):
        if "error" not in body:
            read(context)
            return
        with pytest.raises((RemoteError, GraphTokenError)) as caught:
            read_error(read, context)
        assert not isinstance(caught.value, UnexpectedResponseError), str(caught.value)


@pytest.mark.parametrize("record", by_name(HEADERS))
def test_each_recorded_usage_header_is_understood(record: RecordedResponse) -> None:
    """Shares, pauses and access tiers are read from each recorded header."""
    seconds, limit = usage_pause(record.headers)

    assert 0 <= seconds <= 86_400
    assert bool(limit) is (seconds > 0)
    assert usage_share(record.headers) is None or usage_share(record.headers) >= 0  # type: ignore[operator]
    named = "ads_api_access_tier" in str(record.headers)
    assert bool(access_tier(record.headers)) is named


def test_every_record_is_read_or_named() -> None:
    """No record is left out without a reason: Facebook makes the call, or it changes something."""
    left_out = [record for record in RECORDS if record not in (*READ, *HEADERS)]
    reasons = [
        record.topic == "leads" or NOT_READ[record.method, record.path] for record in left_out
    ]
    assert len(RECORDS) == len(READ) + len(HEADERS) + len(reasons)
    assert len(RECORDS) == 67
