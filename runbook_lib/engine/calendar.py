"""
The due items of tenants, and a calendar file (RFC 5545) of them. Pure.

Equal states give the same bytes: each entry's stamp is the time of its reason.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime

from runbook_lib.core.advice import open_title
from runbook_lib.core.attestation_rules import person_key
from runbook_lib.core.run_state import RunState, StepState
from runbook_lib.text import one_line

# The end of the name of a fact that is the day on which something ends.
_ENDS_ON = "_ends_on"
# Words of such a name that people spell differently.
_ABBREVIATIONS = {"api": "API"}


@dataclass(frozen=True, slots=True, order=True)
class DueItem:
    """A day on which something of a tenant is due, or ends."""

    day: str
    """The day (ISO 8601)."""
    tenant: str
    """The tenant's name."""
    connector: str
    """The connector's id."""
    step: str
    """The first step that it is about."""
    kind: str
    """
    The kind of item, such as `handed-over`; a tenant has one item of a kind and title for a day.
    """
    title: str
    """The kind of item, in words."""
    headline: str
    """The title of its row in each list, without the person's name."""
    places: tuple[str, ...]
    """Number and title of each step that it is about."""
    description: str
    """The text of its calendar entry."""
    since: str
    """The time since which it is known (ISO 8601)."""
    person: str = ""
    """The person who has it; empty for anybody."""
    is_practice: bool = False
    """Whether it belongs to a practice tenant."""
    is_end: bool = False
    """Whether a remote system says that something ends, such as a token."""

    @property
    def text(self) -> str:
        """The title with the steps, without the person's name."""
        return f"{self.title} ({', '.join(self.places)})"

    @property
    def summary(self) -> str:
        """The line of the calendar's entry, with the tenant's name."""
        mark = "SANDBOX " if self.is_practice else ""
        return f"{mark}{self.tenant}: {self.text}"

    @property
    def uid(self) -> str:
        """The id of its calendar entry, which stays the same when the day moves."""
        key = "\0".join((self.tenant, self.connector, self.step, self.kind))
        return f"{hashlib.sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}@runbook"


def due_items_at_steps(tenant: str, connector: str, state: RunState) -> Iterator[DueItem]:
    """Yield an item for each day on which something is due or ends at a step."""
    for step in state.steps.values():
        yield from _due_items_at(step, tenant, connector, is_practice=state.is_practice)


def merge_due_items(at_steps: Iterable[DueItem], *, person: str = "") -> list[DueItem]:
    """
    Return the items by day; steps that name the same thing and day share one.

    With `person`, return only the items that were handed over to that name.
    """
    alike_items: dict[tuple[str, ...], list[DueItem]] = defaultdict(list)
    for due_item in at_steps:
        if not person or person_key(due_item.person) == person_key(person):
            key = (
                due_item.tenant,
                due_item.kind,
                due_item.day,
                due_item.title,
                person_key(due_item.person),
            )
            alike_items[key].append(due_item)
    return sorted(_merged(alike) for alike in alike_items.values())


def _merged(alike: list[DueItem]) -> DueItem:
    alike = sorted(alike, key=lambda due_item: due_item.connector)
    places = dict.fromkeys(place for due_item in alike for place in due_item.places)
    descriptions = dict.fromkeys(due_item.description for due_item in alike)
    return replace(alike[0], places=tuple(places), description=" ".join(descriptions))


def icalendar_file(known: Iterable[DueItem]) -> bytes:
    """Return a calendar file with an all-day entry for each item."""
    from icalendar import Calendar, Event  # noqa: PLC0415  (slow to import)

    calendar = Calendar()
    calendar.add("prodid", "-//runbook//due//EN")
    calendar.add("version", "2.0")
    for due_item in known:
        event = Event()
        event.add("uid", due_item.uid)
        stamp = datetime.fromisoformat(due_item.since).astimezone(UTC)
        event.add("dtstamp", stamp.replace(microsecond=0))
        event.add("dtstart", date.fromisoformat(due_item.day))
        event.add("summary", one_line(due_item.summary))
        event.add("description", one_line(due_item.description))
        event.add("transp", "TRANSPARENT")
        calendar.add_component(event)
    content: bytes = calendar.to_ical()
    return content


def _due_items_at(
    step: StepState, tenant: str, connector: str, *, is_practice: bool
) -> Iterator[DueItem]:
    note = step.assignment
    attestation = step.attestation
    base = DueItem(
        day="",
        tenant=tenant,
        connector=connector,
        step=step.step.id,
        kind="",
        title="",
        headline=open_title(step),
        places=(f"{step.number} {step.step.title}",),
        description="",
        since="",
        is_practice=is_practice,
    )
    if note and note.due:
        yield replace(
            base, kind="handed-over", day=note.due, title=f"due, {note.to}", since=note.at,
            description=f"Handed over to {note.to} by {note.by}. {note.note}".strip(),
            person=note.to,
        )  # fmt: skip
    if attestation and attestation.due:
        yield replace(
            base, kind="asked-for", day=attestation.due, title="due", since=attestation.at,
            description=f"{attestation.by} reported it on {attestation.at}.",
        )  # fmt: skip
    ending = [(attestation, step.ends_on)] if attestation and step.ends_on else []
    if step.has_expired:
        ending += [
            (lapsed.attestation, lapsed.ended) for lapsed in step.void_attestations if lapsed.ended
        ][:1]
    for confirmed, day in ending:
        sentence = confirmed.sentence or step.step.sentence
        yield replace(
            base, kind="attestation", day=day, title="confirm it again", since=confirmed.at,
            description=f"{confirmed.by} confirmed on {confirmed.at}: {sentence}",
        )  # fmt: skip
    for finding in step.all_findings:
        for name, value in finding.facts.items():
            if name.endswith(_ENDS_ON) and is_day(str(value)):
                kind = name.removesuffix(_ENDS_ON)
                words = (_ABBREVIATIONS.get(word, word) for word in kind.split("_"))
                title = f"{' '.join(words)} ends"
                yield replace(
                    base, kind=kind, day=str(value), title=title,
                    headline=f"{title[:1].upper()}{title[1:]}",
                    description=finding.reason, since=step.checked_on, is_end=True,
                )  # fmt: skip


def is_day(text: str) -> bool:
    """Return whether a text is a day (ISO 8601)."""
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True
