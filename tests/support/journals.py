"""What tests ask of a journal beside its lines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from runbook_lib.evidence.chain import SealedBundle, sealed_bundles
from runbook_lib.history import open_history
from runbook_lib.journal import GENESIS, Journal, read_lines


def head_of(journal: Journal) -> str:
    """Return the SHA-256 of the last line."""
    head = GENESIS
    for line in read_lines(journal.path):
        head = line.ref.digest
    return head


def announced(journal: Path) -> list[SealedBundle]:
    """Return the bundles that the journal at this path announces."""
    return sealed_bundles(open_history(journal.parent).read().index)


def copied(*bundles: Path) -> bytes:
    """Return the journal as it was when the last of these bundles, all of them, had been made."""
    return b"".join((bundle / "journal.jsonl").read_bytes() for bundle in bundles)


def described(journal: Journal) -> dict[str, Any]:
    """Return what a record says of a journal that it was made of from the first line on."""
    lines = len(journal.entries())
    return {"first": 1, "lines": lines, "previous": GENESIS, "head": head_of(journal)}
