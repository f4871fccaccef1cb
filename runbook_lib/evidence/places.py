"""
Places: where evidence lies below a path, and what is not finished there.

Folders are looked into, files are not: whether something is in order is the
business of `verify` and `verify_chain`. What a hidden folder holds is no
evidence yet: a run is being sealed there, or was cut off.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from runbook_lib.evidence.chain import SEALED_PREFIX, STATEMENT_NAME, SealedBundle
from runbook_lib.workspace import JOURNAL_NAME, KEYS_FOLDER

__all__ = [
    "bundles_in",
    "has_bundle_name",
    "homes_below",
    "is_bundle",
    "is_there",
    "unfinished_in",
]

_BUNDLE = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}")
_DEEPEST = 5


def has_bundle_name(path: Path) -> bool:
    """Tell whether `path` is called as the runbook calls bundles."""
    return bool(_BUNDLE.fullmatch(path.name))


def is_bundle(path: Path) -> bool:
    """Tell whether `path` is a bundle by its name, or by the statement in it."""
    return has_bundle_name(path) or is_there(path / STATEMENT_NAME)


def is_there(path: Path) -> bool:
    """Tell whether anything has this name, if only a link that leads nowhere."""
    try:
        path.lstat()
    except OSError:
        return False
    return True


def bundles_in(home: Path) -> list[Path]:
    """Return the bundles that lie beside a journal, the oldest first."""
    return [folder for folder in _folders(home) if is_bundle(folder)]


def unfinished_in(home: Path, announced: Iterable[SealedBundle]) -> dict[Path, SealedBundle]:
    """
    Return the bundles that are announced, but do not have their final name yet.

    They are complete: a run was cut off before its last step, which the
    next run does.
    """
    found: dict[Path, SealedBundle] = {}
    for each in announced:
        folder = home / f"{SEALED_PREFIX}{each.run_id}"
        # NOTE: who wrote the journal is not known yet, and a name may lead elsewhere.
        is_name = _BUNDLE.fullmatch(each.bundle) and each.bundle.endswith(f"-{each.run_id}")
        if is_name and is_there(folder) and not is_there(home / each.bundle):
            found[folder] = each
    return found


def homes_below(path: Path, depth: int = _DEEPEST) -> Iterator[Path]:
    """
    Yield the folders at or below `path` that hold bundles or a journal.

    A link and a folder that cannot be read are yielded too: what lies behind
    them may be a tenant's, and whoever verifies must say that it is not seen.
    """
    try:
        below = [] if path.is_symlink() else _folders(path)
    except OSError:
        yield path
        return
    if path.is_symlink() or is_there(path / JOURNAL_NAME) or any(map(is_bundle, below)):
        yield path
    for folder in below:
        if depth and not is_bundle(folder) and folder.name != KEYS_FOLDER:
            yield from homes_below(folder, depth - 1)


def _folders(path: Path) -> list[Path]:
    """Return the folders in `path`, and the links that do not lead to a file; no hidden ones."""
    with os.scandir(path) as entries:
        return sorted(
            Path(entry.path)
            for entry in entries
            if not entry.name.startswith(".") and _is_folder(entry)
        )


def _is_folder(entry: os.DirEntry[str]) -> bool:
    if not entry.is_symlink():
        return entry.is_dir(follow_symlinks=False)
    try:
        return not stat.S_ISREG(entry.stat().st_mode)
    except OSError:
        return True
