"""A run in the terminal, while it is under way and at its end."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

import click

from runbook_lib.cli.plain_output import say
from runbook_lib.cli.terminal import (
    ProgressDisplay,
    progress,
    show_next,
    show_open,
    show_steps,
    this_program,
)
from runbook_lib.engine.headless import RunListener, RunResult
from runbook_lib.evidence.signing.keys import PUBLIC_SUFFIX, own_public_keys
from runbook_lib.text import escaped_json

if TYPE_CHECKING:
    from runbook_lib.engine.run_view import RunView


class RunDisplay(RunListener, ExitStack):
    """Shows a run in the terminal while it is under way; only its result with `as_json`."""

    def __init__(self, *, as_json: bool, is_verbose: bool) -> None:
        super().__init__()
        self._as_json = as_json
        self._is_verbose = is_verbose
        self._progress: ProgressDisplay | None = None
        self.run: RunView | None = None

    def on_wait(self, reason: str) -> None:
        """Show why the run is waiting."""
        say(reason, is_error=True)

    def on_start(self, run: RunView) -> None:
        """Show the tenant and the run, the warnings about its values, and a bar."""
        self.run = run
        for label, doubt in run.procedure.doubts(run.values).items():
            say(f"! {label}: {doubt}", is_error=True)
        if not self._as_json:
            label = "SANDBOX: practice, nothing is real" if run.is_sandbox else "LIVE"
            details = f"tenant {run.tenant} · run {run.run_id}"
            click.echo(f"{label} · {run.procedure.title} · {details}")
        self._progress = self.enter_context(progress(run.procedure, is_quiet=self._as_json))

    def on_progress(self, run: RunView) -> None:
        """Move the bar."""
        if self._progress is not None:
            self._progress.update(run.state)

    def on_sealed(self, result: RunResult) -> None:
        """Show the folder of the evidence."""
        self.close()
        sealed = result.sealed
        if self._as_json:
            record = (sealed.folder / "record.json").read_text(encoding="utf-8")
            click.echo(escaped_json(record), nl=False)
        else:
            click.echo()
            if result.broken:
                say(f"The notebook stopped early: {result.broken}.", is_error=True)
            say(f"Sealed as number {sealed.sequence} of its chain: {sealed.folder}")
            say(f"Read {sealed.folder / 'report.html'}; signed by the key {result.key_id[:16]}.")
            home = sealed.folder.parent
            key = own_public_keys() / f"{result.key_id}{PUBLIC_SUFFIX}"
            command = shlex.join(["verify", "--key", str(key), str(home)])
            say(f"Verify it: {this_program()} {command}")
            if self.run is not None and not self.run.is_sandbox:
                command = shlex.join(["compare", str(sealed.folder)])
                say(f"Compare its responses with the sandbox's: {this_program()} {command}")
        if sealed.unstamped:
            refused = "`verify` with --tsa-certificate will refuse this run."
            say(f"No time-stamp: {sealed.unstamped} {refused}", is_error=True)

    def show_result(self, result: RunResult, *, options: Sequence[str], ended: bool) -> None:
        """
        Show the outcome of the run, and what comes next.

        `options` name its tenant to another command; `ended` says that its sandbox has ended.
        """
        if self._as_json or self.run is None:
            return
        say(f"Show this again: {this_program()} status {shlex.join(options)}".rstrip())
        click.echo()
        procedure = self.run.procedure
        show = show_steps if self._is_verbose else show_open
        show(result.state, procedure)
        show_next(result.state, procedure, {} if ended else self.run.link_values)


def show_archived(result: RunResult, *, as_json: bool) -> None:
    """Show the archive with the copy of the evidence, or why nothing was archived."""
    error = result.archive_error
    if error is not None:
        say(f"Not archived: {error}", is_error=True)
        say(f"Next: {error.diagnostics()}", is_error=True)
        again = f"runbook archive {result.sealed.folder} --to {result.archive_address}"
        say(f"      {again}", is_error=True)
    elif result.archived and not as_json:
        say(f"Archived: {result.archived}")
