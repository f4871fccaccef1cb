"""Sealing from the walkthrough: another process, told everything but what others could read."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runbook_lib.core.redaction import MASK
from runbook_lib.engine.run import Run
from runbook_lib.errors import SealingError
from runbook_lib.walkthrough.sealing import Sealed, seal_evidence
from tests.unit.bodies import APP_SECRET
from tests.unit.walkthrough.stage import CANARIES, app_step, make_run, make_step

RUN_ID = "0badcafe"
start = subprocess.Popen


class Process:
    """Takes the place of the headless run."""

    def __init__(self) -> None:
        self.stdout = json.dumps({"run_id": RUN_ID, "outcome": "incomplete"})
        self.stderr = ""
        self.command: list[str] = []
        self.env: dict[str, str] = {}

    def __call__(self, command: list[str], **options: Any) -> subprocess.Popen[str]:
        """Note how it was started; start what says as much and ends at once."""
        self.command, self.env = command, options["env"]
        words = f"import sys; sys.stdout.write({self.stdout!r}); sys.stderr.write({self.stderr!r})"
        return start([sys.executable, "-c", words], **options)

    def option(self, name: str) -> list[str]:
        """Return what was given as `name`."""
        pairs = zip(self.command, self.command[1:], strict=False)
        return [value for key, value in pairs if key == name]


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch) -> Process:
    fake = Process()
    monkeypatch.setattr(subprocess, "Popen", fake)
    return fake


@pytest.fixture
def sealed(tmp_path: Path) -> Callable[..., Run]:
    """Return a maker of runs whose headless twin has left a bundle."""

    def make(**more: Any) -> Run:
        run = make_run(tmp_path, app_step(), make_step("b"), secrets=CANARIES, **more)
        run.start()
        (run.journal.path.parent / f"20261124-{RUN_ID}").mkdir()
        (run.journal.path.parent / "20261123-0a1b2c3d").mkdir()
        return run

    return make


def test_the_bundle_of_that_run_is_returned(process: Process, sealed: Callable[..., Run]) -> None:
    """Not the newest, not another's: the one that the process itself has named."""

    run = sealed()

    bundle = run.journal.path.parent.absolute() / f"20261124-{RUN_ID}"
    assert seal_evidence(run) == Sealed("incomplete", bundle)


def test_the_run_is_for_the_same_tenant_folder_and_values(
    process: Process, sealed: Callable[..., Run], tmp_path: Path
) -> None:
    """It is this very program, in JSON, with every value that was given here."""

    seal_evidence(sealed(app_id="77", permissions=("public_profile", "ads_read")))

    assert process.command[:5] == [sys.executable, "-m", "runbook_lib", "run", "--json"]
    assert process.option("--tenant") == ["acme"]
    assert process.option("--evidence") == [str(tmp_path / "evidence")]
    assert process.option("--set") == ["app_id=77", "permissions=public_profile,ads_read"]


def test_the_settings_file_is_named_where_there_is_one(
    process: Process, sealed: Callable[..., Run]
) -> None:
    """A file that does not exist would be an error there."""

    run = sealed()
    seal_evidence(run)
    assert process.option("--env-file") == []

    run.env_file.write_text("RUNBOOK_APP_ID=77\n", encoding="utf-8")
    seal_evidence(run)
    assert process.option("--env-file") == [str(run.env_file)]


def test_credentials_travel_in_the_environment_alone(
    process: Process, sealed: Callable[..., Run]
) -> None:
    """Arguments are seen by every user of the machine; the environment is not."""

    seal_evidence(sealed())

    assert {name: process.env[f"RUNBOOK_{name.upper()}"] for name in CANARIES} == CANARIES
    assert not [word for word in process.command for value in CANARIES.values() if value in word]


def test_a_value_that_holds_a_credential_stays_off_the_command_line(
    process: Process, sealed: Callable[..., Run]
) -> None:
    """Somebody pasted it into the wrong field: the run then reads it from the settings file."""

    seal_evidence(sealed(app_id="77", app_display_name=f"Acme {APP_SECRET}"))

    assert process.option("--set") == ["app_id=77"]


def test_a_forgotten_credential_is_not_passed_on(
    process: Process, sealed: Callable[..., Run]
) -> None:
    """The process gets what is known here, and no more."""

    run = sealed()
    run.forget_secret(next(i for i in run.procedure.inputs if i.name == "app_secret"), [])
    seal_evidence(run)

    assert "RUNBOOK_APP_SECRET" not in process.env


def test_the_environment_is_inherited_but_for_jupyters_session(
    process: Process, sealed: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the session's name it would take itself for a walkthrough and wait for a person."""

    monkeypatch.setenv("JPY_SESSION_NAME", "x.ipynb")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    seal_evidence(sealed())

    assert "JPY_SESSION_NAME" not in process.env
    assert process.env["HTTPS_PROXY"] == "http://127.0.0.1:9"


def test_a_run_that_leaves_nothing_is_told_in_its_own_words(
    process: Process, sealed: Callable[..., Run]
) -> None:
    """With what to do next; redacted, since another program's words are anything."""

    process.stdout = ""
    process.stderr = f"runbook: {APP_SECRET} is refused.\nNext: Give another one.\n"

    with pytest.raises(SealingError) as caught:
        seal_evidence(sealed())

    assert str(caught.value) == f"{MASK} is refused."
    assert caught.value.diagnostics() == "Give another one."


def test_a_run_that_says_nothing_is_told_too(process: Process, sealed: Callable[..., Run]) -> None:
    """A killed process leaves no words."""

    process.stdout = process.stderr = ""

    with pytest.raises(SealingError, match="ended without a word") as caught:
        seal_evidence(sealed())

    assert "Seal again" in caught.value.diagnostics()


def test_whom_the_run_waits_for_is_passed_on_as_it_comes(
    process: Process, sealed: Callable[..., Run]
) -> None:
    """Nobody looks at a busy panel for minutes without knowing why."""

    waits = "Waiting for another headless run of this tenant: process 7, since 2026-11-25."
    process.stderr = f"{waits}\nNo time-stamp: refused\n"
    heard: list[str] = []

    seal_evidence(sealed(), on_wait=heard.append)

    assert heard == [waits]


def test_what_was_said_while_it_waited_is_not_taken_for_the_reason(
    process: Process, sealed: Callable[..., Run]
) -> None:
    """The last words count, whatever came before them."""

    process.stdout = ""
    process.stderr = (
        "Waiting for another headless run of this tenant: process 7, since 2026-11-25.\n"
        "runbook: Another headless run of this tenant is under way.\nNext: Run again.\n"
    )

    with pytest.raises(SealingError, match=r"^Another headless run of this tenant is under way\.$"):
        seal_evidence(sealed())
