"""
Search a text or a file whole for secrets: behind escapes, in base64, and across JSON strings.

The caller says what a secret is (`redaction.Redactor`). It cleans the journal's texts
before they are written, and the leak gate uses it before anything is sealed.
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

# RFC 4648 §4 and §5; MIME puts line breaks in (RFC 2045 §6.8).
_BASE64 = re.compile(r"[0-9A-Za-z+/_-]{24,}={0,2}")
_FOLDED = re.compile(r"(?<=[0-9A-Za-z+/_-])[\r\n]+(?=[0-9A-Za-z+/_-])")
_TO_STANDARD = str.maketrans("-_", "+/")
# How many times base64 may wrap base64, and escapes escapes.
_DEEPEST = 3
# As in JSON, JavaScript and Python, however often the backslash itself was escaped.
# NOTE: a match takes a whole row of backslashes, or a long one would take quadratic time.
_ESCAPE = re.compile(r"\\++(?:u([0-9A-Fa-f]{4})|x([0-9A-Fa-f]{2})|([bfnrt\"'/]))?")
# HTML's numeric references with more digits than any character needs, such as `&#0…065;`.
_LONGEST_NUMBER = 8
_LONG_NUMBER = re.compile(rf"&#([0-9]{{{_LONGEST_NUMBER},}})")
# Ends any word, escape or base64 text before it; no secret contains it.
_GAP = " \0 "
_CONTROLS = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
# A string of JSON as it is written, and the colon after a key; and what stands between strings. A
# string without an end takes the rest, so that this takes linear time.
_STRING = re.compile(rb'"((?:[^"\\]++|\\.|\\\Z)*+)(?:"(\s*+:)?|\Z)', re.DOTALL)
_STRUCTURE = re.compile(rb"[][{},:0-9.Ee+\-aflnrstu ]*+")
# Without one of these a text is as plain as it gets.
_ESCAPED = re.compile(r"[\\%&\x1b]")
# Terminal colour codes (ECMA-48 §5.4).
_COLOUR = re.compile("\x1b\\[[0-9;]*[@-~]")


@dataclass(frozen=True, slots=True)
class SecretSearch:
    """
    A search for secrets behind escapes and in base64, in linear time.

    `find` returns where a secret starts in a text, or -1; `is_known` whether a text contains
    one that is known by its value.

    NOTE: a text may contain hundreds of thousands of base64 words, so they are
    decoded and searched together; only a hit is then located. `known` are those without a
    secret, and `strings` those of JSON: the files of one bundle have most of them in common.
    """

    find: Callable[[str], int]
    is_known: Callable[[str], bool]
    known: set[str] = field(default_factory=set)
    strings: set[str] = field(default_factory=set)

    def before_leak_in_file(self, content: bytes) -> str | None:
        """Return the text before a secret in a file (its last step id says where), or `None`."""
        if self._is_clean_json(content):
            return None
        in_utf_16 = [content.replace(b"\0", b"")] if b"\0" in content else []
        for reading in (content, *in_utf_16):
            before = self.before_leak(reading)
            if before is not None:
                return before
        return self.before_leak_across_strings(content)

    def _is_clean_json(self, content: bytes) -> bool:
        """
        Return whether `content` is JSON, or lines of it, without a secret.

        It is read once, and a string that stood in an earlier file is not searched again.
        """
        found = _STRING.findall(content)
        rest = b" ".join(_STRING.sub(b" ", content).split())
        if not _STRUCTURE.fullmatch(rest):
            return False
        try:
            strings = json.loads(b'["%b"]' % b'","'.join(body for body, _ in found))
        except ValueError:
            return False
        values = "".join(text for text, (_, key) in zip(strings, found, strict=False) if not key)
        new = [text for text in dict.fromkeys(strings) if text not in self.strings]
        escaped = [text for text in new if _ESCAPED.search(text)]
        if (
            self.is_known("".join(strings))
            or self.is_known(values)
            or self._is_leak_in(_GAP.join([*new, rest.decode()]), _DEEPEST, set())
            or self.is_leak(_GAP.join(escaped))
        ):
            return False
        self.strings.update(new)
        return True

    def before_leak(self, content: bytes) -> str | None:
        """Return the text before a secret in `content`, or `None`."""
        for reading in _readings(content):
            position = self.find(reading)
            if position >= 0:
                return reading[:position]
            unfolded = _FOLDED.sub("", reading)
            words = list(_words(unfolded, self.known))
            number = self._first_leak([word for _, word in words])
            if number is not None:
                return unfolded[: words[number][0]]
        return None

    def is_leak(self, text: str) -> bool:
        """Return whether `text` contains a secret, also behind escapes and in base64."""
        return any(self._is_leak_in(reading, _DEEPEST, set()) for reading in _plainer(text))

    def is_leak_across_strings(self, document: Any) -> bool:
        """Return whether a known secret is split over the strings of a JSON document."""
        return any(
            self.is_known("".join(_strings(document, of_keys=of_keys))) for of_keys in (True, False)
        )

    def before_leak_across_strings(self, content: bytes) -> str | None:
        """Find a known secret that is split across strings of the same JSON document."""
        values: list[str] = []
        keys: list[str] = []
        for document in _documents(content):
            values.append("".join(_strings(document, of_keys=False)))
            keys.append("".join(_strings(document)))
        # NOTE: a journal has many thousand lines, so only a hit is then located.
        if not any(self.is_known(_GAP.join(texts)) for texts in (values, keys)):
            return None
        for document, *texts in zip(_documents(content), values, keys, strict=True):
            if any(self.is_known(text) for text in texts):
                return "\n".join(_strings(document))
        return None

    def _first_leak(self, words: Sequence[str]) -> int | None:
        """Return the number of the first base64 word with a secret, or `None`."""
        if not self._is_leak(words, _DEEPEST):
            return None
        start, end = 0, len(words)
        while end - start > 1:
            middle = (start + end) // 2
            if self._is_leak(words[start:middle], _DEEPEST):
                end = middle
            else:
                start = middle
        return start

    def _is_leak(self, words: Sequence[str], depth: int) -> bool:
        """Return whether a base64 word contains a secret, encoded at most `depth` times."""
        return any(
            self._is_leak_in(reading, depth - 1, known)
            for readings in _decoded(words)
            for known in [set[str]()]
            for reading in readings
        )

    def _is_leak_in(self, text: str, depth: int, known: set[str]) -> bool:
        if self.find(text) >= 0:
            return True
        if depth == 0:
            return False
        return self._is_leak([word for _, word in _words(_FOLDED.sub("", text), known)], depth)


def _words(text: str, known: set[str]) -> Iterator[tuple[int, str]]:
    """Yield the position of each base64 word, and the word, unless it is in `known`; add it."""
    for match in _BASE64.finditer(text):
        word = match.group()
        if word not in known:
            known.add(word)
            yield match.start(), word


def _readings(content: bytes) -> Iterator[str]:
    """Yield the text, and the same without the escapes of JSON, URLs and HTML."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        # NOTE: this keeps each byte, so that a secret in a picture is found too.
        yield content.decode("latin-1")
        return
    yield from _plainer(text)


