"""Response bodies that Facebook and Cyclr are known to send; identifiers are invented."""

from __future__ import annotations

from typing import Any

APP_ID = "1234567891011121"
APP_SECRET = "0123456789abcdef0123456789abcdef"
APP_TOKEN = f"{APP_ID}|A6BCDEFiGASDFdB1_Zviht7lzxc"
USER_TOKEN = "EAAuserToken" + "0aB1cD2eF3" * 4
CUSTOMER_TOKEN = "EAAcustomerToken" + "1kL2mN3oP4" * 4
PAGE_TOKEN = "EAApageToken" + "9zY8xW7vU6" * 4
OTHER_PAGE_TOKEN = "EAAemptyPageToken" + "5tS4rQ3pN2" * 4
# NOTE: no constant of the runbook has the form of a token.
CYCLR_TOKEN = "cyclr-api-token-" + "4fG7hJ2kL9mN3pQ8"
SIGN_IN_TOKEN = "c2lnbi1pbi10b2tl" + "bi1vZi1jeWNscg=="


def graph_error(
    message: str, code: int, *, kind: str = "OAuthException", **more: Any
) -> dict[str, Any]:
    """Return Graph's error object, with its keys in Graph's order."""
    error = {"message": message, "type": kind, "code": code, **more, "fbtrace_id": "F0n/KYH+Z5K"}
    return {"error": error}


# Token endpoint, client_credentials.
APP_TOKEN_ISSUED = {"access_token": APP_TOKEN, "token_type": "bearer"}
BAD_SECRET = graph_error("Error validating client secret.", 1)
DESKTOP_APP = graph_error(
    "The request is invalid because the app is configured as a desktop app", 1
)
DEACTIVATED = graph_error("API access deactivated. To reactivate, go to the app dashboard.", 200)
UNKNOWN_APP = graph_error(
    "Error validating application. Cannot get application info due to a system error.", 101
)
MALFORMED_ID = graph_error("Invalid Client ID", 101)
MISSING_ID = graph_error("Missing client_id parameter.", 101)
UNKNOWN_FAULT = graph_error("An unknown error has occurred.", 1)
TRANSIENT = graph_error(
    "Service temporarily unavailable", 2, kind="FacebookApiException", is_transient=True
)

# Token endpoint, authorization code.
BAD_CODE = graph_error("Invalid verification code format.", 100)
BAD_CODE_IN_PORTUGUESE = graph_error("Formato de código de verificação inválido.", 100)
REDIRECT_REFUSED_IN_HINDI = graph_error("URL लोड नहीं हो पा रहा है", 191)
EXPIRED_CODE = graph_error("This authorization code has expired.", 100, error_subcode=36007)
OTHER_REDIRECT = graph_error(
    "Error validating verification code. Please make sure your redirect_uri is identical to the "
    "one you used in the OAuth dialog request",
    100,
    error_subcode=36008,
)
REDIRECT_REFUSED = graph_error(
    "Can't Load URL: The domain of this URL isn't included in the app's domains. To be able to "
    "load this URL, add all domains and subdomains of your app to the App Domains field in your "
    "app settings.",
    191,
)
OLD_REDIRECT_REFUSED = graph_error(
    "Invalid redirect_uri: Given URL is not allowed by the Application configuration.", 100
)

