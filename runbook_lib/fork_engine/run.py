"""
One run of a notebook in a child: what is sent, what comes back, and what the notebook gets of it.

The options are those of papermill's own engine, and so are the errors.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from runbook_lib.fork_engine.child import Child, DiedError
from runbook_lib.fork_engine.kernels import NotOursError
from runbook_lib.fork_engine.outputs import Outputs, timestamp
from runbook_lib.fork_engine.wire import Message, Output

_TICK_SECONDS = 0.05
# How long text waits for more, as in ipykernel: what was written to the two streams alternately
# is then two outputs, not many.
_FLUSH_SECONDS = 0.2
_FLUSH_CHARACTERS = 1 << 20
# How long nbclient lets a kernel shut down.
_END_SECONDS = 5.0
# How long a cell that took too long may take to say where it was.
_INTERRUPT_SECONDS = 1.0
# What nbclient takes and a child has no use for.
_MEANINGLESS = frozenset(
    {
        "input_path",
        "iopub_timeout",
        "ipython_hist_file",
        "raise_on_iopub_timeout",
        "shell_timeout_interval",
        "shutdown_kernel",
        "start_timeout",
        "startup_timeout",
        "store_widget_state",
    }
)
_REPLY = "execute_reply"
_LANGUAGE = {
    "name": "python",
    "version": sys.version.split()[0],
    "mimetype": "text/x-python",
    "codemirror_mode": {"name": "ipython", "version": sys.version_info.major},
    "pygments_lexer": "ipython3",
    "nbconvert_exporter": "python",
    "file_extension": ".py",
}


class Settings:
    """
    The options of papermill's own engine that mean something here.

    Raises `NotOursError` for one that only nbclient knows.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        rest = {name: value for name, value in options.items() if name not in _MEANINGLESS}
        self.log_output = bool(rest.pop("log_output", False))
        self.files = {
            "stdout": rest.pop("stdout_file", None),
            "stderr": rest.pop("stderr_file", None),
        }
        timeout = rest.pop("timeout", None)
        self._timeout = rest.pop("execution_timeout", None) or timeout
        self._timeout_of = rest.pop("timeout_func", None)
        self.is_interrupted_on_timeout = bool(rest.pop("interrupt_on_timeout", False))
        self._allows_errors = bool(rest.pop("allow_errors", False))
        self._allowed_names = tuple(rest.pop("allow_error_names", ()))
        self._raises_always = bool(rest.pop("force_raise_errors", False))
        self._skipped_tag = rest.pop("skip_cells_with_tag", "skip-execution")
        self.records_timing = bool(rest.pop("record_timing", True))
        self.is_ended_gently = options.get("shutdown_kernel") != "immediate"
        if rest:
            msg = f"only nbclient has the option {', '.join(sorted(rest))}"
            raise NotOursError(msg)

    def skips(self, cell: Any) -> bool:
        """Return whether `cell` is not executed."""
        is_code = cell.cell_type == "code" and cell.source.strip()
        return not is_code or self._skipped_tag in cell.metadata.get("tags", ())

    def allows_error(self, cell: Any, name: str) -> bool:
        """Return whether the notebook goes on after the exception `name` in `cell`."""
        return not self._raises_always and (
            self._allows_errors
            or name in self._allowed_names
            or "raises-exception" in cell.metadata.get("tags", ())
        )

    def timeout(self, cell: Any) -> float | None:
        """Return how many seconds `cell` may take; None for any number."""
        seconds = self._timeout_of(cell) if self._timeout_of else self._timeout
        return seconds if seconds and seconds > 0 else None


