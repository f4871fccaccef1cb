"""
The child's side: settle in a process of its own, then run one cell after the other.

Everything that a run may differ in reaches the child by message. The parent's
exit handlers, descriptors, signal handlers and environment do not.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import ctypes
import faulthandler
import fcntl
import gc
import io
import logging
import os
import random
import resource
import signal
import socket
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from runbook_lib.fork_engine.bounds import CELL_BYTES, shortened
from runbook_lib.fork_engine.wire import ERRORS, Channel, Message, encode

if TYPE_CHECKING:
    from runbook_lib.fork_engine.shell import Shell


# How long a kernel goes on after `exit`, as in ipykernel: cells that begin until then are run.
_EXIT_SECONDS = 0.1
_MOST_AT_ONCE = 1 << 20


def live(end: socket.socket, stdout: int, stderr: int, lifeline: int, mark: bytes) -> NoReturn:
    """
    Run cells until the engine says `end` or goes away; never returns.

    `stdout` and `stderr` are the pipes that the engine reads, and `lifeline` is
    one that closes when the engine's process ends.
    """
    status = 1
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        streams = _part_from_parent(end, stdout, stderr, lifeline)
        channel = Channel(end)
        publisher = _Publisher(channel, (stdout, stderr), mark)
        try:
            from runbook_lib.fork_engine.shell import make_shell  # noqa: PLC0415  (loads IPython)

            begin = channel.receive()
            if begin is not None:
                _settle(begin)
                shell = make_shell(publisher.publish)
                for stream in streams:
                    stream.on_flush = publisher.publish
        except Exception as error:  # noqa: BLE001  (nbclient then runs the notebook)
            publisher.publish("failed", reason=f"{type(error).__name__}: {error}")
        else:
            if begin is not None:
                publisher.publish("ready")
                asyncio.run(_serve(shell, channel, publisher))
            status = 0
    finally:
        os._exit(status)


def _part_from_parent(
    end: socket.socket, stdout: int, stderr: int, lifeline: int
) -> tuple[_Stream, _Stream]:
    """Give up what was inherited; return the new standard output and standard error."""
    if os.getsid(0) != os.getpid():
        os.setsid()
    _end_with(lifeline)
    # What the parent made is neither looked through nor finalised: its files are closed here.
    gc.freeze()
    gc.enable()
    sys.settrace(None)
    sys.setprofile(None)
    _reset_signals()
    with open(os.devnull, "rb") as nothing:  # noqa: PTH123
        os.dup2(nothing.fileno(), 0)
    os.dup2(stdout, 1)
    os.dup2(stderr, 2)
    for descriptor in (end.fileno(), stdout, stderr, lifeline):
        os.set_inheritable(descriptor, False)  # noqa: FBT003  (to programs that cells start)
    _close_all_but({0, 1, 2, end.fileno(), stdout, stderr, lifeline})
    sys.stdin = sys.__stdin__ = open(0, closefd=False)  # type: ignore[misc]  # noqa: SIM115
    streams = _Stream("stdout", stdout), _Stream("stderr", stderr)
    sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__ = streams  # type: ignore[misc]
    faulthandler.enable(2)
    atexit._clear()  # noqa: SLF001  (the parent's)
    asyncio._set_running_loop(None)  # noqa: SLF001
    asyncio.set_event_loop(None)
    _reset_hooks()
    _reset_libraries()
    return streams


def _end_with(lifeline: int) -> None:
    """
    Have the kernel kill this process and its group when the other end of `lifeline` closes.

    Linux only: elsewhere `_watch` does it, but not while a cell holds the GIL.
    """
    if hasattr(fcntl, "F_SETSIG"):
        fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpgrp())
        fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(lifeline, fcntl.F_SETFL, os.O_ASYNC)


def _reset_signals() -> None:
    signal.set_wakeup_fd(-1)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _close_all_but(kept: set[int]) -> None:
    try:
        inherited = {int(name) for name in os.listdir("/dev/fd")}  # noqa: PTH208
    except OSError:
        inherited = set(range(os.sysconf("SC_OPEN_MAX")))
    for descriptor in inherited - kept:
        with contextlib.suppress(OSError):
            os.close(descriptor)


def _reset_hooks() -> None:
    """Undo what the parent, or what tests it, wants to know of errors, warnings and logs."""
    sys.excepthook = sys.__excepthook__
    sys.unraisablehook = sys.__unraisablehook__
    sys.displayhook = sys.__displayhook__
    threading.excepthook = threading.__excepthook__
    logging.root.handlers.clear()
    logging.root.setLevel(logging.WARNING)
    warnings.showwarning = warnings._showwarning_orig  # type: ignore[attr-defined]  # noqa: SLF001
    warnings._showwarnmsg_impl = _show_warning  # type: ignore[attr-defined]  # noqa: SLF001


def _show_warning(message: warnings.WarningMessage) -> None:
    text = warnings._formatwarnmsg(message)  # type: ignore[attr-defined]  # noqa: SLF001
    with contextlib.suppress(OSError):
        (message.file or sys.stderr).write(text)


def _reset_warnings(options: list[str]) -> None:
    """Filter warnings as a new interpreter does (The Python Standard Library, `warnings`)."""
    # Those that libraries which are loaded already have set for their own categories stay.
    kept = [entry for entry in warnings.filters if entry[2].__module__ != "builtins"]
    warnings.resetwarnings()
    for hidden in (
        ResourceWarning,
        ImportWarning,
        PendingDeprecationWarning,
        DeprecationWarning,
    ):
        warnings.simplefilter("ignore", hidden)
    warnings.filters[:0] = kept  # type: ignore[index]
    warnings.filterwarnings("default", category=DeprecationWarning, module="__main__")
    sys.warnoptions[:] = options
    warnings._processoptions(options)  # type: ignore[attr-defined]  # noqa: SLF001


def _reset_libraries() -> None:
    """Undo what modules keep of the parent's run; `random` reseeds itself after a fork."""
    random.seed()
    if numpy := sys.modules.get("numpy.random"):
        numpy.seed()
    if tqdm := sys.modules.get("tqdm.std"):
        tqdm.tqdm._instances.clear()  # noqa: SLF001  (the parent's bar would take the first line)
    if "ipykernel.ipkernel" in sys.modules:
        # It has put its own comms in place of those that lead nowhere.
        comm = sys.modules["comm"]
        comm.create_comm = comm._create_comm  # type: ignore[attr-defined]  # noqa: SLF001
        comm.get_comm_manager = comm._get_comm_manager  # type: ignore[attr-defined]  # noqa: SLF001


