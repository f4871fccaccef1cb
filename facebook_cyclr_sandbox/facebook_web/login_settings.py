"""
Facebook Login > Settings, and Facebook Login for Business > Settings: the redirect URIs.

An app has one list of Valid OAuth Redirect URIs. Apps with the Marketing API use cases show it
under Facebook Login for Business; there the address of the other page leads to this one.
"""

from facebook_cyclr_sandbox.facebook_web.common import app_page, dashboard_router, find_app
from facebook_cyclr_sandbox.http.pages import Visit, see_other
from facebook_cyclr_sandbox.http.web import Reply, redirect, web_address
from facebook_cyclr_sandbox.state.facebook_world import App

_MOST_VALUES = 50
_SWITCHES = {
    "client_oauth": "Client OAuth Login",
    "web_oauth": "Web OAuth Login",
    "enforce_https": "Enforce HTTPS",
    "strict_mode": "Use Strict Mode for Redirect URIs",
}
_LOCKED = frozenset({"enforce_https", "strict_mode"})
_NAMES = {"fb-login": "Facebook Login", "business-login": "Facebook Login for Business"}


@dashboard_router.route("GET POST", "/apps/{app_id}/fb-login/settings")
def set_up_login(visit: Visit, app_id: str) -> Reply:
    """Show or save Facebook Login's settings, with the Valid OAuth Redirect URIs (graph §9)."""
    app = find_app(visit, app_id)
    if "login_for_business" in app.products:
        there = f"/apps/{app.id}/business-login/settings/"
        return redirect(there, 307 if visit.request.method == "POST" else 303)
    if "facebook_login" not in app.products:
        return see_other(f"/apps/{app.id}/dashboard/", "Set up Facebook Login first.")
    return _settings(visit, app)


@dashboard_router.route("GET POST", "/apps/{app_id}/business-login/settings")
def set_up_business_login(visit: Visit, app_id: str) -> Reply:
    """Show or save those of Facebook Login for Business: the same list of URIs (graph §9)."""
    app = find_app(visit, app_id)
    if "login_for_business" not in app.products:
        return see_other(f"/apps/{app.id}/dashboard/", "This app has another kind of log-in.")
    return _settings(visit, app)


def _settings(visit: Visit, app: App) -> Reply:
    if visit.request.method == "GET":
        return _login_settings(visit, app, "\n".join(app.redirect_uris))
    text = visit.text("redirect_uris")
    uris = list(dict.fromkeys(text.split()))
    wrong = []
    for uri in uris:
        parts = web_address(uri)
        if parts is None or parts.scheme != "https" or parts.fragment:
            wrong.append(uri)
    if wrong or len(uris) > _MOST_VALUES:
        problem = f"Not a secure URI: {', '.join(wrong)}" if wrong else "Too many URIs."
        return _login_settings(visit, app, text, problem)
    app.redirect_uris = uris
    for name in _SWITCHES:
        app.login_settings[name] = name in _LOCKED or name in visit.request.form
    return see_other(f"/apps/{app.id}/{_kind(app)}/settings/", "Changes saved.")


def _kind(app: App) -> str:
    return "business-login" if "login_for_business" in app.products else "fb-login"


@dashboard_router.route("POST", "/apps/{app_id}/fb-login/validator")
@dashboard_router.route("POST", "/apps/{app_id}/business-login/validator")
def validate_redirect_uri(visit: Visit, app_id: str) -> Reply:
    """Show whether a redirect URI is one of the Valid OAuth Redirect URIs (graph §9)."""
    app = find_app(visit, app_id)
    uri = visit.text("redirect_uri")
    verdict = "valid" if uri in app.redirect_uris else "invalid"
    return _login_settings(visit, app, "\n".join(app.redirect_uris), verdict=verdict, checked=uri)


def _login_settings(visit: Visit, app: App, text: str, problem: str = "", **values: str) -> Reply:
    return app_page(
        visit,
        app,
        "login_settings.html",
        400 if problem else 200,
        text=text,
        problem=problem,
        switches=_SWITCHES,
        locked=_LOCKED,
        kind=_kind(app),
        name=_NAMES[_kind(app)],
        **{"verdict": "", "checked": "", **values},
    )
