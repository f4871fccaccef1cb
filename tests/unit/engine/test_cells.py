"""The cells of a run: outputs as in a notebook, and the truth when they are late, killed or end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from textwrap import dedent
from typing import Any

import nbformat
import psutil
import pytest

import runbook_lib.engine.shell  # noqa: F401  (once for all that are forked from here)
from runbook_lib.engine import cells as module
from runbook_lib.engine.cells import CellOutput, CellProcess
from runbook_lib.engine.execution import execute_notebook
from tests.support.notebooks import notebook
from tests.support.run_process import PATIENCE_SECONDS, eventually, is_gone
from tests.support.wording import wording

# Cells inherit the filters, which are pytest's here.
pytestmark = pytest.mark.filterwarnings("ignore:To exit")

ROOT = Path(__file__).parents[3]
ENVIRONMENT = {"PATH": os.environ["PATH"], "ONLY": "this"}
MEBIBYTE = 1 << 20


@pytest.fixture(autouse=True)
def _fork(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fork although pytest-xdist has threads: they only wait for its next message."""
    monkeypatch.setattr(threading, "active_count", lambda: 1)


@pytest.fixture(autouse=True)
def _leaves_nothing() -> Iterator[None]:
    """Check that a test leaves neither child processes nor file descriptors."""
    process = psutil.Process()
    descriptors = process.num_fds()
    children = process.children()
    yield
    assert process.num_fds() <= descriptors
    assert process.children() == children


@pytest.fixture
def child() -> Iterator[CellProcess]:
    """Return a child that has begun."""
    with closing(CellProcess()) as child:
        child.begin(ENVIRONMENT)
        yield child


def nothing() -> None:
    """Do nothing."""


def value(shown: CellOutput) -> str:
    """Return the text of a cell's value."""
    return str(shown.outputs[-1]["data"]["text/plain"])


def file_size(shown: CellOutput) -> int:
    """Return the bytes that a cell's outputs take in a notebook's file."""
    return sum(
        len(json.dumps(output, ensure_ascii=False).encode("utf-8", "surrogatepass"))
        for output in shown.outputs
    )


def kinds(shown: CellOutput) -> list[str]:
    """Return a word for each output of a cell."""
    return [output.get("name", output["output_type"]) for output in shown.outputs]


# --- what cells show ---------------------------------------------------------------------


def test_outputs_are_those_of_a_notebook(child: CellProcess) -> None:
    """Text comes first, then displays and the value; cells are counted."""
    shown = child.run(
        "import sys; from IPython.display import display, HTML\n"
        "display(HTML('<b>shown</b>'))\n"
        "print('err', file=sys.stderr); print('out')\n"
        "6 * 7",
        nothing,
    )

    assert kinds(shown) == ["stdout", "stderr", "display_data", "execute_result"]
    assert [output.get("text") for output in shown.outputs[:2]] == ["out\n", "err\n"]
    assert shown.outputs[2]["data"]["text/html"] == "<b>shown</b>"
    assert shown.outputs[3]["data"] == {"text/plain": "42"}
    assert (shown.number, child.run("sys.platform", nothing).number) == (1, 2)
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("", outputs=shown.outputs)])
    nbformat.validate(nbformat.from_dict(book))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("await __import__('asyncio').sleep(0, 'waited')", "'waited'"),
        ("%pwd", repr(str(Path.cwd()))),
        ("import io, sys; sys.stdout = io.StringIO(); print('a'); sys.stdout.tell()", "2"),
        ("try: input()\nexcept EOFError as error: print(error)\n'nobody'", "'nobody'"),
        ("import os\npid = os.fork()\n'forked'", "'forked'"),
        ("display({'application/json': float('nan')}, raw=True)\n'not JSON'", "'not JSON'"),
        ("import resource\nresource.getrlimit(resource.RLIMIT_CORE)", "(0, 0)"),
        ("import subprocess\nsubprocess.getoutput('ulimit -c; ulimit -Hc')", "'0\\n0'"),
    ],
)
def test_a_cell_is_ipythons(child: CellProcess, source: str, expected: str) -> None:
    """A cell may wait, use magic and fork; `input` gets no answer; it leaves no core file."""
    assert value(child.run(source, nothing)) == expected
    assert value(child.run("'goes on'", nothing)) == "'goes on'"


