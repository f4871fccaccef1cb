"""
Random journals have one state: of the fold that the product uses, and of the one that replaces it.

The attestations, values, findings and links are random, and so are the days between them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest

from runbook_lib.connectors.registry import find_procedure
from runbook_lib.core.attestation_rules import Subject, bind
from runbook_lib.core.clock import timestamp
from runbook_lib.core.index import JournalIndex
from runbook_lib.core.journal import JournalLine, LineRef
from runbook_lib.core.model import (
    FORMAT_VERSION,
    AttestationDetails,
    AttestationKind,
    Finding,
    InputGiven,
    JournalEntry,
    Mode,
    ModelStruct,
    Outcome,
    ProcedureName,
    RunFinished,
    RunOutcome,
    RunStarted,
    StepAssigned,
    StepChecked,
    StepCommented,
    Value,
)
from runbook_lib.core.procedure import Step
from runbook_lib.core.run_state import History, RunState, fold
from runbook_lib.run import fold as replacement
from runbook_lib.run.state import StepState
from tests.support.converted_lines import converted_lines

MARKETING = find_procedure("facebook_marketing")
# `RUNBOOK_TEST_STATES=5000` tries as many.
CASES = int(os.environ.get("RUNBOOK_TEST_STATES", "2000"))
APPS = ("1111111111111111", "2222222222222222")
DOMAINS = ("a.example.com", "b.example.com")
PEOPLE = ("Ann", "ann ", "Ben", "Cleo")
RUN = "aaaaaaaa"


class RandomJournal:
    """A journal of one run in which people and checks do random things."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.now = datetime(2026, 6, 1, 12, tzinfo=UTC)
        self.entries: list[JournalEntry] = []
        self.index = JournalIndex()
        choose = self.random
        self.mode = choose.choice((Mode.INTERACTIVE, Mode.HEADLESS))
        given: dict[str, Value] = {"service_domain": choose.choice(DOMAINS)}
        if choose.random() < 0.7:
            given["app_id"] = choose.choice(APPS)
        if choose.random() < 0.3:
            given["four_eyes"] = choose.choice((("all",), (choose.choice(MARKETING.steps).id,)))
        if choose.random() < 0.3:
            given["attestation_days"] = choose.choice((10, 30, 200))
        self.write("run.started", _started(self.mode, given))
        self.steps = choose.sample(MARKETING.steps, choose.randint(1, 4))
        for _ in range(choose.randint(1, 9)):
            self.now += timedelta(
                days=choose.choice((0, 0, 1, 20, 100)), seconds=choose.randint(1, 50)
            )
            self.act(choose.choice(self.steps))
        if self.mode is Mode.HEADLESS and choose.random() < 0.5:
            self.write("run.finished", RunFinished(outcome=RunOutcome.INCOMPLETE))

    @property
    def subject(self) -> Subject:
        """The values that attestations and checks are compared with."""
        values = self.index.recorded
        return Subject(MARKETING, values, self.index.before(values), self.now.date().isoformat())

    def write(self, kind: str, data: ModelStruct, step: str = "") -> None:
        """Add a line."""
        number = len(self.entries) + 1
        entry = JournalEntry(
            seq=number,
            at=timestamp(self.now),
            type=kind,
            run_id=RUN,
            step=step,
            data=data,
            prev="0" * 64,
        )
        self.entries.append(entry)
        self.index = self.index.fold([JournalLine(entry, LineRef(number, "", 0, 0))])

    def act(self, step: Step) -> None:
        """Add a random line about a step, or a random value."""
        kind = self.random.random()
        if kind < 0.65:
            self.attest(step)
        elif kind < 0.72:
            self.note(step)
        elif kind < 0.82:
            self.give()
        elif step.checks:
            self.check(step)

    def give(self) -> None:
        """Add a value."""
        values = {"app_id": APPS, "service_domain": DOMAINS}
        name = self.random.choice(tuple(values))
        value = self.random.choice(values[name])
        self.write("input.given", InputGiven(name=name, value=value))

    def attest(self, step: Step) -> None:
        """Add a person's attestation."""
        choose = self.random
        kinds = [*["attested"] * 5, "submitted", "declined", "skipped", "withdrawn"]
        kind = AttestationKind(choose.choice(kinds))
        needs_reason = kind in (AttestationKind.SKIPPED, AttestationKind.WITHDRAWN)
        sentence = step.sentence
        due = ""
        if kind is AttestationKind.ATTESTED:
            answers = [answer.sentence for answer in step.answers]
            sentence = choose.choice((sentence, *answers))
            due = self.day(20) if choose.random() < 0.1 else ""
        given = {"app_id": choose.choice(APPS)} if choose.random() < 0.15 else {}
        ago = timedelta(days=choose.choice((0, 0, 0, 3, 400)))
        data = AttestationDetails(
            by=choose.choice(PEOPLE),
            at=timestamp(self.now - ago),
            note="Because." if needs_reason else choose.choice(("", "Seen.")),
            sentence=sentence,
            due=due,
            until=self.day(choose.choice((5, 60))) if choose.random() < 0.1 else "",
            link=choose.choice("ab") * 64 if choose.random() < 0.1 else "",
            binding=bind(step, self.subject, given, sentence),
        )
        self.write(f"step.{kind}", data, step.id)

    def note(self, step: Step) -> None:
        """Add a comment or an assignment."""
        if self.random.random() < 0.5:
            data = StepCommented(by="Ann", at=timestamp(self.now), note="Hm")
            self.write("step.commented", data, step.id)
        else:
            to = self.random.choice(("Ben", ""))
            due = self.random.choice(("", "2026-06-10"))
            assigned = StepAssigned(by="Ann", at=timestamp(self.now), to=to, due=due)
            self.write("step.assigned", assigned, step.id)

    def check(self, step: Step) -> None:
        """Add a check's findings."""
        binding = bind(step, self.subject)
        findings = tuple(self.finding(check.id) for check in step.checks)
        is_automatic = self.random.random() > 0.7
        checked = StepChecked(findings=findings, automatic=is_automatic, binding=binding)
        self.write("step.checked", checked, step.id)

    def finding(self, check: str) -> Finding:
        """Return a random finding."""
        outcomes = ("verified", "verified", "failed", "waiting", "inconclusive", "not_run")
        outcome = Outcome(self.random.choice(outcomes))
        knows_app = self.random.random() < 0.6
        return Finding(
            outcome=outcome,
            code="a-code",
            reason=f"It is {outcome}.",
            check=check,
            limits=("Not this.",) if self.random.random() < 0.4 else (),
            accepts=("app_id",) if knows_app and outcome is Outcome.VERIFIED else (),
            refuses=("app_id",) if knows_app and outcome is Outcome.FAILED else (),
        )

    def day(self, days: int) -> str:
        """Return the day after so many days."""
        return (self.now + timedelta(days)).date().isoformat()


