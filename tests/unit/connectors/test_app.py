"""The checks of the app: which answers verify, fail or decide nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from runbook_lib.connectors.context import CheckContext
from runbook_lib.connectors.facebook.app import (
    app_credentials_are_accepted,
    app_is_registered,
    app_name_matches,
    missing_sections_are_filled,
    redirect_uri_is_accepted,
)
from runbook_lib.connectors.facebook.graph_clients import app_node, app_token
from runbook_lib.connectors.facebook.graph_errors import (
    PAIR_REFUSED,
    GraphAPIError,
    RefusedAppError,
)
from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from runbook_lib.core.model import Finding, Outcome
from runbook_lib.errors import (
    MissingFieldError,
    OAuthError,
    RemoteError,
    RunbookError,
    UnexpectedResponseError,
    UnreachableError,
)
from runbook_lib.run.advice import what_to_do
from tests.support.run_states import step_state
from tests.support.wording import wording
from tests.unit import bodies
from tests.unit.bodies import APP_ID, APP_SECRET, graph_error
from tests.unit.connectors.conftest import (
    MADE_UP,
    MADE_UP_APP,
    MakeContext,
    RunCheck,
    session_to,
    shows_no_secret,
)
from tests.unit.fake_remote import FakeRemote, Responder, fails_with, fields, responds

VERIFIED = Outcome.VERIFIED
FAILED = Outcome.FAILED
INCONCLUSIVE = Outcome.INCONCLUSIVE
(CREDENTIALS,) = (each for each in PROCEDURE.steps if each.id == "fb-13-app-id-and-secret")
TOKEN_PATH = "/v26.0/oauth/access_token"
NODE = f"/v26.0/{APP_ID}"
NAMED = {**bodies.FULL_APPLICATION, "name": "Acme"}
URI = "https://acme-h.cyclr.com/connector/callback"
OTHER_HOST = f"https://{MADE_UP * 8}.example.com/connector/callback"
SIBLING = f"https://{MADE_UP * 8}.cyclr.com/connector/callback"
OTHER_PATH = f"https://acme-h.cyclr.com/{MADE_UP * 8}"
ISSUED = responds(bodies.APP_TOKEN_ISSUED)
NOT_JSON = responds("<html>")


def refuses(body: dict[str, Any]) -> Responder:
    return responds(body, 400)


BAD_CODE = refuses(bodies.BAD_CODE)
BAD_SECRET = refuses(bodies.BAD_SECRET)
REFUSED = refuses(bodies.REDIRECT_REFUSED)
# Facebook's refusal of an address that is not registered.
refusals = pytest.mark.parametrize(
    "refusal", [refuses(each) for each in (bodies.REDIRECT_REFUSED, bodies.OLD_REDIRECT_REFUSED)]
)


@pytest.fixture
def token_issued(remote: FakeRemote) -> None:
    """Let Facebook issue an app token."""
    remote.on(
        TOKEN_PATH, ISSUED, when=lambda grant_type="", **_: grant_type == "client_credentials"
    )


def with_redirect(uri: str) -> Callable[..., bool]:
    """Return a condition: the request has this redirect URI."""
    return lambda redirect_uri="", **_: redirect_uri == uri


def with_secret(secret: str) -> Callable[..., bool]:
    """Return a condition: the request has this App Secret."""
    return lambda client_secret="", **_: client_secret == secret


def asks_for(field: str) -> Callable[..., bool]:
    """Return a condition: this field of the node is asked for."""
    return lambda **given: field in given["fields"]


def answers_secrets(remote: FakeRemote, real: Responder, control: Responder) -> None:
    """Script the answers to the App Secret and to a made-up one."""
    remote.on(TOKEN_PATH, real, when=with_secret(APP_SECRET))
    remote.on(TOKEN_PATH, control, when=with_secret(MADE_UP * 16))


def test_an_issued_token_verifies_the_credentials(
    remote: FakeRemote, context: CheckContext
) -> None:
    """A token for this app verifies the pair if a made-up secret is refused; it is reused."""
    answers_secrets(remote, ISSUED, BAD_SECRET)
    finding = app_credentials_are_accepted(context)
    assert finding.outcome is VERIFIED
    assert wording("findings.token-issued", app_id=APP_ID) in finding.reason
    assert len(remote.requests) == 2
    assert app_token(context).reveal() == bodies.APP_TOKEN
    assert len(remote.requests) == 2
    assert finding.accepts == ("app_id", "app_secret")
    assert shows_no_secret(finding, context)


@pytest.mark.parametrize(
    ("real", "control", "end", "words"),
    [
        # If a made-up secret is not refused as wrong, nothing is proven.
        *(
            (ISSUED, control, INCONCLUSIVE, [said, wording("findings.made-up-secret-not-refused")])
            for control, said in (
                (ISSUED, wording("findings.made-up-secret-not-refused-issued-token")),
                (refuses(bodies.UNKNOWN_APP), "Cannot get application info"),
                (responds(bodies.BAD_SECRET, 500), "Error validating client secret."),
                (refuses({}), "answered 400"),
            )
        ),
        # Code 101 does not discriminate, whatever its words are.
        *(
            (refuses(body), refuses(body), INCONCLUSIVE, [PAIR_REFUSED])
            for body in (bodies.MALFORMED_ID, bodies.MISSING_ID)
        ),
        # A refused secret or a deactivated app with a status other than 4xx decides nothing.
        *(
            (responds(body, status), BAD_SECRET, INCONCLUSIVE, [])
            for body in (bodies.BAD_SECRET, bodies.DEACTIVATED)
            for status in (200, 500, 503)
        ),
        # A deactivated app fails: nobody can sign in, whatever the credentials are.
        (
            refuses(bodies.DEACTIVATED),
            BAD_SECRET,
            FAILED,
            [f"^{wording('findings.app-deactivated-briefly')}"],
        ),
        # A temporary fault is not a refusal, even if the made-up secret is refused.
        *(
            (refuses(fault), BAD_SECRET, INCONCLUSIVE, [])
            for fault in (bodies.TRANSIENT, bodies.UNKNOWN_FAULT, bodies.APP_LIMIT)
        ),
        (refuses(bodies.UNKNOWN_APP), BAD_SECRET, INCONCLUSIVE, []),
        # A broken connection and an answer that is not JSON are raised: the run is inconclusive.
        (fails_with(), fails_with(), UnreachableError, []),
        (NOT_JSON, NOT_JSON, UnexpectedResponseError, []),
    ],
)
def test_other_answers_do_not_verify_the_credentials(
    remote: FakeRemote,
    run_check: RunCheck,
    real: Responder,
    control: Responder,
    end: Any,
    words: list[str],
) -> None:
    """Only a token for the App Secret and a refusal of a made-up one verify."""
    answers_secrets(remote, real, control)
    run_check(app_credentials_are_accepted, end, *words)


@pytest.mark.parametrize(
    ("body", "status", "is_refused"),
    [
        (bodies.UNKNOWN_APP, 400, True),
        (bodies.BAD_SECRET, 500, False),
        (bodies.UNKNOWN_APP, 503, False),
        ({"error": {"message": "An unknown error has occurred.", "code": 1}}, 400, False),
        ({"error": {"message": "Calls to this API have exceeded …", "code": 4}}, 400, False),
        ({}, 400, False),
    ],
)
def test_only_facebooks_own_refusal_refuses_the_app_id(
    run_check: RunCheck, body: dict[str, Any], status: int, is_refused: bool
) -> None:
    """An unknown App ID, or one whose secret is another, is refused; a fault refuses none."""
    error = run_check(app_is_registered, RunbookError, answers={TOKEN_PATH: responds(body, status)})
    assert error.refuses == (("app_id",) if is_refused else ())
    assert isinstance(error, RefusedAppError) is is_refused


@pytest.mark.parametrize(
    "token",
    [
        "opaque",
        f"{'9' * 16}|tail",
        f"{APP_ID}|",
        f"x{APP_ID}|y",
        f"{'9' * 16}|A6BCDEFiGASDFdB1_Zviht7lzxc",
        bodies.USER_TOKEN,
    ],
)
def test_a_token_that_does_not_name_the_app_proves_nothing(
    remote: FakeRemote, context: CheckContext, token: str
) -> None:
    """A token that does not begin with the App ID is refused, not shown and not kept."""
    remote.on(TOKEN_PATH, responds({"access_token": token}))
    said = f"does not name app {APP_ID}|without a token"
    with pytest.raises(UnexpectedResponseError, match=said) as caught:
        app_credentials_are_accepted(context)
    assert token not in str(caught.value)
    with pytest.raises(UnexpectedResponseError):
        app_token(context)


@pytest.mark.parametrize("check", [app_credentials_are_accepted, app_is_registered])
def test_a_wrong_secret_fails(
    remote: FakeRemote, run_check: RunCheck, check: Callable[[CheckContext], Finding]
) -> None:
    """If Facebook refuses the secret, the step fails in plain words; Facebook's own are quoted."""
    finding = run_check(check, FAILED, f"^{PAIR_REFUSED}$", answers={TOKEN_PATH: BAD_SECRET})
    assert finding.code == "app-secret-refused"
    assert finding.refuses == ("app_id",)
    assert finding.quotes == ("Error validating client secret. (code 1)",)
    assert len(remote.requests) == 1


