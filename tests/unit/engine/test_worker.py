"""A worker: a process for each run, which finds nothing of an earlier one and ends in time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from runbook_lib.engine import worker as module
from runbook_lib.engine.process import ProcessRequest
from runbook_lib.engine.slot import Slot
from runbook_lib.engine.worker import PRELOADED, Worker
from tests.support.run_process import REQUEST
from tests.unit.bodies import APP_SECRET

_PATIENCE_SECONDS = 30
ROOT = Path(__file__).parents[3]
IMPORTS = """
import json, os, re, signal, sys, time
from pathlib import Path
from runbook_lib.engine import process
from runbook_lib.errors import LeakError, SettingsError
"""


@pytest.fixture(autouse=True)
def _fake_runs(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give this test a fork server of its own, whose runs do what their request says."""
    monkeypatch.setattr(module, "PRELOADED", ["tests.support.fake_runs"])
    # NOTE: the server imports from here, whatever the working directory.
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    end_servers()
    yield
    end_servers()


def servers() -> list[psutil.Process]:
    """Return the fork servers of this process."""
    found = []
    for child in psutil.Process().children():
        with suppress(psutil.ZombieProcess):
            found += [child] if "multiprocessing.forkserver" in str(child.cmdline()) else []
    return found


def end_servers() -> None:
    """Kill them, with what they run."""
    for server in servers():
        for process in (server, *server.children(recursive=True)):
            process.kill()


@pytest.fixture
def worker() -> Worker:
    return Worker(os.environ, ["RUNBOOK_A", "RUNBOOK_B"])


def performing(*lines: str, **more: object) -> ProcessRequest:
    """Return a request whose run does this."""
    program = IMPORTS + "\n".join(lines)
    return replace(REQUEST, given={**REQUEST.given, "program": program}, **more)  # type: ignore[arg-type]


def heard(worker: Worker | Slot, request: ProcessRequest) -> str:
    """Return what a run says of itself: its id, where the program puts it."""
    event = worker.run(request, seconds=_PATIENCE_SECONDS)
    return str(event.get("said", event))


@contextmanager
def running(worker: Worker | Slot, request: ProcessRequest) -> Iterator[list[Mapping[str, Any]]]:
    """Run a request in another thread; its last event is in the list when that has ended."""
    events: list[Mapping[str, Any]] = []
    thread = threading.Thread(
        target=lambda: events.append(worker.run(request, seconds=_PATIENCE_SECONDS))
    )
    thread.start()
    yield events
    thread.join(_PATIENCE_SECONDS)


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
    """Return whether a process has ended, whether or not its new parent knows yet."""
    try:
        return psutil.Process(number).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_the_last_event_is_returned_whatever_was_printed(worker: Worker) -> None:
    """What a run prints is no event, nor is a wait; its result comes back."""

    noisy = performing("print('noise', flush=True)", "listener.on_wait('Waiting.')")
    finished = worker.run(noisy, seconds=_PATIENCE_SECONDS)

    assert (finished["event"], finished["outcome"]) == ("finished", "incomplete")
    assert (finished["run_id"], finished["steps"], finished["said"]) == ("0badcafe", [], "")


def test_an_error_keeps_its_exit_code(worker: Worker) -> None:
    """A refused run has its message, and what it comes to as exit code."""

    error = worker.run(performing("raise LeakError('A leak.')"), seconds=_PATIENCE_SECONDS)

    assert (error["event"], error["said"], error["code"]) == ("refused", "A leak.", 4)


def test_what_a_sealed_run_lacks_is_named(worker: Worker) -> None:
    """The last event says that the notebook broke off, and that the archive refused."""

    event = worker.run(replace(REQUEST, tenant="broken"), seconds=_PATIENCE_SECONDS)

    assert event["said"] == "The notebook broke off: the kernel died. Not archived: No."
    assert (event["is_archived"], event["next_step"]) == (False, "Do that.")


def test_each_run_is_a_process_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs have one parent, and what one leaves in memory or environment the next does not find."""

    monkeypatch.setenv("RUNBOOK_A", "1")
    monkeypatch.setenv("RUNBOOK_B", "2")
    monkeypatch.setenv("JPY_SESSION_NAME", "x.ipynb")
    worker = Worker(os.environ, ["RUNBOOK_A", "RUNBOOK_B"])
    lines = (
        "names = {'RUNBOOK_A', 'RUNBOOK_B', 'LEFT', 'JPY_SESSION_NAME'}",
        "known = sorted(names & set(os.environ))",
        "seen = [os.getpid(), os.getppid(), known, getattr(process, 'left', None), os.getsid(0)]",
        "os.environ['LEFT'] = process.left = 'x'",
        "raise SettingsError(json.dumps(seen))",
    )

    first = json.loads(heard(worker, performing(*lines, variables=["RUNBOOK_A"])))
    second = json.loads(heard(worker, performing(*lines, variables=["RUNBOOK_B", "RUNBOOK_NONE"])))

    assert first[0] != second[0]
    assert first[1] == second[1] == servers()[0].pid
    assert (first[2:4], second[2:4]) == ([["RUNBOOK_A"], None], [["RUNBOOK_B"], None])
    assert (first[4], second[4]) == (first[0], second[0])
    assert {"RUNBOOK_A", "RUNBOOK_B", "JPY_SESSION_NAME"} < set(os.environ)


def test_a_tenants_variables_are_there_while_others_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A worker takes them before any process is started, for which they leave the environment."""

    monkeypatch.setenv("RUNBOOK_A", "1")
    worker = Worker(os.environ, ["RUNBOOK_A"])
    asking = performing("raise SettingsError(os.environ['RUNBOOK_A'])", variables=["RUNBOOK_A"])

    with module._environment_without(["RUNBOOK_A"]):
        assert "RUNBOOK_A" not in os.environ
        assert heard(worker, asking) == "1"


