"""What a remote system asks to wait is waited or said, within bounds, by who shares the limit."""

from __future__ import annotations

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
from runbook_lib.remote.limits import Deadline
from runbook_lib.remote.rate_limits import (
    CoolDown,
    CoolDowns,
    KeptCoolDowns,
    duration,
    retry_after,
)
from runbook_lib.remote.transport import Request, Session, Transport
from tests.support.hostile_server import hostile_server, whole
from tests.unit.fake_remote import FakeRemote, says

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
URL = "https://graph.example/v26.0/me"
PATH = "/v26.0/me"


class Clock:
    """Seconds that pass where somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        """Read the clock."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def remote() -> FakeRemote:
    return FakeRemote()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def opened(remote: FakeRemote, clock: Clock, shared: CoolDowns) -> Session:
    transport = Transport(
        Redactor(), wire=remote, clock=clock, sleep=clock.sleep, cool_downs=shared
    )
    return transport.session()


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
    """RFC 9110 §10.2.3, a day at most; anything else says nothing."""

    assert retry_after(value, NOW) == seconds


@given(st.text())
def test_no_retry_after_breaks_anything(value: str) -> None:
    """Whatever stands there: a number of seconds within a day, or nothing."""

    seconds = retry_after(value, NOW)

    assert seconds is None or 0 <= seconds <= 86_400


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.2, "1 s"), (45, "45 s"), (90, "2 min"), (3600, "60 min")]
)
def test_a_duration_is_said_as_people_say_it(seconds: float, said: str) -> None:
    """No wait of 0, and no thousands of seconds."""

    assert duration(seconds) == said
    assert duration(86_400) == "24 h"


def test_a_short_wait_is_waited(remote: FakeRemote, clock: Clock) -> None:
    """A limit that ends in seconds costs seconds, not the check."""

    remote.on(PATH, says({}, 429, {"retry-after": "3"}), says({"id": "1"}))

    answer = opened(remote, clock, CoolDowns()).send(get("1"))

    assert answer.document() == {"id": "1"}
    assert sum(clock.slept) == pytest.approx(3, abs=0.1)


@pytest.mark.parametrize("status", [429, 503, 500])
def test_a_long_wait_becomes_a_cool_down(remote: FakeRemote, clock: Clock, status: int) -> None:
    """Nobody sits there for an hour: the reason says how long, and nothing is sent meanwhile."""

    remote.on(PATH, says({}, status, {"retry-after": "3600"}), says({"id": "1"}))
    session = opened(remote, clock, CoolDowns())

    for left in ("60 min", "30 min"):
        with pytest.raises(ThrottledError, match=f"{status}.*wait about {left}"):
            session.send(get("1"))
        clock.now += 1800

    assert clock.slept == []
    assert len(remote.requests) == 1
    assert session.send(get("1")).document() == {"id": "1"}


def test_a_limit_that_does_not_say_how_long_is_left_alone_for_a_minute(
    remote: FakeRemote, clock: Clock
) -> None:
    """429 without a word (RFC 6585 §4) is obeyed all the same."""

    remote.on(PATH, says({}, 429), says({}))
    session = opened(remote, clock, CoolDowns())

    with pytest.raises(ThrottledError, match="wait about 1 min"):
        session.send(get())
    clock.now += 61

    assert session.send(get()).status == 200


def test_a_post_is_not_repeated_but_others_wait(remote: FakeRemote, clock: Clock) -> None:
    """What may have had its effect is sent once; the limit holds for the next request."""

    remote.on(PATH, says({}, 429, {"retry-after": "5"}), says({}))
    session = opened(remote, clock, CoolDowns())

    with pytest.raises(ThrottledError):
        session.send(Request(method="POST", url=URL, form={"a": "1"}))
    assert clock.slept == []
    session.send(get())

    assert clock.slept == [pytest.approx(5, abs=0.1)]


