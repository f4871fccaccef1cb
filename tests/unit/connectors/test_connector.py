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
from runbook_lib.errors import CyclrAPIError, RemoteError, UnexpectedResponseError, UnreachableError
from tests.support.wording import wording
from tests.unit import bodies
from tests.unit.bodies import ACCOUNT_CONNECTOR, APP_ID, CONNECTOR, METHOD, SIGN_IN_TOKEN, statuses
from tests.unit.connectors.conftest import MADE_UP_ACCOUNTS, RunCheck
from tests.unit.fake_remote import FakeRemote, Responder, fails_with, fields, responds

console_holds_app_id = partial(connector.console_holds_app_id, FACEBOOK)
connector_is_authenticated = partial(connector.connector_is_authenticated, FACEBOOK)

VERIFIED = Outcome.VERIFIED
FAILED = Outcome.FAILED
INCONCLUSIVE = Outcome.INCONCLUSIVE
NOT_RUN = Outcome.NOT_RUN
LIBRARY = "/v1.0/connectors"
INSTALLED = "/v1.0/account/connectors"
INSTALL = "/v1.0/connectors/17208/install"
METHODS = "/v1.0/connectors/17208/methods"
RUN = f"/v1.0/account/connectors/54321/methods/{METHOD['MethodUniqueIdentifier']}"
LINK = "/connectorauth/updateaccountconnectoroauth"
SIGN_IN = "/v1.0/accounts/acct-1/signintoken"
ACCOUNT = "/v1.0/accounts/acct-1"
URI = "https://acme-h.cyclr.com/connector/callback"
DENIED = {"Message": "Authorization has been denied for this request."}
OTHER = {**ACCOUNT_CONNECTOR, "Id": 1, "Connector": {**CONNECTOR, "Name": "Slack"}}
# A connector of the same name with another id, and a draft.
NAMESAKE = {**CONNECTOR, "Id": 15_909}
DRAFT = {**CONNECTOR, "Status": "Draft"}
AS_A_DRAFT = wording("findings.connector-is-draft", number=17208)
SLACK = {**CONNECTOR, "Id": 3, "Name": "Slack"}
OF_SEVERAL = [{**DRAFT, "Id": 1}, CONNECTOR, {**CONNECTOR, "Id": 99_999}]
OLDER = {**ACCOUNT_CONNECTOR, "Id": 7, "Authenticated": False}
OTHER_CLIENT = "999999999999999"
IS_ENABLED = "TransactionErrorWebhookEnabled"

Check = Callable[[CheckContext], Finding]
CONTROLLED = (connector_is_installed, connector_is_authenticated)
REFUSALS = (400, 401, 403, 404, 410, 422)
controlled = pytest.mark.parametrize("check", CONTROLLED)


def list_installed(*rows: dict[str, Any]) -> Responder:
    """List these connectors as installed; refuse a made-up account."""
    return answers(responds(DENIED, 401), responds(DENIED, 401), *rows)


def answers(first: Responder, second: Responder, *rows: dict[str, Any]) -> Responder:
    """List these connectors as installed, and answer so for each of the made-up accounts."""
    controls = dict(zip(MADE_UP_ACCOUNTS, (first, second), strict=True))

    def respond(request: httpx.Request) -> httpx.Response:
        account = request.headers["x-cyclr-account"]
        return controls.get(account, responds([*rows]))(request)

    return respond


def searched(found: list[Any], library: list[Any], pages: str = "1") -> Responder:
    """Answer the search with `found`, and the whole library with `library`."""

    def respond(request: httpx.Request) -> httpx.Response:
        if "query" in fields(request):
            return responds(found)(request)
        return responds(library, headers={"Total-Pages": pages} if pages else {})(request)

    return respond


IS_INSTALLED = {INSTALLED: list_installed(ACCOUNT_CONNECTOR), LIBRARY: responds([CONNECTOR])}
IS_NOT_INSTALLED = {INSTALLED: list_installed(), LIBRARY: responds([CONNECTOR])}


@pytest.fixture(autouse=True)
def _token(remote: FakeRemote) -> None:
    remote.on("/oauth/token", responds(bodies.CYCLR_TOKEN_ISSUED))


@pytest.fixture
def announced() -> list[str]:
    return []


