"""
The content of each panel as plain JSON: pure, without widgets, without secrets.

The browser draws it (`static/`). It may be saved with a notebook, so it never
contains the value of a credential, only that one is known.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import chain
from typing import Any

from msgspec import structs, to_builtins

from runbook_lib.connectors.provider import Vendor
from runbook_lib.connectors.registry import kit_of
from runbook_lib.core.attachments import LARGEST
from runbook_lib.core.model import (
    Attestation,
    AttestationKind,
    Exchange,
    Note,
    NoteKind,
    Outcome,
    RunOutcome,
    Value,
)
from runbook_lib.core.outcome import ICONS, label_of, tally
from runbook_lib.core.procedure import (
    Input,
    KnownError,
    Plan,
    Procedure,
    Screen,
    Step,
    StepKind,
    step_name,
)
from runbook_lib.evidence.reports.phrases import (
    day,
    exchange_detail,
    parse_time,
    prose_title,
    when,
    with_times,
)
from runbook_lib.evidence.reports.pictures import (
    SCHEMATIC,
    forecast_chips,
    forecast_title,
    screen_picture,
)
from runbook_lib.run.advice import NextStep, rejected_inputs, waits_for, what_to_do
from runbook_lib.run.events import ChangeIntended, StepChecked
from runbook_lib.run.forecast import make_forecast
from runbook_lib.run.journal import Line
from runbook_lib.run.state import RunState, StepState
from runbook_lib.text import as_text, pluralize, split_first_sentence
from runbook_lib.walkthrough.checklist import NOTHING_TICKED, Checklist
from runbook_lib.walkthrough.panel_status import PanelStatus, View

_EVENT_VERBS: Mapping[str, str] = {
    AttestationKind.ATTESTED: "confirmed",
    AttestationKind.SUBMITTED: "submitted",
    AttestationKind.DECLINED: "declined",
    AttestationKind.SKIPPED: "skipped",
    AttestationKind.WITHDRAWN: "withdrawn",
}

# Action of a panel's form → kind of attestation.
ATTESTATION_ACTIONS = {
    "submit": AttestationKind.SUBMITTED,
    "attest": AttestationKind.ATTESTED,
    "decline": AttestationKind.DECLINED,
    "skip": AttestationKind.SKIPPED,
    "withdraw": AttestationKind.WITHDRAWN,
}
NOTE_ACTIONS = {"comment": NoteKind.COMMENTED, "assign": NoteKind.ASSIGNED}
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
        "input",
        "kind",
        "actions",
        "action",
        "answer",
        # Text of the procedure itself.
        "acts",
        "part",
        "prose",
    }
)
_LONGEST_DETAIL = 4_000
_REJECTED = "A check has rejected it. Correct it in the step that asks for it."
_UNKNOWN = "Not known yet. Enter it in the step that asks for it."


@dataclass(frozen=True, slots=True, kw_only=True)
class PanelContext:
    """The facts that all panels of a page share."""

    procedure: Procedure
    """The texts of the steps."""
    vendor: Vendor
    """The company with which the app is registered."""
    today: date
    """The day of the page, in UTC."""
    values: Mapping[str, Value]
    """The values that were given, by input."""
    kit_values: Mapping[str, Value]
    """The values for the review kit, also from earlier runs."""
    link_values: Mapping[str, Value]
    """The values that fill in links."""
    credentials: Mapping[str, str]
    """Each known credential by name, and where it is kept: this session, keyring, `.env`."""
    chosen_in: Mapping[str, Step]
    """Name of a list → the step in which it is chosen; other steps only show it."""
    has_confirm_page: bool
    """Whether this server has the page on which a second person confirms a step."""
    following: NextStep | None
    """The next step for a person; `None` if no step is left."""
    next_refresh: str
    """The time of the next automatic check of waiting steps, with why the last was held back."""
    user: str
    """The person who is logged in to the server; empty if it does not say."""
    later: Mapping[str, str] = field(default_factory=dict)
    """Step id → what it waits for, for steps that cannot be started yet."""
    too_early: frozenset[str] = frozenset()
    """Ids of the steps whose checks cannot tell yet."""
    facts: Mapping[str, tuple[Value, str]] = field(default_factory=dict)
    """Name of a fact → the value that a check found, and the time of the check."""
    rejected: frozenset[str] = frozenset()
    """Names of the values that a check has rejected; nobody should copy them."""
    opened: frozenset[str] = frozenset()
    """Ids of the steps whose page was opened in this kernel; this is no evidence."""
    checklist: Checklist = NOTHING_TICKED
    """The things that a person has at hand before the first step."""


def as_displayed(state: StepState) -> StepState:
    """
    Return the state as the page shows it.

    An untouched step is *to do*, and so is one that only lacks a person's attestation. Checks of
    all runs count, so it does not matter which run verified a step.
    """
    is_open = state.is_untouched or state.needs_human_only
    outcome = Outcome.NOT_RUN if is_open else state.outcome
    return structs.replace(state, verified_on="", outcome=outcome)


def seen_on(state: StepState) -> str:
    """Return the time of the newest check, else the day of the earlier result that counts."""
    return state.checked_on or state.verified_on


def is_watched(state: StepState, step: Step, wanted: Sequence[Input]) -> bool:
    """
    Return whether the step waits, and can be checked again without a side effect.

    `wanted` are the inputs that its checks lack.
    """
    absent = {item.name for item in wanted}
    can_refresh = any(absent.isdisjoint(check.needs) for check in step.checks)
    return state.outcome is Outcome.WAITING and can_refresh and not step.side_effect


def line_view(
    state: StepState, context: PanelContext, *, status: PanelStatus, lacks: Sequence[Input]
) -> View:
    """
    Return the view of a step's panel until it is opened: one line, and its news.

    `lacks` are the inputs that its checks need and were not given.
    """
    step = context.procedure.step(state.id)
    to_do, more_to_do = split_first_sentence(_to_do(state, step, lacks))
    return {
        "id": state.id,
        "checked_on": state.checked_on or None,
        "title": step.title,
        **_outcome(state),
        "reason": with_times(state.reason),
        "to_do": to_do,
        "more_to_do": more_to_do,
        # Warnings about accepted values stay in sight, also before the first check.
        "warnings": _warnings(state, context),
        "limits": state.gather("limits"),
        "is_next": _is_next(state, context),
        "is_current": is_current(state, context),
        "is_settled": state.is_settled,
        "next": _next_view(context),
        "since": _since(state, context),
        "can_refresh": _can_refresh(state, step, lacks),
        "next_refresh": context.next_refresh if is_watched(state, step, lacks) else "",
        "number": state.number,
        "part": step.group,
        "has_card": False,
        **status.view(),
    }


def step_view(
    state: StepState,
    context: PanelContext,
    *,
    recent: Sequence[Line],
    exchanges: Mapping[int, Exchange],
    status: PanelStatus,
    lacks: Sequence[Input],
) -> View:
    """
    Return the view of an opened step's panel: its line, and its card.

    `recent` are the newest journal lines about the step, oldest first; `exchanges` are those of the
    run by number. `lacks` are the inputs that its checks need and were not given. A step that was
    tried asks for them too.
    """
    values = context.values
    copyable = {name: value for name, value in values.items() if name not in context.rejected}
    is_tried = seen_on(state) or state.outcome is Outcome.WAITING
    step = context.procedure.step(state.id)
    elsewhere = {name: other for name, other in context.chosen_in.items() if other is not step}
    numbers = chain.from_iterable(finding.exchanges for finding in state.findings)
    shown = [exchanges[number] for number in dict.fromkeys(numbers)]
    return {
        **line_view(state, context, status=status, lacks=lacks),
        "has_card": True,
        "overdue": _overdue(state, step),
        "overdue_act": what_to_do(state, step) if state.overdue_days else "",
        "assigned": _assigned(state),
        "remarks": [with_times(text) for text in state.remarks],
        "quotes": state.gather("quotes"),
        "changes": state.gather("changes"),
        "tables": to_builtins(state.gather("tables")),
        "links": [link.shown(context.link_values) for link in step.links],
        "pastes": [
            {
                "label": paste.label,
                "value": paste.value(copyable),
                "is_compared": step.compares and paste is step.pastes[0],
            }
            for paste in step.pastes
            if paste.value(copyable)
        ],
        "inputs": [
            _input_view(item, context, is_needed=item in lacks)
            for item in dict.fromkeys((*step.inputs, *(lacks if is_tried else ())))
            if item.name not in elsewhere
        ],
        "chosen": [
            {
                "label": item.label,
                "value": _shown_value(item, values),
                "id": elsewhere[item.name].id,
                "title": elsewhere[item.name].title,
            }
            for item in step.inputs
            if item.name in elsewhere
        ],
        "side_effect": step.side_effect,
        "actions": _actions(state, context, lacks),
        "user": context.user,
        "can_check": bool(step.checks) and step.id not in context.too_early,
        "forms": _forms(state, context),
        "provider": context.vendor.title,
        "needs_consent": step.consent_gives is not None,
        "largest": LARGEST,
        "needs_another": state.needs_another,
        "has_confirm_page": context.has_confirm_page,
        "copied_secret": _copied_secret(step, context),
        "exchanges": [_exchange_view(exchange) for exchange in shown],
        "identity": f"{step.id} · {step.kind}",
        "acts": step.instructions.split("\n\n"),
        "prose": _prose_view(step),
        "history": [
            {"at": when(line.head.at), "event": event}
            for line in reversed(recent)
            if (event := _told(line))
        ],
        "kit": _kit_view(step, context.kit_values),
        "known_errors": _known_errors(state, step, shown),
    }


def _to_do(state: StepState, step: Step, lacks: Sequence[Input]) -> str:
    """
    Return the advice for a finding, shown after its reason.

    Empty if nothing is to do, or if nobody has worked on the step: an automatic check only
    informs. The sentence that a person confirms stands at its button.
    """
    if state.is_settled or not (state.is_worked_on or state.by_person):
        return ""
    if lacks and state.outcome is not Outcome.FAILED:
        return f"Enter {', '.join(item.label for item in lacks)}, then press Check."
    if state.needs_human_only:
        return "Only you can confirm the rest."
    if state.outcome is Outcome.WAITING or state.needs_person:
        return ""
    advice = what_to_do(state, step)
    return "" if advice in state.reason else advice


def is_current(state: StepState, context: PanelContext) -> bool:
    """Return whether the step is what comes next, so that its card is open by itself."""
    return _is_next(state, context) and not state.is_settled


def _prose_view(step: Step) -> View | None:
    """Return the documented text of a step, or None if its card shows all of it."""
    off_page = step.source.off_page
    if not (step.prose or off_page):
        return None
    return {
        "title": prose_title(step.source),
        "paragraphs": step.prose.split("\n\n") if step.prose else [],
        "source": f"Source: {off_page}." if off_page else "",
    }


def _warnings(state: StepState, context: PanelContext) -> list[str]:
    """Return warnings about the step's values, and those of its checks once somebody has acted."""
    doubts = context.procedure.step(state.id).doubts(context.values)
    found = () if state.is_untouched else state.gather("warnings")
    return list(dict.fromkeys([*doubts, *found]))


