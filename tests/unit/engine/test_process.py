"""A run in its own process: no credential leaks, and its end is always known."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from runbook_lib.core.model import Mode
from runbook_lib.engine import process
from runbook_lib.engine.process import (
    Finished,
    ProcessRequest,
    request_document,
    run_apart,
    run_in_process,
)
from runbook_lib.errors import SealingError
from runbook_lib.walkthrough import sealing
from tests.support.run_process import REQUEST, SECRETS, Child
from tests.unit.bodies import APP_SECRET, USER_TOKEN

DONE = Finished("incomplete", Path("/somewhere/evidence/acme/20261124-0badcafe"))


@pytest.fixture
def child(monkeypatch: pytest.MonkeyPatch) -> Child:
    fake = Child("process.main()")
    fake.performs("pass")
    monkeypatch.setattr(subprocess, "Popen", fake)
    # NOTE: with `-c`, Python imports from the working directory, which some tests change.
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    return fake


def refused(request: ProcessRequest = REQUEST) -> SealingError:
    with pytest.raises(SealingError) as caught:
        run_in_process(request)
    return caught.value


def test_the_run_receives_the_request(child: Child) -> None:
    """Connector, tenant, folders, values and mode arrive unchanged."""

    child.performs(
        "names = 'tenant', 'evidence', 'env_file', 'given', 'mode'",
        "received = {name: getattr(request, name) for name in names}",
        "listener.on_wait(json.dumps({**received, 'connector': request.procedure.id}))",
    )
    heard: list[str] = []

    request = replace(REQUEST, mode=Mode.WALKTHROUGH)
    assert run_in_process(request, on_wait=heard.append) == DONE

    assert json.loads(heard[0]) == {
        "connector": "facebook_marketing",
        "tenant": "acme",
        "evidence": "/somewhere/evidence",
        "env_file": "/somewhere/.env",
        "given": {"app_id": "77", "permissions": ["public_profile", "ads_read"], "four_eyes": []},
        "mode": "walkthrough",
    }
    assert child.command == [sys.executable, "-m", "runbook_lib.engine.process"]


def test_sealing_says_that_a_person_asked_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """*Seal* in the walkthrough asks for a run that the record does not call headless."""

    requests: list[ProcessRequest] = []

    def seen(request: ProcessRequest, **_: object) -> Finished:
        requests.append(request)
        return DONE

    monkeypatch.setattr(sealing, "run_in_process", seen)
    run: Any = SimpleNamespace(
        procedure=SimpleNamespace(id="facebook_marketing"),
        inputs=(),
        settings=SimpleNamespace(secrets={}, values={}),
        tenant="acme",
        evidence=Path("evidence"),
        env_file=Path("none"),
    )

    assert sealing.seal_evidence(run) == DONE
    assert [request.mode for request in requests] == ["walkthrough"]
    assert REQUEST.mode == "headless"


def test_credentials_go_over_standard_input_alone(child: Child, folder: Path) -> None:
    """Credentials are passed on standard input only: others can read arguments and environment."""

    child.performs(
        "own = Path('/proc/self')",
        "seen = own.joinpath('cmdline').read_bytes() + own.joinpath('environ').read_bytes()",
        f"values = [request.environ[name] for name in {sorted(SECRETS)!r}]",
        "listener.on_wait(json.dumps([values, [v for v in values if v.encode() in seen]]))",
    )
    heard: list[str] = []

    run_in_process(REQUEST, on_wait=heard.append)

    assert json.loads(heard[0]) == [[SECRETS[name] for name in sorted(SECRETS)], []]
    assert not [value for value in SECRETS.values() if value in repr(child.options)]
    assert list(folder.rglob("*")) == []


def test_a_given_credential_takes_precedence(child: Child, monkeypatch: pytest.MonkeyPatch) -> None:
    """A given credential takes precedence over the one in the environment."""

    monkeypatch.setenv("RUNBOOK_FACEBOOK_APP_SECRET", "old")
    child.performs("listener.on_wait(request.environ['RUNBOOK_FACEBOOK_APP_SECRET'])")
    heard: list[str] = []

    run_in_process(REQUEST, on_wait=heard.append)

    assert heard == [APP_SECRET]


def test_the_environment_is_inherited_but_for_jupyters_session(
    child: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment is inherited without the variables that would make the run a walkthrough."""

    monkeypatch.setenv("JPY_SESSION_NAME", "x.ipynb")
    monkeypatch.setenv("SERVER_SOFTWARE", "voila/0.5.8")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")

    run_in_process(REQUEST)

    inherited = child.options["env"]
    assert not {"JPY_SESSION_NAME", "SERVER_SOFTWARE"} & set(inherited)
    assert inherited["HTTPS_PROXY"] == "http://127.0.0.1:9"
    assert {"JPY_SESSION_NAME", "SERVER_SOFTWARE"} < set(os.environ)