@pytest.mark.parametrize("body", [bodies.UNKNOWN_APP, bodies.UNKNOWN_FAULT, bodies.APP_LIMIT])
def test_one_answer_to_every_secret_proves_nothing(
    remote: FakeRemote, run_check: RunCheck, body: dict[str, Any]
) -> None:
    """If a made-up secret gets the same error, such as code 101, the result is inconclusive."""
    remote.on(TOKEN_PATH, refuses(body))
    is_about_app = body is bodies.UNKNOWN_APP
    said = PAIR_REFUSED if is_about_app else wording("findings.refusal-unknown")
    finding = run_check(app_credentials_are_accepted, INCONCLUSIVE, said)
    assert bool(finding.limits) is is_about_app
    secrets = [fields(request)["client_secret"] for request in remote.requests]
    assert secrets[0] == APP_SECRET
    assert len(set(secrets)) == 2
    assert len(secrets[1]) == 32


def test_a_mistyped_app_id_is_to_be_corrected(remote: FakeRemote, context: CheckContext) -> None:
    """For an App ID that Facebook does not know, reason and advice say to compare it."""
    remote.on(TOKEN_PATH, refuses(bodies.UNKNOWN_APP))
    finding = app_credentials_are_accepted(context)
    with pytest.raises(OAuthError) as caught:
        app_token(context)
    broken_off = Finding(
        outcome=INCONCLUSIVE, code="a-code", reason=str(caught.value), quotes=caught.value.quotes
    )
    for found in (finding, broken_off):
        state = step_state(CREDENTIALS, INCONCLUSIVE, reason=found.reason, findings=(found,))
        advice = what_to_do(state, CREDENTIALS)
        assert found.reason.startswith(PAIR_REFUSED)
        assert found.quotes[0].endswith(
            "Cannot get application info due to a system error. (code 101)"
        )
        assert advice.startswith(wording("findings.compare-app-id"))
        assert "confirm" not in advice