@pytest.fixture
def installs(run_check: RunCheck, announced: list[str]) -> RunCheck:
    """Return the check of the installation, which may install the connector."""
    changes = {"install_connector": True, "announce_change": announced.append}
    return partial(run_check, connector_is_installed, **changes)


def test_a_connector_of_that_name_is_verified(remote: FakeRemote, run_check: RunCheck) -> None:
    """A connector of that name verifies; the limits say that its Setup cannot be read."""
    library = {LIBRARY: responds([CONNECTOR])}
    finding = run_check(connector_is_in_library, VERIFIED, "id 17208, Approved", answers=library)
    assert wording("findings.no-api-shows-it") in finding.limits[0]
    assert fields(remote.requests[-1])["query"] == "Facebook Marketing API"


@pytest.mark.parametrize(
    ("library", "end", "words"),
    [
        # Without a connector of exactly that name, in the whole library too, the step fails.
        *(
            (
                searched(found, [SLACK, *found]),
                FAILED,
                wording("findings.connector-not-in-library", text="'Facebook Marketing API'"),
            )
            for found in ([], [{**CONNECTOR, "Name": "Facebook Marketing API v2"}])
        ),
        # An empty search, an ignored query or a library without an end shows nothing by itself.
        (searched([], []), INCONCLUSIVE, f"^{wording('findings.list-incomplete')}"),
        (
            searched([], [SLACK, CONNECTOR]),
            INCONCLUSIVE,
            f"^{wording('findings.sources-disagree')}",
        ),
        (responds([]), INCONCLUSIVE, wording("findings.list-incomplete")),
        (
            responds([SLACK]),
            UnexpectedResponseError,
            wording("findings.unexpected-response-did-give"),
        ),
        (searched([SLACK], [SLACK], pages="2"), UnexpectedResponseError, "whole list"),
        (searched([], [SLACK], pages=""), UnexpectedResponseError, "whole list"),
        # A draft cannot be installed (Cyclr's answer to that: 400), so the step fails.
        *(
            (responds([{**CONNECTOR, "Status": status}] * count), FAILED, AS_A_DRAFT)
            for status in ("Draft", "draft", "DRAFT ")
            for count in (1, 2)
        ),
        # Nobody knows whether a connector of another status can be installed.
        *(
            (
                responds([{**CONNECTOR, "Status": status}, *others]),
                INCONCLUSIVE,
                wording("findings.connector-status-unknown", status=shown),
            )
            for status, shown in (
                ("Rejected", "Rejected"),
                ("Pending", "Pending"),
                ("", "(none)"),
                (None, "(none)"),
            )
            for others in ([], [DRAFT])
        ),
        # A draft beside a released connector does not count, whatever their order and ids.
        *(
            (responds(found), VERIFIED, "id 17208, Approved")
            for found in (OF_SEVERAL, OF_SEVERAL[::-1])
        ),
    ],
)
def test_only_a_released_connector_of_the_name_counts(
    run_check: RunCheck, library: Responder, end: Any, words: str
) -> None:
    """A released connector of that name verifies; only a whole library without it fails."""
    run_check(connector_is_in_library, end, words, answers={LIBRARY: library})


def test_an_installed_connector_is_verified(remote: FakeRemote, run_check: RunCheck) -> None:
    """The connector is found among others in the account, and nothing is changed."""
    remote.on(INSTALLED, list_installed(OTHER, ACCOUNT_CONNECTOR))
    found = "account connector 54321"
    finding = run_check(connector_is_installed, VERIFIED, found, answers=IS_INSTALLED)
    assert finding.changes == ()
    assert finding.facts == {"account_api_id": "acct-1"}
    assert remote.paths == ["/oauth/token", INSTALLED, LIBRARY, *[INSTALLED] * 3]


