"""
What a panel shows, as plain JSON: pure, without widgets, without secrets.

The browser draws it (`static/`). It may be saved with a notebook, so it never
contains the value of a credential, only that one is known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from runbook_lib.connectors.provider import Vendor
from runbook_lib.connectors.registry import kit_of
from runbook_lib.core.advice import next_step
from runbook_lib.core.attachments import LARGEST
from runbook_lib.core.model import (
    Assigned,
    ChangeIntended,
    Checked,
    CheckWithheld,
    Entry,
    EventType,
    Exchange,
    NoteKind,
    Outcome,
    Statement,
    Value,
    WordKind,
)
from runbook_lib.core.outcome import ICONS, label_of, tally
from runbook_lib.core.procedure import Input, Road, Step, StepKind
from runbook_lib.core.state import RunState, StepState
from runbook_lib.core.step_record import (
    TroubleRecord,
    exchange_detail,
    gathered,
    step_record,
    troubles_of,
)
from runbook_lib.evidence.reports.wording import day, when, with_times
from runbook_lib.plain_text import as_text, counted
from runbook_lib.walkthrough.activity import Activity

_EVENT_WORDS = {
    EventType.STEP_CHECKED: "checked",
    EventType.STEP_WITHHELD: "checked",
    EventType.STEP_ATTESTED: "confirmed",
    EventType.STEP_SUBMITTED: "submitted",
    EventType.STEP_DECLINED: "declined",
    EventType.STEP_SKIPPED: "skipped",
    EventType.STEP_WITHDRAWN: "withdrawn",
    EventType.STEP_COMMENTED: "commented",
    EventType.STEP_ASSIGNED: "assigned",
    EventType.CHANGE_INTENDED: "about to change",
}

# What a panel's forms send, and what it means.
WORDS = {
    "submit": WordKind.SUBMITTED,
    "attest": WordKind.ATTESTED,
    "decline": WordKind.DECLINED,
    "skip": WordKind.SKIPPED,
    "withdraw": WordKind.WITHDRAWN,
}
NOTES = {"comment": NoteKind.COMMENTED, "assign": NoteKind.ASSIGNED}
# The parts of a view that are structure, and so never redacted.
STRUCTURE = frozenset(
    {
        "id",
        "outcome",
        "icon",
        "label",
        "checked_on",
        "sent_on",
        "at",
        "name",
        "note_name",
        "input",
        "kind",
    }
)
_LONGEST_DETAIL = 4_000
_UNKNOWN = "Not known yet: give it in the step that asks for it."


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """
    What all panels of one drawing have in common; `vendor` is whose app it is.

    `link_values` are those that links are made of, `credentials` maps the name of each
    known credential to where it is kept ("this session", "keyring", ".env"). `chosen_in`
    maps the name of a list to the step in which it is chosen: elsewhere it is only shown.
    `has_confirm_page` says that this server has the page on which a second person
    confirms a step. `next_id` is the step that is next, `next_look` when waiting
    steps are checked again.
    """

    vendor: Vendor
    today: date
    values: Mapping[str, Value]
    link_values: Mapping[str, Value]
    credentials: Mapping[str, str]
    chosen_in: Mapping[str, Step]
    has_confirm_page: bool
    next_id: str
    next_look: str


def is_watched(state: StepState, wanted: Sequence[Input]) -> bool:
    """
    Return whether the step waits, and can be checked again without spending anything.

    `wanted` are the inputs that its checks lack.
    """
    step, absent = state.step, {item.name for item in wanted}
    can_look = any(absent.isdisjoint(check.needs) for check in step.checks)
    return state.conclusion.outcome is Outcome.WAITING and can_look and not step.spends


def step_view(
    state: StepState,
    scene: Scene,
    *,
    recent: Sequence[Entry],
    activity: Activity,
    wanted: Sequence[Input],
) -> dict[str, Any]:
    """
    Return what the panel of a step shows.

    `recent` are the newest journal lines about the step, oldest first; `wanted` are
    inputs that a check lacks which was tried, or would be tried while the step waits.
    """
    values, credentials = scene.values, scene.credentials
    elsewhere = {name: other for name, other in scene.chosen_in.items() if other is not state.step}
    step, record = state.step, step_record(state)
    names = ("id", "title", "outcome", "checked_on", "attested_by")
    return {
        **{name: getattr(record, name) for name in names},
        "icon": ICONS[state.conclusion.outcome],
        "label": label_of(state.conclusion),
        "in_part": state.conclusion.needs_person,
        "overdue": _overdue(state, scene.today),
        "assigned": _assigned(state),
        "reason": with_times(record.reason),
        "remarks": [with_times(text) for text in record.remarks],
        **{name: gathered(record, name) for name in ("warnings", "limits", "changes")},
        "tables": [
            {
                "caption": table.caption,
                "columns": list(table.columns),
                "rows": [list(row) for row in table.rows],
            }
            for table in gathered(record, "tables")
        ],
        "links": [link.shown(scene.link_values) for link in step.links],
        "pastes": [
            {"label": paste.label, "value": paste.value(values)}
            for paste in step.pastes
            if paste.value(values)
        ],
        "inputs": [
            _input_view(item, values, credentials)
            for item in dict.fromkeys((*step.inputs, *wanted))
            if item.name not in elsewhere
        ],
        "chosen": [
            {
                "label": item.label,
                "value": _input_view(item, values, credentials)["value"],
                "id": elsewhere[item.name].id,
                "title": elsewhere[item.name].title,
            }
            for item in step.inputs
            if item.name in elsewhere
        ],
        "spends": step.spends,
        "primary": _primary(state, credentials) if step.id == scene.next_id else "",
        "next_look": scene.next_look if is_watched(state, wanted) else "",
        "can_check": bool(step.checks),
        "forms": _forms(step, scene.vendor),
        "provider": scene.vendor.title,
        "can_withdraw": state.word is not None,
        "needs_consent": step.consent_gives is not None,
        "largest": LARGEST,
        "needs_another": state.conclusion.needs_another,
        "has_confirm_page": scene.has_confirm_page,
        "hand_over": _handed_over(step, credentials),
        "exchanges": [_exchange_view(exchange) for exchange in record.exchanges],
        "history": [
            {"at": when(entry.at), "what": f"{_EVENT_WORDS[entry.type]}{_details(entry)}"}
            for entry in reversed(recent)
        ],
        "kit": _kit_view(step, values),
        "troubles": [_trouble_view(trouble) for trouble in troubles_of(state)],
        **asdict(activity),
    }


def _primary(state: StepState, credentials: Mapping[str, str]) -> str:
    """Return the action that a person needs next in this step."""
    step, outcome = state.step, state.conclusion.outcome
    token = step.consent_gives
    if step.answers:
        return "attest"
    if step.kind is StepKind.WAIT and outcome is Outcome.FAILED and state.conclusion.by_person:
        return "submit"  # declined: it is submitted again
    if state.conclusion.needs_person:
        return "attest"
    if token is not None and token.name not in credentials:
        return "consent"
    if step.checks and (outcome is Outcome.FAILED or not state.findings):
        return "check"
    return "submit" if step.kind is StepKind.WAIT else "attest"


def header_view(
    state: RunState,
    *,
    title: str,
    tenant: str,
    operator: str,
    is_sandbox: bool,
    activity: Activity,
    today: date,
    provider: str,
    others: str,
    sealed: str,
    is_unsaved: bool,
    road: Road | None,
) -> dict[str, Any]:
    """
    Return what the header shows: progress over the whole procedure, and what comes next.

    `provider` decides on what waits, `others` names the other tenants of the evidence
    folder, `sealed` says when the evidence was sealed last, `is_unsaved` that this
    kernel knows a credential that is saved nowhere, `road` the gates, `activity` that of *Check
    everything now*.
    """
    return {
        "title": title,
        "tenant": tenant,
        "operator": operator,
        "sandbox": is_sandbox,
        "total": len(state.steps),
        "settled": sum(step.is_settled for step in state.steps.values()),
        "counts": [
            {"outcome": outcome, "icon": ICONS[outcome], "label": label, "count": number}
            for outcome, label, number in tally(step.conclusion for step in state.steps.values())
        ],
        "next": _next_view(state),
        "steps": [
            {
                **_line(step),
                # Who did it, or whom it waits for since when.
                "who": " · ".join(
                    filter(None, (_who(step, provider), _assigned(step), _overdue(step, today)))
                ),
                "again": step.again,
            }
            for step in state.steps.values()
        ],
        "others": others,
        "sealed": sealed,
        "unsaved": is_unsaved,
        "provider": provider,
        "gates": _gates(state, road),
        **asdict(activity),
    }


def _gates(state: RunState, road: Road | None) -> list[dict[str, str]]:
    """Return how each gate stands, since when, how long it takes, and what must be done first."""
    return [
        {
            **_line(gate),
            "since": day(gate.waiting_since) if gate.waiting_since else "",
            "usual": gate.step.usual_time,
            "after": ", ".join(step.number for step in earlier if not step.is_settled),
        }
        for gate, earlier in (
            (state.steps[part.step], [state.steps[name] for name in part.after])
            for part in (road.gates if road else ())
        )
    ]


def _line(state: StepState) -> dict[str, str]:
    """Return what a list shows of a step: what it is, and its outcome."""
    outcome = state.conclusion.outcome
    return {
        "id": state.step.id,
        "number": state.number,
        "title": state.step.title,
        "outcome": outcome,
        "icon": ICONS[outcome],
        "label": label_of(state.conclusion),
    }


def _who(state: StepState, provider: str) -> str:
    word, conclusion = state.word, state.conclusion
    if state.is_asked_for and word is not None:
        return f"due {word.due}, says {word.by}"
    if conclusion.outcome is Outcome.WAITING:
        whom = "a second person" if conclusion.needs_another else provider
        since = f" since {when(state.waiting_since)}" if state.waiting_since else ""
        return f"waits for {whom}{since}"
    if word is not None and conclusion.by_person:
        return f"{word.by}, {when(word.at)}"
    return f"checked {when(state.checked_on)}" if state.findings else ""


def _assigned(state: StepState) -> str:
    """Return who does the step by when, if somebody in particular does."""
    due = f" by {state.due}" if state.due else ""
    return f"for {state.assigned_to}{due}" if state.assigned_to else ""


def _overdue(state: StepState, today: date) -> str:
    """Return by how much a colleague or an outside party is late; empty if not."""
    days = state.overdue_days(today)
    if not days:
        return ""
    usual = "" if state.due else f": usually at most {state.step.usual_days} days"
    return f"{counted(days, 'day')} overdue{usual}"


def _next_view(state: RunState) -> dict[str, str] | None:
    following = next_step(state)
    if following is None:
        return None
    step, advice = following
    return {
        "id": step.step.id,
        "number": step.number,
        "title": step.step.title,
        "advice": advice.replace("described above", "described there"),
    }


def finish_view(
    state: RunState, *, activity: Activity, bundle: str, doubts: Sequence[str]
) -> dict[str, Any]:
    """
    Return what the end of the notebook shows.

    `bundle` is the sealed folder, if there is one, `doubts` what a person should
    know before sealing.
    """
    steps = state.steps.values()
    return {
        "total": len(steps),
        "done": sum(step.is_settled for step in steps),
        "open": [_line(step) for step in steps if not step.is_settled],
        "next": _next_view(state),
        "doubts": list(doubts),
        "bundle": bundle,
        "bundle_name": bundle.rpartition("/")[2],
        **asdict(activity),
    }


def _forms(step: Step, vendor: Vendor) -> list[dict[str, Any]]:
    """Return the forms by which a person can confirm `step`, skip it, and so on."""
    is_wait = step.kind is StepKind.WAIT
    done = step.attest_label or (f"{vendor.title} approved it" if is_wait else "I have done this")
    optional = "Optional: a note for the record."
    submitted = [
        _form(
            "submit",
            "I have submitted it",
            f"Everything that {vendor.title} asks for is submitted.",
            optional,
        ),
    ]
    attested = _form("attest", done, step.sentence, optional)
    attested["fields"] = _until_field(step.counts_days)
    if step.developer_tools:
        attested["files_help"] = (
            f"What {vendor.developer_tools} answer to {step.developer_tools} may be attached as "
            "JSON: it is kept, not read."
        )
    declined = [
        _form(
            "decline",
            f"{vendor.title} declined it",
            f"{vendor.title} declined it.",
            "What the reviewer objected to.",
        ),
    ]
    return [
        *(submitted if is_wait else ()),
        *(
            {
                **_form(f"attest-{answer.name}", answer.label, answer.sentence, optional),
                "action": "attest",
                "answer": answer.name,
                "fields": [
                    *([_DUE_FIELD] if answer.due_days else []),
                    *_until_field(answer.counts_days),
                ],
            }
            for answer in step.answers
        ),
        attested,
        *(declined if is_wait else ()),
        _form("skip", "Skip", "This step is skipped.", ""),
        _form("withdraw", "Withdraw", "What was confirmed about this step is no longer true.", ""),
        {
            **_form("comment", "Comment", "A comment; the outcome stays as it is.", ""),
            "note_label": "Comment",
            "note_missing": "Write the comment: it is kept with the step.",
        },
        {
            **_form("assign", "Hand over", "Somebody else does this step.", optional),
            "has_files": False,
            "fields": [
                {
                    "name": "to",
                    "label": "Who does it",
                    "type": "text",
                    "help": "Empty for nobody in particular.",
                },
                {"name": "due", "label": "By", "type": "date", "help": "Optional."},
            ],
        },
    ]


def _form(name: str, label: str, sentence: str, note_help: str) -> dict[str, Any]:
    """Return a form's texts; without `note_help` it asks for a reason."""
    return {
        "name": name,
        "action": name,
        "answer": "",
        "label": label,
        "sentence": sentence,
        "note_name": "note" if note_help else "reason",
        "note_label": "Note" if note_help else "Reason",
        "note_help": note_help or "Kept in the record.",
        "note_missing": "Give a reason: it is kept in the record.",
        "has_files": bool(note_help),
        "files_help": "",
        "fields": [],
    }


