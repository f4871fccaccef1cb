"""Consent from the walkthrough: two ways back, one code, one token."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from runbook_lib.connectors.context import CheckContext
from runbook_lib.core.model import Finding, Outcome
from runbook_lib.errors import StateMismatchError
from runbook_lib.walkthrough import consent as consenting
from tests.support.wording import wording
from tests.unit.bodies import APP_ID, APP_SECRET, BAD_CODE, USER_TOKEN
from tests.unit.fake_remote import FakeRemote, fails_with, fields, open_session, responds
from tests.unit.walkthrough.conftest import KNOWN, TOKEN_PATH, MakeHarness, WalkthroughHarness
from tests.unit.walkthrough.sample_run import (
    after_consent_step,
    consent_step,
    eventually,
    make_step,
    settled,
    verified,
)


@pytest.fixture
def remote(request: pytest.FixtureRequest) -> FakeRemote:
    """Return a token endpoint; it gives a token unless the test says something else."""
    issued = responds({"access_token": USER_TOKEN, "token_type": "bearer"})
    remote = FakeRemote()
    remote.on(TOKEN_PATH, getattr(request, "param", issued))
    return remote


@pytest.fixture
def consent(
    make_harness: MakeHarness, remote: FakeRemote, monkeypatch: pytest.MonkeyPatch
) -> Iterator[WalkthroughHarness]:
    """Return a walkthrough that has asked for consent, with a fake token endpoint."""
    steps = (consent_step(has_token), after_consent_step(has_token), make_step("other", verified))
    harness = make_harness(*steps, secrets={"app_secret": APP_SECRET}, **KNOWN)
    with asking(harness, remote, monkeypatch):
        yield harness


@contextmanager
def asking(
    harness: WalkthroughHarness, remote: FakeRemote, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Have the walkthrough ask for consent; `remote` is its token endpoint."""
    run = harness.run
    hosts = {provider.name: provider.hosts(run.values) for provider in run.procedure.providers}
    session = open_session(remote, run.redactor, hosts=hosts)
    monkeypatch.setattr(run, "open_session", lambda: session)
    ask(harness)
    yield
    session.client.close()


def ask(harness: WalkthroughHarness, finished: int = 1) -> dict[str, Any]:
    """Ask for consent; return what the panel shows then."""
    harness.walkthrough.prepare_consent(harness.step("consent"))
    return settled(harness.panels["consent"], finished)


def has_token(context: CheckContext) -> Finding:
    """Return whether a user's token is known, as a finding."""
    is_known = "user_access_token" in context.secrets
    outcome = Outcome.VERIFIED if is_known else Outcome.NOT_RUN
    return Finding(outcome=outcome, code="a-code", reason="So.")


def dialog(harness: WalkthroughHarness, name: str = "consent_url") -> dict[str, str]:
    """Return the parameters of the consent page's address."""
    query = urlsplit(harness.panels["consent"].view[name]).query
    return {key: values[0] for key, values in parse_qs(query).items()}


def come_back(
    harness: WalkthroughHarness, asked: Mapping[str, str], **fields: str
) -> httpx.Response:
    """Return what the browser shows when it returns from the consent page."""
    uri = asked["redirect_uri"].replace("localhost", "127.0.0.1")
    return httpx.get(uri, params={"state": asked["state"], **fields})


CODE = "AQDcode0aB1cD2eF3gH4-1"
CANCEL = {"error": "access_denied", "error_reason": "user_denied"}
GRANT = {"code": CODE}


def address(asked: Mapping[str, str], query: str = f"code={CODE}") -> str:
    """Return the address to paste, as the consent page leads back to it."""
    return f"{asked['redirect_uri']}?{query}&state={asked['state']}"


def answer(harness: WalkthroughHarness, url: str, finished: int = 2) -> dict[str, Any]:
    harness.walkthrough.redeem_redirect(harness.step("consent"), url)
    return settled(harness.panels["consent"], finished)


def test_consent_needs_app_id_and_secret(make_harness: MakeHarness) -> None:
    """Without App ID and App Secret, the panel says that they are missing and shows no link."""
    harness = make_harness(consent_step(), **KNOWN)
    view = ask(harness)

    assert view["message"] == wording("walkthrough.values-missing", labels="App ID and App Secret")
    assert view["is_error"]
    assert (view["consent_url"], view["consent_paste_url"]) == ("", "")


