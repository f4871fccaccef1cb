"""Forecast: where each decision of others stands, and by when it usually falls."""

from __future__ import annotations

import pytest
from msgspec import structs

from runbook_lib.run.forecast import ExternalDecision, Forecast, make_forecast
from runbook_lib.run.state import RunState, StepState
from tests.support.procedures import plain_procedure
from tests.support.run_states import MARKETING, state_of
from tests.support.wording import wording

TODAY = "2026-12-01"


def with_step(state: RunState, number: str, **more: object) -> RunState:
    """Return the state with other fields of the step with this number."""

    def changed(step: StepState) -> StepState:
        return structs.replace(step, **more) if step.number == number else step

    return structs.replace(state, steps=tuple(map(changed, state.steps)))


def state_on(signs: str, days: dict[str, str]) -> RunState:
    """Return the state in which steps are so, with the day of a wait's begin or of a check."""
    state = state_of(signs)
    for number, day in days.items():
        moment = f"{day}T12:00:00.000000Z"
        state = with_step(state, number, waiting_since=moment, checked_on=moment)
    return state


def forecast_on(state: RunState, today: str = TODAY) -> Forecast:
    """Return the forecast for this day."""
    forecast = make_forecast(state, MARKETING, today)
    assert forecast is not None
    return forecast


def forecast_of(signs: str, days: dict[str, str]) -> Forecast:
    """Return the forecast of steps that are so."""
    return forecast_on(state_on(signs, days))


@pytest.mark.parametrize(
    ("signs", "days", "expected"),
    [
        # No step is begun: each begins after the decisions before it, and takes its usual time.
        (
            "5a to do, 5b to do, 11b to do, 12 to do",
            {},
            {
                "5a": ("ahead", "2026-12-01", "2026-12-22", ()),
                "5b": ("ahead", "2026-12-22", "2026-12-27", ("5a",)),
                "11b": ("ahead", "2026-12-22", "2027-01-12", ("5a",)),
                "12": ("ahead", "2027-01-12", "2027-02-03", ("5a", "11b")),
            },
        ),
        # A wait began on its day; two run can_start_now each other, and the last after the longer
        # one.
        (
            "5b waits, 11b waits, 12 to do",
            {"5a": "2026-11-20", "5b": "2026-11-29", "11b": "2026-11-25"},
            {
                "5a": ("done", "2026-11-20", "2026-11-20", ()),
                "5b": ("waiting", "2026-11-29", "2026-12-04", ()),
                "11b": ("waiting", "2026-11-25", "2026-12-16", ()),
                "12": ("ahead", "2026-12-16", "2027-01-07", ("11b",)),
            },
        ),
        # An overdue decision is expected each day: later ones begin today at the earliest.
        (
            "5a waits, 5b to do",
            {"5a": "2026-10-01", "11b": "2026-11-01", "12": "2026-11-02"},
            {
                "5a": ("waiting", "2026-10-01", "2026-10-22", ()),
                "5b": ("ahead", "2026-12-01", "2026-12-06", ("5a",)),
                "11b": ("done", "2026-11-01", "2026-11-01", ()),
                "12": ("done", "2026-11-02", "2026-11-02", ()),
            },
        ),
        # A day that was named wins over the usual time; a refusal begins again.
        (
            "11b asked for, 12 failed",
            {"5a": "2026-11-01", "5b": "2026-11-02", "11b": "2026-11-25"},
            {
                "5a": ("done", "2026-11-01", "2026-11-01", ()),
                "5b": ("done", "2026-11-02", "2026-11-02", ()),
                "11b": ("waiting", "2026-11-25", "2026-12-24", ()),
                "12": ("ahead", "2026-12-24", "2027-01-15", ("11b",)),
            },
        ),
        # A decision that is verified in part is made: nobody begins it now.
        (
            "5a in part, 5b to do",
            {"5a": "2026-11-20", "11b": "2026-11-01", "12": "2026-11-02"},
            {
                "5a": ("done", "2026-11-20", "2026-11-20", ()),
                "5b": ("ahead", "2026-12-01", "2026-12-06", ()),
                "11b": ("done", "2026-11-01", "2026-11-01", ()),
                "12": ("done", "2026-11-02", "2026-11-02", ()),
            },
        ),
        # A second person's word is no decision of others; what a person skipped is settled.
        (
            "5a half, 5b skipped, 12 verified",
            {"5b": "2026-11-02", "11b": "2026-11-03", "12": "2026-11-04"},
            {
                "5a": ("ahead", "2026-12-01", "2026-12-22", ()),
                "5b": ("done", "2026-11-02", "2026-11-02", ()),
                "11b": ("done", "2026-11-03", "2026-11-03", ()),
                "12": ("done", "2026-11-04", "2026-11-04", ()),
            },
        ),
    ],
)
def test_each_decision_has_its_days(
    signs: str, days: dict[str, str], expected: dict[str, tuple[str, str, str, tuple[str, ...]]]
) -> None:
    """Days of what is done or waits are from the journal, usual ones from the steps."""
    decisions = forecast_of(signs, days).decisions

    found = {
        decision.number: (decision.stage, decision.begins, decision.ends, decision.after)
        for decision in decisions
    }
    assert found == expected


