"""Options that several commands share: named, explained and read from the environment once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from runbook_lib.connectors.registry import DEFAULT
from runbook_lib.errors import SettingsError


def _option(name: str, text: str, **more: Any) -> Callable[[Any], Any]:
    """Return an option that the environment may give too: `--tenant` as RUNBOOK_TENANT."""
    variable = f"RUNBOOK_{name.upper().replace('-', '_')}"
    return click.option(f"--{name}", envvar=variable, default="", help=text, **more)


def _or_setting(ctx: click.Context, option: click.Parameter, value: str) -> str:
    """Return the given value, else that of the settings file; practice has its own file."""
    if value or ctx.params.get("scenario") or ctx.resilient_parsing:
        return value
    from runbook_lib.config.settings import own_setting

    return own_setting(str(option.name), ctx.params.get("env_file", ""))


def _or_readable_setting(ctx: click.Context, option: click.Parameter, value: str) -> str:
    """Return the same; nothing if the settings file cannot be read, which `doctor` reports."""
    with suppress(SettingsError):
        return _or_setting(ctx, option, value)
    return value


TENANT = _option(
    "tenant", "The tenant's name; the Service Domain if left out.", callback=_or_setting
)
# NOTE: read first, since it may set the others.
ENV_FILE = _option("env-file", "The settings file; .env here if left out.", is_eager=True)
CONNECTOR = _option(
    "connector",
    f"The connector to set up; {DEFAULT} if left out.",
    callback=lambda *arguments: _or_readable_setting(*arguments) or DEFAULT,
)
PRACTISED = _option("connector", "The connector to practise; any if left out.")
_EVIDENCE = "The folder of journals and evidence."
EVIDENCE = _option("evidence", _EVIDENCE, callback=_or_setting)
EVIDENCE_IF_READABLE = _option("evidence", _EVIDENCE, callback=_or_readable_setting)


def _note_json(ctx: click.Context, _option: click.Parameter, value: bool) -> bool:  # noqa: FBT001  (click calls it so)
    """Let the command's errors be JSON, too."""
    ctx.meta[AS_JSON] = value
    return value


# In `click.Context.meta`: whether the command prints JSON.
AS_JSON = "runbook_lib.as_json"
JSON = click.option(
    "--json",
    "as_json",
    is_flag=True,
    is_eager=True,
    callback=_note_json,
    help="Answer in JSON, for programs.",
)
FILE = click.argument("file", required=False, type=click.Path(path_type=Path))
VERBOSE = click.option("--verbose", "is_verbose", is_flag=True, help="Show every step in full.")
SET = click.option("--set", "given", multiple=True, metavar="NAME=VALUE", help="Set a parameter.")
SANDBOX = click.option(
    "--sandbox",
    "scenario",
    is_flag=False,
    flag_value="approved",
    default="",
    metavar="[SCENARIO]",
    help="Practise against the embedded sandbox.",
)


def tenant_options(command: Any) -> Any:
    """Add the options that name the connector, the tenant and the settings file."""
    return CONNECTOR(TENANT(ENV_FILE(command)))


def assignments(texts: Iterable[str]) -> dict[str, str]:
    """Return the values of `--set`, by name; raises `SettingsError` without an equals sign."""
    values = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise SettingsError("--set takes NAME=VALUE.")
        values[name.strip()] = value
    return values
