"""
What a person does next, the same wherever it is shown. Pure.
"""

from __future__ import annotations

from runbook_lib.core.model import Outcome
from runbook_lib.core.outcome import OUTCOMES
from runbook_lib.core.state import RunState, StepState
from runbook_lib.core.step_record import advice_of, step_record


def next_step(state: RunState) -> tuple[StepState, str] | None:
    """
    Return the next step that needs somebody, and what that person does.

    Only steps that can be started count. First what failed, or waits for a person's word; then
    what is to do; then what could not be checked; last what waits for others. Of equals, the
    first in the documented order.
    """
    ranked = [
        (_rank(step), step)
        for step in state.steps.values()
        if not (step.is_settled or step.conclusion.outcome is Outcome.SKIPPED)
        and not waits_for(state, step)
    ]
    if not ranked:
        return None
    _, step = max(ranked, key=lambda pair: pair[0])
    return step, what_to_do(step)


def waits_for(state: RunState, step: StepState) -> tuple[StepState, ...]:
    """Return the steps that must come before `step` and are still open; empty if it can start."""
    earlier = (state.steps[name] for name in step.step.after)
    return tuple(before for before in earlier if before.holds_up)


def later(state: RunState) -> dict[str, str]:
    """Return what each step waits for that is to do and cannot be started yet, by its id."""
    return {
        name: f"later: after {', '.join(before.number for before in blockers)}"
        for name, step in state.steps.items()
        if step.is_to_do and (blockers := waits_for(state, step))
    }


def _rank(step: StepState) -> int:
    conclusion = step.conclusion
    if conclusion.needs_person or conclusion.needs_another or step.is_asked_for:
        return OUTCOMES[Outcome.FAILED].rank
    return OUTCOMES[Outcome.NOT_RUN if step.is_to_do else conclusion.outcome].rank


def what_to_do(step: StepState) -> str:
    """Return what a person does about this step; empty for nothing."""
    if step.conclusion.needs_another:
        return "A second person must check and confirm it."
    if step.conclusion.needs_person:
        return f"Check it yourself, then confirm: {' '.join(step.step.unseen(step.findings))}"
    if step.is_asked_for:
        is_late = step.conclusion.outcome is Outcome.FAILED
        by_when = f"It was due on {step.due}: do it" if is_late else f"Do it by {step.due}"
        return f"{by_when}, then confirm that it is done."
    general = OUTCOMES[step.conclusion.outcome].advice
    return (advice_of(step_record(step)) or general) if general else ""
