"""The state of a tenant: its open items, their people, and the worst one."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from msgspec import structs

from runbook_lib.core.model import Finding, Outcome
from runbook_lib.evidence.reports.tenant_status import (
    cause_rows,
    row_id,
    sorted_statuses,
    what_now,
)
from runbook_lib.operations.customer_letters import LINK_LINE
from runbook_lib.operations.customer_list import customer_rows
from runbook_lib.operations.customer_rows import FailingCalls
from runbook_lib.operations.tenant_state import KnownTenant
from runbook_lib.run.state import StepState, VoidAttestation
from tests.support.attestations import AT, attested
from tests.support.waiting_steps import known, status, step, waiting
from tests.support.wording import wording
from tests.unit.engine import world

TODAY = date(2026, 11, 24)


def shown(tenant: KnownTenant, today: date = TODAY) -> list[tuple[str, str, str, int]]:
    """Return group, step, who must act, and days overdue of each open item."""
    return [
        (item.group.value, item.places[0].id, item.whom, item.overdue_days)
        for item in status(tenant, today).items
    ]


def test_each_step_waits_for_somebody() -> None:
    """A colleague, a second person, you, the vendor; settled steps wait for none."""
    acme = known(
        "acme",
        step("done", "verified"),
        step("failed", "failed"),
        step("mine", "not_run", to="Ann", due="2026-12-01"),
        step("half", "waiting", needs_another=True, since=AT),
        step("review", "waiting", since="2026-11-20T09:00:00Z", usual_days=22),
        step("later", "not_run"),
    )

    assert shown(acme) == [
        ("due_now", "failed", "you", 0),
        ("waiting", "mine", "Ann", 0),
        ("waiting", "review", "Facebook", 0),
        ("waiting", "half", "a second person", 0),
    ]


def test_only_the_next_step_of_a_tenant_is_to_do() -> None:
    """Only the next of the remaining steps is listed."""
    assert shown(known("acme", step("a", "not_run"), step("b", "not_run"))) == [
        ("due_now", "a", "you", 0)
    ]
    assert shown(known("acme", step("a", "verified"), step("b", "inconclusive"))) == [
        ("due_now", "b", "you", 0)
    ]
    assert shown(known("acme", step("a", "attested"))) == []


def test_another_step_can_start_while_a_colleague_has_the_next() -> None:
    """While a colleague has the next step, the first one that can be started is to do."""
    half = step("a", "waiting", needs_another=True, since=AT)
    later = step("c", "not_run")
    texts = (waiting("a"), waiting("c", after=("a",)))

    assert shown(known("acme", half, step("b", "not_run"))) == [
        ("due_now", "b", "you", 0),
        ("waiting", "a", "a second person", 0),
    ]
    assert shown(known("acme", half, later, steps=texts)) == [
        ("waiting", "a", "a second person", 0)
    ]


@pytest.mark.parametrize(
    ("late", "expected"),
    [
        # A colleague's due date: the day itself is still in time.
        *(
            (step("a", "not_run", to="Ann", due=due), (group, "a", "Ann", days))
            for due, group, days in (
                ("", "waiting", 0),
                ("2026-11-25", "waiting", 0),
                ("2026-11-24", "waiting", 0),
                ("2026-11-21", "due_now", 3),
            )
        ),
        # An outside party's usual time: where it or the beginning is not known, none is overdue.
        *(
            (step("a", "waiting", since=since, usual_days=usual), (group, "a", whom, days))
            for since, usual, group, whom, days in (
                ("2026-11-02T23:59:00Z", 22, "waiting", "Facebook", 0),
                ("2026-11-01T00:00:00Z", 22, "due_now", "you", 1),
                ("2026-01-01T00:00:00Z", 0, "waiting", "Facebook", 0),
                ("", 22, "waiting", "Facebook", 0),
            )
        ),
    ],
)
def test_an_overdue_step_is_due_now(late: StepState, expected: tuple[str, str, str, int]) -> None:
    """Overdue days begin after the due date, or after the usual time of an outside party."""
    assert shown(known("acme", late)) == [expected]


def test_the_worst_comes_first_and_practice_last() -> None:
    """Failures, then the most overdue, then waiting steps; practice after all of them."""

    def mine(due: str) -> StepState:
        return step("a", "not_run", to="Ann", due=due)

    review = step("a", "waiting", since="2026-09-01T00:00:00Z", usual_days=5)
    tenants = [
        known("practice", mine("2026-01-01"), sandbox=True),
        known("no-day", mine("")),
        known("late", mine("2026-12-24")),
        known("soon", mine("2026-12-01")),
        known("failed", step("a", "failed")),
        known("overdue", mine("2026-11-23")),
        known("review", review),
        known("done", step("a", "verified")),
    ]

    ordered = sorted_statuses(status(tenant, TODAY) for tenant in tenants)
    names = [first_status.tenant for first_status in ordered]
    assert names == [
        "failed", "review", "overdue", "soon", "late", "no-day", "done", "practice",
    ]  # fmt: skip
    failed = wording("status.contradicted", title="failed: Do a")
    assert what_now(ordered).startswith(
        f"{wording('inbox.tenants-need-you', tenants=3, tenant=failed)}. 3 "
    )


def test_a_cause_has_lasted_since_it_was_seen() -> None:
    """A step that also waits for a decision does not make the cause older."""
    unclear = Finding(outcome=Outcome.INCONCLUSIVE, reason="Refused.", code="app-secret-refused")
    refused = structs.replace(unclear, outcome=Outcome.FAILED)
    waiting = structs.replace(
        step("a", "waiting", since="2026-10-01T09:00:00Z"), findings=(unclear,)
    )
    failing = structs.replace(step("b", "failed"), findings=(refused,))
    tenant = known("acme", waiting, failing, failing_since={"b": "2026-11-23T09:00:00Z"})

    (item,) = status(tenant, TODAY).items
    assert (item.since, len(item.places)) == ("2026-11-23T09:00:00Z", 2)


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        (step("b", "failed"), "1 tenant needs you. Start with acme: Do a: contradicted"),
        (step("b", "waiting", since=AT), "1 tenant needs you. Start with acme: Do a"),
        (step("b", "verified"), "1 tenant needs you. Start with acme: Do a"),
    ],
)
def test_a_tenant_with_two_connectors_counts_once(second: StepState, expected: str) -> None:
    """It counts with the worst of its states."""
    first_status = status(known("acme", step("a", "failed")), TODAY)
    other = replace(status(known("acme", second), TODAY), connector="another")

    text = what_now([other, first_status])
    assert text.startswith(expected)
    assert "only wait" not in text


@pytest.mark.parametrize(("outcome", "is_shown"), [("inconclusive", True), ("not_run", False)])
def test_advice_that_names_the_reason_has_it(outcome: str, is_shown: bool) -> None:
    """A check that could not tell: the row says why, also without `--verbose`."""
    (row,) = cause_rows([status(known("acme", step("a", outcome)), TODAY)])

    assert ("Because a." in row.lines()) is is_shown


def test_a_step_verified_in_part_is_due() -> None:
    """A step that a person must look at is listed, also where another one comes next."""
    seen = step("b", "verified", needs_person=True)
    items = status(known("acme", step("a", "failed"), seen), TODAY).items

    assert [(item.title, item.is_failing) for item in items] == [
        (wording("status.contradicted", title="Do a"), True),
        (wording("status.confirm-the-rest", title="Do b"), False),
    ]


@pytest.mark.parametrize(
    ("ends_on", "group"),
    [
        ("2026-12-01", "due_now"),
        ("2026-12-02", "due_later"),
        ("2026-12-24", "due_later"),
        ("2026-12-25", ""),
        ("", ""),
    ],
)
def test_an_attestation_is_asked_for_again_30_days_before_it_ends(ends_on: str, group: str) -> None:
    """A settled step is due later, and due now in its last 7 days; a run's waits leave it out."""
    settled = structs.replace(step("a", "attested"), ends_on=ends_on)
    acme = known("acme", settled)

    items = status(acme, TODAY).items
    assert [(item.group, item.due) for item in items] == ([(group, ends_on)] if group else [])
    assert [item.advice for item in items] == [
        wording("status.confirmation-ends-on", ends_on=ends_on) for _ in items
    ]


