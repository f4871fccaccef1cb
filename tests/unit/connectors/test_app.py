"""The checks of the app: which answers verify, fail or decide nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from runbook_lib.connectors.context import CheckContext
from runbook_lib.connectors.facebook.access import app_node, app_token
from runbook_lib.connectors.facebook.app import (
    app_credentials_are_accepted,
    app_is_registered,
    app_name_matches,
    missing_sections_are_filled,
    redirect_uri_is_accepted,
)
from runbook_lib.connectors.facebook.errors import GraphAPIError, RefusedAppError
from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from runbook_lib.core.conclusion import Conclusion
from runbook_lib.core.model import Finding, Outcome
from runbook_lib.core.state import StepState
from runbook_lib.core.step_record import advice_of, step_record
from runbook_lib.errors import (
    OAuthError,
    RemoteError,
    RunbookError,
    UnexpectedAnswerError,
    UnreachableError,
)
from tests.unit import bodies
from tests.unit.bodies import APP_ID, APP_SECRET, graph_error
from tests.unit.connectors.conftest import (
    MADE_UP,
    MADE_UP_APP,
    MakeContext,
    session_to,
    shows_no_secret,
)
from tests.unit.fake_remote import FakeRemote, Responder, breaks, fields, says

(CREDENTIALS,) = (each for each in PROCEDURE.steps if each.id == "fb-13-app-id-and-secret")
TOKEN_PATH = "/v26.0/oauth/access_token"
NODE = f"/v26.0/{APP_ID}"
NAMED = {**bodies.FULL_APPLICATION, "name": "Acme"}
URI = "https://acme-h.cyclr.com/connector/callback"
OTHER_HOST = f"https://{MADE_UP * 8}.example.com/connector/callback"
SIBLING = f"https://{MADE_UP * 8}.cyclr.com/connector/callback"
OTHER_PATH = f"https://acme-h.cyclr.com/{MADE_UP * 8}"


def refuses(body: dict[str, Any]) -> Responder:
    return says(body, 400)


BAD_CODE_REFUSED = refuses(bodies.BAD_CODE)


@pytest.fixture
def token_issued(remote: FakeRemote) -> None:
    """Let Facebook issue an app token."""
    remote.on(
        TOKEN_PATH,
        says(bodies.APP_TOKEN_ISSUED),
        when=lambda grant_type="", **_: grant_type == "client_credentials",
    )


def with_redirect(uri: str) -> Callable[..., bool]:
    """Return a condition: the request has this redirect URI."""
    return lambda redirect_uri="", **_: redirect_uri == uri


def with_secret(secret: str) -> Callable[..., bool]:
    """Return a condition: the request has this App Secret."""
    return lambda client_secret="", **_: client_secret == secret


def answers_secrets(remote: FakeRemote, real: Responder, control: Responder) -> None:
    """Script the answers to the App Secret and to a made-up one."""
    remote.on(TOKEN_PATH, real, when=with_secret(APP_SECRET))
    remote.on(TOKEN_PATH, control, when=with_secret(MADE_UP * 16))


class TestCredentials:
    """`app_credentials_are_accepted`."""

    def test_an_issued_token_verifies_the_credentials(
        self, remote: FakeRemote, context: CheckContext
    ) -> None:
        """
        A token for this app verifies the pair if a made-up secret is refused; later checks reuse
        it.
        """
        answers_secrets(remote, says(bodies.APP_TOKEN_ISSUED), refuses(bodies.BAD_SECRET))

        finding = app_credentials_are_accepted(context)

        assert finding.outcome is Outcome.VERIFIED
        assert f"an app token for App ID {APP_ID} and refused a made-up secret" in finding.reason
        assert len(remote.requests) == 2
        assert app_token(context).reveal() == bodies.APP_TOKEN
        assert len(remote.requests) == 2
        assert finding.accepts == ("app_id", "app_secret")
        assert shows_no_secret(finding, context)

    @pytest.mark.parametrize(
        ("body", "status", "is_refused"),
        [
            (bodies.UNKNOWN_APP, 400, True),
            (bodies.BAD_SECRET, 400, True),
            (bodies.BAD_SECRET, 500, False),
            (bodies.UNKNOWN_APP, 503, False),
            ({"error": {"message": "An unknown error has occurred.", "code": 1}}, 400, False),
            ({"error": {"message": "Calls to this API have exceeded …", "code": 4}}, 400, False),
            ({}, 400, False),
        ],
    )
    def test_only_facebooks_own_refusal_refuses_the_app_id(
        self,
        remote: FakeRemote,
        context: CheckContext,
        body: dict[str, Any],
        status: int,
        is_refused: bool,
    ) -> None:
        """An unknown App ID, or one whose secret is another, is refused; a fault refuses none."""
        remote.on(TOKEN_PATH, says(body, status))
        refuses = ("app_id",) if is_refused else ()

        with pytest.raises(RunbookError) as caught:
            app_is_registered(context)

        assert caught.value.refuses == refuses
        assert isinstance(caught.value, RefusedAppError) is is_refused

    @pytest.mark.parametrize(
        ("control", "said"),
        [
            (says(bodies.APP_TOKEN_ISSUED), "it issued a token"),
            (refuses(bodies.UNKNOWN_APP), "Cannot get application info"),
            (says(bodies.BAD_SECRET, 500), "Error validating client secret."),
            (refuses({}), "answered 400"),
        ],
    )
    def test_without_a_refused_control_nothing_is_proven(
        self, remote: FakeRemote, context: CheckContext, control: Responder, said: str
    ) -> None:
        """If a made-up secret is not refused as wrong, the result is inconclusive."""
        answers_secrets(remote, says(bodies.APP_TOKEN_ISSUED), control)

        finding = app_credentials_are_accepted(context)

        assert finding.outcome is Outcome.INCONCLUSIVE
        assert said in finding.reason
        assert "nothing shows that the secret counts" in finding.reason

    @pytest.mark.parametrize(
        "token",
        [
            *("opaque", f"{'9' * 16}|tail", f"{APP_ID}|", f"x{APP_ID}|y"),
            f"{'9' * 16}|A6BCDEFiGASDFdB1_Zviht7lzxc",
            bodies.USER_TOKEN,
        ],
    )
    def test_a_token_that_does_not_name_the_app_proves_nothing(
        self, remote: FakeRemote, context: CheckContext, token: str
    ) -> None:
        """A token that does not begin with the App ID is refused, not shown and not kept."""
        remote.on(TOKEN_PATH, says({"access_token": token}))

        said = f"does not name app {APP_ID}|without a token"
        with pytest.raises(UnexpectedAnswerError, match=said) as caught:
            app_credentials_are_accepted(context)

        assert token not in str(caught.value)
        with pytest.raises(UnexpectedAnswerError):
            app_token(context)

    def test_a_wrong_secret_fails(self, remote: FakeRemote, context: CheckContext) -> None:
        """If Facebook refuses the secret, the step fails with Facebook's message."""
        remote.on(TOKEN_PATH, refuses(bodies.BAD_SECRET))

        finding = app_credentials_are_accepted(context)

        assert finding.outcome is Outcome.FAILED
        assert finding.refuses == ("app_id",)
        assert "refuses this App Secret (Error validating client secret.)" in finding.reason
        assert "Settings > Basic" in finding.reason
        assert len(remote.requests) == 1
        assert shows_no_secret(finding, context)

    @pytest.mark.parametrize("body", [bodies.MALFORMED_ID, bodies.MISSING_ID])
    def test_a_wrong_id_fails(
        self, remote: FakeRemote, context: CheckContext, body: dict[str, Any]
    ) -> None:
        """If Facebook refuses the App ID, the step fails."""
        remote.on(TOKEN_PATH, refuses(body))

        finding = app_credentials_are_accepted(context)

        assert finding.outcome is Outcome.FAILED
        assert f"does not take {APP_ID} as an App ID" in finding.reason

    @pytest.mark.parametrize("body", [bodies.UNKNOWN_APP, bodies.UNKNOWN_FAULT, bodies.APP_LIMIT])
    def test_one_answer_to_every_secret_proves_nothing(
        self, remote: FakeRemote, context: CheckContext, body: dict[str, Any]
    ) -> None:
        """If a made-up secret gets the same error, such as code 101, the result is inconclusive."""
        remote.on(TOKEN_PATH, refuses(body))

        finding = app_credentials_are_accepted(context)

        assert finding.outcome is Outcome.INCONCLUSIVE
        assert "one answer to this App Secret and to a made-up one" in finding.reason
        secrets = [fields(request)["client_secret"] for request in remote.requests]
        assert secrets[0] == APP_SECRET
        assert len(set(secrets)) == 2
        assert len(secrets[1]) == 32
        assert shows_no_secret(finding, context)

    def test_a_mistyped_app_id_is_to_be_corrected(
        self, remote: FakeRemote, context: CheckContext
    ) -> None:
        """For an App ID that Facebook does not know, reason and advice say to correct it."""
        remote.on(TOKEN_PATH, refuses(bodies.UNKNOWN_APP))
        finding = app_credentials_are_accepted(context)
        with pytest.raises(OAuthError) as caught:
            app_token(context)

        for reason in (finding.reason, str(caught.value)):
            conclusion = Conclusion(outcome=Outcome.INCONCLUSIVE, reason=reason)
            advice = advice_of(step_record(StepState(CREDENTIALS, conclusion)))
            assert "orrect" in reason
            assert "check again" in reason
            assert advice.startswith("Compare the App ID with the one in Settings > Basic, correct")
            assert "confirm" not in advice

    @pytest.mark.parametrize(
        "fault", [bodies.TRANSIENT, bodies.UNKNOWN_FAULT, bodies.APP_LIMIT, bodies.UNKNOWN_APP]
    )
    def test_a_fault_for_the_real_secret_alone_is_inconclusive(
        self, remote: FakeRemote, context: CheckContext, fault: dict[str, Any]
    ) -> None:
        """A temporary fault is not a refusal, even if the made-up secret is refused."""
        remote.on(
            TOKEN_PATH, refuses(fault), when=lambda client_secret, **_: client_secret == APP_SECRET
        )
        remote.on(TOKEN_PATH, refuses(bodies.BAD_SECRET))

        try:
            finding = app_credentials_are_accepted(context)
        except RemoteError:
            return  # raised: the run calls it inconclusive
        assert finding.outcome is Outcome.INCONCLUSIVE

    def test_a_broken_connection_is_raised(self, remote: FakeRemote, context: CheckContext) -> None:
        """A broken connection is raised, so that the run records it as inconclusive."""
        remote.on(TOKEN_PATH, breaks())

        with pytest.raises(UnreachableError):
            app_credentials_are_accepted(context)

    def test_an_answer_that_is_not_json_is_raised(
        self, remote: FakeRemote, context: CheckContext
    ) -> None:
        """An answer that is not JSON raises `UnexpectedAnswerError`."""
        remote.on(TOKEN_PATH, says("<html>"))

        with pytest.raises(UnexpectedAnswerError):
            app_credentials_are_accepted(context)


