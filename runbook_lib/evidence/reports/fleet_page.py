"""
The page of a fleet's run: `fleet.html`, one file made from the fleet's record alone.

Whole without a script; the script in it, whose digest its policy names, only sorts and filters.
It is beside `fleet.json` and signed with it. The evidence is in the tenants' bundles.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from runbook_lib.core.model import HostCalls, Outcome
from runbook_lib.core.outcome import LOOKS, OutcomeView
from runbook_lib.evidence.fleet_record import FleetRecord
from runbook_lib.evidence.reports.fleet_tenants import (
    NamedStep,
    TenantRow,
    TenantStatus,
    named_steps,
    tenant_rows,
)
from runbook_lib.evidence.reports.phrases import listed, read_in
from runbook_lib.evidence.reports.renderer import TEMPLATES, stream
from runbook_lib.evidence.reports.wait_chart import wait_chart

PAGE_NAME = "fleet.html"
_FLEET_ID = re.compile(r"[0-9a-f]{8}")
# The outcomes of steps that the page shows; it folds the others.
_NOTABLE = (Outcome.FAILED, Outcome.WAITING, Outcome.INCONCLUSIVE)


@dataclass(frozen=True, slots=True)
class StepTotal:
    """A step with the number of tenants at each outcome; *in part* counts separately."""

    step: NamedStep
    counts: tuple[tuple[OutcomeView, int], ...]

    @property
    def is_notable(self) -> bool:
        """Return whether it failed, waits or could not be checked for a tenant, even in part."""
        return any(look.outcome in _NOTABLE or look.is_in_part for look, _ in self.counts)

    @property
    def text(self) -> str:
        """Return the numbers in words."""
        return listed([f"{number:,} {look.label}" for look, number in self.counts])


@dataclass(frozen=True, slots=True)
class ConnectorTotals:
    """The steps of one connector, in order."""

    id: str
    title: str
    steps: tuple[StepTotal, ...]


def fleet_page(record: FleetRecord) -> Iterator[str]:
    """Return the `fleet.html` of a run that ended, in parts: of thousands of tenants it has MiB."""
    named = named_steps(record)
    rows = tenant_rows(record, named, until=str(record.finished_on))
    whom = Counter(name for row in rows for name in {wait.whom for wait in row.waits})
    totals = _totals(record, named.values(), rows)
    count = Counter(row.standing for row in rows)
    script = (TEMPLATES / "fleet.js").read_text(encoding="utf-8")
    with read_in(str(record.finished_on)):
        yield from stream(
            "fleet.html",
            record=record,
            mark=f"Fleet {record.fleet_id}" if _FLEET_ID.fullmatch(record.fleet_id) else "",
            rows=rows,
            sandbox=any(row.result.sandbox for row in rows),
            practice=sum(row.result.sandbox for row in rows),
            standings=[(standing, count[standing]) for standing in TenantStatus if count[standing]],
            overdue=sum(row.overdue_days > 0 for row in rows),
            worst=_worst(totals),
            totals=totals,
            whom=sorted(whom.items(), key=lambda pair: (-pair[1], pair[0])),
            whom_ids={name: number for number, name in enumerate(whom)},
            connector_ids={connector.id: number for number, connector in enumerate(totals)},
            chart=wait_chart(wait for row in rows for wait in row.waits),
            calls=_calls(rows),
            script=script,
            # By this digest the page's Content Security Policy permits the script.
            digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii"),
        )


def _calls(rows: Iterable[TenantRow]) -> list[HostCalls]:
    """Return the answers of each host to all tenants, with the largest share of an app's."""
    numbers: Counter[str] = Counter()
    shares: dict[str, float] = {}
    for calls in (calls for row in rows for calls in row.result.calls):
        numbers[calls.host] += calls.calls
        if calls.share is not None:
            shares[calls.host] = max(calls.share, shares.get(calls.host, 0.0))
    return [
        HostCalls(host=host, calls=number, share=shares.get(host))
        for host, number in numbers.most_common()
    ]


def _totals(
    record: FleetRecord, named: Iterable[NamedStep], rows: Sequence[TenantRow]
) -> list[ConnectorTotals]:
    counts: Counter[tuple[NamedStep, OutcomeView]] = Counter(
        (step, line.look) for row in rows for line in row.lines for step in line.steps
    )
    of_connectors: dict[str, list[StepTotal]] = {}
    for step in named:
        numbers = tuple((look, counts[step, look]) for look in LOOKS if counts[step, look])
        of_connectors.setdefault(step.connector, []).append(StepTotal(step, numbers))
    titles = {name: described["title"] for name, described in record.connectors.items()}
    return [
        ConnectorTotals(name, titles.get(name, name), tuple(steps))
        for name, steps in of_connectors.items()
    ]


def _worst(totals: Iterable[ConnectorTotals]) -> list[tuple[Outcome, NamedStep, int]]:
    """Return the step that most tenants failed at, and the one that most wait at."""
    worst = []
    for outcome in (Outcome.FAILED, Outcome.WAITING):
        numbers = [
            (number, total.step)
            for connector in totals
            for total in connector.steps
            for candidate, number in total.counts
            if candidate.outcome is outcome
        ]
        if numbers:
            number, step = max(numbers, key=lambda pair: pair[0])
            worst.append((outcome, step, number))
    return worst
