"""
The chain: each statement of a tenant names the one before it, so a missing run is detected.

The journal announces each sealed bundle. An announced bundle is complete on
disk, but may not have its final name yet.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

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
from runbook_lib.core.journal import BEFORE_THE_FIRST, JOURNAL_NAME, Ref
from runbook_lib.core.model import BundleSealed, EventType, JournalEnd
from runbook_lib.core.scratch import DRAFT_PREFIX
from runbook_lib.core.state import HistoryReader, open_history
from runbook_lib.errors import ChainError, EvidenceError, FormError, JournalError
from runbook_lib.evidence.signing.keys import WHY_LESS, exported_keys
from runbook_lib.evidence.signing.statement import (
    LARGEST_ENVELOPE,
    TEST_RESULT,
    ChainLink,
    check_run_form,
    digest,
    open_envelope,
    read_link,
)

if TYPE_CHECKING:
    pass


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

    link: ChainLink
    after: Ref


@contextmanager
def chain_end(reader: HistoryReader) -> Iterator[ChainEnd]:
    """
    Yield the place of the next bundle, with sealing locked for other processes.

    An interrupted sealing is finished first. Raises `JournalError` if another
    process keeps the lock for two minutes.
    """
    folder = reader.journal.path.parent
    with sealing(folder):
        name_announced(folder, sealed_bundles(reader.read().index))
        announced = sealed_bundles(reader.read().index)
        known = {bundle.run_id for bundle in announced}
        for left in folder.glob(f"{SEALED_PREFIX}*"):
            if left.name.removeprefix(SEALED_PREFIX) not in known:
                remove(left)
        sync_folder(folder)
        last = _last(announced)
        yield ChainEnd(ChainLink(last.sequence + 1, last.bundle, last.statement), last.last)


def check_restored(reader: HistoryReader) -> None:
    """
    Raise `ChainError` if the journal does not announce a bundle beside it.

    An older journal was put back, so the chain could not be verified any more. If
    every bundle is announced, no signature is checked. A journal that was rebuilt may
    withhold what the bundles beside it withhold, and nothing else.
    """
    home = reader.journal.path.parent
    # NOTE: a bundle is announced before it has its name, so names are read before the journal.
    statements = statements_in(home)
    announced = sealed_bundles(reader.read().index)
    names = {bundle.bundle for bundle in announced}
    if unknown := [path for path in statements if path.parent.name not in names]:
        _refuse_unannounced(unknown, {bundle.statement for bundle in announced}, home)
    left = {reader.journal.line(ref): ref.seq for ref in reader.read().index.withheld}
    for statement in statements_in(reader.journal.path.parent) if left else ():
        with suppress(OSError), open_plain(statement.with_name(JOURNAL_NAME)) as lines:
            for line in lines:
                left.pop(line, None)
    if left:
        msg = f"It withholds line {min(left.values())}; no bundle here does."
        advice = "Stop. Keep the file, and restore the journal from a backup or the bundles."
        raise ChainError(msg, file=JOURNAL_NAME, next_step=advice)


def _refuse_unannounced(statements: list[Path], announced: set[str], home: Path) -> None:
    """
    Raise `ChainError` if one of `statements` is of this tenant, and no copy of an announced one.

    NOTE: a verifier decides whether to trust these keys. Here they only show that nobody made up
    a statement to stop this tenant's runs; the verifier also reports what cannot be read.
    """
    keys = exported_keys(keys_beside(home))
    tenant, connector = home.parts[-2:]
    for path in statements:
        try:
            content = read_plain(path, LARGEST_ENVELOPE)
            signed = open_envelope(content, keys, TEST_RESULT)
            read_link(signed)
            check_run_form(signed)
            run = signed.predicate["runbook_run"]
            is_own = (run["tenant"], run["procedure"]["id"]) == (tenant, connector)
        except FormError as error:
            raise error.of(f"{path.parent.name}/{path.name}") from None
        except (EvidenceError, KeyError, TypeError, OSError):
            continue
        if not is_own or path.parent.is_symlink() or digest(content) in announced:
            continue
        msg = f"It does not announce {path.parent.name}: an older journal replaced it."
        advice = (
            f"Stop. Complete it from the bundles: `runbook journal --tenant {tenant} "
            f"--connector {connector} --evidence {quote(str(home.parents[1]))} "
            f"--trusted-keys {quote(str(keys_beside(home)))}`; then run again. A bundle that is "
            f"not used there belongs elsewhere: move its folder away, and keep it. {WHY_LESS}"
        )
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
