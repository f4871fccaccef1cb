"""
Rows of permission and status, as Graph lists them of an app and of a person.

What a status means for a step is decided in `review`, `connection` and `connector`.
"""

from __future__ import annotations

from collections.abc import Iterable

from runbook_lib.remote.documents import Document, unexpected


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
