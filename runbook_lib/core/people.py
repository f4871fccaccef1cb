"""Compare the names of people, and retell a sentence in the third person."""

from __future__ import annotations

import re
import unicodedata

# Words of the first person, and their forms in the third person.
_FIRST_PERSON = re.compile(r"\b(?:I am|I have|I|my)\b")
_THIRD_PERSON = {"I am": "{} is", "I have": "{} has", "I": "{}", "my": "their"}


def person_key(name: str) -> str:
    """
    Return a key that is equal for two spellings of one person's name.

    It ignores differences of compatible characters (NFKC), case, blanks and invisible characters.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    shown = (char for char in folded if unicodedata.category(char) != "Cf")
    return " ".join("".join(shown).split())


def retell(sentence: str, by: str) -> str:
    """Return `by`'s sentence in the third person, for a second person to confirm."""
    retold = _FIRST_PERSON.sub(lambda match: _THIRD_PERSON[match[0]].format(by), sentence)
    return f"{retold} I have seen it."
