"""
Error texts that people meet at Facebook, as data: what each means and what to do.

The steps name the groups at the end; at Cyclr: `connectors.cyclr.troubles`.
Nothing here was seen by the runbook itself: `source` says who published it.
"""

from __future__ import annotations

from runbook_lib.connectors.facebook.sources import (
    LEADS,
    RELEASE,
    SUBMISSION,
    USE_CASES,
)
from runbook_lib.connectors.facebook.sources import RENEWAL as _RENEWAL_PAGES
from runbook_lib.core.troubles import Cause, Trouble

_ERRORS = "https://developers.facebook.com/docs/graph-api/guides/error-handling"
_MANUAL_FLOW = (
    "https://developers.facebook.com/documentation/facebook-login/guides/advanced/manual-flow"
)
_ACCESS_VERIFICATION = f"{RELEASE}/access-verification"
_LEAD_ACCESS = "https://developers.facebook.com/docs/graph-api/reference/has-lead-access/"
_READINGS = "third-party readings, November 2026"

# --- the redirect URI -------------------------------------------------------------------------
_URL_BLOCKED = Trouble(
    shown=(
        "URL Blocked",
        (
            "This redirect failed because the redirect URI is not whitelisted in the app's Client "
            "OAuth Settings. Make sure Client and Web OAuth Login are on and add all your app "
            "domains as Valid OAuth Redirect URIs."
        ),
        "Can't Load URL: The domain of this URL isn't included in the app's domains.",
        "Invalid redirect_uri: Given URL is not allowed by the Application configuration.",
        "redirect_uri isn't an absolute URI. Check RFC 3986.",
    ),
    codes=(191,),
    means="Facebook does not send users back to the address that the app asked for.",
    causes=(
        Cause(
            text="https://<Service Domain>/connector/callback is not listed under Valid OAuth "
            "Redirect URIs: scheme, case, path and a slash at the end count.",
            tested_by=("redirect-uri-is-accepted",),
        ),
        Cause(
            text="The Service Domain was changed, or a custom domain is in use and the other one "
            "is listed.",
            tested_by=("service-domain-answers", "console-holds-app-id"),
        ),
        Cause(
            text="Cyclr holds the App ID of another app as Client ID.",
            tested_by=("console-holds-app-id",),
        ),
        Cause(text="Client OAuth Login or Web OAuth Login is off in the login settings."),
        Cause(
            text="The address was added under the settings of another product: an app with "
            "Facebook Login for Business has its own list there.",
        ),
    ),
    advice=(
        "Go to {fb-08-redirect-uri}: copy the address shown there into Valid OAuth Redirect URIs, "
        "save, and see that Client OAuth Login and Web OAuth Login are on. Check that step, then "
        "sign in again."
    ),
    source=_MANUAL_FLOW,
)
_REDIRECT_DIFFERS = Trouble(
    shown=(
        (
            "Error validating verification code. Please make sure your redirect_uri is identical "
            "to the one you used in the OAuth dialog request"
        ),
    ),
    codes=(36008,),
    means="The code was issued for one redirect URI and redeemed with another.",
    causes=(
        Cause(text="The two addresses differ in a character, often a slash at the end."),
        Cause(
            text="The Service Domain was changed between sign-in and answer.",
            tested_by=("console-holds-app-id",),
        ),
    ),
    advice="Sign in again from the beginning. If it happens again, compare the address at "
    "{fb-08-redirect-uri}, then ask Cyclr's support.",
    source="https://github.com/st4lk/django-rest-social-auth/issues/50",
)
_CODE_SPENT = Trouble(
    shown=(
        "This authorization code has been used.",
        "This authorization code has expired.",
        "Invalid verification code format.",
    ),
    codes=(36007, 36009),
    means="An authorization code counts once, and for minutes. This one no longer does.",
    causes=(
        Cause(text="The page with the answer was loaded again, or opened twice."),
        Cause(text="Too much time passed between consent and answer."),
        Cause(text="The pasted address was cut."),
    ),
    advice="Sign in with Facebook again for a fresh code. Do not load the answer's page again.",
    source=_MANUAL_FLOW,
)

