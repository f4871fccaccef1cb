"""
Layout of the terminal: live progress, the table of steps, the next step.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from runbook_lib.cli.plain_output import NARROWEST, columns, say, show_paragraph, wrapped
from runbook_lib.core.model import Outcome, RunOutcome
from runbook_lib.core.outcome import CARRIED, ICONS, LABELS, OUTCOMES, label_of, tally
from runbook_lib.core.procedure import Procedure, Step
from runbook_lib.evidence.reports.phrases import day, when, with_times
from runbook_lib.run.advice import blockers_by_step, next_step
from runbook_lib.run.state import RunState, StepState
from runbook_lib.text import one_line, pluralize

if TYPE_CHECKING:
    from runbook_lib.core.model import Value
    from runbook_lib.evidence.verify.fleet_count import FleetVerdict
    from runbook_lib.evidence.verify.verify import Verdict, VerifiedBundle
    from runbook_lib.run.forecast import Forecast


_GAP = 2
_NEXT = "Next: "
# Replaces a blank that must not end a line; no outcome's label contains it.
_NO_BREAK = "_"
# In a line for an open step: the width before the title, and the title's share of the width.
_NUMBER_WIDTH = len("✘ 12a")
_TITLE_PART = 0.55

_RUN_STYLES = {
    RunOutcome.COMPLETE: "bold green",
    RunOutcome.FAILED: "bold red",
    RunOutcome.INCOMPLETE: "bold yellow",
}


_SANDBOX = Text("SANDBOX", "bold yellow")


def line_of(text: str, style: str = "") -> Text:
    """Return `text` as one line without control characters, never as markup."""
    return Text(one_line(text), style)


class ProgressDisplay:
    """A line for each step that was checked; on a terminal, a bar that moves below them."""

    def __init__(self, procedure: Procedure, *, bar: Progress | None, is_quiet: bool) -> None:
        self._procedure = procedure
        self._bar = bar
        self._is_quiet = is_quiet
        self._task = bar.add_task("starting", total=len(procedure.steps)) if bar else None
        self._shown: set[str] = set()

    def update(self, state: RunState) -> None:
        """Show the changes since the last call."""
        is_reached = True
        for step in state.steps:
            # One that rests on an earlier run is not checked: it follows the one before it.
            is_reached = bool(step.checked_on or (step.verified_on and is_reached))
            if is_reached and step.id not in self._shown:
                self._shown.add(step.id)
                self._print(step)
        if self._bar is not None and self._task is not None:
            waiting = (step.title for step in state.steps if step.id not in self._shown)
            following = one_line(next(waiting, "sealing"))
            self._bar.update(self._task, completed=len(self._shown), description=following)

    def _print(self, step: StepState) -> None:
        mark = _marked(step)
        mark.pad_right(22 - mark.cell_len)
        line = Text.assemble(mark, f" {step.number:3} ", line_of(step.title))
        if self._bar is not None:
            self._bar.console.print(line, no_wrap=True, overflow="ellipsis")
        elif not self._is_quiet:
            # NOTE: a log is searched later: for a step's id, and for why it is open.
            why = _why(step, self._procedure.step(step.id))
            end = "" if step.is_settled else f": {one_line(why)}"
            _print(Text.assemble(line, f" ({step.id}){end}"))


@contextmanager
def progress(procedure: Procedure, *, is_quiet: bool) -> Iterator[ProgressDisplay]:
    """Give a display for the steps of `procedure`; nothing is shown with `is_quiet`."""
    if is_quiet or not sys.stdout.isatty():
        yield ProgressDisplay(procedure, bar=None, is_quiet=is_quiet)
        return
    with progress_bar() as bar:
        yield ProgressDisplay(procedure, bar=bar, is_quiet=False)


def progress_bar(*, is_error: bool = False) -> Progress:
    """Return a bar with count, time and description; on a terminal only."""
    console = Console(stderr=is_error)
    return Progress(
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}", markup=False),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def show_steps(state: RunState, procedure: Procedure, *, title: str = "") -> None:
    """Print the table of all steps, and the outcome of the run."""
    rows = [
        (
            (line_of(step.number), line_of(step.id), _marked(step)),
            [
                line_of(_why(step, procedure.step(step.id))),
                *(line_of(f"! {text}", "yellow") for text in _warnings(step)),
                *(line_of(f"{note.by}, {when(note.at)}: {note.note}") for note in step.comments),
            ],
        )
        for step in state.steps
    ]
    show_table(title, ("", "Step", "Outcome", "Reason (times are UTC)"), rows)
    _show_outcome(state)


def show_open(state: RunState, procedure: Procedure, *, title: str = "") -> None:
    """Print the outcome of the run, and a line for each step that is not settled."""
    if title:
        _print(line_of(title))
    _show_outcome(state)
    warnings = sum(len(_warnings(step)) for step in state.steps)
    warned = f"{warnings} warning{'s'[: warnings != 1]}; " if warnings else ""
    say(f"{warned}--verbose shows every step. Times are UTC.")
    steps = [step for step in state.steps if not step.is_settled]
    if not steps:
        return
    click.echo("\nOpen:")
    table = Table.grid(padding=(0, _GAP, 0, 0), expand=True)
    table.add_column(width=_NUMBER_WIDTH)
    room = max(columns() - _NUMBER_WIDTH - NARROWEST - 2 * _GAP, NARROWEST // 2)
    table.add_column(no_wrap=True, max_width=min(int(columns() * _TITLE_PART), room))
    table.add_column(no_wrap=True, ratio=1)
    waits = blockers_by_step(state, procedure)
    for step in steps:
        when_begun = waits.get(step.id, "")
        since = f"{when_begun.capitalize()}. " if when_begun else _since(step)
        why = line_of(since + _why(step, procedure.step(step.id)))
        mark = Text(ICONS[step.outcome], OUTCOMES[step.outcome].colour.terminal)
        table.add_row(Text.assemble(mark, f" {step.number:3}"), line_of(step.title), why)
    _print_table(table)


def show_next(state: RunState, procedure: Procedure, values: Mapping[str, Value]) -> None:
    """Print the next step that needs somebody, if any: the reason, the advice, the links."""
    following = next_step(state, procedure)
    if following is None:
        return
    step, advice = following
    texts = procedure.step(step.id)
    below = " " * len(_NEXT)
    click.echo()
    named = f"step {step.number}, {step.title} ({step.id})."
    show_paragraph(named, indent="", first=_NEXT)
    show_paragraph(_why(step, texts), indent=below)
    show_paragraph(advice, indent=below)
    for link in texts.links:
        document = link.shown(values)
        url = f": {document['url']}" if document["url"] else ""
        say(f"{below}{document['label']}{url}")


def show_forecast(forecast: Forecast | None) -> None:
    """Print the decisions of others, if any, with their days."""
    from runbook_lib.evidence.reports.pictures import forecast_lines, forecast_title, meanwhile

    if forecast is None:
        return
    click.echo()
    show_paragraph(f"Forecast: {forecast_title(forecast)}.", indent="")
    lines = forecast_lines(forecast)
    table = Table.grid(padding=(0, _GAP, 0, 0))
    room = columns() - max(len(days) for _, days in lines) - 2 * _GAP
    table.add_column(no_wrap=True, max_width=max(room, NARROWEST))
    table.add_column(overflow="fold")
    for name, days in lines:
        table.add_row(Text("  ").append(line_of(name)), days)
    _print_table(table)
    if meanwhile(forecast):
        show_paragraph(meanwhile(forecast), indent=" " * _GAP)


def show_again(state: RunState) -> None:
    """Print the steps to do again because a value that they depend on has changed."""
    steps = [step for step in state.steps if step.redo_reason]
    if steps:
        click.echo("\nTo do again:")
    for step in steps:
        say(f"- {step.title} ({step.id})")


def show_table(
    title: str, head: Sequence[str], rows: Iterable[tuple[tuple[Text, ...], list[Text]]]
) -> None:
    """Print a table; of each row the last cell, a list of lines, is wrapped."""
    if title:
        _print(line_of(title))
    table = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False)
    for name in head[:-1]:
        table.add_column(name, no_wrap=True)
    table.add_column(head[-1], overflow="fold", min_width=NARROWEST)
    for cells, lines in rows:
        table.add_row(*cells, Text("\n").join(lines))
    _print_table(table)


def _print_table(table: Table) -> None:
    """Print a table without blanks at the ends of its lines."""
    console = _console()
    with console.capture() as captured:
        console.print(table)
    for line in captured.get().removesuffix("\n").split("\n"):
        click.echo(line.rstrip(), color=True)


def show_verdict(verdict: Verdict) -> None:
    """Print the verdict on a bundle or a tenant's chain in one line, with notes below."""
    is_chain = verdict.verified is None and verdict.error is None
    name = "/".join(verdict.path.parts[-2 if is_chain else -3 :])
    notes = verdict.notes
    text = Text(f"{verdict.length} in a chain{'' if notes else ', none missing'}")
    if verdict.verified is not None:
        text = _proven(verdict.verified)
    elif verdict.is_unsealed:
        text = Text("nothing sealed yet")
        notes = ()
    mark = Text("-") if verdict.is_unsealed else Text("✔", "green")
    _show_line(mark, name, text, verdict.error, (*notes, *verdict.anomalies))


