"""The inbox: what waits for whom, and what is worst."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from msgspec import structs

from runbook_lib.core.conclusion import Conclusion
from runbook_lib.core.model import (
    FORM,
    Assignment,
    Mode,
    Outcome,
    ProcedureName,
    RunStarted,
    WaitsFor,
    Word,
    WordKind,
)
from runbook_lib.core.procedure import StepKind
from runbook_lib.core.state import RunState, StepState
from runbook_lib.core.words import Lapsed
from runbook_lib.engine.inbox import Item, inbox, tenant_rows, waits_by_step
from runbook_lib.engine.tenants import TenantState
from tests.support.procedures import plain_step
from tests.support.words import AT, assigned

TODAY = date(2026, 11, 24)


def step(
    name: str,
    outcome: Outcome,
    *,
    to: str = "",
    due: str = "",
    since: str = "",
    usual_days: int = 0,
    needs_another: bool = False,
    needs_person: bool = False,
) -> StepState:
    conclusion = Conclusion(
        outcome=outcome,
        reason=f"Because {name}.",
        needs_another=needs_another,
        needs_person=needs_person,
    )
    assignment: Assignment | None = assigned(name, to, due=due) if to else None
    word = Word(kind=WordKind.ATTESTED, step=name, by="Operator", at=AT) if needs_another else None
    return StepState(
        step=plain_step(name, kind=StepKind.WAIT, usual_days=usual_days),
        conclusion=conclusion,
        number="1",
        word=word,
        assignment=assignment,
        waiting_since=since,
    )


STARTED = {
    is_practice: RunStarted(
        form=FORM,
        tenant="acme",
        procedure=ProcedureName(id="p", version="1", digest="0" * 64),
        mode=Mode.HEADLESS,
        sandbox=is_practice,
        parameters={},
        credentials=(),
        fingerprints={},
        resumes="",
        environment={},
    )
    for is_practice in (True, False)
}


def tenant(name: str, *steps: StepState, sandbox: bool = False) -> TenantState:
    run = RunState("0a1b2c3d", {step.step.id: step for step in steps}, STARTED[sandbox])
    return TenantState(name, "facebook_marketing", run)


def shown(items: list[Item]) -> list[tuple[str, str, WaitsFor, int]]:
    return [
        (each.tenant.tenant, each.step.step.id, each.waits_for, each.overdue_days) for each in items
    ]


def test_each_step_waits_for_somebody() -> None:
    """A colleague, a second person, anybody, an outside party; what is settled waits for none."""
    items = inbox(
        [
            tenant(
                "acme",
                step("done", Outcome.VERIFIED),
                step("failed", Outcome.FAILED),
                step("mine", Outcome.NOT_RUN, to="Ann", due="2026-12-01"),
                step("half", Outcome.WAITING, needs_another=True, since=AT),
                step("review", Outcome.WAITING, since="2026-11-20T09:00:00Z", usual_days=22),
                step("later", Outcome.NOT_RUN),
            )
        ],
        today=TODAY,
    )

    assert shown(items) == [
        ("acme", "failed", WaitsFor.ANYBODY, 0),
        ("acme", "mine", WaitsFor.PERSON, 0),
        ("acme", "half", WaitsFor.SECOND_PERSON, 0),
        ("acme", "review", WaitsFor.OUTSIDE_PARTY, 0),
    ]


def test_only_the_next_step_of_a_tenant_waits_for_anybody() -> None:
    """Of what is still to do, only what comes next is listed, for each tenant."""
    steps = (step("a", Outcome.NOT_RUN), step("b", Outcome.NOT_RUN))
    later = (step("a", Outcome.VERIFIED), step("b", Outcome.INCONCLUSIVE))

    items = inbox([tenant("acme", *steps), tenant("umbrella", *later)], today=TODAY)

    assert shown(items) == [
        ("acme", "a", WaitsFor.ANYBODY, 0),
        ("umbrella", "b", WaitsFor.ANYBODY, 0),
    ]
    assert inbox([tenant("acme", step("a", Outcome.ATTESTED))], today=TODAY) == []


@pytest.mark.parametrize(
    ("due", "days"), [("", 0), ("2026-11-25", 0), ("2026-11-24", 0), ("2026-11-21", 3)]
)
def test_a_due_date_that_has_passed_is_overdue(due: str, days: int) -> None:
    """The day itself is still in time."""
    (item,) = inbox([tenant("acme", step("a", Outcome.NOT_RUN, to="Ann", due=due))], today=TODAY)

    assert item.overdue_days == days


@pytest.mark.parametrize(
    ("since", "usual_days", "days"),
    [
        ("2026-11-02T23:59:00Z", 22, 0),
        ("2026-11-01T00:00:00Z", 22, 1),
        ("2026-01-01T00:00:00Z", 0, 0),
        ("", 22, 0),
    ],
)
def test_an_outside_party_is_overdue_after_the_usual_time(
    since: str, usual_days: int, days: int
) -> None:
    """A wait that is longer than usual is overdue; where nothing is known, none is."""
    waiting = step("a", Outcome.WAITING, since=since, usual_days=usual_days)
    (item,) = inbox([tenant("acme", waiting)], today=TODAY)

    assert (item.waits_for, item.overdue_days) == (WaitsFor.OUTSIDE_PARTY, days)


def test_the_worst_comes_first_and_practice_last() -> None:
    """Most days overdue first, then what failed, then by due date; practice after all of it."""

    def mine(due: str) -> StepState:
        return step("a", Outcome.NOT_RUN, to="Ann", due=due)

    items = inbox(
        [
            tenant("practice", mine("2026-01-01"), sandbox=True),
            tenant("no-day", mine("")),
            tenant("late", mine("2026-12-24")),
            tenant("soon", mine("2026-12-01")),
            tenant("failed", step("a", Outcome.FAILED)),
            tenant("overdue", mine("2026-11-23")),
            tenant(
                "review", step("a", Outcome.WAITING, since="2026-09-01T00:00:00Z", usual_days=5)
            ),
        ],
        today=TODAY,
    )

    assert [each.tenant.tenant for each in items] == [
        "review", "overdue", "failed", "soon", "late", "no-day", "practice",
    ]  # fmt: skip


def test_a_person_sees_what_is_theirs() -> None:
    """A name is compared without its case; what nobody has is not theirs."""
    mine = step("a", Outcome.WAITING, to="Ann")
    theirs = step("b", Outcome.FAILED, to="Ben")
    items = inbox(
        [tenant("acme", mine, theirs, step("c", Outcome.FAILED))], today=TODAY, person="ANN"
    )

    assert shown(items) == [("acme", "a", WaitsFor.PERSON, 0)]


def test_what_is_verified_in_part_waits_for_anybody() -> None:
    """A step that a person must look at is listed, also where another one comes next."""
    items = inbox(
        [tenant("acme", step("a", Outcome.FAILED), step("b", Outcome.VERIFIED, needs_person=True))],
        today=TODAY,
    )

    assert [(item.step.step.id, item.waits_for) for item in items] == [
        ("a", WaitsFor.ANYBODY),
        ("b", WaitsFor.ANYBODY),
    ]
    assert [item.row(TODAY).document()["needs_person"] for item in items] == [False, True]


def test_two_spellings_of_a_colleague_are_one() -> None:
    """`--for` finds what is assigned to a name, however it is spaced and composed."""
    items = inbox(
        [tenant("acme", step("a", Outcome.NOT_RUN, to="Zoë  Lee"))],
        today=TODAY,
        person="zoe\u0308 lee",
    )

    assert len(items) == 1


@pytest.mark.parametrize(
    ("ends_on", "is_listed"), [("2026-12-24", True), ("2026-12-25", False), ("", False)]
)
def test_a_word_is_asked_for_again_30_days_before_it_ends(ends_on: str, is_listed: bool) -> None:
    """A settled step is listed while its word still counts; a fleet's waits leave it out."""
    settled = replace(step("a", Outcome.ATTESTED), ends_on=ends_on)
    acme = tenant("acme", settled)

    items = inbox([acme], today=TODAY)
    assert shown(items) == [("acme", "a", WaitsFor.ANYBODY, 0)] * is_listed
    assert [item.advice for item in items] == [
        f"The confirmation ends on {ends_on}: look again, then confirm it."
    ] * is_listed
    assert waits_by_step(acme.state, TODAY) == {}


