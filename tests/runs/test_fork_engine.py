"""The fork engine with real processes: what a run inherits, and runs that end badly."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import nbformat
import papermill
import psutil
import pytest
from nbclient.exceptions import CellTimeoutError, DeadKernelError

from runbook_lib.fork_engine import child as child_module
from runbook_lib.fork_engine import saving, start_child
from runbook_lib.fork_engine import worker as worker_module
from tests.support.notebooks import notebook

# Cells inherit the filters, which are pytest's here.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")

_PATIENCE_SECONDS = 60
SLEEPER = "import os, subprocess\nsleeper = subprocess.Popen(['sleep', '600'])\n"
NOTE_PIDS = SLEEPER + "open('pids', 'w').write(f'{os.getpid()} {sleeper.pid}')\n"


@pytest.fixture(autouse=True)
def _own_profile(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Use an empty IPython profile and an empty working folder."""
    monkeypatch.setenv("IPYTHONDIR", str(folder / "ipython"))


@pytest.fixture(autouse=True)
def _own_threads_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fork although pytest-xdist has threads: they only wait for its next message."""
    others = set(threading.enumerate())
    monkeypatch.setattr(child_module, "_is_single", lambda: set(threading.enumerate()) <= others)


@pytest.fixture(autouse=True)
def _leaves_nothing() -> Iterator[None]:
    """Check that a test leaves neither child processes nor file descriptors."""
    process = psutil.Process()
    descriptors, children = process.num_fds(), process.children()
    yield
    # NOTE: what earlier tests of this process left may be collected meanwhile.
    assert process.num_fds() <= descriptors
    assert process.children() == children


def run(*cells: Any, **options: Any) -> Any:
    """Execute cells with the forking engine and return the notebook."""
    return papermill.execute_notebook(
        notebook(cells), "out.ipynb", engine_name="fork", progress_bar=False, **options
    )


def written() -> Any:
    return nbformat.read("out.ipynb", 4)


def statuses() -> list[str]:
    """Return papermill's status of each code cell of the notebook on disk."""
    cells = (cell for cell in written().cells if cell.cell_type == "code")
    return [cell.metadata.papermill.status for cell in cells]


def shown(book: Any, index: int = -1) -> str:
    """Return the text of a cell's outputs."""
    return "".join(
        output.get("text") or output.get("data", {}).get("text/plain", "")
        for output in book.cells[index].outputs
    )


def wait_until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + _PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.02)


def assert_gone(pids: str) -> None:
    """Wait until none of these processes runs; a zombie does not run."""

    def is_gone(pid: int) -> bool:
        try:
            return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    wait_until(lambda: all(is_gone(int(pid)) for pid in pids.split()))


def test_the_entry_point_is_found_by_the_command_line(folder: Path) -> None:
    """`papermill --engine fork` runs a notebook, with parameters."""

    book = notebook([("who = 'nobody'", ["parameters"]), "print(who)"])
    nbformat.write(book, "in.ipynb")

    subprocess.run(
        [
            sys.executable,
            "-m",
            "papermill",
            "--engine",
            "fork",
            "-p",
            "who",
            "me",
            "in.ipynb",
            "out.ipynb",
        ],
        check=True,
        capture_output=True,
    )

    assert written().metadata.papermill.engine == {"name": "fork"}
    assert shown(written()) == "me\n"


