"""The next step: one function for the page, `status`, `inbox` and the notebook."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, time

import pytest
from msgspec import structs

from runbook_lib.connectors.registry import connector_names, find_procedure
from runbook_lib.core.model import RunOutcome
from runbook_lib.evidence.reports.tenant_status import ItemGroup, TenantStatus, what_now
from runbook_lib.operations.customer_list import CustomerList
from runbook_lib.operations.tenant_state import KnownTenant, status_of
from runbook_lib.run.advice import blockers_by_step, is_checkable, next_step, waits_for, what_to_do
from runbook_lib.run.state import RunState
from tests.support.run_states import MARKETING, SIGNS, state_of
from tests.support.wording import wording

TODAY = date(2026, 11, 24)
procedures = pytest.mark.parametrize("name", connector_names())


def numbered(state: RunState) -> str:
    """Return the number of what comes next, or nothing."""
    following = next_step(state, MARKETING)
    return following.step.number if following else ""


SCENARIOS = [
    ("", ""),
    # In the procedure's order.
    ("6 to do, 9 to do", "6"),
    # The review is not submitted: what the page saw by itself does not hide it.
    ("12 seen unclear, 12a to do, 21a to do", "12"),
    ("12 to do, 12a to do", "12"),
    # Business Verification takes weeks: what waits for it is not offered, all else is.
    ("5a waits, 5b to do, 6 to do", "6"),
    ("5a waits, 5b to do, 11b to do, 12 to do, 12a to do, 13 to do", "13"),
    ("5a waits, 5b to do, 11b to do, 12 to do, 12a to do, 21a to do", "5a"),
    ("5a seen waiting, 5b to do", "5a"),
    # The renewal holds up the review only while it is asked for.
    ("11b to do, 12 to do, 13 to do", "11b"),
    ("11b asked for, 12 to do, 13 to do", "11b"),
    ("11b attested, 12 to do, 12a to do", "12"),
    ("5a waits, 11b asked for, 12 to do, 13 to do", "13"),
    # Failed steps and those that wait for an attestation come first, then steps to do, then unclear
    # ones.
    ("2 to do, 8 in part", "8"),
    ("2 to do, 8 half", "8"),
    ("2 to do, 8 failed", "8"),
    ("5 in part, 8 failed", "5"),
    ("2 to do, 8 seen failed", "2"),
    ("8 seen failed, 9 failed", "9"),
    ("8 seen failed, 13 to do", "8"),
    ("6 unclear, 13 to do", "6"),
    ("6 to do, 13 unclear", "6"),
    ("6 unclear, 12 waits, 12a to do", "6"),
    ("12 waits, 12a to do, 21a to do", "12"),
    # A step that was checked in vain stays next: nothing after it can be started.
    ("5 unclear, 5a to do, 6 to do", "5"),
    ("9a unclear, 11 to do", "9a"),
    ("9a seen unclear, 11 to do", "9a"),
    ("9a left, 11 to do", "9a"),
    ("15 left, 16 to do, 16a to do", "15"),
    # An overtaken step comes last, but before a wait.
    ("9a left, 12 waits, 12a to do, 16a to do", "16a"),
    ("9a left, 12 waits, 12a to do", "9a"),
    ("9a unclear, 11 attested", "9a"),
    # Verified in part, skipped, attested: what follows can be started; a failure blocks it.
    ("7 in part, 8 failed", "7"),
    ("7 skipped, 8 to do", "8"),
    ("7 attested, 8 to do", "8"),
    ("7 failed, 8 failed", "7"),
    ("13 failed, 15 blocked, 16 blocked, 18 blocked", "13"),
    ("13 seen failed, 15 blocked, 16 blocked, 16a to do", "13"),
]


@pytest.mark.parametrize(("signs", "following"), SCENARIOS)
def test_next_is_the_first_that_can_be_started(signs: str, following: str) -> None:
    """Among the steps that can be started, those that need a person most come first."""
    assert numbered(state_of(signs)) == following


def status(state: RunState, day: date = TODAY) -> TenantStatus:
    """Return the state of a tenant whose journal gives this state of its steps."""
    following = next_step(state, MARKETING)
    known = KnownTenant(
        tenant="acme",
        procedure=MARKETING,
        state=state,
        next_id=following.step.id if following else "",
        customers=CustomerList(tenant="acme", procedure=MARKETING),
    )
    return status_of(known, datetime.combine(day, time(9), UTC))


def assert_same_act(state: RunState) -> None:
    """Compare the first line of `inbox` for a tenant with the next step of `status`."""
    following = next_step(state, MARKETING)
    found = status(state)
    if following is None:
        assert not found.items
        return
    (named,) = [item for item in found.items if item.is_next]
    assert named.places[0].id == following.step.id
    is_with_others = named.group is ItemGroup.WAITING and named.whom == "Facebook"
    assert named.advice == ("" if is_with_others else following.advice)
    first = found.items[0]
    # Failures come first, and a colleague's step is no start.
    assert first.is_next or first.is_failing or named.group is ItemGroup.WAITING
    starts = f"Start with acme: {first.title}." in what_now([found])
    assert starts is (first.group is ItemGroup.DUE_NOW)


@pytest.mark.parametrize("signs", [signs for signs, _ in SCENARIOS])
def test_inbox_and_status_name_the_same_act(signs: str) -> None:
    """Both name one step and one act; a wait for others is nothing to start with."""
    assert_same_act(state_of(signs))


@pytest.mark.parametrize("second", SIGNS)
@pytest.mark.parametrize("first", SIGNS)
def test_inbox_and_status_agree_on_any_two_steps(first: str, second: str) -> None:
    """For any states of two steps, both name the same one."""
    assert_same_act(state_of(f"8 {first}, 12 {second}"))


@pytest.mark.parametrize(
    ("days", "own", "act"),
    [
        (0, "Look, then ask.", wording("walkthrough.nothing-but-wait")),
        (1, "Look, then ask.", "Look, then ask."),
        (1, "", wording("advice.ask-the-party")),
    ],
)
def test_a_gate_that_is_late_has_an_act(days: int, own: str, act: str) -> None:
    """Later than its usual time a gate says what to look at and whom to ask, also in the inbox."""
    (gate,) = [step for step in state_of("12 waits").steps if step.number == "12"]
    late = structs.replace(gate, overdue_days=days)
    texts = replace(MARKETING.step(gate.id), overdue=own)

    assert what_to_do(late, texts).startswith(act)


def test_the_inbox_has_the_act_for_a_late_gate() -> None:
    """It is the same one; for a gate in its usual time there is none."""
    state = state_of("12 waits")
    for days in (0, 1):
        steps = tuple(
            structs.replace(step, overdue_days=days) if step.number == "12" else step
            for step in state.steps
        )
        late = structs.replace(state, steps=steps)
        following = next_step(late, MARKETING)
        assert following
        (item,) = status(late).items
        assert item.advice == (following.advice if days else "")
        assert late.outcome is RunOutcome.INCOMPLETE


@procedures
def test_each_gate_says_what_to_do_once_it_is_late(name: str) -> None:
    """Each step with a usual time has advice for the time after it."""
    for step in find_procedure(name).steps:
        assert bool(step.overdue) is bool(step.usual_days), step.id


def test_a_step_is_later_with_what_it_waits_for() -> None:
    """Only an untouched step is later, with the steps that block it."""
    signs = "5a waits, 5b to do, 11b to do, 12 to do, 12a to do, 21a unclear, 13 to do, 15 blocked"
    waits = blockers_by_step(state_of(signs), MARKETING)

    numbers = {MARKETING.numbers[step_id]: text for step_id, text in waits.items()}
    assert numbers == {
        "5b": "later: after 5a",
        "11b": "later: after 5a",
        "12": "later: after 5a, 11b",
        "12a": "later: after 12",
    }


@procedures
def test_steps_stand_behind_those_that_they_need(name: str) -> None:
    """Each step comes after earlier ones only, and after those whose failure blocks it."""
    procedure = find_procedure(name)
    earlier: dict[str, set[str]] = {}
    for step in procedure.steps:
        assert set(step.after) <= earlier.keys(), step.id
        earlier[step.id] = set(step.after).union(*(earlier[before] for before in step.after))
        assert set(step.requires) <= earlier[step.id], step.id


@procedures
@pytest.mark.parametrize("signs", SIGNS)
def test_somebody_is_always_named_while_something_is_open(name: str, signs: str) -> None:
    """For any states, the next step can be started; if all are done, nothing is next."""
    procedure = find_procedure(name)
    state = state_of("", rest=signs, procedure=procedure)
    following = next_step(state, procedure)
    is_done = all(step.is_settled for step in state.steps)

    # NOTE: a failure blocks a step, so not all can be blocked.
    assert (following is None) is (is_done or signs == "blocked")
    if following:
        assert waits_for(state, procedure.step(following.step.id)) == ()


def test_an_automatically_checked_step_is_to_do() -> None:
    """
    An open step that only the page checked is to do; an attestation or a check begins it.
    """
    looks = {
        number: state_of(f"8 {number}").step("fb-08-redirect-uri").is_untouched for number in SIGNS
    }
    to_do = {"to do", "seen unclear", "seen failed"}
    assert {number for number, is_so in looks.items() if is_so} == to_do

    said = state_of("8 seen failed").step("fb-08-redirect-uri")
    declined = structs.replace(said, by_person=True)
    assert not declined.is_untouched


def test_a_step_passed_because_of_a_fault_comes_again() -> None:
    """A passed step comes after the others, and then again."""
    state = state_of("5 unclear, 5a to do, 13 to do")
    step_id = next(name for name, number in MARKETING.numbers.items() if number == "5")
    passed = next_step(state, MARKETING, {step_id})

    assert passed is not None
    assert (passed.step.number, numbered(state)) == ("5a", "5")
    blocked = blockers_by_step(state, MARKETING, {step_id})
    assert "5a" not in {MARKETING.numbers[name] for name in blocked}
    last = next_step(state_of("5 unclear"), MARKETING, {step_id})
    assert last is not None
    assert last.step.number == "5"


def test_a_step_that_no_check_can_tell_is_only_confirmed() -> None:
    """A step that no check can tell is never to be repeated."""
    told = next_step(state_of("9a left, 11 to do, 12 to do"), MARKETING)

    assert told is not None
    assert told.advice.startswith(wording("advice.confirm-the-rest"))


def test_a_check_waits_for_the_steps_without_which_it_cannot_tell() -> None:
    """The console's Client ID can be read once the connector is installed, not before."""
    (step,) = [step for step in MARKETING.steps if MARKETING.numbers[step.id] == "15"]

    assert not is_checkable(state_of("15 to do, 17 to do"), step)
    assert is_checkable(state_of("15 to do"), step)