_DUE_FIELD = {
    "name": "due",
    "label": "Due",
    "type": "date",
    "help": "The day by which it must be done, as it was named to you.",
}


def _until_field(days: int) -> list[dict[str, Any]]:
    """Return the field for the last day of a word that counts for `days`; none if it has no end."""
    note = f"Optional: the last day on which this counts; {days} days without one."
    return [{"name": "until", "label": "Until", "type": "date", "help": note}] if days else []


def _input_view(
    item: Input, values: Mapping[str, Value], credentials: Mapping[str, str]
) -> dict[str, Any]:
    value = values.get(item.name, "")
    kind = "password" if item.secret else "checkbox" if isinstance(item.default, bool) else "text"
    return {
        "name": item.name,
        "label": item.label,
        "help": item.help,
        "example": item.example,
        "kind": kind,
        "value": "" if item.secret else value if isinstance(value, bool) else as_text(value),
        "rests": credentials.get(item.name, ""),
    }


def _handed_over(step: Step, credentials: Mapping[str, str]) -> dict[str, str] | None:
    """Return the credential that this step hands over to another console, if any."""
    item = step.hands_over
    if item is None:
        return None
    unknown = "" if item.name in credentials else _UNKNOWN
    return {"name": item.name, "label": item.label, "unknown": unknown}


