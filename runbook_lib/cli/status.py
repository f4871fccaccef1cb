"""
The command `status`: all tenants, or the steps of one.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runbook_lib.cli.inbox import read_listed, show_items, show_tenants
from runbook_lib.cli.options import EVIDENCE, FILE, JSON, VERBOSE, tenant_options
from runbook_lib.cli.plain_output import say, show_json
from runbook_lib.connectors.registry import find_procedure
from runbook_lib.errors import SettingsError

if TYPE_CHECKING:
    from runbook_lib.engine.run_view import RunView
    from runbook_lib.operations.tenant_reader import TenantsOverview


@click.command()
@FILE
@tenant_options
@EVIDENCE
@VERBOSE
@JSON
def status(
    *,
    file: Path | None,
    connector: str,
    tenant: str,
    env_file: str,
    evidence: str,
    is_verbose: bool,
    as_json: bool,
) -> None:
    """Show all tenants, or, if there is one or you name one, its steps and what to do next."""
    read = read_listed(evidence, file, "" if file else tenant)
    for notice in read.notices:
        say(f"! {notice}", is_error=True)
    opened = None if file else _one_tenant(read, connector, tenant, env_file, evidence)
    if opened:
        _show_one(opened, read, is_verbose=is_verbose, as_json=as_json)
    elif as_json:
        show_json([status.document() for status in read.statuses])
    else:
        show_tenants(read)


def _one_tenant(
    read: TenantsOverview, connector: str, tenant: str, env_file: str, evidence: str
) -> RunView | None:
    """
    Return the tenant that is named, that the settings name, or that is the only one.

    `None` if there are several. Raises `SettingsError` for one that is not known.
    """
    from runbook_lib.engine.tenant_names import unknown_tenant
    from runbook_lib.engine.tenant_run import open_known

    options: dict[str, Any] = {"env_file": env_file, "evidence": evidence}
    only = read.statuses[0] if len(read.statuses) == 1 else None
    if not tenant and only:
        connector = only.connector
        tenant = only.tenant
    try:
        opened = open_known(find_procedure(connector), tenant=tenant, **options)
    except SettingsError:
        if tenant or not read.statuses:
            raise
        return None
    if opened.journal.path.exists():
        return opened
    if tenant or not read.statuses:
        raise SettingsError(unknown_tenant(opened.tenant, evidence), next_step="")
    return None


def _show_one(run: RunView, read: TenantsOverview, *, is_verbose: bool, as_json: bool) -> None:
    """Show the steps of a tenant and the next step, with the same state as in every list."""
    from msgspec import to_builtins

    from runbook_lib.cli.terminal import show_again, show_forecast, show_next, show_open, show_steps
    from runbook_lib.run.advice import next_step
    from runbook_lib.run.forecast import make_forecast

    own = [status for status in read.statuses if status.tenant == run.tenant]
    procedure = run.procedure
    state = run.whole_state
    if as_json:
        following = next_step(state, procedure)
        document = {
            **to_builtins(state),
            "connector": procedure.id,
            "next": {"step": following.step.id, "advice": following.advice} if following else None,
            "again": [
                {"step": step.id, "why": step.redo_reason}
                for step in state.steps
                if step.redo_reason
            ],
            "states": [status.document() for status in own],
        }
        show_json(document)
        return
    mark = "SANDBOX " if state.sandbox else ""
    show = show_steps if is_verbose else show_open
    show(state, procedure, title=f"{mark}{run.tenant} · {procedure.title}")
    show_forecast(make_forecast(state, procedure, run.clock().date().isoformat()))
    show_again(state)
    show_next(state, procedure, run.link_values)
    for status in own:
        if status.connector == procedure.id and status.not_sealed:
            say(f"{status.not_sealed}: the next run seals what the watch found.")
    # NOTE: the next step is shown already, with its links.
    others = [
        replace(status, items=tuple(i for i in status.items if i.is_failing or not i.is_next))
        for status in own
    ]
    show_items(others, is_verbose=is_verbose)
