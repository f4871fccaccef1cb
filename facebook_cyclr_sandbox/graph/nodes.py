"""
How any Graph node is shown: field selection, edges, cursors.

The node types themselves are defined in `apps`, `pages` and `users`.
"""

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlencode

from facebook_cyclr_sandbox.graph import refusals
from facebook_cyclr_sandbox.graph.call import Call, list_of
from facebook_cyclr_sandbox.graph.fields import Field, parse_fields
from facebook_cyclr_sandbox.graph.refusals import GraphError, Refusal
from facebook_cyclr_sandbox.response_sources import handles

_DEFAULT_LIMIT = 25
_MAX_LIMIT = 5_000

Getter = Callable[[Call, Any, Field], object]
Lister = Callable[[Call, Any], "Sequence[Any] | dict[str, object]"]
Action = Callable[[Call, Any], "dict[str, object]"]

# The edges of every node type, by name.
_known_edges: set[str] = set()


@dataclass(frozen=True)
class Edge:
    """
    A connection of a node.

    `items` returns the objects behind a GET, shown as nodes of type `of` (or as
    they are without it); a dict is the whole answer. A successful call counts as
    a use of the permissions `uses`: App Review takes only those that were used (graph §9).
    """

    items: Lister | None = None
    of: "NodeType | None" = None
    post: Action | None = None
    delete: Action | None = None
    uses: tuple[str, ...] = ()


@dataclass(frozen=True)
class NodeType:
    """
    A node's `name` in error messages, its fields (None values are left out), its edges.

    `see` checks that the caller may see the node itself; `uses` is as in `Edge`.
    """

    name: str
    fields: Mapping[str, Getter]
    default: tuple[str, ...]
    edges: Mapping[str, Edge] = field(default_factory=dict)
    delete: Action | None = None
    see: Callable[[Call, Any], None] = lambda _call, _value: None
    uses: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _known_edges.update(self.edges)
        for name, edge in self.edges.items():
            actions = {"GET": edge.items, "POST": edge.post, "DELETE": edge.delete}
            for method, action in actions.items():
                if action:
                    handles(f"{method} /{{{self.name}}}/{name}")(action)


@dataclass(frozen=True)
class Node:
    """An object with its type and the ID that it was requested by."""

    type: NodeType
    value: Any
    id: str


def plain(*names: str) -> dict[str, Getter]:
    """Return the getters of fields that are attributes of the same name."""

    def getter(name: str) -> Getter:
        return lambda _call, value, _field: getattr(value, name)

    return {name: getter(name) for name in names}


def show(call: Call, kind: NodeType, value: Any, fields: Sequence[Field] | None) -> dict[str, Any]:
    """Return the wanted fields of one object; those without a value are left out."""
    wanted = fields or [Field(name) for name in kind.default]
    shown: dict[str, Any] = {}
    for part in wanted:
        content = _field(call, kind, value, part)
        if content is not None:
            shown[part.shown_as] = content
    if "id" in kind.fields and "id" not in shown:
        shown["id"] = kind.fields["id"](call, value, Field("id"))
    return shown


def _field(call: Call, kind: NodeType, value: Any, field: Field) -> object:
    if field.name in kind.fields:
        return kind.fields[field.name](call, value, field)
    edge = kind.edges.get(field.name)
    if edge is None or edge.items is None:
        raise GraphError(refusals.NO_FIELD, field=field.name, type=kind.name)
    inner = {key: text for key, text in call.params.items() if key == "access_token"}
    path = (str(show(call, kind, value, [Field("id")])["id"]), field.name)
    below = replace(call, params={**inner, **field.arguments}, path=path)
    return _list(below, edge, value, field.children)


def answer_node(call: Call, node: Node, rest: tuple[str, ...]) -> dict[str, Any]:
    """Answer a call to a node or to one of its edges."""
    if not rest:
        if call.method == "GET":
            return show(call, node.type, node.value, fields_of(call))
        if call.method == "DELETE" and node.type.delete is not None:
            return node.type.delete(call, node.value)
        raise GraphError(_unsupported(call.method), id=node.id)
    edge = node.type.edges.get(rest[0])
    if edge is None and rest[0] in _known_edges and len(rest) == 1:
        raise GraphError(refusals.NO_FIELD, field=rest[0], type=node.type.name)
    if edge is None or len(rest) > 1:
        raise GraphError(
            refusals.UNKNOWN_PATH, path="/" + "/".join(rest if edge is None else rest[1:])
        )
    if call.method == "GET":
        if edge.items is None:
            raise GraphError(refusals.NO_FIELD, field=rest[0], type=node.type.name)
        return _list(call, edge, node.value, fields_of(call))
    action = edge.post if call.method == "POST" else edge.delete
    if action is None:
        raise GraphError(refusals.NOT_SERVED, route=f"{call.method} /{node.id}/{rest[0]}")
    return action(call, node.value)


def _unsupported(method: str) -> Refusal:
    return refusals.UNSUPPORTED_POST if method == "POST" else refusals.UNSUPPORTED_DELETE


def fields_of(call: Call) -> tuple[Field, ...]:
    """Return the fields that the call asks for, given as text or as a JSON list."""
    text = call.params.get("fields", "").strip()
    return parse_fields(",".join(list_of(text, "fields")) if text.startswith("[") else text)


def _list(call: Call, edge: Edge, value: Any, fields: Sequence[Field] | None) -> dict[str, Any]:
    items = edge.items(call, value) if edge.items is not None else ()
    if isinstance(items, dict):
        return items
    start, stop = _window(call, len(items))
    rows = [
        show(call, edge.of, item, fields) if edge.of is not None else item
        for item in items[start:stop]
    ]
    answer: dict[str, Any] = {"data": rows}
    if rows:
        answer["paging"] = _paging(call, start, stop, len(items))
    return answer


def _paging(call: Call, start: int, stop: int, total: int) -> dict[str, Any]:
    paging: dict[str, Any] = {"cursors": {"before": _cursor(start), "after": _cursor(stop - 1)}}
    if stop < total:
        paging["next"] = _page_url(call, after=_cursor(stop - 1))
    if start > 0:
        paging["previous"] = _page_url(call, before=_cursor(start))
    return paging


def _page_url(call: Call, **cursor: str) -> str:
    kept = {
        name: value
        for name, value in call.params.items()
        if name not in {"after", "before", "method"}
    }
    kept.setdefault("limit", str(_DEFAULT_LIMIT))
    path = "/".join((call.version, *call.path))
    return f"{call.state.addresses.graph}/{path}?{urlencode({**kept, **cursor})}"


def _cursor(index: int) -> str:
    return base64.urlsafe_b64encode(f"cursor:{index}".encode()).decode("ascii")


def _window(call: Call, total: int) -> tuple[int, int]:
    limit = _limit(call.params.get("limit", ""))
    before, after = call.params.get("before", ""), call.params.get("after", "")
    if before:
        stop = min(_index(before, "before"), total)
        return max(0, stop - limit), stop
    start = min(_index(after, "after") + 1, total) if after else 0
    return start, min(start + limit, total)


def _limit(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 9 or int(text) == 0:
        return _DEFAULT_LIMIT
    return min(int(text), _MAX_LIMIT)


def _index(cursor: str, name: str) -> int:
    try:
        text = base64.urlsafe_b64decode(cursor.encode("ascii")).decode("ascii")
        return max(0, int(text.removeprefix("cursor:")))
    except (binascii.Error, ValueError):
        raise GraphError(refusals.BAD_PARAMETER, name=name, expected="a valid cursor.") from None