# Graph nodes and edges.
NO_SUCH_OBJECT = graph_error(
    "Unsupported get request. Object with ID 'x' does not exist, cannot be loaded due to missing "
    "permissions, or does not support this operation",
    100,
    kind="GraphMethodException",
    error_subcode=33,
)
APPLICATION = {
    "category": "Business",
    "link": f"https://www.facebook.com/games/?app_id={APP_ID}",
    "name": "Acme Lead Sync",
    "id": APP_ID,
}
FULL_APPLICATION = {
    "id": APP_ID,
    "privacy_policy_url": "https://acme.example/privacy",
    "terms_of_service_url": "https://acme.example/terms",
    "category": "Business",
    "icon_url": "https://acme.example/icon.png",
    "contact_email": "operator@acme.example",
    "app_domains": ["cyclr.com"],
    "user_support_email": "support@acme.example",
}
NEEDS_TOKEN = graph_error(
    "An active access token must be used to query information about the current user.", 2500
)
EXPIRED_TOKEN = graph_error(
    "Error validating access token: Session has expired on Saturday, 13-Jun-26 05:00:00 PDT. "
    "The current time is Saturday, 13-Jun-26 06:00:00 PDT.",
    190,
    error_subcode=463,
)
NO_SUCH_FIELD = graph_error(
    "(#100) Tried accessing nonexisting field (has_lead_access) on node type (Page)", 100
)
APP_LIMIT = graph_error("(#4) Application request limit reached", 4)
LEAD_LIMIT = graph_error("There have been too many leadgen api calls to this Page account.", 80005)
NO_ADS = graph_error(
    "(#200) Ad account owner has NOT grant ads_management or ads_read permission", 200
)
TOKEN_INSPECTED: dict[str, Any] = {
    "app_id": APP_ID,
    "type": "USER",
    "application": "Acme Lead Sync",
    "data_access_expires_at": 0,
    "expires_at": 0,
    "is_valid": True,
    "issued_at": 567,
    "scopes": ["leads_retrieval", "public_profile"],
    "granular_scopes": [{"scope": "leads_retrieval"}],
    "user_id": "873",
}
TOKEN_INVALID: dict[str, Any] = {
    "app_id": APP_ID,
    "error": {
        "code": 190,
        "message": "Error validating access token: The session has been invalidated because the "
        "user changed their password.",
        "subcode": 460,
    },
    "is_valid": False,
    "scopes": [],
}
TOKEN_OF_ANOTHER_APP = graph_error(
    "(#100) The App_id in the input_token did not match the Viewing App", 100
)
LEAD_ACCESS: dict[str, Any] = {
    "app_has_leads_permission": True,
    "can_access_lead": True,
    "enabled_lead_access_manager": True,
    "failure_reason": "",
    "failure_resolution": "",
    "is_page_admin": True,
    "page_id": "page-1",
    "user_has_leads_permission": True,
    "user_id": "873",
}
LEAD = {"created_time": "2018-02-28T08:49:14+0000", "id": "lead-1", "form_id": "form-1"}

# Cyclr.
CYCLR_TOKEN_ISSUED = {
    "token_type": "bearer",
    "access_token": CYCLR_TOKEN,
    "expires_in": 1209599,
    "clientId": "partner-client",
}
SIGN_IN_TOKEN_ISSUED = {"Token": SIGN_IN_TOKEN, "ExpiresAtUtc": "2026-11-24T12:05:00Z"}
UNKNOWN_ADDRESS = {
    "Message": "Unknown client IP Address: contact support to request access for this IP address"
}
CONNECTOR: dict[str, Any] = {
    "Id": 17208,
    "Name": "Facebook Marketing API",
    "Description": "Facebook Marketing API",
    "Status": "Approved",
    "Version": None,
    "AuthType": "OAuth2",
    "OAuth2Type": "AuthorisationCode",
    "AuthScheme": None,
    "Parameters": [],
    "Authentication": [],
}
ACCOUNT_CONNECTOR: dict[str, Any] = {
    "Id": 54321,
    "Name": "Facebook Marketing API",
    "Description": None,
    "AuthValue": None,
    "Authenticated": True,
    "Connector": CONNECTOR,
    "IsPartnerIntegrationConnector": False,
    "Properties": [],
    "CustomFields": [],
}
METHOD = {
    "Id": 116,
    "Name": "List My Permissions",
    "Description": "Lists the permissions",
    "EndPoint": "/me/permissions",
    "MethodUniqueIdentifier": "5b1c9f9e-0000-4000-8000-000000000001",
}


def rows(*items: dict[str, Any]) -> dict[str, Any]:
    """Return an edge's answer with these rows."""
    return {"data": list(items), "paging": {}}


def statuses(**by_permission: str) -> dict[str, Any]:
    """Return a permissions edge: one row for each permission and its status."""
    items = by_permission.items()
    return rows(*({"permission": name, "status": status} for name, status in items))
