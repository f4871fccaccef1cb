"""
The listener for the consent's redirect: no other program receives it, and no client blocks it.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import queue
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from runbook_lib.errors import ListenerError
from runbook_lib.remote import redirect_listener
from runbook_lib.remote.redirect_listener import Bind, RedirectListener, bind_exclusively
from tests.support.run_process import eventually
from tests.support.wording import refused_naming, wording

CODE = "AQDcode-0aB1cD2eF3gH4"
ANSWER = f"/consent?code={CODE}&state=state-1"
# Far longer than any test here takes: a test that waits as long fails.
_PATIENCE_SECONDS = 240


@pytest.fixture
def arrived() -> queue.Queue[str]:
    return queue.Queue()


@pytest.fixture
def listen(arrived: queue.Queue[str]) -> Iterator[Callable[..., RedirectListener]]:
    """Return a function that opens a listener which accepts only `state-1`."""

    def take(url: str) -> bool:
        arrived.put(url)
        return url.endswith("state=state-1")

    with contextlib.ExitStack() as running:

        def begin(**options: Any) -> RedirectListener:
            listener = RedirectListener(take, **options)
            running.callback(listener.close)
            return listener

        yield begin


@pytest.fixture
def listener(listen: Callable[..., RedirectListener]) -> RedirectListener:
    return listen()


def port_of(listener: RedirectListener) -> int:
    return urlsplit(listener.redirect_uri).port or 0


def get(listener: RedirectListener, target: str = ANSWER, **options: Any) -> httpx.Response:
    host = f"localhost:{port_of(listener)}"
    with httpx.Client(trust_env=False, base_url=f"http://{host}") as browser:
        return browser.request(options.pop("method", "GET"), target, **options)


def exchange(listener: RedirectListener, sent: bytes, address: str = "127.0.0.1") -> bytes:
    """Send these bytes and return the whole answer."""
    with socket.create_connection((address, port_of(listener)), _PATIENCE_SECONDS) as client:
        client.sendall(sent)
        return b"".join(iter(lambda: client.recv(4096), b""))


def resolve_localhost_to(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Let `localhost` resolve to these addresses."""
    resolve = socket.getaddrinfo

    def resolved(host: str, *given: Any, **named: Any) -> list[Any]:
        if host != "localhost":
            return resolve(host, *given, **named)
        return [(0, socket.SOCK_STREAM, 6, "", (address, 0)) for address in addresses]

    monkeypatch.setattr(redirect_listener.socket, "getaddrinfo", resolved)


def refusing_ipv6(error: OSError) -> Bind:
    """Return a `bind` that raises `error` for each IPv6 address."""

    def bound(address: str, port: int) -> socket.socket:
        if ":" in address:
            raise error
        return bind_exclusively(address, port)

    return bound


def intruder(address: str, port: int, *options: int) -> socket.socket:
    """Return a socket that listens there; raise `OSError` if it cannot."""
    taken = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    try:
        for option in options:
            taken.setsockopt(socket.SOL_SOCKET, option, 1)
        taken.bind((address, port))
        taken.listen()
    except OSError:
        taken.close()
        raise
    return taken


# Addresses


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_both_families_are_listened_on(
    listener: RedirectListener, arrived: queue.Queue[str], address: str
) -> None:
    """The redirect arrives whether the browser uses IPv4 or IPv6 for `localhost`."""
    host = f"localhost:{port_of(listener)}".encode()
    answer = exchange(
        listener, b"GET %b HTTP/1.1\r\nhost: %b\r\n\r\n" % (ANSWER.encode(), host), address
    )

    assert answer.startswith(b"HTTP/1.1 200 OK")
    head = wording("screens.back-to-runbook")
    assert f"<h1>{head}</h1>".encode() in answer
    assert arrived.get(timeout=_PATIENCE_SECONDS) == ANSWER
    assert set(listener.addresses) >= {"127.0.0.1", "::1"}
    listener.prove()


