"""The npm packages that tests need: installed once from their lock file, where absent."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from filelock import FileLock

__all__ = ["installed"]

_PATIENCE_SECONDS = 240


def installed(folder: Path) -> Path:
    """Return the `node_modules` beside `folder`'s lock file, after `npm ci` where it is stale."""
    # NOTE: the processes that share the tests ask for the same packages at the same time.
    with FileLock(folder / ".npm.lock"):
        _install(folder)
    return folder / "node_modules"


def _install(folder: Path) -> None:
    """Run `npm ci` where what stands in `node_modules` is stale."""
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
    """Tell whether what stands in `modules` was installed from the lock file as it is now."""
    marker = modules / ".package-lock.json"
    return marker.exists() and marker.stat().st_mtime >= lock.stat().st_mtime
