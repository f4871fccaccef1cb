"""The connector in Cyclr: read back what can be read, change only what was permitted."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import pytest

from runbook_lib.connectors.context import CheckContext
from runbook_lib.connectors.cyclr.connector import (
    connector_is_authenticated,
    connector_is_in_library,
    connector_is_installed,
    console_holds_app_id,
    permissions_are_seen_through_cyclr,
)
from runbook_lib.core.procedure import Finding, Outcome
from runbook_lib.errors import CyclrAPIError, UnexpectedAnswerError, UnreachableError
from tests.unit import bodies
from tests.unit.bodies import ACCOUNT_CONNECTOR, APP_ID, CONNECTOR, METHOD, SIGN_IN_TOKEN
from tests.unit.connectors.conftest import MADE_UP, MakeContext, shows_no_secret
from tests.unit.fake_remote import FakeRemote, Responder, breaks, fields, says

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


def lists(*rows: dict[str, Any]) -> Responder:
    """List these connectors as installed; a made-up account is refused."""

    def respond(request: httpx.Request) -> httpx.Response:
        if request.headers["x-cyclr-account"] == MADE_UP * 16:
            return says(DENIED, 401)(request)
        return says([*rows])(request)

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
        """It is found by name; whether its Setup is filled in is not claimed."""

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
        """A likeness is not the connector."""

        remote.on(LIBRARY, says(found))

        finding = connector_is_in_library(context)

        assert finding.outcome is Outcome.FAILED
        assert "no connector called 'Facebook Marketing API'" in finding.reason


class TestInstalled:
    """`connector_is_installed`."""

    def test_an_installed_connector_is_verified(
        self, remote: FakeRemote, context: CheckContext
    ) -> None:
        """It is told apart from others in the account; nothing is changed."""

        remote.on(INSTALLED, lists(OTHER, ACCOUNT_CONNECTOR))

        finding = connector_is_installed(context)

        assert finding.outcome is Outcome.VERIFIED
        assert "account connector 54321" in finding.reason
        assert finding.changes == ()
        assert finding.facts == {"account_api_id": "acct-1"}
        assert remote.paths == ["/oauth/token", INSTALLED, INSTALLED]

    def test_a_connector_that_every_account_lists_is_in_none(
        self, remote: FakeRemote, context: CheckContext
    ) -> None:
        """A row does not name its account: a made-up account must be answered otherwise."""

        remote.on(INSTALLED, says([ACCOUNT_CONNECTOR]))

        for check in (connector_is_installed, connector_is_authenticated):
            finding = check(context)
            assert finding.outcome is Outcome.INCONCLUSIVE
            assert "54321 for a made-up account too" in finding.reason

    @pytest.mark.parametrize("control", [says([OTHER]), says([]), says(DENIED, 404)])
    def test_a_made_up_account_that_lists_something_else_is_a_control(
        self, remote: FakeRemote, context: CheckContext, control: Responder
    ) -> None:
        """How Cyclr answers for an unknown account is not documented; that it differs counts."""

        remote.on(INSTALLED, says([ACCOUNT_CONNECTOR]), control)

        assert connector_is_installed(context).outcome is Outcome.VERIFIED

    def test_a_control_that_fails_decides_nothing(
        self, remote: FakeRemote, context: CheckContext
    ) -> None:
        """A server error is no refusal of the account."""

        remote.on(INSTALLED, says([ACCOUNT_CONNECTOR]), says({"Message": "Busy."}, 500))

        with pytest.raises(CyclrAPIError, match=r"Busy\."):
            connector_is_installed(context)

    @pytest.mark.parametrize("listed", [[], [OTHER], [{**OTHER, "Connector": None}]])
    def test_without_permission_nothing_is_installed(
        self, remote: FakeRemote, make_context: MakeContext, listed: list[Any], announced: list[str]
    ) -> None:
        """Reading is all that happens until a parameter says otherwise."""

        remote.on(INSTALLED, lists(*listed))

        finding = connector_is_installed(make_context(announce_change=announced.append))

        assert finding.outcome is Outcome.NOT_RUN
        assert "install_connector" in finding.reason
        assert (finding.changes, announced) == ((), [])
        assert all(request.method == "GET" for request in remote.requests[1:])

    def test_with_permission_it_is_installed_and_told(
        self, remote: FakeRemote, make_context: MakeContext, announced: list[str]
    ) -> None:
        """The change is announced before it is sent, and stands in the finding."""

        def install(request: Any) -> Any:
            assert announced, "the journal hears of it first"
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
        """A run that is repeated does not pile up connectors."""

        remote.on(INSTALLED, lists(ACCOUNT_CONNECTOR))

        finding = connector_is_installed(
            make_context(install_connector=True, announce_change=announced.append)
        )

        assert (finding.outcome, announced) == (Outcome.VERIFIED, [])
        assert INSTALL not in remote.paths

    def test_a_connector_that_the_library_lacks_cannot_be_installed(
        self, remote: FakeRemote, make_context: MakeContext, announced: list[str]
    ) -> None:
        """Nothing is announced that cannot be tried."""

        remote.on(INSTALLED, lists())
        remote.on(LIBRARY, says([]))

        with pytest.raises(CyclrAPIError, match="no connector called"):
            connector_is_installed(
                make_context(install_connector=True, announce_change=announced.append)
            )

        assert announced == []

    def test_a_broken_connection_does_not_install_twice(
        self, remote: FakeRemote, make_context: MakeContext
    ) -> None:
        """Whether it happened is not known: it is told, not tried again."""

        remote.on(INSTALLED, lists())
        remote.on(LIBRARY, says([CONNECTOR]))
        remote.on(INSTALL, breaks())

        with pytest.raises(UnreachableError):
            connector_is_installed(make_context(install_connector=True))

        assert remote.paths.count(INSTALL) == 1

    def test_without_an_account_nothing_is_looked_for(
        self, remote: FakeRemote, make_context: MakeContext
    ) -> None:
        """No account named, and none to be made: the operator is told both ways."""

        finding = connector_is_installed(make_context(account_api_id=""))

        assert finding.outcome is Outcome.NOT_RUN
        assert "account_api_id" in finding.reason
        assert "create_test_account" in finding.reason
        assert remote.requests == []

    def test_a_test_account_is_made_where_that_is_permitted(
        self, remote: FakeRemote, make_context: MakeContext, announced: list[str]
    ) -> None:
        """The account is announced, made, told, used, and known to later steps."""

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
        *_, installing, control = remote.requests
        assert installing.headers["x-cyclr-account"] == "acct-9"
        assert control.headers["x-cyclr-account"] == MADE_UP * 16
        name = json.loads(remote.requests[1].content)["Name"]
        assert name == "Runbook test acme-h.cyclr.com"

    def test_what_was_changed_is_known_though_the_check_broke_off(
        self, remote: FakeRemote, make_context: MakeContext
    ) -> None:
        """An account that was made and an installation are told whatever Cyclr says next."""

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

    def test_a_made_account_is_known_though_nothing_was_installed(
        self, remote: FakeRemote, make_context: MakeContext
    ) -> None:
        """What was changed is told even where the step is not done: it is not done twice."""

        remote.on("/v1.0/accounts", says({"Id": "acct-9", "Name": "x"}))
        remote.on(INSTALLED, lists())

        finding = connector_is_installed(make_context(account_api_id="", create_test_account=True))

        assert finding.outcome is Outcome.NOT_RUN
        assert len(finding.changes) == 1
        assert finding.facts == {"account_api_id": "acct-9"}


class TestAuthenticated:
    """`connector_is_authenticated`."""

    def test_cyclrs_word_is_verified_with_its_limit(
        self, remote: FakeRemote, context: CheckContext
    ) -> None:
        """Authenticated is what Cyclr says; that it was in a browser is not claimed."""

        remote.on(INSTALLED, lists(ACCOUNT_CONNECTOR))

        finding = connector_is_authenticated(context)

        assert finding.outcome is Outcome.VERIFIED
        assert "consent in a browser" in finding.limits[0]

    def test_without_a_sign_in_it_is_not_done(
        self, remote: FakeRemote, context: CheckContext
    ) -> None:
        """Cyclr says that it is not authenticated."""

        remote.on(INSTALLED, lists({**ACCOUNT_CONNECTOR, "Authenticated": False}))

        finding = connector_is_authenticated(context)

        assert finding.outcome is Outcome.NOT_RUN
        assert "nobody has signed in" in finding.reason

    @pytest.mark.parametrize("said", [None, "true", 1])
    def test_neither_true_nor_false_decides_nothing(
        self, remote: FakeRemote, context: CheckContext, said: object
    ) -> None:
        """Only a plain `true` is an authentication, and only a plain `false` is none."""

        remote.on(INSTALLED, lists({**ACCOUNT_CONNECTOR, "Authenticated": said}))

        with pytest.raises(UnexpectedAnswerError, match="Authenticated is"):
            connector_is_authenticated(context)

    @pytest.mark.parametrize("order", [1, -1])
    def test_of_several_the_authenticated_one_counts(
        self, remote: FakeRemote, context: CheckContext, order: int
    ) -> None:
        """Whichever comes first: a user has signed in with one of them."""

        older = {**ACCOUNT_CONNECTOR, "Id": 7, "Authenticated": False}
        remote.on(INSTALLED, lists(*[older, ACCOUNT_CONNECTOR][::order]))

        finding = connector_is_authenticated(context)

        assert finding.outcome is Outcome.VERIFIED
        assert "account connector 54321" in finding.reason

    def test_what_is_not_installed_is_not_done(
        self, remote: FakeRemote, context: CheckContext
    ) -> None:
        """Without a connector there is nothing to authenticate."""

        remote.on(INSTALLED, lists(OTHER))

        assert connector_is_authenticated(context).outcome is Outcome.NOT_RUN

    def test_a_credential_that_cyclr_shows_is_masked(
        self, remote: FakeRemote, context: CheckContext
    ) -> None:
        """Cyclr's answers carry AuthValue and properties in clear; the record does not."""

        shown = {
            **ACCOUNT_CONNECTOR,
            "AuthValue": "canary-auth-value",
            "Properties": [{"Name": "ClientSecret", "Value": "canary-client-secret", "Id": 1}],
        }
        remote.on(INSTALLED, lists(shown))

        connector_is_authenticated(context)

        assert "canary" not in repr(context.session.exchanges())
        assert len(context.session.exchanges()) == 3


