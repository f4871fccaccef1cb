"""
The customers' accounts of a tenant -> those who need something, each with its state. Pure.

The page, `connections` and the open items show the same rows.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from runbook_lib.connectors.cyclr.transactions import STOPPED_CYCLES, CycleStop, Failure, Failures
from runbook_lib.connectors.registry import DEFAULT
from runbook_lib.core.model import Outcome, Value
from runbook_lib.core.procedure import Procedure
from runbook_lib.evidence.reports.phrases import bounded
from runbook_lib.evidence.reports.tenant_status import CustomerRow
from runbook_lib.operations.customer_letters import app_name, fetch_sentence, fetch_since, letter_to
from runbook_lib.operations.customer_rows import (
    CONFIRMED_AFTER,
    LIKE,
    AccountStatus,
    FailingCalls,
    KnownAccount,
)
from runbook_lib.operations.watch.watch_state import has_passed

SIGNED_OUT = "signed out"
NOT_SIGNED_IN = "not signed in"
CALLS_FAIL = "calls fail"
# The ends of a sentence.
_ENDS = (".", "!", "?")
# A customer's name is cut there.
_MAX_NAME_CHARS = 120
_STATES: Mapping[AccountStatus, str] = {
    AccountStatus.NOT_SIGNED_IN: "not signed in yet",
    AccountStatus.NOT_KNOWN: "could not be read",
    AccountStatus.CALLS_FAIL: "calls fail",
    AccountStatus.VANISHED: "no longer there",
    AccountStatus.NOT_INSTALLED: "not installed",
    AccountStatus.NOT_ASKED: "not asked yet",
    AccountStatus.SIGNED_IN: "signed in",
}
_OPEN = (AccountStatus.NOT_SIGNED_IN, AccountStatus.NOT_KNOWN)


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerList:
    """The accounts of one connector of a tenant, and what a log says of their calls."""

    tenant: str
    """The tenant's name."""
    procedure: Procedure
    """The procedure of its connector."""
    accounts: Sequence[KnownAccount] = ()
    """The accounts."""
    values: Mapping[str, Value] = field(default_factory=dict)
    """The tenant's values: its app's name."""
    file: str = ""
    """The FILE that names the tenant; empty if none does."""
    is_practice: bool = False
    """Whether it is practice."""
    failures: Failures = field(default_factory=lambda: Failures(()))
    """The failed transactions of a log."""
    lacking: Mapping[str, str] = field(default_factory=dict)
    """Id of a failed cycle → its missing prerequisites."""

    def command(self, option: str) -> str:
        """Return the command `connections` with this option; empty for practice without a FILE."""
        if self.is_practice and not self.file:
            return ""
        tenant = f"--tenant {shlex.quote(self.tenant)}"
        connector = self.procedure.id
        if self.file:
            tenant = f"{shlex.quote(self.file)} {tenant}"
        elif connector != DEFAULT:
            tenant += f" --connector {connector}"
        return f"runbook connections {tenant} {option}"


def is_signed_out(account: KnownAccount, now: datetime) -> bool:
    """Return whether an account that was signed in is not any more, and a second poll saw it."""
    if not account.lacks_sign_in:
        return False
    since = account.not_signed_in_since
    is_again = account.polled_on > since and has_passed(CONFIRMED_AFTER, since, now)
    return not account.in_doubt_since or is_again


def _had_sign_in(account: KnownAccount, failing: FailingCalls) -> bool:
    """Return whether it is signed in, or only one poll has seen it signed out since."""
    is_in = account.standing is AccountStatus.SIGNED_IN
    return is_in or (account.lacks_sign_in and account.signed_in_on >= failing.since)


def customer_rows(known: CustomerList, now: datetime) -> list[CustomerRow]:
    """Return each customer who needs something, the most urgent first."""
    last = known.failures.last
    stopped = known.failures.stopped_cycles
    rows = [
        row
        for account in known.accounts
        for row in _rows_of(
            known, account, now, failure=last.get(account.id), stopped=stopped.get(account.id, ())
        )
    ]
    return sorted(rows, key=lambda row: row.urgency)


