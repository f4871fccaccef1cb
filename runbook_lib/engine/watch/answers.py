"""
What a watch knows of a tenant, in `watch.json` beside its journal: answers, and what changed.

It is no evidence, and holds no secrets and nothing about messages. Nothing here asks a remote
system.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection
from contextlib import AbstractContextManager, suppress
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from runbook_lib.connectors.findings import COMPARED
from runbook_lib.core.files import locked, read_plain, write_whole
from runbook_lib.core.model import Finding, Outcome
from runbook_lib.core.outcome import LABELS, OUTCOMES
from runbook_lib.errors import BusyError, SettingsError, reported_as

WATCH_NAME = "watch.json"

# RFC 3339 with a zone; empty for never.
_MOMENT = r"\d{4}-[01]\d-[0-3]\dT[0-2]\d:[0-5]\d:[0-5]\d(\.\d+)?(Z|[+-]\d\d:\d\d)"
Time = Annotated[str, Meta(pattern=rf"^({_MOMENT})?$")]
# NOTE: msgspec takes an object without a tag, too.
_BEGIN = re.compile(rb'\s*\{\s*"form"\s*:\s*([0-9]{1,9})')
_Kept = TypeVar("_Kept", bound=Struct)

# 200,000 customers, all of Cyclr's list, who are signed out at once take 90 MB.
_LARGEST = 256 * 1024 * 1024
# Of changes that were shown, the newest are kept.
_MOST_SHOWN = 50
# A changed answer counts when another look, so much later, says the same.
_CONFIRMED_AFTER = timedelta(minutes=5)
# A day on which something ends is a duty of the calendar: that it moves is no change.
_ENDS_ON = "_ends_on"
# Between the value that was seen and the one that was meant.
_NOT_MEANT = ", not "
# Of these outcomes the reason says what the remote system decided.
_DECIDED = (Outcome.FAILED, Outcome.WAITING)
# Numbers, and how people write a day and a time ("Friday, 29-Jan-27 08:41:28 PST").
_NUMBERS_AND_DAYS = re.compile(
    r"[0-9]+:[0-9:]+(?: [AP]M)?(?: [A-Z]{3,4}\b)?|[0-9]+"
    r"|\b(?:Mon|Tue|Tues|Wed|Wednes|Thu|Thurs|Fri|Sat|Satur|Sun)(?:day)?\b"
    r"|\b(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?)\b"
    r"|\b(?:Sep(?:tember)?|Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?)\b"
)


class Kind(StrEnum):
    """What became of something that is watched."""

    FAILED = "failed"
    RECOVERED = "recovered"
    CHANGED = "changed"
    OUTAGE = "outage"
    OUTAGE_OVER = "outage_over"
    DUE = "due"
    REMINDER = "reminder"
    TEST = "test"

    @property
    def label(self) -> str:
        """Return it in the words that people read."""
        return _LABELS.get(self, self.value)


_LABELS = {
    Kind.OUTAGE: "could not be checked for a day",
    Kind.OUTAGE_OVER: "can be checked again",
    Kind.REMINDER: "still failing",
    Kind.TEST: "a test",
}


class Observation(Struct, frozen=True, forbid_unknown_fields=True):
    """
    What a check saw; it was first seen `on`.

    `details` are facts and compared values; of these `meant` names those that are as they were
    meant to be.
    """

    outcome: Outcome
    reason: str
    on: Time
    details: dict[str, str] = {}
    meant: list[str] = []

    @classmethod
    def of(cls, finding: Finding, on: str) -> Observation:
        """Return the answer in a masked finding."""
        details = {name: str(value) for name, value in finding.facts.items()}
        tables = [table for table in finding.tables if table.columns == COMPARED]
        rows = [row for table in tables for row in table.rows]
        for what, expected, actual in rows:
            # Of a verified answer only this says that a value is not the one that was meant.
            is_other = finding.outcome is Outcome.VERIFIED and actual != expected
            details[what] = f"{actual}{_NOT_MEANT}{expected}" if is_other else actual
        meant = [what for what, expected, actual in rows if actual == expected]
        return cls(finding.outcome, finding.reason, on, details, meant)

    def is_like(self, other: Observation) -> bool:
        """Return whether both say the same; days and numbers in a reason do not count."""
        is_other = self.outcome is not other.outcome or self._names != other._names
        if is_other or self._differing(other):
            return False
        return self.outcome not in _DECIDED or self.plain_reason == other.plain_reason

    def is_worse(self, other: Observation) -> bool:
        """Return whether less is proven than by the `other`."""
        return OUTCOMES[self.outcome].rank > OUTCOMES[other.outcome].rank

    def beside(self, other: Observation) -> str:
        """Return the outcome, and the details in which the `other` differs."""
        differing = [f"{name}: {value}" for name, value in self._differing(other).items()]
        named = f" ({', '.join(differing)})" if differing else ""
        return f"{LABELS[self.outcome]}{named}"

    def moved(self, other: Observation) -> list[tuple[str, ...]]:
        """Return what was and what is of each value that is not as the `other` has it."""
        pairs = [(other.details[name], value) for name, value in self._differing(other).items()]
        # What is not as it was meant names a cause by itself; a plain value ("live") does not.
        return [*pairs, *((text,) for pair in pairs for text in pair if _NOT_MEANT in text)]

    @property
    def plain_reason(self) -> str:
        """Return the reason without numbers, days and times."""
        return _NUMBERS_AND_DAYS.sub("", self.reason)

    @property
    def _names(self) -> set[str]:
        return {name for name in self.details if not name.endswith(_ENDS_ON)}

    def _differing(self, other: Observation) -> dict[str, str]:
        """Return the details that the `other` has otherwise, unless both are as was meant."""
        names = self._names & other._names - set(self.meant).intersection(other.meant)
        own = {name: value for name, value in self.details.items() if name in names}
        return {name: value for name, value in own.items() if other.details[name] != value}


class Topic(Struct, forbid_unknown_fields=True):
    """
    One check of a step, or the words about a step.

    `known` is the answer that counts. A `candidate` differs, and counts once it is seen again.
    While `change`, the id of a change for the worse, is open, `before` is what it was; where only
    the cause is shared, `known` need not be worse. Without an answer `unanswered` says since when
    and why.
    """

    known: Observation | None = None
    candidate: Observation | None = None
    before: Observation | None = None
    change: str = ""
    unanswered_since: Time = ""
    unanswered: str = ""

    @property
    def is_worse(self) -> bool:
        """Return whether less is proven than before the change."""
        return bool(self.known and self.before and self.known.is_worse(self.before))

    def silent_since(self, on: str) -> str:
        """Return since when there is no answer, if there is none `on` this time."""
        return min(self.unanswered_since or on, on)

    def take(self, answer: Observation, *, is_definite: bool = False) -> Observation | None:
        """Keep an answer; return the one that it replaces, if it counts and differs."""
        known = self.known
        if known is None or known.is_like(answer):
            since = known.on if known else answer.on
            self.known = replace(answer, on=since)
            self.candidate = None
            return None
        first = self.candidate
        # NOTE: what is first seen later than now was seen by a clock that was wrong.
        if first is None or first.on > answer.on or not first.is_like(answer):
            first = self.candidate = answer
        age = datetime.fromisoformat(answer.on) - datetime.fromisoformat(first.on)
        if not is_definite and age < _CONFIRMED_AFTER:
            return None
        self.known = replace(answer, on=first.on)
        self.candidate = None
        return known


class Change(Struct, forbid_unknown_fields=True):
    """
    What changed, as a person reads it; `ends` is the id of the change that is over with it.

    `since` is when it was first seen so, `also` are other steps with the same cause, and `person`
    has the step.
    """

    id: str
    kind: Kind
    on: Time
    since: Time
    step: str = ""
    check: str = ""
    title: str = ""
    was: str = ""
    now: str = ""
    reason: str = ""
    breaks: str = ""
    do: str = ""
    also: list[str] = []
    ends: str = ""
    person: str = ""
    shown_on: Time = ""


class Watched(Struct, forbid_unknown_fields=True, tag_field="form", tag=2):
    """
    Everything that is kept; `looked` says by step when it was last looked at.

    `outage` is the id of the change that reports the present one. Since `unsealed_since` an
    outcome has changed that no sealed run has seen; such a run failed on `seal_failed_on`.
    `reminded` are the ids of what was said of days on which something is due, with the day.
    """

    looked_on: Time = ""
    sealed_on: Time = ""
    seal_failed_on: Time = ""
    unsealed_since: Time = ""
    outage: str = ""
    looked: dict[str, Time] = {}
    reminded: dict[str, str] = {}
    topics: dict[str, Topic] = {}
    changes: list[Change] = []

    @property
    def lasting(self) -> set[str]:
        """Return the ids of the changes for the worse, and of an outage, that are not over."""
        return {self.outage, *(topic.change for topic in self.topics.values())} - {""}

    def save(self, path: Path) -> None:
        """Write it to `path`, atomically and durably."""
        write_whole(path, msgspec.json.encode(self))


class DamagedError(SettingsError):
    """What a watch keeps cannot be understood; `form` is that of another version, if it has one."""

    code = "watch-state-damaged"

    def __init__(self, path: Path, form: int | None, known: object) -> None:
        is_damaged = form in (None, known)
        other = f"has format {form}; this version of the runbook reads {known}"
        advice = f"Move it away: the next look begins a new {path.name}, without its content."
        super().__init__(f"{path} {'is damaged' if is_damaged else other}.", next_step=advice)
        self.form = None if is_damaged else form

    def set_aside(self, path: Path, name: str) -> str:
        """Move a damaged file to `name` and say so; raise this for one of another version."""
        if self.form is not None:
            raise self
        path.replace(path.with_name(name))
        return f"{self} It is now {name}."


def read_kept(path: Path, kind: type[_Kept], *, follows_links: bool = True) -> _Kept:
    """
    Return what a watch keeps at `path`; an empty one if there is no file.

    Raises `DamagedError` if it cannot be understood, `SettingsError` if it cannot be read.
    """
    advice = "Correct that, or move it away."
    with reported_as(SettingsError, f"{path} cannot be read", next_step=advice):
        try:
            content = read_plain(path, _LARGEST, follows_links=follows_links)
        except FileNotFoundError:
            return kind()
    begin = _BEGIN.match(content)
    with suppress(ValueError, RecursionError):
        if begin:
            return msgspec.json.decode(content, type=kind)
    raise DamagedError(path, int(begin[1]) if begin else None, kind.__struct_config__.tag)


def read_watched(path: Path) -> Watched:
    """Return what is kept at `path`; nothing yet if there is no file. Raises as `read_kept`."""
    return read_kept(path, Watched)


def mark_shown(path: Path, ids: Collection[str], on: str, *, needed: Collection[str]) -> None:
    """
    Keep that the changes with these ids were shown; raises what `watched_alone` does.

    Of those that were shown only the newest are kept, and those that are `needed` or not over.
    """
    with watched_alone(path):
        watched = read_watched(path)
        for change in watched.changes:
            if change.id in ids:
                change.shown_on = change.shown_on or on
        wanted = {*needed, *watched.lasting}
        over = [change.id for change in watched.changes if change.shown_on]
        dropped = {*over[:-_MOST_SHOWN]} - wanted
        watched.changes = [change for change in watched.changes if change.id not in dropped]
        watched.save(path)


def watched_alone(path: Path, *, seconds: float = 0) -> AbstractContextManager[None]:
    """Hold the lock of the file at `path`; raises `BusyError` if another process does for long."""
    msg = f"Another watch is running in {path.parent}."
    busy = BusyError(msg, next_step="Wait until it has ended.")
    return locked(path.with_suffix(".lock"), seconds=seconds, busy=busy)


def digest(*parts: str) -> str:
    """Return an id that is the same for the same parts."""
    text = "\0".join(parts).encode("utf-8", "surrogatepass")
    return hashlib.sha256(text).hexdigest()[:32]
