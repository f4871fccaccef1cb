"""
Places: where evidence lies below a path, and what is not finished there.

Folders are looked into, files are not: whether something is in order is the
business of `verify` and `verify_chain`. What a hidden folder holds is no
evidence yet: a run is being sealed there, or was cut off.
"""

from __future__ import annotations

import math
import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from runbook_lib.config.workspace import KEYS_FOLDER
from runbook_lib.core.files import kind_of
from runbook_lib.core.journal import JOURNAL_NAME
from runbook_lib.evidence.chain import SEALED_PREFIX, STATEMENT_NAME, SealedBundle

__all__ = [
    "Unseen",
    "bundles_in",
    "has_bundle_name",
    "homes_below",
    "is_bundle",
    "is_folder",
    "is_there",
    "odd_keys",
    "unfinished_in",
]

_BUNDLE = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}")
_DEEPEST = 5
# What is looked into by others: where the keys lie, and the journal, whatever that is.
_OTHERS = (KEYS_FOLDER, JOURNAL_NAME)
_FOLDER, _LINK = kind_of(stat.S_IFDIR), kind_of(stat.S_IFLNK)


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


def is_folder(path: Path) -> bool:
    """Return whether a folder lies at `path`; also of a path that cannot be is that known."""
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except OSError:
        return False


def bundles_in(home: Path) -> list[Path]:
    """Return what is called as a bundle beside a journal, or is one, the oldest first."""
    return [place for place in _places(home) if is_bundle(place)]


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


@dataclass(frozen=True, slots=True)
class Unseen:
    """A place that was not looked into, and why; `name` is its path from where one looks."""

    path: Path
    name: str
    why: str


def homes_below(path: Path) -> Iterator[Path | Unseen]:
    """
    Yield the folders at or below `path` that hold bundles or a journal.

    What cannot be looked into, or lies deeper than evidence does, is among
    them: whoever verifies must say that it is not seen.
    """
    waiting = [(path, 0)]
    while waiting:
        folder, depth = waiting.pop()
        name = folder.relative_to(path).as_posix() if folder != path else path.name
        seen = _look_into(folder)
        if isinstance(seen, str):
            yield Unseen(folder, name, seen)
            continue
        if is_there(folder / JOURNAL_NAME) or any(map(is_bundle, seen)):
            yield folder
        below = [each for each in seen if not is_bundle(each) and each.name not in _OTHERS]
        if below and depth == _DEEPEST:
            many = f" and {len(below) - 1:,} more" if len(below) > 1 else ""
            why = f"{below[0].name}{many} in it: deeper than evidence lies, so not looked into."
            yield Unseen(folder, name, why)
        else:
            waiting.extend((each, depth + 1) for each in reversed(below))


def odd_keys(keys: Path, suffixes: tuple[str, ...], largest: float = math.inf) -> Iterator[Unseen]:
    """Yield what is called as a file in the folder `keys` is, but is none, or a larger one."""
    try:
        with os.scandir(keys) as entries:
            names = sorted(each.name for each in entries if each.name.endswith(suffixes))
    except OSError:
        return
    for name in names:
        path = keys / name
        try:
            status = path.stat()
        except OSError as error:
            why = f"It cannot be read: {error.strerror or type(error).__name__}."
            yield Unseen(path, f"{keys.name}/{name}", why)
            continue
        kind = kind_of(status.st_mode)
        if kind or status.st_size > largest:
            why = f"it is {kind}" if kind else f"it has more than {largest:,} bytes"
            yield Unseen(path, f"{keys.name}/{name}", f"It was left out: {why}.")


def _look_into(path: Path) -> list[Path] | str:
    """Return the places in the folder `path`, or why they are not seen."""
    try:
        kind = kind_of(path.lstat().st_mode)
        if kind == _LINK:
            return "It is a link: only what lies here itself is verified."
        if kind != _FOLDER:
            return f"It is {kind}, where only folders and files lie."
        return _places(path)
    except OSError as error:
        return f"It cannot be read: {error.strerror or type(error).__name__}."


def _places(path: Path) -> list[Path]:
    """Return all in `path` but hidden names, and files that are not called as bundles are."""
    with os.scandir(path) as entries:
        return sorted(
            Path(entry.path)
            for entry in entries
            if not entry.name.startswith(".")
            and (_is_place(entry) or _BUNDLE.fullmatch(entry.name))
        )


def _is_place(entry: os.DirEntry[str]) -> bool:
    """Return whether this is no file, and no link to one."""
    try:
        return not stat.S_ISREG(entry.stat().st_mode)
    except OSError:
        return True
