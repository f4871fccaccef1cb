"""A token endpoint, Facebook's and one of the RFC's: tokens, refusals, broken connections."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from runbook_lib.connectors.facebook.graph_clients import authorization_server
from runbook_lib.connectors.facebook.graph_errors import GraphTokenError
from runbook_lib.core.redaction import MASK, Secret
from runbook_lib.errors import TokenRequestError, UnexpectedResponseError, UnreachableError
from runbook_lib.remote.check_session import Session
from runbook_lib.remote.oauth import (
    AuthorizationServer,
    request_token_by_client_credentials,
    request_token_by_code,
)
from tests.support.wording import refused
from tests.unit.bodies import (
    APP_ID,
    APP_SECRET,
    APP_TOKEN,
    APP_TOKEN_ISSUED,
    BAD_CODE,
    BAD_SECRET,
    EXPIRED_CODE,
    OTHER_REDIRECT,
    REDIRECT_REFUSED,
    UNKNOWN_APP,
    USER_TOKEN,
)
from tests.unit.fake_remote import FakeRemote, fails_with, fields, open_session, owned, responds

ENDPOINT = "https://graph.example/v26.0/oauth/access_token"
PATH = "/v26.0/oauth/access_token"
REDIRECT_URI = "https://acme-h.cyclr.com/connector/callback"


FACEBOOK = authorization_server({"graph_url": "https://graph.example", "graph_version": "v26.0"})
PLAIN = AuthorizationServer(title="Plain", authorization_endpoint="", token_endpoint=ENDPOINT)


def by_credentials(session: Session) -> Secret:
    return request_token_by_client_credentials(
        session, FACEBOOK, client_id=APP_ID, client_secret=Secret(APP_SECRET)
    )


def by_code(session: Session, server: AuthorizationServer = FACEBOOK) -> Secret:
    return request_token_by_code(
        session,
        server,
        client_id=APP_ID,
        client_secret=Secret(APP_SECRET),
        redirect_uri=REDIRECT_URI,
        code="AQDcode-0aB1cD2eF3gH4",
    )


both = pytest.mark.parametrize("request_token", [by_credentials, by_code])


@pytest.fixture
def session(remote: FakeRemote) -> Session:
    return open_session(remote, owned(APP_SECRET), hosts={"facebook": [ENDPOINT]})


@both
def test_an_issued_token_is_redacted(
    remote: FakeRemote, session: Session, request_token: Callable[[Session], Secret]
) -> None:
    """An issued token is returned as a secret, redacted in texts and not recorded."""
    remote.on(PATH, responds({"access_token": USER_TOKEN, "token_type": "bearer"}))

    token = request_token(session)

    assert token.reveal() == USER_TOKEN
    assert session.redactor.redact(f"x {USER_TOKEN}") == f"x {MASK}"
    assert USER_TOKEN not in repr(session.exchanges())


def test_client_credentials_are_sent_as_a_form(remote: FakeRemote, session: Session) -> None:
    """
    The client credentials are in the body, not in the URL (RFC 6749 §2.3.1), and not recorded.
    """
    remote.on(PATH, responds(APP_TOKEN_ISSUED))

    assert by_credentials(session).reveal() == APP_TOKEN

    (request,) = remote.requests
    assert (request.method, request.url.query) == ("POST", b"")
    assert fields(request) == {
        "grant_type": "client_credentials",
        "client_id": APP_ID,
        "client_secret": APP_SECRET,
        "locale": "en_US",
    }
    assert APP_SECRET not in repr(session.exchanges())


def test_a_code_is_redeemed_with_its_redirect_uri(remote: FakeRemote, session: Session) -> None:
    """
    The code is sent with the redirect URI of its dialog (RFC 6749 §4.1.3), and masked in the
    record.
    """
    remote.on(PATH, responds(APP_TOKEN_ISSUED))

    by_code(session)

    assert fields(remote.requests[0]) == {
        "grant_type": "authorization_code",
        "client_id": APP_ID,
        "client_secret": APP_SECRET,
        "redirect_uri": REDIRECT_URI,
        "code": "AQDcode-0aB1cD2eF3gH4",
        "locale": "en_US",
    }
    assert session.exchanges()[0].request["code"] == MASK


@both
@pytest.mark.parametrize(
    ("body", "code"),
    [
        (BAD_SECRET, 1),
        (UNKNOWN_APP, 101),
        (BAD_CODE, 100),
        (EXPIRED_CODE, 100),
        (OTHER_REDIRECT, 100),
        (REDIRECT_REFUSED, 191),
    ],
)
def test_a_refusal_keeps_graphs_own_error_fields(
    remote: FakeRemote,
    session: Session,
    request_token: Callable[[Session], Secret],
    body: dict[str, dict[str, str]],
    code: int,
) -> None:
    """A refusal has Facebook's message, status, code and trace ID, and is not repeated."""
    remote.on(PATH, responds(body, 400))

    with pytest.raises(GraphTokenError) as caught:
        request_token(session)

    error = body["error"]
    subcode = (
        f" (code {code}, subcode {error['error_subcode']})" if "error_subcode" in error else ""
    )
    assert str(caught.value) == error["message"] + subcode
    assert (caught.value.status, caught.value.error_code) == (400, code)
    assert caught.value.trace_id == "F0n/KYH+Z5K"
    assert len(remote.requests) == 1


