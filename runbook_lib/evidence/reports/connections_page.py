"""
The page of the customers' connections: one file made from the document of a look.

It is no evidence: it says what Cyclr answered, and what nothing shows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from runbook_lib.core.model import Outcome
from runbook_lib.evidence.reports.renderer import stream

# The colour and the icon of each standing are those of the outcome that is most like it.
_LIKE = {
    "signed_in": Outcome.VERIFIED,
    "not_signed_in": Outcome.FAILED,
    "not_installed": Outcome.NOT_RUN,
    "vanished": Outcome.SKIPPED,
    "not_known": Outcome.INCONCLUSIVE,
    "not_asked": Outcome.WAITING,
}


def connections_page(document: Mapping[str, Any]) -> Iterator[str]:
    """Return the page of a look, in parts: of thousands of accounts it has MiB."""
    accounts = document["accounts"]
    labels = {account["standing"]: account["says"] for account in accounts}
    return stream(
        "connections.html",
        shown=document,
        sandbox=document["sandbox"],
        counts=[(_LIKE[name], labels[name], number) for name, number in document["counts"].items()],
        like=_LIKE,
    )
