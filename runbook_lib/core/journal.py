"""
The journal: one append-only JSON Lines file a tenant, the one source of truth.

Each line carries the SHA-256 of the line before it, byte for byte, so a line
that was altered, removed or moved shows. A line is on disk before `append`
returns. Which lines still matter is kept in `index`, what they come to is
decided in `history`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock, Timeout

from runbook_lib.core.events import EventType, check_event, check_line
from runbook_lib.core.files import check_place, open_plain, sync_folder
from runbook_lib.core.json_text import parse_json, write_json
from runbook_lib.errors import ChainError, FormError, JournalError

__all__ = [
    "BEFORE_THE_FIRST",
    "FORM",
    "GENESIS",
    "JOURNAL_NAME",
    "LONGEST_LINE",
    "Entry",
    "EventType",
    "Journal",
    "Line",
    "Ref",
    "parse_line",
    "read_lines",
    "timestamp",
    "utc_now",
]

JOURNAL_NAME = "journal.jsonl"
# The form of a journal's lines, which every run names as it begins; no other is read.
FORM = 2
# What the first line names as its predecessor.
GENESIS = "0" * 64

# NOTE: a line holds the checks of one step, each exchange of them cut at 8 KiB; hundreds fit. A
# longer one is not the runbook's, and JSON takes thirty times its size in memory.
LONGEST_LINE = 4 * 1024 * 1024
_TAIL_CHUNK = 65_536
_LOCK_SECONDS = 30
_NOT_UNDERSTOOD = (
    "Nothing was changed. That line is damaged, or of another version of the runbook. Move the "
    "file aside and keep it, then put the journal together from the sealed bundles with "
    "`runbook journal`; without bundles, move the tenant's folder away to start over."
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One line: `seq` from 1, `at` RFC 3339 in UTC, `run_id` empty where no run was under way."""

    seq: int
    at: str
    type: str
    run_id: str
    step: str
    data: Mapping[str, Any]


class Ref(NamedTuple):
    """Where a line lies: its number, its SHA-256, its first byte and the one after its last."""

    seq: int
    digest: str
    start: int
    end: int


class Line(NamedTuple):
    """A line whose link was checked: what it says, and where it lies."""

    entry: Entry
    ref: Ref


BEFORE_THE_FIRST = Ref(0, GENESIS, 0, 0)


def utc_now() -> datetime:
    """Return the present time in UTC; the one clock that others replace in tests."""
    return datetime.now(UTC)


def timestamp(moment: datetime) -> str:
    """Return `moment` (in UTC) as RFC 3339 with milliseconds and `Z`."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Journal:
    """
    The journal of one tenant, at `path`; created by the first `append`.

    Several processes and threads may append and read at once.
    """

    def __init__(self, path: Path, *, clock: Callable[[], datetime] = utc_now) -> None:
        self.path = path
        self._clock = clock
        self._lock = FileLock(path.with_suffix(".lock"), timeout=_LOCK_SECONDS)

    def entries(self) -> list[Entry]:
        """Return every whole line, oldest first; raises what `read_lines` does."""
        return [line.entry for line in read_lines(self.path)]

    def read(self, ref: Ref) -> Entry:
        """Return the line at `ref`, read again; raises what `line` does."""
        fields = parse_json(self.line(ref).decode("utf-8", "surrogatepass"))
        return _understood(fields, ref.seq, self.path)

    def line(self, ref: Ref) -> bytes:
        """
        Return the bytes of the line at `ref`, read again.

        Raises `ChainError` where it is not the line with that SHA-256,
        `JournalError` where the file cannot be read.
        """
        try:
            with open_plain(self.path) as file:
                file.seek(ref.start)
                text = file.read(min(max(0, ref.end - ref.start), LONGEST_LINE))
        except OSError as error:
            msg = f"The journal {self.path} cannot be read: {error.strerror}."
            raise JournalError(msg) from error
        if hashlib.sha256(text).hexdigest() != ref.digest:
            msg = f"Line {ref.seq} of {self.path} is not what it was."
            raise ChainError(msg)
        return text

    def append(
        self, event: str, data: Mapping[str, Any], *, run_id: str = "", step: str = ""
    ) -> Entry:
        """
        Add one line and return it once it is on disk.

        Raises `JournalError` where the disk refuses, or where nobody could
        understand the line; the file then ends where it ended before.
        """
        try:
            check_event(event, data)
        except ValueError as error:
            msg = f"A line of the type {event} was not written to {self.path}: {error}."
            raise JournalError(msg, next_step="Report this as a defect.") from None
        with self.held():
            return self._append_locked(event, data, run_id, step)

    @contextmanager
    def held(self) -> Iterator[None]:
        """
        Let nobody else append meanwhile.

        Raises `JournalError` where another process does not let go, or where
        writing fails.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            for path in (self.path, Path(self._lock.lock_file)):
                check_place(path)
            with self._lock:
                yield
        except Timeout as error:
            msg = (
                f"The journal {self.path} is locked by another process for over {_LOCK_SECONDS} s."
            )
            raise JournalError(msg) from error
        except OSError as error:
            where = f" ({error.filename})" if error.filename not in (None, str(self.path)) else ""
            msg = f"The journal {self.path} cannot be written: {error.strerror}{where}."
            raise JournalError(msg) from error

    def _append_locked(self, event: str, data: Mapping[str, Any], run_id: str, step: str) -> Entry:
        is_new = not self.path.exists()
        # NOTE: unbuffered, so that a line reaches the kernel whole and a failure is seen here.
        with self.path.open("a+b", buffering=0) as file:
            torn = _cut_torn_tail(file)
            if torn:
                begin = torn[:_TAIL_CHUNK].decode(errors="replace")
                mend = {"bytes": len(torn), "text": begin}
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
            seq = parse_json(last)["seq"] + 1 if last else 1
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
        text = write_json(document) + "\n"
        # NOTE: half a surrogate pair is legal in JSON (RFC 8259 §8.2), but only as an escape.
        line = text.encode("utf-8", "backslashreplace")
        if len(line) > LONGEST_LINE:
            msg = f"A line of {len(line):,} bytes is longer than {self.path} takes."
            raise JournalError(
                msg, next_step="Report this as a defect, with the step it came from."
            )
        _write_whole(file, line)
        return _entry(parse_json(line))


