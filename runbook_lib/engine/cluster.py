"""
The workers of a fleet on a Dask cluster: a task for each request.

A task holds parameters and references; secrets are resolved where it runs, with the
environment and the files of that machine. All write into one evidence folder, on a file
system that they share.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import secrets
import time
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from distributed import Client, get_worker
from distributed.comm.core import connect
from distributed.security import Security

from runbook_lib.connectors.registry import package_of, packaged_names, working_procedures
from runbook_lib.core.files import remove, write_once
from runbook_lib.engine.elsewhere import LOST, RunEnd, RunningProcesses, run_elsewhere
from runbook_lib.engine.scheduler_address import no_scheduler
from runbook_lib.errors import SettingsError
from runbook_lib.evidence.fleet_result import UNSEALED_NAME
from runbook_lib.remote.threads import run_in_thread

# Seconds for a scheduler's greeting, which comes at once.
_GREETING_SECONDS = 4
# A scheduler that takes the connection and says nothing must end a fleet within a minute.
_CONNECT_SECONDS = 15
_ANSWER_SECONDS = 30
# Dask's defaults give each of these a level of its own.
_LOGGERS = ("asyncio", "distributed", "distributed.client", "tornado", "tornado.application")
_MARKS = "begun-"
# Seconds that the cluster may have no workers.
_WITHOUT_SECONDS = 120
# Seconds for a scheduler to end the runs of a fleet.
_STOP_SECONDS = 5

# The runs on this worker of a cluster, by the token of their fleet.
_RUNNING: dict[str, RunningProcesses] = {}


class ClusterWorkers:
    """
    The workers of the scheduler at `address`; TLS is as in Dask's settings.

    `folder` is the folder of the fleet's run. Raises `SettingsError` for a cluster that does not
    answer, has no workers, or whose workers have another version of the runbook.
    """

    limit = math.inf

    def __init__(
        self, address: str, withheld: Collection[str], seconds: float, folder: Path
    ) -> None:
        # NOTE: a connection that is lost is logged with tracebacks; here it is a result.
        for name in _LOGGERS:
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        self._token = secrets.token_hex(4)
        self._marks = folder / f"{_MARKS}{self._token}"
        self._task = partial(
            run_on_worker,
            token=self._token,
            folder=folder,
            seconds=seconds,
            withheld=tuple(withheld),
        )
        self._without_since: float | None = None
        self._client: Any = None
        try:
            # NOTE: a client that was never connected takes 30 s to close, with a traceback.
            run_in_thread(lambda: asyncio.run(_greet(address)), "dask").result(_GREETING_SECONDS)
            connect_client = partial(
                Client, address, timeout=_CONNECT_SECONDS, set_as_default=False
            )
            self._client = run_in_thread(connect_client, "dask").result(_ANSWER_SECONDS)
            self._executor = self._client.get_executor(pure=False)
            run_in_thread(self._check_versions, "dask").result(_ANSWER_SECONDS)
        except SettingsError:
            self._client.close(timeout=_STOP_SECONDS)
            raise
        except Exception as error:  # noqa: BLE001  (whatever answers there)
            raise no_scheduler(address, type(error).__name__) from None
        for marks in folder.glob(f"{_MARKS}*"):
            remove(marks)  # by a fleet that was killed

    def _check_versions(self) -> None:
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
        own = connector_versions()
        differing = sorted(name for name, version in versions.items() if version != own)
        if differing:
            msg = f"Workers have another version of the runbook, or none: {differing[0]}"
            more = f" and {len(differing) - 1} more" if differing[1:] else ""
            raise SettingsError(f"{msg}{more}.", next_step="Install this version on all workers.")

    def submit(self, document: Mapping[str, Any], variables: Sequence[str]) -> Future[RunEnd]:
        """Have a request run, with these variables of the worker's environment."""
        future: Future[RunEnd] = self._executor.submit(self._task, document, variables)
        return future

    def is_lost(self) -> bool:
        """Return whether the scheduler is silent, or has had no workers for too long."""
        workers = None
        try:
            workers = run_in_thread(self._client.scheduler_info, "dask").result(_ANSWER_SECONDS)[
                "workers"
            ]
        except TimeoutError:
            return True
        except Exception:  # noqa: BLE001, S110  (the connection is lost: all is cancelled)
            pass
        now = time.monotonic()
        self._without_since = None if workers else self._without_since or now
        return now - (self._without_since or now) > _WITHOUT_SECONDS

    def stop(self) -> None:
        """End this fleet's runs on the cluster, and start nothing more."""
        with suppress(Exception):
            run_in_thread(self._leave, "dask").result(_STOP_SECONDS)
        remove(self._marks)

    def _leave(self) -> None:
        self._executor.shutdown(wait=False)
        self._client.run(_end_runs, self._token)
        self._client.close(timeout=_STOP_SECONDS)


async def _greet(address: str) -> None:
    """Exchange greetings with the scheduler at `address`, and hang up."""
    arguments = Security().get_connection_args("client")
    comm = await connect(address, timeout=_GREETING_SECONDS, **arguments)
    comm.abort()


def run_on_worker(
    document: Mapping[str, Any],
    variables: Sequence[str],
    *,
    token: str,
    folder: Path,
    seconds: float,
    withheld: Collection[str],
) -> RunEnd:
    """
    Run a request on a worker of the cluster, at most once; `token` names this fleet's run.

    A scheduler tries again where a worker was lost, but a check may have used something up.
    """
    if not (folder / UNSEALED_NAME).is_file():
        message = f"The worker {get_worker().address} does not find {folder}."
        return RunEnd(message=message, next_step="Give all workers the same evidence folder.")
    mark = folder / f"{_MARKS}{token}" / f"{document['tenant']}.{document['connector']}"
    mark.parent.mkdir(exist_ok=True)
    if not write_once(mark, b""):
        message = "Its worker was lost. It did not run again: a check may have used something up."
        return RunEnd(message=message, next_step=LOST.next_step)
    own = {name: os.environ[name] for name in variables if name in os.environ}
    running = _RUNNING.setdefault(token, RunningProcesses())
    return run_elsewhere(document, own, withheld=withheld, seconds=seconds, running=running)


def connector_versions() -> list[tuple[str, str]]:
    """
    Return the version of the runbook: the digests of its connectors, and further packages.

    Broken connectors are left out.
    """
    own = [(name, procedure.digest) for name, procedure in working_procedures().items()]
    packages = [(name, package_of(name)) for name in packaged_names()]
    return own + [(name, str(package)) for name, package in packages if package]


def _end_runs(token: str) -> None:
    if token in _RUNNING:
        _RUNNING[token].end()
