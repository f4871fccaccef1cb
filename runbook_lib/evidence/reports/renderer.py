"""
Render the pages' templates, with the words and the filters that they share.

Invisible characters are shown and everything is escaped, here alone.
"""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from runbook_lib.core.model import Exchange, Outcome
from runbook_lib.core.outcome import (
    CARRIED,
    CARRIED_MEANING,
    ICONS,
    IN_PART,
    IN_PART_MEANING,
    LABELS,
    LOOKS_LIKE,
    MEANINGS,
    MODES,
    OUTCOMES,
    label_of,
    tally,
)
from runbook_lib.core.templates import template_environment
from runbook_lib.evidence.reports import phrases
from runbook_lib.run.advice import advice_of
from runbook_lib.run.state import StepState
from runbook_lib.text import pluralize

if TYPE_CHECKING:
    from jinja2 import Environment


TEMPLATES = Path(__file__).parent / "templates"
_TRACE = re.compile(r"trace|request-?id|correlation", re.IGNORECASE)


def render(template: str, **values: object) -> str:
    """Return the page that `template` makes of `values`."""
    return "".join(stream(template, **values))


def stream(template: str, **values: object) -> Iterator[str]:
    """Yield the page that `template` makes of `values`, in parts."""
    yield from environment().get_template(template).generate(values)


@cache
def environment() -> Environment:
    """Return the environment of the pages' templates."""
    from markupsafe import Markup  # noqa: PLC0415

    def shown(value: object) -> object:
        """Make invisible characters visible; escaping comes after this."""
        if isinstance(value, str) and not isinstance(value, Markup):
            return phrases.readable(value)
        return value

    def as_json(document: object, limit: int) -> Markup:
        """Return JSON for the text of an element, where a quotation mark needs no escape."""
        text = phrases.readable(phrases.as_json(document, limit))
        return Markup(html.escape(text, quote=False))  # noqa: S704  (escaped here)

    made = template_environment(TEMPLATES, finalize=shown)
    made.globals.update(
        outcomes=list(Outcome),
        colours={str(outcome): row.colour for outcome, row in OUTCOMES.items()}
        | {str(outcome): OUTCOMES[like].colour for outcome, like in LOOKS_LIKE.items()},
        meanings=MEANINGS,
        modes=MODES,
        in_part=IN_PART,
        in_part_meaning=IN_PART_MEANING,
        carried=CARRIED,
        carried_meaning=CARRIED_MEANING,
        lasting=phrases.lasting,
        pluralize=pluralize,
    )
    made.filters.update(
        icon=lambda outcome: ICONS.get(outcome, "?"),
        label=label_of,
        word=lambda outcome: LABELS.get(outcome, str(outcome)),
        cut=lambda text, limit: phrases.bounded(phrases.readable(str(text)), limit),
        json=as_json,
        when=phrases.when,
        timed=lambda text: phrases.with_times(str(text)),
        date=phrases.date,
        day=phrases.day,
        clock=phrases.clock,
        size=phrases.size,
        detail=phrases.exchange_detail,
        plain=phrases.plain,
        trace_ids=_trace_ids,
        answers=_answers,
        advice=advice_of,
        limits=lambda step: list(dict.fromkeys(step.gather("limits"))),
        tally=tally,
        as_is=Markup,  # a page's own script, or the base64 of a picture
    )
    made.tests.update(
        web_link=phrases.is_web_link,
        repeated_below=_is_repeated_below,
        not_whole=lambda label: str(label).startswith((IN_PART, CARRIED)),
    )
    return made


def _answers(numbers: Iterable[int], exchanges: Mapping[int, Exchange]) -> str:
    """Return the statuses of the exchanges of these numbers: `3 × 200, 400`."""
    answers = Counter(
        str(exchange.status or ("no response" if exchange.error else "done"))
        for exchange in map(exchanges.__getitem__, numbers)
    )
    return ", ".join(
        f"{count} × {answer}" if count > 1 else answer for answer, count in answers.items()
    )


def _trace_ids(exchange: Exchange) -> dict[str, str]:
    """Return the remote system's ids of this exchange, by field or header name."""
    answer = exchange.response
    error = answer.get("error") if isinstance(answer, Mapping) else None
    named = {**(error if isinstance(error, Mapping) else {}), **exchange.headers}
    ids: dict[str, str] = {}
    for name, text in named.items():
        if text and _TRACE.search(name) and str(text) not in ids.values():
            ids[name] = str(text)
    return ids


def _is_repeated_below(step: StepState) -> bool:
    """Return whether a step's reason only repeats the checks or the attestation below it."""
    if step.earlier:
        return bool(step.verified_on) and not step.made_findings
    attestation = step.attestation
    seen = [found.reason for found in step.findings if found.outcome == step.outcome]
    repeated = [" ".join(dict.fromkeys(seen))]
    if attestation:
        spoken = f"{attestation.by} on {attestation.at}"
        repeated += [
            spoken,
            f"{spoken}: {attestation.note}",
            f"{attestation.by}: {attestation.note}",
        ]
    return step.reason in repeated
