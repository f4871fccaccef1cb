"""
The outbox of a watch: which change was sent in which message, in one file of the evidence folder.

Changes with one cause and one receiver are put into one message at the moment of sending. All that
is due is claimed at once, sent, and marked at once, each under the lock of the file, which is free
meanwhile. After a kill in between a message is sent again, with the same id.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, structs

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
# A process sends for so long what it claimed, begins no further message, and marks. A claim lasts
# longer than that and the longest message; who holds an older one was killed.
_SENDING_SECONDS, _CLAIM = 10.0, timedelta(minutes=3)
_MODE = 0o600


class Ack(Struct, forbid_unknown_fields=True):
    """Who knows of a change since when; until a day nobody is reminded of it, or never more."""

    by: str
    on: Time
    until: str = ""
    note: str = ""


class Letter(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """
    A message in one channel about `changes`, by ID; each has the tenant whose it is.

    Without an `id` it waits to be put into a message. Digests stand for its `receiver` and the
    `server`. It is tried when it is `due`: a process that claims it puts that off while it sends.
    With `may_be_there` the server may have accepted it. One that `reminds` has no changes: it
    lists what still fails when it is sent. One without a channel only keeps that it was seen.
    """

    channel: str
    receiver: str = ""
    server: str = ""
    id: str = ""
    changes: dict[str, str] = {}
    tries: int = 0
    due: Time = ""
    accepted_on: Time = ""
    is_final: bool = False
    may_be_there: bool = False
    reminds: bool = False

    @property
    def place(self) -> _Place:
        """Return where it goes."""
        return self.channel, self.receiver, self.server

    @property
    def is_unsent(self) -> bool:
        """Return whether it is certain that no server has accepted it."""
        return not (self.accepted_on or self.may_be_there)


@dataclass(slots=True)
class Claim:
    """A message that this process sends with the settings of a tenant, and what became of it."""

    letter: Letter
    whose: str
    message: Message
    is_tried: bool = False
    refused: NotSentError | None = None


@dataclass(frozen=True, slots=True)
class LetterPart:
    """A change of a tenant, and digests of receiver and server in each channel that is set."""

    whose: str
    change: Change
    document: Mapping[str, Any]
    channels: Mapping[str, tuple[str, str]]
    is_lasting: bool
    is_recent: bool

    @property
    def is_new(self) -> bool:
        """Return whether nobody was shown it yet."""
        return not self.change.shown_on

    @property
    def is_open(self) -> bool:
        """Return whether it lasts, or nobody was shown it yet."""
        return self.is_lasting or self.is_new

    @property
    def topic(self) -> tuple[str, ...]:
        """Return what changes are about that are sent in their order; days that come have none."""
        change = self.change
        return (change.id,) if change.kind is Kind.DUE else (change.step, change.check)


# What a round has seen, by the ID of the change.
Seen = Mapping[str, LetterPart]
# The message of a change.
_Pair = tuple[Letter, LetterPart]
_Key = tuple[str, ...]
_Place = tuple[str, str, str]


def key_of(run: Run) -> str:
    """Return what stands for a tenant's connector."""
    return f"{run.procedure.id}/{run.tenant}"


def parts_of(
    run: Run, watched: Watched, outbox: Outbox, known: Collection[str]
) -> Iterator[LetterPart]:
    """Yield those of a tenant's changes that are new, of this day, not over, or `known` there."""
    lasting, yesterday = watched.lasting, timestamp(run.clock() - _DAY)
    for change in watched.changes:
        is_recent = not change.shown_on or change.on >= yesterday
        if is_recent or change.id in lasting or change.id in known:
            # NOTE: practice has receivers of its own, so that no reminder lists it with real ones.
            mark = ("SANDBOX",) if run.is_sandbox else ()
            channels = {
                name: (digest(name, *to, *mark), digest(name, to[0]))
                for name, to in addresses(run, change.person).items()
            }
            document = document_of(run, change, outbox.ack_of(change.id, change.ends))
            yield LetterPart(
                key_of(run), change, document, channels, change.id in lasting, is_recent
            )


