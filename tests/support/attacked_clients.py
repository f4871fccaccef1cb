"""Clients whose remote system attacks them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

from runbook_lib.connectors.facebook.graph import Graph
from runbook_lib.core.redaction import Credential, Redactor, Secret
from runbook_lib.evidence.signing.timestamps import request_timestamp
from runbook_lib.remote.check_session import Session
from runbook_lib.remote.client import ClientOptions, HTTPClient
from runbook_lib.remote.cyclr import Cyclr, request_api_token
from runbook_lib.remote.domain import (
    AllowedRedirects,
    fetch_page,
    follow_to_sign_in,
)
from runbook_lib.remote.limits import Limits
from runbook_lib.remote.oauth import AuthorizationServer, request_token_by_client_credentials
from runbook_lib.remote.rate_limits import CoolDowns
from tests.support.hostile_server import Mode, hostile_server

LIMITS = Limits(response_limit_kib=256, exchange_seconds=1, step_seconds=3)


SECRET = Secret("a-secret-of-the-test-1")


DIALOG = "https://www.facebook.com/v26.0/dialog/oauth"


@contextmanager
def attacked(mode: str | Mode, limits: Limits = LIMITS) -> Iterator[tuple[Session, str]]:
    """Yield a session that may send the secret to a hostile server, and the server's address."""
    redactor = Redactor()
    redactor.learn(SECRET, Credential("the secret", frozenset({"hostile"})))
    with hostile_server(mode) as url:
        client = HTTPClient(
            redactor,
            ClientOptions(
                hosts={"hostile": [url]},
                limits=limits,
            ),
            cool_downs=CoolDowns(),
            sleep=lambda _: None,
        )
        with closing(client):
            yield Session(client), url


def server_at(url: str) -> AuthorizationServer:
    """Return an authorization server whose two endpoints are at `url`."""
    return AuthorizationServer(title="Hostile", authorization_endpoint=url, token_endpoint=url)


CLIENTS: dict[str, Callable[[Session, str], object]] = {
    "graph": lambda session, url: Graph(session, base_url=url, version="v26.0").get("me", SECRET),
    "oauth": lambda session, url: request_token_by_client_credentials(
        session, server_at(f"{url}/token"), client_id="1", client_secret=SECRET
    ),
    "cyclr": lambda session, url: Cyclr(
        session, base_url=url, token=SECRET, account="1"
    ).account_connectors(),
    "cyclr's tokens": lambda session, url: request_api_token(
        session, url, client_id="1", client_secret=SECRET
    ),
    "pages": lambda session, url: fetch_page(session, f"{url}/connector/callback"),
    "redirects": lambda session, url: follow_to_sign_in(
        session, f"{url}/start", server_at(DIALOG), AllowedRedirects([url, DIALOG])
    ),
    "time-stamps": lambda session, url: request_timestamp(session, url, b"content"),
}
