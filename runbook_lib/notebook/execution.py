"""
Papermill runs the notebooks; nobody is asked, and papermill's verdict is not believed.

What a step came to is in the journal, written by the kernel. Papermill's
own status is not read: with the kernel killed it calls cells completed that
never ran.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

__all__ = ["execute_notebook"]

_TICK_SECONDS = 0.05
_CELL_SECONDS = 300
_JOIN_SECONDS = 10


def execute_notebook(
    source: Path,
    output: Path,
    parameters: Mapping[str, Any],
    *,
    environment: Mapping[str, str],
    on_tick: Callable[[], None],
) -> str:
    """
    Have papermill execute `source` into `output`, and return why it broke off.

    Returns an empty text where every cell had its turn. The kernel gets
    `environment`, and nothing else of this process's. Calls `on_tick` about
    twenty times a second meanwhile, from the caller's thread. When that
    raises, or a signal does, the kernel is killed before the exception goes on.
    """
    worker = _Worker(source, output, parameters, environment)
    worker.start()
    try:
        while worker.is_alive():
            worker.join(_TICK_SECONDS)
            on_tick()
    except BaseException:
        worker.kill_kernel()
        worker.join(_JOIN_SECONDS)
        raise
    return worker.error


class _Worker(threading.Thread):
    """
    Papermill in a thread of its own.

    NOTE: nbclient replaces the signal handlers of the main thread while it
    runs, and then loses the signal; off the main thread it leaves them alone.
    """

    def __init__(
        self,
        source: Path,
        output: Path,
        parameters: Mapping[str, Any],
        environment: Mapping[str, str],
    ) -> None:
        super().__init__(name=f"papermill {source.name}", daemon=True)
        self._environment = dict(environment)
        self._arguments = (str(source), str(output), dict(parameters))
        self._managers: list[Any] = []
        self.error = ""

    def run(self) -> None:
        import papermill  # noqa: PLC0415  (slow to import; a failed setting need not pay for it)
        from nbclient.exceptions import DeadKernelError  # noqa: PLC0415

        source, output, parameters = self._arguments
        folder = tempfile.TemporaryDirectory(prefix="runbook-kernel-", ignore_cleanup_errors=True)
        try:
            papermill.execute_notebook(
                source,
                output,
                parameters,
                progress_bar=False,
                log_output=False,
                store_widget_state=False,
                execution_timeout=_CELL_SECONDS,
                # NOTE: a graceful shutdown now and then waits three seconds for a kernel that has
                # nothing left to save: the journal is on disk.
                shutdown_kernel="immediate",
                kernel_manager_class=self._manager_class(Path(folder.name)),
            )
        except papermill.PapermillExecutionError as error:
            self.error = f"a cell raised {error.ename}: {error.evalue}"
        except DeadKernelError:
            self.error = "the kernel died"
        except Exception as error:  # noqa: BLE001  (whatever breaks papermill, the run goes on)
            self.error = f"papermill broke off ({type(error).__name__}: {error})"
        finally:
            folder.cleanup()

    def kill_kernel(self) -> None:
        """Kill the kernel at once; papermill then finds it dead and ends."""
        for manager in self._managers:
            with contextlib.suppress(AttributeError, ProcessLookupError):
                manager.provisioner.process.kill()

    def _manager_class(self, folder: Path) -> type:
        from jupyter_client.manager import AsyncKernelManager  # noqa: PLC0415

        managers, environment = self._managers, self._environment

        class RosteredKernelManager(AsyncKernelManager):
            """A kernel manager that this worker can find again; its files lie in `folder`."""

            def __init__(self, *args: Any, **kwargs: Any) -> None:
                super().__init__(*args, **kwargs)
                self.connection_file = str(folder / "kernel.json")
                if os.name == "posix":
                    # NOTE: sockets in a folder of mode 0700, where nobody else listens in; by
                    # default they lie in the working directory, where the next run has its own.
                    self.transport = "ipc"
                    self.ip = str(folder / "socket")
                managers.append(self)

            def start_kernel(self, **kw: Any) -> Any:
                """Start it in the environment that was given, not in this process's."""
                return super().start_kernel(**{**kw, "env": environment})

        return RosteredKernelManager
