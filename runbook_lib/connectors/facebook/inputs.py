"""
The inputs about the app that Facebook's connectors share: names, formats, help, defaults.

An input's name is the papermill parameter; `RUNBOOK_FACEBOOK_` and the name in
upper case is the environment variable.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from runbook_lib.config import formats as config_formats
from runbook_lib.connectors.facebook import facebook_formats
from runbook_lib.connectors.facebook.graph_clients import authorization_server
from runbook_lib.connectors.facebook.graph_errors import is_fault
from runbook_lib.connectors.facebook.permissions import (
    KNOWN_PERMISSIONS,
    PERMISSION_DEPENDENCIES,
    permission_doubt,
    with_dependencies,
)
from runbook_lib.connectors.facebook.review import scope_warnings
from runbook_lib.connectors.facebook.usage import HEADERS, usage_pause, usage_share
from runbook_lib.connectors.provider import ImitatedVendor
from runbook_lib.connectors.texts import read_known_errors, read_search_words
from runbook_lib.core.model import Value
from runbook_lib.core.procedure import Input, ProviderBehaviour

if TYPE_CHECKING:
    from runbook_lib.connectors.review_kit import Kit

_FACEBOOK = "facebook"
# The pinned Graph API version, unless a setting changes it.
_PINNED_VERSION = "v26.0"

APP_DISPLAY_NAME = Input(
    name="app_display_name",
    label="App Display Name",
    help="The name that your users see when they consent.",
    doubt=facebook_formats.name_doubt,
    example="Acme Lead Sync",
    provider=_FACEBOOK,
)
APP_ID = Input(
    name="app_id",
    label="App ID",
    help="Facebook: Settings > Basic. It becomes Cyclr's Client ID.",
    parse=facebook_formats.app_id,
    example="123456789012345",
    provider=_FACEBOOK,
)
APP_SECRET = Input(
    name="app_secret",
    label="App Secret",
    help="Facebook: Settings > Basic > Show. It becomes Cyclr's Client Secret.",
    parse=facebook_formats.app_secret,
    secret=True,
    provider=_FACEBOOK,
)
GRAPH_VERSION = Input(
    name="graph_version",
    label="Graph API version",
    help="Every check uses this version.",
    parse=facebook_formats.graph_version,
    default=_PINNED_VERSION,
    provider=_FACEBOOK,
)
USER_ACCESS_TOKEN = Input(
    name="user_access_token",
    label="User access token",
    help="Issued for this app, to a person who has a role on it.",
    parse=config_formats.opaque_secret,
    secret=True,
    provider=_FACEBOOK,
)
CONFIG_ID = Input(
    name="config_id",
    label="Login configuration ID",
    help="Facebook Login for Business > Configurations; only if Cyclr's connector uses one.",
    parse=facebook_formats.config_id,
    example="123456789012345",
    provider=_FACEBOOK,
)
CUSTOMER_ACCESS_TOKEN = Input(
    name="customer_access_token",
    label="Customer's access token",
    help="Issued for this app, to a person who has no role on it.",
    parse=config_formats.opaque_secret,
    secret=True,
    provider=_FACEBOOK,
)
MAKE_TEST_CALLS = Input(
    name="make_test_calls",
    label="Permission to make test calls",
    help="One read call with each permission.",
    default=False,
    provider=_FACEBOOK,
)
DATA_DELETION_URL = Input(
    name="data_deletion_url",
    label="Data deletion address",
    help="Facebook: Settings > Basic > User data deletion. No API shows it.",
    parse=config_formats.page_address,
    example="https://www.acme.example/data-deletion",
    provider=_FACEBOOK,
)
_GRAPH_URL = Input(
    name="graph_url",
    label="Graph API address",
    help="Change it only for a proxy or the sandbox; a loopback address marks a run SANDBOX.",
    parse=config_formats.web_address,
    default="https://graph.facebook.com",
    provider=_FACEBOOK,
)
_DIALOG_URL = Input(
    name="dialog_url",
    label="OAuth dialog address",
    help="Where Facebook asks users for consent.",
    parse=config_formats.web_address,
    default=f"https://www.facebook.com/{_PINNED_VERSION}/dialog/oauth",
    provider=_FACEBOOK,
)
_DASHBOARD_URL = Input(
    name="dashboard_url",
    label="App dashboard address",
    help="Where you register apps.",
    parse=config_formats.web_address,
    default="https://developers.facebook.com",
    provider=_FACEBOOK,
)


def _kit_of(connector: str, values: Mapping[str, Value]) -> Kit:
    from runbook_lib.connectors.facebook.app_review_kit import kit_of  # noqa: PLC0415  (few ask for it)

    return kit_of(connector, values)


# Check id → what stops working for customers when the check fails.
_IMPACTS = {
    "app-credentials-are-accepted": "No customer can sign in, and no token is renewed.",
    "app-is-registered": "Without its app, no customer can sign in or be served.",
    "app-name-matches": "Customers see a different name when they consent.",
    "business-is-verified": "Without it other businesses lose access to the app.",
    "missing-sections-are-filled": "A missing section can hold up a review or publishing.",
    "public-pages-open": "Facebook may restrict an app whose pages do not open.",
    "redirect-uri-is-accepted": "No customer can sign in: Facebook refuses the redirect.",
    "permissions-are-requested": "Customers cannot use what these permissions allow.",
    "public-profile-is-live": "Facebook may refuse customers at sign-in.",
    "review-is-approved": "Customers cannot use what these permissions allow.",
    "user-token-is-valid": "The runbook cannot test the connection with this token.",
    "marketing-data-is-readable": "The connection's data cannot be read with the test token.",
    "lead-data-is-readable": "Leads cannot be read with the test token.",
    "customer-consents-without-role": "Nothing shows any longer that a customer can sign in.",
}
# Name of a fact without `_ends_on` → advice for a person before that day.
_RENEWALS = {
    "token": "Sign in again before then, and give the new token to the runbook.",
    "data_access": "The person must sign in and consent again; give the new token to the runbook.",
    "graph_version": "Set graph_version to a newer version, then check again.",
    "marketing_api_version": "Set graph_version to a newer version, then check again.",
}


class FacebookBehaviour(ProviderBehaviour):
    """Facebook's usage headers and faults, and what a failed check means for customers."""

    def usage_pause(self, headers: Mapping[str, str], /) -> tuple[float, str]:
        """Return the seconds to wait and the limit (Graph API: Rate Limits)."""
        return usage_pause(headers)

    def usage_share(self, headers: Mapping[str, str], /) -> float | None:
        """Return the used share of the app's hourly calls, in percent (Graph API: Rate Limits)."""
        return usage_share(headers)

    def is_fault(self, response: object, /) -> bool:
        """Return whether a body is an error of Graph's own (Graph API: Handle Errors)."""
        return is_fault(response)

    def impact_of(self, check: str, /) -> str:
        """Return the impact on customers when the check fails."""
        return _IMPACTS.get(check, "")

    def renewal_of(self, name: str, /) -> str:
        """Return how to renew a token, or a version of an API."""
        return _RENEWALS.get(name, "")


