"""
What a person types into a panel: validated while typing, then accepted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runbook_lib.config.settings import secret_of, typed
from runbook_lib.core.model import Value
from runbook_lib.core.procedure import Input, Step
from runbook_lib.engine.known_run import KnownRun
from runbook_lib.engine.run import Run
from runbook_lib.errors import SettingsError


def problem(item: Input, text: str) -> str:
    """Return what is wrong with an input's text, with an example; empty if nothing is."""
    if not text.strip():
        return ""
    try:
        if item.secret:
            secret_of(item, text, {})
        else:
            item.parse(text)
    except ValueError as error:
        message = sentence(str(error))
        return message if item.example in message else f"{message}; for example {item.example}"
    return ""


def effect(run: KnownRun, item: Input, text: str) -> str:
    """
    Return what is doubtful about this value, and which steps must be done again once it is saved.

    Neither keeps a person from saving it.
    """
    if not text.strip():
        return ""
    try:
        undone = run.undone_by(item, text.strip())
        doubt = "" if item.secret else item.doubt(item.parse(text))
    except ValueError:
        return ""
    steps = ", ".join(step.number for step in undone)
    again = f"Once this is saved, these must be done again: {steps}." if steps else ""
    return " ".join(filter(None, (doubt, again)))


def sentence(reason: str) -> str:
    """Return a reason as a sentence, to show below its field."""
    return f"{reason[:1].upper()}{reason[1:]}"


def accept(run: Run, values: Mapping[str, Any]) -> dict[str, str]:
    """
    Use the typed values, and return those that were refused: the reason by the input's name.

    A secret stays in memory, other values go into the journal. A valid value is
    used even if another one is refused. An emptied field is the default again; an
    empty credential changes nothing.
    """
    refused: dict[str, str] = {}
    for item in run.procedure.inputs:
        value = values.get(item.name)
        if value is None or (item.secret and not value):
            continue
        try:
            if value == "":
                run.give(item.name, item.default if item.default is not None else "")
            elif item.secret:
                run.set_secret(item, str(value))
            else:
                run.give(item.name, _typed(item, value))
        except ValueError as error:
            refused[item.name] = str(error)
    return refused


def credential(step: Step, name: str) -> Input:
    """Return the step's credential `name`; raises `SettingsError` if it has none."""
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
