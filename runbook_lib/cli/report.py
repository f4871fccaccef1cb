"""The command `report`: build the report of a bundle or a run again."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runbook_lib.cli.options import EVIDENCE, tenant_options
from runbook_lib.cli.plain_output import say
from runbook_lib.connectors.registry import find_procedure
from runbook_lib.errors import (
    SettingsError,
)

if TYPE_CHECKING:
    from runbook_lib.run.forecast import Forecast
    from runbook_lib.run.state import RunState


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
    from runbook_lib.evidence.reports.report import run_report
    from runbook_lib.evidence.reports.sealed_record import sealed_lines, sealed_record
    from runbook_lib.evidence.sealing import announced_bundles

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
        sealed = announced_bundles(opened.journal)
        if not sealed:
            raise SettingsError(
                f"There is no sealed run of {opened.tenant} in {opened.home}.",
                next_step=f"Run: runbook run --tenant {opened.tenant}",
            )
        folder = opened.home / sealed[-1].bundle
    record = sealed_record(folder)
    page = run_report(
        record,
        sealed_lines(folder),
        attachments=folder / "attachments",
        forecast=_forecast_of(record),
    )
    path = Path(output or f"{folder.resolve().name}.html")
    # NOTE: a named pipe that nobody reads would be waited for; a device or a pipe may be meant.
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NONBLOCK
    with os.fdopen(os.open(path, flags, 0o666), "w", encoding="utf-8") as file:
        os.set_blocking(file.fileno(), True)
        file.write(page)
    say(f"Read {path}")


def _forecast_of(record: RunState) -> Forecast | None:
    """Return the forecast of a run; `None` if its procedure is not installed, or another one."""
    from runbook_lib.run.forecast import make_forecast

    try:
        procedure = find_procedure(record.procedure.id)
    except SettingsError:
        return None
    if procedure.digest != record.procedure.digest:
        return None
    return make_forecast(record, procedure, (record.finished_on or record.started_on)[:10])
