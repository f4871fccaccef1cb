"""The guard of `tests/support/leftovers.py` names whatever a test leaves in its process."""

from __future__ import annotations

import builtins
import json
import logging
import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType

import keyring
import pytest
from keyring.backends.null import Keyring

from tests.support.leftovers import changes, process_state
from tests.support.wording import wording

ROOT = Path(__file__).parents[2]


LEFT: Mapping[str, tuple[str, Callable[[], object]]] = {
    "variable": ("environment variables", lambda: os.environ.update(RUNBOOK_A="a secret")),
    "variable removed": ("environment variables", lambda: os.environ.pop("HOME")),
    "folder": ("the working folder", lambda: os.chdir("/")),
    "handler": ("signal handlers", lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN)),
    "blocked": (
        "blocked signals",
        lambda: signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1]),
    ),
    "umask": ("the umask", lambda: os.umask(0o051)),
    "limit": (
        "resource limits",
        lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)),
    ),
    "log": ("handlers of the root logger", lambda: logging.root.addHandler(logging.NullHandler())),
    "log level": ("levels of logging", lambda: logging.disable(logging.ERROR)),
    "path": ("sys.path", lambda: sys.path.insert(0, "/nowhere")),
    "main": (
        "sys.modules['__main__']",
        lambda: sys.modules.update(__main__=ModuleType("__main__")),
    ),
    "hook": ("hooks of exceptions", lambda: setattr(sys, "excepthook", print)),
    "input": ("what asks a person", lambda: setattr(builtins, "input", str)),
    "time limit": ("the time limit of sockets", lambda: socket.setdefaulttimeout(5)),
    "recursion": ("Python's own limits", lambda: sys.setrecursionlimit(2_000)),
    "keyring": ("the keyring", lambda: keyring.set_keyring(Keyring())),
}
MODULE = """
import os
import pytest

@pytest.fixture(scope="module")
def begun():
    os.environ["LEFT_BY_FIXTURE"] = "a secret"

def test_leaves():
    os.environ["LEFT_BY_TEST"] = "a secret"

def test_is_fine(begun):
    pass
"""


def print_changes() -> None:
    """Print the changes reported after each case, which happens in a process of its own."""
    for case, (_, leave) in LEFT.items():
        sys.stdout.flush()
        if os.fork() == 0:
            before = process_state()
            leave()
            print(json.dumps({case: changes(before, process_state())}))  # noqa: T201
            sys.stdout.flush()
            os._exit(0)
        os.wait()


@pytest.fixture(scope="module")
def reported_changes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """Return the changes reported after each case."""
    # NOTE: a process without threads, which may be forked.
    program = "from tests.unit.test_leftovers import print_changes; print_changes()"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "XDG_DATA_HOME": str(tmp_path_factory.mktemp("home"))},
        capture_output=True,
        text=True,
        check=True,
    )
    return {
        case: left for line in done.stdout.splitlines() for case, left in json.loads(line).items()
    }


@pytest.mark.parametrize("case", LEFT)
def test_a_change_is_named(case: str, reported_changes: dict[str, dict[str, str]]) -> None:
    """Each kind of thing that tests share is seen, and no value of a variable is shown."""
    assert [*reported_changes[case]] == [LEFT[case][0]]
    assert "a secret" not in reported_changes[case][LEFT[case][0]]


def test_a_test_that_leaves_something_is_an_error(tmp_path: Path) -> None:
    """The test that leaves something is an error by name, and so is a fixture of a module."""
    (tmp_path / "test_it.py").write_text(MODULE)
    options = ("-q", "-pno:randomly", "-pno:cacheprovider", "-p", "tests.support.leftovers")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "--rootdir", str(tmp_path), str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert "2 passed, 2 errors" in done.stdout, done.stdout
    assert "ERROR at teardown of test_leaves" in done.stdout
    assert wording("tests.left-by-test", variable="LEFT_BY_TEST") in done.stdout
    assert wording("tests.left-by-fixture", variable="LEFT_BY_FIXTURE") in done.stdout
    assert "a secret" not in done.stdout.replace('= "a secret"', "")
