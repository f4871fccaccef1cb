"""
HTTP/1.1 over TCP and TLS with deadlines, directly or through a proxy.

Import this module only to connect, since httpcore is slow to import.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import unquote
from urllib.request import getproxies, proxy_bypass

import httpcore
import httpx

from runbook_lib.config.formats import is_this_machine
from runbook_lib.errors import SettingsError
from runbook_lib.remote.addresses import (
    NetworkScope,
    find_addresses,
    host_of,
    may_be_public,
    require_public,
)
from runbook_lib.remote.limits import (
    CONNECT_TIMEOUT_SECONDS,
    count_bytes,
    current_deadline,
    next_timeout,
)

_READ_TIMEOUT_SECONDS = 15.0
_STATUS_LINE = b"HTTP/"
# The newest connection pools that it keeps; each has one proxy and one TLS name.
_MAX_POOLS = 32


class Connection(httpcore.NetworkStream):
    """
    A connection whose reads and writes end at the deadline of the exchange.

    If it delivers more than the response to the last request, it reports that it is readable:
    httpcore closes an idle connection that is readable, and sends nothing over it.
    """

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream
        self._is_closed = False
        self._status_lines = 0
        self._previous_bytes = b""

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Return the next bytes, within the exchange's deadline and size limit."""
        content = count_bytes(self._stream.read(max_bytes, next_timeout(timeout)))
        # NOTE: h11 keeps bytes behind a response, and would take them for the next response. A
        # body that quotes a status line is counted too; that costs a connection.
        received = self._previous_bytes + content
        self._status_lines += received.count(_STATUS_LINE)
        self._previous_bytes = received[-len(_STATUS_LINE) + 1 :]
        return content

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send `buffer`; raises `ConnectionNotAvailable` if the connection must not be reused."""
        if self._is_closed or (self._status_lines and self.get_extra_info("is_readable")):
            # NOTE: httpcore drops the idle connections that have ended, and then chooses one that
            # is idle. It may choose one that another thread ended in between. Nothing was sent
            # over it yet; at this error httpcore chooses again.
            raise httpcore.ConnectionNotAvailable
        self._status_lines = 0
        self._previous_bytes = b""
        self._stream.write(buffer, next_timeout(timeout))

    def close(self) -> None:
        """Close the connection."""
        self._is_closed = True
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        """Return this connection after a TLS handshake."""
        seconds = next_timeout(timeout)
        return Connection(self._stream.start_tls(ssl_context, server_hostname, seconds))

    def get_extra_info(self, info: str) -> Any:
        """Return a property; a connection that must not be reused is always readable."""
        if info == "is_readable" and (self._is_closed or self._status_lines > 1):
            return True
        return self._stream.get_extra_info(info)


class _NetworkBackend(httpcore.NetworkBackend):
    """
    Opens connections for httpcore, to the addresses that it may connect to.

    With `is_public_only` these are public addresses; if `reach` is loopback, loopback ones.
    """

    def __init__(self, *, is_public_only: bool, reach: NetworkScope) -> None:
        self._is_public_only = is_public_only
        self._reach = reach
        self._inner = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002
        local_address: str | None = None,  # noqa: ARG002
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        try:
            addresses = find_addresses(
                host,
                port,
                current_deadline(),
                is_public_only=self._is_public_only,
                reach=self._reach,
            )
        except TimeoutError as error:
            raise httpcore.ConnectTimeout(str(error)) from error
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from error
        *earlier, last = addresses
        for address in earlier:
            with suppress(httpcore.ConnectError, httpcore.ConnectTimeout):
                return self._connect(address, port)
        return self._connect(last, port)

    def _connect(self, address: str, port: int) -> httpcore.NetworkStream:
        return Connection(
            self._inner.connect_tcp(address, port, next_timeout(CONNECT_TIMEOUT_SECONDS))
        )


class HTTPTransport(httpx.BaseTransport):
    """
    Sends requests over HTTP/1.1, directly or through the proxy in the environment.

    With `is_public_only` it connects to public addresses only. A proxy resolves names itself, so
    only literal private addresses are rejected there. If `reach` is loopback, it connects to
    loopback only, and uses no proxy.
    """

    def __init__(
        self,
        tls: ssl.SSLContext,
        *,
        is_public_only: bool = False,
        reach: NetworkScope = NetworkScope.ANYWHERE,
    ) -> None:
        self._tls = tls
        self._is_public_only = is_public_only
        self._reach = reach
        self._lock = threading.Lock()
        self._pools: dict[tuple[str, str], httpcore.ConnectionPool] = {}

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Return the response; the caller reads its body."""
        url = request.url
        # NOTE: a proxy on this machine would lead out of it.
        proxy = "" if self._reach is NetworkScope.LOOPBACK else _proxy_for(url)
        if proxy and self._is_public_only and not may_be_public(host_of(url)):
            require_public(host_of(url), [host_of(url)])
        with _httpx_errors():
            # NOTE: the connection's certificate was verified for one name. Another name of the
            # same address needs its own connection.
            key = (proxy, str(request.extensions.get("sni_hostname", "")))
            with self._lock:
                pool = self._pools.pop(key, None) or self._open_pool(proxy)
                self._pools[key] = pool
                if len(self._pools) > _MAX_POOLS:
                    self._pools.pop(next(iter(self._pools))).close()
            response = pool.handle_request(
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
                            "connect": CONNECT_TIMEOUT_SECONDS,
                            "read": _READ_TIMEOUT_SECONDS,
                            "write": _READ_TIMEOUT_SECONDS,
                            "pool": _READ_TIMEOUT_SECONDS,
                        },
                    },
                )
            )
        return httpx.Response(
            response.status,
            headers=response.headers,
            stream=_ResponseStream(response),
            request=request,
            extensions=response.extensions,
        )

    def close(self) -> None:
        """Close every connection."""
        with self._lock:
            for pool in self._pools.values():
                pool.close()
            self._pools.clear()

    def _open_pool(self, proxy: str) -> httpcore.ConnectionPool:
        options: dict[str, Any] = {
            "ssl_context": self._tls,
            "max_connections": 100,
            "max_keepalive_connections": 20,
            "keepalive_expiry": 5.0,
            # NOTE: with a proxy, the only address to connect to is the operator's own.
            "network_backend": _NetworkBackend(
                is_public_only=self._is_public_only and not proxy,
                reach=self._reach,
            ),
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
            raise SettingsError(
                "The environment names a SOCKS proxy, but a package for it is missing.",
                next_step="Run `pip install socksio`, or name an HTTP proxy in HTTPS_PROXY.",
            ) from None


class _ResponseStream(httpx.SyncByteStream):
    """A streamed body that raises httpx's errors."""

    def __init__(self, response: httpcore.Response) -> None:
        self._response = response

    def __iter__(self) -> Iterator[bytes]:
        with _httpx_errors():
            yield from self._response.iter_stream()

    def close(self) -> None:
        self._response.close()


def _proxy_for(url: httpx.URL) -> str:
    """Return the proxy in the environment for `url`, empty without one."""
    proxies = getproxies()
    proxy = proxies.get(url.scheme) or proxies.get("all") or ""
    # NOTE: never use a proxy for addresses of this machine.
    if not proxy or is_this_machine(host_of(url)) or proxy_bypass(host_of(url)):
        return ""
    return proxy if "://" in proxy else f"http://{proxy}"


@contextmanager
def _httpx_errors() -> Iterator[None]:
    """Translate errors of httpcore to the errors of httpx with the same name."""
    try:
        yield
    except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError) as error:
        raise getattr(httpx, type(error).__name__)(str(error)) from error
    except (httpcore.ProxyError, httpcore.UnsupportedProtocol) as error:
        raise getattr(httpx, type(error).__name__)(str(error)) from error
    except httpcore.ConnectionNotAvailable as error:
        raise httpx.ConnectError(str(error)) from error
