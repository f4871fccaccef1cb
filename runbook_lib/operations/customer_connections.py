"""
The customers' connections: every account of the Cyclr console, with its state at Cyclr.

Each account is a row of the watch's state (`watch.db`). It is no evidence and holds no secrets; an
interrupted survey resumes from it. Nothing here changes anything at Cyclr.
"""

from __future__ import annotations

import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar
from urllib.parse import urlsplit

from msgspec import structs, to_builtins

from runbook_lib.config.settings import suggestion
from runbook_lib.connectors.cyclr.connector import is_refusal
from runbook_lib.connectors.cyclr.transactions import (
    Failure,
)
from runbook_lib.core.clock import timestamp
from runbook_lib.core.files import hold_lock
from runbook_lib.core.redaction import Secret
from runbook_lib.engine.tenant_names import unknown_tenant
from runbook_lib.engine.tenant_run import Run
from runbook_lib.errors import (
    BusyError,
    CyclrAPIError,
    RemoteError,
    RunbookError,
    SettingsError,
    ThrottledError,
)
from runbook_lib.evidence.reports.tenant_status import CustomerRow
from runbook_lib.operations.customer_list import CustomerList
from runbook_lib.operations.customer_rows import (
    CONFIRMED_AFTER,
    AccountStatus,
    InstalledConnector,
    KnownAccount,
    Survey,
)
from runbook_lib.operations.watch.watch_state import (
    STATE_NAME,
    CustomerSurvey,
    WatchedCustomer,
    WatchState,
    has_passed,
    open_state,
)
from runbook_lib.remote.cyclr import Cyclr, read_rows, request_api_token
from runbook_lib.remote.json_fields import JSONObject
from runbook_lib.remote.quoting import shorten
from runbook_lib.remote.rate_limits import RateLimiter

# Settings without which the console cannot be asked.
CONSOLE = ("cyclr_client_id", "cyclr_client_secret")

_SAVE_SECONDS = 2.0
# An interrupted survey resumes within a day; after that its results are too old.
_RESUMED_WITHIN = timedelta(days=1)
# Cyclr may ask to wait for this many seconds, and this often in a row.
_LONGEST_WAIT = 300.0
_MOST_WAITS = 5
# After so many accounts in a row could not be read, a page of the list decides whose fault it is.
_MOST_FAILURES = 5
_NOT_FOUND = 404
_MOST_CYCLES = 200
_EMPTY = (
    "Cyclr lists no account. That proves nothing: compare the accounts in the Cyclr console, and "
    "check that the API credentials belong to this console."
)
# An id becomes a header and a part of a path.
_ACCOUNT = re.compile(r"[!-~]{1,128}")

_T = TypeVar("_T")


class _StopError(Exception):
    """Cyclr cannot be asked now; its text says why."""


class PollTimeoutError(Exception):
    """The time of a watch's cycle for customers is over; its `on_progress` raises it."""


