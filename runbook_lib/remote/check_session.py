"""
The requests of one check: retries, cool-downs, the cache of a run's responses, and the record.

The clients (`oauth`, `cyclr`, `domain`, those of providers) interpret the responses.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import partial

from runbook_lib.core.journal import timestamp, utc_now
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

# A check waits for a cool-down of up to this; a longer one ends it.
_MAX_WAIT_SECONDS = 10.0
# An answer that a cache has kept for longer does not count as the remote system's.
_MAX_AGE_SECONDS = 300
_DELTA_SECONDS = re.compile(r"[0-9]{1,10}")
# The wait after a 429 without Retry-After (RFC 6585 §4).
_DEFAULT_WAIT_SECONDS = 60.0

# Gets the exchanges of a session so far.
OnExchanges = Callable[[tuple[RecordedExchange, ...]], object]


@dataclass(frozen=True, slots=True)
class _SharedResponse:
    """
    What became of a request that is asked once: its exchanges, and the answer or the error.

    `is_fault` says that the remote system did not decide: that may be over soon.
    """

    exchanges: tuple[RecordedExchange, ...]
    outcome: Response | RemoteError
    is_fault: bool


class Session:
    """
    The requests of one check, as part of a look; `exchanges()` is their redacted record.

    `keep` gets the exchanges so far before anything more is sent, and at the end (`settle`).
    One thread at a time uses it; `branch` gives another one its own.
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
        """Return the redactor, for clients that learn a token."""
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
        Return a session for another thread; its exchanges come where it was made.

        With `once_more` it asks again, once, what this look has the answer to already.
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
        Send a request that only reads, unless this look has its answer already.

        A refusal is an answer; after no answer or a server error the request is sent again. The
        exchange is recorded with each session that asks. Raises what `send` does.
        """
        self.flush()

        def send() -> _SharedResponse:
            first = Session(self.client, self.cache)
            first._step_deadline = self._step_deadline
            try:
                response = first.send(request, is_repeatable=True, is_transient=is_transient)
            except RemoteError as error:
                return _SharedResponse(first.recorded_exchanges(), error, is_fault=True)
            is_fault = response.status in SERVER_ERRORS or is_transient(response)
            return _SharedResponse(first.recorded_exchanges(), response, is_fault)

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
        if isinstance(shared.outcome, RemoteError):
            raise shared.outcome
        self._last_response_url = shared.outcome.url
        return shared.outcome

    def send(
        self,
        request: Request,
        *,
        is_repeatable: bool | None = None,
        is_transient: Callable[[Response], bool] = lambda _: False,
    ) -> Response:
        """
        Send `request` and return the answer, whatever its status but 429.

        A repeatable request (a GET, or as the caller says) is sent up to three
        times after no answer, a server error or a transient error, while the
        step has time. A short cool-down is waited for. Raises
        `UnreachableError`, `ThrottledError` for a long cool-down,
        `StaleResponseError`, or `UnexpectedResponseError`.
        """
        self.flush()
        may_repeat = request.method == "GET" if is_repeatable is None else is_repeatable
        attempts, attempt = self.client.options.retry_policy.attempts if may_repeat else 1, 0
        while True:
            attempt += 1
            pause = self.client.options.retry_policy.pause(attempt)
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
                is_passing = response.status in (TOO_MANY_REQUESTS, *SERVER_ERRORS)
                if not (is_passing or is_transient(response)):
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
        Return a token that `endpoint` issued; from now on it is masked everywhere.

        Raises `UnexpectedResponseError` if `value` does not look like a token:
        masking an ordinary word would spoil the record.
        """
        if not isinstance(value, str) or not is_token(value) or self.redactor.is_shown(value):
            msg = f"{endpoint} answered without a token: its value does not look like one."
            raise UnexpectedResponseError(msg)
        token = Secret(value)
        # NOTE: it belongs to the host that answered last, whatever the name of `endpoint`.
        credential = self.client.secret_guard.issued_credential(
            self._last_response_url, f"a token that {endpoint} issued"
        )
        self.redactor.learn(token, credential)
        return token

    def note(self, exchange: Exchange) -> None:
        """Add an exchange below HTTP (name resolution, TLS) to the record."""
        self._recorded.append(RecordedExchange(lambda: exchange))

    def flush(self) -> None:
        """Hand over the exchanges so far: the tokens that they issued are known by now."""
        self._on_exchanges(self.recorded_exchanges())

    def recorded_exchanges(self) -> tuple[RecordedExchange, ...]:
        """Return all exchanges so far, in the order in which they were asked for, each once."""
        parts = (
            part.recorded_exchanges() if isinstance(part, Session) else (part,)
            for part in tuple(self._recorded)
        )
        return tuple(dict.fromkeys(seen for part in parts for seen in part))

    def exchanges(self) -> tuple[Exchange, ...]:
        """Return all exchanges so far, redacted with all secrets known now."""
        return tuple(seen.redacted() for seen in self.recorded_exchanges())

    def _send_in_slot(
        self, request: Request, is_transient: Callable[[Response], bool]
    ) -> tuple[Response, float]:
        """
        Send `request` once, when a connection to its host is free and no cool-down forbids it.

        Return the answer, and for how many seconds it asks to wait.
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

        Raises, and records, why the request is not sent now.
        """
        if self._step_deadline is not None and self._step_deadline.seconds_left <= 0:
            raise self._step_timeout_error(request)
        client, now = self.client, self.client.clock()
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
        """Return, and record, that the step has no time left for `request`."""
        seconds = self._step_deadline.seconds if self._step_deadline else 0
        msg = f"The checks of this step took over {seconds:g} s: {request.host} was not contacted."
        error = RemoteError(msg, next_step="Run again later, or raise step_seconds.")
        self._record_unsent(request, error)
        return error

    def _record_unsent(self, request: Request, error: RemoteError) -> None:
        self._record_sent(
            UnredactedExchange(request, timestamp(utc_now()), error=f"not sent: {error}")
        )

    def _record_sent(self, exchange: UnredactedExchange) -> None:
        self._recorded.append(
            RecordedExchange(
                partial(
                    redacted_exchange, exchange, self.redactor, self.client.options.recorded_headers
                )
            )
        )

    def _has_time(self, seconds: float) -> bool:
        """Return whether the step has more than `seconds` left."""
        return self._step_deadline is None or self._step_deadline.seconds_left > seconds

    def _apply_retry_after(self, request: Request, response: Response) -> float:
        """
        Return how many seconds a refusal asks to wait, and start the cool-down.

        Raises `ThrottledError` if that is too long to wait for.
        """
        if response.status not in (TOO_MANY_REQUESTS, *SERVER_ERRORS):
            return 0.0
        is_limit = response.status == TOO_MANY_REQUESTS
        requested = retry_after(response.headers.get("retry-after", ""), utc_now())
        seconds = requested if requested is not None else _DEFAULT_WAIT_SECONDS * is_limit
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
        """Return the last answer; raises `ThrottledError` if it only asks to wait."""
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
    """Return what makes two requests one question: all that is sent, and where it may go."""
    return (
        request.method,
        request.url,
        tuple(sorted(request.headers.items())),
        tuple(sorted(request.form.items())) if request.form else (),
        request.is_public_only,
    )


def _refuse_stale(request: Request, response: Response) -> None:
    """
    Raise `StaleResponseError` if the answer's `Age` is too old, or not a number (RFC 9111 §5.1).

    NOTE: a cache takes the first of several `Age` headers and ignores one that is not a number.
    Here the oldest counts, and so does any that is not a number: the header shows that the
    remote system itself did not give this answer.
    """
    for age in response.headers.get_list("age", split_commas=True):
        is_number = _DELTA_SECONDS.fullmatch(age) is not None
        if is_number and int(age) <= _MAX_AGE_SECONDS:
            continue
        text = f"{int(age):,} s" if is_number else shorten(age) or "empty"
        msg = (
            f"{request.host} answered from a cache (Age {text}), so this may no longer be true. "
            "Find the proxy or network that caches answers, or wait until this copy expires; then "
            "check again."
        )
        raise StaleResponseError(msg)
