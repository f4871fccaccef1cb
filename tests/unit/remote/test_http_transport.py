"""Each request has time-outs and uses the proxy of the environment."""

from __future__ import annotations

import socketserver
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import httpcore
import httpx
import pytest

from runbook_lib.core.redaction import Redactor
from runbook_lib.errors import ResponseTimeoutError, UnexpectedResponseError
from runbook_lib.remote.client import ClientOptions, HTTPClient
from runbook_lib.remote.http_messages import Request
from runbook_lib.remote.http_transport import Connection, HTTPTransport
from runbook_lib.remote.limits import Deadline, DeadlineExceededError, Limits, read_limits
from runbook_lib.remote.rate_limits import CoolDowns


@pytest.fixture
def transport() -> HTTPTransport:
    return HTTPTransport(ssl.create_default_context())


class Pool:
    """Replaces httpcore's pool and stores the request."""

    request: httpcore.Request

    def handle_request(self, request: httpcore.Request) -> httpcore.Response:
        """Store the request."""
        self.request = request
        return httpcore.Response(204)


def test_each_wait_has_a_time_out(
    transport: HTTPTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request has all four of httpcore's time-outs; httpcore waits indefinitely without them."""
    pool = Pool()
    monkeypatch.setattr(httpcore, "ConnectionPool", lambda **_: pool)

    transport.handle_request(httpx.Request("GET", "https://graph.example/me"))

    assert pool.request.extensions["timeout"] == {
        "connect": 5.0,
        "read": 15.0,
        "write": 15.0,
        "pool": 15.0,
    }


class Plain(httpcore.NetworkStream):
    """Replaces httpcore's connection and stores the time-out of each call."""

    def __init__(self) -> None:
        self.waits: list[float | None] = []

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Store the time-out."""
        self.waits.append(timeout)
        return b"x" * max_bytes

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Store the time-out."""
        self.waits.append(timeout)

    def close(self) -> None:
        """Stay as it is."""

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        """Store the time-out."""
        self.waits.append(timeout)
        return self


def test_nothing_is_sent_over_a_connection_that_this_side_closed() -> None:
    """Another thread may have closed the connection that httpcore chose; it chooses again."""
    stream = Connection(plain := Plain())
    stream.close()

    assert stream.get_extra_info("is_readable") is True
    with pytest.raises(httpcore.ConnectionNotAvailable):
        stream.write(b"GET", 15)
    assert plain.waits == []


def test_no_wait_outlasts_the_exchange() -> None:
    """A handshake, a write and a read wait as long as they ask for, but not beyond the deadline."""
    now = 0.0
    plain = Plain()
    stream = Connection(plain)

    def talk() -> None:
        secure = stream.start_tls(ssl.create_default_context(), "graph.example", 15)
        secure.write(b"GET", 15)
        secure.read(1, 15)

    with read_limits(Deadline(20, lambda: now), 100):
        talk()
        now = 12.0
        talk()
        now = 20.0
        for call in (talk, lambda: stream.write(b"GET", 15), lambda: stream.read(1, 15)):
            with pytest.raises(DeadlineExceededError):
                call()

    assert plain.waits == [15, 15, 15, 8, 8, 8]


@pytest.mark.parametrize(
    ("proxy", "place", "auth"),
    [
        ("http://proxy.example:3128", (b"http", b"proxy.example", 3128), None),
        ("https://me:p%40ss@proxy.example", (b"https", b"proxy.example", None), ("me", "p@ss")),
    ],
)
def test_the_proxy_of_the_environment_is_used(
    proxy: str,
    place: tuple[bytes, bytes, int | None],
    auth: tuple[str, str] | None,
    transport: HTTPTransport,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The proxy's scheme, host, port and credentials are those of `HTTPS_PROXY`."""
    asked: list[tuple[Any, Any]] = []

    def opened(url: httpcore.URL, *, proxy_auth: Any, **_: Any) -> Pool:
        asked.append(((url.scheme, url.host, url.port), proxy_auth))
        return Pool()

    monkeypatch.setattr(httpcore, "HTTPProxy", opened)
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    monkeypatch.delenv("NO_PROXY", raising=False)

    transport.handle_request(httpx.Request("GET", "https://graph.example/me"))

    assert asked == [(place, auth)]


def _response(path: str) -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(path)}\r\n\r\n"
    return (head + path).encode()


def _chunked(path: str) -> bytes:
    head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    return (head + f"{len(path):x}\r\n{path}\r\n0\r\n\r\n").encode()


@contextmanager
def _server(response: Callable[[str], Iterable[bytes]]) -> Iterator[tuple[int, list[int]]]:
    """Serve the pieces of `response` for each path, piece by piece; yield port and connections."""
    connections: list[int] = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            connections.append(len(connections))
            with suppress(ConnectionError):
                while line := self.rfile.readline():
                    while self.rfile.readline() not in (b"\r\n", b""):
                        pass
                    for piece in response(line.split()[1].decode()):
                        self.wfile.write(piece)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.01,))
        serving.start()
        try:
            yield server.server_address[1], connections
        finally:
            server.shutdown()
            serving.join()


