"""
Secrets that are never printed, and the redactor that removes them from text.
"""

from __future__ import annotations

import base64
import html
import json
import logging
import re
import threading
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, NoReturn
from urllib.parse import quote, quote_plus, unquote

from runbook_lib.core.json_text import OpaqueValue, rebuild
from runbook_lib.core.secret_search import SecretSearch

MASK = "**********"

# NOTE: a shorter form would match innocent text by accident.
SHORTEST_FORM = 5

# NOTE: match the literal prefix first, then use a lookbehind; much faster in `re`. A token starts
# after anything but a letter or digit, or after an escape that ends with one. Base64 of a picture
# contains such words too, after a `/`, a `+` or a line break.
# Access tokens of people, by their prefix.
_USER_TOKEN = re.compile(
    r"EAA(?:(?<![0-9A-Za-z]EAA)|(?<=%[0-9A-Fa-f]{2}EAA)|(?<=\\[nrtbf]EAA))"
    r"(?<![0-9A-Za-z+/]{32}EAA)(?<![0-9A-Za-z+/]{32}\nEAA)(?<![0-9A-Za-z+/]{32}\\nEAA)"
    r"[0-9A-Za-z]{30,}"
)
# Access tokens of apps, `ID|…`.
_APP_TOKEN = re.compile(r"[0-9]{8}(?<![0-9]{9})[0-9]{0,12}(?:\||%7[Cc])[0-9A-Za-z_-]{20,}")
# A client secret of 32 hexadecimal digits; no other separate word here has this shape.
_HEX_SECRET = re.compile(
    r"[0-9a-f]{32}(?![0-9A-Za-z])(?:(?<![0-9A-Za-z][0-9a-f]{32})"
    r"|(?<=%[0-9A-Fa-f]{2}[0-9a-f]{32})|(?<=\\[nrtbf][0-9a-f]{32}))"
)

_SENSITIVE_KEY = re.compile(
    r"access_?token|client_?secret|app_?secret|auth_?value|password|refresh_?token|appsecret_proof"
    r"|^token$|^code$|^authorization$|^cookie$|^set-cookie$|input_token|fb_exchange_token|logging_token",
    re.IGNORECASE,
)
_SENSITIVE_NAME = re.compile(r"secret|token|password|authvalue", re.IGNORECASE)
# A field's name, or the word before, that makes a stranger's 32 hexadecimal digits a secret.
_NAMES_SECRET = re.compile(r"secret|token|passw|auth_?value|_?key$|proof|credential", re.IGNORECASE)
_NAMED_SECRET = re.compile(
    r"(?i:secret|token|password|key|proof)[^0-9A-Za-z]{1,6}(?:is |was )?"
    r"([0-9a-f]{32})(?![0-9A-Za-z])"
)

# Headers that sign in, as lines, as fields and items of JSON, and in a query: their names, the text
# before a value, and the value, to the end of its line, its text or its list.
_QUOTE = r"(?:\\{0,8}[\"']|&quot;|&#39;|%22)"
_BLANK = "[\\s\u200b-\u200f\u2060\ufeff]*+"
_BEFORE_VALUE = (
    rf"(?:{_QUOTE}?{_BLANK}(?:=>|[:=\uff1a\uff1d]|%3a)|>"
    rf"|{_QUOTE}\s*+,(?:\s*+{_QUOTE}value{_QUOTE}\s*+:)?(?=\s*+{_QUOTE})){_BLANK}{_QUOTE}?"
)
# Prose has these names as well: a value is one word, has a digit or a sign, or names a scheme.
_IS_VALUE = (
    r"(?=(?<==)\S|\s*+(?:[^\s\"'<]++[^\S\r\n]*+(?:[\r\n\"'<]|\Z)|\[|[^\r\n\"']{0,200}?[0-9=]"
    r"|(?:basic|bearer|digest|negotiate|ntlm|hawk|oauth|token|signature)\s))"
)
_VALUE = (
    r"(?:\s*+\[[^\]\r\n]*+|(?:[^\r\n\"'\\=]|\\{1,8}/|=(?:\\{0,8}\"[^\"\r\n]*+\")?)++"
    r"(?:\r?\n[ \t]+[^\r\n\"'\\]++)*+)"
)
_KEY = "(?:key|token|secret|signature(?:-[0-9]+)?|session|session-?id|auth)"
_BASIC = re.compile(r"(\bbasic(?:\s|%20|\+)++)([0-9A-Za-z+/_-]{4,}+(?:=|%3d){0,2})", re.IGNORECASE)

