"""
The check of the Marketing connector alone: its own method, run through Cyclr.

All its other checks are shared with Facebook's other connectors.
"""

from __future__ import annotations

from typing import Any

from runbook_lib.connectors.check_registry import check
from runbook_lib.connectors.context import CheckContext
from runbook_lib.connectors.cyclr.connector import ACCOUNT, installed_connector, not_installed
from runbook_lib.connectors.facebook.graph import next_cursor
from runbook_lib.connectors.facebook.graph_clients import wanted_permissions
from runbook_lib.connectors.facebook.permissions import (
    ASK_AGAIN,
    GRANTED,
    compared_permissions,
    listing_of,
    statuses,
)
from runbook_lib.connectors.findings import failed, inconclusive, verified
from runbook_lib.connectors.proof import weigh_absence
from runbook_lib.core.model import Finding
from runbook_lib.errors import CyclrAPIError
from runbook_lib.remote.json_fields import JSONObject, json_objects

_LIST_PERMISSIONS = "List My Permissions"
_FORBIDDEN = 403
_NO_OWNER_NAMED = (
    "For which app and which person Facebook grants the permissions: the method's response names "
    "neither."
)


@check("permissions-are-seen-through-cyclr", needs=ACCOUNT)
def permissions_are_seen_through_cyclr(context: CheckContext) -> Finding:
    """
    Run the connector's own method and compare the granted permissions with the wanted ones.

    Cyclr refuses methods from addresses that it does not know; that is inconclusive.
    """
    cyclr = context.cyclr()
    connector = installed_connector(context, cyclr)
    if connector is None:
        return not_installed(cyclr, "The connector is not installed yet.")
    methods = cyclr.methods(connector.object_at("Connector").number("Id"))
    method = next(
        (candidate for candidate in methods if candidate.text("Name") == _LIST_PERMISSIONS), None
    )
    if method is None:
        return inconclusive(
            code="method-not-offered",
            reason=f"The connector has no method called {_LIST_PERMISSIONS!r} here.",
        )
    try:
        unique_id = method.identifier("MethodUniqueIdentifier")
        answer = cyclr.run_method(connector.number("Id"), unique_id)
    except CyclrAPIError as error:
        if error.status != _FORBIDDEN:
            raise
        return inconclusive(
            code="address-not-allowed",
            reason="The runbook cannot test this from here: Cyclr does not know this address "
            f"({error}). Ask Cyclr to allow it, or run from an address that it knows.",
        )
    return _compare_grants(context, answer)


def _compare_grants(context: CheckContext, answer: Any) -> Finding:
    content = answer
    gap = "does not say whether there is another page"
    if isinstance(answer, dict):
        page = JSONObject(answer, _LIST_PERMISSIONS)
        content = page.get("data")
        # NOTE: Cyclr's method takes no cursor.
        gap = "" if next_cursor(page) is None else "names a next page"
    grants = statuses(json_objects(content, _LIST_PERMISSIONS, "data"), _LIST_PERMISSIONS)
    wanted = wanted_permissions(context)
    tables = compared_permissions(wanted, GRANTED, grants)
    absence = weigh_absence(wanted, listing_of(grants, _LIST_PERMISSIONS, gap=gap))
    if absence.names:
        return failed(
            absence.proof,
            code="connection-lacks-permission",
            reason=f"The connection lacks {', '.join(absence.names)}: the person who signed in did "
            f"not grant it, or Cyclr did not ask. {ASK_AGAIN}",
            tables=tables,
        )
    return verified(
        code="permissions-seen-through-cyclr",
        reason=f"Through Cyclr, Facebook grants {', '.join(wanted)}.",
        limits=(_NO_OWNER_NAMED,),
        tables=tables,
    )
