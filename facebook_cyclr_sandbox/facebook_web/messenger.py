"""
Facebook Messenger > Settings: the pages that an app is used for, and their tokens.
"""

from facebook_cyclr_sandbox.facebook_web.common import app_page, dashboard_router, find_app, grant
from facebook_cyclr_sandbox.http.pages import MissingPageError, Visit, see_other
from facebook_cyclr_sandbox.http.web import Reply
from facebook_cyclr_sandbox.state.facebook_world import MESSENGER_FIELDS
from facebook_cyclr_sandbox.state.permissions import MESSENGER_PERMISSIONS


@dashboard_router.route("GET POST", "/apps/{app_id}/messenger/settings")
def choose_pages(visit: Visit, app_id: str) -> Reply:
    """Show or save the pages that the app is used for (graph §9)."""
    app, facebook = find_app(visit, app_id), visit.world.facebook
    here = f"/apps/{app.id}/messenger/settings/"
    if "messenger" not in app.products:
        return see_other(f"/apps/{app.id}/dashboard/", "Set up Facebook Messenger first.")
    if visit.request.method == "GET":
        return app_page(visit, app, "messenger_settings.html", pages=facebook.pages, token="")
    chosen = visit.request.lists.get("page", ())
    for page in facebook.pages.values():
        if page.id in chosen:
            page.subscribed.setdefault(app.id, MESSENGER_FIELDS)
        else:
            page.subscribed.pop(app.id, None)
    if chosen:
        grant(visit, app, MESSENGER_PERMISSIONS)
    return see_other(here, "Changes saved.")


@dashboard_router.route("POST", "/apps/{app_id}/messenger/tokens/{page_id}")
def show_page_token(visit: Visit, app_id: str, page_id: str) -> Reply:
    """Show a page access token of a page that was added (messenger)."""
    app, facebook = find_app(visit, app_id), visit.world.facebook
    page = facebook.pages.get(page_id)
    if page is None or app.id not in page.subscribed:
        raise MissingPageError("This page was not added.")
    user = visit.world.issue_user_token(app, facebook.person.id, MESSENGER_PERMISSIONS)
    token = visit.world.issue_page_token(user, page.id).value
    return app_page(visit, app, "messenger_settings.html", pages=facebook.pages, token=token)
