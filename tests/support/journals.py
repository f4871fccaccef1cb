"""Helpers to read a journal, and to write lines that the runbook would not write."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from runbook_lib.core.journal import GENESIS, Journal, read_lines
from runbook_lib.core.state import open_history
from runbook_lib.evidence.chain import SealedBundle, sealed_bundles


def head_of(journal: Journal) -> str:
    """Return the SHA-256 of the last line."""
    head = GENESIS
    for line in read_lines(journal.path):
        head = line.ref.digest
    return head


def chained(lines: list[dict[str, Any]]) -> bytes:
    """Return these lines as a valid chain, whatever their content."""
    content, prev = b"", GENESIS
    for seq, line in enumerate(lines, 1):
        text = json.dumps({**line, "seq": seq, "prev": prev}, ensure_ascii=False) + "\n"
        prev = hashlib.sha256(text.encode()).hexdigest()
        content += text.encode()
    return content


def lines_of(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a journal as JSON objects."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def announced(journal: Path) -> list[SealedBundle]:
    """Return the bundles that the journal at this path lists as sealed."""
    return sealed_bundles(open_history(journal.parent).read().index)


def copied(*bundles: Path) -> bytes:
    """Return the journal's content up to the last of these bundles, which must be all of them."""
    return b"".join((bundle / "journal.jsonl").read_bytes() for bundle in bundles)


def described(journal: Journal) -> dict[str, Any]:
    """Return how a record describes a journal that it covers from the first line."""
    lines = len(journal.entries())
    return {"first": 1, "lines": lines, "previous": GENESIS, "head": head_of(journal)}
