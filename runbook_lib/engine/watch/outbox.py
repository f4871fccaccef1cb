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
from runbook_lib.errors import SettingsError, describe_error

MESSAGES_NAME = "messages.json"

# So long another process is waited for, which reads and writes the file.
LOCK_SECONDS = 30.0
_FIRST_WAIT, _DAY = timedelta(minutes=5), timedelta(days=1)
# So long a process has to send a message that it claimed; after that it was killed.
_CLAIM = timedelta(minutes=3)
_MODE = 0o600


class Ack(Struct, forbid_unknown_fields=True):
    """Who knows of a change since when; until a day nobody is reminded of it, or never more."""

    by: str
    on: Time
    until: str = ""
    note: str = ""


class Sending(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """
    How one change of a tenant is sent in one channel; one `reminds` of it later.

    Those with the same `message` are sent in it together. Digests stand for its `receiver` and the
    `server`. It is tried when it is `due`: a process that claims it puts that off while it sends.
    With `may_be_there` the server may have accepted it.
    """

    whose: str
    change: str
    channel: str
    message: str = ""
    receiver: str = ""
    server: str = ""
    tries: int = 0
    due: Time = ""
    accepted_on: Time = ""
    is_final: bool = False
    may_be_there: bool = False
    reminds: bool = False

    @property
    def is_unsent(self) -> bool:
        """Return whether it is certain that no server has accepted it."""
        return not (self.accepted_on or self.may_be_there)


class Claim(NamedTuple):
    """
    A message that this process sends, with the settings of the tenant `whose`.

    `may_be_there` says whether the server may have accepted it before.
    """

    channel: str
    message: Message
    whose: str
    may_be_there: bool


@dataclass(frozen=True, slots=True)
class Part:
    """A change of one tenant, and digests of receiver and server in each channel that is set."""

    change: Change
    document: Mapping[str, Any]
    ways: Mapping[str, tuple[str, str]]
    is_lasting: bool

    @property
    def is_failing(self) -> bool:
        """Return whether reminders list it; they list no outage."""
        return self.is_lasting and self.change.kind is Kind.FAILED


@dataclass(slots=True)
class Seen:
    """What a round has seen of a tenant: the ids of all its changes, and what may be sent."""

    ids: set[str]
    parts: dict[str, Part] = field(default_factory=dict)


def key_of(run: Run) -> str:
    """Return what stands for a tenant's connector."""
    return f"{run.procedure.id}/{run.tenant}"


def seen_of(run: Run, watched: Watched, outbox: Outbox) -> Seen:
    """Return what may be sent of a tenant's changes: what is new, fails, or is in the outbox."""
    seen, key = Seen({change.id for change in watched.changes}), key_of(run)
    lasting = watched.lasting
    wanted = lasting | {sending.change for sending in outbox.sendings if sending.whose == key}
    for change in watched.changes:
        if not change.shown_on or change.id in wanted:
            ways = {
                name: (digest(name, *to.receiver), digest(name, to.server))
                for name, to in addresses(run, change.person).items()
            }
            document = document_of(run, change, outbox.ack_of(change.id, change.ends))
            seen.parts[change.id] = Part(change, document, ways, change.id in lasting)
    return seen


# A sending, and what it sends.
_Pair = tuple[Sending, Part]


class Outbox(Struct, forbid_unknown_fields=True, tag_field="form", tag=1):
    """
    What the file has: the sendings of changes, of each tenant in their order, and who knows of one.

    `gone` are the servers that take no messages any more, `said` is what was said once.
    """

    sendings: list[Sending] = []
    acks: dict[str, Ack] = {}
    gone: dict[str, Time] = {}
    said: list[str] = []

    @property
    def known(self) -> dict[str, set[str]]:
        """Return the changes that it has sendings of, by tenant."""
        known = defaultdict(set)
        for sending in self.sendings:
            known[sending.whose].add(sending.change)
        return known

    def ack_of(self, *names: str) -> dict[str, str] | None:
        """Return who has acknowledged one of these changes."""
        acks = (self.acks[name] for name in names if name in self.acks)
        return next(map(msgspec.structs.asdict, acks), None)

    def acknowledge(self, ident: str, ack: Ack) -> list[str]:
        """Keep who knows of a change, or of all in a message; return whose they are."""
        named = [sending for sending in self.sendings if ident in (sending.change, sending.message)]
        self.acks |= dict.fromkeys((sending.change for sending in named), ack)
        return list(dict.fromkeys(sending.whose.partition("/")[2] for sending in named))

    def register(self, seen: Mapping[str, Seen], now: datetime) -> None:
        """Have what is new sent, and forget what was sent and is over."""
        known, on = self.known, timestamp(now)
        for key, account in seen.items():
            for name, part in account.parts.items():
                is_wanted = not part.change.shown_on or part.is_lasting
                if is_wanted and name not in known.get(key, ()):
                    # NOTE: one without a channel, so that it is known, and can be acknowledged.
                    self.sendings.append(Sending(key, name, "", accepted_on=on))
                    self.sendings += [Sending(key, name, way) for way in part.ways]
        needed = {(s.whose, s.change) for s in self.sendings if not s.accepted_on}
        for key, name in tuple(needed):
            waiting = _part(seen, key, name)
            needed |= {(key, waiting.change.ends)} if waiting else set()

        def is_over(sending: Sending) -> bool:
            account, part = seen.get(sending.whose), _part(seen, sending.whose, sending.change)
            if account is None or sending.change not in account.ids:
                return account is not None
            is_open = part is None or part.is_lasting or not part.change.shown_on
            return not is_open and (sending.whose, sending.change) not in needed

        self.sendings = [sending for sending in self.sendings if not is_over(sending)]
        names = {sending.change for sending in self.sendings}
        self.acks = {name: ack for name, ack in self.acks.items() if name in names}

    def claim(self, seen: Mapping[str, Seen], now: datetime, silent: set[str]) -> Claim | None:
        """Put what is to be sent into messages, and claim the next one that is due, if any is."""
        on = timestamp(now)
        self._drop_needless(self._pairs(seen), now)
        pairs = self._pairs(seen)
        self._compose(pairs)
        self._remind(pairs, now)
        groups: dict[tuple[str, str], list[_Pair]] = defaultdict(list)
        for sending, part in self._pairs(seen):
            if sending.message and not sending.accepted_on:
                groups[sending.channel, sending.message].append((sending, part))
        for (way, name), group in groups.items():
            first = group[0][0]
            # NOTE: no wait is longer; a clock that was wrong has been ahead of now.
            if on < first.due <= timestamp(now + _DAY) or first.server in silent:
                continue
            for sending in self._of(way, name):
                # NOTE: where the settings of an absent tenant lead by now nobody knows.
                if _part(seen, sending.whose, sending.change) is None:
                    sending.message, sending.may_be_there = "", False
            claim = Claim(way, self._message(name, group, on), first.whose, first.may_be_there)
            for sending, _ in group:
                sending.due, sending.may_be_there = timestamp(now + _CLAIM), True
            return claim
        return None

    def mark(self, claim: Claim, error: NotSentError | None, now: datetime) -> str:
        """Keep what became of a message; return the server that is not to be asked again."""
        server, silent = "", ""
        for sending in self._of(claim.channel, claim.message.id):
            server, sending.tries = sending.server, sending.tries + 1
            if error is None:
                sending.accepted_on, sending.may_be_there = timestamp(now), False
                continue
            wait = _DAY if error.is_final else _FIRST_WAIT * 2 ** min(sending.tries - 1, 16)
            sending.due, sending.is_final = timestamp(now + min(wait, _DAY)), error.is_final
            sending.may_be_there = error.may_be_there or claim.may_be_there
            silent = server if error.is_silent or error.is_gone else ""
        for sending in self.sendings if error is None else ():
            # One that was accepted wakes the others of its server, unless one is being sent.
            is_waiting = sending.due > timestamp(now + _CLAIM)
            if sending.server == server and is_waiting and not sending.is_final:
                sending.due = ""
        if error and error.is_gone and server:
            self.gone[server] = timestamp(now)
        return silent

    def _is_known(self, sending: Sending, now: datetime) -> bool:
        """Return whether somebody knows of it now."""
        ack = self.acks.get(sending.change)
        return ack is not None and (not ack.until or now.date().isoformat() <= ack.until)

    def _of(self, way: str, name: str) -> list[Sending]:
        return [s for s in self.sendings if (s.channel, s.message) == (way, name)]

    def _pairs(self, seen: Mapping[str, Seen]) -> list[_Pair]:
        found = ((s, _part(seen, s.whose, s.change)) for s in self.sendings if s.channel)
        return [(sending, part) for sending, part in found if part]

    def _drop_needless(self, pairs: list[_Pair], now: datetime) -> None:
        """Drop what is over, or has nobody to go to, and take apart what was for another one."""
        by_change = {(s.whose, s.channel, s.change): s for s, _ in pairs if not s.reminds}
        needless = set()
        for sending, part in pairs:
            receiver, server = part.ways.get(sending.channel, ("", ""))
            is_free = not sending.accepted_on
            # Where settings lead elsewhere by now, nobody is named to the old receiver.
            if is_free and sending.message and sending.receiver != receiver:
                sending.message, sending.may_be_there = "", False
            is_needed = sending.message and part.is_failing and not self._is_known(sending, now)
            is_vain = sending.reminds and is_free and not is_needed
            if is_vain or (server in self.gone and sending.is_unsent):
                needless.add(id(sending))
            # What was over before anybody accepted it is not sent, and neither is its end.
            began = by_change.get((sending.whose, sending.channel, part.change.ends))
            if began and began.is_unsent:
                needless |= {id(began), id(sending)}
                needless |= {
                    id(other)
                    for other, inner in pairs
                    if (other.whose, other.channel) == (sending.whose, sending.channel)
                    if inner.change.kind is Kind.RECOVERED and not inner.change.ends
                    if _topic(inner.change) == _topic(part.change)
                }
        self.sendings = [sending for sending in self.sendings if id(sending) not in needless]

    def _compose(self, pairs: list[_Pair]) -> None:
        """Put what no message carries into messages, one for each cause, receiver and thread."""
        groups: dict[tuple[str, ...], list[Sending]] = defaultdict(list)
        waiting = set()
        for sending, part in pairs:
            topic = (sending.whose, sending.channel, *_topic(part.change))
            if not sending.message and sending.channel in part.ways and topic not in waiting:
                place = (sending.channel, *part.ways[sending.channel])
                thread = self._thread(sending, part)
                groups[*place, thread, cause_of(part.document)].append(sending)
            if not (sending.accepted_on or sending.reminds):
                waiting.add(topic)
        for (_, receiver, server, *_), alike in groups.items():
            places = [text for sending in alike for text in (sending.whose, sending.change)]
            name = alike[0].change if len(alike) == 1 else digest(*places)
            for sending in alike:
                sending.message, sending.receiver, sending.server = name, receiver, server
                sending.tries, sending.due, sending.is_final = 0, "", False

    def _remind(self, pairs: list[_Pair], now: datetime) -> None:
        """Make a reminder for each receiver of what was said a day ago, and nobody knows of."""
        sent: dict[tuple[str, ...], dict[tuple[str, str], Sending]] = defaultdict(dict)
        for sending, part in pairs:
            way = sending.channel
            if way in part.ways and part.is_failing and not self._is_known(sending, now):
                sent[way, *part.ways[way]][sending.whose, sending.change] = sending
        for (way, receiver, server), last in sent.items():
            accepted = [sending for sending in last.values() if sending.accepted_on]
            is_due = any(s.accepted_on <= timestamp(now - _DAY) for s in accepted)
            if is_due:
                name, due = digest("reminder", timestamp(now), *(s.change for s in accepted)), ""
                # One that was refused lists what came since as well.
                for sending in last.values():
                    if sending.reminds and sending.is_unsent:
                        name, due = sending.message, sending.due
                old = {id(sending) for sending in accepted if sending.reminds}
                self.sendings = [s for s in self.sendings if id(s) not in old]
                self.sendings += [
                    Sending(s.whose, s.change, way, name, receiver, server, 0, due, reminds=True)
                    for s in accepted
                ]

    def _thread(self, sending: Sending, part: Part) -> str:
        """Return the message about the change that ended, if there is one."""
        if not part.change.ends:
            return ""
        whose = (sending.whose, part.change.ends, sending.channel)
        began = (s.message for s in self.sendings if (s.whose, s.change, s.channel) == whose)
        return next(filter(None, began), part.change.ends)

    def _message(self, name: str, group: list[_Pair], on: str) -> Message:
        """Return what a message says now."""
        sending, part = group[0]
        if not sending.reminds:
            about = merged([part.document for _, part in group])
            return Message(name, {**about, "id": name}, self._thread(sending, part))
        alike = defaultdict(list)
        first = {(s.whose, s.change, s.channel): s.message for s in self.sendings if not s.reminds}
        for sending, part in group:
            alike[first[sending.whose, sending.change, sending.channel]].append(part.document)
        changes = tuple({**merged(parts), "id": ident} for ident, parts in alike.items())
        return Message(name, reminder(changes, on), changes=changes)


def _part(seen: Mapping[str, Seen], whose: str, change: str) -> Part | None:
    return seen[whose].parts.get(change) if whose in seen else None


@contextmanager
def opened(path: Path) -> Iterator[Outbox]:
    """
    Give the outbox at `path` to one process at a time, and keep what was changed.

    Raises `SettingsError` if it cannot be read.
    """
    with watched_alone(path, seconds=LOCK_SECONDS):
        outbox = read_kept(path, Outbox, follows_links=False)
        before = msgspec.json.encode(outbox)
        yield outbox
        after = msgspec.json.encode(outbox)
        if after != before:
            write_whole(path, after, mode=_MODE)


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
        except Exception as error:  # noqa: BLE001  (one tenant's settings stop no other)
            refused = NotSentError(" ".join(describe_error(error)))
        with opened(path) as outbox:
            silent.add(outbox.mark(claim, refused, clock()))
        if refused:
            yield str(refused)


def acknowledge(ident: str, *, by: str, until: str, note: str, evidence: str) -> list[str]:
    """
    Keep that a person knows of a change or message, and return the tenants whose it is.

    Raises `SettingsError` for an unknown ID or a text that cannot be used, and writes nothing.
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
