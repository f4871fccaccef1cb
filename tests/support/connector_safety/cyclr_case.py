"""The part of a case that every connector shares: Cyclr's checks, their responses and controls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import httpx

from runbook_lib.connectors.cyclr.service_domain import redirect_uri
from runbook_lib.connectors.provider import vendor_of
from runbook_lib.core.redaction import Secret
from tests.support.connector_safety.connector_case import ConnectorCase, Control, by_status
from tests.support.connector_safety.scripted_exchanges import (
    MinimalExchanges,
    ScriptedExchange,
    made_up,
)

CYCLR_VALUES: Mapping[str, str] = {
    "service_domain": "acme-h.cyclr.com",
    "cyclr_client_id": "partner",
    "account_api_id": "acct-1",
    "cyclr_username": "operator@acme.example",
}
CYCLR_SECRET = "cyclr-client-secret-1"
# NOTE: no constant of the runbook has the form of a token.
CYCLR_TOKEN = "cyclr-api-token-" + "4fG7hJ2kL9mN3pQ8"
SIGN_IN_TOKEN = "c2lnbi1pbi10b2tl" + "bi1vZi1jeWNscg=="
CONNECTOR_ID = 17208

_INSTALLED = "/v1.0/account/connectors"
_CALLBACK = "/connector/callback"
_REFUSAL = "a refusal counts by its status: Cyclr documents no body of it"
_BY_STATUS = "its status counts: the body of the page is documented nowhere"
_INDIFFERENT: Mapping[str, str] = {
    "service-domain-answers 0.0 body": _BY_STATUS,
    "service-domain-answers 0.1 body": _BY_STATUS,
    "service-domain-answers 0.all body": _BY_STATUS,
    "console-holds-app-id 0.3 body": "its Location counts: a redirect needs no body",
    "connector-is-installed 0.2 body": _REFUSAL,
    "connector-is-installed 0.3 body": _REFUSAL,
    "connector-is-installed 1.4 body": _REFUSAL,
    "connector-is-installed 1.5 body": _REFUSAL,
    "connector-is-authenticated 0.2 body": _REFUSAL,
    "connector-is-authenticated 0.3 body": _REFUSAL,
    "connector-is-installed 1.1 alike": "nobody has it yet: the installation counts",
}
_CONTROLS = (
    # The callback's minimal response is 400, so a made-up page must be answered otherwise.
    Control(
        check="service-domain-answers", places=(1,), proves=by_status(but=(400,)), true_exchange=0
    ),
    Control(check="connector-is-installed", places=(2, 3), proves=by_status(), true_exchange=1),
    Control(check="connector-is-installed", places=(4, 5), proves=by_status(), variant=1),
    Control(check="connector-is-authenticated", places=(2, 3), proves=by_status(), true_exchange=1),
)


def with_cyclr(case: ConnectorCase) -> ConnectorCase:
    """Return the case with what every connector shares; the case's own values win."""
    shared = replace(
        case,
        values={**CYCLR_VALUES, **case.values},
        secrets={"cyclr_client_secret": Secret(CYCLR_SECRET), **case.secrets},
    )
    ids = {check.id for check in case.checks}
    exchanges = cyclr_exchanges(shared)
    names = {
        str(shared.all_values["service_domain"]): "other-h.cyclr.com",
        str(shared.all_values["cyclr_connector"]): "Another connector",
        str(shared.all_values["account_api_id"]): "acct-9",
    }
    return replace(
        shared,
        exchanges={
            **{name: exchanges[name] for name in exchanges if name in ids},
            **case.exchanges,
        },
        other_names={**names, **case.other_names},
        controls=(*(control for control in _CONTROLS if control.check in ids), *case.controls),
        indifferent={
            **{place: why for place, why in _INDIFFERENT.items() if place.split()[0] in ids},
            **case.indifferent,
        },
    )


def in_account(name: str) -> Callable[[httpx.Request], bool]:
    """Return whether a request is about this account of Cyclr's."""
    return lambda request: request.headers.get("x-cyclr-account") == name


API_TOKEN = ScriptedExchange("/oauth/token", {"access_token": CYCLR_TOKEN}, is_free=True)
"""Cyclr issues an API token."""