@pytest.mark.matrix(3)
@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("print(1)\n1 / 0", "ZeroDivisionError"),
        ("print(1)\ndef", "SyntaxError"),
        ("print(1)\nimport sys; sys.exit(3)", "SystemExit"),
        ("print(1)\nexit()", "SystemExit"),
        ("print(1)\nraise KeyboardInterrupt", "KeyboardInterrupt"),
        ("class A:\n    def __repr__(self): return 1 / 0\nA()", "ZeroDivisionError"),
        ("display({('a', 'tuple'): 1}, raw=True)", "TypeError"),
        ("print('x' * 40_000_000)\nraise ValueError('boom' + 'x' * 40_000_000)", "ValueError"),
    ],
)
def test_an_exception_fails_its_cell_alone(child: CellProcess, source: str, error: str) -> None:
    """The error is an output, with its text cut, whatever the cell showed before."""
    shown = child.run(source, nothing)

    assert shown.error == error
    (raised,) = (output for output in shown.outputs if output.get("ename") == error)
    assert len(str(raised)) < MEBIBYTE
    assert value(child.run("'goes on'", nothing)) == "'goes on'"


@pytest.mark.parametrize(
    "source",
    [
        "print('caf\\udce9')",
        "import sys; print('caf\\udce9', file=sys.stderr)",
        "display({'text/plain': 'caf\\udce9'}, raw=True)",
        "display({'text/caf\\udce9': 1}, metadata={'\\ud800': 1}, raw=True)",
        "raise OSError('caf\\udce9')",
        "'''caf\udce9'''",
    ],
)
def test_surrogates_lose_nothing(child: CellProcess, source: str) -> None:
    """In text that no file can hold, U+FFFD replaces characters beyond UTF-8."""
    shown = child.run(source, nothing)

    assert "caf\ufffd" in str(shown.outputs)
    str(shown.outputs).encode()
    assert value(child.run("'goes on'", nothing)) == "'goes on'"


# --- what cells are given ----------------------------------------------------------------


def test_cells_see_what_they_are_given(tmp_path: Path) -> None:
    """Cells have the given variables and their own descriptors, and nothing else of a parent."""
    with (tmp_path / "private").open("w") as private:
        os.set_inheritable(private.fileno(), True)
        with closing(CellProcess()) as child:
            child.begin(ENVIRONMENT)
            variables = child.run("import os, resource\nsorted(os.environ)", nothing)
            links = child.run(
                "for name in os.listdir('/proc/self/fd'):\n"
                "    try: print(name, os.readlink(f'/proc/self/fd/{name}').partition(':')[0])\n"
                "    except OSError: pass",
                nothing,
            )
            started = child.run("!ls -l /proc/self/fd", nothing)

    assert value(variables) == repr(sorted(ENVIRONMENT))
    places = dict(line.split() for line in links.outputs[0]["text"].splitlines())
    assert {places[number] for number in "012"} == {"/dev/null"}
    assert set(places.values()) == {"/dev/null", "pipe", "socket"}
    assert str(tmp_path) not in str(started.outputs)


# --- bad ends ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "last",
    [
        "os.kill(os.getpid(), signal.SIGKILL)",
        "os.kill(os.getpid(), signal.SIGTERM)",
        "os.abort()",
        "os._exit(0)",
    ],
)
def test_a_process_that_dies_is_named(child: CellProcess, last: str) -> None:
    """A process that is killed or ends itself ends its cell, and every later one."""
    shown = child.run(f"import os, signal\n{last}", nothing)

    assert (shown.error, shown.outputs[-1]["evalue"]) == ("DeadKernelError", "Kernel died")
    assert child.run("1", nothing).error == "DeadKernelError"


