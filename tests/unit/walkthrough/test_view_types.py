"""The views of a whole procedure have the keys of their types, at every depth."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NotRequired, get_args, get_origin, get_type_hints, is_typeddict

import pytest

from runbook_lib.connectors.facebook.inputs import FACEBOOK
from runbook_lib.core.model import Exchange, Finding, Note, Outcome, Table
from runbook_lib.run.advice import NextStep
from runbook_lib.walkthrough import view_types
from runbook_lib.walkthrough.panel_status import PanelStatus
from runbook_lib.walkthrough.view_types import (
    DrawnStep,
    ExchangeView,
    FinishView,
    FormView,
    GateView,
    GroupStep,
    GroupView,
    HeaderFacts,
    HeaderStep,
    HeaderView,
    InputView,
    KitView,
    KnownErrorView,
    LineView,
    OutcomeView,
    RefusedValue,
    StatusView,
    StepView,
)
from runbook_lib.walkthrough.views import finish_view, header_view, screen_view, step_view
from runbook_lib.walkthrough.widgets import STATIC
from tests.support.line_writer import LineWriter
from tests.support.run_states import MARKETING, run_state, step_state
from tests.support.sandbox_requests import OPERATOR_VALUES
from tests.unit.walkthrough.sample_run import make_context

AT = "2026-11-24T12:00:00.000Z"
EXCHANGE = Exchange(
    method="GET", url="https://graph.facebook.com/me", sent_on=AT, elapsed=0.1, status=200
)
FOUND = Finding(
    outcome=Outcome.FAILED,
    code="a-code",
    reason="No.",
    tables=(Table(caption="Pages", columns=("ID",), rows=(("1",),)),),
    exchanges=(1,),
)
COMMENTED = LineWriter()
COMMENTED.write(Note(by="A", at=AT, note="Ask them."), AT, "0a1b2c3d", "fb-01-log-in")
EXTENDED = {StatusView, OutcomeView, LineView, StepView, HeaderFacts}
REFUSED: RefusedValue = {"input": "app_id", "problem": "It has letters.", "doubt": "It is short."}


def views() -> Iterator[tuple[dict[str, Any], type]]:
    """Yield the views of each panel of a procedure whose steps have everything, and their types."""
    assert MARKETING.plan is not None
    gates = {gate.step for gate in MARKETING.plan.gates}
    steps = [
        step_state(step, Outcome.WAITING, findings=(FOUND,), waiting_since=AT)
        if step.id in gates
        else step_state(step, Outcome.FAILED, findings=(FOUND,))
        for step in MARKETING.steps
    ]
    state = run_state(*steps)
    chosen_in = {item.name: MARKETING.steps[0] for item in MARKETING.inputs if item.choices}
    values = {name: value for name, value in OPERATOR_VALUES.items() if not isinstance(value, dict)}
    values["permissions"] = ("ads_read",)
    context = make_context(
        procedure=MARKETING,
        vendor=FACEBOOK,
        values=values,
        chosen_in=chosen_in,
        following=NextStep(steps[0], "Do it."),
    )
    status = PanelStatus(refused=[REFUSED])
    known: dict[str, Any] = {"exchanges": {1: EXCHANGE}, "status": status, "lacks": ()}
    for panel in steps:
        shown = step_view(panel, context, recent=COMMENTED.lines, **known)
        screen = MARKETING.step(panel.id).screen
        drawn = screen and screen_view(screen, values, owner="Facebook")
        yield {**shown, "screen": drawn}, DrawnStep
    at_list = replace(context, chosen_in={})
    for panel in steps:
        shown = step_view(panel, at_list, recent=(), **known)
        yield {**shown, "screen": None}, DrawnStep
    header: dict[str, Any] = {
        "title": "One",
        "tenant": "acme",
        "sandbox": True,
        "start": "",
        "others": "",
        "package": "",
        "sealed": "",
        "unsaved": False,
    }
    yield (
        dict(header_view(state, context, status=status, plan=MARKETING.plan, **header)),
        HeaderView,
    )
    complete = run_state(*map(step_state, MARKETING.steps))
    for end in (state, complete):
        yield (
            dict(
                finish_view(
                    end,
                    context,
                    status=status,
                    bundle="evidence/a",
                    sealed="Sealed.",
                    ended_on=AT,
                    doubts=(),
                    plan=MARKETING.plan,
                )
            ),
            FinishView,
        )


def differences(value: Any, hint: Any, seen: set[type], place: str = "") -> Iterator[str]:
    """Yield each place where a view's keys are not those of its type; add the types to `seen`."""
    if is_typeddict(hint):
        seen.add(hint)
        keys = set(value)
        if extra := keys - set(get_type_hints(hint)):
            yield f"{place}: {sorted(extra)} are not in {hint.__name__}"
        # NOTE: `__required_keys__` does not see `NotRequired` in annotations that are text.
        kinds = get_type_hints(hint, include_extras=True)
        required = {key for key, kind in kinds.items() if get_origin(kind) is not NotRequired}
        if missing := required - keys:
            yield f"{place}: {sorted(missing)} of {hint.__name__} are missing"
        for key, inner in get_type_hints(hint).items():
            if key in keys:
                yield from differences(value[key], inner, seen, f"{place}.{key}")
    elif isinstance(value, list):
        for item in value:
            yield from differences(item, get_args(hint)[0], seen, place)
    elif value is not None:
        for option in get_args(hint):
            if is_typeddict(option):
                yield from differences(value, option, seen, place)


