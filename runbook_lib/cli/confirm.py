"""
The command `confirm`: a person's confirmation in a terminal.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from runbook_lib.cli.index_renewal import renew_index
from runbook_lib.cli.options import EVIDENCE, JSON, tenant_options
from runbook_lib.cli.plain_output import say, show_json
from runbook_lib.errors import ExitCode, SettingsError

if TYPE_CHECKING:
    from runbook_lib.engine.confirmation import PreparedConfirmation


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
    from runbook_lib.engine.confirmation import prepare_confirmation

    confirmation = prepare_confirmation(find_procedure(connector), step, **options)
    for name, why in confirmation.doubts.items():
        say(f"Warning: --{name}: {why}", is_error=True)
    if not is_sure:
        _ask(confirmation)
    state = confirmation.record()
    run = confirmation.run
    renew_index(str(run.evidence), alone=[(run.tenant, run.procedure.id)])
    if as_json:
        document = {
            "tenant": run.tenant,
            "connector": run.procedure.id,
            "step": to_builtins(state),
        }
        show_json(document)
        return
    shown = outcome_of(state, run.step(state.id))
    say(f"Recorded. Step {state.number} ({state.id}): {shown}")


def _ask(confirmation: PreparedConfirmation) -> None:
    """Show the sentence to confirm, and end the command unless the person says yes."""
    from runbook_lib.cli.terminal import outcome_of
    from runbook_lib.core.model import AttestationKind

    if not sys.stdin.isatty():
        raise SettingsError(
            "There is no terminal in which a person could answer; nothing was written.",
            next_step="The person who looked confirms this in a terminal or in the walkthrough.",
        )
    run = confirmation.run
    state = confirmation.state
    mark = "SANDBOX " if True in run.history.practice else ""
    say(f"{mark}{run.tenant} · {run.procedure.title} · times are UTC", is_error=True)
    title = f"Step {state.number}, {state.title} ({state.id})"
    say(f"{title}: {outcome_of(state, run.step(state.id))}", is_error=True)
    attestation = confirmation.attestation
    confirmed = attestation.second_person_sentence or attestation.sentence or state.sentence
    says = "withdraws" if attestation.kind is AttestationKind.WITHDRAWN else "confirms"
    say(f"{attestation.by} {says}: {confirmed}", is_error=True)
    if attestation.due or attestation.until:
        due = f"due {attestation.due}" if attestation.due else ""
        until = f"counts until {attestation.until}" if attestation.until else ""
        say(", ".join(filter(None, (due, until))).capitalize(), is_error=True)
    if confirmation.about:
        say(f"For {' · '.join(confirmation.about)}", is_error=True)
    try:
        is_sure = click.confirm("Is this true?", err=True)
    except click.Abort:
        is_sure = False
    if not is_sure:
        say("Not confirmed; nothing was written.", is_error=True)
        sys.exit(ExitCode.INCOMPLETE)