class Run:
    """One notebook in one child."""

    def __init__(
        self, child: Child, nb_man: Any, settings: Settings, on_tick: Callable[[], None] | None
    ) -> None:
        self._child = child
        self._manager = nb_man
        self._settings = settings
        self._on_tick = on_tick
        self._outputs = Outputs(nb_man.nb, self._log)
        self._write: Callable[[str, str], None] = self._outputs.write
        self._next_tick = 0.0
        # Whether something was shown since the last tick.
        self._has_news = False
        self._logger = logging.getLogger("papermill")
        # When the text that has come for a stream is put into the notebook.
        self._flush_at: dict[str, float] = {}

    def begin(self, environment: Mapping[str, str], patience_seconds: float) -> None:
        """
        Give the child its environment and directory, and wait until it is ready.

        Raises `NotOursError` or `DiedError` if it never is.
        """
        directory = os.getcwd()  # noqa: PTH109
        self._child.send(
            {"type": "begin", "environment": dict(environment), "directory": directory}
        )
        written: list[str] = []
        self._write = lambda name, text: written.append(text)  # noqa: ARG005
        deadline = time.monotonic() + patience_seconds
        # What a profile's start-up files show belongs to no cell.
        while (answer := self._receive(deadline)) and answer["type"] not in ("ready", "failed"):
            pass
        self._write = self._outputs.write
        if answer is None:
            msg = f"the child was not ready after {patience_seconds} s"
            raise NotOursError(msg)
        if answer["type"] == "failed":
            msg = f"the child could not start: {answer['reason']} {''.join(written)}".rstrip()
            raise NotOursError(msg)

    def execute_all(self) -> None:
        """Execute all cells, up to one that fails."""
        manager, nb = self._manager, self._manager.nb
        for index, cell in enumerate(nb.cells):
            try:
                manager.cell_start(cell, index)
                error = None if self._settings.skips(cell) else self._execute(cell, index)
                if error:
                    manager.cell_exception(cell, cell_index=index, exception=error)
                    break
            except BaseException as broken:
                self._child.kill()
                for output in self._child.outputs:
                    self._write(output.name, output.take_rest())
                manager.cell_exception(cell, cell_index=index, exception=broken)
                raise
            finally:
                manager.cell_complete(cell, cell_index=index)
        nb.metadata["language_info"] = _LANGUAGE
        if self._settings.is_ended_gently:
            self._child.end(_END_SECONDS)

    def _execute(self, cell: Any, index: int) -> Exception | None:
        """Execute a cell; return the exception that ends the notebook, if it raised one."""
        self._outputs.begin_cell(index)
        times: dict[str, str] = {}
        try:
            self._child.send({"type": "execute", "source": cell.source})
            reply = self._follow(cell, times)
        except DiedError:
            from nbclient.exceptions import DeadKernelError  # noqa: PLC0415  (slow to import)

            msg = "Kernel died"
            self._logger.error(f"{msg} while waiting for execute reply.")  # noqa: TRY400
            raise DeadKernelError(msg) from None
        if self._settings.records_timing:
            times["shell.execute_reply"] = times["iopub.status.idle"] = timestamp()
            cell.metadata["execution"] = times
        if reply["status"] == "ok" or self._settings.allows_error(cell, reply["ename"]):
            return None
        from nbclient.exceptions import CellExecutionError  # noqa: PLC0415

        error: Exception = CellExecutionError.from_cell_and_msg(cell, reply)
        return error

    def _follow(self, cell: Any, times: dict[str, str]) -> Message:
        """Show what the cell shows until it ends; return its reply."""
        timeout = self._settings.timeout(cell)
        deadline = time.monotonic() + timeout if timeout else None
        while (message := self._receive(deadline)) is None or message["type"] != _REPLY:
            if message is None:
                deadline = self._time_out(cell, timeout)
                continue
            if message["type"] == "execute_input":
                times["iopub.status.busy"] = times["iopub.execute_input"] = timestamp()
            self._outputs.show(message)
            self._has_news = True
        return message

    def _time_out(self, cell: Any, timeout: Any) -> float:
        """
        Interrupt the cell; return when it must have ended now, or raise `CellTimeoutError`.

        In both cases the notebook shows where the cell was: as with nbclient,
        which interrupts a kernel before it shuts it down.
        """
        self._logger.error("Timeout waiting for execute reply (%is).", timeout)
        self._child.interrupt()
        if self._settings.is_interrupted_on_timeout:
            return float(time.monotonic() + timeout)
        from nbclient.exceptions import CellTimeoutError  # noqa: PLC0415

        deadline = time.monotonic() + _INTERRUPT_SECONDS
        with contextlib.suppress(DiedError):
            while (message := self._receive(deadline)) and message["type"] != _REPLY:
                self._outputs.show(message)
        what = "Cell execution timed out"
        raise CellTimeoutError.error_from_timeout_and_cell(what, timeout, cell)

    def _receive(self, deadline: float | None) -> Message | None:
        """
        Return the next message, or None after `deadline`, and put what was written before it.

        Raises `DiedError` if there is none, because the child is gone.
        """
        child, is_alive = self._child, True
        while True:
            now = time.monotonic()
            if now >= self._next_tick:
                self._tick(now)
                is_alive = child.is_alive()
            if deadline is not None and now >= deadline:
                return None
            if message := child.channel.pop():
                break
            if not (is_alive and child.is_open):
                raise DiedError
            due = min(self._next_tick, *self._flush_at.values(), deadline or self._next_tick)
            child.read(due - now if is_alive else 0.0)
            self._flush_due()
        for output in child.outputs:
            output.read_up_to_mark()
            if message["type"] != "flush" or message["name"] == output.name:
                self._flush(output)
            output.pass_mark()
        return message

    def _flush_due(self) -> None:
        """Put text into the notebook that has waited long enough for more, or is enough."""
        now = time.monotonic()
        for output in self._child.outputs:
            if output.waiting:
                due = self._flush_at.setdefault(output.name, now + _FLUSH_SECONDS)
                if due <= now or output.waiting >= _FLUSH_CHARACTERS:
                    self._flush(output)

    def _flush(self, output: Output) -> None:
        self._flush_at.pop(output.name, None)
        if text := output.take():
            self._write(output.name, text)
            self._has_news = True

    def _tick(self, now: float) -> None:
        self._next_tick = now + _TICK_SECONDS
        if self._has_news:
            self._has_news = False
            self._manager.autosave_cell()
        if save_if_due := getattr(self._manager, "save_if_due", None):
            save_if_due()
        if self._on_tick:
            self._on_tick()

    def _log(self, output: Any) -> None:
        """Copy an output to where papermill's options say."""
        if output.output_type == "stream":
            if self._settings.log_output:
                level = logging.INFO if output.name == "stdout" else logging.WARNING
                self._logger.log(level, output.text)
            if file := self._settings.files[output.name]:
                file.write(output.text)
                file.flush()
        elif self._settings.log_output and "text/plain" in output.get("data", ()):
            self._logger.info(output.data["text/plain"])
