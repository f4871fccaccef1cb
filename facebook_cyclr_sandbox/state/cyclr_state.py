"""
Cyclr's state: API clients, accounts, the Connector Library, installed connectors.

State only; the API, the console and the sign-in link read and change it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from facebook_cyclr_sandbox.state.lru_store import LRUStore

_Value = TypeVar("_Value")


@dataclass(frozen=True)
class ConnectorMethod:
    """One method of a connector."""

    id: int
    """Its number in Cyclr."""

    unique_id: str
    """The UUID by which a call names it."""

    name: str
    """Its name in the console."""

    category: str
    """The heading under which the console lists it."""

    description: str
    """Its description in the console."""

    path: str
    """The Graph path that it calls, with placeholders such as `{page_id}`."""

    parameters: tuple[tuple[int, str], ...] = ()
    """The number and the name of each placeholder of `path`."""


@dataclass(frozen=True)
class ConnectorParameter:
    """A declared parameter of a connector."""

    id: int
    """Its number in Cyclr."""

    name: str
    """Its label in the console."""

    target_name: str
    """The name by which an installation sets it."""

    is_property: bool = True
    """Whether each account sets it (`IsAccountConnectorProperty`)."""

    values: tuple[str, ...] = ()
    """The values that it can have; empty if any value is allowed."""


@dataclass
class LibraryConnector:
    """An entry of the Connector Library."""

    id: int
    """Its number in Cyclr."""

    name: str
    """Its name."""

    description: str
    """Its description."""

    category: str
    """Its category, such as `CRM`."""

    auth_type: str
    """Cyclr's `AuthType`, such as `OAuth2`."""

    authentication_id: str
    """The id of its authentication, a UUID."""

    version: str | None = None
    """Its version; None if it has none."""

    status: str = "Approved"
    """`Approved`, or `Draft`: a draft cannot be installed."""

    scopes: str = ""
    """The permissions that its sign-in requests, separated by commas."""

    methods: tuple[ConnectorMethod, ...] = ()
    """Its methods."""

    parameters: tuple[ConnectorParameter, ...] = ()
    """Its declared parameters."""

    client_id: str = ""
    """The Client ID of its Setup; no API reads it back."""

    client_secret: str = ""
    """The Client Secret of its Setup; no API reads it back."""

    webhook_id: str = ""
    """The last part of its webhook's URL. With one, Setup has Scopes and a Verify Token too."""

    verify_token: str = ""
    """The token by which the webhook is verified."""

    vendor: str = "facebook"
    """The vendor at whose authorization endpoint its sign-in takes place."""

    @property
    def is_set_up(self) -> bool:
        """Whether the padlock is closed: all required fields are filled."""
        required = [self.client_id, self.client_secret]
        if self.webhook_id:
            required += [self.scopes, self.verify_token]
        return self.auth_type != "OAuth2" or all(required)


@dataclass
class ConnectorProperty:
    """One property of an installed connector."""

    id: int
    name: str
    value: str


@dataclass
class AccountConnector:
    """A connector that is installed in one account."""

    id: int
    """Its number in Cyclr."""

    account_id: str
    """The account."""

    connector_id: int
    """The connector's number in the library."""

    name: str
    """Its name, unique in the account."""

    is_authenticated: bool = False
    """Whether Cyclr shows it as signed in."""

    access_token: str = ""
    """The access token of its sign-in; empty before."""

    properties: list[ConnectorProperty] = field(default_factory=list)
    """The parameters that this account set."""


@dataclass
class Account:
    """One user account of the partner."""

    id: str
    """Its Account API ID, a UUID unless the partner chose another one."""

    name: str
    """Its name."""

    created_on: float
    """Seconds since the epoch."""

    description: str | None = None
    """Its description; None if it has none."""

    timezone: str = "Europe/London"
    """An IANA time zone."""

    settings: dict[str, object] = field(default_factory=dict)
    """The settings whose values differ from Cyclr's own, by name."""

    users: set[str] = field(default_factory=set)
    """The names of its users."""


