"""The inbox: what waits for whom, and what is worst."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from msgspec import structs

from runbook_lib.core.conclusion import Conclusion
from runbook_lib.core.model import (
    FORM,
    Mode,
    Outcome,
    ProcedureName,
    RunStarted,
)
from runbook_lib.core.procedure import StepKind
from runbook_lib.core.state import RunState, StepState
from runbook_lib.core.waits import waits_by_step
from runbook_lib.core.words import Lapsed
from runbook_lib.engine.inbox import Item, inbox, tenant_rows
from runbook_lib.engine.tenants import TenantState
from tests.support.procedures import plain_step
from tests.support.words import AT, assigned, attested

TODAY = date(2026, 11, 24)


def step(
    name: str,
    outcome: str,
    *,
    to: str = "",
    due: str = "",
    since: str = "",
    usual_days: int = 0,
    **needs: bool,
) -> StepState:
    """Return the state of a step; `needs` are those of its conclusion."""
    return StepState(
        step=plain_step(name, kind=StepKind.WAIT, usual_days=usual_days),
        conclusion=Conclusion(outcome=Outcome(outcome), reason=f"Because {name}.", **needs),
        number="1",
        word=attested(name) if "needs_another" in needs else None,
        assignment=assigned(name, to, due=due) if to else None,
        waiting_since=since,
    )


def tenant(name: str, *steps: StepState, sandbox: bool = False) -> TenantState:
    started = RunStarted(
        form=FORM,
        tenant="acme",
        procedure=ProcedureName(id="p", version="1", digest="0" * 64),
        mode=Mode.HEADLESS,
        sandbox=sandbox,
        parameters={},
        credentials=(),
        fingerprints={},
        resumes="",
        environment={},
    )
    run = RunState("0a1b2c3d", {step.step.id: step for step in steps}, started)
    return TenantState(name, "facebook_marketing", run)


def shown(items: list[Item]) -> list[tuple[str, str, int]]:
    """Return tenant and step, for whom it waits, and days overdue of each item."""
    return [
        (f"{item.tenant.tenant} {item.step.step.id}", item.waits_for, item.overdue_days)
        for item in items
    ]


def waiting(*tenants: TenantState, person: str = "") -> list[tuple[str, str, int]]:
    """Return what waits in these tenants today."""
    return shown(inbox(tenants, today=TODAY, person=person))


def test_each_step_waits_for_somebody() -> None:
    """A colleague, a second person, anybody, an outside party; what is settled waits for none."""
    acme = tenant(
        "acme",
        step("done", "verified"),
        step("failed", "failed"),
        step("mine", "not_run", to="Ann", due="2026-12-01"),
        step("half", "waiting", needs_another=True, since=AT),
        step("review", "waiting", since="2026-11-20T09:00:00Z", usual_days=22),
        step("later", "not_run"),
    )

    assert waiting(acme) == [
        ("acme failed", "anybody", 0),
        ("acme mine", "person", 0),
        ("acme half", "second_person", 0),
        ("acme review", "outside_party", 0),
    ]


def test_only_the_next_step_of_a_tenant_waits_for_anybody() -> None:
    """Of what is still to do, only what comes next is listed, for each tenant."""
    steps = (step("a", "not_run"), step("b", "not_run"))
    later = (step("a", "verified"), step("b", "inconclusive"))

    assert waiting(tenant("acme", *steps), tenant("umbrella", *later)) == [
        ("acme a", "anybody", 0),
        ("umbrella b", "anybody", 0),
    ]
    assert waiting(tenant("acme", step("a", "attested"))) == []


@pytest.mark.parametrize(
    ("late", "waits_for", "days"),
    [
        # A colleague's due date: the day itself is still in time.
        *(
            (step("a", "not_run", to="Ann", due=due), "person", days)
            for due, days in (("", 0), ("2026-11-25", 0), ("2026-11-24", 0), ("2026-11-21", 3))
        ),
        # An outside party's usual time: where it or the beginning is not known, none is overdue.
        *(
            (step("a", "waiting", since=since, usual_days=usual_days), "outside_party", days)
            for since, usual_days, days in (
                ("2026-11-02T23:59:00Z", 22, 0),
                ("2026-11-01T00:00:00Z", 22, 1),
                ("2026-01-01T00:00:00Z", 0, 0),
                ("", 22, 0),
            )
        ),
    ],
)
def test_what_takes_longer_than_it_may_is_overdue(
    late: StepState, waits_for: str, days: int
) -> None:
    """Overdue days begin after the due date, or after the usual time of an outside party."""
    assert waiting(tenant("acme", late)) == [("acme a", waits_for, days)]


def test_the_worst_comes_first_and_practice_last() -> None:
    """Most days overdue first, then what failed, then by due date; practice after all of it."""

    def mine(due: str) -> StepState:
        return step("a", "not_run", to="Ann", due=due)

    review = step("a", "waiting", since="2026-09-01T00:00:00Z", usual_days=5)
    tenants = [
        tenant("practice", mine("2026-01-01"), sandbox=True),
        tenant("no-day", mine("")),
        tenant("late", mine("2026-12-24")),
        tenant("soon", mine("2026-12-01")),
        tenant("failed", step("a", "failed")),
        tenant("overdue", mine("2026-11-23")),
        tenant("review", review),
    ]

    names = [item.tenant.tenant for item in inbox(tenants, today=TODAY)]
    assert names == ["review", "overdue", "failed", "soon", "late", "no-day", "practice"]


@pytest.mark.parametrize(
    ("outcome", "to", "person"),
    [("waiting", "Ann", "ANN"), ("not_run", "Zoë  Lee", "zoe\u0308 lee")],
)
def test_a_person_sees_what_is_theirs(outcome: str, to: str, person: str) -> None:
    """Case, spaces and composition of a name do not count; what nobody has is not theirs."""
    theirs, other = step("b", "failed", to="Ben"), step("c", "failed")
    acme = tenant("acme", step("a", outcome, to=to), theirs, other)

    assert waiting(acme, person=person) == [("acme a", "person", 0)]


def test_what_is_verified_in_part_waits_for_anybody() -> None:
    """A step that a person must look at is listed, also where another one comes next."""
    seen = step("b", "verified", needs_person=True)
    items = inbox([tenant("acme", step("a", "failed"), seen)], today=TODAY)

    assert shown(items) == [(name, "anybody", 0) for name in ("acme a", "acme b")]
    assert [item.row(TODAY).document()["needs_person"] for item in items] == [False, True]


@pytest.mark.parametrize(
    ("ends_on", "is_listed"), [("2026-12-24", True), ("2026-12-25", False), ("", False)]
)
def test_a_word_is_asked_for_again_30_days_before_it_ends(ends_on: str, is_listed: bool) -> None:
    """A settled step is listed while its word still counts; a fleet's waits leave it out."""
    settled = replace(step("a", "attested"), ends_on=ends_on)
    acme = tenant("acme", settled)

    items = inbox([acme], today=TODAY)
    assert shown(items) == [("acme a", "anybody", 0)] * is_listed
    assert [item.advice for item in items] == [
        f"The confirmation ends on {ends_on}: look again, then confirm it."
    ] * is_listed
    assert waits_by_step(acme.state, TODAY) == {}


