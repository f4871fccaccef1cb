"""
Forecast the decisions of outside parties, and the days on which they usually fall. Pure.

The journal has the days of past and pending decisions. A decision that is ahead begins after the
decisions before it, and takes its usual time at most.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from runbook_lib.core.clock import days_after
from runbook_lib.core.model import Day, ModelStruct, Outcome
from runbook_lib.core.procedure import Procedure
from runbook_lib.run.advice import waits_for
from runbook_lib.run.state import RunState, StepState
from runbook_lib.text import pluralize

Stage = Literal["done", "waiting", "ahead"]


class ExternalDecision(ModelStruct):
    """A decision of an outside party, such as a review, and its expected day."""

    step: str
    """The id of the gate, the step at which it is decided."""
    number: str
    """The gate's number on screen."""
    title: str
    """The gate's title."""
    stage: Stage
    """Whether it is made, pending, or not requested yet."""
    begins: Day
    """The day on which the wait began, or can begin; empty if unknown."""
    ends: Day
    """The day on which it was made, or else is due or usually made; empty if unknown."""
    after: tuple[str, ...]
    """The numbers of open decisions that must be made first; only for one that is ahead."""

    def is_late(self, today: str) -> bool:
        """Return whether it is usually made before `today`."""
        return self.stage == "waiting" and "" < self.ends < today


class Forecast(ModelStruct):
    """The external decisions (reviews, verifications) and their expected dates."""

    today: Day
    """The day for which the forecast holds."""
    decisions: tuple[ExternalDecision, ...]
    """All decisions, in the documented order."""
    can_start_now: tuple[str, ...]
    """The numbers of the steps that a person can do meanwhile."""

    @property
    def end(self) -> str:
        """The day by which the last one is usually made; empty if all are made."""
        if all(decision.stage == "done" for decision in self.decisions):
            return ""
        return max(decision.ends or self.today for decision in self.decisions)

    @property
    def message(self) -> str:
        """A clause with the number of decisions that are made."""
        done = sum(decision.stage == "done" for decision in self.decisions)
        if done < len(self.decisions):
            return f"{done} of {pluralize(len(self.decisions), 'decision')} made"
        return f"All {done} decisions are made" if done > 1 else "The decision is made"


def make_forecast(state: RunState, procedure: Procedure, today: str) -> Forecast | None:
    """Return the forecast for the day `today`; `None` without decisions of outside parties."""
    if not (procedure.plan and procedure.plan.gates):
        return None
    decisions: dict[str, ExternalDecision] = {}
    for gate in procedure.plan.gates:
        decisions[gate.step] = _decision_at(state.step(gate.step), procedure, decisions, today)
    startable = (
        step.number
        for step in state.steps
        if step.id not in decisions
        and not step.is_settled
        and not waits_for(state, procedure.step(step.id))
    )
    is_over = all(decision.stage == "done" for decision in decisions.values())
    return Forecast(
        today=today,
        decisions=tuple(decisions.values()),
        can_start_now=() if is_over else tuple(startable),
    )


def _decision_at(
    gate: StepState, procedure: Procedure, decisions: dict[str, ExternalDecision], today: str
) -> ExternalDecision:
    """Return the decision at a gate; `decisions` are the earlier ones in the documented order."""
    before = [decisions[name] for name in _steps_before(procedure, gate.id) if name in decisions]
    first = [decision for decision in before if decision.stage != "done"]
    is_waiting = gate.outcome is Outcome.WAITING and not gate.needs_another
    # NOTE: a decision that is verified in part is made; a person only confirms the rest.
    stage: Stage = "waiting" if is_waiting else "ahead" if gate.blocks_later_steps else "done"
    decided_at = gate.attestation.at if gate.attestation and gate.by_person else gate.checked_on
    begins = {
        "done": decided_at[:10],
        "waiting": gate.waiting_since[:10],
        "ahead": max([today, *(decision.ends for decision in first)]),
    }[stage]
    usual_days = procedure.step(gate.id).usual_days
    usual = days_after(begins, usual_days) if begins and usual_days else ""
    # A named day that is over tells nothing about a decision that is still ahead.
    is_over = stage == "ahead" and gate.due < begins
    return ExternalDecision(
        step=gate.id,
        number=gate.number,
        title=gate.title,
        stage=stage,
        begins=begins,
        ends=begins if stage == "done" else usual if is_over else gate.due or usual,
        after=tuple(decision.number for decision in first) if stage == "ahead" else (),
    )


def _steps_before(procedure: Procedure, step_id: str) -> Iterator[str]:
    """Yield the ids of the steps that come before a step, each once, the nearest first."""
    names = list(dict.fromkeys(procedure.step(step_id).after))
    for name in names:
        yield name
        names += [other for other in procedure.step(name).after if other not in names]
