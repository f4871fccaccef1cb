"""
Graph's errors, by topic: message, code, subcode and HTTP status.

A `GraphError` is an `ErrorDefinition` whose message is filled in. The handlers decide when to raise
one.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class ErrorDefinition:
    """One of Graph's errors."""

    message: str
    """`message`, with placeholders such as `{id}`."""

    code: int
    """`code`."""

    type: str = "OAuthException"
    """`type`."""

    subcode: int | None = None
    """`error_subcode`; None if it has none."""

    status: int = 400
    """The HTTP status of the response."""

    is_transient: bool | None = None
    """`is_transient`; None if the error has no such key."""

    oauth_error: str = "invalid_request"
    """The error in `WWW-Authenticate: OAuth "Facebook Platform" "<error>" "<message>"`."""

    user_title: str = ""
    """`error_user_title`; empty if it has none."""

    user_message: str = ""
    """`error_user_msg`; empty if it has none."""

    error_data: str = ""
    """`error_data`, which is JSON in a string; empty if it has none."""


class GraphError(Exception):
    """An `ErrorDefinition` to respond with; `values` fill the placeholders of its message."""

    def __init__(self, definition: ErrorDefinition, **values: object) -> None:
        self.definition = definition
        self.values = values
        self.message = definition.message.format(**values) if values else definition.message
        super().__init__(self.message)

    def body(self, fbtrace_id: str) -> dict[str, dict[str, object]]:
        """Return the error object with its keys in Graph's order (graph §10)."""
        definition = self.definition
        error: dict[str, object] = {"message": self.message, "type": definition.type}
        if definition.is_transient is not None:
            error["is_transient"] = definition.is_transient
        error["code"] = definition.code
        if definition.error_data:
            error["error_data"] = definition.error_data
        if definition.subcode is not None:
            error["error_subcode"] = definition.subcode
        if definition.user_title:
            error["error_user_title"] = definition.user_title
            error["error_user_msg"] = definition.user_message
        error["fbtrace_id"] = fbtrace_id
        return {"error": error}


_METHOD = "GraphMethodException"

# --- versions and paths (graph §1) ---------------------------------------------------------
UNKNOWN_PATH = ErrorDefinition("Unknown path components: {path}", 2500)
DEPRECATED_MARKETING_VERSION = ErrorDefinition(
    "(#2635) You are calling a deprecated version of the Ads API. "
    "Please update to the latest version: {latest}.",
    2635,
)
IDS_DEPRECATED = ErrorDefinition("The ids query parameter is deprecated in v26.0+", 100, status=500)
ALIAS = ErrorDefinition("(#803) Some of the aliases you requested do not exist: {alias}", 803)
_MISSING_TAIL = (
    "Object with ID '{id}' does not exist, cannot be loaded due to missing permissions, or does "
    "not support this operation. Please read the Graph API documentation at "
    "https://developers.facebook.com/docs/graph-api"
)
MISSING_OBJECT = ErrorDefinition(
    "Unsupported get request. " + _MISSING_TAIL, 100, type=_METHOD, subcode=33
)
UNSUPPORTED_POST = ErrorDefinition(
    "Unsupported post request. " + _MISSING_TAIL, 100, type=_METHOD, subcode=33
)
UNSUPPORTED_DELETE = ErrorDefinition(
    "Unsupported delete request. " + _MISSING_TAIL, 100, type=_METHOD, subcode=33
)
NOT_SERVED = ErrorDefinition("(#100) The sandbox does not answer {route}.", 100)
UNSUPPORTED_METHOD = ErrorDefinition(
    "Unsupported request - method type: {method}", 100, type=_METHOD
)

