"""
One Graph call from path to response: version, token and proof, limits, then the node.

`GraphSite` makes the call from an HTTP request.
"""

import re
from collections.abc import Mapping
from typing import Any

from facebook_cyclr_sandbox.graph import graph_errors
from facebook_cyclr_sandbox.graph.application_node import APPLICATION
from facebook_cyclr_sandbox.graph.graph_call import TOKEN_ENDPOINT, GraphCall
from facebook_cyclr_sandbox.graph.graph_errors import GraphError
from facebook_cyclr_sandbox.graph.graph_response import TraceIds, build_response
from facebook_cyclr_sandbox.graph.nodes import Node, NodeType, handle_node_call
from facebook_cyclr_sandbox.graph.page_nodes import FORM, LEAD, PAGE
from facebook_cyclr_sandbox.graph.tokens import (
    authenticate_token,
    check_appsecret_proof,
    debug_token,
    handle_token_request,
)
from facebook_cyclr_sandbox.graph.translations import translate
from facebook_cyclr_sandbox.graph.user_nodes import AD_ACCOUNT, BUSINESS, USER, revoke_permissions
from facebook_cyclr_sandbox.http.web_messages import WebResponse
from facebook_cyclr_sandbox.state.facebook_state import App, TokenKind
from facebook_cyclr_sandbox.state.sandbox_state import SandboxState
from facebook_cyclr_sandbox.state.version_schedule import VersionSchedule

_METHODS = frozenset({"GET", "POST", "DELETE"})
_AD_ACCOUNT = re.compile(r"act_\d+\Z")
_OBJECT_ID = re.compile(r"\d+\Z")
_MARKETING_EDGES = frozenset({"adaccounts", "ads", "adsets", "campaigns", "insights"})


def handle_graph_call(
    state: SandboxState, method: str, path: str, params: Mapping[str, str]
) -> WebResponse:
    """Respond to one Graph call, given by its method, path and parameters."""
    if method == "POST" and params.get("method", "").upper() in _METHODS:
        method = params["method"].upper()
    segments = tuple(segment for segment in path.split("/") if segment)
    call = GraphCall(state, method, segments, state.get_default_version(), params)
    trace = TraceIds.generate(state.random_source)
    response: object
    try:
        if method not in _METHODS:
            raise GraphError(graph_errors.UNSUPPORTED_METHOD, method=method.lower())
        response = _respond(call)
    except GraphError as error:
        response = translate(error, call.locale)
    return build_response(response, trace, version=call.version, usage=call.usage_headers())


def _respond(call: GraphCall) -> dict[str, Any]:
    state = call.state
    requested = ""
    if call.path and VersionSchedule.is_version(call.path[0]):
        requested = call.path[0]
        call.path = call.path[1:]
        served = state.version_schedule.find_serving_version(requested, state.now())
        if served is None:
            raise GraphError(graph_errors.UNKNOWN_PATH, path="/" + "/".join(call.path))
        call.version = served
    if call.path == TOKEN_ENDPOINT:
        return handle_token_request(state, call.params)
    app = _authenticate(call)
    _choose_version(call, app, requested)
    if call.path == ("debug_token",):
        return debug_token(call)
    return _respond_to_path(call, call.path)


def _authenticate(call: GraphCall) -> App:
    value = call.params.get("access_token", "")
    if not value:
        raise GraphError(
            graph_errors.NO_TOKEN_ME if call.path[:1] == ("me",) else graph_errors.NO_TOKEN
        )
    token = authenticate_token(call.state, value)
    app = call.state.facebook.apps[token.app_id]
    call.token = token
    call.app = app
    now = call.state.now()
    if app.rate_limit.is_reached(now):
        raise GraphError(graph_errors.APP_LIMIT)
    app.rate_limit.count(now)
    check_appsecret_proof(app, value, call.params.get("appsecret_proof"))
    return app


def _choose_version(call: GraphCall, app: App, requested: str) -> None:
    """Serve unversioned calls with the app's version, and some Marketing calls with a newer one."""
    version_schedule = call.state.version_schedule
    now = call.state.now()
    is_marketing = any(_AD_ACCOUNT.match(name) or name in _MARKETING_EDGES for name in call.path)
    if not requested:
        if is_marketing:
            # verbatim graph §1: it is refused; unknown: the wording
            raise GraphError(
                graph_errors.DEPRECATED_MARKETING_VERSION, latest=version_schedule.latest
            )
        call.version = version_schedule.find_serving_version(app.version, now) or call.version
    elif is_marketing and version_schedule.has_ended_for_marketing(requested, now):
        call.version = version_schedule.latest
    elif is_marketing and (upgraded := version_schedule.find_upgrade(requested, now)):
        call.version = upgraded
        call.warning = (
            f"The call has been auto-upgraded to {upgraded} as {requested} will be deprecated."
        )


def _respond_to_path(call: GraphCall, path: tuple[str, ...]) -> dict[str, Any]:
    if not path:
        return _respond_to_root(call)
    node = _find_node(call, path[0])
    rest = path[1:]
    if call.method == "DELETE" and node.type is USER and rest[:1] == ("permissions",):
        return revoke_permissions(call, rest[1] if len(rest) > 1 else "")
    if not rest or (call.method != "GET" and node.type is not PAGE):
        node.type.check_access(call, node.value)
    call.path = (node.id, *rest)
    response = handle_node_call(call, node, rest)
    for permission in node.type.edges[rest[0]].permissions if rest else node.type.permissions:
        if call.app is not None and permission in call.scopes:
            call.app.test_calls[permission] = call.state.now()
    return response


def _respond_to_root(call: GraphCall) -> dict[str, Any]:
    if "ids" in call.params:
        raise GraphError(graph_errors.IDS_DEPRECATED)
    if "batch" in call.params:
        raise GraphError(graph_errors.NOT_SERVED, route=f"{call.method} / with a batch")
    if call.params.get("id"):
        return _respond_to_path(call, (call.params["id"],))
    raise GraphError(graph_errors.MISSING_OBJECT, id="")


def _find_node(call: GraphCall, name: str) -> Node:
    facebook = call.state.facebook
    if name == "me":
        caller = call.caller
        if caller.kind is TokenKind.APP:
            raise GraphError(graph_errors.NO_TOKEN_ME)
        if caller.kind is TokenKind.PAGE:
            return Node(PAGE, facebook.pages[caller.profile_id], caller.profile_id)
        return Node(USER, facebook.users[caller.user_id], caller.user_id)
    if name == "app":
        name = call.caller.app_id
    if name in facebook.users and call.caller.user_id != name:
        raise GraphError(graph_errors.MISSING_OBJECT, id=name)
    tables: tuple[tuple[NodeType, Mapping[str, Any]], ...] = (
        (USER, facebook.users),
        (BUSINESS, facebook.businesses),
        (APPLICATION, facebook.apps),
        (PAGE, facebook.pages),
        (AD_ACCOUNT, {f"act_{key}": account for key, account in facebook.ad_accounts.items()}),
        (FORM, facebook.forms),
        (LEAD, facebook.leads),
    )
    for kind, objects in tables:
        if name in objects:
            return Node(kind, objects[name], name)
    if _OBJECT_ID.match(name) or _AD_ACCOUNT.match(name):
        raise GraphError(graph_errors.MISSING_OBJECT, id=name)
    raise GraphError(graph_errors.ALIAS, alias=name)
