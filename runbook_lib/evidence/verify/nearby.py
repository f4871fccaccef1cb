"""
Whether trusted keys are inside or beside the evidence, where they prove less.

A path counts as it is named, and as it is once all links are resolved.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from runbook_lib.config.workspace import KEYS_FOLDER
from runbook_lib.evidence.signing.keys import PUBLIC_SUFFIX, key_files

# Bundle, connector, tenant: how deep in an evidence folder something is verified.
_LEVELS = 3


def keys_near_evidence(named: Iterable[Path], evidence: Iterable[Path]) -> list[Path]:
    """
    Return those of `named`, key files or folders of them, that are near the `evidence`.

    Near is a key inside the evidence folder or what is verified, one beside either or in
    a folder beside either, and a folder of keys around them. Raises `SettingsError` if a
    folder has no key.
    """
    roots = {root for path in evidence for root in _roots(path)}

    def is_near(key: Path) -> bool:
        return any(
            place.is_relative_to(root) or root.parent in place.parents[:2]
            for place in _places(key)
            for root in roots
        )

    def is_around(folder: Path) -> bool:
        return any(root.is_relative_to(place) for place in _places(folder) for root in roots)

    return [path for path in named if any(map(is_near, key_files(path))) or is_around(path)]


def _places(path: Path) -> tuple[Path, Path]:
    """Return the path as it is named, and as it is without links."""
    return Path(os.path.abspath(path)), Path(os.path.realpath(path))  # noqa: PTH100  (without `..`)


def _roots(path: Path) -> Iterator[Path]:
    """Yield what is verified, and the evidence folder around it, which has public keys."""
    yield from _places(path)
    real = Path(os.path.realpath(path))
    for folder in (real, *real.parents[:_LEVELS]):
        with suppress(OSError):
            if any((folder / KEYS_FOLDER).glob(f"*{PUBLIC_SUFFIX}")):
                yield folder
                return