def screen_view(screen: Screen, values: Mapping[str, object]) -> View:
    """Return the map of the screen where a step is done."""
    svg = screen_picture(screen, values)
    source = f"{SCHEMATIC}. Source: {screen.source}"
    return {"svg": str(svg), "caption": "Schematic", "source": source}


def _can_refresh(state: StepState, step: Step, lacks: Sequence[Input]) -> bool:
    """Return whether an open step can be checked without a side effect, and may have changed."""
    absent = {item.name for item in lacks}
    is_open = not state.is_settled and not state.needs_person
    can_ask = any(absent.isdisjoint(check.needs) for check in step.checks)
    return is_open and can_ask and not step.side_effect


def _actions(state: StepState, context: PanelContext, lacks: Sequence[Input]) -> View:
    """
    Return the action that a person needs next in this step, one beside it, and the others.

    Texts ask to check again: `again` is that button, where it is neither of the two.
    """
    step = context.procedure.step(state.id)
    person = "answer" if _is_question(step) else "attest"
    page = "open" if step.links and step.links[0].url(context.link_values) else ""
    primary, other = _next_actions(state, context, lacks, person=person, page=page)
    again = "check" if step.checks and "check" not in (primary, other) else ""
    possible = {
        "consent": step.consent_gives is not None,
        person: True,
        "link": state.needs_another and context.has_confirm_page,
        "comment": True,
        "assign": True,
        "no": state.needs_another,
        "skip": True,
        "withdraw": state.attestation is not None,
    }
    menu = [name for name, is_possible in possible.items() if is_possible]
    return {
        "primary": primary,
        "other": other,
        "again": again,
        "menu": [name for name in menu if name not in (primary, other)],
    }


