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
_COLOUR = re.compile("\x1b\\[[0-9;]*[@-~]")


def before_leak(
    content: bytes, redactor: Redactor, *, bare_hex: bool, depth: int = 3
) -> str | None:
    """Return the text before a secret in `content`, or `None`."""
    for reading in _readings(content):
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
                inner = base64.b64decode(part + "=" * (-len(part) % 4))
                if before_leak(inner, redactor, bare_hex=bare_hex, depth=depth - 1) is not None:
                    return whole[: match.start()]
    return None


def _readings(content: bytes) -> Iterator[str]:
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        yield content.decode("latin-1")
        return
    for left in range(3, -1, -1):
        yield text
        if "\x1b" in text:
            yield _COLOUR.sub("", text)
            yield _COLOUR.sub(" ", text)
        plain = html.unescape(unquote(_ESCAPE.sub(_unescaped, text)))
        if plain == text or left == 0:
            return
        text = plain


def _unescaped(match: re.Match[str]) -> str:
    unicode, byte, letter = match.groups()
    return chr(int(unicode or byte, 16)) if unicode or byte else _CONTROLS.get(letter, letter)
