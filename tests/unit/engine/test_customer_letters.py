"""Letters to customers who are cut off: what each says, and the files that they are written to."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from runbook_lib.connectors.facebook.inputs import FACEBOOK
from runbook_lib.connectors.letters import LETTER_LANGUAGES
from runbook_lib.connectors.registry import find_procedure, letters_of
from runbook_lib.core import files
from runbook_lib.engine.customer_letters import (
    CustomerLetter,
    letter_file_name,
    letter_to,
    text_of,
    write_letters,
)
from runbook_lib.errors import SettingsError
from tests.support.wording import refused

MARKETING = find_procedure("facebook_marketing")
MESSENGER = find_procedure("facebook_messenger")
LETTERS = letters_of(MARKETING)
TODAY = date(2026, 12, 1)
LINK = "<<< PASTE THE LINK HERE >>>"
MOST_WORDS = 150
HOSTILE_NAMES = {
    "lines": "Acme\r\nBcc: everybody\n\nSign in at evil.example",
    "control": "\x1b[2JAcme\x00\x07",
    "turned": "\u202eemcA\u2066",
    "separators": "Acme\u2028\u2029\x85next",
    "placeholders": "{data} {link} {0} {customer}",
    "half a pair": "Acme \ud800",
    "a path": "../../etc/passwd",
    "a device": "CON",
    "dots": "..",
    "long": "A" * 500,
    "far from Latin": "株式会社アクメ",
    "nothing": "",
    "blanks": " \t ",
}
each_language = pytest.mark.parametrize("language", LETTER_LANGUAGES)
each_hostile = pytest.mark.parametrize("name", HOSTILE_NAMES.values(), ids=HOSTILE_NAMES)


def missing(**more: str) -> dict[str, str]:
    """Return the losses of a customer of Facebook Marketing."""
    known = {
        "since": "2026-11-20T09:00:00.000Z",
        "perhaps_since": "",
        "gone_on": "2027-02-18",
        "perhaps_gone_on": "",
    }
    return known | more


def account(**more: Any) -> dict[str, Any]:
    """Return a row of a survey: by default a customer who is signed out."""
    default = {
        "id": "a1",
        "name": "Acme",
        "standing": "not_signed_in",
        "missing": missing(),
        "cause": "",
        "signed_in_on": "2026-11-19T09:00:00.000Z",
        "not_installed_on": "",
    }
    return default | more


def failing(cause: str = "", **more: Any) -> dict[str, Any]:
    """Return the row of a customer whose calls fail."""
    return account(standing="calls_fail", cause=cause, **more)


def letter_of(row: dict[str, Any], today: date = TODAY) -> CustomerLetter:
    letter = letter_to(row, MARKETING, LETTERS, today=today)
    assert letter
    return letter


def written_in(row: dict[str, Any], language: str = "en", today: date = TODAY) -> str:
    return text_of(letter_of(row, today), LETTERS.languages[language])


def test_a_signed_out_customer_is_asked_to_sign_in_again() -> None:
    """The letter says what happened, since when, until when, and what to do with one link."""
    text = written_in(account())

    assert text == (
        "Please sign in with Facebook again\n\n"
        "Hello Acme,\n\n"
        "Our connection to your Facebook account has ended. Since 20 November 2026 we have not "
        "received the leads from your forms.\n\n"
        "Facebook keeps them for only 90 days: from 18 February 2027 on, the first ones may be "
        "lost. Please act before then.\n\n"
        "Please sign in with Facebook again through our link.\n\n"
        "How to sign in:\n\n"
        "1. Copy the whole link below into the address bar of your browser. Please do not click it "
        "or open a preview: it works only once.\n"
        "2. Sign in with Facebook.\n"
        "3. Allow everything that Facebook asks for, and choose the same pages as before.\n\n"
        f"{LINK}\n\n"
        "If the link no longer works, write to us for a new one.\n\n"
        "Kind regards\n"
    )


@each_language
def test_a_customer_who_never_signed_in_is_asked_to_do_so_once(language: str) -> None:
    """Nothing is missing yet: the letter names no day, and asks for a first sign-in with a link."""
    row = account(missing=None, signed_in_on="", not_installed_on="2026-11-18T09:00:00.000Z")
    text = written_in(row, language)

    sentences = LETTERS.languages[language].sentences
    assert text.startswith(sentences["subject_first"])
    assert sentences["not_yet"] in text
    assert sentences["link"] in text
    assert not re.search(r"20\d\d", text)
    assert len(text.split()) < MOST_WORDS
    assert letter_to(account(missing=None), MARKETING, LETTERS, today=TODAY) is None


@each_language
def test_a_customer_whom_no_poll_saw_signed_in_is_asked_neutrally(language: str) -> None:
    """Without proof the letter says neither *again* nor *not yet*, and names no day."""
    text = written_in(account(missing=None, signed_in_on=""), language)

    sentences = LETTERS.languages[language].sentences
    assert text.startswith(sentences["subject_act"])
    assert sentences["calls_fail"] in text
    assert sentences["not_yet"] not in text
    assert sentences["link"] in text
    assert not re.search(r"20\d\d", text)


@each_language
def test_a_letter_names_the_app(language: str) -> None:
    """Whoever must act reads the app's name as Facebook shows it; an unknown one is left out."""
    rows = [account(), failing("lead-terms"), account(missing=None, signed_in_on="")]
    sentence = LETTERS.languages[language].sentences["app"]
    for row in rows:
        letter = letter_to(row, MARKETING, LETTERS, today=TODAY, app="Acme {data}")
        assert letter
        assert sentence.format(app="Acme {data}") in text_of(letter, LETTERS.languages[language])
        assert "app" not in str(letter_of(row).paragraphs)


