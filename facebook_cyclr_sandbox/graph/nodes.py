"""
Graph nodes in general: field selection, edges, cursors.

`application_node`, `page_nodes` and `user_nodes` define the node types.
"""

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlencode

from facebook_cyclr_sandbox.graph import graph_errors
from facebook_cyclr_sandbox.graph.fields import Field, parse_fields
from facebook_cyclr_sandbox.graph.graph_call import GraphCall, parse_list
from facebook_cyclr_sandbox.graph.graph_errors import GraphError
from facebook_cyclr_sandbox.response_sources import handles

_DEFAULT_LIMIT = 25
_MAX_LIMIT = 5_000

FieldGetter = Callable[[GraphCall, Any, Field], object]
EdgeLister = Callable[[GraphCall, Any], "Sequence[Any] | dict[str, object]"]
EdgeAction = Callable[[GraphCall, Any], "dict[str, object]"]

# The edges of every node type, by name.
_known_edges: set[str] = set()


@dataclass(frozen=True)
class Edge:
    """An edge of a node."""

    list_items: EdgeLister | None = None
    """Returns the objects of a GET; a dict is the whole response. None: it cannot be read."""

    node_type: "NodeType | None" = None
    """The type as which the objects are rendered; None if they are rows already."""

    post: EdgeAction | None = None
    """Handles a POST; None if the sandbox does not serve it."""

    delete: EdgeAction | None = None
    """Handles a DELETE; None if the sandbox does not serve it."""

    permissions: tuple[str, ...] = ()
    """The permissions that a successful call uses: App Review accepts only used ones (graph §9)."""


@dataclass(frozen=True)
class NodeType:
    """One type of node."""

    name: str
    """Its name in error messages."""

    fields: Mapping[str, FieldGetter]
    """Field → the function that returns its value; None leaves the field out."""

    default_fields: tuple[str, ...]
    """The fields of a response to a call without `fields`."""

    edges: Mapping[str, Edge] = field(default_factory=dict)
    """Its edges, by name."""

    other_fields: frozenset[str] = frozenset()
    """Further fields that Graph knows; without a grant or a value they are left out."""

    delete: EdgeAction | None = None
    """Handles a DELETE of the node; None if it cannot be deleted."""

    check_access: Callable[[GraphCall, Any], None] = lambda _call, _value: None
    """Raises `GraphError` if the caller may not read the node itself."""

    permissions: tuple[str, ...] = ()
    """The permissions that a successful call to the node uses."""

    def __post_init__(self) -> None:
        _known_edges.update(self.edges)
        for name, edge in self.edges.items():
            actions = {"GET": edge.list_items, "POST": edge.post, "DELETE": edge.delete}
            for method, action in actions.items():
                if action:
                    handles(f"{method} /{{{self.name}}}/{name}")(action)


@dataclass(frozen=True)
class Node:
    """An object with its type and the ID that it was requested by."""

    type: NodeType
    value: Any
    id: str


def attribute_getters(*names: str) -> dict[str, FieldGetter]:
    """Return getters for fields that are attributes of the same name."""

    def getter(name: str) -> FieldGetter:
        return lambda _call, value, _field: getattr(value, name)

    return {name: getter(name) for name in names}


def render_node(
    call: GraphCall, kind: NodeType, value: Any, fields: Sequence[Field] | None
) -> dict[str, Any]:
    """Return the requested fields of one object, without those that have no value."""
    wanted = fields or [Field(name) for name in kind.default_fields]
    shown: dict[str, Any] = {}
    for part in wanted:
        content = _field(call, kind, value, part)
        if content is not None:
            shown[part.shown_as] = content
    if "id" in kind.fields and "id" not in shown:
        shown["id"] = kind.fields["id"](call, value, Field("id"))
    return shown


def _field(call: GraphCall, kind: NodeType, value: Any, field: Field) -> object:
    if field.name in kind.fields:
        return kind.fields[field.name](call, value, field)
    if field.name in kind.other_fields:
        return None
    edge = kind.edges.get(field.name)
    if edge is None or edge.list_items is None:
        raise GraphError(graph_errors.NO_FIELD, field=field.name, type=kind.name)
    inner = {key: text for key, text in call.params.items() if key == "access_token"}
    path = (str(render_node(call, kind, value, [Field("id")])["id"]), field.name)
    below = replace(call, params={**inner, **field.arguments}, path=path)
    return _list_edge(below, edge, value, field.children)


