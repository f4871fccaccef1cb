"""
Text of remote systems in messages: one printable line, not too long.
"""

from __future__ import annotations

from runbook_lib.plain_text import one_line

_LONGEST = 300
LONGEST_VALUE = 60


def shorten(text: str, longest: int = _LONGEST) -> str:
    """
    Return `text` as one printable line, shortened between two words.

    It never cuts a word: half a credential would not be recognised as one.
    """
    head = text[: longest * 4]
    line = one_line(" ".join(head.split()))
    if len(line) <= longest and len(head) == len(text):
        return line
    head_words, blank, _ = line[: longest + 1].rpartition(" ")
    return f"{head_words}…" if blank else f"… ({len(text):,} characters without a space)"
