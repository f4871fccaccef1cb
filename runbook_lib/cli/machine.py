"""
The commands that prepare and examine this machine.

`notebooks`, `init`, `sandbox`, `doctor`: none of them touches a tenant's evidence.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runbook_lib.cli.options import (
    CONNECTOR,
    ENV_FILE,
    EVIDENCE_IF_READABLE,
    FILE,
    JSON,
    PRACTISED,
    SANDBOX,
)
from runbook_lib.cli.paragraphs import say
from runbook_lib.connectors.registry import connector_names, find_procedure, load_texts
from runbook_lib.errors import ExitCode, SettingsError

if TYPE_CHECKING:
    from rich.text import Text

    from runbook_lib.engine.doctor import Symptom


_HIGHEST_PORT = 65_530


@click.command()
@click.option("--check", is_flag=True, help="Only list notebooks that are out of date.")
@click.option("--connector", default="", help="Only this connector's notebook.")
def notebooks(*, check: bool, connector: str) -> None:
    """Build the notebook of each connector from its procedure."""
    from runbook_lib.config.workspace import project_folder
    from runbook_lib.engine.notebooks import build, is_stale, notebook_name

    folder = project_folder() / "notebooks"
    names = (connector,) if connector else connector_names()
    procedures = []
    broken = list[SettingsError]()
    for name in names:
        try:
            load_texts([name])
            procedures.append(find_procedure(name))
        except SettingsError as error:
            if len(names) == 1:
                raise
            broken.append(error)
    stale = [
        procedure
        for procedure in procedures
        if is_stale(procedure, folder / notebook_name(procedure))
    ]
    for procedure in stale if check else procedures:
        path = folder / notebook_name(procedure) if check else build(procedure, folder)
        click.echo(f"{'stale' if check else 'built'}: {path.name}")
    for problem in dict.fromkeys(map(str, broken)):
        say(f"runbook: {problem}", is_error=True)
    if broken:
        say(f"Next: {broken[0].diagnostics()}", is_error=True)
        sys.exit(ExitCode.USAGE)
    sys.exit(ExitCode.FAILED if check and stale else ExitCode.COMPLETE)


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


@click.command()
@click.option("--scenario", default="approved", show_default=True, help="The scenario to practise.")
@click.option(
    "--port",
    type=click.IntRange(0, _HIGHEST_PORT),
    default=0,
    help="The first port; each site gets one. Free ports if left out.",
)
@PRACTISED
@JSON
def sandbox(scenario: str, port: int, *, connector: str, as_json: bool) -> None:
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
    serve_until_interrupted(scenario, port, announce)


@click.command()
@FILE
@SANDBOX
@CONNECTOR
@ENV_FILE
@EVIDENCE_IF_READABLE
@click.option(
    "--notify-test", "is_notify_test", is_flag=True, help="Also send a test message of the watch."
)
@JSON
def doctor(
    *,
    file: Path | None,
    scenario: str,
    connector: str,
    is_notify_test: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """
    Check whether this machine, its .env and its network are ready.

    With FILE and --notify-test, each receiver of the FILE's tenants gets a test message.
    """
    from runbook_lib.cli.terminal import line_of, show_table
    from runbook_lib.engine.doctor import examine
    from runbook_lib.engine.practice import practice_settings
    from runbook_lib.engine.tenant_list import whole_tenants_file

    if file and (scenario or not is_notify_test):
        raise SettingsError("FILE is for --notify-test, and not for --sandbox.")
    procedure = find_procedure(connector)
    tenants = whole_tenants_file(file) if file else ()
    with practice_settings(scenario, procedure, f"sandbox-{scenario}", options) as settings:
        examination = examine(procedure, is_notify_test=is_notify_test, tenants=tenants, **settings)
    if as_json:
        click.echo(json.dumps([asdict(symptom) for symptom in examination.symptoms]))
    else:
        rows = [
            ((_mark(symptom), line_of(symptom.subject)), [line_of(symptom.message)])
            for symptom in examination.symptoms
        ]
        show_table("Is this machine ready?", ("", "What", "Found"), rows)
    sys.exit(examination.exit_code)


def _mark(symptom: Symptom) -> Text:
    from rich.text import Text

    if symptom.is_warning:
        return Text("!", "yellow")
    return Text("✔", "green") if symptom.is_well else Text("✘", "red")


MACHINE_COMMANDS = (notebooks, init, sandbox, doctor)
