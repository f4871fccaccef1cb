"""
The child's side: settle in a process of its own, then run one cell after the other.

Everything that a run may differ in reaches the child by message. The parent's
descriptors, signal handlers and environment do not. The process ends without
exit handlers: neither the parent's nor those of cells.
"""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import faulthandler
import fcntl
import gc
import io
import json
import logging
import os
import resource
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from runbook_lib.fork_engine.outputs import CELL_BYTES, shortened

if TYPE_CHECKING:
    from runbook_lib.fork_engine.shell import Shell

# How long a kernel goes on after `exit`, as in ipykernel: cells that begin until then are run.
_EXIT_SECONDS = 0.1


def live(end: Connection, stdout: int, stderr: int, lifeline: int) -> NoReturn:
    """
    Run cells until the engine goes away; never returns.

    `stdout` and `stderr` are the pipes that the engine reads, and `lifeline` is
    one that closes when the engine's process ends.
    """
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        _part_from_parent(end.fileno(), stdout, stderr, lifeline)
        publisher = _Publisher(end)
        for name, descriptor in (("stdout", stdout), ("stderr", stderr)):
            stream = _Stream(name, descriptor, publisher.flush)
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)
        try:
            from runbook_lib.fork_engine.shell import make_shell  # noqa: PLC0415  (loads IPython)

            _settle(*end.recv())
            shell = make_shell(publisher.publish)
        except Exception as error:  # noqa: BLE001  (nbclient then runs the notebook)
            publisher.publish("failed", {"reason": f"{type(error).__name__}: {error}"})
        else:
            asyncio.run(_serve(shell, publisher))
    finally:
        os._exit(1)


def _part_from_parent(end: int, stdout: int, stderr: int, lifeline: int) -> None:
    """Give up what was inherited; take the pipes as standard output and standard error."""
    os.setsid()
    # The system kills this group when the other end closes, even while a cell holds the GIL.
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpgrp())
    fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(lifeline, fcntl.F_SETFL, os.O_ASYNC)
    # What the parent made is neither looked through nor finalised: its files are closed here.
    gc.freeze()
    signal.set_wakeup_fd(-1)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with open(os.devnull, "rb") as nothing:  # noqa: PTH123
        os.dup2(nothing.fileno(), 0)
    os.dup2(stdout, 1)
    os.dup2(stderr, 2)
    kept = (end, stdout, stderr, lifeline)
    for descriptor in kept:
        os.set_inheritable(descriptor, False)  # noqa: FBT003  (to programs that cells start)
    for low, high in pairwise((*sorted((2, *kept)), os.sysconf("SC_OPEN_MAX"))):
        os.closerange(low + 1, high)
    sys.stdin = sys.__stdin__ = open(0, closefd=False)  # type: ignore[misc]  # noqa: SIM115
    faulthandler.enable(2)
    sys.excepthook, sys.unraisablehook = sys.__excepthook__, sys.__unraisablehook__
    threading.excepthook = threading.__excepthook__
    logging.root.handlers.clear()
    logging.root.setLevel(logging.WARNING)
    if numpy := sys.modules.get("numpy.random"):
        numpy.seed()  # as `random` does itself after a fork


def _settle(environment: dict[str, str], directory: str) -> None:
    """Take over the environment and the working directory of the run."""
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(directory)
    time.tzset()
    tempfile.tempdir = None
    # The folder of the parent's script is not a kernel's; the working directory is.
    if sys.path and sys.path[0] in (str(Path(sys.argv[0]).resolve().parent), directory):
        del sys.path[0]
    sys.path[:0] = [
        entry
        for entry in environment.get("PYTHONPATH", "").split(os.pathsep)
        if entry and entry not in sys.path
    ]
    if "" not in sys.path:
        sys.path.insert(0, "")
    sys.argv = ["ipykernel_launcher"]


def _surrogates(error: UnicodeError) -> tuple[bytes, int]:
    """Encode surrogates: as the bytes that they stand for (PEP 383), else joined or replaced."""
    assert isinstance(error, UnicodeEncodeError)  # noqa: S101
    text = error.object[error.start : error.end]
    try:
        return text.encode(errors="surrogateescape"), error.end
    except UnicodeEncodeError:
        pairs = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        return pairs.encode(), error.end


# How text becomes UTF-8, whatever is in it; it is decoded with `replace`, as by Jupyter.
_ERRORS = "fork_engine.surrogates"
codecs.register_error(_ERRORS, _surrogates)


def encode(message: dict[str, Any]) -> bytes:
    """Return `message` as a kernel sends it; raises `ValueError` if a value has no JSON form."""
    try:
        text = json.dumps(message, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError):
        from jupyter_client.jsonutil import json_clean, json_default  # noqa: PLC0415  (slow)

        dumps = partial(json.dumps, default=json_default, ensure_ascii=False, allow_nan=False)
        try:
            text = dumps(message)
        except (TypeError, ValueError):
            text = dumps(json_clean(message))
    return text.encode(errors=_ERRORS)