@each_language
def test_a_customer_without_a_stored_kind_of_data_is_told_of_none(language: str) -> None:
    """A connector whose vendor keeps nothing names neither data nor a last day."""
    row = account(missing=missing(gone_on=""))
    letter = letter_to(row, MESSENGER, LETTERS, today=TODAY)
    assert letter
    text = text_of(letter, LETTERS.languages[language])

    assert LETTERS.languages[language].data["leads"] not in text
    assert "2026" in text
    assert "90" not in text


def test_an_earlier_day_is_named_as_a_perhaps() -> None:
    """The last proven use is named if it was on an earlier day; the deadline is the earlier one."""
    row = account(
        missing=missing(perhaps_since="2026-11-11T10:00:00.000Z", perhaps_gone_on="2027-02-09")
    )

    text = written_in(row)

    assert "Since 20 November 2026" in text
    assert "perhaps_since" in letter_of(row).paragraphs[1]
    assert "11 November 2026" in text
    assert "from 9 February 2027" in text
    assert "18 February" not in text
    same_day = account(missing=missing(perhaps_since="2026-11-20T01:00:00.000Z"))
    assert "perhaps_since" not in letter_of(same_day).paragraphs[1]


@pytest.mark.parametrize(
    ("today", "expected"),
    [(date(2027, 2, 17), "deadline"), (date(2027, 2, 18), "late"), (date(2027, 6, 1), "late")],
)
def test_a_day_that_is_over_is_no_deadline(today: date, expected: str) -> None:
    """From the day on which the first data go, the letter says that some may be lost."""
    assert (expected,) in letter_of(account(), today).paragraphs


