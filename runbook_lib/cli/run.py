"""The commands `run`, `status` and `tenants`: perform the procedure, and show how far it is."""

from __future__ import annotations

import sys
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from runbook_lib.cli.junit import JUNIT, RunReport, require_place
from runbook_lib.cli.options import (
    EVIDENCE,
    JSON,
    SANDBOX,
    SET,
    VERBOSE,
    assignments,
    tenant_options,
)
from runbook_lib.cli.paragraphs import say_where, show_json
from runbook_lib.connectors.registry import find_procedure
from runbook_lib.errors import ExitCode, SettingsError

if TYPE_CHECKING:
    from runbook_lib.evidence.reports.tenant_rows import TenantRow


@click.command()
@SANDBOX
@click.option("--attestations", default="", help="TOML file of attestations.")
@click.option(
    "--tsa", default="", metavar="URL", help="Time-stamp authority for the evidence (RFC 3161)."
)
@click.option("--archive", default="", metavar="URL", help="Copy the evidence to this archive.")
@JUNIT
@tenant_options
@SET
@EVIDENCE
@VERBOSE
@JSON
@click.pass_context
def run(
    ctx: click.Context,
    /,
    *,
    scenario: str,
    tsa: str,
    archive: str,
    junit: str,
    connector: str,
    tenant: str,
    given: tuple[str, ...],
    is_verbose: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Run the procedure headless and seal the evidence."""
    from runbook_lib.cli.run_display import RunDisplay, show_archived
    from runbook_lib.engine.cells import Child
    from runbook_lib.engine.headless import RunRequest, run_tenant
    from runbook_lib.engine.practice import practise_tenant

    named, typed = {"tsa": tsa, "archive": archive}, assignments(given)
    request = RunRequest(
        procedure=find_procedure(connector),
        given={**typed, **{name: url for name, url in named.items() if url}},
        tenant=tenant or (f"sandbox-{scenario}" if scenario else ""),
        rechecks=tuple(typed),
        **options,
    )
    if scenario and request.env_file:
        msg = "--sandbox has its own settings: leave out --env-file."
        raise SettingsError(msg)
    if junit:
        require_place(junit)
    say_where(request.evidence)
    run_display = RunDisplay(as_json=as_json, is_verbose=is_verbose)
    report = RunReport(junit, request)
    try:
        # NOTE: the sandbox and the display begin threads.
        with closing(Child()) as child, run_display:
            request = replace(request, child=child)
            if scenario:
                result = practise_tenant(scenario, request, run_display)
            else:
                result = run_tenant(request, run_display)
    except BaseException as error:
        report.failed(error, run_display.run)
        raise
    report.sealed(result)
    show_archived(result, as_json=as_json)
    again = _same_tenant(ctx, result.tenant)
    run_display.show_result(result, options=again, ended=bool(scenario))
    code = result.state.outcome.exit_code
    is_open = result.archive_error is not None and code == ExitCode.COMPLETE
    sys.exit(ExitCode.INCOMPLETE if is_open else code)


@click.command()
@tenant_options
@EVIDENCE
@VERBOSE
@JSON
def status(
    *, connector: str, evidence: str, is_verbose: bool, as_json: bool, **options: Any
) -> None:
    """Show the steps that are done or waiting, and what to do next."""
    from msgspec import to_builtins

    from runbook_lib.cli.people import say_broken, show_rows
    from runbook_lib.cli.terminal import show_again, show_next, show_open, show_road, show_steps
    from runbook_lib.core.advice import next_step
    from runbook_lib.core.step_record import step_record
    from runbook_lib.engine.run import open_known
    from runbook_lib.engine.tenants import unknown_tenant, unreadable_tenants

    procedure = find_procedure(connector)
    say_broken()
    opened = open_known(procedure, evidence=evidence, **options)
    if not opened.journal.path.exists():
        raise SettingsError(unknown_tenant(opened.tenant, evidence), next_step="")
    state = opened.whole_state
    broken: list[TenantRow] = []
    if others := [one for one in unreadable_tenants(evidence) if one.tenant == opened.tenant]:
        from runbook_lib.engine.inbox import unreadable_rows

        broken = unreadable_rows(others)
    following = next_step(state)
    if as_json:
        document = {
            "tenant": opened.tenant,
            "connector": procedure.id,
            "outcome": state.outcome,
            "steps": [to_builtins(step_record(step)) for step in state.steps.values()],
            "next": {"step": following[0].step.id, "do": following[1]} if following else None,
            "again": [
                {"step": step.step.id, "why": step.again}
                for step in state.steps.values()
                if step.again
            ],
            **({"unreadable": [row.document() for row in broken]} if broken else {}),
        }
        show_json(document)
    else:
        mark = "SANDBOX " if state.is_practice else ""
        show = show_steps if is_verbose else show_open
        show(state, title=f"{mark}{opened.tenant} · {procedure.title}")
        show_road(state)
        show_again(state)
        show_next(state, opened.link_values)
        show_rows(broken)
    sys.exit(state.outcome.exit_code)


RUN_COMMANDS = (run, status)


def _same_tenant(ctx: click.Context, tenant: str) -> list[str]:
    """Return the options that name the tenant of this run to another command."""
    typed = {
        name: value
        for name, value in ctx.params.items()
        if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE
    }
    tenant = tenant if typed.keys() & {"scenario", "tenant", "given"} else ""
    named = {**typed, "tenant": tenant}
    names = ("connector", "tenant", "env_file", "evidence")
    return [
        part
        for name in names
        if named.get(name)
        for part in (f"--{name.replace('_', '-')}", named[name])
    ]
