"""
The watch's state: one SQLite file in the evidence folder, a row for each thing.

It is no evidence, holds no credential and no address, and is trusted like the folder (mode 0600).
Nothing here asks a remote system.

NOTE: it has a rollback journal. A write-ahead log needs shared memory, which network file systems
do not have (https://www.sqlite.org/wal.html).
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar
from urllib.parse import quote

import msgspec
from msgspec import Meta, Struct

from runbook_lib.core.clock import not_later, timestamp
from runbook_lib.core.files import hold_lock, kind_of
from runbook_lib.core.model import Outcome
from runbook_lib.errors import BusyError, RunbookError, SettingsError
from runbook_lib.evidence.reports.tenant_status import OpenItem
from runbook_lib.operations.customer_rows import KnownAccount, Survey

STATE_NAME = "watch.db"
# Problems of a tenant itself: nothing can be asked, or its last run has no good end.
SETTINGS_UNUSABLE = "Its settings cannot be used"
RECORD_UNREADABLE = "Its record cannot be read"
NO_EVIDENCE = "Its last run left no evidence"
RUN_CUT_SHORT = "Its last run did not end well"
# The step of the results about customers.
CUSTOMERS_STEP = "customers"
# The news of a change that fails nothing, and of an item that has ended.
CHANGED = "changed"
OVER = "over"
FORMAT_VERSION = 8
# Seconds to wait for another process that writes.
LOCK_TIMEOUT_SECONDS = 30.0

# 200,000 customers who are signed out at once take less.
_MAX_BYTES = 1024 * 1024 * 1024
# "RBWA": this file is a runbook's watch (SQLite's application_id).
_APPLICATION_ID = 0x52425741
_KEPT_DAYS = 90
_Row = TypeVar("_Row", bound=Struct)
_Time = Annotated[datetime, Meta(tz=True)]


class WatchedTenant(Struct):
    """A connector of a tenant that is watched."""

    tenant: str
    """The connector and the tenant's name, such as `my_connector/acme`."""
    last_polled_on: str = ""
    """The time of the last poll of its checks (ISO 8601)."""
    polled_on: dict[str, str] = {}
    """Step id → the time of its last poll, with any result."""
    changed_on: str = ""
    """The time of the first changed outcome that no sealed run has seen."""
    sealed_on: str = ""
    """The time at which the watch last sealed a run of it (ISO 8601)."""
    seal_failed_on: str = ""
    """The time at which sealing last failed; empty if it did not."""
    customers_polled_on: str = ""
    """The time at which all customers were last polled, or could not be."""
    unusable_title: str = ""
    """The problem of the tenant itself, in one line."""
    unusable: str = ""
    """The reason why nothing could be asked at the last try, such as an unreadable secret."""
    unusable_advice: str = ""
    """The advice against that problem."""
    unusable_since: str = ""
    """The time at which that problem began; empty without one."""
    unusable_on: str = ""
    """The time at which that problem was last seen."""

    def set_unusable(
        self, reason: str, advice: str, on: str, title: str = SETTINGS_UNUSABLE
    ) -> None:
        """
        Note the tenant's problem at the time `on`, in a line and with advice; no reason clears it.
        """
        self.unusable_title = title
        self.unusable_since = not_later(self.unusable_since, on) if reason else ""
        self.unusable_on = on
        self.unusable = reason
        self.unusable_advice = advice


class PolledCheck(Struct, frozen=True):
    """The result of a check in one poll."""

    outcome: Outcome
    """The outcome of the finding."""
    reason: str
    """The reason of the finding."""
    code: str = ""
    """The code of the finding."""
    facts: dict[str, str] = {}
    """Facts and compared values, by name."""
    expected: list[str] = []
    """Names of the facts that are as they were meant to be."""
    limits: list[str] = []
    """The points that the check does not prove."""


