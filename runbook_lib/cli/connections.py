"""
The command `connections`: the customers' connections in Cyclr, and why transactions failed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from runbook_lib.cli.index_renewal import renew_index
from runbook_lib.cli.options import EVIDENCE, FILE, JSON, SANDBOX, tenant_options
from runbook_lib.cli.plain_output import say, show_json, show_paragraph
from runbook_lib.connectors.registry import find_procedure
from runbook_lib.errors import ExitCode, RemoteError, SettingsError, describe_error
from runbook_lib.text import pluralize

if TYPE_CHECKING:
    from runbook_lib.connectors.cyclr.transactions import Failures
    from runbook_lib.engine.tenant_run import Run
    from runbook_lib.evidence.reports.tenant_status import CustomerRow
    from runbook_lib.operations.customer_list import CustomerList
    from runbook_lib.operations.customer_rows import Survey

# The terminal shows the first accounts that need somebody; --json has all of them.
_MOST_SHOWN = 20
_MOST_CAUSES = 50
_PUT_LINK = (
    "Put a link into each that has a line for one: Cyclr console > the account > Connectors > Edit "
    "Connector > Generate Setup Token. It works once, for five minutes unless you choose longer."
)
# A line of progress for each twentieth of the accounts.
_PARTS = 20


@click.command()
@FILE
@SANDBOX
@click.option(
    "--errors", default="", metavar="FILE", help="Show each account's last failure in this log."
)
@click.option(
    "--letters", default="", metavar="DIR",
    help="Write a letter to each customer who is cut off, as a text file. You put the link in.",
)  # fmt: skip
@click.option(
    "--test", "tested", default="", metavar="ACCOUNT",
    help="Only test ACCOUNT, by id or name: Cyclr makes one call with the customer's token.",
)  # fmt: skip
@click.option(
    "--sign-in-link", "linked", default="", metavar="ACCOUNT",
    help="Only make a sign-in link for ACCOUNT, by id or name. It works once, for 5 minutes. "
    "Needs --user.",
)  # fmt: skip
@click.option(
    "--user",
    default="",
    metavar="NAME",
    help="With --sign-in-link: the user. Cyclr creates NAME if it does not exist.",
)
@tenant_options
@EVIDENCE
@JSON
@click.pass_context
def connections(
    ctx: click.Context, /, *, file: Path | None, scenario: str, errors: str, letters: str,
    tested: str, linked: str, user: str, connector: str, tenant: str, as_json: bool,
    **options: Any,
) -> None:  # fmt: skip
    """
    List your customers' connections, and whether each is signed in.

    It asks Cyclr about every account of your console, and changes nothing. With FILE it asks each
    console of its tenants once. Set its pace with RUNBOOK_CYCLR_REQUESTS_A_SECOND. If you interrupt
    it, run it again within a day to continue.
    """
    from runbook_lib.operations.customer_calls import CustomerCalls
    from runbook_lib.operations.customer_connections import ConsoleAccounts

    one = tested or linked
    if tested and linked:
        raise SettingsError(
            "Give one of --test and --sign-in-link.", next_step="No request was sent."
        )
    if bool(user) is not bool(linked):
        raise SettingsError(
            "--sign-in-link and --user belong together.", next_step="No request was sent."
        )
    if file and scenario:
        raise SettingsError("FILE names tenants: leave out --sandbox.")
    # NOTE: a tenant in the settings is no choice among those of FILE.
    if file and ctx.get_parameter_source("tenant") is not ParameterSource.COMMANDLINE:
        tenant = ""
    failures = read_webhook(errors, connector) if errors else None
    with _opened(file, scenario, connector, tenant, options) as runs:
        if one:
            if len(runs) != 1:
                raise SettingsError(
                    "FILE names several tenants: name the customer's with --tenant.",
                    next_step="No request was sent.",
                )
            asked = ConsoleAccounts(runs[0])
            account = asked.account_of(one)
            calls = CustomerCalls(asked)
            call = calls.test_call(account) if tested else calls.sign_in_link(account, user)
            if as_json:
                show_json(call)
            else:
                for line in call["lines"]:
                    say(line)
            is_well = call.get("answered", True)
        else:
            is_well = _survey(runs, failures, letters, file, as_json=as_json)
    renew_index(options["evidence"])
    sys.exit(ExitCode.COMPLETE if is_well else ExitCode.INCOMPLETE)


@contextmanager
def _opened(
    file: Path | None, scenario: str, connector: str, tenant: str, options: Mapping[str, Any]
) -> Iterator[list[Run]]:
    """Give a run of each tenant of a FILE, or of the one that is named or practised."""
    from runbook_lib.engine.practice import practice_settings
    from runbook_lib.engine.tenant_run import open_known

    if file:
        yield _runs_of(file, tenant, options)
        return
    procedure = find_procedure(connector)
    tenant = tenant or (f"sandbox-{scenario}" if scenario else "")
    with practice_settings(scenario, procedure, tenant, options) as settings:
        yield [open_known(procedure, tenant=tenant, **settings)]


def _runs_of(file: Path, tenant: str, options: Mapping[str, Any]) -> list[Run]:
    """Return a run of each tenant of a FILE, or of the one that is named, to read about it."""
    from runbook_lib.config.settings import suggestion
    from runbook_lib.core.model import Mode
    from runbook_lib.engine.tenant_run import open_run
    from runbook_lib.operations.tenant_list import whole_tenants_file

    named = whole_tenants_file(file)
    chosen = [entry for entry in named if tenant in ("", entry.tenant)]
    if not chosen:
        near = suggestion(tenant, [entry.tenant for entry in named])
        raise SettingsError(f"{file} names no tenant called {tenant}.{near}")
    return [
        open_run(
            entry.procedure,
            {**entry.given, **entry.references},
            mode=Mode.HEADLESS,
            tenant=entry.tenant,
            **options,
        )
        for entry in chosen
    ]


def _survey(
    runs: Sequence[Run],
    failures: Failures | None,
    letters: str,
    file: Path | None,
    *,
    as_json: bool,
) -> bool:
    """
    Read each console once, show the results, and return whether all is in order there.

    `letters` is the folder of the letters to write.
    """
    from runbook_lib.connectors.cyclr.transactions import Failures
    from runbook_lib.operations.customer_connections import ConsoleAccounts, survey_document
    from runbook_lib.operations.customer_list import CustomerList, customer_rows

    surveys: list[tuple[Survey, CustomerList, list[CustomerRow]]] = []
    consoles: dict[tuple[str, ...], str] = {}
    is_answered = True
    for run in runs:
        asked = ConsoleAccounts(run, on_progress=_Progress())
        other = consoles.setdefault(asked.console, run.tenant)
        if other != run.tenant:
            say(f"{run.tenant}: the same console as {other}, which was asked.", is_error=True)
            continue
        try:
            survey = asked.survey(failures.items if failures else ())
        except RemoteError as error:
            if len(runs) == 1:
                raise
            # NOTE: another tenant may have other credentials for the same console.
            del consoles[asked.console]
            message, advice = describe_error(error)
            say(f"{run.tenant}: {message} Next: {advice}", is_error=True)
            is_answered = False
            continue
        logged = failures or Failures(())
        known = CustomerList(
            tenant=run.tenant,
            procedure=run.procedure,
            accounts=survey.asked_accounts,
            values=run.values_on_record,
            file=str(file or ""),
            is_practice=run.is_sandbox,
            failures=logged,
            lacking=asked.prerequisites(logged.last.values()),
        )
        surveys.append((survey, known, customer_rows(known, run.clock())))
    if letters:
        _write_letters([row for *_, rows in surveys for row in rows], Path(letters))
    if as_json:
        documents = [survey_document(*shown) for shown in surveys]
        show_json(documents[0] if len(runs) == 1 else documents)
    else:
        for shown in surveys:
            _print_survey(*shown)
    return is_answered and all(_is_well(survey) for survey, *_ in surveys)


def _write_letters(rows: Sequence[CustomerRow], folder: Path) -> None:
    """Write the letters to the customers who are cut off, and say how to put the link in."""
    from runbook_lib.operations.customer_letters import write_letters

    written = write_letters(rows, folder)
    say(f"{pluralize(len(written), 'letter')} written to {folder}.", is_error=True)
    if written:
        say(_PUT_LINK, is_error=True)


def _is_well(survey: Survey) -> bool:
    is_open = {"not_signed_in", "calls_fail", "not_known"} & {*survey.counts}
    return survey.is_complete and not is_open


def read_webhook(source: str, connector: str) -> Failures:
    """Return the failed transactions in the file `source`, or on stdin (`-`)."""
    from runbook_lib.cli.terminal import progress_bar
    from runbook_lib.connectors.cyclr.transactions import LARGEST, read_failures
    from runbook_lib.core.files import open_plain

    procedure = find_procedure(connector)
    try:
        if source == "-":
            content = sys.stdin.buffer.read(LARGEST + 1)
        else:
            with open_plain(Path(source)) as file:
                content = file.read(LARGEST + 1)
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"{source} cannot be read: {getattr(error, 'strerror', None) or error}."
        ) from None
    if not content.strip():
        raise SettingsError(
            "The input is empty: it must hold webhook messages as JSON.",
            next_step="Give a file, or - for stdin.",
        )
    with progress_bar(is_error=True) as bar:
        task = bar.add_task("entries read", total=None)
        return read_failures(
            content, procedure, lambda done, total: bar.update(task, completed=done, total=total)
        )


def show_failures(document: Mapping[str, Any]) -> None:
    """Print each cause once, with its customers and the advice."""
    for cause in document["causes"][:_MOST_CAUSES]:
        accounts = pluralize(cause["accounts"], "account")
        number = pluralize(cause["failures"], "failure")
        say(f"{cause['cause'].capitalize()}: {accounts}, {number}, last {cause['last'] or '?'}")
        show_paragraph(cause["meaning"], indent="  ")
        if cause["remote_message"] not in ("", cause["meaning"]):
            show_paragraph(f"The response was: {cause['remote_message']}", indent="  ")
        more = "" if cause["accounts"] <= len(cause["names"]) else ", …"
        show_paragraph(f"Accounts: {', '.join(cause['names'])}{more}", indent="  ")
        if not cause["known"]:
            codes = ", ".join(map(str, cause["codes"])) or "none"
            show_paragraph(
                f"Code {codes}, trace id {', '.join(cause['traces']) or 'none'}.", indent="  "
            )
        show_paragraph(f"What to do: {cause['advice']}", indent="  ")
    if len(document["causes"]) > _MOST_CAUSES:
        say(f"{len(document['causes']) - _MOST_CAUSES:,} more causes: --json shows all.")
    for name, text in (
        ("other_connectors", "of other connectors: not shown."),
        ("unread", "could not be read."),
    ):
        if document[name]:
            say(f"{pluralize(document[name], 'entry', 'entries')} {text}")
    if document["cut"]:
        say("The log is too long to read at once: split it.")


def _print_survey(survey: Survey, known: CustomerList, rows: Sequence[CustomerRow]) -> None:
    """Print a survey: how many customers are in which state, and those who need something."""
    from runbook_lib.operations.customer_rows import LABELS

    mark = "SANDBOX " if known.is_practice else ""
    say(f"{mark}{known.tenant} · {survey.of[-1]} in Cyclr")
    extent = "All" if survey.is_complete else "PARTIAL:"
    say(f"{extent} {pluralize(len(survey.accounts), 'account')}")
    for standing, number in survey.counts.items():
        say(f"  {number:>6,} {LABELS[standing]}")
    for note in survey.findings:
        show_paragraph(note, indent="", first="! ")
    for row in rows[:_MOST_SHOWN]:
        _show_customer(row)
    if len(rows) > _MOST_SHOWN:
        say(f"{len(rows) - _MOST_SHOWN:,} more: --json shows all.")
    if unknown := known.failures.last.keys() - survey.accounts.keys():
        accounts = pluralize(len(unknown), "account")
        say(f"The log has failures of {accounts} that this console does not list.")
    say("Not visible in any API:")
    for text in known.procedure.unverifiable:
        show_paragraph(text, indent="  ", first="- ")


def _show_customer(row: CustomerRow) -> None:
    """Print a line for a customer, and below it the facts and the advice."""
    from runbook_lib.core.outcome import ICONS
    from runbook_lib.evidence.reports.phrases import when, with_times

    facts = (
        row.state,
        row.account,
        f"since {when(row.since)}" if row.since else "",
        f"used on {when(row.used_on)}" if row.used_on else "",
        f"last polled {when(row.polled_on)}" if row.polled_on else "",
    )
    say(f"{ICONS[row.outcome]} {row.name}: {', '.join(filter(None, facts))}")
    for text in (" ".join(row.facts), row.advice, row.command):
        if text:
            show_paragraph(with_times(text), indent="    ")


class _Progress:
    """Reports on stderr the number of accounts read, at each twentieth."""

    def __init__(self) -> None:
        self._next = 0

    def __call__(self, done: int, total: int) -> None:
        if done >= self._next or done == total:
            click.echo(f"{done:,} of {pluralize(total, 'account')} asked", err=True)
            self._next = done + max(total // _PARTS, 1) if done < total else total + 1
