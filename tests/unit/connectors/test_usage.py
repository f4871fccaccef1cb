"""Graph's usage headers: the tier that they name."""

from __future__ import annotations

import pytest

from runbook_lib.connectors.facebook.usage import access_tier, usage_share


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


@pytest.mark.parametrize(
    ("header", "share"),
    [
        ('{"call_count":28,"total_time":25,"total_cputime":63}', 63),
        ('{"call_count":0,"total_time":0,"total_cputime":0}', 0),
        ('{"call_count":-1}', 0),
        ("", None),
        ("no JSON", None),
        ("[]", None),
    ],
)
def test_the_apps_share_is_its_largest(header: str, share: float | None) -> None:
    """The largest share in `X-App-Usage` counts; without the header no share is known."""
    assert usage_share({"x-app-usage": header}) == share
    assert usage_share({"x-ad-account-usage": '{"acc_id_util_pct":99}'}) is None