class WatchedStep(Struct):
    """A check of a step: the result that counts, and another one that does not count yet."""

    tenant: str
    """The connector and the tenant's name, such as `my_connector/acme`."""
    step: str
    """The step's id."""
    check: str
    """The check's id."""
    current: PolledCheck | None = None
    """The result that counts; `None` before the first one."""
    since: str = ""
    """The time at which the current result was first seen."""
    seen_on: str = ""
    """The time at which a poll last saw the current result; empty if it comes from the journal."""
    unconfirmed: PolledCheck | None = None
    """A different result of the last poll; it counts once it is seen again."""
    unconfirmed_since: str = ""
    """The time at which that result was first seen; empty without one."""
    before: Outcome | None = None
    """The outcome before it failed or got worse; `None` if it did not, or did from the start."""
    unanswered_since: str = ""
    """The time since which no result decides anything; empty if one does (ISO 8601)."""
    unanswered: str = ""
    """The reason why no result decides anything."""


class SavedItem(Struct):
    """An open item at one place of a tenant: its begin and end, which only a watch decides."""

    id: str
    """A digest of its parts."""
    tenant: str
    """The connector and the tenant's name, such as `my_connector/acme`."""
    cause: str
    """Items of an equal cause are one row."""
    place: str
    """The step's id, or the customer's account; empty for the tenant itself."""
    began_on: str
    """The time at which a watch first saw it (ISO 8601)."""
    item: OpenItem
    """The item as it began, at this place alone."""
    news: str = ""
    """Its news (`OpenItem.news_on`); of a change that fails nothing `changed`."""
    ended_on: str = ""
    """The time at which it ended; empty while it is open."""
    end_reason: str = ""
    """The reason why it ended."""
    acknowledged_by: str = ""
    """The person who knows of it; empty for nobody."""
    note: str = ""
    """The note of that person."""

    @property
    def is_change(self) -> bool:
        """Whether it is a change that fails nothing, and is reported once."""
        return self.news == CHANGED

    @property
    def known_to(self) -> str:
        """The person who acknowledged it, and why; empty for nobody."""
        return ": ".join(filter(None, (self.acknowledged_by, self.note)))


class Delivery(Struct):
    """An item as it was reported to one receiver; the terminal is the receiver with no name."""

    item: str
    """The item's id."""
    receiver: str
    """The receiver; empty for the terminal."""
    reported_on: str
    """The time at which the receiver accepted the digest."""
    news: str = ""
    """Its news at that time."""


class WatchReceiver(Struct):
    """A receiver of digests in one channel, by a digest of its address."""

    receiver: str
    """A digest of the receiver's address."""
    channel: str
    """The channel's name."""
    server: str
    """A digest of the server's address."""
    first_on: str
    """The time since which it is set; it gets no older news."""
    accepted_on: str = ""
    """The time at which it last accepted a digest."""
    refusal: str = ""
    """The reason why it did not accept the last digest; empty if it did."""
    tries: int = 0
    """The number of tries since it last accepted a digest."""
    tried_on: str = ""
    """The time of the last try; empty if it need not wait."""
    is_final: bool = False
    """The server refused the last digest for good, so it is tried once a day."""


class Digest(Struct):
    """One message to one receiver; it is kept until it is accepted."""

    id: str
    """The id of the message, the same after each try."""
    receiver: str
    """A digest of the receiver's address."""
    subject: str
    """The subject line."""
    text: str
    """The text that people read."""
    created_on: str
    """The time at which it was frozen (ISO 8601)."""
    tenants: list[str] = []
    """The tenants that it names."""
    document: dict[str, Any] = {}
    """The same for programs."""
    person: str = ""
    """The person who has the steps; empty for the tenant's own address."""
    reported: dict[str, str] = {}
    """Item id → what it tells of it."""
    is_uncertain: bool = True
    """Whether the server may have taken it, so that its id and text stay."""


class WatchedCustomer(Struct):
    """A customer's account in Cyclr."""

    tenant: str
    account: str
    body: KnownAccount


