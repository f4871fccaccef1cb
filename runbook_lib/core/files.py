"""
Files: read only if they are plain, and up to a size; written beside their name first.

A named pipe would wait for ever, a device may never end, a socket cannot be
read. What a file means is for its reader.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

__all__ = [
    "check_place",
    "draft_beside",
    "is_folder",
    "kind_of",
    "open_plain",
    "read_plain",
    "remove",
]

# No file takes so long to be written: its process was killed.
_ABANDONED_SECONDS = 600

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


def is_folder(path: Path) -> bool:
    """Return whether `path` leads to a folder; false too where the name is none."""
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except (OSError, ValueError):
        return False


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


def remove(path: Path) -> None:
    """Remove whatever is at `path`, a whole folder too, as far as that is possible."""
    # NOTE: `rmtree` opens a named pipe, and waits; it recurses, and gives up on deep folders.
    with contextlib.suppress(OSError, RecursionError):
        if stat.S_ISDIR(path.lstat().st_mode):
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()


@contextmanager
def draft_beside(path: Path) -> Iterator[Path]:
    """
    Give a free, hidden name beside `path` for a file that takes its place; remove what is left.

    What killed processes left of earlier drafts of `path` is removed first.
    """
    prefix, suffix = f".{path.name}.", ".draft"
    with contextlib.suppress(OSError), os.scandir(path.parent) as entries:
        for entry in entries:
            if entry.name.startswith(prefix) and entry.name.endswith(suffix):
                _remove_abandoned(entry)
    draft = path.with_name(f"{prefix}{secrets.token_hex(8)}{suffix}")
    try:
        yield draft
    finally:
        draft.unlink(missing_ok=True)


def _remove_abandoned(entry: os.DirEntry[str]) -> None:
    with contextlib.suppress(OSError):
        status = entry.stat(follow_symlinks=False)
        if stat.S_ISREG(status.st_mode) and time.time() - status.st_mtime > _ABANDONED_SECONDS:
            Path(entry.path).unlink()


def _check_kind(path: Path, status: os.stat_result) -> None:
    kind = kind_of(status.st_mode)
    if kind:
        raise OSError(errno.EINVAL, f"it is {kind}, not a regular file", str(path))
