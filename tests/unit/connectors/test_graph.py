"""The Graph client: one version, tokens in a header, and errors by their codes."""

from __future__ import annotations

import hashlib
import hmac
from datetime import date
from typing import Any

import httpx
import pytest

from runbook_lib.connectors.facebook.graph import (
    GRAPH_CALENDAR,
    MARKETING_CALENDAR,
    Graph,
    SunsetDates,
    appsecret_proof,
    version_warnings,
)
from runbook_lib.connectors.facebook.graph_errors import GraphAPIError
from runbook_lib.connectors.facebook.inputs import GRAPH_VERSION
from runbook_lib.core.redaction import Secret
from runbook_lib.errors import (
    MissingFieldError,
    ThrottledError,
    UnexpectedResponseError,
    UnreachableError,
)
from runbook_lib.remote.check_session import Session
from tests.support.wording import refused, wording
from tests.unit.bodies import (
    APP_LIMIT,
    APP_SECRET,
    APPLICATION,
    EXPIRED_TOKEN,
    LEAD_LIMIT,
    NEEDS_TOKEN,
    TRANSIENT,
    UNKNOWN_FAULT,
    USER_TOKEN,
    graph_error,
    rows,
)
from tests.unit.fake_remote import FakeRemote, fails_with, fields, open_session, owned, responds

TOKEN = Secret(USER_TOKEN)
PATH = "/v26.0/me"
BUSINESS_USE_CASES = (80000, 80001, 80002, 80003, 80004, 80005, 80006, 80008, 80009, 80014)


@pytest.fixture
def remote() -> FakeRemote:
    return FakeRemote()


@pytest.fixture
def session(remote: FakeRemote) -> Session:
    hosts = {"facebook": ["https://graph.example"]}
    return open_session(remote, owned(APP_SECRET), hosts=hosts)


@pytest.fixture
def graph(session: Session) -> Graph:
    return Graph(session, base_url="https://graph.example/", version="v26.0")


@pytest.fixture
def signing(session: Session) -> Graph:
    """Return the API with the App Secret, which signs calls."""
    secret = Secret(APP_SECRET)
    return Graph(session, base_url="https://graph.example", version="v26.0", app_secret=secret)


def test_a_node_is_read_in_the_pinned_version(
    remote: FakeRemote, session: Session, graph: Graph
) -> None:
    """The URL has the version, the fields and no proof; the header alone has the token."""
    remote.on("/v26.0/me/accounts", responds(APPLICATION))

    assert graph.get("/me/accounts/", TOKEN, fields="id,name", limit="5") == APPLICATION

    (request,) = remote.requests
    assert str(request.url) == "https://graph.example/v26.0/me/accounts?fields=id,name&limit=5"
    assert request.headers["authorization"] == f"Bearer {USER_TOKEN}"
    assert USER_TOKEN not in repr(session.exchanges())


def test_a_call_with_the_app_secret_is_signed(
    remote: FakeRemote, session: Session, signing: Graph
) -> None:
    """With the app secret, each call has `appsecret_proof`, which is masked in the record."""
    remote.on(PATH, responds({"id": "1"}))
    proof = hmac.new(APP_SECRET.encode(), USER_TOKEN.encode(), hashlib.sha256).hexdigest()

    signing.get("me", TOKEN)

    assert fields(remote.requests[0])["appsecret_proof"] == proof
    assert appsecret_proof(Secret(APP_SECRET), TOKEN) == proof
    assert proof not in repr(session.exchanges())


def test_a_proof_in_an_answer_is_masked(
    remote: FakeRemote, session: Session, signing: Graph
) -> None:
    """A proof in the address of the next page is masked in the record."""
    proof = appsecret_proof(Secret(APP_SECRET), TOKEN)
    again = f"https://graph.example{PATH}/accounts?limit=1&appsecret_proof={proof}"
    remote.on(f"{PATH}/accounts", responds({"data": [], "paging": {"next": again}}))

    assert proof in signing.get("me/accounts", TOKEN, reads=("paging", "next"))["paging"]["next"]

    (exchange,) = session.exchanges()
    assert "limit=1&appsecret_proof=" in exchange.response["paging"]["next"]
    assert proof not in repr(exchange)


