"""
The begin and the end of each open item, which only the watch decides, and who acknowledged it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

from msgspec import structs

from runbook_lib.config.settings import visible
from runbook_lib.config.workspace import evidence_folder
from runbook_lib.connectors.registry import find_procedure
from runbook_lib.core.clock import timestamp
from runbook_lib.errors import SettingsError
from runbook_lib.evidence.reports.tenant_status import (
    NO_PLACE,
    OpenItem,
    TenantStatus,
    row_id,
)
from runbook_lib.operations.customer_letters import fetch_sentence, fetch_since
from runbook_lib.operations.customer_rows import LABELS, AccountStatus
from runbook_lib.operations.watch.watch_state import (
    STATE_NAME,
    SavedItem,
    WatchState,
    open_state,
)
from runbook_lib.text import identify

Place = tuple[str, str]
"""Cause and place of an item."""


def items_by_place(status: TenantStatus) -> dict[Place, OpenItem]:
    """Return the items of a tenant at each place that they have."""
    return {
        (item.cause, place.id): replace(item, places=(place,))
        for item in status.items
        for place in item.places or (NO_PLACE,)
    }


def settle(state: WatchState, status: TenantStatus, now: datetime) -> None:
    """
    Save which items of a tenant have begun, changed or ended; call it in a transaction.

    An item that another failure at its place replaces ends without news, and so does one whose
    decision is reported as a change. Of a tenant whose record cannot be read no item ends.
    """
    polled_on = state.tenant(status.key).last_polled_on
    if status.polled_on and status.polled_on < polled_on:
        return  # another watch has polled it since, and decides
    on = timestamp(now)
    rows = state.items.read(tenant=status.key)
    items = items_by_place(status)
    known = {(row.cause, row.place): row for row in rows if not row.ended_on}
    written = []
    for key, item in items.items():
        row = known.get(key)
        news = item.news_on(now.date())
        if row is None:
            ident = identify(status.key, *key, on)
            written.append(SavedItem(ident, status.key, *key, on, item, news))
        elif row.news != news:
            # NOTE: an acknowledgement is for what was known then.
            written.append(structs.replace(row, news=news, acknowledged_by="", note=""))
    is_unreadable = any(item.stops_checks for item in status.items)
    gone = [] if is_unreadable else [row for key, row in known.items() if key not in items]
    changed = {row.place for row in rows if row.is_change and row.began_on >= polled_on}
    replaced = [
        row for row in gone if _is_replaced(row, items) or (row.place in changed and row.news)
    ]
    state.items.delete(replaced)
    state.items.write(written)
    state.items.write(
        structs.replace(row, ended_on=on, end_reason=_end_reason(state, row, now))
        for row in gone
        if row not in replaced
    )


def _is_replaced(row: SavedItem, items: dict[Place, OpenItem]) -> bool:
    """Return whether another item has taken the place of a row: not a better one."""
    others = (item for (_, place), item in items.items() if place == row.place)
    return any(other.is_failing or not row.item.is_failing for other in others)


def _end_reason(state: WatchState, row: SavedItem, now: datetime) -> str:
    """Return why an item has ended: what the newest poll said, and what to fetch again."""
    if not row.item.is_about_customers:
        results = [
            polled.current.reason
            for polled in state.steps.read(tenant=row.tenant)
            if polled.current and row.place in (polled.step, polled.check)
        ]
        return " ".join(dict.fromkeys(results))
    found = state.customers.read(tenant=row.tenant, account=row.place)
    if not found:
        return f"{LABELS[AccountStatus.VANISHED]}."
    account = found[0].body
    procedure = find_procedure(row.tenant.partition("/")[0])
    fetch = fetch_sentence(fetch_since(account, procedure, now), procedure)
    return f"{LABELS[account.standing]}. {fetch}".strip()


def acknowledge(ident: str, *, by: str, note: str, evidence: str, now: datetime) -> list[str]:
    """
    Save that a person knows of a row of the list, until it changes; return its tenants.

    Raises `SettingsError` and writes nothing for an unknown id, an unusable text, or a row that
    somebody else has acknowledged.
    """
    try:
        by = visible(by)
        note = visible(note)
    except ValueError as error:
        raise SettingsError(f"--by or --note cannot be used: {error}.") from None
    if not by:
        raise SettingsError("--ack needs --by NAME, the person who knows.")
    folder = evidence_folder(evidence)
    if not (folder / STATE_NAME).exists():
        raise SettingsError(f"There is no {folder / STATE_NAME}: no watch has run yet.")
    with open_state(folder, now) as state, state.transaction():
        rows = [*_named(state, ident.lower())]
        if not rows:
            advice = "Take the ID from a message, from watch --json or from the terminal."
            raise SettingsError(f"Nothing that is open has the ID {ident[:80]}.", next_step=advice)
        others = {row.acknowledged_by for row in rows} - {by, ""}
        if others:
            names = ", ".join(sorted(others))
            raise SettingsError(
                f"{names} has acknowledged it already.",
                next_step=f"Ask {names}, or use --by with that name.",
            )
        state.items.write(structs.replace(row, acknowledged_by=by, note=note) for row in rows)
    return sorted({row.tenant.partition("/")[2] for row in rows})


def _named(state: WatchState, ident: str) -> Iterator[SavedItem]:
    """Yield the open items of the row that an id names."""
    for row in state.items.read():
        ids = (row_id(row.cause, is_practice=is_practice) for is_practice in (False, True))
        if not row.ended_on and ident in ids:
            yield row