def test_an_attestation_that_has_grown_old_is_asked_for() -> None:
    """It is overdue since that day, before what comes next, with who said it and how long ago."""
    attestation = attested("b", by="Ann", at="2025-10-20T09:00:00Z").statement
    lapsed = VoidAttestation(
        attestation=attestation, why="400 days ago, until 2026-10-20", ended="2026-10-20"
    )
    old = structs.replace(step("b", "not_run"), void_attestations=(lapsed,))
    other = structs.replace(
        step("c", "not_run"), void_attestations=(structs.replace(lapsed, ended=""),)
    )

    first, second = status(known("acme", step("a", "not_run"), old, other), TODAY).items

    assert (first.places[0].id, second.places[0].id) == ("b", "a")
    assert (first.due, first.overdue_days, first.is_failing) == ("2026-10-20", 35, False)
    assert first.title == wording("status.confirm-again", title="Do b")
    assert first.advice.startswith(
        wording("status.confirmed-days-ago", on="2025-10-20T09:00:00Z", name="Ann", days=400)
    )


def test_a_request_of_an_outside_party_is_due_here() -> None:
    """A step that somebody said is asked for is to be done here, by its due day."""
    asked = attested("a", due="2026-11-20").statement
    waits = structs.replace(step("a", "waiting", since=AT, due="2026-11-20"), attestation=asked)
    (item,) = status(known("acme", waits), TODAY).items

    assert (item.group, item.whom, item.overdue_days) == ("due_now", "you", 4)
    assert item.due == "2026-11-20"
    assert item.advice == wording("status.was-due-on", due="2026-11-20")


