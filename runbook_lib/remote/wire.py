"""
Bytes on the network, bounded: connections that keep a deadline, bodies that keep a size.

Every name is looked up, every connection opened and every byte read here, for
HTTP, for the TLS handshake that `domain` looks at, and through a proxy. What
an answer means is for others.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading
import zlib
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any
from urllib.parse import unquote
from urllib.request import getproxies, proxy_bypass

import httpcore
import httpx

from runbook_lib.errors import SettingsError, UnexpectedAnswerError
from runbook_lib.remote.limits import Deadline

__all__ = [
    "OutOfTimeError",
    "RefusedAnswerError",
    "Wire",
    "find_addresses",
    "host_of",
    "is_public",
    "is_this_machine",
    "may_be_public",
    "open_connection",
    "read_body",
    "require_public",
    "within",
]

_CONNECT_SECONDS = 5.0
_READ_SECONDS = 15.0
# Beside the body: headers, and what frames chunks.
_FRAMING = 256 * 1024
_GZIP = 16 + zlib.MAX_WBITS
# RFC 6052 §2.1: a gateway may put an IPv4 address into an IPv6 one.
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")

# RFC 6890 and its registries: what is this machine's, a private network's, or nobody's.
_NOT_PUBLIC = tuple(
    ipaddress.ip_network(network)
    for network in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
        *("172.16.0.0/12", "192.0.0.0/24", "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/3"),
        *("::/96", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8", "64:ff9b:1::/48"),
    )
)
_PRIVATE = (
    "Check the spelling of the name. Where this Cyclr is on a private network, say so: "
    "service_domain_address for the Service Domain, redirect_hosts for other hosts."
)

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class OutOfTimeError(Exception):
    """The time for one exchange is over; the message says what took it."""


class RefusedAnswerError(Exception):
    """An answer is not read to its end; the message says what is the matter with it."""


class _Awaited:
    """What is being read now: until when, and how many bytes at most."""

    def __init__(self, deadline: Deadline, most: int) -> None:
        self.deadline = deadline
        self._left = most

    def seconds(self, wanted: float | None) -> float:
        """Return the time-out of the next call; raises `OutOfTimeError` where no time is left."""
        left = self.deadline.left
        if left <= 0:
            raise OutOfTimeError
        return left if wanted is None else min(wanted, left)

    def count(self, size: int) -> None:
        """Raise `RefusedAnswerError` where more arrives than an answer takes."""
        self._left -= size
        if self._left < 0:
            raise RefusedAnswerError("more bytes than an answer may have")


_AWAITED: ContextVar[_Awaited | None] = ContextVar("awaited", default=None)


def _seconds(wanted: float | None) -> float | None:
    awaited = _AWAITED.get()
    return awaited.seconds(wanted) if awaited else wanted


@contextmanager
def within(deadline: Deadline, most: int) -> Iterator[None]:
    """Bound all that this thread reads meanwhile: until `deadline`, `most` bytes of body."""
    token = _AWAITED.set(_Awaited(deadline, most + _FRAMING))
    try:
        yield
    finally:
        _AWAITED.reset(token)


def _lookup(host: str, port: int, seconds: float) -> list[str]:
    """
    Return the addresses of `host`, each once, in the resolver's order.

    Raises `OSError` where the name does not resolve, or not within `seconds`:
    the resolver itself cannot be stopped, so it is left behind.
    """
    literal = _address(host)
    if literal is not None:
        return [str(literal)]
    found: Future[list[Any]] = Future()

    def ask() -> None:
        try:
            found.set_result(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except BaseException as error:  # noqa: BLE001  (handed over to who waits)
            found.set_exception(error)

    threading.Thread(target=ask, name=f"lookup {host[:40]}", daemon=True).start()
    try:
        entries = found.result(timeout=seconds)
    except FutureTimeoutError:
        msg = f"no name server answered within {seconds:.0f} s"
        raise TimeoutError(msg) from None
    except UnicodeError as error:
        # NOTE: Python encodes the name with IDNA, which refuses labels over 63 characters.
        raise OSError(socket.EAI_NONAME, "Name or service not known") from error
    return list(dict.fromkeys(str(entry[4][0]) for entry in entries))


def is_public(address: str) -> bool:
    """Return whether an IP address is one of the internet's, not of this machine or a network."""
    parsed = _address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address):
        parsed = _embedded(parsed) or parsed
    return parsed is not None and not any(parsed in network for network in _NOT_PUBLIC)


def host_of(url: httpx.URL) -> str:
    """Return the host as it is sent (RFC 5891); httpx's own `host` decodes it, and may fail."""
    return url.raw_host.decode("ascii", "replace")


def find_addresses(
    host: str, port: int, deadline: Deadline, *, is_public_only: bool = False
) -> list[str]:
    """
    Return the addresses at which `host` may be reached.

    Raises `UnexpectedAnswerError` where only public ones are wanted and it
    has none, `OSError` where the name does not resolve in time.
    """
    found = _lookup(host, port, min(_CONNECT_SECONDS, deadline.left))
    return require_public(host, found) if is_public_only else found


