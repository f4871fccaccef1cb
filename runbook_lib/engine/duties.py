"""
The dated duties of tenants, and the calendar (RFC 5545) that has them. Pure.

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
from runbook_lib.core.state import RunState, StepState
from runbook_lib.plain_text import one_line

# The end of the name of a fact that is the day on which something ends.
_ENDS_ON = "_ends_on"
# How people write a word of such a name.
_ABBREVIATIONS = {"api": "API"}


@dataclass(frozen=True, slots=True, order=True)
class Duty:
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


def duties_at_steps(tenant: str, connector: str, state: RunState) -> Iterator[Duty]:
    """Yield what is due, or ends, at each step of a connector of a tenant."""
    for step in state.steps.values():
        yield from _duties_at(step, tenant, connector, is_practice=state.is_practice)


def joined_duties(at_steps: Iterable[Duty], *, person: str = "") -> list[Duty]:
    """
    Return one duty for what several steps know of one thing and day, by day.

    With `person`, only what was handed over to that name.
    """
    found: dict[tuple[str, ...], list[Duty]] = defaultdict(list)
    for duty in at_steps:
        if not person or person_key(duty.person) == person_key(person):
            key = (duty.tenant, duty.what, duty.day, duty.title, person_key(duty.person))
            found[key].append(duty)
    return sorted(_joined(alike) for alike in found.values())


def _joined(alike: list[Duty]) -> Duty:
    alike = sorted(alike, key=lambda duty: duty.connector)
    places = dict.fromkeys(place for duty in alike for place in duty.places)
    descriptions = dict.fromkeys(duty.description for duty in alike)
    return replace(alike[0], places=tuple(places), description=" ".join(descriptions))


def calendar(known: Iterable[Duty]) -> bytes:
    """Return the calendar of these duties, as all-day entries."""
    from icalendar import Calendar, Event  # noqa: PLC0415  (slow to import)

    made = Calendar()
    made.add("prodid", "-//runbook//duties//EN")
    made.add("version", "2.0")
    for duty in known:
        event = Event()
        event.add("uid", duty.uid)
        stamp = datetime.fromisoformat(duty.since).astimezone(UTC)
        event.add("dtstamp", stamp.replace(microsecond=0))
        event.add("dtstart", date.fromisoformat(duty.day))
        event.add("summary", one_line(duty.summary))
        event.add("description", one_line(duty.description))
        event.add("transp", "TRANSPARENT")
        made.add_component(event)
    content: bytes = made.to_ical()
    return content


def _duties_at(
    step: StepState, tenant: str, connector: str, *, is_practice: bool
) -> Iterator[Duty]:
    note, attestation = step.assignment, step.attestation
    base = Duty(
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