def read_lines(path: Path, *, after: Ref = BEFORE_THE_FIRST, end: int = -1) -> Iterator[Line]:
    """
    Yield each whole line of the journal at `path`, up to the byte `end` if one is given.

    The links are checked on the way, from the line `after` on, and no more than
    a line is held. A last line without its line feed was never acknowledged
    and is not returned; of a file that is not there, nothing is.
    Raises `ChainError` where a link is broken, a line is longer than any that
    the runbook writes or cannot be understood, `FormError` where a run began
    under another form, and `JournalError` where the file cannot be read.
    """
    try:
        with open_plain(path) as file:
            # NOTE: what others write meanwhile is left for the next reading, for they may be
            # replacing the torn line that is read here.
            left = (os.fstat(file.fileno()).st_size if end < 0 else end) - after.end
            file.seek(after.end)
            while left > 0 and (text := file.readline(min(left, LONGEST_LINE + 1))):
                left -= len(text)
                if len(text) > LONGEST_LINE:
                    msg = f"Line {after.seq + 1} of {path} is over 4 MiB long."
                    raise ChainError(msg)
                if text.endswith(b"\n"):
                    line = _checked(text, after, path)
                    after = line.ref
                    yield line
    except FileNotFoundError:
        return
    except OSError as error:
        msg = f"The journal {path} cannot be read: {error.strerror}."
        raise JournalError(msg) from error


def parse_line(text: bytes) -> Entry | None:
    """Return what a line says, whatever stands before it; `None` where it is no journal line."""
    try:
        fields = parse_json(text.decode("utf-8", "surrogatepass"))
        check_line(fields)
        return _entry(fields)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _checked(text: bytes, before: Ref, path: Path) -> Line:
    """Return the line whose bytes are `text`; raises where it does not follow the one before it."""
    number = before.seq + 1
    try:
        fields = parse_json(text.decode("utf-8", "surrogatepass"))
        entry, prev = _entry(fields), fields["prev"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        msg = f"Line {number} of {path} is not a journal line."
        raise ChainError(msg) from error
    if prev != before.digest or entry.seq != number:
        msg = f"Line {number} of {path} does not follow the line before it."
        raise ChainError(msg)
    _check_form(entry, path)
    _understood(fields, number, path)
    digest = hashlib.sha256(text).hexdigest()
    return Line(entry, Ref(number, digest, before.end, before.end + len(text)))


def _check_form(entry: Entry, path: Path) -> None:
    """Raise `FormError` where a run began under another form of the journal."""
    if entry.type == EventType.RUN_STARTED and isinstance(entry.data, Mapping):
        form = entry.data.get("form")
        if form != FORM and isinstance(form, str | int | None):
            raise FormError(f"The run that begins in line {entry.seq} of {path}", form, FORM)


def _understood(fields: Mapping[str, Any], number: int, path: Path) -> Entry:
    """
    Return the line that says `fields`, the only place where a line's meaning is checked.

    Raises `ChainError`, with the line's number, where its readers could not rely on it.
    """
    entry = _entry(fields)
    try:
        check_line(fields)
    except ValueError as error:
        msg = f"Line {number} of {path} cannot be understood: {error}."
        raise ChainError(msg, next_step=_NOT_UNDERSTOOD) from None
    return entry


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
