"""
What a person sees in a terminal: live progress, the table of steps, the next step.

Only the layout is decided here.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from runbook_lib.core.advice import next_step
from runbook_lib.core.journal import utc_now
from runbook_lib.core.outcome import ICONS, LABELS, label_of, tally
from runbook_lib.core.procedure import Outcome
from runbook_lib.core.state import RunOutcome, RunState, StepState
from runbook_lib.evidence.reports.wording import day, when, with_times
from runbook_lib.plain_text import counted, one_line

if TYPE_CHECKING:
    from rich.progress import Progress

    from runbook_lib.core.procedure import Value
    from runbook_lib.engine.tenants import TenantState
    from runbook_lib.evidence.verify.verdict import Verdict
    from runbook_lib.evidence.verify.verify import Verified


# NOTE: rich, which draws the bar on a terminal, takes as long to import as all of this package.
_LOG_WIDTH = 120
_NARROWEST = 20
_GAP = 2
_NEXT = "Next: "
_NO_BREAK = "\u00a0"
# Of a line for an open step: what stands before the title, and the title's part of the width.
_OPEN_BEGINS = len("✘ 12a ")
_TITLE_PART = 0.55


class Cell(NamedTuple):
    """A line of text, and how it is shown."""

    text: str
    color: str = ""
    is_bold: bool = False
    is_dim: bool = False

    def escaped(self) -> Cell:
        """Return the cell as one line without control characters."""
        return self._replace(text=one_line(self.text))

    def padded(self, width: int) -> str:
        """Return the text for a terminal, filled up to `width` columns."""
        shown = click.style(
            self.text, fg=self.color or None, bold=self.is_bold or None, dim=self.is_dim or None
        )
        return shown + " " * (width - _width(self.text))


_STYLES = {
    Outcome.VERIFIED: Cell("", "green"),
    Outcome.ATTESTED: Cell("", "blue"),
    Outcome.WAITING: Cell("", "yellow"),
    Outcome.INCONCLUSIVE: Cell("", "yellow"),
    Outcome.FAILED: Cell("", "red", is_bold=True),
    Outcome.SKIPPED: Cell("", is_dim=True),
    Outcome.NOT_RUN: Cell("", is_dim=True),
}
_OUTCOME_STYLES = {
    RunOutcome.COMPLETE: Cell("", "green", is_bold=True),
    RunOutcome.FAILED: Cell("", "red", is_bold=True),
    RunOutcome.INCOMPLETE: Cell("", "yellow", is_bold=True),
}


class ProgressDisplay:
    """A line for each step that was checked; on a terminal, a bar that moves below them."""

    def __init__(self, total: int, *, bar: Progress | None, is_quiet: bool) -> None:
        self._bar = bar
        self._is_quiet = is_quiet
        self._task = bar.add_task("starting", total=total) if bar else None
        self._shown: set[str] = set()

    def update(self, state: RunState) -> None:
        """Show what has changed since the last call."""
        for step in state.steps.values():
            if step.checked_on and step.step.id not in self._shown:
                self._shown.add(step.step.id)
                self._print(step)
        if self._bar is not None and self._task is not None:
            from rich.markup import escape

            waiting = (step.step.title for step in state.steps.values() if not step.checked_on)
            following = escape(one_line(next(waiting, "sealing")))
            self._bar.update(self._task, completed=len(self._shown), description=following)

    def _print(self, step: StepState) -> None:
        line = f"{_marked(step).padded(22)} {step.number:3} {one_line(step.step.title)}"
        if self._bar is not None:
            from rich.text import Text

            text = Text.from_ansi(line)
            self._bar.console.print(text, no_wrap=True, overflow="ellipsis")
        elif not self._is_quiet:
            # NOTE: a log is searched later: for a step's id, and for why it is open.
            why = "" if step.is_settled else f": {one_line(_why(step))}"
            _echo(f"{line} ({step.step.id}){why}")


@contextmanager
def progress(total: int, *, is_quiet: bool) -> Iterator[ProgressDisplay]:
    """Give a display for `total` steps; nothing is shown with `is_quiet`."""
    if is_quiet or not sys.stdout.isatty():
        yield ProgressDisplay(total, bar=None, is_quiet=is_quiet)
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
    )

    with Progress(
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
        transient=True,
    ) as bar:
        yield ProgressDisplay(total, bar=bar, is_quiet=False)


def show_steps(state: RunState, *, title: str = "") -> None:
    """Print the table of all steps, and the outcome of the run."""
    rows = [
        (
            (Cell(step.number),),
            (Cell(step.step.id),),
            (_marked(step),),
            (
                Cell(_why(step)),
                *(Cell(f"! {text}", "yellow") for text in _warnings(step)),
                *(Cell(f"{each.by}, {when(each.at)}: {each.note}") for each in step.comments),
            ),
        )
        for step in state.steps.values()
    ]
    show_table(title, ("", "Step", "Outcome", "Reason"), rows)
    _show_outcome(state)


def show_open(state: RunState, *, title: str = "") -> None:
    """Print the outcome of the run, and a line for each step that is not settled."""
    if title:
        _echo(one_line(title))
    _show_outcome(state)
    warnings = sum(len(_warnings(step)) for step in state.steps.values())
    said = f"{warnings} warning{'s'[: warnings != 1]}; " if warnings else ""
    _echo(f"{said}--verbose shows every step.")
    steps = [step for step in state.steps.values() if not step.is_settled]
    if not steps:
        return
    _echo("\nOpen:")
    titles = [one_line(step.step.title) for step in steps]
    width = min(max(map(_width, titles)), int(_columns() * _TITLE_PART))
    for step, name in zip(steps, titles, strict=True):
        outcome = step.conclusion.outcome
        mark = _STYLES[outcome]._replace(text=ICONS[outcome]).padded(1)
        begin = f"{mark} {step.number:3} "
        room = max(_columns() - _OPEN_BEGINS - width - _GAP, _NARROWEST)
        shown = Cell(_cut(name, width)).padded(width + _GAP)
        _echo(f"{begin}{shown}{_cut(one_line(_since(step) + _why(step)), room)}")


def show_next(state: RunState, values: Mapping[str, Value]) -> None:
    """Print the next step that needs somebody: why, what to do, where; nothing if there is none."""
    following = next_step(state)
    if following is None:
        return
    step, advice = following
    below = " " * len(_NEXT)
    click.echo()
    named = f"step {step.number}, {step.step.title} ({step.step.id})."
    show_paragraph(named, indent="", first=_NEXT)
    show_paragraph(_why(step), indent=below)
    show_paragraph(advice, indent=below)
    for link in step.step.links:
        shown = link.shown(values)
        say(f"{below}{shown['label']}{': ' * bool(shown['url'])}{shown['url']}")


def show_again(state: RunState) -> None:
    """Print which steps must be done again because something that they are about has changed."""
    steps = [step for step in state.steps.values() if step.again]
    if steps:
        _echo("\nTo do again:")
    for step in steps:
        _echo(one_line(f"- {step.step.title} ({step.step.id})"))


def show_tenants(found: Iterable[TenantState]) -> None:
    """Print the table of tenants: connector, outcome, how many steps are done."""
    rows = [
        (
            (Cell(f"{'SANDBOX ' if each.state.started.get('sandbox') else ''}{each.tenant}"),),
            (Cell(each.connector),),
            (_OUTCOME_STYLES[each.state.outcome]._replace(text=each.state.outcome),),
            (Cell(f"{each.done} of {len(each.state.steps)} done"),),
        )
        for each in found
    ]
    show_table("", ("Tenant", "Connector", "Outcome", ""), rows)


def show_table(title: str, head: Sequence[str], rows: Sequence[Sequence[Sequence[Cell]]]) -> None:
    """Print a table whose last column wraps; each of its cells is a list of lines."""
    if title:
        _echo(one_line(title))
    named = [tuple((Cell(name, is_bold=True),) for name in head), *rows]
    lines = [[[each.escaped() for each in cell] for cell in row] for row in named]
    whole = range(len(head) - 1)
    widths = [max(_width(row[column][0].text) for row in lines) for column in whole]
    room = _columns() - sum(widths) - _GAP * len(widths)
    gap = " " * _GAP
    for row in lines:
        cells = gap.join(row[column][0].padded(widths[column]) for column in whole)
        blank = " " * (sum(widths) + _GAP * (len(widths) - 1))
        for line in row[-1]:
            for part in _wrapped(line.text, max(room, _NARROWEST)):
                _echo(f"{cells}{gap}{line._replace(text=part).padded(0)}")
                cells = blank


def show_verdict(verdict: Verdict) -> None:
    """Print the verdict on a bundle or a tenant's chain in one line, with notes below."""
    is_chain = verdict.verified is None and verdict.error is None  # or a fleet's run
    name = one_line("/".join(verdict.path.parts[-2 if is_chain else -3 :]))
    good, bad = (Cell(*each).padded(0) for each in (("✔", "green"), ("✘", "red")))
    notes = verdict.notes
    if verdict.error is not None:
        said = f"{bad} {name}: {one_line(str(verdict.error))}"
    elif verdict.verified is not None:
        said = f"{good} {name}: {_proven(verdict.verified)}"
        notes = verdict.verified.notes
    elif verdict.fleet is not None:
        said = f"{good} {name}: {_of_fleet(verdict.fleet)}"
    elif verdict.is_unsealed:
        said, notes = f"- {name}: nothing sealed yet", ()
    else:
        said = f"{good} {name}: {verdict.length} in a chain{', none missing' * (not notes)}"
    _echo(said)
    for note in notes:
        _echo("  " + Cell(one_line(f"! {note}"), "yellow").padded(0))


