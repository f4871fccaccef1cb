"""
The dated duties of tenants, and the calendar (RFC 5545) that has them. Pure.

Equal states give the same bytes: an entry's stamp is when its reason was said or seen.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime

from runbook_lib.core.state import StepState
from runbook_lib.core.words import person_key
from runbook_lib.engine.tenants import TenantState
from runbook_lib.plain_text import one_line

# The end of the name of a fact that is the day on which something ends.
_ENDS_ON = "_ends_on"


@dataclass(frozen=True, slots=True, order=True)
class Duty:
    """
    What is due on `day`: `what` it is, at which step of whom, known since `since`.

    `text` says so in words, without whose it is.
    """

    day: str
    tenant: str
    connector: str
    step: str
    what: str
    text: str
    description: str
    since: str
    person: str = ""
    is_practice: bool = False

    @property
    def summary(self) -> str:
        """Return the line of the calendar's entry, with whose it is."""
        return f"{'SANDBOX ' * self.is_practice}{self.tenant}: {self.text}"

    @property
    def uid(self) -> str:
        """Return what stays the same when the day moves."""
        key = "\0".join((self.tenant, self.connector, self.step, self.what))
        return f"{hashlib.sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}@runbook"


def duties(tenants: Iterable[TenantState], *, person: str = "") -> list[Duty]:
    """Return every dated duty, by day; with `person`, only what was handed over to that name."""
    known = [
        duty
        for tenant in tenants
        for step in tenant.state.steps.values()
        for duty in _duties_at(step, tenant)
        if not person or person_key(duty.person) == person_key(person)
    ]
    return sorted(known)


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


def _duties_at(step: StepState, tenant: TenantState) -> Iterator[Duty]:
    place = (tenant.tenant, tenant.connector, step.step.id)
    for what, day, text, why, since, person in _dates_at(step):
        named = f"{text} ({step.number} {step.step.title})"
        yield Duty(day, *place, what, named, why, since, person, tenant.state.is_practice)


def _dates_at(step: StepState) -> Iterator[tuple[str, str, str, str, str, str]]:
    """Yield what is due at a step, on which day, in words, why, since when known, and to whom."""
    note, word = step.assignment, step.word
    if note and note.due:
        why = f"Handed over to {note.to} by {note.by}. {note.note}".strip()
        yield "handed-over", note.due, f"due, {note.to}", why, note.at, note.to
    if word and word.due:
        yield "asked-for", word.due, "due", f"{word.by} reported it on {word.at}.", word.at, ""
    ending = [(word, step.ends_on)] if word and step.ends_on else []
    if step.has_grown_old:
        ending += [(lapsed.word, lapsed.ended) for lapsed in step.lapsed if lapsed.ended][:1]
    for said, day in ending:
        why = f"{said.by} confirmed on {said.at}: {said.sentence or step.step.sentence}"
        yield "word", day, "confirm it again", why, said.at, ""
    for finding in step.all_findings:
        for name, value in finding.facts.items():
            if name.endswith(_ENDS_ON):
                what = name.removesuffix(_ENDS_ON)
                text = f"{what.replace('_', ' ')} ends"
                yield what, str(value), text, finding.reason, step.checked_on, ""
