"""
Kill runs and fleets at random moments, and check their remains.

    python -m tools.soak.kills [--runs 100] [--fleets 50] [--seed NUMBER]

After each SIGKILL all processes are gone within ten seconds. A fleet is then resumed: it runs the
tenants without a bundle of that run, and nothing else. After the last kill a run ends as if there
had been none, and all evidence verifies. Exit code 1 if not.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from tools.bench.fleet import _tenants, sandboxes

_MARK = "KILLS_IN"
_TENANTS = 4
_PATIENCE_SECONDS = 300
_GONE_SECONDS = 10


def main(words: Sequence[str] | None = None) -> int:
    """Kill, print the remains, and return an exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.soak.kills")
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--fleets", type=int, default=50)
    parser.add_argument("--seed", type=int, default=20261128)
    options = parser.parse_args(words)
    chance = random.Random(options.seed)
    with sandboxes(_TENANTS) as place:
        path = place.folder / "tenants.toml"
        path.write_text(_tenants(place.given, _TENANTS, place.folder), encoding="utf-8")
        kinds = (
            ("runs", options.runs, ("run", "--sandbox", "approved"), 0),
            ("fleets", options.fleets, ("fleet", str(path), "--workers", "2"), 3),
        )
        outcomes = [
            _killed(
                folder=place.folder / name,
                name=name,
                count=count,
                words=words,
                code=code,
                chance=chance,
            )
            for name, count, words, code in kinds
            if count
        ]
    return 0 if all(outcomes) else 1


def _killed(
    folder: Path, name: str, count: int, words: Sequence[str], code: int, chance: random.Random
) -> bool:
    """Kill a command so many times, after one that was left alone; return whether all is well."""
    folder.mkdir()
    began = time.monotonic()
    first = _start(folder, words).wait(_PATIENCE_SECONDS)
    latest = time.monotonic() - began
    under_way = 0
    left = Counter[str]()
    again = Counter[int]()
    repeated = 0
    for _ in range(count):
        before = _fleets(folder)
        process = _start(folder, words)
        with suppress(subprocess.TimeoutExpired):
            process.wait(chance.uniform(0, latest))
        under_way += process.poll() is None
        process.kill()
        process.wait()
        end = time.monotonic() + _GONE_SECONDS
        while (alive := _alive(folder)) and time.monotonic() < end:
            time.sleep(0.1)
        left.update(alive.values())
        for pid in alive:
            os.kill(pid, signal.SIGKILL)
        if name == "fleets":
            resuming = [("--resume", begun[-8:]) for begun in _fleets(folder) - before]
            (options,) = resuming or [()]
            again[_start(folder, (*words, *options)).wait(_PATIENCE_SECONDS)] += 1
            (fleet_id,) = [begun[-8:] for begun in _fleets(folder) - before]
            sealed = _sealed(folder, fleet_id)
            repeated += sealed != dict.fromkeys(sealed, 1) or len(sealed) != _TENANTS
    if name == "runs":
        again[_start(folder, words).wait(_PATIENCE_SECONDS)] += 1
    check = ("verify", str(folder / "evidence"), "--trusted-keys", str(folder / "evidence/keys"))
    if name == "fleets":
        check = (*check, "--tenants", words[1])
    verified = _start(folder, check, evidence=False).wait(_PATIENCE_SECONDS)
    halves = len(list((folder / "evidence").rglob(".draft-*")))
    print(  # noqa: T201
        f"{name}: {count} kills, {under_way} under way; processes left {dict(left)}; exit codes "
        f"{first} before, {dict(again)} after; verify {verified}; half bundles {halves}; "
        f"not run exactly once {repeated}",
        flush=True,
    )
    is_clean = not (left or halves or repeated)
    return is_clean and (first, verified) == (code, 0) and set(again) == {code}


def _fleets(folder: Path) -> set[str]:
    """Return the names of the folders of the fleets' runs; each ends with the run's id."""
    return {path.name for path in (folder / "evidence/fleet").glob("*Z-*")}


def _sealed(folder: Path, fleet_id: str) -> Counter[str]:
    """Return the number of bundles that each tenant has of a fleet's run."""
    counts = Counter[str]()
    for path in (folder / "evidence").glob("*/*/2*/record.json"):
        record = json.loads(path.read_bytes())
        if record["fleet_run"] and record["fleet_run"]["id"] == fleet_id:
            counts[record["tenant"]] += 1
    return counts


def _start(folder: Path, words: Sequence[str], *, evidence: bool = True) -> subprocess.Popen[bytes]:
    """Start `runbook` in `folder`, by which each process of it is known."""
    own = {name: text for name, text in os.environ.items() if not name.startswith("RUNBOOK_")}
    where = ("--evidence", str(folder / "evidence")) if evidence else ()
    return subprocess.Popen(
        [sys.executable, "-m", "runbook_lib", *words, *where],
        env={**own, _MARK: str(folder), "XDG_DATA_HOME": str(folder / "home")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _alive(folder: Path) -> dict[int, str]:
    """Return the running commands in `folder`: the end of each command line."""
    alive = {}
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            is_of_it = process.environ().get(_MARK) == str(folder)
            if is_of_it and process.status() != psutil.STATUS_ZOMBIE:
                alive[process.pid] = " ".join(process.cmdline())[-60:]
    return alive


if __name__ == "__main__":
    sys.exit(main())
