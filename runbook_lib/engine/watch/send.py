"""
Send the digests: freeze each before its first sending, and note who accepted it.

A refused digest is composed again when it is sent. One that its receiver may have accepted, also
after a kill, keeps its id and text. Nothing is sent that could not be saved.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from runbook_lib.core.files import hold_lock
from runbook_lib.core.journal import not_later, timestamp
from runbook_lib.engine.tenant_run import Run
from runbook_lib.engine.watch.channels import CHANNELS, addresses, send
from runbook_lib.engine.watch.channels.base import NotSentError
from runbook_lib.engine.watch.digest import WatchedView, accepted_deliveries, compose_digest
from runbook_lib.engine.watch.watch_state import (
    LOCK_TIMEOUT_SECONDS,
    Delivery,
    Digest,
    Problem,
    WatchReceiver,
    WatchState,
    has_passed,
    identify,
)
from runbook_lib.errors import BusyError, describe_error

# Waits before a digest is sent again: doubled after each try, up to a day.
_FIRST_WAIT = timedelta(minutes=5)
_LONGEST_WAIT = timedelta(days=1)
_MAX_DOUBLINGS = 16


@dataclass(slots=True)
class Addressee:
    """A receiver in this cycle: its tenants, and their problems that are for it."""

    row: WatchReceiver
    views: dict[str, WatchedView] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


class AddressBook:
    """The receivers and their problems, by the settings of the tenants of this cycle."""

    def __init__(self) -> None:
        self._people: dict[str, Callable[[str], Mapping[str, WatchReceiver]]] = {}
        self.views: dict[str, WatchedView] = {}

    def add(self, run: Run, key: str, people: Sequence[str], now: datetime) -> None:
        """Note to whom the tenant's problems go: to each of these people, or else its address."""
        on = timestamp(now)
        known = {person: receivers_of(run, person, on) for person in {"", *people}}
        self._people[key] = lambda person: known.get(person, known[""])
        self.views[key] = WatchedView(
            key, run.tenant, run.procedure.id, run.procedure.title, run.is_sandbox
        )

    def knows(self, key: str) -> bool:
        """Return whether the tenant is in this cycle."""
        return key in self._people

    def receivers(self, key: str, person: str = "") -> Mapping[str, WatchReceiver]:
        """Return the receivers of a tenant's problems that this person has, by channel."""
        return self._people[key](person)

    def addressees(self, problems: Sequence[Problem]) -> dict[str, Addressee]:
        """Return each receiver with its own tenants and problems, in the order of tenants."""
        by_receiver: dict[str, Addressee] = {}
        for key, view in self.views.items():
            for row in self.receivers(key).values():
                by_receiver.setdefault(row.receiver, Addressee(row)).views[key] = view
        for problem in problems:
            if not self.knows(problem.tenant):
                continue
            for row in self.receivers(problem.tenant, problem.person).values():
                addressee = by_receiver.setdefault(row.receiver, Addressee(row))
                addressee.views[problem.tenant] = self.views[problem.tenant]
                addressee.problems.append(problem)
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
        fleet: Collection[str] | None = None,
    ) -> None:
        """Use these parts; `fleet` are all watched tenants, `None` if other watches have others."""
        self.state = state
        self.book = book
        self._open_run = open_run
        self._clock = clock
        self._fleet = fleet
        self._silent: set[str] = set()

    def send_due(self, folder: Path) -> Iterator[str]:
        """
        Send the digests that are due; yield each that was not accepted, and why.

        One process sends at a time: the others wait, then raise `BusyError`.
        """
        busy = BusyError(
            "Another watch is sending.", next_step="The next cycle sends what is left."
        )
        with hold_lock(folder / "watch-send.lock", seconds=LOCK_TIMEOUT_SECONDS, busy=busy):
            problems = [
                problem
                for key in self.book.views
                for problem in self.state.problems.read(tenant=key)
            ]
            addressees = self.book.addressees(problems)
            self._withdraw(addressees)
            for addressee in addressees.values():
                yield from self._serve(addressee)

    def _withdraw(self, addressees: Mapping[str, Addressee]) -> None:
        """
        Delete the digests that name a tenant which has left their receiver.

        A tenant that this cycle does not know keeps its receiver: it was not polled, or another
        watch polls it. Digests that name no tenant of this cycle belong to another watch.
        """
        left = [
            digest
            for digest in self.state.digests.read()
            if any(map(self.book.knows, digest.tenants))
            and any(
                self._has_left(key, digest, addressees.get(digest.receiver))
                for key in digest.tenants
            )
        ]
        if left:
            with self.state.transaction():
                self.state.digests.delete(left)

    def _has_left(self, key: str, digest: Digest, addressee: Addressee | None) -> bool:
        """Return whether a tenant, or one of its problems in the digest, is another receiver's."""
        if not self.book.knows(key):
            return self._fleet is not None and key not in self._fleet
        if addressee is None or key not in addressee.views:
            return True
        known = {problem.id for problem in addressee.problems}
        own = {problem.id for problem in self.state.problems.read(tenant=key)}.intersection(
            (*digest.reported, *digest.ended)
        )
        return not own <= known

    def _serve(self, addressee: Addressee) -> Iterator[str]:
        """Send one receiver its digest, if one is due."""
        now = self._clock()
        digest = self._freeze(addressee, now)
        if digest is None or digest.server in self._silent or not _is_due(digest, now):
            return
        was_uncertain = digest.is_uncertain
        digest.is_uncertain = True
        digest.tries += 1
        digest.tried_on = timestamp(now)
        with self.state.transaction():
            self.state.digests.write([digest])
        refused = self._send(digest)
        row = self._receiver(addressee)
        with self.state.transaction():
            if refused is None:
                self._accept(digest, row)
            else:
                digest.is_uncertain = was_uncertain or refused.may_be_there
                self._note_refusal(digest, row, refused)
        if refused:
            yield str(refused)

    def _freeze(self, addressee: Addressee, now: datetime) -> Digest | None:
        """Return the pending digest of a receiver, or a new one, which is saved first."""
        row = self._receiver(addressee)
        with self.state.transaction():
            self.state.receivers.write([row])
            pending = self._pending(addressee, now)
            if row.gone_on:
                return None
            is_refused = pending and pending.tries and not pending.is_uncertain
            if pending and not (is_refused and _is_due(pending, now)):
                return pending
            deliveries = deliveries_by_problem(self.state, row.receiver)
            waiting = {
                ident
                for digest in self.state.digests.read(receiver=row.receiver)
                if digest != pending
                for ident in (*digest.reported, *digest.ended)
            }
            problems = [p for p in addressee.problems if p.id not in waiting]
            notices = [
                notice
                for notice in self.state.notices.read()
                if not row.introduced_on or notice.on > row.introduced_on
            ]
            digest = compose_digest(
                row, problems, addressee.views, deliveries, now, notices=notices
            )
            if pending:
                self.state.digests.delete([pending])
            if digest:
                if pending:
                    digest.tries = pending.tries
                    digest.tried_on = pending.tried_on
                    digest.is_final = pending.is_final
                self.state.digests.write([digest])
            return digest

    def _pending(self, addressee: Addressee, now: datetime) -> Digest | None:
        """Return the frozen digest of a receiver that is due first; `None` if it has none."""
        digests = [
            digest
            for digest in self.state.digests.read(receiver=addressee.row.receiver)
            if any(map(self.book.knows, digest.tenants))
        ]
        digests.sort(key=lambda digest: (not _is_due(digest, now), digest.created_on, digest.id))
        return next(iter(digests), None)

    def _receiver(self, addressee: Addressee) -> WatchReceiver:
        rows = self.state.receivers.read(receiver=addressee.row.receiver)
        return rows[0] if rows else addressee.row

    def _send(self, digest: Digest) -> NotSentError | None:
        """Send a digest with the settings of one of its tenants; return why it was refused."""
        try:
            with self._open_run(next(filter(self.book.knows, digest.tenants))) as run:
                send(run, CHANNELS[digest.channel], digest)
        except NotSentError as error:
            return error
        except Exception as error:  # noqa: BLE001  (one tenant's settings stop no other)
            return NotSentError(" ".join(describe_error(error)))
        return None

    def _accept(self, digest: Digest, row: WatchReceiver) -> None:
        """
        Note the receiver's deliveries; other receivers of its server need not wait any longer.
        """
        now = self._clock()
        state = self.state
        deliveries = deliveries_by_problem(state, row.receiver)
        state.deliveries.write(accepted_deliveries(digest, deliveries, now))
        row.introduced_on = timestamp(now)
        row.refusal = ""
        state.receivers.write([row])
        state.digests.delete([digest])
        woken = [other for other in state.digests.read(server=digest.server) if not other.is_final]
        for other in woken:
            other.tried_on = ""
        state.digests.write(woken)

    def _note_refusal(self, digest: Digest, row: WatchReceiver, refused: NotSentError) -> None:
        digest.is_final = refused.is_final
        row.refusal = str(refused)
        if refused.is_gone:
            row.gone_on = timestamp(self._clock())
            self.state.digests.delete([digest])
        else:
            self.state.digests.write([digest])
        self.state.receivers.write([row])
        if refused.is_silent or refused.is_gone:
            self._silent.add(digest.server)