ALL_MADE = wording("screens.decisions-all-made", count=4)


def decisions_made(number: int) -> str:
    return wording("screens.decisions-made", number=number, count=4)


@pytest.mark.parametrize(
    ("signs", "message", "end", "can_start_now"),
    [
        ("", ALL_MADE, "", ()),
        ("9 to do", ALL_MADE, "", ()),
        ("12 waits, 9 to do, 13 to do, 12a to do", decisions_made(3), "2026-12-22", ("9", "13")),
        ("5a to do, 5b to do, 1 to do", decisions_made(2), "2026-12-27", ("1",)),
    ],
)
def test_the_forecast_says_how_far_it_is(
    signs: str, message: str, end: str, can_start_now: tuple[str, ...]
) -> None:
    """It has the number of made decisions, the usual end, and the steps to do meanwhile."""
    forecast = forecast_of(signs, {"12": "2026-11-30"})

    assert forecast.message == message
    assert (forecast.end, forecast.can_start_now) == (end, can_start_now)


def test_a_procedure_without_gates_has_no_forecast() -> None:
    """A procedure without gates has none; without a day there is one without days."""
    assert make_forecast(state_of(""), plain_procedure(), TODAY) is None
    dayless = forecast_on(state_on("5a to do", {}), today="")
    assert (dayless.decisions[0].begins, dayless.decisions[0].ends) == ("", "")


@pytest.mark.parametrize(
    ("stage", "ends", "is_late"),
    [
        ("waiting", "2026-11-30", True),
        ("waiting", TODAY, False),
        ("waiting", "", False),
        ("ahead", "2026-11-30", False),
        ("done", "2026-11-30", False),
    ],
)
def test_a_wait_is_late_after_its_last_day(stage: str, ends: str, is_late: bool) -> None:
    """Only a wait can be late, from the day after the one by which it usually ends."""
    decision = ExternalDecision(
        step="a", number="1", title="A", stage=stage, begins="", ends=ends, after=()
    )  # type: ignore[arg-type]
    assert decision.is_late(TODAY) is is_late


def test_a_day_at_the_end_of_time_ends_no_calculation() -> None:
    """A decision after the last possible day ends on that day."""
    state = state_on("11b asked for, 12 to do", {"5a": TODAY})
    forecast = forecast_on(with_step(state, "11b", due="9999-12-31"))

    decisions = {decision.number: decision for decision in forecast.decisions}
    assert (decisions["11b"].ends, decisions["12"].begins, decisions["12"].ends) == (
        "9999-12-31",
        "9999-12-31",
        "9999-12-31",
    )


def test_a_named_day_that_is_over_is_no_forecast() -> None:
    """A decision ahead whose named day is over is expected after the usual time."""
    state = state_on("5a waits, 12 to do", {"5a": "2026-11-30", "5b": "2026-11-02"})
    forecast = forecast_on(with_step(state, "12", due="2026-11-22"))

    decision = next(decision for decision in forecast.decisions if decision.number == "12")
    assert decision.begins <= decision.ends
    assert decision.ends == "2027-01-12"