@pytest.mark.parametrize(
    ("body", "status", "code", "subcode"),
    [
        (NEEDS_TOKEN, 400, 2500, None),
        (EXPIRED_TOKEN, 400, 190, 463),
        (
            graph_error("(#10) Application does not have permission for this action", 10),
            403,
            10,
            None,
        ),
        (UNKNOWN_FAULT, 500, 1, None),
        (EXPIRED_TOKEN, 200, 190, 463),
    ],
)
def test_an_error_object_is_raised_with_its_fields(
    remote: FakeRemote, graph: Graph, body: Any, status: int, code: int, subcode: int | None
) -> None:
    """An error object is raised with status, code, subcode and trace ID, whatever the status."""
    remote.on(PATH, responds(body, status))

    with pytest.raises(GraphAPIError) as caught:
        graph.get("me", TOKEN)

    error = caught.value
    decides = f" (code {code}, subcode {subcode})" if subcode else ""
    assert str(error) == f"{body['error']['message']}{decides}"
    assert (error.status, error.error_code, error.error_subcode) == (status, code, subcode)
    assert error.trace_id == "F0n/KYH+Z5K"


@pytest.mark.parametrize(
    "body",
    [
        APP_LIMIT,
        LEAD_LIMIT,
        graph_error("(#17) User request limit reached", 17),
        graph_error("(#32) Page request limit reached", 32),
        graph_error("(#341) Application limit reached", 341),
        graph_error("(#613) Calls to this api have exceeded the rate limit.", 613),
        *(graph_error("There have been too many calls.", code) for code in BUSINESS_USE_CASES),
    ],
)
def test_a_reached_limit_raises_throttled_error(
    remote: FakeRemote, graph: Graph, body: Any
) -> None:
    """An answer with a rate limit's code raises `ThrottledError` and is not repeated."""
    remote.on(PATH, responds(body, 400))

    with pytest.raises(ThrottledError) as caught:
        graph.get("me", TOKEN)

    assert body["error"]["message"] in str(caught.value)
    assert len(remote.requests) == 1


def test_an_ad_accounts_block_is_named(remote: FakeRemote, graph: Graph) -> None:
    """The title alone tells an ad account's block from another limit, so the reason has it."""
    title = "Ad Account Has Too Many API Calls"
    more = {"is_transient": False, "error_subcode": 2446079, "error_user_title": title}
    remote.on(PATH, responds(graph_error("(#17) User request limit reached", 17, **more), 400))

    with pytest.raises(ThrottledError, match=f"“{title}” .*request limit reached"):
        graph.get("me", TOKEN)

    assert len(remote.requests) == 1


@pytest.mark.parametrize(
    ("more", "begin"),
    [
        (
            {"error_user_title": "Closed", "error_user_msg": "It is closed."},
            "“Closed” “It is closed.” ",
        ),
        ({"error_user_msg": "It is closed."}, "“It is closed.” "),
        ({"error_user_title": "Closed", "error_user_msg": "Closed"}, "“Closed” "),
        ({"error_user_title": None, "error_user_msg": " "}, ""),
    ],
)
def test_the_words_for_people_come_first(
    remote: FakeRemote, graph: Graph, more: Any, begin: str
) -> None:
    """Title and message for people are quoted before Graph's own message, in each refusal."""
    remote.on(PATH, responds(graph_error("Invalid parameter", 100, **more), 400))

    with pytest.raises(GraphAPIError) as caught:
        graph.get("me", TOKEN)

    assert str(caught.value) == f"{begin}Invalid parameter"


@pytest.mark.parametrize(
    "fault",
    [
        responds(TRANSIENT, 400),
        responds(graph_error("Service unavailable", 2), 400),
        responds('{"id":', 200),
    ],
)
def test_a_transient_error_is_repeated(remote: FakeRemote, graph: Graph, fault: Any) -> None:
    """A request is repeated after a transient error or an incomplete answer."""
    remote.on(PATH, fault, responds({"id": "1"}))

    assert graph.get("me", TOKEN) == {"id": "1"}


def test_error_code_1_alone_is_not_transient(remote: FakeRemote, graph: Graph) -> None:
    """An error with code 1 is not repeated: a wrong secret has this code too."""
    remote.on(PATH, responds(graph_error("Error validating client secret.", 1), 400))

    with pytest.raises(GraphAPIError):
        graph.get("me", TOKEN)

    assert len(remote.requests) == 1


@pytest.mark.parametrize(
    ("body", "status"),
    [("<html>", 200), ('{"id":', 200), ([], 200), ("null", 200), ({}, 500), ({"a": 1}, 404)],
)
def test_an_unexpected_answer_is_an_error(
    remote: FakeRemote, graph: Graph, body: Any, status: int
) -> None:
    """A page, an incomplete body or another type of answer raises `UnexpectedResponseError`."""
    remote.on(PATH, responds(body, status))

    with pytest.raises(UnexpectedResponseError):
        graph.get("me", TOKEN)


def test_no_answer_is_unreachable(remote: FakeRemote, graph: Graph) -> None:
    """A broken connection raises `UnreachableError`."""
    remote.on(PATH, fails_with(httpx.ConnectTimeout))

    with pytest.raises(UnreachableError):
        graph.get("me", TOKEN)


