"""Fixtures of the watch."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.operations.watch.desk import Desk


@pytest.fixture
def desk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(folder, monkeypatch)
