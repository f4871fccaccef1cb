"""Files that somebody else put there: plain ones are read up to a size, others are named."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from runbook_lib.core.files import draft_beside, open_plain, read_plain


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
def test_what_is_no_regular_file_is_named_at_once(tmp_path, monkeypatch, kind):
    """Nothing waits for a pipe's writer or for the end of a device."""

    monkeypatch.chdir(tmp_path)
    path = Path("odd")
    ODD[kind](path)

    with pytest.raises(OSError, match=f"it is {kind}, not a regular file"):
        read_plain(path, 100)


def test_a_link_is_followed_only_where_the_reader_says_so(tmp_path):
    """A person may link a settings file; evidence holds no links."""

    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to("file")

    assert read_plain(tmp_path / "link", 100) == b"content"
    with pytest.raises(OSError, match="it is a link, not a regular file"):
        read_plain(tmp_path / "link", 100, follows_links=False)


def test_a_file_is_read_up_to_the_size_that_is_asked_for(tmp_path):
    """A huge file costs no memory beyond the limit."""

    (tmp_path / "file").write_bytes(b"12345")

    assert read_plain(tmp_path / "file", 5) == b"12345"
    with pytest.raises(OSError, match="it has more than 4 bytes"):
        read_plain(tmp_path / "file", 4)


def test_a_file_that_is_not_there_is_said_to_be_missing(tmp_path):
    """The system's own words stay where they are clear."""

    with pytest.raises(FileNotFoundError):
        read_plain(tmp_path / "file", 4)


def test_what_takes_a_files_place_after_the_look_is_refused(tmp_path, monkeypatch):
    """The opened file itself is looked at, not only its name."""

    path = tmp_path / "file"
    path.write_bytes(b"content")
    looked = path.stat()
    path.unlink()
    os.mkfifo(path)
    monkeypatch.setattr(Path, "stat", lambda self: looked)

    with pytest.raises(OSError, match="named pipe"):
        open_plain(path)


def test_a_draft_takes_its_place_or_goes(tmp_path):
    """What was not finished leaves no trace, and two writers do not meet."""

    path = tmp_path / "state.json"
    with draft_beside(path) as first, draft_beside(path) as second:
        assert first != second
        first.write_bytes(b"first")
        second.write_bytes(b"second")
        first.replace(path)

    assert path.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_writer_left_is_removed_by_the_next(tmp_path):
    """Nothing grows over many kills; a writer that is at work keeps its draft, as do others."""

    path = tmp_path / "state.json"
    old, young, other = (
        tmp_path / name
        for name in (".state.json.00.draft", ".state.json.01.draft", ".key.pem.00.draft")
    )
    for each in (old, young, other):
        each.write_bytes(b"half")
    for each in (old, other):
        os.utime(each, (0, 0))
    folder, link = tmp_path / ".state.json.02.draft", tmp_path / ".state.json.03.draft"
    folder.mkdir()
    link.symlink_to(other)

    with draft_beside(path):
        pass

    assert sorted(tmp_path.iterdir()) == sorted([young, other, folder, link])
