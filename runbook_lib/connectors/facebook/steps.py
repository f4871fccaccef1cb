"""
Steps at Facebook that connectors share, in their documented order.

A connector's procedure composes them with its own; each builder returns the
step as the documented page has it, or one that Facebook demands today and the
page leaves out, with its source.
"""

from __future__ import annotations

from runbook_lib.connectors.cyclr.inputs import SERVICE_DOMAIN
from runbook_lib.connectors.cyclr.service_domain import service_domain_answers
from runbook_lib.connectors.cyclr.steps import OUR_ACCOUNT
from runbook_lib.connectors.facebook import (
    app,
    connection,
    inputs,
    people,
    public_pages,
    review,
    review_calls,
    troubles,
    verification,
)
from runbook_lib.connectors.facebook.sources import RELEASE, RENEWAL, SUBMISSION, USE_CASES
from runbook_lib.core.outcome import LONGEST_WAIT_DAYS
from runbook_lib.core.procedure import (
    Answer,
    Check,
    Gate,
    Input,
    Link,
    Paste,
    Road,
    Source,
    Step,
    StepKind,
)

# What checks of the app, and of a user's token for it, cannot do without.
APP = ("app_id", "app_secret")
TOKEN = (*APP, "user_access_token")

# What a person's word, or a check, is about: said of another app it is void.
THIS_APP = ("app_id",)
# These steps come before there is an app: none voids what was said about them.
NO_APP_YET = ()

# For how many days a word about what Facebook has granted counts: verified, approved, published.
A_YEAR = 365

APPS = "{dashboard_url}/apps"
_APP_PAGE = APPS + "/{app_id}"

_DOCS = "https://developers.facebook.com/docs"

# Sittings: what is done in one go, mostly on one page of the dashboard (`Step.sitting`).
LOG_IN = "Log in"
CREATION = "Create the app"
VERIFICATIONS = "Verifications"
SIGN_IN = "Sign-in"
PERMISSIONS = "Permissions"
PUBLIC = "Public pages and data"
REVIEW = "Review"
TOKENS = "Tokens and data"
# What nothing shows, in any connector of Facebook's.
UNSEEN = (
    "Which permissions have Advanced Access: Facebook's API lists approved ones, without a level.",
    "The list of Valid OAuth Redirect URIs: it is seen in the app's settings only.",
    "The Graph version that Cyclr's connector calls: Cyclr says it if asked.",
)


def dashboard(label: str, path: str) -> Link:
    """Return the link to a page of the app's dashboard, which needs the App ID."""
    return Link(label, f"{_APP_PAGE}/{path}", inputs.APP_ID.label)


def log_in() -> Step:
    """Log in to Facebook (documented step 1)."""
    return Step(
        id="fb-01-log-in",
        title="Log in to Facebook",
        kind=StepKind.MANUAL,
        source=Source(1, 1),
        confirms="I am logged in with the Facebook account that owns the app.",
        subject=NO_APP_YET,
        sitting=LOG_IN,
        today=(
            "Log in with the Facebook account that will own the app. Prefer one that belongs to "
            "your company's business portfolio: the app outlives the person."
        ),
        links=(Link("Facebook for Developers", "{dashboard_url}/"),),
    )


def developer_account() -> Step:
    """Have a developer account (documented step 2)."""
    return Step(
        id="fb-02-developer-account",
        title="Have a Facebook developer account",
        kind=StepKind.MANUAL,
        source=Source(1, 2),
        confirms="This account is registered as a Facebook developer account.",
        subject=NO_APP_YET,
        sitting=LOG_IN,
        today=(
            "If this account is not a developer account yet, register it: press **Get Started**, "
            "accept the terms, confirm phone number and email address."
        ),
        links=(Link("Facebook for Developers", "{dashboard_url}/"),),
    )


def my_apps() -> Step:
    """Open My Apps (documented step 3)."""
    return Step(
        id="fb-03-my-apps",
        title="Open My Apps",
        kind=StepKind.MANUAL,
        source=Source(1, 3),
        confirms="My Apps opens, and lists the apps in which I have a role.",
        subject=NO_APP_YET,
        sitting=LOG_IN,
        today="Open **My Apps**. It lists the apps in which you have a role.",
        links=(Link("My Apps", APPS),),
    )


