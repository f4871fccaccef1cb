"""
Graph's usage headers: how long they ask a client to wait.

Obeying is `transport`'s business.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runbook_lib.remote.documents import parse_json

__all__ = ["usage_pause"]

# Airbyte's connector pauses above this share of a Graph limit, in percent.
_USAGE_LIMIT = 95
# A higher number, whatever its unit, is a fault: no limit lasts that long (Graph: Rate Limits).
_HIGHEST = 86_400
_SHARES = ("call_count", "total_cputime", "total_time", "acc_id_util_pct")


def usage_pause(headers: Mapping[str, str]) -> tuple[float, str]:
    """
    Return how many seconds Graph's usage headers ask to wait, and which limit says so.

    Values are percentages; `estimated_time_to_regain_access` is in minutes,
    `reset_time_duration` in seconds (Graph API: Rate Limits).
    """
    for name in ("x-app-usage", "x-ad-account-usage", "x-business-use-case-usage"):
        for usage in _usages(headers.get(name, "")):
            regain = _number(usage, "estimated_time_to_regain_access") * 60
            share = max(_number(usage, key) for key in _SHARES)
            if regain or share >= _USAGE_LIMIT:
                # NOTE: app usage is counted over a rolling hour and names no end.
                return regain or _number(usage, "reset_time_duration") or 3600.0, name
    return 0.0, ""


def _number(usage: Mapping[str, Any], name: str) -> float:
    value = usage.get(name)
    return float(value) if isinstance(value, int | float) and 0 <= value <= _HIGHEST else 0.0


def _usages(header: str) -> list[dict[str, Any]]:
    try:
        document = parse_json(header) if header else {}
    except (ValueError, RecursionError):
        return []
    if not isinstance(document, dict):
        return []
    nested = [usage for value in document.values() if isinstance(value, list) for usage in value]
    return [usage for usage in (nested or [document]) if isinstance(usage, dict)]
