"""
ASGI: from bytes on a socket to a `WebRequest`, and from a `WebResponse` back to bytes.

It refuses requests that are not addressed to loopback, and applies the operator's faults.
"""

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.formparsers import MultiPartException
from starlette.requests import Request

from facebook_cyclr_sandbox.http.site import Site
from facebook_cyclr_sandbox.http.web_messages import (
    PLAIN,
    WebRequest,
    WebResponse,
    parse_form_fields,
)
from facebook_cyclr_sandbox.state.fault_injection import FaultKind
from facebook_cyclr_sandbox.state.sandbox_state import SandboxState

_MAX_BODY_BYTES = 6 * 1024 * 1024
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})

RequestHandler = Callable[[WebRequest], WebResponse]

_SORRY = WebResponse(
    500,
    b"<!DOCTYPE html><html><body><h1>Sorry, something went wrong.</h1></body></html>",
    (("Content-Type", "text/html; charset=utf-8"),),
)


class SiteApplication:
    """
    The ASGI application of one site.

    `control` handles `/_sandbox/…` on every site. `abort` resets the connection of a client, given
    by its address.
    """

    def __init__(
        self,
        site: Site,
        state: SandboxState,
        control: RequestHandler,
        *,
        abort: Callable[[tuple[str, int]], None],
    ) -> None:
        self._site = site
        self._state = state
        self._control = control
        self._abort = abort

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Respond to one request."""
        if scope["type"] != "http":
            return
        request = await _read_request(scope, receive)
        self._state.publish_due_reviews()
        refusal = self._refuse(request)
        if refusal is not None:
            await _send_response(send, request, refusal)
        elif request.path.startswith("/_sandbox/"):
            await _send_response(send, request, self._control(request))
        elif response := await self._respond(request):
            await _send_response(send, request, response)

    async def _respond(self, request: WebRequest) -> WebResponse | None:
        """Respond, or apply a fault. Only slow and truncated responses run the handler then."""
        fault = self._state.faults.draw_fault(self._site.name)
        if fault is None:
            return self._site(request)
        match fault.kind:
            case FaultKind.RESET:
                self._abort(request.client or ("", 0))
                return None
            case FaultKind.HTML:
                return _SORRY
            case FaultKind.SERVER_ERROR | FaultKind.GRAPH_ERROR:
                return self._site.refuse(fault.code, request)
            case FaultKind.SLOW:
                await asyncio.sleep(fault.seconds)
                return self._site(request)
            case FaultKind.TRUNCATED:
                response = self._site(request)
                return replace(response, body=response.body[: len(response.body) // 2])

    def _refuse(self, request: WebRequest) -> WebResponse | None:
        """Refuse hosts other than loopback and the partner's domain (DNS rebinding)."""
        cyclr = self._state.cyclr
        hosts = _LOOPBACK | {cyclr.service_domain, *cyclr.website_hosts}
        if get_host(request) not in hosts:
            return WebResponse(421, b"SANDBOX: answers on loopback only.\n", PLAIN)
        origin = request.headers.get("origin", "")
        is_foreign = bool(origin) and _strip_port(_get_netloc(origin)) not in hosts
        if is_foreign and request.method not in {"GET", "HEAD", "OPTIONS"}:
            return WebResponse(403, b"SANDBOX: another site may not post here.\n", PLAIN)
        return None


def get_host(request: WebRequest) -> str:
    """Return the host that a request is addressed to, without its port."""
    return _strip_port(request.headers.get("host", ""))


def _get_netloc(url: str) -> str:
    try:
        return urlsplit(url).netloc
    except ValueError:
        return "?"


def _strip_port(authority: str) -> str:
    """Return the host of `host:port` in lower case, brackets included."""
    host = authority.lower()
    if host.startswith("["):
        return host[: host.find("]") + 1]
    return host.rpartition(":")[0] if ":" in host else host


async def _read_request(scope: Any, receive: Any) -> WebRequest:
    body, is_oversized = await _read_body(receive)
    return WebRequest(scope, body, await _read_form(scope, body), is_oversized=is_oversized)


async def _read_body(receive: Any) -> tuple[bytes, bool]:
    chunks = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            break
        chunk = message.get("body", b"")
        size += len(chunk)
        if size <= _MAX_BODY_BYTES:
            chunks.append(chunk)
        if not message.get("more_body"):
            break
    return (b"", True) if size > _MAX_BODY_BYTES else (b"".join(chunks), False)


async def _read_form(scope: Any, body: bytes) -> list[tuple[str, str]]:
    kind = Headers(scope=scope).get("content-type", "").lower()
    if not body:
        return []
    # inferred: Facebook reads a body without a Content-Type as a form; a client relies on it.
    if not kind or kind.startswith("application/x-www-form-urlencoded"):
        return parse_form_fields(body.decode("utf-8", "replace"))
    if kind.startswith("multipart/form-data"):
        return await _read_multipart(scope, body)
    if kind.startswith("application/json"):
        return _read_json_fields(body)
    return []


async def _read_multipart(scope: Any, body: bytes) -> list[tuple[str, str]]:
    """Return the fields of a multipart form; for a file, its name."""

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": body, "more_body": False}

    try:
        async with Request(scope, receive).form() as form:
            return [
                (name, value if isinstance(value, str) else value.filename or "")
                for name, value in form.multi_items()
            ]
    except (MultiPartException, ValueError, LookupError):
        return []


def _read_json_fields(body: bytes) -> list[tuple[str, str]]:
    """Return the members of a JSON object as form fields: strings as they are, others as JSON."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return []
    if not isinstance(document, dict):
        return []
    return [
        (name, value if isinstance(value, str) else json.dumps(value))
        for name, value in document.items()
    ]


async def _send_response(send: Any, request: WebRequest, response: WebResponse) -> None:
    headers = [
        # NOTE: Facebook writes a message into `WWW-Authenticate` as raw UTF-8.
        (name.encode("latin-1"), value.encode("utf-8", "replace"))
        for name, value in response.headers
    ]
    headers.append((b"Content-Length", str(len(response.body)).encode("ascii")))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    body = b"" if request.method == "HEAD" else response.body
    await send({"type": "http.response.body", "body": body})
