"""
The commands that help a person on: what an error text means, the texts for App Review.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click

from runbook_lib.cli.options import JSON
from runbook_lib.errors import ExitCode
from runbook_lib.plain_text import escaped_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runbook_lib.connectors.explanation import Explained, Explanation, Place

__all__ = ["GUIDANCE_COMMANDS"]

_LONGEST_PASTE = 1024 * 1024


@click.command()
@click.argument("text", nargs=-1, metavar="TEXT")
@click.option("--connector", default="", help="Only this connector's steps.")
@JSON
def explain(*, text: tuple[str, ...], connector: str, as_json: bool) -> None:
    """
    Explain an error text of Facebook's or Cyclr's: what it means, its causes, what to do.

    TEXT may be a part of a page, a whole address with the error in it, or the JSON of an answer;
    with - it is read from stdin.
    """
    from runbook_lib.connectors.explanation import explain as explain_text
    from runbook_lib.connectors.registry import connector_names, find_procedure

    names = (connector,) if connector else connector_names()
    procedures = [find_procedure(name) for name in names]
    pasted = sys.stdin.read(_LONGEST_PASTE) if text == ("-",) else " ".join(text)
    explanation = explain_text(pasted, procedures)
    if as_json:
        click.echo(escaped_json(json.dumps(explanation.document(), ensure_ascii=False)))
    else:
        _show(explanation)
    sys.exit(ExitCode.COMPLETE if explanation.known else ExitCode.INCOMPLETE)


GUIDANCE_COMMANDS = (explain,)


def _show(explanation: Explanation) -> None:
    from runbook_lib.cli.terminal import say

    for number, explained in enumerate(explanation.known):
        if number:
            click.echo()
        _show_explained(explained)
    if explanation.known:
        return
    quoted = f": “{explanation.said}”" if explanation.said else "."
    say(f"The runbook does not know this text{quoted}")
    if explanation.nearest:
        say("Similar texts that it knows, which may be something else:")
    for trouble in explanation.nearest:
        say(f'  runbook explain "{trouble.title}"')


def _show_explained(explained: Explained) -> None:
    from runbook_lib.cli.terminal import say, show_paragraph

    trouble = explained.trouble
    say(trouble.title)
    show_paragraph(trouble.means, indent="  ")
    say("Causes")
    for cause, places in explained.causes:
        show_paragraph(cause.text, indent="  ", first="- ")
        tested = f"The runbook tests this: {_steps(places)}." if places else "Only you can look."
        show_paragraph(tested, indent="    ")
    say("What to do")
    show_paragraph(trouble.advice, indent="  ")
    say("Where")
    for place in explained.steps:
        text = f"{place.connector}: step {place.number}, {place.title} ({place.step})"
        show_paragraph(text, indent="  ")
    show_paragraph(f"Source: {trouble.source}", indent="")


def _steps(places: Sequence[Place]) -> str:
    """Return steps by number and id, each once: connectors share many, under other numbers."""
    numbers: dict[str, dict[str, None]] = {}
    for place in places:
        numbers.setdefault(place.step, {})[str(place.number)] = None
    return ", ".join(f"step {' or '.join(each)} ({step})" for step, each in numbers.items())
