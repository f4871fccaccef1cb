"""
The requests of one check: retries, cool-downs, the cache of a run's responses, and the record.

The clients (`oauth`, `cyclr`, `domain`, those of providers) interpret the responses.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial

from runbook_lib.core.clock import timestamp, utc_now
from runbook_lib.core.model import Exchange
from runbook_lib.core.redaction import Redactor, Secret
from runbook_lib.errors import (
    RemoteError,
    ResponseTimeoutError,
    StaleResponseError,
    ThrottledError,
    UnexpectedResponseError,
    UnreachableError,
)
from runbook_lib.remote.client import HTTPClient
from runbook_lib.remote.http_messages import Request, Response
from runbook_lib.remote.limits import Deadline
from runbook_lib.remote.quoting import shorten
from runbook_lib.remote.rate_limits import retry_after
from runbook_lib.remote.recording import RecordedExchange, UnredactedExchange, redacted_exchange
from runbook_lib.remote.response_cache import ResponseCache
from runbook_lib.remote.retries import SERVER_ERRORS, TOO_MANY_REQUESTS

# A check waits for a cool-down up to this long; a longer one ends it.
_MAX_WAIT_SECONDS = 10.0
# A response that a cache has stored for longer does not count as the remote system's.
_MAX_AGE_SECONDS = 300
_DELTA_SECONDS = re.compile(r"[0-9]{1,10}")
# The wait after a 429 without Retry-After (RFC 6585 §4).
_DEFAULT_WAIT_SECONDS = 60.0

# Receives the exchanges of a session so far.
OnExchanges = Callable[[tuple[RecordedExchange, ...]], object]


@dataclass(frozen=True, slots=True)
class _SharedResponse:
    """A response that concurrent and later callers share, or the error in its place."""

    exchanges: tuple[RecordedExchange, ...]
    """The exchanges that led to it; each caller's session records them."""

    future: Future[Response]
    """The response, or the `RemoteError`; already done."""

    is_fault: bool
    """Whether the remote system failed to decide, so that a later request may succeed."""