def _next_actions(
    state: StepState, context: PanelContext, lacks: Sequence[Input], *, person: str, page: str
) -> tuple[str, str]:
    """
    Return the first two actions; `page` is "open" if the step has a page that can be opened.

    A page that was opened in this kernel comes second.
    """
    step = context.procedure.step(state.id)
    displayed = as_displayed(state)
    token = step.consent_gives
    check = "check" if step.checks else ""
    asks = bool(set(lacks).intersection(step.inputs))
    # A refused value is corrected here, not on a page.
    is_refused = bool(rejected_inputs(state, step))
    is_permitted = all(
        any(context.values.get(name) for name in part.allowed_by)
        for part in step.checks
        if part.allowed_by
    )
    is_declined = displayed.outcome is Outcome.FAILED and state.by_person
    can_tell = step.checks and is_permitted and step.id not in context.too_early
    lacks_token = token is not None and token.name not in context.credentials
    # A check with a permitted side effect does the step itself; a review is submitted, then said.
    is_done_elsewhere = not (step.side_effect and can_tell) and step.kind is not StepKind.WAIT
    is_new = state.is_untouched and is_done_elsewhere and not (is_refused or lacks_token)
    cases = (
        (state.is_settled, ("", check)),
        (state.needs_another, (person, "link" if context.has_confirm_page else "")),
        (page and is_new, (page, check if can_tell else person)),
        (step.id in context.too_early, (person, check)),
        (state.needs_person or _lacks_only_attestation(state), (person, check)),
        (lacks_token, ("consent", "check")),
        (state.is_asked_for, (person, "")),
        (displayed.outcome is Outcome.WAITING, ("", person)),
        (state.has_fault and _is_next(state, context), (check, "continue")),
        (
            step.kind is StepKind.WAIT,
            (page, person) if page and not is_declined else (person, page),
        ),
        (not step.checks, (person, "")),
        (
            page and not asks and not is_refused and (state.findings or not is_permitted),
            (page, check if displayed.outcome is Outcome.FAILED else person),
        ),
        (True, ("check", person)),
    )
    first, second = next(actions for is_so, actions in cases if is_so)
    is_opened = first == page and step.id in context.opened
    return (second, first) if is_opened else (first, second)


