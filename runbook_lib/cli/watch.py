"""The command `watch`: look at what waits and what stands, and say what changed, once."""

from __future__ import annotations

import json
import sys
import time
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
from runbook_lib.errors import BusyError, ExitCode
from runbook_lib.plain_text import escaped_json

if TYPE_CHECKING:
    from runbook_lib.engine.watch import Look, Watch
    from runbook_lib.engine.watched import Change

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
    *, is_once: bool, is_test: bool, seal_every: int | None, connector: str, given: tuple[str, ...],
    as_json: bool, **options: Any,
) -> None:  # fmt: skip
    """
    Look at what waits and what stands, and say what changed since, once.

    What waits is looked at every 15 minutes at most, what is finished once a day: call it as often
    as you like. Nothing is printed where nothing changed. Without --once it looks every 5 minutes.
    """
    from runbook_lib.connectors.registry import find_procedure
    from runbook_lib.engine.watch import open_watch

    procedure = find_procedure(connector)
    while True:
        opened = open_watch(procedure, assignments(given), **options)
        try:
            if is_test:
                click.echo(f"Accepted: {', '.join(opened.try_ways())}.")
                return
            code = _look(opened, seal_every or 0, as_json=as_json)
        except BusyError:
            if is_once:
                raise
        finally:
            opened.run.close()
        if is_once:
            sys.exit(code)
        time.sleep(_EVERY_SECONDS)


WATCH_COMMANDS = (watch,)


def _look(watch: Watch, seal_every: int, *, as_json: bool) -> ExitCode:
    """Look, show what is new, seal what is due, and return the exit code."""
    from runbook_lib.cli.terminal import say
    from runbook_lib.engine.notify import ping

    look = watch.look()
    for change in look.changes:
        _show(watch, change, as_json=as_json)
    sys.stdout.flush()
    if look.changes:
        watch.show(look.changes)
    refused = watch.notify()
    for reason in filter(None, (*refused, ping(watch.run))):
        say(reason, is_error=True)
    bundle = watch.seal(seal_every)
    if look.held:
        say(look.held, is_error=True)
    if bundle:
        say(f"Sealed: {bundle}", is_error=True)
    code = _code(look)
    return ExitCode.INCOMPLETE if refused and code is ExitCode.COMPLETE else code


def _code(look: Look) -> ExitCode:
    if look.is_failing:
        return ExitCode.FAILED
    return ExitCode.INCOMPLETE if look.held or look.is_unanswered else ExitCode.COMPLETE


def _show(watch: Watch, change: Change, *, as_json: bool) -> None:
    from runbook_lib.cli.terminal import say, show_paragraph
    from runbook_lib.engine.notify import document_of

    run = watch.run
    if as_json:
        document = document_of(run, change)
        click.echo(escaped_json(json.dumps(document, ensure_ascii=False)))
        return
    mark = "SANDBOX " * run.is_sandbox
    moved = f": was {change.was}, is {change.now}" if change.now else ""
    say(f"{_MARKS[change.kind]} {mark}{run.tenant}: {change.title}{moved}")
    lines = (
        f"Since {change.since}: {change.reason}",
        change.breaks,
        f"With the same cause: {'; '.join(change.also)}." if change.also else "",
        f"What to do: {change.do}" if change.do else "",
    )
    for line in filter(None, lines):
        show_paragraph(line, indent="    ")
