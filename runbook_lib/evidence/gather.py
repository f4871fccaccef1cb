"""
Evidence that lies apart, brought into one folder: of each tenant the copy that goes furthest.

The parts of a fleet that ran on machines without a common disk leave a folder each. A journal
only ever grows, so of two copies one goes on where the other ends; else nothing is copied.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NoReturn

from runbook_lib.config.workspace import (
    FLEET_FOLDER,
    KEYS_FOLDER,
    connector_folder,
    refuse_twin,
    tenant_name,
)
from runbook_lib.core.files import draft_beside, kind_of, open_plain, remove, sync_folder
from runbook_lib.core.journal import JOURNAL_NAME
from runbook_lib.core.run_lock import run_lock
from runbook_lib.core.state import STATE_NAME
from runbook_lib.errors import SettingsError
from runbook_lib.evidence.chain import draft_folder
from runbook_lib.evidence.fleet_record import FLEET_NAME, FleetRecord, Status, read_record
from runbook_lib.remote.rate_limits import COOL_DOWNS_NAME, KeptCoolDowns

__all__ = ["Gathering", "compare"]

_BLOCK = 1024 * 1024
# Locks belong to a machine, the index is made again from the journal, and that comes last.
_NOT_COPIED = re.compile(rf".*\.lock|run\.holder|{STATE_NAME}|{JOURNAL_NAME}|\.(?!sealed-).*")
_APART = "Keep both as they are, and find out which is right."


@dataclass(frozen=True, slots=True)
class Gathering:
    """What an evidence folder lacks: each place in it, and what comes there."""

    homes: Mapping[Path, Path]
    records: Mapping[Path, FleetRecord]
    keys: Mapping[Path, Path]
    cool_downs: Mapping[Path, Sequence[Path]]

    def copy(self) -> None:
        """Copy it; raises `BusyError` if a tenant runs meanwhile, and `OSError`."""
        for home, leader in self.homes.items():
            _copy_home(leader, home)
        for place, record in self.records.items():
            _replace_folder(record.folder, place)
        for place, key in self.keys.items():
            _copy_file(key, place)
        for place, paths in self.cool_downs.items():
            for path in paths:
                KeptCoolDowns(place).add(path)


def compare(sources: Sequence[Path], evidence: Path) -> Gathering:
    """
    Return what `evidence` lacks of the evidence folders `sources`; nothing is written.

    Nothing that is there is to be lost. Raises `SettingsError` for a folder without a fleet's
    record, a link or an odd file, and for copies of a journal or a key that contradict each
    other.
    """
    for source in sources:
        _refuse_odd(source)
    cool_downs = [path for each in sources if (path := each / COOL_DOWNS_NAME).exists()]
    return Gathering(
        _homes(sources, evidence),
        _records(sources, evidence),
        _keys(sources, evidence),
        {evidence / COOL_DOWNS_NAME: cool_downs},
    )


def _refuse_odd(source: Path) -> None:
    """Raise `SettingsError` unless this is a fleet's evidence, of plain files and folders."""
    if not (source / FLEET_FOLDER).is_dir():
        msg = f"{source} has no record of a fleet."
        raise SettingsError(msg, next_step="Name a part's evidence folder itself with --from.")
    for folder, folders, files in os.walk(source, onerror=_refuse_unread):
        for path in (Path(folder, name) for name in (*folders, *files)):
            kind = kind_of(path.lstat().st_mode)
            if kind not in ("", "a folder"):
                msg = f"{path} is {kind}, and evidence has none."
                raise SettingsError(msg, next_step="Remove it there; nothing was copied.")


def _refuse_unread(error: OSError) -> NoReturn:
    msg = f"{error.filename} cannot be read: {error.strerror}."
    raise SettingsError(msg, next_step="Allow reading it; nothing was copied.")


def _homes(sources: Iterable[Path], evidence: Path) -> dict[Path, Path]:
    """Return what to copy into each home in `evidence`: the one whose journal goes furthest."""
    found: dict[Path, list[Path]] = {}
    for source in sources:
        for home in _homes_in(source):
            found.setdefault(evidence / home.relative_to(source), []).append(home)
    leaders = {}
    for home, copies in found.items():
        refuse_twin(evidence, home.parent.name)
        leader = max([home, *copies], key=_length)
        for each in (home, *copies):
            _refuse_contradiction(leader, each)
        if leader != home:
            leaders[home] = leader
    return leaders


