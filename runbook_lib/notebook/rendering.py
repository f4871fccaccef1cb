"""
Renderings of a step and a run in an executed notebook: HTML for people, text for terminals, JSON.

Pure: a state in, text out. Nothing here performs a step or draws a widget.
The HTML loads nothing, runs no script, and follows the reader's colour scheme.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import to_builtins

from runbook_lib.connectors.registry import kit_of
from runbook_lib.core.model import Outcome, Value
from runbook_lib.core.outcome import ICONS, MODES, OUTCOMES, label_of, tally
from runbook_lib.core.run_state import RunState, StepState
from runbook_lib.core.step_record import (
    StepRecord,
    earlier_line,
    exchange_detail,
    gather_from_checks,
    step_record,
)
from runbook_lib.core.templates import template_environment
from runbook_lib.evidence.reports.phrases import with_times
from runbook_lib.text import one_line

if TYPE_CHECKING:
    from jinja2 import Environment


STEP_MIME = "application/vnd.runbook.step+json"
END_MIME = "application/vnd.runbook.end+json"

_AS_SAVED = "As last saved. Press Start at the top of the notebook to go on."
_NOTES = {
    "quotes": "In its own words",
    "warnings": "Warning",
    "changes": "Changed",
    "limits": "Not proven",
}


def step_bundle(
    state: StepState, values: Mapping[str, Value], *, is_sandbox: bool
) -> dict[str, Any]:
    """Return the three renderings of a step, by MIME type."""
    record = step_record(state)
    notes = [("Note", text) for text in record.remarks]
    notes += [("Rests on", earlier_line(carried)) for carried in record.carried]
    if record.needs_person:
        notes.append(("Not confirmed by anybody yet", record.sentence))
    for name, label in _NOTES.items():
        notes += [(label, text) for text in gather_from_checks(record, name)]
    pastes = [{"label": paste.label, "value": paste.value(values)} for paste in state.step.pastes]
    html = _html(
        "step",
        step=record,
        notes=notes,
        tables=gather_from_checks(record, "tables"),
        # A practice run's sandbox has stopped when somebody reads this.
        links=[link.shown({} if is_sandbox else values) for link in state.step.links],
        pastes=[paste for paste in pastes if paste["value"]],
        kit=kit_of(state.step.review_kit, values) if state.step.review_kit else None,
        is_sandbox=is_sandbox,
    )
    return {
        "text/html": html,
        "text/plain": _step_text(record, notes, is_sandbox=is_sandbox),
        STEP_MIME: _without_exchanges(record),
    }


def header_bundle(
    title: str, *, tenant: str, run_id: str, mode: str, is_sandbox: bool
) -> dict[str, Any]:
    """Return the renderings of a notebook's header."""
    label = "practice, nothing of this is real" if is_sandbox else "PRODUCTION"
    mark = "SANDBOX: " if is_sandbox else ""
    how = MODES[mode]
    text = one_line(f"{mark}{label} · tenant {tenant} · run {run_id} · {how} · times are UTC")
    html = _html(
        "header",
        title=title,
        label=label,
        tenant=tenant,
        run_id=run_id,
        how=how,
        is_sandbox=is_sandbox,
    )
    return {"text/html": html, "text/plain": f"{one_line(title)}\n{text}"}


def end_bundle(state: RunState, *, is_sandbox: bool, end: str = "") -> dict[str, Any]:
    """
    Return the renderings of a run's end: the number of steps by outcome, and `end` below it.

    The JSON has every step with outcome and reason.
    """
    steps = [step_record(step) for step in state.steps.values()]
    counts = [f"{ICONS[outcome]} {number} {label}" for outcome, label, number in tally(steps)]
    document = {
        "run_id": state.run_id,
        "sandbox": is_sandbox,
        "steps": [_without_exchanges(step) for step in steps],
    }
    mark = "SANDBOX " if is_sandbox else ""
    return {
        "text/html": _html("end", counts=counts, is_sandbox=is_sandbox, end=end),
        "text/plain": "\n".join(filter(None, (mark + " · ".join(counts), one_line(end)))),
        END_MIME: document,
    }


def saved_bundle(state: RunState | None, *, tenant: str, part: str) -> dict[str, Any]:
    """
    Return the text that a saved notebook shows in place of a panel: the last known state.

    `part` is a step's id, or "header" or "finish", where only the tenant is shown, as without
    `state`.
    """
    step = state.steps.get(part) if state else None
    conclusion = step.conclusion if step else None
    if conclusion:
        outcome = conclusion.outcome
        mark = f"{ICONS[outcome]} {label_of(conclusion)}: "
        summary = with_times(conclusion.reason)
    else:
        # NOTE: no number of steps: the notebook is saved seldom, and the number would be old.
        outcome = Outcome.NOT_RUN
        mark = ""
        summary = ""
    html = _html(
        "saved", outcome=outcome, conclusion=conclusion, summary=summary, tenant=tenant, part=part
    )
    return {"text/html": html, "text/plain": one_line(f"{mark}{summary} {_AS_SAVED}")}


def confirm_page(*, heading: str, **values: object) -> str:
    """Return the page on which a second person confirms a step, or one with a `message`."""
    return _html("confirm", heading=heading, **values)


def _step_text(step: StepRecord, notes: list[tuple[str, str]], *, is_sandbox: bool) -> str:
    mark = "SANDBOX " if is_sandbox else ""
    lines = [f"{mark}{ICONS[step.outcome]} {label_of(step)}: {with_times(step.reason)}"]
    lines += [f"  {label.lower()}: {text}" for label, text in notes]
    for table in gather_from_checks(step, "tables"):
        lines += [f"  {table.caption}:", *(f"    {' · '.join(row)}" for row in table.rows)]
    lines += [
        f"  {error.shown[0]}: {error.meaning} What to do: {error.advice}"
        for error in step.known_errors
        if error.seen
    ]
    # NOTE: a terminal, or a person's editor, shows this as it is.
    return "\n".join(one_line(line) for line in lines)


def _without_exchanges(step: StepRecord) -> dict[str, Any]:
    """Return a step's document for machines; the record has the exchanges."""
    document = {name: value for name, value in to_builtins(step).items() if name != "exchanges"}
    earlier = tuple(
        {name: value for name, value in carried.items() if name != "exchanges"}
        for carried in document["carried"]
    )
    return {**document, "carried": earlier}


def _html(template: str, **values: Any) -> str:
    return environment().get_template(f"{template}.html").render(**values)


@cache
def environment() -> Environment:
    """Return the environment of the templates of a cell's output."""
    made = template_environment(Path(__file__).parent / "templates")
    made.globals.update(
        as_saved=_AS_SAVED,
        colours={outcome: row.colour.cell for outcome, row in OUTCOMES.items()},
        icons=ICONS,
        label=label_of,
        detail=exchange_detail,
    )
    made.filters["timed"] = with_times
    return made
