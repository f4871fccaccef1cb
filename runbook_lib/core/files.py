"""
Safe file access: read only regular files of limited size, write atomically, and lock.

Reading a named pipe could block forever, and a device may never end.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from runbook_lib.errors import RunbookError, reported_as

# A draft older than this belongs to a killed process.
_ABANDONED_SECONDS = 600

# Tells whether a path is a folder or a link to one; false for an invalid name, too.
is_folder = os.path.isdir
# Name of the journal in a tenant's folder, and of its copy in a bundle.
JOURNAL_NAME = "journal.jsonl"
# Tells whether anything is at a path, even if only a broken link.
is_there = os.path.lexists

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISLNK, "a link"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def kind_of(mode: int) -> str:
    """Return the kind of file in a `st_mode`, in words; empty for a regular file."""
    return next((words for is_kind, words in _KINDS if is_kind(mode)), "")


def open_plain(path: Path, *, follows_links: bool = True) -> BinaryIO:
    """
    Open the regular file at `path` for reading, without blocking.

    Raises `OSError` for anything else; its `strerror` names the kind of file.
    """
    _check_kind(path, path.stat() if follows_links else path.lstat())
    flags = os.O_RDONLY | os.O_NONBLOCK
    if not follows_links:
        flags |= os.O_NOFOLLOW
    file = os.fdopen(os.open(path, flags), "rb")
    try:
        # NOTE: the file may have been replaced since the first check.
        _check_kind(path, os.fstat(file.fileno()))
    except OSError:
        file.close()
        raise
    return file


def read_plain(path: Path, most: int, *, follows_links: bool = True) -> bytes:
    """
    Return the content of the regular file at `path`.

    Raises `OSError`, with the reason as its `strerror`, also for more than `most` bytes.
    """
    with open_plain(path, follows_links=follows_links) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"it has more than {most:,} bytes", str(path))
    return content


def read_text(path: Path, most: int, kind: type[RunbookError], what: str) -> str:
    """
    Return the UTF-8 text of the file at `path`, without its byte-order mark.

    Raises an error of type `kind`; its message begins with `what`, such as "The settings file".
    """
    with reported_as(kind, f"{what} {path} cannot be read"):
        content = read_plain(path, most)
    try:
        return content.decode("utf-8-sig")
    except ValueError:
        raise kind(f"{what} {path} is not UTF-8 text.") from None


def check_place(path: Path) -> None:
    """Raise `OSError` if `path` exists and is not a regular file."""
    try:
        _check_kind(path, path.stat())
    except FileNotFoundError:
        return


def remove(path: Path) -> None:
    """Remove the file or folder at `path`, as far as possible."""
    # NOTE: `rmtree` opens a named pipe, and waits; it recurses, and fails on deep folders.
    with contextlib.suppress(OSError, RecursionError):
        if stat.S_ISDIR(path.lstat().st_mode):
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()


@contextmanager
def draft_beside(path: Path) -> Iterator[Path]:
    """
    Yield an unused hidden name beside `path` for a file that will replace it; clean up after.

    Removes the drafts of `path` that killed processes left.
    """
    prefix = f".{path.name}."
    suffix = ".draft"
    with contextlib.suppress(OSError), os.scandir(path.parent) as entries:
        for entry in entries:
            if entry.name.startswith(prefix) and entry.name.endswith(suffix):
                with contextlib.suppress(OSError):
                    status = entry.stat(follow_symlinks=False)
                    age = time.time() - status.st_mtime
                    if stat.S_ISREG(status.st_mode) and age > _ABANDONED_SECONDS:
                        Path(entry.path).unlink()
    draft = path.with_name(f"{prefix}{secrets.token_hex(8)}{suffix}")
    try:
        yield draft
    finally:
        draft.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable (POSIX fsync(2), NOTES)."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_whole(path: Path, content: bytes, *, is_durable: bool = True, mode: int = 0o666) -> None:
    """
    Write `content` to `path` atomically; an earlier file stays until then.

    With `is_durable` the file and its name are on disk when this returns.
    """
    write_parts(path, [content], is_durable=is_durable, mode=mode)


def write_parts(
    path: Path, parts: Iterable[bytes], *, is_durable: bool = True, mode: int = 0o666
) -> None:
    """Write `parts` one after the other, as `write_whole` does; they are not kept in memory."""
    with draft_beside(path) as draft:
        _write_new(draft, parts, mode, is_durable=is_durable)
        draft.replace(path)
    if is_durable:
        sync_folder(path.parent)


def write_once(
    path: Path, content: bytes, *, mode: int = 0o666, drafts: Path | None = None
) -> bool:
    """
    Write `content` to `path`, atomically and durably, unless it exists; return whether it was new.

    If several processes do this at once, one succeeds. The draft is beside `drafts`, or else beside
    `path`.
    """
    with draft_beside(drafts or path) as draft:
        _write_new(draft, [content], mode, is_durable=True)
        is_new = _take_name(draft, path)
    sync_folder(path.parent)
    return is_new


@contextmanager
def hold_lock(
    path: Path, *, seconds: float = 0, busy: RunbookError | None = None
) -> Iterator[None]:
    """
    Hold the lock file at `path`; the system releases it when this process ends.

    Waits for at most `seconds` if another process or thread holds it, then raises `busy`, or
    `TimeoutError` without one. Raises `OSError` if no lock file can be there.
    """
    from filelock import FileLock, Timeout  # noqa: PLC0415  (slow to import; readers need none)

    check_place(path)
    lock = FileLock(path, timeout=seconds)
    try:
        lock.acquire()
    except Timeout:
        if busy:
            raise busy from None
        raise
    try:
        yield
    finally:
        lock.release()


def _write_new(path: Path, parts: Iterable[bytes], mode: int, *, is_durable: bool) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    with os.fdopen(os.open(path, flags, mode), "wb") as file:
        file.writelines(parts)
        if is_durable:
            file.flush()
            os.fsync(file.fileno())


def _take_name(draft: Path, path: Path) -> bool:
    """Give `draft` the name `path`, unless it is taken; return whether it was free."""
    try:
        path.hardlink_to(draft)
    except FileExistsError:
        return False
    except OSError:
        # NOTE: FAT and some network drives have no hard links. A rename is atomic there too, but
        # another process may take the name between the check and the rename.
        if os.path.lexists(path):
            return False
        draft.rename(path)
    return True


def _check_kind(path: Path, status: os.stat_result) -> None:
    kind = kind_of(status.st_mode)
    if kind:
        raise OSError(errno.EINVAL, f"it is {kind}, not a regular file", str(path))
