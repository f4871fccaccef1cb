"""
App Review: the permissions of the app that Facebook lists as live.

The edge lists approved permissions only, so `live` is positive evidence. A permission that was
never requested, waits or was declined has no row: only a person can say which.
"""

from __future__ import annotations

from collections.abc import Sequence

from runbook_lib.connectors.check_registry import check
from runbook_lib.connectors.context import CheckContext
from runbook_lib.connectors.facebook.graph_clients import (
    APP,
    app_graph,
    app_token,
    require_refusal_of_others,
    wanted_permissions,
)
from runbook_lib.connectors.facebook.permissions import (
    READ,
    compared_permissions,
    statuses,
    with_dependencies,
)
from runbook_lib.connectors.findings import inconclusive, verified
from runbook_lib.core.model import Finding, Table
from runbook_lib.core.outcome import LONGEST_WAIT_DAYS
from runbook_lib.remote.http_messages import unexpected_response
from runbook_lib.remote.quoting import shorten

_LIVE = "live"
_NO_ACCESS_LEVEL = (
    "That a listed permission has Advanced Access, not only Standard Access: no API shows the "
    "access level."
)
_NO_REASON = (
    "Whether a permission that is not listed was never requested, is waiting or was declined: "
    "Facebook lists only approved ones; App Review > Requests shows the rest."
)
_NO_TIER = (
    "Which Marketing API Access Tier the app has: the list of its permissions does not show it."
)


def scope_warnings(context: CheckContext, scope: Sequence[str]) -> tuple[str, ...]:
    """Return warnings about the permissions that Cyclr asks users for."""
    permissions = wanted_permissions(context)
    # NOTE: public_profile is granted whether it is asked for or not (Facebook Login: Permissions).
    lacking = [name for name in permissions[1:] if name not in scope]
    more = [name for name in scope if name not in with_dependencies(permissions)]
    warnings = []
    if lacking:
        warnings.append(
            f"Cyclr does not ask users for {', '.join(lacking)}; check the connector's scopes."
        )
    if more:
        warnings.append(
            f"Cyclr also asks users for {shorten(', '.join(more))}: give the app that too (Use "
            "cases > Customize), or the sign-in may answer Invalid Scopes."
        )
    return tuple(warnings)


@check("public-profile-is-live", needs=APP, needs_human_only=True)
def public_profile_is_live(context: CheckContext) -> Finding:
    """
    Look for `public_profile` among the app's permissions.

    It needs no review, but Facebook lists it only after the review of some permission.
    """
    missing, tables = _not_live(context, ("public_profile",))
    if missing:
        return inconclusive(
            code="permission-not-live",
            reason=f"{missing} It is listed only after a first review, so its absence proves "
            "nothing: check its Advanced Access under App Review > Permissions and Features.",
            limits=(_NO_ACCESS_LEVEL,),
            tables=tables,
        )
    return verified(
        code="permissions-live",
        reason="Facebook lists public_profile as live.",
        limits=(_NO_ACCESS_LEVEL,),
        tables=tables,
    )


@check("permissions-are-requested", needs=APP, needs_human_only=True)
def permissions_are_requested(context: CheckContext) -> Finding | None:
    """
    Look for each wanted permission, and its dependencies, among the live ones.

    The API does not show a request itself; only its approval proves it. Returns `None` if only
    `public_profile` is wanted.
    """
    wanted = with_dependencies(wanted_permissions(context))[1:]
    if not wanted:
        return None
    missing, tables = _not_live(context, wanted)
    if missing:
        return inconclusive(
            code="permission-not-live",
            reason=f"{missing} Facebook lists a permission only once it is approved: check under "
            "App Review > Permissions and Features that you requested Advanced Access for each.",
            limits=(_NO_ACCESS_LEVEL, _NO_TIER),
            tables=tables,
        )
    return verified(
        code="permissions-live",
        reason=f"Facebook lists {', '.join(wanted)} as live.",
        limits=(_NO_ACCESS_LEVEL, _NO_TIER),
        tables=tables,
    )


@check("review-is-approved", needs=APP, needs_human_only=True)
def review_is_approved(context: CheckContext) -> Finding:
    """Look for every wanted permission among the live ones; the API tells nothing about others."""
    wanted = with_dependencies(wanted_permissions(context))
    missing, tables = _not_live(context, wanted)
    if missing:
        return inconclusive(
            code="permission-not-live",
            reason=f"{missing} App Review > Requests shows whether each missing one is waiting or "
            f"was declined: say here what it shows. A review takes 1 to {LONGEST_WAIT_DAYS} days; "
            "after that it is overdue.",
            limits=(_NO_REASON,),
            tables=tables,
        )
    return verified(
        code="permissions-live",
        reason=f"All {len(wanted)} permissions are live.",
        limits=(_NO_ACCESS_LEVEL,),
        tables=tables,
    )


def _not_live(context: CheckContext, wanted: tuple[str, ...]) -> tuple[str, tuple[Table, ...]]:
    """Return a sentence about permissions that are not live, if any, and a table of all."""
    edge = f"{context.text('app_id')}/permissions"
    paged = app_graph(context).list_all(edge, app_token(context), reads=READ)
    require_refusal_of_others(context, "/permissions")
    source = f"Facebook (/{edge})"
    listed = statuses(paged.rows, source)
    absent = [name for name in wanted if name not in listed]
    if absent and paged.gap:
        raise unexpected_response(source, f"its list {paged.gap}")
    live = [name for name in wanted if listed.get(name) == _LIVE]
    notes = [
        f"Facebook lists {name} as {listed[name]}, not as live."
        for name in wanted
        if listed.get(name, _LIVE) != _LIVE
    ]
    if absent:
        notes.append(f"Facebook does not list {', '.join(absent)}.")
    if notes and live:
        notes.append(f"Live: {', '.join(live)}.")
    return " ".join(notes), compared_permissions(wanted, _LIVE, listed)
