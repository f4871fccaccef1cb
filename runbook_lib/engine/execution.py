"""
Papermill runs the notebook, unattended; its own status is not used.

The cells write the outcomes of steps into the journal. Papermill calls cells
completed that never ran, when their process is killed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import LazyLoader
from pathlib import Path
from types import ModuleType
from typing import Any

from runbook_lib.fork_engine import Child, ForkEngine

__all__ = ["Execution", "execute_notebook"]

_ENGINE = "fork"
_CELL_SECONDS = 300
# How long a kernel may take to answer, and how many are started before giving up.
_ANSWER_SECONDS = 60
_STARTS = 2
_NEVER_ANSWERED = ("Kernel died before replying", "Kernel didn't respond")
# Validators of formats that no notebook's schema uses; jsonschema copes with their absence, and
# they are half of what papermill takes to import.
_FORMATS = (
    "fqdn",
    "isoduration",
    "jsonpointer",
    "rfc3339_validator",
    "rfc3986_validator",
    "uri_template",
    "webcolors",
)

# What papermill needs for notebooks that are not files.
_FOR_ADDRESSES = ("requests", "yaml")


@dataclass(frozen=True, slots=True)
class Execution:
    """
    How a notebook was executed.

    `broken` says why it broke off, and is empty if every cell ran; `environment`
    names the engine, and why it is not the usual one.
    """

    broken: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)


def execute_notebook(
    source: Path,
    output: Path,
    parameters: Mapping[str, Any],
    *,
    environment: Mapping[str, str],
    on_tick: Callable[[], None],
    child: Child | None = None,
) -> Execution:
    """
    Have papermill execute `source` into `output`.

    The cells run in `child`, or in one that is started now. They get
    `environment`, and nothing else of this process's. Calls `on_tick` about
    twenty times a second meanwhile. When that raises, or a signal does, the
    cells' process is killed before the exception goes on.
    """
    arguments = {
        "input_path": str(source),
        "output_path": str(output),
        "parameters": dict(parameters),
        "environment": environment,
        "on_tick": on_tick,
    }
    for _ in range(_STARTS):
        execution = _execute(**arguments, child=child)
        if not any(text in execution.broken for text in _NEVER_ANSWERED):
            break
        child = None
    return execution


def _execute(**arguments: Any) -> Execution:
    with _without(_FORMATS), _deferring(_FOR_ADDRESSES):
        import papermill  # noqa: PLC0415  (slow to import; a failed setting need not pay for it)

    environment: dict[str, str] = {}

    class Engine(ForkEngine):
        """Notes on what the cells ran."""

        @classmethod
        def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **options: Any) -> None:
            """Execute the notebook of `nb_man`."""
            try:
                super().execute_managed_notebook(nb_man, kernel_name, **options)
            finally:
                noted = nb_man.nb.metadata.papermill.get("engine", {})
                environment.update(engine=noted.get("name", "none"))
                if reason := noted.get("reason"):
                    environment.update(engine_reason=reason)

    papermill.engines.papermill_engines.register(_ENGINE, Engine)
    broken = ""
    try:
        papermill.execute_notebook(
            **arguments,
            engine_name=_ENGINE,
            progress_bar=False,
            log_output=False,
            store_widget_state=False,
            start_timeout=_ANSWER_SECONDS,
            execution_timeout=_CELL_SECONDS,
            # NOTE: a graceful shutdown now and then waits three seconds for a kernel that
            # has nothing left to save: the journal is on disk.
            shutdown_kernel="immediate",
        )
    except papermill.PapermillExecutionError as error:
        broken = f"a cell raised {error.ename}: {error.evalue}"
    except Exception as error:  # noqa: BLE001  (whatever breaks papermill, the run goes on)
        from nbclient.exceptions import DeadKernelError  # noqa: PLC0415

        said = f"papermill broke off ({type(error).__name__}: {error})"
        broken = "the kernel died" if isinstance(error, DeadKernelError) else said
    return Execution(broken, environment)


class _Deferred(MetaPathFinder):
    """Finds packages that are loaded when they are first used."""

    def __init__(self, names: Collection[str]) -> None:
        self._names = names

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return how to load one of the packages; nothing for another one."""
        spec = PathFinder.find_spec(fullname, path, target) if fullname in self._names else None
        if spec is not None and spec.loader is not None:
            spec.loader = LazyLoader(spec.loader)
        return spec


@contextmanager
def _deferring(names: Collection[str]) -> Iterator[None]:
    """Defer the loading of the packages `names`, where they are imported meanwhile."""
    finder = _Deferred(names)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


@contextmanager
def _without(names: Iterable[str]) -> Iterator[None]:
    """Declare the packages `names` absent for a while, unless they are loaded already."""
    absent = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(absent))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]
