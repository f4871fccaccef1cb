"""
Scratch folders: private, and removed after their process ends, even if it was killed.

Each process locks its own folder. Before it creates one it removes the folders
of killed processes, and the drafts elsewhere that they name.
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

from runbook_lib.core.files import hold_lock, read_plain, remove

# The prefix of an unsealed folder beside a journal.
DRAFT_PREFIX = ".draft-"

_PREFIX = "runbook-scratch-"
_LOCK = "alive.lock"
_OWNS = "owns"
_CONTENT = "content"
_LONGEST_NAME = 16_384
# The process of a folder this young may not have taken its lock yet.
_YOUNG_SECONDS = 5


@contextmanager
def scratch_folder(*, owns: Path | None = None) -> Iterator[Path]:
    """
    Yield an empty folder that only this user can read, and remove it at the end.

    `owns` is a draft folder elsewhere to remove too if this process is killed.
    Raises `OSError` if no temporary folder can be made.
    """
    _remove_what_dead_processes_left()
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    try:
        with hold_lock(folder / _LOCK):
            try:
                if owns is not None:
                    (folder / _OWNS).write_bytes(os.fsencode(owns.absolute()))
                content = folder / _CONTENT
                content.mkdir(mode=0o700)
                yield content
            finally:
                _remove_with_draft(folder)
    finally:
        remove(folder)


@functools.cache
def _remove_what_dead_processes_left() -> None:
    """Remove, once per process, this user's folders whose process has ended."""
    with contextlib.suppress(OSError), os.scandir(tempfile.gettempdir()) as entries:
        folders = [Path(entry.path) for entry in entries if entry.name.startswith(_PREFIX)]
        for folder in folders:
            with contextlib.suppress(OSError):
                status = folder.lstat()
                is_mine = status.st_uid == os.geteuid() and status.st_mode & 0o170777 == 0o040700
                if is_mine and time.time() - status.st_mtime >= _YOUNG_SECONDS:
                    # NOTE: if its process is alive, this raises `TimeoutError`, an `OSError`.
                    with hold_lock(folder / _LOCK):
                        _remove_with_draft(folder)
                    remove(folder)


def _remove_with_draft(folder: Path) -> None:
    """Remove the draft that `folder` names, and its content; the lock stays until the end."""
    with contextlib.suppress(OSError):
        draft = Path(os.fsdecode(read_plain(folder / _OWNS, _LONGEST_NAME, follows_links=False)))
        if draft.name.startswith(DRAFT_PREFIX) and not draft.is_symlink():
            remove(draft)
    remove(folder / _CONTENT)
