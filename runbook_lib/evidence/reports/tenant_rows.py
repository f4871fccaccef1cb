"""
The tenants as rows: how each stands, what is open, for whom, since when, last look, last seal.

Pure. A fleet's result, journals, a watch and the customers' accounts give the same rows; pages,
terminal and JUnit draw them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from statistics import median
from typing import Any
from urllib.parse import quote

from runbook_lib.core.model import Outcome, RunOutcome, WaitsFor
from runbook_lib.core.outcome import IN_PART, LABELS, OPEN, SETTLED
from runbook_lib.errors import ExitCode
from runbook_lib.evidence.fleet_result import FleetResult, Status, TenantResult
from runbook_lib.evidence.reports.phrases import day, days_between, listed, sealed_on
from runbook_lib.plain_text import counted

# From the fleet's own folder, `fleet/<run>/`, to the evidence folder.
_UP = "../.."
# The order of a tenant's lines, and of tenants by the outcome that looks the same.
_LINES = (*OPEN, Outcome.SKIPPED)
_WORST = (Outcome.FAILED, Outcome.INCONCLUSIVE, Outcome.WAITING, Outcome.NOT_RUN, *SETTLED)
WHOM: Mapping[str, str] = {
    WaitsFor.SECOND_PERSON: "a second person",
    WaitsFor.ANYBODY: "anybody",
    WaitsFor.OUTSIDE_PARTY: "an outside party",
}
LOOKS_LIKE: Mapping[RunOutcome | None, Outcome] = {
    RunOutcome.FAILED: Outcome.FAILED,
    RunOutcome.INCOMPLETE: Outcome.WAITING,
    RunOutcome.COMPLETE: Outcome.VERIFIED,
}
# As `remote` words it for every host; a record keeps nothing else of a request without an answer.
_SILENT = " could not be reached"
_LONGEST_HOST = 260


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRow:
    """
    A step of a tenant; `advice` is what to do, `days` for how long it waits, where known.

    It waits for `assigned_to`, else for `waits_for`, after `said_by` if somebody said it first.
    `ends_on` is the last day on which the word that settles it counts. `is_next` is whether
    `advice.next_step` names it for its tenant.
    """

    id: str
    outcome: Outcome
    needs_person: bool = False
    reason: str = ""
    advice: str = ""
    number: str = ""
    title: str = ""
    waits_for: str = ""
    assigned_to: str = ""
    said_by: str = ""
    since: str = ""
    days: int | None = None
    due: str = ""
    ends_on: str = ""
    overdue_days: int = 0
    usual_days: int = 0
    is_next: bool = False
    verified_on: str = ""
    """The day of the earlier check on which it rests; empty if it rests on none."""

    @property
    def is_with_others(self) -> bool:
        """Whether nobody here can do it: an outside party decides."""
        return not self.assigned_to and self.waits_for == WaitsFor.OUTSIDE_PARTY

    @property
    def whom(self) -> str:
        """Return for whom it waits."""
        after = f", after {self.said_by}," if self.said_by else ""
        return self.assigned_to or WHOM.get(self.waits_for, self.waits_for) + after

    @property
    def name(self) -> str:
        """Return number and title."""
        return f"{self.number} {self.title or self.id}".strip()

    @property
    def is_settled(self) -> bool:
        """Return whether nobody has to do anything about it; what is verified in part waits."""
        return self.outcome in SETTLED and not self.whom

    @property
    def text(self) -> str:
        """Return for whom it waits, and what to do or why, which comes first if it is not dated."""
        said = self.advice or self.reason
        reason = f"{IN_PART}: {said}" if self.needs_person and not self.advice else said
        lasted = "" if self.days is None else f" ({counted(self.days, 'day')})"
        phrases = [
            f"Waits for {self.whom}{f' since {day(self.since)}{lasted}' if self.since else ''}",
            *([f"due {day(self.due)}"] if self.due else []),
            *([f"usually up to {counted(self.usual_days, 'day')}"] if self.usual_days else []),
            *([f"{counted(self.overdue_days, 'day')} overdue"] if self.overdue_days else []),
        ]
        since = f"Since {day(self.since)}." if self.since else ""
        waits = f"{', '.join(phrases)}." if self.whom else since
        pair = (waits, reason) if self.since or self.due else (reason, waits)
        return " ".join(filter(None, pair))

    def document(self) -> dict[str, Any]:
        """Return the step for programs; what is not known is null."""
        return {
            "step": self.id,
            "number": self.number,
            "title": self.title,
            "outcome": self.outcome,
            "needs_person": self.needs_person,
            "reason": self.reason,
            "do": self.advice or None,
            "waits_for": self.waits_for or None,
            "assigned_to": self.assigned_to or None,
            "since": self.since or None,
            "due": self.due or None,
            "ends_on": self.ends_on or None,
            "overdue_days": self.overdue_days,
            "usual_days": self.usual_days or None,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantRow:
    """
    A connector of a tenant, or a customer's account; `word` says how it stands, for people.

    `done` of `total` steps are settled, where that is known.
    `outcome` is that of a step that looks the same. `problem` says why there is no evidence, or no
    newer look; `looked_on` is `None` where that cannot be read.
    """

    tenant: str
    connector: str
    word: str
    outcome: Outcome
    steps: Sequence[StepRow] = ()
    sandbox: bool = False
    status: Status = Status.SEALED
    problem: str = ""
    next_step: str = ""
    since: str = ""
    looked_on: str | None = ""
    sealed_on: str = ""
    seconds: float | None = None
    link: str = ""
    note: str = ""
    done: int = 0
    total: int = 0
    open: tuple[StepRow, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Note the steps that are not settled: next, what failed, what waits, what is open."""
        unsettled = sorted((step for step in self.steps if not step.is_settled), key=_urgency)
        object.__setattr__(self, "open", tuple(unsettled))

    @property
    def lines(self) -> list[tuple[StepRow, str]]:
        """Return what is open, with names: steps with the same text share a line."""
        together: dict[tuple[Any, ...], list[StepRow]] = {}
        for step in self.open:
            key = (step.outcome, step.needs_person, step.text)
            together.setdefault(key, []).append(step)
        return [
            (first, f"Steps {listed([step.number or step.id for step in (first, *rest)])}")
            if rest
            else (first, first.name)
            for first, *rest in together.values()
        ]

    @property
    def whom(self) -> str:
        """Return for whom it waits."""
        return listed(list(dict.fromkeys(step.whom for step in self.open if step.whom)))

    @property
    def waits_since(self) -> str:
        """Return since when it waits or is as it is, where that is known."""
        return self.since or min((step.since for step in self.open if step.since), default="")

    @property
    def overdue_days(self) -> int:
        """Return by how many days it is overdue."""
        return max((step.overdue_days for step in self.open), default=0)

    @property
    def summary(self) -> str:
        """Return why nothing was sealed or looked at, or else the worst of what is open."""
        if self.problem or not self.lines:
            return self.problem
        step, name = self.lines[0]
        return f"{name}: {step.text or LABELS[step.outcome]}"

    def document(self) -> dict[str, Any]:
        """Return the tenant for programs, with what is open; what is not known is null."""
        problem = {"problem": self.problem, "do": self.next_step or None} if self.problem else {}
        return {
            "tenant": self.tenant,
            "connector": self.connector,
            "sandbox": self.sandbox,
            "outcome": self.word,
            "done": self.done,
            "steps": self.total,
            "looked_on": self.looked_on or None,
            "sealed_on": self.sealed_on or None,
            "open": [step.document() for step in self.open],
            **problem,
        }

    @property
    def badness(self) -> tuple[Any, ...]:
        """Return the key by which tenants are sorted, the worst first."""
        return (
            _WORST.index(self.outcome) if self.outcome in _WORST else len(_WORST),
            -self.overdue_days,
            -sum(step.outcome is Outcome.FAILED for step in self.open),
            -max((step.days or 0 for step in self.open), default=0),
            self.tenant.casefold(),
            self.connector,
        )


