"""The checks of Messenger: the page's subscription, the scopes and the Verify Token."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from msgspec import to_builtins

from runbook_lib.connectors.context import CheckContext
from runbook_lib.connectors.facebook_messenger.checks import (
    page_is_subscribed,
    scopes_are_asked_for,
    webhook_takes_verify_token,
)
from runbook_lib.connectors.facebook_messenger.procedure import PROCEDURE
from runbook_lib.core.model import Outcome
from runbook_lib.errors import RemoteError
from tests.support.wording import wording
from tests.unit import bodies
from tests.unit.bodies import APP_ID, PAGE_TOKEN, SIGN_IN_TOKEN, rows
from tests.unit.connectors.conftest import MADE_UP, VALUES, VERIFY_TOKEN, RunCheck
from tests.unit.fake_remote import FakeRemote, Responder, fails_with, fields, responds

VERIFIED = Outcome.VERIFIED
FAILED = Outcome.FAILED
INCONCLUSIVE = Outcome.INCONCLUSIVE
PAGES = "/v26.0/me/accounts"
SUBSCRIBED = "/v26.0/page-1/subscribed_apps"
HOOK = "/messenger"
LINK = "/connectorauth/updateaccountconnectoroauth"


def test_documented_steps_are_there_in_order() -> None:
    """All eleven documented steps are there in order, followed by the console's steps."""
    documented = [step for step in PROCEDURE.sections[0].steps if step.source.step]
    words = [
        "log in",
        "developer account",
        "my apps",
        "create app",
        "password",
        "messenger",
        "settings",
        "redirect uri",
        "page",
        "page",
        "app secret",
    ]

    assert [step.source.step for step in documented] == list(range(1, 12))
    assert all(w in s.title.lower() for w, s in zip(words, documented, strict=True))
    assert [step.id for step in PROCEDURE.sections[1].steps] == [
        "cy-01-connector-setup",
        "cy-02-client-id",
        "cy-03-client-secret",
        "cy-04-scopes",
        "cy-05-verify-token",
        "cy-05a-error-webhook",
    ]


@pytest.fixture
def check_subscriptions(run_check: RunCheck) -> RunCheck:
    """Return a function that runs the check with a page that lists these apps."""

    def run(apps: Any, end: Outcome, *words: str) -> Any:
        node = {"id": "page-1", "name": "Bakery", "access_token": PAGE_TOKEN}
        answers = {
            PAGES: responds(rows({"id": "page-2"}, node)),
            SUBSCRIBED: responds({"data": apps}),
        }
        return run_check(page_is_subscribed, end, *words, answers=answers)

    return run


def test_a_page_that_lists_the_app_is_verified(
    remote: FakeRemote, check_subscriptions: RunCheck
) -> None:
    """The subscription is read with the page's token, and the reason names the fields."""
    row = {"id": APP_ID, "subscribed_fields": ["messages", "messaging_postbacks"]}
    words = (wording("findings.page-subscribed", page="page-1"), "(messages, messaging_postbacks)")
    finding = check_subscriptions([{"id": "1"}, row], VERIFIED, *words)
    assert finding.limits[0].startswith(wording("findings.has-every-field"))
    assert remote.requests[-1].headers["authorization"] == f"Bearer {PAGE_TOKEN}"


@pytest.mark.parametrize("apps", [[{"id": "1"}], [{"id": f"{APP_ID}0"}]])
def test_a_page_that_lists_only_other_apps_fails(
    check_subscriptions: RunCheck, apps: list[Any]
) -> None:
    """A page that does not list exactly this App ID fails."""
    look = "Add the page under Messenger > Settings"
    check_subscriptions(apps, FAILED, wording("findings.page-not-subscribed", app_id=APP_ID), look)


def test_a_page_without_any_app_says_to_run_the_cycle(check_subscriptions: RunCheck) -> None:
    """An empty list has several causes: the reason names the act that subscribes the page."""
    check_subscriptions([], INCONCLUSIVE, wording("findings.no-subscription-listed"))


CURSOR = {"cursors": {"after": "QVFI"}, "next": "https://x.example/"}
MINE = {"id": APP_ID, "subscribed_fields": ["messages"]}


@pytest.mark.parametrize(
    ("paging", "second", "code"),
    [
        # The app may be on a later page.
        (CURSOR, rows(MINE), "page-subscribed"),
        (CURSOR, rows({"id": "2"}), "page-not-subscribed"),
        # A list that cannot be read to its end decides nothing.
        (CURSOR, {"data": [], "paging": CURSOR}, "list-incomplete"),
        ({"next": "https://x.example/"}, {}, "list-incomplete"),
        ({"next": "x", "cursors": {"after": "x),name"}}, {}, "list-incomplete"),
    ],
)
def test_every_page_of_subscriptions_is_read(
    run_check: RunCheck, paging: dict[str, Any], second: dict[str, Any], code: str
) -> None:
    """The app counts as not subscribed only if no page lists it."""
    ends = {"page-subscribed": VERIFIED, "page-not-subscribed": FAILED}
    first = {"data": [{"id": "1"}], "paging": paging}

    def list_apps(request: httpx.Request) -> httpx.Response:
        return responds(second if "after" in fields(request) else first)(request)

    node = {"id": "page-1", "name": "Bakery", "access_token": PAGE_TOKEN}
    answers: dict[str, Responder] = {PAGES: responds(rows(node)), SUBSCRIBED: list_apps}
    run_check(page_is_subscribed, ends.get(code, INCONCLUSIVE), answers=answers, code=code)


