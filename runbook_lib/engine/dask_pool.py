"""
The runs of a fleet on a Dask cluster: one task for each request.

A task holds parameters and references; secrets are resolved where it runs, with the
environment and the files of that machine. All write into one evidence folder, on a file
system that they share.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import secrets
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from subprocess import Popen
from typing import Any

from distributed import Client, get_worker
from distributed.comm.addressing import resolve_address
from distributed.comm.core import connect
from distributed.security import Security

from runbook_lib.connectors.registry import package_of, packaged_names, working_procedures
from runbook_lib.core.files import remove, write_once
from runbook_lib.engine.pools import CompletedRequest, Groups, not_started
from runbook_lib.engine.process import ProcessRequest, refused_event, run_apart
from runbook_lib.engine.scheduler_address import no_scheduler
from runbook_lib.errors import SettingsError
from runbook_lib.evidence.fleet_result import UNSEALED_NAME
from runbook_lib.remote.threads import run_in_thread

# A scheduler that takes the connection and says nothing must end a fleet within a minute.
_CONNECT_SECONDS = 15
_ANSWER_SECONDS = 30
# Dask's defaults give each of these a level of its own.
_LOGGERS = ("asyncio", "distributed", "distributed.client", "tornado", "tornado.application")
_MARKS = "begun-"
_RESUME = "`runbook fleet … --resume ID` runs it again."
# Seconds between two queries for the cluster's workers, and seconds it may have none.
_LOOK_SECONDS = 5
_WITHOUT_SECONDS = 120
# Seconds for the cluster's workers to interrupt their runs.
_GRACE_SECONDS = 15
# Seconds to wait for a scheduler after somebody has interrupted the fleet.
_LAST_SECONDS = 2

# The runs on this worker of a cluster, by the token of their fleet.
_RUNNING: dict[str, set[Popen[str]]] = {}


class DaskPool:
    """
    Runs requests on the cluster of the scheduler at `address`; TLS is as in Dask's settings.

    `folder` is the folder of the fleet's run. Raises `SettingsError` for a cluster that does not
    answer, has no workers, or whose workers have another version of the runbook.
    """

    def __init__(
        self, address: str, withheld: Collection[str], seconds: float, folder: Path
    ) -> None:
        # NOTE: a connection that is lost is logged with tracebacks; here it is a result.
        for name in _LOGGERS:
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        self._client: Any = None
        # The limits of a request: its seconds, and the variables that it does not get.
        self._limits = seconds, tuple(withheld)
        self._folder = folder
        self._token = secrets.token_hex(4)
        self._is_closed = threading.Event()
        self._futures: dict[Any, Sequence[ProcessRequest]] = {}
        # Finished futures; `None` marks the end.
        self._done: queue.SimpleQueue[Any] = queue.SimpleQueue()
        try:
            # NOTE: a client that was never connected takes 30 s to close, with a traceback.
            run_in_thread(lambda: resolve_address(address), "dask").result(_CONNECT_SECONDS)
            run_in_thread(lambda: asyncio.run(_greet(address)), "dask").result(_CONNECT_SECONDS)
            connect_client = partial(
                Client, address, timeout=_CONNECT_SECONDS, set_as_default=False
            )
            self._client = run_in_thread(connect_client, "dask").result(
                _CONNECT_SECONDS + _LAST_SECONDS
            )
            run_in_thread(self._prepare, "dask").result(_ANSWER_SECONDS)
        except SettingsError:
            self._client.close(timeout=_LAST_SECONDS)
            raise
        except Exception as error:  # noqa: BLE001  (whatever answers there)
            raise no_scheduler(address, type(error).__name__) from None

    def _prepare(self) -> None:
        """
        Raise `SettingsError` unless there are workers, each with this version of the runbook.
        """
        try:
            versions: dict[str, object] = self._client.run(connector_versions)
        except Exception as error:  # noqa: BLE001  (whatever is wrong there)
            versions = {"a worker": type(error).__name__}
        if not versions:
            raise SettingsError(
                "The Dask cluster has no workers.",
                next_step="Start some: dask worker tls://scheduler:8786",
            )
        differing = sorted(
            name for name, version in versions.items() if version != connector_versions()
        )
        if differing:
            msg = f"Workers have another version of the runbook, or none: {differing[0]}"
            more = f" and {len(differing) - 1} more" if differing[1:] else ""
            raise SettingsError(f"{msg}{more}.", next_step="Install this version on all workers.")

    def run(self, groups: Groups) -> Iterator[CompletedRequest]:
        """Yield the result of each request as it ends; a group runs one after the other."""
        for marks in self._folder.glob(f"{_MARKS}*"):
            remove(marks)  # by a fleet that was killed
        for group in groups:
            self._submit(group)
        threading.Thread(target=self._watch, daemon=True).start()
        while self._futures and (future := self._done.get()) is not None:
            request, *following = self._futures.pop(future)
            if future.cancelled():
                yield from (_lost(undone) for undone in (request, *following))
                continue
            if following:
                self._submit(following)
            yield _done(future, request)
        yield from (_lost(undone) for group in self._futures.values() for undone in group)
        self._close()

    def _watch(self) -> None:
        """
        Abandon the remaining requests if the scheduler is silent, or has had no workers for too
        long.
        """
        began = time.monotonic()
        while not self._is_closed.wait(_LOOK_SECONDS):
            try:
                if run_in_thread(self._client.scheduler_info, "dask").result(_ANSWER_SECONDS)[
                    "workers"
                ]:
                    began = time.monotonic()
            except TimeoutError:
                self._done.put(None)
                return
            except Exception:  # noqa: BLE001, S110  (the connection is lost: all is cancelled)
                pass
            if time.monotonic() - began > _WITHOUT_SECONDS:
                self._done.put(None)
                return

    def stop(self) -> Iterator[CompletedRequest]:
        """End the runs, start nothing more, and yield the remaining results."""
        if not self._is_answering():
            self._is_closed.set()
            return
        ended = [future for future in self._futures if future.status == "finished"]
        for future in ended:
            yield _done(future, self._futures.pop(future)[0])
        self._close()

    def _is_answering(self) -> bool:
        with suppress(Exception):
            return bool(run_in_thread(self._client.scheduler_info, "dask").result(_LAST_SECONDS))
        return False

    def _submit(self, group: Sequence[ProcessRequest]) -> None:
        """Hand over the first request of a group."""
        request = group[0]
        name = f"{request.tenant}-{request.connector}-{self._token}"
        future = self._client.submit(
            perform_on_worker,
            request,
            self._limits,
            self._folder,
            self._token,
            key=name,
            pure=False,
        )
        self._futures[future] = group
        future.add_done_callback(self._done.put)

    def _close(self) -> None:
        self._is_closed.set()
        with suppress(Exception):
            if self._is_answering():
                run_in_thread(self._leave, "dask").result(_GRACE_SECONDS)
        remove(_marks(self._folder, self._token))

    def _leave(self) -> None:
        """End the remaining runs of this fleet on the cluster."""
        self._client.cancel(list(self._futures), force=True)
        self._client.run(_interrupt, self._token)
        self._client.close(timeout=_GRACE_SECONDS)


async def _greet(address: str) -> None:
    """Exchange greetings with the scheduler at `address`, and hang up."""
    arguments = Security().get_connection_args("client")
    comm = await connect(address, timeout=_CONNECT_SECONDS, **arguments)
    comm.abort()


def perform_on_worker(
    request: ProcessRequest, limits: tuple[float, Collection[str]], folder: Path, token: str
) -> CompletedRequest:
    """Run a request on a worker of the cluster; `token` names this fleet's run."""
    worker = get_worker()
    if not (folder / UNSEALED_NAME).is_file():
        reason = f"The worker {worker.address} does not find {folder}."
        return CompletedRequest(
            request, refused_event(reason, "Give all workers the same evidence folder."), 0
        )
    if request.is_once:
        mark = _marks(folder, token) / f"{request.tenant}.{request.connector}"
        mark.parent.mkdir(exist_ok=True)
        if not write_once(mark, b""):
            reason = (
                "Its worker was lost. It did not run again: a check may have used something up."
            )
            return CompletedRequest(request, refused_event(reason, _RESUME), 0)
    seconds, withheld = limits
    began = time.monotonic()
    try:
        running = _RUNNING.setdefault(token, set())
        event = run_apart(request, seconds=seconds, withheld=withheld, running=running)
    except Exception as error:  # noqa: BLE001  (one tenant must not stop the others)
        event = not_started(error)
    return CompletedRequest(request, event, round(time.monotonic() - began, 3))


