"""
What the watch keeps: one SQLite file in the evidence folder, a row for each thing.

It is no evidence, holds no credential and no address, and is trusted like the folder (mode 0600).
Nothing here asks a remote system.

NOTE: it has a rollback journal. A write-ahead log needs shared memory, which network file systems
do not have (https://www.sqlite.org/wal.html).
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import stat
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import msgspec
from msgspec import Struct

from runbook_lib.core.files import kind_of, locked
from runbook_lib.core.journal import timestamp
from runbook_lib.core.model import Outcome
from runbook_lib.errors import BusyError, RunbookError, SettingsError

STATE_NAME = "watch.db"
# What can be wrong with a tenant itself: nothing is asked, or its last run has no good end.
SETTINGS_UNUSABLE = "Its settings cannot be used"
NO_EVIDENCE = "Its last run left no evidence"
RUN_CUT_SHORT = "Its last run did not end well"
# The step of problems with customers.
CUSTOMERS_STEP = "customers"
FORMAT_VERSION = 5
# Seconds to wait for another process that writes.
LOCK_TIMEOUT_SECONDS = 30.0

# 200,000 customers who are signed out at once take less.
_MAX_BYTES = 1024 * 1024 * 1024
# "RBWA": this file is a runbook's watch (SQLite's application_id).
_APPLICATION_ID = 0x52425741
_KEPT_DAYS = 90
_Row = TypeVar("_Row", bound=Struct)


class ProblemKind(StrEnum):
    """What a problem is; only the first two last, and can end."""

    FAILED = "failed"
    OUTAGE = "outage"
    CHANGED = "changed"
    DUE = "due"

    @property
    def lasts(self) -> bool:
        """Whether it is open until it ends; the others are told once."""
        return self in (ProblemKind.FAILED, ProblemKind.OUTAGE)


class WatchedTenant(Struct):
    """A connector of a tenant that is watched."""

    tenant: str
    """The connector and the tenant's name, such as `my_connector/acme`."""
    last_polled_on: str = ""
    """When its checks were last polled."""
    polled_on: dict[str, str] = {}
    """Step id → when it was last polled, with any result."""
    changed_on: str = ""
    """Since when an outcome has changed that no sealed run has seen."""
    sealed_on: str = ""
    seal_failed_on: str = ""
    customers_polled_on: str = ""
    """When all customers were last polled, or could not be."""
    unusable_title: str = ""
    """What is wrong, in a line."""
    unusable: str = ""
    """Why nothing could be asked when it was last tried, such as an unreadable secret."""
    unusable_advice: str = ""
    unusable_since: str = ""
    unusable_on: str = ""
    """When it was last so."""

    def set_unusable(
        self, reason: str, advice: str, on: str, title: str = SETTINGS_UNUSABLE
    ) -> None:
        """Note what is wrong at the time `on`, in a line and why; without a reason, nothing is."""
        self.unusable_title = title if reason else ""
        self.unusable_since = not_later(self.unusable_since, on) if reason else ""
        self.unusable_on = on if reason else ""
        self.unusable, self.unusable_advice = reason, advice


class PolledCheck(Struct, frozen=True):
    """What one poll saw of a check."""

    outcome: Outcome
    reason: str
    code: str = ""
    facts: dict[str, str] = {}
    """Facts and compared values, by name."""
    expected: list[str] = []
    """Names of the facts that are as they were meant to be."""
    limits: list[str] = []
    """What the check does not prove."""


class WatchedStep(Struct):
    """A check of a step: the result that counts, and another one that does not count yet."""

    tenant: str
    step: str
    check: str
    current: PolledCheck | None = None
    since: str = ""
    """When the current result was first seen."""
    seen_on: str = ""
    """When a poll last saw the current result; empty if it comes from the journal."""
    unconfirmed: PolledCheck | None = None
    """A different result of the last poll; it counts once it is seen again."""
    unconfirmed_since: str = ""
    unanswered_since: str = ""
    """Since when there is no result that decides anything; empty if there is one."""
    unanswered: str = ""
    """Why there is none."""