class TestConsole:
    """`console_holds_app_id`."""

    @pytest.fixture
    def sends(self, remote: FakeRemote) -> Callable[..., None]:
        """Tell what Cyclr sends a user to Facebook with."""

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
        """What the console really holds is read where Cyclr sends users; Facebook is not asked."""

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
        """The reason shows both ids and where to correct it."""

        sends(client_id="999999999999999")

        finding = console_holds_app_id(context)

        assert finding.outcome is Outcome.FAILED
        assert f"Client ID 999999999999999, not with App ID {APP_ID}" in finding.reason
        assert "Connector Library > Setup" in finding.reason

    def test_another_redirect_uri_fails(
        self, context: CheckContext, sends: Callable[..., None]
    ) -> None:
        """What Cyclr sends must be what step 8 registers, to the last character."""

        sends(redirect_uri=f"{URI}/")

        finding = console_holds_app_id(context)

        assert finding.outcome is Outcome.FAILED
        assert f"back to {URI}/, but step 8 registers {URI}." in finding.reason

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
        """Which of two values Facebook takes is not known, nor what it does without one."""

        remote.on(
            LINK, says("", 302, {"location": f"https://www.facebook.com/dialog/oauth?{query}"})
        )
        sends()

        with pytest.raises(UnexpectedAnswerError, match="its address of Facebook's dialog has"):
            console_holds_app_id(context)

    def test_an_empty_setup_fails(self, context: CheckContext, sends: Callable[..., None]) -> None:
        """A redirect with an empty client_id says that the console holds no App ID."""

        sends(client_id="")

        finding = console_holds_app_id(context)

        assert finding.outcome is Outcome.FAILED
        assert f"Client ID (none), not with App ID {APP_ID}" in finding.reason

    def test_another_page_of_facebook_is_not_its_dialog(
        self, remote: FakeRemote, context: CheckContext, sends: Callable[..., None]
    ) -> None:
        """What Cyclr sends is read at the dialog only; where the link leads instead is said."""

        elsewhere = f"https://www.facebook.com/login.php?client_id={APP_ID}"
        remote.on(LINK, says("", 302, {"location": elsewhere}))
        sends()

        finding = console_holds_app_id(context)

        assert finding.outcome is Outcome.INCONCLUSIVE
        assert "ends with 302 and leads to www.facebook.com/login.php." in finding.reason

    @pytest.mark.parametrize(
        ("scope", "warned"),
        [
            ("leads_retrieval", False),
            ("public_profile leads_retrieval", False),
            ("public_profile", True),
            ("", True),
        ],
    )
    def test_a_scope_that_is_not_asked_for_is_warned_of(
        self, context: CheckContext, sends: Callable[..., None], scope: str, warned: bool
    ) -> None:
        """Commas or blanks between scopes; `public_profile` is granted unasked."""

        sends(scope=scope)

        finding = console_holds_app_id(context)

        assert finding.outcome is Outcome.VERIFIED
        assert (
            any("does not ask users for leads_retrieval" in t for t in finding.warnings) is warned
        )
        assert ("no scope" in finding.reason) is (not scope)

    def test_a_trail_that_does_not_lead_to_facebook_is_inconclusive(
        self, remote: FakeRemote, context: CheckContext
    ) -> None:
        """An empty Setup or a used token ends at Cyclr: nothing can be compared."""

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
        """No single-use token is asked for in vain."""

        remote.on(INSTALLED, lists())

        finding = console_holds_app_id(context)

        assert finding.outcome is Outcome.INCONCLUSIVE
        assert "only through an installed connector" in finding.reason
        assert remote.paths == ["/oauth/token", INSTALLED]


