"""
What a person does next, the same wherever it is shown. Pure.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import date
from typing import NamedTuple

from runbook_lib.core.model import Outcome
from runbook_lib.core.outcome import OUTCOMES
from runbook_lib.core.run_state import RunState, StepState
from runbook_lib.core.step_record import advice_of, step_record

_CONFIRM_THE_REST = "No check can tell the rest. Confirm it once it is done: {}"
# What to do about an outside party that takes too long, where a step says nothing itself.
_ASK = "It takes longer than usual: ask the party that decides, and write its answer in a comment."


class NextStep(NamedTuple):
    """The step that needs somebody next, and what that person does."""

    step: StepState
    advice: str


def next_step(state: RunState, passed: Collection[str] = ()) -> NextStep | None:
    """
    Return the next step that needs somebody, and what that person does; `None` if none does.

    Only steps that can be started count. First what failed, or waits for a person's word; then
    what is to do, or was checked in vain; then what a later step has overtaken; last what waits for
    others. Of equals, the first in the documented order. `passed` are the ids of steps that a
    person went past, because a remote system has a fault: they come late, and hold up nothing.
    """
    ranked = [
        (_rank(state, step, passed), step)
        for step in state.steps.values()
        if not (step.is_settled or step.conclusion.outcome is Outcome.SKIPPED)
        and not waits_for(state, step, passed)
    ]
    if not ranked:
        return None
    _, step = max(ranked, key=lambda pair: pair[0])
    is_overdue = bool(state.today) and step.overdue_days(date.fromisoformat(state.today)) > 0
    return NextStep(step, what_to_do(step, is_overdue=is_overdue))


def waits_for(
    state: RunState, step: StepState, passed: Collection[str] = ()
) -> tuple[StepState, ...]:
    """Return the steps that must come before `step` and are still open; empty if it can start."""
    earlier = (state.steps[name] for name in step.step.after)
    return tuple(
        before for before in earlier if before.blocks_later_steps and before.step.id not in passed
    )


def later(state: RunState, passed: Collection[str] = ()) -> dict[str, str]:
    """Return what each step waits for that is to do and cannot be started yet, by its id."""
    return {
        name: f"later: after {', '.join(before.number for before in blockers)}"
        for name, step in state.steps.items()
        if step.is_untouched and (blockers := waits_for(state, step, passed))
    }


def is_checkable(state: RunState, step: StepState) -> bool:
    """Return whether the steps are done without which its checks cannot tell."""
    return all(state.steps[name].is_settled for name in step.step.checkable_after)


def _rank(state: RunState, step: StepState, passed: Collection[str]) -> int:
    conclusion = step.conclusion
    if conclusion.needs_person or conclusion.needs_another or step.is_asked_for:
        return OUTCOMES[Outcome.FAILED].rank
    if step.step.id in passed or _is_overtaken(state, step):
        return OUTCOMES[Outcome.INCONCLUSIVE].rank
    is_tried = conclusion.outcome is Outcome.INCONCLUSIVE
    return OUTCOMES[Outcome.NOT_RUN if step.is_untouched or is_tried else conclusion.outcome].rank


def _is_overtaken(state: RunState, step: StepState) -> bool:
    """
    Return whether a step that this one prepares has gone on, although no check can tell of this.

    Then nobody repeats it; it is only to be confirmed.
    """
    return step.needs_human_only and any(
        step.step.id in other.step.after
        and (other.is_settled or other.conclusion.outcome is Outcome.WAITING)
        for other in state.steps.values()
    )


def open_title(step: StepState) -> str:
    """Return the title of what is open at a step: number and title, and why it is open again."""
    name = f"{step.number} {step.step.title}"
    if step.ends_on:
        return f"{name}: its confirmation ends"
    if step.conclusion.needs_another:
        first = f", after {step.attestation.by}" if step.attestation else ""
        return f"{name}: a second person must confirm it{first}"
    if step.conclusion.needs_person:
        return f"{name}: confirm what no check can see"
    return f"{name}: confirm it again" if step.has_expired else name


def failed_title(step: StepState) -> str:
    """Return the title of a step that failed, where no known cause names it."""
    what = "declined" if step.conclusion.by_person else "contradicted by a check"
    return f"{step.number} {step.step.title}: {what}"


def what_to_do(step: StepState, *, is_overdue: bool = False) -> str:
    """
    Return what a person does about this step; empty for nothing.

    `is_overdue` says that its due day, or an outside party's usual time, has passed.
    """
    if step.conclusion.needs_another:
        return "A second person must check and confirm it."
    if step.conclusion.needs_person:
        return f"Check it yourself, then confirm: {' '.join(step.step.unseen(step.all_findings))}"
    if step.is_asked_for:
        by_when = f"It was due on {step.due}: do it" if is_overdue else f"Do it by {step.due}"
        return f"{by_when}, then confirm that it is done."
    if step.needs_human_only:
        return _CONFIRM_THE_REST.format(step.sentence)
    if step.has_expired:
        return step.redo_reason
    if is_overdue and step.conclusion.outcome is Outcome.WAITING:
        return step.step.overdue or _ASK
    general = OUTCOMES[step.conclusion.outcome].advice
    return (advice_of(step_record(step)) or general) if general else ""