def create_app() -> Step:
    """Create the app (documented step 4)."""
    return Step(
        id="fb-04-create-app",
        title="Create App: Business type, name and purpose",
        kind=StepKind.ASK,
        source=Source(1, 4),
        confirms=(
            "The app is of type Business, its purpose is Clients, and its display name is "
            "as shown here."
        ),
        subject=("app_id", "app_display_name"),
        sitting=CREATION,
        today=(
            "Press **Create App**. Enter the **App Display Name**, which your users see when they "
            "consent, and a contact email. Where a type or a purpose is asked, choose "
            "**Business** and **Clients**."
        ),
        prose=(
            "Press **Create App** and choose **Business** as the app type. Fill in the **App "
            "Display Name** and set **App Purpose** to **Clients**.\n\n"
            "The dashboard now asks for name and contact email first, then for a **use case**, "
            "which decides what permissions the app can ever ask for (next step). App Purpose may "
            "not be asked."
        ),
        links=(Link("Create App", APPS + "/creation/"),),
        pastes=(Paste("App Display Name", "{app_display_name}"),),
        inputs=(inputs.APP_DISPLAY_NAME,),
        checks=(Check("app-name-matches", app.app_name_matches, (*APP, "app_display_name")),),
        troubles=troubles.CREATION,
    )


def use_case(name: str) -> Step:
    """Choose the use case that has the connector's permissions (not on the page)."""
    return Step(
        id="fb-04a-use-case",
        title="Choose the use case that has your permissions",
        kind=StepKind.MANUAL,
        source=Source(1, reading=USE_CASES),
        confirms=f"The app has the use case {name}.",
        subject=THIS_APP,
        sitting=CREATION,
        today=(
            f"Choose the use case **{name}**, while you create the app or later under **Use cases "
            "> Add use cases**. An app of type Business that was made under **Other** has none: "
            "say so here."
        ),
        prose=(
            "Without it the permissions of this connector stand in no list, and the sign-in "
            "dialog answers *Invalid Scopes*. No API shows the use cases of an app. One that was "
            "made under **Other** offers every permission under App Review."
        ),
        links=(dashboard("Use cases", "use_cases/"),),
        troubles=troubles.PERMISSIONS,
    )


def confirm_creation() -> Step:
    """Confirm the creation with the password (documented step 5)."""
    return Step(
        id="fb-05-confirm-creation",
        title="Create the app and confirm with your password",
        kind=StepKind.MANUAL,
        source=Source(1, 5),
        confirms="The app was created, and I confirmed it with my password.",
        subject=THIS_APP,
        sitting=CREATION,
        today=(
            "Press **Create App** once more and give your password again. Then enter **App ID** "
            "and **App Secret** from Settings > Basic."
        ),
        links=(Link("My Apps", APPS), dashboard("Settings > Basic", "settings/basic/")),
        inputs=(inputs.APP_ID, inputs.APP_SECRET),
        checks=(Check("app-is-registered", app.app_is_registered, APP),),
        troubles=troubles.CREDENTIALS,
        developer_tools="devtools_app basic_settings",
    )


def business_verification() -> Step:
    """Have the business verified that owns the app (not on the page)."""
    return Step(
        id="fb-05a-business-verification",
        title="Have your business verified",
        kind=StepKind.WAIT,
        source=Source(1, reading=f"{RELEASE}/business-verification"),
        confirms="The business that owns this app is verified.",
        subject=THIS_APP,
        sitting=VERIFICATIONS,
        today=(
            "On the first day, connect the app with your business portfolio under **Settings > "
            "Basic**, then begin **Business Verification** in the portfolio's **Security "
            "Center**. Facebook asks for documents and takes 1 to 3 weeks."
        ),
        prose=(
            "An app that other businesses use must belong to a verified business. Access "
            "Verification, the renewal of data access and the review wait for it, and all else "
            "can be done meanwhile."
        ),
        least_days=7,
        usual_days=21,
        counts_days=A_YEAR,
        links=(
            dashboard("Verification", "verification/"),
            Link("Graph API Explorer", "{dashboard_url}/tools/explorer/"),
        ),
        inputs=(inputs.USER_ACCESS_TOKEN,),
        checks=(Check("business-is-verified", verification.business_is_verified, TOKEN),),
        developer_tools="devtools_app_review requirements",
        troubles=troubles.BUSINESS,
    )


