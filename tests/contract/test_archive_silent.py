"""An archive that stops answering is reported in time, and the next call continues."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from runbook_lib.errors import ExitCode, StoreUnavailableError
from runbook_lib.evidence.archive.archive import fetch_evidence
from runbook_lib.evidence.archive.stores import Store
from tests.support.bundles import archive, bundles_below
from tests.support.silent_store import SilentStore, silent_store
from tests.support.wording import refused, wording
from tests.unit.evidence.conftest import new_key, sealed_evidence

URL = "s3://bucket/evidence"
# Three attempts of one second each take some seconds; a command that waits takes longer than this.
_PATIENCE_SECONDS = 240
AT_ONCE = 4


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an evidence folder with two sealed runs of one tenant, made once per module."""
    key = new_key(tmp_path_factory.mktemp("key") / "evidence.pem")
    return sealed_evidence(tmp_path_factory.mktemp("sealed"), key)


@pytest.fixture
def evidence(sealed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sealed, tmp_path / "evidence"))


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[SilentStore]:
    """Return a store that works, which the environment names."""
    with silent_store() as store:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            monkeypatch.delenv(name)
        point_to(store.address, monkeypatch)
        yield store


def point_to(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in variables_of(address).items():
        monkeypatch.setenv(name, value)


def variables_of(address: str) -> dict[str, str]:
    """Return the variables that lead an S3 client to the store at `address`."""
    variables = {
        "ENDPOINT_URL_S3": address,
        "ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
        "SECRET_ACCESS_KEY": "dummy",
        "DEFAULT_REGION": "us-east-1",
        "EC2_METADATA_DISABLED": "true",
        "CONFIG_FILE": os.devnull,
        "SHARED_CREDENTIALS_FILE": os.devnull,
    }
    return {f"AWS_{name}": value for name, value in variables.items()}


def runbook(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """
    Return the result of the command in another process.

    NOTE: the store stays silent for good, so a command that ends has stopped waiting for it.
    """
    return subprocess.run(
        [sys.executable, "-m", "runbook_lib", *words],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=_PATIENCE_SECONDS,
        check=False,
    )


@dataclass(frozen=True)
class Archived:
    """The results of two calls of `archive`: one with a failing store, then one with it working."""

    done: subprocess.CompletedProcess[str]
    again: subprocess.CompletedProcess[str]
    names: set[str]


def archive_twice(evidence: Path, mode: str, on: str, after: int) -> Archived:
    words = ("archive", str(evidence), "--to", URL, "--archive-seconds", "1", "--json")
    with silent_store() as store:
        variables = variables_of(store.address)
        store.misbehave(mode, on, after=after)
        done = runbook(*words, **variables)
        store.misbehave("", "")
        again = runbook(*words, **variables)
        return Archived(done, again, {name.rpartition("/")[2] for name in store.objects})


def verify_once(evidence: Path, mode: str, on: str, after: int) -> subprocess.CompletedProcess[str]:
    """Return the result of `verify` with a store that fails after everything is in it."""
    with silent_store() as store:
        variables = variables_of(store.address)
        runbook("archive", str(evidence), "--to", URL, **variables)
        store.misbehave(mode, on, after=after)
        keys = ("--trusted-keys", str(evidence / "keys"))
        return runbook("verify", URL, *keys, "--archive-seconds", "1", **variables)


ARCHIVED = (
    ("silent", "PUT", 0),
    ("silent", "PUT", 7),
    ("silent", "GET", 0),
    ("silent", "GET", 5),
    ("silent", "LIST", 0),
    ("drip", "GET", 0),
    ("drip", "LIST", 0),
    ("drip", "PUT", 3),
    ("cut", "PUT", 0),
    ("cut", "GET", 2),
)
VERIFIED = (("silent", "GET", 3), ("drip", "GET", 3), ("silent", "LIST", 0))


@pytest.fixture(scope="module")
def under_way(sealed: Path, request: pytest.FixtureRequest) -> Iterator[dict[Any, Future[Any]]]:
    """Run the commands with failing stores in parallel, since they mostly wait."""
    calls = [getattr(item, "callspec", None) for item in request.session.items]
    asked = {call.params["way"] for call in calls if call and "way" in call.params}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {
            (command, *way): pool.submit(begin, sealed, *way)
            for command, begin, ways in (
                ("archive", archive_twice, ARCHIVED),
                ("verify", verify_once, VERIFIED),
            )
            for way in ways
            if way in asked
        }


def test_the_store_works_without_a_fault(evidence: Path, store: SilentStore) -> None:
    """Without a fault, the store works; otherwise the other tests would prove nothing."""
    archive(evidence, URL)

    with fetch_evidence(Store(URL)) as folder:
        assert len(bundles_below(folder)) == 2


@pytest.mark.matrix(4)
@pytest.mark.parametrize("way", ARCHIVED, ids=lambda way: "-".join(map(str, way)))
def test_a_store_that_goes_silent_ends_the_command_soon(
    way: tuple[str, str, int], under_way: dict[Any, Future[Any]]
) -> None:
    """
    The command ends in time with exit code 3, reports each retry, and the next call continues.
    """
    seen: Archived = under_way["archive", *way].result()

    assert seen.done.returncode == ExitCode.INCOMPLETE, seen.done.stderr
    documents = [json.loads(line) for line in seen.done.stdout.splitlines()]
    assert documents[-1]["outcome"] == "refused"
    tries = re.findall(r"Trying again \((\d) left\)", seen.done.stderr)
    # NOTE: on a busy machine an earlier request may have been slow, too.
    assert tries[-2:] == ["2", "1"]
    assert "Traceback" not in seen.done.stderr

    assert seen.again.returncode == ExitCode.COMPLETE, seen.again.stderr
    documents = [json.loads(line) for line in seen.again.stdout.splitlines()]
    assert [document["outcome"] for document in documents] == ["archived", "archived"]
    assert "statement.dsse.json" in seen.names


def test_bundles_are_reported_before_the_store_fails(evidence: Path, store: SilentStore) -> None:
    """The bundles that are archived and those that are not are both reported."""
    first, second = bundles_below(evidence)
    archive(first, URL)
    store.misbehave("silent", "PUT")

    done = runbook("archive", str(evidence), "--to", URL, "--archive-seconds", "1")

    assert done.returncode == ExitCode.INCOMPLETE
    assert done.stdout.splitlines()[0] == f"✔ {URL}/acme/p/{first.name}"
    assert f"✘ {second.name}: acme/p/{second.name}/" in done.stdout
    assert "TimeoutError" in done.stdout
    assert wording("advice.archive-resumes-here") in done.stderr


@pytest.mark.parametrize("way", VERIFIED, ids=lambda way: "-".join(map(str, way)))
def test_verify_ends_soon_too(way: tuple[str, str, int], under_way: dict[Any, Future[Any]]) -> None:
    """`verify` ends in time with exit code 3 if the archive does not respond."""
    done = under_way["verify", *way].result()

    assert done.returncode == ExitCode.INCOMPLETE, done.stdout
    assert URL in done.stderr


def test_a_refused_connection_is_reported_soon(
    evidence: Path, store: SilentStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refused connection is reported."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        point_to(f"http://127.0.0.1:{free.getsockname()[1]}", monkeypatch)
        done = runbook("archive", str(evidence), "--to", URL, "--archive-seconds", "5")

    assert done.returncode == ExitCode.INCOMPLETE
    assert URL in done.stdout


def test_a_hanging_drive_is_abandoned(
    evidence: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that does not respond, as on a network drive, is abandoned after the retries."""
    said: list[str] = []
    ends = threading.Event()
    monkeypatch.setattr(os, "fsync", lambda _descriptor: ends.wait(60))

    drive = tmp_path / "drive"
    with refused(StoreUnavailableError, "silent", url=drive, seconds=0):
        archive(bundles_below(evidence)[0], str(drive), seconds=0.2, say=said.append)

    ends.set()
    assert len(said) == 2
    assert "Trying again" in said[0]
