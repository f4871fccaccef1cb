"""
Papermill runs the notebook, unattended; its own status is not used.

The kernel writes the outcomes of steps into the journal. Papermill calls cells
completed that never ran, when the kernel is killed.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from runbook_lib.core.scratch import scratch_folder

__all__ = ["execute_notebook"]

_TICK_SECONDS = 0.05
_CELL_SECONDS = 300
_JOIN_SECONDS = 10
# How long a kernel may take to answer, and how many are started before giving up.
_ANSWER_SECONDS = 60
_STARTS = 2
# A socket's address is no longer (unix(7): sun_path has 108 bytes).
_LONGEST_SOCKET = 100


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

    Returns an empty text if every cell ran. The kernel gets
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
        """Execute the notebook; a kernel that never answers is started once more."""
        for _ in range(_STARTS):
            self.error = self._execute()
            if not self.error or any(manager.has_answered for manager in self._managers):
                return

    def _execute(self) -> str:
        import papermill  # noqa: PLC0415  (slow to import; a failed setting need not pay for it)
        from nbclient.exceptions import DeadKernelError  # noqa: PLC0415

        source, output, parameters = self._arguments
        try:
            with scratch_folder() as folder:
                papermill.execute_notebook(
                    source,
                    output,
                    parameters,
                    progress_bar=False,
                    log_output=False,
                    store_widget_state=False,
                    start_timeout=_ANSWER_SECONDS,
                    execution_timeout=_CELL_SECONDS,
                    # NOTE: a graceful shutdown now and then waits three seconds for a kernel that
                    # has nothing left to save: the journal is on disk.
                    shutdown_kernel="immediate",
                    kernel_manager_class=self._manager_class(folder),
                )
        except papermill.PapermillExecutionError as error:
            return f"a cell raised {error.ename}: {error.evalue}"
        except DeadKernelError:
            return "the kernel died"
        except Exception as error:  # noqa: BLE001  (whatever breaks papermill, the run goes on)
            return f"papermill broke off ({type(error).__name__}: {error})"
        return ""

    def kill_kernel(self) -> None:
        """Kill the kernel at once; papermill then finds it dead and ends."""
        for manager in self._managers:
            with contextlib.suppress(AttributeError, ProcessLookupError):
                manager.provisioner.process.kill()

    def _manager_class(self, folder: Path) -> type:
        from jupyter_client.asynchronous.client import AsyncKernelClient  # noqa: PLC0415
        from jupyter_client.manager import AsyncKernelManager  # noqa: PLC0415

        managers, environment = self._managers, self._environment

        class ListeningClient(AsyncKernelClient):
            """A client that notes on its manager when the kernel has answered."""

            async def wait_for_ready(self, timeout: float | None = None) -> None:
                """Wait for the kernel's first answer."""
                await super().wait_for_ready(timeout=timeout)
                manager: Any = self.parent
                manager.has_answered = True

        class RosteredKernelManager(AsyncKernelManager):
            """A kernel manager that this worker can find again; its files are in `folder`."""

            has_answered = False

            def __init__(self, *args: Any, **kwargs: Any) -> None:
                super().__init__(*args, **kwargs)
                self.connection_file = str(folder / "kernel.json")
                self.client_factory = ListeningClient
                socket = str(folder / "socket")
                if os.name == "posix" and len(os.fsencode(socket)) < _LONGEST_SOCKET:
                    # NOTE: sockets in a folder of mode 0700, where nobody else listens in; by
                    # default they are in the working directory, where the next run has its own.
                    self.transport = "ipc"
                    self.ip = socket
                managers.append(self)

            def start_kernel(self, **kw: Any) -> Any:
                """Start it in the environment that was given, not in this process's."""
                return super().start_kernel(**{**kw, "env": environment})

        return RosteredKernelManager
