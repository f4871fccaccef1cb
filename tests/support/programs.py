"""
Programs that some tests need beside Python.

Without one the tests that need it are left out, and a line says how many, why, and how to get
it. With `CI=true` that is an error. A test says what it needs by `@needs("openssl")`; what needs
a browser or npm is known by its fixture. `.ci/programs` installs the programs on Debian.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

__all__ = ["needs", "problems"]

needs = pytest.mark.needs

_LIST = Path(__file__).parents[1] / "programs.txt"
_FIXTURES = {"browser": ("chromium",), "axe": ("node", "npm")}
_LEFT_OUT = pytest.StashKey[Counter[str]]()
_NAMESPACE = ("unshare", "--user", "--map-root-user", "--net", "true")


def problems() -> dict[str, str]:
    """Return why each program that cannot be used here cannot, and what to do, by its name."""
    lines = _LIST.read_text(encoding="utf-8").splitlines()
    listed = dict(line.split(maxsplit=1) for line in lines if not line.startswith("#"))
    found = {
        name: f"{name} is missing (Debian: apt-get install {packages})"
        for name, packages in listed.items()
        if shutil.which(name) is None
    }
    # NOTE: most containers have `unshare`, and may not use it.
    if "unshare" not in found and _fails(*_NAMESPACE):
        found["unshare"] = "unshare may not be used here (a container needs --privileged)"
    return found


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker, and count from zero."""
    config.addinivalue_line("markers", "needs(*programs): left out where one of them is missing")
    config.stash[_LEFT_OUT] = Counter()


@pytest.hookimpl(trylast=True)  # after what a person left out
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect what cannot run here."""
    unusable = problems().keys()
    lacking = [(item, _needed(item) & unusable) for item in items]
    left_out = config.stash[_LEFT_OUT]
    for _, programs in lacking:
        left_out.update(programs)
    items[:] = [item for item, programs in lacking if not programs]
    config.hook.pytest_deselected(items=[item for item, programs in lacking if programs])
    if hasattr(config, "workeroutput"):  # one of pytest-xdist's processes, each collects all
        config.workeroutput["left_out"] = dict(left_out)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Learn from a process of pytest-xdist what it left out."""
    node.config.stash[_LEFT_OUT] |= Counter(getattr(node, "workeroutput", {}).get("left_out"))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Refuse a run of CI that is not whole."""
    if session.config.stash[_LEFT_OUT] and os.environ.get("CI") == "true":
        session.exitstatus = pytest.ExitCode.USAGE_ERROR


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Write one line for each program that is missing."""
    why = problems() if config.stash[_LEFT_OUT] else {}
    for name, count in sorted(config.stash[_LEFT_OUT].items()):
        terminalreporter.write_line(f"left out {count} tests: {why[name]}", yellow=True)


def _needed(item: pytest.Item) -> set[str]:
    """Return the programs that a test needs."""
    marked = {program for marker in item.iter_markers("needs") for program in marker.args}
    fixtures = getattr(item, "fixturenames", ())
    return marked.union(*(_FIXTURES.get(name, ()) for name in fixtures))


def _fails(*command: str) -> bool:
    return subprocess.run(command, check=False, capture_output=True).returncode != 0