# --- credentials ------------------------------------------------------------------------------
_BAD_SECRET = Trouble(
    shown=("Error validating client secret.",),
    means="Facebook knows the App ID, and this is not its App Secret.",
    causes=(
        Cause(
            text="The App Secret is another app's, or was cut when it was copied.",
            tested_by=("app-credentials-are-accepted",),
        ),
        Cause(
            text="The App Secret was reset at Facebook, and Cyclr still holds the old one.",
            tested_by=("app-credentials-are-accepted", "connector-is-authenticated"),
        ),
    ),
    advice=(
        "Copy the App Secret again from Settings > Basic > Show and give it to the runbook. If the "
        "text came at a sign-in through Cyclr, enter it there as Client Secret: "
        "{cy-03-client-secret}. Then check or sign in again."
    ),
    source="https://github.com/facebookarchive/php-graph-sdk/issues/538",
)
_BAD_APP = Trouble(
    shown=(
        "Error validating application. Cannot get application info due to a system error.",
        "Error validating application. Invalid application ID.",
        "Invalid Client ID",
        "Missing client_id parameter.",
    ),
    codes=(101,),
    means="Facebook cannot find an app for this App ID, or does not serve it.",
    causes=(
        Cause(
            text="The App ID is mistyped, or is the id of something else: an Instagram app, a "
            "page, a business.",
            tested_by=("app-credentials-are-accepted", "app-is-registered"),
        ),
        Cause(text="The app was deleted, or Facebook blocked it: see the alerts in the dashboard."),
        Cause(text="Client ID is empty in Cyclr.", tested_by=("console-holds-app-id",)),
    ),
    advice=(
        "Compare the App ID with the one in Settings > Basic, correct it where it was given, and "
        "check again; if the text came at a sign-in through Cyclr, see {cy-02-client-id}. Code 101 "
        "alone proves nothing: a real and an invented secret may get the same answer."
    ),
    source="https://github.com/sns-sdks/python-facebook/issues/271",
)
_SERVICE_FAULT = Trouble(
    shown=(
        "An unknown error has occurred.",
        "An unknown error occurred",
        "Service temporarily unavailable",
    ),
    codes=(1, 2),
    means="Facebook has a fault, or asks to wait. It says nothing about the app.",
    causes=(Cause(text="A fault of Facebook's that passes."),),
    advice="Wait some minutes and check again. If it stays, see https://metastatus.com.",
    source=_ERRORS,
)
_PROOF = Trouble(
    shown=(
        "API calls from the server require an appsecret_proof argument",
        "Invalid appsecret_proof provided in the API argument",
    ),
    means="The app demands a proof with each call, and it is missing or made with another secret.",
    causes=(
        Cause(
            text="Require App Secret is on (Settings > Advanced > Security), and the connector "
            "sends no proof.",
        ),
        Cause(
            text="The App Secret in use is not this app's.",
            tested_by=("app-credentials-are-accepted",),
        ),
    ),
    advice=(
        "Switch Require App Secret off unless your connector sends the proof; else correct the App "
        "Secret where the call is made."
    ),
    source="https://github.com/facebook/facebook-python-business-sdk/issues/528",
)
_OLD_VERSION = Trouble(
    shown=(
        (
            "(#2635) You are calling a deprecated version of the Ads API. Please update to the "
            "latest version: …"
        ),
        "Unknown path components: …",
    ),
    codes=(2635, 2500),
    means="The Graph version of the call has ended, does not exist yet, or the path is wrong.",
    causes=(
        Cause(
            text="The version that the runbook is pinned to (graph_version) has ended.",
            tested_by=("missing-sections-are-filled",),
        ),
        Cause(text="The connector in Cyclr calls a version that has ended."),
    ),
    advice="Raise graph_version. If the connector itself says this, tell Cyclr's support.",
    source="https://github.com/facebook/facebook-nodejs-business-sdk/issues/239",
)

