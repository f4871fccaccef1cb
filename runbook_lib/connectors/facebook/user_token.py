"""
A user's token: its validity, grants, and readable data.

Every call is signed with `appsecret_proof`. Only a lead's id, its time and its form's id are read:
a customer's texts do not belong in evidence.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from msgspec import structs

from runbook_lib.connectors.check_registry import check
from runbook_lib.connectors.context import CheckContext
from runbook_lib.connectors.facebook.graph import (
    MARKETING_CALENDAR,
    Graph,
    version_warnings,
)
from runbook_lib.connectors.facebook.graph_clients import USER, user_graph, wanted_permissions
from runbook_lib.connectors.facebook.page_listing import PageListing, pages_of
from runbook_lib.connectors.facebook.permissions import (
    ASK_AGAIN,
    GRANTED,
    REISSUE,
    compared_permissions,
    granted_to,
)
from runbook_lib.connectors.facebook.tokens import (
    carried_permissions,
    describe_validity,
    end_of,
    inspect_token,
    listed_scopes,
)
from runbook_lib.connectors.findings import failed, inconclusive, verified
from runbook_lib.connectors.proof import STATED, weigh_absence
from runbook_lib.core.model import Finding, Table, Value
from runbook_lib.core.redaction import Secret
from runbook_lib.remote.http_messages import unexpected_response
from runbook_lib.remote.json_fields import JSONObject
from runbook_lib.remote.quoting import shorten
from runbook_lib.text import pluralize

_ENDS_SOON = timedelta(days=14)
_LEADS = "leads_retrieval"
_MOST_ROWS = 25
_LONGEST_CELL = 200

# The fields that are requested of each node, each with its heading; tables show no others.
_AD_ACCOUNT = {
    "id": "ID",
    "name": "Name",
    "account_status": "Status",
    "currency": "Currency",
    "timezone_name": "Time zone",
}
_PAGE = {"id": "ID", "name": "Name", "category": "Category", "tasks": "Tasks"}
_LEAD_FORM = {"id": "ID", "name": "Name", "status": "Status", "locale": "Language"}
# The task on a page without which Facebook gives no leads (Page: tasks; Leads Retrieval).
_ADVERTISE = "ADVERTISE"
_TERMS = "https://www.facebook.com/ads/leadgen/tos"
_OF_THE_PERSON = (
    "That leads can be read with another person's token: lead access belongs to this token's "
    "person, not to the app."
)
_LEAD_ACCESS = (
    "page_id",
    "user_id",
    "can_access_lead",
    "app_has_leads_permission",
    "failure_reason",
    "failure_resolution",
)
# The reader of leads by each flag of Graph's `has_lead_access`.
_LEAD_FLAGS = {"can_access_lead": "person", "app_has_leads_permission": "app"}
# Marketing API: Ad Account, account_status.
_ACTIVE = "1"
# The usage headers' name of the access tier before the full one is granted.
_LIMITED = "development_access"
_LIMITED_TIER = (
    "The app has the limited access tier (development_access): Facebook answers few calls an hour "
    "for each ad account. Request the full tier, Marketing API Access Tier, in App Review."
)
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


@check("user-token-is-valid", needs=USER)
def user_token_is_valid(context: CheckContext) -> Finding:
    """
    Have Facebook inspect the token: its app, kind, person, validity, scopes and end.

    (Graph: debug_token.) The grants are read a second time from `/me/permissions`, which also lists
    the declined ones.
    """
    token = context.secrets["user_access_token"]
    data, contradiction = inspect_token(context, token)
    if contradiction:
        return contradiction
    end = end_of(context, data)
    wanted = carried_permissions(context, data)
    scopes = listed_scopes(data)
    grants, granted = granted_to(user_graph(context), token)
    in_token = {
        name: status for name, status in grants.items() if scopes.lists(name) or status != GRANTED
    }
    tables = compared_permissions(wanted, GRANTED, in_token)
    absence = weigh_absence(wanted, scopes, granted, advice=REISSUE)
    if absence.names:
        declined = [name for name, status in grants.items() if status == "declined"]
        return failed(
            absence.proof,
            code="token-lacks-permission",
            reason=f"The token lacks {', '.join(absence.names)}"
            + (f" (declined: {', '.join(declined)}). {ASK_AGAIN}" if declined else ".")
            + " Sign in again and grant everything; before App Review has approved a permission, "
            "only people with a role on the app can grant it.",
            tables=tables,
        )
    warnings: list[str] = []
    facts: dict[str, Value] = {}
    for field, name, title in (
        ("expires_at", "token_ends_on", "The token"),
        ("data_access_expires_at", "data_access_ends_on", "Data access"),
    ):
        ends_on = data.moment(field, 0)
        if ends_on is not None:
            facts[name] = ends_on.date().isoformat()
        if ends_on is not None and ends_on - context.now < _ENDS_SOON:
            warnings.append(
                f"{title} ends soon: {describe_validity(ends_on)}. The person must consent again."
            )
    return verified(
        code="token-valid",
        reason=f"The token is this app's, valid {describe_validity(end)}, and grants "
        f"{', '.join(wanted)}.",
        facts=facts,
        warnings=tuple(warnings),
        tables=tables,
        limits=tuple(
            f"That {scope.keyword('scope')} applies to more than its "
            f"{pluralize(len(targets), 'chosen target')}."
            for scope in data.objects_at("granular_scopes", ())
            if (targets := scope.strings_or_none("target_ids"))
        ),
    )


@check("marketing-data-is-readable", needs=USER)
def marketing_data_is_readable(context: CheckContext) -> Finding:
    """
    Read the person's ad accounts and pages, without the pages' tokens.

    Warns if the version of the marketing calls nears its end or was replaced. Warns if the app has
    the limited access tier, by the usage headers of one call of an active account.
    """
    graph = user_graph(context)
    token = context.secrets["user_access_token"]
    accounts = ad_accounts(graph, token)
    warnings = version_warnings(graph, context.now.date(), MARKETING_CALENDAR)
    served = graph.served_version or graph.version
    is_pinned = served == graph.version
    facts = {"marketing_api_version": "as set" if is_pinned else f"{served}, not {graph.version}"}
    for account in accounts:
        if not account.identifier("id").startswith("act_"):
            raise unexpected_response(
                "Facebook (/me/adaccounts)", "a row is not an ad account: its id lacks act_"
            )
    pages = PageListing(_read_rows(graph, "me/accounts", token, _PAGE))
    if not pages.rows:
        pages = pages_of(context)
    if not accounts:
        return inconclusive(
            code="no-ad-account",
            reason="Facebook answers, but lists no ad account of this person "
            f"({pluralize(len(pages.rows), 'page')}), so nothing shows that the token reads "
            "marketing data. Sign in as a person who has access to an ad account and choose it "
            "there.",
            warnings=warnings,
        )
    # NOTE: a call that fails counts against the tier: only an active account is asked.
    active = (
        account for account in accounts if _cell_text(account.get("account_status")) == _ACTIVE
    )
    if readable := next(active, None):
        graph.get(readable.identifier("id"), token, fields="id")
        facts["access_tier"] = graph.access_tier or "not named"
        if graph.access_tier == _LIMITED:
            warnings = (*warnings, _LIMITED_TIER)
    rows = []
    for account in accounts:
        status = _cell_text(account.get("account_status"))
        rows.append({**account, "account_status": _ACCOUNT_STATUS.get(status, status)})
    tables = (
        _table_of_rows("Ad accounts", _AD_ACCOUNT, rows),
        _table_of_rows("Pages", _PAGE, pages.rows),
    )
    return verified(
        code="marketing-data-read",
        reason=pages.noted(
            f"The token reads {pluralize(len(accounts), 'ad account')} and "
            f"{pluralize(len(pages.rows), 'page')}."
        ),
        warnings=warnings,
        limits=()
        if pages.rows
        else ("That the token reads a page: Facebook lists no page of this person.",),
        facts=facts,
        tables=tuple(table for table in tables if table.rows),
    )


def ad_accounts(graph: Graph, token: Secret) -> list[JSONObject]:
    """Return the person's ad accounts; all checks of a snapshot share one request."""
    return _read_rows(graph, "me/adaccounts", token, _AD_ACCOUNT)