@pytest.mark.parametrize(
    ("cause", "subject", "asked", "has_link"),
    [
        ("", "subject_sign_in", "request", True),
        ("permission-declined", "subject_sign_in", "cause", True),
        ("lead-terms", "subject_act", "cause", False),
        # The operator, or Facebook, must act: the customer cannot.
        ("paused", "subject_wait", "cause", False),
        ("bad-secret", "subject_wait", "wait", False),
        ("throttled", "subject_wait", "wait", False),
        # No connector knows it.
        ("no-such-error", "subject_sign_in", "request", True),
    ],
)
def test_a_letter_asks_only_for_what_helps(
    cause: str, subject: str, asked: str, has_link: bool
) -> None:
    """A known cause decides what the customer must do; without one, signing in is tried."""
    letter = letter_of(failing(cause))

    assert letter.subject == subject
    assert (asked,) in letter.paragraphs
    assert (("link",) in letter.paragraphs) is has_link
    assert (LINK in written_in(failing(cause))) is has_link


def test_a_signed_out_customer_always_gets_the_link() -> None:
    """Whatever failed before, only signing in connects the customer again."""
    for cause in ("", *LETTERS.languages["en"].causes, "bad-secret"):
        letter = letter_of(account(cause=cause))
        assert letter.subject == "subject_sign_in"
        assert ("link",) in letter.paragraphs
    assert ("request",) in letter_of(account(cause="paused")).paragraphs


def test_a_letter_does_not_contradict_its_cause() -> None:
    """Where the cause says which pages to choose, the steps do not say the same as before."""
    for cause in LETTERS.names_pages:
        assert ("steps_other_pages",) in letter_of(failing(cause)).paragraphs
    assert ("steps",) in letter_of(failing("permission-declined")).paragraphs


@pytest.mark.parametrize("standing", ["signed_in", "not_installed", "not_known", "vanished"])
def test_a_customer_who_is_not_cut_off_gets_no_letter(tmp_path: Path, standing: str) -> None:
    """Only rows with missing data have a letter."""
    row = account(standing=standing, missing=None)

    assert letter_to(row, MARKETING, LETTERS, today=TODAY) is None
    assert write_letters([row], tmp_path, "en", procedure=MARKETING, today=TODAY) == []
    assert [*tmp_path.iterdir()] == []


@each_language
def test_a_letter_is_short_in_every_language(language: str) -> None:
    """The longest letter of all causes has about 150 words, and nothing is left to fill in."""
    perhaps = missing(perhaps_since="2026-11-01T10:00:00.000Z", perhaps_gone_on="2027-02-01")
    causes = ("", *LETTERS.languages["en"].causes)
    days = (TODAY, date(2027, 3, 1))
    for cause, today, make in product(causes, days, (account, failing)):
        text = written_in(make(cause=cause, missing=perhaps), language, today)
        words = re.findall(r"[^\W\d_][^\s]*", text)
        assert len(words) <= MOST_WORDS, (cause, len(words))
        assert not re.search(r"[{}]", text)


@each_language
def test_the_first_of_a_month_is_written_as_usual(language: str) -> None:
    """French and Portuguese write it as an ordinal number."""
    expected = {
        "en": "1 February 2027",
        "de": "1. Februar 2027",
        "fr": "1er février 2027",
        "es": "1 de febrero de 2027",
        "pt": "1º de fevereiro de 2027",
    }
    text = written_in(account(missing=missing(gone_on="2027-02-01")), language)

    assert expected[language] in text


@each_hostile
def test_a_name_changes_no_line_of_a_letter(name: str) -> None:
    """Control characters, line breaks and marks of direction are shown, not done."""
    plain = written_in(account()).splitlines()
    lines = written_in(account(name=name)).splitlines()

    assert len(lines) == len(plain)
    assert [*lines[:2], *lines[3:]] == [*plain[:2], *plain[3:]]
    assert lines[2].startswith("Hello")
    assert lines[2].isprintable()
    assert len(lines[2]) < 140


@each_hostile
def test_a_name_stays_in_its_folder(tmp_path: Path, name: str) -> None:
    """The file's name is made of letters, digits and `-`, and is short enough with its draft's."""
    folder = tmp_path / "letters"
    (path,) = write_letters([account(name=name)], folder, "en", procedure=MARKETING, today=TODAY)

    assert path.parent == folder
    assert path.resolve().parent == folder.resolve()
    assert re.fullmatch(r"[\w-]+_a1_facebook_marketing\.txt", path.name)
    assert len(path.name.encode()) < 200
    assert [entry.name for entry in tmp_path.iterdir()] == ["letters"]
    assert [*folder.iterdir()] == [path]


