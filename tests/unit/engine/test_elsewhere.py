"""A run in a process of its own, started anew or forked: no credential leaks, its end is known."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from runbook_lib.core.model import FleetRun, Mode
from runbook_lib.engine import elsewhere
from runbook_lib.engine.elsewhere import (
    PRELOADED,
    RunEnd,
    RunningProcesses,
    forked,
    new_interpreter,
    run_elsewhere,
    sendable,
)
from runbook_lib.engine.headless import RunRequest
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
from tests.support.wording import wording
from tests.unit.bodies import APP_SECRET

pytestmark = pytest.mark.usefixtures("fake_runs", "folder")
BUNDLE = "/somewhere/evidence/acme/20261124-0badcafe"
# The real process, with only the run replaced. It has no cells, for which all would be loaded.
PROGRAM = """
import socket, sys
from types import ModuleType
sys.modules["runbook_lib.engine.preloaded"] = ModuleType("preloaded")
from tests.support import fake_runs
from runbook_lib.engine import elsewhere
elsewhere._serve(socket.socket(fileno=int(sys.argv[1])))
"""
FLEET_RUN = FleetRun(id="0badcafe", selected=1, selected_digest="0" * 64, entry_digest="1" * 64)
_popen = subprocess.Popen


seen: list[object] = []


def start_program(command: list[str], **options: Any) -> subprocess.Popen[bytes]:
    """Start `PROGRAM` in place of the real one."""
    seen.append((command, options))
    return _popen([sys.executable, "-c", PROGRAM, command[-1]], **options)


@pytest.fixture(autouse=True)
def starts(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Return how each process would start."""
    seen.clear()
    monkeypatch.setattr(elsewhere.subprocess, "Popen", start_program)  # type: ignore[attr-defined]
    return seen


Perform = Callable[..., RunEnd]


def started(request: RunRequest, secrets: Mapping[str, str] = SECRETS, **options: Any) -> RunEnd:
    """Return the end of a run in a new interpreter."""
    return run_elsewhere(sendable(request), secrets, start=new_interpreter, **options)


def from_server(
    request: RunRequest, secrets: Mapping[str, str] = SECRETS, **options: Any
) -> RunEnd:
    """Return the end of a run in a process that the fork server starts."""
    return run_elsewhere(sendable(request), secrets, start=forked, **options)


both = pytest.mark.parametrize("perform", [started, from_server])


def told(end: RunEnd) -> Any:
    """Return the value that a run says."""
    return json.loads(end.message)


# --- its input --------------------------------------------------------------------------------


@both
def test_the_run_receives_the_request(perform: Perform) -> None:
    """Connector, tenant, folders, values, references and mode arrive unchanged."""
    names = "('tenant', 'evidence', 'env_file', 'given', 'mode', 'references')"
    value = f"[request.procedure.id, *(getattr(request, name) for name in {names})]"
    asked = {"mode": Mode.WALKTHROUGH, "references": {"app_secret": "file:secret"}}
    connector, tenant, evidence, env_file, given, mode, references = told(
        perform(telling(value, **asked))
    )

    assert (connector, tenant, mode) == ("facebook_marketing", "acme", "walkthrough")
    assert (evidence, env_file) == ("/somewhere/evidence", "/somewhere/.env")
    del given["program"]
    assert given == {
        "app_id": "77",
        "permissions": ["public_profile", "ads_read"],
        "four_eyes": [],
    }
    assert references == asked["references"]