def test_problems_with_one_cause_are_one_item() -> None:
    """A known cause names the item with its effects, at every step that meets it."""

    def seen(name: str, outcome: Outcome) -> StepState:
        cause_finding = Finding(
            outcome=outcome, code="app-deactivated", reason=f"{name} is refused.", check="c"
        )
        return structs.replace(step(name, outcome), findings=(cause_finding,))

    tenants = [
        status(known(name, seen("a", Outcome.INCONCLUSIVE), seen("b", Outcome.FAILED)), TODAY)
        for name in ("dune", "elm")
    ]
    (item,) = tenants[0].items

    assert item.title.startswith(wording("findings.app-deactivated"))
    assert item.stops == wording("findings.all-cut-off")
    assert [place.id for place in item.places] == ["a", "b"]
    assert item.reason == " ".join(f"{name} is refused." for name in "ab")
    (row,) = cause_rows(tenants)
    assert row.tenants == ["dune", "elm"]


def test_a_state_is_a_document() -> None:
    """Programs get ids, words and days; unknown values are null."""
    acme = known("acme", step("a", "not_run", to="Ann", due="2026-11-21"))

    assert status(acme, TODAY).document() == {
        "tenant": "acme",
        "connector": "facebook_marketing",
        "sandbox": False,
        "state": "needs_you",
        "failing": False,
        "done": 0,
        "steps": 1,
        "polled_on": None,
        "sealed_on": None,
        "unsealed": 0,
        "run_outcome": None,
        "bundle": None,
        "open": [
            {
                "id": row_id("facebook_marketing a Do a Ann 2026-11-21", is_practice=False),
                "group": "due_now",
                "failing": False,
                "cause": "facebook_marketing a Do a Ann 2026-11-21",
                "title": "Do a",
                "stops": None,
                "advice": wording("status.do-the-step"),
                "command": None,
                "link": None,
                "waits_for": "Ann",
                "since": None,
                "due": "2026-11-21",
                "overdue_days": 3,
                "usual_days": None,
                "known_to": None,
                "customers": False,
                "places": [
                    {
                        "id": "a",
                        "name": "Do a",
                        "outcome": "not_run",
                        "reason": "Because a.",
                    }
                ],
            }
        ],
    }


def test_a_cut_off_customer_has_a_letter_on_the_page() -> None:
    """Signed out, refused or never seen signed in: each has its letter, and nobody else has one."""
    refused = FailingCalls("2026-11-23T12:00:00.000Z", "", "", "lead-terms")
    accounts = [
        world.signed_out("Out"),
        world.customer("Refused", failing=refused),
        world.customer("Well"),
        world.signed_out("Never seen in", signed_in_on="", used_on=""),
        world.signed_out(
            "New", signed_in_on="", used_on="", not_installed_on="2026-11-20T12:00:00.000Z"
        ),
        # Only one poll has seen it.
        world.signed_out("Doubtful", looks=1),
    ]

    rows = customer_rows(known("acme", accounts=accounts).customers, world.NOW)

    letters = {row.name: row.letter for row in rows if row.letter}
    assert {*letters} == {"Out", "Refused", "Never seen in", "New"}
    assert "22 November 2026" in letters["Out"]
    assert LINK_LINE not in letters["Refused"]
    assert [
        name for name in letters if wording("connections.letter-not-connected") in letters[name]
    ] == ["New"]
