"""The command `run`: perform the procedure, and seal the evidence."""

from __future__ import annotations

import sys
from contextlib import closing
from dataclasses import replace
from typing import Any

import click
from click.core import ParameterSource

from runbook_lib.cli.index_renewal import renew_index
from runbook_lib.cli.junit_option import JUNIT, RunReport, require_place
from runbook_lib.cli.options import (
    EVIDENCE,
    JSON,
    SANDBOX,
    SET,
    VERBOSE,
    assignments,
    tenant_options,
)
from runbook_lib.cli.plain_output import say_package, say_settings, say_where
from runbook_lib.connectors.registry import find_procedure
from runbook_lib.errors import ExitCode, SettingsError


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
    from runbook_lib.engine.cells import CellProcess
    from runbook_lib.engine.headless import RunRequest, run_tenant
    from runbook_lib.engine.practice import practise_tenant

    say_package(connector)
    named = {"tsa": tsa, "archive": archive}
    typed = assignments(given)
    request = RunRequest(
        procedure=find_procedure(connector),
        given={**typed, **{name: url for name, url in named.items() if url}},
        tenant=tenant or (f"sandbox-{scenario}" if scenario else ""),
        rechecks=tuple(typed),
        **options,
    )
    if scenario and request.env_file:
        raise SettingsError("--sandbox has its own settings: leave out --env-file.")
    if junit:
        require_place(junit)
    say_where(request.evidence)
    if not scenario:
        say_settings(request.env_file)
    run_display = RunDisplay(as_json=as_json, is_verbose=is_verbose)
    report = RunReport(junit, request)
    try:
        # NOTE: the sandbox and the display begin threads.
        with closing(CellProcess()) as child, run_display:
            request = replace(request, child=child)
            if scenario:
                result = practise_tenant(scenario, request, run_display)
            else:
                result = run_tenant(request, run_display)
    except BaseException as error:
        report.failed(error, run_display.run)
        raise
    report.sealed(result)
    renew_index(request.evidence, alone=[(result.tenant, request.procedure.id)])
    show_archived(result, as_json=as_json)
    again = _same_tenant(ctx, result.tenant)
    run_display.show_result(result, options=again, ended=bool(scenario))
    code = result.state.outcome.exit_code
    is_open = result.archive_error is not None and code == ExitCode.COMPLETE
    sys.exit(ExitCode.INCOMPLETE if is_open else code)


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
