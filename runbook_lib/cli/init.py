"""The command `init`: write a settings file to fill in."""

from __future__ import annotations

from pathlib import Path

import click

from runbook_lib.cli.options import (
    CONNECTOR,
)
from runbook_lib.connectors.registry import find_procedure


@click.command()
@CONNECTOR
@click.option(
    "--output", default=".env", show_default=True, metavar="FILE", help="The file to write."
)
def init(*, connector: str, output: str) -> None:
    """Write a settings file for you to fill in, with every setting that the connector needs."""
    from runbook_lib.config.env_file import write_env_file

    path = write_env_file(Path(output), find_procedure(connector))
    click.echo(f"Written: {path}. Fill in what you know; `runbook doctor` checks it.")
