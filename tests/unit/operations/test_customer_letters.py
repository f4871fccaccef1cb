"""Letters to customers who are cut off: what each says, and the files that they are written to."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from runbook_lib.connectors.registry import find_procedure
from runbook_lib.core import files
from runbook_lib.core.clock import timestamp
from runbook_lib.operations.customer_letters import (
    LINK_LINE,
    letter_file_name,
    letter_to,
    write_letters,
)
from runbook_lib.operations.customer_list import CustomerList, customer_rows
from runbook_lib.operations.customer_rows import AccountStatus, FailingCalls, KnownAccount, Outage
from tests.conftest import NOON
from tests.support.connectors import FACEBOOK_CONNECTORS
from tests.support.wording import wording

MARKETING = find_procedure("facebook_marketing")
SINCE = "2026-11-20T09:00:00.000Z"
MOST_WORDS = 110
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
each_hostile = pytest.mark.parametrize("name", HOSTILE_NAMES.values(), ids=HOSTILE_NAMES)
CAUSES = {
    error.id: error
    for name in FACEBOOK_CONNECTORS
    for error in find_procedure(name).known_errors
    if error.for_customer
}
# Words that a customer need not know.
TECHNICAL = re.compile(
    r"\b(token|api|oauth|app[- ]?(id|secret)|webhooks?|urls?|uri|https?|scopes?|json|endpoint"
    r"|cyclr|graph|server|id|code|runbook|subcode|redirect)\b",
    re.IGNORECASE,
)


def account(**more: Any) -> KnownAccount:
    """Return an account: by default a customer who is signed out."""
    default = {
        "id": "a1",
        "name": "Acme",
        "standing": AccountStatus.NOT_SIGNED_IN,
        "not_signed_in_since": SINCE,
        "signed_in_on": "2026-11-19T09:00:00.000Z",
    }
    return KnownAccount(**(default | more))


def failing(cause: str = "", **more: Any) -> KnownAccount:
    """Return the account of a customer whose calls fail, although Cyclr says signed in."""
    calls = FailingCalls(SINCE, "", "", cause)
    is_in = {"standing": AccountStatus.SIGNED_IN, "not_signed_in_since": "", "failing": calls}
    return account(**(is_in | more))


def written(folder: Path, *accounts: KnownAccount) -> list[Path]:
    """Write the letters to those of these customers who get one."""
    known = CustomerList(tenant="acme", procedure=MARKETING, accounts=accounts)
    return write_letters(customer_rows(known, NOON), folder)


def test_a_signed_out_customer_is_asked_to_sign_in_again() -> None:
    """The letter says what happened, at least since when, and what to do with one link."""
    assert letter_to(account(), MARKETING, "Acme Connect") == (
        "Your Facebook connection needs your help\n\n"
        "Hello Acme,\n\n"
        "Our connection to your Facebook account has ended. This has been so at least since "
        "20 November 2026.\n\n"
        "Please sign in with Facebook again through our link. Choose the same as before.\n\n"
        "Copy the whole link below into the address bar of your browser. Please do not click it "
        "or open a preview: it works only once.\n\n"
        "<<< PASTE THE LINK HERE >>>\n\n"
        "Allow everything that Facebook asks for. For a new link, write to us.\n\n"
        "Facebook shows our app as Acme Connect.\n\n"
        "Kind regards\n"
    )


def test_a_damaged_time_names_no_day() -> None:
    """A row of the state without a usable time still gives a letter."""
    letter = letter_to(account(not_signed_in_since="soon"), MARKETING)
    assert LINK_LINE in letter
    assert "since" not in letter


@pytest.mark.parametrize(
    ("cause", "request_key", "has_link"),
    [
        ("", "connections.letter-sign-in", True),
        ("permission-declined", "", True),
        ("lead-terms", "", False),
        # The operator, or Facebook, must act: the customer cannot.
        ("paused", "", False),
        ("bad-secret", "connections.letter-nothing-to-do", False),
        ("throttled", "connections.letter-nothing-to-do", False),
        # No connector knows it.
        ("no-such-error", "connections.letter-sign-in", True),
    ],
)
def test_a_letter_asks_only_for_what_helps(cause: str, request_key: str, has_link: bool) -> None:
    """A known cause decides what the customer must do; without one, signing in is tried."""
    letter = letter_to(failing(cause), MARKETING)

    assert (wording(request_key) if request_key else CAUSES[cause].for_customer) in letter
    assert (LINK_LINE in letter) is has_link


def test_a_signed_out_customer_always_gets_the_link() -> None:
    """Whatever failed before, only signing in connects the customer again."""
    for cause in ("", *CAUSES, "bad-secret"):
        letter = letter_to(account(failing=FailingCalls(SINCE, "", "", cause)), MARKETING)
        assert LINK_LINE in letter
        assert wording("connections.letter-nothing-to-do") not in letter


def test_an_error_that_signing_in_does_not_end_does_not_ask_for_it() -> None:
    """The errors that need no sign-in agree with their sentences."""
    for name, error in CAUSES.items():
        if error.needs_no_sign_in:
            assert not re.search(r"sign in again|our link", error.for_customer), name


@pytest.mark.parametrize(
    "more",
    [
        *(
            {"standing": each, "not_signed_in_since": ""}
            for each in AccountStatus
            if each is not AccountStatus.NOT_SIGNED_IN
        ),
        # Only one poll of a watch has seen it.
        {"in_doubt_since": SINCE, "polled_on": SINCE},
    ],
)
def test_a_customer_who_is_not_cut_off_gets_no_letter(tmp_path: Path, more: dict[str, Any]) -> None:
    """Signed in, without the connector, not read, or signed out in one poll only: no letter."""
    assert written(tmp_path, account(**more)) == []
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize(
    ("connector", "days", "fetch_since"),
    [
        ("facebook_marketing", 89, [SINCE[:10]]),
        ("facebook_marketing", 91, []),
        ("facebook_messenger", 1, []),
    ],
)
def test_a_customer_who_is_back_is_listed_while_the_data_are_kept(
    connector: str, days: int, fetch_since: list[str]
) -> None:
    """Facebook keeps leads for 90 days; a connector whose vendor keeps nothing has no day."""
    returned_on = timestamp(NOON - timedelta(days=days))
    outage = Outage(SINCE, returned_on)
    back = account(standing=AccountStatus.SIGNED_IN, not_signed_in_since="", outage=outage)
    known = CustomerList(tenant="acme", procedure=find_procedure(connector), accounts=[back])

    assert [row.fetch_since for row in customer_rows(known, NOON)] == fetch_since


def test_a_letter_is_short_and_plain() -> None:
    """The longest letter of all causes is short, and has no word that a customer need not know."""
    for connector in FACEBOOK_CONNECTORS:
        for cause in ("", *CAUSES):
            letter = letter_to(failing(cause), find_procedure(connector), "Acme Connect")
            assert len(letter.split()) <= MOST_WORDS, cause
            assert not TECHNICAL.search(letter), cause


@each_hostile
def test_a_name_changes_no_line_of_a_letter(name: str) -> None:
    """Control characters, line breaks and marks of direction are shown, not done."""
    plain = letter_to(account(), MARKETING).splitlines()
    lines = letter_to(account(name=name), MARKETING).splitlines()

    assert [*lines[:2], *lines[3:]] == [*plain[:2], *plain[3:]]
    assert lines[2].startswith("Hello")
    assert lines[2].isprintable()
    assert len(lines[2]) < 140


@each_hostile
def test_a_name_stays_in_its_folder(tmp_path: Path, name: str) -> None:
    """The file's name is made of letters, digits and `-`, and is short enough with its draft's."""
    folder = tmp_path / "letters"
    (path,) = written(folder, account(name=name))

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

    paths = written(tmp_path, *rows)

    assert len({path.name.casefold() for path in paths}) == len(ids) + 2
    assert len({path.name for path in paths}) == len(rows)
    assert all(len(path.name.encode()) < 200 for path in paths)
    assert letter_file_name("Acme", "a", "one") != letter_file_name("Acme", "a", "other")


def test_a_letter_is_replaced_whole(tmp_path: Path) -> None:
    """The next survey's letter replaces the last one; a link in its place is not followed."""
    folder = tmp_path / "letters" / "december"
    (path,) = written(folder, account())
    first = path.read_text(encoding="utf-8")
    outside = tmp_path / "outside.txt"
    outside.write_text("mine", encoding="utf-8")
    path.unlink()
    path.symlink_to(outside)

    (again,) = written(folder, failing("lead-terms"))

    assert again == path
    assert not path.is_symlink()
    assert outside.read_text(encoding="utf-8") == "mine"
    assert path.read_text(encoding="utf-8") == letter_to(failing("lead-terms"), MARKETING) != first
    assert [*folder.iterdir()] == [path]


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
        written(folder, account())

    assert not [*tmp_path.rglob("*.draft")]
