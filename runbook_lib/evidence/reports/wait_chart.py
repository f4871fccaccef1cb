"""
A picture of how long tenants have waited: for each step, how many have waited how many days.

Pure: waits in, a `WaitChart` out, which a template draws as SVG. Places
are percentages.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from runbook_lib.evidence.reports.fleet_tenants import NamedStep, StepWait
from runbook_lib.plain_text import counted

_MOST_COLUMNS = 50
_MOST_TICKS = 6
# Days of a column, and days from one time on the axis to the next.
_ROUND = (1, 2, 5, 7, 14, 30, 60, 90, 180, 365, 730, 1_825, 3_650)
_LEAST_HEIGHT = 6


@dataclass(frozen=True, slots=True)
class Tick:
    """A time on the axis, at `x` percent."""

    x: float
    text: str


@dataclass(frozen=True, slots=True)
class Column:
    """Tenants that have waited about as long; of its `height`, `overdue` is at the bottom."""

    x: float
    width: float
    height: float
    overdue: float
    text: str


@dataclass(frozen=True, slots=True)
class WaitRow:
    """A step that tenants wait at; `text` says the same in words."""

    step: NamedStep
    columns: tuple[Column, ...]
    text: str


@dataclass(frozen=True, slots=True)
class WaitChart:
    """The whole picture, with the step first that most tenants wait at."""

    rows: tuple[WaitRow, ...]
    ticks: tuple[Tick, ...]
    days: int

    @property
    def has_overdue(self) -> bool:
        """Return whether something is overdue."""
        return any(column.overdue for row in self.rows for column in row.columns)


def wait_chart(waits: Iterable[StepWait]) -> WaitChart | None:
    """Return the picture of these waits; `None` if none has a known time."""
    of_steps: dict[NamedStep, list[tuple[int, bool]]] = {}
    for wait in waits:
        if wait.days is not None:
            of_steps.setdefault(wait.step, []).append((wait.days, wait.overdue_days > 0))
    if not of_steps:
        return None
    longest = max(days for lasted in of_steps.values() for days, _ in lasted)
    width = _round_days(longest, _MOST_COLUMNS)
    end = (longest // width + 1) * width
    every = _round_days(end, _MOST_TICKS)
    ordered = sorted(of_steps.items(), key=lambda pair: -len(pair[1]))
    return WaitChart(
        rows=tuple(
            WaitRow(step, _columns(lasted, width, end), _text(lasted)) for step, lasted in ordered
        ),
        ticks=tuple(Tick(_percent(days, end), f"{days:,}") for days in range(0, end + 1, every)),
        days=width,
    )


def _round_days(days: int, most: int) -> int:
    """Return the smallest round number of days that fits into `days` at most `most` times."""
    return next((length for length in _ROUND if days / length < most), days)


def _columns(lasted: Sequence[tuple[int, bool]], width: int, end: int) -> tuple[Column, ...]:
    every = Counter(days // width for days, _ in lasted)
    late = Counter(days // width for days, is_overdue in lasted if is_overdue)
    most = max(every.values())
    return tuple(
        Column(
            x=_percent(place * width, end),
            width=_percent(width, end),
            height=round(max(100 * number / most, _LEAST_HEIGHT), 1),
            overdue=round(max(100 * number / most, _LEAST_HEIGHT) * late[place] / number, 1),
            text=_column_text(place * width, width, number, late[place]),
        )
        for place, number in sorted(every.items())
    )


def _column_text(first: int, width: int, number: int, late: int) -> str:
    """Return what a column means, in words."""
    span = counted(first, "day") if width == 1 else f"{first:,} to {first + width - 1:,} days"
    return f"{span}: {counted(number, 'tenant')}{f', {late:,} overdue' if late else ''}"


def _text(lasted: Sequence[tuple[int, bool]]) -> str:
    days = [count for count, _ in lasted]
    late = sum(is_overdue for _, is_overdue in lasted)
    first, last = min(days), max(days)
    span = counted(last, "day") if first == last else f"{first:,} to {last:,} days"
    is_spread = len(days) > 2 and first < last
    middle = f", median {counted(int(median(days)), 'day')}" if is_spread else ""
    overdue = f"; {late:,} overdue" if late else ""
    return f"{counted(len(days), 'tenant')}, {span}{middle}{overdue}"


def _percent(days: int, end: int) -> float:
    return round(100 * days / end, 2)
