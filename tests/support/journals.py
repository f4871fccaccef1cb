"""Helpers to read a journal, and to write lines that the runbook would not write."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from msgspec import convert, to_builtins

from runbook_lib.core.journal import GENESIS, Journal, read_lines
from runbook_lib.core.masking import masked
from runbook_lib.core.model import (
    DATA,
    BundleSealed,
    JournalEntry,
)
from runbook_lib.core.redaction import Redactor
from runbook_lib.core.run_state import open_history

AT = "2026-11-24T09:30:00Z"


def head_of(journal: Journal) -> str:
    """Return the SHA-256 of the last line."""
    head = GENESIS
    for line in read_lines(journal.path):
        head = line.ref.digest
    return head


def chained(lines: list[dict[str, Any]]) -> bytes:
    """Return these lines as a valid chain, whatever their content."""
    content = b""
    prev = GENESIS
    for seq, line in enumerate(lines, 1):
        text = json.dumps({**line, "seq": seq, "prev": prev}, ensure_ascii=False) + "\n"
        prev = hashlib.sha256(text.encode()).hexdigest()
        content += text.encode()
    return content


def append(journal: Journal, event: str, data: dict[str, Any], **beside: str) -> None:
    """Append a line of this kind; `data` may leave out fields that have a default."""
    journal.append(event, convert(data, DATA[event]), **beside)


def entry(
    seq: int, event: str, data: dict[str, Any], *, at: str = AT, run_id: str = "", step: str = ""
) -> JournalEntry:
    """Return a line that was read; `data` may leave out fields that have a default."""
    typed = convert(data, DATA[event])
    return JournalEntry(
        seq=seq, at=at, type=event, run_id=run_id, step=step, data=typed, prev=GENESIS
    )


def redact(event: str, data: dict[str, Any], redactor: Redactor) -> dict[str, Any]:
    """Return the data of a line as JSON, as it is written, with secrets masked."""
    part = masked(convert(data, DATA[event]), redactor)
    document: dict[str, Any] = json.loads(json.dumps(to_builtins(part)))
    return document


def lines_of(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a journal as JSON objects."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def announced(journal: Path) -> list[BundleSealed]:
    """Return the bundles that the journal at this path lists as sealed."""
    return [line.sealed for line in open_history(journal.parent).read().index.sealed]


def copied(*bundles: Path) -> bytes:
    """Return the journal's content up to the last of these bundles, which must be all of them."""
    return b"".join((bundle / "journal.jsonl").read_bytes() for bundle in bundles)


def described(journal: Journal) -> dict[str, Any]:
    """Return a record's description of a journal that it covers from the first line."""
    lines = len(journal.entries())
    return {"first": 1, "lines": lines, "previous": GENESIS, "head": head_of(journal)}
