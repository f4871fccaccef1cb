"""
The timeline: people's words, checks and waits, in the order of their times.

Derived from journal lines, or from the records of several runs. Pure. A time
that a person named may be long before its line was written: both are kept.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from msgspec import structs, to_builtins

from runbook_lib.core.conclusion import combine
from runbook_lib.core.model import (
    ChangeIntended,
    Checked,
    CheckWithheld,
    Entry,
    JournalRepaired,
    Outcome,
    RunFinished,
    RunInterrupted,
    RunStarted,
    Statement,
    Word,
    WordKind,
)
from runbook_lib.core.step_record import StepRecord
from runbook_lib.evidence.record import Record
from runbook_lib.evidence.reports.phrases import parse_time, plain

_LONG_AGO = datetime(1, 1, 1, tzinfo=UTC)
# Outcomes that end a wait; an inconclusive check does not.
_ENDS = (Outcome.VERIFIED, Outcome.ATTESTED, Outcome.FAILED, Outcome.SKIPPED)
_OUTCOMES: Mapping[WordKind, Outcome] = {
    WordKind.ATTESTED: Outcome.ATTESTED,
    WordKind.SUBMITTED: Outcome.WAITING,
    WordKind.DECLINED: Outcome.FAILED,
    WordKind.SKIPPED: Outcome.SKIPPED,
    WordKind.WITHDRAWN: Outcome.NOT_RUN,
}
# Of a secret a word holds this only.
_FINGERPRINT = re.compile("[0-9a-f]{8}:[0-9a-f]{64}")
_ABOUT = {"app_name": "App", "app_id": "App ID", "service_domain": "Service Domain"}


class TimelineWord(Word, kw_only=True):
    """A word about a step, and when it was recorded, as far as its line is there."""

    written_on: str = ""

    @property
    def outcome(self) -> Outcome:
        """Return the step's outcome by this word alone."""
        return Outcome.WAITING if self.due else _OUTCOMES[self.kind]

    @property
    def about(self) -> str:
        """Return what it is about: app, Service Domain, and the rest of its subject."""
        named = {label: getattr(self, name) for name, label in _ABOUT.items()}
        rest = {
            name.replace("_", " "): plain(value)
            for name, value in self.binding.subject.items()
            if name not in _ABOUT
        }
        return ", ".join(
            f"{label} {value}"
            for label, value in {**named, **rest}.items()
            if value and not _FINGERPRINT.fullmatch(value)
        )


@dataclass(frozen=True, slots=True)
class Wait:
    """A wait for an outside party: `until` is empty while it lasts, `by` named its start."""

    step: str
    since: str
    by: str = ""
    until: str = ""
    outcome: Outcome | None = Outcome.WAITING


@dataclass(frozen=True, slots=True)
class Event:
    """
    An event of a step (with its `outcome`), or of the run.

    `times` counts consecutive checks with the same outcome, the last one at `last`. `since` is
    when a wait began according to `who`, if that is another time.
    """

    at: str
    text: str = ""
    who: str = ""
    step: str = ""
    outcome: Outcome | None = None
    times: int = 1
    last: str = ""
    since: str = ""


def words_by_step(entries: Sequence[Entry], run: Record) -> dict[str, list[TimelineWord]]:
    """Return the words about each step, oldest first; the last one counts."""
    words: dict[str, list[TimelineWord]] = {}
    for entry in _without_repeats(entries):
        if isinstance(entry.data, Statement):
            words.setdefault(entry.step, []).append(_word(entry))
    for step in run.steps:
        if step.id not in words:
            words[step.id] = [TimelineWord(**structs.asdict(step.word))] if step.word else []
    return words


def events(entries: Sequence[Entry], run: Record) -> list[Event]:
    """
    Return the events up to the end of `run`, oldest first.

    Checks are those of this run, and in a walkthrough those of earlier runs
    too, as in the record. Other runs appear only with their start and end.
    """
    steps = {step.id for step in run.steps}
    happened: list[Event] = []
    latest: dict[str, int] = {}
    for entry in _without_repeats(entries):
        is_mine = entry.run_id == run.run_id
        seen = _sighting(entry)
        if seen is None:
            happened += _other_events(entry, is_mine=is_mine)
        elif isinstance(entry.data, Statement):
            happened.append(seen)
        elif is_mine or run.mode == "interactive":
            before = latest.get(entry.step)
            if before is not None and happened[before].outcome is seen.outcome:
                same = happened[before]
                happened[before] = replace(same, times=same.times + 1, last=entry.at)
            else:
                latest[entry.step] = len(happened)
                happened.append(seen)
    happened = [event for event in happened if not event.step or event.step in steps]
    return sorted(happened, key=lambda event: _moment(event.at))


