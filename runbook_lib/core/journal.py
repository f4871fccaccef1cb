"""
The journal: one append-only JSON Lines file per tenant, the only source of truth.

Each line contains the SHA-256 of the line before it, so readers detect every altered, removed or
moved line. A line is on disk before `append` returns. `index` finds the lines that still matter,
`run_state` interprets them.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import datetime
from io import FileIO
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from msgspec import ValidationError, convert, structs, to_builtins

from runbook_lib.core.clock import timestamp, utc_now
from runbook_lib.core.files import check_place, hold_lock, open_plain, sync_folder
from runbook_lib.core.json_text import parse_own, write_json
from runbook_lib.core.model import (
    DATA,
    FORMAT_VERSION,
    EventType,
    Exchange,
    ExchangeWithheld,
    JournalEntry,
    JournalRepaired,
    ModelStruct,
    StepChecked,
    StepWithheld,
    describe_invalid_field,
)
from runbook_lib.errors import ChainError, FormatError, JournalError, reason_of, reported_as

# The `prev` of the first line.
GENESIS = "0" * 64

# NOTE: the runbook writes no longer line, and parsing takes thirty times its size in memory.
LONGEST_LINE = 4 * 1024 * 1024
_TAIL_CHUNK = 65_536
# A withheld line contains this text of `write_json`; a remote system's text may contain it, too.
_MAY_WITHHOLD = b'.withheld","run_id"'
_LOCK_SECONDS = 30
_NOT_UNDERSTOOD = (
    "Nothing was changed. The line is damaged, or from another version of the runbook. Move the "
    "file aside and keep it, then rebuild the journal from the sealed bundles with "
    "`runbook journal`; without bundles, move the tenant's folder away to start over."
)


class LineRef(NamedTuple):
    """A line's number, its SHA-256, and the positions of its first byte and after its last."""

    seq: int
    digest: str
    start: int
    end: int


class JournalLine(NamedTuple):
    """A line whose link was checked: its content and its position."""

    entry: JournalEntry
    ref: LineRef


# Kind, data, run and step of a line to write.
_Draft = tuple[str, ModelStruct, str, str]

BEFORE_THE_FIRST = LineRef(0, GENESIS, 0, 0)


