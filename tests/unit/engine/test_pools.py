"""How many tenants a pool runs at a time."""

from __future__ import annotations

import math

import psutil
import pytest

from runbook_lib.engine.pools import available_memory, default_workers


@pytest.mark.parametrize(
    ("cores", "mebibytes", "workers"),
    [
        (1, 4_000, 4),
        (2, 4_000, 8),
        (2, 799, 7),
        (2, 0, 1),
        (64, 100_000, 16),
        (2, math.inf, 8),
    ],
)
def test_processors_memory_and_hosts_limit_the_workers(
    cores: int, mebibytes: float, workers: int
) -> None:
    """Four for each core, one for each 100 MiB that are available, at most 16, at least one."""
    assert default_workers(cores, mebibytes) == workers


def test_available_memory_is_the_systems() -> None:
    """It is a part of the machine's memory, in MiB."""
    total = psutil.virtual_memory().total / 2**20

    assert total / 100 < available_memory() < total


def test_memory_that_nobody_knows_is_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system does not say what is available, it limits nothing."""

    def read_text(*_: object, **__: object) -> str:
        raise FileNotFoundError

    monkeypatch.setattr("runbook_lib.engine.pools.Path.read_text", read_text)

    assert available_memory() == math.inf