class Problem(Struct):
    """A change of a tenant that people must know of."""

    id: str
    tenant: str
    kind: ProblemKind
    step: str
    check: str
    title: str
    """What it is, in a line; of a known cause it names the cause."""
    since: str
    """When it was first seen so."""
    on: str
    """When it began to count."""
    cause: str = ""
    """Problems with an equal cause are one entry of a digest."""
    code: str = ""
    """The code of the finding."""
    was: str = ""
    now: str = ""
    reason: str = ""
    impact: str = ""
    advice: str = ""
    """What a person does about it, with its command or link."""
    place: str = ""
    """Number and title of the step, or the customer's name and account."""
    person: str = ""
    """Who has the step; empty for the tenant's own address."""
    due: str = ""
    """The day by which it must be done; empty for no day."""
    before: Outcome | None = None
    """The outcome at which the problem is over."""
    moved: list[tuple[str, str]] = []
    """What was and what is, of each value that differed when it began, or when it ended."""
    ended_on: str = ""
    end_reason: str = ""
    is_superseded: bool = False
    """Another problem of the same check has replaced it, so its end is no news."""
    acknowledged_by: str = ""
    acknowledged_on: str = ""
    acknowledged_until: str = ""
    """The last day without reminders; empty for good."""
    note: str = ""

    @property
    def is_open(self) -> bool:
        """Whether it lasts."""
        return self.kind.lasts and not self.ended_on

    def is_acknowledged(self, now: datetime) -> bool:
        """Return whether somebody knows of it, so that nobody is reminded today."""
        until = self.acknowledged_until
        return bool(self.acknowledged_by) and (not until or now.date().isoformat() <= until)


class Delivery(Struct):
    """What one receiver was told of a problem; the terminal is the receiver with no name."""

    problem: str
    receiver: str
    reported_on: str
    digest: str = ""
    """The digest that reported it first; its end goes into the same thread."""
    entry: str = ""
    """The entry of that digest, by which a person may acknowledge it."""
    is_end_reported: bool = False


class WatchReceiver(Struct):
    """A receiver of digests in one channel, by a digest of its address."""

    receiver: str
    channel: str
    server: str
    """A digest of the server's address."""
    first_on: str
    """Since when it is set; older news is not for it."""
    introduced_on: str = ""
    """When it accepted its first digest."""
    gone_on: str = ""
    """When its server said that it takes no more messages (HTTP 410)."""
    refusal: str = ""
    """Why it did not accept the last digest; empty if it did."""


class Digest(Struct):
    """One message to one receiver; it is frozen from its first sending until it is accepted."""

    id: str
    receiver: str
    channel: str
    server: str
    subject: str
    text: str
    created_on: str
    tenants: list[str] = []
    """The tenants that it names; if one leaves the receiver, the digest is withdrawn."""
    document: dict[str, Any] = {}
    """The same for programs."""
    thread: list[str] = []
    """Ids of the digests that reported the problems that ended."""
    person: str = ""
    reported: dict[str, str] = {}
    """Problem id → the entry that reports it as new or still failing."""
    ended: list[str] = []
    """Ids of the problems whose end it reports."""
    is_introduction: bool = False
    tries: int = 0
    tried_on: str = ""
    is_final: bool = False
    """The server refused it for good, so it is tried once a day."""


class WatchedCustomer(Struct):
    """A customer's account in Cyclr; `body` is what `customer_connections` knows of it."""

    tenant: str
    account: str
    polled_on: str
    body: bytes


class CustomerSurvey(Struct):
    """One pass over a tenant's customers, without the customers."""

    tenant: str
    body: bytes


class Notice(Struct):
    """What each next digest says in its first line: that the state was moved aside."""

    on: str
    text: str


