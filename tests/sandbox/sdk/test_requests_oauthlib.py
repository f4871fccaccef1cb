"""requests-oauthlib with its fix for Facebook: consent, token, profile, refused sign-ins."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from oauthlib.oauth2 import MismatchingStateError, OAuth2Error
from requests_oauthlib import OAuth2Session
from requests_oauthlib.compliance_fixes import facebook_compliance_fix

from tests.sandbox.sdk.conftest import Given, answer_dialog

# What log-in libraries ask for of a person, whether they get it or not.
PROFILE = "id,name,first_name,middle_name,last_name,short_name,picture,link,locale,email,age_range"


@pytest.fixture
def session(given: Given, monkeypatch: pytest.MonkeyPatch) -> OAuth2Session:
    """Return a session of the sandbox's app; the sandbox is on plain http."""
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")
    monkeypatch.setenv("OAUTHLIB_RELAX_TOKEN_SCOPE", "1")

    session = OAuth2Session(
        given["app_id"],
        redirect_uri=given["redirect_uri"],
        scope=["public_profile", "email", "pages_show_list"],
    )
    return facebook_compliance_fix(session)


def test_a_whole_sign_in(given: Given, session: OAuth2Session) -> None:
    """Consent, token and profile work with the library alone; unknown values are left out."""
    url, state = session.authorization_url(given["dialog_url"])
    answer = answer_dialog(given, url)

    token = session.fetch_token(
        f"{given['graph_url']}/v26.0/oauth/access_token",
        client_secret=given["app_secret"],
        authorization_response=answer,
        include_client_id=True,
    )
    profile = session.get(f"{given['graph_url']}/v26.0/me", params={"fields": PROFILE})

    assert state in answer
    assert token["token_type"].lower() == "bearer"
    assert profile.status_code == 200, profile.text
    assert profile.json()["name"] == "Sandbox Operator"
    assert set(profile.json()) <= set(PROFILE.split(","))


def test_another_state_is_refused(given: Given, session: OAuth2Session) -> None:
    """The answer to another request is no answer to this one."""
    answer = answer_dialog(given, session.authorization_url(given["dialog_url"])[0])
    session.authorization_url(given["dialog_url"])

    with pytest.raises(MismatchingStateError):
        session.fetch_token(
            f"{given['graph_url']}/v26.0/oauth/access_token",
            client_secret=given["app_secret"],
            authorization_response=answer,
        )


def test_a_wrong_secret_gives_no_token(given: Given, session: OAuth2Session) -> None:
    """A refusal is Graph's error object, in which the library finds no token."""
    answer = answer_dialog(given, session.authorization_url(given["dialog_url"])[0])

    with pytest.raises(OAuth2Error):
        session.fetch_token(
            f"{given['graph_url']}/v26.0/oauth/access_token",
            client_secret="0" * 32,
            authorization_response=answer,
            include_client_id=True,
        )
    assert urlsplit(answer).path.endswith("/callback")
