"""
Send the digests: freeze each before its first sending, and note who accepted it.

A refused digest is composed again when it is sent. One that its receiver may have accepted, also
after a kill, keeps its id and text. Nothing is sent that could not be saved.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from runbook_lib.core.clock import timestamp
from runbook_lib.core.files import hold_lock
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
        self._people: dict[str, dict[str, Mapping[str, WatchReceiver]]] = {}
        self.views: dict[str, WatchedView] = {}

    def add(self, run: Run, key: str, people: Sequence[str], now: datetime) -> None:
        """Note to whom the tenant's problems go: to each of these people, or else its address."""
        on = timestamp(now)
        self._people[key] = {person: receivers_of(run, person, on) for person in {"", *people}}
        self.views[key] = WatchedView(run.tenant, run.procedure.id, run.is_sandbox)

    def knows(self, key: str) -> bool:
        """Return whether the tenant is in this cycle."""
        return key in self.views

    def receivers(self, key: str, person: str = "") -> Mapping[str, WatchReceiver]:
        """Return the receivers of a tenant's problems that this person has, by channel."""
        known = self._people[key]
        return known.get(person, known[""])

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
        self.has_refusals = False

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
                row = self._receiver(addressee)
                yield from self._serve(addressee, row)
                self.has_refusals |= bool(row.refusal)

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

    def _serve(self, addressee: Addressee, row: WatchReceiver) -> Iterator[str]:
        """Send one receiver its digest, if one is due."""
        now = self._clock()
        with self.state.transaction():
            digest = None
            pending = None
            if not row.gone_on and row.server not in self._silent and _is_due(row, now):
                earlier = self.state.digests.read(receiver=row.receiver)
                self.state.digests.delete(old for old in earlier if not old.is_uncertain)
                pending = self._pending(row)
                digest = pending or self._compose(addressee, row, now)
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
            if refused is None or refused.is_gone:
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
            if any(map(self.book.knows, digest.tenants))
        ]
        return min(digests, key=lambda digest: (digest.created_on, digest.id), default=None)

    def _compose(self, addressee: Addressee, row: WatchReceiver, now: datetime) -> Digest | None:
        """Return a new digest of what no other digest of the receiver says; `None` for nothing."""
        waiting = {
            ident
            for digest in self.state.digests.read(receiver=row.receiver)
            for ident in (*digest.reported, *digest.ended)
        }
        return compose_digest(
            row,
            [problem for problem in addressee.problems if problem.id not in waiting],
            addressee.views,
            deliveries_by_problem(self.state, row.receiver),
            now,
            notices=[
                notice
                for notice in self.state.notices.read()
                if not row.introduced_on or notice.on > row.introduced_on
            ],
        )

    def _receiver(self, addressee: Addressee) -> WatchReceiver:
        rows = self.state.receivers.read(receiver=addressee.row.receiver)
        return rows[0] if rows else addressee.row

    def _send(self, digest: Digest, row: WatchReceiver) -> NotSentError | None:
        """Send a digest with the settings of one of its tenants; return why it was refused."""
        try:
            with self._open_run(next(filter(self.book.knows, digest.tenants))) as run:
                send(run, CHANNELS[row.channel], digest)
        except NotSentError as error:
            return error
        except Exception as error:  # noqa: BLE001  (one tenant's settings stop no other)
            return NotSentError(" ".join(describe_error(error)))
        return None

    def _accept(self, digest: Digest, row: WatchReceiver) -> None:
        """Note the receiver's deliveries; others at its server need not wait any longer."""
        now = self._clock()
        state = self.state
        deliveries = deliveries_by_problem(state, row.receiver)
        state.deliveries.write(accepted_deliveries(digest, deliveries, now))
        row.introduced_on = timestamp(now)
        row.refusal = ""
        row.tries = 0
        woken = [other for other in state.receivers.read(server=row.server) if not other.is_final]
        for other in woken:
            other.tried_on = ""
        state.receivers.write(woken)

    def _note_refusal(self, row: WatchReceiver, refused: NotSentError) -> None:
        row.is_final = refused.is_final
        row.refusal = str(refused)
        if refused.is_gone:
            row.gone_on = timestamp(self._clock())
        if refused.is_silent or refused.is_gone:
            self._silent.add(row.server)


def deliveries_by_problem(state: WatchState, receiver: str) -> dict[str, Delivery]:
    """Return a receiver's deliveries, by the id of the problem; the terminal has an empty name."""
    return {delivery.problem: delivery for delivery in state.deliveries.read(receiver=receiver)}


def _is_due(row: WatchReceiver, now: datetime) -> bool:
    """Return whether a receiver may get a digest now: at once, then after doubling waits."""
    wait = _FIRST_WAIT * 2 ** min(max(row.tries - 1, 0), _MAX_DOUBLINGS)
    if row.is_final:
        wait = _LONGEST_WAIT
    return not row.tries or has_passed(min(wait, _LONGEST_WAIT), row.tried_on, now)