class ConsoleAccounts:
    """
    The customers' accounts in the Cyclr console of `run`, read at the pace that its settings allow.

    `on_progress` gets how many accounts were asked, of how many; a watch passes its open `state`.
    Tests replace `sleep` and `monotonic`. Raises `SettingsError` if Cyclr's credentials
    are missing.
    """

    def __init__(
        self,
        run: Run,
        *,
        on_progress: Callable[[int, int], object] = lambda _done, _total: None,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
        state: WatchState | None = None,
    ) -> None:
        self.run = run
        self._values = run.values
        known = {**self._values, **run.settings.secrets}
        if not all(map(known.get, CONSOLE)):
            raise SettingsError(
                "To ask Cyclr for its accounts, give Cyclr API Client ID and Client Secret.",
                next_step="Nothing was written.",
            )
        known_as = run.history.practice
        if known_as and run.is_sandbox not in known_as:
            raise SettingsError(
                f"{run.tenant} is a {'practice' if True in known_as else 'real'} tenant.",
                next_step="Name another tenant.",
            )
        if not (run.is_sandbox or run.journal.path.exists()):
            raise SettingsError(unknown_tenant(run.tenant, str(run.evidence)))
        self._lock = run.journal.path.with_name("connections.lock")
        self._key = f"{run.procedure.id}/{run.tenant}"
        self._state = state
        self._unsaved: dict[str, KnownAccount] = {}
        self.on_progress = on_progress
        self.clock = run.clock
        self._sleep = sleep
        self._monotonic = monotonic
        per_second = int(str(self._values["cyclr_requests_a_second"]))
        self.pace = RateLimiter(per_second, sleep=sleep, clock=monotonic)
        self._token: Secret | None = None
        self._waits = 0
        self._saved_at = float("-inf")

    @property
    def connector(self) -> str:
        """The connector's name in Cyclr's library."""
        return str(self._values["cyclr_connector"])

    def survey(self, failures: Iterable[Failure] = ()) -> Survey:
        """
        Ask for every account, and return what Cyclr said; a survey that was cut off goes on.

        Calls fail for a signed-in account if one of `failures`, the oldest first, is newer than its
        last success.

        Raises `BusyError` while another process asks, `RemoteError` if Cyclr refuses its
        credentials, and `WatchStateError` if what earlier surveys saw cannot be used.
        """
        by_account: dict[str, list[Failure]] = defaultdict(list)
        for failure in failures:
            by_account[failure.account].append(failure)
        return self._alone(lambda: self._poll(by_account))

    def poll_longest_unpolled(self) -> Survey:
        """
        Do the same for a watch, and return also a survey that was cut off by `on_progress`.

        Between two surveys, ask only for accounts that are in doubt. Raises as `survey`.
        """
        return self._alone(lambda: self._poll({}, is_watch=True))

    def known(self) -> Survey:
        """Return the last survey as it was saved, or an empty one; no request is sent."""
        if self._state is None and not (self.run.evidence / STATE_NAME).exists():
            return Survey(self.console, timestamp(self.clock()))
        return self._open(self._read_survey)

    @property
    def console(self) -> tuple[str, ...]:
        """The key of a survey: the host, the API credentials' id and the connector's name."""
        host = urlsplit(str(self._values["cyclr_api_url"])).hostname or ""
        return host, str(self._values["cyclr_client_id"]), self.connector

    def account_of(self, named: str) -> str:
        """
        Return the id of the account with this id, or of the only one with this name.

        Raises `SettingsError` for a name that several have, or that no survey has seen.
        """
        known = self.known().accounts
        if named in known:
            return named
        key = named.strip().casefold()
        matching = [a.id for a in known.values() if a.name.strip().casefold() == key]
        if len(matching) > 1:
            raise SettingsError(
                f"{len(matching):,} accounts are called {named}: {', '.join(matching[:9])}.",
                next_step="Name one by its id. No request was sent.",
            )
        if not matching and not _ACCOUNT.fullmatch(named):
            near = suggestion(named, [account.name for account in known.values()])
            raise SettingsError(
                f"No account is called {named}.{near}",
                next_step="`runbook connections` lists them. No request was sent.",
            )
        return matching[0] if matching else named

    def _alone(self, ask: Callable[[], _T]) -> _T:
        self.client()
        self._lock.parent.mkdir(parents=True, exist_ok=True)
        busy = BusyError(
            "Another process is asking for these connections.",
            next_step="Wait until it has ended.",
        )
        with hold_lock(self._lock, busy=busy):
            return self._open(ask)

    def _open(self, act: Callable[[], _T]) -> _T:
        if self._state:
            return act()
        with open_state(self.run.evidence, self.clock()) as state:
            self._state = state
            try:
                return act()
            finally:
                self._state = None

    def _poll(self, failures: Mapping[str, Sequence[Failure]], *, is_watch: bool = False) -> Survey:
        survey = self._resumed(is_watch=is_watch)
        try:
            if not survey.is_listed:
                self._list(survey)
            # NOTE: an account that the survey then sees signed in again has succeeded since.
            self._note_failures(survey, failures)
            self._ask_all(survey, self._waiting(survey))
            survey.ended = survey.ended or timestamp(self.clock())
        except _StopError as error:
            survey.notes.append(str(error))
        except PollTimeoutError:
            pass  # the next cycle polls these accounts first
        finally:
            self._save(survey)
        return survey

    def _note_failures(self, survey: Survey, failures: Mapping[str, Sequence[Failure]]) -> None:
        now = timestamp(self.clock())
        for name in failures.keys() & survey.accounts.keys():
            account = survey.accounts[name].with_failures(failures[name], now)
            survey.accounts[name] = account
            self._unsaved[name] = account

    def client(self, account: str = "") -> Cyclr:
        """Return a client for one account, with a session that keeps no other account's answers."""
        session = self.run.open_session()
        base_url = str(self._values["cyclr_api_url"])
        client_id = str(self._values["cyclr_client_id"])
        if self._token is None:
            self.pace()
            secret = self.run.settings.secrets["cyclr_client_secret"]
            self._token = request_api_token(
                session, base_url, client_id=client_id, client_secret=secret
            )
        return Cyclr(
            session,
            base_url=base_url,
            token=self._token,
            account=account,
            client_id=client_id,
            pace=self.pace,
        )

    def keep(self, account: str, change: Callable[[KnownAccount], KnownAccount]) -> str:
        """Save what a call changes in an account's row; return why that failed, or empty."""

        def save() -> str:
            survey = self._kept_survey()
            if survey and survey.of != self.console:
                return "The result was not kept: the last poll was at another console."
            rows = self._rows.customers.read(tenant=self._key, account=account)
            known = rows[0].body if rows else KnownAccount(account, "")
            with self._rows.transaction():
                self.save_accounts([change(known)])
            return ""

        try:
            return self._alone(save)
        except RunbookError as error:
            return f"The result was not kept: {error}"

    def prerequisites(self, failures: Iterable[Failure]) -> dict[str, str]:
        """Return the missing prerequisites of each failed cycle, by its id."""
        cycles = {failure.cycle: failure.account for failure in failures if failure.cycle}
        lacking = {}
        for cycle, account in list(cycles.items())[:_MOST_CYCLES]:
            try:
                rows = self.client(account).cycle_prerequisites(cycle)
                reasons = dict.fromkeys(row.display_text("Reason") for row in rows)
                lacking[cycle] = ", ".join(filter(None, reasons)) or "nothing"
            except RemoteError as error:
                lacking[cycle] = f"not known ({error})"
        return lacking

    def _read_survey(self) -> Survey:
        """Return the last survey of this connector in this console, or the first one."""
        first = Survey(self.console, timestamp(self.clock()))
        survey = self._kept_survey() or first
        if survey.of != first.of:
            return first
        for row in self._rows.customers.read(tenant=self._key):
            survey.accounts[row.account] = row.body
        return survey

    def _kept_survey(self) -> Survey | None:
        """Return the last survey without its accounts, of whatever console."""
        rows = self._rows.surveys.read(tenant=self._key)
        return rows[0].body if rows else None

    @property
    def _rows(self) -> WatchState:
        if self._state is None:
            raise RuntimeError("`_open` opens the state first")
        return self._state

    def _resumed(self, *, is_watch: bool) -> Survey:
        """
        Return the survey that was cut off, or a new one that knows what earlier ones saw.

        A watch goes on with a complete one, too, for a day.
        """
        survey = self._read_survey()
        now = self.clock()
        is_open = not survey.ended or (is_watch and not survey.notes)
        if is_open and not has_passed(_RESUMED_WITHIN, survey.began, now):
            survey.notes = []
            return survey
        accounts = {
            account.id: account
            for account in survey.accounts.values()
            if account.standing is not AccountStatus.VANISHED
        }
        return Survey(survey.of, timestamp(now), survey.number + 1, accounts=accounts)

    def _waiting(self, survey: Survey) -> list[KnownAccount]:
        """Return the accounts that this survey has not read yet, and those that are in doubt."""
        now = self.clock()
        return [
            account
            for account in survey.accounts.values()
            if account.polled_in < survey.number
            or account.standing is AccountStatus.NOT_KNOWN
            or is_in_doubt(account, now)
        ]

    def _list(self, survey: Survey) -> None:
        """Add every account of the console to `survey`; a page that cannot be read is noted."""

        def fetch(number: int) -> tuple[list[JSONObject], int]:
            return self._patiently(lambda: self.client().accounts(number))

        number = 0
        for row in read_rows(fetch, survey.notes):
            number += 1
            account = row.get("Id")
            name = row.get("Name")
            if not (isinstance(account, str) and _ACCOUNT.fullmatch(account)):
                survey.notes.append("Cyclr lists an account whose id cannot be used.")
                continue
            known = survey.accounts.get(account, KnownAccount(account, ""))
            name = shorten(name, 120) if isinstance(name, str) else ""
            survey.accounts[account] = structs.replace(known, name=name, listed_in=survey.number)
        if not (number or survey.notes):
            survey.notes.append(_EMPTY)
        survey.is_listed = not survey.notes
        self._unsaved = dict(survey.accounts)
        self._save(survey, is_new=True)

    def _ask_all(self, survey: Survey, waiting: Sequence[KnownAccount]) -> None:
        """Ask for these accounts, the longest unpolled first."""
        total = len(survey.accounts)
        unread: list[KnownAccount] = []
        ordered = sorted(waiting, key=lambda account: account.polled_on)
        for place, account in enumerate(ordered, start=total - len(waiting)):
            self.on_progress(place, total)
            asked, is_fault = self._ask(account, survey)
            survey.accounts[account.id] = asked
            self._unsaved[account.id] = asked
            unread = [*unread, account] if is_fault else []
            if len(unread) >= _MOST_FAILURES:
                self._find_fault(survey, unread)
                unread = []
            if self._monotonic() - self._saved_at > _SAVE_SECONDS:
                self._save(survey)
        self.on_progress(total, total)

    def _find_fault(self, survey: Survey, unread: Iterable[KnownAccount]) -> None:
        """Raise `_StopError`, and drop the results of `unread`, if Cyclr lists nothing now."""
        try:
            self._patiently(lambda: self.client().accounts())
        except RemoteError as error:
            before = {account.id: account for account in unread}
            survey.accounts |= before
            self._unsaved |= before
            raise _StopError(f"Cyclr stopped answering: {error}") from error

    def _ask(self, account: KnownAccount, survey: Survey) -> tuple[KnownAccount, bool]:
        """Return the account as Cyclr shows it now, and whether it could not be asked."""
        standing = AccountStatus.NOT_KNOWN
        error = ""
        is_fault = True
        connectors: tuple[InstalledConnector, ...] = ()
        try:
            is_gone = account.listed_in < survey.number and self._is_gone(account)
            try:
                connectors = () if is_gone else self.connectors_of(account)
            except CyclrAPIError as refusal:
                is_gone = is_refusal(refusal.status) and self._is_gone(account)
                is_fault = not is_refusal(refusal.status)
                if not is_gone:
                    raise
            standing = AccountStatus.VANISHED if is_gone else _standing_of(connectors)
            is_fault = False
        except RemoteError as fault:
            error = str(fault)
        now = timestamp(self.clock())
        is_in = standing is AccountStatus.SIGNED_IN
        is_without = standing is AccountStatus.NOT_INSTALLED
        is_out = standing is AccountStatus.NOT_SIGNED_IN
        if is_in and _is_signed_in_anew(account, connectors):
            account = account.with_success(now)
        since = account.not_signed_in_since
        if standing is not AccountStatus.NOT_KNOWN:
            since = (since or now) if is_out else ""
        asked = structs.replace(
            account,
            polled_in=survey.number,
            polled_on=now,
            standing=standing,
            connectors=connectors,
            not_signed_in_since=since,
            signed_in_on=now if is_in else account.signed_in_on,
            installed_on=now if connectors else account.installed_on,
            not_installed_on=now if is_without else account.not_installed_on,
            was_out_at_first=account.was_out_at_first or (survey.number == 1 and is_out),
            error=shorten(self.run.redactor.redact(error)),
        )
        return asked, is_fault

    def connectors_of(self, account: KnownAccount) -> tuple[InstalledConnector, ...]:
        """Return the account's connectors of this name; raises `RemoteError` if one is missing."""
        rows = self._patiently(lambda: self.client(account.id).account_connectors(is_short=False))
        return tuple(
            InstalledConnector(
                row.number("Id"),
                row.object_at("Connector").number("Id"),
                row.boolean("Authenticated"),
            )
            for row in rows
            if row.get("Connector") is not None
            and row.object_at("Connector").text("Name") == self.connector
        )

    def _is_gone(self, account: KnownAccount) -> bool:
        try:
            self._patiently(lambda: self.client().account(account.id))
        except CyclrAPIError as error:
            if error.status == _NOT_FOUND:
                return True
            raise
        return False

    def _patiently(self, ask: Callable[[], _T]) -> _T:
        """Return the result of `ask`, after waiting as long as Cyclr asks to."""
        while True:
            try:
                answer = ask()
            except ThrottledError as error:
                self._waits += 1
                if error.seconds > _LONGEST_WAIT or self._waits > _MOST_WAITS:
                    raise _StopError(str(error)) from error
                self._sleep(error.seconds or 1.0)
            else:
                self._waits = 0
                return answer

    def save_accounts(self, accounts: Iterable[KnownAccount]) -> None:
        """Save these accounts in an open transaction."""
        self._rows.customers.write(
            WatchedCustomer(self._key, account.id, account) for account in accounts
        )

    def _save(self, survey: Survey, *, is_new: bool = False) -> None:
        """Save the survey and the accounts that have changed; of a new one all of them."""
        bare = structs.replace(survey, accounts={})
        with self._rows.transaction():
            if is_new:
                self._rows.customers.delete(self._rows.customers.read(tenant=self._key))
            self._rows.surveys.write([CustomerSurvey(self._key, bare)])
            self.save_accounts(self._unsaved.values())
        self._unsaved = {}
        self._saved_at = self._monotonic()