# A text hides a secret only with one of these: an escape, or a word that may be base64.
_HIDING = re.compile(r"[\\%&]|[0-9A-Za-z+/_\r\n-]{24}")
# The shortest token of a known shape, 29 characters of an app, takes 38 or more in base64.
_HIDING_TOKEN = re.compile(r"[\\%&]|[0-9A-Za-z+/_\r\n-]{38}")
_BLANKS = re.compile(r"(\s+)")


@cache
def _header_pattern() -> re.Pattern[str]:
    """Return the pattern of headers that sign in; compiled once, since that is slow."""
    return re.compile(
        rf"((?:authorization|(?<![a-z])cookie2?){_BEFORE_VALUE}{_IS_VALUE}){_VALUE}"
        rf"|((?:(?<=[a-z0-9]-){_KEY}{_BEFORE_VALUE}"
        rf"|(?:(?<=[a-z0-9]_){_KEY}|(?<![a-z])apikey){_BEFORE_VALUE}{_IS_VALUE}))"
        rf"{_VALUE.replace('=]', '=&]')}",
        re.IGNORECASE,
    )


class Secret:
    """
    A credential that prints as `**********` wherever it is printed.

    `reveal()` is the only way to the value, so a search finds every use.
    It cannot be serialised: papermill, logging and multiprocessing would
    all leak the value.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the raw value; the caller must not log, store or show it."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret('{MASK}')"

    __str__ = __repr__

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret cannot be serialised")


@dataclass(frozen=True, slots=True)
class Credential:
    """A credential or issued token: its `label` in messages, and the providers that may get it."""

    label: str
    providers: frozenset[str] = frozenset()


class Redactor:
    """
    Removes every known secret, in every known encoding, from text.

    It learns tokens as they are issued (`learn`), and masks whatever looks
    like an access token or a client secret, unless it is a known exception
    (`allow`). It knows the credentials that each secret belongs to. Thread-safe.

    `recognise` returns whether an unknown word of 32 hexadecimal digits is a secret all the same.
    """

    def __init__(
        self,
        secrets: Iterable[Secret] = (),
        recognise: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self._recognise = recognise
        self._lock = threading.Lock()
        self._forms: tuple[str, ...] = ()
        self._credentials: Mapping[str, frozenset[Credential]] = {}
        self._allowed: frozenset[str] = frozenset()
        for secret in secrets:
            self.learn(secret)

    def learn(self, secret: Secret, *credentials: Credential) -> None:
        """Mask `secret` from now on, as a value of `credentials`; without them no host gets it."""
        with self._lock:
            known = self._credentials
            learned = {
                form: known.get(form, frozenset()).union(credentials)
                for form in encoded_forms(secret)
            }
            self._credentials = {**known, **learned}
            self._forms = tuple(sorted(self._credentials, key=len, reverse=True))

    def release(self, credential: Credential) -> None:
        """Detach the secrets of `credential`: they stay masked, and no host may get them for it."""
        with self._lock:
            self._credentials = {
                form: credentials - {credential} for form, credentials in self._credentials.items()
            }

    def credentials_of(self, secret: Secret) -> frozenset[Credential]:
        """Return the credentials of `secret`; empty if it has none or is unknown."""
        return self._credentials.get(secret.reveal(), frozenset())

    def credentials_in(self, text: str) -> list[frozenset[Credential]]:
        """Return the credentials of each known secret that `text` contains in any of its forms."""
        return [credentials for form, credentials in self._credentials.items() if form in text]

    def allow(self, values: Iterable[object]) -> None:
        """Never mask these values because they look like a client secret."""
        with self._lock:
            self._allowed |= {value for value in values if isinstance(value, str)}

    @property
    def known(self) -> tuple[tuple[str, ...], frozenset[str]]:
        """The values that masking depends on: with the same ones, a text is masked alike."""
        return self._forms, self._allowed

    def is_shown(self, value: str) -> bool:
        """Return whether `value` was allowed."""
        return value in self._allowed

    def redact(self, text: str) -> str:
        """
        Return `text` with each secret, and each token-shaped word, replaced by the mask.

        It masks the whole word if that hides a secret behind escapes or in base64.
        """
        return self._mask_text(text, bare_hex=True)

    def redact_remote(self, text: str) -> str:
        """
        Return a remote system's text with secrets masked.

        32 hexadecimal digits count only if their value is known, recognised or named as a
        secret: a stranger's request id, MD5 or ETag has the same form as a client secret.
        """
        text = without_headers(text)
        named = [match.span(1) for match in _NAMED_SECRET.finditer(text)]
        return self._mask_text(_mask_spans(text, named), bare_hex=False)

    def redact_document(self, document: Any) -> Any:
        """
        Return a JSON document with secrets masked by value and by field name.

        A remote system may echo a credential that this redactor does not
        know; the field's name identifies it.
        """
        return rebuild(document, self._redacted_item)

    def redact_values(self, document: Any, *, structure: Collection[str] = ()) -> Any:
        """
        Return a JSON document of the runbook's own with secrets masked by value.

        Field names are never masked, nor are values masked because of them.
        The fields in `structure` (ids, outcomes, actions) stay as they are, whole.
        """

        def item(value: Any) -> Any:
            if isinstance(value, str):
                return self.redact(_whole_characters(value))
            if isinstance(value, Mapping):
                return {
                    key: OpaqueValue(field) if key in structure else field
                    for key, field in value.items()
                }
            return value

        return rebuild(document, item)

    def find_secret(
        self, text: str, *, bare_hex: bool = True, remote_words: Container[str] = frozenset()
    ) -> int:
        """
        Return the position of a known secret, or of a word of such a shape, in `text`; else -1.

        A word that only looks like a client secret does not count without `bare_hex`, or if it
        is in `remote_words`, unless it is recognised.
        """
        known = next((text.find(form) for form in self._forms if form in text), -1)
        shapes = self._find_shapes(text, remote_words, bare_hex=bare_hex)
        return known if known >= 0 else next(shapes, (-1, -1))[0]

    def _mask_text(self, text: str, *, bare_hex: bool) -> str:
        """Return `text` masked; if it still hides a secret, mask its words, or else all of it."""
        known = (place for form in self._forms if form in text for place in _spans_of(form, text))
        shapes = self._find_shapes(text, bare_hex=bare_hex)
        masked = _mask_spans(text, [*known, *shapes])
        search = SecretSearch(partial(self.find_secret, bare_hex=bare_hex))
        hiding = _HIDING if self._forms else _HIDING_TOKEN
        if not hiding.search(masked) or not search.is_leak(masked):
            return masked
        cleaned = "".join(_masked_words(search, _BLANKS.split(masked)))
        return MASK if search.is_leak(cleaned) else cleaned

    def _redacted_item(self, item: Any) -> Any:
        """Return a redacted text, or an object with redacted keys and masked fields."""
        if isinstance(item, str):
            return self.redact_remote(_whole_characters(item))
        if isinstance(item, Mapping):
            fields = dict(item)
            for key, value in item.items():
                if isinstance(value, str) and value and _SENSITIVE_KEY.search(str(key)):
                    fields[key] = MASK
            # NOTE: an API may list properties as {"Name": …, "Value": …}; it may be a credential.
            if _SENSITIVE_NAME.search(str(item.get("Name", ""))) and item.get("Value"):
                fields["Value"] = MASK
            masked = {
                key: OpaqueValue(self.redact_values(value))
                if _NAMES_SECRET.search(str(key))
                else value
                for key, value in fields.items()
            }
            return {self.redact_remote(_whole_characters(str(key))): masked[key] for key in item}
        return item

    def _find_shapes(
        self, text: str, remote_words: Container[str] = frozenset(), *, bare_hex: bool
    ) -> Iterator[tuple[int, int]]:
        yield from _find_tokens(text)
        for start, end in bare_hex_in(text):
            word = text[start:end]
            is_shown = not bare_hex or word in self._allowed or word in remote_words
            if not is_shown or self._recognise(word):
                yield start, end


class RedactingFilter(logging.Filter):
    """Redacts a log record and its traceback before any handler sees them."""

    def __init__(self, redactor: Redactor) -> None:
        super().__init__()
        self._redactor = redactor

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite `record` in place and keep it."""
        record.msg = self._redactor.redact(record.getMessage())
        record.args = None
        if record.exc_info:
            text = logging.Formatter().formatException(record.exc_info)
            record.exc_text = self._redactor.redact(text)
            record.exc_info = None
        return True


