"""The command `report`: build the report of a bundle or a run again."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from runbook_lib.cli.options import EVIDENCE, tenant_options
from runbook_lib.cli.plain_output import say
from runbook_lib.connectors.registry import find_procedure
from runbook_lib.errors import (
    SettingsError,
)


@click.command()
@click.argument("bundle", default="", metavar="[BUNDLE]")
@click.option("--output", default="", metavar="FILE", help="The file to write.")
@tenant_options
@EVIDENCE
def report(*, bundle: str, output: str, connector: str, **options: Any) -> None:
    """Build the report of BUNDLE again, or of the tenant's newest sealed run."""
    from runbook_lib.core.files import is_folder
    from runbook_lib.core.model import Mode
    from runbook_lib.engine.tenant_names import unknown_tenant
    from runbook_lib.engine.tenant_run import open_run
    from runbook_lib.evidence.chain import finish_interrupted
    from runbook_lib.evidence.journal_excerpt import report_entries
    from runbook_lib.evidence.reports.report import run_report
    from runbook_lib.evidence.reports.sealed_record import sealed_record

    if bundle:
        folder = Path(bundle)
        if not is_folder(folder):
            raise SettingsError(
                f"There is no bundle {bundle}.",
                next_step="Name the folder of a sealed run, or no folder for the tenant's newest "
                "one.",
            )
    else:
        opened = open_run(find_procedure(connector), {}, mode=Mode.HEADLESS, **options)
        if not opened.journal.path.exists():
            raise SettingsError(unknown_tenant(opened.tenant, str(opened.evidence)), next_step="")
        home = opened.journal.path.parent
        finish_interrupted(home)
        sealed = opened.history_reader.read().index.sealed
        if not sealed:
            raise SettingsError(
                f"There is no sealed run of {opened.tenant} in {home}.",
                next_step=f"Run: runbook run --tenant {opened.tenant}",
            )
        folder = home / sealed[-1].sealed.bundle
    record = sealed_record(folder)
    entries = report_entries(folder, record)
    page = run_report(record, entries, attachments=folder / "attachments")
    path = Path(output or f"{folder.resolve().name}.html")
    # NOTE: a named pipe that nobody reads would be waited for; a device or a pipe may be meant.
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NONBLOCK
    with os.fdopen(os.open(path, flags, 0o666), "w", encoding="utf-8") as file:
        os.set_blocking(file.fileno(), True)
        file.write(page)
    say(f"Read {path}")
