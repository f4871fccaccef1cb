"""The command line: arguments in, exit code out, and no traceback for an expected error."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
from pathlib import Path
from typing import Any

import click
import pytest

import runbook_lib.cli.lab
import runbook_lib.engine.doctor
import runbook_lib.engine.headless
import runbook_lib.engine.practice
import runbook_lib.walkthrough.lab
from runbook_lib.cli.main import main
from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from runbook_lib.connectors.registry import connector_names, find_procedure
from runbook_lib.core.clock import timestamp
from runbook_lib.core.model import Attestation, AttestationKind, Mode
from runbook_lib.engine.doctor import Examination, ExaminedItem
from runbook_lib.engine.headless import _parameters
from runbook_lib.engine.notebooks import build_notebook
from runbook_lib.engine.tenant_run import Run, open_run
from runbook_lib.errors import ExitCode, JournalError, LeakError, RunbookError
from runbook_lib.run.journal import Journal
from runbook_lib.run.state import RunState
from tests.support.attestations import attested
from tests.support.commands import refused, runbook, shown
from tests.support.connectors import FACEBOOK_CONNECTORS
from tests.support.headless_stand_in import (
    DOMAIN,
    FIRST,
    WORDS,
    Headless,
)
from tests.support.wording import wording


def attestations(run: Run) -> list[tuple[str, Attestation]]:
    """Return the attestations in a run's journal, each with its step."""
    lines = run.journal.read_all()
    return [(line.head.step, line.event) for line in lines if isinstance(line.event, Attestation)]


GIVEN = ("--set", f"service_domain={DOMAIN}")
STAND_IN = "headless_stand_in.py"
BROKE = wording("screens.runbook-broke", error="ZeroDivisionError").removesuffix(").")


