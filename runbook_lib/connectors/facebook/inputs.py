"""
What connectors of Facebook ask an operator for, about the app: names, forms, help, defaults.

An input's name is the papermill parameter; `RUNBOOK_` and the name in upper
case is the environment variable.
"""

from __future__ import annotations

from runbook_lib.config import formats, runner
from runbook_lib.core.procedure import Input

__all__ = [
    "APP_DISPLAY_NAME",
    "APP_ID",
    "APP_SECRET",
    "CUSTOMER_ACCESS_TOKEN",
    "DATA_DELETION_URL",
    "GRAPH_VERSION",
    "MAKE_TEST_CALLS",
    "USER_ACCESS_TOKEN",
    "permissions",
]

APP_DISPLAY_NAME = Input(
    name="app_display_name",
    label="App Display Name",
    help="The name that your users see when they consent.",
    example="Acme Lead Sync",
)
APP_ID = Input(
    name="app_id",
    label="App ID",
    help="Facebook: Settings > Basic. It becomes Cyclr's Client ID.",
    parse=formats.app_id,
    example="123456789012345",
)
APP_SECRET = Input(
    name="app_secret",
    label="App Secret",
    help="Facebook: Settings > Basic > Show. It becomes Cyclr's Client Secret.",
    parse=formats.app_secret,
    secret=True,
)
GRAPH_VERSION = Input(
    name="graph_version",
    label="Graph API version",
    help="The version that every check is pinned to.",
    parse=formats.graph_version,
    default=runner.GRAPH_VERSION,
)
USER_ACCESS_TOKEN = Input(
    name="user_access_token",
    label="User access token",
    help="A token that was issued for this app, of a person who has a role on it.",
    parse=formats.opaque_secret,
    secret=True,
)
CUSTOMER_ACCESS_TOKEN = Input(
    name="customer_access_token",
    label="Customer's access token",
    help="A token that was issued for this app, of a person who has no role on it.",
    parse=formats.opaque_secret,
    secret=True,
)
MAKE_TEST_CALLS = Input(
    name="make_test_calls",
    label="Permission to make test calls",
    help="Permit the runbook one read call for each permission, which Facebook counts.",
    default=False,
)
DATA_DELETION_URL = Input(
    name="data_deletion_url",
    label="Data deletion address",
    help="Facebook: Settings > Basic > User data deletion. No API shows it.",
    parse=formats.page_address,
    example="https://www.acme.example/data-deletion",
)


def permissions(*default: str, example: str) -> Input:
    """Return the input for the permissions of the use case; `default` is what a connector needs."""
    return Input(
        name="permissions",
        label="Permissions",
        help="What your use case asks users for; commas between them. "
        "public_profile is always there.",
        parse=formats.permission_names,
        default=("public_profile", *default),
        example=example,
    )
