"""
nbclient in the engine's place, with the same environment and the same ticks.

It takes over where a notebook asks for what is not IPython in this interpreter.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
from jupyter_client.manager import AsyncKernelManager
from nbformat.v4 import new_output
from papermill.engines import NBClientEngine

from runbook_lib.fork_engine.bounds import Bounds

_TICK_SECONDS = 0.05
# The address of a socket is no longer (unix(7): sun_path has 108 bytes), and gets a number.
_LONGEST_ADDRESS = 100
# NOTE: jupyter_client replaces these names by the interpreter that it runs in.
_GENERIC = ("python", f"python{sys.version_info.major}", "python{}.{}".format(*sys.version_info))


class NotOursError(Exception):
    """The notebook asks for what only nbclient can do."""


def kernel_environment(name: str) -> Mapping[str, str]:
    """
    Return the variables that the kernel `name` sets.

    Raises `NotOursError` if it is not ipykernel in this interpreter.
    """
    try:
        spec = KernelSpecManager().get_kernel_spec(name)
    except NoSuchKernel:
        msg = f"no kernel is called {name}"
        raise NotOursError(msg) from None
    # Not `samefile`: the interpreters of all virtual environments are links to one.
    program, ours = Path(spec.argv[0]), Path(sys.executable)
    is_ours = spec.argv[0] in _GENERIC or (
        os.path.realpath(program.parent) == os.path.realpath(ours.parent)
        and program.name in _GENERIC
    )
    if not is_ours or spec.argv[1:3] != ["-m", "ipykernel_launcher"]:
        msg = f"the kernel {name} is another program: {' '.join(spec.argv[:3])}"
        raise NotOursError(msg)
    environment: Mapping[str, str] = spec.env
    return environment


def execute(
    nb_man: Any,
    kernel_name: str,
    environment: Mapping[str, str] | None,
    on_tick: Callable[[], None] | None,
    options: dict[str, Any],
) -> None:
    """Execute the notebook of `nb_man` in a kernel, as papermill does by default."""
    nb_man = _Bounded(nb_man)
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
    base: Any = options.get("kernel_manager_class", AsyncKernelManager)

    class Manager(base):  # type: ignore[misc]
        def __init__(self, *arguments: Any, **keywords: Any) -> None:
            super().__init__(*arguments, **keywords)
            self.connection_file = str(folder / "kernel.json")
            address = str(folder / "socket")
            if len(os.fsencode(address)) < _LONGEST_ADDRESS:
                # NOTE: sockets in a folder of mode 0700, where nobody else listens in, and no
                # other run has the same one.
                self.transport = "ipc"
                self.ip = address

        def start_kernel(self, **keywords: Any) -> Any:
            """Start the kernel, and note its manager."""
            managers.append(self)
            return super().start_kernel(**{**keywords, "env": dict(environment)})

    return Manager


class _Bounded:
    """
    Papermill's account of a run, to which nbclient reports: cuts the outputs of its cells.

    It cuts them in their places, which nbclient remembers.
    """

    def __init__(self, manager: Any) -> None:
        self._manager = manager
        self._bounds = Bounds()
        self._cell: Any = {}
        self._index = 0
        self._count, self._last = 0, None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._manager, name)

    def cell_start(self, cell: Any, cell_index: int) -> None:
        """Begin a cell."""
        self._cell, self._index, self._count = cell, cell_index, 0
        self._manager.cell_start(cell, cell_index)

    def autosave_cell(self) -> None:
        """Save now and then; called after each message of the kernel."""
        self._cut_new()
        self._manager.autosave_cell()

    def cell_complete(self, cell: Any, cell_index: int) -> None:
        """End a cell."""
        self._cut_new()
        if line := self._bounds.line:
            cell.outputs.append(new_output("stream", name="stderr", text=line))
        self._manager.cell_complete(cell, cell_index=cell_index)

    def _cut_new(self) -> None:
        outputs = self._cell.get("outputs", [])
        count = self._count
        if not 0 < count <= len(outputs) or outputs[count - 1] is not self._last:
            self._bounds.begin_cell(self._index)  # none yet, or they were cleared
            count = 0
        for output in outputs[count:]:
            if output.output_type == "stream":
                output.text = self._bounds.take_text(output.text, is_new=True)
            elif output.output_type == "error":
                self._bounds.take_error(output)
            elif not self._bounds.take(output):
                output.update(data={}, metadata={})
        self._count, self._last = len(outputs), outputs[-1] if outputs else None