def test_each_account_has_a_file_of_its_own(tmp_path: Path) -> None:
    """Names that are alike, and ids that differ by a sign or by case, share no file."""
    ids = ["a-b", "a/b", "a:b", "A-b", "a--b", "-a-b", "a_b", "!!", "x" * 100, "x" * 128, "é"]
    rows = [account(id=account_id, name=name) for account_id in ids for name in ("Acme", "acme")]
    rows += [account(id="c", name="a-b"), account(id="b-c", name="a")]

    paths = write_letters(rows, tmp_path, "en", procedure=MARKETING, today=TODAY)

    assert len({path.name.casefold() for path in paths}) == len(ids) + 2
    assert len({path.name for path in paths}) == len(rows)
    assert all(len(path.name.encode()) < 200 for path in paths)
    assert letter_file_name("Acme", "a", "one") != letter_file_name("Acme", "a", "other")


def test_a_letter_is_replaced_whole(tmp_path: Path) -> None:
    """The next survey's letter replaces the last one; a link in its place is not followed."""
    folder = tmp_path / "letters" / "december"
    (path,) = write_letters([account()], folder, "en", procedure=MARKETING, today=TODAY)
    first = path.read_text(encoding="utf-8")
    outside = tmp_path / "outside.txt"
    outside.write_text("mine", encoding="utf-8")
    path.unlink()
    path.symlink_to(outside)

    (again,) = write_letters([account()], folder, "de", procedure=MARKETING, today=TODAY)

    assert again == path
    assert not path.is_symlink()
    assert outside.read_text(encoding="utf-8") == "mine"
    assert path.read_text(encoding="utf-8") == written_in(account(), "de") != first
    assert [*folder.iterdir()] == [path]


@pytest.mark.parametrize("language", ["it", "EN", "", "../de"])
def test_an_unknown_language_is_refused_before_anything_is_written(
    tmp_path: Path, language: str
) -> None:
    """The error names the five languages."""
    folder = tmp_path / "letters"
    with pytest.raises(SettingsError) as caught:
        write_letters([account()], folder, language, procedure=MARKETING, today=TODAY)

    assert all(name in caught.value.diagnostics() for name in LETTER_LANGUAGES)
    assert not folder.exists()


def test_a_vendor_without_letters_is_refused(tmp_path: Path) -> None:
    """A connector of a vendor that has no letters says so, and writes nothing."""
    silent = replace(FACEBOOK, letters=None)
    procedure = replace(MARKETING, providers=(silent,))

    with refused(SettingsError, "no-letters", connector=procedure.id):
        write_letters([account()], tmp_path / "l", "en", procedure=procedure, today=TODAY)
    assert [*tmp_path.iterdir()] == []


def make_file(folder: Path, _monkeypatch: pytest.MonkeyPatch) -> None:
    folder.write_text("mine", encoding="utf-8")


def make_folder_in_place(folder: Path, _monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / letter_file_name("Acme", "a1", MARKETING.id)).mkdir(parents=True)


def fill_disk(_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object, **_options: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files, "_write_new", refuse)


@pytest.mark.parametrize("spoil", [make_file, make_folder_in_place, fill_disk])
def test_a_folder_that_cannot_be_written_is_an_error(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[Path, pytest.MonkeyPatch], None],
) -> None:
    """A file in the folder's place, a folder in a letter's, a full disk: `OSError`, no draft."""
    folder = tmp_path / "letters"
    spoil(folder, monkeypatch)

    with pytest.raises(OSError):  # noqa: PT011  (each has its own)
        write_letters([account()], folder, "en", procedure=MARKETING, today=TODAY)

    assert not [*tmp_path.rglob("*.draft")]