@check("lead-data-is-readable", needs=USER)
def lead_data_is_readable(context: CheckContext) -> Finding | None:
    """
    Read a page's lead forms, one lead, and Lead Access Manager's view of this person.

    Takes the page and the form with the lowest id. Returns `None` if `leads_retrieval` is not among
    the permissions. A page's token is not kept.
    """
    if _LEADS not in wanted_permissions(context):
        return None
    graph = user_graph(context)
    pages = pages_of(context)
    rows = pages.rows[:_MOST_ROWS]
    for page in sorted(rows, key=_id_of_row):
        # NOTE: Facebook leaves a page's token out if the person has no task there.
        if "access_token" not in page:
            continue
        page_token = pages.take_token(context, page)
        page_id = page.identifier("id")
        forms = _read_rows(graph, f"{page_id}/leadgen_forms", page_token, _LEAD_FORM)
        if forms:
            finding = _read_lead(context, page_id, page_token, min(forms, key=_id_of_row))
            caption = f"Lead forms of {page.display_text('name') or 'page'} ({page_id})"
            return structs.replace(
                finding,
                reason=pages.noted(finding.reason),
                warnings=_lead_warnings([page]),
                limits=(*finding.limits, _OF_THE_PERSON),
                tables=(_table_of_rows(caption, _LEAD_FORM, forms),),
            )
    reason = f"None of {pluralize(len(rows), 'page')} has a lead form, so no lead could be read."
    return inconclusive(
        code="no-lead-form", reason=pages.noted(reason), warnings=_lead_warnings(rows)
    )


def _lead_warnings(pages: Sequence[JSONObject]) -> tuple[str, ...]:
    return (*_without_terms(pages), *_without_advertiser(pages))


