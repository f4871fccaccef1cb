"""What the terminal shows of a run, while it is under way and at its end."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import click

from runbook_lib.cli.terminal import ProgressDisplay, progress, say, show_steps
from runbook_lib.core.procedure import WordKind
from runbook_lib.engine.headless import RunListener, RunResult
from runbook_lib.plain_text import escaped_json, one_line

if TYPE_CHECKING:
    from runbook_lib.core.procedure import Word
    from runbook_lib.core.state import RunState
    from runbook_lib.engine.run import Run

__all__ = ["RunDisplay", "show_archived"]


class RunDisplay(RunListener):
    """Shows a run in the terminal while it is under way; only its result with `as_json`."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._stack = ExitStack()
        self._progress: ProgressDisplay | None = None

    def __enter__(self) -> RunDisplay:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def on_wait(self, said: str) -> None:
        """Say why the run does not go on yet."""
        click.echo(one_line(said), err=True)

    def on_answers(self, words: list[Word]) -> None:
        """Show what the developer tools' answers say; nobody's name stands for it."""
        for word in words:
            mark = "✘" if word.kind is WordKind.CONTRADICTED else "·"
            say(f"{mark} {word.step}: {word.note}", is_error=True)
        say("Shown, not counted: name who brings them with --by.", is_error=True)

    def on_start(self, run: Run) -> None:
        """Show whose run it is, and a bar."""
        if not self._as_json:
            click.echo(_banner(run))
        self._progress = self._stack.enter_context(
            progress(len(run.procedure.steps), is_quiet=self._as_json)
        )

    def on_progress(self, state: RunState) -> None:
        """Move the bar."""
        if self._progress is not None:
            self._progress.update(state)

    def on_sealed(self, result: RunResult) -> None:
        """Show what the run came to, and where the evidence is."""
        self._stack.close()
        sealed = result.sealed
        if self._as_json:
            record = (sealed.folder / "record.json").read_text(encoding="utf-8")
            click.echo(escaped_json(record), nl=False)
        else:
            click.echo()
            show_steps(result.state)
            if result.broken:
                say(f"The notebook broke off: {result.broken}.", is_error=True)
            click.echo()
            say(f"Sealed as number {sealed.sequence} of its chain: {sealed.folder}")
            say(f"Read {sealed.folder / 'report.html'}; signed by the key {result.key_id[:16]}.")
        if sealed.unstamped:
            say(f"No time-stamp: {sealed.unstamped}", is_error=True)


def show_archived(result: RunResult, *, as_json: bool) -> None:
    """Show where the evidence was copied to, or why it was not."""
    error = result.archive_error
    if error is not None:
        say(f"Not archived: {error}", is_error=True)
        say(f"Next: {error.diagnostics()}", is_error=True)
        again = f"runbook archive {result.sealed.folder} --to {result.archive_address}"
        say(f"      {again}", is_error=True)
    elif result.archived and not as_json:
        say(f"Archived: {result.archived}")


def _banner(opened: Run) -> str:
    where = "SANDBOX: practice, nothing of this is real" if opened.is_sandbox else "PRODUCTION"
    about = f"tenant {opened.tenant} · run {opened.run_id}"
    return f"{where} · {opened.procedure.title} · {about}"
