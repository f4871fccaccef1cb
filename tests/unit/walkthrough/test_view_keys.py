"""What the kernel puts into a panel is what its script reads, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from runbook_lib.connectors.facebook.inputs import FACEBOOK
from runbook_lib.core.model import Exchange, Finding, Note, Outcome, Table
from runbook_lib.run.advice import NextStep
from runbook_lib.walkthrough.panel_status import PanelStatus
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
REFUSED = {"input": "app_id", "problem": "It has letters.", "doubt": "It is short."}


def views() -> Iterator[tuple[dict[str, Any], str]]:
    """Yield the views of each panel of a procedure, whose steps have everything, and its script."""
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
        drawn = screen and screen_view(screen, values)
        yield {**shown, "screen": drawn}, "panel.js"
    at_list = replace(context, chosen_in={})
    for panel in steps:
        shown = step_view(panel, at_list, recent=(), **known)
        yield {**shown, "screen": None}, "panel.js"
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
        "header.js",
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
            "finish.js",
        )


def keys_in(value: Any) -> Iterator[str]:
    """Yield each key of a view, at every depth; the review kit has documented fields of its own."""
    if isinstance(value, dict):
        yield from value
        for key in value.keys() - {"kit"}:
            yield from keys_in(value[key])
    elif isinstance(value, list):
        for part in value:
            yield from keys_in(part)


def script(name: str) -> str:
    """Return the text of a script, without comments."""
    text = (STATIC / name).read_text(encoding="utf-8")
    return re.sub(r"//.*", "", text)


def test_a_script_reads_each_key_of_its_views() -> None:
    """No key of a view is made for nobody, at any depth."""
    names = sorted(path.name for path in STATIC.glob("*.js"))
    read = set(re.findall(r"\w+", " ".join(map(script, names))))
    made = {key for view, _ in views() for key in keys_in(view)}

    assert sorted(made - read) == []


@pytest.mark.parametrize("name", ["panel.js", "header.js", "finish.js"])
def test_each_key_that_a_script_reads_is_in_its_views(name: str) -> None:
    """Each `view.name`, and each `view.part.name`, is a key of such a view."""
    own = [view for view, drawn_by in views() if drawn_by == name]
    read = set(re.findall(r"(?<![\w.])view\.(\w+)", script(name)))
    pairs = set(re.findall(r"(?<![\w.])view\.(\w+)\??\.(\w+)", script(name)))
    parts = [(part, key, view[part]) for view in own for part, key in pairs]
    wrong = [(part, key) for part, key, made in parts if isinstance(made, dict) and key not in made]

    assert read
    assert sorted(read - {key for view in own for key in view}) == []
    assert wrong == []


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("panel.js", "input"),
        ("panel.js", "exchange"),
        ("panel.js", "error"),
        ("forms.js", "this.form"),
        ("header.js", "gate"),
        ("header.js", "step"),
    ],
)
def test_each_key_that_a_script_reads_of_a_part_is_made(name: str, part: str) -> None:
    """Each key that a script reads of a part of its view is a key of some part."""
    read = set(re.findall(rf"(?<![\w.]){re.escape(part)}\.(\w+)", script(name)))

    assert read
    assert read <= {key for view, _ in views() for key in keys_in(view)}
