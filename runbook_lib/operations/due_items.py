"""The days on which something of a tenant is due, or ends. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from functools import partial

from runbook_lib.core.people import person_key
from runbook_lib.run.advice import open_title
from runbook_lib.run.state import RunState, StepState

# The end of the name of a fact that is the day on which something ends.
_ENDS_ON = "_ends_on"
# Words of such a name that people spell differently.
_ABBREVIATIONS = {"api": "API"}


@dataclass(frozen=True, slots=True, order=True)
class DueItem:
    """A day on which something of a connector of a tenant is due, or ends."""

    day: str
    """The day (ISO 8601)."""
    step: str
    """The first step that it is about."""
    kind: str
    """The kind of item, such as `handed-over`; there is one of a kind and title for a day."""
    title: str
    """The kind of item, in words."""
    headline: str
    """The title of its row in each list, without the person's name."""
    places: tuple[str, ...]
    """The title of each step that it is about."""
    description: str
    """A sentence about the item and what to do."""
    since: str
    """The time since which it is known (ISO 8601)."""
    person: str = ""
    """The person who has it; empty for anybody."""
    is_end: bool = False
    """Whether a remote system says that something ends, such as a token."""

    @property
    def text(self) -> str:
        """The title with the steps, without the person's name."""
        return f"{self.title} ({', '.join(self.places)})"


def due_items(state: RunState) -> list[DueItem]:
    """Return the items of all steps by day; steps that name the same thing and day share one."""
    alike_items: dict[tuple[str, ...], list[DueItem]] = defaultdict(list)
    for step in state.steps:
        for due_item in _due_items_at(step):
            person = person_key(due_item.person)
            alike_items[due_item.kind, due_item.day, due_item.title, person].append(due_item)
    return sorted(_merged(alike) for alike in alike_items.values())


def _merged(alike: list[DueItem]) -> DueItem:
    places = dict.fromkeys(place for due_item in alike for place in due_item.places)
    descriptions = dict.fromkeys(due_item.description for due_item in alike)
    return replace(alike[0], places=tuple(places), description=" ".join(descriptions))


def _due_items_at(step: StepState) -> Iterator[DueItem]:
    note = step.assigned
    attestation = step.attestation
    due_item = partial(
        DueItem,
        step=step.id,
        headline=open_title(step),
        places=(step.title,),
    )
    if note and note.due:
        yield due_item(
            kind="handed-over", day=note.due, title=f"due, {step.assigned_to}", since=note.at,
            description=f"Handed over to {step.assigned_to} by {note.by}. {note.note}".strip(),
            person=step.assigned_to,
        )  # fmt: skip
    if attestation and attestation.due:
        yield due_item(
            kind="asked-for", day=attestation.due, title="due", since=attestation.at,
            description=f"{attestation.by} reported it on {attestation.at}.",
        )  # fmt: skip
    ending = [(attestation, step.ends_on)] if attestation and step.ends_on else []
    if step.has_expired:
        ending += [
            (lapsed.attestation, lapsed.ended) for lapsed in step.void_attestations if lapsed.ended
        ][:1]
    for confirmed, day in ending:
        sentence = confirmed.sentence or step.sentence
        yield due_item(
            kind="attestation", day=day, title="confirm it again", since=confirmed.at,
            description=f"{confirmed.by} confirmed on {confirmed.at}: {sentence}",
        )  # fmt: skip
    for finding in step.findings:
        for name, value in finding.facts.items():
            if name.endswith(_ENDS_ON) and is_day(str(value)):
                kind = name.removesuffix(_ENDS_ON)
                words = (_ABBREVIATIONS.get(word, word) for word in kind.split("_"))
                title = f"{' '.join(words)} ends"
                yield due_item(
                    kind=kind, day=str(value), title=title,
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
