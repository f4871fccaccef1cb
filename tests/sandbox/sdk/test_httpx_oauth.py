"""httpx-oauth's Facebook client: authorization URL, code, long-lived token, profile and errors."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from urllib.parse import urlsplit

import httpx
import pytest
from httpx_oauth.clients import facebook as module
from httpx_oauth.clients.facebook import FacebookOAuth2, GetLongLivedAccessTokenError
from httpx_oauth.exceptions import GetProfileError
from httpx_oauth.oauth2 import GetAccessTokenError, OAuth2RequestError

from facebook_cyclr_sandbox.server import Sandbox
from tests.sandbox.graph_texts import CODE_EXPIRED, CODE_USED, WRONG_SECRET
from tests.sandbox.sdk.conftest import Given, complete_dialog, control, query_of

ClientOf = Callable[..., FacebookOAuth2]

STATE = "a state of the app's own"
SIXTY_DAYS = 60 * 86_400


@pytest.fixture
def client_of(monkeypatch: pytest.MonkeyPatch) -> ClientOf:
    """
    Return a function that makes a sandbox's client: the library's paths at the sandbox's addresses.
    """

    def make(given: Given, **other: str) -> FacebookOAuth2:
        client = FacebookOAuth2(given["app_id"], other.get("client_secret", given["app_secret"]))
        client.authorize_endpoint = replace_base(client.authorize_endpoint, given["dashboard_url"])
        client.access_token_endpoint = replace_base(
            client.access_token_endpoint, given["graph_url"]
        )
        profile = replace_base(module.PROFILE_ENDPOINT, given["graph_url"])
        monkeypatch.setattr(module, "PROFILE_ENDPOINT", profile)
        return client

    return make


@pytest.fixture
def client(given: Given, client_of: ClientOf) -> FacebookOAuth2:
    """Return a client of the sandbox in which everything is approved."""
    return client_of(given)


def replace_base(url: str, base: str) -> str:
    """Return `url` with scheme and host of `base`."""
    return base + urlsplit(url).path


def authorize(client: FacebookOAuth2, given: Given, **more: list[str]) -> str:
    """Return the client's authorization URL."""
    return asyncio.run(client.get_authorization_url(given["redirect_uri"], STATE, **more))


def error_of(error: OAuth2RequestError | GetProfileError) -> dict[str, object]:
    """Return Graph's error from the response in the library's error."""
    assert error.response is not None
    document: dict[str, object] = error.response.json()["error"]
    return document


def test_a_whole_sign_in(given: Given, client: FacebookOAuth2) -> None:
    """URL, consent, code, token, long-lived token and profile work with the library alone."""
    url = authorize(client, given)
    assert query_of(url)["scope"] == "email public_profile"
    callback = query_of(complete_dialog(given, url))
    assert callback["state"] == STATE

    token = asyncio.run(client.get_access_token(callback["code"], given["redirect_uri"]))
    assert token["token_type"] == "bearer"
    assert token["expires_in"] == SIXTY_DAYS
    assert not token.is_expired()

    longer = asyncio.run(client.get_long_lived_access_token(token["access_token"]))
    assert longer["expires_in"] == SIXTY_DAYS
    user_id, email = asyncio.run(client.get_id_email(longer["access_token"]))
    assert (user_id.isdecimal(), email) == (True, given["login_email"])


def test_the_redirect_is_facebooks(given: Given, client: FacebookOAuth2) -> None:
    """The callback gets `code`, `state` and the fragment `#_=_`, in this order."""
    location = complete_dialog(given, authorize(client, given))
    assert location.startswith(f"{given['redirect_uri']}?code=AQ")
    assert list(query_of(location)) == ["code", "state"]
    assert location.endswith("#_=_")


def test_a_person_declines_everything(given: Given, client: FacebookOAuth2) -> None:
    """Cancel gives access_denied with Facebook's error fields, and no code."""
    location = complete_dialog(given, authorize(client, given), "cancel")
    assert query_of(location) == {
        "error": "access_denied",
        "error_code": "200",
        "error_description": "Permissions error",
        "error_reason": "user_denied",
        "state": STATE,
    }
    assert location.endswith("#_=_")


def test_a_person_declines_one_permission(given: Given, client: FacebookOAuth2) -> None:
    """
    Without `email` the profile has no address; the permission is offered again only by rerequest.
    """
    location = complete_dialog(given, authorize(client, given), declined=("email",))
    token = asyncio.run(client.get_access_token(query_of(location)["code"], given["redirect_uri"]))
    user_id, email = asyncio.run(client.get_id_email(token["access_token"]))
    assert (user_id.isdecimal(), email) == (True, None)

    rights = httpx.get(
        f"{given['graph_url']}/v26.0/me/permissions",
        params={"access_token": token["access_token"], "status": "declined"},
    )
    assert rights.json()["data"] == [{"permission": "email", "status": "declined"}]
    again = complete_dialog(given, authorize(client, given))
    token = asyncio.run(client.get_access_token(query_of(again)["code"], given["redirect_uri"]))
    assert asyncio.run(client.get_id_email(token["access_token"]))[1] is None

    asked = authorize(client, given) + "&auth_type=rerequest"
    code = query_of(complete_dialog(given, asked))["code"]
    token = asyncio.run(client.get_access_token(code, given["redirect_uri"]))
    assert asyncio.run(client.get_id_email(token["access_token"]))[1] == given["login_email"]


