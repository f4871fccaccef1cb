"""
Every error that Graph answers with: message, code, subcode, HTTP status, and its source.

First what an error is made of, then the errors by topic. A `GraphError` is a
`Refusal` whose message is filled in. Nothing here decides when to refuse.
"""

from dataclasses import dataclass

from facebook_cyclr_sandbox.origins import Origin, inferred, unknown, verbatim


@dataclass(frozen=True)
class Refusal:
    """
    One of Graph's errors.

    `kind` is the middle word of `WWW-Authenticate: OAuth "Facebook Platform" "<kind>" "<message>"`.
    """

    message: str
    code: int
    origin: Origin
    type: str = "OAuthException"
    subcode: int | None = None
    status: int = 400
    is_transient: bool | None = None
    kind: str = "invalid_request"
    title: str = ""
    explanation: str = ""


class GraphError(Exception):
    """A `Refusal` to answer with; `values` fill the placeholders of its message."""

    def __init__(self, refusal: Refusal, **values: object) -> None:
        self.refusal = refusal
        self.message = refusal.message.format(**values) if values else refusal.message
        super().__init__(self.message)

    def body(self, fbtrace_id: str) -> dict[str, dict[str, object]]:
        """Return the error object with its keys in Graph's order (graph §10)."""
        refusal = self.refusal
        error: dict[str, object] = {"message": self.message, "type": refusal.type}
        if refusal.is_transient is not None:
            error["is_transient"] = refusal.is_transient
        error["code"] = refusal.code
        if refusal.subcode is not None:
            error["error_subcode"] = refusal.subcode
        if refusal.title:
            error["error_user_title"] = refusal.title
            error["error_user_msg"] = refusal.explanation
        error["fbtrace_id"] = fbtrace_id
        return {"error": error}


_METHOD = "GraphMethodException"

# --- versions and paths (graph §1) ---------------------------------------------------------
UNKNOWN_PATH = Refusal(
    "Unknown path components: {path}",
    2500,
    verbatim("graph §1", "unknown version or edge: 2500 Unknown path components", "third-party"),
)
DEPRECATED_MARKETING_VERSION = Refusal(
    "(#2635) You are calling a deprecated version of the Ads API. "
    "Please update to the latest version: {latest}.",
    2635,
    verbatim(
        "graph §1",
        "dead Marketing API version: 2635",
        "github facebook/facebook-nodejs-business-sdk#239",
    ),
)
IDS_ENDED = Refusal(
    "The ids query parameter is deprecated in v26.0+",
    100,
    verbatim("graph §10", "root ?ids=: HTTP 500, code 100, on any version", "third-party, 2026"),
    status=500,
)
unknown(
    "graph §10", "the type of the refusal of root ?ids=, and whether a token is looked at first"
)
ALIAS = Refusal(
    "(#803) Some of the aliases you requested do not exist: {alias}",
    803,
    verbatim("graph §1", "unknown object name: 803", "github mobolic/facebook-sdk#315"),
)
_MISSING_TAIL = (
    "Object with ID '{id}' does not exist, cannot be loaded due to missing permissions, or does "
    "not support this operation. Please read the Graph API documentation at "
    "https://developers.facebook.com/docs/graph-api"
)
MISSING_OBJECT = Refusal(
    "Unsupported get request. " + _MISSING_TAIL,
    100,
    verbatim("graph §7", "missing object: 100/33", "GitHub threads"),
    type=_METHOD,
    subcode=33,
)
UNSUPPORTED_POST = Refusal(
    "Unsupported post request. " + _MISSING_TAIL,
    100,
    inferred("graph §7", "POST to what cannot be posted to: 100/33", "wording of the GET case"),
    type=_METHOD,
    subcode=33,
)
UNSUPPORTED_DELETE = Refusal(
    "Unsupported delete request. " + _MISSING_TAIL,
    100,
    inferred("graph §7", "DELETE of what cannot be deleted: 100/33", "wording of the GET case"),
    type=_METHOD,
    subcode=33,
)
NOT_SERVED = Refusal(
    "(#100) The sandbox does not answer {route}.",
    100,
    unknown("graph §7", "POST and DELETE of edges that the sandbox does not serve"),
)
UNSUPPORTED_METHOD = Refusal(
    "Unsupported request - method type: {method}",
    100,
    unknown("graph §7", "an HTTP method Graph does not have"),
    type=_METHOD,
)

