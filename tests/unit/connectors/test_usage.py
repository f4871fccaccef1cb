"""Graph's usage headers: the tier that they name."""

from __future__ import annotations

import pytest

from runbook_lib.connectors.facebook.usage import access_tier


@pytest.mark.parametrize(
    ("headers", "tier"),
    [
        ({"x-ad-account-usage": '{"ads_api_access_tier":"standard_access"}'}, "standard_access"),
        (
            {"x-business-use-case-usage": '{"7":[{"ads_api_access_tier":"development_access"}]}'},
            "development_access",
        ),
        ({"x-fb-ads-insights-throttle": '{"ads_api_access_tier":"x"}'}, "x"),
        ({"x-ad-account-usage": '{"ads_api_access_tier":7}'}, ""),
        ({"x-ad-account-usage": '{"ads_api_access_tier":"<b>"}'}, ""),
        ({"x-ad-account-usage": "no JSON"}, ""),
        ({"x-app-usage": '{"ads_api_access_tier":"x"}'}, ""),
        ({}, ""),
    ],
)
def test_the_access_tier_is_read_from_usage_headers(headers: dict[str, str], tier: str) -> None:
    """The tier stands in the headers of ad account calls, as one plain word."""

    assert access_tier(headers) == tier
