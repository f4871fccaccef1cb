"""
The chain: each statement of a tenant names the one before it, so a missing run shows.

The journal remembers what was sealed, and in which order. A bundle that is
announced there is complete on disk, if not yet under its final name.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from filelock import FileLock, Timeout

from runbook_lib.errors import ChainError, EvidenceError, JournalError
from runbook_lib.evidence.attestation import TEST_RESULT, Link, digest, open_envelope, read_link
from runbook_lib.evidence.keys import SigningKey, exported_keys
from runbook_lib.journal import Entry, EventType, Journal, sync_folder
from runbook_lib.workspace import JOURNAL_NAME, keys_beside

if TYPE_CHECKING:
    from securesystemslib.signer import SSlibKey

__all__ = [
    "SEALED_PREFIX",
    "STATEMENT_NAME",
    "SealedBundle",
    "announce",
    "announcement",
    "chain_end",
    "check_restored",
    "finish_interrupted",
    "sealed_bundles",
]

STATEMENT_NAME = "statement.dsse.json"

_LOCK_SECONDS = 120
_DRAFT = ".draft-"
# What a bundle is called from before its announcement until it has its final name.
SEALED_PREFIX = ".sealed-"
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


@dataclass(frozen=True, slots=True)
class _Unannounced:
    """A bundle of which the journal has no line; `lines` and `head` are the journal it copied."""

    sealed: SealedBundle
    previous: str
    lines: int
    head: str


def draft_folder(folder: Path, run_id: str) -> Path:
    """Return where, in `folder`, the files of a run are gathered before they are sealed."""
    return folder / f"{_DRAFT}{run_id}"


@contextmanager
def chain_end(journal: Journal, key: SigningKey) -> Iterator[Link]:
    """
    Give the link of the next bundle; nobody else seals for this tenant meanwhile.

    What an interrupted sealing left is first brought to its end, and what a
    restored journal has forgotten is announced again. Raises `ChainError`
    where it lacks lines of a bundle (see `check_restored`), `JournalError`
    where another process holds on for two minutes.
    """
    folder = journal.path.parent
    with _sealing(folder):
        _name_announced(folder, sealed_bundles(journal))
        for forgotten in _forgotten(journal, key):
            journal.append(EventType.BUNDLE_SEALED, forgotten.data(), run_id=forgotten.run_id)
        _clear_away(folder, sealed_bundles(journal))
        last = _last(sealed_bundles(journal))
        yield Link(last.sequence + 1, last.bundle, last.statement)


def check_restored(journal: Journal, key: SigningKey) -> None:
    """
    Raise `ChainError` where nothing could be sealed after the bundles that lie beside `journal`.

    That is so where an older `journal` was put back: lines that a bundle
    copied are gone, and the chain could not be verified any more. No
    signature is looked at where the journal announces every bundle.
    """
    _forgotten(journal, key)


def finish_interrupted(folder: Path) -> None:
    """
    Give a bundle in `folder` its name, if its sealing was interrupted before that.

    What was never announced stays for the next sealing to remove. Raises
    `JournalError` where another process seals there for two minutes.
    """
    if not any(folder.glob(f"{SEALED_PREFIX}*")):
        return
    journal = Journal(folder / JOURNAL_NAME)
    with _sealing(folder):
        _name_announced(folder, sealed_bundles(journal))


def announce(journal: Journal, drafted: Path, bundle: str, *, run_id: str, link: Link) -> Path:
    """
    Write into the journal that the complete folder `drafted` is sealed, and give it its name.

    The caller holds the chain's end. Killed at any moment, this leaves
    either no trace of a bundle, or one that the next sealing finishes.
    """
    folder = journal.path.parent
    complete = folder / f"{SEALED_PREFIX}{run_id}"
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
    """Return every bundle that the journal announces, oldest first; raises `ChainError`."""
    lines = journal.entries()
    return [announcement(line) for line in lines if line.type == EventType.BUNDLE_SEALED]


def announcement(line: Entry) -> SealedBundle:
    """Return the bundle that a journal line announces; raises `ChainError` where it names none."""
    try:
        sealed = SealedBundle(line.run_id, **line.data)
        words = (sealed.run_id, sealed.bundle, sealed.statement)
        is_one = isinstance(sealed.sequence, int) and all(isinstance(each, str) for each in words)
    except TypeError:
        is_one = False
    if not is_one or not sealed.sequence:
        raise ChainError(f"Line {line.seq} announces no bundle.", file=JOURNAL_NAME)
    return sealed


@contextmanager
def _sealing(folder: Path) -> Iterator[None]:
    lock = FileLock(folder / "sealing.lock", timeout=_LOCK_SECONDS)
    try:
        lock.acquire()
    except Timeout as error:
        msg = f"Another process has been sealing in {folder} for over {_LOCK_SECONDS} s."
        raise JournalError(msg) from error
    try:
        yield
    finally:
        lock.release()


def _last(sealed: list[SealedBundle]) -> SealedBundle:
    return next(reversed(sealed), SealedBundle("", "", 0, ""))


def _forgotten(journal: Journal, key: SigningKey) -> list[SealedBundle]:
    """
    Return the bundles that `journal` has to announce again, oldest first.

    Raises `ChainError` where one is left over that does not follow, or whose
    lines `journal` lacks.
    """
    # NOTE: a bundle is announced before it has its name, so names are read before the journal.
    statements = sorted(journal.path.parent.glob(f"[0-9]*/{STATEMENT_NAME}"))
    announced = sealed_bundles(journal)
    left = _unannounced(statements, announced, key)
    heads = _heads(journal.path, {each.lines for each in left})
    forgotten: list[SealedBundle] = []
    last = _last(announced)
    while following := next((each for each in left if _follows(each, last, heads)), None):
        left.remove(following)
        last = following.sealed
        forgotten.append(last)
    if left:
        _refuse(max(left, key=lambda each: each.sealed.sequence).sealed, last, journal.path)
    return forgotten


def _unannounced(
    statements: list[Path], announced: list[SealedBundle], key: SigningKey
) -> list[_Unannounced]:
    """Return the bundles of `statements` that are this tenant's own and not yet announced."""
    names = {each.bundle for each in announced}
    beside = [path for path in statements if path.parent.name not in names]
    if not beside:
        return []
    folder = beside[0].parent.parent
    # NOTE: whether they are to be trusted is for a verifier to say; here they only show that a
    # statement is as it was signed, and so that nobody made it up to stop this tenant's runs.
    keys = {**exported_keys(keys_beside(folder)), key.key_id: key.public}
    known = {each.statement for each in announced}
    read = (_read_unannounced(path, keys, folder) for path in beside)
    return [each for each in read if each and each.sealed.statement not in known]


