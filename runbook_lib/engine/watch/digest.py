"""
Problems -> one digest for each receiver. Pure: nothing is asked, saved or sent here.

Problems with one cause are one entry with the tenants and steps that have it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import chain, takewhile
from typing import Any

from runbook_lib.core.clock import not_later, timestamp
from runbook_lib.engine.watch.problems import UNUSABLE_CHECK
from runbook_lib.engine.watch.watch_state import (
    Delivery,
    Digest,
    Notice,
    Problem,
    ProblemKind,
    WatchReceiver,
    has_passed,
    identify,
)
from runbook_lib.evidence.reports.phrases import day, with_times
from runbook_lib.evidence.reports.tenant_status import CUSTOMER_CAUSES, customers_title
from runbook_lib.text import list_some, one_line, pluralize

CUSTOMERS_CAUSE = "customers"
_DAY = timedelta(days=1)
_MAX_SUBJECT = 200
# The most tenants, places and reasons that an entry names, and the letters of an id.
_MAX_NAMES = 40
_MAX_REASONS = 3
_ID_LETTERS = 8
# The most problems of an entry in the document for programs: thousands of customers may be out.
_MAX_DOCUMENTS = 100


class ProblemPhase(StrEnum):
    """The reason why a problem is in a digest, in the order of its entries."""

    NEW = "new"
    """It was not reported before."""

    ENDED = "ended"
    """It has ended since it was reported."""

    FAILING = "still failing"
    """It lasts, and was reported on an earlier day."""


@dataclass(frozen=True, slots=True)
class WatchedView:
    """A tenant as a digest names it."""

    tenant: str
    """The tenant's name."""

    connector: str
    """The connector's id."""

    is_sandbox: bool
    """Whether it is practice in the sandbox."""


@dataclass(frozen=True, slots=True)
class DigestEntry:
    """Problems of one phase with one cause."""

    phase: ProblemPhase
    problems: Sequence[Problem]
    views: Mapping[str, WatchedView]

    @property
    def id(self) -> str:
        """The id by which people acknowledge it; of one problem it is the problem's."""
        ids = [problem.id for problem in self.problems]
        return ids[0] if len(ids) == 1 else identify(*sorted(ids))

    @property
    def first(self) -> Problem:
        """The problem that names the cause."""
        return self.problems[0]

    @property
    def tenants(self) -> list[str]:
        names = (self.views[problem.tenant].tenant for problem in self.problems)
        return list(dict.fromkeys(names))

    @property
    def urgency(self) -> tuple[object, ...]:
        """The sort key, by which `inbox` sorts its rows, too."""
        first = self.first
        most_places = max(Counter(problem.tenant for problem in self.problems).values())
        return (
            self.phase is ProblemPhase.ENDED,
            [*ProblemKind].index(first.kind),
            first.check != UNUSABLE_CHECK,
            -most_places,
            min(problem.since for problem in self.problems),
            first.title,
        )

    @property
    def whose(self) -> str:
        """The tenant, or how many there are."""
        tenants = self.tenants
        return tenants[0] if len(tenants) == 1 else pluralize(len(tenants), "tenant")

    @property
    def title(self) -> str:
        """The problem in one line."""
        # NOTE: tenants of one console have the same customers.
        number = len({problem.check for problem in self.problems})
        if self.first.cause in CUSTOMER_CAUSES and number > 1:
            return customers_title(self.first.cause, number=number)
        return self.first.title

    @property
    def advice(self) -> str:
        """The advice for a person; advice that names no step of the entry comes first."""
        places = [problem.place for problem in self.problems if problem.place]
        others = (p.advice for p in self.problems if not any(place in p.advice for place in places))
        return next(filter(None, others), self.first.advice)

    @property
    def label(self) -> str:
        """The development of the problem, in words."""
        if self.phase is not ProblemPhase.NEW:
            return "over" if self.phase is ProblemPhase.ENDED else "still failing"
        if self.first.kind is ProblemKind.DUE:
            return f"due {day(self.first.due)}"
        return "changed" if self.first.kind is ProblemKind.CHANGED else "new"

    @property
    def headline(self) -> str:
        """The tenant and the problem, for a subject."""
        mark = "" if self.phase is ProblemPhase.NEW else f"{self.label}: "
        after = f", {self.label}" if self.first.kind is ProblemKind.DUE else ""
        if self.first.kind is ProblemKind.CHANGED and self.advice:
            after = f". {self.advice.rstrip('.')}"
        return f"{self.whose}: {mark}{self.title}{after}"

    @property
    def documents(self) -> list[dict[str, Any]]:
        """The problems for programs."""
        return [problem_document(problem, self.views[problem.tenant]) for problem in self.problems]

    def lines(self) -> Iterator[str]:
        """Yield the lines below the title."""
        first = self.first
        if self.phase is ProblemPhase.ENDED:
            yield f"Since {first.since} UTC, over since {first.ended_on} UTC: {first.end_reason}"
        else:
            for reason in list(dict.fromkeys(p.reason for p in self.problems))[:_MAX_REASONS]:
                yield f"Since {first.since} UTC: {reason}"
            if first.was:
                yield f"Before: {first.was}. Now: {first.now}."
            if first.impact:
                yield f"This breaks: {first.impact}"
        yield from self._names()
        if self.phase is not ProblemPhase.ENDED and self.advice:
            yield f"What to do: {self.advice}"
        yield from dict.fromkeys(filter(None, map(known_to, self.problems)))
        if self.phase is not ProblemPhase.ENDED and first.kind is ProblemKind.FAILED:
            yield f"To stop reminders: runbook watch --ack {self.id[:_ID_LETTERS]} --by NAME"

    def _names(self) -> Iterator[str]:
        places = sorted({p.place for p in self.problems if p.place}, key=_in_order)
        what = "Customers" if self.first.cause.startswith(CUSTOMERS_CAUSE) else "Steps"
        if places and (len(places) > 1 or places[0] != self.title):
            yield f"{what}: {list_some(places, _MAX_NAMES)}"
        if len(self.tenants) > 1:
            yield f"Tenants: {list_some(self.tenants, _MAX_NAMES)}"


