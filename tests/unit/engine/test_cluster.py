"""Requests on a Dask cluster, here in threads of this process, with runs that are not real."""

from __future__ import annotations

import gc
import socket
import sys
import threading
from collections.abc import Callable, Collection, Generator, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from distributed import LocalCluster

from runbook_lib.engine import cluster, workers
from runbook_lib.engine.cluster import ClusterWorkers
from runbook_lib.engine.elsewhere import RunEnd, RunningProcesses, sendable
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
        document: Mapping[str, Any],
        _: Mapping[str, str],
        *,
        seconds: float,
        withheld: Collection[str],
        running: RunningProcesses,
    ) -> RunEnd:
        """Note the run, and finish."""
        self.withheld = withheld
        tenant = document["tenant"]
        self.seen.append(tenant)
        self.running.add(tenant)
        running.add(self)  # type: ignore[arg-type]
        if tenant == "stuck":
            self.interrupted.wait(_PATIENCE_SECONDS)
        else:
            self.meet.wait(_PATIENCE_SECONDS)
        self.together.add(frozenset(self.running))
        self.running.discard(tenant)
        running.discard(self)  # type: ignore[arg-type]
        if tenant == "broken":
            raise ZeroDivisionError
        return RunEnd(bundle=f"{seconds:g}")

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
    monkeypatch.setattr(cluster, "run_elsewhere", fake)
    return fake


def workers_of(address: str, folder: Path) -> ClusterWorkers:
    """Return the workers of a fleet whose notes are in `folder`."""
    (folder / "unsealed.json").write_text("{}")
    return ClusterWorkers(address, {"B", "A"}, 7, folder)


Ends = Generator[tuple[str, RunEnd]]


def ends(started: ClusterWorkers, *groups: str) -> Ends:
    """Run groups of tenants with a letter or more each; yield each with the end of its run."""
    asked = [
        [(sendable(replace(REQUEST, tenant=name)), ()) for name in group.split()]
        for group in groups
    ]
    try:
        for document, end in workers.run_all(asked, started):
            yield document["tenant"], end
    finally:
        started.stop()


run_on_worker = cluster.run_on_worker


def twice(*task: Any, **options: Any) -> RunEnd:
    """Perform a task again, as where its worker was lost; the cluster finds this by its name."""
    run_on_worker(*task, **options)
    return run_on_worker(*task, **options)


def test_each_request_is_run_and_groups_stay_together(
    address: str, runs: Runs, tmp_path: Path
) -> None:
    """Two groups run at a time; a defect is that tenant's result; nothing of a fleet is left."""
    (tmp_path / "begun-0badcafe").mkdir()
    runs.meet = threading.Barrier(2)
    done = dict(ends(workers_of(address, tmp_path), "broken b", "c d"))

    broke = wording("fleet.cluster-could-not-run", error="ZeroDivisionError")
    assert {name: end.bundle or end.message for name, end in done.items()} == {
        "broken": broke,
        **dict.fromkeys("bcd", "7"),
    }
    assert not runs.together & {frozenset(["broken", "b"]), frozenset("cd")}
    assert max(map(len, runs.together)) == 2
    assert set(runs.withheld) == {"A", "B"}
    assert [path.name for path in tmp_path.iterdir()] == ["unsealed.json"]


def test_a_worker_that_does_not_see_the_folder_says_so(
    address: str, runs: Runs, tmp_path: Path
) -> None:
    """Without the fleet's notes where the worker looks, nothing runs there."""
    started = workers_of(address, tmp_path)
    (tmp_path / "unsealed.json").unlink()
    ((_, end),) = ends(started, "a")

    assert wording("fleet.folder-not-found", path=tmp_path) in end.message
    assert wording("fleet.same-evidence-folder") in end.next_step
    assert runs.seen == []