# --- tokens (graph §1, §6) -----------------------------------------------------------------
NO_TOKEN_ME = Refusal(
    "An active access token must be used to query information about the current user.",
    2500,
    verbatim("graph §1", "/me without a user token: 2500", "third-party"),
)
NO_TOKEN = Refusal(
    "An access token is required to request this resource.",
    104,
    verbatim("graph §6", "no token: 104", "spring-social-facebook"),
)
DEACTIVATED_APP = Refusal(
    "API access deactivated. To reactivate, go to the app dashboard.",
    200,
    inferred(
        "graph §6",
        "a deactivated app: 200 API access deactivated",
        "github msigley/WP-Instagram-API#6, of 2022 (single), of an app that was not in use",
    ),
)
_SPRING = "spring-social-facebook fixtures"
UNPARSABLE_TOKEN = Refusal(
    "Invalid OAuth access token - Cannot parse access token",
    190,
    verbatim("graph §6", "a text that is not a token: 190 Cannot parse", "third-party"),
    kind="invalid_token",
)
UNDECRYPTABLE_TOKEN = Refusal(
    "The access token could not be decrypted",
    190,
    verbatim("graph §6", "a token never issued: 190 could not be decrypted", _SPRING),
    kind="invalid_token",
)
BAD_SIGNATURE = Refusal(
    "Invalid OAuth access token signature.",
    190,
    verbatim(
        "graph §6",
        "APPID|wrong: 190 Invalid OAuth access token signature",
        "github amachang/facebook-node-sdk#10",
    ),
    kind="invalid_token",
)
EXPIRED_TOKEN = Refusal(
    "Error validating access token: Session has expired on {expired}. The current time is {now}.",
    190,
    verbatim("graph §6", "expired token: 190/463", _SPRING),
    subcode=463,
    kind="invalid_token",
)
NOT_INSTALLED_TOKEN = Refusal(
    "Error validating access token: The user has not authorized application {app_id}.",
    190,
    inferred("graph §6", "app not installed: 190/458 (subcode verbatim, wording not)", _SPRING),
    subcode=458,
    kind="invalid_token",
)
APP_SECRET_NEEDED = Refusal(
    "(#190) Application Secret required for this endpoint",
    190,
    verbatim("graph §7", "an app's subscriptions with another token: 190", "third-party, 2026"),
    kind="invalid_token",
)
PAGE_TOKEN_NEEDED = Refusal(
    "(#190) This method must be called with a Page Access Token",
    190,
    verbatim("graph §7", "a page method called with a user token: 190", "third-party"),
    kind="invalid_token",
)
APP_TOKEN_NEEDED = Refusal(
    "(#15) This method must be called with an app access_token.",
    15,
    verbatim("graph §4", "an app method called with another token: 15", "github arsduo/koala#229"),
)
INVALID_PROOF = Refusal(
    "Invalid appsecret_proof provided in the API argument",
    100,
    verbatim("graph §6", "wrong appsecret_proof", "github facebook-python-business-sdk#528"),
    type=_METHOD,
)
MISSING_PROOF = Refusal(
    "API calls from the server require an appsecret_proof argument",
    100,
    verbatim("graph §6", "missing appsecret_proof where it is required", "github bottender#271"),
    type=_METHOD,
)

DEBUG_CALLER = Refusal(
    "(#100) You must provide an app access token, or a user access token that is an owner or "
    "developer of the app",
    100,
    verbatim("graph §6", "debug_token by the wrong caller: 100", "github nyaruka/rapidpro#3734"),
)
DEBUG_OTHER_APP = Refusal(
    "(#100) The App_id in the input_token did not match the Viewing App",
    100,
    unknown("graph §6", "debug_token with another app's token"),
)

# --- parameters and fields (graph §3) ------------------------------------------------------
NO_FIELD = Refusal(
    "(#100) Tried accessing nonexisting field ({field}) on node type ({type})",
    100,
    verbatim("graph §3", "an unknown field: 100 (pattern; the type word is inferred)", _SPRING),
)
FIELD_SYNTAX = Refusal(
    'Syntax error "{problem}" at character {position}: {text}',
    2500,
    unknown("graph §3", "a malformed fields parameter"),
)
MISSING_PARAMETER = Refusal(
    "(#100) The parameter {name} is required",
    100,
    unknown("graph §6", "a missing parameter"),
)
BAD_PARAMETER = Refusal(
    "(#100) Param {name} must be {expected}",
    100,
    unknown("graph §4", "a parameter of the wrong form"),
)