def without_headers(text: str) -> str:
    """
    Return `text` with masked values of headers that sign in, and of `Basic`.

    Without a header's name, a word after `Basic` counts if it can be a user and a password
    (RFC 7617): prose has the word too.
    """
    text = _header_pattern().sub(lambda match: f"{match[1] or match[2]}{MASK}", text)
    return _BASIC.sub(lambda match: f"{match[1]}{MASK}" if _signs_in(match[2]) else match[0], text)


def encoded_forms(secret: Secret) -> set[str]:
    r"""
    Return every form in which `secret` may appear.

    Raw, URL-encoded, base64 at its three alignments in both alphabets (also of the
    URL-encoded form), hex, JSON-escaped (also twice, and with `\/`), HTML-escaped.
    Forms under five characters are left out: they would match by accident.
    """
    value = secret.reveal()
    raw = value.encode("utf-8", "surrogatepass")
    quoted = html.escape(value)
    forms = {value, quoted, html.escape(value, quote=False), raw.decode("latin-1")}
    forms.add(quoted.replace("&quot;", "&#34;").replace("&#x27;", "&#39;"))  # as Jinja writes them
    forms |= {raw.hex(), raw.hex().upper()}
    forms |= set(_url_forms(raw)) | set(_json_forms(value)) | set(_base64_forms(raw))
    # In a `Basic` header (RFC 6749 §2.3.1).
    forms |= set(_base64_forms(quote_plus(raw).encode()))
    return {form for form in forms if len(form) >= SHORTEST_FORM}


