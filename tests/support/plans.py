"""The plan of a made-up procedure."""

from __future__ import annotations

from typing import Any

from runbook_lib.core.procedure import (
    Plan,
)


def make_plan(**more: Any) -> Plan:
    known: dict[str, Any] = {"have_ready": (), "gates": (), "meanwhile": (), "afterwards": ()}
    return Plan(**{**known, "duration": "6 weeks", "price": "", "source": "read", **more})