def access_verification() -> Step:
    """Be verified as a Tech Provider (not on the page)."""
    return Step(
        id="fb-05b-access-verification",
        title="Be verified as a Tech Provider",
        kind=StepKind.WAIT,
        source=Source(1, reading=f"{RELEASE}/access-verification"),
        confirms="Access Verification shows this app's business as a verified Tech Provider.",
        subject=THIS_APP,
        sitting=VERIFICATIONS,
        today=(
            "After Business Verification, have your business verified as a **Tech Provider**: it "
            "takes about five days. An app for your own pages only needs none of this: skip it "
            "with a reason."
        ),
        prose=(
            "Your customers' data belong to other businesses, so Facebook verifies you as a "
            "**Tech Provider**, apart from App Review. Without it the review may pass, and calls "
            "for your customers are refused all the same (code 100). No API shows it: a person "
            "says so."
        ),
        usual_days=5,
        counts_days=A_YEAR,
        links=(dashboard("Verification", "verification/"),),
        troubles=troubles.PROVIDER,
    )


def login_settings() -> Step:
    """Open Facebook Login > Settings (documented step 7)."""
    return Step(
        id="fb-07-login-settings",
        title="Open Facebook Login > Settings",
        kind=StepKind.MANUAL,
        source=Source(1, 7),
        confirms="Facebook Login > Settings opens for this app.",
        subject=THIS_APP,
        sitting=SIGN_IN,
        today=(
            "In the menu on the left, open **Facebook Login > Settings**. In an app with a use "
            "case for ads it is **Facebook Login for Business > Settings**."
        ),
        links=(
            dashboard("Facebook Login > Settings", "fb-login/settings/"),
            dashboard("Facebook Login for Business > Settings", "business-login/settings/"),
        ),
    )


def redirect_uri() -> Step:
    """Set the redirect URI (documented step 8)."""
    return Step(
        id="fb-08-redirect-uri",
        title="Set the Valid OAuth Redirect URI",
        kind=StepKind.ASK,
        source=Source(1, 8),
        confirms=(
            "https://(Service Domain)/connector/callback is listed under Valid OAuth Redirect "
            "URIs, and is saved."
        ),
        attest_label="I compared every character",
        subject=("app_id", "service_domain"),
        sitting=SIGN_IN,
        today=(
            "Under **Valid OAuth Redirect URIs** enter the address below and press **Save "
            "Changes**. Every character counts."
        ),
        prose=(
            "Your Service Domain is shown in your Cyclr console under **Settings > General "
            "Settings > Service Domain**. With a custom domain, General Settings shows two: take "
            "the custom one. When the Service Domain changes, this address must change with it.\n\n"
            "Facebook compares every character: scheme, case and a slash at the end count."
        ),
        links=(
            dashboard("Facebook Login > Settings", "fb-login/settings/"),
            dashboard("Facebook Login for Business > Settings", "business-login/settings/"),
            Link("Cyclr console", "{cyclr_console_url}/"),
        ),
        pastes=(Paste("Valid OAuth Redirect URIs", "https://{service_domain}/connector/callback"),),
        inputs=(SERVICE_DOMAIN,),
        checks=(
            Check(
                "service-domain-answers",
                service_domain_answers,
                ("service_domain",),
                person_confirms="Our own Cyclr console shows this Service Domain.",
            ),
            Check(
                "redirect-uri-is-accepted",
                app.redirect_uri_is_accepted,
                (*APP, "service_domain"),
                person_confirms=(
                    "Every character of the address is as in the list, the path included."
                ),
            ),
        ),
        troubles=troubles.REDIRECT_URI,
        developer_tools="devtools_app advanced_settings",
    )


