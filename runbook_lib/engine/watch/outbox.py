"""
The outbox of a watch: which change was sent in which message, in one file of the evidence folder.

Changes with one cause and one receiver are put into one message at the moment of sending. A message
is claimed before it is sent and marked after that, each under the lock of the file, which is free
meanwhile. After a kill in between it is sent again, with the same id.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from runbook_lib.config.settings import visible
from runbook_lib.config.workspace import evidence_folder
from runbook_lib.core.files import write_whole
from runbook_lib.core.journal import timestamp, utc_now
from runbook_lib.engine.run import Run
from runbook_lib.engine.watch.answers import (
    Change,
    DamagedError,
    Kind,
    Time,
    Watched,
    digest,
    read_kept,
    watched_alone,
)
from runbook_lib.engine.watch.channels import CHANNELS, addresses, send
from runbook_lib.engine.watch.channels.base import NotSentError
from runbook_lib.engine.watch.messages import Message, cause_of, document_of, merged, reminder
from runbook_lib.errors import RunbookError, SettingsError, describe_error

MESSAGES_NAME = "messages.json"

_FIRST_WAIT, _DAY = timedelta(minutes=5), timedelta(days=1)
# So long a process may take to send a message that it has claimed; after that it was killed.
_CLAIM = timedelta(minutes=3)
# So long another process is waited for, which reads and writes the file.
_LOCK_SECONDS = 30.0
_MODE = 0o600
_AGAIN = "A new one begins: what still fails, and what nobody was shown, is sent again."


class Ack(Struct, forbid_unknown_fields=True):
    """Who knows of a change since when; until a day nobody is reminded of it, or never more."""

    by: str
    on: Time
    until: str = ""
    note: str = ""

    def holds(self, now: datetime) -> bool:
        """Return whether nobody is to be reminded now."""
        return not self.until or now.date().isoformat() <= self.until


class Envelope(Struct, forbid_unknown_fields=True):
    """
    How a message goes in one channel; digests stand for its `receiver` and the `server`.

    It is claimed while a process sends it, and tried again when it is `due`. With `may_be_there`
    the server may have accepted it. A reminder names the changes that it `reminds` of.
    """

    id: str
    channel: str
    receiver: str
    server: str
    thread: str = ""
    tries: int = 0
    due: Time = ""
    claimed_on: Time = ""
    accepted_on: Time = ""
    is_final: bool = False
    may_be_there: bool = False
    reminds: list[str] = []

    @property
    def is_unsent(self) -> bool:
        """Return whether it is certain that no server has accepted it."""
        return not (self.accepted_on or self.claimed_on or self.may_be_there)


class Claim(NamedTuple):
    """A message that this process sends, with the settings of the tenant `whose`."""

    channel: str
    message: Message
    whose: str


@dataclass(frozen=True, slots=True)
class Part:
    """A change of one tenant, and digests of receiver and server in each channel that is set."""

    change: Change
    document: Mapping[str, Any]
    ways: Mapping[str, tuple[str, str]]
    is_failing: bool


@dataclass(slots=True)
class Seen:
    """What a round has seen of a tenant: the ids of all its changes, and what may be sent."""

    ids: set[str]
    parts: dict[str, Part] = field(default_factory=dict)


def seen_of(run: Run, watched: Watched, outbox: Outbox) -> Seen:
    """Return what may be sent of a tenant's changes: what is new, fails, or is not yet sent."""
    seen, failing = Seen({change.id for change in watched.changes}), watched.failing
    known = outbox.changes.get(key_of(run), {})
    for change in watched.changes:
        is_failing = change.id in failing and change.kind is Kind.FAILED
        if change.shown_on and not is_failing and change.id not in known:
            continue
        ways = {
            name: (digest(name, *to.receiver), digest(name, to.server))
            for name, to in addresses(run, change.person).items()
        }
        document = document_of(run, change, outbox.ack_of(change.id, change.ends))
        seen.parts[change.id] = Part(change, document, ways, is_failing)
    return seen


def key_of(run: Run) -> str:
    """Return what stands for a tenant's connector."""
    return f"{run.procedure.id}/{run.tenant}"