@pytest.mark.usefixtures("token_issued")
class TestNode:
    """`app_is_registered` and `app_name_matches`."""

    def test_an_app_that_can_be_read_is_registered(
        self, remote: FakeRemote, context: CheckContext
    ) -> None:
        """An app whose node can be read is verified; the limits say what this does not prove."""
        remote.on(NODE, says(bodies.APPLICATION))

        finding = app_is_registered(context)

        assert finding.outcome is Outcome.VERIFIED
        assert "Acme Lead Sync" in finding.reason
        assert finding.accepts == ("app_id",)
        assert finding.facts == {"app_name": "Acme Lead Sync"}
        assert "Facebook asked for the password" in finding.limits[0]
        assert shows_no_secret(finding, context)

    def test_the_right_name_is_verified(self, remote: FakeRemote, context: CheckContext) -> None:
        """The app's name must be the given one; the limits say what this does not prove."""
        remote.on(NODE, says(bodies.APPLICATION))

        finding = app_name_matches(context)

        assert finding.outcome is Outcome.VERIFIED
        assert "'Acme Lead Sync'" in finding.reason
        assert finding.accepts == ("app_id", "app_display_name")
        assert "App Purpose" in finding.limits[0]

    @pytest.mark.parametrize("name", ["Acme lead sync", "Acme Lead Sync "])
    def test_another_name_fails(self, remote: FakeRemote, context: CheckContext, name: str) -> None:
        """A name that differs in one character fails; the reason shows both names."""
        remote.on(NODE, says({**bodies.APPLICATION, "name": name}))

        finding = app_name_matches(context)

        assert finding.outcome is Outcome.FAILED
        assert f"called {name!r}, not 'Acme Lead Sync'" in finding.reason
        assert finding.accepts == ("app_id",)

    @pytest.mark.parametrize("check", [app_is_registered, app_name_matches])
    @pytest.mark.parametrize("name", ["", None, 7, ["Acme Lead Sync"]])
    def test_a_node_without_a_name_decides_nothing(
        self,
        remote: FakeRemote,
        context: CheckContext,
        check: Callable[[CheckContext], Finding],
        name: object,
    ) -> None:
        """An answer without a name raises `UnexpectedAnswerError`."""
        node = {**bodies.APPLICATION, "name": name}
        remote.on(NODE, says({key: value for key, value in node.items() if value is not None}))

        with pytest.raises(UnexpectedAnswerError, match="name is"):
            check(context)

    @pytest.mark.parametrize("check", [app_is_registered, app_name_matches])
    @pytest.mark.parametrize("identifier", ["9" * 16, int(APP_ID), None, ""])
    def test_another_apps_node_decides_nothing(
        self,
        remote: FakeRemote,
        context: CheckContext,
        check: Callable[[CheckContext], Finding],
        identifier: object,
    ) -> None:
        """An answer whose id is not the App ID, as text, raises `UnexpectedAnswerError`."""
        remote.on(NODE, says({**bodies.APPLICATION, "id": identifier}))

        with pytest.raises(UnexpectedAnswerError, match=f"id is .*, not {APP_ID}"):
            check(context)

    @pytest.mark.parametrize("check", [app_is_registered, app_name_matches])
    def test_a_graph_error_is_raised(
        self,
        remote: FakeRemote,
        context: CheckContext,
        check: Callable[[CheckContext], Finding],
    ) -> None:
        """A Graph error is raised, so that the run records it as inconclusive."""
        remote.on(NODE, refuses(bodies.EXPIRED_TOKEN))

        with pytest.raises(GraphAPIError):
            check(context)


