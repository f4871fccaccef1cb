"""
The listener on loopback to which the consent page redirects the browser.

This process listens on every address of `localhost`, and proves it by
connecting to each. `consent` reads the redirect.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from http import HTTPStatus
from typing import Any

import h11

from runbook_lib.errors import ListenerError

__all__ = ["RedirectListener"]

_NAME = "localhost"
_PATH = "/consent"
_PAGE = (
    "<!doctype html><html lang='en'><meta charset='utf-8'><title>Facebook Marketing runbook"
    "</title><body style='font:16px system-ui;margin:4em'><h1>{heading}</h1>"
    "<p>{said}</p></body></html>"
)
_TAKEN = "The answer has arrived. You can close this tab."
_NOT_AWAITED = (
    "Nothing was done: the runbook already has this answer or did not ask for it. You can close "
    "this tab."
)
_REFUSED = "Nothing was done: this is not a redirect from the consent page."
_HEADERS = (
    "content-type: text/html; charset=utf-8",
    "allow: GET",
    "cache-control: no-store",
    "connection: close",
    "content-security-policy: default-src 'none'; style-src 'unsafe-inline'",
    "referrer-policy: no-referrer",
    "x-content-type-options: nosniff",
)

# NOTE: browsers resolve `localhost` to both families, whatever the hosts file (RFC 6761 §6.3).
_LOOPBACK = ("127.0.0.1", "::1")
# This machine does not have the address, so nobody can listen on it.
_ABSENT = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT})
_PORT_TRIES = 20
_BACKLOG = 256

# A real request takes milliseconds.
_REQUEST_SECONDS = 5.0
_PROOF_SECONDS = 5.0
_POLL_SECONDS = 0.01
# When more are open, the oldest that has not sent its request is closed.
_MOST_CONNECTIONS = 64
# NOTE: browsers send the cookies of every program on `localhost`, whatever its port.
_MOST_BYTES = 65_536
_CHUNK = 8_192


class RedirectListener:
    """
    A listener on loopback that passes each redirect's address to `on_redirect`.

    That returns whether the redirect was awaited: a reloaded tab or a foreign
    request is not, and changes nothing. It listens until it is closed or its
    `seconds` have passed; then it calls `on_end` with itself.

    Facebook lets an app in development mode redirect to `http://localhost`
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
        request_seconds: float = _REQUEST_SECONDS,
    ) -> None:
        self._on_redirect = on_redirect
        self._on_end = on_end
        self._request_seconds = request_seconds
        self._sockets = _bound_sockets()
        self._port = int(self._sockets[0].getsockname()[1])
        self._hosts = {f"{name}:{self._port}" for name in (_NAME, "127.0.0.1", "[::1]")}
        self._lock = threading.Lock()
        self._ends_at = time.monotonic() + seconds
        self._is_closed = False
        # The open connections, oldest first, each with its two ends.
        self._open: dict[asyncio.Task[None], tuple[Any, ...]] = {}
        self._answered: set[asyncio.Task[None] | None] = set()
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="runbook-redirect")
        self._loop = asyncio.SelectorEventLoop()
        self._changed = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="runbook-redirect", daemon=True)
        self._thread.start()

    @property
    def redirect_uri(self) -> str:
        """Return the address that the dialog redirects the browser to."""
        return f"http://{_NAME}:{self._port}{_PATH}"

    @property
    def addresses(self) -> tuple[str, ...]:
        """Return the addresses that it listens on, all at the same port."""
        return tuple(str(each.getsockname()[0]) for each in self._sockets)

    def keep_open(self, seconds: float) -> bool:
        """Listen for `seconds` from now on; return `False` if it has already ended."""
        with self._lock:
            if self._is_closed:
                return False
            self._ends_at = time.monotonic() + seconds
            self._loop.call_soon_threadsafe(self._changed.set)
            return True

    def prove(self) -> None:
        """
        Connect to each address of `localhost` and check that the connection arrives here.

        Raises `ListenerError` if another process listens on one of them.
        """
        for address in _addresses():
            if not self._is_ours(address):
                msg = (
                    f"Another program could read the answer: {_NAME} leads to {address}, "
                    f"where port {self._port} does not belong to this runbook."
                )
                raise ListenerError(msg)

    def close(self) -> None:
        """Stop listening."""
        with self._lock:
            if not self._is_closed:
                self._is_closed = True
                self._loop.call_soon_threadsafe(self._changed.set)
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _is_ours(self, address: str) -> bool:
        if address not in self.addresses:
            return _is_absent(address)
        try:
            client = socket.create_connection((address, self._port), timeout=_PROOF_SECONDS)
        except OSError:
            return False
        with client:
            # NOTE: sending something proves nothing, since another process could relay it. But no
            # other connection has the same two ends.
            ends = (client.getsockname()[:2], client.getpeername()[:2])
            end = time.monotonic() + _PROOF_SECONDS
            while time.monotonic() < end:
                with self._lock:
                    if ends in self._open.values():
                        return True
                time.sleep(_POLL_SECONDS)
        return False

    # --- in its own thread ---------------------------------------------------
    def _run(self) -> None:
        # Errors of single connections do not matter, and a log could contain the code.
        self._loop.set_exception_handler(lambda _loop, _context: None)
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            with self._lock:
                was_closed, self._is_closed = self._is_closed, True
            for each in self._sockets:
                each.close()
            self._worker.shutdown(wait=False)
            self._loop.close()
        if not was_closed:
            self._on_end(self)

    async def _serve(self) -> None:
        for each in self._sockets:
            self._loop.add_reader(each, self._accept, each)
        while not self._is_closed and (left := self._ends_at - time.monotonic()) > 0:
            self._changed.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), min(left, threading.TIMEOUT_MAX))
        for each in self._sockets:
            self._loop.remove_reader(each)
        conversations = asyncio.all_tasks() - {asyncio.current_task()}
        for task in conversations:
            task.cancel()
        await asyncio.gather(*conversations, return_exceptions=True)

    def _accept(self, listening: socket.socket) -> None:
        """Accept one connection; what the accepted ones sent is read before the next."""
        try:
            client, peer = listening.accept()
        except (BlockingIOError, ConnectionError):  # the client has gone again
            return
        except OSError:  # no descriptor is left
            self._close_oldest()
            time.sleep(_POLL_SECONDS)
            return
        client.settimeout(0)
        task = self._loop.create_task(self._converse(client))
        # NOTE: not in `_converse`: a task that is cancelled early enough never starts.
        task.add_done_callback(lambda _task: client.close())
        task.add_done_callback(self._forget)
        with self._lock:
            self._open[task] = (peer[:2], client.getsockname()[:2])
        if len(self._open) > _MOST_CONNECTIONS:
            self._close_oldest()

    def _close_oldest(self) -> None:
        waiting = (each for each in self._open if each not in self._answered)
        oldest = next(waiting, next(iter(self._open), None))
        if oldest is not None:
            oldest.cancel()
            self._forget(oldest)

    def _forget(self, task: asyncio.Task[None]) -> None:
        with self._lock:
            self._open.pop(task, None)
            self._answered.discard(task)

    async def _converse(self, client: socket.socket) -> None:
        """Answer one request within its time, and close the connection."""
        with suppress(OSError):  # TimeoutError is one
            async with asyncio.timeout(self._request_seconds):
                request = await _read_request(self._loop, client)
            if request is not None:
                self._answered.add(asyncio.current_task())
                answer = await self._answer(request)
                async with asyncio.timeout(self._request_seconds):
                    await self._loop.sock_sendall(client, answer)

    async def _answer(self, request: h11.Request | HTTPStatus) -> bytes:
        if isinstance(request, HTTPStatus):
            return _response(request)
        target, method = request.target.decode(), request.method.decode()
        refusal = self._refusal(request, target, method)
        if refusal is not None:
            return _response(refusal, has_body=method != "HEAD")
        is_taken = await self._loop.run_in_executor(self._worker, self._on_redirect, target)
        return _response(HTTPStatus.OK, _TAKEN if is_taken else _NOT_AWAITED)

    def _refusal(self, request: h11.Request, target: str, method: str) -> HTTPStatus | None:
        """Return why a request is not a redirect from the consent page; `None` if it may be."""
        fields = {name.decode(): value.decode("latin-1") for name, value in request.headers}
        # NOTE: this detects DNS rebinding, a foreign name that resolves to this machine.
        if fields.get("host", "").lower() not in self._hosts:
            return HTTPStatus.FORBIDDEN
        if method != "GET":
            return HTTPStatus.METHOD_NOT_ALLOWED
        if target.partition("?")[0] != _PATH:
            return HTTPStatus.NOT_FOUND
        # NOTE: browsers send no Origin with a GET that navigates (Fetch §3.2), and name a
        # request's purpose in Sec-Fetch-… (Fetch Metadata).
        is_navigation = (
            "origin" not in fields
            and fields.get("sec-fetch-mode", "navigate") == "navigate"
            and fields.get("sec-fetch-dest", "document") == "document"
        )
        if not is_navigation:
            return HTTPStatus.FORBIDDEN
        purposes = (fields.get(name, "") for name in ("sec-purpose", "purpose", "x-moz"))
        if any("prefetch" in purpose for purpose in purposes):
            return HTTPStatus.SERVICE_UNAVAILABLE  # the person has not answered yet
        return None


