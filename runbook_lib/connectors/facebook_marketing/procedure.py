"""
The documented procedure for Cyclr's Facebook Marketing API connector.

Its texts are in `steps.toml` and `uses.toml`, its own checks in `checks`.
"""

from __future__ import annotations

from pathlib import Path

from runbook_lib.connectors.cyclr import inputs as cyclr_inputs
from runbook_lib.connectors.cyclr import steps as cyclr
from runbook_lib.connectors.facebook import inputs
from runbook_lib.connectors.facebook import steps as facebook
from runbook_lib.connectors.facebook_marketing import checks
from runbook_lib.connectors.texts import read_procedure

PROCEDURE = read_procedure(
    Path(__file__).parent,
    checks,
    vendor=inputs.FACEBOOK,
    cyclr=cyclr_inputs.CYCLR,
    shared=(cyclr.SHARED, facebook.SHARED),
    inputs=(
        cyclr_inputs.SERVICE_DOMAIN,
        inputs.APP_DISPLAY_NAME,
        inputs.permissions("leads_retrieval", example="leads_retrieval, ads_read"),
        inputs.APP_ID,
        inputs.APP_SECRET,
        inputs.GRAPH_VERSION,
        cyclr_inputs.CYCLR_CLIENT_ID,
        cyclr_inputs.CYCLR_CLIENT_SECRET,
        cyclr_inputs.ACCOUNT_API_ID,
        cyclr_inputs.CYCLR_USERNAME,
        cyclr_inputs.cyclr_connector("Facebook Marketing API"),
        cyclr_inputs.INSTALL_CONNECTOR,
        cyclr_inputs.CREATE_TEST_ACCOUNT,
        inputs.USER_ACCESS_TOKEN,
        inputs.MAKE_TEST_CALLS,
        inputs.DATA_DELETION_URL,
        inputs.CUSTOMER_ACCESS_TOKEN,
    ),
)