@pytest.mark.parametrize(
    "check",
    [
        app_is_registered,
        app_name_matches,
        missing_sections_are_filled,
        redirect_uri_is_accepted,
    ],
)
def test_without_an_app_token_nothing_is_decided(
    remote: FakeRemote, context: CheckContext, check: Callable[[CheckContext], Finding]
) -> None:
    """
    Without an app token, the checks that need one raise `OAuthError` and send no other request.
    """
    remote.on(TOKEN_PATH, refuses(bodies.BAD_SECRET))

    with pytest.raises(OAuthError, match="issued no app token") as caught:
        check(context)

    assert "Error validating client secret." in str(caught.value)
    assert "Correct the App ID or App Secret" in str(caught.value)
    assert len(remote.requests) == 1


def test_a_deactivated_app_is_named_as_such(remote: FakeRemote, context: CheckContext) -> None:
    """Where Facebook has deactivated the app, App ID and App Secret are not to be corrected."""
    message = "API access deactivated. To reactivate, go to the app dashboard."
    answer = {"error": {"message": message, "type": "OAuthException", "code": 200}}
    remote.on(TOKEN_PATH, says(answer, 400))

    with pytest.raises(OAuthError, match="API access deactivated") as caught:
        app_token(context)

    assert "Do the required actions in the dashboard" in str(caught.value)
    assert "Correct" not in str(caught.value)


