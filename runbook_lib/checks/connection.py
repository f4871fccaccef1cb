"""
The connection as a user's token has it: validity, grants, and data that can be read.

Every call is signed with `appsecret_proof`. Of a lead only its id and time
are read: what a customer wrote is nobody's evidence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from runbook_lib.checks.context import CheckContext
from runbook_lib.credential_form import is_facebook_token
from runbook_lib.procedure import Finding, Outcome, Table
from runbook_lib.redaction import Secret
from runbook_lib.remote.graph import Graph

__all__ = ["lead_data_is_readable", "marketing_data_is_readable", "user_token_is_valid"]

_ENDS_SOON = timedelta(days=14)
_LEADS = "leads_retrieval"
_MOST_ROWS = 25

# What is asked of each node and shown under which heading; of an answer nothing else is shown.
_AD_ACCOUNT = {
    "id": "ID",
    "name": "Name",
    "account_status": "Status",
    "currency": "Currency",
    "timezone_name": "Time zone",
}
_PAGE = {"id": "ID", "name": "Name", "category": "Category", "tasks": "Tasks"}
_LEAD_FORM = {"id": "ID", "name": "Name", "status": "Status", "locale": "Language"}
# Marketing API: Ad Account, account_status.
_ACCOUNT_STATUS = {
    "1": "ACTIVE",
    "2": "DISABLED",
    "3": "UNSETTLED",
    "7": "PENDING_RISK_REVIEW",
    "8": "PENDING_SETTLEMENT",
    "9": "IN_GRACE_PERIOD",
    "100": "PENDING_CLOSURE",
    "101": "CLOSED",
}


def user_token_is_valid(context: CheckContext) -> Finding:
    """
    Have Facebook inspect the token: its app, validity, scopes and ends (Graph: debug_token).

    The grants are read a second time from `/me/permissions`, which knows
    of those that the person declined.
    """
    token = context.secrets["user_access_token"]
    graph = context.app_graph()
    inspected = graph.get("debug_token", context.app_token(), input_token=token.reveal())
    data = inspected.get("data") or {}
    problem = _token_problem(context, data)
    if problem:
        return Finding(outcome=Outcome.FAILED, reason=problem)
    rows = context.user_graph().rows("me/permissions", token)
    granted = {str(row["permission"]) for row in rows if row.get("status") == "granted"}
    lacking = [name for name in context.names("permissions") if name not in granted]
    if lacking:
        declined = [str(row["permission"]) for row in rows if row.get("status") == "declined"]
        return Finding(
            outcome=Outcome.FAILED,
            reason=f"The token lacks {', '.join(lacking)}"
            + (f" (declined: {', '.join(declined)})." if declined else "."),
        )
    return Finding(
        outcome=Outcome.VERIFIED,
        reason=f"The token is this app's, valid {_until(data.get('expires_at'))}, and grants "
        f"{', '.join(context.names('permissions'))}.",
        warnings=tuple(_end_warnings(context, data)),
        limits=tuple(_narrowed(data)),
    )


def marketing_data_is_readable(context: CheckContext) -> Finding:
    """Read the person's ad accounts and pages; of a page not its token."""
    graph, token = context.user_graph(), context.secrets["user_access_token"]
    accounts = _read(graph, "me/adaccounts", token, _AD_ACCOUNT)
    pages = _read(graph, "me/accounts", token, _PAGE)
    seen = f"{len(accounts)} ad account(s) and {len(pages)} page(s)"
    if not accounts and not pages:
        return Finding(
            outcome=Outcome.INCONCLUSIVE,
            reason="Facebook answers, but this person has no ad account and no page to read.",
        )
    tables = (
        _table("Ad accounts", _AD_ACCOUNT, [_with_status(account) for account in accounts]),
        _table("Pages", _PAGE, pages),
    )
    return Finding(
        outcome=Outcome.VERIFIED,
        reason=f"The token reads {seen}.",
        tables=tuple(table for table in tables if table.rows),
    )


