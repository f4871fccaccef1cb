"""A worker: one process for each run, which finds nothing of an earlier one and ends in time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from runbook_lib.engine.worker import Worker
from tests.support.run_process import REQUEST, SECRETS, Child
from tests.unit.bodies import APP_SECRET

_PATIENCE_SECONDS = 30
# The program does not load what only real runs need.
MAIN = """
import sys
sys.modules["runbook_lib.engine.preloaded"] = sys
from runbook_lib.engine import worker
worker.main()
"""


@pytest.fixture
def child(monkeypatch: pytest.MonkeyPatch) -> Child:
    fake = Child(MAIN)
    fake.performs("pass")
    monkeypatch.setattr(subprocess, "Popen", fake)
    # NOTE: with `-c`, Python imports from the working directory, which some tests change.
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    return fake


@pytest.fixture
def worker(child: Child) -> Iterator[Worker]:
    """Give a worker with this process's environment; nothing of it is left running."""
    worker = Worker(os.environ, ["RUNBOOK_A", "RUNBOOK_B"])
    yield worker
    worker.close()


def heard(worker: Worker, **more: object) -> str:
    """Return what a run says of itself: its id, where the program puts it."""
    event = worker.run(replace(REQUEST, **more), seconds=_PATIENCE_SECONDS)  # type: ignore[arg-type]
    return str(event.get("said", event))


def eventually(is_so: Callable[[], bool]) -> None:
    """Wait until something is so; fail if it is not in time."""
    end = time.monotonic() + _PATIENCE_SECONDS
    while not is_so() and time.monotonic() < end:
        time.sleep(0.02)
    assert is_so()


def soon(path: Path) -> str:
    """Return what a file holds, once it holds something."""
    eventually(lambda: path.exists() and path.read_text() != "")
    return path.read_text()


def is_gone(number: int) -> bool:
    """
    Return whether a process has ended, whether or not its new parent knows yet.

    NOTE: one that was killed closes its files first, and ends a moment later.
    """
    try:
        return psutil.Process(number).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_the_last_event_is_returned_whatever_was_printed(child: Child, worker: Worker) -> None:
    """What a run prints is no event, nor is a wait; its result comes back."""

    child.performs("print('noise', flush=True)", "listener.on_wait('Waiting.')")
    finished = worker.run(REQUEST, seconds=_PATIENCE_SECONDS)

    assert (finished["event"], finished["outcome"]) == ("finished", "incomplete")
    assert (finished["run_id"], finished["steps"], finished["said"]) == ("0badcafe", [], "")


def test_an_error_keeps_its_exit_code(child: Child, worker: Worker) -> None:
    """A refused run has its message, and what it comes to as exit code."""

    child.performs("from runbook_lib.errors import LeakError", "raise LeakError('A leak.')")
    error = worker.run(REQUEST, seconds=_PATIENCE_SECONDS)

    assert (error["event"], error["said"], error["code"]) == ("refused", "A leak.", 4)


def test_what_a_sealed_run_lacks_is_named(worker: Worker) -> None:
    """The last event says that the notebook broke off, and that the archive refused."""

    event = worker.run(replace(REQUEST, tenant="broken"), seconds=_PATIENCE_SECONDS)

    assert event["said"] == "The notebook broke off: the kernel died. Not archived: No."
    assert (event["is_archived"], event["next_step"]) == (False, "Do that.")


