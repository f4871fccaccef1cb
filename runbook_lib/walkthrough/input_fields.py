"""
Input that a person types into a panel: validated while typing, then accepted.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from runbook_lib.config.settings import parse_value, secret_of
from runbook_lib.core.procedure import Input, Step
from runbook_lib.engine.run_view import RunView
from runbook_lib.engine.tenant_run import Run
from runbook_lib.errors import SettingsError


def find_problem(item: Input, text: str) -> str:
    """Return the problem of an input's text, with an example; empty if it is valid."""
    if not text.strip():
        return ""
    try:
        if item.secret:
            secret_of(item, text, {})
        else:
            item.parse(text)
    except ValueError as error:
        message = as_sentence(str(error))
        return message if item.example in message else f"{message}; for example {item.example}"
    return ""


def find_doubt(item: Input, text: str) -> str:
    """Return why this value is likely to be refused by the remote system; empty without a doubt."""
    try:
        return "" if item.secret or not text.strip() else item.doubt(item.parse(text))
    except ValueError:
        return ""


def describe_effect(run: RunView, item: Input, text: str) -> str:
    """Return which steps must be done again once this value is saved; empty if no step must."""
    if not text.strip():
        return ""
    try:
        undone = run.undone_by(item, text.strip())
    except ValueError:
        return ""
    steps = ", ".join(step.number for step in undone)
    return f"If you save this, do these steps again: {steps}." if steps else ""


def find_home(run: Run, fields: Sequence[Input], item: Input, text: str) -> tuple[str, str]:
    """
    Return why a text does not belong into its field by its form, and the name of its own field.

    That is a secret in a field that everybody sees, or an ID in a secret's field; both are empty
    for any other text. Without a field for it among `fields`, the name is empty.
    """
    text = text.strip()
    if item.secret:
        looks = "This looks like an ID" if text.isdigit() else ""
        others = [field for field in fields if not field.secret and field.example.isdigit()]
    else:
        is_wrong = bool(find_problem(item, text))
        is_secret = run.redactor.find_secret(text, bare_hex=is_wrong) >= 0
        looks = "This looks like a secret" if is_secret else ""
        others = [field for field in fields if field.secret]
    if not looks or (item.secret and not others):
        return "", ""
    home = next((field for field in others if not find_problem(field, text)), None)
    if home is None:
        return f"{looks}, which does not belong here.", ""
    return f"{looks}: it belongs into {home.label}.", home.name


def as_sentence(reason: str) -> str:
    """Return a reason as a sentence, to show below its field."""
    return f"{reason[:1].upper()}{reason[1:]}"


def accept_values(
    run: Run, values: Mapping[str, Any], sure: Collection[str] = ()
) -> tuple[dict[str, str], dict[str, str]]:
    """
    Use the typed values, and return those that were not used: the reason by the input's name.

    First those that are refused, then those that are doubtful and not in use yet: a person must
    be `sure` of them by name. A secret stays in memory, other values go into the journal. A valid
    value is used even if another one is refused. An emptied field is the default again; an
    empty credential changes nothing.
    """
    refused: dict[str, str] = {}
    doubtful: dict[str, str] = {}
    for item in run.procedure.inputs:
        value = values.get(item.name)
        if value is None or (item.secret and not value):
            continue
        try:
            if value == "":
                run.give(item.name, item.default if item.default is not None else "")
            elif item.secret:
                run.set_secret(item, str(value))
            elif run.redactor.find_secret(str(value), bare_hex=False) >= 0:
                refused[item.name] = "this looks like a secret, which does not belong here"
            else:
                accepted = parse_value(item, value)
                is_known = item.name in sure or run.values.get(item.name) == accepted
                why = "" if is_known else item.doubt(accepted)
                if why:
                    doubtful[item.name] = why
                else:
                    run.give(item.name, accepted)
        except ValueError as error:
            refused[item.name] = str(error)
    return refused, doubtful


def find_credential(step: Step, name: str) -> Input:
    """Return the step's credential `name`; raises `SettingsError` if it has none."""
    for item in step.inputs:
        if item.name == name and item.secret:
            return item
    raise SettingsError(f"This step has no credential called {name}.")
