"""
The documented procedure for Cyclr's Facebook Messenger API connector, as data.

In our own words, in the documented order (Cyclr: Facebook Messenger
Authentication). `today` says what a person does on the screens as they are
now, `prose` what the page says and why; a step with a letter in its number is
not on it.
"""

from __future__ import annotations

from runbook_lib.config import formats
from runbook_lib.connectors.cyclr import inputs as cyclr_inputs
from runbook_lib.connectors.cyclr import steps as cyclr
from runbook_lib.connectors.facebook import formats as facebook_formats
from runbook_lib.connectors.facebook import inputs, troubles
from runbook_lib.connectors.facebook import steps as facebook
from runbook_lib.connectors.facebook.cyclr_questions import ask_cyclr
from runbook_lib.connectors.facebook.permissions import permission_doubt
from runbook_lib.connectors.facebook.sources import SUBMISSION
from runbook_lib.connectors.facebook_messenger import checks
from runbook_lib.connectors.step_names import with_step_names
from runbook_lib.core.procedure import (
    Check,
    Input,
    Link,
    Paste,
    Procedure,
    Section,
    Source,
    Step,
    StepKind,
)

_MESSENGER = ("pages_messaging", "pages_show_list", "pages_manage_metadata")
_CONNECTOR = cyclr_inputs.cyclr_connector("Facebook Messenger API")
_PERMISSIONS = inputs.permissions(*_MESSENGER, example="pages_messaging, pages_show_list")
_CREDENTIALS = "fb-11-app-id-and-secret"
_CONSOLE = (Link("Cyclr console", "{cyclr_console_url}/"),)
_PAGE = "The page"

_PAGE_ID = Input(
    name="page_id",
    label="Page ID",
    help="The page > About > Page transparency. One page that the connector will use.",
    parse=facebook_formats.page_id,
    example="103942857163920",
    provider=inputs.FACEBOOK.name,
)
_SCOPES = Input(
    name="scopes",
    label="Scopes",
    help="What Cyclr asks users for at sign-in; commas between them.",
    parse=facebook_formats.scope,
    doubt=lambda names: permission_doubt(names.split(",")),
    default=",".join(_MESSENGER),
    example="pages_messaging,pages_show_list",
    provider=cyclr_inputs.CYCLR.name,
)
_VERIFY_TOKEN = Input(
    name="verify_token",
    label="Verify Token",
    help="A text of your choice, the same at Facebook and Cyclr.",
    parse=formats.opaque_secret,
    secret=True,
    provider=cyclr_inputs.CYCLR.name,
)
_WEBHOOK_URL = Input(
    name="webhook_url",
    label="Webhook address",
    help="Where Facebook calls Cyclr: the Callback URL in Messenger > Settings > Webhooks.",
    parse=formats.web_address,
    provider=cyclr_inputs.CYCLR.name,
)

_ROAD = facebook.road(
    test_calls="fb-10a-test-calls",
    public_pages="fb-10b-public-pages",
    renewal="fb-10c-data-access-renewal",
    review="fb-10d-app-review",
)