@pytest.fixture
def reads(token_issued: None, run_check: RunCheck) -> RunCheck:
    """Return a function that runs a check of the app's node, with the answer for it."""

    def run(
        check: Callable[[CheckContext], Finding],
        node: Responder,
        end: Any,
        *words: str,
        **more: Any,
    ) -> Any:
        return run_check(check, end, *words, answers={NODE: node}, **more)

    return run


def test_an_app_that_can_be_read_is_registered(reads: RunCheck) -> None:
    """An app whose node can be read is verified; the limits say what this does not prove."""
    finding = reads(app_is_registered, responds(bodies.APPLICATION), VERIFIED, "Acme Lead Sync")
    assert finding.accepts == ("app_id",)
    assert finding.facts == {"app_name": "Acme Lead Sync"}
    assert wording("findings.password-not-proven") in finding.limits[0]


def test_the_right_name_is_verified(reads: RunCheck) -> None:
    """The app's name must be the given one; the limits say what this does not prove."""
    finding = reads(app_name_matches, responds(bodies.APPLICATION), VERIFIED, "'Acme Lead Sync'")
    assert finding.accepts == ("app_id", "app_display_name")
    assert "App Purpose" in finding.limits[0]


@pytest.mark.parametrize("name", ["Acme lead sync", "Acme Lead Sync "])
def test_another_name_fails(reads: RunCheck, name: str) -> None:
    """A name that differs in one character fails; the reason shows both names."""
    node = responds({**bodies.APPLICATION, "name": name})
    said = f"called {name!r}, not 'Acme Lead Sync'"
    assert reads(app_name_matches, node, FAILED, said).accepts == ("app_id",)


