"""
The journal: one append-only JSON Lines file a tenant, the one source of truth.

Each line carries the SHA-256 of the line before it, byte for byte, so a line
that was altered, removed or moved shows. A line is on disk before `append`
returns. Folding lines into a run's state lives in `history`; what a step
means lives in `procedure`.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from runbook_lib.errors import ChainError, JournalError

__all__ = ["GENESIS", "Entry", "EventType", "Journal", "sync_folder", "timestamp", "utc_now"]

# What the first line names as its predecessor.
GENESIS = "0" * 64

_TAIL_CHUNK = 65_536
_LOCK_SECONDS = 30


class EventType:
    """The kinds of journal lines, `type` in the file."""

    RUN_STARTED = "run.started"
    RUN_FINISHED = "run.finished"
    RUN_INTERRUPTED = "run.interrupted"
    NOTEBOOK_FINISHED = "notebook.finished"
    STEP_STARTED = "step.started"
    STEP_CHECKED = "step.checked"
    STEP_ATTESTED = "step.attested"
    STEP_SKIPPED = "step.skipped"
    INPUT_GIVEN = "input.given"
    CREDENTIAL_REMEMBERED = "credential.remembered"
    CHANGE_INTENDED = "change.intended"
    JOURNAL_MENDED = "journal.mended"
    BUNDLE_SEALED = "bundle.sealed"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line: `seq` from 1, `at` RFC 3339 in UTC, `run_id` empty where no run was under way."""

    seq: int
    at: str
    type: str
    run_id: str
    step: str
    data: Mapping[str, Any]


def utc_now() -> datetime:
    """Return the present time in UTC; the one clock that others replace in tests."""
    return datetime.now(UTC)


def timestamp(moment: datetime) -> str:
    """Return `moment` (in UTC) as RFC 3339 with milliseconds and `Z`."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Journal:
    """
    The journal of one tenant, at `path`; created by the first `append`.

    Several processes and threads may append and read at once. Reading is incremental:
    each line's link is checked once, when this object first sees it.
    """

    def __init__(self, path: Path, *, clock: Callable[[], datetime] = utc_now) -> None:
        self.path = path
        self._clock = clock
        self._reading = threading.Lock()
        self._lock = FileLock(path.with_suffix(".lock"), timeout=_LOCK_SECONDS)
        self._entries: list[Entry] = []
        self._offset = 0
        self._head = GENESIS

    @property
    def head(self) -> str:
        """Return the SHA-256 of the last line read: what a statement signs."""
        return self._head

    def entries(self) -> list[Entry]:
        """
        Return every whole line, oldest first.

        Raises `ChainError` where a link is broken. A last line without its
        line feed was never acknowledged and is not returned.
        """
        with self._reading:
            *lines, _torn = self._unread().split(b"\n")
            for line in lines:
                self._take(line + b"\n")
            return list(self._entries)

    def append(
        self, event: str, data: Mapping[str, Any], *, run_id: str = "", step: str = ""
    ) -> Entry:
        """
        Add one line and return it once it is on disk.

        Raises `JournalError` where the disk refuses; the file then ends
        where it ended before.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self._lock:
                return self._append_locked(event, data, run_id, step)
        except Timeout as error:
            msg = (
                f"The journal {self.path} is locked by another process for over {_LOCK_SECONDS} s."
            )
            raise JournalError(msg) from error
        except OSError as error:
            msg = f"The journal {self.path} cannot be written: {error.strerror}."
            raise JournalError(msg) from error

    def _unread(self) -> bytes:
        try:
            with self.path.open("rb") as file:
                file.seek(self._offset)
                return file.read()
        except FileNotFoundError:
            return b""
        except OSError as error:
            msg = f"The journal {self.path} cannot be read: {error.strerror}."
            raise JournalError(msg) from error

    def _append_locked(self, event: str, data: Mapping[str, Any], run_id: str, step: str) -> Entry:
        is_new = not self.path.exists()
        # NOTE: unbuffered, so that a line reaches the kernel whole and a failure is seen here.
        with self.path.open("a+b", buffering=0) as file:
            torn = _cut_torn_tail(file)
            if torn:
                mend = {"bytes": len(torn), "text": torn.decode(errors="replace")}
                self._write(file, EventType.JOURNAL_MENDED, mend, "", "")
            entry = self._write(file, event, data, run_id, step)
        if is_new:
            sync_folder(self.path.parent)
        return entry

    def _write(
        self, file: FileIO, event: str, data: Mapping[str, Any], run_id: str, step: str
    ) -> Entry:
        last = _last_line(file)
        try:
            seq = json.loads(last)["seq"] + 1 if last else 1
        except (ValueError, KeyError, TypeError) as error:
            msg = f"The last line of {self.path} is not a journal line."
            raise ChainError(msg) from error
        document = {
            "seq": seq,
            "at": timestamp(self._clock()),
            "type": event,
            "run_id": run_id,
            "step": step,
            "data": data,
            "prev": hashlib.sha256(last).hexdigest() if last else GENESIS,
        }
        text = json.dumps(document, ensure_ascii=False, separators=(",", ":")) + "\n"
        # NOTE: half a surrogate pair is legal in JSON (RFC 8259 §8.2), but only as an escape.
        line = text.encode("utf-8", "backslashreplace")
        _write_whole(file, line)
        return _entry(json.loads(line))

    def _take(self, line: bytes) -> None:
        number = len(self._entries) + 1
        try:
            fields = json.loads(line.decode("utf-8", "surrogatepass"))
            entry, prev = _entry(fields), fields["prev"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            msg = f"Line {number} of {self.path} is not a journal line."
            raise ChainError(msg) from error
        if prev != self._head or entry.seq != number:
            msg = f"Line {number} of {self.path} does not follow the line before it."
            raise ChainError(msg)
        self._entries.append(entry)
        self._head = hashlib.sha256(line).hexdigest()
        self._offset += len(line)


def _entry(fields: Mapping[str, Any]) -> Entry:
    seq, at, kind = fields["seq"], fields["at"], fields["type"]
    return Entry(seq, at, kind, fields["run_id"], fields["step"], fields["data"])


def _write_whole(file: FileIO, line: bytes) -> None:
    end = file.seek(0, os.SEEK_END)
    try:
        written = 0
        while written < len(line):
            written += file.write(line[written:])
        os.fsync(file.fileno())
    except OSError:
        # NOTE: half a line would be mended by the next append; cutting it now spares the readers.
        with suppress(OSError):
            file.truncate(end)
        raise


def _read_back(file: FileIO, feeds: int) -> bytes:
    """Return the end of the file, from far enough back to hold `feeds` line feeds."""
    position = file.seek(0, os.SEEK_END)
    tail = b""
    while position > 0 and tail.count(b"\n") < feeds:
        start = max(0, position - _TAIL_CHUNK)
        file.seek(start)
        tail = file.read(position - start) + tail
        position = start
    return tail


def _last_line(file: FileIO) -> bytes:
    """Return the last line, line feed included, of a file that ends with one."""
    tail = _read_back(file, 2)
    return tail[tail[:-1].rfind(b"\n") + 1 :]


def _cut_torn_tail(file: FileIO) -> bytes:
    """Cut off what a killed process left of a line; its `append` never returned."""
    tail = _read_back(file, 1)
    torn = tail[tail.rfind(b"\n") + 1 :]
    if torn:
        file.truncate(file.seek(0, os.SEEK_END) - len(torn))
    return torn


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable (POSIX fsync(2), NOTES)."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
