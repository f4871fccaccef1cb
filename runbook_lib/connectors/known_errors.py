"""
Explain an error text: by a subcode, a known text, a code, or the closest by full-text search.

Pure. The texts are data of the connectors (`known_errors.toml`), compared as plain words: without
case, punctuation, markup and code prefixes. A subcode or a text makes an answer certain. Words only
offer errors, or take certainty away. The search is SQLite's FTS5 (BM25, Porter stems); a SQLite
without it still answers by text and code. Scripts without spaces are searched by pairs of
characters.
"""

from __future__ import annotations

import math
import re
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from enum import StrEnum
from functools import cached_property
from itertools import islice, pairwise
from typing import Any

from runbook_lib.connectors.error_text import (
    ErrorText,
    parts_of,
    plain,
    read_error,
    without_codes,
)
from runbook_lib.core.procedure import KnownError

MAX_GAP_CHARACTERS = 500
MAX_CLOSEST = 3
MAX_TRIES = 50
MAX_WHOLE_WORD = 5
MAX_QUERY_WORDS = 80
MAX_QUERY_CHARACTERS = 2_000
# A generic text counts if at most this many words stand beside it; more may, if its code is there.
MAX_WORDS_BESIDE = 6
MAX_WORDS_BESIDE_CODE = 15
# A line with typing errors matches a known text from this share of equal letters on
# (“ULR Blokced” has 0.82), compared over this many characters.
LEAST_LIKENESS = 0.8
MIN_HEADLINE_CHARACTERS = 8
MIN_PREFIX_CHARACTERS = 20
MAX_HEADLINE_CHARACTERS = 120
# Other software shows texts with at most this many words, too.
COMMON_WORDS = 3
# A longer known text is specific, whatever title stands beside it.
MAX_VAGUE_WORDS = 8
# An error is offered from this BM25 score on: if the text names our systems, uses words of the
# field, or neither.
LEAST_SCORES = (3.0, 9.0, 15.0)
_CREATE = """
create virtual table known using fts5(
    number unindexed, shown, meaning, more, search_words,
    tokenize="porter unicode61 remove_diacritics 2 categories 'L* N* Co M*'");
create virtual table texts using fts5(number unindexed, shown, tokenize=trigram)"""
_ALIKE = "select number, shown from texts where texts match ? order by rank limit 5"
# The weights of a hit in the texts, the meaning, causes and advice, and people's words.
_SEARCH = """
select number, -bm25(known, 0, 1.0, 0.7, 0.3, 5.0) as score
from known where known match ? order by score desc limit 40"""
# Weight of frequent causes over rare ones that fit alike.
REPORTS_WEIGHT = 0.03
# Factor for causes that occur after the set-up, if the text says that something worked before.
CHANGE_FACTOR = 1.6

_SENTENCE_END = re.compile(r"[.:!?]\s+")
_UNSPACED = re.compile("[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+")


class ExplanationBasis(StrEnum):
    """The basis of an explanation; only the first two are safe to pass on to somebody else."""

    SUBCODE = "subcode"
    TEXT = "text"
    """A known text stands in the pasted one."""

    CODE = "code"
    SEARCH = "search"
    """The full-text search, or a likeness despite typing errors."""

    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class SearchWords:
    """The vocabulary of a vendor, each as plain words."""

    products: tuple[str, ...] = ()
    """Names of its systems."""

    field: tuple[str, ...] = ()
    """Words that its users use, and others too."""

    change: tuple[str, ...] = ()
    """Words that say that something has worked before."""

    other_software: tuple[str, ...] = ()
    """Names that take certainty away."""

    translations: tuple[tuple[str, str], ...] = ()
    """Beginnings of words in other languages, each with the English."""


NO_WORDS = SearchWords()


@dataclass(frozen=True, slots=True)
class Explanation:
    """The known errors that a text may be, and the basis of that decision."""

    decided_by: ExplanationBasis
    """The first of subcode, text, code and search that found something."""

    errors: tuple[KnownError, ...] = ()
    """The errors that the text may be, the likeliest first; only one if it is certain."""

    title: str = ""
    """The known text that was found."""

    codes: tuple[int, ...] = ()
    """The codes in the text."""

    is_certain: bool = False
    """Whether a subcode, a specific text or a code without other meanings names one error."""

    @property
    def names_cause(self) -> bool:
        """Whether a subcode or a known text decided."""
        return self.decided_by in (ExplanationBasis.SUBCODE, ExplanationBasis.TEXT)


