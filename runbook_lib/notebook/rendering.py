"""
Renderings of a step and a run in an executed notebook: HTML for people, text for terminals, JSON.

Pure: a state in, text out. Nothing here performs a step or draws a widget.
The HTML loads nothing, runs no script, and follows the reader's colour scheme.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import to_builtins

from runbook_lib.connectors.registry import kit_of
from runbook_lib.core.model import Outcome, Value
from runbook_lib.core.outcome import ICONS, MODES, label_of, tally
from runbook_lib.core.procedure import Step
from runbook_lib.evidence.reports.phrases import with_times
from runbook_lib.evidence.reports.renderer import render
from runbook_lib.run.state import RunState, StepState
from runbook_lib.text import one_line

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
    run: RunState, texts: Step, values: Mapping[str, Value], *, is_sandbox: bool
) -> dict[str, Any]:
    """Return the three renderings of the step `texts` in a run, by MIME type."""
    step = run.step(texts.id)
    notes = [("Note", text) for text in step.remarks]
    notes += [
        ("Rests on", f"line {earlier.line} of the journal") for earlier in step.earlier.values()
    ]
    if step.needs_person:
        notes.append(("Not confirmed by anybody yet", step.sentence))
    pastes = [{"label": paste.label, "value": paste.value(values)} for paste in texts.pastes]
    html = _html(
        "step",
        step=step,
        notes=notes,
        # A practice run's sandbox has stopped when somebody reads this.
        links=[link.shown({} if is_sandbox else values) for link in texts.links],
        pastes=[paste for paste in pastes if paste["value"]],
        kit=kit_of(texts.review_kit, values) if texts.review_kit else None,
        exchanges=[run.exchanges[number] for number in step.exchange_numbers],
        is_sandbox=is_sandbox,
    )
    return {
        "text/html": html,
        "text/plain": _step_text(step, notes, is_sandbox=is_sandbox),
        STEP_MIME: to_builtins(step),
    }


def header_bundle(
    title: str, *, tenant: str, run_id: str, mode: str, is_sandbox: bool
) -> dict[str, Any]:
    """Return the renderings of a notebook's header."""
    label = "practice, nothing of this is real" if is_sandbox else "LIVE"
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
    counts = [f"{ICONS[outcome]} {number} {label}" for outcome, label, number in tally(state.steps)]
    document = {"run": state.run, "sandbox": is_sandbox, "steps": to_builtins(state.steps)}
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
    step = state.by_id.get(part) if state else None
    if step:
        outcome = step.outcome
        mark = f"{ICONS[outcome]} {label_of(step)}: "
        summary = with_times(step.reason)
    else:
        # NOTE: no number of steps: the notebook is saved seldom, and the number would be old.
        outcome = Outcome.NOT_RUN
        mark = ""
        summary = ""
    html = _html("saved", outcome=outcome, step=step, summary=summary, tenant=tenant, part=part)
    return {"text/html": html, "text/plain": one_line(f"{mark}{summary} {_AS_SAVED}")}


def confirm_page(*, heading: str, **values: object) -> str:
    """Return the page on which a second person confirms a step, or one with a `message`."""
    return _html("confirm", heading=heading, **values)


def _step_text(step: StepState, notes: list[tuple[str, str]], *, is_sandbox: bool) -> str:
    mark = "SANDBOX " if is_sandbox else ""
    lines = [f"{mark}{ICONS[step.outcome]} {label_of(step)}: {with_times(step.reason)}"]
    found = [(label, text) for name, label in _NOTES.items() for text in step.gather(name)]
    lines += [f"  {label.lower()}: {text}" for label, text in (*notes, *found)]
    for table in step.gather("tables"):
        lines += [f"  {table.caption}:", *(f"    {' · '.join(row)}" for row in table.rows)]
    lines += [
        f"  {error.shown}: {error.meaning} What to do: {error.advice}"
        for error in step.known_errors
    ]
    # NOTE: a terminal, or a person's editor, shows this as it is.
    return "\n".join(one_line(line) for line in lines)


def _html(template: str, **values: object) -> str:
    return render(f"cell/{template}.html", **values)