class StateTable(Generic[_Row]):
    """A table whose rows are structs; texts and numbers are columns, the others JSON."""

    def __init__(
        self, connection: sqlite3.Connection, path: Path, kind: type[_Row], *key: str
    ) -> None:
        self._connection, self._path, self._kind, self._key = connection, path, kind, key
        self.name = kind.__name__.lower()
        fields = msgspec.structs.fields(kind)
        self._fields = {field.name: field.type for field in fields}

    def create(self) -> None:
        """Create it unless it is there."""
        columns = ", ".join(f'"{name}"' for name in self._fields)
        key = ", ".join(f'"{name}"' for name in self._key)
        self._connection.execute(
            f"CREATE TABLE IF NOT EXISTS {self.name} ({columns}, PRIMARY KEY ({key}))"
        )

    def read(self, **equal: str) -> list[_Row]:
        """Return the rows in which these columns have these values, by their key."""
        where = " AND ".join(f'"{name}" = ?' for name in equal) or "1"
        order = ", ".join(f'"{name}"' for name in self._key)
        query = f"SELECT * FROM {self.name} WHERE {where} ORDER BY {order}"  # noqa: S608
        with _reported(self._path):
            found = self._connection.execute(query, tuple(equal.values())).fetchall()
        try:
            return [self._row(row) for row in found]
        except (msgspec.MsgspecError, ValueError, TypeError) as error:
            raise DamagedStateError(f"{self._path} is damaged ({error}).") from None

    def write(self, rows: Iterable[_Row]) -> None:
        """Insert or replace these rows."""
        marks = ", ".join("?" for _ in self._fields)
        statement = f"INSERT OR REPLACE INTO {self.name} VALUES ({marks})"  # noqa: S608
        self._connection.executemany(statement, (self._values(row) for row in rows))

    def delete(self, rows: Iterable[_Row]) -> None:
        """Delete the rows with the keys of these."""
        where = " AND ".join(f'"{name}" = ?' for name in self._key)
        keys = (tuple(getattr(row, name) for name in self._key) for row in rows)
        self._connection.executemany(f"DELETE FROM {self.name} WHERE {where}", keys)  # noqa: S608

    def _values(self, row: _Row) -> list[Any]:
        values = ((kind, getattr(row, name)) for name, kind in self._fields.items())
        return [
            value if _is_column(kind) else msgspec.json.encode(value).decode()
            for kind, value in values
        ]

    def _row(self, values: tuple[Any, ...]) -> _Row:
        given = {}
        for (name, kind), value in zip(self._fields.items(), values, strict=True):
            is_column = _is_column(kind)
            given[name] = kind(value) if is_column else msgspec.json.decode(value, type=kind)
        return self._kind(**given)


def _is_column(kind: Any) -> bool:
    """Return whether values of a type are columns as they are, such as texts and numbers."""
    return isinstance(kind, type) and issubclass(kind, str | int | bytes)


class WatchState:
    """The open state; each table is read and written by rows, in a `transaction`."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection, self.path = connection, path
        self.tenants = StateTable(connection, path, WatchedTenant, "tenant")
        self.steps = StateTable(connection, path, WatchedStep, "tenant", "step", "check")
        self.problems = StateTable(connection, path, Problem, "id")
        self.deliveries = StateTable(connection, path, Delivery, "problem", "receiver")
        self.receivers = StateTable(connection, path, WatchReceiver, "receiver")
        self.digests = StateTable(connection, path, Digest, "id")
        self.customers = StateTable(connection, path, WatchedCustomer, "tenant", "account")
        self.surveys = StateTable(connection, path, CustomerSurvey, "tenant")
        self.notices = StateTable(connection, path, Notice, "on")

    @property
    def tables(self) -> tuple[StateTable[Any], ...]:
        """All of its tables."""
        return (
            self.tenants, self.steps, self.problems, self.deliveries, self.receivers,
            self.digests, self.customers, self.surveys, self.notices,
        )  # fmt: skip

    def tenant(self, key: str) -> WatchedTenant:
        """Return a tenant; a new one if it was never polled."""
        return next(iter(self.tenants.read(tenant=key)), WatchedTenant(key))

    def open_problems(self, key: str) -> list[Problem]:
        """Return what lasts at a tenant."""
        return [problem for problem in self.problems.read(tenant=key) if problem.is_open]

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """
        Save everything that is written within, or nothing of it; other processes wait.

        Raises `StateError` if it cannot be saved.
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
        """Delete what ended, or was told once, so long ago that no receiver waits for it."""
        limit = timestamp(now - timedelta(days=_KEPT_DAYS))
        self._connection.execute(
            "DELETE FROM problem WHERE (ended_on <> '' AND ended_on < ?) "
            "OR (kind IN ('changed', 'due') AND \"on\" < ?)",
            (limit, limit),
        )
        self._connection.execute(
            "DELETE FROM delivery WHERE problem NOT IN (SELECT id FROM problem)"
        )
        self._connection.execute('DELETE FROM notice WHERE "on" < ?', (limit,))


