"""
No test leaves the process changed for the next one, whatever their order.

A test is an error if it does, and so is the last one of a module whose fixtures do. `_STATE` lists
the state that tests share; comparing it takes some 200 microseconds.
"""

from __future__ import annotations

import builtins
import getpass
import logging
import os
import re
import resource
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping

import pytest

# NOTE: SIGALRM is pytest-timeout's; a test that uses it too puts its handler back.
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE,
            signal.SIGUSR1, signal.SIGUSR2)  # fmt: skip
# NOTE: not that of core files, which a process that runs a tenant gives up for good.
_LIMITS = (resource.RLIMIT_AS, resource.RLIMIT_CPU, resource.RLIMIT_FSIZE,
           resource.RLIMIT_NOFILE, resource.RLIMIT_NPROC)  # fmt: skip


def _environment() -> dict[str, str]:
    # NOTE: pytest and coverage write these two themselves.
    own = ("PYTEST_CURRENT_TEST", "COVERAGE_PROCESS_CONFIG")
    return {name: text for name, text in os.environ.items() if name not in own}


def _folder() -> str:
    try:
        return os.getcwd()  # noqa: PTH109  (it is called twice for each test)
    except FileNotFoundError:
        return "a folder that was removed"


def _umask() -> str:
    # NOTE: `os.umask` tells it only by changing it, under the eyes of other threads.
    with open("/proc/self/status", encoding="ascii") as status:  # noqa: PTH123
        return re.findall(r"^Umask:\t(\d+)$", status.read(), re.MULTILINE)[0]


def _handlers() -> list[logging.Handler]:
    return [item for item in logging.root.handlers if not type(item).__module__.startswith("_py")]


def _keyring() -> object:
    keyring = sys.modules.get("keyring")
    return keyring and keyring.get_keyring()


_STATE: Mapping[str, Callable[[], object]] = {
    "environment variables": _environment,
    "the working folder": _folder,
    "signal handlers": lambda: [signal.getsignal(item) for item in _SIGNALS],
    "blocked signals": lambda: signal.pthread_sigmask(signal.SIG_BLOCK, ()),
    "the umask": _umask,
    "resource limits": lambda: [resource.getrlimit(item) for item in _LIMITS],
    "handlers of the root logger": _handlers,
    "levels of logging": lambda: (logging.root.level, logging.root.manager.disable),
    "sys.path": lambda: list(sys.path),
    "sys.modules['__main__']": lambda: sys.modules["__main__"],
    "hooks of exceptions": lambda: (sys.excepthook, threading.excepthook, sys.unraisablehook),
    "what asks a person": lambda: (builtins.input, getpass.getpass),
    "the time limit of sockets": socket.getdefaulttimeout,
    "Python's own limits": lambda: (sys.getrecursionlimit(), sys.getswitchinterval()),
    "the keyring": _keyring,
}


def process_state() -> dict[str, object]:
    """Return the state that tests in one process share, by its name."""
    return {name: read() for name, read in _STATE.items()}


def changes(before: Mapping[str, object], now: Mapping[str, object]) -> dict[str, str]:
    """Return the differences, by name."""
    return {
        name: f"{name} ({_difference(value, now[name])})"
        for name, value in before.items()
        # A keyring that was not loaded yet is not a change.
        if value != now[name] and not (name == "the keyring" and value is None)
    }


def _difference(before: object, now: object) -> str:
    if isinstance(before, dict) and isinstance(now, dict):
        # NOTE: names alone; a variable's value may be a secret.
        return ", ".join(sorted({name for name, _ in before.items() ^ now.items()}))
    return f"{before!r} became {now!r}"


@pytest.fixture(autouse=True, scope="module")
def _module_leaves_nothing() -> Iterator[dict[str, object]]:
    """
    Fail the last test of a module whose fixtures leave the process changed.

    A plugin's fixtures come before those of a `conftest.py` or module, and end after them.
    """
    before = process_state()
    yield before
    _refuse(changes(before, process_state()), "A fixture of this module")


@pytest.fixture(autouse=True)
def _test_leaves_nothing(_module_leaves_nothing: dict[str, object]) -> Iterator[None]:
    """Fail a test that leaves the process changed."""
    before = process_state()
    yield
    now = process_state()
    left = changes(before, now)
    # The fixtures of the module did not leave the test's changes.
    _module_leaves_nothing.update({name: now[name] for name in left})
    _refuse(left, "This test")


def _refuse(left: Mapping[str, str], who: str) -> None:
    if left:
        pytest.fail(f"{who} left changed: {'; '.join(left.values())}", pytrace=False)
