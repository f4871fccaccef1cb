"""
Cyclr's JSON: its objects, its dates, its errors (cyclr §3).
"""

import json
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Any

from facebook_cyclr_sandbox.http.web import Headers, Reply
from facebook_cyclr_sandbox.state.cyclr_state import (
    Account,
    AccountConnector,
    ApiToken,
    ConnectorMethod,
    ConnectorParameter,
    LibraryConnector,
    SignInToken,
)

_SETTINGS: dict[str, object] = {
    "AuditInfo": None,
    "TaskAuditInfo": None,
    "StepDataSuccessRetentionHours": None,
    "StepDataErroredRetentionHours": None,
    "TransactionErrorWebhookEnabled": False,
    "TransactionErrorWebhookUrl": None,
    "TransactionErrorWebhookIncludeWarnings": False,
}
"""The settings of an account and their values where nothing was given."""


class CyclrError(Exception):
    """An error to answer with: status and `Message`."""

    def __init__(self, status: int, message: str, headers: Headers = ()) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers

    def reply(self) -> Reply:
        """Return the error as JSON."""
        return json_reply({"Message": self.message}, self.status, self.headers)


def json_reply(document: object, status: int = 200, headers: Headers = ()) -> Reply:
    """Return `document` as JSON."""
    body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    return Reply(
        status,
        body,
        (
            ("Content-Type", "application/json; charset=utf-8"),
            ("Cache-Control", "no-cache"),
            *headers,
        ),
    )


def utc_time(moment: float) -> str:
    """Write a time as Cyclr does: `2026-11-24T12:00:00.0000000Z`."""
    text = datetime.fromtimestamp(moment, UTC).isoformat(timespec="microseconds")
    return text.replace("+00:00", "0Z")


def token_shape(token: ApiToken, now: float) -> dict[str, object]:
    """Return the answer of the token endpoint; `expires_in` is 14 days less one second."""
    return {
        "token_type": "bearer",
        "access_token": token.value,
        "expires_in": round(token.expires_at - now) - 1,
        "clientId": token.client_id,
        ".refresh": "False",
        ".issued": formatdate(now, usegmt=True),
        ".expires": formatdate(token.expires_at, usegmt=True),
    }


def without_sniffing(reply: Reply) -> Reply:
    """Return `reply` with the header that every answer has."""
    if reply.header("X-Content-Type-Options"):
        return reply
    return replace(reply, headers=(*reply.headers, ("X-Content-Type-Options", "nosniff")))


def _next_bill(account: Account) -> str:
    created = datetime.fromtimestamp(account.created_on, UTC)
    year, month = divmod(created.year * 12 + created.month, 12)
    return utc_time(datetime(year, month + 1, 1, tzinfo=UTC).timestamp())


def account_shape(account: Account) -> dict[str, object]:
    """Return an account."""
    return {
        "CreatedDate": utc_time(account.created_on),
        "Id": account.id,
        "Name": account.name,
        "Description": account.description,
        "Timezone": account.timezone,
        "NextBillDateUtc": _next_bill(account),
        **_SETTINGS,
        **account.settings,
    }


def sign_in_shape(token: SignInToken) -> dict[str, object]:
    """Return a sign-in token."""
    return {"Token": token.value, "ExpiresAtUtc": utc_time(token.expires_at)}


def connector_shape(connector: LibraryConnector) -> dict[str, Any]:
    """Return a connector of the library, without what its Setup holds."""
    is_oauth = connector.auth_type == "OAuth2"
    oauth_type = "AuthorisationCode" if is_oauth else "Unknown"
    return {
        "Id": connector.id,
        "Name": connector.name,
        "Description": connector.description,
        "Status": connector.status,
        "Version": connector.version,
        "Icon": "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw==",
        "AuthDescription": None,
        "AuthType": connector.auth_type,
        "OAuth2Type": oauth_type,
        "AuthScheme": None,
        "Categories": [connector.category],
        "Parameters": [_parameter_shape(parameter) for parameter in connector.parameters],
        "Authentication": [
            {
                "Id": connector.authentication_id,
                "AuthName": "OAuth 2.0" if is_oauth else "API Key",
                "AuthDescription": None,
                "AuthType": connector.auth_type,
                "OAuth2Type": oauth_type,
                "AuthScheme": None,
            }
        ],
    }


def _parameter_shape(parameter: ConnectorParameter) -> dict[str, object]:
    return {
        "Id": parameter.id,
        "Name": parameter.name,
        "TargetType": "Script",
        "TargetName": parameter.target_name,
        "IsAccountConnectorProperty": parameter.is_property,
        "IsSensitive": False,
        "IsOptional": False,
        "DataType": "Text",
        "Values": list(parameter.values),
    }


def account_connector_shape(
    installed: AccountConnector, connector: LibraryConnector
) -> dict[str, Any]:
    """Return an installed connector."""
    return {
        "Id": installed.id,
        "Name": installed.name,
        "Description": None,
        "AuthValue": None,
        "Authenticated": installed.is_authenticated,
        "Connector": {**connector_shape(connector), "Triggers": []},
        "IsPartnerIntegrationConnector": False,
        "Properties": [
            {
                "Name": entry.name,
                "Value": entry.value,
                "Id": entry.id,
                "AccountConnectorId": installed.id,
            }
            for entry in installed.properties
        ],
        "CustomFields": [],
    }


def method_shape(method: ConnectorMethod) -> dict[str, object]:
    """Return a method of a connector."""
    return {
        "Id": method.id,
        "Name": method.name,
        "Description": method.description,
        "EndPoint": method.path,
        "MethodUniqueIdentifier": method.unique_id,
        "Category": method.category,
        "Parameters": [{"Id": number, "Name": name} for number, name in method.parameters],
    }
