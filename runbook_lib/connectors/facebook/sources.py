"""
Facebook's own pages that several steps, error texts and permissions rest on, as of November 2026.
"""

from __future__ import annotations

CREATION = "https://developers.facebook.com/documentation/development/create-an-app"
USE_CASES = f"{CREATION}/use-cases-permission-mapping"
RELEASE = "https://developers.facebook.com/documentation/development/release"
SUBMISSION = "https://developers.facebook.com/docs/app-review/submission-guide"
RENEWAL = "https://developers.facebook.com/docs/resp-plat-initiatives/data-access-renewal"
CHANGES = "https://developers.facebook.com/blog, 29 July and 4 November 2026"
FOR_BUSINESS = "https://developers.facebook.com/docs/facebook-login/facebook-login-for-business"
TOKENS = "https://developers.facebook.com/docs/facebook-login/access-tokens/debugging"
VERSIONS = (
    "https://developers.facebook.com/documentation/ads-commerce/marketing-api/"
    "marketing-api-changelog/versions"
)
LEADS = "https://developers.facebook.com/docs/marketing-api/guides/lead-ads/retrieving"
