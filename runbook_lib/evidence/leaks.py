"""
The leak gate: every file of a bundle is read whole before it has its final name.

What counts as a secret is `redaction`'s business; here is where it can hide:
in text, across the strings of a JSON document, inside base64.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from runbook_lib.errors import LeakError
from runbook_lib.redaction import Redactor

__all__ = ["refuse_leaks"]

_STEP_ID = re.compile(r"\b(?:fb|cy|test)-[0-9]{2}-[a-z0-9-]+")
# RFC 4648 §4 and §5, also with the line breaks that MIME puts in, raw or as JSON escapes.
_BASE64 = re.compile(r"(?:[0-9A-Za-z+/_-]|\\n|\n){24,}={0,2}")
_TO_STANDARD = str.maketrans("-_", "+/")
# How many times base64 may wrap base64.
_DEEPEST = 3


def refuse_leaks(paths: Iterable[Path], redactor: Redactor) -> None:
    """Raise `LeakError`, with the file and the step, where one of the files holds a secret."""
    for path in paths:
        content = path.read_bytes()
        before = _before_leak(_text(content), redactor, _DEEPEST)
        if before is None:
            before = _before_leak_across_strings(content, redactor)
        if before is not None:
            step = _STEP_ID.findall(before)
            where = f"{path.name}, {step[-1]}" if step else path.name
            msg = f"A secret stands in {where}."
            raise LeakError(msg)


def _text(content: bytes) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        # NOTE: this keeps each byte, so that a secret in a picture is found as well.
        return content.decode("latin-1")


def _before_leak(text: str, redactor: Redactor, depth: int) -> str | None:
    """Return what stands before a secret in `text` (its last step id says where), or `None`."""
    position = redactor.find_secret(text)
    if position >= 0:
        return text[:position]
    if depth == 0:
        return None
    for match in _BASE64.finditer(text):
        for decoded in _decoded(match.group()):
            if _before_leak(_text(decoded), redactor, depth - 1) is not None:
                return text[: match.start()]
    return None


def _decoded(word: str) -> Iterator[bytes]:
    word = word.replace("\\n", "").replace("\n", "").rstrip("=").translate(_TO_STANDARD)
    # NOTE: what stands before a base64 text may look like part of it, so each of the four
    # alignments is tried.
    for start in range(4):
        part = word[start:]
        part = part[: len(part) - (len(part) % 4 == 1)]
        yield base64.b64decode(part + "=" * (-len(part) % 4))


def _before_leak_across_strings(content: bytes, redactor: Redactor) -> str | None:
    """Look for a known secret that is cut in pieces, each a string of the same JSON document."""
    for document in _documents(content):
        pieces = list(_strings(document))
        if redactor.holds_known_secret("".join(pieces)):
            return "\n".join(pieces)
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


def _strings(document: Any) -> Iterator[str]:
    """Yield the strings of a JSON document, values before what follows them; not its keys."""
    waiting = [document]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, dict):
            waiting.extend(reversed(list(item.values())))
        elif isinstance(item, list):
            waiting.extend(reversed(item))