def test_a_word_that_has_grown_old_is_asked_for() -> None:
    """It is listed also where another step comes next, with who said it and how long ago."""
    word = Word(kind=WordKind.ATTESTED, step="b", by="Ann", at="2025-10-20T09:00:00Z")
    lapsed = Lapsed(word=word, why="400 days ago, until 2026-10-20", ended="2026-10-20")
    old = replace(step("b", Outcome.NOT_RUN), lapsed=(lapsed,))
    other = replace(step("c", Outcome.NOT_RUN), lapsed=(structs.replace(lapsed, ended=""),))

    items = inbox([tenant("acme", step("a", Outcome.NOT_RUN), old, other)], today=TODAY)

    assert shown(items) == [("acme", name, WaitsFor.ANYBODY, 0) for name in ("a", "b")]
    assert items[1].advice.startswith("Ann confirmed this on 2025-10-20T09:00:00Z, 400 days ago")


def test_a_row_is_a_document() -> None:
    """Programs get ids, words and days; what is not known is null."""
    acme = tenant("acme", step("a", Outcome.NOT_RUN, to="Ann", due="2026-11-21"))
    items = inbox([acme], today=TODAY)
    (row,) = tenant_rows([acme], items, TODAY)
    other = replace(items[0], step=step("b", Outcome.FAILED), overdue_days=0).row(TODAY).document()

    assert row.document() == {
        "tenant": "acme",
        "connector": "facebook_marketing",
        "sandbox": False,
        "outcome": "incomplete",
        "done": 0,
        "steps": 1,
        "looked_on": None,
        "sealed_on": None,
        "open": [
            {
                "step": "a",
                "number": "1",
                "title": "Do a",
                "outcome": "not_run",
                "needs_person": False,
                "reason": "Because a.",
                "do": "Do it, then check it or confirm that it is done.",
                "waits_for": "person",
                "assigned_to": "Ann",
                "since": None,
                "due": "2026-11-21",
                "ends_on": None,
                "overdue_days": 3,
                "usual_days": None,
            }
        ],
    }
    assert (other["assigned_to"], other["due"]) == (None, None)


def test_what_an_outside_party_asks_for_waits_for_anybody() -> None:
    """A step that somebody said is asked for is to be done here, by its due day."""
    asked = Word(kind=WordKind.ATTESTED, step="a", by="Operator", at=AT, due="2026-11-20")
    waits = replace(step("a", Outcome.WAITING, since=AT), word=asked)
    (item,) = inbox([tenant("acme", waits)], today=date(2026, 11, 22))

    assert (item.waits_for, item.overdue_days) == (WaitsFor.ANYBODY, 2)
    assert item.row(TODAY).due == "2026-11-20"
    assert item.advice == "Do it by 2026-11-20, then confirm that it is done."