class TestInheritance:
    """A run inherits only what it is given, and does not affect the next one."""

    def test_the_environment_is_the_one_given(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """No variable of this process reaches the cells or the processes that they start."""

        monkeypatch.setenv("SECRET", "hush")
        given = {"PATH": os.environ["PATH"], "HOME": str(Path.cwd()), "ONLY": "this"}

        book = run(
            "import os, json\njson.dumps(dict(os.environ))",
            "!env",
            environment=given,
        )

        variables = json.loads(shown(book, 0).strip("'"))
        added = {"TERM", "CLICOLOR", "FORCE_COLOR", "CLICOLOR_FORCE", "PAGER", "GIT_PAGER"}
        assert variables.keys() - added - {"MPLBACKEND"} == given.keys()
        assert "hush" not in str(book)
        assert "ONLY=this" in shown(book, 1)

    def test_runs_share_no_state(self) -> None:
        """A run's changes of modules, directory, umask and environment end with it."""

        before = random.getstate()
        modules = "import json, os\n"
        run(modules + "json.spoiled = True\nos.chdir('/')\nos.umask(0)\nos.environ['X'] = '1'")
        book = run(
            modules + "hasattr(json, 'spoiled'), os.getcwd(), os.umask(18), 'X' in os.environ"
        )

        expected = str((False, str(Path.cwd()), 18, False))
        assert " ".join(shown(book).split()) == expected
        assert not hasattr(json, "spoiled")
        assert random.getstate() == before

    def test_random_numbers_differ(self) -> None:
        """Two runs of one process get different random numbers, and so does this process."""

        random.seed(1)
        drawn = [shown(run("import random; random.random()")) for _ in range(2)]
        random.seed(1)

        assert len({*drawn, str(random.random())}) == 3

    def test_no_file_descriptor_is_inherited(self, folder: Path) -> None:
        """Cells inherit no open file of this process; standard input is empty."""

        with (folder / "private.txt").open("w") as file:
            os.set_inheritable(file.fileno(), True)
            book = run(
                "import os\nfor n in os.listdir('/proc/self/fd'):\n"
                "    try: print(n, os.readlink(f'/proc/self/fd/{n}'))\n    except OSError: pass"
            )

        lines = dict(line.split(" ", 1) for line in shown(book).splitlines())
        assert lines["0"] == "/dev/null"
        assert {place.split(":")[0] for place in lines.values()} <= {
            "/dev/null",
            "pipe",
            "socket",
            "anon_inode",
        }

    def test_the_child_runs_no_exit_handlers(self) -> None:
        """Exit handlers of this process run once, and not in the child."""

        script = (
            "import atexit, tests.support.notebooks as n, papermill\n"
            "atexit.register(lambda: open('parents', 'a').write('x'))\n"
            "papermill.execute_notebook(n.notebook(['exit()']), 'out.ipynb', engine_name='fork',"
            " progress_bar=False)\n"
        )

        subprocess.run([sys.executable, "-c", script], check=True, env=with_root())

        assert Path("parents").read_text() == "x"

    def test_buffered_text_is_written_once(self) -> None:
        """Text in this process's buffers is not written by the child too."""

        script = (
            "import sys, tests.support.notebooks as n, papermill\n"
            "sys.stdout.write('once')\n"
            "papermill.execute_notebook(n.notebook(['1']), None, engine_name='fork',"
            " progress_bar=False)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", script], check=True, env=with_root(), capture_output=True
        )

        assert done.stdout == b"once"


def with_root() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}


class TestThreads:
    """A process with threads forks early, or nbclient runs the notebook."""

    def test_a_child_that_was_forked_early_is_used(self) -> None:
        """A child gets the environment and directory of its run when it is used."""

        child = start_child()
        Path("below").mkdir()
        with thread():
            book = run(
                "import os\nos.getpid(), os.environ['A'], os.getcwd()",
                child=child,
                environment={**os.environ, "A": "b"},
                cwd="below",
            )

        expected = str((child.pid, "b", os.path.realpath("below")))
        assert " ".join(shown(book).split()) == expected
        assert book.metadata.papermill.engine == {"name": "fork"}

    def test_an_unused_child_can_be_closed(self) -> None:
        """A closed child leaves neither a process nor a file descriptor."""

        start_child().close()


class thread:
    """Run a second thread in the `with` block."""

    def __enter__(self) -> None:
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._end.wait, daemon=True)
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()