def test_a_process_that_dies_is_named_though_its_fork_lives(
    child: CellProcess, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A fork keeps the pipe open; the death is noticed before the cell's time is over."""
    monkeypatch.setattr(module, "_CELL_SECONDS", PATIENCE_SECONDS)
    number = tmp_path / "number"
    # The fork only has to live on; it is killed long before its sleep ends.
    source = f"""
        import os, signal, time
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        fork = os.fork()
        fork or time.sleep(600)
        open({str(number)!r}, "w").write(str(fork))
        os.kill(os.getpid(), signal.SIGKILL)
    """

    assert child.run(dedent(source), nothing).error == "DeadKernelError"
    assert child.run("1", nothing).error == "DeadKernelError"
    child.close()
    eventually(lambda: is_gone(int(number.read_text())))


# The cells that sleep only have to be late.
@pytest.mark.parametrize(
    ("source", "where"),
    [
        ("import time; time.sleep(600)", ["stdout", "error", "error"]),
        ("await __import__('asyncio').sleep(600)", ["stdout", "error", "error"]),
        ("while True: pass", ["stdout", "error", "error"]),
        ("while True:\n    try: __import__('time').sleep(1)\n    except: pass", ["error"]),
    ],
)
def test_a_late_cell_says_where_it_was(
    child: CellProcess, monkeypatch: pytest.MonkeyPatch, source: str, where: list[str]
) -> None:
    """A cell whose time is over is interrupted; one that goes on is given up."""
    child.run("1", nothing)
    monkeypatch.setattr(module, "_CELL_SECONDS", 0.5)
    monkeypatch.setattr(module, "_GRACE_SECONDS", 1 if where == ["error"] else PATIENCE_SECONDS)
    ticks: list[int] = []

    shown = child.run(f"print('begun')\n{source}", lambda: ticks.append(1))

    assert (shown.error, kinds(shown)) == ("CellTimeoutError", where)
    assert shown.outputs[-1]["evalue"] == wording("notebook.cell-took-more", seconds="0.5")
    assert len(ticks) > 2


SLEEPER = "import os, subprocess\np = subprocess.Popen(['sleep', '600'])\n"


def test_programs_started_by_cells_end_with_them() -> None:
    """A program that a cell started ends with the notebook, and so does a fork of the cells."""
    with closing(CellProcess()) as child:
        child.begin(ENVIRONMENT)
        child.run(SLEEPER, nothing)
        pids = value(child.run("[p.pid, os.getpid()]", nothing))
    for pid in pids.strip("[]").split(","):
        eventually(lambda pid=pid: is_gone(int(pid)))


PARENT = """
import sys
from runbook_lib.engine.cells import CellProcess
child = CellProcess()
child.begin({"PATH": "/usr/bin:/bin"})
print(child.pid, flush=True)
child.run(sys.argv[1], lambda: None)
"""


# A cell that sleeps is killed long before its sleep ends.
@pytest.mark.matrix(2)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize(
    "source",
    ["import time; time.sleep(600)", "import re; re.match('(a+)+$', 'a' * 60 + 'b')"],
    ids=["asleep", "holding the GIL"],
)
def test_cells_end_with_their_parent(number: int, source: str, tmp_path: Path) -> None:
    """A cell ends with a parent that was killed, whatever it does, and so do its processes."""
    note = f"{SLEEPER}open('begun', 'w').write(str(p.pid)); os.rename('begun', 'pid')\n"
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, note + source],
        stdout=subprocess.PIPE,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        text=True,
    ) as parent:
        try:
            pid = int(parent.stdout.readline())  # type: ignore[union-attr]
            eventually((tmp_path / "pid").exists)
        finally:
            parent.send_signal(number)
    for gone in (pid, int((tmp_path / "pid").read_text())):
        eventually(lambda gone=gone: is_gone(gone))


# --- bounds ------------------------------------------------------------------------------


@pytest.mark.matrix(1)
@pytest.mark.parametrize(
    ("source", "most"),
    [
        ("for _ in range(100): print('x' * 1_000_000)", 8),
        ("import sys\nfor _ in range(100): print('x' * 1_000_000, file=sys.stderr)", 8),
        ("for _ in range(100): display({'text/plain': 'x' * 1_000_000}, raw=True)", 8),
        ("for _ in range(200_000): display(1)", 2),
        ("display({'text/plain': 'x' * 34_000_000}, raw=True)", 0),
        ("for _ in range(100): print('\\0' * 1_000_000)", 8),
        ("print('\\U0001f600' * 20_000_000)", 8),
        ("print('\\\\' * 20_000_000)", 8),
        ("print('\\ud800' * 20_000_000)", 8),
        ("for _ in range(1024): print('x' * (1 << 20), end='')", 8),
    ],
)
def test_outputs_of_a_cell_are_bounded(child: CellProcess, source: str, most: int) -> None:
    """A cell keeps 8 MiB of a notebook's file; the rest is left out, in words."""
    child.run("import resource; use = lambda: resource.getrusage(0).ru_maxrss >> 10\n1", nothing)
    before = int(value(child.run("use()", nothing)))
    shown = child.run(source, nothing)
    after = int(value(child.run("use()", nothing)))

    assert most / 2 * MEBIBYTE <= file_size(shown) <= (most + 1) * MEBIBYTE
    assert wording("notebook.rest-left-out") in str(shown.outputs[:2])
    assert shown.error == ""
    assert after - before < 400


