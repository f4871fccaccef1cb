"""
Refusals of Graph calls: paths, tokens, parameters, permissions (graph §1, §3, §6, §7, §10).
"""

from runbook_lib.sandbox.graph.errors import Refusal
from runbook_lib.sandbox.origins import inferred, unknown, verbatim

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
_SPRING = "spring-social-facebook fixtures"
UNPARSABLE_TOKEN = Refusal(
    "Invalid OAuth access token - Cannot parse access token",
    190,
    verbatim("graph §6", "a text that is no token: 190 Cannot parse", "third-party"),
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
LOGGED_OUT_TOKEN = Refusal(
    "Error validating access token: The session is invalid because the user logged out.",
    190,
    inferred("graph §6", "user logged out: 190/467 (subcode verbatim, wording not)", _SPRING),
    subcode=467,
    kind="invalid_token",
)
INVALIDATED_TOKEN = Refusal(
    "Error validating access token: The session was invalidated explicitly using an API call.",
    190,
    verbatim("graph §6", "session invalidated: 190/466", _SPRING),
    subcode=466,
    kind="invalid_token",
)
PASSWORD_CHANGED_TOKEN = Refusal(
    "Error validating access token: The session has been invalidated because the user has changed "
    "the password.",
    190,
    inferred("graph §6", "password changed: 190/460 (subcode verbatim, wording not)", _SPRING),
    subcode=460,
    kind="invalid_token",
)
NOT_INSTALLED_TOKEN = Refusal(
    "Error validating access token: The user has not authorized application {app_id}.",
    190,
    inferred("graph §6", "app not installed: 190/458 (subcode verbatim, wording not)", _SPRING),
    subcode=458,
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
NOT_ALLOWED = Refusal(
    "(#10) Application does not have permission for this action",
    10,
    verbatim("graph §7", "an app without the right: 10, HTTP 403 (400 also reported)"),
    status=403,
)
TEST_LEAD_EXISTS = Refusal(
    "(#100) A test lead already exists for this form. Delete it before you create another one.",
    100,
    unknown("graph §7", "a second test lead (the rule is documented, its wording is not)"),
)


# --- requests (graph §10) ------------------------------------------------------------
TOO_MANY_IN_BATCH = Refusal(
    "Too many requests in batch message. Maximum batch size is 50",
    1,
    unknown("graph §10", "more than 50 requests in a batch"),
    type=_METHOD,
)
MALFORMED_BATCH = Refusal(
    "(#100) Param batch must be an array of requests, each with a method and a relative_url.",
    100,
    unknown("graph §10", "a batch that is no array of requests"),
)
TOO_LARGE = Refusal(
    "The request is larger than this sandbox reads.",
    1,
    unknown("graph §10", "a request body over 6 MiB"),
    status=413,
)
FULL = Refusal(
    "(#100) The sandbox holds as many of these as it can.",
    100,
    unknown("graph §10", "more objects than the sandbox holds: real limits are not modelled"),
)
