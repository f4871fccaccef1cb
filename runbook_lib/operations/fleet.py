"""
A fleet: the runs of many tenants, each in a process of its own.

Tenants of one app run one after the other, since they share its rate limits. Secrets are resolved
in the tenant's process, from references. If one tenant's run breaks, the others go on.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from runbook_lib.config.attestations import check_subjects
from runbook_lib.config.fleet_file import FleetTenant
from runbook_lib.config.runner_settings import (
    SIGNING_KEY,
    SIGNING_PASSPHRASE,
    SIGNING_PUBLIC_KEY,
    inputs_of,
)
from runbook_lib.config.settings import (
    Settings,
    find_env_file,
    read_env_file,
    referred_variables,
    resolve,
    suggestion,
)
from runbook_lib.config.workspace import (
    FLEET_FOLDER,
    evidence_folder,
    is_sandbox,
    journal_path,
)
from runbook_lib.connectors.registry import (
    find_procedure,
    known_variables,
)
from runbook_lib.core.clock import timestamp, utc_now
from runbook_lib.core.files import JOURNAL_NAME, is_there
from runbook_lib.core.model import FleetRun, Mode, RunOutcome, Value
from runbook_lib.engine.elsewhere import RunEnd, sendable
from runbook_lib.engine.headless import RunRequest, archive_sealed
from runbook_lib.engine.run_view import RunView, known_values
from runbook_lib.engine.scheduler_address import check_scheduler
from runbook_lib.engine.tenant_run import new_run_id, require_within_reach
from runbook_lib.engine.workers import (
    LocalWorkers,
    available_memory,
    default_workers,
    environment_without,
    run_all,
)
from runbook_lib.errors import (
    ContentError,
    EvidenceError,
    ExitCode,
    FleetFileError,
    RunbookError,
    SettingsError,
    describe_error,
)
from runbook_lib.evidence.bundle import bundle_name
from runbook_lib.evidence.fleet_result import (
    FleetResult,
    TenantResult,
    TenantRunStatus,
    notes_in,
    result_of,
    write_notes,
)
from runbook_lib.evidence.signing.keys import SigningKey, key_from_settings
from runbook_lib.evidence.verify.fleet_count import is_done, newest_sealed, sealed_for
from runbook_lib.evidence.verify.signed_files import TrustAnchors
from runbook_lib.evidence.verify.verify import VerifiedBundle
from runbook_lib.operations.tenant_list import whole_tenants_file
from runbook_lib.operations.watch.watch_state import (
    NO_EVIDENCE,
    RUN_CUT_SHORT,
    SETTINGS_UNUSABLE,
    open_state,
)
from runbook_lib.run.events import EarlierResult
from runbook_lib.run.history import History
from runbook_lib.run.journal import Journal
from runbook_lib.run.state import RunState

if TYPE_CHECKING:
    from runbook_lib.engine.cluster import ClusterWorkers

# The kinds of problems of a tenant whose result has a reason.
_TITLES = {TenantRunStatus.NOT_RUN: SETTINGS_UNUSABLE, TenantRunStatus.UNSEALED: NO_EVIDENCE}
_FLEET_ID = re.compile("[0-9a-f]{8}")


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetRequest:
    """The tenants to run, and the way to run them."""

    file: Path
    """The file of tenants."""

    evidence: str = ""
    """The evidence folder; empty for the default."""

    env_file: str = ""
    """The settings file that all tenants share; empty for the default."""

    attestations: str = ""
    """The file of attestations; empty without one."""

    workers: int | None = None
    """The number of tenants at a time; `None` for `default_workers`."""

    scheduler: str = ""
    """The address of a Dask scheduler whose workers run the tenants; empty for this machine."""

    is_insecure: bool = False
    """Whether that scheduler may lack TLS."""

    seconds: float = 900
    """The time limit of one tenant."""

    only: Sequence[str] = ()
    """Patterns of the names of tenants to run; empty for all."""

    resume: str = ""
    """The id of an earlier run whose rest is run; empty for a new run."""

    is_failed: bool = False
    """Whether only tenants run whose newest run is not complete."""

    may_spend: bool = False
    """Whether settings may permit checks with side effects; without it none is made."""

    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    """The environment that settings are read from."""


@dataclass(frozen=True, slots=True)
class Job:
    """One tenant's run."""

    tenant: FleetTenant
    """The tenant's entry in the file."""
    values: Mapping[str, Value]
    """Every known value of the tenant."""
    variables: Sequence[str]
    """Environment variables that no other tenant's process gets."""
    settings: Mapping[str, Value]
    """The tenant's current settings."""
    spending: Sequence[tuple[str, str]] = ()
    """Settings that permit a check which is due, each with that check's side effect."""

    @property
    def name(self) -> tuple[str, str]:
        """The tenant and the connector, a pair that a fleet has once."""
        return self.tenant.tenant, self.tenant.procedure.id

    @property
    def entry_digest(self) -> str:
        """The digest of the tenant's entry, by which a result is recognised."""
        tenant = self.tenant
        parts = [*self.name, tenant.procedure.digest, tenant.given, tenant.references]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    @property
    def pending(self) -> TenantResult:
        """The result of a job that has not begun."""
        tenant, connector = self.name
        practice = is_sandbox(self.values)
        entry = self.entry_digest
        return TenantResult(
            tenant=tenant, connector=connector, entry_digest=entry, sandbox=practice
        )


