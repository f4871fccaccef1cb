"""
The journal: one append-only JSON Lines file per tenant, the only source of truth.

Each line contains the SHA-256 of the line before it, so any altered, removed
or moved line is detected. A line is on disk before `append` returns. `index`
finds the lines that still matter, `state` interprets them.
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
from runbook_lib.core.procedure import Outcome
from runbook_lib.errors import ChainError, FormError, JournalError

JOURNAL_NAME = "journal.jsonl"
# The form of a journal's lines, which each run names when it starts; no other is read.
FORM = 4
# The `prev` of the first line.
GENESIS = "0" * 64

# NOTE: a line contains the checks of one step, each exchange cut at 8 KiB; hundreds fit. The
# runbook writes no longer one, and parsing takes thirty times its size in memory.
LONGEST_LINE = 4 * 1024 * 1024
_TAIL_CHUNK = 65_536
# A withheld line contains this, as `write_json` writes it; so may what a remote system said.
_MAY_WITHHOLD = f'"type":"{EventType.STEP_WITHHELD}"'.encode()
_WITHHELD = "What the remote system said is withheld, because it contains a secret. Check again."
_LOCK_SECONDS = 30
_NOT_UNDERSTOOD = (
    "Nothing was changed. The line is damaged, or from another version of the runbook. Move the "
    "file aside and keep it, then rebuild the journal from the sealed bundles with "
    "`runbook journal`; without bundles, move the tenant's folder away to start over."
)


@dataclass(frozen=True, slots=True)
class Entry:
    """
    One line: `seq` from 1, `at` RFC 3339 in UTC, `run_id` empty outside of a run.

    `withheld` is the SHA-256 of the line in whose place it stands, if a bundle withholds that.
    """

    seq: int
    at: str
    type: str
    run_id: str
    step: str
    data: Mapping[str, Any]
    withheld: str = ""


class Ref(NamedTuple):
    """A line's number, its SHA-256, and the positions of its first byte and after its last."""

    seq: int
    digest: str
    start: int
    end: int


class Line(NamedTuple):
    """A line whose link was checked: its content and its position."""

    entry: Entry
    ref: Ref


BEFORE_THE_FIRST = Ref(0, GENESIS, 0, 0)


