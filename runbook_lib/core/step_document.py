"""
A step as a JSON document, for the record, the report, the notebook and the panels.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from runbook_lib.core.procedure import Attachment, Note, Outcome
from runbook_lib.core.state import StepState
from runbook_lib.core.troubles import ordered

# Where troubles belong into the record: what they explain is open.
_OPEN = (Outcome.FAILED, Outcome.INCONCLUSIVE)


def step_document(state: StepState) -> dict[str, Any]:
    """
    Return everything about a step; the JSON Schema of the record describes it.

    `checks` are the findings without their exchanges, which are in `exchanges`;
    `troubles` are of a step that failed or could not be checked.
    """
    checks = [asdict(finding) for finding in state.findings]
    exchanges = [exchange for check in checks for exchange in check.pop("exchanges")]
    note = state.assignment
    return {
        "id": state.step.id,
        "number": state.number,
        "title": state.step.heading,
        "kind": state.step.kind,
        "outcome": state.conclusion.outcome,
        "reason": state.conclusion.reason,
        "needs_person": state.conclusion.needs_person,
        "sentence": state.step.sentence,
        "checked_on": state.checked_on or None,
        "attested_by": state.attested_by,
        "word": asdict(state.word) if state.word else None,
        "confirms": [asdict(word) for word in state.others],
        "lapsed": [{"word": asdict(lapsed.word), "why": lapsed.why} for lapsed in state.lapsed],
        "remarks": list(state.remarks),
        "comments": [_comment(comment) for comment in state.comments],
        "assigned": {"to": note.to, "due": note.due, **_comment(note)} if note else None,
        "checks": checks,
        "exchanges": exchanges,
        "attachments": [asdict(attachment) for attachment in attachments_of(state)],
        "troubles": troubles_of(state) if state.conclusion.outcome in _OPEN else [],
    }


def _comment(note: Note) -> dict[str, str]:
    return {name: getattr(note, name) for name in ("by", "at", "note", "origin", "login")}


def attachments_of(state: StepState) -> tuple[Attachment, ...]:
    """Return every file that people attached to the step, each once."""
    words = (*state.others, *((state.word,) if state.word else ()))
    attachments = [attachment for word in words for attachment in word.attachments]
    return tuple({attachment.sha256: attachment for attachment in attachments}.values())


def troubles_of(state: StepState) -> list[dict[str, Any]]:
    """Return the step's troubles, first those whose text is in its reason or in an answer."""
    answers = [exchange.response for finding in state.findings for exchange in finding.exchanges]
    pairs = ordered(state.step.troubles, state.conclusion.reason, answers)
    return [{**trouble.document(), "seen": seen} for trouble, seen in pairs]


def advice_of(document: Mapping[str, Any]) -> str:
    """
    Return what to do about the error that a step's reason names; nothing where none is known.

    It goes before what is advised for any step with that outcome: to look and
    confirm the step would contradict, for example, that a client ID is mistyped.
    """
    named = [trouble for trouble in document["troubles"] if trouble["seen"] == "reason"]
    return str(named[0]["advice"]) if named else ""


def gathered(document: Mapping[str, Any], name: str) -> list[Any]:
    """Return the `warnings`, `limits`, `changes` or `tables` of all checks of a step."""
    return [item for check in document["checks"] for item in check[name]]


def exchange_detail(exchange: Mapping[str, Any]) -> str:
    """Return the request and the answer of one exchange as indented JSON."""
    shown = {
        "sent": exchange["request"],
        "headers": exchange["headers"],
        "answer": exchange["response"],
    }
    shown = {name: value for name, value in shown.items() if value}
    return json.dumps(shown, ensure_ascii=False, indent=2)