UNNAMED = {name: value for name, value in bodies.APPLICATION.items() if name != "name"}


@pytest.mark.parametrize("check", [app_is_registered, app_name_matches])
@pytest.mark.parametrize(
    ("node", "error", "said"),
    [
        # An answer without a name decides nothing.
        (responds(UNNAMED), MissingFieldError, wording("findings.field-left-out")),
        *(
            (responds({**UNNAMED, "name": name}), UnexpectedResponseError, "name is")
            for name in ("", 7, ["Acme Lead Sync"])
        ),
        # The answer's id must be the App ID.
        *(
            (
                responds({**bodies.APPLICATION, "id": identifier}),
                UnexpectedResponseError,
                wording("findings.unexpected-response", shown=shown, app_id=APP_ID),
            )
            for identifier, shown in (
                ("9" * 16, f"'{'9' * 16}'"),
                (int(f"{APP_ID}0"), f"{APP_ID}0"),
                (None, "null"),
                ("", "''"),
            )
        ),
        # A Graph error is raised, so that the run records it as inconclusive.
        (refuses(bodies.EXPIRED_TOKEN), GraphAPIError, ""),
    ],
)
def test_a_node_that_is_not_the_apps_decides_nothing(
    reads: RunCheck, check: Any, node: Responder, error: type[Exception], said: str
) -> None:
    """A node without a name, or of another app, is raised, as is Graph's error."""
    reads(check, node, error, said)


@pytest.mark.parametrize(
    "check",
    [app_name_matches, missing_sections_are_filled, redirect_uri_is_accepted],
)
def test_without_an_app_token_nothing_is_decided(
    remote: FakeRemote, run_check: RunCheck, check: Callable[[CheckContext], Finding]
) -> None:
    """Without an app token, the checks that need one raise `OAuthError` and ask nothing else."""
    error = run_check(check, OAuthError, f"^{PAIR_REFUSED}$", answers={TOKEN_PATH: BAD_SECRET})
    assert error.quotes == ("Error validating client secret. (code 1)",)
    assert len(remote.requests) == 1


DEACTIVATED = "API access deactivated. To reactivate, go to the app dashboard."


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        # Facebook has deactivated the app.
        (
            refuses({"error": {"message": DEACTIVATED, "type": "OAuthException", "code": 200}}),
            ["API access deactivated", "complete the required actions in the dashboard"],
        ),
        # A server error.
        (responds(bodies.BAD_SECRET, 503), [wording("findings.oauth-refused")]),
    ],
)
def test_other_refusals_do_not_contradict_the_app_secret(
    run_check: RunCheck, answer: Responder, words: list[str]
) -> None:
    """Neither gives a reason to correct the App ID or App Secret."""
    error = run_check(app_token, OAuthError, *words, answers={TOKEN_PATH: answer})
    assert "Correct" not in str(error)


