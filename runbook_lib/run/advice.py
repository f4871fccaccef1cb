"""
A person's next action, the same on every screen. Pure.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from runbook_lib.core.faults import decides_nothing
from runbook_lib.core.model import Outcome
from runbook_lib.core.outcome import OUTCOMES
from runbook_lib.core.procedure import Procedure, Step, step_name
from runbook_lib.errors import UnreachableError
from runbook_lib.run.state import RunState, StepState
from runbook_lib.text import split_first_sentence

_CONFIRM_THE_REST = "No check can tell the rest. Confirm it once it is done: {}"
# Advice about a late outside party, if the step has none of its own.
_ASK = "It takes longer than usual: ask the party that decides, and write its answer in a comment."


class NextStep(NamedTuple):
    """The step that needs somebody next, and the advice for that person."""

    step: StepState
    advice: str


def next_step(
    state: RunState, procedure: Procedure, passed: Collection[str] = ()
) -> NextStep | None:
    """
    Return the next step that needs somebody, with advice; `None` if no step needs anybody.

    Only steps that can be started count. The order is: failed steps and those that wait for a
    person's attestation; steps to do or checked in vain; steps that a later one has overtaken;
    steps that wait for others. Among equals, the first in the documented order counts. `passed` are
    the ids of steps that a person went past, because a remote system has a fault: they come late,
    and hold up nothing.
    """
    ranked = [
        (_rank_of(state, step, procedure, passed), step)
        for step in state.steps
        if not (step.is_settled or step.outcome is Outcome.SKIPPED)
        and not waits_for(state, procedure.step(step.id), passed)
    ]
    if not ranked:
        return None
    _, step = max(ranked, key=lambda pair: pair[0])
    return NextStep(step, what_to_do(step, procedure.step(step.id)))


def waits_for(state: RunState, step: Step, passed: Collection[str] = ()) -> tuple[StepState, ...]:
    """Return the steps that must come before `step` and are still open; empty if it can start."""
    earlier = map(state.step, step.after)
    return tuple(
        before for before in earlier if before.blocks_later_steps and before.id not in passed
    )


def blockers_by_step(
    state: RunState, procedure: Procedure, passed: Collection[str] = ()
) -> dict[str, str]:
    """Return the blockers of each untouched step that cannot be started yet, by its id."""
    return {
        step.id: f"later: after {', '.join(before.number for before in blockers)}"
        for step in state.steps
        if step.is_untouched and (blockers := waits_for(state, procedure.step(step.id), passed))
    }


def is_checkable(state: RunState, step: Step) -> bool:
    """Return whether the steps are done that its checks depend on (`Step.checkable_after`)."""
    return all(state.step(name).is_settled for name in step.checkable_after)


def _rank_of(
    state: RunState, step: StepState, procedure: Procedure, passed: Collection[str]
) -> int:
    if step.needs_person or step.needs_another or step.is_asked_for:
        return OUTCOMES[Outcome.FAILED].rank
    if step.id in passed or _is_overtaken(state, step, procedure):
        return OUTCOMES[Outcome.INCONCLUSIVE].rank
    is_tried = step.outcome is Outcome.INCONCLUSIVE
    return OUTCOMES[Outcome.NOT_RUN if step.is_untouched or is_tried else step.outcome].rank


def _is_overtaken(state: RunState, step: StepState, procedure: Procedure) -> bool:
    """
    Return whether a step after this one has gone on, although no check can tell about this one.

    Then nobody repeats it; somebody only confirms it.
    """
    return step.needs_human_only and any(
        step.id in procedure.step(other.id).after
        and (other.is_settled or other.outcome is Outcome.WAITING)
        for other in state.steps
    )


def open_title(step: StepState) -> str:
    """Return the title of an open step, and the reason why it is open again."""
    name = step.title
    if step.ends_on:
        return f"{name}: its confirmation ends"
    if step.needs_another:
        first = f", after {step.attestation.by}" if step.attestation else ""
        return f"{name}: a second person must confirm it{first}"
    if step.needs_person:
        return f"{name}: confirm what no check can see"
    return f"{name}: confirm it again" if step.has_expired else name


def failed_title(step: StepState) -> str:
    """Return the title of a failed step without a known cause."""
    source = "declined" if step.by_person else "contradicted by a check"
    return f"{step.title}: {source}"


def what_to_do(step: StepState, texts: Step) -> str:
    """
    Return the advice for a person about this step; empty if there is nothing to do.

    `texts` is the step in its procedure.
    """
    is_overdue = step.overdue_days > 0
    if step.needs_another:
        return "A second person must check and confirm it."
    if step.needs_person:
        sentences = " ".join(texts.unverifiable(step.findings))
        return f"Check it yourself, then confirm: {sentences}"
    if step.is_asked_for:
        by_when = f"It was due on {step.due}: do it" if is_overdue else f"Do it by {step.due}"
        return f"{by_when}, then confirm that it is done."
    if step.needs_human_only:
        return _CONFIRM_THE_REST.format(step.asked_sentence)
    if step.has_expired:
        return step.redo_reason
    if is_overdue and step.outcome is Outcome.WAITING:
        return texts.overdue or _ASK
    general = OUTCOMES[step.outcome].advice
    if not general:
        return ""
    # A refusal says itself what to compare.
    mistyped = rejected_inputs(step, texts).difference(
        *(finding.refuses for finding in step.findings)
    )
    inputs = (item for item in texts.inputs if item.name in mistyped)
    compare = [f"Compare it with {split_first_sentence(item.help)[0]}" for item in inputs]
    return " ".join([*compare, _known_advice(step, texts)]).strip() or general


def rejected_inputs(step: StepState, texts: Step) -> frozenset[str]:
    """
    Return the names of the values that the step's newest checks have rejected.

    Among them is one that failed in a check which needs no other value. A fault of a remote system
    rejects none, but a host that nobody can reach may be mistyped.
    """
    alone = {check.id: check.needs for check in texts.checks if len(check.needs) == 1}
    rejected: set[str] = set()
    for finding in step.findings:
        rejected.update(finding.refuses)
        is_known = not (step.has_fault or decides_nothing(finding, (), ()))
        if finding.code == UnreachableError.code or (
            is_known and finding.outcome in (Outcome.FAILED, Outcome.INCONCLUSIVE)
        ):
            rejected.update(alone.get(finding.check, ()))
    return frozenset(rejected)


def _known_advice(step: StepState, texts: Step) -> str:
    """
    Return the advice about the known error in a step's reason, or an empty text.

    It replaces the general advice for the outcome. To look and confirm the step would contradict,
    for example, that a client ID is mistyped.
    """
    if step.outcome not in (Outcome.FAILED, Outcome.INCONCLUSIVE):
        return ""
    words = " ".join([step.reason, *step.gather("quotes")])
    here = step_name(step.number, step.title)
    ranked = texts.rank_seen(texts.known_errors, words, [])
    return next((error.advice_at(here) for error, seen in ranked if seen), "")


def advice_of(step: StepState) -> str:
    """Return the recorded advice about the known error in a step's reason, or an empty text."""
    named = (error.advice for error in step.known_errors if error.seen == "reason")
    return next(named, "")
