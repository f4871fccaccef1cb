"""
The road: the decisions of others on the way, and when they usually fall. Pure.

What is done and what waits has its days from the journal. What is ahead begins once that is decided
which comes before it, and takes as long as it usually takes at most.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from runbook_lib.core.advice import waits_for
from runbook_lib.core.attestation_rules import days_after
from runbook_lib.core.model import Day, Outcome, Part
from runbook_lib.core.state import RunState, StepState
from runbook_lib.text import pluralize

Stage = Literal["done", "waiting", "ahead"]


class Leg(Part):
    """
    One decision of somebody else, as it stands.

    `begins` is the day on which the wait began, or can begin. `ends` is the day of a decision that
    is made, else the one by which it is usually made, or must be; empty where nobody knows.
    `after` are the numbers of decisions that must be made first.
    """

    step: str
    number: str
    title: str
    stage: Stage
    begins: Day
    ends: Day
    after: tuple[str, ...]

    def is_late(self, today: str) -> bool:
        """Return whether it is usually made by now."""
        return self.stage == "waiting" and "" < self.ends < today


class RoadAhead(Part):
    """All decisions on the way, in the documented order; `beside` are steps to do meanwhile."""

    today: Day
    legs: tuple[Leg, ...]
    beside: tuple[str, ...]

    @property
    def end(self) -> str:
        """Return the day by which the last one is usually made; empty if all are, or unknown."""
        is_open = any(leg.stage != "done" for leg in self.legs)
        return max((leg.ends or self.today for leg in self.legs), default="") if is_open else ""

    @property
    def message(self) -> str:
        """Return how many decisions are made."""
        done = sum(leg.stage == "done" for leg in self.legs)
        if done < len(self.legs):
            return f"{done} of {pluralize(len(self.legs), 'decision')} made"
        return f"All {done} decisions are made" if done > 1 else "The decision is made"


def road_ahead(state: RunState) -> RoadAhead | None:
    """Return the road on the day of `state`; `None` where nobody else decides anything."""
    if not state.gates:
        return None
    today = (state.today or state.finished_on or state.started_on)[:10]
    legs: dict[str, Leg] = {}
    for name in state.gates:
        legs[name] = _leg(state, state.steps[name], legs, today)
    startable = (
        step.number
        for name, step in state.steps.items()
        if name not in legs and not step.is_settled and not waits_for(state, step)
    )
    is_over = all(leg.stage == "done" for leg in legs.values())
    return RoadAhead(
        today=today, legs=tuple(legs.values()), beside=() if is_over else tuple(startable)
    )


def _leg(state: RunState, gate: StepState, legs: dict[str, Leg], today: str) -> Leg:
    """Return where a gate stands; `legs` are those before it in the documented order."""
    before = [legs[name] for name in _before(state, gate) if name in legs]
    first = [leg for leg in before if leg.stage != "done"]
    is_waiting = gate.conclusion.outcome is Outcome.WAITING and not gate.conclusion.needs_another
    # NOTE: of a decision that is verified in part a person confirms the rest; it is made.
    stage: Stage = "waiting" if is_waiting else "ahead" if gate.blocks_later_steps else "done"
    said = (
        gate.attestation.at if gate.attestation and gate.conclusion.by_person else gate.checked_on
    )
    begins = {
        "done": said[:10],
        "waiting": gate.waiting_since[:10],
        "ahead": max([today, *(leg.ends for leg in first)]),
    }[stage]
    is_known = begins and gate.step.usual_days
    usual = days_after(begins, gate.step.usual_days) if is_known else ""
    # A day that was named and is over says nothing about a decision that is still ahead.
    is_over = stage == "ahead" and gate.due < begins
    return Leg(
        step=gate.step.id,
        number=gate.number,
        title=gate.step.title,
        stage=stage,
        begins=begins,
        ends=begins if stage == "done" else usual if is_over else gate.due or usual,
        after=tuple(leg.number for leg in first) if stage == "ahead" else (),
    )


def _before(state: RunState, step: StepState) -> Iterator[str]:
    """Yield the ids of the steps that come before a step, each once, the nearest first."""
    found = dict.fromkeys(step.step.after)
    names = list(found)
    for name in names:
        yield name
        names += [other for other in state.steps[name].step.after if other not in names]
