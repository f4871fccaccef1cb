"""The npm packages that tests need, installed once from their lock file."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from filelock import FileLock

_PATIENCE_SECONDS = 240


def installed(folder: Path) -> Path:
    """Return `node_modules` beside the lock file in `folder`; run `npm ci` first if it is stale."""
    # NOTE: pytest-xdist's workers may install the same packages at the same time.
    with FileLock(folder / ".npm.lock"):
        _install(folder)
    return folder / "node_modules"


def _install(folder: Path) -> None:
    """Run `npm ci` if `node_modules` is stale."""
    if not _is_fresh(folder / "node_modules", folder / "package-lock.json"):
        done = subprocess.run(
            ["npm", "ci", "--no-audit", "--no-fund"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=_PATIENCE_SECONDS,
            check=False,
        )
        if done.returncode != 0:
            pytest.fail(f"npm ci in {folder} failed:\n{done.stderr}", pytrace=False)


def _is_fresh(modules: Path, lock: Path) -> bool:
    """Return whether `modules` was installed from the current lock file."""
    marker = modules / ".package-lock.json"
    return marker.exists() and marker.stat().st_mtime >= lock.stat().st_mtime