def test_filled_sections_are_verified(remote: FakeRemote, reads: RunCheck) -> None:
    """All fields that the API shows must be filled; the limits name what it does not show."""
    node = responds(bodies.FULL_APPLICATION)
    finding = reads(missing_sections_are_filled, node, VERIFIED, "Privacy Policy URL")
    assert finding.warnings == ()
    assert "data deletion" in finding.limits[0]
    asked = fields(remote.requests[-2])["fields"].split(",")
    assert set(bodies.FULL_APPLICATION) <= set(asked)


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
    reads: RunCheck, field: str, label: str, is_absent: bool
) -> None:
    """A missing field is named and is inconclusive, because Facebook may hide it."""
    node = {**bodies.FULL_APPLICATION, field: ""}
    if is_absent:
        del node[field]
    said = wording("findings.app-sections-not-shown", label=label)
    reads(missing_sections_are_filled, responds(node), INCONCLUSIVE, said)


@pytest.mark.parametrize(
    ("domains", "service_domain", "warned"),
    [
        (["cyclr.com"], "acme-h.cyclr.com", False),
        (["acme-h.cyclr.com"], "acme-h.cyclr.com", False),
        (["ACME-H.CYCLR.COM", "x.example"], "acme-h.cyclr.com", False),
        (["other-h.cyclr.com"], "acme-h.cyclr.com", True),
        (["yclr.com"], "acme-h.cyclr.com", True),
        ([], "acme-h.cyclr.com", True),
        (None, "acme-h.cyclr.com", True),
        # Without a Service Domain nothing is compared.
        ([], "", False),
    ],
)
def test_app_domains_are_compared_with_the_service_domain(
    reads: RunCheck, domains: list[str] | None, service_domain: str, warned: bool
) -> None:
    """A warning is given unless the Service Domain or a parent domain is listed."""
    node = responds({**bodies.FULL_APPLICATION, "app_domains": domains})
    finding = reads(missing_sections_are_filled, node, VERIFIED, service_domain=service_domain)
    lacks = ["does not list acme-h.cyclr.com" in text for text in finding.warnings]
    assert lacks == ([True] if warned else [])


def test_an_upgraded_version_gives_a_warning(reads: RunCheck) -> None:
    """If the headers show that Facebook used another API version, a warning is given."""
    warning = "The call has been auto-upgraded to v27.0 as v26.0 will be deprecated."
    headers = {"facebook-api-version": "v27.0", "x-ad-api-version-warning": warning}
    node = responds(bodies.FULL_APPLICATION, headers=headers)
    warnings = reads(missing_sections_are_filled, node, VERIFIED).warnings
    assert warnings[0] == warning
    assert wording("findings.answered-in-version", served="v27.0", asked="v26.0") in warnings[1]


@pytest.fixture
def of_version(run_check: RunCheck) -> Callable[..., Finding]:
    """Return the check of the sections with this version of the Graph API."""

    def run(version: str, **changes: Any) -> Any:
        node = responds(bodies.FULL_APPLICATION, headers={"facebook-api-version": version})
        answers = {
            f"/{version}/oauth/access_token": ISSUED,
            f"/{version}/{APP_ID}": node,
            f"/{version}/{MADE_UP_APP}": refuses(bodies.NO_SUCH_OBJECT),
        }
        changes["graph_version"] = version
        return run_check(missing_sections_are_filled, VERIFIED, answers=answers, **changes)

    return run


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
    of_version: Callable[..., Finding], version: str, facts: dict[str, str]
) -> None:
    """Both calendars' ends, where they are announced: they are due items."""
    assert of_version(version, permissions=("ads_read",)).facts == facts


GRAPH = "(Graph API changelog, read in November 2026)"
MARKETING = "(Marketing API changelog, versions, read in November 2026)"


