"""The command line: words in, exit code out, and never a traceback for what can be mended."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

import runbook_lib.engine.doctor
import runbook_lib.engine.headless
import runbook_lib.engine.practice
import runbook_lib.sandbox.server
import runbook_lib.walkthrough.lab
from runbook_lib.cli.main import main
from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from runbook_lib.connectors.registry import connector_names
from runbook_lib.core.fingerprints import FingerprintKey
from runbook_lib.core.procedure import Procedure
from runbook_lib.engine.doctor import Examination, Symptom
from runbook_lib.engine.headless import RunListener, RunRequest, RunResult, _parameters
from runbook_lib.engine.notebooks import build
from runbook_lib.engine.practice import Practice
from runbook_lib.engine.run import Mode, Run, open_run
from runbook_lib.errors import ExitCode, JournalError, LeakError, RunbookError
from runbook_lib.evidence.bundle import Sealed
from runbook_lib.evidence.signing.keys import SigningKey
from tests.support.words import attested
from tests.unit.bodies import APP_SECRET

DOMAIN = "acme-h.cyclr.com"
WORDS = """
[[attestation]]
step = "{step}"
by = "Operator"
at = 2026-11-20T09:00:00Z
"""


@pytest.fixture(autouse=True)
def _own_signals(folder: Path) -> Iterator[None]:
    """Give the signal back that every command takes, and an empty folder to work in."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def runbook(*words: str) -> Result:
    """Run the command; whatever it lets out is a failure of the test."""
    result = CliRunner().invoke(main, words)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


class Headless:
    """Takes the place of papermill: notes what it is given, and ends the run."""

    def __init__(self) -> None:
        self.runs: list[Run] = []
        self.requests: list[RunRequest] = []
        self.broken = ""
        self.error: BaseException | None = None
        self.unstamped = ""

    def __call__(
        self, run: Run, key: SigningKey, request: RunRequest, listener: RunListener
    ) -> RunResult:
        """Run nothing, and leave a bundle."""
        self.runs.append(run)
        self.requests.append(request)
        if self.error:
            raise self.error
        bundle = run.journal.path.parent / f"20261124-{run.run_id}"
        bundle.mkdir()
        (bundle / "record.json").write_text('{"run_id": "x"}\n', encoding="utf-8")
        listener.on_progress(run.state)
        return RunResult(
            tenant=run.tenant,
            run_id=run.run_id,
            state=run.finish(),
            sealed=Sealed(bundle, 1, self.unstamped),
            key_id=key.key_id,
            broken=self.broken,
        )


@pytest.fixture
def headless(monkeypatch: pytest.MonkeyPatch) -> Headless:
    fake = Headless()
    monkeypatch.setattr(runbook_lib.engine.headless, "_perform", fake)
    return fake


@pytest.fixture
def practised(monkeypatch: pytest.MonkeyPatch, folder: Path) -> list[str]:
    """Return the scenarios practised; no sandbox is started."""
    scenarios: list[str] = []

    @contextmanager
    def fake(scenario: str, _procedure: Procedure, _key: FingerprintKey) -> Iterator[Practice]:
        scenarios.append(scenario)
        env_file, said = folder / "sandbox.env", folder / "said.toml"
        text = f"RUNBOOK_SERVICE_DOMAIN={DOMAIN}\nRUNBOOK_GRAPH_URL=http://127.0.0.1:9\n"
        env_file.write_text(text, encoding="utf-8")
        said.write_text(WORDS.format(step=PROCEDURE.steps[0].id), encoding="utf-8")
        try:
            yield Practice(scenario, str(env_file), str(said), "operator / pass")
        finally:
            scenarios.append("ended")

    monkeypatch.setattr(runbook_lib.engine.practice, "practice", fake)
    monkeypatch.setattr(runbook_lib.walkthrough.lab, "practice", fake)
    return scenarios


def test_a_run_is_told_what_was_given(headless: Headless, folder: Path) -> None:
    """Values, folder and settings file reach the kernels as parameters."""

    env_file = folder / "x.env"
    env_file.write_text(f"RUNBOOK_SERVICE_DOMAIN={DOMAIN}\n", encoding="utf-8")
    result = runbook(
        *("run", "--env-file", str(env_file), "--tenant", "acme", "--evidence", "e"),
        *("--set", "app_display_name=A=B", "--set", " app_id=1234567891011121"),
    )

    assert result.exit_code == ExitCode.INCOMPLETE
    (run,), (request,) = headless.runs, headless.requests
    assert _parameters(run, request) == {
        "app_display_name": "A=B",
        "app_id": "1234567891011121",
        "env_file": str(env_file),
        "evidence": "e",
        "tenant": "acme",
        "run_id": run.run_id,
        "mode": "headless",
    }
    assert (run.tenant, run.mode) == ("acme", Mode.HEADLESS)
    assert f"PRODUCTION · {PROCEDURE.title} · tenant acme · run" in result.stdout
    assert f"20261124-{run.run_id}" in result.stdout
    for step in PROCEDURE.steps:
        assert step.id in result.stdout