def gates(rows: Iterable[TenantRow]) -> list[tuple[str, str, float, float, float, float]]:
    """
    Return the steps that tenants wait at since a known time, first that of most of them.

    Each has its name, how long as text, and places on a line in percent: the shortest wait, the
    longest, the median, and the usual days, 0 if not known. The line ends with the longest wait, or
    the usual days, of all gates.
    """
    waits: dict[tuple[str, str, str], list[StepRow]] = {}
    for row in rows:
        for step in row.open:
            if step.days is not None:
                waits.setdefault((row.connector, step.id, step.name), []).append(step)
    everything = [step for steps in waits.values() for step in steps]
    end = max((max(step.days or 0, step.usual_days) for step in everything), default=0) or 1
    lines = []
    for (_, _, name), steps in sorted(waits.items(), key=lambda pair: -len(pair[1])):
        days = [step.days or 0 for step in steps]
        low, high, middle = min(days), max(days), median(days)
        late, usual = sum(step.overdue_days > 0 for step in steps), steps[0].usual_days
        span = counted(high, "day") if low == high else f"{low:,} to {high:,} days"
        phrases = [
            f"{counted(len(days), 'tenant')}, {span}",
            *([f"median {counted(int(middle), 'day')}"] if len(days) > 2 and low < high else []),
            *([f"usually up to {counted(usual, 'day')}"] if usual else []),
            *([f"{late:,} overdue"] if late else []),
        ]
        places = [round(100 * number / end, 2) for number in (low, high, middle, usual)]
        lines.append((name, ", ".join(phrases), places[0], places[1], places[2], places[3]))
    return lines


