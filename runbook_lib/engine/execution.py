"""
Papermill runs the notebook, unattended; its own status is not used.

The cells write the outcomes of steps into the journal.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import papermill
from nbformat import from_dict, writes

from runbook_lib.core.files import write_whole
from runbook_lib.engine.cells import CellProcess

_ENGINE = "runbook"


class CellEngine(papermill.engines.Engine):  # type: ignore[misc]
    """Papermill's engine that runs the cells in a `CellProcess`, up to one that fails."""

    @classmethod
    def execute_managed_notebook(
        cls,
        nb_man: Any,
        kernel_name: str,  # noqa: ARG003  (papermill's)
        *,
        cells: CellProcess,
        on_tick: Callable[[], None],
        executed: list[Any],
        **_: Any,
    ) -> None:
        """Execute the notebook of `nb_man`, and keep it in `executed`."""
        notebook = nb_man.nb
        executed.append(notebook)
        for index, cell in enumerate(notebook.cells):
            nb_man.cell_start(cell, index)
            if cell.cell_type == "code":
                shown = cells.run(cell.source, on_tick)
                cell.execution_count = shown.number
                cell.outputs = from_dict(shown.outputs)
                if shown.error:
                    nb_man.cell_exception(cell, cell_index=index)
            nb_man.cell_complete(cell, cell_index=index)
            if notebook.metadata.papermill["exception"]:
                break


# NOTE: it warns of each setting that the notebook takes without showing it in its parameters.
logging.getLogger("papermill").setLevel(logging.ERROR)
papermill.engines.papermill_engines.register(_ENGINE, CellEngine)


def execute_notebook(
    source: Path,
    output: Path,
    parameters: Mapping[str, Any],
    *,
    environment: Mapping[str, str],
    on_tick: Callable[[], None],
    child: CellProcess | None = None,
) -> str:
    """
    Have papermill execute `source` into `output`; return why it broke off, empty if it did not.

    The cells run in `child`, or in a new one, with `environment` and nothing else of this process.
    Calls `on_tick` about twenty times a second meanwhile. If that raises, or a signal does, the
    cells' process is killed before the exception goes on, and nothing is written.

    Raises `SettingsError` like `CellProcess`.
    """
    executed: list[Any] = []
    broken = ""
    with closing(child or CellProcess()) as cells:
        cells.begin(environment)
        try:
            papermill.execute_notebook(
                source,
                None,
                dict(parameters),
                progress_bar=False,
                engine_name=_ENGINE,
                kernel_name="python3",
                language="python",
                cells=cells,
                on_tick=on_tick,
                executed=executed,
            )
        except papermill.PapermillExecutionError as error:
            broken = f"a cell raised {error.ename}: {error.evalue}"
            if error.ename == "DeadKernelError":
                broken = "the kernel died"
        except Exception as error:  # noqa: BLE001  (whatever breaks papermill, the run goes on)
            broken = f"papermill failed ({type(error).__name__}: {error})"
    for notebook in executed:
        if not broken and not _reached_end(notebook):
            # NOTE: `sys.exit(0)` in a cell looks like success to papermill.
            broken = "it ended before its last cell"
        notebook.metadata.papermill["output_path"] = str(output)
        # NOTE: once; of a run that was cut off only the journal counts. UTF-8 has no surrogates,
        # whose escapes mean the same in JSON.
        text = writes(notebook).encode(errors="backslashreplace")
        write_whole(output, text, is_durable=False)
    return broken


def _reached_end(notebook: Any) -> bool:
    """Return whether the last code cell of a notebook was executed."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return not code or code[-1].execution_count is not None