@dataclass(frozen=True, slots=True)
class DueSideEffect:
    """A setting that lets checks spend something, which are due at these tenants."""

    setting: str
    tenants: int
    side_effect: str
    names: Sequence[str]


class Fleet:
    """
    A fleet of the tenants of a file, validated as a whole; nothing is written before it runs.

    `jobs` are the tenants that it runs, `unmatched` attestations about no tenant. Raises
    `FleetFileError` with every mistake of the file, and `SettingsError`.
    """

    def __init__(self, request: FleetRequest) -> None:
        if request.scheduler:
            check_scheduler(request.scheduler, is_insecure=request.is_insecure)
        if request.resume and not _FLEET_ID.fullmatch(request.resume):
            raise SettingsError(
                f"{request.resume[:40]} is not the id of a fleet's run.",
                next_step="It has 8 characters, such as 7f3a90c1.",
            )
        tenants = whole_tenants_file(request.file)
        self._evidence = evidence_folder(request.evidence).absolute()
        env_file = request.env_file or find_env_file()
        self._known = {job.name: job for job in _jobs(tenants, self._evidence, env_file, request)}
        self.unmatched: list[str] = []
        if request.attestations:
            values = [(job.tenant.procedure, job.values) for job in self._known.values()]
            self.unmatched = check_subjects(Path(request.attestations), values, now=utc_now())
        self._request = replace(
            request, env_file=_absolute(env_file), attestations=_absolute(request.attestations)
        )
        # NOTE: these cover each tenant of its file, also those that do not run now.
        variables = (job.variables for job in self._known.values())
        self._withheld = set(chain.from_iterable(variables))
        self._keys: dict[bool, SigningKey] = {}
        # The tenants whose bundle is taken as it is, once each.
        self._taken: dict[tuple[str, str], None] = {}
        # The tenants whose process was lost.
        self._lost: set[tuple[str, str]] = set()
        started_on = timestamp(utc_now())
        fleet_id = request.resume or new_run_id()
        stamp = f"{started_on[:19].replace('-', '').replace(':', '')}Z"
        folder = self._evidence / FLEET_FOLDER / f"{stamp}-{fleet_id}"
        self.result = FleetResult(folder, fleet_id, request.file.name, {}, started_on)
        names = _only(self._known, request.only)
        if request.is_failed:
            names = self._failed(names)
        for name in names:
            self.result.put(self._known[name].pending)
        self.result.left_out = tuple(
            name for name in self._known if name not in self.result.results
        )
        if request.resume:
            self._resume()
        self.jobs = [self._known[name] for name in names if name not in self._taken]

    def _failed(self, names: _Names) -> _Names:
        """Return the jobs whose newest run is not complete, or left no bundle."""
        unsealed: dict[tuple[str, str], str] = {}
        for _, notes in notes_in(self._evidence):
            for left in notes.unsealed:
                name = (left.tenant, left.connector)
                unsealed[name] = max(notes.started_on, unsealed.get(name, ""))
        homes = (self._home(self._known[name]) for name in names)
        if not (unsealed or any(is_there(home / JOURNAL_NAME) for home in homes)):
            raise SettingsError(
                f"No tenant of {self.result.file} has run in {self._evidence}.",
                next_step="Leave --failed out.",
            )
        completed = {name: self._completed(self._known[name]) for name in names}
        return [name for name in names if completed[name] <= unsealed.get(name, "")]

    def _completed(self, job: Job) -> str:
        """Return when a tenant's newest run began; empty unless it is complete."""
        home = self._home(job)
        # NOTE: the tenant's own run reports this error.
        with suppress(RunbookError, OSError):
            newest = newest_sealed(home, self._trust(job))
            is_cut_off = bool(_view_of(job.tenant, self._evidence).history.cut_off_run)
            if newest and newest[1].outcome is RunOutcome.COMPLETE and not is_cut_off:
                return newest[1].started_on
        return ""

    def _resume(self) -> None:
        """
        Resume an earlier run: its bundles that still count are taken as they are.

        Raises `SettingsError` if that run selected other tenants, or is not known.
        """
        result = self.result
        selections: set[tuple[int, str]] = set()
        began = []
        for name, job in self._known.items():
            for verified, record in self._sealed(job):
                began.append(record.started_on)
                if record.fleet_run:
                    selections.add((record.fleet_run.selected, record.fleet_run.selected_digest))
                is_wanted = name in result.results and name not in self._taken
                if is_wanted and is_done(record, self._fleet_run(job)):
                    self._taken[name] = None
                    result.put(_result_of(job, verified, record))
        for folder, notes in notes_in(self._evidence, result.fleet_id)[:1]:
            result.folder = folder
            began.append(notes.started_on)
            # NOTE: no evidence; it decides only where no bundle does.
            selections = selections or {(notes.selected, notes.selected_digest)}
        if not selections:
            raise SettingsError(
                f"Nothing of a fleet's run {result.fleet_id} is in {self._evidence}.",
                next_step="Compare the id, or leave --resume out to begin a new run.",
            )
        if selections != {(result.selected, result.selected_digest)}:
            then = ", ".join(sorted(f"{selected:,}" for selected, _ in selections))
            raise SettingsError(
                f"The run {result.fleet_id} selected other tenants than {result.file} and --only "
                f"select now ({then} then, {result.selected:,} now).",
                next_step="Give the same tenants and --only as then, or leave --resume out.",
            )
        result.started_on = min(began)

    def _sealed(self, job: Job) -> Iterator[tuple[VerifiedBundle, RunState]]:
        """Yield the bundles of this run in a tenant's folder that the fleet's key signed."""
        home = self._home(job)
        if is_there(home / JOURNAL_NAME):
            # NOTE: the tenant's own run reports this error.
            with suppress(RunbookError, OSError):
                journal = Journal(home / JOURNAL_NAME)
                yield from sealed_for(journal, self.result.fleet_id, self._trust(job))

    def _home(self, job: Job) -> Path:
        return journal_path(self._evidence, *job.name).parent

    def _trust(self, job: Job) -> TrustAnchors:
        """Return trust in the keys that this fleet signs the tenant's evidence with, alone."""
        # NOTE: the environment of a cluster's worker may make a run one of practice.
        modes = {is_sandbox(job.values), is_sandbox(job.values) or bool(self._request.scheduler)}
        keys = [self._key(is_sandbox=mode) for mode in modes]
        return TrustAnchors({key.key_id: key.public for key in keys})

    def _fleet_run(self, job: Job) -> FleetRun:
        """Return the record's entry about this run for a tenant."""
        return FleetRun(
            id=self.result.fleet_id,
            selected=self.result.selected,
            selected_digest=self.result.selected_digest,
            entry_digest=job.entry_digest,
        )

    @property
    def spending(self) -> list[DueSideEffect]:
        """The settings that permit checks which are due, each with its side effect and tenants."""
        due: dict[tuple[str, str], list[str]] = {}
        for job in self.jobs:
            for spent in job.spending:
                due.setdefault(spent, []).append(job.tenant.tenant)
        return [
            DueSideEffect(setting, len(names), side_effect, sorted(names))
            for (setting, side_effect), names in sorted(due.items())
        ]

    def run(self, on_result: Callable[[TenantResult], None]) -> FleetResult:
        """
        Run every tenant, and return the result.

        Calls `on_result` with each result, from the caller's thread. An interruption
        (or an error of `on_result`) ends the tenants under way, and goes on.
        """
        # NOTE: a signing key that cannot be used is refused before anything runs.
        self._key(is_sandbox=all(is_sandbox(job.values) for job in self._known.values()))
        workers = self._workers()
        for _, connector in self.result.results:
            procedure = find_procedure(connector)
            steps = [
                {"id": step.id, "number": procedure.numbers[step.id], "title": step.title}
                for step in procedure.steps
            ]
            self.result.connectors[connector] = {"title": procedure.title, "steps": steps}
        groups = [
            [(sendable(self._request_of(job)), job.variables) for job in group]
            for group in group_by_app(self.jobs)
        ]
        try:
            write_notes(self.result)
            with environment_without(self._withheld):
                for document, end in run_all(groups, workers):
                    job = self._known[document["tenant"], document["connector"]]
                    result = self.tenant_result(job, end)
                    self.result.put(result)
                    on_result(result)
        finally:
            workers.stop()
        for name in self._taken:
            self._archive(self._known[name])
        self.result.finished_on = timestamp(utc_now())
        write_notes(self.result)
        self._note_unusable()
        return self.result

    def _note_unusable(self) -> None:
        """Keep why tenants could not start, for every list of tenants; it is no evidence."""
        now = utc_now()
        with suppress(RunbookError), open_state(self._evidence, now) as state:
            rows = []
            for result in self.result.results.values():
                row = state.tenant(f"{result.connector}/{result.tenant}")
                title = _TITLES.get(result.status, RUN_CUT_SHORT)
                if result.name in self._lost and result.reason:
                    title = RUN_CUT_SHORT
                row.set_unusable(result.reason, result.next_step, timestamp(now), title)
                rows.append(row)
            with state.transaction():
                state.tenants.write(rows)

    def _archive(self, job: Job) -> None:
        """Archive a bundle that was found again; it does not say whether it was archived."""
        result = self.result.results[job.name]
        try:
            archive_sealed(
                self._evidence / str(result.bundle),
                job.settings,
                job.tenant.given,
                is_sandbox=result.sandbox,
            )
        except (EvidenceError, SettingsError) as error:
            reason = f"Not archived: {error}"
            advice = error.diagnostics()
            self.result.put(_with_archive_outcome(result, reason, advice, is_archived=False))

    def _key(self, *, is_sandbox: bool) -> SigningKey:
        """Return the key of the operator who runs the fleet; it is opened once."""
        if is_sandbox in self._keys:
            return self._keys[is_sandbox]
        request = self._request
        settings = resolve(
            (SIGNING_KEY, SIGNING_PUBLIC_KEY, SIGNING_PASSPHRASE),
            given={},
            env_file=read_env_file(Path(request.env_file)) if request.env_file else {},
            environ={
                name: text for name, text in request.environ.items() if name not in self._withheld
            },
            others=known_variables(),
        )
        key = key_from_settings(settings, is_sandbox=is_sandbox)
        self._keys[is_sandbox] = key
        return key

    def _workers(self) -> LocalWorkers | ClusterWorkers:
        request = self._request
        if request.scheduler:
            try:
                # NOTE: optional, and slow to import.
                from runbook_lib.engine.cluster import ClusterWorkers  # noqa: PLC0415
            except ModuleNotFoundError as error:
                raise SettingsError(
                    f"--scheduler needs a package that is not installed ({error.name}).",
                    next_step="pip install distributed, or the extra `cluster` of this package.",
                ) from None
            folder = self.result.folder
            return ClusterWorkers(request.scheduler, self._withheld, request.seconds, folder)
        limit = request.workers or default_workers(os.cpu_count() or 1, available_memory())
        return LocalWorkers(limit, request.environ, self._withheld, request.seconds)

    def _request_of(self, job: Job) -> RunRequest:
        return RunRequest(
            procedure=job.tenant.procedure,
            tenant=job.tenant.tenant,
            evidence=str(self._evidence),
            env_file=self._request.env_file,
            given=job.tenant.given,
            references=job.tenant.references,
            attestations=self._request.attestations,
            needs_subject=True,
            may_spend=self._request.may_spend,
            fleet_run=self._fleet_run(job),
        )

    def tenant_result(self, job: Job, end: RunEnd) -> TenantResult:
        """Return the result of a run that has ended; a defect in it is that tenant's alone."""
        if end.is_lost:
            self._lost.add(job.name)
        try:
            verified, record = self._proven(job, end.bundle)
            result = replace(_result_of(job, verified, record), seconds=end.seconds)
        except Exception as error:  # noqa: BLE001  (one tenant must not stop the others)
            reason = end.message
            advice = end.next_step
            code = end.code
            if end.bundle:
                reason, advice = describe_error(error)
                code = getattr(error, "exit_code", None)
            # NOTE: settings that a tenant's run refuses leave the tenant open.
            if code != ExitCode.REFUSED:
                code = ExitCode.INCOMPLETE
            return replace(
                job.pending,
                status=TenantRunStatus.UNSEALED,
                exit_code=code,
                reason=reason,
                next_step=advice,
                seconds=end.seconds,
            )
        if end.bundle:
            return _with_archive_outcome(
                result, end.message, end.next_step, is_archived=end.is_archived
            )
        # NOTE: its process was lost after it had sealed, maybe before it archived.
        self._taken[job.name] = None
        return result

    def _proven(self, job: Job, bundle: str) -> tuple[VerifiedBundle, RunState]:
        """
        Return the verified bundle of a tenant for this run: the named one, or one that was found.

        Raises `EvidenceError` if it does not verify or count, and any error of reading it.
        """
        fleet_run = self._fleet_run(job)
        if bundle:
            sealed = newest_sealed(self._home(job), self._trust(job), Path(bundle).name)
        else:
            done = (pair for pair in self._sealed(job) if is_done(pair[1], fleet_run))
            sealed = next(done, None)
        if not sealed or sealed[1].fleet_run != fleet_run:
            raise ContentError("The bundle of this tenant does not belong to this run.")
        return sealed


