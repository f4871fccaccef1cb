"""The customers' connections: each account once, whatever goes wrong with another."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from contextlib import nullcontext
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from filelock import FileLock

from runbook_lib.connectors.cyclr.transactions import read_failures
from runbook_lib.connectors.registry import find_procedure
from runbook_lib.core.clock import timestamp
from runbook_lib.errors import BusyError, CyclrAPIError, SettingsError
from runbook_lib.operations.customer_calls import CustomerCalls
from runbook_lib.operations.customer_connections import ConsoleAccounts
from runbook_lib.operations.customer_list import CustomerList, customer_rows
from runbook_lib.operations.customer_rows import AccountStatus, KnownAccount, Survey
from runbook_lib.remote.rate_limits import RateLimiter
from tests.conftest import NOON
from tests.support.wording import refused, wording
from tests.unit.fake_console import SECRET, TOKEN, Console, console_run

TakeSurvey = Callable[..., Survey]
CONNECTOR = "Facebook Marketing API"
TWICE = (
    '[{"Id": 2, "Authenticated": false, "Authenticated": true, "Connector": {"Name": "X"}}]',
    '[{"Id": 2, "Connector": {"Name": "X", "N": [{"Authenticated": 1, "Authenticated": 1}]}}]',
)
EXPIRED = "Error validating access token: Session has expired on Saturday, 13-Jun-26 05:00:00 PDT."
TOTAL_OF_ONE = {"Total-Pages": "1"}


class Time:
    """A clock that moves only when somebody sleeps."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        """Move on."""
        self.slept.append(seconds)
        self.seconds += seconds

    def monotonic(self) -> float:
        """Return the seconds."""
        return self.seconds

    def now(self) -> datetime:
        """Return the time of day."""
        return NOON + timedelta(seconds=self.seconds)


@pytest.fixture
def moment() -> Time:
    return Time()


@pytest.fixture
def survey(tmp_path: Path, moment: Time) -> TakeSurvey:
    """Return a function that looks at a console once."""

    def once(console: Console, **more: object) -> Survey:
        run = console_run(console, tmp_path, moment.monotonic, **more)
        run.journal.clock = moment.now
        return ConsoleAccounts(run, sleep=moment.sleep, monotonic=moment.monotonic).survey()

    return once


def many(count: int) -> dict[str, bool | None]:
    return {f"account-{number:05}": True for number in range(count)}


def responds(status: int, body: Any = None, headers: dict[str, str] | None = None) -> Any:
    return lambda _: httpx.Response(status, json={} if body is None else body, headers=headers)


def kill(survey: TakeSurvey, console: Console, at: int) -> None:
    """Kill a survey at this request; the next one is not."""
    console.kill_at = at
    with pytest.raises(KeyboardInterrupt):
        survey(console)
    console.kill_at = 0


def third_page_fails(request: httpx.Request) -> httpx.Response | None:
    return httpx.Response(500) if request.url.params.get("page") == "3" else None


def test_each_account_has_the_state_that_cyclr_reports(survey: TakeSurvey) -> None:
    """Signed in, not signed in, not installed: what Cyclr says, never that it works."""
    console = Console({"a": True, "b": False, "c": None})
    seen = survey(console)

    assert {name: account.standing for name, account in seen.accounts.items()} == {
        "a": AccountStatus.SIGNED_IN,
        "b": AccountStatus.NOT_SIGNED_IN,
        "c": AccountStatus.NOT_INSTALLED,
    }
    assert (seen.is_complete, console.asked) == (True, {"a": 1, "b": 1, "c": 1})


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("says_pages", [True, False])
@pytest.mark.parametrize("count", [1, 100, 101, 350])
def test_each_account_once_however_pages_are_counted(
    survey: TakeSurvey, first: int, says_pages: bool, count: int
) -> None:
    """Whether the first page is 0 or 1 is not documented, and Total-Pages may be left out."""
    console = Console(many(count))
    console.first = first
    console.says_pages = says_pages
    seen = survey(console)

    assert len(seen.accounts) == count
    assert seen.is_complete
    assert set(console.asked.values()) <= {1}


# A result of yesterday is too old to be called a result of today.
@pytest.mark.parametrize(("seconds", "most"), [(0, 1), (86_401, 2)])
def test_a_look_that_was_killed_goes_on(
    survey: TakeSurvey, moment: Time, seconds: float, most: int
) -> None:
    """Each account is in the result once; only accounts that were not kept are asked again."""
    console = Console(many(250))
    kill(survey, console, at=120)
    asked = set(console.asked)
    moment.seconds += seconds
    seen = survey(console)

    assert 0 < len(asked) < 250
    assert len(seen.accounts) == 250
    assert seen.is_complete
    assert max(console.asked.values()) == most


def test_since_when_is_our_own_first_survey(survey: TakeSurvey, moment: Time) -> None:
    """Not signed in since the first survey that saw it so; signed in again, and it begins anew."""
    console = Console({"a": True})
    for is_signed_in, since, on in (
        (True, "", "13:00"),
        (False, "14:00", "13:00"),
        (False, "14:00", "13:00"),
        (True, "", "16:00"),
        (False, "17:00", "16:00"),
    ):
        console.accounts["a"] = is_signed_in
        moment.seconds += 3_600
        account = survey(console).accounts["a"]
        assert account.not_signed_in_since[11:16] == since
        assert account.signed_in_on[11:16] == on


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (responds(500), "Cyclr answered 500."),
        (responds(403, {"Message": "No."}), "No."),
        (responds(200, {"a": 1}), wording("unexpected-response.not-a-list")),
        (lambda _: httpx.Response(200, text='[{"Id": 2, "Na'), "not JSON"),
        (responds(200, [{"Id": "x", "Connector": {"Id": 7, "Name": CONNECTOR}}]), "Id is"),
        # The reader decides which of two values counts.
        *(
            (lambda _, body=body: httpx.Response(200, text=body), "has 'Authenticated' twice")
            for body in TWICE
        ),
    ],
)
@pytest.mark.parametrize("bad", [range(3, 4), range(3, 20)])
def test_no_account_is_lost_by_another_ones_error(
    survey: TakeSurvey, fault: Any, error: str, bad: range
) -> None:
    """An account that cannot be read, or many in a row, is marked with why; all others are read."""
    console = Console(many(30))
    console.faults |= {f"account-{number:05}": fault for number in bad}
    seen = survey(console)

    for name in console.faults:
        account = seen.accounts[name]
        assert (account.standing, error in account.error) == (AccountStatus.NOT_KNOWN, True)
    expected = {AccountStatus.NOT_KNOWN: len(bad), AccountStatus.SIGNED_IN: 30 - len(bad)}
    assert seen.counts == expected
    assert not seen.is_complete
    console.faults.clear()
    assert survey(console).is_complete


@pytest.mark.parametrize("still_answers", [False, True])
def test_an_account_that_vanished_is_said_once(survey: TakeSurvey, still_answers: bool) -> None:
    """Removed between list and turn, or between looks; Cyclr may answer for it with a list."""
    console = Console(many(3))

    def remove(_: httpx.Request) -> None:
        console.accounts.pop("account-00001", None)

    console.faults["account-00001"] = remove
    first = survey(console)
    del console.accounts["account-00002"]
    if still_answers:
        console.faults["account-00002"] = responds(200, [])
    second = survey(console)
    third = survey(console)

    assert first.accounts["account-00001"].standing is AccountStatus.VANISHED
    assert first.is_complete
    assert "account-00001" not in second.accounts
    assert second.accounts["account-00002"].standing is AccountStatus.VANISHED
    assert list(third.accounts) == ["account-00000"]


def test_half_a_page_makes_a_partial_result(survey: TakeSurvey) -> None:
    """The rows of a page that is too short count, the others are read, and a note says so."""
    console = Console(many(350))
    console.faults["/v1.0/accounts"] = odd(total=lambda _: 4, half=2)
    seen = survey(console)

    assert len(seen.accounts) == 290
    assert seen.notes == [wording("connections.short-page", rows=40, page=2, pages=4)]
    assert not seen.is_complete


def odd(
    size: int = 100,
    step: int = 0,
    total: Callable[[int], object] = lambda _: "",
    empty: Collection[int] = (),
    half: int = 0,
    count: int = 350,
) -> Callable[[httpx.Request], httpx.Response]:
    """Return a list whose pages have `size` rows and begin `step` rows after each other."""
    rows = [{"Id": name, "Name": ""} for name in many(count)]

    def answer(request: httpx.Request) -> httpx.Response:
        number = int(request.url.params.get("page", 1))
        begins = (number - 1) * (size if step == 0 else max(step, 0))
        page = [] if number in empty else rows[begins : begins + (40 if number == half else size)]
        headers = {"Total-Pages": str(total(number))} if total(number) else {}
        return httpx.Response(200, json=page, headers=headers)

    return answer


@pytest.mark.parametrize(
    ("listed", "accounts", "note"),
    [
        (odd(50), 350, ""),
        (odd(50, total=lambda _: 7), 350, ""),
        (odd(50, total=lambda _: 2, count=180), 180, ""),
        (odd(30, count=31), 31, ""),
        (odd(total=lambda number: number), 350, ""),
        (odd(total=lambda _: 4), 350, ""),
        (odd(total=lambda number: number + 1), 350, wording("connections.rows-on-only", pages=7)),
        (odd(total=lambda _: 9), 350, wording("connections.rows-on-only", pages=9)),
        (odd(step=-1), 100, wording("connections.only-earlier-rows", page=2)),
        (odd(step=-1, total=lambda _: 4), 100, wording("connections.only-earlier-rows", page=2)),
        (odd(step=-1, count=3), 3, wording("connections.only-earlier-rows", page=2)),
        (odd(step=90), 350, wording("connections.rows-repeat", rows=380, repeated=30)),
        (odd(step=90, total=lambda _: 4, count=400), 400, "repeat others"),
        (odd(empty=[1]), 250, wording("connections.page-too-short", page=1, rows="0")),
        (
            odd(empty=[1], total=lambda _: 4),
            250,
            wording("connections.short-page", page=1, pages=4, rows="0"),
        ),
        (
            odd(empty=[2], total=lambda _: 4),
            250,
            wording("connections.short-page", page=2, pages=4, rows="0"),
        ),
        (odd(count=0), 0, wording("connections.no-account")),
        (odd(count=0, total=lambda _: 1), 0, wording("connections.no-account")),
        (responds(200, [{"Id": "a"}] * 3, TOTAL_OF_ONE), 1, "has only rows of earlier pages"),
    ],
)
def test_a_list_is_complete_or_says_what_it_lacks(
    survey: TakeSurvey, listed: Any, accounts: int, note: str
) -> None:
    """It ends with a total that agrees or an empty page; what repeats or lacks is named."""
    console = Console({"a": True, **many(400)})
    console.faults["/v1.0/accounts"] = listed
    seen = survey(console)

    assert len(seen.accounts) == accounts
    assert seen.is_complete is not bool(note)
    assert [note in text for text in seen.notes] == ([True] if note else [])
    assert console.requests <= accounts + 15


def test_a_total_that_agrees_ends_the_list(survey: TakeSurvey, moment: Time) -> None:
    """One request for each page and one for each account, at the pace that is set."""
    console = Console(many(250))
    survey(console, RUNBOOK_CYCLR_REQUESTS_A_SECOND=2)

    # The token, three pages (the first is asked for twice), and each account.
    assert console.requests == 1 + 4 + 250
    assert moment.seconds >= (console.requests - 1) / 2


@pytest.mark.parametrize("rows", [[], [{"Id": 1, "Name": "Close", "Connector": {"Name": "X"}}]])
def test_connectors_that_are_all_gone_at_once_are_a_finding(
    survey: TakeSurvey, rows: list[Any]
) -> None:
    """If no account has a connector that earlier looks saw, a note says so until one has it."""
    console = Console({"a": True, "b": False, "c": None})
    assert survey(console).is_complete
    for name in "ab":
        console.faults[name] = responds(200, rows)
    for _ in range(2):
        gone = survey(console)
        assert gone.counts == {AccountStatus.NOT_INSTALLED: 3}
        (finding,) = gone.findings
        assert finding.startswith(wording("connections.no-account-has", connector=CONNECTOR))
        assert wording("connections.seen-in", accounts=2) in finding
        assert not gone.is_complete
    del console.faults["a"]

    assert survey(console).is_complete


def test_an_account_that_is_missing_in_the_list_is_asked_for(survey: TakeSurvey) -> None:
    """A list that is too short hides no account that an earlier survey knew."""
    console = Console(many(3))
    survey(console)
    console.faults["/v1.0/accounts"] = responds(200, [{"Id": "account-00000", "Name": "A"}])
    seen = survey(console)

    assert [account.standing for account in seen.accounts.values()] == [AccountStatus.SIGNED_IN] * 3


@pytest.mark.parametrize("killed_at", [0, 40])
def test_a_page_that_cannot_be_read_loses_no_other(survey: TakeSurvey, killed_at: int) -> None:
    """The pages after it are read; the result is partial, and the next survey reads it again."""
    console = Console(many(350))
    console.faults["/v1.0/accounts"] = third_page_fails
    if killed_at:
        kill(survey, console, killed_at)
    else:
        seen = survey(console)
        assert (len(seen.accounts), seen.is_complete) == (250, False)
        assert seen.notes[0].startswith(wording("connections.page-unreadable", page=3))
    console.faults.clear()
    again = survey(console)

    assert (again.number, len(again.accounts)) == (1 if killed_at else 2, 350)
    assert again.is_complete


def test_a_wait_that_cyclr_asks_for_is_kept(survey: TakeSurvey, moment: Time) -> None:
    """429 with Retry-After: the same account is asked again after it, and nothing is lost."""
    console = Console(many(3))
    answers = [httpx.Response(429, headers={"retry-after": "60"}), None]
    console.faults["account-00001"] = lambda _: answers.pop(0) if answers else None
    seen = survey(console)

    assert seen.is_complete
    assert any(59 <= seconds <= 60 for seconds in moment.slept)


@pytest.mark.parametrize("seconds", ["301", "86400"])
def test_a_long_wait_ends_the_look_for_now(survey: TakeSurvey, seconds: str) -> None:
    """The result is partial and says why; accounts that were not asked have no other state."""
    console = Console(many(5))
    console.faults["account-00003"] = responds(429, headers={"retry-after": seconds})
    seen = survey(console)

    assert seen.counts == {AccountStatus.SIGNED_IN: 3, AccountStatus.NOT_ASKED: 2}
    assert wording("rate-limited.limits-calls") in seen.notes[0]
    console.faults.clear()
    assert survey(console).is_complete
    assert console.asked["account-00000"] == 1


def test_a_console_that_is_gone_ends_the_survey(survey: TakeSurvey) -> None:
    """When nothing answers any more, no account is blamed for it, and it can go on."""
    console = Console(many(40))

    def gone(request: httpx.Request) -> httpx.Response | None:
        if console.asked["account-00009"]:
            raise httpx.ConnectError("refused", request=request)
        return None

    for name in (*console.accounts, "/v1.0/accounts", "/v1.0/accounts/x"):
        console.faults[name] = gone
    seen = survey(console)

    assert seen.counts == {AccountStatus.SIGNED_IN: 10, AccountStatus.NOT_ASKED: 30}
    assert seen.notes[0].startswith(wording("connections.stopped-answering"))


def test_refused_credentials_write_nothing(survey: TakeSurvey, tmp_path: Path) -> None:
    """A survey that cannot begin leaves no file behind."""
    console = Console({"a": True})
    console.faults["/oauth/token"] = responds(400, {"error": "invalid_client"})
    with pytest.raises(CyclrAPIError):
        survey(console)

    assert list(tmp_path.rglob("watch.db")) == []


def test_the_pace_makes_up_for_no_pause() -> None:
    """After a pause requests are no closer to each other than before it."""
    time = Time()
    pace = RateLimiter(4, sleep=time.sleep, clock=time.monotonic)
    pace()
    time.seconds += 100
    for _ in range(4):
        pace()

    assert time.slept == [0.25] * 3
    assert pace.requests == 5


def test_nothing_secret_is_kept(survey: TakeSurvey, tmp_path: Path) -> None:
    """Neither the API's secret and token, nor what Cyclr shows of a connector's own."""
    console = Console({"a": True})
    console.faults["a"] = responds(403, {"Message": f"Bearer {TOKEN} is not allowed."})
    kept = []
    for _ in range(2):
        survey(console)
        console.faults.clear()
        kept.append((tmp_path / "watch.db").read_bytes().decode("latin-1"))

    assert "is not allowed" in kept[0]
    assert not [text for text in (SECRET, TOKEN, "secret-value") if text in "".join(kept)]


@pytest.mark.parametrize(
    ("change", "is_known"),
    [({}, True), ({"RUNBOOK_CYCLR_CLIENT_ID": "other"}, False),
     ({"RUNBOOK_CYCLR_CONNECTOR": "Other"}, False),
     ({"RUNBOOK_CYCLR_API_URL": "http://localhost:9"}, False)],
)  # fmt: skip
def test_another_console_knows_nothing_of_this_one(
    survey: TakeSurvey, moment: Time, change: dict[str, str], is_known: bool
) -> None:
    """A result belongs to the console and the connector in which it was seen."""
    console = Console({"a": False})
    before = survey(console).accounts["a"].not_signed_in_since
    moment.seconds += 60
    seen = survey(console, **change).accounts["a"]

    assert (seen.not_signed_in_since == before) is is_known


def test_two_looks_at_once_are_refused(survey: TakeSurvey, tmp_path: Path) -> None:
    """Two processes do not write one file."""
    path = tmp_path / "acme" / "facebook_marketing" / "connections.lock"
    path.parent.mkdir(parents=True)
    with FileLock(path), pytest.raises(BusyError):
        survey(Console({"a": True}))


def test_missing_credentials_are_named(tmp_path: Path) -> None:
    """Without Cyclr's API credentials nothing is asked."""
    run = console_run(Console({}), tmp_path, RUNBOOK_CYCLR_CLIENT_ID="")
    with refused(SettingsError, "needs-credential", label="Cyclr API Client ID"):
        ConsoleAccounts(run)


