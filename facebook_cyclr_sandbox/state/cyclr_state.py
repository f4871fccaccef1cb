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
    """One method of a connector: `path` is the Graph path that it calls."""

    id: int
    unique_id: str
    name: str
    category: str
    description: str
    path: str
    parameters: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True)
class ConnectorParameter:
    """A declared parameter of a connector; `is_property`: whether an account sets it."""

    id: int
    name: str
    target_name: str
    is_property: bool = True
    values: tuple[str, ...] = ()


@dataclass
class LibraryConnector:
    """
    An entry of the Connector Library.

    `client_id` and `client_secret` are what the console's Setup page holds:
    no API reads them back. `scopes` (comma separated) is what the sign-in asks
    for, at the sign-in page of its `vendor`. A connector with a `webhook_id` has two
    more fields in its Setup: these scopes, and the `verify_token` by which the webhook
    is verified.
    """

    id: int
    name: str
    description: str
    category: str
    auth_type: str
    authentication_id: str
    version: str | None = None
    status: str = "Approved"
    scopes: str = ""
    methods: tuple[ConnectorMethod, ...] = ()
    parameters: tuple[ConnectorParameter, ...] = ()
    client_id: str = ""
    client_secret: str = ""
    webhook_id: str = ""
    verify_token: str = ""
    vendor: str = "facebook"

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
    """A connector installed in one account; `access_token` is what the OAuth flow gave it."""

    id: int
    account_id: str
    connector_id: int
    name: str
    is_authenticated: bool = False
    access_token: str = ""
    properties: list[ConnectorProperty] = field(default_factory=list)


@dataclass
class Account:
    """One user account of the partner; `settings` are those that differ from Cyclr's own."""

    id: str
    name: str
    created_on: float
    description: str | None = None
    timezone: str = "Europe/London"
    settings: dict[str, object] = field(default_factory=dict)
    users: set[str] = field(default_factory=set)


@dataclass
class Cycle:
    """An integration; it cannot start while a connector that it needs is not authenticated."""

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
    """A consent in progress: what the callback needs when the browser returns with `state`."""

    state: str
    account_connector_id: int
    target_origin: str
    callback_message: str
    redirect_uri: str
    started_on: float
    cookie: str = ""


@dataclass
class CyclrState:
    """Everything that Cyclr stores for one partner."""

    service_domain: str
    company: str
    client_secrets: dict[str, str] = field(default_factory=dict)
    accounts: dict[str, Account] = field(default_factory=dict)
    library: dict[int, LibraryConnector] = field(default_factory=dict)
    account_connectors: dict[int, AccountConnector] = field(default_factory=dict)
    cycles: dict[str, Cycle] = field(default_factory=dict)
    tokens: LRUStore[ApiToken] = field(default_factory=LRUStore)
    sign_in_tokens: LRUStore[SignInToken] = field(default_factory=LRUStore)
    pending_consents: LRUStore[PendingConsent] = field(default_factory=LRUStore)
    is_ip_blocked: bool = False
    transaction_errors: list[dict[str, object]] = field(default_factory=list)
    next_id: int = 54_321

    @property
    def website(self) -> str:
        """The host of the partner's own website."""
        return f"www.{self.service_domain.partition('.')[2]}"

    @property
    def website_hosts(self) -> tuple[str, ...]:
        """All hosts of the website: its own, the bare domain, and one that knows no 404."""
        domain = self.website.removeprefix("www.")
        return self.website, domain, f"soft.{domain}"

    @property
    def redirect_uri(self) -> str:
        """The address that a provider sends the browser back to."""
        return f"https://{self.service_domain}/connector/callback"

    def webhook_url(self, connector: LibraryConnector) -> str:
        """Return the address to which a provider sends events."""
        return f"https://{self.service_domain}/webhook/facebook-messenger/{connector.webhook_id}"

    def new_id(self) -> int:
        """Return an ID that no connector or property has yet."""
        self.next_id += 1
        return self.next_id

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
