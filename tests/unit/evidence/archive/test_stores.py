"""Stores create an object once and completely; their errors are in the operator's terms."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Thread, current_thread
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFile

from runbook_lib.config import formats
from runbook_lib.config.formats import archive_address
from runbook_lib.errors import ArchiveError, SettingsError, StoreUnavailableError
from runbook_lib.evidence.archive import stores
from runbook_lib.evidence.archive.stores import Store
from tests.support.wording import refused, refused_naming, wording
from tests.unit.evidence.conftest import failing


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
        Store(text)

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
    Store(str(tmp_path / "archive")).make("acme/x/record.json", b"content")

    (drafted, *whole), folder = flushed
    assert whole == [b"content", False]
    assert drafted.parent == tmp_path / "archive"  # within a bundle it would be an additional file
    assert folder == (final.parent, b"", True)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [final]


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk leaves neither a file nor its draft, and the error has the reason."""
    full = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(os, "fsync", failing(full))

    with refused_naming(StoreUnavailableError, "No space left on device") as caught:
        Store(str(tmp_path)).make("acme/a", b"content")

    assert caught.value.file == "acme/a"
    assert wording("advice.archive-resumes-here") in caught.value.diagnostics()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_path_that_is_not_a_folder_is_an_error(tmp_path: Path) -> None:
    """A file in the folder's place is an error when writing and when reading."""
    (tmp_path / "file").write_text("x")
    store = Store(str(tmp_path / "file"))

    with refused_naming(StoreUnavailableError, "NotADirectoryError"):
        store.make("acme/a", b"content")
    with refused_naming(StoreUnavailableError, "NotADirectoryError"):
        store.read("acme/a", 1)


def test_a_drive_without_hard_links_is_supported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without hard links, files are still created completely and never overwritten."""
    store_error = OSError(errno.EPERM, "Operation not permitted")
    monkeypatch.setattr(Path, "hardlink_to", failing(store_error))
    store = Store(str(tmp_path))

    store.make("a", b"first")
    store.make("a", b"second")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"first"}


def test_a_link_under_the_name_is_neither_followed_nor_replaced(tmp_path: Path) -> None:
    """A link under the name counts as existing; it is neither followed nor replaced."""
    (tmp_path / "a").symlink_to(tmp_path / "elsewhere")

    Store(str(tmp_path)).make("a", b"content")
    assert (tmp_path / "a").is_symlink()
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize(("scheme", "module"), [("gs", "gcsfs"), ("az", "adlfs"), ("s3", "s3fs")])
def test_a_missing_driver_is_named(
    scheme: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missing driver is named in fsspec's own words, before the store is contacted."""
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, scheme, raising=False)

    with refused(SettingsError, "not-an-archive") as caught:
        Store(f"{scheme}://bucket")
    assert module in str(caught.value)


@pytest.fixture
def driver(memory: str, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[..., Any]], None]:
    """Return a function that replaces how the store in memory writes."""
    return partial(monkeypatch.setattr, "fsspec.implementations.memory.MemoryFileSystem.pipe_file")


def test_a_lost_race_leaves_the_other_object(
    driver: Callable[[Callable[..., Any]], None], memory: str
) -> None:
    """An object that somebody else creates meanwhile is left, whatever error the driver raises."""
    said: list[str] = []
    store = Store(memory, say=said.append)

    def lose(self: Any, path: str, _content: bytes, **_mode: str) -> None:
        self.store[path] = MemoryFile(self, path, b"theirs")
        raise OSError(22, "412")

    driver(lose)
    store.make("acme/a", b"ours")

    assert store.read("acme/a", 6) == b"theirs"
    assert len(said) == 1


def test_a_store_that_does_not_answer_is_an_error(
    driver: Callable[[Callable[..., Any]], None], memory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If a store does not answer in time, the error names the object; a daemon still waits."""
    ends = Event()
    waiting = SimpleQueue[Thread]()

    def wait(*_args: Any, **_options: Any) -> None:
        waiting.put(current_thread())
        ends.wait()

    driver(wait)
    monkeypatch.setattr(stores, "_TRIES_LEFT", (0,))

    with refused(StoreUnavailableError, "silent", url=memory, seconds=0) as caught:
        Store(memory, seconds=0.01).make("acme/a", b"x")

    assert caught.value.file == "acme/a"
    assert wording("advice.archive-resumes-here") in caught.value.diagnostics()
    thread = waiting.get(timeout=240)
    assert thread.daemon
    ends.set()
    thread.join()


def test_files_are_listed_and_fetched_in_every_folder(tmp_path: Path) -> None:
    """All files below a folder are listed with sizes, and read."""
    store = Store(str(tmp_path / "store"))
    for name in ("a", "b/c", "b/d/e/f"):
        store.make(name, name.encode())
    assert store.sizes() == {"a": 1, "b/c": 3, "b/d/e/f": 7}
    assert store.sizes("b/d") == {"b/d/e/f": 7}
    assert store.sizes("nowhere") == {}
    assert store.read("b/c", 3) == b"b/c"


def test_kinds_and_addresses_go_together() -> None:
    """Every kind of object store has a valid address."""
    assert [archive_address(f"{scheme}://bucket") for scheme in formats.OBJECT_STORES]


def test_a_stores_own_error_is_shown_without_credentials(
    driver: Callable[[Callable[..., Any]], None], memory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its text may quote what was sent and signed, so values of the environment are masked."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI-dummy")
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", "AccountKey=dummy/9x==")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "")
    text = "denied for wJalrXUtnFEMI-dummy, AccountKey=dummy/9x==, token=EAABcd" + "1a2B" * 20
    driver(failing(PermissionError(text)))

    with refused_naming(ArchiveError, "denied for", "PermissionError") as caught:
        Store(memory).make("a", b"x")
    shown = f"{caught.value}{caught.value.diagnostics()}"
    assert not [part for part in ("wJalr", "dummy/9x", "EAABcd") if part in shown]