def _rows_of(
    known: CustomerList,
    account: KnownAccount,
    now: datetime,
    *,
    failure: Failure | None,
    stopped: Sequence[Failure],
) -> Iterator[CustomerRow]:
    """Yield the row of an account that needs something."""
    failing = account.failing
    state = _STATES[account.standing]
    since = ""
    advice = ""
    command = ""
    if is_signed_out(account, now):
        state = SIGNED_OUT if account.was_signed_out else NOT_SIGNED_IN
        since = account.not_signed_in_since
        advice = "Send each a letter with a new link."
        command = known.command("--letters letters")
    elif account.lacks_sign_in and not (failing and _had_sign_in(account, failing)):
        state = "signed out, seen once"
    elif failing and _had_sign_in(account, failing):
        state = CALLS_FAIL
        since = failing.since
        advice = failing.advice
        command = known.command(f"--test {shlex.quote(_named_in_commands(known, account))}")
    is_cut_off = bool(since)
    is_sure = is_cut_off or account.standing is AccountStatus.SIGNED_IN
    fetch = fetch_since(account, known.procedure, now) if is_sure else ""
    if not (since or fetch or failure or stopped or account.standing in _OPEN):
        return
    missing = account.cut_off_since if is_cut_off else ""
    facts = [
        *_facts_of(account, known.procedure, missing, fetch, has_failure=failure is not None),
        *_failure_facts(failure, stopped, known.lacking),
    ]
    # NOTE: one poll may be wrong; who signed in once gets no letter for it.
    has_letter = is_cut_off or not account.signed_in_on
    yield CustomerRow(
        tenant=known.tenant,
        connector=known.procedure.id,
        account=account.id,
        name=bounded(account.name or account.id, _MAX_NAME_CHARS),
        state=state,
        outcome=Outcome.FAILED if is_cut_off else LIKE[account.standing],
        since=since,
        used_on=account.used_on,
        polled_on=account.polled_on,
        missing_since=missing,
        fetch_since=fetch,
        cause=failing.error if failing and missing else "",
        facts=tuple(fact if fact.endswith(_ENDS) else f"{fact}." for fact in facts),
        advice=advice or (failure.advice if failure else ""),
        command=command,
        letter=letter_to(account, known.procedure, app_name(known.values)) if has_letter else "",
        stopped_cycles=tuple(
            {"cycle": cycle.cycle, "name": cycle.cycle_name, "is": cycle.stop, "at": cycle.at}
            for cycle in stopped
        ),
        is_practice=known.is_practice,
    )


def _facts_of(
    account: KnownAccount, procedure: Procedure, missing: str, fetch: str, *, has_failure: bool
) -> Iterator[str]:
    """Yield sentences about an account's sign-in, and what is missing."""
    if account.error:
        yield account.error
    if account.not_signed_in_since:
        before = account.signed_in_on
        yield f"Last seen signed in on {before}" if before else "Never seen signed in"
    if missing:
        yield f"Data are missing at least since {missing}"
    if fetch:
        yield fetch_sentence(fetch, procedure)
    if account.failing and not has_failure:
        yield account.failing.cause


def _failure_facts(
    failure: Failure | None, stopped: Iterable[Failure], lacking: Mapping[str, str]
) -> Iterator[str]:
    """Yield sentences about the last failure in a log, and the cycles that Cyclr stopped."""
    if failure:
        why = f"{failure.cause}, {failure.remote_message or failure.meaning}"
        yield f"Last failure {failure.at or 'at an unknown time'}: {why}"
        if lacks := lacking.get(failure.cycle, ""):
            yield f"Cycle {failure.cycle_name or failure.cycle} lacks {lacks}"
    for cycle in stopped:
        name = cycle.cycle_name or cycle.cycle or "without a name"
        at = f" on {cycle.at}" if cycle.at else ""
        yield STOPPED_CYCLES[CycleStop(cycle.stop)].format(name=name, at=at)


def _named_in_commands(known: CustomerList, account: KnownAccount) -> str:
    """Return a customer's name in a command: the name, or the id if the name is not plain."""
    key = account.name.casefold()
    alike = [
        other
        for other in known.accounts
        if key in (other.name.strip().casefold(), other.id.casefold()) and other is not account
    ]
    is_plain = account.name.isprintable() and account.name == account.name.strip()
    is_usable = bool(key) and is_plain and len(key) <= _MAX_NAME_CHARS and key[0] != "-"
    return account.name if is_usable and not alike else account.id
