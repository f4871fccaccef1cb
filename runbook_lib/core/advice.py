"""
What a person does next, the same wherever it is shown. Pure.
"""

from __future__ import annotations

from runbook_lib.core.procedure import Conclusion, Outcome
from runbook_lib.core.state import RunState, StepState

__all__ = ["next_step", "what_to_do"]

# What to do about an outcome, in the order in which steps need attention.
_ADVICE = {
    Outcome.FAILED: "Fix the problem described above, then check again.",
    Outcome.NOT_RUN: "Do it, then check it or confirm that it is done.",
    Outcome.INCONCLUSIVE: "Look for yourself, then confirm that it is done; or check again.",
    Outcome.WAITING: "Nothing to do but wait.",
}


def next_step(state: RunState) -> tuple[StepState, str] | None:
    """Return the next step that needs somebody, and what that person does."""
    for outcome in _ADVICE:
        for step in state.steps.values():
            if step.conclusion.outcome is outcome:
                return step, what_to_do(step.conclusion)
    return None


def what_to_do(conclusion: Conclusion) -> str:
    """Return what a person does about a step with this conclusion; empty for nothing."""
    if conclusion.needs_another:
        return "A second person must look and confirm it."
    return _ADVICE.get(conclusion.outcome, "")
