"""
A tenant's whole run in one call: opened, executed by papermill, sealed, archived.

Nothing is printed: a `RunListener` is called meanwhile. A notebook that breaks off
loses nothing: the outcomes of its steps are in the journal.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from runbook_lib.config.attestations import is_about, read_attestations
from runbook_lib.config.runner_settings import OUTSIDE_KERNEL, inputs_of
from runbook_lib.config.settings import referred_variables, resolve
from runbook_lib.config.workspace import project_folder, project_notebook, require_evidence_here
from runbook_lib.core.fingerprints import FingerprintKey, read_key
from runbook_lib.core.model import Attestation, FleetRun, Mode, NotRunReason, Remark, Value
from runbook_lib.core.procedure import Procedure
from runbook_lib.core.run_lock import run_lock
from runbook_lib.core.scratch import scratch_folder
from runbook_lib.engine.cells import CellProcess
from runbook_lib.engine.kernel_environment import kernel_environment
from runbook_lib.engine.notebooks import build_notebook, notebook_name
from runbook_lib.engine.tenant_run import Run, open_run
from runbook_lib.errors import EvidenceError, SettingsError
from runbook_lib.evidence.bundle import (
    REPORT_NAME,
    Seal,
    SealedBundle,
    bundle_name,
    describe_file,
    draft_bundle,
    remove_drafts,
)
from runbook_lib.evidence.reports.report import run_report
from runbook_lib.evidence.reports.step_table import StepTable, step_table, table_html
from runbook_lib.evidence.sealing import seal_run
from runbook_lib.evidence.signing.keys import SigningKey, key_from_settings
from runbook_lib.evidence.signing.timestamps import request_timestamp
from runbook_lib.evidence.verify.fleet_count import is_done, sealed_for
from runbook_lib.evidence.verify.signed_files import TrustAnchors
from runbook_lib.run.forecast import make_forecast
from runbook_lib.run.journal import Line
from runbook_lib.run.state import RunState


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """The procedure to run, its tenant, and the settings of the run."""

    procedure: Procedure
    """The procedure to run."""

    given: Mapping[str, object] = field(default_factory=dict)
    """Parameters of the run, by name."""

    tenant: str = ""
    """The tenant's name; empty for the Service Domain."""

    evidence: str = ""
    """The evidence folder; empty for the default."""

    env_file: str = ""
    """The settings file; empty for the default."""

    attestations: str = ""
    """The file of attestations; empty without one."""

    needs_subject: bool = False
    """Whether only attestations count that name this tenant's subject."""

    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    """The environment that settings are read from, and that the kernel gets a part of."""

    key: FingerprintKey | None = None
    """The fingerprint key of a tenant that has none yet."""

    child: CellProcess | None = None
    """The process of the cells, which a caller with threads starts before them."""

    fleet_run: FleetRun | None = None
    """The run of a fleet that asks for this one."""

    not_run: NotRunReason | None = None
    """The reason why the tenant of a fleet does not run, which is sealed; `None` if it does."""

    references: Mapping[str, str] = field(default_factory=dict)
    """Places of secrets, by the name of the input."""

    mode: Mode = Mode.HEADLESS
    """The mode of the record; `WALKTHROUGH` if a person seals it there."""

    is_practice: bool = False
    """Whether the run is practice; it is refused if its values lead to the real systems."""

    rechecks: Collection[str] = ()
    """Settings that ask for the checks that they permit, also where an earlier result counts."""

    may_spend: bool = True
    """Whether settings may permit checks with side effects."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """The result of a run."""

    tenant: str
    """The tenant's name."""

    run_id: str
    """The id of the run."""

    sealed: SealedBundle
    """The sealed bundle, with the state of the run."""

    key_id: str
    """The id of the key that signed it."""

    archived: str = ""
    """The address of the archived bundle; empty if no bundle was archived."""

    archive_address: str = ""
    """The address at which archiving failed; empty if it did not fail."""

    archive_error: EvidenceError | None = None
    """The error of the archive; `None` if there was none."""

    @property
    def state(self) -> RunState:
        """The state at the end of the run."""
        return self.sealed.state

    @property
    def broken(self) -> str:
        """The reason why the notebook did not reach its end; empty if it did."""
        return self.state.broken

    @property
    def steps(self) -> StepTable:
        """A line for each step."""
        return step_table(self.state, f"{self.tenant}: {self.state.outcome}")

    @property
    def report(self) -> Path:
        """The file with the report."""
        return self.sealed.folder / REPORT_NAME

    def _repr_html_(self) -> str:
        """Return the steps as a table with a link to the report, as Jupyter displays it."""
        return table_html(self.steps, report=self.report.resolve().as_uri())


