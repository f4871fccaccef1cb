"""The inputs about Cyclr that every connector shares: names, formats, help, defaults."""

from __future__ import annotations

from functools import partial

from runbook_lib.config import formats
from runbook_lib.core.procedure import Input, Provider, ProviderBehaviour

_CYCLR = "cyclr"

SERVICE_DOMAIN = Input(
    name="service_domain",
    label="Service Domain",
    help="Cyclr console > Settings > General Settings > Service Domain: your Cyclr's host name.",
    parse=formats.domain_name,
    example="acme-h.cyclr.com",
    required=True,
    provider=_CYCLR,
)
# The fact that holds the scopes which Cyclr's connector requests at sign-in.
SCOPE_FACT = "connector_scope"
CYCLR_CLIENT_ID = Input(
    name="cyclr_client_id",
    label="Cyclr API Client ID",
    help="Settings > OAuth Client Credentials. Not your app's.",
    provider=_CYCLR,
)
CYCLR_CLIENT_SECRET = Input(
    name="cyclr_client_secret",
    label="Cyclr API Client Secret",
    help="Beside that Client ID.",
    parse=formats.opaque_secret,
    secret=True,
    provider=_CYCLR,
)
ACCOUNT_API_ID = Input(
    name="account_api_id",
    label="Account API ID",
    help="Accounts > Account Management > Settings of the test account.",
    parse=formats.header_text,
    provider=_CYCLR,
)
CYCLR_USERNAME = Input(
    name="cyclr_username",
    label="Cyclr user name",
    help="An existing user of that account, for the sign-in link. Cyclr creates the user if it "
    "does not exist.",
    example="operator@acme.example",
    provider=_CYCLR,
)
INSTALL_CONNECTOR = Input(
    name="install_connector",
    label="Install the connector",
    help="The runbook installs it. This changes your Cyclr.",
    default=False,
    provider=_CYCLR,
)
CREATE_TEST_ACCOUNT = Input(
    name="create_test_account",
    label="Create a test account",
    help="The runbook creates one if you name none. This changes your Cyclr.",
    default=False,
    provider=_CYCLR,
)
_CYCLR_API_URL = Input(
    name="cyclr_api_url",
    label="Cyclr API address",
    help="api.cyclr.com, or your region's: api.eu.cyclr.com, api.us2.cyclr.com, api.cyclr.uk.",
    parse=formats.web_address,
    default="https://api.cyclr.com",
    provider=_CYCLR,
)
_CYCLR_CONSOLE_URL = Input(
    name="cyclr_console_url",
    label="Cyclr console address",
    help="my.cyclr.com, or your region's.",
    parse=formats.web_address,
    default="https://my.cyclr.com",
    provider=_CYCLR,
)
_SERVICE_DOMAIN_ADDRESS = Input(
    name="service_domain_address",
    label="Service Domain's address",
    help="host:port to connect to instead of resolving the name; the sandbox sets it.",
    parse=formats.address,
    provider=_CYCLR,
)
_REDIRECT_HOSTS = Input(
    name="redirect_hosts",
    label="Further Cyclr hosts",
    help="More hosts that Cyclr's sign-in link may lead to, separated by commas. Each host in "
    "this list may be on a private network, also the Service Domain if you add it.",
    parse=formats.host_names,
    default=(),
    example="login.cyclr.example",
    provider=_CYCLR,
)
_REQUESTS_A_SECOND = Input(
    name="cyclr_requests_a_second",
    label="Requests to Cyclr per second",
    help="The most requests per second that `runbook connections` sends to Cyclr's API.",
    parse=partial(formats.whole_number, least=1, most=50, unit="requests"),
    default=5,
    provider=_CYCLR,
)

# Check id → what stops working for customers when the check fails.
_IMPACTS = {
    "service-domain-answers": "No customer can sign in: the sign-in ends at this address.",
    "connector-is-in-library": "Customers cannot connect, or they sign in with another app.",
    "console-holds-app-id": "Customers sign in with a different app.",
    "connector-is-installed": "The connection cannot be tested in this account.",
    "connector-is-authenticated": "This account's cycles fail until somebody signs in again.",
    "permissions-are-seen-through-cyclr": "This account's cycles lack what the user did not grant.",
}
_CERTIFICATE_ENDS = (
    "Renew the certificate of the Service Domain before then, or no customer can sign in. Cyclr "
    "Support replaces a custom domain's certificate."
)


class CyclrBehaviour(ProviderBehaviour):
    """The impact of failed checks at Cyclr, and how to renew a certificate."""

    def impact_of(self, check: str, /) -> str:
        """Return the impact on customers when the check fails."""
        return _IMPACTS.get(check, "")

    def renewal_of(self, name: str, /) -> str:
        """Return how to renew the Service Domain's certificate."""
        return _CERTIFICATE_ENDS if name == "certificate" else ""


CYCLR = Provider(
    name=_CYCLR,
    title="Cyclr",
    behaviour=CyclrBehaviour(),
    settings=(
        _CYCLR_API_URL,
        _CYCLR_CONSOLE_URL,
        _SERVICE_DOMAIN_ADDRESS,
        _REDIRECT_HOSTS,
        _REQUESTS_A_SECOND,
    ),
    # Cyclr's hosts, including the webhook's and the possible targets of its sign-in link.
    addresses=(
        "cyclr_api_url",
        "cyclr_console_url",
        "service_domain",
        "redirect_hosts",
        "webhook_url",
    ),
)


def cyclr_connector(name: str) -> Input:
    """Return the input for the connector's name in Cyclr's library, by default `name`."""
    return Input(
        name="cyclr_connector",
        label="Connector in Cyclr",
        help="Its name in Cyclr's library.",
        default=name,
        provider=_CYCLR,
    )
