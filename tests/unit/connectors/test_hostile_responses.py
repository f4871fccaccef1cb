"""Generated responses of a hostile remote system verify no step and raise no defect."""

from __future__ import annotations

import json
from dataclasses import replace

import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from runbook_lib.core.model import Outcome
from tests.unit.connectors.minimal_responses import GENERATED, ROWS
from tests.unit.connectors.responses import DOCUMENTS, MALFORMED_TEXTS, OTHER_APP_ID
from tests.unit.connectors.scripted_exchanges import ALL_AT_ONCE, Case, perform

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
STATUSES = (200, 201, 204, 302, 400, 401, 403, 404, 429, 500, 503)
# Numbers that are too large for a time, a float or a sleep.
NUMBERS = (0, 1, -1, 4, 17, 10**18, 10**400, 1.5, -0.0)
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

leaves = st.sampled_from((*WORDS, *NUMBERS, None, True, False))
documents = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4)
    ),
    max_leaves=8,
)
texts = st.sampled_from(MALFORMED_TEXTS) | st.builds(
    json.dumps, documents | st.sampled_from(DOCUMENTS)
)
headers = st.just({}) | st.sampled_from(BAD_HEADERS)


@pytest.mark.matrix(24)
@pytest.mark.parametrize(("case", "place"), ROWS)
@settings(max_examples=40)
@given(text=texts, status=st.sampled_from(STATUSES), more=headers)
@example(text="{}", status=200, more={})
@example(text='{"data":[]}', status=200, more={})
def test_generated_responses_verify_nothing(
    case: Case, place: int, text: str, status: int, more: dict[str, str]
) -> None:
    """An empty, foreign or false response verifies nothing, to one request or to everything."""
    if place == ALL_AT_ONCE:
        remote = httpx.MockTransport(lambda _: httpx.Response(status, text=text, headers=more))
        assert perform(case, remote).outcome is not Outcome.VERIFIED
        return
    exchange = case.exchanges[place]
    if exchange.outcome_of("html 500") is Outcome.VERIFIED:
        return  # it decides nothing, whatever its status
    if exchange.outcome_of(GENERATED) is Outcome.VERIFIED:
        status = 500  # any document is valid there
    if (text, status) != (exchange.text, exchange.status):
        wrong = replace(exchange, body=text, status=status, headers=more)
        assert perform(case.with_exchange(place, wrong)).outcome is not Outcome.VERIFIED
