"""
The bundle: a run's folder of evidence, complete or absent.

Files are collected in a hidden folder, listed, signed, scanned for secrets and
flushed to disk; one rename then gives the final name. A bundle is never
changed again.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from runbook_lib.core.files import hold_lock, is_there, remove, sync_folder
from runbook_lib.core.scratch import DRAFT_PREFIX, scratch_folder
from runbook_lib.errors import JournalError, RemoteError, TimestampError, reason_of
from runbook_lib.evidence.signing.keys import SigningKey
from runbook_lib.evidence.signing.statement import Resource
from runbook_lib.run.state import RunState

STATEMENT_NAME = "statement.dsse.json"
REPORT_NAME = "report.html"
SUMS_NAME = "SHA256SUMS"
INSTRUCTIONS_NAME = "VERIFY.md"
TIMESTAMP_NAME = "statement.tsr"
# Older journal lines: all lasting ones, and those that the run's state rests on.
OLDER_NAME = "older.jsonl"
# Made from the statement, so not among its subjects.
UNSIGNED = (STATEMENT_NAME, TIMESTAMP_NAME)

_LOCK_SECONDS = 120
# The prefix of a complete bundle until it has its final name.
SEALED_PREFIX = ".sealed-"


@dataclass(frozen=True, slots=True)
class Seal:
    """
    The key and the run's materials, with which evidence is sealed.

    `stamp` requests a time-stamp of some bytes from `timestamp_authority` (a web address, or
    empty).
    """

    key: SigningKey
    materials: tuple[Resource, ...]
    timestamp_authority: str = ""
    stamp: Callable[[str, bytes], bytes] | None = None


@dataclass(frozen=True, slots=True)
class SealedBundle:
    """A sealed bundle: its folder, its number in the chain, its run, why it has no time-stamp."""

    folder: Path
    sequence: int
    state: RunState
    unstamped: str = ""


def bundle_name(started_on: str, run_id: str) -> str:
    """Return the folder name of a run's bundle: its start time and its id."""
    return f"{re.sub('[-:]|[.][0-9]+', '', started_on)}-{run_id}"


@contextmanager
def draft_bundle(beside: Path, run_id: str) -> Iterator[Path]:
    """Yield an empty hidden folder in `beside` for a run's files; remove it if not sealed."""
    folder = beside / f"{DRAFT_PREFIX}{run_id}"
    with scratch_folder(owns=folder):
        remove(folder)
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            remove(folder)


def describe_file(path: Path, name: str) -> Resource:
    """Return digest and size of the file at `path`, under the name `name`."""
    with path.open("rb") as file:
        checksum = hashlib.file_digest(file, "sha256").hexdigest()
        return Resource(name, checksum, os.fstat(file.fileno()).st_size)


def checksum_text(resources: Iterable[Resource]) -> str:
    """Return the text of `SHA256SUMS`, as `sha256sum --check` reads it."""
    return "".join(f"{resource.sha256}  {resource.name}\n" for resource in resources)


def stamp_statement(folder: Path, seal_with: Seal) -> str:
    """Request a time-stamp of the statement, if wanted; return the reason for a missing one."""
    if seal_with.stamp is None or not seal_with.timestamp_authority:
        return ""
    content = (folder / STATEMENT_NAME).read_bytes()
    try:
        token = seal_with.stamp(seal_with.timestamp_authority, content)
    except (RemoteError, TimestampError) as error:
        return str(error)
    (folder / TIMESTAMP_NAME).write_bytes(token)
    return ""


def files_in(folder: Path) -> list[Path]:
    """Return every file under `folder`, by name."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def flush_files(folder: Path) -> None:
    """Write everything under `folder` to the disk."""
    for path in files_in(folder):
        with path.open("rb") as file:
            os.fsync(file.fileno())
    folders = [path for path in folder.rglob("*") if path.is_dir()]
    for below in (*folders, folder):
        sync_folder(below)


def describe_files(folder: Path) -> list[Resource]:
    """Return digest and size of every file under `folder`, by name."""
    return [describe_file(path, path.relative_to(folder).as_posix()) for path in files_in(folder)]


def remove_drafts(folder: Path) -> None:
    """Remove the drafts of runs that were killed; the caller holds the lock of headless runs."""
    for left in folder.glob(f"{DRAFT_PREFIX}*"):
        remove(left)


def statements_in(folder: Path) -> list[Path]:
    """Return the statements of the bundles with final names in `folder`, in order."""
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        named = sorted(entry.path for entry in entries if "0" <= entry.name[0] <= "9")
    return [path for name in named if is_there(path := Path(name, STATEMENT_NAME))]


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
