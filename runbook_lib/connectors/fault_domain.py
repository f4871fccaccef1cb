"""
The fault domain of a customer's failed call, and the advice if no error text says more.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class FaultDomain(StrEnum):
    """The place of a failure's cause, from those that hit every customer to an unknown one."""

    APP = "the app"
    """The vendor refuses the app itself: every customer's calls fail."""

    CYCLR = "Cyclr"
    LIMIT = "a limit"
    """A rate limit; the call works again after a wait."""

    PAGE = "this page"
    """The customer's page: it is gone, or the app may not read it."""

    CUSTOMER = "this customer's token"
    UNKNOWN = "not known"


ADVICE: Mapping[FaultDomain, str] = {
    FaultDomain.APP: (
        "Run `runbook run`: the app itself is refused, so this affects every customer."
    ),
    FaultDomain.CYCLR: "Send the text, with account, cycle and time, to Cyclr's support.",
    FaultDomain.LIMIT: "Wait, then let Cyclr repeat the transaction; run such cycles less often.",
    FaultDomain.PAGE: (
        "Ask the customer to check that the page is still theirs and this app may read it."
    ),
    FaultDomain.CUSTOMER: "Send the customer a new sign-in link, and ask them to sign in again.",
    FaultDomain.UNKNOWN: (
        "Send the code and the trace id to the support of the company that answered, and look at "
        "the transaction in the Cyclr console."
    ),
}

# The party that must act by default; a known error may name another.
WHO_ACTS: Mapping[FaultDomain, str] = {
    FaultDomain.APP: "you",
    FaultDomain.CYCLR: "Cyclr",
    FaultDomain.LIMIT: "you",
    FaultDomain.PAGE: "your customer",
    FaultDomain.CUSTOMER: "your customer",
    FaultDomain.UNKNOWN: "you",
}