class StateError(SettingsError):
    """What the watch keeps cannot be read or saved; the message says why."""

    code = "watch-state-unusable"
    exit_code = RunbookError.exit_code
    next_step = "Free the disk, or correct the file's place or rights. Nothing was sent."


class DamagedStateError(StateError):
    """What the watch keeps is not what this version of the runbook writes."""

    code = "watch-state-damaged"
    next_step = "The next watch moves it aside and begins a new one."


def has_passed(interval: timedelta, since: str, now: datetime) -> bool:
    """
    Return whether `interval` has passed since then.

    A time that is later than now was kept by a wrong clock: then it has passed. So has never.
    """
    return not since or not timedelta() <= now - datetime.fromisoformat(since) < interval


def not_later(kept: str, now: str) -> str:
    """Return a kept time, or now if there is none or a wrong clock was ahead."""
    return min(kept or now, now)


def identify(*parts: str) -> str:
    """Return an id that is the same for the same parts."""
    text = "\0".join(parts).encode("utf-8", "surrogatepass")
    return hashlib.sha256(text).hexdigest()[:32]


def polled_alone(folder: Path, *, seconds: float = 0.0) -> AbstractContextManager[None]:
    """Hold the lock of a watch in a folder; raises `BusyError` if another process does for long."""
    message = f"Another watch is running in {folder}."
    busy = BusyError(message, next_step="Wait until it has ended.")
    return locked(folder / "watch.lock", seconds=seconds, busy=busy)


@contextmanager
def open_state(folder: Path, now: datetime) -> Iterator[WatchState]:
    """
    Open the state in the evidence folder; a damaged, foreign or huge one is moved aside.

    Then a `Notice` says so. Raises `StateError` if it cannot be used.
    """
    path, notice = folder / STATE_NAME, None
    try:
        connection = _connect(path)
    except DamagedStateError:
        # NOTE: of two processes that see it, one moves it aside, and the other finds the new one.
        with locked(folder / "watch-aside.lock", seconds=LOCK_TIMEOUT_SECONDS):
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

    Raises `StateError` if it cannot be read, and moves nothing.
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
    except DamagedStateError as error:
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
    """Create the file if it is missing, readable to its owner alone; refuse what is no file."""
    if can_create:
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        raise StateError(f"{path} cannot be used: it is {kind_of(status.st_mode)}.")
    if status.st_size > _MAX_BYTES:
        raise DamagedStateError(f"{path} has more than {_MAX_BYTES:,} bytes.")


def _check_format(connection: sqlite3.Connection, path: Path, *, is_read_only: bool) -> None:
    """Create the tables of a new file; raise `DamagedStateError` for another format."""
    connection.execute("PRAGMA journal_mode = DELETE")
    connection.execute("PRAGMA synchronous = FULL")
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if (application, version) == (_APPLICATION_ID, FORMAT_VERSION):
        if not is_read_only and connection.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
            raise DamagedStateError(f"{path} is damaged.")
        return
    if application or version or tables:
        raise DamagedStateError(
            f"{path} has another format; this version of the runbook reads {FORMAT_VERSION}."
        )
    if is_read_only:
        raise DamagedStateError(f"{path} is empty.")
    state = WatchState(connection, path)
    with state.transaction():
        for table in state.tables:
            table.create()
        connection.execute('CREATE INDEX IF NOT EXISTS of_tenant ON problem ("tenant")')
        connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {FORMAT_VERSION}")


@contextmanager
def _reported(path: Path) -> Iterator[None]:
    """Raise what SQLite and the system say of the file as `StateError`s."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            message = f"Another process writes {path}."
            raise BusyError(message, next_step="Wait until it has ended.") from None
        raise StateError(f"{path} cannot be saved or read: {error}.") from None
    except sqlite3.DatabaseError as error:
        raise DamagedStateError(f"{path} is damaged ({error}).") from None
    except OSError as error:
        raise StateError(f"{path} cannot be used: {error.strerror or error}.") from None
