"""No answer of a hostile remote system verifies a step or raises a defect."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from runbook_lib.core.model import Finding, Outcome
from runbook_lib.remote.http_messages import parse_body
from tests.support.json_paths import at, places
from tests.unit.bodies import APP_ID, graph_error
from tests.unit.connectors.minimal_responses import (
    MINIMAL_EXCHANGES,
    OTHER_APP_ID,
    MinimalExchanges,
    changed,
    with_value,
)
from tests.unit.connectors.perform import BY_NAME, CHECKS, perform

pytestmark = pytest.mark.matrix

NAMES = (
    "id",
    "data",
    "error",
    "access_token",
    "permission",
    "status",
    "name",
    "is_valid",
    "app_id",
    "Id",
    "Name",
    "Connector",
    "Token",
    "Message",
    "Authenticated",
    "code",
    "message",
    "type",
)
WORDS = (
    OTHER_APP_ID,
    "",
    "live",
    "granted",
    "USER",
    "act",
    "../x?y=1",
    "\ud800",
    "é\n",
    "NaN",
    "[]",
)
# Numbers that are too large for a time, a float or a sleep.
NUMBERS = (0, 1, -1, 4, 17, 10**18, 10**400, 1.5, -0.0)
EMPTY: tuple[Any, ...] = (
    {},
    [],
    None,
    True,
    7,
    "",
    "text",
    [[]],
    [{}],
    ["a"],
    [None],
    *({"data": value} for value in ({}, None, "text", ["a"], [{}], [[]], [None], 7)),
    *({"error": value} for value in (None, "text", [], {}, 7, {"code": []}, {"code": {}})),
)
FOREIGN: tuple[Any, ...] = (
    {"id": OTHER_APP_ID, "name": "Another app"},
    {"access_token": f"{OTHER_APP_ID}|tail"},
    {
        "data": {
            "app_id": OTHER_APP_ID,
            "is_valid": True,
            "type": "USER",
            "user_id": "1",
            "scopes": [],
        }
    },
    {"data": [{"permission": "email", "status": "live"}]},
    [{"Id": 1, "Name": "Slack", "Connector": {"Id": 2, "Name": "Slack"}}],
    graph_error("(#4) Application request limit reached", 4),
    graph_error("x" * 100_000, 10**9),
)
BAD_TEXT = ("", "<html>", '{"id":', "NaN", '{"id": Infinity}', "1e999", "[" * 100_000, "\ufeff{}")
BAD_HEADERS: tuple[dict[str, str], ...] = (
    {"content-type": "application/json; charset=base64"},
    {"content-type": "text/html; charset=no-such-charset"},
    {"x-app-usage": '{"call_count": NaN}'},
    {"x-app-usage": f'{{"call_count": {10**400}}}'},
    {"x-business-use-case-usage": '{"1": [{"estimated_time_to_regain_access": 1e308}]}'},
    {"x-ad-account-usage": "[" * 50_000},
    {"location": "https://[::1"},
    {"location": "javascript:1"},
    {"location": f"https://www.facebook.com/dialog/oauth?client_id={OTHER_APP_ID}"},
    {"set-cookie": 'a@b="\\377"'},
    {"facebook-api-version": "v" * 10_000},
)
STATUSES = (200, 201, 204, 302, 400, 401, 403, 404, 429, 500, 503)

leaves = st.sampled_from((*WORDS, *NUMBERS, None, True, False))
documents = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4)
    ),
    max_leaves=8,
)
texts = st.sampled_from(BAD_TEXT) | st.builds(
    json.dumps, documents | st.sampled_from(EMPTY) | st.sampled_from(FOREIGN)
)
headers = st.just({}) | st.sampled_from(BAD_HEADERS)


class Everywhere(httpx.BaseTransport):
    """A remote system that gives the same answer to every request."""

    def __init__(self, answer: Callable[[], httpx.Response]) -> None:
        self._answer = answer

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer in place of the network."""
        return self._answer()


def answer_of(text: str, status: int, more: dict[str, str]) -> Callable[[], httpx.Response]:
    content = text.encode("utf-8", "surrogatepass")
    return lambda: httpx.Response(status, content=content, headers=more)


def verifies_nothing(finding: Finding | None) -> bool:
    """Return whether the finding is not verified; assert that it is short and not a defect."""
    if finding is None:
        return True
    assert finding.code != "check-broken", finding.reason
    assert len(finding.reason) < 2_000
    return finding.outcome is not Outcome.VERIFIED


def is_refused(
    check: Any,
    minimal: MinimalExchanges,
    index: int,
    text: str,
    status: int | None = None,
    more: Mapping[str, str] | None = None,
) -> bool:
    """Return whether this answer in one exchange verifies nothing; its status is the right one."""
    status = status or minimal.exchanges[index].status
    wrong = changed(minimal, index, body=text, status=status, headers=more or {})
    return verifies_nothing(perform(check, wrong))


every_check = pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.id)

