"""A hostile remote system costs seconds and a few MiB, and its error says what it did."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
import tracemalloc
from pathlib import Path

import httpx
import pytest
import trustme

from runbook_lib.connectors.facebook.graph import Graph
from runbook_lib.core.redaction import Redactor, Secret
from runbook_lib.errors import (
    RemoteError,
    ResponseTimeoutError,
    RunbookError,
    ThrottledError,
    UnexpectedResponseError,
    UnreachableError,
)
from runbook_lib.remote.check_session import Session
from runbook_lib.remote.client import ClientOptions, HTTPClient
from runbook_lib.remote.domain import (
    AllowedRedirects,
    fetch_page,
    follow_to_sign_in,
    read_certificate,
)
from runbook_lib.remote.http_messages import Request, Response
from runbook_lib.remote.limits import Deadline, Limits
from runbook_lib.remote.recording import recorded_body
from tests.support.attacked_clients import CLIENTS, DIALOG, LIMITS, SECRET, attacked, server_at
from tests.support.hostile_server import BOMB_OF_100_MIB, MODES, hostile_server, whole
from tests.support.wording import refused, refused_naming, wording

pytestmark = pytest.mark.matrix

MIB = 1024 * 1024


def peak(limits: Limits, mode: str) -> int:
    """Return how many bytes a GET of `mode`, and its record, take at most."""
    with attacked(mode, limits) as (session, url):
        tracemalloc.start()
        try:
            with pytest.raises(UnexpectedResponseError):  # it was contacted
                Graph(session, base_url=url, version="v26.0").get("me", SECRET)
            session.exchanges()
            most = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    return most


@pytest.mark.parametrize(
    "mode", ["gzip bomb in gzip", "100 MiB of JSON", "100 MiB of numbers", "an endless body"]
)
def test_a_large_response_takes_little_memory(mode: str) -> None:
    """A body beyond the limit is neither kept nor inflated."""
    assert peak(Limits(response_limit_kib=1024, exchange_seconds=20), mode) < 16 * MIB


def test_a_gzip_bomb_is_inflated_up_to_the_limit_only() -> None:
    """500 KiB that inflate to 100 MiB take less than 8 MiB of memory, with a limit of 1 MiB."""
    limits = Limits(response_limit_kib=1024, exchange_seconds=20)
    response = whole(BOMB_OF_100_MIB, "content-encoding: gzip")
    with attacked(response, limits) as (session, url):
        tracemalloc.start()
        with refused(UnexpectedResponseError, "body-too-large", limit="1,024"):
            session.send(Request(method="GET", url=url))
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()

    assert most < 8 * MIB


REASONS = {
    "gzip bomb in gzip": "encoded as gzip, gzip",
    "100 MiB of JSON": wording("unexpected-response.body-too-large", limit=256),
    "an endless body": wording("unexpected-response.body-too-large", limit=256),
    "an error message of 5 MB": wording("unexpected-response.body-too-large", limit=256),
    "one byte at a time": wording("response-timeout.not-complete", seconds=1),
    "slow headers": wording("response-timeout.not-complete", seconds=1),
    "100 Continue without end": wording("response-timeout.not-complete", seconds=1),
    "an encoding of its own": wording("unexpected-response.encoding-not-requested"),
    "NaN": wording("unexpected-response.not-json", host="127.0.0.1", status=200),
}


@pytest.mark.parametrize("mode", REASONS)
def test_the_error_names_the_fault_of_the_response(mode: str) -> None:
    """The error names the host and what was wrong with the response."""
    with attacked(mode) as (session, url), pytest.raises(RunbookError) as caught:
        CLIENTS["graph"](session, url)

    assert REASONS[mode] in str(caught.value)
    assert "127.0.0.1" in str(caught.value)


def test_a_slow_response_is_not_requested_again() -> None:
    """
    A slow answer is an error at the first attempt, and the host is not contacted for some time.
    """
    with attacked("one byte at a time") as (session, url):
        for _ in range(2):
            with pytest.raises(ResponseTimeoutError):
                session.send(Request(method="GET", url=url))

    slow, unsent = session.exchanges()
    assert slow.error.startswith("127.0.0.1")
    assert unsent.error.startswith(wording("messages.not-sent"))


def test_a_step_ends_with_its_time() -> None:
    """
    After the step's deadline there is neither a retry nor a new request.

    The error says what sets the deadline.
    """
    limits = Limits(exchange_seconds=1, step_seconds=1)
    skipped = [0.0]
    with attacked("silence", limits) as (session, url):
        session.set_step_deadline(Deadline(1, lambda: time.monotonic() + skipped[0]))
        with refused(ResponseTimeoutError, "not-complete-after"):
            session.send(Request(method="GET", url=url))
        skipped[0] = 1.0
        with refused(RemoteError, "step-took-too-long", seconds=1, host="127.0.0.1") as caught:
            session.send(Request(method="GET", url=f"{url}/other"))

    assert "step_seconds" in caught.value.diagnostics()

    assert len(session.exchanges()) == 2


def test_a_message_of_5_mb_is_cut() -> None:
    """If the size limit permits a message of 5 MB, the error and the record have its start only."""
    body = json.dumps({"error": {"message": f"word {SECRET.reveal()} " * 180_000, "code": 1}})
    response = whole(body.encode(), status="400 Bad Request")
    began = time.process_time()
    limits = Limits(response_limit_kib=8192)
    with attacked(response, limits) as (session, url), pytest.raises(RunbookError) as caught:
        CLIENTS["oauth"](session, url)
    (exchange,) = session.exchanges()

    assert time.process_time() - began < 20
    assert len(str(caught.value)) < 400
    assert len(exchange.response) < 9_000
    assert SECRET.reveal()[:12] not in exchange.response
    assert wording("screens.characters-in-all", count=len(body)) in exchange.response


@pytest.mark.parametrize("is_json", [True, False])
@pytest.mark.parametrize("before", range(65_500, 65_560, 7))
def test_no_part_of_a_secret_remains_where_a_body_is_cut(before: int, is_json: bool) -> None:
    """A secret across the end of the redacted start of a body is left out of the record."""
    secret = Secret("Abcdefgh-1234567890-" * 3)
    tokens = "EAA" + "x" * 190 + " "
    text = (tokens * 400)[:before] + secret.reveal() + "." * 70_000
    body = json.dumps({"a": text}) if is_json else text

    response = Response("https://graph.example", 400, httpx.Headers(), body)
    assert "bcdefgh-1" not in recorded_body(response, Redactor([secret]))


def test_a_slow_handshake_ends(tmp_path: Path) -> None:
    """A slow TLS handshake ends with the time limit, for a page and for the certificate."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with hostile_server("429", is_handshake_slow=True) as url:
        port = url.rpartition(":")[2]
        client = HTTPClient(
            Redactor(),
            ClientOptions(
                connect_to={"acme-h.cyclr.com:443": f"127.0.0.1:{port}"},
                ca_file=str(tmp_path / "ca.pem"),
                limits=Limits(exchange_seconds=1),
            ),
            sleep=lambda _: None,
        )
        with refused(UnreachableError, "no-tls"):
            read_certificate(Session(client), "acme-h.cyclr.com")
        with pytest.raises(UnreachableError):
            fetch_page(Session(client), "https://acme-h.cyclr.com/")
        client.close()


