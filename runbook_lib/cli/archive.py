"""The command `archive`: copy evidence to an archive, and verify the copy."""

from __future__ import annotations

import json
import sys
from itertools import chain
from pathlib import Path

import click

from runbook_lib.cli.evidence_options import ARCHIVE_SECONDS, open_store
from runbook_lib.cli.options import CONNECTOR, ENV_FILE, JSON
from runbook_lib.cli.plain_output import say
from runbook_lib.errors import EvidenceError, ExitCode, SettingsError, StoreUnavailableError
from runbook_lib.text import one_line


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option(
    "--to",
    "url",
    default="",
    metavar="URL",
    help="A folder, s3://…, gs://…, az://… or sftp://…; your settings' archive if left out.",
)
@ARCHIVE_SECONDS
@CONNECTOR
@ENV_FILE
@JSON
def archive(
    *,
    paths: tuple[str, ...],
    url: str,
    seconds: int | None,
    connector: str,
    env_file: str,
    as_json: bool,
) -> None:
    """
    Copy sealed evidence to an archive: a bundle, or all bundles of a folder.

    Run it again to resume an interrupted copy.
    """
    from runbook_lib.engine.tenant_run import load_runner_settings
    from runbook_lib.evidence.archive.archive import archive_bundle
    from runbook_lib.evidence.verify.tree import verify_tree

    values = load_runner_settings(connector, env_file).values
    url = url or str(values.get("archive", ""))
    if not url:
        raise SettingsError("Name the archive with --to URL, or set RUNBOOK_ARCHIVE.")
    store = open_store(url, seconds or int(str(values.get("archive_seconds", 0))))
    errors: list[EvidenceError] = []
    for verdict in chain.from_iterable(map(verify_tree, map(Path, paths))):
        if not (verdict.error or verdict.verified):
            continue  # a chain without a fault
        row = {"path": str(verdict.path)}
        try:
            address = archive_bundle(verdict, store)
            row |= {"outcome": "archived", "address": address}
            text = f"✔ {address}"
        except EvidenceError as error:
            errors.append(error)
            row |= {"outcome": "refused", "file": error.file, "reason": str(error)}
            text = f"✘ {verdict.path.name}: {error}"
        click.echo(json.dumps(row) if as_json else one_line(text))
        if errors and isinstance(errors[-1], StoreUnavailableError):
            break
    for advice in dict.fromkeys(error.diagnostics() for error in errors):
        say(f"Next: {advice}", is_error=True)
    sys.exit(max((error.exit_code for error in errors), default=ExitCode.COMPLETE))
