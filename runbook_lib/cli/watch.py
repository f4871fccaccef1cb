"""The command `watch`: look at what waits and what stands, and say what changed, once."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runbook_lib.cli.options import (
    CONNECTOR,
    ENV_FILE,
    EVIDENCE,
    JSON,
    SET,
    TENANT,
    assignments,
)
from runbook_lib.errors import BusyError, ExitCode, RunbookError, SettingsError, describe_error
from runbook_lib.plain_text import counted, escaped_json

if TYPE_CHECKING:
    from runbook_lib.engine.watch import Watch

_MARKS = {
    "failed": "✘",
    "recovered": "✔",
    "changed": "◆",
    "outage": "?",
    "outage_over": "✔",
    "due": "◷",
}
_EVERY_SECONDS = 300


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--once", "is_once", is_flag=True, help="Look once and end, for cron, a timer or CI.")
@click.option(
    "--seal-every", type=click.IntRange(1), default=None, metavar="DAYS",
    help="Run and seal at least so often; without it only when an outcome changed.",
)  # fmt: skip
@click.option(
    "--notify-test", "is_test", is_flag=True, help="Only send a test message, and do not look."
)
@CONNECTOR
@TENANT
@ENV_FILE
@SET
@EVIDENCE
@JSON
def watch(
    *, file: Path | None, is_once: bool, is_test: bool, seal_every: int | None, connector: str,
    tenant: str, given: tuple[str, ...], as_json: bool, **options: Any,
) -> None:  # fmt: skip
    """
    Look at what waits and what stands, and say what changed since, once.

    What waits is looked at every 15 minutes at most, what is finished once a day: call it as often
    as you like. Nothing is printed where nothing changed. Without --once it looks every 5 minutes.
    With FILE it looks at each tenant of a fleet's file, instead of the one of the settings.
    """
    from runbook_lib.connectors.registry import find_procedure
    from runbook_lib.engine.notify import try_ways
    from runbook_lib.engine.watch import open_watch

    values = assignments(given)
    if file and (values or is_test):
        msg = "FILE names the tenants and their values: leave --set and --notify-test out."
        raise SettingsError(msg)

    def look() -> ExitCode:
        if file:
            return _look_at_fleet(file, seal_every or 0, options, as_json=as_json)
        opened = open_watch(find_procedure(connector), values, tenant=tenant, **options)
        with closing(opened.run):
            if is_test:
                click.echo(f"Accepted: {', '.join(try_ways(opened.run))}.")
                return ExitCode.COMPLETE
            return _look(opened, seal_every or 0, as_json=as_json)

    has_looked = False
    while True:
        try:
            code = look()
        except (RunbookError, OSError) as error:
            is_mistake = isinstance(error, SettingsError) and not has_looked
            if is_once or is_test or is_mistake or isinstance(error, BrokenPipeError):
                raise
            if not isinstance(error, BusyError):
                _say_error(error)
        if is_once or is_test:
            sys.exit(code)
        has_looked = True
        time.sleep(_EVERY_SECONDS)


WATCH_COMMANDS = (watch,)


def _look_at_fleet(
    file: Path, seal_every: int, options: Mapping[str, Any], *, as_json: bool
) -> ExitCode:
    """Look at each tenant of the file, show what is new by cause, and return the worst code."""
    from runbook_lib.cli.paragraphs import say
    from runbook_lib.config.fleet_file import read_fleet_file
    from runbook_lib.connectors.registry import DEFAULT, connector_names, find_procedure
    from runbook_lib.engine.watch_fleet import by_cause, watch_fleet

    procedures = {name: find_procedure(name) for name in connector_names()}
    tenants = read_fleet_file(file, procedures, DEFAULT).tenants
    with watch_fleet(tenants, seal_every=seal_every, **options) as fleet:
        # Customers come last: thousands of them take minutes.
        for look in (fleet.look, fleet.look_at_customers):
            for problem in look():
                say(problem, is_error=True)
            for document in fleet.new if as_json else by_cause(fleet.new):
                _show(document, as_json=as_json)
            sys.stdout.flush()
            fleet.show()
            for line in fleet.notify():
                say(line, is_error=True)
        for line in chain(fleet.ping(), fleet.write_page(), fleet.seal()):
            say(line, is_error=True)
        return fleet.code


def _look(watch: Watch, seal_every: int, *, as_json: bool) -> ExitCode:
    """Look, show and send what is new, seal what is due, and return the exit code."""
    from runbook_lib.cli.paragraphs import say
    from runbook_lib.engine.notify import document_of, ping

    refused: list[str] = []
    codes: set[ExitCode] = set()
    # Customers come last: thousands of them take minutes.
    for look_at in (watch.look, watch.look_at_customers):
        try:
            look = look_at()
        except (RunbookError, OSError) as error:
            if not codes:
                raise
            # NOTE: what is known of the steps is sent and sealed all the same.
            codes.add(ExitCode.INCOMPLETE)
            _say_error(error)
            break
        for change in look.changes:
            _show(document_of(watch.run, change), as_json=as_json)
        sys.stdout.flush()
        if look.changes:
            watch.show(look.changes)
        refused += watch.notify()
        codes.add(look.code)
        if look.held:
            say(look.held, is_error=True)
    for reason in filter(None, (*refused, ping(watch.run))):
        say(reason, is_error=True)
    try:
        bundle = watch.seal(seal_every)
        if bundle:
            say(f"Sealed: {bundle}", is_error=True)
    except (RunbookError, OSError) as error:
        codes.add(ExitCode.INCOMPLETE)
        _say_error(error)
    codes |= {ExitCode.INCOMPLETE} if refused else set()
    return ExitCode.FAILED if ExitCode.FAILED in codes else max(codes)


def _say_error(error: Exception) -> None:
    """Say what failed while the watch goes on, and what to do next."""
    from runbook_lib.cli.paragraphs import say

    message, advice = describe_error(error)
    say(f"runbook: {message} Next: {advice}", is_error=True)


def _show(change: Mapping[str, Any], *, as_json: bool) -> None:
    """Show a change as a document has it, with its tenants if there are several."""
    from runbook_lib.cli.paragraphs import say, show_paragraph
    from runbook_lib.evidence.reports.wording import with_times

    if as_json:
        click.echo(escaped_json(json.dumps(change, ensure_ascii=False)))
        return
    tenants = change["tenants"]
    whose = tenants[0] if len(tenants) == 1 else counted(len(tenants), "tenant")
    moved = f": was {change['was']}, is {change['now']}" if change["now"] else ""
    mark = f"{_MARKS[change['kind']]} {'SANDBOX ' * change['sandbox']}"
    say(f"{mark}{whose}: {change['title']}{moved}")
    lines = (
        with_times(f"Since {change['since']} UTC: {change['reason']}"),
        change["breaks"],
        f"With the same cause: {'; '.join(change['also'])}." if change["also"] else "",
        f"What to do: {change['do']}" if change["do"] else "",
        f"Tenants: {', '.join(tenants)}" if len(tenants) > 1 else "",
    )
    for line in filter(None, lines):
        show_paragraph(line, indent="    ")