class RunListener:
    """Callbacks during a run; these do nothing."""

    def on_wait(self, reason: str) -> None:
        """Called with the reason when the run has to wait."""

    def on_start(self, run: Run) -> None:
        """Called when the run has begun."""

    def on_progress(self, run: Run) -> None:
        """Called when there is something new in the journal, from the caller's thread."""

    def on_sealed(self, result: RunResult) -> None:
        """Called when the evidence is sealed; archiving comes next."""


class FingerprintKeyChangedError(Exception):
    """The tenant's first run began meanwhile, with another fingerprint key."""


def run_tenant(request: RunRequest, listener: RunListener | None = None) -> RunResult:
    """
    Run the whole procedure for one tenant, seal the evidence, and archive it where asked.

    For a fleet, a tenant that this run of the fleet has sealed already does not run again. Refused
    settings are sealed as the reason why a tenant did not run.

    An archive that fails is part of the result. Raises `SettingsError` before anything is written;
    `LeakError`, `SigningError`, `JournalError` or `OSError` without leaving half a bundle;
    `FingerprintKeyChangedError`.
    """
    listener = listener or RunListener()
    not_run = request.not_run
    try:
        request = replace(request, environ=_with_secrets(request), references={})
        run, attestations = open_request(request)
    except SettingsError as error:
        run = _without_secrets(request, error)
        attestations = []
        not_run = NotRunReason(reason=str(error), next_step=error.diagnostics())
    key = key_from_settings(run.settings, is_sandbox=run.is_sandbox)
    home = run.journal.path.parent
    seconds = int(str(run.values["queue_seconds"]))
    with run_lock(home, seconds=seconds, on_wait=listener.on_wait):
        sealed_before = _sealed_before(run, key, request)
        if sealed_before:
            result = sealed_before
        else:
            _begin(run, attestations, request, not_run)
            listener.on_start(run)
            result = execute_and_seal(run, key, request, listener, not_run)
    listener.on_sealed(result)
    values = run.settings.values
    given = request.given
    try:
        archived = archive_sealed(
            result.sealed.folder,
            values,
            given,
            is_sandbox=run.is_sandbox,
            say=listener.on_wait,
        )
    except EvidenceError as error:
        return replace(result, archive_address=str(values["archive"]), archive_error=error)
    except SettingsError:
        if not_run is None:
            raise
        return result
    return replace(result, archived=archived)


def open_request(request: RunRequest) -> tuple[Run, list[Remark]]:
    """
    Return the run and the attestations, validated; nothing is written.

    If the attestations need a subject, only those about this run's.
    """
    run = open_run(
        request.procedure,
        request.given,
        mode=request.mode,
        tenant=request.tenant,
        evidence=request.evidence,
        env_file=request.env_file,
        key=request.key,
        environ=request.environ,
    )
    if request.is_practice:
        run.require_practice()
    run.require_startable()
    # NOTE: not `run.values`: an earlier run's archive is not this one's.
    archive_sealed(
        run.journal.path.parent,
        run.settings.values,
        request.given,
        is_sandbox=run.is_sandbox,
        is_trial=True,
    )
    if not request.attestations:
        return run, []
    values = run.values
    path = Path(request.attestations)
    attestations = read_attestations(
        path,
        request.procedure,
        now=run.clock(),
        values=values,
        # NOTE: the fleet has checked that each step is one of a connector in its file.
        others=None if request.needs_subject else (),
    )
    if not request.needs_subject:
        return run, attestations
    return run, [remark for remark in attestations if _is_of_tenant(remark, values)]