class Outbox(Struct, forbid_unknown_fields=True, tag_field="form", tag=2):
    """
    The content of the file: the messages, and the changes that somebody knows of.

    `gone` are the servers that take no messages any more.
    """

    letters: list[Letter] = []
    acks: dict[str, Ack] = {}
    gone: dict[str, Time] = {}

    @property
    def known(self) -> set[str]:
        """Return the IDs of the changes that it has."""
        return {name for letter in self.letters for name in letter.changes}

    def ack_of(self, *names: str) -> dict[str, str] | None:
        """Return who has acknowledged one of these changes."""
        acks = (self.acks[name] for name in names if name in self.acks)
        return next(map(structs.asdict, acks), None)

    def acknowledge(self, ident: str, ack: Ack) -> list[str]:
        """Keep who knows of a change, or of all in a message; return whose they are."""
        every = ((x.id, name, whose) for x in self.letters for name, whose in x.changes.items())
        named = {name: whose for message, name, whose in every if ident in (message, name)}
        self.acks |= dict.fromkeys(named, ack)
        return list(dict.fromkeys(whose.partition("/")[2] for whose in named.values()))

    def register(
        self, seen: Seen, looked: Collection[str], known: Collection[str], now: datetime
    ) -> None:
        """
        Have what is new sent, and forget what was sent and is over.

        What was `known` before tenants were `looked` at, and is not `seen` there, is over as well.
        """
        there = self.known
        for name, part in seen.items():
            if part.is_open and name not in there:
                for channel in ("", *part.channels):
                    accepted_on = "" if channel else timestamp(now)
                    letter = Letter(channel, changes={name: part.whose}, accepted_on=accepted_on)
                    self.letters.append(letter)
        needed = {name for x in self.letters if not x.accepted_on for name in x.changes}
        needed |= {seen[name].change.ends for name in needed & seen.keys()}
        over = {name for name, part in seen.items() if not part.is_open} - needed
        for letter in self.letters:
            letter.changes = {
                name: whose
                for name, whose in letter.changes.items()
                if name not in over and (name in seen or name not in known or whose not in looked)
            }
        self.letters = [letter for letter in self.letters if letter.changes or letter.reminds]
        there = self.known
        self.acks = {name: ack for name, ack in self.acks.items() if name in there}

    def claim(self, seen: Seen, now: datetime, silent: Collection[str]) -> list[Claim]:
        """Put what is to be sent into messages, and claim all that are due."""
        on = timestamp(now)
        claims: list[Claim] = []
        absent: list[Letter] = []
        at: dict[_Key, Letter] = {(x.channel, name): x for x in self.letters for name in x.changes}
        topics: dict[_Key, list[_Pair]] = defaultdict(list)
        for name, part in seen.items():
            for channel in CHANNELS:
                if letter := at.get((channel, name)):
                    topics[channel, part.whose, *part.topic].append((letter, part))
        self._drop_needless(topics)
        self._compose(topics, at)
        failing = self._remind(seen, now)
        for letter in self.letters:
            # NOTE: no wait is longer; a clock that was wrong has been ahead of now.
            is_early = on < letter.due <= timestamp(now + _DAY)
            if not letter.id or letter.accepted_on or is_early or letter.server in silent:
                continue
            pairs = [(letter, seen[name]) for name in letter.changes if name in seen]
            if letter.reminds:
                pairs = failing.get(letter.place, [])
            elif pairs:
                # NOTE: where the settings of an absent tenant lead by now nobody knows.
                gone = [name for name in letter.changes if name not in seen]
                absent += [
                    Letter(letter.channel, changes={name: letter.changes.pop(name)})
                    for name in gone
                ]
            if pairs:
                _, first = pairs[0]
                message = _message(letter, pairs, _thread(at, letter.channel, first), on)
                claims.append(Claim(structs.replace(letter), first.whose, message))
                letter.due, letter.may_be_there = timestamp(now + _CLAIM), True
        self.letters += absent
        return claims

    def mark(self, claims: Collection[Claim], now: datetime) -> None:
        """Keep what became of these messages; what was not tried is as it was."""
        letters = {(letter.channel, letter.id): letter for letter in self.letters}
        awake = {c.letter.server for c in claims if c.is_tried and not c.refused}
        for letter in self.letters:
            # One that was accepted wakes the others of its server, but for those that are sent now.
            is_waiting = letter.due > timestamp(now + _CLAIM)
            if letter.server in awake and is_waiting and not letter.is_final:
                letter.due = ""
        for claim in claims:
            was, error = claim.letter, claim.refused
            kept = letters.get((was.channel, was.id))
            if kept is None:
                continue
            if not claim.is_tried:
                kept.due, kept.may_be_there = was.due, was.may_be_there
            elif error is None:
                kept.accepted_on, kept.may_be_there = timestamp(now), False
            else:
                wait = _DAY if error.is_final else _FIRST_WAIT * 2 ** min(was.tries, 16)
                kept.tries, kept.due = was.tries + 1, timestamp(now + min(wait, _DAY))
                kept.is_final = error.is_final
                kept.may_be_there = error.may_be_there or was.may_be_there
                if error.is_gone:
                    self.gone[kept.server] = timestamp(now)

    def _drop_needless(self, topics: Mapping[_Key, list[_Pair]]) -> None:
        """Drop what is over, or has nobody to go to, and take apart what was for another one."""
        for (channel, *_), topic in topics.items():
            unsent = {part.change.id for letter, part in topic if letter.is_unsent}
            # What was over before anybody accepted it is not sent, and neither is its end.
            over = unsent & {part.change.ends for _, part in topic}
            for number, (letter, part) in enumerate(topic):
                change, to = part.change, part.channels.get(channel, ("", ""))
                is_partly_back = change.kind is Kind.RECOVERED and not change.ends
                is_vain = {change.id, change.ends} & over or (over and is_partly_back)
                # Where settings lead elsewhere by now, nobody is named to the old receiver.
                is_moved = letter.id and not letter.accepted_on and letter.place[1:] != to
                is_gone = to[1] in self.gone and (letter.is_unsent or is_moved)
                if is_vain or is_gone or is_moved:
                    del letter.changes[change.id]
                    again = Letter(channel)
                    if not (is_vain or is_gone):
                        again.changes = {change.id: part.whose}
                    topic[number] = (again, part)
                    self.letters.append(again)
            topic[:] = [pair for pair in topic if pair[0].changes]

    def _compose(self, topics: Mapping[_Key, list[_Pair]], at: Mapping[_Key, Letter]) -> None:
        """Put what no message carries into messages, one for each cause, receiver and thread."""
        groups: dict[_Key, list[Letter]] = defaultdict(list)
        for (channel, *_), topic in topics.items():
            # What comes later waits until the first one was accepted.
            for letter, part in [pair for pair in topic if not pair[0].accepted_on][:1]:
                if not letter.id and channel in part.channels:
                    about = _thread(at, channel, part), cause_of(part.document)
                    groups[*part.channels[channel], channel, *about].append(letter)
        for (receiver, server, *_), (first, *others) in groups.items():
            for other in others:
                first.changes |= other.changes
                other.changes = {}
            first.id = digest(*first.changes) if others else next(iter(first.changes))
            first.receiver, first.server = receiver, server
        self.letters = [letter for letter in self.letters if letter.changes or letter.reminds]

    def _remind(self, seen: Seen, now: datetime) -> dict[_Place, list[_Pair]]:
        """Have receivers reminded of what fails since a day, but no outage; return it for each."""
        failing: dict[_Place, list[_Pair]] = defaultdict(list)
        on, yesterday = timestamp(now), timestamp(now - _DAY)
        for letter in self.letters:
            for name in letter.changes if letter.accepted_on else ():
                part, ack = seen.get(name), self.acks.get(name)
                is_known = ack and (not ack.until or now.date().isoformat() <= ack.until)
                is_failing = part and part.is_lasting and part.change.kind is Kind.FAILED
                if part and is_failing and letter.channel in part.channels and not is_known:
                    failing[letter.channel, *part.channels[letter.channel]].append((letter, part))
        due = {
            place: named
            for place, named in failing.items()
            if min(letter.accepted_on for letter, _ in named) <= yesterday
        }
        # One from yesterday makes room for the next.
        self.letters = [
            letter
            for letter in self.letters
            if not letter.reminds or (letter.accepted_on or letter.due) > yesterday
        ]
        new = due.keys() - {letter.place for letter in self.letters if letter.reminds}
        self.letters += [
            Letter(*place, digest("reminder", *place, on), due=on, reminds=True)
            for place in sorted(new)
        ]
        return due


