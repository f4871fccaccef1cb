"""The template of the settings file: every setting, with its explanation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from textwrap import wrap

from runbook_lib.config.runner_settings import EVIDENCE, IN_KERNEL, NOTIFY
from runbook_lib.core.files import write_once
from runbook_lib.core.procedure import Input, Procedure
from runbook_lib.errors import SettingsError, reported_as

_HEAD = """\
# Settings of the runbook for the {title}. Fill in what you know, and leave the rest
# empty. Keep this file private: chmod 600 {name}
"""
_REST = """
# === Most people never need the settings below ==================================================
#
# A credential may also be a reference to where it is stored:
#   {secret}=keyring:SERVICE/USER
#   {secret}=file:/run/secrets/NAME
# A name shows whose value it is: the runbook sends a provider's secret to that provider only, and
# no connector of another company reads it. A variable with the connector's name applies to this
# connector alone, and overrides the others:
#   {alone}=

# The owner of the app (default: the Service Domain), and the folder of the journal and
# the evidence (default: evidence)
# RUNBOOK_TENANT=
# RUNBOOK_EVIDENCE=evidence
"""
_WIDTH = 96
_ANOTHER = "Name another file with --output."


def env_template(procedure: Procedure, name: str) -> str:
    """Return the text of the settings file `name` for `procedure`; defaults are comments."""
    # The Service Domain, and the app's name if it needs one, its ID and secret: the first inputs.
    first = next(item for item in procedure.inputs if item.secret)
    inputs = procedure.inputs[: procedure.inputs.index(first) + 1]
    needed = [item for item in inputs if not _has_default(item)]
    rest = _REST.format(secret=first.variable, alone=first.variable_for(procedure.id))
    sections = (
        ("Settings of the steps", [item for item in procedure.inputs if item not in needed]),
        ("Addresses and limits", (*procedure.settings[len(procedure.inputs) :], *IN_KERNEL)),
        ("Signing and archive of the evidence", EVIDENCE),
        ("Messages of a watch", NOTIFY),
    )
    parts = [
        _HEAD.format(title=procedure.title, name=name).rstrip(),
        *_lines_of_settings(needed),
        rest.rstrip(),
    ]
    for title, items in sections:
        parts.append(f"\n# --- {title} {'-' * (_WIDTH - len(title) - 7)}")
        parts += _lines_of_settings(items)
    return "\n".join(parts) + "\n"


def _lines_of_settings(items: Iterable[Input]) -> Iterator[str]:
    for item in items:
        yield ""
        yield from (f"# {line}" for line in wrap(f"{item.label}: {item.help}", _WIDTH))
        if item.example:
            yield f"# For example: {item.example}"
        yield f"{'# ' if _has_default(item) else ''}{item.variable}={_default_text(item.default)}"


def _has_default(item: Input) -> bool:
    return item.default is not None and item.default != ()


def write_env_file(path: Path, procedure: Procedure) -> Path:
    """Write the template to `path` with mode 0600; raises `SettingsError` if `path` exists."""
    with reported_as(SettingsError, f"{path} cannot be written", next_step=_ANOTHER):
        is_new = write_once(path, env_template(procedure, path.name).encode(), mode=0o600)
    if not is_new:
        raise SettingsError(f"{path} already exists and was not changed.", next_step=_ANOTHER)
    return path


def _default_text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(value) if isinstance(value, tuple) else "" if value is None else str(value)
