"""Source distributions whose tests and notebooks are run here: downloaded once and cached."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from importlib.metadata import version
from pathlib import Path

import pytest
from filelock import FileLock

_CACHE = Path(__file__).parent / ".sdists"
_PATIENCE_SECONDS = 240


def unpacked(name: str) -> Path:
    """Return the source of the installed version of the package `name`."""
    release = f"{name}-{version(name)}"
    _CACHE.mkdir(exist_ok=True)
    # NOTE: the workers of pytest-xdist need the same package at the same time.
    with FileLock(_CACHE / f"{name}.lock"):
        if not (_CACHE / release).exists():
            _download(name)
    return _CACHE / release


def _download(name: str) -> None:
    """Download the package with pip, from its configured index, and unpack it."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
            *("--no-deps", "--no-binary", ":all:", "--dest", str(_CACHE)),
            f"{name}=={version(name)}",
        ],
        capture_output=True,
        text=True,
        timeout=_PATIENCE_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        pytest.fail(f"pip download {name} failed:\n{done.stderr}", pytrace=False)
    with tarfile.open(_CACHE / f"{name}-{version(name)}.tar.gz") as archive:
        archive.extractall(_CACHE, filter="data")
