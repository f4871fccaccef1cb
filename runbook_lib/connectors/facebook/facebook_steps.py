"""The shared part of Facebook's connectors: this folder's texts, and its modules' checks."""

from __future__ import annotations

from pathlib import Path

from runbook_lib.connectors.facebook import (
    app,
    consent_without_role,
    permission_test_calls,
    public_pages,
    review,
    user_token,
    verification,
)
from runbook_lib.connectors.texts import read_part

SHARED = read_part(
    Path(__file__).parent,
    app,
    consent_without_role,
    permission_test_calls,
    public_pages,
    review,
    user_token,
    verification,
)
