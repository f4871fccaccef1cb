"""
The inbox: what waits for whom, over all tenants, the worst first. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any

from runbook_lib.core.advice import what_to_do
from runbook_lib.core.model import Outcome, WaitsFor
from runbook_lib.core.state import StepState
from runbook_lib.core.waits import waits_in
from runbook_lib.core.words import person_key
from runbook_lib.engine.tenants import TenantState, UnreadableTenant
from runbook_lib.evidence.reports.phrases import days_between
from runbook_lib.evidence.reports.tenant_rows import LOOKS_LIKE, StepRow, TenantRow


@dataclass(frozen=True, slots=True)
class Item:
    """
    A step that waits for somebody; `overdue_days` is 0 while there is time.

    `is_next` is whether `next_step` names it for its tenant.
    """

    tenant: TenantState
    step: StepState
    waits_for: WaitsFor
    overdue_days: int = 0
    is_next: bool = False

    @property
    def is_practice(self) -> bool:
        """Return whether the tenant is one of practice."""
        return self.tenant.state.is_practice

    @property
    def advice(self) -> str:
        """Return what to do; of a word that ends soon or has ended, that it is asked for again."""
        if self.step.ends_on:
            return f"The confirmation ends on {self.step.ends_on}: look again, then confirm it."
        return what_to_do(self.step, is_overdue=self.overdue_days > 0)

    def row(self, today: date) -> StepRow:
        """Return the item as a step of its tenant's row."""
        step, conclusion = self.step, self.step.conclusion
        is_outside = self.waits_for is WaitsFor.OUTSIDE_PARTY
        is_due = self.waits_for is WaitsFor.PERSON or step.is_asked_for
        return StepRow(
            id=step.step.id,
            outcome=conclusion.outcome,
            needs_person=conclusion.needs_person,
            reason=conclusion.reason,
            advice="" if is_outside and not self.overdue_days else self.advice,
            number=step.number,
            title=step.step.title,
            waits_for=self.waits_for,
            assigned_to=step.assigned_to,
            said_by=step.word.by if conclusion.needs_another and step.word else "",
            since=step.waiting_since,
            days=days_between(step.waiting_since, today.isoformat()),
            due=step.due if is_due else "",
            ends_on=step.ends_on,
            overdue_days=self.overdue_days,
            usual_days=step.step.usual_days if is_outside else 0,
            is_next=self.is_next,
        )


def inbox(tenants: Iterable[TenantState], *, today: date, person: str = "") -> list[Item]:
    """
    Return what waits in `tenants`, the worst first, practice last.

    A step that is settled by a word which ends within 30 days is asked for again.
    With `person`, only what is assigned to somebody of that name.
    """
    items = [
        Item(tenant, step, waits_for, step.overdue_days(today), is_next=is_next)
        for tenant in tenants
        for step, waits_for, is_next in waits_in(tenant.state, today)
    ]
    if person:
        key = person_key(person)
        items = [item for item in items if person_key(item.step.assigned_to) == key]
    return sorted(items, key=_badness)


def tenant_rows(
    tenants: Iterable[TenantState], items: Iterable[Item], today: date
) -> list[TenantRow]:
    """Return the row of each tenant, with its items, which are open: those with the worst first."""
    steps: dict[tuple[str, str], list[StepRow]] = {}
    for item in items:
        name = (item.tenant.tenant, item.tenant.connector)
        steps.setdefault(name, []).append(item.row(today))
    order = list(steps)
    rows = [
        TenantRow(
            tenant=tenant.tenant,
            connector=tenant.connector,
            word=tenant.state.outcome,
            outcome=LOOKS_LIKE[tenant.state.outcome],
            steps=steps.get((tenant.tenant, tenant.connector), ()),
            sandbox=tenant.state.is_practice,
            looked_on=tenant.looked_on,
            sealed_on=tenant.sealed_on,
            done=tenant.done,
            total=len(tenant.state.steps),
        )
        for tenant in tenants
    ]
    places = {name: place for place, name in enumerate(order)}
    return sorted(rows, key=lambda row: places.get((row.tenant, row.connector), len(order)))


def unreadable_rows(tenants: Iterable[UnreadableTenant]) -> list[TenantRow]:
    """Return the row of each tenant whose connector is broken: why, and what to do."""
    return [
        TenantRow(
            tenant=tenant.tenant,
            connector=tenant.connector,
            word="not readable",
            outcome=Outcome.INCONCLUSIVE,
            problem=str(tenant.error),
            next_step=tenant.error.diagnostics(),
        )
        for tenant in tenants
    ]


def _badness(item: Item) -> tuple[Any, ...]:
    """Return the key by which items are sorted: what is overdue, what failed, what is due."""
    is_failed = item.step.conclusion.outcome is Outcome.FAILED
    return (
        item.is_practice,
        -item.overdue_days,
        not is_failed,
        list(WaitsFor).index(item.waits_for),
        item.step.due or item.step.ends_on or "9999-12-31",
        item.step.waiting_since,
        item.tenant.tenant,
    )
