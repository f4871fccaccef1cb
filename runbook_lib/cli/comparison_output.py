"""
Layout of a field report in the terminal.
"""

from __future__ import annotations

import json
from pathlib import Path

import click
import msgspec

from runbook_lib.cli.plain_output import say, show_paragraph
from runbook_lib.engine.field_report import (
    CallComparison,
    DifferenceKind,
    FieldReport,
    ShapeDifference,
)
from runbook_lib.text import pluralize

_PRACTICE = "This run was practice in the sandbox: it teaches nothing about the live systems."
_ISSUE = """\
Title: Responses of a live run, compared with the sandbox ({connector}, {month})

{summary}

This text has keys, types, statuses, error codes and names of headers, and no value of the run.
Made by `runbook compare`, version {version}. Please read it before you post it.

```json
{document}
```
"""


def summary(report: FieldReport) -> str:
    """Return the number of differing responses, in one or two sentences."""
    different = [call for call in report.calls if call.differences]
    serious = sum(call.matters for call in report.calls)
    if not report.calls:
        return "This evidence has no response of a remote system."
    calls = pluralize(len(report.calls), "call")
    if not different:
        return f"{calls}: each was answered in a known shape."
    return (
        f"{calls}: {len(report.calls) - len(different)} answered in a known shape, "
        f"{len(different)} in another one. {_weight(serious)}"
    )


def _weight(serious: int) -> str:
    if not serious:
        return "No check reads what differs."
    return f"Of these, {serious} may mislead a check."


def show_field_report(report: FieldReport, bundle: Path) -> None:
    """Print the differing responses, the checks that read them, and whether it matters."""
    if report.sandbox:
        say(f"! {_PRACTICE}")
    say(f"{bundle}: responses compared with those of the sandbox and published ones.")
    say(summary(report))
    for call in report.calls:
        if call.differences:
            _show_call(call)
    if report.headers:
        click.echo()
        names = ", ".join(report.headers)
        show_paragraph(f"Headers that are not known, and that no check reads: {names}", indent="")


def _show_call(call: CallComparison) -> None:
    click.echo()
    path, _, fields = call.call.partition("?fields=")
    show_paragraph(path, indent="", first="✘ " if call.matters else "- ")
    if fields:
        show_paragraph(f"fields: {fields.replace(',', ', ')}", indent="  ")
    if call.checks:
        show_paragraph(f"read by: {', '.join(call.checks)}", indent="  ")
    for difference in call.differences:
        mark = "matters" if difference.matters else "does not matter"
        show_paragraph(f"{_told(difference)} ({mark})", indent="  ")


def _told(difference: ShapeDifference) -> str:
    """Return a difference as a sentence without its end."""
    seen = difference.seen
    known = difference.known
    match difference.kind:
        case DifferenceKind.LEFT_OUT:
            return f"{difference.where} is left out: {known} is known"
        case DifferenceKind.OTHER_TYPE:
            return f"{difference.where or 'the body'} is {seen}: {known} is known"
        case DifferenceKind.MORE_KEYS:
            return f"{difference.where} is more than known: {seen}"
        case DifferenceKind.UNKNOWN_CODE:
            return f"error code {seen} is not known"
        case DifferenceKind.STATUS:
            return f"status {seen}: {known} is known"
        case DifferenceKind.NOT_JSON:
            return f"not JSON: {seen}"
        case DifferenceKind.UNKNOWN_CALL:
            return "no response to this call is known"


def issue_text(report: FieldReport) -> str:
    """Return the text of an issue; nothing is sent."""
    return _ISSUE.format(
        connector=report.connector,
        month=report.month,
        summary=f"{_PRACTICE} {summary(report)}" if report.sandbox else summary(report),
        version=report.runbook,
        document=json.dumps(msgspec.to_builtins(report), indent=1),
    )
