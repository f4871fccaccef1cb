"""
Error texts as people see them, what they mean, and how a text is recognised.

Pure. The texts themselves are data of the connectors. What is pasted may be a
page's text, an address with the error in its query, or the JSON of an answer;
it is compared by its words alone, without case, quotes and punctuation.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

# What varies in a text that is shown: a name, a list of permissions, a time.
GAP = "…"
# A longer paste is cut: the error is at its beginning.
_LONGEST = 100_000
# How much of a text must be pasted for the text to be recognised.
_LEAST_WORDS, _LEAST_SHARE = 2, 0.5
_ENOUGH_WORDS = 4
_MOST_NESTED = 4
# A word of more texts than these says nothing about which it is.
_RARE = 6

_WORD = re.compile(r"\w+")
_WORDS_APART = re.compile(r"[\s\"'<>]+")
_CODE = re.compile(
    r"\(#([0-9]{1,7})\)|\b(?:error|code|subcode)\W{1,3}([0-9]{1,7})\b|^\W*([0-9]{1,7})\W*$",
    re.IGNORECASE,
)
_MESSAGES = (
    "message",
    "error_message",
    "error_description",
    "error_user_title",
    "error_user_msg",
    "error_reason",
    "error",
    "reason",
)
_CODES = ("code", "error_code", "error_subcode", "subcode")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """
    One thing that leads to a text; `tested_by` are the ids of the checks that test for it.

    Without any, only a person can look.
    """

    text: str
    tested_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """
    An error as it is shown, and what to do about it.

    `shown` are its exact texts, the best known first; `…` stands for what
    varies. `codes` are the codes and subcodes by which an answer with
    another text is recognised. `source` is a public address, or the kind of
    reading and its date. `advice` names steps by id, as `{cy-03-client-secret}`,
    until `naming` has replaced them; `advice_as_written` keeps it for another naming.
    """

    shown: tuple[str, ...]
    means: str
    causes: tuple[Cause, ...]
    advice: str
    source: str
    codes: tuple[int, ...] = ()
    advice_as_written: str = ""

    def naming(self, steps: Mapping[str, str]) -> Trouble:
        """Return this trouble with the step ids in its advice replaced by names from `steps`."""
        template = self.advice_as_written or self.advice
        return replace(self, advice=template.format_map(steps), advice_as_written=template)

    @property
    def title(self) -> str:
        """Return the best known text."""
        return self.shown[0]

    def document(self) -> dict[str, Any]:
        """Return this trouble as a JSON document, without its codes."""
        return {
            "shown": list(self.shown),
            "means": self.means,
            "causes": [
                {"text": cause.text, "tested_by": list(cause.tested_by)} for cause in self.causes
            ],
            "advice": self.advice,
            "source": self.source,
        }


@dataclass(frozen=True, slots=True)
class ErrorText:
    """The texts and codes in something that was pasted or answered."""

    texts: tuple[str, ...] = ()
    codes: tuple[int, ...] = ()


def read_error(pasted: str) -> ErrorText:
    """Return the error texts and codes in a text, an address or a JSON document."""
    text = pasted[:_LONGEST]
    texts, codes = [], []
    for name, value in _fields(text):
        if name in _CODES and value.isdecimal():
            codes.append(int(value[:7]))
        elif name in _MESSAGES and not value.isdecimal():
            texts.append(value)
    stripped = text.strip()
    is_document = stripped.startswith("{") and stripped.endswith("}")
    if text and not (is_document or _is_address(stripped)):
        texts.append(text)
    for part in texts:
        codes += [int(number) for match in _CODE.findall(part) for number in match if number]
    return ErrorText(tuple(filter(None, texts)), tuple(dict.fromkeys(codes)))


def recognise(error: ErrorText, troubles: Iterable[Trouble]) -> list[Trouble]:
    """
    Return the troubles in `error`, the longest text first.

    A code alone counts only where no text is known, and so does a part of a text.
    """
    known = list(troubles)
    texts = [_normal(text) for text in error.texts]
    lengths = [
        (max(_length(trouble, text) for text in texts), trouble) for trouble in known if texts
    ]
    by_length = sorted((pair for pair in lengths if pair[0]), key=lambda pair: -pair[0])
    if by_length:
        return [trouble for _, trouble in by_length]
    parts = [trouble for trouble in known if any(_is_part(text, trouble) for text in texts)]
    return parts or [trouble for trouble in known if set(trouble.codes) & set(error.codes)]


def ordered(troubles: Iterable[Trouble], reason: str, answers: Iterable[object]) -> list[Any]:
    """
    Return each trouble with where it was seen: `reason`, `answer` or nothing, in this order.

    `reason` says why a step is where it is; `answers` are what remote systems
    answered, as JSON documents or text.
    """
    known = tuple(troubles)
    if not known:
        return []
    from_reason = recognise(read_error(reason), known)
    from_answers = [trouble for answer in answers for trouble in recognise(_answer(answer), known)]
    seen = {
        **{trouble.shown: "answer" for trouble in from_answers},
        **{trouble.shown: "reason" for trouble in from_reason},
    }
    places = ("reason", "answer", "")
    pairs = [(trouble, seen.get(trouble.shown, "")) for trouble in known]
    return sorted(pairs, key=lambda pair: places.index(pair[1]))


def nearest(error: ErrorText, troubles: Iterable[Trouble]) -> list[Trouble]:
    """Return the three troubles that share the rarest words with `error`, the nearest first."""
    known = list(troubles)
    words = {word for text in error.texts for word in _normal(text).split()}
    trouble_words = [
        {word for text in trouble.shown for word in _normal(text).split()} for trouble in known
    ]
    count = Counter(word for of_trouble in trouble_words for word in of_trouble)
    rare = {word for word in words if count[word] <= _RARE}
    scores = [sum(1 / count[word] for word in rare & of_trouble) for of_trouble in trouble_words]
    pairs = sorted(zip(scores, known, strict=True), key=lambda pair: -pair[0])
    return [trouble for score, trouble in pairs[:3] if score]


def _answer(answer: object) -> ErrorText:
    """Return what an answer of a remote system says of an error."""
    if isinstance(answer, str):
        return read_error(answer)
    fields = list(_of_document(answer))
    return ErrorText(
        tuple(value for name, value in fields if name in _MESSAGES),
        tuple(int(value[:7]) for name, value in fields if name in _CODES and value.isdecimal()),
    )


def _fields(text: str) -> Iterator[tuple[str, str]]:
    """Yield the named values of JSON objects and of addresses' queries in `text`."""
    start = text.find("{")
    if start >= 0:
        with suppress(ValueError, RecursionError):
            yield from _of_document(json.JSONDecoder(strict=False).raw_decode(text, start)[0])
    for word in _WORDS_APART.split(text):
        if _is_address(word):
            with suppress(ValueError):
                parts = urlsplit(word)
                for query in (parts.query, parts.fragment):
                    fields = parse_qsl(query, max_num_fields=200)
                    # NOTE: `code` is an authorization code there (RFC 6749 §4.1.2).
                    yield from ((name, value) for name, value in fields if name != "code")