def _lacks_only_attestation(state: StepState) -> bool:
    """Return whether the step was checked, and only a person's attestation is missing."""
    return state.needs_human_only and not state.is_untouched


def _is_question(step: Step) -> bool:
    """Return whether a person answers, since more than one thing may be true."""
    return bool(step.answers) or step.kind is StepKind.WAIT


def _since(state: StepState, context: PanelContext) -> str:
    """Return who did it, the party it waits for, the steps before it, or its usual time."""
    step = context.procedure.step(state.id)
    usual = f"{step.usual_time} at {context.vendor.title}" if step.usual_time else ""
    ahead = context.later.get(state.id, "") or (usual if state.is_untouched else "")
    parts = (_who(state, context.vendor.title), _assigned(state), _overdue(state, step), ahead)
    return " · ".join(filter(None, parts))


def header_view(
    state: RunState,
    context: PanelContext,
    *,
    status: PanelStatus,
    plan: Plan | None,
    **facts: object,
) -> View:
    """
    Return the header's view: progress over the whole procedure, and the next step.

    `status` is that of *Check everything now*, `plan` the gates.
    """
    return {
        **facts,
        "user": context.user,
        "provider": context.vendor.title,
        "total": len(state.steps),
        "settled": sum(step.is_settled for step in state.steps),
        "counts": [
            {"outcome": outcome, "icon": ICONS[outcome], "label": label, "count": number}
            for outcome, label, number in tally(map(as_displayed, state.steps))
        ],
        "next": _next_view(context),
        "steps": [
            {**_line(step), "who": _since(step, context), "again": step.redo_reason}
            for step in state.steps
        ],
        "forgotten": _forgotten(state, context),
        "begin": _begin_view(plan, context.checklist),
        "gates": _gates(state, context.procedure),
        "forecast": _forecast_view(state, context),
        **status.view(),
    }


