"""
Every error that Graph answers with: message, code, subcode, HTTP status, and its source.

First what an error is made of, then the errors by topic. A `GraphError` is a
`Refusal` whose message is filled in. Nothing here decides when to refuse.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Refusal:
    """
    One of Graph's errors.

    `kind` is the middle word of `WWW-Authenticate: OAuth "Facebook Platform" "<kind>" "<message>"`,
    `data` the JSON that `error_data` holds as a text.
    """

    message: str
    code: int
    type: str = "OAuthException"
    subcode: int | None = None
    status: int = 400
    is_transient: bool | None = None
    kind: str = "invalid_request"
    title: str = ""
    explanation: str = ""
    data: str = ""


class GraphError(Exception):
    """A `Refusal` to answer with; `values` fill the placeholders of its message."""

    def __init__(self, refusal: Refusal, **values: object) -> None:
        self.refusal = refusal
        self.values = values
        self.message = refusal.message.format(**values) if values else refusal.message
        super().__init__(self.message)

    def body(self, fbtrace_id: str) -> dict[str, dict[str, object]]:
        """Return the error object with its keys in Graph's order (graph §10)."""
        refusal = self.refusal
        error: dict[str, object] = {"message": self.message, "type": refusal.type}
        if refusal.is_transient is not None:
            error["is_transient"] = refusal.is_transient
        error["code"] = refusal.code
        if refusal.data:
            error["error_data"] = refusal.data
        if refusal.subcode is not None:
            error["error_subcode"] = refusal.subcode
        if refusal.title:
            error["error_user_title"] = refusal.title
            error["error_user_msg"] = refusal.explanation
        error["fbtrace_id"] = fbtrace_id
        return {"error": error}


_METHOD = "GraphMethodException"

# --- versions and paths (graph §1) ---------------------------------------------------------
UNKNOWN_PATH = Refusal("Unknown path components: {path}", 2500)
DEPRECATED_MARKETING_VERSION = Refusal(
    "(#2635) You are calling a deprecated version of the Ads API. "
    "Please update to the latest version: {latest}.",
    2635,
)
IDS_ENDED = Refusal("The ids query parameter is deprecated in v26.0+", 100, status=500)
ALIAS = Refusal("(#803) Some of the aliases you requested do not exist: {alias}", 803)
_MISSING_TAIL = (
    "Object with ID '{id}' does not exist, cannot be loaded due to missing permissions, or does "
    "not support this operation. Please read the Graph API documentation at "
    "https://developers.facebook.com/docs/graph-api"
)
MISSING_OBJECT = Refusal("Unsupported get request. " + _MISSING_TAIL, 100, type=_METHOD, subcode=33)
UNSUPPORTED_POST = Refusal(
    "Unsupported post request. " + _MISSING_TAIL, 100, type=_METHOD, subcode=33
)
UNSUPPORTED_DELETE = Refusal(
    "Unsupported delete request. " + _MISSING_TAIL, 100, type=_METHOD, subcode=33
)
NOT_SERVED = Refusal("(#100) The sandbox does not answer {route}.", 100)
UNSUPPORTED_METHOD = Refusal("Unsupported request - method type: {method}", 100, type=_METHOD)

# --- tokens (graph §1, §6) -----------------------------------------------------------------
NO_TOKEN_ME = Refusal(
    "An active access token must be used to query information about the current user.", 2500
)
NO_TOKEN = Refusal("An access token is required to request this resource.", 104)
DEACTIVATED_APP = Refusal("API access deactivated. To reactivate, go to the app dashboard.", 200)
UNPARSABLE_TOKEN = Refusal(
    "Invalid OAuth access token - Cannot parse access token", 190, kind="invalid_token"
)
UNDECRYPTABLE_TOKEN = Refusal("The access token could not be decrypted", 190, kind="invalid_token")
BAD_SIGNATURE = Refusal("Invalid OAuth access token signature.", 190, kind="invalid_token")
EXPIRED_TOKEN = Refusal(
    "Error validating access token: Session has expired on {expired}. The current time is {now}.",
    190,
    subcode=463,
    kind="invalid_token",
)
NOT_INSTALLED_TOKEN = Refusal(
    "Error validating access token: The user has not authorized application {app_id}.",
    190,
    subcode=458,
    kind="invalid_token",
)
APP_SECRET_NEEDED = Refusal(
    "(#190) Application Secret required for this endpoint", 190, kind="invalid_token"
)
PAGE_TOKEN_NEEDED = Refusal(
    "(#190) This method must be called with a Page Access Token", 190, kind="invalid_token"
)
APP_TOKEN_NEEDED = Refusal("(#15) This method must be called with an app access_token.", 15)
INVALID_PROOF = Refusal("Invalid appsecret_proof provided in the API argument", 100, type=_METHOD)
MISSING_PROOF = Refusal(
    "API calls from the server require an appsecret_proof argument", 100, type=_METHOD
)

DEBUG_CALLER = Refusal(
    "(#100) You must provide an app access token, or a user access token that is an owner or "
    "developer of the app",
    100,
)
DEBUG_OTHER_APP = Refusal("(#100) The App_id in the input_token did not match the Viewing App", 100)

