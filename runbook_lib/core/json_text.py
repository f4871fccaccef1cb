"""
JSON as RFC 8259 has it, read and written: no NaN, no Infinity, no number beyond all bounds.

What a document means is for its reader.
"""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

__all__ = ["is_json", "parse_json", "write_json"]

_DEEPEST = 200


def parse_json(text: str | bytes) -> Any:
    """
    Return the JSON document that `text` is.

    Raises `ValueError` for anything else, NaN and Infinity included (RFC 8259
    §6), and for one that is nested too deep.
    """
    try:
        return json.loads(text, parse_constant=_refuse_number, parse_float=_finite)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def write_json(document: Any, *, indent: int | None = None) -> str:
    """
    Return `document` as JSON, compact unless `indent` says otherwise.

    Raises `ValueError` where a number in it is NaN or infinite (RFC 8259 §6).
    """
    separators = (",", ":") if indent is None else None
    return json.dumps(
        document, ensure_ascii=False, allow_nan=False, separators=separators, indent=indent
    )


def is_json(value: Any, depth: int = 0) -> bool:
    """Return whether `value` can be written as JSON, as deep as the runbook's documents are."""
    if value is None or isinstance(value, str | int):
        return True
    if isinstance(value, float):
        return math.isfinite(value)
    if depth > _DEEPEST:
        return False
    if isinstance(value, dict):
        return all(
            isinstance(name, str) and is_json(each, depth + 1) for name, each in value.items()
        )
    return isinstance(value, list | tuple) and all(is_json(each, depth + 1) for each in value)


def _refuse_number(name: str) -> NoReturn:
    msg = f"{name} is no JSON"
    raise ValueError(msg)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        _refuse_number(text)
    return number
