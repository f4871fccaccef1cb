"""
The chain: each statement of a tenant names the one before it, so a missing run is detected.

The journal announces each sealed bundle. An announced bundle is complete on
disk, but may not have its final name yet.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, NoReturn

from filelock import FileLock, Timeout
from msgspec import ValidationError, convert

from runbook_lib.config.workspace import keys_beside
from runbook_lib.core.files import (
    check_place,
    is_there,
    open_plain,
    read_plain,
    remove,
    sync_folder,
)
from runbook_lib.core.index import Index
from runbook_lib.core.journal import BEFORE_THE_FIRST, JOURNAL_NAME, Ref, read_lines
from runbook_lib.core.model import BundleSealed, EventType, JournalEnd
from runbook_lib.core.scratch import DRAFT_PREFIX
from runbook_lib.core.state import HistoryReader, open_history
from runbook_lib.errors import ChainError, EvidenceError, FormError, JournalError
from runbook_lib.evidence.record import LinesRecord
from runbook_lib.evidence.signing.keys import WHY_LESS, SigningKey, exported_keys
from runbook_lib.evidence.signing.statement import (
    LARGEST_ENVELOPE,
    TEST_RESULT,
    Link,
    check_run_form,
    digest,
    open_envelope,
    read_link,
)

if TYPE_CHECKING:
    from securesystemslib.signer import SSlibKey


STATEMENT_NAME = "statement.dsse.json"

_LOCK_SECONDS = 120
# The prefix of a complete bundle until it has its final name.
SEALED_PREFIX = ".sealed-"


@dataclass(frozen=True, slots=True)
class SealedBundle:
    """
    A bundle as the journal announces it; `statement` is the SHA-256 of its envelope.

    `last` is the last journal line that it copied: the next bundle starts after it.
    """

    run_id: str
    bundle: str
    sequence: int
    statement: str
    last: Ref = BEFORE_THE_FIRST

    def data(self) -> BundleSealed:
        """Return the data of the journal's line."""
        end = JournalEnd(lines=self.last.seq, head=self.last.digest, end=self.last.end)
        return BundleSealed(
            bundle=self.bundle, sequence=self.sequence, statement=self.statement, journal=end
        )


@dataclass(frozen=True, slots=True)
class ChainEnd:
    """The place of the next bundle: its link, and the last line that the previous one copied."""

    link: Link
    after: Ref


@dataclass(frozen=True, slots=True)
class _Unannounced:
    """
    A bundle without a line in the journal; `previous` is the statement before its own.

    It is not known yet where its last line ends in the journal.
    """

    sealed: SealedBundle
    previous: str


@contextmanager
def chain_end(reader: HistoryReader, key: SigningKey) -> Iterator[ChainEnd]:
    """
    Yield the place of the next bundle, with sealing locked for other processes.

    An interrupted sealing is finished first, and bundles that a restored
    journal lacks are announced again. Raises `ChainError` if it lacks lines of
    a bundle (see `check_restored`), `JournalError` if another process keeps the
    lock for two minutes.
    """
    folder = reader.journal.path.parent
    with sealing(folder):
        name_announced(folder, sealed_bundles(reader.read().index))
        for forgotten in _forgotten(reader, key):
            reader.journal.append(
                EventType.BUNDLE_SEALED, forgotten.data(), run_id=forgotten.run_id
            )
        announced = sealed_bundles(reader.read().index)
        known = {bundle.run_id for bundle in announced}
        for left in folder.glob(f"{SEALED_PREFIX}*"):
            if left.name.removeprefix(SEALED_PREFIX) not in known:
                remove(left)
        sync_folder(folder)
        last = _last(announced)
        yield ChainEnd(Link(last.sequence + 1, last.bundle, last.statement), last.last)


def check_restored(reader: HistoryReader, key: SigningKey) -> None:
    """
    Raise `ChainError` if nothing could be sealed after the bundles beside a journal.

    That happens after an older journal was restored: it lacks lines that a
    bundle copied, so the chain could not be verified any more. If the journal
    announces every bundle, no signature is checked. A journal that was rebuilt may
    withhold what the bundles beside it withhold, and nothing else.
    """
    _forgotten(reader, key)
    left = {reader.journal.line(ref): ref.seq for ref in reader.read().index.withheld}
    for statement in statements_in(reader.journal.path.parent) if left else ():
        with suppress(OSError), open_plain(statement.with_name(JOURNAL_NAME)) as lines:
            for line in lines:
                left.pop(line, None)
    if left:
        msg = f"It withholds line {min(left.values())}; no bundle here does."
        advice = "Stop. Keep the file, and restore the journal from a backup or the bundles."
        raise ChainError(msg, file=JOURNAL_NAME, next_step=advice)


