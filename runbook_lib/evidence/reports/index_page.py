"""
`index.html`: the state of all tenants and their customers on one page, at one address.

The page is whole without a script and without a network. Its script, whose digest its policy
names, searches, filters, sorts, and copies letters to customers. It is not signed: the evidence is
in the tenants' bundles.
"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

from runbook_lib.core.model import Outcome
from runbook_lib.evidence.reports.phrases import parse_time, read_in
from runbook_lib.evidence.reports.renderer import TEMPLATES, stream
from runbook_lib.evidence.reports.tenant_status import (
    GROUP_LABELS,
    LOOKS_LIKE,
    STANDING_LABELS,
    CauseRow,
    CustomerRow,
    ItemGroup,
    Standing,
    TenantStatus,
    cause_rows,
    sorted_statuses,
    what_now,
)

INDEX_PAGE = "index.html"

# The page stays under half a MB, however many customers need something.
_MAX_CUSTOMERS = 300
_PRACTICE = "practice"
_OVERDUE = "overdue"


@dataclass(frozen=True, slots=True)
class CauseGroup:
    """The causes of a group; a column without anything in it is left out."""

    group: ItemGroup
    rows: Sequence[CauseRow]

    @property
    def label(self) -> str:
        """The party that must act, in words."""
        return GROUP_LABELS[self.group]

    @property
    def has_people(self) -> bool:
        """Whether anybody but the reader must act."""
        return any(_people(row) != ["you"] for row in self.rows)

    @property
    def has_since(self) -> bool:
        """Whether it is known since when one of them is so."""
        return any(row.since for row in self.rows)

    @property
    def has_due(self) -> bool:
        """Whether one of them is due on a day, or overdue."""
        return any(row.due or row.overdue_days for row in self.rows)


def index_page(
    statuses: Iterable[TenantStatus],
    customers: Iterable[CustomerRow],
    on: str,
    *,
    well: int = 0,
    undelivered: Sequence[Mapping[str, Any]] = (),
    notices: Sequence[str] = (),
) -> Iterator[str]:
    """
    Return the page as it is at `on`, in parts: of thousands of tenants it has MiB.

    `customers` are those who need something: the worst of them are rows, the rest a number. `well`
    is the number of those who need nothing. `undelivered`
    names the tenants of each receiver that did not accept a message, and the reason. The `notices`
    come first.
    """
    tenants = sorted_statuses(statuses)
    accounts = sorted(customers, key=lambda row: row.urgency)
    listed = accounts[:_MAX_CUSTOMERS]
    causes = cause_rows(tenants)
    kinds = {
        *(tenant.is_practice for tenant in tenants),
        *(account.is_practice for account in accounts),
    }
    is_practice = kinds == {True}
    script = (TEMPLATES / "index.js").read_text(encoding="utf-8")
    with read_in(on):
        yield from stream(
            "index.html",
            on=on,
            now=what_now(tenants),
            verdict=_verdict(tenants),
            groups=[
                CauseGroup(group, rows)
                for group in ItemGroup
                if (rows := [row for row in causes if row.first.group is group])
            ],
            tenants=tenants,
            number=len({tenant.tenant for tenant in tenants}),
            customers=listed,
            unlisted=len(accounts) - len(listed),
            well=well,
            has_letters=any(account.letter for account in listed),
            undelivered=undelivered,
            notices=notices,
            sandbox=is_practice,
            # One mark in the banner is enough where all rows are practice.
            marks_rows=len(kinds) > 1,
            has_dashboards=any(tenant.dashboard for tenant in tenants),
            has_connectors=len({tenant.connector for tenant in tenants}) > 1,
            people=_counts(_people(row) for row in causes),
            tenant_states=_counts(map(_tenant_words, tenants)),
            customer_states=_counts(map(_customer_words, listed)),
            words_of={"tenant": _tenant_words, "customer": _customer_words, "cause": _people},
            looks=LOOKS_LIKE,
            connectors_of=_connectors,
            report=_report,
            days=partial(_days, on=on),
            script=script,
            # By this digest the page's Content Security Policy permits the script.
            digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii"),
        )


def _verdict(tenants: Sequence[TenantStatus]) -> Outcome:
    """Return the outcome whose colour the first sentence has: grey until something is due."""
    standings = {tenant.standing for tenant in tenants}
    if any(tenant.is_failing for tenant in tenants):
        return Outcome.FAILED
    is_due = not standings <= {Standing.WAITING, Standing.IN_ORDER}
    return Outcome.WAITING if is_due else Outcome.NOT_RUN


def _counts(words: Iterable[Iterable[str]]) -> list[tuple[str, int]]:
    """Return the words that a filter offers, as they first come, and how many rows have each."""
    return [*Counter(word for row in words for word in row).items()]


def _tenant_words(tenant: TenantStatus) -> list[str]:
    """Return the words by which the page filters a tenant."""
    is_first = tenant.standing is Standing.NEEDS_YOU
    words = [tenant.label if is_first else STANDING_LABELS[tenant.standing]]
    if any(item.overdue_days for item in tenant.items):
        words.append(_OVERDUE)
    if tenant.is_practice:
        words.append(_PRACTICE)
    return words


def _customer_words(customer: CustomerRow) -> list[str]:
    return [customer.state, *([_PRACTICE] if customer.is_practice else [])]


def _people(row: CauseRow) -> list[str]:
    """Return the party that must act."""
    return list(dict.fromkeys(item.whom for _, item in row.items))


def _connectors(row: CauseRow) -> list[str]:
    """Return the titles of the connectors that have it."""
    return list(dict.fromkeys(tenant.connector_title for tenant, _ in row.items))


def _days(text: str, *, on: str) -> int | None:
    """Return the calendar days from `text` to `on`; negative before it, `None` if unknown."""
    first = parse_time(text)
    last = parse_time(on)
    if first is None or last is None or not 2000 <= first.year < 2100:
        return None
    return (last.date() - first.date()).days


def _report(bundle: str) -> str:
    """Return the link to the report in a bundle, if there is one, relative to the page."""
    parts = PurePosixPath(bundle).parts
    if not parts or {"/", "..", "//"} & set(parts):
        return ""
    return quote("/".join((*parts, "report.html")), errors="replace")