def test_each_run_is_a_process_of_its_own(
    child: Child, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs have one parent, and what one leaves in memory or environment the next does not find."""

    child.performs(
        "known = sorted({'RUNBOOK_A', 'RUNBOOK_B', 'LEFT'} & set(os.environ))",
        "seen = [os.getpid(), os.getppid(), known, getattr(process, 'left', None)]",
        "os.environ['LEFT'] = process.left = 'x'",
        "raise SettingsError(json.dumps(seen))",
    )
    monkeypatch.setenv("RUNBOOK_A", "1")
    monkeypatch.setenv("RUNBOOK_B", "2")

    first = json.loads(heard(worker, variables=["RUNBOOK_A"]))
    second = json.loads(heard(worker, variables=["RUNBOOK_B", "RUNBOOK_NONE"]))

    assert first[0] != second[0]
    assert first[1] == second[1]
    assert (first[2:], second[2:]) == ([["RUNBOOK_A"], None], [["RUNBOOK_B"], None])


def test_the_worker_holds_no_credential(child: Child, worker: Worker) -> None:
    """No request is in the memory of the worker, nor in its environment or that of a later run."""

    child.performs(
        "import re",
        "maps = Path(f'/proc/{os.getppid()}/maps').read_text().splitlines()",
        "memory = open(f'/proc/{os.getppid()}/mem', 'rb')",
        "found = []",
        "for line in maps:",
        "    start, end = (int(each, 16) for each in line.split()[0].split('-'))",
        "    if ' rw' in line and '[v' not in line:",
        "        memory.seek(start)",
        f"        found += re.findall({APP_SECRET[:20]!r}.encode() + b'[0-9a-f]', "
        "memory.read(end - start))",
        "raise SettingsError(f'{len(maps) > 20} {len(found)}')",
    )

    assert APP_SECRET in {secret.reveal() for secret in REQUEST.secrets.values()}
    assert heard(worker) == "True 0"
    assert heard(worker) == "True 0"


@pytest.mark.parametrize(
    ("last", "why"),
    [("os.kill(os.getpid(), signal.SIGKILL)", "signal 9"), ("os._exit(7)", "exit code 7")],
)
def test_a_crash_is_named_and_the_next_run_has_another_worker(
    child: Child, worker: Worker, last: str, why: str
) -> None:
    """A run that ends without a result is named with its signal or exit code; others go on."""

    child.performs(
        "if request.tenant == 'crash':", f"    {last}", "raise SettingsError(str(os.getppid()))"
    )
    before = heard(worker)
    event = worker.run(replace(REQUEST, tenant="crash"), seconds=_PATIENCE_SECONDS)

    assert event["said"] == f"The run's process ended without a result ({why})."
    assert event["next_step"]
    assert heard(worker) not in ("", before)


def test_a_killed_worker_is_named(child: Child, worker: Worker, folder: Path) -> None:
    """A worker that is killed takes its run with it, which ends as an interrupted one."""

    child.performs(
        "import time",
        "if request.tenant == 'crash':",
        "    try: Path('begun').write_text(str(os.getppid())); time.sleep(60)",
        "    except KeyboardInterrupt: Path('interrupted').touch(); raise",
    )
    events: list[object] = []
    crashing = replace(REQUEST, tenant="crash")
    thread = threading.Thread(
        target=lambda: events.append(worker.run(crashing, seconds=_PATIENCE_SECONDS))
    )
    thread.start()
    pid = int(soon(Path("begun")))
    runs = psutil.Process(pid).children()
    os.kill(pid, signal.SIGKILL)
    worker.interrupt()
    thread.join(_PATIENCE_SECONDS)

    assert [event["said"] for event in events] == ["Interrupted."]  # type: ignore[index]
    assert Path("interrupted").exists()
    assert psutil.wait_procs(runs, timeout=_PATIENCE_SECONDS)[1] == []
    assert worker.run(REQUEST, seconds=_PATIENCE_SECONDS)["event"] == "finished"


@pytest.mark.parametrize("is_deaf", [False, True])
def test_a_run_that_takes_too_long_is_ended(
    child: Child, worker: Worker, is_deaf: bool, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    """After its time a run may write its end, and is killed if it does not."""

    grace = 1 if is_deaf else _PATIENCE_SECONDS
    monkeypatch.setattr("runbook_lib.engine.worker._GRACE_SECONDS", grace)
    child.performs(
        "import time",
        "if request.tenant == 'slow':",
        f"    signal.signal(signal.SIGTERM, signal.SIG_IGN) if {is_deaf} else None",
        "    try: Path('begun').write_text(str(os.getpid())); time.sleep(60)",
        "    except KeyboardInterrupt: Path('interrupted').touch(); raise",
    )
    # The worker has loaded everything then, so that the run begins within its time.
    assert worker.run(REQUEST, seconds=_PATIENCE_SECONDS)["event"] == "finished"

    event = worker.run(replace(REQUEST, tenant="slow"), seconds=5)

    assert event["said"] == "The run took longer than 5 seconds, and was ended."
    assert "--timeout" in event["next_step"]
    assert Path("interrupted").exists() is not is_deaf
    pid = int(Path("begun").read_text())
    eventually(lambda: is_gone(pid))


def test_another_thread_stops_a_run(child: Child, worker: Worker, folder: Path) -> None:
    """`stop` interrupts what runs, and nothing is started afterwards."""

    child.performs("import time", "Path('begun').write_text('yes')", "time.sleep(60)")
    events: list[object] = []
    thread = threading.Thread(
        target=lambda: events.append(worker.run(REQUEST, seconds=_PATIENCE_SECONDS))
    )
    thread.start()
    soon(Path("begun"))
    worker.stop()
    thread.join(_PATIENCE_SECONDS)

    assert [event["said"] for event in events] == ["Interrupted."]  # type: ignore[index]
    assert worker.run(REQUEST, seconds=_PATIENCE_SECONDS)["said"] == "Interrupted."


def test_a_run_does_not_outlive_whoever_asked_for_it(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    """When the parent is killed the run is interrupted, so its journal says so, and all end."""

    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    child = Child(MAIN)
    child.performs(
        "import time",
        "try: Path('begun').write_text(f'{os.getpid()} {os.getppid()}'); time.sleep(60)",
        "except KeyboardInterrupt: Path('interrupted').touch(); raise",
    )
    Path("program.py").write_text(child.program)
    asks = (
        "import os, subprocess, sys\n"
        "from runbook_lib.engine.worker import Worker\n"
        "from tests.support.run_process import REQUEST\n"
        "start = subprocess.Popen\n"
        "subprocess.Popen = lambda _, **options: start([sys.executable, 'program.py'], **options)\n"
        "Worker(os.environ).run(REQUEST, seconds=60)\n"
    )
    parent = psutil.Popen([sys.executable, "-c", asks])
    numbers = [int(each) for each in soon(Path("begun")).split()]
    processes = [psutil.Process(each) for each in numbers]
    parent.kill()

    assert psutil.wait_procs([parent, *processes], timeout=_PATIENCE_SECONDS)[1] == []
    assert Path("interrupted").exists()


def test_a_program_that_does_not_start_is_an_error(child: Child, worker: Worker) -> None:
    """A worker that fails before it reads a large request is named, and nothing hangs."""

    child.program = "import sys; sys.exit(5)"
    large = replace(REQUEST, given={"permissions": ("x" * 10,) * 100_000})

    event = worker.run(large, seconds=_PATIENCE_SECONDS)

    assert event["said"] == "The run's process ended without a result (exit code 5)."


def test_credentials_go_over_standard_input_alone(child: Child, worker: Worker) -> None:
    """Others can read command line and environment: no credential is in them."""

    child.performs(
        "own = Path('/proc/self')",
        "seen = own.joinpath('cmdline').read_bytes() + own.joinpath('environ').read_bytes()",
        f"values = [request.environ[name] for name in {sorted(SECRETS)!r}]",
        "raise SettingsError(json.dumps([len(values), [v for v in values if v.encode() in seen]]))",
    )

    assert json.loads(heard(worker)) == [2, []]
    assert not [value for value in SECRETS.values() if value in repr(child.options)]
