"""A small run whose steps come to everything that can be said of a step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from runbook_lib.checks.context import CheckContext
from runbook_lib.errors import UnreachableError
from runbook_lib.journal import Journal
from runbook_lib.procedure import (
    Attestation,
    Check,
    Exchange,
    Finding,
    Outcome,
    Procedure,
    Section,
    Skip,
    Source,
    Step,
    StepKind,
    Table,
)
from runbook_lib.redaction import Secret
from runbook_lib.run import Run
from runbook_lib.settings import Settings
from tests.conftest import NOON

CANARY = "canary/secret+1"
AT = "2026-11-20T09:00:00Z"


def _seen_as(outcome: Outcome) -> Callable[[CheckContext], Finding]:
    def check(context: CheckContext) -> Finding:
        """Find what this step is for."""
        context.session.note(
            Exchange(method="GET", url="https://api.example/", sent_on=AT, elapsed=0.1, status=200)
        )
        return Finding(
            outcome=outcome,
            reason=f"Seen as {outcome}.",
            limits=("The rest.",),
            tables=(Table(caption="Pages", columns=("ID", "Name"), rows=(("1", "Acme"),)),),
        )

    return check


def _unreachable(context: CheckContext) -> Finding:
    raise UnreachableError("api.example could not be reached: no connection within 5 s.")


def _step(name: str, *checks: Callable[[CheckContext], Finding], requires: str = "") -> Step:
    return Step(
        id=name,
        title=f"Do {name}",
        kind=StepKind.CALL if checks else StepKind.MANUAL,
        source=Source(1),
        prose="",
        checks=tuple(Check(check) for check in checks),
        requires=(requires,) if requires else (),
    )


STEPS = (
    _step("fb-01-verified", _seen_as(Outcome.VERIFIED)),
    _step("fb-02-attested"),
    _step("fb-03-waiting", _seen_as(Outcome.WAITING)),
    _step("fb-04-inconclusive", _unreachable),
    _step("fb-05-failed", _seen_as(Outcome.FAILED)),
    _step("fb-06-impossible", requires="fb-05-failed"),
    _step("fb-07-skipped"),
    _step("fb-08-not-run"),
)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Return a run that has ended, with one step of each outcome."""
    section = Section(id="01", title="One", intro="", steps=STEPS)
    run = Run(
        Procedure(id="p", version="1", title="P", sections=(section,), inputs=()),
        Settings({}, {"app_secret": Secret(CANARY)}),
        Journal(tmp_path / "evidence" / "acme" / "journal.jsonl", clock=lambda: NOON),
        "acme",
        "headless",
        "0a1b2c3d",
        clock=lambda: NOON,
    )
    run.start()
    run.attest([Attestation(step="fb-02-attested", by="Operator", at=AT, note="Done.")])
    run.skip([Skip(step="fb-07-skipped", by="Operator", at=AT, reason="Not needed.")])
    for step in STEPS[:-1]:
        run.perform(step.id)
    run.finish()
    return run
