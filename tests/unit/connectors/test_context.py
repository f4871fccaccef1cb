"""The context of a check: its values, and its tokens, which are requested once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from runbook_lib.connectors.context import CheckContext
from runbook_lib.connectors.facebook.graph import Graph, appsecret_proof
from runbook_lib.connectors.facebook.graph_clients import app_graph, app_token, user_graph
from runbook_lib.core.redaction import Secret
from runbook_lib.errors import OAuthError
from tests.unit import bodies
from tests.unit.bodies import APP_ID, APP_SECRET
from tests.unit.connectors.conftest import CYCLR_SECRET, MakeContext
from tests.unit.fake_remote import FakeRemote, fields, responds


def test_a_refused_token_is_refused_for_the_look(
    remote: FakeRemote, make_context: MakeContext
) -> None:
    """A refusal is asked for once: each check learns of it, and has it among its exchanges."""
    remote.on("/v26.0/oauth/access_token", responds(bodies.BAD_SECRET, 400))
    context = make_context()
    other = replace(context, session=context.session.branch())

    for each in (context, other):
        with pytest.raises(OAuthError):
            app_token(each)

    assert len(remote.requests) == 1
    assert other.session.exchanges() == context.session.exchanges()


def test_another_app_has_another_token(remote: FakeRemote, make_context: MakeContext) -> None:
    """After the App ID changes, the token of the earlier app is not used."""
    other = f"{'2' * 16}|B7CDEFGHiJKlmNopQ_Rstu"
    remote.on("/v26.0/oauth/access_token", responds(bodies.BAD_SECRET, 400), when=of_app("1" * 16))
    remote.on("/v26.0/oauth/access_token", responds(bodies.APP_TOKEN_ISSUED), when=of_app(APP_ID))
    remote.on("/v26.0/oauth/access_token", responds({"access_token": other}), when=of_app("2" * 16))

    with pytest.raises(OAuthError):
        app_token(make_context(app_id="1" * 16))
    first = app_token(make_context(app_id=APP_ID))
    second = app_token(make_context(app_id="2" * 16))

    assert (first.reveal(), second.reveal()) == (bodies.APP_TOKEN, other)


def of_app(app_id: str) -> Callable[..., bool]:
    """Return a condition: the request names this app."""
    return lambda **given: given["client_id"] == app_id


def test_unknown_values_are_empty(make_context: MakeContext) -> None:
    """An unknown value is empty, not an error."""
    context = make_context()

    assert context.text("no_such_name") == ""
    assert context.names("no_such_name") == ()
    assert context.names("service_domain") == ()
    assert context.names("permissions") == ("public_profile", "leads_retrieval")


def test_the_app_token_is_requested_with_the_apps_credentials(
    remote: FakeRemote, make_context: MakeContext
) -> None:
    """The app token is requested once, with the app's pair, at the set address and version."""
    remote.on("/v25.0/oauth/access_token", responds(bodies.APP_TOKEN_ISSUED))
    context = make_context(graph_url="https://graph.example", graph_version="v25.0")

    assert app_token(context).reveal() == app_token(context).reveal() == bodies.APP_TOKEN

    (request,) = remote.requests
    assert request.url == "https://graph.example/v25.0/oauth/access_token"
    assert fields(request) == {
        "grant_type": "client_credentials",
        "client_id": APP_ID,
        "client_secret": APP_SECRET,
        "locale": "en_US",
    }


def test_cyclr_is_called_with_its_own_credentials_and_account(
    remote: FakeRemote, make_context: MakeContext
) -> None:
    """Cyclr gets its own API credentials and the account id, at the set address."""
    remote.on("/oauth/token", responds(bodies.CYCLR_TOKEN_ISSUED))
    remote.on("/v1.0/account/connectors", responds([]))

    make_context(cyclr_api_url="https://api.eu.cyclr.com").cyclr().account_connectors()

    token, listing = remote.requests
    assert {request.url.host for request in remote.requests} == {"api.eu.cyclr.com"}
    assert fields(token)["client_id"] == "partner"
    assert fields(token)["client_secret"] == CYCLR_SECRET
    assert listing.headers["authorization"] == f"Bearer {bodies.CYCLR_TOKEN}"
    assert listing.headers["x-cyclr-account"] == "acct-1"


@pytest.mark.parametrize(("open_graph", "is_signed"), [(app_graph, False), (user_graph, True)])
def test_graph_is_called_at_the_set_address(
    remote: FakeRemote,
    make_context: MakeContext,
    open_graph: Callable[[CheckContext], Graph],
    is_signed: bool,
) -> None:
    """Both Graph clients use the set address and version; only the user's calls are signed."""
    remote.on("/v25.0/me", responds({}))
    token = Secret("token-1")
    context = make_context(graph_url="https://graph.example", graph_version="v25.0")

    open_graph(context).get("me", token)

    (request,) = remote.requests
    proof = appsecret_proof(Secret(APP_SECRET), token) if is_signed else None
    assert (request.url.host, request.url.path) == ("graph.example", "/v25.0/me")
    assert fields(request).get("appsecret_proof") == proof
