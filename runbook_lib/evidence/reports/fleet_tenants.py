"""
The tenants of a fleet as the rows of its page: how each stands, and what waits for whom.

Pure: a fleet's record in, rows out, the worst first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from itertools import groupby
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

from runbook_lib.core.model import Outcome, RunOutcome
from runbook_lib.core.outcome import IN_PART, LABELS, LOOKS, OPEN, SETTLED, OutcomeView
from runbook_lib.errors import ExitCode
from runbook_lib.evidence.fleet_record import FleetRecord, Status, TenantResult
from runbook_lib.evidence.reports.phrases import day, days_between, listed
from runbook_lib.plain_text import counted

# From the fleet's own folder, `fleet/<run>/`, to the evidence folder.
_UP = "../.."
# The order of a tenant's lines; what waits comes after what failed.
_LINES = (*OPEN, Outcome.SKIPPED)
_WHOM = {
    "second_person": "a second person",
    "anybody": "anybody",
    "outside_party": "an outside party",
}


class TenantStatus(StrEnum):
    """How a tenant stands, in the words that people read, the worst first."""

    FAILED = "failed"
    UNSEALED = "not sealed"
    REFUSED = "refused"
    INCOMPLETE = "incomplete"
    NOT_ARCHIVED = "not archived"
    PENDING = "not started"
    COMPLETE = "complete"

    @property
    def outcome(self) -> Outcome:
        """Return the outcome of a step that looks the same."""
        return _LOOKS.get(self, Outcome.FAILED)


_LOOKS = {
    TenantStatus.INCOMPLETE: Outcome.WAITING,
    TenantStatus.NOT_ARCHIVED: Outcome.WAITING,
    TenantStatus.PENDING: Outcome.NOT_RUN,
    TenantStatus.COMPLETE: Outcome.VERIFIED,
}
# What failed and what was not sealed are equally bad.
_RANKS = {standing: max(rank, 1) for rank, standing in enumerate(TenantStatus)}


@dataclass(frozen=True, slots=True)
class NamedStep:
    """A step of a connector, as people know it; `place` counts the steps of all connectors."""

    place: int
    connector: str
    number: str
    title: str

    @property
    def name(self) -> str:
        """Return number and title."""
        return f"{self.number} {self.title}".strip()


@dataclass(frozen=True, slots=True)
class StepWait:
    """For whom a step waits, and since when; `days` is `None` where that is unknown."""

    step: NamedStep
    whom: str
    since: str
    days: int | None
    due: str
    overdue_days: int

    @property
    def text(self) -> str:
        """Return it in words."""
        lasted = "" if self.days is None else f" ({counted(self.days, 'day')})"
        phrases = [
            f"Waits for {self.whom}{f' since {day(self.since)}{lasted}' if self.since else ''}",
            *([f"due {day(self.due)}"] if self.due else []),
            *([f"{counted(self.overdue_days, 'day')} overdue"] if self.overdue_days else []),
        ]
        return ", ".join(phrases)


@dataclass(frozen=True, slots=True)
class Line:
    """Steps with the same outcome and reason; one that waits has a line of its own."""

    look: OutcomeView
    steps: tuple[NamedStep, ...]
    reason: str
    wait: StepWait | None

    @property
    def outcome(self) -> Outcome:
        """Return the outcome of its steps."""
        return self.look.outcome

    @property
    def is_settled(self) -> bool:
        """Return whether nobody has to do anything about it; what is verified in part waits."""
        return self.outcome in SETTLED and self.wait is None

    @property
    def name(self) -> str:
        """Return which steps these are: one by its title, several by their numbers."""
        if len(self.steps) == 1:
            return self.steps[0].name
        return f"Steps {listed([step.number or step.title for step in self.steps])}"

    @property
    def text(self) -> str:
        """Return for whom they wait, and the reason, which comes first where nobody is named."""
        waits = f"{self.wait.text}." if self.wait else ""
        is_named = self.wait is not None and (self.wait.since or self.wait.due)
        return " ".join(filter(None, (waits, self.reason) if is_named else (self.reason, waits)))


@dataclass(frozen=True)
class TenantRow:
    """A tenant of a fleet, with the looks of its steps, in order; `lines` say what is open."""

    result: TenantResult
    looks: tuple[OutcomeView, ...]
    lines: tuple[Line, ...]

    @cached_property
    def standing(self) -> TenantStatus:
        """Return how it stands."""
        result = self.result
        if result.status is Status.SEALED:
            is_complete = result.outcome == RunOutcome.COMPLETE
            is_kept = not is_complete or result.exit_code == ExitCode.COMPLETE
            return TenantStatus(str(result.outcome)) if is_kept else TenantStatus.NOT_ARCHIVED
        if result.status is Status.UNSEALED:
            is_refused = result.exit_code == ExitCode.REFUSED
            return TenantStatus.REFUSED if is_refused else TenantStatus.UNSEALED
        return TenantStatus.PENDING

    @cached_property
    def waits(self) -> list[StepWait]:
        """Return the waits of its steps."""
        return [line.wait for line in self.lines if line.wait]

    @cached_property
    def overdue_days(self) -> int:
        """Return by how many days it is overdue."""
        return max((wait.overdue_days for wait in self.waits), default=0)

    @cached_property
    def longest_wait(self) -> int | None:
        """Return the days of its longest wait, if one is known."""
        return max((wait.days for wait in self.waits if wait.days is not None), default=None)

    @cached_property
    def failed(self) -> int:
        """Return how many steps failed."""
        return sum(look.outcome is Outcome.FAILED for look in self.looks)

    @property
    def open_lines(self) -> list[Line]:
        """Return the lines of what is not settled."""
        return [line for line in self.lines if not line.is_settled]

    @property
    def open_steps(self) -> list[int]:
        """Return the places of its steps that are not settled."""
        return [step.place for line in self.open_lines for step in line.steps]

    @property
    def segments(self) -> tuple[tuple[OutcomeView, int], ...]:
        """Return each look with the number of successive steps that have it."""
        return tuple((look, len(list(same))) for look, same in groupby(self.looks))

    @property
    def counts(self) -> str:
        """Return how many steps have each outcome, in words."""
        count = Counter(self.looks)
        return listed([f"{count[look]} {look.label}" for look in LOOKS if count[look]])

    @property
    def summary(self) -> str:
        """Return why nothing was sealed, or else the worst of what is open."""
        if self.result.reason:
            return self.result.reason
        first = next(iter(self.open_lines), None)
        return f"{first.name}: {first.text or LABELS[first.outcome]}" if first else ""

    @property
    def link(self) -> str:
        """Return the link to the report in its bundle, if there is one, relative to the page."""
        parts = PurePosixPath(self.result.bundle or "").parts
        if not parts or {"/", "..", "//"} & set(parts):
            return ""
        return quote("/".join((_UP, *parts, "report.html")), errors="replace")


def named_steps(record: FleetRecord) -> dict[tuple[str, str], NamedStep]:
    """Return each step of the connectors, by connector and id, with those only in a result last."""
    known = {
        (connector, step["id"]): (step["number"], step["title"])
        for connector, described in record.connectors.items()
        for step in described["steps"]
    }
    for result in record.results.values():
        for step in result.steps:
            known.setdefault((result.connector, step["id"]), ("", step["id"]))
    return {
        key: NamedStep(place, key[0], *names) for place, (key, names) in enumerate(known.items())
    }


def tenant_rows(
    record: FleetRecord, named: Mapping[tuple[str, str], NamedStep], *, until: str
) -> list[TenantRow]:
    """Return a row for each tenant, the worst first; waits last until the time `until`."""
    rows = []
    for result in record.results.values():
        pairs = [(named[result.connector, step["id"]], step) for step in result.steps]
        pairs.sort(key=lambda pair: pair[0].place)
        looks = tuple(_look(step) for _, step in pairs)
        rows.append(TenantRow(result, looks, tuple(_lines(pairs, until))))
    return sorted(rows, key=_badness)


def _look(step: Mapping[str, Any]) -> OutcomeView:
    return OutcomeView(Outcome(step["outcome"]), step["needs_person"])


def _lines(pairs: Sequence[tuple[NamedStep, Mapping[str, Any]]], until: str) -> list[Line]:
    """Return the lines of a tenant, what is open first."""
    together: dict[tuple[OutcomeView, str, StepWait | None], list[NamedStep]] = {}
    for named, step in pairs:
        look = _look(step)
        reason = f"{IN_PART}: {step['reason']}" if look.is_in_part else step["reason"]
        reason = "" if look.outcome in SETTLED and not look.is_in_part else reason
        wait = None
        if "wait" in step:
            waits = step["wait"]
            whom = waits["assigned_to"] or _WHOM.get(waits["for"], waits["for"])
            since = waits["since"] or ""
            days = days_between(since, until)
            due = waits["due"] or ""
            wait = StepWait(named, whom, since, days, due, waits["overdue_days"])
        together.setdefault((look, reason, wait), []).append(named)
    lines = [Line(key[0], tuple(steps), key[1], key[2]) for key, steps in together.items()]
    return sorted(lines, key=_urgency)


def _urgency(line: Line) -> tuple[int, int, int]:
    """Return the key by which lines are sorted: what failed, what waits, what is open."""
    late = line.wait.overdue_days if line.wait else 0
    place = _LINES.index(line.outcome) if line.outcome in _LINES else len(_LINES)
    return (0 if line.outcome is Outcome.FAILED else 1 if line.wait else 2, -late, place)


def _badness(row: TenantRow) -> tuple[Any, ...]:
    """Return the key by which tenants are sorted."""
    return (
        _RANKS[row.standing],
        -row.overdue_days,
        -row.failed,
        -(row.longest_wait or 0),
        row.result.tenant.casefold(),
        row.result.connector,
    )