@pytest.mark.parametrize(
    ("library", "installed", "may_install", "end", "said"),
    [
        # Unless `install_connector` is set, the check only reads, and not the library.
        *(
            (None, installed, False, NOT_RUN, "tick “Install the connector”")
            for installed in ([], [OTHER], [{**OTHER, "Connector": None}])
        ),
        # An installed connector is not installed again.
        ([CONNECTOR], [ACCOUNT_CONNECTOR], True, VERIFIED, ""),
        # Without the connector in the library, or with a draft only, the step fails.
        ([], [], True, FAILED, wording("findings.connector-not-in-library-no-connector")),
        ([DRAFT], [], True, FAILED, wording("findings.connector-is-draft-only")),
        # A connector with another status than Approved is not installed either.
        *(
            (
                [{**CONNECTOR, "Status": "Rejected"}],
                installed,
                True,
                INCONCLUSIVE,
                wording("findings.connector-status-unknown", status="Rejected"),
            )
            for installed in ([], [ACCOUNT_CONNECTOR])
        ),
        # The installed connector must be the one that step `cy-01` found, by its library id.
        *(
            (library, [{**ACCOUNT_CONNECTOR, "Connector": other}], is_set, INCONCLUSIVE, said)
            for is_set in (False, True)
            for library, other, said in (
                (
                    [CONNECTOR],
                    NAMESAKE,
                    wording("findings.other-library-connector", installed=15909, listed=17208),
                ),
                (
                    [NAMESAKE],
                    CONNECTOR,
                    wording("findings.other-library-connector", installed=17208, listed=15909),
                ),
                ([DRAFT], CONNECTOR, wording("findings.connector-is-draft-only")),
                ([], CONNECTOR, wording("findings.connector-not-in-library-no-connector")),
            )
        ),
    ],
)
def test_only_what_is_missing_and_permitted_is_installed(
    remote: FakeRemote,
    installs: RunCheck,
    announced: list[str],
    library: list[Any] | None,
    installed: list[Any],
    may_install: bool,
    end: Outcome,
    said: str,
) -> None:
    """The check installs a connector only if it is missing, released and permitted."""
    found = {
        INSTALLED: list_installed(*installed),
        LIBRARY: searched(library or [], [SLACK, *(library or [])]),
    }
    finding = installs(end, said, answers=found, install_connector=may_install)
    assert (finding.changes, announced) == ((), [])
    assert finding.accepts == (("account_api_id",) if end is VERIFIED else ())
    assert all(request.method == "GET" for request in remote.requests[1:])


def test_an_installation_of_another_connector_proves_nothing(installs: RunCheck) -> None:
    """If Cyclr installs another connector of that name, the finding names the change."""
    other = {INSTALL: responds({**ACCOUNT_CONNECTOR, "Connector": NAMESAKE})}
    said = wording("findings.other-library-connector", installed=15909, listed=17208)
    finding = installs(INCONCLUSIVE, said, answers={**IS_NOT_INSTALLED, **other})
    assert len(finding.changes) == 1


@controlled
@pytest.mark.parametrize(
    ("first", "second", "end", "said"),
    [
        # The same refusal of both, or two lists without the connector, is a valid control.
        *(
            (control, control, VERIFIED, "")
            for control in (
                responds([OTHER]),
                responds([]),
                *(responds(DENIED, each) for each in REFUSALS),
            )
        ),
        # With different answers for the made-up accounts, the result is inconclusive.
        (responds(DENIED, 401), responds(DENIED, 404), INCONCLUSIVE, "(401 and 404)"),
        (responds(DENIED, 404), responds([]), INCONCLUSIVE, "(404 and 200)"),
        (responds([OTHER]), responds(DENIED, 403), INCONCLUSIVE, "(200 and 403)"),
        # A made-up account that lists the same connector proves nothing.
        *(
            (
                first,
                responds([ACCOUNT_CONNECTOR]),
                INCONCLUSIVE,
                wording("findings.made-up-account-answered-too", number=54321),
            )
            for first in (responds(DENIED, 401), responds([]), responds([ACCOUNT_CONNECTOR]))
        ),
        # An error that is no refusal is raised, for either of the made-up accounts.
        *(
            (responds(*first), responds({"Message": "Busy."}, status), RemoteError, "")
            for status in (302, 408, 425, 429, 500, 502, 503)
            for first in ((DENIED, 401), ({"Message": "Busy."}, status))
        ),
    ],
)
def test_answers_for_two_made_up_accounts_decide(
    run_check: RunCheck, check: Check, first: Responder, second: Responder, end: Any, said: str
) -> None:
    """An account's connectors are proven only if Cyclr refuses two made-up ones alike."""
    words = (
        (said, wording("findings.made-up-account-answered", account="acct-1"))
        if end is INCONCLUSIVE
        else ()
    )
    found = {**IS_INSTALLED, INSTALLED: answers(first, second, ACCOUNT_CONNECTOR)}
    run_check(check, end, *words, answers=found)


