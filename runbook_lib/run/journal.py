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
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, NamedTuple

from msgspec import UNSET, DecodeError, Raw, UnsetType, ValidationError, to_builtins
from msgspec.json import Decoder, Encoder

from runbook_lib.core.clock import timestamp, utc_now
from runbook_lib.core.files import check_place, hold_lock, open_plain, sync_folder
from runbook_lib.core.json_text import rebuild
from runbook_lib.core.model import (
    ModelStruct,
    Name,
    Number,
    Sha256,
    Time,
    describe_invalid_field,
)
from runbook_lib.errors import ChainError, FormatError, JournalError, reason_of, reported_as
from runbook_lib.run.events import EVENTS, FORMAT, TYPES, JournalRepaired, RunStarted

# The `prev` of the first line.
GENESIS = "0" * 64
# NOTE: the runbook writes no longer line, and parsing takes many times its size in memory.
LONGEST_LINE = 4 << 20
# Bytes of a half line that are recorded.
_TAIL_BYTES = 64 << 10
_LOCK_SECONDS = 30
# Kinds of lines that may lack their data: what a remote system said, never what people say.
_REMOTE = ("exchange.recorded", "step.checked")
_UNDECODABLE = (DecodeError, ValueError, RecursionError)
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
    """
    A line of the journal; one without data is withheld. `place` names it in messages.

    Most lines say what a remote system said. Hardly anybody reads an old one, so each is decoded
    when somebody does.
    """

    head: LineHead
    data: bytes
    place: str = field(default="", compare=False)

    @property
    def kind(self) -> type[ModelStruct] | None:
        """The type of the event; `None` if it is withheld."""
        return EVENTS[self.head.type] if self.data else None

    @cached_property
    def event(self) -> Any:
        """The event; `None` if it is withheld. Raises `ChainError` if it is invalid."""
        try:
            return _decoders[self.head.type].decode(self.data) if self.data else None
        except _UNDECODABLE as error:
            raise _refusal(error, self.place) from None

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


def _refusal(error: Exception, place: str) -> ChainError:
    """Return the error about content that is no JSON, or no line of its type."""
    if isinstance(error, ValidationError):
        message = f"{place} is invalid: {describe_invalid_field(error, '')}."
    else:
        message = f"{place} is not a journal line."
    return ChainError(message, next_step=_NOT_UNDERSTOOD)


def parse_line(text: bytes, place: str) -> Line:
    """
    Return a line; its link is not checked.

    Raises `ChainError` unless `text` is a line byte for byte as it is written, and `FormatError` if
    a run began under another format. `place` names the line in their messages.
    """
    try:
        written = _decode_line(text)
    except _UNDECODABLE as error:
        raise _refusal(error, place) from None
    fields = {name: getattr(written, name) for name in LineHead.__struct_fields__}
    line = Line(LineHead(**fields), b"" if written.data is UNSET else bytes(written.data), place)
    is_same = not line.data or digest_of(line.data) == line.head.sha256
    is_known = line.head.type in (EVENTS if line.data else _REMOTE)
    if not is_known or line.encoded != text or not is_same:
        raise ChainError(f"{place} was altered.", next_step=_NOT_UNDERSTOOD)
    event = None if line.head.type in _REMOTE else line.event
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


class _ReadBytes(NamedTuple):
    """The lines in the first bytes of a journal."""

    lines: tuple[Line, ...]
    end: int
    sha256: bytes


class Journal:
    """
    The journal of one tenant, at `path`; created by the first `append`.

    Several processes and threads may append and read at once.
    """

    # NOTE: a run opens its journal several times, and its cells' process inherits this. Bytes that
    # are the same are the same lines.
    _read_last: ClassVar[_ReadBytes] = _ReadBytes((), 0, b"")

    def __init__(self, path: Path, *, clock: Callable[[], datetime] = utc_now) -> None:
        self.path = path
        # A check that ends late writes where it began, whatever the working folder is by then.
        self._file = path.absolute()
        self.clock = clock
        self._lines: list[Line] = []
        self._all: tuple[Line, ...] = ()
        # The position after the last of these lines, and the digest of all before it.
        self._end = 0
        self._sha256 = hashlib.sha256()
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
                file = open_plain(self._file)
            except FileNotFoundError:
                self._require_size(0)
                return self._all
            with file:
                self._require_size(os.fstat(file.fileno()).st_size)
                if not self._end:
                    self._take_known(file)
                file.seek(self._end)
                for line in read_lines(file, self._last, str(self.path)):
                    self._keep(line)
            # NOTE: a step asks hundreds of times.
            if len(self._all) != len(self._lines):
                self._all = tuple(self._lines)
                Journal._read_last = _ReadBytes(self._all, self._end, self._sha256.digest())
            return self._all

    def append(self, *events: ModelStruct, run: str = "", step: str = "") -> int:
        """
        Append `events`; return the first one's number once all are on disk.

        Raises `JournalError`, with the file unchanged, if one is invalid or cannot be written.
        """
        with self.locked(), self._file.open("a+b", buffering=0) as file:
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
        file = self._file
        try:
            with self._turns:
                is_new = not file.exists()
                file.parent.mkdir(parents=True, exist_ok=True)
                check_place(file)
                with hold_lock(file.with_suffix(".lock"), seconds=_LOCK_SECONDS, busy=busy):
                    yield
                if is_new:
                    sync_folder(file.parent)
        except OSError as error:
            place = f" ({error.filename})" if error.filename not in (None, str(file)) else ""
            raise JournalError(
                f"The journal {self.path} cannot be written: {reason_of(error)}{place}."
            ) from error

    def forget(self) -> None:
        """Drop the lines from memory; they are read again when somebody needs them."""
        with self._turns:
            self._lines = []
            self._all = ()
            self._end = 0
            self._sha256 = hashlib.sha256()

    @property
    def _last(self) -> Line | None:
        return self._lines[-1] if self._lines else None

    def _require_size(self, size: int) -> None:
        """Raise `ChainError` if the file is shorter than what was read of it."""
        if size < self._end:
            message = f"The journal {self.path} is shorter than it was: another one was put there."
            raise ChainError(message, next_step=_NOT_UNDERSTOOD)

    def _take_known(self, file: BinaryIO) -> None:
        """Take the lines that this process has read last if `file` begins with the same bytes."""
        known = Journal._read_last
        digest = hashlib.sha256(file.read(known.end))
        if digest.digest() == known.sha256:
            self._lines = [*known.lines]
            self._end = known.end
            self._sha256 = digest

    def _keep(self, line: Line) -> None:
        content = line.encoded
        self._lines.append(line)
        self._end += len(content)
        self._sha256.update(content)

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
