"""
The service domain as the internet sees it: name, certificate, pages and redirects.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import urljoin

from runbook_lib.core.clock import timestamp, utc_now
from runbook_lib.core.model import Exchange
from runbook_lib.errors import (
    InvalidCertificateError,
    UnexpectedResponseError,
    UnreachableError,
    reason_of,
)
from runbook_lib.remote.addresses import (
    NetworkScope,
    find_addresses,
    host_of,
    may_be_public,
    open_connection,
    origin_of,
    require_public,
)
from runbook_lib.remote.check_session import Session
from runbook_lib.remote.http_library import httpx
from runbook_lib.remote.http_messages import Request, Response, unexpected_response
from runbook_lib.remote.oauth import AuthorizationServer
from runbook_lib.remote.quoting import shorten

# Browsers follow a Location with these statuses only (RFC 9110 §15.4).
REDIRECTS = (301, 302, 303, 307, 308)
_HTTPS = 443
_SCHEMES = ("http", "https")
_TLS_TIMEOUT_SECONDS = 5.0
_MAX_REDIRECTS = 6
_MAX_COOKIES_LENGTH = 8_192
_MAX_ADDRESS_LENGTH = 150
# NOTE: X509_V_ERR_CERT_HAS_EXPIRED and X509_V_ERR_HOSTNAME_MISMATCH (OpenSSL). This machine may
# cause other errors: a proxy, or an authority that it does not know.
_INVALID_CODES = (10, 62)


@dataclass(frozen=True, slots=True)
class Certificate:
    """The verified certificate that a server presented in the TLS handshake."""

    issuer: str
    expires_on: datetime


class AllowedRedirects:
    """
    The allowed targets of a redirect: the addresses in settings, and their hosts over https.

    `hosts` are further host names. Checks send nothing to other targets.
    """

    def __init__(self, addresses: Iterable[str], hosts: Iterable[str] = ()) -> None:
        self._origins = {origin_of(_web_address(address)) for address in addresses if address}
        self._hosts = frozenset(hosts) | {host for _, host, _ in self._origins}

    def refusal_reason(self, target: httpx.URL, *, from_public: bool) -> str:
        """Return the reason not to follow a redirect to `target`, empty if it is allowed."""
        if target.userinfo:
            return "its address contains a user name"
        if from_public and not may_be_public(host_of(target)):
            return "it is on this machine or a private network"
        if origin_of(target) in self._origins:
            return ""
        if target.scheme != "https":
            return "it is not https"
        if host_of(target) not in self._hosts or _port(target) != _HTTPS:
            return "no setting names that host and port"
        return ""


def resolve_name(session: Session, host: str) -> tuple[str, ...]:
    """
    Return the addresses of `host`.

    Raises `UnreachableError` if the name does not resolve, `UnexpectedResponseError` if it has no
    public address and no setting gives another one, and `OutsidePracticeError` if practice would
    leave this machine.
    """
    began = time.perf_counter()
    sent_on = timestamp(utc_now())
    override = session.client.options.connect_to.get(f"{host}:{_HTTPS}")
    addresses: tuple[str, ...] = (override or "",)
    error = ""
    is_silent = False
    reach = session.client.options.reach
    if override and reach is NetworkScope.LOOPBACK:
        name, _, port = override.rpartition(":")
        find_addresses(name, int(port), session.deadline(), reach=reach)
    if not override:
        try:
            addresses = tuple(find_addresses(host, _HTTPS, session.deadline(), reach=reach))
        except OSError as failure:
            # NOTE: without a response nothing is known about the name.
            is_silent = isinstance(failure, TimeoutError)
            why = "no name server answered" if is_silent else "the name does not resolve"
            addresses = ()
            error = f"{type(failure).__name__}: {why}"
    session.note(
        Exchange(
            method="DNS",
            url=host,
            sent_on=sent_on,
            elapsed=round(time.perf_counter() - began, 3),
            response={"addresses": list(addresses), "overridden": bool(override)},
            error=error,
        )
    )
    if error:
        why = "no name server answered" if is_silent else "no name server knows it"
        raise UnreachableError(
            f"{host} does not resolve: {why}.",
            next_step="Check the spelling of the Service Domain.",
        )
    if session.client.is_public_only(host, _HTTPS):
        require_public(host, list(addresses))
    return addresses


def read_certificate(session: Session, host: str) -> Certificate:
    """
    Return the certificate that `host` presents on port 443, verified for that name.

    Raises `InvalidCertificateError` if it has expired or names another host, `UnreachableError`
    if there is no connection or it is not trusted, `UnexpectedResponseError` if it has no end,
    or the address is not public and no setting gives another one, and `OutsidePracticeError` if
    practice would leave this machine.
    """
    import ssl  # noqa: PLC0415  (slow to import; `status` reads no certificate)

    began = time.perf_counter()
    sent_on = timestamp(utc_now())
    override = session.client.options.connect_to.get(f"{host}:{_HTTPS}")
    certificate = None
    error = ""
    kind = UnreachableError
    try:
        deadline = session.deadline().within(2 * _TLS_TIMEOUT_SECONDS)
        name, _, port = (override or f"{host}:{_HTTPS}").rpartition(":")
        is_public_only = session.client.is_public_only(host, _HTTPS)
        addresses = find_addresses(
            name,
            int(port),
            deadline,
            is_public_only=is_public_only,
            reach=session.client.options.reach,
        )
        with open_connection(addresses, int(port), deadline) as plain:
            # NOTE: the time-out is for the whole handshake, not for each read (CPython: _ssl).
            plain.settimeout(max(0.01, min(_TLS_TIMEOUT_SECONDS, deadline.seconds_left)))
            context = session.client.tls_context()
            with context.wrap_socket(plain, server_hostname=host) as secure:
                certificate = _certificate(secure.getpeercert() or {}, host)
    except ssl.SSLCertVerificationError as failure:
        error = f"its TLS certificate is not trusted ({failure.verify_message})"
        kind = (
            InvalidCertificateError if failure.verify_code in _INVALID_CODES else UnreachableError
        )
    except OSError as failure:
        error = f"no TLS connection ({reason_of(failure)})"
    session.note(
        Exchange(
            method="TLS",
            url=f"{host}:{_HTTPS}",
            sent_on=sent_on,
            elapsed=round(time.perf_counter() - began, 3),
            response=certificate
            and {"issuer": certificate.issuer, "expires_on": timestamp(certificate.expires_on)},
            error=error,
        )
    )
    if certificate is None:
        raise kind(f"{host} could not be reached: {error}.")
    return certificate


def fetch_page(session: Session, url: str) -> Response:
    """Return the response to a plain GET of `url`, whatever its status."""
    is_public_only = _is_public_only(session, _web_address(url))
    return session.get(Request(method="GET", url=url, is_public_only=is_public_only))


def follow_to_sign_in(
    session: Session, url: str, server: AuthorizationServer, destinations: AllowedRedirects
) -> tuple[str, Response]:
    """
    Follow redirects from `url` to the sign-in page, without requesting that page.

    The sign-in page is the authorization endpoint of `server`, by its scheme, host, port and
    path. Return its URL (empty if it was not found) and the last response. A redirect to another
    page of its host ends the search too. Each host gets only its own cookies back. No request is
    repeated, since `url` may contain a single-use token. Raises `UnexpectedResponseError` for a
    redirect that `destinations` do not allow.
    """
    page = _web_address(server.authorization_endpoint)
    current = _web_address(url)
    cookies: dict[str, SimpleCookie] = {}
    for _ in range(_MAX_REDIRECTS):
        jar = cookies.setdefault(current.netloc.decode(), SimpleCookie())
        pairs = _cookie_header(jar)
        is_public_only = _is_public_only(session, current)
        request = Request(
            method="GET",
            url=url,
            headers={"cookie": pairs} if pairs else {},
            is_public_only=is_public_only,
        )
        response = session.send(request, is_repeatable=False)
        for cookie in response.headers.get_list("set-cookie"):
            # NOTE: a browser ignores a cookie that it cannot read (RFC 6265 §5.2).
            with contextlib.suppress(CookieError):
                jar.load(cookie[:_MAX_COOKIES_LENGTH])
        location = response.headers.get("location", "")
        if response.status not in REDIRECTS or not location:
            return "", response
        target = _web_address(location, url)
        is_same_place = origin_of(target) == origin_of(page) and not target.userinfo
        if is_same_place and server.stable_path(target.path) == server.stable_path(page.path):
            return str(target), response
        is_same_server = target.port == page.port or target.scheme != page.scheme
        if host_of(target) == host_of(page) and is_same_server:
            return "", response
        why = destinations.refusal_reason(target, from_public=_is_public(session, current))
        if why:
            place = f"{target.scheme}://{target.netloc.decode()}{target.path}"
            raise UnexpectedResponseError(
                f"{host_of(current)} redirects to {shorten(place, _MAX_ADDRESS_LENGTH)}, which the "
                f"runbook did not open: {why}.",
                next_step="Compare that address with your Cyclr console. If it is a host of your "
                "Cyclr, add it to redirect_hosts.",
            )
        url = str(target)
        current = target
    return "", response


def _is_public_only(session: Session, address: httpx.URL) -> bool:
    """Return whether only public addresses are allowed; a literal private one is exempt."""
    host = host_of(address)
    return may_be_public(host) and session.client.is_public_only(host, _port(address))


def _is_public(session: Session, address: httpx.URL) -> bool:
    """Return whether a response from `address` comes from the public internet."""
    override = session.client.options.connect_to.get(f"{host_of(address)}:{_port(address)}")
    if override is not None:
        return may_be_public(override.rpartition(":")[0])
    return _is_public_only(session, address)


def redirect_target(response: Response) -> str:
    """Return host and path of the redirect in `response`, empty without one."""
    try:
        target = _web_address(response.headers.get("location", ""), response.url)
    except UnexpectedResponseError:
        return ""
    return shorten(target.netloc.decode() + target.path, _MAX_ADDRESS_LENGTH)


def _cookie_header(jar: SimpleCookie) -> str:
    """Return the `Cookie` header of `jar`, without cookies that a header cannot contain."""
    pairs = [f"{name}={morsel.coded_value}" for name, morsel in jar.items()]
    sendable = [pair for pair in pairs if pair.isascii() and pair.isprintable()]
    header = "; ".join(sendable)
    return header if len(header) <= _MAX_COOKIES_LENGTH else ""


def _web_address(url: str, base: str = "") -> httpx.URL:
    """Return an absolute web address with host and port normalised by httpx."""
    try:
        address = httpx.URL(urljoin(base, url))
    except (httpx.InvalidURL, ValueError):
        address = httpx.URL("")
    if address.scheme not in _SCHEMES or not host_of(address):
        raise UnexpectedResponseError("A redirect leads to something that is not a web address.")
    return address


def _port(address: httpx.URL) -> int:
    return origin_of(address)[2]


def _certificate(peer: Mapping[str, Any], host: str) -> Certificate:
    import ssl  # noqa: PLC0415  (as above)

    issuer = {key: value for part in peer.get("issuer", ()) for key, value in part}
    try:
        expires = ssl.cert_time_to_seconds(str(peer.get("notAfter", "")))
        ends = datetime.fromtimestamp(expires, UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise unexpected_response(host, "the end of its TLS certificate is not a time") from error
    name = str(issuer.get("organizationName") or issuer.get("commonName") or "unknown")
    return Certificate(issuer=shorten(name), expires_on=ends)
