"""
Read, write and rebuild strict JSON (RFC 8259): no NaN, no Infinity, no number out of range.

No object has two fields of one name, since readers differ in their choice (§4).
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, NoReturn

import msgspec

# RFC 8259 §9 permits a limit. The deepest response that the checks read has eight levels.
_DEEPEST = 200
_NOT_A_BRACKET = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[^][{}"]++', re.DOTALL)


@dataclass(frozen=True, slots=True)
class OpaqueValue:
    """A value that `rebuild` leaves unchanged."""

    value: Any


class RepeatedNameError(ValueError):
    """Two fields of one object have the name `name`."""

    def __init__(self, name: str) -> None:
        super().__init__(f"it has two fields named {name!r}")
        self.name = name


class NonFiniteConstantError(ValueError):
    """A number is NaN, Infinity or -Infinity, which JSON lacks (RFC 8259 §6)."""

    def __init__(self, constant: str) -> None:
        super().__init__(f"{constant} is not JSON")
        self.constant = constant


def parse_json(text: str | bytes) -> Any:
    """
    Parse a JSON document.

    Bytes are UTF-8 (RFC 8259 §8.1); lone surrogates are read.

    Raises `RepeatedNameError` for two fields of one name, `NonFiniteConstantError` for NaN and
    Infinity, and `ValueError` for anything else, and if it is nested deeper than 200 levels.
    """
    content = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    _refuse_depth(content)
    return json.loads(
        content.decode("utf-8", "surrogatepass"),
        object_pairs_hook=_without_twins,
        parse_constant=_refuse_constant,
        parse_float=_parse_finite,
    )


def parse_first(text: str, start: int = 0) -> tuple[Any, int]:
    """
    Return the JSON document that begins at `start` of `text`, and its end.

    Its texts may contain control characters. Raises `ValueError` if it is missing or
    nested deeper than 200 levels.
    """
    _refuse_depth(text[start:].encode("utf-8", "surrogatepass"))
    return json.JSONDecoder(strict=False).raw_decode(text, start)


def parse_own(text: bytes) -> Any:
    """
    Parse JSON that the runbook wrote; also raises for two fields of one name.

    Lone surrogates are read (RFC 8259 §8.2).
    """
    _refuse_depth(text)
    try:
        document = msgspec.json.decode(text)
        # NOTE: msgspec keeps the last of two fields with one name. `parse_json` decides about JSON
        # in any other form; it takes five times as long.
        if msgspec.json.encode(document) == text.rstrip():
            return document
    except (msgspec.DecodeError, ValueError):
        pass
    return parse_json(text)


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
        if isinstance(value, OpaqueValue):
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


def _refuse_depth(content: bytes) -> None:
    # NOTE: the parser's own recursion is no protection. A garbage collection at the bottom of the
    # stack runs finalizers that have no room to run, and leave files open.
    if content.count(b"[") + content.count(b"{") <= _DEEPEST:
        return
    steps = (1 if bracket in b"[{" else -1 for bracket in _NOT_A_BRACKET.sub(b"", content))
    if max(accumulate(steps)) > _DEEPEST:
        raise ValueError("it is nested too deeply")


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) < len(pairs):
        raise RepeatedNameError(Counter(name for name, _ in pairs).most_common(1)[0][0])
    return document


def _refuse_constant(constant: str) -> NoReturn:
    raise NonFiniteConstantError(constant)


def _parse_finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is out of range")
    return number
