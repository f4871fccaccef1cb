"""
What a check is given: typed values, credentials, a recording session, the run's tokens.

A check sees nothing else.
"""

from __future__ import annotations

import secrets as randomness
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus

from runbook_lib.connectors.facebook.graph import Graph
from runbook_lib.core.procedure import Value
from runbook_lib.core.redaction import Secret
from runbook_lib.errors import OAuthError, RefusedAppError, TokenRequestError
from runbook_lib.remote.cyclr import Cyclr, request_api_token
from runbook_lib.remote.documents import unexpected
from runbook_lib.remote.domain import Destinations
from runbook_lib.remote.oauth import request_token_by_client_credentials
from runbook_lib.remote.transport import Session

_ADDRESSES = ("cyclr_api_url", "cyclr_console_url", "dialog_url", "graph_url", "dashboard_url")

_UNKNOWN_APP = 101
_SECRET_REFUSED = (1, "error validating client secret")


def is_app_refused(error: TokenRequestError) -> bool:
    """
    Return whether the token endpoint refuses the App ID, or its App Secret.

    A mistyped App ID may be another app's, so a refused secret counts too. Code 1
    alone does not: a fault of Facebook's has it as well (Graph: Handle Errors).
    """
    code, words = _SECRET_REFUSED
    is_secret = error.code == code and words in str(error).lower()
    return 400 <= error.status < 500 and (is_secret or error.code == _UNKNOWN_APP)


class TokenShelf:
    """
    Tokens issued during one run, kept in memory only; each is asked for once.

    A refusal is not kept: the next check may follow a correction, or a fault of
    Facebook's.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tokens: dict[str, Secret] = {}

    def get(self, name: str, issue: Callable[[], Secret]) -> Secret:
        """Return the token called `name`; the first caller has it issued, or raises."""
        with self._lock:
            if name not in self._tokens:
                self._tokens[name] = issue()
            return self._tokens[name]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckContext:
    """
    What one check may use.

    `now` is the run's clock reading; `announce_change` writes to the journal
    before a remote system is altered. `random_hex` takes a number of bytes:
    a control must ask about something that does not exist.
    """

    values: Mapping[str, Value]
    secrets: Mapping[str, Secret]
    session: Session
    now: datetime
    tokens: TokenShelf = field(default_factory=TokenShelf)
    announce_change: Callable[[str], None] = lambda _: None
    random_hex: Callable[[int], str] = randomness.token_hex

    def text(self, name: str) -> str:
        """Return the value of a text input, empty where it is not known."""
        return str(self.values.get(name, ""))

    def names(self, name: str) -> tuple[str, ...]:
        """Return the value of an input that is a list of names."""
        value = self.values.get(name, ())
        return value if isinstance(value, tuple) else ()

    @property
    def permissions(self) -> tuple[str, ...]:
        """Return the permissions of the use case; `public_profile` is always the first."""
        return tuple(dict.fromkeys(("public_profile", *self.names("permissions"))))

    @property
    def destinations(self) -> Destinations:
        """Return where a redirect may lead: wherever a setting says that the systems are."""
        service_domain = self.text("service_domain")
        addresses = [self.text(name) for name in _ADDRESSES]
        if service_domain:
            addresses.append(f"https://{service_domain}")
        return Destinations(addresses, self.names("redirect_hosts"))

    def app_graph(self) -> Graph:
        """Return the Graph client for calls with the app's own token."""
        return Graph(
            self.session,
            base_url=self.text("graph_url"),
            version=self.text("graph_version"),
            app_id=self.text("app_id"),
        )

    def user_graph(self) -> Graph:
        """Return the Graph client that signs each call with `appsecret_proof`."""
        return Graph(
            self.session,
            base_url=self.text("graph_url"),
            version=self.text("graph_version"),
            app_id=self.text("app_id"),
            app_secret=self.secrets["app_secret"],
        )

    @property
    def app_token_name(self) -> str:
        """Return what the shelf calls the app access token: another App ID has another one."""
        return f"app {self.text('app_id')}"

    def app_token(self) -> Secret:
        """
        Return the app access token, issued once a run.

        Raises `OAuthError` where Facebook refuses the app's credentials.
        """

        def issue() -> Secret:
            try:
                return self.request_app_token(self.secrets["app_secret"])
            except TokenRequestError as error:
                refused = HTTPStatus.BAD_REQUEST <= error.status < HTTPStatus.INTERNAL_SERVER_ERROR
                msg = f"Facebook issued no app token ({error}), so nothing could be read with it."
                if refused:
                    msg += " Correct the App ID or App Secret, then check again."
                kind = RefusedAppError if is_app_refused(error) else OAuthError
                raise kind(msg, next_step=error.diagnostics()) from error

        return self.tokens.get(self.app_token_name, issue)

    def request_app_token(self, app_secret: Secret) -> Secret:
        """
        Return an app access token that Facebook issues for the App ID and `app_secret`.

        Raises `TokenRequestError` where Facebook refuses, and
        `UnexpectedAnswerError` for a token that does not name the app.
        """
        app_id = self.text("app_id")
        token = request_token_by_client_credentials(
            self.session,
            self.app_graph().token_endpoint,
            client_id=app_id,
            client_secret=app_secret,
        )
        # NOTE: an app token is `APPID|…` (Graph: Access Tokens, App Access Tokens).
        owner, separator, rest = token.reveal().partition("|")
        if (owner, separator) != (app_id, "|") or not rest:
            raise unexpected("The token endpoint", f"the token does not name app {app_id}")
        return token

    def cyclr(self, account: str = "") -> Cyclr:
        """
        Return the Cyclr client of `account`, or else of the account that is tested in.

        Raises `CyclrAPIError` where Cyclr refuses its API credentials.
        """
        token = self.tokens.get(
            f"cyclr {self.text('cyclr_client_id')}",
            lambda: request_api_token(
                self.session,
                self.text("cyclr_api_url"),
                client_id=self.text("cyclr_client_id"),
                client_secret=self.secrets["cyclr_client_secret"],
            ),
        )
        return Cyclr(
            self.session,
            base_url=self.text("cyclr_api_url"),
            token=token,
            client_id=self.text("cyclr_client_id"),
            account=account or self.text("account_api_id"),
        )