@pytest.mark.usefixtures("headless")
def test_a_setting_that_is_typed_asks_for_its_check(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Values from `--set` are checked now; values from the settings file only when due."""
    (folder / ".env").write_text("RUNBOOK_CYCLR_USERNAME=u\n")
    typed = ["--set", "service_domain=acme-h.cyclr.com"]

    asked: list[tuple[frozenset[str], bool]] = []
    start = Run.start

    def noted(run: Run, *given: Any, rechecks: Any, may_spend: bool = True, **more: Any) -> None:
        asked.append((run.procedure.permits.intersection(rechecks), may_spend))
        start(run, *given, rechecks=rechecks, may_spend=may_spend, **more)

    monkeypatch.setattr(Run, "start", noted)
    for more in ([], ["--set", "cyclr_username=u"]):
        assert runbook("run", *typed, *more).exit_code == ExitCode.INCOMPLETE

    assert asked == [(frozenset(), True), (frozenset({"cyclr_username"}), True)]


def test_a_run_receives_its_arguments(headless: Headless, folder: Path) -> None:
    """Settings, evidence folder and settings file reach the kernel as parameters."""
    env_file = folder / "x.env"
    env_file.write_text(f"RUNBOOK_CYCLR_SERVICE_DOMAIN={DOMAIN}\n", encoding="utf-8")
    result = runbook(
        "run",
        "--env-file",
        str(env_file),
        "--tenant",
        "acme",
        "--evidence",
        "e",
        "--set",
        "app_display_name=A=B",
        "--set",
        " app_id=1234567891011121",
    )

    assert result.exit_code == ExitCode.INCOMPLETE
    (run,) = headless.runs
    (request,) = headless.requests
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
    assert wording("run.header", title=PROCEDURE.title, tenant="acme") in result.stdout
    assert f"20261124-{run.run_id}" in result.stdout
    for step in PROCEDURE.steps:
        assert f" {step.title[:40]}" in result.stdout


@pytest.mark.parametrize(
    ("words", "options"),
    [
        (GIVEN, f" --tenant {DOMAIN}"),
        ((*GIVEN, "--tenant", "acme"), " --tenant acme"),
        (("--sandbox",), " --tenant sandbox-approved"),
        (
            ("--sandbox", "--evidence", "my evidence"),
            " --tenant sandbox-approved --evidence 'my evidence'",
        ),
        (
            ("--sandbox", "--connector", "facebook_messenger"),
            " --connector facebook_messenger --tenant sandbox-approved",
        ),
    ],
)
@pytest.mark.usefixtures("practice_scenarios")
def test_a_run_ends_with_the_commands_that_speak_of_it(
    headless: Headless, words: tuple[str, ...], options: str
) -> None:
    """`run` prints the `status` of the tenant that ran; that command shows this tenant."""
    result = runbook("run", *words)
    before = wording("run.show-again", command="")
    (line,) = [line for line in result.stdout.splitlines() if line.startswith(before)]

    program, *command = shlex.split(line.removeprefix(before))
    assert [program, *command] == ["runbook", "status", *shlex.split(options)]
    again = runbook(*command)
    assert again.exit_code == ExitCode.COMPLETE
    assert headless.runs[0].tenant in again.stdout


@pytest.mark.usefixtures("headless")
def test_a_tenant_of_the_settings_file_need_not_be_named_again(folder: Path) -> None:
    """If the settings name the tenant, plain `runbook status` shows it."""
    text = f"RUNBOOK_CYCLR_SERVICE_DOMAIN={DOMAIN}\nRUNBOOK_TENANT=acme\n"
    (folder / ".env").write_text(text, encoding="utf-8")

    line = wording("run.show-again", command="runbook status")
    assert line in runbook("run").stdout.splitlines()
    assert "\nacme · " in f"\n{runbook('status').stdout}"


@pytest.mark.usefixtures("practice_scenarios", "headless")
def test_a_run_ends_with_what_is_open_and_the_next_step() -> None:
    """The last lines are the open steps and the next one; the sandbox's pages are gone."""
    text = runbook("run", "--sandbox").stdout
    full = runbook("run", "--sandbox", "--verbose").stdout

    sealed, end = text.split("Sealed as number 1")
    assert "Open:" not in sealed
    assert end.index("\nOpen:\n") < end.index("\nNext: step ")
    assert "http" not in end
    assert wording("status.no-page-to-open") in end
    assert PROCEDURE.steps[-1].id not in end
    assert PROCEDURE.steps[-1].id in full.split("Sealed as number 1")[1]


def test_options_come_from_the_environment_too(
    headless: Headless, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RUNBOOK_TENANT sets the tenant; `--tenant` takes precedence."""
    monkeypatch.setenv("RUNBOOK_TENANT", "of-environment")
    monkeypatch.setenv("RUNBOOK_CYCLR_SERVICE_DOMAIN", DOMAIN)
    runbook("run")
    runbook("run", "--tenant", "of-words")

    assert [run.tenant for run in headless.runs] == ["of-environment", "of-words"]


def test_a_run_in_json_prints_its_record_alone(headless: Headless) -> None:
    """With `--json`, standard output is the run's record and nothing else."""
    result = runbook("run", "--json", *GIVEN)

    assert result.stdout == '{"run": "x"}\n'
    assert result.stderr == ""


@pytest.mark.parametrize("as_json", [False, True])
def test_a_doubtful_value_is_a_line_on_stderr(headless: Headless, *, as_json: bool) -> None:
    """A run says on stderr what is doubtful about its values, and goes on."""
    doubtful = ("--set", "permissions=ads_raed", "--set", "app_display_name=Acme for Facebook")
    shown = ["--json"] if as_json else []
    result = runbook("run", *GIVEN, *doubtful, *shown)

    assert len(headless.runs) == 1
    lines = result.stderr.splitlines()
    assert any(
        line.startswith(f"! App Display Name: {wording('findings.name-contains', word='facebook')}")
        for line in lines
    )
    assert any(
        line.startswith("! Permissions: ")
        and wording("setting-invalid.did-you-mean", name="ads_read") in line
        for line in lines
    )


def test_an_interrupted_notebook_is_reported(headless: Headless) -> None:
    """A notebook that did not run to its end is reported on stderr with the reason."""
    headless.broken = "the kernel died"
    result = runbook("run", *GIVEN)

    assert wording("run.notebook-stopped-early", reason="the kernel died") in result.stderr


def test_attestations_are_recorded_before_the_run(headless: Headless, folder: Path) -> None:
    """Attestations from a file are in the journal, with their author, when the run starts."""
    said = folder / "said.toml"
    said.write_text(WORDS.format(step=FIRST.id), encoding="utf-8")
    runbook("run", *GIVEN, "--attestations", str(said))

    assert [(step, said.by) for step, said in attestations(headless.runs[0])] == [
        (FIRST.id, "Operator")
    ]


def test_practice_has_its_own_settings_tenant_and_attestations(
    headless: Headless, practice_scenarios: list[str]
) -> None:
    """`--sandbox` is marked as practice and has its own tenant; the sandbox stops with the run."""
    text = shown("run", "--sandbox", "review-pending", code=ExitCode.INCOMPLETE)

    assert practice_scenarios == ["review-pending", "ended"]
    assert wording("run.practice") in text
    (run,) = headless.runs
    assert run.tenant == "sandbox-review-pending"
    assert headless.requests[0].env_file.endswith("sandbox.env")
    assert [step for step, _ in attestations(run)] == [FIRST.id]


def test_the_default_scenario_is_approved(
    headless: Headless, practice_scenarios: list[str]
) -> None:
    """`--sandbox` alone uses the scenario `approved`; a tenant given by `--tenant` is kept."""
    runbook("run", "--tenant", "mine", "--sandbox")

    assert practice_scenarios[0] == "approved"
    assert headless.runs[0].tenant == "mine"


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
        (BrokenPipeError(32, "Broken pipe"), 3, wording("screens.output-closed")),
        # A defect is named by type and line; its text, which may hold a secret, is not shown.
        (ZeroDivisionError("canary"), 3, f"{BROKE}, {STAND_IN}, line "),
    ],
    ids=repr,
)
def test_an_expected_error_gives_no_traceback(
    headless: Headless, error: BaseException, code: int, said: str
) -> None:
    """Each kind of expected error has its exit code, message and next step, and no traceback."""
    headless.error = error
    result = runbook("run", "--json", *GIVEN)

    assert result.exit_code == code
    assert said in result.stderr
    assert "Next: " in result.stderr
    assert not re.search("Traceback|canary", result.output)
    if isinstance(error, RunbookError):
        shown = {"code": error.code, "message": str(error), "next": error.diagnostics()}
        assert json.loads(result.stdout) == {"error": shown}
    else:
        assert result.stdout == ""


