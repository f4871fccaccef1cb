"""
The one maker of HTTP requests: time-outs, retries, usage limits, records, redaction.

No other module opens a connection. What an answer means is decided by the
clients above (`graph`, `oauth`, `cyclr`, `domain`).
"""

from __future__ import annotations

import contextlib
import json
import logging
import random
import re
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import httpx

from runbook_lib.errors import (
    RemoteError,
    ThrottledError,
    UnexpectedAnswerError,
    UnreachableError,
)
from runbook_lib.journal import timestamp, utc_now
from runbook_lib.procedure import Exchange
from runbook_lib.redaction import RedactingFilter, Redactor, Secret
from runbook_lib.remote.documents import parse_json
from runbook_lib.remote.usage import usage_pause

__all__ = ["Answer", "Request", "Session", "Transport"]

_TIMEOUT = httpx.Timeout(15.0, connect=5.0)
_ATTEMPTS = 3
_BACKOFF_SECONDS = 0.25
# Once a host could not be reached, others need not wait for it again so soon.
_DOWN_SECONDS = 30.0
_SERVER_ERRORS = (500, 502, 503, 504)
_LONGEST_BODY = 8_192
# Icons, say: nothing that a check looks at.
_EMBEDDED_FILE = re.compile(r"(data:[a-z]+/[a-z0-9.+-]+;base64,)[A-Za-z0-9+/=]{32,}")
_KEPT_HEADERS = (
    "content-type",
    "facebook-api-version",
    "location",
    "retry-after",
    "www-authenticate",
    "x-ad-account-usage",
    "x-ad-api-version-warning",
    "x-app-usage",
    "x-business-use-case-usage",
    "x-fb-rev",
    "x-fb-trace-id",
    "x-fb-request-id",
)
_LOGGERS = ("httpx", "httpcore.connection", "httpcore.http11", "httpcore.proxy", "httpcore.socks")


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: `status`, case-insensitive `headers`, `content` also decoded as `text`."""

    url: str
    status: int
    headers: httpx.Headers
    text: str
    content: bytes = b""

    def document(self) -> Any:
        """
        Return the body as a JSON document.

        Raises `UnexpectedAnswerError` where it is not JSON (RFC 8259, which
        has no NaN).
        """
        try:
            return parse_json(self.text)
        except (ValueError, RecursionError) as error:
            host = httpx.URL(self.url).host
            msg = f"{host} answered {self.status} with something that is not JSON."
            raise UnexpectedAnswerError(msg) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to send: at most one of `form` (urlencoded), `document` (JSON) and raw `content`."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    form: Mapping[str, str] | None = None
    document: Any = None
    content: bytes | None = None

    @property
    def host(self) -> str:
        """Return the host name that the URL names."""
        return httpx.URL(self.url).host


@dataclass(slots=True)
class _Sent:
    """An exchange before redaction: tokens in it may be learned only after it ended."""

    request: Request
    sent_on: str
    elapsed: float = 0.0
    answer: Answer | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class _Silence:
    """A host that is not asked again until `until` (monotonic seconds), and the error to raise."""

    until: float
    error: RemoteError


class Transport:
    """
    A pool of connections for one run; `session()` gives each check its own record.

    `connect_to` maps `host:port` to another address, as curl's option does;
    `ca_file` adds a certificate authority. `wire`, `sleep` and `clock` are
    replaced in tests.
    """

    def __init__(
        self,
        redactor: Redactor,
        *,
        connect_to: Mapping[str, str] | None = None,
        ca_file: str = "",
        wire: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.redactor = redactor
        self.connect_to = dict(connect_to or {})
        self.ca_file = ca_file
        self.sleep = sleep
        self._clock = clock
        self._lock = threading.Lock()
        self._silences: dict[str, _Silence] = {}
        self._client = httpx.Client(
            transport=wire,
            verify=self.tls_context(),
            timeout=_TIMEOUT,
            follow_redirects=False,
            # NOTE: a proxy from the environment must not be asked for loopback addresses.
            mounts=None if wire else {"all://127.0.0.1": None, "all://localhost": None},
            headers={"user-agent": "facebook-marketing-runbook"},
        )
        self._client.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=()))
        for name in _LOGGERS:
            logging.getLogger(name).addFilter(RedactingFilter(redactor))

    def tls_context(self) -> ssl.SSLContext:
        """Return a context that verifies against the usual authorities and `ca_file`."""
        context = httpx.create_ssl_context()
        if self.ca_file:
            context.load_verify_locations(self.ca_file)
        return context

    def session(self) -> Session:
        """Return a session that records what is sent through it."""
        return Session(self)

    def close(self) -> None:
        """Close every connection."""
        self._client.close()

    def exchange(self, request: Request) -> Answer:
        """
        Send `request` once and return the answer, whatever its status.

        Raises `UnreachableError` where none came.
        """
        try:
            response = self._client.send(self._built(request))
        except (httpx.TransportError, httpx.DecodingError) as error:
            msg = f"{request.host} could not be reached: {_plainly(error)}."
            raise UnreachableError(msg) from error
        except httpx.InvalidURL as error:
            # NOTE: httpx looks at a redirect's address even where it is not to be followed.
            msg = f"{request.host} redirects to something that is no web address."
            raise UnexpectedAnswerError(msg) from error
        self._heed_usage(request.host, response.headers)
        # NOTE: JSON is UTF-8 (RFC 8259 §8.1), whatever the header says; it may name a codec of
        # Python's that decodes no text.
        text = response.content.decode("utf-8", "replace")
        return Answer(request.url, response.status_code, response.headers, text, response.content)

    def refuse_silenced(self, host: str) -> None:
        """Raise what `silence` was told for `host`, while it holds."""
        silence = self._silences.get(host)
        if silence is not None and self._clock() < silence.until:
            raise silence.error

    def silence(self, host: str, seconds: float, error: RemoteError) -> None:
        """Raise `error` instead of asking `host` for the next `seconds`."""
        with self._lock:
            self._silences[host] = _Silence(self._clock() + seconds, error)

    def give_up(self, host: str, error: RemoteError) -> None:
        """Spare later checks the wait for a host that did not answer after all attempts."""
        self.silence(host, _DOWN_SECONDS, error)

    def _built(self, request: Request) -> httpx.Request:
        url = httpx.URL(request.url)
        headers, extensions = dict(request.headers), {}
        address = self.connect_to.get(f"{url.host}:{url.port or 443}")
        if address is not None:
            headers["host"] = url.host
            extensions["sni_hostname"] = url.host
            host, _, port = address.rpartition(":")
            url = url.copy_with(host=host, port=int(port))
        return self._client.build_request(
            request.method,
            url,
            headers=headers,
            data=None if request.form is None else dict(request.form),
            json=request.document,
            content=request.content,
            extensions=extensions,
        )

    def _heed_usage(self, host: str, headers: httpx.Headers) -> None:
        seconds, limit = usage_pause(headers)
        if seconds:
            minutes = max(1, round(seconds / 60))
            msg = f"{host} reports its {limit} as used up: wait about {minutes} min."
            self.silence(host, seconds, ThrottledError(msg))


class Session:
    """What one check sends; `exchanges()` is its redacted record."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self._sent: list[_Sent] = []
        self._notes: list[Exchange] = []

    @property
    def redactor(self) -> Redactor:
        """Return the redactor, for clients that learn a token."""
        return self.transport.redactor

    def send(
        self,
        request: Request,
        *,
        is_repeatable: bool | None = None,
        is_transient: Callable[[Answer], bool] = lambda _: False,
    ) -> Answer:
        """
        Send `request` and return the answer, whatever its status.

        What is safe to repeat (a GET, or what the caller says is) is sent up
        to three times when no answer, a server error or a transient error
        comes back. Raises `UnreachableError` or `ThrottledError`.
        """
        may_repeat = request.method == "GET" if is_repeatable is None else is_repeatable
        last = _ATTEMPTS if may_repeat else 1
        for attempt in range(1, last):
            self._refuse_silenced(request)
            with contextlib.suppress(UnreachableError):
                answer = self._send_once(request)
                if not (answer.status in _SERVER_ERRORS or is_transient(answer)):
                    return answer
            self.transport.sleep(_pause(attempt))
        self._refuse_silenced(request)
        try:
            return self._send_once(request)
        except UnreachableError as error:
            self.transport.give_up(request.host, error)
            raise

    def take_token(
        self, value: object, *, endpoint: str, is_token: Callable[[str], bool]
    ) -> Secret:
        """
        Return a token that `endpoint` issued; from now on it is masked wherever it stands.

        Raises `UnexpectedAnswerError` where `value` has no token's form: masking a
        word that a remote system chose would spoil the record, and using it proves nothing.
        """
        if not isinstance(value, str) or not is_token(value) or self.redactor.is_shown(value):
            msg = f"{endpoint} answered without a token: what it calls one has not the form of one."
            raise UnexpectedAnswerError(msg)
        token = Secret(value)
        self.redactor.learn(token)
        return token

    def note(self, exchange: Exchange) -> None:
        """Add what was learned below HTTP (name resolution, TLS) to the record."""
        self._notes.append(exchange)

    def exchanges(self) -> tuple[Exchange, ...]:
        """Return all that was sent so far, redacted with all that is known by now."""
        return (*self._notes, *(self._record(sent) for sent in self._sent))

    def _refuse_silenced(self, request: Request) -> None:
        """Raise, and put on record, that the host is not asked for now."""
        try:
            self.transport.refuse_silenced(request.host)
        except RemoteError as error:
            self._sent.append(_Sent(request, timestamp(utc_now()), error=f"not sent: {error}"))
            raise

    def _send_once(self, request: Request) -> Answer:
        sent = _Sent(request, timestamp(utc_now()))
        self._sent.append(sent)
        began = time.perf_counter()
        try:
            sent.answer = self.transport.exchange(request)
        except RemoteError as error:
            sent.error = str(error)
            raise
        finally:
            sent.elapsed = round(time.perf_counter() - began, 3)
        return sent.answer

    def _record(self, sent: _Sent) -> Exchange:
        redactor, answer = self.redactor, sent.answer
        sent_body = sent.request.form if sent.request.form is not None else sent.request.document
        return Exchange(
            method=sent.request.method,
            url=_redacted_url(sent.request.url, redactor),
            sent_on=sent.sent_on,
            elapsed=sent.elapsed,
            status=answer.status if answer else None,
            request=redactor.redact_document(sent_body),
            headers=_kept_headers(answer, redactor) if answer else {},
            response=_recorded_body(answer.text, redactor) if answer else None,
            error=redactor.redact(sent.error),
        )


