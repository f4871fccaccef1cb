"""The file of the state: damaged, huge, foreign, read-only, missing, or no file at all."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from runbook_lib.core.clock import timestamp
from runbook_lib.core.model import Outcome
from runbook_lib.errors import BusyError, ExitCode
from runbook_lib.evidence.reports.tenant_status import ItemGroup, ItemPlace, OpenItem
from runbook_lib.operations.customer_rows import KnownAccount, Survey
from runbook_lib.operations.watch import watch_state as state_module
from runbook_lib.operations.watch.saved_items import acknowledge
from runbook_lib.operations.watch.watch_state import (
    STATE_NAME,
    CustomerSurvey,
    DamagedWatchStateError,
    Digest,
    Notice,
    PolledCheck,
    SavedItem,
    StateTable,
    WatchedCustomer,
    WatchedStep,
    WatchedTenant,
    WatchReceiver,
    WatchState,
    WatchStateError,
    last_polled_on,
    open_state,
    read_state,
)
from tests.support.commands import runbook
from tests.support.wording import refused, wording
from tests.unit.operations.watch.desk import DAY, HOUR, NOON, Desk, refuse, take

AT = timestamp(NOON)
PLACE = ItemPlace(id="s", name="Ü", outcome=Outcome.FAILED, reason="No.")
ITEM = OpenItem(group=ItemGroup.DUE_NOW, cause="cause", title="T", since=AT, places=(PLACE,))


def test_each_row_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Texts, numbers, truth values and structs come back the same, also Unicode."""
    seen = PolledCheck(Outcome.FAILED, "Nein: ü\u2028", "x", {"a": "\ud83d\ude00"[:0] + "é"}, ["a"])
    rows = (
        WatchedTenant("c/t", polled_on={"s": AT}),
        WatchedStep("c/t", "s", "k", seen, AT, unconfirmed=None),
        SavedItem("1", "c/t", "cause", "s", AT, ITEM, news="failing"),
        Digest(
            id="1",
            receiver="r",
            subject="S",
            text="T",
            created_on="",
            tenants=["c/t"],
            document={"a": [1]},
        ),
        WatchReceiver("r", "mail", "s", AT, tries=3, is_final=True),
        WatchedCustomer("c/t", "a", KnownAccount("a", "A \x00 ü", in_doubt_since=AT)),
    )

    def tables_of(state: WatchState) -> tuple[StateTable[Any], ...]:
        return (
            state.tenants,
            state.steps,
            state.items,
            state.digests,
            state.receivers,
            state.customers,
        )

    with open_state(tmp_path, NOON) as state, state.transaction():
        tables = tables_of(state)
        for table, row in zip(tables, rows, strict=True):
            table.write([row])
    with open_state(tmp_path, NOON) as state:
        tables = tables_of(state)
        assert tuple(table.read()[0] for table in tables) == rows


def test_a_transaction_is_saved_whole_or_not_at_all(tmp_path: Path) -> None:
    """An error in the middle leaves nothing behind."""
    with open_state(tmp_path, NOON) as state:
        with suppress(KeyboardInterrupt), state.transaction():
            state.tenants.write([WatchedTenant("c/t")])
            raise KeyboardInterrupt
        assert state.tenants.read() == []


def test_it_has_no_write_ahead_log_and_is_private(tmp_path: Path) -> None:
    """A rollback journal works on network folders; only its owner may read it."""
    os.umask(os.umask(0))
    with open_state(tmp_path, NOON) as state:
        (mode,) = state._connection.execute("PRAGMA journal_mode").fetchone()
    assert mode == "delete"
    assert stat.S_IMODE((tmp_path / STATE_NAME).stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [STATE_NAME]


def foreign(path: Path) -> None:
    """Write another program's database."""
    path.unlink()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE other (x)")
    connection.close()


def newer(path: Path) -> None:
    """Write another version of the format."""
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()


def torn(path: Path) -> None:
    """Overwrite the middle of the file."""
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(8192))