_PARTNER_APP = Section(
    id="partner-app",
    title="Setting up your Partner App",
    intro=(
        "Register an app with Facebook, tell it where to send your customers back to, and connect "
        "the pages that it may use. Begin Business Verification on the first day."
    ),
    steps=(
        facebook.log_in(),
        facebook.developer_account(),
        facebook.my_apps(),
        facebook.create_app(),
        facebook.use_case("Engage with customers on Messenger from Meta"),
        facebook.confirm_creation(),
        facebook.business_verification(),
        facebook.access_verification(),
        Step(
            id="fb-06-messenger",
            title="Set up Messenger",
            kind=StepKind.MANUAL,
            source=Source(1, 6),
            confirms="Messenger is set up for this app.",
            subject=facebook.THIS_APP,
            sitting="Messenger",
            today=(
                "On **Add Products to Your App**, press **Set Up** under **Messenger**. In "
                "use-case apps it comes with the use case **Engage with customers on Messenger "
                "from Meta**."
            ),
            prose=(
                "On **Add Products to Your App**, press **Set Up** under **Facebook Messenger**; "
                "the product is called **Messenger** now. No API shows which products an app has: "
                "a person says so."
            ),
            links=(facebook.dashboard("App dashboard", "dashboard/"),),
        ),
        facebook.login_settings(),
        facebook.redirect_uri(),
        Step(
            id="fb-09-pages",
            title="Open Messenger > Settings and add a page",
            kind=StepKind.MANUAL,
            source=Source(1, 9),
            confirms="Access Tokens in Messenger > Settings lists the page shown here.",
            subject=("app_id", "page_id"),
            sitting=_PAGE,
            today=(
                "In the menu on the left open **Messenger > Settings**. Under **Access Tokens** "
                "press **Add or Remove Pages**."
            ),
            prose="The documented page calls the menu **Facebook Messenger > Settings**.",
            links=(facebook.dashboard("Messenger > Settings", "messenger/settings/"),),
            inputs=(_PAGE_ID,),
        ),
        Step(
            id="fb-10-page-access",
            title="Complete the dialog for the page to be used",
            kind=StepKind.ASK,
            source=Source(1, 10),
            confirms="The dialog was completed, and the page is subscribed to this app.",
            subject=("app_id", "page_id"),
            sitting=_PAGE,
            today=(
                "Complete the dialog for the page that you want to use, and keep every permission "
                "that it asks for. Then give a token of a person who has a task on the page."
            ),
            prose=(
                "With a token of a person who has a task on the page, Facebook says whether the "
                "page is subscribed to the app."
            ),
            links=(facebook.dashboard("Messenger > Settings", "messenger/settings/"),),
            inputs=(_PAGE_ID, inputs.USER_ACCESS_TOKEN),
            checks=(
                Check(
                    "page-is-subscribed", checks.page_is_subscribed, (*facebook.TOKEN, "page_id")
                ),
            ),
            troubles=troubles.PAGES,
        ),
        facebook.make_test_calls("fb-10a-test-calls", _PERMISSIONS),
        facebook.open_public_pages("fb-10b-public-pages"),
        facebook.data_access_renewal("fb-10c-data-access-renewal"),
        facebook.submit_review(
            "fb-10d-app-review",
            Source(1, reading=SUBMISSION),
            _PERMISSIONS,
            "Request Advanced Access under **App Review > Permissions and Features**, as for any "
            "other permission, and submit the app for review.",
            review_kit="facebook_messenger",
        ),
        facebook.publish("fb-10e-publish"),
        facebook.app_id_and_secret(11),
    ),
)