@pytest.mark.parametrize("status", [401, 403, 404])
def test_the_account_is_read_once_more_for_all_checks_of_a_look(
    remote: FakeRemote, context: CheckContext, status: int
) -> None:
    """It is asked again with the same token, once, whoever asks; only after a 401 or 403."""
    denied = responds(DENIED, status)
    remote.on(INSTALLED, answers(denied, denied, ACCOUNT_CONNECTOR))
    remote.on(LIBRARY, responds([CONNECTOR]))
    findings = context.side_by_side(lambda branch, check: check(branch), [*CONTROLLED] * 3)
    assert {finding.outcome for finding in findings} == {VERIFIED}
    mine = [each for each in remote.requests if each.headers.get("x-cyclr-account") == "acct-1"]
    again = [each for each in mine if each.url.path == INSTALLED]
    assert len(again) == (1 if status == 404 else 2)
    assert len({each.headers["authorization"] for each in again}) == 1
    assert remote.paths.count("/oauth/token") == 1


@controlled
def test_made_up_accounts_are_two_guids(
    remote: FakeRemote, run_check: RunCheck, check: Check
) -> None:
    """Both have the form of Cyclr's account ids, so neither is refused for its form."""
    digits = iter("ab")
    remote.on(INSTALLED, responds([ACCOUNT_CONNECTOR]), responds(DENIED, 404))
    remote.on(LIBRARY, responds([CONNECTOR]))
    run_check(check, VERIFIED, random_hex=lambda size: 2 * size * next(digits))
    asked = [request.headers["x-cyclr-account"] for request in remote.requests[-2:]]
    assert asked == ["aaaaaaaa-aaaa-4aaa-aaaa-aaaaaaaaaaaa", "bbbbbbbb-bbbb-4bbb-bbbb-bbbbbbbbbbbb"]
    assert [UUID(account).version for account in asked] == [4, 4]


@pytest.mark.parametrize("library", [[CONNECTOR], [{**DRAFT, "Id": 1}, CONNECTOR]])
def test_with_permission_it_is_installed_and_reported(
    installs: RunCheck, announced: list[str], library: list[Any]
) -> None:
    """The released connector is installed: announced before, and listed in the finding."""

    def install(request: Any) -> Any:
        assert announced, "the change was not announced first"
        return responds(ACCOUNT_CONNECTOR)(request)

    found = {INSTALLED: list_installed(), LIBRARY: responds(library), INSTALL: install}
    finding = installs(VERIFIED, answers=found)
    assert announced == [
        wording("findings.install-announced", connector="Facebook Marketing API", account="acct-1")
    ]
    assert finding.changes == (
        wording(
            "findings.installed", connector="Facebook Marketing API", account="acct-1", id=54321
        ),
    )


def test_a_broken_connection_does_not_install_twice(remote: FakeRemote, installs: RunCheck) -> None:
    """After a broken connection the installation is not repeated, and the error is raised."""
    installs(UnreachableError, answers={**IS_NOT_INSTALLED, INSTALL: fails_with()})
    assert remote.paths.count(INSTALL) == 1


def test_without_an_account_nothing_is_requested(remote: FakeRemote, run_check: RunCheck) -> None:
    """Without an account, no request is sent, and the reason names field and box."""
    settings = ("Account API ID", "tick “Create a test account”")
    run_check(connector_is_installed, NOT_RUN, *settings, account_api_id="")
    assert remote.requests == []


def test_a_test_account_is_created_with_permission(
    remote: FakeRemote, installs: RunCheck, announced: list[str]
) -> None:
    """The test account is announced, created, used, and passed on to later steps."""

    def create(request: Any) -> Any:
        assert len(announced) == 1
        return responds({"Id": "acct-9", "Name": "x"})(request)

    remote.on("/v1.0/accounts", create)
    found = {**IS_NOT_INSTALLED, INSTALL: responds(ACCOUNT_CONNECTOR)}
    finding = installs(VERIFIED, answers=found, account_api_id="", create_test_account=True)
    assert finding.facts == {"account_api_id": "acct-9"}
    assert "acct-9" in finding.changes[0]
    assert "acct-9" in finding.changes[1]
    *_, installing, control, _, again = remote.requests
    assert again.headers["x-cyclr-account"] == "acct-9"
    assert installing.headers["x-cyclr-account"] == "acct-9"
    assert control.headers["x-cyclr-account"] == MADE_UP_ACCOUNTS[0]
    assert json.loads(remote.requests[1].content)["Name"] == "Runbook test acme-h.cyclr.com"


