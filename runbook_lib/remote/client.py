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
from typing import TYPE_CHECKING

from runbook_lib.core.redaction import RedactingFilter, Redactor
from runbook_lib.errors import RemoteError, ResponseTimeoutError, UnreachableError
from runbook_lib.remote.addresses import Reach, host_of
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

# Requests to a host and port at a time. A browser opens six connections to a host.
_MAX_CONCURRENT_REQUESTS = 6
# After such an answer, and after any error of a server or gateway, a late one may follow.
_GIVEN_UP = (408, TOO_MANY_REQUESTS)
_LOWEST_SERVER_ERROR = 500
_SENT_HEADERS = {
    "accept": "*/*",
    # NOTE: no other encoding can be decoded with a size limit.
    "accept-encoding": "gzip",
    "connection": "keep-alive",
    "user-agent": "facebook-marketing-runbook",
}
_LOGGERS = ("httpcore.connection", "httpcore.http11", "httpcore.proxy", "httpcore.socks", "httpx")


class ConnectionPools:
    """
    Connections that transports with the same `ca_file` share; who made it closes it.

    No secret is part of a connection: each transport looks at its own requests. They share
    `circuit_breaker` too: a host that did not answer one of them fails at once for the others.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tls_contexts: dict[str, ssl.SSLContext] = {}
        self._transports: dict[
            tuple[str, Reach], tuple[httpx.BaseTransport, httpx.BaseTransport]
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
        self, ca_file: str, tls: ssl.SSLContext, reach: Reach = Reach.ANYWHERE
    ) -> tuple[httpx.BaseTransport, httpx.BaseTransport]:
        """
        Return the connections to any address, and those to public ones only.

        Within the reach of practice both are to loopback only: the second to no address at all.
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