def _in_order(place: str) -> tuple[int, str]:
    """Return a key that sorts `4a Step` before `12 Step`."""
    digits = "".join(takewhile(str.isdecimal, place))
    return int(digits or 0), place


def digest_entries(
    phase: ProblemPhase, problems: Iterable[Problem], views: Mapping[str, WatchedView]
) -> list[DigestEntry]:
    """Return an entry for each cause, what lasts before the news."""
    causes: dict[tuple[bool, str], list[Problem]] = defaultdict(list)
    for problem in problems:
        is_sandbox = views[problem.tenant].is_sandbox
        causes[is_sandbox, problem.cause].append(problem)
    for alike in causes.values():
        alike.sort(key=_weight)
    digest_entries = [DigestEntry(phase, alike, views) for alike in causes.values()]
    return sorted(digest_entries, key=lambda entry: entry.urgency)


def _weight(problem: Problem) -> tuple[object, ...]:
    """
    Return a key that sorts the problem that names the cause before the others.

    Failed checks come before checks that could not tell because of it. Among equals the first step
    names a problem, and the last one news, since it concludes the others.
    """
    number, place = _in_order(problem.place)
    return (
        [*ProblemKind].index(problem.kind),
        problem.now != "failed",
        -len(problem.now),
        number if problem.kind.lasts else -number,
        place,
    )


def known_to(problem: Problem) -> str:
    """
    Return the person who acknowledged a problem, since when, until when and why; empty for nobody.
    """
    if not problem.acknowledged_by:
        return ""
    until = f" until {problem.acknowledged_until}" if problem.acknowledged_until else ""
    note = f": {problem.note}" if problem.note else ""
    since = problem.acknowledged_on
    return with_times(f"{problem.acknowledged_by} has known since {since} UTC{until}{note}")


def due_problems(
    receiver: WatchReceiver,
    problems: Iterable[Problem],
    deliveries: Mapping[str, Delivery],
    now: datetime,
) -> dict[ProblemPhase, list[Problem]]:
    """Return the problems to report to a receiver now; a lasting failure is repeated once a day."""
    due_problems: dict[ProblemPhase, list[Problem]] = defaultdict(list)
    is_day_over = False
    first_on = not_later(receiver.first_on, timestamp(now - _DAY))
    for problem in problems:
        delivery = deliveries.get(problem.id)
        if delivery is None:
            is_news = not problem.kind.lasts and problem.on >= first_on
            if problem.is_open or is_news:
                due_problems[ProblemPhase.NEW].append(problem)
        elif problem.ended_on:
            if not (delivery.is_end_reported or problem.is_superseded):
                due_problems[ProblemPhase.ENDED].append(problem)
        elif problem.kind is ProblemKind.FAILED and not problem.is_acknowledged(now):
            due_problems[ProblemPhase.FAILING].append(problem)
            is_day_over |= has_passed(_DAY, delivery.reported_on, now)
    if not is_day_over:
        due_problems.pop(ProblemPhase.FAILING, None)
    return due_problems


