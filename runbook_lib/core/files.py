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
    "sync_folder",
    "write_once",
    "write_whole",
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


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable (POSIX fsync(2), NOTES)."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_whole(path: Path, content: bytes, *, is_durable: bool = True) -> None:
    """
    Write `content` to `path`, whole or not at all; what was there stays until then.

    With `is_durable` it is on disk when this returns, with its name.
    """
    with draft_beside(path) as draft:
        _write_new(draft, content, 0o666, is_durable=is_durable)
        draft.replace(path)
    if is_durable:
        sync_folder(path.parent)


def write_once(
    path: Path, content: bytes, *, mode: int = 0o666, drafts: Path | None = None
) -> bool:
    """
    Write `content` to `path`, whole and durable, unless something is there; return whether so.

    Of several who do it at once one succeeds. `drafts` names the draft where it
    must not lie beside `path`.
    """
    with draft_beside(drafts or path) as draft:
        _write_new(draft, content, mode, is_durable=True)
        is_new = _named(draft, path)
    sync_folder(path.parent)
    return is_new


def _write_new(path: Path, content: bytes, mode: int, *, is_durable: bool) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    with os.fdopen(os.open(path, flags, mode), "wb") as file:
        file.write(content)
        if is_durable:
            file.flush()
            os.fsync(file.fileno())


def _named(draft: Path, path: Path) -> bool:
    """Give `draft` the name `path` too, unless that is taken; return whether it was free."""
    try:
        path.hardlink_to(draft)
    except FileExistsError:
        return False
    except OSError:
        # NOTE: FAT and some network drives have no hard links. A rename is whole there too, but
        # another process may take the name between looking and renaming.
        if os.path.lexists(path):
            return False
        draft.rename(path)
    return True


def _remove_abandoned(entry: os.DirEntry[str]) -> None:
    with contextlib.suppress(OSError):
        status = entry.stat(follow_symlinks=False)
        if stat.S_ISREG(status.st_mode) and time.time() - status.st_mtime > _ABANDONED_SECONDS:
            Path(entry.path).unlink()


def _check_kind(path: Path, status: os.stat_result) -> None:
    kind = kind_of(status.st_mode)
    if kind:
        raise OSError(errno.EINVAL, f"it is {kind}, not a regular file", str(path))
