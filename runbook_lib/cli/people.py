"""
The commands about who does what: what waits for whom, and a person's confirmation.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runbook_lib.cli.options import CONNECTOR, ENV_FILE, EVIDENCE, JSON, TENANT
from runbook_lib.errors import ExitCode, SettingsError
from runbook_lib.plain_text import counted, escaped_json

if TYPE_CHECKING:
    from runbook_lib.engine.confirmation import PreparedConfirmation
    from runbook_lib.engine.inbox import Item
    from runbook_lib.engine.tenants import TenantState


@click.command()
@EVIDENCE
@click.option("--for", "person", default="", metavar="NAME", help="Only what NAME has to do.")
@click.option("--tenant", default="", metavar="NAME", help="Only what is about this tenant.")
@click.option("--ics", default="", metavar="FILE", help="Write every dated duty as a calendar.")
@JSON
def inbox(*, evidence: str, person: str, tenant: str, ics: str, as_json: bool) -> None:
    """Show what waits for whom, over all tenants, the worst first."""
    from runbook_lib.cli.paragraphs import say, show_paragraph
    from runbook_lib.cli.terminal import looked_text
    from runbook_lib.connectors.registry import DEFAULT
    from runbook_lib.core.journal import utc_now
    from runbook_lib.core.outcome import ICONS
    from runbook_lib.engine.inbox import inbox as items_of
    from runbook_lib.engine.tenants import tenant_states, unknown_tenant

    name = person.strip()
    states = [state for state in tenant_states(evidence) if tenant in ("", state.tenant)]
    if tenant and not states:
        raise SettingsError(unknown_tenant(tenant, evidence))
    if ics:
        _write_calendar(ics, states, name)
    items = items_of(states, today=utc_now().date(), person=name)
    if as_json:
        document = [item.document() for item in items]
        click.echo(escaped_json(json.dumps(document, ensure_ascii=False)))
        return
    for item in items:
        step, whose = item.step, item.tenant
        connector = "" if whose.connector == DEFAULT else f" ({whose.connector})"
        title = f"{'SANDBOX ' * item.is_practice}{whose.tenant}{connector}"
        say(f"{ICONS[step.conclusion.outcome]} {title}: {step.number} {step.step.title}")
        show_paragraph(_who(item), indent="    ")
    for state in states:
        if text := looked_text(state):
            say(f"{state.tenant} ({state.connector}): {text}, in UTC.")
    if not items:
        say(f"Nothing waits for {name}." if name else "Nothing waits for anybody.")


@click.command()
@click.argument("step")
@click.option("--by", required=True, metavar="NAME", help="Who confirms it.")
@click.option("--note", default="", help="A note for the record.")
@click.option("--answer", default="", metavar="NAME", help="Another answer that the step has.")
@click.option("--due", default="", metavar="DAY", help="By when it must be done, if it is not yet.")
@click.option("--until", default="", metavar="DAY", help="The last day on which this counts.")
@click.option("--no", "is_no", is_flag=True, help="As the second person: it is not so (--note).")
@click.option("--yes", "is_sure", is_flag=True, help="Do not ask, for scripts.")
@CONNECTOR
@TENANT
@ENV_FILE
@EVIDENCE
@JSON
def confirm(*, step: str, is_sure: bool, connector: str, as_json: bool, **options: Any) -> None:
    """
    Confirm that STEP is done, as its id or its number on screen.

    The sentence that is confirmed is shown first. The name is what the person says it is. With
    four eyes, --no withdraws what the first person confirmed.
    """
    from msgspec import to_builtins

    from runbook_lib.cli.paragraphs import say
    from runbook_lib.cli.terminal import outcome_of
    from runbook_lib.connectors.registry import find_procedure
    from runbook_lib.core.step_record import step_record
    from runbook_lib.engine.confirmation import prepare

    confirmation = prepare(find_procedure(connector), step, **options)
    if not is_sure:
        _ask(confirmation)
    state = confirmation.record()
    if as_json:
        document = {
            "tenant": confirmation.run.tenant,
            "connector": confirmation.run.procedure.id,
            "step": to_builtins(step_record(state)),
        }
        click.echo(escaped_json(json.dumps(document, ensure_ascii=False)))
        return
    say(f"Recorded. Step {state.number} ({state.step.id}): {outcome_of(state)}")


PEOPLE_COMMANDS = (inbox, confirm)


def _ask(confirmation: PreparedConfirmation) -> None:
    """Show what would be confirmed, and end here unless the person says yes."""
    from runbook_lib.cli.paragraphs import say
    from runbook_lib.cli.terminal import outcome_of
    from runbook_lib.core.model import WordKind

    if not sys.stdin.isatty():
        msg = "Nobody is at this terminal to answer: --yes confirms it unasked."
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


def _write_calendar(path: str, states: Sequence[TenantState], person: str) -> None:
    from runbook_lib.cli.paragraphs import say
    from runbook_lib.core.files import write_whole
    from runbook_lib.engine.duties import calendar, duties

    known = duties(states, person=person)
    write_whole(Path(path), calendar(known))
    entries = counted(len(known), "entry", "entries")
    say(f"Written: {path}, {entries}.", is_error=True)


def _who(item: Item) -> str:
    """Return whom a step waits for, since or until when, and what to do."""
    from runbook_lib.core.model import WaitsFor
    from runbook_lib.evidence.reports.phrases import day

    step = item.step
    late = f", {counted(item.overdue_days, 'day')} overdue" if item.overdue_days else ""
    if item.waits_for is WaitsFor.PERSON:
        due = f", due {day(step.due)}" if step.due else ""
        return f"{step.assigned_to}{due}{late}. {item.advice}"
    if step.is_asked_for:
        return f"Anybody, due {day(step.due)}{late}. {item.advice}"
    if item.waits_for is WaitsFor.OUTSIDE_PARTY:
        usual = step.step.usual_days
        often = f", usually up to {counted(usual, 'day')}" if usual else ""
        return f"An outside party, since {day(step.waiting_since)}{often}{late}."
    if item.waits_for is WaitsFor.SECOND_PERSON:
        first = step.word.by if step.word else ""
        return f"A second person, after {first} on {day(step.waiting_since)}. {item.advice}"
    return f"Anybody. {item.advice}"
