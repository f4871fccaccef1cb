"""The tenants that a fleet's run selects, as each tenant's record names them. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from runbook_lib.core.json_text import write_json


def selection_digest(names: Iterable[tuple[str, str]]) -> str:
    """Return the SHA-256 of the sorted list of tenants, each with its connector."""
    return hashlib.sha256(write_json(sorted(set(names))).encode()).hexdigest()