def _forgotten(state: RunState, context: PanelContext) -> list[View]:
    """Return the credentials that were used, are not known any more, and open steps need."""
    texts = {step.id: context.procedure.step(step.id) for step in state.steps}
    opened = [texts[step.id] for step in state.steps if not step.is_settled]
    needed = {name for step in opened for check in step.checks for name in check.needs}
    asked: dict[str, View] = {}
    for step in state.steps:
        for item in texts[step.id].inputs if step.is_settled and step.findings else ():
            if item.secret and item.name in needed and item.name not in context.credentials:
                asked.setdefault(item.name, {**_line(step), "credential": item.label})
    return list(asked.values())


def _begin_view(plan: Plan | None, checklist: Checklist) -> View | None:
    """Return the items of *Before you begin*, with their ticks."""
    if plan is None:
        return None
    ready = []
    for text in plan.have_ready:
        role, _, thing = text.rpartition(": ")
        is_ticked = text in checklist.ticked
        ready.append({"text": text, "role": role, "thing": thing, "is_ticked": is_ticked})
    takes = f"Plan for {plan.duration}, most of it waiting. {plan.price}"
    return {"plan": takes, "ready": ready, "has_begun": checklist.has_begun}


def _gates(state: RunState, procedure: Procedure) -> list[View]:
    """Return each gate's outcome, start, usual time, and the steps before it."""
    gates: list[View] = []
    for part in procedure.plan.gates if procedure.plan else ():
        step = procedure.step(part.step)
        gate = state.step(part.step)
        gates.append(
            {
                **_line(gate),
                "since": day(gate.waiting_since) if gate.waiting_since else "",
                "usual": step.usual_time,
                "after": ", ".join(before.number for before in waits_for(state, step)),
            }
        )
    return gates


def _forecast_view(state: RunState, context: PanelContext) -> View | None:
    """Return the forecast in one line and as chips, if others decide anything."""
    forecast = make_forecast(state, context.procedure, context.today.isoformat())
    if forecast is None:
        return None
    next_id = context.following.step.id if context.following else ""
    return {"title": forecast_title(forecast), "chips": forecast_chips(forecast, next_id)}


def _line(state: StepState) -> View:
    """Return a step's entry in a list: its id, number, title and outcome."""
    return {"id": state.id, "number": state.number, "title": state.title, **_outcome(state)}


def _outcome(state: StepState) -> View:
    """Return how the page shows a step's outcome."""
    displayed = as_displayed(state)
    return {
        "outcome": displayed.outcome,
        "icon": ICONS[displayed.outcome],
        "label": label_of(displayed),
        "in_part": state.needs_person,
    }


def _who(state: StepState, provider: str) -> str:
    word = state.attestation
    if state.is_asked_for and word is not None:
        return f"due {word.due} ({word.by})"
    if state.outcome is Outcome.WAITING:
        whom = "a second person" if state.needs_another else provider
        since = f" since {when(state.waiting_since)}" if state.waiting_since else ""
        return f"waits for {whom}{since}"
    if word is not None and state.by_person:
        return f"{word.by}, {when(word.at)}"
    if state.made_findings and not state.is_untouched:
        return f"checked {when(state.checked_on)}"
    return f"checked {day(state.verified_on)}" if state.verified_on else ""


def _assigned(state: StepState) -> str:
    """Return the step's assignee and due day, if any."""
    due = f" by {state.due}" if state.due else ""
    return f"for {state.assigned_to}{due}" if state.assigned_to else ""


def _overdue(state: StepState, step: Step) -> str:
    """Return by how much a colleague or an outside party is late; empty if nobody is late."""
    days = state.overdue_days
    if not days:
        return ""
    usual = "" if state.due else f": usually at most {step.usual_days} days"
    return f"{pluralize(days, 'day')} overdue{usual}"


def _is_next(state: StepState, context: PanelContext) -> bool:
    return context.following is not None and state.id == context.following.step.id


def _next_view(context: PanelContext) -> View | None:
    if context.following is None:
        return None
    step, advice = context.following
    return {
        "id": step.id,
        "number": step.number,
        "title": step.title,
        # What to do stands in the card; that nobody here can do anything stands on top.
        "advice": advice if step.outcome is Outcome.WAITING else "",
    }


