"""
How an error text is recognised as one that a connector knows.

Pure. The texts themselves are data of the connectors. What is pasted may be a
page's text or its HTML, an address with the error in its query, the JSON of an answer, or a log
with such an answer anywhere in it; it is compared by its words alone, without case, quotes and
punctuation; code prefixes such as `(#200)` do not count, nor whether a word is one or many, or
“is not” is written “isn't”. A text may have words between its own, and a long one may differ in a
few. What a text that is not known is close to, `closest` says.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import lru_cache
from itertools import islice
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from runbook_lib.core.json_text import parse_first
from runbook_lib.core.procedure import Trouble

# What varies in a text that is shown: a name, a list of permissions, a time.
GAP = "…"
# Before a row of words that makes a text close to a trouble, and never known: no text has it.
CLOSE = "~"
# A longer paste is cut.
_LONGEST = 400_000
# How much of a text must be pasted for the text to be recognised.
_LEAST_WORDS, _LEAST_SHARE = 2, 0.5
_ENOUGH_WORDS = 4
_MOST_NESTED = 4
# What a gap may hold, in characters: a list of permissions, not a page.
_LONGEST_GAP = 500
# So many words of a log may stand behind a vague text.
_MOST_BEHIND = 9
# A text of so many words is known if all of them stand in this order in a passage that has few more
# words, and more in a gap; of a longer text, if such a share does. Of a longer paste only so many
# words are compared.
_NEAR_WORDS, _LONG_WORDS, _NEAR_SHARE = 5, 9, 0.85
_NEAR_MORE, _GAP_WORDS, _MOST_NEAR_WORDS = 3, 20, 1_500
# So many words of a paste are read as a question; so many of a cause must be in it.
_LONGEST_QUESTION, _ASKED_WORDS = 30, 3
# They stand in so many words, looked at in steps.
_PASSAGE, _STEP = 20, 5
# Whom or what a text is about: texts alike but for such a word mean different things.
_TELLING = frozenset({"account", "ad", "app", "application", "not", "page", "user"})
# A text of so few words is no text if it stands within a sentence, in small letters.
_HEADLINE_WORDS, _MOST_HEADLINES = 3, 50
# So many objects of JSON are read, and so many of their values.
_MOST_OBJECTS, _MOST_FIELDS = 20, 200
_MOST_BY_WORDS = 3

_WORD = re.compile(r"\w+")
_NOT = re.compile(
    r"\b(?:(can)(?:not|['’]?t)|(are|could|did|do|does|has|have|is|was|were|wo|would)n['’]?t)\b"
)
_MANY = re.compile(r"(?<=[a-z]{4})(?<!s)s\b")
_PREFIX = re.compile(r"\(?#[0-9]{1,7}\)(?=\s*\w)|\[[0-9]{1,7}\](?=\s*\w)")
_WORDS_APART = re.compile(r"[\s\"'<>]+")
# What is not seen, and may stand between two letters: colours of a terminal, control characters,
# soft hyphens, blanks without width.
_INVISIBLE = re.compile(
    "\x1b\\[[0-9;]{0,20}m|[\x00-\x08\x0e-\x1f\x7f\xad\u200b-\u200f\u202a-\u202e\u2060\ufeff]"
)
_TAG = re.compile(r"<[^<>]{1,300}>")
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#x[0-9a-f]{1,6}|[a-z]{2,8});", re.IGNORECASE)
_ESCAPE = re.compile(r"\\(?:u(?!d[89a-f])([0-9a-f]{4})|([nrt])|(.))", re.IGNORECASE)
# A number after such a word is a code; one of a process or of HTTP is not.
_CODE = re.compile(
    r"\(\#([0-9]{1,7})\)"
    r"|(?<![^\W_])(?<!status[ _])(?<!exit[ _])(?<!http[ _])(?<!return[ _])(?<!response[ _])"
    r"(?:error[ _]?|err[ _]?|fehler|fout|fel|fejl)?(?:sub)?"
    r"(?:code|código|codigo|codice|kode|kod|код)\W{1,6}([0-9]{1,7})(?:\s?/\s?([0-9]{1,7}))?\b"
    r"|(?:コード|代码|代碼|코드)\W{1,6}([0-9]{1,7})|\bwith error ([0-9]{3,7})\b(?!\.)"
    r"|(?:\berror|exception)\W{1,3}([0-9]{1,7})(?=\s?[;)\]}]|[,:.](?![0-9])|\s?(?:\n|\Z))"
    r"|\A\W*([0-9]{1,7})\W*\Z|\(([0-9]{3,7})\)\s*\Z",
    re.IGNORECASE,
)
# A message in what a program wrote that is not JSON.
_QUOTED = re.compile(
    r"""message['"]?\s?[:=]?\s?(?:'([^'\n]{3,300})'|"([^"\n]{3,300})")""", re.IGNORECASE
)
# An answer without rows, as the texts name it.
_EMPTY_LIST = 'An empty list: {"data":[]}'
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


