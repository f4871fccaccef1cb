"""The command `lab`: open the walkthrough, for real or for practice."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from runbook_lib.cli.options import EVIDENCE, SANDBOX, tenant_options
from runbook_lib.cli.plain_output import say_package, say_settings, say_where
from runbook_lib.connectors.registry import find_procedure
from runbook_lib.errors import SettingsError

# JupyterLab's options that most people use: it is not loaded to look them up.
_USUAL = ("--port", "--ip", "--no-browser", "--debug")


@click.command(context_settings={"ignore_unknown_options": True})
@SANDBOX
@click.option("--app", "is_app", is_flag=True, help="Show the walkthrough without code (voila).")
@tenant_options
@EVIDENCE
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def lab(*, scenario: str, connector: str, env_file: str, evidence: str, **options: Any) -> None:
    """Open the walkthrough in JupyterLab, and pass other options on to JupyterLab."""
    from runbook_lib.cli.terminal import this_program
    from runbook_lib.config.workspace import evidence_folder
    from runbook_lib.walkthrough.lab import LabRequest, open_lab, practise_in_lab

    _refuse_misspelt(options["arguments"])
    say_package(connector)
    request = LabRequest(
        procedure=find_procedure(connector),
        evidence=str(evidence_folder(evidence).absolute()),
        env_file=str(Path(env_file).absolute()) if env_file else "",
        program=this_program(),
        **options,
    )
    say_where(evidence)
    say = lambda text: click.echo(text, err=True)  # noqa: E731
    if scenario:
        sys.exit(practise_in_lab(scenario, request, say=say))
    say_settings(env_file)
    ask = click.prompt if _is_a_person_there() else None
    sys.exit(open_lab(request, say=say, ask=ask))


def _refuse_misspelt(arguments: Sequence[str]) -> None:
    """
    Refuse an option that neither `lab` nor JupyterLab has.

    JupyterLab takes its own options, and any trait as `--Class.trait=value`.
    """
    named = [argument.partition("=")[0] for argument in arguments if argument.startswith("--")]
    named = [name for name in named if "." not in name and name not in _USUAL]
    if not named:
        return
    from jupyterlab.labapp import LabApp

    from runbook_lib.config.settings import suggestion

    theirs = {f"--{name}" for name in (*LabApp.aliases, *LabApp.flags)}
    own = [name for option in lab.params for name in option.opts if name.startswith("--")]
    for name in named:
        if name not in theirs:
            raise SettingsError(
                f"There is no option {name}.{suggestion(name, [*own, *theirs])}",
                next_step="`runbook lab --help` lists the options here, `jupyter lab --help` "
                "JupyterLab's.",
            )


def _is_a_person_there() -> bool:
    return sys.stdin.isatty()
