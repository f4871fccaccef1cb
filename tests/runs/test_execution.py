"""Executing a notebook, in processes of their own: requirements and losses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from tests.runs.conftest import ROOT
from tests.support.converted_page import ConvertedPage
from tests.support.notebooks import notebook
from tests.support.practice_runs import PractiseOnce
from tests.support.wording import wording

EXECUTE = """
import os, sys, threading, tests
from pathlib import Path
from runbook_lib.engine import execution
if __name__ == "__main__":
    folder = Path(sys.argv[1])
    threading.Thread(target=threading.Event().wait, daemon=True).start()
    del os.fork
    said = execution.execute_notebook(
        folder / "in.ipynb", folder / "out.ipynb", {}, environment={}, on_tick=lambda: None
    )
    print(said, end="")
"""
REFUSED = """
import os, sys
from runbook_lib.cli.main import main
def fork(): raise OSError(11, "Resource temporarily unavailable")
if sys.argv[1] == "elsewhere": sys.platform = "darwin"
else: os.fork = fork
main(["run", "--sandbox", "--evidence", "evidence"])
"""


def test_beside_a_thread_cells_have_an_interpreter_of_their_own(tmp_path: Path) -> None:
    """A process with other threads, whose locks a fork would copy, runs a notebook too."""
    cells = ["print('there')\nimport os; dict(os.environ)"]
    nbformat.write(notebook(cells), tmp_path / "in.ipynb")
    (tmp_path / "execute.py").write_text(EXECUTE)
    done = subprocess.run(
        [sys.executable, tmp_path / "execute.py", tmp_path],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert (done.stdout, done.stderr) == ("", "")
    text, value = nbformat.read(tmp_path / "out.ipynb", 4).cells[0].outputs
    assert (text.text, value.data["text/plain"]) == ("there\n", "{}")


@pytest.mark.parametrize(
    ("where", "message", "advice"),
    [
        (
            "elsewhere",
            wording("fleet.needs-linux", system="darwin"),
            wording("advice.run-on-linux"),
        ),
        ("full", wording("fleet.no-process"), wording("advice.free-memory")),
    ],
)
def test_a_run_is_refused_if_no_process_can_be_forked(
    tmp_path: Path, where: str, message: str, advice: str
) -> None:
    """Without Linux, or without room for a process, a sentence says so; nothing is written."""
    done = subprocess.run(
        [sys.executable, "-c", REFUSED, where],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout) == (2, "")
    first, second = done.stderr.splitlines()
    assert message in first
    assert advice in second
    assert list(tmp_path.iterdir()) == []


def test_an_executed_notebook_has_no_dead_link_as_html(practice_run: PractiseOnce) -> None:
    """Converted by nbconvert, none leads to the sandbox, which has stopped; no button is dead."""
    (executed,) = practice_run("approved").bundle.glob("*.ipynb")
    page = ConvertedPage(nbformat.read(executed, 4), "lab")

    assert len(page.links) > 30
    assert page.dead_links() == []
    assert page.buttons == []


def test_the_record_names_the_engine(practice_run: PractiseOnce) -> None:
    """A sealed run says that its cells ran in a fork."""
    record = json.loads((practice_run("approved").bundle / "record.json").read_bytes())

    assert record["environment"]["engine"] == "fork"