@dataclass(frozen=True, slots=True)
class ErrorText:
    """The texts and codes in something that was pasted or answered, and the kinds that it names."""

    texts: tuple[str, ...] = ()
    codes: tuple[int, ...] = ()
    kinds: tuple[str, ...] = ()


def read_error(pasted: str) -> ErrorText:
    """Return the error texts and codes in a text, an address or a JSON document."""
    text = unicodedata.normalize("NFKC", _INVISIBLE.sub("", pasted[:_LONGEST]))[:_LONGEST]
    texts, codes, kinds = [], [], []
    for name, value in islice(_fields(text), _MOST_FIELDS):
        if name in _CODES and value.isdecimal():
            codes.append(int(value[:7]))
        elif name in (*_MESSAGES, *_CODES) and not value.isdecimal():
            texts.append(value)
        elif name == "type":
            kinds.append(value)
    stripped = text.strip()
    if not (texts and stripped.startswith("{") and stripped.endswith("}")):
        # An answer may be quoted in it, or be cut.
        whole = _unescape(_without_addresses(text))
        quoted = islice(_QUOTED.finditer(whole), _MOST_OBJECTS)
        texts += [*(match[1] or match[2] for match in quoted), whole]
    for part in texts:
        codes += [int(number) for match in _CODE.findall(part) for number in match if number]
    return ErrorText(
        tuple(filter(str.strip, texts)), tuple(dict.fromkeys(codes)), tuple(dict.fromkeys(kinds))
    )


def recognise(error: ErrorText, troubles: Iterable[Trouble]) -> list[Trouble]:
    """
    Return the troubles in `error`, the longest text first.

    A subcode decides. A text that stands within a longer known one is not counted, nor is a vague
    one beside another. Where no text is known a code with a word counts, then a part of a text, and
    a code alone last.
    """
    known, codes = list(troubles), set(error.codes)
    texts = [plain_words(text) for text in error.texts]
    found = _found(error.texts, texts, known)
    return (
        [trouble for trouble in known if codes & set(trouble.subcodes)]
        or [trouble for trouble in found if not trouble.is_vague]
        or _near(texts, known)
        or [trouble for trouble in found if _says_it_all(texts, trouble)]
        or _by_word(texts, [each for each in known if codes & {*each.codes, *each.shares}])
        or [
            trouble
            for trouble in known
            if trouble not in found and any(_is_part(text, trouble) for text in texts)
        ]
        or [trouble for trouble in known if codes & set(trouble.codes)]
    )


def asked_about(error: ErrorText, troubles: Iterable[Trouble]) -> list[Trouble]:
    """Return up to three troubles whose words a question has, the most words first."""
    passages = _passages(map(plain_words, error.texts))
    return _by_word(passages, list(troubles), _ASKED_WORDS, margin=1)


def sharing(error: ErrorText, troubles: Iterable[Trouble]) -> list[Trouble]:
    """Return the troubles that have a code of `error`, which has other meanings too."""
    codes = set(error.codes)
    return [trouble for trouble in troubles if codes & set(trouble.shares)]


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


def _answer(answer: object) -> ErrorText:
    """Return what an answer of a remote system says of an error."""
    if isinstance(answer, str):
        return read_error(answer)
    fields = list(_of_document(answer))
    return ErrorText(
        tuple(value for name, value in fields if name in _MESSAGES),
        tuple(int(value[:7]) for name, value in fields if name in _CODES and value.isdecimal()),
    )


def _without_addresses(text: str) -> str:
    """Return `text` without the addresses whose values are read by name; of many, the first."""
    addresses = (word for word in _WORDS_APART.split(text) if _is_address(word))
    for address in dict.fromkeys(islice(addresses, _MOST_OBJECTS)):
        text = text.replace(address, " ")
    return text


def _unescape(text: str) -> str:
    """Return `text` without tags, and without the escapes of HTML and JSON, one in another."""
    for _ in range(2):
        text = _ENTITY.sub(lambda match: html.unescape(match[0]), _TAG.sub(" ", text))
        text = _ESCAPE.sub(
            lambda match: chr(int(match[1], 16)) if match[1] else match[3] or " ", text
        )
    return text