_CYCLR_CONNECTOR = Section(
    id="cyclr-connector",
    title="Setting up the connector in Cyclr",
    intro=(
        "Hand the App ID and App Secret to Cyclr, once, for all your customers, with scopes and "
        "Verify Token. Cyclr offers no API for it: a person types them into the console, and the "
        "runbook reads back what it can."
    ),
    steps=(
        cyclr.connector_setup(_CONNECTOR),
        cyclr.client_id(inputs.FACEBOOK, _CREDENTIALS),
        cyclr.client_secret(inputs.FACEBOOK, _CREDENTIALS),
        Step(
            id="cy-04-scopes",
            title="Scopes: what users are asked for at sign-in",
            kind=StepKind.MANUAL,
            source=Source(2),
            confirms="Scopes in the connector's Setup is the list shown here, and it is saved.",
            subject=("app_id", "scopes", *cyclr.OUR_CYCLR),
            sitting=cyclr.CONSOLE,
            today=(
                "Enter the permissions that users are asked for as **Scopes**, with commas "
                "between them."
            ),
            links=_CONSOLE,
            pastes=(Paste("Scopes", "{scopes}"),),
            inputs=(_SCOPES,),
            checks=(
                Check(
                    "scopes-are-asked-for",
                    checks.scopes_are_asked_for,
                    (*cyclr.CYCLR, "app_id", "scopes", "service_domain", "cyclr_username"),
                ),
            ),
            requires=("cy-02-client-id",),
            troubles=troubles.PERMISSIONS,
        ),
        Step(
            id="cy-05-verify-token",
            title="Verify Token: what validates the webhook",
            kind=StepKind.MANUAL,
            source=Source(2),
            confirms=(
                "Verify Token in the connector's Setup is the one that Facebook's webhook "
                "settings hold, and it is saved."
            ),
            subject=("app_id", "verify_token", "webhook_url", *cyclr.OUR_CYCLR),
            sitting=cyclr.CONSOLE,
            today=(
                "Enter the same text as **Verify Token** here and in Facebook's webhook settings, "
                "and press **Save Changes**."
            ),
            prose=(
                "The Verify Token validates the webhook. With the webhook's address the runbook "
                "asks Cyclr to confirm it, as Facebook does."
            ),
            links=(
                *_CONSOLE,
                facebook.dashboard("Messenger > Settings", "messenger/settings/"),
            ),
            inputs=(_VERIFY_TOKEN, _WEBHOOK_URL),
            checks=(
                Check(
                    "webhook-takes-verify-token",
                    checks.webhook_takes_verify_token,
                    ("verify_token", "webhook_url"),
                    person_confirms=(
                        "Facebook's webhook settings name the address given here as Callback URL."
                    ),
                ),
            ),
            hands_over=_VERIFY_TOKEN,
            troubles=troubles.WEBHOOK,
        ),
        cyclr.error_webhook("cy-05a-error-webhook"),
    ),
)

_CONNECTION_TEST = Section(
    id="connection-test",
    title="Testing the connector in a user account",
    intro=(
        "Install the connector in one user account and authenticate it; then see what a user's "
        "token grants."
    ),
    steps=(
        cyclr.install(_CONNECTOR),
        cyclr.authenticate(inputs.FACEBOOK),
        facebook.user_token("test-03-user-token", _PERMISSIONS, _CREDENTIALS),
        facebook.customer_consent("test-04-customer-consent", _PERMISSIONS, _CREDENTIALS),
    ),
)

PROCEDURE = with_step_names(
    Procedure(
        id="facebook_messenger",
        version="1",
        title="Facebook Messenger API connector",
        sections=(_PARTNER_APP, _CYCLR_CONNECTOR, _CONNECTION_TEST, ask_cyclr(5)),
        inputs=(
            cyclr_inputs.SERVICE_DOMAIN,
            inputs.APP_DISPLAY_NAME,
            _PERMISSIONS,
            inputs.APP_ID,
            inputs.APP_SECRET,
            inputs.GRAPH_VERSION,
            _PAGE_ID,
            inputs.USER_ACCESS_TOKEN,
            cyclr_inputs.CYCLR_CLIENT_ID,
            cyclr_inputs.CYCLR_CLIENT_SECRET,
            cyclr_inputs.ACCOUNT_API_ID,
            cyclr_inputs.CYCLR_USERNAME,
            _CONNECTOR,
            _SCOPES,
            _VERIFY_TOKEN,
            _WEBHOOK_URL,
            cyclr_inputs.INSTALL_CONNECTOR,
            cyclr_inputs.CREATE_TEST_ACCOUNT,
            inputs.MAKE_TEST_CALLS,
            inputs.DATA_DELETION_URL,
            inputs.CUSTOMER_ACCESS_TOKEN,
        ),
        providers=(inputs.FACEBOOK, cyclr_inputs.CYCLR),
        road=_ROAD,
        unseen=(*cyclr.UNSEEN, *facebook.UNSEEN),
    )
)