def handle_node_call(call: GraphCall, node: Node, rest: tuple[str, ...]) -> dict[str, Any]:
    """Respond to a call to a node or to one of its edges."""
    if not rest:
        if call.method == "GET":
            return render_node(call, node.type, node.value, parse_requested_fields(call))
        if call.method == "DELETE" and node.type.delete is not None:
            return node.type.delete(call, node.value)
        is_post = call.method == "POST"
        unsupported = graph_errors.UNSUPPORTED_POST if is_post else graph_errors.UNSUPPORTED_DELETE
        raise GraphError(unsupported, id=node.id)
    edge = node.type.edges.get(rest[0])
    if edge is None and rest[0] in _known_edges and len(rest) == 1:
        raise GraphError(graph_errors.NO_FIELD, field=rest[0], type=node.type.name)
    if edge is None or len(rest) > 1:
        raise GraphError(
            graph_errors.UNKNOWN_PATH, path="/" + "/".join(rest if edge is None else rest[1:])
        )
    if call.method == "GET":
        if edge.list_items is None:
            raise GraphError(graph_errors.NO_FIELD, field=rest[0], type=node.type.name)
        return _list_edge(call, edge, node.value, parse_requested_fields(call))
    action = edge.post if call.method == "POST" else edge.delete
    if action is None:
        raise GraphError(graph_errors.NOT_SERVED, route=f"{call.method} /{node.id}/{rest[0]}")
    return action(call, node.value)


def parse_requested_fields(call: GraphCall) -> tuple[Field, ...]:
    """Return the requested fields: `fields` is text or a JSON list."""
    text = call.params.get("fields", "").strip()
    return parse_fields(",".join(parse_list(text, "fields")) if text.startswith("[") else text)


def _list_edge(
    call: GraphCall, edge: Edge, value: Any, fields: Sequence[Field] | None
) -> dict[str, Any]:
    items = edge.list_items(call, value) if edge.list_items is not None else ()
    if isinstance(items, dict):
        return items
    start, stop = _choose_rows(call, len(items))
    rows = [
        render_node(call, edge.node_type, item, fields) if edge.node_type is not None else item
        for item in items[start:stop]
    ]
    response: dict[str, Any] = {"data": rows}
    if rows:
        response["paging"] = _build_paging(call, start, stop, len(items))
    return response


def _build_paging(call: GraphCall, start: int, stop: int, total: int) -> dict[str, Any]:
    paging: dict[str, Any] = {
        "cursors": {"before": _encode_cursor(start), "after": _encode_cursor(stop - 1)}
    }
    if stop < total:
        paging["next"] = _build_page_url(call, after=_encode_cursor(stop - 1))
    if start > 0:
        paging["previous"] = _build_page_url(call, before=_encode_cursor(start))
    return paging


def _build_page_url(call: GraphCall, **cursor: str) -> str:
    kept = {
        name: value
        for name, value in call.params.items()
        if name not in {"after", "before", "method"}
    }
    kept.setdefault("limit", str(_DEFAULT_LIMIT))
    path = "/".join((call.version, *call.path))
    return f"{call.state.addresses.graph}/{path}?{urlencode({**kept, **cursor})}"


def _encode_cursor(index: int) -> str:
    return base64.urlsafe_b64encode(f"cursor:{index}".encode()).decode("ascii")


def _choose_rows(call: GraphCall, total: int) -> tuple[int, int]:
    limit = _parse_limit(call.params.get("limit", ""))
    before = call.params.get("before", "")
    after = call.params.get("after", "")
    if before:
        stop = min(_decode_cursor(before, "before"), total)
        return max(0, stop - limit), stop
    start = min(_decode_cursor(after, "after") + 1, total) if after else 0
    return start, min(start + limit, total)


def _parse_limit(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 9 or int(text) == 0:
        return _DEFAULT_LIMIT
    return min(int(text), _MAX_LIMIT)


def _decode_cursor(cursor: str, name: str) -> int:
    try:
        text = base64.urlsafe_b64decode(cursor.encode("ascii")).decode("ascii")
        return max(0, int(text.removeprefix("cursor:")))
    except (binascii.Error, ValueError):
        raise GraphError(
            graph_errors.BAD_PARAMETER, name=name, expected="a valid cursor."
        ) from None
