"""
The command `inbox`: the open items of all tenants, by cause, and who must act.

`status` without a tenant shows the same tenants, a line each.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from runbook_lib.cli.options import EVIDENCE, FILE, JSON, VERBOSE
from runbook_lib.cli.plain_output import say, show_json, show_paragraph
from runbook_lib.errors import SettingsError
from runbook_lib.text import pluralize

if TYPE_CHECKING:
    from runbook_lib.evidence.reports.tenant_status import CauseRow, TenantStatus
    from runbook_lib.operations.tenant_reader import TenantsOverview


@click.command()
@FILE
@EVIDENCE
@click.option("--for", "person", default="", metavar="NAME", help="Show only NAME's items.")
@click.option("--tenant", default="", metavar="NAME", help="Show only this tenant.")
@VERBOSE
@JSON
def inbox(
    *,
    file: Path | None,
    evidence: str,
    person: str,
    tenant: str,
    is_verbose: bool,
    as_json: bool,
) -> None:
    """List what is open at all tenants, by cause, the worst first, and who must act."""
    from runbook_lib.engine.tenant_names import unknown_tenant

    name = person.strip()
    read = read_listed(evidence, file, tenant)
    if tenant and not read.statuses:
        raise SettingsError(unknown_tenant(tenant, evidence))
    shown = _of_person(read.statuses, name) if name else read.statuses
    shown = [status for status in shown if status.items]
    for notice in read.notices:
        say(f"! {notice}", is_error=True)
    if as_json:
        show_json([status.document() for status in shown])
        return
    _show_inbox(shown, read.statuses, name, is_verbose=is_verbose)


def read_listed(evidence: str, file: Path | None, tenant: str = "") -> TenantsOverview:
    """Return the tenants, of all FILEs or of `file`; raises `FleetFileError` for its mistakes."""
    from runbook_lib.core.clock import utc_now
    from runbook_lib.operations.tenant_list import whole_tenants_file
    from runbook_lib.operations.tenant_reader import read_tenants

    only = [tenant] if tenant else []
    if file is None:
        return read_tenants(evidence, utc_now(), only=only)
    names = {(entry.tenant, entry.procedure.id) for entry in whole_tenants_file(file)}
    read = read_tenants(evidence, utc_now(), file=file, only=only)
    of_file = [s for s in read.statuses if (s.tenant, s.connector) in names]
    return replace(read, statuses=of_file)


def show_tenants(read: TenantsOverview) -> None:
    """Print a line for each tenant, the worst first, after what to do now; times are UTC."""
    from runbook_lib.evidence.reports.phrases import when
    from runbook_lib.evidence.reports.tenant_status import what_now

    say(what_now(read.statuses))
    for status in read.statuses:
        polled = f"last polled {when(status.polled_on)}" if status.polled_on else ""
        facts = (
            status.label,
            f"{status.done} of {status.total} done",
            "time of the last poll cannot be read" if status.polled_on is None else polled,
            f"sealed {when(status.sealed_on)}" if status.sealed_on else "",
            status.not_sealed,
        )
        say(f"{icon_of(status)} {name_of(status)}: {', '.join(filter(None, facts))}")
        for item in status.items[:1]:
            show_paragraph(item.title, indent="    ")


def name_of(status: TenantStatus) -> str:
    """Return the tenant's name, with the mark of practice."""
    mark = "SANDBOX " if status.is_practice else ""
    return f"{mark}{status.tenant} ({status.connector})"


def icon_of(status: TenantStatus) -> str:
    """Return the icon of a tenant's state."""
    from runbook_lib.core.outcome import ICONS

    return ICONS[status.looks_like]


def _of_person(statuses: Iterable[TenantStatus], name: str) -> list[TenantStatus]:
    """Return the tenants with only what was handed over to a person of that name."""
    from runbook_lib.core.people import person_key

    key = person_key(name)
    return [
        replace(status, items=mine)
        for status in statuses
        if (mine := tuple(item for item in status.items if person_key(item.whom) == key))
    ]


def _show_inbox(
    shown: Sequence[TenantStatus],
    everybody: Sequence[TenantStatus],
    person: str,
    *,
    is_verbose: bool,
) -> None:
    from runbook_lib.evidence.reports.tenant_status import what_now

    if person:
        say(_sum_for(person, shown, everybody))
    elif not everybody:
        say("There is no tenant yet. Begin one with `runbook lab` or `runbook run`.")
    else:
        say(what_now(everybody))
    show_items(shown, is_verbose=is_verbose)


def show_items(shown: Sequence[TenantStatus], *, is_verbose: bool = False) -> None:
    """Print the tenants' open items by group and cause."""
    from runbook_lib.evidence.reports.tenant_status import GROUP_LABELS, cause_rows

    group = None
    connectors = {status.connector for status in shown}
    for row in cause_rows(shown):
        if row.first.group is not group:
            group = row.first.group
            say("")
            say(GROUP_LABELS[group].upper())
        _show_row(row, has_connectors=len(connectors) > 1, is_verbose=is_verbose)


def _sum_for(person: str, shown: Iterable[TenantStatus], everybody: Iterable[TenantStatus]) -> str:
    """Return the number of items that wait for a person, and the number for anybody."""
    from runbook_lib.evidence.reports.tenant_status import YOU

    mine = sum(len(status.items) for status in shown)
    free = [item for status in everybody for item in status.items if item.whom == YOU]
    others = f"{pluralize(len(free), 'item')} for anybody"
    if not mine:
        return f"Nothing is waiting for {person}; {others}."
    return f"{pluralize(mine, 'item')} for {person}, {others}."


def _show_row(row: CauseRow, *, has_connectors: bool, is_verbose: bool) -> None:
    """Print a cause: who has it, what it stops, what to do, who acts, since when, by when."""
    from runbook_lib.core.outcome import ICONS

    head = row.headline(names_connectors=has_connectors)
    say(f"{ICONS[row.first.looks_like]} {head}")
    for line in row.lines(is_verbose=is_verbose):
        show_paragraph(line, indent="    ")