def compose_digest(
    receiver: WatchReceiver,
    problems: Sequence[Problem],
    views: Mapping[str, WatchedView],
    deliveries: Mapping[str, Delivery],
    now: datetime,
    *,
    notices: Sequence[Notice] = (),
) -> Digest | None:
    """
    Return the digest that a receiver gets now; `None` for nothing.

    `views` are the receiver's own tenants, `problems` their problems. The first digest lists the
    watched tenants; the `notices` come first.
    """
    due = due_problems(receiver, problems, deliveries, now)
    now_due = list(chain.from_iterable(due.values()))
    is_first = not receiver.introduced_on
    if not (is_first or now_due):
        return None
    shown = [
        entry
        for phase in ProblemPhase
        for entry in digest_entries(phase, due.get(phase, ()), views)
    ]
    on = timestamp(now)
    reported = {
        problem.id: entry.id
        for entry in shown
        if entry.phase is not ProblemPhase.ENDED
        for problem in entry.problems
    }
    ended = [problem.id for problem in due.get(ProblemPhase.ENDED, ())]
    tenants = sorted(views if is_first else {problem.tenant for problem in now_due})
    is_sandbox = any(views[key].is_sandbox for key in tenants)
    subject = _subject(shown, len(views))
    lines = [notice.text for notice in notices]
    if is_first:
        lines.append(_introduction(views, has_problems=bool(shown)))
    phase = None
    for entry in shown:
        if entry.phase is not phase:
            phase = entry.phase
            lines += ["", f"{phase.value.upper()}"]
        lines += ["", f"{entry.whose}: {entry.title} ({entry.label})"]
        lines += [f"  {with_times(line)}" for line in entry.lines()]
    thread = [deliveries[ident].digest for ident in ended if deliveries[ident].digest]
    return Digest(
        id=identify(receiver.receiver, on, *reported, *ended),
        receiver=receiver.receiver,
        subject=one_line(f"{'SANDBOX ' if is_sandbox else ''}{subject}")[:_MAX_SUBJECT],
        text="\n".join(one_line(line) for line in lines).strip(),
        created_on=on,
        tenants=tenants,
        document={
            "kind": "digest",
            "sandbox": is_sandbox,
            "notices": [notice.text for notice in notices],
            "watched": sorted(view.tenant for view in views.values()) if is_first else [],
            "problems": [
                {**document, "phase": entry.phase.value}
                for entry in shown
                for document in entry.documents[:_MAX_DOCUMENTS]
            ],
            "more": sum(max(len(entry.problems) - _MAX_DOCUMENTS, 0) for entry in shown),
        },
        thread=list(dict.fromkeys(thread)),
        person=now_due[0].person if now_due else "",
        reported=reported,
        ended=ended,
    )


def accepted_deliveries(
    digest: Digest, deliveries: Mapping[str, Delivery], now: datetime
) -> list[Delivery]:
    """Return a delivery for each problem, now that the receiver accepted the digest."""
    accepted = []
    for ident in (*digest.reported, *digest.ended):
        before = deliveries.get(ident)
        accepted.append(
            Delivery(
                problem=ident,
                receiver=digest.receiver,
                reported_on=timestamp(now),
                digest=(before and before.digest) or digest.id,
                entry=digest.reported.get(ident, ""),
                is_end_reported=ident in digest.ended,
            )
        )
    return accepted


def problem_document(problem: Problem, view: WatchedView) -> dict[str, Any]:
    """Return a problem for programs, with its tenant and its acknowledgement."""
    kind = str(problem.kind)
    if problem.ended_on:
        kind = "recovered" if problem.kind is ProblemKind.FAILED else "outage_over"
    known = None
    if problem.acknowledged_by:
        known = {
            "by": problem.acknowledged_by,
            "on": problem.acknowledged_on,
            "until": problem.acknowledged_until,
            "note": problem.note,
        }
    return {
        "id": problem.id,
        "tenant": view.tenant,
        "connector": view.connector,
        "sandbox": view.is_sandbox,
        "kind": kind,
        "step": problem.step,
        "check": problem.check,
        "code": problem.code,
        "title": problem.title,
        "place": problem.place,
        "was": problem.was,
        "now": problem.now,
        "reason": problem.end_reason if problem.ended_on else problem.reason,
        "impact": problem.impact,
        "advice": "" if problem.ended_on else problem.advice,
        "since": problem.since,
        "due": problem.due or None,
        "on": problem.ended_on or problem.on,
        "person": problem.person,
        "acknowledged": known,
    }


def _subject(shown: Sequence[DigestEntry], watched: int) -> str:
    if not shown:
        return f"Watching {pluralize(watched, 'tenant')}: nothing fails"
    more = f" (and {len(shown) - 1:,} more)" if len(shown) > 1 else ""
    # NOTE: the number of others is never cut off.
    first = min(shown, key=lambda entry: entry.urgency)
    return f"{first.headline[: _MAX_SUBJECT - 30]}{more}"


def _introduction(views: Mapping[str, WatchedView], *, has_problems: bool) -> str:
    names = [view.tenant for view in views.values()]
    state = "These need people now:" if has_problems else "Nothing fails."
    many = pluralize(len(names), "tenant")
    return f"The watch checks {many}: {list_some(names, _MAX_NAMES)}. {state}"
