"""
The shape of a response: keys, types and length classes, never a value.

A field report compares shapes, so that a run against the live systems can show where they differ
from the sandbox without giving anything away.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

# The classes of a text's length: their largest numbers of characters.
_LENGTH_CLASSES = (0, 8, 32, 128, 512, 4_096)
# A key that is a name. Other keys, such as an id, an address or a token, are not shown.
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,60}")
_DIGITS = re.compile(r"(?:act_)?[0-9]+")
_MOST_DIGITS = 4
ID = "{id}"
OTHER_KEY = "{key}"
# Stands for the numbers of an error that has none.
NO_CODE = "-"
# Distinct shapes of rows that are shown of a list.
_MOST_ROW_SHAPES = 4
_MOST_LEVELS = 12
_MOST_KEYS = 200
# Length of the longest shape of a response, as JSON.
MAX_SHAPE_CHARACTERS = 4_000
# Stands for a longer shape.
TOO_LONG = "…"
# Codes and subcodes have up to seven digits; a longer number may be an id.
_LARGEST_CODE = 10**8


def shape_of(value: Any, level: int = 0) -> Any:
    """
    Return the shape of a JSON value.

    An object is its keys with their shapes, a list its distinct rows; a text is `s` with the class
    of its length, a whole number `i`, another number `f`, true or false `b`, null `n`.
    """
    if level > _MOST_LEVELS:
        return TOO_LONG
    match value:
        case bool():
            return "b"
        case None:
            return "n"
        case int():
            return "i"
        case float():
            return "f"
        case str():
            return f"s{length_class(len(value))}"
        case dict():
            shown: dict[str, Any] = {}
            for key in [*value][:_MOST_KEYS]:
                shown.setdefault(key_name(str(key)), shape_of(value[key], level + 1))
            return dict(sorted(shown.items()))
        case list():
            shapes = (shape_of(row, level + 1) for row in value[:_MOST_KEYS])
            return distinct(shapes)[:_MOST_ROW_SHAPES]
    return TOO_LONG


def distinct(shapes: Iterable[Any]) -> list[Any]:
    """Return the shapes without repetitions, in their order."""
    return [*{json.dumps(shape, sort_keys=True): shape for shape in shapes}.values()]


def length_class(length: int) -> str:
    """Return the class of a text's length: the largest number of characters in it."""
    return next((str(most) for most in _LENGTH_CLASSES if length <= most), "+")


def key_name(key: str) -> str:
    """Return a key if it is a name, else the kind of the key."""
    if _DIGITS.fullmatch(key):
        return ID
    digits = sum(letter.isdigit() for letter in key)
    return key if _NAME.fullmatch(key) and digits <= _MOST_DIGITS else OTHER_KEY


def shape_text(value: Any) -> str:
    """Return the shape of a JSON value as text; `TOO_LONG` if it is too long for a record."""
    text = json.dumps(shape_of(value), separators=(",", ":"), ensure_ascii=True)
    return text if len(text) <= MAX_SHAPE_CHARACTERS else json.dumps(TOO_LONG)


def error_numbers(value: Any) -> str:
    """Return `code/subcode` of an error object, also inside `data`; empty without one."""
    if not isinstance(value, Mapping):
        return ""
    inner = value.get("data")
    error = value.get("error") or (inner.get("error") if isinstance(inner, Mapping) else None)
    if not isinstance(error, Mapping):
        return ""
    code = error.get("code")
    subcode = error.get("error_subcode", error.get("subcode"))
    numbers = [number for number in (code, subcode) if isinstance(number, int)]
    shown = (str(number) if abs(number) < _LARGEST_CODE else ID for number in numbers)
    return "/".join(shown) or NO_CODE