def test_options_come_from_the_environment_too(
    headless: Headless, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scheduler sets RUNBOOK_TENANT; a word on the command line goes first."""

    monkeypatch.setenv("RUNBOOK_TENANT", "of-environment")
    monkeypatch.setenv("RUNBOOK_SERVICE_DOMAIN", DOMAIN)
    runbook("run")
    runbook("run", "--tenant", "of-words")

    assert [run.tenant for run in headless.runs] == ["of-environment", "of-words"]


def test_a_run_in_json_prints_its_record_alone(headless: Headless) -> None:
    """A program reads standard output whole."""

    result = runbook("run", "--json", "--set", f"service_domain={DOMAIN}")

    assert result.stdout == '{"run_id": "x"}\n'
    assert result.stderr == ""


def test_a_notebook_that_broke_off_is_named(headless: Headless) -> None:
    """The table does not hide that a notebook did not come to its end."""

    headless.broken = "the kernel died"
    result = runbook("run", "--set", f"service_domain={DOMAIN}")

    assert "The notebook broke off: the kernel died." in result.stderr


def test_peoples_words_are_written_before_the_run(headless: Headless, folder: Path) -> None:
    """What stands in the file is in the journal, under its author's name."""

    said = folder / "said.toml"
    said.write_text(WORDS.format(step=PROCEDURE.steps[0].id), encoding="utf-8")
    runbook("run", "--set", f"service_domain={DOMAIN}", "--attestations", str(said))

    ((word, _),) = headless.runs[0].history.words(PROCEDURE.steps[0].id)
    assert word.by == "Operator"


def test_practice_has_its_own_settings_tenant_and_words(
    headless: Headless, practised: list[str]
) -> None:
    """A run against the sandbox says so, is filed apart, and the sandbox ends with it."""

    result = runbook("run", "--sandbox", "review-pending")

    assert practised == ["review-pending", "ended"]
    assert "SANDBOX: practice, nothing of this is real" in result.stdout
    (run,) = headless.runs
    assert run.tenant == "sandbox-review-pending"
    assert headless.requests[0].env_file.endswith("sandbox.env")
    assert list(run.history.index.words) == [PROCEDURE.steps[0].id]


def test_practice_without_a_word_is_the_approved_one(
    headless: Headless, practised: list[str]
) -> None:
    """`--sandbox` alone is enough; a tenant that is named stays named."""

    runbook("run", "--tenant", "mine", "--sandbox")

    assert practised[0] == "approved"
    assert headless.runs[0].tenant == "mine"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("run", "--set", "nonsense"), "--set takes NAME=VALUE."),
        (("run", "--set", "=x"), "--set takes NAME=VALUE."),
        (("run", "--set", "nonsense=1"), "no parameter called nonsense"),
        (("run",), "service_domain (Service Domain) is missing"),
        (("run", "--sandbox", "approved", "--env-file", "x"), "leave --env-file out"),
        (("run", "--sandbox", "aproved"), "no scenario called aproved"),
        (("lab", "--sandbox", "aproved"), "no scenario called aproved"),
        (("sandbox", "--scenario", "aproved"), "no scenario called aproved"),
        (("run", "--tenant", "../x", "--set", f"service_domain={DOMAIN}"), "is not a tenant name"),
        (("run", "--attestations", "none.toml", "--set", f"service_domain={DOMAIN}"), "none.toml"),
        (("status", "--env-file", "none.env"), "cannot be read"),
    ],
)
def test_a_mistake_is_one_message_and_what_to_do(
    words: tuple[str, ...], said: str, folder: Path
) -> None:
    """Exit code 2, nothing on standard output, and nothing was written."""

    result = runbook(*words)

    assert result.exit_code == ExitCode.USAGE
    assert result.stdout == ""
    message, advice = result.stderr.strip().splitlines()
    assert message.startswith("runbook: ")
    assert said in message
    assert advice.startswith("Next: ")
    assert list(folder.iterdir()) == []


