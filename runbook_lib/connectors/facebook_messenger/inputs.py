"""The inputs of the Facebook Messenger connector."""

from __future__ import annotations

from runbook_lib.config import formats
from runbook_lib.connectors.cyclr import inputs as cyclr
from runbook_lib.connectors.facebook import facebook_formats
from runbook_lib.connectors.facebook import inputs as facebook
from runbook_lib.connectors.facebook.permissions import permission_doubt
from runbook_lib.core.procedure import Input

_MESSENGER = ("pages_messaging", "pages_show_list", "pages_manage_metadata")

_PAGE_ID = Input(
    name="page_id",
    label="Page ID",
    help="The page > About > Page transparency. One page that the connector will use.",
    parse=facebook_formats.page_id,
    example="103942857163920",
    provider=facebook.FACEBOOK.name,
)
_SCOPES = Input(
    name="scopes",
    label="Scopes",
    help="The permissions that Cyclr requests at sign-in, separated by commas.",
    parse=facebook_formats.scope,
    doubt=lambda names: permission_doubt(names.split(",")),
    default=",".join(_MESSENGER),
    example="pages_messaging,pages_show_list",
    provider=cyclr.CYCLR.name,
)
_VERIFY_TOKEN = Input(
    name="verify_token",
    label="Verify Token",
    help="A text of your choice, the same at Facebook and Cyclr.",
    parse=formats.opaque_secret,
    secret=True,
    provider=cyclr.CYCLR.name,
)
_WEBHOOK_URL = Input(
    name="webhook_url",
    label="Webhook address",
    help="Where Facebook calls Cyclr: the Callback URL in Messenger > Settings > Webhooks.",
    parse=formats.web_address,
    provider=cyclr.CYCLR.name,
)

PROVIDERS = (facebook.FACEBOOK, cyclr.CYCLR)
INPUTS = (
    cyclr.SERVICE_DOMAIN,
    facebook.APP_DISPLAY_NAME,
    facebook.permissions(*_MESSENGER, example="pages_messaging, pages_show_list"),
    facebook.APP_ID,
    facebook.APP_SECRET,
    facebook.GRAPH_VERSION,
    _PAGE_ID,
    facebook.CONFIG_ID,
    facebook.USER_ACCESS_TOKEN,
    cyclr.CYCLR_CLIENT_ID,
    cyclr.CYCLR_CLIENT_SECRET,
    cyclr.ACCOUNT_API_ID,
    cyclr.CYCLR_USERNAME,
    cyclr.cyclr_connector("Facebook Messenger API"),
    _SCOPES,
    _VERIFY_TOKEN,
    _WEBHOOK_URL,
    cyclr.INSTALL_CONNECTOR,
    cyclr.CREATE_TEST_ACCOUNT,
    facebook.MAKE_TEST_CALLS,
    facebook.DATA_DELETION_URL,
    facebook.CUSTOMER_ACCESS_TOKEN,
)
