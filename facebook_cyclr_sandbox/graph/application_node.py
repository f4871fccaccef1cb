"""
The Application node, and its review state (graph §3, §4, §7).
"""

from facebook_cyclr_sandbox.graph import graph_errors
from facebook_cyclr_sandbox.graph.fields import Field
from facebook_cyclr_sandbox.graph.graph_call import GraphCall, parse_list
from facebook_cyclr_sandbox.graph.graph_errors import GraphError
from facebook_cyclr_sandbox.graph.nodes import Edge, FieldGetter, NodeType
from facebook_cyclr_sandbox.graph.page_nodes import format_graph_time
from facebook_cyclr_sandbox.state.facebook_state import App, TokenKind

_PUBLIC = ("category", "link", "name", "namespace", "id")
_FIELDS = (
    *_PUBLIC,
    "app_domains",
    "app_name",
    "business",
    "config_ids",
    "contact_email",
    "created_time",
    "creator_uid",
    "icon_url",
    "logo_url",
    "owner_business",
    "privacy_policy_url",
    "terms_of_service_url",
    "user_support_email",
    "website_url",
)
_STATUSES = ("live", "unapproved")


def _make_getter(name: str) -> FieldGetter:
    def get(call: GraphCall, app: App, _field: Field) -> object:
        if name not in _PUBLIC and not _may_read(call, app):
            return None
        return _read_settings(call, app).get(name)

    return get


def _may_read(call: GraphCall, app: App) -> bool:
    caller = call.caller
    has_role = caller.kind is TokenKind.USER and caller.user_id in app.roles
    return caller.app_id == app.id and (caller.kind is TokenKind.APP or has_role)


def _read_settings(call: GraphCall, app: App) -> dict[str, object]:
    business = call.state.facebook.business
    return {
        "category": app.category or None,
        "link": f"https://www.facebook.com/games/?app_id={app.id}",
        "name": app.name,
        "id": app.id,
        "app_name": app.name,
        "app_domains": list(app.app_domains) or None,
        "contact_email": app.contact_email or None,
        "created_time": format_graph_time(app.created_on),
        "creator_uid": app.admin_id,
        "config_ids": list(app.configurations) or None,
        "owner_business": {"id": business.id, "name": business.name},
        **{name: value for name, value in app.profile.items() if value},
    }


def _permissions(call: GraphCall, app: App) -> dict[str, object]:
    """Return the app's permissions with their status (graph §4)."""
    call.require_app_token(app.id)
    statuses = parse_list(call.params.get("status", ""), "status", _STATUSES)
    named = parse_list(call.params.get("permission", ""), "permission")
    rows = [
        {"permission": permission, "status": status}
        for permission, status in app.permissions.items()
        if status == "live"
        and (permission != "public_profile" or app.has_been_reviewed)
        and (not statuses or status in statuses)
        and (not named or permission in named)
    ]
    return {"data": rows, "paging": {}}


def _roles(call: GraphCall, app: App) -> list[dict[str, str]]:
    """Return the people with a role on the app (graph §3)."""
    call.require_app_token(app.id)
    return [{"app_id": app.id, "user": user, "role": role} for user, role in app.roles.items()]


def _subscriptions(call: GraphCall, app: App) -> dict[str, object]:
    """Return the app's webhooks: none (graph §7)."""
    if call.caller.kind is not TokenKind.APP:
        raise GraphError(graph_errors.APP_SECRET_NEEDED)
    call.require_app_token(app.id)
    return {"data": []}


def _instruments(_call: GraphCall, _app: App) -> dict[str, object]:
    """Accept a crash report (graph §10)."""
    return {"success": True}


APPLICATION = NodeType(
    "Application",
    {name: _make_getter(name) for name in _FIELDS},
    _PUBLIC,
    {
        "permissions": Edge(list_items=_permissions),
        "roles": Edge(list_items=_roles),
        "subscriptions": Edge(list_items=_subscriptions),
        "instruments": Edge(post=_instruments),
    },
)
