"""
A fleet: the runs of many tenants, each in a process of its own.

Tenants with one App ID run one after the other, since they share its rate limits.
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
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from runbook_lib.config.attestations import nearest
from runbook_lib.config.fleet_file import FleetTenant, read_fleet_file
from runbook_lib.config.runner import (
    SIGNING_KEY,
    SIGNING_PASSPHRASE,
    SIGNING_PUBLIC_KEY,
    inputs_of,
)
from runbook_lib.config.settings import find_env_file, read_env_file, resolve
from runbook_lib.config.shards import read_run_name, read_shard
from runbook_lib.config.workspace import FLEET_FOLDER, evidence_folder, is_sandbox, journal_path
from runbook_lib.connectors import DEFAULT
from runbook_lib.connectors.registry import connector_names, find_procedure, known_variables
from runbook_lib.core.fingerprints import read_key
from runbook_lib.core.journal import Journal, timestamp, utc_now
from runbook_lib.core.procedure import Procedure, Value
from runbook_lib.core.state import HistoryReader, RunOutcome
from runbook_lib.engine.fleet_words import check_words
from runbook_lib.engine.pools import Done, LocalPool, Pool
from runbook_lib.engine.process import ProcessRequest
from runbook_lib.engine.run import known_values, new_run_id
from runbook_lib.errors import ExitCode, FleetFileError, RunbookError, SettingsError
from runbook_lib.evidence.fleet_record import FleetRecord, Status, TenantResult, records_of
from runbook_lib.evidence.fleet_seal import seal_fleet, unseal_fleet
from runbook_lib.evidence.signing.keys import SigningKey, key_from_settings

__all__ = [
    "Fleet",
    "FleetRequest",
    "Job",
    "Spending",
    "described",
    "grouped",
    "new_record",
    "prepare",
    "signing_key",
]

# A run waits for remote systems and for the disk for half of its time.
_WORKERS_PER_CORE, _MOST_WORKERS = 2, 16
_REFERENCE = "env:"
_EXIT_CODES = {
    RunOutcome.COMPLETE: ExitCode.COMPLETE,
    RunOutcome.FAILED: ExitCode.FAILED,
    RunOutcome.INCOMPLETE: ExitCode.INCOMPLETE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetRequest:
    """
    Which tenants to run, and how.

    `workers` is the number of processes at a time (0: two for each core, at most 16),
    `seconds` the limit of one tenant. `scheduler` is the address of a Dask scheduler, whose
    workers run them instead. `only` are patterns of names. With `resumes`
    what is left of the file's last run, with `is_failed` what failed. `shard` is `I/N`, or
    `N` where the orchestrator says which part this is.
    """

    file: Path
    evidence: str = ""
    env_file: str = ""
    attestations: str = ""
    workers: int = 0
    scheduler: str = ""
    seconds: float = 900
    only: Sequence[str] = ()
    resumes: bool = False
    is_failed: bool = False
    shard: str | None = None
    run_name: str = ""
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)


@dataclass(frozen=True, slots=True)
class Job:
    """
    One tenant's run; `values` are all that is known of it.

    `variables` are those of the environment that no other tenant's process gets.
    `shard_key` says which shard it is in, whatever evidence each part of a fleet has.
    """

    tenant: FleetTenant
    values: Mapping[str, Value]
    variables: Sequence[str]
    shard_key: str

    @property
    def name(self) -> tuple[str, str]:
        """Return what a fleet has once: tenant and connector."""
        return self.tenant.tenant, self.tenant.procedure.id

    @property
    def key(self) -> str:
        """Return the digest of what is to be done, with which a result is found again."""
        tenant = self.tenant
        asked = [*self.name, tenant.procedure.digest, tenant.given, tenant.references]
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()

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
    procedures = {name: find_procedure(name) for name in connector_names()}
    tenants = read_fleet_file(request.file, procedures, DEFAULT)
    evidence = evidence_folder(request.evidence).absolute()
    env_file = request.env_file or find_env_file()
    jobs = {job.name: job for job in _jobs(tenants, evidence, env_file, request)}
    values = [(job.tenant.procedure, job.values) for job in jobs.values()]
    words = Path(request.attestations) if request.attestations else None
    unmatched = check_words(words, values) if words else []
    shard = None if request.shard is None else read_shard(request.shard, request.environ)
    record = replace(
        new_record(evidence, request.file.name),
        shard=str(shard) if shard else None,
        run_name=read_run_name(request.run_name, request.environ if shard else {}),
    )
    wanted = _only(jobs, request.only)
    if shard:
        wanted = [name for name in wanted if shard.has(jobs[name].shard_key)]
    if request.resumes:
        record, wanted = _left(jobs, wanted, record)
    elif request.is_failed:
        wanted = _failed(wanted, record)
    return Fleet(
        replace(
            request,
            env_file=str(Path(env_file).absolute()) if env_file else "",
            attestations=str(words.absolute()) if words else "",
        ),
        evidence,
        [jobs[name] for name in wanted],
        record,
        unmatched,
        is_practice=all(is_sandbox(job.values) for job in jobs.values()),
    )


class Fleet:
    """
    A fleet that is ready to run; `unmatched` are attestations that are about no tenant.

    It `is_practice` if every tenant of its file is, also of those that do not run now.
    """

    def __init__(
        self,
        request: FleetRequest,
        evidence: Path,
        jobs: Sequence[Job],
        record: FleetRecord,
        unmatched: Sequence[str],
        *,
        is_practice: bool,
    ) -> None:
        self.jobs = jobs
        self.record = record
        self.unmatched = unmatched
        self._is_practice = is_practice
        self._request = request
        self._evidence = evidence
        self._names = {job.name: job for job in jobs}

    @property
    def spending(self) -> list[Spending]:
        """Return what the checks of this run may spend."""
        counts = Counter(spent for job in self.jobs for spent in job.spending)
        return [Spending(name, many, spends) for (name, spends), many in sorted(counts.items())]

    def run(self, on_result: Callable[[TenantResult], None]) -> FleetRecord:
        """
        Run every tenant, and return the record, which is on disk after each.

        Calls `on_result` with each result, from the caller's thread. An interruption
        (or an error of `on_result`) ends the tenants under way, leaves a record that can be
        resumed, and goes on.
        """
        environ = {
            name: text for name, text in self._request.environ.items() if name not in self._withheld
        }
        key = signing_key(self._request.env_file, environ, is_sandbox=self._is_practice)
        pool = self._pool()
        self.record.finished_on = None
        unseal_fleet(self.record)
        for job in self.jobs:
            self.record.put(job.pending)
            self.record.connectors[job.tenant.procedure.id] = described(job.tenant.procedure)
        self.record.write()
        groups = [[self._asked(job) for job in group] for group in grouped(self.jobs)]
        try:
            for done in pool.run(groups):
                self._note(self._result(done), on_result)
        except BaseException:
            for done in pool.stop():
                result = self._result(done)
                if result.status is Status.UNSEALED:
                    result = replace(result, status=Status.INTERRUPTED, reason="Interrupted.")
                self.record.put(result)
            self.record.write()
            raise
        self.record.finished_on = timestamp(utc_now())
        seal_fleet(self.record, key)
        return self.record

    def _pool(self) -> Pool:
        request = self._request
        if request.scheduler:
            return _dask_pool(request, self._withheld, self.record.folder)
        workers = request.workers or min(_WORKERS_PER_CORE * (os.cpu_count() or 1), _MOST_WORKERS)
        return LocalPool(workers, request.environ, self._withheld, request.seconds)

    @property
    def _withheld(self) -> set[str]:
        """Return the variables that belong to single tenants."""
        return {name for job in self.jobs for name in job.variables}

    def _note(self, result: TenantResult, on_result: Callable[[TenantResult], None]) -> None:
        # NOTE: a full disk must not stop the others; the last writing says so.
        with suppress(OSError):
            self.record.append(result)
        on_result(result)

    def _asked(self, job: Job) -> ProcessRequest:
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
        )

    def _result(self, done: Done) -> TenantResult:
        """Return what the last event of a run says."""
        job, event = self._names[done.request.tenant, done.request.connector], done.event
        result = replace(job.pending, seconds=done.seconds, reason=event["said"])
        result = replace(result, next_step=event["next_step"])
        if event["event"] == "refused":
            # NOTE: settings that a tenant's run refuses leave the tenant open.
            is_refused = event.get("code") == ExitCode.REFUSED
            code = ExitCode.REFUSED if is_refused else ExitCode.INCOMPLETE
            return replace(result, status=Status.UNSEALED, exit_code=code)
        code = _EXIT_CODES[RunOutcome(event["outcome"])]
        is_open = code == ExitCode.COMPLETE and not event["is_archived"]
        return replace(
            result,
            status=Status.SEALED,
            outcome=event["outcome"],
            exit_code=ExitCode.INCOMPLETE if is_open else code,
            run_id=event["run_id"],
            bundle=Path(event["bundle"]).relative_to(self._evidence).as_posix(),
            steps=tuple(event["steps"]),
        )


def _dask_pool(request: FleetRequest, withheld: Collection[str], folder: Path) -> Pool:
    try:
        from runbook_lib.engine.dask_pool import DaskPool  # noqa: PLC0415  (optional, and slow)
    except ModuleNotFoundError as error:
        msg = f"--scheduler needs a package that is not installed ({error.name})."
        advice = "pip install distributed, or the extra `cluster` of this package."
        raise SettingsError(msg, next_step=advice) from None
    return DaskPool(request.scheduler, withheld, request.seconds, folder)


def grouped(jobs: Iterable[Job]) -> list[list[Job]]:
    """Return the jobs by App ID, the largest groups first; one without an App ID is alone."""
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
    own = [_referred(each.references.values()) for each in tenants]
    shared = _referred([*environ.values(), *file_values.values()])
    others = set().union(*own) - shared
    common = {key: text for key, text in environ.items() if key not in others}
    variables = known_variables()
    jobs, mistakes = [], []
    for tenant, names in zip(tenants, own, strict=True):
        mine = sorted(names & others)
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
            said = f"the tenant {tenant.tenant} has no {' and no '.join(lacking)}."
            mistakes.append(f"line {tenant.line}: {said}")
        # NOTE: not what a journal knows: a part of the fleet may have evidence that others lack.
        shard_key = str(settings.values.get("app_id", tenant.tenant))
        jobs.append(Job(tenant, values, mine, shard_key))
    if mistakes:
        msg = f"The file of tenants {request.file} lacks values."
        raise FleetFileError(msg, mistakes)
    return jobs


def _referred(texts: Iterable[str]) -> set[str]:
    """Return the variables in references of the form `env:NAME`."""
    return {text.removeprefix(_REFERENCE) for text in texts if text.startswith(_REFERENCE)}


def _earlier(evidence: Path, tenant: FleetTenant) -> Mapping[str, Value]:
    """Return what the tenant's earlier runs were given; its own run says what is wrong there."""
    journal = Journal(journal_path(evidence, tenant.tenant, tenant.procedure.id))
    if journal.path.exists():
        with suppress(RunbookError, OSError):
            key = read_key(journal.path.parent)
            return HistoryReader(journal, key).read().index.given
    return {}


