"""
The steps that wait, with their party and the beginning of the wait. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from runbook_lib.core.model import Outcome, WaitsFor
from runbook_lib.core.outcome import OPEN
from runbook_lib.core.procedure import Procedure
from runbook_lib.run.advice import next_step
from runbook_lib.run.state import RunState, StepState

# Outcomes of steps that anybody can do: only the next such step waits, not the whole procedure.
_TO_DO = tuple(outcome for outcome in OPEN if outcome not in (Outcome.FAILED, Outcome.WAITING))


def waits_in(
    state: RunState, procedure: Procedure, today: date | None = None
) -> Iterator[tuple[StepState, WaitsFor, bool]]:
    """
    Yield each step that waits, its party, and whether it is next, in the order of the steps.

    With `today`, also yield steps whose attestations end soon.
    """
    following = next_step(state, procedure)
    upcoming = following.step.id if following else ""
    for step in state.steps:
        outcome = step.outcome
        is_next = step.id == upcoming
        is_again = step.needs_person or bool(step.due_on)
        is_untouched = outcome is Outcome.FAILED or is_again or step.is_asked_for
        is_old = step.has_expired or (today is not None and step.ends_soon(today))
        if step.assigned_to:
            yield step, WaitsFor.PERSON, is_next
        elif step.needs_another:
            yield step, WaitsFor.SECOND_PERSON, is_next
        elif outcome is Outcome.WAITING and not step.is_asked_for:
            yield step, WaitsFor.OUTSIDE_PARTY, is_next
        elif is_untouched or is_old or (is_next and outcome in _TO_DO):
            yield step, WaitsFor.ANYBODY, is_next
