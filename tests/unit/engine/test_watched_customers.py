"""Customers in a watch: one message for all who were signed out, one when they are back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from filelock import FileLock

from runbook_lib.core.model import Mode
from runbook_lib.engine.watch import Look, Watch
from runbook_lib.engine.watched import Change, Kind, read_watched
from tests.unit.fake_console import Console, console_run

MINUTE, HOUR, DAY = 60, 3_600, 86_400
NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


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
        """Look at the customers, `after` so many seconds, and show what is new."""
        self.offset += after
        look = self.watch.look_at_customers()
        self.watch.show(look.changes)
        return look

    def changes(self, *waits: float) -> list[Change]:
        """Return what looks after these waits have found."""
        return [change for wait in waits for change in self.look(wait).changes]


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(Console({"a": True, "b": True, "c": True, "new": False}), tmp_path)


def test_customers_who_are_signed_out_are_one_change_and_one_when_back(office: Office) -> None:
    """Two who go in one day are named together, seen twice; so are they when they are back."""

    assert office.changes(0, DAY) == []
    office.console.accounts |= {"a": False, "b": False}
    assert office.look(DAY).changes == ()
    assert office.look(4 * MINUTE).changes == ()
    (out,) = office.look(MINUTE).changes
    assert office.changes(HOUR, DAY, DAY) == []
    office.console.accounts |= {"a": True, "b": True}
    (back,) = office.changes(DAY, 6 * MINUTE, DAY)

    assert (out.kind, out.title) == (Kind.FAILED, "Customers' connections")
    assert (out.was, out.now) == ("Cyclr says signed in", "Cyclr says not signed in")
    assert out.reason == "2 customers: Name of a (a), Name of b (b)."
    assert "--sign-in-link" in out.do
    assert (back.kind, back.ends) == (Kind.RECOVERED, out.id)
    assert (back.was, back.now) == (out.now, out.was)
    assert office.look().is_failing is False


def test_it_is_over_when_the_last_is_back(office: Office) -> None:
    """Of two who went together, the first one back does not end the change; the second does."""

    office.look()
    office.console.accounts |= {"a": False, "b": False}
    (out,) = office.changes(DAY, 6 * MINUTE)
    office.console.accounts["a"] = True
    (first,) = office.changes(DAY, 6 * MINUTE)
    assert office.look().is_failing is True
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
    assert office.look(DAY).changes == ()
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
    assert office.watch.look_at_customers(0.0) == Look(0, (), is_failing=False, is_unanswered=False)
    assert office.look().asked == 4
    assert max(office.console.asked.values()) == 1
    (out,) = office.changes(6 * MINUTE)
    assert out.reason == "1 customer: Name of a (a)."


def test_without_the_consoles_credentials_nobody_is_asked(tmp_path: Path) -> None:
    """A tenant that has no Cyclr credentials is watched without its customers."""

    office = Office(Console({"a": True}), tmp_path)
    del office.run.settings.secrets["cyclr_client_secret"]  # type: ignore[attr-defined]
    assert office.look() == Look(asked=0, changes=(), is_failing=False, is_unanswered=False)
    assert office.console.requests == 0


def test_of_many_the_first_are_named(office: Office) -> None:
    """A message about many customers stays short, and says how many there are."""

    office.console.accounts |= {f"m{number:02}": True for number in range(30)}
    office.look()
    office.console.accounts |= {f"m{number:02}": False for number in range(30)}
    (out,) = office.changes(DAY, 6 * MINUTE)
    assert out.reason.startswith("30 customers: Name of m00 (m00),")
    assert out.reason.endswith("Name of m19 (m19) and 10 more.")