class Journal:
    """
    The journal of one tenant, at `path`; created by the first `append`.

    Several processes and threads may append and read at once. A writer waits `lock_seconds` for
    another process.
    """

    def __init__(
        self,
        path: Path,
        *,
        clock: Callable[[], datetime] = utc_now,
        lock_seconds: float = _LOCK_SECONDS,
    ) -> None:
        self.path = path
        # A check that ends late writes where it began, whatever the working folder is by then.
        self._file = path.absolute()
        self._clock = clock
        self._lock_seconds = lock_seconds
        # NOTE: threads wait for each other without polling, which a file lock does.
        self._turns = threading.Lock()
        self._held: BinaryIO | None = None
        self._lock_path = self._file.with_suffix(".lock")

    def entries(self) -> list[JournalEntry]:
        """Return every complete line, oldest first; raises the errors of `read_lines`."""
        return [line.entry for line in read_lines(self.path)]

    def read(self, ref: LineRef) -> JournalEntry:
        """Read the line at `ref` again; raises the errors of `line`."""
        return _entry_or_chain_error(parse_own(self.line(ref)), ref.seq, self.path)

    def line(self, ref: LineRef) -> bytes:
        """
        Read the bytes of the line at `ref` again.

        Raises `ChainError` if its SHA-256 differs, `JournalError` if the file
        cannot be read.
        """
        with _reported_reading(self.path), self._open_file() as file:
            file.seek(ref.start)
            text = file.read(min(max(0, ref.end - ref.start), LONGEST_LINE))
        if line_digest(text) != ref.digest:
            raise ChainError(f"Line {ref.seq} of {self.path} was changed.")
        return text

    @contextmanager
    def held_open(self) -> Iterator[None]:
        """Keep the file open for reading, which is quicker; for one thread."""
        with _reported_reading(self.path):
            file = open_plain(self.path)
        with file:
            self._held = file
            try:
                yield
            finally:
                self._held = None

    @contextmanager
    def _open_file(self) -> Iterator[BinaryIO]:
        if self._held is not None:
            yield self._held
            return
        with open_plain(self.path) as file:
            yield file

    def append(self, event: str, data: ModelStruct, *, run_id: str = "", step: str = "") -> None:
        """Append one line; as `append_lines`."""
        self.append_lines([(event, data)], run_id=run_id, step=step)

    def append_lines(
        self, lines: Iterable[tuple[str, ModelStruct]], *, run_id: str = "", step: str = ""
    ) -> int:
        """
        Append lines of these kinds with these data; return the first one's number once on disk.

        Raises `JournalError`, with the file unchanged, if one is invalid or cannot be
        written.
        """
        with self.locked():
            is_new = not self._file.exists()
            # NOTE: unbuffered: lines reach the kernel whole, and a failure is seen here.
            with self._file.open("a+b", buffering=0) as file:
                size = file.seek(0, os.SEEK_END)
                last = _line_before(file, size)
                # NOTE: a killed process may have left a part of a line.
                end = size if last.endswith(b"\n") else size - len(last)
                last = last if end == size else _line_before(file, end)
                number = _number_of(last, self.path) if last else 0
                drafts: list[_Draft] = []
                if end < size:
                    file.seek(end)
                    text = file.read(_TAIL_CHUNK).decode(errors="replace")
                    removed = JournalRepaired(bytes=size - end, text=text)
                    drafts.append((EventType.JOURNAL_REPAIRED, removed, "", ""))
                first = number + len(drafts) + 1
                drafts += [(event, data, run_id, step) for event, data in lines]
                prev = line_digest(last) if last else GENESIS
                content = b"".join(self._encode_drafts(drafts, LineRef(number, prev, 0, 0)))
                file.truncate(end)
                _write_whole(file, content)
            if is_new:
                sync_folder(self._file.parent)
        return first

    @contextmanager
    def locked(self) -> Iterator[None]:
        """
        Lock the journal against other writers.

        Raises `JournalError` if another process keeps the lock, or writing fails.
        """
        busy = JournalError(
            f"Another process has locked the journal {self.path} for over {self._lock_seconds} s."
        )
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            check_place(self._file)
            lock = hold_lock(self._lock_path, seconds=self._lock_seconds, busy=busy)
            with self._turns, lock:
                yield
        except OSError as error:
            place = f" ({error.filename})" if error.filename not in (None, str(self._file)) else ""
            raise JournalError(
                f"The journal {self.path} cannot be written: {reason_of(error)}{place}."
            ) from error

    def _encode_drafts(self, drafts: Iterable[_Draft], after: LineRef) -> Iterator[bytes]:
        """Yield the lines of `drafts`, which follow the line `after`; raises `JournalError`."""
        prev = after.digest
        for seq, (event, data, run_id, step) in enumerate(drafts, after.seq + 1):
            try:
                line = _line_bytes(
                    JournalEntry(
                        seq=seq,
                        at=timestamp(self._clock()),
                        type=event,
                        run_id=run_id,
                        step=step,
                        data=data,
                        prev=prev,
                    )
                )
            except (ValueError, RecursionError) as error:
                raise JournalError(
                    f"A line of type {event} was not written to {self.path}: {error}.",
                    next_step="Report this as a defect.",
                ) from None
            if len(line) > LONGEST_LINE:
                raise JournalError(
                    f"A line of {len(line):,} bytes is too long for {self.path}.",
                    next_step="Report this as a defect, with the step.",
                )
            prev = line_digest(line)
            yield line


def read_lines(
    path: Path, *, after: LineRef = BEFORE_THE_FIRST, end: int = -1
) -> Iterator[JournalLine]:
    """
    Yield each complete line of the journal at `path`, up to the byte `end` if given.

    Reading starts after the line `after`, checks each link and keeps one line in memory. A last
    line without its line feed was never acknowledged and is left out. A missing file has no lines.

    Raises `ChainError` if a link is broken or a line is too long or invalid, `FormatError` if a run
    started under another version, and `JournalError` if the file cannot be read.
    """
    with _reported_reading(path), suppress(FileNotFoundError):
        # NOTE: a step calls this many times, mostly without new lines.
        if end < 0 < after.end == path.stat().st_size and os.access(path, os.R_OK):
            return
        with open_plain(path) as file:
            # NOTE: do not read later lines of others: they may be replacing a torn line.
            left = (os.fstat(file.fileno()).st_size if end < 0 else end) - after.end
            file.seek(after.end)
            while left > 0 and (text := file.readline(min(left, LONGEST_LINE + 1))):
                left -= len(text)
                if len(text) > LONGEST_LINE:
                    raise ChainError(f"Line {after.seq + 1} of {path} is over 4 MiB long.")
                if text.endswith(b"\n"):
                    line = _parse_next_line(text, after, path)
                    after = line.ref
                    yield line


def _reported_reading(path: Path) -> AbstractContextManager[None]:
    return reported_as(JournalError, f"The journal {path} cannot be read")


def parse_line(text: bytes) -> JournalEntry | None:
    """Return a line without checking its link; `None` if it is not a journal line."""
    try:
        return entry_from(parse_own(text))
    except ValueError:
        return None