def test_a_word_that_has_grown_old_is_asked_for() -> None:
    """It is listed also where another step comes next, with who said it and how long ago."""
    word = attested("b", by="Ann", at="2025-10-20T09:00:00Z")
    lapsed = Lapsed(word=word, why="400 days ago, until 2026-10-20", ended="2026-10-20")
    old = replace(step("b", "not_run"), lapsed=(lapsed,))
    other = replace(step("c", "not_run"), lapsed=(structs.replace(lapsed, ended=""),))

    items = inbox([tenant("acme", step("a", "not_run"), old, other)], today=TODAY)

    assert shown(items) == [(name, "anybody", 0) for name in ("acme a", "acme b")]
    assert items[1].advice.startswith("Ann confirmed this on 2025-10-20T09:00:00Z, 400 days ago")


def test_a_row_is_a_document() -> None:
    """Programs get ids, words and days; what is not known is null."""
    acme = tenant("acme", step("a", "not_run", to="Ann", due="2026-11-21"))
    items = inbox([acme], today=TODAY)
    (row,) = tenant_rows([acme], items, TODAY)
    other = replace(items[0], step=step("b", "failed"), overdue_days=0).row(TODAY).document()

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
    asked = attested("a", due="2026-11-20")
    waits = replace(step("a", "waiting", since=AT), word=asked)
    (item,) = inbox([tenant("acme", waits)], today=date(2026, 11, 22))

    assert (item.waits_for, item.overdue_days) == ("anybody", 2)
    assert item.row(TODAY).due == "2026-11-20"
    assert item.advice == "It was due on 2026-11-20: do it, then confirm that it is done."
