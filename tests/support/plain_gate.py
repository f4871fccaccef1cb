"""
The leak gate in its simplest form: each base64 word alone, each escape in turn.

It is slow and quadratic; whatever it finds in a short text, the real gate must find too.
"""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Iterator
from urllib.parse import unquote

from runbook_lib.core.redaction import Redactor

_ESCAPE = re.compile(r"\\+(?:u([0-9A-Fa-f]{4})|x([0-9A-Fa-f]{2})|([bfnrt\"'/]))")
_CONTROLS = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_BASE64 = re.compile(r"[0-9A-Za-z+/_-]{24,}={0,2}")
_FOLDED = re.compile(r"(?<=[0-9A-Za-z+/_-])[\r\n]+(?=[0-9A-Za-z+/_-])")


def before_leak(text: str, redactor: Redactor, *, bare_hex: bool, depth: int = 1) -> str | None:
    """Return the text before a secret in `text`, or `None`."""
    for reading in _readings(text):
        position = redactor.find_secret(reading, bare_hex=bare_hex)
        if position >= 0:
            return reading[:position]
        if depth == 0:
            continue
        whole = _FOLDED.sub("", reading)
        for match in _BASE64.finditer(whole):
            word = match.group().rstrip("=").replace("-", "+").replace("_", "/")
            for start in range(4):
                part = word[start:]
                part = part[: len(part) - (len(part) % 4 == 1)]
                inner = base64.b64decode(part + "=" * (-len(part) % 4)).decode("latin-1")
                if before_leak(inner, redactor, bare_hex=bare_hex, depth=depth - 1) is not None:
                    return whole[: match.start()]
    return None


def _readings(text: str) -> Iterator[str]:
    for left in range(2, -1, -1):
        yield text
        plain = html.unescape(unquote(_ESCAPE.sub(_unescaped, text)))
        if plain == text or left == 0:
            return
        text = plain


def _unescaped(match: re.Match[str]) -> str:
    unicode, byte, letter = match.groups()
    return chr(int(unicode or byte, 16)) if unicode or byte else _CONTROLS.get(letter, letter)
