"""The command `watch`: check every step again, and report what changed, once."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from runbook_lib.cli.index_renewal import renew_index
from runbook_lib.cli.options import EVIDENCE, FILE, JSON, SANDBOX, SET, assignments, tenant_options
from runbook_lib.cli.plain_output import say, say_settings, show_json, show_paragraph
from runbook_lib.connectors.registry import (
    find_procedure,
)
from runbook_lib.errors import BusyError, ExitCode, RunbookError, SettingsError, describe_error

if TYPE_CHECKING:
    from runbook_lib.config.fleet_file import FleetTenant
    from runbook_lib.operations.watch.digest import ReportedRow

_EVERY_SECONDS = 300


@click.command()
@FILE
@click.option("--once", "is_once", is_flag=True, help="Poll once and end, for cron, a timer or CI.")
@click.option(
    "--seal-changes", "seals_changes", is_flag=True,
    help="Run and seal a tenant after an outcome changed.",
)  # fmt: skip
@click.option(
    "--seal-every", type=click.IntRange(1), default=None, metavar="DAYS",
    help="Run and seal each tenant at least this often.",
)  # fmt: skip
@click.option("--notify-test", "is_test", is_flag=True, help="Only send a test message.")
@click.option(
    "--ack", metavar="ID",
    help="Only acknowledge what is open: no more reminders, until it changes.",
)  # fmt: skip
@click.option("--by", default="", metavar="NAME", help="With --ack: your name.")
@click.option("--note", default="", metavar="TEXT", help="With --ack: a note for others.")
@SANDBOX
@tenant_options
@SET
@EVIDENCE
@JSON
def watch(
    *, file: Path | None, is_once: bool, is_test: bool, seals_changes: bool,
    seal_every: int | None, ack: str | None, by: str, note: str, scenario: str,
    connector: str, tenant: str, given: tuple[str, ...], as_json: bool, **options: Any,
) -> None:  # fmt: skip
    """
    Check every step again and report each change once.

    Run it as often as you like: it checks waiting steps every 15 minutes at most, and finished
    steps once a day. It prints only changes. Without --once it polls every 5 minutes. With FILE it
    polls each tenant of a fleet's file, instead of the tenant in the settings.
    """
    from runbook_lib.config.fleet_file import FleetTenant
    from runbook_lib.core.clock import utc_now
    from runbook_lib.engine.practice import practice_settings
    from runbook_lib.operations.tenant_list import read_tenants_file
    from runbook_lib.operations.watch.channels import try_channels
    from runbook_lib.operations.watch.poll import open_watched
    from runbook_lib.operations.watch.saved_items import acknowledge

    values = assignments(given)
    if ack:
        evidence = options["evidence"]
        tenants = acknowledge(ack, by=by, note=note, evidence=evidence, now=utc_now())
        names = ", ".join(tenants)
        say(f"Noted for {names}: {by} knows about it. Reminders stop until it changes.")
        return
    if by or note:
        raise SettingsError("--by and --note need --ack.")
    if file and (values or scenario):
        raise SettingsError("FILE names tenants and values: leave out --set and --sandbox.")
    if not scenario:
        say_settings(options["env_file"])
    if file and is_test:
        sys.exit(_try_receivers(file, options))
    sealing = {"seals_changes": seals_changes, "seal_every": seal_every or 0}
    if file:
        every_tenant = {**options, **sealing}

        def run_all_once() -> ExitCode:
            named = read_tenants_file(file)
            for mistake in named.unusable:
                say(mistake, is_error=True)
            code = _run_cycle(named.tenants, every_tenant, file=file, as_json=as_json)
            is_open = named.unusable and code is ExitCode.COMPLETE
            return ExitCode.INCOMPLETE if is_open else code

        if is_once:
            sys.exit(run_all_once())
        _run_on(run_all_once)
    procedure = find_procedure(connector)
    tenant = tenant or (f"sandbox-{scenario}" if scenario else "")
    with practice_settings(scenario, procedure, tenant, options) as settings:
        wishes = {**settings, **sealing, "is_alone": True}

        def run_once() -> ExitCode:
            run = open_watched(procedure, values, tenant=tenant, **settings)
            with closing(run):
                if scenario:
                    run.require_practice()
                if is_test:
                    click.echo(f"Accepted: {', '.join(try_channels(run))}.")
                    return ExitCode.COMPLETE
                alone = [FleetTenant(run.tenant, procedure, values, {})]
            is_reported = bool(scenario) and not as_json
            return _run_cycle(alone, wishes, as_json=as_json, is_reported=is_reported)

        if is_once or is_test:
            sys.exit(run_once())
        _run_on(run_once)


def _try_receivers(file: Path, options: Mapping[str, Any]) -> ExitCode:
    """Send a test message to each receiver of a FILE's tenants; return the worst exit code."""
    from runbook_lib.operations.tenant_list import whole_tenants_file
    from runbook_lib.operations.watch.trial_messages import try_receivers

    code = ExitCode.COMPLETE
    for trial in try_receivers(whole_tenants_file(file), **options):
        say(f"{trial.tenant}: {trial.message}", is_error=trial.exit_code is not ExitCode.COMPLETE)
        code = max(code, trial.exit_code)
    return code


def _run_on(run_once: Callable[[], ExitCode]) -> NoReturn:
    """Run a cycle every five minutes; after the first one, print a mistake and go on."""
    has_run = False
    while True:
        try:
            run_once()
        except (RunbookError, OSError) as error:
            is_mistake = isinstance(error, SettingsError) and not has_run
            if is_mistake or isinstance(error, BrokenPipeError):
                raise
            if not isinstance(error, BusyError):
                message, advice = describe_error(error)
                say(f"runbook: {message} Next: {advice}", is_error=True)
        has_run = True
        time.sleep(_EVERY_SECONDS)


def _run_cycle(
    tenants: list[FleetTenant],
    options: Mapping[str, Any],
    *,
    as_json: bool,
    file: Path | None = None,
    is_reported: bool = False,
) -> ExitCode:
    """
    Poll each tenant, show and send what is new, and build the page; return the exit code.

    With `is_reported` it also prints that it polled, for a person who practises.
    """
    from runbook_lib.operations.watch.cycle import open_cycle
    from runbook_lib.text import pluralize

    shown = 0
    evidence = options.get("evidence", "")
    watched = {(tenant.tenant, tenant.procedure.id) for tenant in tenants}
    alone = () if file else watched
    with open_cycle(tenants, **options) as cycle:
        for line in chain(cycle.poll(), cycle.poll_customers()):
            say(line, is_error=True)
        read = renew_index(evidence, file=file, alone=alone)
        for line in cycle.settle(read.statuses if read else ()):
            say(line, is_error=True)
        for row in cycle.shown():
            if as_json:
                show_json(row.document())
            else:
                show_row(row)
            shown += 1
            sys.stdout.flush()
        rest = (cycle.send, cycle.ping, cycle.seal, cycle.forget_old)
        lines = [*chain.from_iterable(act() for act in rest)]
        for line in lines:
            say(line, is_error=True)
        if is_reported:
            names = ", ".join(tenant.tenant for tenant in tenants)
            changes = pluralize(shown, "change") if shown else "nothing changed"
            say(f"Polled {names} in the sandbox: {changes}.")
        code = cycle.code
    if lines:
        renew_index(evidence, file=file, alone=alone)
    return code


def show_row(reported: ReportedRow) -> None:
    """Show a row as it is reported: its title, and what `inbox` says of it."""
    head, *lines = reported.lines()
    say(head)
    for line in lines:
        show_paragraph(line, indent="    ")
