"""The service domain as the internet sees it, against real TLS on loopback."""

from __future__ import annotations

import http.server
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
import trustme

from runbook_lib.core.redaction import MASK, Redactor
from runbook_lib.errors import RemoteError, UnexpectedAnswerError, UnreachableError
from runbook_lib.remote.domain import (
    Destinations,
    fetch_page,
    follow_to_dialog,
    leads_to,
    read_certificate,
    resolve_name,
)
from runbook_lib.remote.limits import Limits
from runbook_lib.remote.transport import Answer, Request, Session, Transport
from tests.unit.fake_remote import FakeRemote, breaks, open_session, says

HOST = "acme-h.cyclr.com"
URL = f"https://{HOST}/connector/callback"
DIALOG = "https://www.facebook.com/v26.0/dialog/oauth"

NAMED = Destinations((f"https://{HOST}", DIALOG, "https://other.example"))

Server = Callable[..., AbstractContextManager[Session]]


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers every path with the Host that was asked for."""

    def do_GET(self) -> None:
        """Answer."""
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"{self.path} at {self.headers['host']}".encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA(organization_name="Test authority")


@pytest.fixture
def serve(authority: trustme.CA, tmp_path: Path) -> Server:
    """Give a real TLS server, and a session that is led to it under the service domain's name."""
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))

    @contextmanager
    def running(
        *names: str, ends: datetime | None = None, is_trusted: bool = True
    ) -> Iterator[Session]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(*(names or (HOST,)), not_after=ends).configure_cert(context)
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            server.socket = context.wrap_socket(server.socket, server_side=True)
            server.handle_error = lambda *_: None  # type: ignore[method-assign]
            thread = threading.Thread(target=server.serve_forever, args=(0.01,))
            thread.start()
            transport = Transport(
                Redactor(),
                connect_to={f"{HOST}:443": f"127.0.0.1:{server.server_port}"},
                ca_file=str(ca_file) if is_trusted else "",
                sleep=lambda _: None,
            )
            try:
                yield transport.session()
            finally:
                transport.close()
                server.shutdown()
                thread.join()

    return running


def test_the_certificate_is_read_after_it_was_verified(serve: Server) -> None:
    """Issuer and end are what the server really showed under that name, and are recorded."""

    ends = datetime(2036, 1, 2, 3, 4, 5, tzinfo=UTC)

    with serve(ends=ends) as session:
        certificate = read_certificate(session, HOST)

    assert certificate.issuer == "Test authority"
    assert certificate.expires_on == ends
    (exchange,) = session.exchanges()
    assert (exchange.method, exchange.url, exchange.error) == ("TLS", f"{HOST}:443", "")
    assert exchange.response == {
        "issuer": "Test authority",
        "expires_on": "2036-01-02T03:04:05.000Z",
    }


@pytest.mark.parametrize(
    ("names", "ends", "is_trusted"),
    [
        (("other.example",), None, True),
        ((HOST,), datetime.now(UTC) - timedelta(days=1), True),
        ((HOST,), None, False),
    ],
    ids=["another name", "expired", "unknown authority"],
)
def test_a_certificate_that_is_not_good_is_refused(
    serve: Server, names: tuple[str, ...], ends: datetime | None, is_trusted: bool
) -> None:
    """Another name, an end in the past or an unknown authority is no certificate of the domain."""

    with serve(*names, ends=ends, is_trusted=is_trusted) as session:
        with pytest.raises(UnreachableError, match="its TLS certificate is not trusted"):
            read_certificate(session, HOST)
        with pytest.raises(UnreachableError, match="its TLS certificate is not trusted"):
            fetch_page(session, URL)

    assert "not trusted" in session.exchanges()[0].error


def closed_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def test_no_tls_connection_is_told(tmp_path: Path) -> None:
    """A port where nobody listens is unreachable, and the record keeps why."""

    session = open_session(FakeRemote(), connect_to={f"{HOST}:443": f"127.0.0.1:{closed_port()}"})

    with pytest.raises(UnreachableError, match="no TLS connection"):
        read_certificate(session, HOST)

    (exchange,) = session.exchanges()
    assert exchange.response is None
    assert "no TLS connection" in exchange.error


