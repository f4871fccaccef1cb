"""
Settings > Basic and Settings > Advanced of an app, and the people who have a role on it.
"""

import re

from facebook_cyclr_sandbox.facebook_web.common import app_page, dashboard_router, find_app
from facebook_cyclr_sandbox.http.pages import Visit, see_other
from facebook_cyclr_sandbox.http.web import Reply, web_address
from facebook_cyclr_sandbox.state.facebook_world import App
from facebook_cyclr_sandbox.state.versions import CALENDAR

_HOST = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+\Z")
_MOST_VALUES = 50
_CATEGORIES = ("Business", "Education", "Shopping", "Utility and Productivity")
_URLS = {
    "privacy_policy_url": "Privacy Policy URL",
    "terms_of_service_url": "Terms of Service URL",
    "website_url": "Site URL",
}


@dashboard_router.route("GET POST", "/apps/{app_id}/settings/basic")
def set_basics(visit: Visit, app_id: str) -> Reply:
    """Show or save Settings > Basic (graph §9)."""
    app = find_app(visit, app_id)
    if visit.request.method == "GET":
        return _basics(visit, app)
    domains = [
        domain for domain in re.split(r"[,\s]+", visit.text("app_domains").lower()) if domain
    ]
    wrong = [domain for domain in domains if not _HOST.match(domain)]
    wrong += [
        _URLS[name] for name in _URLS if visit.text(name) and not web_address(visit.text(name))
    ]
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
    """Show the App Secret to a person who enters the password (graph §9)."""
    app = find_app(visit, app_id)
    if not visit.has_password:
        return _basics(visit, app, "That is not the invented person's password.")
    return _basics(visit, app, secret=app.secret)


def _basics(visit: Visit, app: App, problem: str = "", secret: str = "") -> Reply:
    return app_page(
        visit,
        app,
        "settings_basic.html",
        400 if problem else 200,
        problem=problem,
        secret=secret,
        urls=_URLS,
        categories=_CATEGORIES,
    )


@dashboard_router.route("GET POST", "/apps/{app_id}/settings/advanced")
def set_advanced(visit: Visit, app_id: str) -> Reply:
    """Show or save Settings > Advanced (graph §1)."""
    app = find_app(visit, app_id)
    versions = [
        version.name
        for version in CALENDAR
        if version.name >= app.version or version.name > "v24.0"
    ][-4:]
    if visit.request.method == "POST":
        if visit.text("version") in versions:
            app.version = visit.text("version")
        app.requires_proof = "requires_proof" in visit.request.form
        return see_other(f"/apps/{app.id}/settings/advanced/", "Changes saved.")
    return app_page(visit, app, "settings_advanced.html", versions=versions)


@dashboard_router.route("GET", "/apps/{app_id}/roles/roles")
def show_roles(visit: Visit, app_id: str) -> Reply:
    """Show who has a role on the app (graph §9)."""
    app, people = find_app(visit, app_id), visit.world.facebook.people
    return app_page(visit, app, "roles.html", people=[people[person_id] for person_id in app.roles])
