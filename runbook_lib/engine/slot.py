"""
A subprocess that runs one request after the other, with a fork server of its own.

For workers of a Dask cluster, whose processes may have no children of `multiprocessing`.
Requests go over standard input, and each run's last event comes back over standard
output, as lines of JSON.
"""

from __future__ import annotations

import json
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Any, TextIO, cast

from runbook_lib.engine.process import (
    ProcessRequest,
    event_stream,
    events_in,
    inherited,
    request_document,
)
from runbook_lib.engine.worker import Worker, refused

_ENDED = "The worker's process ended."
_AGAIN = "Run it again; the journal is intact."
_GRACE_SECONDS = 10


class Slot:
    """
    Runs requests in such a subprocess, for one thread of a Dask worker; another may stop it.

    `environ` and `withheld` are those of a `Worker`.
    """

    def __init__(self, environ: Mapping[str, str], withheld: Collection[str]) -> None:
        self._environ = environ
        self._withheld = withheld
        self._process: subprocess.Popen[str] | None = None

    def run(self, request: ProcessRequest, *, seconds: float) -> Mapping[str, Any]:
        """Run to the end, and return the last event, as `Worker` does."""
        process = self._process = self._process or self._start()
        line = json.dumps([request_document(request, self._environ), seconds])
        with suppress(BrokenPipeError):
            stdin = cast("TextIO", process.stdin)
            stdin.write(line + "\n")
            stdin.flush()
        for event in events_in(process.stdout or ()):
            return event
        self.close()
        return refused(_ENDED, _AGAIN)

    def interrupt(self) -> None:
        """Ask the run to end, as Ctrl-C does, without waiting for it."""
        if self._process is not None:
            self._process.terminate()

    def close(self) -> None:
        """End the subprocess, after what it runs was interrupted."""
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(BrokenPipeError):
            cast("TextIO", process.stdin).close()
        with suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_SECONDS)
        process.kill()
        process.wait()
        cast("TextIO", process.stdout).close()

    def _start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "runbook_lib.engine.slot"],
            env={
                name: text
                for name, text in inherited(self._environ).items()
                if name not in self._withheld
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            encoding="utf-8",
        )


def main() -> None:
    """Run each request on standard input, until it is closed."""
    worker = Worker({})
    signal.signal(signal.SIGTERM, lambda _signal, _frame: worker.interrupt())
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()

    def read() -> None:
        for line in sys.stdin:
            lines.put(line)
        worker.stop()
        lines.put("")

    threading.Thread(target=read, daemon=True).start()
    with event_stream() as stream:
        while line := lines.get():
            stream.write(json.dumps(worker.perform(*json.loads(line))) + "\n")
            stream.flush()


if __name__ == "__main__":
    main()
