"""
The HTTP client of a run: sends one request, within the limits of time, size and secrets.

`check_session` repeats and records requests; `http_transport` opens the connections.
"""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from runbook_lib.core.redaction import RedactingFilter, Redactor
from runbook_lib.errors import RemoteError, ResponseTimeoutError, UnreachableError
from runbook_lib.remote.addresses import NetworkScope, host_of
from runbook_lib.remote.http_library import httpx
from runbook_lib.remote.http_messages import Request, Response, unexpected_response
from runbook_lib.remote.limits import (
    Deadline,
    DeadlineExceededError,
    Limits,
    RejectedResponseError,
    read_limits,
)
from runbook_lib.remote.quoting import shorten
from runbook_lib.remote.rate_limits import PROCESS_COOL_DOWNS, CoolDown, CoolDowns
from runbook_lib.remote.response_body import read_body
from runbook_lib.remote.retries import TOO_MANY_REQUESTS, CircuitBreaker, RetryPolicy
from runbook_lib.remote.secret_guard import SecretGuard

if TYPE_CHECKING:
    import ssl

# Concurrent requests to one host and port. A browser opens six connections to a host.
_MAX_CONCURRENT_REQUESTS = 6
# After such a status, and after any server or gateway error, a late response may follow.
_GIVEN_UP_STATUSES = (408, TOO_MANY_REQUESTS)
_LOWEST_SERVER_ERROR = 500
_SENT_HEADERS = {
    "accept": "*/*",
    # NOTE: no other encoding can be decoded with a size limit.
    "accept-encoding": "gzip",
    "connection": "keep-alive",
    "user-agent": "connector-runbook",
}
_LOGGERS = ("httpcore.connection", "httpcore.http11", "httpcore.proxy", "httpcore.socks", "httpx")


class ConnectionPools:
    """
    The connections of one or several clients. The caller that makes it closes it.

    Clients with the same `ca_file` and reach share connections. No secret is part of a
    connection: each client checks its own requests. The clients share `circuit_breaker` too: a
    host that did not respond to one of them fails at once for the others.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tls_contexts: dict[str, ssl.SSLContext] = {}
        self._transports: dict[
            tuple[str, NetworkScope], tuple[httpx.BaseTransport, httpx.BaseTransport]
        ] = {}
        self.circuit_breaker = CircuitBreaker()

    def tls_context(self, ca_file: str) -> ssl.SSLContext:
        """Return a context that trusts the usual authorities and `ca_file`."""
        with self._lock:
            if ca_file not in self._tls_contexts:
                context = httpx.create_ssl_context()
                if ca_file:
                    context.load_verify_locations(ca_file)
                self._tls_contexts[ca_file] = context
            return self._tls_contexts[ca_file]

    def transports(
        self, ca_file: str, tls: ssl.SSLContext, reach: NetworkScope = NetworkScope.ANYWHERE
    ) -> tuple[httpx.BaseTransport, httpx.BaseTransport]:
        """
        Return a transport to any address, and one to public addresses only.

        If `reach` is loopback, the first connects to loopback only, and the second to nothing.
        """
        from runbook_lib.remote.http_transport import HTTPTransport  # noqa: PLC0415  (slow to import)

        with self._lock:
            key = (ca_file, reach)
            if key not in self._transports:
                self._transports[key] = (
                    HTTPTransport(tls, reach=reach),
                    HTTPTransport(tls, is_public_only=True, reach=reach),
                )
            return self._transports[key]

    def close(self) -> None:
        """Close every connection."""
        for transports in self._transports.values():
            for transport in transports:
                transport.close()


@dataclass(frozen=True, kw_only=True)
class ClientOptions:
    """The hosts that a client may send to, and the limits and retries of its requests."""

    hosts: Mapping[str, Iterable[str]] = field(default_factory=dict)
    """Provider → its addresses. A secret goes only to the hosts of its own provider."""

    connect_to: Mapping[str, str] = field(default_factory=dict)
    """`host:port` → the `host:port` to connect to instead, like curl's `--connect-to`."""

    ca_file: str = ""
    """A PEM file with one more certificate authority to trust; empty without such a file."""

    private_hosts: Collection[str] = ()
    """Host names that may have private addresses; all others need a public one."""

    reach: NetworkScope = NetworkScope.ANYWHERE
    """The addresses it may connect to: in practice loopback, whatever the other options name."""

    recorded_headers: Collection[str] = ()
    """Response headers that the record keeps besides the usual ones, in lower case."""

    usage_pause: Callable[[Mapping[str, str]], tuple[float, str]] = lambda _: (0.0, "")
    """Response headers → seconds to send nothing, and the used-up limit that asks for them."""

    on_call: Callable[[str, Mapping[str, str]], None] = lambda _app, _headers: None
    """Gets the app and the response headers of each request that counts for an app."""

    limits: Limits = field(default_factory=Limits)
    """The size and time limits of a response, an exchange and a step."""

    retry_policy: RetryPolicy = field(default_factory=RetryPolicy)
    """The number of attempts of a repeatable request, and the pauses between them."""