# --- parameters and fields (graph §3) ------------------------------------------------------
NO_FIELD = Refusal("(#100) Tried accessing nonexisting field ({field}) on node type ({type})", 100)
FIELD_SYNTAX = Refusal('Syntax error "{problem}" at character {position}: {text}', 2500)
MISSING_PARAMETER = Refusal("(#100) The parameter {name} is required", 100)
BAD_PARAMETER = Refusal("(#100) Param {name} must be {expected}", 100)
INVALID_PARAMETER = Refusal("Invalid parameter", 100, data='{"blame_field_specs":[["account_id"]]}')

# --- permissions (graph §7) ----------------------------------------------------------------
AD_ACCOUNT_NOT_GRANTED = Refusal(
    "(#200) Ad account owner has NOT grant ads_management or ads_read permission", 200, status=403
)
PERMISSION_NEEDED = Refusal(
    "(#200) Requires {permission} permission to manage the object", 200, status=403
)
NO_PERMISSION = Refusal(
    "(#10) Application does not have permission for this action", 10, status=403
)
PAGE_NOT_PUBLIC = Refusal(
    "(#10) This endpoint requires the 'pages_read_engagement' permission or the 'Page Public "
    "Content Access' feature. Refer to "
    "https://developers.facebook.com/docs/apps/review/login-permissions#manage-pages and "
    "https://developers.facebook.com/docs/apps/review/feature#reference-PAGES_ACCESS for details.",
    10,
)
TEST_LEAD_EXISTS = Refusal(
    "(#100) A test lead already exists for this form. Delete it before you create another one.", 100
)


# --- requests (graph §10) ------------------------------------------------------------------
TOO_LARGE = Refusal("The request is larger than this sandbox reads.", 1, status=413)


# --- token endpoint, in the order in which it examines a request (graph §2, §5) ------------
_PHP = "github facebookarchive/php-graph-sdk"
WRONG_SECRET = Refusal("Error validating client secret.", 1, kind="invalid_code")
UNKNOWN_APP = Refusal(
    "Error validating application. Cannot get application info due to a system error.",
    101,
    kind="invalid_code",
)
MALFORMED_CLIENT_ID = Refusal("Invalid Client ID", 101, kind="invalid_code")
MISSING_CLIENT_ID = Refusal("Missing client_id parameter.", 101, kind="invalid_code")
MISSING_REDIRECT_URI = Refusal("Missing redirect_uri parameter.", 191, kind="redirect_uri_mismatch")
RELATIVE_REDIRECT_URI = Refusal(
    "redirect_uri isn't an absolute URI. Check RFC 3986.", 191, kind="redirect_uri_mismatch"
)
FOREIGN_REDIRECT_URI = Refusal(
    "Can't load URL: The domain of this URL isn't included in the app's domains. To be able to "
    "load this URL, add all domains and sub-domains of your app to the App Domains field in your "
    "app settings.",
    191,
    kind="redirect_uri_mismatch",
)
MISSING_CODE = Refusal("Missing authorization code", 1, kind="invalid_code")
INVALID_CODE = Refusal("Invalid verification code format.", 100, kind="invalid_code")
EXPIRED_CODE = Refusal(
    "This authorization code has expired.", 100, subcode=36007, kind="invalid_code"
)
OTHER_REDIRECT_URI = Refusal(
    "Error validating verification code. Please make sure your redirect_uri is identical to the "
    "one you used in the OAuth dialog request",
    100,
    subcode=36008,
    kind="invalid_code",
)
USED_CODE = Refusal(
    "This authorization code has been used.", 100, subcode=36009, kind="invalid_code"
)
MISSING_EXCHANGE_TOKEN = Refusal(
    "fb_exchange_token parameter not specified", 1, kind="invalid_code"
)


# --- transient and limits (graph §8) -------------------------------------------------------
_RATE_GUIDE = "graph api rate limiting guide"
APP_LIMIT = Refusal("(#4) Application request limit reached", 4, status=403, is_transient=True)
_MORE = (
    " Wait a bit and try again. For more info, please refer to "
    "https://developers.facebook.com/docs/graph-api/overview/rate-limiting."
)
PAGE_LIMIT = Refusal("(#80001) There have been too many calls to this Page account." + _MORE, 80001)
AD_ACCOUNT_LIMIT = Refusal(
    "(#80004) There have been too many calls to this ad-account." + _MORE, 80004, subcode=2446079
)
AD_ACCOUNT_BLOCKED = Refusal(
    "(#17) User request limit reached",
    17,
    subcode=2446079,
    title="Ad Account Has Too Many API Calls",
    explanation="There have been too many calls from this ad-account." + _MORE,
)
INSIGHTS_LIMIT = Refusal(
    "(#80000) There have been too many calls from this ad-account." + _MORE, 80000, subcode=2446079
)
LEADGEN_LIMIT = Refusal(
    "(#80005) There have been too many leadgen api calls to this Page account." + _MORE, 80005
)
UNAVAILABLE = Refusal("(#2) Service temporarily unavailable", 2, is_transient=True)
UNKNOWN_ERROR = Refusal("An unknown error has occurred.", 1, status=500)
USER_LIMIT = Refusal("(#17) User request limit reached", 17)
PAGE_REQUEST_LIMIT = Refusal("(#32) Page request limit reached", 32)
CUSTOM_LIMIT = Refusal("(#613) Calls to this api have exceeded the rate limit.", 613)
TEMPORARY_LIMIT = Refusal("(#341) Feed action request limit reached", 341)
BLOCKED = Refusal(
    "(#368) The action attempted has been deemed abusive or is otherwise disallowed", 368
)

BY_CODE = {
    refusal.code: refusal
    for refusal in (
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
"""The errors that the operator can ask for as faults."""