@pytest.mark.parametrize(
    ("may_install", "end", "said", "changes"),
    [
        # A created account and an installation are in the finding whatever Cyclr answers next.
        (
            True,
            INCONCLUSIVE,
            wording("findings.unexpected-response-other-connector", text="'Slack'"),
            ["Created", "Installed"],
        ),
        # A created account is in the finding even if the step is not done: it is not created twice.
        (False, NOT_RUN, "", ["Created"]),
    ],
)
def test_changes_are_reported_if_the_check_fails_later(
    installs: RunCheck, may_install: bool, end: Outcome, said: str, changes: list[str]
) -> None:
    """The finding names the changes, also after a later error."""
    other = responds({"Id": 7, "Connector": {"Name": "Slack"}})
    found = {**IS_NOT_INSTALLED, "/v1.0/accounts": responds({"Id": "acct-9"}), INSTALL: other}
    asked = {"create_test_account": True, "install_connector": may_install}
    finding = installs(end, said, answers=found, account_api_id="", **asked)
    assert [text.partition(" ")[0] for text in finding.changes] == changes
    assert finding.facts == {"account_api_id": "acct-9"}


def test_an_authenticated_connector_is_verified_with_a_limit(run_check: RunCheck) -> None:
    """`Authenticated` verifies; the limit says that consent in a browser is not proven."""
    finding = run_check(connector_is_authenticated, VERIFIED, answers=IS_INSTALLED)
    assert finding.limits[0].startswith(wording("findings.person-consented"))


@pytest.mark.parametrize(
    ("listed", "end", "said"),
    [
        # Without a sign-in the step is not done.
        (
            [{**ACCOUNT_CONNECTOR, "Authenticated": False}],
            NOT_RUN,
            wording("findings.connector-not-authenticated"),
        ),
        # The authenticated one of several installed connectors counts, in any order.
        *(
            (listed, VERIFIED, "account connector 54321")
            for listed in ([OLDER, ACCOUNT_CONNECTOR], [ACCOUNT_CONNECTOR, OLDER])
        ),
    ],
)
def test_cyclrs_own_authenticated_decides(
    run_check: RunCheck, listed: list[Any], end: Any, said: str
) -> None:
    """Cyclr's own `Authenticated` of the connector decides."""
    run_check(connector_is_authenticated, end, said, answers={INSTALLED: list_installed(*listed)})


def test_a_credential_that_cyclr_shows_is_masked(remote: FakeRemote, context: CheckContext) -> None:
    """Credentials in Cyclr's answers are masked in the record."""
    secret = {"Name": "ClientSecret", "Value": "canary-client-secret", "Id": 1}
    shown = {**ACCOUNT_CONNECTOR, "AuthValue": "canary-auth-value", "Properties": [secret]}
    remote.on(INSTALLED, list_installed(shown))
    connector_is_authenticated(context)
    assert "canary" not in repr(context.session.exchanges())
    assert len(context.session.exchanges()) == 5


@pytest.fixture
def sends(run_check: RunCheck) -> RunCheck:
    """Return the check of the console, which sends a user to this address at Facebook."""

    def run(end: Any, *words: str, link: Responder | None = None, **query: str) -> Any:
        known = {
            "client_id": APP_ID,
            "redirect_uri": URI,
            "scope": "public_profile,leads_retrieval",
            "state": "s",
        }
        dialog = f"https://www.facebook.com/v26.0/dialog/oauth?{urlencode({**known, **query})}"
        found = {
            INSTALLED: list_installed(ACCOUNT_CONNECTOR),
            SIGN_IN: responds(bodies.SIGN_IN_TOKEN_ISSUED),
            LINK: link or leads_to(dialog),
        }
        return run_check(console_holds_app_id, end, *words, answers=found)

    return run


def leads_to(address: str) -> Responder:
    return responds("", 302, {"location": address})


