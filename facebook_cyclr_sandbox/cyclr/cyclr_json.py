"""
Cyclr's JSON: its objects, its dates, its errors (cyclr §3).
"""

import json
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Any

from facebook_cyclr_sandbox.http.web_messages import Headers, WebResponse
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
"""Setting of an account → its default."""


class CyclrError(Exception):
    """An error to respond with: status and `Message`."""

    def __init__(self, status: int, message: str, headers: Headers = ()) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers

    def response(self) -> WebResponse:
        """Return the error as JSON."""
        return json_response({"Message": self.message}, self.status, self.headers)


def json_response(document: object, status: int = 200, headers: Headers = ()) -> WebResponse:
    """Return `document` as JSON."""
    body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    return WebResponse(
        status,
        body,
        (
            ("Content-Type", "application/json; charset=utf-8"),
            ("Cache-Control", "no-cache"),
            *headers,
        ),
    )


def format_utc_time(moment: float) -> str:
    """Write a time as Cyclr does: `2026-11-24T12:00:00.0000000Z`."""
    text = datetime.fromtimestamp(moment, UTC).isoformat(timespec="microseconds")
    return text.replace("+00:00", "0Z")


def token_json(token: ApiToken, now: float) -> dict[str, object]:
    """Return the response of the token endpoint; `expires_in` is 14 days less one second."""
    return {
        "token_type": "bearer",
        "access_token": token.value,
        "expires_in": round(token.expires_at - now) - 1,
        "clientId": token.client_id,
        ".refresh": "False",
        ".issued": formatdate(now, usegmt=True),
        ".expires": formatdate(token.expires_at, usegmt=True),
    }


def add_nosniff_header(response: WebResponse) -> WebResponse:
    """Return `response` with the header that every response has."""
    if response.header("X-Content-Type-Options"):
        return response
    return replace(response, headers=(*response.headers, ("X-Content-Type-Options", "nosniff")))


def _next_bill_date(account: Account) -> str:
    created = datetime.fromtimestamp(account.created_on, UTC)
    year, month = divmod(created.year * 12 + created.month, 12)
    return format_utc_time(datetime(year, month + 1, 1, tzinfo=UTC).timestamp())


def account_json(account: Account) -> dict[str, object]:
    """Return an account."""
    return {
        "CreatedDate": format_utc_time(account.created_on),
        "Id": account.id,
        "Name": account.name,
        "Description": account.description,
        "Timezone": account.timezone,
        "NextBillDateUtc": _next_bill_date(account),
        **_SETTINGS,
        **account.settings,
    }


def sign_in_json(token: SignInToken) -> dict[str, object]:
    """Return a sign-in token."""
    return {"Token": token.value, "ExpiresAtUtc": format_utc_time(token.expires_at)}


def connector_json(connector: LibraryConnector) -> dict[str, Any]:
    """Return a connector of the library, without the values of its Setup."""
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
        "Parameters": [_parameter_json(parameter) for parameter in connector.parameters],
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


def _parameter_json(parameter: ConnectorParameter) -> dict[str, object]:
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


def account_connector_json(
    installed: AccountConnector, connector: LibraryConnector
) -> dict[str, Any]:
    """Return an installed connector."""
    return {
        "Id": installed.id,
        "Name": installed.name,
        "Description": None,
        "AuthValue": None,
        "Authenticated": installed.is_authenticated,
        "Connector": {**connector_json(connector), "Triggers": []},
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


def method_json(method: ConnectorMethod) -> dict[str, object]:
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
