"""
What a person sees in a terminal: live progress, the table of steps, the next step.

Only the layout is decided here.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from runbook_lib.core.outcome import ICONS, LABELS
from runbook_lib.core.procedure import Outcome
from runbook_lib.core.state import RunOutcome, RunState, StepState
from runbook_lib.evidence.reports.wording import with_times
from runbook_lib.plain_text import one_line

if TYPE_CHECKING:
    from rich.progress import Progress

    from runbook_lib.evidence.verify.chain import Verdict
    from runbook_lib.evidence.verify.verify import Verified

__all__ = [
    "ProgressDisplay",
    "one_line",
    "plain_cell",
    "progress",
    "say",
    "show_again",
    "show_steps",
    "show_table",
    "show_verdict",
]

_STYLES = {
    Outcome.VERIFIED: "green",
    Outcome.ATTESTED: "blue",
    Outcome.WAITING: "yellow",
    Outcome.INCONCLUSIVE: "yellow",
    Outcome.FAILED: "bold red",
    Outcome.SKIPPED: "dim",
    Outcome.NOT_RUN: "dim",
}
_LOG_WIDTH = 120
_OUTCOME_STYLES = {
    RunOutcome.COMPLETE: "bold green",
    RunOutcome.FAILED: "bold red",
    RunOutcome.INCOMPLETE: "bold yellow",
}


class ProgressDisplay:
    """A bar that moves as steps are checked, with a line for each above it."""

    def __init__(self, bar: Progress, total: int) -> None:
        self._bar = bar
        self._task = bar.add_task("starting", total=total)
        self._shown: set[str] = set()

    def update(self, state: RunState) -> None:
        """Show what has changed since the last call."""
        for step in state.steps.values():
            if step.checked_on and step.step.id not in self._shown:
                self._shown.add(step.step.id)
                self._bar.console.print(_line(step), highlight=False)
        waiting = (step.step.title for step in state.steps.values() if not step.checked_on)
        self._bar.update(
            self._task, completed=len(self._shown), description=plain_cell(next(waiting, "sealing"))
        )


@contextmanager
def progress(total: int, *, is_quiet: bool) -> Iterator[ProgressDisplay]:
    """Give a display for `total` steps; nothing is drawn where `is_quiet`."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
    )

    console = Console(quiet=is_quiet)
    bar = Progress(
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
        console=console,
        transient=True,
        # NOTE: it draws from a thread of its own; in a log there is nothing to redraw.
        auto_refresh=console.is_terminal and not is_quiet,
    )
    with bar:
        yield ProgressDisplay(bar, total)


def show_steps(state: RunState, *, title: str = "") -> None:
    """Print the table of steps, and the outcome of the run."""
    rows = [
        (
            str(number),
            plain_cell(step.step.id),
            f"[{_STYLES[step.conclusion.outcome]}]{_marked(step.conclusion.outcome)}[/]",
            plain_cell(with_times(step.conclusion.reason))
            + "".join(f"\n[yellow]! {plain_cell(text)}[/]" for text in _warnings(step)),
        )
        for number, step in enumerate(state.steps.values(), 1)
    ]
    show_table(title, ("", "Step", "Outcome", "Reason"), rows)
    counts = Counter(step.conclusion.outcome for step in state.steps.values())
    said = " · ".join(
        f"{counts[outcome]} {LABELS[outcome]}" for outcome in Outcome if counts[outcome]
    )
    _console().print(f"[{_OUTCOME_STYLES[state.outcome]}]{state.outcome.upper()}[/] {said}")


def show_again(state: RunState) -> None:
    """Print which steps must be done again because something that they are about has changed."""
    steps = [step for step in state.steps.values() if step.again]
    if steps:
        numbered = (f"{plain_cell(step.step.title)} ({plain_cell(step.step.id)})" for step in steps)
        _console().print("\n".join(["", "To do again:", *(f"- {each}" for each in numbered)]))


def show_table(title: str, head: Iterable[str], rows: Iterable[tuple[str, ...]]) -> None:
    """Print a table whose last column wraps; cells are rich markup."""
    table = Table(
        title=plain_cell(title) or None, title_justify="left", box=None, padding=(0, 2, 0, 0)
    )
    names = list(head)
    for name in names:
        is_last = name == names[-1]
        table.add_column(name, no_wrap=not is_last, ratio=1 if is_last else None, overflow="fold")
    for row in rows:
        table.add_row(*row)
    _console().print(table, highlight=False)


def show_verdict(verdict: Verdict) -> None:
    """Print the verdict on a bundle or a tenant's chain in one line, with notes below."""
    is_chain = verdict.verified is None and verdict.error is None
    name = plain_cell("/".join(verdict.path.parts[-2 if is_chain else -3 :]))
    notes = verdict.notes
    if verdict.error is not None:
        said = f"[red]✘[/] {name}: {plain_cell(str(verdict.error))}"
    elif verdict.verified is not None:
        said = f"[green]✔[/] {name}: {_proven(verdict.verified)}"
        notes = verdict.verified.notes
    elif verdict.is_unsealed:
        said, notes = f"- {name}: nothing sealed yet", ()
    else:
        said = f"[green]✔[/] {name}: {verdict.length} in a chain{', none missing' * (not notes)}"
    lines = [said, *(f"  [yellow]! {plain_cell(note)}[/]" for note in notes)]
    _console().print("\n".join(lines), highlight=False, soft_wrap=True)


def _proven(verified: Verified) -> str:
    run = verified.run
    steps = run["outcomes"]
    words = [
        *(["[bold yellow]SANDBOX[/]"] if run["sandbox"] else []),
        f"[{_OUTCOME_STYLES[run['outcome']]}]{run['outcome']}[/]",
        *(f"{len(steps[outcome])} {LABELS[outcome]}" for outcome in Outcome if steps[outcome]),
        f"number {verified.link.sequence}",
        f"key {verified.key_id[:8]}",
        *([f"stamped {verified.stamped_on}"] if verified.stamped_on else []),
    ]
    return " · ".join(words)


def say(text: str, *, is_error: bool = False) -> None:
    """Print one line, which may contain text of a file or remote system."""
    click.echo(one_line(text), err=is_error)


def plain_cell(text: str) -> str:
    """Return text of a file or remote system, safe inside rich markup."""
    return escape(one_line(text))


def _console() -> Console:
    """Return the terminal; where there is none (a log, CI), lines may be wider."""
    console = Console()
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _LOG_WIDTH
    return console


def _line(step: StepState) -> str:
    outcome = step.conclusion.outcome
    return f"[{_STYLES[outcome]}]{_marked(outcome):22}[/] {plain_cell(step.step.title)}"


def _marked(outcome: Outcome) -> str:
    return f"{ICONS[outcome]} {LABELS[outcome]}"


def _warnings(step: StepState) -> list[str]:
    return [*step.remarks, *(text for finding in step.findings for text in finding.warnings)]
