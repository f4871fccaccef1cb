"""An archive that goes silent, drips or breaks off: it is said, and the next call goes on."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from runbook_lib.errors import ExitCode, StoreUnavailableError
from runbook_lib.evidence.archive.archive import archive_bundle, bundles_below, fetched
from runbook_lib.evidence.archive.stores import Folder, Limits
from runbook_lib.evidence.signing.keys import create_key, open_key
from tests.support.silent_store import SilentStore, silent_store
from tests.unit.evidence.conftest import ended_run, seal_run

URL = "s3://bucket/evidence"
# Three attempts of a second each take three seconds; a busy machine may take longer.
SOON = 30


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an evidence folder with two sealed runs of one tenant, made once."""
    path = tmp_path_factory.mktemp("key") / "evidence.pem"
    create_key(path)
    evidence = tmp_path_factory.mktemp("sealed") / "evidence"
    for run_id in ("00000001", "00000002"):
        seal_run(ended_run(evidence, run_id), open_key(str(path), is_sandbox=False))
    return evidence


@pytest.fixture
def evidence(sealed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sealed, tmp_path / "evidence"))


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[SilentStore]:
    """Give a store that behaves, for now; whatever reads the environment finds it."""
    with silent_store() as store:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            monkeypatch.delenv(name)
        point_to(store.address, monkeypatch)
        yield store


def point_to(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "ENDPOINT_URL_S3": address,
        "ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
        "SECRET_ACCESS_KEY": "dummy",
        "DEFAULT_REGION": "us-east-1",
        "EC2_METADATA_DISABLED": "true",
        "CONFIG_FILE": os.devnull,
        "SHARED_CREDENTIALS_FILE": os.devnull,
    }.items():
        monkeypatch.setenv(f"AWS_{name}", value)


def runbook(*words: str) -> tuple[subprocess.CompletedProcess[str], float]:
    """Return what the command did in a process of its own, and how long that took."""
    begun = time.monotonic()
    command = [sys.executable, "-m", "runbook_lib", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    return done, time.monotonic() - begun


def test_the_store_behaves_until_it_is_told_otherwise(evidence: Path, store: SilentStore) -> None:
    """Else nothing here would say anything about silence."""

    for bundle in bundles_below(evidence):
        archive_bundle(bundle, URL)

    with fetched(URL) as folder:
        assert len(bundles_below(folder)) == 2


@pytest.mark.parametrize(
    ("mode", "on", "after"),
    [
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
    ],
)
def test_a_store_that_goes_silent_ends_the_command_soon(
    mode: str, on: str, after: int, evidence: Path, store: SilentStore
) -> None:
    """Exit code 3, each retry is said, what is not there is named, and the next call goes on."""

    store.misbehave(mode, on, after=after)

    words = ("archive", str(evidence), "--to", URL, "--archive-seconds", "1")
    done, seconds = runbook(*words, "--json")

    assert done.returncode == ExitCode.INCOMPLETE, done.stderr
    assert seconds < SOON
    documents = [json.loads(line) for line in done.stdout.splitlines()]
    assert [each["outcome"] for each in documents] == ["refused", "not_tried"]
    assert done.stderr.count("Trying again") == 2
    assert "Traceback" not in done.stderr

    there = len(store.objects)
    store.misbehave("", "")
    done, _ = runbook(*words, "--json")

    assert done.returncode == ExitCode.COMPLETE, done.stderr
    documents = [json.loads(line) for line in done.stdout.splitlines()]
    assert [each["archived"] for each in documents] == [True, True]
    assert sum(each["copied"] for each in documents) + there == len(store.objects)


def test_one_bundle_that_is_there_is_said_before_the_silence(
    evidence: Path, store: SilentStore
) -> None:
    """What is there, what is not; in words, for a person."""

    first, second = bundles_below(evidence)
    count = archive_bundle(first, URL).copied
    store.misbehave("silent", "PUT")

    done, _ = runbook("archive", str(evidence), "--to", URL, "--archive-seconds", "1")

    assert done.returncode == ExitCode.INCOMPLETE
    assert done.stdout.splitlines()[0].endswith(f"{first.name}: 0 new, {count} were there")
    assert f"✘ {second.name}: acme/p/{second.name}/" in done.stdout
    assert "did not answer within" in done.stdout
    assert "goes on where it stopped" in done.stderr


@pytest.mark.parametrize(
    ("mode", "on", "after"), [("silent", "GET", 3), ("drip", "GET", 3), ("silent", "LIST", 0)]
)
def test_verify_ends_soon_too(
    mode: str, on: str, after: int, evidence: Path, store: SilentStore
) -> None:
    """What an archive does not give back in time is not verified, and that is said."""

    for bundle in bundles_below(evidence):
        archive_bundle(bundle, URL)
    store.misbehave(mode, on, after=after)
    keys = ("--trusted-keys", str(evidence / "keys"))

    done, seconds = runbook("verify", URL, *keys, "--archive-seconds", "1")

    assert done.returncode == ExitCode.INCOMPLETE, done.stdout
    assert seconds < SOON
    assert "did not answer within" in done.stderr or "cannot be reached" in done.stderr


def test_a_refused_connection_is_said_soon(
    evidence: Path, store: SilentStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody listens there."""

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        point_to(f"http://127.0.0.1:{free.getsockname()[1]}", monkeypatch)
        done, seconds = runbook("archive", str(evidence), "--to", URL, "--archive-seconds", "5")

    assert done.returncode == ExitCode.INCOMPLETE
    assert seconds < SOON
    assert "it cannot be reached" in done.stdout
    assert "not tried" in done.stdout


def test_a_drive_that_hangs_is_left_alone(
    evidence: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder too may be on a network that is gone."""

    said: list[str] = []
    monkeypatch.setattr(Folder, "_make", lambda *_: time.sleep(5))

    with pytest.raises(StoreUnavailableError, match="did not answer within"):
        archive_bundle(
            bundles_below(evidence)[0],
            str(tmp_path / "drive"),
            limits=Limits(0.2, retries=1, say=said.append),
        )

    assert len(said) == 1
    assert "Trying again" in said[0]


def test_large_files_may_take_longer() -> None:
    """A slow line is not a silent one."""

    assert Limits(60).deadline(0) == 60
    assert Limits(60).deadline(50 * 2**20) > 600
