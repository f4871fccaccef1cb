"""
All steps of a run as a table, which a notebook displays and a program reads. Read-only.
"""

from __future__ import annotations

from typing import NamedTuple

from runbook_lib.core.model import Outcome
from runbook_lib.core.outcome import ICONS
from runbook_lib.core.run_state import RunState, StepState
from runbook_lib.evidence.reports.renderer import render


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

    def __str__(self) -> str:
        """Return the line as a person reads it."""
        icon = ICONS[Outcome(self.outcome)]
        return f"{icon} {self.number} {self.title}: {self.outcome}. {self.reason}"


def step_line(state: StepState) -> StepLine:
    """Return the line of a step."""
    conclusion = state.conclusion
    return StepLine(
        id=state.step.id,
        number=state.number,
        title=state.step.title,
        outcome=str(conclusion.outcome),
        reason=conclusion.reason,
        checked_on=state.checked_on,
    )


class StepTable(tuple[StepLine, ...]):
    """All steps in the order of the procedure; `pandas.DataFrame(run.steps)` reads it too."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "\n".join(map(str, self))

    def _repr_html_(self) -> str:
        """Return the table in HTML, as Jupyter displays it."""
        return table_html(self)


def table_html(steps: StepTable, *, title: str = "", report: str = "") -> str:
    """Return a table of steps in HTML, below `title` and above a link to the `report`, if given."""
    return render("step_table.html", steps=steps, title=title, report=report)


def step_table(state: RunState) -> StepTable:
    """Return a line for each step."""
    return StepTable(map(step_line, state.steps.values()))
