"""Requests on a Dask cluster, here in threads of this process, with runs that are not real."""

from __future__ import annotations

import gc
import socket
import sys
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from distributed import LocalCluster

from runbook_lib.engine import dask_pool, scheduler_address
from runbook_lib.engine.dask_pool import DaskPool
from runbook_lib.engine.pools import CompletedRequest
from runbook_lib.engine.process import ProcessRequest
from runbook_lib.engine.scheduler_address import check_greeting
from runbook_lib.errors import SettingsError
from tests.support.hostile_server import hostile_server
from tests.support.run_process import REQUEST
from tests.support.wording import refused, wording

pytestmark = pytest.mark.filterwarnings("default")
_PATIENCE_SECONDS = 240
LOOPBACK: dict[str, Any] = {
    "host": "127.0.0.1",
    "protocol": "tcp",
    "dashboard_address": "127.0.0.1:0",
}


class Runs:
    """
    Stands for the interpreters on the cluster: those that run at a time, and their withheld
    variables.
    """

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.together: set[frozenset[str]] = set()
        self.running: set[str] = set()
        self.withheld: Collection[str] = ()
        self.meet = threading.Barrier(1)
        self.interrupted = threading.Event()

    def __call__(
        self,
        request: ProcessRequest,
        *,
        seconds: float,
        withheld: Collection[str],
        running: set[Any],
    ) -> Mapping[str, Any]:
        """Note the run, and finish."""
        self.withheld = withheld
        self.seen.append(request.tenant)
        self.running.add(request.tenant)
        running.add(self)
        if request.tenant == "stuck":
            self.interrupted.wait(_PATIENCE_SECONDS)
        else:
            self.meet.wait(_PATIENCE_SECONDS)
        self.together.add(frozenset(self.running))
        self.running.discard(request.tenant)
        running.discard(self)
        if request.tenant == "broken":
            raise ZeroDivisionError
        return {"event": "finished", "message": f"{seconds:g}", "next_step": ""}

    def terminate(self) -> None:
        """Note it."""
        self.interrupted.set()


@pytest.fixture(scope="module", autouse=True)
def _collected_here() -> Iterator[None]:
    """Let the sockets that Dask left open be collected where their warnings are no errors."""
    yield
    for thread in threading.enumerate():
        if thread.name == "dask":
            thread.join(_PATIENCE_SECONDS)
    gc.collect()


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """
    Give the address of a cluster of two workers with a thread each.

    NOTE: it adds its own folders to `sys.path`, and leaves them there.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [*sys.path])
        with LocalCluster(
            n_workers=2, threads_per_worker=1, processes=False, **LOOPBACK
        ) as cluster:
            yield cluster.scheduler_address


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Runs:
    fake = Runs()
    monkeypatch.setattr(dask_pool, "run_apart", fake)
    return fake


def request_of(name: str, **more: Any) -> ProcessRequest:
    """Return the request of a tenant."""
    return replace(REQUEST, tenant=name, secrets={}, **more)


def pool_of(address: str, folder: Path) -> DaskPool:
    """Return a pool whose fleet's notes are in `folder`."""
    (folder / "unsealed.json").write_text("{}")
    return DaskPool(address, {"B", "A"}, 7, folder)


perform_on_worker = dask_pool.perform_on_worker


def twice(*task: Any) -> CompletedRequest:
    """Perform a task again, as where its worker was lost; the cluster finds this by its name."""
    perform_on_worker(*task)
    return perform_on_worker(*task)


def event_of(done: CompletedRequest) -> tuple[str, str, str]:
    """Return tenant, kind and text of an event."""
    return done.request.tenant, done.event["event"], done.event["message"]


def test_each_request_is_run_and_groups_stay_together(
    address: str, runs: Runs, tmp_path: Path
) -> None:
    """Two groups run at a time; a defect is that tenant's result; nothing of a fleet is left."""
    (tmp_path / "begun-0badcafe").mkdir()
    runs.meet = threading.Barrier(2)
    groups = [[request_of("broken"), request_of("b")], [request_of("c"), request_of("d")]]
    done = sorted(event_of(done_request) for done_request in pool_of(address, tmp_path).run(groups))

    broke = ("broken", "refused", wording("screens.runbook-broke", error="ZeroDivisionError"))
    assert done == sorted([broke, *((name, "finished", "7") for name in "bcd")])
    assert not runs.together & {frozenset(["broken", "b"]), frozenset("cd")}
    assert max(map(len, runs.together)) == 2
    assert set(runs.withheld) == {"A", "B"}
    assert [path.name for path in tmp_path.iterdir()] == ["unsealed.json"]


def test_a_worker_that_does_not_see_the_folder_says_so(
    address: str, runs: Runs, tmp_path: Path
) -> None:
    """Without the fleet's notes where the worker looks, nothing runs there."""
    pool = pool_of(address, tmp_path)
    (tmp_path / "unsealed.json").unlink()
    (done,) = pool.run([[request_of("a")]])

    assert wording("fleet.folder-not-found", path=tmp_path) in done.event["message"]
    assert wording("fleet.same-evidence-folder") in done.event["next_step"]
    assert runs.seen == []


