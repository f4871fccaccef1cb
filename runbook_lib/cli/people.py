"""
The commands about who does what: what waits for whom, and a person's confirmation.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runbook_lib.cli.options import EVIDENCE, JSON, tenant_options
from runbook_lib.cli.paragraphs import say, show_json, show_paragraph
from runbook_lib.errors import ExitCode, SettingsError
from runbook_lib.plain_text import counted

if TYPE_CHECKING:
    from runbook_lib.engine.confirmation import PreparedConfirmation
    from runbook_lib.evidence.reports.tenant_rows import TenantRow


@click.command()
@EVIDENCE
@click.option("--for", "person", default="", metavar="NAME", help="Show only NAME's items.")
@click.option("--tenant", default="", metavar="NAME", help="Show only this tenant.")
@click.option("--ics", default="", metavar="FILE", help="Write all dated duties as a calendar.")
@JSON
def inbox(*, evidence: str, person: str, tenant: str, ics: str, as_json: bool) -> None:
    """List the open steps of all tenants, the worst first, and who must act."""
    from runbook_lib.core.files import write_whole
    from runbook_lib.core.journal import utc_now
    from runbook_lib.engine.duties import calendar, duties
    from runbook_lib.engine.inbox import inbox as items_of
    from runbook_lib.engine.inbox import tenant_rows, unreadable_rows
    from runbook_lib.engine.tenants import tenant_states, unknown_tenant, unreadable_tenants
    from runbook_lib.evidence.reports.tenant_rows import what_now

    name, today = person.strip(), utc_now().date()
    states = [state for state in tenant_states(evidence) if tenant in ("", state.tenant)]
    broken = [one for one in unreadable_tenants(evidence) if tenant in ("", one.tenant)]
    if tenant and not (states or broken):
        raise SettingsError(unknown_tenant(tenant, evidence))
    if ics:
        dated = duties(states, person=name)
        write_whole(Path(ics), calendar(dated))
        say(f"Written: {ics}, {counted(len(dated), 'entry', 'entries')}.", is_error=True)
    items = items_of(states, today=today, person=name)
    rows = [row for row in tenant_rows(states, items, today) if row.steps]
    rows += unreadable_rows(broken)
    say_broken()
    if as_json:
        show_json([row.document() for row in rows])
        return
    if not rows:
        say(f"Nothing is waiting for {name}." if name else "Nothing is waiting.")
        return
    say(what_now(rows))
    show_rows(rows)


@click.command()
@EVIDENCE
@JSON
def tenants(*, evidence: str, as_json: bool) -> None:
    """List the tenants in the evidence folder, and the progress of each."""
    from runbook_lib.core.journal import utc_now
    from runbook_lib.engine.inbox import tenant_rows, unreadable_rows
    from runbook_lib.engine.tenants import tenant_states, unreadable_tenants

    states = tenant_states(evidence)
    rows = tenant_rows(states, (), utc_now().date())
    rows += unreadable_rows(unreadable_tenants(evidence))
    say_broken()
    if as_json:
        show_json([row.document() for row in rows])
        return
    show_rows(rows)
    if not rows:
        say("There is no tenant yet. Begin one with `runbook lab` or `runbook run`.")


@click.command()
@click.argument("step")
@click.option("--by", required=True, metavar="NAME", help="Your name.")
@click.option("--note", default="", help="A note for the record.")
@click.option("--answer", default="", metavar="NAME", help="Another of the step's answers.")
@click.option("--due", default="", metavar="DAY", help="The day by which it must be done.")
@click.option("--until", default="", metavar="DAY", help="The last day on which this counts.")
@click.option(
    "--no",
    "is_no",
    is_flag=True,
    help="As the second person: reject the confirmation; needs --note.",
)
@click.option("--yes", "is_sure", is_flag=True, help="Confirm without asking.")
@tenant_options
@EVIDENCE
@JSON
def confirm(*, step: str, is_sure: bool, connector: str, as_json: bool, **options: Any) -> None:
    """
    Confirm that STEP (its id or its number on screen) is done.

    It first shows the sentence that you confirm. It does not verify your name. With four eyes,
    --no withdraws the first person's confirmation.
    """
    from msgspec import to_builtins

    from runbook_lib.cli.terminal import outcome_of
    from runbook_lib.connectors.registry import find_procedure
    from runbook_lib.core.step_record import step_record
    from runbook_lib.engine.confirmation import prepare

    confirmation = prepare(find_procedure(connector), step, **options)
    for name, why in confirmation.doubts.items():
        say(f"Warning: --{name}: {why}", is_error=True)
    if not is_sure:
        _ask(confirmation)
    state = confirmation.record()
    if as_json:
        document = {
            "tenant": confirmation.run.tenant,
            "connector": confirmation.run.procedure.id,
            "step": to_builtins(step_record(state)),
        }
        show_json(document)
        return
    say(f"Recorded. Step {state.number} ({state.step.id}): {outcome_of(state)}")


PEOPLE_COMMANDS = (inbox, tenants, confirm)


def say_broken() -> None:
    """Say on stderr which connectors are broken, and why."""
    from runbook_lib.connectors.registry import broken_connectors

    for error in broken_connectors().values():
        say(f"! {error} Next: {error.diagnostics()}", is_error=True)


def show_rows(rows: Iterable[TenantRow]) -> None:
    """Print a line for each row, and below it what is open; times are UTC."""
    from runbook_lib.core.outcome import ICONS
    from runbook_lib.evidence.reports.phrases import when, with_times

    for row in rows:
        connector = f" ({row.connector})" if row.connector else ""
        looked = f"last looked at {when(row.looked_on)}" if row.looked_on else ""
        facts = (
            row.word,
            f"{row.done} of {row.total} done" if row.total else row.note,
            f"since {when(row.since)}" if row.since else "",
            "time of the last look cannot be read" if row.looked_on is None else looked,
            f"sealed {when(row.sealed_on)}" if row.sealed_on else "",
        )
        name = f"{'SANDBOX ' * row.sandbox}{row.tenant}{connector}"
        say(f"{ICONS[row.outcome]} {name}: {', '.join(filter(None, facts))}")
        opened = [f"{ICONS[step.outcome]} {name}: {step.text}" for step, name in row.lines]
        for text in filter(None, (row.problem, *opened, row.next_step)):
            show_paragraph(with_times(text), indent="    ")


def _ask(confirmation: PreparedConfirmation) -> None:
    """Show what would be confirmed, and end here unless the person says yes."""
    from runbook_lib.cli.terminal import outcome_of
    from runbook_lib.core.model import WordKind

    if not sys.stdin.isatty():
        msg = "There is no terminal to ask you: use --yes to confirm without asking."
        raise SettingsError(msg, next_step="Nothing was written.")
    run, state = confirmation.run, confirmation.state
    mark = "SANDBOX " if True in run.history.index.practice else ""
    say(f"{mark}{run.tenant} · {run.procedure.title} · times are UTC", is_error=True)
    title = f"Step {state.number}, {state.step.title} ({state.step.id})"
    say(f"{title}: {outcome_of(state)}", is_error=True)
    word = confirmation.word
    confirmed = word.witness or word.sentence or state.step.sentence
    says = "withdraws" if word.kind is WordKind.WITHDRAWN else "confirms"
    say(f"{word.by} {says}: {confirmed}", is_error=True)
    if word.due or word.until:
        days = (f"due {word.due}" * bool(word.due), f"counts until {word.until}" * bool(word.until))
        say(", ".join(filter(None, days)).capitalize(), is_error=True)
    if confirmation.about:
        say(f"For {' · '.join(confirmation.about)}", is_error=True)
    try:
        is_sure = click.confirm("Is this true?", err=True)
    except click.Abort:
        is_sure = False
    if not is_sure:
        say("Not confirmed; nothing was written.", is_error=True)
        sys.exit(ExitCode.INCOMPLETE)