def _read_unannounced(path: Path, keys: dict[str, SSlibKey], home: Path) -> _Unannounced | None:
    if path.parent.is_symlink():
        return None
    content = path.read_bytes()
    try:
        signed = open_envelope(content, keys, TEST_RESULT)
        link = read_link(signed)
        run = signed.predicate["runbook_run"]
        lines, head = int(run["journal"]["lines"]), str(run["journal"]["head"])
        run_id = str(run["run_id"])
        owner = (run["tenant"], run["procedure"]["id"])
    except (EvidenceError, KeyError, TypeError, ValueError):
        return None
    sealed = SealedBundle(run_id, path.parent.name, link.sequence, digest(content))
    return _Unannounced(sealed, link.sha256, lines, head) if owner == home.parts[-2:] else None


def _heads(journal: Path, numbers: set[int]) -> dict[int, str]:
    """Return the SHA-256 of the journal's lines that have these numbers."""
    if not numbers or not journal.is_file():
        return {}
    with journal.open("rb") as file:
        return {number: digest(line) for number, line in enumerate(file, 1) if number in numbers}


def _follows(each: _Unannounced, last: SealedBundle, heads: dict[int, str]) -> bool:
    is_next = (each.sealed.sequence, each.previous) == (last.sequence + 1, last.statement)
    return is_next and heads.get(each.lines) == each.head


def _refuse(left: SealedBundle, last: SealedBundle, journal: Path) -> NoReturn:
    called = f"number {left.sequence} of the chain ({left.bundle})"
    if left.sequence <= last.sequence:
        msg = f"It does not announce {called}: another bundle has that number."
        advice = (
            f"Stop. Keep the folder {journal.parent / left.bundle} in another place than here, "
            "and run again; `runbook verify` tells more."
        )
    else:
        msg = f"It lacks lines that {called} copied from it: an older one was put in its place."
        advice = (
            f"Stop. Keep the present {journal} aside, copy "
            f"{journal.parent / left.bundle / journal.name} to {journal}, and run again."
        )
    raise ChainError(msg, file=journal.name, next_step=advice)


def _name_announced(folder: Path, sealed: list[SealedBundle]) -> None:
    """Give announced bundles their name; where one has it already, remove the copy beside it."""
    for known in sealed:
        left = folder / f"{SEALED_PREFIX}{known.run_id}"
        if not left.is_dir():
            continue
        if _has_its_name(folder, known):
            shutil.rmtree(left, ignore_errors=True)
        elif not (folder / known.bundle).exists():
            left.rename(folder / known.bundle)
    sync_folder(folder)


def _clear_away(folder: Path, sealed: list[SealedBundle]) -> None:
    """Remove what was never announced, and old drafts."""
    announced = {each.run_id for each in sealed}
    for left in folder.glob(f"{SEALED_PREFIX}*"):
        if left.name.removeprefix(SEALED_PREFIX) not in announced:
            shutil.rmtree(left, ignore_errors=True)
    for left in folder.glob(f"{_DRAFT}*"):
        if time.time() - left.stat().st_mtime > _STALE_SECONDS:
            shutil.rmtree(left, ignore_errors=True)
    sync_folder(folder)


def _has_its_name(folder: Path, known: SealedBundle) -> bool:
    """Tell whether the bundle is complete under its name: what is left beside it is a copy."""
    statement = folder / known.bundle / STATEMENT_NAME
    return statement.is_file() and digest(statement.read_bytes()) == known.statement
