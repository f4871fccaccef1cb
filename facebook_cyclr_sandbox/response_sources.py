"""
The source of each response of the sandbox.

A response is *verbatim* (the bytes or the rule are in a public source), *inferred* (it follows
from such sources) or *unknown* (no source says: we made a choice). `fidelity.toml` lists the
inferred and the unknown ones. Its `unpublished_keys` are in no published response of their call.
Every other response is verbatim in the section that its handler's docstring names, such as `(graph
§5)`. Without a section it is unknown.
"""

import re
import tomllib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

_SECTION = re.compile(r"\(((?:graph|cyclr) §\d+|messenger|website)\b")
# The section of `fidelity.toml` with the keys that no published response has, by call.
UNPUBLISHED_KEYS = "unpublished_keys"
_Function = TypeVar("_Function", bound=Callable[..., Any])

_handlers: dict[str, Callable[..., Any]] = {}


def handles(route: str) -> Callable[[_Function], _Function]:
    """Register the decorated function as the handler of `route`."""

    def add(function: _Function) -> _Function:
        _handlers[route] = function
        return function

    return add


@cache
def load_sections() -> dict[str, dict[str, Any]]:
    """Return the sections of `fidelity.toml`: `about`, and the `inferred` and `unknown` facts."""
    text = (Path(__file__).parent / "fidelity.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def load_unpublished_keys() -> dict[str, dict[str, str]]:
    """Return by call the keys, with types, that no published response of it has, and why."""
    marked = load_sections()[UNPUBLISHED_KEYS]
    found: dict[str, dict[str, str]] = {}
    for mark in ("inferred", "unknown"):
        for call, lines in marked.get(mark, {}).items():
            found.setdefault(call, {}).update(lines)
    return found


def find_route_sections() -> dict[str, str]:
    """Return the section that each route's handler names; empty if its responses are unknown."""
    named = {route: _SECTION.search(handler.__doc__ or "") for route, handler in _handlers.items()}
    return {route: match[1] if match else "" for route, match in named.items()}