def _without_advertiser(pages: Sequence[JSONObject]) -> tuple[str, ...]:
    """Warn if this person has the task ADVERTISE on no page; Facebook may leave tasks out."""
    tasks = [page.strings_or_none("tasks") for page in pages]
    if not tasks or any(task is None or _ADVERTISE in task for task in tasks):
        return ()
    warning = (
        "Facebook gives leads only to a person with the task ADVERTISE on the page. This person "
        "has it on none of the pages read: ask for it in the page's access settings."
    )
    return (warning,)


def _without_terms(pages: Sequence[JSONObject]) -> tuple[str, ...]:
    """Warn of the pages whose lead ads cannot run; Facebook may leave that field out."""
    # NOTE: a form can be made before (third-party readings, 2026).
    refused = [_id_of_row(page) for page in pages if page.get("leadgen_tos_accepted") is False]
    warning = (
        "Nobody has accepted Facebook's Lead Generation Terms for page "
        f"{shorten(', '.join(refused))}, so its lead ads cannot run and bring no leads. A person "
        f"with full control of the page must accept them at {_TERMS}."
    )
    return (warning,) if refused else ()


def _id_of_row(row: JSONObject) -> str:
    return row.identifier("id")


def _read_rows(
    graph: Graph, edge: str, token: Secret, columns: Mapping[str, str]
) -> list[JSONObject]:
    rows = graph.rows(edge, token, fields=",".join(columns), limit=str(_MOST_ROWS))
    for row in rows:
        row.identifier("id")
    return rows


def _table_of_rows(
    caption: str, columns: Mapping[str, str], rows: Sequence[Mapping[str, Any]]
) -> Table:
    if len(rows) >= _MOST_ROWS:
        caption += f" (the first {_MOST_ROWS})"
    return Table(
        caption=caption,
        columns=tuple(columns.values()),
        rows=tuple(tuple(_cell_text(row.get(name)) for name in columns) for row in rows),
    )


def _cell_text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_cell_text(item) for item in value)[:_LONGEST_CELL]
    return str(value)[:_LONGEST_CELL] if isinstance(value, str | int | float) else ""


def _read_lead(
    context: CheckContext, page_id: str, page_token: Secret, form: JSONObject
) -> Finding:
    graph = user_graph(context)
    form_id = form.identifier("id")
    person, contradiction = inspect_token(context, context.secrets["user_access_token"])
    if contradiction:
        return inconclusive(code=contradiction.code, reason=contradiction.reason)
    access = _lead_access(context, page_id, page_token, person.identifier("user_id"))
    for name, gap in _lead_gaps(access):
        return inconclusive(
            code="lead-access-not-shown",
            reason=f"Facebook's field {name} of page {page_id} {gap}, so nothing shows whether "
            "this person and this app may read its leads. Check the page in Leads Access Manager.",
        )
    if denial := _lead_denial(access.object_at("has_lead_access"), page_id):
        return failed(STATED, code="lead-access-denied", reason=denial)
    fields = "id,created_time,form_id"
    leads = graph.rows(f"{form_id}/leads", page_token, fields=fields, limit="1")
    if not leads:
        return inconclusive(
            code="no-lead",
            reason=f"Lead Access Manager lets this person and this app read the leads of page "
            f"{page_id}, but Facebook gives none of form {form_id}. It has no leads, or all are "
            "older than 90 days and gone. Create a test lead with the Lead Ads Testing "
            "Tool, then check again.",
        )
    leads[0].identifier("id")
    leads[0].expect("form_id", form_id)
    return verified(
        code="lead-read",
        reason=f"A lead of form {form_id} (page {page_id}) was read, without its answers.",
    )


def _lead_access(
    context: CheckContext, page_id: str, page_token: Secret, user_id: str
) -> JSONObject:
    """Return the page's node with Lead Access Manager's view of the person (Graph: Page)."""
    fields = f"has_lead_access.user_id({user_id})"
    page = user_graph(context).get(page_id, page_token, reads=_LEAD_ACCESS, fields=fields)
    if not page.describe_absence("has_lead_access"):
        access = page.object_at("has_lead_access")
        access.expect("page_id", page_id)
        access.expect("user_id", user_id)
    return page


def _lead_gaps(page: JSONObject) -> Iterator[tuple[str, str]]:
    """Yield each field that Facebook left out or gave as null, with a phrase about its absence."""
    if gap := page.describe_absence("has_lead_access"):
        yield "has_lead_access", gap
        return
    access = page.object_at("has_lead_access")
    for name in _LEAD_FLAGS:
        if gap := access.describe_absence(name):
            yield f"has_lead_access.{name}", gap


def _lead_denial(access: JSONObject, page_id: str) -> str:
    """Return a sentence that Lead Access Manager denies the page's leads; empty if it does not."""
    denied = [reader for field, reader in _LEAD_FLAGS.items() if not access.boolean(field)]
    if not denied:
        return ""
    return (
        f"Lead Access Manager of page {page_id} denies this {denied[0]} leads: "
        f"{access.display_text('failure_reason') or 'no reason given'} "
        f"{access.display_text('failure_resolution')}"
    ).strip()
