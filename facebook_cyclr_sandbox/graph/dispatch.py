"""
Answering one Graph call: path and version, token and proof, limits, then the node.

A call is a method, a path and parameters; `site` makes it from HTTP or a batch.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from facebook_cyclr_sandbox.graph import refusals
from facebook_cyclr_sandbox.graph.apps import APPLICATION
from facebook_cyclr_sandbox.graph.call import Call
from facebook_cyclr_sandbox.graph.nodes import Node, NodeType, answer_node
from facebook_cyclr_sandbox.graph.pages import FORM, LEAD, PAGE, see
from facebook_cyclr_sandbox.graph.refusals import GraphError
from facebook_cyclr_sandbox.graph.test_calls import record_test_call
from facebook_cyclr_sandbox.graph.tokens import authenticate, check_proof, debug_token, exchange
from facebook_cyclr_sandbox.graph.users import (
    AD_ACCOUNT,
    BUSINESS,
    USER,
    revoke,
    see_ad_account,
    see_business,
)
from facebook_cyclr_sandbox.graph.wire import Trace, encode, failure, success
from facebook_cyclr_sandbox.http.web import Headers, Reply
from facebook_cyclr_sandbox.state.facebook_world import TokenKind
from facebook_cyclr_sandbox.state.versions import Calendar
from facebook_cyclr_sandbox.state.world import World

_METHODS = frozenset({"GET", "POST", "DELETE"})
_AD_ACCOUNT = re.compile(r"act_\d+\Z")
_OBJECT_ID = re.compile(r"\d+\Z")
_MARKETING_EDGES = frozenset({"adaccounts", "ads", "adsets", "campaigns", "insights"})


@dataclass
class _Context:
    """What the headers of an answer show: an error shows what is known by then."""

    version: str
    extra: Headers = ()
    call: Call | None = None

    def headers(self) -> Headers:
        return (*(self.call.usage_headers() if self.call else ()), *self.extra)


def answer_graph(
    world: World,
    method: str,
    path: str,
    params: Mapping[str, str],
) -> Reply:
    """Answer one Graph call, given by its method, path and parameters."""
    if method == "POST" and params.get("method", "").upper() in _METHODS:
        method = params["method"].upper()
    context = _Context(world.facebook_version())
    trace = Trace.roll(world.dice)
    try:
        if method not in _METHODS:
            raise GraphError(refusals.UNSUPPORTED_METHOD, method=method.lower())
        document = _answer(world, method, path, params, context)
    except GraphError as error:
        return failure(error, trace, version=context.version, usage=context.headers())
    return success(
        encode(document),
        trace,
        version=context.version,
        usage=context.headers(),
    )


def _answer(
    world: World, method: str, path: str, params: Mapping[str, str], context: _Context
) -> dict[str, Any]:
    segments = tuple(segment for segment in path.split("/") if segment)
    requested, segments = _split_version(world, segments, context)
    if segments == ("oauth", "access_token"):
        return exchange(world, params)
    call = Call(world, method, segments, context.version, params)
    context.call = call
    _authenticate(call)
    if requested or call.app is None:
        _serve_marketing(call, requested, context)
    else:
        _serve_unversioned(call, context)
    if segments == ("debug_token",):
        return debug_token(call)
    return _answer_path(call, segments)


def _split_version(
    world: World, segments: tuple[str, ...], context: _Context
) -> tuple[str, tuple[str, ...]]:
    if not segments or not Calendar.looks_like_version(segments[0]):
        return "", segments
    served = world.calendar.served(segments[0], world.now())
    if served is None:
        raise GraphError(refusals.UNKNOWN_PATH, path="/" + "/".join(segments[1:]))
    context.version = served
    return segments[0], segments[1:]


def _serve_unversioned(call: Call, context: _Context) -> None:
    if _is_marketing(call.path):
        # verbatim graph §1: it is refused; unknown: the wording
        raise GraphError(refusals.DEPRECATED_MARKETING_VERSION, latest=call.world.calendar.latest)
    if call.app is not None:
        served = call.world.calendar.served(call.app.version, call.world.now())
        context.version = call.version = served or context.version


def _serve_marketing(call: Call, requested: str, context: _Context) -> None:
    now, calendar = call.world.now(), call.world.calendar
    if not requested or not _is_marketing(call.path):
        return
    if calendar.is_ended_for_marketing(requested, now):
        context.version = call.version = calendar.latest
        return
    upgraded = calendar.upgraded(requested, now)
    if upgraded:
        warning = (
            f"The call has been auto-upgraded to {upgraded} as {requested} will be deprecated."
        )
        context.extra = (*context.extra, ("X-Ad-Api-Version-Warning", warning))
        context.version = call.version = upgraded


def _is_marketing(path: tuple[str, ...]) -> bool:
    return any(_AD_ACCOUNT.match(segment) or segment in _MARKETING_EDGES for segment in path)


def _authenticate(call: Call) -> None:
    value = call.params.get("access_token", "")
    if not value:
        raise GraphError(refusals.NO_TOKEN_ME if call.path[:1] == ("me",) else refusals.NO_TOKEN)
    token = authenticate(call.world, value)
    app = call.world.facebook.apps[token.app_id]
    call.token, call.app = token, app
    now = call.world.now()
    if app.meter.is_reached(now):
        raise GraphError(refusals.APP_LIMIT)
    app.meter.count(now)
    check_proof(app, value, call.params.get("appsecret_proof"))


def _answer_path(call: Call, path: tuple[str, ...]) -> dict[str, Any]:
    if not path:
        return _answer_root(call)
    node = _find(call, path[0])
    rest = path[1:]
    if call.method == "DELETE" and node.type is USER and rest[:1] == ("permissions",):
        return revoke(call, rest[1] if len(rest) > 1 else "")
    is_edge_of_page = bool(rest) and node.type is PAGE
    if not is_edge_of_page and (not rest or call.method != "GET"):
        if node.type is AD_ACCOUNT:
            see_ad_account(call, node.value)
        elif node.type is BUSINESS:
            see_business(call, node.value)
        else:
            see(call, node.value)
    call.path = (node.id, *rest)
    answer = answer_node(call, node, rest)
    record_test_call(call, node.type.name, rest[0] if rest else "")
    return answer


def _answer_root(call: Call) -> dict[str, Any]:
    if "ids" in call.params:
        raise GraphError(refusals.IDS_ENDED)
    if call.params.get("id"):
        return _answer_path(call, (call.params["id"],))
    raise GraphError(refusals.MISSING_OBJECT, id="")


def _find(call: Call, name: str) -> Node:
    facebook = call.world.facebook
    if name == "me":
        caller = call.caller
        if caller.kind is TokenKind.APP:
            raise GraphError(refusals.NO_TOKEN_ME)
        if caller.kind is TokenKind.PAGE:
            return Node(PAGE, facebook.pages[caller.profile_id], caller.profile_id)
        return Node(USER, facebook.people[caller.user_id], caller.user_id)
    if name == "app":
        name = call.caller.app_id
    if name in facebook.people and call.caller.user_id != name:
        raise GraphError(refusals.MISSING_OBJECT, id=name)
    tables: tuple[tuple[NodeType, Mapping[str, Any]], ...] = (
        (USER, facebook.people),
        (BUSINESS, {facebook.business.id: facebook.business}),
        (APPLICATION, facebook.apps),
        (PAGE, facebook.pages),
        (AD_ACCOUNT, {f"act_{key}": account for key, account in facebook.ad_accounts.items()}),
    )
    for kind, objects in tables:
        if name in objects:
            return Node(kind, objects[name], name)
    return _find_lead_object(call, name)


def _find_lead_object(call: Call, name: str) -> Node:
    form = call.world.facebook.form(name)
    if form is not None:
        return Node(FORM, form, name)
    lead = call.world.facebook.lead(name)
    if lead is not None:
        return Node(LEAD, lead, name)
    if _OBJECT_ID.match(name) or _AD_ACCOUNT.match(name):
        raise GraphError(refusals.MISSING_OBJECT, id=name)
    raise GraphError(refusals.ALIAS, alias=name)
