"""The sealed bundles that a run left in an evidence folder, and their copies in an archive."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from runbook_lib.evidence.archive.archive import archive_bundle
from runbook_lib.evidence.archive.stores import Store
from runbook_lib.evidence.verify.discovery import bundles_in, homes_below, is_bundle
from runbook_lib.evidence.verify.tree import verify_tree


def bundles_below(path: Path) -> list[Path]:
    """Return the sealed bundles at or below `path`, unreadable places aside."""
    if is_bundle(path):
        return [path]
    homes = [home for home in homes_below(path) if isinstance(home, Path)]
    return [bundle for home in homes for bundle in bundles_in(home)]


def archive(path: Path, url: str, **options: Any) -> list[str]:
    """Archive the bundles at or below `path` with a store that has `options`; return addresses."""
    store = Store(url, **options)
    return [
        archive_bundle(verdict, store)
        for verdict in verify_tree(path)
        if verdict.verified or verdict.error
    ]
