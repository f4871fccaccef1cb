"""Performs each check of the procedures as a run does, against scripted answers."""

from __future__ import annotations

import ssl
from collections import Counter
from collections.abc import Callable
from datetime import timedelta

import httpx
import pytest

from runbook_lib.connectors.context import CheckContext
from runbook_lib.connectors.cyclr import service_domain
from runbook_lib.connectors.registry import find_procedure
from runbook_lib.core.model import Finding
from runbook_lib.core.procedure import Check
from runbook_lib.engine.check_runner import CheckResult, perform_checks
from runbook_lib.remote.check_session import Session
from runbook_lib.remote.client import ClientOptions, HTTPClient
from runbook_lib.remote.domain import Certificate
from runbook_lib.remote.rate_limits import CoolDowns
from tests.conftest import NOON
from tests.support.connectors import FACEBOOK_CONNECTORS
from tests.unit.connectors.conftest import SECRETS, VALUES, hosts, known_secrets
from tests.unit.connectors.minimal_responses import (
    MINIMAL_EXCHANGES,
    MinimalExchanges,
    ScriptedRemote,
    made_up,
)

# Loaded once, since it is most of a check's cost; a scripted remote system does not use it.
_TLS = ssl.create_default_context()
# Connectors share checks: each once.
CHECKS: tuple[Check, ...] = tuple(
    {
        check.id: check
        for name in FACEBOOK_CONNECTORS
        for step in find_procedure(name).steps
        for check in step.checks
    }.values()
)


# Each minimal response of each check, for a test of its own.
BY_NAME = [
    pytest.param(check, minimal, id=f"{check.id}-{number}")
    for check in CHECKS
    for number, minimal in enumerate(MINIMAL_EXCHANGES[check.id])
]


def _random_hex() -> Callable[[int], str]:
    """Return a source of texts: another one each time, and the same ones for each check."""
    given: Counter[int] = Counter()

    def random_hex(size: int) -> str:
        given[size] += 1
        return made_up(size, given[size] - 1)

    return random_hex


def perform(
    check: Check, minimal: MinimalExchanges, transport: httpx.BaseTransport | None = None
) -> Finding | None:
    """Return the finding of the check with these answers, or with those of `transport`."""
    result = perform_whole(check, minimal, transport)
    return result.finding if result else None


def perform_whole(
    check: Check, minimal: MinimalExchanges, transport: httpx.BaseTransport | None = None
) -> CheckResult | None:
    """Return the result of the check: its finding and exchanges."""
    values = {**VALUES, **minimal.given}

    def open_context() -> CheckContext:
        client = HTTPClient(
            known_secrets(),
            ClientOptions(hosts=hosts(values)),
            transport=transport or ScriptedRemote(minimal.exchanges),
            sleep=lambda _: None,
            cool_downs=CoolDowns(),
        )
        return CheckContext(
            values=values,
            secrets=SECRETS,
            session=Session(client),
            now=NOON,
            random_hex=_random_hex(),
        )

    certificate = Certificate("Let's Encrypt", NOON + timedelta(days=60))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(HTTPClient, "tls_context", lambda _: _TLS)
        patch.setattr(service_domain, "resolve_name", lambda *_: ("192.0.2.7",))
        patch.setattr(service_domain, "read_certificate", lambda *_: certificate)
        results, _ = perform_checks([check], open_context, lacking=lambda _: ())
    return results[0] if results else None
