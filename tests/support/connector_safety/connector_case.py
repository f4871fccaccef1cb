"""
What the safety tests know of a connector, as data, and how they perform its checks.
"""

from __future__ import annotations

import ssl
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache, cached_property
from typing import Any
from unittest.mock import patch

import httpx

from runbook_lib.config.runner_settings import inputs_of
from runbook_lib.connectors.context import CheckContext
from runbook_lib.connectors.cyclr import service_domain
from runbook_lib.core.model import Finding
from runbook_lib.core.procedure import Check, Procedure
from runbook_lib.core.redaction import Redactor, Secret
from runbook_lib.engine.check_runner import CheckResult, perform_checks
from runbook_lib.remote.check_session import Session
from runbook_lib.remote.client import ClientOptions, HTTPClient
from runbook_lib.remote.domain import Certificate
from runbook_lib.remote.rate_limits import CoolDowns
from tests.support.connector_safety.scripted_exchanges import (
    MinimalExchanges,
    ScriptedRemote,
    made_up,
)

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)

Refusals = Mapping[str, tuple[int, Any]]
"""Name → status and body of a response that refuses a request."""

REFUSALS: Refusals = {
    "method": (405, {"Message": "The requested resource does not support http method 'GET'."}),
    "conflict": (409, {"Message": "Conflict"}),
    "timeout": (408, {"Message": "Request Timeout"}),
    "gone": (410, {"Message": "Gone"}),
    "early": (425, {"Message": "Too Early"}),
    "no page": (404, {"Message": "Not found"}),
    "form": (422, {"Message": "The id is not valid"}),
    "legal": (451, {"Message": "Unavailable For Legal Reasons"}),
    "broken": (500, {"Message": "An error has occurred."}),
    "away": (503, {"Message": "Service Unavailable"}),
}
"""Refusals that any remote system may give."""

# NOTE: not those of `connectors/controls.py`, which these tests test (RFC 9110 §15.5).
_REFUSING_STATUSES = (400, 401, 403, 404, 410, 422)

Proves = Callable[[str, int], bool]
"""Name and status of a refusal → whether it refuses the made-up part of a control."""


def by_status(*, but: tuple[int, ...] = ()) -> Proves:
    """Let the status alone decide: it refuses what the request names, and is not one of `but`."""
    return lambda _name, status: status in _REFUSING_STATUSES and status not in but


def named_refusals(*names: str) -> Proves:
    """Let only these refusals of the case prove something: they name the refused part."""
    return lambda name, _status: name in names


@dataclass(frozen=True, kw_only=True)
class Control:
    """The controls among a check's minimal responses, and the refusals that prove something."""

    check: str
    """Id of the check."""

    places: tuple[int, ...]
    """Numbers of the exchanges that name something made up."""

    proves: Proves
    """Which refusals of the case prove something."""

    variant: int = 0
    """Number of the check's minimal responses, if it verifies in several ways."""

    true_exchange: int | None = None
    """Number of the exchange about the true object, where a 401 or 403 has it read once more."""

    @property
    def name(self) -> str:
        """A name for the test's id."""
        return f"{self.check} {self.variant}.{self.places[0]}"