@pytest.mark.parametrize(
    ("named", "shown"),
    [
        ({}, "lists no field"),
        ({"subscribed_fields": None}, "lists no field"),
        ({"subscribed_fields": []}, "lists no field"),
        ({"subscribed_fields": ["feed"]}, "lists only feed"),
    ],
)
def test_a_subscription_without_messages_proves_nothing(
    check_subscriptions: RunCheck, named: dict[str, Any], shown: str
) -> None:
    """Without the field `messages` Facebook passes no message on; the reason says it."""
    check_subscriptions(
        [{"id": APP_ID, **named}],
        INCONCLUSIVE,
        wording("findings.messages-not-subscribed", shown=shown),
    )


def test_without_a_page_token_nothing_is_proven(run_check: RunCheck) -> None:
    """Without a task on the page, Facebook gives no page token; the result is inconclusive."""
    answers = {PAGES: responds(rows({"id": "page-1"}))}
    run_check(
        page_is_subscribed, INCONCLUSIVE, wording("findings.page-without-token"), answers=answers
    )


def test_a_page_that_is_not_listed_proves_nothing(run_check: RunCheck) -> None:
    """A page that the person does not manage, or did not choose at consent, is named."""
    named = [{"scope": "pages_show_list", "target_ids": ["page-2"]}]
    answers = {
        PAGES: responds(rows({"id": "page-2", "access_token": PAGE_TOKEN})),
        "/v26.0/oauth/access_token": responds(bodies.APP_TOKEN_ISSUED),
        "/v26.0/debug_token": responds(
            {"data": {**bodies.TOKEN_INSPECTED, "granular_scopes": named}}
        ),
    }
    said = wording("findings.page-not-listed", page="page-1")
    run_check(page_is_subscribed, INCONCLUSIVE, said, answers=answers)


@pytest.mark.parametrize(
    ("client_id", "scope", "end", "said"),
    [
        # A missing or an additional scope fails; order and separator are ignored.
        (APP_ID, "pages_messaging,pages_show_list", VERIFIED, wording("findings.scopes-asked-for")),
        (APP_ID, "pages_show_list pages_messaging", VERIFIED, wording("findings.scopes-asked-for")),
        (
            APP_ID,
            "pages_show_list",
            FAILED,
            wording("findings.scopes-differ", names="pages_messaging"),
        ),
        (
            APP_ID,
            "",
            FAILED,
            wording("findings.scopes-differ", names="pages_messaging, pages_show_list"),
        ),
        (
            APP_ID,
            "pages_messaging,pages_show_list,email",
            FAILED,
            wording("findings.scopes-differ-cyclr-asks"),
        ),
        (
            APP_ID,
            "pages_messaging,email",
            FAILED,
            wording("findings.scopes-differ-does-ask", names="pages_show_list"),
        ),
        # With another Client ID, Cyclr's scopes are not this app's.
        (
            "999",
            VALUES["scopes"],
            INCONCLUSIVE,
            wording("findings.client-id-differs", number=999, app_id=APP_ID),
        ),
    ],
)
def test_the_scope_that_cyclr_sends_must_equal_the_setting(
    run_check: RunCheck, client_id: str, scope: str, end: Outcome, said: str
) -> None:
    """Cyclr must ask this app's users for exactly the scopes in Scopes."""
    query = urlencode({"client_id": client_id, "redirect_uri": "https://x", "scope": scope})
    dialog = f"https://www.facebook.com/v26.0/dialog/oauth?{query}"
    row = {"Id": 54321, "Connector": {"Id": 1, "Name": "Facebook Marketing API"}}
    answers = {
        "/oauth/token": responds({"access_token": bodies.CYCLR_TOKEN}),
        "/v1.0/account/connectors": responds([row]),
        "/v1.0/accounts/acct-1/signintoken": responds({"Token": SIGN_IN_TOKEN}),
        LINK: responds("", 302, {"location": dialog}),
    }
    run_check(scopes_are_asked_for, end, said, answers=answers)


def return_challenge(request: httpx.Request) -> httpx.Response:
    """Return the challenge, as for the right Verify Token."""
    return httpx.Response(200, text=fields(request)["hub.challenge"])


def accepts(*good: str) -> Responder:
    """Return the answer of a webhook that accepts these tokens."""

    def answer(request: httpx.Request) -> httpx.Response:
        token = fields(request)["hub.verify_token"]
        return (
            return_challenge(request) if token in good else httpx.Response(403, text=f"no: {token}")
        )

    return answer


