"""
A receiver's open items against what was reported to it -> its rows and its digest. Pure.

The rows are those of `inbox`, with the same words, changed ones first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from runbook_lib.core.clock import not_later, timestamp
from runbook_lib.core.model import Outcome
from runbook_lib.core.outcome import ICONS
from runbook_lib.evidence.reports.phrases import day, with_times
from runbook_lib.evidence.reports.tenant_status import CauseRow, TenantStatus, cause_rows
from runbook_lib.operations.watch.saved_items import items_by_place
from runbook_lib.operations.watch.watch_state import (
    OVER,
    Delivery,
    Digest,
    Notice,
    SavedItem,
    WatchReceiver,
    has_passed,
)
from runbook_lib.text import identify, one_line

_DAY = timedelta(days=1)
_WEEK = timedelta(days=7)
_MAX_SUBJECT = 200
_MAX_ROWS = 10
_MAX_REASONS = 3
_HOW_TO_LIST = "To see all: runbook inbox"


class Phase(StrEnum):
    """The reason why a row is in a digest, in the order of its rows."""

    NEW = "new"
    """It was not reported before."""

    CHANGED = "changed"
    """A part of it is new, it is due sooner, or a value changed and nothing fails."""

    OVER = "over"
    """It has ended since it was reported."""

    OPEN = "open"
    """It was reported before, or was there when the receiver was first known."""


@dataclass(frozen=True, slots=True)
class ReportedRow:
    """A row of the list, as it is reported to a receiver."""

    phase: Phase
    """The reason."""
    row: CauseRow
    """The row."""
    saved: Sequence[SavedItem]
    """Its items at each place."""
    is_news: bool = True
    """Whether a digest goes out for it."""
    names_connectors: bool = False
    """Whether its first line names the connector: the receiver has several."""

    @property
    def headline(self) -> str:
        """The tenant and the cause, for a subject."""
        mark = f"{self.phase.value}: " if self.phase in (Phase.CHANGED, Phase.OVER) else ""
        return f"{self.row.whose}: {mark}{self.row.title}"

    @property
    def reported(self) -> dict[str, str]:
        """Item id → what is reported of it."""
        return {row.id: OVER if self.phase is Phase.OVER else row.news for row in self.saved}

    def lines(self) -> list[str]:
        """Return its lines: those of `inbox`, of an item that is over its end."""
        first = self.row.first
        look = Outcome.VERIFIED if self.phase is Phase.OVER else first.looks_like
        title = self.row.headline(names_connectors=self.names_connectors)
        head = f"{ICONS[look]} {title} ({self.phase.value})"
        if self.phase is Phase.OVER:
            reasons = dict.fromkeys(row.end_reason for row in self.saved if row.end_reason)
            since = f"Since {day(self.row.since)}" if self.row.since else "Open before"
            ended = day(self.saved[0].ended_on)
            why = [f"{since}, over since {ended}.", *list(reasons)[:_MAX_REASONS]]
            return [head, " ".join(map(with_times, why))]
        is_change = any(row.is_change for row in self.saved)
        lines = [head, *self.row.lines(is_verbose=is_change or first.is_failing)]
        if first.is_urgent and not self.row.known_to:
            lines.append(f"To stop reminders: runbook watch --ack {self.row.id} --by NAME")
        return lines

    def document(self) -> dict[str, Any]:
        """Return the row for programs."""
        return {"phase": self.phase.value, **self.row.document()}


@dataclass(slots=True)
class ReceiverList:
    """A receiver's tenants with its own items, and these items as saved."""

    statuses: dict[str, TenantStatus] = field(default_factory=dict)
    """The receiver's tenants by key, each with the items that are for it."""
    saved: list[SavedItem] = field(default_factory=list)
    """The begin and end of these items, and changes."""


def reported_rows(
    receiver: WatchReceiver,
    own: ReceiverList,
    deliveries: Mapping[str, Delivery],
    now: datetime,
) -> list[ReportedRow]:
    """
    Return the rows of a receiver's list against what was reported to it: changed ones first.

    What was there when the receiver was first known is open: nobody knows whether it is new.
    """
    index = {(row.tenant, row.cause, row.place): row for row in own.saved if not row.ended_on}
    rows = [
        _open_row(row, [*_saved_of(row, index)], deliveries, receiver.first_on)
        for row in cause_rows(own.statuses.values())
    ]
    ended = []
    changes = []
    first_on = not_later(receiver.first_on, timestamp(now - _DAY))
    open_causes = {(row.tenant, row.cause) for row in index.values()}
    for row in own.saved:
        delivery = deliveries.get(row.id)
        if row.is_change and delivery is None and row.began_on >= first_on:
            changes.append(row)
        is_reported = delivery is not None and delivery.news not in ("", OVER) and not row.is_change
        # NOTE: a customer is over alone, a step with the last one of its cause.
        is_last = row.item.is_about_customers or (row.tenant, row.cause) not in open_causes
        if row.ended_on and is_reported and is_last:
            ended.append(row)
    rows += _rows_of(Phase.CHANGED, changes, own)
    rows += _rows_of(Phase.OVER, ended, own)
    has_several = len({status.connector for status in own.statuses.values()}) > 1
    rows = [replace(row, names_connectors=has_several) for row in rows]
    return sorted(rows, key=lambda reported: [*Phase].index(reported.phase))


