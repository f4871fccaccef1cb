"""
Rebuild `index.html`, the page of all tenants, from the files on disk.

Each command that changes something builds it under one lock, and replaces it at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from runbook_lib.config.workspace import evidence_folder
from runbook_lib.core.clock import timestamp
from runbook_lib.core.files import hold_lock, write_parts
from runbook_lib.engine.tenant_list import Name, list_tenants
from runbook_lib.engine.tenant_reader import TenantsOverview, read_tenants
from runbook_lib.engine.watch.digest import (
    ProblemPhase,
    WatchedView,
    digest_entries,
    problem_document,
)
from runbook_lib.engine.watch.watch_state import WatchState, read_state
from runbook_lib.errors import BusyError, RunbookError, SettingsError, describe_error, reason_of
from runbook_lib.evidence.fleet_result import FleetNotes, notes_in
from runbook_lib.evidence.reports.index_page import INDEX_PAGE, index_page
from runbook_lib.evidence.reports.tenant_status import LastRun

_LOCK_TIMEOUT_SECONDS = 60.0
_DAY = timedelta(days=1)


def build_index(
    evidence: str, now: datetime, *, file: Path | None = None, alone: Iterable[Name] = ()
) -> tuple[TenantsOverview | None, str]:
    """
    List the tenants of `file`, and those that were run `alone`; then build the page.

    Return the tenants that it shows, and why it could not be built. A page that fails undoes
    nothing of the command.
    """
    read = None
    try:
        folder = evidence_folder(evidence)
        if not folder.is_dir():
            return None, ""
        list_tenants(folder, file=file, alone=alone)
        busy = BusyError("Another process builds the page.", next_step="It is built again later.")
        with hold_lock(folder / "index.lock", seconds=_LOCK_TIMEOUT_SECONDS, busy=busy):
            read = read_tenants(str(folder), now)
            _write(folder, read, now)
    except RunbookError as error:
        return read, f"{INDEX_PAGE} is not up to date: {' '.join(describe_error(error))}"
    except OSError as error:
        return read, f"{INDEX_PAGE} cannot be written: {reason_of(error)}."
    return read, ""


def _write(folder: Path, read: TenantsOverview, now: datetime) -> None:
    changes: list[dict[str, Any]] = []
    undelivered: list[dict[str, Any]] = []
    with suppress(RunbookError), read_state(folder) as state:
        if state:
            changes = _changes(state, read, now)
            undelivered = _undelivered(state)
    parts = index_page(
        read.statuses,
        read.customers,
        changes,
        _last_run(folder, read),
        timestamp(now),
        undelivered=undelivered,
        notices=read.notices,
    )
    content = (part.encode("utf-8", "backslashreplace") for part in parts)
    write_parts(folder / INDEX_PAGE, content, is_durable=False)


def _changes(state: WatchState, read: TenantsOverview, now: datetime) -> list[dict[str, Any]]:
    """Return the problems that began, changed or ended in the last day, by cause."""
    views = {
        f"{status.connector}/{status.tenant}": WatchedView(
            status.tenant, status.connector, status.is_practice
        )
        for status in read.statuses
    }
    yesterday = timestamp(now - _DAY)
    recent = [
        problem
        for key in views
        for problem in state.problems.read(tenant=key)
        if (problem.ended_on or problem.on) >= yesterday
    ]
    newest = max((status.polled_on or "" for status in read.statuses), default="")
    began = [problem for problem in recent if not problem.ended_on]
    ended = [problem for problem in recent if problem.ended_on and not problem.is_superseded]
    changes = []
    for phase, problems in ((ProblemPhase.NEW, began), (ProblemPhase.ENDED, ended)):
        for entry in digest_entries(phase, problems, views):
            document = problem_document(entry.first, views[entry.first.tenant])
            changes.append(
                {
                    **document,
                    "title": entry.title,
                    "label": entry.label,
                    "is_new": document["on"] >= newest,
                    "tenants": entry.tenants,
                    "same_cause": [p.place for p in entry.problems if p.place != entry.first.place],
                }
            )
    return changes


def _undelivered(state: WatchState) -> list[dict[str, Any]]:
    """Return the tenants whose receiver did not accept its last digest, and why."""
    refused = {row.receiver: row.refusal for row in state.receivers.read() if row.refusal}
    return [
        {
            "tenants": [key.partition("/")[2] for key in digest.tenants],
            "reason": refused[digest.receiver],
        }
        for digest in state.digests.read()
        if digest.receiver in refused
    ]


def _last_run(folder: Path, read: TenantsOverview) -> LastRun | None:
    """Return the newest run of a fleet; each tenant's newest bundle says how it ended."""
    with suppress(SettingsError):
        fleet_runs: Sequence[tuple[Path, FleetNotes]] = notes_in(folder)
        if fleet_runs:
            notes = max(
                (notes for _, notes in fleet_runs), key=lambda run_notes: run_notes.started_on
            )
            return _run_of(notes, read)
    return None


def _run_of(notes: FleetNotes, read: TenantsOverview) -> LastRun:
    unsealed: Mapping[Name, str] = {
        (entry.tenant, entry.connector): entry.reason for entry in notes.unsealed
    }
    counts = Counter(
        str(status.outcome)
        for status in read.statuses
        if status.outcome
        and (status.tenant, status.connector) not in unsealed
        and status.sealed_on >= notes.started_on[:19]
    )
    counts["not sealed"] = len(unsealed)
    return LastRun(
        fleet_id=notes.fleet_id,
        file=notes.file,
        started_on=notes.started_on,
        counts=tuple((word, number) for word, number in sorted(counts.items()) if number),
        problems=tuple((tenant, reason) for (tenant, _), reason in sorted(unsealed.items())),
    )