class Outbox(Struct, forbid_unknown_fields=True, tag_field="form", tag=1):
    """
    What the file has: of each tenant's changes, in which channel which message carries it.

    A change that no message carries yet has an empty one. `gone` are the servers that take no
    messages any more, `said` is what was said once.
    """

    changes: dict[str, dict[str, dict[str, str]]] = {}
    messages: list[Envelope] = []
    acks: dict[str, Ack] = {}
    gone: dict[str, Time] = {}
    said: list[str] = []

    def ack_of(self, *names: str) -> dict[str, str] | None:
        """Return who has acknowledged one of these changes."""
        acks = (self.acks[name] for name in names if name in self.acks)
        return next(map(msgspec.structs.asdict, acks), None)

    def acknowledge(self, ident: str, ack: Ack) -> list[str]:
        """Keep who knows of a change, or of all in a message; return whose they are."""
        whose = []
        for key, changes in self.changes.items():
            for name, ways in changes.items():
                if ident in (name, *ways.values()):
                    self.acks[name] = ack
                    whose.append(key.partition("/")[2])
        return whose

    def register(self, seen: Mapping[str, Seen], now: datetime) -> None:
        """Have what is new sent, and forget what was sent and is over."""
        by_id = self._by_id()
        for key, account in seen.items():
            known = self.changes.setdefault(key, {})
            for name, part in account.parts.items():
                if name not in known:
                    known[name] = dict.fromkeys(part.ways, "")
            done = {
                name
                for name, part in account.parts.items()
                if part.change.shown_on and not part.is_failing
                if all(by_id[way, m].accepted_on for way, m in known[name].items() if m)
                and all(known[name].values())
            }
            awaited = {p.change.ends for name, p in account.parts.items() if name not in done}
            for name in [n for n in known if n not in account.ids or n in done - awaited]:
                del known[name]
        self.changes = {key: known for key, known in self.changes.items() if known}
        names = {name for known in self.changes.values() for name in known}
        self.acks = {name: ack for name, ack in self.acks.items() if name in names}
        carried = self._carried()
        since = timestamp(now - _DAY)
        self.messages = [
            m
            for m in self.messages
            if (m.channel, m.id) in carried or (m.reminds and (m.accepted_on or "9") > since)
        ]

    def claim(self, seen: Mapping[str, Seen], now: datetime, silent: set[str]) -> Claim | None:
        """Put what is to be sent into messages, and claim the next one that is due, if any is."""
        on = timestamp(now)
        for envelope in self.messages:
            began = envelope.claimed_on
            if began and not timestamp(now - _CLAIM) < began <= timestamp(now + _CLAIM):
                envelope.claimed_on, envelope.may_be_there = "", True
        for way in CHANNELS:
            self._compose(way, seen)
            self._remind(way, seen, now)
        carried = self._carried()
        for envelope in [m for m in self.messages if not (m.accepted_on or m.claimed_on)]:
            # NOTE: no wait is longer; a clock that was wrong has been ahead of now.
            is_early = on < envelope.due <= timestamp(now + _DAY)
            if is_early or envelope.server in silent:
                continue
            if envelope.reminds:
                message, key = self._reminder(envelope, seen, now)
            else:
                message, key = self._message(envelope, carried, seen)
            if message:
                envelope.claimed_on, envelope.tries = on, envelope.tries + 1
                return Claim(envelope.channel, message, key)
        return None

    def mark(self, claim: Claim, error: NotSentError | None, now: datetime) -> str:
        """Keep what became of a message; return the server that is not to be asked again."""
        envelope = self._by_id().get((claim.channel, claim.message.id))
        if envelope is None:
            return ""
        envelope.claimed_on = ""
        if error is None:
            envelope.accepted_on, envelope.may_be_there = timestamp(now), False
            for other in self.messages:
                if other.server == envelope.server and not other.is_final:
                    other.due = ""
            return ""
        wait = _DAY if error.is_final else _FIRST_WAIT * 2 ** min(envelope.tries - 1, 16)
        envelope.due, envelope.is_final = timestamp(now + min(wait, _DAY)), error.is_final
        envelope.may_be_there |= error.may_be_there
        if error.is_gone:
            self.gone[envelope.server] = timestamp(now)
        return envelope.server if error.is_silent or error.is_gone else ""

    def _by_id(self) -> dict[tuple[str, str], Envelope]:
        return {(envelope.channel, envelope.id): envelope for envelope in self.messages}

    def _carried(self) -> dict[tuple[str, str], list[tuple[str, str]]]:
        """Return whose changes each message carries, and which, by channel and id."""
        carried = defaultdict(list)
        for key, changes in self.changes.items():
            for name, ways in changes.items():
                for way, message in ways.items():
                    carried[way, message].append((key, name))
        return carried

    def _compose(self, way: str, seen: Mapping[str, Seen]) -> None:
        """Put the changes that no message carries into messages, one for each cause."""
        groups: dict[tuple[str, ...], list[tuple[str, str]]] = defaultdict(list)
        by_id = self._by_id()

        def is_unsent(message: str) -> bool:
            return not message or by_id[way, message].is_unsent

        for key, account in seen.items():
            known = self.changes.get(key, {})
            parts = {n: part for n, part in account.parts.items() if way in known.get(n, ())}
            for name, part in parts.items():
                envelope = by_id.get((way, known[name][way]))
                receiver, server = part.ways.get(way, ("", ""))
                is_open = envelope and not (envelope.accepted_on or envelope.claimed_on)
                # Where settings lead elsewhere by now, nobody is named to the old receiver.
                if envelope and is_open and envelope.receiver != receiver:
                    known[name][way] = ""
                if server in self.gone and is_unsent(known[name][way]):
                    del known[name][way]
            for part in parts.values():
                began = part.change.ends
                # What was over before anybody accepted it is not sent, and neither is its end.
                if began in parts and way in known[began] and is_unsent(known[began][way]):
                    for name in _between(parts, began, part.change.id):
                        known[name].pop(way, None)
            waiting = set()
            for name, part in parts.items():
                if way not in known[name]:
                    continue
                message, topic = known[name][way], _topic(part.change)
                if not message and way in part.ways and topic not in waiting:
                    thread = known.get(part.change.ends, {}).get(way) or part.change.ends
                    group = (*part.ways[way], thread, cause_of(part.document))
                    groups[group].append((key, name))
                if not message or not by_id[way, message].accepted_on:
                    waiting.add(topic)
        carried = self._carried()
        self.messages = [
            m
            for m in self.messages
            if m.channel != way or m.reminds or m.claimed_on or (way, m.id) in carried
        ]
        for (receiver, server, thread, _), places in groups.items():
            name = places[0][1] if len(places) == 1 else digest(*(x for at in places for x in at))
            self.messages.append(Envelope(name, way, receiver, server, thread))
            for key, change in places:
                self.changes[key][change][way] = name

    def _told(
        self, way: str, seen: Mapping[str, Seen], now: datetime
    ) -> Iterator[tuple[str, str, Envelope, Part]]:
        """Yield what still fails, was told to its receiver, and is known to nobody."""
        by_id = self._by_id()
        for key, account in seen.items():
            for name, part in account.parts.items():
                envelope = by_id.get((way, self.changes.get(key, {}).get(name, {}).get(way, "")))
                ack = self.acks.get(name)
                if not envelope or not envelope.accepted_on or not part.is_failing:
                    continue
                is_here = part.ways.get(way, ("",))[0] == envelope.receiver
                if is_here and not (ack and ack.holds(now)):
                    yield key, name, envelope, part

    def _remind(self, way: str, seen: Mapping[str, Seen], now: datetime) -> None:
        """Make a reminder for each receiver of what was said a day ago, and still fails."""
        before, last = timestamp(now - _DAY), dict[str, str]()
        waiting = set[str]()
        for envelope in self.messages:
            if envelope.reminds and envelope.channel == way:
                waiting |= set() if envelope.accepted_on else {envelope.receiver}
                last |= dict.fromkeys(envelope.reminds, envelope.accepted_on)
        for _, name, told, _ in self._told(way, seen, now):
            is_due = max(told.accepted_on, last.get(name, "")) <= before
            if is_due and told.receiver not in waiting:
                waiting.add(told.receiver)
                ident = digest("reminder", way, told.receiver, timestamp(now))
                new = Envelope(ident, way, told.receiver, told.server, reminds=[name])
                self.messages.append(new)

    def _reminder(
        self, envelope: Envelope, seen: Mapping[str, Seen], now: datetime
    ) -> tuple[Message | None, str]:
        """Return what a reminder lists now, message by message, and one of its tenants."""
        alike, whose, names = defaultdict(list), "", []
        for key, name, told, part in self._told(envelope.channel, seen, now):
            if told.receiver == envelope.receiver:
                alike[told.id].append(part.document)
                names.append(name)
                whose = key
        if not names:
            return None, ""
        envelope.reminds = names
        changes = [{**merged(parts), "id": ident} for ident, parts in alike.items()]
        return Message(envelope.id, reminder(changes, timestamp(now)), changes=(*changes,)), whose

    def _message(
        self,
        envelope: Envelope,
        carried: Mapping[tuple[str, str], list[tuple[str, str]]],
        seen: Mapping[str, Seen],
    ) -> tuple[Message | None, str]:
        """Return what a message says now of the tenants that this round has seen, and one."""
        places = carried.get((envelope.channel, envelope.id), [])
        here = [(key, name) for key, name in places if key in seen and name in seen[key].parts]
        if not here:
            return None, ""
        for key, name in places:
            # NOTE: nobody knows where the settings of the others lead by now.
            if (key, name) not in here:
                self.changes[key][name][envelope.channel] = ""
        about = merged([seen[key].parts[name].document for key, name in here])
        return Message(envelope.id, {**about, "id": envelope.id}, envelope.thread), here[0][0]