class KnownErrors:
    """Errors that are searched together."""

    def __init__(self, errors: Iterable[KnownError], words: SearchWords = NO_WORDS) -> None:
        self.errors = tuple(errors)
        self._words = words

    def explain(self, pasted: str) -> Explanation:
        """Explain `pasted` by a subcode, a text or a code, or else by the closest errors."""
        error_text = read_error(pasted)
        decided = self.decide(error_text)
        if decided.is_certain:
            return decided
        near = self._find_misspelt(error_text) + self._search(
            error_text, has_code=bool(decided.errors)
        )
        near = list({error.id: error for error in near}.values())
        if not decided.errors:
            by = ExplanationBasis.SEARCH if near else ExplanationBasis.NOTHING
            return Explanation(by, tuple(near[:MAX_CLOSEST]), codes=decided.codes)
        # A generic text is known, and leaves causes open, as a code does.
        generic = decided.errors if decided.names_cause else ()
        coded = self._with_code(error_text) if generic else decided.errors
        errors = (*generic, *(error for error in near if error in coded), *near[:MAX_CLOSEST])
        known = tuple({error.id: error for error in (*errors, *coded)}.values())
        return replace(decided, errors=known[: MAX_CLOSEST if near else None])

    def decide(self, error_text: ErrorText) -> Explanation:
        """Explain a text by a subcode, a known text or a code; never by a search for words."""
        codes = error_text.codes
        known = (error for error in self.errors if not set(codes).isdisjoint(error.subcodes))
        if error := next(known, None):
            return Explanation(ExplanationBasis.SUBCODE, (error,), "", codes, is_certain=True)
        is_foreign = self._names_other(error_text.text)
        hits = (
            hit
            for hit in self._texts_in(error_text)
            if not is_foreign or len(plain(hit[2]).split()) > COMMON_WORDS
            if not _is_doubtful(hit[2], error_text)
        )
        _, error, shown = max(hits, key=lambda hit: hit[0], default=((), None, ""))
        if error:
            is_certain = not error.is_generic
            return Explanation(ExplanationBasis.TEXT, (error,), shown, codes, is_certain=is_certain)
        quoted = self._find_quoting(error_text)
        if len(quoted) == 1 and not is_foreign:
            return Explanation(ExplanationBasis.TEXT, quoted, "", codes, is_certain=True)
        own = [error for error in self.errors if not set(codes).isdisjoint(error.codes)]
        if len(own) == 1 and not is_foreign:
            return Explanation(ExplanationBasis.CODE, tuple(own), "", codes, is_certain=True)
        coded = self._with_code(error_text)
        return Explanation(
            ExplanationBasis.CODE if coded else ExplanationBasis.NOTHING, coded, codes=codes
        )

    def _with_code(self, error_text: ErrorText) -> tuple[KnownError, ...]:
        """Return the errors that have a code of a text."""
        codes = set(error_text.codes)
        return tuple(
            error
            for error in self.errors
            if not codes.isdisjoint((*error.codes, *error.shared_codes))
        )

    def _texts_in(
        self, error_text: ErrorText
    ) -> Iterator[tuple[tuple[bool, int], KnownError, str]]:
        """Yield each known text with its rank: specific ones before generic, then the longest."""
        messages = [f" {plain(message)} " for message in error_text.messages]
        total = sum(len(message.split()) for message in messages)
        for error in self.errors:
            has_code = not set(error_text.codes).isdisjoint((*error.codes, *error.shared_codes))
            most_beside = MAX_WORDS_BESIDE_CODE if has_code else MAX_WORDS_BESIDE
            for shown in error.shown:
                parts = parts_of(shown)
                words = sum(len(part.split()) for part in parts)
                size = sum(map(len, parts))
                for message in messages:
                    if not _stand_in(parts, message):
                        continue
                    if words <= COMMON_WORDS and not _is_headline(parts, error_text.text):
                        continue
                    is_all = total - words <= most_beside and _is_in_each(error, messages)
                    if is_all or not error.is_generic:
                        yield (not error.is_generic, size), error, shown

    def _find_quoting(self, error_text: ErrorText) -> tuple[KnownError, ...]:
        """Return the errors whose known texts contain the only message, if it has enough words."""
        message, *others = (f" {plain(text)} " for text in error_text.messages)
        if others or len(message.split()) <= COMMON_WORDS:
            return ()
        return tuple(
            error
            for error in self.errors
            if any(message in f" {part} " for shown in error.shown for part in parts_of(shown))
        )

    def _names_other(self, text: str) -> bool:
        """Return whether a normalised text is about other software, and names none of ours."""
        words = set(plain(text).split())
        return not words.isdisjoint(self._words.other_software) and words.isdisjoint(
            self._words.products
        )

    def _search(self, error_text: ErrorText, *, has_code: bool) -> list[KnownError]:
        """Return the errors with words of a text, the best BM25 score first."""
        index = self._index
        if index is None or (self._names_other(error_text.text) and not has_code):
            return []
        searched = plain(without_codes(" ".join(error_text.messages)[:MAX_QUERY_CHARACTERS]))
        words = dict.fromkeys((*_search_terms(searched).split(), *self._translate(searched)))
        terms = [word for word in words if not word.isdigit()][:MAX_QUERY_WORDS]
        rows = index.execute(_SEARCH, (" OR ".join(f'"{term}"' for term in terms) or '""',))
        scored = [(self.errors[number], score) for number, score in rows]
        is_change = not words.keys().isdisjoint(self._words.change)
        scores = {
            error.id: score
            * (1 + REPORTS_WEIGHT * math.log1p(error.reports))
            * (CHANGE_FACTOR if is_change and error.is_after_set_up else 1)
            for error, score in scored
        }
        beginning = error_text.text[:MAX_QUERY_CHARACTERS].casefold()
        named = words.keys() | set(re.findall(r"\w+", beginning))
        is_named = not named.isdisjoint(self._words.products)
        is_of_field = not named.isdisjoint(self._words.field)
        least = LEAST_SCORES[0 if has_code or is_named else 1 if is_of_field else 2]
        near = [error for error, _ in scored if scores[error.id] >= least]
        return sorted(near, key=lambda error: -scores[error.id])

    def _find_misspelt(self, error_text: ErrorText) -> list[KnownError]:
        """Return the errors whose text a line of a text begins with, but for typing errors."""
        index = self._index
        if index is None or self._names_other(error_text.text):
            return []
        alike: dict[str, KnownError] = {}
        for headline in _headlines_of(error_text.messages[0]):
            trigrams = {headline[place : place + 3] for place in range(len(headline) - 2)}
            query = " OR ".join(f'"{trigram}"' for trigram in sorted(trigrams))
            for number, shown in index.execute(_ALIKE, (query,)):
                if _is_alike(headline, shown):
                    alike.setdefault(self.errors[number].id, self.errors[number])
        return list(alike.values())

    def _translate(self, words: str) -> Iterator[str]:
        """Yield the English of words of other languages in `words`."""
        spaced = f" {words} "
        for begin, english in self._words.translations:
            is_unspaced = _UNSPACED.match(begin)
            end = " " if len(begin) <= MAX_WHOLE_WORD else ""
            if begin in spaced if is_unspaced else f" {begin}{end}" in spaced:
                yield from english.split()

    @cached_property
    def _index(self) -> sqlite3.Connection | None:
        return _make_index(self.errors)