def test_two_ways_back_are_offered(consent: WalkthroughHarness) -> None:
    """One link returns to a local listener, one to the Service Domain; each has its own state."""
    here = dialog(consent)
    there = dialog(consent, "consent_paste_url")

    assert here["redirect_uri"].startswith("http://localhost:")
    assert there["redirect_uri"] == "https://acme-h.cyclr.com/connector/callback"
    assert here["state"] != there["state"]
    for asked in (here, there):
        assert asked["client_id"] == APP_ID
        scope = asked["scope"].split(",")
        assert scope[:2] == ["public_profile", "leads_retrieval"]
        assert "pages_show_list" in scope
    assert APP_SECRET not in json.dumps(consent.panels["consent"].views)


@pytest.mark.parametrize("name", ["consent_url", "consent_paste_url"])
def test_a_code_is_redeemed_once_and_its_token_used(
    consent: WalkthroughHarness, remote: FakeRemote, name: str
) -> None:
    """Each way back gives one token request with the same redirect URI, then a check with it."""
    asked = dialog(consent, name)
    url = f"{address(asked)}#_=_"

    view = answer(consent, url)

    assert view["outcome"] == "verified"
    assert (view["result"], view["message"]) == (
        "Checked.",
        wording("walkthrough.next-checked", step="Do after"),
    )
    assert (view["consent_url"], view["consent_paste_url"]) == ("", "")
    assert fields(remote.requests[0]) == {
        "grant_type": "authorization_code",
        "client_id": APP_ID,
        "client_secret": APP_SECRET,
        "redirect_uri": asked["redirect_uri"],
        "code": CODE,
        "locale": "en_US",
    }
    assert consent.run.settings.secrets["user_access_token"].reveal() == USER_TOKEN
    shown = json.dumps(consent.panels["consent"].views) + consent.written
    assert USER_TOKEN not in shown
    assert CODE not in shown

    again = answer(consent, url, 3)
    assert again["is_error"]
    assert len(remote.requests) == 1
    assert consent.run.settings.secrets["user_access_token"].reveal() == USER_TOKEN


def test_the_browsers_own_redirect_is_enough(
    consent: WalkthroughHarness, remote: FakeRemote
) -> None:
    """The listener receives the browser's redirect, so nothing has to be pasted."""
    assert come_back(consent, dialog(consent), **GRANT).status_code == 200
    assert settled(consent.panels["consent"], 2)["outcome"] == "verified"


def test_an_answer_to_another_request_is_refused(
    consent: WalkthroughHarness, remote: FakeRemote
) -> None:
    """A code with an unknown state is not redeemed (RFC 6749 §10.12)."""
    view = answer(consent, address({**dialog(consent), "state": "forged"}))

    assert wording("walkthrough.state-differs") in view["message"]
    assert view["advice"] == StateMismatchError.next_step
    assert remote.requests == []
    assert view["consent_url"]


def test_another_tabs_address_is_refused_with_the_right_beginning(
    consent: WalkthroughHarness, remote: FakeRemote
) -> None:
    """If the consent page's own address is pasted, the panel says how the right one begins."""
    here = dialog(consent)
    there = dialog(consent, "consent_paste_url")
    view = answer(consent, consent.panels["consent"].view["consent_paste_url"])

    assert view["message"] == wording("walkthrough.address-of-another-page")
    beginnings = f"{there['redirect_uri']}? or {here['redirect_uri']}?"
    assert view["advice"].endswith(
        wording("walkthrough.address-begins-with", beginnings=beginnings)
    )
    assert answer(consent, address(there), 3)["outcome"] == "verified"


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("error=access_denied&error_reason=user_denied", "pressed Cancel"),
        ("error=server_error&error_description=Broken", "Facebook refused: Broken."),
        ("error_code=1349187&error_message=Not+Logged+In", "Facebook refused: Not Logged In."),
        ("", wording("authorization-refused.no-code")),
    ],
)
def test_a_refused_consent_is_reported(
    consent: WalkthroughHarness, remote: FakeRemote, query: str, said: str
) -> None:
    """A denied, failed or incomplete answer shows its reason; no request is sent."""
    view = answer(consent, address(dialog(consent), query))

    assert said in view["message"]
    assert view["is_error"]
    assert remote.requests == []
    assert "user_access_token" not in consent.run.settings.secrets