def finish_view(
    state: RunState,
    context: PanelContext,
    *,
    status: PanelStatus,
    bundle: str,
    sealed: str,
    ended_on: str,
    doubts: Sequence[str],
    plan: Plan | None,
) -> View:
    """
    Return the view of the notebook's end.

    `bundle` is the sealed folder or empty, `sealed` a sentence with its time, `ended_on` that time.
    `doubts` are warnings before sealing, `plan` has the items to watch afterwards.
    """
    steps = state.steps
    is_done = bool(bundle) and state.outcome is RunOutcome.COMPLETE
    warnings = [
        f"{step.number} · {step.title}: {text}"
        for step in steps
        for text in _warnings(step, context)
    ]
    return {
        "end": {
            "verdict": _verdict(warnings),
            "warnings": warnings,
            "sealed": sealed,
            "took": _days_taken(state, ended_on),
            "watch": list(plan.afterwards if plan else ()),
        }
        if is_done
        else None,
        "total": len(steps),
        "done": sum(step.is_settled for step in steps),
        "open": [_line(step) for step in steps if not step.is_settled],
        "next": _next_view(context),
        "doubts": list(doubts),
        "bundle": bundle,
        "bundle_name": bundle.rpartition("/")[2],
        **status.view(),
    }


def _days_taken(state: RunState, ended_on: str) -> str:
    """Return how many days it took from the first thing on record to the sealed end."""
    steps = state.steps
    times = [state.started_on, *(step.checked_on for step in steps)]
    times += [step.attestation.at for step in steps if step.attestation is not None]
    first = min(filter(None, times), default="")
    last = parse_time(ended_on)
    begun = parse_time(first)
    if begun is None or last is None or last < begun:
        return ""
    return f"It took {pluralize((last.date() - begun.date()).days + 1, 'day')}."


def _verdict(warnings: Sequence[str]) -> str:
    """Return the verdict once every step is done and sealed."""
    if not warnings:
        return "Your customers can connect."
    number = "one warning" if len(warnings) == 1 else pluralize(len(warnings), "warning")
    return f"Your customers can connect, with {number}:"


def _forms(state: StepState, context: PanelContext) -> list[View]:
    """
    Return the forms by which a person can confirm a step, skip it, and so on.

    If a second person is needed, the first form has that person's own sentence. If checks
    verified the step in part, that option is preselected.
    """
    step = context.procedure.step(state.id)
    vendor = context.vendor.title
    files_help = ""
    name = "answer" if _is_question(step) else "attest"
    if step.developer_tools:
        files_help = (
            f"You may attach the answer of {context.vendor.developer_tools} to "
            f"{step.developer_tools} as JSON. The runbook keeps it, but does not read it."
        )
    shared: dict[str, Any] = {"has_files": True, "files_help": files_help, "verb": "confirms"}
    question = step.question or f"What does {vendor} say?"
    done = step.attest_label or _DONE
    if state.needs_another:
        option = _option("attest", _SEEN, state.asked_sentence)
        word = _form(name, _SEEN, option, **shared)
    elif _is_question(step):
        chosen = "attest" if state.needs_person else ""
        answers = _answers(step, context)
        word = _form(name, question, *answers, act="Confirm", chosen=chosen, **shared)
    else:
        word = _form(name, done, _done(step, done, context), **shared)
    first = state.attestation.by if state.attestation else ""
    no = f"This withdraws the confirmation of {first}."
    withdrawn = "The confirmation of this step is no longer true."
    commented = "A comment does not change the outcome."
    handed = "Assign this step to somebody else."
    return [
        word,
        _act("no", "No", no, "says no", action="withdraw", act="No, it is not so", **_REASON),
        _act("skip", "Skip", "This step will be skipped.", "skips this", **_REASON),
        _act("withdraw", "Withdraw", withdrawn, "withdraws it", **_REASON),
        _act("comment", "Comment", commented, "comments", **_COMMENT),
        _act("assign", "Hand over", handed, "hands it over", *_ASSIGN_FIELDS),
    ]


