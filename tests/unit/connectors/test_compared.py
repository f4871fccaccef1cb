"""Compared values are shown as a table: name, expected value, actual value."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

import pytest

from runbook_lib.core.model import Finding, Outcome
from tests.unit.bodies import APP_ID, statuses
from tests.unit.connectors.minimal_responses import CHECKS, MINIMAL
from tests.unit.connectors.scripted_exchanges import ScriptedCheck, ScriptedExchange, perform

Rows = tuple[tuple[str, str, str], ...]

URI = "https://acme-h.cyclr.com/connector/callback"
HOST_OF = (f"host of {URI}", "accepted", "accepted")
HOST = ("a host that is not registered", "refused", "refused")
PATH = "another path on acme-h.cyclr.com"
NEEDED = ("ads_management", "ads_read", "business_management", "pages_manage_ads")
DEPENDENCIES = (*NEEDED, "pages_read_engagement", "pages_show_list")
GRANTED = (("public_profile", "granted", "granted"), ("leads_retrieval", "granted", "granted"))
DECLINED = (GRANTED[0], ("leads_retrieval", "granted", "declined"))
CODE_REFUSED = '"message": "Invalid verification code format.", "code": 100'
SCOPES = "pages_messaging, pages_show_list"


def live(*names: str) -> Rows:
    return tuple((name, "live", "live") for name in names)


def sign_in(client_id: str = APP_ID, uri: str = URI) -> Rows:
    return (("Client ID", APP_ID, client_id), ("Redirect URI", URI, uri))


def page(found: str) -> Rows:
    return (("page (page-1)", "subscribed", found),)


AS_EXPECTED: Mapping[str, tuple[Rows, ...]] = {
    "app-is-registered": ((("App ID", APP_ID, APP_ID),),),
    "app-name-matches": ((("App Display Name", "Acme Lead Sync", "Acme Lead Sync"),),),
    "redirect-uri-is-accepted": (
        (HOST_OF, HOST),
        (
            (f"host and path of {URI}", "accepted", "accepted"),
            HOST,
            (PATH, "refused", "refused"),
        ),
    ),
    "public-profile-is-live": (live("public_profile"),),
    "permissions-are-requested": (live("leads_retrieval", *DEPENDENCIES),),
    "review-is-approved": (live("public_profile", "leads_retrieval", *DEPENDENCIES),),
    "connector-is-in-library": ((("Connector",) + ("Facebook Marketing API",) * 2,),),
    "console-holds-app-id": (sign_in(),),
    "permissions-are-seen-through-cyclr": (GRANTED,),
    "user-token-is-valid": (GRANTED,),
    "customer-consents-without-role": (GRANTED,),
    "page-is-subscribed": (page("subscribed"),),
    "scopes-are-asked-for": ((("Scopes", SCOPES, SCOPES),),),
}
IS_DECLINED = (
    '"leads_retrieval", "status": "granted"',
    '"leads_retrieval", "status": "declined"',
    DECLINED,
)
IS_NO_SCOPE = (
    '"scopes": ["public_profile", "leads_retrieval"]',
    '"scopes": ["public_profile"]',
    (GRANTED[0], ("leads_retrieval", "granted", "not listed")),
)
NO_LEADS = (("leads_retrieval", "live", "not listed"), *live(*DEPENDENCIES))
NO_PROFILE = (
    ("public_profile", "live", "not listed"),
    *live("leads_retrieval", *DEPENDENCIES),
)
# Changed answers: the text of an answer, another one, and the actual value then.
OTHERWISE: list[tuple[str, str, str, Rows]] = [
    (
        "app-name-matches",
        "Acme Lead Sync",
        "Acme",
        (("App Display Name", "Acme Lead Sync", "Acme"),),
    ),
    (
        "redirect-uri-is-accepted",
        CODE_REFUSED,
        '"code": 191',
        ((URI, "accepted", "refused"),),
    ),
    ("public-profile-is-live", "live", "expired", (("public_profile", "live", "expired"),)),
    ("permissions-are-requested", "leads_retrieval", "email", NO_LEADS),
    ("review-is-approved", "public_profile", "email", NO_PROFILE),
    ("console-holds-app-id", f"client_id={APP_ID}", "client_id=77", sign_in("77")),
    ("console-holds-app-id", "callback", "back", sign_in(uri=URI.replace("callback", "back"))),
    ("console-holds-app-id", f"client_id={APP_ID}", "client_id=", sign_in("(none)")),
    ("permissions-are-seen-through-cyclr", *IS_DECLINED),
    ("user-token-is-valid", *IS_DECLINED),
    ("user-token-is-valid", *IS_NO_SCOPE),
    ("customer-consents-without-role", *IS_NO_SCOPE),
    ("page-is-subscribed", f'"id": "{APP_ID}"', '"id": "77"', page("not subscribed")),
    (
        "scopes-are-asked-for",
        "%20pages_messaging",
        "",
        (("Scopes", SCOPES, "pages_show_list"),),
    ),
]


def performed(name: str, minimal: ScriptedCheck) -> Finding:
    (check,) = (check for check in CHECKS if check.id == name)
    return perform(check, minimal)


def rows_of(finding: Finding) -> Rows:
    """Return the rows of the finding's only table, whose columns are always the same."""
    (table,) = finding.tables
    assert table.columns == ("Compared", "Expected", "Found")
    return table.rows  # type: ignore[return-value]


