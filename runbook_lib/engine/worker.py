"""
A worker: a process that has loaded everything, and forks a new process for each tenant's run.

A worker never reads a request itself: what one tenant's process is given, no later one has.
Requests and events are those of `engine.process`; after each run comes the event `ended`.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Any, Self, TextIO, cast

from runbook_lib.engine.process import (
    ProcessRequest,
    Reporter,
    answer_request,
    event_stream,
    events_in,
    inherited,
    request_line,
)

__all__ = ["Worker", "refused"]

# How long a run that took too long may take to write its end.
_GRACE_SECONDS = 10
_NO_REQUEST = 64
_AGAIN = "Run it again; the journal is intact. If that fails too, `runbook run` shows more."
_TOO_SLOW = "Run it again, with more time (--timeout) if its remote systems are only slow."
_STOPPED = "Interrupted."


class Worker:
    """
    The handle on a worker, for one thread; another one may stop it.

    Its environment is `environ` without the variables `withheld`, which belong to single
    tenants. It is started with the first run, and again after a run that did not end
    well. What its kernels and libraries print is dropped.
    """

    def __init__(self, environ: Mapping[str, str], withheld: Collection[str] = ()) -> None:
        self._environ = environ
        self._withheld = withheld
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._is_stopped = False

    def run(self, request: ProcessRequest, *, seconds: float) -> Mapping[str, Any]:
        """
        Run to the end, and return the last event: `finished` or `refused`.

        A process that ends without one is `refused` too, and one that takes longer than
        `seconds`: that is ended, with its kernel.
        """
        with self._lock:
            if self._is_stopped:
                return refused(_STOPPED)
            process = self._process = self._process or self._start()
        own = {name: self._environ[name] for name in request.variables if name in self._environ}
        with _Deadline(self, seconds) as deadline:
            event, code = _talk(process, request_line(request, own))
        if event is None or code != 0:
            self.close()
            code = process.returncode if code is None else code
        if event is not None and (event["event"] == "finished" or not deadline.is_over):
            return event
        if deadline.is_over:
            msg = f"The run took longer than {seconds:g} seconds, and was ended."
            return refused(msg, _TOO_SLOW)
        why = f"signal {-code}" if code < 0 else f"exit code {code}"
        return refused(f"The run's process ended without a result ({why}).", _AGAIN)

    def close(self) -> None:
        """End the worker, with whatever still runs in its group."""
        self.kill()
        process, self._process = self._process, None
        if process is not None:
            process.communicate()

    def stop(self) -> None:
        """Ask the run to end, as Ctrl-C does, without waiting for it; none is started now."""
        with self._lock:
            self._is_stopped = True
        self.interrupt()

    def interrupt(self) -> None:
        """Ask the run to end, as Ctrl-C does, without waiting for it."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the worker and its run at once."""
        self._signal(signal.SIGKILL)

    def _start(self) -> subprocess.Popen[str]:
        environ = inherited(self._environ)
        return subprocess.Popen(
            [sys.executable, "-m", "runbook_lib.engine.worker"],
            env={name: environ[name] for name in environ if name not in self._withheld},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            encoding="utf-8",
            # NOTE: a group of its own, so that Ctrl-C reaches the parent alone, which ends it.
            start_new_session=True,
        )

    def _signal(self, number: signal.Signals) -> None:
        """Send a signal to the worker and to its run."""
        process = self._process
        if process is not None and process.returncode is None:
            with suppress(OSError):
                os.killpg(process.pid, number)


class _Deadline:
    """Ends a worker's run when its time is over: first it is asked to, so the journal says so."""

    def __init__(self, worker: Worker, seconds: float) -> None:
        self.is_over = False
        self._worker = worker
        self._is_done = threading.Event()
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        self._is_done.set()

    def _end(self) -> None:
        self.is_over = True
        self._worker.interrupt()
        if not self._is_done.wait(_GRACE_SECONDS):
            self._worker.kill()


def _talk(process: subprocess.Popen[str], line: str) -> tuple[dict[str, Any] | None, int | None]:
    """Send a request; return the run's last event, and how its process ended if that is known."""
    with suppress(BrokenPipeError):
        stdin = cast("TextIO", process.stdin)
        stdin.write(line)
        stdin.flush()
    last = None
    for event in events_in(process.stdout or ()):
        if event["event"] == "ended":
            return last, event["code"]
        if event["event"] != "wait":
            last = event
    return last, process.wait()


def refused(said: str, next_step: str = "") -> dict[str, Any]:
    """Return the last event of a run that was not sealed."""
    return {"event": "refused", "said": said, "next_step": next_step}


def main() -> None:
    """Fork a process for each request on standard input, until nobody is there to send one."""
    with event_stream() as stream:
        reporter = Reporter(stream)
        if not hasattr(os, "fork"):
            answer_request(reporter)  # and the next run is another worker's
            return
        import resource  # noqa: PLC0415  (not where nothing can be forked)

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would hold credentials
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        from runbook_lib.engine import preloaded  # noqa: F401, PLC0415  (loads all that runs use)

        while (code := _ended(*_forked(reporter))) is not None:
            reporter.report("ended", code=code)


def _forked(reporter: Reporter) -> tuple[int, int]:
    """Start the process of one run; return its number, and a pipe that is closed when it ends."""
    end, lives = os.pipe()
    process = os.fork()
    if process == 0:
        code = 1
        try:
            os.close(end)
            code = 0 if answer_request(reporter) else _NO_REQUEST
        finally:
            os._exit(code)
    os.close(lives)
    return process, end


def _ended(process: int, end: int) -> int | None:
    """
    Wait for a run's process; return its exit code, or minus its signal.

    Returns nothing if it had no request, or if nobody is left to hear of it: a run whose
    parent is gone is interrupted.
    """
    poll = select.poll()
    poll.register(0, 0)
    poll.register(end, 0)
    is_heard = True
    while not any(descriptor == end for descriptor, _ in poll.poll()):
        is_heard = False
        poll.unregister(0)
        os.kill(process, signal.SIGTERM)
    os.close(end)
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    return code if is_heard and code != _NO_REQUEST else None


if __name__ == "__main__":
    main()