class _Publisher:
    """
    Sends messages and waits for their answers; from any thread.

    A thread of its own sends them, so that no interrupt of a cell cuts one in two.
    """

    def __init__(self, end: Connection) -> None:
        self._end = end
        self._thread = ThreadPoolExecutor(1)
        self._process = os.getpid()
        # The stream that was flushed last, and whether a message that says so is still to be sent.
        self._flushed = ""
        self._is_flushing = False
        os.register_at_fork(after_in_child=end.close)

    def publish(self, kind: str, content: dict[str, Any], **about: Any) -> None:
        """Send a message; a process that a cell forked shows text only."""
        if os.getpid() == self._process:
            self.ask(kind, content, **about).result()
        elif text := content.get("data", {}).get("text/plain"):
            sys.stdout.write(f"{text}\n")

    def flush(self, name: str) -> None:
        """
        Have the engine show what the stream `name` got, before what the other gets later.

        Only the first flush after one of the other stream is waited for.
        """
        if os.getpid() != self._process:
            return
        if name != self._flushed:
            self._flushed = name
            self.publish("flush", {"name": name})
        elif not self._is_flushing:
            self._is_flushing = True
            self._thread.submit(self._flush, name)

    def ask(self, kind: str, content: dict[str, Any], **about: Any) -> Future[Any]:
        """Send a message; its answer is the result."""
        data = encode({"type": kind, "content": content, **about})
        if (size := len(data)) > CELL_BYTES:
            if "ename" in content:
                content = {**content, **shortened(content)}
            else:
                kind, content = "left_out", {}
            data = encode({"type": kind, "content": content, "left_out": size})
        return self._thread.submit(self._exchange, data)

    def exit(self) -> None:
        """End the process after the messages that are to be sent: a cell's reply may be one."""
        self._thread.submit(os._exit, 0)

    def _flush(self, name: str) -> None:
        self._is_flushing = False
        self._exchange(encode({"type": "flush", "content": {"name": name}}))

    def _exchange(self, data: bytes) -> Any:
        self._end.send_bytes(data)
        return self._end.recv()


class _Stream(io.TextIOWrapper):
    """Writes to a pipe at once, so that output keeps its order with that of other programs."""

    def __init__(self, name: str, descriptor: int, on_flush: Callable[[str], None]) -> None:
        raw = io.FileIO(descriptor, "w", closefd=False)
        raw.name = name  # as in ipykernel
        super().__init__(raw, "UTF-8", _ERRORS, newline="\n", write_through=True)
        self._on_flush = on_flush

    def flush(self) -> None:
        """Have the engine show what was written, before what the other stream gets later."""
        self._on_flush(self.name)


async def _serve(shell: Shell, publisher: _Publisher) -> None:
    """Run cells inside the loop, as ipykernel does, so that tasks live on between them."""
    process = os.getpid()
    shell.on_exit = partial(asyncio.get_running_loop().call_later, _EXIT_SECONDS, publisher.exit)
    count = {"execution_count": shell.execution_count}
    source = await asyncio.wrap_future(publisher.ask("ready", count))
    while True:
        content = await _execute(shell, source)
        if os.getpid() != process:  # a cell forked, and its child came here as well
            os._exit(0)
        content["execution_count"] = shell.execution_count  # of the next cell
        source = await asyncio.wrap_future(publisher.ask("execute_reply", content))


async def _execute(shell: Shell, source: str) -> dict[str, Any]:
    """Run a cell and return how it ended."""
    shell.last_traceback, shell.has_display_failed = [], False
    transformed, failure = source, None
    try:
        transformed = shell.transform_cell(source)
    except Exception:  # noqa: BLE001  (the shell shows it when it runs the cell)
        failure = sys.exc_info()
    prepared: dict[str, Any] = {
        "transformed_cell": transformed,
        "preprocessing_exc_tuple": failure,
    }
    if shell.should_run_async(source, **prepared):
        task = asyncio.ensure_future(shell.run_cell_async(source, store_history=True, **prepared))
        loop = asyncio.get_running_loop()
        result = None
        with _interruptible(lambda *_: loop.call_soon_threadsafe(task.cancel)):
            try:
                result = await task
            finally:
                shell.events.trigger("post_execute")
                shell.events.trigger("post_run_cell", result)
    else:
        with _interruptible(signal.default_int_handler):
            result = shell.run_cell(source, store_history=True)
    if result.success and not shell.has_display_failed:
        return {"status": "ok"}
    error = result.error_before_exec or result.error_in_exec
    return {
        "status": "error",
        "ename": type(error).__name__,
        "evalue": str(error),
        "traceback": shell.last_traceback,
    }


@contextlib.contextmanager
def _interruptible(handler: Callable[..., Any]) -> Iterator[None]:
    """Let SIGINT interrupt a cell, and nothing else."""
    signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
