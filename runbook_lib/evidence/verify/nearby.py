"""
Whether trusted keys are inside or beside the evidence, where they prove less.

Folders are compared by what they are, not by their names. A link is both where
it is and where it leads, since whoever can change either chooses the key.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from runbook_lib.config.workspace import KEYS_FOLDER
from runbook_lib.evidence.signing.keys import PUBLIC_SUFFIX, key_files

_Identity = tuple[int, int]
# Bundle, connector, tenant: how deep in an evidence folder something is verified.
_LEVELS = 3
# As many as Linux follows.
_MOST_LINKS = 40


def keys_near_evidence(named: Iterable[Path], evidence: Iterable[Path]) -> list[Path]:
    """
    Return those of `named`, key files or folders of them, that are near the `evidence`.

    Near is a key inside the evidence folder or what is verified, one beside either or in
    a folder beside either, and a folder of keys around them. Raises `SettingsError` if a
    folder has no key.
    """
    roots = [root for path in evidence for root in _roots(path)]
    inside = _identities(roots) | _identities(key for root in roots for key in _exported(root))
    beside = _identities(root.parent for root in roots)
    around = _identities(above for root in roots for above in root.parents)

    def is_near(key: Path) -> bool:
        *way, end = _path_steps(key)
        links = [step for step in way if _target(step)]
        places = (step.parent for step in (*links, end, end.parent))
        # NOTE: the key itself, for it may be a hard link to one inside.
        return bool(_identities([*way, end]) & inside or _identities(places) & beside)

    return [
        path
        for path in named
        if (path.is_dir() and _identities([path]) & around) or any(map(is_near, key_files(path)))
    ]


def _roots(path: Path) -> Iterator[Path]:
    """Yield `path` without links, each link that is the whole of it, and its evidence folder."""
    real = Path(os.path.realpath(path))
    yield from (step for step in _path_steps(path) if Path(os.path.realpath(step)) == real)
    yield from [folder for folder in (real, *real.parents[:_LEVELS]) if _exported(folder)][:1]


def _exported(folder: Path) -> list[Path]:
    """Return the public keys that runs left in an evidence folder, if there is such a folder."""
    try:
        return list((folder / KEYS_FOLDER).glob(f"*{PUBLIC_SUFFIX}"))
    except OSError:
        return []


def _target(path: Path) -> Path | None:
    """Return where the link at `path` leads; nothing where there is no link."""
    try:
        return path.readlink()
    except (OSError, ValueError):
        return None


def _path_steps(path: Path) -> list[Path]:
    """Return each step on the way to `path`: folders, links, and what those lead to."""
    here, steps, links = Path("/"), list[Path](), 0
    left = [*reversed(path.absolute().parts[1:])]
    while left:
        name = left.pop()
        if name == "..":
            here = here.parent
            continue
        here /= name
        steps.append(here)
        if (target := _target(here)) and (links := links + 1) <= _MOST_LINKS:
            left += [part for part in reversed(target.parts) if part != target.anchor]
            here = Path("/") if target.is_absolute() else here.parent
    return steps or [here]


def _identities(paths: Iterable[Path]) -> set[_Identity]:
    """Return what the paths are: device and inode of each that is there."""
    identities: set[_Identity] = set()
    for path in paths:
        with suppress(OSError, ValueError):
            status = path.stat()
            identities.add((status.st_dev, status.st_ino))
    return identities
