"""A connector of a vendor that keeps to RFC 6749 needs its own data only, also in practice."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from facebook_cyclr_sandbox import SCENARIOS, vendors
from facebook_cyclr_sandbox.cyclr.cyclr_json import json_response
from facebook_cyclr_sandbox.http.site import Site as SandboxSite
from facebook_cyclr_sandbox.http.web_messages import WebRequest, WebResponse
from facebook_cyclr_sandbox.scenarios import build_state
from facebook_cyclr_sandbox.state.cyclr_state import AccountConnector, LibraryConnector
from facebook_cyclr_sandbox.state.sandbox_state import SandboxState
from facebook_cyclr_sandbox.vendor import SandboxVendor
from runbook_lib.config import formats
from runbook_lib.connectors.check_registry import check
from runbook_lib.connectors.context import CheckContext
from runbook_lib.connectors.cyclr import cyclr_steps as cyclr
from runbook_lib.connectors.cyclr import inputs as cyclr_inputs
from runbook_lib.connectors.cyclr.service_domain import redirect_uri
from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE as MARKETING
from runbook_lib.connectors.findings import failed, verified
from runbook_lib.connectors.proof import REFUSED
from runbook_lib.connectors.provider import Vendor, vendor_of
from runbook_lib.connectors.texts import read_procedure
from runbook_lib.core.fingerprints import FingerprintKey
from runbook_lib.core.model import Finding, Mode, Outcome
from runbook_lib.core.procedure import Input, Procedure
from runbook_lib.engine import practice as practice_module
from runbook_lib.engine.practice import scenarios_of
from runbook_lib.engine.tenant_run import Run, open_run
from runbook_lib.errors import SettingsError, TokenRequestError
from runbook_lib.remote.oauth import AuthorizationServer, request_token_by_code
from tests.support.wording import refused

NAME = "plainmail"
IMITATED = ("approved", "wrong-secret")
APP_ID = Input(name="app_id", label="Client ID", help="Registered apps.", provider=NAME)
APP_SECRET = Input(
    name="app_secret",
    label="Client Secret",
    help="Registered apps.",
    parse=formats.opaque_secret,
    secret=True,
    provider=NAME,
)
LOGIN_URL = Input(
    name="login_url",
    label="Login address",
    help="",
    parse=formats.web_address,
    default="https://login.plainmail.example",
    provider=NAME,
)
PLAINMAIL = Vendor(
    name=NAME,
    title="Plainmail",
    settings=(LOGIN_URL,),
    addresses=("login_url",),
    client_id=APP_ID,
    client_secret=APP_SECRET,
    oauth=lambda values: AuthorizationServer(
        title="Plainmail",
        authorization_endpoint=f"{values['login_url']}/oauth2/authorize",
        token_endpoint=f"{values['login_url']}/oauth2/token",
    ),
)


@check("pair-is-accepted", needs=("app_id", "app_secret"))
def pair_is_accepted(context: CheckContext) -> Finding:
    """Redeem a made-up code: the word of the refusal says whether the pair counts."""
    try:
        request_token_by_code(
            context.session,
            PLAINMAIL.oauth(context.values),
            client_id=context.text("app_id"),
            client_secret=context.secrets["app_secret"],
            redirect_uri=redirect_uri(context.text("service_domain")),
            code="made-up",
        )
    except TokenRequestError as error:
        if error.error == "invalid_grant":
            return verified(
                code="pair-accepted",
                reason="Only the code is refused.",
                accepts=("app_id", "app_secret"),
            )
        return failed(REFUSED, code="pair-refused", reason=f"The pair is refused ({error.error}).")
    raise AssertionError("a token was issued")


PROCEDURE = read_procedure(
    Path(__file__).parent / "plainmail",
    sys.modules[__name__],
    providers=(PLAINMAIL, cyclr_inputs.CYCLR),
    shared=(cyclr.SHARED,),
    inputs=(
        cyclr_inputs.SERVICE_DOMAIN,
        APP_ID,
        APP_SECRET,
        cyclr_inputs.CYCLR_CLIENT_ID,
        cyclr_inputs.CYCLR_CLIENT_SECRET,
        cyclr_inputs.ACCOUNT_API_ID,
        cyclr_inputs.CYCLR_USERNAME,
        cyclr_inputs.cyclr_connector("Plainmail"),
        cyclr_inputs.INSTALL_CONNECTOR,
        cyclr_inputs.CREATE_TEST_ACCOUNT,
    ),
)


class Site(SandboxSite):
    """Plainmail's login: only its token endpoint is asked, its sign-in page never."""

    name = "plainmail"

    def __call__(self, request: WebRequest) -> WebResponse:
        """Refuse the pair, or else the code (RFC 6749 §5.2)."""
        assert request.path == "/oauth2/token"
        app = self._state.vendors[NAME]
        assert isinstance(app, dict)
        known = {"client_id": app["app_id"], "client_secret": app["secret"]}
        is_known = known.items() <= request.form.items()
        error = "invalid_grant" if is_known else "invalid_client"
        return json_response({"error": error}, 400 if is_known else 401)


