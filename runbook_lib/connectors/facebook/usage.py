"""
Graph's usage headers: the used share of each limit, and the app's access tier.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from runbook_lib.core.json_text import parse_json

# Airbyte's connector pauses above this share of a Graph limit, in percent.
_USAGE_LIMIT = 95
# No limit of Graph lasts longer than a day (Graph: Rate Limits).
_LONGEST = 86_400
_SHARES = ("call_count", "total_cputime", "total_time", "acc_id_util_pct")
_TIER = re.compile(r"[a-z_]{1,40}")

# The headers of Facebook's responses that the record keeps.
HEADERS = (
    "facebook-api-version",
    "x-ad-account-usage",
    "x-ad-api-version-warning",
    "x-app-usage",
    "x-business-use-case-usage",
    "x-fb-rev",
    "x-fb-trace-id",
    "x-fb-request-id",
)


def access_tier(headers: Mapping[str, str]) -> str:
    """Return the Marketing API Access Tier that a usage header names (Marketing API: Limits)."""
    names = ("x-ad-account-usage", "x-business-use-case-usage", "x-fb-ads-insights-throttle")
    usages = (usage for name in names for usage in _read_usages(headers.get(name, "")))
    tiers = (usage.get("ads_api_access_tier") for usage in usages)
    return next((tier for tier in tiers if isinstance(tier, str) and _TIER.fullmatch(tier)), "")


def usage_pause(headers: Mapping[str, str]) -> tuple[float, str]:
    """
    Return the seconds to wait that Graph's usage headers ask for, and the header of that limit.

    Values are percentages; `estimated_time_to_regain_access` is in minutes,
    `reset_time_duration` in seconds (Graph API: Rate Limits).
    """
    for name in ("x-app-usage", "x-ad-account-usage", "x-business-use-case-usage"):
        for usage in _read_usages(headers.get(name, "")):
            regain = _seconds_or_percent(usage, "estimated_time_to_regain_access") * 60
            share = max(_seconds_or_percent(usage, key) for key in _SHARES)
            if regain or share >= _USAGE_LIMIT:
                # NOTE: app usage is counted over a rolling hour and names no end.
                pause = regain or _seconds_or_percent(usage, "reset_time_duration") or 3600.0
                return min(pause, _LONGEST), name
    return 0.0, ""


def usage_share(headers: Mapping[str, str]) -> float | None:
    """Return the largest of the app's shares in `X-App-Usage`, in percent (Graph: Rate Limits)."""
    usages = _read_usages(headers.get("x-app-usage", ""))
    shares = (
        _seconds_or_percent(usage, key) for usage in usages for key in _SHARES if key in usage
    )
    return max(shares, default=None)


def _seconds_or_percent(usage: Mapping[str, Any], name: str) -> float:
    value = usage.get(name)
    return float(value) if isinstance(value, int | float) and 0 <= value <= _LONGEST else 0.0


def _read_usages(header: str) -> list[dict[str, Any]]:
    try:
        document = parse_json(header) if header else {}
    except ValueError:
        return []
    if not isinstance(document, dict):
        return []
    nested = [usage for value in document.values() if isinstance(value, list) for usage in value]
    return [usage for usage in (nested or [document]) if isinstance(usage, dict)]