def _fields(text: str) -> Iterator[tuple[str, str]]:
    """Yield the named values of JSON objects and of addresses' queries in `text`."""
    start = text.find("{")
    for _ in range(_MOST_OBJECTS):
        if start < 0:
            break
        try:
            document, end = parse_first(text, start)
        except ValueError:
            end = start + 1
        else:
            yield from _of_document(document)
        start = text.find("{", end)
    for word in _WORDS_APART.split(text):
        if _is_address(word):
            with suppress(ValueError):
                parts = urlsplit(word)
                for query in (parts.query or parts.path, parts.fragment):
                    fields = parse_qsl(query, max_num_fields=200)
                    # NOTE: `code` is an authorization code there (RFC 6749 §4.1.2).
                    yield from ((name, value) for name, value in fields if name != "code")


def _of_document(document: object, depth: int = 0) -> Iterator[tuple[str, str]]:
    """Yield the named values of a JSON document, and of JSON that is a text in it."""
    if depth > _MOST_NESTED:
        return
    if isinstance(document, list):
        for item in document[:_MOST_OBJECTS]:
            yield from _of_document(item, depth + 1)
    if not isinstance(document, Mapping):
        return
    for name, value in document.items():
        if value == [] and name == "data" and not depth:
            yield "message", _EMPTY_LIST
        elif isinstance(value, Mapping | list):
            yield from _of_document(value, depth + 1)
        elif isinstance(value, str) and value.lstrip().startswith(("{", "[")):
            with suppress(ValueError):
                yield from _of_document(parse_first(value.lstrip())[0], depth + 1)
        elif isinstance(value, str | int):
            yield str(name), str(value)


def _is_address(word: str) -> bool:
    """Return whether `word` is an address, or a part of one, that names values."""
    return "=" in word and bool({"?", "#", "&"} & set(word)) and len(word.split()) == 1


def plain_words(text: str) -> str:
    """Return the words of `text` in lower case, with a blank around each."""
    lower = unicodedata.normalize("NFKC", _PREFIX.sub(" ", text)).casefold()
    plain = _MANY.sub("", _NOT.sub(r"\1\2 not", lower))
    return f" {' '.join(_WORD.findall(plain))} "


@lru_cache(maxsize=5_000)
def parts_of(shown: str) -> list[str]:
    """Return the parts of a text between its gaps, as words."""
    return [part for part in map(plain_words, shown.split(GAP)) if part.strip()]


def _whole(shown: str) -> str:
    """Return the words of a text without its gaps."""
    return " ".join("".join(parts_of(shown)).split())


def _found(pasted: Sequence[str], texts: list[str], troubles: list[Trouble]) -> list[Trouble]:
    """
    Return the troubles whose texts are in `texts`, but for those within a longer known text.

    `pasted` are the same texts before they were made plain.
    """
    places = [
        (len("".join(parts)), number, *place, index)
        for index, trouble in enumerate(troubles)
        for parts in map(parts_of, trouble.shown)
        for number, text in enumerate(texts)
        if (place := _place(text, parts))[1] and _is_headline(pasted[number], parts)
    ]
    places.sort(key=lambda place: -place[0])
    outer = [
        index
        for length, number, begin, end, index in places
        if not any(
            other[1] == number and other[2] <= begin and end <= other[3] and length < other[0]
            for other in places
        )
    ]
    return [troubles[index] for index in dict.fromkeys(outer)]


def _place(text: str, parts: list[str]) -> tuple[int, int]:
    """Return where `text` contains all `parts` in this order, near to each other; else 0, 0."""
    begin = text.find(parts[0])
    while begin >= 0:
        end = begin
        for part in parts:
            end = text.find(part, end, end + _LONGEST_GAP + len(part) if end > begin else None)
            if end < 0:
                break
            # NOTE: the blank at a part's end is the next one's beginning too.
            end += len(part) - 1
        else:
            return begin, end
        begin = text.find(parts[0], begin + 1) if len(parts) > 1 else -1
    return 0, 0


def _is_headline(text: str, parts: list[str]) -> bool:
    """Return whether `parts` are long, or stand somewhere in `text` as a headline does."""
    words = " ".join(parts).split()
    if len(words) > _HEADLINE_WORDS:
        return True
    # NOTE: a word may go on, see `_MANY`.
    written = re.compile(r"\w?\W+".join(map(re.escape, words)), re.IGNORECASE)
    places = [match.start() for match in islice(written.finditer(text), _MOST_HEADLINES)]
    return not places or any(
        text[place].isupper() or not re.search(r"\w\s+\Z", text[max(0, place - 9) : place])
        for place in places
    )