def add_state(state: SandboxState) -> None:
    """Register an app, and install its connector in the account."""
    random_source = state.random_source.derive(NAME)
    app = {"app_id": random_source.digits(12), "secret": random_source.hexadecimal(50)}
    given = random_source.hexadecimal(50) if state.scenario == "wrong-secret" else app["secret"]
    state.vendors[NAME] = {**app, "given": given}
    connector = LibraryConnector(
        20_000, "Plainmail", "", "Marketing", "OAuth2", random_source.guid(), vendor=NAME
    )
    connector.client_id = app["app_id"]
    connector.client_secret = app["secret"]
    state.cyclr.library[connector.id] = connector
    account = next(iter(state.cyclr.accounts))
    installed = AccountConnector(state.cyclr.new_id(), account, connector.id, connector.name)
    installed.is_authenticated = True
    state.cyclr.account_connectors[installed.id] = installed


def settings(state: SandboxState) -> Mapping[str, str]:
    """Return the values that an operator was given by Plainmail."""
    app = state.vendors[NAME]
    assert isinstance(app, dict)
    login_url = state.addresses.vendor_sites[NAME]
    return {"login_url": login_url, "app_id": app["app_id"], "app_secret": app["given"]}


@pytest.fixture
def sandbox_vendor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Add Plainmail to the sandbox."""
    vendor = SandboxVendor(
        name=NAME,
        sites={NAME: Site},
        authorization_endpoint=lambda state: (
            f"{state.addresses.vendor_sites[NAME]}/oauth2/authorize"
        ),
        token_endpoint=lambda _state, _params: {},
        settings=settings,
        add_state=add_state,
    )
    monkeypatch.setitem(vendors.VENDORS, NAME, vendor)
    monkeypatch.setattr(practice_module, "practice_attestations", lambda *_: "")


@contextmanager
def practised(scenario: str) -> Iterator[Run]:
    """Yield a run of the connector against the sandbox in `scenario`."""
    with practice_module.practice(scenario, PROCEDURE, FingerprintKey()) as sandbox:
        run = open_run(
            PROCEDURE,
            {},
            mode=Mode.HEADLESS,
            tenant="acme",
            evidence="evidence",
            env_file=sandbox.env_file,
            environ={},
        )
        run.start()
        yield run
        run.close()


@pytest.mark.usefixtures("folder", "sandbox_vendor")
def test_its_connector_is_verified_in_practice() -> None:
    """Its own checks, and Cyclr's for it, verify their objects; its sign-in has any path."""
    with practised("approved") as run:
        outcomes = {step.id: run.perform(step.id).conclusion.outcome for step in PROCEDURE.steps}

    assert outcomes.pop("cy-03-client-secret") is Outcome.NOT_RUN  # a person confirms it
    assert set(outcomes.values()) == {Outcome.VERIFIED}