@both
@pytest.mark.usefixtures("own_server")
def test_credentials_go_over_a_pipe_alone(
    perform: Perform, starts: list[object], monkeypatch: pytest.MonkeyPatch
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
    assert told(perform(looking)) == [values, [], [0, 0]]
    assert not [value for value in values if value in repr(starts)]
    assert list(Path().iterdir()) == []


@both
def test_a_run_has_its_own_variables_and_no_others(
    perform: Perform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A run inherits neither Jupyter's session nor another tenant's variables, nor an earlier run's.
    """
    here = {"RUNBOOK_A", "RUNBOOK_B", "JPY_SESSION_NAME", "SERVER_SOFTWARE"}
    for name in here:
        monkeypatch.setenv(name, "1")
    value = f"[os.getpid(), os.getsid(0), sorted({here | {'LEFT'}!r} & known), left]"
    lines = (
        "known, left = {*request.environ}, getattr(elsewhere, 'left', None)",
        "os.environ['LEFT'] = elsewhere.left = 'x'",
    )
    first, second = (
        told(perform(telling(value, *lines), {name: "1"}, withheld=["RUNBOOK_A", "RUNBOOK_B"]))
        for name in ("RUNBOOK_A", "RUNBOOK_B")
    )

    assert first[0] == first[1] != second[0] == second[1]
    assert first[2:] == [["RUNBOOK_A"], None]
    assert second[2:] == [["RUNBOOK_B"], None]
    assert here < set(os.environ)


# --- the server -------------------------------------------------------------------------------


def test_preloaded_modules_are_there_in_each_process() -> None:
    """Each name of the list is loaded in each process, and the schema of notebooks is compiled."""
    from runbook_lib.engine.preloaded import NAMES  # noqa: PLC0415  (loads papermill)

    validating = (
        "import fastjsonschema, nbformat",
        "fastjsonschema.compile = None",
        "nbformat.validate(nbformat.v4.new_notebook())",
    )
    missing = f"[name for name in {[*PRELOADED, *NAMES]!r} if name not in sys.modules]"

    assert told(from_server(telling(missing, *validating))) == []


@pytest.mark.usefixtures("own_server")
def test_the_server_holds_no_credential() -> None:
    """No request is in the server's memory, nor in its environment or a later run's."""
    # NOTE: libraries have tables of digits in their order.
    secret = "9f3c1e77b2a64d05" * 2
    searching = telling(
        "[len(maps) > 20, len(found)]",
        "maps = Path(f'/proc/{os.getppid()}/maps').read_text().splitlines()",
        "memory = open(f'/proc/{os.getppid()}/mem', 'rb')",
        "found = []",
        "for line in maps:",
        "    start, end = (int(each, 16) for each in line.split()[0].split('-'))",
        "    if ' rw' in line and '[v' not in line:",
        "        memory.seek(start)",
        f"        found += re.findall({secret[:20]!r}.encode() + b'[0-9a-f]', "
        "memory.read(end - start))",
    )
    secrets = {"RUNBOOK_FACEBOOK_APP_SECRET": secret}

    assert [told(from_server(searching, secrets)) for _ in range(2)] == [[True, 0]] * 2


# --- how it ends ------------------------------------------------------------------------------


@both
def test_printed_text_is_no_end(perform: Perform, capfd: pytest.CaptureFixture[str]) -> None:
    """Output of a kernel or library is not read as the end, even if it looks like one."""
    false = '{"bundle": "/false"}'
    noisy = performing(
        "listener.on_wait('Waiting.')",
        f"print({false!r}, flush=True)",
        f"os.write(1, {false.encode()!r} + b'\\n')",
        f"subprocess.run(['echo', {false!r}])",
    )
    end = perform(noisy)

    assert (end.outcome, end.bundle, end.is_archived, end.message) == (
        "incomplete",
        BUNDLE,
        True,
        "",
    )
    assert end.seconds > 0
    assert "/false" not in "".join(capfd.readouterr())


DISK = wording("screens.cannot-write", reason="{}")
LOST = wording("sealing-failed.ended-with", end="{}")
BROKEN = wording("run.notebook-and-archive")


@pytest.mark.matrix(8)
@both
@pytest.mark.parametrize(
    ("program", "more", "message", "advice", "code"),
    [
        ("raise SettingsError('No é.', next_step='Do.')", {}, "No é.", "Do.", 2),
        ("raise LeakError('A leak.')", {}, "A leak.", "", 4),
        ("raise OSError(28, 'It is full')", {}, DISK.format("It is full"), "again", None),
        ("raise KeyboardInterrupt", {}, "Interrupted.", "seal again", None),
        (
            "raise KeyError(str(request.environ))",
            {},
            wording("screens.runbook-broke", error="KeyError"),
            "",
            None,
        ),
        ("os.kill(os.getpid(), signal.SIGKILL)", {}, LOST.format("signal 9"), "Run it", None),
        ("os._exit(7)", {}, LOST.format("exit code 7"), "Run it", None),
        ("os._exit(0)", {}, LOST.format("exit code 0"), "Run it", None),
        ("", {"tenant": "broken"}, BROKEN, "Do that.", None),
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
    end = perform(performing(program, **more))

    assert (end.message, end.code) == (message, code)
    assert advice in end.next_step
    assert APP_SECRET not in str(end)


def test_a_lost_process_of_a_fleet_leaves_sealed_evidence() -> None:
    """Another process seals the tenant's evidence, with the reason; nothing runs again."""
    dying = (
        "if request.not_run: Path('told').write_text(request.not_run.reason)",
        "else: os.kill(os.getpid(), signal.SIGKILL)",
    )
    end = from_server(performing(*dying, fleet_run=FLEET_RUN))

    assert (end.bundle, end.is_lost) == (BUNDLE, True)
    assert Path("told").read_text() == LOST.format("signal 9")


class Limit(threading.Thread):
    """A timer that goes off when the run has begun, however long that takes."""

    def __init__(self, _seconds: float, end: Callable[[], None]) -> None:
        begun = Path("begun").absolute()
        super().__init__(target=lambda: (soon(begun), end()), daemon=True)

    def cancel(self) -> None:
        """Have nothing to cancel."""


@both
@pytest.mark.parametrize("lines", [SLEEPING, DEAF], ids=["hears", "deaf"])
def test_a_run_that_takes_too_long_is_ended(perform: Perform, lines: tuple[str, ...]) -> None:
    """After its time a run may write its end, and is killed if it does not."""
    # The server has loaded everything then, so that the run begins within its time.
    assert from_server(REQUEST).bundle
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(elsewhere, "GRACE_SECONDS", 1 if lines is DEAF else PATIENCE_SECONDS)
        end = perform(performing(*lines), seconds=5)

    assert end.message == wording("sealing-failed.took-too-long", seconds=5)
    assert "--timeout" in end.next_step
    assert Path("interrupted").exists() is (lines is SLEEPING)
    pid = int(soon(Path("begun")).split()[0])
    eventually(lambda: is_gone(pid))


PARENT = """
from tests.support.run_process import SLEEPING, performing
from tests.unit.engine import test_elsewhere
if __name__ == "__main__":
    test_elsewhere.elsewhere.PRELOADED[:] = ["tests.support.fake_runs"]
    test_elsewhere.elsewhere.subprocess.Popen = test_elsewhere.start_program
    test_elsewhere.{}(performing(*SLEEPING))
"""


@both
def test_a_run_does_not_outlive_whoever_asked_for_it(perform: Perform) -> None:
    """When the parent is killed the run is interrupted, so its journal says so, and all end."""
    program = PARENT.format(perform.__name__)  # type: ignore[attr-defined]
    Path("parent.py").write_text(program)
    with _popen([sys.executable, "parent.py"]) as parent:
        processes = [psutil.Process(int(number)) for number in soon(Path("begun")).split()]
        parent.kill()

    assert psutil.wait_procs(processes, timeout=PATIENCE_SECONDS)[1] == []
    assert Path("interrupted").exists()


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
    started(waiting, on_wait=hear)

    assert [each.rpartition(": ")[2] for each in heard] == ["ü.", "True."]


@pytest.mark.parametrize("said", [b'{"bundle": "/half', b"[]\n", b"nonsense\n", b"\n"])
def test_a_process_without_an_end_is_lost(said: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that ends halfway through its end, or says something else, has not sealed."""
    program = f"import os, sys; os.write(int(sys.argv[1]), {said!r})"
    monkeypatch.setattr(f"{__name__}.PROGRAM", program)
    large = replace(REQUEST, given={"a": ("x" * 10,) * 100_000})
    end = started(large)

    assert (end.message, end.is_lost) == (LOST.format("exit code 0"), True)


def test_an_interrupted_caller_leaves_no_run_behind() -> None:
    """A signal that only the caller gets ends the run too; so does another thread."""

    def interrupted(_reason: str) -> None:
        raise KeyboardInterrupt

    begun = performing(
        "Path('begun').write_text(str(os.getpid()))", "listener.on_wait('begun')", "signal.pause()"
    )
    with pytest.raises(KeyboardInterrupt):
        started(begun, on_wait=interrupted)
    assert is_gone(int(soon(Path("begun"))))
    running = RunningProcesses()
    end = started(begun, running=running, on_wait=lambda _: running.end())

    assert end.message == "Interrupted."