@pytest.mark.parametrize(
    ("remote", "advice"),
    [
        (responds(BAD_CODE, 400), "Sign in with Facebook again"),
        (fails_with(), wording("advice.check-network")),
        (responds("<html>"), "Run again"),
        (responds({"token_type": "bearer"}), "Run again"),
    ],
    indirect=["remote"],
)
def test_a_code_that_is_not_redeemed_gives_no_token(
    consent: WalkthroughHarness, remote: FakeRemote, advice: str
) -> None:
    """If the code is not redeemed, an error is shown and neither code nor links are used again."""
    view = answer(consent, address(dialog(consent)))

    assert (view["consent_url"], view["consent_paste_url"]) == ("", "")
    assert advice in view["advice"]

    assert view["is_error"]
    assert view["message"]
    assert CODE not in view["message"] + view["advice"]
    assert len(remote.requests) == 1
    assert "user_access_token" not in consent.run.settings.secrets


def test_steps_that_need_the_token_are_checked_at_once(
    consent: WalkthroughHarness, remote: FakeRemote
) -> None:
    """Steps that require the consent are checked automatically; others are not."""
    answer(consent, address(dialog(consent)))

    assert settled(consent.panels["after"])["outcome"] == "verified"
    assert consent.panels["other"].view["outcome"] == "not_run"


