"""
The App Dashboard: My Apps and Create App, then each app's products, review and settings.

Screens, fields and buttons have the documented names, and the content that they
have today (graph §9); the design is the sandbox's own. `FacebookSite` serves
the dashboard together with the OAuth dialog.
"""

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from runbook_lib.sandbox.facebook_web.dialog import answer_dialog, is_dialog
from runbook_lib.sandbox.http.pages import MissingPageError, Page, Visit, answer_visit, see_other
from runbook_lib.sandbox.http.routing import Router
from runbook_lib.sandbox.http.web import Reply, Request
from runbook_lib.sandbox.origins import inferred, unknown, verbatim
from runbook_lib.sandbox.state.facebook_world import (
    MESSENGER_FIELDS,
    App,
    AppMode,
    ReviewState,
)
from runbook_lib.sandbox.state.permissions import (
    KNOWN_PERMISSIONS,
    MESSENGER_PERMISSIONS,
    PERMISSIONS,
)
from runbook_lib.sandbox.state.review import (
    DEPENDENCIES,
    REVIEW_DAYS,
    SECTIONS,
    decide,
    request_access,
    submit,
)
from runbook_lib.sandbox.state.versions import CALENDAR
from runbook_lib.sandbox.state.world import World

__all__ = ["PURPOSES", "TYPES", "USE_CASES", "FacebookSite", "dashboard_router"]

verbatim("graph §9", "at most 15 unverified apps per person", "create-an-app")
_MOST_APPS = 15
_LONGEST_NAME = 100
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\Z")

verbatim("graph §9", "creation: name and contact email, use case, Business behind Other", "docs")
unknown("graph §9", "App Purpose: Clients is in no current page; it is asked as documented")
USE_CASES = (
    "Create & manage ads with Marketing API",
    "Authenticate and request data from users with Facebook Login",
    "Other",
)
TYPES = ("Business", "Consumer")
PURPOSES = ("Yourself or your own business", "Clients")

_PRODUCTS = {
    "facebook_login": "Facebook Login",
    "marketing_api": "Marketing API",
    "messenger": "Facebook Messenger",
    "webhooks": "Webhooks",
}
_HOST = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+\Z")
_MOST_VALUES = 50
_SWITCHES = {
    "client_oauth": "Client OAuth Login",
    "web_oauth": "Web OAuth Login",
    "enforce_https": "Enforce HTTPS",
    "strict_mode": "Use Strict Mode for Redirect URIs",
}
_LOCKED = frozenset({"enforce_https", "strict_mode"})
_CATEGORIES = ("Business", "Education", "Shopping", "Utility and Productivity")
_URLS = {
    "privacy_policy_url": "Privacy Policy URL",
    "terms_of_service_url": "Terms of Service URL",
    "website_url": "Site URL",
}

dashboard_router: Router[Page] = Router()


def _find_app(visit: Visit, app_id: str) -> App:
    app = visit.world.facebook.apps.get(app_id)
    if app is None or visit.person.id not in app.roles:
        raise MissingPageError("You have no app with this App ID.")
    return app


# --- before there is an app ------------------------------------------------------------------
@dashboard_router.route("GET", "/")
def show_start(_visit: Visit) -> Reply:
    """Redirect to My Apps."""
    return see_other("/apps/")


@dashboard_router.route("GET", "/apps")
def list_apps(visit: Visit) -> Reply:
    """Show My Apps, or the registration to a person who is not a developer yet."""
    if not visit.person.is_developer:
        return see_other("/async/registration/")
    return visit.page("apps.html", apps=_apps_of(visit))


def _apps_of(visit: Visit) -> list[App]:
    """Return the apps on which the person has a role."""
    apps = visit.world.facebook.apps.values()
    return [app for app in apps if visit.person.id in app.roles]


@dashboard_router.route("GET POST", "/async/registration")
@unknown("graph §9", "the path and the wording of the developer registration")
def register(visit: Visit) -> Reply:
    """Make the person a Facebook developer."""
    is_customer = visit.person is visit.world.facebook.customer
    if visit.request.method == "POST" and not is_customer:
        visit.person.is_developer = True
        return see_other("/apps/", "You are registered as a developer.")
    return visit.page("registration.html", is_customer=is_customer)


