"""
A fleet: the runs of many tenants, each in a process of its own.

Tenants of one app run one after the other, since they share its rate limits.
Secrets are resolved in the tenant's process, from references. Whatever happens to
one tenant, the others go on.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from runbook_lib.config.attestations import check_subjects
from runbook_lib.config.fleet_file import FleetTenant, read_fleet_file
from runbook_lib.config.runner_inputs import (
    SIGNING_KEY,
    SIGNING_PASSPHRASE,
    SIGNING_PUBLIC_KEY,
    inputs_of,
)
from runbook_lib.config.settings import (
    find_env_file,
    read_env_file,
    referred_variables,
    resolve,
    suggestion,
)
from runbook_lib.config.workspace import (
    FLEET_FOLDER,
    connector_folder,
    evidence_folder,
    is_sandbox,
    journal_path,
    tenant_name,
)
from runbook_lib.connectors.registry import (
    DEFAULT,
    connector_names,
    find_procedure,
    known_variables,
)
from runbook_lib.core.fingerprints import read_key
from runbook_lib.core.fleet_selection import selection_digest
from runbook_lib.core.journal import Journal, timestamp, utc_now
from runbook_lib.core.model import FleetRun, Value
from runbook_lib.core.state import HistoryReader
from runbook_lib.engine.headless import archive_sealed
from runbook_lib.engine.known_run import known_values
from runbook_lib.engine.pools import Done, LocalPool, available_memory, default_workers
from runbook_lib.engine.process import ProcessRequest
from runbook_lib.engine.run import new_run_id
from runbook_lib.engine.scheduler_address import check_greeting, check_scheduler
from runbook_lib.errors import (
    EvidenceError,
    ExitCode,
    FleetFileError,
    RunbookError,
    SettingsError,
    describe_error,
)
from runbook_lib.evidence.fleet_record import (
    ConnectorName,
    FleetRecord,
    Status,
    StepName,
    TenantResult,
    read_record,
)
from runbook_lib.evidence.fleet_seal import begin, runs_of, seal_fleet
from runbook_lib.evidence.signing.keys import SigningKey, key_from_settings
from runbook_lib.evidence.verify.fleet import bundles_of, counted_result
from runbook_lib.evidence.verify.verify import Trust

if TYPE_CHECKING:
    from runbook_lib.engine.dask_pool import DaskPool


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetRequest:
    """
    Which tenants to run, and how.

    `workers` is the number of tenants at a time (default: `default_workers`),
    `seconds` the limit of one tenant. `scheduler` is the address of a Dask scheduler, whose
    workers run them instead; with `is_insecure` it may be one without TLS. `only` are
    patterns of names. `resumes` runs what is left of the file's last run, `is_failed`
    what failed.
    """

    file: Path
    evidence: str = ""
    env_file: str = ""
    attestations: str = ""
    workers: int | None = None
    scheduler: str = ""
    is_insecure: bool = False
    seconds: float = 900
    only: Sequence[str] = ()
    resumes: bool = False
    is_failed: bool = False
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)


@dataclass(frozen=True, slots=True)
class Job:
    """
    One tenant's run; `values` are all that is known of it, `settings` the current ones.

    `variables` are the environment variables that no other tenant's process gets.
    """

    tenant: FleetTenant
    values: Mapping[str, Value]
    variables: Sequence[str]
    settings: Mapping[str, Value]

    @property
    def name(self) -> tuple[str, str]:
        """Return what a fleet has once: tenant and connector."""
        return self.tenant.tenant, self.tenant.procedure.id

    @property
    def key(self) -> str:
        """Return the digest of the request, by which a result is recognised."""
        tenant = self.tenant
        parts = [*self.name, tenant.procedure.digest, tenant.given, tenant.references]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    @property
    def spending(self) -> list[tuple[str, str]]:
        """Return the settings that permit a check to spend something, each with what it spends."""
        return [
            (name, check.spends)
            for step in self.tenant.procedure.steps
            for check in step.checks
            for name in check.permitted_by
            if self.values.get(name)
        ]

    @property
    def pending(self) -> TenantResult:
        """Return the result of a job that has not begun."""
        tenant, connector = self.name
        practice = is_sandbox(self.values)
        return TenantResult(tenant=tenant, connector=connector, key=self.key, sandbox=practice)


@dataclass(frozen=True, slots=True)
class Spending:
    """How many tenants have a setting that permits checks to spend something, and what."""

    setting: str
    tenants: int
    spends: str


def prepare(request: FleetRequest) -> Fleet:
    """
    Return the fleet, validated as a whole; nothing is written.

    Raises `FleetFileError` with every mistake of the file, and `SettingsError`.
    """
    if request.scheduler:
        check_scheduler(request.scheduler, is_insecure=request.is_insecure)
        check_greeting(request.scheduler)
    procedures = {name: find_procedure(name) for name in connector_names()}
    named = read_fleet_file(request.file, procedures, DEFAULT)
    evidence = evidence_folder(request.evidence).absolute()
    env_file = request.env_file or find_env_file()
    jobs = {job.name: job for job in _jobs(named.tenants, evidence, env_file, request)}
    values = [(job.tenant.procedure, job.values) for job in jobs.values()]
    words = Path(request.attestations) if request.attestations else None
    unmatched = check_subjects(words, values, now=utc_now()) if words else []
    started_on, fleet_id = timestamp(utc_now()), new_run_id()
    stamp = f"{started_on[:19].replace('-', '').replace(':', '')}Z"
    folder = evidence / FLEET_FOLDER / f"{stamp}-{fleet_id}"
    record = FleetRecord(
        folder, fleet_id, request.file.name, {}, started_on, file_sha256=named.sha256
    )
    names = _only(jobs, request.only)
    prepared = Fleet(
        replace(
            request,
            env_file=str(Path(env_file).absolute()) if env_file else "",
            attestations=str(words.absolute()) if words else "",
        ),
        evidence,
        jobs,
        record,
        unmatched,
    )
    if request.resumes:
        prepared.resume(names)
    else:
        prepared.choose(prepared.failed(names) if request.is_failed else names)
    return prepared


class Fleet:
    """
    A fleet of the tenants in `known`; `jobs` are those that it runs.

    `unmatched` are attestations about no tenant, `gone` are tenants of the resumed run that
    the file no longer names.
    """

    def __init__(
        self,
        request: FleetRequest,
        evidence: Path,
        known: Mapping[tuple[str, str], Job],
        record: FleetRecord,
        unmatched: Sequence[str],
    ) -> None:
        self.jobs: Sequence[Job] = ()
        self.record = record
        self.unmatched = unmatched
        self.gone: Sequence[str] = ()
        self._request = request
        self._evidence = evidence
        self._known = known
        self._taken: list[tuple[str, str]] = []
        self._named: Sequence[tuple[str, str]] = ()
        # NOTE: of each tenant of its file, also of those that do not run now.
        self._is_practice = all(is_sandbox(job.values) for job in known.values())
        self._withheld = {name for job in known.values() for name in job.variables}
        self._keys: dict[bool, SigningKey] = {}
        # NOTE: two records with one number are refused before anything runs.
        self._runs = runs_of(evidence, record.file)

    def choose(self, names: _Names) -> None:
        """Run these tenants, and leave the others of the file out."""
        self.jobs = [self._known[name] for name in names]
        self.record.left_out = tuple(name for name in self._known if name not in set(names))

    def failed(self, names: _Names) -> _Names:
        """Return those whose last run had a failed step, or left no bundle that counts."""
        last: dict[tuple[str, str], TenantResult | None] = {}
        for run in reversed(self._last_runs("--failed")):
            for name, asked in read_record(run.path).results.items():
                if name in self._known and name not in last:
                    last[name] = self._counted(name, (run.fleet_id, asked.key))
            if set(names) <= last.keys():
                break
        results = [(name, last[name]) for name in names if name in last]
        return [name for name, result in results if result is None or result.is_failed]

    def resume(self, names: _Names) -> None:
        """
        Resume the file's last run: a tenant without a bundle that counts for it runs again.

        Only names are read from the record.
        """
        last = self._last_runs("--resume")[-1]
        self._named = list(read_record(last.path).results)
        self.gone = ["{} ({})".format(*name) for name in self._named if name not in self._known]
        self.record = replace(self.record, folder=last.folder, fleet_id=last.fleet_id)
        counted = {name: self._counted(name) for name in self._known}
        for name, job in self._known.items():
            self.record.put(counted[name] or job.pending)
        self._taken = [name for name, result in counted.items() if result]
        self.jobs = [self._known[name] for name in names if not counted[name]]
        bundles = [Path(str(result.bundle)).name for result in counted.values() if result]
        if bundles:
            began = datetime.strptime(min(bundles)[:16], "%Y%m%dT%H%M%SZ")  # noqa: DTZ007
            self.record.started_on = began.strftime("%Y-%m-%dT%H:%M:%SZ")

    def _last_runs(self, option: str) -> Sequence[FleetRecord]:
        if not self._runs:
            msg = f"There is no earlier run of {self.record.file} in {self._evidence}."
            raise SettingsError(msg, next_step=f"Leave {option} out.")
        return self._runs

    def _counted(
        self, name: tuple[str, str], run: tuple[str, str] | None = None
    ) -> TenantResult | None:
        """Return the result of a tenant if a bundle counts for `run`, by default for this one."""
        try:
            return self._result_of(self._known[name], run)
        except (RunbookError, OSError):
            return None

    def _result_of(
        self, job: Job, run: tuple[str, str] | None = None, *, until: str = ""
    ) -> TenantResult:
        """Return what the last bundle of a tenant proves; raises if it does not count."""
        run = run or (self.record.fleet_id, job.key)
        # NOTE: the environment of a cluster's worker may make a run one of practice.
        modes = {is_sandbox(job.values), is_sandbox(job.values) or bool(self._request.scheduler)}
        keys = [self._key(is_sandbox=mode) for mode in modes]
        trust = Trust({key.key_id: key.public for key in keys})
        return counted_result(self._evidence, job.name, run, trust, until=until)

    @property
    def spending(self) -> list[Spending]:
        """Return what the checks of this run may spend."""
        counts = Counter(spent for job in self.jobs for spent in job.spending)
        return [Spending(name, many, spends) for (name, spends), many in sorted(counts.items())]

    def run(self, on_result: Callable[[TenantResult], None]) -> FleetRecord:
        """
        Run every tenant, and return the record, which is begun on disk before and then signed.

        Calls `on_result` with each result, from the caller's thread. An interruption
        (or an error of `on_result`) ends the tenants under way, leaves a record that can be
        resumed, and goes on.
        """
        key = self._key(is_sandbox=self._is_practice)
        pool = self._pool()
        for job in self.jobs:
            self.record.put(job.pending)
        for _, connector in self.record.results:
            procedure = find_procedure(connector)
            steps = tuple(
                StepName(id=step.id, number=procedure.numbers[step.id], title=step.title)
                for step in procedure.steps
            )
            self.record.connectors[connector] = ConnectorName(title=procedure.title, steps=steps)
        try:
            begin(self.record)
        except BaseException:
            list(pool.stop())
            raise
        groups = [[self._request_of(job) for job in group] for group in grouped(self.jobs)]
        try:
            for done in pool.run(groups):
                result = self._result(done)
                self.record.put(result)
                on_result(result)
        except BaseException:
            list(pool.stop())
            raise
        for name in self._taken:
            self._archive(self._known[name])
        self.record.replaced = self._replaced()
        self.record.finished_on = timestamp(utc_now())
        usual = {
            (connector, step.id): step.usual_days
            for connector in self.record.connectors
            for step in find_procedure(connector).steps
        }
        seal_fleet(self.record, key, usual)
        return self.record

    def _replaced(self) -> dict[str, str]:
        """Return the bundles of this run on which no result rests."""
        # NOTE: a run that goes on may have sealed before, as may a worker that was lost. Else a
        # tenant has no bundle but the last.
        several = self._request.resumes or self._request.scheduler
        results = self.record.results
        names = {*self._named, *self._known} if several else results
        replaced: dict[str, str] = {}
        lacking = sorted(name for name in names if several or not results[name].bundle)
        for tenant, connector in lacking:
            with suppress(SettingsError, OSError):
                home = self._evidence / tenant_name(tenant) / connector_folder(connector)
                replaced.update(bundles_of(home, self.record.fleet_id))
        return {name: replaced[name] for name in replaced if name not in self.record.bundles}

    def _archive(self, job: Job) -> None:
        """Archive a bundle that was found again; it does not say whether it was archived."""
        result = self.record.results[job.name]
        try:
            archive_sealed(
                self._evidence / str(result.bundle),
                job.settings,
                job.tenant.given,
                is_sandbox=result.sandbox,
            )
        except (EvidenceError, SettingsError) as error:
            reason, advice = f"Not archived: {error}", error.diagnostics()
            self.record.put(_noted(result, reason, advice, is_archived=False))

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
        key = self._keys[is_sandbox] = key_from_settings(settings, is_sandbox=is_sandbox)
        return key

    def _pool(self) -> LocalPool | DaskPool:
        request = self._request
        if request.scheduler:
            try:
                # NOTE: optional, and slow to import.
                from runbook_lib.engine.dask_pool import DaskPool  # noqa: PLC0415
            except ModuleNotFoundError as error:
                msg = f"--scheduler needs a package that is not installed ({error.name})."
                advice = "pip install distributed, or the extra `cluster` of this package."
                raise SettingsError(msg, next_step=advice) from None
            folder = self.record.folder
            return DaskPool(request.scheduler, self._withheld, request.seconds, folder)
        workers = request.workers or default_workers(os.cpu_count() or 1, available_memory())
        return LocalPool(workers, request.environ, self._withheld, request.seconds)

    def _request_of(self, job: Job) -> ProcessRequest:
        return ProcessRequest(
            connector=job.tenant.procedure.id,
            tenant=job.tenant.tenant,
            evidence=str(self._evidence),
            env_file=self._request.env_file,
            given=job.tenant.given,
            references=job.tenant.references,
            attestations=self._request.attestations,
            variables=job.variables,
            is_once=bool(job.spending),
            fleet_run=FleetRun(
                id=self.record.fleet_id,
                selected=len(self.record.results),
                selected_sha256=selection_digest(self.record.results),
                entry_sha256=job.key,
            ),
        )

    def _result(self, done: Done) -> TenantResult:
        """Return the result of a run that has ended; a defect in it is that tenant's alone."""
        job, event = self._known[done.request.tenant, done.request.connector], done.event
        is_finished = event.get("event") == "finished"
        try:
            bundle = Path(event["bundle"]).name if is_finished else ""
            result = replace(self._result_of(job, until=bundle), seconds=done.seconds)
            if is_finished:
                is_archived, reason, advice = (
                    event[name] for name in ("is_archived", "said", "next_step")
                )
                return _noted(result, reason, advice, is_archived=is_archived)
            # NOTE: its process was lost after it had sealed, maybe before it archived.
            self._taken.append(job.name)
            return result
        except Exception as error:  # noqa: BLE001  (one tenant must not stop the others)
            reason, advice = describe_error(error)
            code = getattr(error, "exit_code", None)
        if not is_finished:
            reason, advice, code = event["said"], event["next_step"], event.get("code")
        # NOTE: settings that a tenant's run refuses leave the tenant open.
        code = ExitCode.REFUSED if code == ExitCode.REFUSED else ExitCode.INCOMPLETE
        unsealed = replace(job.pending, status=Status.UNSEALED, seconds=done.seconds)
        return replace(unsealed, exit_code=code, reason=reason, next_step=advice)


