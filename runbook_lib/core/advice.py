"""
A person's next action, the same on every screen. Pure.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import date
from typing import NamedTuple

from runbook_lib.core.faults import decides_nothing
from runbook_lib.core.model import Outcome
from runbook_lib.core.outcome import OUTCOMES
from runbook_lib.core.run_state import RunState, StepState
from runbook_lib.core.step_record import advice_of, step_record
from runbook_lib.errors import UnreachableError
from runbook_lib.text import split_first_sentence

_CONFIRM_THE_REST = "No check can tell the rest. Confirm it once it is done: {}"
# Advice about a late outside party, if the step has none of its own.
_ASK = "It takes longer than usual: ask the party that decides, and write its answer in a comment."


class NextStep(NamedTuple):
    """The step that needs somebody next, and the advice for that person."""

    step: StepState
    advice: str


def next_step(state: RunState, passed: Collection[str] = ()) -> NextStep | None:
    """
    Return the next step that needs somebody, with advice; `None` if no step needs anybody.

    Only steps that can be started count. The order is: failed steps and those that wait for a
    person's attestation; steps to do or checked in vain; steps that a later one has overtaken;
    steps that wait for others. Among equals, the first in the documented order counts. `passed` are
    the ids of steps that a person went past, because a remote system has a fault: they come late,
    and hold up nothing.
    """
    ranked = [
        (_rank_of(state, step, passed), step)
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


def blockers_by_step(state: RunState, passed: Collection[str] = ()) -> dict[str, str]:
    """Return the blockers of each untouched step that cannot be started yet, by its id."""
    return {
        name: f"later: after {', '.join(before.number for before in blockers)}"
        for name, step in state.steps.items()
        if step.is_untouched and (blockers := waits_for(state, step, passed))
    }


def is_checkable(state: RunState, step: StepState) -> bool:
    """Return whether the steps are done that its checks depend on (`Step.checkable_after`)."""
    return all(state.steps[name].is_settled for name in step.step.checkable_after)


def _rank_of(state: RunState, step: StepState, passed: Collection[str]) -> int:
    conclusion = step.conclusion
    if conclusion.needs_person or conclusion.needs_another or step.is_asked_for:
        return OUTCOMES[Outcome.FAILED].rank
    if step.step.id in passed or _is_overtaken(state, step):
        return OUTCOMES[Outcome.INCONCLUSIVE].rank
    is_tried = conclusion.outcome is Outcome.INCONCLUSIVE
    return OUTCOMES[Outcome.NOT_RUN if step.is_untouched or is_tried else conclusion.outcome].rank


def _is_overtaken(state: RunState, step: StepState) -> bool:
    """
    Return whether a step after this one has gone on, although no check can tell about this one.

    Then nobody repeats it; somebody only confirms it.
    """
    return step.needs_human_only and any(
        step.step.id in other.step.after
        and (other.is_settled or other.conclusion.outcome is Outcome.WAITING)
        for other in state.steps.values()
    )


def open_title(step: StepState) -> str:
    """Return the title of an open step: number, title, and the reason why it is open again."""
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
    """Return the title of a failed step without a known cause."""
    source = "declined" if step.conclusion.by_person else "contradicted by a check"
    return f"{step.number} {step.step.title}: {source}"


def what_to_do(step: StepState, *, is_overdue: bool = False) -> str:
    """
    Return the advice for a person about this step; empty if there is nothing to do.

    `is_overdue`: its due day, or an outside party's usual time, has passed.
    """
    if step.conclusion.needs_another:
        return "A second person must check and confirm it."
    if step.conclusion.needs_person:
        sentences = " ".join(step.step.unverifiable(step.all_findings))
        return f"Check it yourself, then confirm: {sentences}"
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
    if not general:
        return ""
    # A refusal says itself what to compare.
    mistyped = rejected_inputs(step).difference(*(finding.refuses for finding in step.findings))
    inputs = (item for item in step.step.inputs if item.name in mistyped)
    compare = [f"Compare it with {split_first_sentence(item.help)[0]}" for item in inputs]
    return " ".join([*compare, advice_of(step_record(step))]).strip() or general


def rejected_inputs(step: StepState) -> frozenset[str]:
    """
    Return the names of the values that the step's newest checks have rejected.

    Among them is one that failed in a check which needs no other value. A fault of a remote system
    rejects none, but a host that nobody can reach may be mistyped.
    """
    alone = {check.id: check.needs for check in step.step.checks if len(check.needs) == 1}
    rejected: set[str] = set()
    for finding in step.findings:
        rejected.update(finding.refuses)
        is_known = not (step.has_fault or decides_nothing(finding, (), ()))
        if finding.code == UnreachableError.code or (
            is_known and finding.outcome in (Outcome.FAILED, Outcome.INCONCLUSIVE)
        ):
            rejected.update(alone.get(finding.check, ()))
    return frozenset(rejected)
