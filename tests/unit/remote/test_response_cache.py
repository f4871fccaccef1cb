"""The cache sends equal requests once, also concurrent ones, and stores no faults."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from runbook_lib.errors import RemoteError, ThrottledError, UnreachableError
from runbook_lib.remote import response_cache
from runbook_lib.remote.check_session import Session
from runbook_lib.remote.http_messages import Request
from runbook_lib.remote.limits import Deadline, Limits
from runbook_lib.remote.response_cache import ResponseCache
from runbook_lib.remote.threads import run_in_thread
from tests.support.wording import refused, wording
from tests.unit.fake_remote import FakeRemote, fails_with, open_session, responds

URL = "https://api.example/x"
GET = Request(method="GET", url=URL)


class BlockingRemote(FakeRemote):
    """
    A remote system that responds once it is released, and counts concurrent requests.

    `arrived` is set when `at_once` requests wait for their response.
    """

    def __init__(self, at_once: int = 1) -> None:
        super().__init__()
        self.at_once = at_once
        self.released = threading.Event()
        self.arrived = threading.Event()
        self.most = 0
        self._now = 0
        self._lock = threading.Lock()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Respond in place of the network."""
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
            if self._now == self.at_once:
                self.arrived.set()
        self.released.wait(30)
        with self._lock:
            self._now -= 1
            return super().handle_request(request)


def outcome_of(ask: Callable[[], object]) -> object:
    """Return the response of `ask`, or the error that it raises."""
    try:
        return ask()
    except RemoteError as error:
        return error


@pytest.fixture
def waiting(monkeypatch: pytest.MonkeyPatch) -> threading.Semaphore:
    """Return a semaphore that each caller releases before it waits for a shared response."""
    begun = threading.Semaphore(0)

    class ObservedFuture(Future[Any]):
        def result(self, timeout: float | None = None) -> Any:
            """Report the caller, and wait."""
            begun.release()
            return super().result(timeout)

    monkeypatch.setattr(response_cache, "Future", ObservedFuture)
    return begun


def send_concurrently(
    session: Session,
    requests: list[Request],
    held: BlockingRemote,
    waiting: threading.Semaphore | None = None,
) -> list[object]:
    """
    Send each request in a thread of its own; return the responses or errors.

    The remote system responds once enough requests have arrived. With `waiting` all but the
    first caller then wait for the response to that one.
    """
    branches = [session.branch() for _ in requests]
    running = [
        run_in_thread(lambda b=branch, r=request: outcome_of(lambda: b.get(r)), "ask")  # type: ignore[misc]
        for branch, request in zip(branches, requests, strict=True)
    ]
    assert held.arrived.wait(30)
    if waiting is not None:
        for _ in requests[1:]:
            assert waiting.acquire(timeout=30)
    held.released.set()
    return [future.result(30) for future in running]


def test_concurrent_identical_requests_share_one_response(waiting: threading.Semaphore) -> None:
    """Ten concurrent callers of the same request share one response and one exchange."""
    remote = BlockingRemote()
    remote.on("/x", responds({"id": "1"}))
    session = open_session(remote)

    responses = send_concurrently(session, [GET] * 10, remote, waiting)

    assert len(remote.requests) == 1
    assert len({id(response) for response in responses}) == 1
    assert len(session.recorded_exchanges()) == 1


@pytest.mark.parametrize("status", [200, 302, 400, 401, 404])
def test_a_response_is_cached_for_the_snapshot(remote: FakeRemote, status: int) -> None:
    """A refusal is cached too; another snapshot sends the request again."""
    remote.on("/x", responds("", status))
    session = open_session(remote)

    assert session.get(GET) is session.branch().get(GET)
    assert len(remote.requests) == 1

    Session(session.client).get(GET)
    assert len(remote.requests) == 2


def test_once_more_bypasses_the_cache_once(remote: FakeRemote) -> None:
    """Several branches with `once_more` share one more request; each one's record has it."""
    remote.on("/x", responds("", 200), responds("", 401))
    session = open_session(remote)

    assert session.get(GET).status == 200
    branches = [session.branch(once_more=True) for _ in range(3)]
    responses = [branch.get(GET).status for branch in [*branches, branches[0].branch()]]

    assert responses == [401] * 4
    assert session.get(GET).status == 200
    assert len(remote.requests) == 2
    assert [exchange.status for exchange in session.exchanges()] == [200, 401]


def test_a_fault_is_not_cached(remote: FakeRemote) -> None:
    """After a server error or a transient error the next caller sends the request again."""
    remote.on(
        "/x",
        *[responds("", 503)] * 3,
        responds("wait"),
        responds("wait"),
        responds("wait"),
        responds("now"),
    )
    session = open_session(remote)

    def ask() -> tuple[int, str]:
        response = session.branch().get(GET, is_transient=lambda response: response.text == "wait")
        return response.status, response.text

    assert [ask(), ask(), ask(), ask()] == [(503, ""), (200, "wait"), (200, "now"), (200, "now")]
    assert len(remote.requests) == 7


