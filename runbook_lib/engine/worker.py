"""
A tenant's run in a fresh process, forked from Python's fork server, which has loaded everything.

The server never sees a request: that goes over a pipe to the new process, after
that one has forked the process of its cells.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import signal
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess
from typing import Any

from runbook_lib.engine.process import ProcessRequest, answer_request, inherited, request_document

# What the server has loaded before it forks. `cli.main` is the program's `__main__`, which is
# imported again in each new process.
PRELOADED = ["runbook_lib.engine.preloaded", "runbook_lib.cli.main"]
# How long a run that exceeded its time may take to write its end.
_GRACE_SECONDS = 10
_AGAIN = "Run it again; the journal is intact. If that fails too, `runbook run` shows more."
_TOO_SLOW = "Run it again, with more time (--timeout) if its remote systems are only slow."
_STOPPED = "Interrupted."
# The server is this process's alone, and starts in the environment of that moment.
_STARTING = threading.Lock()
_STARTS, _START_SECONDS = 5, 0.1


class Worker:
    """
    Runs one request after the other, for one thread; another one may stop it.

    `environ` are the variables from which a request may name its own; those in
    `withheld` belong to single tenants, and no other process gets them. What runs
    and libraries print is dropped.
    """

    def __init__(self, environ: Mapping[str, str], withheld: Collection[str] = ()) -> None:
        # NOTE: a copy, since another worker may be starting a process without the withheld ones.
        self._environ = dict(environ)
        self._withheld = withheld
        self._process: ForkServerProcess | None = None
        self._is_stopped = False

    def run(self, request: ProcessRequest, *, seconds: float) -> Mapping[str, Any]:
        """
        Run to the end, and return the last event: `finished` or `refused`.

        A process that ends without one is `refused` too, and one that takes longer than
        `seconds`: that is ended, with its kernel.
        """
        return self.perform(request_document(request, self._environ), seconds)

    def perform(self, document: Mapping[str, Any], seconds: float) -> Mapping[str, Any]:
        """Run the request in `document`, as `run` does."""
        ours, theirs = multiprocessing.Pipe()
        with ours:
            with theirs:
                process = self._start(theirs)
            if process is None:
                return refused(_STOPPED)
            with suppress(OSError):
                ours.send_bytes(json.dumps(document).encode())
            is_late = not ours.poll(seconds)
            if is_late:
                self.interrupt()
            event = _received(ours, _GRACE_SECONDS if is_late else 0)
        code = _ended(process, _GRACE_SECONDS if event else 0)
        if event is not None and (event["event"] == "finished" or not is_late):
            return event
        if is_late:
            msg = f"The run took longer than {seconds:g} seconds, and was ended."
            return refused(msg, _TOO_SLOW)
        why = f"signal {-code}" if code < 0 else f"exit code {code}"
        return refused(f"The run's process ended without a result ({why}).", _AGAIN)

    def stop(self) -> None:
        """Ask the run to end, as Ctrl-C does, without waiting for it; none is started now."""
        self._is_stopped = True
        self.interrupt()

    def interrupt(self) -> None:
        """Ask the run to end, as Ctrl-C does, without waiting for it."""
        with suppress(ValueError, AttributeError):  # it has ended, or none has begun
            self._process.terminate()  # type: ignore[union-attr]

    def kill(self) -> None:
        """End the run at once."""
        with suppress(ValueError, AttributeError):
            self._process.kill()  # type: ignore[union-attr]

    def _start(self, theirs: Connection) -> ForkServerProcess | None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOADED)
        with _STARTING, _environment_without(self._withheld):
            if self._is_stopped:
                return None
            for tries_left in reversed(range(_STARTS)):
                process = context.Process(target=_live, args=[theirs])
                try:
                    process.start()
                    break
                except (EOFError, OSError):  # the server is being killed; then another is started
                    if not tries_left:
                        raise
                    time.sleep(_START_SECONDS)
            self._process = process
            return process


def refused(reason: str, next_step: str = "") -> dict[str, Any]:
    """Return the last event of a run that was not sealed."""
    return {"event": "refused", "said": reason, "next_step": next_step}


def _received(connection: Connection, seconds: float) -> dict[str, Any] | None:
    """Return the last event; nothing after `seconds`, or where the process ended without one."""
    with suppress(EOFError, OSError):
        if connection.poll(seconds):
            event: dict[str, Any] = json.loads(connection.recv_bytes())
            return event
    return None


def _ended(process: ForkServerProcess, seconds: float) -> int:
    """End a process that has not ended after `seconds`; return its exit code, or minus its signal.

    Cells end with it.
    """
    process.join(seconds)
    process.kill()
    process.join()
    code = process.exitcode or 0
    process.close()
    return code


@contextmanager
def _environment_without(names: Collection[str]) -> Iterator[None]:
    """Keep variables from a server that is started meanwhile."""
    passed_on = inherited(os.environ)
    removed = {
        name: text for name, text in os.environ.items() if name not in passed_on or name in names
    }
    for name in removed:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(removed)


def _live(connection: Connection) -> None:
    """Run one request, in the new process."""
    os.setsid()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would hold credentials
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)

    def receive() -> dict[str, Any]:
        threading.Thread(target=_end_with_parent, daemon=True).start()
        document: dict[str, Any] = json.loads(connection.recv_bytes())
        return document

    connection.send_bytes(json.dumps(answer_request(receive)).encode())


def _end_with_parent() -> None:
    """Interrupt the run when the parent process ends."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)
