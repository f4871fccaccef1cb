"""
The listener on loopback to which the consent page redirects the browser.

This process listens on every address of `localhost`, and proves it by connecting to each.
`consent` reads the redirect.
"""

from __future__ import annotations

import errno
import ipaddress
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn
from typing import Any

from runbook_lib.errors import ListenerError, reason_of

_NAME = "localhost"
_PATH = "/consent"
_PAGE = (
    "<!doctype html><html lang='en'><meta charset='utf-8'><title>Runbook</title>"
    "<body style='font:16px system-ui;margin:4em'><h1>{heading}</h1>"
    "<p>{text}</p></body></html>"
)
_TAKEN = "The answer has arrived. You can close this tab."
_NOT_AWAITED = (
    "Nothing was done: the runbook already has this answer or did not ask for it. You can close "
    "this tab."
)
_REFUSED = "Nothing was done: this is not a redirect from the consent page."
_HEADERS = {
    "cache-control": "no-store",
    "connection": "close",
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}

# NOTE: browsers resolve `localhost` to both families, whatever the hosts file (RFC 6761 §6.3).
_LOOPBACK = ("127.0.0.1", "::1")
# This machine does not have the address, so nobody can listen on it.
_ABSENT = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT})
_MAX_PORT_ATTEMPTS = 20
_BACKLOG = 256

# A real request takes milliseconds.
_REQUEST_TIMEOUT_SECONDS = 5.0
_PROOF_TIMEOUT_SECONDS = 5.0
_POLL_SECONDS = 0.05
# Each open connection has a thread. If more arrive, the listener closes the oldest one that has
# not sent its request, but gives a browser time to send it.
_MAX_CONNECTIONS = 6
_READ_SECONDS = 0.05


# Returns an exclusive socket at an address and a port; raises `OSError`.
Bind = Callable[[str, int], socket.socket]


