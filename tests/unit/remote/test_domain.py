"""The checks of the Service Domain: DNS, certificate, page and redirects, with TLS on loopback."""

from __future__ import annotations

import http.server
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme

from runbook_lib.connectors.facebook.graph_clients import authorization_server
from runbook_lib.core.redaction import MASK, Redactor
from runbook_lib.errors import (
    InvalidCertificateError,
    RemoteError,
    UnexpectedResponseError,
    UnreachableError,
)
from runbook_lib.remote.check_session import Session
from runbook_lib.remote.client import ClientOptions, HTTPClient
from runbook_lib.remote.domain import (
    AllowedRedirects,
    _certificate,
    fetch_page,
    follow_to_sign_in,
    read_certificate,
    redirect_target,
    resolve_name,
)
from runbook_lib.remote.http_messages import Request, Response
from runbook_lib.remote.limits import Limits
from runbook_lib.remote.oauth import AuthorizationServer
from tests.support.wording import refused, wording
from tests.unit.fake_remote import FakeRemote, Responder, fails_with, open_session, responds

HOST = "acme-h.cyclr.com"
URL = f"https://{HOST}/connector/callback"
DIALOG = "https://www.facebook.com/v26.0/dialog/oauth"


START = f"https://{HOST}/start"


def server_of(page: str) -> AuthorizationServer:
    """Return the authorization server whose sign-in page is `page`."""
    return AuthorizationServer(title="Remote", authorization_endpoint=page, token_endpoint="")


SERVER = server_of(DIALOG)
VERSIONED = authorization_server({"dialog_url": DIALOG})
NAMED = AllowedRedirects((f"https://{HOST}", DIALOG, "https://other.example"))

Server = Callable[..., AbstractContextManager[Session]]


def moved(location: str, *cookies: str, status: int = 302) -> Responder:
    """Return a redirect that sets these cookies."""
    headers = [("location", location), *(("set-cookie", cookie) for cookie in cookies)]
    return responds("", status, httpx.Headers(headers))


def follow(
    there: FakeRemote | Session,
    url: str = START,
    server: AuthorizationServer = SERVER,
    named: AllowedRedirects = NAMED,
) -> tuple[str, Response]:
    """Follow the redirects from `url`, in a new session unless one is given."""
    session = open_session(there) if isinstance(there, FakeRemote) else there
    return follow_to_sign_in(session, url, server, named)


def resolve_to(monkeypatch: pytest.MonkeyPatch, *addresses: str, port: int = 443) -> None:
    """Let every name resolve to these addresses."""
    found = [(2, 1, 6, "", (address, port)) for address in addresses]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)


@pytest.fixture
def client() -> Iterator[HTTPClient]:
    """Return a transport to the network."""
    made = HTTPClient(Redactor(), sleep=lambda _: None)
    yield made
    made.close()


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers each GET with its path and Host header."""

    def do_GET(self) -> None:
        """Answer."""
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"{self.path} at {self.headers['host']}".encode())

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA(organization_name="Test authority")


@pytest.fixture
def serve(authority: trustme.CA, tmp_path: Path) -> Server:
    """Return a function that runs a TLS server and yields a session connected to it as `HOST`."""
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))

    @contextmanager
    def running(
        name: str = HOST, *, ends: datetime | None = None, is_trusted: bool = True
    ) -> Iterator[Session]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(name, not_after=ends).configure_cert(context)
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            server.socket = context.wrap_socket(server.socket, server_side=True)
            server.handle_error = lambda *_: None  # type: ignore[method-assign]
            thread = threading.Thread(target=server.serve_forever, args=(0.01,))
            thread.start()
            client = HTTPClient(
                Redactor(),
                ClientOptions(
                    connect_to={f"{HOST}:443": f"127.0.0.1:{server.server_port}"},
                    ca_file=str(ca_file) if is_trusted else "",
                ),
                sleep=lambda _: None,
            )
            try:
                yield Session(client)
            finally:
                client.close()
                server.shutdown()
                thread.join()

    return running


def test_the_certificate_is_read_after_it_was_verified(serve: Server) -> None:
    """The certificate's issuer and expiry are read in a verified TLS connection, and recorded."""
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
    ("name", "options", "error"),
    [
        ("other.example", {}, InvalidCertificateError),
        (HOST, {"ends": datetime.now(UTC) - timedelta(days=1)}, InvalidCertificateError),
        (HOST, {"is_trusted": False}, UnreachableError),
    ],
    ids=["another name", "expired", "unknown authority"],
)
def test_an_invalid_certificate_is_refused(
    serve: Server, name: str, options: dict[str, Any], error: type[UnreachableError]
) -> None:
    """Another name and an end are the server's mistake; an unknown authority may be ours."""
    certificate_error: type[UnreachableError] | None = None
    with serve(name, **options) as session:
        for look in (lambda: read_certificate(session, HOST), lambda: fetch_page(session, URL)):
            with pytest.raises(UnreachableError) as caught:
                look()
            assert wording("host-unreachable.not-trusted") in str(caught.value)
            certificate_error = certificate_error or caught.type

    assert certificate_error is error
    assert wording("host-unreachable.not-trusted") in session.exchanges()[0].error


