"""An archive stores sealed bundles unchanged, once, and returns them for verification."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest

from runbook_lib.errors import (
    ArchiveError,
    ChainError,
    ContentError,
    EvidenceError,
    ExitCode,
    RunbookError,
    SettingsError,
    SignatureError,
)
from runbook_lib.evidence.archive import archive as module
from runbook_lib.evidence.archive.archive import fetch_evidence
from runbook_lib.evidence.archive.stores import Store
from runbook_lib.evidence.signing.keys import SigningKey
from runbook_lib.evidence.verify.signed_files import TrustAnchors
from runbook_lib.evidence.verify.tree import verify_tree
from tests.support.bundles import archive, bundles_below
from tests.support.wording import refused, wording
from tests.unit.evidence.conftest import ended_run, errors_of, seal_run, sealed_evidence

pytestmark = pytest.mark.usefixtures("memory")


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory, key: SigningKey) -> Path:
    """Return an evidence folder with two sealed runs of one tenant, made once per module."""
    return sealed_evidence(tmp_path_factory.mktemp("sealed"), key)


@pytest.fixture
def evidence(sealed: Path, tmp_path: Path) -> Path:
    """Return a copy of it for this test."""
    return Path(shutil.copytree(sealed, tmp_path / "evidence"))


@pytest.fixture
def bundle(evidence: Path) -> Path:
    """Return the first of its bundles."""
    return bundles_below(evidence)[0]


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """Return a path that does not exist yet."""
    return tmp_path / "archive"


def contents(path: Path) -> dict[str, bytes]:
    """Return every file below `path`, without journals and locks."""
    files = (file for file in path.rglob("*") if file.is_file())
    found = {file.relative_to(path).as_posix(): file.read_bytes() for file in files}
    return {name: text for name, text in found.items() if not _is_of_the_tenant(name)}


def _is_of_the_tenant(name: str) -> bool:
    return name.count("/") == 2 and name.endswith((".lock", "journal.jsonl", "fingerprint.key"))


def not_archived(
    bundle: Path, target: Path, kind: type[RunbookError], said: str, **facts: object
) -> RunbookError:
    """Return why a bundle is not archived; fail if the archive has changed."""
    before = contents(target)
    with refused(kind, said, **facts) as caught:
        archive(bundle, str(target))
    assert contents(target) == before
    return caught.value


def test_the_archive_has_bundles_and_public_keys(
    evidence: Path, target: Path, key: SigningKey, trust: TrustAnchors
) -> None:
    """
    Bundles and public keys are copied byte for byte under their names; other files are not.

    Bundles and chain are verified from the archive, without a journal.
    """
    before = contents(evidence)
    private = {"keys/signing-key.pem": b"-----BEGIN PRIVATE KEY-----"}
    (evidence / "keys" / "signing-key.pem").write_bytes(private["keys/signing-key.pem"])

    addresses = archive(evidence, f"file://{target}/")

    assert addresses == [f"{target}/acme/p/{bundle.name}" for bundle in bundles_below(evidence)]
    assert contents(target) == before
    assert [path.name for path in (target / "keys").iterdir()] == [f"{key.key_id}.pub.pem"]
    assert not list(target.glob("*/*/journal.jsonl"))
    assert not list(target.rglob("fingerprint.key"))
    assert contents(evidence) == before | private
    with fetch_evidence(Store(str(target / "acme" / "p"))) as folder:
        verdicts = list(verify_tree(folder, trust))
    assert [verdict.error for verdict in verdicts] == [None] * 3
    assert verdicts[-1].length == 2


def test_an_interrupted_copy_is_resumed(
    bundle: Path, target: Path, trust: TrustAnchors, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An interrupted copy has no statement yet; the next call copies only the missing files."""
    make = Store.make
    count = len(contents(bundle)) + 1

    def interrupt(self: Store, name: str, content: bytes) -> None:
        make(self, name, content)
        if len(contents(target)) == number:
            raise KeyboardInterrupt

    monkeypatch.setattr(Store, "make", interrupt)
    for number in range(1, count):
        with pytest.raises(KeyboardInterrupt):
            archive(bundle, str(target))
        assert len(contents(target)) == number
        assert not list(target.rglob("statement.dsse.json"))
    first = errors_of(target, trust)[0]  # an incomplete copy is rejected
    assert isinstance(first, ContentError)
    assert first.file == "statement.dsse.json"

    number = 0
    before = {path: path.stat().st_mtime_ns for path in target.rglob("*") if path.is_file()}
    archive(bundle, str(target))

    assert len(contents(target)) == count
    assert {path: path.stat().st_mtime_ns for path in before} == before