@dashboard_router.route("GET POST", "/apps/creation")
@inferred("graph §9", "the order of the creation's pages: details, use case, type, password")
def create_app(visit: Visit) -> Reply:
    """Show the pages of Create App one by one; the last one asks for the password."""
    if not visit.person.is_developer:
        return see_other("/async/registration/")
    answers = {
        name: visit.text(name) for name in ("use_case", "type", "name", "contact_email", "purpose")
    }
    step = visit.text("step") or "use_case"
    if visit.request.method == "GET":
        return _creation(visit, "use_case", answers)
    problem = _missing(step, answers)
    if problem:
        return _creation(visit, step, answers, problem)
    if step == "password":
        return _create(visit, answers)
    following = {"use_case": "type", "type": "details", "details": "password"}
    if step == "use_case" and answers["use_case"] != "Other":
        answers["type"] = "Business"
        return _creation(visit, "details", answers)
    return _creation(visit, following[step], answers)


def _missing(step: str, answers: dict[str, str]) -> str:
    """Return what is wrong with the answers up to `step`, or an empty string."""
    name = answers["name"]
    checks = {
        "use_case": ((answers["use_case"] in USE_CASES, "Select a use case."),),
        "type": ((answers["type"] in TYPES, "Select an app type."),),
        "details": (
            (answers["type"] in TYPES, "Select an app type."),
            (0 < len(name) <= _LONGEST_NAME, "Enter an App Display Name of 100 letters at most."),
            (_EMAIL.match(answers["contact_email"]), "Enter an App Contact Email."),
            (answers["purpose"] in PURPOSES, "Select an App Purpose."),
        ),
    }
    wanted = checks.get("details" if step == "password" else step, ((False, "Begin again."),))
    return next((problem for is_right, problem in wanted if not is_right), "")


def _creation(visit: Visit, step: str, answers: dict[str, str], problem: str = "") -> Reply:
    known = step if step in {"use_case", "type", "details", "password"} else "use_case"
    return visit.page(
        "create_app.html",
        200 if not problem else 400,
        step=known,
        answers=answers,
        problem=problem,
        use_cases=USE_CASES,
        types=TYPES,
        purposes=PURPOSES,
    )


def _create(visit: Visit, answers: dict[str, str]) -> Reply:
    if not visit.has_password:
        problem = "That is not the invented person's password."
        return _creation(visit, "password", answers, problem)
    if len(visit.world.facebook.apps) >= _MOST_APPS:
        return _creation(visit, "password", answers, "You have 15 apps already.")
    app = visit.world.register_app(answers["name"])
    app.contact_email, app.purpose = answers["contact_email"], answers["purpose"]
    app.type = answers["type"]
    # verbatim graph §9: business apps have no app mode and rely on access levels
    app.mode = AppMode.LIVE if app.type == "Business" else AppMode.DEVELOPMENT
    return see_other(f"/apps/{app.id}/dashboard/", "Your app is created.")


@dashboard_router.route("GET POST", "/tools/explorer")
@dashboard_router.route("GET", "/tools/accesstoken")
@inferred("graph §9", "people with a role get a token with any permission (Standard Access)")
def explore(visit: Visit) -> Reply:
    """Issue a user token for one of the apps, as Graph API Explorer does."""
    token = ""
    if visit.request.method == "POST":
        app = _find_app(visit, visit.text("app_id"))
        _grant(visit, app, PERMISSIONS)
        token = visit.world.issue_user_token(app, visit.world.facebook.person.id, PERMISSIONS).value
    apps = _apps_of(visit)
    return visit.page("explorer.html", apps=apps, token=token, permissions=PERMISSIONS)


def _grant(visit: Visit, app: App, permissions: Iterable[str]) -> None:
    """Grant `permissions` of the person to the app."""
    facebook = visit.world.facebook
    granted = facebook.grants.setdefault((facebook.person.id, app.id), {})
    granted |= dict.fromkeys(permissions, "granted")


def _page(visit: Visit, app: App, template: str, status: int = 200, **values: object) -> Reply:
    return visit.page(template, status, app=app, **values)


# --- products --------------------------------------------------------------------------------
@dashboard_router.route("GET", "/apps/{app_id}")
def open_app(visit: Visit, app_id: str) -> Reply:
    """Redirect to the app's first page."""
    return see_other(f"/apps/{_find_app(visit, app_id).id}/dashboard/")