def _near(texts: list[str], troubles: list[Trouble]) -> list[Trouble]:
    """Return the troubles of which a long text is in `texts` but for a few words; the nearest."""
    pasted = [_lasting(text)[:_MOST_NEAR_WORDS] for text in texts]
    scores = [
        (max(_nearness(words, shown) for shown in trouble.shown for words in pasted), trouble)
        for trouble in troubles
        if pasted and not trouble.is_vague
    ]
    best = max((score for score, _ in scores), default=0.0)
    return [trouble for score, trouble in scores if score == best > 0]


def _lasting(text: str) -> list[str]:
    """Return the words of `text` that are neither number nor id."""
    words = text.replace("_", " ").split()
    return [word for word in words if not any(map(str.isdigit, word))]


@lru_cache(maxsize=5_000)
def _known_words(shown: str) -> list[str]:
    return _lasting(_whole(shown))


def _nearness(words: list[str], shown: str) -> float:
    """Return the share of the words of `shown` that a passage of `words` has in this order."""
    known = _known_words(shown)
    least = _NEAR_SHARE if len(known) >= _LONG_WORDS else 1.0
    if len(known) < _NEAR_WORDS or len({*known} & {*words}) < least * len({*known}):
        return 0.0
    anchor = SequenceMatcher(None, words, known, autojunk=False).find_longest_match()
    begins, more = anchor.a - anchor.b, _NEAR_MORE + _GAP_WORDS * shown.count(GAP)
    passage = words[max(0, begins - more) : begins + len(known) + more]
    blocks = SequenceMatcher(None, passage, known, autojunk=False).get_matching_blocks()
    share = sum(block.size for block in blocks) / len(known)
    end = blocks[-2].a + blocks[-2].size
    about = [word for word in passage[max(0, blocks[0].a - 1) : end] if word in _TELLING]
    is_about = GAP in shown or about == [word for word in known if word in _TELLING]
    return share if share >= least and is_about else 0.0


def _by_word(
    texts: Iterable[str], troubles: list[Trouble], least: int = 1, margin: int = 0
) -> list[Trouble]:
    """
    Return the troubles with `least` words or more that are in one of `texts`, the most words first.

    Those with up to `margin` words less than the first count as well: three troubles at most.
    """
    pasted = list(texts)
    counts = [
        (
            max((len(beginnings(row)) for row in _deciding(each) if _has(pasted, row)), default=0),
            each,
        )
        for each in troubles
    ]
    counts.sort(key=lambda pair: -pair[0])
    enough = max(least, counts[0][0] - margin) if counts else least
    return [trouble for count, trouble in counts if count >= enough][:_MOST_BY_WORDS]


def _deciding(trouble: Trouble) -> list[str]:
    return [row for row in trouble.words if not row.startswith(CLOSE)]


@lru_cache(maxsize=5_000)
def beginnings(words: str) -> list[tuple[bool, list[str]]]:
    """Return for each of `words` whether it must be missing, and how it may begin."""
    return [
        (stems != word, [f" {stem} "[: None if len(stem) < 4 else -1] for stem in stems.split("/")])
        for word in words.split()
        for stems in (word.removeprefix("!"),)
    ]


def _has(texts: list[str], words: str) -> bool:
    """Return whether one of `texts` has all of `words`, in any order, and none behind a `!`."""
    return any(
        all(any(stem in text for stem in stems) != is_bad for is_bad, stems in beginnings(words))
        for text in texts
    )


def _passages(texts: Iterable[str]) -> Iterator[str]:
    """Yield the passages of the beginning of each text: what belongs together stands together."""
    for text in texts:
        words = text.split()[:_LONGEST_QUESTION]
        for begin in range(0, max(1, len(words) - _PASSAGE + _STEP), _STEP):
            yield f" {' '.join(words[begin : begin + _PASSAGE])} "


def _says_it_all(texts: list[str], trouble: Trouble) -> bool:
    """Return whether no title or further text says more than what a vague trouble shows."""
    return any(_is_alone(text, trouble) for text in texts) and all(
        any(_place(text, parts_of(shown))[1] for shown in trouble.shown) for text in texts
    )


def _is_alone(text: str, trouble: Trouble) -> bool:
    """Return whether `text` ends soon after what a vague trouble shows: more would say which."""
    for shown in trouble.shown:
        end = _place(text, parts_of(shown))[1]
        if end and (shown.endswith(GAP) or len(text[end:].split()) <= _MOST_BEHIND):
            return True
    return False


def _is_part(text: str, trouble: Trouble) -> bool:
    """Return whether `text` is a good part of what is shown."""
    count = len(text.split())
    if count < _LEAST_WORDS:
        return False
    return any(
        text in part and (count >= _ENOUGH_WORDS or count >= _LEAST_SHARE * len(part.split()))
        for shown in trouble.shown
        for part in parts_of(shown)
    )
