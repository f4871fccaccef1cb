"""Unit tests do not flush to disk; the tests of flushing name the flushed file, and the time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from runbook_lib.engine import elsewhere
from runbook_lib.evidence.reports import phrases
from tests.conftest import NOON
from tests.support.odd_files import Shelf, remove
from tests.support.run_process import eventually, is_gone


@pytest.fixture(autouse=True, scope="session")
def _flush_nothing() -> Iterator[None]:
    """
    Replace `fsync`, which takes most of the time of sealing and has no effect on tests.

    An invalid file descriptor still raises.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", _only_check)
        yield


@pytest.fixture(autouse=True, scope="session")
def _in_one_year() -> Iterator[None]:
    """Let readers be in the year of the tests' times, whatever year it is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(phrases, "utc_now", lambda: NOON)
        yield


def _only_check(descriptor: int) -> None:
    os.fstat(descriptor)


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelf]:
    """Return the odd folders that are slow to make, for the whole session."""
    path = tmp_path_factory.mktemp("shelf")
    yield Shelf(path)
    remove(path)


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
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))


@pytest.fixture
def own_server() -> Iterator[None]:
    """Give this test a server of its own, which is started in the environment of the test."""
    _end_servers()
    yield
    _end_servers()
