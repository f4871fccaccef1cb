"""The sealed bundles that a run left in an evidence folder."""

from __future__ import annotations

from pathlib import Path

from runbook_lib.evidence.archive.archive import evidence_below


def bundles_below(path: Path) -> list[Path]:
    """Return the sealed bundles at or below `path`, unreadable places aside."""
    bundles, _ = evidence_below(path)
    return bundles