def _thread(at: Mapping[_Key, Letter], channel: str, part: LetterPart) -> str:
    """Return the message about the change that ended, if there is one."""
    began = at.get((channel, part.change.ends))
    return (began and began.id) or part.change.ends


def _message(letter: Letter, pairs: list[_Pair], thread: str, on: str) -> Message:
    """Return what a message says now; a reminder has the ids that it lists."""
    alike = defaultdict(list)
    for sent, part in pairs:
        alike[sent.id].append(part.document)
    changes = [{**merged(parts), "id": name} for name, parts in alike.items()]
    if letter.reminds:
        return Message(letter.id, reminder(changes, on))
    return Message(letter.id, changes[0], thread)


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
    seen: Seen,
    open_run: Callable[[str], AbstractContextManager[Run]],
    silent: set[str],
    *,
    clock: Callable[[], datetime],
) -> Iterator[str]:
    """
    Send what is due of what was `seen`; yield what was not accepted, and why.

    A silent server is not asked again, and is added to those that were `silent` in this round. On a
    full disk nothing is sent: what was accepted could not be kept.
    """
    while True:
        with opened(path) as outbox:
            claims = outbox.claim(seen, clock(), silent)
        if not claims:
            return
        until = time.monotonic() + _SENDING_SECONDS
        try:
            for claim in claims:
                if claim.letter.server in silent:
                    continue
                _send(claim, open_run)
                if claim.refused and (claim.refused.is_silent or claim.refused.is_gone):
                    silent.add(claim.letter.server)
                if time.monotonic() > until:
                    break
        finally:
            with opened(path) as outbox:
                outbox.mark(claims, clock())
        yield from (str(claim.refused) for claim in claims if claim.refused)


def _send(claim: Claim, open_run: Callable[[str], AbstractContextManager[Run]]) -> None:
    """Send a message, and note what became of it, also if that is interrupted."""
    claim.is_tried = True
    claim.refused = NotSentError("It was interrupted", may_be_there=True)
    try:
        with open_run(claim.whose) as run:
            send(run, CHANNELS[claim.letter.channel], claim.message)
        claim.refused = None
    except NotSentError as error:
        claim.refused = error
    except Exception as error:  # noqa: BLE001  (one tenant's settings stop no other)
        claim.refused = NotSentError(" ".join(describe_error(error)))


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
        raise SettingsError("--ack needs --by NAME, the person who knows.")
    path = evidence_folder(evidence) / MESSAGES_NAME
    if not path.exists():
        raise SettingsError(f"There is no {path}: no watch has run yet.")
    with opened(path) as outbox:
        whose = outbox.acknowledge(ident, ack)
        if not whose:
            advice = "Take the ID from a message, from watch --json or from the terminal."
            raise SettingsError(f"No failing change has the ID {ident[:80]}.", next_step=advice)
    return whose
