"""
*Check everything now*: each step once, in order, without sealing.

What a check would spend, nobody has permitted by pressing this button; such a
step is named instead, with what it would do. So is a step that lacks a value.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from runbook_lib.core.outcome import LABELS
from runbook_lib.core.procedure import Input, Step
from runbook_lib.core.state import StepState
from runbook_lib.engine.run import Run

__all__ = ["Round", "check_everything", "lacking", "missing", "plan", "summary"]


@dataclass(frozen=True, slots=True)
class Round:
    """
    The steps to check, those to check only by their own button, and those that lack a value.

    `changed` are pairs of a step's state before and after it was checked.
    """

    steps: tuple[Step, ...]
    unasked: tuple[Step, ...]
    blocked: tuple[tuple[Step, tuple[Input, ...]], ...]
    changed: tuple[tuple[StepState, StepState], ...] = ()


def lacking(run: Run, step: Step) -> tuple[Input, ...]:
    """Return the inputs that this step's checks need and were not given, each once."""
    found = {item.name: item for check in step.checks for item in run.lacking(check)}
    return tuple(found.values())


def plan(run: Run) -> Round:
    """Return what *Check everything now* would do."""
    checked = [step for step in run.procedure.steps if step.checks]
    absent = {step.id: lacking(run, step) for step in checked}
    blocked = [step for step in checked if all(run.lacking(check) for check in step.checks)]
    return Round(
        steps=tuple(step for step in checked if step not in blocked and not step.spends),
        unasked=tuple(step for step in checked if step not in blocked and step.spends),
        blocked=tuple((step, absent[step.id]) for step in blocked),
    )


def check_everything(run: Run, planned: Round, check: Callable[[Step], object]) -> Round:
    """Check the planned steps in order by `check`, and return what has changed."""
    changed = []
    for step in planned.steps:
        before = run.state.steps[step.id]
        check(step)
        after = run.state.steps[step.id]
        if after.conclusion.outcome is not before.conclusion.outcome:
            changed.append((before, after))
    return Round(planned.steps, planned.unasked, planned.blocked, tuple(changed))


def summary(run: Run, done: Round) -> str:
    """Return what the person reads afterwards, a line for each kind of news."""
    numbers = run.procedure.numbers
    now: dict[str, list[str]] = {}
    for _, after in done.changed:
        now.setdefault(LABELS[after.conclusion.outcome], []).append(after.number)
    return "\n".join(
        [
            f"Checked {len(done.steps)} steps.{'' if now else ' Nothing has changed.'}",
            *(f"Now {label}: {', '.join(steps)}." for label, steps in now.items()),
            *(
                f"Not checked: {numbers[step.id]}. {step.spends} Press Check there."
                for step in done.unasked
            ),
            *(
                f"Not checked: {', '.join(steps)}; {label} is not given."
                for label, steps in missing(run, done)
            ),
        ]
    )


def missing(run: Run, done: Round) -> list[tuple[str, list[str]]]:
    """Return each input that was not given, with the numbers of the steps that lack it."""
    numbers = run.procedure.numbers
    absent: dict[str, list[str]] = {}
    for step, items in done.blocked:
        for item in items:
            absent.setdefault(item.label, []).append(numbers[step.id])
    return list(absent.items())
