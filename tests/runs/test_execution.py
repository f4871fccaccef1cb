"""Executing a notebook, in processes of their own: where it can run, and what it loses."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import psutil
import pytest

from tests.runs.conftest import ROOT
from tests.support.notebooks import notebook

EXECUTE = """
import os, sys, threading, tests
from pathlib import Path
from runbook_lib.engine import execution
if __name__ == "__main__":
    folder = Path(sys.argv[1])
    if "beside a thread" in sys.argv:
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


def execute(folder: Path, *sources: str, how: str = "") -> subprocess.CompletedProcess[str]:
    """Execute a notebook of these cells in another process."""
    nbformat.write(notebook(sources), folder / "in.ipynb")
    (folder / "execute.py").write_text(EXECUTE)
    return subprocess.run(
        [sys.executable, folder / "execute.py", folder, how],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        encoding="utf-8",
        check=True,
    )


def test_a_file_name_that_cannot_be_decoded_loses_nothing(tmp_path: Path) -> None:
    """An exception with an undecodable name ends the notebook, which keeps what was run."""

    done = execute(tmp_path, "'first'", "import os\nraise OSError(os.fsdecode(b'caf\\xe9'))")

    assert done.stdout == "a cell raised OSError: caf\ufffd"
    cells = [c for c in nbformat.read(tmp_path / "out.ipynb", 4).cells if c.cell_type == "code"]
    assert cells[0].outputs[0].data["text/plain"] == "'first'"
    assert cells[1].outputs[0].evalue == "caf\ufffd"


def test_beside_a_thread_cells_have_an_interpreter_of_their_own(tmp_path: Path) -> None:
    """A process with other threads, whose locks a fork would copy, runs a notebook too."""

    done = execute(tmp_path, "print('there')\nimport os; dict(os.environ)", how="beside a thread")

    assert (done.stdout, done.stderr) == ("", "")
    text, value = nbformat.read(tmp_path / "out.ipynb", 4).cells[0].outputs
    assert (text.text, value.data["text/plain"]) == ("there\n", "{}")


@pytest.mark.parametrize(
    ("where", "said", "advice"),
    [
        ("elsewhere", "A headless run needs Linux, and this is darwin.", "Run it on Linux"),
        ("full", "No process can be started for the notebook: Resource temp", "Free memory or"),
    ],
)
def test_where_nothing_can_be_forked_a_run_is_refused(
    tmp_path: Path, where: str, said: str, advice: str
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
    assert said in first
    assert advice in second
    assert list(tmp_path.iterdir()) == []


def test_the_record_names_the_engine(tmp_path: Path) -> None:
    """A sealed run says that its cells ran in a fork."""

    done = subprocess.run(
        [sys.executable, "-m", "runbook_lib", "run", "--sandbox", "--json", "--evidence", tmp_path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["environment"]["engine"] == "fork"


def core_limits(process: int) -> list[str]:
    """Return the soft and the hard limit of a process's core files."""
    lines = Path(f"/proc/{process}/limits").read_text().splitlines()
    return next(line.split()[4:6] for line in lines if line.startswith("Max core file size"))


def test_processes_that_hold_credentials_write_no_core_file() -> None:
    """The process of a tenant may write no core file, nor may its cells."""

    with subprocess.Popen(
        [sys.executable, "-m", "runbook_lib.engine.process"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        end, children = time.monotonic() + 60, []
        while not children and time.monotonic() < end:
            time.sleep(0.1)
            children = psutil.Process(process.pid).children(recursive=True)
        limits = [core_limits(pid) for pid in (process.pid, *(each.pid for each in children))]
        assert process.stdin is not None
        process.stdin.close()

    assert len(limits) > 1
    assert all(limit == ["0", "0"] for limit in limits)
