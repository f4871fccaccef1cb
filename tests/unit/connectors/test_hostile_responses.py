"""Generated responses of a hostile remote system verify no step and raise no defect."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from runbook_lib.core.model import Outcome
from runbook_lib.remote.http_messages import parse_body
from tests.support.expected_outcomes import GENERATED, expected
from tests.unit.connectors.minimal_responses import CHECKS, MINIMAL
from tests.unit.connectors.responses import DOCUMENTS, MALFORMED_TEXTS, OTHER_APP_ID
from tests.unit.connectors.scripted_exchanges import perform

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


BY_ID = {check.id: check for check in CHECKS}
# Each exchange of each check, unless it decides nothing whatever its status.
EXCHANGES = [
    (name, number, place)
    for name, scripts in MINIMAL.items()
    for number, script in enumerate(scripts)
    for place in range(len(script.exchanges))
    if expected(name, number, place, "html 500") is not Outcome.VERIFIED
]


@pytest.mark.matrix(12)
@pytest.mark.parametrize("name", MINIMAL)
@settings(max_examples=60)
@given(text=texts, status=st.sampled_from(STATUSES), more=headers)
@example(text="{}", status=200, more={})
@example(text='{"data":[]}', status=200, more={})
def test_one_response_to_everything_verifies_nothing(
    name: str, text: str, status: int, more: dict[str, str]
) -> None:
    """The same empty, foreign or false response to everything verifies nothing; it is no defect."""
    remote = httpx.MockTransport(lambda _: httpx.Response(status, text=text, headers=more))
    finding = perform(BY_ID[name], MINIMAL[name][0], remote)

    assert finding.outcome is not Outcome.VERIFIED


@pytest.mark.matrix(12)
@pytest.mark.parametrize(("name", "number", "place"), EXCHANGES)
@settings(max_examples=25)
@given(text=texts, status=st.sampled_from(STATUSES), more=headers)
def test_one_wrong_response_among_right_ones_verifies_nothing(
    name: str, number: int, place: int, text: str, status: int, more: dict[str, str]
) -> None:
    """One wrong response verifies nothing, even if all others are right."""
    script = MINIMAL[name][number]
    if expected(name, number, place, GENERATED) is Outcome.VERIFIED:
        status = 500  # any document is valid there
    is_right = is_like(text, script.exchanges[place].body)
    if is_right and status == script.exchanges[place].status:
        return
    wrong = script.changed(place, body=text, status=status, headers=more)

    assert perform(BY_ID[name], wrong).outcome is not Outcome.VERIFIED


def is_like(text: str, body: Any) -> bool:
    """Return whether the text is the right answer."""
    try:
        return bool(parse_body(text) == body)
    except (ValueError, RecursionError):
        return False