def signing_key(env_file: str, environ: Mapping[str, str], *, is_sandbox: bool) -> SigningKey:
    """Return the key of whoever runs the fleet: the practice key only if all of it is practice."""
    settings = resolve(
        (SIGNING_KEY, SIGNING_PUBLIC_KEY, SIGNING_PASSPHRASE),
        given={},
        env_file=read_env_file(Path(env_file)) if env_file else {},
        environ=environ,
        others=known_variables(),
    )
    return key_from_settings(settings, is_sandbox=is_sandbox)


def new_record(evidence: Path, file: str) -> FleetRecord:
    """Return the record of a run of the file of this name, which is not written yet."""
    now, fleet_id = timestamp(utc_now()), new_run_id()
    stamp = f"{now[:19].replace('-', '').replace(':', '')}Z"
    return FleetRecord(evidence / FLEET_FOLDER / f"{stamp}-{fleet_id}", fleet_id, file, {}, now)


def described(procedure: Procedure) -> Mapping[str, Any]:
    """Return title and steps of a connector, as the record has them."""
    numbers = procedure.numbers
    steps = [
        {"id": step.id, "number": numbers[step.id], "title": step.title} for step in procedure.steps
    ]
    return {"title": procedure.title, "steps": steps}


_Names = Collection[tuple[str, str]]