def _noted(result: TenantResult, reason: str, advice: str, *, is_archived: bool) -> TenantResult:
    """Return a result with what went wrong after it was sealed: one without an archive is open."""
    is_open = result.exit_code == ExitCode.COMPLETE and not is_archived
    code = ExitCode.INCOMPLETE if is_open else result.exit_code
    return replace(result, exit_code=code, reason=reason, next_step=advice)


def grouped(jobs: Iterable[Job]) -> list[list[Job]]:
    """Return the jobs by app, the largest groups first; one whose app is not known is alone."""
    groups: dict[object, list[Job]] = {}
    for job in jobs:
        groups.setdefault(job.values.get("app_id") or job.name, []).append(job)
    return sorted(groups.values(), key=len, reverse=True)


def _jobs(
    tenants: Sequence[FleetTenant], evidence: Path, env_file: str, request: FleetRequest
) -> list[Job]:
    """Return a job for each tenant; raises `FleetFileError` for values that are missing."""
    file_values = read_env_file(Path(env_file)) if env_file else {}
    environ = request.environ
    own = [referred_variables(tenant.references.values()) for tenant in tenants]
    shared = referred_variables([*environ.values(), *file_values.values()])
    own_only = set().union(*own) - shared
    common = {key: text for key, text in environ.items() if key not in own_only}
    variables = known_variables()
    jobs, mistakes = [], []
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
        values = known_values(tenant.procedure, _earlier(evidence, tenant), settings)
        lacking = [item.name for item in inputs if item.required and not values.get(item.name)]
        if lacking:
            missing = " and no ".join(lacking)
            mistakes.append(f"{tenant.place}: the tenant {tenant.tenant} has no {missing}.")
        jobs.append(Job(tenant, values, mine, settings.values))
    if mistakes:
        msg = f"Tenants in {request.file} lack values."
        raise FleetFileError(msg, mistakes)
    return jobs


def _earlier(evidence: Path, tenant: FleetTenant) -> Mapping[str, Value]:
    """Return the values of the tenant's earlier runs; its own run reports what is wrong there."""
    journal = Journal(journal_path(evidence, tenant.tenant, tenant.procedure.id))
    if journal.path.exists():
        with suppress(RunbookError, OSError):
            key = read_key(journal.path.parent)
            return HistoryReader(journal, key).read().index.given
    return {}


_Names = Collection[tuple[str, str]]


def _only(names: _Names, patterns: Sequence[str]) -> _Names:
    """Return the jobs of the tenants that match a pattern; all if there is none."""
    tenants = [tenant for tenant, _ in names]
    for pattern in patterns:
        if not any(fnmatchcase(tenant, pattern) for tenant in tenants):
            msg = f"No tenant of the file matches {pattern[:80]}.{suggestion(pattern, tenants)}"
            raise SettingsError(msg)
    return [
        name
        for name in names
        if not patterns or any(fnmatchcase(name[0], pattern) for pattern in patterns)
    ]