def _proven(verified: Verified) -> str:
    run = verified.run
    steps = run["outcomes"]
    words = [
        *([Cell("SANDBOX", "yellow", is_bold=True).padded(0)] if run["sandbox"] else []),
        _OUTCOME_STYLES[run["outcome"]]._replace(text=run["outcome"]).padded(0),
        *(f"{len(steps[outcome])} {LABELS[outcome]}" for outcome in Outcome if steps[outcome]),
        f"number {verified.link.sequence}",
        f"key {verified.key_id[:8]}",
        *([f"stamped {verified.stamped_on}"] if verified.stamped_on else []),
        *([f"{counted(len(verified.withheld), 'line')} withheld"] if verified.withheld else []),
    ]
    return " · ".join(words)


def _of_fleet(claimed: Mapping[str, Any]) -> str:
    """Return what a fleet's run came to, and who signed that."""
    outcomes = [f"{many} {word}" for word, many in claimed["outcomes"].items()]
    is_practice = claimed["sandbox"] == claimed["tenants"] and claimed["tenants"]
    left_out = len(claimed["left_out"])
    words = [
        *([Cell("SANDBOX", "yellow", is_bold=True).padded(0)] if is_practice else []),
        counted(claimed["tenants"], "tenant"),
        *outcomes,
        *([f"{left_out} left out"] if left_out else []),
        f"key {claimed['key_id'][:8]}",
    ]
    return " · ".join(words)