def test_the_same_app_and_address_are_verified(remote: FakeRemote, sends: RunCheck) -> None:
    """Client ID and redirect URI are read from Cyclr's redirect, without a request to Facebook."""
    finding = sends(VERIFIED, f"Client ID {APP_ID}", URI)
    assert re.search("public_profile, ?leads_retrieval", finding.reason)
    assert finding.warnings == ()
    link = remote.requests[-1]
    assert link.url.host == "acme-h.cyclr.com"
    assert fields(link) == {
        "id": "54321",
        "token": SIGN_IN_TOKEN,
        "targetOrigin": "https://my.cyclr.com",
    }


@pytest.mark.parametrize(
    ("query", "words"),
    [
        # The reason shows both Client IDs and where to correct it.
        (
            {"client_id": OTHER_CLIENT},
            [
                wording("findings.client-id-differs", number=OTHER_CLIENT, app_id=APP_ID),
                "Connector Library > Setup",
            ],
        ),
        # A redirect URI that differs in one character from the registered one fails.
        ({"redirect_uri": f"{URI}/"}, [wording("findings.redirect-uri-differs", uri=URI)]),
        # An empty client_id: the console has no App ID.
        (
            {"client_id": ""},
            [wording("findings.client-id-differs", number="(none)", app_id=APP_ID)],
        ),
    ],
)
def test_another_app_or_address_fails(
    sends: RunCheck, query: dict[str, str], words: list[str]
) -> None:
    """The Setup must have this app's Client ID, and the address that the app registers."""
    sends(FAILED, *words, **query)


@pytest.mark.parametrize(
    ("link", "end", "said"),
    [
        # A missing or repeated field in the address decides nothing.
        *(
            (
                leads_to(f"https://www.facebook.com/dialog/oauth?{query}"),
                UnexpectedResponseError,
                wording("findings.unexpected-response-its-address"),
            )
            for query in (
                f"client_id={APP_ID}&client_id={OTHER_CLIENT}&redirect_uri={quote(URI)}",
                f"client_id={OTHER_CLIENT}&client_id={APP_ID}&redirect_uri={quote(URI)}",
                f"client_id={APP_ID}&redirect_uri={quote(URI)}&redirect_uri=https://evil.example",
                f"client_id={APP_ID}",
                f"redirect_uri={quote(URI)}",
                "",
            )
        ),
        # A link that ends at Cyclr or at another page of Facebook is named.
        (
            leads_to(f"https://www.facebook.com/login.php?client_id={APP_ID}"),
            INCONCLUSIVE,
            wording("findings.sign-in-link-ends-elsewhere", number=302),
        ),
        (responds("403 – Forbidden: Access is denied.", 403), INCONCLUSIVE, "ends with 403"),
    ],
)
def test_a_link_that_ends_elsewhere_decides_nothing(
    remote: FakeRemote, sends: RunCheck, link: Responder, end: Any, said: str
) -> None:
    """Only a link to Facebook's sign-in page, with both fields once each, decides."""
    sends(end, said, link=link)
    assert remote.paths.count(LINK) == 1


@pytest.mark.parametrize(
    ("scope", "more", "lacks"),
    [
        ("leads_retrieval", "", False),
        ("leads_retrieval,ads_read", "", False),
        ("leads_retrieval,pages_manage_metadata email", "pages_manage_metadata, email", False),
        # A scope that Cyclr does not request gives a warning, except `public_profile`.
        ("public_profile leads_retrieval", "", False),
        ("public_profile", "", True),
        ("", "", True),
    ],
)
def test_scopes_that_differ_give_a_warning(
    sends: RunCheck, scope: str, more: str, lacks: bool
) -> None:
    """The app must also have the permissions that Cyclr requests beyond the chosen ones."""
    finding = sends(VERIFIED, scope=scope)
    warnings = " ".join(finding.warnings)
    assert (wording("findings.also-asks-for") in warnings) is bool(more)
    assert more in warnings
    assert (wording("findings.does-not-ask-for", permission="leads_retrieval") in warnings) is lacks
    assert ("no scope" in finding.reason) is (not scope)


def test_without_an_installed_connector_nothing_can_be_read(
    remote: FakeRemote, run_check: RunCheck
) -> None:
    """Without an installed connector no sign-in token is requested: inconclusive."""
    said = wording("findings.connector-not-installed")
    run_check(console_holds_app_id, INCONCLUSIVE, said, answers=IS_NOT_INSTALLED)
    assert remote.paths == ["/oauth/token", INSTALLED]