@dashboard_router.route("GET", "/apps/{app_id}/dashboard")
def show_products(visit: Visit, app_id: str) -> Reply:
    """Show Add Products to Your App."""
    return _page(visit, _find_app(visit, app_id), "products.html", products=_PRODUCTS)


@dashboard_router.route("POST", "/apps/{app_id}/products/{product}")
def set_up_product(visit: Visit, app_id: str, product: str) -> Reply:
    """Set a product up."""
    app = _find_app(visit, app_id)
    if product not in _PRODUCTS:
        raise MissingPageError("There is no such product.")
    app.products.add(product)
    return see_other(f"/apps/{app.id}/dashboard/", f"{_PRODUCTS[product]} is added to your app.")


# --- Facebook Login > Settings ---------------------------------------------------------------
@dashboard_router.route("GET POST", "/apps/{app_id}/fb-login/settings")
@verbatim("graph §9", "Strict Mode and Enforce HTTPS are locked on since 2018", "third-party")
@inferred("graph §9", "a Valid OAuth Redirect URI is an absolute https URI without a fragment")
def set_up_login(visit: Visit, app_id: str) -> Reply:
    """Show or save the settings of Facebook Login, with the Valid OAuth Redirect URIs."""
    app = _find_app(visit, app_id)
    if "facebook_login" not in app.products and app.is_classic:
        return see_other(f"/apps/{app.id}/dashboard/", "Set up Facebook Login first.")
    if visit.request.method == "GET":
        return _login_settings(visit, app, "\n".join(app.redirect_uris))
    text = visit.text("redirect_uris")
    uris = list(dict.fromkeys(text.split()))
    wrong = [uri for uri in uris if not _is_redirect_uri(uri)]
    if wrong or len(uris) > _MOST_VALUES:
        problem = f"Not a secure URI: {', '.join(wrong)}" if wrong else "Too many URIs."
        return _login_settings(visit, app, text, problem)
    app.redirect_uris = uris
    for name in _SWITCHES:
        app.login_settings[name] = name in _LOCKED or name in visit.request.form
    return see_other(f"/apps/{app.id}/fb-login/settings/", "Changes saved.")


@dashboard_router.route("POST", "/apps/{app_id}/fb-login/validator")
def validate_redirect_uri(visit: Visit, app_id: str) -> Reply:
    """Show whether a redirect URI is one of the Valid OAuth Redirect URIs."""
    app = _find_app(visit, app_id)
    uri = visit.text("redirect_uri")
    verdict = "valid" if uri in app.redirect_uris else "invalid"
    return _login_settings(visit, app, "\n".join(app.redirect_uris), verdict=verdict, checked=uri)


def _login_settings(visit: Visit, app: App, text: str, problem: str = "", **values: str) -> Reply:
    return _page(
        visit,
        app,
        "login_settings.html",
        400 if problem else 200,
        text=text,
        problem=problem,
        switches=_SWITCHES,
        locked=_LOCKED,
        **{"verdict": "", "checked": "", **values},
    )


def _is_redirect_uri(uri: str) -> bool:
    try:
        parts = urlsplit(uri)
        return parts.scheme == "https" and bool(parts.hostname) and not parts.fragment
    except ValueError:
        return False


# --- Facebook Messenger > Settings -----------------------------------------------------------
@dashboard_router.route("GET POST", "/apps/{app_id}/messenger/settings")
@verbatim("graph §9", "Messenger > Settings, Access Tokens, Add or Remove Pages", "cyclr/docs")
@unknown("messenger", "whether adding a page grants and subscribes it: here it does both")
def choose_pages(visit: Visit, app_id: str) -> Reply:
    """Show or save the pages that the app is used for."""
    app, facebook = _find_app(visit, app_id), visit.world.facebook
    here = f"/apps/{app.id}/messenger/settings/"
    if "messenger" not in app.products:
        return see_other(f"/apps/{app.id}/dashboard/", "Set up Facebook Messenger first.")
    if visit.request.method == "GET":
        return _page(visit, app, "messenger_settings.html", pages=facebook.pages, token="")
    chosen = visit.request.lists.get("page", ())
    for page in facebook.pages.values():
        if page.id in chosen:
            page.subscribed.setdefault(app.id, MESSENGER_FIELDS)
        else:
            page.subscribed.pop(app.id, None)
    if chosen:
        _grant(visit, app, MESSENGER_PERMISSIONS)
    return see_other(here, "Changes saved.")


