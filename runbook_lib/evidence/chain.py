"""
The chain: each statement of a tenant names the one before it, so a missing run shows.

The journal remembers what was sealed, and in which order. A bundle that is
announced there is complete on disk, if not yet under its final name.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from runbook_lib.errors import EvidenceError, JournalError
from runbook_lib.evidence.attestation import TEST_RESULT, Link, digest, open_envelope, read_link
from runbook_lib.evidence.keys import SigningKey
from runbook_lib.journal import EventType, Journal, sync_folder

__all__ = ["STATEMENT_NAME", "SealedBundle", "announce", "chain_end", "sealed_bundles"]

STATEMENT_NAME = "statement.dsse.json"

_LOCK_SECONDS = 120
_DRAFT, _SEALED = ".draft-", ".sealed-"
_STALE_SECONDS = 24 * 3600


@dataclass(frozen=True, slots=True)
class SealedBundle:
    """A bundle as the journal announces it; `statement` is the SHA-256 of its envelope."""

    run_id: str
    bundle: str
    sequence: int
    statement: str

    def data(self) -> dict[str, Any]:
        """Return what the journal's line holds of it."""
        return {"bundle": self.bundle, "sequence": self.sequence, "statement": self.statement}


def draft_folder(tenant_folder: Path, run_id: str) -> Path:
    """Return where the files of a run are gathered before they are sealed."""
    return tenant_folder / f"{_DRAFT}{run_id}"


@contextmanager
def chain_end(journal: Journal, key: SigningKey) -> Iterator[Link]:
    """
    Give the link of the next bundle; nobody else seals for this tenant meanwhile.

    What an interrupted sealing left is first brought to its end, and what a
    restored journal has forgotten is announced again, if `key` signed it.
    Raises `JournalError` where another process holds on for two minutes.
    """
    folder = journal.path.parent
    lock = FileLock(folder / "sealing.lock", timeout=_LOCK_SECONDS)
    try:
        lock.acquire()
    except Timeout as error:
        msg = f"Another process has been sealing in {folder} for over {_LOCK_SECONDS} s."
        raise JournalError(msg) from error
    try:
        _finish_interrupted(folder, sealed_bundles(journal))
        last = _last(journal)
        while forgotten := _forgotten(journal, last, key):
            journal.append(EventType.BUNDLE_SEALED, forgotten.data(), run_id=forgotten.run_id)
            last = forgotten
        yield Link(last.sequence + 1, last.bundle, last.statement)
    finally:
        lock.release()


def announce(journal: Journal, drafted: Path, bundle: str, *, run_id: str, link: Link) -> Path:
    """
    Write into the journal that the complete folder `drafted` is sealed, and give it its name.

    The caller holds the chain's end. Killed at any moment, this leaves
    either no trace of a bundle, or one that the next sealing finishes.
    """
    folder = journal.path.parent
    complete = folder / f"{_SEALED}{run_id}"
    shutil.rmtree(complete, ignore_errors=True)
    drafted.rename(complete)
    sync_folder(folder)
    statement = digest((complete / STATEMENT_NAME).read_bytes())
    sealed = SealedBundle(run_id, bundle, link.sequence, statement)
    try:
        journal.append(EventType.BUNDLE_SEALED, sealed.data(), run_id=run_id)
    except BaseException:
        if not any(each.run_id == run_id for each in sealed_bundles(journal)):
            shutil.rmtree(complete, ignore_errors=True)
        raise
    complete.rename(folder / bundle)
    sync_folder(folder)
    return folder / bundle


def sealed_bundles(journal: Journal) -> list[SealedBundle]:
    """Return every bundle that the journal announces, oldest first."""
    return [
        SealedBundle(entry.run_id, **entry.data)
        for entry in journal.entries()
        if entry.type == EventType.BUNDLE_SEALED
    ]


def _last(journal: Journal) -> SealedBundle:
    return next(reversed(sealed_bundles(journal)), SealedBundle("", "", 0, ""))


def _forgotten(journal: Journal, last: SealedBundle, key: SigningKey) -> SealedBundle | None:
    """Return the bundle after `last` that `key` signed and `journal` does not announce, if any."""
    announced = {each.bundle for each in sealed_bundles(journal)}
    for path in sorted(journal.path.parent.glob(f"[0-9]*/{STATEMENT_NAME}")):
        if path.parent.name in announced:
            continue
        content = path.read_bytes()
        try:
            signed = open_envelope(content, {key.key_id: key.public}, TEST_RESULT)
            link = read_link(signed)
        except EvidenceError:
            continue
        if (link.sequence, link.sha256) == (last.sequence + 1, last.statement):
            run_id = str(signed.predicate["runbook_run"]["run_id"])
            return SealedBundle(run_id, path.parent.name, link.sequence, digest(content))
    return None


def _finish_interrupted(folder: Path, sealed: list[SealedBundle]) -> None:
    """Give announced bundles their name; remove what was never announced, and old drafts."""
    announced = {each.run_id: each for each in sealed}
    for left in folder.glob(f"{_SEALED}*"):
        known = announced.get(left.name.removeprefix(_SEALED))
        if known is None:
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.rename(folder / known.bundle)
    for left in folder.glob(f"{_DRAFT}*"):
        if time.time() - left.stat().st_mtime > _STALE_SECONDS:
            shutil.rmtree(left, ignore_errors=True)
    if os.name == "posix":
        sync_folder(folder)
