"""
All steps of a run as a table, which a notebook displays and a program reads. Read-only.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from runbook_lib.core.model import Outcome
from runbook_lib.core.outcome import ICONS, label_of
from runbook_lib.evidence.reports.phrases import with_times
from runbook_lib.evidence.reports.renderer import render
from runbook_lib.run.state import RunState, StepState
from runbook_lib.text import one_line


class StepLine(NamedTuple):
    """A step as a line of a table."""

    id: str
    """The step's id, also that of its cell."""
    number: str
    """The step's number on screen, such as `4a`."""
    title: str
    """The step's title."""
    outcome: str
    """An outcome of the record: `verified`, `waiting`, …"""
    reason: str
    """The reason for the outcome, as a sentence."""
    checked_on: str
    """The time of the last check, RFC 3339 in UTC; empty if there was none."""
    label: str
    """The outcome as a person reads it; it says too if a person must confirm a part."""
    limits: tuple[str, ...]
    """The limits of the checks of a step that needs a person: what is not proven, as sentences."""

    def __str__(self) -> str:
        """Return the line as a person reads it."""
        icon = ICONS[Outcome(self.outcome)]
        parts = [f"{icon} {self.number} {self.title}: {self.label}. {with_times(self.reason)}"]
        parts += [f"Not proven: {limit}" for limit in self.limits]
        return one_line(" ".join(parts))


def step_line(state: StepState) -> StepLine:
    """Return the line of a step."""
    return StepLine(
        id=state.id,
        number=state.number,
        title=state.title,
        outcome=str(state.outcome),
        reason=state.reason,
        checked_on=state.checked_on,
        label=label_of(state),
        limits=tuple(state.gather("limits")) if state.needs_person else (),
    )


class StepTable(tuple[StepLine, ...]):
    """All steps in the order of the procedure; `pandas.DataFrame(run.steps)` reads it too."""

    heading: str
    """Displayed above the steps: the tenant, whether it is practice, and the time of the table."""

    def __new__(cls, steps: Iterable[StepLine] = (), heading: str = "") -> StepTable:
        """Make a table of `steps`."""
        table = super().__new__(cls, steps)
        table.heading = heading
        return table

    def __repr__(self) -> str:
        return "\n".join(filter(None, (one_line(self.heading), *map(str, self))))

    def _repr_html_(self) -> str:
        """Return the table in HTML, as Jupyter displays it."""
        return table_html(self)


def table_html(steps: StepTable, *, report: str = "") -> str:
    """Return a table of steps in HTML, above a link to the `report`, if given."""
    return render("step_table.html", steps=steps, report=report)


def step_table(state: RunState, heading: str = "") -> StepTable:
    """Return a line for each step, below `heading`."""
    return StepTable(map(step_line, state.steps), heading)
