"""
The rows of tenants in a terminal, the same for `inbox`, `tenants` and `connections`.
"""

from __future__ import annotations

from collections.abc import Iterable

from runbook_lib.cli.paragraphs import say, show_json, show_paragraph
from runbook_lib.core.outcome import ICONS
from runbook_lib.evidence.reports.phrases import when, with_times
from runbook_lib.evidence.reports.tenant_rows import TenantRow


def show_rows(rows: Iterable[TenantRow]) -> None:
    """Print a line for each row, and below it what is open; times are UTC."""
    for row in rows:
        connector = f" ({row.connector})" if row.connector else ""
        looked = f"last looked at {when(row.looked_on)}" if row.looked_on else ""
        facts = (
            row.word,
            f"{row.done} of {row.total} done" if row.total else row.note,
            f"since {when(row.since)}" if row.since else "",
            "time of the last look cannot be read" if row.looked_on is None else looked,
            f"sealed {when(row.sealed_on)}" if row.sealed_on else "",
        )
        name = f"{'SANDBOX ' * row.sandbox}{row.tenant}{connector}"
        say(f"{ICONS[row.outcome]} {name}: {', '.join(filter(None, facts))}")
        opened = [f"{ICONS[step.outcome]} {name}: {step.text}" for step, name in row.lines]
        for text in filter(None, (row.problem, *opened, row.next_step)):
            show_paragraph(with_times(text), indent="    ")


def show_documents(rows: Iterable[TenantRow]) -> None:
    """Print the rows for programs."""
    documents = [row.document() for row in rows]
    show_json(documents)
