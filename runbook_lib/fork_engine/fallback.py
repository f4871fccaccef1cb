"""nbclient in the engine's place, with the same environment and the same ticks."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from papermill.engines import NBClientEngine

__all__ = ["execute"]

_TICK_SECONDS = 0.05
# The address of a socket is no longer (unix(7): sun_path has 108 bytes), and gets a number.
_LONGEST_ADDRESS = 100


def execute(
    nb_man: Any,
    kernel_name: str,
    environment: Mapping[str, str] | None,
    on_tick: Callable[[], None] | None,
    options: dict[str, Any],
) -> None:
    """Execute the notebook of `nb_man` in a kernel, as papermill does by default."""
    if environment is None:
        _execute(nb_man, kernel_name, on_tick, options, [])
        return
    managers: list[Any] = []
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        manager = _manager_class(options, environment, Path(folder), managers)
        options = {**options, "kernel_manager_class": manager}
        _execute(nb_man, kernel_name, on_tick, options, managers)


def _execute(
    nb_man: Any,
    kernel_name: str,
    on_tick: Callable[[], None] | None,
    options: dict[str, Any],
    managers: list[Any],
) -> None:
    if on_tick is None:
        NBClientEngine.execute_managed_notebook(nb_man, kernel_name, **options)
        return
    with ThreadPoolExecutor(1) as pool:
        work = pool.submit(NBClientEngine.execute_managed_notebook, nb_man, kernel_name, **options)
        try:
            while not wait([work], _TICK_SECONDS).done:
                on_tick()
        except BaseException:
            for manager in managers:
                with contextlib.suppress(AttributeError, ProcessLookupError):
                    manager.provisioner.process.kill()
            raise
        work.result()


def _manager_class(
    options: Mapping[str, Any],
    environment: Mapping[str, str],
    folder: Path,
    managers: list[Any],
) -> type:
    """Return the class of a kernel's manager which gives it `environment` alone, and `folder`."""
    from jupyter_client.manager import AsyncKernelManager  # noqa: PLC0415  (slow to import)

    base: Any = options.get("kernel_manager_class", AsyncKernelManager)

    class Manager(base):  # type: ignore[misc]
        def __init__(self, *arguments: Any, **keywords: Any) -> None:
            super().__init__(*arguments, **keywords)
            self.connection_file = str(folder / "kernel.json")
            address = str(folder / "socket")
            if os.name == "posix" and len(os.fsencode(address)) < _LONGEST_ADDRESS:
                # NOTE: sockets in a folder of mode 0700, where nobody else listens in, and no
                # other run has the same one.
                self.transport = "ipc"
                self.ip = address

        def start_kernel(self, **keywords: Any) -> Any:
            """Start the kernel, and note its manager."""
            managers.append(self)
            return super().start_kernel(**{**keywords, "env": dict(environment)})

    return Manager
