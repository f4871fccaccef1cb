"""
The App Dashboard of one app: products, Facebook Login, App Review, Settings.
"""

import re
from urllib.parse import urlsplit

from runbook_lib.sandbox.facebook_web.dashboard import find_app
from runbook_lib.sandbox.http.routing import Router
from runbook_lib.sandbox.http.web import Reply
from runbook_lib.sandbox.origins import inferred, unknown, verbatim
from runbook_lib.sandbox.state.facebook_world import KNOWN_PERMISSIONS, App, ReviewState
from runbook_lib.sandbox.state.review import (
    DEPENDENCIES,
    REVIEW_DAYS,
    SECTIONS,
    decide,
    request_access,
    submit,
)
from runbook_lib.sandbox.state.versions import CALENDAR
from runbook_lib.sandbox.visits import MissingPageError, Page, Visit, see_other

__all__ = ["app_router"]

_PRODUCTS = {
    "facebook_login": "Facebook Login",
    "marketing_api": "Marketing API",
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

app_router: Router[Page] = Router()


def _page(visit: Visit, app: App, template: str, status: int = 200, **values: object) -> Reply:
    return visit.page(
        template, status, app=app, has_login="facebook_login" in app.products, **values
    )


# --- products --------------------------------------------------------------------------------
@app_router.route("GET", "/apps/{app_id}")
def open_app(visit: Visit, app_id: str) -> Reply:
    """Lead to the app's first page."""
    return see_other(f"/apps/{find_app(visit, app_id).id}/dashboard/")


@app_router.route("GET", "/apps/{app_id}/dashboard")
def show_products(visit: Visit, app_id: str) -> Reply:
    """Show Add Products to Your App."""
    return _page(visit, find_app(visit, app_id), "products.html", products=_PRODUCTS)


@app_router.route("POST", "/apps/{app_id}/products/{product}")
def set_up_product(visit: Visit, app_id: str, product: str) -> Reply:
    """Set a product up."""
    app = find_app(visit, app_id)
    if product not in _PRODUCTS:
        raise MissingPageError("There is no such product.")
    app.products.add(product)
    return see_other(f"/apps/{app.id}/dashboard/", f"{_PRODUCTS[product]} is added to your app.")


# --- Facebook Login > Settings ---------------------------------------------------------------
@app_router.route("GET POST", "/apps/{app_id}/fb-login/settings")
@verbatim("graph §9", "Strict Mode and Enforce HTTPS are locked on since 2018", "third-party")
@inferred("graph §9", "a Valid OAuth Redirect URI is an absolute https URI without a fragment")
def set_up_login(visit: Visit, app_id: str) -> Reply:
    """Show and take the settings of Facebook Login, Valid OAuth Redirect URIs among them."""
    app = find_app(visit, app_id)
    if "facebook_login" not in app.products:
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


@app_router.route("POST", "/apps/{app_id}/fb-login/validator")
def validate_redirect_uri(visit: Visit, app_id: str) -> Reply:
    """Say whether a redirect URI is one of the Valid ones."""
    app = find_app(visit, app_id)
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


# --- App Review ------------------------------------------------------------------------------
@app_router.route("GET", "/apps/{app_id}/app-review/permissions")
def list_permissions(visit: Visit, app_id: str) -> Reply:
    """Show Permissions and Features, with a search."""
    app = find_app(visit, app_id)
    wanted = visit.query("q").strip().lower()
    names = [name for name in KNOWN_PERMISSIONS if wanted in name]
    return _page(visit, app, "permissions.html", names=sorted(names), wanted=wanted)


@app_router.route("GET POST", "/apps/{app_id}/app-review/access/{permission}")
@unknown("graph §9", "the wording of the confirmation for Advanced Access")
def get_advanced_access(visit: Visit, app_id: str, permission: str) -> Reply:
    """Show and take the confirmation screen of Get Advanced Access."""
    app = find_app(visit, app_id)
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


@app_router.route("GET POST", "/apps/{app_id}/app-review/request")
def edit_review_request(visit: Visit, app_id: str) -> Reply:
    """Show and take Edit App Review Request."""
    app = find_app(visit, app_id)
    missing: list[str] = []
    if visit.request.method == "POST" and app.review.state is not ReviewState.PENDING:
        sections = {name: visit.text(name) for name in SECTIONS}
        missing = submit(app, sections, visit.world.now())
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


@app_router.route("GET", "/apps/{app_id}/app-review/requests")
@app_router.route("GET", "/apps/{app_id}/app-review/submissions")
@inferred("graph §9", "the review's state is shown under app-review/submissions, too", "links")
def show_review(visit: Visit, app_id: str) -> Reply:
    """Show where the review stands, and the control that lets five days pass."""
    return _page(visit, find_app(visit, app_id), "review_state.html", days=REVIEW_DAYS)


@app_router.route("POST", "/apps/{app_id}/app-review/later")
def let_days_pass(visit: Visit, app_id: str) -> Reply:
    """Let the review's days pass, and decide it: the sandbox's own control."""
    app = find_app(visit, app_id)
    path = f"/apps/{app.id}/app-review/requests/"
    if app.review.state is not ReviewState.PENDING:
        return see_other(path, "There is no request under review.")
    declined = visit.text("outcome") == "declined"
    reason = visit.text("reason") or "The reviewer could not see how the permission is used."
    visit.world.offset += REVIEW_DAYS * 86_400
    decide(app, ReviewState.DECLINED if declined else ReviewState.APPROVED, reason)
    return see_other(path, f"{REVIEW_DAYS} days later: the review is {app.review.state.value}.")


# --- Settings --------------------------------------------------------------------------------
@app_router.route("GET POST", "/apps/{app_id}/settings/basic")
@verbatim("graph §9", "Settings > Basic: icon 512-1024 px, privacy policy, data deletion", "docs")
def set_basics(visit: Visit, app_id: str) -> Reply:
    """Show and take Settings > Basic."""
    app = find_app(visit, app_id)
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


@app_router.route("POST", "/apps/{app_id}/settings/basic/secret")
def show_secret(visit: Visit, app_id: str) -> Reply:
    """Show the App Secret after the password."""
    app = find_app(visit, app_id)
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


@app_router.route("GET POST", "/apps/{app_id}/settings/advanced")
@verbatim("graph §1", "Settings > Advanced > Upgrade API version", "versioning")
@verbatim("graph §6", "Require App Secret", "bottender#271")
def set_advanced(visit: Visit, app_id: str) -> Reply:
    """Show and take Settings > Advanced."""
    app = find_app(visit, app_id)
    versions = [one.name for one in CALENDAR if one.name >= app.version or one.name > "v24.0"][-4:]
    if visit.request.method == "POST":
        if visit.text("version") in versions:
            app.version = visit.text("version")
        app.requires_proof = "requires_proof" in visit.request.form
        return see_other(f"/apps/{app.id}/settings/advanced/", "Changes saved.")
    return _page(visit, app, "settings_advanced.html", versions=versions)