def huge(path: Path) -> None:
    """Make the file longer than the limit, without using the disk."""
    os.truncate(path, state_module._MAX_BYTES + 1)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b"{}" * 3000),
        lambda path: path.write_bytes(path.read_bytes()[:5000]),
        torn, foreign, newer, huge,
    ],
    ids=["no database", "cut", "torn", "foreign", "newer", "huge"],
)  # fmt: skip
def test_a_state_that_is_not_ours_is_moved_aside_and_said_first(
    desk: Desk, damage: Callable[[Path], object]
) -> None:
    """All that is open is told again, and the first line of the digest says why."""
    desk.fail()
    desk.post.take_reports()
    damage(desk.path)
    assert last_polled_on(Path("evidence"), "facebook_marketing/acme") is None
    assert desk.cycle(HOUR) == []
    ((_, _, digest),) = desk.post.sent
    (aside,) = Path("evidence").glob("watch.damaged-*.db")

    assert aside.name in digest.text.splitlines()[0]
    assert wording("watch.acknowledgements-lost") in digest.text.splitlines()[0]
    assert desk.post.take_reports() == ["all open acme", "all open acme"]
    assert desk.code is ExitCode.FAILED
    desk.cycle(DAY)
    ((_, _, later),) = desk.post.sent
    assert "watch.damaged" not in later.text


def altered(table: str, name: str, value: str) -> str:
    """Return a statement that sets a value in each row, as JSON."""
    return f"UPDATE {table} SET row = json_set(row, '$.{name}', json('{value}'))"


