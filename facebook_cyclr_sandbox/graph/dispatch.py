"""
Answering one Graph call: path and version, token and proof, limits, then the node.

A call is a method, a path and parameters; `site` makes it from HTTP.
"""

import re
from collections.abc import Mapping
from typing import Any

from facebook_cyclr_sandbox.graph import refusals
from facebook_cyclr_sandbox.graph.apps import APPLICATION
from facebook_cyclr_sandbox.graph.call import TOKEN_ENDPOINT, Call
from facebook_cyclr_sandbox.graph.nodes import Node, NodeType, answer_node
from facebook_cyclr_sandbox.graph.pages import FORM, LEAD, PAGE
from facebook_cyclr_sandbox.graph.refusals import GraphError
from facebook_cyclr_sandbox.graph.tokens import authenticate, check_proof, debug_token, exchange
from facebook_cyclr_sandbox.graph.translations import translate
from facebook_cyclr_sandbox.graph.users import AD_ACCOUNT, BUSINESS, USER, revoke
from facebook_cyclr_sandbox.graph.wire import Trace, reply
from facebook_cyclr_sandbox.http.web import Reply
from facebook_cyclr_sandbox.state.facebook_state import App, TokenKind
from facebook_cyclr_sandbox.state.sandbox_state import SandboxState
from facebook_cyclr_sandbox.state.version_schedule import VersionSchedule

_METHODS = frozenset({"GET", "POST", "DELETE"})
_AD_ACCOUNT = re.compile(r"act_\d+\Z")
_OBJECT_ID = re.compile(r"\d+\Z")
_MARKETING_EDGES = frozenset({"adaccounts", "ads", "adsets", "campaigns", "insights"})


def answer_graph(state: SandboxState, method: str, path: str, params: Mapping[str, str]) -> Reply:
    """Answer one Graph call, given by its method, path and parameters."""
    if method == "POST" and params.get("method", "").upper() in _METHODS:
        method = params["method"].upper()
    segments = tuple(segment for segment in path.split("/") if segment)
    call = Call(state, method, segments, state.get_default_version(), params)
    trace = Trace.roll(state.random_source)
    answer: object
    try:
        if method not in _METHODS:
            raise GraphError(refusals.UNSUPPORTED_METHOD, method=method.lower())
        answer = _answer(call)
    except GraphError as error:
        answer = translate(error, call.locale)
    return reply(answer, trace, version=call.version, usage=call.usage_headers())


def _answer(call: Call) -> dict[str, Any]:
    state, requested = call.state, ""
    if call.path and VersionSchedule.is_version(call.path[0]):
        requested, call.path = call.path[0], call.path[1:]
        served = state.version_schedule.find_serving_version(requested, state.now())
        if served is None:
            raise GraphError(refusals.UNKNOWN_PATH, path="/" + "/".join(call.path))
        call.version = served
    if call.path == TOKEN_ENDPOINT:
        return exchange(state, call.params)
    app = _authenticate(call)
    _choose_version(call, app, requested)
    if call.path == ("debug_token",):
        return debug_token(call)
    return _answer_path(call, call.path)


def _authenticate(call: Call) -> App:
    value = call.params.get("access_token", "")
    if not value:
        raise GraphError(refusals.NO_TOKEN_ME if call.path[:1] == ("me",) else refusals.NO_TOKEN)
    token = authenticate(call.state, value)
    app = call.state.facebook.apps[token.app_id]
    call.token, call.app = token, app
    now = call.state.now()
    if app.rate_limit.is_reached(now):
        raise GraphError(refusals.APP_LIMIT)
    app.rate_limit.count(now)
    check_proof(app, value, call.params.get("appsecret_proof"))
    return app


def _choose_version(call: Call, app: App, requested: str) -> None:
    """Let the app's version answer an unversioned call, and a newer one some Marketing calls."""
    version_schedule, now = call.state.version_schedule, call.state.now()
    is_marketing = any(_AD_ACCOUNT.match(name) or name in _MARKETING_EDGES for name in call.path)
    if not requested:
        if is_marketing:
            # verbatim graph §1: it is refused; unknown: the wording
            raise GraphError(refusals.DEPRECATED_MARKETING_VERSION, latest=version_schedule.latest)
        call.version = version_schedule.find_serving_version(app.version, now) or call.version
    elif is_marketing and version_schedule.has_ended_for_marketing(requested, now):
        call.version = version_schedule.latest
    elif is_marketing and (upgraded := version_schedule.find_upgrade(requested, now)):
        call.version = upgraded
        call.warning = (
            f"The call has been auto-upgraded to {upgraded} as {requested} will be deprecated."
        )


def _answer_path(call: Call, path: tuple[str, ...]) -> dict[str, Any]:
    if not path:
        return _answer_root(call)
    node = _find(call, path[0])
    rest = path[1:]
    if call.method == "DELETE" and node.type is USER and rest[:1] == ("permissions",):
        return revoke(call, rest[1] if len(rest) > 1 else "")
    if not rest or (call.method != "GET" and node.type is not PAGE):
        node.type.see(call, node.value)
    call.path = (node.id, *rest)
    answer = answer_node(call, node, rest)
    for permission in node.type.edges[rest[0]].uses if rest else node.type.uses:
        if call.app is not None and permission in call.scopes:
            call.app.test_calls[permission] = call.state.now()
    return answer


def _answer_root(call: Call) -> dict[str, Any]:
    if "ids" in call.params:
        raise GraphError(refusals.IDS_ENDED)
    if "batch" in call.params:
        raise GraphError(refusals.NOT_SERVED, route=f"{call.method} / with a batch")
    if call.params.get("id"):
        return _answer_path(call, (call.params["id"],))
    raise GraphError(refusals.MISSING_OBJECT, id="")


def _find(call: Call, name: str) -> Node:
    facebook = call.state.facebook
    if name == "me":
        caller = call.caller
        if caller.kind is TokenKind.APP:
            raise GraphError(refusals.NO_TOKEN_ME)
        if caller.kind is TokenKind.PAGE:
            return Node(PAGE, facebook.pages[caller.profile_id], caller.profile_id)
        return Node(USER, facebook.users[caller.user_id], caller.user_id)
    if name == "app":
        name = call.caller.app_id
    if name in facebook.users and call.caller.user_id != name:
        raise GraphError(refusals.MISSING_OBJECT, id=name)
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
        raise GraphError(refusals.MISSING_OBJECT, id=name)
    raise GraphError(refusals.ALIAS, alias=name)
