"""
Poll a tenant's customers in Cyclr: find accounts signed out or back, and lost rights.

Only accounts that were signed in before are watched; new customers are not.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from msgspec import structs

from runbook_lib.connectors.code_meanings import meaning_of
from runbook_lib.core.clock import not_later, timestamp
from runbook_lib.core.model import Outcome
from runbook_lib.core.procedure import Procedure
from runbook_lib.engine.customer_connections import (
    CONSOLE,
    ConsoleAccounts,
    PollTimeoutError,
    is_in_doubt,
)
from runbook_lib.engine.customer_letters import fetch_sentence, fetch_since
from runbook_lib.engine.customer_rows import CONFIRMED_AFTER, AccountStatus, KnownAccount, Survey
from runbook_lib.engine.customer_rows import LABELS as STATUS_LABELS
from runbook_lib.engine.tenant_run import Run
from runbook_lib.engine.watch.poll import PollResult, exit_code, key_of
from runbook_lib.engine.watch.problems import CheckPoll, ProblemText, judge_poll, open_problems
from runbook_lib.engine.watch.watch_state import (
    CUSTOMERS_STEP,
    PolledCheck,
    Problem,
    ProblemKind,
    WatchedStep,
    WatchState,
    has_passed,
    identify,
)
from runbook_lib.errors import BusyError, RemoteError
from runbook_lib.evidence.reports.tenant_status import (
    CALLS_FAIL,
    NOT_SIGNED_IN,
    SIGNED_OUT,
    customers_title,
)
from runbook_lib.text import one_line

CUSTOMERS_TITLE = "Customers' connections"
_SURVEY_CHECK = "survey"
_ANSWERED = PolledCheck(Outcome.VERIFIED, "Cyclr answers again.")
RIGHTS_CHECK = "rights"
_EVERY = timedelta(days=1)
_EVERY_UNANSWERED = timedelta(minutes=15)
_BREAKS = "No data reaches their cycles until they sign in again."
_DO = "Send each a letter with a new link: `runbook connections --letters DIR` writes them."


@dataclass(frozen=True, slots=True)
class CustomerChange:
    """The result of polling one account: a problem or a doubt that begins or ends."""

    account: KnownAccount
    problem: Problem | None = None


def is_due(run: Run, state: WatchState) -> bool:
    """Return whether customers are to be polled now: not without Cyclr's credentials."""
    known = {**run.values, **run.settings.secrets}
    if not all(map(known.get, CONSOLE)):
        return False
    key = key_of(run)
    now = run.clock()
    row = _survey_row(state, key)
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
    row = _survey_row(state, key)
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
    problems = state.problems.read(tenant=key, step=CUSTOMERS_STEP)
    is_refused = meaning is not None and meaning.is_cause
    verdict = judge_poll(
        row,
        CheckPoll(
            seen=seen,
            is_silent=not (survey or is_refused),
            is_definite=survey is not None,
            is_failing=is_refused,
        ),
        open_problems(problems).get((row.step, row.check)),
        ProblemText(
            title="",
            place=CUSTOMERS_TITLE,
            reason=seen.reason,
            impact=meaning.stops if meaning else "",
            advice=meaning.advice if meaning else "",
        ),
        now,
    )
    if verdict.began:
        # A survey has no outcome.
        verdict.began.was = ""
        verdict.began.now = ""
    doubts = survey.notes if survey else [seen.reason]
    # NOTE: a refusal that counts is a problem, and no outage.
    if doubts and row.current == _ANSWERED:
        row.unanswered = one_line(" ".join(doubts))
        row.unanswered_since = not_later(since, on)
    changes: list[CustomerChange] = []
    if survey:
        own = str(run.values.get("account_api_id", ""))
        changes = [*customer_changes(key, survey, problems, own, now, procedure=run.procedure)]
    if not survey or survey.ended or survey.notes:
        tenant.customers_polled_on = on
    with state.transaction():
        if survey:
            asked.save_accounts(change.account for change in changes)
        found = (verdict.ended, verdict.began, *(change.problem for change in changes))
        state.problems.write(filter(None, found))
        state.steps.write([row])
        state.tenants.write([tenant])
    polled = (
        sum(account.polled_on >= began for account in survey.accounts.values()) if survey else 0
    )
    return _result(state, key, polled)


def _survey_row(state: WatchState, key: str) -> WatchedStep:
    """Return the row of a tenant's surveys; a new one if there was none."""
    new = WatchedStep(key, CUSTOMERS_STEP, _SURVEY_CHECK, _ANSWERED)
    return next(iter(state.steps.read(tenant=key, step=CUSTOMERS_STEP)), new)


