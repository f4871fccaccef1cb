"""
The parts of a sharded run as one: each tenant of the file, with what the shards' records say.

Nothing is run, and no settings are needed. What no record shows is pending, and what may not
belong together is a remark, with which the whole is not complete.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

from runbook_lib.config.fleet_file import read_fleet_file
from runbook_lib.config.settings import find_env_file
from runbook_lib.config.shards import read_run_name
from runbook_lib.config.workspace import evidence_folder
from runbook_lib.connectors import DEFAULT
from runbook_lib.connectors.registry import connector_names, find_procedure
from runbook_lib.engine.fleet import Job, described, new_record, signing_key
from runbook_lib.errors import SettingsError
from runbook_lib.evidence.chain import STATEMENT_NAME
from runbook_lib.evidence.fleet_chain import begin, records_of
from runbook_lib.evidence.fleet_record import FleetRecord, Part, TenantResult
from runbook_lib.evidence.fleet_seal import seal_fleet
from runbook_lib.evidence.gather import compare
from runbook_lib.plain_text import counted

__all__ = ["MergeRequest", "merge"]

# NOTE: a nightly run begins a few minutes more or less than 24 hours after the last one.
_APART = timedelta(hours=23)
_MOST_LISTED = 10
_NO_BUNDLE = "Its bundle is not in this evidence folder."


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeRequest:
    """
    Whose parts to put together: of the tenants in `file`, in the run called `run_name`.

    `folders` are evidence folders that are first copied into `evidence`.
    """

    file: Path
    evidence: str = ""
    env_file: str = ""
    run_name: str = ""
    folders: Sequence[Path] = ()
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)


@dataclass(frozen=True, slots=True)
class _Found:
    """The newest record of each shard, by its index, the newest first; and what does not fit."""

    count: int
    parts: Mapping[int, FleetRecord]
    others: Sequence[str]


def merge(request: MergeRequest) -> FleetRecord:
    """
    Return the merged record, which is written into a new folder.

    Raises `SettingsError` before anything is written: for mistakes in the file of tenants,
    records that cannot be read, and where there is no part at all.
    """
    procedures = {name: find_procedure(name) for name in connector_names()}
    named = read_fleet_file(request.file, procedures, DEFAULT)
    evidence = evidence_folder(request.evidence).absolute()
    asked = new_record(evidence, request.file.name, named.sha256)
    asked.run_name = read_run_name(request.run_name, request.environ)
    lacking = compare(request.folders, evidence)
    if not any(any(_parts(each, asked)) for each in (evidence, *request.folders)):
        msg = f"There is no shard's record of {asked.title} in {evidence}."
        advice = "Run `runbook fleet` with --shard first, or name another folder with --evidence."
        raise SettingsError(msg, next_step=advice)
    lacking.copy()
    found = _find(_parts(evidence, asked), asked)
    jobs = [Job(each, each.given, (), "") for each in named.tenants]
    record = _merged(asked, found, jobs)
    practice = all(each.sandbox for each in record.results.values())
    key = signing_key(request.env_file or find_env_file(), request.environ, is_sandbox=practice)
    begin(record)
    seal_fleet(record, key)
    return record


def _parts(evidence: Path, asked: FleetRecord) -> Iterable[FleetRecord]:
    """Return the records of shards, of the run that is named, the newest first."""
    return (
        record
        for record in records_of(evidence, asked.file)
        if record.shard and asked.run_name in ("", record.run_name)
    )


def _find(records: Iterable[FleetRecord], asked: FleetRecord) -> _Found:
    """Return the parts, of as many shards as the newest record says."""
    count, newest = 0, None
    parts: dict[int, FleetRecord] = {}
    others: list[str] = []
    for record in records:
        index, of = (int(number) for number in str(record.shard).split("/"))
        newest, count = newest or record, count or of
        is_near = bool(asked.run_name) or newest.began - record.began < _APART
        if of == count and index <= count:
            parts.setdefault(index, record)
        elif is_near:
            others.append(str(record.shard))
        elif len(parts) == count:
            break
    return _Found(count, parts, sorted(set(others)))


def _merged(asked: FleetRecord, found: _Found, jobs: Iterable[Job]) -> FleetRecord:
    parts = list(found.parts.values())
    names = {each.run_name for each in parts}
    ends = [each.finished_on for each in parts]
    is_whole = len(parts) == found.count and None not in ends
    record = replace(
        asked,
        run_name=names.pop() if len(names) == 1 else "",
        started_on=min(each.started_on for each in parts),
        finished_on=max(filter(None, ends)) if is_whole else None,
        parts=tuple(_named(found.parts[index]) for index in sorted(found.parts)),
    )
    several = []
    for job in jobs:
        seen = [each for each in parts if job.name in each.results]
        several += [job.tenant.tenant] * (len(seen) > 1)
        record.put(_result(job, seen))
        record.connectors[job.tenant.procedure.id] = described(job.tenant.procedure)
    record.remarks = tuple(_remarks(found, several))
    return record


def _named(record: FleetRecord) -> Part:
    return Part(
        shard=str(record.shard),
        fleet_id=record.fleet_id,
        run_name=record.run_name,
        started_on=record.started_on,
        finished_on=record.finished_on,
    )


def _result(job: Job, seen: Sequence[FleetRecord]) -> TenantResult:
    """Return the newest result for what the file says now."""
    for record in seen:
        result = record.results[job.name]
        if result.key == job.key and _is_here(result, record):
            return result
    why = "In no shard."
    if seen:
        is_here = _is_here(seen[0].results[job.name], seen[0])
        why = f"The file says otherwise since shard {seen[0].shard} ran." if is_here else _NO_BUNDLE
    return replace(job.pending, reason=why)


def _is_here(result: TenantResult, record: FleetRecord) -> bool:
    """Return whether the bundle that a result rests on is in this evidence folder."""
    evidence = record.folder.parent.parent
    return result.bundle is None or (evidence / result.bundle / STATEMENT_NAME).is_file()


def _remarks(found: _Found, several: Sequence[str]) -> Iterable[str]:
    """Yield what is missing, and what may not belong together."""
    parts = list(found.parts.values())
    missing = [f"{n}/{found.count}" for n in range(1, found.count + 1) if n not in found.parts]
    if missing:
        yield f"Of {counted(found.count, 'shard')} there is no record of {_listed(missing)}."
    if found.others:
        count = counted(found.count, "shard")
        yield f"Left out, since this run has {count}: {_listed(found.others)}."
    late = max(parts, key=lambda each: each.began)
    early = [f"{each.shard}" for each in parts if late.began - each.began >= _APART]
    if early:
        yield f"About a day or more before shard {late.shard} began {_listed(early)}."
    if len({each.run_name for each in parts}) > 1:
        named = [f"{each.shard} of {each.run_name or 'no name'}" for each in parts]
        yield f"The shards are of different runs: {_listed(named)}."
    if several:
        yield f"In several shards, of which the newest counts: {_listed(several)}."


def _listed(names: Sequence[str]) -> str:
    """Return the names as text; of many only the first."""
    more = len(names) - _MOST_LISTED
    return f"{', '.join(names[:_MOST_LISTED])}{f' and {more:,} more' if more > 0 else ''}"
