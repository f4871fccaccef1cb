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
from collections.abc import Sequence
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
# The weight of a row's share, beside BM25's score.
_ROWS = 2
# A trouble is offered from this score on, and from this share of the best score.
_LEAST, _LEAST_SHARE = 10.0, 0.5
# A question is about a trouble only if the next one's score is this many times smaller.
_MARGIN = 1.45
# A quoted text with typing errors is offered from this likeness on (“ULR Blokced” has 0.818), and
# comes first. `tests/unit/connectors/test_closest.py` measures it.
_QUOTED, _QUOTED_SHARE = 100.0, 0.81
_LONGEST_HEADLINE, _SHORTEST_HEADLINE, _LEAST_LETTERS = 120, 12, 8

_SENTENCE = re.compile(r"[.:!?]\s+")


class _Part(NamedTuple):
    """A word of a row: whether it must be missing, how it may begin, and how rare it is."""

    is_bad: bool
    begins: tuple[str, ...]
    rarity: float


_Row = tuple[_Part, ...]


class _Document(NamedTuple):
    """The texts of a trouble: how often each word is in them, and its rows."""

    counts: Counter[str]
    rows: tuple[_Row, ...]


def closest(
    error: ErrorText, troubles: Sequence[Trouble], about: str, unrelated: str
) -> tuple[list[Trouble], bool]:
    """
    Return up to three troubles to which `error` is closest, and whether it is about the first.

    It is, if it has the words of one or two troubles and no other scores nearly as high. A text
    with a row of `unrelated` is about something else, and close to nothing. A text without a word
    of `about`, the vendor's products, is close only to a text that it quotes.
    """
    words = [word for text in error.texts for word in _words(plain_words(text[:_LONGEST_READ]))][
        :_MOST_WORDS
    ]
    documents, rarity = _index(tuple(troubles))
    if not troubles:
        return [], False
    text, headlines = f" {' '.join(words)} ", _headlines_of(error)
    if any(_share(row, text) == 1 for row in _rows(unrelated.split("; "), rarity)):
        return [], False
    length = sum(document.counts.total() for document in documents) / len(documents)
    scores = []
    for trouble, document in zip(troubles, documents, strict=True):
        score = _ROWS * max(
            _share(row, text) ** 2 * sum(part.rarity for part in row) for row in document.rows
        )
        damping = _K1 * (1 - _B + _B * document.counts.total() / length)
        for word in dict.fromkeys(words):
            if count := document.counts[word]:
                score += rarity[word] * count * (_K1 + 1) / (count + damping)
        scores.append((score + _QUOTED * _is_quoted(headlines, trouble), trouble))
    scores.sort(key=lambda pair: -pair[0])
    asked = asked_about(error, troubles)
    first, (next_score, _) = scores[: len(asked)], (*scores, (0.0, None))[len(asked)]
    if 0 < len(asked) < _MOST and all(
        trouble in asked and score >= _MARGIN * next_score for score, trouble in first
    ):
        return [trouble for _, trouble in first], True
    is_about = any(_share(row, text) == 1 for row in _rows(about.split("; "), rarity))
    least = max(_LEAST if is_about or asked else _QUOTED, _LEAST_SHARE * scores[0][0])
    near = [trouble for score, trouble in scores[:_MOST] if score >= least]
    return list(dict.fromkeys((*asked[: _MOST - 1], *near)))[:_MOST], False


def _words(plain: str) -> list[str]:
    """Return the beginnings of plain words, without long numbers and ids."""
    words = plain.replace("_", " ").split()
    return [word[:_LETTERS] for word in words if len(word) < 4 or not word[0].isdigit()]


@lru_cache(maxsize=8)
def _index(troubles: tuple[Trouble, ...]) -> tuple[list[_Document], dict[str, float]]:
    """Return the document of each trouble, and how rare each word is (its idf)."""
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
    return documents, rarity


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


def _share(row: _Row, text: str) -> float:
    """Return the share of a row that is in `text`, or 0 if a word that must be missing is."""
    has = [any(begin in text for begin in part.begins) for part in row]
    if any(part.is_bad for part, is_there in zip(row, has, strict=True) if is_there):
        return 0.0
    total = sum(part.rarity for part in row if not part.is_bad)
    found = sum(part.rarity for part, is_there in zip(row, has, strict=True) if is_there)
    return found / total if total else 0.0


def _headlines_of(error: ErrorText) -> list[str]:
    """Return the words of the first message, or line, and of what follows a title in it."""
    line = error.texts[0].strip().partition("\n")[0] if error.texts else ""
    begins = (0, *(match.end() for match in islice(_SENTENCE.finditer(line), _MOST)))
    return [plain_words(line[begin:][:_LONGEST_HEADLINE]).strip() for begin in begins]


@lru_cache(maxsize=5_000)
def _headlines(shown: str) -> frozenset[str]:
    """Return the texts to compare a headline with: `shown`, and its part before the first gap."""
    before, whole = parts_of(shown)[0].strip(), " ".join("".join(parts_of(shown)).split())
    if shown.startswith(GAP) or len(before) <= _SHORTEST_HEADLINE:
        return frozenset({whole})
    return frozenset({whole, before})


def _is_quoted(headlines: Sequence[str], trouble: Trouble) -> bool:
    """Return whether a text of `trouble` begins as a headline does, as far as the shorter goes."""
    from rapidfuzz.distance import OSA  # noqa: PLC0415  (only a text that is not known asks for it)

    return any(
        OSA.normalized_similarity(headline[:length], text[:length], score_cutoff=_QUOTED_SHARE)
        for text in frozenset().union(*map(_headlines, trouble.shown))
        for headline in headlines
        # One more than the shorter has: a letter that was left out.
        if (length := min(len(headline), len(text)) + 1) > _LEAST_LETTERS
    )
