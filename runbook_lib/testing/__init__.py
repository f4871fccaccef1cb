"""
Safety tests for the checks of any connector, for its author's own test suite.

Make a `ConnectorCase` of the smallest responses with which each check verifies, and subclass
`ConnectorSafety`; pytest finds its tests. Nothing here imports pytest, and no other layer imports
this one. CONTRIBUTING.md has an example.
"""

from __future__ import annotations

from runbook_lib.testing.connector_case import ConnectorCase, Control, by_status, named_refusals
from runbook_lib.testing.connector_safety import ConnectorSafety
from runbook_lib.testing.cyclr_case import with_cyclr
from runbook_lib.testing.scripted_exchanges import (
    MinimalExchanges,
    ScriptedExchange,
    asking,
    made_up,
)

__all__ = [
    "ConnectorCase",
    "ConnectorSafety",
    "Control",
    "MinimalExchanges",
    "ScriptedExchange",
    "asking",
    "by_status",
    "made_up",
    "named_refusals",
    "with_cyclr",
]
