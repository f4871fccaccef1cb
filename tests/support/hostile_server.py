"""A remote system on loopback that answers as no honest one would, by mode."""

from __future__ import annotations

import gzip
import json
import re
import socket
import ssl
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress

_MIB = 1024 * 1024
_BLOCK = b"x" * 65_536
_MOST_BLOCKS = 1600  # of 64 KiB: 100 MiB
_SECONDS = 20.0

Mode = Callable[[socket.socket, threading.Event], None]


def _head(*headers: str, status: str = "200 OK", kind: str = "application/json") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"content-type: {kind}", *headers, "connection: close", "", ""]
    return "\r\n".join(lines).encode("utf-8")


def whole(body: bytes, *headers: str, status: str = "200 OK") -> Mode:
    """Return a mode that answers with `body` and with these headers unchanged."""
    head = _head(f"content-length: {len(body)}", *headers, status=status)
    return lambda connection, _: connection.sendall(head + body)


def _raw(text: bytes) -> Mode:
    return lambda connection, _: connection.sendall(text)


def _bomb() -> bytes:
    """Return 100 MiB of zeros, compressed."""
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    return b"".join(packer.compress(bytes(_MIB)) for _ in range(100)) + packer.flush()


def _streamed(begin: bytes, block: bytes, most: int, *headers: str) -> Mode:
    def answer(connection: socket.socket, stop: threading.Event) -> None:
        connection.sendall(_head(*headers) + begin)
        for _ in range(most):
            if stop.is_set():
                return
            connection.sendall(block)

    return answer


def _dripping(head: bytes, drop: bytes) -> Mode:
    def answer(connection: socket.socket, stop: threading.Event) -> None:
        connection.sendall(head)
        while not stop.wait(0.2):
            connection.sendall(drop)

    return answer


def _endless_headers(connection: socket.socket, stop: threading.Event) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while not stop.is_set():
        connection.sendall(b"x-more: 1\r\n" * 100)


def _silent(_: socket.socket, stop: threading.Event) -> None:
    stop.wait(_SECONDS)


def _reset(connection: socket.socket, _: threading.Event) -> None:
    connection.sendall(_head("content-length: 1000") + b'{"data":')
    # NOTE: with this option, closing the connection sends RST.
    linger = (1).to_bytes(4, "little") + bytes(4)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


def _error(message: str, **more: object) -> bytes:
    return json.dumps({"error": {"message": message, "code": 100, **more}}).encode()


def _redirect(location: str) -> Mode:
    return whole(b"", f"location: {location}", status="302 Found")


def _busy(*headers: str, status: str = "429 Too Many Requests") -> Mode:
    return whole(b"{}", *headers, status=status)


_CHUNK = b"10000\r\n" + _BLOCK + b"\r\n"
_CHUNKED = "transfer-encoding: chunked"
BOMB_OF_100_MIB = _bomb()

