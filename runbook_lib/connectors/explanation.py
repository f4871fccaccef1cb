"""
The explanation of an error text: its meaning, who must act, and what to do first.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any

from runbook_lib.connectors.error_text import read_error
from runbook_lib.connectors.fault_domain import FaultDomain
from runbook_lib.connectors.known_errors import KnownErrors
from runbook_lib.connectors.provider import vendor_of
from runbook_lib.core.procedure import KnownError, Procedure, Step
from runbook_lib.core.redaction import MASK, without_headers
from runbook_lib.errors import SettingsError

MAX_ECHO_CHARACTERS = 60
MAX_SHOWN_CHARACTERS = 300
MAX_STEPS = 3
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


def explanation_document(pasted: str, procedure: Procedure) -> dict[str, Any]:
    """
    Look `pasted` up in the known errors of `procedure`, for programs and people.

    Only a short part of `pasted` is repeated, without credentials: what an error response shows to
    people, and the beginning of an unknown text.

    Raises `SettingsError` if it contains nothing to look for.
    """
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
        "shown_to_people": [*filter(None, map(_masked, read_error(pasted).shown_to_people))],
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
        # A limit is no fault of a step.
        if error.fault_domain != FaultDomain.LIMIT
        and (
            step.id in error.more_steps or any(other.id == error.id for other in step.known_errors)
        )
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
    words = " ".join(read_error(pasted).messages[0].split())[: 4 * MAX_ECHO_CHARACTERS]
    if words.startswith(("{", "[")):
        return ""
    return _masked(words, MAX_ECHO_CHARACTERS)


def _masked(text: str, most: int = MAX_SHOWN_CHARACTERS) -> str:
    """Return the beginning of `text` on one line, without what may be a credential."""
    echo = _LONG_WORD.sub(MASK, without_headers(" ".join(text.split())[: 4 * most]))
    if not re.search(r"\w", echo):
        return ""
    return f"{echo[:most]}…" if len(echo) > most else echo
