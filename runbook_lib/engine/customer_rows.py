"""
The customers' accounts in Cyclr: rows that surveys, the watch and pages share.

Pure: `customer_connections` asks Cyclr, and keeps the rows in the watch's state.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from msgspec import Struct, structs

from runbook_lib.core.model import Outcome
from runbook_lib.engine.watch.watch_state import not_later

if TYPE_CHECKING:
    from runbook_lib.connectors.cyclr.transactions import Failure

# A changed result of an account is polled again after this time.
CONFIRMED_AFTER = timedelta(minutes=5)


class AccountStatus(StrEnum):
    """The states of an account, the worst first."""

    NOT_SIGNED_IN = "not_signed_in"
    CALLS_FAIL = "calls_fail"
    """It is signed in, but calls with its token fail."""

    NOT_KNOWN = "not_known"
    """It could not be read."""

    VANISHED = "vanished"
    """Cyclr's list no longer has it."""

    SIGNED_IN = "signed_in"
    NOT_INSTALLED = "not_installed"
    """The connector is not installed in it."""

    NOT_ASKED = "not_asked"
    """No survey has asked for it yet."""


LABELS: Mapping[AccountStatus, str] = {
    AccountStatus.SIGNED_IN: "Cyclr says signed in",
    AccountStatus.NOT_SIGNED_IN: "Cyclr says not signed in",
    AccountStatus.CALLS_FAIL: "signed in, but calls fail",
    AccountStatus.NOT_INSTALLED: "connector not installed",
    AccountStatus.VANISHED: "account no longer there",
    AccountStatus.NOT_KNOWN: "could not be read",
    AccountStatus.NOT_ASKED: "not asked yet",
}

# The same labels without their source, as lists show them.
ACCOUNT_STATES: Mapping[AccountStatus, str] = {
    AccountStatus.SIGNED_IN: "signed in",
    AccountStatus.NOT_SIGNED_IN: "signed out",
    AccountStatus.CALLS_FAIL: "calls fail",
    AccountStatus.NOT_INSTALLED: "not installed",
    AccountStatus.VANISHED: "no longer there",
    AccountStatus.NOT_KNOWN: "could not be read",
    AccountStatus.NOT_ASKED: "not asked yet",
}

# Each standing has the colour and icon of the outcome most like it.
LIKE: Mapping[str, Outcome] = {
    AccountStatus.SIGNED_IN: Outcome.VERIFIED,
    AccountStatus.NOT_SIGNED_IN: Outcome.FAILED,
    AccountStatus.CALLS_FAIL: Outcome.FAILED,
    AccountStatus.NOT_INSTALLED: Outcome.NOT_RUN,
    AccountStatus.VANISHED: Outcome.SKIPPED,
    AccountStatus.NOT_KNOWN: Outcome.INCONCLUSIVE,
    AccountStatus.NOT_ASKED: Outcome.WAITING,
}


class InstalledConnector(Struct, frozen=True):
    """The connector as it is installed in an account."""

    id: int
    library_id: int
    signed_in: bool


class FailingCalls(Struct, frozen=True):
    """A failure of calls with a customer's token, although Cyclr says signed in."""

    since: str
    """The time of the first failed call after the last success (ISO 8601)."""
    cause: str
    """The known error's meaning, if its text or a subcode decided; else the response's text."""
    advice: str
    """The advice for a person."""


class KnownAccount(Struct, frozen=True):
    """A customer's account as the last survey saw it; times are ISO 8601, empty for never."""

    id: str
    """The account's id in Cyclr."""
    name: str
    """The account's name in Cyclr."""
    listed_in: int = 0
    """The number of the survey that last saw it in Cyclr's list."""
    polled_in: int = 0
    """The number of the survey that last asked for it."""
    polled_on: str = ""
    """The time at which a survey last asked for it."""
    standing: AccountStatus = AccountStatus.NOT_ASKED
    """The state of its sign-in."""
    connectors: tuple[InstalledConnector, ...] = ()
    """The connectors of the searched name that are installed in it."""
    not_signed_in_since: str = ""
    """The time at which a survey first saw it not signed in."""
    signed_in_on: str = ""
    """The time at which a survey last saw it signed in."""
    installed_on: str = ""
    """The time at which a survey last saw the connector."""
    in_doubt_since: str = ""
    """The time since which a watch sees another result than the one that counts for it."""
    error: str = ""
    """The reason why it could not be read; empty if it was."""
    proven_on: str = ""
    """The last proven use: a test call was answered, or it was signed in and no call failed."""
    succeeded_on: str = ""
    """The last answered test call or new sign-in; earlier failures do not count."""
    failing: FailingCalls | None = None
    """The failure of its calls; `None` after the next success."""

    def with_failures(self, failures: Sequence[Failure], now: str) -> KnownAccount:
        """Return it with what these failures, the oldest first, say since its last success."""
        succeeded_on = self.succeeded_on if self.succeeded_on <= now else ""
        # NOTE: a failure without a time may have come before the success.
        later = [
            (not_later(failure.at, now), failure)
            for failure in failures
            if (not_later(failure.at, now) > succeeded_on if failure.at else not succeeded_on)
        ]
        if not later:
            return self
        since = min(at for at, _ in later)
        if self.failing:
            since = min(since, self.failing.since)
        _, newest = later[-1]
        return structs.replace(
            self,
            failing=FailingCalls(since, newest.meaning, newest.advice),
            proven_on=succeeded_on if self.proven_on > since else self.proven_on,
        )

    def with_success(self, now: str) -> KnownAccount:
        """Return it after a success."""
        return structs.replace(self, proven_on=now, succeeded_on=now, failing=None)