@pytest.mark.matrix(1)
def test_outputs_of_a_notebook_are_bounded(child: CellProcess) -> None:
    """Cells keep 16 MiB together; whatever was shown before, each keeps 128 KiB and its error."""
    flood = "for _ in range(30): print('x' * 1_000_000)"
    sizes = [file_size(child.run(flood, nothing)) for _ in range(4)]
    shown = child.run("print('y' * 100_000)\nraise ValueError('z' * 100_000)", nothing)

    assert [round(size / MEBIBYTE, 1) for size in sizes] == [8, 8, 0.1, 0.1]
    assert "'" + "y" * 100_000 in str(shown.outputs[0])
    assert shown.error == "ValueError"
    assert file_size(shown) < 128 * 1024


def test_the_frames_of_an_exception_are_bounded(child: CellProcess) -> None:
    """An exception with thousands of frames is shown with its last ones."""
    frames = "['first', *['frame'] * 1000, 'last']"
    source = f"get_ipython()._showtraceback(ValueError, ValueError('no'), {frames})"
    shown = child.run(source, nothing)

    assert shown.error == "ValueError"
    assert shown.outputs[-1]["traceback"] == [*["frame"] * 199, "last"]


def written_to_the_connection(message: str) -> str:
    """
    Return a cell that writes to the connection of its own process, and sleeps until it is killed.

    It ignores an interruption, or its own result would follow what it wrote.
    """
    return f"""
import os, socket, stat, struct, time
for name in os.listdir("/proc/self/fd"):
    number = int(name)
    try:
        is_ours = stat.S_ISSOCK(os.fstat(number).st_mode) and number > 2
    except OSError:
        continue
    if is_ours and socket.socket(fileno=os.dup(number)).family == socket.AF_UNIX:
        os.write(number, {message})
while True:
    try:
        time.sleep(600)
    except KeyboardInterrupt:
        pass
"""


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ('b"\\0\\0"', "CellTimeoutError"),
        ('struct.pack("!i", 1000) + b"x" * 10', "CellTimeoutError"),
        ('struct.pack("!iQ", -1, 1 << 62)', "InvalidMessageError"),
        ('struct.pack("!i", (1 << 31) - 1) + b"x"', "InvalidMessageError"),
        ('struct.pack("!i", -7)', "InvalidMessageError"),
        ('struct.pack("!i", 4) + b"nope"', "InvalidMessageError"),
        ('struct.pack("!i", 2) + b"{}"', "InvalidMessageError"),
        ('struct.pack("!i", 10) + b\'[1,[3],""]\'', "InvalidMessageError"),
        ('struct.pack("!i", 11) + b\'[1,[{}],""]\'', "InvalidMessageError"),
        ('struct.pack("!i", 4000) + b"[" * 4000', "InvalidMessageError"),
        ('struct.pack("!i", 2) + b"too much"', "InvalidMessageError"),
    ],
)  # fmt: skip
def test_half_a_message_is_bounded_in_size_and_time(
    child: CellProcess, monkeypatch: pytest.MonkeyPatch, message: str, error: str
) -> None:
    """A cell that writes half a message, or a false one, ends; nothing waits for the rest."""
    child.run("1", nothing)
    monkeypatch.setattr(module, "_CELL_SECONDS", 1)
    monkeypatch.setattr(module, "_GRACE_SECONDS", 0.2)

    shown = child.run(written_to_the_connection(message), nothing)

    assert shown.error == error
    assert shown.outputs[-1]["output_type"] == "error"


# --- a notebook --------------------------------------------------------------------------


