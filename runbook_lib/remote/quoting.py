"""
Quotes text of remote systems in messages: shortened, on one printable line.
"""

from __future__ import annotations

from runbook_lib.text import one_line

_MAX_LENGTH = 300
MAX_VALUE_LENGTH = 60


def shorten(text: str, max_length: int = _MAX_LENGTH) -> str:
    """
    Return `text` as one printable line, shortened between two words.

    It never cuts a word: the redactor does not recognise half a credential.
    """
    head = text[: max_length * 4]
    line = one_line(" ".join(head.split()))
    if len(line) <= max_length and len(head) == len(text):
        return line
    head_words, blank, _ = line[: max_length + 1].rpartition(" ")
    return f"{head_words}…" if blank else f"… ({len(text):,} characters without a space)"
