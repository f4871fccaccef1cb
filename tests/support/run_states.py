"""The state of a run in a line: which steps are how, by their number on screen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from runbook_lib.connectors.registry import find_procedure
from runbook_lib.core.conclusion import Conclusion
from runbook_lib.core.model import Attestation, AttestationKind, Finding, Outcome
from runbook_lib.core.procedure import Check, Procedure
from runbook_lib.core.run_state import RunState, StepState
from tests.support.attestations import AT

MARKETING = find_procedure("facebook_marketing")

# The states of a step, by the sign that a scenario below has for it.
DUE = Attestation(kind=AttestationKind.ATTESTED, step="", by="Operator", at=AT, due="2026-12-24")
LEFT = Finding(
    outcome=Outcome.INCONCLUSIVE, code="a-code", reason="So.", check="seen", limits=("The rest.",)
)
SIGNS: dict[str, dict[str, Any]] = {
    "verified": {},
    "attested": {"outcome": Outcome.ATTESTED, "by_person": True},
    "in part": {"needs_person": True},
    "to do": {"outcome": Outcome.NOT_RUN},
    "waits": {"outcome": Outcome.WAITING},
    "half": {"outcome": Outcome.WAITING, "by_person": True, "needs_another": True},
    "asked for": {"outcome": Outcome.WAITING, "by_person": True, "attestation": DUE},
    "unclear": {"outcome": Outcome.INCONCLUSIVE},
    "left": {"outcome": Outcome.INCONCLUSIVE, "leaves": True},
    "failed": {"outcome": Outcome.FAILED},
    "skipped": {"outcome": Outcome.SKIPPED, "by_person": True},
    "blocked": {"outcome": Outcome.SKIPPED},
    "seen unclear": {"outcome": Outcome.INCONCLUSIVE, "is_worked_on": False},
    "seen failed": {"outcome": Outcome.FAILED, "is_worked_on": False},
    "seen waiting": {"outcome": Outcome.WAITING, "is_worked_on": False},
}


def state_of(signs: str, *, rest: str = "verified", procedure: Procedure = MARKETING) -> RunState:
    """Return the state in which these steps, by number, are so: `5a waits, 12 to do`."""
    given = dict(part.split(" ", 1) for part in signs.split(", ") if part)
    assert given.keys() <= set(procedure.numbers.values())
    states = {}
    for documented in procedure.steps:
        step = documented
        number = procedure.numbers[step.id]
        sign = dict(SIGNS[given.get(number, rest)])
        more = {name: sign.pop(name) for name in ("attestation", "is_worked_on") if name in sign}
        if sign.pop("leaves", False):
            check = Check("seen", lambda _: None, needs_human_only=True)
            step = replace(step, checks=(check,))
            more["findings"] = (LEFT,)
        conclusion = Conclusion(**{"outcome": Outcome.VERIFIED, "reason": "So.", **sign})
        states[step.id] = StepState(step, conclusion, number=number, **more)
    return RunState("0a1b2c3d", states)
