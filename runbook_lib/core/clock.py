"""The clock, and times as the runbook writes them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta


def utc_now() -> datetime:
    """Return the current time in UTC; the only clock, which tests replace."""
    return datetime.now(UTC)


def timestamp(moment: datetime) -> str:
    """Return `moment` (in UTC) as RFC 3339 with milliseconds and `Z`."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def not_later(kept: str, now: str) -> str:
    """Return a kept time, or now if it is missing or its clock was ahead."""
    return min(kept or now, now)


def days_after(moment: str, days: int) -> str:
    """Return the day that is `days` after `moment`."""
    day = datetime.fromisoformat(moment).date()
    return (day + min(timedelta(days), date.max - day)).isoformat()


def days_between(moment: str, day: str) -> int:
    """Return the number of days from `moment` to `day`."""
    return (date.fromisoformat(day) - datetime.fromisoformat(moment).date()).days
