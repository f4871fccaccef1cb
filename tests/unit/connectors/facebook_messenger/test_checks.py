"""The checks of Messenger: the page's subscription, the scopes and the Verify Token."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from msgspec import to_builtins

from runbook_lib.connectors.facebook_messenger.checks import (
    page_is_subscribed,
    scopes_are_asked_for,
    webhook_takes_verify_token,
)
from runbook_lib.connectors.facebook_messenger.procedure import PROCEDURE
from runbook_lib.core.model import Finding, Outcome
from runbook_lib.errors import RemoteError
from tests.unit import bodies
from tests.unit.bodies import APP_ID, PAGE_TOKEN, SIGN_IN_TOKEN
from tests.unit.connectors.conftest import VERIFY_TOKEN, MakeContext, shows_no_secret
from tests.unit.fake_remote import FakeRemote, Responder, breaks, fields, says

PAGES = "/v26.0/me/accounts"
SUBSCRIBED = "/v26.0/page-1/subscribed_apps"
HOOK = "/messenger"
LINK = "/connectorauth/updateaccountconnectoroauth"


def test_documented_steps_are_there_in_order() -> None:
    """All eleven documented steps are there in order, followed by the console's steps."""
    documented = [step for step in PROCEDURE.sections[0].steps if step.source.step]
    words = [
        *("log in", "developer account", "my apps", "create app", "password", "messenger"),
        *("settings", "redirect uri", "page", "page", "app secret"),
    ]

    assert [step.source.step for step in documented] == list(range(1, 12))
    assert all(w in s.title.lower() for w, s in zip(words, documented, strict=True))
    assert [step.id for step in PROCEDURE.sections[1].steps] == [
        *("cy-01-connector-setup", "cy-02-client-id", "cy-03-client-secret"),
        *("cy-04-scopes", "cy-05-verify-token", "cy-05a-error-webhook"),
    ]


class TestPage:
    """`page_is_subscribed`."""

    def look(self, remote: FakeRemote, make_context: MakeContext, *apps: Any) -> Finding:
        """Return the finding if the page lists these apps."""
        node = {"id": "page-1", "name": "Bakery", "access_token": PAGE_TOKEN}
        remote.on(PAGES, says(bodies.rows({"id": "page-2"}, node)))
        remote.on(SUBSCRIBED, says({"data": list(apps)}))
        context = make_context()
        finding = page_is_subscribed(context)
        assert shows_no_secret(finding, context)
        return finding

    def test_a_page_that_lists_the_app_is_verified(
        self, remote: FakeRemote, make_context: MakeContext
    ) -> None:
        """
        The subscription is read with the page's token, and the reason names the subscribed fields.
        """
        row = {"id": APP_ID, "subscribed_fields": ["messages", "messaging_postbacks"]}
        finding = self.look(remote, make_context, {"id": "1"}, row)

        assert finding.outcome is Outcome.VERIFIED
        assert "Bakery (page-1) is subscribed to app" in finding.reason
        assert "(messages, messaging_postbacks)" in finding.reason
        assert finding.limits[0].startswith("That the subscription has every field")
        assert remote.requests[-1].headers["authorization"] == f"Bearer {PAGE_TOKEN}"

    @pytest.mark.parametrize("apps", [(), ({"id": "1"},), ({"id": f"{APP_ID}0"},)])
    def test_a_page_that_lists_only_other_apps_fails(
        self, remote: FakeRemote, make_context: MakeContext, apps: tuple[Any, ...]
    ) -> None:
        """A page that does not list exactly this App ID fails."""
        finding = self.look(remote, make_context, *apps)

        assert finding.outcome is Outcome.FAILED
        assert f"not subscribed to app {APP_ID}" in finding.reason
        assert "Add the page under Messenger > Settings" in finding.reason

    @pytest.mark.parametrize("named", [{}, {"subscribed_fields": []}])
    def test_a_subscription_to_no_field_proves_nothing(
        self, remote: FakeRemote, make_context: MakeContext, named: dict[str, Any]
    ) -> None:
        """Of a subscription without fields Facebook passes nothing on; the reason says it."""
        finding = self.look(remote, make_context, {"id": APP_ID, **named})

        assert finding.outcome is Outcome.INCONCLUSIVE
        assert "lists no field of the subscription" in finding.reason

    def test_without_a_page_token_nothing_is_proven(
        self, remote: FakeRemote, make_context: MakeContext
    ) -> None:
        """Without a task on the page, Facebook gives no page token; the result is inconclusive."""
        remote.on(PAGES, says(bodies.rows({"id": "page-1"})))

        finding = page_is_subscribed(make_context())

        assert finding.outcome is Outcome.INCONCLUSIVE
        assert "a task on it" in finding.reason

    def test_a_page_that_is_not_listed_proves_nothing(
        self, remote: FakeRemote, make_context: MakeContext
    ) -> None:
        """A page that the person does not manage, or did not choose at consent, is named."""
        remote.on(PAGES, says(bodies.rows({"id": "page-2", "access_token": PAGE_TOKEN})))
        named = [{"scope": "pages_show_list", "target_ids": ["page-2"]}]
        inspected = {**bodies.TOKEN_INSPECTED, "granular_scopes": named}
        remote.on("/v26.0/oauth/access_token", says(bodies.APP_TOKEN_ISSUED))
        remote.on("/v26.0/debug_token", says({"data": inspected}))

        finding = page_is_subscribed(make_context())

        assert finding.outcome is Outcome.INCONCLUSIVE
        assert "does not list page page-1 among the 1 page that" in finding.reason


