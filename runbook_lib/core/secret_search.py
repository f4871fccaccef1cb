"""
Search a text or a file whole for secrets: behind escapes, and in base64.

The caller recognises secrets (`redaction.Redactor`). The search cleans the journal's texts before
they are written, and the leak gate uses it before a bundle is sealed. It decodes two layers of
escapes and one of base64, and no more.
"""

from __future__ import annotations

import binascii
import html
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

# RFC 4648 §4 and §5; MIME puts line breaks in (RFC 2045 §6.8).
_BASE64 = re.compile(r"[0-9A-Za-z+/_-]{24,}")
_STANDARD = str.maketrans("-_", "+/")
_FOLDED = re.compile(r"(?<=[0-9A-Za-z+/_-])[\r\n]+(?=[0-9A-Za-z+/_-])")
# Layers of escapes that the search decodes.
_DEEPEST = 2
# Escapes of JSON, JavaScript and Python, with any number of backslashes.
# NOTE: a match takes a whole row of backslashes, or a long one would take quadratic time. `re` is
# fast for a pattern that begins with a literal.
_ESCAPE = re.compile(r"\\\\*+(?:u([0-9A-Fa-f]{4})|x([0-9A-Fa-f]{2})|([bfnrt\"'/]))?")
# NOTE: `urllib.parse.unquote` takes 1 µs for each change between ASCII and other characters, which
# is 2 s a MiB for decoded base64.
_PERCENT = re.compile(r"%[0-9A-Fa-f]{2}(?:%[0-9A-Fa-f]{2})*+")
# HTML's numeric references with more digits than any character needs, such as `&#0…065;`.
_LONGEST_NUMBER = 8
_LONG_NUMBER = re.compile(rf"&#([0-9]{{{_LONGEST_NUMBER},}})")
# Ends any word, escape or base64 text before it; no secret contains it.
_GAP = b" \0 "
_CONTROLS = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


@dataclass(frozen=True, slots=True)
class SecretSearch:
    """
    A search for secrets behind escapes and in base64, in linear time.

    `find` returns the position of a secret in a text, or -1.

    NOTE: a text may contain hundreds of thousands of base64 words, so they are decoded and searched
    together; only a hit is then located. `clean` are words without a secret: the files of one
    bundle share most of them.
    """

    find: Callable[[str], int]
    clean: set[str] = field(default_factory=set)

    def before_leak_in_file(self, content: bytes) -> str | None:
        """Return the text before a secret in a file (its last step id is the place), or `None`."""
        for reading in dict.fromkeys((content, content.replace(b"\0", b""))):  # as in UTF-16
            try:
                text = reading.decode("utf-8")
            except UnicodeDecodeError:
                # NOTE: this keeps each byte, so that a secret in a picture is found too.
                text = reading.decode("latin-1")
            before = self.before_leak(text)
            if before is not None:
                return before
        return None

    def before_leak(self, text: str) -> str | None:
        """Return the text before a secret in `text`, or `None`."""
        for reading in _readings_of(text):
            position = self.find(reading)
            if position >= 0:
                return reading[:position]
            unfolded = _FOLDED.sub("", reading)
            words: dict[str, int] = {}
            for match in _BASE64.finditer(unfolded):
                if match.group() not in self.clean:
                    words.setdefault(match.group(), match.start())
            if self._is_in_base64(words):
                return unfolded[: words[self._first_in_base64(list(words))]]
            self.clean.update(words)
        return None

    def is_leak(self, text: str) -> bool:
        """Return whether `text` contains a secret, also behind escapes and in base64."""
        return self.before_leak(text) is not None

    def _first_in_base64(self, words: list[str]) -> str:
        """Return the first of `words` that hides a secret; at least one does."""
        while len(words) > 1:
            half = words[: len(words) // 2]
            words = half if self._is_in_base64(half) else words[len(half) :]
        return words[0]

    def _is_in_base64(self, words: Iterable[str]) -> bool:
        readings = (
            reading for decoded in _decode_base64(words) for reading in _readings_of(decoded)
        )
        return any(self.find(reading) >= 0 for reading in readings)


def _readings_of(text: str) -> Iterator[str]:
    """Yield `text`, then the same with the escapes of JSON, URLs and HTML decoded, twice."""
    yield text
    for _ in range(_DEEPEST):
        plain = _PERCENT.sub(_decode_percent, _ESCAPE.sub(_decode_escape, text))
        if "&" in plain:
            # NOTE: `html` rejects numbers of thousands of digits.
            plain = html.unescape(_LONG_NUMBER.sub(_shorten_number, plain))
        if plain == text:
            return
        text = plain
        yield text


def _decode_escape(match: re.Match[str]) -> str:
    unicode, byte, letter = match.groups()
    if match.lastindex is None:
        return match.group()
    return chr(int(unicode or byte, 16)) if unicode or byte else _CONTROLS.get(letter, letter)


def _decode_percent(match: re.Match[str]) -> str:
    return bytes.fromhex(match.group().replace("%", "")).decode("utf-8", "replace")


def _shorten_number(match: re.Match[str]) -> str:
    digits = match.group(1).lstrip("0") or "0"
    # NOTE: HTML replaces every number that is too large for a character.
    return f"&#{digits if len(digits) < _LONGEST_NUMBER else '9' * _LONGEST_NUMBER}"


def _decode_base64(words: Iterable[str]) -> Iterator[str]:
    """
    Yield all `words` decoded, joined with gaps.

    Characters before a base64 text may look like part of it, so each of the
    four alignments is tried.
    """
    # NOTE: `base64.b64decode` translates each word anew, at five times the cost of decoding it.
    standard = [word.translate(_STANDARD) for word in words]
    for start in range(4):
        decoded = [binascii.a2b_base64(f"{_whole_bytes(word[start:])}===") for word in standard]
        yield _GAP.join(decoded).decode("latin-1")


def _whole_bytes(word: str) -> str:
    """Return `word` without a last character that is less than a byte."""
    return word[:-1] if len(word) % 4 == 1 else word
