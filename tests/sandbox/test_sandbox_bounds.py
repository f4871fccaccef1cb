"""The sandbox's state stays bounded, whatever is requested."""

import json
from urllib.parse import urlencode

from facebook_cyclr_sandbox.cyclr.cyclr_api import CyclrApiSite
from facebook_cyclr_sandbox.cyclr.service_domain import ServiceDomainSite
from facebook_cyclr_sandbox.graph.graph_site import GraphSite
from facebook_cyclr_sandbox.http.log_in import log_in
from facebook_cyclr_sandbox.http.web_messages import WebRequest, WebResponse
from facebook_cyclr_sandbox.scenarios import build_state
from facebook_cyclr_sandbox.state.hourly_rate_limit import HourlyRateLimit
from facebook_cyclr_sandbox.state.lru_store import LRUStore
from facebook_cyclr_sandbox.state.random_source import RandomSource
from facebook_cyclr_sandbox.state.sandbox_state import SandboxState

ROUNDS = 300
CAPACITY = 20


def request(
    method: str,
    path: str,
    query: dict[str, str] | None = None,
    *,
    form: dict[str, str] | None = None,
    headers: dict[str, str] | None = None,
    body: bytes = b"",
) -> WebRequest:
    """Return a request as a site gets it."""
    raw = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": urlencode(query or {}).encode(),
        "headers": raw,
        "scheme": "http",
    }
    return WebRequest(scope, body, (form or {}).items())


def test_a_store_drops_the_oldest_except_kept_values() -> None:
    """A full store drops its oldest value, except those put with `keep`."""
    store: LRUStore[int] = LRUStore(3)
    store.put("kept", 0, keep=True)
    for number in range(10):
        store.put(str(number), number)
    assert store.values() == [0, 7, 8, 9]
    store.put("kept", 5)
    assert store.get("kept") == 5
    assert store.pop("kept") == 5
    assert store.get("kept") is None
    assert len(store) == 3


def test_a_used_value_stays_longer_than_an_unused_one() -> None:
    """A token that a client keeps using is not dropped for newer ones."""
    store: LRUStore[str] = LRUStore(3)
    store.put("in use", "x")
    for number in range(10):
        store.put(str(number), "y")
        assert store.get("in use") == "x"
    assert len(store) == 3
    store.put("8", "z")
    store.put("another", "y")
    assert store.get("8") == "z"


def test_a_rate_limit_keeps_sixty_slices() -> None:
    """A rate limit keeps one hour of calls, in slices of a minute."""
    rate_limit = HourlyRateLimit(100)
    for minute in range(24 * 60):
        rate_limit.count(minute * 60.0)
        rate_limit.count_recent_calls(minute * 60.0)
    assert rate_limit.count_recent_calls(24 * 3_600.0) <= 60
    assert len(rate_limit._slices) <= 61
    assert rate_limit.get_seconds_to_regain(24 * 3_600.0) == 0


def test_stores_stay_small() -> None:
    """Codes, tokens, sessions, links and pending consents stay within their capacity."""
    state = build_state("approved", seed=2)
    facebook = state.facebook
    cyclr = state.cyclr
    given = state.operator_values
    stores = {
        "codes": facebook.codes,
        "tokens": facebook.tokens,
        "page_tokens": facebook.page_tokens,
        "sessions": facebook.sessions,
        "api_tokens": cyclr.tokens,
        "links": cyclr.sign_in_tokens,
        "pending": cyclr.pending_consents,
    }
    for store in stores.values():
        store._capacity = CAPACITY
    for _ in range(ROUNDS):
        _use_everything(state)
    sizes = {name: len(store) for name, store in stores.items()}
    assert all(size <= CAPACITY + 5 for size in sizes.values()), sizes
    assert sizes["tokens"] > CAPACITY
    graph = GraphSite(state)
    response = graph(request("GET", "/v26.0/me", {"access_token": given["user_access_token"]}))
    assert response.status == 200


def _use_everything(state: SandboxState) -> None:
    """Redeem a code, read page tokens, get an API token, follow a link, log in."""
    given = state.operator_values
    app = next(iter(state.facebook.apps.values()))
    graph = GraphSite(state)
    code = state.issue_code(app, app.admin_id, state.cyclr.redirect_uri, ("public_profile",))
    form = {
        "client_id": app.id,
        "client_secret": app.secret,
        "redirect_uri": code.redirect_uri,
        "code": code.value,
    }
    assert graph(request("POST", "/oauth/access_token", form=form)).status == 200
    token = state.issue_user_token(app, app.admin_id, ("pages_show_list",)).value
    assert graph(request("GET", "/me/accounts", {"access_token": token})).status == 200
    path = f"/v1.0/accounts/{given['account_api_id']}/signintoken"
    link = _call_cyclr(state, "POST", path, {"Username": "x"}).body
    query = {
        "id": str(next(iter(state.cyclr.account_connectors))),
        "token": json.loads(link)["Token"],
        "targetOrigin": "https://app.partner.test/",
    }
    path = "/connectorauth/updateaccountconnectoroauth"
    assert ServiceDomainSite(state)(request("GET", path, query)).status == 302
    assert log_in(state, given["login_email"], given["login_password"])


def _call_cyclr(
    state: SandboxState, method: str, path: str, document: dict[str, str]
) -> WebResponse:
    api = CyclrApiSite(state)
    form = {
        "grant_type": "client_credentials",
        "client_id": state.operator_values["cyclr_client_id"],
        "client_secret": state.operator_values["cyclr_client_secret"],
    }
    token = json.loads(api(request("POST", "/oauth/token", form=form)).body)["access_token"]
    headers = {"authorization": f"Bearer {token}"}
    return api(request(method, path, headers=headers, body=json.dumps(document).encode()))


def test_accounts_have_a_limit() -> None:
    """Above the limit, a new account is refused."""
    state = build_state("approved", seed=2)
    account = next(iter(state.cyclr.accounts.values()))
    state.cyclr.accounts |= {str(number): account for number in range(2_000)}
    assert _call_cyclr(state, "POST", "/v1.0/accounts", {"Name": "x"}).status == 400


def test_a_random_source_is_reproducible_by_seed() -> None:
    """Random texts have the given length; the same seed gives the same ones."""
    random_source = RandomSource(3)
    again = RandomSource(3)
    assert random_source.digits(16) == again.digits(16)
    assert len(random_source.base64url(27)) == 27
    assert 0 <= random_source.fraction() < 1
    assert RandomSource().hexadecimal(32) != RandomSource().hexadecimal(32)
