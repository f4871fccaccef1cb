"""
The customers' accounts in Cyclr: rows that surveys, the watch and pages share.

Pure: `customer_connections` asks Cyclr, and keeps the rows in the watch's state.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from msgspec import Struct, structs

from runbook_lib.core.clock import not_later
from runbook_lib.core.model import Outcome
from runbook_lib.text import pluralize

if TYPE_CHECKING:
    from runbook_lib.connectors.cyclr.transactions import Failure

# A changed result of an account is polled again after this time.
CONFIRMED_AFTER = timedelta(minutes=5)

_NOWHERE = (
    "No account has {connector}: nobody has it, or these credentials do not show it. Compare an "
    "account in the Cyclr console."
)

_LOST = (
    "No account has {connector} any more. Earlier polls saw it in {accounts}. Compare its name and "
    "the accounts in the Cyclr console: the API credentials may have lost a right."
)


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

# Each standing has the colour and icon of the outcome most like it; one that is cut off fails.
LIKE: Mapping[str, Outcome] = {
    AccountStatus.SIGNED_IN: Outcome.VERIFIED,
    AccountStatus.NOT_SIGNED_IN: Outcome.NOT_RUN,
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
    error: str = ""
    """The id of the known error, if its text or a subcode decided."""


class Outage(Struct, frozen=True):
    """A time for which a customer was cut off, and that has ended; times are ISO 8601."""

    since: str
    """The time since which its data must be fetched again."""
    returned_on: str
    """The time at which a survey or a call first saw that it works again."""


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
    not_installed_on: str = ""
    """The time at which a survey saw it without the connector, and no use is proven since."""
    in_doubt_since: str = ""
    """The time since which a watch sees another result than the one that counts for it."""
    was_out_at_first: bool = False
    """Whether the first survey saw it not signed in: perhaps it was signed in before."""
    error: str = ""
    """The reason why it could not be read; empty if it was."""
    used_on: str = ""
    """The last proven use: the vendor answered a call with the customer's token."""
    succeeded_on: str = ""
    """The last answered test call or new sign-in; earlier failures do not count."""
    failing: FailingCalls | None = None
    """The failure of its calls; `None` after the next success."""
    outage: Outage | None = None
    """The last time for which it was cut off, once that has ended."""

    @property
    def is_not_signed_in(self) -> bool:
        """Whether it is not signed in, or was not when it could last be read."""
        is_unread = self.standing is AccountStatus.NOT_KNOWN
        is_out = self.standing is AccountStatus.NOT_SIGNED_IN
        return is_out or (is_unread and bool(self.not_signed_in_since))

    @property
    def was_signed_out(self) -> bool:
        """Whether it is not signed in, and was before."""
        # NOTE: calls with its token prove it, too, also calls before the first survey.
        was_signed_in = self.signed_in_on or self.used_on or self.failing
        return self.is_not_signed_in and bool(was_signed_in)

    @property
    def lacks_sign_in(self) -> bool:
        """Whether it is not signed in, and is no new customer, who may not have done so yet."""
        return self.is_not_signed_in and (self.was_signed_out or self.was_out_at_first)

    @property
    def cut_off_since(self) -> str:
        """The time since which its data are missing at least; empty while they are not."""
        is_in = self.standing is AccountStatus.SIGNED_IN
        out = [self.not_signed_in_since] if self.was_signed_out else []
        failing = [self.failing.since] if self.failing and (out or is_in) else []
        return min((*out, *failing), default="")

    @property
    def fetch_since(self) -> str:
        """The last proven use before it was cut off, else the cut-off; empty if it is not."""
        since = self.cut_off_since
        return self.used_on if "" < self.used_on < since else since

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
            failing=FailingCalls(since, newest.meaning, newest.advice, newest.error),
        )

    def with_use(self, now: str) -> KnownAccount:
        """Return it after the vendor answered a call with the customer's token."""
        return structs.replace(self.with_success(now), used_on=now, not_installed_on="")

    def with_success(self, now: str) -> KnownAccount:
        """Return it after an answered call or a new sign-in, which ends what cut it off."""
        since = self.fetch_since
        ended = Outage(since, now) if since else self.outage
        return structs.replace(self, succeeded_on=now, failing=None, outage=ended)


class Survey(Struct):
    """A pass over all accounts of one connector in one console."""

    of: tuple[str, ...]
    """The connector and the console: host, API credentials' id and connector's name."""

    began: str
    """The time at which it began (ISO 8601)."""

    number: int = 1
    """The number of the survey, from 1."""

    ended: str = ""
    """The time at which every account was asked; empty before (ISO 8601)."""

    is_listed: bool = False
    """Whether every page of Cyclr's list of accounts was read."""

    notes: list[str] = []
    """The gaps of the survey, as sentences."""

    accounts: dict[str, KnownAccount] = {}
    """The accounts by their id."""

    def standing(self, account: KnownAccount) -> AccountStatus:
        """Return the standing of an account in this survey."""
        if account.polled_in != self.number:
            return AccountStatus.NOT_ASKED
        is_failing = account.standing is AccountStatus.SIGNED_IN and account.failing
        return AccountStatus.CALLS_FAIL if is_failing else account.standing

    @property
    def asked_accounts(self) -> list[KnownAccount]:
        """The accounts, those that this survey has not asked for without what earlier ones saw."""
        return [
            account
            if account.polled_in == self.number
            else structs.replace(account, standing=AccountStatus.NOT_ASKED, error="")
            for account in self.accounts.values()
        ]

    @property
    def counts(self) -> dict[AccountStatus, int]:
        """The number of accounts with each standing."""
        numbers = Counter(map(self.standing, self.accounts.values()))
        return {standing: numbers[standing] for standing in AccountStatus if numbers[standing]}

    @property
    def lost(self) -> int:
        """The number of accounts that had the connector, if no account has it any more; else 0."""
        had = [account for account in self.accounts.values() if account.installed_on]
        standings = {self.standing(account) for account in had} - {AccountStatus.VANISHED}
        return len(had) if standings == {AccountStatus.NOT_INSTALLED} else 0

    @property
    def findings(self) -> list[str]:
        """The notes of the survey, and one more if all connectors disappeared at once."""
        findings = [*self.notes]
        if self.lost:
            accounts = pluralize(self.lost, "account")
            findings.append(_LOST.format(connector=self.of[-1], accounts=accounts))
        elif (
            self.ended and self.accounts and not any(a.installed_on for a in self.accounts.values())
        ):
            findings.append(_NOWHERE.format(connector=self.of[-1]))
        return findings

    @property
    def is_complete(self) -> bool:
        """Whether every account of the console was read, and its answers can be believed."""
        return bool(self.ended) and not self.findings and AccountStatus.NOT_KNOWN not in self.counts
