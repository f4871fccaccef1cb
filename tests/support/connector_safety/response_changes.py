"""
Changes to right responses, after which a check must not verify: the table of `ConnectorSafety`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cache, partial
from typing import Any

from runbook_lib.core.procedure import Check
from tests.support.connector_safety.connector_case import ConnectorCase
from tests.support.connector_safety.json_paths import at, places
from tests.support.connector_safety.scripted_exchanges import (
    MinimalExchanges,
    ScriptedExchange,
    with_value,
)

Change = Callable[[ScriptedExchange], ScriptedExchange]
Names = Mapping[str, str]

_DATA: tuple[Any, ...] = ({}, None, "text", ["a"], [{}], [[]], [None], 7)
_ERRORS: tuple[Any, ...] = (None, "text", [], {}, 7, {"code": []}, {"code": {}})
EMPTY_BODIES: tuple[Any, ...] = (
    {},
    [],
    None,
    True,
    7,
    "",
    "text",
    [[]],
    [{}],
    ["a"],
    [None],
    *({"data": value} for value in _DATA),
    *({"error": value} for value in _ERRORS),
)
"""Bodies that say nothing, or have another type than expected."""

MALFORMED_TEXTS = (
    "",
    "<html>",
    '{"id":',
    "NaN",
    '{"id": Infinity}',
    "1e999",
    "[" * 100_000,
    "\ufeff{}",
)
"""Bodies that are not JSON (RFC 8259)."""

STATUSES = (200, 201, 204, 302, 400, 401, 403, 404, 429, 500, 503)


@cache
def never_verified(case: ConnectorCase) -> dict[str, tuple[Check, MinimalExchanges]]:
    """Return every check with each change of its responses, by a name."""
    ways = [
        (check, number, minimal)
        for check in case.checks
        for number, minimal in enumerate(
            (*case.exchanges.get(check.id, ()), *case.fuller.get(check.id, ()))
        )
    ]
    return {
        f"{check.id} {number}.{name}": (check, changed_exchanges)
        for check, number, minimal in ways
        for name, changed_exchanges in _variants(minimal, case.other_names)
        if changed_exchanges != minimal
    }


def _variants(minimal: MinimalExchanges, names: Names) -> Iterator[tuple[str, MinimalExchanges]]:
    """Yield each change of each response, by its name."""
    everywhere: dict[str, Change] = {
        "lists": _without_rows,
        **{
            f"body {text or 'nothing'}": partial(_with_text, text)
            for text in ("", "{}", "null", "[]")
        },
        "another's": partial(_about, names),
        "cached": _cached,
    }
    in_turn: dict[str, Change] = {
        **everywhere,
        **{f"another's {name}": partial(_about, {name: names[name]}) for name in names},
    }
    for name, change in everywhere.items():
        yield f"all {name}", replace(minimal, exchanges=tuple(map(change, minimal.exchanges)))
    for index, exchange in enumerate(minimal.exchanges):
        for name, change in in_turn.items():
            yield f"{index} {name}", minimal.with_exchange(index, change(exchange))
        for place in places(exchange.body):
            if isinstance(at(exchange.body, place), list):
                name = ".".join(map(str, place))
                yield f"{index} list {name}", with_value(minimal, index, place, [])
        if [other.path for other in minimal.exchanges].count(exchange.path) > 1:
            alike = replace(exchange, asks=lambda _: True)
            yield f"{index} alike", replace(minimal, exchanges=(alike, *minimal.exchanges))


def _emptied(content: Any) -> Any:
    """Return a response with an empty list in place of each list."""
    if isinstance(content, dict):
        return {name: _emptied(value) for name, value in content.items()}
    return [] if isinstance(content, list) else content


def _without_rows(exchange: ScriptedExchange) -> ScriptedExchange:
    return replace(exchange, body=_emptied(exchange.body))


def _with_text(text: str, exchange: ScriptedExchange) -> ScriptedExchange:
    same = not isinstance(exchange.body, str) and json.loads(text or "0") == exchange.body
    return exchange if same else replace(exchange, body=text)


def _about(names: Names, exchange: ScriptedExchange) -> ScriptedExchange:
    """Return the same response about another app, person, connector …"""
    text = json.dumps([exchange.body, dict(exchange.headers)])
    for name, other in names.items():
        text = text.replace(name, other)
    body, headers = json.loads(text)
    return replace(exchange, body=body, headers=headers)


def _cached(exchange: ScriptedExchange) -> ScriptedExchange:
    return replace(exchange, headers={**exchange.headers, "age": "301"})


def reordered(content: Any) -> Any:
    """Return a document with its fields and rows in the opposite order."""
    if isinstance(content, dict):
        return {name: reordered(value) for name, value in reversed(content.items())}
    if isinstance(content, list):
        return [reordered(value) for value in reversed(content)]
    return content


def extended(content: Any) -> Any:
    """Return a document with additional fields in each object."""
    if isinstance(content, dict):
        known = {name: extended(value) for name, value in content.items()}
        return {"new_field": {"data": [None]}, **known, "another": 7}
    if isinstance(content, list):
        return [extended(value) for value in content]
    return content
