"""
What happened when: people's words, checks and waits, in the order of their times.

Derived from journal lines, or from the records of several runs; pure. A time
that a person named may lie long before the line that holds it: both are kept.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from runbook_lib.core.journal import Entry, EventType
from runbook_lib.core.procedure import Outcome, WordKind, combine
from runbook_lib.core.state import finding_from_document
from runbook_lib.evidence.reports.wording import parse_time

__all__ = [
    "Event",
    "Wait",
    "Word",
    "events",
    "said",
    "waits_across_runs",
    "waits_of_run",
]

_LONG_AGO = datetime(1, 1, 1, tzinfo=UTC)
# What ends a wait; a check that cannot tell does not.
_ENDS = (Outcome.VERIFIED, Outcome.ATTESTED, Outcome.FAILED, Outcome.SKIPPED)
_OUTCOMES: Mapping[WordKind, Outcome] = {
    WordKind.ATTESTED: Outcome.ATTESTED,
    WordKind.SUBMITTED: Outcome.WAITING,
    WordKind.DECLINED: Outcome.FAILED,
    WordKind.SKIPPED: Outcome.SKIPPED,
    WordKind.WITHDRAWN: Outcome.NOT_RUN,
}
_WORDS: Mapping[str, WordKind] = {f"step.{kind}": kind for kind in WordKind}


@dataclass(frozen=True, slots=True)
class Word:
    """What a person said of a step: when they say it was, and when it was recorded."""

    step: str
    by: str
    at: str
    kind: WordKind
    text: str = ""
    seen: str = ""
    origin: str = ""
    written_on: str = ""

    @property
    def outcome(self) -> Outcome:
        """Return what the step came to by this word alone."""
        return _OUTCOMES[self.kind]


@dataclass(frozen=True, slots=True)
class Wait:
    """A wait for the world: `until` is empty while it goes on, `by` who said since when."""

    step: str
    since: str
    by: str = ""
    until: str = ""
    outcome: Outcome = Outcome.WAITING


@dataclass(frozen=True, slots=True)
class Event:
    """
    One thing that happened: to a step (`outcome` says what came of it), or to the run.

    `times` counts the checks in a row that said the same, the last of them at `last`.
    """

    at: str
    text: str
    who: str = ""
    step: str = ""
    outcome: Outcome | None = None
    times: int = 1
    last: str = ""


@dataclass(frozen=True, slots=True)
class _Sighting:
    """
    A step was seen as something, at a time, by a person or (empty) by a machine.

    `since` is when the wait began in the words of `by`, where that is another time.
    """

    step: str
    at: str
    outcome: Outcome
    by: str = ""
    since: str = ""


def said(entries: Sequence[Entry], run: Mapping[str, Any]) -> dict[str, list[Word]]:
    """Return what people said of each step, oldest first; the last word is the one that counts."""
    words: dict[str, list[Word]] = {}
    for entry in _said_once(entries):
        if entry.type in _WORDS:
            words.setdefault(entry.step, []).append(_word(entry))
    for step in run["steps"]:
        if step["id"] not in words:
            word = step["word"]
            words[step["id"]] = [_spoken(step["id"], WordKind(word["kind"]), word)] if word else []
    return words


def events(entries: Sequence[Entry], run: Mapping[str, Any]) -> list[Event]:
    """
    Return what happened up to the end of `run`, oldest first.

    Checks are those of this run, in a walkthrough of every run before it too,
    as the record counts them; of other runs only that they were.
    """
    steps = {step["id"] for step in run["steps"]}
    found: list[Event] = []
    latest: dict[str, int] = {}
    for entry in _said_once(entries):
        is_mine = entry.run_id == run["run_id"]
        if entry.type == EventType.STEP_CHECKED:
            outcome = _seen(entry)
            if outcome is None or not (is_mine or run["mode"] == "interactive"):
                continue
            before = latest.get(entry.step)
            if before is not None and found[before].outcome is outcome:
                same = found[before]
                found[before] = replace(same, times=same.times + 1, last=entry.at)
            else:
                latest[entry.step] = len(found)
                found.append(Event(entry.at, "", step=entry.step, outcome=outcome))
        else:
            found += _told(entry, is_mine=is_mine)
    found = [event for event in found if not event.step or event.step in steps]
    return sorted(found, key=lambda event: _moment(event.at))


def waits_of_run(entries: Sequence[Entry], run: Mapping[str, Any]) -> list[Wait]:
    """Return each wait of a step up to the end of `run`, the oldest first."""
    waits = _waits(_sightings(entries))
    open_steps = {wait.step for wait in waits if not wait.until}
    known = {step["id"] for step in run["steps"]}
    for step in run["steps"]:
        if step["outcome"] == Outcome.WAITING and step["id"] not in open_steps:
            waits += _waits([_concluded(step, run)])
    return _sorted(wait for wait in waits if wait.step in known)


def waits_across_runs(runs: Sequence[Mapping[str, Any]]) -> list[Wait]:
    """Return each wait that the records of a tenant, the oldest first, tell of."""
    seen = [_concluded(step, run) for run in runs for step in run["steps"]]
    return _sorted(_waits(seen))


def _sorted(waits: Iterable[Wait]) -> list[Wait]:
    return sorted(waits, key=lambda wait: (_moment(wait.since), wait.step))


def _waits(sightings: Iterable[_Sighting]) -> list[Wait]:
    going: dict[str, Wait] = {}
    ended: list[Wait] = []
    ends: dict[str, datetime] = {}
    machine: dict[str, Outcome] = {}
    for seen in sightings:
        wait = going.get(seen.step)
        if not seen.by:
            machine[seen.step] = seen.outcome
        if seen.outcome is Outcome.WAITING:
            begun = _begun(seen, ends.get(seen.step, _LONG_AGO))
            if begun and (wait is None or _moment(begun.since) < _moment(wait.since)):
                going[seen.step] = begun
        elif wait is not None and _is_end(seen, machine.get(seen.step)):
            ended.append(replace(going.pop(seen.step), until=seen.at, outcome=seen.outcome))
            ends[seen.step] = _moment(seen.at)
    return [*ended, *going.values()]


def _begun(seen: _Sighting, last_end: datetime) -> Wait | None:
    """Return the wait that `seen` tells of; a person's word may tell again of one that is over."""
    if _moment(seen.since) >= last_end and seen.since:
        return Wait(seen.step, seen.since, seen.by)
    if seen.since:
        return Wait(seen.step, seen.at)
    return Wait(seen.step, seen.at, seen.by) if _moment(seen.at) >= last_end else None