def executed(
    folder: Path,
    *cells: str | tuple[str, list[str]],
    parameters: Mapping[str, str] | None = None,
    on_tick: Callable[[], None] = nothing,
    metadata: Mapping[str, Any] | None = None,
) -> str:
    """Execute a notebook with these cells; return why it broke off."""
    book = notebook(cells)
    if metadata is not None:
        book.metadata = nbformat.from_dict(metadata)
    nbformat.write(book, folder / "in.ipynb")
    return execute_notebook(
        folder / "in.ipynb",
        folder / "out.ipynb",
        parameters or {},
        environment=ENVIRONMENT,
        on_tick=on_tick,
    )


def written(folder: Path) -> list[Any]:
    """Return the code cells of the notebook on disk."""
    book = nbformat.read(folder / "out.ipynb", 4)
    nbformat.validate(book)
    return [cell for cell in book.cells if cell.cell_type == "code"]


@pytest.mark.parametrize(
    ("last", "broken"),
    [
        ("raise ValueError('no')", "a cell raised ValueError: no"),
        (
            "import os; raise OSError(os.fsdecode(b'caf\\xe9'))",
            "a cell raised OSError: caf\ufffd",
        ),
        ("import os; os._exit(0)", wording("fleet.kernel-died")),
    ],
)
def test_a_notebook_that_breaks_off_says_where(tmp_path: Path, last: str, broken: str) -> None:
    """The cell that failed is failed, later ones stay pending, and the reason is returned."""
    assert executed(tmp_path, "'first'", last, "'never'") == broken
    cells = written(tmp_path)

    assert [cell.metadata.papermill.status for cell in cells] == ["completed", "failed", "pending"]
    assert cells[0].outputs[0].data == {"text/plain": "'first'"}
    assert cells[2].outputs == []


def test_a_notebook_is_written_once(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is on disk when all cells have run, by a rename, and not before."""
    seen: set[Path] = set()
    moves: list[str] = []
    replace = Path.replace

    def noted(draft: Path, target: Path) -> Path:
        nbformat.validate(nbformat.read(draft, 4))
        moves.append(target.name)
        return replace(draft, target)

    monkeypatch.setattr(Path, "replace", noted)
    looked = tmp_path_factory.mktemp("looked")

    def look() -> None:
        seen.update(tmp_path.iterdir())
        for cell in looked.iterdir():
            cell.unlink()

    # A cell is another process, so it polls: it ends once somebody has looked.
    until_seen = (
        "import pathlib, tempfile, time",
        f"mine = pathlib.Path(tempfile.mkstemp(dir={str(looked)!r})[1])",
        "while mine.exists(): time.sleep(0.01)",
    )
    source = "\n".join(until_seen)
    executed(tmp_path, source, source, on_tick=look)

    assert (seen, moves) == ({tmp_path / "in.ipynb"}, ["out.ipynb"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.ipynb", "out.ipynb"]


@pytest.mark.parametrize(
    "metadata",
    [None, {}, {"kernelspec": {"name": "ir", "display_name": "R", "language": "R"}}],
    ids=["python", "none", "another"],
)
def test_parameters_are_injected_whatever_they_hold(
    tmp_path: Path, metadata: Mapping[str, Any] | None
) -> None:
    """A parameter arrives unchanged, whatever kernel the notebook names."""
    cells = [("name = ''", ["parameters"]), "import os; os.fsencode(name)"]
    parameters = {"name": os.fsdecode(b"caf\xe9")}

    assert executed(tmp_path, *cells, parameters=parameters, metadata=metadata) == ""
    assert written(tmp_path)[-1].outputs[0].data["text/plain"] == r"b'caf\xe9'"


def test_an_interruption_leaves_nothing_running(tmp_path: Path) -> None:
    """An interruption goes on, after the cells were killed; no notebook is written."""

    def interrupted() -> None:
        if (tmp_path / "pid").exists():
            raise KeyboardInterrupt

    note = (
        f"{SLEEPER}os.chdir('{tmp_path}')\nopen('begun', 'w').write(f'{{os.getpid()}} {{p.pid}}')"
    )
    with pytest.raises(KeyboardInterrupt):
        executed(tmp_path, f"{note}\nos.rename('begun', 'pid')\np.wait()", on_tick=interrupted)

    for pid in (tmp_path / "pid").read_text().split():
        eventually(lambda pid=pid: is_gone(int(pid)))
    assert not (tmp_path / "out.ipynb").exists()
