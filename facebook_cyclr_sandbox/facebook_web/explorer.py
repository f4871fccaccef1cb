"""
Access tokens and Graph API Explorer: where a person with a role makes test calls.
"""

import json

from facebook_cyclr_sandbox.facebook_web.common import apps_of, dashboard_router, find_app, grant
from facebook_cyclr_sandbox.graph.dispatch import answer_graph
from facebook_cyclr_sandbox.http.pages import Visit
from facebook_cyclr_sandbox.http.web import Reply, fields_of
from facebook_cyclr_sandbox.state.permissions import PERMISSIONS


@dashboard_router.route("GET POST", "/tools/explorer")
@dashboard_router.route("GET", "/tools/accesstoken")
def explore(visit: Visit) -> Reply:
    """Issue a user token for one of the apps, or make a call with one (graph §9)."""
    token, answer = visit.text("access_token"), ""
    if visit.request.method == "POST" and "path" in visit.request.form:
        path, _, query = visit.text("path").partition("?")
        params = {**dict(fields_of(query)), "access_token": token}
        reply = answer_graph(visit.world, "GET", f"/v26.0/{path.lstrip('/')}", params)
        answer = json.dumps(json.loads(reply.body), indent=1, ensure_ascii=False)
    elif visit.request.method == "POST":
        app = find_app(visit, visit.text("app_id"))
        permissions = tuple(name for name in PERMISSIONS if name in app.available_permissions)
        grant(visit, app, permissions)
        token = visit.world.issue_user_token(app, visit.person.id, permissions).value
    return visit.page(
        "explorer.html",
        apps=apps_of(visit),
        token=token,
        path=visit.text("path") or "me",
        answer=answer,
        permissions=PERMISSIONS,
    )