# --- what users may be asked for --------------------------------------------------------------
_INVALID_SCOPES = Trouble(
    shown=(
        "Invalid Scopes: …",
        (
            "This message is only shown to developers. Users of your app will ignore these "
            "permissions if present."
        ),
    ),
    means="The app asks for permissions that it cannot have as it is set up.",
    causes=(
        Cause(
            text="The app lacks the use case that brings them. leads_retrieval, pages_manage_ads "
            "and others come with Capture & manage ad leads with Marketing API; without it they "
            "are in no list.",
        ),
        Cause(
            text="A permission is misspelt or no longer exists.",
            tested_by=("scopes-are-asked-for", "console-holds-app-id"),
        ),
        Cause(
            text="A permission on which it depends was not added.",
            tested_by=("permissions-are-requested",),
        ),
    ),
    advice=(
        "Add the use case ({fb-04a-use-case}), then each permission under Use cases > "
        "Customize. For a person with a role on the app it works at once; for others after App "
        "Review."
    ),
    source=f"{USE_CASES}; third-party reading, 21 August 2026",
)
_NO_PERMISSION = Trouble(
    shown=(
        "It looks like this app isn't available",
        "This app needs at least one supported permission",
    ),
    means="Facebook shows no consent: of what the app asks for, it may ask this person nothing.",
    causes=(
        Cause(
            text="The app has Facebook Login for Business, which expects a configuration, and "
            "Cyclr asks with a plain scope. Readings differ: with some apps this works.",
            tested_by=("console-holds-app-id",),
        ),
        Cause(
            text="The person has no role on the app, and the permissions are not approved.",
            tested_by=("review-is-approved",),
        ),
        Cause(
            text="Only public_profile or email is asked for.",
            tested_by=("scopes-are-asked-for", "console-holds-app-id"),
        ),
    ),
    advice=(
        "Try it as a person with a role on the app. Does it work there, the review is missing; "
        "does it fail there too, add the use case and its permissions."
    ),
    source=f"https://developers.facebook.com/documentation/development/create-an-app/"
    f"marketing-api-use-cases; {_READINGS}",
)
_DENIED = Trouble(
    shown=("Permissions error", "user_denied", "access_denied"),
    means="The person pressed Cancel, or did not consent.",
    causes=(
        Cause(text="The person cancelled the consent."),
        Cause(
            text="With Facebook Login for Business one refused permission refuses all of them.",
            tested_by=("user-token-is-valid",),
        ),
    ),
    advice="Sign in again and grant everything that is asked for.",
    source=_MANUAL_FLOW,
)

# --- who may use the app ----------------------------------------------------------------------
_FEATURE_UNAVAILABLE = Trouble(
    shown=("Feature unavailable",),
    means="Facebook offers the sign-in to nobody, or to people with a role on the app only.",
    causes=(
        Cause(
            text="public_profile does not have Advanced Access.",
            tested_by=("public-profile-is-live",),
        ),
        Cause(text="The app was approved, but is not published (Publish > Go live)."),
        Cause(
            text="Data Access Renewal (formerly Data Use Checkup), or another required action, is "
            "overdue in the dashboard.",
        ),
        Cause(
            text="Privacy policy, terms or data deletion page do not open without JavaScript.",
            tested_by=("public-pages-open",),
        ),
    ),
    advice=(
        "Open the dashboard and do its required actions, see that public_profile shows Advanced "
        "Access and that the app is published; then sign in as a person without a role on the app."
    ),
    source="https://github.com/thebergamo/react-native-fbsdk-next/issues/79; "
    "https://github.com/thebergamo/react-native-fbsdk-next/issues/610",
)
_NOT_SET_UP = Trouble(
    shown=(
        "App Not Setup",
        "This app is still in development mode, and you don't have access to it.",
        "App not active",
    ),
    means="The app is not published, and this person has no role on it.",
    causes=(
        Cause(text="The app is in development mode, or its use case was never published."),
        Cause(text="The person has no role on the app (App roles > Roles)."),
        Cause(
            text="Settings > Basic lacks what publishing needs.",
            tested_by=("missing-sections-are-filled",),
        ),
    ),
    advice="Publish the app (Publish > Go live), or test with a person who has a role on it.",
    source=RELEASE,
)
_NEEDS_ADVANCED_ACCESS = Trouble(
    shown=(
        "Request advanced access",
        "Requires advanced access",
    ),
    means="The button stays grey until Facebook has seen the app use the permission.",
    causes=(
        Cause(
            text="No successful call with this permission in the last 30 days. Facebook shows a "
            "call after up to two days.",
            tested_by=("test-calls-are-made",),
        ),
        Cause(
            text="Business Verification or Access Verification (Tech Provider) is missing.",
            tested_by=("business-is-verified",),
        ),
        Cause(
            text="A permission on which it depends was not added.",
            tested_by=("permissions-are-requested",),
        ),
    ),
    advice=(
        "Make one call for each permission with a token that carries it: the tests at the end of "
        "this procedure do. “runbook kit” lists a call for each. Wait up to two days, then reload."
    ),
    source=f"{SUBMISSION}; {_ACCESS_VERIFICATION}",
)