def _answers(step: Step, context: PanelContext) -> Iterator[View]:
    """Return the options that a person can confirm about a step."""
    vendor = context.vendor.title
    is_wait = step.kind is StepKind.WAIT
    asked: list[View] = []
    named: list[View] = []
    for item in step.inputs:
        chosen = context.values.get(item.name, item.default)
        if isinstance(chosen, tuple):
            box = _field(item.name, item.label, "", kind="choices")
            asked.append({**box, "choices": list(chosen), "ticked": True})
            named.append({**box, "choices": list(item.with_needs(chosen)), "ticked": False})
    if is_wait:
        sentence = f"Everything that {vendor} asks for is submitted."
        yield _option(
            "submit", "Submitted, and not decided", sentence, _field("on", "Sent"), *asked
        )
    for answer in step.answers:
        due = [_DUE_FIELD] if answer.due_days else []
        fields = (*due, *_until_field(answer.valid_days))
        option = _option("attest", answer.label, answer.sentence, *fields, answer=answer.name)
        yield {**option, "name": f"attest-{answer.name}"}
    done = _done(step, step.attest_label or "Approved", context)
    yield {**done, "fields": [*([_field("on", "Decided")] if is_wait else []), *done["fields"]]}
    if is_wait:
        decline = _option("decline", "Declined", f"{vendor} declined it.", _field("on", "Decided"))
        yield {**decline, "fields": [*decline["fields"], *named], "note_label": "The reason given"}


def _done(step: Step, label: str, context: PanelContext) -> View:
    """Return the option of the step's own sentence, with the values that it is about."""
    sentence = step.sentence
    for item in step.inputs:
        value = "" if item.secret else as_text(context.values.get(item.name, ""))
        sentence = sentence.replace(f"({item.label})", value or f"({item.label})")
    return _option("attest", label, sentence, *_until_field(step.valid_days))


def _option(action: str, label: str, sentence: str, *fields: View, answer: str = "") -> View:
    """Return one thing that can be said in a form; `answer` names which of the step's answers."""
    return {
        "name": action,
        "action": action,
        "answer": answer,
        "label": label,
        "sentence": sentence,
        "note_label": "",
        "fields": list(fields),
    }


def _act(
    name: str,
    label: str,
    sentence: str,
    verb: str,
    *fields: View,
    action: str = "",
    **more: Any,
) -> View:
    """Return the form of one option, which has the form's label."""
    option = _option(action or name, label, sentence, *fields)
    return _form(name, label, option, verb=verb, **more)


def _form(
    name: str,
    label: str,
    *options: View,
    verb: str,
    act: str = "",
    note_label: str = "Note",
    note_missing: str = "",
    has_files: bool = False,
    files_help: str = "",
    chosen: str = "",
) -> View:
    """
    Return a form's texts: its button is `act` (else the label), or a person's name and `verb`.

    With `note_missing`, the note must be given. `chosen` names the option that is chosen already.
    """
    return {
        "name": name,
        "label": label,
        "options": list(options),
        "verb": verb,
        "act": act or label,
        "note_label": note_label,
        "note_help": "Kept in the record." if note_missing else "Optional: a note for the record.",
        "note_missing": note_missing,
        "needs_note": bool(note_missing),
        "has_files": has_files,
        "files_help": files_help,
        "chosen": chosen,
    }


def _field(name: str, label: str, note: str = "Optional.", *, kind: str = "date") -> View:
    """Return a field of an option; `note` is its help."""
    return {"name": name, "label": label, "type": kind, "help": note, "choices": []}


def _until_field(days: int) -> list[View]:
    """Return the field for the last day of an attestation that counts for `days`, if it ends."""
    note = f"Optional: the last day on which this counts. Without it, {days} days."
    return [_field("until", "Until", note)] if days else []


_DONE = "I have done this"
_SEEN = "I have seen it"
_ASSIGN_FIELDS = (
    _field("to", "Person", "Leave it empty to assign it to nobody.", kind="text"),
    _field("due", "By"),
)
_REASON = {"note_label": "Reason", "note_missing": "Give a reason: it is kept in the record."}
_COMMENT = {
    "note_label": "Comment",
    "note_missing": "Write the comment: it is kept with the step.",
}
_DUE_FIELD = _field("due", "Due", "The day by which it must be done, as announced to you.")


