"""Authlib's `OAuth2Session`: authorization URL, code exchange by POST and GET, and errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc6749.errors import MismatchingStateException

from tests.sandbox.sdk.conftest import Given, answer_dialog, control, query_of

Open = Callable[..., OAuth2Session]

SIXTY_DAYS = 60 * 86_400


@pytest.fixture
def session_of() -> Iterator[Open]:
    """Return a function that opens an app's session; all are closed after the test."""
    opened: list[OAuth2Session] = []

    def make(given: Given, secret: str = "", **options: str) -> OAuth2Session:
        session = OAuth2Session(
            given["app_id"],
            secret or given["app_secret"],
            token_endpoint_auth_method="client_secret_post",
            redirect_uri=given["redirect_uri"],
            scope="public_profile,ads_read",
            **options,
        )
        opened.append(session)
        return session

    yield make
    for session in opened:
        session.close()


@pytest.fixture
def session(given: Given, session_of: Open) -> OAuth2Session:
    """Return a session of the app in which everything is approved."""
    return session_of(given)


def token_url(given: Given) -> str:
    """Return the token endpoint."""
    return f"{given['graph_url']}/v26.0/oauth/access_token"


def sign_in(session: OAuth2Session, given: Given, decision: str = "continue") -> tuple[str, str]:
    """Sign in as a person at the session's URL; return the callback's address and the state."""
    url, state = session.create_authorization_url(given["dialog_url"])
    return answer_dialog(given, url, decision), state


def redeem(session: OAuth2Session, given: Given, callback: str, **options: str) -> dict[str, Any]:
    """Return the token for the callback's code; the app's server gets no fragment."""
    answer = callback.partition("#")[0]
    token: dict[str, Any] = session.fetch_token(
        token_url(given), authorization_response=answer, **options
    )
    return token


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_a_whole_sign_in(given: Given, session: OAuth2Session, method: str) -> None:
    """The code is exchanged by POST or GET, and the token works as Bearer on `/me`."""
    callback, state = sign_in(session, given)
    token = redeem(session, given, callback, state=state, method=method)
    assert (token["token_type"], token["expires_in"]) == ("bearer", SIXTY_DAYS)
    me = session.get(f"{given['graph_url']}/v26.0/me").json()
    assert me["name"] == "Sandbox Operator"
    accounts = session.get(f"{given['graph_url']}/v26.0/me/adaccounts").json()["data"]
    assert [one["account_id"] for one in accounts] == [given["ad_account_id"]]
    granted = session.get(f"{given['graph_url']}/v26.0/me/accounts").json()["data"]
    assert granted == []  # pages_show_list was not asked for


def test_an_app_token(given: Given, session: OAuth2Session) -> None:
    """`client_credentials` gives the app's token, without a lifetime, which can read the app."""
    token = session.fetch_token(token_url(given), grant_type="client_credentials")
    assert token["access_token"].startswith(f"{given['app_id']}|")
    assert "expires_in" not in token
    app = session.get(f"{given['graph_url']}/v26.0/{given['app_id']}").json()
    assert app["name"] == given["app_display_name"]


def test_a_person_declines(given: Given, session: OAuth2Session) -> None:
    """Cancel gives the error access_denied (RFC 6749) and no code."""
    callback, state = sign_in(session, given, "cancel")
    answer = query_of(callback)
    assert (answer["error"], answer["state"]) == ("access_denied", state)
    assert "code" not in answer


def test_a_foreign_state(given: Given, session: OAuth2Session) -> None:
    """The dialog returns the state unchanged; Authlib refuses another one."""
    callback, _ = sign_in(session, given)
    with pytest.raises(MismatchingStateException):
        redeem(session, given, callback, state="another")


def refusal(
    session: OAuth2Session, given: Given, callback: str, **options: str
) -> dict[str, object]:
    """Return Graph's error object, which Authlib's error has as `error`."""
    with pytest.raises(OAuthError) as caught:
        redeem(session, given, callback, **options)
    error = caught.value.error
    assert isinstance(error, dict)
    return error


def test_a_reused_code(given: Given, session: OAuth2Session) -> None:
    """The second exchange of a code is refused with 100/36009."""
    callback, _ = sign_in(session, given)
    redeem(session, given, callback)
    error = refusal(session, given, callback)
    assert list(error) == ["message", "type", "code", "error_subcode", "fbtrace_id"]
    assert (error["type"], error["code"], error["error_subcode"]) == ("OAuthException", 100, 36009)


def test_an_expired_code(given: Given, session: OAuth2Session) -> None:
    """A code is valid for ten minutes, and is then refused with 100/36007."""
    callback, _ = sign_in(session, given)
    control(given, "time", {"advance": 600})
    redeem(session, given, callback)
    callback, _ = sign_in(session, given)
    control(given, "time", {"advance": 601})
    error = refusal(session, given, callback)
    assert (error["code"], error["error_subcode"]) == (100, 36007)


def test_another_redirect_uri(given: Given, session: OAuth2Session) -> None:
    """A redirect URI that differs from the dialog's is refused with 100/36008."""
    callback, _ = sign_in(session, given)
    error = refusal(session, given, callback, redirect_uri=given["redirect_uri"] + "?x=1")
    assert (error["code"], error["error_subcode"]) == (100, 36008)


def test_the_order_of_evaluation(given: Given, session_of: Open) -> None:
    """Of client, secret, redirect URI and code, the first wrong one is named."""
    callback = f"{given['redirect_uri']}?code=DUMMY"
    foreign = "https://unregistered.invalid/x"
    wrong_secret = session_of(given, "0" * 32)
    codes = [
        refusal(session_of({**given, "app_id": "4711"}, "0" * 32), given, callback)["code"],
        refusal(wrong_secret, given, callback, redirect_uri=foreign)["code"],
        refusal(session_of(given), given, callback, redirect_uri=foreign)["code"],
        refusal(session_of(given), given, callback)["code"],
    ]
    assert codes == [101, 1, 191, 100]


def test_a_revoked_sign_in(given: Given, session: OAuth2Session) -> None:
    """After DELETE /me/permissions the token is refused with 190/458."""
    callback, _ = sign_in(session, given)
    redeem(session, given, callback)
    me = f"{given['graph_url']}/v26.0/me"
    assert session.delete(f"{me}/permissions").json() == {"success": True}
    error = session.get(me).json()["error"]
    assert (error["code"], error["error_subcode"]) == (190, 458)