@pytest.mark.parametrize(
    "name",
    [
        "acme/p/{bundle}/record.json",
        "acme/p/{bundle}/statement.dsse.json",
        # Another key under the same name is refused.
        "keys/{key}.pub.pem",
    ],
)
def test_nothing_is_overwritten(name: str, bundle: Path, target: Path, key: SigningKey) -> None:
    """A file of that name with other content is refused by name and stays."""
    name = name.format(bundle=bundle.name, key=key.key_id)
    (target / name).parent.mkdir(parents=True)
    (target / name).write_bytes(b"{}")
    local = contents(bundle)

    with refused(ArchiveError, "not-overwritten") as caught:
        archive(bundle, str(target))

    assert caught.value.file == name
    assert caught.value.exit_code == ExitCode.INCOMPLETE
    assert (target / name).read_bytes() == b"{}"
    assert contents(bundle) == local


def test_every_file_is_read_back_and_compared(
    bundle: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that returned content that differs than was written is detected."""
    monkeypatch.setattr(Store, "read", lambda *_args: b"other")

    with refused(ArchiveError, "not-overwritten"):
        archive(bundle, str(target))


def test_a_link_in_a_bundle_is_not_followed(bundle: Path, target: Path, tmp_path: Path) -> None:
    """A link to a file is refused, neither followed nor silently left out."""
    (tmp_path / "secret.txt").write_text("secret")
    (bundle / "link.txt").symlink_to(tmp_path / "secret.txt")

    with refused(ContentError, "not-a-regular-file", kind="a link") as caught:
        archive(bundle, str(target))

    assert caught.value.file == "link.txt"
    assert not target.exists()


def test_a_link_in_place_of_a_key_is_not_followed(
    bundle: Path, target: Path, tmp_path: Path
) -> None:
    """Only the key's own file is copied, so no private file gets into the archive."""
    (key,) = (bundle.parents[2] / "keys").iterdir()
    (tmp_path / "secret.txt").write_text("secret")
    key.rename(key.with_name("other.pub.pem"))
    key.symlink_to(tmp_path / "secret.txt")

    with refused(ContentError, "not-archivable", kind="a link"):
        archive(bundle, str(target))
    assert not target.exists()


def test_a_file_above_the_size_limit_is_not_archived(
    bundle: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file above the size limit for fetching is not archived."""
    monkeypatch.setattr(module, "LARGEST_OBJECT", 5)

    not_archived(bundle, target, ContentError, "too-large-to-archive", limit=5)


def test_an_unfinished_bundle_is_not_archived(bundle: Path, target: Path) -> None:
    """A bundle that an interrupted run left is not archived, and not silently left out."""
    unfinished = bundle.rename(bundle.with_name(".sealed-00000001"))

    not_archived(unfinished, target, ArchiveError, "not-finished")


@pytest.mark.parametrize("place", ["", "acme/p", "acme/p/more", "keys", "{bundle}", "globex/more"])
def test_an_archive_may_not_overlap_the_evidence(
    place: str, evidence: Path, bundle: Path, tmp_path: Path
) -> None:
    """An archive inside the evidence of a tenant is refused, and nothing is written."""
    shutil.copytree(evidence / "acme", evidence / "globex")
    before = contents(evidence)
    (tmp_path / "link").symlink_to(evidence)
    name = place.format(bundle=f"acme/p/{bundle.name}")

    for target in (evidence / name, tmp_path / "link" / name, tmp_path):
        with refused(SettingsError, "archive-overlaps"):
            archive(bundle, str(target))

    assert contents(evidence) == before


@pytest.mark.parametrize("name", ["report.html", "journal.jsonl", "statement.dsse.json", "new.txt"])
def test_an_altered_bundle_is_not_archived(name: str, bundle: Path, target: Path) -> None:
    """A bundle altered after sealing is refused before anything is copied."""
    content = (bundle / name).read_bytes() if (bundle / name).exists() else b"x"
    (bundle / name).write_bytes(content.replace(b"a", b"b", 1))

    with pytest.raises(EvidenceError) as caught:
        archive(bundle, str(target))

    assert caught.value.exit_code == ExitCode.REFUSED
    assert caught.value.file == name
    assert not target.exists()


def test_a_bundle_without_its_public_key_is_not_archived(bundle: Path, target: Path) -> None:
    """A bundle without its public key is refused; other files among the keys do not matter."""
    (key,) = (bundle.parents[2] / "keys").iterdir()
    (key.parent / "noise.pub.pem").write_text("no key")
    archive(bundle, str(target.parent / "before"))
    key.unlink()

    with pytest.raises(SignatureError):
        archive(bundle, str(target))
    assert not target.exists()


@pytest.mark.parametrize("place", ["", "/acme", "/acme/p", "/acme/p/{bundle}"])
def test_an_object_store_is_verified_at_any_level(
    place: str, evidence: Path, bundle: Path, trust: TrustAnchors
) -> None:
    """An object store can be verified at the level of the tree, a tenant or a bundle."""
    archive(evidence, "memory://bucket/evidence")
    store = Store(f"memory://bucket/evidence{place.format(bundle=bundle.name)}/")

    with fetch_evidence(store) as folder:
        verdicts = list(verify_tree(folder, trust))
    assert [verdict.error for verdict in verdicts] == [None] * (1 if "{" in place else 3)
    assert verdicts[0].path.name == bundle.name
    assert not folder.exists()


def memory_file(path: str, content: bytes) -> None:
    """Put an object into the store in memory, under any name."""
    from fsspec.implementations.memory import MemoryFile, MemoryFileSystem  # noqa: PLC0415

    MemoryFileSystem.store[path] = MemoryFile(MemoryFileSystem(), path, content)


def test_an_altered_object_is_refused(evidence: Path, bundle: Path, trust: TrustAnchors) -> None:
    """An object altered in the archive is rejected."""
    archive(evidence, "memory://bucket")
    memory_file(f"/bucket/acme/p/{bundle.name}/report.html", b"<p>All is well.</p>")

    with fetch_evidence(Store("memory://bucket")) as folder:
        first, second, chain = errors_of(folder, trust)
    assert "report.html" in str(first)
    assert second is None
    assert wording("journal-chain-broken.not-complete", refused=1, count=2) in str(chain)


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
        "acme/..",
        "acme/folder/",
        f"acme/{'long' * 64}",
        f"acme/{'ü' * 128}",
    ],
)
def test_an_object_name_that_leaves_the_folder_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An object name that leads out of the folder is refused, and no file is written."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "a" / "b"))
    (tmp_path / "a" / "b").mkdir(parents=True)
    memory_file(f"/bucket/{name}", b"x")
    found = {f"/bucket/{name}": {"size": 1}}
    monkeypatch.setattr("fsspec.spec.AbstractFileSystem.find", lambda *_args, **_options: found)

    not_fetched(ContentError, "object-not-evidence", size=1)

    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def not_fetched(kind: type[RunbookError], said: str, **facts: object) -> None:
    with refused(kind, said, **facts), fetch_evidence(Store("memory://bucket")):
        pass  # pragma: no cover


def test_too_much_is_not_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many and as large objects as the limits allow are fetched, and no more."""
    memory_file("/bucket/acme/ü.json", b"123456")
    for empty in ("x", "y" * 255):
        memory_file(f"/bucket/acme/{empty}", b"")
    monkeypatch.setattr(module, "MOST_OBJECTS", 3)
    monkeypatch.setattr(module, "LARGEST_OBJECT", 6)
    with fetch_evidence(Store("memory://bucket")) as folder:
        assert len(list((folder / "acme").iterdir())) == 3

    monkeypatch.setattr(module, "LARGEST_OBJECT", 5)
    not_fetched(ContentError, "object-not-evidence", size=6)
    monkeypatch.setattr(module, "MOST_OBJECTS", 2)
    not_fetched(SettingsError, "object-count", count=3, address="memory://bucket")


def test_a_folder_is_verified_in_place(bundle: Path, target: Path, trust: TrustAnchors) -> None:
    """A folder is not copied for verification, since a copy would hide links."""
    (place,) = map(Path, archive(bundle, str(target)))
    (place / "report.html").replace(target / "report.html")
    (place / "report.html").symlink_to(target / "report.html")

    with fetch_evidence(Store(f"file://{place}")) as folder:
        (error,) = errors_of(folder, trust)
    assert folder == place
    assert "link" in str(error)


def other_chain(folder: Path, key: SigningKey, *run_ids: str) -> list[Path]:
    """Seal runs of the same tenant in another folder, and return their bundles."""
    for run_id in run_ids:
        seal_run(ended_run(folder, run_id), key)
    return bundles_below(folder)


@pytest.mark.parametrize("run_ids", [("0000000a",), ("00000001", "00000002", "00000003")])
def test_a_second_chain_is_refused_before_anything_is_written(
    run_ids: tuple[str, ...], evidence: Path, target: Path, key: SigningKey, trust: TrustAnchors
) -> None:
    """Bundles of another chain are refused in any order, and the archive stays unchanged."""
    others = other_chain(target.with_name("other"), key, *run_ids)
    archive(evidence, str(target))

    for bundle in reversed(others):
        error = not_archived(bundle, target, ChainError, "another-chain", name="acme/p")
        assert wording("advice.nothing-written") in error.diagnostics()

    assert errors_of(target, trust) == [None] * 3


@pytest.mark.parametrize(("address", "runs"), [("{}", 5), ("memory://bucket", 2)])
def test_a_short_second_chain_is_refused_by_a_long_archive(
    address: str, runs: int, evidence: Path, target: Path, key: SigningKey
) -> None:
    """In an object store, too, a second chain is refused, and one that is far shorter."""
    url = address.format(target)
    every = other_chain(evidence, key, *(f"0000000{number}" for number in range(3, runs + 1)))
    (other,) = other_chain(target.with_name("other"), key, "0000000a")
    archive(evidence, url)

    names = {name.split("/")[2] for name in Store(url).sizes("acme/p")}
    assert names == {bundle.name for bundle in every}
    with refused(ChainError, "another-chain", name="acme/p"):
        archive(other, url)


def test_two_chains_in_one_folder_are_not_archived_together(
    evidence: Path, target: Path, key: SigningKey
) -> None:
    """A bundle of another chain that was moved beside this one is refused, too."""
    other, _ = other_chain(target.with_name("other"), key, "0000000a", "00000000")
    archive(evidence, str(target))
    moved = other.rename(bundles_below(evidence)[0].with_name(other.name))

    not_archived(moved, target, ChainError, "another-chain", name="acme/p")


def test_a_forked_chain_is_refused(
    evidence: Path, target: Path, tmp_path: Path, key: SigningKey
) -> None:
    """If a copied folder continues on its own, its bundles are refused from the fork on."""
    copy = Path(shutil.copytree(evidence, tmp_path / "copy"))
    seal_run(ended_run(evidence, "00000003"), key)
    seal_run(ended_run(copy, "0000000c"), key)
    seal_run(ended_run(copy, "0000000d"), key)
    archive(evidence, str(target))

    for bundle in bundles_below(copy):
        error = not_archived(bundle, target, ChainError, "another-chain", name="acme/p")
        assert "acme/p/20261124T120000Z-00000003/" in str(error)


def test_gaps_are_filled_later(
    evidence: Path, target: Path, key: SigningKey, trust: TrustAnchors
) -> None:
    """Bundles can be archived in any order, also after older ones were removed."""
    for run_id in ("00000003", "00000004"):
        seal_run(ended_run(evidence, run_id), key)
    first, second, third, fourth = bundles_below(evidence)

    for bundle in (fourth, first, third):
        archive(bundle, str(target))
    shutil.rmtree(first)
    archive(second, str(target))

    assert errors_of(target, trust) == [None] * 5


def test_one_statement_of_a_long_chain_is_read(
    evidence: Path, target: Path, key: SigningKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Archiving compares one statement, however long the chain is."""
    for number in range(3, 9):
        seal_run(ended_run(evidence, f"0000000{number}"), key)
    *_, last = bundles_below(evidence)
    last.rename(evidence.with_name(last.name))
    for bundle in bundles_below(evidence):
        archive(bundle, str(target))
    evidence.with_name(last.name).rename(last)
    read = Store.read
    names: list[str] = []

    def note(self: Store, name: str, size: int) -> Any:
        names.append(name)
        return read(self, name, size)

    monkeypatch.setattr(Store, "read", note)
    archive(last, str(target))

    statements = [name for name in names if name.endswith("statement.dsse.json")]
    assert [Path(name).parent.name for name in statements] == [
        "20261124T120000Z-00000007",
        last.name,
    ]