@pytest.mark.parametrize("server", [PLAIN, FACEBOOK])
def test_the_rfcs_error_word_is_kept(
    remote: FakeRemote, session: Session, server: AuthorizationServer
) -> None:
    """A refusal in the form of RFC 6749 §5.2 keeps its `error` beside the description."""
    remote.on(
        PATH,
        responds({"error": "invalid_client", "error_description": "Unknown client."}, 401),
        responds({"error": "invalid_grant"}, 400),
        responds({"error": "invalid_grant"}, 200),
    )

    for said, word in (
        ("Unknown client.", "invalid_client"),
        ("invalid_grant", "invalid_grant"),
        ("invalid_grant", "invalid_grant"),
    ):
        with pytest.raises(TokenRequestError) as caught:
            by_code(session, server)
        assert (str(caught.value), caught.value.error) == (said, word)


def test_a_token_has_any_form_that_a_token_may_have(remote: FakeRemote, session: Session) -> None:
    """If a provider names no form, every bearer token of RFC 6750 is taken."""
    token = "5c6ccc561059aa386da9d112215bae55"
    remote.on(PATH, responds({"access_token": token, "expires_in": 0, "scope": None}))

    assert by_code(session, PLAIN).reveal() == token


@both
@pytest.mark.parametrize("body", [[], {}, "null"])
def test_an_error_status_without_an_error_is_a_refusal(
    remote: FakeRemote,
    session: Session,
    request_token: Callable[[Session], Secret],
    body: object,
) -> None:
    """An error status without an error object is a refusal that names the status."""
    remote.on(PATH, responds(body, 403))

    with refused(TokenRequestError, "answered", code="graph-token-request-refused", status=403):
        request_token(session)


@both
@pytest.mark.parametrize(
    "body", ["<html>", '{"access_token":', {}, {"access_token": ""}, {"access_token": 7}]
)
def test_a_response_without_a_token_is_an_error(
    remote: FakeRemote,
    session: Session,
    request_token: Callable[[Session], Secret],
    body: object,
) -> None:
    """A response that is not JSON or has no token is an error."""
    remote.on(PATH, responds(body))

    with pytest.raises(UnexpectedResponseError):
        request_token(session)


def test_client_credentials_may_be_repeated(remote: FakeRemote, session: Session) -> None:
    """A request for an app token is repeated after a transient error."""
    remote.on(PATH, fails_with(), responds("busy", 503), responds(APP_TOKEN_ISSUED))

    assert by_credentials(session).reveal() == APP_TOKEN
    assert len(remote.requests) == 3


def test_a_code_is_never_sent_twice(remote: FakeRemote, session: Session) -> None:
    """After a broken connection the code is not sent again, because it is single use."""
    remote.on(PATH, fails_with(httpx.ReadTimeout))

    with pytest.raises(UnreachableError):
        by_code(session)

    assert len(remote.requests) == 1
