"""
The engine's handle on its child: start, talk, kill.

A fork costs a few milliseconds, but is safe only while this process has one
thread. Otherwise a new interpreter does the same, a tenth of a second later.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

from runbook_lib.fork_engine.wire import Channel, Message, Output

_POLL_SECONDS = 0.02


class DiedError(Exception):
    """The child is gone."""


class Child:
    """
    A process that waits to run a notebook's cells, and is used for one notebook.

    It is the leader of a process group, in which also stands what cells start.
    """

    def __init__(
        self,
        pid: int,
        end: socket.socket,
        pipes: tuple[int, int, int],
        mark: bytes,
        wait: Callable[[], Any],
    ) -> None:
        self.pid = pid
        self.channel = Channel(end)
        self.outputs = (Output("stdout", pipes[0], mark), Output("stderr", pipes[1], mark))
        # Whether the child may still say something.
        self.is_open = True
        # Nothing is written to it: it is open here as long as the child may live.
        self._lifeline = pipes[2]
        self._wait = wait
        self._is_reaped = False

    def is_alive(self) -> bool:
        """Return whether the process runs, without waiting and without reaping it."""
        options = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return not self._is_reaped and os.waitid(os.P_PID, self.pid, options) is None

    def send(self, message: Message) -> None:
        """Send `message`; raises `DiedError` if nobody reads it."""
        try:
            self.channel.send(message)
        except OSError:
            msg = "the child died"
            raise DiedError(msg) from None

    def read(self, patience_seconds: float) -> None:
        """Read some of what the child has written, waiting for it so long."""
        poll = select.poll()
        readable = {output.descriptor: output for output in self.outputs if output.is_readable}
        for descriptor in (self.channel.socket.fileno(), *readable):
            poll.register(descriptor, select.POLLIN)
        for descriptor, _ in poll.poll(max(0.0, patience_seconds) * 1000):
            if descriptor in readable:
                readable[descriptor].read()
            else:
                self.is_open = self.channel.fill()

    def interrupt(self) -> None:
        """Interrupt the cell, and what it started, as Ctrl-C does."""
        with contextlib.suppress(OSError):
            os.killpg(self.pid, signal.SIGINT)

    def end(self, patience_seconds: float) -> None:
        """Let the exit handlers of cells run, then kill what is left."""
        with contextlib.suppress(DiedError):
            self.send({"type": "end"})
            deadline = time.monotonic() + patience_seconds
            # Whatever they still write would hold them up in a full pipe.
            while self.is_open and self.is_alive() and time.monotonic() < deadline:
                self.read(_POLL_SECONDS)
                for output in self.outputs:
                    output.pass_mark()
                    output.take()
        self.kill()

    def kill(self) -> None:
        """Kill the process and its group at once."""
        if self._is_reaped:
            return
        # NOTE: before it is reaped, while nobody else can have its number. `kill` as well: it may
        # not yet lead its group.
        for kill in (os.killpg, os.kill):
            with contextlib.suppress(OSError):
                kill(self.pid, signal.SIGKILL)
        self._wait()
        self._is_reaped = True

    def close(self) -> None:
        """Kill the process, and close what led to it."""
        self.kill()
        self.channel.socket.close()
        for output in self.outputs:
            output.close()
        if self._lifeline >= 0:
            os.close(self._lifeline)
            self._lifeline = -1


def start_child() -> Child:
    """
    Start a child, which loads IPython and waits to be used.

    Call it early: before any thread begins, the child is forked. Raises
    `OSError` if this system cannot do it.
    """
    mark = b"\0" + os.urandom(16).hex().encode() + b"\0"
    ours, theirs = socket.socketpair()
    (out, out_end), (err, err_end), (life_end, life) = os.pipe(), os.pipe(), os.pipe()
    start = _fork if _is_single() else _spawn
    try:
        pid, wait = start(theirs, out_end, err_end, life_end, mark)
    except BaseException:
        ours.close()
        for descriptor in (out, err, life):
            os.close(descriptor)
        raise
    finally:
        theirs.close()
        for descriptor in (out_end, err_end, life_end):
            os.close(descriptor)
    return Child(pid, ours, (out, err, life), mark, wait)


def _is_single() -> bool:
    """Return whether this is the only thread, but for the one that watches progress bars."""
    others = set(threading.enumerate()) - {threading.current_thread()}
    return all(type(thread).__name__ == "TMonitor" for thread in others)


def _fork(
    end: socket.socket, out: int, err: int, lifeline: int, mark: bytes
) -> tuple[int, Callable[[], Any]]:
    # What stands in buffers is written once, by this process.
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        with contextlib.suppress(Exception):
            stream.flush()  # type: ignore[union-attr]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads that are not Python's
        pid = os.fork()
    if pid == 0:
        try:
            from runbook_lib.fork_engine.worker import live  # noqa: PLC0415  (the child's alone)

            live(end, out, err, lifeline, mark)
        finally:
            os._exit(1)
    return pid, partial(os.waitpid, pid, 0)


def _spawn(
    end: socket.socket, out: int, err: int, lifeline: int, mark: bytes
) -> tuple[int, Callable[[], Any]]:
    descriptors = (end.fileno(), out, err, lifeline)
    process = subprocess.Popen(  # noqa: S603  (this interpreter)
        [
            sys.executable,
            "-m",
            "runbook_lib.fork_engine",
            *map(str, descriptors),
            mark[1:-1].decode(),
        ],
        pass_fds=descriptors,
        start_new_session=True,
        stdin=subprocess.DEVNULL,
    )
    return process.pid, process.wait
