"""
Calls with a customer's sign-in, which Cyclr makes for us: a test, and a link.

We hold no customer's token: Cyclr calls the vendor with the token that it keeps. No response is
kept, only whether it was answered or refused.
"""

from __future__ import annotations

from typing import Any

from runbook_lib.connectors.cyclr.connector import is_refusal
from runbook_lib.connectors.cyclr.transactions import explain_refusal
from runbook_lib.connectors.fault_domain import FaultDomain
from runbook_lib.connectors.provider import vendor_of
from runbook_lib.core.clock import timestamp
from runbook_lib.errors import CyclrAPIError, SettingsError
from runbook_lib.operations.customer_connections import ConsoleAccounts
from runbook_lib.operations.customer_rows import InstalledConnector, KnownAccount
from runbook_lib.remote.cyclr import PASSED_ON, sign_in_url

_METHOD_ID = "MethodUniqueIdentifier"


class CustomerCalls:
    """Calls for single accounts of a console, through Cyclr; their rows keep the result."""

    def __init__(self, asked: ConsoleAccounts) -> None:
        self._asked = asked
        self._run = asked.run

    def test_call(self, account: str) -> dict[str, Any]:
        """
        Have Cyclr call the vendor's read-only method, once, for one account.

        It uses up one call of the customer's token. The response is not kept; its success, or the
        vendor's refusal, is.
        """
        installed = self._installed(account)
        vendor = vendor_of(self._run.procedure)
        name = vendor.test_method
        client = self._asked.client(account)
        methods = {row.get("Name"): row for row in client.methods(installed.library_id)}
        if name not in methods:
            raise SettingsError(
                f"{self._asked.connector} has no method {name} to test with.",
                next_step="Test it in the Cyclr console.",
            )
        is_answered = True
        try:
            client.run_method(installed.id, methods[name].text(_METHOD_ID))
            lines = [f"{vendor.title} answered {name} for this account just now."]
            not_kept = self._keep_answer(account)
        except CyclrAPIError as error:
            refused = self._run.redactor.redact(str(error))
            lines = [f"{name} was refused: {refused}", f'Next: runbook explain "{refused}"']
            is_answered = False
            not_kept = self._keep_refusal(account, refused, error.status)
        # NOTE: Cyclr passes on no header of the vendor's, so the app's calls are counted.
        self._run.count_call()
        lines.append("The test made one call with the customer's token, and two calls to Cyclr.")
        return {
            "account": account,
            "answered": is_answered,
            "lines": [*lines, *filter(None, (not_kept,))],
        }

    def _keep_refusal(self, account: str, refused: str, status: int) -> str:
        """Keep the vendor's refusal; return why that failed, or empty."""
        at = timestamp(self._asked.clock())
        failure = explain_refusal(refused, self._run.procedure, account=account, at=at)
        is_vendors = failure.is_known and failure.cause is not FaultDomain.CYCLR
        if status == PASSED_ON or (is_refusal(status) and is_vendors):
            return self._asked.keep(account, lambda known: known.with_failures([failure], at))
        return "Cyclr itself may have refused it, so it does not show that calls fail."

    def _keep_answer(self, account: str) -> str:
        """Keep that the vendor answered; return why that failed, or empty."""
        at = timestamp(self._asked.clock())
        return self._asked.keep(account, lambda known: known.with_use(at))

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
