"""Paths of the fields and items in a JSON document."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Place = tuple[str | int, ...]


def places(content: Any, above: Place = ()) -> Iterator[Place]:
    """Yield the path of every field and every item in a document."""
    inside: Any = ()
    if isinstance(content, dict):
        inside = content.items()
    elif isinstance(content, list):
        inside = enumerate(content)
    for name, value in inside:
        yield (*above, name)
        yield from places(value, (*above, name))


def at(content: Any, place: Place) -> Any:
    """Return the value at a path."""
    for name in place:
        content = content[name]
    return content
