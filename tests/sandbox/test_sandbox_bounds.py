"""The sandbox's state stays bounded, whatever is requested."""

import json
from urllib.parse import urlencode

from facebook_cyclr_sandbox.cyclr.api import CyclrApiSite
from facebook_cyclr_sandbox.cyclr.connect import ConnectSite
from facebook_cyclr_sandbox.graph.site import GraphSite
from facebook_cyclr_sandbox.http.pages import log_in
from facebook_cyclr_sandbox.http.web import Reply, WebRequest
from facebook_cyclr_sandbox.scenarios import build_world
from facebook_cyclr_sandbox.state.stores import Dice, Meter, Shelf
from facebook_cyclr_sandbox.state.world import World

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


def test_a_shelf_drops_the_oldest_except_kept_values() -> None:
    """A full shelf drops its oldest value, except those put with `keep`."""
    shelf: Shelf[int] = Shelf(3)
    shelf.put("kept", 0, keep=True)
    for number in range(10):
        shelf.put(str(number), number)
    assert shelf.values() == [0, 7, 8, 9]
    shelf.put("kept", 5)
    assert shelf.get("kept") == 5
    assert shelf.pop("kept") == 5
    assert shelf.get("kept") is None
    assert len(shelf) == 3


def test_a_used_value_stays_longer_than_an_unused_one() -> None:
    """A token that a client keeps using is not dropped for newer ones."""
    shelf: Shelf[str] = Shelf(3)
    shelf.put("in use", "x")
    for number in range(10):
        shelf.put(str(number), "y")
        assert shelf.get("in use") == "x"
    assert len(shelf) == 3
    shelf.put("8", "z")
    shelf.put("another", "y")
    assert shelf.get("8") == "z"


def test_a_meter_keeps_sixty_slices() -> None:
    """A meter keeps one hour of calls, in slices of a minute."""
    meter = Meter(100)
    for minute in range(24 * 60):
        meter.count(minute * 60.0)
        meter.used(minute * 60.0)
    assert meter.used(24 * 3_600.0) <= 60
    assert len(meter._slices) <= 61
    assert meter.seconds_to_regain(24 * 3_600.0) == 0


def test_stores_stay_small() -> None:
    """Codes, tokens, sessions, links and pending consents stay within their capacity."""
    world = build_world("approved", seed=2)
    facebook, cyclr, given = world.facebook, world.cyclr, world.answers
    shelves = {
        "codes": facebook.codes,
        "tokens": facebook.tokens,
        "page_tokens": facebook.page_tokens,
        "sessions": facebook.sessions,
        "api_tokens": cyclr.tokens,
        "links": cyclr.sign_in_tokens,
        "pending": cyclr.pending,
    }
    for shelf in shelves.values():
        shelf._capacity = CAPACITY
    for _ in range(ROUNDS):
        _use_everything(world)
    sizes = {name: len(shelf) for name, shelf in shelves.items()}
    assert all(size <= CAPACITY + 5 for size in sizes.values()), sizes
    assert sizes["tokens"] > CAPACITY
    graph = GraphSite(world)
    answer = graph(request("GET", "/v26.0/me", {"access_token": given["user_access_token"]}))
    assert answer.status == 200


def _use_everything(world: World) -> None:
    """Redeem a code, read page tokens, get an API token, follow a link, log in."""
    given, app = world.answers, next(iter(world.facebook.apps.values()))
    graph = GraphSite(world)
    code = world.issue_code(app, app.admin_id, world.cyclr.redirect_uri, ("public_profile",))
    form = {
        "client_id": app.id,
        "client_secret": app.secret,
        "redirect_uri": code.redirect_uri,
        "code": code.value,
    }
    assert graph(request("POST", "/oauth/access_token", form=form)).status == 200
    token = world.issue_user_token(app, app.admin_id, ("pages_show_list",)).value
    assert graph(request("GET", "/me/accounts", {"access_token": token})).status == 200
    path = f"/v1.0/accounts/{given['account_api_id']}/signintoken"
    link = _call_cyclr(world, "POST", path, {"Username": "x"}).body
    query = {
        "id": str(next(iter(world.cyclr.account_connectors))),
        "token": json.loads(link)["Token"],
        "targetOrigin": "https://app.partner.test/",
    }
    path = "/connectorauth/updateaccountconnectoroauth"
    assert ConnectSite(world)(request("GET", path, query)).status == 302
    assert log_in(world, given["login_email"], given["login_password"])


def _call_cyclr(world: World, method: str, path: str, document: dict[str, str]) -> Reply:
    api = CyclrApiSite(world)
    form = {
        "grant_type": "client_credentials",
        "client_id": world.answers["cyclr_client_id"],
        "client_secret": world.answers["cyclr_client_secret"],
    }
    token = json.loads(api(request("POST", "/oauth/token", form=form)).body)["access_token"]
    headers = {"authorization": f"Bearer {token}"}
    return api(request(method, path, headers=headers, body=json.dumps(document).encode()))


def test_accounts_have_a_limit() -> None:
    """Above the limit, a new account is refused."""
    world = build_world("approved", seed=2)
    account = next(iter(world.cyclr.accounts.values()))
    world.cyclr.accounts |= {str(number): account for number in range(2_000)}
    assert _call_cyclr(world, "POST", "/v1.0/accounts", {"Name": "x"}).status == 400


def test_dice_are_reproducible_by_seed() -> None:
    """Random texts have the given length; the same seed gives the same ones."""
    dice, again = Dice(3), Dice(3)
    assert dice.digits(16) == again.digits(16)
    assert len(dice.base64url(27)) == 27
    assert 0 <= dice.fraction() < 1
    assert Dice().hexadecimal(32) != Dice().hexadecimal(32)