def customer_changes(
    tenant: str,
    survey: Survey,
    problems: Iterable[Problem],
    own_account: str,
    now: datetime,
    *,
    procedure: Procedure,
) -> Iterator[CustomerChange]:
    """
    Yield the accounts whose doubt begins or ends, with the problem that begins or ends.

    An account that is out counts when a later poll sees it too. `own_account` is the test account,
    which a step checks. Pure.
    """
    known = open_problems(p for p in problems if p.step == CUSTOMERS_STEP)
    on = timestamp(now)
    is_lost = bool(survey.lost)
    yield from _rights(tenant, survey, known.get((CUSTOMERS_STEP, RIGHTS_CHECK)), now)
    gone = (
        {account for _, account in known} - survey.accounts.keys() - {RIGHTS_CHECK, _SURVEY_CHECK}
    )
    absent = [
        KnownAccount(account, "", polled_in=survey.number, standing=AccountStatus.VANISHED)
        for account in gone
        if survey.is_listed
    ]
    for account in (*survey.accounts.values(), *absent):
        standing = survey.standing(account)
        if standing in (AccountStatus.NOT_KNOWN, AccountStatus.NOT_ASKED):
            continue
        if account.id == own_account or (is_lost and standing is AccountStatus.NOT_INSTALLED):
            continue
        problem = known.get((CUSTOMERS_STEP, account.id))
        calls_fail = standing is AccountStatus.CALLS_FAIL
        is_out = account.lacks_sign_in or calls_fail
        if is_out is bool(problem):
            if account.in_doubt_since:
                yield CustomerChange(structs.replace(account, in_doubt_since=""))
            continue
        since = account.in_doubt_since
        is_again = bool(since) and since < account.polled_on and since <= on
        is_confirmed = is_again and has_passed(CONFIRMED_AFTER, since, now)
        if account in absent or calls_fail or is_confirmed:
            changed = (
                structs.replace(
                    problem, ended_on=on, end_reason=_end_reason(account, standing, procedure, now)
                )
                if problem
                else _cut_off(tenant, account, since or on, on)
            )
            yield CustomerChange(structs.replace(account, in_doubt_since=""), changed)
        elif not since or since > on:
            yield CustomerChange(structs.replace(account, in_doubt_since=account.polled_on or on))


def _end_reason(
    account: KnownAccount, standing: AccountStatus, procedure: Procedure, now: datetime
) -> str:
    """Return the new state of an account that is no problem any more, and what to fetch again."""
    label = STATUS_LABELS[standing]
    fetch = fetch_sentence(fetch_since(account, procedure, now), procedure)
    return f"{label}. {fetch}" if fetch else label


def _rights(
    tenant: str, survey: Survey, known: Problem | None, now: datetime
) -> Iterator[CustomerChange]:
    """Yield a problem if Cyclr shows the connector in no account any more, and its end."""
    on = timestamp(now)
    if not survey.lost:
        account = next((a for a in survey.accounts.values() if a.connectors), None)
        if known and account:
            reason = f"Cyclr shows the connector in {account.name or account.id} again."
            yield CustomerChange(account, structs.replace(known, ended_on=on, end_reason=reason))
        return
    lost = [
        account
        for account in survey.accounts.values()
        if survey.standing(account) is AccountStatus.NOT_INSTALLED and account.installed_on
    ]
    for account in lost:
        if not account.in_doubt_since or account.in_doubt_since > on:
            yield CustomerChange(structs.replace(account, in_doubt_since=account.polled_on or on))
    oldest = min(account.in_doubt_since for account in lost)
    is_again = all("" < account.in_doubt_since < account.polled_on for account in lost)
    if not known and is_again and has_passed(CONFIRMED_AFTER, oldest, now):
        problem = Problem(
            id=identify(tenant, CUSTOMERS_STEP, RIGHTS_CHECK, oldest),
            tenant=tenant,
            kind=ProblemKind.FAILED,
            step=CUSTOMERS_STEP,
            check=RIGHTS_CHECK,
            title="Cyclr shows the connector in no account any more",
            since=oldest,
            on=on,
            cause="rights lost",
            reason=survey.findings[-1],
            advice="Check the rights of the API credentials in the Cyclr console.",
            place=CUSTOMERS_TITLE,
        )
        yield CustomerChange(lost[0], problem)


def _cut_off(tenant: str, account: KnownAccount, since: str, on: str) -> Problem:
    cause = SIGNED_OUT if account.was_signed_out else NOT_SIGNED_IN
    reason = "Cyclr says not signed in."
    advice = _DO
    if account.failing and account.standing is AccountStatus.SIGNED_IN:
        cause = CALLS_FAIL
        since = account.failing.since
        reason = account.failing.cause
        advice = account.failing.advice
    return Problem(
        id=identify(tenant, CUSTOMERS_STEP, account.id, since),
        tenant=tenant,
        kind=ProblemKind.FAILED,
        step=CUSTOMERS_STEP,
        check=account.id,
        title=customers_title(cause, account.name or account.id),
        since=since,
        on=on,
        cause=cause,
        was="" if cause == NOT_SIGNED_IN else STATUS_LABELS[AccountStatus.SIGNED_IN],
        now=STATUS_LABELS[account.standing],
        reason=reason,
        impact=_BREAKS,
        advice=advice,
        place=f"{account.name} ({account.id})".strip(),
    )


def _result(state: WatchState, key: str, polled: int) -> PollResult:
    return PollResult(
        polled, exit_code(state.steps.read(tenant=key), state.problems.read(tenant=key))
    )