def app_id_and_secret(number: int) -> Step:
    """Complete Settings > Basic; `number` is where the documented procedure has it."""
    return Step(
        id=f"fb-{number}-app-id-and-secret",
        title="Complete Settings > Basic; take App ID and App Secret",
        kind=StepKind.ASK,
        source=Source(1, number),
        confirms=(
            "Settings > Basic has no missing section, and App ID and App Secret were "
            "copied from there."
        ),
        subject=("app_id", "app_secret"),
        sitting="Keys",
        today=(
            "Under **Settings > Basic** complete what is missing (privacy policy, terms, "
            "category, icon, contact), and copy **App ID** and **App Secret**. Never put the "
            "secret into a notebook."
        ),
        prose=(
            "Keep the secret in `.env`, a keyring or a file, never in a notebook. Once Facebook "
            "has approved the app, these two authenticate it in Cyclr."
        ),
        links=(dashboard("Settings > Basic", "settings/basic/"),),
        inputs=(inputs.APP_ID, inputs.APP_SECRET, inputs.GRAPH_VERSION),
        checks=(
            Check("app-credentials-are-accepted", app.app_credentials_are_accepted, APP),
            Check("missing-sections-are-filled", app.missing_sections_are_filled, APP),
        ),
        troubles=troubles.CREDENTIALS,
        developer_tools="devtools_app basic_settings",
    )


def user_token(step_id: str, permissions: Input, credentials: str) -> Step:
    """Inspect a user's token; `credentials` is the step that yields App ID and App Secret."""
    return Step(
        id=step_id,
        title="Inspect a user's token of this app",
        kind=StepKind.ASK,
        source=Source(2),
        confirms=(
            "A user of this app granted every permission shown here, and the connector "
            "works for that user in Cyclr."
        ),
        subject=("app_id", "permissions", *OUR_ACCOUNT),
        sitting=TOKENS,
        today=(
            "Press **Sign in with Facebook** and consent as one of your users would, or give a "
            "user access token of this app. Without one, attest that the test in Cyclr was "
            "enough, or skip with a reason."
        ),
        prose="Facebook says whose token it is, what it grants and how long.",
        links=(Link("Access Token Tool", "{dashboard_url}/tools/accesstoken/"),),
        inputs=(inputs.USER_ACCESS_TOKEN, permissions),
        checks=(Check("user-token-is-valid", connection.user_token_is_valid, TOKEN),),
        consent_gives=inputs.USER_ACCESS_TOKEN,
        requires=(credentials,),
        troubles=troubles.TOKEN,
    )


def make_test_calls(step_id: str, permissions: Input) -> Step:
    """Make one call with each permission before it is asked for (not on the page)."""
    return Step(
        id=step_id,
        title="Make a test call with each permission",
        kind=StepKind.CALL,
        source=Source(1, reading=SUBMISSION),
        confirms="Request advanced access can be pressed for every permission shown here.",
        subject=("app_id", "permissions"),
        sitting=PERMISSIONS,
        today=(
            "Give a token with every permission, of a person with a role on the app (Graph API "
            "Explorer); the runbook reads once with each. A call counts for 30 days."
        ),
        prose=(
            "**Request advanced access** stays grey until Facebook has logged a successful call "
            "with that permission, made in the 30 days before you submit. The dashboard follows "
            "within two days."
        ),
        links=(
            Link("Graph API Explorer", "{dashboard_url}/tools/explorer/"),
            dashboard("Permissions and Features", "app-review/permissions/"),
        ),
        inputs=(inputs.USER_ACCESS_TOKEN, inputs.MAKE_TEST_CALLS, permissions),
        checks=(
            Check(
                "test-calls-are-made",
                review_calls.each_permission_is_used,
                (*TOKEN, "make_test_calls"),
                spends="It makes one call for each permission, as the person who gave the token.",
                permitted_by=("make_test_calls",),
            ),
        ),
        troubles=troubles.ACCESS_LEVELS,
        developer_tools="devtools_app_review requirements",
    )


def open_public_pages(step_id: str) -> Step:
    """Have pages that the reviewer can open (not on the page)."""
    return Step(
        id=step_id,
        title="Have privacy policy, terms and data deletion open for everybody",
        kind=StepKind.CALL,
        source=Source(1, reading="third-party reading, November 2026; " + SUBMISSION),
        confirms="The three pages open for everybody, without a script, and are about this app.",
        subject=THIS_APP,
        sitting=PUBLIC,
        today=(
            "Give **Privacy Policy URL**, **Terms of Service URL** and **User data deletion** "
            "under **Settings > Basic** a page of its own each, over https, that shows its text "
            "without running a script."
        ),
        prose="The reviewer opens the pages that **Settings > Basic** names.",
        links=(dashboard("Settings > Basic", "settings/basic/"),),
        inputs=(inputs.DATA_DELETION_URL,),
        checks=(Check("public-pages-open", public_pages.public_pages_open, APP),),
        counts_days=90,
        troubles=troubles.CREDENTIALS,
    )


