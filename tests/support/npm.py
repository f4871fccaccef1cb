"""The npm packages that tests need, installed once from their lock file."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from filelock import FileLock

_FOLDER = Path(__file__).parent / "node"
_PATIENCE_SECONDS = 240


def installed() -> Path:
    """Return the folder `node_modules`; run `npm ci` first if it is stale."""
    # NOTE: pytest-xdist's workers may install the same packages at the same time.
    with FileLock(_FOLDER / ".npm.lock"):
        _install()
    return _FOLDER / "node_modules"


def _install() -> None:
    """Run `npm ci` if `node_modules` is stale."""
    if not _is_fresh(_FOLDER / "node_modules", _FOLDER / "package-lock.json"):
        done = subprocess.run(
            ["npm", "ci", "--no-audit", "--no-fund"],
            cwd=_FOLDER,
            capture_output=True,
            text=True,
            timeout=_PATIENCE_SECONDS,
            check=False,
        )
        if done.returncode != 0:
            pytest.fail(f"npm ci in {_FOLDER} failed:\n{done.stderr}", pytrace=False)


def _is_fresh(modules: Path, lock: Path) -> bool:
    """Return whether `modules` was installed from the current lock file."""
    marker = modules / ".package-lock.json"
    return marker.exists() and marker.stat().st_mtime >= lock.stat().st_mtime