@contextmanager
def opened(path: Path) -> Iterator[Outbox]:
    """
    Give the outbox at `path` to one process at a time, and keep what was changed.

    Raises `SettingsError` if it cannot be read.
    """
    with watched_alone(path, seconds=_LOCK_SECONDS):
        outbox = read_kept(path, Outbox, follows_links=False)
        before = msgspec.json.encode(outbox)
        yield outbox
        after = msgspec.json.encode(outbox)
        if after != before:
            write_whole(path, after, mode=_MODE)


def set_aside_damaged(path: Path, now: datetime) -> str:
    """Move a damaged outbox away, and return what to say of it; empty where it is whole."""
    with watched_alone(path, seconds=_LOCK_SECONDS):
        try:
            read_kept(path, Outbox, follows_links=False)
        except DamagedError as error:
            if error.form is None:
                aside = path.with_name(f"{path.stem}.damaged-{now:%Y%m%dT%H%M%SZ}.json")
                path.replace(aside)
                return f"{path} was damaged and is now {aside.name}. {_AGAIN}"
            raise
    return ""


def send_due(
    path: Path,
    seen: Mapping[str, Seen],
    open_run: Callable[[str], AbstractContextManager[Run]],
    *,
    clock: Callable[[], datetime],
    silent: set[str],
) -> Iterator[str]:
    """
    Send what is due of what was `seen`; yield what was not accepted, and why.

    A `silent` server is not asked again. On a full disk nothing is sent: what was accepted could
    not be kept.
    """
    while True:
        with opened(path) as outbox:
            claim = outbox.claim(seen, clock(), silent)
        if claim is None:
            return
        refused = None
        try:
            with open_run(claim.whose) as run:
                send(run, CHANNELS[claim.channel], claim.message)
        except NotSentError as error:
            refused = error
        except (RunbookError, OSError) as error:
            refused = NotSentError(" ".join(describe_error(error)))
        with opened(path) as outbox:
            silent.add(outbox.mark(claim, refused, clock()))
        if refused:
            yield str(refused)