def test_a_cool_down_is_shared_by_the_transports_of_a_process(
    remote: FakeRemote, clock: Clock
) -> None:
    """Another run of the same App ID does not ask either; another App ID does."""

    shared = CoolDowns()
    remote.on(PATH, says({}, 429, {"retry-after": "600"}), says({}))
    with pytest.raises(ThrottledError):
        opened(remote, clock, shared).send(get("1"))

    with pytest.raises(ThrottledError):
        opened(remote, clock, shared).send(get("1"))
    assert opened(remote, clock, shared).send(get("2")).status == 200
    assert (
        opened(remote, clock, shared).send(get("1", f"https://other.example{PATH}")).status == 200
    )
    assert opened(remote, clock, shared).send(get("1", f"https://graph.example:8443{PATH}"))


@pytest.mark.parametrize("status", [429, 503])
def test_a_host_that_cools_down_does_so_for_everybody(
    remote: FakeRemote, clock: Clock, status: int
) -> None:
    """A limit of no app's, or a server out of order, is everybody's."""

    shared = CoolDowns()
    remote.on(PATH, says({}, status, {"retry-after": "600"}), says({}))
    app = "" if status == 429 else "1"
    with pytest.raises(ThrottledError):
        opened(remote, clock, shared).send(get(app))

    with pytest.raises(ThrottledError):
        opened(remote, clock, shared).send(get("2"))


def test_the_usage_of_an_app_is_that_apps(remote: FakeRemote, clock: Clock) -> None:
    """Graph's usage headers are about the app that asked (Graph API: Rate Limits)."""

    shared = CoolDowns()
    usage = {"x-app-usage": json.dumps({"call_count": 100})}
    remote.on(PATH, says({}, 200, usage), says({}))
    opened(remote, clock, shared).send(get("1"))

    with pytest.raises(ThrottledError, match="x-app-usage as used up: wait about 60 min"):
        opened(remote, clock, shared).send(get("1"))
    assert opened(remote, clock, shared).send(get("2")).status == 200


def test_transports_share_the_cool_downs_of_the_process_unless_told_otherwise() -> None:
    """One registry a process."""

    one, other = Transport(Redactor()), Transport(Redactor())
    one.close()
    other.close()

    assert one.cool_downs is other.cool_downs


def test_a_wait_ends_with_the_step(remote: FakeRemote, clock: Clock) -> None:
    """What the step has no time for is not waited, but said."""

    remote.on(PATH, says({}, 429, {"retry-after": "9"}))
    session = opened(remote, clock, CoolDowns())
    session.end_by(Deadline(5, clock))

    with pytest.raises(ThrottledError, match="wait about 9 s"):
        session.send(get())

    assert (clock.slept, len(remote.requests)) == ([], 1)


def test_a_retry_is_not_begun_when_the_time_is_gone(remote: FakeRemote, clock: Clock) -> None:
    """The last answer counts, as it does after three attempts."""

    def slow(_: httpx.Request) -> httpx.Response:
        clock.now += 10
        return httpx.Response(503)

    remote.on(PATH, slow)
    session = opened(remote, clock, CoolDowns())
    session.end_by(Deadline(5, clock))

    assert session.send(get()).status == 503
    assert len(remote.requests) == 1


def test_a_shorter_cool_down_ends_none_that_is_longer() -> None:
    """Whoever asked first for longer is obeyed; what ended is forgotten."""

    cooling = CoolDowns()
    cooling.begin("h", "", CoolDown(100, "long"))
    cooling.begin("h", "", CoolDown(50, "short"))
    cooling.begin("h", "1", CoolDown(120, "app"))

    def reason(app: str, now: float) -> str | None:
        found = cooling.find("h", app, now)
        return found.reason if found else None

    assert [reason("", 60), reason("1", 60), reason("2", 60)] == ["long", "app", "long"]
    assert [reason("1", 110), reason("1", 130)] == ["app", None]