def is_in_doubt(account: KnownAccount, now: datetime) -> bool:
    """Return whether a changed result of an account is to be polled again."""
    since = account.in_doubt_since
    return bool(since) and has_passed(CONFIRMED_AFTER, since, now)


def survey_document(
    survey: Survey, known: CustomerList, rows: Iterable[CustomerRow]
) -> dict[str, Any]:
    """Return a survey for programs: its counts, and the customers who need something."""
    return {
        "tenant": known.tenant,
        "connector": known.procedure.id,
        "cyclr_connector": survey.of[-1],
        "sandbox": known.is_practice,
        "began": survey.began,
        "ended": survey.ended,
        "complete": survey.is_complete,
        "notes": survey.findings,
        "counts": {standing.value: number for standing, number in survey.counts.items()},
        "unverifiable": known.procedure.unverifiable,
        "customer_data": to_builtins(known.procedure.customer_data),
        "customers": [row.document() for row in rows],
        "unknown_accounts": sorted(known.failures.last.keys() - survey.accounts.keys()),
    }


def _is_signed_in_anew(account: KnownAccount, connectors: Sequence[InstalledConnector]) -> bool:
    """Return whether an account that is signed in now was not before, or has other connectors."""
    was_out = bool(account.not_signed_in_since) or account.standing in (
        AccountStatus.NOT_INSTALLED,
        AccountStatus.VANISHED,
    )
    before = {installed.id for installed in account.connectors}
    return was_out or (bool(before) and before.isdisjoint(item.id for item in connectors))


def _standing_of(connectors: tuple[InstalledConnector, ...]) -> AccountStatus:
    if not connectors:
        return AccountStatus.NOT_INSTALLED
    is_signed_in = all(installed.signed_in for installed in connectors)
    return AccountStatus.SIGNED_IN if is_signed_in else AccountStatus.NOT_SIGNED_IN
