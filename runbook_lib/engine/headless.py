"""
The whole procedure by papermill: three notebooks, one run, one bundle of evidence.

A notebook that breaks off does not stop the others; what its steps came to
is whatever the journal holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runbook_lib.config.workspace import project_folder
from runbook_lib.core.procedure import Procedure
from runbook_lib.core.scratch import scratch_folder
from runbook_lib.core.state import RunState
from runbook_lib.engine.execution import execute_notebook
from runbook_lib.engine.kernel_environment import kernel_environment
from runbook_lib.engine.notebooks import build
from runbook_lib.engine.run import Mode, Run
from runbook_lib.evidence.bundle import Seal, Sealed, draft, resource, seal
from runbook_lib.evidence.signing.keys import SigningKey
from runbook_lib.evidence.signing.statement import Resource
from runbook_lib.evidence.signing.timestamps import request_timestamp

__all__ = ["HeadlessResult", "run_headless"]


@dataclass(frozen=True, slots=True)
class HeadlessResult:
    """What a headless run came to; `broken` says why a notebook did not reach its end."""

    state: RunState
    sealed: Sealed
    broken: Mapping[str, str]


def run_headless(
    run: Run,
    parameters: Mapping[str, Any],
    key: SigningKey,
    *,
    on_progress: Callable[[RunState], None],
) -> HeadlessResult:
    """
    Execute every notebook of the procedure, seal the evidence, and return what it came to.

    `run` has been started; `parameters` are what its kernels need to open it
    again; `key` signs. Raises `LeakError`, `SigningError`, `JournalError` or
    `OSError` without leaving half a bundle; an interruption is written into
    the journal and goes on.
    """
    try:
        with (
            draft(run.journal.path.parent, run.run_id) as folder,
            _notebooks(run.procedure) as sources,
        ):
            materials = _materials(run.procedure, sources)
            broken = _execute_all(run, sources, folder, parameters, on_progress)
            state = run.finish()
            run.redactor.allow([*run.values.values(), *state.facts.values()])
            seal_with = _seal(run, key, materials)
            sealed = seal(folder, state, run.history_reader, run.redactor, seal_with)
            run.save_index()
    except KeyboardInterrupt:
        run.interrupt("The run was interrupted by a signal.")
        raise
    return HeadlessResult(state, sealed, broken)


def _seal(run: Run, key: SigningKey, materials: tuple[Resource, ...]) -> Seal:
    def stamp(authority: str, content: bytes) -> bytes:
        return request_timestamp(run.open_session(), authority, content)

    return Seal(key, materials, str(run.values.get("tsa", "")), stamp)


def _materials(procedure: Procedure, sources: Path) -> tuple[Resource, ...]:
    """Return what the run is made from: the notebooks before execution, and the lock file."""
    names = [f"{section.id}.ipynb" for section in procedure.sections]
    notebooks = [resource(sources / name, f"notebooks/{name}") for name in names]
    lock = project_folder() / "requirements.txt"
    return (*notebooks, *([resource(lock, lock.name)] if lock.is_file() else ()))


def _execute_all(
    run: Run,
    sources: Path,
    folder: Path,
    parameters: Mapping[str, Any],
    on_progress: Callable[[RunState], None],
) -> dict[str, str]:
    seen = 0

    def on_tick() -> None:
        nonlocal seen
        last = run.history.index.last.seq
        if last > seen:
            seen = last
            on_progress(run.state)

    broken: dict[str, str] = {}
    environment = kernel_environment(run.procedure.inputs, parameters)
    joined = {**parameters, "run_id": run.run_id, "tenant": run.tenant, "mode": Mode.HEADLESS}
    for section in run.procedure.sections:
        name = f"{section.id}.ipynb"
        error = execute_notebook(
            sources / name, folder / name, joined, environment=environment, on_tick=on_tick
        )
        on_tick()
        if not error and not _reached_its_end(run, section.id):
            error = "it ended before its last cell"
        if error:
            broken[section.id] = run.redactor.redact(error)
    return broken


def _reached_its_end(run: Run, notebook: str) -> bool:
    """Tell whether the last cell ran: `sys.exit(0)` in one before it looks like success."""
    here = run.history.run(run.run_id)
    return here is not None and notebook in here.notebooks


@contextmanager
def _notebooks(procedure: Procedure) -> Iterator[Path]:
    """Give the project's notebooks, or freshly built ones where there is no project."""
    folder = project_folder() / "notebooks"
    if all((folder / f"{section.id}.ipynb").is_file() for section in procedure.sections):
        yield folder
        return
    with scratch_folder() as built:
        build(procedure, built)
        yield built