def has_full_text_search() -> bool:
    """Return whether this SQLite has FTS5: a compile option."""
    return _make_index(()) is not None


def rank_seen(
    errors: Iterable[KnownError],
    reason: str,
    responses: Iterable[object],
    *,
    others: Iterable[KnownError] = (),
) -> list[Any]:
    """
    Return each error with the place where it was seen; sorted by `reason`, `response`, nowhere.

    `reason` explains a step's outcome; `responses` are those of remote systems, as JSON
    documents or text. One of the `others` joins if it is certain by `reason`, and no error is.
    """
    known = KnownErrors(errors)
    in_reason = known.decide(read_error(reason))
    wide = KnownErrors(others).decide(read_error(reason))
    if wide.is_certain and not in_reason.is_certain:
        in_reason = wide
        known = KnownErrors((*known.errors, *wide.errors))
    decided = [known.decide(read_error(str(response))) for response in responses if response]
    seen = {found.errors[0].id: "response" for found in decided if _names_one_error(found)}
    if _names_one_error(in_reason):
        seen[in_reason.errors[0].id] = "reason"
    places = ("reason", "response", "")
    pairs = [(error, seen.get(error.id, "")) for error in known.errors]
    return sorted(pairs, key=lambda pair: places.index(pair[1]))


def _names_one_error(explanation: Explanation) -> bool:
    """Return whether one error is named, even a generic one."""
    return explanation.is_certain or explanation.names_cause


