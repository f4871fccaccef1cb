"""The command `archive`: copy evidence to an archive, and verify the copy."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runbook_lib.cli.options import CONNECTOR, ENV_FILE, JSON
from runbook_lib.cli.plain_output import say
from runbook_lib.errors import (
    ArchiveError,
    ContentError,
    EvidenceError,
    ExitCode,
    SettingsError,
    StoreUnavailableError,
    reason_of,
)
from runbook_lib.text import one_line

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from runbook_lib.evidence.archive.archive import ArchivedBundle, TransferProgress
from runbook_lib.cli.evidence_options import ARCHIVE_SECONDS, transfer_limits


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option(
    "--to",
    "url",
    envvar="RUNBOOK_ARCHIVE",
    default="",
    metavar="URL",
    help="s3://…, gs://…, az://… or a folder; the archive in your settings if left out.",
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
    from runbook_lib.cli.terminal import progress_bar
    from runbook_lib.engine.tenant_run import load_runner_settings
    from runbook_lib.evidence.archive.archive import (
        archive_bundle,
        check_apart,
        check_archive,
        evidence_below,
    )

    values = load_runner_settings(connector, env_file).values
    url = url or str(values.get("archive", ""))
    seconds = int(str(values.get("archive_seconds", 0))) if seconds is None else seconds
    if not url:
        raise SettingsError("Name the archive with --to URL, or set RUNBOOK_ARCHIVE.")
    check_apart(url, map(Path, paths))
    contents = [evidence_below(Path(path)) for path in paths]
    bundles = [bundle for below, _ in contents for bundle in below]
    for home in {bundle.parent for bundle in bundles}:
        with suppress(ArchiveError):  # said of each bundle below
            check_archive(url, home)
    outcomes = _ArchiveOutcomes(as_json=as_json)
    for unreadable in (place for _, places in contents for place in places):
        outcomes.refuse(unreadable.path, ContentError(unreadable.why, file=unreadable.name))
    limits = transfer_limits(seconds)
    with progress_bar(is_error=True) as bar:
        task = bar.add_task("", total=None)
        for number, bundle in enumerate(bundles, 1):
            place = f"{number} of {len(bundles)}: {bundle.name}"
            show = partial(_show_progress, bar, task, place)
            copy = partial(archive_bundle, bundle, url, limits=limits, on_progress=show)
            outcomes.perform(bundle, copy)
    outcomes.advise()
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

    def advise(self) -> None:
        """Show the advice about refused bundles."""
        for advice in self.advice:
            say(f"Next: {advice}", is_error=True)

    def _show(self, bundle: Path, document: dict[str, Any], text: str) -> None:
        line = json.dumps({"path": str(bundle), **document})
        click.echo(line if self.as_json else one_line(text))


def _show_progress(bar: Progress, task: TaskID, place: str, progress: TransferProgress) -> None:
    """Show the file that is copied from the bundle at this place; on a terminal only."""
    name = progress.name.rpartition("/")[2]
    text = one_line(f"{place}/{name}, {progress.size:,} bytes")
    bar.update(task, total=progress.of, completed=progress.number - 1, description=text)