def test_the_token_that_cyclr_holds_is_verified(remote: FakeRemote, run_check: RunCheck) -> None:
    """
    The requests are those that Facebook sends, with two made-up tokens as controls.

    A 403 may be of everybody, so the Verify Token is tried once more.
    """
    finding = run_check(webhook_takes_verify_token, VERIFIED, answers={HOOK: accepts(VERIFY_TOKEN)})
    asked = [*map(fields, remote.requests)]
    assert [each["hub.mode"] for each in asked] == ["subscribe"] * 4
    tried = [each["hub.verify_token"] for each in asked]
    assert tried == [VERIFY_TOKEN, "c0" * 16, "c1" * 16, VERIFY_TOKEN]
    assert wording("findings.no-reference-says") in finding.limits[0]
    assert wording("findings.facebook-calls-webhook") in finding.limits[1]


@pytest.mark.parametrize(("made_up_page", "contradicts"), [(404, True), (200, True), (403, False)])
def test_a_token_that_cyclr_refuses_is_not_entered_yet(
    run_check: RunCheck, made_up_page: int, contradicts: bool
) -> None:
    """A refused Verify Token is `not_run`; of a host that refuses every page it proves less."""
    said = wording("findings.verify-token-refused", number=403)
    answers = {HOOK: accepts(), f"{HOOK}-{MADE_UP * 8}": responds("no", made_up_page)}
    finding = run_check(webhook_takes_verify_token, Outcome.NOT_RUN, said, answers=answers)
    assert (finding.limits == ()) is contradicts


@pytest.mark.parametrize(
    ("first", "second"),
    [
        *((status, status) for status in (200, 204, 302, 408, 425, 500, 502, 503)),
        *((403, other) for other in (200, 400, 401, 404, 500, 503)),
        *((other, 403) for other in (200, 400, 401, 404, 500, 503)),
    ],
)
def test_controls_without_one_refusal_prove_nothing(
    remote: FakeRemote, run_check: RunCheck, first: int, second: int
) -> None:
    """Anything but the same client error for both made-up tokens is inconclusive."""
    # NOTE: a server error is asked for three times.
    times = 3 if first >= 500 else 1
    remote.on(HOOK, return_challenge, *[responds("", first)] * times, responds("", second))
    said = wording("findings.made-up-verify-token-not-refused", first=first, second=second)
    finding = run_check(webhook_takes_verify_token, INCONCLUSIVE, said)
    assert wording("findings.no-reference-says") in finding.limits[0]


TAKES_A_MADE_UP_ONE = wording("findings.made-up-verify-token-accepted")


@pytest.mark.parametrize(
    ("answers", "end", "said"),
    [
        # The same client error for both is a refusal, with any text.
        *(
            (
                (return_challenge, *[responds(text, status)] * 2, return_challenge),
                VERIFIED,
                wording("findings.verify-token-accepted", status=status),
            )
            for status in (400, 401, 403, 404, 410)
            for text in ("", "no", "<html>")
        ),
        # A single accepted made-up token proves nothing.
        (
            (return_challenge, return_challenge, responds("", 403)),
            INCONCLUSIVE,
            TAKES_A_MADE_UP_ONE,
        ),
        (
            (return_challenge, responds("", 403), return_challenge),
            INCONCLUSIVE,
            TAKES_A_MADE_UP_ONE,
        ),
        ((accepts(VERIFY_TOKEN, "c0" * 16),), INCONCLUSIVE, TAKES_A_MADE_UP_ONE),
        # If made-up tokens are refused otherwise, this one may be refused for another reason.
        (
            (responds("", 403), responds("", 404)),
            INCONCLUSIVE,
            wording("findings.webhook-not-confirmed", status=403, control=404),
        ),
        # No connection, a limit and a cached answer are raised.
        *(
            ((return_challenge, responds("", 403), broken), RemoteError, "")
            for broken in (fails_with(), responds("", 429), responds("", 403, {"age": "301"}))
        ),
        # Any answer but the challenge is inconclusive.
        *(
            ((responds(text, status),), INCONCLUSIVE, f"answers {status}")
            for status, text in ((404, ""), (500, "x"), (200, "hello"), (200, ""), (302, "c0c0"))
        ),
    ],
)
def test_the_webhooks_answers_in_turn_decide(
    remote: FakeRemote, run_check: RunCheck, answers: tuple[Responder, ...], end: Any, said: str
) -> None:
    """The Verify Token, two made-up ones and, after a 401 or 403, the Verify Token again."""
    remote.on(HOOK, *answers)
    run_check(webhook_takes_verify_token, end, said)


def test_the_token_is_masked_in_recorded_addresses(
    remote: FakeRemote, context: CheckContext
) -> None:
    """The recorded address has a mask in place of the Verify Token."""
    remote.on(HOOK, lambda request: httpx.Response(200, text=str(request.url)))
    webhook_takes_verify_token(context)
    recorded = json.dumps(to_builtins(context.session.exchanges()))
    assert "hub.verify_token=" in recorded
    assert VERIFY_TOKEN not in recorded