class TestScopes:
    """`scopes_are_asked_for`."""

    @pytest.mark.parametrize(
        ("scope", "outcome", "said"),
        [
            ("pages_messaging,pages_show_list", Outcome.VERIFIED, "as Scopes says"),
            ("pages_show_list pages_messaging", Outcome.VERIFIED, "as Scopes says"),
            ("pages_show_list", Outcome.FAILED, "does not ask for pages_messaging."),
            ("", Outcome.FAILED, "does not ask for pages_messaging, pages_show_list."),
            (
                "pages_messaging,pages_show_list,email",
                Outcome.FAILED,
                "Cyclr asks for email as well.",
            ),
            (
                "pages_messaging,email",
                Outcome.FAILED,
                "does not ask for pages_show_list and asks for email as well.",
            ),
        ],
    )
    def test_the_scope_that_cyclr_sends_must_equal_the_setting(
        self,
        remote: FakeRemote,
        make_context: MakeContext,
        scope: str,
        outcome: Outcome,
        said: str,
    ) -> None:
        """A missing or an additional scope fails; order and separator are ignored."""
        remote.on("/oauth/token", says({"access_token": bodies.CYCLR_TOKEN}))
        row = {"Id": 54321, "Connector": {"Id": 1, "Name": "Facebook Marketing API"}}
        remote.on("/v1.0/account/connectors", says([row]))
        remote.on("/v1.0/accounts/acct-1/signintoken", says({"Token": SIGN_IN_TOKEN}))
        query = urlencode({"client_id": APP_ID, "redirect_uri": "https://x", "scope": scope})
        dialog = f"https://www.facebook.com/v26.0/dialog/oauth?{query}"
        remote.on(LINK, lambda _: httpx.Response(302, headers={"location": dialog}))

        finding = scopes_are_asked_for(make_context())

        assert finding.outcome is outcome
        assert said in finding.reason

    def test_scopes_of_another_app_prove_nothing(
        self, remote: FakeRemote, make_context: MakeContext
    ) -> None:
        """Where Cyclr signs in with another Client ID, its scopes are not this app's."""
        remote.on("/oauth/token", says({"access_token": bodies.CYCLR_TOKEN}))
        row = {"Id": 54321, "Connector": {"Id": 1, "Name": "Facebook Marketing API"}}
        remote.on("/v1.0/account/connectors", says([row]))
        remote.on("/v1.0/accounts/acct-1/signintoken", says({"Token": SIGN_IN_TOKEN}))
        sent = {
            "client_id": "999",
            "redirect_uri": "https://x",
            "scope": make_context().text("scopes"),
        }
        dialog = f"https://www.facebook.com/v26.0/dialog/oauth?{urlencode(sent)}"
        remote.on(LINK, says("", 302, {"location": dialog}))

        finding = scopes_are_asked_for(make_context())

        assert finding.outcome is Outcome.INCONCLUSIVE
        assert f"Client ID 999, not with App ID {APP_ID}" in finding.reason


