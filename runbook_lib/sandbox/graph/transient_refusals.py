"""
Refusals that pass: errors of the moment and rate limits (graph §8).
"""

from runbook_lib.sandbox.graph.errors import Refusal
from runbook_lib.sandbox.origins import inferred, verbatim

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
        PAGE_LIMIT,
        AD_ACCOUNT_LIMIT,
        LEADGEN_LIMIT,
    )
}
"""The errors that the operator can ask for as faults."""