# --- review -----------------------------------------------------------------------------------
_RENEWAL_OPEN = Trouble(
    shown=(
        "Complete data access renewal requirements to submit for App Review",
        "Data Access Renewal",
    ),
    means=(
        "Facebook asks for the app's Data Access Renewal. Until it is complete, nothing can be "
        "submitted to App Review and the app cannot be published (the words with which publishing "
        "is refused were not read)."
    ),
    causes=(
        Cause(
            text="The renewal was asked for and is not submitted: see Required actions in My Apps.",
        ),
        Cause(text="It is submitted, and Facebook is at it: 10 to 15 working days were seen."),
        Cause(
            text="Facebook calls it by an older name: Data Use Checkup, Data Protection "
            "Assessment, data handling questions.",
        ),
    ),
    advice=(
        "Go to {data-access-renewal}: open it under Required actions, complete its sections and "
        "submit it before its due date. Once Facebook shows it as complete, submit or publish."
    ),
    source=f"{_RENEWAL_PAGES}/faqs; {_READINGS}",
)
_DEACTIVATED = Trouble(
    shown=(
        "API access deactivated. To reactivate, go to the app dashboard.",
        "You will be able to log in when the app is reactivated.",
    ),
    means="Facebook has deactivated the app: it answers no call, and nobody can sign in.",
    causes=(
        Cause(
            text="The Data Access Renewal was not complete on its due date, 60 days after the "
            "first notice.",
        ),
        Cause(text="Another required action in the dashboard is overdue."),
    ),
    advice=(
        "Open the dashboard and do its required actions. For the renewal see "
        "{data-access-renewal}: the app stays deactivated until it is complete."
    ),
    source=f"{_RENEWAL_PAGES}/faqs; https://github.com/msigley/WP-Instagram-API/pull/6; "
    "https://github.com/LoginRadius/engineering-blog-samples/issues/299",
)
_SUBMISSION_OPEN = Trouble(
    shown=("Cannot submit to App Review while a previous submission is in review",),
    means="Facebook takes one submission at a time.",
    causes=(
        Cause(
            text="The last submission is still being reviewed: 1 to 22 days were seen.",
            tested_by=("review-is-approved",),
        ),
        Cause(text="It was decided, and the result is unread in App Review > Requests."),
        Cause(text="The message is stale: it was seen while no submission was open."),
    ),
    advice=(
        "Open App Review > Requests and read every result there. Wait, or cancel the submission; "
        "then submit again."
    ),
    source=_READINGS,
)
_DECLINED = Trouble(
    shown=("Request again", "Declined, says …"),
    means="Facebook declined the submission, or some of its permissions. It can be sent again.",
    causes=(
        Cause(text="What App Review > Requests says of each permission: most often the recording."),
        Cause(
            text="A verification is missing: Business Verification, or as a Tech Provider.",
            tested_by=("business-is-verified",),
        ),
    ),
    advice=(
        "Read under App Review > Requests what was declined and why. Change that: the recording by "
        "the shot list of “runbook kit”, the text, or the app. Press Request again, submit it, and "
        "say at this step once more that it is submitted."
    ),
    source=f"{SUBMISSION}; {_READINGS}",
)
_SCREENCAST = Trouble(
    shown=("Screencast Not Aligned with Use Case Details", "Developer Policy 1.6"),
    means="The reviewer did not see in the recording what the text says of the permission.",
    causes=(
        Cause(text="The recording does not begin with the whole Meta login."),
        Cause(text="The screen on which the user grants the permission is not shown."),
        Cause(text="It does not show the permission in use from beginning to end."),
        Cause(text="It is not in English and has no captions."),
        Cause(text="The app works from server to server, and the submission does not say so."),
    ),
    advice="Record it again by the shot list of “runbook kit”, and submit that permission again.",
    source=f"https://developers.facebook.com/devpolicy/; {_READINGS}",
)