def _started(mode: Mode, given: Mapping[str, Value]) -> RunStarted:
    name = ProcedureName(id=MARKETING.id, version=MARKETING.version, digest=MARKETING.digest)
    return RunStarted(
        format_version=FORMAT_VERSION,
        tenant="acme",
        procedure=name,
        mode=mode,
        sandbox=True,
        parameters=given,
        credentials=(),
        fingerprints={},
        resumes="",
        environment={},
    )


def comparable(state: RunState, step_id: str, now: datetime) -> dict[str, Any]:
    """Return all that the present fold says about a step."""
    step = state.steps[step_id]
    conclusion = step.conclusion
    is_open = not conclusion.is_settled
    counted = step.attestation
    return {
        "outcome": conclusion.outcome,
        "reason": conclusion.reason,
        "code": conclusion.code,
        "is_settled": conclusion.is_settled,
        "needs_person": conclusion.needs_person,
        "needs_another": conclusion.needs_another,
        "by_person": conclusion.by_person,
        "attestation": (counted.by, counted.at, counted.kind) if counted else None,
        "confirmed_by": [other.by for other in step.confirmed_by],
        "void": [(void.sentence, void.ended) for void in step.void_attestations],
        "ends_on": step.ends_on,
        "assigned": step.assigned_to,
        "comments": len(step.comments),
        "checked_on": step.checked_on,
        "outdated": step.outdated if is_open else "",
        "waiting_since": step.waiting_since if is_open else "",
        "due": step.due if is_open else "",
        "overdue_days": step.overdue_days(now.date()) if is_open else 0,
        "is_worked_on": step.is_worked_on,
        "has_fault": step.has_fault,
        "findings": step.findings,
    }


def of_replacement(step: StepState) -> dict[str, Any]:
    """Return the same about a step's state of the replacement."""
    counted = step.attestation
    return {
        "outcome": step.outcome,
        "reason": step.reason,
        "code": step.code,
        "is_settled": step.is_settled,
        "needs_person": step.needs_person,
        "needs_another": step.needs_another,
        "by_person": step.by_person,
        "attestation": (counted.by, counted.at, counted.kind) if counted else None,
        "confirmed_by": [other.by for other in step.confirmed_by],
        "void": [(void.sentence, void.ended) for void in step.void_attestations],
        "ends_on": step.ends_on,
        "assigned": step.assigned.to if step.assigned else "",
        "comments": len(step.comments),
        "checked_on": step.checked_on,
        "outdated": step.outdated,
        "waiting_since": step.waiting_since,
        "due": step.due,
        "overdue_days": step.overdue_days,
        "is_worked_on": step.is_worked_on,
        "has_fault": step.has_fault,
        "findings": step.findings,
    }


@pytest.mark.parametrize("part", range(10))
def test_random_journals_have_one_state(part: int) -> None:
    """Both folds agree about outcome, reason, days and people of each step, in all journals."""
    for case in range(part * CASES, (part + 1) * CASES, 10):
        journal = RandomJournal(case)
        run = "" if journal.mode is Mode.INTERACTIVE else RUN
        lines = {entry.seq: entry for entry in journal.entries}
        history = History(journal.index, lambda ref, lines=lines: lines[ref.seq])
        present = fold(history, journal.subject, run or None)
        today = journal.subject.today
        state = replacement.fold(converted_lines(journal.entries, MARKETING), run, today=today)

        for step in journal.steps:
            expected = comparable(present, step.id, journal.now)
            assert of_replacement(state.step(step.id)) == expected, (case, step.id)
        assert state.outcome is present.outcome