@dashboard_router.route("POST", "/apps/{app_id}/messenger/tokens/{page_id}")
@inferred("messenger", "Generate Token gives the token of a page that was added", "third-party")
def show_page_token(visit: Visit, app_id: str, page_id: str) -> Reply:
    """Show a page access token of a page that was added."""
    app, facebook = _find_app(visit, app_id), visit.world.facebook
    page = facebook.pages.get(page_id)
    if page is None or app.id not in page.subscribed:
        raise MissingPageError("This page was not added.")
    user = visit.world.issue_user_token(app, facebook.person.id, MESSENGER_PERMISSIONS)
    token = visit.world.issue_page_token(user, page.id).value
    return _page(visit, app, "messenger_settings.html", pages=facebook.pages, token=token)


# --- App Review ------------------------------------------------------------------------------
@dashboard_router.route("GET", "/apps/{app_id}/app-review/permissions")
def list_permissions(visit: Visit, app_id: str) -> Reply:
    """Show Permissions and Features, with a search."""
    app = _find_app(visit, app_id)
    wanted = visit.query("q").strip().lower()
    names = [name for name in KNOWN_PERMISSIONS if wanted in name]
    return _page(visit, app, "permissions.html", names=sorted(names), wanted=wanted)


@dashboard_router.route("GET POST", "/apps/{app_id}/app-review/access/{permission}")
@unknown("graph §9", "the wording of the confirmation for Advanced Access")
def get_advanced_access(visit: Visit, app_id: str, permission: str) -> Reply:
    """Show or accept the confirmation screen of Get Advanced Access."""
    app = _find_app(visit, app_id)
    if permission not in KNOWN_PERMISSIONS:
        raise MissingPageError("There is no such permission.")
    if visit.request.method == "POST" and "confirmed" in visit.request.form:
        request_access(app, permission)
        granted = app.permissions[permission] == "live"
        notice = "is granted" if granted else "is requested: go on with Edit App Review Request"
        path = f"/apps/{app.id}/app-review/permissions/"
        return see_other(path, f"Advanced Access to {permission} {notice}.")
    return _page(
        visit,
        app,
        "advanced_access.html",
        permission=permission,
        dependencies=DEPENDENCIES.get(permission, ()),
    )


@dashboard_router.route("GET POST", "/apps/{app_id}/app-review/request")
def edit_review_request(visit: Visit, app_id: str) -> Reply:
    """Show or submit Edit App Review Request."""
    app = _find_app(visit, app_id)
    missing: list[str] = []
    if visit.request.method == "POST" and app.review.state is not ReviewState.PENDING:
        sections = {name: visit.text(name) for name in SECTIONS}
        missing = submit(app, sections, visit.world.now(), visit.world.dice)
        if not missing:
            path = f"/apps/{app.id}/app-review/requests/"
            return see_other(path, "Your request is submitted for review.")
    return _page(
        visit,
        app,
        "review_request.html",
        400 if missing else 200,
        sections=SECTIONS,
        missing=missing,
    )


@dashboard_router.route("GET", "/apps/{app_id}/app-review/requests")
@dashboard_router.route("GET", "/apps/{app_id}/app-review/submissions")
@inferred("graph §9", "the review's state is shown under app-review/submissions, too", "links")
def show_review(visit: Visit, app_id: str) -> Reply:
    """Show the state of the review, and the control that advances the clock."""
    return _page(visit, _find_app(visit, app_id), "review_state.html", days=REVIEW_DAYS)


@dashboard_router.route("POST", "/apps/{app_id}/app-review/later")
def let_days_pass(visit: Visit, app_id: str) -> Reply:
    """Advance the clock by the days of a review, and decide it (a sandbox control)."""
    app = _find_app(visit, app_id)
    path = f"/apps/{app.id}/app-review/requests/"
    if app.review.state is not ReviewState.PENDING:
        return see_other(path, "There is no request under review.")
    declined = visit.text("outcome") == "declined"
    reason = visit.text("reason") or "The reviewer could not see how the permission is used."
    visit.world.offset += 86_400
    outcome = "declined" if declined else "approved"
    decide(app, dict.fromkeys(app.review.permissions, outcome), reason)
    return see_other(path, f"{REVIEW_DAYS} days later: the review is {app.review.state.value}.")


