"""
App Review: which permissions Facebook lists for the app, and which are live.

`live` is positive evidence; absence proves nothing, and no field tells a
pending review from a declined one (Graph: Application Permission).
"""

from __future__ import annotations

from collections.abc import Mapping

from runbook_lib.checks.context import CheckContext
from runbook_lib.procedure import Finding, Outcome

__all__ = [
    "PERMISSION_DEPENDENCIES",
    "permissions_are_requested",
    "public_profile_is_live",
    "review_is_approved",
    "with_dependencies",
]

# Graph permission reference: the dashboard offers the permission only with these beside it.
PERMISSION_DEPENDENCIES: Mapping[str, tuple[str, ...]] = {
    "leads_retrieval": (
        "ads_management",
        "ads_read",
        "business_management",
        "pages_manage_ads",
        "pages_read_engagement",
        "pages_show_list",
    ),
}

_LIVE = "live"
_NO_ACCESS_LEVEL = "Standard or Advanced Access: Facebook shows the access level to no API."
_NO_REASON = (
    "Whether a review is pending or was declined: no API tells them apart; "
    "App Review > Requests does."
)


def with_dependencies(permissions: tuple[str, ...]) -> tuple[str, ...]:
    """Return the permissions, each followed by what it depends on, each once."""
    wanted = [
        name
        for permission in permissions
        for name in (permission, *PERMISSION_DEPENDENCIES.get(permission, ()))
    ]
    return tuple(dict.fromkeys(wanted))


def public_profile_is_live(context: CheckContext) -> Finding:
    """Look for `public_profile` among the app's permissions; it needs no review."""
    status = _statuses(context).get("public_profile")
    if status == _LIVE:
        return Finding(
            outcome=Outcome.VERIFIED,
            reason="Facebook lists public_profile as live.",
            limits=(_NO_ACCESS_LEVEL,),
        )
    if status is None:
        return Finding(
            outcome=Outcome.INCONCLUSIVE,
            reason="Facebook does not list public_profile, which it grants without review; its "
            "absence proves nothing. See the dashboard for Advanced Access.",
        )
    return Finding(
        outcome=Outcome.NOT_RUN,
        reason=f"Facebook lists public_profile as {status}: Get Advanced Access for it.",
    )


def permissions_are_requested(context: CheckContext) -> Finding:
    """Look for each wanted permission, and all that it depends on, among the app's permissions."""
    wanted = with_dependencies(context.names("permissions"))[1:]
    statuses = _statuses(context)
    absent = [name for name in wanted if name not in statuses]
    if absent:
        return Finding(
            outcome=Outcome.INCONCLUSIVE,
            reason=f"Facebook does not list {', '.join(absent)}. Absence proves nothing, but see "
            "that Advanced Access is requested for each.",
            limits=(_NO_ACCESS_LEVEL,),
        )
    return Finding(
        outcome=Outcome.VERIFIED,
        reason=f"Facebook lists {', '.join(wanted) or 'all that is wanted'} for this app.",
        limits=(_NO_ACCESS_LEVEL, "Marketing API Access Tier: another axis, shown to no API."),
    )


def review_is_approved(context: CheckContext) -> Finding:
    """
    Tell whether every wanted permission is live.

    What is listed but not live waits for Facebook; what is not listed
    cannot be told.
    """
    wanted = with_dependencies(context.names("permissions"))
    statuses = _statuses(context)
    pending = [name for name in wanted if statuses.get(name, _LIVE) != _LIVE]
    absent = [name for name in wanted if name not in statuses]
    if pending:
        return Finding(
            outcome=Outcome.WAITING,
            reason=f"{', '.join(pending)} not live yet.",
            limits=(_NO_REASON,),
        )
    if absent:
        return Finding(
            outcome=Outcome.INCONCLUSIVE,
            reason=f"Facebook does not list {', '.join(absent)}, so their review cannot be seen.",
            limits=(_NO_REASON,),
        )
    return Finding(
        outcome=Outcome.VERIFIED,
        reason=f"All {len(wanted)} permissions are live.",
        limits=(_NO_ACCESS_LEVEL,),
    )


def _statuses(context: CheckContext) -> dict[str, str]:
    rows = context.app_graph().rows(f"{context.text('app_id')}/permissions", context.app_token())
    return {str(row.get("permission")): str(row.get("status")) for row in rows}
