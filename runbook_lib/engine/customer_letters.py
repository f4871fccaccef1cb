"""
Letters to customers who are cut off, in English, and the data to fetch again after their return.

A letter has a line which the operator replaces by a link: no link and no token is known here.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path

from runbook_lib.connectors.fault_domain import WHO_ACTS, FaultDomain
from runbook_lib.connectors.provider import vendor_of
from runbook_lib.core.files import write_whole
from runbook_lib.core.model import Value
from runbook_lib.core.procedure import Procedure
from runbook_lib.engine.customer_rows import AccountStatus, KnownAccount
from runbook_lib.evidence.reports.phrases import parse_time
from runbook_lib.text import one_line

LINK_LINE = "<<< PASTE THE LINK HERE >>>"
_COPY_LINK = (
    "Copy the whole link below into the address bar of your browser. Please do not click it or "
    "open a preview: it works only once."
)
_MAX_NAME_CHARS = 120
# NOTE: a file's name has at most 255 bytes, also that of its draft; a character has up to four.
_MAX_FILE_NAME_CHARS = 30
_MAX_ID_CHARS = 48


def app_name(values: Mapping[str, Value]) -> str:
    """Return the app's name as the vendor shows it, or as it was chosen; empty if unknown."""
    name = values.get("app_name") or values.get("app_display_name") or ""
    return one_line(str(name).strip())[:_MAX_NAME_CHARS]


def letter_to(account: KnownAccount, procedure: Procedure, app: str = "") -> str:
    """
    Return the letter to a customer: the subject, an empty line, and the paragraphs.

    Empty for one who is not cut off, unless Cyclr says not signed in and no poll saw a sign-in.
    That proves no first sign-in: the customer may have signed in before the first poll. A poll that
    saw the account without the connector does.
    """
    since = account.cut_off_since
    is_signed_out = account.standing is AccountStatus.NOT_SIGNED_IN
    if not since and (account.signed_in_on or not is_signed_out):
        return ""
    vendor = vendor_of(procedure).title
    cause = account.failing.error if since and account.failing else ""
    error = next((known for known in procedure.known_errors if known.id == cause), None)
    is_theirs = error is None or error.who_acts == WHO_ACTS[FaultDomain.CUSTOMER]
    needs_sign_in = is_signed_out or not (error and (error.needs_no_sign_in or not is_theirs))
    if not since and account.not_installed_on:
        event = f"Your {vendor} account is not connected with us yet."
    elif is_signed_out and since:
        event = f"Our connection to your {vendor} account has ended."
    else:
        event = f"Our connection to your {vendor} account does not work at the moment."
    began = parse_time(since)
    if began:
        event += f" This has been so at least since {began.day} {began:%B %Y}."
    # Signing in is what a signed-out customer must do, whatever failed before.
    if error and error.for_customer and (is_theirs or not is_signed_out):
        request = error.for_customer
    elif not needs_sign_in:
        request = "You do not have to do anything: we are taking care of it."
    elif since:
        request = f"Please sign in with {vendor} again through our link. Choose the same as before."
    else:
        request = f"Please sign in with {vendor} once, through our link."
    name = one_line(account.name.strip())[:_MAX_NAME_CHARS]
    state = "needs your help" if is_theirs or needs_sign_in else "is interrupted"
    greeting = f"Hello {name}," if name else "Hello,"
    parts = [f"Your {vendor} connection {state}", greeting, event, request]
    if needs_sign_in:
        allow = f"Allow everything that {vendor} asks for. For a new link, write to us."
        parts += [_COPY_LINK, LINK_LINE, allow]
    elif is_theirs:
        parts.append("You do not have to sign in again. Please write to us when it is done.")
    if app:
        parts.append(f"{vendor} shows our app as {app}.")
    return "\n\n".join([*parts, "Kind regards\n"])


def fetch_since(account: KnownAccount, procedure: Procedure, now: datetime) -> str:
    """
    Return the first day (ISO 8601) whose data must be fetched again.

    Empty if nothing is missing, and once the vendor keeps nothing of it.
    """
    data = procedure.customer_data
    since = account.fetch_since
    outage = account.outage
    if data and outage and not since and account.standing is AccountStatus.SIGNED_IN:
        returned = parse_time(outage.returned_on)
        kept = timedelta(days=data.kept_days)
        since = outage.since if returned and returned <= now < returned + kept else ""
    return since[:10] if data and parse_time(since) else ""


def fetch_sentence(since: str, procedure: Procedure) -> str:
    """Return the sentence that data `since` a day must be fetched again; empty for no day."""
    data = procedure.customer_data
    if not (since and data):
        return ""
    vendor = vendor_of(procedure).title
    return f"{vendor} keeps {data.noun} for {data.kept_days} days: fetch those since {since} again."


def write_letters(
    accounts: Iterable[KnownAccount], folder: Path, procedure: Procedure, app: str = ""
) -> list[Path]:
    """
    Write a letter to each of the `accounts` that is cut off; return the files.

    An earlier letter of the same account and connector is replaced. Raises `OSError` if writing
    fails.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for account in accounts:
        letter = letter_to(account, procedure, app)
        if letter:
            path = folder / letter_file_name(account.name, account.id, procedure.id)
            write_whole(path, letter.encode(), is_durable=False)
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


def _file_name_part(text: str) -> str:
    """Return the letters and digits of `text`, with one `-` for anything between them."""
    return re.sub(r"[\W_]+", "-", unicodedata.normalize("NFC", text)).strip("-")