class HTTPClient:
    """
    The requests of one run; `session()` gives each check its own record.

    `hosts` are the addresses of each provider, by its name: a secret goes to those of
    its own provider only. `connect_to` maps
    `host:port` to another address, like curl's option;
    `ca_file` adds a certificate authority; `private_hosts` may be on a private
    network. In practice its `reach` is loopback, whatever the others name. The record keeps these
    `headers` of answers beside the usual ones, and
    `usage_pause` returns how long an answer's headers ask to wait, and for which limit;
    `on_call` gets the app and the headers of each answer that counts for an app.
    `cool_downs` are those of the process; `pools` are shared with other runs, else its own.
    Tests replace `transport`, `sleep` and `clock`.
    """

    def __init__(
        self,
        redactor: Redactor,
        *,
        hosts: Mapping[str, Iterable[str]] | None = None,
        connect_to: Mapping[str, str] | None = None,
        ca_file: str = "",
        private_hosts: Collection[str] = (),
        reach: Reach = Reach.ANYWHERE,
        recorded_headers: Collection[str] = (),
        usage_pause: Callable[[Mapping[str, str]], tuple[float, str]] = lambda _: (0.0, ""),
        on_call: Callable[[str, Mapping[str, str]], None] = lambda _app, _headers: None,
        limits: Limits | None = None,
        retry_policy: RetryPolicy | None = None,
        cool_downs: CoolDowns = PROCESS_COOL_DOWNS,
        pools: ConnectionPools | None = None,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.redactor = redactor
        self.secret_guard = SecretGuard(redactor, hosts or {})
        self.connect_to = dict(connect_to or {})
        self.ca_file = ca_file
        self._private_hosts = frozenset(private_hosts)
        self.reach = reach
        self.recorded_headers = recorded_headers
        self._usage_pause = usage_pause
        self._on_call = on_call
        self.limits = limits or Limits()
        self.retry_policy = retry_policy or RetryPolicy()
        self.cool_downs = cool_downs
        self.sleep = sleep
        self.clock = clock
        self._lock = threading.Lock()
        self._slots: dict[str, threading.Semaphore] = {}
        self._pools = pools or ConnectionPools()
        if transport is None:
            self._transport, self._public_transport = self._pools.transports(
                ca_file, self.tls_context(), reach
            )
        else:
            self._transport = self._public_transport = transport
        self._owned = (transport or self._pools) if pools is None else None
        addresses = tuple(sorted(self.connect_to.items()))
        self._route = (addresses, ca_file, self.limits, reach)
        # NOTE: this removes the filter even if nobody closes the transport.
        redacting = RedactingFilter(redactor)
        for name in _LOGGERS:
            logging.getLogger(name).addFilter(redacting)
        self._remove_log_filter = weakref.finalize(self, _remove_filters, redacting)

    def tls_context(self) -> ssl.SSLContext:
        """Return a context that trusts the usual authorities and `ca_file`."""
        return self._pools.tls_context(self.ca_file)

    def is_public_only(self, host: str, port: int) -> bool:
        """Return whether `host` must have a public address: no setting gives another one."""
        return f"{host}:{port}" not in self.connect_to and host not in self._private_hosts

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
        Send `request` once and return the answer, whatever its status.

        The connection is used for no other request if the remote system, a gateway or the
        operator gave this one up.
        Raises `UnreachableError` if none came by `deadline`,
        `UnexpectedResponseError` if it is too large, and `RemoteError` before anything is
        sent if it holds a secret that this host must not get.
        """
        transport = self._public_transport if request.is_public_only else self._transport
        max_bytes = self.limits.response_limit_kib * 1024
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
                    status, headers = raw_response.status_code, raw_response.headers
                    response = Response(request.url, status, headers, text, content)
                    is_given_up = status in _GIVEN_UP or status >= _LOWEST_SERVER_ERROR
                    stream = raw_response.extensions.get("network_stream")
                    if stream and (is_given_up or is_transient(response)):
                        # NOTE: a gateway that gave the request up may still send the late answer:
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
            msg = f"{request.host} could not be reached: {_describe_error(error)}."
            raise UnreachableError(msg) from error
        except (httpx.InvalidURL, ValueError) as error:
            what = f"{shorten(request.url)} is not a valid address"
            raise unexpected_response(request.host or "A remote system", what) from error
        if request.app:
            self._on_call(request.app, raw_response.headers)
        seconds, limit = self._usage_pause(raw_response.headers)
        if seconds:
            reason = f"{request.host} reports that its {limit} is used up"
            self.start_cool_down(request, seconds, reason, app=request.app)
        return response

    @contextmanager
    def slot(self, netloc: str, seconds: float | None) -> Iterator[None]:
        """Wait until a request may go to `place`; raises `TimeoutError` after `seconds`."""
        with self._lock:
            slots = self._slots.setdefault(netloc, threading.Semaphore(_MAX_CONCURRENT_REQUESTS))
        if not slots.acquire(timeout=seconds):
            raise TimeoutError
        try:
            yield
        finally:
            slots.release()

    def open_circuit(self, request: Request) -> RemoteError | None:
        """Return the error to raise if the host did not answer a short while ago."""
        return self._pools.circuit_breaker.error((request.netloc, self._route), self.clock())

    def trip(self, request: Request, error: RemoteError) -> None:
        """Let later requests fail at once, after a host did not answer all attempts."""
        self._pools.circuit_breaker.trip((request.netloc, self._route), error, self.clock())

    def start_cool_down(
        self, request: Request, seconds: float, reason: str, *, app: str
    ) -> CoolDown:
        """Send the host nothing for `app`, or nothing at all if `app` is empty, for `seconds`."""
        cool_down = CoolDown(self.clock() + seconds, reason)
        self.cool_downs.start(request.netloc, app, cool_down)
        return cool_down

    def _build(self, request: Request) -> httpx.Request:
        url = httpx.URL(request.url)
        headers = {**_SENT_HEADERS, **request.headers}
        extensions = {}
        for name, value in request.headers.items():
            if not (value.isascii() and value.isprintable()):
                msg = f"{request.host} was not contacted: {name} is not printable ASCII."
                raise RemoteError(msg, next_step="Correct the setting that it comes from.")
        address = self.connect_to.get(f"{host_of(url)}:{url.port or 443}")
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
        logging.getLogger(name).removeFilter(redacting)


def _timeout_error(request: Request, deadline: Deadline) -> ResponseTimeoutError:
    took = f"its answer was not complete after {deadline.seconds:.3g} s"
    return ResponseTimeoutError(f"{request.host} could not be reached: {took}.")


def _describe_error(error: Exception) -> str:
    """Return why no answer came, for the operator."""
    text = shorten(str(error))
    if "CERTIFICATE_VERIFY_FAILED" in text:
        reason = text.rpartition(": ")[2].partition(" (_ssl")[0]
        return f"its TLS certificate is not trusted ({reason})"
    if isinstance(error, httpx.ConnectTimeout):
        return "no connection within 5 s"
    if isinstance(error, httpx.TimeoutException):
        return "no answer within 15 s"
    if isinstance(error, httpx.ConnectError):
        is_name = "Name or service not known" in text or "name resolution" in text
        return "its name does not resolve" if is_name else f"the connection failed ({text})"
    return f"the connection was closed ({type(error).__name__})"
