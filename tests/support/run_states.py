"""States of steps and runs without a journal, and those of a whole procedure in a line."""

from __future__ import annotations

from typing import Any

from runbook_lib.connectors.registry import find_procedure
from runbook_lib.core.model import (
    AttestationKind,
    Finding,
    Mode,
    Outcome,
    ProcedureName,
    RunOutcome,
)
from runbook_lib.core.outcome import SETTLED
from runbook_lib.core.procedure import Procedure, Step
from runbook_lib.run.events import FORMAT, AnswerOption
from runbook_lib.run.state import RunState, StepState
from tests.support.attestations import attestation

MARKETING = find_procedure("facebook_marketing")

# The states of a step, by the sign that a scenario below has for it.
DUE = attestation(AttestationKind.ATTESTED, due="2026-12-24")
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
    "asked for": {
        "outcome": Outcome.WAITING,
        "by_person": True,
        "attestation": DUE,
        "due": DUE.due,
    },
    "unclear": {"outcome": Outcome.INCONCLUSIVE},
    "left": {
        "outcome": Outcome.INCONCLUSIVE,
        "needs_human_only": True,
        "findings": (LEFT,),
    },
    "failed": {"outcome": Outcome.FAILED},
    "skipped": {"outcome": Outcome.SKIPPED, "by_person": True},
    "blocked": {"outcome": Outcome.SKIPPED},
    "seen unclear": {"outcome": Outcome.INCONCLUSIVE, "is_worked_on": False},
    "seen failed": {"outcome": Outcome.FAILED, "is_worked_on": False},
    "seen waiting": {"outcome": Outcome.WAITING, "is_worked_on": False},
}


def step_state(step: Step, outcome: Outcome = Outcome.VERIFIED, **more: Any) -> StepState:
    """Return the state of a step with an outcome, which somebody has worked on."""
    is_skipped = outcome is Outcome.SKIPPED and more.get("by_person", False)
    is_done = outcome in SETTLED and not more.get("needs_person", False)
    usual: dict[str, Any] = {
        "id": step.id,
        "number": "1",
        "title": step.title,
        "off_page": bool(step.source.off_page),
        "kind": step.kind,
        "outcome": outcome,
        "reason": "So.",
        "sentence": step.sentence,
        "answers": tuple(
            AnswerOption(label=answer.label, sentence=answer.sentence, valid_days=answer.valid_days)
            for answer in step.answers
        ),
        "is_settled": is_skipped or is_done,
        "is_worked_on": True,
    }
    return StepState(**{**usual, **more})


def run_state(*steps: StepState, **more: Any) -> RunState:
    """Return the state of a run with these steps."""
    outcome = RunOutcome.INCOMPLETE
    if any(step.outcome is Outcome.FAILED for step in steps):
        outcome = RunOutcome.FAILED
    elif all(step.is_settled for step in steps):
        outcome = RunOutcome.COMPLETE
    usual: dict[str, Any] = {
        "format": FORMAT,
        "tenant": "acme",
        "run": "0a1b2c3d",
        "procedure": ProcedureName(id="p", version="1", digest="0" * 64),
        "mode": Mode.HEADLESS,
        "sandbox": False,
        "started_on": "",
        "finished_on": "",
        "resumes": "",
        "fleet_run": None,
        "not_run": None,
        "outcome": outcome,
        "broken": "",
        "values": {},
        "unverifiable": (),
        "app_id_label": "app_id",
        "credentials": (),
        "environment": {},
        "steps": steps,
        "exchanges": {},
        "calls": {},
    }
    return RunState(**{**usual, **more})


def state_of(signs: str, *, rest: str = "verified", procedure: Procedure = MARKETING) -> RunState:
    """Return the state in which these steps, by number, are so: `5a waits, 12 to do`."""
    given = dict(part.split(" ", 1) for part in signs.split(", ") if part)
    assert given.keys() <= set(procedure.numbers.values())
    states = []
    for step in procedure.steps:
        number = procedure.numbers[step.id]
        states.append(step_state(step, number=number, **SIGNS[given.get(number, rest)]))
    return run_state(*states)
