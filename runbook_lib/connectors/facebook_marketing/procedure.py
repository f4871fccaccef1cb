"""
The documented procedure for Cyclr's Facebook Marketing API connector, as data.

Prose in our own words, in the documented order (Cyclr: Facebook Marketing
Authentication). `today` says what a person finds where screens have moved
since the page was written. How steps are checked lives in `checks`, the
parameters in `inputs`.
"""

from __future__ import annotations

from runbook_lib.connectors.cyclr import connector, service_domain
from runbook_lib.connectors.facebook import app, connection, review
from runbook_lib.connectors.facebook_marketing import inputs
from runbook_lib.core.procedure import (
    Check,
    Link,
    Paste,
    Procedure,
    Section,
    Source,
    Step,
    StepKind,
)

__all__ = ["PROCEDURE"]

_APP = ("app_id", "app_secret")
_CYCLR = ("cyclr_client_id", "cyclr_client_secret", "account_api_id")
_TOKEN = (*_APP, "user_access_token")

# What a person's word, or a check, is about: said of another app, console or account, it is void.
_THIS_APP = ("app_id",)
_ITS_PERMISSIONS = ("app_id", "permissions")
_OUR_CYCLR = ("service_domain", "cyclr_client_id", "connector_name")
_OUR_ACCOUNT = (*_OUR_CYCLR, "account_api_id")

_APPS = "{dashboard_url}/apps"
_APP_PAGE = _APPS + "/{app_id}"


def _dashboard(label: str, path: str) -> Link:
    return Link(label, f"{_APP_PAGE}/{path}", _APPS)


