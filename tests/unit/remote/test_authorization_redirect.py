"""The consent: the address of Facebook's dialog, and the redirect that answers it."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from runbook_lib.connectors.facebook.graph_clients import authorization_server
from runbook_lib.errors import AuthorizationError, RefusedConsentError, StateMismatchError
from runbook_lib.remote.authorization_redirect import (
    PendingAuthorization,
    is_response_to,
    read_redirect,
)
from runbook_lib.remote.oauth import AuthorizationServer
from tests.support.wording import refused, wording

DIALOG = "https://www.facebook.com/v26.0/dialog/oauth"


FACEBOOK = authorization_server({"dialog_url": DIALOG, "permissions": ("public_profile", "a")})
PLAIN = AuthorizationServer(
    title="Plain",
    authorization_endpoint="https://login.example/oauth2/authorize",
    token_endpoint="https://login.example/oauth2/token",
    scope=("crm.read", "chat-write"),
)


def authorization(
    state: str = "state-1", server: AuthorizationServer = FACEBOOK
) -> PendingAuthorization:
    return PendingAuthorization(server, "1234567891011121", "http://localhost:1/consent", state)


PENDING = {"state-1": authorization(), "state-2": authorization("state-2")}


@pytest.mark.parametrize(
    ("server", "dialog", "own"),
    [
        # Facebook's: `auth_type=rerequest` asks again for permissions that were declined before.
        (FACEBOOK, DIALOG, {"scope": ["public_profile,a"], "auth_type": ["rerequest"]}),
        # Without a provider's differences it is RFC 6749's: scopes with a space between.
        (PLAIN, PLAIN.authorization_endpoint, {"scope": ["crm.read chat-write"]}),
        # A provider without scopes is sent no empty one, which RFC 6749 §3.3 does not allow.
        (replace(PLAIN, scope=()), PLAIN.authorization_endpoint, {}),
    ],
)
def test_the_authorization_request_is_as_the_provider_documents(
    server: AuthorizationServer, dialog: str, own: dict[str, list[str]]
) -> None:
    """The dialog's address has the client, redirect URI, state, response type and scopes."""
    parts = urlsplit(authorization(server=server).url)

    assert f"{parts.scheme}://{parts.netloc}{parts.path}" == dialog
    assert parse_qs(parts.query, keep_blank_values=True) == {
        "client_id": ["1234567891011121"],
        "redirect_uri": ["http://localhost:1/consent"],
        "state": ["state-1"],
        "response_type": ["code"],
        **own,
    }


def test_a_refusal_names_the_provider_that_refused() -> None:
    """An error of RFC 6749 §4.1.2.1 is a refusal in the provider's name."""
    pending = {"s": authorization("s", PLAIN)}

    with refused(RefusedConsentError, "refused", provider="Plain", reason="invalid_scope"):
        read_redirect(pending, "/consent?state=s&error=invalid_scope")


def test_a_state_cannot_be_guessed() -> None:
    """Each request has a random state of at least 32 characters (RFC 6749 §10.12)."""
    states = {PendingAuthorization(FACEBOOK, "1", "http://x").state for _ in range(50)}

    assert len(states) == 50
    assert all(len(state) >= 32 for state in states)


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:1/consent?code=AQDcode-0aB1cD2eF3gH4&state=state-2#_=_",
        "/consent?state=state-2&code=AQDcode-0aB1cD2eF3gH4",
        "  http://localhost:1/consent?code=AQDcode-0aB1cD2eF3gH4&state=state-2\n",
    ],
)
def test_a_redirect_responds_to_its_own_request(url: str) -> None:
    """
    A redirect is matched to its request by the state.

    Facebook's `#_=_`, surrounding blanks and an address without a host are accepted.
    """
    request, code = read_redirect(PENDING, url)

    assert request is PENDING["state-2"]
    assert code.reveal() == "AQDcode-0aB1cD2eF3gH4"


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:1/consent?code=AQDcode-0aB1cD2eF3gH4&state=other",
        "/consent?code=AQDcode-0aB1cD2eF3gH4",
        "/consent?code=AQDcode-0aB1cD2eF3gH4&state=other",
    ],
)
def test_a_redirect_with_another_state_is_refused(url: str) -> None:
    """A redirect without the state of a pending request raises `StateMismatchError`."""
    with refused(StateMismatchError, "state-differs"):
        read_redirect(PENDING, url)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "nothing-pasted"),
        (" \n", "nothing-pasted"),
        ("AQDcode-0aB1cD2eF3gH4", "not-an-address"),
        ("what is this?", "not-an-address"),
        ("http://localhost:1/consent", "no-answer"),
        # Another tab, such as the consent page itself, whose address has the state too.
        ("http://[x/?a=1", "another-page"),
        ("http://localhost:1/other?state=state-1&code=AQDcode-0aB1cD2eF3gH4", "another-page"),
        (f"{DIALOG}?state=state-1&redirect_uri=http://localhost:1/consent?", "another-page"),
    ],
)
def test_a_text_that_is_not_a_redirect_is_refused(url: str, said: str) -> None:
    """
    The error says why a pasted text is not a redirect, and what to paste; it is no state mismatch.
    """
    with refused(AuthorizationError, said) as caught:
        read_redirect(PENDING, url)

    assert "http://localhost:1/consent?" in caught.value.diagnostics()


