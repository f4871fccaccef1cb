"""Compared values are shown as a table: name, expected value, actual value."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

import pytest

from runbook_lib.core.model import Finding, Outcome
from tests.unit.bodies import APP_ID, statuses
from tests.unit.connectors.minimal_responses import cases_of
from tests.unit.connectors.scripted_exchanges import ScriptedExchange, perform

URI = "https://acme-h.cyclr.com/connector/callback"
HOST = "a host that is not registered"
HOST_IS_COMPARED = {f"host of {URI}": "accepted", HOST: "refused"}
GRANTED = {"public_profile": "granted", "leads_retrieval": "granted"}
LIVE = dict.fromkeys(
    (
        "leads_retrieval",
        "ads_management",
        "ads_read",
        "business_management",
        "pages_manage_ads",
        "pages_read_engagement",
        "pages_show_list",
    ),
    "live",
)
# Check → the expected values of each way in which it verifies, by name.
EXPECTED: Mapping[str, tuple[Mapping[str, str], ...]] = {
    "app-is-registered": ({"App ID": APP_ID},),
    "app-name-matches": ({"App Display Name": "Acme Lead Sync"},),
    "redirect-uri-is-accepted": (
        HOST_IS_COMPARED,
        {
            f"host and path of {URI}": "accepted",
            HOST: "refused",
            "another path on acme-h.cyclr.com": "refused",
        },
    ),
    "public-profile-is-live": ({"public_profile": "live"},),
    "permissions-are-requested": (LIVE,),
    "review-is-approved": ({"public_profile": "live", **LIVE},),
    "connector-is-in-library": ({"Connector": "Facebook Marketing API"},),
    "console-holds-app-id": ({"Client ID": APP_ID, "Redirect URI": URI},),
    "permissions-are-seen-through-cyclr": (GRANTED,),
    "user-token-is-valid": (GRANTED,),
    "customer-consents-without-role": (GRANTED,),
    "page-is-subscribed": ({"page (page-1)": "subscribed"},),
    "scopes-are-asked-for": ({"Scopes": "pages_messaging, pages_show_list"},),
}
IS_DECLINED = ('retrieval", "status": "granted"', 'retrieval", "status": "declined"')
IS_NO_SCOPE = ('"scopes": ["public_profile", "leads_retrieval"]', '"scopes": ["public_profile"]')
# A check, the text of a response, another text, and the actual values that then differ.
CHANGED: list[tuple[str, str, str, Mapping[str, str]]] = [
    ("app-name-matches", "Acme Lead Sync", "Acme", {"App Display Name": "Acme"}),
    ("public-profile-is-live", "live", "expired", {"public_profile": "expired"}),
    ("permissions-are-requested", "leads_retrieval", "email", {"leads_retrieval": "not listed"}),
    ("review-is-approved", "public_profile", "email", {"public_profile": "not listed"}),
    ("console-holds-app-id", f"client_id={APP_ID}", "client_id=77", {"Client ID": "77"}),
    ("console-holds-app-id", f"client_id={APP_ID}", "client_id=", {"Client ID": "(none)"}),
    (
        "console-holds-app-id",
        "callback",
        "back",
        {"Redirect URI": URI.replace("callback", "back")},
    ),
    ("permissions-are-seen-through-cyclr", *IS_DECLINED, {"leads_retrieval": "declined"}),
    ("user-token-is-valid", *IS_DECLINED, {"leads_retrieval": "declined"}),
    ("user-token-is-valid", *IS_NO_SCOPE, {"leads_retrieval": "not listed"}),
    ("customer-consents-without-role", *IS_NO_SCOPE, {"leads_retrieval": "not listed"}),
    (
        "page-is-subscribed",
        f'"id": "{APP_ID}"',
        '"id": "77"',
        {"page (page-1)": "not subscribed"},
    ),
    ("scopes-are-asked-for", "%20pages_messaging", "", {"Scopes": "pages_show_list"}),
]


def compares(
    finding: Finding, expected: Mapping[str, str], differing: Mapping[str, str] | None = None
) -> bool:
    """Return whether the finding's only table has the expected values beside the actual ones."""
    (table,) = finding.tables
    actual = {**expected, **(differing or {})}
    rows = tuple((name, value, actual[name]) for name, value in expected.items())
    return table.columns == ("Compared", "Expected", "Found") and table.rows == rows


def with_text(exchange: ScriptedExchange, old: str, new: str) -> ScriptedExchange:
    """Return an exchange whose body and headers have another text."""
    headers = {name: text.replace(old, new) for name, text in exchange.headers.items()}
    return replace(exchange, body=json.dumps(exchange.body).replace(old, new), headers=headers)


@pytest.mark.parametrize("check", EXPECTED)
def test_verified_values_are_compared(check: str) -> None:
    """A check that compares values shows both beside each other where they are the same."""
    for case, expected in zip(cases_of(check), EXPECTED[check], strict=True):
        finding = perform(case)

        assert finding.outcome is Outcome.VERIFIED
        assert compares(finding, expected)


@pytest.mark.parametrize(("check", "old", "new", "differing"), CHANGED)
def test_different_values_are_compared(
    check: str, old: str, new: str, differing: Mapping[str, str]
) -> None:
    """If they differ, the table has the actual value beside the expected one."""
    case = cases_of(check)[0]
    exchanges = [with_text(exchange, old, new) for exchange in case.exchanges]
    # A request that a check sends only if something is missing.
    exchanges.append(ScriptedExchange("/v26.0/me/permissions", statuses(public_profile="granted")))
    finding = perform(replace(case, exchanges=tuple(exchanges)))

    assert finding.outcome in (Outcome.FAILED, Outcome.INCONCLUSIVE)
    assert compares(finding, EXPECTED[check][0], differing)


def test_a_refused_redirect_uri_is_compared() -> None:
    """The table shows that Facebook refuses the URI, or that it takes any host."""
    case = cases_of("redirect-uri-is-accepted")[0]
    _, real, other_host, _ = case.exchanges
    refused = case.with_exchange(1, replace(real, body=other_host.body))
    any_host = case.with_exchange(2, replace(other_host, body=real.body))

    assert compares(perform(refused), {URI: "accepted"}, {URI: "refused"})
    assert compares(perform(any_host), HOST_IS_COMPARED, {HOST: "not refused"})


@pytest.mark.parametrize("served", ["v26.0", "v27.0", ""])
def test_the_version_that_answered_is_compared(served: str) -> None:
    """The pinned Graph version stands beside the one that Graph names, if it names one."""
    case = cases_of("missing-sections-are-filled")[0]
    headers = {"facebook-api-version": served} if served else {}
    exchanges = tuple(replace(exchange, headers=headers) for exchange in case.exchanges)
    finding = perform(replace(case, exchanges=exchanges))

    if served:
        version = "Graph API version"
        assert compares(finding, {version: "v26.0"}, {version: served})
    else:
        assert finding.tables == ()