def test_an_error_outside_oauth(given: Given, client: FacebookOAuth2) -> None:
    """Facebook's other errors have error_code and error_message, but no `error`."""
    message = "App Not Active: This app is not accessible right now."
    control(given, "faults", {"dialog_error": ["1349220", message]})
    location = complete_dialog(given, authorize(client, given))
    assert query_of(location) == {
        "error_code": "1349220",
        "error_message": message,
        "state": STATE,
    }


def test_a_redirect_that_is_not_registered(given: Given, client: FacebookOAuth2) -> None:
    """For an unregistered redirect URI the dialog shows URL Blocked and does not redirect."""
    url = asyncio.run(client.get_authorization_url("https://elsewhere.example/callback", STATE))
    page = httpx.get(url)
    assert page.status_code == 400
    assert "URL Blocked" in page.text
    assert "This redirect failed because the redirect URI is not whitelisted" in page.text


def test_a_scope_that_does_not_exist(given: Given, client: FacebookOAuth2) -> None:
    """For an unknown scope the dialog names it to the app's own people: Invalid Scopes."""
    login = {"email": given["login_email"], "password": given["login_password"]}
    page = httpx.post(authorize(client, given, scope=["email", "no_such_scope"]), data=login)
    assert "Invalid Scopes: no_such_scope" in page.text


@pytest.mark.parametrize(
    ("change", "code", "subcode", "message"),
    [
        ("reused", 100, 36009, CODE_USED),
        ("expired", 100, 36007, CODE_EXPIRED),
        ("malformed", 100, None, "Invalid verification code format."),
        ("other redirect", 100, 36008, "Error validating verification code."),
        ("foreign redirect", 191, None, "Can't load URL: The domain of this URL isn't included"),
        ("wrong secret", 1, None, WRONG_SECRET),
    ],
)
def test_a_refused_exchange(
    given: Given,
    client_of: ClientOf,
    change: str,
    code: int,
    subcode: int | None,
    message: str,
) -> None:
    """Each error of the token endpoint reaches the library's error with the whole response."""
    client = client_of(given)
    granted = query_of(complete_dialog(given, authorize(client, given)))["code"]
    redirect_uri = given["redirect_uri"]
    if change == "reused":
        asyncio.run(client.get_access_token(granted, redirect_uri))
    elif change == "expired":
        control(given, "time", {"advance": 601})
    elif change == "malformed":
        granted = "DUMMY"
    elif change == "other redirect":
        redirect_uri += "/"
    elif change == "foreign redirect":
        redirect_uri = "https://unregistered.invalid/x"
    else:
        client = client_of(given, client_secret="0" * 32)
    with pytest.raises(GetAccessTokenError) as caught:
        asyncio.run(client.get_access_token(granted, redirect_uri))
    error = error_of(caught.value)
    assert caught.value.response is not None
    assert caught.value.response.status_code == 400
    assert (error["code"], error.get("error_subcode")) == (code, subcode)
    assert str(error["message"]).startswith(message)
    challenge = caught.value.response.headers["www-authenticate"]
    kind = "redirect_uri_mismatch" if code == 191 else "invalid_code"
    assert challenge.startswith(f'OAuth "Facebook Platform" "{kind}" "')


def test_an_expired_token_is_not_made_longer(
    start: Callable[..., Sandbox], client_of: ClientOf
) -> None:
    """Exchange and profile refuse an expired token with 190/463."""
    given = start("token-expired").description
    client = client_of(given)
    with pytest.raises(GetLongLivedAccessTokenError) as caught:
        asyncio.run(client.get_long_lived_access_token(given["user_access_token"]))
    assert error_of(caught.value)["error_subcode"] == 463
    with pytest.raises(GetProfileError) as missed:
        asyncio.run(client.get_profile(given["user_access_token"]))
    assert error_of(missed.value)["code"] == 190


@pytest.mark.parametrize("kind", ["html", "truncated", "reset"])
def test_broken_answers_of_the_token_endpoint(
    given: Given, client: FacebookOAuth2, kind: str
) -> None:
    """HTML, truncated JSON or a broken connection raises the library's own error."""
    code = query_of(complete_dialog(given, authorize(client, given)))["code"]
    control(given, "faults", {"faults": [{"kind": kind, "site": "graph", "remaining": 1}]})
    with pytest.raises(GetAccessTokenError):
        asyncio.run(client.get_access_token(code, given["redirect_uri"]))
