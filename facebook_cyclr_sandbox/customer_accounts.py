"""
The partner's customers in Cyclr: accounts whose connection fails, recovers, or goes away.

Cyclr's Transaction Error Webhook posts each failure, in its documented form. The sandbox stores it
for `/_sandbox/transaction-errors` too.
"""

import json
import threading
import urllib.request
from contextlib import suppress
from datetime import UTC, datetime
from urllib.parse import urlsplit

from facebook_cyclr_sandbox.default_state import MARKETING, find_library_connector, get_app
from facebook_cyclr_sandbox.graph import graph_errors
from facebook_cyclr_sandbox.graph.graph_errors import GraphError
from facebook_cyclr_sandbox.graph.tokens import format_pacific_time
from facebook_cyclr_sandbox.graph.translations import translate
from facebook_cyclr_sandbox.state.cyclr_state import Account, AccountConnector, Cycle
from facebook_cyclr_sandbox.state.sandbox_state import (
    DAY_SECONDS,
    LONG_LIFETIME_SECONDS,
    SandboxState,
)

_MAX_CUSTOMERS = 10_000
_MAX_TRANSACTION_ERRORS = 1_000
_POST_TIMEOUT_SECONDS = 2.0
# Reason of a failure → Facebook's error, and the status line in Cyclr's report.
FAILURE_REASONS = {
    "token-ended": (graph_errors.EXPIRED_TOKEN, "400 Bad Request"),
    "app-removed": (graph_errors.NOT_INSTALLED_TOKEN, "400 Bad Request"),
    "permission-withdrawn": (graph_errors.PERMISSION_NEEDED, "403 Forbidden"),
    "page-lost": (graph_errors.MISSING_OBJECT, "400 Bad Request"),
    "form-deleted": (graph_errors.MISSING_OBJECT, "400 Bad Request"),
    "limit": (graph_errors.LEADGEN_LIMIT, "400 Bad Request"),
    "app-deactivated": (graph_errors.DEACTIVATED_APP, "400 Bad Request"),
}
_TOKEN_REASONS = ("token-ended", "app-removed")


def add_customers(state: SandboxState, count: int, *, name: str = "Customer") -> list[Account]:
    """Add accounts with the Marketing connector installed, signed in, and a cycle each."""
    if len(state.cyclr.accounts) + count > _MAX_CUSTOMERS:
        raise ValueError("the sandbox cannot hold more customers")
    connector = find_library_connector(state, MARKETING)
    token = state.operator_values["user_access_token"]
    added = []
    for number in range(count):
        account = Account(
            state.random_source.guid(), f"{name} {number + 2}", state.now() - 30 * DAY_SECONDS
        )
        installed = AccountConnector(
            state.cyclr.new_id(),
            account.id,
            connector.id,
            MARKETING,
            is_authenticated=True,
            access_token=token,
        )
        cycle = Cycle(state.random_source.guid(), account.id, "Leads to CRM", [installed.id])
        state.cyclr.accounts[account.id] = account
        state.cyclr.account_connectors[installed.id] = installed
        state.cyclr.cycles[cycle.id] = cycle
        added.append(account)
    return added


def fail_connection(state: SandboxState, account_id: str, reason: str, *, is_noticed: bool) -> None:
    """
    Let a call of the account's cycle fail for `reason`.

    A reason of the token ends it at Facebook. `is_noticed`: Cyclr shows the connector as not
    authenticated.
    """
    if reason not in FAILURE_REASONS:
        raise ValueError(f"there is no reason {reason!r}; known are {', '.join(FAILURE_REASONS)}")
    installed = _find_marketing_connector(state, account_id)
    if reason in _TOKEN_REASONS:
        issued = state.now() - LONG_LIFETIME_SECONDS - DAY_SECONDS
        app = get_app(state)
        person = state.facebook.operator
        scopes = ("public_profile",)
        ended = state.issue_user_token(app, person.id, scopes, issued_at=issued, keep=True)
        installed.access_token = ended.value
    installed.is_authenticated = not is_noticed
    _report_failure(state, state.cyclr.accounts[account_id], reason)


def restore_connection(state: SandboxState, account_id: str) -> None:
    """Let the customer sign in again."""
    installed = _find_marketing_connector(state, account_id)
    installed.access_token = state.operator_values["user_access_token"]
    installed.is_authenticated = True


def remove_customer(state: SandboxState, account_id: str) -> None:
    """Remove the account and its installed connectors."""
    cyclr = state.cyclr
    for installed in cyclr.list_installed(account_id):
        cyclr.uninstall(installed)
    del cyclr.accounts[account_id]


def _find_marketing_connector(state: SandboxState, account_id: str) -> AccountConnector:
    marketing = find_library_connector(state, MARKETING).id
    for installed in state.cyclr.list_installed(account_id):
        if installed.connector_id == marketing:
            return installed
    raise ValueError("there is no such account with the Marketing connector")


def _report_failure(state: SandboxState, account: Account, reason: str) -> None:
    """Store the failure of a transaction, and post it to the account's webhook if it has one."""
    definition, status = FAILURE_REASONS[reason]
    moment = datetime.fromtimestamp(state.now(), UTC)
    values = {
        "expired": format_pacific_time(state.now()),
        "now": format_pacific_time(state.now()),
        "app_id": state.operator_values["app_id"],
        "permission": "leads_retrieval",
        "id": state.operator_values["page_id"],
    }
    error = translate(GraphError(definition, **values), state.facebook.locale)
    page = state.operator_values["page_id"]
    body = json.dumps(error.body(state.random_source.alphanumeric(11)), separators=(",", ":"))
    request = (
        f"GET https://graph.facebook.com/v26.0/{page}/leadgen_forms\r\nHost: graph.facebook.com"
    )
    cycle = next(c for c in state.cyclr.cycles.values() if c.account_id == account.id)
    payload: dict[str, object] = {
        "Timestamp": f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond:06d}0Z",
        "AccountId": account.id,
        "AccountExternalId": None,
        "AccountName": account.name,
        "CycleId": cycle.id,
        "CycleName": cycle.name,
        "StepId": state.random_source.guid(),
        "StepName": "List Forms",
        "StepType": "Action",
        "TransactionId": state.random_source.guid(),
        "Message": "Failed to call the method",
        "Detail": f"{status}\r\n{body}\r\n{request}\r\n",
        "IncidentLevel": "Error",
    }
    _post(state, account, payload)


def _post(state: SandboxState, account: Account, payload: dict[str, object]) -> None:
    """Store what a webhook of Cyclr's says, and post it if the account has an address for it."""
    state.cyclr.transaction_errors.append(payload)
    del state.cyclr.transaction_errors[:-_MAX_TRANSACTION_ERRORS]
    url = account.settings.get("TransactionErrorWebhookUrl")
    if account.settings.get("TransactionErrorWebhookEnabled") is True and isinstance(url, str):
        threading.Thread(target=_post_to_loopback, args=(url, payload), daemon=True).start()


def _post_to_loopback(url: str, payload: dict[str, object]) -> None:
    """Post to an address on this machine; the sandbox sends nothing anywhere else."""
    if not url.startswith("http://") or urlsplit(url).hostname not in ("127.0.0.1", "localhost"):
        return
    content = json.dumps(payload).encode()
    request = urllib.request.Request(url, content, {"Content-Type": "application/json"})  # noqa: S310
    with suppress(OSError), urllib.request.urlopen(request, timeout=_POST_TIMEOUT_SECONDS):  # noqa: S310
        pass