def open_connection(addresses: Iterable[str], port: int, deadline: Deadline) -> socket.socket:
    """Return a TCP connection to the first of `addresses` that answers; raises `OSError`."""
    failure: OSError = TimeoutError("timed out")
    for address in addresses:
        seconds = min(_CONNECT_SECONDS, deadline.left)
        if seconds <= 0:
            break
        try:
            return socket.create_connection((address, port), seconds)
        except OSError as error:
            failure = error
    raise failure


def require_public(host: str, addresses: list[str]) -> list[str]:
    """Return those of `addresses` that are public; `UnexpectedAnswerError` where none is."""
    found = [address for address in addresses if is_public(address)]
    if not found:
        at = f"its address {addresses[0]}" if addresses[0] != host else "it"
        msg = f"{host} was not asked: {at} is not an address of the public internet."
        raise UnexpectedAnswerError(msg, next_step=_PRIVATE)
    return found


def _address(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None


def _embedded(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """Return the IPv4 address that an IPv6 one stands for, where it does (RFC 4291, 3056, 6052)."""
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour


class _Stream(httpcore.NetworkStream):
    """A connection each of whose reads ends with the exchange's time."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        data = self._stream.read(max_bytes, _seconds(timeout))
        awaited = _AWAITED.get()
        if awaited is not None:
            awaited.count(len(data))
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _seconds(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        seconds = _seconds(timeout)
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, seconds))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _Backend(httpcore.NetworkBackend):
    """Opens connections for httpcore; `is_public_only` keeps them off this machine's networks."""

    def __init__(self, *, is_public_only: bool) -> None:
        self._is_public_only = is_public_only
        self._plain = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002
        local_address: str | None = None,  # noqa: ARG002
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        awaited = _AWAITED.get()
        deadline = awaited.deadline if awaited else Deadline(_CONNECT_SECONDS)
        try:
            addresses = find_addresses(host, port, deadline, is_public_only=self._is_public_only)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout(str(error)) from error
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from error
        *others, last = addresses
        for address in others:
            with suppress(httpcore.ConnectError, httpcore.ConnectTimeout):
                return self._connected(address, port)
        return self._connected(last, port)

    def _connected(self, address: str, port: int) -> httpcore.NetworkStream:
        return _Stream(self._plain.connect_tcp(address, port, _seconds(_CONNECT_SECONDS)))


class Wire(httpx.BaseTransport):
    """
    Sends requests over HTTP/1.1, straight or through the proxy that the environment names.

    With `is_public_only` it connects to public addresses only. Behind a proxy
    it is the proxy that looks names up, so there it refuses literal addresses.
    """

    def __init__(self, tls: ssl.SSLContext, *, is_public_only: bool = False) -> None:
        self._tls = tls
        self._is_public_only = is_public_only
        self._lock = threading.Lock()
        self._pools: dict[str, httpcore.ConnectionPool] = {}

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Return the response, whose body is read by whoever asked."""
        url = request.url
        proxy = _proxy_for(url)
        if proxy and self._is_public_only and not may_be_public(host_of(url)):
            require_public(host_of(url), [host_of(url)])
        with _errors_of_httpx():
            response = self._pool(proxy).handle_request(
                httpcore.Request(
                    method=request.method,
                    url=httpcore.URL(
                        scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
                    ),
                    headers=request.headers.raw,
                    content=request.content,
                    extensions={
                        **request.extensions,
                        "timeout": {
                            "connect": _CONNECT_SECONDS,
                            "read": _READ_SECONDS,
                            "write": _READ_SECONDS,
                            "pool": _READ_SECONDS,
                        },
                    },
                )
            )
        return httpx.Response(
            response.status, headers=response.headers, stream=_Body(response), request=request
        )

    def close(self) -> None:
        """Close every connection."""
        with self._lock:
            for pool in self._pools.values():
                pool.close()
            self._pools.clear()

    def _pool(self, proxy: str) -> httpcore.ConnectionPool:
        with self._lock:
            if proxy not in self._pools:
                self._pools[proxy] = self._opened(proxy)
            return self._pools[proxy]

    def _opened(self, proxy: str) -> httpcore.ConnectionPool:
        options: dict[str, Any] = {
            "ssl_context": self._tls,
            "max_connections": 100,
            "max_keepalive_connections": 20,
            "keepalive_expiry": 5.0,
            # NOTE: behind a proxy, the only address to connect to is the operator's own.
            "network_backend": _Backend(is_public_only=self._is_public_only and not proxy),
        }
        if not proxy:
            return httpcore.ConnectionPool(**options)
        url = httpx.URL(proxy)
        place = httpcore.URL(
            scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
        )
        auth = (unquote(url.username), unquote(url.password)) if url.username else None
        if url.scheme in ("http", "https"):
            return httpcore.HTTPProxy(place, proxy_auth=auth, **options)
        try:
            return httpcore.SOCKSProxy(place, proxy_auth=auth, **options)
        except (ImportError, RuntimeError):
            msg = "The environment names a SOCKS proxy, for which a package is missing."
            advice = "Run `pip install socksio`, or name an HTTP proxy in HTTPS_PROXY."
            raise SettingsError(msg, next_step=advice) from None


class _Body(httpx.SyncByteStream):
    """A body as it comes, with errors of httpx's."""

    def __init__(self, response: httpcore.Response) -> None:
        self._response = response

    def __iter__(self) -> Iterator[bytes]:
        with _errors_of_httpx():
            yield from self._response.iter_stream()

    def close(self) -> None:
        self._response.close()


def read_body(response: httpx.Response, most: int) -> bytes:
    """
    Return the body of `response`, decoded; never more than `most` bytes are held of it.

    Raises `RefusedAnswerError` for a larger one, and for an encoding that was
    not asked for; `httpx.DecodingError` for gzip data that is broken.
    """
    stream = response.stream
    if not isinstance(stream, httpx.SyncByteStream):
        raise RefusedAnswerError("a body that cannot be read")
    decoder = _decoder(response.headers, most)
    pieces: list[bytes] = []
    size = arrived = 0
    for chunk in stream:
        arrived += len(chunk)
        piece = decoder.decode(chunk) if decoder else chunk
        size += len(piece)
        if max(size, arrived) > most:
            raise RefusedAnswerError(f"a body of more than {most // 1024:,} KiB")
        pieces.append(piece)
    if decoder:
        decoder.finish()
    return b"".join(pieces)


def _decoder(headers: httpx.Headers, most: int) -> _Gunzip | None:
    named = [
        name.strip().lower() for name in headers.get_list("content-encoding", split_commas=True)
    ]
    encodings = [name for name in named if name not in ("", "identity")]
    if not encodings:
        return None
    if len(encodings) > 1 or encodings[0] not in ("gzip", "x-gzip"):
        # NOTE: layers multiply: a body that is encoded twice may grow a million times.
        what = f"a body encoded as {', '.join(encodings)[:60]}, which was not asked for"
        raise RefusedAnswerError(what)
    return _Gunzip(most)


class _Gunzip:
    """Decodes gzip (RFC 1952), in one or several members, to a little over `most` bytes at most."""

    def __init__(self, most: int) -> None:
        self._left = most + 1
        self._inflate = zlib.decompressobj(_GZIP)
        self._has_begun = False

    def decode(self, chunk: bytes) -> bytes:
        """Return what `chunk` comes to, cut where the whole would be too long."""
        pieces = []
        while chunk and self._left > 0:
            if self._inflate.eof:
                if not chunk.startswith(b"\x1f"):
                    # NOTE: what follows the last member is padding; every reader ignores it.
                    break
                self._inflate = zlib.decompressobj(_GZIP)
            try:
                piece = self._inflate.decompress(chunk, self._left)
            except zlib.error as error:
                raise httpx.DecodingError(str(error)) from error
            self._has_begun = True
            self._left -= len(piece)
            pieces.append(piece)
            chunk = self._inflate.unused_data
        return b"".join(pieces)

    def finish(self) -> None:
        """Raise `httpx.DecodingError` where the data ended too early."""
        if self._has_begun and not self._inflate.eof:
            raise httpx.DecodingError("the gzip data is cut off")


def _proxy_for(url: httpx.URL) -> str:
    """Return the proxy that the environment names for `url`, empty where there is none."""
    proxies = getproxies()
    proxy = proxies.get(url.scheme) or proxies.get("all") or ""
    # NOTE: a proxy must not be asked for this machine's own addresses.
    if not proxy or is_this_machine(host_of(url)) or proxy_bypass(host_of(url)):
        return ""
    return proxy if "://" in proxy else f"http://{proxy}"


def is_this_machine(host: str) -> bool:
    """Return whether `host`, by its spelling, is on this machine (RFC 6761 §6.3)."""
    address = _address(host)
    return address.is_loopback if address else host.rstrip(".").rpartition(".")[2] == "localhost"


def may_be_public(host: str) -> bool:
    """Return whether `host` may be at a public address: it is a name, or it is one itself."""
    return is_public(host) if _address(host) else not is_this_machine(host)


@contextmanager
def _errors_of_httpx() -> Iterator[None]:
    """Raise httpx's error of the same name for one of httpcore's."""
    try:
        yield
    except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError) as error:
        raise getattr(httpx, type(error).__name__)(str(error)) from error
    except (httpcore.ProxyError, httpcore.UnsupportedProtocol) as error:
        raise getattr(httpx, type(error).__name__)(str(error)) from error
    except httpcore.ConnectionNotAvailable as error:
        raise httpx.ConnectError(str(error)) from error
