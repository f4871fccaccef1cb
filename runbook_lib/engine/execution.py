"""
Papermill runs the notebook, unattended; its own status is not used.

The cells write the outcomes of steps into the journal. Papermill calls cells
completed that never ran, when their process is killed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runbook_lib.fork_engine import Child, ForkEngine, start_child

# Not `fork`, which others in this process may ask for.
_ENGINE = "runbook"
_CELL_SECONDS = 300
# How long a kernel may take to answer, and how many are started before giving up.
_ANSWER_SECONDS = 60
_STARTS = 2
_NEVER_ANSWERED = ("Kernel died before replying", "Kernel didn't respond")


@dataclass(frozen=True, slots=True)
class Execution:
    """
    How a notebook was executed.

    `broken` says why it broke off, and is empty if every cell ran; `environment`
    names the engine, and why it is not the usual one.
    """

    broken: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)


@contextmanager
def early_child() -> Iterator[Child | None]:
    """
    Give a child for the cells, forked while this process has one thread.

    From here on this process leaves no core file, which would hold its credentials. Gives
    `None` where nothing can be forked: the engine then finds another way, or says why not.
    """
    try:
        import resource  # noqa: PLC0415  (not where nothing can be forked)

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        child = start_child()
    except (ImportError, OSError):
        yield None
        return
    with closing(child):
        yield child


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
    import papermill  # noqa: PLC0415  (slow to import; a failed setting need not wait for it)

    environment: dict[str, str] = {}

    class Engine(ForkEngine):
        """Notes which engine ran the cells."""

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

        reason = f"papermill broke off ({type(error).__name__}: {error})"
        broken = "the kernel died" if isinstance(error, DeadKernelError) else reason
    return Execution(broken, environment)
