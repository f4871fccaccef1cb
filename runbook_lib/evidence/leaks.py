"""
The leak gate: every file of a bundle is read whole before it has its final name.

What counts as a secret is `redaction`'s business; here is where it can hide:
behind escapes, in base64, across the strings of a JSON document.
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from runbook_lib.errors import LeakError
from runbook_lib.redaction import Redactor

__all__ = ["refuse_leaks"]

_STEP_ID = re.compile(r"\b(?:fb|cy|test)-[0-9]{2}-[a-z0-9-]+")
# RFC 4648 §4 and §5; MIME puts line breaks in (RFC 2045 §6.8).
_BASE64 = re.compile(r"[0-9A-Za-z+/_-]{24,}={0,2}")
_FOLDED = re.compile(r"(?<=[0-9A-Za-z+/_-])[\r\n]+(?=[0-9A-Za-z+/_-])")
_TO_STANDARD = str.maketrans("-_", "+/")
# How many times base64 may wrap base64, and escapes escapes.
_DEEPEST = 3
# As JSON, JavaScript and Python write them, however often the backslash itself was escaped.
_ESCAPE = re.compile(r"\\+(?:u([0-9A-Fa-f]{4})|x([0-9A-Fa-f]{2})|([bfnrt\"'/]))")
_CONTROLS = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
# What colours a terminal (ECMA-48 §5.4).
_COLOUR = re.compile("\x1b\\[[0-9;]*[@-~]")
_ANOTHER_FILE = (
    "The evidence was not sealed. Say again that the step is done, without that file or with one "
    "that does not show the secret, then run again; rotate the credential if the file was shared."
)


def refuse_leaks(
    paths: Iterable[Path], redactor: Redactor, attached: Mapping[str, str] | None = None
) -> None:
    """
    Raise `LeakError`, with the file and the step, where one of the files holds a secret.

    `attached` maps the name of each file that a person gave to what that person would call it.
    """
    for path in paths:
        given = (attached or {}).get(path.name)
        before = _before_leak_in_file(path.read_bytes(), redactor, is_given=given is not None)
        if before is None:
            continue
        if given is not None:
            raise LeakError(f"A secret stands in {given}.", next_step=_ANOTHER_FILE)
        step = _STEP_ID.findall(before)
        where = f"{path.name}, {step[-1]}" if step else path.name
        msg = f"A secret stands in {where}."
        raise LeakError(msg)


def _before_leak_in_file(content: bytes, redactor: Redactor, *, is_given: bool) -> str | None:
    """Return what stands before a secret (its last step id says where), or `None`."""
    in_utf_16 = [content.replace(b"\0", b"")] if b"\0" in content else []
    for text in (content, *in_utf_16):
        # NOTE: PDFs name themselves by 32 hexadecimal digits (ISO 32000-1 §14.4).
        before = _before_leak(text, redactor, _DEEPEST, bare_hex=not is_given)
        if before is not None:
            return before
    return _before_leak_across_strings(content, redactor)


def _before_leak(content: bytes, redactor: Redactor, depth: int, *, bare_hex: bool) -> str | None:
    for reading in _readings(content):
        position = redactor.find_secret(reading, bare_hex=bare_hex)
        if position >= 0:
            return reading[:position]
        if depth == 0:
            continue
        whole = _FOLDED.sub("", reading)
        for match in _BASE64.finditer(whole):
            for decoded in _decoded(match.group()):
                inner = _before_leak(decoded, redactor, depth - 1, bare_hex=bare_hex)
                if inner is not None:
                    return whole[: match.start()]
    return None


def _readings(content: bytes) -> Iterator[str]:
    """Yield the text, and what it says to whoever undoes its escapes: JSON's, a URL's, HTML's."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        # NOTE: this keeps each byte, so that a secret in a picture is found as well.
        yield content.decode("latin-1")
        return
    yield text
    for _ in range(_DEEPEST):
        plain = html.unescape(unquote(_ESCAPE.sub(_unescaped, text)))
        if plain == text:
            return
        text = plain
        yield text
        if "\x1b" in text:
            yield _COLOUR.sub("", text)
            yield _COLOUR.sub(" ", text)


def _unescaped(match: re.Match[str]) -> str:
    unicode, byte, letter = match.groups()
    return chr(int(unicode or byte, 16)) if unicode or byte else _CONTROLS.get(letter, letter)


def _decoded(word: str) -> Iterator[bytes]:
    word = word.rstrip("=").translate(_TO_STANDARD)
    # NOTE: what stands before a base64 text may look like part of it, so each of the four
    # alignments is tried.
    for start in range(4):
        part = word[start:]
        part = part[: len(part) - (len(part) % 4 == 1)]
        yield base64.b64decode(part + "=" * (-len(part) % 4))


def _before_leak_across_strings(content: bytes, redactor: Redactor) -> str | None:
    """Look for a known secret that is cut in pieces, each a string of the same JSON document."""
    for document in _documents(content):
        values, keys = list(_strings(document, of_keys=False)), list(_strings(document))
        if any(redactor.holds_known_secret("".join(pieces)) for pieces in (values, keys)):
            return "\n".join(keys)
    return None


def _documents(content: bytes) -> Iterator[Any]:
    """Yield the JSON document, or each line's, that `content` is; nothing where it is none."""
    try:
        yield json.loads(content)
        return
    except (ValueError, RecursionError):
        pass
    for line in content.splitlines():
        try:
            yield json.loads(line)
        except (ValueError, RecursionError):
            return


def _strings(document: Any, *, of_keys: bool = True) -> Iterator[str]:
    """Yield the strings of a JSON document in their order, with or without those of keys."""
    waiting = [document]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, dict):
            pairs = item.items() if of_keys else ((None, value) for value in item.values())
            waiting.extend(each for pair in reversed(list(pairs)) for each in reversed(pair))
        elif isinstance(item, list):
            waiting.extend(reversed(item))
