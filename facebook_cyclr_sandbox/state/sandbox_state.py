"""
One sandbox's state: Facebook, Cyclr, the clock, and where each is served.

A request handler reads and changes it on the server's one thread, a whole
request at a time.
"""

import time
from collections.abc import Callable
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
    """The addresses of the sandbox's sites, as URLs without a trailing slash."""

    graph: str = ""
    """graph.facebook.com."""

    facebook: str = ""
    """www.facebook.com and developers.facebook.com."""

    cyclr_api: str = ""
    """api.cyclr.com."""

    cyclr_console: str = ""
    """my.cyclr.com."""

    service_domain_http: str = ""
    """The plain-HTTP copy of the service domain, for browsers, which cannot resolve its name."""

    service_domain: str = ""
    """The HTTPS socket of the service domain, as `host:port`."""

    @property
    def dialog(self) -> str:
        """The OAuth dialog, version included."""
        return f"{self.facebook}/v26.0/dialog/oauth"


@dataclass
class SandboxState:
    """The whole state of a sandbox."""

    scenario: str
    """The name of the scenario that it began as."""

    facebook: FacebookState
    """Everything that Facebook stores."""

    cyclr: CyclrState
    """Everything that Cyclr stores."""

    random_source: RandomSource
    """The source of secrets, ids and draws."""

    clock: Callable[[], float] = time.time
    """Returns the real time in seconds since the epoch."""

    offset: float = 0.0
    """Seconds by which the sandbox's time is ahead of the real time."""

    version_schedule: VersionSchedule = field(default_factory=VersionSchedule)
    """The versions of Graph and when they end."""

    faults: FaultInjector = field(default_factory=FaultInjector)
    """The faults in force."""

    dialog_error: tuple[str, str] | None = None
    """Code and message with which the OAuth dialog fails after the person's decision."""

    addresses: SiteAddresses = field(default_factory=SiteAddresses)
    """The address of each site."""

    operator_values: dict[str, str] = field(default_factory=dict)
    """The ids and credentials that the operator holds, by setting; the description shows them."""

    def now(self) -> float:
        """Return the sandbox's time in seconds since the epoch."""
        return self.clock() + self.offset

    def publish_due_reviews(self) -> None:
        """Publish the decisions of all reviews that are due."""
        for app in self.facebook.apps.values():
            publish_decision_if_due(app, self.now())

    def register_app(self, name: str) -> App:
        """Register an app of the operator, with nothing set up."""
        person = self.facebook.operator
        app = App(
            id=self.random_source.digits(16),
            secret=self.random_source.hexadecimal(32),
            name=name,
            admin_id=person.id,
            token_tail=self.random_source.base64url(27),
            created_on=self.now(),
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

        The system user's tokens never expire, and lack `public_profile`.
        """
        start = int(self.now() if issued_at is None else issued_at)
        system_user = self.facebook.system_user
        is_system_user = system_user is not None and user_id == system_user.id
        if is_system_user:
            scopes = tuple(scope for scope in scopes if scope != "public_profile")
        token = Token(
            self._make_token_text(),
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

        A long-lived user token gives one that never expires; a short-lived one gives one that
        expires with it. One user token has one token for a page.
        """
        key = f"{page_id} {user.value}"
        known = self.facebook.page_tokens.get(key)
        if known and (token := self.facebook.tokens.get(known)):
            return token
        is_long = not user.expires_at or user.expires_at - user.issued_at > SHORT_LIFETIME_SECONDS
        token = replace(
            user,
            value=self._make_token_text(),
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
        code = AuthorizationCode(
            value=value,
            app_id=app.id,
            user_id=user_id,
            redirect_uri=redirect_uri,
            scopes=scopes,
            issued_at=self.now(),
        )
        self.facebook.codes.put(value, code)
        return code

    def _make_token_text(self) -> str:
        return "EAA" + self.random_source.alphanumeric(_TOKEN_CHARACTERS)

    def get_default_version(self) -> str:
        """Return the version that serves a call with no version and no app."""
        return (
            self.version_schedule.find_serving_version("v26.0", self.now())
            or self.version_schedule.latest
        )