def test_a_step_that_lacks_a_value_is_not_said_to_be_checked(
    make_harness: MakeHarness, remote: FakeRemote, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message leaves out steps that require the consent and still lack a value."""
    needs = ("app_display_name",)
    lacks = make_step("lacks", verified, requires=("consent",), needs=needs)
    harness = make_harness(
        consent_step(), after_consent_step(), lacks, secrets={"app_secret": APP_SECRET}, **KNOWN
    )
    with asking(harness, remote, monkeypatch):
        view = answer(harness, address(dialog(harness)))

    assert (view["result"], view["message"]) == (
        "Checked.",
        wording("walkthrough.next-checked", step="Do after"),
    )


def test_a_refused_token_checks_no_other_step(
    make_harness: MakeHarness, remote: FakeRemote, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the check of the token fails, the steps that need it are not checked."""

    def lacks(_context: CheckContext) -> Finding:
        return Finding(outcome=Outcome.FAILED, code="a-code", reason="It lacks leads_retrieval.")

    steps = (consent_step(lacks), after_consent_step())
    harness = make_harness(*steps, secrets={"app_secret": APP_SECRET}, **KNOWN)
    with asking(harness, remote, monkeypatch):
        view = answer(harness, address(dialog(harness)))

    assert (view["message"], view["to_do"]) == ("", wording("advice.fix-problem"))
    checked = [line.head.step for line in harness.run.journal.read_all()]
    assert [step for step in checked if step] == ["consent"]


def test_a_new_request_voids_the_earlier_one(
    consent: WalkthroughHarness, remote: FakeRemote
) -> None:
    """A new request keeps the listener but changes the state; an earlier answer is refused."""
    old = dialog(consent)
    ask(consent, 2)

    assert dialog(consent)["redirect_uri"] == old["redirect_uri"]
    view = answer(consent, address(old), 3)
    assert wording("walkthrough.state-differs") in view["message"]
    assert remote.requests == []


@pytest.mark.parametrize("name", ["consent_url", "consent_paste_url"])
def test_after_a_refusal_the_request_is_void(
    consent: WalkthroughHarness, remote: FakeRemote, name: str
) -> None:
    """After Cancel, a code for the same request is not redeemed."""
    here = dialog(consent)
    other = dialog(consent, name)
    come_back(consent, here, **CANCEL)
    view = settled(consent.panels["consent"], 2)
    assert wording("walkthrough.pressed-cancel") in view["message"]
    assert wording("walkthrough.sign-in-again") in view["advice"]
    assert (view["consent_url"], view["consent_paste_url"]) == ("", "")

    assert wording("setting-invalid.nothing-done") in come_back(consent, here, **GRANT).text
    view = answer(consent, address(other), 3)

    assert wording("walkthrough.state-differs") in view["message"]
    assert remote.requests == []
    assert "user_access_token" not in consent.run.settings.secrets


OTHER_CODE = {"code": "AQDcode0aB1cD2eF3gH4-2"}
FORGED = {**GRANT, "state": "forged"}
NO_STATE = {**GRANT, "state": ""}


@pytest.mark.parametrize("second", [GRANT, CANCEL, OTHER_CODE, {}, FORGED, NO_STATE])
def test_a_second_redirect_does_not_change_a_success(
    consent: WalkthroughHarness, remote: FakeRemote, second: dict[str, str]
) -> None:
    """After a success, any further redirect leaves step and message unchanged."""
    asked = dialog(consent)
    come_back(consent, asked, **GRANT)
    before = settled(consent.panels["consent"], 2)

    page = come_back(consent, asked, **second)

    assert wording("setting-invalid.nothing-done") in page.text
    after = settled(consent.panels["consent"], 2)
    assert (after["finished"], after["outcome"]) == (2, "verified")
    assert (after["message"], after["is_error"]) == (before["message"], False)
    assert len(remote.requests) == 1


def test_one_of_many_redirects_at_once_is_accepted(
    consent: WalkthroughHarness, remote: FakeRemote
) -> None:
    """If many redirects come at once, one is redeemed; the others do not change its result."""
    asked = dialog(consent)
    gate = threading.Barrier(8, timeout=60)

    def redirect(_: int) -> str:
        gate.wait()
        return come_back(consent, asked, **GRANT).text

    with ThreadPoolExecutor(max_workers=8) as tabs:
        pages = list(tabs.map(redirect, range(8)))

    assert sum(wording("walkthrough.answer-has-arrived") in page for page in pages) == 1
    view = settled(consent.panels["consent"], 2)
    assert (view["finished"], view["is_error"], view["outcome"]) == (2, False, "verified")
    assert len(remote.requests) == 1


def test_a_wrong_state_does_not_use_up_the_request(
    consent: WalkthroughHarness, remote: FakeRemote
) -> None:
    """A redirect with a wrong state does not void the request: the real answer still counts."""
    asked = dialog(consent)
    for guess in ("", "forged", asked["state"][:-1], asked["state"].swapcase()):
        assert (
            wording("setting-invalid.nothing-done")
            in come_back(consent, {**asked, "state": guess}, **GRANT).text
        )
        assert (
            wording("setting-invalid.nothing-done")
            in come_back(consent, {**asked, "state": guess}, **CANCEL).text
        )
    bare = httpx.get(asked["redirect_uri"].replace("localhost", "127.0.0.1"))
    assert wording("setting-invalid.nothing-done") in bare.text
    assert consent.panels["consent"].view["finished"] == 1
    come_back(consent, asked, **GRANT)

    assert settled(consent.panels["consent"], 2)["outcome"] == "verified"


def test_without_an_answer_the_panel_says_so(
    consent: WalkthroughHarness, remote: FakeRemote
) -> None:
    """After 15 minutes the listener closes, the links are removed, and a late answer is refused."""
    asked = dialog(consent)
    pasted = dialog(consent, "consent_paste_url")
    listener = consent.walkthrough._consent._listener
    assert listener is not None
    listener.keep_open(0.05)
    view = settled(consent.panels["consent"], 2)

    assert view["message"].startswith(wording("walkthrough.no-answer-came", minutes=15))
    assert wording("walkthrough.sign-in-again") in view["advice"]
    assert (view["consent_url"], view["consent_paste_url"], view["is_error"]) == ("", "", True)
    with pytest.raises(httpx.ConnectError):
        come_back(consent, asked, **GRANT)
    assert wording("walkthrough.state-differs") in answer(consent, address(pasted), 3)["message"]

    assert ask(consent, 4)["consent_url"]
    assert come_back(consent, dialog(consent), **CANCEL).status_code == 200


def test_the_listener_closes_after_the_answer(
    consent: WalkthroughHarness, remote: FakeRemote, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The listener closes soon after the answer, without a message."""
    monkeypatch.setattr(consenting, "_LINGER_SECONDS", 0.05)
    asked = dialog(consent)
    with suppress(httpx.TransportError):  # on a busy machine it closes before its page is read
        come_back(consent, asked, **CANCEL)
    settled(consent.panels["consent"], 2)

    def is_closed() -> bool:
        try:
            come_back(consent, asked, **CANCEL)
        except httpx.TransportError:
            return True
        return False

    eventually(is_closed)
    assert settled(consent.panels["consent"], 2)["finished"] == 2


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `localhost` also resolve to an address on which another program may listen."""
    resolve = socket.getaddrinfo

    def resolved(host: str, *given: Any, **named: Any) -> Any:
        found = resolve(host, *given, **named)
        there = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 0))
        return [*found, there] if host == "localhost" else found

    monkeypatch.setattr(socket, "getaddrinfo", resolved)