@pytest.mark.parametrize("address", ["::1", "::"])
@pytest.mark.parametrize("tries", [1, 3])
def test_a_port_taken_in_the_other_family_is_not_used(
    listen: Callable[..., RedirectListener],
    address: str,
    tries: int,
) -> None:
    """If another program has the same port on IPv6, another port is used."""
    intruders = []

    def raced(wanted: str, port: int) -> socket.socket:
        bound = bind_exclusively(wanted, port)
        if wanted == "127.0.0.1" and len(intruders) < tries:
            only = bound.getsockname()[1]
            taken = socket.socket(socket.AF_INET6)
            taken.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            taken.bind((address, only))
            taken.listen()
            intruders.append(taken)
        return bound

    listener = listen(bind=raced)

    assert len(intruders) == tries
    assert port_of(listener) not in [one.getsockname()[1] for one in intruders]
    assert {"127.0.0.1", "::1"} <= set(listener.addresses)
    listener.prove()
    for one in intruders:
        one.close()


def test_without_a_free_port_there_is_an_error(listen: Callable[..., RedirectListener]) -> None:
    """If no port is free, the error says so and advises to paste the address."""
    taken = refusing_ipv6(OSError(errno.EADDRINUSE, "Address already in use"))

    with refused_naming(ListenerError, "already in use") as caught:
        listen(bind=taken)
    assert wording("advice.paste-address") in caught.value.diagnostics()


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "0.0.0.0", "::"])
@pytest.mark.parametrize("options", [(), (socket.SO_REUSEADDR,), (socket.SO_REUSEPORT,)])
def test_no_other_program_can_share_the_address(
    listener: RedirectListener, address: str, options: tuple[int, ...]
) -> None:
    """No socket option lets another program listen on the address too."""
    with refused_naming(OSError, "in use"):
        intruder(address, port_of(listener), *options)


