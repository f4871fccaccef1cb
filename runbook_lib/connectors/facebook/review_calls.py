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
from runbook_lib.connectors.facebook.access import USER, user_graph, wanted_permissions
from runbook_lib.connectors.facebook.connection import ad_accounts
from runbook_lib.connectors.facebook.graph_errors import GraphAPIError
from runbook_lib.connectors.facebook.page_listing import pages_of
from runbook_lib.connectors.facebook.permissions import with_dependencies
from runbook_lib.connectors.facebook.tokens import inspect_token
from runbook_lib.connectors.findings import inconclusive, verified
from runbook_lib.core.model import Finding, Outcome, Table
from runbook_lib.core.redaction import Secret
from runbook_lib.remote.json_fields import JSONObject

COUNTED_FOR = timedelta(days=30)
_NOT_LOGGED = (
    "That Facebook has logged these calls: no API shows it; the dashboard does, up to two days "
    "later."
)
_AD_ACCOUNT, _PAGE, _FORM = "ad account", "page", "lead form"


@dataclass(frozen=True, slots=True)
class ReadCall:
    """
    A read call; any one of `served_by` is enough for it.

    `{…}` in `path` is an object of the person's; the call is made with that
    page's token where it names a page.
    """

    path: str
    served_by: tuple[str, ...]
    fields: str = "id"

    def proves(self, permission: str, carried: Collection[str]) -> bool:
        """Return whether, of what the token carries, `permission` alone serves this call."""
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
class _Made:
    """
    What became of the call for one permission; `problem` is empty after a success.

    `tier` is the access tier that the usage headers of an ad account name, `note` says in which
    other way the page of the call was found.
    """

    permission: str
    call: ReadCall | None
    problem: str = ""
    is_empty: bool = False
    is_proven: bool = False
    tier: str = ""
    note: str = ""

    @property
    def text(self) -> str:
        """Return the result in words."""
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

    A successful call shows that its permission was used only where it read
    something, and the token carries no other one that serves it. What Facebook
    logs of it no API shows. Calls that two permissions share are made once.
    """
    wanted = with_dependencies(wanted_permissions(context))
    data, contradiction = inspect_token(context, context.secrets["user_access_token"])
    if contradiction:
        return inconclusive(
            code=contradiction.code, reason=f"No test call was made. {contradiction.reason}"
        )
    made = context.side_by_side(partial(_try, data), wanted)
    return _judge(context, made)


def _try(inspected: JSONObject, context: CheckContext, permission: str) -> _Made:
    """Make the call that `permission` serves."""
    carried = inspected.strings("scopes")
    call = next((call for call in _CALLS if permission in call.served_by), None)
    if permission not in carried:
        return _Made(permission, None, "the token does not include it")
    if call is None:
        return _Made(permission, None, "the runbook knows no read call for it: make one yourself")
    try:
        made = _make(context, call, inspected.identifier("user_id"))
    except GraphAPIError as error:
        return _Made(permission, call, f"refused: {error}")
    is_proven = not (made.problem or made.is_empty) and call.proves(permission, carried)
    return replace(made, permission=permission, is_proven=is_proven)


def _make(context: CheckContext, call: ReadCall, user_id: str) -> _Made:
    graph, kind = user_graph(context), call.path.partition("{")[2].partition("}")[0]
    target, token, note = _find(context, kind)
    if not target:
        return _Made("", call, f"there is no {kind} to read", note=note)
    path, is_empty = call.path.replace(f"{{{kind}}}", target), False
    if "/" in path:
        rows = graph.rows(path, token, fields=call.fields, limit="1")
        for row in rows:
            row.identifier("id")
        is_empty = not rows
    else:
        node = graph.get(path, token, fields=call.fields)
        node.expect("id", target if kind else user_id)
    return _Made("", call, is_empty=is_empty, tier=graph.access_tier, note=note)


def _find(context: CheckContext, kind: str) -> tuple[str, Secret, str]:
    """Return the id of the person's first object of this kind, its token, a note on its page."""
    graph, token = user_graph(context), context.secrets["user_access_token"]
    if not kind:
        return "me", token, ""
    if kind == _AD_ACCOUNT:
        rows = ad_accounts(graph, token)
        return (rows[0].identifier("id") if rows else ""), token, ""
    pages = pages_of(context)
    page = next(iter(pages.readable()), None)
    if page is None:
        return "", token, pages.note
    page_id, token = page.identifier("id"), pages.take_token(context, page)
    if kind == _PAGE:
        return page_id, token, pages.note
    rows = graph.rows(f"{page_id}/leadgen_forms", token, fields="id", limit="1")
    return (rows[0].identifier("id") if rows else ""), token, pages.note


def _judge(context: CheckContext, made: list[_Made]) -> Finding:
    end = f"{context.now + COUNTED_FOR:%Y-%m-%d}"
    open_ones = [result for result in made if not result.is_proven]
    number = len({result.call for result in made if result.call and not result.problem})
    calls = f"{number} calls made"
    table = Table(
        caption=f"Test calls made on {context.now:%Y-%m-%d}; they count for a submission "
        f"until {end}",
        columns=("Permission", "Call", "Result"),
        rows=tuple(
            (result.permission, f"GET /{result.call.path}" if result.call else "", result.text)
            for result in made
        ),
    )
    finding = verified(
        code="test-calls-made",
        reason=f"{calls}, one with each of {len(made)} permissions; they count until {end}.",
        limits=(_NOT_LOGGED,),
        tables=(table,),
    )
    if open_ones:
        names = ", ".join(result.permission for result in open_ones)
        finding = structs.replace(
            finding,
            outcome=Outcome.INCONCLUSIVE,
            code="test-calls-not-shown",
            reason=f"{calls}, but none shows that it used {names}. In App Review > Permissions "
            "and Features check whether you can press Request advanced access for each.",
        )
    notes = dict.fromkeys(result.note for result in made if result.note)
    return structs.replace(
        finding,
        reason=" ".join((finding.reason, *notes)),
        limits=(*finding.limits, *_tier(made)),
    )


def _tier(made: list[_Made]) -> list[str]:
    calls = {
        result.call: result.tier
        for result in made
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