def _of_document(document: object, depth: int = 0) -> Iterator[tuple[str, str]]:
    if not isinstance(document, Mapping) or depth > _MOST_NESTED:
        return
    for name, value in document.items():
        if isinstance(value, Mapping):
            yield from _of_document(value, depth + 1)
        elif isinstance(value, str | int):
            yield str(name), str(value)


def _is_address(word: str) -> bool:
    """Return whether `word` is an address with a query or a fragment that names values."""
    return "=" in word and ("?" in word or "#" in word) and len(word.split()) == 1


def _normal(text: str) -> str:
    """Return the words of `text` in lower case, with a blank around each."""
    lower = unicodedata.normalize("NFKC", text).casefold()
    words = " ".join(_WORD.findall(lower))
    return f" {words} "


def _parts(shown: str) -> list[str]:
    """Return the parts of a text between its gaps, as words."""
    return [part for part in map(_normal, shown.split(GAP)) if part.strip()]


def _length(trouble: Trouble, text: str) -> int:
    """Return the length of the longest text of `trouble` that is in `text`; 0 for none."""
    return max(len("".join(parts)) * _holds(text, parts) for parts in map(_parts, trouble.shown))


def _holds(text: str, parts: list[str]) -> bool:
    """Return whether `text` contains all `parts` in this order."""
    place = 0
    for part in parts:
        place = text.find(part, place)
        if place < 0:
            return False
        # NOTE: the blank at a part's end is the next one's beginning too.
        place += len(part) - 1
    return True


def _is_part(text: str, trouble: Trouble) -> bool:
    """Return whether `text` is a good part of what is shown."""
    count = len(text.split())
    if count < _LEAST_WORDS:
        return False
    return any(
        text in part and (count >= _ENOUGH_WORDS or count >= _LEAST_SHARE * len(part.split()))
        for shown in trouble.shown
        for part in _parts(shown)
    )