def lead_data_is_readable(context: CheckContext) -> Finding | None:
    """
    Read a page's lead forms, one lead, and Lead Access Manager's view of this person.

    Returns `None` where `leads_retrieval` is not among the permissions. A
    page token is taken from `/me/accounts` and forgotten.
    """
    if _LEADS not in context.names("permissions"):
        return None
    graph, token = context.user_graph(), context.secrets["user_access_token"]
    pages = graph.rows("me/accounts", token, fields="id,name,access_token", limit=str(_MOST_ROWS))
    for page in pages:
        page_id = str(page["id"])
        page_token = context.session.take_token(
            page.get("access_token"), endpoint="Graph /me/accounts", is_token=is_facebook_token
        )
        forms = _read(graph, f"{page_id}/leadgen_forms", page_token, _LEAD_FORM)
        if forms:
            finding = _read_lead(context, graph, page_id, page_token, str(forms[0]["id"]))
            caption = f"Lead forms of {page.get('name') or 'page'} ({page_id})"
            return replace(finding, tables=(_table(caption, _LEAD_FORM, forms),))
    return Finding(
        outcome=Outcome.INCONCLUSIVE,
        reason=f"None of {len(pages)} page(s) has a lead form, so no lead could be read.",
    )


def _read(
    graph: Graph, edge: str, token: Secret, columns: Mapping[str, str]
) -> list[dict[str, Any]]:
    return graph.rows(edge, token, fields=",".join(columns), limit=str(_MOST_ROWS))


def _table(caption: str, columns: Mapping[str, str], rows: Sequence[Mapping[str, Any]]) -> Table:
    if len(rows) >= _MOST_ROWS:
        caption += f" (the first {_MOST_ROWS})"
    return Table(
        caption=caption,
        columns=tuple(columns.values()),
        rows=tuple(tuple(_text(row.get(name)) for name in columns) for row in rows),
    )


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_text(item) for item in value)
    return str(value) if isinstance(value, str | int | float) else ""


def _with_status(account: Mapping[str, Any]) -> dict[str, Any]:
    status = _text(account.get("account_status"))
    return {**account, "account_status": _ACCOUNT_STATUS.get(status, status)}


def _read_lead(
    context: CheckContext, graph: Graph, page_id: str, page_token: Secret, form_id: str
) -> Finding:
    access = _lead_access(context, graph, page_id, page_token)
    if access.get("can_access_lead") is False:
        return Finding(
            outcome=Outcome.FAILED,
            reason=f"Lead Access Manager of page {page_id} denies this person leads: "
            f"{access.get('failure_reason') or 'no reason given'} "
            f"{access.get('failure_resolution') or ''}".strip(),
        )
    leads = graph.rows(f"{form_id}/leads", page_token, fields="id,created_time", limit="1")
    if not leads:
        return Finding(
            outcome=Outcome.VERIFIED,
            reason=f"Form {form_id} of page {page_id} may be read; it holds no lead yet.",
        )
    return Finding(
        outcome=Outcome.VERIFIED,
        reason=f"A lead of form {form_id} (page {page_id}) was read; its answers were not asked.",
    )


def _lead_access(
    context: CheckContext, graph: Graph, page_id: str, page_token: Secret
) -> dict[str, Any]:
    user = graph.get("me", context.secrets["user_access_token"], fields="id")
    fields = f"has_lead_access.user_id({user['id']})"
    access = graph.get(page_id, page_token, fields=fields).get("has_lead_access")
    return access if isinstance(access, dict) else {}


def _token_problem(context: CheckContext, data: dict[str, Any]) -> str:
    error = data.get("error") or {}
    if str(data.get("app_id", "")) not in ("", context.text("app_id")):
        return f"The token belongs to app {data['app_id']}, not to {context.text('app_id')}."
    if data.get("is_valid") is not True:
        code = "/".join(str(error[key]) for key in ("code", "subcode") if key in error)
        said = f" ({error.get('message', 'no reason given')}, {code})" if error else ""
        return f"The token is not valid{said}. Sign in anew for a fresh one."
    return ""


def _until(expires_at: Any) -> str:
    if not expires_at:
        return "without an end"
    return f"until {datetime.fromtimestamp(int(expires_at), UTC):%Y-%m-%d %H:%M} UTC"


def _end_warnings(context: CheckContext, data: dict[str, Any]) -> list[str]:
    warnings = []
    for field, what in (("expires_at", "The token"), ("data_access_expires_at", "Data access")):
        end = data.get(field)
        if end and datetime.fromtimestamp(int(end), UTC) - context.now < _ENDS_SOON:
            warnings.append(f"{what} ends soon: {_until(end)}. The person must consent again.")
    return warnings


def _narrowed(data: dict[str, Any]) -> list[str]:
    """Say where a scope holds for some targets only (`granular_scopes`)."""
    return [
        f"{scope.get('scope')} beyond its {len(scope['target_ids'])} chosen target(s)."
        for scope in data.get("granular_scopes") or ()
        if isinstance(scope, dict) and scope.get("target_ids")
    ]