def receivers_that_refused(state: WatchState, book: AddressBook) -> list[tuple[list[str], str]]:
    """Return the receivers of this cycle that did not accept their last digest, and why."""
    refused_tenants: dict[str, tuple[list[str], str]] = defaultdict(lambda: ([], ""))
    known = {row.receiver: row for row in state.receivers.read() if row.refusal}
    for key, view in book.views.items():
        for receiver in book.receivers(key).values():
            if row := known.get(receiver.receiver):
                tenants, _ = refused_tenants[row.receiver]
                refused_tenants[row.receiver] = ([*tenants, view.tenant], row.refusal)
    return [*refused_tenants.values()]


def deliveries_by_problem(state: WatchState, receiver: str) -> dict[str, Delivery]:
    """Return a receiver's deliveries, by the id of the problem; the terminal has an empty name."""
    return {delivery.problem: delivery for delivery in state.deliveries.read(receiver=receiver)}


def terminal_receiver(
    state: WatchState, now: datetime
) -> tuple[WatchReceiver, dict[str, Delivery]]:
    """Return the terminal as a receiver, and its deliveries."""
    terminal = WatchReceiver("", "", "", first_on=not_later("", timestamp(now)))
    return terminal, deliveries_by_problem(state, "")


def _is_due(digest: Digest, now: datetime) -> bool:
    """Return whether a digest may be sent now: at once, then after doubling waits."""
    wait = _FIRST_WAIT * 2 ** min(max(digest.tries - 1, 0), _MAX_DOUBLINGS)
    if digest.is_final:
        wait = _LONGEST_WAIT
    return not digest.tries or has_passed(min(wait, _LONGEST_WAIT), digest.tried_on, now)
