"""Rebuild the page of all tenants, after a command that changes something."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from runbook_lib.cli.plain_output import say

if TYPE_CHECKING:
    from runbook_lib.operations.tenant_reader import TenantsOverview


def renew_index(
    evidence: str, *, file: Path | None = None, alone: Iterable[tuple[str, str]] = ()
) -> TenantsOverview | None:
    """
    Build the page of all tenants, with those of `file`, or the ones that ran `alone`.

    Say why that failed: it changes no exit code, since the page is no evidence.
    """
    from runbook_lib.core.clock import utc_now
    from runbook_lib.operations.index_builder import build_index

    read, problem = build_index(evidence, utc_now(), file=file, alone=alone)
    if problem:
        say(f"! {problem}", is_error=True)
    return read