# The answer of each mode to every request.
MODES: Mapping[str, Mode] = {
    "gzip bomb": whole(BOMB_OF_100_MIB, "content-encoding: gzip"),
    "gzip bomb in gzip": whole(gzip.compress(BOMB_OF_100_MIB), "content-encoding: gzip, gzip"),
    "gzip that is cut": whole(gzip.compress(b'{"id":"1"}')[:-9], "content-encoding: gzip"),
    "gzip that is none": whole(b"{}", "content-encoding: gzip"),
    "an encoding of its own": whole(b"{}", "content-encoding: br, zstd, x-" + "y" * 5000),
    "a codec of Python's": whole(b"{}", "content-encoding: rot13"),
    "100 MiB of JSON": _streamed(b'["', _BLOCK, _MOST_BLOCKS, f"content-length: {100 * _MIB}"),
    "100 MiB of numbers": _streamed(b"[0", b",0" * 32_768, _MOST_BLOCKS),
    "an endless body": _streamed(b"", _CHUNK, 10**6, _CHUNKED),
    "an endless body without a length": _streamed(b"", _BLOCK, 10**6),
    "one byte at a time": _dripping(_head("content-length: 1000"), b"x"),
    "one chunk at a time": _dripping(_head(_CHUNKED), b"1\r\nx\r\n"),
    "slow headers": _dripping(b"HTTP/1.1 200 OK\r\nx-slow: ", b"x"),
    "a slow status line": _dripping(b"", b"H"),
    "100 Continue without end": _dripping(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 50),
    "silence": _silent,
    "a huge header": whole(b"{}", "facebook-api-version: " + "v" * 300_000),
    "a long header": whole(b"{}", "facebook-api-version: " + "v" * 60_000),
    "endless headers": _endless_headers,
    "many headers": whole(b"{}", *(f"x-{number}: 1" for number in range(6000))),
    "an error message of 5 MB": whole(_error("m" * 5_000_000), status="400 Bad Request"),
    "an error message of 200 KB": whole(
        _error("word " * 40_000, fbtrace_id="t" * 20_000), status="400 Bad Request"
    ),
    "control characters": whole(
        _error("\x1b]0;pwned\x07\x1b[2J\u202e\u200b\x9b31m", fbtrace_id="\x1b[1A"),
        status="400 Bad Request",
    ),
    "NaN": whole(b'{"data": [], "x": NaN}'),
    "Infinity": whole(b'{"Id": -Infinity, "error": {"code": 1e999}}'),
    "a number of 5,000 digits": whole(b'{"id":' + b"9" * 5000 + b"}"),
    "a number of 4,000 digits": whole(b'{"error":{"code":' + b"9" * 4000 + b"}}"),
    "half a surrogate pair": whole(
        b'{"error":{"message":"\\ud800","code":1},"Message":"\\udfff"}', status="400 Bad Request"
    ),
    "an odd charset": _raw(
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json; charset=idna\r\n"
        b"content-length: 2\r\nconnection: close\r\n\r\n{}"
    ),
    "bytes that are no text": whole(bytes(range(256)) * 100),
    "headers beyond ASCII": _raw(
        b"HTTP/1.1 200 \xff\xfe\r\ncontent-type: \xe9\r\nlocation: \xe9\xff\r\n"
        b"set-cookie: \xe9=\xff\r\nfacebook-api-version: \xf0\x9f\x92\xa3\r\n"
        b"content-length: 2\r\n\r\n{}"
    ),
    "headers that are none": _raw(b"HTTP/1.1 200 OK\r\n\x00\x01: \x1b[2J\r\n\r\n{}"),
    "no HTTP": _raw(b"\x1b[2J220 mail.example ESMTP\r\n"),
    "no version": _raw(b"<html>hello</html>"),
    "two lengths": _raw(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}"),
    "a negative length": _raw(b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n{}"),
    "a chunk of all the world": _raw(_head(_CHUNKED) + b"FFFFFFFFFFFFFFFF\r\n{}"),
    "a status of its own": _raw(b"HTTP/1.1 999 \x1b[31m\r\ncontent-length: 2\r\n\r\n{}"),
    "deep JSON": whole(b"[" * 100_000),
    "a list of nothing": whole(b"[" + b"{}," * 60_000 + b"{}]"),
    "other types": whole(b'{"error": [], "data": 7, "access_token": {}, "Message": [1]}'),
    "a token beyond ASCII": whole(
        '{"access_token": "töken-ÄÖÜ-123456789012", "token_type": "bearer"}'.encode()
    ),
    "a reset in the middle": _reset,
    "a redirect to loopback": _redirect("http://127.0.0.2:9/secret"),
    "a redirect to a private network": _redirect("http://169.254.169.254/latest/meta-data"),
    "a redirect to nowhere": _redirect("https://[::1"),
    "a redirect to a script": _redirect("javascript:alert(1)"),
    "a redirect to a name that decodes to none": _redirect("https://xn--zzzzzzzz99999/"),
    "a long redirect": _redirect("https://evil.example/" + "x" * 60_000),
    "429": _busy(),
    "429 for a second": _busy("retry-after: 1"),
    "429 for ever": _busy("retry-after: 999999999999"),
    "429 for a date": _busy("retry-after: Fri, 31 Dec 9999 23:59:59 GMT"),
    "429 for no date": _busy("retry-after: Fri, 99 Foo 99999 99:99:99 XYZ"),
    "429 for less than nothing": _busy("retry-after: -5"),
    "429 for NaN": _busy("retry-after: NaN"),
    "503 for an hour": _busy("retry-after: 3600", status="503 Service Unavailable"),
    "usage that is none": whole(b"{}", 'x-app-usage: {"call_count": NaN}'),
}


def _has_asked(connection: socket.socket) -> bool:
    """
    Read a whole request, and return whether there was one.

    NOTE: closing a connection whose request was not read resets it, and the answer may be lost.
    """
    request = b""
    length = 0
    while b"\r\n\r\n" not in request or len(request.partition(b"\r\n\r\n")[2]) < length:
        block = connection.recv(65_536)
        if not block:
            return False
        request += block
        length_match = re.search(rb"(?i)\r\ncontent-length: ([0-9]{1,9})\r\n", request)
        length = int(length_match[1]) if length_match else 0
    return True


@contextmanager
def hostile_server(
    mode: str | Mode, *, tls: ssl.SSLContext | None = None, is_handshake_slow: bool = False
) -> Iterator[str]:
    """
    Yield the address of a server that answers every request in `mode`, with TLS if `tls` is given.

    With `is_handshake_slow` it only sends one byte of a TLS record at a time.
    """
    answer = MODES[mode] if isinstance(mode, str) else mode
    stop = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    threads: list[threading.Thread] = []
    connections: list[socket.socket] = []

    def serve(connection: socket.socket) -> None:
        with suppress(OSError, ValueError), connection:
            connection.settimeout(_SECONDS)
            if is_handshake_slow:
                _dripping(b"\x16\x03\x03\x40\x00", b"\x00")(connection, stop)
                return
            with tls.wrap_socket(connection, server_side=True) if tls else connection as stream:
                if _has_asked(stream):
                    answer(stream, stop)

    def accept() -> None:
        # NOTE: shutting the listener down ends a waiting accept() on Linux (EINVAL).
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                connections.append(connection)
                threads.append(threading.Thread(target=serve, args=(connection,), daemon=True))
                threads[-1].start()

    accepting = threading.Thread(target=accept, daemon=True)
    accepting.start()
    try:
        yield f"http{'s' if tls else ''}://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        stop.set()
        listener.shutdown(socket.SHUT_RDWR)
        accepting.join()
        listener.close()
        # A client that still waits ends, and who serves it.
        for connection in connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(timeout=_SECONDS)
