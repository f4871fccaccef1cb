"""The archive with a server that imitates S3, in its own process (moto)."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from fsspec.implementations.dirfs import DirFileSystem

from runbook_lib.errors import (
    ArchiveError,
    ChainError,
    ContentError,
    RunbookError,
    SettingsError,
    StoreUnavailableError,
)
from runbook_lib.evidence.archive.archive import fetch_evidence
from runbook_lib.evidence.archive.stores import Store
from runbook_lib.evidence.signing.keys import SigningKey
from runbook_lib.evidence.verify.signed_files import TrustAnchors
from runbook_lib.evidence.verify.tree import verify_tree
from runbook_lib.evidence.verify.verify import Verdict
from tests.support.bundles import archive, bundles_below
from tests.support.wording import refused, refused_naming, wording
from tests.unit.evidence.conftest import ended_run, new_key, seal_run, sealed_evidence

URL = "s3://evidence/partner"
PAGE = 7  # objects per page, so that every listing here has several pages
SECRET = "wJalrXUtnFEMI-dummy-secret"
COPY = """
import os, signal, sys
from pathlib import Path
from runbook_lib.evidence.archive.stores import Store
from tests.support.bundles import archive

make = Store.make
made = []

def kill_after(self, name, content):
    if len(made) == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
    made.append(name)
    make(self, name, content)

Store.make = kill_after
archive(Path(sys.argv[1]), sys.argv[2])
"""


@contextmanager
def serving(log: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Yield the process of a server, whose state is in memory, and its address."""
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    environment = {**os.environ, "MOTO_S3_DEFAULT_MAX_KEYS": str(PAGE)}
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, env=environment)
    try:
        yield process, _address(process, log)
    finally:
        process.kill()
        process.wait()


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        found = re.search(r"Running on (http://127\.0\.0\.1:\d+)", log.read_text())
        if found:
            return found[1]
        # Another process writes the log.
        time.sleep(0.05)
    raise AssertionError(log.read_text())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the address of a server for all tests here."""
    with serving(tmp_path_factory.mktemp("moto") / "log") as (_process, address):
        yield address


@pytest.fixture(autouse=True)
def s3(server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Return a client of an empty store, which the environment names."""
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    point_to(server, monkeypatch)
    httpx.post(f"{server}/moto-api/reset").raise_for_status()
    client = boto3.client("s3")
    client.create_bucket(Bucket="evidence")
    yield client
    client.close()