@pytest.mark.usefixtures("folder", "sandbox_vendor")
def test_a_wrong_secret_fails_by_the_servers_word() -> None:
    """The scenario's mistake is the vendor's own, and fails the step that asks for the secret."""
    with practised("wrong-secret") as run:
        conclusion = run.perform("pm-01-credentials").conclusion

    assert conclusion.outcome is Outcome.FAILED
    assert "(invalid_client)" in conclusion.reason


@pytest.mark.usefixtures("folder", "sandbox_vendor")
@pytest.mark.parametrize("scenario", [name for name in SCENARIOS if name not in IMITATED])
def test_a_scenario_that_it_does_not_imitate_is_refused(scenario: str) -> None:
    """It would silently be `approved`; the refusal names those that there are."""
    with (
        refused(
            SettingsError, "scenario-not-imitated", scenario=scenario, connector=NAME
        ) as caught,
        practised(scenario),
    ):
        pass

    assert caught.value.diagnostics() == f"Its scenarios: {', '.join(IMITATED)}."
    assert not list(Path().iterdir())


class Account:
    """The fields of a vendor, without any method."""

    def __init__(self, name: str) -> None:
        self.name = name


@pytest.mark.parametrize("further", [(), ("flaky",)])
@pytest.mark.parametrize("kept", [Account, lambda name: {"of": Account(name)}])
def test_a_scenario_counts_if_it_shows(
    monkeypatch: pytest.MonkeyPatch, kept: Callable[[str], object], further: tuple[str, ...]
) -> None:
    """In the vendor's own state, whatever that is made of, or in `further_scenarios`."""

    def build_account(state: SandboxState) -> None:
        name = state.scenario if state.scenario == "token-expired" else "usual"
        state.vendors[NAME] = kept(name)

    vendor = SandboxVendor(
        name=NAME,
        sites={},
        authorization_endpoint=lambda _: "",
        token_endpoint=lambda _state, _params: {},
        settings=lambda _: {},
        add_state=build_account,
        further_scenarios=further,
    )
    monkeypatch.setitem(vendors.VENDORS, NAME, vendor)

    assert {*scenarios_of(PROCEDURE)} == {"approved", "token-expired", *further}


@pytest.mark.usefixtures("sandbox_vendor")
def test_it_changes_nothing_of_facebooks() -> None:
    """With one seed Facebook's app, and later draws, are the same beside another vendor."""
    with_it = build_state("approved", seed=5)
    del vendors.VENDORS[NAME]
    alone = build_state("approved", seed=5)

    assert with_it.operator_values == alone.operator_values
    assert with_it.random_source.guid() == alone.random_source.guid()
    assert NAME in with_it.vendors
    assert alone.vendors == {}


def test_cyclrs_steps_speak_of_the_vendor() -> None:
    """Titles, texts and subjects of Cyclr's steps name its credentials, not another vendor's."""
    steps = {step.id: step for step in PROCEDURE.steps}

    assert steps["cy-02-client-id"].title == "Client ID: the Client ID"
    assert "Plainmail" in steps["cy-02-client-id"].instructions
    assert steps["test-02-authenticate"].subject[0] == "app_id"
    assert steps["cy-03-client-secret"].copies_secret is APP_SECRET
    assert "acebook" not in repr(
        [(step.instructions, step.prose, step.own_sentence, step.title) for step in steps.values()]
    )
    titles = {step.id: step.title for step in MARKETING.steps}
    assert titles["cy-02-client-id"] == "Client ID: the App ID"


def test_a_procedure_without_a_vendor_is_refused() -> None:
    """A connector that registers no app is an error with its name, not a traceback."""
    procedure = Procedure(id="x", version="1", title="X", sections=(), inputs=())

    with refused(SettingsError, "connector-without-vendor", connector="x"):
        vendor_of(procedure)