def resources() -> tuple[Any, ...]:
    """Return what transports must leave as they found it."""
    names = ("httpx", "httpcore.connection", "httpcore.http11", "httpcore.proxy")
    filters = [len(logging.getLogger(name).filters) for name in names]
    return filters, len(list(Path("/proc/self/fd").iterdir())), threading.active_count()


@pytest.mark.parametrize("is_closed", [True, False])
def test_transports_leave_nothing_behind(is_closed: bool) -> None:
    """Filters, sockets and threads of fifty transports go with them, closed or forgotten."""

    with hostile_server(whole(b"{}")) as url:
        before = resources()
        for _ in range(50):
            transport = Transport(Redactor())
            transport.session().send(Request(method="GET", url=url))
            if is_closed:
                transport.close()
            assert transport.is_closed is is_closed
            del transport
        after = resources()

    assert after[0] == before[0]
    assert after[1] <= before[1] + (2 if is_closed else 60)


def kept(path: Path, *, wall: float = 1_000.0, now: float = 5.0) -> KeptCoolDowns:
    return KeptCoolDowns(path, clock=lambda: now, wall=lambda: wall)


def test_another_process_obeys_a_cool_down_too(tmp_path: Path) -> None:
    """What one kernel was told, the next one, with a clock of its own, need not ask again."""

    path = tmp_path / "cool-downs.json"
    first, second = kept(path), kept(path, wall=1_010.0, now=77.0)
    assert second.find("graph", "1", 77.0) is None

    first.begin("graph", "1", CoolDown(65.0, "graph limits the number of calls (429)"))

    found = second.find("graph", "1", 77.0)
    assert found is not None
    assert found.seconds(77.0) == 50.0
    assert found.reason == "graph limits the number of calls (429)"
    assert second.find("graph", "2", 77.0) is None


def test_what_has_ended_is_neither_kept_nor_obeyed(tmp_path: Path) -> None:
    """The file does not grow, and nobody waits for yesterday's limit."""

    path = tmp_path / "cool-downs.json"
    kept(path).begin("graph", "1", CoolDown(65.0, "old"))
    later = kept(path, wall=5_000.0)
    assert later.find("graph", "1", 5.0) is None

    later.begin("graph", "2", CoolDown(65.0, "new"))

    assert [each["reason"] for each in json.loads(path.read_text())] == ["new"]


def test_cool_downs_of_several_processes_come_together(tmp_path: Path) -> None:
    """Neither writes over what the other was told."""

    path = tmp_path / "cool-downs.json"
    first, second = kept(path), kept(path)
    first.begin("graph", "1", CoolDown(65.0, "one"))
    second.begin("graph", "2", CoolDown(65.0, "two"))

    assert {each["reason"] for each in json.loads(path.read_text())} == {"one", "two"}


@pytest.mark.parametrize(
    "content",
    ["", "{}", "[[]]", "[" * 9_999, '[{"ends": "x"}]', '[{"ends": 1e999, "host": "g", "app": "1"}]',
     '[{"ends": 99999999999, "host": "graph", "app": "1", "reason": "for ever"}]', "9" * 99_999],
    ids=range(8),
)  # fmt: skip
def test_a_damaged_file_keeps_nobody_waiting_for_ever(tmp_path: Path, content: str) -> None:
    """It holds nothing, or a day at most."""

    path = tmp_path / "cool-downs.json"
    path.write_text(content)
    found = kept(path).find("graph", "1", 5.0)
    assert found is None or found.seconds(5.0) <= 86_400


def test_where_nothing_can_be_written_the_process_still_obeys(tmp_path: Path) -> None:
    """A full disk, or a folder in its place, is no reason to ask again."""

    path = tmp_path / "cool-downs.json"
    path.mkdir()
    cool_downs = kept(path)
    cool_downs.begin("graph", "1", CoolDown(65.0, "one"))
    assert cool_downs.find("graph", "1", 5.0) is not None
