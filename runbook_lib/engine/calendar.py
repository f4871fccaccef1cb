"""
The due items of tenants, and a calendar file (RFC 5545) of them. Pure.

Equal states give the same bytes: an entry's stamp is when its reason was said or seen.
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
# How people write a word of such a name.
_ABBREVIATIONS = {"api": "API"}


@dataclass(frozen=True, slots=True, order=True)
class DueItem:
    """Something of a tenant that is due, or ends, on a day."""

    day: str
    tenant: str
    connector: str
    step: str
    """The first step that it is about."""
    what: str
    """What it is; a tenant has each thing once for a day."""
    title: str
    """What it is, in words."""
    headline: str
    """The title of its row in each list, without whose it is."""
    places: tuple[str, ...]
    """Number and title of each step that it is about."""
    description: str
    since: str
    """Since when that is known."""
    person: str = ""
    """Whose it is; empty for anybody."""
    is_practice: bool = False
    is_end: bool = False
    """Whether a remote system says that something ends, such as a token."""

    @property
    def text(self) -> str:
        """What it is, and at which steps, without whose it is."""
        return f"{self.title} ({', '.join(self.places)})"

    @property
    def summary(self) -> str:
        """The line of the calendar's entry, with whose it is."""
        mark = "SANDBOX " if self.is_practice else ""
        return f"{mark}{self.tenant}: {self.text}"

    @property
    def uid(self) -> str:
        """The calendar's id of it, which stays the same when the day moves."""
        key = "\0".join((self.tenant, self.connector, self.step, self.what))
        return f"{hashlib.sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}@runbook"


def due_items_at_steps(tenant: str, connector: str, state: RunState) -> Iterator[DueItem]:
    """Yield what is due, or ends, at each step of a connector of a tenant."""
    for step in state.steps.values():
        yield from _due_items_at(step, tenant, connector, is_practice=state.is_practice)


def merge_due_items(at_steps: Iterable[DueItem], *, person: str = "") -> list[DueItem]:
    """
    Return the items by day, one for each thing and day that several steps name.

    With `person`, only what was handed over to that name.
    """
    found: dict[tuple[str, ...], list[DueItem]] = defaultdict(list)
    for due_item in at_steps:
        if not person or person_key(due_item.person) == person_key(person):
            key = (
                due_item.tenant,
                due_item.what,
                due_item.day,
                due_item.title,
                person_key(due_item.person),
            )
            found[key].append(due_item)
    return sorted(_merged(alike) for alike in found.values())


def _merged(alike: list[DueItem]) -> DueItem:
    alike = sorted(alike, key=lambda due_item: due_item.connector)
    places = dict.fromkeys(place for due_item in alike for place in due_item.places)
    descriptions = dict.fromkeys(due_item.description for due_item in alike)
    return replace(alike[0], places=tuple(places), description=" ".join(descriptions))


def icalendar_file(known: Iterable[DueItem]) -> bytes:
    """Return a calendar file with an all-day entry for each item."""
    from icalendar import Calendar, Event  # noqa: PLC0415  (slow to import)

    made = Calendar()
    made.add("prodid", "-//runbook//due//EN")
    made.add("version", "2.0")
    for due_item in known:
        event = Event()
        event.add("uid", due_item.uid)
        stamp = datetime.fromisoformat(due_item.since).astimezone(UTC)
        event.add("dtstamp", stamp.replace(microsecond=0))
        event.add("dtstart", date.fromisoformat(due_item.day))
        event.add("summary", one_line(due_item.summary))
        event.add("description", one_line(due_item.description))
        event.add("transp", "TRANSPARENT")
        made.add_component(event)
    content: bytes = made.to_ical()
    return content


def _due_items_at(
    step: StepState, tenant: str, connector: str, *, is_practice: bool
) -> Iterator[DueItem]:
    note, attestation = step.assignment, step.attestation
    base = DueItem(
        day="",
        tenant=tenant,
        connector=connector,
        step=step.step.id,
        what="",
        title="",
        headline=open_title(step),
        places=(f"{step.number} {step.step.title}",),
        description="",
        since="",
        is_practice=is_practice,
    )
    if note and note.due:
        yield replace(
            base, what="handed-over", day=note.due, title=f"due, {note.to}", since=note.at,
            description=f"Handed over to {note.to} by {note.by}. {note.note}".strip(),
            person=note.to,
        )  # fmt: skip
    if attestation and attestation.due:
        yield replace(
            base, what="asked-for", day=attestation.due, title="due", since=attestation.at,
            description=f"{attestation.by} reported it on {attestation.at}.",
        )  # fmt: skip
    ending = [(attestation, step.ends_on)] if attestation and step.ends_on else []
    if step.has_expired:
        ending += [
            (lapsed.attestation, lapsed.ended) for lapsed in step.void_attestations if lapsed.ended
        ][:1]
    for said, day in ending:
        yield replace(
            base, what="attestation", day=day, title="confirm it again", since=said.at,
            description=f"{said.by} confirmed on {said.at}: {said.sentence or step.step.sentence}",
        )  # fmt: skip
    for finding in step.all_findings:
        for name, value in finding.facts.items():
            if name.endswith(_ENDS_ON) and _is_day(str(value)):
                what = name.removesuffix(_ENDS_ON)
                words = (
                    _ABBREVIATIONS.get(attestation, attestation) for attestation in what.split("_")
                )
                title = f"{' '.join(words)} ends"
                yield replace(
                    base, what=what, day=str(value), title=title,
                    headline=f"{title[:1].upper()}{title[1:]}",
                    description=finding.reason, since=step.checked_on, is_end=True,
                )  # fmt: skip


def _is_day(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True