def remove_drafts(folder: Path) -> None:
    """Remove the drafts of runs that were killed; the caller holds the lock of headless runs."""
    for left in folder.glob(f"{DRAFT_PREFIX}*"):
        remove(left)


def finish_interrupted(folder: Path) -> None:
    """
    Give a bundle in `folder` its final name if its sealing was interrupted before that.

    The next sealing removes unannounced ones. Raises `JournalError` if another
    process keeps the lock for two minutes.
    """
    if not any(folder.glob(f"{SEALED_PREFIX}*")):
        return
    reader = open_history(folder)
    with sealing(folder):
        name_announced(folder, sealed_bundles(reader.read().index))


def announce(reader: HistoryReader, drafted: Path, sealed: SealedBundle) -> Path:
    """
    Announce the complete folder `drafted` as `sealed` in the journal, and give it its name.

    The caller is inside `chain_end`. If the process is killed, there is either
    no bundle, or one that the next sealing finishes.
    """
    folder = reader.journal.path.parent
    complete = folder / f"{SEALED_PREFIX}{sealed.run_id}"
    remove(complete)
    drafted.rename(complete)
    sync_folder(folder)
    try:
        reader.journal.append(EventType.BUNDLE_SEALED, sealed.data(), run_id=sealed.run_id)
    except BaseException:
        if sealed not in sealed_bundles(reader.read().index):
            remove(complete)
        raise
    complete.rename(folder / sealed.bundle)
    sync_folder(folder)
    return folder / sealed.bundle


def statements_in(folder: Path) -> list[Path]:
    """Return the statements of the bundles with final names in `folder`, in order."""
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        named = sorted(entry.path for entry in entries if "0" <= entry.name[0] <= "9")
    return [path for name in named if is_there(path := Path(name, STATEMENT_NAME))]


def sealed_bundles(index: Index) -> list[SealedBundle]:
    """Return every bundle that the journal announces, oldest first."""
    return [announcement(line.run_id, line.sealed) for line in index.sealed]


def announcement(run_id: str, sealed: BundleSealed) -> SealedBundle:
    """Return the bundle that a journal line announces."""
    end = sealed.journal
    last = Ref(end.lines, end.head, 0, end.end)
    return SealedBundle(run_id, sealed.bundle, sealed.sequence, sealed.statement, last)


@contextmanager
def sealing(folder: Path) -> Iterator[None]:
    """Lock sealing in `folder`; raises `JournalError` after two minutes of waiting."""
    path = folder / "sealing.lock"
    lock = FileLock(path, timeout=_LOCK_SECONDS)
    try:
        check_place(path)
        lock.acquire()
    except Timeout as error:
        msg = f"Another process has been sealing in {folder} for over {_LOCK_SECONDS} s."
        raise JournalError(msg) from error
    except OSError as error:
        msg = f"Evidence cannot be sealed in {folder}: {error.strerror} ({path.name})."
        raise JournalError(msg) from error
    try:
        yield
    finally:
        lock.release()


def _last(sealed: list[SealedBundle]) -> SealedBundle:
    return next(reversed(sealed), SealedBundle("", "", 0, ""))


def _forgotten(reader: HistoryReader, key: SigningKey) -> list[SealedBundle]:
    """
    Return the bundles that the journal must announce again, oldest first.

    Raises `ChainError` for one that does not follow, or whose lines the journal
    lacks.
    """
    journal = reader.journal.path
    # NOTE: a bundle is announced before it has its name, so names are read before the journal.
    statements = statements_in(journal.parent)
    announced = sealed_bundles(reader.read().index)
    left = _unannounced(statements, announced, key)
    numbers = {bundle.sealed.last.seq for bundle in left}
    read = read_lines(journal) if numbers else ()
    lines = {line.ref.seq: line.ref for line in read if line.ref.seq in numbers}
    forgotten: list[SealedBundle] = []
    last = _last(announced)
    while following := next((bundle for bundle in left if _follows(bundle, last, lines)), None):
        left.remove(following)
        last = replace(following.sealed, last=lines[following.sealed.last.seq])
        forgotten.append(last)
    if left:
        _refuse(max(left, key=lambda bundle: bundle.sealed.sequence).sealed, last, journal)
    return forgotten


