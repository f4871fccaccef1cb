"""Recognise checks that could not tell, because a remote system failed or did not respond. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from runbook_lib.core.model import Exchange, Finding, Outcome
from runbook_lib.core.procedure import Provider
from runbook_lib.errors import (
    InvalidCertificateError,
    MissingFieldError,
    ResponseTimeoutError,
    StaleResponseError,
    ThrottledError,
    UnexpectedResponseError,
    UnreachableError,
)

_SERVER_ERROR = 500
_TOO_MANY = 429
# Successful look-ups of a name or a certificate have no status.
_LOOKUPS = ("DNS", "TLS")
# The codes of a check that was interrupted, or could not read its response.
_BROKEN_OFF = frozenset(
    {
        "check-broken",
        "check-stopped",
        "input-missing",
        StaleResponseError.code,
        InvalidCertificateError.code,
        MissingFieldError.code,
        ResponseTimeoutError.code,
        ThrottledError.code,
        UnexpectedResponseError.code,
        UnreachableError.code,
    }
)


def shows_fault(
    finding: Finding, exchanges: Iterable[Exchange], providers: Iterable[Provider]
) -> bool:
    """
    Return whether a check could not tell, and a remote system had a fault meanwhile.

    The finding rests on `exchanges`. A fault is a missing response, an HTTP status of 5xx or 429,
    or a fault by `is_fault` of one of the `providers`.
    """
    if finding.outcome is not Outcome.INCONCLUSIVE:
        return False
    known = tuple(providers)
    return any(_is_fault(exchange, known) for exchange in exchanges)


def decides_nothing(
    finding: Finding, exchanges: Iterable[Exchange], providers: Iterable[Provider]
) -> bool:
    """Return whether a check ended without a response that says anything about its values."""
    is_broken_off = finding.code in _BROKEN_OFF and finding.outcome is Outcome.INCONCLUSIVE
    return is_broken_off or shows_fault(finding, exchanges, providers)


def _is_fault(exchange: Exchange, providers: tuple[Provider, ...]) -> bool:
    if exchange.status is None:
        is_silent = bool(exchange.error) or exchange.method not in _LOOKUPS
    else:
        is_silent = exchange.status >= _SERVER_ERROR or exchange.status == _TOO_MANY
    return is_silent or any(
        provider.behaviour.is_fault(exchange.response) for provider in providers
    )
