"""
*Check everything now*: each step once, with one response cache, without sealing.

This button never runs a check with a side effect: it names such steps, with the
side effect, and the steps that lack a value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from runbook_lib.core.model import Outcome
from runbook_lib.core.outcome import label_of
from runbook_lib.core.procedure import Input, Step
from runbook_lib.engine.check_runner import RunningChecks
from runbook_lib.engine.run_view import RunView
from runbook_lib.engine.tenant_run import Run
from runbook_lib.run.state import StepState
from runbook_lib.walkthrough.views import as_displayed


@dataclass(frozen=True, slots=True)
class CheckPlan:
    """
    The steps to check, those to check only by their own button, and those that lack a value.

    `changed` are pairs of a step's state before and after it was checked.
    """

    steps: tuple[Step, ...]
    with_side_effect: tuple[Step, ...]
    blocked: tuple[tuple[Step, tuple[Input, ...]], ...]
    changed: tuple[tuple[StepState, StepState], ...] = ()


def find_missing_inputs(run: RunView, step: Step) -> tuple[Input, ...]:
    """Return the inputs that this step's checks need and were not given, each once."""
    items = {item.name: item for check in step.checks for item in run.lacking(check)}
    return tuple(items.values())


def plan_checks(run: RunView) -> CheckPlan:
    """Plan *Check everything now*."""
    steps: list[Step] = []
    with_side_effect: list[Step] = []
    blocked: list[tuple[Step, tuple[Input, ...]]] = []
    for step in run.procedure.steps:
        if all(run.lacking(check) for check in step.checks):
            if step.checks:
                blocked.append((step, find_missing_inputs(run, step)))
        else:
            (with_side_effect if step.side_effect else steps).append(step)
    return CheckPlan(tuple(steps), tuple(with_side_effect), tuple(blocked))


def check_everything(
    run: Run, planned: CheckPlan, check: Callable[[int, Step, RunningChecks], object]
) -> CheckPlan:
    """
    Check the planned steps in order by `check`, numbered from 1, with one response cache.

    Return the plan with the changed steps.
    """
    changed = []
    snapshot = run.start_snapshot(planned.steps)
    for number, step in enumerate(planned.steps, 1):
        before = run.state.step(step.id)
        check(number, step, snapshot)
        after = run.state.step(step.id)
        if label_of(as_displayed(after)) != label_of(as_displayed(before)):
            changed.append((before, after))
    return replace(planned, changed=tuple(changed))


def summarize_checks(run: RunView, done: CheckPlan) -> str:
    """Return the result for the person, a line for each kind of news."""
    numbers = run.procedure.numbers
    checked = [run.state.step(step.id) for step in done.steps]
    unclear = [state for state in checked if state.outcome is Outcome.INCONCLUSIVE]
    changes: dict[str, list[str]] = {}
    for _, after in done.changed:
        changes.setdefault(label_of(as_displayed(after)), []).append(after.number)
    return "\n".join(
        [
            f"Checked {len(done.steps)} steps.{'' if changes else ' Nothing has changed.'}",
            *(f"Now {label}: {', '.join(steps)}." for label, steps in changes.items()),
            *(
                f"{', '.join(state.number for state in states)}: {reason}"
                for (_, reason), states in group_reasons(unclear).items()
                if len(states) > 1
            ),
            *(
                f"Not checked: {numbers[step.id]}. {step.side_effect} Press Check there."
                for step in done.with_side_effect
            ),
            *(
                f"Not checked: {', '.join(steps)}; {label} is not given."
                for label, steps in describe_missing_inputs(run, done)
            ),
        ]
    )


def group_reasons(states: Iterable[StepState]) -> dict[tuple[str, str], list[StepState]]:
    """
    Return why these steps are where they are: outcome and reason, once for all steps that share it.

    An open step has several where several of its checks have that outcome: what one host does
    not answer is one reason, whatever else a step asks.
    """
    reasons: dict[tuple[str, str], list[StepState]] = {}
    for state in states:
        findings = () if state.is_settled else state.findings
        own = [part.reason for part in findings if part.outcome is state.outcome]
        for reason in dict.fromkeys(own or [state.reason]):
            reasons.setdefault((label_of(state), reason), []).append(state)
    return reasons


def describe_missing_inputs(run: RunView, done: CheckPlan) -> list[tuple[str, list[str]]]:
    """Return each input that was not given, with the numbers of the steps that lack it."""
    numbers = run.procedure.numbers
    absent: dict[str, list[str]] = {}
    for step, items in done.blocked:
        for item in items:
            absent.setdefault(item.label, []).append(numbers[step.id])
    return list(absent.items())