def say(text: str, *, is_error: bool = False) -> None:
    """Print one line, which may contain text of a file or remote system."""
    click.echo(one_line(text), err=is_error)


def outcome_of(step: StepState) -> str:
    """Return a step's outcome and its reason, as a person reads them."""
    return f"{_marked(step).text}. {_why(step)}"


def this_program() -> str:
    """Return how to call the runbook again: by its path if its name is not enough."""
    path = Path(sys.argv[0])
    found = shutil.which("runbook")
    is_found = found is not None and Path(found).resolve() == path.resolve()
    return "runbook" if is_found or path.name != "runbook" else shlex.quote(sys.argv[0])


def show_paragraph(text: str, *, indent: str, first: str = "") -> None:
    """Print `text` as wrapped lines, each after `indent`; `first` stands before the first word."""
    begin = indent + first
    for part in _wrapped(one_line(text), max(_columns() - len(begin), _NARROWEST)):
        _echo(f"{begin}{part}")
        begin = indent + " " * len(first)


def _echo(line: str) -> None:
    """Print a line, in colors if the output is a terminal and NO_COLOR is not set."""
    click.echo(line, color=False if os.environ.get("NO_COLOR") else None)


def _columns() -> int:
    """Return the terminal's width; where there is none (a log, CI), lines may be wider."""
    return shutil.get_terminal_size((_LOG_WIDTH, 0)).columns