def test_printed_text_is_not_an_event(child: Child, capfd: pytest.CaptureFixture[str]) -> None:
    """What a kernel or library prints is not read as an event, even if it looks like one."""

    false = '{"event": "finished", "outcome": "complete", "bundle": "/false"}'
    child.performs(
        f"print({false!r}, flush=True)",
        f"os.write(1, {false.encode()!r} + b'\\n')",
        "import subprocess",
        f"subprocess.run(['echo', {false!r}])",
    )

    assert run_in_process(REQUEST) == DONE
    assert capfd.readouterr().err.count("/false") == 3


def test_each_reason_to_wait_is_passed_on_as_it_comes(child: Child, folder: Path) -> None:
    """Each reason to wait is passed on at once, not at the end."""

    child.performs(
        "import time",
        "listener.on_wait('Waiting for another run: ü.')",
        "end = time.monotonic() + 20",
        "while not Path('heard').exists() and time.monotonic() < end: time.sleep(0.01)",
        "listener.on_wait(f'Heard meanwhile: {Path(\"heard\").exists()}.')",
    )
    heard: list[str] = []

    def hear(said: str) -> None:
        heard.append(said)
        (folder / "heard").touch()

    run_in_process(REQUEST, on_wait=hear)

    assert heard == ["Waiting for another run: ü.", "Heard meanwhile: True."]


def test_an_error_keeps_its_message_and_next_step(child: Child) -> None:
    """An error of the run keeps its message and its next step."""

    child.performs("raise SettingsError('No é.', next_step='Do that.')")

    error = refused()

    assert (str(error), error.diagnostics()) == ("No é.", "Do that.")


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        ("OSError(28, 'No space left on device')", "No space left on device."),
        ("PermissionError()", "PermissionError."),
    ],
)
def test_a_disk_error_is_reported(child: Child, raised: str, said: str) -> None:
    """A disk error is reported as such, not as a defect."""

    child.performs(f"raise {raised}")

    error = refused()

    assert str(error) == f"Cannot write to disk: {said}"
    assert error.diagnostics()


def test_an_interruption_is_reported(child: Child) -> None:
    """An interruption gives a message and a next step, and no traceback."""

    child.performs("raise KeyboardInterrupt")

    error = refused()

    assert str(error) == "Interrupted."
    assert "seal again" in error.diagnostics()


def test_a_defect_is_named_without_its_text(child: Child) -> None:
    """An unexpected error is named by its type; its text, which may hold a secret, is left out."""

    child.performs("raise ZeroDivisionError(request.environ['RUNBOOK_FACEBOOK_APP_SECRET'])")

    error = refused()

    assert str(error) == "The runbook itself broke (ZeroDivisionError)."
    assert APP_SECRET not in str(error) + error.diagnostics()


def test_an_unknown_connector_is_refused(child: Child) -> None:
    """An unknown connector raises `SealingError`."""

    unknown = ProcessRequest(connector="nonsense", tenant="acme", evidence="/somewhere")

    assert "no connector called 'nonsense'" in str(refused(unknown))