# --- tokens (graph §1, §6) -----------------------------------------------------------------
NO_TOKEN_ME = ErrorDefinition(
    "An active access token must be used to query information about the current user.", 2500
)
NO_TOKEN = ErrorDefinition("An access token is required to request this resource.", 104)
DEACTIVATED_APP = ErrorDefinition(
    "API access deactivated. To reactivate, go to the app dashboard.", 200
)
UNPARSABLE_TOKEN = ErrorDefinition(
    "Invalid OAuth access token - Cannot parse access token", 190, oauth_error="invalid_token"
)
UNDECRYPTABLE_TOKEN = ErrorDefinition(
    "The access token could not be decrypted", 190, oauth_error="invalid_token"
)
BAD_SIGNATURE = ErrorDefinition(
    "Invalid OAuth access token signature.", 190, oauth_error="invalid_token"
)
EXPIRED_TOKEN = ErrorDefinition(
    "Error validating access token: Session has expired on {expired}. The current time is {now}.",
    190,
    subcode=463,
    oauth_error="invalid_token",
)
NOT_INSTALLED_TOKEN = ErrorDefinition(
    "Error validating access token: The user has not authorized application {app_id}.",
    190,
    subcode=458,
    oauth_error="invalid_token",
)
APP_SECRET_NEEDED = ErrorDefinition(
    "(#190) Application Secret required for this endpoint", 190, oauth_error="invalid_token"
)
PAGE_TOKEN_NEEDED = ErrorDefinition(
    "(#190) This method must be called with a Page Access Token", 190, oauth_error="invalid_token"
)
APP_TOKEN_NEEDED = ErrorDefinition("(#15) This method must be called with an app access_token.", 15)
INVALID_PROOF = ErrorDefinition(
    "Invalid appsecret_proof provided in the API argument", 100, type=_METHOD
)
MISSING_PROOF = ErrorDefinition(
    "API calls from the server require an appsecret_proof argument", 100, type=_METHOD
)

DEBUG_CALLER = ErrorDefinition(
    "(#100) You must provide an app access token, or a user access token that is an owner or "
    "developer of the app",
    100,
)
DEBUG_OTHER_APP = ErrorDefinition(
    "(#100) The App_id in the input_token did not match the Viewing App", 100
)

# --- parameters and fields (graph §3) ------------------------------------------------------
NO_FIELD = ErrorDefinition(
    "(#100) Tried accessing nonexisting field ({field}) on node type ({type})", 100
)
FIELD_SYNTAX = ErrorDefinition('Syntax error "{problem}" at character {position}: {text}', 2500)
MISSING_PARAMETER = ErrorDefinition("(#100) The parameter {name} is required", 100)
BAD_PARAMETER = ErrorDefinition("(#100) Param {name} must be {expected}", 100)
INVALID_PARAMETER = ErrorDefinition(
    "Invalid parameter", 100, error_data='{"blame_field_specs":[["account_id"]]}'
)

# --- permissions (graph §7) ----------------------------------------------------------------
AD_ACCOUNT_NOT_GRANTED = ErrorDefinition(
    "(#200) Ad account owner has NOT grant ads_management or ads_read permission", 200, status=403
)
PERMISSION_NEEDED = ErrorDefinition(
    "(#200) Requires {permission} permission to manage the object", 200, status=403
)
NO_PERMISSION = ErrorDefinition(
    "(#10) Application does not have permission for this action", 10, status=403
)
PAGE_NOT_PUBLIC = ErrorDefinition(
    "(#10) This endpoint requires the 'pages_read_engagement' permission or the 'Page Public "
    "Content Access' feature. Refer to "
    "https://developers.facebook.com/docs/apps/review/login-permissions#manage-pages and "
    "https://developers.facebook.com/docs/apps/review/feature#reference-PAGES_ACCESS for details.",
    10,
)
TEST_LEAD_EXISTS = ErrorDefinition(
    "(#100) A test lead already exists for this form. Delete it before you create another one.", 100
)


# --- requests (graph §10) ------------------------------------------------------------------
TOO_LARGE = ErrorDefinition("The request is larger than this sandbox reads.", 1, status=413)


