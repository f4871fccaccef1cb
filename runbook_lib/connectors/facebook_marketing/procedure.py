"""
The documented procedure for Cyclr's Facebook Marketing API connector, as data.

In our own words, in the documented order (Cyclr: Facebook Marketing
Authentication). `today` says what a person does on the screens as they are
now, `prose` what the page says and why. How steps are checked lives in
`checks`, the parameters in `inputs`.
"""

from __future__ import annotations

from runbook_lib.connectors.cyclr import inputs as cyclr_inputs
from runbook_lib.connectors.cyclr import steps as cyclr
from runbook_lib.connectors.cyclr import troubles as cyclr_troubles
from runbook_lib.connectors.facebook import connection, inputs, review, troubles
from runbook_lib.connectors.facebook import steps as facebook
from runbook_lib.connectors.facebook.cyclr_questions import ask_cyclr
from runbook_lib.connectors.facebook_marketing import checks
from runbook_lib.connectors.step_names import with_step_names
from runbook_lib.core.procedure import Check, Procedure, Section, Source, Step, StepKind

_CONNECTOR = cyclr_inputs.cyclr_connector("Facebook Marketing API")
_PERMISSIONS = inputs.permissions("leads_retrieval", example="leads_retrieval, ads_read")
_CREDENTIALS = "fb-13-app-id-and-secret"
_ITS_PERMISSIONS = ("app_id", "permissions")
_ADVANCED = "public_profile shows Advanced Access."

_ROAD = facebook.road(
    test_calls="fb-09a-test-calls",
    public_pages="fb-11a-public-pages",
    renewal="fb-11b-data-access-renewal",
    review="fb-12-submit-review",
)

_PARTNER_APP = Section(
    id="partner-app",
    title="Setting up your Partner App",
    intro=(
        "Register an app with Facebook, tell it where to send your customers back to, and have "
        "the permissions approved that your use case needs. Begin Business Verification on the "
        "first day."
    ),
    steps=(
        facebook.log_in(),
        facebook.developer_account(),
        facebook.my_apps(),
        facebook.create_app(),
        facebook.use_case("Capture & manage ad leads with Marketing API"),
        facebook.confirm_creation(),
        facebook.business_verification(),
        facebook.access_verification(),
        Step(
            id="fb-06-facebook-login",
            title="Set up Facebook Login",
            kind=StepKind.MANUAL,
            source=Source(1, 6),
            confirms="Facebook Login is set up for this app.",
            subject=facebook.THIS_APP,
            sitting=facebook.SIGN_IN,
            today=(
                "On **Add Products to Your App**, press **Set Up** under **Facebook Login**. With "
                "the use case for ad leads comes **Facebook Login for Business**, set up already."
            ),
            prose=(
                "Cyclr's connector is documented for classic Facebook Login. Some apps with "
                "**Facebook Login for Business** answer its sign-in with *This app needs at least "
                "one supported permission*: permissions that are not approved yet, asked of "
                "somebody without a role, are the likeliest cause. No API shows which products an "
                "app has: a person says so."
            ),
            links=(facebook.dashboard("App dashboard", "dashboard/"),),
        ),
        facebook.login_settings(),
        facebook.redirect_uri(),
        Step(
            id="fb-09-permissions-and-features",
            title="Open App Review > Permissions and Features, and choose",
            kind=StepKind.ASK,
            source=Source(1, 9),
            confirms="I chose exactly the permissions shown here, as our use case needs them.",
            subject=_ITS_PERMISSIONS,
            sitting=facebook.PERMISSIONS,
            today=(
                "Choose the permissions that your use case needs; users are asked for them at "
                "consent. Set them under **App Review > Permissions and Features**, in use-case "
                "apps under **Use cases > Customize**."
            ),
            prose=(
                "Under **App Review**, open **Permissions and Features**. Which permissions you "
                "set there depends on your use case; **public_profile** with Advanced Access is "
                "always needed to let people sign in."
            ),
            links=(
                facebook.dashboard("Permissions and Features", "app-review/permissions/"),
                facebook.dashboard("Use cases", "use_cases/"),
            ),
            inputs=(_PERMISSIONS,),
            troubles=troubles.PERMISSIONS,
        ),
        facebook.make_test_calls("fb-09a-test-calls", _PERMISSIONS),
        Step(
            id="fb-10-public-profile",
            title="Get Advanced Access to public_profile",
            kind=StepKind.MANUAL,
            source=Source(1, 10),
            confirms=_ADVANCED,
            subject=facebook.THIS_APP,
            sitting=facebook.PERMISSIONS,
            today=(
                "Search for **public_profile**, press **Get Advanced Access** and complete the "
                "confirmation. It may ask for Business Verification first."
            ),
            prose=(
                "Facebook grants this one at once; the others need a review. Since 2023 Advanced "
                "Access may ask for Business Verification first."
            ),
            links=(facebook.dashboard("Permissions and Features", "app-review/permissions/"),),
            checks=(
                Check(
                    "public-profile-is-live",
                    review.public_profile_is_live,
                    facebook.APP,
                    person_confirms=_ADVANCED,
                ),
            ),
            counts_days=facebook.A_YEAR,
            developer_tools="devtools_app_review privileges",
            troubles=troubles.ACCESS_LEVELS,
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
            sitting=facebook.PERMISSIONS,
            today=(
                "Request Advanced Access for each permission of your use case, and for what it "
                "depends on: the dashboard hides **leads_retrieval** until these are present."
            ),
            prose=(
                "The documented example is **leads_retrieval**, needed for form submissions. It "
                "depends on ads_management, ads_read, business_management, pages_manage_ads, "
                "pages_read_engagement, pages_show_list and the feature Ads Management Standard "
                "Access.\n\n"
                "Ads Management Standard Access was renamed **Marketing API Access Tier** in May "
                "2026 (Limited or Full); it is another axis than Standard and Advanced Access."
            ),
            links=(facebook.dashboard("Permissions and Features", "app-review/permissions/"),),
            inputs=(_PERMISSIONS,),
            checks=(
                Check("permissions-are-requested", review.permissions_are_requested, facebook.APP),
            ),
            troubles=(*troubles.PERMISSIONS, *troubles.ACCESS_LEVELS),
        ),
        facebook.open_public_pages("fb-11a-public-pages"),
        facebook.data_access_renewal("fb-11b-data-access-renewal"),
        facebook.submit_review(
            "fb-12-submit-review",
            Source(1, 12),
            _PERMISSIONS,
            "Press **Edit App Review Request**, complete every required section (how each "
            "permission is used, a screencast, instructions for the reviewer) and press "
            "**Submit for Review**.",
            review_kit="facebook_marketing",
        ),
        facebook.publish("fb-12a-publish"),
        facebook.app_id_and_secret(13),
    ),
)