def data_access_renewal(step_id: str) -> Step:
    """Renew the app's data access where Facebook asks for it (not on the page)."""
    return Step(
        id=step_id,
        title="Renew the app's data access, if Facebook asks for it",
        kind=StepKind.WAIT,
        source=Source(
            1, reading=f"{RENEWAL}/faqs, /content, /preparation; third-party readings, 2026"
        ),
        confirms="Facebook shows the Data Access Renewal of this app as complete.",
        subject=THIS_APP,
        sitting=PUBLIC,
        today=(
            "Look at **Required actions** in My Apps, the dashboard's alerts and Facebook's "
            "mails. Where they ask for **Data Access Renewal** (once **Data Use Checkup**, **Data "
            "Protection Assessment** or **data handling questions**), **Open checkup** begins it. "
            "Then say here what holds."
        ),
        prose=(
            "Once a year Facebook asks, app by app, for **Data Access Renewal**, and it has asked "
            "apps that were never live. The mails go to the app's administrators and its contact "
            "address. While it is open, **Submit for review** is grey and publishing is refused. "
            "“runbook kit” lists its sections. You have 60 calendar days from the first notice, "
            "without extension: then the app is deactivated until it is done. Facebook takes 10 "
            "to 15 working days for it, beside the review. No API shows it: a person says so.\n\n"
            "Since October 2024 it takes the place of the **Data Use Checkup**, the **Data "
            "Protection Assessment** and the **data handling questions**; where Facebook still "
            "asks for one of these, say so here."
        ),
        links=(Link("My Apps", APPS), dashboard("App dashboard", "dashboard/")),
        least_days=14,  # 10 to 15 working days
        usual_days=21,
        attest_label="It is done",
        counts_days=A_YEAR,
        answers=(
            Answer(
                name="not-asked",
                label="Not asked of this app",
                sentence=(
                    "Required actions, alerts and mails ask for no Data Access Renewal of this app."
                ),
                counts_days=90,
            ),
            Answer(
                name="asked",
                label="Asked for, not done yet",
                sentence=(
                    "Facebook asks for the Data Access Renewal of this app, and it is not complete."
                ),
                due_days=60,
            ),
        ),
        troubles=troubles.RENEWAL,
        developer_tools="devtools_compliance status",
    )


def submit_review(
    step_id: str, source: Source, permissions: Input, act: str, *, review_kit: str
) -> Step:
    """
    Submit for review, and wait; `act` is what the documented page says of it.

    `review_kit` is the connector whose texts for App Review belong to it.
    """
    return Step(
        id=step_id,
        title="Submit for review, and wait",
        kind=StepKind.WAIT,
        source=source,
        confirms="Facebook approved every permission shown here.",
        subject=("app_id", "permissions"),
        sitting=REVIEW,
        today=(
            f"{act} In a use-case app, press **Add to App Review** at each permission first (**Use "
            f"cases > Customize**). Facebook decides on each after 1 to {LONGEST_WAIT_DAYS} days; "
            "the result may lie unread in the panel."
        ),
        prose=(
            "The days are as reported. For **public_profile** the button is **Increase access**. "
            "Where Facebook asks for **Data Access Renewal** (formerly Data Use Checkup, Data "
            "Protection Assessment and data handling questions), nothing can be submitted before "
            "that is done. Only one submission at a time is taken.\n\n"
            "**Overdue**: read every result under App Review > Requests, the dashboard's alerts "
            "and the mails to the app's contact address; then ask Facebook's developer support "
            "(developers.facebook.com/support).\n\n"
            "**Declined**: say so here with what the reviewer objects to, change that, press "
            "**Request again** and submit; then say once more that it is submitted."
        ),
        links=(dashboard("App Review > Requests", "app-review/submissions/"),),
        least_days=1,
        question="What does App Review say?",
        usual_days=LONGEST_WAIT_DAYS,
        inputs=(permissions,),
        checks=(
            Check(
                "review-is-approved",
                review.review_is_approved,
                APP,
                person_confirms="App Review shows Advanced Access for each of them.",
            ),
        ),
        counts_days=A_YEAR,
        review_kit=review_kit,
        troubles=troubles.REVIEW,
        developer_tools="devtools_app_review privileges, devtools_app_review status",
    )


