"""
Letters to customers who are cut off: one text file for each, in the customer's language.

`letter_to` decides what a letter says, and `text_of` says it in a language. The page's script
(`index.js`) does as `text_of`. A letter has a line which the operator replaces by a link: no link
and no token is known here.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import date
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import Any

from msgspec import Struct

from runbook_lib.connectors.fault_domain import WHO_ACTS, FaultDomain
from runbook_lib.connectors.letters import CustomerLetters, LanguageTexts
from runbook_lib.connectors.registry import find_procedure, letters_of
from runbook_lib.core.files import write_whole
from runbook_lib.core.model import Value
from runbook_lib.core.procedure import Procedure
from runbook_lib.engine.customer_rows import AccountStatus
from runbook_lib.errors import SettingsError
from runbook_lib.text import one_line

_MAX_NAME_CHARS = 120
# NOTE: a file's name has at most 255 bytes, also that of its draft; a character has up to four.
_MAX_FILE_NAME_CHARS = 30
_MAX_ID_CHARS = 48
_CAUSE = "cause"


class CustomerRequest(StrEnum):
    """The request of a letter."""

    FIRST = "first"
    """The customer must sign in for the first time, as a poll has shown."""

    SIGN_IN = "sign_in"
    ACT = "act"
    """The customer must do something else than sign in again."""

    WAIT = "wait"
    """The customer has nothing to do: somebody else must act."""


class CustomerLetter(Struct, frozen=True, kw_only=True):
    """A letter to a customer, in no language yet."""

    connector: str
    """Id of the connector whose texts it takes."""

    subject: str
    """Name of the sentence that is its subject."""

    paragraphs: tuple[tuple[str, ...], ...]
    """Names of the sentences of each paragraph; `cause` is the one of the known error."""

    customer: str
    """The customer's name, on one line; empty if unknown."""

    app: str = ""
    """The app's name at its vendor, on one line; empty if unknown."""

    cause: str = ""
    """Id of the known error; empty if none is named."""

    data: str = ""
    """`CustomerData.noun`; empty for a connector without such data."""

    kept_days: int = 0
    """The number of days for which the vendor keeps the data."""

    days: Mapping[str, str] = {}
    """Placeholder → day (ISO 8601)."""


def app_name(values: Mapping[str, Value]) -> str:
    """Return the app's name as the vendor shows it, or as it was chosen; empty if unknown."""
    name = values.get("app_name") or values.get("app_display_name") or ""
    return one_line(str(name).strip())[:_MAX_NAME_CHARS]


def letter_to(
    account: Mapping[str, Any],
    procedure: Procedure,
    letters: CustomerLetters,
    *,
    today: date,
    app: str = "",
) -> CustomerLetter | None:
    """
    Return the letter to a customer, from a survey's row; it names the `app`.

    `None` for one who is not cut off, unless Cyclr says not signed in and no poll saw a sign-in.
    """
    missing = account["missing"]
    if not missing:
        is_out = account["standing"] == AccountStatus.NOT_SIGNED_IN and not account["signed_in_on"]
        return _first_letter(account, procedure, app) if is_out else None
    data = procedure.customer_data
    error = next((known for known in procedure.known_errors if known.id == account["cause"]), None)
    is_signed_out = account["standing"] == AccountStatus.NOT_SIGNED_IN
    is_theirs = error is None or error.who_acts == WHO_ACTS[FaultDomain.CUSTOMER]
    if is_signed_out or (is_theirs and account["cause"] not in letters.needs_no_sign_in):
        kind = CustomerRequest.SIGN_IN
    else:
        kind = CustomerRequest.ACT if is_theirs else CustomerRequest.WAIT
    asked = "wait" if kind is CustomerRequest.WAIT else "request"
    # Signing in is what a signed-out customer must do, whatever failed before.
    if error and error.for_customer and (is_theirs or not is_signed_out):
        asked = _CAUSE
    days = {"since": missing["since"][:10]}
    event = ["signed_out" if is_signed_out else "calls_fail", "data_missing" if data else "stopped"]
    if "" < missing["perhaps_since"][:10] < days["since"]:
        days["perhaps_since"] = missing["perhaps_since"][:10]
        event.append("perhaps_since")
    customer = _customer_name(account)
    paragraphs = [_greeting(customer), tuple(event)]
    before = missing["perhaps_gone_on"] or missing["gone_on"]
    if data and before and kind is not CustomerRequest.WAIT:
        days["before"] = before
        paragraphs.append(("deadline" if today.isoformat() < before else "late",))
    paragraphs.append((asked,))
    if kind is CustomerRequest.SIGN_IN:
        names_pages = asked == _CAUSE and account["cause"] in letters.names_pages
        steps = "steps_other_pages" if names_pages else "steps"
        paragraphs += [("steps_heading",), (steps,), ("link",), ("link_help",)]
    elif kind is CustomerRequest.ACT:
        paragraphs.append(("act_done",))
    return CustomerLetter(
        connector=procedure.id,
        subject=f"subject_{kind}",
        paragraphs=(*paragraphs, *_ending(app)),
        customer=customer,
        app=app,
        cause=account["cause"] if asked == _CAUSE else "",
        data=data.noun if data else "",
        kept_days=data.kept_days if data else 0,
        days=days,
    )


