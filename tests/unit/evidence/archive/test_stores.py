"""Stores create an object once and completely; their errors are in the operator's terms."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Thread, current_thread
from typing import Any

import fsspec
import pytest

from runbook_lib.config import formats
from runbook_lib.config.formats import archive_address
from runbook_lib.errors import ArchiveError, SettingsError, StoreUnavailableError
from runbook_lib.evidence.archive.stores import FolderStore, Store, TransferLimits, open_store
from tests.support.wording import refused, wording
from tests.unit.evidence.conftest import failing

ROOT = Path(__file__).parents[4]


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (" s3://bucket/evidence/ ", "s3://bucket/evidence"),
        ("s3://bucket", "s3://bucket"),
        ("gs://bucket/a/b", "gs://bucket/a/b"),
        ("az://container/a", "az://container/a"),
        ("s3://bucket/a@b", "s3://bucket/a@b"),
        ("/mnt/archive/", "/mnt/archive"),
        ("file:///mnt/archive", "/mnt/archive"),
    ],
)
def test_an_address_is_brought_into_one_form(text: str, address: str) -> None:
    """An address is normalised."""
    assert archive_address(text) == address


def test_a_folder_becomes_absolute(folder: Path) -> None:
    """A relative path becomes absolute, so that it means the same from every folder."""
    assert archive_address("archive") == str(folder / "archive")
    assert archive_address("~/archive") == str(Path.home() / "archive")


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "s3://",
        "ftp://host/secret",
        "https://bucket.example/secret",
        "s3://AKIA:secret@bucket/evidence",
        "az://container/evidence?sig=secret",
        "filecache::s3://bucket/secret",
        "s3://bucket/secret::memory",
        "s3://bucket/../secret",
        "s3://bucket//secret",
        "s3:///secret",
    ],
)
def test_an_invalid_address_is_refused_unquoted(text: str) -> None:
    """An invalid address is refused without being quoted, since it may contain credentials."""
    with refused(SettingsError, "not-an-archive") as caught:
        open_store(text)

    assert "secret" not in str(caught.value)
    assert "AKIA" not in str(caught.value)


def test_a_file_has_its_name_only_once_it_is_whole_and_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file has its name once it is complete and flushed: a power cut leaves all or nothing."""
    final = tmp_path / "archive" / "acme" / "x" / "record.json"
    flushed: list[tuple[Path, bytes, bool]] = []
    fsync = os.fsync

    def note(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        content = path.read_bytes() if path.is_file() else b""
        flushed.append((path, content, final.exists()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    FolderStore(str(tmp_path / "archive")).make("acme/x/record.json", b"content")

    (drafted, *whole), *folders = flushed
    assert whole == [b"content", False]
    assert drafted.parent == tmp_path / "archive"  # within a bundle it would be an additional file
    assert folders == [(final.parents[number], b"", True) for number in range(3)]
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [final]


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk leaves neither a file nor its draft, and the error has the reason."""
    full = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(os, "fsync", failing(full))

    with refused(ArchiveError, "no-space") as caught:
        FolderStore(str(tmp_path)).make("acme/a", b"content")

    assert caught.value.file == "acme/a"
    assert wording("advice.free-disk-space") in caught.value.diagnostics()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_path_that_is_not_a_folder_is_an_error(tmp_path: Path) -> None:
    """A file in the folder's place raises `ArchiveError` when writing and when reading."""
    (tmp_path / "file").write_text("x")
    store = FolderStore(str(tmp_path / "file"))

    with refused(ArchiveError, "cannot-be-used"):
        store.make("acme/a", b"content")
    with refused(ArchiveError, "cannot-be-used"):
        store.read("acme/a")


def test_a_drive_without_hard_links_is_supported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without hard links, files are still created completely and never overwritten."""
    store_error = OSError(errno.EPERM, "Operation not permitted")
    monkeypatch.setattr(Path, "hardlink_to", failing(store_error))
    store = FolderStore(str(tmp_path))

    assert store.make("a", b"first") is True
    assert store.make("a", b"second") is False
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"first"}


def test_a_link_under_the_name_is_neither_followed_nor_replaced(tmp_path: Path) -> None:
    """A link under the name counts as existing; it is neither followed nor replaced."""
    (tmp_path / "a").symlink_to(tmp_path / "elsewhere")

    assert FolderStore(str(tmp_path)).make("a", b"content") is False
    assert (tmp_path / "a").is_symlink()
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize(("scheme", "module"), [("gs", "gcsfs"), ("az", "adlfs"), ("s3", "s3fs")])
def test_a_missing_driver_is_named(
    scheme: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missing driver is named with the command that installs it."""
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, scheme, raising=False)

    with refused(ArchiveError, "no-driver", url=scheme) as got:
        open_store(f"{scheme}://bucket")

    extra = {"gs": "gcs", "az": "azure", "s3": "s3"}[scheme]
    assert f"pip install -e '.[{extra}]'" in got.value.diagnostics()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (requirement,) = project["optional-dependencies"][extra]
    assert requirement.startswith(module)


def test_a_driver_without_settings_names_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """If a driver lacks its settings, the error says which variables set them."""
    unset = ValueError("Must provide account_name")
    monkeypatch.setattr(fsspec, "url_to_fs", failing(unset))

    with refused(ArchiveError, "no-credentials-for-driver") as caught:
        open_store("az://container/evidence")

    assert "AZURE_STORAGE_ACCOUNT_NAME" in caught.value.diagnostics()


class Driver:
    """Replaces a driver; its calls fail as given."""

    def __init__(
        self, *, failure: Exception | None = None, is_there: bool | Exception = False
    ) -> None:
        self.failure = failure or OSError()
        self.is_there = is_there

    def pipe_file(self, *_args: Any, **_options: Any) -> None:
        """Raise the failure."""
        raise self.failure

    def exists(self, _path: str) -> bool:
        """Return or raise the given result."""
        if isinstance(self.is_there, Exception):
            raise self.is_there
        return self.is_there


def store_with(
    monkeypatch: pytest.MonkeyPatch, driver: Driver, limits: TransferLimits | None = None
) -> Store:
    monkeypatch.setattr(fsspec, "url_to_fs", lambda *_args, **_options: (driver, "bucket"))
    return open_store("gs://bucket", limits)


def test_after_an_error_the_object_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """An object that exists after an error was not created; otherwise the first error is raised."""
    driver = Driver(failure=OSError(22, "412"), is_there=True)
    assert store_with(monkeypatch, driver).make("a", b"x") is False

    for is_there in (False, OSError("and this fails too")):
        driver = Driver(failure=PermissionError("403 Forbidden"), is_there=is_there)
        with refused(ArchiveError, "store-refuses-access"):
            store_with(monkeypatch, driver).make("a", b"x")


def test_a_store_that_does_not_answer_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """If a store does not answer in time, the error names the object; a daemon still waits."""
    ends = Event()
    waiting = SimpleQueue[Thread]()

    class Silent(Driver):
        def pipe_file(self, *_args: Any, **_options: Any) -> None:
            """Wait until the test ends."""
            waiting.put(current_thread())
            ends.wait()

    store = store_with(monkeypatch, Silent(), TransferLimits(seconds=0.01, retries=0))

    with pytest.raises(StoreUnavailableError) as caught:
        store.make("acme/a", b"x")

    assert caught.value.file == "acme/a"
    assert wording("archive-unavailable.silent", url="gs://bucket", seconds=0) in str(caught.value)
    assert wording("advice.archive-resumes-here") in caught.value.diagnostics()
    thread = waiting.get(timeout=240)
    assert thread.daemon
    ends.set()
    thread.join()


@pytest.mark.parametrize("scheme", ["s3", "gs"])
def test_the_limits_apply_to_every_store(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each store gets the limits that it is opened with; S3's driver gets them as time-outs too."""
    given: list[dict[str, Any]] = []

    def opened(_address: str, **options: Any) -> tuple[Driver, str]:
        given.append(options.get("config_kwargs", {}))
        return Driver(), "bucket"

    monkeypatch.setattr(fsspec, "url_to_fs", opened)
    limits = TransferLimits(seconds=7, retries=0)

    assert open_store(f"{scheme}://bucket", limits).limits is limits
    waiting = {"connect_timeout": 7, "read_timeout": 7, "retries": {"max_attempts": 0}}
    assert given == [waiting if scheme == "s3" else {}]


def test_files_are_listed_and_fetched_in_every_folder(tmp_path: Path) -> None:
    """All files below a folder are listed with sizes, and fetched; links are not followed."""
    store = open_store(str(tmp_path / "store"))
    home = tmp_path / "store"
    for name in ("a", "b/c", "b/d/e/f"):
        store.make(name, name.encode())
    (home / "b" / "g").symlink_to(home / "b" / "d")

    assert store.sizes() == {"a": 1, "b/c": 3, "b/d/e/f": 7}
    assert store.sizes("b/d") == {"b/d/e/f": 7}
    assert store.sizes("nowhere") == {}
    store.fetch({"b/c": tmp_path / "c"})
    assert (tmp_path / "c").read_bytes() == b"b/c"


def test_nothing_of_a_cloud_is_loaded_for_a_folder(tmp_path: Path) -> None:
    """A folder as archive loads no cloud driver."""
    code = (
        "import sys; from runbook_lib.evidence.archive.stores import open_store; "
        f"open_store({str(tmp_path)!r}); assert 'fsspec' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_kinds_and_addresses_go_together() -> None:
    """Every kind of object store has a valid address."""
    assert [archive_address(f"{scheme}://bucket") for scheme in formats.OBJECT_STORES]
