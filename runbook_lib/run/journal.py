"""
The journal: one append-only JSON Lines file per tenant and connector, the only source of truth.

A line is a head and its data. The head has the SHA-256 of the data and of the head before it. So
readers detect every altered, removed or moved line, and the data of a line can be withheld without
breaking the chain. A line is on disk before `append` returns.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

from msgspec import UNSET, DecodeError, Raw, UnsetType, ValidationError, to_builtins
from msgspec.json import Decoder, Encoder

from runbook_lib.core.clock import timestamp, utc_now
from runbook_lib.core.files import check_place, hold_lock, open_plain, sync_folder
from runbook_lib.core.json_text import rebuild
from runbook_lib.core.model import ModelStruct, Name, Number, Sha256, Time, describe_invalid_field
from runbook_lib.errors import ChainError, FormatError, JournalError, reported_as
from runbook_lib.run.events import EVENTS, FORMAT, TYPES, JournalRepaired, RunStarted

# The `prev` of the first line.
GENESIS = "0" * 64
# NOTE: the runbook writes no longer line, and parsing takes many times its size in memory.
LONGEST_LINE = 4 << 20
# Bytes of a half line that are recorded.
_TAIL_BYTES = 64 << 10
_LOCK_SECONDS = 30
_DEFECT = "Report this as a defect, with the step."
_NOT_UNDERSTOOD = (
    "Nothing was changed. Move the file aside and keep it, then rebuild the journal from the "
    "sealed bundles with `runbook journal`; without bundles, move the tenant's folder away to "
    "start over."
)


class LineHead(ModelStruct):
    """The part of a line that the chain is made of."""

    seq: Number
    """Number of the line, from 1."""

    at: Time
    """Time of writing, in UTC."""

    type: Name
    """Kind of the line, a key of `EVENTS`."""

    run: Name
    """Id of the run; empty outside of a run."""

    step: Name
    """Id of the step; empty for lines about no step."""

    sha256: Sha256
    """SHA-256 of the data."""

    prev: Sha256
    """SHA-256 of the head before it."""


class _WrittenLine(LineHead):
    data: Raw | UnsetType = UNSET


_encode = Encoder().encode
_decode_line = Decoder(_WrittenLine).decode
# NOTE: msgspec (0.22.0) prepares a type at its first use. If two threads do so at once, the process
# may end with a segmentation fault; so every type is prepared here.
_decoders = {name: Decoder(kind) for name, kind in EVENTS.items()}


@dataclass(frozen=True)
class Line:
    """A line of the journal; one without data is withheld."""

    head: LineHead
    data: bytes

    @cached_property
    def event(self) -> Any:
        """The event, of the type that `EVENTS` names; `None` if it is withheld."""
        return _decoders[self.head.type].decode(self.data) if self.data else None

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of the head, which the next line has."""
        return digest_of(_encode(self.head))

    @property
    def encoded(self) -> bytes:
        """The line as it is written."""
        head = _encode(self.head)
        return head[:-1] + b',"data":' + self.data + b"}\n" if self.data else head + b"\n"

    @property
    def withheld(self) -> Line:
        """The line without its data."""
        return Line(self.head, b"")


