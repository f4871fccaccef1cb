"""What several reports read from a record, and its values as text. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from runbook_lib.core.model import Exchange, host_in
from runbook_lib.evidence.record import Record

_TRACE = re.compile(r"trace|request-?id|correlation", re.IGNORECASE)


def hosts_that_answered(runs: Iterable[Record]) -> dict[str, bool]:
    """
    Return the hosts that these runs asked, and whether each answered.

    A refused connection is not an answer.
    """
    answered: dict[str, bool] = {}
    for run in runs:
        for step in run.steps:
            for exchange in step.exchanges:
                if host := host_in(exchange.url):
                    is_answer = exchange.status is not None
                    answered[host] = answered.get(host, False) or is_answer
    return answered


def trace_ids(exchange: Exchange) -> dict[str, str]:
    """Return the remote system's ids of this exchange, by field or header name."""
    answer = exchange.response
    error = answer.get("error") if isinstance(answer, Mapping) else None
    named = {**(error if isinstance(error, Mapping) else {}), **exchange.headers}
    ids: dict[str, str] = {}
    for name, text in named.items():
        if text and _TRACE.search(name) and str(text) not in ids.values():
            ids[name] = str(text)
    return ids


def plain(value: Any) -> str:
    """Return a parameter or a fact as text."""
    if isinstance(value, list | tuple):
        return ", ".join(plain(item) for item in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)