def _settle(begin: Message) -> None:
    """Take over the environment and the working directory of the run."""
    environment: dict[str, str] = begin["environment"]
    os.environ.clear()
    _wipe_first_environment()
    os.environ.update(environment)
    os.chdir(begin["directory"])
    time.tzset()
    tempfile.tempdir = None
    # The script's folder, which is the parent's, and the working directory are not a kernel's.
    if sys.path and sys.path[0] in (str(Path(sys.argv[0]).resolve().parent), begin["directory"]):
        del sys.path[0]
    for entry in reversed(environment.get("PYTHONPATH", "").split(os.pathsep)):
        if entry and entry not in sys.path:
            sys.path.insert(0, entry)
    sys.argv = ["ipykernel_launcher"]
    _reset_warnings(
        [option for option in environment.get("PYTHONWARNINGS", "").split(",") if option]
    )


def _wipe_first_environment() -> None:
    """
    Overwrite the environment that this process was started with, which /proc shows.

    Best effort, on Linux: fields 50 and 51 of proc_pid_stat(5).
    """
    try:
        fields = Path("/proc/self/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        start, end = int(fields[47]), int(fields[48])
    except (OSError, ValueError, IndexError):
        return
    if 0 < start < end:
        ctypes.memset(start, 0, end - start)


class _Stream(io.TextIOWrapper):
    """Writes to a pipe at once, so that output keeps its order with that of other programs."""

    def __init__(self, name: str, descriptor: int) -> None:
        raw = io.FileIO(descriptor, "w", closefd=False)
        super().__init__(raw, "UTF-8", ERRORS, newline="\n", write_through=True)
        self._name = name
        self.on_flush: Callable[..., None] | None = None

    def write(self, text: str, /) -> int:
        """Write `text`, of which a long one is not copied whole."""
        if not isinstance(text, str) or len(text) <= _MOST_AT_ONCE:
            return super().write(text)
        for start in range(0, len(text), _MOST_AT_ONCE):
            super().write(text[start : start + _MOST_AT_ONCE])
        return len(text)

    @property
    def name(self) -> str:
        """Return `stdout` or `stderr`, as ipykernel does."""
        return self._name

    def flush(self) -> None:
        """Have the engine show what was written, before what the other stream gets later."""
        if self.on_flush:
            self.on_flush("flush", name=self._name)


class _Publisher:
    """Sends messages, each after its mark in both pipes; from any thread."""

    def __init__(self, channel: Channel, pipes: tuple[int, int], mark: bytes) -> None:
        self._channel = channel
        self._pipes = pipes
        self._mark = mark
        self._lock = threading.RLock()
        self._process = os.getpid()

    def publish(self, kind: str, **content: Any) -> None:
        """Send a message; a process that a cell forked shows text only."""
        data = encode({"type": kind, **content})
        if (size := len(data)) > CELL_BYTES:
            content = {**content, **shortened(content)} if "ename" in content else {}
            kind = kind if content else "left_out"
            data = encode({"type": kind, **content, "left_out": size})
        if os.getpid() != self._process:
            if text := content.get("data", {}).get("text/plain"):
                sys.stdout.write(f"{text}\n")
            return
        with self._lock:
            for pipe in self._pipes:
                os.write(pipe, self._mark)  # whole: no longer than PIPE_BUF
            self._channel.socket.sendall(data)


async def _serve(shell: Shell, channel: Channel, publisher: _Publisher) -> None:
    """Run cells inside the loop, as ipykernel does, so that tasks live on between them."""
    loop = asyncio.get_running_loop()
    messages: asyncio.Queue[Message] = asyncio.Queue()
    watcher = threading.Thread(target=_watch, args=(channel, loop, messages), daemon=True)
    watcher.start()
    process = os.getpid()
    shell.on_exit = partial(loop.call_later, _EXIT_SECONDS, _exit)
    while (message := await messages.get())["type"] == "execute":
        publisher.publish("execute_input", execution_count=shell.execution_count)
        content = await _execute(shell, message["source"])
        if os.getpid() != process:  # a cell forked, and its child came here as well
            os._exit(0)
        publisher.publish("execute_reply", **content)
    _run_exit_handlers()


def _exit() -> NoReturn:
    """End as a kernel does after `exit`, whichever cell runs by now."""
    _run_exit_handlers()
    os._exit(0)


def _watch(
    channel: Channel, loop: asyncio.AbstractEventLoop, messages: asyncio.Queue[Message]
) -> None:
    """Hand over messages; when the engine is gone, kill this process and what cells started."""
    while (message := channel.receive()) is not None:
        loop.call_soon_threadsafe(messages.put_nowait, message)
    os.killpg(0, signal.SIGKILL)


async def _execute(shell: Shell, source: str) -> Message:
    """Run a cell and return how it ended."""
    shell.begin_cell()
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
    content: Message = {"status": "ok", "execution_count": shell.execution_count - 1}
    if not result.success or shell.has_display_failed:
        error = result.error_before_exec or result.error_in_exec
        content.update(
            status="error",
            ename=type(error).__name__,
            evalue=str(error),
            traceback=shell.last_traceback,
        )
    return content


@contextlib.contextmanager
def _interruptible(handler: Callable[..., Any]) -> Any:
    """Let SIGINT interrupt a cell, and nothing else."""
    signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _run_exit_handlers() -> None:
    """Wait for the threads, and run the exit handlers, that cells left; as far as this can be."""
    with contextlib.suppress(Exception):
        threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001
    with contextlib.suppress(Exception):
        atexit._run_exitfuncs()  # noqa: SLF001