class CustomerSurvey(Struct):
    """One pass over a tenant's customers, without the customers."""

    tenant: str
    body: Survey


class Notice(Struct):
    """The first line of each next digest: the state was moved aside."""

    on: str
    text: str


class StateTable(Generic[_Row]):
    """A table whose rows are structs, as JSON; the fields to look for them by are columns."""

    def __init__(
        self, connection: sqlite3.Connection, path: Path, kind: type[_Row], *key: str
    ) -> None:
        self._connection = connection
        self._path = path
        self._kind = kind
        self._key = key
        self._columns = ", ".join(f'"{name}"' for name in key)
        self.name = kind.__name__.lower()

    @property
    def definition(self) -> str:
        """The statement that creates it."""
        return f"CREATE TABLE {self.name} ({self._columns}, row, PRIMARY KEY ({self._columns}))"

    def read(self, **equal: str) -> list[_Row]:
        """Return the rows in which these columns have these values, by their key."""
        where = " AND ".join(f'"{name}" = ?' for name in equal) or "1"
        query = f"SELECT * FROM {self.name} WHERE {where} ORDER BY {self._columns}"  # noqa: S608
        with _reported(self._path):
            rows = self._connection.execute(query, tuple(equal.values())).fetchall()
        try:
            return [self._decode(row) for *_, row in rows]
        except (msgspec.MsgspecError, ValueError, TypeError, RecursionError) as error:
            raise DamagedWatchStateError(f"{self._path} is damaged ({error}).") from None

    def write(self, rows: Iterable[_Row]) -> None:
        """Insert or replace these rows."""
        marks = ", ".join("?" for _ in (*self._key, "row"))
        statement = f"INSERT OR REPLACE INTO {self.name} VALUES ({marks})"  # noqa: S608
        values = ((*self._key_of(row), msgspec.json.encode(row).decode()) for row in rows)
        self._connection.executemany(statement, values)

    def delete(self, rows: Iterable[_Row]) -> None:
        """Delete the rows with the keys of these."""
        where = " AND ".join(f'"{name}" = ?' for name in self._key)
        statement = f"DELETE FROM {self.name} WHERE {where}"  # noqa: S608
        self._connection.executemany(statement, map(self._key_of, rows))

    def _key_of(self, row: _Row) -> tuple[str, ...]:
        return tuple(getattr(row, name) for name in self._key)

    def _decode(self, text: str) -> _Row:
        row = msgspec.json.decode(text, type=self._kind)
        _check_times(row)
        return row


def _check_times(value: object, name: str = "") -> None:
    """Raise `ValidationError` if a field of a row, by its name, is a time and holds no time."""
    if isinstance(value, Struct):
        for field in value.__struct_fields__:
            _check_times(getattr(value, field), field)
    elif isinstance(value, dict):
        for item in value.values():
            _check_times(item, name)
    elif value and isinstance(value, str) and f"_{name}".endswith(("_on", "_since")):
        msgspec.convert(value, _Time)


