"""The command `doctor`: examine this machine and its settings."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runbook_lib.cli.options import (
    CONNECTOR,
    ENV_FILE,
    EVIDENCE_IF_READABLE,
    FILE,
    JSON,
    SANDBOX,
)
from runbook_lib.connectors.registry import find_procedure
from runbook_lib.errors import SettingsError

if TYPE_CHECKING:
    from rich.text import Text

    from runbook_lib.engine.doctor import ExaminedItem


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
    from runbook_lib.operations.tenant_list import whole_tenants_file
    from runbook_lib.operations.watch.trial_messages import examine_messages

    if file and (scenario or not is_notify_test):
        raise SettingsError("FILE is for --notify-test, and not for --sandbox.")
    procedure = find_procedure(connector)
    tenants = whole_tenants_file(file) if file else ()
    with practice_settings(scenario, procedure, f"sandbox-{scenario}", options) as settings:
        examination = examine(procedure, **settings)
        if is_notify_test:
            messages = examine_messages(procedure, tenants, **settings)
            examination = replace(examination, items=(*examination.items, *messages))
    if as_json:
        click.echo(json.dumps([asdict(item) for item in examination.items]))
    else:
        rows = [
            ((_mark(item), line_of(item.subject)), [line_of(item.message)])
            for item in examination.items
        ]
        show_table("Is this machine ready?", ("", "What", "Found"), rows)
    sys.exit(examination.exit_code)


def _mark(item: ExaminedItem) -> Text:
    from rich.text import Text

    if item.is_warning:
        return Text("!", "yellow")
    return Text("✔", "green") if item.is_well else Text("✘", "red")