def test_what_is_preloaded_is_there_in_each_process(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name in the list that cannot be imported would be ignored: each is loaded."""

    monkeypatch.setattr(module, "PRELOADED", [*PRELOADED, "tests.support.fake_runs"])
    missing = "raise SettingsError(json.dumps([n for n in NAMES if n not in sys.modules]))"
    from runbook_lib.engine.preloaded import NAMES  # noqa: PLC0415  (loads papermill)

    names = [*PRELOADED, *NAMES]

    assert heard(worker, performing(f"NAMES = {names!r}", missing)) == "[]"


def test_no_process_compiles_the_schema_of_notebooks(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server has compiled it, which takes longer than to validate the notebooks of a run."""

    monkeypatch.setattr(module, "PRELOADED", [*PRELOADED, "tests.support.fake_runs"])
    validating = performing(
        "import fastjsonschema, nbformat",
        "fastjsonschema.compile = None",
        "nbformat.validate(nbformat.v4.new_notebook())",
        "raise SettingsError('valid')",
    )

    assert heard(worker, validating) == "valid"


def test_the_server_holds_no_credential(worker: Worker) -> None:
    """No request is in the memory of the server, nor in its environment or that of a later run."""

    searching = performing(
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
    assert heard(worker, searching) == "True 0"
    assert heard(worker, searching) == "True 0"


@pytest.mark.parametrize(
    ("last", "why"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", "signal 9"),
        ("os._exit(7)", "exit code 7"),
        ("os._exit(0)", "exit code 0"),
    ],
)
def test_a_crash_is_named_and_others_go_on(worker: Worker, last: str, why: str) -> None:
    """A run that ends without a result is named with its signal or exit code; others go on."""

    event = worker.run(performing(last), seconds=_PATIENCE_SECONDS)

    assert event["said"] == f"The run's process ended without a result ({why})."
    assert event["next_step"]
    assert worker.run(REQUEST, seconds=_PATIENCE_SECONDS)["event"] == "finished"


def test_a_killed_server_stops_no_run(worker: Worker, folder: Path) -> None:
    """A run goes on when the server is killed, and the next run has another server."""

    going_on = performing(
        "Path('begun').write_text(str(os.getppid()))",
        "while not Path('killed').exists(): time.sleep(0.02)",
    )
    with running(worker, going_on) as events:
        os.kill(int(soon(Path("begun"))), signal.SIGKILL)
        (folder / "killed").touch()

    assert [event["event"] for event in events] == ["finished"]
    assert worker.run(REQUEST, seconds=_PATIENCE_SECONDS)["event"] == "finished"


@pytest.mark.parametrize("is_deaf", [False, True])
def test_a_run_that_takes_too_long_is_ended(
    worker: Worker, is_deaf: bool, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    """After its time a run may write its end, and is killed if it does not."""

    grace = 1 if is_deaf else _PATIENCE_SECONDS
    monkeypatch.setattr(module, "_GRACE_SECONDS", grace)
    slow = performing(
        f"signal.signal(signal.SIGTERM, signal.SIG_IGN) if {is_deaf} else None",
        "try: Path('begun').write_text(str(os.getpid())); time.sleep(60)",
        "except KeyboardInterrupt: Path('interrupted').touch(); raise",
    )
    # The server has loaded everything then, so that the run begins within its time.
    assert worker.run(REQUEST, seconds=_PATIENCE_SECONDS)["event"] == "finished"

    event = worker.run(slow, seconds=5)

    assert event["said"] == "The run took longer than 5 seconds, and was ended."
    assert "--timeout" in event["next_step"]
    assert (folder / "interrupted").exists() is not is_deaf
    pid = int((folder / "begun").read_text())
    eventually(lambda: is_gone(pid))


def test_another_thread_stops_a_run(worker: Worker, folder: Path) -> None:
    """`stop` interrupts what runs, and nothing is started afterwards."""

    sleeping = performing("Path('begun').write_text('yes')", "time.sleep(60)")
    with running(worker, sleeping) as events:
        soon(folder / "begun")
        worker.stop()

    assert [event["said"] for event in events] == ["Interrupted."]
    assert worker.run(REQUEST, seconds=_PATIENCE_SECONDS)["said"] == "Interrupted."


PARENT = """
import os, sys
from runbook_lib.engine import worker
from tests.unit.engine.test_worker import performing
if __name__ == "__main__":
    worker.PRELOADED[:] = ["tests.support.fake_runs"]
    begin = "Path('begun').write_text(f'{os.getpid()} {os.getppid()}')"
    request = performing(
        f"try: {begin}; time.sleep(60)",
        "except KeyboardInterrupt: Path('interrupted').touch(); raise",
    )
    worker.Worker(os.environ).run(request, seconds=60)
"""


def test_a_run_does_not_outlive_whoever_asked_for_it(folder: Path) -> None:
    """When the parent is killed the run is interrupted, so its journal says so, and all end."""

    (folder / "parent.py").write_text(PARENT)
    parent = psutil.Popen([sys.executable, "parent.py"])
    processes = [psutil.Process(int(number)) for number in soon(folder / "begun").split()]
    parent.kill()

    assert psutil.wait_procs([parent, *processes], timeout=_PATIENCE_SECONDS)[1] == []
    assert (folder / "interrupted").exists()


def test_credentials_go_over_a_pipe_alone(worker: Worker) -> None:
    """Others can read command line and environment: no credential is in them."""

    looking = performing(
        "own = Path('/proc/self')",
        "seen = own.joinpath('cmdline').read_bytes() + own.joinpath('environ').read_bytes()",
        f"names = {sorted(REQUEST.secrets)!r}",
        "values = [request.environ[name] for name in names]",
        "found = [value for value in values if value.encode() in seen]",
        "import resource",
        "core = resource.getrlimit(resource.RLIMIT_CORE)",
        "raise SettingsError(json.dumps([len(values), found, core]))",
    )

    assert json.loads(heard(worker, looking)) == [2, [], [0, 0]]


# --- a slot: the same in a subprocess ----------------------------------------------------


@pytest.fixture
def slot(monkeypatch: pytest.MonkeyPatch) -> Iterator[Slot]:
    """Give a slot whose runs do what their request says; nothing of it is left running."""
    start = subprocess.Popen
    program = (
        "import runbook_lib.engine.worker as worker, runbook_lib.engine.slot as slot\n"
        "if __name__ == '__main__':\n"
        "    worker.PRELOADED[:] = ['tests.support.fake_runs']\n"
        "    slot.main()\n"
    )

    def started(command: list[str], **options: Any) -> subprocess.Popen[str]:
        if "runbook_lib.engine.slot" not in command:
            return start(command, **options)
        Path("slot.py").write_text(program)
        return start([command[0], "slot.py", *command[3:]], **options)

    monkeypatch.setattr(subprocess, "Popen", started)
    slot = Slot(os.environ, ["RUNBOOK_A"])
    yield slot
    slot.close()


def without_secrets(*lines: str, **more: object) -> ProcessRequest:
    return performing(*lines, secrets={}, **more)


def test_a_slot_runs_one_request_after_the_other(
    slot: Slot, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requests and results go through the subprocess, and a variable to its own run alone."""

    monkeypatch.setenv("RUNBOOK_A", "1")
    asking = "raise SettingsError(f\"{os.environ.get('RUNBOOK_A')} {request.tenant} {'ü'}\")"

    assert heard(slot, without_secrets(asking, variables=["RUNBOOK_A"])) == "1 acme ü"
    assert heard(slot, without_secrets(asking)) == "None acme ü"
    assert slot.run(without_secrets(), seconds=_PATIENCE_SECONDS)["event"] == "finished"
    assert "exit code 7" in heard(slot, without_secrets("os._exit(7)"))


def test_a_slot_is_interrupted_and_used_again(slot: Slot, folder: Path) -> None:
    """An interruption ends the run alone."""

    sleeping = without_secrets("Path('begun').write_text('yes')", "time.sleep(60)")
    with running(slot, sleeping) as events:
        soon(folder / "begun")
        slot.interrupt()

    assert [event["said"] for event in events] == ["Interrupted."]
    assert slot.run(without_secrets(), seconds=_PATIENCE_SECONDS)["event"] == "finished"


def test_a_slot_that_is_closed_interrupts_its_run(slot: Slot, folder: Path) -> None:
    """When its Dask worker ends, the run is interrupted and nothing stays."""

    begun = "Path('begun').write_text(f'{os.getpid()} {os.getppid()}')"
    sleeping = without_secrets(
        f"try: {begun}; time.sleep(60)",
        "except KeyboardInterrupt: Path('interrupted').touch(); raise",
    )
    with running(slot, sleeping):
        processes = [psutil.Process(int(number)) for number in soon(folder / "begun").split()]
        slot.close()

    assert psutil.wait_procs(processes, timeout=_PATIENCE_SECONDS)[1] == []
    assert (folder / "interrupted").exists()


def test_a_killed_slot_is_named(slot: Slot, folder: Path) -> None:
    """A subprocess that is killed is named, and the next run has another."""

    killing = "os.kill(int(Path(f'/proc/{os.getppid()}/stat').read_text().split()[3]), 9)"

    assert heard(slot, without_secrets(killing, "time.sleep(60)")) == "The worker's process ended."
    assert slot.run(without_secrets(), seconds=_PATIENCE_SECONDS)["event"] == "finished"