# Each exchange of each check whose answer counts.
EXCHANGES = [
    pytest.param(check, minimal, index, id=f"{check.id}-{number}-{index}")
    for check in CHECKS
    for number, minimal in enumerate(MINIMAL_EXCHANGES[check.id])
    for index, exchange in enumerate(minimal.exchanges)
    if exchange.decides and not exchange.is_page
]
every_exchange = pytest.mark.parametrize(("check", "minimal", "index"), EXCHANGES)


@pytest.mark.matrix(12)
@every_check
@settings(max_examples=60)
@given(text=texts, status=st.sampled_from(STATUSES), more=headers)
@example(text="{}", status=200, more={})
@example(text='{"data":[]}', status=200, more={})
def test_one_answer_to_everything_verifies_nothing(
    check: Any, text: str, status: int, more: dict[str, str]
) -> None:
    """The same empty, foreign or false answer to everything verifies nothing; it is no defect."""
    minimal = MINIMAL_EXCHANGES[check.id][0]

    assert verifies_nothing(perform(check, minimal, Everywhere(answer_of(text, status, more))))


@pytest.mark.matrix(12)
@every_exchange
@settings(max_examples=25)
@given(text=texts, status=st.sampled_from(STATUSES), more=headers)
def test_one_wrong_answer_among_right_ones_verifies_nothing(
    check: Any, minimal: MinimalExchanges, index: int, text: str, status: int, more: dict[str, str]
) -> None:
    """One wrong answer verifies nothing, even if all others are right."""
    exchange = minimal.exchanges[index]
    if exchange.is_free and status == exchange.status:
        status = 500  # any document of that form is valid there
    if is_like(text, exchange.body) and status == exchange.status:
        return

    assert is_refused(check, minimal, index, text, status, more)


@pytest.mark.matrix(24)
@every_exchange
def test_a_malformed_answer_verifies_nothing(
    check: Any, minimal: MinimalExchanges, index: int
) -> None:
    """An empty, malformed or foreign answer with a success status verifies nothing."""
    exchange = minimal.exchanges[index]
    for body in EMPTY if exchange.is_free else (*EMPTY, *FOREIGN):
        assert body == exchange.body or is_refused(check, minimal, index, json.dumps(body)), body
    for text in BAD_TEXT:
        assert is_refused(check, minimal, index, text), text


@pytest.mark.matrix(24)
@every_exchange
def test_half_an_answer_verifies_nothing(check: Any, minimal: MinimalExchanges, index: int) -> None:
    """A truncated answer verifies nothing."""
    whole = json.dumps(minimal.exchanges[index].body)
    for length in range(0, len(whole), max(1, len(whole) // 12)):
        assert is_refused(check, minimal, index, whole[:length]), whole[:length]


@every_exchange
def test_the_right_answer_with_a_wrong_status_verifies_nothing(
    check: Any, minimal: MinimalExchanges, index: int
) -> None:
    """The right answer with an unexpected status verifies nothing."""
    exchange = minimal.exchanges[index]
    wrong = (200, 302, 500) if exchange.status >= 400 else (201, 302, 400, 404, 500)
    for status in wrong:
        assert is_refused(check, minimal, index, json.dumps(exchange.body), status), status


@every_exchange
def test_nan_anywhere_verifies_nothing(check: Any, minimal: MinimalExchanges, index: int) -> None:
    """NaN and Infinity, which are not JSON (RFC 8259 §6), verify nothing at any path."""
    body = minimal.exchanges[index].body
    for place in places(body):
        if isinstance(at(body, place), str | int):
            for number in (math.nan, math.inf):
                assert verifies_nothing(perform(check, with_value(minimal, index, place, number)))
    if isinstance(body, dict):
        assert is_refused(check, minimal, index, json.dumps({**body, "more": math.nan}))


@pytest.mark.parametrize(("check", "minimal"), BY_NAME)
def test_one_page_for_every_address_verifies_nothing(check: Any, minimal: MinimalExchanges) -> None:
    """The same HTML page at every address, as from a parked domain or a proxy, verifies nothing."""
    for status in STATUSES:
        page = answer_of(
            f"<html>App {APP_ID} is fine.</html>", status, {"content-type": "text/html"}
        )
        assert verifies_nothing(perform(check, minimal, Everywhere(page)))


@pytest.mark.parametrize("error", [httpx.ReadTimeout, httpx.RemoteProtocolError])
@pytest.mark.parametrize(("check", "minimal"), BY_NAME)
def test_no_answer_verifies_nothing(
    check: Any, minimal: MinimalExchanges, error: type[Exception]
) -> None:
    """A broken connection verifies nothing."""

    def fail() -> httpx.Response:
        raise error("broken")

    assert verifies_nothing(perform(check, minimal, Everywhere(fail)))


def is_like(text: str, body: Any) -> bool:
    """Return whether the text is the right answer."""
    try:
        return bool(parse_body(text) == body)
    except (ValueError, RecursionError):
        return False
