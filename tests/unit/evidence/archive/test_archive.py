"""An archive stores sealed bundles unchanged, once, and returns them for verification."""

from __future__ import annotations

import errno
import shutil
import tempfile
from dataclasses import astuple
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
)
from runbook_lib.evidence.archive import archive, stores
from runbook_lib.evidence.archive.archive import archive_bundle, check_apart, fetch_evidence
from runbook_lib.evidence.archive.stores import Store
from runbook_lib.evidence.signing.keys import SigningKey
from runbook_lib.evidence.verify.discovery import UnreadablePath
from runbook_lib.evidence.verify.tree import verify_tree
from runbook_lib.evidence.verify.verify import TrustAnchors
from tests.support.bundles import bundles_below
from tests.support.wording import refused, wording
from tests.unit.evidence.conftest import ended_run, errors_of, failing, seal_run, sealed_evidence

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


def archive_all(evidence: Path, url: str) -> None:
    for each in bundles_below(evidence):
        archive_bundle(each, url)


def not_archived(
    bundle: Path, target: Path, kind: type[RunbookError], said: str, **facts: object
) -> RunbookError:
    """Return why a bundle is not archived; fail if the archive has changed."""
    before = contents(target) if target.exists() else None
    with refused(kind, said, **facts) as caught:
        archive_bundle(bundle, str(target))
    assert (contents(target) if target.exists() else None) == before
    return caught.value


DENIED = failing(PermissionError(errno.EACCES, "Permission denied"))


@pytest.fixture
def names_read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that gets the name of each file that is read from a folder."""
    read = Store.read
    names = []

    def note(self: Store, name: str, *size: int) -> bytes:
        names.append(name)
        return read(self, name, *size)

    monkeypatch.setattr(Store, "read", note)
    return names


def test_the_archive_has_bundles_and_public_keys(
    evidence: Path, target: Path, key: SigningKey
) -> None:
    """Bundles and public keys are copied byte for byte under their names; other files are not."""
    before = contents(evidence)
    private = {"keys/signing-key.pem": b"-----BEGIN PRIVATE KEY-----"}
    (evidence / "keys" / "signing-key.pem").write_bytes(private["keys/signing-key.pem"])
    archive_all(evidence, str(target))

    assert contents(target) == before
    assert [path.name for path in (target / "keys").iterdir()] == [f"{key.key_id}.pub.pem"]
    assert not list(target.glob("*/*/journal.jsonl"))
    assert not list(target.rglob("fingerprint.key"))
    assert contents(evidence) == before | private


def test_the_result_has_address_and_counts(bundle: Path, target: Path) -> None:
    """The result has the bundle's address, and the number of new and present files."""
    count = len(contents(bundle)) + 1  # plus one key

    first = archive_bundle(bundle, f"file://{target}/")
    again = archive_bundle(bundle, str(target))

    assert astuple(first) == (f"{target}/acme/p/{bundle.name}", count, 0)
    assert astuple(again) == (f"{target}/acme/p/{bundle.name}", 0, count)


def test_a_tenant_is_verified_from_its_archive(
    evidence: Path, target: Path, trust: TrustAnchors
) -> None:
    """Bundles and chain are verified from the archive, without a journal."""
    archive_all(evidence, str(target))

    with fetch_evidence(str(target / "acme" / "p")) as folder:
        verdicts = list(verify_tree(folder, trust))
    assert [verdict.error for verdict in verdicts] == [None] * 3
    assert verdicts[-1].length == 2


