"""Each call of Cyclr's API: its request, its result and its errors."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from runbook_lib.core.redaction import MASK, Secret
from runbook_lib.errors import CyclrAPIError, UnexpectedResponseError, UnreachableError
from runbook_lib.remote.check_session import Session
from runbook_lib.remote.cyclr import Cyclr, request_api_token, sign_in_url
from tests.support.wording import refused, refused_naming, wording
from tests.unit.bodies import (
    ACCOUNT_CONNECTOR,
    CONNECTOR,
    CYCLR_TOKEN,
    CYCLR_TOKEN_ISSUED,
    METHOD,
    SIGN_IN_TOKEN,
    SIGN_IN_TOKEN_ISSUED,
    UNKNOWN_ADDRESS,
)
from tests.unit.fake_remote import FakeRemote, fails_with, fields, open_session, responds

BASE = "https://api.cyclr.example"
CLIENT_SECRET = Secret("cyclr-client-secret-1")
GUID = METHOD["MethodUniqueIdentifier"]


@pytest.fixture
def session(remote: FakeRemote) -> Session:
    return open_session(remote)


@pytest.fixture
def cyclr(session: Session) -> Cyclr:
    return Cyclr(session, base_url=f"{BASE}/", token=Secret(CYCLR_TOKEN), account="acct-1")


def request_token(session: Session) -> Secret:
    return request_api_token(session, BASE, client_id="partner", client_secret=CLIENT_SECRET)


def test_a_token_is_issued_and_redacted(remote: FakeRemote, session: Session) -> None:
    """The credentials are sent as a form; neither they nor the token are recorded."""
    remote.on("/oauth/token", responds(CYCLR_TOKEN_ISSUED))

    assert request_token(session).reveal() == CYCLR_TOKEN

    assert fields(remote.requests[0]) == {
        "grant_type": "client_credentials",
        "client_id": "partner",
        "client_secret": "cyclr-client-secret-1",
    }
    assert session.redactor.redact(CYCLR_TOKEN) == MASK
    assert [each.method for each in session.exchanges()] == ["POST"]
    assert "cyclr-client-secret-1" not in repr(session.exchanges())
    assert CYCLR_TOKEN not in repr(session.exchanges())


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"error": "invalid_client", "error_description": "Bad credentials."}, 401, "Bad cred"),
        ({"Message": "Authorization has been denied for this request."}, 401, "has been denied"),
        ({"error": "invalid_client"}, 400, "invalid_client"),
        ({}, 400, "Cyclr answered 400."),
        ("<html>", 403, "Cyclr answered 403."),
    ],
)
def test_a_refused_token_raises_cyclrs_message(
    remote: FakeRemote, session: Session, body: Any, status: int, said: str
) -> None:
    """The error has Cyclr's message, whatever its form, or at least the status."""
    remote.on("/oauth/token", responds(body, status))

    code = "cyclr-credentials-refused" if status in (400, 401) else ""
    with refused_naming(CyclrAPIError, said, code=code) as caught:
        request_token(session)

    assert caught.value.status == status


@pytest.mark.parametrize("body", ["<html>", {}, [], {"access_token": ""}, {"access_token": 1}])
def test_a_response_without_a_token_is_an_error(
    remote: FakeRemote, session: Session, body: Any
) -> None:
    """A response with status 200 but without a token is an error."""
    remote.on("/oauth/token", responds(body))

    with pytest.raises(UnexpectedResponseError):
        request_token(session)


def test_a_token_is_requested_again_after_a_transient_error(
    remote: FakeRemote, session: Session
) -> None:
    """A token request is repeated after a broken connection; a second token does no harm."""
    remote.on("/oauth/token", fails_with(), responds(CYCLR_TOKEN_ISSUED))

    assert request_token(session).reveal() == CYCLR_TOKEN


