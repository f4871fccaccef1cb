"""A child without a process: a thread that answers by a script."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable
from typing import Any

from runbook_lib.fork_engine.child import Child
from runbook_lib.fork_engine.wire import Channel

MARK = b"\0mark\0"


class ScriptedChild(Child):
    """
    A child that calls `script(source, self)` for each cell; the script calls `write` and `say`.

    `script` returns the reply's content, or None to end without a reply.
    """

    def __init__(
        self,
        script: Callable[[str, ScriptedChild], dict[str, Any] | None],
        *,
        failure: str = "",
    ) -> None:
        ours, self._theirs = socket.socketpair()
        (out, self._out), (err, self._err) = os.pipe(), os.pipe()
        super().__init__(0, ours, (out, err, -1), MARK, lambda: None)
        self._script = script
        self._failure = failure
        self.begun: dict[str, Any] = {}
        self.is_interrupted = threading.Event()
        self.is_killed = False
        self._thread = threading.Thread(target=self._live, daemon=True)
        self._thread.start()

    def write(self, name: str, data: bytes) -> None:
        """Write to a stream."""
        os.write(self._out if name == "stdout" else self._err, data)

    def say(self, kind: str, **content: Any) -> None:
        """Send a message, after its marks in both streams."""
        self.write("stdout", MARK)
        self.write("stderr", MARK)
        Channel(self._theirs).send({"type": kind, **content})

    def _live(self) -> None:
        with self._theirs, contextlib.suppress(OSError):  # the other end is closed
            self._answer()
        os.close(self._out)
        os.close(self._err)

    def _answer(self) -> None:
        channel, count = Channel(self._theirs), 0
        self.begun = channel.receive() or {}
        if self._failure:
            self.say("failed", reason=self._failure)
        else:
            self.say("ready")
        while (message := channel.receive()) and message["type"] == "execute":
            count += 1
            self.say("execute_input", execution_count=count)
            reply = self._script(message["source"], self)
            if reply is None:
                break
            self.say("execute_reply", **{"status": "ok", "execution_count": count, **reply})

    def is_alive(self) -> bool:
        """Return whether the thread runs."""
        return self._thread.is_alive()

    def interrupt(self) -> None:
        """Set `is_interrupted`, for the script."""
        self.is_interrupted.set()

    def kill(self) -> None:
        """End the thread by closing this end of the channel."""
        self.is_killed = True
        self.is_interrupted.set()
        if self.channel.socket.fileno() >= 0:
            self.channel.socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
