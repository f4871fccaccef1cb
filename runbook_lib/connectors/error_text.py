"""
Pasted texts as plain words: without markup, escapes, colours and the secrets of an address.

Pure. It may be a page's text or its HTML, an address with the error in its query, the JSON of a
response, or a log with such a response in it.
"""

from __future__ import annotations

import html
import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import unquote_plus

# Stands for a part that varies in a known text: a name, a list of permissions, a time.
GAP = "…"
MAX_PASTE_CHARACTERS = 400_000
_CODE = re.compile(
    r"\(\#([0-9]{1,7})\)"
    r"|(?<![^\W_])(?<!status[ _])(?<!exit[ _])(?<!http[ _])(?<!return[ _])(?<!response[ _])"
    r"(?:error[ _]?|err[ _]?|fehler|fout|fel|fejl)?(?:sub)?(?:error)?"
    r"(?:code|código|codigo|codice|kode|kod|код)\W{1,6}([0-9]{1,7})(?:\s?/\s?([0-9]{1,7}))?\b"
    r"|(?:コード|代码|代碼|코드)\W{1,6}([0-9]{1,7})|\bwith error ([0-9]{3,7})\b(?!\.)"
    r"|(?:\berror|exception)\W{1,3}([0-9]{1,7})(?=\s?[;)\]}]|[,:.](?![0-9])|\s?(?:\n|\Z))"
    r"|\A\W*([0-9]{1,7})\W*\Z|\(([0-9]{3,7})\)\s*\Z",
    re.IGNORECASE,
)
_MESSAGE = re.compile(
    r"""(?<![^\W_])(message|user_title|user_msg|description|reason)"""
    r"""(?:['"]\s?[:=]|\s?[:=]?(?!['"]\s?[:=]))\s{0,9}"""
    r"""(?:"((?:[^"\\]|\\.){1,2000})"|'((?:[^'\\]|\\.){1,2000})')""",
    re.IGNORECASE,
)
# The fields that a response shows to people, as `_MESSAGE` names them.
_FOR_PEOPLE = ("user_title", "user_msg")
# A response without rows, as the texts name it.
EMPTY_LIST = 'An empty list: {"data":[]}'
_NO_ROWS = re.compile(r"""\s*\{\s*['"]data['"]\s*:\s*\[\s*\]""")
_INVISIBLE = re.compile(
    "\x1b\\[[0-9;]{0,20}m|[\x00-\x08\x0e-\x1f\x7f\xad\u200b-\u200f\u202a-\u202e\u2060\ufeff]"
)
_TAG = re.compile(r"<[a-z/!][^<>]{0,300}>", re.IGNORECASE)
_ESCAPE = re.compile(r"\\(?:u(?!d[89a-f])([0-9a-f]{4})|([nrt])|(.))", re.IGNORECASE)
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#x[0-9a-f]{1,6}|[a-z]{2,8});", re.IGNORECASE)
_LONG_WORD = re.compile(r"[^\s\"'<>]+")
# NOTE: `code` is an authorization code there (RFC 6749 §4.1.2).
_PRIVATE = re.compile(r"(?<=[?&#])(?:code|state|access_token)=[^&\s#]*")
_PREFIX = re.compile(r"\(?#[0-9]{1,7}\)(?=\s*(?:[\w…]|\Z))|\[[0-9]{1,7}\](?=\s*\w)")
_NOT = re.compile(r"\b(?:(can)(?:not|['’]?t)|([a-z]{2,5})n['’]t)\b")


@dataclass(frozen=True, slots=True)
class ErrorText:
    """A pasted text without markup, with its messages and codes in their order."""

    text: str
    messages: tuple[str, ...]
    codes: tuple[int, ...] = ()
    shown_to_people: tuple[str, ...] = ()
    """The title and the message for people in an error response."""


def read_error(pasted: str) -> ErrorText:
    """Return `pasted` without markup, colours and the secrets of an address; read its codes."""
    text = unicodedata.normalize("NFKC", _INVISIBLE.sub("", pasted[:MAX_PASTE_CHARACTERS]))
    text = _LONG_WORD.sub(_read_address, text[:MAX_PASTE_CHARACTERS])
    for _ in range(2):
        text = _ENTITY.sub(lambda match: html.unescape(match[0]), _TAG.sub(" ", text))
    whole = _unescape(text)
    matches = (*_MESSAGE.findall(text), *_MESSAGE.findall(whole))
    named = [(name, _unescape(first or second)) for name, first, second in matches]
    messages = dict.fromkeys(message for _, message in named)
    newest = dict(named)
    if _NO_ROWS.match(text):
        messages = {EMPTY_LIST: None}
    codes = (int(number) for match in _CODE.findall(whole) for number in match if number)
    return ErrorText(
        whole,
        tuple(messages) or (whole,),
        tuple(dict.fromkeys(codes)),
        tuple(newest[name] for name in _FOR_PEOPLE if name in newest),
    )


def plain(text: str) -> str:
    """Return the words of `text` in lower case, with single spaces; marks and `_` are letters."""
    lower = unicodedata.normalize("NFKC", _PREFIX.sub(" ", text)).casefold()
    lower = _NOT.sub(lambda match: f"{match[1] or match[2]} not", lower)
    if lower.isascii():
        return " ".join(re.findall(r"\w+", lower))
    kept = (
        letter if letter == "_" or unicodedata.category(letter)[0] in "LNM" else " "
        for letter in lower
    )
    return " ".join("".join(kept).split())


@lru_cache(maxsize=5_000)
def parts_of(shown: str) -> tuple[str, ...]:
    """Return the parts of a known text between its gaps, as plain words."""
    return tuple(part for part in map(plain, shown.split(GAP)) if part)


def without_codes(text: str) -> str:
    """Return `text` without its codes and the words that introduce them."""
    return _CODE.sub(" ", text)


def _read_address(match: re.Match[str]) -> str:
    """Return a word without escapes and secrets if it is an address that names values."""
    word = match[0]
    if "=" not in word or not {"?", "&", "#"} & set(word):
        return word
    return unquote_plus(_PRIVATE.sub("", word)).replace("&", "\n")


def _unescape(text: str) -> str:
    """Return `text` without the escapes of JSON."""
    return _ESCAPE.sub(lambda match: chr(int(match[1], 16)) if match[1] else match[3] or " ", text)