def test_the_time_limit_applies_within_tls(tmp_path: Path) -> None:
    """A response of one byte at a time ends with the time limit over TLS too."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    client = HTTPClient(
        Redactor(),
        ClientOptions(
            ca_file=str(tmp_path / "ca.pem"),
            limits=LIMITS,
        ),
        sleep=lambda _: None,
    )
    with (
        hostile_server("one byte at a time", tls=context) as url,
        refused(ResponseTimeoutError, "not-complete", seconds=1),
    ):
        Session(client).send(Request(method="GET", url=url))
    client.close()


def test_a_redirect_to_loopback_is_not_fetched() -> None:
    """A redirect to another loopback address is refused; nothing connects there."""
    heard: list[object] = []

    def hear(connection: socket.socket, _: threading.Event) -> None:
        heard.append(connection)

    client = HTTPClient(
        Redactor(),
        ClientOptions(connect_to={}),
        sleep=lambda _: None,
    )
    with hostile_server(hear) as neighbour:
        leads = f"HTTP/1.1 302 Found\r\nlocation: {neighbour}/secret\r\n\r\n".encode()
        with (
            hostile_server(lambda connection, _: connection.sendall(leads)) as url,
            refused(UnexpectedResponseError, "not-opened"),
        ):
            follow_to_sign_in(
                Session(client), f"{url}/start", server_at(DIALOG), AllowedRedirects([url, DIALOG])
            )
    client.close()

    assert heard == []


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode.startswith("429")])
def test_a_rate_limit_is_an_error_with_its_wait(mode: str) -> None:
    """
    With any `Retry-After`, or none, status 429 ends in a `ThrottledError` after three attempts at
    most.
    """
    with attacked(mode) as (session, url), refused_naming(ThrottledError, "(429)"):
        session.send(Request(method="GET", url=url))

    assert len(session.exchanges()) <= 3
