"""`run`, `lab` and `doctor` say which folders they use, if it is not the working directory."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.commands import runbook
from tests.support.wording import wording


@pytest.fixture
def below(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder below a project."""
    (folder / "notebooks").mkdir()
    (folder / "work").mkdir()
    monkeypatch.chdir(folder / "work")
    return folder / "work"


# Each ends before it does anything: the Service Domain is missing, and no port has this number.
COMMANDS = [("run",), ("run", "--json"), ("lab", "--port", "99999"),
            ("lab", "--sandbox", "--port", "99999")]  # fmt: skip
commands = pytest.mark.parametrize("words", COMMANDS, ids=" ".join)


def said(folder: Path, evidence: Path) -> str:
    return f"Project folder: {folder}. Evidence folder: {evidence}."


@commands
def test_a_command_below_its_project_says_where_that_is(
    below: Path, words: tuple[str, ...]
) -> None:
    """On stderr, first of all: what programs read stays as it is."""
    result = runbook(*words)

    project = below.parent
    assert result.stderr.splitlines()[0] == said(project, project / "evidence")
    assert "Project folder" not in result.stdout


@commands
def test_a_command_in_its_project_says_nothing_of_it(folder: Path, words: tuple[str, ...]) -> None:
    """A command names no folder if all files are below the working directory."""
    (folder / "notebooks").mkdir()

    assert "Project folder" not in runbook(*words).output
    assert "Project folder" not in runbook(*words, "--evidence", "mine").output


@commands
def test_evidence_elsewhere_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    """Whether an option, a variable or the settings file names it."""
    work = folder / "work"
    there = folder / "there"
    work.mkdir()
    monkeypatch.chdir(work)

    assert runbook(*words, "--evidence", "../there").stderr.startswith(said(work, there))
    monkeypatch.setenv("RUNBOOK_EVIDENCE", str(there))
    assert runbook(*words).stderr.startswith(said(work, there))
    monkeypatch.delenv("RUNBOOK_EVIDENCE")
    (work / ".env").touch(mode=0o600)
    (work / ".env").write_text(f"RUNBOOK_EVIDENCE={there}\n")
    is_practice = "--sandbox" in words  # whose settings are its own
    assert runbook(*words).stderr.startswith(said(work, there)) is not is_practice


def test_a_run_below_its_project_gives_its_record_alone(below: Path) -> None:
    """With `--json` stdout is the record, and the evidence is where stderr says it is."""
    result = runbook("run", "--sandbox", "fresh", "--json")

    assert json.loads(result.stdout)["sandbox"] is True
    project = below.parent
    assert said(project, project / "evidence") in result.stderr
    assert list((project / "evidence").glob("sandbox-fresh/*/2*/record.json"))
    assert not list(below.iterdir())


@pytest.mark.parametrize("is_below", [True, False])
def test_the_doctor_names_both_folders(below: Path, *, is_below: bool) -> None:
    """As a row, and as fields for programs."""
    project = below.parent
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(below if is_below else project)
        found = {
            one["subject"]: one["message"] for one in json.loads(runbook("doctor", "--json").stdout)
        }
        shown = runbook("doctor").stdout

    which = "a parent of the working directory" if is_below else "the working directory"
    assert found["Project folder"] == f"{project}, {which}"
    evidence = project / "evidence" if is_below else Path("evidence")
    assert found["Evidence folder"] == wording("doctor.can-be-written", folder=evidence)
    assert "Project folder" in shown