def test_sigterm_is_an_interruption(monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGTERM ends a command as Ctrl-C does; whoever called it has its own handler again."""

    def terminate(**_options: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(main.commands["notebooks"], "callback", terminate)
    result = runbook("notebooks", "--check")

    assert result.exit_code == ExitCode.INTERRUPTED
    assert "Interrupted." in result.stderr
    assert signal.getsignal(signal.SIGTERM) == before


def with_journal(folder: Path, tenant: str) -> None:
    journal = folder / "evidence" / tenant / "facebook_marketing" / "journal.jsonl"
    journal.parent.mkdir(parents=True)
    journal.touch()


class Lab:
    """Replaces JupyterLab."""

    def __init__(self) -> None:
        self.command: list[str] = []
        self.variables: dict[str, str] = {}

    def __call__(self, command: Any, environ: Any) -> int:
        """Record the command and its variables; return the exit code 7."""
        self.command = list(command)
        names = [name for name in environ if name.startswith("RUNBOOK_")]
        self.variables = {name: environ[name] for name in names}
        return 7


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch) -> Lab:
    fake = Lab()
    monkeypatch.setattr(runbook_lib.walkthrough.lab, "serve_lab", fake)
    return fake


def test_lab_passes_its_arguments_to_kernels(lab: Lab, folder: Path) -> None:
    """Tenant, evidence and settings file go by absolute path, and other options unchanged."""
    (folder / "x.env").write_text(f"RUNBOOK_CYCLR_SERVICE_DOMAIN={DOMAIN}\n")
    words = ("--tenant", "acme", "--evidence", "e", "--env-file", "x.env")
    result = runbook("lab", *words, "--no-browser", "--port", "8899")

    assert result.exit_code == 7
    assert lab.variables == {
        "RUNBOOK_TENANT": "acme",
        "RUNBOOK_EVIDENCE": str(folder / "e"),
        "RUNBOOK_ENV_FILE": str(folder / "x.env"),
        "RUNBOOK_LAB_COMMAND": f"cd {folder} && runbook lab --connector"
        f" facebook_marketing --tenant acme --evidence {folder}/e --env-file {folder}/x.env"
        " --port 8899 --no-browser",
    }
    assert lab.command[1:3] == ["-m", "jupyterlab"]
    assert lab.command[-3:] == ["--no-browser", "--port", "8899"]


def test_lab_asks_for_the_tenant_that_nothing_names(
    lab: Lab, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a tenant or a Service Domain, `lab` asks, and writes nothing before the answer."""
    assert wording("setting-invalid.no-tenant-named") in refused("lab")
    assert list(folder.rglob("*")) == []

    with_journal(folder, "beta")
    asked: list[str] = []
    monkeypatch.setattr("click.testing._NamedTextIOWrapper.isatty", lambda _self: True)

    def answer(question: str) -> str:
        asked.append(question)
        return "yes" if wording("run.no-record") in question else " acme "

    monkeypatch.setattr(click, "prompt", answer)
    assert runbook("lab").exit_code == 7
    assert wording("lab.there-are", tenants="beta") in asked[0]
    assert lab.variables["RUNBOOK_TENANT"] == "acme"


def test_lab_without_arguments_uses_the_project(lab: Lab, folder: Path) -> None:
    """Without arguments, the evidence folder is the project's, beside the notebooks."""
    (folder / "notebooks").mkdir()
    runbook("lab", "--app", "--tenant", "acme")

    assert lab.variables == {
        "RUNBOOK_TENANT": "acme",
        "RUNBOOK_EVIDENCE": str(folder / "evidence"),
        "RUNBOOK_LAB_COMMAND": f"cd {folder} && runbook lab --app --connector"
        f" facebook_marketing --tenant acme --evidence {folder}/evidence",
    }
    assert lab.command[1:3] == ["-m", "runbook_lib.walkthrough.app_server"]


def test_lab_for_practice_says_how_to_sign_in(lab: Lab, practice_scenarios: list[str]) -> None:
    """Practice uses the sandbox's settings and its own tenant, and prints the sandbox's login."""
    result = runbook("lab", "--sandbox", "fresh")

    assert result.exit_code == 7
    assert practice_scenarios[0] == "fresh"
    assert lab.variables["RUNBOOK_TENANT"] == "sandbox-fresh"
    assert lab.variables["RUNBOOK_ENV_FILE"].endswith("sandbox.env")
    said = result.stderr.splitlines()
    assert said[0].startswith(wording("lab.sandbox-imitates", scenario="fresh"))
    assert said[1].endswith(wording("lab.sandbox-log-in", name="operator", password="pass"))
    assert said[2] == wording("lab.sandbox-forgets")
    assert wording("lab.press-start") in said[3]
    assert said[4] == wording(
        "lab.tenant-and-connector",
        connector=PROCEDURE.title,
        tenant="sandbox-fresh",
    )
    assert said[5].startswith(wording("lab.if-no-browser-opens"))
    assert said[6].startswith(wording("lab.stop-with-ctrl-c"))


def test_lab_for_practice_says_what_still_counts(
    lab: Lab, practice_scenarios: list[str], folder: Path
) -> None:
    """`lab` says that a practice tenant's journal still counts, and how to start a new one."""
    with_journal(folder, "sandbox-fresh")
    words = ("lab", "--sandbox", "fresh", "--app", "--evidence", "evidence")

    said = runbook(*words).stderr
    assert wording("lab.opens-in-browser") in said
    assert wording("lab.press-start") in runbook("lab", *words[1:3]).stderr
    assert wording("lab.press-start") not in said
    assert wording("lab.earlier-work-counts", tenant="sandbox-fresh") in said
    assert "--tenant NAME" in said
    assert "still counts" not in runbook(*words, "--tenant", "new").stderr


def begun(**given: str) -> Run:
    """Return a run that was started interactively."""
    run = open_run(PROCEDURE, {"service_domain": DOMAIN, **given}, mode=Mode.INTERACTIVE)
    run.start()
    return run


def test_status_names_the_next_step_its_reason_and_where() -> None:
    """`status` names the next step, what to do and the links to open."""
    begun()
    result = runbook("status", "--tenant", DOMAIN)

    assert result.exit_code == ExitCode.COMPLETE
    first = FIRST
    assert f"Next: step 1, {first.title} ({first.id}).\n" in result.stdout
    assert wording("status.do-the-step") in result.stdout
    for link in first.links:
        assert f"{link.label}: https://" in result.stdout
    assert "SANDBOX" not in result.stdout


def test_status_marks_practice() -> None:
    """A practice run is marked with SANDBOX; while that does not run, there is no page to open."""
    begun(graph_url="http://127.0.0.1:9")
    text = runbook("status", "--tenant", DOMAIN).stdout

    assert f"SANDBOX {DOMAIN}" in text
    assert wording("status.no-page-to-open") in text
    assert "http" not in text


def test_status_in_full_has_every_step() -> None:
    """`--verbose` shows the table of all steps, with their ids and whole reasons."""
    begun().say(attested(step.id, note="x" * 200) for step in PROCEDURE.steps[:3])
    short, full = (
        runbook("status", "--tenant", DOMAIN, *more).stdout for more in ((), ("--verbose",))
    )

    assert all(f" {step.id} " in full for step in PROCEDURE.steps)
    assert full.count("x" * 20) > 3
    assert "xxx" not in short
    assert "✍ 3 attested" in short


def test_status_as_json() -> None:
    """`status --json` gives the outcome, every step and the next step."""
    begun()
    document = json.loads(runbook("status", "--tenant", DOMAIN, "--json").stdout)

    fields = set(RunState.__struct_fields__)
    assert document.keys() == fields | {"connector", "next", "again", "states"}
    assert (document["tenant"], document["outcome"]) == (DOMAIN, "incomplete")
    assert document["connector"] == PROCEDURE.id
    assert [step["id"] for step in document["steps"]] == [step.id for step in PROCEDURE.steps]
    assert document["next"]["step"] == FIRST.id
    assert document["next"]["advice"].startswith("Do it")


def test_status_of_a_complete_run_has_no_next_step() -> None:
    """When every step is done, the exit code is 0 and no next step is named."""
    run = begun()
    run.say(attested(step.id, at=timestamp(run.clock())) for step in PROCEDURE.steps)

    assert "Next:" not in shown("status", "--tenant", DOMAIN)
    assert json.loads(shown("status", "--tenant", DOMAIN, "--json"))["next"] is None


def test_status_writes_nothing(folder: Path) -> None:
    """`status` for a tenant without a journal writes nothing."""
    runbook("status", "--tenant", "acme")

    assert list(folder.iterdir()) == []


def test_notebooks_are_built_and_checked(folder: Path) -> None:
    """`notebooks` names what it built; `--check` names what is stale and writes nothing."""
    names = [f"{name}.ipynb" for name in connector_names()]
    stale = runbook("notebooks", "--check")
    assert (stale.exit_code, stale.stdout.split()[1::2]) == (ExitCode.FAILED, names)
    assert not (folder / "notebooks").exists()

    built = runbook("notebooks")
    assert (built.exit_code, built.stdout.split()[1::2]) == (ExitCode.COMPLETE, names)

    fresh = runbook("notebooks", "--check")
    assert (fresh.exit_code, fresh.stdout) == (ExitCode.COMPLETE, "")


def test_only_the_stale_notebook_is_named(folder: Path) -> None:
    """`notebooks --check` names only the notebooks that differ."""
    runbook("notebooks")
    path = build_notebook(PROCEDURE, folder / "notebooks")
    path.write_text("{}", encoding="utf-8")

    assert runbook("notebooks", "--check").stdout == f"stale: {path.name}\n"


WELL = ExaminedItem("Python", "3.11")


@pytest.mark.parametrize(
    ("items", "code"),
    [
        ((WELL,), 0),
        ((WELL, ExaminedItem("Network", "gone", ExitCode.INCOMPLETE)), 3),
        (
            (
                ExaminedItem("Settings", "odd", ExitCode.USAGE),
                ExaminedItem("N", "x", ExitCode.INCOMPLETE),
            ),
            2,
        ),
    ],
)
def test_the_doctor_shows_each_item(
    monkeypatch: pytest.MonkeyPatch, items: tuple[ExaminedItem, ...], code: int
) -> None:
    """It shows each with its mark, as text and JSON; the worst one sets the exit code."""
    seen = Examination(items)
    monkeypatch.setattr(runbook_lib.engine.doctor, "examine", lambda *_, **_options: seen)

    text = runbook("doctor")
    machine = runbook("doctor", "--json")

    assert (text.exit_code, machine.exit_code) == (code, code)
    for item in items:
        (line,) = [line for line in text.stdout.splitlines() if item.subject in line.split()]
        assert line.strip().startswith("✔" if item.is_well else "✘")
        assert item.message in line
    names = ("subject", "message", "exit_code", "is_warning")
    expected = [{name: getattr(item, name) for name in names} for item in items]
    assert json.loads(machine.stdout) == expected


def test_the_sandbox_describes_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """`sandbox` uses the given scenario and port, and prints its addresses as a list or as JSON."""
    asked: list[Any] = []

    def serve(scenario: str, port: int, announce: Any, **_: Any) -> None:
        asked.append((scenario, port))
        announce({"graph_url": "http://127.0.0.1:9"})

    monkeypatch.setattr(runbook_lib.engine.practice, "serve_until_interrupted", serve)

    shown = runbook("sandbox", "--scenario", "fresh", "--port", "9000")
    machine = runbook("sandbox", "--json")

    assert asked == [("fresh", 9000), ("approved", 0)]
    assert shown.stdout.startswith(wording("sandbox.announced"))
    assert "graph_url                http://127.0.0.1:9" in shown.stdout
    assert json.loads(machine.stdout) == {"graph_url": "http://127.0.0.1:9"}


@pytest.mark.parametrize("name", ["", *main.commands])
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_every_command_has_help(name: str, flag: str) -> None:
    """`-h` and `--help` print the usage and the help text of every command."""
    result = runbook(*filter(None, [name, flag]))

    assert result.exit_code == 0
    command: click.Command = main.commands[name] if name else main
    assert (command.help or "").splitlines()[0][:40] in result.stdout
    assert "Usage:" in result.stdout


def test_an_error_text_is_explained() -> None:
    """It prints the meaning, who must act, what to do first, and the step, in 80 words."""
    text = shown("explain", "url", "blocked", "--connector", "facebook_marketing")

    assert text.startswith("URL Blocked ")
    title = PROCEDURE.step("fb-08-redirect-uri").title
    parts = (
        wording("explain.who-must-act", who="you"),
        wording("explain.first-go-to-step", number=8, title=title),
        f"Step 8: {title}",
    )
    places = [text.index(part) for part in parts]
    assert places == sorted(places)
    assert len(text.split()) <= 80
    assert "Causes" not in text


def test_all_of_an_explanation_is_shown_on_request() -> None:
    """`--verbose` adds the causes with what to do about each, what tests them, and the source."""
    text = shown("explain", "--verbose", "URL Blocked", "--connector", "facebook_marketing")

    assert wording("explain.tested-by-step", step="fb-08-redirect-uri", number=8) in text
    assert wording("explain.check-it-yourself") in text
    title = PROCEDURE.step("fb-08-redirect-uri").title
    assert f" step 8 ({title}): " in text
    assert f"Step 8: {title} (fb-08-redirect-uri)" in text
    assert "Source: https://" in text
    lacking = shown(
        "explain", "--verbose", "(#200) Requires ads_read permission to manage the object"
    )
    assert wording("explain.grant-every-permission") in lacking


def test_a_customer_is_told_a_sentence() -> None:
    """If a customer must act, there is a sentence to send to them."""
    text = shown("explain", "Session has expired on Monday")

    assert wording("explain.who-must-act", who="your customer") in text
    assert wording("explain.tell-your-customer") in text


@pytest.mark.parametrize(
    ("words", "code"),
    [(("URL Blocked", "--verbose"), ExitCode.COMPLETE), (("Code 190",), ExitCode.INCOMPLETE)],
)
def test_a_reader_may_stop_early(
    words: tuple[str, ...], code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`runbook explain … | head -1` has its first line, its exit code, and no complaint."""
    lines: list[str] = []

    def echo(message: object = None, **_: object) -> None:
        if lines:
            raise BrokenPipeError
        lines.append(str(message))

    monkeypatch.setattr(click, "echo", echo)
    monkeypatch.setattr(os, "dup2", lambda *_: None)
    result = runbook("explain", *words)

    assert (result.exit_code, result.stderr) == (code, "")
    assert lines[0].startswith(("URL Blocked", wording("explain.text-unknown")))


@pytest.mark.parametrize("form", ["argument", "stdin"])
def test_a_pasted_address_is_explained_without_its_code(form: str) -> None:
    """Nothing of a pasted address is printed: it may contain a code."""
    pasted = "https://acme-h.cyclr.com/connector/callback?error_message=URL+Blocked&code=AQDsecret1"
    result = runbook("explain", pasted if form == "argument" else "-", typed=pasted)

    assert result.exit_code == ExitCode.COMPLETE
    assert not re.search(r"AQDsecret1|connector/callback\?", result.output)


def test_nothing_is_claimed_about_an_unknown_error() -> None:
    """A text with a typing error gives exit code 3 and the known one, as a possibility."""
    text = shown("explain", "URL Bloked", code=ExitCode.INCOMPLETE)
    number = PROCEDURE.numbers["fb-08-redirect-uri"]
    assert f"{wording('explain.text-unknown')}: “URL Bloked”" in text
    assert wording("explain.no-exact-match", text="URL Blocked") in text
    title = PROCEDURE.step("fb-08-redirect-uri").title
    assert wording("explain.first-go-to-step", number=number, title=title) in text
    assert wording("explain.then-test-the-address") not in text
    assert f"Step {number}: " in text
    assert wording("explain.who-must-act", who="you") not in text

    document = json.loads(shown("explain", "URL Bloked", "--json", code=ExitCode.INCOMPLETE))
    assert (document["known"], document["decided_by"]) == (False, "search")
    assert document["errors"][0]["id"] == "url-blocked"
    assert wording("explain.then-test-the-address") in document["errors"][0]["advice"]


def test_none_of_three_closest_texts_is_called_the_cause() -> None:
    """A question with several causes gives exit code 3 and up to three, each with what to do."""
    words = ("explain", "Facebook Ads: Account fetch failed (Refreshing token failed)")
    text = shown(*words, code=ExitCode.INCOMPLETE)
    assert 2 <= text.count(" First: ") <= 3
    assert wording("screens.what-to-do") not in text

    document = json.loads(shown(*words, "--json", code=ExitCode.INCOMPLETE))
    assert not document["known"]
    assert 2 <= len(document["errors"]) <= 3


@pytest.mark.parametrize(
    ("pasted", "code", "has"),
    [
        pytest.param(
            "Demasiadas llamadas. Código: 80004",
            ExitCode.COMPLETE,
            [wording("explain.code-known", code=80004), "Application request limit"],
            id="without a known text the code is explained, and it says so",
        ),
        pytest.param(
            "El identificador de acceso no es válido. Código: 190",
            ExitCode.INCOMPLETE,
            [
                wording("explain.text-unknown"),
                wording("explain.several-meanings", code=190),
                "Error validating access token",
            ],
            id="of a code with several meanings it names the likeliest, and claims none",
        ),
        pytest.param(
            "Code 190",
            ExitCode.INCOMPLETE,
            ["Session has expired", wording("explain.more-share-the-code")],
            id="of a bare code it names three",
        ),
        pytest.param(
            "Algo pasó",
            ExitCode.INCOMPLETE,
            [wording("explain.paste-the-whole-response"), wording("explain.in-every-language")],
            id="an unknown text without a code leads to the whole response",
        ),
        pytest.param(
            "Algo pasó (#99999)",
            ExitCode.INCOMPLETE,
            [wording("explain.code-unknown", code=99999), "fbtrace_id", "the support"],
            id="an unknown code is named, and what helps",
        ),
        pytest.param(
            "Request failed with status code 400",
            ExitCode.INCOMPLETE,
            [wording("explain.http-status", status=400), wording("explain.its-own-code")],
            id="a status of HTTP is no unknown code",
        ),
        pytest.param(
            "Error 400: Bad Request",
            ExitCode.INCOMPLETE,
            [wording("explain.http-status", status=400)],
            id="not even where it looks like a code",
        ),
        pytest.param(
            "Invalid parameter",
            ExitCode.COMPLETE,
            ["(#100) Invalid parameter", wording("explain.many-causes")],
            id="a generic text is known, and leaves causes",
        ),
    ],
)
def test_an_unknown_text_has_a_way_on(pasted: str, code: int, has: list[str]) -> None:
    """Codes count in every language; what is not known is said, with what would help."""
    text = shown("explain", pasted, code=code)

    assert all(part in text for part in has), text


def test_the_connector_in_use_is_explained(folder: Path) -> None:
    """Without `--connector` it is that of the settings file, and numbers are its own."""
    numbers = [find_procedure(n).numbers["cy-03-client-secret"] for n in FACEBOOK_CONNECTORS]
    assert len(set(numbers)) == 2
    for name in ("facebook_marketing", "facebook_messenger"):
        text = shown("explain", "--verbose", "Error validating client secret.")
        assert f"step {find_procedure(name).numbers['cy-03-client-secret']} " in text
        (folder / ".env").write_text("RUNBOOK_CONNECTOR=facebook_messenger\n")


def test_an_explanation_in_json() -> None:
    """In JSON each cause has the steps that test for it."""
    result = runbook("explain", "URL Blocked", "--json", "--connector", "facebook_marketing")
    document = json.loads(result.stdout)
    (error,) = document["errors"]

    top = ["decided_by", "known", "shown_to_people", "quoted", "codes"]
    top += ["http_status", "trace_field", "errors"]
    assert [*document] == top
    who = ["id", "title", "shown", "meaning", "who_acts", "first", "for_customer"]
    assert [*error] == [*who, "causes", "advice", "source", "steps"]
    assert [*error["causes"][0]] == ["text", "tested_by", "advice", "steps"]
    assert error["shown"][0] == "URL Blocked"
    assert error["causes"][0]["tested_by"] == ["redirect-uri-is-accepted"]
    assert error["causes"][0]["steps"][0]["step"] == "fb-08-redirect-uri"
    assert {step["connector"] for step in error["steps"]} == {"facebook_marketing"}


@pytest.mark.parametrize("connector", FACEBOOK_CONNECTORS)
@pytest.mark.parametrize("shown", ["URL Blocked", "Can't Load URL"])
def test_causes_that_step_8_cannot_test_are_left_to_facebooks_validator(
    connector: str, shown: str
) -> None:
    """Step 8 tests the host alone; the Validator, which reads the saved list, tests the rest."""
    result = runbook("explain", shown, "--json", "--connector", connector)
    (error,) = json.loads(result.stdout)["errors"]

    tested = [each["text"] for each in error["causes"] if "redirect-uri-is" in str(each)]
    left = [each["text"] for each in error["causes"] if not each["tested_by"]]
    assert not [text for text in tested if re.search("path|slash|case|scheme|character", text)]
    assert any("path" in text and "slash" in text for text in left)
    assert "Validator" in error["advice"]
    assert wording("explain.reads-the-saved-list") in error["advice"]


def test_a_kit_is_written_with_its_warnings(folder: Path) -> None:
    """`kit` names its file, what to look at, and what to do next; nothing is recorded."""
    text = shown("kit", *GIVEN, "--set", "permissions=email")

    assert text.startswith(wording("kit.written", file="review-kit.md"))
    assert wording("kit.blanks-for-unknown", label="App Display Name") in text
    assert (
        wording(
            "kit.permission-without-use",
            connector=PROCEDURE.title,
            permission="email",
        )
        in text
    )
    assert "runbook kit --attach --by NAME" in text
    assert [path.name for path in folder.iterdir()] == ["review-kit.md"]


def fill_in(path: Path) -> None:
    """Fill in the blanks of a kit, as a person does."""
    path.write_text(re.sub("‹[^›]+›", "Acme Hub", path.read_text()))


def test_a_kit_is_kept_as_what_was_submitted(folder: Path) -> None:
    """With `--attach --by NAME` the step waits, by that person's word, with the adapted file."""
    words = ("kit", *GIVEN, "--output", "kit", "--evidence", "mine")
    attach = (*words, "--attach", "--by", "Operator")
    runbook(*words)
    assert wording("kit.places-to-fill-in", label="App Display Name") in runbook(*attach).stderr
    assert runbook(*attach).exit_code == ExitCode.USAGE

    fill_in(folder / "kit" / "review-kit.md")
    assert wording("kit.kept-as-submitted", step="fb-12-submit-review") in shown(*attach)
    (home,) = (folder / "mine").glob("*/facebook_marketing")
    assert len(list((home / "attachments").iterdir())) == 1
    said = Journal(home / "journal.jsonl").read_all()[-1].event
    assert (said.kind, said.by) == (AttestationKind.SUBMITTED, "Operator")


def test_a_kit_in_json(folder: Path) -> None:
    """In JSON the kit has its file, permissions and warnings, and the step if it was attached."""
    words = ("kit", "--connector", "facebook_messenger", *GIVEN)
    document = json.loads(runbook(*words, "--json").stdout)

    assert [*document] == ["file", "permissions", "warnings", "unknown", "attached_to"]
    assert [*document["file"]] == ["path", "changed", "blanks"]
    assert document["file"]["path"] == "review-kit.md"
    assert "pages_messaging" in document["permissions"]
    assert document["attached_to"] is None
    fill_in(folder / "review-kit.md")
    attached = json.loads(runbook(*words, "--json", "--attach", "--by", "Operator").stdout)
    assert attached["attached_to"] == "fb-10d-app-review"


def test_a_changed_kit_is_named(folder: Path) -> None:
    """A changed file is not overwritten without `--force`; attached, it is left as it is."""
    words = ("kit", *GIVEN)
    runbook(*words)
    path = folder / "review-kit.md"
    path.write_text("mine")

    refused = runbook(*words)
    assert (refused.exit_code, path.read_text()) == (ExitCode.USAGE, "mine")
    assert "--force" in refused.stderr
    attached = runbook(*words, "--attach", "--by", "Operator")
    assert wording("kit.kept-with-changes", file="review-kit.md") in attached.stdout
    assert "to fill in" not in attached.stdout
    assert runbook(*words, "--force").exit_code == ExitCode.COMPLETE
    assert path.read_text() != "mine"


def test_the_version_is_shown() -> None:
    """`--version` prints the version."""
    assert runbook("--version").stdout.startswith("runbook, version ")


@pytest.mark.parametrize("words", [(), ("",), ("  ",), ("x", "--connector", "nowhere")])
def test_nothing_to_explain_is_a_usage_error(words: tuple[str, ...]) -> None:
    """Without a text, or for an unknown connector, `explain` gives exit code 2."""
    assert runbook("explain", *words).exit_code == ExitCode.USAGE


def test_status_lists_what_must_be_done_again() -> None:
    """After a value changed, `status` lists each step to do again and what was confirmed before."""
    run = begun(app_id="111111111111111")
    run.say([attested("fb-04a-use-case", by="Ann"), attested("fb-06-facebook-login", by="Ann")])
    before = runbook("status", "--tenant", DOMAIN)
    begun(app_id="222222222222222")

    after = runbook("status", "--tenant", DOMAIN)
    document = json.loads(runbook("status", "--tenant", DOMAIN, "--json").stdout)

    assert "To do again:" not in before.stdout
    title = PROCEDURE.step("fb-04a-use-case").title
    assert f"To do again:\n- {title} (fb-04a-use-case)" in after.stdout
    again = [each["step"] for each in document["again"]]
    assert again == ["fb-04a-use-case", "fb-06-facebook-login"]
    assert wording("findings.confirmed-this", name="Ann") in document["again"][0]["why"]
    assert "111111111111111, not 222222222222222" in document["again"][0]["why"]


def test_tenants_are_listed() -> None:
    """A table for people, JSON for programs, and a sentence for an empty list."""
    assert wording("inbox.no-tenant") in runbook("inbox").stdout
    begun()
    begun(service_domain="umbrella-h.cyclr.com")

    table = runbook("status")
    shown = json.loads(runbook("status", "--json").stdout)

    assert (table.exit_code, len(shown)) == (0, 2)
    for tenant in shown:
        assert wording("status.steps-done", steps=tenant["steps"]) in table.stdout
        assert [item["title"] for item in tenant["open"]] == [FIRST.title]
        assert tenant["tenant"] in table.stdout


@pytest.mark.parametrize("command", ["status", "report"])
def test_an_unknown_tenant_is_one_line(command: str) -> None:
    """For a tenant without a journal, one line names the existing tenants and the next command."""
    known = begun()

    result = runbook(command, "--tenant", "nobody")

    assert (result.exit_code, result.stdout) == (ExitCode.USAGE, "")
    (line,) = result.stderr.splitlines()
    assert wording("tenant-unknown.no-record", tenant="nobody") in line
    assert wording("tenant-unknown.other-tenants", tenant=known.tenant) in line
    assert line.endswith(" runbook lab --tenant nobody")
    there = runbook("status", "--tenant", known.tenant, "--connector", "facebook_messenger")
    assert wording("tenant-unknown.other-connector", connector="facebook_marketing") in there.stderr


def test_verify_without_a_key_prints_the_command_with_ones_own(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a key nothing is verified; the command that trusts your own key is printed."""
    monkeypatch.setenv("XDG_DATA_HOME", str(folder / "home"))
    before = runbook("verify")
    runbook("key")
    after = runbook("verify")
    tenant = runbook("verify", "evidence/my acme")

    assert {each.exit_code for each in (before, after, tenant)} == {ExitCode.USAGE}
    assert wording("verify.trust-your-own-key") not in before.stderr
    assert wording("verify.trust-your-own-key") in after.stderr
    own = folder / "home" / "facebook-marketing-runbook" / "public-keys"
    assert f"runbook verify --trusted-keys {own} evidence\n" in after.stderr
    assert f"verify --trusted-keys {own} 'evidence/my acme'\n" in tenant.stderr


def test_verify_reads_the_projects_evidence_if_no_path_is_given(folder: Path) -> None:
    """Without a path, `verify` reads the evidence folder of the project."""
    runbook("key")
    result = runbook("verify", "--trusted-keys", "evidence/keys")

    assert wording("verify.no-evidence", folder=folder / "evidence") in result.stderr