@dataclass(frozen=True, kw_only=True, eq=False)
class ConnectorCase:
    """A connector, or several of one vendor, with the responses that verify its steps."""

    procedures: tuple[Procedure, ...]
    """The procedures; connectors share checks, and each is tested once."""

    values: Mapping[str, Any]
    """Values of the inputs, by name; those with a default may be left out."""

    secrets: Mapping[str, Secret]
    """Invented credentials, by the name of the input."""

    exchanges: Mapping[str, tuple[MinimalExchanges, ...]]
    """Id of each check → the smallest responses that verify, for each way in which it does."""

    other_names: Mapping[str, str]
    """Name of an object in these responses → another name, about which nothing is verified."""

    controls: tuple[Control, ...] = ()
    """Every control among the exchanges."""

    not_controls: Mapping[str, frozenset[int]] = field(default_factory=dict)
    """Id of a check → exchanges that name something made up and are no controls."""

    refusals: Refusals = field(default_factory=lambda: REFUSALS)
    """Refusals that the remote systems may give to a control."""

    made_up_names: tuple[str, ...] = ()
    """Made-up names that are not `made_up(…)` itself, such as one in decimal digits."""

    indifferent: Mapping[str, str] = field(default_factory=dict)
    """Beginning of the name of a case of the table that verifies all the same → the reason."""

    without_control: Mapping[str, str] = field(default_factory=dict)
    """Id of a check that needs neither a control nor a name in its responses → the reason."""

    fuller: Mapping[str, tuple[MinimalExchanges, ...]] = field(default_factory=dict)
    """Id of a check → fuller responses, with lists that the finding can do without."""

    foreign_bodies: tuple[Any, ...] = ()
    """Bodies of the remote systems that are about something else."""

    @cached_property
    def checks(self) -> tuple[Check, ...]:
        """Each check of the procedures, once."""
        steps = (step for procedure in self.procedures for step in procedure.steps)
        return tuple({check.id: check for step in steps for check in step.checks}.values())

    @cached_property
    def all_values(self) -> Mapping[str, Any]:
        """The values, with the defaults of the first procedure's inputs."""
        inputs = inputs_of(self.procedures[0])
        defaults = {item.name: item.default for item in inputs if item.default is not None}
        return {**defaults, **self.values}

    def minimal_exchanges(self) -> Iterator[tuple[Check, int, MinimalExchanges]]:
        """Yield each check with the number and the responses of each way in which it verifies."""
        for check in self.checks:
            for number, minimal in enumerate(self.exchanges.get(check.id, ())):
                yield check, number, minimal

    def hosts(self, values: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
        """Return the hosts of each provider, as a run knows them."""
        providers = (provider for item in self.procedures for provider in item.providers)
        return {provider.name: provider.hosts(values) for provider in providers}

    def redactor(self) -> Redactor:
        """Return a redactor that knows the credentials, and whose each is."""
        redactor = Redactor()
        items = {item.name: item for found in self.procedures for item in inputs_of(found)}
        for name, secret in self.secrets.items():
            redactor.learn(secret, items[name].credential)
        return redactor

    def perform(
        self, check: Check, minimal: MinimalExchanges, transport: httpx.BaseTransport | None = None
    ) -> Finding | None:
        """Return the finding of the check with these responses, or with those of `transport`."""
        result = self.perform_whole(check, minimal, transport)
        return result.finding if result else None

    def perform_whole(
        self, check: Check, minimal: MinimalExchanges, transport: httpx.BaseTransport | None = None
    ) -> CheckResult | None:
        """Return the result of the check, performed as a run does: its finding and exchanges."""
        values = {**self.all_values, **minimal.given}

        def open_context() -> CheckContext:
            client = HTTPClient(
                self.redactor(),
                ClientOptions(hosts=self.hosts(values)),
                transport=transport or ScriptedRemote(minimal.exchanges),
                sleep=lambda _: None,
                cool_downs=CoolDowns(),
            )
            return CheckContext(
                values=values,
                secrets=self.secrets,
                session=Session(client),
                now=NOON,
                random_hex=_random_hex(),
            )

        certificate = Certificate("Let's Encrypt", NOON + timedelta(days=60))
        with ExitStack() as patches:
            for target, name, value in (
                (HTTPClient, "tls_context", lambda _: _tls_context()),
                (service_domain, "resolve_name", lambda *_: ("192.0.2.7",)),
                (service_domain, "read_certificate", lambda *_: certificate),
            ):
                patches.enter_context(patch.object(target, name, value))
            results, _ = perform_checks([check], open_context, lacking=lambda _: ())
        return results[0] if results else None


@cache
def _tls_context() -> ssl.SSLContext:
    """Return a context that is loaded once: it is most of a check's cost, and nothing uses it."""
    return ssl.create_default_context()


def _random_hex() -> Callable[[int], str]:
    """Return a source of texts: another one each time, and the same ones for each check."""
    given: Counter[int] = Counter()

    def random_hex(size: int) -> str:
        given[size] += 1
        return made_up(size, given[size] - 1)

    return random_hex