def waits_of_run(entries: Sequence[Entry], run: Record) -> list[Wait]:
    """Return each wait of a step up to the end of `run`, oldest first."""
    waits = _waits(filter(None, map(_sighting, entries)))
    open_steps = {wait.step for wait in waits if not wait.until}
    known = {step.id for step in run.steps}
    for step in run.steps:
        if step.outcome == Outcome.WAITING and step.id not in open_steps:
            waits += _waits([_concluded(step, run)])
    return _sorted(wait for wait in waits if wait.step in known)


def waits_across_runs(runs: Sequence[Record]) -> list[Wait]:
    """Return each wait in the records of a tenant, which are given oldest first."""
    seen = [_concluded(step, run) for run in runs for step in run.steps]
    return _sorted(_waits(seen))


def _sorted(waits: Iterable[Wait]) -> list[Wait]:
    return sorted(waits, key=lambda wait: (_moment(wait.since), wait.step))


def _waits(sightings: Iterable[Event]) -> list[Wait]:
    """Return the waits that these outcomes begin and end."""
    going: dict[str, Wait] = {}
    ended: list[Wait] = []
    ends: dict[str, datetime] = {}
    machine: dict[str, Outcome | None] = {}
    for seen in sightings:
        step, wait = seen.step, going.get(seen.step)
        if not seen.who:
            machine[step] = seen.outcome
        if seen.outcome is Outcome.WAITING:
            begun = Wait(step, seen.since or seen.at, seen.who)
            if _moment(begun.since) < ends.get(step, _LONG_AGO):
                # The person's word is about a wait that has ended.
                if not seen.since:
                    continue
                begun = Wait(step, seen.at)
            if wait is None or _moment(begun.since) < _moment(wait.since):
                going[step] = begun
        elif wait is not None:
            # An attestation against the machine does not end a wait.
            is_against = seen.outcome is Outcome.ATTESTED and machine.get(step) is Outcome.WAITING
            is_end = seen.outcome in _ENDS and not (seen.who and is_against)
            if is_end or (seen.outcome is Outcome.NOT_RUN and seen.who):
                ended.append(replace(going.pop(step), until=seen.at, outcome=seen.outcome))
                ends[step] = _moment(seen.at)
    return [*ended, *going.values()]


def _sighting(entry: Entry) -> Event | None:
    """Return the outcome of a step by the check or the word in a line, if it is one."""
    if isinstance(entry.data, Statement):
        word = _word(entry)
        return Event(word.at, who=word.by, step=entry.step, outcome=word.outcome)
    is_check = isinstance(entry.data, Checked | CheckWithheld)
    conclusion = combine(entry.data.findings) if is_check else None
    return Event(entry.at, step=entry.step, outcome=conclusion.outcome) if conclusion else None


def _concluded(step: StepRecord, run: Record) -> Event:
    """Return a step's outcome in a record, with the person's word if it waits."""
    seen = Event(step.checked_on or run.started_on, step=step.id, outcome=step.outcome)
    if step.word and step.outcome is Outcome.WAITING:
        return replace(seen, who=step.word.by, since=step.word.at)
    return seen


def _without_repeats(entries: Iterable[Entry]) -> list[Entry]:
    """
    Return `entries` without words that a person repeated in another file.

    A repeated word has its first text at its last place, since the last one counts.
    """
    once: dict[object, Entry] = {}
    for number, entry in enumerate(entries):
        key: object = number
        if isinstance(entry.data, Statement):
            spoken = to_builtins(structs.replace(entry.data, origin=""))
            key = (entry.type, entry.step, json.dumps(spoken))
        once[key] = once.pop(key, entry)
    return list(once.values())


def _word(entry: Entry) -> TimelineWord:
    kind = WordKind(entry.type.removeprefix("step."))
    said = structs.asdict(entry.data)
    return TimelineWord(**said, kind=kind, step=entry.step, written_on=entry.at)


def _other_events(entry: Entry, *, is_mine: bool) -> Iterator[Event]:
    """Yield the event of a line without an outcome, if a reader of the run needs it."""
    data = entry.data
    whose = "This run" if is_mine else f"Run {entry.run_id}"
    if isinstance(data, ChangeIntended) and is_mine:
        yield Event(entry.at, f"About to change: {data.change}", step=entry.step)
    elif isinstance(data, JournalRepaired):
        yield Event(entry.at, f"An incomplete last journal line was removed ({data.bytes} bytes).")
    elif isinstance(data, RunStarted):
        yield Event(entry.at, f"{whose} started.")
    elif isinstance(data, RunInterrupted):
        yield Event(entry.at, f"{whose} was interrupted: {data.reason}")
    elif isinstance(data, RunFinished):
        yield Event(entry.at, f"{whose} ended: {data.outcome}.")


def _moment(text: str) -> datetime:
    return parse_time(text) or _LONG_AGO