def test_a_secret_on_the_command_line_is_refused_unquoted() -> None:
    """It would be in the shell's history and in every list of processes."""

    result = runbook("run", "--set", f"app_secret={APP_SECRET}")

    assert result.exit_code == ExitCode.USAGE
    assert "RUNBOOK_APP_SECRET" in result.stderr
    assert APP_SECRET not in result.output


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (JournalError("Full."), 3, "runbook: Full."),
        (LeakError("A secret."), 4, "runbook: A secret."),
        (RunbookError("Odd.", next_step="Do."), 3, "Next: Do."),
        (KeyboardInterrupt(), 130, "runbook: Interrupted."),
        (PermissionError(13, "Permission denied", "/x"), 3, "Permission denied (/x)."),
        (OSError(28, "No space left on device"), 3, "No space left on device."),
        (OSError(), 3, "Cannot write to disk: OSError."),
    ],
    ids=repr,
)
def test_what_can_be_mended_is_no_traceback(
    headless: Headless, error: BaseException, code: int, said: str
) -> None:
    """Each kind of trouble has its exit code, its words and its advice."""

    headless.error = error
    result = runbook("run", "--json", "--set", f"service_domain={DOMAIN}")

    assert result.exit_code == code
    assert said in result.stderr
    assert "Next: " in result.stderr
    assert "Traceback" not in result.output
    assert result.stdout == ""


def test_a_defect_is_not_taken_for_the_operators_mistake(headless: Headless) -> None:
    """What nobody foresaw is named by kind and place; its text may hold a credential."""

    headless.error = ZeroDivisionError("canary")

    result = runbook("run", "--set", f"service_domain={DOMAIN}")

    assert result.exit_code == ExitCode.INCOMPLETE
    assert "The runbook itself broke (ZeroDivisionError, test_main.py, line " in result.stderr
    assert "canary" not in result.output


def test_a_signal_to_end_is_an_interruption() -> None:
    """A service manager's SIGTERM ends a run as Ctrl-C does: journal written, bundle whole."""

    runbook("notebooks", "--check")

    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGTERM)


class Lab:
    """Takes the place of JupyterLab."""

    def __init__(self) -> None:
        self.command: list[str] = []
        self.variables: dict[str, str] = {}

    def __call__(self, command: Any, environ: Any) -> int:
        """Note how it is opened; end with a code of its own."""
        self.command = list(command)
        self.variables = {
            name: value for name, value in environ.items() if name.startswith("RUNBOOK_")
        }
        return 7


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch) -> Lab:
    fake = Lab()
    monkeypatch.setattr(runbook_lib.walkthrough.lab, "_serve", fake)
    return fake


def test_lab_tells_kernels_whose_run_it_is(lab: Lab, folder: Path) -> None:
    """By absolute paths, since a kernel works elsewhere; other options go on as they are."""

    (folder / "x.env").write_text(f"RUNBOOK_SERVICE_DOMAIN={DOMAIN}\n")
    words = ("--tenant", "acme", "--evidence", "e", "--env-file", "x.env")
    result = runbook("lab", *words, "--no-browser", "--port", "8899")

    assert result.exit_code == 7
    assert lab.variables == {
        "RUNBOOK_TENANT": "acme",
        "RUNBOOK_EVIDENCE": str(folder / "e"),
        "RUNBOOK_ENV_FILE": str(folder / "x.env"),
    }
    assert lab.command[1:3] == ["-m", "jupyterlab"]
    assert lab.command[-3:] == ["--no-browser", "--port", "8899"]


def test_lab_without_words_uses_the_project(lab: Lab, folder: Path) -> None:
    """Evidence lies beside the notebooks, and the settings file is found as ever."""

    (folder / "notebooks").mkdir()
    runbook("lab", "--app")

    assert lab.variables == {"RUNBOOK_EVIDENCE": str(folder / "evidence")}
    assert lab.command[1:3] == ["-m", "runbook_lib.walkthrough.app_server"]


@pytest.mark.parametrize("scenario", [(), ("--sandbox", "fresh")])
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--port", "99999"), "--port takes a number"),
        (("--app", "--port=x"), "--port takes a number"),
        (("--app", "--pool_size=3"), "--pool_size is not known"),
    ],
)
def test_lab_refuses_options_before_anything_is_written(
    lab: Lab,
    practised: list[str],
    folder: Path,
    scenario: tuple[str, ...],
    words: tuple[str, ...],
    said: str,
) -> None:
    """No sandbox is begun and no key is kept for a walkthrough that cannot be opened."""

    result = runbook("lab", *scenario, *words)

    assert result.exit_code == ExitCode.USAGE
    assert said in result.stderr
    assert "Next: " in result.stderr
    assert (lab.command, practised) == ([], [])
    assert list(folder.rglob("*")) == []