# --- permissions (graph §7) ----------------------------------------------------------------
AD_ACCOUNT_NOT_GRANTED = Refusal(
    "(#200) Ad account owner has NOT grant ads_management or ads_read permission",
    200,
    verbatim("graph §7", "ad accounts without ads_read or ads_management: 200, HTTP 403"),
    status=403,
)
PERMISSION_NEEDED = Refusal(
    "(#200) Requires {permission} permission to manage the object",
    200,
    verbatim("graph §7", "a page, form or lead call without its permission: 200, HTTP 403"),
    status=403,
)
PAGE_NOT_PUBLIC = Refusal(
    "(#10) This endpoint requires the 'pages_read_engagement' permission or the 'Page Public "
    "Content Access' feature. Refer to "
    "https://developers.facebook.com/docs/apps/review/login-permissions#manage-pages and "
    "https://developers.facebook.com/docs/apps/review/feature#reference-PAGES_ACCESS for details.",
    10,
    verbatim("graph §7", "a page without pages_read_engagement: 10", "third-party, 2026"),
)
TEST_LEAD_EXISTS = Refusal(
    "(#100) A test lead already exists for this form. Delete it before you create another one.",
    100,
    unknown("graph §7", "a second test lead (the rule is documented, its wording is not)"),
)


# --- requests (graph §10) ------------------------------------------------------------------
TOO_MANY_IN_BATCH = Refusal(
    "Too many requests in batch message. Maximum batch size is 50",
    1,
    unknown("graph §10", "more than 50 requests in a batch"),
    type=_METHOD,
)
REFERENCE_IN_BATCH = Refusal(
    "(#100) The sandbox fills in no {{result=…}} in a batch: {route}.",
    100,
    unknown("graph §10", "a request of a batch that refers to the answer of another"),
)
MALFORMED_BATCH = Refusal(
    "(#100) Param batch must be an array of requests, each with a method and a relative_url.",
    100,
    unknown("graph §10", "a batch that is not an array of requests"),
)
TOO_LARGE = Refusal(
    "The request is larger than this sandbox reads.",
    1,
    unknown("graph §10", "a request body over 6 MiB"),
    status=413,
)


# --- token endpoint, in the order in which it examines a request (graph §2, §5) ------------
_PHP = "github facebookarchive/php-graph-sdk"
WRONG_SECRET = Refusal(
    "Error validating client secret.",
    1,
    verbatim("graph §2", "wrong or missing client_secret: 1", f"{_PHP}#538"),
    kind="invalid_code",
)
UNKNOWN_APP = Refusal(
    "Error validating application. Cannot get application info due to a system error.",
    101,
    verbatim("graph §2", "unknown client_id: 101", "github sns-sdks/python-facebook#271"),
    kind="invalid_code",
)
MALFORMED_CLIENT_ID = Refusal(
    "Invalid Client ID",
    101,
    verbatim("graph §2", "malformed client_id: 101", "github facebook-anonymous-publisher#17"),
    kind="invalid_code",
)
MISSING_CLIENT_ID = Refusal(
    "Missing client_id parameter.",
    101,
    verbatim("graph §2", "missing client_id: 101", "github nov/fb_graph#204"),
    kind="invalid_code",
)
MISSING_REDIRECT_URI = Refusal(
    "Missing redirect_uri parameter.",
    191,
    verbatim("graph §2", "no redirect_uri and no known grant_type: 191", "third-party"),
    kind="invalid_code",
)
RELATIVE_REDIRECT_URI = Refusal(
    "redirect_uri isn't an absolute URI. Check RFC 3986.",
    191,
    verbatim("graph §5", "redirect_uri not absolute: 191", "third-party"),
    kind="invalid_code",
)
FOREIGN_REDIRECT_URI = Refusal(
    "Can't load URL: The domain of this URL isn't included in the app's domains. To be able to "
    "load this URL, add all domains and sub-domains of your app to the App Domains field in your "
    "app settings.",
    191,
    verbatim("graph §5", "redirect_uri outside the app's domains: 191", "vanilla/vanilla#6726"),
    kind="invalid_code",
)
MISSING_CODE = Refusal(
    "Missing authorization code",
    1,
    unknown("graph §5", "code exchange without a code"),
    kind="invalid_code",
)
INVALID_CODE = Refusal(
    "Invalid verification code format.",
    100,
    verbatim("graph §5", "a text that is not a code: 100", "django-rest-social-auth#50"),
    kind="invalid_code",
)
EXPIRED_CODE = Refusal(
    "This authorization code has expired.",
    100,
    verbatim("graph §5", "expired code: 100/36007", "third-party"),
    subcode=36007,
    kind="invalid_code",
)
OTHER_REDIRECT_URI = Refusal(
    "Error validating verification code. Please make sure your redirect_uri is identical to the "
    "one you used in the OAuth dialog request",
    100,
    verbatim("graph §5", "redirect_uri differs from the dialog's: 100/36008", "third-party"),
    subcode=36008,
    kind="invalid_code",
)
USED_CODE = Refusal(
    "This authorization code has been used.",
    100,
    verbatim("graph §5", "used code: 100/36009", "third-party"),
    subcode=36009,
    kind="invalid_code",
)
MISSING_EXCHANGE_TOKEN = Refusal(
    "fb_exchange_token parameter not specified",
    1,
    unknown("graph §5", "fb_exchange_token grant without its token"),
    kind="invalid_code",
)


