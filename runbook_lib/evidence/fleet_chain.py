"""
The chain of a fleet's records: each names the one before it, so a missing one is noticed.

The records of one file of tenants are a chain. Neither the names of folders nor the times
of files say which record is the newest: a clock may have been wrong.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from filelock import FileLock, Timeout

from runbook_lib.config.workspace import FLEET_FOLDER
from runbook_lib.core.files import check_place, read_plain
from runbook_lib.errors import ChainError, SettingsError
from runbook_lib.evidence.chain import STATEMENT_NAME
from runbook_lib.evidence.fleet_record import (
    FLEET_NAME,
    FleetRecord,
    Previous,
    read_head,
)
from runbook_lib.evidence.signing.statement import LARGEST_ENVELOPE, digest

_LOCK_NAME, _LOCK_SECONDS = "fleets.lock", 60


def heads_of(evidence: Path, file: str) -> list[FleetRecord]:
    """
    Return the record of each run of the file of this name, without results, the oldest first.

    Raises `FormError` for another form of a record, `SettingsError` for one that cannot
    be read.
    """
    paths = sorted(evidence.glob(f"{FLEET_FOLDER}/*/{FLEET_NAME}"))
    return _ordered([head for head in map(read_head, paths) if head.file == file])


def newest(chain: Sequence[FleetRecord]) -> FleetRecord | None:
    """Return the end of the chain; raises `SettingsError` where there are several."""
    try:
        check_ends(chain)
    except ChainError as error:
        advice = "Find out which of them ran here, and move the folder of the other away."
        raise SettingsError(str(error), next_step=advice) from None
    named = _named(chain)
    return next((head for head in chain if head.fleet_id not in named), None)


def check_ends(chain: Sequence[FleetRecord]) -> None:
    """Raise `ChainError`, with their folders, unless the records of a chain have one end."""
    seen: dict[str, FleetRecord] = {}
    for head in chain:
        if twin := seen.get(head.fleet_id):
            names = f"{twin.folder.name} and {head.folder.name}"
            raise ChainError(f"Two records are of the same run: {names}.")
        seen[head.fleet_id] = head
    named = _named(chain)
    ends = [head.folder.name for head in chain if head.fleet_id not in named]
    if len(ends) > 1:
        listed = " and ".join(ends)
        raise ChainError(f"The records of {chain[0].file} have {len(ends)} ends: {listed}.")
    if chain and not ends:
        listed = " and ".join(head.folder.name for head in chain)
        raise ChainError(f"The records of {chain[0].file} name each other in a circle: {listed}.")


def runs_before(record: FleetRecord) -> tuple[Previous, ...]:
    """Return what `record` names as the runs before it; raises like `heads_of` and `newest`."""
    heads = heads_of(record.folder.parents[1], record.file)
    last = newest([head for head in heads if head.fleet_id != record.fleet_id])
    if last is None:
        return ()
    statement = statement_digest(last.folder)
    # NOTE: a run that has not ended may be removed; the one before it must still be named.
    earlier = () if statement else refresh(last.previous, last.folder.parent)
    return Previous(last.fleet_id, statement), *earlier


def begin(record: FleetRecord) -> None:
    """
    Write the record of a run that begins, as the end of its chain; raises like `runs_before`.

    One fleet at a time begins; raises `SettingsError` after a minute of waiting.
    """
    evidence = record.folder.parents[1]
    evidence.mkdir(parents=True, exist_ok=True)
    path = evidence / _LOCK_NAME
    check_place(path)
    try:
        with FileLock(path, timeout=_LOCK_SECONDS):
            record.previous = runs_before(record)
            record.write()
    except Timeout:
        msg = f"Another fleet has been beginning in {evidence} for over {_LOCK_SECONDS} s."
        raise SettingsError(msg) from None


def refresh(previous: Iterable[Previous], home: Path) -> tuple[Previous, ...]:
    """Return the runs before, with the digest of each statement that there is now in `home`."""
    refreshed = []
    for run in previous:
        folders = list(home.glob(f"*-{run.fleet_id}"))
        statement = statement_digest(folders[0]) if len(folders) == 1 else None
        refreshed.append(replace(run, statement=statement or run.statement))
    return tuple(refreshed)


def statement_digest(folder: Path) -> str | None:
    """Return the SHA-256 of the statement over a fleet's run, if there is one."""
    try:
        return digest(read_plain(folder / STATEMENT_NAME, LARGEST_ENVELOPE))
    except OSError:
        return None


def _named(chain: Iterable[FleetRecord]) -> set[str]:
    return {run.fleet_id for head in chain for run in head.previous}


def _ordered(heads: Sequence[FleetRecord]) -> list[FleetRecord]:
    """Return the records in the order of their chains; of several chains, by their times."""
    known = {head.fleet_id for head in heads}
    after: dict[str, list[FleetRecord]] = defaultdict(list)
    for head in heads:
        before = next((run.fleet_id for run in head.previous if run.fleet_id in known), "")
        after[before].append(head)
    # NOTE: a record is as new as the newest before it, whatever its clock said.
    rank: dict[str, tuple[tuple[str, int], int]] = {"": (("", 0), 0)}
    waiting = [""]
    while waiting:
        name = waiting.pop()
        (time, depth) = rank[name]
        for head in after.pop(name, ()):
            rank[head.fleet_id] = max(time, _age(head.path)), depth + 1
            waiting.append(head.fleet_id)
    return sorted(heads, key=lambda head: rank.get(head.fleet_id, (_age(head.path), 0)))


def _age(path: Path) -> tuple[str, int]:
    """Return when a run began, by its folder's name, and within that second when it was written."""
    return path.parent.name.partition("-")[0], path.stat().st_mtime_ns
