"""The inputs of the Facebook Marketing connector."""

from __future__ import annotations

from runbook_lib.connectors.cyclr import inputs as cyclr
from runbook_lib.connectors.facebook import inputs as facebook

# NOTE: Cyclr documents no scopes; `uses.toml` lists the needs of the connector's calls and
# webhooks.
_WHY = "Chosen: those that Cyclr's connector uses (November 2026)."
PROVIDERS = (facebook.FACEBOOK, cyclr.CYCLR)
INPUTS = (
    cyclr.SERVICE_DOMAIN,
    facebook.APP_DISPLAY_NAME,
    facebook.permissions(
        "leads_retrieval",
        "pages_manage_metadata",
        example="leads_retrieval, ads_read",
        why=_WHY,
        asked_fact=cyclr.SCOPE_FACT,
    ),
    facebook.APP_ID,
    facebook.APP_SECRET,
    facebook.GRAPH_VERSION,
    cyclr.CYCLR_CLIENT_ID,
    cyclr.CYCLR_CLIENT_SECRET,
    cyclr.ACCOUNT_API_ID,
    cyclr.CYCLR_USERNAME,
    cyclr.cyclr_connector("Facebook Marketing API"),
    cyclr.INSTALL_CONNECTOR,
    cyclr.CREATE_TEST_ACCOUNT,
    facebook.CONFIG_ID,
    facebook.USER_ACCESS_TOKEN,
    facebook.MAKE_TEST_CALLS,
    facebook.DATA_DELETION_URL,
    facebook.CUSTOMER_ACCESS_TOKEN,
)
