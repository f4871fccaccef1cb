"""What the README, the example settings and the changelog say is what the product does."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from runbook_lib.cli.main import main
from runbook_lib.config.attestations import read_words
from runbook_lib.config.settings import read_env_file, resolve
from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from runbook_lib.core.outcome import ICONS, MEANINGS
from runbook_lib.core.procedure import Outcome, WordKind
from runbook_lib.errors import ExitCode
from runbook_lib.sandbox.server import SCENARIOS
from tests.conftest import NOON

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_readme_names_every_command_and_no_other() -> None:
    """A command that is missing from the README is not found; one that is not there disappoints."""

    named = set(re.findall(r"^runbook ([a-z]+)  ", README, flags=re.MULTILINE))
    assert named == set(main.commands)


def test_the_readme_names_every_exit_code() -> None:
    """Scripts rely on the table."""

    rows = set(re.findall(r"^\| (\d+) \|", README, flags=re.MULTILINE))
    assert rows == {str(int(code)) for code in ExitCode}


@pytest.mark.parametrize("outcome", Outcome)
def test_the_readme_explains_every_outcome(outcome: Outcome) -> None:
    """Icon, word and meaning are those that a person sees."""

    assert f"| {ICONS[outcome]} | `{outcome}` | {MEANINGS[outcome]} |" in README


def test_the_readme_names_every_scenario() -> None:
    """What can be practised stands there."""

    assert all(f"`{scenario}`" in README for scenario in SCENARIOS)


def test_the_example_settings_are_settings() -> None:
    """`.env.example` can be copied as it is, and names every credential."""

    variables = read_env_file(ROOT / ".env.example")
    settings = resolve(PROCEDURE.inputs, env_file=variables, environ={})
    assert settings.secrets == {}
    secrets = {item.variable for item in PROCEDURE.inputs if item.secret}
    assert secrets <= set(variables)


def test_the_attestations_of_the_readme_are_read(tmp_path: Path) -> None:
    """The example file in the README is one that the runbook takes."""

    (block,) = re.findall(r"```toml\n(.*?)```", README, flags=re.DOTALL)
    path = tmp_path / "attestations.toml"
    path.write_text(block, encoding="utf-8")
    words = read_words(path, PROCEDURE, now=NOON)
    assert {word.kind for word in words} == set(WordKind)


def test_the_version_is_the_changelogs() -> None:
    """The package's version is a heading of the changelog, or not released yet."""

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"[{project['version']}]" in changelog or "[Unreleased]" in changelog


def test_every_tracked_picture_is_shown() -> None:
    """A picture in the README exists, the walkthrough's are all in it, and none is slow to load."""

    shown = {ROOT / path for path in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README)}
    assert set((ROOT / "tests/browser/screenshots").glob("walkthrough-*.png")) <= shown
    assert max(path.stat().st_size for path in shown) < 200_000