def point_to(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every client use the store at `address`, with invented credentials."""
    for name, value in {
        "ENDPOINT_URL_S3": address,
        "ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
        "SECRET_ACCESS_KEY": SECRET,
        "DEFAULT_REGION": "us-east-1",
        "EC2_METADATA_DISABLED": "true",
        "CONFIG_FILE": os.devnull,
        "SHARED_CREDENTIALS_FILE": os.devnull,
        "MAX_ATTEMPTS": "1",
    }.items():
        monkeypatch.setenv(f"AWS_{name}", value)


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> SigningKey:
    """Return the signing key."""
    return new_key(tmp_path_factory.mktemp("key") / "evidence.pem")


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory, key: SigningKey) -> Path:
    """Return an evidence folder with two sealed runs of one tenant, made once per module."""
    return sealed_evidence(tmp_path_factory.mktemp("sealed"), key)


@pytest.fixture
def evidence(sealed: Path, tmp_path: Path) -> Iterator[Path]:
    """Return a copy of it; assert at the end that nothing in it has changed."""
    evidence = Path(shutil.copytree(sealed, tmp_path / "evidence"))
    yield evidence
    assert contents(evidence) == contents(sealed)


@pytest.fixture
def bundle(evidence: Path) -> Path:
    """Return the first of its bundles."""
    return bundles_below(evidence)[0]


@pytest.fixture
def trust(key: SigningKey) -> TrustAnchors:
    """Return the verifier's trust: the signing key."""
    return TrustAnchors({key.key_id: key.public})


def contents(path: Path) -> dict[str, bytes]:
    files = (file for file in path.rglob("*") if file.is_file())
    return {file.relative_to(path).as_posix(): file.read_bytes() for file in files}


def objects(prefix: str = "partner/") -> dict[str, bytes]:
    """Return the objects in the bucket, as another client sees them."""
    bucket = boto3.resource("s3").Bucket("evidence")
    listed = bucket.objects.filter(Prefix=prefix)
    return {item.key.removeprefix(prefix): item.get()["Body"].read() for item in listed}


def archived_as(evidence: Path) -> dict[str, bytes]:
    """Return the objects that an archive of `evidence` must have."""
    places = [f"acme/p/{bundle.name}/" for bundle in bundles_below(evidence)]
    return {
        name: content
        for name, content in contents(evidence).items()
        if name.startswith(("keys/", *places))
    }


def verdicts(url: str, trust: TrustAnchors) -> list[Verdict]:
    with fetch_evidence(Store(url)) as folder:
        return list(verify_tree(folder, trust))


def test_a_tenant_is_archived_and_verified_from_there(
    evidence: Path, s3: Any, trust: TrustAnchors
) -> None:
    """A tenant is archived byte for byte and verified by its s3:// address."""
    first, second = archive(evidence, URL)

    assert objects() == archived_as(evidence)
    assert first == f"{URL}/acme/p/{bundles_below(evidence)[0].name}"
    for url, count in ((URL, 3), (f"{URL}/acme", 3), (second, 1), ("s3://evidence", 3)):
        assert [verdict.error for verdict in verdicts(url, trust)] == [None] * count


def test_every_object_is_read_back(bundle: Path, s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that returned content that differs than was written is detected at once."""
    make = Store.make

    def alter(self: Store, name: str, content: bytes) -> None:
        make(self, name, content.replace(b"e", b"E"))

    monkeypatch.setattr(Store, "make", alter)

    with refused(ArchiveError, "not-overwritten"):
        archive(bundle, URL)


@pytest.mark.matrix(1)
@pytest.mark.parametrize("number", [0, 1, 4, 7])
def test_a_killed_copy_is_resumed(
    number: int, bundle: Path, s3: Any, trust: TrustAnchors, server: str
) -> None:
    """
    A copy killed at any object has no statement yet; the next one writes only the missing objects.
    """
    count = len(contents(bundle)) + 1
    command = [sys.executable, "-c", COPY, str(bundle), URL, str(number)]
    killed = subprocess.run(command, check=False)

    assert killed.returncode == -signal.SIGKILL
    assert len(objects()) == number
    assert not [name for name in objects() if name.endswith("statement.dsse.json")]
    archive(bundle, URL)
    assert len(objects()) == count
    assert [verdict.error for verdict in verdicts(URL, trust)] == [None] * 2


def test_half_a_copy_is_refused(bundle: Path, s3: Any, trust: TrustAnchors) -> None:
    """An incomplete copy is rejected."""
    archive(bundle, URL)
    s3.delete_object(Bucket="evidence", Key=f"partner/acme/p/{bundle.name}/statement.dsse.json")

    (first, *_) = verdicts(f"{URL}/acme/p/{bundle.name}", trust)
    assert isinstance(first.error, ContentError)
    assert first.error.file == "statement.dsse.json"


def test_a_store_that_fails_midway_is_reported(
    bundle: Path, tmp_path: Path, trust: TrustAnchors, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A store that fails during the copy is reported; once it is back, the bundle can be archived.
    """
    make = Store.make
    made = []

    with serving(tmp_path / "first") as (process, address):
        point_to(address, monkeypatch)
        boto3.client("s3").create_bucket(Bucket="evidence")

        def die(self: Store, name: str, content: bytes) -> None:
            made.append(name)
            if len(made) == 3:
                process.kill()
                process.wait()
            make(self, name, content)

        monkeypatch.setattr(Store, "make", die)
        with pytest.raises(StoreUnavailableError) as caught:
            archive(bundle, URL, seconds=5)
    assert wording("advice.archive-resumes-here") in caught.value.diagnostics()

    with serving(tmp_path / "second") as (_process, address):
        point_to(address, monkeypatch)
        boto3.client("s3").create_bucket(Bucket="evidence")
        archive(bundle, URL)
        assert [verdict.error for verdict in verdicts(URL, trust)] == [None] * 2


def test_nothing_is_overwritten(bundle: Path, s3: Any) -> None:
    """An object of that name with other content is refused by name and stays."""
    name = f"acme/p/{bundle.name}/report.html"
    s3.put_object(Bucket="evidence", Key=f"partner/{name}", Body=b"other")

    with refused(ArchiveError, "not-overwritten") as caught:
        archive(bundle, URL)

    assert caught.value.file == name
    assert objects()[name] == b"other"


def test_the_store_itself_refuses_a_second_object(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The store refuses to overwrite an object by If-None-Match (RFC 9110 §13.1.2), also in a race.
    """
    said: list[str] = []
    store = Store(URL, say=said.append)
    exists = DirFileSystem.exists

    def lose(self: DirFileSystem, name: str) -> bool:
        if exists(self, name):
            return True
        s3.put_object(Bucket="evidence", Key=f"partner/{name}", Body=b"theirs")
        return False

    monkeypatch.setattr(DirFileSystem, "exists", lose)
    store.make("acme/a", b"ours")

    assert objects() == {"acme/a": b"theirs"}
    assert len(said) == 1


def test_an_altered_object_is_refused(
    evidence: Path, bundle: Path, s3: Any, trust: TrustAnchors
) -> None:
    """An object altered in the store is rejected."""
    archive(evidence, URL)
    record = (bundle / "record.json").read_bytes().replace(b'"failed"', b'"passed"')
    s3.put_object(Bucket="evidence", Key=f"partner/acme/p/{bundle.name}/record.json", Body=record)

    first, second, chain = verdicts(URL, trust)
    assert isinstance(first.error, ContentError)
    assert first.error.file == "record.json"
    assert second.error is None
    not_complete = wording("journal-chain-broken.not-complete", refused=1, count=2)
    assert not_complete in str(chain.error)


def test_folder_markers_are_ignored(bundle: Path, s3: Any, trust: TrustAnchors) -> None:
    """An empty object whose name ends with a slash, as consoles create it, is ignored."""
    s3.put_object(Bucket="evidence", Key="partner/", Body=b"")
    s3.put_object(Bucket="evidence", Key=f"partner/acme/p/{bundle.name}/", Body=b"")
    archive(bundle, URL)

    assert [verdict.error for verdict in verdicts(URL, trust)] == [None] * 2


def test_a_name_with_parent_folders_is_refused(s3: Any, bundle: Path, tmp_path: Path) -> None:
    """An object name that leads out of the folder is refused, and no file is written for it."""
    archive(bundle, URL)
    Store(URL).make("acme/../../../../outside.txt", b"x")

    with refused(ContentError, "object-not-evidence", size=1), fetch_evidence(Store(URL)):
        pass  # pragma: no cover


def test_pages_of_a_long_listing_are_all_read(s3: Any) -> None:
    """All pages of a listing are read; a prefix matches whole folder names only."""
    names = [f"acme/{number}" for number in range(PAGE * 2 + 1)]
    for name in names:
        s3.put_object(Bucket="evidence", Key=f"partner/{name}", Body=b"x")

    sizes = dict.fromkeys(names, 1)
    assert Store(URL).sizes() == Store(URL).sizes("acme") == sizes
    assert Store("s3://evidence").sizes("partner/acme") == {f"partner/{name}": 1 for name in names}
    assert Store(URL).sizes("acm") == {}


def test_a_missing_bucket_is_reported(bundle: Path, s3: Any) -> None:
    """A missing bucket is reported, both when writing and when reading."""
    for attempt in attempts(bundle, "s3://nowhere/partner"):
        with pytest.raises(RunbookError) as caught:
            attempt()
        assert SECRET not in f"{caught.value}{caught.value.diagnostics()}"


def test_an_address_without_objects_is_an_error(s3: Any) -> None:
    """An address without objects raises `SettingsError`."""
    s3.put_object(Bucket="evidence", Key="partner2/acme/x", Body=b"")

    with refused_naming(SettingsError, URL), fetch_evidence(Store(URL)):
        pass  # pragma: no cover


def test_rejected_credentials_are_reported(bundle: Path, server: str, s3: Any) -> None:
    """Rejected credentials are reported by their source, without their value."""
    httpx.post(f"{server}/moto-api/reset-auth", content=b"0").raise_for_status()
    try:
        for attempt in attempts(bundle, URL):
            with pytest.raises(ArchiveError) as caught:
                attempt()
            said = f"{caught.value}{caught.value.diagnostics()}"
            assert SECRET not in said
            assert "AKIA" not in said
    finally:
        httpx.post(f"{server}/moto-api/reset-auth", content=b"inf").raise_for_status()


def test_missing_credentials_are_reported(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Missing credentials are reported."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")

    for attempt in attempts(bundle, URL):
        with refused_naming(StoreUnavailableError, "NoCredentialsError"):
            attempt()


def test_denied_access_is_reported(bundle: Path, s3: Any) -> None:
    """A policy that denies writing is reported with the rights that are needed."""
    s3.put_bucket_policy(
        Bucket="evidence",
        Policy='{"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Principal": "*", '
        '"Action": "s3:PutObject", "Resource": "arn:aws:s3:::evidence/*"}]}',
    )

    with refused_naming(ArchiveError, "PermissionError"):
        archive(bundle, URL)


def test_an_unreachable_server_is_reported(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unreachable server is reported, both when writing and when reading."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        point_to(f"http://127.0.0.1:{free.getsockname()[1]}", monkeypatch)
        for attempt in attempts(bundle, URL):
            with pytest.raises(StoreUnavailableError):
                attempt()


def attempts(bundle: Path, url: str) -> list[Callable[[], object]]:
    """Return the two operations on an archive: writing to it and reading from it."""

    def read() -> None:
        with fetch_evidence(Store(url, seconds=5)):
            pass  # pragma: no cover

    return [lambda: archive(bundle, url, seconds=5), read]


def test_another_chain_is_refused_before_anything_is_written(
    evidence: Path, tmp_path: Path, s3: Any, key: SigningKey, trust: TrustAnchors
) -> None:
    """Bundles of another chain of the same tenant are refused, and the archive stays verifiable."""
    other = tmp_path / "other"
    for run_id in ("0000000a", "0000000b", "0000000c"):
        seal_run(ended_run(other, run_id), key)
    archive(evidence, URL)
    before = objects()

    for folder in bundles_below(other):
        with refused(ChainError, "another-chain", name="acme/p"):
            archive(folder, URL)

    assert objects() == before
    assert [verdict.error for verdict in verdicts(URL, trust)] == [None] * 3