def test_a_missing_response_is_not_cached(waiting: threading.Semaphore) -> None:
    """After a connection error all waiting callers get it; a later caller sends again."""
    remote = BlockingRemote()
    remote.on("/x", *[fails_with()] * 3, responds("now"))
    now = [1000.0]
    session = open_session(remote, clock=lambda: now[0])

    errors = send_concurrently(session, [GET] * 3, remote, waiting)
    assert {type(error) for error in errors} == {UnreachableError}
    assert len(session.recorded_exchanges()) == 3

    now[0] += 60
    assert session.branch().get(GET).text == "now"


@pytest.mark.parametrize(
    "other",
    [
        Request(method="GET", url=f"{URL}?a=1"),
        Request(method="GET", url=URL, headers={"authorization": "Bearer other"}),
        Request(method="GET", url=URL, is_public_only=True),
        Request(method="POST", url=URL, form={"a": "1"}),
        Request(method="POST", url=URL, form={"a": "2"}),
    ],
    ids=["address", "header", "public", "form", "other form"],
)
def test_a_different_request_is_sent(remote: FakeRemote, other: Request) -> None:
    """A request with another header, form, URL or reach is not served from the cache."""
    remote.on("/x", responds("x"))
    session = open_session(remote, private_hosts=["api.example"])

    session.get(GET)
    session.get(Request(method="POST", url=URL, form={"a": "1", "b": "2"}))
    session.get(other)
    session.get(other)

    assert len(remote.requests) == 3


def test_six_requests_at_a_time_go_to_a_host() -> None:
    """Further requests wait for a free slot; another host has slots of its own."""
    remote = BlockingRemote(at_once=12)
    remote.on("/x", responds("x"))
    hosts = [f"https://{name}.example/x?n={n}" for name in ("a", "b") for n in range(20)]
    session = open_session(remote)

    responses = send_concurrently(
        session, [Request(method="GET", url=url) for url in hosts], remote
    )

    assert len(responses) == 40
    assert remote.most == 12


def test_a_retry_after_stops_waiting_requests() -> None:
    """After a refusal with Retry-After, nothing more goes to that host."""
    remote = BlockingRemote(at_once=6)
    remote.on("/x", responds("", 429, {"retry-after": "3600"}))
    session = open_session(remote)
    requests = [Request(method="GET", url=f"{URL}?n={n}", app="1") for n in range(30)]

    errors = send_concurrently(session, requests, remote)

    assert len(remote.requests) == 6
    assert {type(error) for error in errors} == {ThrottledError}


def test_each_waiting_caller_has_its_own_deadline() -> None:
    """A missing response delays no caller beyond the deadline of its own step."""
    remote = BlockingRemote()
    remote.on("/x", responds("late"))
    session = open_session(remote, limits=Limits(exchange_seconds=30))
    first = session.branch()
    second = session.branch()
    second.set_step_deadline(Deadline(0.2))
    late = run_in_thread(lambda: first.get(GET).text, "first")
    assert remote.arrived.wait(30)

    with refused(RemoteError, "step-took-too-long", seconds=0.2, host="api.example"):
        second.get(GET)

    remote.released.set()
    assert late.result(30) == "late"
    (unsent,) = second.exchanges()
    assert unsent.error.startswith(wording("messages.not-sent"))


def test_exchanges_are_in_the_order_of_the_branches(remote: FakeRemote) -> None:
    """The record does not depend on which of several threads came first."""
    remote.on("/x", responds("x"))
    session = open_session(remote)
    branches = [session.branch() for _ in range(3)]
    session.get(Request(method="GET", url=f"{URL}?n=last"))
    with ThreadPoolExecutor(3) as pool:
        for n in (2, 0, 1):
            pool.submit(branches[n].get, Request(method="GET", url=f"{URL}?n={n}")).result()

    assert [exchange.url[-5:] for exchange in session.exchanges()] == [
        "x?n=0",
        "x?n=1",
        "x?n=2",
        "=last"[-5:],
    ]


def test_a_change_clears_the_cache(remote: FakeRemote) -> None:
    """After a change of a remote system, no cached response counts."""
    remote.on("/x", responds("before"), responds("after"))
    session = open_session(remote)

    assert session.get(GET).text == "before"
    session.cache.clear()
    assert session.get(GET).text == "after"


def test_an_error_is_raised_in_all_waiting_callers() -> None:
    """A defect reaches all waiting callers too, and none waits forever."""
    look = ResponseCache()
    released = threading.Event()

    def ask() -> str:
        released.wait(30)
        raise ZeroDivisionError

    running = [run_in_thread(lambda: look.get_or_fetch("x", ask), "ask") for _ in range(4)]
    released.set()

    assert {type(future.exception(30)) for future in running} == {ZeroDivisionError}
    assert look.get_or_fetch("x", lambda: "again") == "again"
