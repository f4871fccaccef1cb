"""What tests ask of a journal beside its lines."""

from __future__ import annotations

from runbook_lib.journal import GENESIS, Journal, read_lines


def head_of(journal: Journal) -> str:
    """Return the SHA-256 of the last line."""
    head = GENESIS
    for line in read_lines(journal.path):
        head = line.ref.digest
    return head
