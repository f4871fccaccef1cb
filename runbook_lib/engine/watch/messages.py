"""What people and programs read of changes: one text for mail, terminal and other services."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from msgspec import to_builtins

from runbook_lib.core.journal import timestamp
from runbook_lib.core.json_text import write_json
from runbook_lib.engine.run import Run
from runbook_lib.engine.watch.answers import Change, Kind
from runbook_lib.evidence.reports.phrases import with_times
from runbook_lib.plain_text import counted, one_line

# A change as programs have it, of one tenant or of several (`document_of`, `merged`).
Document = Mapping[str, Any]

_LONGEST_SUBJECT = 200
# In these, changes with one cause may differ: whose they are, when each was seen, who knows.
_OWN = ("id", "tenants", "on", "since", "person", "also", "ends", "acknowledged")


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent at once; `thread` is the id of the message that it follows, if there is one."""

    id: str
    document: Document
    thread: str = ""

    @property
    def title(self) -> str:
        """Return what it is about."""
        return str(self.document["title"])

    @property
    def subject(self) -> str:
        """Return whose change it is, and which, in one short line."""
        label = Kind(self.document["kind"]).label
        return one_line(f"{whose(self.document)}: {self.title}: {label}")[:_LONGEST_SUBJECT]

    @property
    def text(self) -> str:
        """Return what people read below that."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield one_line(f"{whose(self.document)} · {self.document['connector_title']}")
        for change in self.document.get("changes", [self.document]):
            yield one_line(f"{change['title']}: {Kind(change['kind']).label}")
            yield from details(change)
            if len(change["tenants"]) > 1:
                yield from ("Tenants:", *(f"  {tenant}" for tenant in change["tenants"]))


def document_of(run: Run, change: Change, ack: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return a change for programs, with whose it is, and who has acknowledged it."""
    shown = to_builtins(change)
    del shown["shown_on"]
    return {
        **shown,
        "tenants": [run.tenant],
        "connector": run.procedure.id,
        "connector_title": run.procedure.title,
        "sandbox": run.is_sandbox,
        "acknowledged": ack,
    }


def trial(run: Run, now: datetime) -> Document:
    """Return what a test message is about."""
    on = timestamp(now)
    text = "This message only shows that messages arrive. Nothing changed."
    change = Change(id="", kind=Kind.TEST, on=on, since=on, title="Test message", reason=text)
    return document_of(run, change)


def by_cause(documents: Iterable[Document]) -> list[dict[str, Any]]:
    """Return the documents of changes, those with one cause as one that has all `tenants`."""
    alike: dict[str, list[Document]] = {}
    for document in documents:
        alike.setdefault(cause_of(document), []).append(document)
    return [merged(part) for part in alike.values()]


def merged(parts: list[Document]) -> dict[str, Any]:
    """Return documents with one cause as one; of several it has no id."""
    return {
        **parts[0],
        "id": parts[0]["id"] if len(parts) == 1 else "",
        "tenants": list(dict.fromkeys(name for part in parts for name in part["tenants"])),
        "on": max(part["on"] for part in parts),
        "since": min(part["since"] for part in parts),
        "also": list(dict.fromkeys(title for part in parts for title in part["also"])),
        "acknowledged": next(
            (part["acknowledged"] for part in parts if part["acknowledged"]), None
        ),
    }


def reminder(changes: Sequence[Document], on: str) -> Document:
    """Return what a reminder of these changes is."""
    tenants = list(dict.fromkeys(name for change in changes for name in change["tenants"]))
    title = counted(len(changes), "problem")
    about = {"kind": Kind.REMINDER, "title": title, "tenants": tenants, "on": on, "was": ""}
    return {**changes[0], **about, "now": "", "changes": [for_programs(part) for part in changes]}


def cause_of(document: Document) -> str:
    """Return what changes with one cause have in common."""
    return write_json({name: part for name, part in document.items() if name not in _OWN})


def for_programs(document: Document) -> dict[str, Any]:
    """Return what programs get: `tenant` only where it is one."""
    shown = {name: part for name, part in document.items() if name != "connector_title"}
    first, *others = document["tenants"]
    return shown if others else {**shown, "tenant": first}


def whose(document: Document) -> str:
    """Return the tenant, or how many there are."""
    names = document["tenants"]
    tenants = names[0] if len(names) == 1 else counted(len(names), "tenant")
    return f"{'SANDBOX ' * document['sandbox']}{tenants}"


def details(document: Document) -> list[str]:
    """Return what a person reads below the title of a change, line by line."""
    is_failed, ident = document["kind"] == Kind.FAILED, document["id"]
    lines = [
        document["now"] and f"Before: {document['was']}. Now: {document['now']}.",
        with_times(f"Since {document['since']} UTC: {document['reason']}"),
        document["breaks"] and f"This breaks: {document['breaks']}",
        document["also"] and f"With the same cause: {'; '.join(document['also'])}.",
        document["do"] and f"What to do: {document['do']}",
        known_to(document["acknowledged"]),
        is_failed and ident and f"To stop reminders: runbook watch --ack {ident} --by NAME",
    ]
    return [one_line(line) for line in lines if line]


def known_to(ack: Mapping[str, str] | None) -> str:
    """Return who has acknowledged a change, since when, until when and why; empty for nobody."""
    if not ack:
        return ""
    until = f" until {ack['until']}" if ack["until"] else ""
    note = f": {ack['note']}" if ack["note"] else ""
    return with_times(f"{ack['by']} has known since {ack['on']} UTC{until}{note}")
