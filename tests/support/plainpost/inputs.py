"""The inputs that the connector asks an operator for."""

from __future__ import annotations

from runbook_lib.config import formats
from runbook_lib.connectors.cyclr import inputs as cyclr_inputs
from runbook_lib.connectors.provider import Vendor
from runbook_lib.core.procedure import Input
from runbook_lib.remote.oauth import AuthorizationServer

_PLAINPOST = "plainpost"
APP_ID = Input(name="app_id", label="Client ID", help="Apps.", provider=_PLAINPOST)
APP_SECRET = Input(
    name="app_secret",
    label="Client Secret",
    help="Apps.",
    parse=formats.opaque_secret,
    secret=True,
    provider=_PLAINPOST,
)
LOGIN_URL = Input(
    name="login_url",
    label="Login address",
    help="",
    parse=formats.web_address,
    default="https://login.plainpost.example",
    provider=_PLAINPOST,
)
PLAINPOST = Vendor(
    name=_PLAINPOST,
    title="Plainpost",
    settings=(LOGIN_URL,),
    addresses=("login_url",),
    client_id=APP_ID,
    client_secret=APP_SECRET,
    oauth=lambda values: AuthorizationServer(
        title="Plainpost",
        authorization_endpoint=f"{values['login_url']}/oauth2/authorize",
        token_endpoint=f"{values['login_url']}/oauth2/token",
    ),
)
PROVIDERS = (PLAINPOST, cyclr_inputs.CYCLR)
INPUTS = (
    cyclr_inputs.SERVICE_DOMAIN,
    APP_ID,
    APP_SECRET,
    cyclr_inputs.CYCLR_CLIENT_ID,
    cyclr_inputs.CYCLR_CLIENT_SECRET,
    cyclr_inputs.ACCOUNT_API_ID,
    cyclr_inputs.CYCLR_USERNAME,
    cyclr_inputs.cyclr_connector("Plainpost"),
    cyclr_inputs.INSTALL_CONNECTOR,
    cyclr_inputs.CREATE_TEST_ACCOUNT,
)
