"""
The safety tests of checks, over a table of the smallest responses with which each one verifies.
"""

from __future__ import annotations

from tests.support.connector_safety.connector_case import (
    ConnectorCase,
    Control,
    by_status,
    named_refusals,
)
from tests.support.connector_safety.connector_safety import ConnectorSafety
from tests.support.connector_safety.cyclr_case import with_cyclr
from tests.support.connector_safety.scripted_exchanges import (
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
