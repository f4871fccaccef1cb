"""
Where the cause of a customer's failed call lies, and what to do where no error text says more.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class FaultDomain(StrEnum):
    """The cause of a failure, from what hits every customer to what is not known."""

    APP = "the app"
    CYCLR = "Cyclr"
    LIMIT = "a limit"
    PAGE = "this page"
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

# The default of who must act; an error may say otherwise.
WHO_ACTS: Mapping[FaultDomain, str] = {
    FaultDomain.APP: "you",
    FaultDomain.CYCLR: "Cyclr",
    FaultDomain.LIMIT: "you",
    FaultDomain.PAGE: "your customer",
    FaultDomain.CUSTOMER: "your customer",
    FaultDomain.UNKNOWN: "you",
}
