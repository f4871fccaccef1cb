"""
Poll a tenant's customers in Cyclr: find accounts signed out or back, and lost rights.

Only accounts that were signed in before are watched; new customers are not.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timedelta

from msgspec import structs

from runbook_lib.connectors.code_meanings import meaning_of
from runbook_lib.core.clock import not_later, timestamp
from runbook_lib.core.model import Outcome
from runbook_lib.engine.tenant_run import Run
from runbook_lib.errors import BusyError, ExitCode, RemoteError
from runbook_lib.operations.customer_connections import (
    CONSOLE,
    ConsoleAccounts,
    PollTimeoutError,
    is_in_doubt,
)
from runbook_lib.operations.customer_rows import (
    CONFIRMED_AFTER,
    AccountStatus,
    KnownAccount,
    Survey,
)
from runbook_lib.operations.watch.poll import PollResult, key_of
from runbook_lib.operations.watch.results import CheckPoll, confirm_result
from runbook_lib.operations.watch.watch_state import (
    CUSTOMERS_STEP,
    PolledCheck,
    WatchedStep,
    WatchState,
    has_passed,
)
from runbook_lib.text import one_line

_SURVEY_CHECK = "survey"
_ANSWERED = PolledCheck(Outcome.VERIFIED, "Cyclr answers again.")
RIGHTS_CHECK = "rights"
_UNKNOWN = (AccountStatus.NOT_KNOWN, AccountStatus.NOT_ASKED)
_EVERY = timedelta(days=1)
_EVERY_UNANSWERED = timedelta(minutes=15)


def is_due(run: Run, state: WatchState) -> bool:
    """Return whether customers are to be polled now: not without Cyclr's credentials."""
    known = {**run.values, **run.settings.secrets}
    if not all(map(known.get, CONSOLE)):
        return False
    key = key_of(run)
    now = run.clock()
    row = _row(state, key, _SURVEY_CHECK)
    is_answered = row.current == _ANSWERED and not row.unanswered_since
    interval = _EVERY if is_answered else _EVERY_UNANSWERED
    if has_passed(interval, state.tenant(key).customers_polled_on, now):
        return True
    return any(is_in_doubt(customer.body, now) for customer in state.customers.read(tenant=key))


def poll_customers(run: Run, state: WatchState, seconds: float) -> PollResult:
    """
    Poll the customers, the longest unpolled first, for at most `seconds`; save what changed.

    The next cycle goes on with the others. Raises `WatchStateError` if it cannot be saved.
    """
    until = time.monotonic() + seconds
    key = key_of(run)

    def end_in_time(_done: int, _total: int) -> None:
        if time.monotonic() > until:
            raise PollTimeoutError

    asked = ConsoleAccounts(run, on_progress=end_in_time, state=state)
    tenant = state.tenant(key)
    began = timestamp(run.clock())
    row = _row(state, key, _SURVEY_CHECK)
    since = row.unanswered_since
    survey = None
    seen = _ANSWERED
    meaning = None
    try:
        survey = asked.poll_longest_unpolled()
    except BusyError:  # another process asks; the next cycle compares its results
        return _result(state, key, 0)
    except RemoteError as error:
        meaning = meaning_of(error.code)
        reason = one_line(run.redactor.redact(str(error)))
        seen = PolledCheck(Outcome.INCONCLUSIVE, reason, error.code)
    now = run.clock()
    on = timestamp(now)
    is_refused = meaning is not None and meaning.is_cause
    poll = CheckPoll(
        seen=seen,
        is_silent=not (survey or is_refused),
        is_definite=survey is not None,
    )
    confirm_result(row, poll, now)
    doubts = survey.notes if survey else [seen.reason]
    # NOTE: a refusal that counts is an open item, and no outage.
    if doubts and row.current == _ANSWERED:
        row.unanswered = one_line(" ".join(doubts))
        row.unanswered_since = not_later(since, on)
    rows = [row]
    changed: list[KnownAccount] = []
    if survey:
        own = str(run.values.get("account_api_id", ""))
        rights = _row(state, key, RIGHTS_CHECK)
        changed += changed_accounts(survey, own, now)
        changed += _judge_rights(survey, rights, began, now)
        rows.append(rights)
    if not survey or survey.ended or survey.notes:
        tenant.customers_polled_on = on
    with state.transaction():
        if survey:
            asked.save_accounts(changed)
        state.steps.write(rows)
        state.tenants.write([tenant])
    polled = (
        sum(account.polled_on >= began for account in survey.accounts.values()) if survey else 0
    )
    return _result(state, key, polled)


def _row(state: WatchState, key: str, check: str) -> WatchedStep:
    """Return the row of a result about a tenant's customers; a good one if there was none."""
    new = WatchedStep(key, CUSTOMERS_STEP, check, _ANSWERED)
    return next(iter(state.steps.read(tenant=key, step=CUSTOMERS_STEP, check=check)), new)


def changed_accounts(survey: Survey, own_account: str, now: datetime) -> Iterator[KnownAccount]:
    """
    Yield the accounts whose doubt begins or ends. Pure.

    An account that is out counts when a later poll sees it too, and one that is back at once.
    `own_account` is the test account, which a step checks.
    """
    on = timestamp(now)
    for account in survey.accounts.values():
        since = account.in_doubt_since
        standing = survey.standing(account)
        is_lost = bool(survey.lost) and standing is AccountStatus.NOT_INSTALLED
        if standing in _UNKNOWN or is_lost or account.id == own_account:
            continue
        is_first = account.polled_on <= account.not_signed_in_since
        is_again = since < account.polled_on and has_passed(CONFIRMED_AFTER, since, now)
        if account.lacks_sign_in and (since > on or (is_first and not since)):
            yield structs.replace(account, in_doubt_since=account.polled_on or on)
        elif since and (is_again or not account.lacks_sign_in):
            yield structs.replace(account, in_doubt_since="")


def _judge_rights(
    survey: Survey, row: WatchedStep, began: str, now: datetime
) -> Iterator[KnownAccount]:
    """
    Take into `row` whether Cyclr still shows the connector in an account that had it.

    Yield the accounts to ask again, where it does not.
    """
    on = timestamp(now)
    lost = [
        account
        for account in survey.accounts.values()
        if survey.lost and account.installed_on and survey.standing(account) not in _UNKNOWN
    ]
    if any(account.polled_on >= began for account in lost):
        seen = PolledCheck(Outcome.FAILED, survey.findings[-1])
        confirm_result(row, CheckPoll(seen=seen), now)
    elif not lost and any(account.connectors for account in survey.accounts.values()):
        confirm_result(row, CheckPoll(seen=_ANSWERED, is_definite=True), now)
    for account in lost:
        if not account.in_doubt_since or account.in_doubt_since > on:
            yield structs.replace(account, in_doubt_since=account.polled_on or on)


def _result(state: WatchState, key: str, polled: int) -> PollResult:
    rows = state.steps.read(tenant=key)
    is_unanswered = any(row.unanswered_since for row in rows)
    return PollResult(polled, ExitCode.INCOMPLETE if is_unanswered else ExitCode.COMPLETE)
