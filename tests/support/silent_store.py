"""
A store that answers as S3 does, in this process, and can be set to stop answering.

It stores, lists and returns objects; `mode` and `on` set which requests fail, and how. It has only
what an archive uses; for the rest there is moto.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape


class SilentStore:
    """
    The store's content and behaviour.

    `mode` is empty, `silent` (never answers), `drip` (one byte a second) or `cut` (closes the
    connection). `on` is the kind of request that fails: PUT, GET, HEAD or LIST; `after` is how many
    of them succeed first. `asked` counts all requests by kind.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.objects: dict[str, bytes] = {}
        self.mode = ""
        self.on = ""
        self.after = 0
        self.asked: dict[str, int] = {}
        self.is_over = threading.Event()

    def misbehave(self, mode: str, on: str, *, after: int = 0) -> None:
        """Fail by `mode` for requests of the kind `on`, after `after` of them succeeded."""
        self.mode = mode
        self.on = on
        self.after = after

    def is_bad(self, kind: str) -> bool:
        """Count a request, and return whether it fails."""
        self.asked[kind] = self.asked.get(kind, 0) + 1
        if not self.mode or kind != self.on:
            return False
        self.after -= 1
        return self.after < 0


@contextmanager
def silent_store() -> Iterator[SilentStore]:
    """Yield a store on loopback; at the end, waiting clients are released."""

    class Handler(_Handler):
        store: SilentStore

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.block_on_close = False
    Handler.store = SilentStore(f"http://127.0.0.1:{server.server_port}")
    serving = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    serving.start()
    try:
        yield Handler.store
    finally:
        Handler.store.is_over.set()
        server.shutdown()
        server.server_close()
        serving.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    store: SilentStore

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Log nothing."""

    def do_PUT(self) -> None:
        """Store an object, unless its name is in use."""
        content = self.rfile.read(int(self.headers.get("content-length", 0)))
        if "chunked" in self.headers.get("content-encoding", ""):
            content = _unchunked(content)
        if self._is_cut_off("PUT"):
            return
        if self._key in self.store.objects:
            self._answer(412, _error("PreconditionFailed"))
            return
        self.store.objects[self._key] = content
        self._answer(200, b"")

    def do_GET(self) -> None:
        """Return an object, or a listing."""
        query = parse_qs(urlsplit(self.path).query, keep_blank_values=True)
        is_list = "versions" in query or "list-type" in query
        if self._is_cut_off("LIST" if is_list else "GET"):
            return
        if is_list:
            self._answer(200, self._listing(query))
        elif self._key in self.store.objects:
            self._answer(200, self.store.objects[self._key])
        else:
            self._answer(404, _error("NoSuchKey"))

    def do_HEAD(self) -> None:
        """Return the headers of an object."""
        if self._is_cut_off("HEAD"):
            return
        content = self.store.objects.get(self._key)
        self._answer(404 if content is None else 200, content or b"", is_head=True)

    @property
    def _key(self) -> str:
        return unquote(urlsplit(self.path).path).lstrip("/").partition("/")[2]

    def _is_cut_off(self, kind: str) -> bool:
        if not self.store.is_bad(kind):
            return False
        self.close_connection = True
        if self.store.mode == "cut":
            return True
        if self.store.mode == "drip":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while not self.store.is_over.wait(1):
            if self.store.mode == "drip":
                try:
                    self.wfile.write(b" ")
                    self.wfile.flush()
                except OSError:
                    break
        return True

    def _listing(self, query: dict[str, list[str]]) -> bytes:
        prefix = query.get("prefix", [""])[0]
        delimiter = query.get("delimiter", [""])[0]
        names = sorted(name for name in self.store.objects if name.startswith(prefix))
        folders: set[str] = set()
        listed: list[str] = []
        tag = "Version" if "versions" in query else "Contents"
        for name in names:
            first, cut, _ = name.removeprefix(prefix).partition("/")
            if delimiter and cut:
                folders.add(f"{prefix}{first}/")
                continue
            listed.append(
                f"<{tag}><Key>{escape(name)}</Key><VersionId>null</VersionId>"
                f"<IsLatest>true</IsLatest><Size>{len(self.store.objects[name])}</Size></{tag}>"
            )
        shared = [
            f"<CommonPrefixes><Prefix>{escape(folder_name)}</Prefix></CommonPrefixes>"
            for folder_name in sorted(folders)
        ]
        root = "ListVersionsResult" if "versions" in query else "ListBucketResult"
        body = "".join([*listed, *shared])
        return f"<{root}><IsTruncated>false</IsTruncated>{body}</{root}>".encode()

    def _answer(self, status: int, body: bytes, *, is_head: bool = False) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", "application/xml")
        self.send_header("ETag", '"0"')
        self.send_header("Last-Modified", "Tue, 24 Nov 2026 12:00:00 GMT")
        self.end_headers()
        if not is_head:
            self.wfile.write(body)


def _error(code: str) -> bytes:
    return f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode()


def _unchunked(content: bytes) -> bytes:
    """Return the content of chunks (coding `aws-chunked`), without the trailer."""
    decoded = b""
    while content:
        size, _, content = content.partition(b"\r\n")
        length = int(size.partition(b";")[0] or b"0", 16)
        if not length:
            break
        decoded = decoded + content[:length]
        content = content[length + 2 :]
    return decoded
