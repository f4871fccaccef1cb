"""The inputs of the Plainmail connector."""

from __future__ import annotations

from runbook_lib.config import formats
from runbook_lib.connectors.cyclr import inputs as cyclr_inputs
from runbook_lib.connectors.provider import Vendor
from runbook_lib.core.procedure import Input
from runbook_lib.remote.oauth import AuthorizationServer

NAME = "plainmail"
APP_ID = Input(
    name="app_id",
    label="Client ID",
    help="In Plainmail: Settings > Registered apps > the app.",
    provider=NAME,
)
APP_SECRET = Input(
    name="app_secret",
    label="Client Secret",
    help="In Plainmail: Settings > Registered apps > the app.",
    parse=formats.opaque_secret,
    secret=True,
    provider=NAME,
)
LOGIN_URL = Input(
    name="login_url",
    label="Login address",
    help="The address of Plainmail's sign-in.",
    parse=formats.web_address,
    default="https://login.plainmail.example",
    provider=NAME,
)
PLAINMAIL = Vendor(
    name=NAME,
    title="Plainmail",
    settings=(LOGIN_URL,),
    addresses=("login_url",),
    client_id=APP_ID,
    client_secret=APP_SECRET,
    oauth=lambda values: AuthorizationServer(
        title="Plainmail",
        authorization_endpoint=f"{values['login_url']}/oauth2/authorize",
        token_endpoint=f"{values['login_url']}/oauth2/token",
    ),
)
PROVIDERS = (PLAINMAIL, cyclr_inputs.CYCLR)
INPUTS = (
    cyclr_inputs.SERVICE_DOMAIN,
    APP_ID,
    APP_SECRET,
    cyclr_inputs.CYCLR_CLIENT_ID,
    cyclr_inputs.CYCLR_CLIENT_SECRET,
    cyclr_inputs.ACCOUNT_API_ID,
    cyclr_inputs.CYCLR_USERNAME,
    cyclr_inputs.cyclr_connector("Plainmail"),
    cyclr_inputs.INSTALL_CONNECTOR,
    cyclr_inputs.CREATE_TEST_ACCOUNT,
)