def test_lab_for_practice_says_how_to_sign_in(lab: Lab, practised: list[str]) -> None:
    """The sandbox's settings, a tenant of its own, and its login where the person looks."""

    result = runbook("lab", "--sandbox", "fresh")

    assert result.exit_code == 7
    assert practised[0] == "fresh"
    assert lab.variables["RUNBOOK_TENANT"] == "sandbox-fresh"
    assert lab.variables["RUNBOOK_ENV_FILE"].endswith("sandbox.env")
    said = result.stderr.splitlines()
    assert said[0].startswith("SANDBOX fresh: Facebook and Cyclr on this machine")
    assert said[1].endswith("choose Run > Run All Cells there.")
    assert said[2].endswith("log in as operator / pass.")
    assert said[3].startswith("Ctrl+C in this window stops it")


def test_lab_for_practice_says_what_still_counts(
    lab: Lab, practised: list[str], folder: Path
) -> None:
    """A second practice goes on with the first one's journal: that, and how to begin afresh."""

    journal = folder / "evidence" / "sandbox-fresh" / "facebook_marketing" / "journal.jsonl"
    journal.parent.mkdir(parents=True)
    journal.touch()
    words = ("lab", "--sandbox", "fresh", "--app", "--evidence", "evidence")

    said = runbook(*words).stderr
    assert "opens in your browser" in said
    assert "Run All Cells" not in said
    assert "Your earlier work as sandbox-fresh still counts" in said
    assert "--tenant NAME" in said
    assert "still counts" not in runbook(*words, "--tenant", "new").stderr


def begun(**given: str) -> Run:
    """Return a run of a tenant that somebody has begun."""
    run = open_run(PROCEDURE, {"service_domain": DOMAIN, **given}, mode=Mode.INTERACTIVE)
    run.start()
    return run


def test_status_names_the_next_step_its_reason_and_where() -> None:
    """Whoever comes back after days knows what to do, and in which page."""

    begun()
    result = runbook("status", "--tenant", DOMAIN)

    assert result.exit_code == ExitCode.INCOMPLETE
    first = PROCEDURE.steps[0]
    assert f"Next: step 1, {first.title} ({first.id}). Do it, then check it" in result.stdout
    for link in first.links:
        assert f"{link.label}: https://" in result.stdout
    assert "SANDBOX" not in result.stdout


def test_status_marks_practice() -> None:
    """A rehearsal is not taken for the real thing."""

    begun(graph_url="http://127.0.0.1:9")

    assert f"SANDBOX {DOMAIN}" in runbook("status", "--tenant", DOMAIN).stdout


def test_status_for_programs() -> None:
    """The same in one line of JSON, with every step."""

    begun()
    document = json.loads(runbook("status", "--tenant", DOMAIN, "--json").stdout)

    assert (document["tenant"], document["outcome"]) == (DOMAIN, "incomplete")
    assert [step["id"] for step in document["steps"]] == [step.id for step in PROCEDURE.steps]
    assert document["next"]["step"] == PROCEDURE.steps[0].id
    assert document["next"]["do"].startswith("Do it")


@pytest.mark.parametrize("more", [(), ("--json",)])
def test_status_of_what_is_complete_names_nothing_next(more: tuple[str, ...]) -> None:
    """Exit code 0 once every step is settled."""

    begun().say(attested(step.id) for step in PROCEDURE.steps)
    result = runbook("status", "--tenant", DOMAIN, *more)

    assert result.exit_code == ExitCode.COMPLETE
    if more:
        assert json.loads(result.stdout)["next"] is None
    else:
        assert "Next:" not in result.stdout


def test_looking_at_a_status_writes_nothing(folder: Path) -> None:
    """A tenant that nobody began stays one."""

    runbook("status", "--tenant", "acme")

    assert list(folder.iterdir()) == []


def test_notebooks_are_built_and_checked(folder: Path) -> None:
    """Building names what was built; checking changes nothing and says what is stale."""

    names = [f"{name}.ipynb" for name in connector_names()]
    stale = runbook("notebooks", "--check")
    assert (stale.exit_code, stale.stdout.split()[1::2]) == (ExitCode.FAILED, names)
    assert not (folder / "notebooks").exists()

    built = runbook("notebooks")
    assert (built.exit_code, built.stdout.split()[1::2]) == (ExitCode.COMPLETE, names)

    fresh = runbook("notebooks", "--check")
    assert (fresh.exit_code, fresh.stdout) == (ExitCode.COMPLETE, "")


