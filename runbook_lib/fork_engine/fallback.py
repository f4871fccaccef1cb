"""nbclient in the engine's place, with the same environment and the same ticks."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

from papermill.engines import NBClientEngine

__all__ = ["execute"]

_TICK_SECONDS = 0.05


def execute(
    nb_man: Any,
    kernel_name: str,
    environment: Mapping[str, str] | None,
    on_tick: Callable[[], None] | None,
    options: dict[str, Any],
) -> None:
    """Execute the notebook of `nb_man` in a kernel, as papermill does by default."""
    managers: list[Any] = []
    if environment is not None:
        options = {
            **options,
            "kernel_manager_class": _manager_class(options, environment, managers),
        }
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
    options: Mapping[str, Any], environment: Mapping[str, str], managers: list[Any]
) -> type:
    """Return the class of a kernel's manager which gives it `environment` alone."""
    from jupyter_client.manager import AsyncKernelManager  # noqa: PLC0415  (slow to import)

    base: Any = options.get("kernel_manager_class", AsyncKernelManager)

    class Manager(base):  # type: ignore[misc]
        def start_kernel(self, **keywords: Any) -> Any:
            """Start the kernel, and note its manager."""
            managers.append(self)
            return super().start_kernel(**{**keywords, "env": dict(environment)})

    return Manager
