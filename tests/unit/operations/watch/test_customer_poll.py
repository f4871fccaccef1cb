"""Customers in a watch: signed out, back, and rights that were lost."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from filelock import FileLock

from runbook_lib.connectors.cyclr.transactions import read_failures
from runbook_lib.core.clock import timestamp
from runbook_lib.core.model import Mode
from runbook_lib.errors import ExitCode
from runbook_lib.evidence.reports.tenant_status import cause_rows
from runbook_lib.operations.customer_connections import ConsoleAccounts
from runbook_lib.operations.customer_list import is_signed_out
from runbook_lib.operations.customer_rows import AccountStatus, KnownAccount, Survey
from runbook_lib.operations.tenant_reader import read_tenants
from runbook_lib.operations.watch.customer_poll import changed_accounts, is_due, poll_customers
from runbook_lib.operations.watch.poll import PollResult, key_of
from runbook_lib.operations.watch.saved_items import settle
from runbook_lib.operations.watch.watch_state import SavedItem, WatchedStep, open_state
from tests.support.wording import wording
from tests.unit.fake_console import Console, console_run
from tests.unit.operations.watch.desk import DAY, HOUR, MINUTE, NOON

KEY = "facebook_marketing/acme"


class Office:
    """A tenant with customers in a console, at a time that moves only when somebody says so."""

    def __init__(self, console: Console, folder: Path) -> None:
        self.console = console
        self.run = console_run(console, folder, RUNBOOK_CYCLR_REQUESTS_A_SECOND=50)
        self.run.mode = Mode.HEADLESS
        self.folder = folder
        self.offset = 0.0
        self.run.journal.clock = lambda: NOON + timedelta(seconds=self.offset)
        self.run.start()

    def poll(self, after: float = 0.0, seconds: float = float("inf")) -> PollResult:
        """Poll the customers that are due, `after` so many seconds."""
        self.offset += after
        with open_state(self.folder, self.run.clock()) as state:
            assert key_of(self.run) == KEY
            if not is_due(self.run, state):
                return PollResult(0, ExitCode.COMPLETE)
            return poll_customers(self.run, state, seconds)

    @property
    def items(self) -> dict[str, SavedItem]:
        """The saved items about customers by id."""
        with open_state(self.folder, self.run.clock()) as state:
            rows = state.items.read(tenant=KEY)
        about = (row for row in rows if row.item.is_about_customers or row.place == "rights")
        return {row.id: row for row in about}

    def changes(self, *waits: float) -> list[str]:
        """Return the accounts that were signed out (+) or are back (-) after these waits."""
        before = self.items
        for wait in waits:
            self.poll(wait)
            (status,) = read_tenants(str(self.folder), self.run.clock()).statuses
            with open_state(self.folder, self.run.clock()) as state, state.transaction():
                settle(state, status, self.run.clock())
        changed = [row for row in self.items.values() if row != before.get(row.id)]
        return sorted(f"{'-' if row.ended_on else '+'}{row.place}" for row in changed)

    def survey(self) -> WatchedStep:
        """Return the watch's row of the survey."""
        with open_state(self.folder, self.run.clock()) as state:
            (row,) = state.steps.read(tenant=KEY, step="customers", check="survey")
        return row


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(Console({"a": True, "b": True, "c": True, "new": None}), tmp_path)


def test_customers_who_are_signed_out_are_items_until_they_are_back(office: Office) -> None:
    """They count when a second poll sees them, their return at once; a new one never was in."""
    assert office.changes(0, DAY) == []
    office.console.accounts["new"] = False
    office.console.accounts |= {"a": False, "b": False}
    assert office.changes(DAY) == []
    assert office.changes(4 * MINUTE) == []
    assert office.changes(MINUTE) == ["+a", "+b"]
    assert office.changes(HOUR, DAY, DAY) == []
    office.console.accounts |= {"a": True, "b": True}
    assert office.changes(DAY) == ["-a", "-b"]
    (reason, _) = [row.end_reason for row in office.items.values() if row.ended_on]
    assert wording("connections.fetch-again", day="2026-11-26") in reason


def test_calls_that_fail_are_an_item_until_one_succeeds(office: Office) -> None:
    """A refused call counts at once, under the title of the list; a success ends it."""
    log = {"AccountId": "a", "Timestamp": timestamp(NOON), "Message": "Out of retries"}
    failures = read_failures(json.dumps(log).encode(), office.run.procedure)
    office.poll()
    seen = ConsoleAccounts(office.run).survey(failures.items)
    assert seen.standing(seen.accounts["a"]) is AccountStatus.CALLS_FAIL
    assert office.changes(DAY, 6 * MINUTE, DAY) == ["+a"]
    (row,) = office.items.values()
    assert row.item.title == wording("status.calls-fail", customer="Name of a")
    office.console.accounts["a"] = False
    assert office.changes(DAY, 6 * MINUTE) == ["+a"]
    (row,) = office.items.values()
    assert row.item.title == wording("status.customer-signed-out", customer="Name of a")
    office.console.accounts["a"] = True
    assert office.changes(DAY, 6 * MINUTE) == ["-a"]
    assert "calls_fail" not in ConsoleAccounts(office.run).known().counts


