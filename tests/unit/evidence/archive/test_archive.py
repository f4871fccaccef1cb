"""An archive takes sealed bundles as they are, once, and gives them back to be verified."""

from __future__ import annotations

import errno
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import astuple
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from runbook_lib.config import formats
from runbook_lib.errors import (
    ArchiveError,
    ChainError,
    ContentError,
    EvidenceError,
    ExitCode,
    SettingsError,
)
from runbook_lib.evidence.archive import archive, stores
from runbook_lib.evidence.archive.archive import (
    archive_bundle,
    bundles_below,
    check_archive,
    fetched,
)
from runbook_lib.evidence.archive.stores import Folder
from runbook_lib.evidence.signing.keys import SigningKey, create_key, open_key
from runbook_lib.evidence.signing.succession import hand_over
from runbook_lib.evidence.verify.chain import verify_tree
from runbook_lib.evidence.verify.discovery import Unseen
from runbook_lib.evidence.verify.verify import Trust
from tests.unit.evidence.conftest import ended_run, seal_run

IDS = ("00000001", "00000002")


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory, keys_home: Path) -> Path:
    """Return an evidence folder with two sealed runs of one tenant, made once."""
    path = keys_home / "evidence.pem"
    create_key(path)
    evidence = tmp_path_factory.mktemp("sealed") / "evidence"
    for run_id in IDS:
        seal_run(ended_run(evidence, run_id), open_key(str(path), is_sandbox=False))
    return evidence


@pytest.fixture
def evidence(sealed: Path, tmp_path: Path) -> Path:
    """Return such a folder of this test's own."""
    return Path(shutil.copytree(sealed, tmp_path / "evidence"))


@pytest.fixture
def bundle(evidence: Path) -> Path:
    """Return the first of its bundles."""
    return bundles_below(evidence)[0]


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """Return where nothing is yet."""
    return tmp_path / "archive"


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """Give the objects of an object store in memory; its addresses begin with memory://."""
    from fsspec.implementations.memory import MemoryFileSystem  # noqa: PLC0415

    monkeypatch.setattr(formats, "OBJECT_STORES", (*formats.OBJECT_STORES, "memory"))
    monkeypatch.setitem(stores._KINDS, "memory", stores._Kind("none", "nothing"))
    yield MemoryFileSystem.store
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


def contents(path: Path) -> dict[str, bytes]:
    """Return every file below `path`, but no journal and no lock."""
    files = (file for file in path.rglob("*") if file.is_file())
    found = {file.relative_to(path).as_posix(): file.read_bytes() for file in files}
    return {name: text for name, text in found.items() if not _is_of_the_tenant(name)}


def _is_of_the_tenant(name: str) -> bool:
    return name.count("/") == 2 and name.endswith((".lock", "journal.jsonl", "fingerprint.key"))


def archive_all(evidence: Path, url: str) -> None:
    for each in bundles_below(evidence):
        archive_bundle(each, url)


def test_bundles_and_public_keys_lie_in_the_archive_as_in_the_evidence(
    evidence: Path, target: Path
) -> None:
    """Byte for byte, under the same names; the journals, which grow, stay at home."""

    before = contents(evidence)
    archive_all(evidence, str(target))

    assert contents(target) == before
    assert not list(target.glob("*/*/journal.jsonl"))
    assert not list(target.rglob("fingerprint.key"))
    assert contents(evidence) == before


def test_it_says_what_it_did(bundle: Path, target: Path) -> None:
    """Where the bundle lies, how much is new, and that nothing is retained."""

    count = len(contents(bundle)) + 1  # and one key

    first = archive_bundle(bundle, f"file://{target}/")
    again = archive_bundle(bundle, str(target))

    assert astuple(first) == (f"{target}/acme/p/{bundle.name}", count, 0, "", ())
    assert astuple(again) == (f"{target}/acme/p/{bundle.name}", 0, count, "", ())


def test_a_tenant_is_verified_from_its_archive(evidence: Path, target: Path, trust: Trust) -> None:
    """Bundles and chain, without a journal."""

    archive_all(evidence, str(target))

    with fetched(str(target / "acme" / "p")) as folder:
        verdicts = list(verify_tree(folder, trust))
    assert [verdict.error for verdict in verdicts] == [None] * 3
    assert verdicts[-1].length == 2


