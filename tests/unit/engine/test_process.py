"""A run in a process of its own, started anew or forked: no credential leaks, its end is known."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from runbook_lib.core.model import Mode
from runbook_lib.engine import pools, process
from runbook_lib.engine.process import (
    ProcessRequest,
    ProcessResult,
    request_document,
    run_apart,
    run_in_process,
)
from runbook_lib.errors import SealingError
from tests.support.run_process import (
    DEAF,
    PATIENCE_SECONDS,
    REQUEST,
    SECRETS,
    SLEEPING,
    eventually,
    is_gone,
    performing,
    soon,
    telling,
)
from tests.support.wording import refused, wording
from tests.unit.bodies import APP_SECRET, USER_TOKEN

pytestmark = pytest.mark.usefixtures("fake_runs", "folder")
BUNDLE = "/somewhere/evidence/acme/20261124-0badcafe"
# The real process, with only the run replaced. It has no cells, for which all would be loaded.
PROGRAM = """
import sys
from types import ModuleType
sys.modules["runbook_lib.engine.preloaded"] = ModuleType("preloaded")
from tests.support import fake_runs
from runbook_lib.engine import process
process.main()
"""
_popen = subprocess.Popen


class Starts:
    """Starts `program` in place of the real one; has each process, and how it would start."""

    def __init__(self) -> None:
        self.program = PROGRAM
        self.seen: list[object] = []
        self.processes: list[subprocess.Popen[str]] = []

    def __call__(self, command: list[str], **options: Any) -> subprocess.Popen[str]:
        """Start the program."""
        self.seen.append((command, options))
        self.processes.append(_popen([sys.executable, "-c", self.program], **options))
        return self.processes[-1]


@pytest.fixture(autouse=True)
def starts(monkeypatch: pytest.MonkeyPatch) -> Starts:
    fake = Starts()
    monkeypatch.setattr(process.subprocess, "Popen", fake)  # type: ignore[attr-defined]
    return fake


Perform = Callable[..., Mapping[str, Any]]


def started(
    request: ProcessRequest, seconds: float = 600, withheld: Collection[str] = ()
) -> Mapping[str, Any]:
    """Return the last event of a run in a new interpreter."""
    return run_apart(request, seconds=seconds, withheld=withheld)


def forked(
    request: ProcessRequest, seconds: float = 600, withheld: Collection[str] = ()
) -> Mapping[str, Any]:
    """Return the last event of a run in a process that the server of a fleet forks."""
    (done,) = pools.LocalPool(1, os.environ, withheld, seconds).run([[request]])
    return done.event


both = pytest.mark.parametrize("perform", [started, forked])


# --- its input --------------------------------------------------------------------------------


@both
def test_the_run_receives_the_request(perform: Perform) -> None:
    """Connector, tenant, folders, values and mode arrive unchanged."""
    names = "('tenant', 'evidence', 'env_file', 'given', 'mode')"
    value = f"[request.procedure.id, *(getattr(request, name) for name in {names})]"
    connector, tenant, evidence, env_file, given, mode = json.loads(
        perform(telling(value, mode=Mode.WALKTHROUGH))["message"]
    )

    assert (connector, tenant, mode) == ("facebook_marketing", "acme", "walkthrough")
    assert (evidence, env_file) == ("/somewhere/evidence", "/somewhere/.env")
    del given["program"]
    assert given == {
        "app_id": "77",
        "permissions": ["public_profile", "ads_read"],
        "four_eyes": [],
    }
    assert REQUEST.mode == "headless"


@both
@pytest.mark.usefixtures("own_server")
def test_credentials_go_over_a_pipe_alone(
    perform: Perform, starts: Starts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given credentials win, are seen in no argument, variable or file, and in no core file."""
    monkeypatch.setenv("RUNBOOK_FACEBOOK_APP_SECRET", "old")
    looking = telling(
        "[values, [v for v in values if v.encode() in seen], limits]",
        "own = Path('/proc/self')",
        "seen = own.joinpath('cmdline').read_bytes() + own.joinpath('environ').read_bytes()",
        f"values = [request.environ[name] for name in {sorted(SECRETS)!r}]",
        "limits = resource.getrlimit(resource.RLIMIT_CORE)",
    )

    values = [SECRETS[name] for name in sorted(SECRETS)]
    assert json.loads(perform(looking)["message"]) == [values, [], [0, 0]]
    assert not [value for value in values if value in repr(starts.seen)]
    assert list(Path().iterdir()) == []


