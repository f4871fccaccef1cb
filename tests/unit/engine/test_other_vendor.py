"""A connector of a vendor that keeps to RFC 6749 needs its own data only, also in practice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from plainmail.inputs import APP_SECRET
from plainmail.procedure import PROCEDURE
from plainmail.sandbox import NAME, VENDOR

from facebook_cyclr_sandbox import SCENARIOS, serve, vendors
from facebook_cyclr_sandbox.scenarios import build_state
from facebook_cyclr_sandbox.state.sandbox_state import SandboxState
from facebook_cyclr_sandbox.vendor import SandboxVendor
from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE as MARKETING
from runbook_lib.connectors.provider import vendor_of
from runbook_lib.core.fingerprints import FingerprintKey
from runbook_lib.core.model import Mode, Outcome
from runbook_lib.core.procedure import Procedure
from runbook_lib.engine import practice as practice_module
from runbook_lib.engine.practice import scenarios_of
from runbook_lib.engine.tenant_run import Run, open_run
from runbook_lib.errors import SettingsError
from tests.support.wording import refused

IMITATED = ("approved", "wrong-secret")


@pytest.fixture
def sandbox_vendor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Add Plainmail to the sandbox."""
    monkeypatch.setitem(vendors.VENDORS, NAME, VENDOR)
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
@pytest.mark.parametrize(("site", "status"), [("", 503), (NAME, 503), ("graph", 401)])
def test_faults_reach_its_site(site: str, status: int) -> None:
    """A fault without a site, or with its site, affects it; one of another site does not."""
    with serve("approved") as sandbox:
        url = sandbox.state.addresses.vendor_sites[NAME]
        fault = {"kind": "server-error", "site": site}
        httpx.post(f"{url}/_sandbox/faults", json={"faults": [fault]}).raise_for_status()
        assert httpx.post(f"{url}/oauth2/token").status_code == status


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
