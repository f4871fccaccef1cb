"""
The documented procedure for Cyclr's Facebook Messenger API connector.

Its texts are in `steps.toml` and `uses.toml`, its own checks in `checks`.
"""

from __future__ import annotations

from pathlib import Path

from runbook_lib.config import formats
from runbook_lib.connectors.cyclr import inputs as cyclr_inputs
from runbook_lib.connectors.cyclr import steps as cyclr
from runbook_lib.connectors.facebook import formats as facebook_formats
from runbook_lib.connectors.facebook import inputs
from runbook_lib.connectors.facebook import steps as facebook
from runbook_lib.connectors.facebook.permissions import permission_doubt
from runbook_lib.connectors.facebook_messenger import checks
from runbook_lib.connectors.texts import read_procedure
from runbook_lib.core.procedure import Input

_MESSENGER = ("pages_messaging", "pages_show_list", "pages_manage_metadata")

_PAGE_ID = Input(
    name="page_id",
    label="Page ID",
    help="The page > About > Page transparency. One page that the connector will use.",
    parse=facebook_formats.page_id,
    example="103942857163920",
    provider=inputs.FACEBOOK.name,
)
_SCOPES = Input(
    name="scopes",
    label="Scopes",
    help="What Cyclr asks users for at sign-in; commas between them.",
    parse=facebook_formats.scope,
    doubt=lambda names: permission_doubt(names.split(",")),
    default=",".join(_MESSENGER),
    example="pages_messaging,pages_show_list",
    provider=cyclr_inputs.CYCLR.name,
)
_VERIFY_TOKEN = Input(
    name="verify_token",
    label="Verify Token",
    help="A text of your choice, the same at Facebook and Cyclr.",
    parse=formats.opaque_secret,
    secret=True,
    provider=cyclr_inputs.CYCLR.name,
)
_WEBHOOK_URL = Input(
    name="webhook_url",
    label="Webhook address",
    help="Where Facebook calls Cyclr: the Callback URL in Messenger > Settings > Webhooks.",
    parse=formats.web_address,
    provider=cyclr_inputs.CYCLR.name,
)


PROCEDURE = read_procedure(
    Path(__file__).parent,
    checks,
    vendor=inputs.FACEBOOK,
    cyclr=cyclr_inputs.CYCLR,
    shared=(cyclr.SHARED, facebook.SHARED),
    inputs=(
        cyclr_inputs.SERVICE_DOMAIN,
        inputs.APP_DISPLAY_NAME,
        inputs.permissions(*_MESSENGER, example="pages_messaging, pages_show_list"),
        inputs.APP_ID,
        inputs.APP_SECRET,
        inputs.GRAPH_VERSION,
        _PAGE_ID,
        inputs.USER_ACCESS_TOKEN,
        cyclr_inputs.CYCLR_CLIENT_ID,
        cyclr_inputs.CYCLR_CLIENT_SECRET,
        cyclr_inputs.ACCOUNT_API_ID,
        cyclr_inputs.CYCLR_USERNAME,
        cyclr_inputs.cyclr_connector("Facebook Messenger API"),
        _SCOPES,
        _VERIFY_TOKEN,
        _WEBHOOK_URL,
        cyclr_inputs.INSTALL_CONNECTOR,
        cyclr_inputs.CREATE_TEST_ACCOUNT,
        inputs.MAKE_TEST_CALLS,
        inputs.DATA_DELETION_URL,
        inputs.CUSTOMER_ACCESS_TOKEN,
    ),
)