def test_a_broken_facebook_says_nothing_against_the_app_secret(
    remote: FakeRemote, context: CheckContext
) -> None:
    """A server error gives no reason to correct the App ID or App Secret."""
    remote.on(TOKEN_PATH, says(bodies.BAD_SECRET, 503))

    with pytest.raises(OAuthError, match="issued no app token") as caught:
        app_token(context)

    assert "Correct" not in str(caught.value)


@pytest.mark.usefixtures("token_issued")
class TestSections:
    """`missing_sections_are_filled`."""

    def test_filled_sections_are_verified(self, remote: FakeRemote, context: CheckContext) -> None:
        """All fields that the API shows must be filled; the limits name what it does not show."""
        remote.on(NODE, says(bodies.FULL_APPLICATION))

        finding = missing_sections_are_filled(context)

        assert finding.outcome is Outcome.VERIFIED
        assert "Privacy Policy URL" in finding.reason
        assert finding.warnings == ()
        assert "data deletion" in finding.limits[0]
        asked = fields(remote.requests[-2])["fields"].split(",")
        assert set(bodies.FULL_APPLICATION) <= set(asked)
        assert shows_no_secret(finding, context)

    @pytest.mark.parametrize(
        ("field", "label"),
        [
            ("privacy_policy_url", "Privacy Policy URL"),
            ("terms_of_service_url", "Terms of Service URL"),
            ("category", "Category"),
            ("icon_url", "App Icon"),
            ("contact_email", "Contact Email"),
        ],
    )
    @pytest.mark.parametrize("is_absent", [True, False])
    def test_a_missing_field_is_inconclusive(
        self,
        remote: FakeRemote,
        context: CheckContext,
        field: str,
        label: str,
        is_absent: bool,
    ) -> None:
        """A missing field is named and is inconclusive, because Facebook may hide it."""
        node = {**bodies.FULL_APPLICATION, field: ""}
        if is_absent:
            del node[field]
        remote.on(NODE, says(node))

        finding = missing_sections_are_filled(context)

        assert finding.outcome is Outcome.INCONCLUSIVE
        assert f"Facebook returns no {label}:" in finding.reason

    @pytest.mark.parametrize(
        ("domains", "warned"),
        [
            (["cyclr.com"], False),
            (["acme-h.cyclr.com"], False),
            (["ACME-H.CYCLR.COM", "x.example"], False),
            (["other-h.cyclr.com"], True),
            (["yclr.com"], True),
            ([], True),
            (None, True),
        ],
    )
    def test_app_domains_are_compared_with_the_service_domain(
        self, remote: FakeRemote, context: CheckContext, domains: list[str] | None, warned: bool
    ) -> None:
        """A warning is given unless the Service Domain or a parent domain is listed."""
        remote.on(NODE, says({**bodies.FULL_APPLICATION, "app_domains": domains}))

        warnings = missing_sections_are_filled(context).warnings

        assert any("does not list acme-h.cyclr.com" in text for text in warnings) is warned

    def test_without_a_service_domain_nothing_is_compared(
        self, remote: FakeRemote, make_context: MakeContext
    ) -> None:
        """Without a Service Domain there is no warning."""
        remote.on(NODE, says({**bodies.FULL_APPLICATION, "app_domains": []}))

        assert missing_sections_are_filled(make_context(service_domain="")).warnings == ()

    def test_an_upgraded_version_gives_a_warning(
        self, remote: FakeRemote, context: CheckContext
    ) -> None:
        """If the headers show that Facebook used another API version, a warning is given."""
        warning = "The call has been auto-upgraded to v27.0 as v26.0 will be deprecated."
        headers = {"facebook-api-version": "v27.0", "x-ad-api-version-warning": warning}
        remote.on(NODE, says(bodies.FULL_APPLICATION, headers=headers))

        warnings = missing_sections_are_filled(context).warnings

        assert warnings[0] == warning
        assert "in v27.0 instead of v26.0" in warnings[1]

    @pytest.mark.parametrize(
        ("version", "warned"), [("v21.0", True), ("v22.0", False), ("v99.0", False)]
    )
    def test_a_version_that_ends_soon_gives_a_warning(
        self, remote: FakeRemote, make_context: MakeContext, version: str, warned: bool
    ) -> None:
        """An API version that ends within ninety days gives a warning."""
        remote.on(f"/{version}/oauth/access_token", says(bodies.APP_TOKEN_ISSUED))
        headers = {"facebook-api-version": version}
        remote.on(f"/{version}/{APP_ID}", says(bodies.FULL_APPLICATION, headers=headers))
        remote.on(f"/{version}/{MADE_UP_APP}", says(bodies.NO_SUCH_OBJECT, 400))

        warnings = missing_sections_are_filled(make_context(graph_version=version)).warnings

        assert any(f"{version} is served until 2027-01-21" in text for text in warnings) is warned

    @pytest.mark.parametrize(
        ("version", "facts"),
        [
            ("v25.0", {
                "graph_version_ends_on": "2028-07-29",
                "marketing_api_version_ends_on": "2027-02-23",
            }),
            ("v26.0", {}),
        ],
    )  # fmt: skip
    def test_the_ends_of_a_version_are_facts(
        self, remote: FakeRemote, make_context: MakeContext, version: str, facts: dict[str, str]
    ) -> None:
        """Both calendars' ends, where they are announced: the calendar of duties has them."""
        remote.on(f"/{version}/oauth/access_token", says(bodies.APP_TOKEN_ISSUED))
        remote.on(f"/{version}/{APP_ID}", says(bodies.FULL_APPLICATION))
        remote.on(f"/{version}/{MADE_UP_APP}", says(bodies.NO_SUCH_OBJECT, 400))
        context = make_context(graph_version=version, permissions=("ads_read",))

        assert missing_sections_are_filled(context).facts == facts

    @pytest.mark.parametrize(
        ("version", "permissions", "end"),
        [
            ("v25.0", ("ads_read",), "is served until 2027-02-23"),
            ("v25.0", ("leads_retrieval",), "is served until 2027-02-23"),
            ("v24.0", ("ads_management",), "was served until 2026-11-10"),
            ("v25.0", ("pages_messaging",), ""),
            ("v26.0", ("ads_read",), ""),
        ],
    )
    def test_marketing_calls_have_a_calendar_of_their_own(
        self,
        remote: FakeRemote,
        make_context: MakeContext,
        version: str,
        permissions: tuple[str, ...],
        end: str,
    ) -> None:
        """A version whose marketing calls end gives a warning where the connector makes them."""
        remote.on(f"/{version}/oauth/access_token", says(bodies.APP_TOKEN_ISSUED))
        headers = {"facebook-api-version": version}
        remote.on(f"/{version}/{APP_ID}", says(bodies.FULL_APPLICATION, headers=headers))
        remote.on(f"/{version}/{MADE_UP_APP}", says(bodies.NO_SUCH_OBJECT, 400))

        context = make_context(graph_version=version, permissions=permissions)
        finding = missing_sections_are_filled(
            replace(context, now=datetime(2026, 11, 28, tzinfo=UTC))
        )

        assert finding.outcome is Outcome.VERIFIED
        expected = (
            f"Marketing API {version} {end} (Marketing API changelog, versions, read in November "
            "2026); set graph_version to a newer one."
        )
        assert finding.warnings == ((expected,) if end else ())


