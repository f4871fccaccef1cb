"""Generated responses of a hostile remote system verify no step and raise no defect."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from runbook_lib.remote.http_messages import parse_body
from tests.support.connector_safety import MinimalExchanges
from tests.support.connector_safety.connector_safety import (
    SameResponse,
    response_of,
    verifies_nothing,
)
from tests.support.connector_safety.response_changes import EMPTY_BODIES, MALFORMED_TEXTS, STATUSES
from tests.support.connector_safety.scripted_exchanges import changed
from tests.unit.connectors.facebook_case import FOREIGN, MINIMAL_EXCHANGES
from tests.unit.connectors.minimal_responses import OTHER_APP_ID
from tests.unit.connectors.perform import CHECKS, perform

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
    json.dumps, documents | st.sampled_from(EMPTY_BODIES) | st.sampled_from(FOREIGN)
)
headers = st.just({}) | st.sampled_from(BAD_HEADERS)


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

    assert verifies_nothing(perform(check, minimal, SameResponse(response_of(text, status, more))))


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

    wrong = changed(minimal, index, body=text, status=status, headers=more)
    assert verifies_nothing(perform(check, wrong))


def is_like(text: str, body: Any) -> bool:
    """Return whether the text is the right answer."""
    try:
        return bool(parse_body(text) == body)
    except (ValueError, RecursionError):
        return False