# --- transient and limits (graph §8) -------------------------------------------------------
_RATE_GUIDE = "graph api rate limiting guide"
APP_LIMIT = Refusal(
    "(#4) Application request limit reached",
    4,
    verbatim(
        "graph §8", "the app's limit: 4 (HTTP 403 reported, 400 not excluded)", "android-sdk#582"
    ),
    status=403,
    is_transient=True,
)
_MORE = (
    " Wait a bit and try again. For more info, please refer to "
    "https://developers.facebook.com/docs/graph-api/overview/rate-limiting."
)
PAGE_LIMIT = Refusal(
    "(#80001) There have been too many calls to this Page account." + _MORE,
    80001,
    inferred("graph §8", "a page's limit: 80001 (the wording follows 80004)", _RATE_GUIDE),
)
AD_ACCOUNT_LIMIT = Refusal(
    "(#80004) There have been too many calls to this ad-account." + _MORE,
    80004,
    verbatim("graph §8", "an ad account's limit: 80004/2446079", "github airbytehq/airbyte#8773"),
    subcode=2446079,
)
AD_ACCOUNT_BLOCKED = Refusal(
    "(#17) User request limit reached",
    17,
    verbatim(
        "graph §8",
        "an ad account's own limit: HTTP 400, 17/2446079, Ad Account Has Too Many API Calls",
        "third-party readings, 2026",
    ),
    subcode=2446079,
    title="Ad Account Has Too Many API Calls",
    explanation="There have been too many calls from this ad-account." + _MORE,
)
unknown("graph §8", "which of 17 and 80004 an ad account's limit answers: 17, 80004 as a fault")
INSIGHTS_LIMIT = Refusal(
    "(#80000) There have been too many calls from this ad-account." + _MORE,
    80000,
    verbatim("graph §8", "the limit of insights: 80000, with 2446079 too", "third-party, 2026"),
    subcode=2446079,
)
LEADGEN_LIMIT = Refusal(
    "(#80005) There have been too many leadgen api calls to this Page account." + _MORE,
    80005,
    verbatim("graph §8", "a page's lead limit: 80005 (its tail is inferred)", _RATE_GUIDE),
)
UNAVAILABLE = Refusal(
    "Service temporarily unavailable",
    2,
    verbatim("graph §8", "transient: 2, is_transient (the HTTP status is inferred)"),
    type="FacebookApiException",
    status=503,
    is_transient=True,
)
UNKNOWN_ERROR = Refusal(
    "An unknown error has occurred.",
    1,
    verbatim("graph §2", "an unknown error: 1, HTTP 500", "third-party, 2014"),
    status=500,
)
USER_LIMIT = Refusal(
    "(#17) User request limit reached",
    17,
    verbatim("graph §8", "the person's limit: 17", "facebook-python-business-sdk#333"),
)
PAGE_REQUEST_LIMIT = Refusal(
    "(#32) Page request limit reached",
    32,
    verbatim("graph §8", "a page's limit with a page token: 32", _RATE_GUIDE),
)
CUSTOM_LIMIT = Refusal(
    "(#613) Calls to this api have exceeded the rate limit.",
    613,
    inferred("graph §8", "a custom limit: 613 (code verbatim, wording not)", _RATE_GUIDE),
)
TEMPORARY_LIMIT = Refusal(
    "(#341) Feed action request limit reached",
    341,
    inferred("graph §8", "an application limit: 341 (code verbatim, wording not)"),
)
BLOCKED = Refusal(
    "(#368) The action attempted has been deemed abusive or is otherwise disallowed",
    368,
    inferred("graph §8", "temporarily blocked for policies: 368 (code verbatim, wording not)"),
)

BY_CODE = {
    refusal.code: refusal
    for refusal in (
        UNKNOWN_ERROR,
        UNAVAILABLE,
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
