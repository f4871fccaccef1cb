"""Practice brings its own settings, and puts the operator's aside."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runbook_lib.config.settings import read_env_file, resolve
from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from runbook_lib.core.fingerprints import FingerprintKey
from runbook_lib.engine.practice import practice
from runbook_lib.engine.run import is_sandbox
from runbook_lib.errors import SettingsError


def test_practice_is_settings_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A real credential is never sent to a practice server, and is back afterwards."""

    monkeypatch.setenv("RUNBOOK_APP_SECRET", "real-secret")
    with practice("approved", FingerprintKey()) as running:
        assert "RUNBOOK_APP_SECRET" not in os.environ
        path = Path(running.env_file)
        assert path.stat().st_mode & 0o777 == 0o600
        settings = resolve(PROCEDURE.inputs, env_file=read_env_file(path), environ={})

    assert os.environ["RUNBOOK_APP_SECRET"] == "real-secret"
    assert not path.exists()
    assert is_sandbox(settings.values)
    assert settings.secrets["app_secret"].reveal() != "real-secret"


@pytest.mark.parametrize(
    ("scenario", "words"),
    [
        ("fresh", ""),
        ("review-pending", "submitted.toml"),
        ("review-declined", "submitted.toml"),
        ("wrong-secret", "connected.toml"),
    ],
)
def test_people_have_said_what_fits_the_scenario(scenario: str, words: str) -> None:
    """Before anything was done nobody attests; before the review nobody speaks of after it."""

    with practice(scenario, FingerprintKey()) as running:
        assert Path(running.attestations).name == words


def test_an_unknown_scenario_is_refused_with_the_known_ones() -> None:
    """A misspelt scenario is an error in words."""

    with (
        pytest.raises(SettingsError, match=r"no scenario called aproved; known are .*approved"),
        practice("aproved", FingerprintKey()),
    ):
        pass
