"""
The Application node, and its review state (graph §3, §4, §7).
"""

from facebook_cyclr_sandbox.graph import refusals
from facebook_cyclr_sandbox.graph.call import Call, list_of
from facebook_cyclr_sandbox.graph.fields import Field
from facebook_cyclr_sandbox.graph.nodes import Edge, Getter, NodeType
from facebook_cyclr_sandbox.graph.pages import graph_time
from facebook_cyclr_sandbox.graph.refusals import GraphError
from facebook_cyclr_sandbox.graph.sdk_names import KNOWN_FIELDS
from facebook_cyclr_sandbox.origins import inferred, unknown, verbatim
from facebook_cyclr_sandbox.state.facebook_world import App, TokenKind

_PUBLIC = ("category", "link", "name", "namespace", "id")
_STATUSES = ("live", "unapproved")


@verbatim("graph §3", "an app access token can be used to view all fields for an app", "v18 docs")
@unknown(
    "graph §3", "who but the app and its admins sees its other fields: nobody, they are left out"
)
@unknown("graph §3", "the values of fields that the dashboard does not set: left out")
def _value(name: str) -> Getter:
    def get(call: Call, app: App, _field: Field) -> object:
        if name not in _PUBLIC and not _may_read(call, app):
            return None
        return _settings(app).get(name)

    return get


@unknown("graph §3", "owner_business: id and name of the partner's business, for the app's token")
def _owner_business(call: Call, app: App, _field: Field) -> object:
    business = call.world.facebook.business
    return {"id": business.id, "name": business.name} if _may_read(call, app) else None


def _may_read(call: Call, app: App) -> bool:
    caller = call.caller
    has_role = caller.kind is TokenKind.USER and caller.user_id in app.roles
    return caller.app_id == app.id and (caller.kind is TokenKind.APP or has_role)


@verbatim("graph §3", "default answer: category, link, name, id", "capture, v21")
def _settings(app: App) -> dict[str, object]:
    return {
        "category": app.category or None,
        "link": f"https://www.facebook.com/games/?app_id={app.id}",
        "name": app.name,
        "id": app.id,
        "app_name": app.name,
        "app_domains": list(app.app_domains) or None,
        "contact_email": app.contact_email or None,
        "created_time": graph_time(app.created_on),
        "creator_uid": app.admin_id,
        "config_ids": list(app.configurations) or None,
        **{name: value for name, value in app.profile.items() if value},
    }


@verbatim("graph §4", "/{app-id}/permissions: rows of permission and status, app token", "docs")
@verbatim(
    "graph §4",
    "it lists approved permissions only, each live: no row while a review is under way, declined "
    "or was never asked for",
    "third-party readings, 2026",
)
@inferred("graph §4", "its paging object is empty; its example row follows the node's fields")
@inferred("graph §4", "the status filter takes unapproved too, and then finds nothing")
@verbatim(
    "graph §4", "public_profile has its row only once something was reviewed", "third-party, 2026"
)
@unknown("graph §4", "whether a review that declined everything gives it that row: it does here")
def _permissions(call: Call, app: App) -> dict[str, object]:
    call.require_app(app.id)
    statuses = list_of(call.params.get("status", ""), "status", _STATUSES)
    named = list_of(call.params.get("permission", ""), "permission")
    rows = [
        {"permission": permission, "status": status}
        for permission, status in app.permissions.items()
        if status == "live"
        and (permission != "public_profile" or app.was_reviewed)
        and (not statuses or status in statuses)
        and (not named or permission in named)
    ]
    return {"data": rows, "paging": {}}


@verbatim("graph §3", "GET /{app}?fields=roles with an app token: 200", "third-party, 2026")
@unknown("graph §3", "the rows of roles: app_id, user and role, as the edge's reference has them")
@unknown("graph §3", "roles with another token than the app's: 15")
def _roles(call: Call, app: App) -> list[dict[str, str]]:
    call.require_app(app.id)
    return [{"app_id": app.id, "user": user, "role": role} for user, role in app.roles.items()]


@verbatim("graph §7", "/{app}/subscriptions with a user token: 190", "third-party, 2026")
@inferred("graph §7", "the same for a page token; another app's token: 15")
def _subscriptions(call: Call, app: App) -> dict[str, object]:
    if call.caller.kind is not TokenKind.APP:
        raise GraphError(refusals.APP_SECRET_NEEDED)
    call.require_app(app.id)
    return {"data": []}


@verbatim("graph §10", "the SDK's crash reporter posts to /{app}/instruments", "facebook-business")
@unknown("graph §10", "the answer to a crash report")
def _instruments(_call: Call, _app: App) -> dict[str, object]:
    return {"success": True}


APPLICATION = NodeType(
    "Application",
    {name: _value(name) for name in KNOWN_FIELDS["Application"]}
    | {"owner_business": _owner_business},
    ("category", "link", "name", "namespace", "id"),
    {
        "permissions": Edge(items=_permissions),
        "roles": Edge(items=_roles),
        "subscriptions": Edge(items=_subscriptions),
        "instruments": Edge(post=_instruments),
    },
)