def otherwise(answer: ScriptedExchange, old: str, new: str) -> ScriptedExchange:
    """Return an answer, its body and its headers, with another text."""
    headers = {name: text.replace(old, new) for name, text in answer.headers.items()}
    return replace(
        answer, body=json.loads(json.dumps(answer.body).replace(old, new)), headers=headers
    )


@pytest.mark.parametrize("name", AS_EXPECTED)
def test_verified_values_are_compared(name: str) -> None:
    """A check that compares values shows both beside each other where they are the same."""
    for minimal, rows in zip(MINIMAL[name], AS_EXPECTED[name], strict=True):
        finding = performed(name, minimal)

        assert finding.outcome is Outcome.VERIFIED
        assert rows_of(finding) == rows


@pytest.mark.parametrize(("name", "old", "new", "rows"), OTHERWISE)
def test_different_values_are_compared(name: str, old: str, new: str, rows: Rows) -> None:
    """If they differ, the table has the actual value beside the expected one."""
    minimal = MINIMAL[name][0]
    exchanges = tuple(otherwise(answer, old, new) for answer in minimal.exchanges)
    # Requests that a check sends only if something is missing.
    second_source = ScriptedExchange("/v26.0/me/permissions", statuses(public_profile="granted"))
    finding = performed(name, replace(minimal, exchanges=(*exchanges, second_source)))

    assert finding.outcome in (Outcome.FAILED, Outcome.INCONCLUSIVE)
    assert rows_of(finding) == rows


def test_a_control_that_is_not_refused_is_compared() -> None:
    """If Facebook takes any host, the table shows that the control was not refused."""
    (minimal, _) = MINIMAL["redirect-uri-is-accepted"]
    token, real, control, *others = minimal.exchanges
    control = replace(control, body=real.body)
    finding = performed(
        "redirect-uri-is-accepted", replace(minimal, exchanges=(token, real, control, *others))
    )

    assert rows_of(finding) == (HOST_OF, (*HOST[:2], "not refused"))


@pytest.mark.parametrize("served", ["v26.0", "v27.0", ""])
def test_the_version_that_answered_is_compared(served: str) -> None:
    """The pinned Graph version stands beside the one that Graph names, if it names one."""
    (minimal,) = MINIMAL["missing-sections-are-filled"]
    headers = {"facebook-api-version": served} if served else {}
    exchanges = tuple(replace(answer, headers=headers) for answer in minimal.exchanges)
    finding = performed("missing-sections-are-filled", replace(minimal, exchanges=exchanges))

    if served:
        assert rows_of(finding) == (("Graph API version", "v26.0", served),)
    else:
        assert finding.tables == ()
