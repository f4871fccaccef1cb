"""A walkthrough on stage: screens in place of widgets, threads that end with the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runbook_lib.connectors.context import CheckContext
from runbook_lib.core.model import Attestation, AttestationKind, Finding, Outcome
from runbook_lib.core.procedure import Step
from runbook_lib.engine.tenant_run import Run
from runbook_lib.errors import UnreachableError
from runbook_lib.walkthrough import controller as module
from runbook_lib.walkthrough.controller import Walkthrough
from tests.unit.bodies import APP_ID, APP_SECRET
from tests.unit.walkthrough.sample_run import FakePanel, make_run, settled, stopped

OTHER_SECRET = APP_SECRET[::-1]
PNG = b"\x89PNG\r\n\x1a\n" + b"picture"
TOKEN_PATH = "/v26.0/oauth/access_token"
DONE = AttestationKind.ATTESTED
LEFT_OUT = AttestationKind.SKIPPED
KNOWN = {"app_id": APP_ID, "service_domain": "acme-h.cyclr.com"}


def undecided(context: CheckContext) -> Finding:
    """Return an inconclusive finding."""
    return Finding(outcome=Outcome.INCONCLUSIVE, code="a-code", reason="Hidden.")


def unreachable(context: CheckContext) -> Finding:
    """Break off as a check does whose host does not answer."""
    raise UnreachableError("x.example could not be reached: no connection.")


class WalkthroughHarness:
    """A walkthrough with a screen for each step."""

    def __init__(self, run: Run, **options: Any) -> None:
        self.run = run
        self.walkthrough = Walkthrough(run, **options)
        self.header = FakePanel()
        self.finish = FakePanel()
        self.panels = {step.id: FakePanel() for step in run.procedure.steps}
        for step_id, screen in self.panels.items():
            self.walkthrough.panels.add_panel(step_id, screen)
        self.walkthrough.panels.add_header(self.header)
        self.walkthrough.panels.add_finish(self.finish)

    def step(self, step_id: str) -> Step:
        """Return the step."""
        return self.run.step(step_id)

    def open_cards(self, *step_ids: str) -> None:
        """Show the cards of these steps, as a page does that opens them."""
        for step_id in step_ids:
            self.walkthrough.open_card(self.step(step_id))

    def perform(
        self, step_id: str, values: Any = None, *sure: Any, finished: int = 1
    ) -> dict[str, Any]:
        """Check the step with these values; return what its panel shows once it is idle."""
        self.walkthrough.perform(self.step(step_id), values or {}, *sure)
        return settled(self.panels[step_id], finished)

    def say(
        self, step_id: str, kind: AttestationKind, words: Any, files: Any = (), finished: int = 1
    ) -> dict[str, Any]:
        """Say this of the step; return what its panel shows once it is idle."""
        self.walkthrough.say(self.step(step_id), kind, words, list(files))
        return settled(self.panels[step_id], finished)

    @property
    def types(self) -> list[str]:
        """Return the types of the journal's lines."""
        return [line.head.type for line in self.run.journal.read_all()]

    @property
    def attestations(self) -> list[Attestation]:
        """Return the attestations in the journal, oldest first."""
        lines = self.run.journal.read_all()
        return [line.event for line in lines if isinstance(line.event, Attestation)]

    @property
    def written(self) -> str:
        """Return the journal's text."""
        path = self.run.journal.path
        return path.read_text(encoding="utf-8") if path.exists() else ""


MakeHarness = Callable[..., WalkthroughHarness]
CheckCalls = list[CheckContext]


def noting(
    calls: CheckCalls, check: Callable[[CheckContext], Finding]
) -> Callable[[CheckContext], Finding]:
    """Return `check`, which notes each call in `calls`."""

    def run(context: CheckContext) -> Finding:
        calls.append(context)
        return check(context)

    return run


def saying(findings: list[Finding], calls: CheckCalls) -> Callable[[CheckContext], Finding]:
    """Return a check that finds the last of `findings`, and notes each call in `calls`."""
    return noting(calls, lambda _context: findings[-1])


@pytest.fixture
def make_harness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeHarness]:
    """Return a factory of walkthroughs; their threads are joined at the end."""
    monkeypatch.setattr(module, "_FOLLOW_SECONDS", 0.01)
    with ExitStack() as stack:

        def make(
            *steps: Step, watch_seconds: float = module._WATCH_SECONDS, **more: Any
        ) -> WalkthroughHarness:
            made = WalkthroughHarness(
                make_run(tmp_path, *steps, **more), watch_seconds=watch_seconds
            )
            stack.enter_context(stopped(made.walkthrough))
            return made

        yield make


def spending(step: Step) -> Step:
    """Return the step with a check that uses something up."""
    return replace(step, checks=(replace(step.checks[0], side_effect="It uses up a link."),))


def damage(harness: WalkthroughHarness) -> None:
    """Append a line that is not a journal line."""
    with harness.run.journal.path.open("ab") as file:
        file.write(b"garbage\n")