@both
@pytest.mark.usefixtures("own_server")
def test_a_run_has_its_own_variables_and_no_others(
    perform: Perform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A run inherits neither Jupyter's session nor another tenant's variables, nor an earlier run's.
    """
    here = {"RUNBOOK_A", "RUNBOOK_B", "JPY_SESSION_NAME", "SERVER_SOFTWARE", "HTTPS_PROXY"}
    for name in here:
        monkeypatch.setenv(name, "1")
    value = f"[os.getpid(), os.getppid(), os.getsid(0), sorted({here | {'LEFT'}!r} & known), left]"
    lines = (
        "known, left = {*os.environ}, getattr(process, 'left', None)",
        "os.environ['LEFT'] = process.left = 'x'",
    )
    asking = ["RUNBOOK_A"], ["RUNBOOK_B", "RUNBOOK_NONE"]
    requests = [telling(value, *lines, variables=names) for names in asking]
    first, second = (
        json.loads(perform(started_process, withheld=["RUNBOOK_A", "RUNBOOK_B"])["message"])
        for started_process in requests
    )

    assert first[0] == first[2] != second[0] == second[2]
    assert first[1] == second[1]
    assert first[3:] == [["HTTPS_PROXY", "RUNBOOK_A"], None]
    assert second[3:] == [["HTTPS_PROXY", "RUNBOOK_B"], None]
    assert here < set(os.environ)


@both
def test_references_travel_to_the_process(
    perform: Perform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A secret's place arrives with the variable that it names; the secret itself does not."""
    monkeypatch.setenv("RUNBOOK_ACME", USER_TOKEN)
    references = {"app_secret": "file:secret", "user_access_token": "env:RUNBOOK_ACME"}
    asking = telling("[request.references, request.environ['RUNBOOK_ACME']]", secrets={})
    asking = replace(asking, references=references, variables=["RUNBOOK_ACME"])

    assert json.loads(perform(asking)["message"]) == [references, USER_TOKEN]


# --- how it ends -------------------------------------------------------------------------


@both
def test_printed_text_is_not_an_event(perform: Perform, capfd: pytest.CaptureFixture[str]) -> None:
    """Output of a kernel or library is not read as an event, even if it looks like one."""
    false = '{"event": "finished", "outcome": "complete", "bundle": "/false"}'
    noisy = performing(
        "listener.on_wait('Waiting.')",
        f"print({false!r}, flush=True)",
        f"os.write(1, {false.encode()!r} + b'\\n')",
        f"subprocess.run(['echo', {false!r}])",
    )

    expected = {"event": "finished", "outcome": "incomplete", "bundle": BUNDLE}
    assert perform(noisy) == {**expected, "is_archived": True, "message": "", "next_step": ""}
    assert capfd.readouterr().err.count("/false") == (3 if perform is started else 0)


DISK = wording("screens.cannot-write", reason="{}")
LOST = wording("sealing-failed.ended-with", end="{}")
BROKEN = wording("run.notebook-and-archive")
NOTHING = wording("setting-invalid.nothing-stored", reference="env:NOT_THERE")


@pytest.mark.matrix(8)
@both
@pytest.mark.parametrize(
    ("program", "more", "message", "advice", "code"),
    [
        ("raise SettingsError('No é.', next_step='Do.')", {}, "No é.", "Do.", 2),
        ("raise LeakError('A leak.')", {}, "A leak.", "", 4),
        ("raise OSError(28, 'It is full')", {}, DISK.format("It is full"), "again", None),
        ("raise PermissionError()", {}, DISK.format("PermissionError"), "again", None),
        ("raise KeyboardInterrupt", {}, "Interrupted.", "seal again", None),
        (
            "raise KeyError(str(request.environ))",
            {},
            wording("screens.runbook-broke", error="KeyError"),
            "",
            None,
        ),
        ("os.kill(os.getpid(), signal.SIGKILL)", {}, LOST.format("signal 9"), "Run it", None),
        (
            "os._exit(7)",
            {},
            LOST.format("exit code 7"),
            wording("sealing-failed.journal-intact"),
            None,
        ),
        (
            "os._exit(0)",
            {},
            LOST.format("exit code 0"),
            wording("sealing-failed.journal-intact"),
            None,
        ),
        ("", {"tenant": "broken"}, BROKEN, "Do that.", None),
        ("", {"connector": "nonsense"}, "There is no connector called 'nonsense'.", "", 2),
    ],
)
def test_each_end_is_known(
    perform: Perform,
    program: str,
    more: dict[str, object],
    message: str,
    advice: str,
    code: int | None,
) -> None:
    """Each end of a run is named, with advice, and no text that may hold a secret."""
    event = perform(performing(program, **more))

    assert (event["message"], event.get("code")) == (message, code)
    assert advice in event["next_step"]
    assert APP_SECRET not in str(event)


class Limit(threading.Thread):
    """A timer that goes off when the run has begun, however long that takes."""

    def __init__(self, _seconds: float, end: Callable[..., None], words: list[Any]) -> None:
        begun = Path("begun").absolute()
        super().__init__(target=lambda: (soon(begun), end(*words)), daemon=True)

    def cancel(self) -> None:
        """Have nothing to cancel."""


@both
@pytest.mark.parametrize("lines", [SLEEPING, DEAF], ids=["hears", "deaf"])
def test_a_run_that_takes_too_long_is_ended(
    perform: Perform, lines: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After its time a run may write its end, and is killed if it does not."""
    for module in (process, pools):
        monkeypatch.setattr(module, "GRACE_SECONDS", 1 if lines is DEAF else PATIENCE_SECONDS)
    monkeypatch.setattr(process, "Timer", Limit)
    # The server has loaded everything then, so that the run begins within its time.
    assert forked(REQUEST)["event"] == "finished"
    seconds = 0.1 if perform is started else 5

    event = perform(performing(*lines), seconds=seconds)

    assert event["message"] == wording("sealing-failed.took-too-long", seconds=seconds)
    assert "--timeout" in event["next_step"]
    assert Path("interrupted").exists() is (lines is SLEEPING)
    pid = int(soon(Path("begun")).split()[0])
    eventually(lambda: is_gone(pid))


PARENT = """
from runbook_lib.engine import pools
from tests.support.run_process import SLEEPING, performing
from tests.unit.engine import test_process
if __name__ == "__main__":
    pools.PRELOADED[:] = ["tests.support.fake_runs"]
    test_process.process.subprocess.Popen = test_process.Starts()
    test_process.{}(performing(*SLEEPING))
"""


@both
def test_a_run_does_not_outlive_whoever_asked_for_it(perform: Perform) -> None:
    """When the parent is killed the run is interrupted, so its journal says so, and all end."""
    Path("parent.py").write_text(PARENT.format(perform.__name__))  # type: ignore[attr-defined]
    with _popen([sys.executable, "parent.py"]) as parent:
        processes = [psutil.Process(int(number)) for number in soon(Path("begun")).split()]
        parent.kill()

    assert psutil.wait_procs(processes, timeout=PATIENCE_SECONDS)[1] == []
    assert Path("interrupted").exists()


# --- in a new interpreter ----------------------------------------------------------------


def test_a_result_is_returned_and_an_error_raised(starts: Starts) -> None:
    """The run's outcome is returned, or its error raised; its process is gone then."""
    assert run_in_process(REQUEST) == ProcessResult("incomplete", Path(BUNDLE))
    with pytest.raises(SealingError, match=r"No\.") as caught:
        run_in_process(performing("raise SettingsError('No.', next_step='Do that.')"))

    assert caught.value.diagnostics() == "Do that."
    assert [started_process.returncode for started_process in starts.processes] == [0, 0]
    assert f"'{sys.executable}', '-m', 'runbook_lib.engine.process'" in repr(starts.seen)


def test_each_reason_to_wait_is_passed_on_as_it_comes() -> None:
    """Each reason to wait is passed on at once, not at the end."""
    heard: list[str] = []

    def hear(message: str) -> None:
        heard.append(message)
        Path("heard").touch()

    # The run is another process, so it polls.
    waiting = performing(
        "listener.on_wait('Waiting for another run: ü.')",
        "end = time.monotonic() + 20",
        "while not Path('heard').exists() and time.monotonic() < end: time.sleep(0.01)",
        "listener.on_wait(f'Heard meanwhile: {Path(\"heard\").exists()}.')",
    )
    run_in_process(waiting, on_wait=hear)

    assert [each.rpartition(": ")[2] for each in heard] == ["ü.", "True."]


WAIT = '{"event": "wait", "message": "Waiting."}\n'


@pytest.mark.parametrize(
    ("program", "heard", "end"),
    [
        ("import sys; sys.exit(1)", [], "exit code 1"),
        ("nonsense", [], "exit code 1"),
        (
            f"""print({WAIT!r} + '{{"event": "finis', end='', flush=True)""",
            ["Waiting."],
            "exit code 0",
        ),
    ],
)
def test_a_process_without_a_result_is_an_error(
    starts: Starts, program: str, heard: list[str], end: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """A process that fails before it reads a large request, or halfway through its result."""
    starts.program = program
    message: list[str] = []
    with refused(SealingError, "ended-with", end=end) as caught:
        run_in_process(replace(REQUEST, given={"a": ("x" * 10,) * 100_000}), on_wait=message.append)

    assert message == heard
    assert wording("sealing-failed.journal-is-intact") in caught.value.diagnostics()


def test_an_interrupted_caller_leaves_no_run_behind(starts: Starts) -> None:
    """A signal that only the caller gets ends the run too; so does another thread."""

    def interrupted(_reason: str) -> None:
        raise KeyboardInterrupt

    running: set[subprocess.Popen[str]] = set()
    begun = performing("listener.on_wait('begun')", "signal.pause()")
    with pytest.raises(KeyboardInterrupt):
        run_apart(begun, on_wait=interrupted, running=running)
    event = run_apart(
        begun,
        running=running,
        on_wait=lambda _: [started_process.terminate() for started_process in running],
    )

    assert event["message"] == "Interrupted."
    assert running == set()
    assert [started_process.returncode for started_process in starts.processes] == [0, 0]


def test_a_caller_that_has_ended_is_no_traceback(starts: Starts) -> None:
    """If no process reads the events any more the run ends silently."""
    pipe = subprocess.PIPE
    running = starts([], stdin=pipe, stdout=pipe, stderr=pipe, encoding="utf-8")
    assert running.stdout
    running.stdout.close()
    running.stdout = None
    _, message = running.communicate(json.dumps(request_document(REQUEST, {})) + "\n")

    assert (running.returncode, message) == (0, "")
