"""The texts of letters to customers: whole in each language, plain, and read strictly."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from string import Formatter

import pytest
from babel.dates import format_date

from runbook_lib import connectors
from runbook_lib.connectors.letters import LETTER_LANGUAGES, PLACEHOLDERS, LanguageTexts
from runbook_lib.connectors.registry import find_procedure, letters_of
from runbook_lib.connectors.texts import read_letters
from runbook_lib.core.procedure import KnownError
from runbook_lib.errors import TextsError
from tests.support.connectors import FACEBOOK_CONNECTORS
from tests.support.wording import wording

FACEBOOK = Path(connectors.__path__[0]) / "facebook"
LETTERS = read_letters(FACEBOOK)
ENGLISH = letters_of(find_procedure("facebook_marketing")).languages["en"]
ERRORS: Mapping[str, KnownError] = {
    error.id: error
    for name in FACEBOOK_CONNECTORS
    for error in find_procedure(name).known_errors
    if error.for_customer
}
# Words that a customer need not know, in any of the languages.
TECHNICAL = re.compile(
    r"\b(token|jeton|api|oauth|app[- ]?(id|secret)|webhooks?|urls?|uri|https?|scopes?|json|endpoint"
    r"|cyclr|graph|server|servidor|serveur|id|code|código|runbook|subcode|redirect)\b",
    re.IGNORECASE,
)
# Dates of Babel's locales; English is the British kind, and Portuguese Brazil's.
LOCALES = {"en": "en_GB", "de": "de", "fr": "fr", "es": "es", "pt": "pt_BR"}
each_language = pytest.mark.parametrize("language", LETTER_LANGUAGES)


def causes_of(language: str) -> Mapping[str, str]:
    return ENGLISH.causes if language == "en" else LETTERS.languages[language].causes


def every_text(language: str) -> list[str]:
    texts = LETTERS.languages[language]
    return [*texts.sentences.values(), *causes_of(language).values(), *texts.data.values()]


@each_language
def test_each_known_error_for_customers_has_its_sentence(language: str) -> None:
    """No sentence of a cause is missing or left over, and none says the same as in English."""
    causes = causes_of(language)

    assert causes.keys() == ERRORS.keys()
    if language != "en":
        assert not {text for name, text in causes.items() if text == ENGLISH.causes[name]}


@each_language
def test_each_kind_of_customer_data_has_its_words(language: str) -> None:
    """Each noun of `[customer_data]` has words that a customer knows."""
    data = (find_procedure(name).customer_data for name in FACEBOOK_CONNECTORS)

    assert LETTERS.languages[language].data.keys() == {kept.noun for kept in data if kept}


@each_language
def test_a_sentence_has_its_placeholders_and_no_other(language: str) -> None:
    """Every language says the same facts."""
    texts = LETTERS.languages[language]
    sentences = {**texts.sentences, "day": texts.day}

    found = {name: names_in(text) for name, text in sentences.items() if names_in(text)}
    assert found == PLACEHOLDERS
    assert not any(map(names_in, causes_of(language).values()))


def names_in(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


@each_language
def test_a_letter_has_no_technical_word(language: str) -> None:
    """No sentence has a word of ours that a customer need not know."""
    assert not [text for text in every_text(language) if TECHNICAL.search(text)]
    assert TECHNICAL.search("Your access Token has ended")


@each_language
def test_days_are_written_as_the_language_writes_them(language: str) -> None:
    """Each month is written as Babel writes it."""
    for month in range(1, 13):
        day = date(2026, month, 20)
        expected = format_date(day, "long", LOCALES[language])
        assert written(LETTERS.languages[language], day) == expected


def written(texts: LanguageTexts, day: date) -> str:
    return texts.day.format(day=day.day, month=texts.months[day.month - 1], year=day.year)


def test_an_error_that_signing_in_does_not_end_does_not_ask_for_it() -> None:
    """The list of such errors agrees with their sentences, and so does the list of named pages."""
    listed = {*LETTERS.needs_no_sign_in}
    assert listed <= ERRORS.keys()
    for name in listed:
        assert not re.search(r"sign in again|our link", ERRORS[name].for_customer), name
    for name in LETTERS.names_pages:
        assert re.search(r"choose .*page", ERRORS[name].for_customer), name


@each_language
def test_the_place_of_the_link_cannot_be_overlooked(language: str) -> None:
    """It is a line of capital letters between signs, and no text names another address."""
    sentences = LETTERS.languages[language].sentences

    assert re.fullmatch(r"<<< [A-ZÀ-Þ ]+ >>>", sentences["link"])
    assert not any("<" in text for name, text in sentences.items() if name != "link")
    assert not any("://" in text for text in every_text(language))


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("\n[es]\n", "\n[xx]\n", "letters.toml, xx: "),
        ('closing = "Kind regards"\n', "", "[en], closing: " + wording("texts-invalid.missing")),
        ('closing = "Kind regards"', 'closing = ""', "[en], closing: Expected"),
        ('closing = "Cordialement"', 'clossing = "Cordialement"', "[fr], clossing: "),
        ('"Hello {customer},"', '"Hello {custmer},"', "[en], greeting: "),
        ('"Guten Tag {customer},"', '"Guten Tag,"', "[de], greeting: there is no {customer}"),
        ('"Hello,"', '"Hello {since},"', "[en], greeting_unnamed: "),
        ('"outubro", ', "", "[pt], months: Expected"),
        ("needs_no_sign_in = [", "needs_sign_in = [", "letters.toml, needs_sign_in: "),
    ],
)
def test_a_mistake_in_letters_is_named(tmp_path: Path, old: str, new: str, says: str) -> None:
    """A missing language or sentence, an unknown key or placeholder: the error says where."""
    text = (FACEBOOK / "letters.toml").read_text(encoding="utf-8")
    assert old in text
    shutil.copy(FACEBOOK / "sources.toml", tmp_path)
    (tmp_path / "letters.toml").write_text(text.replace(old, new, 1), encoding="utf-8")

    with pytest.raises(TextsError) as caught:
        read_letters(tmp_path)

    assert says in str(caught.value)
