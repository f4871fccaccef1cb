"""What several reports read from a record, and its values as text. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

# The two systems, each by its domain and by the parameter that may give it another address.
_SYSTEMS = {
    "Facebook": ("facebook.com", "graph_url"),
    "Cyclr": ("cyclr.com", "cyclr_api_url"),
}

_ID = re.compile(r"[a-z0-9-]{1,80}")
_TRACE = re.compile(r"trace|request-?id|correlation", re.IGNORECASE)


def anchor(step_id: str, number: int) -> str:
    """Return the anchor of a step in a report."""
    return f"step-{step_id}" if _ID.fullmatch(step_id) else f"step-{number}"


def hosts_that_answered(runs: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """
    Return the hosts of Facebook and of Cyclr that answered a request of these runs.

    A refused connection is not an answer. A custom Service Domain is the partner's own.
    """
    answered: dict[str, list[str]] = {name: [] for name in _SYSTEMS}
    for run in runs:
        hosts = {name: _host(run["parameters"].get(by)) for name, (_, by) in _SYSTEMS.items()}
        answering = {
            _host(exchange["url"]): None
            for step in run["steps"]
            for exchange in step["exchanges"]
            if exchange["status"] is not None
        }
        for host in filter(None, answering):
            for name, (domain, _) in _SYSTEMS.items():
                is_its = host in (domain, hosts[name]) or host.endswith(f".{domain}")
                if is_its and host not in answered[name]:
                    answered[name].append(host)
    return answered


def trace_ids(exchange: Mapping[str, Any]) -> dict[str, str]:
    """Return the remote system's ids of this exchange, by field or header name."""
    answer = exchange["response"]
    error = answer.get("error") if isinstance(answer, Mapping) else None
    named = {"fbtrace_id": error.get("fbtrace_id")} if isinstance(error, Mapping) else {}
    headers = {name: text for name, text in exchange["headers"].items() if _TRACE.search(name)}
    ids: dict[str, str] = {}
    for name, text in {**named, **headers}.items():
        if text and str(text) not in ids.values():
            ids[name] = str(text)
    return ids


def plain(value: Any) -> str:
    """Return a parameter or a fact as text."""
    if isinstance(value, list | tuple):
        return ", ".join(plain(item) for item in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)


def _host(url: object) -> str:
    try:
        return urlsplit(str(url or "")).hostname or ""
    except ValueError:
        return ""
