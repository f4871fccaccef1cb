"""
Facebook's own pages that several steps, error texts and permissions rest on, as of November 2026.
"""

from __future__ import annotations

CREATION = "https://developers.facebook.com/documentation/development/create-an-app"
USE_CASES = f"{CREATION}/use-cases-permission-mapping"
RELEASE = "https://developers.facebook.com/documentation/development/release"
SUBMISSION = "https://developers.facebook.com/docs/app-review/submission-guide"
RENEWAL = "https://developers.facebook.com/docs/resp-plat-initiatives/data-access-renewal"
LEADS = "https://developers.facebook.com/docs/marketing-api/guides/lead-ads/retrieving"
