"""
Steps at Facebook that connectors share, in their documented order.

A connector's procedure composes them with its own; each builder returns the
step as the documented page has it.
"""

from __future__ import annotations

from runbook_lib.connectors.cyclr.inputs import SERVICE_DOMAIN
from runbook_lib.connectors.cyclr.service_domain import service_domain_answers
from runbook_lib.connectors.cyclr.steps import OUR_ACCOUNT
from runbook_lib.connectors.facebook import app, connection, inputs
from runbook_lib.core.procedure import Check, Input, Link, Paste, Source, Step, StepKind

__all__ = [
    "APP",
    "APPS",
    "THIS_APP",
    "TOKEN",
    "app_id_and_secret",
    "confirm_creation",
    "create_app",
    "dashboard",
    "developer_account",
    "log_in",
    "login_settings",
    "my_apps",
    "redirect_uri",
    "user_token",
]

# What checks of the app, and of a user's token for it, cannot do without.
APP = ("app_id", "app_secret")
TOKEN = (*APP, "user_access_token")

# What a person's word, or a check, is about: said of another app it is void.
THIS_APP = ("app_id",)

APPS = "{dashboard_url}/apps"
_APP_PAGE = APPS + "/{app_id}"


def dashboard(label: str, path: str) -> Link:
    """Return the link to a page of the app's dashboard; to all apps while none is known."""
    return Link(label, f"{_APP_PAGE}/{path}", APPS)


def log_in() -> Step:
    """Log in to Facebook (documented step 1)."""
    return Step(
        id="fb-01-log-in",
        title="Log in to Facebook",
        kind=StepKind.MANUAL,
        source=Source(1, 1),
        confirms="I am logged in with the Facebook account that owns the app.",
        subject=THIS_APP,
        prose=(
            "Log in with the Facebook account that will own the app. Prefer one that belongs "
            "to your company's business portfolio: the app outlives the person."
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
        subject=THIS_APP,
        prose=(
            "If this account is no developer account yet, register it: press **Get Started**, "
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
        subject=THIS_APP,
        prose="Open **My Apps**. It lists the apps in which you have a role.",
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
        prose=(
            "Press **Create App** and choose **Business** as the app type. Fill in the "
            "**App Display Name**, which your users see when they consent, and set "
            "**App Purpose** to **Clients**."
        ),
        today=(
            "The dashboard now asks for name and contact email first and then for a use case; "
            "**Business** is found under **Other**. App Purpose may not be asked. Choose Other > "
            "Business where it is offered: apps made through a use case have been reported to "
            "answer *Invalid Scopes* at sign-in."
        ),
        links=(Link("Create App", APPS + "/creation/"),),
        pastes=(Paste("App Display Name", "{app_display_name}"),),
        inputs=(inputs.APP_DISPLAY_NAME,),
        checks=(Check("app-name-matches", app.app_name_matches, (*APP, "app_display_name")),),
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
        prose="Press **Create App** once more. Facebook asks for your password again.",
        links=(Link("My Apps", APPS),),
        checks=(Check("app-is-registered", app.app_is_registered, APP),),
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
        prose="In the menu on the left, open **Facebook Login > Settings**.",
        today="In use-case apps: **Use cases > Customize > Settings**.",
        links=(dashboard("Facebook Login > Settings", "fb-login/settings/"),),
    )


def redirect_uri() -> Step:
    """Set the redirect URI (documented step 8)."""
    return Step(
        id="fb-08-redirect-uri",
        title="Set the Valid OAuth Redirect URI",
        kind=StepKind.ASK,
        source=Source(1, 8),
        confirms=(
            "The address shown here is listed under Valid OAuth Redirect URIs, character by "
            "character, and is saved."
        ),
        subject=("app_id", "service_domain"),
        prose=(
            "Under **Valid OAuth Redirect URIs** enter the address below and press "
            "**Save Changes**. Your Service Domain is shown in your Cyclr console under "
            "**Settings > General Settings > Service Domain**. Facebook compares every "
            "character: scheme, case and a slash at the end count."
        ),
        today=(
            "With a custom domain, General Settings shows two: take the custom one. When the "
            "Service Domain changes, this address must change with it."
        ),
        links=(
            dashboard("Facebook Login > Settings", "fb-login/settings/"),
            Link("Cyclr console", "{cyclr_console_url}/"),
        ),
        pastes=(Paste("Valid OAuth Redirect URIs", "https://{service_domain}/connector/callback"),),
        inputs=(SERVICE_DOMAIN,),
        checks=(
            Check(
                "service-domain-answers",
                service_domain_answers,
                ("service_domain",),
            ),
            Check(
                "redirect-uri-is-accepted",
                app.redirect_uri_is_accepted,
                (*APP, "service_domain"),
            ),
        ),
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
        prose=(
            "Under **Settings > Basic** complete what is missing (privacy policy, terms, "
            "category, icon, contact) and copy **App ID** and **App Secret**. Keep the secret "
            "in `.env`, a keyring or a file, never in a notebook. Once Facebook has approved "
            "the app, these two authenticate it in Cyclr."
        ),
        links=(dashboard("Settings > Basic", "settings/basic/"),),
        inputs=(inputs.APP_ID, inputs.APP_SECRET, inputs.GRAPH_VERSION),
        checks=(
            Check("app-credentials-are-accepted", app.app_credentials_are_accepted, APP),
            Check("missing-sections-are-filled", app.missing_sections_are_filled, APP),
        ),
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
        prose=(
            "Press **Sign in with Facebook** and consent as one of your users would, or give a "
            "user access token that was issued for this app: Facebook says whose it is, what "
            "it grants and how long. Without one, attest that the test in Cyclr was enough, or "
            "skip with a reason."
        ),
        links=(Link("Access Token Tool", "{dashboard_url}/tools/accesstoken/"),),
        inputs=(inputs.USER_ACCESS_TOKEN, permissions),
        checks=(Check("user-token-is-valid", connection.user_token_is_valid, TOKEN),),
        needs_consent=True,
        requires=(credentials,),
    )
