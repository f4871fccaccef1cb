"""Steps that wait for somebody, and tenants that have them, without a journal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time

from runbook_lib.core.clock import days_between
from runbook_lib.core.model import Outcome
from runbook_lib.core.procedure import Procedure, Section, Step, StepKind
from runbook_lib.evidence.reports.tenant_status import TenantStatus
from runbook_lib.operations.customer_list import CustomerList
from runbook_lib.operations.customer_rows import KnownAccount
from runbook_lib.operations.tenant_state import KnownTenant, status_of
from runbook_lib.run.advice import next_step
from runbook_lib.run.state import RunState, StepState
from tests.support.attestations import assigned, attested
from tests.support.procedures import plain_step
from tests.support.run_states import MARKETING, run_state, step_state

# The day of these steps' states.
TODAY = "2026-11-24"


def step(
    name: str,
    outcome: str,
    *,
    to: str = "",
    due: str = "",
    since: str = "",
    usual_days: int = 0,
    **more: object,
) -> StepState:
    """Return the state of a step on `TODAY`, with `more` of its fields."""
    late = days_between(since, TODAY) - usual_days if since and usual_days else 0
    late = days_between(due, TODAY) if due else late
    known: dict[str, object] = {
        "reason": f"Because {name}.",
        "attestation": attested(name).statement if "needs_another" in more else None,
        "assigned": assigned(name, to, due=due).statement if to else None,
        "waiting_since": since,
        "due": due,
        "overdue_days": max(late, 0),
    }
    return step_state(waiting(name), Outcome(outcome), **{**known, **more})


def waiting(name: str, **more: object) -> Step:
    """Return a step that waits for an outside party."""
    return plain_step(name, kind=StepKind.WAIT, **more)


def run_of(*steps: StepState, sandbox: bool = False) -> RunState:
    """Return the state of a run with these steps."""
    return run_state(*steps, sandbox=sandbox)


def procedure_of(steps: Sequence[Step]) -> Procedure:
    """Return the connector of Facebook with other steps."""
    section = Section(id="01", title="One", intro="", steps=tuple(steps))
    return replace(MARKETING, sections=(section,), plan=None)


def known(
    name: str,
    *states: StepState,
    steps: Sequence[Step] = (),
    sandbox: bool = False,
    accounts: Sequence[KnownAccount] = (),
    **more: object,
) -> KnownTenant:
    """Return a tenant with only these states, `steps` of the procedure, and `more` fields."""
    procedure = procedure_of(steps or [waiting(state.id) for state in states])
    state = run_of(*states, sandbox=sandbox)
    following = next_step(state, procedure)
    return KnownTenant(
        tenant=name,
        procedure=procedure,
        state=state,
        next_id=following.step.id if following else "",
        customers=CustomerList(
            tenant=name, procedure=procedure, accounts=accounts, is_practice=sandbox
        ),
        **more,  # type: ignore[arg-type]
    )


def status(tenant: KnownTenant, today: date) -> TenantStatus:
    """Return the state of a tenant at nine o'clock of a day."""
    return status_of(tenant, datetime.combine(today, time(9), UTC))
