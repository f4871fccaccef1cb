"""
A tenant's run in a process of its own: a request goes in, the end of the run comes out.

*Seal*, a watch, a fleet and each task on a Dask cluster use it. Request and end are lines of JSON
on a socket that only the two processes have. So no credential is in an argument, a file or a
pickle. The process serves one run, and ends with the process that asked for it.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import closing, suppress
from functools import partial
from io import BufferedRWPair
from multiprocessing.context import ForkServerProcess
from threading import Thread, Timer
from types import FrameType
from typing import Any, NoReturn

from msgspec import MsgspecError, Struct, convert, json, structs, to_builtins

from runbook_lib.connectors.registry import find_procedure
from runbook_lib.core.model import FleetRun, Mode, NotRunReason
from runbook_lib.engine.cells import CellProcess
from runbook_lib.engine.headless import RunListener, RunRequest, RunResult, run_tenant
from runbook_lib.engine.tenant_run import Run
from runbook_lib.errors import (
    RunbookError,
    SealingError,
    SettingsError,
    describe_error,
    reported_as,
)

# Seconds for an interrupted run to write its end.
GRACE_SECONDS = 10
# Modules that the fork server loads once. `cli.main` is the program's `__main__`, which each new
# process imports again.
PRELOADED = ["runbook_lib.engine.preloaded", "runbook_lib.cli.main"]
_AGAIN = "Run it again; the journal is intact. If that fails too, `runbook run` shows more."
_NO_PROCESS = "Free memory or processes, or use fewer --workers."
_TOO_SLOW = "Run it again. If its remote systems are only slow, give more time (--timeout)."
# With these a headless run would seem to be a notebook in JupyterLab.
_NOT_INHERITED = ("JPY_SESSION_NAME", "SERVER_SOFTWARE")
# The fields of a request that are sent, beside the connector's id.
_SENT = (
    "tenant",
    "evidence",
    "env_file",
    "attestations",
    "needs_subject",
    "given",
    "references",
    "mode",
    "may_spend",
    "fleet_run",
    "not_run",
)

Started = subprocess.Popen[bytes] | ForkServerProcess
Start = Callable[[socket.socket, Collection[str]], Started]


class RunEnd(Struct, frozen=True, kw_only=True):
    """The end of a run in another process."""

    bundle: str = ""
    """The folder of the sealed bundle; empty without one."""

    outcome: str = ""
    """The outcome of the sealed run."""

    is_archived: bool = True
    """Whether nothing is wrong with its archive."""

    message: str = ""
    """The reason why it was not sealed, or what went wrong nevertheless."""

    next_step: str = ""
    """The advice about `message`."""

    code: int | None = None
    """The exit code of the error that refused it."""

    is_lost: bool = False
    """Whether its process ended before it did."""

    seconds: float = 0
    """The time that it took."""


# The end of a run that a cluster did not run, or whose result did not come.
LOST = RunEnd(
    message="The connection to the Dask scheduler or to all of its workers was lost.",
    next_step="`runbook fleet … --resume ID` runs it again.",
)


class RunningProcesses:
    """Processes under way, which another thread may end."""

    def __init__(self) -> None:
        self.is_ended = False
        self._processes: set[Started] = set()

    def add(self, process: Started) -> None:
        """Note a process that began; it is ended at once if the others are."""
        self._processes.add(process)
        if self.is_ended:
            process.terminate()

    def discard(self, process: Started) -> None:
        """Forget a process that has ended."""
        self._processes.discard(process)

    def end(self, *, by_force: bool = False) -> None:
        """Interrupt every process, or kill it."""
        self.is_ended = True
        for process in tuple(self._processes):
            (process.kill if by_force else process.terminate)()


def sendable(request: RunRequest) -> dict[str, Any]:
    """Return a request as plain values, without any credential."""
    sent = {name: to_builtins(getattr(request, name)) for name in _SENT}
    return {"connector": request.procedure.id, **sent}


def seal_elsewhere(
    run: Run,
    mode: Mode = Mode.HEADLESS,
    *,
    withheld: Collection[str] = (),
    on_wait: Callable[[str], None] = lambda _: None,
) -> RunEnd:
    """
    Run the whole procedure for the tenant of `run`, with its settings and credentials.

    The new process does not get the variables `withheld`. Calls `on_wait` with the reason when the
    run waits. Raises `SealingError` if there is no bundle.
    """
    request = RunRequest(
        procedure=run.procedure,
        tenant=run.tenant,
        evidence=str(run.evidence.absolute()),
        env_file=str(run.env_file) if run.env_file.is_file() else "",
        given=run.settings.values,
        mode=mode,
    )
    known = run.settings.secrets
    secrets = {
        item.variable_for(run.procedure.id): known[item.name].reveal()
        for item in run.inputs
        if item.name in known
    }
    end = run_elsewhere(sendable(request), secrets, withheld=withheld, on_wait=on_wait)
    if not end.bundle:
        raise SealingError(end.message, next_step=end.next_step)
    return end


def new_interpreter(theirs: socket.socket, withheld: Collection[str]) -> Started:
    """Start an interpreter that serves `theirs`, without the variables `withheld`."""
    left_out = {*_NOT_INHERITED, *withheld}
    number = theirs.fileno()
    return subprocess.Popen(  # noqa: S603  (this program)
        [sys.executable, "-m", "runbook_lib.engine.elsewhere", str(number)],
        env={name: text for name, text in os.environ.items() if name not in left_out},
        stdin=subprocess.DEVNULL,
        pass_fds=[number],
        start_new_session=True,
    )


def forked(theirs: socket.socket, _withheld: Collection[str]) -> Started:
    """Have the fork server, which has loaded everything, start a process that serves `theirs`."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    process = context.Process(target=_serve, args=[theirs])
    process.start()
    return process


