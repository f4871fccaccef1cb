"""
What the pages of the App Dashboard share: their router, the app that a page is about.
"""

from collections.abc import Iterable

from facebook_cyclr_sandbox.http.pages import MissingPageError, Page, Visit
from facebook_cyclr_sandbox.http.routing import Router
from facebook_cyclr_sandbox.http.web import Reply
from facebook_cyclr_sandbox.state.facebook_world import App

dashboard_router: Router[Page] = Router()


def find_app(visit: Visit, app_id: str) -> App:
    """Return an app of the person who is logged in."""
    app = visit.world.facebook.apps.get(app_id)
    if app is None or visit.person.id not in app.roles:
        raise MissingPageError("You have no app with this App ID.")
    return app


def apps_of(visit: Visit) -> list[App]:
    """Return the apps on which the person has a role."""
    apps = visit.world.facebook.apps.values()
    return [app for app in apps if visit.person.id in app.roles]


def app_page(visit: Visit, app: App, template: str, status: int = 200, **values: object) -> Reply:
    """Return a page about an app."""
    return visit.page(template, status, app=app, **values)


def grant(visit: Visit, app: App, permissions: Iterable[str]) -> None:
    """Grant `permissions` of the person to the app."""
    key = (visit.person.id, app.id)
    granted = visit.world.facebook.grants.setdefault(key, {})
    granted |= dict.fromkeys(permissions, "granted")