class Session:
    """
    Sends the requests of one check; `exchanges()` returns their redacted record.

    `get` sends each equal request once for all sessions with the same `cache`; `send` always
    sends. `on_exchanges` receives the exchanges so far before each further request, and at the
    end (`flush`). A session serves one thread; `branch` returns one for another thread.
    """

    def __init__(
        self,
        client: HTTPClient,
        cache: ResponseCache | None = None,
        *,
        on_exchanges: OnExchanges = lambda _: None,
    ) -> None:
        self.client = client
        self.cache = cache or ResponseCache()
        self._on_exchanges = on_exchanges
        self._recorded: list[RecordedExchange | Session] = []
        self._last_response_url = ""
        self._step_deadline: Deadline | None = None
        self._bypasses_cache = False

    @property
    def redactor(self) -> Redactor:
        """The redactor, for clients that learn a token."""
        return self.client.redactor

    def set_step_deadline(self, deadline: Deadline) -> None:
        """Send nothing after `deadline`, the end of the step."""
        self._step_deadline = deadline

    def deadline(self) -> Deadline:
        """Return the deadline of an exchange that starts now."""
        seconds = self.client.options.limits.exchange_seconds
        if self._step_deadline is None:
            return Deadline(seconds, self.client.clock)
        return self._step_deadline.within(seconds)

    def branch(self, *, once_more: bool = False) -> Session:
        """
        Return a session for another thread.

        The record lists its exchanges at this point. `once_more=True` bypasses the cache once.
        """
        self.flush()
        branch = Session(self.client, self.cache, on_exchanges=self._on_exchanges)
        branch._step_deadline = self._step_deadline
        branch._bypasses_cache = once_more or self._bypasses_cache
        self._recorded.append(branch)
        return branch

    def get(
        self, request: Request, *, is_transient: Callable[[Response], bool] = lambda _: False
    ) -> Response:
        """
        Send a read-only request, unless the cache has its response.

        Concurrent callers of the same request share one response. The cache stores refusals, but
        no server errors and no failures. Each caller's session records the exchange. Raises the
        errors of `send`.
        """
        self.flush()

        def send() -> _SharedResponse:
            first = Session(self.client, self.cache)
            first._step_deadline = self._step_deadline
            future: Future[Response] = Future()
            is_fault = True
            try:
                response = first.send(request, is_repeatable=True, is_transient=is_transient)
            except RemoteError as error:
                future.set_exception(error)
            else:
                future.set_result(response)
                is_fault = response.status in SERVER_ERRORS or is_transient(response)
            return _SharedResponse(first.recorded_exchanges(), future, is_fault)

        seconds = self._step_deadline.seconds_left if self._step_deadline else None
        try:
            shared = self.cache.get_or_fetch(
                (self._bypasses_cache, _cache_key(request)),
                send,
                is_cacheable=lambda shared: not shared.is_fault,
                seconds=seconds,
            )
        except TimeoutError:
            raise self._step_timeout_error(request) from None
        self._recorded += shared.exchanges
        response = shared.future.result()
        self._last_response_url = response.url
        return response

    def send(
        self,
        request: Request,
        *,
        is_repeatable: bool | None = None,
        is_transient: Callable[[Response], bool] = lambda _: False,
    ) -> Response:
        """
        Send `request` and return the response, whatever its status except 429.

        A repeatable request (a GET, or as `is_repeatable` says) is sent up to three times while
        the step has time: after a missing response, a server error or a transient error. The
        session waits for a short cool-down. Raises `UnreachableError`, `ThrottledError` for a
        long cool-down, `StaleResponseError`, or `UnexpectedResponseError`.
        """
        self.flush()
        policy = self.client.options.retry_policy
        may_repeat = request.method == "GET" if is_repeatable is None else is_repeatable
        attempts = policy.attempts if may_repeat else 1
        attempt = 0
        while True:
            attempt += 1
            pause = policy.pause(attempt)
            try:
                response, wait = self._send_in_slot(request, is_transient)
            except UnreachableError as error:
                if self.client.open_circuit(request):
                    raise
                is_slow = isinstance(error, ResponseTimeoutError)
                if is_slow or attempt == attempts or not self._has_time(pause):
                    self.client.trip(request, error)
                    raise
            else:
                is_temporary = response.status in (TOO_MANY_REQUESTS, *SERVER_ERRORS)
                if not (is_temporary or is_transient(response)):
                    return response
                if attempt == attempts or not self._has_time(max(pause, wait)):
                    return self._last_response(request, response)
                pause = 0.0 if wait else pause
            if pause:
                self.client.sleep(pause)

    def take_token(
        self, value: object, *, endpoint: str, is_token: Callable[[str], bool]
    ) -> Secret:
        """
        Return a token that `endpoint` issued, and mask it everywhere from now on.

        Raises `UnexpectedResponseError` if `value` does not look like a token: a masked ordinary
        word would spoil the record.
        """
        if not isinstance(value, str) or not is_token(value) or self.redactor.is_shown(value):
            raise UnexpectedResponseError(
                f"{endpoint} answered without a token: its value does not look like one."
            )
        token = Secret(value)
        # NOTE: it belongs to the host of the last response, whatever `endpoint` is named.
        credential = self.client.secret_guard.issued_credential(
            self._last_response_url, f"a token that {endpoint} issued"
        )
        self.redactor.learn(token, credential)
        return token

    def note(self, exchange: Exchange) -> None:
        """Add an exchange below HTTP (name resolution, TLS) to the record."""
        self._recorded.append(RecordedExchange(lambda: exchange))

    def flush(self) -> None:
        """Hand over the exchanges so far; the redactor knows the tokens that they issued."""
        self._on_exchanges(self.recorded_exchanges())

    def recorded_exchanges(self) -> tuple[RecordedExchange, ...]:
        """Return all exchanges so far in the order of their requests, each once."""
        parts = (
            part.recorded_exchanges() if isinstance(part, Session) else (part,)
            for part in tuple(self._recorded)
        )
        return tuple(dict.fromkeys(exchange for part in parts for exchange in part))

    def exchanges(self) -> tuple[Exchange, ...]:
        """Return all exchanges so far, redacted with all secrets that are known now."""
        return tuple(exchange.redacted() for exchange in self.recorded_exchanges())

    def _send_in_slot(
        self, request: Request, is_transient: Callable[[Response], bool]
    ) -> tuple[Response, float]:
        """
        Send `request` once, after its host has a free slot and no cool-down.

        Return the response, and the seconds that it asks to wait.
        """
        seconds = self._step_deadline.seconds_left if self._step_deadline else None
        try:
            with self.client.slot(request.netloc, seconds):
                self._await_cool_down(request)
                response = self._send_once(request, is_transient)
                return response, self._apply_retry_after(request, response)
        except TimeoutError:
            raise self._step_timeout_error(request) from None

    def _await_cool_down(self, request: Request) -> None:
        """
        Wait for a short cool-down of the host or the app.

        If the request cannot be sent now, record and raise the reason.
        """
        if self._step_deadline is not None and self._step_deadline.seconds_left <= 0:
            raise self._step_timeout_error(request)
        client = self.client
        now = client.clock()
        cool_down = client.cool_downs.find(request.netloc, request.app, now)
        seconds = cool_down.seconds_left(now) if cool_down else 0.0
        error = client.open_circuit(request)
        if not error and cool_down and (seconds > _MAX_WAIT_SECONDS or not self._has_time(seconds)):
            error = cool_down.error(now)
        if error:
            self._record_unsent(request, error)
            raise error
        if seconds:
            client.sleep(seconds)

    def _step_timeout_error(self, request: Request) -> RemoteError:
        """Record and return the error for a step without time left for `request`."""
        seconds = self._step_deadline.seconds if self._step_deadline else 0
        error = RemoteError(
            f"The checks of this step took over {seconds:g} s: {request.host} was not contacted.",
            next_step="Run again later, or raise step_seconds.",
        )
        self._record_unsent(request, error)
        return error

    def _record_unsent(self, request: Request, error: RemoteError) -> None:
        self._record_sent(
            UnredactedExchange(request, timestamp(utc_now()), error=f"not sent: {error}")
        )

    def _record_sent(self, exchange: UnredactedExchange) -> None:
        header_names = self.client.options.recorded_headers
        redacted = partial(redacted_exchange, exchange, self.redactor, header_names)
        self._recorded.append(RecordedExchange(redacted))

    def _has_time(self, seconds: float) -> bool:
        """Return whether the step has more than `seconds` left."""
        return self._step_deadline is None or self._step_deadline.seconds_left > seconds

    def _apply_retry_after(self, request: Request, response: Response) -> float:
        """
        Return the seconds that a refusal asks to wait, and start the cool-down.

        Raises `ThrottledError` if they are too many to wait.
        """
        if response.status not in (TOO_MANY_REQUESTS, *SERVER_ERRORS):
            return 0.0
        is_limit = response.status == TOO_MANY_REQUESTS
        seconds = retry_after(response.headers.get("retry-after", ""), utc_now())
        if seconds is None and is_limit:
            seconds = _DEFAULT_WAIT_SECONDS
        if not seconds:
            return 0.0
        what = "limits the number of calls" if is_limit else "is not available"
        reason = f"{request.host} {what} ({response.status})"
        # NOTE: a server that is not available fails for every app.
        app = request.app if is_limit else ""
        cool_down = self.client.start_cool_down(request, seconds, reason, app=app)
        if seconds > _MAX_WAIT_SECONDS:
            raise cool_down.error(self.client.clock())
        return seconds

    def _last_response(self, request: Request, response: Response) -> Response:
        """Return the last response; raises `ThrottledError` if it only asks to wait."""
        if response.status != TOO_MANY_REQUESTS:
            return response
        now = self.client.clock()
        cool_down = self.client.cool_downs.find(request.netloc, request.app, now)
        if cool_down is not None:
            raise cool_down.error(now)
        raise ThrottledError(f"{request.host} limits the number of calls (429).")

    def _send_once(self, request: Request, is_transient: Callable[[Response], bool]) -> Response:
        exchange = UnredactedExchange(request, timestamp(utc_now()))
        self._record_sent(exchange)
        began = time.perf_counter()
        try:
            exchange.response = self.client.send(
                request, self.deadline(), is_transient=is_transient
            )
        except RemoteError as error:
            exchange.error = str(error)
            raise
        finally:
            exchange.elapsed = round(time.perf_counter() - began, 3)
        self._last_response_url = exchange.response.url
        _refuse_stale(request, exchange.response)
        return exchange.response


def _cache_key(request: Request) -> Hashable:
    """Return a key that equal requests share: all that is sent, and the allowed addresses."""
    return (
        request.method,
        request.url,
        tuple(sorted(request.headers.items())),
        tuple(sorted(request.form.items())) if request.form else (),
        request.is_public_only,
    )


def _refuse_stale(request: Request, response: Response) -> None:
    """
    Raise `StaleResponseError` if an `Age` header is too old, or not a number (RFC 9111 §5.1).

    NOTE: a cache takes the first of several `Age` headers and ignores one that is not a number.
    Here the oldest counts, and so does any that is not a number: the header shows that the
    response does not come from the remote system itself.
    """
    for age in response.headers.get_list("age", split_commas=True):
        is_number = _DELTA_SECONDS.fullmatch(age) is not None
        if is_number and int(age) <= _MAX_AGE_SECONDS:
            continue
        text = f"{int(age):,} s" if is_number else shorten(age) or "empty"
        raise StaleResponseError(
            f"{request.host} answered from a cache (Age {text}), so this may no longer be true. "
            "Find the proxy or network that caches responses, or wait until this copy expires; "
            "then check again."
        )