def test_only_what_verifies_leaves_the_folder_of_keys(
    evidence: Path, target: Path, key: SigningKey, other_key: SigningKey
) -> None:
    """Public keys and successions; a private one that was left there by mistake does not."""

    hand_over(key, other_key.public, evidence / "keys")
    (evidence / "keys" / "signing-key.pem").write_text("-----BEGIN PRIVATE KEY-----")

    archive_all(evidence, str(target))

    assert sorted(path.name for path in (target / "keys").iterdir()) == sorted(
        [f"{key.key_id}.pub.pem", f"{other_key.key_id}.succession.dsse.json"]
    )


def test_an_interrupted_copy_goes_on_and_is_none_before(
    bundle: Path, target: Path, trust: Trust, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever it stops, the statement is not there yet; what was copied is not copied again."""

    make = Folder.make
    count = len(contents(bundle)) + 1
    made: list[str] = []

    def interrupt(self: Folder, name: str, content: bytes, **options: Any) -> bool:
        if made:
            raise KeyboardInterrupt
        made.append(name)
        return make(self, name, content, **options)

    monkeypatch.setattr(Folder, "make", interrupt)
    for number in range(1, count):
        with pytest.raises(KeyboardInterrupt):
            archive_bundle(bundle, str(target))
        assert len(contents(target)) == number
        assert not list(target.rglob("statement.dsse.json"))
        made.clear()
    with fetched(str(target)) as folder:  # nothing that is no bundle is taken for one
        verdicts = list(verify_tree(folder, trust))
    assert "statement.dsse.json: It is missing" in str(verdicts[0].error)

    archived = archive_bundle(bundle, str(target))

    assert (archived.copied, archived.present) == (1, count - 1)
    assert made == [f"acme/p/{bundle.name}/statement.dsse.json"]


@pytest.mark.parametrize("content", [b"{}", b"as long as it was"], ids=["longer", "as long"])
@pytest.mark.parametrize("name", ["record.json", "statement.dsse.json"])
def test_nothing_is_written_over(name: str, content: bytes, bundle: Path, target: Path) -> None:
    """Another content under the name is refused, by name, and stays."""

    there = target / "acme" / "p" / bundle.name / name
    there.parent.mkdir(parents=True)
    there.write_bytes(content.ljust((bundle / name).stat().st_size) if len(content) > 2 else b"{}")
    before, local = there.read_bytes(), contents(bundle)

    with pytest.raises(ArchiveError, match="nothing was overwritten") as caught:
        archive_bundle(bundle, str(target))

    assert caught.value.file == f"acme/p/{bundle.name}/{name}"
    assert caught.value.exit_code == ExitCode.INCOMPLETE
    assert there.read_bytes() == before
    assert contents(bundle) == local


def test_another_key_under_the_name_is_refused_too(bundle: Path, target: Path) -> None:
    """The archive's keys are what the chain of trust hangs on."""

    (key,) = (bundle.parents[2] / "keys").iterdir()
    (target / "keys").mkdir(parents=True)
    (target / "keys" / key.name).write_text("other")

    with pytest.raises(ArchiveError, match=f"keys/{key.name}"):
        archive_bundle(bundle, str(target))


def test_what_was_slipped_into_the_archive_is_seen(bundle: Path, target: Path) -> None:
    """An object that the bundle has not would make the archived one fail for ever."""

    archive_bundle(bundle, str(target))
    (target / "acme" / "p" / bundle.name / "more.txt").write_text("x")

    with pytest.raises(ArchiveError, match=r"more\.txt: It is in the archive"):
        archive_bundle(bundle, str(target))


def test_a_copy_that_another_process_makes_meanwhile_is_as_good(
    bundle: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two that archive the same bundle at once agree; what differs is refused."""

    archive_bundle(bundle, str(target))
    monkeypatch.setattr(Folder, "sizes", lambda *_args: {})

    assert archive_bundle(bundle, str(target)).copied == 0

    (target / "acme" / "p" / bundle.name / "record.json").write_text("other")
    with pytest.raises(ArchiveError, match=r"record\.json: .*nothing was overwritten"):
        archive_bundle(bundle, str(target))


def test_what_the_store_gives_back_is_compared(
    bundle: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that takes everything and keeps something else is found out."""

    monkeypatch.setattr(Folder, "read", lambda *_args: b"other")

    with pytest.raises(ArchiveError, match="returns other content"):
        archive_bundle(bundle, str(target))


def test_a_folder_retains_nothing_and_says_so(bundle: Path, target: Path) -> None:
    """What was asked for and cannot be had is refused before anything is copied."""

    with pytest.raises(ArchiveError, match="cannot retain"):
        archive_bundle(bundle, str(target), retention_days=1)
    with pytest.raises(ArchiveError, match="cannot retain"):
        check_archive(str(target), bundle.parent, retention_days=1)

    assert not target.exists()


def test_an_archive_is_looked_at_before_a_run_without_being_asked(
    target: Path, tmp_path: Path
) -> None:
    """What cannot serve costs no run; what can leaves no trace."""

    tenant = tmp_path / "somewhere" / "acme" / "p"
    check_archive(str(target), tenant)
    check_archive("s3://nobody-asks-for-this-bucket/evidence", tenant, retention_days=30)
    assert not target.exists()

    with pytest.raises(SettingsError, match="This is not an archive"):
        check_archive("ftp://host", tenant)
    with pytest.raises(SettingsError, match="from 0 to 3653"):
        check_archive("s3://bucket", tenant, retention_days=9999)
    for evidence in (tenant, *tenant.parents[:2], tenant.parents[1] / "keys"):
        with pytest.raises(SettingsError, match="overlaps the evidence itself"):
            check_archive(str(evidence), tenant)


@pytest.mark.parametrize("days", [-1, 3654, 10**9])
def test_a_retention_that_must_be_a_slip_is_refused(days: int, bundle: Path, target: Path) -> None:
    """There is no way back from a date in the next century."""

    with pytest.raises(SettingsError, match="from 0 to 3653"):
        archive_bundle(bundle, str(target), retention_days=days)


def test_a_link_in_a_bundle_is_not_followed(bundle: Path, target: Path, tmp_path: Path) -> None:
    """What it leads to is no part of the bundle, and may be a secret."""

    (tmp_path / "secret.txt").write_text("secret")
    (bundle / "link.txt").symlink_to(tmp_path / "secret.txt")

    with pytest.raises(ContentError, match=r"link\.txt: .* a link"):
        archive_bundle(bundle, str(target))

    assert not list(target.rglob("link.txt"))


def test_a_folder_behind_a_link_is_no_part_of_a_bundle_either(
    bundle: Path, target: Path, tmp_path: Path
) -> None:
    """It is refused, not passed over: what is archived is whole."""

    (tmp_path / "elsewhere").mkdir()
    (bundle / "attachments").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(ContentError, match=r"attachments: .* a link"):
        archive_bundle(bundle, str(target))


def test_what_has_another_size_is_not_even_read(
    bundle: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever somebody put there, it does not fill the memory."""

    archive_bundle(bundle, str(target))
    (target / "acme" / "p" / bundle.name / "record.json").write_text("other")
    read, names = Folder.read, []

    def note(self: Folder, name: str, *size: int) -> bytes:
        names.append(Path(name).name)
        return read(self, name, *size)

    monkeypatch.setattr(Folder, "read", note)
    with pytest.raises(ArchiveError, match="nothing was overwritten"):
        archive_bundle(bundle, str(target))

    assert "journal.jsonl" in names
    assert "record.json" not in names


def test_a_file_that_could_not_be_fetched_again_is_not_archived(
    bundle: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bound that holds for reading holds for writing."""

    monkeypatch.setattr(archive, "_LARGEST", 5)

    with pytest.raises(ContentError, match="it has more than 5 bytes"):
        archive_bundle(bundle, str(target))


def test_bundles_are_found_at_and_below_a_path(evidence: Path, bundle: Path) -> None:
    """One, a tenant's, everybody's; what is not sealed under its final name does not count."""

    second = bundles_below(evidence)[1]
    shutil.copytree(bundle, bundle.parent / ".sealed-00000003")
    (bundle.parent / "20261124T120000Z-00000004").mkdir()

    assert bundles_below(bundle) == [bundle]
    assert bundles_below(evidence / "acme" / "p") == [bundle, second]
    assert bundles_below(evidence) == [bundle, second]


def test_a_bundle_that_is_not_finished_is_finished_first(bundle: Path) -> None:
    """What a run that was cut off left gets its name, and is archived like any."""

    bundle.rename(bundle.with_name(".sealed-00000001"))

    assert bundle in bundles_below(bundle.parents[1])
    assert bundle.is_dir()


def test_a_bundle_that_cannot_be_finished_is_told(
    bundle: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not passed over; the next run gives it its name."""

    unfinished = bundle.rename(bundle.with_name(".sealed-00000001"))

    def refuse(_tenant: Path) -> None:
        raise PermissionError("read-only")

    monkeypatch.setattr(archive, "finish_interrupted", refuse)
    assert unfinished in bundles_below(bundle.parents[1])
    with pytest.raises(ArchiveError, match="not finished") as caught:
        archive_bundle(unfinished, str(target))
    assert "next run finishes it" in caught.value.diagnostics()
    assert not target.exists()


@pytest.mark.parametrize(
    "place",
    [
        *("", "acme", "acme/more", "acme/p", "acme/p/more", "keys", "keys/more"),
        *("{bundle}", "{bundle}/more", "globex", "globex/more", "globex/p/more"),
    ],
)
def test_an_archive_lies_apart_from_the_evidence(
    place: str, evidence: Path, bundle: Path, tmp_path: Path
) -> None:
    """A copy onto itself, or into what is sealed, is none; nothing is written."""

    shutil.copytree(evidence / "acme", evidence / "globex")
    before = contents(evidence)
    (tmp_path / "link").symlink_to(evidence)
    name = place.format(bundle=f"acme/p/{bundle.name}")

    for target in (evidence / name, tmp_path / "link" / name):
        with pytest.raises(SettingsError, match="overlaps the evidence itself"):
            archive_bundle(bundle, str(target))

    assert contents(evidence) == before


def test_an_archive_may_lie_beside_the_tenants(evidence: Path, bundle: Path) -> None:
    """Only what would be mixed up with evidence is refused."""

    assert archive_bundle(bundle, str(evidence.parent / "archive")).present == 0
    assert archive_bundle(bundle, str(evidence / "copies")).present == 0


@pytest.mark.parametrize("name", ["report.html", "journal.jsonl", "statement.dsse.json", "new.txt"])
def test_what_was_altered_after_sealing_is_not_archived(
    name: str, bundle: Path, target: Path
) -> None:
    """The archive would keep it for ever; it is refused before anything is copied."""

    content = (bundle / name).read_bytes() if (bundle / name).exists() else b"x"
    (bundle / name).write_bytes(content.replace(b"a", b"b", 1))

    with pytest.raises(EvidenceError) as caught:
        archive_bundle(bundle, str(target))

    assert caught.value.exit_code == ExitCode.REFUSED
    assert caught.value.file == name
    assert not target.exists()


def test_what_no_key_beside_it_has_signed_is_not_archived(bundle: Path, target: Path) -> None:
    """Without the key nobody could verify it there; other files among the keys do not matter."""

    (key,) = (bundle.parents[2] / "keys").iterdir()
    (key.parent / "noise.pub.pem").write_text("no key")
    archive_bundle(bundle, str(target.parent / "before"))
    key.unlink()

    with pytest.raises(ContentError, match="No key in the folder keys"):
        archive_bundle(bundle, str(target))

    assert not target.exists()


def test_a_signed_bundle_that_no_runbook_wrote_is_not_archived(
    bundle: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its key may have signed anything; the bundle is named, and what was the matter."""

    def stumble(*_: object) -> None:
        raise KeyError("journal")

    monkeypatch.setattr(archive, "verify_bundle", stumble)

    with pytest.raises(ContentError) as caught:
        archive_bundle(bundle, str(target))

    place = f"acme/p/{bundle.name}"
    assert str(caught.value) == f"{place}: It is signed, but cannot be understood (KeyError)."
    assert not target.exists()


def test_a_tenant_that_cannot_be_read_is_named(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others can be archived all the same."""

    def refuse(_home: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(archive, "bundles_in", refuse)

    home = bundle.parent
    assert archive.evidence_below(home) == (
        [],
        [Unseen(home, "p", "It cannot be read: Permission denied.")],
    )


def test_a_retention_ends_at_a_whole_second(
    bundle: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S3 keeps no smaller part: a date that came back earlier would look like a refusal."""

    monkeypatch.setattr(Folder, "check_retention", lambda _self: None)
    now = datetime(2026, 11, 24, 12, 0, 0, 999_999, UTC)

    archived = archive_bundle(bundle, str(target), retention_days=30, clock=lambda: now)

    assert archived.retained_until == "2026-12-24T12:00:00Z"


def test_where_there_is_no_bundle_that_is_said(tmp_path: Path, target: Path) -> None:
    """A wrong path is a usage error, and nothing was done."""

    with pytest.raises(SettingsError, match="no sealed bundle"):
        bundles_below(tmp_path / "nowhere")
    with pytest.raises(SettingsError, match="not a sealed bundle"):
        archive_bundle(tmp_path, str(target))


@pytest.mark.parametrize("place", ["", "/acme", "/acme/p", "/acme/p/{bundle}"])
def test_an_object_store_is_verified_wherever_one_begins(
    place: str, evidence: Path, bundle: Path, memory: dict[str, Any], trust: Trust
) -> None:
    """A whole tree, a tenant, a bundle: each with its right names."""

    archive_all(evidence, "memory://bucket/evidence")

    with fetched(f"memory://bucket/evidence{place.format(bundle=bundle.name)}/") as folder:
        verdicts = list(verify_tree(folder, trust))
    assert [verdict.error for verdict in verdicts] == [None] * (1 if "{" in place else 3)
    assert verdicts[0].path.name == bundle.name
    assert not folder.exists()


@pytest.mark.parametrize("place", ["", "/acme", "/acme/p", "/acme/p/{bundle}"])
def test_a_succession_is_found_from_wherever_one_begins(
    place: str,
    tmp_path: Path,
    memory: dict[str, Any],
    trust: Trust,
    key: SigningKey,
    other_key: SigningKey,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who trusts the old key verifies what its successor signed; nothing is left of the copy."""

    evidence = tmp_path / "evidence"
    seal_run(ended_run(evidence), other_key)
    hand_over(key, other_key.public, evidence / "keys")
    archive_all(evidence, "memory://bucket/evidence")

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    (bundle,) = bundles_below(evidence)
    with fetched(f"memory://bucket/evidence{place.format(bundle=bundle.name)}") as folder:
        assert next(verify_tree(folder, trust)).error is None
    assert list((tmp_path / "temporary").iterdir()) == []


def test_keys_are_not_looked_for_above_a_whole_tree(
    evidence: Path, memory: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are in it, and are fetched once."""

    archive_all(evidence, "memory://bucket/evidence")
    asked: list[str] = []
    monkeypatch.setattr(archive, "_fetch_files", lambda store, *_: asked.append(store.address))

    with fetched("memory://bucket/evidence"):
        assert asked == ["memory://bucket/evidence"]


def test_keys_are_not_looked_for_above_the_bucket(
    bundle: Path, memory: dict[str, Any], trust: Trust
) -> None:
    """A bundle that lies in the bucket itself has none beside it."""

    for path in bundle.rglob("*"):
        memory_file(f"/{bundle.name}/{path.name}", path.read_bytes())

    with fetched(f"memory://{bundle.name}") as folder:
        assert [verdict.error for verdict in verify_tree(folder, trust)] == [None]


def memory_file(path: str, content: bytes) -> None:
    """Put an object into the store in memory, under a name that no file system would take."""
    from fsspec.implementations.memory import MemoryFile, MemoryFileSystem  # noqa: PLC0415

    MemoryFileSystem.store[path] = MemoryFile(MemoryFileSystem(), path, content)


def test_an_altered_object_is_refused(
    evidence: Path, bundle: Path, memory: dict[str, Any], trust: Trust
) -> None:
    """Whoever can write to the archive cannot make it say something else."""

    archive_all(evidence, "memory://bucket")
    memory_file(f"/bucket/acme/p/{bundle.name}/report.html", b"<p>All is well.</p>")

    with fetched("memory://bucket") as folder:
        first, second, chain = verify_tree(folder, trust)
    assert "report.html" in str(first.error)
    assert second.error is None
    assert "1 of 2 is refused" in str(chain.error)


@pytest.mark.parametrize(
    "name",
    [
        "../../outside.txt",
        "acme/../../../outside.txt",
        "/etc/outside.txt",
        "acme//outside.txt",
        "acme/./outside.txt",
        "acme/..\\..\\outside.txt",
        "C:/outside.txt",
        "acme/out\0side.txt",
        f"acme/{'long' * 64}",
        f"acme/{'ü' * 128}",
    ],
)
def test_an_object_whose_name_leads_elsewhere_is_refused(
    name: str, memory: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is written, least of all outside the folder."""

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "a" / "b"))
    (tmp_path / "a" / "b").mkdir(parents=True)
    memory_file(f"/bucket/evidence/{name}", b"x")
    found = {f"/bucket/evidence/{name}": {"size": 1}}
    monkeypatch.setattr("fsspec.spec.AbstractFileSystem.find", lambda *_args, **_options: found)

    with (
        pytest.raises(ContentError, match="is not evidence"),
        fetched("memory://bucket/evidence"),
    ):
        pass  # pragma: no cover

    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_an_object_that_is_too_large_is_not_fetched(
    memory: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever writes to the archive cannot fill the verifier's disk with one object."""

    memory_file("/bucket/acme/report.html", b"123456")
    monkeypatch.setattr(archive, "_LARGEST", 5)

    with pytest.raises(ContentError, match="6 bytes; the limit is 5"), fetched("memory://bucket"):
        pass  # pragma: no cover


def test_too_many_objects_are_not_fetched(
    memory: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor with many."""

    for number in range(3):
        memory_file(f"/bucket/acme/{number}", b"")
    monkeypatch.setattr(stores, "_MOST_OBJECTS", 2)

    with pytest.raises(ArchiveError, match="more than 2 objects"), fetched("memory://bucket"):
        pass  # pragma: no cover


def test_more_than_the_disk_has_room_for_is_not_fetched(
    memory: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said before the disk is full."""

    memory_file("/bucket/acme/record.json", b"123456")
    usage = type("Usage", (), {"free": 5})
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: usage)

    with (
        pytest.raises(ArchiveError, match="6 bytes, more than is free"),
        fetched("memory://bucket"),
    ):
        pass  # pragma: no cover


def test_an_object_that_changes_meanwhile_is_refused(
    memory: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What arrived must be what was listed."""

    memory_file("/bucket/acme/record.json", b"123456")
    monkeypatch.setattr(stores._Objects, "fetch", lambda *_args: None)

    with (
        pytest.raises(ArchiveError, match=r"record\.json: It does not have its listed size"),
        fetched("memory://bucket"),
    ):
        pass  # pragma: no cover


def test_an_empty_archive_is_a_wrong_address(memory: dict[str, Any]) -> None:
    """Nothing is not the same as nothing wrong."""

    with (
        pytest.raises(SettingsError, match="nothing at memory://bucket"),
        fetched("memory://bucket"),
    ):
        pass  # pragma: no cover


def test_a_folder_is_given_as_it_is(bundle: Path, target: Path, trust: Trust) -> None:
    """A copy would hide that a file is a link, which a bundle may not hold."""

    archive_bundle(bundle, str(target))
    place = target / "acme" / "p" / bundle.name
    (place / "report.html").replace(target / "report.html")
    (place / "report.html").symlink_to(target / "report.html")

    with fetched(f"file://{place}") as folder:
        (verdict,) = verify_tree(folder, trust)
    assert folder == place
    assert "link" in str(verdict.error)


def other_chain(folder: Path, key: SigningKey, *run_ids: str) -> list[Path]:
    """Seal runs of the same tenant in another folder, and return their bundles."""
    for run_id in run_ids:
        seal_run(ended_run(folder, run_id), key)
    return bundles_below(folder)


@pytest.mark.parametrize("run_ids", [("0000000a",), ("00000001", "00000002", "00000003")])
@pytest.mark.parametrize("has_journal", [True, False])
def test_a_second_chain_is_refused_before_anything_is_written(
    has_journal: bool,
    run_ids: tuple[str, ...],
    evidence: Path,
    target: Path,
    tmp_path: Path,
    key: SigningKey,
    trust: Trust,
) -> None:
    """Whatever its bundles are called, and whichever of them comes first."""

    others = other_chain(tmp_path / "other", key, *run_ids)
    if not has_journal:
        (tmp_path / "other" / "acme" / "p" / "journal.jsonl").unlink()
    archive_all(evidence, str(target))
    before = contents(target)

    for bundle in reversed(others):
        with pytest.raises(ChainError, match="another chain of acme/p") as caught:
            archive_bundle(bundle, str(target))
        assert "Nothing was written" in caught.value.diagnostics()

    assert contents(target) == before
    assert [verdict.error for verdict in verify_tree(target, trust)] == [None] * 3


def test_a_chain_that_forks_is_refused_where_it_does(
    evidence: Path, target: Path, tmp_path: Path, key: SigningKey
) -> None:
    """A copy of the folder on another machine, where both went on."""

    copy = Path(shutil.copytree(evidence, tmp_path / "copy"))
    seal_run(ended_run(evidence, "00000003"), key)
    seal_run(ended_run(copy, "0000000c"), key)
    seal_run(ended_run(copy, "0000000d"), key)
    archive_all(evidence, str(target))
    before = contents(target)

    for bundle in bundles_below(copy):
        with pytest.raises(ChainError, match="number 3 is 20261124T120000Z-00000003"):
            archive_bundle(bundle, str(target))

    assert contents(target) == before


def test_gaps_are_filled_later(evidence: Path, target: Path, key: SigningKey, trust: Trust) -> None:
    """In any order, from the folder itself or a copy of it, also where old bundles were removed."""

    for run_id in ("00000003", "00000004"):
        seal_run(ended_run(evidence, run_id), key)
    first, second, third, fourth = bundles_below(evidence)

    for bundle in (fourth, first, third):
        archive_bundle(bundle, str(target))
    shutil.rmtree(first)
    archive_bundle(second, str(target))

    assert [verdict.error for verdict in verify_tree(target, trust)] == [None] * 5


def test_of_a_long_chain_few_statements_are_read(
    evidence: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run costs the same whether it is the tenant's first or its thousandth."""

    archive_all(evidence, str(target))
    first, second = bundles_below(evidence)
    connector = target / "acme" / "p"
    for number in range(20):
        shutil.copytree(connector / first.name, connector / f"20261124T120001Z-{number:08x}")
        shutil.copytree(first, first.parent / f"20261124T120001Z-{number:08x}")
    (first.parent / "journal.jsonl").unlink()
    read, names = Folder.read, []

    def note(self: Folder, name: str, *size: int) -> bytes:
        names.append(name)
        return read(self, name, *size)

    monkeypatch.setattr(Folder, "read", note)
    with suppress(ChainError):
        archive_bundle(second, str(target))

    assert len([name for name in names if name.endswith("statement.dsse.json")]) < 5


def test_what_is_no_statement_in_a_place_of_one_is_named(bundle: Path, target: Path) -> None:
    """Which chain is there cannot be known then."""

    place = target / "acme" / "p" / "20261124T120000Z-0000000f"
    place.mkdir(parents=True)
    (place / "statement.dsse.json").write_bytes(b"[" * 100_000)

    with pytest.raises(ContentError, match=r"0f/statement\.dsse\.json: It is not the statement"):
        archive_bundle(bundle, str(target))
