"""
The command `explain`: the meaning of an error text, who must act, and what to do first.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import click

from runbook_lib.cli.options import CONNECTOR, JSON
from runbook_lib.cli.plain_output import say, show_json, show_paragraph
from runbook_lib.connectors.registry import find_procedure
from runbook_lib.errors import ExitCode, SettingsError

if TYPE_CHECKING:
    from runbook_lib.core.procedure import KnownError, Procedure, Step

LONGEST_PASTE = 1024 * 1024
MAX_ECHO_CHARACTERS = 60
MAX_STEPS = 3
MAX_TITLE_WORDS = 14
MAX_HINT_WORDS = 6
UNTESTED = "No API shows this. Check it yourself."
# Tokens, secrets, codes and named values; no word of a sentence has such a form, but for the name
# of an error, in capitals, a code "(#131030)" and a share "30%". Languages without blanks have long
# words of other letters.
_LONG_WORD = re.compile(
    r"(?<![!-~])(?![A-Z]{2,}(?:_+[A-Z]+)+(?!\S))"
    r"(?!\(#[0-9]{1,7}\)(?!\S))(?![0-9]{1,3}(?:[.,][0-9]{1,2})?%[.,]?(?!\S))"
    r"(?:[!-~]{20,}|[!-~]*[=&%][!-~]*|[!-~]*[0-9][!-~]{7,}|[!-~]{7,}[0-9][!-~]*)"
)
_HTTP_STATUS = re.compile(
    r"\b(?:http|status|response)(?:[ _/.0-9]{0,5}(?:status|code|response|error))*"
    r"\W{1,4}([45][0-9]{2})\b"
    r"|\b([45][0-9]{2})\W{1,3}(?:bad request|unauthorized|forbidden|not found|internal server)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class StepPlace:
    """A step of a connector, with its number on screen."""

    connector: str
    step: str
    number: str
    title: str


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


def explanation_document(pasted: str, procedure: Procedure) -> dict[str, Any]:
    """
    Look `pasted` up in the known errors of `procedure`, for programs and people.

    Only a short part of `pasted` is repeated, without credentials, and nothing of a known text.

    Raises `SettingsError` if it contains nothing to look for.
    """
    from runbook_lib.connectors.known_errors import KnownErrors
    from runbook_lib.connectors.provider import vendor_of

    if not re.search(r"\w", pasted):
        raise SettingsError(
            "There is no text to explain.",
            next_step='Paste the error text: runbook explain "URL Blocked". Use - to read it from '
            "stdin.",
        )
    vendor = vendor_of(procedure)
    found = KnownErrors(procedure.known_errors, vendor.search_words).explain(pasted)
    is_known = found.is_certain or found.names_cause
    status = _HTTP_STATUS.search(pasted)
    errors = [_error_document(error, procedure) for error in found.errors]
    if found.title and is_known:
        errors[0]["title"] = found.title
    return {
        "decided_by": found.decided_by.value,
        "known": is_known,
        "quoted": "" if is_known else _echo(pasted),
        "codes": list(found.codes),
        "http_status": int(status[1] or status[2]) if status else None,
        "trace_field": vendor.trace_field,
        "errors": errors,
    }


def _error_document(error: KnownError, procedure: Procedure) -> dict[str, Any]:
    tested = {check for cause in error.causes for check in cause.tested_by}
    steps = [
        step
        for step in procedure.steps
        if step.id in error.more_steps or any(other.id == error.id for other in step.known_errors)
    ]
    # Sorting keeps the order of the procedure otherwise.
    steps.sort(key=lambda step: (not _tests(step, tested), step.id not in error.more_steps))
    return {
        "id": error.id,
        "title": error.title,
        "shown": error.shown,
        "meaning": error.meaning,
        "who_acts": error.who_acts,
        "first": re.split(r"(?<=[.!])\s", error.advice, maxsplit=1)[0],
        "for_customer": error.for_customer,
        "causes": [
            {
                **asdict(cause),
                "steps": _places(
                    procedure,
                    [step for step in procedure.steps if _tests(step, {*cause.tested_by})],
                ),
            }
            for cause in error.causes
        ],
        "advice": error.advice,
        "source": error.source,
        "steps": _places(procedure, steps),
    }


def _tests(step: Step, checks: set[str]) -> bool:
    return any(check.id in checks for check in step.checks)


def _places(procedure: Procedure, steps: list[Step]) -> list[dict[str, str]]:
    return [
        asdict(StepPlace(procedure.id, step.id, procedure.numbers[step.id], step.title))
        for step in steps[:MAX_STEPS]
    ]


def _echo(pasted: str) -> str:
    """Return the beginning of the first message, without what may be a credential."""
    from runbook_lib.connectors.error_text import read_error
    from runbook_lib.core.redaction import MASK, without_headers

    words = " ".join(read_error(pasted).messages[0].split())[: 4 * MAX_ECHO_CHARACTERS]
    if words.startswith(("{", "[")):
        return ""
    echo = _LONG_WORD.sub(MASK, without_headers(words))
    if not re.search(r"\w", echo):
        return ""
    return f"{echo[:MAX_ECHO_CHARACTERS]}…" if len(echo) > MAX_ECHO_CHARACTERS else echo


def _show(document: Mapping[str, Any], *, is_verbose: bool) -> None:
    errors = document["errors"]
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
    shown = errors if is_verbose else errors[:MAX_STEPS]
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
