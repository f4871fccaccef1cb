"""Tenants whose names and texts try to break out of the index page."""

from __future__ import annotations

from dataclasses import replace

from runbook_lib.evidence.reports.tenant_status import ItemGroup
from tests.unit.evidence.reports.sample_statuses import (
    customer,
    item,
    letter,
    page,
    place,
    status,
)


def hostile(text: str) -> str:
    """Return a page with `text` wherever others can write."""
    bad = item(
        text, stops=text, advice=text, command=text, link=text, whom=text, since=text, due=text,
        known_to=text, overdue_days=1, places=(place(text, "failed", text), place(text, None)),
    )  # fmt: skip
    other = replace(bad, title=f"{text}!", command=f"{text}!", since=f"{text}!")
    about = replace(bad, group=ItemGroup.WAITING, cause=f"{text}?", is_about_customers=True)
    own = {"connector": text, "connector_title": text, "bundle": text, "dashboard": text}
    rest = {"polled_on": text, "sealed_on": text}
    unchecked = replace(bad, group=ItemGroup.UNCHECKED, cause=f"{text}.")
    strange = customer(
        text, text, text, account=text, since=text, used_on=text, facts=(text,), advice=text,
        command=text, letter=letter(text),
    )  # fmt: skip
    return page(
        [
            status(text, bad, unchecked, about, **own, **rest),
            status("acme", other, is_practice=True),
        ],
        [strange],
        text,
        undelivered=[{"tenants": [text], "reason": text}],
        notices=[text],
    )
