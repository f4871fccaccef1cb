"""
The commands that help a person on: what an error text means, the texts for a review.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from runbook_lib.cli.options import CONNECTOR, EVIDENCE, JSON, SET, assignments, tenant_options
from runbook_lib.cli.paragraphs import say, show_json, show_paragraph
from runbook_lib.connectors.registry import find_procedure
from runbook_lib.errors import ExitCode, SettingsError
from runbook_lib.plain_text import counted

if TYPE_CHECKING:
    from runbook_lib.connectors.explanation import Explanation
    from runbook_lib.engine.kit import WrittenKit


_LONGEST_PASTE = 1024 * 1024
_MOST_PERHAPS = 6
_HAS_BLANKS = (
    "The kit has blanks for this. Name the tenant with --tenant, enter the value in the "
    "walkthrough, or give it with --set."
)
_UNTESTED = "No API shows this. Check it yourself."


@click.command()
@click.argument("text", nargs=-1, metavar="TEXT")
@click.option(
    "--webhook",
    default="",
    metavar="FILE",
    help="Read the messages of Cyclr's two webhooks: one JSON object, a list, or a log.",
)
@CONNECTOR
@JSON
def explain(*, text: tuple[str, ...], webhook: str, connector: str, as_json: bool) -> None:
    """
    Explain an error text of a remote system: its meaning, its causes, and what to do.

    TEXT may be part of a page, an address that contains the error, an answer's JSON, or lines of a
    log with such an answer. With --webhook it explains your customers' failed transactions and
    paused cycles in Cyclr, by cause. Use - to read either from stdin.
    """
    from runbook_lib.cli.customers import read_webhook, show_failures
    from runbook_lib.connectors.explanation import explain as explain_text

    if webhook and text:
        msg = "Give either --webhook or TEXT, not both."
        raise SettingsError(msg)
    if webhook:
        failures = read_webhook(webhook, connector)
        document = failures.document()
        if as_json:
            show_json(document)
        else:
            show_failures(document)
        is_known = failures.items and not failures.unread and not failures.is_cut
        is_known = is_known and all(cause["known"] for cause in document["causes"])
        sys.exit(ExitCode.COMPLETE if is_known else ExitCode.INCOMPLETE)
    pasted = sys.stdin.read(_LONGEST_PASTE) if text == ("-",) else " ".join(text)
    explanation = explain_text(pasted, find_procedure(connector))
    if as_json:
        show_json(explanation.document())
    else:
        _show(explanation)
    sys.exit(ExitCode.COMPLETE if explanation.known else ExitCode.INCOMPLETE)


@click.command()
@tenant_options
@SET
@EVIDENCE
@click.option(
    "--output", default=".", show_default=True, metavar="FOLDER", help="The folder to write to."
)
@click.option("--force", "overwrites", is_flag=True, help="Overwrite files that you changed.")
@click.option("--attach", is_flag=True, help="Keep review-kit.md as evidence, as submitted.")
@click.option(
    "--by", default="", metavar="NAME", help="With --attach: the person who submitted it."
)
@click.option("--note", default="", help="With --attach: a note for the record.")
@JSON
def kit(
    *,
    connector: str,
    given: tuple[str, ...],
    output: str,
    attach: bool,
    by: str,
    note: str,
    as_json: bool,
    **options: Any,
) -> None:
    """
    Write the texts and the screencast script for the provider's review.

    It writes review-kit.md for you to adapt. Once you have submitted the texts, --attach --by NAME
    keeps the file with the step. Fill in every blank first.
    """
    from pathlib import Path

    from runbook_lib.engine.kit import KitRequest, write_kit

    if attach and not by.strip():
        msg = "--attach records who submitted the kit: add --by NAME."
        raise SettingsError(msg, next_step="Nothing was written.")
    if (by or note) and not attach:
        msg = "--by and --note need --attach."
        raise SettingsError(msg, next_step="Nothing was written.")
    request = KitRequest(
        procedure=find_procedure(connector),
        given=assignments(given),
        output=Path(output),
        by=by,
        note=note,
        **options,
    )
    written = write_kit(request)
    if as_json:
        file = written.file
        document = {
            "file": {
                "path": str(file.path),
                "changed": file.is_changed,
                "blanks": len(file.blanks),
            },
            "permissions": [part.name for part in written.kit.permissions],
            "warnings": list(written.kit.warnings),
            "unknown": list(written.kit.unknown),
            "attached_to": written.step or None,
        }
        show_json(document)
    else:
        _show_kit(written)


GUIDANCE_COMMANDS = (explain, kit)


def _show_kit(written: WrittenKit) -> None:
    file = written.file
    say(f"{'Kept with your changes' if file.is_changed else 'Written'}: {file.path}")
    for warning in written.kit.warnings:
        show_paragraph(warning, indent="", first="! ")
    if written.kit.unknown and not file.is_changed:
        names = ", ".join(written.kit.unknown)
        show_paragraph(f"Not known yet: {names}. {_HAS_BLANKS}", indent="")
    if written.step:
        say(f"Kept as the submitted text of step {written.step}.")
        return
    places = counted(len(file.blanks), "place")
    show_paragraph(
        f"Next: replace the {places} marked ‹…›, and record the screencast from its script. After "
        "you submit them: runbook kit --attach --by NAME.",
        indent="",
    )


def _show(explanation: Explanation) -> None:
    if explanation.known and explanation.is_by_code:
        text = "The runbook knows this code, but not this text. It explains the code and the words."
        show_paragraph(text, indent="")
    for number, explained in enumerate(explanation.known):
        if number:
            click.echo()
        trouble = explained.trouble
        say(explained.title)
        show_paragraph(trouble.means, indent="  ")
        say("What to do")
        show_paragraph(trouble.advice, indent="  ")
        say("Where")
        for place in explained.steps:
            show_paragraph(f"step {place.number}, {place.title} ({place.step})", indent="  ")
        say("Causes")
        for cause, places in explained.causes:
            show_paragraph(cause.text, indent="  ", first="- ")
            steps = ", ".join(f"step {place.number} ({place.step})" for place in places)
            tested = f"The runbook tests this: {steps}." if places else _UNTESTED
            show_paragraph(tested, indent="    ")
        show_paragraph(f"Source: {trouble.source}", indent="")
    if not explanation.known:
        _show_unknown(explanation)


def _show_unknown(explanation: Explanation) -> None:
    quoted = f": “{explanation.said}”" if explanation.said else "."
    say(f"The runbook does not know this text{quoted}")
    codes = ", ".join(map(str, explanation.codes))
    if explanation.closest:
        say("No error text matches exactly. The closest are:")
        for explained in explanation.closest:
            click.echo()
            say(explained.title)
            first = explained.trouble.advice.partition(". ")[0].rstrip(".")
            where = [f"Where: step {place.number}, {place.title}" for place in explained.steps[:1]]
            for text in (explained.trouble.means, f"First: {first}.", *where):
                show_paragraph(text, indent="  ")
        click.echo()
        say('If one of them fits, read all about it: runbook explain "TITLE".')
    elif explanation.is_by_code:
        text = (
            f"Code {codes} has several meanings. Only the text after it, or its subcode, shows "
            "which. Paste the whole answer. It may be one of these:"
        )
        show_paragraph(text, indent="")
        for trouble in explanation.perhaps[:_MOST_PERHAPS]:
            say(f'  runbook explain "{trouble.title}"')
    if explanation.codes and not explanation.is_by_code:
        say(f"It does not know this code either: {codes}.")
    elif not explanation.perhaps:
        text = (
            "Instead, copy the code and the trace id from the answer, or its whole text in "
            "English. The runbook knows a text in another language by its code alone."
        )
        show_paragraph(text, indent="")