@pytest.mark.parametrize(
    ("version", "permission", "ends"),
    [
        # An API version that ends within ninety days gives a warning.
        ("v21.0", "pages_messaging", f"Graph v21.0 is served until 2027-01-21 {GRAPH}"),
        ("v22.0", "pages_messaging", ""),
        ("v99.0", "pages_messaging", ""),
        # Marketing calls have a calendar of their own, where the connector makes them.
        ("v25.0", "ads_read", f"Marketing API v25.0 is served until 2027-02-23 {MARKETING}"),
        ("v25.0", "leads_retrieval", f"Marketing API v25.0 is served until 2027-02-23 {MARKETING}"),
        ("v24.0", "ads_management", f"Marketing API v24.0 was served until 2026-11-10 {MARKETING}"),
        ("v25.0", "pages_messaging", ""),
        ("v26.0", "ads_read", ""),
    ],
)
def test_a_version_that_ends_soon_gives_a_warning(
    of_version: Callable[..., Finding], version: str, permission: str, ends: str
) -> None:
    """A version that has ended, or ends soon, in a calendar of its calls gives a warning."""
    now = datetime(2026, 11, 28, tzinfo=UTC)
    finding = of_version(version, permissions=(permission,), now=now)
    assert finding.warnings == ((wording("findings.newer-version", ends=ends),) if ends else ())


@pytest.fixture
def redeems(token_issued: None, remote: FakeRemote, run_check: RunCheck) -> RunCheck:
    """Return the check of the redirect URI, with the answers to the dummy code by address."""

    def run(
        real: Responder,
        control: Responder,
        end: Any,
        *words: str,
        path: Responder = BAD_CODE,
        sibling: Responder | None = None,
    ) -> Any:
        said = {URI: real, OTHER_HOST: control, SIBLING: sibling or control, OTHER_PATH: path}
        for uri, answer in said.items():
            remote.on(TOKEN_PATH, answer, when=with_redirect(uri))
        return run_check(redirect_uri_is_accepted, end, *words)

    return run


@refusals
def test_a_registered_address_is_verified_as_a_domain(
    remote: FakeRemote, redeems: RunCheck, refusal: Responder
) -> None:
    """If the controls' hosts are refused, this host is verified, and the path is a limit."""
    finding = redeems(
        BAD_CODE, refusal, VERIFIED, wording("findings.redirect-uri-host-accepted", uri=URI)
    )
    assert "Strict Mode" in finding.limits[0]
    assert finding.limits[0].startswith(wording("findings.address-in-the-list"))
    for request in remote.requests[1:]:
        assert fields(request)["client_id"] == APP_ID
        assert fields(request)["client_secret"] == APP_SECRET
    asked = [fields(request).get("redirect_uri") for request in remote.requests[1:]]
    assert asked == [URI, OTHER_HOST, SIBLING, OTHER_PATH]
    assert {request.url.host for request in remote.requests} == {"graph.facebook.com"}


@refusals
def test_a_refused_path_proves_the_whole_address(redeems: RunCheck, refusal: Responder) -> None:
    """If another path on the host is refused, the whole address is verified without limits."""
    said = wording("findings.redirect-uri-accepted", uri=URI)
    assert redeems(BAD_CODE, REFUSED, VERIFIED, said, path=refusal).limits == ()


@pytest.mark.parametrize(
    "path",
    [fails_with(), NOT_JSON, responds(bodies.REDIRECT_REFUSED), ISSUED, refuses(bodies.APP_LIMIT)],
)
def test_the_path_control_only_sets_the_limit(redeems: RunCheck, path: Responder) -> None:
    """Any other answer to the path control leaves the host verified and the path as a limit."""
    finding = redeems(BAD_CODE, REFUSED, VERIFIED, path=path)
    assert wording("findings.only-host-proven") in finding.limits[0]


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
    remote: FakeRemote,
    token_issued: None,
    run_check: RunCheck,
    host: str,
    domain: str,
    made_up: str,
    is_taken: bool,
) -> None:
    """If Facebook takes any host of that domain, nothing is proven, and a person must look."""
    sibling = f"https://{made_up.replace('HEX', MADE_UP * 8)}/connector/callback"
    accepted = {f"https://{host}/connector/callback"} | ({sibling} if is_taken else set())

    def answer(request: httpx.Request) -> httpx.Response:
        is_known = fields(request)["redirect_uri"] in accepted
        return (BAD_CODE if is_known else REFUSED)(request)

    remote.on(TOKEN_PATH, answer)
    end = VERIFIED
    words = ()
    if is_taken:
        look = "Check that Valid OAuth Redirect URIs in Facebook Login > Settings lists it"
        end = INCONCLUSIVE
        words = (f"^{wording('findings.any-host-of-domain-accepted', domain=domain)}", look)
    run_check(redirect_uri_is_accepted, end, *words, service_domain=host)
    assert sibling in [fields(each).get("redirect_uri") for each in remote.requests]