@pytest.mark.usefixtures("elsewhere")
def test_an_unsafe_localhost_offers_only_the_paste_link(make_harness: MakeHarness) -> None:
    """If localhost resolves to another address, only the link for pasting is offered."""
    harness = make_harness(consent_step(), secrets={"app_secret": APP_SECRET}, **KNOWN)
    view = ask(harness)

    assert wording("walkthrough.localhost-leads-to", address="192.0.2.1") in view["message"]
    assert wording("walkthrough.paste-the-address") in view["message"]
    assert view["consent_url"] == ""
    assert dialog(harness, "consent_paste_url")["redirect_uri"].startswith(
        "https://acme-h.cyclr.com"
    )


@pytest.mark.usefixtures("elsewhere")
def test_an_unsafe_localhost_without_a_service_domain_is_an_error(
    make_harness: MakeHarness,
) -> None:
    """If pasting is not possible either, it is an error and no link is offered."""
    harness = make_harness(consent_step(), secrets={"app_secret": APP_SECRET}, app_id=APP_ID)
    view = ask(harness)

    assert wording("walkthrough.localhost-leads-to", address="192.0.2.1") in view["message"]
    assert view["is_error"]
    assert (view["consent_url"], view["consent_paste_url"]) == ("", "")


def test_a_link_that_is_no_longer_safe_is_removed(
    make_harness: MakeHarness, request: pytest.FixtureRequest
) -> None:
    """If localhost has become unsafe, a new request removes the old link and refuses its answer."""
    harness = make_harness(consent_step(), secrets={"app_secret": APP_SECRET}, app_id=APP_ID)
    assert ask(harness)["consent_url"]
    asked = dialog(harness)
    request.getfixturevalue("elsewhere")
    view = ask(harness, 2)

    assert wording("walkthrough.localhost-leads-to", address="192.0.2.1") in view["message"]
    assert (view["consent_url"], view["consent_paste_url"]) == ("", "")
    with pytest.raises(httpx.ConnectError):
        come_back(harness, asked, **GRANT)
    assert wording("walkthrough.state-differs") in answer(harness, address(asked), 3)["message"]


def test_a_double_click_opens_one_listener(make_harness: MakeHarness) -> None:
    """Several requests at once open one listener, and the answer to the latest link counts."""
    before = threading.active_count()
    harness = make_harness(consent_step(), secrets={"app_secret": APP_SECRET}, **KNOWN)
    for _ in range(4):
        harness.walkthrough.prepare_consent(harness.step("consent"))
    eventually(lambda: harness.panels["consent"].view["busy"] == 0)
    asked = dialog(harness)
    assert come_back(harness, asked, **CANCEL).text.count("has arrived")
    harness.walkthrough.stop()

    eventually(lambda: threading.active_count() <= before)


def test_a_code_is_redeemed_once_though_two_redirects_bring_it(
    consent: WalkthroughHarness, remote: FakeRemote
) -> None:
    """A redirect that arrives twice, as by a reload, redeems the code once."""
    url = address(dialog(consent))
    for _ in range(2):
        consent.walkthrough.redeem_redirect(consent.step("consent"), url)
    settled(consent.panels["consent"])
    eventually(lambda: consent.panels["consent"].view["busy"] == 0)

    assert len(remote.requests) == 1


def test_without_a_service_domain_there_is_no_link_to_it(make_harness: MakeHarness) -> None:
    """Without a Service Domain, the link for pasting is not offered."""
    harness = make_harness(
        consent_step(verified), secrets={"app_secret": APP_SECRET}, app_id=APP_ID
    )

    assert ask(harness)["consent_paste_url"] == ""
