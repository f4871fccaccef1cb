"""
Scratch folders: private, and gone with the process that made them, however it ends.

A folder holds a lock for as long as its process lives. Whoever makes one
first removes those whose process was killed, and the drafts elsewhere that
they name.
"""

from __future__ import annotations

import contextlib
import functools
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from runbook_lib.core.files import read_plain, remove

__all__ = ["DRAFT_PREFIX", "scratch_folder"]

# What a folder beside a journal is called that is not sealed yet.
DRAFT_PREFIX = ".draft-"

_PREFIX = "runbook-scratch-"
_LOCK = "alive.lock"
_OWNS = "owns"
_CONTENT = "content"
_LONGEST_NAME = 16_384
# A folder this young may be one whose process is about to take its lock.
_YOUNG_SECONDS = 5


@contextmanager
def scratch_folder(*, owns: Path | None = None) -> Iterator[Path]:
    """
    Give an empty folder of mode 0700 that nobody else can look into, and remove it at the end.

    `owns` is a draft folder elsewhere that goes with it when this process is
    killed. Raises `OSError` where no temporary folder can be made.
    """
    _remove_what_dead_processes_left()
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    lock = FileLock(folder / _LOCK)
    try:
        lock.acquire()
        if owns is not None:
            (folder / _OWNS).write_bytes(os.fsencode(owns.absolute()))
        content = folder / _CONTENT
        content.mkdir(mode=0o700)
        yield content
    finally:
        _remove(folder)
        lock.release()
        remove(folder)


@functools.cache
def _remove_what_dead_processes_left() -> None:
    """Remove, once a process, the folders of this user whose process is no more."""
    with contextlib.suppress(OSError), os.scandir(tempfile.gettempdir()) as entries:
        left = [Path(entry.path) for entry in entries if entry.name.startswith(_PREFIX)]
        for folder in left:
            with contextlib.suppress(OSError):
                _remove_if_dead(folder)


def _remove_if_dead(folder: Path) -> None:
    status = folder.lstat()
    is_mine = os.name != "posix" or (
        status.st_uid == os.geteuid() and status.st_mode & 0o170777 == 0o040700
    )
    if not is_mine or time.time() - status.st_mtime < _YOUNG_SECONDS:
        return
    try:
        with FileLock(folder / _LOCK, blocking=False):
            _remove(folder)
    except Timeout:
        return
    remove(folder)


def _remove(folder: Path) -> None:
    """Remove the draft that `folder` names, and what it holds; the lock stays until the end."""
    with contextlib.suppress(OSError):
        draft = Path(os.fsdecode(read_plain(folder / _OWNS, _LONGEST_NAME, follows_links=False)))
        if draft.name.startswith(DRAFT_PREFIX) and not draft.is_symlink():
            remove(draft)
    remove(folder / _CONTENT)
