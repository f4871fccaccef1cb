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
from facebook_cyclr_sandbox.state.facebook_state import App, Code, FacebookState, Token, TokenKind
from facebook_cyclr_sandbox.state.faults import Faults
from facebook_cyclr_sandbox.state.random_source import RandomSource
from facebook_cyclr_sandbox.state.review import settle
from facebook_cyclr_sandbox.state.versions import Calendar

DAY = 86_400
LONG_LIFETIME = 60 * DAY
SHORT_LIFETIME = 2 * 3_600
DATA_ACCESS_LIFETIME = 90 * DAY
_TOKEN_LENGTH = 180


@dataclass(frozen=True)
class Addresses:
    """
    Where the sandbox listens, as URLs without a trailing slash.

    `connect` is the plain-HTTP copy of the service domain, for browsers that
    cannot resolve it; `service_domain` is its HTTPS socket as `host:port`. `others`
    are the sites of further vendors, by name.
    """

    graph: str = ""
    facebook: str = ""
    cyclr_api: str = ""
    cyclr_console: str = ""
    connect: str = ""
    service_domain: str = ""
    others: Mapping[str, str] = field(default_factory=lambda: defaultdict(str))

    @property
    def dialog(self) -> str:
        """The OAuth dialog, version included."""
        return f"{self.facebook}/v26.0/dialog/oauth"


@dataclass
class SandboxState:
    """
    The whole state of a sandbox.

    `clock` returns the real time; `offset` is the sandbox's distance from it.
    `answers` is what the operator was given: the description shows it.
    `vendors` is the state of vendors beside Facebook, by name.
    `dialog_error` (code, message) makes the dialog fail after the person's decision.
    """

    scenario: str
    facebook: FacebookState
    cyclr: CyclrState
    random_source: RandomSource
    clock: Callable[[], float] = time.time
    offset: float = 0.0
    calendar: Calendar = field(default_factory=Calendar)
    faults: Faults = field(default_factory=Faults)
    dialog_error: tuple[str, str] | None = None
    addresses: Addresses = field(default_factory=Addresses)
    answers: dict[str, str] = field(default_factory=dict)
    vendors: dict[str, object] = field(default_factory=dict)

    def now(self) -> float:
        """Return the sandbox's time in seconds since the epoch."""
        return self.clock() + self.offset

    def settle(self) -> None:
        """Publish the decisions of reviews whose day has come."""
        for app in self.facebook.apps.values():
            settle(app, self.now())

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
        lifetime: int = LONG_LIFETIME,
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
            data_access_expires_at=0 if is_system_user else start + DATA_ACCESS_LIFETIME,
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
        is_long = not user.expires_at or user.expires_at - user.issued_at > SHORT_LIFETIME
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
    ) -> Code:
        """Issue an authorization code."""
        value = "AQ" + self.random_source.base64url(_TOKEN_LENGTH)
        code = Code(value, app.id, user_id, redirect_uri, scopes, self.now())
        self.facebook.codes.put(value, code)
        return code

    def _token_text(self) -> str:
        return "EAA" + self.random_source.alphanumeric(_TOKEN_LENGTH)

    def facebook_version(self) -> str:
        """Return the version that answers a call with no version and no app."""
        return self.calendar.served("v26.0", self.now()) or self.calendar.latest