def _is_of_tenant(remark: Remark, values: Mapping[str, Value]) -> bool:
    """Return whether a remark names this tenant's subject."""
    said = remark.statement
    subject = said.binding.subject if isinstance(said, Attestation) else {}
    return bool(subject) and is_about(subject, values)


def _with_secrets(request: RunRequest) -> Mapping[str, str]:
    """
    Return the environment with the secrets that references name, for this connector only.

    The variables in the references are left out. Raises `SettingsError` for a
    reference to nothing.
    """
    environ = request.environ
    procedure = request.procedure
    references = request.references
    if not references:
        return environ
    items = [item for item in inputs_of(procedure) if item.name in references]
    names = referred_variables(references.values())
    named = {name: text for name, text in environ.items() if name in names}
    secrets = resolve(items, given=references, environ=named).secrets
    return {
        **{name: text for name, text in environ.items() if name not in names},
        **{item.variable_for(procedure.id): secrets[item.name].reveal() for item in items},
    }


def _without_secrets(request: RunRequest, error: SettingsError) -> Run:
    """
    Return the run of a fleet's tenant that cannot start, opened without its secrets.

    Raises `error` outside of a fleet, and where the other settings are refused too.
    """
    if request.fleet_run is None:
        raise error
    secrets = [item.name for item in inputs_of(request.procedure) if item.secret]
    signing = {item.name for item in OUTSIDE_KERNEL}
    try:
        return open_run(
            request.procedure,
            request.given,
            mode=request.mode,
            tenant=request.tenant,
            evidence=request.evidence,
            env_file=request.env_file,
            key=request.key,
            withheld=[name for name in secrets if name not in signing],
            environ=request.environ,
        )
    except SettingsError:
        raise error from None


def _sealed_before(run: Run, key: SigningKey, request: RunRequest) -> RunResult | None:
    """
    Return the result of the tenant's run that this run of the fleet has sealed before, if any.

    The caller has the tenant's lock. So of two processes that resume a fleet only one runs it.
    """
    if request.fleet_run is None:
        return None
    home = run.journal.path.parent
    trust = TrustAnchors({key.key_id: key.public})
    for verified, record in sealed_for(run.journal, request.fleet_run.id, trust):
        if is_done(record, request.fleet_run):
            folder = home / bundle_name(record.started_on, record.run)
            return RunResult(
                tenant=run.tenant,
                run_id=record.run,
                sealed=SealedBundle(folder, verified.link.sequence, record),
                key_id=key.key_id,
            )
    return None


def _begin(
    run: Run, attestations: list[Remark], request: RunRequest, not_run: NotRunReason | None
) -> None:
    """Write the beginning of the run, and the attestations; raises `FingerprintKeyChangedError`."""
    home = run.journal.path.parent
    remove_drafts(home)
    if request.key is not None and read_key(home) not in (None, request.key):
        raise FingerprintKeyChangedError
    if not_run is None:
        run.require_startable()
    run.start(request.fleet_run, not_run, rechecks=request.rechecks, may_spend=request.may_spend)
    run.say(attestations)