def part_type(hint: Any) -> Any:
    """Return the type of a single part of a view; `None` for a list or a plain value."""
    options = () if get_origin(hint) is list else (hint, *get_args(hint))
    return next((option for option in options if is_typeddict(option)), None)


def documented() -> set[Any]:
    """Return the types of views and of their parts, without those that others extend."""
    return {value for value in vars(view_types).values() if is_typeddict(value)} - EXTENDED


def test_views_have_the_keys_of_their_types_at_every_depth() -> None:
    """Each part of each view has the documented keys; every documented type is in a view."""
    seen: set[type] = set()
    wrong = [text for view, hint in views() for text in differences(view, hint, seen, "view")]

    assert wrong == []
    assert documented() <= seen


@pytest.mark.parametrize(
    ("script", "name", "types"),
    [
        ("panel.js", "input", (InputView,)),
        ("panel.js", "exchange", (ExchangeView,)),
        ("panel.js", "error", (KnownErrorView,)),
        ("panel.js", "kit", (KitView,)),
        ("forms.js", "this.form", (FormView,)),
        ("header.js", "gate", (GateView,)),
        ("header.js", "group", (GroupView,)),
        ("header.js", "step", (HeaderStep, GroupStep)),
    ],
)
def test_a_script_reads_documented_keys_of_each_part(
    script: str, name: str, types: tuple[Any, ...]
) -> None:
    """Each key that a script reads of a part of its view is documented."""
    text = (STATIC / script).read_text(encoding="utf-8")
    read = set(re.findall(rf"(?<![\w.]){re.escape(name)}\.(\w+)", text))

    assert read
    assert read <= {key for hint in types for key in get_type_hints(hint)}


each_script = pytest.mark.parametrize(
    ("script", "view_type"),
    [("panel.js", DrawnStep), ("header.js", HeaderView), ("finish.js", FinishView)],
)


@each_script
def test_a_script_reads_documented_keys_only(script: str, view_type: Any) -> None:
    """Each `view.name` in a panel's script is a key of the view's type."""
    text = (STATIC / script).read_text(encoding="utf-8")
    read = set(re.findall(r"(?<![\w.])view\.(\w+)", text))
    assert read
    assert read <= set(view_type.__annotations__)


@each_script
def test_a_script_reads_documented_keys_of_single_parts(script: str, view_type: Any) -> None:
    """Each `view.part.name` in a script is a documented key of that part."""
    text = (STATIC / script).read_text(encoding="utf-8")
    pairs = set(re.findall(r"(?<![\w.])view\.(\w+)\??\.(\w+)", text))
    hints = get_type_hints(view_type)
    typed = [(part_type(hints[part]), name) for part, name in pairs]
    read = [(hint, name) for hint, name in typed if hint is not None]

    assert read
    assert [name for hint, name in read if name not in get_type_hints(hint)] == []