# --- Settings --------------------------------------------------------------------------------
@dashboard_router.route("GET POST", "/apps/{app_id}/settings/basic")
@verbatim("graph §9", "Settings > Basic: icon 512-1024 px, privacy policy, data deletion", "docs")
def set_basics(visit: Visit, app_id: str) -> Reply:
    """Show or save Settings > Basic."""
    app = _find_app(visit, app_id)
    if visit.request.method == "GET":
        return _basics(visit, app)
    domains = [
        domain for domain in re.split(r"[,\s]+", visit.text("app_domains").lower()) if domain
    ]
    wrong = [domain for domain in domains if not _HOST.match(domain)]
    wrong += [_URLS[name] for name in _URLS if not _is_url_or_empty(visit.text(name))]
    if wrong or not visit.text("name") or len(domains) > _MOST_VALUES:
        problem = f"Not valid: {', '.join(wrong) or 'App Display Name, App Domains'}."
        return _basics(visit, app, problem)
    app.name, app.contact_email = visit.text("name"), visit.text("contact_email")
    app.app_domains = domains
    app.category = visit.text("category") if visit.text("category") in _CATEGORIES else app.category
    app.profile |= {name: visit.text(name) for name in (*_URLS, "user_support_email")}
    app.unexposed["data_deletion_url"] = visit.text("data_deletion_url")
    if visit.text("icon"):
        app.profile["icon_url"] = f"https://icons.partner.test/{app.id}-16.png"
        app.profile["logo_url"] = f"https://icons.partner.test/{app.id}.png"
    return see_other(f"/apps/{app.id}/settings/basic/", "Changes saved.")


@dashboard_router.route("POST", "/apps/{app_id}/settings/basic/secret")
def show_secret(visit: Visit, app_id: str) -> Reply:
    """Show the App Secret to a person who enters the password."""
    app = _find_app(visit, app_id)
    if not visit.has_password:
        return _basics(visit, app, "That is not the invented person's password.")
    return _basics(visit, app, secret=app.secret)


def _basics(visit: Visit, app: App, problem: str = "", secret: str = "") -> Reply:
    return _page(
        visit,
        app,
        "settings_basic.html",
        400 if problem else 200,
        problem=problem,
        secret=secret,
        urls=_URLS,
        categories=_CATEGORIES,
    )


def _is_url_or_empty(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return not text or (parts.scheme in {"http", "https"} and bool(parts.hostname))
    except ValueError:
        return False


@dashboard_router.route("GET POST", "/apps/{app_id}/settings/advanced")
@verbatim("graph §1", "Settings > Advanced > Upgrade API version", "versioning")
@verbatim("graph §6", "Require App Secret", "bottender#271")
def set_advanced(visit: Visit, app_id: str) -> Reply:
    """Show or save Settings > Advanced."""
    app = _find_app(visit, app_id)
    versions = [one.name for one in CALENDAR if one.name >= app.version or one.name > "v24.0"][-4:]
    if visit.request.method == "POST":
        if visit.text("version") in versions:
            app.version = visit.text("version")
        app.requires_proof = "requires_proof" in visit.request.form
        return see_other(f"/apps/{app.id}/settings/advanced/", "Changes saved.")
    return _page(visit, app, "settings_advanced.html", versions=versions)


# --- the site --------------------------------------------------------------------------------
class FacebookSite:
    """www.facebook.com and developers.facebook.com in one."""

    name = "facebook"

    def __init__(self, world: World) -> None:
        self._world = world

    def __call__(self, request: Request) -> Reply:
        """Answer one request."""
        is_whole = not request.is_oversized and request.method in {"GET", "HEAD", "POST"}
        if is_dialog(request.path) and is_whole:
            return answer_dialog(self._world, request, self._browse)
        return answer_visit(self._world, request, dashboard_router, "Facebook for Developers")

    def _browse(self, location: str) -> str:
        """Return the loopback address of a URL of the service domain."""
        parts = urlsplit(location)
        if parts.hostname != self._world.cyclr.service_domain:
            return ""
        base = urlsplit(self._world.addresses.connect)
        return parts._replace(scheme=base.scheme, netloc=base.netloc).geturl()