def what_now(rows: Sequence[TenantRow], name: str = "tenant") -> str:
    """Return what to do now, in a sentence, after the hosts that did not answer."""
    texts = (text for row in rows for text in (row.problem, *(step.reason for step in row.open)))
    silent = Counter(host for text in texts for host in _silent_hosts(text))
    hosts = listed([host for host, _ in silent.most_common(3)])
    network = f"{hosts} could not be reached: check the network first. " if hosts else ""
    to_do = [row for row in rows if _is_to_do(row)]
    if to_do:
        many = counted(len(to_do), name)
        needs = "needs" if len(to_do) == 1 else "need"
        return f"{network}{many} {needs} you. {_where_to_start(to_do[0])}"
    waiting = sum(bool(row.open) or row.outcome is not Outcome.VERIFIED for row in rows)
    others = f": {counted(waiting, name)} can only wait" if waiting else ""
    return f"{network}There is nothing to do now{others}."


def _where_to_start(row: TenantRow) -> str:
    """Return which step of a tenant comes first, in a sentence; its row says what to do."""
    tenant = f"{row.tenant} ({row.word})"
    if row.problem or not row.open:
        return f"Start with {tenant}."
    step = row.open[0]
    late = f" ({counted(step.overdue_days, 'day')} overdue)" if step.overdue_days else ""
    if step.is_with_others:
        return f"{tenant} waits for an outside party: {step.name}{late}."
    return f"Start with {tenant}: {step.name}{late}."


def _silent_hosts(text: str) -> set[str]:
    """Return the hosts that could not be reached, as a text says."""
    before = (part[-_LONGEST_HOST:].split() for part in text.split(_SILENT)[:-1])
    return {words[-1] for words in before if words and {".", ":"} & {*words[-1]}}


def _is_to_do(row: TenantRow) -> bool:
    """Return whether somebody here can do something about it now."""
    if row.problem or row.outcome in (Outcome.FAILED, Outcome.INCONCLUSIVE):
        return True
    return any(step.overdue_days or (step.whom and not step.is_with_others) for step in row.open)


def fleet_rows(
    fleet: FleetResult, usual: Mapping[tuple[str, str], int] | None = None
) -> list[TenantRow]:
    """Return a row for each tenant, as recorded; `usual` are the usual days of each gate."""
    known = {
        (connector, step["id"]): (place, step["number"], step["title"])
        for connector, described in fleet.connectors.items()
        for place, step in enumerate(described["steps"])
    }
    until = str(fleet.finished_on)
    rows = []
    for result in fleet.results.values():
        steps = []
        for step in result.steps:
            key = (result.connector, step["id"])
            place, number, title = known.get(key, (len(known), "", ""))
            wait = step.get("wait")
            since = (wait.since or "") if wait else ""
            made = StepRow(
                id=step["id"],
                outcome=Outcome(step["outcome"]),
                needs_person=step["needs_person"],
                verified_on=step.get("verified_on", ""),
                reason=step["reason"],
                number=number,
                title=title,
                waits_for=wait.waits_for if wait else "",
                assigned_to=(wait.assigned_to or "") if wait else "",
                since=since,
                days=days_between(since, until),
                due=(wait.due or "") if wait else "",
                overdue_days=wait.overdue_days if wait else 0,
                usual_days=(usual or {}).get(key, 0),
            )
            steps.append((place, made))
        steps.sort(key=lambda pair: pair[0])
        rows.append(_fleet_row(result, [step for _, step in steps]))
    return rows


def _fleet_row(result: TenantResult, steps: Sequence[StepRow]) -> TenantRow:
    outcome = LOOKS_LIKE.get(result.outcome, Outcome.FAILED)
    word = str(result.outcome)
    if result.status is Status.PENDING:
        word, outcome = "not started", Outcome.NOT_RUN
    elif result.status is Status.NOT_RUN:
        word, outcome = "not run", Outcome.FAILED
    elif result.status is Status.UNSEALED:
        is_refused = result.exit_code == ExitCode.REFUSED
        word, outcome = "refused" if is_refused else "not sealed", Outcome.FAILED
    elif outcome is Outcome.VERIFIED and result.exit_code != ExitCode.COMPLETE:
        word, outcome = "not archived", Outcome.WAITING
    return TenantRow(
        tenant=result.tenant,
        connector=result.connector,
        word=word,
        outcome=outcome,
        steps=steps,
        sandbox=result.sandbox,
        status=result.status,
        problem=result.reason,
        next_step=result.next_step,
        looked_on=sealed_on(result.bundle or ""),
        sealed_on=sealed_on(result.bundle or ""),
        seconds=result.seconds,
        link=_link(result.bundle or ""),
    )


def _link(bundle: str) -> str:
    """Return the link to the report in a bundle, if there is one, relative to the page."""
    parts = PurePosixPath(bundle).parts
    if not parts or {"/", "..", "//"} & set(parts):
        return ""
    return quote("/".join((_UP, *parts, "report.html")), errors="replace")


def _urgency(step: StepRow) -> tuple[bool, int, int, int]:
    place = _LINES.index(step.outcome) if step.outcome in _LINES else len(_LINES)
    is_failed = step.outcome is Outcome.FAILED
    kind = 0 if is_failed else 1 if step.whom else 2
    return (not step.is_next, kind, -step.overdue_days, place)