def execute_and_seal(
    run: Run,
    key: SigningKey,
    request: RunRequest,
    listener: RunListener,
    not_run: NotRunReason | None,
) -> RunResult:
    """Execute the notebook unless it cannot start, seal the evidence, and return the result."""
    with (
        draft_bundle(run.home, run.run_id) as folder,
        _notebook(run.procedure) as source,
    ):
        # The inputs of the build: the notebook before execution, and the lock file.
        materials = [describe_file(source, f"notebooks/{source.name}")]
        lock = project_folder() / "requirements.lock"
        if lock.is_file():
            materials.append(describe_file(lock, lock.name))
        broken = ""
        if not_run is None:
            broken = _execute(run, source, folder / source.name, request, listener)
        run.finish({"engine": "fork"} if not_run is None else {}, broken)
        run.redactor.allow([*run.values.values(), *run.state.facts.values()])
        seal_with = Seal(
            key,
            tuple(materials),
            str(run.values.get("tsa", "")),
            lambda authority, content: request_timestamp(run.open_session(), authority, content),
        )
        sealed = seal_run(
            folder,
            run.journal,
            run.run_id,
            run.redactor,
            seal_with,
            make_report=partial(_report, run.procedure),
        )
    return RunResult(tenant=run.tenant, run_id=run.run_id, sealed=sealed, key_id=key.key_id)


def _report(procedure: Procedure, state: RunState, lines: Sequence[Line], attachments: Path) -> str:
    """Return the report of a run that has ended."""
    forecast = make_forecast(state, procedure, state.finished_on[:10])
    return run_report(state, lines, attachments=attachments, forecast=forecast)


@contextmanager
def _notebook(procedure: Procedure) -> Iterator[Path]:
    """Yield the project's notebook, or a newly built one without it."""
    path = project_notebook(notebook_name(procedure))
    if path.is_file():
        yield path
        return
    with scratch_folder() as built:
        yield build_notebook(procedure, built)


def _execute(
    run: Run, source: Path, output: Path, request: RunRequest, listener: RunListener
) -> str:
    """Execute the notebook, and say why it did not reach its end."""
    from runbook_lib.engine.execution import execute_notebook  # noqa: PLC0415  (slow)

    seen = 0

    def on_tick() -> None:
        nonlocal seen
        last = len(run.journal.read_all())
        if last > seen:
            seen = last
            listener.on_progress(run)

    parameters = _parameters(run, request)
    environment = kernel_environment(run.procedure, parameters, request.environ)
    broken = execute_notebook(
        source, output, parameters, environment=environment, on_tick=on_tick, child=request.child
    )
    on_tick()
    return run.redactor.redact(broken)


def _parameters(run: Run, request: RunRequest) -> dict[str, Any]:
    """Return the values with which the notebook's kernel opens the run again."""
    not_needed = {item.name for item in OUTSIDE_KERNEL}
    given = {name: value for name, value in request.given.items() if name not in not_needed}
    return {
        **given,
        "env_file": request.env_file,
        "evidence": str(run.evidence),
        "run_id": run.run_id,
        "tenant": run.tenant,
        "mode": request.mode,
    }


def archive_sealed(
    bundle: Path,
    values: Mapping[str, Value],
    given: Mapping[str, object],
    *,
    is_sandbox: bool,
    is_trial: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> str:
    """
    Copy a bundle to the archive that the settings `values` name; return its address there.

    Empty if they name none; practice is archived only if this run names it. A trial copies nothing,
    and `bundle` is the tenant's folder. Raises like `archive_bundle`, a trial like `check_apart`,
    and `SettingsError` for practice whose archive is on another machine.
    """
    url = str(values.get("archive", ""))
    if not url or (is_sandbox and "archive" not in given):
        return ""
    if is_sandbox:
        require_evidence_here({"archive": url})
    from runbook_lib.evidence.archive.archive import (  # noqa: PLC0415
        archive_bundle,
        check_apart,
    )
    from runbook_lib.evidence.archive.stores import DEFAULT_SECONDS, Store  # noqa: PLC0415
    from runbook_lib.evidence.verify.tree import verify_tree  # noqa: PLC0415

    store = Store(url, float(str(values.get("archive_seconds", DEFAULT_SECONDS))), say)
    if is_trial:
        check_apart(store, bundle)
        return url
    return archive_bundle(next(verify_tree(bundle)), store)
