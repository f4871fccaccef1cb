"""
JSON that others may have written: read as RFC 8259 has it, or refused.

Python's reader takes NaN and Infinity, and gives up on what is nested deeper
than calls may be; here both are no JSON. What a document means is for its reader.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

__all__ = ["parse_document"]


def parse_document(content: bytes | str) -> Any:
    """Return the JSON document `content`; raises `ValueError`, with the reason, if it is none."""
    try:
        return json.loads(content, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def _refuse(name: str) -> NoReturn:
    msg = f"{name} is no JSON (RFC 8259)"
    raise ValueError(msg)