# --- tokens and data --------------------------------------------------------------------------
_BAD_TOKEN = Trouble(
    shown=(
        "Error validating access token: …",
        "Session has expired on …",
        "The session was invalidated …",
        "The access token could not be decrypted",
        "Invalid OAuth access token - Cannot parse access token",
        "An access token is required to request this resource.",
        "An active access token must be used to query information about the current user.",
    ),
    codes=(190, 102, 104, 458, 460, 463, 466, 467),
    means="The token has ended, was withdrawn, is incomplete or is not a user's.",
    causes=(
        Cause(
            text="It expired: one from a sign-in lives one to two hours, a long-lived one about "
            "60 days.",
            tested_by=("user-token-is-valid",),
        ),
        Cause(
            text="The person changed the password (460), logged out (467) or removed the app (458)."
        ),
        Cause(text="It was cut when it was copied.", tested_by=("user-token-is-valid",)),
    ),
    advice="Sign in again. In Cyclr: authenticate the connector in that account again.",
    source=_ERRORS,
)
_WRONG_TOKEN = Trouble(
    shown=(
        "(#190) This method must be called with a Page Access Token",
        "(#190) Application Secret required for this endpoint",
        (
            "(#100) You must provide an app access token, or a user access token that is an owner "
            "or developer of the app"
        ),
    ),
    means="The call is right, and was made with another kind of token than it needs.",
    causes=(
        Cause(text="A user's token was used where a page's or the app's own is needed."),
        Cause(
            text="The person has no task on the page, so Facebook gave no page token.",
            tested_by=("page-is-subscribed", "lead-data-is-readable"),
        ),
    ),
    advice="Take the page's token from /me/accounts, or let the runbook make the call.",
    source=_ERRORS,
)
_LACKS_PERMISSION = Trouble(
    shown=(
        "(#200) Requires … permission to manage the object",
        "(#200) Ad account owner has NOT grant ads_management or ads_read permission",
    ),
    codes=(200, *range(201, 300)),
    means="The token does not carry the permission, or the person may not do this themselves.",
    causes=(
        Cause(
            text="The person did not grant it, or the app did not ask for it.",
            tested_by=("user-token-is-valid", "permissions-are-seen-through-cyclr"),
        ),
        Cause(
            text="It is not approved, so people without a role cannot grant it.",
            tested_by=("review-is-approved",),
        ),
        Cause(text="The person lacks the task on the page or the role on the ad account."),
        Cause(text="Access Verification (Tech Provider) is missing: other businesses are refused."),
    ),
    advice=(
        "See which permissions the token carries, add what is missing, and let the person sign in "
        "again: a permission that was approved later is in no older token."
    ),
    source=f"{_ERRORS}; {LEADS}",
)
_NOT_PERMITTED = Trouble(
    shown=(
        "(#10) This endpoint requires the … permission or the … feature",
        "(#10) Application does not have permission for this action",
    ),
    codes=(10, 3),
    means="The app itself lacks a permission or feature for this call.",
    causes=(
        Cause(
            text="The permission was not granted to this token.",
            tested_by=("user-token-is-valid",),
        ),
        Cause(text="It is not approved for this app.", tested_by=("review-is-approved",)),
        Cause(text="The call was made with the app's own token; it needs a user's or a page's."),
    ),
    advice=(
        "Add the permission that the message names (often pages_read_engagement), have it "
        "approved, and sign in again."
    ),
    source=_ERRORS,
)
_NOT_THERE = Trouble(
    shown=(
        "(#100) Tried accessing nonexisting field …",
        (
            "Unsupported get request. Object with ID … does not exist, cannot be loaded due to "
            "missing permissions, or does not support this operation"
        ),
    ),
    codes=(100, 33),
    means="What was asked for is not there, or may not be seen: Facebook says the same to both.",
    causes=(
        Cause(
            text="A permission or feature for this edge is missing.",
            tested_by=("user-token-is-valid",),
        ),
        Cause(text="The id is wrong, or of something that this person may not see."),
        Cause(text="The kind of token is wrong, or the field is not in this Graph version."),
        Cause(text="Access Verification (Tech Provider) is missing."),
    ),
    advice="Compare id, token and permissions; try the same call in the Graph API Explorer.",
    source=f"{_ERRORS}; {_ACCESS_VERIFICATION}",
)
_LEADS_REVOKED = Trouble(
    shown=(
        "CRM access has been revoked from Lead Access Manager",
        "Lead Access Manager of page … denies this … leads",
    ),
    means="The business that owns the page lets only chosen people and apps read its leads.",
    causes=(
        Cause(
            text="The app is not assigned as a CRM in Lead Access Manager.",
            tested_by=("lead-data-is-readable",),
        ),
        Cause(
            text="The person who consented is not assigned there.",
            tested_by=("lead-data-is-readable",),
        ),
    ),
    advice=(
        "An admin of that business opens Business Settings > Integrations > Leads access, chooses "
        "the page, and assigns the app under CRMs > Assign CRM (and the person under People). The "
        "Lead Ads Testing Tool's Track status names the layer that fails."
    ),
    source=f"{_LEAD_ACCESS}; {_READINGS}",
)
_THROTTLED = Trouble(
    shown=(
        "(#4) Application request limit reached",
        "There have been too many calls to this ad-account.",
        "Ad Account Has Too Many API Calls",
        "There have been too many leadgen api calls to this Page account.",
        "(#32) Page request limit reached",
        "reports its … as used up",
    ),
    codes=(4, 17, 32, 341, 613, 2446079, *range(80000, 80015)),
    means="Too many calls in a short time; Facebook answers again later.",
    causes=(
        Cause(text="The app has the limited Marketing API Access Tier, whose limits are low."),
        Cause(text="Another job uses the same app, page or ad account."),
    ),
    advice=(
        "Wait: the answer's usage headers say how long, and the runbook follows them. For more, "
        "ask for the full Marketing API Access Tier: 500 calls in 15 days, under 15 % errors."
    ),
    source="https://developers.facebook.com/docs/graph-api/overview/rate-limiting/",
)
_BLOCKED = Trouble(
    shown=("Temporarily blocked for policies violations",),
    codes=(368,),
    means="Facebook holds this person or app back for a time because of its policies.",
    causes=(
        Cause(text="Something that was done looks like abuse: the dashboard's alerts say what."),
    ),
    advice=(
        "Stop trying, read the alerts in the dashboard and the inbox of the contact email, and "
        "appeal there. Try again when the time is over."
    ),
    source=_ERRORS,
)

