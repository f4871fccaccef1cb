"""How well a typing error is told from another text: the figures behind `_SIMILAR`."""

from __future__ import annotations

import random
from pathlib import Path

from runbook_lib.connectors.registry import connector_names, find_procedure
from runbook_lib.connectors.troubles import GAP, read_error, recognise, similar

TROUBLES = {
    trouble.shown: trouble
    for name in connector_names()
    for trouble in find_procedure(name).troubles
}.values()
FOREIGN = [
    line
    for line in Path(__file__).with_name("foreign_texts.txt").read_text("utf-8").splitlines()
    if line and not line.startswith("#")
]
KEYS = dict(zip("qwertyuiopasdfghjklzxcvbnm", "wertyuiopqsdfghjklaxcvbnmz", strict=True))


def mistype(text: str, dice: random.Random) -> str:
    """Return `text` with a typing error for each dozen letters, four at most."""
    letters = list(text)
    for _ in range(max(1, min(4, len(text) // 12))):
        place = dice.randrange(len(letters) - 1)
        kind = dice.randrange(4)
        if kind == 0:
            letters[place : place + 2] = reversed(letters[place : place + 2])
        elif kind == 1:
            del letters[place]
        elif kind == 2:
            letters.insert(place, letters[place])
        else:
            letters[place] = KEYS.get(letters[place].lower(), "x")
    return "".join(letters)


def mistyped() -> list[tuple[str, str]]:
    """Return the first known texts as mistyped headlines, with the title of their trouble."""
    dice = random.Random(26)
    return [
        (trouble.title, mistype(" ".join(shown.replace(GAP, "ads_read").split()[:12]), dice))
        for trouble in TROUBLES
        for shown in trouble.shown[:4]
    ]


def test_no_other_text_is_known() -> None:
    """Texts of other systems and ordinary lines of logs are claimed to be nothing."""

    known = {
        text: trouble.title
        for text in FOREIGN
        for trouble in recognise(read_error(text), TROUBLES)
        if not text.startswith("(#")
    }

    assert known == {}


def test_few_other_texts_are_similar() -> None:
    """Of more than 150 texts that are not ours, 3 % at most are offered as perhaps."""

    offered = [text for text in FOREIGN if similar(read_error(text), TROUBLES)]

    assert len(FOREIGN) > 150
    assert len(offered) <= 0.03 * len(FOREIGN), offered


def test_most_typing_errors_are_similar() -> None:
    """
    Of our own headlines with typing errors 92 % lead to their text, and to it first.

    Of each text the first few are tried: the others are variants of them.
    """

    variants = mistyped()
    missed = [
        text
        for title, text in variants
        if title not in [trouble.title for trouble in similar(read_error(text), TROUBLES)[:1]]
    ]

    assert len(missed) <= 0.08 * len(variants), missed
