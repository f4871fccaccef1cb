"""
Payloads of Cyclr's Transaction Error Webhook in the documented form, with refusals of Graph.

The refusals are those that public readings have word for word; the ids in them are made up.
"""

from __future__ import annotations

import json
from typing import Any

from runbook_lib.connectors.blame import Blame

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
# Message, code, subcode, status; where the cause lies.
REFUSALS: list[tuple[str, int, int | None, str, Blame]] = [
    (_EXPIRED, 190, 463, "400 Bad Request", Blame.CUSTOMER),
    (
        _PASSWORD,
        190, 460, "400 Bad Request", Blame.CUSTOMER,
    ),
    (
        "Error validating access token: The session was invalidated explicitly using an API call.",
        190, 466, "400 Bad Request", Blame.CUSTOMER,
    ),
    (
        "Error validating access token: The session is invalid because the user logged out.",
        190, 467, "400 Bad Request", Blame.CUSTOMER,
    ),
    (
        "Error validating access token: The user has not authorized application 123456789012345.",
        190, 458, "400 Bad Request", Blame.CUSTOMER,
    ),
    (
        "Invalid OAuth access token - Cannot parse access token",
        190, None, "400 Bad Request", Blame.CUSTOMER,
    ),
    ("The access token could not be decrypted", 190, None, "400 Bad Request", Blame.CUSTOMER),
    (
        "An access token is required to request this resource.",
        104, None, "400 Bad Request", Blame.CUSTOMER,
    ),
    (
        "(#200) Ad account owner has NOT grant ads_management or ads_read permission",
        200, None, "403 Forbidden", Blame.CUSTOMER,
    ),
    (
        "(#200) Requires leads_retrieval permission to manage the object",
        200, None, "403 Forbidden", Blame.CUSTOMER,
    ),
    (
        _ADS,
        294, None, "403 Forbidden", Blame.CUSTOMER,
    ),
    (
        "(#10) Application does not have permission for this action",
        10, None, "403 Forbidden", Blame.APP,
    ),
    (
        "(#3) Application does not have the capability to make this API call.",
        3, None, "400 Bad Request", Blame.APP,
    ),
    (
        "API access deactivated. To reactivate, go to the app dashboard.",
        200, None, "400 Bad Request", Blame.APP,
    ),
    ("API access blocked.", 200, None, "400 Bad Request", Blame.APP),
    ("Error validating client secret.", 1, None, "400 Bad Request", Blame.APP),
    (
        "Error validating application. Cannot get application info due to a system error.",
        101, None, "400 Bad Request", Blame.APP,
    ),
    (_MISSING, 100, 33, "400 Bad Request", Blame.PAGE),
    (
        "(#803) Some of the aliases you requested do not exist: sandbox.bakery",
        803, None, "404 Not Found", Blame.PAGE,
    ),
    ("(#4) Application request limit reached", 4, None, "400 Bad Request", Blame.LIMIT),
    ("(#17) User request limit reached", 17, None, "400 Bad Request", Blame.LIMIT),
    ("(#32) Page request limit reached", 32, None, "400 Bad Request", Blame.LIMIT),
    (
        "There have been too many calls to this ad-account. Wait a bit and try again.",
        80004, 2446079, "400 Bad Request", Blame.LIMIT,
    ),
    (
        "There have been too many leadgen api calls to this Page account.",
        80005, None, "400 Bad Request", Blame.LIMIT,
    ),
    (
        "(#190) This method must be called with a Page Access Token",
        190, None, "400 Bad Request", Blame.CYCLR,
    ),
    (
        "The ids query parameter is deprecated in v26.0+",
        100, None, "500 Internal Server Error", Blame.CYCLR,
    ),
    (
        _VERSION,
        2635, None, "400 Bad Request", Blame.CYCLR,
    ),
    ("Invalid parameter", 100, 1885183, "400 Bad Request", Blame.APP),
    (
        "(#10) This message is sent outside of allowed window.",
        10,
        2018278,
        "400 Bad Request",
        Blame.UNKNOWN,
    ),
    ("App not active: This app is not currently accessible", 190, None, "400", Blame.APP),
    ("An unknown error has occurred.", 1, None, "500 Internal Server Error", Blame.UNKNOWN),
    ("(#4711) Nobody has read this one", 4711, 99, "400 Bad Request", Blame.UNKNOWN),
]  # fmt: skip


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