@dataclass
class Cycle:
    """An integration. It starts only if all its connectors are authenticated."""

    id: str
    account_id: str
    name: str
    account_connector_ids: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class ApiToken:
    """A token of the Cyclr API; `account_id` restricts it to one account."""

    value: str
    client_id: str
    account_id: str
    expires_at: float


@dataclass(frozen=True)
class SignInToken:
    """A single-use token that lets a user of an account authenticate a connector."""

    value: str
    account_id: str
    username: str
    expires_at: float


@dataclass(frozen=True)
class PendingConsent:
    """A consent in progress: the callback needs it when the browser returns with `state`."""

    state: str
    """The OAuth `state` (RFC 6749 §4.1.1)."""

    account_connector_id: int
    """The installed connector that it authenticates."""

    target_origin: str
    """The URL to which the browser goes at the end."""

    callback_message: str
    """A message to post to the opener instead; empty for a redirect."""

    redirect_uri: str
    """The `redirect_uri` of the authorization request."""

    started_on: float
    """Seconds since the epoch."""

    cookie: str = ""
    """The cookie that ties the consent to one browser."""


@dataclass
class CyclrState:
    """Everything that Cyclr stores for one partner."""

    service_domain: str
    """The host of the sign-in links and the callback."""

    company: str
    """The partner's name."""

    client_secrets: dict[str, str] = field(default_factory=dict)
    """Client id of the API → its secret."""

    accounts: dict[str, Account] = field(default_factory=dict)
    """The accounts, by id."""

    library: dict[int, LibraryConnector] = field(default_factory=dict)
    """The Connector Library, by number."""

    account_connectors: dict[int, AccountConnector] = field(default_factory=dict)
    """The installed connectors of all accounts, by number."""

    cycles: dict[str, Cycle] = field(default_factory=dict)
    """The integrations, by id."""

    tokens: LRUStore[ApiToken] = field(default_factory=LRUStore)
    """The tokens of the API, by value."""

    sign_in_tokens: LRUStore[SignInToken] = field(default_factory=LRUStore)
    """The unused sign-in tokens, by value."""

    pending_consents: LRUStore[PendingConsent] = field(default_factory=LRUStore)
    """The consents in progress, by `state`."""

    is_ip_blocked: bool = False
    """Whether Cyclr refuses the caller's IP address."""

    transaction_errors: list[dict[str, object]] = field(default_factory=list)
    """The latest posts of the Transaction Error Webhook, and of the Notification Webhook."""

    last_id: int = 54_321
    """The last number given to a connector or property."""

    @property
    def website_host(self) -> str:
        """The host of the partner's own website."""
        return f"www.{self.service_domain.partition('.')[2]}"

    @property
    def website_hosts(self) -> tuple[str, ...]:
        """All hosts of the website: its own, the bare domain, and one that knows no 404."""
        domain = self.website_host.removeprefix("www.")
        return self.website_host, domain, f"soft.{domain}"

    @property
    def redirect_uri(self) -> str:
        """The address that a provider sends the browser back to."""
        return f"https://{self.service_domain}/connector/callback"

    def webhook_url(self, connector: LibraryConnector) -> str:
        """Return the address to which a provider sends events."""
        return f"https://{self.service_domain}/webhook/facebook-messenger/{connector.webhook_id}"

    def new_id(self) -> int:
        """Return an ID that no connector or property has yet."""
        self.last_id += 1
        return self.last_id

    def list_installed(self, account_id: str) -> list[AccountConnector]:
        """Return the connectors that are installed in one account."""
        return [
            connector
            for connector in self.account_connectors.values()
            if connector.account_id == account_id
        ]

    def uninstall(self, installed: AccountConnector) -> None:
        """Remove an installed connector, also from the cycles that need it."""
        del self.account_connectors[installed.id]
        for cycle in self.cycles.values():
            if installed.id in cycle.account_connector_ids:
                cycle.account_connector_ids.remove(installed.id)


def find_by_number(values: Mapping[int, _Value], text: str) -> _Value | None:
    """Return the value whose ID is the number `text`, or None."""
    is_number = text.isascii() and text.isdigit() and len(text) < 10
    return values.get(int(text)) if is_number else None
