"""
What a person does next, the same wherever it is shown. Pure.
"""

from __future__ import annotations

from runbook_lib.core.model import Outcome
from runbook_lib.core.state import RunState, StepState
from runbook_lib.core.step_record import advice_of, step_record

# What to do about an outcome, in the order in which steps need attention.
_ADVICE = {
    Outcome.FAILED: "Fix the problem described above, then check again.",
    Outcome.NOT_RUN: "Do it, then check it or confirm that it is done.",
    Outcome.INCONCLUSIVE: (
        "Do what the reason says, then check again; confirm it if you have seen it yourself."
    ),
    Outcome.WAITING: "Nothing to do but wait.",
}


def next_step(state: RunState) -> tuple[StepState, str] | None:
    """Return the next step that needs somebody, and what that person does."""
    outcomes = list(_ADVICE)
    waiting = []
    for step in state.steps.values():
        outcome = step.conclusion.outcome
        is_asked_for = outcome is Outcome.WAITING and step.is_asked_for
        if step.conclusion.needs_person or is_asked_for:
            outcome = Outcome.NOT_RUN
        if outcome in _ADVICE:
            waiting.append((outcomes.index(outcome), step))
    if not waiting:
        return None
    _, step = min(waiting, key=lambda pair: pair[0])
    return step, what_to_do(step)


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