def test_a_lost_workers_run_is_not_repeated_automatically(
    address: str, runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the loss of a worker the scheduler tries again: no tenant runs a second time."""
    monkeypatch.setattr(cluster, "run_on_worker", twice)
    ((_, end),) = ends(workers_of(address, tmp_path), "once")

    assert runs.seen == ["once"]
    assert wording("fleet.not-run-again") in end.message
    assert "--resume" in end.next_step


def test_stopping_interrupts_what_runs(address: str, runs: Runs, tmp_path: Path) -> None:
    """Stopping ends the runs of this fleet, not of another, and begins nothing else."""
    other = workers_of(address, tmp_path)
    results = ends(workers_of(address, tmp_path), "a stuck later")
    assert next(results)[0] == "a"
    while "stuck" not in runs.running:
        assert not runs.interrupted.wait(0.01)

    other.stop()
    assert not runs.interrupted.is_set()
    results.close()
    assert runs.interrupted.is_set()
    assert runs.seen == ["a", "stuck"]


def test_another_version_on_the_cluster_is_refused(
    address: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A worker with other connectors, or one that cannot say, is named; nothing is begun."""
    monkeypatch.setattr(
        cluster, "connector_versions", lambda: [("p", threading.current_thread().name == "dask")]
    )

    with refused(SettingsError, "other-version") as caught:
        workers_of(address, tmp_path)
    assert wording("fleet.install-this-version") in caught.value.diagnostics()


def test_a_cluster_without_workers_is_given_up(
    runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If no worker is left for too long the rest is not run, and says so."""
    monkeypatch.setattr(workers, "_LOOK_SECONDS", 0.1)
    monkeypatch.setattr(cluster, "_WITHOUT_SECONDS", 0.5)
    with LocalCluster(n_workers=1, threads_per_worker=1, processes=False, **LOOPBACK) as one:
        started = workers_of(one.scheduler_address, tmp_path)
        one.scale(0)
        done = dict(ends(started, "a b", "c"))

    assert {name: end.message for name, end in done.items()} == dict.fromkeys(
        "abc", wording("fleet.connection-lost")
    )


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
    assert cluster._CONNECT_SECONDS + cluster._ANSWER_SECONDS < 60
    monkeypatch.setattr(cluster, "_GREETING_SECONDS", 0.5)
    with server() as url:
        address = f"{protocol}://{url.partition('://')[2]}"
        with refused(SettingsError, "no-scheduler-answers", address=address):
            workers_of(address, tmp_path)
    gc.collect()
    assert "Traceback" not in capfd.readouterr().err


def test_a_scheduler_that_falls_silent_ends_the_fleet(
    address: str, runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When it answers no more, the rest is not run, and says so; earlier results count."""
    assert workers._LOOK_SECONDS + cluster._ANSWER_SECONDS + cluster._STOP_SECONDS < 60
    monkeypatch.setattr(workers, "_LOOK_SECONDS", 0.1)
    started = workers_of(address, tmp_path)
    results = ends(started, "a stuck later")
    first = next(results)
    with monkeypatch.context() as patch:
        patch.setattr(cluster, "_ANSWER_SECONDS", 0.3)
        patch.setattr(started._client, "scheduler_info", lambda: runs.interrupted.wait(30))
        left = dict(results)
    runs.interrupted.set()

    assert (first[0], first[1].bundle) == ("a", "7")
    assert {name: end.message for name, end in left.items()} == dict.fromkeys(
        ("stuck", "later"), wording("fleet.connection-lost")
    )


def test_an_interruption_does_not_wait_for_a_silent_scheduler(
    address: str, runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scheduler that does not answer is given a moment, and no more."""
    started = workers_of(address, tmp_path)
    results = ends(started, "a stuck")
    next(results)
    answered = threading.Event()
    given_up: list[bool] = []
    with monkeypatch.context() as patch:
        patch.setattr(cluster, "_STOP_SECONDS", 0.3)
        patch.setattr(started._client, "run", lambda *_: given_up.append(answered.wait(60)))
        results.close()
        assert given_up == [], "it waited for the answer"
    answered.set()
    runs.interrupted.set()
    started.stop()