async def _read_request(
    loop: asyncio.AbstractEventLoop, client: socket.socket
) -> h11.Request | HTTPStatus | None:
    """Return the request, or the error status; `None` if the connection just ends."""
    parser = h11.Connection(h11.SERVER, max_incomplete_event_size=_MOST_BYTES)
    try:
        while (event := parser.next_event()) is h11.NEED_DATA:
            parser.receive_data(await loop.sock_recv(client, _CHUNK))
    except h11.RemoteProtocolError as error:
        return HTTPStatus(error.error_status_hint)
    return event if isinstance(event, h11.Request) else None


def _response(status: HTTPStatus, said: str = _REFUSED, *, has_body: bool = True) -> bytes:
    heading = "Back to the runbook" if status is HTTPStatus.OK else status.phrase
    body = _PAGE.format(heading=heading, said=said).encode()
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}",
        *_HEADERS,
        f"content-length: {len(body)}",
    )
    return "\r\n".join((*head, "", "")).encode() + (body if has_body else b"")


def _addresses() -> tuple[str, ...]:
    """Return every address that `localhost` may resolve to on this machine."""
    try:
        found = socket.getaddrinfo(_NAME, None, type=socket.SOCK_STREAM)
    except OSError:
        found = []
    named = (str(place[0]).partition("%")[0] for *_, place in found)
    return tuple(dict.fromkeys((*_LOOPBACK, *named)))