UNCLEAR = wording("findings.any-host-of-domain-accepted-or-not", host="cyclr.com")


@pytest.mark.parametrize(
    ("said", "end", "words"),
    [
        # A made-up code that belongs to another address was looked at after the address.
        (
            {"real": refuses(bodies.OTHER_REDIRECT)},
            VERIFIED,
            [wording("findings.redirect-uri-host-accepted-briefly")],
        ),
        # Only text could tell, and it is in another language.
        (
            {"real": refuses(bodies.BAD_CODE_IN_PORTUGUESE)},
            INCONCLUSIVE,
            [
                wording("findings.refusal-unknown-response"),
                wording("findings.another-language"),
            ],
        ),
        # The code decides, whatever the language is.
        (
            {"real": refuses(bodies.REDIRECT_REFUSED_IN_HINDI)},
            FAILED,
            [wording("findings.redirect-uri-refused")],
        ),
        # Anything but a refusal of the sibling's address is inconclusive, whatever the rest.
        *(
            (
                {"sibling": sibling, "path": REFUSED},
                INCONCLUSIVE,
                [UNCLEAR, "Facebook Login > Settings"],
            )
            for sibling in (
                refuses(bodies.TRANSIENT),
                refuses(bodies.EXPIRED_CODE),
                refuses(bodies.UNKNOWN_FAULT),
                refuses(bodies.APP_LIMIT),
                ISSUED,
                responds(bodies.REDIRECT_REFUSED),
                responds(bodies.REDIRECT_REFUSED, 500),
                refuses({}),
            )
        ),
        # No connection, no JSON and a limit are raised, which is inconclusive.
        *(
            ({"sibling": sibling, "path": REFUSED}, RemoteError, [])
            for sibling in (fails_with(), NOT_JSON, responds(bodies.REDIRECT_REFUSED, 429))
        ),
        # If the control is not refused, nothing is proven, and the reason quotes the answer.
        *(
            (
                {"control": control, "sibling": REFUSED, "path": REFUSED},
                INCONCLUSIVE,
                ["proves nothing", quoted],
            )
            for control, quoted in (
                (BAD_CODE, "Invalid verification code format."),
                (ISSUED, wording("findings.unregistered-host-not-refused")),
                (refuses(bodies.TRANSIENT), "Service temporarily unavailable"),
                (responds(bodies.REDIRECT_REFUSED), "Can't Load URL"),
            )
        ),
        # Only an error about the code shows that the address is accepted.
        *(
            ({"real": real}, INCONCLUSIVE, [wording("findings.refusal-unknown-response")])
            for real in (
                refuses(bodies.UNKNOWN_FAULT),
                refuses(bodies.EXPIRED_CODE),
                BAD_SECRET,
                ISSUED,
                responds(bodies.BAD_CODE),
                responds(bodies.REDIRECT_REFUSED, 500),
                refuses(graph_error("Invalid verification code format.", 191_000)),
            )
        ),
        # An app that takes no secret refuses every code: the reason says which switch it is.
        (
            {"real": refuses(bodies.DESKTOP_APP)},
            INCONCLUSIVE,
            [wording("findings.desktop-app"), wording("findings.desktop-app-switch-native")],
        ),
        # A broken connection is raised.
        ({"real": fails_with()}, UnreachableError, []),
    ],
)
def test_without_clear_answers_no_address_is_verified(
    redeems: RunCheck, said: dict[str, Responder], end: Any, words: list[str]
) -> None:
    """The code must be refused for this address, and the address for the other hosts."""
    answers = {"real": BAD_CODE, "control": REFUSED, **said}
    redeems(answers.pop("real"), answers.pop("control"), end, *words, **answers)


