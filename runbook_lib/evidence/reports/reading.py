"""
A record for the reports: every optional field filled in, values as text. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

__all__ = ["anchor", "hosts_that_answered", "plain", "trace_ids", "whole_record"]

# NOTE: a record that does not say so counts as practice; the other mistake would be worse.
_RECORD: Mapping[str, Any] = {
    "run_id": "",
    "tenant": "",
    "procedure": {"id": "", "version": "", "digest": ""},
    "mode": "",
    "sandbox": True,
    "started_on": "",
    "finished_on": "",
    "resumes": "",
    "outcome": "incomplete",
    "steps": (),
    "parameters": {},
    "credentials": (),
    "environment": {},
    "journal": {},
}
_STEP: Mapping[str, Any] = {
    "id": "",
    "number": "",
    "title": "",
    "kind": "",
    "outcome": "not_run",
    "reason": "",
    "needs_person": False,
    "sentence": "",
    "checked_on": "",
    "word": None,
    "confirms": (),
    "lapsed": (),
    "comments": (),
    "assigned": {},
    "checks": (),
    "exchanges": (),
    "attachments": (),
    "troubles": (),
}
_CHECK: Mapping[str, Any] = {
    "check": "",
    "outcome": "inconclusive",
    "reason": "",
    "accepts": (),
    "refuses": (),
    "limits": (),
    "warnings": (),
    "changes": (),
    "facts": {},
    "tables": (),
}
_EXCHANGE: Mapping[str, Any] = {
    "method": "",
    "url": "",
    "sent_on": "",
    "elapsed": 0,
    "status": None,
    "request": None,
    "headers": {},
    "response": None,
    "error": "",
}
_WORD: Mapping[str, Any] = {
    "kind": "attested",
    "by": "",
    "at": "",
    "note": "",
    "sentence": "",
    "app_name": "",
    "app_id": "",
    "service_domain": "",
}
_COMMENT: Mapping[str, Any] = {"by": "", "at": "", "note": ""}
_ASSIGNED: Mapping[str, Any] = {"to": "", "due": ""}
_ATTACHMENT: Mapping[str, Any] = {"name": "", "sha256": "", "size": 0, "media_type": ""}

_TROUBLE: Mapping[str, Any] = {
    "shown": ("?",),
    "means": "",
    "causes": (),
    "advice": "",
    "source": "",
    "seen": "",
}
_CAUSE: Mapping[str, Any] = {"text": "", "tested_by": ()}

# The two systems, each by its domain and by the parameter that may give it another address.
_SYSTEMS = {
    "Facebook": ("facebook.com", "graph_url"),
    "Cyclr": ("cyclr.com", "cyclr_api_url"),
}

_ID = re.compile(r"[a-z0-9-]{1,80}")
_TRACE = re.compile(r"trace|request-?id|correlation", re.IGNORECASE)


def whole_record(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return `record` with its optional fields filled in, down to each exchange."""
    whole = _filled(record, _RECORD)
    whole["steps"] = [_whole_step(step) for step in whole["steps"]]
    return whole


def anchor(step_id: str, number: int) -> str:
    """Return the anchor of a step in a report."""
    return f"step-{step_id}" if _ID.fullmatch(step_id) else f"step-{number}"


def hosts_that_answered(runs: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """
    Return the hosts of Facebook and of Cyclr that answered a request of these runs.

    A refused connection is no answer. A custom Service Domain is the partner's own.
    """
    found: dict[str, list[str]] = {name: [] for name in _SYSTEMS}
    for run in runs:
        given = {name: _host(run["parameters"].get(by)) for name, (_, by) in _SYSTEMS.items()}
        for host in _answering_hosts(run):
            for name, (domain, _) in _SYSTEMS.items():
                is_its = host in (domain, given[name]) or host.endswith(f".{domain}")
                if is_its and host not in found[name]:
                    found[name].append(host)
    return found


def trace_ids(exchange: Mapping[str, Any]) -> dict[str, str]:
    """Return the remote system's ids of this exchange, by field or header name."""
    answer = exchange["response"]
    error = answer.get("error") if isinstance(answer, Mapping) else None
    named = {"fbtrace_id": error.get("fbtrace_id")} if isinstance(error, Mapping) else {}
    headers = {name: text for name, text in exchange["headers"].items() if _TRACE.search(name)}
    found: dict[str, str] = {}
    for name, text in {**named, **headers}.items():
        if text and str(text) not in found.values():
            found[name] = str(text)
    return found


def plain(value: Any) -> str:
    """Return a parameter or a fact as text."""
    if isinstance(value, list | tuple):
        return ", ".join(plain(each) for each in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)


def _answering_hosts(run: Mapping[str, Any]) -> Iterator[str]:
    for step in run["steps"]:
        for exchange in step["exchanges"]:
            host = _host(exchange["url"])
            if host and exchange["status"] is not None:
                yield host


def _host(url: object) -> str:
    try:
        return urlsplit(str(url or "")).hostname or ""
    except ValueError:
        return ""


def _filled(document: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    given = {name: value for name, value in document.items() if value is not None}
    return {**defaults, **given}


def _whole_step(step: Mapping[str, Any]) -> dict[str, Any]:
    whole = _filled(step, _STEP)
    whole["checks"] = [_filled(check, _CHECK) for check in whole["checks"]]
    whole["exchanges"] = [_filled(exchange, _EXCHANGE) for exchange in whole["exchanges"]]
    whole["word"] = _filled(whole["word"], _WORD) if whole["word"] else None
    whole["confirms"] = [_filled(each, _WORD) for each in whole["confirms"]]
    whole["lapsed"] = [
        {**each, "word": _filled(each.get("word") or {}, _WORD)} for each in whole["lapsed"]
    ]
    whole["comments"] = [_filled(each, _COMMENT) for each in whole["comments"]]
    whole["assigned"] = _filled(whole["assigned"], _ASSIGNED)
    whole["attachments"] = [_filled(each, _ATTACHMENT) for each in whole["attachments"]]
    whole["troubles"] = [_filled(each, _TROUBLE) for each in whole["troubles"]]
    for trouble in whole["troubles"]:
        trouble["causes"] = [_filled(each, _CAUSE) for each in trouble["causes"]]
    return whole