def _first_letter(account: Mapping[str, Any], procedure: Procedure, app: str) -> CustomerLetter:
    """
    Return the letter to a customer whom no poll saw signed in.

    That proves no first sign-in: the customer may have signed in before the first poll. A poll that
    saw the account without the connector does.
    """
    customer = _customer_name(account)
    is_first = bool(account["not_installed_on"])
    event = "not_yet" if is_first else "calls_fail"
    parts = (event, "request_first", "steps_heading", "steps_first", "link", "link_help")
    return CustomerLetter(
        connector=procedure.id,
        subject=f"subject_{CustomerRequest.FIRST if is_first else CustomerRequest.ACT}",
        paragraphs=(_greeting(customer), *((part,) for part in parts), *_ending(app)),
        customer=customer,
        app=app,
    )


def _customer_name(account: Mapping[str, Any]) -> str:
    return one_line(account["name"].strip())[:_MAX_NAME_CHARS]


def _greeting(customer: str) -> tuple[str, ...]:
    return ("greeting" if customer else "greeting_unnamed",)


def _ending(app: str) -> tuple[tuple[str, ...], ...]:
    return (("app",), ("closing",)) if app else (("closing",),)


def text_of(letter: CustomerLetter, texts: LanguageTexts) -> str:
    """Return a letter in a language: the subject, an empty line, and the paragraphs."""
    values = {
        "customer": letter.customer,
        "app": letter.app,
        "data": texts.data.get(letter.data, ""),
        "kept_days": str(letter.kept_days),
        **{name: _day_in(texts, date.fromisoformat(day)) for name, day in letter.days.items()},
    }

    def sentence(name: str) -> str:
        if name == _CAUSE:
            return texts.causes[letter.cause]
        return texts.sentences[name].format_map(values)

    paragraphs = (" ".join(map(sentence, names)) for names in letter.paragraphs)
    return "\n\n".join((sentence(letter.subject), *paragraphs)) + "\n"


def page_texts(letters: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """
    Return the texts that a page needs for these `letters`: connector → language → texts, as JSON.

    Of the known errors' sentences it has those that a letter names.
    """
    causes: dict[str, set[str]] = {}
    for letter in letters:
        causes.setdefault(letter["connector"], set()).add(letter["cause"])
    return {
        connector: {
            language: {
                **asdict(texts),
                "causes": {name: texts.causes[name] for name in sorted(named) if name},
            }
            for language, texts in letters_of(find_procedure(connector)).languages.items()
        }
        for connector, named in causes.items()
    }


def require_language(procedure: Procedure, language: str) -> LanguageTexts:
    """Return the texts in `language`; raises `SettingsError` if the vendor has none in it."""
    letters = letters_of(procedure)
    texts = letters.languages.get(language)
    if texts is None:
        raise SettingsError(
            f"There are no letters in the language {language[:20]!r}.",
            next_step=f"Choose one of {', '.join(letters.languages)}. Nothing was written.",
        )
    return texts


def write_letters(
    accounts: Iterable[Mapping[str, Any]],
    folder: Path,
    language: str,
    *,
    procedure: Procedure,
    today: date,
    app: str = "",
) -> list[Path]:
    """
    Write a letter to each of the `accounts` of a survey that is cut off; return the files.

    An earlier letter of the same account and connector is replaced. Raises `SettingsError` before
    anything is written if the vendor has no letters, or none in `language`, and `OSError` if
    writing fails.
    """
    letters = letters_of(procedure)
    texts = require_language(procedure, language)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for account in accounts:
        letter = letter_to(account, procedure, letters, today=today, app=app)
        if letter:
            path = folder / letter_file_name(account["name"], account["id"], procedure.id)
            write_whole(path, text_of(letter, texts).encode(), is_durable=False)
            written.append(path)
    return written


def letter_file_name(name: str, account: str, connector: str) -> str:
    """
    Return the name of the file with an account's letter: customer, account, connector.

    Only letters, digits and `-` of the customer's name and the id are in it. An id that is cut or
    changed by this, or that differs from another one only by its case, has a digest behind it.
    """
    shown = _file_name_part(account)[:_MAX_ID_CHARS]
    if shown != account.lower():
        shown = f"{shown}_{sha256(account.encode('utf-8', 'backslashreplace')).hexdigest()[:12]}"
    customer = _file_name_part(name)[:_MAX_FILE_NAME_CHARS].strip("-") or "customer"
    return f"{customer}_{shown}_{connector}.txt"


def _day_in(texts: LanguageTexts, day: date) -> str:
    return texts.day.format(
        day=texts.first_day if day.day == 1 else day.day,
        month=texts.months[day.month - 1],
        year=day.year,
    )


def _file_name_part(text: str) -> str:
    """Return the letters and digits of `text`, with one `-` for anything between them."""
    return re.sub(r"[\W_]+", "-", unicodedata.normalize("NFC", text)).strip("-")
