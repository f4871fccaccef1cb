"""
The command line: arguments in, exit code out.

Each command calls lower layers and shows their result.
"""

from __future__ import annotations

import errno
import gc
import signal
import sys
import traceback
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import click

from runbook_lib.cli.archive import archive
from runbook_lib.cli.confirm import confirm
from runbook_lib.cli.connections import connections
from runbook_lib.cli.doctor import doctor
from runbook_lib.cli.explain import explain
from runbook_lib.cli.fleet import fleet
from runbook_lib.cli.inbox import inbox
from runbook_lib.cli.init import init
from runbook_lib.cli.journal import journal
from runbook_lib.cli.key import key
from runbook_lib.cli.kit import kit
from runbook_lib.cli.lab import lab
from runbook_lib.cli.notebooks import notebooks
from runbook_lib.cli.options import AS_JSON
from runbook_lib.cli.plain_output import say, show_json
from runbook_lib.cli.report import report
from runbook_lib.cli.run import run
from runbook_lib.cli.sandbox import sandbox
from runbook_lib.cli.status import status
from runbook_lib.cli.verify import verify
from runbook_lib.cli.watch import watch
from runbook_lib.errors import (
    ExitCode,
    FleetFileError,
    JournalError,
    RunbookError,
    error_document,
    reason_of,
)
from runbook_lib.text import one_line

# NOTE: imports make thousands of objects that live on; looking through them takes 0.1 s of a run.
gc.set_threshold(50_000, 20, 100)

# Ports that are taken or not available.
_NETWORK = (errno.EADDRINUSE, errno.EADDRNOTAVAIL)
_CLOSED = "`runbook status` shows what was done until then."
_ANOTHER_PORT = "Name another port, or leave it out."
# What serves instead of a command, or of an option of one; until the first release.
_WITHDRAWN = {
    ("compare", "compare"): "`python -m tools.field_report` in a checkout",
    ("inbox", "--ics"): "`inbox --json`",
    ("connections", "--language"): "`--letters`, which are in English",
    ("connections", "--use"): "`--test ACCOUNT` for each customer",
    ("connections", "--count"): "List Leads By Form in the Cyclr console",
    ("connections", "--form"): "List Leads By Form in the Cyclr console",
    ("connections", "--csv"): "`--json`",
    ("watch", "--until"): "`--ack ID --by NAME`, which is quiet until something changes",
}


class _Commands(click.Group):
    """Commands whose errors become one message, what to do next, and an exit code."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take the arguments; a command or option that was withdrawn says what serves instead."""
        command = "".join(args[:1])
        for word in args:
            name = word.partition("=")[0]
            if instead := _WITHDRAWN.get((command, name)):
                _fail(f"`{name}` was withdrawn; use {instead}.", "", ExitCode.USAGE)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; an operator never sees a traceback."""
        try:
            return super().invoke(ctx)
        except RunbookError as error:
            if ctx.meta.get(AS_JSON):
                show_json({"error": error_document(error)})
            for mistake in error.mistakes if isinstance(error, FleetFileError) else ():
                say(mistake, is_error=True)
            _fail(str(error), error.diagnostics(), error.exit_code)
        except KeyboardInterrupt:
            advice = "The journal is intact: run again to continue."
            _fail("Interrupted.", advice, ExitCode.INTERRUPTED)
        except OSError as error:
            file = f" ({error.filename})" if error.filename else ""
            reason = f"{reason_of(error)}{file}"
            if error.errno == errno.EPIPE:
                _fail("The output was closed before its end.", _CLOSED, ExitCode.INCOMPLETE)
            if error.errno in _NETWORK:
                _fail(f"Cannot listen on the network: {reason}.", _ANOTHER_PORT, ExitCode.USAGE)
            message = f"Cannot write to disk: {reason}."
            _fail(message, JournalError.next_step, ExitCode.INCOMPLETE)
        except (click.ClickException, click.Abort, click.exceptions.Exit):
            raise
        except Exception as error:  # noqa: BLE001  (nobody is left to handle it)
            # NOTE: its text may contain what was given, even a credential.
            last = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{Path(last.filename).name}, line {last.lineno}"
            message = f"The runbook itself broke ({type(error).__name__}, {place})."
            _fail(message, "Report this as a defect, with this line.", ExitCode.INCOMPLETE)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="facebook-marketing-runbook", prog_name="runbook")
@click.pass_context
def main(ctx: click.Context) -> None:
    """Set up an app for a Cyclr connector, and prove that each step is done."""
    previous = signal.signal(signal.SIGTERM, _on_terminate)
    # NOTE: a program may call this as a function, and goes on.
    ctx.call_on_close(lambda: signal.signal(signal.SIGTERM, previous))


for command in (
    run,
    status,
    fleet,
    inbox,
    confirm,
    connections,
    watch,
    lab,
    explain,
    kit,
    verify,
    report,
    archive,
    key,
    journal,
    notebooks,
    init,
    sandbox,
    doctor,
):
    main.add_command(command)


def _on_terminate(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _fail(message: str, advice: str, code: ExitCode) -> NoReturn:
    click.echo(one_line(f"runbook: {message}"), err=True)
    if advice:
        click.echo(one_line(f"Next: {advice}"), err=True)
    sys.exit(code)