@pytest.mark.usefixtures("token_issued")
class TestRedirectUri:
    """`redirect_uri_is_accepted`."""

    @pytest.fixture
    def answers(self, remote: FakeRemote) -> Callable[..., None]:
        """Script the answers to the dummy code for each address."""

        def tell(
            real: Responder,
            control: Responder,
            path: Responder = BAD_CODE_REFUSED,
            sibling: Responder | None = None,
        ) -> None:
            said = {URI: real, OTHER_HOST: control, SIBLING: sibling or control, OTHER_PATH: path}
            for uri, answer in said.items():
                remote.on(TOKEN_PATH, answer, when=with_redirect(uri))

        return tell

    @pytest.mark.parametrize("refusal", [bodies.REDIRECT_REFUSED, bodies.OLD_REDIRECT_REFUSED])
    def test_a_registered_address_is_verified_as_a_domain(
        self,
        remote: FakeRemote,
        context: CheckContext,
        answers: Callable[..., None],
        refusal: dict[str, Any],
    ) -> None:
        """
        If the controls' hosts are refused, this host is verified, and the path is a limit.
        """
        answers(refuses(bodies.BAD_CODE), refuses(refusal))

        finding = redirect_uri_is_accepted(context)

        assert finding.outcome is Outcome.VERIFIED
        assert f"accepts the host of {URI}" in finding.reason
        assert "Strict Mode" in finding.limits[0]
        assert finding.limits[0].startswith("That this address, with its path, is in the list of")
        for request in remote.requests[1:]:
            assert fields(request)["client_id"] == APP_ID
            assert fields(request)["client_secret"] == APP_SECRET
        asked = [fields(request).get("redirect_uri") for request in remote.requests[1:]]
        assert asked == [URI, OTHER_HOST, SIBLING, OTHER_PATH]
        assert {request.url.host for request in remote.requests} == {"graph.facebook.com"}
        assert shows_no_secret(finding, context)

    @pytest.mark.parametrize("refusal", [bodies.REDIRECT_REFUSED, bodies.OLD_REDIRECT_REFUSED])
    def test_a_refused_path_proves_the_whole_address(
        self, context: CheckContext, answers: Callable[..., None], refusal: dict[str, Any]
    ) -> None:
        """If another path on the host is refused, the whole address is verified without limits."""
        answers(refuses(bodies.BAD_CODE), refuses(bodies.REDIRECT_REFUSED), path=refuses(refusal))

        finding = redirect_uri_is_accepted(context)

        assert finding.outcome is Outcome.VERIFIED
        assert f"accepts {URI}; it refuses another path on that host" in finding.reason
        assert finding.limits == ()

    @pytest.mark.parametrize(
        "path",
        [
            breaks(),
            says("<html>"),
            says(bodies.REDIRECT_REFUSED, 200),
            says(bodies.APP_TOKEN_ISSUED),
            refuses(bodies.APP_LIMIT),
        ],
    )
    def test_the_path_control_only_sets_the_limit(
        self, context: CheckContext, answers: Callable[..., None], path: Responder
    ) -> None:
        """
        Any other answer to the path control leaves the host verified and the path as a limit.
        """
        answers(refuses(bodies.BAD_CODE), refuses(bodies.REDIRECT_REFUSED), path=path)

        finding = redirect_uri_is_accepted(context)

        assert finding.outcome is Outcome.VERIFIED
        assert "only its host is proven" in finding.limits[0]

    @pytest.mark.parametrize(
        ("host", "domain", "made_up"),
        [
            ("acme-h.cyclr.com", "cyclr.com", "HEX.cyclr.com"),
            ("acme-h.eu.cyclr.com", "eu.cyclr.com", "HEX.eu.cyclr.com"),
            ("connect.acme.co.uk", "acme.co.uk", "HEX.acme.co.uk"),
            # Above these is a public suffix, which nobody can enter as an App Domain of theirs.
            ("acme.com", "acme.com", "HEX.acme.com"),
            ("acme.co.uk", "acme.co.uk", "HEX.acme.co.uk"),
            ("acme.github.io", "acme.github.io", "HEX.acme.github.io"),
        ],
    )
    @pytest.mark.parametrize("is_taken", [True, False])
    def test_a_sibling_that_is_accepted_leaves_the_address_to_a_person(
        self,
        remote: FakeRemote,
        make_context: MakeContext,
        host: str,
        domain: str,
        made_up: str,
        is_taken: bool,
    ) -> None:
        """
        Where Facebook takes any host of the domain above, or below where only a public suffix is
        above, nothing is proven, and the reason says where a person looks.
        """
        sibling = f"https://{made_up.replace('HEX', MADE_UP * 8)}/connector/callback"
        accepted = {f"https://{host}/connector/callback"} | ({sibling} if is_taken else set())

        def answer(request: httpx.Request) -> httpx.Response:
            is_known = fields(request)["redirect_uri"] in accepted
            return refuses(bodies.BAD_CODE if is_known else bodies.REDIRECT_REFUSED)(request)

        remote.on(TOKEN_PATH, answer)

        finding = redirect_uri_is_accepted(make_context(service_domain=host))

        assert sibling in [fields(each).get("redirect_uri") for each in remote.requests]
        if not is_taken:
            assert finding.outcome is Outcome.VERIFIED
            return
        assert finding.outcome is Outcome.INCONCLUSIVE
        assert finding.reason.startswith(f"Facebook takes any host of {domain}, so App Domains")
        assert "Look in Facebook Login > Settings whether Valid OAuth Redirect URIs lists it" in (
            finding.reason
        )

    @pytest.mark.parametrize(
        "sibling",
        [
            refuses(bodies.TRANSIENT),
            refuses(bodies.EXPIRED_CODE),
            refuses(bodies.UNKNOWN_FAULT),
            refuses(bodies.APP_LIMIT),
            says(bodies.APP_TOKEN_ISSUED),
            says(bodies.REDIRECT_REFUSED, 200),
            says(bodies.REDIRECT_REFUSED, 500),
            says({}, 400),
        ],
    )
    def test_a_sibling_without_a_clear_refusal_proves_nothing(
        self, context: CheckContext, answers: Callable[..., None], sibling: Responder
    ) -> None:
        """Anything but a refusal of the sibling's address is inconclusive, whatever the rest."""
        refused = refuses(bodies.REDIRECT_REFUSED)
        answers(refuses(bodies.BAD_CODE), refused, refused, sibling=sibling)

        finding = redirect_uri_is_accepted(context)

        assert finding.outcome is Outcome.INCONCLUSIVE
        assert "neither takes nor refuses a made-up host of cyclr.com" in finding.reason
        assert "Facebook Login > Settings" in finding.reason

    @pytest.mark.parametrize(
        "sibling", [breaks(), says("<html>"), says(bodies.REDIRECT_REFUSED, 429)]
    )
    def test_a_sibling_without_an_answer_is_raised(
        self, context: CheckContext, answers: Callable[..., None], sibling: Responder
    ) -> None:
        """No connection, no JSON and a limit raise `RemoteError`, which is inconclusive."""
        refused = refuses(bodies.REDIRECT_REFUSED)
        answers(refuses(bodies.BAD_CODE), refused, refused, sibling=sibling)

        with pytest.raises(RemoteError):
            redirect_uri_is_accepted(context)

    @pytest.mark.parametrize("refusal", [bodies.REDIRECT_REFUSED, bodies.OLD_REDIRECT_REFUSED])
    def test_an_unregistered_address_fails(
        self,
        remote: FakeRemote,
        context: CheckContext,
        answers: Callable[..., None],
        refusal: dict[str, Any],
    ) -> None:
        """If Facebook refuses the address, the step fails and the reason says where to enter it."""
        answers(refuses(refusal), refuses(refusal))

        finding = redirect_uri_is_accepted(context)

        assert finding.outcome is Outcome.FAILED
        assert f"does not accept {URI}" in finding.reason
        assert "Save Changes" in finding.reason
        assert len(remote.requests) == 2

    @pytest.mark.parametrize(
        "control",
        [
            (refuses(bodies.BAD_CODE), "Invalid verification code format."),
            (says(bodies.APP_TOKEN_ISSUED), "a token was issued"),
            (refuses(bodies.TRANSIENT), "Service temporarily unavailable"),
            (says(bodies.REDIRECT_REFUSED, 200), "Can't Load URL"),
        ],
    )
    def test_an_accepted_control_proves_nothing(
        self, context: CheckContext, answers: Callable[..., None], control: tuple[Responder, str]
    ) -> None:
        """
        If the control is not refused, the result is inconclusive, and the reason quotes the answer.
        """
        refused = refuses(bodies.REDIRECT_REFUSED)
        answers(refuses(bodies.BAD_CODE), control[0], sibling=refused, path=refused)

        finding = redirect_uri_is_accepted(context)

        assert finding.outcome is Outcome.INCONCLUSIVE
        assert "proves nothing" in finding.reason
        assert control[1] in finding.reason

    @pytest.mark.parametrize(
        "real",
        [
            refuses(bodies.UNKNOWN_FAULT),
            refuses(bodies.EXPIRED_CODE),
            refuses(bodies.BAD_SECRET),
            says(bodies.APP_TOKEN_ISSUED),
            says(bodies.BAD_CODE, 200),
            says(bodies.REDIRECT_REFUSED, 500),
            refuses(bodies.graph_error("Invalid verification code format.", 191_000)),
        ],
    )
    def test_any_other_answer_is_inconclusive(
        self, context: CheckContext, answers: Callable[..., None], real: Responder
    ) -> None:
        """Only an error about the code shows that the address is accepted."""
        answers(real, refuses(bodies.REDIRECT_REFUSED))

        finding = redirect_uri_is_accepted(context)

        assert finding.outcome is Outcome.INCONCLUSIVE
        assert "something else" in finding.reason

    def test_a_desktop_app_is_named(
        self, context: CheckContext, answers: Callable[..., None]
    ) -> None:
        """An app that takes no secret refuses every code: the reason says which switch it is."""
        answers(refuses(bodies.DESKTOP_APP), refuses(bodies.REDIRECT_REFUSED))

        finding = redirect_uri_is_accepted(context)

        assert finding.outcome is Outcome.INCONCLUSIVE
        assert "configured as a desktop app, code 1" in finding.reason
        assert "Switch Native or desktop app? off" in finding.reason

    def test_no_answer_is_raised(self, context: CheckContext, answers: Callable[..., None]) -> None:
        """A broken connection raises `UnreachableError`."""
        answers(breaks(), refuses(bodies.REDIRECT_REFUSED))

        with pytest.raises(UnreachableError):
            redirect_uri_is_accepted(context)