# --- what each kind of step shows -------------------------------------------------------------
LIMITS = (_THROTTLED, _SERVICE_FAULT, _DEACTIVATED)
REDIRECT_URI = (_URL_BLOCKED, _REDIRECT_DIFFERS, _BAD_SECRET, _BAD_APP, *LIMITS)
CREDENTIALS = (_BAD_SECRET, _BAD_APP, _PROOF, _OLD_VERSION, *LIMITS)
PERMISSIONS = (_INVALID_SCOPES, _NO_PERMISSION)
ACCESS_LEVELS = (_NEEDS_ADVANCED_ACCESS, _FEATURE_UNAVAILABLE)
BUSINESS = (_BAD_TOKEN, _BAD_SECRET, _BAD_APP, *LIMITS)
RENEWAL = (_RENEWAL_OPEN, _DEACTIVATED)
REVIEW = (
    _DECLINED,
    _SUBMISSION_OPEN,
    _SCREENCAST,
    _NEEDS_ADVANCED_ACCESS,
    *RENEWAL,
)
CONSENT = (
    _URL_BLOCKED,
    _INVALID_SCOPES,
    _NO_PERMISSION,
    _NOT_SET_UP,
    _FEATURE_UNAVAILABLE,
    _DENIED,
    _REDIRECT_DIFFERS,
    _BAD_SECRET,
    _BAD_APP,
)
TOKEN = (_BAD_TOKEN, _CODE_SPENT, *CONSENT, *LIMITS)
DATA = (
    _LEADS_REVOKED,
    _LACKS_PERMISSION,
    _NOT_PERMITTED,
    _WRONG_TOKEN,
    _NOT_THERE,
    _THROTTLED,
    _BLOCKED,
    _DEACTIVATED,
)
PAGES = (
    _LACKS_PERMISSION,
    _NOT_PERMITTED,
    _WRONG_TOKEN,
    _NOT_THERE,
    _THROTTLED,
    _BLOCKED,
    _DEACTIVATED,
)