MADE_UP_ACCOUNTS = tuple(
    ScriptedExchange(
        _INSTALLED,
        {"Message": "Authorization has been denied for this request."},
        401,
        asks=in_account(str(UUID(hex=made_up(16, number), version=4))),
        decides=False,
    )
    for number in range(2)
)
"""The controls of a request about an account: two that are made up."""


def installed_connector(
    case: ConnectorCase,
    connector: Mapping[str, Any] | None = None,
    *,
    is_any: bool = True,
    **more: Any,
) -> ScriptedExchange:
    """Return the list of installed connectors; `is_any`: any connector's id will do."""
    name = case.all_values["cyclr_connector"]
    row = {"Id": 54321, "Connector": {"Name": name, **(connector or {})}, **more}
    free = frozenset({"0.Id", "0.Connector.Id"} if is_any else {"0.Id"})
    account = str(case.all_values["account_api_id"])
    return ScriptedExchange(_INSTALLED, [row], asks=in_account(account), free=free)


def sign_in_redirect(case: ConnectorCase, **more: str) -> tuple[ScriptedExchange, ...]:
    """Return a sign-in link, and its redirect to the vendor's dialog with `more` parameters."""
    values = case.all_values
    vendor = vendor_of(case.procedures[0])
    parameters = {
        "client_id": str(values[vendor.client_id.name]),
        "redirect_uri": redirect_uri(str(values["service_domain"])),
    }
    address = f"{vendor.oauth(values).authorization_endpoint}?{urlencode(parameters)}"
    for name, text in more.items():
        address += f"&{name}={text}"
    path = f"/v1.0/accounts/{values['account_api_id']}/signintoken"
    return (
        ScriptedExchange(path, {"Token": SIGN_IN_TOKEN}, is_free=True),
        ScriptedExchange(
            "/connectorauth/updateaccountconnectoroauth",
            "",
            302,
            headers={"location": address},
            is_page=True,
        ),
    )


def cyclr_exchanges(case: ConnectorCase) -> Mapping[str, tuple[MinimalExchanges, ...]]:
    """Return the minimal responses of each check of Cyclr's, for this case's values."""
    account = str(case.all_values["account_api_id"])
    name = case.all_values["cyclr_connector"]

    def library(*free: str) -> ScriptedExchange:
        row = {"Id": CONNECTOR_ID, "Name": name, "Status": "Approved"}
        return ScriptedExchange("/v1.0/connectors", [row], free=frozenset(free))

    return {
        "service-domain-answers": (
            MinimalExchanges(
                (
                    ScriptedExchange(_CALLBACK, "page", 400, is_page=True),
                    ScriptedExchange(f"{_CALLBACK}-{made_up(8)}", "page", 404, is_page=True),
                )
            ),
        ),
        "connector-is-in-library": (MinimalExchanges((API_TOKEN, library("0.Id"))),),
        "error-webhook-is-set": (
            MinimalExchanges(
                (
                    API_TOKEN,
                    ScriptedExchange(
                        f"/v1.0/accounts/{account}",
                        {"Id": account, "TransactionErrorWebhookEnabled": True},
                    ),
                )
            ),
        ),
        "console-holds-app-id": (
            MinimalExchanges((API_TOKEN, installed_connector(case), *sign_in_redirect(case))),
        ),
        "connector-is-installed": (
            MinimalExchanges(
                (
                    API_TOKEN,
                    installed_connector(case, {"Id": CONNECTOR_ID}, is_any=False),
                    *MADE_UP_ACCOUNTS,
                    library(),
                )
            ),
            MinimalExchanges(
                (
                    API_TOKEN,
                    ScriptedExchange(_INSTALLED, [], asks=in_account(account), is_free=True),
                    library(),
                    ScriptedExchange(
                        f"/v1.0/connectors/{CONNECTOR_ID}/install",
                        {"Id": 54321, "Connector": {"Id": CONNECTOR_ID, "Name": name}},
                        free=frozenset({"Id"}),
                    ),
                    *MADE_UP_ACCOUNTS,
                ),
                {"install_connector": True},
            ),
        ),
        "connector-is-authenticated": (
            MinimalExchanges(
                (API_TOKEN, installed_connector(case, Authenticated=True), *MADE_UP_ACCOUNTS)
            ),
        ),
    }
