"""
The source of each answer of the sandbox.

An answer is *verbatim* (the bytes or the rule are in a public source), *inferred* (it follows from
such sources) or *unknown* (no source says: a choice was made). `fidelity.toml` lists what is
inferred or unknown, and under `shapes` each key that no published response of its call has. Every
other answer is verbatim in the section that the docstring of its handler names, such as
`(graph §5)`; without a section it is unknown.
"""

import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

MARKS = ("verbatim", "inferred", "unknown")
_SECTION = re.compile(r"\(((?:graph|cyclr) §\d+|messenger|website)\b")
_SHAPES = "shapes"
_Function = TypeVar("_Function", bound=Callable[..., Any])

_handlers: dict[str, Callable[..., Any]] = {}


@dataclass(frozen=True)
class Origin:
    """The source of one answer, or of what a handler answers."""

    mark: str
    section: str
    what: str
    source: str = ""


def handles(route: str) -> Callable[[_Function], _Function]:
    """Decorate the function that answers `route`."""

    def add(function: _Function) -> _Function:
        _handlers[route] = function
        return function

    return add


@cache
def sections() -> dict[str, dict[str, Any]]:
    """Return, by section, what it is `about`, and what is `inferred` or `unknown` there."""
    text = (Path(__file__).parent / "fidelity.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def shapes() -> dict[str, dict[str, str]]:
    """Return by call the keys, with types, that no published response of it has, and why."""
    marked = sections()[_SHAPES]
    found: dict[str, dict[str, str]] = {}
    for mark in MARKS:
        for call, lines in marked.get(mark, {}).items():
            found.setdefault(call, {}).update(lines)
    return found


def origins() -> list[Origin]:
    """Return the origin of each route's answers, and each exception."""
    found = [_origin(route, handler) for route, handler in _handlers.items()]
    for section, facts in sections().items():
        if section == _SHAPES:
            continue
        for mark in MARKS:
            for fact in facts.get(mark, ()):
                what, _, source = fact.partition(" | ")
                found.append(Origin(mark, section, what, source))
    for mark in MARKS:
        for call, lines in sections()[_SHAPES].get(mark, {}).items():
            for line, source in lines.items():
                found.append(Origin(mark, _SHAPES, f"{call}: {line}", source))
    return sorted(found, key=lambda origin: (origin.section, origin.mark, origin.what))


def _origin(route: str, handler: Callable[..., Any]) -> Origin:
    named = _SECTION.search(handler.__doc__ or "")
    return Origin("verbatim", named[1], route) if named else Origin("unknown", "", route)
