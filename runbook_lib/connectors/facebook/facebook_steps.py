"""What connectors of Facebook share: the texts in this folder, and the checks of its modules."""

from __future__ import annotations

from pathlib import Path

from runbook_lib.connectors.facebook import (
    app,
    connection,
    consent_without_role,
    public_pages,
    review,
    review_calls,
    verification,
)
from runbook_lib.connectors.texts import read_part

SHARED = read_part(
    Path(__file__).parent,
    *(app, connection, consent_without_role, public_pages, review, review_calls, verification),
)
