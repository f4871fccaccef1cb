"""Commands are tested in an empty folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import runbook_lib.engine.headless
import runbook_lib.engine.practice
import runbook_lib.walkthrough.lab
from runbook_lib.core.fingerprints import FingerprintKey
from runbook_lib.core.procedure import Procedure
from runbook_lib.engine.practice import Practice
from tests.support.headless_stand_in import DOMAIN, FIRST, WORDS, Headless


@pytest.fixture(autouse=True)
def _own_folder(folder: Path) -> None:
    """Work in an empty folder."""


@pytest.fixture
def headless(monkeypatch: pytest.MonkeyPatch) -> Headless:
    fake = Headless()
    monkeypatch.setattr(runbook_lib.engine.headless, "execute_and_seal", fake)
    return fake


@pytest.fixture
def practice_scenarios(monkeypatch: pytest.MonkeyPatch, folder: Path) -> list[str]:
    """Return the scenarios that were started; no real sandbox starts."""
    scenarios: list[str] = []

    @contextmanager
    def fake(scenario: str, _procedure: Procedure, _key: FingerprintKey) -> Iterator[Practice]:
        scenarios.append(scenario)
        env_file = folder / "sandbox.env"
        said = folder / "said.toml"
        text = f"RUNBOOK_CYCLR_SERVICE_DOMAIN={DOMAIN}\nRUNBOOK_FACEBOOK_GRAPH_URL=http://127.0.0.1:9\n"
        env_file.write_text(text, encoding="utf-8")
        said.write_text(WORDS.format(step=FIRST.id), encoding="utf-8")
        try:
            yield Practice(scenario, str(env_file), str(said), "operator / pass")
        finally:
            scenarios.append("ended")

    monkeypatch.setattr(runbook_lib.engine.practice, "practice", fake)
    monkeypatch.setattr(runbook_lib.walkthrough.lab, "practice", fake)
    return scenarios
