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
    from runbook_lib.engine.tenant_reader import TenantsOverview


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
    from runbook_lib.core.advice import next_step
    from runbook_lib.core.step_record import step_record
    from runbook_lib.engine.tenant_reader import confirmed_polls

    own = [status for status in read.statuses if status.tenant == run.tenant]
    run.polls = confirmed_polls(str(run.evidence), run.tenant, run.procedure.id, run.clock())
    state = run.whole_state
    following = next_step(state)
    if as_json:
        document = {
            "tenant": run.tenant,
            "connector": run.procedure.id,
            "outcome": state.outcome,
            "steps": [to_builtins(step_record(step)) for step in state.steps.values()],
            "next": {"step": following[0].step.id, "advice": following[1]} if following else None,
            "again": [
                {"step": step.step.id, "why": step.redo_reason}
                for step in state.steps.values()
                if step.redo_reason
            ],
            "states": [status.document() for status in own],
        }
        show_json(document)
        return
    mark = "SANDBOX " if state.is_practice else ""
    show = show_steps if is_verbose else show_open
    show(state, title=f"{mark}{run.tenant} · {run.procedure.title}")
    show_forecast(state)
    show_again(state)
    show_next(state, run.link_values)
    # NOTE: the next step is shown already, with its links.
    others = [
        replace(status, items=tuple(i for i in status.items if i.is_failing or not i.is_next))
        for status in own
    ]
    show_items(others, is_verbose=is_verbose)