@pytest.fixture
def handled() -> Iterator[None]:
    """Have SIGINT raise KeyboardInterrupt; a shell lets its background jobs ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class TestBadEnds:
    """If a run ends badly, the notebook shows at which cell, and no process is left."""

    @pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGABRT, signal.SIGTERM])
    def test_the_child_is_killed(self, number: int) -> None:
        """If a cell's process dies, the cell is failed and keeps its output."""

        start = time.monotonic()
        with pytest.raises(DeadKernelError, match=r"^Kernel died$"):
            run("1", f"{NOTE_PIDS}print('before')\nos.kill(os.getpid(), {number:d})", "2")

        assert time.monotonic() - start < _PATIENCE_SECONDS
        assert statuses() == ["completed", "failed", "pending"]
        assert written().metadata.papermill.exception is True
        assert shown(written(), 1).startswith("before\n")
        assert_gone(Path("pids").read_text())

    def test_a_child_that_died_is_noticed_if_its_descriptors_stay_open(self) -> None:
        """The child's death is noticed although a process that it forked lives; that ends too."""

        with pytest.raises(DeadKernelError):
            run(
                "import os, time\nparent = os.getpid()\n"
                "if os.fork() == 0:\n"
                "    open('pids', 'w').write(f'{parent} {os.getpid()}')\n"
                "    time.sleep(600)\n"
                "time.sleep(0.5)\nos.kill(parent, 9)"
            )

        assert_gone(Path("pids").read_text())

    def test_the_engine_s_process_is_killed(self) -> None:
        """If the engine's process is killed, cells and the processes that they started end."""

        script = (
            "import sys, tests.support.notebooks as n, papermill\n"
            "papermill.execute_notebook(n.notebook([sys.argv[1]]), None, engine_name='fork')\n"
        )
        source = NOTE_PIDS + "import time\nos.rename('pids', 'all')\ntime.sleep(600)"
        parent = subprocess.Popen(
            [sys.executable, "-c", script, source], env=with_root(), stderr=subprocess.DEVNULL
        )
        wait_until(Path("all").exists)

        parent.kill()
        parent.wait()

        assert_gone(Path("all").read_text())

    def test_a_cell_runs_out_of_memory(self) -> None:
        """A cell that requests too much memory fails with `MemoryError`."""

        with pytest.raises(papermill.PapermillExecutionError, match="MemoryError"):
            run(
                "import resource as r\n"
                "used = int(open('/proc/self/statm').read().split()[0]) * r.getpagesize()\n"
                "r.setrlimit(r.RLIMIT_AS, (used + 2**28, used + 2**28))\n"
                "x = bytes(2**30)",
                "2",
            )

        assert statuses() == ["failed", "pending"]

    def test_a_cell_takes_too_long(self) -> None:
        """A time-out raises nbclient's error; the cell is failed and shows where it was."""

        with pytest.raises(CellTimeoutError, match="after 1 seconds"):
            run(f"{NOTE_PIDS}print('x')\nwhile True: pass", "2", execution_timeout=1)

        assert statuses() == ["failed", "pending"]
        text, error = written().cells[0].outputs
        assert (text.text, error.ename) == ("x\n", "KeyboardInterrupt")
        assert_gone(Path("pids").read_text())

    @pytest.mark.parametrize(
        ("source", "name"),
        [
            ("import time\ntime.sleep(600)", "KeyboardInterrupt"),
            ("import asyncio\nawait asyncio.sleep(600)", "CancelledError"),
        ],
    )
    def test_a_cell_is_interrupted(self, source: str, name: str) -> None:
        """With `interrupt_on_timeout`, the notebook continues if the cell may fail."""

        with pytest.raises(papermill.PapermillExecutionError, match=name):
            run(
                (source, ["raises-exception"]),
                "'after'",
                execution_timeout=1,
                interrupt_on_timeout=True,
            )

        assert statuses() == ["completed", "completed"]
        assert shown(written()) == "'after'"

    def test_the_caller_is_interrupted(self, handled: None) -> None:
        """Ctrl-C ends the run, marks its cell as failed, and is raised to the caller."""

        def on_tick() -> None:
            if Path("all").exists():
                time.sleep(0.1)
                signal.raise_signal(signal.SIGINT)

        with pytest.raises(KeyboardInterrupt):
            run(
                NOTE_PIDS + "print('x')\nos.rename('pids', 'all')\nimport time\ntime.sleep(600)",
                "2",
                on_tick=on_tick,
            )

        assert statuses() == ["failed", "pending"]
        assert_gone(Path("all").read_text())

    def test_processes_of_a_cell_end_with_the_notebook(self) -> None:
        """Processes that cells started end with the run."""

        run(NOTE_PIDS)

        assert_gone(Path("pids").read_text())

    @pytest.mark.parametrize("show", ["print('x' * 100)", "display(1)"])
    def test_endless_output_is_bounded_by_the_time(self, show: str) -> None:
        """A cell with endless output ends with its time-out; `on_tick` is called meanwhile."""

        ticks: list[float] = []
        with pytest.raises(CellTimeoutError):
            run(
                f"while True: {show}",
                execution_timeout=1,
                on_tick=lambda: ticks.append(time.monotonic()),
            )

        assert len(ticks) > 5
        assert statuses() == ["failed"]

    @pytest.mark.parametrize("wait", ["time.sleep(1)", "await asyncio.sleep(0.1)"])
    def test_exit_ends_the_kernel_a_moment_later(
        self, wait: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As in ipykernel, cells run on for a moment after `exit`; then there is no kernel."""

        monkeypatch.setattr(worker_module, "_EXIT_SECONDS", 1.0)
        source = f"import asyncio, time\n{wait}\nprint('ran')"
        with pytest.raises(DeadKernelError):
            run("exit()", source, "while True: await asyncio.sleep(0.01)", "4")

        assert statuses() == ["completed", "completed", "failed", "pending"]
        assert shown(written(), 1) == "ran\n"
        assert shown(written(), 2) == ""

    def test_exit_in_the_last_cell_is_no_error(self) -> None:
        """A notebook whose last cell exits is complete."""

        assert shown(run("1", "quit()\n'end'")) == "'end'"

    @pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
    def test_the_engine_s_process_is_killed_while_a_cell_holds_the_gil(self, number: int) -> None:
        """A cell that runs nothing but C ends with the engine's process, and what it started."""

        script = (
            "import sys, tests.support.notebooks as n, papermill\n"
            "papermill.execute_notebook(n.notebook([sys.argv[1]]), None, engine_name='fork')\n"
        )
        source = (
            f"{NOTE_PIDS}import re\nos.rename('pids', 'all')\nre.match('(a+)+$', 'a' * 60 + 'b')"
        )
        parent = subprocess.Popen(
            [sys.executable, "-c", script, source],
            env=with_root(),
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_until(Path("all").exists)
            parent.send_signal(number)
        except BaseException:
            parent.kill()
            raise
        finally:
            parent.wait()

        assert_gone(Path("all").read_text())

    def test_no_core_file_is_written(self) -> None:
        """A cell that aborts leaves no core file; neither does what cells start."""

        with pytest.raises(DeadKernelError):
            run(
                "import os, resource, subprocess\nresource.getrlimit(resource.RLIMIT_CORE)",
                "print(subprocess.getoutput('ulimit -c; ulimit -Hc'))",
                "os.abort()",
            )

        assert shown(written(), 0) == "(0, 0)"
        assert shown(written(), 1) == "0\n0\n"
        assert {path.name for path in Path().iterdir()} == {"out.ipynb", "ipython"}


class TestSaving:
    """The notebook on disk is complete and about a second old at most."""

    def test_saves_are_few(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A notebook of many quick cells is saved about once per second, then by papermill."""

        saves: list[float] = []
        write = saving._write
        monkeypatch.setattr(
            saving, "_write", lambda nb, path: (saves.append(time.monotonic()), write(nb, path))
        )
        start = time.monotonic()
        run(*["pass"] * 50)

        assert 1 <= len(saves) <= 2 + time.monotonic() - start

    def test_a_long_cell_is_on_disk_while_it_runs(self) -> None:
        """Unsaved changes are saved while a long cell runs."""

        seen: list[list[str]] = []
        run("1", "import time; time.sleep(1.5)", "3", on_tick=lambda: seen.append(statuses()))

        assert ["completed", "running", "pending"] in seen

    def test_a_reader_always_finds_a_complete_notebook(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The file is complete JSON at each moment while it is saved many times."""

        monkeypatch.setattr(saving, "_SECONDS_BETWEEN", 0.0)
        end, seen = threading.Event(), 0
        child = start_child()

        def read() -> None:
            nonlocal seen
            while not end.is_set():
                if Path("out.ipynb").exists():
                    json.loads(Path("out.ipynb").read_bytes())
                    seen += 1

        reader = threading.Thread(target=read, daemon=True)
        monkeypatch.setattr("papermill.execute.write_ipynb", lambda *_: None)  # papermill's own
        reader.start()
        run(*["'x' * 50_000"] * 20, child=child)
        end.set()
        reader.join()

        assert seen > 5
        assert {path.name for path in Path().iterdir()} == {"out.ipynb", "ipython"}

    def test_links_and_permissions_stay(self) -> None:
        """A link stays a link; its target is replaced and keeps its permissions."""

        Path("real.ipynb").touch(mode=0o600)
        Path("out.ipynb").symlink_to("real.ipynb")
        run("1")

        assert Path("out.ipynb").is_symlink()
        assert Path("real.ipynb").stat().st_mode & 0o777 == 0o600

    def test_the_output_is_relative_to_the_caller(self) -> None:
        """Cells run in `cwd`; the output path is relative to the caller's directory."""

        Path("below").mkdir()
        run("1", cwd="below")

        assert statuses() == ["completed"]
        assert list(Path("below").iterdir()) == []

    def test_nothing_is_saved_without_a_path(self) -> None:
        """Without an output path, the notebook is only returned."""

        book = papermill.execute_notebook(
            notebook(["1"]), None, engine_name="fork", progress_bar=False
        )

        assert shown(book) == "1"
        assert not Path("out.ipynb").exists()


class TestWhatCannotBeStored:
    """Nothing that was run is lost, whatever its outputs hold."""

    @pytest.mark.parametrize(
        "source",
        [
            "print('a\\udcff')",
            "import sys; print('a\\udcff', file=sys.stderr)",
            "import threading as t; a = t.Timer(0, print, ('a\\udcff',)); a.start(); a.join()",
            "class A:\n    def __repr__(self): return 'a\\udcff'\nA()",
            "display({'text/html': 'a\\udcff', 'text/plain': 'a\ufffd'}, raw=True)",
            "display({'a/json': {'\\udcff': ['\\ud800']}, 'text/plain': 'a\ufffd'}, raw=True)",
            "display({'text/\\udcff': 'x', 'text/plain': 'a\ufffd'}, raw=True)",
            "display({'text/plain': 'a\ufffd'}, metadata={'\\udcff': '\\udcff'}, raw=True)",
            "display({'text/plain': 'a\ufffd'}, raw=True, display_id='\\udcff'); None",
            "import os; os.write(1, b'a\\xff'); None",
        ],
    )
    def test_surrogates_in_outputs_are_replaced(self, source: str) -> None:
        """The notebook on disk has every cell, with U+FFFD in the surrogate's place."""

        run("'before'", source, "'after'")

        assert statuses() == ["completed"] * 3
        assert shown(written(), 1).rstrip("\n") == "a\ufffd"
        assert shown(written()) == "'after'"

    def test_a_surrogate_in_an_exception_is_replaced(self) -> None:
        """A file name that cannot be decoded is in papermill's error, and in the notebook."""

        source = "import os\nraise FileNotFoundError(os.fsdecode(b'caf\\xe9'))"
        with pytest.raises(papermill.PapermillExecutionError, match="caf\ufffd"):
            run("'before'", source)

        assert statuses() == ["completed", "failed"]
        (error,) = written().cells[-1].outputs
        assert error.evalue == "caf\ufffd"
        assert error.traceback[-1].endswith("caf\ufffd")

    def test_surrogates_in_sources_and_parameters_mean_the_same(self) -> None:
        """A source and a parameter that no file can hold are run, and stored as escapes."""

        path = os.fsdecode(b"caf\xe9.txt")
        Path(path).touch()
        book = papermill.execute_notebook(
            notebook(
                [("name = ''", ["parameters"]), "import os; os.path.exists(name)", "'\udcff'"]
            ),
            "out.ipynb",
            {"name": path},
            engine_name="fork",
            progress_bar=False,
        )

        assert shown(written(), 2) == "True"
        assert shown(written()) == r"'\udcff'"
        assert book.metadata.papermill.parameters == {"name": r"caf\udce9.txt"}


class TestBounds:
    """What cells print is bounded, in the notebook and in memory."""

    def test_much_text_is_cut_and_takes_no_memory(self) -> None:
        """Of 400 MB a cell keeps 32 MiB; the engine's process grows by a few times of that."""

        script = (
            "import resource, tests.support.notebooks as n, papermill\n"
            "most = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10\n"
            "run = lambda source: papermill.execute_notebook(n.notebook([source, '2']),"
            " 'out.ipynb', engine_name='fork', progress_bar=False)\n"
            "run('1'); before = most()\n"
            "run('line = bytes(79 * [120] + [10])\\nimport os\\n"
            "for _ in range(400): os.write(1, line * 12500)')\n"
            "print(most() - before)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", script], check=True, env=with_root(), capture_output=True
        )

        text, line = (output.text for output in written().cells[0].outputs)
        assert len(text) == 32 << 20
        assert line == "… 349 MiB of output left out: a cell keeps 32 MiB.\n"
        assert shown(written()) == "2"
        assert int(done.stdout) < 300

    @pytest.mark.matrix(1)
    @pytest.mark.parametrize(
        "line",
        ["print(1_000_000 * 'x')", "print(10_000 * 'x', file=(sys.stdout, sys.stderr)[i % 2])"],
    )
    def test_the_child_keeps_nothing_of_what_it_printed(self, line: str) -> None:
        """After 300 MB of `print` the cells' process is as large as before."""

        most = "(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10)"
        count = 300 if line.startswith("print(1_0") else 30_000
        book = run(
            f"import resource, sys\nprint('a')\nbefore = {most}",
            f"for i in range({count}): {line}",
            f"{most} - before",
        )

        assert int(shown(book, 2)) < 50

    def test_a_large_display_is_left_out(self) -> None:
        """A display of more than a cell's share is left out, and what comes later is shown."""

        book = run("display({'text/plain': 'x' * 34_000_000}, raw=True)\nprint('after')")

        assert shown(book) == "… 32 MiB of output left out: a cell keeps 32 MiB.\nafter\n"

    def test_a_large_exception_still_fails_the_run(self) -> None:
        """A cell whose exception is too large is failed, and shows the beginning of it."""

        with pytest.raises(papermill.PapermillExecutionError, match="boom"):
            run("raise ValueError('boom' + 'x' * 20_000_000)", "2")

        assert statuses() == ["failed", "pending"]
        cells = [cell for cell in written().cells if cell.cell_type == "code"]
        error, line = cells[0].outputs
        assert error.evalue.startswith("boomx")
        assert line.text.endswith("left out: a cell keeps 32 MiB.\n")

    def test_a_flush_of_the_other_stream_keeps_the_order(self) -> None:
        """Text that was flushed comes before what the other stream gets later."""

        (cell,) = run(
            "import os, sys\n"
            "for i in range(3):\n"
            "    print(i, flush=True); os.write(2, b'e'); print(i, flush=True)\n"
            "    sys.stderr.flush()"
        ).cells

        assert [output.text for output in cell.outputs] == [
            text for i in range(3) for text in (f"{i}\n{i}\n", "e")
        ]

    def test_a_write_of_any_size_is_whole(self) -> None:
        """A write that is longer than what is written at once keeps its order and its length."""

        book = run("import sys\nsys.stdout.write('é' * 3_000_000 + 'end')")

        assert book.cells[0].outputs[0].text == "é" * 3_000_000 + "end"
        assert book.cells[0].outputs[1].data["text/plain"] == "3000003"

    def test_lines_of_threads_are_whole_and_complete(self) -> None:
        """Threads print while other cells run, and between them: no line is lost or torn."""

        source = (
            "import sys, threading, time\n"
            "def write(name):\n"
            "    for number in range(200):\n"
            "        file = sys.stdout if number % 2 else sys.stderr\n"
            "        file.write(f'{name}-{number}\\n'); time.sleep(0.001)\n"
            "threads = [threading.Thread(target=write, args=(n,)) for n in range(3)]\n"
            "for thread in threads: thread.start()\n"
        )
        book = run(source, "display(1)", *["pass"] * 10, "for t in threads: t.join()")

        streams = [o.text for cell in book.cells for o in cell.outputs if "text" in o]
        expected = [f"{name}-{number}" for name in range(3) for number in range(200)]
        assert sorted("".join(streams).split()) == sorted(expected)


class TestOptions:
    """Options have the same meaning as in papermill's own engine."""

    def test_streams_are_copied(self) -> None:
        """`stdout_file` and `stderr_file` receive the text that cells write."""

        out, err = StringIO(), StringIO()
        run(
            "import sys; print('o'); print('e', file=sys.stderr)",
            "!echo p",
            stdout_file=out,
            stderr_file=err,
        )

        assert (out.getvalue().split(), err.getvalue().split()) == (["o", "p"], ["e"])

    def test_output_is_logged(self, caplog: pytest.LogCaptureFixture) -> None:
        """`log_output` logs streams and results."""

        caplog.set_level("INFO", "papermill")
        run("import sys; print('o'); print('e', file=sys.stderr); 40 + 2", log_output=True)

        logged = [(record.levelname, record.message) for record in caplog.records]
        assert {("INFO", "o\n"), ("WARNING", "e\n"), ("INFO", "42")} <= set(logged)

    def test_tagged_cells_are_skipped(self) -> None:
        """A cell with nbclient's tag is not executed."""

        book = run(("1/0", ["skip-execution"]), "2")

        assert [cell.execution_count for cell in book.cells] == [None, 1]

    def test_timing_is_optional(self) -> None:
        """Without `record_timing`, cells have no times."""

        assert "execution" not in run("1", record_timing=False).cells[0].metadata

    def test_widgets_show_their_text(self) -> None:
        """Widgets have no model here: they are shown as text, without an error."""

        book = run(
            "import ipywidgets as w\nw.IntSlider(3)",
            "s = w.Text('a')\nwith w.Output(): print('in')\ndisplay(s)\ns.value = 'b'",
        )

        assert [
            set(output.get("data", {"text/plain": 0}))
            for cell in book.cells
            for output in cell.outputs
        ] == [{"text/plain"}] * 3
        assert "IntSlider(value=3" in shown(book, 0)


class TestFallback:
    """If the engine cannot run a notebook, nbclient does, and the metadata says why."""

    @pytest.mark.parametrize(
        ("options", "reason"),
        [
            ({"coalesce_streams": True}, "only nbclient has the option coalesce_streams"),
            ({"kernel_name": "elsewhere"}, "the kernel elsewhere is another program: env"),
        ],
    )
    def test_nbclient_takes_over(
        self, options: dict[str, Any], reason: str, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The notebook runs in nbclient with the same environment and ticks."""

        make_kernel(folder, "elsewhere", "env", sys.executable)
        monkeypatch.setenv("SECRET", "hush")

        about, text = run_apart(
            "import os\nprint('SECRET' in os.environ, os.environ['A'])",
            environment={**plain_environment(), "A": "b"},
            **options,
        )

        assert about["name"] == "nbclient"
        assert about["reason"].startswith(reason)
        assert text == "False b\n"
        assert Path("ticks").exists()

    def test_an_unknown_kernel_is_an_error(self) -> None:
        """For an unknown kernel, nbclient raises its error, and the reason names the kernel."""

        with pytest.raises(subprocess.CalledProcessError):
            run_apart("1", kernel_name="nosuch")

        reason = written().metadata.papermill.engine["reason"]
        assert reason == "no kernel is called nosuch"

    def test_nbclient_replaces_a_child_that_threads_forbid(self) -> None:
        """If another thread runs, and no child was forked before it, nbclient runs the notebook."""

        about, text = run_apart("1", is_threaded=True)

        assert about == {"name": "nbclient", "reason": "this process has other threads"}
        assert text == "1"

    def test_nbclient_replaces_a_dead_child(self) -> None:
        """If the child dies before the first cell, nbclient runs the notebook."""

        about, text = run_apart("1", is_child_killed=True)

        assert about == {"name": "nbclient", "reason": "the child died"}
        assert text == "1"

    def test_nbclient_s_outputs_are_bounded(self) -> None:
        """Of what a kernel prints and shows, the notebook keeps 32 MiB a cell, too."""

        about, _ = run_apart(
            "for _ in range(20): print('x' * 1_000_000)\n"
            "for _ in range(20): display({'text/plain': 'y' * 1_000_000}, raw=True)\n"
            "print('z' * 10_000_000)",
            is_child_killed=True,
        )

        outputs = written().cells[0].outputs
        assert about["name"] == "nbclient"
        assert len(str(outputs)) < 34 << 20
        lines = [output.text for output in outputs if output.get("text", "").startswith("…")]
        assert lines == ["… 16 MiB of output left out: a cell keeps 32 MiB.\n"]

    def test_a_variable_of_the_kernel_is_set(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Cells get the environment variables of the kernel's specification."""

        make_kernel(folder, "mine", sys.executable, env={"MINE": "1"})
        monkeypatch.setenv("JUPYTER_PATH", str(folder))

        book = run("import os\nos.environ['MINE']", kernel_name="mine")

        assert book.metadata.papermill.engine == {"name": "fork"}
        assert shown(book) == "'1'"


def make_kernel(folder: Path, name: str, *program: str, **more: Any) -> None:
    """Write the specification of a kernel into a folder of `JUPYTER_PATH`."""
    place = folder / "kernels" / name / "kernel.json"
    place.parent.mkdir(parents=True)
    argv = [*program, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    place.write_text(json.dumps({"argv": argv, "display_name": name, "language": "python", **more}))


def plain_environment() -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(Path.cwd())}


def run_apart(
    source: str, *, is_child_killed: bool = False, is_threaded: bool = False, **options: Any
) -> tuple[Any, str]:
    """Execute a cell in a new process, because nbclient leaves event loops open."""
    script = (
        "import json, sys, threading, tests.support.notebooks as n, papermill\n"
        "import runbook_lib.fork_engine as f\n"
        "source, is_killed, is_threaded, options = json.loads(sys.argv[1])\n"
        "if is_threaded:\n"
        "    threading.Thread(target=threading.Event().wait, daemon=True).start()\n"
        "if is_killed:\n"
        "    options['child'] = f.start_child()\n"
        "    options['child'].kill()\n"
        "papermill.execute_notebook(n.notebook([source]), 'out.ipynb', engine_name='fork',\n"
        "    progress_bar=False, on_tick=lambda: open('ticks', 'w').close(), **options)\n"
    )
    arguments = json.dumps([source, is_child_killed, is_threaded, options])
    environment = {**with_root(), "JUPYTER_PATH": str(Path.cwd())}
    subprocess.run([sys.executable, "-c", script, arguments], check=True, env=environment)
    return written().metadata.papermill.engine, shown(written())