def test_an_edges_rows_are_returned(remote: FakeRemote, graph: Graph) -> None:
    """The rows of the first page are returned unchanged."""
    remote.on(PATH, responds(rows({"id": "1"}, {"id": "2"})), responds(rows()))

    assert graph.rows("me", TOKEN, limit="2") == [{"id": "1"}, {"id": "2"}]
    assert graph.rows("me", TOKEN) == []


@pytest.mark.parametrize(
    ("body", "error", "name", "facts"),
    [
        ({}, MissingFieldError, "field-is-needed", {"field": "a list of objects"}),
        ({"data": None}, UnexpectedResponseError, "no-list-of-objects", {}),
        ({"data": {}}, UnexpectedResponseError, "no-list-of-objects", {}),
        ({"data": [1]}, UnexpectedResponseError, "no-object", {"value": 1}),
    ],
)
def test_an_edge_without_a_list_of_objects_is_an_error(
    remote: FakeRemote, graph: Graph, body: Any, error: Any, name: str, facts: dict[str, object]
) -> None:
    """If `data` is not a list of objects, there is an error, and not an empty list."""
    remote.on(PATH, responds(body))

    with refused(error, name, **facts):
        graph.rows("me", TOKEN)


def test_the_served_version_and_its_warning_are_noted(remote: FakeRemote, graph: Graph) -> None:
    """The version that served the last call, and its warning, are read from the headers."""
    warning = "The call has been auto-upgraded to v26.0 as v25.0 will be deprecated."
    headers = {"facebook-api-version": "v27.0", "X-Ad-Api-Version-Warning": warning}
    remote.on(PATH, responds({}, headers=headers))
    remote.on(f"{PATH}/accounts", responds({}))

    graph.get("me", TOKEN)
    assert (graph.served_version, graph.upgrade_warning) == ("v27.0", warning)
    graph.get("me/accounts", TOKEN)
    assert (graph.served_version, graph.upgrade_warning) == ("", "")


@pytest.mark.parametrize(
    ("calendar", "version", "end"),
    [
        # The Graph API changelog of November 2026.
        (GRAPH_CALENDAR, "v20.0", date(2026, 9, 24)),
        (GRAPH_CALENDAR, "v21.0", date(2027, 1, 21)),
        (GRAPH_CALENDAR, "v22.0", date(2027, 5, 20)),
        (GRAPH_CALENDAR, "v23.0", date(2027, 10, 8)),
        (GRAPH_CALENDAR, "v24.0", date(2028, 2, 18)),
        (GRAPH_CALENDAR, "v25.0", date(2028, 7, 29)),
        (GRAPH_CALENDAR, GRAPH_VERSION.default, None),
        (GRAPH_CALENDAR, "v27.0", None),
        # The Marketing API's own list of versions, which end earlier.
        (MARKETING_CALENDAR, "v22.0", date(2026, 2, 19)),
        (MARKETING_CALENDAR, "v23.0", date(2026, 6, 9)),
        (MARKETING_CALENDAR, "v24.0", date(2026, 11, 10)),
        (MARKETING_CALENDAR, "v25.0", date(2027, 2, 23)),
        (MARKETING_CALENDAR, GRAPH_VERSION.default, None),
        (MARKETING_CALENDAR, "v27.0", None),
    ],
)
def test_versions_end_when_facebook_says(
    calendar: SunsetDates, version: str, end: date | None
) -> None:
    """Each calendar has the end dates of its source; the default version has none."""
    assert calendar.ends[version] == end
    assert wording("findings.calendar-read") in calendar.source
    assert GRAPH_VERSION.default == "v26.0"


def test_facebooks_answer_overrides_the_calendar(remote: FakeRemote, graph: Graph) -> None:
    """If another version answered, our dates do not contradict it."""
    remote.on("/v25.0/me", responds({}, headers={"facebook-api-version": "v26.0"}))
    graph.version = "v25.0"
    graph.get("me", TOKEN)

    (warning,) = version_warnings(graph, date(2026, 11, 28), MARKETING_CALENDAR)

    assert wording("findings.answered-in-version", served="v26.0", asked="v25.0") in warning


@pytest.mark.parametrize(
    ("today", "warned"),
    [(date(2026, 11, 24), False), (date(2026, 11, 25), True), (date(2027, 2, 23), True)],
)
def test_a_version_that_ends_is_named_90_days_before(
    graph: Graph, today: date, warned: bool
) -> None:
    """From 90 days before its end on a pinned version gives a warning."""
    graph.version = "v25.0"

    warnings = version_warnings(graph, today, MARKETING_CALENDAR)

    names_end = ["served until 2027-02-23" in text for text in warnings]
    assert names_end == ([True] if warned else [])
