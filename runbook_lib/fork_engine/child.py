"""
The engine's handle on its child: start, talk, kill.

A fork costs a few milliseconds, but is safe only while this process has one thread.
"""

from __future__ import annotations

import codecs
import contextlib
import json
import os
import select
import signal
import sys
import threading
import warnings
from multiprocessing.connection import Connection, Pipe
from typing import Any

Message = dict[str, Any]

# What a pipe holds, by default (pipe(7)): one read empties it.
_PIPE_BYTES = 1 << 16


class DiedError(Exception):
    """The child is gone."""


class Text:
    """The child's standard output or standard error: what was read and not yet taken."""

    def __init__(self, name: str, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self.name = name
        # How many characters wait to be taken.
        self.waiting = 0
        self._descriptor = descriptor
        self._parts: list[str] = []
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def fileno(self) -> int:
        """Return the descriptor to wait for."""
        return self._descriptor

    def read(self) -> bool:
        """Read what is in the pipe, without waiting; return False at its end."""
        try:
            chunk = os.read(self._descriptor, _PIPE_BYTES)
        except BlockingIOError:
            return True
        text = self._decoder.decode(chunk, not chunk)
        self._parts.append(text)
        self.waiting += len(text)
        return bool(chunk)

    def take(self) -> str:
        """Return what was read."""
        text, self._parts, self.waiting = "".join(self._parts), [], 0
        return text


class Child:
    """
    A process that waits to run a notebook's cells, and is used for one notebook.

    It is the leader of a process group, in which also stands what cells start.
    Each message of it is answered: until then, what sent it waits (but for a
    repeated flush). So all text in the pipes was written before the message
    that came last.
    """

    def __init__(self, pid: int, end: Connection, pipes: tuple[int, int], lifeline: int) -> None:
        self.pid = pid
        self.texts = (Text("stdout", pipes[0]), Text("stderr", pipes[1]))
        self._end = end
        self._poll = select.poll()
        # NOTE: they are looked at in this order: when there is a message, text that was written
        # before it is seen as well.
        for source in (end, *self.texts):
            self._poll.register(source, select.POLLIN)
        # Nothing is written to it: it is open here as long as the child may live.
        self._lifeline = lifeline
        self._is_reaped = self._is_closed = False

    def send(self, answer: Any) -> None:
        """Send `answer`; raises `DiedError` if nobody reads it."""
        try:
            self._end.send(answer)
        except OSError:
            msg = "the child died"
            raise DiedError(msg) from None

    def receive(self, patience_seconds: float) -> Message | None:
        """
        Return the next message, if one comes so soon, and read what was written before it.

        Returns None when there is text first. Raises `DiedError` after the last message.
        """
        ready = {source for source, _ in self._poll.poll(max(0.0, patience_seconds) * 1000)}
        for text in self.texts:
            if text.fileno() in ready and not text.read():
                self._poll.unregister(text)
        if self._end.fileno() not in ready:
            return None
        try:
            message: Message = json.loads(self._end.recv_bytes().decode(errors="replace"))
        except (EOFError, OSError):
            msg = "the child died"
            raise DiedError(msg) from None
        return message

    def interrupt(self) -> None:
        """Interrupt the cell, and what it started, as Ctrl-C does."""
        with contextlib.suppress(OSError):
            os.killpg(self.pid, signal.SIGINT)

    def kill(self) -> None:
        """Kill the process and its group at once."""
        if self._is_reaped:
            return
        # NOTE: before it is reaped, while nobody else can have its number. `kill` as well: it may
        # not yet lead its group.
        for kill in (os.killpg, os.kill):
            with contextlib.suppress(OSError):
                kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        self._is_reaped = True

    def close(self) -> None:
        """Kill the process, and close what led to it."""
        self.kill()
        if not self._is_closed:
            self._is_closed = True
            self._end.close()
            for descriptor in (*(text.fileno() for text in self.texts), self._lifeline):
                os.close(descriptor)


def start_child() -> Child:
    """
    Start a child, which loads IPython and waits to be used.

    Call it early: before any thread begins. Raises `OSError` if there are
    other threads, or this system cannot do it.
    """
    if not _is_single():
        msg = "this process has other threads"
        raise OSError(msg)
    ours, theirs = Pipe()
    (out, out_end), (err, err_end), (life_end, life) = os.pipe(), os.pipe(), os.pipe()
    try:
        pid = _fork(theirs, out_end, err_end, life_end)
    except BaseException:
        ours.close()
        for descriptor in (out, err, life):
            os.close(descriptor)
        raise
    finally:
        theirs.close()
        for descriptor in (out_end, err_end, life_end):
            os.close(descriptor)
    return Child(pid, ours, (out, err), life)


def _is_single() -> bool:
    """Return whether this is the only thread, but for the one that watches progress bars."""
    others = set(threading.enumerate()) - {threading.current_thread()}
    return all(type(thread).__name__ == "TMonitor" for thread in others)


def _fork(end: Connection, stdout: int, stderr: int, lifeline: int) -> int:
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

            live(end, stdout, stderr, lifeline)
        finally:
            os._exit(1)
    return pid
