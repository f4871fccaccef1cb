"""
Use cases > Customize: the use cases of an app and the permissions that they offer.
"""

from facebook_cyclr_sandbox.facebook_web.common import app_page, dashboard_router, find_app
from facebook_cyclr_sandbox.http.pages import MissingPageError, Visit, see_other
from facebook_cyclr_sandbox.http.web import Reply
from facebook_cyclr_sandbox.state.facebook_world import App
from facebook_cyclr_sandbox.state.use_cases import USE_CASES, optional


@dashboard_router.route("GET", "/apps/{app_id}/use_cases")
def customize(visit: Visit, app_id: str) -> Reply:
    """Show the app's use cases, their permissions, and those that can be added (graph §9)."""
    app = find_app(visit, app_id)
    return app_page(
        visit,
        app,
        "use_cases.html",
        cases=[USE_CASES[name] for name in app.use_cases],
        others=[name for name in USE_CASES if name not in app.use_cases],
    )


@dashboard_router.route("POST", "/apps/{app_id}/use_cases/add")
def add_use_case(visit: Visit, app_id: str) -> Reply:
    """Add a use case to the app, with its products (graph §9)."""
    app, name = _customizable(visit, app_id), visit.text("use_case")
    if name not in USE_CASES:
        raise MissingPageError("There is no such use case.")
    if name not in app.use_cases:
        app.use_cases.append(name)
        app.products |= set(USE_CASES[name].products)
    return see_other(f"/apps/{app.id}/use_cases/", f"{name} is added to your app.")


@dashboard_router.route("POST", "/apps/{app_id}/use_cases/permissions/{permission}")
def add_permission(visit: Visit, app_id: str, permission: str) -> Reply:
    """Add an optional permission that one of the use cases offers (graph §9)."""
    app = _customizable(visit, app_id)
    if permission not in optional(app.use_cases):
        raise MissingPageError("The app's use cases do not offer this permission.")
    if permission not in app.added:
        app.added.append(permission)
    return see_other(f"/apps/{app.id}/use_cases/", f"{permission} is added: ready for testing.")


def _customizable(visit: Visit, app_id: str) -> App:
    app = find_app(visit, app_id)
    if app.is_classic:
        raise MissingPageError("This app was made by Other: it has a type and no use cases.")
    return app
