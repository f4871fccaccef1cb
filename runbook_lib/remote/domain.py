"""
The service domain as the internet sees it: name, certificate, pages.

Nothing here knows what Cyclr serves there; `checks` does.
"""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import urljoin

import httpx

from runbook_lib.errors import UnexpectedAnswerError, UnreachableError
from runbook_lib.journal import timestamp, utc_now
from runbook_lib.procedure import Exchange
from runbook_lib.remote.transport import Answer, Request, Session

__all__ = ["Certificate", "fetch_page", "follow_to_dialog", "read_certificate", "resolve_name"]

_HTTPS = 443
_PORTS = {"http": 80, "https": _HTTPS}
_SECONDS = 5.0
_MOST_HOPS = 6
# With or without the Graph version (Facebook Login: manual flow).
_DIALOG_PATH = re.compile(r"(/v[0-9]+\.[0-9]+)?/dialog/oauth")


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a server showed in the TLS handshake, after it was verified."""

    issuer: str
    expires_on: datetime


def resolve_name(session: Session, host: str) -> tuple[str, ...]:
    """
    Return the addresses of `host`.

    Raises `UnreachableError` where the name does not resolve.
    """
    began, sent_on = time.perf_counter(), timestamp(utc_now())
    override = session.transport.connect_to.get(f"{host}:{_HTTPS}")
    try:
        found = socket.getaddrinfo(host, _HTTPS, type=socket.SOCK_STREAM) if not override else []
        addresses = tuple(dict.fromkeys(str(entry[4][0]) for entry in found)) or (str(override),)
        error = ""
    except (OSError, UnicodeError) as failure:
        addresses, error = (), f"{type(failure).__name__}: the name does not resolve"
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
        msg = f"{host} does not resolve: no name server knows it."
        raise UnreachableError(msg, next_step="Check the spelling of the Service Domain.")
    return addresses


def read_certificate(session: Session, host: str) -> Certificate:
    """
    Return the certificate that `host` shows on port 443, verified for that name.

    Raises `UnreachableError` where there is no connection or the
    certificate is not trusted.
    """
    began, sent_on = time.perf_counter(), timestamp(utc_now())
    override = session.transport.connect_to.get(f"{host}:{_HTTPS}", f"{host}:{_HTTPS}")
    name, _, port = override.rpartition(":")
    certificate, error = None, ""
    try:
        with (
            socket.create_connection((name, int(port)), timeout=_SECONDS) as plain,
            session.transport.tls_context().wrap_socket(plain, server_hostname=host) as secure,
        ):
            certificate = _certificate(secure.getpeercert() or {})
    except ssl.SSLCertVerificationError as failure:
        error = f"its TLS certificate is not trusted ({failure.verify_message})"
    except OSError as failure:
        error = f"no TLS connection ({failure.strerror or type(failure).__name__})"
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
        msg = f"{host} could not be reached: {error}."
        raise UnreachableError(msg)
    return certificate


def fetch_page(session: Session, url: str) -> Answer:
    """Return what `url` answers to a plain GET, whatever its status."""
    return session.send(Request(method="GET", url=url))


def follow_to_dialog(session: Session, url: str, dialog: str) -> tuple[str, Answer]:
    """
    Follow redirects from `url` until one leads to the OAuth dialog, which is not asked.

    An address is the dialog's where scheme, host and port are those of
    `dialog` and the path is `/dialog/oauth`, in any Graph version. Returns it,
    or an empty one with the answer at which the trail ended; a redirect to
    another page of the dialog's host ends it too. Each host gets its own
    cookies back and no other's. Nothing is repeated: the first address may
    hold a single-use token. Raises `UnexpectedAnswerError` for a redirect to
    what is no web address.
    """
    wanted = _web_address(dialog)
    cookies: dict[str, SimpleCookie] = {}
    for _ in range(_MOST_HOPS):
        jar = cookies.setdefault(_web_address(url).netloc.decode(), SimpleCookie())
        pairs = "; ".join(f"{name}={morsel.coded_value}" for name, morsel in jar.items())
        headers = {"cookie": pairs} if pairs else {}
        request = Request(method="GET", url=url, headers=headers)
        answer = session.send(request, is_repeatable=False)
        _keep_cookies(jar, answer)
        location = answer.headers.get("location", "")
        if not location:
            return "", answer
        target = _web_address(location, url)
        url = str(target)
        if _is_dialog(target, wanted):
            return url, answer
        if target.host == wanted.host and _reaches(target, wanted):
            return "", answer
    return "", answer


def _keep_cookies(jar: SimpleCookie, answer: Answer) -> None:
    for cookie in answer.headers.get_list("set-cookie"):
        # NOTE: a browser drops a cookie that it cannot read, and goes on (RFC 6265 §5.2).
        with contextlib.suppress(CookieError):
            jar.load(cookie)


def _web_address(url: str, base: str = "") -> httpx.URL:
    """Return an absolute web address; httpx spells host and port in one way."""
    try:
        address = httpx.URL(urljoin(base, url))
    except (httpx.InvalidURL, ValueError):
        address = httpx.URL("")
    if address.scheme not in _PORTS or not address.host:
        msg = "A redirect leads to something that is no web address."
        raise UnexpectedAnswerError(msg)
    return address


def _is_dialog(target: httpx.URL, wanted: httpx.URL) -> bool:
    origin = (wanted.scheme, wanted.host, wanted.port)
    is_same = (target.scheme, target.host, target.port) == origin and not target.userinfo
    return is_same and _DIALOG_PATH.fullmatch(target.path) is not None


def _reaches(target: httpx.URL, wanted: httpx.URL) -> bool:
    """Return whether a request there would ask the dialog's own server."""
    return target.port == wanted.port or target.scheme != wanted.scheme


def _certificate(peer: Mapping[str, Any]) -> Certificate:
    issuer = {key: value for part in peer.get("issuer", ()) for key, value in part}
    expires = ssl.cert_time_to_seconds(str(peer["notAfter"]))
    return Certificate(
        issuer=str(issuer.get("organizationName") or issuer.get("commonName") or "unknown"),
        expires_on=datetime.fromtimestamp(expires, UTC),
    )