def test_runs_with_side_effects_are_not_repeated_automatically(
    address: str, runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    After the loss of a worker the scheduler tries again: only runs without side effects run again.
    """
    pool = pool_of(address, tmp_path)
    monkeypatch.setattr(dask_pool, "perform_on_worker", twice)
    groups = [[request_of("once", is_once=True), request_of("again")]]
    done = {done_request.request.tenant: done_request.event for done_request in pool.run(groups)}

    assert runs.seen == ["once", "again", "again"]
    assert wording("fleet.not-run-again") in done["once"]["message"]
    assert "--resume" in done["once"]["next_step"]
    assert done["again"]["event"] == "finished"


def test_stopping_interrupts_what_runs(address: str, runs: Runs, tmp_path: Path) -> None:
    """`stop` interrupts what runs of this fleet, not of another; what waited is not begun."""
    pool, other = (pool_of(address, tmp_path) for _ in range(2))
    results = pool.run([[request_of("a"), request_of("stuck"), request_of("later")]])
    assert event_of(next(results))[0] == "a"
    while "stuck" not in runs.running:
        assert not runs.interrupted.wait(0.01)

    assert list(other.stop()) == []
    assert not runs.interrupted.is_set()
    assert list(pool.stop()) == []
    assert runs.interrupted.is_set()
    assert runs.seen == ["a", "stuck"]


def test_another_version_on_the_cluster_is_refused(
    address: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A worker with other connectors, or one that cannot say, is named; nothing is begun."""
    answers = iter([[("facebook_marketing", "1")], [("facebook_marketing", "2")]])
    monkeypatch.setattr(dask_pool, "connector_versions", lambda: next(answers, None))

    with refused(SettingsError, "other-version") as caught:
        pool_of(address, tmp_path)
    assert wording("fleet.install-this-version") in caught.value.diagnostics()


def test_a_cluster_without_workers_is_given_up(
    runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If no worker is left for too long the rest is not run, and says so."""
    monkeypatch.setattr(dask_pool, "_LOOK_SECONDS", 0.1)
    monkeypatch.setattr(dask_pool, "_WITHOUT_SECONDS", 0.5)
    with LocalCluster(n_workers=1, threads_per_worker=1, processes=False, **LOOPBACK) as cluster:
        pool = pool_of(cluster.scheduler_address, tmp_path)
        cluster.scale(0)
        done = [
            event_of(done_request)
            for done_request in pool.run([[request_of("a"), request_of("b")], [request_of("c")]])
        ]

    assert sorted((name, event) for name, event, _ in done) == [(name, "refused") for name in "abc"]
    assert {text for _, _, text in done} == {wording("fleet.connection-lost")}


def test_a_schedulers_greeting_is_known(address: str) -> None:
    """Dask's own greeting passes, before anything of Dask is loaded."""
    with pytest.MonkeyPatch.context() as patch:
        # An address without a greeting would be asked, and refused.
        patch.setattr(scheduler_address, "_ANSWER_SECONDS", 20)
        patch.setattr(scheduler_address, "_UNASKED_SECONDS", 20)
        check_greeting(address)


@contextmanager
def automatic() -> Iterator[str]:
    """Give the address of a server that speaks HTTP before it is asked."""

    def at_once(listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                with listener.accept()[0] as connection:
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                    connection.recv(65_536)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=at_once, args=(listener,), daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(
    ("protocol", "server"),
    [
        ("ws", partial(hostile_server, "429")),
        ("tcp", partial(hostile_server, "silence")),
        ("tcp", automatic),
    ],
    ids=["another server", "silence", "automatic"],
)
def test_another_server_than_a_scheduler_is_refused(
    protocol: str,
    server: Callable[[], AbstractContextManager[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """
    An answer that Dask cannot read, or none, is refused in a bounded time, without a traceback.
    """
    assert dask_pool._CONNECT_SECONDS + dask_pool._LAST_SECONDS + dask_pool._ANSWER_SECONDS < 60
    monkeypatch.setattr(dask_pool, "_CONNECT_SECONDS", 0.5)
    with server() as url:
        address = f"{protocol}://{url.partition('://')[2]}"
        with refused(SettingsError, "no-scheduler-answers", address=address):
            pool_of(address, tmp_path)
    gc.collect()
    assert "Traceback" not in capfd.readouterr().err


def test_a_scheduler_that_falls_silent_ends_the_fleet(
    address: str, runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When it answers no more, the rest is not run, and says so; earlier results count."""
    assert dask_pool._LOOK_SECONDS + dask_pool._ANSWER_SECONDS + dask_pool._LAST_SECONDS < 60
    monkeypatch.setattr(dask_pool, "_LOOK_SECONDS", 0.1)
    pool = pool_of(address, tmp_path)
    results = pool.run([[request_of("a"), request_of("stuck"), request_of("later")]])
    first = next(results)
    monkeypatch.setattr(dask_pool, "_ANSWER_SECONDS", 0.3)
    monkeypatch.setattr(dask_pool, "_LAST_SECONDS", 0.3)
    monkeypatch.setattr(pool._client, "scheduler_info", lambda: runs.interrupted.wait(30))
    left = [event_of(done_request) for done_request in results]
    runs.interrupted.set()
    monkeypatch.undo()
    pool._close()

    assert event_of(first) == ("a", "finished", "7")
    assert [done_request[:2] for done_request in left] == [
        ("stuck", "refused"),
        ("later", "refused"),
    ]


def test_an_interruption_does_not_wait_for_a_silent_scheduler(
    address: str, runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`stop` gives a scheduler that does not answer a moment, and no more."""
    pool = pool_of(address, tmp_path)
    results = pool.run([[request_of("a"), request_of("stuck")]])
    next(results)
    with monkeypatch.context() as patch:
        patch.setattr(dask_pool, "_LAST_SECONDS", 0.3)
        answered = threading.Event()
        given_up = list[bool]()
        patch.setattr(pool._client, "scheduler_info", lambda: given_up.append(answered.wait(60)))
        assert list(pool.stop()) == []
        assert given_up == [], "it waited for the answer"
    answered.set()
    runs.interrupted.set()
    pool._close()
