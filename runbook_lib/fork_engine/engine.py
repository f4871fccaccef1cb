"""
The engine: what papermill calls, and what drives a child through a notebook's cells.

Where the child cannot do it, nbclient does, and the notebook's metadata say
why: `papermill.engine` is `{"name": "fork"}` or
`{"name": "nbclient", "reason": …}`.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from runbook_lib.fork_engine.child import Child, DiedError, start_child
from runbook_lib.fork_engine.kernels import NotOursError, kernel_environment
from runbook_lib.fork_engine.outputs import Outputs, timestamp
from runbook_lib.fork_engine.wire import Message, Output

__all__ = ["ForkEngine"]

_TICK_SECONDS = 0.05
# How long text waits for more, as in ipykernel: what was written to the two streams alternately
# is then two outputs, not many.
_FLUSH_SECONDS = 0.2
# How long nbclient lets a kernel shut down.
_END_SECONDS = 5.0
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
_START_SECONDS = 60.0
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


class ForkEngine:
    """
    Executes a notebook's cells in a forked child.

    NOTE: it does not inherit from papermill's `Engine`: papermill loads its
    engines while it is imported itself, and this module must cost nothing then.
    """

    @classmethod
    def execute_notebook(
        cls,
        nb: Any,
        kernel_name: str,
        *,
        output_path: str | None = None,
        progress_bar: bool | dict[str, Any] = True,
        log_output: bool = False,
        autosave_cell_every: int = 30,
        child: Child | None = None,
        **keywords: Any,
    ) -> Any:
        """Execute `nb` and return it, saving it at most once a second; called by papermill."""
        from runbook_lib.fork_engine.saving import SavingManager  # noqa: PLC0415  (loads papermill)

        if child is None and hasattr(os, "fork"):
            child = start_child()  # before a progress bar starts its thread
        try:
            manager = SavingManager(
                nb,
                output_path=output_path,
                progress_bar=progress_bar,
                log_output=log_output,
                autosave_cell_every=autosave_cell_every,
            )
            manager.notebook_start()
            try:
                cls.execute_managed_notebook(
                    manager, kernel_name, log_output=log_output, child=child, **keywords
                )
            finally:
                manager.cleanup_pbar()
                manager.notebook_complete()
        finally:
            if child is not None:
                child.close()
        return manager.nb

    @classmethod
    def execute_managed_notebook(
        cls,
        nb_man: Any,
        kernel_name: str,
        *,
        child: Child | None = None,
        environment: Mapping[str, str] | None = None,
        on_tick: Callable[[], None] | None = None,
        **options: Any,
    ) -> None:
        """
        Execute the notebook of `nb_man`, in `child` or one that is started now.

        The cells get `environment` (by default this process's) and nothing
        else. `on_tick` is called about twenty times a second while a cell
        runs; when it raises, or a signal does, the child and all that its
        cells started are killed before the exception goes on. The other
        options are those of papermill's `NBClientEngine`.

        Raises nbclient's `DeadKernelError` and `CellTimeoutError`, after the
        cell was marked as failed.
        """
        given = dict(os.environ if environment is None else environment)
        about = nb_man.nb.metadata.setdefault("papermill", {})
        try:
            try:
                settings = _Settings(options)
                given.update(kernel_environment(kernel_name))
                child = child or start_child()
                run = _Run(child, nb_man, settings, on_tick)
                run.begin(given, options.get("start_timeout") or _START_SECONDS)
            except (NotOursError, DiedError, OSError) as error:
                reason = str(error)
            else:
                about["engine"] = {"name": "fork"}
                run.execute_all()
                return
        finally:
            if child is not None:
                child.close()
        from runbook_lib.fork_engine.fallback import execute  # noqa: PLC0415  (loads nbclient)

        about["engine"] = {"name": "nbclient", "reason": reason}
        execute(nb_man, kernel_name, environment, on_tick, options)

    @classmethod
    def nb_kernel_name(cls, nb: Any, name: str | None = None) -> str:
        """Return the name of the kernel that the notebook asks for."""
        from papermill.utils import nb_kernel_name  # noqa: PLC0415

        found: str = nb_kernel_name(nb, name)
        return found

    @classmethod
    def nb_language(cls, nb: Any, language: str | None = None) -> str:
        """Return the notebook's language."""
        from papermill.utils import nb_language  # noqa: PLC0415

        found: str = nb_language(nb, language)
        return found


class _Settings:
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


class _Run:
    """One notebook in one child."""

    def __init__(
        self, child: Child, nb_man: Any, settings: _Settings, on_tick: Callable[[], None] | None
    ) -> None:
        self._child = child
        self._manager = nb_man
        self._settings = settings
        self._on_tick = on_tick
        self._outputs = Outputs(nb_man.nb, self._log)
        self._write: Callable[[str, str], None] = self._outputs.write
        self._next_tick = 0.0
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
        timeout = self._settings.timeout(cell)
        deadline = time.monotonic() + timeout if timeout else None
        times = {}
        try:
            self._child.send({"type": "execute", "source": cell.source})
            while (message := self._receive(deadline)) is None or message["type"] != _REPLY:
                if message is None:
                    deadline = time.monotonic() + self._time_out(cell, timeout)
                    continue
                if message["type"] == "execute_input":
                    times["iopub.status.busy"] = times["iopub.execute_input"] = timestamp()
                self._outputs.show(message)
                self._manager.autosave_cell()
        except DiedError:
            self._log_error("Kernel died while waiting for execute reply.")
            self._child.kill()
            for output in self._child.outputs:
                self._write(output.name, output.take_rest())
            from nbclient.exceptions import DeadKernelError  # noqa: PLC0415  (slow to import)

            msg = "Kernel died"
            raise DeadKernelError(msg) from None
        if self._settings.records_timing:
            times["shell.execute_reply"] = times["iopub.status.idle"] = timestamp()
            cell.metadata["execution"] = times
        if message["status"] == "ok" or self._settings.allows_error(cell, message["ename"]):
            return None
        from nbclient.exceptions import CellExecutionError  # noqa: PLC0415

        error: Exception = CellExecutionError.from_cell_and_msg(cell, message)
        return error

    def _time_out(self, cell: Any, timeout: Any) -> float:
        """Interrupt the cell and return how long it may take now, or raise `CellTimeoutError`."""
        seconds: float = timeout
        self._log_error(f"Timeout waiting for execute reply ({seconds:.0f}s).")
        if not self._settings.is_interrupted_on_timeout:
            from nbclient.exceptions import CellTimeoutError  # noqa: PLC0415

            what = "Cell execution timed out"
            raise CellTimeoutError.error_from_timeout_and_cell(what, timeout, cell)
        self._log_error("Interrupting kernel")
        self._child.interrupt()
        return seconds

    def _receive(self, deadline: float | None) -> Message | None:
        """
        Return the next message, or None after `deadline`, and put what was written before it.

        Raises `DiedError` if there is none, because the child is gone.
        """
        child, is_alive = self._child, True
        while (message := child.channel.pop()) is None:
            now = time.monotonic()
            if deadline is not None and now >= deadline:
                return None
            if not (is_alive and child.is_open):
                raise DiedError
            if now >= self._next_tick:
                self._tick(now)
                is_alive = child.is_alive()
            due = min(self._next_tick, deadline or now + 1, *self._flush_at.values(), now + 1)
            child.read(due - now if is_alive else 0.0)
            self._flush_due()
        for output in child.outputs:
            output.read_up_to_mark()
            if message["type"] != "flush" or message["name"] == output.name:
                self._flush(output)
            output.pass_mark()
        return message

    def _flush_due(self) -> None:
        """Put text into the notebook that has waited long enough for more."""
        now = time.monotonic()
        for output in self._child.outputs:
            if output.has_text:
                due = self._flush_at.setdefault(output.name, now + _FLUSH_SECONDS)
                if due <= now:
                    self._flush(output)

    def _flush(self, output: Output) -> None:
        self._flush_at.pop(output.name, None)
        self._write(output.name, output.take())

    def _tick(self, now: float) -> None:
        self._next_tick = now + _TICK_SECONDS
        if save_if_due := getattr(self._manager, "save_if_due", None):
            save_if_due()
        if self._on_tick:
            self._on_tick()

    def _log(self, output: Any) -> None:
        """Copy an output to where papermill's options say."""
        if output.output_type == "stream":
            if self._settings.log_output:
                level = logging.INFO if output.name == "stdout" else logging.WARNING
                _papermill_log().log(level, output.text)
            if file := self._settings.files[output.name]:
                file.write(output.text)
                file.flush()
        elif self._settings.log_output and "text/plain" in output.get("data", ()):
            _papermill_log().info(output.data["text/plain"])

    def _log_error(self, message: str) -> None:
        _papermill_log().error(message)


def _papermill_log() -> logging.Logger:
    return logging.getLogger("papermill")