def acknowledge(ident: str, *, by: str, until: str, note: str, evidence: str) -> list[str]:
    """
    Keep that a person knows of a change or message, and return the tenants whose it is.

    Raises `SettingsError` if there is none, or a text cannot be used; then nothing is written.
    """
    try:
        ack = Ack(visible(by), timestamp(utc_now()), until, visible(note))
        if until and date.fromisoformat(until).isoformat() != until:
            raise ValueError("not a day, such as 2026-12-24")
    except ValueError as error:
        raise SettingsError(f"--by, --until or --note cannot be used: {error}.") from None
    if not ack.by:
        raise SettingsError("--ack needs --by NAME: who knows of it.")
    path = evidence_folder(evidence) / MESSAGES_NAME
    if not path.exists():
        raise SettingsError(f"{path} is not there: nothing was watched yet.")
    with opened(path) as outbox:
        whose = outbox.acknowledge(ident, ack)
        if not whose:
            advice = "Take the ID from a message, from watch --json or from the terminal."
            raise SettingsError(f"Nothing that fails has the ID {ident[:80]}.", next_step=advice)
    return whose


def _topic(change: Change) -> tuple[str, ...]:
    """Return what changes are about that are sent in their order; days that come have none."""
    return (change.id,) if change.kind is Kind.DUE else (change.step, change.check)


def _between(parts: Mapping[str, Part], began: str, ended: str) -> list[str]:
    """Return a change, its end, and the part of it that ended earlier (its end has no `ends`)."""
    names, topic = list(parts), _topic(parts[ended].change)
    inner = [
        name
        for name in names[names.index(began) : names.index(ended)]
        if parts[name].change.kind is Kind.RECOVERED
        and not parts[name].change.ends
        and _topic(parts[name].change) == topic
    ]
    return [began, *inner, ended]