def _show_line(
    mark: Text, name: str, text: Text, error: Exception | None, notes: Iterable[str]
) -> None:
    """Print a verdict, or else the `error`, and the notes below."""
    if error is not None:
        mark = Text("✘", "red")
        text = line_of(str(error))
    _print(Text.assemble(mark, f" {one_line(name)}: ", text))
    for note in notes:
        _print(Text.assemble("  ", line_of(f"! {note}", "yellow")))


def _proven(verified: VerifiedBundle) -> Text:
    run = verified.claims
    steps = verified.record.steps if verified.record else ()
    counts = Counter((step.outcome, step.verified_on) for step in steps)
    ordered = sorted(counts, key=lambda pair: ([*Outcome].index(pair[0]), pair[1]))
    words: list[str | Text] = [
        *([_SANDBOX] if run.sandbox else []),
        Text(run.outcome, _RUN_STYLES[run.outcome]),
        *(["not run"] if run.not_run else []),
        *(
            f"{counts[outcome, on]} {f'{CARRIED} {on}' if on else LABELS[outcome]}"
            for outcome, on in ordered
        ),
        f"number {verified.link.sequence}",
        f"key {verified.key_id[:8]}",
        *([f"stamped {verified.stamped_on}"] if verified.stamped_on else []),
        *([f"{pluralize(len(verified.withheld), 'line')} withheld"] if verified.withheld else []),
    ]
    return Text(" · ").join(Text.assemble(word) for word in words)