@pytest.mark.parametrize(
    ("issuer", "name"),
    [
        ({"organizationName": "Authority", "commonName": "R3"}, "Authority"),
        ({"countryName": "DE", "commonName": "R3"}, "R3"),
        ({"countryName": "DE"}, "unknown"),
    ],
)
def test_an_issuer_has_the_name_of_its_organisation(issuer: dict[str, str], name: str) -> None:
    """The issuer is shown by its organisation, without one by its common name."""
    peer = {"issuer": tuple((each,) for each in issuer.items())}

    assert _certificate({**peer, "notAfter": "Jan  2 03:04:05 2036 GMT"}, HOST).issuer == name


@pytest.mark.parametrize("end", [{}, {"notAfter": "never"}])
def test_a_certificate_without_an_end_is_an_error(end: dict[str, str]) -> None:
    """A certificate whose end is missing or is not a time is an error with the host's name."""
    with pytest.raises(UnexpectedResponseError) as caught:
        _certificate(end, HOST)

    assert str(caught.value) == wording("unexpected-response.certificate-end", host=HOST)


def closed_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def test_without_a_tls_connection_the_domain_is_unreachable() -> None:
    """A closed port is an error with its reason, which is recorded too."""
    session = open_session(FakeRemote(), connect_to={f"{HOST}:443": f"127.0.0.1:{closed_port()}"})

    with refused(UnreachableError, "no-tls"):
        read_certificate(session, HOST)

    (exchange,) = session.exchanges()
    assert exchange.response is None
    assert wording("host-unreachable.no-tls") in exchange.error


def test_a_page_is_fetched_over_tls_under_its_own_name(serve: Server) -> None:
    """The Host header names the Service Domain, although the connection goes to another address."""
    with serve() as session:
        response = fetch_page(session, URL)

    assert response.status == 200
    assert response.text == f"/connector/callback at {HOST}"


@pytest.mark.parametrize("status", [200, 302, 404, 500])
def test_a_page_is_returned_with_any_status(remote: FakeRemote, status: int) -> None:
    """A page is returned with any status; the check decides what it means."""
    remote.on("/connector/callback", responds("page", status))

    assert fetch_page(open_session(remote), URL).status == status


def test_a_page_without_a_response_is_unreachable(remote: FakeRemote) -> None:
    """A broken connection raises `UnreachableError`."""
    remote.on("/connector/callback", fails_with())

    with pytest.raises(UnreachableError):
        fetch_page(open_session(remote), URL)


def test_a_name_resolves_to_its_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each address is returned once, in the resolver's order, and recorded."""
    resolve_to(monkeypatch, "192.0.2.7", "192.0.2.7", "2001:db8::7")
    session = open_session(FakeRemote())

    assert resolve_name(session, HOST) == ("192.0.2.7", "2001:db8::7")

    (exchange,) = session.exchanges()
    assert (exchange.method, exchange.url) == ("DNS", HOST)
    assert exchange.response == {"addresses": ["192.0.2.7", "2001:db8::7"], "overridden": False}


