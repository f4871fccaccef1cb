"""What every connector asks an operator for, about Cyclr: names, forms, help, defaults."""

from __future__ import annotations

from runbook_lib.config import formats
from runbook_lib.core.procedure import Input

__all__ = [
    "ACCOUNT_API_ID",
    "CREATE_TEST_ACCOUNT",
    "CYCLR_CLIENT_ID",
    "CYCLR_CLIENT_SECRET",
    "CYCLR_USERNAME",
    "INSTALL_CONNECTOR",
    "SERVICE_DOMAIN",
    "cyclr_connector",
]

SERVICE_DOMAIN = Input(
    name="service_domain",
    label="Service Domain",
    help="Cyclr console: Settings > General Settings > Service Domain.",
    parse=formats.domain_name,
    example="acme-h.cyclr.com",
    required=True,
)
CYCLR_CLIENT_ID = Input(
    name="cyclr_client_id",
    label="Cyclr API Client ID",
    help="Cyclr console: Settings > OAuth Client Credentials. Not the Facebook pair.",
)
CYCLR_CLIENT_SECRET = Input(
    name="cyclr_client_secret",
    label="Cyclr API Client Secret",
    help="Cyclr console: Settings > OAuth Client Credentials. Not the Facebook pair.",
    parse=formats.opaque_secret,
    secret=True,
)
ACCOUNT_API_ID = Input(
    name="account_api_id",
    label="Account API ID",
    help="Cyclr console: Accounts > Account Management > Settings, of the account to test in.",
    parse=formats.header_text,
)
CYCLR_USERNAME = Input(
    name="cyclr_username",
    label="Cyclr user name",
    help="An existing user of that account, for the sign-in link. Cyclr creates unknown ones.",
    example="operator@acme.example",
)
INSTALL_CONNECTOR = Input(
    name="install_connector",
    label="Install the connector",
    help="Permit the runbook to install the connector in the account. This changes your Cyclr.",
    default=False,
)
CREATE_TEST_ACCOUNT = Input(
    name="create_test_account",
    label="Create a test account",
    help="Permit the runbook to create a Cyclr account where none is named. Changes your Cyclr.",
    default=False,
)


def cyclr_connector(name: str) -> Input:
    """Return the input for the connector's name in Cyclr's library, by default `name`."""
    return Input(
        name="cyclr_connector",
        label="Connector in Cyclr",
        help="The connector's name in Cyclr's Connector Library.",
        default=name,
    )
