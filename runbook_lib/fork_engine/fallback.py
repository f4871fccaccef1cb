"""
nbclient in the engine's place, with the same environment and the same ticks.

It takes over where a notebook asks for what is not IPython in this interpreter.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
from papermill.clientwrap import PapermillNotebookClient

from runbook_lib.fork_engine.outputs import Bounds

_START_SECONDS = 60
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


class Client(PapermillNotebookClient):  # type: ignore[misc]
    """Papermill's client of a kernel, which keeps of its outputs what `Bounds` allow."""

    _bounds: Bounds

    def execute(self, **keywords: Any) -> Any:
        """Execute the notebook."""
        self._bounds = Bounds()
        return super().execute(**keywords)

    def output(self, outs: list[Any], msg: Any, display_id: str, cell_index: int) -> Any:
        """Take an output of the cell, as nbclient does, and cut it."""
        output = super().output(outs, msg, display_id, cell_index)
        if output is None:
            return None
        if outs[0] is output:  # the first, or the others were cleared
            self._bounds.begin_cell(cell_index)
        if output.output_type == "stream":
            output.text = self._bounds.take_text(output.text, is_new=True)
        elif output.output_type == "error":
            self._bounds.take_error(output)
        elif not self._bounds.take(output):
            output.update(data={}, metadata={})
        self._bounds.say_rest(outs)
        return output


def make_client(nb_man: Any, kernel_name: str, options: Mapping[str, Any]) -> Client:
    """Return papermill's client for the options of papermill's `NBClientEngine`."""
    rest = dict(options)
    rest.pop("input_path", None)
    rest["startup_timeout"] = rest.pop("start_timeout", _START_SECONDS)
    rest["timeout"] = rest.pop("execution_timeout", None) or rest.get("timeout")
    log = logging.getLogger("papermill")
    return Client(nb_man, kernel_name=kernel_name, log=log, **rest)


def execute(
    client: Client, environment: Mapping[str, str], on_tick: Callable[[], None] | None
) -> None:
    """Execute the notebook of `client` in a kernel."""
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder, ThreadPoolExecutor(1) as pool:
        kernel = client.km = client.kernel_manager_class(kernel_name=client.kernel_name)
        kernel.connection_file = str(Path(folder, "kernel.json"))
        address = str(Path(folder, "socket"))
        if len(os.fsencode(address)) < _LONGEST_ADDRESS:
            # NOTE: sockets in a folder of mode 0700, where nobody else listens in, and no
            # other run has the same one.
            kernel.transport, kernel.ip = "ipc", address
        work = pool.submit(client.execute, env=dict(environment), cleanup_kc=True)
        try:
            while not wait([work], _TICK_SECONDS).done:
                if on_tick:
                    on_tick()
        except BaseException:
            with contextlib.suppress(AttributeError, ProcessLookupError):
                kernel.provisioner.process.kill()
            raise
        work.result()