NO_CODE = wording("authorization-refused.no-code")


def facebook_refused(reason: str) -> str:
    return wording("consent-refused.refused", provider="Facebook", reason=reason)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        (
            (
                "error=access_denied&error_code=200&error_description=Permissions+error"
                "&error_reason=user_denied"
            ),
            wording("consent-refused.cancelled"),
        ),
        ("error_code=100&error_message=Invalid+Scopes%3A+x", facebook_refused("Invalid Scopes: x")),
        ("error=server_error&error_description=Try+again", facebook_refused("Try again")),
        ("error=server_error", facebook_refused("server_error")),
        ("", NO_CODE),
        ("code=", NO_CODE),
        ("code=outcome", NO_CODE),
    ],
)
def test_a_refusal_has_a_message_of_its_own(query: str, said: str) -> None:
    """
    Cancel, an error in each of Facebook's forms and an incomplete address have different messages.
    """
    with pytest.raises(AuthorizationError) as caught:
        read_redirect(PENDING, f"/consent?state=state-1&{query}")
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "query",
    [
        "error=server_error&error_description={said}",
        "error_code=100&error_message={said}",
        "error={said}",
    ],
)
def test_text_from_the_address_is_printable_and_short_in_a_message(query: str) -> None:
    """An error text from the address is cut, and its control characters are escaped."""
    said = quote("\x1b[2J\x07\u202eabc\x00\u200b\r\n" + "x" * 100_000)

    with pytest.raises(RefusedConsentError) as caught:
        read_redirect(PENDING, f"/consent?state=state-1&{query.format(said=said)}")

    assert str(caught.value).isprintable()
    assert "abc" in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    "query",
    [
        "state=state-1&state=state-1&code=AQDcode-0aB1cD2eF3gH4",
        "state=state-1&state=other&code=AQDcode-0aB1cD2eF3gH4",
        "state=state-1%00&code=AQDcode-0aB1cD2eF3gH4",
        "state=STATE-1&code=AQDcode-0aB1cD2eF3gH4",
        "code=AQDcode-0aB1cD2eF3gH4&state=state-",
        "code=AQDcode-0aB1cD2eF3gH4&state=\ud800",
    ],
)
def test_only_exactly_the_state_matches(query: str) -> None:
    """A state that is repeated, cut, in capitals or extended does not match."""
    assert not is_response_to(PENDING, f"/consent?{query}")
    with pytest.raises(StateMismatchError):
        read_redirect(PENDING, f"/consent?{query}")


def test_a_code_may_be_a_guid() -> None:
    """Some authorization servers issue them; a word is no code."""
    code = "7c1f0be2-9d8a-4e63-b5a0-7d1946f2c8e3"

    request, taken = read_redirect(PENDING, f"/consent?code={code}&state=state-1")

    assert (request, taken.reveal()) == (PENDING["state-1"], code)
    with refused(AuthorizationError, "no-code"):
        read_redirect(PENDING, "/consent?code=connectors&state=state-1")


def test_a_repeated_code_is_refused() -> None:
    """A redirect with two codes is refused (RFC 6749 §3.1)."""
    twice = "code=AQDcode-0aB1cD2eF3gH4&code=AQDcode-0aB1cD2eF3gH5&state=state-1"

    with refused(AuthorizationError, "no-code"):
        read_redirect(PENDING, f"/consent?{twice}")


def test_an_address_with_thousands_of_fields_is_refused() -> None:
    """An address with 100,000 fields is refused."""
    with refused(AuthorizationError, "no-answer"):
        read_redirect(PENDING, "/consent?state=state-1" + "&a=1" * 100_000)
