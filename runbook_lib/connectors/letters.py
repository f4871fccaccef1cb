"""
Letters to customers who are cut off: the sentences of a vendor, in each language.

Only data: `engine/customer_letters.py` makes letters of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

# The languages of letters (ISO 639-1), the default first.
LETTER_LANGUAGES = ("en", "de", "fr", "es", "pt")

# Sentence → the placeholders that it has in every language; sentences without any are left out.
PLACEHOLDERS: Mapping[str, frozenset[str]] = {
    "greeting": frozenset({"customer"}),
    "app": frozenset({"app"}),
    "data_missing": frozenset({"since", "data"}),
    "stopped": frozenset({"since"}),
    "perhaps_since": frozenset({"perhaps_since"}),
    "deadline": frozenset({"kept_days", "before"}),
    "late": frozenset({"kept_days"}),
    "day": frozenset({"day", "month", "year"}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LanguageTexts:
    """The sentences of letters in one language."""

    language: str
    """The language's own name of itself."""

    sentences: Mapping[str, str]
    """Name → sentence; `texts.py` lists the names."""

    causes: Mapping[str, str]
    """Id of a known error → the customer's next step."""

    data: Mapping[str, str]
    """`CustomerData.noun` → the same data, in the words of a customer."""

    day: str
    """A date, with `{day}`, `{month}` and `{year}`."""

    first_day: str
    """The first day of a month, such as `1er`."""

    months: tuple[str, ...]
    """The names of the twelve months."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerLetters:
    """A vendor's letters."""

    languages: Mapping[str, LanguageTexts]
    """ISO 639-1 code → texts, for each of `LETTER_LANGUAGES`."""

    needs_no_sign_in: tuple[str, ...] = ()
    """Ids of the known errors after which a customer must do something else than sign in again."""

    names_pages: tuple[str, ...] = ()
    """Ids of the known errors whose sentence says which pages to choose."""