def _bound_sockets() -> list[socket.socket]:
    """Return a listening socket for each address on this machine, all at one free port."""
    addresses = [each for each in _addresses() if ipaddress.ip_address(each).is_loopback]
    reason = ""
    for _ in range(_PORT_TRIES):
        try:
            found = _bind_all(addresses)
        except OSError as error:
            reason = error.strerror or type(error).__name__
        else:
            if found:
                return found
            reason = "there is no loopback address"
    msg = f"This machine cannot receive the answer: {reason} ({', '.join(addresses)})."
    raise ListenerError(msg)


def _bind_all(addresses: Iterable[str]) -> list[socket.socket]:
    port, found = 0, []
    with ExitStack() as opened:
        for address in addresses:
            try:
                bound = opened.enter_context(_bind(address, port))
            except OSError as error:
                if error.errno in _ABSENT:
                    continue
                raise
            port = bound.getsockname()[1]
            found.append(bound)
        for bound in found:
            bound.listen(_BACKLOG)
            bound.settimeout(0)
        opened.pop_all()
    return found


def _bind(address: str, port: int) -> socket.socket:
    """Return an exclusive socket at `address`; SO_REUSEADDR would let others share it."""
    is_v6 = ":" in address
    bound = socket.socket(socket.AF_INET6 if is_v6 else socket.AF_INET, socket.SOCK_STREAM)
    try:
        if hasattr(socket, "SO_EXCLUSIVEADDRUSE"):  # Windows shares by default
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        if is_v6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind((address, port))
    except OSError:
        bound.close()
        raise
    return bound


def _is_absent(address: str) -> bool:
    """Return whether this machine does not have `address`, so that nobody can listen there."""
    if not ipaddress.ip_address(address).is_loopback:
        return False
    try:
        _bind(address, 0).close()
    except OSError as error:
        return error.errno in _ABSENT
    return False