@pytest.mark.parametrize(
    "failure", [socket.gaierror(-2, "Name or service not known"), UnicodeError("label too long")]
)
def test_a_name_that_does_not_resolve_is_an_error(
    monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    """The error advises to check the spelling, and the attempt is recorded."""

    def fail(*_: object, **__: object) -> None:
        raise failure

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    session = open_session(FakeRemote())

    with refused(UnreachableError, "does-not-resolve") as caught:
        resolve_name(session, HOST)

    assert caught.value.diagnostics() == wording("advice.check-spelling", name="Service Domain")
    assert wording("host-unreachable.name-not-resolved") in session.exchanges()[0].error


def test_an_overridden_name_is_not_resolved(monkeypatch: pytest.MonkeyPatch) -> None:
    """If a setting gives the address, there is no DNS query, and the record says so."""
    monkeypatch.setattr(socket, "getaddrinfo", None)
    session = open_session(FakeRemote(), connect_to={f"{HOST}:443": "127.0.0.1:8443"})

    assert resolve_name(session, HOST) == ("127.0.0.1:8443",)
    assert session.exchanges()[0].response["overridden"] is True


def test_redirects_are_followed_up_to_the_dialog(remote: FakeRemote) -> None:
    """Redirects are followed until one leads to Facebook's dialog; its address is not requested."""
    dialog = "https://www.facebook.com/v26.0/dialog/oauth?client_id=1&state=s"
    remote.on("/start", moved("/next?token=single-use"))
    remote.on("/next", moved(dialog, status=303))
    session = open_session(remote)

    url, response = follow(session)

    assert (url, response.status) == (dialog, 303)
    assert remote.paths == ["/start", "/next"]
    assert {request.method for request in remote.requests} == {"GET"}
    assert [exchange.method for exchange in session.exchanges()] == ["GET", "GET"]
    assert f"token={MASK}" in session.exchanges()[1].url


def test_cookies_are_sent_along_the_redirects(remote: FakeRemote) -> None:
    """Cookies are sent with the requests that follow a redirect, and then forgotten."""
    remote.on("/start", moved("/next", "sid=1; Path=/; HttpOnly", "lang=en; Secure"))
    remote.on("/next", responds("done"))
    session = open_session(remote)

    follow(session)
    follow(session, f"https://{HOST}/next")

    sent = [request.headers.get("cookie") for request in remote.requests]
    assert sent == [None, "sid=1; lang=en", None]
    assert "sid=1" not in repr(session.exchanges())


@pytest.mark.parametrize(
    ("response", "status", "sent"),
    [
        # A page ends the redirects.
        (responds("403 – Forbidden: Access is denied.", 403), 403, 1),
        # A loop ends after six requests.
        (moved("/start"), 302, 6),
        # Nothing is repeated, because the first address may have a single-use token.
        (responds("busy", 503), 503, 1),
    ],
)
def test_redirects_that_end_elsewhere_return_the_last_response(
    remote: FakeRemote, response: Responder, status: int, sent: int
) -> None:
    """The last response is returned, without a dialog's address."""
    remote.on("/start", response)

    url, last = follow(remote)

    assert (url, last.status) == ("", status)
    assert len(remote.requests) == sent


def test_a_single_use_address_is_requested_once(remote: FakeRemote) -> None:
    """The sign-in link is not requested again after a broken connection either."""
    remote.on("/start", fails_with())
    with suppress(UnreachableError):
        follow(remote)

    assert len(remote.requests) == 1


FACEBOOK = "https://www.facebook.com"
LOGIN = "https://login.example/oauth2/authorize"


@pytest.mark.parametrize(
    ("location", "server", "seen"),
    [
        # The dialog's host matches in any case, with or without port 443.
        ("https://WWW.FACEBOOK.COM/v26.0/dialog/oauth", SERVER, DIALOG),
        (f"{FACEBOOK}:443/v26.0/dialog/oauth", SERVER, DIALOG),
        # Facebook's dialog matches in every Graph version, since Cyclr pins its own.
        *(
            (f"{FACEBOOK}{path}?a=1", VERSIONED, f"{FACEBOOK}{path}?a=1")
            for path in ("/dialog/oauth", "/v3.3/dialog/oauth", "/v26.0/dialog/oauth")
        ),
        # Another provider's sign-in page may have any path (RFC 6749).
        (f"{LOGIN}?a=1", server_of(LOGIN), f"{LOGIN}?a=1"),
        ("https://login.example/x", server_of(LOGIN), ""),
    ],
)
def test_the_sign_in_page_is_recognised(
    remote: FakeRemote, location: str, server: AuthorizationServer, seen: str
) -> None:
    """The sign-in page is recognised by the provider's own address, host and path."""
    remote.on("/start", moved(location))

    assert follow(remote, server=server)[0] == seen


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
def test_an_address_like_the_dialogs_is_not_the_dialog(remote: FakeRemote, location: str) -> None:
    """Scheme, host, port and path must all match; no other host is contacted."""
    remote.on("/start", moved(location))
    for path in ("/x/dialog/oauth", "/v26.0/dialog/oauth"):
        remote.on(path, responds("a page"))

    url = ""
    with suppress(UnexpectedResponseError):
        url, _ = follow(remote)

    assert url == ""
    assert [request.url.host for request in remote.requests] == [HOST]


def test_the_port_distinguishes_systems_on_one_host(remote: FakeRemote) -> None:
    """If all systems share one host, as on loopback, the dialog matches by its port."""
    dialog = "http://127.0.0.1:8001/v26.0/dialog/oauth"
    local = "http://127.0.0.1:8002"
    remote.on("/start", moved(f"{local}/next"))
    remote.on("/next", moved(f"{dialog}?client_id=1"))
    named = AllowedRedirects((dialog, local, "http://127.0.0.1:8003"))

    url, _ = follow(remote, "http://127.0.0.1:8003/start", server_of(dialog), named)

    assert url == f"{dialog}?client_id=1"


@pytest.mark.parametrize("cookie", ["a@b=1", 'x="\\012"', "=", "sid=1; Path", 'y="\\377"'])
def test_a_malformed_cookie_is_ignored(remote: FakeRemote, cookie: str) -> None:
    """A malformed cookie does not stop the redirects."""
    remote.on("/start", moved("/next", cookie))
    remote.on("/next", responds("done"))

    assert follow(remote)[1].text == "done"


def test_cookies_go_back_to_their_own_host_only(remote: FakeRemote) -> None:
    """A cookie is sent only to the host that set it."""
    remote.on("/start", moved("https://other.example/next", "sid=1; Path=/"))
    remote.on("/next", responds("", 200))

    follow(remote)

    assert "cookie" not in remote.requests[1].headers


@pytest.mark.parametrize("location", ["javascript:history.back()", "mailto:support@cyclr.com"])
def test_a_redirect_to_another_scheme_is_an_error(remote: FakeRemote, location: str) -> None:
    """A redirect to `javascript:` or `mailto:` is an error; the exchange is recorded."""
    remote.on("/start", moved(location))
    session = open_session(remote)

    with refused(RemoteError, "not-a-web-address", code="unexpected-response"):
        follow(session)

    assert len(session.exchanges()) == 1


NOT_NAMED = wording("unexpected-response.no-setting-names")
PRIVATE_NETWORK = wording("unexpected-response.private-network")
REFUSED = {
    "another host": ("https://evil.example/x", NOT_NAMED),
    "another port": (f"https://{HOST}:8443/x", NOT_NAMED),
    "no TLS": (f"http://{HOST}/x", wording("unexpected-response.not-https")),
    "a user name": (f"https://me@{HOST}/x", wording("unexpected-response.has-user-name")),
    "loopback": ("http://127.0.0.2/x", PRIVATE_NETWORK),
    "loopback, by TLS": ("https://127.0.0.2/x", PRIVATE_NETWORK),
    "loopback, named": ("http://127.0.0.1:8002/x", PRIVATE_NETWORK),
    "a name of this machine": ("https://localhost/x", PRIVATE_NETWORK),
    "loopback, IPv6": ("https://[::1]/x", PRIVATE_NETWORK),
    "loopback, mapped": ("https://[::ffff:127.0.0.1]/x", PRIVATE_NETWORK),
    "a private network": ("https://10.1.2.3/x", PRIVATE_NETWORK),
    "the link": ("http://169.254.169.254/latest/meta-data", PRIVATE_NETWORK),
    "a public address": ("https://93.184.215.14/x", NOT_NAMED),
    "a decimal address": ("https://2130706433/x", NOT_NAMED),
    "a name that decodes to none": ("https://xn--zzzzzzzz99999/x", NOT_NAMED),
    "a longer name": (f"https://{HOST}.evil.example/x", NOT_NAMED),
    "a dot at its end": (f"https://{HOST}./x", NOT_NAMED),
    "very long": ("https://evil.example/" + "x" * 60_000, NOT_NAMED),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_redirect_to_an_unknown_host_is_not_followed(remote: FakeRemote, name: str) -> None:
    """The error names the target and the reason; nothing is sent there."""
    location, why = REFUSED[name]
    remote.on("/start", moved(location))
    session = open_session(remote)
    named = AllowedRedirects((f"https://{HOST}", DIALOG, "http://127.0.0.1:8002"))

    with refused(UnexpectedResponseError, "redirects-to") as caught:
        follow(session, named=named)

    assert why in str(caught.value)
    assert wording("advice.compare-address") in caught.value.diagnostics()
    assert "redirect_hosts" in caught.value.diagnostics()
    assert len(str(caught.value)) < 500
    assert [request.url.path for request in remote.requests] == ["/start"]
    assert len(session.exchanges()) == 1


@pytest.mark.parametrize(
    "location", ["https://login.cyclr.example/next", "https://other.example/next", "/next"]
)
def test_a_redirect_to_a_known_host_is_followed(remote: FakeRemote, location: str) -> None:
    """Redirects to the settings' hosts, to `redirect_hosts` and to the same host are followed."""
    remote.on("/start", moved(location))
    remote.on("/next", responds("done"))
    named = AllowedRedirects((f"https://{HOST}", "https://other.example"), ["login.cyclr.example"])

    assert follow(remote, named=named)[1].text == "done"


@pytest.mark.parametrize("given", ["127.0.0.1:8443", "[::1]:8443"])
def test_practice_follows_redirects_to_named_loopback_addresses(
    remote: FakeRemote, given: str
) -> None:
    """A redirect may lead to loopback if the settings name host and port; others are refused."""
    remote.on("/start", moved("http://127.0.0.1:8002/next"))
    remote.on("/next", moved("http://127.0.0.1:8003/other"))
    named = AllowedRedirects((f"https://{HOST}", "http://127.0.0.1:8002"))
    session = open_session(remote, connect_to={f"{HOST}:443": given})

    with refused(
        UnexpectedResponseError, "redirect-not-opened", target="http://127.0.0.1:8003/other"
    ):
        follow(session, named=named)

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
def test_a_redirects_target_is_shown_without_its_query(location: str, place: str) -> None:
    """The target is shown as host and path, shortened; a query may contain a code."""
    response = Response(URL, 302, httpx.Headers({"location": location}), "")

    assert redirect_target(response) == place


PRIVATE = ["127.0.0.1", "10.0.0.5", "192.168.1.1", "169.254.1.1", "100.64.0.1", "::1", "fe80::1"]


@pytest.mark.parametrize("address", PRIVATE)
def test_a_service_domain_on_a_private_network_is_refused(
    monkeypatch: pytest.MonkeyPatch, client: HTTPClient, address: str
) -> None:
    """DNS, certificate and page checks refuse a name that resolves to a private address."""
    resolve_to(monkeypatch, address)
    monkeypatch.setattr(socket, "create_connection", None)
    session = Session(client)

    for look in (resolve_name, read_certificate):
        with refused(UnexpectedResponseError, "private-address") as said:
            look(session, HOST)
        assert address in str(said.value)
        assert "service_domain_address" in said.value.diagnostics()
    with refused(UnexpectedResponseError, "private-address"):
        fetch_page(session, URL)


def test_a_private_host_that_a_setting_names_is_contacted(
    serve: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host of `private_hosts` may have a private address."""
    with serve() as session:
        address = session.client.options.connect_to[f"{HOST}:443"]
        client = HTTPClient(
            Redactor(),
            ClientOptions(
                ca_file=session.client.options.ca_file,
                private_hosts=[HOST],
            ),
        )
        resolve_to(monkeypatch, "127.0.0.1", port=int(address.rpartition(":")[2]))
        try:
            response = fetch_page(Session(client), URL)
        finally:
            client.close()

    assert response.status == 200


def test_the_checked_address_is_the_one_connected_to(
    monkeypatch: pytest.MonkeyPatch, client: HTTPClient
) -> None:
    """The connection goes to the address that was checked, even if DNS then changes (rebinding)."""
    responses = iter(["93.184.215.14", "127.0.0.1", "127.0.0.1"])
    connected: list[object] = []

    def refuse(address: object, *_: object, **__: object) -> None:
        connected.append(address)
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(
        socket, "getaddrinfo", lambda *_, **__: [(2, 1, 6, "", (next(responses), 443))]
    )
    monkeypatch.setattr(socket, "create_connection", refuse)
    with pytest.raises(RemoteError):
        fetch_page(Session(client), URL)

    assert connected == [("93.184.215.14", 443)]


@pytest.mark.parametrize("location", ["https://localhost/x", "https://10.0.0.1/"])
def test_no_private_address_is_requested_from_a_proxy(
    monkeypatch: pytest.MonkeyPatch, client: HTTPClient, location: str
) -> None:
    """A URL with a private address or `localhost` is refused before a proxy is contacted."""
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")

    with refused(UnexpectedResponseError, "private-address"):
        Session(client).send(Request(method="GET", url=location, is_public_only=True))


def test_a_silent_resolver_ends_with_the_exchange(monkeypatch: pytest.MonkeyPatch) -> None:
    """A DNS query without a response ends with the time limit of the exchange."""
    release = threading.Event()
    released = list[bool]()
    waiting: list[threading.Thread] = []

    def silent(*_: object, **__: object) -> None:
        waiting.append(threading.current_thread())
        released.append(release.wait(60))

    monkeypatch.setattr(socket, "getaddrinfo", silent)
    client = HTTPClient(
        Redactor(),
        ClientOptions(limits=Limits(exchange_seconds=1)),
        sleep=lambda _: None,
    )
    try:
        with refused(UnreachableError, "no-name-server-answered"):
            resolve_name(Session(client), HOST)
        with pytest.raises(UnreachableError):
            read_certificate(Session(client), HOST)
        with pytest.raises(UnreachableError):
            fetch_page(Session(client), URL)
    finally:
        release.set()
        client.close()

    for thread in waiting:
        thread.join()
    assert released == [True] * 3, "a query was waited for"
    assert all(thread.daemon for thread in waiting)  # otherwise the program would wait for them


def test_odd_cookies_are_not_sent_back(remote: FakeRemote) -> None:
    """Cookies that are not ASCII or too long are not sent back; the redirects go on."""
    cookies = [(b"set-cookie", each.encode()) for each in ("é=1", 'a="é"', "b=1")]
    headers = [(b"location", b"/next"), *cookies]
    remote.on("/start", lambda _: httpx.Response(302, headers=headers))
    remote.on("/next", moved("/last", "c=" + "x" * 9000))
    remote.on("/last", moved("/end", *(f"{name}={'x' * 4_000}" for name in "def")))
    remote.on("/end", responds("done"))

    assert follow(remote)[1].text == "done"
    assert remote.requests[1].headers["cookie"] == "b=1"
    lengths = [len(request.headers.get("cookie", "")) for request in remote.requests[2:]]
    assert max(lengths) < 9_000, "one that is too long, then several together"
