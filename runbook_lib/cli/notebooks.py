"""The command `notebooks`: build the notebooks, or list the stale ones."""

from __future__ import annotations

import sys

import click

from runbook_lib.cli.plain_output import say
from runbook_lib.connectors.registry import connector_names, find_procedure, load_texts
from runbook_lib.errors import ExitCode, SettingsError


@click.command()
@click.option("--check", is_flag=True, help="Only list notebooks that are out of date.")
@click.option("--connector", default="", help="Only this connector's notebook.")
def notebooks(*, check: bool, connector: str) -> None:
    """Build the notebook of each connector from its procedure."""
    from runbook_lib.config.workspace import project_folder
    from runbook_lib.engine.notebooks import build_notebook, is_stale, notebook_name

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
        path = folder / notebook_name(procedure) if check else build_notebook(procedure, folder)
        click.echo(f"{'stale' if check else 'built'}: {path.name}")
    for problem in dict.fromkeys(map(str, broken)):
        say(f"runbook: {problem}", is_error=True)
    if broken:
        say(f"Next: {broken[0].diagnostics()}", is_error=True)
        sys.exit(ExitCode.USAGE)
    sys.exit(ExitCode.FAILED if check and stale else ExitCode.COMPLETE)
