"""Reading files that others may have put there: regular ones up to a size, others are refused."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from runbook_lib.core.files import draft_beside, hold_lock, open_plain, read_plain, write_once
from runbook_lib.errors import BusyError
from tests.support.wording import refused, refused_naming


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


ODD = {
    "a folder": Path.mkdir,
    "a named pipe": os.mkfifo,
    "a socket": make_socket,
    "a device": lambda path: path.symlink_to("/dev/zero"),
}


@pytest.mark.parametrize("kind", ODD)
def test_a_path_that_is_not_a_regular_file_is_refused_at_once(tmp_path, monkeypatch, kind):
    """A folder, pipe, socket or device is refused by its kind, without waiting for it."""
    monkeypatch.chdir(tmp_path)
    path = Path("odd")
    ODD[kind](path)

    for act in (lambda: read_plain(path, 100), lambda: hold_lock(path).__enter__()):
        with refused(OSError, "not-a-regular-file", kind=kind):
            act()


def test_a_lock_is_held_by_one_at_a_time(tmp_path):
    """The second caller gets the given error, or `TimeoutError`; afterwards the lock is free."""
    path = tmp_path / "new.lock"
    busy = BusyError("Another has it.")
    with hold_lock(path):
        for expected, given in ((BusyError, busy), (TimeoutError, None)):
            with pytest.raises(expected), hold_lock(path, busy=given):
                pytest.fail("two have the lock")
    with refused_naming(ValueError, "mine"), hold_lock(path, busy=busy):
        raise ValueError("mine")
    with hold_lock(path, busy=busy):
        pass


def test_a_link_is_followed_only_where_the_reader_says_so(tmp_path):
    """A link is followed unless `follows_links` is false."""
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to("file")

    assert read_plain(tmp_path / "link", 100) == b"content"
    with refused(OSError, "not-a-regular-file", kind="a link"):
        read_plain(tmp_path / "link", 100, follows_links=False)


def test_a_file_is_read_up_to_the_size_that_is_asked_for(tmp_path):
    """A file above the given size is refused."""
    (tmp_path / "file").write_bytes(b"12345")

    assert read_plain(tmp_path / "file", 5) == b"12345"
    with refused(OSError, "too-large", limit=4):
        read_plain(tmp_path / "file", 4)


def test_a_missing_file_raises(tmp_path):
    """A missing file raises `FileNotFoundError`."""
    with pytest.raises(FileNotFoundError):
        read_plain(tmp_path / "file", 4)


def test_a_file_that_is_replaced_before_it_is_opened_is_refused(tmp_path, monkeypatch):
    """The opened file itself is checked, not only its path."""
    path = tmp_path / "file"
    path.write_bytes(b"content")
    looked = path.stat()
    path.unlink()
    os.mkfifo(path)
    monkeypatch.setattr(Path, "stat", lambda self: looked)

    with refused_naming(OSError, "named pipe"):
        open_plain(path)


def test_a_draft_replaces_the_file_or_is_removed(tmp_path):
    """An unfinished draft is removed, and two writers have separate drafts."""
    path = tmp_path / "state.json"
    with draft_beside(path) as first, draft_beside(path) as second:
        assert first != second
        first.write_bytes(b"first")
        second.write_bytes(b"second")
        first.replace(path)

    assert path.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_is_written_once_survives_a_power_cut(tmp_path, monkeypatch):
    """The content is flushed, then the name; a second writer changes nothing."""
    flushed = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: flushed.append(os.fstat(descriptor).st_ino))

    assert write_once(tmp_path / "key.pem", b"first")
    assert flushed == [(tmp_path / "key.pem").stat().st_ino, tmp_path.stat().st_ino]

    assert not write_once(tmp_path / "key.pem", b"second")
    assert (tmp_path / "key.pem").read_bytes() == b"first"


def test_an_old_draft_is_removed_by_the_next_writer(tmp_path):
    """Old drafts of the same file are removed; young drafts and drafts of other files stay."""
    path = tmp_path / "state.json"
    old, young, other = (
        tmp_path / name
        for name in (".state.json.00.draft", ".state.json.01.draft", ".key.pem.00.draft")
    )
    for each in (old, young, other):
        each.write_bytes(b"half")
    for each in (old, other):
        os.utime(each, (0, 0))
    folder = tmp_path / ".state.json.02.draft"
    link = tmp_path / ".state.json.03.draft"
    folder.mkdir()
    link.symlink_to(other)

    with draft_beside(path):
        pass

    assert sorted(tmp_path.iterdir()) == sorted([young, other, folder, link])
