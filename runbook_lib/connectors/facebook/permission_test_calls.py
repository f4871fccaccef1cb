"""
The test calls that App Review asks for: one successful call with each permission.

"Request advanced access" stays grey until Facebook has logged one, made in the
30 days before the submission (App Review: Submission Guide). Only reads are
made, and each once: no call is made to reach a number.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial

from msgspec import structs

from runbook_lib.connectors.check_registry import check
from runbook_lib.connectors.context import CheckContext
from runbook_lib.connectors.facebook.graph_clients import USER, user_graph, wanted_permissions
from runbook_lib.connectors.facebook.graph_errors import GraphAPIError
from runbook_lib.connectors.facebook.page_listing import pages_of
from runbook_lib.connectors.facebook.permissions import with_dependencies
from runbook_lib.connectors.facebook.tokens import inspect_token
from runbook_lib.connectors.facebook.user_token import ad_accounts
from runbook_lib.connectors.findings import inconclusive, verified
from runbook_lib.core.model import Finding, Outcome, Table
from runbook_lib.core.redaction import Secret
from runbook_lib.remote.json_fields import JSONObject

COUNTED_FOR = timedelta(days=30)
_NOT_LOGGED = (
    "That Facebook has logged these calls: no API shows it; the dashboard does, up to two days "
    "later."
)
_AD_ACCOUNT = "ad account"
_PAGE = "page"


@dataclass(frozen=True, slots=True)
class ReadCall:
    """
    A read call; each permission of `served_by` is enough for it.

    `{…}` in `path` stands for an object of the person's; if that is a page, the call uses its
    token.
    """

    path: str
    served_by: tuple[str, ...]
    fields: str = "id"

    def proves(self, permission: str, carried: Collection[str]) -> bool:
        """Return whether `permission` serves this call, and no other one that the token carries."""
        return permission in self.served_by and not (set(self.served_by) - {permission}) & set(
            carried
        )


# Each call's permissions: Graph reference, "Permissions" of the node or edge; a refusal without it
# was read in November 2026.
_CALLS = (
    ReadCall("me", ("public_profile",)),
    ReadCall("me/businesses", ("business_management",)),
    ReadCall("{ad account}/campaigns", ("ads_read", "ads_management")),
    ReadCall("me/accounts", ("pages_show_list",)),
    ReadCall("{page}", ("pages_read_engagement",), "id,name"),
    ReadCall("{page}/leadgen_forms", ("pages_manage_ads",)),
    ReadCall("{page}/subscribed_apps", ("pages_manage_metadata",)),
    ReadCall("{page}/conversations", ("pages_messaging",)),
    ReadCall("{lead form}/leads", ("leads_retrieval",)),
)


@dataclass(frozen=True, slots=True)
class _CallResult:
    """The result of the call for one permission."""

    permission: str
    """Name of the permission."""

    call: ReadCall | None
    """The call; `None` if there was none to make."""

    problem: str = ""
    """Reason why the call was not made or failed; empty after a success."""

    is_empty: bool = False
    """Whether the call returned an empty list."""

    is_proven: bool = False
    """Whether the response shows that the permission was used."""

    tier: str = ""
    """The access tier that an ad account's usage headers name; empty if they name none."""

    note: str = ""
    """A sentence about the other way in which the call's page was found; else empty."""

    @property
    def text(self) -> str:
        """The result in words."""
        if self.problem:
            return self.problem
        if self.is_empty:
            return "made, but the list is empty; a missing permission can cause that"
        served_by = self.call.served_by if self.call else ()
        others = ", ".join(permission for permission in served_by if permission != self.permission)
        return "made" if self.is_proven else f"made, but {others} allows it too"


@check(
    "test-calls-are-made",
    needs=(*USER, "make_test_calls"),
    side_effect="It makes one call for each permission with this token.",
    allowed_by=("make_test_calls",),
    needs_human_only=True,
)
def each_permission_is_used(context: CheckContext) -> Finding:
    """
    Make one read call for each wanted permission, with the token of a person who has a role.

    A successful call shows that its permission was used only if it read something, and the token
    carries no other permission that serves it. No API shows Facebook's log of the calls. Calls that
    two permissions share are made once.
    """
    wanted = with_dependencies(wanted_permissions(context))
    data, contradiction = inspect_token(context, context.secrets["user_access_token"])
    if contradiction:
        return inconclusive(
            code=contradiction.code, reason=f"No test call was made. {contradiction.reason}"
        )
    results = context.side_by_side(partial(_try_permission, data), wanted)
    return _conclude_calls(context, results)


