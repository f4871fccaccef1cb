"""
Refusals of the token endpoint, in the order in which it examines a request (graph §2, §5).
"""

from runbook_lib.sandbox.graph.errors import Refusal
from runbook_lib.sandbox.origins import unknown, verbatim

_PHP = "github facebookarchive/php-graph-sdk"

# --- token endpoint (graph §2, §5) ---------------------------------------------------------
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
    verbatim("graph §5", "a text that is no code: 100", "django-rest-social-auth#50"),
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
