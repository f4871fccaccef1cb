"""What tests ask of a journal beside its lines, and lines that the runbook would not write."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from runbook_lib.journal import GENESIS, Journal, read_lines


def head_of(journal: Journal) -> str:
    """Return the SHA-256 of the last line."""
    head = GENESIS
    for line in read_lines(journal.path):
        head = line.ref.digest
    return head


def chained(lines: list[dict[str, Any]]) -> bytes:
    """Return journal lines that follow one another, whatever each of them says."""
    content, prev = b"", GENESIS
    for seq, line in enumerate(lines, 1):
        text = json.dumps({**line, "seq": seq, "prev": prev}, ensure_ascii=False) + "\n"
        prev = hashlib.sha256(text.encode()).hexdigest()
        content += text.encode()
    return content


def lines_of(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a journal, each as the JSON object that it is."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