class HTTPClient:
    """
    Sends the requests of one run, each once. Thread-safe.

    Clients share their `cool_downs` within a process, and connections if given the same `pools`;
    otherwise `close` closes a client's own. Tests replace `transport`, `sleep` and `clock`.
    """

    def __init__(
        self,
        redactor: Redactor,
        options: ClientOptions | None = None,
        *,
        cool_downs: CoolDowns = PROCESS_COOL_DOWNS,
        pools: ConnectionPools | None = None,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.redactor = redactor
        self.options = options or ClientOptions()
        self.secret_guard = SecretGuard(redactor, self.options.hosts)
        self.cool_downs = cool_downs
        self.sleep = sleep
        self.clock = clock
        self._lock = threading.Lock()
        self._slots: dict[str, threading.Semaphore] = {}
        self._pools = pools or ConnectionPools()
        if transport is None:
            self._transport, self._public_transport = self._pools.transports(
                self.options.ca_file, self.tls_context(), self.options.reach
            )
        else:
            self._transport = transport
            self._public_transport = transport
        self._owned = (transport or self._pools) if pools is None else None
        self._route = (
            tuple(sorted(self.options.connect_to.items())),
            self.options.ca_file,
            self.options.limits,
            self.options.reach,
        )
        # NOTE: this removes the filter even if nobody closes the client.
        redacting = RedactingFilter(redactor)
        for name in _LOGGERS:
            logging.getLogger(name).addFilter(redacting)
        self._remove_log_filter = weakref.finalize(self, _remove_filters, redacting)

    def tls_context(self) -> ssl.SSLContext:
        """Return a context that trusts the usual authorities and `ca_file`."""
        return self._pools.tls_context(self.options.ca_file)

    def is_public_only(self, host: str, port: int) -> bool:
        """Return whether `host` must have a public address: no setting gives another one."""
        has_override = f"{host}:{port}" in self.options.connect_to
        return not has_override and host not in self.options.private_hosts

    def close(self) -> None:
        """Close every connection of its own, and restore the loggers of the HTTP library."""
        if self._owned:
            self._owned.close()
        self._remove_log_filter()

    def send(
        self,
        request: Request,
        deadline: Deadline,
        *,
        is_transient: Callable[[Response], bool] = lambda _: False,
    ) -> Response:
        """
        Send `request` once and return the response, whatever its status.

        A connection is not reused after the remote system, a gateway or the operator gave the
        request up. Raises `UnreachableError` if no response is complete by `deadline`,
        `UnexpectedResponseError` if it is too large, and `RemoteError` before anything is sent
        if the request holds a secret that this host must not get.
        """
        transport = self._public_transport if request.is_public_only else self._transport
        max_bytes = self.options.limits.response_limit_kib * 1024
        try:
            built = self._build(request)
            self.secret_guard.check(request, built)
            with read_limits(deadline, max_bytes):
                raw_response = transport.handle_request(built)
                try:
                    content = read_body(raw_response, max_bytes)
                    # NOTE: JSON is UTF-8 (RFC 8259 §8.1), whatever the header says; it may even
                    # name a Python codec that is not for text.
                    text = content.decode("utf-8", "replace")
                    status = raw_response.status_code
                    headers = raw_response.headers
                    response = Response(request.url, status, headers, text, content)
                    is_given_up = status in _GIVEN_UP_STATUSES or status >= _LOWEST_SERVER_ERROR
                    stream = raw_response.extensions.get("network_stream")
                    if stream and (is_given_up or is_transient(response)):
                        # NOTE: a gateway that gave the request up may still send a late response:
                        # the next request on this connection would get it.
                        stream.close()
                finally:
                    raw_response.close()
        except (KeyboardInterrupt, SystemExit):
            # NOTE: at some moments an interrupt leaves httpcore's connection half-way.
            transport.close()
            raise
        except RejectedResponseError as error:
            raise unexpected_response(request.host, str(error)) from error
        except DeadlineExceededError as error:
            raise _timeout_error(request, deadline) from error
        except (httpx.TransportError, httpx.DecodingError) as error:
            if deadline.seconds_left <= 0:
                raise _timeout_error(request, deadline) from error
            raise UnreachableError(
                f"{request.host} could not be reached: {_describe_error(error)}."
            ) from error
        except (httpx.InvalidURL, ValueError) as error:
            what = f"{shorten(request.url)} is not a valid address"
            raise unexpected_response(request.host or "A remote system", what) from error
        if request.app:
            self.options.on_call(request.app, raw_response.headers)
        seconds, limit = self.options.usage_pause(raw_response.headers)
        if seconds:
            reason = f"{request.host} reports that its {limit} is used up"
            self.start_cool_down(request, seconds, reason, app=request.app)
        return response

    @contextmanager
    def slot(self, netloc: str, seconds: float | None) -> Iterator[None]:
        """Wait for a free slot of the host; raises `TimeoutError` after `seconds`."""
        with self._lock:
            slot = self._slots.setdefault(netloc, threading.Semaphore(_MAX_CONCURRENT_REQUESTS))
        if not slot.acquire(timeout=seconds):
            raise TimeoutError
        try:
            yield
        finally:
            slot.release()

    def open_circuit(self, request: Request) -> RemoteError | None:
        """Return the error to raise if the host did not respond a short while ago."""
        return self._pools.circuit_breaker.error((request.netloc, self._route), self.clock())

    def trip(self, request: Request, error: RemoteError) -> None:
        """Make later requests fail at once, after the host responded to no attempt."""
        self._pools.circuit_breaker.trip((request.netloc, self._route), error, self.clock())

    def start_cool_down(
        self, request: Request, seconds: float, reason: str, *, app: str
    ) -> CoolDown:
        """Send nothing to the host for `app`, or for any app if it is empty, for `seconds`."""
        cool_down = CoolDown(self.clock() + seconds, reason)
        self.cool_downs.start(request.netloc, app, cool_down)
        return cool_down

    def _build(self, request: Request) -> httpx.Request:
        url = httpx.URL(request.url)
        headers = {**_SENT_HEADERS, **request.headers}
        extensions = {}
        for name, value in request.headers.items():
            if not (value.isascii() and value.isprintable()):
                raise RemoteError(
                    f"{request.host} was not contacted: {name} is not printable ASCII.",
                    next_step="Correct the setting that it comes from.",
                )
        address = self.options.connect_to.get(f"{host_of(url)}:{url.port or 443}")
        if address is not None:
            headers["host"] = host_of(url)
            extensions["sni_hostname"] = host_of(url)
            host, _, port = address.rpartition(":")
            url = url.copy_with(host=host, port=int(port))
        return httpx.Request(
            request.method,
            url,
            headers=headers,
            data=None if request.form is None else dict(request.form),
            json=request.json,
            content=request.content,
            extensions=extensions,
        )


def _remove_filters(redacting: RedactingFilter) -> None:
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        # NOTE: a logger iterates over this list, and `removeFilter` would make it skip a filter.
        logger.filters = [other for other in logger.filters if other is not redacting]


def _timeout_error(request: Request, deadline: Deadline) -> ResponseTimeoutError:
    took = f"its response was not complete after {deadline.seconds:.3g} s"
    return ResponseTimeoutError(f"{request.host} could not be reached: {took}.")


def _describe_error(error: Exception) -> str:
    """Return the reason for a missing response, for the operator."""
    text = shorten(str(error))
    if "CERTIFICATE_VERIFY_FAILED" in text:
        reason = text.rpartition(": ")[2].partition(" (_ssl")[0]
        return f"its TLS certificate is not trusted ({reason})"
    if isinstance(error, httpx.ConnectTimeout):
        return "no connection within 5 s"
    if isinstance(error, httpx.TimeoutException):
        return "no response within 15 s"
    if isinstance(error, httpx.ConnectError):
        is_name = "Name or service not known" in text or "name resolution" in text
        return "its name does not resolve" if is_name else f"the connection failed ({text})"
    return f"the connection was closed ({type(error).__name__})"
