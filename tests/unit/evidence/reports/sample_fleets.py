"""Fleet records for the tests of their page and for the bench, of any size."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE as MARKETING
from runbook_lib.connectors.facebook_messenger.procedure import PROCEDURE as MESSENGER
from runbook_lib.core.model import Wait
from runbook_lib.core.procedure import Procedure
from runbook_lib.evidence.fleet_result import FleetResult, Status, TenantResult
from runbook_lib.evidence.reports.tenants_page import fleet_page

ENDED = "2026-11-24T12:00:00.000000Z"
REVIEW, REDIRECT, LOGIN = "fb-12-submit-review", "fb-08-redirect-uri", "fb-01-log-in"
_BUNDLE = "20261124T115900Z-0a1b2c3d"


def described(procedure: Procedure) -> dict[str, Any]:
    """Return title and steps of a connector, as the record has them."""
    numbers = procedure.numbers
    return {
        "title": procedure.title,
        "steps": [
            {"id": step.id, "number": numbers[step.id], "title": step.title}
            for step in procedure.steps
        ],
    }


def step(name: str, outcome: str = "verified", reason: str = "", **wait: Any) -> dict[str, Any]:
    """Return a step of a result; with `wait`, it waits for an outside party since October."""
    found: dict[str, Any] = {
        "id": name,
        "outcome": outcome,
        "reason": reason,
        "needs_person": False,
    }
    default = {
        "waits_for": "outside_party",
        "since": "2026-10-31T12:00:00.000000Z",
        "assigned_to": None,
    }
    made = {**default, "due": None, "overdue_days": 0, **wait}
    return {**found, "wait": Wait(**made)} if wait else found


def result(tenant: str, *steps: Mapping[str, Any], **more: Any) -> TenantResult:
    """Return the result of a tenant's sealed run, by default a complete one."""
    connector = more.get("connector", MARKETING.id)
    default = {
        "connector": connector,
        "entry_digest": "0" * 64,
        "sandbox": False,
        "status": Status.SEALED,
        "outcome": "complete",
        "exit_code": 0,
        "run_id": "0a1b2c3d",
        "bundle": f"{tenant}/{connector}/{_BUNDLE}",
        "seconds": 2.5,
    }
    return TenantResult(**{**default, **more, "tenant": tenant, "steps": steps})


def unsealed(tenant: str, **more: Any) -> TenantResult:
    """Return the result of a tenant without evidence."""
    nothing = {"status": Status.UNSEALED, "outcome": None, "run_id": None, "bundle": None}
    return result(tenant, **{**nothing, "exit_code": 3, **more})


def fleet(*results: TenantResult, **more: Any) -> FleetResult:
    """Return the result of a fleet with these results of tenants."""
    known = {each.id: described(each) for each in (MARKETING, MESSENGER)}
    default = {
        "folder": Path("evidence/fleet/20261124T113000Z-1234abcd"),
        "fleet_id": "1234abcd",
        "file": "tenants.toml",
        "connectors": {each.connector: known.get(each.connector) for each in results},
        "started_on": "2026-11-24T11:30:00.000000Z",
        "finished_on": ENDED,
    }
    record = FleetResult(**{**default, **more})
    for each in results:
        record.put(each)
    return record


def waiting(tenant: str, days: int, **more: Any) -> TenantResult:
    """Return the result of a tenant whose App Review has lasted so many days."""
    since = datetime.fromisoformat(ENDED) - timedelta(days=days)
    wait = {"since": since.isoformat(), "overdue_days": max(days - 22, 0), **more}
    steps = (step(LOGIN, "attested"), step(REVIEW, "waiting", "Facebook reviews it.", **wait))
    return result(tenant, *steps, outcome="incomplete", exit_code=3)


def large_fleet(tenants: int) -> FleetResult:
    """Return a fleet with so many tenants, whose results differ, and all steps of the procedure."""
    return fleet(*(_one_of_many(number) for number in range(tenants)))


def _one_of_many(number: int) -> TenantResult:
    tenant, kind = f"tenant-{number:04}", number % 10
    if kind == 7 and number % 30 == 7:
        said = "app_secret: the variable ACME_SECRET is not set."
        return unsealed(tenant, reason=said, next_step="Set it, then run `--resume`.", exit_code=3)
    steps = [_step_of_many(number, place) for place in range(len(MARKETING.steps))]
    if kind < 4:
        return result(tenant, *(step(each["id"]) for each in steps), seconds=1 + number % 17 / 4)
    is_failed = any(each["outcome"] == "failed" for each in steps)
    return result(
        tenant,
        *steps,
        outcome="failed" if is_failed else "incomplete",
        exit_code=1 if is_failed else 3,
        seconds=1 + number % 17 / 4,
    )


def _step_of_many(number: int, place: int) -> dict[str, Any]:
    name, kind = MARKETING.steps[place].id, number % 10
    if name == REDIRECT and kind == 9:
        said = f"Facebook refuses the redirect URI of app {number:015}: URL blocked."
        return step(name, "failed", said, waits_for="anybody", since=None)
    if name in (REVIEW, "fb-05a-business-verification") and kind in (4, 5, 8):
        days = number * 7 % 40
        since = datetime.fromisoformat(ENDED) - timedelta(days=days)
        late = max(days - 22, 0)
        return step(
            name, "waiting", "Facebook reviews it.", since=since.isoformat(), overdue_days=late
        )
    if name == "fb-12a-publish" and kind == 6:
        due = date(2026, 11, 20) + timedelta(days=number % 9)
        late = max((date(2026, 11, 24) - due).days, 0)
        person = {
            "waits_for": "person",
            "assigned_to": f"Colleague {number % 3}",
            "due": due.isoformat(),
        }
        return step(name, "not_run", "Nothing happened yet.", **person, overdue_days=late)
    if place > 17:
        return step(name, "not_run", "Nothing happened yet.")
    said = f"Facebook's answer names the app {number:015}."
    return step(name, *(("attested", "") if place % 3 == 0 else ("verified", said)))


def page_text(record: FleetResult) -> str:
    """Return the page of a fleet's run as one text."""
    return "".join(fleet_page(record))
