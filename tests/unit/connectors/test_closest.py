"""How well `closest` tells a cause from another one: the figures behind its constants."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from runbook_lib.connectors.closest import closest
from runbook_lib.connectors.explanation import explain
from runbook_lib.connectors.provider import vendor_of
from runbook_lib.connectors.registry import connector_names, find_procedure
from runbook_lib.connectors.troubles import GAP, read_error
from runbook_lib.core.procedure import Cause, Trouble

TROUBLES = {
    trouble.shown: trouble
    for name in connector_names()
    for trouble in find_procedure(name).troubles
}.values()
MARKETING = find_procedure("facebook_marketing")
LINES = Path(__file__).with_name("foreign_texts.txt").read_text("utf-8").split("# --- about")
OTHERS, SAME_COMPANY = (
    [line for line in part.splitlines()[1:] if line[:1] != "#"] for part in LINES
)
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


def near(text: str) -> list[Trouble]:
    """Return what `text` is closest to."""
    vendor = vendor_of(MARKETING)
    return closest(read_error(text), tuple(TROUBLES), vendor.about, vendor.unrelated)[0]


def test_no_other_text_is_known() -> None:
    """Texts of other systems and ordinary lines of logs are claimed to be nothing."""
    known = {
        text: [explained.title for explained in explanation.known]
        for text in (*OTHERS, *SAME_COMPANY)
        if not text.startswith("(#")
        for explanation in (explain(text, MARKETING),)
        if explanation.known
    }

    assert known == {}


def test_few_texts_about_other_products_are_close() -> None:
    """Of more than 190 texts about other products 3 % at most are close to one of ours."""
    offered = [text for text in OTHERS if near(text)]

    assert len(OTHERS) > 190
    assert len(offered) <= 0.03 * len(OTHERS), offered


@pytest.mark.matrix(0)
def test_most_typing_errors_lead_to_their_text() -> None:
    """
    Of our own headlines with typing errors 92 % are closest to their text.

    Of each text the first few are tried: the others are variants of them.
    """
    variants = mistyped()
    missed = [
        text
        for title, text in variants
        if title not in [trouble.title for trouble in near(text)[:1]]
    ]

    assert len(missed) <= 0.08 * len(variants), missed


def trouble(shown: str, *words: str, means: str = "It means this.") -> Trouble:
    return Trouble(
        shown=(shown,),
        means=means,
        causes=(Cause(text="It was done."),),
        advice="Undo it.",
        source="https://example.com/docs",
        words=words,
    )


DOOR = trouble("Door refused", "door lock/shut acme", "~handle lost")
LIGHT = trouble("Lamp is dark", "lamp dark acme/bulb", means="The bulb of the lamp is broken.")
WATER = trouble("No water", "water pump acme")
HOUSE = (DOOR, LIGHT, WATER, *(trouble(f"Room {name} is cold") for name in "abcdefghij"))


@pytest.mark.parametrize(
    ("text", "found", "is_certain"),
    [
        # All of its words, and no other cause is near.
        ("The door of my Acme is shut", [DOOR], True),
        # Words that make a text only close, and words of its causes and advice.
        ("Acme: I have lost the handle", [DOOR], False),
        ("Is the bulb of Acme broken?", [LIGHT], False),
        # Another cause is nearly as close; two or more have all of their words.
        ("Acme: the door is shut, and the bulb of the lamp is broken", [DOOR, LIGHT], False),
        ("The door of Acme is shut, and its lamp is dark", [DOOR, LIGHT], True),
        ("Acme: lamp dark, water pump, door shut", [DOOR, LIGHT, WATER], False),
        # No word of the products; another product; nothing at all.
        ("I have lost the handle", [], False),
        ("The lamp of my Acme beside the Telegram is dark", [], False),
        ("Acme", [], False),
        ("", [], False),
        # But for a typing error.
        ("Door refusde", [DOOR], False),
    ],
)
def test_what_is_closest_is_ranked(text: str, found: list[Trouble], is_certain: bool) -> None:
    """Words decide how close a text is; it is certain only with all of them and without a rival."""
    near, certain = closest(read_error(text), HOUSE, "acme", "telegram")

    assert sorted(near, key=HOUSE.index) == found
    assert certain is is_certain


def test_without_texts_nothing_is_close() -> None:
    """A connector without error texts has nothing to offer."""
    assert closest(read_error("Acme"), (), "acme", "") == ([], False)