@pytest.mark.parametrize(
    "last",
    [
        "os.kill(os.getpid(), signal.SIGKILL)",
        "os._exit(0)",
        'listener._stream.write(\'{"event": "finis\'); listener._stream.flush(); os._exit(1)',
    ],
    ids=["killed", "left", "half-written"],
)
def test_a_process_that_ends_without_a_result_is_an_error(child: Child, last: str) -> None:
    """A process that ends without a complete result raises `SealingError` with a next step."""

    child.performs("listener.on_wait('Waiting.')", last)
    heard: list[str] = []

    with pytest.raises(SealingError, match="ended without a result") as caught:
        run_in_process(REQUEST, on_wait=heard.append)

    assert heard == ["Waiting."]
    assert "Run it again; the journal is intact" in caught.value.diagnostics()


@pytest.mark.parametrize("program", ["import sys; sys.exit(1)", "nonsense"])
def test_a_process_that_does_not_start_is_an_error(
    child: Child, program: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """A process that fails before it reads a large request raises `SealingError`."""

    child.program = program
    large = ProcessRequest(
        connector="p", tenant="acme", evidence="/e", given={"permissions": ("x" * 10,) * 100_000}
    )

    assert "ended without a result" in str(refused(large))


def test_references_are_resolved_in_the_process(
    child: Child, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A secret is found where the run is, under the name that wins, and travels nowhere."""

    (tmp_path / "secret").write_text(APP_SECRET)
    monkeypatch.setenv("RUNBOOK_ACME", USER_TOKEN)
    child.performs(
        "names = 'APP_SECRET', 'USER_ACCESS_TOKEN'",
        "found = [request.environ['RUNBOOK_FACEBOOK_MARKETING_' + name] for name in names]",
        "listener.on_wait(json.dumps([found, 'RUNBOOK_ACME' in request.environ]))",
    )
    heard: list[str] = []
    references = {"app_secret": f"file:{tmp_path}/secret", "user_access_token": "env:RUNBOOK_ACME"}

    run_in_process(replace(REQUEST, secrets={}, references=references), on_wait=heard.append)

    assert json.loads(heard[0]) == [[APP_SECRET, USER_TOKEN], False]


def test_a_reference_to_nothing_is_refused_by_name(child: Child) -> None:
    """A reference to nothing names the secret and the reference."""

    error = refused(replace(REQUEST, references={"app_secret": "env:NOT_THERE"}))

    assert str(error) == "app_secret (App Secret): nothing is stored under env:NOT_THERE."


@pytest.fixture
def processes(child: Child, monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[str]]:
    """Return the started processes."""
    started: list[subprocess.Popen[str]] = []

    def noted(*words: Any, **options: Any) -> subprocess.Popen[str]:
        started.append(child(*words, **options))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", noted)
    return started


@pytest.mark.parametrize("act", [run_in_process, refused], ids=["result", "error"])
def test_no_process_is_left_behind(
    child: Child, processes: list[subprocess.Popen[str]], act: Callable[..., object]
) -> None:
    """The process has ended when its result or its error is known."""

    if act is refused:
        child.performs("raise SettingsError('No.')")
    act(REQUEST)

    assert [process.returncode for process in processes] == [0]


def test_an_interrupted_caller_leaves_no_run_behind(
    child: Child, processes: list[subprocess.Popen[str]]
) -> None:
    """A signal that only the caller gets ends the run, too."""

    child.performs("listener.on_wait('begun')", "signal.pause()")

    def interrupted(_reason: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_in_process(REQUEST, on_wait=interrupted)

    assert [process.returncode for process in processes] == [0]


def test_a_caller_that_has_ended_is_no_traceback(child: Child) -> None:
    """Where nobody reads the events any more the process ends without a word."""

    process = child(
        [], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8"
    )
    assert process.stdout
    process.stdout.close()
    process.stdout = None
    _, said = process.communicate(json.dumps(request_document(REQUEST, {})) + "\n")

    assert (process.returncode, said) == (0, "")


# --- with a limit, as on a cluster -------------------------------------------------------


class Limit(threading.Thread):
    """A timer that goes off when the run has begun, however long that takes."""

    def __init__(self, _seconds: float, end: Callable[..., None], words: list[Any]) -> None:
        super().__init__(target=lambda: (self._wait(), end(*words)), daemon=True)
        self._begun = Path("begun").absolute()

    def _wait(self) -> None:
        while not self._begun.exists():
            time.sleep(0.02)

    def cancel(self) -> None:
        """Have nothing to cancel."""


@pytest.mark.parametrize("is_deaf", [False, True])
def test_a_run_that_takes_too_long_is_ended(
    child: Child, is_deaf: bool, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After its time a run may write its end, and is killed if it does not."""

    monkeypatch.setattr(process, "GRACE_SECONDS", 0.5 if is_deaf else 30)
    child.performs(
        f"signal.signal(signal.SIGTERM, signal.SIG_IGN) if {is_deaf} else None",
        "import time",
        "try: Path('begun').touch(); time.sleep(60)",
        "except KeyboardInterrupt: Path('interrupted').touch(); raise",
    )
    monkeypatch.setattr(process, "Timer", Limit)
    event = run_apart(REQUEST, seconds=0.1)

    assert event["said"] == "The run took longer than 0.1 seconds, and was ended."
    assert "--timeout" in event["next_step"]
    assert (folder / "interrupted").exists() is not is_deaf


def test_a_run_within_its_time_is_what_it_is(child: Child) -> None:
    """A result within the limit counts, and so does an error."""

    assert run_apart(REQUEST, seconds=60)["event"] == "finished"
    child.performs("raise SettingsError('No.')")
    assert run_apart(REQUEST, seconds=60)["said"] == "No."


def test_a_run_has_its_own_variables_and_no_others(
    child: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Variables of single tenants are withheld, but for those that the request names."""

    monkeypatch.setenv("RUNBOOK_A", "1")
    monkeypatch.setenv("RUNBOOK_B", "2")
    child.performs("raise SettingsError(str([k for k in os.environ if k[-2:] in ('_A', '_B')]))")
    event = run_apart(
        replace(REQUEST, variables=["RUNBOOK_B"]), withheld={"RUNBOOK_A", "RUNBOOK_B"}
    )

    assert event["said"] == "['RUNBOOK_B']"
    assert not {"RUNBOOK_A", "RUNBOOK_B"} & set(child.options["env"])


def test_another_thread_interrupts_a_run(child: Child) -> None:
    """While a run lasts it is in `running`, where another thread can terminate it."""

    running: set[subprocess.Popen[str]] = set()

    def interrupt(_reason: str) -> None:
        (process,) = running
        process.terminate()

    child.performs("listener.on_wait('begun')", "signal.pause()")
    event = run_apart(REQUEST, running=running, on_wait=interrupt)

    assert event["said"] == "Interrupted."
    assert running == set()


def test_a_run_ends_with_whoever_asked_for_it(child: Child, folder: Path) -> None:
    """When the other end of standard input is gone, the run is interrupted, so its journal says."""

    child.performs(
        "try: Path('begun').touch(); signal.pause()",
        "except KeyboardInterrupt: Path('interrupted').touch(); raise",
    )
    with child([], stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8") as running:
        assert running.stdin
        assert running.stdout
        running.stdin.write(json.dumps(request_document(REQUEST, {})) + "\n")
        running.stdin.flush()
        while not Path("begun").exists():
            assert running.poll() is None
        running.stdin.close()
        event = json.loads(running.stdout.read())

    assert event["said"] == "Interrupted."
    assert (folder / "interrupted").exists()
