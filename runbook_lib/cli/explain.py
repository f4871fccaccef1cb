"""
The command `explain`: the meaning of an error text, who must act, and what to do first.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

import click

from runbook_lib.cli.options import CONNECTOR, JSON
from runbook_lib.cli.plain_output import say, show_json, show_paragraph
from runbook_lib.connectors.registry import find_procedure
from runbook_lib.errors import ExitCode, SettingsError

LONGEST_PASTE = 1024 * 1024
# An explanation shows at most so many guesses.
MAX_GUESSES = 3
MAX_TITLE_WORDS = 14
MAX_HINT_WORDS = 6
UNTESTED = "No API shows this. Check it yourself."


@click.command()
@click.argument("text", nargs=-1, metavar="TEXT")
@click.option(
    "--webhook",
    default="",
    metavar="FILE",
    help="Read the messages of Cyclr's two webhooks: one JSON object, a list, or a log.",
)
@click.option(
    "--verbose", "is_verbose", is_flag=True, help="Show causes, all advice, steps and sources."
)
@CONNECTOR
@JSON
def explain(
    *, text: tuple[str, ...], webhook: str, connector: str, as_json: bool, is_verbose: bool
) -> None:
    """
    Explain an error text: its meaning, who must act, and what to do first.

    TEXT may be part of a page, an address that contains the error, an answer's JSON, lines of a
    log, or a question in your own words. A known text, a subcode or a code gives one answer; words
    alone give up to three guesses. With --webhook it explains your customers' failed transactions
    and paused cycles in Cyclr, by cause. Use - to read either from stdin.
    """
    from runbook_lib.cli.connections import read_webhook, show_failures
    from runbook_lib.connectors.explanation import explanation_document

    if webhook and text:
        raise SettingsError("Give either --webhook or TEXT, not both.")
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
    pasted = sys.stdin.read(LONGEST_PASTE) if text == ("-",) else " ".join(text)
    document = explanation_document(pasted, find_procedure(connector))
    try:
        if as_json:
            show_json(document)
        else:
            _show(document, is_verbose=is_verbose)
    except BrokenPipeError:
        # The reader of the pipe has gone: discard the rest, also when Python flushes it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.exit(ExitCode.COMPLETE if document["known"] else ExitCode.INCOMPLETE)


def _show(document: Mapping[str, Any], *, is_verbose: bool) -> None:
    errors = document["errors"]
    if document["shown_to_people"]:
        said = " ".join(f"“{text}”" for text in document["shown_to_people"])
        show_paragraph(said, indent="")
        click.echo()
    if document["known"]:
        if document["decided_by"] == "code":
            codes = ", ".join(map(str, document["codes"]))
            say(f"The runbook knows code {codes}, but not this text.")
        _show_error(errors[0], is_verbose=is_verbose)
        if errors[1:]:
            click.echo()
            say("This text has many causes. It may also be:")
            for error in errors[1:]:
                say(f"  {_shortened(error['title'], MAX_HINT_WORDS)}")
        return
    _show_unknown(document)
    shown = errors if is_verbose else errors[:MAX_GUESSES]
    for error in shown:
        click.echo()
        _show_error(error, is_verbose=is_verbose, is_guess=True)
    if errors:
        click.echo()
        more = len(errors) - len(shown)
        text = f"{more} more share the code: add --verbose." if more else ""
        show_paragraph(f'Read all about one: runbook explain "TITLE". {text}'.strip(), indent="")


def _show_error(error: Mapping[str, Any], *, is_verbose: bool, is_guess: bool = False) -> None:
    """Show a known error, in at most 80 words unless `is_verbose`."""
    say(error["title"] if is_verbose else _shortened(error["title"], MAX_TITLE_WORDS))
    show_paragraph(error["meaning"], indent="  ")
    if not is_guess:
        show_paragraph(f"Who must act: {error['who_acts']}.", indent="  ")
    show_paragraph(f"First: {error['first']}", indent="  ")
    if error["for_customer"] and not is_guess:
        show_paragraph(f"Tell your customer: “{error['for_customer']}”", indent="  ")
    for place in error["steps"] if is_verbose else error["steps"][:1]:
        number = f"Step {place['number']}: {place['title']}"
        show_paragraph(f"{number} ({place['step']})" if is_verbose else number, indent="  ")
    if not is_verbose:
        return
    say("Causes")
    for cause in error["causes"]:
        show_paragraph(cause["text"], indent="  ", first="- ")
        steps = ", ".join(f"step {place['number']} ({place['step']})" for place in cause["steps"])
        tested = f"The runbook tests this: {steps}." if steps else UNTESTED
        for text in filter(None, (cause["advice"], tested)):
            show_paragraph(text, indent="    ")
    say("What to do")
    show_paragraph(error["advice"], indent="  ")
    show_paragraph(f"Source: {error['source']}", indent="")


def _shortened(text: str, most_words: int) -> str:
    words = text.split()
    return " ".join(words) if len(words) <= most_words else f"{' '.join(words[:most_words])} …"


def _show_unknown(document: Mapping[str, Any]) -> None:
    """Print that the text is unknown, and which further information would help."""
    quoted = f": “{document['quoted']}”" if document["quoted"] else "."
    say(f"The runbook does not know this text{quoted}")
    status = document["http_status"]
    codes = [code for code in document["codes"] if code != status]
    named = ", ".join(map(str, codes))
    if document["decided_by"] == "code":
        text = f"Code {named or document['codes'][0]} has several meanings. The likeliest are:"
        show_paragraph(text, indent="")
    elif document["errors"]:
        if codes:
            show_paragraph(f"It does not know code {named} either.", indent="")
        say("No error text matches exactly. The closest are:")
    elif codes:
        show_paragraph(
            f"It does not know code {named} either. Paste the whole response, with message, "
            f"subcode and {document['trace_field']}: runbook explain -. If it has no more, send "
            "these to the support of the company that answered.",
            indent="",
        )
    elif status:
        show_paragraph(
            f"HTTP {status} only says that the request failed. The response's message "
            "and its own code say why: paste the whole response into “runbook explain -”.",
            indent="",
        )
    else:
        show_paragraph(
            "Paste the whole response into “runbook explain -”: its code and subcode count in "
            "every language. Or describe what happened in other words.",
            indent="",
        )