def _unannounced(
    statements: list[Path], announced: list[SealedBundle], key: SigningKey
) -> list[_Unannounced]:
    """Return this tenant's bundles in `statements` that are not announced."""
    names = {bundle.bundle for bundle in announced}
    beside = [path for path in statements if path.parent.name not in names]
    if not beside:
        return []
    folder = beside[0].parent.parent
    # NOTE: a verifier decides whether to trust these keys. Here they only show that nobody made up
    # a statement to stop this tenant's runs.
    keys = {**exported_keys(keys_beside(folder)), key.key_id: key.public}
    known = {bundle.statement for bundle in announced}
    read = (_read_unannounced(path, keys, folder) for path in beside)
    return [bundle for bundle in read if bundle and bundle.sealed.statement not in known]


def _read_unannounced(path: Path, keys: dict[str, SSlibKey], home: Path) -> _Unannounced | None:
    if path.parent.is_symlink():
        return None
    try:
        content = read_plain(path, LARGEST_ENVELOPE)
        signed = open_envelope(content, keys, TEST_RESULT)
        link = read_link(signed)
        check_run_form(signed)
        run = signed.predicate["runbook_run"]
        part = convert(run["journal"], LinesRecord)
        run_id = str(run["run_id"])
        owner = (run["tenant"], run["procedure"]["id"])
    except FormError as error:
        raise error.of(f"{path.parent.name}/{path.name}") from None
    except (EvidenceError, ValidationError, KeyError, TypeError, ValueError, OSError):
        # NOTE: a verifier reports what cannot be read; it does not prevent sealing.
        return None
    last = Ref(part.lines, part.head, 0, 0)
    sealed = SealedBundle(run_id, path.parent.name, link.sequence, digest(content), last)
    return _Unannounced(sealed, link.sha256) if owner == home.parts[-2:] else None


def _follows(bundle: _Unannounced, last: SealedBundle, lines: dict[int, Ref]) -> bool:
    is_next = (bundle.sealed.sequence, bundle.previous) == (last.sequence + 1, last.statement)
    copied = lines.get(bundle.sealed.last.seq)
    return is_next and copied is not None and copied.digest == bundle.sealed.last.digest


def _refuse(left: SealedBundle, last: SealedBundle, journal: Path) -> NoReturn:
    called = f"number {left.sequence} of the chain ({left.bundle})"
    if left.sequence <= last.sequence:
        msg = f"It does not announce {called}: another bundle has that number."
        advice = (
            f"Stop. Move the folder {journal.parent / left.bundle} to another place and keep it, "
            "then run again; `runbook verify` shows more."
        )
    else:
        msg = f"It lacks lines that {called} copied from it: an older journal replaced it."
        tenant, connector = journal.parent.parts[-2:]
        advice = (
            f"Stop. Complete it from the bundles: `runbook journal --tenant {tenant} "
            f"--connector {connector} --evidence {quote(str(journal.parents[2]))} "
            f"--trusted-keys {quote(str(keys_beside(journal.parent)))}`; then run again. "
            f"{WHY_LESS}"
        )
    raise ChainError(msg, file=journal.name, next_step=advice)


def name_announced(folder: Path, sealed: list[SealedBundle]) -> None:
    """Give announced bundles their name; if one has it already, remove the copy beside it."""
    for known in sealed:
        left = folder / f"{SEALED_PREFIX}{known.run_id}"
        if not left.is_dir():
            continue
        statement = folder / known.bundle / STATEMENT_NAME
        try:
            is_copy = digest(read_plain(statement, LARGEST_ENVELOPE)) == known.statement
        except OSError:
            is_copy = False
        if is_copy:
            remove(left)
        elif not (folder / known.bundle).exists():
            left.rename(folder / known.bundle)
    sync_folder(folder)