def digest_of(content: bytes) -> str:
    """Return the SHA-256 of `content` in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def encode_event(event: ModelStruct) -> bytes:
    """Return an event as JSON; U+FFFD replaces each half of a surrogate pair."""
    try:
        return _encode(event)
    except UnicodeEncodeError:
        return _encode(rebuild(to_builtins(event), _without_surrogates))


def _without_surrogates(item: object) -> object:
    return item.encode("utf-8", "replace").decode() if isinstance(item, str) else item


def parse_line(text: bytes, place: str) -> Line:
    """
    Return a line; its link is not checked.

    Raises `ChainError` unless `text` is a line byte for byte as it is written, and `FormatError` if
    a run began under another format. `place` names the line in their messages.
    """
    try:
        written = _decode_line(text)
        fields = {name: getattr(written, name) for name in LineHead.__struct_fields__}
        line = Line(LineHead(**fields), b"" if written.data is UNSET else bytes(written.data))
        is_same = not line.data or digest_of(line.data) == line.head.sha256
        if line.head.type not in EVENTS or line.encoded != text or not is_same:
            raise ChainError(f"{place} was altered.", next_step=_NOT_UNDERSTOOD)
        event = line.event
    except ValidationError as error:
        reason = describe_invalid_field(error, "")
        raise ChainError(f"{place} is invalid: {reason}.", next_step=_NOT_UNDERSTOOD) from None
    except (DecodeError, ValueError, RecursionError):
        message = f"{place} is not a journal line."
        raise ChainError(message, next_step=_NOT_UNDERSTOOD) from None
    if isinstance(event, RunStarted) and event.format != FORMAT:
        raise FormatError(place, event.format, FORMAT)
    return line


def read_lines(file: BinaryIO, after: Line | None, name: str) -> Iterator[Line]:
    """
    Yield the complete lines of a journal, from the file's position on.

    The first follows the line `after`. A last line without its line feed was never acknowledged and
    is left out. `name` is the file's name in messages. Raises like `parse_line`, and `ChainError`
    for a broken link and for a line that is too long.
    """
    last = (after.head.seq, after.digest) if after else (0, GENESIS)
    while text := file.readline(LONGEST_LINE + 1):
        place = f"Line {last[0] + 1} of {name}"
        if len(text) > LONGEST_LINE:
            raise ChainError(f"{place} is over 4 MiB long.", next_step=_NOT_UNDERSTOOD)
        if not text.endswith(b"\n"):
            return
        line = parse_line(text, place)
        if (line.head.seq - 1, line.head.prev) != last:
            message = f"{place} does not follow the line before it."
            raise ChainError(message, next_step=_NOT_UNDERSTOOD)
        last = line.head.seq, line.digest
        yield line


class Journal:
    """
    The journal of one tenant, at `path`; created by the first `append`.

    Several processes and threads may append and read at once.
    """

    def __init__(self, path: Path, *, clock: Callable[[], datetime] = utc_now) -> None:
        self.path = path
        self.clock = clock
        self._lines: list[Line] = []
        # The position after the last of these lines.
        self._end = 0
        # NOTE: threads wait for each other without polling, which a file lock does.
        self._turns = threading.RLock()

    def read_all(self) -> Sequence[Line]:
        """
        Return all lines, oldest first; only those that are new are read.

        Raises like `read_lines`, `ChainError` too if the file has become shorter, and
        `JournalError` if it cannot be read.
        """
        with self._turns, reported_as(JournalError, f"The journal {self.path} cannot be read"):
            try:
                file = open_plain(self.path)
            except FileNotFoundError:
                self._require_size(0)
                return tuple(self._lines)
            with file:
                self._require_size(os.fstat(file.fileno()).st_size)
                file.seek(self._end)
                for line in read_lines(file, self._last, str(self.path)):
                    self._keep(line)
            return tuple(self._lines)

    def append(self, *events: ModelStruct, run: str = "", step: str = "") -> int:
        """
        Append `events`; return the first one's number once all are on disk.

        Raises `JournalError`, with the file unchanged, if one is invalid or cannot be written.
        """
        with self.locked(), self.path.open("a+b", buffering=0) as file:
            self.read_all()
            torn = file.seek(0, os.SEEK_END) - self._end
            if torn:  # by a process that was killed
                file.seek(self._end)
                text = file.read(_TAIL_BYTES).decode(errors="replace")
                events = (JournalRepaired(bytes=torn, text=text), *events)
            lines: list[Line] = []
            for event in events:
                lines.append(self._next_line(event, lines[-1] if lines else self._last, run, step))
            file.truncate(self._end)
            try:
                _write_whole(file.fileno(), b"".join(line.encoded for line in lines))
            except OSError:
                file.truncate(self._end)
                raise
            for line in lines:
                self._keep(line)
            return lines[1 if torn else 0].head.seq

    @contextmanager
    def locked(self) -> Iterator[None]:
        """
        Lock the journal against other writers.

        Raises `JournalError` if another process keeps the lock, or writing fails.
        """
        busy = JournalError(
            f"Another process has locked the journal {self.path} for over {_LOCK_SECONDS} s."
        )
        with self._turns, reported_as(JournalError, f"The journal {self.path} cannot be written"):
            is_new = not self.path.exists()
            self.path.parent.mkdir(parents=True, exist_ok=True)
            check_place(self.path)
            with hold_lock(self.path.with_suffix(".lock"), seconds=_LOCK_SECONDS, busy=busy):
                yield
            if is_new:
                sync_folder(self.path.parent)

    @property
    def _last(self) -> Line | None:
        return self._lines[-1] if self._lines else None

    def _require_size(self, size: int) -> None:
        """Raise `ChainError` if the file is shorter than what was read of it."""
        if size < self._end:
            message = f"The journal {self.path} is shorter than it was: another one was put there."
            raise ChainError(message, next_step=_NOT_UNDERSTOOD)

    def _keep(self, line: Line) -> None:
        self._lines.append(line)
        self._end += len(line.encoded)

    def _next_line(self, event: ModelStruct, last: Line | None, run: str, step: str) -> Line:
        """Return the line of `event` after the line `last`; raises `JournalError`."""
        name = TYPES[type(event)]
        data = encode_event(event)
        if len(data) > LONGEST_LINE - 4096:  # room for its head
            message = f"A line of {len(data):,} bytes is too long for {self.path}."
            raise JournalError(message, next_step=_DEFECT)
        try:
            # NOTE: so whatever is written can be read.
            _decoders[name].decode(data)
        except ValidationError as error:
            reason = describe_invalid_field(error, "")
            message = f"A line of type {name} was not written to {self.path}: {reason}."
            raise JournalError(message, next_step=_DEFECT) from None
        head = LineHead(
            seq=last.head.seq + 1 if last else 1,
            at=timestamp(self.clock()),
            type=name,
            run=run,
            step=step,
            sha256=digest_of(data),
            prev=last.digest if last else GENESIS,
        )
        return Line(head, data)


def _write_whole(file: int, content: bytes) -> None:
    while content:
        content = content[os.write(file, content) :]
    os.fsync(file)