def test_a_page_is_fetched_over_tls_under_its_own_name(serve: Server) -> None:
    """Host header and SNI name the service domain though another address is connected to."""

    with serve() as session:
        answer = fetch_page(session, URL)

    assert (answer.status, answer.text) == (200, f"/connector/callback at {HOST}")


@pytest.mark.parametrize("status", [200, 302, 404, 500])
def test_a_page_counts_whatever_its_status(status: int) -> None:
    """That something answers is what is asked; what it says is for the check."""

    remote = FakeRemote()
    remote.on("/connector/callback", says("page", status))

    assert fetch_page(open_session(remote), URL).status == status


def test_a_page_that_does_not_come_is_unreachable() -> None:
    """No answer is told as none."""

    remote = FakeRemote()
    remote.on("/connector/callback", breaks())

    with pytest.raises(UnreachableError):
        fetch_page(open_session(remote), URL)


def test_a_name_resolves_to_its_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each address once, in the resolver's order, and in the record."""

    addresses = ["192.0.2.7", "192.0.2.7", "2001:db8::7"]
    found = [(2, 1, 6, "", (address, 443)) for address in addresses]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    session = open_session(FakeRemote())

    assert resolve_name(session, HOST) == ("192.0.2.7", "2001:db8::7")

    (exchange,) = session.exchanges()
    assert (exchange.method, exchange.url) == ("DNS", HOST)
    assert exchange.response == {"addresses": ["192.0.2.7", "2001:db8::7"], "overridden": False}