def _width(text: str) -> int:
    """Return how many columns a terminal needs for `text` (Unicode, UAX #11)."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(each) in "WF" for each in text)
    return len(text) + wide - sum(unicodedata.combining(each) > 0 for each in text)


def _wrapped(text: str, width: int) -> Iterator[str]:
    """Yield `text` in lines of at most `width` columns; a longer word is cut."""
    line = ""
    for word in text.split(" "):
        if line and _width(line) + 1 + _width(word) > width:
            yield line
            line = word
        else:
            line = f"{line} {word}" if line else word
        while _width(line) > width:
            end = _end(line, width)
            yield line[:end]
            line = line[end:]
    yield line


def _end(line: str, width: int) -> int:
    """Return how many characters of `line` fit into `width` columns, at least one."""
    used = 0
    for number, each in enumerate(line):
        used += _width(each)
        if used > width:
            return max(number, 1)
    return len(line)


def _cut(text: str, width: int) -> str:
    """Return `text` in at most `width` columns; an ellipsis says that there is more."""
    return text if _width(text) <= width else f"{text[: _end(text, width - 1)].rstrip()}…"


def _show_outcome(state: RunState) -> None:
    """Print the outcome of the run, and how many steps have which outcome."""
    counts = tally(step.conclusion for step in state.steps.values())
    said = " · ".join(
        f"{ICONS[outcome]} {number} {label}".replace(" ", _NO_BREAK)
        for outcome, label, number in counts
    )
    word = state.outcome.upper()
    begin = _OUTCOME_STYLES[state.outcome]._replace(text=word).padded(len(word))
    for line in _wrapped(said, max(_columns() - len(word) - 1, _NARROWEST)):
        _echo(f"{begin} {line.replace(_NO_BREAK, ' ')}")
        begin = " " * len(word)


def _why(step: StepState) -> str:
    """Return why a step has its outcome, after who has it to do."""
    due = f", due {day(step.due)}" if step.due else ""
    whose = f"{step.assigned_to}{due}: " if step.assigned_to else ""
    rest = " ".join(step.step.unseen(step.findings)) if step.conclusion.needs_person else ""
    # NOTE: the end may be cut off.
    asked = f"Verified in part; a person must confirm: {rest} " if rest else ""
    return with_times(f"{whose}{asked}{step.conclusion.reason}")


def _since(step: StepState) -> str:
    """Return since when a step waits, and whether it is overdue, where its reason may be cut."""
    late = step.overdue_days(utc_now().date())
    overdue = f"{counted(late, 'day')} overdue" if late else ""
    is_waiting = step.conclusion.outcome is Outcome.WAITING and step.waiting_since
    since = f"since {day(step.waiting_since)}" if is_waiting else ""
    said = ", ".join(filter(None, (since, overdue)))
    return f"{said[0].upper()}{said[1:]}. " if said else ""


def _marked(step: StepState) -> Cell:
    outcome = step.conclusion.outcome
    return _STYLES[outcome]._replace(text=f"{ICONS[outcome]} {label_of(step.conclusion)}")


def _warnings(step: StepState) -> list[str]:
    return [*step.remarks, *(text for finding in step.findings for text in finding.warnings)]