class TestMethod:
    """`permissions_are_seen_through_cyclr`."""

    @pytest.fixture
    def answers(self, remote: FakeRemote) -> Callable[..., None]:
        """Tell what the connector's method answers."""

        def tell(body: Any, status: int = 200) -> None:
            remote.on(INSTALLED, lists(ACCOUNT_CONNECTOR))
            remote.on(METHODS, says([{**METHOD, "Name": "List My Pages"}, METHOD]))
            remote.on(RUN, says(body, status))

        return tell

    @pytest.mark.parametrize("is_bare", [True, False])
    def test_granted_permissions_are_verified(
        self, context: CheckContext, answers: Callable[..., None], is_bare: bool
    ) -> None:
        """Facebook's rows count, with or without their envelope."""

        body = bodies.statuses(public_profile="granted", leads_retrieval="granted")
        answers(body["data"] if is_bare else body)

        finding = permissions_are_seen_through_cyclr(context)

        assert finding.outcome is Outcome.VERIFIED
        assert "grants public_profile, leads_retrieval" in finding.reason
        assert shows_no_secret(finding, context)

    @pytest.mark.parametrize("status", ["declined", "expired", None])
    def test_a_lacking_permission_fails(
        self, context: CheckContext, answers: Callable[..., None], status: str | None
    ) -> None:
        """Only what is granted counts."""

        more = {"leads_retrieval": status} if status else {}
        answers(bodies.statuses(public_profile="granted", **more))

        finding = permissions_are_seen_through_cyclr(context)

        assert finding.outcome is Outcome.FAILED
        assert "lacks leads_retrieval" in finding.reason

    def test_an_unknown_address_cannot_test_from_here(
        self, context: CheckContext, answers: Callable[..., None]
    ) -> None:
        """Cyclr's 403 is about where the runbook runs, not about the connector."""

        answers(bodies.UNKNOWN_ADDRESS, 403)

        finding = permissions_are_seen_through_cyclr(context)

        assert finding.outcome is Outcome.INCONCLUSIVE
        assert "cannot be tested from here" in finding.reason
        assert "Unknown client IP Address" in finding.reason

    @pytest.mark.parametrize("status", [400, 404, 500])
    def test_another_refusal_is_raised(
        self, context: CheckContext, answers: Callable[..., None], status: int
    ) -> None:
        """Only 403 has that meaning."""

        answers({"Message": "Failed to authenticate the connector"}, status)

        with pytest.raises(CyclrAPIError):
            permissions_are_seen_through_cyclr(context)

    @pytest.mark.parametrize("body", [{}, {"data": {}}, "null"])
    def test_an_answer_of_another_shape_decides_nothing(
        self, context: CheckContext, answers: Callable[..., None], body: Any
    ) -> None:
        """What is no list of permissions lists none and lacks none."""

        answers(body)

        with pytest.raises(UnexpectedAnswerError, match="not a list"):
            permissions_are_seen_through_cyclr(context)

    def test_a_connector_without_the_method_is_inconclusive(
        self, remote: FakeRemote, context: CheckContext
    ) -> None:
        """Another version of the connector may not have it."""

        remote.on(INSTALLED, lists(ACCOUNT_CONNECTOR))
        remote.on(METHODS, says([]))

        finding = permissions_are_seen_through_cyclr(context)

        assert finding.outcome is Outcome.INCONCLUSIVE
        assert "'List My Permissions'" in finding.reason

    def test_what_is_not_installed_is_not_done(
        self, remote: FakeRemote, context: CheckContext
    ) -> None:
        """Without a connector there is no method."""

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
def test_what_cyclr_refuses_is_raised(
    remote: FakeRemote, context: CheckContext, check: Check, path: str
) -> None:
    """A refusal of the API decides nothing about the step."""

    remote.on(path, says({"Message": "Authorization has been denied for this request."}, 401))

    with pytest.raises(CyclrAPIError, match="has been denied"):
        check(context)


@pytest.mark.parametrize(("check", "path"), EVERY)
def test_a_page_in_cyclrs_place_is_raised(
    remote: FakeRemote, context: CheckContext, check: Check, path: str
) -> None:
    """What is not JSON decides nothing."""

    remote.on(path, says("<html>"))

    with pytest.raises(UnexpectedAnswerError):
        check(context)


def test_one_cyclr_token_serves_every_check_of_a_run(
    remote: FakeRemote, context: CheckContext
) -> None:
    """A token is issued once a run."""

    remote.on(INSTALLED, lists(ACCOUNT_CONNECTOR))

    connector_is_authenticated(context)
    connector_is_installed(context)

    assert remote.paths.count("/oauth/token") == 1