class RedirectListener:
    """
    A listener on loopback that passes each redirect's address to `on_redirect`.

    `on_redirect` returns whether the redirect was expected: a reloaded tab or a foreign request
    is not, and changes nothing. The listener runs until it is closed or its `seconds` have
    passed; then it calls `on_end` with itself.

    A provider may let an app that is not published redirect to `http://localhost`
    without registration, but not to a literal address; so this listens on
    every address of `localhost`.

    Raises `ListenerError` if it cannot.
    """

    def __init__(
        self,
        on_redirect: Callable[[str], bool],
        *,
        seconds: float = float("inf"),
        on_end: Callable[[RedirectListener], None] = lambda _listener: None,
        request_seconds: float = _REQUEST_TIMEOUT_SECONDS,
        proof_seconds: float = _PROOF_TIMEOUT_SECONDS,
        bind: Bind | None = None,
    ) -> None:
        self._on_redirect = on_redirect
        self._on_end = on_end
        self.request_seconds = request_seconds
        self.proof_seconds = proof_seconds
        self._bind = bind or bind_exclusively
        sockets = _bound_sockets(self._bind)
        self._port = int(sockets[0].getsockname()[1])
        self.addresses = tuple(str(bound.getsockname()[0]) for bound in sockets)
        self.hosts = {f"{name}:{self._port}" for name in (_NAME, "127.0.0.1", "[::1]")}
        self._servers = [_CallbackServer(bound, self) for bound in sockets]
        self._lock = threading.Lock()
        self._receiving = threading.Lock()
        self._ends_at = time.monotonic() + seconds
        self._is_closed = False
        # Each open connection, and when the listener ends it; never while it handles the redirect.
        self.open: dict[socket.socket, float] = {}
        self._thread = threading.Thread(target=self._run, name="runbook-redirect", daemon=True)
        self._thread.start()

    @property
    def redirect_uri(self) -> str:
        """The URI to which the consent dialog redirects the browser."""
        return f"http://{_NAME}:{self._port}{_PATH}"

    def keep_open(self, seconds: float) -> bool:
        """Listen for `seconds` from now on; return `False` if it has already ended."""
        with self._lock:
            self._ends_at = time.monotonic() + seconds
            return not self._is_closed

    def prove(self) -> None:
        """
        Connect to each address of `localhost` and check that the connection arrives here.

        Raises `ListenerError` if another process listens on one of them.
        """
        for address in _addresses():
            if not self._is_ours(address):
                raise ListenerError(
                    f"Another program could read the answer: {_NAME} leads to {address}, "
                    f"where port {self._port} does not belong to this runbook."
                )

    def close(self) -> None:
        """Stop listening."""
        with self._lock:
            self._is_closed = True
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def receive(self, target: str) -> str:
        """Pass on a redirect, one at a time, and return the text of its page."""
        with self._receiving:
            return _TAKEN if self._on_redirect(target) else _NOT_AWAITED

    def add(self, client: socket.socket) -> None:
        """Add a connection; if there are too many, end the oldest one without a request."""
        while len(self.open) >= _MAX_CONNECTIONS:
            oldest, ends_at = min([*self.open.items()], key=lambda entry: entry[1])
            left = ends_at - self.request_seconds + _READ_SECONDS - time.monotonic()
            if left <= 0:
                self.end(oldest)
            time.sleep(min(max(left, 0.0), _READ_SECONDS))
        self.open[client] = time.monotonic() + self.request_seconds

    def end(self, client: socket.socket) -> None:
        """Forget a connection, and let its thread end."""
        self.open.pop(client, None)
        with suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)

    def _is_ours(self, address: str) -> bool:
        if address not in self.addresses:
            return _is_absent(address, self._bind)
        try:
            client = socket.create_connection((address, self._port), timeout=self.proof_seconds)
        except OSError:
            return False
        with client:
            # NOTE: sending something proves nothing, since another process could relay it. But no
            # other connection has the same two ends.
            ends = (client.getsockname()[:2], client.getpeername()[:2])
            end = time.monotonic() + self.proof_seconds
            while time.monotonic() < end:
                if ends in map(_ends, [*self.open]):
                    return True
                time.sleep(_READ_SECONDS / 5)
        return False

    def _run(self) -> None:
        """Accept connections and end late ones, in a thread of its own, until it is closed."""
        with selectors.DefaultSelector() as ready:
            for server in self._servers:
                ready.register(server, selectors.EVENT_READ, server)
            while not self._is_closed and time.monotonic() < self._ends_at:
                for key, _ in ready.select(_POLL_SECONDS):
                    key.data.handle_request()
                self._end_late(time.monotonic())
        with self._lock:
            was_closed = self._is_closed
            self._is_closed = True
        for server in self._servers:
            server.server_close()
        self._end_late(float("inf"))
        if not was_closed:
            self._on_end(self)

    def _end_late(self, now: float) -> None:
        for client, ends_at in [*self.open.items()]:
            if ends_at <= now:
                self.end(client)


