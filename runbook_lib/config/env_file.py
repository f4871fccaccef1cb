"""The template of the settings file: every setting, with its explanation."""

from __future__ import annotations

from pathlib import Path
from textwrap import wrap

from runbook_lib.config.runner_inputs import EVIDENCE, IN_KERNEL, NOTIFY
from runbook_lib.core.files import write_once
from runbook_lib.core.procedure import Procedure
from runbook_lib.errors import SettingsError, reported_as

_HEAD = """\
# Settings of the runbook for the {title}. Fill in what you know, and leave the rest
# empty. Keep this file private: chmod 600 {name}
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
    first = next(item for item in procedure.inputs if item.secret)
    head = _HEAD.format(
        title=procedure.title,
        name=name,
        secret=first.variable,
        alone=first.variable_for(procedure.id),
    )
    sections = (
        ("Settings of the steps", procedure.inputs),
        ("Addresses and limits", (*procedure.settings[len(procedure.inputs) :], *IN_KERNEL)),
        ("Signing and archive of the evidence", EVIDENCE),
        ("Messages of a watch", NOTIFY),
    )
    parts = [head]
    for title, items in sections:
        parts.append(f"\n# --- {title} {'-' * (_WIDTH - len(title) - 7)}")
        for item in items:
            parts.append("")
            parts += [f"# {line}" for line in wrap(f"{item.label}: {item.help}", _WIDTH)]
            if item.example:
                parts.append(f"# For example: {item.example}")
            has_default = item.default is not None and item.default != ()
            parts.append(f"{'# ' if has_default else ''}{item.variable}={_text(item.default)}")
    return "\n".join(parts) + "\n"


def write_env_file(path: Path, procedure: Procedure) -> Path:
    """Write the template to `path` with mode 0600; raises `SettingsError` if `path` exists."""
    with reported_as(SettingsError, f"{path} cannot be written", next_step=_ANOTHER):
        is_new = write_once(path, env_template(procedure, path.name).encode(), mode=0o600)
    if not is_new:
        msg = f"{path} already exists and was not changed."
        raise SettingsError(msg, next_step=_ANOTHER)
    return path


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(value) if isinstance(value, tuple) else "" if value is None else str(value)