class WatchState:
    """The open state; each table is read and written by rows, in a `transaction`."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self.path = path
        self.tenants = StateTable(connection, path, WatchedTenant, "tenant")
        self.steps = StateTable(connection, path, WatchedStep, "tenant", "step", "check")
        self.items = StateTable(connection, path, SavedItem, "tenant", "cause", "place", "id")
        self.deliveries = StateTable(connection, path, Delivery, "receiver", "item")
        self.receivers = StateTable(connection, path, WatchReceiver, "receiver")
        self.digests = StateTable(connection, path, Digest, "id", "receiver")
        self.customers = StateTable(connection, path, WatchedCustomer, "tenant", "account")
        self.surveys = StateTable(connection, path, CustomerSurvey, "tenant")
        self.notices = StateTable(connection, path, Notice, "on")

    @property
    def tables(self) -> list[StateTable[Any]]:
        return [table for table in vars(self).values() if isinstance(table, StateTable)]

    @property
    def definitions(self) -> list[str]:
        """The statements that create its tables."""
        return [table.definition for table in self.tables]

    @property
    def saved_definitions(self) -> set[str]:
        """The statements that have created what the file holds."""
        query = "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL"
        return {sql for (sql,) in self._connection.execute(query)}

    def tenant(self, key: str) -> WatchedTenant:
        """Return a tenant; a new one if it was never polled."""
        return next(iter(self.tenants.read(tenant=key)), WatchedTenant(key))

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """
        Save everything that is written within, or nothing of it; other processes wait.

        Raises `WatchStateError` if it cannot be saved.
        """
        with _reported(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
        try:
            with _reported(self.path):
                yield
                self._connection.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            raise

    def forget_old(self, now: datetime) -> None:
        """Delete what ended, or was reported once, so long ago that no receiver waits for it."""
        limit = timestamp(now - timedelta(days=_KEPT_DAYS))
        self.items.delete(row for row in self.items.read() if "" < row.ended_on < limit)
        self._connection.execute(
            "DELETE FROM delivery WHERE item NOT IN (SELECT id FROM saveditem)"
        )
        self._connection.execute('DELETE FROM notice WHERE "on" < ?', (limit,))


class WatchStateError(SettingsError):
    """The watch's state cannot be read or saved; the message says why."""

    code = "watch-state-unusable"
    exit_code = RunbookError.exit_code
    next_step = "Free the disk, or correct the file's place or rights. Nothing was sent."


class DamagedWatchStateError(WatchStateError):
    """The watch's state is damaged, or this version of the runbook does not write its format."""

    code = "watch-state-damaged"
    next_step = "The next watch moves it aside and begins a new one."


def has_passed(interval: timedelta, since: str, now: datetime) -> bool:
    """
    Return whether `interval` has passed since then.

    A time that is later than now was kept by a wrong clock: then it has passed. So has never.
    """
    return not since or not timedelta() <= now - datetime.fromisoformat(since) < interval


def polled_alone(folder: Path) -> AbstractContextManager[None]:
    """Hold the lock of a watch in a folder; raises `BusyError` if another process does."""
    message = f"Another watch is running in {folder}."
    busy = BusyError(message, next_step="Wait until it has ended.")
    return hold_lock(folder / "watch.lock", busy=busy)


@contextmanager
def open_state(folder: Path, now: datetime) -> Iterator[WatchState]:
    """
    Open the state in the evidence folder; a damaged, foreign or huge one is moved aside.

    Damaged is also a file with a row that cannot be read, or with other tables or columns.
    Then a `Notice` says so. Raises `WatchStateError` if it cannot be used.
    """
    path = folder / STATE_NAME
    notice = None
    try:
        connection = _connect(path)
    except DamagedWatchStateError:
        # NOTE: if two processes see it, one moves it aside and the other finds the new one.
        with hold_lock(folder / "watch-aside.lock", seconds=LOCK_TIMEOUT_SECONDS):
            connection, notice = _replace_damaged(path, now)
    with closing(connection):
        state = WatchState(connection, path)
        if notice:
            with state.transaction():
                state.notices.write([notice])
        yield state


@contextmanager
def read_state(folder: Path) -> Iterator[WatchState | None]:
    """
    Open the state for reading only; `None` if no watch has run.

    Raises `WatchStateError` if it cannot be read, and moves nothing.
    """
    path = folder / STATE_NAME
    # NOTE: another process that has just created it has saved nothing yet.
    if not os.path.lexists(path) or (path.is_file() and not path.stat().st_size):
        yield None
        return
    with closing(_connect(path, is_read_only=True)) as connection:
        yield WatchState(connection, path)


def last_polled_on(folder: Path, key: str) -> str | None:
    """Return when a watch last polled a tenant: empty for never, `None` if it cannot be read."""
    try:
        with read_state(folder) as state:
            return state.tenant(key).last_polled_on if state else ""
    except RunbookError:
        return None


