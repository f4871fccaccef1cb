"""
The chain: each statement of a tenant names the one before it, so a missing run is detected.

The journal announces each sealed bundle. An announced bundle is complete on
disk, but may not have its final name yet.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from shlex import quote

from runbook_lib.config.workspace import keys_beside
from runbook_lib.core.files import (
    JOURNAL_NAME,
    hold_lock,
    is_there,
    open_plain,
    read_plain,
    remove,
    sync_folder,
)
from runbook_lib.core.index import IndexedBundle
from runbook_lib.core.journal import BEFORE_THE_FIRST, LineRef
from runbook_lib.core.model import BundleSealed, EventType
from runbook_lib.core.run_state import HistoryReader, open_history
from runbook_lib.core.scratch import DRAFT_PREFIX
from runbook_lib.errors import ChainError, EvidenceError, FormatError, JournalError, reason_of
from runbook_lib.evidence.signing.keys import exported_keys, own_public_keys
from runbook_lib.evidence.signing.statement import (
    LARGEST_ENVELOPE,
    TEST_RESULT,
    ChainLink,
    check_run_form,
    digest,
    open_envelope,
    read_link,
)

STATEMENT_NAME = "statement.dsse.json"

_LOCK_SECONDS = 120
# The prefix of a complete bundle until it has its final name.
SEALED_PREFIX = ".sealed-"


@contextmanager
def chain_end(
    reader: HistoryReader, *, lock_seconds: float = _LOCK_SECONDS
) -> Iterator[tuple[ChainLink, LineRef]]:
    """
    Yield the link of the next bundle, and the last line that the previous one copied.

    Sealing is locked for other processes. An interrupted sealing is finished first. Raises
    `JournalError` if another process keeps the lock for `lock_seconds`.
    """
    folder = reader.journal.path.parent
    with lock_sealing(folder, lock_seconds):
        name_announced(folder, reader.read().index.sealed)
        announced = reader.read().index.sealed
        known = {bundle.run_id for bundle in announced}
        for left in folder.glob(f"{SEALED_PREFIX}*"):
            if left.name.removeprefix(SEALED_PREFIX) not in known:
                remove(left)
        sync_folder(folder)
        link = ChainLink(1)
        after = BEFORE_THE_FIRST
        if announced:
            last = announced[-1].sealed
            link = ChainLink(last.sequence + 1, last.bundle, last.statement)
            after = last_copied(last)
        yield link, after


def check_restored(reader: HistoryReader) -> None:
    """
    Raise `ChainError` if the journal does not announce a bundle beside it.

    Such a journal is an older one that was put back: the chain could not be verified any more. If
    every bundle is announced, no signature is checked. A rebuilt journal may withhold only the
    lines that the bundles beside it withhold.
    """
    home = reader.journal.path.parent
    # NOTE: a bundle is announced before it has its name, so names are read before the journal.
    statements = statements_in(home)
    announced = [line.sealed for line in reader.read().index.sealed]
    names = {bundle.bundle for bundle in announced}
    if unknown := [path for path in statements if path.parent.name not in names]:
        _refuse_unannounced(unknown, {bundle.statement for bundle in announced}, home)
    left = {reader.journal.line(ref): ref.seq for ref in reader.read().index.withheld}
    for statement in statements_in(reader.journal.path.parent) if left else ():
        with suppress(OSError), open_plain(statement.with_name(JOURNAL_NAME)) as lines:
            for line in lines:
                left.pop(line, None)
    if left:
        raise ChainError(
            f"It withholds line {min(left.values())}; no bundle here does.",
            file=JOURNAL_NAME,
            next_step="Stop. Keep the file, and restore the journal from a backup or the bundles.",
        )


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
        except FormatError as error:
            raise error.of(f"{path.parent.name}/{path.name}") from None
        except (EvidenceError, KeyError, TypeError, OSError):
            continue
        if not is_own or path.parent.is_symlink() or digest(content) in announced:
            continue
        raise ChainError(
            f"It does not announce {path.parent.name}: an older journal replaced it.",
            file=JOURNAL_NAME,
            next_step=f"Stop. Complete it from the bundles: `runbook journal --tenant {tenant} "
            f"--connector {connector} --evidence {quote(str(home.parents[1]))} "
            f"--trusted-keys {quote(str(own_public_keys()))}`; then run again. A bundle that is "
            "not used there belongs elsewhere: move its folder away, and keep it.",
        )


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
    with lock_sealing(folder):
        name_announced(folder, reader.read().index.sealed)


def announce_bundle(
    reader: HistoryReader, drafted: Path, run_id: str, sealed: BundleSealed
) -> Path:
    """
    Announce the complete folder `drafted` of a run as `sealed`, and give it its name.

    Call it inside `chain_end`. If the process is killed, there is either no bundle, or one that
    the next sealing finishes.
    """
    folder = reader.journal.path.parent
    complete = folder / f"{SEALED_PREFIX}{run_id}"
    remove(complete)
    drafted.rename(complete)
    sync_folder(folder)
    try:
        reader.journal.append(EventType.BUNDLE_SEALED, sealed, run_id=run_id)
    except BaseException:
        if sealed not in [line.sealed for line in reader.read().index.sealed]:
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


def last_copied(sealed: BundleSealed) -> LineRef:
    """Return the last journal line that a bundle copied; the next bundle starts after it."""
    end = sealed.journal
    return LineRef(end.lines, end.head, 0, end.end)


@contextmanager
def lock_sealing(folder: Path, seconds: float = _LOCK_SECONDS) -> Iterator[None]:
    """Lock sealing in `folder`; raises `JournalError` after `seconds` of waiting."""
    path = folder / "sealing.lock"
    busy = f"Another process has been sealing in {folder} for over {seconds} s."
    with ExitStack() as stack:
        try:
            stack.enter_context(hold_lock(path, seconds=seconds, busy=JournalError(busy)))
        except OSError as error:
            raise JournalError(
                f"Evidence cannot be sealed in {folder}: {reason_of(error)} ({path.name})."
            ) from error
        yield


def name_announced(folder: Path, announced: Iterable[IndexedBundle]) -> None:
    """Give announced bundles their name; if one has it already, remove the copy beside it."""
    for line in announced:
        known = line.sealed
        left = folder / f"{SEALED_PREFIX}{line.run_id}"
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