def test_an_interrupted_copy_is_resumed(
    bundle: Path, target: Path, trust: TrustAnchors, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An interrupted copy has no statement yet; the next call copies only the missing files."""
    make = Store.make
    count = len(contents(bundle)) + 1
    made: list[str] = []

    def interrupt(self: Store, name: str, content: bytes, **options: Any) -> bool:
        if made:
            raise KeyboardInterrupt
        made.append(name)
        return make(self, name, content, **options)

    monkeypatch.setattr(Store, "make", interrupt)
    for number in range(1, count):
        with pytest.raises(KeyboardInterrupt):
            archive_bundle(bundle, str(target))
        assert len(contents(target)) == number
        assert not list(target.rglob("statement.dsse.json"))
        made.clear()
    with fetch_evidence(str(target)) as folder:  # an incomplete copy is rejected
        first = errors_of(folder, trust)[0]
        assert isinstance(first, ContentError)
        assert first.file == "statement.dsse.json"

    archived = archive_bundle(bundle, str(target))

    assert (archived.copied, archived.present) == (1, count - 1)
    assert made == [f"acme/p/{bundle.name}/statement.dsse.json"]


@pytest.mark.parametrize("content", [b"{}", b"as long as it was"], ids=["longer", "as long"])
@pytest.mark.parametrize("name", ["record.json", "statement.dsse.json"])
def test_nothing_is_overwritten(name: str, content: bytes, bundle: Path, target: Path) -> None:
    """A file of that name with other content is refused by name and stays."""
    there = target / "acme" / "p" / bundle.name / name
    there.parent.mkdir(parents=True)
    there.write_bytes(content.ljust((bundle / name).stat().st_size) if len(content) > 2 else b"{}")
    before = there.read_bytes()
    local = contents(bundle)

    with refused(ArchiveError, "not-overwritten") as caught:
        archive_bundle(bundle, str(target))

    assert caught.value.file == f"acme/p/{bundle.name}/{name}"
    assert caught.value.exit_code == ExitCode.INCOMPLETE
    assert there.read_bytes() == before
    assert contents(bundle) == local


@pytest.mark.parametrize(
    ("name", "said"),
    [
        # Another key under the same name is refused.
        ("keys/{key}", "not-overwritten"),
    ],
)
def test_another_object_in_the_archive_is_refused(
    name: str, said: str, bundle: Path, target: Path, key: SigningKey
) -> None:
    """A file in the archive that is not the sealed one is refused by name."""
    names = {"key": f"{key.key_id}.pub.pem", "bundle": bundle.name}
    archive_bundle(bundle, str(target))
    (target / name.format(**names)).write_text("other")

    error = not_archived(bundle, target, ArchiveError, said)
    assert isinstance(error, ArchiveError)
    assert error.file == name.format(**names)


def test_a_copy_made_by_another_process_is_accepted(
    bundle: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy that another process makes at the same time is accepted if its content is equal."""
    archive_bundle(bundle, str(target))
    monkeypatch.setattr(Store, "sizes", lambda *_args: {})

    assert archive_bundle(bundle, str(target)).copied == 0

    (target / "acme" / "p" / bundle.name / "record.json").write_text("other")
    error = not_archived(bundle, target, ArchiveError, "not-overwritten")
    assert isinstance(error, ArchiveError)
    assert error.file == f"acme/p/{bundle.name}/record.json"


def test_every_file_is_read_back_and_compared(
    bundle: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that returned content that differs than was written is detected."""
    monkeypatch.setattr(Store, "read", lambda *_args: b"other")

    with refused(ArchiveError, "read-back-differs"):
        archive_bundle(bundle, str(target))


def test_an_archive_address_is_checked_without_contacting_it(target: Path, tmp_path: Path) -> None:
    """An invalid address is refused before a run; a valid one is not contacted."""
    tenant = tmp_path / "somewhere" / "acme" / "p"
    check_apart(str(target), tenant)
    check_apart("s3://nobody-asks-for-this-bucket/evidence", tenant)
    assert not target.exists()

    with refused(SettingsError, "not-an-archive"):
        check_apart("ftp://host", tenant)
    for evidence in (tenant, *tenant.parents[:2], tenant.parents[1] / "keys"):
        with refused(SettingsError, "archive-overlaps"):
            check_apart(str(evidence), tenant)


@pytest.mark.parametrize("leads", ["secret.txt", "elsewhere"])
def test_a_link_in_a_bundle_is_not_followed(
    leads: str, bundle: Path, target: Path, tmp_path: Path
) -> None:
    """A link to a file or a folder is refused, neither followed nor silently left out."""
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "elsewhere").mkdir()
    (bundle / "link.txt").symlink_to(tmp_path / leads)

    with refused(ContentError, "not-a-regular-file", kind="a link") as caught:
        archive_bundle(bundle, str(target))

    assert caught.value.file == "link.txt"
    assert not list(target.rglob("link.txt"))


def test_a_file_of_another_size_is_not_read(
    bundle: Path, target: Path, names_read: list[str]
) -> None:
    """An archived file of another size is refused without reading it."""
    archive_bundle(bundle, str(target))
    names_read.clear()
    (target / "acme" / "p" / bundle.name / "record.json").write_text("other")
    not_archived(bundle, target, ArchiveError, "not-overwritten")

    names = [Path(name).name for name in names_read]
    assert "journal.jsonl" in names
    assert "record.json" not in names


def test_a_file_above_the_size_limit_is_not_archived(
    bundle: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file above the size limit for fetching is not archived."""
    monkeypatch.setattr(archive, "LARGEST_OBJECT", 5)

    not_archived(bundle, target, ContentError, "too-large-to-archive", limit=5)


def test_bundles_are_found_at_and_below_a_path(evidence: Path, bundle: Path) -> None:
    """
    Bundles are found at a bundle, a tenant or the whole evidence; drafts are not.

    A bundle that an interrupted run left is finished first.
    """
    second = bundles_below(evidence)[1]
    shutil.copytree(bundle, bundle.parent / ".sealed-00000003")
    (bundle.parent / "20261124T120000Z-00000004").mkdir()

    assert bundles_below(bundle) == [bundle]
    assert bundles_below(evidence / "acme" / "p") == [bundle, second]
    assert bundles_below(evidence) == [bundle, second]

    shutil.rmtree(bundle.parent / ".sealed-00000003")
    bundle.rename(bundle.with_name(".sealed-00000001"))
    assert bundle in bundles_below(bundle.parents[1])
    assert bundle.is_dir()


def test_an_unreadable_path_is_not_left_out(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A bundle whose files cannot be listed is returned, so that archiving it says why.

    A tenant's folder that cannot be read is returned with its name and the reason.
    """
    home = bundle.parent
    with monkeypatch.context() as patch:
        patch.setattr(Path, "iterdir", DENIED)
        assert archive.evidence_below(bundle) == ([bundle], [])

    monkeypatch.setattr(archive, "bundles_in", DENIED)
    unreadable = UnreadablePath(home, "p", "It cannot be read: Permission denied.")
    assert archive.evidence_below(home) == ([], [unreadable])


def test_a_bundle_that_cannot_be_finished_is_refused(
    bundle: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bundle that cannot be finished is refused with a next step, not silently left out."""
    unfinished = bundle.rename(bundle.with_name(".sealed-00000001"))
    monkeypatch.setattr(archive, "finish_interrupted", DENIED)

    assert unfinished in bundles_below(bundle.parents[1])
    error = not_archived(unfinished, target, ArchiveError, "not-finished")
    assert wording("advice.archive-resumes") in error.diagnostics()
    assert not target.exists()


@pytest.mark.parametrize(
    "place",
    [
        "",
        "acme",
        "acme/more",
        "acme/p",
        "acme/p/more",
        "keys",
        "keys/more",
        "{bundle}",
        "{bundle}/more",
        "globex",
        "globex/more",
        "globex/p/more",
    ],
)
def test_an_archive_may_not_overlap_the_evidence(
    place: str, evidence: Path, bundle: Path, tmp_path: Path
) -> None:
    """An archive inside the evidence of a tenant is refused, and nothing is written."""
    shutil.copytree(evidence / "acme", evidence / "globex")
    before = contents(evidence)
    (tmp_path / "link").symlink_to(evidence)
    name = place.format(bundle=f"acme/p/{bundle.name}")

    for target in (evidence / name, tmp_path / "link" / name):
        with refused(SettingsError, "archive-overlaps"):
            archive_bundle(bundle, str(target))

    assert contents(evidence) == before


def test_an_archive_may_lie_beside_the_evidence(evidence: Path, bundle: Path) -> None:
    """An archive beside the evidence folder is accepted."""
    assert archive_bundle(bundle, str(evidence.parent / "archive")).present == 0


@pytest.mark.parametrize("name", ["report.html", "journal.jsonl", "statement.dsse.json", "new.txt"])
def test_an_altered_bundle_is_not_archived(name: str, bundle: Path, target: Path) -> None:
    """A bundle altered after sealing is refused before anything is copied."""
    content = (bundle / name).read_bytes() if (bundle / name).exists() else b"x"
    (bundle / name).write_bytes(content.replace(b"a", b"b", 1))

    with pytest.raises(EvidenceError) as caught:
        archive_bundle(bundle, str(target))

    assert caught.value.exit_code == ExitCode.REFUSED
    assert caught.value.file == name
    assert not target.exists()


def test_a_bundle_without_its_public_key_is_not_archived(bundle: Path, target: Path) -> None:
    """A bundle without its public key is refused; other files among the keys do not matter."""
    (key,) = (bundle.parents[2] / "keys").iterdir()
    (key.parent / "noise.pub.pem").write_text("no key")
    archive_bundle(bundle, str(target.parent / "before"))
    key.unlink()

    not_archived(bundle, target, ContentError, "key-not-beside-tenant")
    assert not target.exists()


def test_a_signed_bundle_that_no_runbook_wrote_is_not_archived(
    bundle: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signed bundle that cannot be understood is refused, with its name and the reason."""
    monkeypatch.setattr(archive, "verify_bundle", failing(KeyError("journal")))

    error = not_archived(bundle, target, ContentError, "not-understood", error="KeyError")
    assert isinstance(error, ContentError)
    assert error.file == f"acme/p/{bundle.name}"
    assert not target.exists()


def test_a_place_without_a_bundle_is_an_error(tmp_path: Path, target: Path) -> None:
    """A path without a bundle and an archive without objects raise `SettingsError`."""
    with refused(SettingsError, "no-sealed-bundle"):
        bundles_below(tmp_path / "nowhere")
    not_archived(tmp_path, target, SettingsError, "not-a-bundle")
    not_fetched(SettingsError, "nothing-at-address")


@pytest.mark.parametrize("place", ["", "/acme", "/acme/p", "/acme/p/{bundle}"])
def test_an_object_store_is_verified_at_any_level(
    place: str, evidence: Path, bundle: Path, trust: TrustAnchors
) -> None:
    """An object store can be verified at the level of the tree, a tenant or a bundle."""
    archive_all(evidence, "memory://bucket/evidence")

    with fetch_evidence(f"memory://bucket/evidence{place.format(bundle=bundle.name)}/") as folder:
        verdicts = list(verify_tree(folder, trust))
    assert [verdict.error for verdict in verdicts] == [None] * (1 if "{" in place else 3)
    assert verdicts[0].path.name == bundle.name
    assert not folder.exists()


def test_keys_are_not_looked_for_above_a_whole_tree(
    evidence: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the archive holds a whole tree, its files are fetched once: the keys are among them."""
    archive_all(evidence, "memory://bucket/evidence")
    asked: list[str] = []
    sizes = Store.sizes

    def note(store: Store, *below: str) -> dict[str, int]:
        asked.append(store.address)
        return sizes(store, *below)

    monkeypatch.setattr(Store, "sizes", note)

    with fetch_evidence("memory://bucket/evidence"):
        assert asked == ["memory://bucket/evidence"]


def test_keys_are_not_looked_for_above_the_bucket(
    bundle: Path, trust: TrustAnchors, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bundle or a tenant at the root of a bucket has no keys beside it, and is verified."""
    opened: list[str] = []
    monkeypatch.setattr(
        archive, "Store", lambda url, *limits: opened.append(url) or Store(url, *limits)
    )

    for path in bundle.rglob("*"):
        memory_file(f"/{bundle.name}/{path.name}", path.read_bytes())
        memory_file(f"/acme/p/{bundle.name}/{path.name}", path.read_bytes())

    with fetch_evidence(f"memory://{bundle.name}") as folder:
        assert errors_of(folder, trust) == [None]
    with fetch_evidence("memory://acme") as folder:
        assert errors_of(folder, trust) == [None, None]
    assert opened == [f"memory://{bundle.name}", "memory://acme"]


def memory_file(path: str, content: bytes) -> None:
    """Put an object into the store in memory, under any name."""
    from fsspec.implementations.memory import MemoryFile, MemoryFileSystem  # noqa: PLC0415

    MemoryFileSystem.store[path] = MemoryFile(MemoryFileSystem(), path, content)


def test_an_altered_object_is_refused(evidence: Path, bundle: Path, trust: TrustAnchors) -> None:
    """An object altered in the archive is rejected."""
    archive_all(evidence, "memory://bucket")
    memory_file(f"/bucket/acme/p/{bundle.name}/report.html", b"<p>All is well.</p>")

    with fetch_evidence("memory://bucket") as folder:
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

    not_fetched(ContentError, "object-not-evidence")

    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def not_fetched(kind: type[RunbookError], said: str) -> None:
    with refused(kind, said), fetch_evidence("memory://bucket"):
        pass  # pragma: no cover


@pytest.mark.parametrize(
    ("limit", "kind", "said"),
    [
        # An object above the size limit is not fetched.
        ((archive, "LARGEST_OBJECT", 5), ContentError, "content-altered.object-too-large"),
        # An object must have its listed size.
        (
            (Store, "read", lambda *_: b""),
            ArchiveError,
            "archive-refused.other-size",
        ),
    ],
)
def test_too_much_is_not_fetched(
    limit: tuple[Any, str, Any],
    kind: type[RunbookError],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As many objects as the limits allow are fetched, and no more."""
    memory_file("/bucket/acme/record.json", b"123456")
    for empty in ("x", "y"):
        memory_file(f"/bucket/acme/{empty}", b"")
    monkeypatch.setattr(stores, "MOST_OBJECTS", 3)
    with fetch_evidence("memory://bucket") as folder:
        assert len(list((folder / "acme").iterdir())) == 3

    # More objects than the limit are not fetched, also without a bundle.
    monkeypatch.setattr(stores, "MOST_OBJECTS", 2)
    not_fetched(ArchiveError, "archive-refused.too-many-objects")
    monkeypatch.setattr(stores, "MOST_OBJECTS", 3)
    monkeypatch.setattr(*limit)
    not_fetched(kind, said)


def test_a_folder_is_verified_in_place(bundle: Path, target: Path, trust: TrustAnchors) -> None:
    """A folder is not copied for verification, since a copy would hide links."""
    archive_bundle(bundle, str(target))
    place = target / "acme" / "p" / bundle.name
    (place / "report.html").replace(target / "report.html")
    (place / "report.html").symlink_to(target / "report.html")

    with fetch_evidence(f"file://{place}") as folder:
        (error,) = errors_of(folder, trust)
    assert folder == place
    assert "link" in str(error)


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
    key: SigningKey,
    trust: TrustAnchors,
) -> None:
    """Bundles of another chain are refused in any order, and the archive stays unchanged."""
    other = target.with_name("other")
    others = other_chain(other, key, *run_ids)
    if not has_journal:
        (other / "acme" / "p" / "journal.jsonl").unlink()
    archive_all(evidence, str(target))

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
    archive_all(evidence, url)

    names = {name.split("/")[2] for name in Store(url).sizes("acme/p")}
    assert names == {bundle.name for bundle in every}
    with refused(ChainError, "another-chain", name="acme/p"):
        archive_bundle(other, url)


def test_a_forked_chain_is_refused(
    evidence: Path, target: Path, tmp_path: Path, key: SigningKey
) -> None:
    """If a copied folder continues on its own, its bundles are refused from the fork on."""
    copy = Path(shutil.copytree(evidence, tmp_path / "copy"))
    seal_run(ended_run(evidence, "00000003"), key)
    seal_run(ended_run(copy, "0000000c"), key)
    seal_run(ended_run(copy, "0000000d"), key)
    archive_all(evidence, str(target))

    for bundle in bundles_below(copy):
        name = "20261124T120000Z-00000003"
        not_archived(bundle, target, ChainError, "other-number", number=3, name=name)


def test_gaps_are_filled_later(
    evidence: Path, target: Path, key: SigningKey, trust: TrustAnchors
) -> None:
    """Bundles can be archived in any order, also after older ones were removed."""
    for run_id in ("00000003", "00000004"):
        seal_run(ended_run(evidence, run_id), key)
    first, second, third, fourth = bundles_below(evidence)

    for bundle in (fourth, first, third):
        archive_bundle(bundle, str(target))
    shutil.rmtree(first)
    archive_bundle(second, str(target))

    assert errors_of(target, trust) == [None] * 5


def test_one_statement_of_a_long_chain_is_read(
    evidence: Path, target: Path, names_read: list[str]
) -> None:
    """Archiving compares one statement, however long the chain is."""
    archive_all(evidence, str(target))
    first, second = bundles_below(evidence)
    connector = target / "acme" / "p"
    for number in range(20):
        shutil.copytree(connector / first.name, connector / f"20261124T120001Z-{number:08x}")
        shutil.copytree(first, first.parent / f"20261124T120001Z-{number:08x}")
    (first.parent / "journal.jsonl").unlink()
    names_read.clear()
    archive_bundle(second, str(target))

    statements = {name.split("/")[2] for name in names_read if name.endswith("statement.dsse.json")}
    assert len(statements - {second.name}) == 1


def test_an_invalid_statement_in_the_archive_is_named(bundle: Path, target: Path) -> None:
    """An invalid statement in the archive is an error, since the chain is then unknown."""
    place = target / "acme" / "p" / "20261124T120000Z-0000000f"
    place.mkdir(parents=True)
    (place / "statement.dsse.json").write_bytes(b"[" * 100_000)

    error = not_archived(bundle, target, ContentError, "not-a-bundles-statement")
    assert isinstance(error, ContentError)
    assert error.file == f"acme/p/{place.name}/statement.dsse.json"
