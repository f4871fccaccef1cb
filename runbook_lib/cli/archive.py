"""The command `archive`: copy evidence to an archive, and verify the copy."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

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

if TYPE_CHECKING:
    from runbook_lib.evidence.archive.archive import ArchivedBundle
from runbook_lib.cli.evidence_options import ARCHIVE_SECONDS, transfer_limits


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

    values = load_runner_settings(connector, env_file).values
    url = url or str(values.get("archive", ""))
    seconds = int(str(values.get("archive_seconds", 0))) if seconds is None else seconds
    if not url:
        raise SettingsError("Name the archive with --to URL, or set RUNBOOK_ARCHIVE.")
    contents = [evidence_below(Path(path)) for path in paths]
    bundles = [bundle for below, _ in contents for bundle in below]
    for home in {bundle.parent for bundle in bundles}:
        check_apart(url, home)
    outcomes = _ArchiveOutcomes(as_json=as_json)
    for unreadable in (place for _, places in contents for place in places):
        outcomes.refuse(unreadable.path, ContentError(unreadable.why, file=unreadable.name))
    for bundle in bundles:
        outcomes.perform(
            bundle, partial(archive_bundle, bundle, url, limits=transfer_limits(seconds))
        )
    for advice in outcomes.advice:
        say(f"Next: {advice}", is_error=True)
    sys.exit(outcomes.code)


@dataclass
class _ArchiveOutcomes:
    """The outcome of each bundle, shown at once; the worst of them is the exit code."""

    as_json: bool
    code: ExitCode = ExitCode.COMPLETE
    is_over: bool = False
    advice: dict[str, None] = field(default_factory=dict)

    def perform(self, folder: Path, copy: Callable[[], ArchivedBundle]) -> None:
        """Copy a bundle, and show the outcome."""
        if self.is_over:
            reason = "It was not tried, because the archive cannot be used."
            document = {"archived": False, "outcome": "not_tried", "reason": reason}
            self._show(folder, document, f"- {folder.name}: not tried")
            return
        try:
            done = copy()
        except EvidenceError as error:
            self.refuse(folder, error)
        except SettingsError as error:
            self.refuse(folder, ContentError(str(error), next_step=error.diagnostics()))
        except OSError as error:
            reason = f"It cannot be read: {reason_of(error)}."
            self.refuse(folder, ContentError(reason))
        else:
            document = {"archived": True, "outcome": "archived" if done.copied else "present"}
            line = f"✔ {done.address}: {done.copied} new, {done.present} already there"
            self._show(folder, {**document, **asdict(done)}, line)

    def refuse(self, bundle: Path, error: EvidenceError) -> None:
        """Show the reason why `bundle` was refused."""
        document = {"archived": False, "outcome": "refused", "file": error.file}
        self._show(bundle, {**document, "reason": str(error)}, f"✘ {bundle.name}: {error}")
        self.code = max(self.code, error.exit_code)
        self.advice[error.diagnostics()] = None
        self.is_over = isinstance(error, StoreUnavailableError)

    def _show(self, bundle: Path, document: dict[str, Any], text: str) -> None:
        line = json.dumps({"path": str(bundle), **document})
        click.echo(line if self.as_json else one_line(text))
