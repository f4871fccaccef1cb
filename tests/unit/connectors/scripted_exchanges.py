"""Performs a check as a run does, against exchanges that are written down as data."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from fnmatch import fnmatchcase
from itertools import count
from typing import Any
from unittest.mock import patch

import httpx

from runbook_lib.connectors.context import CheckContext
from runbook_lib.connectors.cyclr import service_domain
from runbook_lib.connectors.registry import find_procedure
from runbook_lib.core.model import Finding, Outcome
from runbook_lib.engine.check_runner import CheckResult, perform_checks
from runbook_lib.remote.client import HTTPClient
from runbook_lib.remote.domain import Certificate
from tests.conftest import NOON
from tests.support.connectors import FACEBOOK_CONNECTORS
from tests.unit.connectors.conftest import SECRETS, VALUES, session_to
from tests.unit.fake_remote import fields

Asks = Callable[[httpx.Request], bool]
Patterns = tuple[str, ...]

# In place of an exchange's number: all of them.
ALL_AT_ONCE = -1
# Connectors share checks: each once, by its id.
CHECKS = {
    check.id: check
    for name in FACEBOOK_CONNECTORS
    for step in find_procedure(name).steps
    for check in step.checks
}
_MAX_REASON_CHARS = 2_000


@dataclass(frozen=True, kw_only=True)
class _Outcomes:
    """The outcomes that changed responses may lead to: patterns of the changes' names."""

    failed: Patterns = ()
    not_run: Patterns = ()
    verified: Patterns = ()

    def outcome_of(self, change: str) -> Outcome:
        """Return the outcome that a change may lead to: inconclusive if no pattern is its name."""
        if change == "first page":
            return Outcome.VERIFIED  # all rows are on the page that was read
        for outcome in (Outcome.FAILED, Outcome.NOT_RUN, Outcome.VERIFIED):
            patterns = getattr(self, outcome)
            if change in patterns or any(fnmatchcase(change, pattern) for pattern in patterns):
                return outcome
        return Outcome.INCONCLUSIVE


@dataclass(frozen=True)
class ScriptedExchange(_Outcomes):
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

    proved_by: frozenset[str] = frozenset()
    """Names of the refusals that prove something, if the request names something made up."""

    @property
    def text(self) -> str:
        """The body as it is sent."""
        return self.body if isinstance(self.body, str) else json.dumps(self.body)


Change = Callable[[ScriptedExchange], ScriptedExchange]


@dataclass(frozen=True)
class Case(_Outcomes):
    """A check with the exchanges of a way in which it verifies; its outcomes are of them all."""

    check: str
    """Id of the check."""

    exchanges: tuple[ScriptedExchange, ...]
    """The exchanges; the first that a request matches answers it."""

    given: Mapping[str, Any] = field(default_factory=dict)
    """Values of inputs, by name, that differ from the usual ones."""

    true_exchange: int = -1
    """Number of the exchange that is read once more after a control's 401 or 403."""

    @property
    def places(self) -> tuple[int, ...]:
        """The numbers of the exchanges, and `ALL_AT_ONCE`."""
        return (*range(len(self.exchanges)), ALL_AT_ONCE)

    def changed(self, change: Change, *places: int) -> Case:
        """Return the case with a change of the exchanges at these places."""
        exchanges = enumerate(self.exchanges)
        changed = (change(one) if place in places else one for place, one in exchanges)
        return replace(self, exchanges=tuple(changed))

    def with_exchange(self, place: int, exchange: ScriptedExchange) -> Case:
        """Return the case with another exchange at this place."""
        return self.changed(lambda _: exchange, place)


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


def perform(case: Case, transport: httpx.BaseTransport | None = None) -> Finding:
    """
    Return the check's finding with the case's responses, or with those of `transport`.

    Fails if the check breaks off by a defect, or if the finding quotes a whole response.
    """
    finding = perform_whole(case, transport).finding
    assert finding.code != "check-broken", finding.reason
    assert len(finding.reason) < _MAX_REASON_CHARS
    return finding


# NOTE: the context is most of a check's cost, and nothing connects.
@patch.object(HTTPClient, "tls_context", lambda _: None)
@patch.object(service_domain, "resolve_name", lambda *_: ("192.0.2.7",))
@patch.object(
    service_domain,
    "read_certificate",
    lambda *_: Certificate("Let's Encrypt", NOON + timedelta(days=60)),
)
def perform_whole(case: Case, transport: httpx.BaseTransport | None = None) -> CheckResult:
    """Return the result of the check, performed as a run does: its finding and exchanges."""
    values = {**VALUES, **case.given}
    calls: defaultdict[int, Iterator[int]] = defaultdict(count)
    context = CheckContext(
        values=values,
        secrets=SECRETS,
        session=session_to(transport or ScriptedRemote(case.exchanges), values),
        now=NOON,
        random_hex=lambda size: made_up(size, next(calls[size])),
    )
    (result,), _ = perform_checks([CHECKS[case.check]], lambda: context, lacking=lambda _: ())
    return result
