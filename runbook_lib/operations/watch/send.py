"""
Send the digests: freeze each before its first sending, and note who accepted it.

A refused digest is composed again when it is sent. One that its receiver may have accepted, also
after a kill, keeps its id and text. Nothing is sent that could not be saved.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

from msgspec import structs

from runbook_lib.core.clock import timestamp
from runbook_lib.core.files import hold_lock
from runbook_lib.engine.tenant_run import Run
from runbook_lib.errors import BusyError, describe_error
from runbook_lib.evidence.reports.index_page import INDEX_PAGE
from runbook_lib.evidence.reports.tenant_status import TenantStatus
from runbook_lib.operations.watch.channels import CHANNELS, addresses, send
from runbook_lib.operations.watch.channels.base import NotSentError
from runbook_lib.operations.watch.digest import ReceiverList, compose_digest
from runbook_lib.operations.watch.watch_state import (
    LOCK_TIMEOUT_SECONDS,
    Delivery,
    Digest,
    SavedItem,
    WatchReceiver,
    WatchState,
    has_passed,
)
from runbook_lib.text import identify

# Waits before a digest is sent again: doubled after each try, up to a day.
_FIRST_WAIT = timedelta(minutes=5)
_LONGEST_WAIT = timedelta(days=1)
_MAX_DOUBLINGS = 16


@dataclass(slots=True)
class Addressee:
    """A receiver in this cycle, with its own list."""

    row: WatchReceiver
    person: str = ""
    own: ReceiverList = field(default_factory=ReceiverList)


class AddressBook:
    """The receivers of each tenant of this cycle, by person and channel."""

    def __init__(self) -> None:
        self._people: dict[str, dict[str, Mapping[str, WatchReceiver]]] = {}

    def add(self, run: Run, key: str, people: Iterable[str], now: datetime) -> None:
        """Note to whom the tenant's items go: to each of these people, or else its address."""
        on = timestamp(now)
        self._people[key] = {person: receivers_of(run, person, on) for person in {"", *people}}

    def __contains__(self, key: str) -> bool:
        return key in self._people

    def addressees(
        self, statuses: Iterable[TenantStatus], saved: Iterable[SavedItem]
    ) -> dict[str, Addressee]:
        """Return each receiver with its own tenants and items."""
        by_receiver: dict[str, Addressee] = {}
        known = {status.key: status for status in statuses if status.key in self}

        def lists_of(key: str, whom: str) -> Iterator[ReceiverList]:
            person = whom if whom in self._people[key] else ""
            for row in self._people[key][person].values():
                addressee = by_receiver.setdefault(row.receiver, Addressee(row, person))
                bare = replace(known[key], items=())
                addressee.own.statuses.setdefault(key, bare)
                yield addressee.own

        for key, status in known.items():
            for item in status.items:
                for own in lists_of(key, item.whom):
                    mine = own.statuses[key]
                    own.statuses[key] = replace(mine, items=(*mine.items, item))
        whose = {(key, item.cause): item.whom for key in known for item in known[key].items}
        for row in saved:
            if row.tenant in known:
                whom = whose.get((row.tenant, row.cause), row.item.whom)
                for own in lists_of(row.tenant, whom):
                    own.saved.append(row)
        return by_receiver


def receivers_of(run: Run, person: str, on: str) -> dict[str, WatchReceiver]:
    """Return the receivers of a tenant by channel; practice and real ones are never the same."""
    world = "SANDBOX" if run.is_sandbox else ""
    return {
        name: WatchReceiver(
            receiver=identify(world, name, *address),
            channel=name,
            server=identify(world, name, address[0]),
            first_on=on,
        )
        for name, address in addresses(run, person).items()
    }


