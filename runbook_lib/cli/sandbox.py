"""The command `sandbox`: serve the remote systems on this machine, for practice."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from runbook_lib.cli.options import (
    JSON,
    PRACTISED,
)
from runbook_lib.connectors.registry import DEFAULT, find_procedure

_HIGHEST_PORT = 65_530


@click.command()
@click.option("--scenario", default="approved", show_default=True, help="The scenario to practise.")
@click.option(
    "--port",
    type=click.IntRange(0, _HIGHEST_PORT),
    default=0,
    help="The first port; each site gets one. Free ports if left out.",
)
@click.option(
    "--write-env",
    "env_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Also write a new settings file, with which a notebook or script of yours practises.",
)
@PRACTISED
@JSON
def sandbox(
    scenario: str, port: int, *, env_file: Path | None, connector: str, as_json: bool
) -> None:
    """Serve the remote systems on loopback, for practice and tests."""
    from runbook_lib.engine.practice import require_scenario, serve_until_interrupted

    def announce(description: Mapping[str, Any]) -> None:
        if as_json:
            click.echo(json.dumps(dict(description)))
            return
        click.echo("SANDBOX: imitates the remote systems. Press Ctrl+C to stop.\n")
        for name, value in description.items():
            click.echo(f"  {name:24} {value}")

    if connector:
        require_scenario(scenario, find_procedure(connector))
    procedure = find_procedure(connector or DEFAULT)
    serve_until_interrupted(scenario, port, announce, env_file=env_file, procedure=procedure)
