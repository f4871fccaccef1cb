"""A person's consent: the request, the redirect that answers it, and the listener for it."""

from __future__ import annotations

import queue
import re
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from runbook_lib.errors import AuthorizationError, StateMismatchError
from runbook_lib.remote.consent import (
    PendingAuthorization,
    RedirectListener,
    answers,
    read_redirect,
)

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

    with pytest.raises(StateMismatchError):
        read_redirect(PENDING, url)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "No address was pasted"),
        (" \n", "No address was pasted"),
        ("AQDcode-0aB1cD2eF3gH4", "This is no address"),
        ("what is this?", "This is no address"),
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


@pytest.fixture
def arrived() -> queue.Queue[str]:
    return queue.Queue()


@pytest.fixture
def listener(arrived: queue.Queue[str]) -> Iterator[RedirectListener]:
    def take(url: str) -> bool:
        arrived.put(url)
        return answers(PENDING, url)

    running = RedirectListener(take)
    yield running
    running.close()


def test_the_listener_hands_the_redirect_over(
    listener: RedirectListener, arrived: queue.Queue[str]
) -> None:
    """The browser sees one page that runs nothing; the address arrives whole."""

    answer = httpx.get(
        f"{listener.redirect_uri}?code=AQDcode-0aB1cD2eF3gH4&state=state-1",
        trust_env=False,
    )

    assert arrived.get(timeout=5) == "/consent?code=AQDcode-0aB1cD2eF3gH4&state=state-1"
    assert "The answer has arrived there" in answer.text
    assert answer.status_code == 200
    assert "AQDcode-0aB1cD2eF3gH4" not in answer.text
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert not re.search(r"<script|src=|href=", answer.text)


def test_a_redirect_that_nobody_awaits_is_told_so(listener: RedirectListener) -> None:
    """A tab that is loaded again does not say that its answer arrived."""

    answer = httpx.get(
        f"{listener.redirect_uri}?code=AQDcode-0aB1cD2eF3gH4&state=old",
        trust_env=False,
    )

    assert answer.status_code == 200
    assert "Nothing was done" in answer.text


def test_the_listener_answers_nothing_else(
    listener: RedirectListener, arrived: queue.Queue[str], capfd: pytest.CaptureFixture[str]
) -> None:
    """Other paths are not found, and no path, which may hold a code, is logged."""

    uri = listener.redirect_uri.replace("/consent", "/favicon.ico")

    assert httpx.get(f"{uri}?code=AQDcode-0aB1cD2eF3gH4", trust_env=False).status_code == 404
    assert arrived.empty()
    assert "AQDcode-0aB1cD2eF3gH4" not in "".join(capfd.readouterr())


def test_the_listener_is_on_loopback_until_it_is_closed(arrived: queue.Queue[str]) -> None:
    """Nobody else on the network can answer, and nobody at all once it is closed."""

    listener = RedirectListener(lambda url: bool(arrived.put(url)))
    assert listener._server.server_address[0] == "127.0.0.1"
    assert listener.redirect_uri.startswith("http://localhost:")
    listener.close()

    with pytest.raises(httpx.ConnectError):
        httpx.get(listener.redirect_uri, trust_env=False)
