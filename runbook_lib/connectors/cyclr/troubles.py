"""
Error texts that people meet at Cyclr, as data.
"""

from __future__ import annotations

from runbook_lib.connectors.blame import Blame
from runbook_lib.core.troubles import Cause, Trouble

_DOCS = "https://github.com/cyclr/docs"

_UNKNOWN_ADDRESS = Trouble(
    shown=(
        "Unknown client IP Address: contact support to request access for this IP address",
        "Unknown client IP Address",
    ),
    means="Cyclr lets only known addresses run a connector's methods. The connector may be fine.",
    causes=(
        Cause(
            text="The address from which the runbook runs is not on Cyclr's list.",
            tested_by=("permissions-are-seen-through-cyclr",),
        ),
    ),
    advice=(
        "Ask Cyclr's support to allow this address, or run the method in the console and confirm "
        "what it shows."
    ),
    source="https://docs.cyclr.com/api/ip-restriction",
    blames=Blame.CYCLR,
)
_SPENT_LINK = Trouble(
    shown=("403 – Forbidden: Access is denied.", "403 Forbidden: Access is denied"),
    means="Cyclr's sign-in link counts once, for a few minutes; this one was used or is too old.",
    causes=(
        Cause(text="The link was opened before, also by a program that looks at links."),
        Cause(text="It is older than the minutes that it is good for; five where none are set."),
    ),
    advice="Have a new link made: account > Connectors > Edit Connector > Generate Setup Token.",
    source="https://community.cyclr.com/user-documentation/accounts/connector-authentication-link",
)
_NOT_AUTHENTICATED = Trouble(
    shown=("Failed to authenticate the connector", "Unauthenticated connector"),
    means="Cyclr holds no working token of a user for this account's connector.",
    causes=(
        Cause(
            text="Nobody has signed in through this account's connector yet.",
            tested_by=("connector-is-authenticated",),
        ),
        Cause(
            text="The Client Secret in Cyclr is not the app's: it was changed on one side.",
            tested_by=("app-credentials-are-accepted", "connector-is-authenticated"),
        ),
        Cause(text="The user removed the app or changed the password, so the token has ended."),
    ),
    advice=(
        "Open the connector in that account and authenticate it again. If that fails at once, "
        "enter both again in the connector's Setup: {cy-02-client-id} and {cy-03-client-secret}."
    ),
    source=_DOCS,
    blames=Blame.CUSTOMER,
)
_DRAFT = Trouble(
    shown=("Connector … is a draft and cannot be installed.",),
    means="The connector in Cyclr's library is not released to your console.",
    causes=(
        Cause(
            text="The library has several connectors of this name, and a draft was taken.",
            tested_by=("connector-is-in-library",),
        ),
    ),
    advice="Install the released one, or ask Cyclr's support which it is.",
    source="https://github.com/sophia-cyclr/cyclr_api_testing",
)
_NAME_TAKEN = Trouble(
    shown=("Account connector name … is in use.",),
    means="The account has a connector of this name already.",
    causes=(
        Cause(
            text="It was installed earlier, here or in the console.",
            tested_by=("connector-is-installed",),
        ),
    ),
    advice="Use the one that is installed, or remove it in the console first.",
    source="third-party reading of a client of Cyclr's API, November 2026",
)

_METHOD_FAILED = Trouble(
    shown=("Failed to call the method", "Out of retries", "Transaction Stopped"),
    means="A method of the connector was refused by the remote system, or not answered.",
    causes=(Cause(text="What the remote system answered: the transaction's Detail has it."),),
    advice=(
        "Open the transaction in Cyclr and copy the remote system's answer from its Detail: "
        "“runbook explain -” takes it as it is."
    ),
    source=_DOCS,
)

INSTALLING = (_DRAFT, _NAME_TAKEN)
AUTHENTICATING = (_NOT_AUTHENTICATED, _SPENT_LINK)
METHODS = (_UNKNOWN_ADDRESS, _METHOD_FAILED)
