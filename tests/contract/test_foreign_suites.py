"""
The notebooks of nbclient's tests, and papermill's tests, with papermill's and the fork engine.

Each known difference is listed with its reason.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import papermill
import pytest

from runbook_lib.fork_engine import child as child_module
from tests.contract.sdists import unpacked
from tests.contract.test_fork_engine import cells_of, outputs

pytestmark = pytest.mark.foreign

ROOT = Path(__file__).parents[2]
_PATIENCE_SECONDS = 280

NOTEBOOKS = (
    "Check History in Memory",
    "Clear Output",
    "Empty Cell",
    "Error",
    "Factorials",
    "HelloWorld",
    "Inline Image",
    "Interrupt",
    "Other Comms",
    "SVG",
    "Skip Exceptions with Cell Tags",
    "Skip Exceptions",
    "Skip Execution with Cell Tag",
    "Unicode",
    "UnicodePy3",
)
# Notebooks whose outputs differ, and why.
DIFFERENT = {
    "Disable Stdin": "the traceback shows the code that stands in for `input`",
    "JupyterWidgets": "widgets have no model here, and show as text",
    "Output": "an Output widget captures nothing: what is written in it is the cell's",
    "update-display-id": "uses `get_ipython().kernel`, which is not there",
}
# Left out: Parallel Execute A and B wait for each other; Sleep1s shows the time; Autokill kills its
# kernel, and nbclient receives the number of that cell only sometimes.

# The test modules of papermill that execute notebooks.
EXECUTING = ("autosave", "engines", "execute")
# Tests of papermill that fail with the fork engine only.
FAILING = {
    "test_autosave.py::TestMidCellAutosave::test_end2end_autosave_slow_notebook": (
        "counts papermill's own way of saving"
    ),
    "test_execute.py::TestNotebookHelpers::test_default_start_timeout": "looks at nbclient",
    "test_execute.py::TestNotebookHelpers::test_start_timeout": "looks at nbclient",
}


@pytest.fixture(autouse=True)
def _own_threads_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fork although pytest-xdist has threads: they only wait for its next message."""
    monkeypatch.setattr(child_module, "_is_single", lambda: True)


def executed(engine: str | None, name: str, folder: Path) -> tuple[str, list[Any]]:
    """Execute one of nbclient's notebooks; return the error's name, and each cell's outputs."""
    source = unpacked("nbclient") / "tests" / "files"
    output, error = folder / f"{engine}.ipynb", ""
    try:
        papermill.execute_notebook(
            source / f"{name}.ipynb",
            output,
            engine_name=engine,
            kernel_name="python3",
            progress_bar=False,
            execution_timeout=5,
            cwd=source,
        )
    except Exception as raised:  # noqa: BLE001  (any error, if it is the same)
        error = type(raised).__name__
    cells = cells_of(nbformat.read(output, 4))
    return error, [(cell.execution_count, outputs(cell)) for cell in cells]


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_of_nbclient_has_the_same_outputs(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both engines give the same outputs and execution counts, and raise the same error."""

    monkeypatch.delenv("PYTEST_CURRENT_TEST")

    assert executed("fork", name, tmp_path) == executed(None, name, tmp_path)


@pytest.mark.parametrize("name", DIFFERENT)
def test_a_known_difference_still_exists(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each notebook of `DIFFERENT` has other outputs with the fork engine."""

    monkeypatch.delenv("PYTEST_CURRENT_TEST")

    assert executed("fork", name, tmp_path) != executed(None, name, tmp_path)


def failures(*options: str) -> set[str]:
    """Run papermill's tests; return the failed ones."""
    source = unpacked("papermill")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "--numprocesses=2"),
            *("-pno:cacheprovider", "-pno:randomly"),
            *options,
            *(f"papermill/tests/test_{part}.py" for part in EXECUTING),
        ],
        cwd=source,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=_PATIENCE_SECONDS,
        check=False,
    )
    assert re.search(r"\d{2,} passed", done.stdout), done.stdout[-2000:]
    return set(re.findall(r"^FAILED papermill/tests/(\S+)", done.stdout, re.MULTILINE))


@pytest.mark.timeout(2 * _PATIENCE_SECONDS)
def test_papermills_tests_pass_with_the_fork_engine() -> None:
    """Only the known tests fail with the fork engine and pass with papermill's."""

    stock = failures()
    ours = failures("-p", "tests.contract.fork_by_default")

    assert ours - stock == FAILING.keys()
