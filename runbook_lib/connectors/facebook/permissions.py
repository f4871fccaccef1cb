"""
Permissions: what each depends on, and their status, as Graph lists it of an app and of a person.

What a status means for a step is decided in `review` and `connection`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from runbook_lib.remote.documents import Document, unexpected

# What is read of each row of an edge that lists permissions.
READ = ("permission", "status")
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


def with_dependencies(permissions: tuple[str, ...]) -> tuple[str, ...]:
    """Return the permissions, each followed by what it depends on, each once."""
    wanted = [
        name
        for permission in permissions
        for name in (permission, *PERMISSION_DEPENDENCIES.get(permission, ()))
    ]
    return tuple(dict.fromkeys(wanted))


def statuses(rows: Iterable[Document], source: str) -> dict[str, str]:
    """
    Return the status of each permission, sorted by its name.

    Raises `UnexpectedAnswerError` for a row without one of both, and for a
    permission that is listed with two statuses.
    """
    status_of: dict[str, str] = {}
    for row in rows:
        permission, status = row.identifier("permission"), row.identifier("status")
        if status_of.setdefault(permission, status) != status:
            both = " and ".join(sorted({status_of[permission], status}))
            raise unexpected(source, f"{permission} is listed as {both}")
    return dict(sorted(status_of.items()))
