"""
What a person types into a panel: judged while it is typed, then taken over.

Where a credential rests afterwards is `remembering`'s business.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runbook_lib.config.settings import secret_of, typed
from runbook_lib.core.procedure import Input, Step, Value
from runbook_lib.engine.run import Run
from runbook_lib.errors import SettingsError

__all__ = ["credential", "problem", "sentence", "take"]


def problem(step: Step, name: str, text: str) -> str:
    """Return what is wrong with an input's text, with an example; empty where nothing is."""
    item = next(item for item in step.inputs if item.name == name)
    if not text.strip():
        return ""
    try:
        if item.secret:
            secret_of(item, text, {})
        else:
            item.parse(text)
    except ValueError as error:
        said = sentence(str(error))
        return said if item.example in said else f"{said}; for example {item.example}"
    return ""


def sentence(reason: str) -> str:
    """Return a reason as it stands alone, below its field."""
    return f"{reason[:1].upper()}{reason[1:]}"


def take(run: Run, step: Step, given: Mapping[str, Any]) -> dict[str, str]:
    """
    Take over what was typed, and return what was refused: the reason by the input's name.

    A secret stays in memory, anything else is remembered; what is in order
    is taken though something beside it is not. An empty field is left alone.
    """
    refused: dict[str, str] = {}
    for item in step.inputs:
        value = given.get(item.name)
        if value in (None, ""):
            continue
        try:
            if item.secret:
                run.take_secret(item, str(value))
            else:
                run.give(item.name, _typed(item, value))
        except ValueError as error:
            refused[item.name] = str(error)
    return refused


def credential(step: Step, name: str) -> Input:
    """Return the credential that is called `name`; raises `SettingsError` where it has none."""
    for item in step.inputs:
        if item.name == name and item.secret:
            return item
    msg = f"This step has no credential called {name}."
    raise SettingsError(msg)


def _typed(item: Input, value: object) -> Value:
    """Return `value` as the type that `item` has; raises `ValueError` without the item's name."""
    try:
        return typed(item, value)
    except SettingsError as error:
        _, _, reason = str(error).partition(f"{item.name} ({item.label})")
        raise ValueError(reason.removeprefix(":").strip().removesuffix(".")) from None
