"""
Plain text: safe to print, with correct plurals, and lists with commas.

Text for a terminal or a notebook's `text/plain` has no control characters and no change of writing
direction.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Sequence

# They join letters of some scripts, and pictures, into one (Unicode 16, §23.2).
_JOINERS = "\u200c\u200d"
_NEXT_SENTENCE = re.compile(r"(?<=[.!?]) (?=[*\"“]?[A-Z])")


def one_line(text: str) -> str:
    """
    Return `text` as one line of printable characters; any other is shown as `[U+001B]`.

    Names from files and remote systems must not move the cursor, start a new
    line or reverse the writing direction.
    """
    if text.isprintable():
        return text
    return "".join(
        character if _is_printable(character) else f"[U+{ord(character):04X}]" for character in text
    )


def pluralize(number: int, noun: str, plural: str = "") -> str:
    """Return `1 step`, `2 steps`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def list_some(names: Sequence[str], most: int) -> str:
    """Return the names with commas; of more than `most` only the first ones, and how many more."""
    more = len(names) - most
    shown = ", ".join(names[:most])
    return f"{shown} and {more:,} more" if more > 0 else shown


def identify(*parts: str) -> str:
    """Return an id that is the same for the same parts."""
    text = "\0".join(parts).encode("utf-8", "surrogatepass")
    return hashlib.sha256(text).hexdigest()[:32]


def split_first_sentence(text: str) -> tuple[str, str]:
    """Return the first sentence of `text`, and the rest, which begins with a capital letter."""
    parts = _NEXT_SENTENCE.split(text, maxsplit=1)
    return parts[0], parts[1] if len(parts) > 1 else ""


def as_text(value: object) -> str:
    """Return a value as text; several ones with commas."""
    return ", ".join(value) if isinstance(value, tuple) else str(value)


def escaped_json(text: str) -> str:
    """
    Return the JSON document `text` with control characters as escapes.

    The document stays the same: only its strings can contain any (RFC 8259 §2).
    """
    if text.isprintable():
        return text
    return "".join(
        character
        if character in "\n\r\t" or _is_printable(character)
        else json.dumps(character)[1:-1]
        for character in text.replace("\x7f", "\\u007f")
    )


def first_unseen(text: str) -> str:
    """
    Return the first invisible character of `text`, as `U+200B`; empty without one.

    A joiner between two visible characters is part of them.
    """
    for place, character in enumerate(text):
        is_joiner = character in _JOINERS and 0 < place < len(text) - 1
        if not (_is_printable(character) or (is_joiner and _is_printable(text[place - 1]))):
            return f"U+{ord(character):04X}"
    return ""


def _is_printable(character: str) -> bool:
    # NOTE: to Python a no-break space is not printable; in a sentence it is one.
    return character.isprintable() or unicodedata.category(character) == "Zs"
