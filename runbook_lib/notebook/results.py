"""
A step and all steps as a notebook's own code reads them. Read-only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from runbook_lib.core.model import Outcome
from runbook_lib.core.outcome import ICONS
from runbook_lib.core.run_state import RunState, StepState


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


@dataclass(frozen=True)
class MimeBundle:
    """Something to display: its renderings by MIME type."""

    bundle: Mapping[str, Any]

    def _repr_mimebundle_(self, **_: object) -> dict[str, Any]:
        return dict(self.bundle)


@dataclass(frozen=True, repr=False)
class ShownStep(MimeBundle):
    """The result of `run.step`: the step as its cell shows it, and its line."""

    line: StepLine

    @property
    def outcome(self) -> str:
        """The outcome, as a record has it."""
        return self.line.outcome

    @property
    def reason(self) -> str:
        """The reason for the outcome."""
        return self.line.reason

    @property
    def checked_on(self) -> str:
        """The time of the check in UTC; empty without one."""
        return self.line.checked_on

    def __repr__(self) -> str:
        return str(self.line)


class StepTable(tuple[StepLine, ...]):
    """All steps in the order of the procedure; `pandas.DataFrame(run.steps)` reads it too."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "\n".join(map(str, self))


def step_table(state: RunState) -> StepTable:
    """Return a line for each step."""
    return StepTable(map(step_line, state.steps.values()))