def _homes_in(source: Path) -> Iterator[Path]:
    """Yield the folder of each tenant's connector."""
    for home in sorted(source.glob("*/*/")):
        with suppress(SettingsError):
            tenant_name(home.parent.name)
            connector_folder(home.name)
            yield home


def _length(home: Path) -> int:
    try:
        return (home / JOURNAL_NAME).stat().st_size
    except OSError:
        return -1


def _refuse_contradiction(leader: Path, other: Path) -> None:
    if not _goes_on(leader / JOURNAL_NAME, other / JOURNAL_NAME):
        msg = f"The journals in {leader} and {other} contradict each other."
        raise SettingsError(msg, next_step=_APART)


def _goes_on(longer: Path, shorter: Path) -> bool:
    """Return whether the file `longer` begins as all of `shorter`, where that exists."""
    if not shorter.exists():
        return True
    try:
        with open_plain(longer) as one, open_plain(shorter) as other:
            blocks = iter(partial(other.read, _BLOCK), b"")
            return all(one.read(len(block)) == block for block in blocks)
    except OSError as error:
        _refuse_unread(error)


def _records(sources: Iterable[Path], evidence: Path) -> dict[Path, FleetRecord]:
    """Return the records that `evidence` lacks or has in an earlier state, by their folders."""
    found: dict[Path, FleetRecord] = {}
    for source in sources:
        for path in sorted(source.glob(f"{FLEET_FOLDER}/*/{FLEET_NAME}")):
            record, place = read_record(path), evidence / path.parent.relative_to(source)
            here = place / FLEET_NAME
            known = found.get(place) or (read_record(here) if here.exists() else None)
            if known is None or _progress(record) > _progress(known):
                found[place] = record
    return found


def _progress(record: FleetRecord) -> tuple[str, int]:
    settled = [each for each in record.results.values() if each.status is not Status.PENDING]
    return record.finished_on or "", len(settled)


def _keys(sources: Iterable[Path], evidence: Path) -> dict[Path, Path]:
    """Return the public keys, and statements of succession, that `evidence` lacks."""
    found: dict[Path, Path] = {}
    for source in sources:
        for path in sorted(source.glob(f"{KEYS_FOLDER}/*")):
            place = evidence / path.relative_to(source)
            known = place if place.exists() else found.setdefault(place, path)
            if not (_goes_on(known, path) and _goes_on(path, known)):
                msg = f"{known} and {path} differ."
                raise SettingsError(msg, next_step=_APART)
    return found


def _copy_home(leader: Path, home: Path) -> None:
    """Copy what `home` lacks of `leader`, each bundle whole or not at all, the journal last."""
    with run_lock(home, seconds=0, on_wait=lambda _: None):
        for each in sorted(leader.iterdir()):
            if _NOT_COPIED.fullmatch(each.name):
                continue
            copy = _copy_file if each.is_file() else _copy_folder
            copy(each, home / each.name)
        _refuse_contradiction(leader, home)
        if (leader / JOURNAL_NAME).exists():
            with draft_beside(home / JOURNAL_NAME) as draft:
                shutil.copy(leader / JOURNAL_NAME, draft)
                draft.replace(home / JOURNAL_NAME)
        sync_folder(home)


def _copy_folder(source: Path, place: Path) -> None:
    if place.exists():
        shutil.copytree(source, place, dirs_exist_ok=True, copy_function=_copy_file)
        return
    _replace_folder(source, place)


def _replace_folder(source: Path, place: Path) -> None:
    """Copy a folder to `place`, whole or not at all."""
    draft = draft_folder(place.parent, source.name)
    remove(draft)
    shutil.copytree(source, draft)
    remove(place)
    draft.rename(place)


def _copy_file(source: Path | str, place: Path | str) -> None:
    """Copy a file, with its permissions, to where there is none yet."""
    if not os.path.lexists(place):
        Path(place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, place)