def _pause(attempt: int) -> float:
    """Return seconds to wait: exponential, with full jitter so that many tenants spread out."""
    return random.uniform(0.5, 1.0) * _BACKOFF_SECONDS * float(2**attempt)  # noqa: S311


def _redacted_url(url: str, redactor: Redactor) -> str:
    try:
        parts = httpx.URL(url)
        fields = redactor.redact_document(dict(parts.params))
        bare = str(parts.copy_with(query=None))
    except httpx.InvalidURL:
        return redactor.redact(url)
    query = "&".join(f"{name}={value}" for name, value in fields.items())
    return redactor.redact(bare) + (f"?{query}" if query else "")


def _kept_headers(answer: Answer, redactor: Redactor) -> dict[str, str]:
    headers = {name: answer.headers[name] for name in _KEPT_HEADERS if name in answer.headers}
    if "location" in headers:
        headers["location"] = _redacted_url(headers["location"], redactor)
    return {name: redactor.redact(value) for name, value in headers.items()}


def _recorded_body(text: str, redactor: Redactor) -> Any:
    text = _EMBEDDED_FILE.sub(r"\1…", text)
    try:
        body = redactor.redact_document(parse_json(text))
    except (ValueError, RecursionError):
        body = redactor.redact(text)
    shown = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)
    if len(shown) <= _LONGEST_BODY:
        return body
    return f"{shown[:_LONGEST_BODY]}… ({len(shown)} characters in all)"


def _plainly(error: Exception) -> str:
    """Return why no answer came, in the operator's words."""
    text = str(error)
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return f"its TLS certificate is not trusted ({text.rpartition(': ')[2]})"
    if isinstance(error, httpx.ConnectTimeout):
        return f"no connection within {_TIMEOUT.connect:.0f} s"
    if isinstance(error, httpx.TimeoutException):
        return f"no answer within {_TIMEOUT.read:.0f} s"
    if isinstance(error, httpx.ConnectError):
        is_name = "Name or service not known" in text or "name resolution" in text
        return "its name does not resolve" if is_name else f"the connection failed ({text})"
    return f"the connection broke off ({type(error).__name__})"
