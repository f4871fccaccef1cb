"""Which kernel a notebook asks for: only this interpreter's own can be forked."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

_VERSION = sys.version_info
# NOTE: jupyter_client replaces these names by the interpreter that it runs in.
_GENERIC = ("python", f"python{_VERSION.major}", f"python{_VERSION.major}.{_VERSION.minor}")


class NotOursError(Exception):
    """The notebook asks for a kernel that is not IPython in this interpreter."""


def kernel_environment(name: str) -> Mapping[str, str]:
    """
    Return the variables that the kernel `name` sets.

    Raises `NotOursError` if it is not ipykernel in this interpreter.
    """
    from jupyter_core.paths import jupyter_path  # noqa: PLC0415  (only a run needs it)

    for folder in jupyter_path("kernels"):
        place = Path(folder, name.lower(), "kernel.json")
        if not place.is_file():
            continue
        spec = json.loads(place.read_text(encoding="utf-8"))
        argv = spec.get("argv", [])
        if argv[1:3] != ["-m", "ipykernel_launcher"] or not _is_this_interpreter(argv[0]):
            msg = f"the kernel {name} is another program: {' '.join(argv[:3])}"
            raise NotOursError(msg)
        environment: Mapping[str, str] = spec.get("env", {})
        return environment
    if name in _GENERIC:
        return {}
    msg = f"no kernel is called {name}"
    raise NotOursError(msg)


def _is_this_interpreter(program: str) -> bool:
    # Not `samefile`: the interpreters of all virtual environments are links to one.
    return program in _GENERIC or (
        os.path.realpath(Path(program).parent) == os.path.realpath(Path(sys.executable).parent)
        and Path(program).name in _GENERIC
    )