class Sender:
    """Sends the digests that are due in a cycle; a silent server is not tried twice."""

    def __init__(
        self,
        state: WatchState,
        book: AddressBook,
        open_run: Callable[[str], AbstractContextManager[Run]],
        clock: Callable[[], datetime],
        *,
        folder: Path,
        fleet: Collection[str] | None = None,
    ) -> None:
        """Use these parts; `fleet` are all watched tenants, `None` if other watches have others."""
        self.state = state
        self.book = book
        self._open_run = open_run
        self._clock = clock
        self._folder = folder
        self._fleet = fleet
        self._silent: set[str] = set()
        self.has_refusals = False

    def send_due(self, statuses: Iterable[TenantStatus], saved: list[SavedItem]) -> Iterator[str]:
        """
        Send the digests that are due; yield each that was not accepted, and why.

        One process sends at a time: the others wait, then raise `BusyError`.
        """
        busy = BusyError(
            "Another watch is sending.", next_step="The next cycle sends what is left."
        )
        lock = self._folder / "watch-send.lock"
        with hold_lock(lock, seconds=LOCK_TIMEOUT_SECONDS, busy=busy):
            addressees = self.book.addressees(statuses, saved)
            with self.state.transaction():
                ids = {row.id for row in saved if row.tenant in self.book}
                self.state.digests.delete(
                    digest
                    for digest in self.state.digests.read()
                    if self._names_others(digest, addressees.get(digest.receiver), ids)
                )
            for addressee in addressees.values():
                row = self._receiver(addressee)
                yield from self._serve(addressee, row)
                self.has_refusals |= bool(row.refusal)

    def _names_others(
        self, digest: Digest, addressee: Addressee | None, ids: Collection[str]
    ) -> bool:
        """
        Return whether a digest names a tenant or an item that is not its receiver's any more.

        A tenant that this cycle does not know keeps its receiver: it was not polled, or another
        watch polls it. Digests that name no tenant of this cycle belong to another watch.
        """
        if not any(key in self.book for key in digest.tenants):
            return False
        own = addressee.own if addressee else ReceiverList()
        has_left = self._fleet is not None and not {*digest.tenants} <= {*self._fleet}
        is_others = any(key in self.book and key not in own.statuses for key in digest.tenants)
        own_ids = {row.id for row in own.saved}
        return has_left or is_others or not digest.reported.keys() & ids <= own_ids

    def _serve(self, addressee: Addressee, row: WatchReceiver) -> Iterator[str]:
        """Send one receiver its digest, if one is due."""
        now = self._clock()
        with self.state.transaction():
            digest = None
            pending = None
            if row.server not in self._silent and _is_due(row, now):
                earlier = self.state.digests.read(receiver=row.receiver)
                self.state.digests.delete(old for old in earlier if not old.is_uncertain)
                pending = self._pending(row)
                digest = pending or self._compose(addressee, row, now)
                if digest is None:
                    # The refused digest has nothing left to say.
                    row.refusal = ""
                    row.tries = 0
            if digest:
                row.tries += 1
                row.tried_on = timestamp(now)
                self.state.digests.write([digest])
            self.state.receivers.write([row])
        if digest is None:
            return
        refused = self._send(digest, row)
        with self.state.transaction():
            if refused is None:
                self._accept(digest, row)
            else:
                self._note_refusal(row, refused)
            if refused is None:
                self.state.digests.delete([digest])
            elif not (pending or refused.may_be_there):
                digest.is_uncertain = False
                self.state.digests.write([digest])
            self.state.receivers.write([row])
        if refused:
            yield str(refused)

    def _pending(self, row: WatchReceiver) -> Digest | None:
        """Return the oldest digest that a receiver may have accepted; `None` without one."""
        digests = [
            digest
            for digest in self.state.digests.read(receiver=row.receiver)
            if any(key in self.book for key in digest.tenants)
        ]
        return min(digests, key=lambda digest: (digest.created_on, digest.id), default=None)

    def _compose(self, addressee: Addressee, row: WatchReceiver, now: datetime) -> Digest | None:
        """Return a new digest; `None` for nothing."""
        notices = [notice for notice in self.state.notices.read() if notice.on > row.accepted_on]
        return compose_digest(
            row,
            addressee.own,
            deliveries_of(self.state, row.receiver),
            now,
            page=(self._folder.absolute() / INDEX_PAGE).as_uri(),
            person=addressee.person,
            notices=notices,
        )

    def _receiver(self, addressee: Addressee) -> WatchReceiver:
        rows = self.state.receivers.read(receiver=addressee.row.receiver)
        # NOTE: what this cycle has found is not newer than a receiver that it has found, too.
        first_on = timestamp(self._clock())
        return rows[0] if rows else structs.replace(addressee.row, first_on=first_on)

    def _send(self, digest: Digest, row: WatchReceiver) -> NotSentError | None:
        """Send a digest with the settings of one of its tenants; return why it was refused."""
        try:
            with self._open_run(next(key for key in digest.tenants if key in self.book)) as run:
                send(run, CHANNELS[row.channel], digest)
        except NotSentError as error:
            return error
        except Exception as error:  # noqa: BLE001  (one tenant's settings stop no other)
            return NotSentError(" ".join(describe_error(error)))
        return None

    def _accept(self, digest: Digest, row: WatchReceiver) -> None:
        """Note what was reported to the receiver."""
        on = timestamp(self._clock())
        self.state.deliveries.write(
            Delivery(ident, digest.receiver, on, news) for ident, news in digest.reported.items()
        )
        row.accepted_on = on
        row.refusal = ""
        row.tries = 0

    def _note_refusal(self, row: WatchReceiver, refused: NotSentError) -> None:
        row.is_final = refused.is_final
        row.refusal = str(refused)
        if refused.is_silent:
            self._silent.add(row.server)


def deliveries_of(state: WatchState, receiver: str) -> dict[str, Delivery]:
    """Return what was reported to a receiver, by item; the terminal has an empty name."""
    return {row.item: row for row in state.deliveries.read(receiver=receiver)}


def _is_due(row: WatchReceiver, now: datetime) -> bool:
    """Return whether a receiver may get a digest now: at once, then after doubling waits."""
    wait = _FIRST_WAIT * 2 ** min(max(row.tries - 1, 0), _MAX_DOUBLINGS)
    if row.is_final:
        wait = _LONGEST_WAIT
    return not row.tries or has_passed(min(wait, _LONGEST_WAIT), row.tried_on, now)