@pytest.mark.usefixtures("token_issued")
class TestSharedNode:
    """`app_node`."""

    def test_it_is_asked_for_once(self, remote: FakeRemote, context: CheckContext) -> None:
        """Checks of several steps share the node and its control, and name both."""
        remote.on(NODE, says(NAMED))
        other = replace(context, session=context.session.branch())

        app_is_registered(context)
        missing_sections_are_filled(other)

        assert remote.paths == [TOKEN_PATH, NODE, f"/v26.0/{MADE_UP_APP}"]
        assert context.session.seen()[:3] == other.session.seen()
        assert len(other.session.seen()) == 3

    @pytest.mark.parametrize(
        "control",
        [
            says({"id": MADE_UP_APP}),
            says(NAMED),
            says({}),
            says(graph_error("An unknown error has occurred.", 1), 500),
            says(bodies.TRANSIENT, 503),
            says("<html>", 400),
            says({"error": {"message": "Unsupported get request.", "code": 100}}),
            breaks(),
        ],
        ids=["itself", "this app", "nothing", "fault", "transient", "page", "200", "gone"],
    )
    def test_without_a_refused_control_nothing_is_proven(
        self, make_context: MakeContext, control: Responder
    ) -> None:
        """Unless Facebook itself refuses a made-up App ID, what it says of this one is no proof."""
        remote = FakeRemote()
        remote.on(TOKEN_PATH, says(bodies.APP_TOKEN_ISSUED))
        remote.on(NODE, says(NAMED))
        remote.on(f"/v26.0/{MADE_UP_APP}", control)

        with pytest.raises(RemoteError):
            app_is_registered(make_context(session=session_to(remote)))

    def test_a_field_that_graph_refuses_concerns_its_check_alone(
        self, remote: FakeRemote, context: CheckContext
    ) -> None:
        """The node is asked once more without that field; the check that needs it says so."""
        message = "(#100) Tried accessing nonexisting field (roles) on node type (Application)"
        remote.on(NODE, says(graph_error(message, 100), 400), when=asks_for("roles"))
        remote.on(NODE, says(NAMED))
        other = replace(context, session=context.session.branch())

        assert app_is_registered(context).outcome is Outcome.VERIFIED
        with pytest.raises(GraphAPIError, match=r"field \(roles\)"):
            app_node(other, "roles")

        assert len([path for path in remote.paths if path == NODE]) == 2

    def test_another_refusal_leaves_what_the_check_needs(
        self, remote: FakeRemote, context: CheckContext
    ) -> None:
        """Where Graph does not say which field it refuses, only those that are needed are asked."""
        refused = graph_error("(#10) Application does not have permission for this action", 10)
        remote.on(NODE, says(refused, 403), when=asks_for("roles"))
        remote.on(NODE, says({"id": APP_ID, "name": "Acme"}))

        assert app_node(context, "name")[0].text("name") == "Acme"
        assert fields(remote.requests[-2])["fields"] == "id,name"


def asks_for(field: str) -> Callable[..., bool]:
    """Return a condition: this field of the node is asked for."""
    return lambda **given: field in given["fields"]
