"""
Error texts that people meet at Facebook, as data: what each means and what to do.

The steps name the groups at the end; at Cyclr: `connectors.cyclr.troubles`.
Nothing here was seen by the runbook itself: `source` says who published it.
"""

from __future__ import annotations

from runbook_lib.connectors.blame import Blame
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
_WITHOUT_ROLE = ("customer-consents-without-role",)
# What one organisation alone reports.
_SINGLE = "third-party reading (single: one organisation's account), November 2026"

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
            text="No address of the Service Domain is listed under Valid OAuth Redirect URIs.",
            tested_by=("redirect-uri-is-accepted",),
        ),
        Cause(
            text="https://<Service Domain>/connector/callback is listed otherwise: scheme, case, "
            "path and a slash at the end count.",
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
        "Go to {fb-08-redirect-uri}: copy the address that the runbook shows into Valid OAuth "
        "Redirect URIs, save, and see that Client OAuth Login and Web OAuth Login are on. Then try "
        "the address in the Redirect URI Validator on the same page, which reads the saved list. "
        "Check, then sign in again."
    ),
    source=f"{_MANUAL_FLOW}; {_READINGS}",
)
_REDIRECT_DIFFERS = Trouble(
    shown=(
        (
            "Error validating verification code. Please make sure your redirect_uri is identical "
            "to the one you used in the OAuth dialog request"
        ),
    ),
    subcodes=(36008,),
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
    subcodes=(36007, 36009),
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
    blames=Blame.APP,
)
_BAD_APP = Trouble(
    shown=(
        "Error validating application. Cannot get application info due to a system error.",
        "Error validating application. Invalid application ID.",
        "Invalid Client ID",
        "Missing client_id parameter.",
        "Error validating application. Application has been deleted.",
        "Invalid App ID: The provided app ID does not look like a valid app ID.",
        "PLATFORM__INVALID_APP_ID",
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
    blames=Blame.APP,
)
_DESKTOP_APP = Trouble(
    shown=("The request is invalid because the app is configured as a desktop app",),
    means="Facebook refuses every exchange of a code for a token, so nobody can sign in.",
    causes=(
        Cause(
            text="Native or desktop app? is on in Settings > Advanced. Facebook then takes no App "
            "Secret, since such an app could not keep it.",
            tested_by=("redirect-uri-is-accepted",),
        ),
    ),
    advice=(
        "Switch Native or desktop app? off in Settings > Advanced and save; then check "
        "{fb-08-redirect-uri} and sign in again."
    ),
    source=f"https://github.com/laravel/socialite/issues/334; {_READINGS}",
    blames=Blame.APP,
)
_NAME = Trouble(
    shown=("Certain terms like … are not allowed.",),
    means="The App Display Name contains a brand of Meta's, or a word close to one.",
    causes=(
        Cause(
            text="Facebook names FB, Face, Book, Insta, Gram, Rift and ig, also as a part of a "
            "name; its other brands are likely to count too.",
        ),
    ),
    advice=(
        "Choose a name without them at {fb-04-create-app}: that of your own product is best. An "
        "appeal is rarely granted, says the message."
    ),
    source="https://github.com/nbcommunication/InstagramBasicDisplayApi/issues/16",
)
_SERVICE_FAULT = Trouble(
    shown=(
        "An unknown error has occurred.",
        "An unknown error occurred",
        "An unexpected error has occurred. Please retry your request later.",
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
    blames=Blame.CYCLR,
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
    means="The version of the call has ended, does not exist yet, or the path is wrong. Versions "
    "of the Marketing API end long before those of Graph.",
    causes=(
        Cause(
            text="The version that the runbook is pinned to (graph_version) has ended.",
            tested_by=("missing-sections-are-filled", "marketing-data-is-readable"),
        ),
        Cause(text="The connector in Cyclr calls a version that has ended."),
    ),
    advice="Raise graph_version. If the connector itself says this, tell Cyclr's support.",
    source="https://github.com/facebook/facebook-nodejs-business-sdk/issues/239",
    blames=Blame.CYCLR,
)

_NO_LONGER_SERVED = Trouble(
    shown=("The ids query parameter is deprecated in v26.0+",),
    means="The call uses something that Graph no longer serves, whatever version it names.",
    causes=(
        Cause(
            text="The connector in Cyclr, or a program of yours, reads several objects at once "
            "(?ids=…). Facebook ended that with v26.0, on all versions by 27 October 2026; apps "
            "made since 4 November 2026 lose more of the kind.",
        ),
    ),
    advice=(
        "Send this text, with the trace id, to Cyclr's support: the connector must read the "
        "objects one by one. No other graph_version helps."
    ),
    source=_READINGS,
    blames=Blame.CYCLR,
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
    blames=Blame.APP,
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
    blames=Blame.APP,
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
    blames=Blame.CUSTOMER,
)

# --- who may use the app ----------------------------------------------------------------------
_FEATURE_UNAVAILABLE = Trouble(
    shown=(
        "Feature unavailable",
        (
            "Facebook Login is currently unavailable for this app, since we are updating "
            "additional details for this app."
        ),
    ),
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
    blames=Blame.APP,
)
_NOT_SET_UP = Trouble(
    shown=(
        "App Not Setup",
        "This app is still in development mode, and you don't have access to it.",
        "App not active",
        "Insufficient developer role",
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
    blames=Blame.APP,
)
_INACTIVE = Trouble(
    shown=(
        "API access deactivated. To reactivate, go to the app dashboard.",
        "API access deactivated. To reactivate, go to the My Apps page to unarchive it.",
        "You will be able to log in when the app is reactivated.",
    ),
    means="The app is deactivated or archived: no call is served, nobody can sign in, and every "
    "token of it has ended.",
    causes=(
        Cause(
            text="For 90 days nobody signed in with the app, and it made no call and got no "
            "webhook.",
            tested_by=("app-is-registered", "missing-sections-are-filled"),
        ),
        Cause(
            text="The Data Access Renewal was not complete on its due date, 60 days after the "
            "first notice.",
        ),
        Cause(text="Another required action of the dashboard is overdue."),
        Cause(text="Somebody with a role archived it in My Apps."),
    ),
    advice=(
        "Open the app in the dashboard as an administrator and do its required actions (for the "
        "renewal see {data-access-renewal}), or unarchive it under My Apps. Then every user must "
        "sign in again; permissions that were removed meanwhile need App Review again."
    ),
    source="https://developers.facebook.com/documentation/development/maintaining-data-access; "
    f"{_RENEWAL_PAGES}/faqs; https://github.com/msigley/WP-Instagram-API/pull/6; "
    "https://github.com/LoginRadius/engineering-blog-samples/issues/299; "
    f"{_READINGS}",
    blames=Blame.APP,
)
_API_BLOCKED = Trouble(
    shown=("API access blocked.",),
    means="The token is well formed, but Facebook serves this app or this account nothing.",
    causes=(
        Cause(text="A required action or a verification of the app is overdue."),
        Cause(text="The app or the account was restricted for its policies."),
        Cause(
            text="The app is not published, and this person has no role on it.",
            tested_by=("customer-consents-without-role",),
        ),
    ),
    advice=(
        "Read the alerts and required actions in the dashboard, and the mails to the contact "
        "address; do what they ask. A fresh token does not help."
    ),
    source=_READINGS,
    blames=Blame.APP,
)
_PROVIDER_LOST = Trouble(
    shown=(
        "Customers are refused with code 100, people with a role are not",
        "consented, but Facebook refuses the data (… Access Verification, as a Tech Provider.",
    ),
    means="The app does not count as a Tech Provider's, or no longer: Facebook says of what other "
    "businesses own that it “does not exist”.",
    causes=(
        Cause(text="Access Verification was never done.", tested_by=_WITHOUT_ROLE),
        Cause(
            text="The status was lost: the business is no longer verified, the app was cut from "
            "it, or the business or app was restricted.",
            tested_by=("business-is-verified", *_WITHOUT_ROLE),
        ),
    ),
    advice=(
        "See that the app still belongs to the business, and that Business Verification and "
        "Access Verification ({fb-05b-access-verification}) show Verified. A lost status comes "
        "back by itself once its cause is gone. Then try as a person without a role."
    ),
    source=f"{RELEASE}/tech-providers; {_ACCESS_VERIFICATION}; {_READINGS}",
    blames=Blame.APP,
)
_PUBLISHED_EARLY = Trouble(
    shown=("A permission that worked is refused after Publish > Go live",),
    means="A published app may ask for approved permissions only: Facebook switches the others "
    "off, for people with a role on the app too.",
    causes=(
        Cause(
            text="The app was published before App Review had approved every permission.",
            tested_by=("review-is-approved", "user-token-is-valid"),
        ),
    ),
    advice=(
        "Publish only once App Review has approved every permission. If it is published already, "
        "see whether the dashboard lets you take it back to development; else wait for the review."
    ),
    source=_READINGS,
)
_TOUCHED = Trouble(
    shown=("A review starts again, or tokens end, after a change of the app",),
    means="A change of scopes or redirect URIs can end tokens and set a running review back.",
    causes=(Cause(text="The app's configuration was changed while something was being reviewed."),),
    advice=(
        "While you wait for a verification or a review, change neither permissions nor redirect "
        "URIs. If it happened: look at App Review > Requests, submit again where it asks for it, "
        "and sign in again."
    ),
    source=_SINGLE,
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
    blames=Blame.APP,
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
        "The access token is invalid since the user hasn't engaged the app in longer than 90 days.",
        "(#200) Provide valid app ID",
    ),
    codes=(190, 102, 104),
    subcodes=(458, 460, 463, 466, 467, 493),
    means="The token has ended, was withdrawn, is incomplete or is not a user's.",
    causes=(
        Cause(
            text="It expired: one from a sign-in lives one to two hours, a long-lived one about "
            "60 days.",
            tested_by=("user-token-is-valid",),
        ),
        Cause(
            text="The person changed the password (460), logged out (467), removed the app (458) "
            "or has not used it for 90 days (493).",
        ),
        Cause(text="It was cut when it was copied.", tested_by=("user-token-is-valid",)),
    ),
    advice="Sign in again. In Cyclr: authenticate the connector in that account again.",
    source=_ERRORS,
    blames=Blame.CUSTOMER,
)
_CHECKPOINT = Trouble(
    shown=(
        (
            "You cannot access the app till you log in to www.facebook.com and follow the "
            "instructions given."
        ),
        (
            "Error validating access token: Sessions for the user are not allowed because the "
            "user is not a confirmed user."
        ),
    ),
    subcodes=(459, 464),
    means="Facebook wants something of this person first: until then no app may act for them.",
    causes=(Cause(text="Their account waits for a security check or a confirmation."),),
    advice="Let the person log in to facebook.com, do what it asks, and sign in here again.",
    source="https://github.com/airbytehq/airbyte/issues/34383",
    blames=Blame.CUSTOMER,
)
_GRANTED_LATER = Cause(
    text="It was granted after this person had signed in. A permission granted later counts only "
    "after the person removes the app under Business Integrations and signs in again."
)
_WRONG_TOKEN = Trouble(
    shown=(
        "(#190) This method must be called with a Page Access Token",
        "(#190) Application Secret required for this endpoint",
        (
            "(#100) You must provide an app access token, or a user access token that is an owner "
            "or developer of the app"
        ),
        "The App_id in the input_token did not match the Viewing App",
    ),
    means="The call is right, and was made with another kind of token than it needs.",
    causes=(
        Cause(text="A user's token was used where a page's or the app's own is needed."),
        Cause(
            text="The token was issued for another app.",
            tested_by=("user-token-is-valid",),
        ),
        Cause(
            text="The person has no task on the page, so Facebook gave no page token.",
            tested_by=("page-is-subscribed", "lead-data-is-readable"),
        ),
    ),
    advice="Take the page's token from /me/accounts, or let the runbook make the call.",
    source=_ERRORS,
    blames=Blame.CYCLR,
)
_LACKS_PERMISSION = Trouble(
    shown=(
        "(#200) Requires … permission to manage the object",
        "(#200) Ad account owner has NOT grant ads_management or ads_read permission",
        "permission(s) must be granted before impersonating a user's page.",
        "(#200) The user hasn't authorized the application to perform this action",
        "(#100) Missing permissions",
        (
            "(#294) Managing advertisements requires an access token with the extended permission "
            "for ads_management"
        ),
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
        _GRANTED_LATER,
        Cause(text="The person lacks the task on the page or the role on the ad account."),
        Cause(text="Access Verification (Tech Provider) is missing: other businesses are refused."),
    ),
    advice=(
        "See which permissions the token carries, add what is missing, and let the person sign in "
        "again: a permission that was approved later is in no older token."
    ),
    source=f"{_ERRORS}; {LEADS}",
    blames=Blame.CUSTOMER,
)
_NOT_PERMITTED = Trouble(
    shown=(
        "(#10) This endpoint requires the … permission or the … feature",
        "(#10) Application does not have permission for this action",
        "This endpoint requires the … permission or the … feature",
        "(#3) Application does not have the capability to make this API call.",
    ),
    codes=(10, 3),
    means="The app itself lacks a permission or feature for this call.",
    causes=(
        Cause(
            text="The permission was not granted to this token.",
            tested_by=("user-token-is-valid",),
        ),
        Cause(text="It is not approved for this app.", tested_by=("review-is-approved",)),
        _GRANTED_LATER,
        Cause(text="The call was made with the app's own token; it needs a user's or a page's."),
    ),
    advice=(
        "Add the permission that the message names (often pages_read_engagement), have it "
        "approved, and sign in again."
    ),
    source=_ERRORS,
    blames=Blame.APP,
    blames_by_code=False,
)
_NOT_THERE = Trouble(
    shown=(
        "(#100) Tried accessing nonexisting field …",
        (
            "Unsupported get request. Object with ID … does not exist, cannot be loaded due to "
            "missing permissions, or does not support this operation"
        ),
        "Object with ID … does not exist, cannot be loaded due to missing permissions",
        (
            "Object does not exist, cannot be loaded due to missing permission or reviewable "
            "feature, or does not support this operation"
        ),
        "(#803) Some of the aliases you requested do not exist: …",
        "Unsupported request - method type: …",
    ),
    codes=(100, 803),
    subcodes=(33,),
    means="What was asked for is not there, or may not be seen: Facebook says the same to both.",
    causes=(
        Cause(
            text="A permission or feature for this edge is missing.",
            tested_by=("user-token-is-valid",),
        ),
        _GRANTED_LATER,
        Cause(text="The id is wrong, or of something that this person may not see."),
        Cause(text="The kind of token is wrong, or the field is not in this Graph version."),
        Cause(text="Access Verification (Tech Provider) is missing."),
    ),
    advice="Compare id, token and permissions; try the same call in the Graph API Explorer.",
    source=f"{_ERRORS}; {_ACCESS_VERIFICATION}",
    blames=Blame.PAGE,
    blames_by_code=False,
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
        "An admin of that business does three things, in this order: give the person who consents "
        "a role on the page; then, under Business Settings > Integrations > Leads access, choose "
        "the page and press Assign people; then, under CRMs, press Assign CRMs. The Lead Ads "
        "Testing Tool's Track status names the layer that fails."
    ),
    source=f"{_LEAD_ACCESS}; {_READINGS}",
    blames=Blame.PAGE,
)
_LEAD_TERMS = Trouble(
    shown=(
        (
            "You can't run lead ads until your Facebook Page accepts Facebook's Lead Generation "
            "Terms of Service."
        ),
        "Nobody has accepted Facebook's Lead Generation Terms for …",
    ),
    subcodes=(1815089,),
    means="The page may not run lead ads yet. A lead form may exist already, but brings no leads.",
    causes=(
        Cause(
            text="Nobody has accepted the Lead Generation Terms of Service for this page.",
            tested_by=("lead-data-is-readable",),
        ),
    ),
    advice=(
        "A person with full control of the page opens https://www.facebook.com/ads/leadgen/tos, "
        "chooses the page and accepts. Then make the call again."
    ),
    source=_READINGS,
    blames=Blame.PAGE,
)
_THROTTLED = Trouble(
    shown=(
        "(#4) Application request limit reached",
        "(#17) User request limit reached",
        "There have been too many leadgen api calls to this Page account.",
        "(#32) Page request limit reached",
        "(#613) Calls to this api have exceeded the rate limit.",
        "reports its … as used up",
    ),
    codes=(4, 17, 32, 341, 613, *range(80000, 80015)),
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
    blames=Blame.LIMIT,
)
_ACCOUNT_BLOCKED = Trouble(
    shown=(
        "Ad Account Has Too Many API Calls",
        "There have been too many calls to this ad-account.",
        "There have been too many calls from this ad-account.",
    ),
    subcodes=(2446079,),
    means="Facebook holds this ad account back, for less than an hour, although the answer says "
    "that it is not transient.",
    causes=(
        Cause(
            text="Too many calls to this ad account in a short time, of all programs that use it.",
            tested_by=("marketing-data-is-readable", "test-calls-are-made"),
        ),
        Cause(text="The app has the limited Marketing API Access Tier, whose limits are low."),
    ),
    advice=(
        "Wait an hour and check again: the usage headers of the refused answer say how long, and "
        "the runbook follows them. Let nothing else call this account meanwhile."
    ),
    source="https://github.com/airbytehq/airbyte/issues/86316; "
    "https://developers.facebook.com/docs/graph-api/overview/rate-limiting/",
    blames=Blame.LIMIT,
)
_TOO_MUCH_DATA = Trouble(
    shown=("Please reduce the amount of data you're asking for, then retry your request",),
    means="The call is allowed, and its answer would be too large.",
    causes=(Cause(text="Too long a time, too many fields or too large a page was asked for."),),
    advice="Ask for less at once: fewer fields, a shorter time, a lower limit. Waiting is no help.",
    source=_READINGS,
    blames=Blame.CYCLR,
)
_TEST_LEAD = Trouble(
    shown=(
        "Test lead already exists for this form.",
        "A test lead was already created for this leadgen form.",
    ),
    subcodes=(1892058,),
    means="A form holds one test lead at a time.",
    causes=(Cause(text="The last test lead of this form was not deleted."),),
    advice="Delete it in the Lead Ads Testing Tool, then create the next.",
    source="third-party reading (single), November 2026",
)
_WEBHOOK = Trouble(
    shown=(
        "(#2201) response does not match challenge",
        "(#2200) Callback verification failed",
        "The URL couldn't be validated.",
    ),
    codes=(2200, 2201),
    means="Facebook asked the webhook's address to confirm it, and got another answer.",
    causes=(
        Cause(
            text="The Verify Token in Facebook's webhook settings is not the one that Cyclr has.",
            tested_by=("webhook-takes-verify-token",),
        ),
        Cause(
            text="The Callback URL is not the webhook's address, or something before it answers "
            "with a page.",
            tested_by=("webhook-takes-verify-token",),
        ),
    ),
    advice="Go to {cy-05-verify-token}: enter the same text and the address on both sides.",
    source="https://github.com/simmatrix/facebook-leads-google-sheets-integration/issues/2; "
    f"{_READINGS}",
)
_BLOCKED = Trouble(
    shown=(
        "Temporarily blocked for policies violations",
        "The action attempted has been deemed abusive or is otherwise disallowed",
    ),
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
    blames=Blame.LIMIT,
)

# --- what each kind of step shows -------------------------------------------------------------
LIMITS = (_THROTTLED, _SERVICE_FAULT, _INACTIVE)
REDIRECT_URI = (_URL_BLOCKED, _REDIRECT_DIFFERS, _DESKTOP_APP, _BAD_SECRET, _BAD_APP, *LIMITS)
CREDENTIALS = (_BAD_SECRET, _BAD_APP, _DESKTOP_APP, _PROOF, _OLD_VERSION, *LIMITS)
CREATION = (_NAME, *CREDENTIALS)
PERMISSIONS = (_INVALID_SCOPES, _NO_PERMISSION)
ACCESS_LEVELS = (_NEEDS_ADVANCED_ACCESS, _FEATURE_UNAVAILABLE)
BUSINESS = (_BAD_TOKEN, _BAD_SECRET, _BAD_APP, *LIMITS)
PROVIDER = (_PROVIDER_LOST,)
RENEWAL = (_RENEWAL_OPEN, _INACTIVE)
REVIEW = (_DECLINED, _SUBMISSION_OPEN, _SCREENCAST, _NEEDS_ADVANCED_ACCESS, _TOUCHED, *RENEWAL)
PUBLISHING = (_PUBLISHED_EARLY, _TOUCHED, *RENEWAL)
CONSENT = (
    _URL_BLOCKED,
    _INVALID_SCOPES,
    _NO_PERMISSION,
    _NOT_SET_UP,
    _FEATURE_UNAVAILABLE,
    _DENIED,
    _DESKTOP_APP,
    _REDIRECT_DIFFERS,
    _BAD_SECRET,
    _BAD_APP,
    _PUBLISHED_EARLY,
    _PROVIDER_LOST,
)
TOKEN = (
    _BAD_TOKEN,
    _CHECKPOINT,
    _WRONG_TOKEN,
    _CODE_SPENT,
    *CONSENT,
    _API_BLOCKED,
    _TOUCHED,
    *LIMITS,
)
PAGES = (
    _LACKS_PERMISSION,
    _NOT_PERMITTED,
    _WRONG_TOKEN,
    _NOT_THERE,
    _NO_LONGER_SERVED,
    _THROTTLED,
    _BLOCKED,
    _INACTIVE,
)
WEBHOOK = (_WEBHOOK,)
DATA = (
    _LEADS_REVOKED,
    _LEAD_TERMS,
    *PAGES,
    _OLD_VERSION,
    _ACCOUNT_BLOCKED,
    _TOO_MUCH_DATA,
    _TEST_LEAD,
)
