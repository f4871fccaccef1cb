"""
One run of a notebook in a child: what is sent, what comes back, and what the notebook gets of it.

The options are those of papermill's own engine, and so are the errors.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from nbclient.client import timestamp
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

from runbook_lib.fork_engine.child import Child, DiedError, Message, Text
from runbook_lib.fork_engine.fallback import Client, NotOursError
from runbook_lib.fork_engine.outputs import Outputs

_TICK_SECONDS = 0.05
# How long text waits for more, as in ipykernel: what was written to the two streams alternately
# is then two outputs, not many.
_FLUSH_SECONDS = 0.2
_FLUSH_CHARACTERS = 1 << 20
# How long a cell that took too long may take to say where it was.
_INTERRUPT_SECONDS = 3.0
# The options of papermill's engine that mean something here, or nothing. Others are nbclient's.
_OPTIONS = frozenset(
    {
        "allow_error_names",
        "allow_errors",
        "execution_timeout",
        "force_raise_errors",
        "input_path",
        "interrupt_on_timeout",
        "iopub_timeout",
        "ipython_hist_file",
        "log_output",
        "raise_on_iopub_timeout",
        "record_timing",
        "shell_timeout_interval",
        "shutdown_kernel",
        "skip_cells_with_tag",
        "start_timeout",
        "startup_timeout",
        "stderr_file",
        "stdout_file",
        "store_widget_state",
        "timeout",
        "timeout_func",
    }
)
_LANGUAGE = {
    "name": "python",
    "version": sys.version.split()[0],
    "mimetype": "text/x-python",
    "codemirror_mode": {"name": "ipython", "version": sys.version_info.major},
    "pygments_lexer": "ipython3",
    "nbconvert_exporter": "python",
    "file_extension": ".py",
}


class Run:
    """
    One notebook in one child, with the options of `client`, which nothing else is used of.

    Raises `NotOursError` for an option that only nbclient knows.
    """

    def __init__(
        self,
        child: Child,
        client: Client,
        on_tick: Callable[[], None] | None,
        options: Mapping[str, Any],
    ) -> None:
        if rest := options.keys() - _OPTIONS:
            msg = f"only nbclient has the option {', '.join(sorted(rest))}"
            raise NotOursError(msg)
        self._child = child
        self._client: Any = client
        self._manager = client.nb_man
        self._on_tick = on_tick
        self._outputs = Outputs(client.nb, client.log_output_message)
        self._next_tick = 0.0
        # Whether something was shown since the last tick.
        self._has_news = False
        # When the text that has come for a stream is put into the notebook.
        self._flush_at: dict[str, float] = {}

    def begin(self, environment: Mapping[str, str]) -> None:
        """
        Give the child its environment and directory, and wait until it is ready.

        Raises `NotOursError` or `DiedError` if it never is.
        """
        self._child.send((dict(environment), os.getcwd()))  # noqa: PTH109
        patience_seconds = self._client.startup_timeout
        deadline = time.monotonic() + patience_seconds
        while (answer := self._child.receive(_TICK_SECONDS)) is None and (
            (now := time.monotonic()) < deadline
        ):
            self._tick(now)
        for text in self._child.texts:
            text.take()  # it belongs to no cell
        if answer is None:
            msg = f"the child was not ready after {patience_seconds} s"
            raise NotOursError(msg)
        if answer["type"] == "failed":
            msg = f"the child could not start: {answer['content']['reason']}"
            raise NotOursError(msg)
        # The number of the cell that is executed next.
        self._count = answer["content"]["execution_count"]

    def execute_all(self) -> None:
        """Execute all cells, up to one that fails."""
        manager, nb = self._manager, self._manager.nb
        for index, cell in enumerate(nb.cells):
            try:
                manager.cell_start(cell, index)
                tags = cell.metadata.get("tags", ())
                error = None
                if (
                    cell.cell_type == "code"
                    and cell.source.strip()
                    and self._client.skip_cells_with_tag not in tags
                ):
                    error = self._execute(cell, index)
                if error:
                    manager.cell_exception(cell, cell_index=index, exception=error)
                    break
            except BaseException as broken:
                self._child.kill()
                for text in self._child.texts:
                    text.read()
                    self._flush(text)
                manager.cell_exception(cell, cell_index=index, exception=broken)
                raise
            finally:
                manager.cell_complete(cell, cell_index=index)
        nb.metadata["language_info"] = _LANGUAGE

    def _execute(self, cell: Any, index: int) -> Exception | None:
        """Execute a cell; return the exception that ends the notebook, if it raised one."""
        self._outputs.begin_cell(index)
        begin = timestamp()
        client = self._client
        timeout = client.timeout_func(cell) if client.timeout_func else client.timeout
        try:
            self._child.send(cell.source)
            cell.execution_count = self._count
            reply = self._follow(time.monotonic() + timeout if timeout and timeout > 0 else None)
            if reply is None:
                reply = self._time_out(cell, timeout)
        except DiedError:
            msg = "Kernel died"
            client.log.error(f"{msg} while waiting for execute reply.")  # noqa: TRY400
            raise DeadKernelError(msg) from None
        self._count = reply["execution_count"]
        if client.record_timing:
            cell.metadata["execution"] = {
                "iopub.status.busy": begin,
                "iopub.execute_input": begin,
                "shell.execute_reply": (end := timestamp()),
                "iopub.status.idle": end,
            }
        if reply["status"] == "ok" or (
            not client.force_raise_errors
            and (
                client.allow_errors
                or reply["ename"] in client.allow_error_names
                or "raises-exception" in cell.metadata.get("tags", ())
            )
        ):
            return None
        error: Exception = CellExecutionError.from_cell_and_msg(cell, reply)
        return error

    def _follow(self, deadline: float | None) -> Message | None:
        """Show what the cell shows until it ends; return its reply, or None after `deadline`."""
        while message := self._receive(deadline):
            if message["type"] == "execute_reply":
                content: Message = message["content"]
                return content
            self._outputs.show(message)
            self._has_news = True
            self._child.send(None)
        return None

    def _time_out(self, cell: Any, timeout: Any) -> Message:
        """
        Interrupt the cell; return its reply, or raise `CellTimeoutError`.

        In both cases the notebook shows where the cell was: as with nbclient,
        which interrupts a kernel before it shuts it down.
        """
        reply = None
        while reply is None:
            self._client.log.error("Timeout waiting for execute reply (%is).", timeout)
            self._child.interrupt()
            if not self._client.interrupt_on_timeout:
                with contextlib.suppress(DiedError):
                    self._follow(time.monotonic() + _INTERRUPT_SECONDS)
                what = "Cell execution timed out"
                raise CellTimeoutError.error_from_timeout_and_cell(what, timeout, cell)
            reply = self._follow(time.monotonic() + timeout)
        return reply

    def _receive(self, deadline: float | None) -> Message | None:
        """
        Return the next message, or None after `deadline`, and put what was written before it.

        Raises `DiedError` if there is none, because the child is gone.
        """
        while True:
            now = time.monotonic()
            if now >= self._next_tick:
                self._tick(now)
            if deadline is not None and now >= deadline:
                return None
            due = min(self._next_tick, *self._flush_at.values(), deadline or self._next_tick)
            message = self._child.receive(due - now)
            for text in self._child.texts:
                if message and message["content"].get("name", text.name) == text.name:
                    self._flush(text)
                elif text.waiting:
                    at = self._flush_at.setdefault(text.name, now + _FLUSH_SECONDS)
                    if at <= now or text.waiting >= _FLUSH_CHARACTERS:
                        self._flush(text)
            if message:
                return message

    def _flush(self, text: Text) -> None:
        self._flush_at.pop(text.name, None)
        if written := text.take():
            self._outputs.write(text.name, written)
            self._has_news = True

    def _tick(self, now: float) -> None:
        self._next_tick = now + _TICK_SECONDS
        if self._has_news:
            self._has_news = False
            self._manager.autosave_cell()
        self._manager.save_if_due()
        if self._on_tick:
            self._on_tick()
