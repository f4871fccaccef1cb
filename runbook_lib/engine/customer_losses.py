"""
What a customer who was cut off lost, and how long it can be fetched again.

Pure: times of an account in, texts and documents out. Cyclr names the moment of no sign-out: the
first poll that saw it is the latest possible beginning, and the last proven use the earliest.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from runbook_lib.core.procedure import CustomerData
from runbook_lib.engine.customer_rows import AccountStatus, KnownAccount
from runbook_lib.evidence.reports.phrases import parse_time

# Without data that a vendor keeps, a customer's return is shown for this time.
_RETURN_SHOWN = timedelta(days=30)
_CUT_OFF = (AccountStatus.NOT_SIGNED_IN, AccountStatus.CALLS_FAIL)


def missing_document(
    account: KnownAccount, standing: AccountStatus, data: CustomerData | None
) -> dict[str, str] | None:
    """
    Return since when data of a customer are missing, and the day from which the first are gone.

    The keys are `since`, `perhaps_since`, `gone_on` and `perhaps_gone_on`; a day is empty if the
    vendor keeps nothing. `None` for a customer who is not cut off or was never signed in.
    """
    if standing not in _CUT_OFF or not account.cut_off_since:
        return None
    return _since(account.cut_off_since, account.perhaps_cut_off_since, data)


def returned_document(
    account: KnownAccount, standing: AccountStatus, data: CustomerData | None, now: datetime
) -> dict[str, str] | None:
    """
    Return for which time the data of a customer who is back should be fetched again.

    The keys are those of `missing_document` and `returned_on`. `None` once nothing of it can be
    fetched any more.
    """
    outage = account.outage
    if standing is not AccountStatus.SIGNED_IN or outage is None:
        return None
    shown_for = timedelta(days=data.kept_days) if data else _RETURN_SHOWN
    returned = parse_time(outage.returned_on)
    if returned is None or returned > now or now - returned >= shown_for:
        return None
    since = _since(outage.since, outage.perhaps_since, data)
    return {**since, "returned_on": outage.returned_on}


def first_gone_on(missing: Mapping[str, str] | None) -> str:
    """Return the first day on which data may be gone; `~`, which sorts last, if none is known."""
    missing = missing or {}
    return min(filter(None, (missing.get("gone_on"), missing.get("perhaps_gone_on"))), default="~")


def missing_sentences(missing: Mapping[str, str], data: CustomerData | None) -> list[str]:
    """Return sentences about the data that are missing while a customer is cut off."""
    noun = (data.noun if data else "data").capitalize()
    perhaps = missing["perhaps_since"]
    began = f", perhaps since the last proven use on {perhaps}" if perhaps else ""
    sentences = [f"{noun} are missing at least since {missing['since']}{began}."]
    if not perhaps:
        sentences.append("They may be missing for longer: no use before is proven.")
    if data:
        earlier = missing["perhaps_gone_on"]
        gone = f", perhaps on {earlier}" if earlier not in ("", missing["gone_on"]) else ""
        sentences.append(
            f"{data.kept_days} days are kept: the first are gone on {missing['gone_on']}{gone}."
        )
    return sentences


def returned_sentences(returned: Mapping[str, str], data: CustomerData | None) -> list[str]:
    """Return sentences about a customer who is back, and what to fetch again."""
    sentences = [f"Works again, as first seen on {returned['returned_on']}."]
    begin = returned["perhaps_since"] or returned["since"]
    if data:
        first = begin[:10]
        last = returned["returned_on"][:10]
        days = first if first == last else f"{first} to {last}"
        gone_on = returned["perhaps_gone_on"] or returned["gone_on"]
        sentences.append(
            f"Fetch the {data.noun} of {days} again with {data.fetch_method}, which takes dates. "
            f"The first are gone on {gone_on}."
        )
    else:
        sentences.append(f"Data may be missing from {begin} on.")
    if not returned["perhaps_since"]:
        sentences.append("The time before is not known: no use was proven.")
    return sentences


def _since(since: str, perhaps_since: str, data: CustomerData | None) -> dict[str, str]:
    return {
        "since": since,
        "perhaps_since": perhaps_since,
        "gone_on": _gone_on(since, data),
        "perhaps_gone_on": _gone_on(perhaps_since, data),
    }


def _gone_on(since: str, data: CustomerData | None) -> str:
    """Return the day (ISO 8601) on which the vendor no longer keeps data of `since`."""
    moment = parse_time(since)
    if data is None or moment is None:
        return ""
    try:
        return (moment + timedelta(days=data.kept_days)).date().isoformat()
    except OverflowError:
        return ""
