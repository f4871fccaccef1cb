"""A connector of a vendor that keeps to RFC 6749 needs its own data only, also in practice."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from facebook_cyclr_sandbox import SCENARIOS, vendors
from facebook_cyclr_sandbox.cyclr.shapes import json_reply
from facebook_cyclr_sandbox.http.web import Reply, WebRequest
from facebook_cyclr_sandbox.http.web import Site as SandboxSite
from facebook_cyclr_sandbox.scenarios import build_world
from facebook_cyclr_sandbox.state.cyclr_world import AccountConnector, LibraryConnector
from facebook_cyclr_sandbox.state.world import World
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

    def __call__(self, request: WebRequest) -> Reply:
        """Refuse the pair, or else the code (RFC 6749 §5.2)."""
        assert request.path == "/oauth2/token"
        app = self._world.vendors[NAME]
        assert isinstance(app, dict)
        known = {"client_id": app["app_id"], "client_secret": app["secret"]}
        is_known = known.items() <= request.form.items()
        error = "invalid_grant" if is_known else "invalid_client"
        return json_reply({"error": error}, 400 if is_known else 401)


def build(world: World) -> None:
    """Register an app, and install its connector in the account."""
    dice = world.dice.of(NAME)
    app = {"app_id": dice.digits(12), "secret": dice.hexadecimal(50)}
    given = dice.hexadecimal(50) if world.scenario == "wrong-secret" else app["secret"]
    world.vendors[NAME] = {**app, "given": given}
    connector = LibraryConnector(
        20_000, "Plainmail", "", "Marketing", "OAuth2", dice.guid(), vendor=NAME
    )
    connector.client_id = app["app_id"]
    connector.client_secret = app["secret"]
    world.cyclr.library[connector.id] = connector
    account = next(iter(world.cyclr.accounts))
    installed = AccountConnector(world.cyclr.new_id(), account, connector.id, connector.name)
    installed.authenticated = True
    world.cyclr.account_connectors[installed.id] = installed


def settings(world: World) -> Mapping[str, str]:
    """Return the values that an operator was given by Plainmail."""
    app = world.vendors[NAME]
    assert isinstance(app, dict)
    login_url = world.addresses.others[NAME]
    return {"login_url": login_url, "app_id": app["app_id"], "app_secret": app["given"]}


@pytest.fixture
def sandbox_vendor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Add Plainmail to the sandbox."""
    vendor = SandboxVendor(
        name=NAME,
        sites={NAME: Site},
        sign_in_page=lambda world: f"{world.addresses.others[NAME]}/oauth2/authorize",
        exchange=lambda _world, _params: {},
        settings=settings,
        build=build,
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
    assert conclusion.reason == "The pair is refused (invalid_client)."


@pytest.mark.usefixtures("folder", "sandbox_vendor")
@pytest.mark.parametrize("scenario", [name for name in SCENARIOS if name not in IMITATED])
def test_a_scenario_that_it_does_not_imitate_is_refused(scenario: str) -> None:
    """It would silently be `approved`; the refusal names those that there are."""
    with (
        pytest.raises(SettingsError, match=f"the scenario {scenario} for {NAME}") as refused,
        practised(scenario),
    ):
        pass

    assert refused.value.diagnostics() == f"Its scenarios: {', '.join(IMITATED)}."
    assert not list(Path().iterdir())


class Account:
    """The fields of a vendor, without any method."""

    def __init__(self, name: str) -> None:
        self.name = name


@pytest.mark.parametrize("also", [(), ("flaky",)])
@pytest.mark.parametrize("kept", [Account, lambda name: {"of": Account(name)}])
def test_a_scenario_counts_if_it_shows(
    monkeypatch: pytest.MonkeyPatch, kept: Callable[[str], object], also: tuple[str, ...]
) -> None:
    """In the vendor's own state, whatever that is made of, or where its `also` says so."""

    def build_account(world: World) -> None:
        name = world.scenario if world.scenario == "token-expired" else "usual"
        world.vendors[NAME] = kept(name)

    vendor = SandboxVendor(
        name=NAME,
        sites={},
        sign_in_page=lambda _: "",
        exchange=lambda _world, _params: {},
        settings=lambda _: {},
        build=build_account,
        also=also,
    )
    monkeypatch.setitem(vendors.VENDORS, NAME, vendor)

    assert {*scenarios_of(PROCEDURE)} == {"approved", "token-expired", *also}


@pytest.mark.usefixtures("sandbox_vendor")
def test_it_changes_nothing_of_facebooks() -> None:
    """With one seed Facebook's app, and later draws, are the same beside another vendor."""
    with_it = build_world("approved", seed=5)
    del vendors.VENDORS[NAME]
    alone = build_world("approved", seed=5)

    assert with_it.answers == alone.answers
    assert with_it.dice.guid() == alone.dice.guid()
    assert NAME in with_it.vendors
    assert alone.vendors == {}


def test_cyclrs_steps_speak_of_the_vendor() -> None:
    """Titles, texts and subjects of Cyclr's steps name its credentials, not another vendor's."""
    steps = {step.id: step for step in PROCEDURE.steps}

    assert steps["cy-02-client-id"].title == "Client ID: the Client ID"
    assert "of your Plainmail app" in steps["cy-02-client-id"].today
    assert steps["test-02-authenticate"].subject[0] == "app_id"
    assert steps["cy-03-client-secret"].copies_secret is APP_SECRET
    assert "acebook" not in repr(
        [(step.today, step.prose, step.confirms, step.title) for step in steps.values()]
    )
    titles = {step.id: step.title for step in MARKETING.steps}
    assert titles["cy-02-client-id"] == "Client ID: the App ID"


def test_a_procedure_without_a_vendor_is_refused() -> None:
    """A connector that registers no app is an error with its name, not a traceback."""
    procedure = Procedure(id="x", version="1", title="X", sections=(), inputs=())

    with pytest.raises(SettingsError, match="connector x does not say which company"):
        vendor_of(procedure)
