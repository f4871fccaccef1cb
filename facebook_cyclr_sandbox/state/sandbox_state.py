"""
One sandbox's state: Facebook, Cyclr, the clock, and where each is served.

A request handler reads and changes it on the server's one thread, a whole
request at a time.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from facebook_cyclr_sandbox.state.cyclr_state import CyclrState
from facebook_cyclr_sandbox.state.facebook_state import (
    App,
    AuthorizationCode,
    FacebookState,
    Token,
    TokenKind,
)
from facebook_cyclr_sandbox.state.fault_injection import FaultInjector
from facebook_cyclr_sandbox.state.random_source import RandomSource
from facebook_cyclr_sandbox.state.review import publish_decision_if_due
from facebook_cyclr_sandbox.state.version_schedule import VersionSchedule

DAY_SECONDS = 86_400
LONG_LIFETIME_SECONDS = 60 * DAY_SECONDS
SHORT_LIFETIME_SECONDS = 2 * 3_600
DATA_ACCESS_LIFETIME_SECONDS = 90 * DAY_SECONDS
_TOKEN_CHARACTERS = 180


@dataclass(frozen=True)
class SiteAddresses:
    """
    Where the sandbox listens, as URLs without a trailing slash.

    `connect` is the plain-HTTP copy of the service domain, for browsers that
    cannot resolve it; `service_domain` is its HTTPS socket as `host:port`. `vendor_sites`
    are the sites of further vendors, by name.
    """

    graph: str = ""
    facebook: str = ""
    cyclr_api: str = ""
    cyclr_console: str = ""
    connect: str = ""
    service_domain: str = ""
    vendor_sites: Mapping[str, str] = field(default_factory=lambda: defaultdict(str))

    @property
    def dialog(self) -> str:
        """The OAuth dialog, version included."""
        return f"{self.facebook}/v26.0/dialog/oauth"


@dataclass
class SandboxState:
    """
    The whole state of a sandbox.

    `clock` returns the real time; `offset` is the sandbox's distance from it.
    `operator_values` is what the operator was given: the description shows it.
    `vendors` is the state of vendors beside Facebook, by name.
    `dialog_error` (code, message) makes the dialog fail after the person's decision.
    """

    scenario: str
    facebook: FacebookState
    cyclr: CyclrState
    random_source: RandomSource
    clock: Callable[[], float] = time.time
    offset: float = 0.0
    version_schedule: VersionSchedule = field(default_factory=VersionSchedule)
    faults: FaultInjector = field(default_factory=FaultInjector)
    dialog_error: tuple[str, str] | None = None
    addresses: SiteAddresses = field(default_factory=SiteAddresses)
    operator_values: dict[str, str] = field(default_factory=dict)
    vendors: dict[str, object] = field(default_factory=dict)

    def now(self) -> float:
        """Return the sandbox's time in seconds since the epoch."""
        return self.clock() + self.offset

    def publish_due_reviews(self) -> None:
        """Publish the decisions of reviews whose day has come."""
        for app in self.facebook.apps.values():
            publish_decision_if_due(app, self.now())

    def register_app(self, name: str) -> App:
        """Register an app of the operator, with nothing set up."""
        person = self.facebook.person
        app = App(
            self.random_source.digits(16),
            self.random_source.hexadecimal(32),
            name,
            person.id,
            self.random_source.base64url(27),
            self.now(),
            category="",
            roles={person.id: "administrators"},
        )
        self.facebook.apps[app.id] = app
        return app

    def app_token(self, app: App) -> Token:
        """Return the app's own token: `APPID|tail`, always the same, never the secret."""
        return Token(f"{app.id}|{app.token_tail}", TokenKind.APP, app.id)

    def issue_user_token(
        self,
        app: App,
        user_id: str,
        scopes: tuple[str, ...],
        *,
        lifetime: int = LONG_LIFETIME_SECONDS,
        issued_at: float | None = None,
        keep: bool = False,
    ) -> Token:
        """
        Issue a token of `user_id` for `app` that lives `lifetime` seconds; 0 means no expiry.

        One of the system user never ends, and lacks `public_profile`.
        """
        start = int(self.now() if issued_at is None else issued_at)
        system_user = self.facebook.system_user
        is_system_user = system_user is not None and user_id == system_user.id
        if is_system_user:
            scopes = tuple(scope for scope in scopes if scope != "public_profile")
        token = Token(
            self._token_text(),
            TokenKind.SYSTEM_USER if is_system_user else TokenKind.USER,
            app.id,
            user_id=user_id,
            scopes=scopes,
            issued_at=start,
            expires_at=start + lifetime if lifetime and not is_system_user else 0,
            data_access_expires_at=0 if is_system_user else start + DATA_ACCESS_LIFETIME_SECONDS,
        )
        self.facebook.tokens.put(token.value, token, keep=keep)
        return token

    def issue_page_token(self, user: Token, page_id: str, *, keep: bool = False) -> Token:
        """
        Issue a token for a page from a user token.

        From a long-lived user token it never expires; from a short-lived one
        it expires with it. One user token has one token for a page.
        """
        key = f"{page_id} {user.value}"
        known = self.facebook.page_tokens.get(key)
        if known and (token := self.facebook.tokens.get(known)):
            return token
        is_long = not user.expires_at or user.expires_at - user.issued_at > SHORT_LIFETIME_SECONDS
        token = replace(
            user,
            value=self._token_text(),
            kind=TokenKind.PAGE,
            profile_id=page_id,
            expires_at=0 if is_long else user.expires_at,
        )
        self.facebook.tokens.put(token.value, token, keep=keep)
        self.facebook.page_tokens.put(key, token.value, keep=keep)
        return token

    def issue_code(
        self, app: App, user_id: str, redirect_uri: str, scopes: tuple[str, ...]
    ) -> AuthorizationCode:
        """Issue an authorization code."""
        value = "AQ" + self.random_source.base64url(_TOKEN_CHARACTERS)
        code = AuthorizationCode(value, app.id, user_id, redirect_uri, scopes, self.now())
        self.facebook.codes.put(value, code)
        return code

    def _token_text(self) -> str:
        return "EAA" + self.random_source.alphanumeric(_TOKEN_CHARACTERS)

    def get_default_version(self) -> str:
        """Return the version that answers a call with no version and no app."""
        return (
            self.version_schedule.find_serving_version("v26.0", self.now())
            or self.version_schedule.latest
        )
