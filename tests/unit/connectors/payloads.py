"""
Payloads of Cyclr's Transaction Error Webhook in the documented form, with refusals of Graph.

The refusals are those that public readings have word for word; the ids in them are made up.
"""

from __future__ import annotations

import json
from typing import Any

from runbook_lib.connectors.fault_domain import FaultDomain

TOKEN = "EAAB" + "sbCS1iHgBAKZCZAe7xQ2Lm9" * 4
_EXPIRED = (
    "Error validating access token: Session has expired on Saturday, 13-Jun-26 05:00:00 PDT. The "
    "current time is Saturday, 13-Jun-26 06:12:11 PDT."
)
_MISSING = (
    "Unsupported get request. Object with ID '110' does not exist, cannot be loaded due to missing "
    "permissions, or does not support this operation. Please read the Graph API documentation at "
    "https://developers.facebook.com/docs/graph-api"
)
_PASSWORD = (
    "Error validating access token: The session has been invalidated because the user changed "
    "their password or Facebook has changed the session for security reasons."
)
_ADS = (
    "(#294) Managing advertisements requires an access token with the extended permission for "
    "ads_management"
)
_VERSION = (
    "(#2635) You are calling a deprecated version of the Ads API. Please update to the latest "
    "version: v26.0."
)
_NO_SESSION = "Error validating access token: The session "
_NOT_AUTHORIZED = (
    "Error validating access token: The user has not authorized application 123456789012345."
)
_NO_ADS = "(#200) Ad account owner has NOT grant ads_management or ads_read permission"
_NO_LEADS = "(#200) Requires leads_retrieval permission to manage the object"
_NOT_PERMITTED = "(#10) Application does not have permission for this action"
_NO_APP = "Error validating application. Cannot get application info due to a system error."
_NO_ALIAS = "(#803) Some of the aliases you requested do not exist: sandbox.bakery"
_TOO_MANY = "There have been too many calls to this ad-account. Wait a bit and try again."
_FORBIDDEN = "403 Forbidden"
_BROKEN = "500 Internal Server Error"


def _row(
    message: str, code: int, subcode: int | None = None, status: str = "400 Bad Request"
) -> tuple[str, int, int | None, str]:
    return message, code, subcode, status


# Message, code, subcode, status; where the cause lies.
_BY_CAUSE: dict[FaultDomain, tuple[tuple[str, int, int | None, str], ...]] = {
    FaultDomain.CUSTOMER: (
        _row(_EXPIRED, 190, 463),
        _row(_PASSWORD, 190, 460),
        _row(f"{_NO_SESSION}was invalidated explicitly using an API call.", 190, 466),
        _row(f"{_NO_SESSION}is invalid because the user logged out.", 190, 467),
        _row(_NOT_AUTHORIZED, 190, 458),
        _row("Invalid OAuth access token - Cannot parse access token", 190),
        _row("The access token could not be decrypted", 190),
        _row("An access token is required to request this resource.", 104),
        _row(_NO_ADS, 200, status=_FORBIDDEN),
        _row(_NO_LEADS, 200, status=_FORBIDDEN),
        _row(_ADS, 294, status=_FORBIDDEN),
    ),
    FaultDomain.APP: (
        _row(_NOT_PERMITTED, 10, status=_FORBIDDEN),
        _row("(#3) Application does not have the capability to make this API call.", 3),
        _row("API access deactivated. To reactivate, go to the app dashboard.", 200),
        _row("API access blocked.", 200),
        _row("Error validating client secret.", 1),
        _row(_NO_APP, 101),
        _row("Invalid parameter", 100, 1885183),
        _row("App not active: This app is not currently accessible", 190, status="400"),
    ),
    FaultDomain.PAGE: (
        _row(_MISSING, 100, 33),
        _row(_NO_ALIAS, 803, status="404 Not Found"),
    ),
    FaultDomain.LIMIT: (
        _row("(#4) Application request limit reached", 4),
        _row("(#17) User request limit reached", 17),
        _row("(#32) Page request limit reached", 32),
        _row(_TOO_MANY, 80004, 2446079),
        _row("There have been too many leadgen api calls to this Page account.", 80005),
    ),
    FaultDomain.CYCLR: (
        _row("(#190) This method must be called with a Page Access Token", 190),
        _row("The ids query parameter is deprecated in v26.0+", 100, status=_BROKEN),
        _row(_VERSION, 2635),
    ),
    FaultDomain.UNKNOWN: (
        _row("(#10) This message is sent outside of allowed window.", 10, 2018278),
        _row("An unknown error has occurred.", 1, status=_BROKEN),
        _row("(#4711) Nobody has read this one", 4711, 99),
    ),
}
REFUSALS = [(*row, cause) for cause, rows in _BY_CAUSE.items() for row in rows]


def refusal(message: str, code: int, subcode: int | None = None) -> str:
    """Return Graph's answer, with its keys in Graph's order and its escaped slashes."""
    error: dict[str, Any] = {"message": message, "type": "OAuthException", "code": code}
    if subcode is not None:
        error["error_subcode"] = subcode
    error["fbtrace_id"] = "AbCdEf1234x"
    return json.dumps({"error": error}, separators=(",", ":")).replace("/", "\\/")


def detail(answer: str, status: str = "400 Bad Request", host: str = "graph.facebook.com") -> str:
    """Return a `Detail`: status line, the raw refusal, the request without its Authorization."""
    request = f"GET https://{host}/v21.0/110/leadgen_forms?access_token={TOKEN}&limit=25"
    return f"{status}\r\n{answer}\r\n{request}\r\nHost: {host}\r\nAccept: application/json\r\n"


def payload(**more: Any) -> dict[str, Any]:
    """Return a payload with all documented fields."""
    return {
        "Timestamp": "2026-11-24T11:02:03.1234567Z",
        "AccountId": "0f6b6cb4-9d0f-4d32-9d7b-70a9bd2b9f11",
        "AccountExternalId": None,
        "AccountName": "Sandbox Bakery",
        "CycleId": "1b7a6d7c-1111-4e7a-8d6e-0c9a6f3f2222",
        "CycleName": "Leads to CRM",
        "StepId": "2c8b7e8d-2222-4f8b-9e7f-1d0b7a4a3333",
        "StepName": "List Forms",
        "StepType": "Action",
        "TransactionId": "3d9c8f9e-3333-4a9c-8f8a-2e1c8b5b4444",
        "Message": "Failed to call the method",
        "Detail": detail(refusal(_EXPIRED, 190, 463)),
        "IncidentLevel": "Error",
        **more,
    }