def run_elsewhere(
    document: Mapping[str, Any],
    secrets: Mapping[str, str],
    *,
    start: Start = new_interpreter,
    withheld: Collection[str] = (),
    seconds: float | None = None,
    running: RunningProcesses | None = None,
    on_wait: Callable[[str], None] = lambda _: None,
) -> RunEnd:
    """
    Run the request in a new process, and return the end of the run.

    `document` is of `sendable`; `secrets` are variables for this process alone, which does not get
    the variables `withheld`. After `seconds` the run is interrupted, and killed if it goes on. If
    its process is lost, another one seals what it left, for a fleet. An error is an end, too.
    """
    running = running or RunningProcesses()
    run_once = partial(
        _run_once,
        secrets=secrets,
        start=start,
        withheld=withheld,
        seconds=seconds,
        running=running,
        on_wait=on_wait,
    )
    try:
        end = run_once(document)
        if not end.is_lost or not document["fleet_run"] or running.is_ended:
            return end
        reason = {"reason": end.message, "next_step": end.next_step}
        sealed = run_once({**document, "not_run": reason})
    except Exception as error:  # noqa: BLE001  (one tenant must not stop the others)
        return _refused_end(error)
    return structs.replace(sealed, is_lost=True) if sealed.bundle else end


def _run_once(
    document: Mapping[str, Any],
    *,
    secrets: Mapping[str, str],
    start: Start,
    withheld: Collection[str],
    seconds: float | None,
    running: RunningProcesses,
    on_wait: Callable[[str], None],
) -> RunEnd:
    """Run the request in a new process like `run_elsewhere`, and seal nothing that is lost."""
    ours, theirs = socket.socketpair()
    with ours, ours.makefile("rwb") as stream:
        with (
            theirs,
            reported_as(SettingsError, "A process could not be started", next_step=_NO_PROCESS),
        ):
            process = start(theirs, withheld)
        # NOTE: not before: a fork server takes seconds to start.
        began = time.monotonic()
        timers = [
            Timer((seconds or 0) + later, act)
            for later, act in ((0, process.terminate), (GRACE_SECONDS, process.kill))
            if seconds
        ]
        for timer in timers:
            timer.start()
        running.add(process)
        end = None
        try:
            with suppress(OSError):  # it has died, as the missing end will show
                stream.write(json.encode({**document, "secrets": secrets, "withheld": withheld}))
                stream.write(b"\n")
                stream.flush()
            end = _read_end(stream, on_wait)
        except BaseException:
            # NOTE: a signal may have reached this process only; the other must not go on unseen.
            process.terminate()
            raise
        finally:
            code = _exit_code(process)
            for timer in timers:
                timer.cancel()
            running.discard(process)
    took = time.monotonic() - began
    if seconds and took >= seconds and not (end and end.bundle):
        msg = f"The run took longer than {seconds:g} seconds, and was stopped."
        end = RunEnd(message=msg, next_step=_TOO_SLOW)
    elif end is None:
        why = f"signal {-code}" if code < 0 else f"exit code {code}"
        end = RunEnd(message=f"Its process ended ({why}).", next_step=_AGAIN, is_lost=True)
    return structs.replace(end, seconds=round(took, 3))


