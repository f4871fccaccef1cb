"""
Read, write and rebuild strict JSON (RFC 8259): no NaN, no Infinity, no number out of range.
"""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NoReturn

import msgspec


@dataclass(frozen=True, slots=True)
class Kept:
    """A value that stays as it is."""

    value: Any


def parse_json(
    text: str | bytes,
    *,
    object_pairs_hook: Callable[[list[tuple[str, Any]]], Any] | None = None,
) -> Any:
    """
    Parse a JSON document; `object_pairs_hook` makes something else of each object.

    Raises `ValueError` for anything else, for NaN and Infinity (RFC 8259 §6),
    and if it is nested too deeply.
    """
    try:
        return json.loads(
            text,
            object_pairs_hook=object_pairs_hook,
            parse_constant=_refuse_number,
            parse_float=_finite,
        )
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def parse_own(text: bytes) -> Any:
    """
    Parse JSON as the runbook writes it; raises also for two fields of one name.

    Lone surrogates are read (RFC 8259 §8.2).
    """
    try:
        document = msgspec.json.decode(text)
        # NOTE: of two fields of one name it keeps the last. `parse_json` decides about all that
        # is not written in this way; it takes five times as long.
        if msgspec.json.encode(document) == text.rstrip():
            return document
    except (msgspec.DecodeError, ValueError, RecursionError):
        pass
    return parse_json(text.decode("utf-8", "surrogatepass"), object_pairs_hook=_without_twins)


def write_json(document: Any, *, indent: int | None = None) -> str:
    """
    Return `document` as JSON, compact unless `indent` is given.

    Raises `ValueError` if a number in it is NaN or infinite (RFC 8259 §6).
    """
    separators = (",", ":") if indent is None else None
    return json.dumps(
        document, ensure_ascii=False, allow_nan=False, separators=separators, indent=indent
    )


def rebuild(document: Any, item: Callable[[Any], Any]) -> Any:
    """
    Return a JSON document with `item` applied to each part, the outer ones first.

    Without recursion, since a remote document may be nested deeper than Python's stack.
    """
    top: list[Any] = [document]
    waiting: deque[tuple[Any, Any]] = deque([(top, 0)])
    while waiting:
        parent, place = waiting.popleft()
        value = parent[place]
        if isinstance(value, Kept):
            parent[place] = value.value
            continue
        if isinstance(value, list | tuple):
            changed: Any = list(value)
            places: Iterable[Any] = range(len(changed))
        else:
            changed = item(value)
            places = changed if isinstance(changed, dict) else ()
        parent[place] = changed
        waiting.extend((changed, inner) for inner in places)
    return top[0]


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) < len(pairs):
        raise ValueError("two fields of it have one name")
    return document


def _refuse_number(name: str) -> NoReturn:
    msg = f"{name} is not JSON"
    raise ValueError(msg)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        _refuse_number(text)
    return number
