"""
The process in which a run's cells run, in IPython: forked for one notebook, killed after it.

It gets nothing but the cells and their variables. It returns the outputs of each cell when the cell
ends.
"""

from __future__ import annotations

import gc
import json
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from contextlib import suppress
from functools import partial
from importlib import import_module
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from msgspec import ValidationError, convert

from runbook_lib.errors import SettingsError, reason_of
from runbook_lib.remote.threads import run_in_thread

_TICK_SECONDS = 0.05
_CELL_SECONDS = 300
# Seconds for a cell that took too long to show where it was.
_GRACE_SECONDS = 3
# `shell` bounds the outputs of a cell; this limit is for a cell that writes to the pipe itself.
_MAX_MESSAGE_BYTES = 64 << 20


class CellOutput(NamedTuple):
    """A cell's number, its outputs, and the name of the error that ended it; empty without one."""

    number: int | None
    outputs: list[dict[str, Any]]
    error: str = ""


class CellProcess:
    """
    The process of one notebook's cells, which leads a session with all that they start.

    Make it while this process has one thread: beside others a new interpreter is started, which
    takes longer. From here on neither of the two leaves a core file, which would hold credentials.
    Raises `SettingsError` where no process can be forked.
    """

    def __init__(self) -> None:
        if sys.platform != "linux":
            raise SettingsError(
                f"A headless run needs Linux, and this is {sys.platform}.",
                next_step="Run it on Linux, in a container, or in WSL.",
            )
        import resource  # noqa: PLC0415  (not on every system)

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        import_module("runbook_lib.engine.preloaded")  # once for both processes
        # NOTE: a fork copies one thread, and the locks that the others hold.
        context: Any = multiprocessing.get_context(
            "fork" if threading.active_count() == 1 else "spawn"
        )
        self._connection, theirs = multiprocessing.Pipe()
        self._process = context.Process(target=_live, args=[theirs])
        try:
            self._process.start()
        except OSError as error:
            self._connection.close()
            raise SettingsError(
                f"No process can be started for the notebook: {reason_of(error)}.",
                next_step="Free memory or processes, and run again.",
            ) from None
        finally:
            theirs.close()
        self.pid: int = self._process.pid

    def begin(self, environment: Mapping[str, str]) -> None:
        """Give the cells their environment."""
        self._send(dict(environment))

    def run(self, source: str, on_tick: Callable[[], None]) -> CellOutput:
        """
        Run a cell to its end, or until its time is over or the process dies.

        Calls `on_tick` about twenty times a second meanwhile.
        """
        end = time.monotonic() + _CELL_SECONDS
        # NOTE: a cell that writes half a message keeps its reader waiting.
        reply = run_in_thread(partial(self._ask, source), "cell")
        try:
            while not wait([reply], _TICK_SECONDS).done:
                on_tick()
                # NOTE: a cell's own processes may keep the pipe open after this process has died.
                if self._has_died() and not wait([reply], _TICK_SECONDS).done:
                    raise EOFError
                if time.monotonic() > end:
                    return self._late(reply)
            return reply.result()
        except (EOFError, ConnectionError):
            return _failed(CellOutput(None, []), "DeadKernelError", "Kernel died")
        # NOTE: an OSError if it is too long, a RecursionError if it is nested too deep.
        except (ValueError, ValidationError, RecursionError, OSError):
            text = "A cell wrote to the connection of its own process"
            return _failed(CellOutput(None, []), "InvalidMessageError", text)

    def close(self) -> None:
        """Kill the process, with all that its cells started."""
        if self._connection.closed:
            return
        # NOTE: kill it before it is reaped, while no other process can have its number.
        with suppress(OSError):  # it may not lead its session yet
            os.killpg(self.pid, signal.SIGKILL)
        self._process.kill()
        self._process.join()
        self._process.close()
        self._connection.close()

    def _has_died(self) -> bool:
        """Return whether the process has ended; it is not reaped, so its number stays its own."""
        state = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self.pid, state) is not None

    def _send(self, value: object) -> None:
        with suppress(OSError):  # it has died, as its reply will show
            self._connection.send_bytes(_packed(json.dumps(value, ensure_ascii=False)))

    def _ask(self, source: str) -> CellOutput:
        """
        Send a cell and wait for its output.

        Raises `ValueError` or `ValidationError` for something else.
        """
        self._send(source)
        # NOTE: not msgspec's reader: an output may have NaN, as Python writes it.
        message = json.loads(self._connection.recv_bytes(_MAX_MESSAGE_BYTES))
        shown = convert(message, CellOutput)
        if not all("output_type" in output for output in shown.outputs):
            raise ValueError("an output has no type")
        return shown

    def _late(self, reply: Future[CellOutput]) -> CellOutput:
        """Interrupt the cell, so that it shows where it was."""
        os.killpg(self.pid, signal.SIGINT)
        has_replied = bool(wait([reply], _GRACE_SECONDS).done)
        return _failed(
            reply.result() if has_replied else CellOutput(None, []),
            "CellTimeoutError",
            f"A cell took more than {_CELL_SECONDS} s",
        )


def _failed(shown: CellOutput, name: str, text: str) -> CellOutput:
    error = {"output_type": "error", "ename": name, "evalue": text, "traceback": [text]}
    return CellOutput(shown.number, [*shown.outputs, error], name)


def _packed(text: str) -> bytes:
    """Return JSON as UTF-8; U+FFFD replaces surrogates, which no file or terminal takes."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


def _live(end: Connection) -> None:
    """Run the cells that come over `end`, in the new process."""
    _part_from_parent(end.fileno())
    from runbook_lib.engine.shell import make_shell  # noqa: PLC0415  (loads IPython)

    pid = os.getpid()
    with suppress(EOFError):
        os.environ.clear()
        os.environ.update(json.loads(end.recv_bytes()))
        time.tzset()
        shell = make_shell()
        while True:
            source = json.loads(end.recv_bytes())
            signal.signal(signal.SIGINT, signal.default_int_handler)
            shown = shell.perform(source)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            if os.getpid() != pid:  # a cell forked, and its child came here as well
                os._exit(0)
            end.send_bytes(_packed(shown))


def _part_from_parent(end: int) -> None:
    """Keep nothing that was inherited but `end`, and end with the parent."""
    import fcntl  # noqa: PLC0415  (not on every system)

    parent = multiprocessing.parent_process()
    assert parent is not None  # noqa: S101
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.setsid()
    # Neither scan nor finalise the parent's objects.
    gc.freeze()
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(nothing, number)
    kept = {0, 1, 2, end, parent.sentinel, sys.stdin.fileno()}
    for number in {int(name) for name in os.listdir("/proc/self/fd")} - kept:  # noqa: PTH208
        with suppress(OSError):
            os.close(number)
    # The system kills this session when the parent ends, even while a cell holds the GIL.
    fcntl.fcntl(parent.sentinel, fcntl.F_SETOWN, -os.getpgrp())
    fcntl.fcntl(parent.sentinel, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(parent.sentinel, fcntl.F_SETFL, os.O_ASYNC)
    if multiprocessing.connection.wait([parent.sentinel], 0):
        os._exit(1)
