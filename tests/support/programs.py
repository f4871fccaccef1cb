"""
Programs other than Python that some tests need.

Without one, the tests that need it are left out, and a line says how many, why, and how to get it.
With `CI=true` that is an error. A test names its programs with `@needs("openssl")`; a need for a
browser or npm is derived from its fixtures. `.ci/programs` installs the programs on Debian.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

needs = pytest.mark.needs

_LIST = Path(__file__).parents[1] / "programs.txt"
_FIXTURES = {"browser": ("chromium",), "axe": ("node", "npm")}
_LEFT_OUT = pytest.StashKey[Counter[str]]()
_NAMESPACE = ("unshare", "--user", "--map-root-user", "--net", "true")


def problems() -> dict[str, str]:
    """Return, for each program that cannot be used here, the reason and what to do."""
    lines = _LIST.read_text(encoding="utf-8").splitlines()
    listed = dict(line.split(maxsplit=1) for line in lines if not line.startswith("#"))
    available = {
        name: f"{name} is missing (Debian: apt-get install {packages})"
        for name, packages in listed.items()
        if shutil.which(name) is None
    }
    # NOTE: most containers have `unshare` but are not allowed to use it.
    if "unshare" not in available and _fails(*_NAMESPACE):
        available["unshare"] = "unshare is not allowed here (a container needs --cap-add=SYS_ADMIN)"
    return available


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker, and set the counts to zero."""
    config.addinivalue_line("markers", "needs(*programs): left out where one of them is missing")
    config.stash[_LEFT_OUT] = Counter()


@pytest.hookimpl(trylast=True)  # after the options of the command line
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the tests that cannot run here."""
    unusable = problems().keys()
    lacking = [(item, _needed(item) & unusable) for item in items]
    left_out = config.stash[_LEFT_OUT]
    for _, programs in lacking:
        left_out.update(programs)
    items[:] = [item for item, programs in lacking if not programs]
    config.hook.pytest_deselected(items=[item for item, programs in lacking if programs])
    if hasattr(config, "workeroutput"):  # a worker of pytest-xdist; each collects all tests
        config.workeroutput["left_out"] = dict(left_out)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over the counts of a pytest-xdist worker."""
    node.config.stash[_LEFT_OUT] |= Counter(getattr(node, "workeroutput", {}).get("left_out"))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a CI run in which tests were left out."""
    if session.config.stash[_LEFT_OUT] and os.environ.get("CI") == "true":
        session.exitstatus = pytest.ExitCode.USAGE_ERROR


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Write one line for each missing program."""
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
