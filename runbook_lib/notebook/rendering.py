"""
How a step and a run look: HTML for people, text for terminals, JSON for machines.

Pure: a state in, text out. Nothing here performs a step or draws a widget.
The HTML loads nothing, runs no script, and follows the reader's colour scheme.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from typing import Any

from runbook_lib.core.outcome import ICONS
from runbook_lib.core.procedure import Exchange, Outcome, Table, Value
from runbook_lib.core.state import RunState, StepState
from runbook_lib.plain_text import one_line

__all__ = [
    "STEP_MIME",
    "SUMMARY_MIME",
    "header_bundle",
    "step_bundle",
    "step_document",
    "summary_bundle",
]

STEP_MIME = "application/vnd.runbook.step+json"
SUMMARY_MIME = "application/vnd.runbook.summary+json"

# Text and mark of each outcome: at least 4.5:1 on white and on JupyterLab's dark grey.
_COLOURS: Mapping[Outcome, str] = {
    Outcome.VERIFIED: "#1a7f37",
    Outcome.ATTESTED: "#0969da",
    Outcome.WAITING: "#9a6700",
    Outcome.INCONCLUSIVE: "#9a6700",
    Outcome.FAILED: "#cf222e",
    Outcome.SKIPPED: "#656d76",
    Outcome.NOT_RUN: "#656d76",
}

_CARD = "border-left:4px solid {colour};padding:6px 14px;margin:4px 0;line-height:1.5"
_BADGE = (
    "background:{colour};color:#fff;border-radius:10px;padding:1px 10px;font-size:85%;"
    "font-weight:600;white-space:nowrap"
)
_CELL = "text-align:left;padding:2px 14px 2px 0"
_SANDBOX = (
    '<span style="background:#8250df;color:#fff;border-radius:4px;padding:1px 8px;'
    'font-size:85%;font-weight:700">SANDBOX</span> '
)


def step_document(state: StepState) -> dict[str, Any]:
    """Return what a machine reads of a step in an executed notebook; the record has more."""
    return {
        "id": state.step.id,
        "title": state.step.title,
        "kind": state.step.kind,
        "outcome": state.conclusion.outcome,
        "reason": state.conclusion.reason,
        "checked_on": state.checked_on or None,
        "attested_by": state.attested_by,
        "checks": [
            {"check": finding.check, "outcome": finding.outcome, "reason": finding.reason}
            for finding in state.findings
        ],
        "limits": _gathered(state, "limits"),
        "warnings": _gathered(state, "warnings"),
        "changes": _gathered(state, "changes"),
        "remarks": list(state.remarks),
    }


def step_bundle(
    state: StepState, values: Mapping[str, Value], *, is_sandbox: bool
) -> dict[str, Any]:
    """Return the three renderings of a step, by MIME type."""
    return {
        "text/html": _step_html(state, values, is_sandbox=is_sandbox),
        "text/plain": _step_text(state, is_sandbox=is_sandbox),
        STEP_MIME: step_document(state),
    }


def header_bundle(
    title: str, *, tenant: str, run_id: str, mode: str, is_sandbox: bool
) -> dict[str, Any]:
    """Return the renderings of a notebook's header."""
    where = "practice, nothing of this is real" if is_sandbox else "PRODUCTION"
    mark = "SANDBOX: " if is_sandbox else ""
    about = one_line(f"{mark}{where} · tenant {tenant} · run {run_id} · {mode}")
    text = f"{one_line(title)}\n{about}"
    html = (
        f"<div style='padding:6px 0'><strong>{escape(title)}</strong><br>"
        f"{_SANDBOX if is_sandbox else ''}{escape(where)} · tenant <code>{escape(tenant)}</code> "
        f"· run <code>{escape(run_id)}</code> · {escape(mode)}</div>"
    )
    return {"text/html": html, "text/plain": text}


def summary_bundle(
    state: RunState, steps: tuple[StepState, ...], *, is_sandbox: bool
) -> dict[str, Any]:
    """Return the renderings of a notebook's end: its steps, each with outcome and reason."""
    rows = "".join(
        f"<tr><td style='text-align:left'><code>{escape(step.step.id)}</code></td>"
        f"<td style='text-align:left'>{_badge(step.conclusion.outcome)}</td>"
        f"<td style='text-align:left'>{escape(step.conclusion.reason)}</td></tr>"
        for step in steps
    )
    html = (
        f"{_SANDBOX if is_sandbox else ''}<table><thead><tr><th>Step</th><th>Outcome</th>"
        f"<th>Reason</th></tr></thead><tbody>{rows}</tbody></table>"
    )
    lines = [
        one_line(
            f"{ICONS[step.conclusion.outcome]} {step.step.id:32} {step.conclusion.outcome:12} "
            f"{step.conclusion.reason}"
        )
        for step in steps
    ]
    if is_sandbox:
        lines.insert(0, "SANDBOX")
    document = {
        "run_id": state.run_id,
        "sandbox": is_sandbox,
        "steps": [step_document(step) for step in steps],
    }
    return {"text/html": html, "text/plain": "\n".join(lines), SUMMARY_MIME: document}