DAMAGES = {
    "row": "UPDATE watchedstep SET row = '{'",
    "outcome": "UPDATE watchedstep SET row = replace(row, 'verified', 'fine')",
    "deep": "UPDATE digest SET row = replace(hex(zeroblob(100000)), '00', '[')",
    "null": "UPDATE saveditem SET row = NULL",
    "null value": altered("saveditem", "item.title", "null"),
    "number": altered("saveditem", "news", "7"),
    "number alone": "UPDATE saveditem SET row = 7",
    "bytes": "UPDATE saveditem SET row = x'41'",
    "group": altered("saveditem", "item.group", '"other"'),
    "count": altered("watchreceiver", "tries", '"many"'),
    "truth": altered("watchreceiver", "is_final", "7"),
    "text": "UPDATE watchedtenant SET row = CAST(x'ff41' AS TEXT)",
    "key": "UPDATE watchedtenant SET tenant = CAST(x'ff41' AS TEXT)",
    "time": altered("watchedtenant", "last_polled_on", '"yesterday"'),
    "no zone": altered("watchedtenant", "customers_polled_on", '"2026-11-24T12:00:00"'),
    "no day": altered("watchedstep", "since", '"2026-02-30T12:00:00Z"'),
    "time in a row": altered("watchedtenant", "polled_on", '{"fb-04-create-app": "soon"}'),
    "delivery": altered("delivery", "reported_on", '"soon"'),
    "customer": altered("watchedcustomer", "body", "[]"),
    "time of a customer": altered("watchedcustomer", "body.polled_on", '"soon"'),
    "survey": altered("customersurvey", "body", "7"),
    "table": "DROP TABLE notice",
    "column": "ALTER TABLE saveditem DROP COLUMN row",
    "column name": "ALTER TABLE watchedtenant RENAME COLUMN row TO body",
    "more columns": "ALTER TABLE delivery ADD COLUMN more",
    "key of a table": "CREATE TABLE n AS SELECT * FROM notice; DROP TABLE notice; "
        "ALTER TABLE n RENAME TO notice",
    "trigger": "CREATE TRIGGER t AFTER UPDATE ON watchedtenant BEGIN DELETE FROM saveditem; END",
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_damage_that_sqlite_does_not_see_is_moved_aside(desk: Desk, damage: str) -> None:
    """Lists show the tenant meanwhile; the next poll starts empty and tells what fails."""
    desk.post.act = refuse
    desk.fail()
    desk.post.act = take
    key = "facebook_marketing/acme"
    account = KnownAccount("a", "Customer", polled_on=AT)
    with desk.state() as state, state.transaction():
        state.customers.write([WatchedCustomer(key, "a", account)])
        state.surveys.write([CustomerSurvey(key, Survey(("x",), AT))])
        state.notices.write([Notice(AT, "A notice.")])
        assert all(table.read() for table in state.tables)
    with closing(sqlite3.connect(desk.path)) as connection:
        connection.executescript(damage)

    for words in (("status",), ("inbox",), ("inbox", "--json"), ("status", "--tenant", "acme")):
        assert "acme" in runbook(*words).stdout
    assert "acme" in desk.page()
    assert not [*Path("evidence").glob("watch.damaged-*")]
    assert desk.cycle(HOUR) == []
    (aside,) = Path("evidence").glob("watch.damaged-*.db")
    ((_, _, digest),) = desk.post.sent
    assert aside.name in digest.text.splitlines()[0]
    assert (desk.post.take_news(), desk.code) == (["all open acme"], ExitCode.FAILED)
    assert desk.cycle(HOUR) == []
    assert [*Path("evidence").glob("watch.damaged-*.db")] == [aside]


@pytest.mark.parametrize(("kind", "name"), [("link", "is-a-link"), ("folder", "is-a-folder")])
def test_a_place_that_is_no_file_is_left_alone(desk: Desk, kind: str, name: str) -> None:
    """No link is followed; it is named each time, and nothing is sent."""
    desk.begin()
    elsewhere = desk.folder / "elsewhere.db"
    elsewhere.write_text("mine")
    if kind == "link":
        desk.path.symlink_to(elsewhere)
    else:
        desk.path.mkdir()
    for _ in range(2):
        with refused(WatchStateError, name):
            desk.cycle(DAY)
        with pytest.raises(WatchStateError):
            acknowledge("1" * 8, by="Ann", note="", evidence="", now=desk.now())
    assert (desk.post.tries, elsewhere.read_text()) == ([], "mine")


def test_a_state_that_cannot_be_written_is_named(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is sent that could not be saved; each tenant says why."""
    desk.fail()
    desk.post.take_reports()
    connect = sqlite3.connect

    def read_only(name: str, **more: object) -> sqlite3.Connection:
        return connect(name.replace("mode=rw", "mode=ro"), **more)  # type: ignore[call-overload, no-any-return]

    with monkeypatch.context() as patch:
        patch.setattr(sqlite3, "connect", read_only)
        lines = desk.cycle(DAY)
    assert desk.code is ExitCode.FAILED
    assert "readonly database" in " ".join(lines)
    assert desk.post.sent == []
    desk.cycle(HOUR)
    assert desk.post.take_news() == ["all open acme"]


def test_a_missing_state_begins_again_from_the_journal(desk: Desk) -> None:
    """A failure is reported again; no receiver is told that all is well because a file is gone."""
    desk.fail()
    desk.post.take_reports()
    desk.path.unlink()
    desk.cycle(HOUR)
    assert desk.post.take_news() == ["all open acme"]


def test_a_state_that_another_process_writes_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After that the watch says so, and nothing is lost."""
    monkeypatch.setattr(state_module, "LOCK_TIMEOUT_SECONDS", 0.1)
    with open_state(tmp_path, NOON) as first, open_state(tmp_path, NOON) as other:
        with first.transaction():
            first.tenants.write([WatchedTenant("c/t")])
            with pytest.raises(BusyError), other.transaction():
                pass
        with other.transaction():
            other.tenants.write([WatchedTenant("c/u")])
        assert len(first.tenants.read()) == 2


def test_a_state_that_was_just_created_is_no_damage(tmp_path: Path) -> None:
    """Another process has made the file and saved nothing: no watch has run yet."""
    (tmp_path / STATE_NAME).touch(0o600)
    with read_state(tmp_path) as state:
        assert state is None
    assert last_polled_on(tmp_path, "t") == ""


def test_a_reader_creates_and_moves_nothing(tmp_path: Path) -> None:
    """A missing state is no state, and a damaged one an error."""
    with read_state(tmp_path) as state:
        assert state is None
    assert last_polled_on(tmp_path, "c/t") == ""
    (tmp_path / STATE_NAME).write_bytes(b"x" * 5000)
    with pytest.raises(DamagedWatchStateError), read_state(tmp_path):
        pass
    assert [path.name for path in tmp_path.iterdir()] == [STATE_NAME]
