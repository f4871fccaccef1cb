"""The command `archive`: copy evidence to an archive, and verify the copy."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from runbook_lib.cli.evidence_options import ARCHIVE_SECONDS, transfer_limits
from runbook_lib.cli.options import CONNECTOR, ENV_FILE, JSON
from runbook_lib.cli.plain_output import say
from runbook_lib.errors import (
    ContentError,
    EvidenceError,
    ExitCode,
    SettingsError,
    StoreUnavailableError,
    reason_of,
)
from runbook_lib.text import one_line


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option(
    "--to",
    "url",
    envvar="RUNBOOK_ARCHIVE",
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
    from runbook_lib.evidence.archive.archive import archive_bundle, check_apart, evidence_below
    from runbook_lib.evidence.archive.stores import Store

    values = load_runner_settings(connector, env_file).values
    url = url or str(values.get("archive", ""))
    seconds = int(str(values.get("archive_seconds", 0))) if seconds is None else seconds
    if not url:
        raise SettingsError("Name the archive with --to URL, or set RUNBOOK_ARCHIVE.")
    Store(url)  # refuses what is no address before anything is read
    contents = [evidence_below(Path(path)) for path in paths]
    bundles = [bundle for below, _ in contents for bundle in below]
    for home in {bundle.parent for bundle in bundles}:
        check_apart(url, home)
    errors: list[EvidenceError] = []

    def refuse(bundle: Path, error: EvidenceError) -> None:
        errors.append(error)
        document = {"outcome": "refused", "file": error.file, "reason": str(error)}
        _print_outcome(bundle, document, f"✘ {bundle.name}: {error}", as_json=as_json)

    for unreadable in (place for _, places in contents for place in places):
        refuse(unreadable.path, ContentError(unreadable.why, file=unreadable.name))
    for bundle in bundles:
        if errors and isinstance(errors[-1], StoreUnavailableError):
            _print_outcome(
                bundle, {"outcome": "not_tried"}, f"- {bundle.name}: not tried", as_json=as_json
            )
            continue
        try:
            done = archive_bundle(bundle, url, limits=transfer_limits(seconds))
        except EvidenceError as error:
            refuse(bundle, error)
        except SettingsError as error:
            refuse(bundle, ContentError(str(error), next_step=error.diagnostics()))
        except OSError as error:
            refuse(bundle, ContentError(f"It cannot be read: {reason_of(error)}."))
        else:
            outcome = {"outcome": "archived" if done.copied else "present"}
            line = f"✔ {done.address}: {done.copied} new, {done.present} already there"
            _print_outcome(bundle, {**outcome, **asdict(done)}, line, as_json=as_json)
    for advice in dict.fromkeys(error.diagnostics() for error in errors):
        say(f"Next: {advice}", is_error=True)
    sys.exit(max((error.exit_code for error in errors), default=ExitCode.COMPLETE))


def _print_outcome(bundle: Path, document: dict[str, Any], text: str, *, as_json: bool) -> None:
    """Print the outcome of a bundle."""
    is_archived = document["outcome"] in ("archived", "present")
    line = json.dumps({"path": str(bundle), "archived": is_archived, **document})
    click.echo(line if as_json else one_line(text))
