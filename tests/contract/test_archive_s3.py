"""The archive against a server that answers as S3 does, in a process of its own (moto's)."""

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
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from botocore.exceptions import ClientError

from runbook_lib.errors import ArchiveError, ChainError, ContentError, SettingsError
from runbook_lib.evidence.archive.archive import Archived, archive_bundle, bundles_below, fetched
from runbook_lib.evidence.archive.stores import _Bucket, _Objects, open_store
from runbook_lib.evidence.signing.keys import SigningKey, create_key, open_key
from runbook_lib.evidence.verify.chain import Verdict, verify_tree
from runbook_lib.evidence.verify.verify import Trust
from tests.conftest import NOON
from tests.unit.evidence.conftest import ended_run, seal_run

IDS = ("00000001", "00000002")
URL = "s3://evidence/partner"
PAGE = 5  # objects at a time, so that no listing here comes whole at once
SECRET = "wJalrXUtnFEMI-dummy-secret"
COPY = """
import os, signal, sys
from pathlib import Path
from runbook_lib.evidence.archive import archive, stores

make, made = stores._Objects.make, []

def kill_after(self, name, content, **options):
    if len(made) == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
    made.append(name)
    return make(self, name, content, **options)

stores._Objects.make = kill_after
archive.archive_bundle(Path(sys.argv[1]), sys.argv[2])
"""