def test_only_the_stale_notebook_is_named(folder: Path) -> None:
    """The others are as they would be built."""

    runbook("notebooks")
    path = build(PROCEDURE, folder / "notebooks")
    path.write_text("{}", encoding="utf-8")

    assert runbook("notebooks", "--check").stdout == f"stale: {path.name}\n"


@pytest.mark.parametrize(
    ("symptoms", "code"),
    [
        ((Symptom("Python", "3.11"),), 0),
        ((Symptom("Python", "3.11"), Symptom("Network", "gone", ExitCode.INCOMPLETE)), 3),
        ((Symptom("Settings", "odd", ExitCode.USAGE), Symptom("N", "x", ExitCode.INCOMPLETE)), 2),
    ],
)
def test_the_doctor_shows_each_symptom(
    monkeypatch: pytest.MonkeyPatch, symptoms: tuple[Symptom, ...], code: int
) -> None:
    """A mark and a word for each, the same in JSON, and the exit code of the whole."""

    monkeypatch.setattr(runbook_lib.engine.doctor, "examine", lambda *_: Examination(symptoms))

    shown, machine = runbook("doctor"), runbook("doctor", "--json")

    assert (shown.exit_code, machine.exit_code) == (code, code)
    for symptom in symptoms:
        (line,) = [text for text in shown.stdout.splitlines() if symptom.subject in text.split()]
        assert line.strip().startswith("✔" if symptom.is_well else "✘")
        assert symptom.said in line
    assert [each["subject"] for each in json.loads(machine.stdout)] == [
        symptom.subject for symptom in symptoms
    ]


def test_the_sandbox_describes_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """For a person a list, for a program one line of JSON; scenario and port as told."""

    asked: list[Any] = []

    def serve(scenario: str, *, port: int, announce: Any, folder: Path) -> None:
        asked.append((scenario, port))
        announce({"graph_url": "http://127.0.0.1:9"})

    monkeypatch.setattr(runbook_lib.sandbox.server, "serve", serve)

    shown = runbook("sandbox", "--scenario", "fresh", "--port", "9000")
    machine = runbook("sandbox", "--json")

    assert asked == [("fresh", 9000), ("approved", 0)]
    assert shown.stdout.startswith("SANDBOX: Facebook and Cyclr on this machine.")
    assert "graph_url                http://127.0.0.1:9" in shown.stdout
    assert json.loads(machine.stdout) == {"graph_url": "http://127.0.0.1:9"}


@pytest.mark.parametrize("name", ["", *main.commands])
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_every_command_explains_itself(name: str, flag: str) -> None:
    """Help is complete sentences, and asking for it does nothing else."""

    result = runbook(*filter(None, [name, flag]))

    assert result.exit_code == 0
    command: click.Command = main.commands[name] if name else main
    assert (command.help or "").splitlines()[0][:40] in result.stdout
    assert "Usage:" in result.stdout


def test_the_version_is_told() -> None:
    """A report of a defect can name it."""

    assert runbook("--version").stdout.startswith("runbook, version ")


@pytest.mark.parametrize(
    "words", [("nonsense",), ("run", "--nonsense"), ("sandbox", "--port", "x")]
)
def test_words_that_are_none_are_refused(words: tuple[str, ...]) -> None:
    """An unknown command or option is a mistake of usage, exit code 2."""

    assert runbook(*words).exit_code == ExitCode.USAGE


def test_status_lists_what_must_be_done_again() -> None:
    """After a changed value each step whose word lapsed is named, with what it was said of."""

    run = begun(app_id="111111111111111")
    run.say([attested("fb-01-log-in", by="Ann"), attested("fb-06-facebook-login", by="Ann")])
    before = runbook("status", "--tenant", DOMAIN)
    begun(app_id="222222222222222")

    after = runbook("status", "--tenant", DOMAIN)
    document = json.loads(runbook("status", "--tenant", DOMAIN, "--json").stdout)

    assert "To do again:" not in before.stdout
    assert "To do again:\n- Log in to Facebook (fb-01-log-in)\n- Set up" in after.stdout
    assert [each["step"] for each in document["again"]] == ["fb-01-log-in", "fb-06-facebook-login"]
    assert "Ann confirmed this" in document["again"][0]["why"]
    assert "for App ID 111111111111111, not 222222222222222" in document["again"][0]["why"]
