"""SKILL.md, the instructions for an agent: its commands print in the sandbox what it says."""

from __future__ import annotations

import json
import os
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from runbook_lib.errors import ExitCode
from tests.runs.conftest import ROOT, runbook

SKILL = (ROOT / "SKILL.md").read_text(encoding="utf-8")
QUESTIONS = [
    (command, re.findall(r"`([a-z_]+)`", keys.partition(";")[0]))
    for command, keys in re.findall(r"^\| [^|`]+\| `runbook ([^`]+)` \| ([^|]+) \|$", SKILL, re.M)
]


@pytest.fixture(scope="module")
def practised(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the evidence of two practice tenants."""
    folder = tmp_path_factory.mktemp("practised")
    for scenario in ("fresh", "approved"):
        runbook("run", "--sandbox", scenario, cwd=folder)
    return folder


def documents(text: str) -> list[dict[str, Any]]:
    """Return the JSON objects in the output of a command: one, a list, or one a line."""
    try:
        read = json.loads(text)
    except json.JSONDecodeError:
        read = [json.loads(line) for line in text.splitlines()]
    return read if isinstance(read, list) else [read]


def test_each_question_has_a_command() -> None:
    """The table has a command in JSON for each question."""
    assert len(QUESTIONS) == 8
    assert [command for command, _ in QUESTIONS if "--json" not in command] == []
    assert [command for command, keys in QUESTIONS if not keys] == []


@pytest.mark.parametrize(("command", "keys"), QUESTIONS, ids=[command for command, _ in QUESTIONS])
def test_a_command_prints_what_the_instructions_name(
    practised: Path, command: str, keys: list[str]
) -> None:
    """Each command prints JSON with the keys that the instructions name."""
    words = shlex.split(command.replace("~/.local/share", os.environ["XDG_DATA_HOME"]))
    result = runbook(*words, cwd=practised)

    shown = documents(result.stdout)
    assert shown
    assert [key for document in shown for key in keys if key not in document] == []


def test_the_exit_codes_are_those_of_the_product() -> None:
    """The table has every exit code."""
    listed = re.findall(r"^\| (\d+) \|", SKILL, re.M)

    assert {int(code) for code in listed} == {code.value for code in ExitCode}


def test_an_error_looks_as_the_instructions_say(practised: Path) -> None:
    """An error in JSON has the keys that the instructions name."""
    named = re.findall(r'"(\w+)": …', SKILL)
    result = runbook("status", "--tenant", "nobody", "--json", cwd=practised)

    assert result.returncode == ExitCode.USAGE
    assert list(json.loads(result.stdout)["error"]) == named


def test_an_agent_is_told_to_attest_nothing_and_type_no_secret() -> None:
    """No command of the table attests, and the two prohibitions are there."""
    assert [command for command, _ in QUESTIONS if "confirm" in command] == []
    assert "**Never attest.**" in SKILL
    assert "**Never type, read or repeat a secret.**" in SKILL
