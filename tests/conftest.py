"""What every test gets: loopback only, none of the operator's own settings, a working folder."""

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

# A busy machine is no reason to fail, and fixtures here hold nothing that one example changes for
# the next.
settings.register_profile(
    "patient",
    parent=settings(),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("patient")

pytest_plugins = ["tests.support.programs"]

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def _is_allowed(address: Any) -> bool:
    if not isinstance(address, tuple):  # a socket in the file system
        return True
    try:
        return ipaddress.ip_address(address[0]).is_loopback
    except ValueError:
        return address[0] == "localhost"


@pytest.fixture(autouse=True)
def _loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse every connection of this process that would leave the machine."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if not _is_allowed(address):
            msg = f"a test wanted to connect to {address}"
            raise AssertionError(msg)
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the settings, and the JupyterLab session, of whoever runs the tests."""
    for name in list(os.environ):
        if name.startswith("RUNBOOK_") or name in ("JPY_SESSION_NAME", "NO_COLOR", "COLUMNS"):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _own_signing_key(monkeypatch: pytest.MonkeyPatch, keys_home: Path) -> None:
    """Sign with a key of the tests' own, never with that of whoever runs them."""
    monkeypatch.setenv("XDG_DATA_HOME", str(keys_home))


@pytest.fixture(autouse=True)
def _nobody_cools_down() -> None:
    """Let no test wait for what a remote system of another test asked for."""
    from runbook_lib.remote.rate_limits import SHARED  # noqa: PLC0415

    SHARED.clear()


@pytest.fixture(scope="session")
def keys_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder in which this session's signing keys are made."""
    return tmp_path_factory.mktemp("keys-home")


@pytest.fixture(scope="session")
def practice_run(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """
    Give a function that returns the one practice run of a scenario, as a `PracticeRun`.

    It takes the scenario and, for another than the documented one, the connector.
    """
    from tests.support.practice_runs import practise  # noqa: PLC0415

    base = tmp_path_factory.getbasetemp()
    # NOTE: pytest-xdist puts the folder of each of its processes into one that they share.
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
    """Give a sandbox in which everything is approved."""
    from runbook_lib.sandbox.server import Sandbox  # noqa: PLC0415

    with Sandbox("approved") as running:
        yield running