def _input_view(item: Input, context: PanelContext, *, is_needed: bool) -> View:
    """Return the field for an input; a check that lacks it needs it."""
    kind = "password" if item.secret else "checkbox" if isinstance(item.default, bool) else "text"
    return {
        "name": item.name,
        "label": item.label,
        "help": _help(item, context),
        "example": item.example,
        "kind": kind,
        "value": _shown_value(item, context.values),
        "saved_in": context.credentials.get(item.name, ""),
        "is_needed": is_needed,
        "choices": [
            {"name": name, "needs": list(needs), "is_locked": name in item.locked}
            for name, needs in item.choices
        ],
    }


def _shown_value(item: Input, values: Mapping[str, Value]) -> str | bool:
    """Return the current value of an input; empty for a credential."""
    value = values.get(item.name, "")
    if item.secret:
        return ""
    return value if isinstance(value, bool) else as_text(value)


def _help(item: Input, context: PanelContext) -> str:
    """Return the help of an input, with the permissions that the connector requests."""
    asked, on = context.facts.get(item.asked_fact, ((), ""))
    if not asked:
        return item.help
    return f"{item.help} Read on {day(on)}, it asks for: {as_text(asked)}."


def _copied_secret(step: Step, context: PanelContext) -> View | None:
    """Return the credential that this step hands over to another console, if any."""
    item = step.copies_secret
    if item is None:
        return None
    unknown = "" if item.name in context.credentials else _UNKNOWN
    # A refused pair names the App ID alone.
    pair = (context.vendor.client_id.name, context.vendor.client_secret.name)
    related = pair if item.name in pair else (item.name,)
    if not unknown and context.rejected.intersection(related):
        unknown = _REJECTED
    return {"name": item.name, "label": item.label, "unknown": unknown}


def _kit_view(step: Step, values: Mapping[str, Value]) -> View | None:
    """Return the texts for the provider's review, if they belong to this step."""
    return to_builtins(kit_of(step.review_kit, values)) if step.review_kit else None


def _known_errors(state: StepState, step: Step, exchanges: Sequence[Exchange]) -> list[View]:
    """Return the known errors of a step; those that were seen come first."""
    words = " ".join([state.reason, *state.gather("quotes")])
    responses = [exchange.response for exchange in exchanges]
    here = step_name(state.number, state.title)
    ranked = step.rank_seen(step.known_errors, words, responses)
    return [_known_error_view(error, error.advice_at(here), seen) for error, seen in ranked]


def _known_error_view(error: KnownError, advice: str, seen: str) -> View:
    return {
        "title": error.shown[0],
        "seen": bool(seen),
        "meaning": error.meaning,
        "causes": [cause.sentence for cause in error.causes],
        "advice": advice,
        "source": error.source,
    }


def _exchange_view(exchange: Exchange) -> View:
    return {
        "line": f"{exchange.method} {exchange.url}",
        "status": exchange.error or str(exchange.status or "done"),
        "sent_on": exchange.sent_on,
        "milliseconds": round(exchange.elapsed * 1000),
        "trace": exchange.headers.get("x-fb-trace-id", ""),
        "detail": exchange_detail(exchange)[:_LONGEST_DETAIL],
    }


def _told(line: Line) -> str:
    """Return the text about a line in the history of its step; empty for other lines."""
    event = line.event
    if event is None and line.head.type == "step.checked":
        return "checked (the response is withheld)"
    match event:
        case StepChecked():
            outcomes = ", ".join(f"{part.check}: {part.outcome}" for part in event.findings)
            return f"checked ({outcomes or event.unchecked or 'nothing to check'})"
        case ChangeIntended():
            return f"about to change: {event.change}"
        case Note(to=None):
            return f"commented by {event.by}: {event.note}"
        case Note():
            until = f" until {event.due}" if event.due else ""
            note = f": {event.note}" if event.note else ""
            return f"assigned to {event.to or 'nobody'}{until} by {event.by}{note}"
        case Attestation():
            due = f" as due on {event.due}" if event.due else ""
            note = f": {event.note}" if event.note else ""
            files = "".join(f" [{attachment.name}]" for attachment in event.attachments)
            return f"{_EVENT_VERBS[event.kind]}{due} by {event.by}{note}{files}"
    return ""