Call = Callable[[Cyclr], Any]
NAME = "Facebook Marketing API"
# By its method and path: the call, the body that it sends, and what Cyclr answers.
CALLS: dict[str, tuple[Call, Any, Any]] = {
    "GET connectors": (lambda c: c.find_connectors(NAME), None, [CONNECTOR]),
    "GET account/connectors": (lambda c: c.account_connectors(), None, [ACCOUNT_CONNECTOR]),
    "POST connectors/17208/install": (
        lambda c: c.install(17208, NAME),
        {"Name": NAME},
        ACCOUNT_CONNECTOR,
    ),
    "POST accounts": (
        lambda c: c.create_account("Runbook test"),
        {"Name": "Runbook test"},
        {"Id": "acct-2", "Name": "Runbook test"},
    ),
    "GET connectors/17208/methods": (lambda c: c.methods(17208), None, [METHOD]),
    f"POST account/connectors/54321/methods/{GUID}": (
        lambda c: c.run_method(54321, GUID),
        {},
        {"data": []},
    ),
}
each = pytest.mark.parametrize("route", CALLS)


def parts_of(route: str) -> tuple[str, str]:
    """Return the method and the path of a route."""
    method, _, path = route.partition(" ")
    return method, path


@each
def test_a_call_sends_the_documented_request(remote: FakeRemote, cyclr: Cyclr, route: str) -> None:
    """Method, path, account header, token and body are as documented."""
    method, path = parts_of(route)
    call, document, response = CALLS[route]
    remote.on(f"/v1.0/{path}", responds(response))

    assert call(cyclr) == response

    (request,) = remote.requests
    assert request.method == method
    assert request.url.copy_with(query=None) == f"{BASE}/v1.0/{path}"
    assert request.headers["authorization"] == f"Bearer {CYCLR_TOKEN}"
    assert request.headers["x-cyclr-account"] == "acct-1"
    if document is not None:
        assert json.loads(request.content) == document
        assert request.headers["content-type"] == "application/json"


@each
def test_a_call_that_cyclr_refuses_raises_its_message(
    remote: FakeRemote, cyclr: Cyclr, route: str
) -> None:
    """The error has Cyclr's message and the status."""
    remote.on(f"/v1.0/{parts_of(route)[1]}", responds(UNKNOWN_ADDRESS, 403))

    with refused_naming(CyclrAPIError, "Unknown client IP Address") as caught:
        CALLS[route][0](cyclr)

    assert caught.value.status == 403


@each
@pytest.mark.parametrize("body", ["<html>", '{"Id":'])
def test_a_response_that_is_not_json_is_an_error(
    remote: FakeRemote, cyclr: Cyclr, route: str, body: str
) -> None:
    """A page or an incomplete body is an error."""
    remote.on(f"/v1.0/{parts_of(route)[1]}", responds(body))

    with pytest.raises(UnexpectedResponseError):
        CALLS[route][0](cyclr)


# A method's response is the remote system's own, of any type.
@pytest.mark.parametrize("route", [route for route in CALLS if GUID not in route])
def test_a_response_of_another_type_is_an_error(
    remote: FakeRemote, cyclr: Cyclr, route: str
) -> None:
    """A list in place of an object, or the reverse, is an error that names the call."""
    _, path = parts_of(route)
    call, _, response = CALLS[route]
    remote.on(f"/v1.0/{path}", responds({} if isinstance(response, list) else []))

    with refused_naming(UnexpectedResponseError, f"Cyclr (/{path}) "):
        call(cyclr)


@each
def test_only_calls_that_read_are_repeated(remote: FakeRemote, cyclr: Cyclr, route: str) -> None:
    """After a broken connection a GET is sent three times in all, a POST only once."""
    method, path = parts_of(route)
    remote.on(f"/v1.0/{path}", fails_with(httpx.ReadTimeout))

    with pytest.raises(UnreachableError):
        CALLS[route][0](cyclr)

    assert len(remote.requests) == (3 if method == "GET" else 1)