def _step_text(state: StepState, *, is_sandbox: bool) -> str:
    outcome = state.conclusion.outcome
    lines = [
        f"{'SANDBOX ' if is_sandbox else ''}{ICONS[outcome]} {outcome}: {state.conclusion.reason}"
    ]
    lines += [f"  note: {text}" for text in state.remarks]
    lines += [f"  warning: {text}" for text in _gathered(state, "warnings")]
    lines += [f"  changed: {text}" for text in _gathered(state, "changes")]
    lines += [f"  not proven: {text}" for text in _gathered(state, "limits")]
    for table in _tables(state):
        lines += [f"  {table.caption}:", *(f"    {' · '.join(row)}" for row in table.rows)]
    # NOTE: a terminal, or a person's editor, shows this as it is.
    return "\n".join(one_line(line) for line in lines)


def _step_html(state: StepState, values: Mapping[str, Value], *, is_sandbox: bool) -> str:
    outcome = state.conclusion.outcome
    parts = [
        f"<div style='{_CARD.format(colour=_COLOURS[outcome])}'>",
        f"{_SANDBOX if is_sandbox else ''}{_badge(outcome)} {escape(state.conclusion.reason)}",
        _notes_html(state),
        *(_table_html(table) for table in _tables(state)),
        _aids_html(state, values),
        *(_exchange_html(e) for finding in state.findings for e in finding.exchanges),
        "</div>",
    ]
    return "".join(parts)


def _notes_html(state: StepState) -> str:
    notes = [
        *(("Note", text) for text in state.remarks),
        *(("Warning", text) for text in _gathered(state, "warnings")),
        *(("Changed", text) for text in _gathered(state, "changes")),
        *(("Not proven", text) for text in _gathered(state, "limits")),
    ]
    if not notes:
        return ""
    items = "".join(f"<li><em>{label}:</em> {escape(text)}</li>" for label, text in notes)
    return f"<ul style='margin:4px 0;padding-left:20px'>{items}</ul>"


def _table_html(table: Table) -> str:
    head = "".join(f"<th scope='col' style='{_CELL}'>{escape(name)}</th>" for name in table.columns)
    rows = "".join(
        f"<tr><th scope='row' style='{_CELL};font-weight:normal'>{escape(first)}</th>"
        + "".join(f"<td style='{_CELL}'>{escape(text)}</td>" for text in others)
        + "</tr>"
        for first, *others in table.rows
    )
    return (
        "<div style='overflow-x:auto'><table style='margin:6px 0 0;font-size:90%'>"
        f"<caption style='text-align:left;font-weight:600'>{escape(table.caption)}</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _aids_html(state: StepState, values: Mapping[str, Value]) -> str:
    links = [
        f"<a href='{escape(link.url(values), quote=True)}' target='_blank' rel='noopener'>"
        f"{escape(link.label)} ↗</a>"
        for link in state.step.links
    ]
    pastes = [
        f"{escape(paste.label)}: <code>{escape(paste.value(values))}</code>"
        for paste in state.step.pastes
        if paste.value(values)
    ]
    aids = " · ".join([*links, *pastes])
    return f"<div style='margin-top:4px'>{aids}</div>" if aids else ""


def _exchange_html(exchange: Exchange) -> str:
    answer = exchange.error or (str(exchange.status) if exchange.status else "done")
    line = f"{exchange.method} {exchange.url}"
    return (
        "<details style='margin-top:2px;font-size:85%'>"
        f"<summary><code style='overflow-wrap:anywhere'>{escape(line)}</code> → "
        f"{escape(answer)}, {exchange.elapsed * 1000:.0f} ms</summary>"
        f"<pre style='white-space:pre-wrap;overflow-wrap:anywhere'>{escape(_detail(exchange))}"
        "</pre></details>"
    )


def _detail(exchange: Exchange) -> str:
    shown = {"sent": exchange.request, "headers": dict(exchange.headers), "body": exchange.response}
    shown = {name: value for name, value in shown.items() if value}
    return json.dumps(shown, ensure_ascii=False, indent=2)


def _badge(outcome: Outcome) -> str:
    style = _BADGE.format(colour=_COLOURS[outcome])
    return f"<span style='{style}'>{ICONS[outcome]} {outcome}</span>"


def _gathered(state: StepState, name: str) -> list[str]:
    return [text for finding in state.findings for text in getattr(finding, name)]


def _tables(state: StepState) -> list[Table]:
    return [table for finding in state.findings for table in finding.tables]