def utc_now() -> datetime:
    """Return the current time in UTC; the only clock, which tests replace."""
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
        """Return every complete line, oldest first; raises what `read_lines` does."""
        return [line.entry for line in read_lines(self.path)]

    def read(self, ref: Ref) -> Entry:
        """Read the line at `ref` again; raises what `line` does."""
        fields = parse_json(self.line(ref).decode("utf-8", "surrogatepass"))
        return _understood(fields, ref.seq, self.path)

    def line(self, ref: Ref) -> bytes:
        """
        Read the bytes of the line at `ref` again.

        Raises `ChainError` if its SHA-256 differs, `JournalError` if the file
        cannot be read.
        """
        try:
            with open_plain(self.path) as file:
                file.seek(ref.start)
                text = file.read(min(max(0, ref.end - ref.start), LONGEST_LINE))
        except OSError as error:
            msg = f"The journal {self.path} cannot be read: {error.strerror}."
            raise JournalError(msg) from error
        if line_digest(text) != ref.digest:
            msg = f"Line {ref.seq} of {self.path} was changed."
            raise ChainError(msg)
        return text

    def append(
        self, event: str, data: Mapping[str, Any], *, run_id: str = "", step: str = ""
    ) -> Entry:
        """
        Append one line and return it once it is on disk.

        Raises `JournalError`, with the file unchanged, if the line is invalid
        or cannot be written.
        """
        try:
            check_event(event, data)
        except ValueError as error:
            msg = f"A line of type {event} was not written to {self.path}: {error}."
            raise JournalError(msg, next_step="Report this as a defect.") from None
        with self.locked():
            is_new = not self.path.exists()
            # NOTE: unbuffered: a line reaches the kernel whole, and a failure is seen here.
            with self.path.open("a+b", buffering=0) as file:
                tail = _read_back(file, 1)
                torn = tail[tail.rfind(b"\n") + 1 :]
                if torn:
                    # A killed process left half a line; its `append` never returned.
                    file.truncate(file.seek(0, os.SEEK_END) - len(torn))
                    removed = {
                        "bytes": len(torn),
                        "text": torn[:_TAIL_CHUNK].decode(errors="replace"),
                    }
                    self._write(file, EventType.JOURNAL_MENDED, removed, "", "")
                entry = self._write(file, event, data, run_id, step)
            if is_new:
                sync_folder(self.path.parent)
        return entry

    @contextmanager
    def locked(self) -> Iterator[None]:
        """
        Lock the journal against other writers.

        Raises `JournalError` if another process keeps the lock, or writing fails.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            for path in (self.path, Path(self._lock.lock_file)):
                check_place(path)
            with self._lock:
                yield
        except Timeout as error:
            msg = f"Another process has locked the journal {self.path} for over {_LOCK_SECONDS} s."
            raise JournalError(msg) from error
        except OSError as error:
            place = f" ({error.filename})" if error.filename not in (None, str(self.path)) else ""
            msg = f"The journal {self.path} cannot be written: {error.strerror}{place}."
            raise JournalError(msg) from error

    def _write(
        self, file: FileIO, event: str, data: Mapping[str, Any], run_id: str, step: str
    ) -> Entry:
        tail = _read_back(file, 2)
        last = tail[tail[:-1].rfind(b"\n") + 1 :]
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
            "prev": line_digest(last) if last else GENESIS,
        }
        text = write_json(document) + "\n"
        # NOTE: half a surrogate pair is legal in JSON (RFC 8259 §8.2), but only as an escape.
        line = text.encode("utf-8", "backslashreplace")
        if len(line) > LONGEST_LINE:
            msg = f"A line of {len(line):,} bytes is too long for {self.path}."
            raise JournalError(msg, next_step="Report this as a defect, with the step.")
        _write_whole(file, line)
        return _entry(parse_json(line))


def read_lines(path: Path, *, after: Ref = BEFORE_THE_FIRST, end: int = -1) -> Iterator[Line]:
    """
    Yield each complete line of the journal at `path`, up to the byte `end` if given.

    Reading starts after the line `after`, checks each link and keeps one line
    in memory. A last line without its line feed was never acknowledged and is
    left out; a missing file has no lines.
    Raises `ChainError` if a link is broken or a line is too long or invalid,
    `FormError` if a run started under another form, and `JournalError` if the
    file cannot be read.
    """
    try:
        with open_plain(path) as file:
            # NOTE: do not read what others append meanwhile: they may be replacing a torn line.
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
    """Return a line without checking its link; `None` if it is not a journal line."""
    try:
        fields = parse_json(text.decode("utf-8", "surrogatepass"))
        check_line(fields)
        return _entry(fields)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def line_digest(text: bytes) -> str:
    """Return the SHA-256 of a line; of a withheld one, that of the line whose place it takes."""
    return withheld_digest(text) or hashlib.sha256(text).hexdigest()


def withheld_digest(text: bytes) -> str:
    """Return the SHA-256 of the line that a bundle withholds in favour of `text`, or nothing."""
    entry = parse_line(text) if _MAY_WITHHOLD in text else None
    return entry.withheld if entry else ""


def withheld_line(text: bytes) -> bytes | None:
    """
    Return a line of the same length to stand for the check in `text`, or `None` if there is none.

    It keeps the line's place in the chain, the names of its checks and what they
    are bound to, and nothing that a remote system said. Readers see an inconclusive check.
    """
    fields = parse_json(text.decode("utf-8", "surrogatepass"))
    if fields["type"] != EventType.STEP_CHECKED:
        return None
    checks = [finding["check"] for finding in fields["data"]["findings"]]
    data = {"sha256": line_digest(text), "checks": checks}
    bound = {"binding": binding} if (binding := fields["data"].get("binding")) else {}
    document = {**fields, "type": EventType.STEP_WITHHELD, "data": {**data, **bound}}
    line = write_json(document).encode("utf-8", "backslashreplace").ljust(len(text) - 1) + b"\n"
    # NOTE: other lines, and `bundle.sealed`, name positions in the journal.
    return line if len(line) == len(text) else None


def _checked(text: bytes, previous: Ref, path: Path) -> Line:
    """Return the line whose bytes are `text`; raise unless it follows the line `before`."""
    number = previous.seq + 1
    try:
        fields = parse_json(text.decode("utf-8", "surrogatepass"))
        entry, prev = _entry(fields), fields["prev"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        msg = f"Line {number} of {path} is not a journal line."
        raise ChainError(msg) from error
    if prev != previous.digest or entry.seq != number:
        msg = f"Line {number} of {path} does not follow the line before it."
        raise ChainError(msg)
    if entry.type == EventType.RUN_STARTED and isinstance(entry.data, Mapping):
        form = entry.data.get("form")
        if form != FORM and isinstance(form, str | int | None):
            raise FormError(f"The run that starts in line {entry.seq} of {path}", form, FORM)
    _understood(fields, number, path)
    digest = line_digest(text)
    return Line(entry, Ref(number, digest, previous.end, previous.end + len(text)))


def _understood(fields: Mapping[str, Any], number: int, path: Path) -> Entry:
    """
    Return the line with these `fields`; the only place that validates them.

    Raises `ChainError`, with the line's number, if they are invalid.
    """
    entry = _entry(fields)
    try:
        check_line(fields)
    except ValueError as error:
        msg = f"Line {number} of {path} is invalid: {error}."
        raise ChainError(msg, next_step=_NOT_UNDERSTOOD) from None
    return entry


def _entry(fields: Mapping[str, Any]) -> Entry:
    names = ("seq", "at", "type", "run_id", "step", "data")
    seq, at, kind, run_id, step, data = (fields[name] for name in names)
    if kind != EventType.STEP_WITHHELD:
        return Entry(seq, at, kind, run_id, step, data)
    # Readers see a withheld check as an inconclusive one.
    empty: dict[str, Any] = {
        **dict.fromkeys(("accepts", "refuses", "limits", "warnings", "changes"), ()),
        "facts": {},
        "tables": (),
        "exchanges": (),
    }
    findings = [
        {"outcome": Outcome.INCONCLUSIVE, "reason": _WITHHELD, "check": check, **empty}
        for check in data["checks"]
    ]
    shown = {"findings": findings, "binding": data.get("binding", {})}
    return Entry(seq, at, EventType.STEP_CHECKED, run_id, step, shown, data["sha256"])


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


def _read_back(file: FileIO, feeds: int) -> bytes:
    """Return the end of the file with at least `feeds` line feeds, or the whole file."""
    position = file.seek(0, os.SEEK_END)
    tail = b""
    while position > 0 and tail.count(b"\n") < feeds:
        start = max(0, position - _TAIL_CHUNK)
        file.seek(start)
        tail = file.read(position - start) + tail
        position = start
    return tail
