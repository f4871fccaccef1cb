"""
The pages of many tenants: a fleet's run, a watch, the customers' connections.

One template draws the rows of each, whole without a script and without a network. The script of
`fleet.html`, whose digest its policy names, only sorts and filters. No page is signed: the
evidence is in the tenants' bundles.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import attrgetter, itemgetter
from typing import Any

from runbook_lib.core.model import HostCalls, Outcome
from runbook_lib.evidence.fleet_result import FleetResult
from runbook_lib.evidence.reports.phrases import read_in
from runbook_lib.evidence.reports.renderer import TEMPLATES, stream
from runbook_lib.evidence.reports.tenant_rows import TenantRow, fleet_rows, gates, what_now

FLEET_PAGE, WATCH_PAGE = "fleet.html", "watch.html"
_FLEET_ID = re.compile(r"[0-9a-f]{8}")

# A kind of change has the colour and the icon of the outcome that is most like it.
LIKE = {
    "failed": Outcome.FAILED,
    "recovered": Outcome.VERIFIED,
    "changed": Outcome.WAITING,
    "outage": Outcome.INCONCLUSIVE,
    "outage_over": Outcome.VERIFIED,
    "due": Outcome.WAITING,
}


def fleet_page(
    fleet: FleetResult, usual: Mapping[tuple[str, str], int] | None = None
) -> Iterator[str]:
    """
    Return the `fleet.html` of a run that ended, in parts: of thousands of tenants it has MiB.

    `usual` are the usual days of the connectors' gates, by connector and step.
    """
    script = (TEMPLATES / "tenants.js").read_text(encoding="utf-8")
    yield from _page(
        "fleet.html",
        sorted(fleet_rows(fleet, usual), key=attrgetter("badness")),
        str(fleet.finished_on),
        fleet=fleet,
        mark=f"Fleet {fleet.fleet_id}" if _FLEET_ID.fullmatch(fleet.fleet_id) else "",
        calls=_calls(fleet),
        script=script,
        # By this digest the page's Content Security Policy permits the script.
        digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii"),
    )


def watch_page(
    rows: Iterable[TenantRow],
    changes: Iterable[Mapping[str, Any]],
    on: str,
    *,
    undelivered: Sequence[Mapping[str, Any]] = (),
) -> Iterator[str]:
    """
    Return the page of a cycle that ended at `on`, in parts.

    `changes` are as `watch --json` has them, with a `label` and whether each `is_new`.
    `undelivered` names the tenants of each receiver that did not accept a message, and the reason.
    """
    newest = sorted(changes, key=itemgetter("on"), reverse=True)
    worst = sorted(rows, key=attrgetter("badness"))
    yield from _page("watch.html", worst, on, changes=newest, like=LIKE, undelivered=undelivered)


def connections_page(rows: Sequence[TenantRow], document: Mapping[str, Any]) -> Iterator[str]:
    """Return the page of a look at the customers' accounts, whose rows are the worst first."""
    on = document["ended"] or document["began"]
    yield from _page("connections.html", rows, on, name="account", shown=document)


def _page(
    template: str, rows: Sequence[TenantRow], on: str, *, name: str = "tenant", **values: object
) -> Iterator[str]:
    standings = Counter((row.word, row.outcome) for row in rows)
    with read_in(on):
        yield from stream(
            template,
            on=on,
            rows=rows,
            name=name,
            now=what_now(rows, name),
            sandbox=any(row.sandbox for row in rows),
            practice=sum(row.sandbox for row in rows),
            connectors=len({row.connector for row in rows}),
            standings=[(*standing, number) for standing, number in standings.items()],
            overdue=sum(row.overdue_days > 0 for row in rows),
            gates=gates(rows),
            has_whom=any(row.whom for row in rows),
            has_seals=any(row.sealed_on for row in rows),
            **values,
        )


def _calls(fleet: FleetResult) -> list[HostCalls]:
    """Return the answers of each host to all tenants, with the largest share of an app's."""
    numbers: Counter[str] = Counter()
    shares: dict[str, float] = {}
    for calls in (calls for result in fleet.results.values() for calls in result.calls):
        numbers[calls.host] += calls.calls
        if calls.share is not None:
            shares[calls.host] = max(calls.share, shares.get(calls.host, 0.0))
    return [
        HostCalls(host=host, calls=number, share=shares.get(host))
        for host, number in numbers.most_common()
    ]
