"""A notebook of somebody's own: the example of `help(runbook_lib)`, checked, typed and executed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

from tests.runs.conftest import environment
from tests.support.public_example import example

ENGINES = {
    "papermill": ("papermill", "--no-progress-bar", "own.ipynb", "out.ipynb"),
    "nbclient": ("jupyter", "execute", "own.ipynb", "--output=out.ipynb"),
}


def variables(env_file: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in env_file.read_text(encoding="utf-8").splitlines())


@pytest.mark.costly("a kernel, for each of two programs")
@pytest.mark.parametrize("program", ENGINES)
def test_five_lines_check_two_steps_and_show_the_table(
    program: str, sandbox: Any, env_file: Path, tmp_path: Path
) -> None:
    """Plain papermill and nbclient execute it; the last cell is the table of all steps."""
    code = example().replace("acme-h.cyclr.com", sandbox.description["service_domain"])
    lines = [line for line in code.splitlines() if line]
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(line) for line in lines],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
    )
    nbformat.write(notebook, tmp_path / "own.ipynb")
    executed = subprocess.run(
        [sys.executable, "-m", *ENGINES[program]],
        cwd=tmp_path,
        env={**environment(), **variables(env_file)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert executed.returncode == 0, executed.stderr
    assert len(lines) == 5
    cells = json.loads((tmp_path / "out.ipynb").read_text(encoding="utf-8"))["cells"]
    (table,) = cells[-1]["outputs"]
    shown = "".join(table["data"]["text/html"])
    assert shown.count("✔ verified") == 1
    assert "SANDBOX" in shown


@pytest.mark.costly("mypy reads the package")
def test_the_example_is_typed(tmp_path: Path) -> None:
    """A strict type checker accepts the example, and refuses a misspelt name of a result."""
    right = tmp_path / "right.py"
    right.write_text(f"{example()}\nprint(run.steps[0].outcome)\n", encoding="utf-8")
    wrong = tmp_path / "wrong.py"
    wrong.write_text(f"{example()}\nprint(run.steps[0].outcom)\n", encoding="utf-8")
    checked = {
        file.stem: subprocess.run(
            [sys.executable, "-m", "mypy", "--strict", "--config-file", "", str(file)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        for file in (right, wrong)
    }

    assert checked["right"].returncode == 0, checked["right"].stdout
    assert 'has no attribute "outcom"' in checked["wrong"].stdout
