"""
Letters to customers who are cut off, in English, and the data to fetch again after their return.

A letter has a line which the operator replaces by a link: no link and no token is known here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path

from runbook_lib.connectors.fault_domain import WHO_ACTS, FaultDomain
from runbook_lib.connectors.provider import vendor_of
from runbook_lib.core.clock import timestamp
from runbook_lib.core.files import write_whole
from runbook_lib.core.model import Value
from runbook_lib.core.procedure import Procedure
from runbook_lib.evidence.reports.phrases import parse_time
from runbook_lib.evidence.reports.tenant_status import CustomerRow
from runbook_lib.operations.customer_rows import AccountStatus, KnownAccount
from runbook_lib.text import one_line

LINK_LINE = "<<< PASTE THE LINK HERE >>>"
_COPY_LINK = (
    "Copy the whole link below into the address bar of your browser. Please do not click it or "
    "open a preview: it works only once."
)
_MAX_NAME_CHARS = 120
# NOTE: a file's name has at most 255 bytes, also that of its draft; a character has up to four.
_MAX_FILE_NAME_CHARS = 30
# An account's id as Cyclr makes them; no two of these are one file name.
_PLAIN_ID = re.compile("[a-z0-9-]{1,48}")


def app_name(values: Mapping[str, Value]) -> str:
    """Return the app's name as the vendor shows it, or as it was chosen; empty if unknown."""
    return _short_line(str(values.get("app_name") or values.get("app_display_name", "")))


def _short_line(name: str) -> str:
    return one_line(name.strip())[:_MAX_NAME_CHARS]


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
    event = f"Our connection to your {vendor} account does not work at the moment."
    if since and is_signed_out:
        event = f"Our connection to your {vendor} account has ended."
    elif account.not_installed_on and not since:
        event = f"Your {vendor} account is not connected with us yet."
    began = parse_time(since)
    if began:
        event += f" This has been so at least since {began.day} {began:%B %Y}."
    subject = f"Your {vendor} connection is interrupted"
    request = "You do not have to do anything: we are taking care of it."
    link = []
    if is_signed_out or error is None or (is_theirs and not error.needs_no_sign_in):
        request = f"Please sign in with {vendor} once, through our link."
        if since:
            request = (
                f"Please sign in with {vendor} again through our link. Choose the same as before."
            )
        allow = f"Allow everything that {vendor} asks for. For a new link, write to us."
        link = [_COPY_LINK, LINK_LINE, allow]
    elif is_theirs:
        link = ["You do not have to sign in again. Please write to us when it is done."]
    if link:
        subject = f"Your {vendor} connection needs your help"
    # Signing in is what a signed-out customer must do, whatever failed before.
    if error and error.for_customer and (is_theirs or not is_signed_out):
        request = error.for_customer
    name = _short_line(account.name)
    parts = [subject, f"Hello {name}," if name else "Hello,", event, request, *link]
    if app:
        parts.append(f"{vendor} shows our app as {app}.")
    return "\n\n".join([*parts, "Kind regards\n"])


def fetch_since(account: KnownAccount, procedure: Procedure, now: datetime) -> str:
    """
    Return the first day (ISO 8601) whose data must be fetched again.

    Empty if nothing is missing, and once the vendor keeps nothing of it.
    """
    data = procedure.customer_data
    if data is None:
        return ""
    since = account.fetch_since
    outage = account.outage
    if outage and not since and account.standing is AccountStatus.SIGNED_IN:
        is_kept = outage.returned_on > timestamp(now - timedelta(days=data.kept_days))
        since = outage.since if is_kept else ""
    return since[:10]


def fetch_sentence(since: str, procedure: Procedure) -> str:
    """Return the sentence that data `since` a day must be fetched again; empty for no day."""
    data = procedure.customer_data
    if not (since and data):
        return ""
    vendor = vendor_of(procedure).title
    return f"{vendor} keeps {data.noun} for {data.kept_days} days: fetch those since {since} again."


def write_letters(rows: Iterable[CustomerRow], folder: Path) -> list[Path]:
    """
    Write the letter of each customer who has one; return the files.

    An earlier letter of the same account and connector is replaced. Raises `OSError` if writing
    fails.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for row in rows:
        if row.letter:
            path = folder / letter_file_name(row.name, row.account, row.connector)
            write_whole(path, row.letter.encode(), is_durable=False)
            written.append(path)
    return written


def letter_file_name(name: str, account: str, connector: str) -> str:
    """
    Return the name of the file with an account's letter: customer, account, connector.

    Only letters, digits and `-` are in it. An id with anything else is replaced by a digest.
    """
    shown = re.sub(r"[\W_]+", "-", name)[:_MAX_FILE_NAME_CHARS].strip("-")
    if not _PLAIN_ID.fullmatch(account):
        account = sha256(account.encode()).hexdigest()
    return f"{shown or 'customer'}_{account}_{connector}.txt"
