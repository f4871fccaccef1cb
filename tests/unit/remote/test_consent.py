"""A person's consent: the request, and the redirect that answers it."""

from __future__ import annotations

from urllib.parse import parse_qs, quote, urlsplit

import pytest

from runbook_lib.errors import AuthorizationError, RefusedConsentError, StateMismatchError
from runbook_lib.remote.consent import PendingAuthorization, answers, read_redirect

DIALOG = "https://www.facebook.com/v26.0/dialog/oauth"


def authorization(state: str = "state-1") -> PendingAuthorization:
    return PendingAuthorization(
        DIALOG, "1234567891011121", "http://localhost:1/consent", ("public_profile", "a"), state
    )


PENDING = {"state-1": authorization(), "state-2": authorization("state-2")}


def test_the_request_is_what_facebook_documents() -> None:
    """Client, redirect URI, state, code and scopes; what was declined before is asked again."""

    parts = urlsplit(authorization().url)

    assert f"{parts.scheme}://{parts.netloc}{parts.path}" == DIALOG
    assert parse_qs(parts.query) == {
        "client_id": ["1234567891011121"],
        "redirect_uri": ["http://localhost:1/consent"],
        "state": ["state-1"],
        "response_type": ["code"],
        "scope": ["public_profile,a"],
        "auth_type": ["rerequest"],
    }


def test_a_state_cannot_be_guessed() -> None:
    """Each request has its own (RFC 6749 §10.12)."""

    states = {PendingAuthorization(DIALOG, "1", "http://x", ()).state for _ in range(50)}

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
def test_a_redirect_answers_its_own_request(url: str) -> None:
    """Facebook's `#_=_`, blanks from copying and the bare path are understood."""

    request, code = read_redirect(PENDING, url)

    assert request is PENDING["state-2"]
    assert code.reveal() == "AQDcode-0aB1cD2eF3gH4"


@pytest.mark.parametrize(
    "url",
    [
        "http://[x/?a=1",
        "/consent?code=AQDcode-0aB1cD2eF3gH4",
        "/consent?code=AQDcode-0aB1cD2eF3gH4&state=other",
    ],
)
def test_another_answer_is_refused(url: str) -> None:
    """A redirect that this program did not ask for brings no code in."""

    with pytest.raises(StateMismatchError, match="its state differs"):
        read_redirect(PENDING, url)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "No address was pasted"),
        (" \n", "No address was pasted"),
        ("AQDcode-0aB1cD2eF3gH4", "This is not an address"),
        ("what is this?", "This is not an address"),
        ("https://acme-h.cyclr.com/connector/callback", "no answer in this address"),
    ],
)
def test_what_is_no_answer_is_told_as_that(url: str, said: str) -> None:
    """A slip in copying is not taken for somebody else's answer."""

    with pytest.raises(AuthorizationError, match=said) as caught:
        read_redirect(PENDING, url)

    assert caught.value.diagnostics().startswith("Paste the whole address")


@pytest.mark.parametrize(
    ("query", "said"),
    [
        (
            (
                "error=access_denied&error_code=200&error_description=Permissions+error"
                "&error_reason=user_denied"
            ),
            "pressed Cancel",
        ),
        ("error_code=100&error_message=Invalid+Scopes%3A+x", "Facebook refused: Invalid Scopes: x"),
        ("error=server_error&error_description=Try+again", "Facebook refused: Try again"),
        ("error=server_error", "Facebook refused: server_error"),
        ("", "no code in this address"),
        ("code=", "no code in this address"),
        ("code=outcome", "no code in this address"),
    ],
)
def test_a_refusal_is_told_in_words(query: str, said: str) -> None:
    """Cancel, an error with or without `error`, and half an address are told apart."""

    with pytest.raises(AuthorizationError, match=said):
        read_redirect(PENDING, f"/consent?state=state-1&{query}")


@pytest.mark.parametrize(
    "query",
    [
        "error=server_error&error_description={said}",
        "error_code=100&error_message={said}",
        "error={said}",
    ],
)
def test_what_a_stranger_may_have_written_is_cut_and_readable(query: str) -> None:
    """Nothing that moves a cursor, turns text round or fills the screen comes into a message."""

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
def test_only_the_very_state_is_an_answer(query: str) -> None:
    """Twice, cut, in capitals or with something behind it, it answers nothing."""

    assert not answers(PENDING, f"/consent?{query}")
    with pytest.raises(StateMismatchError):
        read_redirect(PENDING, f"/consent?{query}")


def test_a_code_that_comes_twice_is_none() -> None:
    """No field of a redirect may come more than once (RFC 6749 §3.1)."""

    twice = "code=AQDcode-0aB1cD2eF3gH4&code=AQDcode-0aB1cD2eF3gH5&state=state-1"

    with pytest.raises(AuthorizationError, match="no code in this address"):
        read_redirect(PENDING, f"/consent?{twice}")


def test_an_address_of_thousands_of_fields_is_no_answer() -> None:
    """It is refused before it is read to its end."""

    with pytest.raises(AuthorizationError, match="no answer in this address"):
        read_redirect(PENDING, "/consent?state=state-1" + "&a=1" * 100_000)
