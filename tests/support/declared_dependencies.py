"""The dependencies that pyproject.toml declares."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def declared(*extras: str) -> set[str]:
    """Return the names of the dependencies in pyproject.toml, with those of `extras`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    optional = [each for name in extras for each in project["optional-dependencies"][name]]
    return {re.split(r"[<>=!~;\[ ]", each)[0] for each in (*project["dependencies"], *optional)}