def _absolute(path: str) -> str:
    return str(Path(path).absolute()) if path else ""


def _result_of(job: Job, verified: VerifiedBundle, record: RunState) -> TenantResult:
    bundle = bundle_name(record.started_on, record.run)
    return result_of(job.pending, record, bundle, verified.statement)


def _with_archive_outcome(
    result: TenantResult, reason: str, advice: str, *, is_archived: bool
) -> TenantResult:
    """Return a result with what went wrong after it was sealed: one without an archive is open."""
    is_open = result.exit_code == ExitCode.COMPLETE and not is_archived
    code = ExitCode.INCOMPLETE if is_open else result.exit_code
    if not reason:
        return replace(result, exit_code=code)
    return replace(result, exit_code=code, reason=reason, next_step=advice)


def group_by_app(jobs: Iterable[Job]) -> list[list[Job]]:
    """Return the jobs by app, the largest groups first; one whose app is not known is alone."""
    groups: dict[object, list[Job]] = {}
    for job in jobs:
        groups.setdefault(job.values.get("app_id") or job.name, []).append(job)
    return sorted(groups.values(), key=len, reverse=True)


def _jobs(
    tenants: Sequence[FleetTenant], evidence: Path, env_file: str, request: FleetRequest
) -> list[Job]:
    """Return a job for each tenant; raises `FleetFileError` for values that no run can have."""
    file_values = read_env_file(Path(env_file)) if env_file else {}
    environ = request.environ
    own = [referred_variables(tenant.references.values()) for tenant in tenants]
    shared = referred_variables([*environ.values(), *file_values.values()])
    own_only = set().union(*own) - shared
    common = {key: text for key, text in environ.items() if key not in own_only}
    variables = known_variables()
    jobs = []
    mistakes = []
    for tenant, names in zip(tenants, own, strict=True):
        mine = sorted(names & own_only)
        inputs = inputs_of(tenant.procedure)
        settings = resolve(
            inputs,
            given={**tenant.given, **tenant.references},
            env_file=file_values,
            environ={**common, **{name: environ[name] for name in mine if name in environ}},
            withheld=[item.name for item in inputs if item.secret],
            connector=tenant.procedure.id,
            others=variables,
        )
        view = replace(_view_of(tenant, evidence), settings=settings)
        history = History()
        # NOTE: the tenant's own run reports these errors.
        with suppress(RunbookError, OSError):
            history = view.history
        values = known_values(tenant.procedure, history.given, settings)
        lacking = [item.name for item in inputs if item.required and not values.get(item.name)]
        if lacking:
            missing = " and no ".join(lacking)
            mistakes.append(f"{tenant.place}: the tenant {tenant.tenant} has no {missing}.")
        try:
            require_within_reach(tenant.procedure, values)
        except SettingsError as error:
            mistakes.append(f"{tenant.place}: {tenant.tenant}: {error} {error.diagnostics()}")
        spending = _spending(view, values)
        jobs.append(Job(tenant, values, mine, settings.values, spending))
    if mistakes:
        raise FleetFileError(
            f"Tenants in {request.file} cannot be run with their values.", mistakes
        )
    return jobs


