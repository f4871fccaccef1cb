"""A client sends a request as it is, logs no secret, and closes connections of its own only."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from runbook_lib.core.redaction import MASK, Redactor, Secret
from runbook_lib.errors import UnreachableError
from runbook_lib.remote.check_session import Session
from runbook_lib.remote.client import ClientOptions, ConnectionPools, HTTPClient
from runbook_lib.remote.http_messages import Request
from tests.support.wording import wording
from tests.unit.fake_remote import FakeRemote, fails_with, open_session, owned, responds

URL = "https://graph.example/v26.0/me"
PATH = "/v26.0/me"
GET = Request(method="GET", url=URL)
POST = Request(method="POST", url=URL, form={"a": "1"})


@pytest.fixture
def session(remote: FakeRemote) -> Session:
    return open_session(remote)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (fails_with(httpx.ConnectTimeout), wording("host-unreachable.no-connection", seconds=5)),
        (fails_with(httpx.ReadTimeout), wording("host-unreachable.no-response", seconds=15)),
        (fails_with(httpx.PoolTimeout), wording("host-unreachable.no-response", seconds=15)),
        (
            fails_with(httpx.ConnectError, "[Errno -2] Name or service not known"),
            wording("host-unreachable.name-not-known"),
        ),
        (
            fails_with(httpx.ConnectError, "[Errno -3] Temporary failure in name resolution"),
            wording("host-unreachable.name-not-known"),
        ),
        (
            fails_with(httpx.ConnectError, "[Errno 111] Connection refused"),
            wording("host-unreachable.connection-failed", reason="[Errno 111] Connection refused"),
        ),
        (
            fails_with(
                httpx.ConnectError,
                "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: unable to get local "
                "issuer certificate (_ssl.c:1006)",
            ),
            wording(
                "host-unreachable.certificate-not-trusted",
                reason="unable to get local issuer certificate",
            ),
        ),
        (
            fails_with(httpx.ReadError),
            wording("host-unreachable.connection-closed", error="ReadError"),
        ),
    ],
)
def test_without_a_response_the_error_has_the_host_and_reason(
    remote: FakeRemote, session: Session, error: Any, said: str
) -> None:
    """The error names the host and the reason, and is recorded."""
    remote.on(PATH, error)

    with pytest.raises(UnreachableError) as caught:
        session.send(POST)

    not_reached = wording("host-unreachable.not-reached", host="graph.example")
    assert str(caught.value) == f"{not_reached}: {said}."
    assert session.exchanges()[0].error == str(caught.value)
    assert session.exchanges()[0].status is None


def test_connect_to_changes_the_address_only(remote: FakeRemote) -> None:
    """Only host and port change; the Host header, SNI and the record keep the host's name."""
    remote.on("/connector/callback", responds("ok"))
    session = open_session(remote, connect_to={"acme-h.cyclr.com:443": "127.0.0.1:8443"})

    for place in ("acme-h.cyclr.com", "graph.example", "acme-h.cyclr.com:444"):
        session.send(Request(method="GET", url=f"https://{place}/connector/callback?a=1"))

    request, *others = remote.requests
    assert str(request.url) == "https://127.0.0.1:8443/connector/callback?a=1"
    assert request.headers["host"] == "acme-h.cyclr.com"
    assert request.extensions["sni_hostname"] == "acme-h.cyclr.com"
    assert session.exchanges()[0].url.startswith("https://acme-h.cyclr.com/")
    assert [other.url.host for other in others] == ["graph.example", "acme-h.cyclr.com"]


def test_redirects_are_not_followed_and_cookies_not_kept(
    remote: FakeRemote, session: Session
) -> None:
    """The transport neither follows redirects nor keeps cookies."""
    remote.on(PATH, responds("", 302, {"location": "https://x.example/", "set-cookie": "sid=1"}))

    assert session.send(GET).status == 302
    session.send(GET)

    assert len(remote.requests) == 2
    assert "cookie" not in remote.requests[1].headers


@pytest.mark.parametrize("logger", ["httpx", "httpcore.http11", "httpcore.connection"])
def test_log_lines_of_the_http_library_are_redacted(
    remote: FakeRemote, caplog: pytest.LogCaptureFixture, logger: str
) -> None:
    """The HTTP library's log lines are redacted."""
    caplog.set_level(logging.DEBUG)
    secret = Secret("log-canary-1")
    session = open_session(remote, Redactor([secret]))

    logging.getLogger(logger).info("HTTP Request: %s", "https://x/?token=log-canary-1")

    session.client.close()
    assert "log-canary-1" not in caplog.text
    assert f"https://x/?token={MASK}" in caplog.text


def test_no_filter_is_skipped_while_another_client_closes(
    remote: FakeRemote, caplog: pytest.LogCaptureFixture
) -> None:
    """A client that closes while a line is logged leaves the filters of the others in force."""
    caplog.set_level(logging.DEBUG)
    logger = logging.getLogger("httpcore.http11")
    closing = open_session(remote).client

    def close(_: logging.LogRecord) -> bool:
        closing.close()
        return True

    logger.addFilter(close)
    remaining = open_session(remote, Redactor([Secret("log-canary-2")])).client
    logger.info("sent log-canary-2")
    logger.removeFilter(close)
    remaining.close()

    assert f"sent {MASK}" in caplog.text


def test_the_http_library_logs_no_url_with_a_secret(
    server: Callable[[], str], caplog: pytest.LogCaptureFixture
) -> None:
    """The debug log of a real request has no secret, neither in the URL nor in a header."""
    caplog.set_level(logging.DEBUG)
    address = server()
    client = HTTPClient(
        owned("url-canary-1"),
        ClientOptions(hosts={"facebook": [address]}),
    )
    url = f"{address}?input_token=url-canary-1"

    Session(client).send(Request(method="GET", url=url, headers={"x-a": "url-canary-1"}))
    client.close()

    assert "httpcore.http11" in {record.name for record in caplog.records}
    assert "url-canary-1" not in caplog.text


@pytest.fixture
def server() -> Iterator[Callable[[], str]]:
    """Return a function that gives the address of an HTTP server on loopback."""
    import http.server  # noqa: PLC0415

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(self.headers["user-agent"].encode())

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield lambda: f"http://127.0.0.1:{running.server_port}/"
        running.shutdown()
        thread.join()


def test_no_proxy_is_used_for_loopback_addresses(
    server: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requests to loopback ignore a proxy in the environment."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    client = HTTPClient(Redactor())
    try:
        response = Session(client).send(Request(method="GET", url=server()))
    finally:
        client.close()

    assert response.text == "connector-runbook"


def test_shared_connections_stay_open(server: Callable[[], str]) -> None:
    """A transport closes connections of its own, and leaves those that others share."""
    from runbook_lib.remote.http_transport import HTTPTransport  # noqa: PLC0415  (slow to import)

    pools = ConnectionPools()
    url = server()
    shared = [HTTPClient(Redactor(), pools=pools) for _ in range(2)]
    first, second = (client._transport for client in shared)
    assert Session(shared[0]).send(Request(method="GET", url=url)).status == 200
    shared[0].close()

    assert isinstance(first, HTTPTransport)
    assert first._pools
    assert first is second
    assert HTTPClient(Redactor())._transport is not first
    assert HTTPClient(Redactor(), pools=pools).tls_context() is shared[0].tls_context()
    pools.close()
