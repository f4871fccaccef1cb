"""
The whole procedure by papermill: three notebooks, one run, one bundle of evidence.

A notebook that breaks off does not stop the others; what its steps came to
is whatever the journal holds.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runbook_lib.evidence.bundle import bundle_name, draft, seal, write_record
from runbook_lib.history import RunState
from runbook_lib.journal import EventType
from runbook_lib.notebook.builder import build
from runbook_lib.notebook.execution import execute_notebook
from runbook_lib.procedure import Procedure
from runbook_lib.run import Mode, Run
from runbook_lib.workspace import project_folder

__all__ = ["HeadlessResult", "run_headless"]


@dataclass(frozen=True, slots=True)
class HeadlessResult:
    """What a headless run came to; `broken` says why a notebook did not reach its end."""

    state: RunState
    bundle: Path
    broken: Mapping[str, str]


def run_headless(
    run: Run,
    parameters: Mapping[str, Any],
    *,
    on_progress: Callable[[RunState], None],
) -> HeadlessResult:
    """
    Execute every notebook of the procedure, seal the evidence, and return what it came to.

    `run` has been started; `parameters` are what its kernels need to open it
    again. Raises `LeakError`, `JournalError` or `OSError` without leaving
    half a bundle; an interruption is written into the journal and goes on.
    """
    tenant_folder = run.journal.path.parent
    try:
        with draft(tenant_folder, run.run_id) as folder:
            broken = _execute_all(run, folder, parameters, on_progress)
            state = run.finish()
            write_record(folder, state, run.journal)
            bundle = tenant_folder / bundle_name(state)
            seal(folder, bundle, run.redactor)
    except KeyboardInterrupt:
        run.interrupt("The run was interrupted by a signal.")
        raise
    return HeadlessResult(state, bundle, broken)


def _execute_all(
    run: Run,
    folder: Path,
    parameters: Mapping[str, Any],
    on_progress: Callable[[RunState], None],
) -> dict[str, str]:
    seen = 0

    def on_tick() -> None:
        nonlocal seen
        entries = run.journal.entries()
        if len(entries) > seen:
            seen = len(entries)
            on_progress(run.state)

    broken: dict[str, str] = {}
    joined = {**parameters, "run_id": run.run_id, "tenant": run.tenant, "mode": Mode.HEADLESS}
    with _notebooks(run.procedure) as sources:
        for section in run.procedure.sections:
            name = f"{section.id}.ipynb"
            error = execute_notebook(sources / name, folder / name, joined, on_tick=on_tick)
            on_tick()
            if not error and not _reached_its_end(run, section.id):
                error = "it ended before its last cell"
            if error:
                broken[section.id] = run.redactor.redact(error)
    return broken


def _reached_its_end(run: Run, notebook: str) -> bool:
    """Tell whether the last cell ran: `sys.exit(0)` in one before it looks like success."""
    return any(
        entry.type == EventType.NOTEBOOK_FINISHED
        and entry.run_id == run.run_id
        and entry.data["notebook"] == notebook
        for entry in run.journal.entries()
    )


@contextmanager
def _notebooks(procedure: Procedure) -> Iterator[Path]:
    """Give the project's notebooks, or freshly built ones where there is no project."""
    folder = project_folder() / "notebooks"
    if all((folder / f"{section.id}.ipynb").is_file() for section in procedure.sections):
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="runbook-") as built:
        build(procedure, Path(built))
        yield Path(built)
