"""
One cycle of the watch over tenants, one or thousands.

It polls them, then customers, for minutes at most. It shows changes, sends one digest to each
receiver, pings, writes the page, and seals if wanted. The tenants share their connections. If
something breaks for one of them, or in one message, the cycle names it and goes on with the others.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from runbook_lib.config.fleet_file import FleetTenant
from runbook_lib.config.workspace import evidence_folder
from runbook_lib.connectors.registry import known_variables
from runbook_lib.core.clock import timestamp, utc_now
from runbook_lib.core.model import Mode
from runbook_lib.engine.elsewhere import seal_elsewhere
from runbook_lib.engine.tenant_run import Run, open_run
from runbook_lib.errors import (
    EvidenceError,
    ExitCode,
    JournalError,
    RemoteError,
    RunbookError,
    SettingsError,
    UnknownTenantError,
    describe_error,
)
from runbook_lib.evidence.reports.tenant_status import TenantStatus
from runbook_lib.operations.watch.customer_poll import is_due, poll_customers
from runbook_lib.operations.watch.digest import ReceiverList, ReportedRow, reported_rows
from runbook_lib.operations.watch.poll import (
    key_of,
    open_watched,
    poll_tenant,
)
from runbook_lib.operations.watch.saved_items import settle
from runbook_lib.operations.watch.send import AddressBook, Sender, deliveries_of
from runbook_lib.operations.watch.watch_state import (
    RECORD_UNREADABLE,
    SETTINGS_UNUSABLE,
    Delivery,
    SavedItem,
    WatchReceiver,
    WatchState,
    WatchStateError,
    has_passed,
    open_state,
    polled_alone,
)
from runbook_lib.remote.client import ConnectionPools
from runbook_lib.remote.http_messages import Request
from runbook_lib.text import one_line

# Seconds for customers in a cycle; the watch is called every five minutes.
_CUSTOMER_SECONDS = 180.0
# A run takes dozens of the app's calls: one that cannot be sealed is not repeated at each poll.
_SEALED_AGAIN = timedelta(hours=1)


@contextmanager
def open_cycle(
    tenants: Sequence[FleetTenant],
    *,
    is_alone: bool = False,
    seals_changes: bool = False,
    seal_every: int = 0,
    **options: Any,
) -> Iterator[WatchCycle]:
    """
    Give a cycle over these tenants; `options` are those of `open_watched`.

    A cycle that `is_alone` does not come from a fleet's file. Other watches may then go on in the
    same folder, and no page is written. Raises `BusyError` while another process watches a fleet
    there, and `WatchStateError` if the watch's state cannot be used.
    """
    folder = evidence_folder(options.get("evidence", ""))
    clock: Callable[[], datetime] = options.get("clock", utc_now)
    with ExitStack() as stack:
        state = None
        if folder.is_dir():
            if not is_alone:
                stack.enter_context(polled_alone(folder))
            state = stack.enter_context(open_state(folder, clock()))
        pools = stack.enter_context(closing(ConnectionPools()))
        named = {f"{tenant.procedure.id}/{tenant.tenant}": tenant for tenant in tenants}
        yield WatchCycle(
            tenants=named,
            folder=folder,
            state=state,
            pools=pools,
            is_alone=is_alone,
            seals_changes=seals_changes,
            seal_every=seal_every,
            options=options,
        )


@dataclass(slots=True)
class WatchCycle:
    """
    One cycle: `poll`, `poll_customers`, `settle`, `shown`, `send`, then the rest.

    Each yields a line for what could not be done.
    """

    tenants: Mapping[str, FleetTenant]
    """The tenants by connector and name."""
    folder: Path
    """The evidence folder."""
    state: WatchState | None
    """The watch's state; `None` without an evidence folder."""
    pools: ConnectionPools
    """The connections that the tenants share."""
    is_alone: bool
    """Whether the tenants are not from a fleet's file; then no page is written."""
    seals_changes: bool
    """Whether a tenant is run and sealed after each change."""
    seal_every: int
    """The days after which a tenant is run and sealed; 0 for never."""
    options: Mapping[str, Any]
    """The options of `open_watched`."""
    _codes: set[ExitCode] = field(default_factory=lambda: {ExitCode.COMPLETE})
    """The exit codes of the tenants so far."""
    _book: AddressBook = field(default_factory=AddressBook)
    """The receivers of each tenant."""
    _statuses: list[TenantStatus] = field(default_factory=list)
    """The state of each tenant, as every list shows it."""
    _saved: list[SavedItem] = field(default_factory=list)
    """The begin and end of their items, and changes."""
    _with_customers: list[str] = field(default_factory=list)
    """The tenants whose customers are due."""
    _polled: list[str] = field(default_factory=list)
    """The tenants that were polled."""
    _unusable: set[str] = field(default_factory=set)
    """The tenants that cannot be polled."""
    _pings: dict[str, str] = field(default_factory=dict)
    """Address of a health check → one of its tenants."""

    @property
    def code(self) -> ExitCode:
        """The worst exit code of all tenants, 1 before 3."""
        return ExitCode.FAILED if ExitCode.FAILED in self._codes else max(self._codes)

    def poll(self) -> Iterator[str]:
        """Poll each tenant; yield why one was not polled."""
        for key, tenant in self.tenants.items():
            yield from self._tried(partial(self._poll_if_usable, key), f"{tenant.tenant}: ")

    def _poll_if_usable(self, key: str) -> list[str]:
        """Poll a tenant; if its settings cannot be used, keep why."""
        try:
            with self._run(key) as run:
                return [*self._poll_tenant(run)]
        except (UnknownTenantError, WatchStateError):
            raise
        except (SettingsError, JournalError, EvidenceError) as error:
            if self.state:
                self._unusable.add(key)
                self._note_unusable(key, error)
            raise

    def _note_unusable(self, key: str, error: RunbookError) -> None:
        """Keep why a tenant cannot be polled, and find out whom to tell."""
        now = self._now()
        state = self._state
        row = state.tenant(key)
        title = SETTINGS_UNUSABLE if isinstance(error, SettingsError) else RECORD_UNREADABLE
        row.set_unusable(*describe_error(error), timestamp(now), title)
        with state.transaction():
            state.tenants.write([row])
        with suppress(RunbookError), self._run(key) as run:
            self._book.add(run, key, (), now)

    def poll_customers(self) -> Iterator[str]:
        """Poll customers, for minutes at most, those first that wait longest; yield as `poll`."""
        until = time.monotonic() + _CUSTOMER_SECONDS
        if not self._with_customers:
            return
        state = self._state
        for key in sorted(
            self._with_customers, key=lambda key: state.tenant(key).customers_polled_on
        ):
            left = until - time.monotonic()
            if left > 0:
                yield from self._for_each([key], partial(self._poll_customers, seconds=left))

    def settle(self, statuses: Iterable[TenantStatus]) -> Iterator[str]:
        """Save what began and ended, by the tenants' state after the polls; yield as `poll`."""
        self._statuses = [status for status in statuses if status.key in self.tenants]
        yield from self._tried(self._settle)

    def _settle(self) -> Iterable[str]:
        if self.state is None:
            return ()
        now = self._now()
        with self.state.transaction():
            for status in self._statuses:
                settle(self.state, status, now)
        if any(status.is_failing for status in self._statuses):
            self._codes.add(ExitCode.FAILED)
        keys = [status.key for status in self._statuses]
        self._saved = [row for key in keys for row in self.state.items.read(tenant=key)]
        return ()

    def shown(self) -> Iterator[ReportedRow]:
        """
        Yield each row that is new, changed or over, and was not printed yet.

        Rows count as printed once the iterator ends: after a kill they are printed again.
        """
        if self.state is None:
            return
        state = self.state
        on = timestamp(self._now())
        deliveries = deliveries_of(state, "")
        new = WatchReceiver("", "", "", first_on=on)
        terminal = next(iter(state.receivers.read(receiver="")), new)
        own = ReceiverList({status.key: status for status in self._statuses}, self._saved)
        shown = [
            row for row in reported_rows(terminal, own, deliveries, self._now()) if row.is_news
        ]
        yield from shown
        reported = [
            Delivery(ident, "", on, news) for row in shown for ident, news in row.reported.items()
        ]
        if reported or terminal is new:
            # NOTE: a row that cannot be saved is printed again.
            with suppress(RunbookError), state.transaction():
                state.deliveries.write(reported)
                state.receivers.write([terminal])

    def send(self) -> Iterator[str]:
        """Send the digests that are due; yield a line for each that was not accepted."""
        if self.state is None or not self._statuses:
            return
        fleet = None if self.is_alone else self.tenants
        sender = Sender(
            self.state, self._book, self._run, self._now, folder=self.folder, fleet=fleet
        )
        for line in self._tried(partial(sender.send_due, self._statuses, self._saved)):
            self._codes.add(ExitCode.INCOMPLETE)
            yield line
        if sender.has_refusals:
            self._codes.add(ExitCode.INCOMPLETE)

    def ping(self) -> Iterator[str]:
        """Send a GET to each health check once; yield why it was not taken."""
        yield from self._for_each(self._pings.values(), _ping)

    def seal(self) -> Iterator[str]:
        """Run and seal each tenant that is due; yield the bundle."""
        if self.seals_changes or self.seal_every:
            usable = [key for key in self._polled if key not in self._unusable]
            yield from self._for_each(usable, self._seal)

    def forget_old(self) -> Iterator[str]:
        """Delete items that ended long ago; yield why that failed."""
        yield from self._tried(self._forget)

    def _forget(self) -> Iterable[str]:
        if self.state:
            with self.state.transaction():
                self.state.forget_old(self._now())
        return ()

    @property
    def _state(self) -> WatchState:
        if self.state is None:
            raise SettingsError(f"There is no evidence folder {self.folder}.")
        return self.state

    def _now(self) -> datetime:
        clock: Callable[[], datetime] = self.options.get("clock", utc_now)
        return clock()

    def _tried(self, act: Callable[[], Iterable[str]], whose: str = "") -> list[str]:
        """Yield the lines of `act`; if it breaks, yield one for that and stop."""
        lines: list[str] = []
        try:
            lines += act()
        except Exception as error:  # noqa: BLE001
            self._codes.add(ExitCode.INCOMPLETE)
            message, advice = describe_error(error)
            lines.append(f"{whose}{message} Next: {advice}")
        return lines

    def _for_each(self, keys: Iterable[str], act: Callable[[Run], Iterable[str]]) -> Iterator[str]:
        """Yield the result of `act` for each tenant, or why it could not be done."""

        def acted(key: str) -> Iterator[str]:
            with self._run(key) as run:
                yield from act(run)

        for key in keys:
            yield from self._tried(partial(acted, key), f"{self.tenants[key].tenant}: ")

    @contextmanager
    def _run(self, key: str) -> Iterator[Run]:
        tenant = self.tenants[key]
        if key in self._unusable:
            # NOTE: its secrets or its journal cannot be read. A message needs neither.
            options = {**self.options, "evidence": str(self.folder / "not-read")}
            options.pop("clock", None)
            run = open_run(
                tenant.procedure,
                tenant.given,
                mode=Mode.HEADLESS,
                tenant=tenant.tenant,
                **options,
            )
        else:
            given = {**tenant.given, **tenant.references}
            run = open_watched(tenant.procedure, given, tenant=tenant.tenant, **self.options)
        run.share(self.pools)
        with closing(run):
            yield run

    def _poll_tenant(self, run: Run) -> Iterator[str]:
        """Poll a tenant, and note its next actions; yield why nothing was checked."""
        key = key_of(run)
        if url := str(run.values.get("healthcheck", "")):
            self._pings.setdefault(url, key)
        result = poll_tenant(run, self._state)
        self._codes.add(result.code)
        self._polled.append(key)
        self._book.add(run, key, result.people, self._now())
        if is_due(run, self._state):
            self._with_customers.append(key)
        if result.held:
            yield f"{run.tenant}: {result.held}"

    def _poll_customers(self, run: Run, *, seconds: float) -> Iterator[str]:
        self._codes.add(poll_customers(run, self._state, seconds).code)
        yield from ()

    def _seal(self, run: Run) -> Iterator[str]:
        """Run and seal a tenant; if that fails it is tried again an hour later."""
        key = key_of(run)
        now = self._now()
        state = self._state
        before = state.tenant(key)
        every = timedelta(days=self.seal_every)
        is_old = bool(self.seal_every) and has_passed(every, before.sealed_on, now)
        is_changed = self.seals_changes and bool(before.changed_on)
        if not (is_old or is_changed) or not has_passed(_SEALED_AGAIN, before.seal_failed_on, now):
            return
        failed_on = timestamp(now)
        try:
            # NOTE: a practice server must not get settings of real runs.
            withheld = known_variables() if run.is_sandbox else ()
            bundle = seal_elsewhere(run, withheld=withheld).bundle
            failed_on = ""
        finally:
            with state.transaction():
                after = state.tenant(key)
                after.seal_failed_on = failed_on
                if not failed_on:
                    after.sealed_on = timestamp(now)
                    # NOTE: a change that another poll saw meanwhile is not in this run.
                    if after.changed_on == before.changed_on:
                        after.changed_on = ""
                state.tenants.write([after])
        yield f"Sealed: {bundle}"


def _ping(run: Run) -> Iterator[str]:
    """Send a GET to the health check's address; yield why it did not take it."""
    request = Request(method="GET", url=str(run.values["healthcheck"]))
    try:
        status = run.open_session().send(request).status
    except RemoteError as error:
        yield f"The health check could not be reached: {one_line(run.redactor.redact(str(error)))}"
    else:
        if not 200 <= status < 300:
            yield f"The health check answered {status} ({request.host})."
