"""Fork servers whose runs are not real, for the tests of processes and pools."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from runbook_lib.engine import elsewhere
from tests.support.run_process import eventually, is_gone


def servers() -> list[psutil.Process]:
    """Return the fork servers of this process."""
    fork_servers = []
    for child in psutil.Process().children():
        with suppress(psutil.ZombieProcess):
            fork_servers += [child] if "multiprocessing.forkserver" in str(child.cmdline()) else []
    return fork_servers


def _end_servers() -> None:
    for server in servers():
        for process in (server, *server.children(recursive=True)):
            process.kill()
        eventually(lambda pid=server.pid: is_gone(pid))  # type: ignore[misc]


@pytest.fixture(scope="module")
def _apart_from_other_modules() -> Iterator[None]:
    """Let the tests of a module share a server, with which no other module begins or goes on."""
    _end_servers()
    yield
    _end_servers()


@pytest.fixture
def fake_runs(_apart_from_other_modules: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the runs of a server that is started do what their request says."""
    monkeypatch.setattr(elsewhere, "PRELOADED", [*elsewhere.PRELOADED, "tests.support.fake_runs"])
    # NOTE: it imports from here, whatever the working directory.
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))


@pytest.fixture
def own_server() -> Iterator[None]:
    """Give this test a server of its own, which is started in the environment of the test."""
    _end_servers()
    yield
    _end_servers()