def publish(step_id: str) -> Step:
    """Publish the app (not on the page)."""
    return Step(
        id=step_id,
        title="Publish the app",
        kind=StepKind.MANUAL,
        source=Source(1, reading=RELEASE),
        confirms="The dashboard shows this app as published.",
        subject=THIS_APP,
        sitting=REVIEW,
        today=(
            "Open **Publish** and press **Go live**. An app without use cases has no Publish "
            "page: say so here."
        ),
        prose=(
            "Until then an app with use cases is there for people with a role only: approved "
            "permissions do not count for anybody else, and no leads arrive. No API shows it: a "
            "person says so."
        ),
        links=(dashboard("Publish", "go_live/"),),
        counts_days=A_YEAR,
        troubles=troubles.PUBLISHING,
        developer_tools="devtools_app basic_settings",
    )


def customer_consent(step_id: str, permissions: Input, credentials: str) -> Step:
    """
    Have somebody consent who has no role on the app (not on the page).

    `credentials` is the step that yields App ID and App Secret.
    """
    return Step(
        id=step_id,
        title="Consent as somebody who has no role on the app",
        kind=StepKind.ASK,
        source=Source(2, reading=f"{_DOCS}/development/build-and-test/app-roles"),
        confirms=(
            "A person without a role on this app granted every permission shown here, and the "
            "connector works for that person in Cyclr."
        ),
        subject=("app_id", "permissions", *OUR_ACCOUNT),
        sitting=TOKENS,
        today=(
            "Press **Sign in with Facebook**, then **Copy the link**. Use a private window, since "
            "this one is logged in as you, and log in there as somebody without a role; or give "
            "that person's token."
        ),
        prose=(
            "People with a role on the app get every permission, approved or not, so their "
            "consent does not show what customers will see. *Feature unavailable* there means "
            "that something above is not approved, or not published."
        ),
        links=(dashboard("App roles", "roles/roles/"),),
        inputs=(inputs.CUSTOMER_ACCESS_TOKEN, permissions),
        checks=(
            Check(
                "customer-consents-without-role",
                people.customer_consents_without_role,
                (*TOKEN, "customer_access_token"),
            ),
        ),
        consent_gives=inputs.CUSTOMER_ACCESS_TOKEN,
        requires=(credentials,),
        troubles=troubles.CONSENT,
    )


def road(*, test_calls: str, public_pages: str, renewal: str, review: str) -> Road:
    """Return how long it takes until customers can use the app; the names are ids of steps."""
    business, access = "fb-05a-business-verification", "fb-05b-access-verification"
    return Road(
        ready=(
            "a business portfolio that you administer",
            "company documents (register extract, tax document, bank statement)",
            "public pages: privacy policy, terms, user data deletion",
            "an app icon of 512 to 1024 pixels",
            "a Facebook account without a role on the app, for the last test",
            "who signs what the company says about data",
        ),
        gates=(
            Gate(step=business, after=(), source="third-party readings, 2026"),
            Gate(step=access, after=(business,), source=f"{RELEASE}/access-verification"),
            Gate(
                step=renewal,
                after=(business,),
                source=f"{RENEWAL}/content; third-party readings, 2026",
            ),
            Gate(
                step=review,
                after=(business, test_calls, public_pages, renewal),
                source="third-party readings, 2026",
            ),
        ),
        meanwhile=(
            "Business Verification, from the first day on",
            "the three public pages and the settings of the app",
            "the test calls and the recording for the review",
        ),
        afterwards=(
            "Data Access Renewal: Facebook asks app by app, at most once a year, and gives 60 days",
            "the end of the Graph version that Cyclr calls",
            "the certificate of the Service Domain, and the three public pages",
            "your customers' sign-ins: Facebook does not say when one has ended",
        ),
        whole="6 to 10 weeks",
        source="one organisation's account, November 2026 (single)",
    )