def _replace_damaged(path: Path, now: datetime) -> tuple[sqlite3.Connection, Notice | None]:
    """Move a damaged state aside and begin a new one; return the notice that says so."""
    try:
        return _connect(path), None
    except DamagedWatchStateError as error:
        aside = path.with_name(f"watch.damaged-{now:%Y%m%dT%H%M%SZ}.db")
        with _reported(path):
            path.replace(aside)
            # NOTE: SQLite would apply the old file's rollback journal to the new one.
            journal = Path(f"{path}-journal")
            if journal.exists():
                journal.replace(f"{aside}-journal")
        text = f"{error} It is now {aside.name}: acknowledgements and what was reported are lost."
        return _connect(path), Notice(timestamp(now), text)


def _connect(path: Path, *, is_read_only: bool = False) -> sqlite3.Connection:
    with _reported(path):
        _check_file(path, can_create=not is_read_only)
        mode = "ro" if is_read_only else "rw"
        name = f"file:{quote(str(path.absolute()))}?mode={mode}"
        connection = sqlite3.connect(
            name, uri=True, isolation_level=None, timeout=LOCK_TIMEOUT_SECONDS,
            check_same_thread=False,
        )  # fmt: skip
    try:
        with _reported(path):
            _check_format(connection, path, is_read_only=is_read_only)
    except BaseException:
        connection.close()
        raise
    return connection


def _check_file(path: Path, *, can_create: bool) -> None:
    """Create the file if it is missing, readable to its owner alone; refuse anything but a file."""
    if can_create:
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        raise WatchStateError(f"{path} cannot be used: it is {kind_of(status.st_mode)}.")
    if status.st_size > _MAX_BYTES:
        raise DamagedWatchStateError(f"{path} has more than {_MAX_BYTES:,} bytes.")


def _check_format(connection: sqlite3.Connection, path: Path, *, is_read_only: bool) -> None:
    """Create the tables of a new file; raise `DamagedWatchStateError` for another format."""
    connection.execute("PRAGMA journal_mode = DELETE")
    connection.execute("PRAGMA synchronous = FULL")
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    state = WatchState(connection, path)
    saved = state.saved_definitions
    if (application, version) == (_APPLICATION_ID, FORMAT_VERSION):
        if is_read_only:
            return
        is_sound = connection.execute("PRAGMA quick_check(1)").fetchone() == ("ok",)
        if not is_sound or saved != {*state.definitions}:
            raise DamagedWatchStateError(f"{path} is damaged.")
        # NOTE: SQLite does not know what a row means. One that cannot be read stops each poll.
        for table in state.tables:
            table.read()
        return
    if application or version or saved:
        raise DamagedWatchStateError(
            f"{path} has another format; this version of the runbook reads {FORMAT_VERSION}."
        )
    if is_read_only:
        raise DamagedWatchStateError(f"{path} is empty.")
    with state.transaction():
        # NOTE: another process may have created them meanwhile.
        if not state.saved_definitions:
            for definition in state.definitions:
                connection.execute(definition)
            connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {FORMAT_VERSION}")


@contextmanager
def _reported(path: Path) -> Iterator[None]:
    """Raise what SQLite and the system say of the file as `WatchStateError`s."""
    try:
        yield
    except sqlite3.OperationalError as error:
        # NOTE: the low byte is the primary code (https://sqlite.org/rescode.html). The error of a
        # text that is not UTF-8 has no code; a missing table or column has the generic one.
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        if code == sqlite3.SQLITE_ERROR:
            raise DamagedWatchStateError(f"{path} is damaged ({error}).") from None
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise BusyError(
                f"Another process writes {path}.", next_step="Wait until it has ended."
            ) from None
        raise WatchStateError(f"{path} cannot be saved or read: {error}.") from None
    except sqlite3.DatabaseError as error:
        raise DamagedWatchStateError(f"{path} is damaged ({error}).") from None
    except OSError as error:
        raise WatchStateError(f"{path} cannot be used: {error.strerror or error}.") from None