def _read_end(stream: BufferedRWPair, on_wait: Callable[[str], None]) -> RunEnd | None:
    """Read what the run says until it ends; `None` if its process ends before."""
    with suppress(ConnectionError, MsgspecError):
        for line in stream:
            if not line.endswith(b"\n"):  # the process was killed
                break
            said = json.decode(line, type=str | RunEnd)
            if isinstance(said, RunEnd):
                return said
            on_wait(said)
    return None


def _exit_code(process: Started) -> int:
    """Return the exit code of a process that is about to end; kill it if it does not."""
    if isinstance(process, ForkServerProcess):
        process.join(GRACE_SECONDS)
        process.kill()
        process.join()
        return process.exitcode or 0
    try:
        return process.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


class _Waits(RunListener):
    """Says why the run waits."""

    def __init__(self, stream: BufferedRWPair) -> None:
        self._stream = stream

    def on_wait(self, reason: str) -> None:
        """Report why the run waits."""
        _say(self._stream, reason)


def _say(stream: BufferedRWPair, said: str | RunEnd) -> None:
    """Write a line to the process that asked for the run, which may have ended."""
    with suppress(OSError):
        stream.write(json.encode(said) + b"\n")
        stream.flush()


def _serve(theirs: socket.socket) -> None:
    """Run one request, in the new process; printed text goes nowhere."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)
    with suppress(PermissionError):  # a new interpreter leads its session already
        os.setsid()
    with theirs, theirs.makefile("rwb") as stream:
        end = _answer(stream, theirs)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # now nothing is left to interrupt
        _say(stream, end)


def _answer(stream: BufferedRWPair, theirs: socket.socket) -> RunEnd:
    """
    Run the request on `stream`; it is interrupted when whoever asked for it ends.

    This process has one thread until there is a request.
    """

    def end_with_parent() -> None:
        # NOTE: a read of the stream would hold its lock, so that nobody could close it.
        theirs.recv(1)
        os.kill(os.getpid(), signal.SIGTERM)

    signal.signal(signal.SIGTERM, _interrupt)
    try:
        # NOTE: before the request is read, so that no credential of it is in the child.
        with closing(CellProcess()) as child:
            document = json.decode(stream.readline())
            Thread(target=end_with_parent, daemon=True).start()
            for name in (*_NOT_INHERITED, *document["withheld"]):
                os.environ.pop(name, None)
            request = RunRequest(
                **{
                    **{name: document[name] for name in _SENT},
                    "mode": Mode(document["mode"]),
                    "fleet_run": convert(document["fleet_run"], FleetRun | None),
                    "not_run": convert(document["not_run"], NotRunReason | None),
                },
                procedure=find_procedure(document["connector"]),
                environ={**os.environ, **document["secrets"]},
                child=child,
            )
            return _end_of(run_tenant(request, _Waits(stream)))
    except KeyboardInterrupt:
        advice = "The journal is intact: seal again to go on from there."
        return RunEnd(message="Interrupted.", next_step=advice)
    except Exception as error:  # noqa: BLE001  (the end says what broke)
        return _refused_end(error)


def _refused_end(error: Exception) -> RunEnd:
    """Return the end of a run that an error ended."""
    message, advice = describe_error(error)
    code = int(error.exit_code) if isinstance(error, RunbookError) else None
    return RunEnd(message=message, next_step=advice, code=code)


def _end_of(result: RunResult) -> RunEnd:
    """Return the end of a sealed run."""
    error = result.archive_error
    problems = [
        *([f"The notebook stopped early: {result.broken}."] if result.broken else []),
        *([f"Not archived: {error}"] if error else []),
    ]
    return RunEnd(
        outcome=result.state.outcome,
        bundle=str(result.sealed.folder.absolute()),
        is_archived=error is None,
        message=" ".join(problems),
        next_step=error.diagnostics() if error else "",
    )


def _interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
