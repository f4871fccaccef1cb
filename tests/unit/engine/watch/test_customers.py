"""Customers in a watch: one message for all who were signed out, one when they are back."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from filelock import FileLock

from runbook_lib.core.journal import timestamp
from runbook_lib.core.model import Mode
from runbook_lib.engine.customer_connections import AccountStatus, KnownAccount, Survey
from runbook_lib.engine.watch.answers import Change, Kind, Watched, read_watched
from runbook_lib.engine.watch.customers import customer_changes, unconfirmed
from runbook_lib.engine.watch.look import Watch, WatchResult
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

    def look(self, after: float = 0.0) -> WatchResult:
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


def test_a_lost_file_recovers_nobody(office: Office) -> None:
    """Where what looks have seen is lost, and Cyclr lists nobody, nobody has vanished."""
    office.look()
    office.console.accounts["a"] = False
    office.changes(DAY, 6 * MINUTE)
    office.watch.path.with_name("connections.json").unlink()
    office.console.faults["/v1.0/accounts"] = lambda _: httpx.Response(200, json=[])

    assert {change.kind for change in office.changes(DAY, DAY)} == {Kind.OUTAGE}
    assert office.look().code is ExitCode.FAILED


FIRST = "2026-11-24T12:00:00.000Z"
NAMES = {
    "IN": AccountStatus.SIGNED_IN,
    "OUT": AccountStatus.NOT_SIGNED_IN,
    "BARE": AccountStatus.NOT_INSTALLED,
    "LOST": AccountStatus.NOT_KNOWN,
    "LATER": AccountStatus.NOT_ASKED,
    "GONE": AccountStatus.VANISHED,
    "NEW": AccountStatus.NOT_SIGNED_IN,
}


@pytest.mark.parametrize(
    ("looks", "told"),
    [
        # Who was signed in and is not any more, in two looks; a new customer never was.
        ("IN IN", ""),
        ("OUT IN", "failed a"),
        ("OUT OUT", "failed ab"),
        ("NEW IN", ""),
        ("LATER LATER", ""),
        ("OUT IN, IN IN", "failed a; ends a"),
        ("OUT OUT, IN OUT, IN IN", "failed ab; recovered a; ends b"),
        ("OUT OUT, IN IN", "failed ab; ends ab"),
        # Without the connector only if all lost it at once; who has gone has nothing to sign in.
        ("BARE IN", ""),
        ("BARE BARE", "failed ab"),
        ("BARE BARE, IN IN", "failed ab; ends ab"),
        ("BARE GONE", "failed a"),
        ("OUT IN, BARE IN", "failed a; ends a"),
        ("OUT IN, GONE IN", "failed a; ends a"),
        ("GONE GONE", ""),
        # Who could not be read, or was not asked, decides nothing, and is not forgotten.
        ("BARE LOST", ""),
        ("BARE LATER", ""),
        ("LOST LOST", ""),
        ("OUT OUT, LOST IN", "failed ab; recovered b"),
        ("OUT OUT, LOST IN, IN IN", "failed ab; recovered b; ends a"),
        ("OUT OUT, LOST LOST, LATER LATER, IN IN", "failed ab; ends ab"),
        ("OUT IN, BARE LOST, IN IN", "failed a; ends a"),
    ],
)
def test_what_cyclr_shows_decides(looks: str, told: str) -> None:
    """All whom one look finds out are one change, and those who are back; the last one ends it."""
    watched, changes, minutes = Watched(), [], 0
    for standings in looks.split(", "):
        for _ in range(3):
            minutes += 6
            on = timestamp(NOON + timedelta(days=1, minutes=minutes))
            accounts = {
                ident: KnownAccount(
                    ident, "", looked_in=1, looked_on=on, installed_on=FIRST,
                    standing=NAMES[name], signed_in_on=FIRST * (name != "NEW"),
                )
                for ident, name in zip("ab", standings.split(), strict=True)
            }  # fmt: skip
            of = ("console", "client", "name")
            seen = Survey(of, FIRST, accounts=accounts, is_listed=True)
            changes += customer_changes(watched, seen, on, "acme")
    shown = [
        f"{'ends' if change.ends else change.kind} "
        + "".join(ident for ident in "ab" if f"({ident})" in change.reason)
        for change in changes
    ]

    assert "; ".join(shown) == told
    assert {change.ends for change in changes} <= {"", *(change.id for change in changes)}
    is_open = told.count("failed") > told.count("ends")
    assert bool(watched.topics) is is_open
    assert unconfirmed(watched) == []
