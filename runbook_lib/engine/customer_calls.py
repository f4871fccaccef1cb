"""
Calls with a customer's sign-in, which Cyclr makes for us: a test, a proof by use, a count, a link.

We hold no customer's token: Cyclr calls the vendor with the token that it keeps. No response is
kept, only whether it was answered, refused, or how many rows it had.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct, structs

from runbook_lib.connectors.cyclr.connector import is_refusal
from runbook_lib.connectors.cyclr.transactions import explain_refusal
from runbook_lib.connectors.fault_domain import FaultDomain
from runbook_lib.connectors.provider import vendor_of
from runbook_lib.core.journal import timestamp
from runbook_lib.engine.customer_connections import ConsoleAccounts
from runbook_lib.engine.customer_losses import returned_document
from runbook_lib.engine.customer_rows import AccountStatus, InstalledConnector, KnownAccount
from runbook_lib.engine.watch.watch_state import has_passed
from runbook_lib.errors import CyclrAPIError, SettingsError
from runbook_lib.evidence.reports.phrases import parse_time
from runbook_lib.remote.cyclr import PASSED_ON, Cyclr, sign_in_url
from runbook_lib.remote.json_fields import JSONObject
from runbook_lib.text import pluralize

# People and runs need the rest of the app's hourly calls.
_MOST_USED_PERCENT = 50
_DAY = timedelta(days=1)
_METHOD_ID = "MethodUniqueIdentifier"


class _Use(Struct, frozen=True):
    """The result of one call with a customer's token."""

    account: str
    is_answered: bool
    lines: tuple[str, ...]
    not_kept: str
    """The reason why the result was not kept; empty if it was."""