def _only(names: _Names, patterns: Sequence[str]) -> _Names:
    """Return the jobs of the tenants that match a pattern; all if there is none."""
    tenants = [tenant for tenant, _ in names]
    for pattern in patterns:
        if not any(fnmatchcase(tenant, pattern) for tenant in tenants):
            msg = f"No tenant of the file matches {pattern[:80]}.{nearest(pattern, tenants)}"
            raise SettingsError(msg)
    return [
        name
        for name in names
        if not patterns or any(fnmatchcase(name[0], pattern) for pattern in patterns)
    ]


def _left(
    jobs: Mapping[tuple[str, str], Job], wanted: _Names, asked: FleetRecord
) -> tuple[FleetRecord, _Names]:
    """Return the record of the last run of what is `asked` for, and the jobs that it has left."""
    record = next((each for each in _earlier_records(asked) if _is_same_run(each, asked)), None)
    if record is None:
        raise _no_earlier_run(asked, "--resume")
    if record.parts:
        # NOTE: a merged record says what the shards' records said then, and stays so.
        record = replace(asked, connectors=record.connectors, results=record.results)
    left = [
        name
        for name, result in record.results.items()
        if name in wanted and (result.status is not Status.SEALED or result.key != jobs[name].key)
    ]
    return record, left


def _failed(wanted: _Names, asked: FleetRecord) -> _Names:
    """Return the jobs whose last run failed; a shard's, by the records of this shard alone."""
    last: dict[tuple[str, str], TenantResult] = {}
    record = None
    for record in _earlier_records(asked):
        # NOTE: a merged record repeats what the shards' own records say, which may be newer.
        for name, result in () if record.parts else record.results.items():
            if result.status in (Status.SEALED, Status.UNSEALED):
                last.setdefault(name, result)
        if set(wanted) <= last.keys():
            break
    if record is None:
        raise _no_earlier_run(asked, "--failed")
    return [name for name in wanted if name in last and last[name].is_failed]


def _earlier_records(asked: FleetRecord) -> Iterable[FleetRecord]:
    """Yield the records of the file, those of a shard alone where one is asked for."""
    records = records_of(asked.folder.parents[1], asked.file)
    return (record for record in records if asked.shard in (None, record.shard))


def _is_same_run(record: FleetRecord, asked: FleetRecord) -> bool:
    """Return whether `record` can be continued: the same part, of the run that is named."""
    return record.shard == asked.shard and asked.run_name in ("", record.run_name)


def _no_earlier_run(asked: FleetRecord, option: str) -> SettingsError:
    msg = f"There is no earlier run of {asked.title} in {asked.folder.parents[1]}."
    return SettingsError(msg, next_step=f"Leave {option} out.")