_CYCLR_CONNECTOR = Section(
    id="cyclr-connector",
    title="Authenticating your Facebook Cyclr Connector",
    intro=(
        "Hand the App ID and App Secret to Cyclr, once, for all your customers. Cyclr offers no "
        "API for it: a person types them into the console, and the runbook then reads back what "
        "can be read."
    ),
    steps=(
        cyclr.connector_setup(_CONNECTOR),
        cyclr.client_id(inputs.FACEBOOK, _CREDENTIALS),
        cyclr.client_secret(inputs.FACEBOOK, _CREDENTIALS),
        cyclr.error_webhook("cy-03a-error-webhook"),
    ),
)

_CONNECTION_TEST = Section(
    id="connection-test",
    title="Testing the connector in a user account",
    intro=(
        "The documented test: install the connector in one user account and authenticate it. "
        "Then read through Cyclr, and with a user's token, what your customers will need."
    ),
    steps=(
        cyclr.install(_CONNECTOR),
        cyclr.authenticate(inputs.FACEBOOK),
        Step(
            id="test-03-permissions",
            title="See the granted permissions through Cyclr",
            kind=StepKind.CALL,
            source=Source(2),
            confirms="Cyclr's List My Permissions shows every permission shown here as granted.",
            subject=("app_id", "permissions", *cyclr.OUR_ACCOUNT),
            sitting=cyclr.ACCOUNT,
            today=(
                "Run the connector's method **List My Permissions** and compare what Facebook "
                "grants with what your use case needs."
            ),
            prose="Cyclr lets only known addresses do this.",
            inputs=(_PERMISSIONS,),
            checks=(
                Check(
                    "permissions-are-seen-through-cyclr",
                    checks.permissions_are_seen_through_cyclr,
                    cyclr.CYCLR,
                ),
            ),
            requires=("test-02-authenticate",),
            troubles=(*cyclr_troubles.METHODS, *troubles.LIMITS),
        ),
        facebook.user_token("test-04-user-token", _PERMISSIONS, _CREDENTIALS),
        Step(
            id="test-05-marketing-data",
            title="Read marketing data with that token",
            kind=StepKind.CALL,
            source=Source(2),
            confirms="The connector read this user's ad accounts, pages and lead forms in Cyclr.",
            subject=("app_id", "permissions", *cyclr.OUR_ACCOUNT),
            sitting=facebook.TOKENS,
            today=(
                "Read ad accounts, pages, lead forms and one lead, as the connector will. Of the "
                "lead only its id and time are read."
            ),
            inputs=(_PERMISSIONS,),
            checks=(
                Check(
                    "marketing-data-is-readable",
                    connection.marketing_data_is_readable,
                    facebook.TOKEN,
                ),
                Check("lead-data-is-readable", connection.lead_data_is_readable, facebook.TOKEN),
            ),
            requires=("test-04-user-token",),
            troubles=troubles.DATA,
        ),
        facebook.customer_consent("test-06-customer-consent", _PERMISSIONS, _CREDENTIALS),
    ),
)

PROCEDURE = with_step_names(
    Procedure(
        id="facebook_marketing",
        version="1",
        title="Facebook Marketing API connector",
        sections=(_PARTNER_APP, _CYCLR_CONNECTOR, _CONNECTION_TEST, ask_cyclr(7)),
        inputs=(
            cyclr_inputs.SERVICE_DOMAIN,
            inputs.APP_DISPLAY_NAME,
            _PERMISSIONS,
            inputs.APP_ID,
            inputs.APP_SECRET,
            inputs.GRAPH_VERSION,
            cyclr_inputs.CYCLR_CLIENT_ID,
            cyclr_inputs.CYCLR_CLIENT_SECRET,
            cyclr_inputs.ACCOUNT_API_ID,
            cyclr_inputs.CYCLR_USERNAME,
            _CONNECTOR,
            cyclr_inputs.INSTALL_CONNECTOR,
            cyclr_inputs.CREATE_TEST_ACCOUNT,
            inputs.USER_ACCESS_TOKEN,
            inputs.MAKE_TEST_CALLS,
            inputs.DATA_DELETION_URL,
            inputs.CUSTOMER_ACCESS_TOKEN,
        ),
        providers=(inputs.FACEBOOK, cyclr_inputs.CYCLR),
        road=_ROAD,
        unseen=(*cyclr.UNSEEN, *facebook.UNSEEN),
    )
)
