"""
The process in which a run's cells run, in IPython: forked for one notebook, killed after it.

It sees nothing but the cells and the variables that it is given. What a cell shows comes back when
it ends, as the outputs of a notebook.
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
from contextlib import suppress
from importlib import import_module
from multiprocessing.connection import Connection, wait
from typing import Any, NamedTuple

from runbook_lib.errors import SettingsError, reason_of

_TICK_SECONDS = 0.05
_CELL_SECONDS = 300
# How long a cell that took too long may take to say where it was.
_GRACE_SECONDS = 3


class CellOutput(NamedTuple):
    """A cell's number, its outputs, and the name of the error that ended it, if one did."""

    number: int | None
    outputs: list[dict[str, Any]]
    error: str = ""


class Child:
    """
    The process of one notebook's cells, which leads a session with all that they start.

    Make it while this process has one thread: beside others a new interpreter is started, which
    takes longer. From here on neither of the two leaves a core file, which would hold credentials.
    Raises `SettingsError` where no process can be forked.
    """

    def __init__(self) -> None:
        if sys.platform != "linux":
            msg = f"A headless run needs Linux, and this is {sys.platform}."
            raise SettingsError(msg, next_step="Run it on Linux, in a container, or in WSL.")
        import resource  # noqa: PLC0415  (not on every system)

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        import_module("runbook_lib.engine.preloaded")  # once for both processes
        # NOTE: a fork copies one thread, and the locks that the others hold.
        context: Any = multiprocessing.get_context(
            "fork" if threading.active_count() == 1 else "spawn"
        )
        self._end, theirs = context.Pipe()
        self._process = context.Process(target=_live, args=[theirs])
        try:
            self._process.start()
        except OSError as error:
            self._end.close()
            msg = f"No process can be started for the notebook: {reason_of(error)}."
            raise SettingsError(msg, next_step="Free memory or processes, and run again.") from None
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
        self._send(source)
        try:
            while not self._end.poll(_TICK_SECONDS):
                on_tick()
                # NOTE: what a cell started may keep the pipe open after the process has died.
                if self._has_died() and not self._end.poll():
                    raise EOFError
                if time.monotonic() > end:
                    return self._late()
            return self._shown()
        except (EOFError, OSError):
            return _failed(CellOutput(None, []), "DeadKernelError", "Kernel died")

    def close(self) -> None:
        """Kill the process, with all that its cells started."""
        if self._end.closed:
            return
        # NOTE: before it is reaped, while nobody else can have its number.
        with suppress(OSError):  # it may not lead its session yet
            os.killpg(self.pid, signal.SIGKILL)
        self._process.kill()
        self._process.join()
        self._process.close()
        self._end.close()

    def _has_died(self) -> bool:
        """Return whether the process has ended; it is not reaped, so its number stays its own."""
        state = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self.pid, state) is not None

    def _send(self, value: object) -> None:
        with suppress(OSError):  # it has died, as its reply will show
            self._end.send_bytes(_packed(value))

    def _shown(self) -> CellOutput:
        number, outputs, error = _unpacked(self._end.recv_bytes())
        return CellOutput(number, [json.loads(output) for output in outputs], error)

    def _late(self) -> CellOutput:
        """Interrupt the cell, so that it shows where it was."""
        os.killpg(self.pid, signal.SIGINT)
        shown = self._shown() if self._end.poll(_GRACE_SECONDS) else CellOutput(None, [])
        return _failed(shown, "CellTimeoutError", f"A cell took more than {_CELL_SECONDS} s")


def _failed(shown: CellOutput, name: str, text: str) -> CellOutput:
    error = {"output_type": "error", "ename": name, "evalue": text, "traceback": [text]}
    return CellOutput(shown.number, [*shown.outputs, error], name)


def _packed(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode("utf-16", "surrogatepass")


def _unpacked(data: bytes) -> Any:
    """Return what was packed, with U+FFFD for surrogates, which no file and no terminal takes."""
    return json.loads(data.decode("utf-16", "replace"))


def _live(end: Connection) -> None:
    """Run the cells that come over `end`, in the new process."""
    _part_from_parent(end.fileno())
    from runbook_lib.engine.shell import make_shell  # noqa: PLC0415  (loads IPython)

    pid = os.getpid()
    with suppress(EOFError):
        os.environ.clear()
        os.environ.update(_unpacked(end.recv_bytes()))
        time.tzset()
        shell = make_shell()
        while True:
            source = _unpacked(end.recv_bytes())
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
    # What the parent made is neither looked through nor finalised.
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
    if wait([parent.sentinel], 0):
        os._exit(1)
