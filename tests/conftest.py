"""Fixtures of all tests: loopback only, no settings of the operator, a working folder."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from xdist.workermanage import NodeManager

# A busy machine must not fail a test, and no example changes a fixture for the next one.
settings.register_profile(
    "patient",
    parent=settings(),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("patient")

# NOTE: a worker that has not ended by then is killed, and what it covered is lost.
NodeManager.EXIT_TIMEOUT = 120

pytest_plugins = [
    "tests.support.costs",
    "tests.support.leftovers",
    "tests.support.matrices",
    "tests.support.programs",
    "tests.support.scenario_table",
]

# A failed `assert` of this module shows its values, as one of a test does.
pytest.register_assert_rewrite("tests.support.wording")

# Of each folder, these begin: one that begins last keeps one process busy while the others wait.
LONGEST = (
    "test_walkthrough.py",
    "test_walkthrough_states.py",
    "test_app_access.py",
    "test_archive_s3.py",
    "test_evidence.py",
    "test_neighbours.py",
    "test_execution.py",
    "test_fleet_cluster.py",
    "test_fleet.py",
    "test_truth.py",
)

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files of each folder first."""
    folders = list(dict.fromkeys(item.path.parent for item in items))
    ranks = {name: rank for rank, name in enumerate(LONGEST)}
    items.sort(
        key=lambda item: (folders.index(item.path.parent), ranks.get(item.path.name, len(ranks)))
    )


def _is_allowed(address: Any) -> bool:
    if not isinstance(address, tuple):  # a Unix socket
        return True
    try:
        return ipaddress.ip_address(address[0]).is_loopback
    except ValueError:
        return address[0] == "localhost"


@pytest.fixture(autouse=True, scope="session")
def _apart(keys_home: Path) -> Iterator[None]:
    """
    Keep tests, and the fixtures of modules, apart from the machine and the person who runs them.

    They connect to no other machine, have none of that person's settings, JupyterLab session or
    terminal, and sign with a key of their own.
    """
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if not _is_allowed(address):
            raise AssertionError(f"a test wanted to connect to {address}")
        connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded)
        for name in list(os.environ):
            if name.startswith("RUNBOOK_") or name in ("JPY_SESSION_NAME", "NO_COLOR", "COLUMNS"):
                patch.delenv(name)
        patch.setenv("XDG_DATA_HOME", str(keys_home))
        yield


@pytest.fixture(autouse=True)
def _no_cool_downs() -> Iterator[None]:
    """Clear cool-downs, so that no test, and no fixture of a module, waits because of another."""
    from runbook_lib.remote.rate_limits import PROCESS_COOL_DOWNS  # noqa: PLC0415

    yield
    PROCESS_COOL_DOWNS._cool_downs.clear()


@pytest.fixture(scope="session")
def keys_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of this session's signing keys."""
    return tmp_path_factory.mktemp("keys-home")


@pytest.fixture(scope="session")
def practice_run(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """
    Return a function that returns the only practice run of a scenario, as a `PracticeRun`.

    It takes the scenario and, if it is not the default one, the connector.
    """
    from tests.support.practice_runs import practise  # noqa: PLC0415

    base = tmp_path_factory.getbasetemp()
    # NOTE: with pytest-xdist, the folders of the workers are in one shared folder.
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def once(scenario: str, connector: str = "facebook_marketing") -> Any:
        return practise(scenario, connector, shared / "practice" / connector / scenario)

    return once


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def sandbox() -> Iterator[Any]:
    """Return a sandbox in which everything is approved."""
    from facebook_cyclr_sandbox.server import Sandbox  # noqa: PLC0415

    with Sandbox("approved") as running:
        yield running
