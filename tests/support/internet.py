"""The world beyond this machine, as one listener that keeps the requests it gets."""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

# Addresses for documentation (RFC 5737, RFC 3849), which no host has.
ADDRESS = "203.0.113.7"
ADDRESS_V6 = "2001:db8::7"
_MOST_BYTES = 65_536


class Internet:
    """
    Every address that is not loopback: a connection to one of them leads to this listener.

    `asked` are the names that a name server was asked for, `reached` the addresses that were
    connected to, and `heard` what came over these connections. Every name resolves to `ADDRESS`,
    but for those in `names`.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.reached: list[tuple[str, int]] = []
        self.heard = b""
        self.names: dict[str, str] = {}
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    @property
    def is_silent(self) -> bool:
        """Whether no host was looked up, reached or sent anything."""
        return not (self.asked or self.reached or self.heard)

    @property
    def place(self) -> tuple[str, int]:
        """Its address on this machine."""
        address: tuple[str, int] = self._listener.getsockname()
        return address

    def close(self) -> None:
        """Stop listening."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, suppress(OSError):
                connection.settimeout(2)
                self.heard += connection.recv(_MOST_BYTES)


@contextmanager
def internet(patch: pytest.MonkeyPatch) -> Iterator[Internet]:
    """Let names resolve, and connections that leave this machine arrive, at a listener."""
    there = Internet()
    look_up = socket.getaddrinfo
    connect = socket.socket.connect

    def resolved(host: Any, port: Any, *arguments: Any, **more: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name in there.names:
            return look_up(there.names[name], port, *arguments, **more)
        if name is None or name == "localhost" or _address(name) is not None:
            return look_up(host, port, *arguments, **more)
        there.asked.append(name)
        return look_up(ADDRESS, port, *arguments, **more)

    def connected(self: socket.socket, address: Any) -> None:
        known = _address(address[0]) if isinstance(address, tuple) else None
        if known is None or known.is_loopback:
            connect(self, address)
            return
        there.reached.append((str(known), address[1]))
        if self.family is not socket.AF_INET:
            raise OSError("this listener has no IPv6")
        connect(self, there.place)

    patch.setattr(socket, "getaddrinfo", resolved)
    patch.setattr(socket.socket, "connect", connected)
    try:
        yield there
    finally:
        there.close()


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return None