@contextmanager
def serving(log: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Give the process of a server, all of whose state is in memory, and its address."""
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
        time.sleep(0.05)
    raise AssertionError(log.read_text())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the address of a server for all tests here."""
    with serving(tmp_path_factory.mktemp("moto") / "log") as (_process, address):
        yield address


@pytest.fixture(autouse=True)
def s3(server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Give a client of an empty store; whatever reads the environment finds that store."""
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
    """Let every client use the store at `address`, with the credentials of nobody."""
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
    """Return the key that signs here."""
    path = tmp_path_factory.mktemp("key") / "evidence.pem"
    create_key(path)
    return open_key(str(path), is_sandbox=False)


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory, key: SigningKey) -> Path:
    """Return an evidence folder with two sealed runs of one tenant, made once."""
    evidence = tmp_path_factory.mktemp("sealed") / "evidence"
    for run_id in IDS:
        seal_run(ended_run(evidence, run_id), key)
    return evidence


@pytest.fixture
def evidence(sealed: Path, tmp_path: Path) -> Iterator[Path]:
    """Give such a folder, and see that nothing in it changed, whatever the store did."""
    evidence = Path(shutil.copytree(sealed, tmp_path / "evidence"))
    yield evidence
    assert contents(evidence) == contents(sealed)


@pytest.fixture
def bundle(evidence: Path) -> Path:
    """Return the first of its bundles."""
    return bundles_below(evidence)[0]


@pytest.fixture
def trust(key: SigningKey) -> Trust:
    """Return what a verifier relies on."""
    return Trust({key.key_id: key.public})


def contents(path: Path) -> dict[str, bytes]:
    files = (file for file in path.rglob("*") if file.is_file())
    return {file.relative_to(path).as_posix(): file.read_bytes() for file in files}


def objects(prefix: str = "partner/") -> dict[str, bytes]:
    """Return what is in the bucket, as another client sees it."""
    bucket = boto3.resource("s3").Bucket("evidence")
    listed = bucket.objects.filter(Prefix=prefix)
    return {each.key.removeprefix(prefix): each.get()["Body"].read() for each in listed}


def archived_as(evidence: Path) -> dict[str, bytes]:
    """Return what an archive of `evidence` holds."""
    places = [f"acme/p/{bundle.name}/" for bundle in bundles_below(evidence)]
    return {
        name: content
        for name, content in contents(evidence).items()
        if name.startswith(("keys/", *places))
    }


def verdicts(url: str, trust: Trust) -> list[Verdict]:
    with fetched(url) as folder:
        return list(verify_tree(folder, trust))


def test_a_tenant_is_archived_and_verified_from_there(
    evidence: Path, s3: Any, trust: Trust
) -> None:
    """Byte for byte, by plain s3:// addresses."""

    done = [archive_bundle(bundle, URL) for bundle in bundles_below(evidence)]

    assert objects() == archived_as(evidence)
    assert done[0].address == f"{URL}/acme/p/{bundles_below(evidence)[0].name}"
    assert [each.present for each in done] == [0, 1]  # the key
    for url, count in ((URL, 3), (f"{URL}/acme", 3), (done[1].address, 1), ("s3://evidence", 3)):
        assert [verdict.error for verdict in verdicts(url, trust)] == [None] * count


def test_every_object_is_read_back(bundle: Path, s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that acknowledges and keeps something else is found out at once."""

    make = _Objects.make

    def alter(self: _Objects, name: str, content: bytes, **options: Any) -> bool:
        return make(self, name, content.replace(b"e", b"E"), **options)

    monkeypatch.setattr(_Objects, "make", alter)

    with pytest.raises(ArchiveError, match="returns other content"):
        archive_bundle(bundle, URL)


@pytest.mark.parametrize("number", [0, 1, 5, 10])
def test_a_copy_that_was_killed_goes_on(
    number: int, bundle: Path, s3: Any, trust: Trust, server: str
) -> None:
    """After SIGKILL at any object: no statement yet, and the next copy makes only the rest."""

    count = len(contents(bundle)) + 1
    command = [sys.executable, "-c", COPY, str(bundle), URL, str(number)]
    killed = subprocess.run(command, check=False)

    assert killed.returncode == -signal.SIGKILL
    assert len(objects()) == number
    assert not [name for name in objects() if name.endswith("statement.dsse.json")]
    assert archive_bundle(bundle, URL).copied == count - number
    assert [verdict.error for verdict in verdicts(URL, trust)] == [None] * 2


def test_half_a_copy_is_refused(bundle: Path, s3: Any, trust: Trust) -> None:
    """Nobody takes it for a whole one."""

    archive_bundle(bundle, URL)
    s3.delete_object(Bucket="evidence", Key=f"partner/acme/p/{bundle.name}/statement.dsse.json")

    (first, *_) = verdicts(f"{URL}/acme/p/{bundle.name}", trust)
    assert "statement.dsse.json: It is missing" in str(first.error)


def test_a_store_that_dies_midway_is_said_and_mended(
    bundle: Path, tmp_path: Path, trust: Trust, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The network goes down after two objects; once it is back, the copy goes on."""

    make, made = _Objects.make, []

    with serving(tmp_path / "first") as (process, address):
        point_to(address, monkeypatch)
        boto3.client("s3").create_bucket(Bucket="evidence")

        def die(self: _Objects, name: str, content: bytes, **options: Any) -> bool:
            made.append(name)
            if len(made) == 3:
                process.kill()
                process.wait()
            return make(self, name, content, **options)

        monkeypatch.setattr(_Objects, "make", die)
        with pytest.raises(ArchiveError, match="it cannot be reached") as caught:
            archive_bundle(bundle, URL)
    assert "Check the network" in caught.value.diagnostics()

    with serving(tmp_path / "second") as (_process, address):
        point_to(address, monkeypatch)
        boto3.client("s3").create_bucket(Bucket="evidence")
        archive_bundle(bundle, URL)
        assert [verdict.error for verdict in verdicts(URL, trust)] == [None] * 2


def test_nothing_is_written_over(bundle: Path, s3: Any) -> None:
    """Another content under the name is refused, by name, and stays."""

    name = f"acme/p/{bundle.name}/report.html"
    s3.put_object(Bucket="evidence", Key=f"partner/{name}", Body=b"other")

    with pytest.raises(ArchiveError, match="nothing was overwritten") as caught:
        archive_bundle(bundle, URL)

    assert caught.value.file == name
    assert objects()[name] == b"other"


@pytest.mark.parametrize("content", [b"ours", b"theirs"])
def test_the_store_itself_refuses_a_second_object(
    content: bytes, s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where both look first and then write: If-None-Match (RFC 9110 §13.1.2) decides."""

    store = open_store(URL)
    assert store.make("acme/a", b"theirs") is True

    assert store.make("acme/a", content) is False

    assert objects() == {"acme/a": b"theirs"}


def test_an_altered_object_is_refused(evidence: Path, bundle: Path, s3: Any, trust: Trust) -> None:
    """Whoever can write to the store cannot make the archive say something else."""

    for each in bundles_below(evidence):
        archive_bundle(each, URL)
    record = (bundle / "record.json").read_bytes().replace(b'"failed"', b'"passed"')
    s3.put_object(Bucket="evidence", Key=f"partner/acme/p/{bundle.name}/record.json", Body=record)

    first, second, chain = verdicts(URL, trust)
    assert "record.json: It was altered" in str(first.error)
    assert second.error is None
    assert "1 of 2 is refused" in str(chain.error)


def test_folders_that_consoles_draw_are_no_files(bundle: Path, s3: Any, trust: Trust) -> None:
    """An empty object whose name ends with a slash holds nothing, and hinders nothing."""

    s3.put_object(Bucket="evidence", Key="partner/", Body=b"")
    s3.put_object(Bucket="evidence", Key=f"partner/acme/p/{bundle.name}/", Body=b"")
    archive_bundle(bundle, URL)

    assert [verdict.error for verdict in verdicts(URL, trust)] == [None] * 2


def test_a_name_that_leads_elsewhere_is_refused(s3: Any, bundle: Path, tmp_path: Path) -> None:
    """S3 takes such names; here nothing is written under one."""

    archive_bundle(bundle, URL)
    open_store(URL).make("acme/../../../../outside.txt", b"x")

    with pytest.raises(ContentError, match="is not evidence"), fetched(URL):
        pass  # pragma: no cover


def test_pages_of_a_long_listing_are_all_read(s3: Any) -> None:
    """The store lists a few objects at a time; a folder is not one whose name begins alike."""

    names = [f"acme/{number}" for number in range(PAGE * 2 + 1)]
    for name in names:
        s3.put_object(Bucket="evidence", Key=f"partner/{name}", Body=b"x")

    sizes = dict.fromkeys(names, 1)
    assert open_store(URL).sizes() == open_store(URL).sizes("acme") == sizes
    assert open_store("s3://evidence").sizes("partner/acme") == {
        f"partner/{name}": 1 for name in names
    }
    assert open_store(URL).sizes("acm") == {}


@pytest.fixture
def locked(s3: Any) -> str:
    """Return the address of a bucket that was made with Object Lock."""
    s3.create_bucket(Bucket="locked", ObjectLockEnabledForBucket=True)
    return "s3://locked/partner"


def retain(bundle: Path, url: str, days: int, *, extends: bool = False) -> Archived:
    return archive_bundle(
        bundle, url, retention_days=days, extends_retention=extends, clock=lambda: NOON
    )


def versions() -> list[dict[str, Any]]:
    """Return the newest version of every object in the locked bucket, with its head."""
    listed = boto3.resource("s3").Bucket("locked").object_versions.all()
    return [each.head() | {"Key": each.object_key} for each in listed]


def test_what_is_retained_nobody_can_delete(
    bundle: Path, s3: Any, locked: str, trust: Trust
) -> None:
    """Every object, the key too, under COMPLIANCE: not even who may bypass GOVERNANCE."""

    archived = retain(bundle, locked, 30)

    found = versions()
    assert archived.retained_until == "2026-12-24T12:00:00Z"
    assert len(found) == archived.copied == len(contents(bundle)) + 1
    assert {each["ObjectLockMode"] for each in found} == {"COMPLIANCE"}
    assert {each["ObjectLockRetainUntilDate"] for each in found} == {NOON + timedelta(days=30)}
    for each in found:
        with pytest.raises(ClientError, match="AccessDenied"):
            s3.delete_object(
                Bucket="locked",
                Key=each["Key"],
                VersionId=each["VersionId"],
                BypassGovernanceRetention=True,
            )
    assert [verdict.error for verdict in verdicts(locked, trust)] == [None] * 2


def test_what_was_copied_without_is_retained_afterwards(bundle: Path, s3: Any, locked: str) -> None:
    """A copy that began before anybody thought of it; a date that is there stays, unless asked."""

    archive_bundle(bundle, locked)
    assert not [each for each in versions() if "ObjectLockMode" in each]

    for days, extends, expected in ((2, False, 2), (30, False, 2), (30, True, 30), (7, True, 30)):
        archived = retain(bundle, locked, days, extends=extends)
        assert archived.copied == 0
        dates = {each["ObjectLockRetainUntilDate"] for each in versions()}
        assert dates == {NOON + timedelta(days=expected)}
        assert archived.retained_until == f"{max(dates):%Y-%m-%d}T12:00:00Z"


def test_a_retention_that_somebody_may_lift_is_not_enough(
    bundle: Path, s3: Any, locked: str
) -> None:
    """GOVERNANCE, which a bucket may have by default, becomes COMPLIANCE, and no shorter."""

    s3.put_object_lock_configuration(
        Bucket="locked",
        ObjectLockConfiguration={
            "ObjectLockEnabled": "Enabled",
            "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 3650}},
        },
    )
    archive_bundle(bundle, locked)
    before = {each["Key"]: each["ObjectLockRetainUntilDate"] for each in versions()}
    assert {each["ObjectLockMode"] for each in versions()} == {"GOVERNANCE"}

    retain(bundle, locked, 30)

    assert {each["ObjectLockMode"] for each in versions()} == {"COMPLIANCE"}
    assert {each["Key"]: each["ObjectLockRetainUntilDate"] for each in versions()} == before


def test_a_bucket_without_object_lock_retains_nothing_and_says_so(bundle: Path, s3: Any) -> None:
    """Before anything is copied; also where everything is there already."""

    with pytest.raises(ArchiveError, match="no Object Lock") as caught:
        retain(bundle, URL, 30)
    assert objects() == {}
    assert "without retention" in caught.value.diagnostics()

    archive_bundle(bundle, URL)
    with pytest.raises(ArchiveError, match="no Object Lock"):
        retain(bundle, URL, 30)


def test_a_store_that_only_says_yes_to_retention_is_found_out(
    bundle: Path, locked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some that speak S3's language take the words and do nothing."""

    store = open_store(locked)
    call = store._fs.call_s3  # type: ignore[attr-defined]

    def forget(method: str, **options: Any) -> Any:
        found = call(method, **options)
        return {} if method == "head_object" else found

    monkeypatch.setattr(type(store._fs), "call_s3", staticmethod(forget))  # type: ignore[attr-defined]

    with pytest.raises(ArchiveError, match="does not show that it is retained") as caught:
        retain(bundle, locked, 30)
    assert "s3:GetObjectRetention" in caught.value.diagnostics()


def test_a_missing_bucket_is_said(bundle: Path, s3: Any) -> None:
    """When writing and when reading."""

    for attempt in attempts(bundle, "s3://nowhere/partner"):
        with pytest.raises(ArchiveError, match="no such bucket") as caught:
            attempt()
        assert "Correct the address" in caught.value.diagnostics()
        assert SECRET not in f"{caught.value}{caught.value.diagnostics()}"


def test_a_part_of_a_bucket_where_nothing_is_is_said(s3: Any) -> None:
    """A typo in the address is not an archive in order."""

    s3.put_object(Bucket="evidence", Key="partner2/acme/x", Body=b"")

    with pytest.raises(SettingsError, match=f"nothing at {URL}"), fetched(URL):
        pass  # pragma: no cover


def test_credentials_that_are_not_accepted_are_said(bundle: Path, server: str, s3: Any) -> None:
    """With where they come from, and without what they are."""

    httpx.post(f"{server}/moto-api/reset-auth", content=b"0").raise_for_status()
    try:
        for attempt in attempts(bundle, URL):
            with pytest.raises(ArchiveError, match="not accepted") as caught:
                attempt()
            said = f"{caught.value}{caught.value.diagnostics()}"
            assert "AWS_ACCESS_KEY_ID" in said
            assert SECRET not in said
            assert "AKIA" not in said
    finally:
        httpx.post(f"{server}/moto-api/reset-auth", content=b"inf").raise_for_status()


def test_missing_credentials_are_said(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is sent then."""

    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")

    for attempt in attempts(bundle, URL):
        with pytest.raises(ArchiveError, match="no credentials were found"):
            attempt()


def test_refused_access_is_said(bundle: Path, s3: Any) -> None:
    """A policy that forbids to write leaves nothing behind."""

    s3.put_bucket_policy(
        Bucket="evidence",
        Policy='{"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Principal": "*", '
        '"Action": "s3:PutObject", "Resource": "arn:aws:s3:::evidence/*"}]}',
    )

    with pytest.raises(ArchiveError, match="it refuses access") as caught:
        archive_bundle(bundle, URL)

    assert "list, read and create" in caught.value.diagnostics()


def test_a_server_that_is_down_is_said(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When writing and when reading."""

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        point_to(f"http://127.0.0.1:{free.getsockname()[1]}", monkeypatch)
        for attempt in attempts(bundle, URL):
            with pytest.raises(ArchiveError, match="it cannot be reached"):
                attempt()


def attempts(bundle: Path, url: str) -> list[Callable[[], object]]:
    """Return what an operator does with an archive: write to it, and read from it."""

    def read() -> None:
        with fetched(url):
            pass  # pragma: no cover

    return [lambda: archive_bundle(bundle, url), read]


def notes_of(url: str) -> list[str]:
    """Return what reading the archive at `url` notes."""
    notes: list[str] = []
    with fetched(url, note=notes.append):
        return notes


@pytest.fixture
def versioned(s3: Any) -> str:
    """Return the address of a bucket that keeps versions, without Object Lock."""
    s3.create_bucket(Bucket="versioned")
    s3.put_bucket_versioning(Bucket="versioned", VersioningConfiguration={"Status": "Enabled"})
    return "s3://versioned/partner"


@pytest.mark.parametrize("kind", ["locked", "versioned"])
@pytest.mark.parametrize("whole", [True, False])
def test_what_a_delete_marker_hides_is_said_and_read(
    whole: bool,
    kind: str,
    evidence: Path,
    s3: Any,
    trust: Trust,
    locked: str,
    versioned: str,
) -> None:
    """Whoever hides the last bundle of a chain, or one file of it, hides nothing."""

    url = locked if kind == "locked" else versioned
    for each in bundles_below(evidence):
        retain(each, url, 30) if kind == "locked" else archive_bundle(each, url)
    last = bundles_below(evidence)[-1]
    hidden = [f"acme/p/{last.name}/{name}" for name in contents(last)]
    hidden = hidden if whole else [f"acme/p/{last.name}/record.json"]
    for name in hidden:
        s3.delete_object(Bucket=kind, Key=f"partner/{name}")

    assert [verdict.error for verdict in verdicts(url, trust)] == [None] * 3
    assert sorted(notes_of(url)) == [
        f"{name}: a delete marker hides it; the retained version counts." for name in sorted(hidden)
    ]
    again = archive_bundle(last, url)
    assert again.copied == 0
    assert len(again.notes) == len(hidden)


def test_what_a_newer_version_covers_is_said_and_read(
    evidence: Path, s3: Any, trust: Trust, versioned: str
) -> None:
    """The version that was archived counts, not what somebody wrote over it."""

    for each in bundles_below(evidence):
        archive_bundle(each, versioned)
    name = f"acme/p/{bundles_below(evidence)[0].name}/record.json"
    for body in (b"other", b"another"):
        s3.put_object(Bucket="versioned", Key=f"partner/{name}", Body=body)

    assert [verdict.error for verdict in verdicts(versioned, trust)] == [None] * 3
    assert notes_of(versioned) == [f"{name}: newer versions (2) cover it; the oldest one counts."]


def test_the_retention_of_the_version_that_counts_is_the_one_that_is_kept(
    bundle: Path, s3: Any, locked: str
) -> None:
    """Not that of what covers it, which anybody may have written without one."""

    retain(bundle, locked, 30)
    s3.put_object(Bucket="locked", Key=f"partner/acme/p/{bundle.name}/record.json", Body=b"x")

    again = retain(bundle, locked, 60)

    assert (again.copied, again.retained_until) == (0, "2026-12-24T12:00:00Z")


def test_where_versions_cannot_be_listed_that_is_said(
    evidence: Path, s3: Any, trust: Trust, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Listing them is a permission of its own; what is shown is verified all the same."""

    for each in bundles_below(evidence):
        archive_bundle(each, URL)
    call = _Bucket._call

    def refuse(self: _Bucket, name: str, method: str, **asked: Any) -> Any:
        if method == "list_object_versions":
            raise ArchiveError("The archive: it refuses access.")
        return call(self, name, method, **asked)

    monkeypatch.setattr(_Bucket, "_call", refuse)

    assert [verdict.error for verdict in verdicts(URL, trust)] == [None] * 3
    assert ["versions cannot be listed" in note for note in notes_of(URL)] == [True]


def test_pages_of_versions_are_all_read(s3: Any, versioned: str) -> None:
    """The store lists a few at a time, also those of one object."""

    for number in range(PAGE * 2 + 1):
        s3.put_object(Bucket="versioned", Key="partner/acme/a", Body=b"x" * (number + 1))
        s3.put_object(Bucket="versioned", Key=f"partner/acme/p{number}/b", Body=b"x")
    store = open_store(versioned)

    sizes = store.sizes("acme")

    assert sizes["acme/a"] == 1
    assert len(sizes) == PAGE * 2 + 2
    assert store.read("acme/a") == b"x"
    assert store.folders("acme") == sorted(f"p{number}" for number in range(PAGE * 2 + 1))


def test_another_chain_is_refused_before_anything_is_written(
    evidence: Path, tmp_path: Path, s3: Any, key: SigningKey, trust: Trust
) -> None:
    """Two folders of one tenant, one address: the archive stays one that can be verified."""

    other = tmp_path / "other"
    for run_id in ("0000000a", "0000000b", "0000000c"):
        seal_run(ended_run(other, run_id), key)
    for each in bundles_below(evidence):
        archive_bundle(each, URL)
    before = objects()

    for each in bundles_below(other):
        with pytest.raises(ChainError, match="another chain of acme/p"):
            archive_bundle(each, URL)

    assert objects() == before
    assert [verdict.error for verdict in verdicts(URL, trust)] == [None] * 3
