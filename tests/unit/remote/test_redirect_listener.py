"""The listener for the consent's redirect: nobody else is in its place, and nothing holds it up."""

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
from runbook_lib.remote.redirect_listener import RedirectListener

CODE = "AQDcode-0aB1cD2eF3gH4"
ANSWER = f"/consent?code={CODE}&state=state-1"
# Far beyond what anything here takes; whoever waits for it has found a defect.
_PATIENCE_SECONDS = 30


@pytest.fixture
def arrived() -> queue.Queue[str]:
    return queue.Queue()


@pytest.fixture
def listen(arrived: queue.Queue[str]) -> Iterator[Callable[..., RedirectListener]]:
    """Give a function that returns a listener to which only `state-1` is an answer."""

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
    """Return everything that the listener answers to these bytes."""
    with socket.create_connection((address, port_of(listener)), _PATIENCE_SECONDS) as client:
        client.sendall(sent)
        return b"".join(iter(lambda: client.recv(4096), b""))


def leads_to(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Let `localhost` lead to these addresses."""

    resolve = socket.getaddrinfo

    def resolved(host: str, *given: Any, **named: Any) -> list[Any]:
        if host != "localhost":
            return resolve(host, *given, **named)
        return [(0, socket.SOCK_STREAM, 6, "", (address, 0)) for address in addresses]

    monkeypatch.setattr(redirect_listener.socket, "getaddrinfo", resolved)


def intruder(address: str, port: int, *options: int) -> socket.socket:
    """Return another program's socket; raises `OSError` where it cannot have the place."""
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


# Who is there


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_both_families_are_listened_on(
    listener: RedirectListener, arrived: queue.Queue[str], address: str
) -> None:
    """Whichever address a browser takes `localhost` for, it comes to this program."""

    host = f"localhost:{port_of(listener)}".encode()
    answer = exchange(
        listener, b"GET %b HTTP/1.1\r\nhost: %b\r\n\r\n" % (ANSWER.encode(), host), address
    )

    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert b"<h1>Back to the runbook</h1>" in answer
    assert arrived.get(timeout=_PATIENCE_SECONDS) == ANSWER
    assert set(listener.addresses) >= {"127.0.0.1", "::1"}
    listener.prove()


@pytest.mark.parametrize("address", ["::1", "::"])
@pytest.mark.parametrize("tries", [1, 3])
def test_a_port_that_somebody_has_in_the_other_family_is_left(
    listen: Callable[..., RedirectListener],
    monkeypatch: pytest.MonkeyPatch,
    address: str,
    tries: int,
) -> None:
    """Who sits at the same port of `[::1]` receives no answer: another port is taken."""

    bind, intruders = redirect_listener._bind, []

    def raced(wanted: str, port: int) -> socket.socket:
        bound = bind(wanted, port)
        if wanted == "127.0.0.1" and len(intruders) < tries:
            only = bound.getsockname()[1]
            taken = socket.socket(socket.AF_INET6)
            taken.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            taken.bind((address, only))
            taken.listen()
            intruders.append(taken)
        return bound

    monkeypatch.setattr(redirect_listener, "_bind", raced)
    listener = listen()

    assert len(intruders) == tries
    assert port_of(listener) not in [one.getsockname()[1] for one in intruders]
    assert {"127.0.0.1", "::1"} <= set(listener.addresses)
    listener.prove()
    for one in intruders:
        one.close()


def test_where_no_port_is_free_there_is_no_link(
    listen: Callable[..., RedirectListener], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After some tries it says so, and leaves no socket open."""

    bind = redirect_listener._bind

    def refuse(address: str, port: int) -> socket.socket:
        if ":" in address:
            raise OSError(errno.EADDRINUSE, "Address already in use")
        return bind(address, port)

    monkeypatch.setattr(redirect_listener, "_bind", refuse)

    with pytest.raises(ListenerError, match="already in use") as caught:
        listen()
    assert "paste the answer" in caught.value.diagnostics()


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "0.0.0.0", "::"])
@pytest.mark.parametrize("options", [(), (socket.SO_REUSEADDR,), (socket.SO_REUSEPORT,)])
def test_nobody_gets_in_beside_the_listener(
    listener: RedirectListener, address: str, options: tuple[int, ...]
) -> None:
    """No option of a socket lets another program share the address once it is handed out."""

    with pytest.raises(OSError, match="in use"):
        intruder(address, port_of(listener), *options)


def test_a_machine_without_ipv6_is_no_obstacle(
    listen: Callable[..., RedirectListener], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where an address is not on the machine, nobody can listen there: though names lead to it."""

    bind = redirect_listener._bind

    def without(address: str, port: int) -> socket.socket:
        if ":" in address:
            raise OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")
        return bind(address, port)

    monkeypatch.setattr(redirect_listener, "_bind", without)
    leads_to(monkeypatch, "::1", "127.0.0.1")
    listener = listen()

    assert listener.addresses == ("127.0.0.1",)
    listener.prove()


def test_whatever_localhost_leads_to_is_listened_on(
    listen: Callable[..., RedirectListener], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hosts file may name other addresses of loopback."""

    leads_to(monkeypatch, "127.0.0.2", "127.0.0.1")
    listener = listen()

    assert "127.0.0.2" in listener.addresses
    listener.prove()


@pytest.mark.parametrize("is_there", [True, False])
def test_an_address_that_is_not_ours_is_found_before_the_link_is_shown(
    listener: RedirectListener, monkeypatch: pytest.MonkeyPatch, *, is_there: bool
) -> None:
    """Somebody answers there, or could at any time: both are said, with the address."""

    leads_to(monkeypatch, "127.0.0.1", "127.0.0.2")
    taken = intruder("127.0.0.2", port_of(listener)) if is_there else None

    with pytest.raises(ListenerError, match=r"localhost leads to 127\.0\.0\.2") as caught:
        listener.prove()

    assert str(port_of(listener)) in str(caught.value)
    if taken:
        taken.close()


def test_another_machine_is_not_even_asked(
    listener: RedirectListener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where `localhost` leads away from here, that is reason enough."""

    leads_to(monkeypatch, "192.0.2.1")

    with pytest.raises(ListenerError, match=r"leads to 192\.0\.2\.1"):
        listener.prove()


def test_a_relay_proves_nothing(
    listener: RedirectListener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who passes everything on to the listener would read the code: its connection is another."""

    connect = socket.create_connection
    monkeypatch.setattr(redirect_listener, "_PROOF_SECONDS", 1.0)
    with intruder("127.0.0.1", 0) as relay, contextlib.ExitStack() as passed_on:

        def deceived(address: Any, timeout: float) -> socket.socket:
            passed_on.enter_context(connect(address, timeout))
            return connect(relay.getsockname(), timeout)

        monkeypatch.setattr(redirect_listener.socket, "create_connection", deceived)
        with pytest.raises(ListenerError, match=r"leads to 127\.0\.0\.1"):
            listener.prove()


# What it answers


def test_the_redirect_is_handed_over(listener: RedirectListener, arrived: queue.Queue[str]) -> None:
    """The browser sees one page that runs nothing; the address arrives whole."""

    answer = get(listener)

    assert arrived.get(timeout=_PATIENCE_SECONDS) == ANSWER
    assert "The answer has arrived" in answer.text
    assert answer.status_code == 200
    assert CODE not in answer.text
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-store"
    assert not re.search(r"<script|src=|href=", answer.text)


def test_a_redirect_that_nobody_awaits_is_told_so(listener: RedirectListener) -> None:
    """A tab that is loaded again does not say that its answer arrived."""

    answer = get(listener, "/consent?code=x&state=old")

    assert answer.status_code == 200
    assert "Nothing was done" in answer.text


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
        (405, {"method": "HEAD"}),
        (405, {"method": "POST", "content": b"x" * 1000}),
        (405, {"method": "OPTIONS"}),
        (405, {"method": "PUT"}),
        (405, {"method": "BREW"}),
    ],
)
def test_only_a_browser_that_comes_back_is_heard(
    listener: RedirectListener, arrived: queue.Queue[str], status: int, options: dict[str, Any]
) -> None:
    """A foreign name, a script, a frame, a prefetch, another method or path changes nothing."""

    port = str(port_of(listener))
    given = dict(options)
    headers = {
        name: value.replace("{port}", port) for name, value in given.pop("headers", {}).items()
    }

    assert get(listener, headers=headers, **given).status_code == status
    assert arrived.qsize() == (status == 200)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "127.0.0.1", "[::1]"])
def test_its_own_names_are_known(
    listener: RedirectListener, arrived: queue.Queue[str], host: str
) -> None:
    """A browser may write the name in capitals, or be given the literal address."""

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
def test_what_is_no_request_is_refused_without_a_traceback(
    listener: RedirectListener,
    arrived: queue.Queue[str],
    capfd: pytest.CaptureFixture[str],
    sent: bytes,
) -> None:
    """Malformed, doubled, too long or not HTTP at all: nothing is taken, nothing is written."""

    host = f"localhost:{port_of(listener)}".encode()
    with contextlib.suppress(OSError):  # it may hang up before it has all of it
        answer = exchange(listener, sent.replace(b"%b", host))
        assert answer.startswith(b"HTTP/1.1 4")
    assert arrived.empty()

    assert get(listener).status_code == 200
    assert "".join(capfd.readouterr()) == ""


# What would hold it up


@pytest.mark.parametrize("sent", [b"GET /consent?" + b"a" * 8_000_000, b"a: b\r\n" * 1_000_000])
def test_a_request_has_a_largest_size(
    listen: Callable[..., RedirectListener], arrived: queue.Queue[str], sent: bytes
) -> None:
    """What never ends is not kept until its time is over, however long that is."""

    listener = listen(request_seconds=3600)
    with contextlib.suppress(ConnectionError):
        exchange(listener, b"GET / HTTP/1.1\r\n" + sent if sent.startswith(b"a") else sent)
    assert arrived.empty()


@pytest.mark.parametrize("sent", [b"", b"GET /consent?", b"GET /consent HTTP/1.1\r\nhost: "])
def test_three_hundred_half_requests_do_not_hold_it_up(
    listener: RedirectListener, arrived: queue.Queue[str], sent: bytes
) -> None:
    """The redirect is answered while they wait; they cost no thread each, and are closed."""

    threads = threading.active_count()
    with contextlib.ExitStack() as clients:
        for number in range(300):
            address = ("127.0.0.1", "::1")[number % 2]
            client = socket.create_connection((address, port_of(listener)), _PATIENCE_SECONDS)
            clients.enter_context(client).sendall(sent)

        assert get(listener, timeout=_PATIENCE_SECONDS).status_code == 200
        listener.prove()
        assert threading.active_count() <= threads + 1  # the one that hands over
        assert len(listener._open) < 100
    assert arrived.get(timeout=_PATIENCE_SECONDS) == ANSWER


def test_a_request_has_one_time_for_all_of_it(
    listen: Callable[..., RedirectListener], arrived: queue.Queue[str]
) -> None:
    """One byte now and then does not keep a connection open."""

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


# How long it listens


def test_nobody_is_heard_once_it_is_closed(listen: Callable[..., RedirectListener]) -> None:
    """Both addresses are given back, its threads end, and closing twice is no error."""

    before = threading.active_count()
    listener = listen()
    get(listener)
    half = socket.create_connection(("127.0.0.1", port_of(listener)))
    listener.close()
    listener.close()

    for address in ("127.0.0.1", "::1"):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((address, port_of(listener)))
    half.close()
    end = time.monotonic() + _PATIENCE_SECONDS
    while threading.active_count() > before and time.monotonic() < end:
        time.sleep(0.01)
    assert threading.active_count() == before
    assert not listener.keep_open(1)


def test_it_ends_by_itself_and_says_so(listen: Callable[..., RedirectListener]) -> None:
    """Where no answer comes, nothing listens for ever."""

    ended: queue.Queue[RedirectListener] = queue.Queue()
    listener = listen(seconds=0.05, on_end=ended.put)

    assert ended.get(timeout=_PATIENCE_SECONDS) is listener
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port_of(listener)))
    assert not listener.keep_open(1)


def test_its_time_can_be_changed(listen: Callable[..., RedirectListener]) -> None:
    """Whoever asks again has the whole time; once the answer is there, it is short."""

    ended: queue.Queue[RedirectListener] = queue.Queue()
    listener = listen(seconds=3600, on_end=ended.put)

    assert listener.keep_open(0.05)
    assert ended.get(timeout=_PATIENCE_SECONDS) is listener


def test_closing_is_no_end_by_itself(listen: Callable[..., RedirectListener]) -> None:
    """Whoever closes it knows that."""

    ended: queue.Queue[RedirectListener] = queue.Queue()
    listen(on_end=ended.put).close()

    assert ended.empty()


def test_an_error_of_the_receiver_is_no_traceback(capfd: pytest.CaptureFixture[str]) -> None:
    """Such a text could hold the code; the next redirect is heard."""

    def broken(url: str) -> bool:
        raise RuntimeError(url)

    listener = RedirectListener(broken)
    with pytest.raises(httpx.RemoteProtocolError):
        get(listener)
    with pytest.raises(httpx.RemoteProtocolError):
        get(listener)
    listener.close()

    gc.collect()  # what a task ended with is written once nobody can ask for it any more
    assert "".join(capfd.readouterr()) == ""
