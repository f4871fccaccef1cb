"""Fleets that are killed at random moments, and resumed."""

from __future__ import annotations

import random
import subprocess
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.runs.conftest import command, environment, records, runbook

_TENANTS = ("a", "b", "c")
_PATIENCE_SECONDS = 120
_GONE_SECONDS = 10
_KILLS = 3
_LONGEST_SECONDS = 8
# A variable by which each process of a fleet is known.
_MARK = "KILLED_FLEET"


def processes_of(folder: Path) -> list[psutil.Process]:
    """Return the running processes of fleets in `folder`."""
    running = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            is_of_it = process.environ().get(_MARK) == str(folder)
            if is_of_it and process.status() != psutil.STATUS_ZOMBIE:
                running.append(process)
    return running


def fleet_runs(folder: Path) -> set[str]:
    """Return the ids of the fleet's runs."""
    return {path.name[-8:] for path in (folder / "evidence/fleet").glob("*Z-*")}


def kill_after(seconds: float, words: tuple[str, ...], folder: Path) -> None:
    """Start a fleet, and kill it; all its processes are gone within ten seconds."""
    fleet = subprocess.Popen(
        command(*words),
        env=environment(**{_MARK: str(folder)}),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    with suppress(subprocess.TimeoutExpired):
        fleet.wait(seconds)
    fleet.kill()
    fleet.wait()
    end = time.monotonic() + _GONE_SECONDS
    while processes_of(folder) and time.monotonic() < end:
        time.sleep(0.1)  # other processes end by themselves
    assert processes_of(folder) == []


@pytest.mark.costly("three fleets are killed and resumed")
def test_a_killed_fleet_leaves_no_half_bundle_and_resumes_exactly(
    tmp_path: Path, env_file: Path
) -> None:
    """
    Whenever a fleet is killed no process of it is left, and no half bundle.

    Resuming it seals one bundle for each tenant that had none, and no other; all verifies.
    """
    file = tmp_path / "tenants.toml"
    file.write_text("".join(f'[[tenant]]\ntenant = "{name}"\n' for name in _TENANTS))
    evidence = tmp_path / "evidence"
    words = ("fleet", str(file), "--workers", "2", "--yes", "--env-file", str(env_file))
    words = (*words, "--evidence", str(evidence))
    chance = random.Random(20261202)
    for _ in range(_KILLS):
        before = fleet_runs(tmp_path)
        kill_after(chance.uniform(1, _LONGEST_SECONDS), words, tmp_path)
        resuming = [("--resume", run) for run in fleet_runs(tmp_path) - before]
        done = runbook(*words, *(resuming[0] if resuming else ()))
        assert done.returncode in (0, 3), done.stderr
        (run,) = fleet_runs(tmp_path) - before
        sealed = Counter(
            record["tenant"]
            for record in records(evidence)
            if record["fleet_run"] and record["fleet_run"]["id"] == run
        )
        assert sealed == dict.fromkeys(_TENANTS, 1)

    assert list(evidence.rglob(".draft-*")) == []
    keys = ("--trusted-keys", str(evidence / "keys"))
    verified = runbook("verify", str(evidence), *keys, "--tenants", str(file))
    assert verified.returncode == 0, verified.stdout
