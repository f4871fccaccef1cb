"""A proxy on loopback in front of the sandbox's Graph API, which changes some responses."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx

# These belong to one connection (RFC 9110 §7.6.1), or are computed anew.
_OWN = ("connection", "content-length", "content-encoding", "transfer-encoding", "host", "date")


@dataclass
class Forwarded:
    """A request, and the response to it that the proxy may change."""

    path: str
    """The path without the version, such as `me/accounts`."""

    fields: dict[str, str]
    """The fields of query and form."""

    status: int
    """The HTTP status."""

    body: Any
    """The JSON document, or the text if the body is no JSON."""

    headers: dict[str, str] = field(default_factory=dict)
    """Headers that are added to the response."""


Change = Callable[[Forwarded], None]


@contextmanager
def changed_graph(target: str, change: Change) -> Iterator[str]:
    """Serve `target` with responses that `change` altered; yield the address."""
    with httpx.Client(timeout=30) as client:

        class Handler(BaseHTTPRequestHandler):
            """Forwards one request."""

            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                """Forward a GET."""
                self._forward()

            def do_POST(self) -> None:
                """Forward a POST."""
                self._forward()

            def log_message(self, *_: object) -> None:
                """Write nothing."""

            def _forward(self) -> None:
                content = self.rfile.read(int(self.headers.get("content-length") or 0))
                headers = {k: v for k, v in self.headers.items() if k.lower() not in _OWN}
                response = client.request(
                    self.command, target + self.path, headers=headers, content=content
                )
                parts = urlsplit(self.path)
                forwarded = Forwarded(
                    path=parts.path.strip("/").partition("/")[2],
                    fields=dict(parse_qsl(f"{parts.query}&{content.decode()}")),
                    status=response.status_code,
                    body=_document(response),
                    headers={k: v for k, v in response.headers.items() if k.lower() not in _OWN},
                )
                change(forwarded)
                is_text = isinstance(forwarded.body, str)
                text = forwarded.body if is_text else json.dumps(forwarded.body)
                self.send_response(forwarded.status)
                for name, value in forwarded.headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(text.encode())))
                self.end_headers()
                self.wfile.write(text.encode())

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


def _document(response: httpx.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        return response.text
