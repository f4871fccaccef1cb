"""
The command `connections`: the customers' connections in Cyclr, and why transactions failed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runbook_lib.cli.options import EVIDENCE, JSON, SANDBOX, tenant_options
from runbook_lib.cli.paragraphs import say, show_json, show_paragraph
from runbook_lib.connectors.registry import find_procedure
from runbook_lib.errors import ExitCode, SettingsError
from runbook_lib.plain_text import counted

if TYPE_CHECKING:
    from runbook_lib.connectors.cyclr.transactions import Failures

# Of thousands of accounts the terminal shows the first that need somebody; page and CSV have all.
_MOST_SHOWN = 20
_MOST_CAUSES = 50
# A line of progress for each twentieth of the accounts.
_PARTS = 20


@click.command()
@SANDBOX
@click.option("--page", default="", metavar="FILE", help="Write all accounts as a page.")
@click.option("--csv", "csv_file", default="", metavar="FILE", help="Write all accounts as CSV.")
@click.option(
    "--errors", default="", metavar="FILE", help="Show each account's last failure in this log."
)
@click.option(
    "--test", "tested", default="", metavar="ACCOUNT",
    help="Only test ACCOUNT: Cyclr makes one call with the customer's token.",
)  # fmt: skip
@click.option(
    "--sign-in-link", "linked", default="", metavar="ACCOUNT",
    help="Only make a sign-in link for ACCOUNT. It works once, for 5 minutes. Needs --user.",
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
def connections(
    *, scenario: str, page: str, csv_file: str, errors: str, tested: str, linked: str, user: str,
    connector: str, tenant: str, as_json: bool, **options: Any,
) -> None:  # fmt: skip
    """
    List your customers' connections, and whether each is signed in.

    It asks Cyclr about every account of your console, and changes nothing. Set its pace with
    RUNBOOK_CYCLR_REQUESTS_A_SECOND. If you interrupt it, run it again within a day to continue.
    """
    from runbook_lib.core.files import write_parts
    from runbook_lib.engine.customer_connections import Customers, account_rows, csv_text, document
    from runbook_lib.engine.practice import practice_settings
    from runbook_lib.engine.run import open_known
    from runbook_lib.evidence.reports.tenants_page import connections_page

    if bool(tested) + bool(linked) > 1 or bool(user) is not bool(linked):
        msg = "Give either --test or --sign-in-link. --sign-in-link needs --user."
        raise SettingsError(msg, next_step="No request was sent.")
    failures = read_webhook(errors, connector) if errors else None
    procedure = find_procedure(connector)
    tenant = tenant or (f"sandbox-{scenario}" if scenario else "")
    with practice_settings(scenario, procedure, tenant, options) as settings:
        run = open_known(procedure, tenant=tenant, **settings)
        asked = Customers(run, on_progress=_Progress())
        if tested or linked:
            call = asked.test_call(tested) if tested else asked.sign_in_link(linked, user)
            _show(call, as_json=as_json)
            return
        look = asked.look(failures.items if failures else ())
        last = failures.last if failures else {}
        shown = document(look, run, last, asked.prerequisites(last.values()))
        files: Iterable[tuple[str, Iterable[str]]] = (
            (page, connections_page(account_rows(shown), shown)),
            (csv_file, csv_text(shown)),
        )
        for name, parts in files:
            if name:
                content = (part.encode("utf-8", "backslashreplace") for part in parts)
                write_parts(Path(name), content)
        _show(shown, as_json=as_json)
        is_open = {"not_signed_in", "calls_fail", "not_known"} & shown["counts"].keys()
        is_well = shown["complete"] and not is_open
        sys.exit(ExitCode.COMPLETE if is_well else ExitCode.INCOMPLETE)


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
        msg = f"{source} cannot be read: {getattr(error, 'strerror', None) or error}."
        raise SettingsError(msg) from None
    if not content.strip():
        msg = "The input is empty: it must hold webhook messages as JSON."
        raise SettingsError(msg, next_step="Give a file, or - for stdin.")
    with progress_bar(is_error=True) as bar:
        task = bar.add_task("entries read", total=None)
        return read_failures(
            content, procedure, lambda done, total: bar.update(task, completed=done, total=total)
        )


def show_failures(document: Mapping[str, Any]) -> None:
    """Print each cause once: whom it hits, and what to do."""
    for cause in document["causes"][:_MOST_CAUSES]:
        accounts, number = (
            counted(cause["accounts"], "account"),
            counted(cause["failures"], "failure"),
        )
        say(f"{cause['cause'].capitalize()}: {accounts}, {number}, last {cause['last'] or '?'}")
        show_paragraph(cause["what"], indent="  ")
        if cause["said"] not in ("", cause["what"]):
            show_paragraph(f"The answer was: {cause['said']}", indent="  ")
        more = "" if cause["accounts"] <= len(cause["names"]) else ", …"
        show_paragraph(f"Accounts: {', '.join(cause['names'])}{more}", indent="  ")
        if not cause["known"]:
            codes = ", ".join(map(str, cause["codes"])) or "none"
            show_paragraph(
                f"Code {codes}, trace id {', '.join(cause['traces']) or 'none'}.", indent="  "
            )
        show_paragraph(f"What to do: {cause['do']}", indent="  ")
    if len(document["causes"]) > _MOST_CAUSES:
        say(f"{len(document['causes']) - _MOST_CAUSES:,} more causes: --json shows all.")
    for name, text in (
        ("other_connectors", "of other connectors: not shown."),
        ("unread", "could not be read."),
    ):
        if document[name]:
            say(f"{counted(document[name], 'entry', 'entries')} {text}")
    if document["cut"]:
        say("The log is too long to read at once: split it.")


CUSTOMER_COMMANDS = (connections,)


def _show(shown: Mapping[str, Any], *, as_json: bool) -> None:
    from runbook_lib.cli.people import show_rows
    from runbook_lib.engine.customer_connections import LABELS, AccountStatus, account_rows
    from runbook_lib.evidence.reports.tenant_rows import what_now

    if as_json:
        show_json(shown)
        return
    for line in shown.get("lines", ()):
        say(line)
    if "accounts" not in shown:
        return
    rows = account_rows(shown)
    mark = "SANDBOX " if shown["sandbox"] else ""
    say(f"{mark}{shown['tenant']} · {shown['cyclr_connector']} in Cyclr")
    say(
        f"{'All' if shown['complete'] else 'PARTIAL:'} {counted(len(shown['accounts']), 'account')}"
    )
    for standing, number in shown["counts"].items():
        say(f"  {number:>6,} {LABELS[AccountStatus(standing)]}")
    for note in shown["notes"]:
        show_paragraph(note, indent="", first="! ")
    show_paragraph(what_now(rows, "account"), indent="")
    is_open = {"not_signed_in", "calls_fail", "not_known", "vanished"}
    open_ones = [
        row
        for row, account in zip(rows, shown["accounts"], strict=True)
        if account["standing"] in is_open or account["last_failure"]
    ]
    show_rows(open_ones[:_MOST_SHOWN])
    if len(open_ones) > _MOST_SHOWN:
        say(f"{len(open_ones) - _MOST_SHOWN:,} more: --page, --csv and --json show all.")
    if shown["unknown_accounts"]:
        number = counted(len(shown["unknown_accounts"]), "account")
        say(f"The log has failures of {number} that this console does not list.")
    say("Not visible in any API:")
    for text in shown["unseen"]:
        show_paragraph(text, indent="  ", first="- ")


class _Progress:
    """Says on stderr how many accounts were asked, at each twentieth."""

    def __init__(self) -> None:
        self._next = 0

    def __call__(self, done: int, total: int) -> None:
        if done >= self._next or done == total:
            click.echo(f"{done:,} of {counted(total, 'account')} asked", err=True)
            self._next = done + max(total // _PARTS, 1) if done < total else total + 1
