"""
Files that somebody else may have put there: opened only if they are plain, read up to a size.

A named pipe would wait for ever, a device may never end, a socket cannot be
read. What a file means is for its reader.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

__all__ = ["check_place", "kind_of", "open_plain", "read_plain"]

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISLNK, "a link"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def kind_of(mode: int) -> str:
    """Return what a file's `st_mode` says that it is, in words; empty for a regular file."""
    return next((words for is_kind, words in _KINDS if is_kind(mode)), "")


def open_plain(path: Path, *, follows_links: bool = True) -> BinaryIO:
    """
    Open the regular file at `path` for reading, never waiting for another process.

    Raises `OSError`, with what `path` is instead as its `strerror`.
    """
    _check_kind(path, path.stat() if follows_links else path.lstat())
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    if not follows_links:
        flags |= getattr(os, "O_NOFOLLOW", 0)
    file = os.fdopen(os.open(path, flags), "rb")
    try:
        # NOTE: another file may have taken its place since it was looked at.
        _check_kind(path, os.fstat(file.fileno()))
    except OSError:
        file.close()
        raise
    return file


def read_plain(path: Path, most: int, *, follows_links: bool = True) -> bytes:
    """
    Return the content of the regular file at `path`, which has at most `most` bytes.

    Raises `OSError`, with the reason as its `strerror`.
    """
    with open_plain(path, follows_links=follows_links) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"it has more than {most:,} bytes", str(path))
    return content


def check_place(path: Path) -> None:
    """Raise `OSError` where something else than a regular file has this name already."""
    try:
        _check_kind(path, path.stat())
    except FileNotFoundError:
        return


def _check_kind(path: Path, status: os.stat_result) -> None:
    kind = kind_of(status.st_mode)
    if kind:
        raise OSError(errno.EINVAL, f"it is {kind}, not a regular file", str(path))