def test_they_are_one_row_with_their_names(office: Office) -> None:
    """A row about many stays short, says how many there are, and has the command."""
    office.console.accounts |= {f"m{number:02}": True for number in range(50)}
    office.poll()
    office.console.accounts |= {f"m{number:02}": False for number in range(50)}
    office.poll(DAY)
    assert len(office.changes(6 * MINUTE)) == 50
    rows = cause_rows(read_tenants(str(office.folder), office.run.clock()).statuses)
    (row,) = [row for row in rows if row.first.is_about_customers]
    (names,) = [line for line in row.lines() if "Name of m00, Name of m01," in line]

    assert row.title == wording("status.customers-signed-out", customers=50)
    assert "38 " in names
    assert "m49" not in names
    assert "Send each a letter with a new link." in row.lines()


def test_only_who_is_in_doubt_is_polled_between_two_surveys(office: Office) -> None:
    """A whole survey once a day; in between only those whose result changed."""
    office.poll()
    office.console.accounts["a"] = False
    office.poll(DAY)
    office.console.asked.clear()
    office.changes(6 * MINUTE, HOUR)
    assert dict(office.console.asked) == {"a": 1}


def test_an_outage_of_cyclr_signs_nobody_out(office: Office) -> None:
    """Customers who could not be polled are no change; that they cannot is kept, and how long."""
    office.poll()
    office.console.faults["/v1.0/accounts"] = lambda _: httpx.Response(503)
    office.console.faults |= {name: lambda _: httpx.Response(503) for name in "abc"}
    assert office.changes(DAY, 6 * MINUTE, HOUR) == []
    since = office.survey().unanswered_since
    assert since
    assert office.poll(HOUR).code is ExitCode.INCOMPLETE
    assert office.survey().unanswered_since == since
    office.console.faults.clear()
    assert office.changes(HOUR, DAY) == []
    assert not office.survey().unanswered_since


def test_another_process_that_asks_for_them_is_waited_for(office: Office) -> None:
    """While `runbook connections` asks, the watch does not, and asks the next time."""
    with FileLock(office.run.journal.path.with_name("connections.lock")):
        assert office.poll().polled == 0
    assert office.poll().polled == 4


