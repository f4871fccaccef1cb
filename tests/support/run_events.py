"""Events of a small run, as `runbook_lib.run` writes them."""

from __future__ import annotations

from runbook_lib.core.model import Binding, Exchange, Mode, ProcedureName
from runbook_lib.run.events import (
    FORMAT,
    CheckDefinition,
    RunStarted,
    StepDefinition,
)

AT = "2026-12-02T12:00:00.000Z"
STEP = StepDefinition(
    id="fb-01-log-in",
    number="1",
    title="Log in",
    off_page=False,
    kind="manual",
    sentence="I am logged in.",
    answers=(),
    subject=(),
    inputs=(),
    checks=(CheckDefinition(id="log-in", confirm="", needs_human_only=False),),
    requires=(),
    valid_days=0,
    usual_days=0,
)
BINDING = Binding(connector="p", checks=("log-in",), subject={})


def started() -> RunStarted:
    """Return the beginning of a run with one step."""
    return RunStarted(
        format=FORMAT,
        tenant="acme",
        procedure=ProcedureName(id="p", version="1", digest="0" * 64),
        steps=(STEP,),
        labels={},
        secrets=(),
        unverifiable=(),
        mode=Mode.HEADLESS,
        sandbox=True,
        values={},
        fingerprints={},
        credentials=(),
        environment={},
    )


def exchange() -> Exchange:
    """Return an exchange with Graph."""
    return Exchange(
        method="GET",
        url="https://graph.facebook.com/v25.0/me",
        sent_on=AT,
        elapsed=0.1,
        status=200,
        response={"id": "1"},
    )