def _saved_of(
    row: CauseRow, index: Mapping[tuple[str, str, str], SavedItem]
) -> Iterator[SavedItem]:
    for status, item in row.items:
        for _, place in items_by_place(replace(status, items=(item,))):
            if found := index.get((status.key, item.cause, place)):
                yield found


def _open_row(
    row: CauseRow,
    saved: Sequence[SavedItem],
    deliveries: Mapping[str, Delivery],
    first_on: str,
) -> ReportedRow:
    known = [deliveries[item.id] for item in saved if item.id in deliveries]
    unreported = [item for item in saved if item.id not in deliveries and item.news]
    others = [
        item
        for item in saved
        if item.news and item.id in deliveries and deliveries[item.id].news != item.news
    ]
    phase = Phase.OPEN
    if others or any(item.began_on > first_on for item in unreported):
        phase = Phase.CHANGED if known else Phase.NEW
    return ReportedRow(phase, row, saved, bool(unreported or others))


def _rows_of(phase: Phase, saved: Iterable[SavedItem], own: ReceiverList) -> Iterator[ReportedRow]:
    """Yield the rows of items that are not open."""
    by_cause: dict[tuple[bool, str], list[SavedItem]] = defaultdict(list)
    for item in saved:
        by_cause[own.statuses[item.tenant].is_practice, item.cause].append(item)
    for alike in by_cause.values():
        row = CauseRow([(own.statuses[item.tenant], item.item) for item in alike])
        yield ReportedRow(phase, row, alike)


def is_due(
    rows: Iterable[ReportedRow],
    deliveries: Mapping[str, Delivery],
    now: datetime,
    *,
    is_restart: bool,
) -> bool:
    """
    Return whether a digest goes out: for news, daily for failures, weekly for what else is open.

    An acknowledged item reminds nobody. With `is_restart` the watch lost its state.
    """
    for reported in rows:
        if reported.is_news or is_restart:
            return True
        for item in reported.saved:
            delivery = deliveries.get(item.id)
            interval = _DAY if item.item.is_urgent else _WEEK
            last_on = delivery.reported_on if delivery else item.began_on
            if not item.acknowledged_by and has_passed(interval, last_on, now):
                return True
    return False


def compose_digest(
    receiver: WatchReceiver,
    own: ReceiverList,
    deliveries: Mapping[str, Delivery],
    now: datetime,
    *,
    page: str,
    person: str = "",
    notices: Sequence[Notice] = (),
) -> Digest | None:
    """
    Return the digest that a receiver gets now; `None` for nothing.

    The `notices` come first; `page` is the address of the page of all tenants.
    """
    rows = reported_rows(receiver, own, deliveries, now)
    if not rows or not is_due(rows, deliveries, now, is_restart=bool(notices)):
        return None
    on = timestamp(now)
    reported = {ident: news for row in rows for ident, news in row.reported.items()}
    is_sandbox = any(row.row.is_practice for row in rows)
    lines = [notice.text for notice in notices]
    for row in rows[:_MAX_ROWS]:
        head, *rest = row.lines()
        lines += ["", head, *(f"  {line}" for line in rest)]
    more = len(rows) - _MAX_ROWS
    if more > 0:
        lines += ["", f"And {more:,} more."]
    lines += ["", _HOW_TO_LIST, page]
    urgent = sum(row.is_news or row.row.first.is_urgent for row in rows[1:])
    others = f" (and {urgent:,} more)" if urgent else ""
    # NOTE: the number of others is never cut off.
    subject = f"{rows[0].headline[: _MAX_SUBJECT - 30]}{others}"
    keys = dict.fromkeys(item.tenant for row in rows for item in row.saved)
    return Digest(
        id=identify(receiver.receiver, on, *reported),
        receiver=receiver.receiver,
        subject=one_line(f"{'SANDBOX ' if is_sandbox else ''}{subject}")[:_MAX_SUBJECT],
        text="\n".join(one_line(line) for line in lines).strip(),
        created_on=on,
        tenants=sorted(keys),
        document={
            "kind": "digest",
            "sandbox": is_sandbox,
            "notices": [notice.text for notice in notices],
            "rows": [row.document() for row in rows[:_MAX_ROWS]],
            "more": max(more, 0),
        },
        person=person,
        reported=reported,
    )
