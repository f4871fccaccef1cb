"""Rate limits: short waits are waited, long ones are errors, and cool-downs are shared."""

from __future__ import annotations

import gc
import json
import logging
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook_lib.core.redaction import Redactor
from runbook_lib.errors import ThrottledError
from runbook_lib.remote.check_session import Session
from runbook_lib.remote.client import HTTPClient
from runbook_lib.remote.http_messages import Request
from runbook_lib.remote.limits import Deadline
from runbook_lib.remote.rate_limits import (
    CoolDown,
    CoolDowns,
    SharedCoolDowns,
    duration,
    retry_after,
)
from tests.support.hostile_server import hostile_server, whole
from tests.support.wording import refused, wording
from tests.unit.fake_remote import FakeRemote, open_session, responds

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
URL = "https://graph.example/v26.0/me"
PATH = "/v26.0/me"


class Clock:
    """A clock that advances with `sleep` only."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        """Read the clock."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Advance the clock."""
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def open_at(remote: FakeRemote, clock: Clock, shared: CoolDowns) -> Session:
    return open_session(remote, clock=clock, sleep=clock.sleep, cool_downs=shared)


def get(app: str = "", url: str = URL) -> Request:
    return Request(method="GET", url=url, app=app)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120),
        (" 7 ", 7),
        ("0", 0),
        ("999999999", 86_400),
        ("Tue, 24 Nov 2026 12:01:30 GMT", 90),
        ("Tue, 24 Nov 2026 12:01:30", 90),
        ("Tuesday, 24-Nov-26 12:01:30 GMT", 90),
        ("Tue, 24 Nov 2026 11:00:00 GMT", 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 86_400),
        ("", None),
        ("-5", None),
        ("NaN", None),
        ("inf", None),
        ("1e3", None),
        ("1.5", None),
        ("٣", None),
        ("9" * 400, None),
        ("soon", None),
        ("Fri, 99 Foo 99999 99:99:99 XYZ", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str, seconds: float | None) -> None:
    """
    `Retry-After` is a number of seconds or a date (RFC 9110 §10.2.3), a day at most.

    Anything else is ignored.
    """
    assert retry_after(value, NOW) == seconds


@given(st.text())
def test_any_retry_after_is_read_without_an_error(value: str) -> None:
    """Any text gives a number of seconds up to a day, or `None`."""
    seconds = retry_after(value, NOW)

    assert seconds is None or 0 <= seconds <= 86_400


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.2, "1 s"), (45, "45 s"), (90, "2 min"), (3600, "60 min")]
)
def test_a_duration_is_shown_in_a_readable_unit(seconds: float, said: str) -> None:
    """A duration is shown in seconds, minutes or hours, and never as 0."""
    assert duration(seconds) == said
    assert duration(86_400) == "24 h"


def test_a_short_wait_is_waited(remote: FakeRemote, clock: Clock) -> None:
    """If a limit ends within seconds, the request is sent again after that time."""
    remote.on(PATH, responds({}, 429, {"retry-after": "3"}), responds({"id": "1"}))

    response = open_at(remote, clock, CoolDowns()).send(get("1"))

    assert response.json() == {"id": "1"}
    assert sum(clock.slept) == pytest.approx(3, abs=0.1)


@pytest.mark.parametrize("status", [429, 503, 500])
def test_a_long_wait_becomes_a_cool_down(remote: FakeRemote, clock: Clock, status: int) -> None:
    """A longer wait is an error that says how long; until then, nothing is sent."""
    remote.on(PATH, responds({}, status, {"retry-after": "3600"}), responds({"id": "1"}))
    session = open_at(remote, clock, CoolDowns())

    for left in ("60 min", "30 min"):
        with refused(ThrottledError, "wait", wait=left) as caught:
            session.send(get("1"))
        assert f"({status})" in str(caught.value)
        clock.now += 1800

    assert clock.slept == []
    assert len(remote.requests) == 1
    assert session.send(get("1")).json() == {"id": "1"}


def test_a_limit_without_retry_after_lasts_a_minute(remote: FakeRemote, clock: Clock) -> None:
    """Status 429 without `Retry-After` (RFC 6585 §4) starts a cool-down of a minute."""
    remote.on(PATH, responds({}, 429), responds({}))
    session = open_at(remote, clock, CoolDowns())

    with refused(ThrottledError, "wait", wait="1 min"):
        session.send(get())
    clock.now += 61

    assert session.send(get()).status == 200