def _make_index(errors: Iterable[KnownError]) -> sqlite3.Connection | None:
    """Return an index of `errors` by number; `None` without FTS5."""
    index = sqlite3.connect(":memory:", check_same_thread=False)
    try:
        index.executescript(_CREATE)
    except sqlite3.OperationalError:
        return None
    for number, error in enumerate(errors):
        causes = " ".join(cause.text for cause in error.causes)
        texts = (
            " ".join(error.shown),
            error.meaning,
            f"{causes} {error.advice}",
            error.search_words,
        )
        row = (number, *(_search_terms(plain(text)) for text in texts))
        index.execute("insert into known values (?, ?, ?, ?, ?)", row)
        for shown in error.shown:
            index.execute("insert into texts values (?, ?)", (number, " ".join(parts_of(shown))))
    return index


def _stand_in(parts: tuple[str, ...], message: str) -> bool:
    """Return whether all `parts` stand in `message`, in this order and near to each other."""
    if not parts:
        return False
    first, *others = (f" {part} " for part in parts)
    begin = message.find(first)
    for _ in range(MAX_TRIES):
        if begin < 0:
            return False
        end = begin + len(first) - 1
        for part in others:
            place = message.find(part, end, end + MAX_GAP_CHARACTERS + len(part))
            if place < 0:
                break
            end = place + len(part) - 1
        else:
            return True
        begin = message.find(first, begin + 1)
    return False


def _is_in_each(error: KnownError, messages: list[str]) -> bool:
    """Return whether every message, such as a title, has a text of `error`."""
    texts = [parts_of(shown) for shown in error.shown]
    return all(any(_stand_in(parts, message) for parts in texts) for message in messages)


def _is_doubtful(shown: str, error_text: ErrorText) -> bool:
    """Return whether words beside an unknown subcode say more than the short text `shown`."""
    if "subcode" not in error_text.text.lower():
        return False
    parts = parts_of(shown)
    length = len(" ".join(parts).split())
    words = plain(without_codes(" ".join(error_text.messages))).split()
    is_title = any(_stand_in(parts, f" {plain(title)} ") for title in error_text.messages[1:])
    return length <= MAX_VAGUE_WORDS and length < len(words) and not is_title


def _headlines_of(message: str) -> list[str]:
    """Return the first line, its rest after each title, and the titles, as plain words."""
    line = message.strip().partition("\n")[0][:MAX_QUERY_CHARACTERS]
    begins = (0, *(match.end() for match in islice(_SENTENCE_END.finditer(line), MAX_CLOSEST)))
    rests = [line[begin:][:MAX_HEADLINE_CHARACTERS] for begin in begins]
    titles = [_SENTENCE_END.split(rest)[0] for rest in rests]
    lines = dict.fromkeys(plain(text) for text in (*rests, *titles))
    return [text for text in lines if len(text) >= MIN_HEADLINE_CHARACTERS]


def _is_alike(headline: str, shown: str) -> bool:
    """Return whether two texts begin alike, as far as the shorter of them goes."""
    shorter = min(len(headline), len(shown))
    if shorter < MIN_HEADLINE_CHARACTERS:
        return False
    # A text of few letters is the whole headline.
    length = max(len(headline), len(shown)) if shorter < MIN_PREFIX_CHARACTERS else shorter + 1
    matcher = SequenceMatcher(None, headline[:length], shown[:length], autojunk=False)
    return matcher.ratio() >= LEAST_LIKENESS


def _is_headline(parts: tuple[str, ...], text: str) -> bool:
    """Return whether a short text begins a sentence in `text`, or has a capital letter there."""
    words = re.compile(r"\W+".join(map(re.escape, parts[0].split())), re.IGNORECASE)
    places = [match.start() for match in islice(words.finditer(text), MAX_TRIES)]
    return not places or any(
        text[place].isupper() or not re.search(r"\w\s+\Z", text[max(0, place - 9) : place])
        for place in places
    )


def _search_terms(words: str) -> str:
    """Return plain words as terms of the search: pairs of characters for scripts without spaces."""
    return _UNSPACED.sub(
        lambda match: f" {' '.join(map(''.join, pairwise(match[0]))) or match[0]} ",
        words.replace("_", " "),
    )