# Events an hour apart: a survey that sees the account `in`, `out` or `gone`; one with a log whose
# last failure was that many hours ago (`?` at an unknown time); and a test call.
@pytest.mark.parametrize(
    ("events", "standing", "since", "used"),
    [
        ("in", "signed_in", None, None),
        ("in in", "signed_in", None, None),
        ("in log-2", "calls_fail", -1, None),
        ("in in in log-1", "calls_fail", 2, None),
        ("in log-1 in in", "calls_fail", 0, None),
        ("in answered log-2", "signed_in", None, 1),
        ("in answered in log-1", "calls_fail", 2, 1),
        ("in in answered log-1 answered in", "signed_in", None, 4),
        ("in refused in", "calls_fail", 1, None),
        ("in refused in refused in", "calls_fail", 1, None),
        ("in refused answered in", "signed_in", None, 2),
        ("in refused out", "not_signed_in", None, None),
        ("in refused out in", "signed_in", None, None),
        ("in refused gone in", "signed_in", None, None),
        ("in out in log-2", "signed_in", None, None),
        ("in log? in", "calls_fail", 1, None),
        ("in answered log?", "signed_in", None, 1),
        ("refused in", "calls_fail", 0, None),
        ("answered in", "signed_in", None, 0),
        ("in log+9 in", "calls_fail", 1, None),
        ("in blocked in", "signed_in", None, None),
        ("in broken in", "signed_in", None, None),
        ("in denied in", "signed_in", None, None),
        ("in forbidden in", "calls_fail", 1, None),
    ],
)
def test_calls_fail_until_the_next_success(
    tmp_path: Path, moment: Time, events: str, standing: str, since: int | None, used: int | None
) -> None:
    """A refused test or a newer failure makes it; an answered test or a new sign-in ends it."""
    console = Console({"a": True})
    replies = {
        "answered": httpx.Response(200, json={"data": []}),
        "refused": httpx.Response(400, json={"Message": EXPIRED}),
        "forbidden": httpx.Response(403, json={"Message": EXPIRED}),
        "denied": httpx.Response(401, json={"Message": "Authorization has been denied."}),
        "blocked": httpx.Response(403, json={"Message": "Unknown client IP Address"}),
        "broken": httpx.Response(500, json={"Message": EXPIRED}),
    }
    began = moment.now()
    event = ""

    def respond(request: httpx.Request) -> httpx.Response | None:
        if "/methods/" in request.url.path:
            return replies[event]
        if request.url.path.endswith("/methods"):
            rows = [{"Name": "List My Permissions", "MethodUniqueIdentifier": "m"}]
            return httpx.Response(200, json=rows)
        return None

    console.faults["a"] = respond
    for number, event in enumerate(events.split()):
        moment.seconds = number * 3600.0
        run = console_run(console, tmp_path, moment.monotonic, RUNBOOK_CYCLR_REQUESTS_A_SECOND=50)
        run.journal.clock = moment.now
        asked = ConsoleAccounts(run, sleep=lambda _: None, monotonic=moment.monotonic)
        if event in replies:
            CustomerCalls(asked).test_call("a")
            continue
        lines: list[dict[str, str]] = []
        if event.startswith("log"):
            at = began + timedelta(hours=number + float(event[3:].replace("?", "") or 0))
            time = "" if "?" in event else at.isoformat()
            lines = [{"AccountId": "a", "Timestamp": time, "Message": EXPIRED, "Detail": ""}]
        else:
            console.accounts = {"a": {"in": True, "out": False, "gone": None}[event]}
        failures = read_failures(json.dumps(lines).encode(), run.procedure)
        seen = asked.survey(failures.items)

    def hour(of: str) -> int | None:
        return round((datetime.fromisoformat(of) - began).total_seconds() / 3600) if of else None

    account = seen.accounts["a"]
    assert (seen.standing(account), hour(account.used_on)) == (standing, used)
    known = CustomerList(tenant="acme", procedure=run.procedure, accounts=[account])
    rows = [row for row in customer_rows(known, moment.now()) if row.state == "calls fail"]
    assert [hour(row.since) for row in rows] == ([since] if standing == "calls_fail" else [])
    for row in rows:
        assert any(fact.startswith(wording("connections.token-has-ended")) for fact in row.facts)
        assert row.advice.startswith(wording("walkthrough.sign-in-again"))


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ("free", "two calls to Cyclr."),
        ("busy", wording("connections.not-kept-busy")),
        ("foreign", wording("connections.not-kept-other-console")),
    ],
)
def test_a_test_whose_result_is_not_kept_says_so(
    survey: TakeSurvey, tmp_path: Path, state: str, message: str
) -> None:
    """While another process asks, or if the rows are another console's; its result is shown."""
    console = Console({"a": True})
    survey(console, **({"RUNBOOK_CYCLR_CLIENT_ID": "other"} if state == "foreign" else {}))
    console.faults["a"] = lambda request: (
        httpx.Response(200, json=[{"Name": "List My Permissions", "MethodUniqueIdentifier": "m"}])
        if "/methods" in request.url.path
        else None
    )
    lock = FileLock(tmp_path / "acme" / "facebook_marketing" / "connections.lock")
    with lock if state == "busy" else nullcontext():
        asked = ConsoleAccounts(console_run(console, tmp_path))
        result = CustomerCalls(asked).test_call("a")

    assert result["answered"] is True
    assert result["lines"][-1].endswith(message)


def test_a_success_that_a_wrong_clock_kept_hides_no_failure() -> None:
    """A time later than now does not count; a failure in the future counts as one of now."""
    now = timestamp(NOON)
    ahead = timestamp(NOON + timedelta(days=400))
    line = {"AccountId": "a", "Timestamp": ahead, "Message": "Out of retries", "Detail": ""}
    procedure = find_procedure("facebook_marketing")
    failures = read_failures(json.dumps(line).encode(), procedure).items
    account = KnownAccount("a", "").with_success(ahead).with_failures(failures, now)

    assert account.failing
    assert (account.failing.since, account.used_on) == (now, "")


def test_odd_accounts_are_not_dropped_in_silence(survey: TakeSurvey) -> None:
    """An id that cannot be a header, or a name that is not a text, is said or left out."""
    console = Console({"a": True})
    console.faults["/v1.0/accounts"] = responds(
        200,
        [{"Id": "a", "Name": None}, {"Id": "b\r\nx: y"}, {"Id": 7}, {}],
        TOTAL_OF_ONE,
    )
    seen = survey(console)

    assert list(seen.accounts) == ["a"]
    assert seen.notes == [wording("connections.unusable-id")] * 3