@refusals
def test_an_unregistered_address_fails(
    remote: FakeRemote, redeems: RunCheck, refusal: Responder
) -> None:
    """The step fails; the advice names App Domains if Facebook's error is about them."""
    words = ("does not accept", URI, "Valid OAuth Redirect URIs", "Save Changes")
    finding = redeems(refusal, refusal, FAILED, *words)
    is_about_domains = "app's domains" in finding.reason
    assert ("under App Domains in Settings" in finding.reason) is is_about_domains
    assert len(remote.requests) == 2


@pytest.mark.usefixtures("token_issued")
def test_the_node_is_asked_for_once(remote: FakeRemote, context: CheckContext) -> None:
    """Checks of several steps share the node and its control, and name both."""
    remote.on(NODE, responds(NAMED))
    other = replace(context, session=context.session.branch())
    app_is_registered(context)
    missing_sections_are_filled(other)
    assert remote.paths == [TOKEN_PATH, NODE, f"/v26.0/{MADE_UP_APP}"]
    assert context.session.recorded_exchanges()[:3] == other.session.recorded_exchanges()
    assert len(other.session.recorded_exchanges()) == 3


@pytest.mark.parametrize(
    "control",
    [
        responds({"id": MADE_UP_APP}),
        responds(NAMED),
        responds({}),
        responds(graph_error("An unknown error has occurred.", 1), 500),
        responds(bodies.TRANSIENT, 503),
        responds("<html>", 400),
        responds({"error": {"message": "Unsupported get request.", "code": 100}}),
        fails_with(),
    ],
    ids=["itself", "this app", "nothing", "fault", "transient", "page", "200", "gone"],
)
def test_without_a_refused_control_nothing_is_proven(
    make_context: MakeContext, control: Responder
) -> None:
    """Unless Facebook itself refuses a made-up App ID, what it says of this one is no proof."""
    remote = FakeRemote()
    remote.on(TOKEN_PATH, ISSUED)
    remote.on(NODE, responds(NAMED))
    remote.on(f"/v26.0/{MADE_UP_APP}", control)
    with pytest.raises(RemoteError):
        app_is_registered(make_context(session=session_to(remote)))


@pytest.mark.usefixtures("token_issued")
def test_a_field_that_graph_refuses_concerns_its_check_alone(
    remote: FakeRemote, context: CheckContext
) -> None:
    """The node is asked once more without that field; the check that needs it says so."""
    message = "(#100) Tried accessing nonexisting field (roles) on node type (Application)"
    remote.on(NODE, refuses(graph_error(message, 100)), when=asks_for("roles"))
    remote.on(NODE, responds(NAMED))
    other = replace(context, session=context.session.branch())
    assert app_is_registered(context).outcome is VERIFIED
    with pytest.raises(GraphAPIError, match=r"field \(roles\)"):
        app_node(other, "roles")
    assert len([path for path in remote.paths if path == NODE]) == 2


@pytest.mark.usefixtures("token_issued")
def test_another_refusal_leaves_what_the_check_needs(
    remote: FakeRemote, context: CheckContext
) -> None:
    """If Graph does not name the refused field, the check requests only the needed ones."""
    refused = graph_error("(#10) Application does not have permission for this action", 10)
    remote.on(NODE, responds(refused, 403), when=asks_for("roles"))
    remote.on(NODE, responds({"id": APP_ID, "name": "Acme"}))
    assert app_node(context, "name")[0].text("name") == "Acme"
    assert fields(remote.requests[-2])["fields"] == "id,name"