def _request_paths(transport: HTTPTransport, port: int, *paths: str) -> list[str]:
    responses = []
    for path in paths:
        with read_limits(Deadline(20), 10_000):
            response = transport.handle_request(
                httpx.Request("GET", f"http://127.0.0.1:{port}{path}")
            )
            responses.append(response.read().decode())
            response.close()
    return responses


@pytest.fixture(params=["sees its end", "has looked before"])
def pool(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Let httpcore choose a connection that was idle and good when it looked.

    Another thread may end it between the look and the choice.
    """
    if request.param == "has looked before":
        monkeypatch.setattr(httpcore.HTTP11Connection, "has_expired", lambda _: False)


@pytest.mark.usefixtures("pool")
@pytest.mark.parametrize("form", [_response, _chunked])
@pytest.mark.parametrize("cut", [0, 3, 20])
def test_a_second_response_is_not_taken_for_the_next(
    form: Callable[[str], bytes], cut: int, transport: HTTPTransport
) -> None:
    """A server that responds twice to a request gets no later request on that connection."""

    def twice(path: str) -> tuple[bytes, ...]:
        both = form(path) + _response("/foreign")
        end = len(both) - cut
        return (both[:end], both[end:]) if path == "/first" else (form(path),)

    with _server(twice) as (port, connections):
        assert _request_paths(transport, port, "/first", "/second", "/third") == [
            "/first",
            "/second",
            "/third",
        ]
        assert len(connections) == 2
        transport.close()


def test_requests_share_a_connection(transport: HTTPTransport) -> None:
    """A connection is used again, but not after a body that quotes a status line."""
    with _server(lambda path: (_response(path),)) as (port, connections):
        _request_paths(transport, port, "/first", "/second", "/third")
        assert len(connections) == 1
        assert _request_paths(transport, port, "/HTTP/1.1", "/next") == ["/HTTP/1.1", "/next"]
        assert len(connections) == 2
        transport.close()


def test_a_connection_counts_under_its_own_name_only(transport: HTTPTransport) -> None:
    """A certificate was verified for one name: another one at the address gets a connection."""
    with _server(lambda _: (b"HTTP/1.1 204 No Content\r\n\r\n",)) as (port, connections):
        for name in ("one.example", "other.example", "one.example", "other.example"):
            extensions = {"sni_hostname": name}
            request = httpx.Request("GET", f"http://127.0.0.1:{port}/", extensions=extensions)
            with read_limits(Deadline(20), 10_000):
                transport.handle_request(request).read()
        transport.close()

    assert len(connections) == 2


def test_only_the_newest_pools_are_kept(transport: HTTPTransport) -> None:
    """Connections under names that were not used for long are closed: tenants may be thousands."""
    with _server(lambda _: (b"HTTP/1.1 204 No Content\r\n\r\n",)) as (port, connections):
        for name in (*range(40), 39, 8, 0):
            extensions = {"sni_hostname": f"t{name}.example"}
            request = httpx.Request("GET", f"http://127.0.0.1:{port}/", extensions=extensions)
            with read_limits(Deadline(20), 10_000):
                transport.handle_request(request).read()
        assert len(transport._pools) == 32
        transport.close()

    assert len(connections) == 41


@pytest.mark.usefixtures("pool")
@pytest.mark.parametrize(
    ("status", "body"),
    [*((status, "{}") for status in (408, 429, 500, 502, 503, 504, 524)), (200, "{")],
)
def test_a_late_response_is_not_taken_for_the_next(status: int, body: str) -> None:
    """After a request was given up, its connection is closed: what comes there later is lost."""

    def late(path: str) -> tuple[bytes, ...]:
        if path == "/first":
            head = f"HTTP/1.1 {status} Odd\r\nContent-Length: {len(body)}\r\n\r\n{body}"
            return (head.encode(),)
        # On the first connection the late response comes once the next request has been sent.
        return (
            (_response("/late"), _response(path)) if len(connections) == 1 else (_response(path),)
        )

    client = HTTPClient(Redactor(), cool_downs=CoolDowns())
    with _server(late) as (port, connections):
        url = f"http://127.0.0.1:{port}"
        responses = [
            client.send(
                Request(method="GET", url=url + path),
                Deadline(20),
                is_transient=lambda response: response.text == "{",
            )
            for path in ("/first", "/second", "/third")
        ]
        client.close()

    assert [response.text for response in responses] == [body, "/second", "/third"]
    assert len(connections) == 2


class Stopped(KeyboardInterrupt):
    """An operator's interrupt."""


@pytest.mark.parametrize("ends", ["deadline", "size", "interrupt"])
def test_a_request_that_is_given_up_here_leaves_no_connection(ends: str) -> None:
    """After a deadline, a body that is too large or an interrupt the next request gets its own."""
    now = 0.0
    has_ended = threading.Event()

    def respond(path: str) -> Iterator[bytes]:
        nonlocal now
        if path != "/first":
            yield _response(path)
            return
        yield b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n"
        now = 30.0 if ends == "deadline" else 0.0
        yield b"x" * 4_000
        has_ended.wait(20)
        yield b"x" * 1_000 + _response("/late")

    def stop(_: bytes) -> bytes:
        raise Stopped

    limits = Limits(response_limit_kib=1 if ends == "size" else 10)
    client = HTTPClient(
        Redactor(),
        ClientOptions(limits=limits),
        cool_downs=CoolDowns(),
    )
    raised = {
        "deadline": ResponseTimeoutError,
        "size": UnexpectedResponseError,
        "interrupt": Stopped,
    }
    with _server(respond) as (port, connections), pytest.MonkeyPatch.context() as patch:
        url = f"http://127.0.0.1:{port}"
        if ends == "interrupt":
            patch.setattr("runbook_lib.remote.http_transport.count_bytes", stop)
        with pytest.raises(raised[ends]):
            client.send(Request(method="GET", url=f"{url}/first"), Deadline(9, lambda: now))
        patch.undo()
        has_ended.set()
        text = client.send(Request(method="GET", url=f"{url}/second"), Deadline(20)).text
        client.close()

    assert (text, len(connections)) == ("/second", 2)


@pytest.mark.parametrize("place", ["httpx.Response", "runbook_lib.remote.client.read_body"])
def test_an_interrupt_at_any_moment_closes_the_connections(
    place: str, transport: HTTPTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This holds also after httpcore returned and before the caller has the response."""

    def stop(*_: Any, **__: Any) -> Any:
        raise Stopped

    client = HTTPClient(Redactor(), cool_downs=CoolDowns(), transport=transport)
    with _server(lambda path: (_response(path),)) as (port, connections):
        request = Request(method="GET", url=f"http://127.0.0.1:{port}/path")
        client.send(request, Deadline(20))
        with monkeypatch.context() as patch:
            patch.setattr(place, stop)
            with pytest.raises(Stopped):
                client.send(request, Deadline(20))
        assert transport._pools == {}
        assert client.send(request, Deadline(20)).text == "/path"
        client.close()

    assert len(connections) == 2
