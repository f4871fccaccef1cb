"""Performs a check as a run does, against exchanges that are written down as data."""

from __future__ import annotations

import json
import ssl
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cache
from itertools import count
from typing import Any
from unittest.mock import patch

import httpx

from runbook_lib.connectors.context import CheckContext
from runbook_lib.connectors.cyclr import service_domain
from runbook_lib.core.model import Finding
from runbook_lib.core.procedure import Check
from runbook_lib.engine.check_runner import CheckResult, perform_checks
from runbook_lib.remote.client import HTTPClient
from runbook_lib.remote.domain import Certificate
from tests.conftest import NOON
from tests.unit.connectors.conftest import SECRETS, VALUES, session_to
from tests.unit.fake_remote import fields

Asks = Callable[[httpx.Request], bool]

_MAX_REASON_CHARS = 2_000


@dataclass(frozen=True)
class ScriptedExchange:
    """One exchange: the request, and the response to it."""

    path: str
    """Path of the request."""

    body: Any
    """Body of the response: a JSON document or text."""

    status: int = 200
    """HTTP status of the response."""

    headers: Mapping[str, str] = field(default_factory=dict)
    """Headers of the response."""

    asks: Asks = lambda _: True
    """Tells whether a request to `path` is this one."""

    @property
    def text(self) -> str:
        """The body as it is sent."""
        return self.body if isinstance(self.body, str) else json.dumps(self.body)


@dataclass(frozen=True)
class ScriptedCheck:
    """The exchanges of one performed check, and the inputs that differ from the usual ones."""

    exchanges: tuple[ScriptedExchange, ...]
    """The exchanges; the first that a request matches answers it."""

    given: Mapping[str, Any] = field(default_factory=dict)
    """Values of inputs, by name."""

    def changed(self, *places: int, **changes: Any) -> ScriptedCheck:
        """Return the exchanges with those at these places changed."""
        exchanges = [
            replace(exchange, **changes) if place in places else exchange
            for place, exchange in enumerate(self.exchanges)
        ]
        return replace(self, exchanges=tuple(exchanges))

    def with_exchange(self, place: int, exchange: ScriptedExchange) -> ScriptedCheck:
        """Return the exchanges with another one at this place."""
        before, after = self.exchanges[:place], self.exchanges[place + 1 :]
        return replace(self, exchanges=(*before, exchange, *after))


class ScriptedRemote(httpx.BaseTransport):
    """A remote system that gives these responses, and 404 to every other request."""

    def __init__(self, exchanges: tuple[ScriptedExchange, ...]) -> None:
        self._exchanges = exchanges
        self.requests: list[tuple[int, httpx.Request]] = []
        """The requests so far, each with the number of the exchange that answered it."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Respond in place of the network."""
        for place, exchange in enumerate(self._exchanges):
            if request.url.path == exchange.path and exchange.asks(request):
                self.requests.append((place, request))
                headers = dict(exchange.headers)
                return httpx.Response(exchange.status, text=exchange.text, headers=headers)
        return httpx.Response(404, text="{}")


def made_up(size: int, number: int = 0) -> str:
    """
    Return what `CheckContext.random_hex` returns in these tests: hexadecimal digits for `size`.

    `number` counts the check's earlier calls with the same size.
    """
    return f"{0xC0 + number:02x}" * size


def asking(**values: str) -> Asks:
    """Return whether a request has these fields in its query or form."""
    return lambda request: values.items() <= fields(request).items()


def perform(
    check: Check, script: ScriptedCheck, transport: httpx.BaseTransport | None = None
) -> Finding:
    """
    Return the check's finding with these responses, or with those of `transport`.

    Fails if the check breaks off by a defect, or if the finding quotes a whole response.
    """
    finding = perform_whole(check, script, transport).finding
    assert finding.code != "check-broken", finding.reason
    assert len(finding.reason) < _MAX_REASON_CHARS
    return finding


def perform_whole(
    check: Check, script: ScriptedCheck, transport: httpx.BaseTransport | None = None
) -> CheckResult:
    """Return the result of the check, performed as a run does: its finding and exchanges."""
    values = {**VALUES, **script.given}
    calls: defaultdict[int, Iterator[int]] = defaultdict(count)

    def open_context() -> CheckContext:
        return CheckContext(
            values=values,
            secrets=SECRETS,
            session=session_to(transport or ScriptedRemote(script.exchanges), values),
            now=NOON,
            random_hex=lambda size: made_up(size, next(calls[size])),
        )

    certificate = Certificate("Let's Encrypt", NOON + timedelta(days=60))
    with ExitStack() as patches:
        for target, name, value in (
            (HTTPClient, "tls_context", lambda _: _tls_context()),
            (service_domain, "resolve_name", lambda *_: ("192.0.2.7",)),
            (service_domain, "read_certificate", lambda *_: certificate),
        ):
            patches.enter_context(patch.object(target, name, value))
        (result,), _ = perform_checks([check], open_context, lacking=lambda _: ())
    return result


@cache
def _tls_context() -> ssl.SSLContext:
    """Return a context that is loaded once: it is most of a check's cost, and nothing uses it."""
    return ssl.create_default_context()