def show_fleet_verdict(verdict: FleetVerdict) -> None:
    """Print the number of tenants of a fleet's run with a verified bundle, with notes below."""
    is_whole = verdict.present == verdict.selected
    mark = Text("✔", "green") if is_whole else Text("!", "yellow")
    not_run = f" · {verdict.not_run:,} not run" if verdict.not_run else ""
    text = Text(f"{verdict.present:,} of {pluralize(verdict.selected, 'tenant')}{not_run}")
    name = f"fleet run {verdict.fleet_id}" if verdict.fleet_id else "fleet runs"
    _show_line(mark, name, text, verdict.error, verdict.notes)


def outcome_of(step: StepState, texts: Step) -> str:
    """Return a step's outcome and its reason, for people; `texts` is the step in its procedure."""
    return f"{_marked(step).plain}. {_why(step, texts)}"


def this_program() -> str:
    """Return the command of the runbook: its path if its name is not enough."""
    path = Path(sys.argv[0])
    installed = shutil.which("runbook")
    is_found = installed is not None and Path(installed).resolve() == path.resolve()
    return "runbook" if is_found or path.name != "runbook" else shlex.quote(sys.argv[0])


def _console() -> Console:
    """Return rich on standard output, in colors if that is a terminal and NO_COLOR is not set."""
    return Console(
        width=columns(),
        highlight=False,
        color_system=None if os.environ.get("NO_COLOR") else "auto",
    )


def _print(line: Text) -> None:
    """Print a line as long as it is."""
    _console().print(line, soft_wrap=True)


def _show_outcome(state: RunState) -> None:
    """Print the outcome of the run, and the number of steps by outcome."""
    counts = tally(state.steps)
    counts_text = " · ".join(
        f"{ICONS[outcome]} {number} {label}".replace(" ", _NO_BREAK)
        for outcome, label, number in counts
    )
    word = state.outcome.upper()
    begin = Text(word, _RUN_STYLES[state.outcome])
    for line in wrapped(counts_text, len(word) + 1):
        _print(Text.assemble(begin, " ", line.replace(_NO_BREAK, " ")))
        begin = Text(" " * len(word))


def _why(step: StepState, texts: Step) -> str:
    """Return why a step has its outcome, after who must do it."""
    due = f", due {day(step.due)}" if step.due else ""
    whose = f"{step.assigned_to}{due}: " if step.assigned_to else ""
    unconfirmed = " ".join(texts.unverifiable(step.findings)) if step.needs_person else ""
    # NOTE: the end may be cut off.
    confirmation = f"Verified in part; a person must confirm: {unconfirmed} " if unconfirmed else ""
    return with_times(f"{whose}{confirmation}{step.reason}")


def _since(step: StepState) -> str:
    """Return the start of a step's wait, and whether it is overdue; its reason may be cut."""
    late = step.overdue_days
    overdue = f"{pluralize(late, 'day')} overdue" if late else ""
    is_waiting = step.outcome is Outcome.WAITING and step.waiting_since
    since = f"since {day(step.waiting_since)}" if is_waiting else ""
    text = ", ".join(filter(None, (since, overdue)))
    return f"{text[0].upper()}{text[1:]}. " if text else ""


def _marked(step: StepState) -> Text:
    return Text(f"{ICONS[step.outcome]} {label_of(step)}", OUTCOMES[step.outcome].colour.terminal)


def _warnings(step: StepState) -> list[str]:
    return [*step.remarks, *step.gather("warnings")]
