"""
The state of a sandbox as JSON.
"""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import singledispatch
from typing import Any

from runbook_lib.sandbox.state.limits import Meter
from runbook_lib.sandbox.state.stores import Dice, Shelf
from runbook_lib.sandbox.state.versions import Calendar
from runbook_lib.sandbox.state.world import World

__all__ = ["export"]


@singledispatch
def export(value: Any) -> Any:
    """Return `value` as what JSON can hold; a bounded store is shown as its size."""
    return _members(value) if is_dataclass(value) else value


def _members(value: Any) -> dict[str, Any]:
    named = ((one.name, getattr(value, one.name)) for one in fields(value))
    return {
        name: export(inner)
        for name, inner in named
        if not isinstance(inner, Dice) and not callable(inner)
    }


export.register(World, lambda value: {"now": value.now(), **_members(value)})
export.register(Shelf, lambda value: {"stored": len(value)})
export.register(Meter, lambda value: {"hourly": value.hourly})
export.register(Calendar, lambda value: {"latest": value.latest})
export.register(Enum, lambda value: value.value)
export.register(set, lambda value: sorted(map(str, value)))
export.register(frozenset, lambda value: sorted(map(str, value)))
export.register(list, lambda value: [export(inner) for inner in value])
export.register(tuple, lambda value: [export(inner) for inner in value])


@export.register(Mapping)
def _mapping(value: Mapping[Any, Any]) -> dict[str, Any]:
    return {
        " ".join(map(str, key)) if isinstance(key, tuple) else str(key): export(inner)
        for key, inner in value.items()
    }