def _plainer(text: str) -> Iterator[str]:
    """Yield `text`, then the same with its escapes decoded once, twice, …"""
    yield from _uncoloured(text)
    for _ in range(_DEEPEST):
        plain = unquote(_ESCAPE.sub(_unescaped, text))
        if "&" in plain:
            # NOTE: `html` rejects numbers of thousands of digits.
            plain = html.unescape(_LONG_NUMBER.sub(_shortened, plain))
        if plain == text:
            return
        text = plain
        yield from _uncoloured(text)


def _uncoloured(text: str) -> Iterator[str]:
    """Yield `text`, then the same without a terminal's colours if it has any."""
    yield text
    if "\x1b" in text:
        yield _COLOUR.sub("", text)
        yield _COLOUR.sub(" ", text)


def _unescaped(match: re.Match[str]) -> str:
    unicode, byte, letter = match.groups()
    if match.lastindex is None:
        return match.group()
    return chr(int(unicode or byte, 16)) if unicode or byte else _CONTROLS.get(letter, letter)


def _shortened(match: re.Match[str]) -> str:
    digits = match.group(1).lstrip("0") or "0"
    # NOTE: HTML replaces every number that is too large for a character.
    return f"&#{digits if len(digits) < _LONGEST_NUMBER else '9' * _LONGEST_NUMBER}"


def _decoded(words: Sequence[str]) -> Iterator[Iterator[str]]:
    """
    Yield the readings of all decoded `words`, joined with gaps.

    Characters before a base64 text may look like part of it, so each of the
    four alignments is tried.
    """
    stripped = [word.rstrip("=").translate(_TO_STANDARD) for word in words]
    for start in range(4):
        texts: list[str] = []
        not_utf_8: list[str] = []
        for word in stripped:
            part = word[start : len(word) - ((len(word) - start) % 4 == 1)]
            content = base64.b64decode(part + "=" * (-len(part) % 4))
            try:
                texts.append(content.decode("utf-8"))
            except UnicodeDecodeError:
                not_utf_8.append(content.decode("latin-1"))
        if texts:
            yield _plainer(_GAP.join(texts))
        if not_utf_8:
            yield iter([_GAP.join(not_utf_8)])


def _documents(content: bytes) -> Iterator[Any]:
    """Yield the JSON document in `content`, or each line's; nothing if it is not JSON."""
    try:
        yield json.loads(content)
        return
    except (ValueError, RecursionError):
        pass
    for line in content.splitlines():
        try:
            if b'"' in line:
                yield json.loads(line)
        except (ValueError, RecursionError):
            return


def _strings(document: Any, *, of_keys: bool = True) -> Iterator[str]:
    """Yield the strings of a JSON document in order, with or without its keys."""
    waiting = [document]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, dict):
            pairs = item.items() if of_keys else ((None, value) for value in item.values())
            waiting.extend(part for pair in reversed(list(pairs)) for part in reversed(pair))
        elif isinstance(item, list | tuple):
            waiting.extend(reversed(item))
