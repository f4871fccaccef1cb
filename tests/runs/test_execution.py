"""Executing a notebook: a kernel that does not answer is started once more, and only once."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import nbformat
import psutil
import pytest

from tests.runs.conftest import ROOT

# Counts its starts in a file; the first ones fail in the given way.
LAUNCHER = """
import os, sys, time
from pathlib import Path
count, bad, way = Path({count!r}), {bad}, {way!r}
started = len(count.read_text()) if count.exists() else 0
count.write_text("x" * (started + 1))
if started < bad:
    time.sleep(600) if way == "hangs" else sys.exit(1)
os.execv(sys.executable, [sys.executable, "-m", "ipykernel_launcher", *sys.argv[1:]])
"""

EXECUTE = """
import os, sys, tests
from pathlib import Path
from runbook_lib.engine import execution
notebook, folder, execution._ANSWER_SECONDS = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
said = execution.execute_notebook(
    notebook, folder / "out.ipynb", {}, environment=dict(os.environ), on_tick=lambda: None
)
print(said.broken, end="")
"""

Kernel = Callable[[int, str], Path]


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    """
    Return a factory of a kernel whose first starts fail; it returns the file that counts the
    starts.
    """

    def make(bad: int, way: str) -> Path:
        count = tmp_path / "starts"
        launcher = tmp_path / "launcher.py"
        launcher.write_text(LAUNCHER.format(count=str(count), bad=bad, way=way))
        spec = tmp_path / "share" / "kernels" / "python3" / "kernel.json"
        spec.parent.mkdir(parents=True)
        argv = [sys.executable, str(launcher), "-f", "{connection_file}"]
        spec.write_text(json.dumps({"argv": argv, "display_name": "P", "language": "python"}))
        monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "share"))
        return count

    return make


@pytest.fixture
def notebook(tmp_path: Path) -> Path:
    """Return a notebook with one cell."""
    path = tmp_path / "one.ipynb"
    document = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1 + 1")])
    document.metadata["kernelspec"] = {"name": "python3", "display_name": "P", "language": "python"}
    nbformat.write(document, path)
    return path


def execute(notebook: Path, tmp_path: Path, *, answer_seconds: int = 60) -> str:
    """Execute it in another process: message sockets close only when the process ends."""
    done = subprocess.run(
        [sys.executable, "-c", EXECUTE, str(notebook), str(tmp_path), str(answer_seconds)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


@pytest.mark.parametrize("way", ["dies", "hangs"])
def test_a_kernel_that_does_not_answer_is_started_once_more(
    kernel: Kernel, notebook: Path, tmp_path: Path, way: str
) -> None:
    """A kernel that does not answer at first, or ends, is started once more."""

    count = kernel(1, way)

    assert execute(notebook, tmp_path, answer_seconds=10) == ""
    assert count.read_text() == "xx"


def test_a_kernel_that_never_answers_is_abandoned(
    kernel: Kernel, notebook: Path, tmp_path: Path
) -> None:
    """After the second failed start, the reason is returned and no further start is tried."""

    count = kernel(9, "dies")

    assert "papermill broke off" in execute(notebook, tmp_path)
    assert count.read_text() == "xx"


def test_a_notebook_that_started_is_not_executed_again(
    kernel: Kernel, notebook: Path, tmp_path: Path
) -> None:
    """
    A kernel that dies during execution is not restarted, because a cell may have changed something.
    """

    count = kernel(0, "dies")
    document = nbformat.read(notebook, as_version=4)
    document.cells[0].source = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    nbformat.write(document, notebook)

    assert execute(notebook, tmp_path) == "the kernel died"
    assert count.read_text() == "x"


def test_a_long_temporary_folder_does_not_stop_a_kernel(
    kernel: Kernel, notebook: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A temporary folder too long for a socket address (107 bytes) does not prevent the execution.
    """

    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    kernel(0, "dies")

    assert execute(notebook, tmp_path) == ""


def test_a_run_without_fork_uses_nbclient_and_says_why(tmp_path: Path) -> None:
    """Where no process can be forked, a sealed run works, and its record gives the reason."""

    script = (
        "def refuse(): raise OSError(11, 'Resource temporarily unavailable')\n"
        "from runbook_lib.engine import execution\n"
        "from runbook_lib.fork_engine import engine\n"
        "engine.start_child = execution.start_child = refuse\n"
        "from runbook_lib.cli.main import main\n"
        "main(['run', '--sandbox', '--json', '--evidence', 'evidence'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")
    environment = json.loads(done.stdout)["environment"]
    assert environment["engine"] == "nbclient"
    assert "Resource temporarily unavailable" in environment["engine_reason"]


def test_a_file_name_that_cannot_be_decoded_loses_nothing(tmp_path: Path) -> None:
    """An exception with an undecodable name ends the notebook, which keeps what was run."""

    book = nbformat.v4.new_notebook()
    book.metadata.kernelspec = {"name": "python3", "display_name": "P", "language": "python"}
    failing = "import os\nraise OSError(os.fsdecode(b'caf\\xe9'))"
    book.cells = [nbformat.v4.new_code_cell(source) for source in ("'first'", failing)]
    nbformat.write(book, tmp_path / "in.ipynb")

    done = subprocess.run(
        [sys.executable, "-c", EXECUTE, tmp_path / "in.ipynb", tmp_path, "60"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        encoding="utf-8",
    )

    assert done.stdout == "a cell raised OSError: caf\ufffd"
    cells = [c for c in nbformat.read(tmp_path / "out.ipynb", 4).cells if c.cell_type == "code"]
    assert cells[0].outputs[0].data["text/plain"] == "'first'"
    assert cells[1].outputs[0].evalue == "caf\ufffd"


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
