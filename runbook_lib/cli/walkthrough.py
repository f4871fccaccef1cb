"""The command `lab`: open the walkthrough, for real or for practice."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from runbook_lib.cli.options import EVIDENCE, SANDBOX, tenant_options
from runbook_lib.connectors.registry import find_procedure


@click.command(context_settings={"ignore_unknown_options": True})
@SANDBOX
@click.option("--app", "is_app", is_flag=True, help="Show the walkthrough without code (voila).")
@tenant_options
@EVIDENCE
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def lab(*, scenario: str, connector: str, env_file: str, evidence: str, **options: Any) -> None:
    """Open the walkthrough in JupyterLab, and pass other options on to JupyterLab."""
    from runbook_lib.config.workspace import evidence_folder
    from runbook_lib.walkthrough.lab import LabRequest, open_lab, practise_in_lab

    request = LabRequest(
        procedure=find_procedure(connector),
        evidence=str(evidence_folder(evidence).absolute()),
        env_file=str(Path(env_file).absolute()) if env_file else "",
        **options,
    )
    say = lambda text: click.echo(text, err=True)  # noqa: E731
    if scenario:
        sys.exit(practise_in_lab(scenario, request, say=say))
    ask = click.prompt if _is_a_person_there() else None
    sys.exit(open_lab(request, say=say, ask=ask))


def _is_a_person_there() -> bool:
    return sys.stdin.isatty()
