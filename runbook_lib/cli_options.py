"""Options that several commands share: named, explained and read from the environment once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from runbook_lib.settings import own_setting

__all__ = ["CONNECTOR", "ENV_FILE", "EVIDENCE", "JSON", "TENANT"]


def _option(name: str, text: str, **more: Any) -> Callable[[Any], Any]:
    """Return an option that the environment may give too: `--tenant` as RUNBOOK_TENANT."""
    variable = f"RUNBOOK_{name.upper().replace('-', '_')}"
    return click.option(f"--{name}", envvar=variable, default="", help=text, **more)


def _or_setting(ctx: click.Context, option: click.Parameter, value: str) -> str:
    """Return what was given, else what the settings file says; practice has a file of its own."""
    if value or ctx.params.get("scenario") or ctx.resilient_parsing:
        return value
    return own_setting(str(option.name), ctx.params.get("env_file", ""))


TENANT = _option(
    "tenant", "Whose app this is; the Service Domain if left out.", callback=_or_setting
)
CONNECTOR = click.option(
    "--connector",
    default="facebook_marketing",
    show_default=True,
    help="The documented procedure, by its name.",
)
# NOTE: read first, since others may stand in it.
ENV_FILE = _option("env-file", "The settings file; the nearest .env if left out.", is_eager=True)
EVIDENCE = _option("evidence", "The folder of journals and evidence.", callback=_or_setting)
JSON = click.option("--json", "as_json", is_flag=True, help="Answer in JSON, for programs.")
