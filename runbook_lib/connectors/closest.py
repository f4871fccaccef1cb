"""
Which known error texts a text is closest to, for a text that is not recognised.

Pure. BM25 (Robertson and Zaragoza 2009) ranks the troubles. Its documents are their texts, and its
terms are the beginnings of words. The score of a trouble also counts the words that the text shares
with one shown text, or with one row of `words`. A shown text with typing errors comes first. A
close text is a guess: no panel or finding shows it as seen.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import chain, islice
from typing import NamedTuple

from runbook_lib.connectors.troubles import (
    CLOSE,
    GAP,
    ErrorText,
    asked_about,
    beginnings,
    parts_of,
    plain_words,
)
from runbook_lib.core.procedure import Trouble

_MOST = 3
# The first letters of a word that count, the first words of a text, and its first characters.
_LETTERS, _MOST_WORDS, _LONGEST_READ = 7, 60, 2_000
# BM25's k1 (a repeated word adds less and less) and b (a long document scores less).
_K1, _B = 1.2, 0.3
# The weights of a row's share and of a code that a trouble may have, beside BM25's score.
_ROWS, _CODE = 2, 10
# A trouble is offered from this score on, and from this share of the best score.
_LEAST, _LEAST_SHARE = 5.0, 0.5
# A question is about a trouble only if the next one's score is this many times smaller.
_MARGIN = 1.5
# A quoted text with typing errors is offered from this likeness on (“ULR Blokced” has 0.818), and
# comes first. `tests/unit/connectors/test_closest.py` measures it.
_QUOTED, _QUOTED_SHARE = 100.0, 0.81
_LONGEST_HEADLINE, _SHORTEST_HEADLINE, _LEAST_LETTERS, _FEW_LETTERS = 120, 12, 8, 20
# Words of up to so many letters must be whole, in alphabets: other scripts have no blanks.
_WHOLE, _ALPHABETS = 5, "\u0530"
_UNSPACED = re.compile("([\u3040-\u9fff\uac00-\ud7af]+)")

_SENTENCE = re.compile(r"[.:!?]\s+")


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """A word that rows share: whether it must be missing, its beginnings, how rare it is."""

    is_bad: bool
    begins: tuple[str, ...]
    rarity: float

    def is_in(self, text: str) -> bool:
        """Return whether a word of `text` begins so."""
        return any(begin in text for begin in self.begins)


_Row = tuple[_Part, ...]


class _Document(NamedTuple):
    """The texts of a trouble: how often each word is in them, and its rows."""

    counts: Counter[str]
    rows: tuple[_Row, ...]


def closest(
    error: ErrorText, troubles: Sequence[Trouble], about: str, unrelated: str, abroad: str = ""
) -> tuple[list[Trouble], bool]:
    """
    Return up to three troubles to which `error` is closest, and whether it is about the first.

    It is, if it has the words of one or two troubles and no other scores nearly as high. A text
    with a row of `unrelated` is about something else, and close to nothing. A text without a word
    of `about`, the vendor's products, is close only to a text that it quotes. Words of `abroad`,
    other languages, count as the English ones, and make nothing certain.
    """
    texts = [_in_english(text[:_LONGEST_READ], abroad) for text in error.texts]
    words = [word for text in texts for word in _words(text)][:_MOST_WORDS]
    documents, rarity, parts = _index(tuple(troubles))
    if not troubles:
        return [], False
    text, headlines = f" {' '.join(words)} ", _headlines_of(error)
    if _has_row(unrelated, text):
        return [], False
    length = sum(document.counts.total() for document in documents) / len(documents)
    found = {part for part in parts if part.is_in(text)}
    scores = []
    for trouble, document in zip(troubles, documents, strict=True):
        score = _ROWS * max(
            _share(row, found) ** 2 * sum(part.rarity for part in row) for row in document.rows
        )
        damping = _K1 * (1 - _B + _B * document.counts.total() / length)
        for word in dict.fromkeys(words):
            if count := document.counts[word]:
                score += rarity[word] * count * (_K1 + 1) / (count + damping)
        score += _CODE * bool({*error.codes} & {*trouble.codes, *trouble.shares})
        scores.append((score, trouble))
    best = max(score for score, _ in scores)
    scores = [
        (score + _QUOTED * _is_quoted(headlines, trouble), trouble) for score, trouble in scores
    ]
    scores.sort(key=lambda pair: -pair[0])
    # As it is written, it decides; in English, it is only close.
    decided = asked_about(error, troubles)
    first, (next_score, _) = scores[: len(decided)], (*scores, (0.0, None))[len(decided)]
    if 0 < len(decided) < _MOST and all(
        trouble in decided and score >= _MARGIN * next_score for score, trouble in first
    ):
        return [trouble for _, trouble in first], True
    asked = asked_about(replace(error, texts=tuple(texts)), troubles)
    text += "".join(map(plain_words, error.kinds))
    is_about = _has_row(about, text)
    least = max(_LEAST if is_about or asked else _QUOTED, _LEAST_SHARE * best)
    near = [trouble for score, trouble in scores[:_MOST] if score >= least]
    return list(dict.fromkeys((*asked[: _MOST - 1], *near)))[:_MOST], False


def is_foreign(error: ErrorText, unrelated: str) -> bool:
    """Return whether `error` has a row of `unrelated`, so it is about something else."""
    texts = (plain_words(text[:_LONGEST_READ]) for text in (*error.texts, *error.kinds))
    text = f" {' '.join(chain.from_iterable(map(_words, texts)))} "
    return _has_row(unrelated, text)


def _in_english(text: str, abroad: str) -> str:
    """Return the plain words of `text`, those of `abroad` in English."""
    plain = plain_words(text)
    if not abroad:
        return plain
    pattern, meant = _dictionary(abroad)
    apart = _UNSPACED.sub(r" \1 ", plain)
    return plain_words(pattern.sub(lambda match: f" {meant[match[1]]} ", apart))


@lru_cache(maxsize=8)
def _dictionary(abroad: str) -> tuple[re.Pattern[str], dict[str, str]]:
    """Return what finds words of other languages, and the English for each of their beginnings."""
    entries = (entry.partition(": ") for entry in abroad.split("; ") if entry)
    meant = {begin: english for english, _, begins in entries for begin in begins.split("/")}
    # Of two beginnings the longer one counts.
    begins = "|".join(
        begin + (r"(?!\w)" if len(begin) <= _WHOLE and begin < _ALPHABETS else "")
        for begin in sorted(meant, key=len, reverse=True)
    )
    return re.compile(rf"(?<![a-zß-ɏ])({begins})[a-zß-ӿ]*"), meant


def _words(plain: str) -> list[str]:
    """Return the beginnings of plain words, without long numbers and ids."""
    words = plain.replace("_", " ").split()
    return [word[:_LETTERS] for word in words if len(word) < 4 or not word[0].isdigit()]


@lru_cache(maxsize=8)
def _index(
    troubles: tuple[Trouble, ...],
) -> tuple[list[_Document], dict[str, float], list[_Part]]:
    """Return the document of each trouble, how rare each word is (its idf), and all parts."""
    counts = []
    for trouble in troubles:
        prose = " ".join((trouble.means, *(cause.text for cause in trouble.causes)))
        shown = chain.from_iterable(map(_shown_words, trouble.shown))
        asked = {
            begin
            for word in " ".join(trouble.words).split()
            if not word.startswith("!")
            for begin in _words(word.removeprefix(CLOSE).replace("/", " "))
        }
        counts.append(Counter([*_words(plain_words(prose)), *shown, *asked, *asked]))
    # The empty word stands for every word that is in no document.
    has = Counter({"": 0, **Counter(chain.from_iterable(counts))})
    rarity = {
        word: math.log(1 + (len(troubles) - number + 0.5) / (number + 0.5))
        for word, number in has.items()
    }
    parts: dict[str, _Part] = {}
    documents = []
    for trouble, count in zip(troubles, counts, strict=True):
        texts = (" ".join(dict.fromkeys(_shown_words(text))) for text in trouble.shown)
        documents.append(_Document(count, _rows((*trouble.words, *texts), rarity, parts)))
    return documents, rarity, [*parts.values()]


def _shown_words(shown: str) -> list[str]:
    return _words("".join(parts_of(shown)))


def _rows(
    rows: Sequence[str], rarity: dict[str, float], parts: dict[str, _Part] | None = None
) -> tuple[_Row, ...]:
    """Return the parts of each row; the commonest of several words with one meaning counts."""
    parts = {} if parts is None else parts
    split = [row.removeprefix(CLOSE).split() for row in rows if row]
    for word in {word for words in split for word in words} - parts.keys():
        ((is_bad, begins),) = beginnings(word)
        begins = [begin.replace("_", " ")[: _LETTERS + 1] for begin in begins]
        commonest = min(rarity.get(begin.strip(), rarity[""]) for begin in begins)
        parts[word] = _Part(is_bad, tuple(begins), commonest)
    return tuple(tuple(parts[word] for word in words) for words in split)


def _share(row: _Row, found: Collection[_Part]) -> float:
    """Return the share of a row that was `found`, or 0 if a word that must be missing was."""
    there = [part for part in row if part in found]
    if not there or any(part.is_bad for part in there):
        return 0.0
    total = sum(part.rarity for part in row if not part.is_bad)
    return sum(part.rarity for part in there) / total


def _has_row(rows: str, text: str) -> bool:
    """Return whether all words of one of `rows` are in `text`, and none that must be missing."""
    return any(all(part.is_in(text) is not part.is_bad for part in row) for row in _rows_of(rows))


@lru_cache(maxsize=8)
def _rows_of(rows: str) -> tuple[_Row, ...]:
    return _rows(rows.split("; "), {"": 1.0})


def _headlines_of(error: ErrorText) -> list[tuple[str, str]]:
    """Return the words of the first message, or line, of what follows a title, and each's title."""
    line = error.texts[0].strip().partition("\n")[0] if error.texts else ""
    begins = (0, *(match.end() for match in islice(_SENTENCE.finditer(line), _MOST)))
    rests = [line[begin:][:_LONGEST_HEADLINE] for begin in begins]
    return [
        (plain_words(rest).strip(), plain_words(_SENTENCE.split(rest)[0]).strip()) for rest in rests
    ]