def test_a_post_is_not_repeated_and_the_next_request_waits(
    remote: FakeRemote, clock: Clock
) -> None:
    """A POST with status 429 is not sent again; the next request waits for the limit."""
    remote.on(PATH, responds({}, 429, {"retry-after": "5"}), responds({}))
    session = open_at(remote, clock, CoolDowns())

    with pytest.raises(ThrottledError):
        session.send(Request(method="POST", url=URL, form={"a": "1"}))
    assert clock.slept == []
    session.send(get())

    assert clock.slept == [pytest.approx(5, abs=0.1)]


def test_a_cool_down_is_shared_by_the_clients_of_a_process(
    remote: FakeRemote, clock: Clock
) -> None:
    """A cool-down applies to all transports of a process with the same App ID, host and port."""
    shared = CoolDowns()
    remote.on(PATH, responds({}, 429, {"retry-after": "600"}), responds({}))
    for _ in range(2):
        with pytest.raises(ThrottledError):
            open_at(remote, clock, shared).send(get("1"))

    for other in (
        get("2"),
        get("1", f"https://other.example{PATH}"),
        get("1", f"https://graph.example:8443{PATH}"),
    ):
        assert open_at(remote, clock, shared).send(other).status == 200


@pytest.mark.parametrize(("status", "app"), [(429, ""), (503, "1")])
def test_a_hosts_cool_down_applies_to_every_app(
    remote: FakeRemote, clock: Clock, status: int, app: str
) -> None:
    """Status 429 without an App ID, and status 503, start a cool-down of the host for every app."""
    shared = CoolDowns()
    remote.on(PATH, responds({}, status, {"retry-after": "600"}), responds({}))
    for asking in (app, "2"):
        with pytest.raises(ThrottledError):
            open_at(remote, clock, shared).send(get(asking))


def test_an_apps_usage_stops_that_app_only(remote: FakeRemote, clock: Clock) -> None:
    """Graph's usage headers start a cool-down of the app that sent the request only."""
    shared = CoolDowns()
    usage = {"x-app-usage": json.dumps({"call_count": 100})}
    remote.on(PATH, responds({}, 200, usage), responds({}))
    open_at(remote, clock, shared).send(get("1"))

    with refused(ThrottledError, "used-up", name="x-app-usage", wait="60 min"):
        open_at(remote, clock, shared).send(get("1"))
    assert open_at(remote, clock, shared).send(get("2")).status == 200


def test_clients_share_cool_downs_by_default() -> None:
    """By default, all transports of a process share the cool-downs."""
    one = HTTPClient(Redactor())
    other = HTTPClient(Redactor())
    one.close()
    other.close()

    assert one.cool_downs is other.cool_downs


def test_a_wait_beyond_the_steps_deadline_is_an_error(remote: FakeRemote, clock: Clock) -> None:
    """A wait that exceeds the step's deadline is an error at once."""
    remote.on(PATH, responds({}, 429, {"retry-after": "9"}))
    session = open_at(remote, clock, CoolDowns())
    session.set_step_deadline(Deadline(5, clock))

    with refused(ThrottledError, "wait", wait="9 s"):
        session.send(get())

    assert (clock.slept, len(remote.requests)) == ([], 1)


def test_there_is_no_retry_after_the_deadline(remote: FakeRemote, clock: Clock) -> None:
    """After the step's deadline there is no retry, and the last response is returned."""

    def slow(_: httpx.Request) -> httpx.Response:
        clock.now += 10
        return httpx.Response(503)

    remote.on(PATH, slow)
    session = open_at(remote, clock, CoolDowns())
    session.set_step_deadline(Deadline(5, clock))

    assert session.send(get()).status == 503
    assert len(remote.requests) == 1


def test_the_longest_cool_down_applies() -> None:
    """A shorter cool-down does not replace a longer one, and an ended one does not apply."""
    cooling = CoolDowns()
    cooling.start("h", "", CoolDown(100, "long"))
    cooling.start("h", "", CoolDown(50, "short"))
    cooling.start("h", "1", CoolDown(120, "app"))

    def reason(app: str, now: float) -> str | None:
        found = cooling.find("h", app, now)
        return found.reason if found else None

    assert [reason("", 60), reason("1", 60), reason("2", 60)] == ["long", "app", "long"]
    assert [reason("1", 110), reason("1", 130)] == ["app", None]