_PARTNER_APP = Section(
    id="01_partner_app",
    title="Setting up your Partner App",
    intro=(
        "Register an app with Facebook, tell it where to send your customers back to, and have "
        "the permissions approved that your use case needs. Facebook's review takes about five "
        "days: everything before it is an hour's work."
    ),
    steps=(
        Step(
            id="fb-01-log-in",
            title="Log in to Facebook",
            kind=StepKind.MANUAL,
            source=Source(1, 1),
            confirms="I am logged in with the Facebook account that owns the app.",
            subject=_THIS_APP,
            prose=(
                "Log in with the Facebook account that shall own the app. Prefer one that belongs "
                "to your company's business portfolio: the app outlives the person."
            ),
            links=(Link("Facebook for Developers", "{dashboard_url}/"),),
        ),
        Step(
            id="fb-02-developer-account",
            title="Have a Facebook developer account",
            kind=StepKind.MANUAL,
            source=Source(1, 2),
            confirms="This account is registered as a Facebook developer account.",
            subject=_THIS_APP,
            prose=(
                "If this account is no developer account yet, register it: press **Get Started**, "
                "accept the terms, confirm phone number and email address."
            ),
            links=(Link("Facebook for Developers", "{dashboard_url}/"),),
        ),
        Step(
            id="fb-03-my-apps",
            title="Open My Apps",
            kind=StepKind.MANUAL,
            source=Source(1, 3),
            confirms="My Apps opens, and lists the apps in which I have a role.",
            subject=_THIS_APP,
            prose="Open **My Apps**. It lists the apps in which you have a role.",
            links=(Link("My Apps", _APPS),),
        ),
        Step(
            id="fb-04-create-app",
            title="Create App: Business type, name and purpose",
            kind=StepKind.ASK,
            source=Source(1, 4),
            confirms=(
                "The app is of type Business, its purpose is Clients, and its display name is "
                "as shown here."
            ),
            subject=("app_id", "app_display_name"),
            prose=(
                "Press **Create App** and choose **Business** as the app type. Fill in the "
                "**App Display Name**, which your users see when they consent, and set "
                "**App Purpose** to **Clients**."
            ),
            today=(
                "The dashboard now asks for name and contact email first and then for a use case; "
                "**Business** stands behind **Other**. App Purpose may not be asked. Take Other > "
                "Business where it is offered: apps made through a use case have been reported to "
                "answer *Invalid Scopes* at sign-in."
            ),
            links=(Link("Create App", _APPS + "/creation/"),),
            pastes=(Paste("App Display Name", "{app_display_name}"),),
            inputs=(inputs.APP_DISPLAY_NAME,),
            checks=(Check("app-name-matches", app.app_name_matches, (*_APP, "app_display_name")),),
        ),
        Step(
            id="fb-05-confirm-creation",
            title="Create the app and confirm with your password",
            kind=StepKind.MANUAL,
            source=Source(1, 5),
            confirms="The app was created, and I confirmed it with my password.",
            subject=_THIS_APP,
            prose="Press **Create App** once more. Facebook asks for your password again.",
            links=(Link("My Apps", _APPS),),
            checks=(Check("app-is-registered", app.app_is_registered, _APP),),
        ),
        Step(
            id="fb-06-facebook-login",
            title="Set up Facebook Login",
            kind=StepKind.MANUAL,
            source=Source(1, 6),
            confirms="Facebook Login is set up for this app.",
            subject=_THIS_APP,
            prose=(
                "On **Add Products to Your App**, press **Set Up** under **Facebook Login**. "
                "No API shows which products an app has: a person says so."
            ),
            today=(
                "A business app may be offered **Facebook Login for Business** instead. It asks "
                "for a configuration and grants all permissions or none; Cyclr's connector is "
                "documented for classic Facebook Login."
            ),
            links=(_dashboard("App dashboard", "dashboard/"),),
        ),
        Step(
            id="fb-07-login-settings",
            title="Open Facebook Login > Settings",
            kind=StepKind.MANUAL,
            source=Source(1, 7),
            confirms="Facebook Login > Settings opens for this app.",
            subject=_THIS_APP,
            prose="It now stands in the menu on the left: open **Facebook Login > Settings**.",
            today="In use-case apps: **Use cases > Customize > Settings**.",
            links=(_dashboard("Facebook Login > Settings", "fb-login/settings/"),),
        ),
        Step(
            id="fb-08-redirect-uri",
            title="Set the Valid OAuth Redirect URI",
            kind=StepKind.ASK,
            source=Source(1, 8),
            confirms=(
                "The address shown here stands under Valid OAuth Redirect URIs, character by "
                "character, and is saved."
            ),
            subject=("app_id", "service_domain"),
            prose=(
                "Under **Valid OAuth Redirect URIs** enter the address below and press "
                "**Save Changes**. Your Service Domain stands in your Cyclr console under "
                "**Settings > General Settings > Service Domain**. Facebook compares every "
                "character: scheme, case and a slash at the end count."
            ),
            today=(
                "With a custom domain, General Settings shows two: take the custom one. When the "
                "Service Domain changes, this address must change with it."
            ),
            links=(
                _dashboard("Facebook Login > Settings", "fb-login/settings/"),
                Link("Cyclr console", "{cyclr_console_url}/"),
            ),
            pastes=(
                Paste("Valid OAuth Redirect URIs", "https://{service_domain}/connector/callback"),
            ),
            inputs=(inputs.SERVICE_DOMAIN,),
            checks=(
                Check(
                    "service-domain-answers",
                    service_domain.service_domain_answers,
                    ("service_domain",),
                ),
                Check(
                    "redirect-uri-is-accepted",
                    app.redirect_uri_is_accepted,
                    (*_APP, "service_domain"),
                ),
            ),
        ),
        Step(
            id="fb-09-permissions-and-features",
            title="Open App Review > Permissions and Features, and choose",
            kind=StepKind.ASK,
            source=Source(1, 9),
            confirms="I chose exactly the permissions shown here, as our use case needs them.",
            subject=_ITS_PERMISSIONS,
            prose=(
                "Under **App Review**, open **Permissions and Features**. The permissions that "
                "you set here are what users are asked for at consent. Which ones depends on "
                "your use case; **public_profile** with Advanced Access is always needed to let "
                "people sign in."
            ),
            today="In use-case apps permissions are added under **Use cases > Customize**.",
            links=(_dashboard("Permissions and Features", "app-review/permissions/"),),
            inputs=(inputs.PERMISSIONS,),
        ),
        Step(
            id="fb-10-public-profile",
            title="Get Advanced Access to public_profile",
            kind=StepKind.MANUAL,
            source=Source(1, 10),
            confirms="public_profile shows Advanced Access.",
            subject=_THIS_APP,
            prose=(
                "Search for **public_profile**, press **Get Advanced Access** and complete the "
                "confirmation. Facebook grants this one at once; the others need a review."
            ),
            today="Since 2023 Advanced Access may ask for Business Verification first.",
            links=(_dashboard("Permissions and Features", "app-review/permissions/"),),
            checks=(Check("public-profile-is-live", review.public_profile_is_live, _APP),),
        ),
        Step(
            id="fb-11-permissions",
            title="Request leads_retrieval and what it depends on",
            kind=StepKind.MANUAL,
            source=Source(1, 11),
            confirms=(
                "Advanced Access is requested for every permission shown here and all that it "
                "depends on."
            ),
            subject=_ITS_PERMISSIONS,
            prose=(
                "Request Advanced Access for each permission of your use case. The documented "
                "example is **leads_retrieval**, needed for form submissions. It depends on "
                "ads_management, ads_read, business_management, pages_manage_ads, "
                "pages_read_engagement, pages_show_list and the feature Ads Management Standard "
                "Access: the dashboard hides it until these are present."
            ),
            today=(
                "Ads Management Standard Access was renamed **Marketing API Access Tier** in "
                "May 2026 (Limited or Full); it is another axis than Standard and Advanced Access."
            ),
            links=(_dashboard("Permissions and Features", "app-review/permissions/"),),
            inputs=(inputs.PERMISSIONS,),
            checks=(Check("permissions-are-requested", review.permissions_are_requested, _APP),),
        ),
        Step(
            id="fb-12-submit-review",
            title="Submit for review, and wait",
            kind=StepKind.WAIT,
            source=Source(1, 12),
            confirms="Facebook approved every permission shown here.",
            subject=_ITS_PERMISSIONS,
            prose=(
                "Press **Edit App Review Request**, complete every required section (how each "
                "permission is used, a screencast, instructions for the reviewer) and "
                "**Submit for Review**. Facebook takes about five days."
            ),
            links=(_dashboard("App Review > Requests", "app-review/submissions/"),),
            inputs=(inputs.PERMISSIONS,),
            checks=(Check("review-is-approved", review.review_is_approved, _APP),),
        ),
        Step(
            id="fb-13-app-id-and-secret",
            title="Complete Settings > Basic; take App ID and App Secret",
            kind=StepKind.ASK,
            source=Source(1, 13),
            confirms=(
                "Settings > Basic has no missing section, and App ID and App Secret were "
                "copied from there."
            ),
            subject=("app_id", "app_secret"),
            prose=(
                "Under **Settings > Basic** complete what is missing (privacy policy, terms, "
                "category, icon, contact) and copy **App ID** and **App Secret**. Keep the secret "
                "in `.env`, a keyring or a file, never in a notebook. Once Facebook has approved "
                "the app, these two authenticate it in Cyclr."
            ),
            links=(_dashboard("Settings > Basic", "settings/basic/"),),
            inputs=(inputs.APP_ID, inputs.APP_SECRET, inputs.GRAPH_VERSION),
            checks=(
                Check("app-credentials-are-accepted", app.app_credentials_are_accepted, _APP),
                Check("missing-sections-are-filled", app.missing_sections_are_filled, _APP),
            ),
        ),
    ),
)