@lru_cache(maxsize=5_000)
def _headlines(shown: str) -> frozenset[str]:
    """Return the texts to compare a headline with: `shown`, and its part before the first gap."""
    before, whole = parts_of(shown)[0].strip(), " ".join("".join(parts_of(shown)).split())
    if shown.startswith(GAP) or len(before) <= _SHORTEST_HEADLINE:
        return frozenset({whole})
    return frozenset({whole, before})


def _is_quoted(headlines: Sequence[tuple[str, str]], trouble: Trouble) -> bool:
    """Return whether a text of `trouble` begins as a headline does."""
    texts = frozenset().union(*map(_headlines, trouble.shown))
    return any(_is_alike(*headline, text) for text in texts for headline in headlines)


def _is_alike(headline: str, title: str, text: str) -> bool:
    """
    Return whether a headline and a text begin alike, as far as the shorter of them goes.

    One of few letters is a whole title.
    """
    from rapidfuzz.distance import OSA  # noqa: PLC0415  (only a text that is not known asks for it)

    is_short = min(len(headline), len(text)) < _FEW_LETTERS
    said = title if is_short else headline
    # One more than the shorter has: a letter that was left out.
    length = (max if is_short else min)(len(said), len(text)) + 1
    if length <= _LEAST_LETTERS:
        return False
    return bool(OSA.normalized_similarity(said[:length], text[:length], score_cutoff=_QUOTED_SHARE))