def resources() -> tuple[Any, ...]:
    """Return the log filters, the number of open files and the number of threads."""
    names = ("httpx", "httpcore.connection", "httpcore.http11", "httpcore.proxy")
    filters = [len(logging.getLogger(name).filters) for name in names]
    return filters, len(list(Path("/proc/self/fd").iterdir())), threading.active_count()


@pytest.mark.parametrize("is_closed", [True, False])
def test_clients_leave_nothing_behind(is_closed: bool) -> None:
    """
    The log filters of fifty transports are removed, whether they are closed or collected.

    Closed transports leave no sockets open.
    """
    gc.collect()  # what other tests forgot
    with hostile_server(whole(b"{}")) as url:
        before = resources()
        closed = list[HTTPClient]()
        for _ in range(50):
            client = HTTPClient(Redactor())
            Session(client).send(Request(method="GET", url=url))
            if is_closed:
                client.close()
                closed.append(client)  # it need not be collected
            del client
        after = resources()

    assert after[0] == before[0]
    assert after[1] <= before[1] + (2 if is_closed else 60)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cool-downs.json"


def cool_downs_in(path: Path, *, wall: float = 1_000.0, now: float = 5.0) -> SharedCoolDowns:
    return SharedCoolDowns(path, clock=lambda: now, wall=lambda: wall)


def test_a_cool_down_applies_to_other_processes(path: Path) -> None:
    """A process reads the cool-downs of another from the file, although their clocks differ."""
    first = cool_downs_in(path)
    second = cool_downs_in(path, wall=1_010.0, now=77.0)
    assert second.find("graph", "1", 77.0) is None

    reason = wording("rate-limited.limited", host="graph", status=429)
    first.start("graph", "1", CoolDown(65.0, reason))

    found = second.find("graph", "1", 77.0)
    assert found is not None
    assert found.seconds_left(77.0) == 50.0
    assert found.reason == reason
    assert second.find("graph", "2", 77.0) is None


def test_an_ended_cool_down_neither_applies_nor_stays_in_the_file(path: Path) -> None:
    """An ended cool-down does not apply and is removed at the next write."""
    cool_downs_in(path).start("graph", "1", CoolDown(65.0, "old"))
    later = cool_downs_in(path, wall=5_000.0)
    assert later.find("graph", "1", 5.0) is None

    later.start("graph", "2", CoolDown(65.0, "new"))

    assert [each["reason"] for each in json.loads(path.read_text())] == ["new"]


def test_processes_keep_each_others_cool_downs(path: Path) -> None:
    """A process that writes the file keeps the cool-downs of others."""
    first = cool_downs_in(path)
    second = cool_downs_in(path)
    first.start("graph", "1", CoolDown(65.0, "one"))
    second.start("graph", "2", CoolDown(65.0, "two"))

    assert {each["reason"] for each in json.loads(path.read_text())} == {"one", "two"}


@pytest.mark.parametrize(
    "content",
    ["", "{}", "[[]]", "[" * 9_999, '[{"ends": "x"}]', '[{"ends": 1e999, "host": "g", "app": "1"}]',
     '[{"ends": 99999999999, "host": "graph", "app": "1", "reason": "for ever"}]', "9" * 99_999],
    ids=range(8),
)  # fmt: skip
def test_a_damaged_file_means_a_day_at_most(path: Path, content: str) -> None:
    """A damaged file gives no cool-down, or one of a day at most."""
    path.write_text(content)
    found = cool_downs_in(path).find("graph", "1", 5.0)
    assert found is None or found.seconds_left(5.0) <= 86_400


def test_a_cool_down_applies_even_if_it_cannot_be_written(path: Path) -> None:
    """If the file cannot be written, the cool-down still applies to this process."""
    path.mkdir()
    cool_downs = cool_downs_in(path)
    cool_downs.start("graph", "1", CoolDown(65.0, "one"))
    assert cool_downs.find("graph", "1", 5.0) is not None