GRANTED = statuses(public_profile="granted", leads_retrieval="granted")


@pytest.mark.parametrize(
    ("body", "status", "end", "words"),
    [
        # The permissions are read from Facebook's rows, with or without the `data` envelope.
        *(
            (
                body,
                200,
                VERIFIED,
                [
                    wording(
                        "findings.permissions-seen-through-cyclr",
                        names="public_profile, leads_retrieval",
                    )
                ],
            )
            for body in (GRANTED, GRANTED["data"])
        ),
        # A permission that is not granted fails.
        *(
            (statuses(public_profile="granted", **more), 200, FAILED, ["lacks leads_retrieval"])
            for more in ({"leads_retrieval": "declined"}, {"leads_retrieval": "expired"}, {})
        ),
        # Cyclr's 403 for an unknown client IP address says nothing about the connector.
        (
            bodies.UNKNOWN_ADDRESS,
            403,
            INCONCLUSIVE,
            [wording("findings.address-not-allowed"), "Unknown client IP Address"],
        ),
        # Any status but 403 is raised.
        *(
            ({"Message": "Failed to authenticate the connector"}, status, CyclrAPIError, [])
            for status in (400, 404, 500)
        ),
        # An error beside granted permissions is a refusal.
        (
            {**GRANTED, "error": {"code": 190, "message": "Expired."}},
            200,
            CyclrAPIError,
            ["Expired"],
        ),
    ],
)
def test_the_answer_of_the_connectors_method_decides(
    run_check: RunCheck, body: Any, status: int, end: Any, words: list[str]
) -> None:
    """The permissions of the connection are those that Facebook lists through Cyclr."""
    methods = responds([{**METHOD, "Name": "List My Pages"}, METHOD])
    found = {**IS_INSTALLED, METHODS: methods, RUN: responds(body, status)}
    run_check(permissions_are_seen_through_cyclr, end, *words, answers=found)


@pytest.mark.parametrize(
    ("found", "end", "said"),
    [
        # A connector version without the method is inconclusive.
        (IS_INSTALLED, INCONCLUSIVE, "'List My Permissions'"),
        # Without an installed connector the step is not done.
        (IS_NOT_INSTALLED, NOT_RUN, ""),
    ],
)
def test_without_the_method_nothing_is_seen(
    run_check: RunCheck, found: dict[str, Responder], end: Outcome, said: str
) -> None:
    """Nothing is seen without the connector or its method."""
    found = {**found, METHODS: responds([])}
    run_check(permissions_are_seen_through_cyclr, end, said, answers=found)


POSTS = {
    "Id": "acct-1",
    "Name": "First",
    IS_ENABLED: True,
    "TransactionErrorWebhookUrl": "https://hooks.acme.example/in?key=hush-hush-1",
}


def test_an_accounts_own_setting_is_verified(remote: FakeRemote, context: CheckContext) -> None:
    """Its own field shows it; the address, which may hold a key, is in no record."""
    remote.on(ACCOUNT, responds(POSTS))
    finding = error_webhook_is_set(context)
    assert finding.outcome is VERIFIED
    assert finding.reason == wording("findings.posts-failed-transactions", account="acct-1")
    assert "hush" not in repr((finding, context.session.exchanges()))
    assert finding.limits[0].startswith(wording("findings.posts-of-others-not-proven"))


@pytest.mark.parametrize(
    ("answer", "end", "said"),
    [
        # Without a setting of its own nothing is contradicted: a person looks at the console.
        *(
            (responds({**POSTS, IS_ENABLED: none}), INCONCLUSIVE, "Settings > General Settings")
            for none in (False, None)
        ),
        # A refusal is raised with Cyclr's message.
        *(
            (responds({"Message": "No such account."}, status), CyclrAPIError, "No such account")
            for status in (401, 403, 404)
        ),
    ],
)
def test_an_account_without_such_a_setting_is_not_verified(
    run_check: RunCheck, answer: Responder, end: Any, said: str
) -> None:
    """Cyclr's field of the account decides."""
    run_check(error_webhook_is_set, end, said, answers={ACCOUNT: answer})
