"""
The page of a fleet's watch: one file that says how each tenant stood at the last look.

It is no evidence, loads nothing and needs no script.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from runbook_lib.core.model import Outcome
from runbook_lib.evidence.reports.phrases import read_in
from runbook_lib.evidence.reports.renderer import stream

PAGE_NAME = "watch.html"

# A kind of change has the colour and the icon of the outcome that is most like it.
LIKE = {
    "failed": Outcome.FAILED,
    "recovered": Outcome.VERIFIED,
    "changed": Outcome.WAITING,
    "outage": Outcome.INCONCLUSIVE,
    "outage_over": Outcome.VERIFIED,
    "due": Outcome.WAITING,
}


@dataclass(frozen=True, slots=True)
class Failing:
    """A step that fails now, since when and why, and who knows of it."""

    title: str
    since: str
    reason: str
    known_to: str = ""


@dataclass(frozen=True, slots=True)
class TenantLook:
    """How a tenant stood at its last look; `problem` says why there is no newer one."""

    tenant: str
    connector: str = ""
    looked_on: str = ""
    sandbox: bool = False
    failing: Sequence[Failing] = ()
    unanswered_since: str = ""
    problem: str = ""

    @property
    def outcome(self) -> Outcome:
        """Return the outcome of a step that looks the same."""
        if self.failing:
            return Outcome.FAILED
        is_unknown = self.problem or self.unanswered_since
        return Outcome.INCONCLUSIVE if is_unknown else Outcome.VERIFIED

    @property
    def standing(self) -> str:
        """Return how it stands, in the words that people read."""
        if self.failing:
            return "failing"
        if self.problem:
            return "not looked at"
        return "not answered" if self.unanswered_since else "in order"


def watch_page(
    rows: Sequence[TenantLook], changes: Iterable[Mapping[str, Any]], on: str
) -> Iterator[str]:
    """
    Return the page of a look that ended at `on`, in parts: it may have MiB.

    `changes` are as `watch --json` has them, with a `label` and whether each `is_new`.
    """
    worst = (Outcome.FAILED, Outcome.INCONCLUSIVE, Outcome.VERIFIED)
    ordered = sorted(rows, key=lambda row: (worst.index(row.outcome), row.tenant.casefold()))
    standings = Counter((row.standing, row.outcome) for row in ordered)
    with read_in(on):
        yield from stream(
            "watch.html",
            rows=ordered,
            changes=sorted(changes, key=itemgetter("on"), reverse=True),
            like=LIKE,
            on=on,
            sandbox=any(row.sandbox for row in rows),
            practice=sum(row.sandbox for row in rows),
            connectors=len({row.connector for row in rows}),
            standings=[(name, outcome, number) for (name, outcome), number in standings.items()],
        )
