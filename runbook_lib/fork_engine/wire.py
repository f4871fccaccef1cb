"""
What passes between the engine and its child: messages on a socket, and the output of two pipes.

Messages are JSON objects, each preceded by its length. The child writes a
mark into both pipes before each message, so the engine knows which output
came before it, whoever wrote it.
"""

from __future__ import annotations

import codecs
import json
import os
import socket
from typing import Any

Message = dict[str, Any]

_LENGTH_BYTES = 8
_CHUNK_BYTES = 1 << 16
# More than a pipe holds, by default (pipe(7)).
_MOST_CHUNKS = 16
# What ipykernel makes of numbers that JSON does not have.
_NO_NUMBERS = {"NaN": "nan", "Infinity": "inf", "-Infinity": "-inf"}


def _surrogates(error: UnicodeError) -> tuple[bytes, int]:
    """Encode surrogates: as the bytes that they stand for (PEP 383), else joined or replaced."""
    assert isinstance(error, UnicodeEncodeError)  # noqa: S101
    text = error.object[error.start : error.end]
    try:
        return text.encode(errors="surrogateescape"), error.end
    except UnicodeEncodeError:
        pairs = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        return pairs.encode(), error.end


# How text becomes UTF-8, whatever is in it; it is decoded with `replace`, as by Jupyter.
ERRORS = "fork_engine.surrogates"
codecs.register_error(ERRORS, _surrogates)


def encode(message: Message) -> bytes:
    """Return `message` as bytes; raises `ValueError` if a value has no JSON form."""
    body = json.dumps(message, default=_plain, ensure_ascii=False).encode(errors=ERRORS)
    return len(body).to_bytes(_LENGTH_BYTES, "big") + body


def _plain(value: Any) -> Any:
    """Return a JSON form of what libraries put into displayed data."""
    import base64  # noqa: PLC0415  (rarely needed)
    import datetime as dt  # noqa: PLC0415
    import numbers  # noqa: PLC0415

    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value)
    if hasattr(value, "__iter__"):
        return list(value)
    msg = f"Can't clean for JSON: {value!r}"  # as ipykernel says
    raise ValueError(msg)


class Channel:
    """One end of the socket; the other end has closed when `receive` returns None."""

    def __init__(self, end: socket.socket) -> None:
        self.socket = end
        self._received = bytearray()

    def send(self, message: Message) -> None:
        """Send `message`; raises `OSError` if the other end has closed."""
        self.socket.sendall(encode(message))

    def receive(self) -> Message | None:
        """Wait for the next message."""
        while (message := self.pop()) is None:
            if not self.fill():
                return None
        return message

    def fill(self) -> bool:
        """Read what has arrived, waiting for a first byte; return False at the end."""
        try:
            chunk = self.socket.recv(_CHUNK_BYTES)
        except ConnectionError:
            return False
        self._received += chunk
        return bool(chunk)

    def pop(self) -> Message | None:
        """Return the next message that has arrived in full."""
        end = _LENGTH_BYTES + int.from_bytes(self._received[:_LENGTH_BYTES], "big")
        if len(self._received) < max(end, _LENGTH_BYTES):
            return None
        body = self._received[_LENGTH_BYTES:end].decode(errors="replace")
        del self._received[:end]
        message: Message = json.loads(body, parse_constant=_NO_NUMBERS.__getitem__)
        return message


class Output:
    """
    The engine's end of a pipe: the child's standard output or standard error.

    Reading stops at a mark until the message that belongs to it has come.
    """

    def __init__(self, name: str, descriptor: int, mark: bytes) -> None:
        os.set_blocking(descriptor, False)
        self.name = name
        self.descriptor = descriptor
        self.is_open = True
        # How many characters wait to be taken.
        self.waiting = 0
        self._mark = mark
        self._bytes = b""
        self._text: list[str] = []
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    @property
    def is_readable(self) -> bool:
        """Return whether there may be more to read before the next message."""
        return self.is_open and self._mark not in self._bytes

    def read(self) -> bool:
        """Read a chunk, without waiting; return False if there is none."""
        try:
            chunk = os.read(self.descriptor, _CHUNK_BYTES)
        except BlockingIOError:
            return False
        self.is_open = bool(chunk)
        self._bytes += chunk
        self._decode_up_to_mark()
        return self.is_open

    def take(self) -> str:
        """Return the text that was read and is in front of the next mark."""
        text = "".join(self._text)
        self._text.clear()
        self.waiting = 0
        return text

    def read_up_to_mark(self) -> None:
        """Read what is in front of the next mark, which the child has written."""
        while self.is_readable and self.read():
            pass
        self._decode_up_to_mark()

    def pass_mark(self) -> None:
        """Go on behind the mark; its message has come."""
        self._bytes = self._bytes.removeprefix(self._mark)
        self._decode_up_to_mark()

    def take_rest(self) -> str:
        """Return what a dead child left in the pipe, which another process may hold open."""
        for _ in range(_MOST_CHUNKS):
            if not (self.is_open and self.read()):
                break
        self._decode(len(self._bytes))
        return self.take().replace(self._mark.decode(), "")

    def close(self) -> None:
        """Close the pipe, if it still is open here."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor, self.is_open = -1, False

    def _decode_up_to_mark(self) -> None:
        """Make text of all bytes in front of a mark, or of what may be the beginning of one."""
        end = self._bytes.find(self._mark)
        self._decode(len(self._bytes) - self._begun_mark() if end < 0 else end)

    def _decode(self, count: int) -> None:
        if text := self._decoder.decode(self._bytes[:count]):
            self._text.append(text)
            self.waiting += len(text)
        self._bytes = self._bytes[count:]

    def _begun_mark(self) -> int:
        """Return how many bytes at the end may be the beginning of a mark."""
        longest = min(len(self._mark) - 1, len(self._bytes))
        return next((n for n in range(longest, 0, -1) if self._bytes.endswith(self._mark[:n])), 0)