@each
def test_a_get_is_repeated_after_an_incomplete_response(
    remote: FakeRemote, cyclr: Cyclr, route: str
) -> None:
    """A GET is repeated if its response is incomplete; a POST is not."""
    method, path = parts_of(route)
    call, _, response = CALLS[route]
    remote.on(f"/v1.0/{path}", responds(json.dumps(response)[:-1]), responds(response))

    if method == "GET":
        assert call(cyclr) == response
    else:
        with pytest.raises(UnexpectedResponseError):
            call(cyclr)
        assert len(remote.requests) == 1


def test_a_connector_is_found_by_its_name(remote: FakeRemote, cyclr: Cyclr) -> None:
    """Connectors are searched by name, with up to a hundred rows per page; no other is taken."""
    named = {**CONNECTOR, "Name": "Facebook & Co"}
    remote.on(
        "/v1.0/connectors", responds([CONNECTOR, {**named, "Name": "Facebook & Co (old)"}, named])
    )

    assert cyclr.find_connectors("Facebook & Co") == [named]
    assert fields(remote.requests[0]) == {"query": "Facebook & Co", "pageSize": "100"}


LISTS: dict[str, Callable[[Cyclr], list[Any]]] = {
    "account/connectors": lambda c: c.account_connectors(),
    "connectors": lambda c: c.find_connectors("X"),
}


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize(
    ("sizes", "total", "asked"),
    [
        ([0], "1", 1), ([3], "1", 1), ([3], "", 1), ([100, 1], "2", 3), ([100, 1], "", 4),
        ([100], "1", 3), ([2, 2, 1], "3", 5), ([100] * 3, "", 5),
    ],
)  # fmt: skip
def test_a_list_is_read_to_its_end(
    remote: FakeRemote, cyclr: Cyclr, path: str, sizes: list[int], total: str, asked: int
) -> None:
    """Every page is read; a total that agrees, or a single page that is not full, ends it."""

    def page(request: httpx.Request) -> httpx.Response:
        number = int(request.url.params.get("page", 1)) - 1
        size = sizes[number] if number < len(sizes) else 0
        rows = [{"Id": 1_000 * number + place, "Name": "X"} for place in range(size)]
        return httpx.Response(200, json=rows, headers={"Total-Pages": total} if total else {})

    remote.on(f"/v1.0/{path}", page)

    assert len(LISTS[path](cyclr)) == sum(sizes)
    assert len(remote.requests) == asked


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("sizes", [[1], [2, 1], [1, 1, 1], [50, 50, 3], [25, 25]])
def test_small_pages_without_a_number_are_read_to_the_end(
    remote: FakeRemote, cyclr: Cyclr, sizes: list[int], first: int
) -> None:
    """An account's connectors are all read, however small and however counted the pages are."""

    def page(request: httpx.Request) -> httpx.Response:
        number = int(request.url.params.get("page", first)) - first
        size = sizes[number] if number < len(sizes) else 0
        return httpx.Response(200, json=[{"Id": 100 * number + place} for place in range(size)])

    remote.on("/v1.0/account/connectors", page)

    assert len(cyclr.account_connectors(is_short=False)) == sum(sizes)


def test_a_server_that_ignores_the_page_has_given_all_rows(
    remote: FakeRemote, cyclr: Cyclr
) -> None:
    """If each page is the same short list, that is the whole one."""
    rows = [{"Id": 1}, {"Id": 2}]
    remote.on("/v1.0/account/connectors", responds(rows))

    assert cyclr.account_connectors(is_short=False) == rows


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize(
    ("page", "why", "asked"),
    [
        (lambda _: [{"Id": place} for place in range(100)], "list-repeats", 3),
        (
            lambda number: [{"Id": 100 * number + place} for place in range(100)],
            "list-without-end",
            51,
        ),
        (
            lambda number: [{"Id": 90 * number + place} for place in range(100)],
            "list-without-end",
            51,
        ),
        (lambda number: [{"Id": 9}] * (number == 2), "list-with-gap", 4),
        (lambda number: {} if number == 2 else [{"Id": 1}], "page-not-readable", 5),
    ],
)
def test_a_part_of_a_list_is_an_error(
    remote: FakeRemote, cyclr: Cyclr, path: str, page: Callable[[int], Any], why: str, asked: int
) -> None:
    """Nothing is concluded from a list that repeats, has gaps or has no end."""

    def respond(request: httpx.Request) -> httpx.Response:
        number = int(request.url.params.get("page", 1))
        return httpx.Response(200, json=page(number), headers={"Total-Pages": "2"})

    remote.on(f"/v1.0/{path}", respond)

    whole = wording("unexpected-response.not-a-whole-list", path=path)
    with refused(UnexpectedResponseError, why) as caught:
        LISTS[path](cyclr)
    assert whole in str(caught.value)
    assert len(remote.requests) <= asked


