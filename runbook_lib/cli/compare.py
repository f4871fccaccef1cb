"""The command `compare`: compare a run's responses with the known shapes."""

from __future__ import annotations

import json
from pathlib import Path

import click

from runbook_lib.cli.options import JSON
from runbook_lib.cli.plain_output import say
from runbook_lib.errors import (
    SettingsError,
)


@click.command()
@click.argument("evidence", metavar="EVIDENCE")
@click.option("--write", "output", default="", metavar="FILE", help="Write the field report.")
@click.option("--issue", "is_issue", is_flag=True, help="Print a text for an issue; sends nothing.")
@JSON
def compare(*, evidence: str, output: str, is_issue: bool, as_json: bool) -> None:
    """
    Compare the responses of a run with those that the sandbox knows, in shape only.

    EVIDENCE is a bundle or a folder; in a folder the newest bundle counts. Nothing is sent, and no
    value of the run is shown.
    """
    import msgspec

    from runbook_lib.cli.comparison_output import issue_text, show_field_report
    from runbook_lib.engine.field_report import compare_record
    from runbook_lib.evidence.reports.sealed_record import sealed_record
    from runbook_lib.evidence.verify.discovery import newest_bundle

    folder = newest_bundle(Path(evidence))
    if folder is None:
        raise SettingsError(
            f"There is no bundle in {evidence}.",
            next_step="Name a bundle, or the evidence folder of a tenant.",
        )
    field_report = compare_record(sealed_record(folder))
    document = msgspec.to_builtins(field_report)
    if output:
        Path(output).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    if as_json:
        click.echo(json.dumps(document))
    elif is_issue:
        click.echo(issue_text(field_report))
    else:
        show_field_report(field_report, folder)
        if output:
            say(f"Read {output} before you send it to anybody.")
