"""Cyclr's API: each call's request, what it returns, and what is raised instead."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from runbook_lib.core.redaction import MASK, Secret
from runbook_lib.errors import CyclrAPIError, UnexpectedAnswerError, UnreachableError
from runbook_lib.remote.cyclr import Cyclr, request_api_token, sign_in_url
from runbook_lib.remote.transport import Session
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
from tests.unit.fake_remote import FakeRemote, breaks, fields, open_session, says

BASE = "https://api.cyclr.example"
CLIENT_SECRET = Secret("cyclr-client-secret-1")
GUID = METHOD["MethodUniqueIdentifier"]


@pytest.fixture
def remote() -> FakeRemote:
    return FakeRemote()


@pytest.fixture
def session(remote: FakeRemote) -> Session:
    return open_session(remote)


@pytest.fixture
def cyclr(session: Session) -> Cyclr:
    return Cyclr(session, base_url=f"{BASE}/", token=Secret(CYCLR_TOKEN), account="acct-1")


def ask_for_token(session: Session) -> Secret:
    return request_api_token(session, BASE, client_id="partner", client_secret=CLIENT_SECRET)


def test_a_token_is_issued_and_known_from_then_on(remote: FakeRemote, session: Session) -> None:
    """Cyclr's own credentials go as a form, and neither they nor the token are recorded."""

    remote.on("/oauth/token", says(CYCLR_TOKEN_ISSUED))

    assert ask_for_token(session).reveal() == CYCLR_TOKEN

    assert fields(remote.requests[0]) == {
        "grant_type": "client_credentials",
        "client_id": "partner",
        "client_secret": "cyclr-client-secret-1",
    }
    assert session.redactor.redact(CYCLR_TOKEN) == MASK
    assert "cyclr-client-secret-1" not in repr(session.exchanges())
    assert CYCLR_TOKEN not in repr(session.exchanges())


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"error": "invalid_client", "error_description": "Bad credentials."}, 401, "Bad cred"),
        ({"Message": "Authorization has been denied for this request."}, 401, "has been denied"),
        ({}, 400, "Cyclr answered 400."),
        ("<html>", 403, "Cyclr answered 403."),
    ],
)
def test_a_refused_token_is_raised_with_cyclrs_words(
    remote: FakeRemote, session: Session, body: Any, status: int, said: str
) -> None:
    """Whatever form the refusal has, its words or at least its status are told."""

    remote.on("/oauth/token", says(body, status))

    with pytest.raises(CyclrAPIError, match=said) as caught:
        ask_for_token(session)

    assert caught.value.status == status


@pytest.mark.parametrize("body", ["<html>", {}, [], {"access_token": ""}, {"access_token": 1}])
def test_an_answer_without_a_token_is_no_token(
    remote: FakeRemote, session: Session, body: Any
) -> None:
    """Status 200 alone is no token."""

    remote.on("/oauth/token", says(body))

    with pytest.raises(UnexpectedAnswerError):
        ask_for_token(session)


def test_asking_for_a_token_survives_a_passing_fault(remote: FakeRemote, session: Session) -> None:
    """Several tokens may coexist, so asking again is harmless."""

    remote.on("/oauth/token", breaks(), says(CYCLR_TOKEN_ISSUED))

    assert ask_for_token(session).reveal() == CYCLR_TOKEN