def test_a_sign_in_token_is_a_secret(remote: FakeRemote, session: Session, cyclr: Cyclr) -> None:
    """The single-use token is returned as a secret and never recorded."""
    remote.on("/v1.0/accounts/acct-1/signintoken", responds(SIGN_IN_TOKEN_ISSUED))

    token = cyclr.sign_in_token("acct-1", "operator@acme.example")

    assert token.reveal() == SIGN_IN_TOKEN
    assert remote.requests[0].method == "POST"
    assert json.loads(remote.requests[0].content) == {"Username": "operator@acme.example"}
    assert SIGN_IN_TOKEN not in repr(session.exchanges())
    assert session.redactor.redact(SIGN_IN_TOKEN) == MASK


def test_a_sign_in_token_may_be_refused(remote: FakeRemote, cyclr: Cyclr) -> None:
    """For an unknown account, the error has Cyclr's message."""
    remote.on("/v1.0/accounts/no-such/signintoken", responds({"Message": "Not found"}, 404))

    with refused_naming(CyclrAPIError, "Not found"):
        cyclr.sign_in_token("no-such", "operator@acme.example")


def test_the_sign_in_link_is_encoded() -> None:
    """The token and the target's address are percent-encoded in the link's query."""
    url = sign_in_url("acme-h.cyclr.com", 54321, Secret("a+b/c=="), "https://my.cyclr.com/x?y=1")

    parts = urlsplit(url)
    assert (parts.scheme, parts.netloc) == ("https", "acme-h.cyclr.com")
    assert parts.path == "/connectorauth/updateaccountconnectoroauth"
    assert parse_qs(parts.query) == {
        "id": ["54321"],
        "token": ["a+b/c=="],
        "targetOrigin": ["https://my.cyclr.com/x?y=1"],
    }


def test_without_an_account_there_is_no_account_header(
    remote: FakeRemote, session: Session
) -> None:
    """No account header is sent without an account, because Cyclr refuses an empty one."""
    remote.on("/v1.0/accounts", responds({"Id": "acct-2", "Name": "x"}))
    Cyclr(session, base_url=BASE, token=Secret(CYCLR_TOKEN), account="").create_account("x")

    assert "x-cyclr-account" not in remote.requests[0].headers


@pytest.mark.parametrize(
    "error", [{"message": "Session has expired", "code": 190, "error_subcode": 463}, "expired"]
)
@pytest.mark.parametrize("more", [{}, {"data": []}, {"data": [{"permission": "email"}]}])
def test_an_error_beside_data_is_a_refusal(
    remote: FakeRemote, cyclr: Cyclr, error: Any, more: Any
) -> None:
    """An error in a method's response is the provider's refusal, whatever data stands beside it."""
    path = f"/v1.0/account/connectors/54321/methods/{GUID}"
    remote.on(path, responds({**more, "error": error}))

    with pytest.raises(CyclrAPIError, match="expired") as caught:
        cyclr.run_method(54321, GUID)

    assert caught.value.status == 400


@pytest.mark.parametrize("error", [None, False, "", {}])
def test_an_empty_error_field_refuses_nothing(remote: FakeRemote, cyclr: Cyclr, error: Any) -> None:
    """A response whose field error is empty has its data."""
    answer = {"data": [], "error": error}
    remote.on(f"/v1.0/account/connectors/54321/methods/{GUID}", responds(answer))

    assert cyclr.run_method(54321, GUID) == answer
