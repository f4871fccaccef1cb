"""The checks of the connector in Cyclr: read what can be read, change only what is permitted."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import quote, urlencode
from uuid import UUID

import httpx
import pytest

from runbook_lib.connectors.context import CheckContext
from runbook_lib.connectors.cyclr import connector
from runbook_lib.connectors.cyclr.connector import (
    connector_is_in_library,
    connector_is_installed,
    error_webhook_is_set,
)
from runbook_lib.connectors.facebook.inputs import FACEBOOK
from runbook_lib.connectors.facebook_marketing.checks import permissions_are_seen_through_cyclr
from runbook_lib.core.model import Finding, Outcome
from runbook_lib.errors import (
    CyclrAPIError,
    RemoteError,
    UnexpectedAnswerError,
    UnreachableError,
)
from tests.unit import bodies
from tests.unit.bodies import ACCOUNT_CONNECTOR, APP_ID, CONNECTOR, METHOD, SIGN_IN_TOKEN
from tests.unit.connectors.conftest import MADE_UP_ACCOUNTS, MakeContext, shows_no_secret
from tests.unit.fake_remote import FakeRemote, Responder, breaks, fields, says

console_holds_app_id = partial(connector.console_holds_app_id, FACEBOOK)
connector_is_authenticated = partial(connector.connector_is_authenticated, FACEBOOK)

LIBRARY = "/v1.0/connectors"
INSTALLED = "/v1.0/account/connectors"
INSTALL = "/v1.0/connectors/17208/install"
METHODS = "/v1.0/connectors/17208/methods"
RUN = f"/v1.0/account/connectors/54321/methods/{METHOD['MethodUniqueIdentifier']}"
LINK = "/connectorauth/updateaccountconnectoroauth"
URI = "https://acme-h.cyclr.com/connector/callback"
DENIED = {"Message": "Authorization has been denied for this request."}
OTHER = {**ACCOUNT_CONNECTOR, "Id": 1, "Connector": {**CONNECTOR, "Name": "Slack"}}

Check = Callable[[CheckContext], Finding]
CONTROLLED = (connector_is_installed, connector_is_authenticated)
REFUSALS = (400, 401, 403, 404, 410, 422)


def lists(*rows: dict[str, Any]) -> Responder:
    """List these connectors as installed; refuse a made-up account."""

    def respond(request: httpx.Request) -> httpx.Response:
        if request.headers["x-cyclr-account"] in MADE_UP_ACCOUNTS:
            return says(DENIED, 401)(request)
        return says([*rows])(request)

    return respond


def answers(first: Responder, second: Responder) -> Responder:
    """List the connector as installed, and answer so for each of the made-up accounts."""
    controls = dict(zip(MADE_UP_ACCOUNTS, (first, second), strict=True))

    def respond(request: httpx.Request) -> httpx.Response:
        account = request.headers["x-cyclr-account"]
        return controls.get(account, says([ACCOUNT_CONNECTOR]))(request)

    return respond


@pytest.fixture(autouse=True)
def _token(remote: FakeRemote) -> None:
    remote.on("/oauth/token", says(bodies.CYCLR_TOKEN_ISSUED))


@pytest.fixture
def announced() -> list[str]:
    return []


class TestLibrary:
    """`connector_is_in_library`."""

    def test_a_connector_of_that_name_is_verified(
        self, remote: FakeRemote, context: CheckContext
    ) -> None:
        """A connector of that name verifies; the limits say that its Setup cannot be read."""
        remote.on(LIBRARY, says([CONNECTOR]))

        finding = connector_is_in_library(context)

        assert finding.outcome is Outcome.VERIFIED
        assert "id 17208, Approved" in finding.reason
        assert "no API shows it" in finding.limits[0]
        assert fields(remote.requests[-1])["query"] == "Facebook Marketing API"
        assert shows_no_secret(finding, context)

    @pytest.mark.parametrize("found", [[], [{**CONNECTOR, "Name": "Facebook Marketing API v2"}]])
    def test_without_it_the_step_fails(
        self, remote: FakeRemote, context: CheckContext, found: list[Any]
    ) -> None:
        """Without a connector of exactly that name, the step fails."""
        remote.on(LIBRARY, says(found))

        finding = connector_is_in_library(context)

        assert finding.outcome is Outcome.FAILED
        assert "no connector called 'Facebook Marketing API'" in finding.reason

    @pytest.mark.parametrize("status", ["Draft", "draft", "DRAFT "])
    @pytest.mark.parametrize("count", [1, 2])
    def test_a_draft_alone_fails(
        self, remote: FakeRemote, context: CheckContext, status: str, count: int
    ) -> None:
        """A draft cannot be installed (Cyclr's answer to that: 400), so the step fails."""
        remote.on(LIBRARY, says([{**CONNECTOR, "Status": status}] * count))

        finding = connector_is_in_library(context)

        assert finding.outcome is Outcome.FAILED
        assert "(id 17208) as a draft only, which cannot be installed" in finding.reason

    @pytest.mark.parametrize("order", [1, -1])
    def test_of_several_the_one_that_is_no_draft_counts(
        self, remote: FakeRemote, context: CheckContext, order: int
    ) -> None:
        """A draft beside a released connector does not count, whatever their order and ids."""
        draft = {**CONNECTOR, "Id": 1, "Status": "Draft"}
        remote.on(LIBRARY, says([draft, CONNECTOR, {**CONNECTOR, "Id": 99_999}][::order]))

        finding = connector_is_in_library(context)

        assert finding.outcome is Outcome.VERIFIED
        assert "id 17208, Approved" in finding.reason


class TestInstalled:
    """`connector_is_installed`."""

    def test_an_installed_connector_is_verified(
        self, remote: FakeRemote, context: CheckContext
    ) -> None:
        """The connector is found among others in the account, and nothing is changed."""
        remote.on(INSTALLED, lists(OTHER, ACCOUNT_CONNECTOR))
        remote.on(LIBRARY, says([CONNECTOR]))

        finding = connector_is_installed(context)

        assert finding.outcome is Outcome.VERIFIED
        assert "account connector 54321" in finding.reason
        assert finding.changes == ()
        assert finding.facts == {"account_api_id": "acct-1"}
        assert remote.paths == ["/oauth/token", INSTALLED, LIBRARY, *[INSTALLED] * 3]

    @pytest.mark.parametrize(
        ("library", "installed", "said"),
        [
            ([CONNECTOR], {**CONNECTOR, "Id": 15_909}, "connector 15909, not of 17208"),
            ([{**CONNECTOR, "Id": 15_909}], CONNECTOR, "connector 17208, not of 15909"),
            ([{**CONNECTOR, "Status": "Draft"}], CONNECTOR, "as a draft only"),
            ([], CONNECTOR, "no connector called"),
        ],
    )
    def test_another_connector_of_that_name_proves_nothing(
        self,
        remote: FakeRemote,
        make_context: MakeContext,
        library: list[Any],
        installed: dict[str, Any],
        said: str,
    ) -> None:
        """The installed connector must be the one that step `cy-01` found, by its library id."""
        remote.on(INSTALLED, lists({**ACCOUNT_CONNECTOR, "Connector": installed}))
        remote.on(LIBRARY, says(library))

        for may_install in (False, True):
            finding = connector_is_installed(make_context(install_connector=may_install))

            assert finding.outcome is Outcome.INCONCLUSIVE
            assert said in finding.reason
            assert (finding.accepts, finding.changes) == ((), ())

    def test_an_installation_of_another_connector_proves_nothing(
        self, remote: FakeRemote, make_context: MakeContext
    ) -> None:
        """Where Cyclr installs another connector of that name, the finding names the change."""
        other = {**ACCOUNT_CONNECTOR, "Connector": {**CONNECTOR, "Id": 15_909}}
        remote.on(INSTALLED, lists())
        remote.on(LIBRARY, says([CONNECTOR]))
        remote.on(INSTALL, says(other))

        finding = connector_is_installed(make_context(install_connector=True))

        assert finding.outcome is Outcome.INCONCLUSIVE
        assert "connector 15909, not of 17208" in finding.reason
        assert len(finding.changes) == 1

    def test_a_connector_listed_for_a_made_up_account_proves_nothing(
        self, remote: FakeRemote, context: CheckContext
    ) -> None:
        """If a made-up account lists the same connector, the result is inconclusive."""
        remote.on(INSTALLED, says([ACCOUNT_CONNECTOR]))
        remote.on(LIBRARY, says([CONNECTOR]))

        for check in (connector_is_installed, connector_is_authenticated):
            finding = check(context)
            assert finding.outcome is Outcome.INCONCLUSIVE
            assert "54321 for a made-up account too" in finding.reason

    @pytest.mark.parametrize("check", CONTROLLED)
    @pytest.mark.parametrize(
        "control", [says([OTHER]), says([]), *(says(DENIED, each) for each in REFUSALS)]
    )
    def test_one_answer_to_two_made_up_accounts_is_a_control(
        self, remote: FakeRemote, context: CheckContext, check: Check, control: Responder
    ) -> None:
        """The same refusal of both, or two lists without the connector, is a valid control."""
        remote.on(INSTALLED, answers(control, control))
        remote.on(LIBRARY, says([CONNECTOR]))

        assert check(context).outcome is Outcome.VERIFIED

    @pytest.mark.parametrize("check", CONTROLLED)
    @pytest.mark.parametrize(
        ("first", "second", "said"),
        [
            (says(DENIED, 401), says(DENIED, 404), "(401 and 404)"),
            (says(DENIED, 404), says([]), "(404 and 200)"),
            (says([OTHER]), says(DENIED, 403), "(200 and 403)"),
            (says(DENIED, 401), says([ACCOUNT_CONNECTOR]), "for a made-up account too"),
            (says([]), says([ACCOUNT_CONNECTOR]), "for a made-up account too"),
        ],
    )
    def test_two_answers_to_two_made_up_accounts_prove_nothing(
        self,
        remote: FakeRemote,
        context: CheckContext,
        check: Check,
        first: Responder,
        second: Responder,
        said: str,
    ) -> None:
        """Where the made-up accounts are answered differently, the result is inconclusive."""
        remote.on(INSTALLED, answers(first, second))
        remote.on(LIBRARY, says([CONNECTOR]))

        finding = check(context)

        assert finding.outcome is Outcome.INCONCLUSIVE
        assert said in finding.reason
        assert "Look at the connectors of account acct-1" in finding.reason

    @pytest.mark.parametrize("check", CONTROLLED)
    @pytest.mark.parametrize("status", [302, 408, 425, 429, 500, 502, 503])
    @pytest.mark.parametrize("refused", [0, 1])
    def test_a_control_that_fails_decides_nothing(
        self, remote: FakeRemote, context: CheckContext, check: Check, status: int, refused: int
    ) -> None:
        """What is not a refusal is raised, for either of the made-up accounts."""
        busy = says({"Message": "Busy."}, status)
        remote.on(INSTALLED, answers(says(DENIED, 401) if refused else busy, busy))
        remote.on(LIBRARY, says([CONNECTOR]))

        with pytest.raises(RemoteError):
            check(context)

    @pytest.mark.parametrize("check", CONTROLLED)
    @pytest.mark.parametrize("status", [401, 403])
    @pytest.mark.parametrize("after", [401, 403, 404, 500])
    def test_a_token_that_has_ended_proves_nothing(
        self, remote: FakeRemote, context: CheckContext, check: Check, status: int, after: int
    ) -> None:
        """Where the account itself is refused after the made-up ones, these prove nothing."""
        row, denied = says([ACCOUNT_CONNECTOR]), says(DENIED, status)
        remote.on(INSTALLED, row, denied, denied, says(DENIED, after))
        remote.on(LIBRARY, says([CONNECTOR]))

        finding = check(context)

        assert finding.outcome is Outcome.INCONCLUSIVE
        assert f"does not answer for account acct-1 either ({after}: Authoriz" in finding.reason
        assert shows_no_secret(finding, context)

    @pytest.mark.parametrize("status", [401, 403, 404])
    def test_the_account_is_read_once_more_for_all_checks_of_a_look(
        self, remote: FakeRemote, context: CheckContext, status: int
    ) -> None:
        """It is asked again with the same token, once, whoever asks; only after a 401 or 403."""
        denied = says(DENIED, status)
        remote.on(INSTALLED, answers(denied, denied))
        remote.on(LIBRARY, says([CONNECTOR]))

        findings = context.side_by_side(lambda branch, check: check(branch), [*CONTROLLED] * 3)

        assert {finding.outcome for finding in findings} == {Outcome.VERIFIED}
        mine = [each for each in remote.requests if each.headers.get("x-cyclr-account") == "acct-1"]
        again = [each for each in mine if each.url.path == INSTALLED]
        assert len(again) == (1 if status == 404 else 2)
        assert len({each.headers["authorization"] for each in again}) == 1
        assert remote.paths.count("/oauth/token") == 1

    @pytest.mark.parametrize("check", CONTROLLED)
    def test_made_up_accounts_are_two_guids(
        self, remote: FakeRemote, make_context: MakeContext, check: Check
    ) -> None:
        """Both have the form of Cyclr's account ids, so neither is refused for its form."""
        digits = iter("ab")
        remote.on(INSTALLED, says([ACCOUNT_CONNECTOR]), says(DENIED, 404))
        remote.on(LIBRARY, says([CONNECTOR]))

        finding = check(make_context(random_hex=lambda size: 2 * size * next(digits)))

        assert finding.outcome is Outcome.VERIFIED
        asked = [request.headers["x-cyclr-account"] for request in remote.requests[-2:]]
        assert asked == [
            "aaaaaaaa-aaaa-4aaa-aaaa-aaaaaaaaaaaa",
            "bbbbbbbb-bbbb-4bbb-bbbb-bbbbbbbbbbbb",
        ]
        assert [UUID(account).version for account in asked] == [4, 4]

    @pytest.mark.parametrize("listed", [[], [OTHER], [{**OTHER, "Connector": None}]])
    def test_without_permission_nothing_is_installed(
        self, remote: FakeRemote, make_context: MakeContext, listed: list[Any], announced: list[str]
    ) -> None:
        """Unless `install_connector` is set, the check only reads."""
        remote.on(INSTALLED, lists(*listed))

        finding = connector_is_installed(make_context(announce_change=announced.append))

        assert finding.outcome is Outcome.NOT_RUN
        assert "install_connector" in finding.reason
        assert (finding.changes, announced) == ((), [])
        assert all(request.method == "GET" for request in remote.requests[1:])

    def test_with_permission_it_is_installed_and_reported(
        self, remote: FakeRemote, make_context: MakeContext, announced: list[str]
    ) -> None:
        """The change is announced before it is made, and is listed in the finding."""

        def install(request: Any) -> Any:
            assert announced, "the change was not announced first"
            return says(ACCOUNT_CONNECTOR)(request)

        remote.on(INSTALLED, lists())
        remote.on(LIBRARY, says([CONNECTOR]))
        remote.on(INSTALL, install)

        finding = connector_is_installed(
            make_context(install_connector=True, announce_change=announced.append)
        )

        assert finding.outcome is Outcome.VERIFIED
        assert announced == ["Install Facebook Marketing API in Cyclr account acct-1."]
        assert finding.changes == (
            "Installed Facebook Marketing API in Cyclr account acct-1: 54321.",
        )

    def test_what_is_installed_is_not_installed_again(
        self, remote: FakeRemote, make_context: MakeContext, announced: list[str]
    ) -> None:
        """An installed connector is not installed again."""
        remote.on(INSTALLED, lists(ACCOUNT_CONNECTOR))
        remote.on(LIBRARY, says([CONNECTOR]))

        finding = connector_is_installed(
            make_context(install_connector=True, announce_change=announced.append)
        )

        assert (finding.outcome, announced) == (Outcome.VERIFIED, [])
        assert INSTALL not in remote.paths

    @pytest.mark.parametrize(
        ("found", "said"),
        [([], "no connector called"), ([{**CONNECTOR, "Status": "Draft"}], "as a draft only")],
    )
    def test_a_connector_that_the_library_lacks_cannot_be_installed(
        self,
        remote: FakeRemote,
        make_context: MakeContext,
        announced: list[str],
        found: list[Any],
        said: str,
    ) -> None:
        """Without the connector, or with a draft only, the step fails and nothing is changed."""
        remote.on(INSTALLED, lists())
        remote.on(LIBRARY, says(found))

        finding = connector_is_installed(
            make_context(install_connector=True, announce_change=announced.append)
        )

        assert finding.outcome is Outcome.FAILED
        assert said in finding.reason
        assert (finding.changes, announced) == ((), [])
        assert INSTALL not in remote.paths

    def test_a_draft_beside_the_connector_is_not_installed(
        self, remote: FakeRemote, make_context: MakeContext
    ) -> None:
        """Of a draft and a released connector, the released one is installed."""
        remote.on(INSTALLED, lists())
        remote.on(LIBRARY, says([{**CONNECTOR, "Id": 1, "Status": "Draft"}, CONNECTOR]))
        remote.on(INSTALL, says(ACCOUNT_CONNECTOR))

        finding = connector_is_installed(make_context(install_connector=True))

        assert finding.outcome is Outcome.VERIFIED
        assert INSTALL in remote.paths

    def test_a_broken_connection_does_not_install_twice(
        self, remote: FakeRemote, make_context: MakeContext
    ) -> None:
        """After a broken connection the installation is not repeated, and the error is raised."""
        remote.on(INSTALLED, lists())
        remote.on(LIBRARY, says([CONNECTOR]))
        remote.on(INSTALL, breaks())

        with pytest.raises(UnreachableError):
            connector_is_installed(make_context(install_connector=True))

        assert remote.paths.count(INSTALL) == 1

    def test_without_an_account_nothing_is_requested(
        self, remote: FakeRemote, make_context: MakeContext
    ) -> None:
        """Without an account, no request is sent, and the reason names both settings."""
        finding = connector_is_installed(make_context(account_api_id=""))

        assert finding.outcome is Outcome.NOT_RUN
        assert "account_api_id" in finding.reason
        assert "create_test_account" in finding.reason
        assert remote.requests == []

    def test_a_test_account_is_created_with_permission(
        self, remote: FakeRemote, make_context: MakeContext, announced: list[str]
    ) -> None:
        """The test account is announced, created, used, and passed on to later steps."""

        def create(request: Any) -> Any:
            assert len(announced) == 1
            return says({"Id": "acct-9", "Name": "x"})(request)

        remote.on("/v1.0/accounts", create)
        remote.on(INSTALLED, lists())
        remote.on(LIBRARY, says([CONNECTOR]))
        remote.on(INSTALL, says(ACCOUNT_CONNECTOR))

        finding = connector_is_installed(
            make_context(
                account_api_id="",
                create_test_account=True,
                install_connector=True,
                announce_change=announced.append,
            )
        )

        assert finding.outcome is Outcome.VERIFIED
        assert finding.facts == {"account_api_id": "acct-9"}
        assert "acct-9" in finding.changes[0]
        assert "acct-9" in finding.changes[1]
        *_, installing, control, _, again = remote.requests
        assert again.headers["x-cyclr-account"] == "acct-9"
        assert installing.headers["x-cyclr-account"] == "acct-9"
        assert control.headers["x-cyclr-account"] == MADE_UP_ACCOUNTS[0]
        name = json.loads(remote.requests[1].content)["Name"]
        assert name == "Runbook test acme-h.cyclr.com"

    def test_changes_are_reported_if_the_check_fails_later(
        self, remote: FakeRemote, make_context: MakeContext
    ) -> None:
        """A created account and an installation are in the finding whatever Cyclr answers next."""
        remote.on("/v1.0/accounts", says({"Id": "acct-9"}))
        remote.on(INSTALLED, lists())
        remote.on(LIBRARY, says([CONNECTOR]))
        remote.on(INSTALL, says({"Id": 7, "Connector": {"Name": "Slack"}}))

        finding = connector_is_installed(
            make_context(account_api_id="", create_test_account=True, install_connector=True)
        )

        assert finding.outcome is Outcome.INCONCLUSIVE
        assert "Connector.Name is 'Slack', not Facebook Marketing API" in finding.reason
        assert [text.partition(" ")[0] for text in finding.changes] == ["Created", "Installed"]
        assert finding.facts == {"account_api_id": "acct-9"}

    def test_a_created_account_is_reported_without_an_installation(
        self, remote: FakeRemote, make_context: MakeContext
    ) -> None:
        """
        A created account is in the finding even if the step is not done, so it is not created
        twice.
        """
        remote.on("/v1.0/accounts", says({"Id": "acct-9", "Name": "x"}))
        remote.on(INSTALLED, lists())

        finding = connector_is_installed(make_context(account_api_id="", create_test_account=True))

        assert finding.outcome is Outcome.NOT_RUN
        assert len(finding.changes) == 1
        assert finding.facts == {"account_api_id": "acct-9"}


class TestAuthenticated:
    """`connector_is_authenticated`."""

    def test_an_authenticated_connector_is_verified_with_a_limit(
        self, remote: FakeRemote, context: CheckContext
    ) -> None:
        """`Authenticated` verifies; the limit says that consent in a browser is not proven."""
        remote.on(INSTALLED, lists(ACCOUNT_CONNECTOR))

        finding = connector_is_authenticated(context)

        assert finding.outcome is Outcome.VERIFIED
        assert finding.limits[0].startswith("That a person consented in a browser")

    def test_without_a_sign_in_it_is_not_done(
        self, remote: FakeRemote, context: CheckContext
    ) -> None:
        """A connector that is not authenticated has the outcome `not_run`."""
        remote.on(INSTALLED, lists({**ACCOUNT_CONNECTOR, "Authenticated": False}))

        finding = connector_is_authenticated(context)

        assert finding.outcome is Outcome.NOT_RUN
        assert "nobody has signed in" in finding.reason

    @pytest.mark.parametrize("said", [None, "true", 1])
    def test_neither_true_nor_false_decides_nothing(
        self, remote: FakeRemote, context: CheckContext, said: object
    ) -> None:
        """An `Authenticated` that is not true or false raises `UnexpectedAnswerError`."""
        remote.on(INSTALLED, lists({**ACCOUNT_CONNECTOR, "Authenticated": said}))

        with pytest.raises(UnexpectedAnswerError, match="Authenticated is"):
            connector_is_authenticated(context)

    @pytest.mark.parametrize("order", [1, -1])
    def test_of_several_the_authenticated_one_counts(
        self, remote: FakeRemote, context: CheckContext, order: int
    ) -> None:
        """Of several installed connectors, the authenticated one counts, whatever their order."""
        older = {**ACCOUNT_CONNECTOR, "Id": 7, "Authenticated": False}
        remote.on(INSTALLED, lists(*[older, ACCOUNT_CONNECTOR][::order]))

        finding = connector_is_authenticated(context)

        assert finding.outcome is Outcome.VERIFIED
        assert "account connector 54321" in finding.reason

    def test_what_is_not_installed_is_not_done(
        self, remote: FakeRemote, context: CheckContext
    ) -> None:
        """Without an installed connector the outcome is `not_run`."""
        remote.on(INSTALLED, lists(OTHER))

        assert connector_is_authenticated(context).outcome is Outcome.NOT_RUN

    def test_a_credential_that_cyclr_shows_is_masked(
        self, remote: FakeRemote, context: CheckContext
    ) -> None:
        """Credentials in Cyclr's answers are masked in the record."""
        shown = {
            **ACCOUNT_CONNECTOR,
            "AuthValue": "canary-auth-value",
            "Properties": [{"Name": "ClientSecret", "Value": "canary-client-secret", "Id": 1}],
        }
        remote.on(INSTALLED, lists(shown))

        connector_is_authenticated(context)

        assert "canary" not in repr(context.session.exchanges())
        assert len(context.session.exchanges()) == 5


class TestConsole:
    """`console_holds_app_id`."""

    @pytest.fixture
    def sends(self, remote: FakeRemote) -> Callable[..., None]:
        """Script the address at Facebook to which Cyclr sends a user."""

        def tell(**query: str) -> None:
            known = {
                "client_id": APP_ID,
                "redirect_uri": URI,
                "scope": "public_profile,leads_retrieval",
                "state": "s",
            }
            dialog = f"https://www.facebook.com/v26.0/dialog/oauth?{urlencode({**known, **query})}"
            remote.on(INSTALLED, lists(ACCOUNT_CONNECTOR))
            remote.on("/v1.0/accounts/acct-1/signintoken", says(bodies.SIGN_IN_TOKEN_ISSUED))
            remote.on(LINK, says("", 302, {"location": dialog}))

        return tell

    def test_the_same_app_and_address_are_verified(
        self, remote: FakeRemote, context: CheckContext, sends: Callable[..., None]
    ) -> None:
        """
        Client ID and redirect URI are read from Cyclr's redirect, without a request to Facebook.
        """
        sends()

        finding = console_holds_app_id(context)

        assert finding.outcome is Outcome.VERIFIED
        assert f"Client ID {APP_ID}" in finding.reason
        assert URI in finding.reason
        assert re.search("public_profile, ?leads_retrieval", finding.reason)
        assert finding.warnings == ()
        link = remote.requests[-1]
        assert link.url.host == "acme-h.cyclr.com"
        assert fields(link) == {
            "id": "54321",
            "token": SIGN_IN_TOKEN,
            "targetOrigin": "https://my.cyclr.com",
        }
        assert shows_no_secret(finding, context)

    def test_another_client_id_fails(
        self, context: CheckContext, sends: Callable[..., None]
    ) -> None:
        """Another Client ID fails; the reason shows both and where to correct it."""
        sends(client_id="999999999999999")

        finding = console_holds_app_id(context)

        assert finding.outcome is Outcome.FAILED
        assert f"Client ID 999999999999999, not with App ID {APP_ID}" in finding.reason
        assert "Connector Library > Setup" in finding.reason

    def test_another_redirect_uri_fails(
        self, context: CheckContext, sends: Callable[..., None]
    ) -> None:
        """A redirect URI that differs in one character from the registered one fails."""
        sends(redirect_uri=f"{URI}/")

        finding = console_holds_app_id(context)

        assert finding.outcome is Outcome.FAILED
        assert f"back to {URI}/, but the app registers {URI}." in finding.reason

    @pytest.mark.parametrize(
        "query",
        [
            f"client_id={APP_ID}&client_id=999999999999999&redirect_uri={quote(URI)}",
            f"client_id=999999999999999&client_id={APP_ID}&redirect_uri={quote(URI)}",
            f"client_id={APP_ID}&redirect_uri={quote(URI)}&redirect_uri=https://evil.example",
            f"client_id={APP_ID}",
            f"redirect_uri={quote(URI)}",
            "",
        ],
    )
    def test_a_field_that_is_missing_or_doubled_decides_nothing(
        self, remote: FakeRemote, context: CheckContext, sends: Callable[..., None], query: str
    ) -> None:
        """A missing or repeated field in the address raises `UnexpectedAnswerError`."""
        remote.on(
            LINK, says("", 302, {"location": f"https://www.facebook.com/dialog/oauth?{query}"})
        )
        sends()

        with pytest.raises(UnexpectedAnswerError, match="its address at Facebook has"):
            console_holds_app_id(context)

    def test_an_empty_setup_fails(self, context: CheckContext, sends: Callable[..., None]) -> None:
        """An empty client_id fails: the console has no App ID."""
        sends(client_id="")

        finding = console_holds_app_id(context)

        assert finding.outcome is Outcome.FAILED
        assert f"Client ID (none), not with App ID {APP_ID}" in finding.reason

    def test_another_page_of_facebook_is_not_its_dialog(
        self, remote: FakeRemote, context: CheckContext, sends: Callable[..., None]
    ) -> None:
        """A redirect to another page of Facebook is inconclusive, and the reason names the page."""
        elsewhere = f"https://www.facebook.com/login.php?client_id={APP_ID}"
        remote.on(LINK, says("", 302, {"location": elsewhere}))
        sends()

        finding = console_holds_app_id(context)

        assert finding.outcome is Outcome.INCONCLUSIVE
        assert "ends with 302 and leads to www.facebook.com/login.php." in finding.reason

    @pytest.mark.parametrize(
        ("scope", "more"),
        [
            ("leads_retrieval,ads_read", ""),
            ("leads_retrieval,pages_manage_metadata email", "pages_manage_metadata, email"),
            ("", ""),
        ],
    )
    def test_a_scope_beyond_the_permissions_gives_a_warning(
        self, context: CheckContext, sends: Callable[..., None], scope: str, more: str
    ) -> None:
        """What Cyclr asks for beyond the chosen permissions, the app must have too."""
        sends(scope=scope)

        warnings = console_holds_app_id(context).warnings
        assert any("also asks users for" in text for text in warnings) is bool(more)
        assert more in " ".join(warnings)

    @pytest.mark.parametrize(
        ("scope", "warned"),
        [
            ("leads_retrieval", False),
            ("public_profile leads_retrieval", False),
            ("public_profile", True),
            ("", True),
        ],
    )
    def test_a_missing_scope_gives_a_warning(
        self, context: CheckContext, sends: Callable[..., None], scope: str, warned: bool
    ) -> None:
        """A scope that Cyclr does not request gives a warning, except `public_profile`."""
        sends(scope=scope)

        finding = console_holds_app_id(context)

        assert finding.outcome is Outcome.VERIFIED
        assert (
            any("does not ask users for leads_retrieval" in t for t in finding.warnings) is warned
        )
        assert ("no scope" in finding.reason) is (not scope)

    def test_a_link_that_ends_at_cyclr_is_inconclusive(
        self, remote: FakeRemote, context: CheckContext
    ) -> None:
        """If Cyclr does not redirect to Facebook, the result is inconclusive."""
        remote.on(INSTALLED, lists(ACCOUNT_CONNECTOR))
        remote.on("/v1.0/accounts/acct-1/signintoken", says(bodies.SIGN_IN_TOKEN_ISSUED))
        remote.on(LINK, says("403 – Forbidden: Access is denied.", 403))

        finding = console_holds_app_id(context)

        assert finding.outcome is Outcome.INCONCLUSIVE
        assert "ends with 403" in finding.reason
        assert remote.paths.count(LINK) == 1

    def test_without_an_installed_connector_nothing_can_be_read(
        self, remote: FakeRemote, context: CheckContext
    ) -> None:
        """
        Without an installed connector no sign-in token is requested, and the result is
        inconclusive.
        """
        remote.on(INSTALLED, lists())

        finding = console_holds_app_id(context)

        assert finding.outcome is Outcome.INCONCLUSIVE
        assert "only through an installed connector" in finding.reason
        assert remote.paths == ["/oauth/token", INSTALLED]


class TestMethod:
    """`permissions_are_seen_through_cyclr`."""

    @pytest.fixture
    def answers(self, remote: FakeRemote) -> Callable[..., None]:
        """Script the answer of the connector's method."""

        def tell(body: Any, status: int = 200) -> None:
            remote.on(INSTALLED, lists(ACCOUNT_CONNECTOR))
            remote.on(METHODS, says([{**METHOD, "Name": "List My Pages"}, METHOD]))
            remote.on(RUN, says(body, status))

        return tell

    @pytest.mark.parametrize("is_bare", [True, False])
    def test_granted_permissions_are_verified(
        self, context: CheckContext, answers: Callable[..., None], is_bare: bool
    ) -> None:
        """The permissions are read from Facebook's rows, with or without the `data` envelope."""
        body = bodies.statuses(public_profile="granted", leads_retrieval="granted")
        answers(body["data"] if is_bare else body)

        finding = permissions_are_seen_through_cyclr(context)

        assert finding.outcome is Outcome.VERIFIED
        assert "grants public_profile, leads_retrieval" in finding.reason
        assert shows_no_secret(finding, context)

    @pytest.mark.parametrize("status", ["declined", "expired", None])
    def test_a_missing_permission_fails(
        self, context: CheckContext, answers: Callable[..., None], status: str | None
    ) -> None:
        """A permission that is not granted fails."""
        more = {"leads_retrieval": status} if status else {}
        answers(bodies.statuses(public_profile="granted", **more))

        finding = permissions_are_seen_through_cyclr(context)

        assert finding.outcome is Outcome.FAILED
        assert "lacks leads_retrieval" in finding.reason

    def test_an_unknown_ip_address_is_inconclusive(
        self, context: CheckContext, answers: Callable[..., None]
    ) -> None:
        """
        Cyclr's 403 for an unknown client IP address says nothing about the connector: inconclusive.
        """
        answers(bodies.UNKNOWN_ADDRESS, 403)

        finding = permissions_are_seen_through_cyclr(context)

        assert finding.outcome is Outcome.INCONCLUSIVE
        assert "cannot be tested from here" in finding.reason
        assert "Unknown client IP Address" in finding.reason

    @pytest.mark.parametrize("status", [400, 404, 500])
    def test_another_refusal_is_raised(
        self, context: CheckContext, answers: Callable[..., None], status: int
    ) -> None:
        """Any status but 403 raises `CyclrAPIError`."""
        answers({"Message": "Failed to authenticate the connector"}, status)

        with pytest.raises(CyclrAPIError):
            permissions_are_seen_through_cyclr(context)

    @pytest.mark.parametrize("body", [{}, {"data": {}}, "null"])
    def test_an_answer_of_another_shape_decides_nothing(
        self, context: CheckContext, answers: Callable[..., None], body: Any
    ) -> None:
        """An answer that is not a list of permissions raises `UnexpectedAnswerError`."""
        answers(body)

        with pytest.raises(UnexpectedAnswerError, match="not a list"):
            permissions_are_seen_through_cyclr(context)

    def test_a_connector_without_the_method_is_inconclusive(
        self, remote: FakeRemote, context: CheckContext
    ) -> None:
        """A connector version without the method is inconclusive."""
        remote.on(INSTALLED, lists(ACCOUNT_CONNECTOR))
        remote.on(METHODS, says([]))

        finding = permissions_are_seen_through_cyclr(context)

        assert finding.outcome is Outcome.INCONCLUSIVE
        assert "'List My Permissions'" in finding.reason

    def test_what_is_not_installed_is_not_done(
        self, remote: FakeRemote, context: CheckContext
    ) -> None:
        """Without an installed connector the outcome is `not_run`."""
        remote.on(INSTALLED, lists())

        assert permissions_are_seen_through_cyclr(context).outcome is Outcome.NOT_RUN


EVERY: list[tuple[Check, str]] = [
    (connector_is_in_library, LIBRARY),
    (console_holds_app_id, INSTALLED),
    (connector_is_installed, INSTALLED),
    (connector_is_authenticated, INSTALLED),
    (permissions_are_seen_through_cyclr, INSTALLED),
]


@pytest.mark.parametrize(("check", "path"), EVERY)
def test_a_refusal_by_cyclr_is_raised(
    remote: FakeRemote, context: CheckContext, check: Check, path: str
) -> None:
    """A refusal by the API raises `CyclrAPIError` in every check."""
    remote.on(path, says({"Message": "Authorization has been denied for this request."}, 401))

    with pytest.raises(CyclrAPIError, match="has been denied"):
        check(context)


@pytest.mark.parametrize(("check", "path"), EVERY)
def test_an_answer_that_is_not_json_is_raised(
    remote: FakeRemote, context: CheckContext, check: Check, path: str
) -> None:
    """An answer that is not JSON raises `UnexpectedAnswerError` in every check."""
    remote.on(path, says("<html>"))

    with pytest.raises(UnexpectedAnswerError):
        check(context)


def test_one_cyclr_token_serves_every_check_of_a_run(
    remote: FakeRemote, context: CheckContext
) -> None:
    """The Cyclr token is requested once per run."""
    remote.on(INSTALLED, lists(ACCOUNT_CONNECTOR))
    remote.on(LIBRARY, says([CONNECTOR]))

    connector_is_authenticated(context)
    connector_is_installed(context)

    assert remote.paths.count("/oauth/token") == 1


class TestErrorWebhook:
    """`error_webhook_is_set`."""

    ACCOUNT = "/v1.0/accounts/acct-1"

    @pytest.fixture
    def check(self, remote: FakeRemote, context: CheckContext) -> Callable[..., Finding]:
        """Return a function that runs the check for an account with these fields."""

        def run(**more: Any) -> Finding:
            account = {
                "Id": "acct-1", "Name": "First",
                "TransactionErrorWebhookEnabled": True,
                "TransactionErrorWebhookUrl": "https://hooks.acme.example/in?key=hush-hush-1",
            }  # fmt: skip
            remote.on(self.ACCOUNT, says({**account, **more}))
            return error_webhook_is_set(context)

        return run

    def test_an_accounts_own_setting_is_verified(
        self, check: Callable[..., Finding], context: CheckContext
    ) -> None:
        """Its own field shows it; the address, which may hold a key, is in no record."""
        finding = check()

        assert finding.outcome is Outcome.VERIFIED
        assert "of account acct-1, as the account is set." in finding.reason
        assert "hush" not in repr((finding, context.session.exchanges()))
        assert finding.limits[0].startswith("That the failed transactions of other accounts")

    @pytest.mark.parametrize(
        "fields",
        [
            {"TransactionErrorWebhookEnabled": False},
            {"TransactionErrorWebhookEnabled": None},
        ],
    )
    def test_the_consoles_setting_cannot_be_seen(
        self, check: Callable[..., Finding], fields: dict[str, Any]
    ) -> None:
        """Without a setting of its own nothing is contradicted: a person looks at the console."""
        finding = check(**fields)

        assert finding.outcome is Outcome.INCONCLUSIVE
        assert "Settings > General Settings" in finding.reason

    @pytest.mark.parametrize(
        "fields",
        [
            {"Id": "acct-2"},
            {"TransactionErrorWebhookEnabled": "true"},
        ],
    )
    def test_another_answer_is_refused(
        self, check: Callable[..., Finding], fields: dict[str, Any]
    ) -> None:
        """Another account's answer, or a field of another type, proves nothing."""
        with pytest.raises(UnexpectedAnswerError):
            check(**fields)

    @pytest.mark.parametrize("status", [401, 403, 404])
    def test_a_refusal_is_cyclrs_own(
        self, remote: FakeRemote, context: CheckContext, status: int
    ) -> None:
        """A refusal is raised with Cyclr's message."""
        remote.on(self.ACCOUNT, says({"Message": "No such account."}, status))
        with pytest.raises(CyclrAPIError, match="No such account"):
            error_webhook_is_set(context)
