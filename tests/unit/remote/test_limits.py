"""Limits are read from the settings; a deadline inside another one ends no later."""

from __future__ import annotations

import pytest

from runbook_lib.remote.limits import (
    CONNECT_TIMEOUT_SECONDS,
    Deadline,
    DeadlineExceededError,
    Limits,
    current_deadline,
    next_timeout,
    read_limits,
)


def test_settings_set_the_limits() -> None:
    """Each limit has a setting; without it, the default applies."""
    given = {"response_limit_kib": 1, "exchange_seconds": 2, "step_seconds": 3, "app_id": "4"}

    assert Limits.of(given) == Limits(response_limit_kib=1, exchange_seconds=2, step_seconds=3)
    assert Limits.of({"step_seconds": 3, "response_limit_kib": None}) == Limits(step_seconds=3)


def test_a_deadline_within_another_ends_no_later() -> None:
    """A deadline within another has its own time, but no more than the other has left."""
    now = 100.0

    def clock() -> float:
        return now

    step = Deadline(30, clock)
    short = step.within(10)
    long = step.within(60)
    assert (step.seconds_left, short.seconds_left, long.seconds_left) == (30, 10, 30)

    now = 125.0
    assert (step.seconds_left, short.seconds_left, step.within(10).seconds_left) == (5, 0, 5)


def test_a_call_has_its_own_time_and_no_more_than_the_exchange() -> None:
    """A call's time-out is what it asks for, but no more than the exchange has left."""
    now = 0.0
    with read_limits(Deadline(30, lambda: now), 1):
        assert [next_timeout(longest) for longest in (15, 60, None)] == [15, 30, 30]

        now = 30.0
        with pytest.raises(DeadlineExceededError):
            next_timeout(15)


def test_a_connection_ends_with_its_exchange() -> None:
    """The deadline is that of the exchange; outside of one it is the time for a connection."""
    deadline = Deadline(30)
    with read_limits(deadline, 1):
        assert current_deadline() is deadline

    assert current_deadline().seconds == CONNECT_TIMEOUT_SECONDS
