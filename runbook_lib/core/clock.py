"""The clock, and times as the runbook writes them."""

from __future__ import annotations

from datetime import UTC, datetime


def utc_now() -> datetime:
    """Return the current time in UTC; the only clock, which tests replace."""
    return datetime.now(UTC)


def timestamp(moment: datetime) -> str:
    """Return `moment` (in UTC) as RFC 3339 with milliseconds and `Z`."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def not_later(kept: str, now: str) -> str:
    """Return a kept time, or now if it is missing or its clock was ahead."""
    return min(kept or now, now)
