"""Commands are tested in an empty folder."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _own_folder(folder: Path) -> None:
    """Work in an empty folder."""