def _marks(folder: Path, token: str) -> Path:
    """Return the folder of the marks of requests that began and must not be repeated."""
    return folder / f"{_MARKS}{token}"


def _done(future: Any, request: ProcessRequest) -> CompletedRequest:
    if future.status == "finished":
        try:
            done: CompletedRequest = run_in_thread(future.result, "dask").result(_ANSWER_SECONDS)
        except TimeoutError:
            return _lost(request)
        return done
    reason = f"The Dask cluster could not run it ({type(future.exception()).__name__})."
    return CompletedRequest(request, refused_event(reason, _RESUME), 0)


def _lost(request: ProcessRequest) -> CompletedRequest:
    reason = "The connection to the Dask scheduler or to all of its workers was lost."
    return CompletedRequest(request, refused_event(reason, _RESUME), 0)


def connector_versions() -> list[tuple[str, str]]:
    """
    Return the version of the runbook: the digests of its connectors, and further packages.

    Broken connectors are left out.
    """
    own = [(name, procedure.digest) for name, procedure in working_procedures().items()]
    packages = [(name, package_of(name)) for name in packaged_names()]
    return own + [(name, str(package)) for name, package in packages if package]


def _interrupt(token: str) -> None:
    for process in tuple(_RUNNING.get(token, ())):
        process.terminate()
