"""Options that several commands share: named, explained and read from the environment once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

__all__ = ["CONNECTOR", "ENV_FILE", "EVIDENCE", "JSON", "TENANT"]


def _option(name: str, text: str) -> Callable[[Any], Any]:
    """Return an option that the environment may give too: `--tenant` as RUNBOOK_TENANT."""
    variable = f"RUNBOOK_{name.upper().replace('-', '_')}"
    return click.option(f"--{name}", envvar=variable, default="", help=text)


TENANT = _option("tenant", "Whose app this is; the Service Domain if left out.")
CONNECTOR = click.option(
    "--connector",
    default="facebook_marketing",
    show_default=True,
    help="The documented procedure, by its name.",
)
ENV_FILE = _option("env-file", "The settings file; the nearest .env if left out.")
EVIDENCE = _option("evidence", "The folder of journals and evidence.")
JSON = click.option("--json", "as_json", is_flag=True, help="Answer in JSON, for programs.")