@pytest.mark.parametrize("share", [1, 2])
def test_nobody_waits_behind_the_first(
    office: Office, monkeypatch: pytest.MonkeyPatch, share: int
) -> None:
    """With time for a few in each cycle, each is polled once before anybody is polled again."""
    clock = [0.0]

    def ticking() -> float:
        clock[0] += 1.0
        return clock[0]

    office.console.accounts = {f"m{number}": True for number in range(6)}
    monkeypatch.setattr("runbook_lib.operations.watch.customer_poll.time.monotonic", ticking)
    for _ in range(6 // share):
        office.poll(6 * MINUTE, seconds=share + 0.5)
    assert dict(office.console.asked) == dict.fromkeys(office.console.accounts, 1)
    office.console.accounts = dict.fromkeys(office.console.accounts, False)
    office.console.asked.clear()
    office.offset += DAY
    for _ in range(3 * 6 // share):
        office.poll(6 * MINUTE, seconds=share + 0.5)
    with open_state(office.folder, office.run.clock()) as state:
        rows = state.customers.read(tenant=KEY)
    assert {row.account for row in rows if row.body.was_signed_out} == {*office.console.accounts}
    assert not [row.account for row in rows if row.body.in_doubt_since]


def test_nobody_waits_behind_accounts_that_cannot_be_read(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are tried again after all others, though they stay to be polled."""
    clock = [0.0]

    def ticking() -> float:
        clock[0] += 1.0
        return clock[0]

    office.console.accounts = {f"m{number}": True for number in range(6)}
    polled: list[str] = []

    def refuse(request: httpx.Request) -> httpx.Response:
        polled.append(request.headers["x-cyclr-account"])
        return httpx.Response(403, json={"Message": "no"})

    office.console.faults |= {"m0": refuse, "m1": refuse}
    monkeypatch.setattr("runbook_lib.operations.watch.customer_poll.time.monotonic", ticking)
    for _ in range(6):
        office.poll(6 * MINUTE, seconds=1.5)
    assert {*office.console.asked} | {*polled} == {*office.console.accounts}


def test_a_survey_that_is_out_of_time_goes_on_in_the_next_cycle(office: Office) -> None:
    """Accounts that were not polled in time are polled then, none twice."""
    office.poll()
    office.console.accounts["a"] = False
    office.console.asked.clear()
    assert office.poll(DAY, seconds=0.0).polled == 0
    assert office.poll().polled == 4
    assert max(office.console.asked.values()) == 1
    assert office.changes(6 * MINUTE) == ["+a"]


def test_without_the_consoles_credentials_nobody_is_polled(tmp_path: Path) -> None:
    """A tenant that has no Cyclr credentials is watched without its customers."""
    office = Office(Console({"a": True}), tmp_path)
    del office.run.settings.secrets["cyclr_client_secret"]  # type: ignore[attr-defined]
    assert office.poll().polled == 0
    assert office.console.requests == 0


def test_a_lost_state_recovers_nobody(office: Office) -> None:
    """Without results of polls, and with an empty list, no account has vanished."""
    office.poll()
    (office.folder / "watch.db").unlink()
    office.console.faults["/v1.0/accounts"] = lambda _: httpx.Response(200, json=[])
    assert office.changes(DAY, DAY) == []
    assert "proves nothing" in office.survey().unanswered


def test_rights_that_were_lost_are_one_item(office: Office) -> None:
    """If every account has an empty list of connectors, nobody has uninstalled it; seen twice."""
    office.poll()
    office.console.accounts = dict.fromkeys(office.console.accounts, None)
    assert office.changes(DAY) == []
    assert office.changes(6 * MINUTE) == ["+rights"]
    assert office.changes(HOUR, DAY) == []
    (row,) = office.items.values()
    assert row.item.title == wording("watch.shown-in-no-account")
    office.console.accounts["b"] = True
    assert office.changes(DAY, 6 * MINUTE) == ["-rights"]


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
    ("polls", "told"),
    [
        # An account that was signed in and is not any more, in two polls; a new customer never was.
        ("IN IN", ""),
        ("OUT IN", "+a"),
        ("OUT OUT", "+a+b"),
        ("NEW IN", ""),
        ("LATER LATER", ""),
        ("OUT IN, IN IN", "+a -a"),
        ("OUT OUT, IN OUT, IN IN", "+a+b -a -b"),
        # An account without the connector, or gone, has nothing to sign in to.
        ("BARE IN", ""),
        ("OUT IN, BARE IN", "+a -a"),
        ("OUT IN, GONE IN", "+a -a"),
        ("GONE GONE", ""),
        # An account that could not be read, or was not polled, decides nothing.
        ("LOST LOST", ""),
        ("OUT OUT, LOST LOST, IN IN", "+a+b -a-b"),
    ],
)
def test_the_accounts_that_cyclr_lists_decide(polls: str, told: str) -> None:
    """A table of two accounts' states, three polls each, and of who is out (+) or back (-)."""
    doubts: dict[str, str] = {}
    since: dict[str, str] = {}
    out: set[str] = set()
    minutes = 0
    groups = []
    for standings in polls.split(", "):
        marks = []
        for _ in range(3):
            minutes += 6
            now = NOON + timedelta(days=1, minutes=minutes)
            named = [*zip("ab", standings.split(), strict=True)]
            for ident, name in named:
                if name != "LOST":
                    is_out = NAMES[name] is AccountStatus.NOT_SIGNED_IN
                    since[ident] = (since.get(ident) or timestamp(now)) if is_out else ""
            accounts = {
                ident: KnownAccount(
                    ident, "", polled_in=1, polled_on=timestamp(now), installed_on=FIRST,
                    standing=NAMES[name], signed_in_on="" if name == "NEW" else FIRST,
                    in_doubt_since=doubts.get(ident, ""), connectors=(1,) if name == "IN" else (),  # type: ignore[arg-type]
                    not_signed_in_since=since.get(ident, ""),
                )
                for ident, name in named
            }  # fmt: skip
            survey = Survey(("console", "x", "name"), FIRST, accounts=accounts, is_listed=True)
            for account in changed_accounts(survey, "", now):
                doubts[account.id] = account.in_doubt_since
                accounts[account.id] = account
            now_out = {ident for ident, account in accounts.items() if is_signed_out(account, now)}
            marks += [f"+{ident}" for ident in sorted(now_out - out)]
            marks += [f"-{ident}" for ident in sorted(out - now_out)]
            out = now_out
        groups.append("".join(marks))
    assert " ".join(filter(None, groups)) == told


def test_the_test_account_is_a_steps() -> None:
    """Its sign-out is told by the step that checks it, and not twice."""
    on = timestamp(NOON)
    account = KnownAccount(
        "own", "", polled_in=1, polled_on=on, installed_on=FIRST, signed_in_on=FIRST,
        standing=AccountStatus.NOT_SIGNED_IN, not_signed_in_since=on,
    )  # fmt: skip
    survey = Survey(("c", "x", "n"), FIRST, accounts={"own": account}, is_listed=True)
    assert [*changed_accounts(survey, "own", NOON)] == []
    assert [*changed_accounts(survey, "", NOON)] != []