class CustomerCalls:
    """Calls for single accounts of a console, through Cyclr; their rows keep the result."""

    def __init__(self, asked: ConsoleAccounts) -> None:
        self._asked = asked
        self._run = asked.run
        # Id of a connector in Cyclr's library → its methods by name.
        self._methods: dict[int, dict[str, JSONObject]] = {}

    def test_call(self, account: str) -> dict[str, Any]:
        """
        Have Cyclr call the vendor's read-only method, once, for one account.

        It uses up one call of the customer's token. The response is not kept; its success, or the
        vendor's refusal, is.
        """
        used = self._use(account, self._installed(account))
        spent = "The test made one call with the customer's token, and two calls to Cyclr."
        lines = [*used.lines, spent, *filter(None, (used.not_kept,))]
        return {"account": account, "answered": used.is_answered, "lines": lines}

    def use_longest_unproven(self, number: int) -> dict[str, Any]:
        """
        Do the same for at most `number` customers a day, the longest unproven first.

        Only for accounts that the last survey saw signed in, and while half of the app's hourly
        calls are left. Raises `SettingsError` unless `use_connections` permits it.
        """
        self._require_permission()
        now = self._asked.clock()
        known = self._asked.known()
        if not known.accounts:
            raise SettingsError(
                "No survey has listed the customers yet.",
                next_step="Run `runbook connections` first. No request was sent.",
            )
        tried = [a for a in known.accounts.values() if _was_tried_today(a, now)]
        waiting = [
            account
            for account in known.accounts.values()
            if known.standing(account) in (AccountStatus.SIGNED_IN, AccountStatus.CALLS_FAIL)
            and account.connectors
            and not _was_tried_today(account, now)
        ]
        waiting.sort(key=lambda account: (account.used_on, account.tried_on, account.id))
        chosen = waiting[: max(0, number - len(tried))]
        uses: list[_Use] = []
        note = ""
        used_before = self._run.used_calls
        allowance = vendor_of(self._run.procedure).calls_an_hour
        for place, account in enumerate(chosen):
            # NOTE: a share that an earlier response reported does not know of these calls.
            own = 100 * len(uses) / allowance if allowance else 0
            if max(self._run.used_calls, used_before + own) >= _MOST_USED_PERCENT:
                note = "Half of the app's hourly calls are used: the rest waits."
                break
            self._asked.on_progress(place, len(chosen))
            uses.append(self._use(account.id, account.connectors[0]))
        refused = [use for use in uses if not use.is_answered]
        asked = pluralize(len(uses), "customer")
        lines = [f"{asked} tried: {len(uses) - len(refused)} answered, {len(refused)} not."]
        if len(uses) < len(chosen):
            lines.append(note)
        left = len(waiting) - len(uses)
        if left:
            lines.append(f"{pluralize(left, 'customer')} left for another day.")
        for use in refused:
            name = known.accounts[use.account].name or use.account
            lines += [f"{name}: {line}" for line in use.lines]
        lines += dict.fromkeys(use.not_kept for use in uses if use.not_kept)
        return {
            "answered": [use.account for use in uses if use.is_answered],
            "refused": [use.account for use in refused],
            "left": left,
            "lines": lines,
        }

    def count_missed(self, account: str, form: str) -> dict[str, Any]:
        """
        Count what `form` has of the days for which a customer who is back was cut off.

        Cyclr's method gives the rows; this reads only their times. Raises `SettingsError`
        unless `use_connections` permits it, and if the method cannot be called with `form` alone.
        """
        self._require_permission()
        data = self._run.procedure.customer_data
        survey = self._asked.known()
        known = survey.accounts.get(account)
        now = self._asked.clock()
        missed = known and returned_document(known, survey.standing(known), data, now)
        if not data or not missed:
            raise SettingsError(
                "No days are known for which this customer was cut off and is back.",
                next_step="`runbook connections` shows them after the customer's return.",
            )
        begin = missed["perhaps_since"] or missed["since"]
        client = self._asked.client(account)
        installed = self._installed(account)
        method = self._method(client, installed, data.fetch_method)
        parameters = {_form_parameter(method, data.fetch_method): form}
        answer = client.run_method(installed.id, method.text(_METHOD_ID), parameters)
        self._run.count_call()
        rows = JSONObject(answer, data.fetch_method).objects_at("data")
        times = [parse_time(row.text(data.time_field)) for row in rows]
        end = missed["returned_on"]
        number = sum(_is_between(begin, at, end) for at in times)
        is_whole = "next" not in JSONObject(answer, data.fetch_method).get("paging", {})
        least = "" if is_whole else "at least "
        counted = f"{data.noun} of {begin[:10]} to {end[:10]} in form {form}"
        lines = [f"{least}{number:,} {counted}.".capitalize()]
        if not is_whole:
            lines.append(f"{data.fetch_method} gave one page of several, which was counted.")
        lines.append("The count made one call with the customer's token. No row was kept.")
        counts = {"account": account, "form": form, "begin": begin, "end": end, "count": number}
        return {**counts, "complete": is_whole, "lines": lines}

    def _require_permission(self) -> None:
        if not self._run.values.get("use_connections"):
            raise SettingsError(
                "No setting permits calls with your customers' sign-ins.",
                next_step="Set use_connections to true. No request was sent.",
            )

    def _use(self, account: str, installed: InstalledConnector) -> _Use:
        """Call the vendor's read-only method for an account, and keep the result."""
        vendor = vendor_of(self._run.procedure)
        client = self._asked.client(account)
        name = vendor.test_method
        method = self._method(client, installed, name)
        try:
            client.run_method(installed.id, method.text(_METHOD_ID))
            lines = [f"{vendor.title} answered {name} for this account just now."]
            is_answered = True
            not_kept = self._keep_answer(account)
        except CyclrAPIError as error:
            refused = self._run.redactor.redact(str(error))
            lines = [f"{name} was refused: {refused}", f'Next: runbook explain "{refused}"']
            is_answered = False
            not_kept = self._keep_refusal(account, refused, error.status)
        # NOTE: Cyclr passes on no header of the vendor's, so the app's calls are counted.
        self._run.count_call()
        return _Use(account, is_answered, tuple(lines), not_kept)

    def _method(self, client: Cyclr, installed: InstalledConnector, name: str) -> JSONObject:
        """Return a method of the connector; Cyclr is asked once for each connector."""
        if installed.library_id not in self._methods:
            rows = client.methods(installed.library_id)
            self._methods[installed.library_id] = {str(row.get("Name")): row for row in rows}
        methods = self._methods[installed.library_id]
        if name not in methods:
            raise SettingsError(
                f"{self._asked.connector} has no method {name} to test with.",
                next_step="Test it in the Cyclr console.",
            )
        return methods[name]

    def _keep_refusal(self, account: str, refused: str, status: int) -> str:
        """Keep the vendor's refusal; return why that failed, or empty."""
        at = timestamp(self._asked.clock())
        failure = explain_refusal(refused, self._run.procedure, account=account, at=at)
        is_vendors = failure.is_known and failure.cause is not FaultDomain.CYCLR
        if status == PASSED_ON or (is_refusal(status) and is_vendors):
            return self._asked.keep(
                account,
                lambda known: structs.replace(known.with_failures([failure], at), tried_on=at),
            )
        return "Cyclr itself may have refused it, so it does not show that calls fail."

    def _keep_answer(self, account: str) -> str:
        """Keep that the vendor answered; return why that failed, or empty."""
        at = timestamp(self._asked.clock())
        return self._asked.keep(
            account, lambda known: structs.replace(known.with_use(at), tried_on=at)
        )

    def sign_in_link(self, account: str, user: str) -> dict[str, Any]:
        """
        Return a link with which a customer signs in again, once and within five minutes.

        NOTE: Cyclr creates `user` in the account if it does not exist.
        """
        domain = str(self._run.values.get("service_domain", ""))
        if not domain:
            raise SettingsError("Sign-in links use your Service Domain: set service_domain.")
        installed = self._installed(account)
        token = self._asked.client(account).sign_in_token(account, user)
        link = sign_in_url(domain, installed.id, token, str(self._run.values["cyclr_console_url"]))
        spent = f"It works once, for 5 minutes. Cyclr created the user {user} if it did not exist."
        return {"account": account, "link": link, "lines": [link, spent]}

    def _installed(self, account: str) -> InstalledConnector:
        """Return the account's connector; of several one that is not signed in, if there is one."""
        connectors = self._asked.connectors_of(KnownAccount(account, ""))
        if not connectors:
            raise SettingsError(
                f"{self._asked.connector} is not installed in the account {account}."
            )
        return min(connectors, key=lambda installed: (installed.signed_in, installed.id))


def _form_parameter(method: JSONObject, name: str) -> str:
    """Return the id of the method's only required parameter; raises `SettingsError` otherwise."""
    parameters = [row for row in method.objects_at("Parameters", ()) if not row.get("IsOptional")]
    if len(parameters) != 1:
        number = pluralize(len(parameters), "required parameter")
        raise SettingsError(
            f"{name} has {number}, and the runbook gives one, the form.",
            next_step="Count in the Cyclr console.",
        )
    return str(parameters[0].number("Id"))


def _is_between(begin: str, at: datetime | None, end: str) -> bool:
    """Return whether a row's time, in whole seconds, is between two times."""
    first = parse_time(begin)
    last = parse_time(end)
    if not (first and at and last):
        return False
    return first.replace(microsecond=0) <= at <= last


def _was_tried_today(account: KnownAccount, now: datetime) -> bool:
    """Return whether a call with its token was made within the last day."""
    return bool(account.tried_on) and not has_passed(_DAY, account.tried_on, now)