def _is_end(seen: _Sighting, machine: Outcome | None) -> bool:
    """Tell whether a wait is over: not by a person's word against the machine's."""
    is_against = seen.outcome is Outcome.ATTESTED and seen.by and machine is Outcome.WAITING
    is_withdrawn = seen.outcome is Outcome.NOT_RUN and bool(seen.by)
    return is_withdrawn or (seen.outcome in _ENDS and not is_against)


def _sightings(entries: Iterable[Entry]) -> Iterator[_Sighting]:
    for entry in entries:
        if entry.type == EventType.STEP_CHECKED:
            outcome = _seen(entry)
            if outcome is not None:
                yield _Sighting(entry.step, entry.at, outcome)
        elif entry.type in _WORDS:
            word = _word(entry)
            yield _Sighting(entry.step, word.at, word.outcome, word.by)


def _concluded(step: Mapping[str, Any], run: Mapping[str, Any]) -> _Sighting:
    """Return what a record says of a step, with the person's word where it waits."""
    at, outcome = step["checked_on"] or run["started_on"], Outcome(step["outcome"])
    word = step["word"]
    if word and outcome is Outcome.WAITING:
        return _Sighting(step["id"], at, outcome, word["by"], word["at"])
    return _Sighting(step["id"], at, outcome)


def _said_once(entries: Iterable[Entry]) -> list[Entry]:
    """
    Return `entries` with what a person said again in another file left out.

    The word stands where it was written last, since the last one counts, and
    as it was written first.
    """
    once: dict[object, Entry] = {}
    for number, entry in enumerate(entries):
        key: object = number
        if entry.type in _WORDS:
            said = {name: value for name, value in entry.data.items() if name != "origin"}
            key = (entry.type, entry.step, json.dumps(said, sort_keys=True))
        once[key] = once.pop(key, entry)
    return list(once.values())


def _word(entry: Entry) -> Word:
    return _spoken(entry.step, _WORDS[entry.type], entry.data, written_on=entry.at)


def _spoken(
    step: str, kind: WordKind, document: Mapping[str, Any], *, written_on: str = ""
) -> Word:
    return Word(
        step,
        document["by"],
        document["at"],
        kind,
        document.get("note") or "",
        document.get("seen") or "",
        document.get("origin") or "",
        written_on,
    )


def _seen(entry: Entry) -> Outcome | None:
    findings = tuple(finding_from_document(each) for each in entry.data["findings"])
    conclusion = combine(findings)
    return conclusion.outcome if conclusion else None


def _told(entry: Entry, *, is_mine: bool) -> Iterator[Event]:
    """Yield what a line other than a check's tells a reader of the run."""
    data = entry.data
    if entry.type in _WORDS:
        word = _word(entry)
        yield Event(word.at, word.text, word.by, entry.step, word.outcome)
    elif entry.type == EventType.CHANGE_INTENDED and is_mine:
        yield Event(entry.at, f"About to change: {data['change']}", step=entry.step)
    elif entry.type == EventType.JOURNAL_MENDED:
        text = f"A last journal line that was cut off was set aside ({data['bytes']} bytes)."
        yield Event(entry.at, text)
    elif entry.type == EventType.RUN_STARTED:
        yield Event(entry.at, "This run began." if is_mine else f"Run {entry.run_id} began.")
    elif entry.type == EventType.RUN_INTERRUPTED:
        whose = "This run" if is_mine else f"Run {entry.run_id}"
        yield Event(entry.at, f"{whose} was cut off: {data['reason']}")
    elif entry.type == EventType.RUN_FINISHED:
        whose = "This run" if is_mine else f"Run {entry.run_id}"
        yield Event(entry.at, f"{whose} ended: {data['outcome']}.")


def _moment(text: str) -> datetime:
    return parse_time(text) or _LONG_AGO
