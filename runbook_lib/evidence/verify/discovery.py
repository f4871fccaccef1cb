"""
Find the evidence under a path, and unfinished bundles.

It reads folders, not files; `verify` and `chain` check those. A hidden folder
is not evidence yet: a run is being sealed there, or was interrupted.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from runbook_lib.config.workspace import FLEET_FOLDER, KEYS_FOLDER
from runbook_lib.core.files import JOURNAL_NAME, is_there, kind_of
from runbook_lib.errors import reason_of
from runbook_lib.evidence.bundle import STATEMENT_NAME

_BUNDLE = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}")
_DEEPEST = 5
# Other modules read these: the folder of keys, that of fleets (no evidence), and the journal,
# whatever it is.
_OTHERS = (KEYS_FOLDER, FLEET_FOLDER, JOURNAL_NAME)
_FOLDER = kind_of(stat.S_IFDIR)
_LINK = kind_of(stat.S_IFLNK)


def has_bundle_name(path: Path) -> bool:
    """Return whether `path` is named like a bundle."""
    return bool(_BUNDLE.fullmatch(path.name))


def is_bundle(path: Path) -> bool:
    """Return whether `path` is a bundle by its name, or by the statement in it."""
    return has_bundle_name(path) or is_there(path / STATEMENT_NAME)


def bundles_in(home: Path) -> list[Path]:
    """Return the bundles beside a journal, and paths named like one, oldest first."""
    return [place for place in _places(home) if is_bundle(place)]


@dataclass(frozen=True, slots=True)
class UnreadablePath:
    """A place that was not searched, and why; `name` is its relative path."""

    path: Path
    name: str
    why: str


def homes_below(path: Path) -> Iterator[Path | UnreadablePath]:
    """
    Yield the folders at or under `path` with bundles or a journal.

    Places that cannot be read, or are deeper than evidence, are yielded too: a
    verifier must report what it did not see.
    """
    for place in _folders_below(path):
        if isinstance(place, UnreadablePath):
            yield place
        elif is_there(place[0] / JOURNAL_NAME) or any(map(is_bundle, place[1])):
            yield place[0]


def _folders_below(path: Path) -> Iterator[tuple[Path, list[Path]] | UnreadablePath]:
    """Yield each folder at or under `path`, with the places in it, and what was not searched."""
    waiting = [(path, 0)]
    while waiting:
        folder, depth = waiting.pop()
        name = folder.relative_to(path).as_posix() if folder != path else path.name
        try:
            kind = kind_of(folder.lstat().st_mode)
            why = "" if kind == _FOLDER else f"It is {kind}, not a folder or a file."
            if kind == _LINK:
                why = "It is a link, and links are not followed."
            seen = [] if why else _places(folder)
        except OSError as error:
            why = f"It cannot be read: {reason_of(error)}."
        if why:
            yield UnreadablePath(folder, name, why)
            continue
        yield folder, seen
        below = [place for place in seen if not is_bundle(place) and place.name not in _OTHERS]
        if below and depth == _DEEPEST:
            many = f" and {len(below) - 1:,} more" if len(below) > 1 else ""
            why = f"It was not searched: {below[0].name}{many} in it is deeper than evidence."
            yield UnreadablePath(folder, name, why)
        else:
            waiting.extend((place, depth + 1) for place in reversed(below))


def find_unreadable_keys(keys: Path, suffix: str) -> Iterator[UnreadablePath]:
    """Yield the key files in `keys` that cannot be read or are no files."""
    try:
        with os.scandir(keys) as entries:
            names = sorted(entry.name for entry in entries if entry.name.endswith(suffix))
    except OSError:
        return
    for name in names:
        path = keys / name
        try:
            kind = kind_of(path.stat().st_mode)
        except OSError as error:
            why = f"It cannot be read: {reason_of(error)}."
            yield UnreadablePath(path, f"{keys.name}/{name}", why)
            continue
        if kind:
            why = f"It was left out: it is {kind}."
            yield UnreadablePath(path, f"{keys.name}/{name}", why)


def _places(path: Path) -> list[Path]:
    """Return all in `path` except hidden names, and files that are not named like bundles."""
    with os.scandir(path) as entries:
        return sorted(
            Path(entry.path)
            for entry in entries
            if not entry.name.startswith(".")
            and (_is_place(entry) or _BUNDLE.fullmatch(entry.name))
        )


def _is_place(entry: os.DirEntry[str]) -> bool:
    """Return whether this is neither a file nor a link to one."""
    try:
        return not stat.S_ISREG(entry.stat().st_mode)
    except OSError:
        return True