# --- token endpoint, in the order in which it examines a request (graph §2, §5) ------------
WRONG_SECRET = ErrorDefinition("Error validating client secret.", 1, oauth_error="invalid_code")
UNKNOWN_APP = ErrorDefinition(
    "Error validating application. Cannot get application info due to a system error.",
    101,
    oauth_error="invalid_code",
)
MALFORMED_CLIENT_ID = ErrorDefinition("Invalid Client ID", 101, oauth_error="invalid_code")
MISSING_CLIENT_ID = ErrorDefinition("Missing client_id parameter.", 101, oauth_error="invalid_code")
MISSING_REDIRECT_URI = ErrorDefinition(
    "Missing redirect_uri parameter.", 191, oauth_error="redirect_uri_mismatch"
)
RELATIVE_REDIRECT_URI = ErrorDefinition(
    "redirect_uri isn't an absolute URI. Check RFC 3986.", 191, oauth_error="redirect_uri_mismatch"
)
FOREIGN_REDIRECT_URI = ErrorDefinition(
    "Can't load URL: The domain of this URL isn't included in the app's domains. To be able to "
    "load this URL, add all domains and sub-domains of your app to the App Domains field in your "
    "app settings.",
    191,
    oauth_error="redirect_uri_mismatch",
)
MISSING_CODE = ErrorDefinition("Missing authorization code", 1, oauth_error="invalid_code")
INVALID_CODE = ErrorDefinition("Invalid verification code format.", 100, oauth_error="invalid_code")
EXPIRED_CODE = ErrorDefinition(
    "This authorization code has expired.", 100, subcode=36007, oauth_error="invalid_code"
)
OTHER_REDIRECT_URI = ErrorDefinition(
    "Error validating verification code. Please make sure your redirect_uri is identical to the "
    "one you used in the OAuth dialog request",
    100,
    subcode=36008,
    oauth_error="invalid_code",
)
USED_CODE = ErrorDefinition(
    "This authorization code has been used.", 100, subcode=36009, oauth_error="invalid_code"
)
MISSING_EXCHANGE_TOKEN = ErrorDefinition(
    "fb_exchange_token parameter not specified", 1, oauth_error="invalid_code"
)


# --- transient and limits (graph §8) -------------------------------------------------------
APP_LIMIT = ErrorDefinition(
    "(#4) Application request limit reached", 4, status=403, is_transient=True
)
_MORE = (
    " Wait a bit and try again. For more info, please refer to "
    "https://developers.facebook.com/docs/graph-api/overview/rate-limiting."
)
PAGE_LIMIT = ErrorDefinition(
    "(#80001) There have been too many calls to this Page account." + _MORE, 80001
)
AD_ACCOUNT_LIMIT = ErrorDefinition(
    "(#80004) There have been too many calls to this ad-account." + _MORE, 80004, subcode=2446079
)
AD_ACCOUNT_BLOCKED = ErrorDefinition(
    "(#17) User request limit reached",
    17,
    subcode=2446079,
    user_title="Ad Account Has Too Many API Calls",
    user_message="There have been too many calls from this ad-account." + _MORE,
)
INSIGHTS_LIMIT = ErrorDefinition(
    "(#80000) There have been too many calls from this ad-account." + _MORE, 80000, subcode=2446079
)
LEADGEN_LIMIT = ErrorDefinition(
    "(#80005) There have been too many leadgen api calls to this Page account." + _MORE, 80005
)
UNAVAILABLE = ErrorDefinition("(#2) Service temporarily unavailable", 2, is_transient=True)
UNKNOWN_ERROR = ErrorDefinition("An unknown error has occurred.", 1, status=500)
USER_LIMIT = ErrorDefinition("(#17) User request limit reached", 17)
PAGE_REQUEST_LIMIT = ErrorDefinition("(#32) Page request limit reached", 32)
CUSTOM_LIMIT = ErrorDefinition("(#613) Calls to this api have exceeded the rate limit.", 613)
TEMPORARY_LIMIT = ErrorDefinition("(#341) Feed action request limit reached", 341)
BLOCKED = ErrorDefinition(
    "(#368) The action attempted has been deemed abusive or is otherwise disallowed", 368
)

INJECTABLE_ERRORS = {
    definition.code: definition
    for definition in (
        UNKNOWN_ERROR,
        UNAVAILABLE,
        INVALID_PARAMETER,
        APP_LIMIT,
        USER_LIMIT,
        PAGE_REQUEST_LIMIT,
        TEMPORARY_LIMIT,
        BLOCKED,
        CUSTOM_LIMIT,
        INSIGHTS_LIMIT,
        PAGE_LIMIT,
        AD_ACCOUNT_LIMIT,
        LEADGEN_LIMIT,
    )
}
"""Code → the error that the operator can request as a fault."""