def _kit_view(step: Step, values: Mapping[str, Value]) -> dict[str, Any] | None:
    """Return the texts for the provider's review, if they belong to this step."""
    if not step.review_kit:
        return None
    kit = kit_of(step.review_kit, values)
    return {
        "review": kit.review,
        "warnings": list(kit.warnings),
        "about": list(kit.about),
        "parts": [
            {
                "label": part.name,
                "usage": part.usage,
                "calls": [call.request for call in part.calls],
                "because": [f"{reason.name}: {reason.why}." for reason in part.because],
            }
            for part in kit.permissions
        ],
        "rules": list(kit.rules),
        "shots": [f"{shot.shows} Caption: “{shot.caption}”" for shot in kit.shots],
        "reviewer": list(kit.reviewer),
        "prepare_for": kit.prepare_for,
        "prepare": [f"{part.name}: {part.text}" for part in kit.prepare],
    }


def _trouble_view(trouble: TroubleRecord) -> dict[str, Any]:
    causes = [
        f"{cause.text} (Tested by {', '.join(cause.tested_by)}.)" if cause.tested_by else cause.text
        for cause in trouble.causes
    ]
    return {
        "title": trouble.shown[0],
        "seen": bool(trouble.seen),
        "means": trouble.means,
        "causes": causes,
        "advice": trouble.advice,
        "source": trouble.source,
    }


def _exchange_view(exchange: Exchange) -> dict[str, Any]:
    return {
        "line": f"{exchange.method} {exchange.url}",
        "status": exchange.error or str(exchange.status or "done"),
        "sent_on": exchange.sent_on,
        "milliseconds": round(exchange.elapsed * 1000),
        "trace": exchange.headers.get("x-fb-trace-id", ""),
        "detail": exchange_detail(exchange)[:_LONGEST_DETAIL],
    }


def _details(entry: Entry) -> str:
    data = entry.data
    if isinstance(data, Checked | CheckWithheld):
        outcomes = ", ".join(f"{finding.check}: {finding.outcome}" for finding in data.findings)
        return f" ({outcomes or data.unchecked or 'nothing to check'})"
    if isinstance(data, ChangeIntended):
        return f": {data.change}"
    to = ""
    if isinstance(data, Assigned):
        to = f" to {data.to or 'nobody'}" + (f" until {data.due}" if data.due else "")
    is_word = isinstance(data, Statement)
    attachments = data.attachments if is_word else ()
    if is_word and data.due:
        to = f" as due on {data.due}"
    files = "".join(f" [{attachment.name}]" for attachment in attachments)
    return f"{to} by {data.by}" + (f": {data.note}" if data.note else "") + files
