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
    "GRAPH_VERSION",
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
    help="A user's token that was issued for this app.",
    parse=formats.opaque_secret,
    secret=True,
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