Call = Callable[[Cyclr], Any]
CALLS: dict[str, tuple[Call, str, str, Any, Any, Any]] = {
    "find_connectors": (
        lambda c: c.find_connectors("Facebook Marketing API"),
        "GET",
        "connectors",
        None,
        [CONNECTOR, {**CONNECTOR, "Name": "Facebook Marketing API (old)"}],
        [CONNECTOR],
    ),
    "account_connectors": (
        lambda c: c.account_connectors(),
        "GET",
        "account/connectors",
        None,
        [ACCOUNT_CONNECTOR],
        [ACCOUNT_CONNECTOR],
    ),
    "install": (
        lambda c: c.install(17208, "Facebook Marketing API"),
        "POST",
        "connectors/17208/install",
        {"Name": "Facebook Marketing API"},
        ACCOUNT_CONNECTOR,
        ACCOUNT_CONNECTOR,
    ),
    "create_account": (
        lambda c: c.create_account("Runbook test"),
        "POST",
        "accounts",
        {"Name": "Runbook test"},
        {"Id": "acct-2", "Name": "Runbook test"},
        {"Id": "acct-2", "Name": "Runbook test"},
    ),
    "methods": (
        lambda c: c.methods(17208),
        "GET",
        "connectors/17208/methods",
        None,
        [METHOD],
        [METHOD],
    ),
    "run_method": (
        lambda c: c.run_method(54321, GUID),
        "POST",
        f"account/connectors/54321/methods/{GUID}",
        {},
        {"data": []},
        {"data": []},
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_call_sends_what_cyclr_documents(remote: FakeRemote, cyclr: Cyclr, name: str) -> None:
    """Method, path, account header, token and body are the documented ones."""

    call, method, path, document, answer, returned = CALLS[name]
    remote.on(f"/v1.0/{path}", says(answer))

    assert call(cyclr) == returned

    (request,) = remote.requests
    assert request.method == method
    assert request.url.copy_with(query=None) == f"{BASE}/v1.0/{path}"
    assert request.headers["authorization"] == f"Bearer {CYCLR_TOKEN}"
    assert request.headers["x-cyclr-account"] == "acct-1"
    if document is not None:
        assert json.loads(request.content) == document
        assert request.headers["content-type"] == "application/json"


@pytest.mark.parametrize("name", CALLS)
def test_a_call_that_cyclr_refuses_raises_its_message(
    remote: FakeRemote, cyclr: Cyclr, name: str
) -> None:
    """Cyclr's own words and the status reach whoever asked."""

    call, _, path, *_ = CALLS[name]
    remote.on(f"/v1.0/{path}", says(UNKNOWN_ADDRESS, 403))

    with pytest.raises(CyclrAPIError, match="Unknown client IP Address") as caught:
        call(cyclr)

    assert caught.value.status == 403


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("body", ["<html>", '{"Id":'])
def test_a_call_answered_with_no_json_is_no_answer(
    remote: FakeRemote, cyclr: Cyclr, name: str, body: str
) -> None:
    """A page in place of the API proves nothing."""

    call, _, path, *_ = CALLS[name]
    remote.on(f"/v1.0/{path}", says(body))

    with pytest.raises(UnexpectedAnswerError):
        call(cyclr)


@pytest.mark.parametrize("name", sorted(set(CALLS) - {"run_method"}))
def test_a_call_answered_with_another_shape_is_no_answer(
    remote: FakeRemote, cyclr: Cyclr, name: str
) -> None:
    """A list where an object is documented, or the reverse, is not taken for one."""

    call, _, path, _, answer, _ = CALLS[name]
    remote.on(f"/v1.0/{path}", says({} if isinstance(answer, list) else []))

    with pytest.raises(UnexpectedAnswerError, match=rf"^Cyclr \(/{path}\) answered"):
        call(cyclr)


@pytest.mark.parametrize("name", CALLS)
def test_only_reading_is_repeated(remote: FakeRemote, cyclr: Cyclr, name: str) -> None:
    """A broken connection never installs twice; reading gets three attempts."""

    call, method, path, *_ = CALLS[name]
    remote.on(f"/v1.0/{path}", breaks(httpx.ReadTimeout))

    with pytest.raises(UnreachableError):
        call(cyclr)

    assert len(remote.requests) == (3 if method == "GET" else 1)


@pytest.mark.parametrize("name", CALLS)
def test_an_answer_that_was_cut_off_is_asked_again(
    remote: FakeRemote, cyclr: Cyclr, name: str
) -> None:
    """Half an answer to reading is no answer yet; what changes something is never sent twice."""

    call, method, path, _, answer, returned = CALLS[name]
    remote.on(f"/v1.0/{path}", says(json.dumps(answer)[:-1]), says(answer))

    if method == "GET":
        assert call(cyclr) == returned
    else:
        with pytest.raises(UnexpectedAnswerError):
            call(cyclr)
        assert len(remote.requests) == 1


def test_a_connector_is_looked_up_by_its_name(remote: FakeRemote, cyclr: Cyclr) -> None:
    """The query narrows the list; a hundred rows come at once."""

    remote.on("/v1.0/connectors", says([]))

    assert cyclr.find_connectors("Facebook & Co") == []
    assert fields(remote.requests[0]) == {"query": "Facebook & Co", "pageSize": "100"}


def test_a_sign_in_token_is_a_secret_from_the_start(
    remote: FakeRemote, session: Session, cyclr: Cyclr
) -> None:
    """The single-use token is returned and never recorded."""

    remote.on("/v1.0/accounts/acct-1/signintoken", says(SIGN_IN_TOKEN_ISSUED))

    token = cyclr.sign_in_token("acct-1", "operator@acme.example")

    assert token.reveal() == SIGN_IN_TOKEN
    assert remote.requests[0].method == "POST"
    assert json.loads(remote.requests[0].content) == {"Username": "operator@acme.example"}
    assert SIGN_IN_TOKEN not in repr(session.exchanges())
    assert session.redactor.redact(SIGN_IN_TOKEN) == MASK


def test_a_sign_in_token_may_be_refused(remote: FakeRemote, cyclr: Cyclr) -> None:
    """An unknown account is told in Cyclr's words."""

    remote.on("/v1.0/accounts/no-such/signintoken", says({"Message": "Not found"}, 404))

    with pytest.raises(CyclrAPIError, match="Not found"):
        cyclr.sign_in_token("no-such", "operator@acme.example")


def test_the_sign_in_link_is_encoded_whole() -> None:
    """The token ends in `=` and the target is an address: both survive the query."""

    url = sign_in_url("acme-h.cyclr.com", 54321, Secret("a+b/c=="), "https://my.cyclr.com/x?y=1")

    parts = urlsplit(url)
    assert (parts.scheme, parts.netloc) == ("https", "acme-h.cyclr.com")
    assert parts.path == "/connectorauth/updateaccountconnectoroauth"
    assert parse_qs(parts.query) == {
        "id": ["54321"],
        "token": ["a+b/c=="],
        "targetOrigin": ["https://my.cyclr.com/x?y=1"],
    }


def test_without_an_account_no_account_is_named(remote: FakeRemote, session: Session) -> None:
    """Cyclr refuses an empty account header; making the first account must not send one."""

    remote.on("/v1.0/accounts", says({"Id": "acct-2", "Name": "x"}))
    Cyclr(session, base_url=BASE, token=Secret(CYCLR_TOKEN), account="").create_account("x")

    assert "x-cyclr-account" not in remote.requests[0].headers