def _view_of(tenant: FleetTenant, evidence: Path) -> RunView:
    """Return a view of a tenant's journal, without any settings."""
    return RunView(
        procedure=tenant.procedure,
        settings=Settings(),
        journal=Journal(journal_path(evidence, tenant.tenant, tenant.procedure.id)),
        tenant=tenant.tenant,
        mode=Mode.HEADLESS,
        run_id=new_run_id(),
    )


def _spending(view: RunView, values: Mapping[str, Value]) -> list[tuple[str, str]]:
    """
    Return the settings that permit a check with a side effect, each with that side effect.

    A check whose earlier result counts is left out. The tenant's secrets are assumed to be those of
    its last run: only its own process reads them.
    """
    due: list[tuple[str, str]] = []
    for step in view.procedure.steps:
        for check in step.checks:
            permits = [name for name in check.allowed_by if values.get(name)]
            earlier = None
            with suppress(RunbookError, OSError):
                earlier = view.find_earlier(step, check) if permits else None
            if not isinstance(earlier, EarlierResult):
                due += [(name, check.side_effect) for name in permits]
    return due


_Names = Collection[tuple[str, str]]


def _only(names: _Names, patterns: Sequence[str]) -> _Names:
    """Return the jobs of the tenants that match a pattern; without a pattern, all of them."""
    tenants = [tenant for tenant, _ in names]
    for pattern in patterns:
        if not any(fnmatchcase(tenant, pattern) for tenant in tenants):
            raise SettingsError(
                f"No tenant of the file matches {pattern[:80]}.{suggestion(pattern, tenants)}"
            )
    return [
        name
        for name in names
        if not patterns or any(fnmatchcase(name[0], pattern) for pattern in patterns)
    ]