def _try_permission(inspected: JSONObject, context: CheckContext, permission: str) -> _CallResult:
    """Make the call that `permission` serves."""
    carried = inspected.strings("scopes")
    call = next((call for call in _CALLS if permission in call.served_by), None)
    if permission not in carried:
        return _CallResult(permission, None, "the token does not include it")
    if call is None:
        return _CallResult(
            permission, None, "the runbook knows no read call for it: make one yourself"
        )
    try:
        result = _make_call(context, call, inspected.identifier("user_id"))
    except GraphAPIError as error:
        return _CallResult(permission, call, f"refused: {error}")
    is_proven = not (result.problem or result.is_empty) and call.proves(permission, carried)
    return replace(result, permission=permission, is_proven=is_proven)


def _make_call(context: CheckContext, call: ReadCall, user_id: str) -> _CallResult:
    graph = user_graph(context)
    kind = call.path.partition("{")[2].partition("}")[0]
    target, token, note = _find_object(context, kind)
    if not target:
        return _CallResult("", call, f"there is no {kind} to read", note=note)
    path = call.path.replace(f"{{{kind}}}", target)
    is_empty = False
    if "/" in path:
        rows = graph.rows(path, token, fields=call.fields, limit="1")
        for row in rows:
            row.identifier("id")
        is_empty = not rows
    else:
        node = graph.get(path, token, fields=call.fields)
        node.expect("id", target if kind else user_id)
    return _CallResult("", call, is_empty=is_empty, tier=graph.access_tier, note=note)


def _find_object(context: CheckContext, kind: str) -> tuple[str, Secret, str]:
    """Return the id of the person's first object of this kind, its token, a note on its page."""
    graph = user_graph(context)
    token = context.secrets["user_access_token"]
    if not kind:
        return "me", token, ""
    if kind == _AD_ACCOUNT:
        rows = ad_accounts(graph, token)
        return (rows[0].identifier("id") if rows else ""), token, ""
    pages = pages_of(context)
    page = next(iter(pages.readable()), None)
    if page is None:
        return "", token, pages.note
    page_id = page.identifier("id")
    token = pages.take_token(context, page)
    if kind == _PAGE:
        return page_id, token, pages.note
    rows = graph.rows(f"{page_id}/leadgen_forms", token, fields="id", limit="1")
    return (rows[0].identifier("id") if rows else ""), token, pages.note


def _conclude_calls(context: CheckContext, results: list[_CallResult]) -> Finding:
    end = f"{context.now + COUNTED_FOR:%Y-%m-%d}"
    unproven = [result for result in results if not result.is_proven]
    number = len({result.call for result in results if result.call and not result.problem})
    calls = f"{number} calls made"
    table = Table(
        caption=f"Test calls made on {context.now:%Y-%m-%d}; they count for a submission "
        f"until {end}",
        columns=("Permission", "Call", "Result"),
        rows=tuple(
            (result.permission, f"GET /{result.call.path}" if result.call else "", result.text)
            for result in results
        ),
    )
    finding = verified(
        code="test-calls-made",
        reason=f"{calls}, one with each of {len(results)} permissions; they count until {end}.",
        limits=(_NOT_LOGGED,),
        tables=(table,),
    )
    if unproven:
        names = ", ".join(result.permission for result in unproven)
        finding = structs.replace(
            finding,
            outcome=Outcome.INCONCLUSIVE,
            code="test-calls-not-shown",
            reason=f"{calls}, but none shows that it used {names}. In App Review > Permissions "
            "and Features check whether you can press Request advanced access for each.",
        )
    notes = dict.fromkeys(result.note for result in results if result.note)
    return structs.replace(
        finding,
        reason=" ".join((finding.reason, *notes)),
        limits=(*finding.limits, *_limits_of_tier(results)),
    )


def _limits_of_tier(results: list[_CallResult]) -> list[str]:
    calls = {
        result.call: result.tier
        for result in results
        if result.call and _AD_ACCOUNT in result.call.path and not result.problem
    }
    if not calls:
        return []
    tier = max(calls.values())
    named = f"{tier}, according to the usage headers" if tier else "no usage header names it"
    limit = (
        f"The number of calls that Facebook counted for the Marketing API Access Tier ({named}): "
        f"the runbook made at least {len(calls)} here, and the usage headers show only percentages."
    )
    return [limit]