FACEBOOK = ImitatedVendor(
    name=_FACEBOOK,
    title="Facebook",
    settings=(_GRAPH_URL, _DIALOG_URL, _DASHBOARD_URL),
    addresses=("graph_url", "dialog_url", "dashboard_url"),
    headers=HEADERS,
    # Graph: Rate Limits, Platform Rate Limits: 200 calls an hour for each user of the app.
    calls_an_hour=200,
    behaviour=FacebookBehaviour(),
    client_id=APP_ID,
    client_secret=APP_SECRET,
    oauth=authorization_server,
    scope="permissions",
    scope_warnings=scope_warnings,
    known_errors=read_known_errors(Path(__file__).parent).groups["consent"],
    review_kit=_kit_of,
    developer_tools="Meta's developer tools",
    trace_field="fbtrace_id",
    test_method="List My Permissions",
    search_words=read_search_words(Path(__file__).parent),
)


def permissions(*default: str, example: str, why: str = "", asked_fact: str = "") -> Input:
    """
    Return the input for the permissions of the use case; a connector needs the `default` ones.

    `why` is a sentence about their source. The fact `asked_fact` lists the permissions that the
    connector was seen to request.
    """
    always = "Separated by commas; public_profile is always included."
    return Input(
        name="permissions",
        label="Permissions",
        help=f"{always} {why}".strip(),
        parse=facebook_formats.permission_names,
        doubt=permission_doubt,
        default=("public_profile", *default),
        example=example,
        choices=tuple(
            (name, PERMISSION_DEPENDENCIES.get(name, ()))
            for name in dict.fromkeys((*with_dependencies(default), *KNOWN_PERMISSIONS))
        ),
        locked=("public_profile",),
        asked_fact=asked_fact,
        provider=_FACEBOOK,
    )