def test_a_machine_without_ipv6_works(
    listen: Callable[..., RedirectListener], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without IPv6, the listener uses IPv4 only, even if `localhost` resolves to `::1` too."""
    absent = refusing_ipv6(OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address"))
    resolve_localhost_to(monkeypatch, "::1", "127.0.0.1")
    listener = listen(bind=absent)

    assert listener.addresses == ("127.0.0.1",)
    listener.prove()


def test_every_address_of_localhost_is_listened_on(
    listen: Callable[..., RedirectListener], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The listener uses other loopback addresses too if `localhost` resolves to them."""
    resolve_localhost_to(monkeypatch, "127.0.0.2", "127.0.0.1")
    listener = listen()

    assert "127.0.0.2" in listener.addresses
    listener.prove()


@pytest.mark.parametrize("is_there", [True, False])
def test_an_address_of_localhost_without_the_listener_is_an_error(
    listener: RedirectListener, monkeypatch: pytest.MonkeyPatch, *, is_there: bool
) -> None:
    """If `localhost` resolves to an address where the listener is not, `prove` names it."""
    resolve_localhost_to(monkeypatch, "127.0.0.1", "127.0.0.2")
    taken = intruder("127.0.0.2", port_of(listener)) if is_there else None

    with refused_naming(
        ListenerError, wording("walkthrough.localhost-leads-to", address="127.0.0.2")
    ) as caught:
        listener.prove()

    assert str(port_of(listener)) in str(caught.value)
    if taken:
        taken.close()


def test_an_address_of_another_machine_is_an_error(
    listener: RedirectListener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If `localhost` resolves to another machine, `prove` raises an error."""
    resolve_localhost_to(monkeypatch, "192.0.2.1")

    with refused_naming(ListenerError, "leads to 192.0.2.1"):
        listener.prove()


def test_a_relay_is_detected(listener: RedirectListener, monkeypatch: pytest.MonkeyPatch) -> None:
    """If another program relays connections to the listener, `prove` raises an error."""
    connect = socket.create_connection
    listener.proof_seconds = 1.0
    with intruder("127.0.0.1", 0) as relay, contextlib.ExitStack() as passed_on:

        def deceived(address: Any, timeout: float) -> socket.socket:
            passed_on.enter_context(connect(address, timeout))
            return connect(relay.getsockname(), timeout)

        monkeypatch.setattr(redirect_listener.socket, "create_connection", deceived)
        with refused_naming(ListenerError, "leads to 127.0.0.1"):
            listener.prove()


# Answers


def test_the_redirect_is_passed_on(listener: RedirectListener, arrived: queue.Queue[str]) -> None:
    """
    The listener passes on the whole address and answers with a page without scripts and links.

    The page does not have the code, and is neither cached nor sent as a referrer.
    """
    answer = get(listener)

    assert arrived.get(timeout=_PATIENCE_SECONDS) == ANSWER
    assert wording("walkthrough.answer-has-arrived") in answer.text
    assert answer.status_code == 200
    assert CODE not in answer.text
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-store"
    assert not re.search(r"<script|src=|href=", answer.text)


def test_an_unexpected_redirect_gets_another_page(listener: RedirectListener) -> None:
    """For a redirect that is not accepted, the page says that nothing was done."""
    answer = get(listener, "/consent?code=x&state=old")

    assert answer.status_code == 200
    assert wording("setting-invalid.nothing-done") in answer.text


NAVIGATION = {
    "sec-fetch-mode": "navigate",
    "sec-fetch-dest": "document",
    "sec-fetch-site": "cross-site",
}


@pytest.mark.parametrize(
    ("status", "options"),
    [
        (200, {"headers": NAVIGATION}),
        (200, {"headers": {**NAVIGATION, "sec-fetch-site": "none", "sec-fetch-user": "?1"}}),
        (200, {"headers": {"cookie": "a=" + "b" * 20_000}}),
        (403, {"headers": {"host": "evil.example"}}),
        (403, {"headers": {"host": "evil.example:{port}"}}),
        (403, {"headers": {"host": "localhost"}}),
        (403, {"headers": {"host": "localhost:1"}}),
        (403, {"headers": {"host": "localhost.evil.example:{port}"}}),
        (403, {"headers": {"host": "127.0.0.2:{port}"}}),
        (403, {"headers": {"origin": "https://evil.example"}}),
        (403, {"headers": {"origin": "null"}}),
        (403, {"headers": {**NAVIGATION, "sec-fetch-mode": "no-cors"}}),
        (403, {"headers": {**NAVIGATION, "sec-fetch-mode": "cors"}}),
        (403, {"headers": {**NAVIGATION, "sec-fetch-dest": "iframe"}}),
        (403, {"headers": {**NAVIGATION, "sec-fetch-dest": "image"}}),
        (503, {"headers": {**NAVIGATION, "sec-purpose": "prefetch"}}),
        (503, {"headers": {"purpose": "prefetch"}}),
        (404, {"target": f"/favicon.ico?code={CODE}&state=state-1"}),
        (404, {"target": f"/consent/?code={CODE}&state=state-1"}),
        (404, {"target": f"/consents?code={CODE}&state=state-1"}),
        (404, {"target": f"//consent?code={CODE}&state=state-1"}),
        (404, {"target": "/"}),
        (501, {"method": "HEAD"}),
        (501, {"method": "POST", "content": b"x" * 1000}),
        (501, {"method": "OPTIONS"}),
        (501, {"method": "PUT"}),
        (501, {"method": "BREW"}),
    ],
)
def test_only_a_browsers_navigation_is_accepted(
    listener: RedirectListener, arrived: queue.Queue[str], status: int, options: dict[str, Any]
) -> None:
    """Another Host, origin, method or path, a script, a frame and a prefetch are refused."""
    port = str(port_of(listener))
    given = dict(options)
    headers = {
        name: value.replace("{port}", port) for name, value in given.pop("headers", {}).items()
    }

    assert get(listener, headers=headers, **given).status_code == status
    assert arrived.qsize() == (status == 200)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "127.0.0.1", "[::1]"])
def test_the_names_of_loopback_are_accepted(
    listener: RedirectListener, arrived: queue.Queue[str], host: str
) -> None:
    """The Host may be `localhost`, in any case, or a loopback address."""
    assert get(listener, headers={"host": f"{host}:{port_of(listener)}"}).status_code == 200
    assert arrived.qsize() == 1


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /consent?state=state-1\r\n\r\n",
        b"GET " + ANSWER.encode() + b" HTTP/1.1\r\n\r\n",
        b"GET " + ANSWER.encode() + b" HTTP/1.0\r\n\r\n",
        b"GET " + ANSWER.encode() + b" HTTP/1.1\r\nhost: %b\r\nhost: %b\r\n\r\n",
        b"GET " + ANSWER.encode() + b" HTTP/1.1\r\nhost: %b, %b\r\n\r\n",
        b"GET http://evil.example" + ANSWER.encode() + b" HTTP/1.1\r\nhost: %b\r\n\r\n",
        b"GET /consent?\xff\xfe\x00state=state-1 HTTP/1.1\r\nhost: %b\r\n\r\n",
        b"GET /consent?\xc3\xa4state=state-1 HTTP/1.1\r\nhost: %b\r\n\r\n",
        b"GET " + ANSWER.encode() + b" HTTP/1.1\r\nhost: %b\r\n : broken\r\n\r\n",
        b"GET /consent?" + b"a" * 200_000,
        b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 40_000,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 20,
        bytes(range(256)) * 4,
    ],
)
def test_a_bad_request_is_refused_without_a_traceback(
    listen: Callable[..., RedirectListener],
    arrived: queue.Queue[str],
    capfd: pytest.CaptureFixture[str],
    sent: bytes,
) -> None:
    """
    A request that is malformed, ambiguous, too long or not HTTP is refused; nothing is logged.
    """
    listener = listen(request_seconds=0.5)
    host = f"localhost:{port_of(listener)}".encode()
    with contextlib.suppress(OSError):  # it may close the connection before it has read everything
        answer = exchange(listener, sent.replace(b"%b", host))
        # One without the end of a line is closed when its time is over.
        assert answer.startswith(b"HTTP/1.1 4") or (answer == b"" and b"\n" not in sent)
    assert arrived.empty()

    assert get(listener).status_code == 200
    assert "".join(capfd.readouterr()) == ""


# Blocking clients


@pytest.mark.parametrize("sent", [b"GET /consent?" + b"a" * 8_000_000, b"a: b\r\n" * 1_000_000])
def test_a_request_has_a_largest_size(
    listen: Callable[..., RedirectListener], arrived: queue.Queue[str], sent: bytes
) -> None:
    """A request that is too large is refused, however long the time limit is."""
    listener = listen(request_seconds=3600)
    with contextlib.suppress(ConnectionError):
        exchange(listener, b"GET / HTTP/1.1\r\n" + sent if sent.startswith(b"a") else sent)
    assert arrived.empty()


@pytest.mark.parametrize("sent", [b"", b"GET /consent?", b"GET /consent HTTP/1.1\r\nhost: "])
def test_three_hundred_incomplete_requests_do_not_block_it(
    listener: RedirectListener, arrived: queue.Queue[str], sent: bytes
) -> None:
    """
    Beside 300 incomplete requests, the redirect is answered.

    All connections together hold at most eight threads.
    """
    threads = threading.active_count()
    with contextlib.ExitStack() as clients:
        for number in range(300):
            address = ("127.0.0.1", "::1")[number % 2]
            client = socket.create_connection((address, port_of(listener)), _PATIENCE_SECONDS)
            clients.enter_context(client).sendall(sent)

        assert get(listener, timeout=_PATIENCE_SECONDS).status_code == 200
        listener.prove()
        assert len(listener.open) <= 7
        # The listener's own is one; on a busy machine, a thread ends a moment after its connection.
        eventually(lambda: threading.active_count() <= threads + 7)
    assert arrived.get(timeout=_PATIENCE_SECONDS) == ANSWER


def test_a_request_that_was_sent_is_not_closed_for_later_ones(
    listener: RedirectListener, arrived: queue.Queue[str]
) -> None:
    """Connections that arrive at once, after the redirect and before it is read, cost nothing."""
    place = ("127.0.0.1", port_of(listener))
    sent = f"GET {ANSWER} HTTP/1.1\r\nhost: localhost:{place[1]}\r\n\r\n".encode()
    with contextlib.ExitStack() as clients:
        browser = clients.enter_context(socket.create_connection(place, _PATIENCE_SECONDS))
        browser.sendall(sent)
        for _ in range(200):
            clients.enter_context(socket.create_connection(place, _PATIENCE_SECONDS))

        answer = b"".join(iter(lambda: browser.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert arrived.get(timeout=_PATIENCE_SECONDS) == ANSWER


def test_the_time_limit_is_for_the_whole_request(
    listen: Callable[..., RedirectListener], arrived: queue.Queue[str]
) -> None:
    """A client that sends byte after byte is disconnected after the time limit."""
    listener = listen(request_seconds=0.5)
    end = time.monotonic() + _PATIENCE_SECONDS
    with socket.create_connection(("127.0.0.1", port_of(listener))) as client:
        client.settimeout(0.02)
        with contextlib.suppress(ConnectionError):
            while time.monotonic() < end:
                client.sendall(b"a")
                with contextlib.suppress(TimeoutError):
                    assert client.recv(100) == b""
                    break
    assert time.monotonic() < end
    assert arrived.empty()


def test_the_time_limit_includes_the_response(
    listen: Callable[..., RedirectListener], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that does not read the answer is disconnected after the time limit."""
    page = "x" * 32 * 2**20  # fits into no buffer
    monkeypatch.setattr(redirect_listener._Handler, "error_message_format", page)
    listener = listen(request_seconds=3)  # a busy machine answers within them
    with socket.create_connection(("127.0.0.1", port_of(listener))) as client:
        client.sendall(b"nonsense\r\n\r\n")
        assert client.recv(9) == b"HTTP/1.1 "
        eventually(lambda: not listener.open)


# The end


def test_a_closed_listener_frees_its_port(listen: Callable[..., RedirectListener]) -> None:
    """Closing, even twice, frees both addresses, ends the threads and does not call `on_end`."""
    before = threading.active_count()
    ended: queue.Queue[RedirectListener] = queue.Queue()
    listener = listen(on_end=ended.put)
    get(listener)
    half = socket.create_connection(("127.0.0.1", port_of(listener)))
    listener.close()
    listener.close()

    for address in ("127.0.0.1", "::1"):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((address, port_of(listener)))
    half.close()
    eventually(lambda: threading.active_count() == before)
    assert not listener.keep_open(1)
    assert ended.empty()


def test_it_ends_after_its_time(listen: Callable[..., RedirectListener]) -> None:
    """Without an answer, the listener closes after its time and calls `on_end`."""
    ended: queue.Queue[RedirectListener] = queue.Queue()
    listener = listen(seconds=0.05, on_end=ended.put)

    assert ended.get(timeout=_PATIENCE_SECONDS) is listener
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port_of(listener)))
    assert not listener.keep_open(1)


def test_its_time_can_be_changed(listen: Callable[..., RedirectListener]) -> None:
    """`keep_open` sets the remaining time of an open listener."""
    ended: queue.Queue[RedirectListener] = queue.Queue()
    listener = listen(seconds=3600, on_end=ended.put)

    assert listener.keep_open(0.05)
    assert ended.get(timeout=_PATIENCE_SECONDS) is listener


def test_an_error_of_the_receiver_is_not_logged(capfd: pytest.CaptureFixture[str]) -> None:
    """
    If the receiver raises an error, nothing is logged, since the text may have the code.

    The listener continues.
    """

    def broken(url: str) -> bool:
        raise RuntimeError(url)

    listener = RedirectListener(broken)
    with pytest.raises(httpx.RemoteProtocolError):
        get(listener)
    with pytest.raises(httpx.RemoteProtocolError):
        get(listener)
    listener.close()

    gc.collect()  # a task's unread exception is logged when the task is collected
    assert "".join(capfd.readouterr()) == ""