def holds_token(text: str) -> bool:
    """Return whether `text` contains a word that looks like an access token."""
    return any(True for _ in _find_tokens(text))


def bare_hex_in(text: str) -> Iterator[tuple[int, int]]:
    """Yield the span of each word that looks like a client secret: 32 hexadecimal digits."""
    for match in _HEX_SECRET.finditer(text):
        word = match.group()
        if not (word.isdigit() or word.isalpha()):
            yield match.span()


def _signs_in(word: str) -> bool:
    """Return whether a word after `Basic` is base64 of a user and a password, or like it."""
    bare = unquote(word).rstrip("=")
    whole = base64.b64decode(f"{bare[: len(bare) - (len(bare) % 4 == 1)]}===", "-_")
    is_plain = b":" in whole and min(whole) >= ord(" ")
    return is_plain or bare != unquote(word) or any(map(str.isdigit, bare))


def _masked_words(search: SecretSearch, words: list[str]) -> list[str]:
    """Return `words`, with the mask in place of each that hides a secret; halves are searched."""
    if not search.is_leak("".join(words)):
        return words
    if len(words) == 1:
        return [MASK]
    middle = len(words) // 2
    return [*_masked_words(search, words[:middle]), *_masked_words(search, words[middle:])]


def _spans_of(form: str, text: str) -> Iterator[tuple[int, int]]:
    """Yield the spans of `form` in `text`; overlapping ones are merged."""
    start = end = text.find(form)
    place = start
    while place >= 0:
        # NOTE: a form may overlap itself a million times: merge those at once.
        if place > end:
            yield start, end
            start = place
        end = place + len(form)
        place = text.find(form, place + 1)
    if start >= 0:
        yield start, end


def _find_tokens(text: str) -> Iterator[tuple[int, int]]:
    # NOTE: most texts have no `|`; testing that costs a hundredth of the search.
    shapes = (_USER_TOKEN, _APP_TOKEN) if "|" in text or "%7" in text else (_USER_TOKEN,)
    for shape in shapes:
        for match in shape.finditer(text):
            yield match.span()


def _url_forms(raw: bytes) -> Iterator[str]:
    for form in (quote(raw, safe=""), quote(raw), quote_plus(raw)):
        yield form
        yield re.sub("%[0-9A-F]{2}", lambda match: match.group().lower(), form)


def _json_forms(value: str) -> Iterator[str]:
    for ascii_only in (True, False):
        once = json.dumps(value, ensure_ascii=ascii_only)[1:-1]
        yield once
        yield once.replace("/", "\\/")
        yield once.replace("/", "\\/").replace("@", "\\u0040")
        yield json.dumps(once, ensure_ascii=ascii_only)[1:-1]


def _base64_forms(raw: bytes) -> Iterator[str]:
    # NOTE: RFC 4648 §4 packs three bytes into four characters, so a value inside a longer
    # text has one of three alignments; characters shared with a neighbour are cut off.
    for offset, first in ((0, 0), (1, 2), (2, 3)):
        last = (offset + len(raw)) * 8 // 6
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            yield encode(b"\0" * offset + raw).decode()[first:last]


def _whole_characters(text: str) -> str:
    """Replace halves of surrogate pairs: JSON may carry them (RFC 8259 §8.2), UTF-8 may not."""
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _mask_spans(text: str, spans: Collection[tuple[int, int]]) -> str:
    """Return `text` with the mask in place of `spans`."""
    merged: list[tuple[int, int]] = []
    for start, stop in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(stop, merged[-1][1]))
        else:
            merged.append((start, stop))
    pieces: list[str] = []
    end = 0
    for start, stop in merged:
        pieces += [text[end:start], MASK]
        end = stop
    return "".join([*pieces, text[end:]])