_CYCLR_CONNECTOR = Section(
    id="02_cyclr_connector",
    title="Authenticating your Facebook Cyclr Connector",
    intro=(
        "Hand the App ID and App Secret to Cyclr, once, for all your customers. Cyclr offers no "
        "API for it: a person types them into the console, and the runbook then reads back what "
        "can be read."
    ),
    steps=(
        Step(
            id="cy-01-connector-setup",
            title="Open the connector's Setup in the Cyclr console",
            kind=StepKind.MANUAL,
            source=Source(2),
            confirms="The connector's Setup is open in our Cyclr console.",
            subject=_OUR_CYCLR,
            prose=(
                "In your Cyclr console go to **Connectors > Connector Library > Facebook "
                "Marketing API > Setup**."
            ),
            today=(
                "Newer consoles: **Connectors > Application Connector Library**, search for the "
                "connector, then the **Setup Required** icon, or the **pencil** and its "
                "**Settings** tab. You need full access to the library."
            ),
            links=(Link("Cyclr console", "{cyclr_console_url}/"),),
            inputs=(
                inputs.CYCLR_CLIENT_ID,
                inputs.CYCLR_CLIENT_SECRET,
                inputs.ACCOUNT_API_ID,
                inputs.CONNECTOR_NAME,
            ),
            checks=(Check("connector-is-in-library", connector.connector_is_in_library, _CYCLR),),
        ),
        Step(
            id="cy-02-client-id",
            title="Client ID: the App ID",
            kind=StepKind.MANUAL,
            source=Source(2),
            confirms="Client ID in the connector's Setup is the App ID, and it is saved.",
            subject=("app_id", *_OUR_CYCLR),
            prose="Enter the App ID of your Facebook app as **Client ID**.",
            links=(Link("Cyclr console", "{cyclr_console_url}/"),),
            pastes=(Paste("Client ID", "{app_id}"),),
            inputs=(inputs.CYCLR_USERNAME,),
            checks=(
                Check(
                    "console-holds-app-id",
                    connector.console_holds_app_id,
                    (*_CYCLR, "app_id", "service_domain", "cyclr_username"),
                ),
            ),
            requires=("fb-13-app-id-and-secret",),
        ),
        Step(
            id="cy-03-client-secret",
            title="Client Secret: the App Secret",
            kind=StepKind.MANUAL,
            source=Source(2),
            confirms=(
                "Client Secret in the connector's Setup is the App Secret, it is saved, and "
                "the padlock is closed."
            ),
            subject=("app_id", "app_secret", *_OUR_CYCLR),
            prose=(
                "Enter the App Secret as **Client Secret** and press **Save Changes**. The "
                "padlock beside the connector closes once both fields are filled. No API shows "
                "the secret that the console holds; that a user can sign in (next notebook) does."
            ),
            links=(Link("Cyclr console", "{cyclr_console_url}/"),),
            requires=("fb-13-app-id-and-secret",),
            hands_over=inputs.APP_SECRET,
        ),
    ),
)

