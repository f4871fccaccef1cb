"""
Rebuild `index.html`, the page of all tenants, from the files on disk.

Each command that changes something builds it under one lock, and replaces it at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from runbook_lib.config.workspace import evidence_folder
from runbook_lib.core.clock import timestamp
from runbook_lib.core.files import hold_lock, write_parts
from runbook_lib.errors import BusyError, RunbookError, describe_error, reason_of
from runbook_lib.evidence.reports.index_page import INDEX_PAGE, index_page
from runbook_lib.operations.tenant_list import Name, list_tenants
from runbook_lib.operations.tenant_reader import TenantsOverview, read_tenants
from runbook_lib.operations.watch.watch_state import WatchState, read_state

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
    problem = ""
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
        problem = f"{INDEX_PAGE} is not up to date: {' '.join(describe_error(error))}"
    except OSError as error:
        problem = f"{INDEX_PAGE} cannot be written: {reason_of(error)}."
    if read is None:
        # NOTE: a watch tells what is open also without the page.
        with suppress(RunbookError, OSError):
            read = read_tenants(evidence, now, file=file)
    return read, problem


def _write(folder: Path, read: TenantsOverview, now: datetime) -> None:
    undelivered: list[dict[str, Any]] = []
    with suppress(RunbookError), read_state(folder) as state:
        if state:
            undelivered = _undelivered(state)
    parts = index_page(
        read.statuses,
        read.customers,
        timestamp(now),
        well=read.well,
        undelivered=undelivered,
        notices=read.notices,
    )
    content = (part.encode("utf-8", "backslashreplace") for part in parts)
    write_parts(folder / INDEX_PAGE, content, is_durable=False)


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
