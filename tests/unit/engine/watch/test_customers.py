"""Customers in a watch: one message for all who were signed out, one when they are back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from filelock import FileLock

from runbook_lib.core.model import Mode
from runbook_lib.engine.customer_connections import Account, Standing
from runbook_lib.engine.customer_connections import Look as Seen
from runbook_lib.engine.watch.answers import Change, Kind, Watched, read_watched
from runbook_lib.engine.watch.customers import customer_changes, unconfirmed
from runbook_lib.engine.watch.look import Look, Watch
from runbook_lib.errors import ExitCode
from tests.unit.engine.watch.desk import DAY, HOUR, MINUTE, NOON
from tests.unit.fake_console import Console, console_run


class Office:
    """A tenant with customers in a console, at a time that moves only when somebody says so."""

    def __init__(self, console: Console, folder: Path) -> None:
        self.console = console
        self.run = console_run(console, folder, RUNBOOK_CYCLR_REQUESTS_A_SECOND=50)
        self.run.mode = Mode.HEADLESS
        self.offset = 0.0
        self.run.clock = lambda: NOON + timedelta(seconds=self.offset)
        self.watch = Watch(self.run)
        self.run.journal.path.parent.mkdir(parents=True, exist_ok=True)
        self.run.journal.path.touch()

    def look(self, after: float = 0.0) -> Look:
        """Look at the customers, `after` so many seconds."""
        self.offset += after
        return self.watch.look_at_customers()

    def changes(self, *waits: float) -> list[Change]:
        """Return what looks after these waits have found."""
        known = {change.id for change in read_watched(self.watch.path).changes}
        for wait in waits:
            self.look(wait)
        kept = read_watched(self.watch.path).changes
        return [change for change in kept if change.id not in known]


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(Console({"a": True, "b": True, "c": True, "new": False}), tmp_path)


def test_customers_who_are_signed_out_are_one_change_and_one_when_back(office: Office) -> None:
    """Two who go in one day are named together, seen twice; so are they when they are back."""

    assert office.changes(0, DAY) == []
    office.console.accounts |= {"a": False, "b": False}
    assert office.changes(DAY) == []
    assert office.changes(4 * MINUTE) == []
    (out,) = office.changes(MINUTE)
    assert office.changes(HOUR, DAY, DAY) == []
    office.console.accounts |= {"a": True, "b": True}
    (back,) = office.changes(DAY, 6 * MINUTE, DAY)

    assert (out.kind, out.title) == (Kind.FAILED, "Customers' connections")
    assert (out.was, out.now) == ("Cyclr says signed in", "Cyclr says not signed in")
    assert out.reason == "2 customers: Name of a (a), Name of b (b)."
    assert "--sign-in-link" in out.do
    assert (back.kind, back.ends) == (Kind.RECOVERED, out.id)
    assert (back.was, back.now) == (out.now, out.was)
    assert office.look().code is ExitCode.COMPLETE


def test_it_is_over_when_the_last_is_back(office: Office) -> None:
    """Of two who went together, the first one back does not end the change; the second does."""

    office.look()
    office.console.accounts |= {"a": False, "b": False}
    (out,) = office.changes(DAY, 6 * MINUTE)
    office.console.accounts["a"] = True
    (first,) = office.changes(DAY, 6 * MINUTE)
    assert office.look().code is ExitCode.FAILED
    office.console.accounts["b"] = True
    (last,) = office.changes(DAY, 6 * MINUTE)

    assert (first.kind, first.ends, first.reason) == (
        Kind.RECOVERED,
        "",
        "1 customer: Name of a (a).",
    )
    assert (last.ends, last.reason) == (out.id, "1 customer: Name of b (b).")


def test_who_was_never_signed_in_or_comes_back_at_once_is_no_change(office: Office) -> None:
    """A new customer who has not signed in yet, and what a second look does not see, is nothing."""

    office.look()
    office.console.accounts["a"] = False
    assert office.changes(DAY) == []
    office.console.accounts["a"] = True
    assert office.changes(6 * MINUTE, DAY, 6 * MINUTE) == []
    assert not [key for key in read_watched(office.watch.path).topics if "/" in key]


@pytest.mark.parametrize("goes", [lambda c: c.pop("a"), lambda c: c.update(a=None)])
def test_who_has_gone_has_nothing_to_sign_in(
    office: Office, goes: Callable[[dict[str, bool | None]], object]
) -> None:
    """An account that was removed, or its connector, is no failure, and ends one."""

    office.look()
    office.console.accounts["a"] = False
    (out,) = office.changes(DAY, 6 * MINUTE)
    goes(office.console.accounts)
    (over,) = office.changes(DAY, 6 * MINUTE, DAY, DAY)
    assert (over.ends, over.kind) == (out.id, Kind.RECOVERED)
    assert "Cyclr says signed in" not in over.now
    assert office.changes(DAY, DAY) == []


def test_connectors_that_are_all_gone_at_once_are_one_change(office: Office) -> None:
    """Where Cyclr shows the connector in no account any more, all customers are out."""

    office.look()
    before = dict(office.console.accounts)
    office.console.accounts |= dict.fromkeys(before)
    (out,) = office.changes(DAY, 6 * MINUTE, DAY)
    office.console.accounts |= before
    (back,) = office.changes(DAY, 6 * MINUTE, DAY)

    assert (out.kind, out.now) == (Kind.FAILED, "connector not installed")
    assert out.reason.startswith("3 customers")
    assert "Earlier looks saw it in 4 accounts" in out.do
    assert (back.kind, back.ends, back.was) == (Kind.RECOVERED, out.id, out.now)


def test_only_who_is_in_doubt_is_asked_again(office: Office) -> None:
    """A whole look once a day; in between only those whose answer changed are asked."""

    office.look()
    office.console.accounts["a"] = False
    office.look(DAY)
    office.console.asked.clear()
    office.changes(6 * MINUTE, HOUR)
    assert dict(office.console.asked) == {"a": 1}


def test_an_outage_of_cyclr_signs_nobody_out(office: Office) -> None:
    """Nothing is said of customers who could not be asked; after a day, that they cannot be."""

    office.look()
    office.console.faults["/v1.0/accounts"] = lambda _: httpx.Response(503)
    office.console.faults |= {name: lambda _: httpx.Response(503) for name in "abc"}
    assert office.changes(DAY, 6 * MINUTE, HOUR) == []
    (outage,) = office.changes(DAY)
    office.console.faults.clear()
    (over,) = office.changes(HOUR, DAY)

    assert (outage.kind, over.kind, over.ends) == (Kind.OUTAGE, Kind.OUTAGE_OVER, outage.id)


def test_another_process_that_asks_them_is_waited_for(office: Office) -> None:
    """While `runbook connections` looks, the watch does not, and looks the next time."""

    with FileLock(office.watch.path.with_name("connections.lock")):
        assert office.look().asked == 0
    assert office.look().asked == 4


def test_a_look_that_is_out_of_time_goes_on_the_next_time(office: Office) -> None:
    """What was not asked in time is asked by the next look, nobody twice, and then compared."""

    office.look()
    office.console.accounts["a"] = False
    office.console.asked.clear()
    office.offset += DAY
    assert office.watch.look_at_customers(0.0).asked == 0
    assert office.look().asked == 4
    assert max(office.console.asked.values()) == 1
    (out,) = office.changes(6 * MINUTE)
    assert out.reason == "1 customer: Name of a (a)."


def test_without_the_consoles_credentials_nobody_is_asked(tmp_path: Path) -> None:
    """A tenant that has no Cyclr credentials is watched without its customers."""

    office = Office(Console({"a": True}), tmp_path)
    del office.run.settings.secrets["cyclr_client_secret"]  # type: ignore[attr-defined]
    assert office.look().asked == 0
    assert office.console.requests == 0


def test_of_many_the_first_are_named(office: Office) -> None:
    """A message about many customers stays short, and says how many there are."""

    office.console.accounts |= {f"m{number:02}": True for number in range(30)}
    office.look()
    office.console.accounts |= {f"m{number:02}": False for number in range(30)}
    (out,) = office.changes(DAY, 6 * MINUTE)
    assert out.reason.startswith("30 customers: Name of m00 (m00),")
    assert out.reason.endswith("Name of m19 (m19) and 10 more.")


@pytest.mark.parametrize("number", [1, 2])
def test_an_account_that_could_not_be_read_is_not_recovered(office: Office, number: int) -> None:
    """While Cyclr does not show one of those who are out, it stays failing and is kept."""
    office.look()
    office.console.accounts |= {"a": False, "b": False}
    (out,) = office.changes(DAY, 6 * MINUTE)
    office.console.faults |= {name: lambda _: httpx.Response(503) for name in "ab"[:number]}
    office.console.accounts |= {"a": True, "b": True}
    back = office.changes(DAY, 6 * MINUTE, DAY)
    assert [change.ends for change in back] == [""] * (2 - number)
    assert office.look().code is ExitCode.FAILED
    office.console.faults.clear()
    (last,) = office.changes(DAY, 6 * MINUTE)

    assert (last.kind, last.ends) == (Kind.RECOVERED, out.id)
    assert office.look().code is ExitCode.COMPLETE


def test_a_lost_file_recovers_nobody(office: Office) -> None:
    """Where what looks have seen is lost, and the list is cut off, nobody has vanished."""
    office.look()
    office.console.accounts["a"] = False
    office.changes(DAY, 6 * MINUTE)
    office.watch.path.with_name("connections.json").unlink()
    office.console.faults["/v1.0/accounts"] = lambda _: httpx.Response(503)

    assert office.changes(DAY, 6 * MINUTE) == []
    assert office.look().code is ExitCode.FAILED


OUT, IN, BARE = Standing.NOT_SIGNED_IN, Standing.SIGNED_IN, Standing.NOT_INSTALLED
LOST, GONE, LATER = Standing.NOT_KNOWN, Standing.VANISHED, Standing.NOT_ASKED


@pytest.mark.parametrize(
    ("standings", "expected"),
    [
        ("IN IN", ""),
        ("OUT IN", "failed a"),
        ("OUT OUT", "failed a b"),
        ("BARE IN", ""),
        ("BARE BARE", "failed a b"),
        ("BARE LOST", ""),
        ("BARE LATER", ""),
        ("BARE GONE", "failed a"),
        ("LOST LOST", ""),
        ("GONE GONE", ""),
        ("OUT BARE", "failed a"),
    ],
)
def test_what_cyclr_shows_decides(standings: str, expected: str) -> None:
    """
    Who was signed in and is not any more, in two looks; without the connector only if all lost it.

    An account that could not be read, or was not asked, decides nothing.
    """
    watched, first = Watched(), "2026-11-24T12:00:00.000Z"
    names = {"OUT": OUT, "IN": IN, "BARE": BARE, "LOST": LOST, "GONE": GONE, "LATER": LATER}

    def seen(on: str) -> Seen:
        accounts = {
            ident: Account(
                ident, "", looked_in=1, looked_on=on, signed_in_on=first, installed_on=first,
                standing=names[name],
            )
            for ident, name in zip("ab", standings.split(), strict=True)
        }  # fmt: skip
        return Seen(("console", "client", "name"), first, accounts=accounts, is_listed=True)

    changes = []
    for minute in ("00", "06", "12"):
        on = f"2026-11-25T12:{minute}:00.000Z"
        changes += customer_changes(watched, seen(on), on)
    told = [f"{c.kind} {' '.join(i for i in 'ab' if f'({i})' in c.reason)}" for c in changes]

    assert told == ([expected] if expected else [])
    assert unconfirmed(watched) == []
