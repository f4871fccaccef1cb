"""A child without a process: a thread that answers by a script."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from multiprocessing.connection import Pipe
from typing import Any

from runbook_lib.fork_engine.child import Child
from runbook_lib.fork_engine.worker import encode


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
        ours, self._theirs = Pipe()
        (out, self._out), (err, self._err), (_, life) = os.pipe(), os.pipe(), os.pipe()
        os.close(_)
        super().__init__(0, ours, (out, err), life)
        self._script = script
        self._failure = failure
        self.begun: Any = None
        self.is_interrupted = threading.Event()
        self.is_killed = False
        self._thread = threading.Thread(target=self._live, daemon=True)
        self._thread.start()

    def write(self, name: str, data: bytes) -> None:
        """Write to a stream."""
        os.write(self._out if name == "stdout" else self._err, data)

    def say(self, kind: str, content: dict[str, Any], **about: Any) -> Any:
        """Send a message; return its answer."""
        self._theirs.send_bytes(encode({"type": kind, "content": content, **about}))
        return self._theirs.recv()

    def _live(self) -> None:
        with self._theirs, contextlib.suppress(OSError, EOFError):  # the other end is closed
            self._answer()
        os.close(self._out)
        os.close(self._err)

    def _answer(self) -> None:
        self.begun, count = self._theirs.recv(), 1
        if self._failure:
            self.say("failed", {"reason": self._failure})
        source = self.say("ready", {"execution_count": count})
        while True:
            count += 1
            reply = self._script(source, self)
            if reply is None:
                break
            source = self.say("execute_reply", {"status": "ok", "execution_count": count, **reply})

    def interrupt(self) -> None:
        """Set `is_interrupted`, for the script."""
        self.is_interrupted.set()

    def kill(self) -> None:
        """End the thread by closing this end of the channel."""
        if not self.is_killed:
            self.is_killed = True
            self.is_interrupted.set()
            self._end.close()
            self._thread.join()