def confirms(request: httpx.Request) -> httpx.Response:
    """Return the challenge, as for the right Verify Token."""
    return httpx.Response(200, text=fields(request)["hub.challenge"])


class TestVerifyToken:
    """`webhook_takes_verify_token`."""

    def look(self, remote: FakeRemote, make_context: MakeContext, *good: str) -> Finding:
        """Return the finding if the webhook accepts these tokens."""

        def answer(request: httpx.Request) -> httpx.Response:
            sent = fields(request)
            if sent["hub.verify_token"] in good:
                return httpx.Response(200, text=sent["hub.challenge"])
            return httpx.Response(403, text=f"no: {sent['hub.verify_token']}")

        remote.on(HOOK, answer)
        context = make_context()
        finding = webhook_takes_verify_token(context)
        assert shows_no_secret(finding, context)
        return finding

    def test_the_token_that_cyclr_holds_is_verified(
        self, remote: FakeRemote, make_context: MakeContext
    ) -> None:
        """
        The requests are those that Facebook sends, with two made-up tokens as controls.

        A 403 may be of everybody, so the Verify Token is tried once more.
        """
        finding = self.look(remote, make_context, VERIFY_TOKEN)

        assert finding.outcome is Outcome.VERIFIED
        asked = [*map(fields, remote.requests)]
        assert [each["hub.mode"] for each in asked] == ["subscribe"] * 4
        tried = [each["hub.verify_token"] for each in asked]
        assert tried == [VERIFY_TOKEN, "c0" * 16, "c1" * 16, VERIFY_TOKEN]
        assert "no reference says" in finding.limits[0]
        assert "Facebook calls this webhook" in finding.limits[1]

    def test_a_token_that_cyclr_refuses_is_not_entered_yet(
        self, remote: FakeRemote, make_context: MakeContext
    ) -> None:
        """A refused Verify Token has the outcome `not_run`."""
        finding = self.look(remote, make_context)

        assert finding.outcome is Outcome.NOT_RUN
        assert "refuses this Verify Token as it refuses made-up ones (403)" in finding.reason
        assert "no reference says" in finding.limits[0]

    @pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
    @pytest.mark.parametrize("text", ["", "no", "<html>"])
    def test_one_refusal_of_two_made_up_tokens_is_a_control(
        self, remote: FakeRemote, make_context: MakeContext, status: int, text: str
    ) -> None:
        """Whichever client error it is and whatever it says, the same for both is a refusal."""
        remote.on(HOOK, confirms, *[says(text, status)] * 2, confirms)

        finding = webhook_takes_verify_token(make_context())

        assert finding.outcome is Outcome.VERIFIED
        assert f"refuses two made-up ones ({status})" in finding.reason

    @pytest.mark.parametrize(
        ("first", "second"),
        [
            *((status, status) for status in (200, 204, 302, 408, 425, 500, 502, 503)),
            *((403, other) for other in (200, 400, 401, 404, 500, 503)),
            *((other, 403) for other in (200, 400, 401, 404, 500, 503)),
        ],
    )
    def test_controls_without_one_refusal_prove_nothing(
        self, remote: FakeRemote, make_context: MakeContext, first: int, second: int
    ) -> None:
        """Anything but the same client error for both made-up tokens is inconclusive."""
        # NOTE: a server error is asked for three times.
        times = 3 if first >= 500 else 1
        remote.on(HOOK, confirms, *[says("", first)] * times, says("", second))

        finding = webhook_takes_verify_token(make_context())

        assert finding.outcome is Outcome.INCONCLUSIVE
        assert f"answers {first} and {second} for two made-up" in finding.reason
        assert "no reference says" in finding.limits[0]

    @pytest.mark.parametrize("status", [401, 403])
    @pytest.mark.parametrize("after", [401, 403, 404])
    def test_a_webhook_that_refuses_everybody_proves_nothing(
        self, remote: FakeRemote, make_context: MakeContext, status: int, after: int
    ) -> None:
        """Where the Verify Token itself is refused after made-up ones, that says nothing of it."""
        remote.on(HOOK, confirms, *[says("", status)] * 2, says("", after))

        finding = webhook_takes_verify_token(make_context())

        assert finding.outcome is Outcome.INCONCLUSIVE
        assert f"({status}), and after that this one too ({after})" in finding.reason

    @pytest.mark.parametrize("which", [1, 2])
    def test_a_webhook_that_takes_either_made_up_token_proves_nothing(
        self, remote: FakeRemote, make_context: MakeContext, which: int
    ) -> None:
        """One made-up token that is accepted is enough to prove nothing."""
        answers = [says("", 403), says("", 403)]
        answers[which - 1] = confirms
        remote.on(HOOK, confirms, *answers)

        finding = webhook_takes_verify_token(make_context())

        assert finding.outcome is Outcome.INCONCLUSIVE
        assert "made-up Verify Token too" in finding.reason

    def test_a_refusal_that_made_up_tokens_do_not_get_decides_nothing(
        self, remote: FakeRemote, make_context: MakeContext
    ) -> None:
        """If made-up tokens are refused otherwise, this one may be refused for another reason."""
        remote.on(HOOK, says("", 403), says("", 404))

        finding = webhook_takes_verify_token(make_context())

        assert finding.outcome is Outcome.INCONCLUSIVE
        assert "answers 403 for this Verify Token and 404 for made-up ones" in finding.reason

    @pytest.mark.parametrize("broken", [breaks(), says("", 429), says("", 403, {"age": "301"})])
    def test_a_control_without_an_answer_is_raised(
        self, remote: FakeRemote, make_context: MakeContext, broken: Responder
    ) -> None:
        """No connection, a limit and a cached answer raise `RemoteError`."""
        remote.on(HOOK, confirms, says("", 403), broken)

        with pytest.raises(RemoteError):
            webhook_takes_verify_token(make_context())

    def test_a_webhook_that_takes_any_token_proves_nothing(
        self, remote: FakeRemote, make_context: MakeContext
    ) -> None:
        """If a made-up token is accepted too, the result is inconclusive."""
        finding = self.look(remote, make_context, VERIFY_TOKEN, "c0" * 16)

        assert finding.outcome is Outcome.INCONCLUSIVE
        assert "made-up Verify Token too" in finding.reason

    @pytest.mark.parametrize(
        ("status", "text"), [(404, ""), (500, "x"), (200, "hello"), (200, ""), (302, "c0c0")]
    )
    def test_another_page_proves_nothing(
        self, remote: FakeRemote, make_context: MakeContext, status: int, text: str
    ) -> None:
        """Any answer but the challenge is inconclusive."""
        remote.on(HOOK, lambda _: httpx.Response(status, text=text))

        finding = webhook_takes_verify_token(make_context())

        assert finding.outcome is Outcome.INCONCLUSIVE
        assert f"answers {status}" in finding.reason

    def test_the_token_is_masked_in_recorded_addresses(
        self, remote: FakeRemote, make_context: MakeContext
    ) -> None:
        """The recorded address has a mask in place of the Verify Token."""
        remote.on(HOOK, lambda request: httpx.Response(200, text=str(request.url)))
        context = make_context()
        webhook_takes_verify_token(context)

        recorded = json.dumps(to_builtins(context.session.exchanges()))
        assert "hub.verify_token=" in recorded
        assert VERIFY_TOKEN not in recorded