class _CallbackServer(ThreadingMixIn, TCPServer):
    """Serves a socket that is already bound, each connection in a thread."""

    daemon_threads = True
    block_on_close = False
    timeout = 0

    def __init__(self, bound: socket.socket, listener: RedirectListener) -> None:
        super().__init__(bound.getsockname(), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = bound
        self.listener = listener

    def process_request(self, request: Any, client_address: Any) -> None:
        self.listener.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.listener.end(request)
        self.close_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing: errors of single connections do not matter, and may quote the code."""


class _Handler(BaseHTTPRequestHandler):
    """Responds to one request."""

    server: _CallbackServer
    protocol_version = "HTTP/1.1"
    default_request_version = "HTTP/1.1"
    error_content_type = "text/html; charset=utf-8"
    # It quotes nothing of the request.
    error_message_format = _PAGE.format(heading="Error %(code)d", text=_REFUSED)

    def do_GET(self) -> None:
        """Pass on the redirect, or refuse the request."""
        listener = self.server.listener
        target = self.requestline.split()[1]
        refusal = self._refusal(target)
        if refusal is not None:
            self.send_error(refusal)
            return
        listener.open[self.request] = float("inf")
        page = _PAGE.format(heading="Back to the runbook", text=listener.receive(target)).encode()
        listener.open[self.request] = time.monotonic() + listener.request_seconds
        self.send_response(HTTPStatus.OK)
        self.send_header("content-type", self.error_content_type)
        self.send_header("content-length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def end_headers(self) -> None:
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, *_args: object) -> None:
        """Log nothing: an address contains the code."""

    def _refusal(self, target: str) -> HTTPStatus | None:
        """Return the error status for a request other than a redirect from the consent page."""
        hosts = self.headers.get_all("host", [])
        # NOTE: this detects DNS rebinding, a foreign name that resolves to this machine.
        if len(hosts) != 1 or hosts[0].lower() not in self.server.listener.hosts:
            return HTTPStatus.FORBIDDEN
        if target.partition("?")[0] != _PATH or not target.isascii():
            return HTTPStatus.NOT_FOUND
        # NOTE: browsers send no Origin with a GET that navigates (Fetch §3.2), and name a
        # request's purpose in Sec-Fetch-… (Fetch Metadata).
        is_navigation = (
            "origin" not in self.headers
            and self.headers.get("sec-fetch-mode", "navigate") == "navigate"
            and self.headers.get("sec-fetch-dest", "document") == "document"
        )
        if not is_navigation:
            return HTTPStatus.FORBIDDEN
        purposes = (self.headers.get(name, "") for name in ("sec-purpose", "purpose", "x-moz"))
        if any("prefetch" in purpose for purpose in purposes):
            return HTTPStatus.SERVICE_UNAVAILABLE  # the person has not answered yet
        return None


def _ends(client: socket.socket) -> tuple[Any, Any]:
    """Return the peer's address and port, and ours; `None` if the connection is closed."""
    try:
        return client.getpeername()[:2], client.getsockname()[:2]
    except OSError:
        return None, None


def _addresses() -> tuple[str, ...]:
    """Return every address that `localhost` may resolve to on this machine."""
    try:
        entries = socket.getaddrinfo(_NAME, None, type=socket.SOCK_STREAM)
    except OSError:
        entries = []
    named = (str(place[0]).partition("%")[0] for *_, place in entries)
    return tuple(dict.fromkeys((*_LOOPBACK, *named)))


def _bound_sockets(bind: Bind) -> list[socket.socket]:
    """Return a listening socket for each address on this machine, all at one free port."""
    addresses = [address for address in _addresses() if ipaddress.ip_address(address).is_loopback]
    reason = ""
    for _ in range(_MAX_PORT_ATTEMPTS):
        try:
            sockets = _bind_all(addresses, bind)
        except OSError as error:
            reason = reason_of(error)
        else:
            if sockets:
                return sockets
            reason = "there is no loopback address"
    raise ListenerError(
        f"This machine cannot receive the answer: {reason} ({', '.join(addresses)})."
    )


def _bind_all(addresses: Iterable[str], bind: Bind) -> list[socket.socket]:
    port = 0
    sockets = []
    with ExitStack() as opened:
        for address in addresses:
            try:
                bound = opened.enter_context(bind(address, port))
            except OSError as error:
                if error.errno in _ABSENT:
                    continue
                raise
            port = bound.getsockname()[1]
            sockets.append(bound)
        for bound in sockets:
            bound.listen(_BACKLOG)
        opened.pop_all()
    return sockets


def bind_exclusively(address: str, port: int) -> socket.socket:
    """Return an exclusive socket at `address`; SO_REUSEADDR would let others share it."""
    is_v6 = ":" in address
    bound = socket.socket(socket.AF_INET6 if is_v6 else socket.AF_INET, socket.SOCK_STREAM)
    try:
        if is_v6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind((address, port))
    except OSError:
        bound.close()
        raise
    return bound


def _is_absent(address: str, bind: Bind) -> bool:
    """Return whether this machine does not have `address`, so that nobody can listen there."""
    if not ipaddress.ip_address(address).is_loopback:
        return False
    try:
        bind(address, 0).close()
    except OSError as error:
        return error.errno in _ABSENT
    return False