@pytest.mark.parametrize(
    "failure", [socket.gaierror(-2, "Name or service not known"), UnicodeError("label too long")]
)
def test_a_name_that_does_not_resolve_is_told(
    monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    """The operator is told to look at the spelling, and the record keeps the attempt."""

    def fail(*_: object, **__: object) -> None:
        raise failure

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    session = open_session(FakeRemote())

    with pytest.raises(UnreachableError, match="not resolve: no name server knows it") as caught:
        resolve_name(session, HOST)

    assert "spelling" in caught.value.diagnostics()
    assert "does not resolve" in session.exchanges()[0].error


def test_an_overridden_name_is_not_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the address is given, the record says that it was given."""

    monkeypatch.setattr(socket, "getaddrinfo", None)
    session = open_session(FakeRemote(), connect_to={f"{HOST}:443": "127.0.0.1:8443"})

    assert resolve_name(session, HOST) == ("127.0.0.1:8443",)
    assert session.exchanges()[0].response["overridden"] is True


@pytest.fixture
def remote() -> FakeRemote:
    return FakeRemote()


def test_redirects_are_followed_up_to_the_host_that_is_not_asked(remote: FakeRemote) -> None:
    """The address at Facebook is read from the redirect; Facebook itself hears nothing."""

    dialog = "https://www.facebook.com/v26.0/dialog/oauth?client_id=1&state=s"
    remote.on("/start", says("", 302, {"location": "/next?token=single-use"}))
    remote.on("/next", says("", 303, {"location": dialog}))
    session = open_session(remote)

    url, answer = follow_to_dialog(session, f"https://{HOST}/start", DIALOG, NAMED)

    assert (url, answer.status) == (dialog, 303)
    assert remote.paths == ["/start", "/next"]
    assert {request.method for request in remote.requests} == {"GET"}
    assert f"token={MASK}" in session.exchanges()[1].url


def test_cookies_are_carried_along_the_trail(remote: FakeRemote) -> None:
    """Cyclr may need on the next page what it set on this one; nothing is kept afterwards."""

    cookies = [("set-cookie", "sid=1; Path=/; HttpOnly"), ("set-cookie", "lang=en; Secure")]
    remote.on("/start", says("", 302, [("location", "/next"), *cookies]))  # type: ignore[arg-type]
    remote.on("/next", says("done"))
    session = open_session(remote)

    follow_to_dialog(session, f"https://{HOST}/start", DIALOG, NAMED)
    follow_to_dialog(session, f"https://{HOST}/next", DIALOG, NAMED)

    assert "cookie" not in remote.requests[0].headers
    assert remote.requests[1].headers["cookie"] == "sid=1; lang=en"
    assert "cookie" not in remote.requests[2].headers
    assert "sid=1" not in repr(session.exchanges())


def test_a_trail_that_ends_elsewhere_returns_where_it_ended(remote: FakeRemote) -> None:
    """A page instead of a redirect ends the trail, and its answer is returned."""

    remote.on("/start", says("403 – Forbidden: Access is denied.", 403))

    url, answer = follow_to_dialog(open_session(remote), f"https://{HOST}/start", DIALOG, NAMED)

    assert (url, answer.status) == ("", 403)


def test_a_trail_in_a_circle_ends(remote: FakeRemote) -> None:
    """Nobody is led around for ever."""

    remote.on("/start", says("", 302, {"location": "/start"}))

    url, answer = follow_to_dialog(open_session(remote), f"https://{HOST}/start", DIALOG, NAMED)

    assert (url, answer.status) == ("", 302)
    assert len(remote.requests) == 6


@pytest.mark.parametrize("fault", [breaks(), says("busy", 503)])
def test_a_single_use_address_is_asked_once(remote: FakeRemote, fault: object) -> None:
    """The first address may hold a single-use token: nothing on the trail is repeated."""

    remote.on("/start", fault)  # type: ignore[arg-type]
    with suppress(UnreachableError):
        follow_to_dialog(open_session(remote), f"https://{HOST}/start", DIALOG, NAMED)

    assert len(remote.requests) == 1


@pytest.mark.parametrize(
    "location",
    [
        "https://WWW.FACEBOOK.COM/v26.0/dialog/oauth",
        "https://www.facebook.com:443/v26.0/dialog/oauth",
    ],
)
def test_the_host_is_known_however_it_is_spelled(remote: FakeRemote, location: str) -> None:
    """A host is its name and port, whatever the case, and 443 goes without saying."""

    remote.on("/start", says("", 302, {"location": location}))

    url, _ = follow_to_dialog(open_session(remote), "https://acme-h.cyclr.com/start", DIALOG, NAMED)

    assert url.endswith("/v26.0/dialog/oauth")


@pytest.mark.parametrize(
    "location",
    [
        "http://www.facebook.com/v26.0/dialog/oauth?client_id=1",
        "https://www.facebook.com:8443/v26.0/dialog/oauth?client_id=1",
        "https://www.facebook.com/login.php?next=%2Fdialog%2Foauth",
        "https://www.facebook.com/v26.0/dialog/oauth/x?client_id=1",
        "https://www.facebook.com/x/dialog/oauth?client_id=1",
        "https://www.facebook.com/v26/dialog/oauth?client_id=1",
        "https://user@www.facebook.com/v26.0/dialog/oauth?client_id=1",
        "https://www.facebook.com.evil.example/v26.0/dialog/oauth?client_id=1",
        "https://www.facebook.com@evil.example/v26.0/dialog/oauth?client_id=1",
        "https://evil.example/v26.0/dialog/oauth?client_id=1",
    ],
)
def test_what_only_looks_like_the_dialog_is_not_it(remote: FakeRemote, location: str) -> None:
    """Scheme, host, port and path must all be the dialog's; Facebook itself is never asked."""

    remote.on("/start", says("", 302, {"location": location}))
    for path in ("/x/dialog/oauth", "/v26.0/dialog/oauth"):
        remote.on(path, says("a page"))

    url = ""
    with suppress(UnexpectedAnswerError):
        url, _ = follow_to_dialog(open_session(remote), f"https://{HOST}/start", DIALOG, NAMED)

    assert url == ""
    assert [request.url.host for request in remote.requests] == [HOST]


@pytest.mark.parametrize("path", ["/dialog/oauth", "/v3.3/dialog/oauth", "/v26.0/dialog/oauth"])
def test_the_dialog_is_known_in_every_version(remote: FakeRemote, path: str) -> None:
    """Which Graph version Cyclr pins is its own affair."""

    remote.on("/start", says("", 302, {"location": f"https://www.facebook.com{path}?a=1"}))

    url, _ = follow_to_dialog(open_session(remote), "https://acme-h.cyclr.com/start", DIALOG, NAMED)

    assert url == f"https://www.facebook.com{path}?a=1"


def test_a_dialog_on_a_port_of_its_own_is_told_from_its_neighbours(remote: FakeRemote) -> None:
    """Where all systems share one host, as on loopback, the port tells them apart."""

    dialog = "http://127.0.0.1:8001/v26.0/dialog/oauth"
    remote.on("/start", says("", 302, {"location": "http://127.0.0.1:8002/next"}))
    remote.on("/next", says("", 302, {"location": f"{dialog}?client_id=1"}))

    named = Destinations((dialog, "http://127.0.0.1:8002", "http://127.0.0.1:8003"))

    url, _ = follow_to_dialog(open_session(remote), "http://127.0.0.1:8003/start", dialog, named)

    assert url == f"{dialog}?client_id=1"


@pytest.mark.parametrize("cookie", ["a@b=1", 'x="\\012"', "=", "sid=1; Path", 'y="\\377"'])
def test_a_cookie_that_cannot_be_read_is_dropped(remote: FakeRemote, cookie: str) -> None:
    """Whatever a page sets, the trail goes on."""

    remote.on("/start", says("", 302, {"location": "/next", "set-cookie": cookie}))
    remote.on("/next", says("done"))

    _, answer = follow_to_dialog(open_session(remote), f"https://{HOST}/start", DIALOG, NAMED)

    assert answer.text == "done"


def test_cookies_go_back_to_their_own_host_only(remote: FakeRemote) -> None:
    """A cookie that one host set is nobody else's business."""

    remote.on(
        "/start",
        says("", 302, {"location": "https://other.example/next", "set-cookie": "sid=1; Path=/"}),
    )
    remote.on("/next", says("", 200))

    follow_to_dialog(open_session(remote), "https://acme-h.cyclr.com/start", DIALOG, NAMED)

    assert "cookie" not in remote.requests[1].headers


@pytest.mark.parametrize("location", ["javascript:history.back()", "mailto:support@cyclr.com"])
def test_a_redirect_to_no_web_address_ends_the_trail(remote: FakeRemote, location: str) -> None:
    """A page that leads nowhere over the web is an answer in words, and in the record."""

    remote.on("/start", says("", 302, {"location": location}))
    session = open_session(remote)

    with pytest.raises(RemoteError, match="not a web address"):
        follow_to_dialog(session, "https://acme-h.cyclr.com/start", DIALOG, NAMED)

    assert len(session.exchanges()) == 1


REFUSED = {
    "another host": ("https://evil.example/x", "no setting names"),
    "another port": (f"https://{HOST}:8443/x", "no setting names"),
    "no TLS": (f"http://{HOST}/x", "not https"),
    "a user name": (f"https://me@{HOST}/x", "user name"),
    "loopback": ("http://127.0.0.2/x", "private network"),
    "loopback, by TLS": ("https://127.0.0.2/x", "private network"),
    "loopback, named": ("http://127.0.0.1:8002/x", "private network"),
    "a name of this machine": ("https://localhost/x", "private network"),
    "loopback, IPv6": ("https://[::1]/x", "private network"),
    "loopback, mapped": ("https://[::ffff:127.0.0.1]/x", "private network"),
    "a private network": ("https://10.1.2.3/x", "private network"),
    "the link": ("http://169.254.169.254/latest/meta-data", "private network"),
    "a public address": ("https://93.184.215.14/x", "no setting names"),
    "a decimal address": ("https://2130706433/x", "no setting names"),
    "a name that decodes to none": ("https://xn--zzzzzzzz99999/x", "no setting names"),
    "a longer name": (f"https://{HOST}.evil.example/x", "no setting names"),
    "a dot at its end": (f"https://{HOST}./x", "no setting names"),
    "very long": ("https://evil.example/" + "x" * 60_000, "no setting names"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_redirect_to_what_no_setting_names_is_not_asked(remote: FakeRemote, name: str) -> None:
    """The reason says where it led and why nobody went there; the record shows one request."""

    location, why = REFUSED[name]
    remote.on("/start", says("", 302, {"location": location}))
    session = open_session(remote)
    named = Destinations((f"https://{HOST}", DIALOG, "http://127.0.0.1:8002"))

    with pytest.raises(UnexpectedAnswerError, match="redirects to") as caught:
        follow_to_dialog(session, f"https://{HOST}/start", DIALOG, named)

    assert why in str(caught.value)
    assert "Compare that address with your Cyclr console." in caught.value.diagnostics()
    assert "redirect_hosts" in caught.value.diagnostics()
    assert len(str(caught.value)) < 500
    assert [request.url.path for request in remote.requests] == ["/start"]
    assert len(session.exchanges()) == 1


@pytest.mark.parametrize(
    "location", ["https://login.cyclr.example/next", "https://other.example/next", "/next"]
)
def test_a_redirect_to_what_a_setting_names_is_followed(remote: FakeRemote, location: str) -> None:
    """The hosts of the settings, those named for this, and the host itself are asked."""

    remote.on("/start", says("", 302, {"location": location}))
    remote.on("/next", says("done"))
    named = Destinations((f"https://{HOST}", "https://other.example"), ["login.cyclr.example"])

    _, answer = follow_to_dialog(open_session(remote), f"https://{HOST}/start", DIALOG, named)

    assert answer.text == "done"


@pytest.mark.parametrize("given", ["127.0.0.1:8443", "[::1]:8443"])
def test_practice_leads_to_the_loopback_addresses_that_its_settings_name(
    remote: FakeRemote, given: str
) -> None:
    """A Service Domain whose address is given may lead to this machine, but only where named."""

    remote.on("/start", says("", 302, {"location": "http://127.0.0.1:8002/next"}))
    remote.on("/next", says("", 302, {"location": "http://127.0.0.1:8003/other"}))
    named = Destinations((f"https://{HOST}", "http://127.0.0.1:8002"))
    session = open_session(remote, connect_to={f"{HOST}:443": given})

    with pytest.raises(UnexpectedAnswerError, match="8003/other, which was not opened"):
        follow_to_dialog(session, f"https://{HOST}/start", DIALOG, named)

    assert remote.paths == ["/start", "/next"]


@pytest.mark.parametrize(
    ("location", "place"),
    [
        ("https://evil.example:8443/x?code=1", "evil.example:8443/x"),
        ("/next", f"{HOST}/next"),
        ("mailto:support@cyclr.com", ""),
        ("https://evil.example/" + "x" * 60_000, "… (60,013 characters without a space)"),
    ],
)
def test_where_a_redirect_leads_is_told_without_its_query(location: str, place: str) -> None:
    """Host and path, shortened; a query may contain a code."""

    answer = Answer(URL, 302, httpx.Headers({"location": location}), "")

    assert leads_to(answer) == place


PRIVATE = ["127.0.0.1", "10.0.0.5", "192.168.1.1", "169.254.1.1", "100.64.0.1", "::1", "fe80::1"]


@pytest.mark.parametrize("address", PRIVATE)
def test_a_service_domain_on_a_private_network_is_not_asked(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    """What the name resolves to is looked at, by each of the three that look at the domain."""

    found = [(2, 1, 6, "", (address, 443))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    monkeypatch.setattr(socket, "create_connection", None)
    transport = Transport(Redactor())
    session = transport.session()
    try:
        for look in (resolve_name, read_certificate):
            with pytest.raises(UnexpectedAnswerError, match="not an address of the public") as said:
                look(session, HOST)
            assert address in str(said.value)
            assert "service_domain_address" in said.value.diagnostics()
        with pytest.raises(UnexpectedAnswerError, match="not an address of the public"):
            fetch_page(session, URL)
    finally:
        transport.close()


def test_a_private_host_that_a_setting_names_is_asked(
    serve: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the operator says that the host is on a private network, it is reached there."""

    with serve() as session:
        address = session.transport.connect_to[f"{HOST}:443"]
        transport = Transport(Redactor(), ca_file=session.transport.ca_file, private_hosts=[HOST])
        found = [(2, 1, 6, "", ("127.0.0.1", int(address.rpartition(":")[2])))]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        try:
            answer = fetch_page(transport.session(), URL)
        finally:
            transport.close()

    assert answer.status == 200


def test_the_address_that_was_looked_at_is_the_one_connected_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A name that resolves to another address a moment later (rebinding) leads nowhere else."""

    answers = iter(["93.184.215.14", "127.0.0.1", "127.0.0.1"])
    connected: list[object] = []

    def refuse(address: object, *_: object, **__: object) -> None:
        connected.append(address)
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(
        socket, "getaddrinfo", lambda *_, **__: [(2, 1, 6, "", (next(answers), 443))]
    )
    monkeypatch.setattr(socket, "create_connection", refuse)
    transport = Transport(Redactor(), sleep=lambda _: None)
    try:
        with pytest.raises(RemoteError):
            fetch_page(transport.session(), URL)
    finally:
        transport.close()

    assert connected == [("93.184.215.14", 443)]


@pytest.mark.parametrize("location", ["https://localhost/x", "https://10.0.0.1/"])
def test_a_proxy_is_not_asked_for_a_private_address(
    monkeypatch: pytest.MonkeyPatch, location: str
) -> None:
    """A proxy looks names up itself; what is private by its spelling it is not asked for."""

    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    transport = Transport(Redactor())
    request = Request(method="GET", url=location, is_public_only=True)
    try:
        with pytest.raises(UnexpectedAnswerError, match="not an address of the public"):
            transport.session().send(request)
    finally:
        transport.close()


def test_a_resolver_that_is_silent_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The look-up ends with the time for an exchange, whatever the resolver does."""

    release, waiting = threading.Event(), list[threading.Thread]()

    def silent(*_: object, **__: object) -> None:
        waiting.append(threading.current_thread())
        release.wait(60)

    monkeypatch.setattr(socket, "getaddrinfo", silent)
    transport = Transport(Redactor(), limits=Limits(exchange_seconds=1), sleep=lambda _: None)
    began = time.monotonic()
    try:
        for look in (resolve_name, read_certificate):
            with pytest.raises(UnreachableError):
                look(transport.session(), HOST)
        with pytest.raises(UnreachableError):
            fetch_page(transport.session(), URL)
    finally:
        release.set()
        transport.close()

    assert time.monotonic() - began < 30
    assert len(waiting) == 3
    assert all(thread.daemon for thread in waiting)  # or the program would wait for them


def test_odd_cookies_are_not_sent_back(remote: FakeRemote) -> None:
    """What no header takes, and more than a browser keeps, is dropped; the trail goes on."""

    cookies = [(b"set-cookie", each.encode()) for each in ("é=1", 'a="é"', "b=1")]
    headers = [(b"location", b"/next"), *cookies]
    remote.on("/start", lambda _: httpx.Response(302, headers=headers))
    remote.on("/next", says("", 302, {"location": "/last", "set-cookie": "c=" + "x" * 9000}))
    remote.on("/last", says("done"))

    _, answer = follow_to_dialog(open_session(remote), f"https://{HOST}/start", DIALOG, NAMED)

    assert answer.text == "done"
    assert remote.requests[1].headers["cookie"] == "b=1"
    assert len(remote.requests[2].headers.get("cookie", "")) < 9_000
