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

from runbook_lib.cli.options import EVIDENCE, JSON, SANDBOX, SET, assignments, tenant_options
from runbook_lib.cli.paragraphs import say, show_json, show_paragraph
from runbook_lib.connectors.registry import (
    DEFAULT,
    broken_connectors,
    find_procedure,
    working_procedures,
)
from runbook_lib.errors import BusyError, ExitCode, RunbookError, SettingsError, describe_error

if TYPE_CHECKING:
    from runbook_lib.config.fleet_file import FleetTenant

_EVERY_SECONDS = 300


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--once", "is_once", is_flag=True, help="Look once and end, for cron, a timer or CI.")
@click.option(
    "--seal-every", type=click.IntRange(1), default=None, metavar="DAYS",
    help="Run and seal at least this often; without it, only when an outcome changed.",
)  # fmt: skip
@click.option("--notify-test", "is_test", is_flag=True, help="Only send a test message.")
@click.option("--ack", metavar="ID", help="Only acknowledge a problem: no more reminders.")
@click.option("--by", default="", metavar="NAME", help="With --ack: your name.")
@click.option("--until", default="", metavar="DATE", help="With --ack: remind again after DATE.")
@click.option("--note", default="", metavar="TEXT", help="With --ack: a note for others.")
@SANDBOX
@tenant_options
@SET
@EVIDENCE
@JSON
def watch(
    *, file: Path | None, is_once: bool, is_test: bool, seal_every: int | None, ack: str | None,
    by: str, until: str, note: str, scenario: str, connector: str, tenant: str,
    given: tuple[str, ...], as_json: bool, **options: Any,
) -> None:  # fmt: skip
    """
    Check every step again and report each change once.

    Run it as often as you like: it checks waiting steps every 15 minutes at most, and finished
    steps once a day. It prints only changes. Without --once it looks every 5 minutes. With FILE it
    looks at each tenant of a fleet's file, instead of the tenant in the settings.
    """
    from runbook_lib.config.fleet_file import FleetTenant, read_fleet_file
    from runbook_lib.engine.practice import practice_settings
    from runbook_lib.engine.watch.channels import try_channels
    from runbook_lib.engine.watch.look import open_watched
    from runbook_lib.engine.watch.outbox import acknowledge

    values = assignments(given)
    if ack:
        tenants = acknowledge(ack, by=by, until=until, note=note, evidence=options["evidence"])
        end = f" until {until}" if until else ""
        say(f"Noted for {', '.join(tenants)}: {by} knows about it. Reminders stop{end}.")
        return
    if by or until or note:
        raise SettingsError("--by, --until and --note need --ack.")
    if file and (values or is_test or scenario):
        msg = "FILE names tenants and values: leave out --set, --sandbox and --notify-test."
        raise SettingsError(msg)
    if file:

        def look_at_all() -> ExitCode:
            named = read_fleet_file(file, working_procedures(), DEFAULT, broken_connectors())
            for problem in named.unusable:
                say(problem, is_error=True)
            code = _look(named.tenants, options, seal_every, as_json=as_json)
            is_open = named.unusable and code is ExitCode.COMPLETE
            return ExitCode.INCOMPLETE if is_open else code

        if is_once:
            sys.exit(look_at_all())
        _look_on(look_at_all)
    procedure = find_procedure(connector)
    tenant = tenant or (f"sandbox-{scenario}" if scenario else "")
    with practice_settings(scenario, procedure, tenant, options) as settings:

        def look() -> ExitCode:
            run = open_watched(procedure, values, tenant=tenant, **settings)
            with closing(run):
                if scenario:
                    run.require_practice()
                if is_test:
                    click.echo(f"Accepted: {', '.join(try_channels(run))}.")
                    return ExitCode.COMPLETE
                alone = [FleetTenant(run.tenant, procedure, values, {})]
            is_told = bool(scenario) and not as_json
            return _look(
                alone, settings, seal_every, as_json=as_json, is_alone=True, is_told=is_told
            )

        if is_once or is_test:
            sys.exit(look())
        _look_on(look)


WATCH_COMMANDS = (watch,)


def _look_on(look: Callable[[], ExitCode]) -> NoReturn:
    """Look every five minutes; after the first look, print a mistake and go on."""
    has_looked = False
    while True:
        try:
            look()
        except (RunbookError, OSError) as error:
            is_mistake = isinstance(error, SettingsError) and not has_looked
            if is_mistake or isinstance(error, BrokenPipeError):
                raise
            if not isinstance(error, BusyError):
                message, advice = describe_error(error)
                say(f"runbook: {message} Next: {advice}", is_error=True)
        has_looked = True
        time.sleep(_EVERY_SECONDS)


def _look(
    tenants: list[FleetTenant],
    options: Mapping[str, Any],
    seal_every: int | None,
    *,
    as_json: bool,
    is_alone: bool = False,
    is_told: bool = False,
) -> ExitCode:
    """
    Look at each tenant, show and send what is new, seal what is due; return the worst code.

    With `is_told` it also says that it looked, which a person who practises wants to know.
    """
    from runbook_lib.engine.watch.messages import by_cause
    from runbook_lib.engine.watch.round import watching
    from runbook_lib.plain_text import counted

    shown = 0
    with watching(tenants, is_alone=is_alone, seal_every=seal_every or 0, **options) as this:
        for look in (this.look, this.look_at_customers):
            for problem in look():
                say(problem, is_error=True)
            for document in this.new if as_json else by_cause(this.new):
                _show(document, as_json=as_json)
                shown += 1
            sys.stdout.flush()
            this.show()
            for line in this.send():
                say(line, is_error=True)
        for line in chain(this.ping(), this.write_page(), this.seal()):
            say(line, is_error=True)
        if is_told:
            names = ", ".join(one.tenant for one in tenants)
            changes = counted(shown, "change") if shown else "nothing changed"
            say(f"Looked at {names} in the sandbox: {changes}.")
        return this.code


def _show(document: Mapping[str, Any], *, as_json: bool) -> None:
    """Show a change, with its tenants if there are several."""
    from runbook_lib.core.outcome import ICONS
    from runbook_lib.engine.watch.messages import details, for_programs, whose
    from runbook_lib.evidence.reports.tenants_page import LIKE

    if as_json:
        show_json(for_programs(document))
        return
    say(f"{ICONS[LIKE[document['kind']]]} {whose(document)}: {document['title']}")
    for line in details(document):
        show_paragraph(line, indent="    ")
    if len(document["tenants"]) > 1:
        show_paragraph(f"Tenants: {', '.join(document['tenants'])}", indent="    ")
