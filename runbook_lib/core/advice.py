"""
What a person does next, the same wherever it is shown. Pure.
"""

from __future__ import annotations

from runbook_lib.core.model import Outcome
from runbook_lib.core.state import RunState, StepState
from runbook_lib.core.step_record import advice_of, step_record

# What to do about an outcome.
_ADVICE = {
    Outcome.FAILED: "Fix the problem described above, then check again.",
    Outcome.NOT_RUN: "Do it, then check it or confirm that it is done.",
    Outcome.INCONCLUSIVE: (
        "Do what the reason says, then check again; confirm it if you have seen it yourself."
    ),
    Outcome.WAITING: "Nothing to do but wait.",
}
# The order in which steps need attention, where a person's word is not asked for.
_URGENCY = {Outcome.FAILED: 0, Outcome.NOT_RUN: 1, Outcome.INCONCLUSIVE: 2, Outcome.WAITING: 3}


def next_step(state: RunState) -> tuple[StepState, str] | None:
    """
    Return the next step that needs somebody, and what that person does.

    Only steps that can be started count. First what failed, or waits for a person's word; then
    what is to do; then what could not be checked; last what waits for others. Of equals, the
    first in the documented order.
    """
    ranked = [
        (_urgency(step), step)
        for step in state.steps.values()
        if not (step.is_settled or step.conclusion.outcome is Outcome.SKIPPED)
        and not waits_for(state, step)
    ]
    if not ranked:
        return None
    _, step = min(ranked, key=lambda pair: pair[0])
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


def _urgency(step: StepState) -> int:
    conclusion = step.conclusion
    if conclusion.needs_person or conclusion.needs_another or step.is_asked_for:
        return _URGENCY[Outcome.FAILED]
    return _URGENCY[Outcome.NOT_RUN if step.is_to_do else conclusion.outcome]


def what_to_do(step: StepState) -> str:
    """Return what a person does about this step; empty for nothing."""
    if step.conclusion.needs_another:
        return "A second person must look and confirm it."
    if step.conclusion.needs_person:
        return f"Look yourself, then confirm: {' '.join(step.step.unseen(step.findings))}"
    if step.is_asked_for:
        is_late = step.conclusion.outcome is Outcome.FAILED
        by_when = f"It was due on {step.due}: do it" if is_late else f"Do it by {step.due}"
        return f"{by_when}, then confirm that it is done."
    general = _ADVICE.get(step.conclusion.outcome, "")
    return (advice_of(step_record(step)) or general) if general else ""
