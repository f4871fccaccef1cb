"""Steps that wait for somebody, and tenants that have them, without a journal."""

from __future__ import annotations

from datetime import UTC, date, datetime, time

from runbook_lib.connectors.registry import find_procedure
from runbook_lib.core.advice import next_step
from runbook_lib.core.conclusion import Conclusion
from runbook_lib.core.model import FORMAT_VERSION, Mode, Outcome, ProcedureName, RunStarted
from runbook_lib.core.procedure import StepKind
from runbook_lib.core.run_state import RunState, StepState
from runbook_lib.engine.tenant_state import KnownTenant, status_of
from runbook_lib.evidence.reports.tenant_status import TenantStatus
from tests.support.attestations import assigned, attested
from tests.support.procedures import plain_step

MARKETING = find_procedure("facebook_marketing")


def step(
    name: str,
    outcome: str,
    *,
    to: str = "",
    due: str = "",
    since: str = "",
    usual_days: int = 0,
    **needs: bool,
) -> StepState:
    """Return the state of a step; `needs` come from its conclusion."""
    return StepState(
        step=plain_step(name, kind=StepKind.WAIT, usual_days=usual_days),
        conclusion=Conclusion(outcome=Outcome(outcome), reason=f"Because {name}.", **needs),
        number="1",
        attestation=attested(name) if "needs_another" in needs else None,
        assignment=assigned(name, to, due=due) if to else None,
        waiting_since=since,
    )


def run_of(*steps: StepState, sandbox: bool = False) -> RunState:
    """Return the state of a run with these steps."""
    started = RunStarted(
        format_version=FORMAT_VERSION,
        tenant="acme",
        procedure=ProcedureName(id="p", version="1", digest="0" * 64),
        mode=Mode.HEADLESS,
        sandbox=sandbox,
        parameters={},
        credentials=(),
        fingerprints={},
        resumes="",
        environment={},
    )
    return RunState("0a1b2c3d", {step.step.id: step for step in steps}, started)


def known(name: str, *steps: StepState, sandbox: bool = False, **more: object) -> KnownTenant:
    """Return a tenant with only these steps, and `more` of its fields."""
    state = run_of(*steps, sandbox=sandbox)
    following = next_step(state)
    return KnownTenant(
        tenant=name,
        procedure=MARKETING,
        state=state,
        next_id=following.step.step.id if following else "",
        **more,  # type: ignore[arg-type]
    )


def status(tenant: KnownTenant, today: date) -> TenantStatus:
    """Return the state of a tenant at nine o'clock of a day."""
    return status_of(tenant, datetime.combine(today, time(9), UTC))
