"""
Practice: a headless run against the embedded sandbox instead of the real systems.

The sandbox is one more remote system. Its addresses and credentials go into a settings file of its
own; nothing of the operator's real settings is used.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runbook_lib.config.runner_settings import inputs_of
from runbook_lib.config.settings import settings_file, suggestion
from runbook_lib.config.workspace import LAB_COMMAND, evidence_folder, journal_path, tenant_name
from runbook_lib.connectors.provider import vendor_of
from runbook_lib.connectors.registry import (
    connector_names,
    find_procedure,
    known_variables,
    practice_attestations,
)
from runbook_lib.core.clock import utc_now
from runbook_lib.core.files import write_once
from runbook_lib.core.fingerprints import FingerprintKey, read_key
from runbook_lib.core.procedure import Procedure
from runbook_lib.core.scratch import scratch_folder
from runbook_lib.engine.headless import (
    FingerprintKeyChangedError,
    RunListener,
    RunRequest,
    RunResult,
    run_tenant,
)
from runbook_lib.errors import SettingsError, reported_as

if TYPE_CHECKING:
    from facebook_cyclr_sandbox import serve

# The one setting of real runs that practice obeys: it names steps, and nothing real.
_FOUR_EYES = "RUNBOOK_FOUR_EYES"
_SANDBOX_ENV = (
    "# SANDBOX: practice. These addresses and credentials are a sandbox's, and nothing is real.\n"
)


@dataclass(frozen=True, slots=True)
class Practice:
    """
    A running sandbox as settings: their file, and the file of attestations.

    `login` are the credentials of its operator.
    """

    scenario: str
    env_file: str
    attestations: str
    login: str


def require_scenario(name: str, procedure: Procedure | None = None) -> None:
    """
    Raise `SettingsError` if there is no scenario called `name`, or none for this `procedure`.

    A company that the sandbox does not imitate has none, and no connector has those that change
    nothing for it.
    """
    from facebook_cyclr_sandbox import SCENARIOS  # noqa: PLC0415  (only for practice)

    theirs = scenarios_of(procedure) if procedure else SCENARIOS
    if procedure and not theirs:
        vendor = vendor_of(procedure).title
        raise SettingsError(
            f"The connector {procedure.id} cannot be practised: the sandbox does not imitate "
            f"{vendor}.",
            next_step=f"Run it for real, without practice.{_others()} Nothing was done.",
        )
    if name not in SCENARIOS:
        raise SettingsError(
            f"There is no scenario called {name[:60]}.{suggestion(name, theirs)}",
            next_step=f"Known scenarios: {', '.join(theirs)}.",
        )
    if procedure and name not in theirs:
        raise SettingsError(
            f"The sandbox does not imitate the scenario {name} for {procedure.id}.",
            next_step=f"Its scenarios: {', '.join(theirs)}.",
        )


def _others() -> str:
    """Return a sentence with the connectors that can be practised; empty if no connector can."""
    names = []
    for name in connector_names():
        with suppress(SettingsError):
            if scenarios_of(find_procedure(name)):
                names.append(name)
    return f" Or practise {' or '.join(names)} (--connector)." if names else ""


def scenarios_of(procedure: Procedure) -> tuple[str, ...]:
    """Return the scenarios that `procedure` can be practised in, by name; perhaps none."""
    from facebook_cyclr_sandbox import serve  # noqa: PLC0415  (only for practice)

    names = {item.name: item.default for item in procedure.inputs}
    connector = str(names.get("cyclr_connector") or "")
    vendor = vendor_of(procedure)
    return serve.list_scenarios(vendor.name, connector)


def serve_until_interrupted(
    scenario: str,
    port: int,
    announce: Callable[[Mapping[str, str | int]], object],
    *,
    env_file: Path | None = None,
    procedure: Procedure | None = None,
) -> None:
    """
    Serve the sandbox until SIGINT or SIGTERM; call `announce` with its description once it listens.

    Before that, write its settings for `procedure` to `env_file`, if given. Call it from the main
    thread, which receives the signals. Raises `SettingsError` for an unknown scenario, and for an
    `env_file` that is there or cannot be written.
    """
    from facebook_cyclr_sandbox import serve  # noqa: PLC0415

    require_scenario(scenario)
    stop = threading.Event()
    signals = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in signals}
    try:
        with scratch_folder() as folder, serve(scenario, port=port, folder=folder) as sandbox:
            if env_file and procedure:
                _write_env(env_file, sandbox, procedure)
            announce(sandbox.description)
            stop.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def practise_tenant(
    scenario: str, request: RunRequest, listener: RunListener | None = None
) -> RunResult:
    """
    Run the procedure of `request` against a sandbox in `scenario`: see `run_tenant`.

    The sandbox has the tenant's practice app; if another process creates one
    meanwhile, the sandbox is started again with that. Raises `SettingsError` for a scenario that
    the procedure does not have.
    """
    while True:
        key = sandbox_key(request.procedure, request.evidence, request.tenant)
        with (
            practice(scenario, request.procedure, key) as sandbox,
            suppress(FingerprintKeyChangedError),
        ):
            return practise_in(sandbox, request, key, listener)


def practise_in(
    sandbox: Practice,
    request: RunRequest,
    key: FingerprintKey,
    listener: RunListener | None = None,
) -> RunResult:
    """
    Run the procedure of `request` against the running `sandbox`: see `run_tenant`.

    The sandbox's operator has confirmed each step that only a person can confirm.
    """
    practised = replace(
        request,
        key=key,
        env_file=sandbox.env_file,
        attestations=request.attestations or sandbox.attestations,
        environ=practice_environment(request.environ),
        is_practice=True,
        # A scenario changes the sandbox's present responses.
        rechecks=request.procedure.permits,
    )
    return run_tenant(practised, listener)


@contextmanager
def practice_settings(
    scenario: str, procedure: Procedure, tenant: str, options: Mapping[str, Any]
) -> Iterator[Mapping[str, Any]]:
    """
    Give `options` with settings and environment of a sandbox; without a `scenario` as they are.

    Raises `SettingsError` where they name other settings too.
    """
    if not scenario:
        yield options
        return
    if options.get("env_file"):
        raise SettingsError("--sandbox has its own settings: leave out --env-file.")
    require_scenario(scenario, procedure)
    key = sandbox_key(procedure, options.get("evidence", ""), tenant)
    with practice(scenario, procedure, key) as sandbox:
        environ = practice_environment(os.environ)
        yield {**options, "env_file": sandbox.env_file, "environ": environ}


def sandbox_key(procedure: Procedure, evidence: str, tenant: str) -> FingerprintKey:
    """Return the key of a practising tenant; a new one is kept once its first run begins."""
    journal = journal_path(evidence_folder(evidence), tenant_name(tenant), procedure.id)
    return read_key(journal.parent) or FingerprintKey()


def practice_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """
    Return `environ` without the settings of real runs: a practice server must not get them.

    The setting for four eyes stays.
    """
    variables = known_variables()
    kept = {_FOUR_EYES, LAB_COMMAND}
    return {
        name: value
        for name, value in environ.items()
        if name in kept or not (name == "RUNBOOK_ENV_FILE" or variables.may_have(name))
    }


def _write_env(path: Path, sandbox: serve, procedure: Procedure) -> None:
    """Write the settings file of a running sandbox; raises `SettingsError` if it is there."""
    items = inputs_of(procedure)
    # Practice may use up the vendor's resources without permission.
    permits = {name for step in procedure.steps for c in step.checks for name in c.allowed_by}
    vendor = vendor_of(procedure).name
    permitted = [
        item
        for item in items
        if item.name in permits and item.provider == vendor and item.default is False
    ]
    values = {item: sandbox.settings(item.provider).get(item.name) for item in items}
    values |= dict.fromkeys(permitted, True)
    with suppress(SettingsError):  # practice does not need the file of real settings
        text = settings_file(os.environ.get("RUNBOOK_ENV_FILE", "")).get(_FOUR_EYES)
        values |= {item: text for item in items if item.variable == _FOUR_EYES}
    lines = [f'{item.variable}="{value}"\n' for item, value in values.items() if value]
    advice = "Name another file, or remove it."
    with reported_as(SettingsError, f"{path} cannot be written", next_step=advice):
        is_new = write_once(path, "".join((_SANDBOX_ENV, *lines)).encode(), mode=0o600)
    if not is_new:
        raise SettingsError(f"{path} is there already; nothing was written.", next_step=advice)


@contextmanager
def practice(scenario: str, procedure: Procedure, key: FingerprintKey) -> Iterator[Practice]:
    """
    Serve the sandbox in `scenario` for as long as the context lasts.

    A tenant's `key` is its sandbox's seed: it meets the same app each time. Raises `SettingsError`
    for a scenario that `procedure` does not have, before anything is written.
    """
    from facebook_cyclr_sandbox import serve  # noqa: PLC0415

    require_scenario(scenario, procedure)
    attestations = practice_attestations(procedure.id, scenario, utc_now().date())
    with ExitStack() as stack:
        folder = stack.enter_context(scratch_folder())
        sandbox = stack.enter_context(serve(scenario, seed=key.seed, folder=folder))
        env_file = folder / "sandbox.env"
        description = sandbox.description
        _write_env(env_file, sandbox, procedure)
        attestations_file = folder / "attestations.toml"
        attestations_file.write_text(attestations, encoding="utf-8")
        yield Practice(
            scenario=scenario,
            env_file=str(env_file),
            attestations=str(attestations_file) if attestations else "",
            login=f"{description['login_email']} / {description['login_password']}",
        )