def entry_from(fields: Any) -> JournalEntry:
    """
    Return the line with these `fields`; the only place that validates them.

    Raises `ValueError` that names the invalid field, without quoting a value.
    """
    try:
        entry = convert(fields, JournalEntry)
    except ValidationError as error:
        raise ValueError(describe_invalid_field(error, "")) from None
    if entry.type not in DATA:
        raise ValueError("the runbook does not write lines of this type")
    try:
        return structs.replace(entry, data=convert(entry.data, DATA[entry.type]))
    except ValidationError as error:
        raise ValueError(describe_invalid_field(error, "data")) from None


def line_digest(text: bytes) -> str:
    """Return the SHA-256 of a line, or of the line that it replaces in a bundle."""
    return withheld_digest(text) or hashlib.sha256(text).hexdigest()


def withheld_digest(text: bytes) -> str:
    """Return the SHA-256 of the line that `text` replaces in a bundle; empty for other lines."""
    entry = parse_line(text) if _MAY_WITHHOLD in text else None
    return entry.withheld if entry else ""


def withheld_line(text: bytes) -> bytes | None:
    """
    Return a line of the same length to stand for `text`, or `None` if it must not be withheld.

    It keeps the names and the binding of checks, and nothing of an exchange.
    """
    entry = entry_from(parse_own(text))
    if isinstance(entry.data, Exchange):
        kind = EventType.EXCHANGE_WITHHELD
        data: ModelStruct = ExchangeWithheld(sha256=line_digest(text))
    elif isinstance(entry.data, StepChecked):
        kind = EventType.STEP_WITHHELD
        checks = tuple(finding.check for finding in entry.data.findings)
        bound = entry.data.binding
        data = StepWithheld(sha256=line_digest(text), checks=checks, binding=bound)
    else:
        return None
    line = _line_bytes(structs.replace(entry, type=kind, data=data))
    # NOTE: other lines, and `bundle.sealed`, name positions in the journal.
    return line[:-1].ljust(len(text) - 1) + b"\n" if len(line) <= len(text) else None


def _line_bytes(entry: JournalEntry) -> bytes:
    """Return a line as bytes; raises `ValueError` if the model has no such line."""
    fields = to_builtins(entry)
    entry_from(fields)
    # NOTE: half a surrogate pair is legal in JSON (RFC 8259 §8.2), but only as an escape.
    return f"{write_json(fields)}\n".encode("utf-8", "backslashreplace")


def _parse_next_line(text: bytes, previous: LineRef, path: Path) -> JournalLine:
    """Return the line whose bytes are `text`; raise unless it follows the line `previous`."""
    number = previous.seq + 1
    try:
        fields = parse_own(text)
        seq, prev, kind, data = (fields[name] for name in ("seq", "prev", "type", "data"))
    except (ValueError, KeyError, TypeError) as error:
        raise ChainError(f"Line {number} of {path} is not a journal line.") from error
    if prev != previous.digest or seq != number:
        raise ChainError(f"Line {number} of {path} does not follow the line before it.")
    if kind == EventType.RUN_STARTED and isinstance(data, Mapping):
        version = data.get("format_version")
        if version != FORMAT_VERSION and isinstance(version, str | int | None):
            raise FormatError(
                f"The run that starts in line {number} of {path}", version, FORMAT_VERSION
            )
    entry = _entry_or_chain_error(fields, number, path)
    digest = entry.withheld or hashlib.sha256(text).hexdigest()
    return JournalLine(entry, LineRef(number, digest, previous.end, previous.end + len(text)))


def _entry_or_chain_error(fields: Any, number: int, path: Path) -> JournalEntry:
    """Return the line with these `fields`; raises `ChainError`, with its number, if invalid."""
    try:
        return entry_from(fields)
    except ValueError as error:
        raise ChainError(
            f"Line {number} of {path} is invalid: {error}.", next_step=_NOT_UNDERSTOOD
        ) from None


def _number_of(line: bytes, path: Path) -> int:
    """Return the number of the line; raises `ChainError` if it is not a journal line."""
    try:
        return int(parse_own(line)["seq"])
    except (ValueError, KeyError, TypeError) as error:
        raise ChainError(f"The last line of {path} is not a journal line.") from error


def _write_whole(file: FileIO, line: bytes) -> None:
    end = file.seek(0, os.SEEK_END)
    try:
        written = 0
        while written < len(line):
            written += file.write(line[written:])
        os.fsync(file.fileno())
    except OSError:
        # NOTE: the next append would remove half a line; removing it now spares the readers.
        with suppress(OSError):
            file.truncate(end)
        raise


def _line_before(file: FileIO, end: int) -> bytes:
    """Return the line that ends at the byte `end`; nothing at the beginning of the file."""
    tail = b""
    while b"\n" not in tail[:-1] and (start := max(0, end - len(tail) - _TAIL_CHUNK)) < end - len(
        tail
    ):
        file.seek(start)
        tail = file.read(end - len(tail) - start) + tail
    return tail[tail[:-1].rfind(b"\n") + 1 :]