_CONNECTION_TEST = Section(
    id="03_connection_test",
    title="Testing the connector in a user account",
    intro=(
        "The documented test: install the connector in one user account and authenticate it. "
        "Then read through Cyclr, and with a user's token, what your customers will need."
    ),
    steps=(
        Step(
            id="test-01-install",
            title="Install the connector in one user account",
            kind=StepKind.CALL,
            source=Source(2),
            confirms="The connector is installed in this user account.",
            subject=_OUR_ACCOUNT,
            prose=(
                "Install the Facebook Marketing API connector in one of your user accounts, in "
                "the console, or let the runbook do it: `install_connector` permits it, "
                "`create_test_account` makes an account first. Both change your Cyclr, and the "
                "record says so."
            ),
            links=(Link("Cyclr console", "{cyclr_console_url}/"),),
            inputs=(
                inputs.ACCOUNT_API_ID,
                inputs.INSTALL_CONNECTOR,
                inputs.CREATE_TEST_ACCOUNT,
            ),
            checks=(
                Check(
                    "connector-is-installed",
                    connector.connector_is_installed,
                    ("cyclr_client_id", "cyclr_client_secret"),
                ),
            ),
            requires=("cy-01-connector-setup",),
        ),
        Step(
            id="test-02-authenticate",
            title="Authenticate it as a user would",
            kind=StepKind.MANUAL,
            source=Source(2),
            confirms=(
                "I signed in through Cyclr with Facebook in this account and granted every "
                "permission that was asked for."
            ),
            subject=("app_id", "permissions", *_OUR_ACCOUNT),
            prose=(
                "In that account open the connector, press **Authenticate**, sign in with "
                "Facebook and grant every permission that is asked for."
            ),
            links=(Link("Cyclr console", "{cyclr_console_url}/"),),
            checks=(
                Check("connector-is-authenticated", connector.connector_is_authenticated, _CYCLR),
            ),
            requires=("cy-02-client-id", "test-01-install"),
        ),
        Step(
            id="test-03-permissions",
            title="See the granted permissions through Cyclr",
            kind=StepKind.CALL,
            source=Source(2),
            confirms="Cyclr's List My Permissions shows every permission shown here as granted.",
            subject=("app_id", "permissions", *_OUR_ACCOUNT),
            prose=(
                "Run the connector's method **List My Permissions** and compare what Facebook "
                "grants with what your use case needs. Cyclr lets only known addresses do this."
            ),
            inputs=(inputs.PERMISSIONS,),
            checks=(
                Check(
                    "permissions-are-seen-through-cyclr",
                    connector.permissions_are_seen_through_cyclr,
                    _CYCLR,
                ),
            ),
            requires=("test-02-authenticate",),
        ),
        Step(
            id="test-04-user-token",
            title="Inspect a user's token of this app",
            kind=StepKind.ASK,
            source=Source(2),
            confirms=(
                "A user of this app granted every permission shown here, and the connector "
                "works for that user in Cyclr."
            ),
            subject=("app_id", "permissions", *_OUR_ACCOUNT),
            prose=(
                "Press **Sign in with Facebook** and consent as one of your users would, or give a "
                "user access token that was issued for this app: Facebook says whose it is, what "
                "it grants and how long. Without one, attest that the test in Cyclr was enough, or "
                "skip with a reason."
            ),
            links=(Link("Access Token Tool", "{dashboard_url}/tools/accesstoken/"),),
            inputs=(inputs.USER_ACCESS_TOKEN, inputs.PERMISSIONS),
            checks=(Check("user-token-is-valid", connection.user_token_is_valid, _TOKEN),),
            needs_consent=True,
            requires=("fb-13-app-id-and-secret",),
        ),
        Step(
            id="test-05-marketing-data",
            title="Read marketing data with that token",
            kind=StepKind.CALL,
            source=Source(2),
            confirms="The connector read this user's ad accounts, pages and lead forms in Cyclr.",
            subject=("app_id", "permissions", *_OUR_ACCOUNT),
            prose=(
                "Read ad accounts, pages, lead forms and one lead, as the connector will. Of the "
                "lead only its id and time are read."
            ),
            inputs=(inputs.PERMISSIONS,),
            checks=(
                Check("marketing-data-is-readable", connection.marketing_data_is_readable, _TOKEN),
                Check("lead-data-is-readable", connection.lead_data_is_readable, _TOKEN),
            ),
            requires=("test-04-user-token",),
        ),
    ),
)

PROCEDURE = Procedure(
    id="facebook_marketing",
    version="1",
    title="Facebook Marketing API connector",
    sections=(_PARTNER_APP, _CYCLR_CONNECTOR, _CONNECTION_TEST),
    inputs=inputs.ALL,
)
